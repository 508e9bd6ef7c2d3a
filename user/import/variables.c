// SPDX-License-Identifier: GPL-2.0-only
/* ${VARIABLES}: where they come from, and how they get into values. */
#include "import/compose.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"

#define MAX_NESTING 16 /* of ${A:-${B:-…}} */

/**
 * struct expansion - a text while variables are put in.
 * @at: where it stands, for messages
 */
struct expansion {
	struct import *im;
	const struct position *at;
	FILE *out;
	unsigned int depth;
};

const char *variable_get(const struct import *im, const char *name)
{
	const char *const *entry = im->options->environ;
	size_t n = strlen(name);

	for (; entry && *entry; entry++)
		if (!strncmp(*entry, name, n) && (*entry)[n] == '=')
			return *entry + n + 1;
	for (size_t i = im->nr_variables; i-- > 0;)
		if (!strcmp(im->variable[i].name, name))
			return im->variable[i].value;
	return NULL;
}

static size_t name_length(const char *text)
{
	static const char first[] = "_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const char rest[] =
	    "_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

	return *text && strchr(first, *text) ? strspn(text, rest) : 0;
}

static int unset(struct expansion *x, const char *name)
{
	struct import *im = x->im;
	const char **slot;

	for (size_t i = 0; i < im->nr_reported; i++)
		if (!strcmp(im->reported[i], name))
			return 0;
	diag_warn(im->diag, x->at, "variable %.64s is not set: taken as empty", name);
	slot =
	    import_append(im, &im->reported, &im->nr_reported, &im->reported_room, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = name;
	return 0;
}

static int expand(struct expansion *x, const char *text, const char *end);

/* The brace that closes what began before @text, or NULL. */
static const char *closing_brace(const char *text, const char *end)
{
	unsigned int depth = 1;

	for (; text < end; text++) {
		if (text[0] == '$' && text + 1 < end && text[1] == '{')
			depth++;
		if (*text == '}' && !--depth)
			return text;
	}
	return NULL;
}

/* What stands behind a name in braces: ":-word" and its kin, up to @end. */
static int expand_operator(struct expansion *x, const char *name, const char *text, const char *end)
{
	const char *value = variable_get(x->im, name);
	bool empty_too = *text == ':';
	bool given;
	char operator;

	text += empty_too;
	operator= text<end ? *text++ : '\0';
	given = value && (value[0] || !empty_too);
	switch (operator) {
	case '-':
		if (!given)
			return expand(x, text, end);
		fputs(value, x->out);
		return 0;
	case '+':
		return given ? expand(x, text, end) : 0;
	case '?':
		if (!given)
			return import_fail(x->im, x->at, "variable %.64s is needed: %.*s", name,
					   (int)(end - text), text);
		fputs(value, x->out);
		return 0;
	}
	return import_fail(
	    x->im, x->at,
	    "wanted ${NAME}, or ${NAME:-word} with one of :- - :+ + :? ?; found \"${%.64s%.*s}\"",
	    name, (int)(end - text + 1), text - 1);
}

static int expand_plain(struct expansion *x, const char *name)
{
	const char *value = variable_get(x->im, name);

	if (!value)
		return unset(x, name);
	fputs(value, x->out);
	return 0;
}

/* One "$…" at @text; *@ret is what follows it. */
static int expand_one(struct expansion *x, const char *text, const char *end, const char **ret)
{
	const char *inner = text + 1, *close = end;
	bool braces = inner < end && *inner == '{';
	const char *name;
	size_t n;

	if (inner < end && *inner == '$') {
		fputc('$', x->out);
		*ret = inner + 1;
		return 0;
	}
	inner += braces;
	n = name_length(inner);
	if (braces)
		close = closing_brace(inner, end);
	if (!n || !close)
		return import_fail(
		    x->im, x->at,
		    "\"%.*s\" is no variable: wanted $NAME or ${NAME}; $$ stands for a dollar",
		    (int)(end - text > 64 ? 64 : end - text), text);
	name = import_text(x->im, inner, n);
	if (!name)
		return -ENOMEM;
	*ret = braces ? close + 1 : inner + n;
	if (!braces || inner + n == close)
		return expand_plain(x, name);
	return expand_operator(x, name, inner + n, close);
}

static int expand(struct expansion *x, const char *text, const char *end)
{
	int err = 0;

	if (x->depth == MAX_NESTING)
		return import_fail(x->im, x->at, "variables nest deeper than %d", MAX_NESTING);
	x->depth++;
	while (text < end && !err) {
		const char *dollar = memchr(text, '$', (size_t)(end - text));

		fwrite(text, 1, (size_t)((dollar ? dollar : end) - text), x->out);
		text = dollar ? dollar : end;
		if (dollar)
			err = expand_one(x, dollar, end, &text);
	}
	x->depth--;
	return err;
}

static int expand_text(struct import *im, const struct position *at, const char *text, size_t len,
		       const char **ret)
{
	_cleanup_free_ char *buffer = NULL;
	size_t size = 0;
	struct expansion x = {.im = im, .at = at};
	int err;

	if (!memchr(text, '$', len)) {
		*ret = import_text(im, text, len);
		return *ret ? 0 : -ENOMEM;
	}
	x.out = open_memstream(&buffer, &size);
	if (!x.out)
		return -ENOMEM;
	err = expand(&x, text, text + len);
	if (fclose(x.out) && !err)
		err = -ENOMEM;
	if (err)
		return err;
	*ret = import_text(im, buffer, size);
	return *ret ? 0 : -ENOMEM;
}

int ytext(struct import *im, struct ynode *node, const char *what, const char **ret)
{
	int err;

	if (node->kind != Y_SCALAR)
		return import_fail(im, &node->at, "%s: wanted a value, found %s", what,
				   ynode_kind(node));
	if (!node->expanded) {
		err = expand_text(im, &node->at, node->text, strlen(node->text), &node->expanded);
		if (err)
			return err;
	}
	*ret = node->expanded;
	return 0;
}

int ybool(struct import *im, struct ynode *node, const char *what, bool *ret)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
	const char *text;
	int err = ytext(im, node, what, &text);

	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcasecmp(text, words[i])) {
			*ret = i & 1;
			return 0;
		}
	return import_fail(im, &node->at, "%s: wanted true or false, found \"%.64s\"", what, text);
}

/*
 * The environment file
 */

/**
 * struct lines - the rest of an environment file.
 * @p: what is next; @end: behind the last byte
 */
struct lines {
	struct import *im;
	const char *p, *end;
	struct position at;
};

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* A double-quoted value without its escapes. */
static char *unescape(struct import *im, const char *text, size_t len)
{
	char *out = import_text(im, text, len), *to = out;

	if (!out)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '\\' || i + 1 == len) {
			*to++ = text[i];
			continue;
		}
		i++;
		/* A dollar that is escaped is one when variables are put in. */
		if (text[i] == 'n')
			*to++ = '\n';
		else if (text[i] == 'r')
			*to++ = '\r';
		else if (text[i] == 't')
			*to++ = '\t';
		else
			*to++ = text[i];
	}
	*to = '\0';
	return out;
}

/* A value in quotes, which may go over several lines. */
static int quoted_value(struct lines *lines, const char **ret)
{
	char quote = *lines->p;
	const char *from = lines->p + 1, *to = from;
	char *text;

	while (to < lines->end && *to != quote)
		to += *to == '\\' && quote == '"' && to + 1 < lines->end ? 2 : 1;
	if (to >= lines->end)
		return import_fail(lines->im, &lines->at, "a quote (%c) is not closed", quote);
	for (const char *p = from; p < to; p++)
		lines->at.line += *p == '\n';
	lines->p = to + 1;
	if (quote == '\'') {
		*ret = import_text(lines->im, from, (size_t)(to - from));
		return *ret ? 0 : -ENOMEM;
	}
	text = unescape(lines->im, from, (size_t)(to - from));
	if (!text)
		return -ENOMEM;
	return expand_text(lines->im, &lines->at, text, strlen(text), ret);
}

/* A value without quotes ends with its line, or where " #" begins a comment. */
static int bare_value(struct lines *lines, const char **ret)
{
	const char *from = lines->p, *to = from;

	while (to < lines->end && *to != '\n' &&
	       !(*to == '#' && (to == from || to[-1] == ' ' || to[-1] == '\t')))
		to++;
	lines->p = to;
	while (to > from && strchr(" \t\r", to[-1]))
		to--;
	return expand_text(lines->im, &lines->at, from, (size_t)(to - from), ret);
}

static int read_line(struct lines *lines)
{
	struct import *im = lines->im;
	struct variable *variable;
	const char *name, *value = NULL;
	size_t n;
	int err;

	if (lines->end - lines->p > 7 && !memcmp(lines->p, "export ", 7))
		lines->p = skip_blanks(lines->p + 7, lines->end);
	n = strcspn(lines->p, " \t\r\n=:#");
	name = import_text(im, lines->p, n);
	if (!name)
		return -ENOMEM;
	lines->p = skip_blanks(lines->p + n, lines->end);
	/* A name alone stands for what the environment says. */
	if (lines->p == lines->end || *lines->p == '\n' || *lines->p == '#')
		return 0;
	if (!n || (*lines->p != '=' && *lines->p != ':'))
		return import_fail(im, &lines->at, "wanted NAME=VALUE");
	lines->p = skip_blanks(lines->p + 1, lines->end);
	err = lines->p < lines->end && strchr("'\"", *lines->p) ? quoted_value(lines, &value)
								: bare_value(lines, &value);
	if (err)
		return err;
	variable = import_append(im, &im->variable, &im->nr_variables, &im->variable_room,
				 sizeof(*variable));
	if (!variable)
		return -ENOMEM;
	*variable = (struct variable){name, value};
	return 0;
}

static int read_lines(struct lines *lines)
{
	int err = 0;

	while (lines->p < lines->end && !err) {
		lines->p = skip_blanks(lines->p, lines->end);
		lines->at.column = 1;
		if (lines->p < lines->end && *lines->p != '\n' && *lines->p != '#')
			err = read_line(lines);
		while (lines->p < lines->end && *lines->p != '\n')
			lines->p++;
		lines->p++;
		lines->at.line++;
	}
	return err;
}

int variables_read(struct import *im)
{
	const char *path = im->options->env_file;
	struct lines lines = {.im = im};
	char *text;
	size_t len;
	int err;

	if (!path) {
		path = import_format(im, "%s/.env", im->directory);
		if (!path)
			return -ENOMEM;
		if (access(path, F_OK))
			return 0;
	}
	err = file_read(im, path, &text, &len);
	if (err)
		return err;
	lines.p = text;
	lines.end = text + strlen(text);
	lines.at = (struct position){.file = path, .line = 1, .column = 1};
	return read_lines(&lines);
}
