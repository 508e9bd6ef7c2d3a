// SPDX-License-Identifier: GPL-2.0-only
/*
 * Broken policies: bytes of valid ones changed at random. Whatever comes in, it is either read (and its canonical text reads
 * back to itself) or refused with a reason and a place; the sanitizers see to it that nothing leaks or is overrun.
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
#include "policy/model.h"

#define ROUNDS	   12000
#define MAX_LEN	   16384
#define NR_TOKENS  ARRAY_SIZE(tokens)
#define GOLDEN	   "tests/golden/policy/*.yaml"
#define READY_MADE "scripts/policies/*.yaml"

static const char *const tokens[] = {
    "{",
    "}",
    "[",
    "]",
    ": ",
    ", ",
    "- ",
    "\n",
    "\n  ",
    "&a ",
    "*a",
    "!!str ",
    "? ",
    "<<: ",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "#",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "\t",
    "\\x00",
    "~",
    "null",
    "0",
    "-1",
    "99999999999999999999",
    "/s",
    "10.0.0.0/8",
    "::",
    "self",
    "any",
    "\xc3\xa9",
    "\xff",
    "\xef\xbb\xbf",
    "\xe2\x80\xa8",
    "{file: x}",
    "segments:",
    "allow:",
    "  - {from: any, to: self, port: tcp/1}\n",
    "limits:\n  - {count: bytes, rate: 1MB/s}\n",
    "@",
    "`",
};

static __u64 seed = 42;

static unsigned int pick(unsigned int n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return n ? (seed >> 33) % n : 0;
}

struct text {
	char bytes[MAX_LEN];
	size_t len;
};

static struct text *seeds;
static size_t nr_seeds;

static void load(const char *pattern)
{
	glob_t found;

	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct text *text = mem_append(&seeds, &nr_seeds, sizeof(*text));
		FILE *file = fopen(found.gl_pathv[i], "r");

		assert_true(text && file);
		text->len = fread(text->bytes, 1, MAX_LEN, file);
		fclose(file);
	}
	globfree(&found);
}

/* Replace @gone bytes at @at by @n others, as far as there is room. */
static void splice(struct text *text, size_t at, size_t gone, const char *bytes, size_t n)
{
	char copy[256];

	if (n > sizeof(copy) || at + gone > text->len || text->len - gone + n > MAX_LEN)
		return;
	memcpy(copy, bytes, n);
	memmove(text->bytes + at + n, text->bytes + at + gone, text->len - at - gone);
	memcpy(text->bytes + at, copy, n);
	text->len += n - gone;
}

static void mutate(struct text *text)
{
	size_t at = pick(text->len + 1), n = 1 + pick(30);
	const struct text *other = &seeds[pick(nr_seeds)];
	const char *token = tokens[pick(NR_TOKENS)];
	size_t from = pick(other->len);
	char byte = pick(256);

	switch (pick(6)) {
	case 0:
		splice(text, at, 1, &byte, 1);
		return;
	case 1:
		splice(text, at, n, "", 0);
		return;
	case 2:
		splice(text, at, 0, token, strlen(token));
		return;
	case 3:
		splice(text, at, n, token, strlen(token));
		return;
	case 4:
		if (from + n <= other->len)
			splice(text, at, 0, other->bytes + from, n);
		return;
	default:
		if (pick(4) == 0)
			text->len = at;
	}
}

static void check_accepted(const struct policy *policy)
{
	char *canonical = NULL, *again = NULL;
	struct policy *second = NULL;
	struct diag diag = {};

	assert_int_equal(policy_print(policy, &canonical), 0);
	if (policy_parse_text(canonical, strlen(canonical), "canonical", &second, &diag))
		fail_msg("%u:%u: %s\n%s", diag.at.line, diag.at.column, diag.error, canonical);
	assert_int_equal(policy_print(second, &again), 0);
	assert_string_equal(canonical, again);
	free(canonical);
	free(again);
	policy_free(second);
	diag_reset(&diag);
}

/* Returns whether it was accepted. A copy of exactly its size: the sanitizer sees what is read behind it. */
static bool check(const struct text *text)
{
	char *exact = malloc(text->len ? text->len : 1);
	struct policy *policy = NULL;
	struct diag diag = {};
	int err;

	assert_non_null(exact);
	memcpy(exact, text->bytes, text->len);
	err = policy_parse_text(exact, text->len, "mutated", &policy, &diag);
	if (err) {
		assert_null(policy);
		assert_true(err == -EINVAL || err == -ENOENT || err == -EACCES || err == -ENOTDIR ||
			    err == -ENAMETOOLONG);
		assert_string_not_equal(diag.error, "");
		assert_string_equal(diag.at.file, "mutated");
		assert_true(diag.at.line > 0 && diag.at.column > 0);
	} else {
		check_accepted(policy);
	}
	policy_free(policy);
	diag_reset(&diag);
	free(exact);
	return !err;
}

static void whatever_comes_in_is_read_or_refused(void **state)
{
	_cleanup_free_ struct text *text = malloc(sizeof(*text));
	size_t accepted = 0;

	load(GOLDEN);
	load(READY_MADE);
	assert_true(nr_seeds > 100);
	assert_int_equal(chdir("/"), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		/* One in three from the ready-made policies, which are the last two. */
		*text = i % 3 ? seeds[pick(nr_seeds)] : seeds[nr_seeds - 1 - pick(2)];
		for (unsigned int n = 1 + pick(4); n; n--)
			mutate(text);
		accepted += check(text);
	}
	print_message("%u mutations, %zu of them still valid\n", ROUNDS, accepted);
	assert_true(accepted > ROUNDS / 100 && accepted < ROUNDS / 2);
	free(seeds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whatever_comes_in_is_read_or_refused),
	};

	return cmocka_run_group_tests_name("policy_mutate", tests, NULL, NULL);
}
