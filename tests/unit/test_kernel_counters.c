// SPDX-License-Identifier: GPL-2.0-only
/* Which counter a rule gets when the policy changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/internal.h"

#define FIRST 8

/* Old: running rules, then idle ones; `id:counter`. */
struct old {
	__u64 id[8];
	__u32 index[8];
	size_t n, nr_running;
};

static __u32 assign(const __u64 *id, size_t n, const struct old *old, __u32 *ret, bool *fresh)
{
	__u32 entries = 0;

	assert_int_equal(counters_assign(id, n, old->id, old->index, old->n, old->nr_running, FIRST,
					 ret, fresh, &entries),
			 0);
	return entries;
}

static void first_policy_counts_from_the_first_index(void **state)
{
	const __u64 id[] = {30, 10, 20};
	const struct old none = {};
	__u32 got[3];
	bool fresh[3];

	assert_int_equal(assign(id, 3, &none, got, fresh), FIRST + 3);
	for (__u32 i = 0; i < 3; i++) {
		assert_int_equal(got[i], FIRST + i);
		assert_true(fresh[i]);
	}
}

static void rule_that_stays_keeps_its_counter_wherever_it_stands(void **state)
{
	const __u64 id[] = {99, 20, 10};
	const struct old old = {.id = {10, 20}, .index = {8, 9}, .n = 2, .nr_running = 2};
	__u32 got[3];
	bool fresh[3];

	assign(id, 3, &old, got, fresh);
	assert_int_equal(got[1], 9);
	assert_int_equal(got[2], 8);
	assert_false(fresh[1] || fresh[2]);
	assert_true(fresh[0]);
	assert_int_equal(got[0], 10);
}

static void counter_of_a_running_rule_goes_to_nobody_else(void **state)
{
	const __u64 id[] = {1, 2, 3};
	const struct old old = {.id = {50, 60}, .index = {9, 11}, .n = 2, .nr_running = 2};
	const __u32 want[] = {8, 10, 12};
	__u32 got[3];
	bool fresh[3];

	assert_int_equal(assign(id, 3, &old, got, fresh), 13);
	assert_memory_equal(got, want, sizeof(want));
}

static void counter_of_an_idle_rule_is_free_and_fresh_for_others(void **state)
{
	const __u64 id[] = {1};
	const struct old old = {.id = {50, 60}, .index = {9, 8}, .n = 2, .nr_running = 1};
	__u32 got[1];
	bool fresh[1];

	assign(id, 1, &old, got, fresh);
	assert_int_equal(got[0], 8);
	assert_true(fresh[0]);
}

static void idle_rule_takes_its_counter_up_again(void **state)
{
	const __u64 id[] = {1, 60};
	const struct old old = {.id = {50, 60}, .index = {9, 8}, .n = 2, .nr_running = 1};
	__u32 got[2];
	bool fresh[2];

	assign(id, 2, &old, got, fresh);
	assert_int_equal(got[1], 8);
	assert_false(fresh[1]);
	assert_int_equal(got[0], 10);
}

static void twins_are_told_apart_by_their_order(void **state)
{
	const __u64 id[] = {7, 7, 7};
	const struct old old = {.id = {7, 7}, .index = {12, 8}, .n = 2, .nr_running = 2};
	__u32 got[3];
	bool fresh[3];

	assign(id, 3, &old, got, fresh);
	assert_int_equal(got[0], 12);
	assert_int_equal(got[1], 8);
	assert_int_equal(got[2], 9);
	assert_true(!fresh[0] && !fresh[1] && fresh[2]);
}

/* Whatever changes: no two rules share a counter, and none has one of a running rule that is not itself. */
static void random_changes_never_share_a_counter(void **state)
{
	__u64 id[2][64], next[64];
	__u32 index[2][64], got[64], entries;
	size_t n[2] = {0, 0}, nr;
	bool fresh[64];
	int running = 0;

	srand(4711);
	for (int round = 0; round < 2000; round++) {
		__u64 old_id[128];
		__u32 old_index[128];
		int idle = !running;

		nr = rand() % 64;
		for (size_t i = 0; i < nr; i++)
			next[i] = rand() % 80;
		memcpy(old_id, id[running], n[running] * sizeof(__u64));
		memcpy(old_id + n[running], id[idle], n[idle] * sizeof(__u64));
		memcpy(old_index, index[running], n[running] * sizeof(__u32));
		memcpy(old_index + n[running], index[idle], n[idle] * sizeof(__u32));
		assert_int_equal(counters_assign(next, nr, old_id, old_index, n[0] + n[1],
						 n[running], FIRST, got, fresh, &entries),
				 0);
		for (size_t i = 0; i < nr; i++) {
			assert_in_range(got[i], FIRST, entries - 1);
			for (size_t j = 0; j < i; j++)
				assert_int_not_equal(got[i], got[j]);
			for (size_t j = 0; j < n[running]; j++)
				if (got[i] == index[running][j])
					assert_int_equal(next[i], id[running][j]);
		}
		memcpy(id[idle], next, nr * sizeof(__u64));
		memcpy(index[idle], got, nr * sizeof(__u32));
		n[idle] = nr;
		if (rand() % 4) /* else the apply failed, or fell back */
			running = idle;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(first_policy_counts_from_the_first_index),
	    cmocka_unit_test(rule_that_stays_keeps_its_counter_wherever_it_stands),
	    cmocka_unit_test(counter_of_a_running_rule_goes_to_nobody_else),
	    cmocka_unit_test(counter_of_an_idle_rule_is_free_and_fresh_for_others),
	    cmocka_unit_test(idle_rule_takes_its_counter_up_again),
	    cmocka_unit_test(twins_are_told_apart_by_their_order),
	    cmocka_unit_test(random_changes_never_share_a_counter),
	};

	return cmocka_run_group_tests_name("kernel: counters", tests, NULL, NULL);
}
