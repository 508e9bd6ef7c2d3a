// SPDX-License-Identifier: GPL-2.0-only
/* Memory that goes all at once, and files. */
#include "import/compose.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"

#define CHUNK_BYTES 65536

struct import_chunk {
	struct import_chunk *next;
	size_t used, size;
	_Alignas(max_align_t) char data[];
};

void *import_alloc(struct import *im, size_t size)
{
	struct import_chunk *chunk = im->chunks;
	void *p;

	size = (size + 15) & ~(size_t)15;
	if (!chunk || chunk->size - chunk->used < size) {
		size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;

		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		*chunk = (struct import_chunk){.next = im->chunks, .size = room};
		im->chunks = chunk;
	}
	p = chunk->data + chunk->used;
	chunk->used += size;
	return memset(p, 0, size);
}

void import_release(struct import *im)
{
	while (im->chunks) {
		struct import_chunk *next = im->chunks->next;

		free(im->chunks);
		im->chunks = next;
	}
}

char *import_text(struct import *im, const char *text, size_t len)
{
	char *copy = import_alloc(im, len + 1);

	if (copy && len)
		memcpy(copy, text, len);
	return copy;
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

/* Up to IMPORT_MAX_BYTES + 1 bytes, so that a longer file is seen to be longer. */
static int slurp(int fd, char *text, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n;

	while (len <= IMPORT_MAX_BYTES) {
		n = read(fd, text + len, IMPORT_MAX_BYTES + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return len > IMPORT_MAX_BYTES ? -EFBIG : 0;
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
	err = slurp(fd, text, ret_len);
	if (err == -EFBIG)
		return diag_fail(im->diag, err, &at, "is larger than %d bytes", IMPORT_MAX_BYTES);
	if (err)
		return diag_fail(im->diag, err, &at, "cannot be read: %s", strerror(-err));
	*ret = import_text(im, text, *ret_len);
	return *ret ? 0 : -ENOMEM;
}
