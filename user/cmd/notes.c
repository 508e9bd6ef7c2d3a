// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/notes.h"

#include <limits.h>
#include <unistd.h>

#include "audit/paths.h"
#include "base/mem.h"

void notes_forget(const char *pin_dir)
{
	static const char *const suffix[] = {"names", "applied", "following"};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++)
		if (!path_run(pin_dir, suffix[i], path, sizeof(path)))
			unlink(path);
}
