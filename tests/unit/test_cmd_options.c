// SPDX-License-Identifier: GPL-2.0-only
/* Options of the command line: where they may stand, what their values are, and what is said of wrong ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/cmd.h"

/* main.c is not linked: what the shared code wants of it. */
const struct cmd_option global_options[] = {{}};
const struct command *const *command_next(const struct command *const *after)
{
	return NULL;
}
const struct command *command_find(const char *name)
{
	return NULL;
}

static bool flag, all;
static const char *text, *where;
static __u64 number, duration;

static const struct cmd_option global[] = {
    {"json", 'j', NULL, OPTION_FLAG, &flag, ""},
    {"where", 'w', "DIR", OPTION_TEXT, &where, ""},
    {},
};
static const struct cmd_option own[] = {
    {"all", 'a', NULL, OPTION_FLAG, &all, ""},
    {"text", 't', "TEXT", OPTION_TEXT, &text, ""},
    {"number", 'n', "N", OPTION_NUMBER, &number, ""},
    {"for", 0, "TIME", OPTION_DURATION, &duration, ""},
    {},
};

/* Parses "x " and the words of @line; the operands, separated by spaces, are compared. NULL: an error is wanted. */
static void parses(const char *line, const char *operands, const char *error)
{
	char copy[256], joined[256] = "";
	char *argv[32] = {(char *)"x"};
	char *why = NULL, *save = NULL;
	int argc = 1, err;

	flag = all = false;
	text = where = NULL;
	number = duration = 0;
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	err = options_parse(global, own, &argc, argv, &why);
	if (error) {
		assert_int_equal(err, -EINVAL);
		assert_non_null(why);
		assert_string_equal(why, error);
		free(why);
		return;
	}
	assert_int_equal(err, 0);
	assert_null(why);
	for (int i = 1; i < argc; i++) {
		strcat(joined, i > 1 ? " " : "");
		strcat(joined, argv[i]);
	}
	assert_string_equal(joined, operands);
	assert_null(argv[argc]);
	if (text)
		text = strcmp(text, "-") ? "given" : "dash";
}

static void operands_and_options_mix(void **state)
{
	parses("one --json two -a three", "one two three", NULL);
	assert_true(flag && all);
	parses("one", "one", NULL);
	assert_false(flag || all);
}

static void values_follow_or_are_joined(void **state)
{
	parses("--number 7 x --for=10m", "x", NULL);
	assert_int_equal(number, 7);
	assert_int_equal(duration, 600000000000ULL);
	parses("-n8 -n 9", "", NULL);
	assert_int_equal(number, 9);
	parses("-ajn5", "", NULL);
	assert_true(all && flag);
	assert_int_equal(number, 5);
}

static void a_value_may_look_like_an_option(void **state)
{
	parses("--text --json x", "x", NULL);
	assert_string_equal(text, "given");
	assert_false(flag);
}

static void a_dash_is_an_operand_and_two_end_options(void **state)
{
	parses("- --text - --", "-", NULL);
	assert_string_equal(text, "dash");
	parses("-- --json -a -", "--json -a -", NULL);
	assert_false(flag || all);
}

static void errors_name_the_option(void **state)
{
	parses("--nothing", NULL, "unknown option --nothing");
	parses("--js", NULL, "unknown option --js");
	parses("--jsonx", NULL, "unknown option --jsonx");
	parses("-z", NULL, "unknown option -z");
	parses("-az", NULL, "unknown option -z");
	parses("--json=1", NULL, "--json takes no value");
	parses("--number", NULL, "--number: wants N");
	parses("-n", NULL, "-n: wants N");
	parses("--text=", NULL, "--text: wants TEXT, found nothing");
	parses("--number -7", NULL, "--number \"-7\": a whole number is wanted");
	parses("--for 60", NULL, "--for \"60\": a duration has a unit: ms, s, m, h or d");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(operands_and_options_mix),
	    cmocka_unit_test(values_follow_or_are_joined),
	    cmocka_unit_test(a_value_may_look_like_an_option),
	    cmocka_unit_test(a_dash_is_an_operand_and_two_end_options),
	    cmocka_unit_test(errors_name_the_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
