// SPDX-License-Identifier: GPL-2.0-only
/* weir-policy(5) and the parser know the same keys, and every example in the manual is a policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "policy/keys.h"
#include "policy/model.h"

#define MANUAL "user/man/weir-policy.5"
#define LINT \
	"mandoc -T lint " MANUAL " 2>&1 | grep -vE 'referenced manual not found|outdated mandoc.db'"

static char *manual;

/* Go through the manual by lines; @line is cut out of a copy. */
struct lines {
	char *copy, *rest;
};

static struct lines lines_begin(void)
{
	struct lines lines = {.copy = strdup(manual)};

	assert_non_null(lines.copy);
	lines.rest = lines.copy;
	return lines;
}

static char *lines_next(struct lines *lines)
{
	return strsep(&lines->rest, "\n");
}

static const char *after(const char *line, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(line, prefix, n) ? NULL : line + n;
}

static const struct scope *find_scope(const char *name)
{
	for (const struct scope *const *scope = policy_scopes; *scope; scope++)
		if (!strcmp((*scope)->name, name))
			return *scope;
	return NULL;
}

static const struct key *find_key(const struct scope *scope, const char *name)
{
	for (const struct key *key = scope->keys; key->name; key++)
		if (!strcmp(key->name, name))
			return key;
	return NULL;
}

static void every_key_in_the_manual_is_known_to_the_parser(void **state)
{
	struct lines lines = lines_begin();
	const struct scope *scope = NULL;
	size_t keys = 0;
	char *line;

	while ((line = lines_next(&lines))) {
		const char *title = after(line, ".Ss "), *name;

		if (title || after(line, ".Sh ")) {
			name = title ? after(title, "Keys of ") : NULL;
			scope = name ? find_scope(name) : NULL;
			if (name && !scope)
				fail_msg("the manual has keys of \"%s\", the parser does not",
					 name);
			continue;
		}
		name = after(line, ".It Ic ");
		if (!name)
			continue;
		if (!scope)
			fail_msg("key \"%s\" outside of all scopes", name);
		if (!find_key(scope, name))
			fail_msg("the manual has the key \"%s\" of %s, the parser does not", name,
				 scope->name);
		keys++;
	}
	assert_true(keys > 80);
	free(lines.copy);
}

/* The entry of a key: from its ".It Ic" to the next one. Returns whether it is there, and what it says in @said. */
static bool documented(const struct scope *scope, const struct key *key, char *said, size_t size)
{
	struct lines lines = lines_begin();
	bool in_scope = false, in_key = false, found = false;
	char *line;

	said[0] = '\0';
	while ((line = lines_next(&lines))) {
		const char *title = after(line, ".Ss Keys of "), *name = after(line, ".It Ic ");

		if (after(line, ".Ss ") || after(line, ".Sh "))
			in_scope = title && !strcmp(title, scope->name);
		if (!in_scope || !strcmp(line, ".El"))
			in_key = false;
		else if (name)
			in_key = !strcmp(name, key->name);
		else if (in_key && strlen(said) + strlen(line) + 2 < size)
			strcat(strcat(said, line), " ");
		found |= in_key;
	}
	free(lines.copy);
	return found;
}

static void every_key_of_the_parser_is_in_the_manual(void **state)
{
	for (const struct scope *const *scope = policy_scopes; *scope; scope++)
		for (const struct key *key = (*scope)->keys; key->name; key++) {
			char said[4096];
			bool later;

			if (!documented(*scope, key, said, sizeof(said)))
				fail_msg("%s: the manual has no key \"%s\"", (*scope)->name,
					 key->name);
			if (strlen(said) < 10)
				fail_msg("%s: the manual says nothing about \"%s\"", (*scope)->name,
					 key->name);
			later = after(said, "Not supported yet") != NULL;
			if (later != (key->read == NULL))
				fail_msg(
				    "%s: parser and manual differ on whether \"%s\" is supported",
				    (*scope)->name, key->name);
		}
}

static void check_example(const char *text, unsigned int number)
{
	struct policy *policy = NULL;
	struct diag diag = {};
	char error[8192];

	/* Lists that an example names need not be on this machine. */
	if (policy_parse_outline(text, strlen(text), "example", &policy, &diag))
		fail_msg("example %u: %s\n%s", number, diag_text(&diag, error, sizeof(error)),
			 text);
	if (diag.nr_warnings)
		fail_msg("example %u: %s\n%s", number, diag.warnings[0], text);
	policy_free(policy);
	diag_reset(&diag);
}

static void every_example_in_the_manual_is_a_policy(void **state)
{
	struct lines lines = lines_begin();
	char text[8192] = "";
	unsigned int number = 0;
	bool inside = false;
	char *line;

	while ((line = lines_next(&lines))) {
		if (after(line, ".Bd -literal")) {
			inside = true;
			text[0] = '\0';
		} else if (inside && after(line, ".Ed")) {
			inside = false;
			check_example(text, ++number);
		} else if (inside) {
			assert_true(strlen(text) + strlen(line) + 2 < sizeof(text));
			strcat(strcat(text, line), "\n");
		}
	}
	assert_true(number > 8);
	free(lines.copy);
}

static void the_manual_is_in_good_form(void **state)
{
	char line[512] = "";
	FILE *lint;

	if (system("command -v mandoc >/dev/null")) {
		print_message("mandoc is not installed\n");
		skip();
	}
	lint = popen(LINT, "r");
	assert_non_null(lint);
	if (fgets(line, sizeof(line), lint))
		fail_msg("%s", line);
	pclose(lint);
}

static int load(void **state)
{
	FILE *file = fopen(MANUAL, "r");

	manual = calloc(1, 1 << 17);
	if (!file || !manual || !fread(manual, 1, (1 << 17) - 1, file)) {
		print_error("run it from the root of the sources\n");
		return -1;
	}
	return fclose(file);
}

static int unload(void **state)
{
	free(manual);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_key_in_the_manual_is_known_to_the_parser),
	    cmocka_unit_test(every_key_of_the_parser_is_in_the_manual),
	    cmocka_unit_test(every_example_in_the_manual_is_a_policy),
	    cmocka_unit_test(the_manual_is_in_good_form),
	};

	return cmocka_run_group_tests_name("policy_manual", tests, load, unload);
}
