// SPDX-License-Identifier: GPL-2.0-only
/* Regions of the limiter: who gets which, and that nothing owed is forgotten on the way. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kernel/region.h"
#include "limit.h"
#include "weir/hash.h"

#define NS     16ULL /* in 1/16 ns */
#define SECOND (1000000000 * NS)
#define SEED   0x5eed
#define NOW    (1000 * SECOND)
#define V4(a)  (0xff00000000000000ULL | (a))

static struct weir_limit limit_of(__u64 id, __u64 interval, __u64 burst, __u32 buckets)
{
	return (struct weir_limit){.id = id,
				   .interval = interval,
				   .tolerance = burst * interval,
				   .over_interval = interval / 100,
				   .over_tolerance = burst * (interval / 100),
				   .mask = buckets - 1,
				   .count = WEIR_COUNT_PACKETS,
				   .key4 = 32,
				   .key6 = 64};
}

/* ---- places ---- */

static void place_is_the_first_gap_that_is_large_enough(void **state)
{
	struct region taken[] = {{100, 50}, {0, 10}, {20, 10}};

	assert_int_equal(region_place(taken, 3, 5), 10);
	assert_int_equal(region_place(taken, 3, 10), 10);
	assert_int_equal(region_place(taken, 3, 11), 30);
	assert_int_equal(region_place(taken, 3, 70), 30);
	assert_int_equal(region_place(taken, 3, 71), 150);
	assert_int_equal(region_place(taken, 0, 71), 0);
}

static void limit_that_stays_keeps_its_region(void **state)
{
	struct weir_limit running = limit_of(1, SECOND, 5, 64), want = running;
	struct region_plan plan;
	__u32 buckets, overflows;

	running.buckets = 128;
	running.overflow = 512;
	want.counter = 9; /* no part of its state */
	want.flags |= WEIR_LIMIT_LOG;
	assert_int_equal(regions_plan(&want, 1, &running, 1, NULL, 0, &plan, &buckets, &overflows),
			 0);
	assert_int_equal(plan.how, REGION_KEPT);
	assert_int_equal(plan.buckets, 128);
	assert_int_equal(plan.overflow, 512);
	assert_int_equal(buckets, 192);
	assert_int_equal(overflows, 768);
}

static void limit_that_changes_is_carried_to_another_region(void **state)
{
	struct weir_limit running = limit_of(1, SECOND, 5, 64), want;
	struct region_plan plan;
	__u32 buckets, overflows;

	for (int i = 0; i < 5; i++) {
		want = running;
		if (i == 0)
			want.interval /= 2;
		else if (i == 1)
			want.tolerance *= 2;
		else if (i == 2)
			want.mask = 127;
		else if (i == 3)
			want.flags ^= WEIR_LIMIT_JIFFIES;
		else
			want.over_interval *= 3;
		regions_plan(&want, 1, &running, 1, NULL, 0, &plan, &buckets, &overflows);
		assert_int_equal(plan.how, REGION_CARRIED);
		assert_int_equal(plan.from, 0);
		assert_int_equal(plan.buckets, 64);
		assert_int_equal(plan.overflow, WEIR_OVERFLOWS);
	}
}

static void limit_with_other_keys_or_another_name_starts_fresh(void **state)
{
	struct weir_limit running = limit_of(1, SECOND, 5, 64), want;
	struct region_plan plan;
	__u32 buckets, overflows;

	for (int i = 0; i < 5; i++) {
		want = running;
		if (i == 0)
			want.id = 2;
		else if (i == 1)
			want.key4 = 24;
		else if (i == 2)
			want.per = WEIR_PER_DESTINATION;
		else if (i == 3)
			want.count = WEIR_COUNT_CONNECTIONS;
		else
			want.flags |= WEIR_LIMIT_WIDE;
		regions_plan(&want, 1, &running, 1, NULL, 0, &plan, &buckets, &overflows);
		assert_int_equal(plan.how, REGION_FRESH);
		assert_int_equal(plan.buckets, 64);
	}
}

static void idle_limit_keeps_its_region_only_unchanged_and_unknown_to_the_running_slot(void **state)
{
	struct weir_limit running = limit_of(1, SECOND, 5, 64), idle = limit_of(2, SECOND, 5, 64);
	struct weir_limit want = idle;
	struct region_plan plan;
	__u32 buckets, overflows;

	idle.buckets = 64;
	idle.overflow = 256;
	regions_plan(&want, 1, &running, 1, &idle, 1, &plan, &buckets, &overflows);
	assert_int_equal(plan.how, REGION_KEPT);
	assert_int_equal(plan.buckets, 64);

	want.interval++;
	regions_plan(&want, 1, &running, 1, &idle, 1, &plan, &buckets, &overflows);
	assert_int_equal(plan.how, REGION_FRESH);

	/* The running slot knows better what is owed than a region that nobody charged since. */
	idle.id = want.id = 1;
	want.interval = idle.interval = 2 * SECOND;
	want.tolerance = idle.tolerance;
	regions_plan(&want, 1, &running, 1, &idle, 1, &plan, &buckets, &overflows);
	assert_int_equal(plan.how, REGION_CARRIED);
}

static void regions_never_overlap_whatever_changes(void **state)
{
	struct weir_limit slot[2][16], want[16];
	struct region_plan plan[16];
	size_t n[2] = {0, 0};
	int running = 0;

	srand(4712);
	for (int round = 0; round < 3000; round++) {
		int idle = !running;
		size_t nr = rand() % 16;
		__u32 buckets, overflows;

		for (size_t i = 0; i < nr; i++)
			want[i] =
			    limit_of(i * 2 + rand() % 2, SECOND + rand() % 2, 5, 1u << rand() % 8);
		assert_int_equal(regions_plan(want, nr, slot[running], n[running], slot[idle],
					      n[idle], plan, &buckets, &overflows),
				 0);
		for (size_t i = 0; i < nr; i++) {
			want[i].buckets = plan[i].buckets;
			want[i].overflow = plan[i].overflow;
			assert_true(want[i].buckets + want[i].mask + 1 <= buckets);
			assert_true(want[i].overflow + WEIR_OVERFLOWS <= overflows);
			for (size_t j = 0; j < i; j++) {
				assert_true(want[j].buckets + want[j].mask + 1 <= want[i].buckets ||
					    want[i].buckets + want[i].mask + 1 <= want[j].buckets);
				assert_true(want[i].overflow != want[j].overflow);
			}
			for (size_t j = 0; j < n[running]; j++) {
				const struct weir_limit *r = &slot[running][j];

				assert_true(plan[i].how == REGION_KEPT ||
					    r->buckets + r->mask + 1 <= want[i].buckets ||
					    want[i].buckets + want[i].mask + 1 <= r->buckets);
			}
		}
		memcpy(slot[idle], want, nr * sizeof(*want));
		n[idle] = nr;
		if (rand() % 4)
			running = idle;
	}
}

/* ---- debts ---- */

static void debt_counts_in_units(void **state)
{
	struct weir_limit slow = limit_of(1, SECOND, 10, 64);
	struct weir_limit fast = limit_of(1, SECOND / 4, 40, 64);

	assert_int_equal(debt_rescale(4 * SECOND, &slow, &fast, false), SECOND);
	assert_int_equal(debt_rescale(SECOND, &fast, &slow, false), 4 * SECOND);
	assert_int_equal(debt_rescale(0, &slow, &fast, false), 0);
	assert_int_equal(debt_rescale(1, &slow, &fast, false), 1); /* rounded up */
}

static void debt_never_exceeds_what_the_new_limit_lets_anybody_owe(void **state)
{
	struct weir_limit from = limit_of(1, SECOND, 100, 64), to = limit_of(1, SECOND, 3, 64);

	assert_int_equal(debt_rescale(50 * SECOND, &from, &to, false), 4 * SECOND + 1);
	assert_int_equal(debt_rescale(2 * SECOND, &from, &to, false), 2 * SECOND);
}

static void debt_in_bytes_follows_mantissa_and_shift(void **state)
{
	struct weir_limit from = limit_of(1, 0, 0, 64), to;

	from.count = WEIR_COUNT_BYTES;
	from.mantissa = 1u << 20;
	from.shift = 16; /* a byte costs 16 */
	from.tolerance = SECOND;
	to = from;
	to.shift = 18; /* a byte costs 4 */
	assert_int_equal(debt_rescale(1600, &from, &to, false), 400);
	assert_int_equal(debt_rescale(400, &to, &from, false), 1600);
}

/* ---- carrying ---- */

static __u32 bucket_of(const struct weir_limit *limit, __u64 key0, __u64 key1)
{
	return (__u32)weir_mix(key0 ^ weir_mix(key1, SEED), SEED) & limit->mask;
}

static __u64 tat_of(const struct weir_tat *table, const struct weir_limit *limit, __u64 key)
{
	const struct weir_tat *bucket = &table[bucket_of(limit, key, 0)];

	for (int i = 0; i < 4; i++)
		if (bucket->entry[i].key == key)
			return bucket->entry[i].tat & WEIR_TAT_MASK;
	return 0;
}

static void put(struct weir_tat *table, const struct weir_limit *limit, __u64 key, __u64 tat)
{
	struct weir_tat *bucket = &table[bucket_of(limit, key, 0)];

	for (int i = 0; i < 4; i++)
		if (!bucket->entry[i].key || bucket->entry[i].key == key) {
			bucket->entry[i].key = key;
			bucket->entry[i].tat = tat;
			return;
		}
	fail_msg("bucket full");
}

struct carried {
	struct weir_tat old[1024], before[1024], new[1024];
	__u64 old_over[WEIR_OVERFLOWS], before_over[WEIR_OVERFLOWS], new_over[WEIR_OVERFLOWS];
};

static struct region_merge merge_of(struct carried *c, const struct weir_limit *from,
				    const struct weir_limit *to)
{
	return (struct region_merge){.from = from,
				     .to = to,
				     .after = c->old,
				     .target = c->new,
				     .after_over = c->old_over,
				     .target_over = c->new_over,
				     .since = NOW,
				     .now = NOW,
				     .seed = SEED};
}

static void all_that_is_owed_moves_to_a_region_of_another_size(void **state)
{
	struct carried *c = calloc(1, sizeof(*c));
	struct weir_limit from = limit_of(1, SECOND, 50, 64), to = limit_of(1, SECOND, 50, 1024);
	struct region_merge merge = merge_of(c, &from, &to);

	for (__u64 i = 1; i <= 60; i++)
		put(c->old, &from, V4(i), NOW + i % 40 * SECOND);
	c->old_over[17] = NOW + SECOND / 100;
	assert_int_equal(region_merge(&merge),
			 60 - 1 + 1); /* 40: owes nothing; one overflow entry */
	for (__u64 i = 1; i <= 60; i++)
		assert_int_equal(tat_of(c->new, &to, V4(i)), i % 40 ? NOW + i % 40 * SECOND : 0);
	assert_int_equal(c->new_over[17], NOW + SECOND / 100);
	free(c);
}

static void charges_since_the_copy_are_added_to_what_the_new_region_took(void **state)
{
	struct carried *c = calloc(1, sizeof(*c));
	struct weir_limit limit = limit_of(1, SECOND, 50, 64);
	struct region_merge merge = merge_of(c, &limit, &limit);

	put(c->old, &limit, V4(1), NOW + 3 * SECOND); /* owes 3, charged 2 more below */
	put(c->old, &limit, V4(2), NOW + 4 * SECOND); /* owes 4, not charged since */
	region_merge(&merge);
	memcpy(c->before, c->old, sizeof(c->old));
	put(c->old, &limit, V4(1), NOW + 5 * SECOND);
	put(c->old, &limit, V4(3), NOW + 1 * SECOND);  /* new since the copy */
	put(c->new, &limit, V4(1), NOW + 10 * SECOND); /* the new region charged 7 itself */
	merge.before = c->before;
	merge.before_over = c->before_over;
	assert_int_equal(region_merge(&merge), 2);
	assert_int_equal(tat_of(c->new, &limit, V4(1)), NOW + 12 * SECOND);
	assert_int_equal(tat_of(c->new, &limit, V4(2)), NOW + 4 * SECOND);
	assert_int_equal(tat_of(c->new, &limit, V4(3)), NOW + 1 * SECOND);
	free(c);
}

static void passes_carry_each_charge_once(void **state)
{
	struct carried *c = calloc(1, sizeof(*c));
	struct weir_limit limit = limit_of(1, SECOND, 500, 64);
	struct region_merge merge = merge_of(c, &limit, &limit);
	__u64 own = 0;

	for (int pass = 0; pass < 10; pass++) {
		put(c->old, &limit, V4(1), NOW + (3 * pass + 3) * SECOND);
		c->old_over[7] = NOW + (pass + 1) * SECOND / 100;
		if (pass == 4)
			put(c->old, &limit, V4(2), NOW + 2 * SECOND);
		if (pass) { /* the new region is in use already */
			own += SECOND;
			put(c->new, &limit, V4(1), tat_of(c->new, &limit, V4(1)) + SECOND);
		}
		assert_int_equal(region_advance(&merge, c->before, c->before_over), 0);
		assert_int_equal(tat_of(c->new, &limit, V4(1)),
				 NOW + (3 * pass + 3) * SECOND + own);
		assert_int_equal(c->new_over[7], NOW + (pass + 1) * SECOND / 100);
	}
	assert_int_equal(tat_of(c->new, &limit, V4(2)), NOW + 2 * SECOND);
	free(c);
}

static void debts_of_both_regions_add_up(void **state)
{
	struct carried *c = calloc(1, sizeof(*c));
	struct weir_limit limit = limit_of(1, SECOND, 50, 64);
	struct region_merge merge = merge_of(c, &limit, &limit);

	put(c->old, &limit, V4(1), NOW + 50 * SECOND);
	put(c->new, &limit, V4(1), NOW + 45 * SECOND);
	put(c->old, &limit, V4(2), NOW + 2 * SECOND);
	put(c->new, &limit, V4(2), NOW + 200 * SECOND); /* whatever it was: it is not lowered */
	put(c->old, &limit, V4(3), NOW + 51 * SECOND);
	put(c->new, &limit, V4(3), NOW + 90 * SECOND); /* bounded */
	c->old_over[3] = c->new_over[3] = NOW + 40 * SECOND / 100;
	region_merge(&merge);
	assert_int_equal(tat_of(c->new, &limit, V4(1)), NOW + 95 * SECOND);
	assert_int_equal(tat_of(c->new, &limit, V4(2)), NOW + 200 * SECOND);
	assert_int_equal(tat_of(c->new, &limit, V4(3)), NOW + 102 * SECOND + 2);
	assert_int_equal(c->new_over[3], NOW + 80 * SECOND / 100);
	free(c);
}

static void after_a_crash_each_owes_no_less_than_in_either_region(void **state)
{
	struct carried *c = calloc(1, sizeof(*c));
	struct weir_limit limit = limit_of(1, SECOND, 50, 64);
	struct region_merge merge = merge_of(c, &limit, &limit);

	put(c->old, &limit, V4(1), NOW + 5 * SECOND);
	put(c->new, &limit, V4(1), NOW + 3 * SECOND);
	put(c->old, &limit, V4(2), NOW + 2 * SECOND);
	put(c->new, &limit, V4(2), NOW + 4 * SECOND);
	put(c->old, &limit, V4(3), NOW + 1 * SECOND);
	c->old_over[3] = NOW + SECOND / 100;
	c->new_over[3] = NOW + SECOND / 200;
	c->old_over[4] = NOW + SECOND / 200;
	c->new_over[4] = NOW + SECOND / 100;
	merge.at_least = true;
	region_merge(&merge);
	assert_int_equal(tat_of(c->new, &limit, V4(1)), NOW + 5 * SECOND);
	assert_int_equal(tat_of(c->new, &limit, V4(2)), NOW + 4 * SECOND);
	assert_int_equal(tat_of(c->new, &limit, V4(3)), NOW + 1 * SECOND);
	assert_int_equal(c->new_over[3], NOW + SECOND / 100);
	assert_int_equal(c->new_over[4], NOW + SECOND / 100);
	free(c);
}

static void what_finds_no_place_is_charged_to_overflow(void **state)
{
	struct carried *c = calloc(1, sizeof(*c));
	struct weir_limit from = limit_of(1, SECOND, 50, 64), to = limit_of(1, SECOND, 50, 1);
	struct region_merge merge = merge_of(c, &from, &to);
	size_t in = 0, over = 0;

	to.over_interval = from.over_interval = SECOND;
	to.over_tolerance = from.over_tolerance = 50 * SECOND;
	for (__u64 i = 1; i <= 20; i++)
		put(c->old, &from, V4(i << 16), NOW + SECOND);
	region_merge(&merge);
	for (__u64 i = 1; i <= 20; i++)
		in += tat_of(c->new, &to, V4(i << 16)) == NOW + SECOND;
	for (int i = 0; i < WEIR_OVERFLOWS; i++)
		over += c->new_over[i] ? (c->new_over[i] - NOW) / SECOND : 0;
	assert_int_equal(in, 4);
	assert_int_equal(over, 16);
	free(c);
}

static void wide_keys_are_carried_whole(void **state)
{
	struct carried *c = calloc(1, sizeof(*c));
	struct weir_limit limit = limit_of(1, SECOND, 50, 64);
	struct region_merge merge = merge_of(c, &limit, &limit);
	__u32 at;
	struct weir_tat_wide *w;

	limit.flags = WEIR_LIMIT_WIDE;
	at = bucket_of(&limit, 77, 88);
	w = (void *)&c->old[at];
	w->entry[1].key[0] = 77;
	w->entry[1].key[1] = 88;
	w->entry[1].tat = NOW + SECOND;
	assert_int_equal(region_merge(&merge), 1);
	w = (void *)&c->new[at];
	assert_int_equal(w->entry[0].key[0], 77);
	assert_int_equal(w->entry[0].key[1], 88);
	assert_int_equal(w->entry[0].tat, NOW + SECOND);
	free(c);
}

static void snapshot_leaves_flags_and_half_made_entries_out(void **state)
{
	struct weir_tat from = {}, to;

	from.entry[0].key = V4(1);
	from.entry[0].tat = (NOW + SECOND) | WEIR_TAT_LOCK;
	from.entry[1].key = V4(2);
	from.entry[1].tat = WEIR_TAT_DEAD;
	region_snapshot(&from, &to, 1, false);
	assert_int_equal(to.entry[0].tat, NOW + SECOND);
	assert_int_equal(to.entry[1].key, 0);
	assert_int_equal(to.entry[1].tat, 0);
}

static void lock_of_a_bucket_is_let_go(void **state)
{
	struct carried *c = calloc(1, sizeof(*c));
	struct weir_limit limit = limit_of(1, SECOND, 50, 64);
	struct region_merge merge = merge_of(c, &limit, &limit);

	for (__u64 i = 1; i <= 60; i++)
		put(c->old, &limit, V4(i), NOW + SECOND);
	region_merge(&merge);
	for (int i = 0; i < 64; i++)
		for (int j = 0; j < 4; j++)
			assert_false(c->new[i].entry[j].tat &(WEIR_TAT_LOCK | WEIR_TAT_DEAD));
	free(c);
}

/* A program's part: charges known keys by one CAS, as bpf/limit.h does, while user space adds. */
struct charger {
	struct weir_tat *table;
	const struct weir_limit *limit;
	int n;
};

static void *charge(void *arg)
{
	struct charger *c = arg;

	for (int i = 0; i < c->n; i++) {
		struct weir_tat *bucket = &c->table[bucket_of(c->limit, V4(1), 0)];

		for (int j = 0; j < 4; j++) {
			__u64 raw = __atomic_load_n(&bucket->entry[j].tat, __ATOMIC_SEQ_CST), tat;

			if (bucket->entry[j].key != V4(1))
				continue;
			do
				tat = (raw & WEIR_TAT_MASK) + 1;
			while (!__atomic_compare_exchange_n(&bucket->entry[j].tat, &raw,
							    tat | (raw & WEIR_TAT_LOCK), false,
							    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
		}
	}
	return NULL;
}

static void adding_under_charges_loses_none(void **state)
{
	struct carried *c = calloc(1, sizeof(*c));
	struct weir_limit limit = limit_of(1, SECOND, 1000000, 64);
	struct region_merge merge = merge_of(c, &limit, &limit);
	struct charger charger = {c->new, &limit, 300000};
	pthread_t thread;

	put(c->new, &limit, V4(1), NOW + SECOND);
	put(c->old, &limit, V4(1), NOW + 7);
	assert_int_equal(pthread_create(&thread, NULL, charge, &charger), 0);
	for (int i = 0; i < 20000; i++)
		region_merge(&merge);
	pthread_join(thread, NULL);
	assert_int_equal(tat_of(c->new, &limit, V4(1)), NOW + SECOND + 300000 + 20000 * 7);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(place_is_the_first_gap_that_is_large_enough),
	    cmocka_unit_test(limit_that_stays_keeps_its_region),
	    cmocka_unit_test(limit_that_changes_is_carried_to_another_region),
	    cmocka_unit_test(limit_with_other_keys_or_another_name_starts_fresh),
	    cmocka_unit_test(
		idle_limit_keeps_its_region_only_unchanged_and_unknown_to_the_running_slot),
	    cmocka_unit_test(regions_never_overlap_whatever_changes),
	    cmocka_unit_test(debt_counts_in_units),
	    cmocka_unit_test(debt_never_exceeds_what_the_new_limit_lets_anybody_owe),
	    cmocka_unit_test(debt_in_bytes_follows_mantissa_and_shift),
	    cmocka_unit_test(all_that_is_owed_moves_to_a_region_of_another_size),
	    cmocka_unit_test(charges_since_the_copy_are_added_to_what_the_new_region_took),
	    cmocka_unit_test(passes_carry_each_charge_once),
	    cmocka_unit_test(debts_of_both_regions_add_up),
	    cmocka_unit_test(after_a_crash_each_owes_no_less_than_in_either_region),
	    cmocka_unit_test(what_finds_no_place_is_charged_to_overflow),
	    cmocka_unit_test(wide_keys_are_carried_whole),
	    cmocka_unit_test(snapshot_leaves_flags_and_half_made_entries_out),
	    cmocka_unit_test(lock_of_a_bucket_is_let_go),
	    cmocka_unit_test(adding_under_charges_loses_none),
	};

	return cmocka_run_group_tests_name("kernel: regions", tests, NULL, NULL);
}
