// SPDX-License-Identifier: GPL-2.0-only
#include "audit/paths.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BPFFS "/sys/fs/bpf/"

int path_name(const char *pin_dir, char *ret, size_t size)
{
	size_t n = 0;

	if (strncmp(pin_dir, BPFFS, strlen(BPFFS)) == 0)
		pin_dir += strlen(BPFFS);
	for (const char *p = pin_dir; *p; p++) {
		/* Slashes that repeat, lead or trail name nothing. */
		if (*p == '/' && (n == 0 || p[1] == '/' || p[1] == '\0'))
			continue;
		if (n + 1 >= size)
			return -ENAMETOOLONG;
		ret[n++] = *p == '/' ? '+' : *p;
	}
	if (n == 0)
		return -EINVAL;
	ret[n] = '\0';
	/* "." and ".." would name a directory above. */
	if (ret[0] == '.')
		ret[0] = '+';
	return 0;
}

static const char *directory(const char *variable, const char *otherwise)
{
	const char *value = getenv(variable);

	return value && value[0] ? value : otherwise;
}

static int join(const char *dir, const char *pin_dir, const char *suffix, char *ret, size_t size)
{
	char name[NAME_MAX + 1];
	int err = path_name(pin_dir, name, sizeof(name));
	int n;

	if (err)
		return err;
	n = snprintf(ret, size, "%s/%s%s%s", dir, name, suffix[0] ? "." : "", suffix);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int path_run(const char *pin_dir, const char *suffix, char *ret, size_t size)
{
	return join(directory("WEIR_RUN_DIR", "/run/weir"), pin_dir, suffix, ret, size);
}

int path_state(const char *pin_dir, char *ret, size_t size)
{
	return join(directory("WEIR_STATE_DIR", "/var/lib/weir"), pin_dir, "", ret, size);
}
