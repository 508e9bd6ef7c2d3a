// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compose files to policies, to the letter: tests/golden/import/NAME.yaml must give what NAME.expected holds, a policy with
 * its report or an error. The first line may say how it is read: "# import: tight project=NAME interface=NIC,NIC
 * env-file=FILE env=NAME=VALUE with=FILE".
 * Whatever the text, damaged files included: where a policy comes out, the policy language takes it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "import/import.h"
#include "policy/model.h"

#define GOLDEN	"tests/golden/import"
#define SOURCES "user/import/*.c"

/** struct request - how a golden file is read; @words is what its first line says, cut up. */
struct request {
	char words[1024];
	struct import_options options;
	const char *environ[8];
	const char *paths[8];
	size_t nr_paths;
};

static char source_root[4096];

static char *slurp(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 18);

	assert_non_null(text);
	if (!file) {
		free(text);
		return NULL;
	}
	fread(text, 1, (1 << 18) - 1, file);
	return text;
}

static void take_word(struct request *request, const char *word)
{
	size_t n = 0;

	if (!strcmp(word, "tight"))
		request->options.tight = true;
	else if (!strncmp(word, "project=", 8))
		request->options.project = word + 8;
	else if (!strncmp(word, "interface=", 10))
		request->options.interfaces = word + 10;
	else if (!strncmp(word, "env-file=", 9))
		request->options.env_file = word + 9;
	else if (!strncmp(word, "with=", 5))
		request->paths[request->nr_paths++] = word + 5;
	else if (!strncmp(word, "env=", 4)) {
		while (request->environ[n])
			n++;
		request->environ[n] = word + 4;
	} else
		fail_msg("\"%s\" says nothing to this test", word);
}

static void read_request(const char *yaml, const char *text, struct request *ret)
{
	static const char mark[] = "# import: ";
	char *rest;

	*ret = (struct request){.paths = {yaml}, .nr_paths = 1};
	ret->options.environ = ret->environ;
	if (strncmp(text, mark, strlen(mark)))
		return;
	snprintf(ret->words, sizeof(ret->words), "%.*s", (int)strcspn(text, "\n"), text);
	rest = ret->words + strlen(mark);
	for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
		take_word(ret, word);
}

/* The policy language takes @text, and has a rule of it. */
static void check_policy(const char *what, const char *text)
{
	struct policy *policy = NULL;
	struct diag diag = {};
	char said[4096];

	if (policy_parse_text(text, strlen(text), "policy", &policy, &diag))
		fail_msg("%s: %s\n%s", what, diag_text(&diag, said, sizeof(said)), text);
	assert_true(policy->nr_rules > 0);
	policy_free(policy);
	diag_reset(&diag);
}

/* What import says: the policy, or the error. */
static char *outcome(const struct request *request)
{
	_cleanup_free_ char *project = NULL;
	struct diag diag = {};
	char *text = NULL;
	int err;

	err = import_compose(request->paths, request->nr_paths, &request->options, &text, &project,
			     &diag);
	if (err) {
		assert_null(text);
		assert_true(diag.error[0]);
		text = calloc(1, 8192);
		assert_non_null(text);
		diag_text(&diag, text, 8190);
		strcat(text, "\n");
	} else {
		check_policy(request->paths[0], text);
	}
	diag_reset(&diag);
	return text;
}

static bool check_case(const char *yaml)
{
	_cleanup_free_ char *expected = NULL, *got = NULL, *text = slurp(yaml);
	struct request request;
	char file[300];

	snprintf(file, sizeof(file), "%.*s.expected", (int)(strlen(yaml) - strlen(".yaml")), yaml);
	expected = slurp(file);
	read_request(yaml, text, &request);
	got = outcome(&request);
	if (expected && expected[0] && !strcmp(expected, got))
		return true;
	print_error("%s\n--- wanted\n%s--- got\n%s", yaml, expected ? expected : "(nothing)\n",
		    got);
	return false;
}

static void every_file_gives_what_is_expected(void **state)
{
	unsigned int failed = 0;
	glob_t files;

	assert_int_equal(glob("*.yaml", 0, NULL, &files), 0);
	assert_true(files.gl_pathc > 70);
	for (size_t i = 0; i < files.gl_pathc; i++)
		failed += !check_case(files.gl_pathv[i]);
	globfree(&files);
	if (failed)
		fail_msg("%u files differ", failed);
}

/* One damage: a byte less, more, other, or a line twice. Returns the new length. */
static size_t damage(char *text, size_t len, unsigned int *seed)
{
	static const char bytes[] = "{}[]:,-\"'&*!#$\n |>x0/<";
	size_t at = (size_t)rand_r(seed) % len, end;

	switch (rand_r(seed) % 4) {
	case 0:
		memmove(text + at, text + at + 1, len - at - 1);
		return len - 1;
	case 1:
		memmove(text + at + 1, text + at, len - at);
		text[at] = bytes[(size_t)rand_r(seed) % (sizeof(bytes) - 1)];
		return len + 1;
	case 2:
		text[at] = bytes[(size_t)rand_r(seed) % (sizeof(bytes) - 1)];
		return len;
	}
	end = at + strcspn(text + at, "\n");
	memmove(text + end, text + at, len - at);
	return len + end - at;
}

static void damaged_files_give_a_policy_or_an_error(void **state)
{
	unsigned int seed = 7, policies = 0, errors = 0;
	char path[] = "/tmp/weir-import-XXXXXX";
	int fd = mkstemp(path);
	glob_t files;

	assert_true(fd >= 0);
	assert_int_equal(glob("*.yaml", 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc * 40; i++) {
		_cleanup_free_ char *text = slurp(files.gl_pathv[i % files.gl_pathc]);
		_cleanup_free_ char *got = NULL;
		struct request request;
		size_t len = strlen(text);

		read_request(path, text, &request);
		for (unsigned int n = 0; len && n <= i % 3; n++)
			len = damage(text, len, &seed);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, text, len, 0), len);
		request.options.project = "damaged";
		request.nr_paths = 1;
		got = outcome(&request);
		policies += !strncmp(got, "# The compose", 13);
		errors += strncmp(got, "# The compose", 13) != 0;
	}
	globfree(&files);
	close(fd);
	unlink(path);
	assert_true(policies > 200);
	assert_true(errors > 200);
}

/* Aliases are cheap to write: what they stand for must not be dear to read. */
static void aliases_that_multiply_are_refused_or_shared(void **state)
{
	struct import_options options = {.project = "laughs"};
	char path[] = "/tmp/weir-import-XXXXXX";
	_cleanup_free_ char *text = NULL, *project = NULL;
	const char *paths[] = {path};
	_cleanup_fclose_ FILE *file = fdopen(mkstemp(path), "w");
	struct diag diag = {};

	assert_non_null(file);
	fputs("x-0: &a0 {a: 1, b: 2}\n", file);
	for (unsigned int i = 1; i < 60; i++)
		fprintf(file, "x-%u: &a%u {l: [*a%u, *a%u], <<: *a%u}\n", i, i, i - 1, i - 1,
			i - 1);
	fputs("services: {web: {x-a: *a59, x-b: *a59}}\n", file);
	fflush(file);
	assert_int_equal(import_compose(paths, 1, &options, &text, &project, &diag), 0);
	check_policy("aliases", text);
	unlink(path);
	diag_reset(&diag);
}

static void a_mapping_that_grows_by_merging_is_refused(void **state)
{
	struct import_options options = {.project = "laughs"};
	char path[] = "/tmp/weir-import-XXXXXX";
	char *text = NULL, *project = NULL;
	const char *paths[] = {path};
	_cleanup_fclose_ FILE *file = fdopen(mkstemp(path), "w");
	struct diag diag = {};

	assert_non_null(file);
	fputs("x-0: &a0 {a: 1}\n", file);
	for (unsigned int i = 1; i < 2000; i++)
		fprintf(file, "x-%u: &a%u {k%u: 1, <<: *a%u}\n", i, i, i, i - 1);
	fputs("services: {web: {}}\n", file);
	fflush(file);
	assert_int_equal(import_compose(paths, 1, &options, &text, &project, &diag), -EINVAL);
	assert_non_null(strstr(diag.error, "too large"));
	unlink(path);
	diag_reset(&diag);
}

/* Literals of a message in the sources: what stands between its conversions must be in some golden file. */
static bool is_shown(const char *message, size_t len, const char *golden)
{
	char piece[256];
	size_t from = 0, to;

	while (from < len) {
		to = from + strcspn(message + from, "%\\");
		if (to > len)
			to = len;
		if (to - from > 7) {
			snprintf(piece, sizeof(piece), "%.*s", (int)(to - from), message + from);
			if (!strstr(golden, piece))
				return false;
		}
		from = to + (message[to] == '\\' ? 2 : 1);
		while (message[to] == '%' && from < len && !strchr("suc%", message[from]))
			from++;
		from += message[to] == '%';
	}
	return true;
}

static char *all_golden(void)
{
	char *all = calloc(1, 1 << 22);
	glob_t files;

	assert_non_null(all);
	assert_int_equal(glob("*.expected", 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		_cleanup_free_ char *text = slurp(files.gl_pathv[i]);

		strcat(all, text);
	}
	globfree(&files);
	return all;
}

static void every_message_is_in_a_golden_file(void **state)
{
	static const char *const unreachable[] = {
	    "is larger than",	 "more than %d files", "the files are too large",
	    "gives no name for", "\"%s: %s\"",	       "this is not valid YAML\""};
	_cleanup_free_ char *golden = all_golden();
	char pattern[4200];
	unsigned int failed = 0, seen = 0;
	glob_t files;

	snprintf(pattern, sizeof(pattern), "%s/" SOURCES, source_root);
	assert_int_equal(glob(pattern, 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		_cleanup_free_ char *text = slurp(files.gl_pathv[i]);
		char *p = text;

		while ((p = strpbrk(p, "(")) != NULL) {
			bool call = (p - text > 11 && !strncmp(p - 11, "import_fail", 11)) ||
				    (p - text > 9 && (!strncmp(p - 9, "diag_fail", 9) ||
						      !strncmp(p - 9, "diag_warn", 9)));
			char *quote = strchr(++p, '"'), *end = quote;
			bool skip = !call || !quote || quote > p + strcspn(p, ";");

			if (skip)
				continue;
			do
				end = strchr(end + 1, '"');
			while (end && end[-1] == '\\');
			assert_non_null(end);
			for (size_t j = 0; j < ARRAY_SIZE(unreachable); j++) {
				char *found = strstr(quote, unreachable[j]);

				skip |= found && found <= end;
			}
			seen++;
			if (skip || is_shown(quote + 1, (size_t)(end - quote - 1), golden))
				continue;
			print_error("no golden file shows: %.*s\n", (int)(end - quote + 1), quote);
			failed++;
		}
	}
	globfree(&files);
	assert_true(seen > 60);
	assert_int_equal(failed, 0);
}

static int enter_golden(void **state)
{
	return getcwd(source_root, sizeof(source_root)) ? chdir(GOLDEN) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_file_gives_what_is_expected),
	    cmocka_unit_test(every_message_is_in_a_golden_file),
	    cmocka_unit_test(damaged_files_give_a_policy_or_an_error),
	    cmocka_unit_test(aliases_that_multiply_are_refused_or_shared),
	    cmocka_unit_test(a_mapping_that_grows_by_merging_is_refused),
	};

	return cmocka_run_group_tests(tests, enter_golden, NULL);
}
