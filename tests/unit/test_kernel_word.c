// SPDX-License-Identifier: GPL-2.0-only
/* The generation word: packing, fallback, expiry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/internal.h"

static void word_holds_slot_generation_and_deadline(void **state)
{
	static const struct {
		unsigned int slot;
		__u32 generation;
		__u64 deadline;
	} cases[] = {
	    {0, 1, 0},
	    {1, 7, 0},
	    {0, WEIR_WORD_GEN_MASK, 0},
	    {1, WEIR_WORD_GEN_MASK, (1ULL << 40) - 1},
	    {0, 2, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		__u64 word = word_make(cases[i].slot, cases[i].generation, cases[i].deadline);

		assert_int_equal(word_slot(word), cases[i].slot);
		assert_int_equal(word_generation(word), cases[i].generation);
		assert_int_equal(word_deadline(word), cases[i].deadline);
		assert_int_equal(!!(word & WEIR_WORD_PENDING), cases[i].deadline != 0);
	}
}

static void word_without_deadline_is_never_on_trial(void **state)
{
	__u64 word = word_make(1, 5, 0);

	assert_false(word_expired(word, 0));
	assert_false(word_expired(word, ~0ULL));
}

static void trial_expires_at_its_deadline_and_not_before(void **state)
{
	__u64 word = word_make(1, 5, 1000);

	assert_false(word_expired(word, 999));
	assert_true(word_expired(word, 1000));
	assert_true(word_expired(word, 1001));
}

static void fallback_is_the_other_slot_as_a_generation_of_its_own(void **state)
{
	__u64 back = word_fallback(word_make(1, 5, 1000), true);

	assert_int_equal(word_slot(back), 0);
	assert_int_equal(word_generation(back), 6);
	assert_false(back & WEIR_WORD_PENDING);
	assert_int_equal(word_deadline(back), 0);
}

static void fallback_to_a_slot_without_policy_is_generation_0(void **state)
{
	__u64 back = word_fallback(word_make(0, 1, 1000), false);

	assert_int_equal(word_slot(back), 1);
	assert_int_equal(word_generation(back), 0);
	assert_false(back & WEIR_WORD_PENDING);
}

static void generations_wrap_around_without_0(void **state)
{
	assert_int_equal(generation_next(0), 1);
	assert_int_equal(generation_next(WEIR_WORD_GEN_MASK - 1), WEIR_WORD_GEN_MASK);
	assert_int_equal(generation_next(WEIR_WORD_GEN_MASK), 1);
	assert_int_equal(word_generation(word_fallback(word_make(0, WEIR_WORD_GEN_MASK, 9), true)),
			 1);
}

static void maps_have_names_that_bpf_keeps_whole(void **state)
{
	for (int i = 0; i < NR_MAPS; i++) {
		assert_non_null(map_name(i));
		assert_in_range(strlen(map_name(i)), 6, 15);
		assert_int_equal(map_by_name(map_name(i)), i);
	}
	assert_int_equal(map_by_name("weir_scratch"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(word_holds_slot_generation_and_deadline),
	    cmocka_unit_test(word_without_deadline_is_never_on_trial),
	    cmocka_unit_test(trial_expires_at_its_deadline_and_not_before),
	    cmocka_unit_test(fallback_is_the_other_slot_as_a_generation_of_its_own),
	    cmocka_unit_test(fallback_to_a_slot_without_policy_is_generation_0),
	    cmocka_unit_test(generations_wrap_around_without_0),
	    cmocka_unit_test(maps_have_names_that_bpf_keeps_whole),
	};

	return cmocka_run_group_tests_name("kernel: word", tests, NULL, NULL);
}
