// SPDX-License-Identifier: GPL-2.0-only
/* Options, messages and JSON output that all commands share. */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

/* ---- messages ---- */

static void message(const char *kind, const char *format, va_list args)
{
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, format, args) < 0) {
		text = NULL;
		return;
	}
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	fflush(stdout);
	fprintf(stderr, "weir: %s%s\n", kind, text);
}

void cmd_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	message("", format, args);
	va_end(args);
}

void cmd_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	message("warning: ", format, args);
	va_end(args);
}

void cmd_warnings(const struct diag *diag)
{
	for (size_t i = 0; diag && i < diag->nr_warnings; i++)
		cmd_warn("%s", diag->warnings[i]);
}

int usage_error(const struct command *command, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	message("", format, args);
	va_end(args);
	if (command)
		fprintf(stderr, "usage: weir %s %s\nSee `weir help %s`.\n", command->name,
			command->usage, command->name);
	else
		fprintf(stderr,
			"usage: weir COMMAND [OPTION]... [ARGUMENT]...\nSee `weir help`.\n");
	return EXIT_USAGE;
}

static int fail(const struct cmd_context *ctx, int err, const struct diag *diag, const char *holds,
		int status)
{
	const char *why = diag && diag->error[0] ? diag->error : strerror(-err);
	struct diag bare = {};
	char text[2048];
	json_t *object, *error;

	cmd_warnings(diag);
	snprintf(bare.error, sizeof(bare.error), "%s", why);
	if (diag)
		bare.at = diag->at;
	diag_text(&bare, text, sizeof(text));
	cmd_error("%s%s%s", text, holds ? "; " : "", holds ? holds : "");
	if (!ctx->json)
		return status;
	error = json_object();
	json_put_text(error, "message", why);
	json_put_position(error, &bare.at);
	json_put_text(error, "holds", holds);
	object = json_object();
	json_put(object, "error", error);
	return cmd_json(object, status);
}

int cmd_fail(const struct cmd_context *ctx, int err, const struct diag *diag, const char *holds)
{
	return fail(ctx, err, diag, holds, EXIT_FAILED);
}

int cmd_reject(const struct cmd_context *ctx, int err, const struct diag *diag, const char *holds)
{
	return fail(ctx, err, diag, holds, EXIT_REJECTED);
}

/* ---- JSON ---- */

/* Names come from files and interfaces, in any encoding: what is not UTF-8 must not lose the whole object. */
json_t *json_text(const char *text)
{
	_cleanup_free_ char *copy = NULL;
	json_t *value;

	if (!text)
		return json_null();
	value = json_string(text);
	if (value)
		return value;
	copy = strdup(text);
	for (char *c = copy; c && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return copy ? json_string(copy) : NULL;
}

/* An object without a key that was promised is worse than none: out of memory ends the command. */
void json_put(json_t *object, const char *key, json_t *value)
{
	if (!json_object_set_new(object, key, value))
		return;
	cmd_error("JSON cannot be made: %s", strerror(ENOMEM));
	exit(EXIT_FAILED);
}

void json_put_text(json_t *object, const char *key, const char *text)
{
	json_put(object, key, json_text(text));
}

void json_put_int(json_t *object, const char *key, __u64 number)
{
	json_put(object, key, json_integer((json_int_t)number));
}

void json_put_bool(json_t *object, const char *key, bool value)
{
	json_put(object, key, json_boolean(value));
}

void json_put_position(json_t *object, const struct position *at)
{
	json_put_text(object, "file", at->file);
	json_put(object, "line", at->file && at->line ? json_integer(at->line) : json_null());
	json_put(object, "column", at->file && at->column ? json_integer(at->column) : json_null());
}

json_t *json_warnings(const struct diag *diag)
{
	json_t *list = json_array();

	for (size_t i = 0; i < diag->nr_warnings; i++)
		json_array_append_new(list, json_text(diag->warnings[i]));
	return list;
}

int cmd_json(json_t *value, int status)
{
	int err = !value || json_dumpf(value, stdout, JSON_INDENT(2)) || putchar('\n') == EOF ||
		  fflush(stdout);

	json_decref(value);
	if (!err)
		return status;
	cmd_error("JSON cannot be written: %s", strerror(errno ? errno : ENOMEM));
	return status ? status : EXIT_FAILED;
}

/* ---- options ---- */

static int why_fail(char **why, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int why_fail(char **why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(why, format, args) < 0)
		*why = NULL;
	va_end(args);
	return -EINVAL;
}

/* "--for: wants TIME: <what units.h wanted>, found "60"" */
static int option_set(const struct cmd_option *option, const char *value, char **why)
{
	const char *wanted = option->value;
	int err = 0;

	switch (option->type) {
	case OPTION_FLAG:
		*(bool *)option->into = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)option->into = value;
		return *value
			   ? 0
			   : why_fail(why, "--%s: wants %s, found nothing", option->name, wanted);
	case OPTION_NUMBER:
		err = units_parse_number(value, option->into, &wanted);
		break;
	case OPTION_DURATION:
		err = units_parse_duration(value, option->into, &wanted);
		break;
	}
	return err ? why_fail(why, "--%s \"%s\": %s", option->name, value, wanted) : 0;
}

static const struct cmd_option *option_find(const struct cmd_option *table, const char *name,
					    size_t len)
{
	for (; table && table->name; table++)
		if (strlen(table->name) == len && !strncmp(table->name, name, len))
			return table;
	return NULL;
}

static const struct cmd_option *option_find_letter(const struct cmd_option *table, char letter)
{
	for (; table && table->name; table++)
		if (table->letter == letter)
			return table;
	return NULL;
}

/* "--name", "--name=value", "--name value"; @next: the following argument or NULL; *used: it was taken. */
static int option_long(const struct cmd_option *global, const struct cmd_option *own,
		       const char *text, const char *next, bool *used, char **why)
{
	size_t len = strcspn(text, "=");
	const char *value = text[len] ? text + len + 1 : NULL;
	const struct cmd_option *option = option_find(own, text, len);

	if (!option)
		option = option_find(global, text, len);
	if (!option)
		return why_fail(why, "unknown option --%.*s", (int)len, text);
	if (!option->value)
		return value ? why_fail(why, "--%s takes no value", option->name)
			     : option_set(option, NULL, why);
	if (!value) {
		if (!next)
			return why_fail(why, "--%s: wants %s", option->name, option->value);
		value = next;
		*used = true;
	}
	return option_set(option, value, why);
}

/* "-p", "-pf", "-o value", "-ovalue" */
static int option_short(const struct cmd_option *global, const struct cmd_option *own,
			const char *letters, const char *next, bool *used, char **why)
{
	for (; *letters; letters++) {
		const struct cmd_option *option = option_find_letter(own, *letters);
		const char *value;
		int err;

		if (!option)
			option = option_find_letter(global, *letters);
		if (!option)
			return why_fail(why, "unknown option -%c", *letters);
		value = option->value && letters[1] ? letters + 1 : next;
		if (option->value && !value)
			return why_fail(why, "-%c: wants %s", *letters, option->value);
		err = option_set(option, value, why);
		if (err)
			return err;
		if (option->value) {
			*used = value == next;
			return 0;
		}
	}
	return 0;
}

int options_parse(const struct cmd_option *global, const struct cmd_option *own, int *argc,
		  char **argv, char **why)
{
	int operands = 1;
	bool ended = false;

	for (int i = 1; i < *argc; i++) {
		const char *next = i + 1 < *argc ? argv[i + 1] : NULL;
		bool used = false;
		int err;

		if (ended || argv[i][0] != '-' || !argv[i][1]) {
			argv[operands++] = argv[i];
			continue;
		}
		if (!strcmp(argv[i], "--")) {
			ended = true;
			continue;
		}
		if (argv[i][1] == '-')
			err = option_long(global, own, argv[i] + 2, next, &used, why);
		else
			err = option_short(global, own, argv[i] + 1, next, &used, why);
		if (err)
			return err;
		i += used;
	}
	argv[operands] = NULL;
	*argc = operands;
	return 0;
}
