// SPDX-License-Identifier: GPL-2.0-only
/* Memory that goes all at once, and files. */
#include "import/compose.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

void *import_alloc(struct import *im, size_t size)
{
	return arena_alloc(&im->arena, size);
}

char *import_text(struct import *im, const char *text, size_t len)
{
	return arena_text(&im->arena, text, len);
}

char *import_format(struct import *im, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0) {
		text = NULL;
		return NULL;
	}
	return import_text(im, text, (size_t)n);
}

void *import_append(struct import *im, void *array, size_t *n, size_t *room, size_t size)
{
	char **elements = array;

	if (*n == *room) {
		size_t more = *room ? 2 * *room : 4;
		char *grown = import_alloc(im, more * size);

		if (!grown)
			return NULL;
		if (*n)
			memcpy(grown, *elements, *n * size);
		*elements = grown;
		*room = more;
	}
	return *elements + size * (*n)++;
}

int file_read(struct import *im, const char *path, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *text = malloc(IMPORT_MAX_BYTES + 1);
	_cleanup_close_ int opened = -1;
	struct position at = {.file = path};
	int fd = STDIN_FILENO;
	int err;

	if (!text)
		return -ENOMEM;
	if (strcmp(path, "-")) {
		fd = opened = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			err = -errno;
			return diag_fail(im->diag, err, &at, "cannot be read: %s", strerror(-err));
		}
	}
	err = file_slurp(fd, text, IMPORT_MAX_BYTES, ret_len);
	if (err == -EFBIG)
		return diag_fail(im->diag, err, &at, "is larger than %d bytes", IMPORT_MAX_BYTES);
	if (err)
		return diag_fail(im->diag, err, &at, "cannot be read: %s", strerror(-err));
	*ret = import_text(im, text, *ret_len);
	return *ret ? 0 : -ENOMEM;
}
