// SPDX-License-Identifier: GPL-2.0-only
/* Sets of addresses: what a list of items stands for, and which blocks touch it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/ranges.h"

static struct policy *policy;

static void parse(const char *segments)
{
	struct diag diag = {};
	char text[2048];

	snprintf(text, sizeof(text), "segments:\n%s", segments);
	assert_int_equal(policy_parse_text(text, strlen(text), "test", &policy, &diag), 0);
	diag_reset(&diag);
}

/* The ranges of segment "s", as text: "192.0.2.0-192.0.2.255 …", compared. */
static void segment_is(const char *segments, const char *wanted)
{
	static struct prefix address[] = {
	    {.length = 32, .address.byte = {[10] = 0xff, 0xff, 192, 0, 2, 9}},
	    {.v6 = 1, .length = 128, .address.byte = {0x20, 0x01, 0x0d, 0xb8, [15] = 9}}};
	static struct env_name name = {
	    .kind = ITEM_COMPOSE, .name = (char *)"kato/db", .address = address, .n = 2};
	static const struct environment env = {.name = &name, .nr_names = 1};
	char got[1024] = "", first[ADDR_TEXT_LEN], last[ADDR_TEXT_LEN];
	struct ranges ranges;

	parse(segments);
	assert_int_equal(ranges_of_segment(policy, policy_segment(policy, "s"), &env, &ranges), 0);
	for (size_t i = 0; i < ranges.n; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s-%s", i ? " " : "",
			 addr_format(&ranges.range[i].first, first),
			 addr_format(&ranges.range[i].last, last));
	assert_string_equal(got, wanted);
	ranges_clear(&ranges);
	policy_free(policy);
}

static void overlaps_and_neighbours_join(void **state)
{
	segment_is("  s: [192.0.2.128/25, 192.0.2.0/25, 192.0.2.7, 192.0.2.200-192.0.3.4]\n",
		   "192.0.2.0-192.0.3.4");
	segment_is("  s: [192.0.2.1, 192.0.2.3]\n", "192.0.2.1-192.0.2.1 192.0.2.3-192.0.2.3");
}

static void segments_in_segments_are_resolved(void **state)
{
	segment_is(
	    "  s: [inner, 2001:db8::/32]\n  inner: [192.0.2.0/31, last]\n  last: [192.0.2.2]\n",
	    "192.0.2.0-192.0.2.2 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void followed_names_stand_for_what_they_are_now(void **state)
{
	segment_is("  s: [192.0.2.8, {compose: kato/db}, {container: db}, {unit: x.service}]\n",
		   "192.0.2.8-192.0.2.9 2001:db8::9-2001:db8::9");
}

static void exceptions_are_cut_out(void **state)
{
	segment_is("  s: {members: [192.0.2.0/24], except: [192.0.2.66]}\n",
		   "192.0.2.0-192.0.2.65 192.0.2.67-192.0.2.255");
	segment_is("  s: {members: [192.0.2.0/24], except: [192.0.2.0, 192.0.2.255]}\n",
		   "192.0.2.1-192.0.2.254");
	segment_is("  s: {members: [192.0.2.0/24], except: [192.0.0.0/16]}\n", "");
	segment_is("  s: {members: [192.0.2.0/24], except: [192.0.3.0/24, \"2001:db8::1\"]}\n",
		   "192.0.2.0-192.0.2.255");
	segment_is(
	    "  s: {members: [192.0.2.0-192.0.2.3, 192.0.2.8-192.0.2.9], except: [192.0.2.2-192.0.2.8]}\n",
	    "192.0.2.0-192.0.2.1 192.0.2.9-192.0.2.9");
}

static void the_last_address_has_no_neighbour(void **state)
{
	segment_is("  s: {members: [255.255.255.254/31], except: [255.255.255.255]}\n",
		   "255.255.255.254-255.255.255.254");
	segment_is("  s: {members: [0.0.0.0/0], except: [0.0.0.0/1]}\n",
		   "128.0.0.0-255.255.255.255");
}

static bool touches(const struct ranges *ranges, const char *text)
{
	struct prefix prefix;
	const char *why;

	assert_int_equal(prefix_parse(text, &prefix, &why), 0);
	return ranges_overlap(ranges, &prefix);
}

static void a_block_touches_what_it_contains_and_what_contains_it(void **state)
{
	static const struct environment env;
	struct ranges ranges;

	parse("  s: [192.0.2.16/28, 198.51.100.7, \"2001:db8:51::/64\"]\n");
	assert_int_equal(ranges_of_segment(policy, policy_segment(policy, "s"), &env, &ranges), 0);
	assert_true(touches(&ranges, "192.0.2.31"));
	assert_true(touches(&ranges, "192.0.2.0/24"));
	assert_true(touches(&ranges, "0.0.0.0/0"));
	assert_true(touches(&ranges, "198.51.100.7"));
	assert_true(touches(&ranges, "2001:db8::/32"));
	assert_true(touches(&ranges, "2001:db8:51::9"));
	assert_true(touches(&ranges, "::/0"));
	assert_false(touches(&ranges, "192.0.2.15"));
	assert_false(touches(&ranges, "192.0.2.32"));
	assert_false(touches(&ranges, "198.51.100.6"));
	assert_false(touches(&ranges, "203.0.113.0/24"));
	assert_false(touches(&ranges, "2001:db8:52::/64"));
	assert_int_equal(ranges_prefixes(&ranges), 3);
	ranges_clear(&ranges);
	policy_free(policy);
}

static void families_are_apart(void **state)
{
	static const struct environment env;
	struct ranges ranges;

	parse("  s: [192.0.2.1]\n");
	assert_int_equal(ranges_of_segment(policy, policy_segment(policy, "s"), &env, &ranges), 0);
	assert_false(touches(&ranges, "::/0"));
	ranges_clear(&ranges);
	policy_free(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(overlaps_and_neighbours_join),
	    cmocka_unit_test(segments_in_segments_are_resolved),
	    cmocka_unit_test(followed_names_stand_for_what_they_are_now),
	    cmocka_unit_test(exceptions_are_cut_out),
	    cmocka_unit_test(the_last_address_has_no_neighbour),
	    cmocka_unit_test(a_block_touches_what_it_contains_and_what_contains_it),
	    cmocka_unit_test(families_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
