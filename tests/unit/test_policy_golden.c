// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every message of the policy layer, to the letter: tests/golden/policy/NAME.yaml must give what NAME.expected holds, an
 * error or the warnings. more/NAME.yaml, where it exists, is read as a second file.
 * A message in the sources that no golden file shows is a failure too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "policy/model.h"

#define GOLDEN	"tests/golden/policy"
#define SOURCES "user/policy/*.c"

static char source_root[PATH_MAX];

static char *slurp(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 17);

	if (!file || !text) {
		free(text);
		return NULL;
	}
	fread(text, 1, (1 << 17) - 1, file);
	return text;
}

/* What parsing says: the error, else the warnings, a line each. */
static void outcome(const char *const *paths, size_t n, char *text, size_t size)
{
	struct policy *policy = NULL;
	struct diag diag = {};
	size_t used = 0;
	int err;

	text[0] = '\0';
	err = policy_parse(paths, n, &policy, &diag);
	if (err) {
		diag_text(&diag, text, size - 1);
		strcat(text, "\n");
		assert_null(policy);
	}
	for (size_t i = 0; !err && i < diag.nr_warnings && used < size; i++)
		used += snprintf(text + used, size - used, "%s\n", diag.warnings[i]);
	policy_free(policy);
	diag_reset(&diag);
}

static bool check_case(const char *yaml)
{
	_cleanup_free_ char *expected = NULL;
	char name[256], second[300], file[300], got[8192];
	const char *paths[2] = {yaml, second};
	size_t n = 1;

	snprintf(name, sizeof(name), "%.*s", (int)(strlen(yaml) - strlen(".yaml")), yaml);
	snprintf(file, sizeof(file), "%s.expected", name);
	snprintf(second, sizeof(second), "more/%s.yaml", name);
	if (!access(second, R_OK))
		n = 2;
	expected = slurp(file);
	outcome(paths, n, got, sizeof(got));
	if (expected && expected[0] && !strcmp(expected, got))
		return true;
	print_error("%s\n  wanted: %s  got:    %s\n", yaml, expected ? expected : "(nothing)\n",
		    got);
	return false;
}

static void every_case_gives_its_message_to_the_letter(void **state)
{
	size_t failed = 0;
	glob_t found;

	assert_int_equal(chdir(GOLDEN), 0);
	assert_int_equal(glob("*.yaml", 0, NULL, &found), 0);
	assert_true(found.gl_pathc > 150);
	for (size_t i = 0; i < found.gl_pathc; i++)
		failed += !check_case(found.gl_pathv[i]);
	globfree(&found);
	assert_int_equal(chdir(source_root), 0);
	assert_int_equal(failed, 0);
}

/* All that the golden files expect, a line each, without the places. */
static char *all_expected(void)
{
	char *all = calloc(1, 1 << 20);
	glob_t found;

	assert_non_null(all);
	assert_int_equal(glob(GOLDEN "/*.expected", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		_cleanup_free_ char *text = slurp(found.gl_pathv[i]);

		assert_non_null(text);
		strcat(all, text);
	}
	globfree(&found);
	return all;
}

static bool expected_somewhere(const char *all, const char *pattern)
{
	_cleanup_free_ char *lines = strdup(all);
	char *rest = lines;
	char *line;

	while ((line = strsep(&rest, "\n")))
		if (!fnmatch(pattern, line, 0))
			return true;
	return false;
}

/* The string literals that begin at @p, up to the end of the statement, as one; returns false where there is none. */
static bool literal(const char *p, char *text, size_t size)
{
	size_t n = 0;

	p += strcspn(p, "\";");
	if (*p != '"')
		return false;
	while (*p == '"') {
		for (p++; *p && *p != '"' && n < size - 1; p++) {
			if (*p == '\\')
				p++;
			text[n++] = *p;
		}
		p++;
		p += strspn(p, " \t\n");
	}
	text[n] = '\0';
	return true;
}

/* A format as a pattern: what is filled in may be anything, after any place. */
static void to_pattern(const char *format, char *pattern, size_t size)
{
	size_t n = snprintf(pattern, size, "*: ");

	for (; *format && n < size - 3; format++) {
		if (*format == '%') {
			format += strcspn(format, "sduxz");
			if (*format == 'z')
				format++;
			pattern[n++] = '*';
			continue;
		}
		if (strchr("*?[]\\", *format))
			pattern[n++] = '\\';
		pattern[n++] = *format;
	}
	pattern[n] = '\0';
}

/* What no golden file can show, and where it is tested instead. */
static const char *const elsewhere[] = {
    "%s",		       /* the wrapper in yaml.c */
    "no policy file",	       /* test_policy_parse: has no file */
    "is larger than %d bytes", /* test_policy_parse: files of a megabyte are not kept */
    "cannot be read: %s",      /* test_policy_parse: its text is the C library's */
    "more than %u lines",      /* test_policy_list: nor files of 16 million lines */
    "this is not valid YAML",  /* only where the YAML library has no reason to give */
};

static size_t check_source(const char *path, const char *all, size_t *messages)
{
	static const char *const calls[] = {"diag_fail(", "reject(", "diag_warn("};
	_cleanup_free_ char *source = slurp(path);
	size_t missing = 0;

	assert_non_null(source);
	for (const char *p = source; *p; p++) {
		char format[512], pattern[600];
		bool call = false, exempt = false;

		for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
			call |= !strncmp(p, calls[i], strlen(calls[i]));
		if (!call || (p > source && strchr("_", p[-1])) ||
		    !literal(p, format, sizeof(format)))
			continue;
		(*messages)++;
		for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
			exempt |= !strcmp(format, elsewhere[i]);
		to_pattern(format, pattern, sizeof(pattern));
		if (!exempt && !expected_somewhere(all, pattern)) {
			print_error("%s: no golden file shows \"%s\"\n", path, format);
			missing++;
		}
	}
	return missing;
}

static void every_message_in_the_sources_has_a_case(void **state)
{
	_cleanup_free_ char *all = all_expected();
	size_t missing = 0, messages = 0;
	glob_t found;

	assert_int_equal(glob(SOURCES, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		missing += check_source(found.gl_pathv[i], all, &messages);
	globfree(&found);
	assert_true(messages > 80);
	assert_int_equal(missing, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_case_gives_its_message_to_the_letter),
	    cmocka_unit_test(every_message_in_the_sources_has_a_case),
	};

	if (!getcwd(source_root, sizeof(source_root)) || access(GOLDEN, R_OK)) {
		fprintf(stderr, "run it from the root of the sources\n");
		return 1;
	}
	return cmocka_run_group_tests_name("policy_golden", tests, NULL, NULL);
}
