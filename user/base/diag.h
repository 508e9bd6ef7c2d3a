/* SPDX-License-Identifier: GPL-2.0-only */
/* What went wrong, where: filled by the layers below cmd/, said once by the command. */
#ifndef WEIR_BASE_DIAG_H
#define WEIR_BASE_DIAG_H

#include <limits.h>
#include <stdarg.h>
#include <stddef.h>

/** struct position - a place in an input file; @line and @column count from 1, 0: not known; @file is borrowed. */
struct position {
	const char *file;
	unsigned int line;
	unsigned int column;
};

/**
 * struct diag - one error, and any number of warnings.
 * @at:       its place; @at.file points into @file, so a diag is not copied by assignment
 * @file:     the name of the file, kept here because what the position was read from may be gone by now
 * @error:    text without the position ("" when there is none); never holds control characters
 * @warnings: NULL-terminated texts, each with its position in front
 */
struct diag {
	struct position at;
	char file[PATH_MAX];
	char error[1024];
	char **warnings;
	size_t nr_warnings;
};

/**
 * diag_fail() - note an error and return @err, so that `return diag_fail(diag, -EINVAL, &pos, "…")` reads as one.
 * @at: NULL where the error has no place in a file. The first error noted stays.
 */
int diag_fail(struct diag *diag, int err, const struct position *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** diag_warn() - add a warning; a failed allocation loses it silently. */
void diag_warn(struct diag *diag, const struct position *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** diag_text() - "file:line:column: error", or the bare error where it has no place, in @buffer. Returns @buffer. */
const char *diag_text(const struct diag *diag, char *buffer, size_t size);

/** diag_reset() - forget error and warnings, free what they hold. */
void diag_reset(struct diag *diag);

#endif
