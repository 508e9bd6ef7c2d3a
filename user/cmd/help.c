// SPDX-License-Identifier: GPL-2.0-only
/* weir help [COMMAND] */
#include "cmd/cmd.h"

#include <stdio.h>
#include <string.h>

static void print_options(const struct cmd_option *table)
{
	for (; table && table->name; table++) {
		char left[48];

		snprintf(left, sizeof(left), "--%s%s%s", table->name, table->value ? " " : "",
			 table->value ? table->value : "");
		if (table->letter)
			printf("  -%c, %-22s %s\n", table->letter, left, table->help);
		else
			printf("      %-22s %s\n", left, table->help);
	}
}

void command_print_help(const struct command *command)
{
	printf("Usage: weir %s%s%s\n\n%s\n", command->name, command->usage[0] ? " " : "",
	       command->usage, command->help);
	if (command->options) {
		printf("\nOptions:\n");
		print_options(command->options);
	}
	printf("\nGlobal options:\n");
	print_options(global_options);
}

static void print_overview(void)
{
	printf(
	    "weir decides in the kernel which packets may pass: an allowlist of who may talk to\n"
	    "whom, limits on how much each source may send, and an audit of what was refused.\n\n"
	    "Usage: weir COMMAND [OPTION]... [ARGUMENT]...\n\nCommands:\n");
	for (const struct command *const *c = command_next(NULL); c; c = command_next(c))
		printf("  %-10s %s\n", (*c)->name, (*c)->summary);
	printf("\nGlobal options, before or after the command:\n");
	print_options(global_options);
	printf("\nFirst steps:\n"
	       "  weir check policy.yaml                 what would it do, and is it right?\n"
	       "  weir apply policy.yaml --confirm 60s   try it; it falls back by itself unless\n"
	       "  weir confirm                           you confirm\n"
	       "  weir status                            what is in force, and what it dropped\n\n"
	       "Exit status: 0 done, 1 failed, 2 usage, 3 policy rejected.\n"
	       "`weir help COMMAND` explains one; weir(8) and weir-policy(5) have it all.\n");
}

static json_t *options_json(const struct cmd_option *table)
{
	json_t *list = json_array();

	for (; table && table->name; table++) {
		char letter[2] = {table->letter, 0};
		json_t *option = json_object();

		json_put_text(option, "name", table->name);
		json_put_text(option, "letter", table->letter ? letter : NULL);
		json_put_text(option, "value", table->value);
		json_put_text(option, "help", table->help);
		json_array_append_new(list, option);
	}
	return list;
}

static json_t *command_json(const struct command *command)
{
	json_t *object = json_object();

	json_put_text(object, "name", command->name);
	json_put_text(object, "summary", command->summary);
	json_put_text(object, "usage", command->usage);
	json_put_text(object, "help", command->help);
	json_put(object, "options", options_json(command->options));
	return object;
}

static int help_json(const struct command *one)
{
	json_t *list = json_array(), *object = json_object();

	for (const struct command *const *c = command_next(NULL); c; c = command_next(c))
		if (!one || *c == one)
			json_array_append_new(list, command_json(*c));
	json_put(object, "commands", list);
	json_put(object, "options", options_json(global_options));
	return cmd_json(object, EXIT_DONE);
}

static int cmd_help(struct cmd_context *ctx, int argc, char **argv)
{
	const struct command *command = NULL;

	if (argc > 2)
		return usage_error(&command_help, "one command at a time");
	if (argc == 2) {
		command = command_find(argv[1]);
		if (!command)
			return command_unknown(argv[1]);
	}
	if (ctx->json)
		return help_json(command);
	if (command)
		command_print_help(command);
	else
		print_overview();
	return EXIT_DONE;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance; names of commands are short. */
static size_t distance(const char *a, const char *b)
{
	size_t row[32], n = strlen(b);

	if (n >= ARRAY_SIZE(row))
		return n;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t above = row[j];

			row[j] =
			    smallest(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

int command_unknown(const char *name)
{
	const struct command *nearest = NULL;
	size_t best = 3;

	for (const struct command *const *c = command_next(NULL); c; c = command_next(c)) {
		size_t d = distance(name, (*c)->name);

		if (d < best) {
			best = d;
			nearest = *c;
		}
	}
	if (nearest)
		return usage_error(NULL, "unknown command \"%s\" (did you mean \"%s\"?)", name,
				   nearest->name);
	return usage_error(NULL, "unknown command \"%s\"", name);
}

const struct command command_help = {
    .name = "help",
    .summary = "explain weir, or one command",
    .usage = "[COMMAND]",
    .help = "Without a command: what there is. With --json: commands and options as data.",
    .run = cmd_help,
};
