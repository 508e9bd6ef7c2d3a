/* SPDX-License-Identifier: GPL-2.0-only */
/* What the fuzz targets are written with: an invariant that does not hold says so and ends like a crash. */
#ifndef WEIR_FUZZ_H
#define WEIR_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* What the YAML library of Debian 12 (0.7.12) does not free where a quoted scalar ends as none is not ours to find. */
#define FUZZ_LIBRARY_LEAKS                             \
	const char *__lsan_default_suppressions(void); \
	const char *__lsan_default_suppressions(void)  \
	{                                              \
		return "leak:libfyaml.so";             \
	}

#define FUZZ_FAIL(format, ...)                                                             \
	do {                                                                               \
		fprintf(stderr, "%s:%d: " format "\n", __FILE__, __LINE__, ##__VA_ARGS__); \
		abort();                                                                   \
	} while (0)

#define FUZZ_CHECK(condition)                                  \
	do {                                                   \
		if (!(condition))                              \
			FUZZ_FAIL("not true: %s", #condition); \
	} while (0)

#endif
