// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/applied.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/paths.h"
#include "base/mem.h"

void applied_write(const char *pin_dir, const struct applied *applied)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	FILE *file;

	if (path_run(pin_dir, "applied", path, sizeof(path)) ||
	    path_run(pin_dir, "applied.new", fresh, sizeof(fresh)))
		return;
	file = fopen(fresh, "we");
	if (!file)
		return;
	fprintf(file, "%llx %u ", (unsigned long long)applied->seed, applied->generation);
	for (size_t i = 0; i < sizeof(applied->fingerprint.byte); i++)
		fprintf(file, "%02x", applied->fingerprint.byte[i]);
	fprintf(file, "\n");
	if (fclose(file) || rename(fresh, path))
		unlink(fresh);
}

bool applied_read(const char *pin_dir, __u64 seed, __u32 generation, struct fingerprint *ret)
{
	_cleanup_fclose_ FILE *file = NULL;
	struct fingerprint found;
	char path[PATH_MAX];
	unsigned long long its_seed;
	__u32 its_generation;
	unsigned int byte;

	if (path_run(pin_dir, "applied", path, sizeof(path)))
		return false;
	file = fopen(path, "re");
	if (!file || fscanf(file, "%llx %u ", &its_seed, &its_generation) != 2 ||
	    its_seed != seed || its_generation != generation)
		return false;
	for (size_t i = 0; i < sizeof(found.byte); i++) {
		if (fscanf(file, "%2x", &byte) != 1)
			return false;
		found.byte[i] = byte;
	}
	*ret = found;
	return true;
}
