// SPDX-License-Identifier: GPL-2.0-only
/* Files of addresses, one a line: up to millions of lines, read as a stream into 18 bytes a prefix. */
#include "policy/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define LIST_MAX_LINES (1u << 24)
#define LIST_LINE      160 /* longer than any range of addresses, with room for blanks */

/**
 * struct lines - a list while it is read.
 * @text:   the line so far; what is behind a '#' is left out
 * @column: where the item begins, counted from 1; 0 before it
 */
struct lines {
	struct reader *reader;
	struct item *item;
	size_t capacity;
	struct position at;
	char text[LIST_LINE];
	size_t len;
	unsigned int column;
	bool comment;
};

int digest_begin(struct reader *reader)
{
	return EVP_DigestInit_ex(reader->hash, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int digest_add(struct reader *reader, const void *bytes, size_t n)
{
	return EVP_DigestUpdate(reader->hash, bytes, n) == 1 ? 0 : -ENOMEM;
}

int digest_end(struct reader *reader)
{
	__u8(*slot)[32] = mem_append(&reader->digests, &reader->nr_digests, 32);

	if (!slot)
		return -ENOMEM;
	return EVP_DigestFinal_ex(reader->hash, *slot, NULL) == 1 ? 0 : -ENOMEM;
}

static int add_prefix(struct lines *lines, const struct prefix *prefix)
{
	struct item *item = lines->item;

	if (mem_grow(&item->list, item->nr_list, &lines->capacity, sizeof(*item->list)))
		return -ENOMEM;
	item->list[item->nr_list++] = *prefix;
	return 0;
}

static int add_range(struct lines *lines, const struct weir_addr *first,
		     const struct weir_addr *last)
{
	struct prefix prefixes[256];
	int n = addr_range_to_prefixes(first, last, prefixes);

	for (int i = 0; i < n; i++)
		if (add_prefix(lines, &prefixes[i]))
			return -ENOMEM;
	return 0;
}

static int add_item(struct lines *lines)
{
	struct weir_addr first, last;
	struct prefix prefix;
	const char *why;
	int err;

	if (!prefix_parse(lines->text, &prefix, &why))
		return add_prefix(lines, &prefix);
	err = range_parse(lines->reader, &lines->at, lines->text, &first, &last);
	if (!err)
		return add_range(lines, &first, &last);
	if (err < 0)
		return err;
	if (!strchr(lines->text, ':') && (lines->text[0] < '0' || lines->text[0] > '9'))
		return reject(
		    lines->reader, &lines->at,
		    "\"%.64s\" is no address; a list of addresses holds addresses, prefixes and ranges",
		    lines->text);
	return address_reject(lines->reader, &lines->at, lines->text, why);
}

static int end_line(struct lines *lines)
{
	int err = 0;

	while (lines->len && strchr(" \t\r", lines->text[lines->len - 1]))
		lines->len--;
	if (lines->len) {
		lines->text[lines->len] = '\0';
		lines->at.column = lines->column;
		err = add_item(lines);
	}
	lines->len = 0;
	lines->comment = false;
	lines->at.column = 0;
	if (++lines->at.line > LIST_MAX_LINES + 1 && !err) {
		lines->at.column = 1;
		err = reject(lines->reader, &lines->at, "more than %u lines", LIST_MAX_LINES);
	}
	return err;
}

static int take(struct lines *lines, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = bytes[i];

		if (c == '\n') {
			int err = end_line(lines);

			if (err)
				return err;
			continue;
		}
		lines->at.column++;
		if (c == '#')
			lines->comment = true;
		if (lines->comment || (!lines->len && (c == ' ' || c == '\t')))
			continue;
		if (!c)
			return reject(lines->reader, &lines->at, "a zero byte: this is no text");
		if (lines->len == LIST_LINE - 1)
			return reject(lines->reader, &lines->at,
				      "the line is too long for an item");
		if (!lines->len)
			lines->column = lines->at.column;
		lines->text[lines->len++] = c;
	}
	return 0;
}

static int read_stream(struct lines *lines, int fd)
{
	char buffer[65536];
	ssize_t n;
	int err;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		err = digest_add(lines->reader, buffer, n);
		if (!err)
			err = take(lines, buffer, n);
		if (err)
			return err;
	}
	return n < 0 ? -errno : lines->at.column || lines->len ? end_line(lines) : 0;
}

/* The list's path as the current directory sees it: relative paths start where the policy file is. */
static char *list_path(const struct reader *reader, const char *path)
{
	const char *slash = strrchr(reader->file, '/');
	char *joined;

	if (path[0] == '/' || !slash)
		return strdup(path);
	if (asprintf(&joined, "%.*s/%s", (int)(slash - reader->file), reader->file, path) < 0)
		return NULL;
	return joined;
}

/* @path from the root, so that the canonical text means the same wherever it is read. */
static char *absolute(const char *path)
{
	_cleanup_free_ char *here = NULL;
	char *joined;

	if (path[0] == '/')
		return strdup(path);
	here = getcwd(NULL, 0);
	if (!here || asprintf(&joined, "%s/%s", here, path) < 0)
		return NULL;
	return joined;
}

static int open_list(struct reader *reader, const struct node *node, const char *path, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int err;

	/* Not to hang on a FIFO: what is no regular file is refused below. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st)) {
		err = -errno;
		return diag_fail(reader->diag, err, &node->at, "cannot read \"%.512s\": %s", path,
				 strerror(-err));
	}
	if (!S_ISREG(st.st_mode))
		return reject(reader, &node->at, "\"%.512s\" is not a regular file", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int list_read(struct reader *reader, const struct node *node, struct item *item)
{
	struct lines lines = {.reader = reader, .item = item, .at = {.line = 1}};
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;
	struct prefix *fitted;
	int err;

	path = list_path(reader, node->text);
	item->name = path ? absolute(path) : NULL;
	if (!item->name)
		return -ENOMEM;
	if (reader->outline)
		return 0;
	lines.at.file = path;
	err = open_list(reader, node, path, &fd);
	if (!err)
		err = digest_begin(reader);
	if (!err)
		err = read_stream(&lines, fd);
	if (err)
		return diag_fail(reader->diag, err, &node->at, "cannot read \"%.512s\": %s", path,
				 strerror(-err));
	if (item->nr_list && item->nr_list < lines.capacity) {
		fitted = reallocarray(item->list, item->nr_list, sizeof(*fitted));
		if (fitted)
			item->list = fitted;
	}
	return digest_end(reader);
}
