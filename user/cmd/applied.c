// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/applied.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/paths.h"
#include "base/mem.h"

static void write_print(FILE *file, const struct fingerprint *print)
{
	fputc(' ', file);
	for (size_t i = 0; i < sizeof(print->byte); i++)
		fprintf(file, "%02x", print->byte[i]);
}

static bool read_print(FILE *file, struct fingerprint *ret)
{
	unsigned int byte;

	if (fscanf(file, " ") < 0)
		return false;
	for (size_t i = 0; i < sizeof(ret->byte); i++) {
		if (fscanf(file, "%2x", &byte) != 1)
			return false;
		ret->byte[i] = (__u8)byte;
	}
	return true;
}

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
	fprintf(file, "%llx %u", (unsigned long long)applied->seed, applied->generation);
	write_print(file, &applied->fingerprint);
	write_print(file, &applied->names);
	fprintf(file, "\n");
	if (fclose(file) || rename(fresh, path))
		unlink(fresh);
}

bool applied_read(const char *pin_dir, __u64 seed, __u32 generation, struct applied *ret)
{
	_cleanup_fclose_ FILE *file = NULL;
	struct applied found = {};
	char path[PATH_MAX];
	unsigned long long its_seed;

	if (path_run(pin_dir, "applied", path, sizeof(path)))
		return false;
	file = fopen(path, "re");
	if (!file || fscanf(file, "%llx %u", &its_seed, &found.generation) != 2 ||
	    its_seed != seed || found.generation != generation)
		return false;
	found.seed = its_seed;
	if (!read_print(file, &found.fingerprint) || !read_print(file, &found.names))
		return false;
	*ret = found;
	return true;
}
