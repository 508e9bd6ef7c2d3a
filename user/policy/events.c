// SPDX-License-Identifier: GPL-2.0-only
#include "policy/events.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <libfyaml.h>

/* Length of the UTF-8 sequence at @p, 0 when it is none: overlong forms and surrogates are none. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	static const unsigned int least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	unsigned int code;

	if (n == 1)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > left)
		return 0;
	code = p[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return n;
}

/* The library gets nothing to see that no policy holds; some of it, it never comes to an end with. */
static int check_text(const char *text, size_t len, const char *file, struct diag *diag)
{
	const unsigned char *p = (const unsigned char *)text;
	struct position at = {.file = file, .line = 1, .column = 1};

	for (size_t i = 0, n; i < len; i += n, at.column++) {
		n = utf8_length(p + i, len - i);
		if (!n)
			return diag_fail(diag, -EINVAL, &at, "this is not UTF-8 text");
		if ((p[i] < 0x20 && !strchr("\t\n\r", p[i])) || p[i] == 0x7f || !p[i])
			return diag_fail(diag, -EINVAL, &at, "control character 0x%02x in the file",
					 p[i]);
		/* The library takes a lone carriage return for a line's end, too. */
		if (p[i] == '\n' || (p[i] == '\r' && (i + 1 == len || p[i + 1] != '\n'))) {
			at.line++;
			at.column = 0;
		}
	}
	return 0;
}

/* The library may place what is missing at the end on a line behind it: no farther than behind the last character. */
static void keep_inside(struct position *at, const char *text, size_t len)
{
	struct position end = {.line = 1, .column = 1};

	for (size_t i = 0; i < len; i++, end.column++) {
		bool crlf = text[i] == '\r' && i + 1 < len && text[i + 1] == '\n';

		if ((text[i] != '\n' && text[i] != '\r') || crlf)
			continue;
		if (end.line == at->line)
			break;
		end.line++;
		end.column = 0;
	}
	if (at->line > end.line || (at->line == end.line && at->column > end.column)) {
		at->line = end.line;
		at->column = end.column;
	}
}

/* What the library found wrong: the first of its errors. */
static int first_error(struct fy_diag *collected, const char *text, size_t len, const char *file,
		       struct diag *diag)
{
	struct position at = {.file = file, .line = 1, .column = 1};
	struct fy_diag_error *error;
	void *iterator = NULL;

	error = fy_diag_errors_iterate(collected, &iterator);
	if (!error)
		return diag_fail(diag, -EINVAL, &at, "this is not valid YAML");
	if (error->line > 0) {
		at.line = error->line;
		at.column = error->column > 0 ? error->column : 1;
		keep_inside(&at, text, len);
	}
	return diag_fail(diag, -EINVAL, &at, "this is not valid YAML: %s", error->msg);
}

static void say_nothing(struct fy_diag *diag, void *user, const char *text, size_t len)
{
}

int yaml_events(const char *text, size_t len, const char *file,
		int (*each)(void *arg, struct fy_event *event), void *arg, struct diag *diag)
{
	struct fy_diag_cfg diag_config;
	struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_JSON_NONE};
	struct fy_parser *parser = NULL;
	struct fy_event *event;
	int err = check_text(text, len, file, diag);

	if (err)
		return err;
	err = -ENOMEM;
	fy_diag_cfg_default(&diag_config);
	diag_config.fp = NULL;
	diag_config.output_fn = say_nothing;
	config.diag = fy_diag_create(&diag_config);
	if (!config.diag)
		return -ENOMEM;
	fy_diag_set_collect_errors(config.diag, true);
	parser = fy_parser_create(&config);
	if (parser && !fy_parser_set_string(parser, text, len)) {
		do {
			event = fy_parser_parse(parser);
			err = event ? each(arg, event)
				    : first_error(config.diag, text, len, file, diag);
			if (event)
				fy_parser_event_free(parser, event);
		} while (!err);
	}
	if (parser)
		fy_parser_destroy(parser);
	fy_diag_destroy(config.diag);
	return err > 0 ? 0 : err;
}
