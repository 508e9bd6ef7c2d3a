// SPDX-License-Identifier: GPL-2.0-only
/* The arithmetic of limits: never more than the rate, hardly less, over the whole range. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compile/builder.h"
#include "compile_policy.h"
#include "limit.h"

typedef unsigned __int128 u128;

#define SECOND 1000000000ULL
#define DAY    (86400 * SECOND)

static struct made made;

static int begin(void **state)
{
	made_init(&made, getenv("WEIR_SEED") ? strtoull(getenv("WEIR_SEED"), NULL, 10)
					     : (__u64)time(NULL));
	return 0;
}

static int end(void **state)
{
	made_free(&made);
	return 0;
}

/* The one limit of the policy, compiled; or the error. */
static struct weir_limit compiled(void)
{
	struct weir_limit limit;
	struct diag diag = {0};
	struct tables *tables;

	if (tables_build(&made.policy, &made.env, &tables, &diag))
		fail_msg("%s", diag.error);
	assert_int_equal(tables->weir_cfg->nr_limits, 1);
	assert_true(tables->weir_cfg->flags & WEIR_CFG_LIMITS);
	limit = tables->weir_limit[0];
	tables_free(tables);
	diag_reset(&diag);
	return limit;
}

static void assert_refused(const char *why)
{
	char text[1200];
	struct diag diag = {0};
	struct tables *tables;

	assert_int_equal(tables_build(&made.policy, &made.env, &tables, &diag), -EINVAL);
	diag_text(&diag, text, sizeof(text));
	if (!strstr(text, why) || strncmp(text, "made.yaml:1001:5: ", 18) != 0)
		fail_msg("%s", text);
	diag_reset(&diag);
}

static struct limit_rule *limit(__u8 count, __u64 rate, __u64 period_ns, __u64 burst)
{
	struct limit_rule *rule;

	made.policy.nr_limits = 0;
	rule = add_limit(&made, "one", NULL, "self", "tcp/80");
	rule->count = count;
	rule->rate = rate;
	rule->period_ns = period_ns;
	rule->burst = burst;
	return rule;
}

static __u64 random_upto(__u64 most)
{
	unsigned int bits = 64 - __builtin_clzll(most);
	__u64 value = ((__u64)made_random(&made, 1U << 31) << 31 | made_random(&made, 1U << 31)) &
		      ((2ULL << made_random(&made, bits)) - 1);

	return value == 0 ? 1 : value > most ? most : value;
}

static const __u64 periods[] = {SECOND, 60 * SECOND, 3600 * SECOND, DAY};

/* Units that T lets through in a period: at most the rate, and no less than the rate without 0.07 %. */
static void check_units(__u64 rate, __u64 period_ns)
{
	struct weir_limit l;
	u128 period = (u128)period_ns << WEIR_TAT_SHIFT;

	limit(WEIR_COUNT_PACKETS, rate, period_ns, 0);
	l = compiled();
	assert_true((u128)l.interval * rate >= period);
	if ((u128)l.interval * rate * 9993 > period * 10000)
		fail_msg("%llu per %llu ns: interval %llu is more than 0.07 %% long",
			 (unsigned long long)rate, (unsigned long long)period_ns,
			 (unsigned long long)l.interval);
	assert_int_equal(l.tolerance, 0);
}

static void test_counted_units_keep_the_rate(void **state)
{
	static const __u64 rates[] = {1, 2, 3, 7, 100, 1000, 999983, 9999999, 10000000};

	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++)
		for (size_t p = 0; p < 4; p++)
			check_units(rates[i], periods[p]);
	for (int i = 0; i < 300; i++)
		check_units(random_upto(10000000), periods[made_random(&made, 4)]);
}

static void test_burst_admits_itself_and_one_more(void **state)
{
	static const struct {
		__u64 rate, period_ns, burst;
	} cases[] = {{100, 60 * SECOND, 20}, {1, DAY, 0},      {1, DAY, 365},
		     {10000000, SECOND, 1},  {3, SECOND, 100}, {999983, SECOND, 5000}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		__u64 tat = 0, now = 1ULL << 50, taken = 0;
		struct weir_limit l;

		limit(WEIR_COUNT_CONNECTIONS, cases[i].rate, cases[i].period_ns, cases[i].burst);
		l = compiled();
		while (taken < 10000 && gcra_take(tat, now, l.interval, l.tolerance, &tat))
			taken++;
		assert_int_equal(taken, cases[i].burst + 1);
		/* Then one each interval. */
		assert_false(gcra_take(tat, now + l.interval - 1, l.interval, l.tolerance, &tat));
		assert_true(gcra_take(tat, now + l.interval, l.interval, l.tolerance, &tat));
	}
}

/* Cost of a packet: never below what the rate says, and above it by rounding only. */
static void check_bytes(__u64 rate, __u64 period_ns)
{
	static const __u32 lengths[] = {1, 40, 64, 1280, 1500, 9000, 65535, 524280};
	u128 period = (u128)period_ns << WEIR_TAT_SHIFT;
	struct weir_limit l;

	limit(WEIR_COUNT_BYTES, rate, period_ns, 10000);
	l = compiled();
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		u128 cost = gcra_cost(lengths[i], l.mantissa, l.shift), exact = period * lengths[i];

		assert_true(cost * rate >= exact);
		/* 1/16 ns a packet, and what 31 bits of mantissa leave. */
		if ((cost - 1) * rate > exact + (exact >> 31))
			fail_msg("%llu bytes per %llu ns: %u bytes cost %llu",
				 (unsigned long long)rate, (unsigned long long)period_ns,
				 lengths[i], (unsigned long long)cost);
		/* A shared entry: a hundred times as much. */
		cost = gcra_cost(lengths[i], l.over_mantissa, l.over_shift);
		assert_true(cost * rate * 100 >= exact);
		assert_true((cost - 1) * rate * 100 <= exact + (exact >> 31));
	}
	assert_true((u128)l.tolerance * rate <= period * 10000);
	assert_true((u128)(l.tolerance + 1) * rate > period * 10000);
}

static void test_bytes_keep_the_rate(void **state)
{
	static const __u64 rates[] = {1000,	 1024,		 12500000,	10485760,
				      999999937, 12499999999ULL, 12500000000ULL};

	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++)
		check_bytes(rates[i], SECOND);
	for (int i = 0; i < 300; i++)
		check_bytes(1000 + random_upto(12500000000ULL - 1000), SECOND);
	for (int i = 0; i < 50; i++)
		check_bytes(1000000000 + random_upto(1ULL << 40), DAY);
}

/* A sender that always has something to send gets burst + rate x time and less than a packet more. */
static void test_bytes_over_time_stay_below_burst_and_rate(void **state)
{
	const __u64 rate = 1234567, burst = 30000, seconds = 20;
	__u64 tat = 0, sent = 0, begin_at = 1ULL << 40;
	struct weir_limit l;

	limit(WEIR_COUNT_BYTES, rate, SECOND, burst);
	l = compiled();
	for (__u64 ns = 0; ns <= seconds * SECOND; ns += 50000) {
		__u64 now = begin_at + (ns << WEIR_TAT_SHIFT);
		__u32 length = 60 + made_random(&made, 1441);

		while (
		    gcra_take(tat, now, gcra_cost(length, l.mantissa, l.shift), l.tolerance, &tat))
			sent += length;
	}
	assert_true(sent <= burst + 1500 + rate * seconds);
	assert_true(sent >= burst + rate * seconds - 1500);
}

static void test_what_cannot_be_kept_is_refused_with_its_place(void **state)
{
	limit(WEIR_COUNT_PACKETS, 1, DAY, 366);
	assert_true(compiled().tolerance == 366ULL * DAY << WEIR_TAT_SHIFT);
	limit(WEIR_COUNT_PACKETS, 1, DAY, 367);
	assert_refused("longer than 366 days");
	limit(WEIR_COUNT_PACKETS, 1, DAY, ~0ULL);
	assert_refused("longer than 366 days");
	limit(WEIR_COUNT_BYTES, 1000, DAY, 0);
	assert_refused("below 4 bytes a second");
	limit(WEIR_COUNT_BYTES, 1000, SECOND, ~0ULL);
	assert_refused("longer than 366 days");
	limit(WEIR_COUNT_PACKETS, 0, SECOND, 0);
	assert_refused("the rate is zero");
}

static void test_overflow_is_a_hundred_times_the_rate_or_what_is_said(void **state)
{
	struct limit_rule *rule = limit(WEIR_COUNT_PACKETS, 100, SECOND, 20);
	struct weir_limit l = compiled();

	assert_int_equal(l.interval, SECOND * 16 / 100);
	assert_int_equal(l.over_interval, SECOND * 16 / 10000);
	assert_int_equal(l.over_tolerance, l.tolerance);
	rule->overflow_rate = 7;
	rule->overflow_period_ns = 60 * SECOND;
	assert_int_equal(compiled().over_interval, (60 * SECOND * 16 + 6) / 7);
}

static void test_ticks_only_where_the_burst_outlasts_them(void **state)
{
	limit(WEIR_COUNT_PACKETS, 10000, SECOND, 20); /* 2 ms */
	made.env.tick_ns = 4000000;
	assert_false(compiled().flags & WEIR_LIMIT_JIFFIES);
	limit(WEIR_COUNT_PACKETS, 10000, SECOND, 79);
	assert_false(compiled().flags & WEIR_LIMIT_JIFFIES);
	limit(WEIR_COUNT_PACKETS, 10000, SECOND, 80); /* 8 ms */
	assert_true(compiled().flags & WEIR_LIMIT_JIFFIES);
	made.env.tick_ns = 10000000;
	assert_false(compiled().flags & WEIR_LIMIT_JIFFIES);
	made.env.tick_ns = 0;
	assert_false(compiled().flags & WEIR_LIMIT_JIFFIES);
}

static void test_buckets_hold_the_entries(void **state)
{
	static const struct {
		__u32 entries;
		__u8 per, key6;
		__u32 buckets;
		bool wide;
	} cases[] = {
	    {1, WEIR_PER_SOURCE, 64, 1, false},
	    {4, WEIR_PER_SOURCE, 64, 1, false},
	    {5, WEIR_PER_SOURCE, 64, 2, false},
	    {65536, WEIR_PER_SOURCE, 64, 16384, false},
	    {65537, WEIR_PER_SOURCE, 48, 32768, false},
	    {65536, WEIR_PER_SOURCE, 65, 32768, true},
	    {65536, WEIR_PER_DESTINATION, 128, 32768, true},
	    {1000, WEIR_PER_PAIR, 64, 512, true},
	    {65536, WEIR_PER_RULE, 128, 1, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct limit_rule *rule = limit(WEIR_COUNT_PACKETS, 100, SECOND, 20);
		struct weir_limit l;

		rule->entries = cases[i].entries;
		rule->per = cases[i].per;
		rule->key6 = cases[i].key6;
		l = compiled();
		assert_int_equal(l.mask + 1, cases[i].buckets);
		assert_int_equal(!!(l.flags & WEIR_LIMIT_WIDE), cases[i].wide);
		assert_int_equal(l.per, cases[i].per);
		assert_int_equal(l.key6, cases[i].key6);
	}
}

static void test_flags_say_where_and_what_happens(void **state)
{
	static const struct {
		const char *from, *to;
		bool egress;
	} cases[] = {{NULL, NULL, false},
		     {"10.0.0.0/8", NULL, true},
		     {NULL, "self", false},
		     {"10.0.0.0/8", "self", false}};
	struct limit_rule *rule;
	struct weir_limit l;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		made.policy.nr_limits = 0;
		add_limit(&made, "one", cases[i].from, cases[i].to, "");
		assert_int_equal(!!(compiled().flags & WEIR_LIMIT_EGRESS), cases[i].egress);
	}
	rule = limit(WEIR_COUNT_PACKETS, 100, SECOND, 20);
	rule->block_ns = 600 * SECOND + 1;
	rule->monitor = true;
	rule->log = true;
	l = compiled();
	assert_int_equal(l.block_s, 601);
	assert_int_equal(l.flags & (WEIR_LIMIT_BLOCK | WEIR_LIMIT_MONITOR | WEIR_LIMIT_LOG),
			 WEIR_LIMIT_BLOCK | WEIR_LIMIT_MONITOR | WEIR_LIMIT_LOG);
	rule->log = false;
	made.policy.audit.pass = names_of(&made, "one");
	assert_true(compiled().flags & WEIR_LIMIT_LOG);
}

static void test_id_follows_the_name_alone(void **state)
{
	__u64 id;

	limit(WEIR_COUNT_PACKETS, 100, SECOND, 20);
	id = compiled().id;
	limit(WEIR_COUNT_BYTES, 5000, SECOND, 1);
	assert_true(compiled().id == id);
	made.policy.limit[0].name = made_text(&made, "other");
	assert_true(compiled().id != id);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(test_counted_units_keep_the_rate),
	    TEST(test_burst_admits_itself_and_one_more),
	    TEST(test_bytes_keep_the_rate),
	    TEST(test_bytes_over_time_stay_below_burst_and_rate),
	    TEST(test_what_cannot_be_kept_is_refused_with_its_place),
	    TEST(test_overflow_is_a_hundred_times_the_rate_or_what_is_said),
	    TEST(test_ticks_only_where_the_burst_outlasts_them),
	    TEST(test_buckets_hold_the_entries),
	    TEST(test_flags_say_where_and_what_happens),
	    TEST(test_id_follows_the_name_alone),
	};

	return cmocka_run_group_tests_name("compile: limits", tests, NULL, NULL);
}
