// SPDX-License-Identifier: GPL-2.0-only
/* The generation word: which slot judges, trials that fall back by themselves, and no packet judged by two policies. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define BASE "interfaces: [nic]\nworkloads: [wl]\nfailsafe: []\n"
#define OPEN BASE "default: allow\n"
#define SHUT BASE "default: deny\n"

static const struct hop XDP = {.hook = WEIR_HOOK_XDP};

static __u64 word_of(unsigned int slot, __u64 generation, __u64 deadline_ms)
{
	return slot | generation << WEIR_WORD_GEN_SHIFT |
	       (deadline_ms ? WEIR_WORD_PENDING | deadline_ms << WEIR_WORD_DEADLINE_SHIFT : 0);
}

static const struct frame *any_at(enum weir_hook hook)
{
	return FRAME(ends_of(hook), IP4(), UDP());
}

static void the_word_says_which_slot_judges(void **state)
{
	policy_fill(0, 5, OPEN);
	policy_fill(1, 6, SHUT);
	for (int i = 0; i < 4; i++) {
		world.control->word = word_of(i & 1, 5 + (i & 1), 0);
		for (enum weir_hook hook = WEIR_HOOK_XDP; hook <= WEIR_HOOK_WL_IN; hook++) {
			if (i & 1)
				assert_drops(AT(.hook = hook), any_at(hook), WEIR_DEFAULT);
			else
				assert_passes(AT(.hook = hook), any_at(hook));
		}
	}
}

static void a_trial_falls_back_with_the_first_packet_past_it(void **state)
{
	policy_fill(0, 5, SHUT);
	policy_fill(1, 6, OPEN);
	for (enum weir_hook hook = WEIR_HOOK_XDP; hook <= WEIR_HOOK_WL_IN; hook++) {
		__u64 deadline = world.control->fake_ns / 1000000 + 60000;

		world.control->word = word_of(1, 6, deadline);
		assert_passes(AT(.hook = hook), any_at(hook));
		world.control->fake_ns = deadline * 1000000 - 1;
		assert_passes(AT(.hook = hook), any_at(hook));
		assert_true(world.control->word == word_of(1, 6, deadline));
		world.control->fake_ns++;
		/* Nothing happens by itself: a packet does it, and is judged by what it went back to. */
		assert_true(world.control->word == word_of(1, 6, deadline));
		assert_drops(AT(.hook = hook), any_at(hook), WEIR_DEFAULT);
		assert_true(world.control->word == word_of(0, 7, 0));
		/* That is final, whatever the clock says later. */
		world.control->fake_ns -= 30 * S_NS;
		assert_drops(AT(.hook = hook), any_at(hook), WEIR_DEFAULT);
		assert_true(world.control->word == word_of(0, 7, 0));
		world.control->fake_ns += 30 * S_NS;
	}
}

static void a_trial_falls_back_from_slot_0_too(void **state)
{
	policy_fill(1, 5, SHUT);
	policy_fill(0, 6, OPEN);
	world.control->word = word_of(0, 6, 1);
	assert_drops(&XDP, any_at(WEIR_HOOK_XDP), WEIR_DEFAULT);
	assert_true(world.control->word == word_of(1, 7, 0));
}

static void a_confirmed_policy_stays(void **state)
{
	__u64 deadline = world.control->fake_ns / 1000000 + 1000;

	policy_fill(0, 5, SHUT);
	policy_fill(1, 6, OPEN);
	/* Confirming clears the pending bit. A deadline without it means nothing. */
	world.control->word = word_of(1, 6, deadline) & ~WEIR_WORD_PENDING;
	world.control->fake_ns += 3600 * S_NS;
	assert_passes(&XDP, any_at(WEIR_HOOK_XDP));
	assert_true(world.control->word == (word_of(1, 6, deadline) & ~WEIR_WORD_PENDING));
}

static void generations_wrap_past_zero(void **state)
{
	policy_fill(0, 5, OPEN);
	policy_fill(1, WEIR_WORD_GEN_MASK, SHUT);
	world.control->word = word_of(1, WEIR_WORD_GEN_MASK, 1);
	assert_passes(&XDP, any_at(WEIR_HOOK_XDP));
	assert_true(world.control->word == word_of(0, 1, 0));
}

/* The first policy ever, on trial: before it nothing was judged. */
static void a_first_trial_falls_back_to_no_policy(void **state)
{
	struct outcome found;

	policy_fill(0, 0, SHUT);
	policy_fill(1, 1, SHUT);
	world.control->word = word_of(1, 1, 1);
	found = run_frame(&XDP, any_at(WEIR_HOOK_XDP));
	assert_true(found.pass);
	assert_int_equal(found.reason, WEIR_NR_REASONS);
	assert_int_equal(world.control->word >> WEIR_WORD_GEN_SHIFT, 0);
}

/* ---- several CPUs ---- */

static atomic_int waiting, stop;

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* What both threads send: built before them, since frames are built in place. */
static struct frame sent;

static void *send_one(void *arg)
{
	pin((long)arg);
	atomic_fetch_add(&waiting, 1);
	while (atomic_load(&waiting) < 2)
		;
	run_passes(AT(.hook = WEIR_HOOK_NIC_IN), &sent);
	return NULL;
}

static void two_packets_past_the_deadline_fall_back_once(void **state)
{
	policy_fill(0, 5, SHUT);
	policy_fill(1, 6, OPEN);
	sent = *any_at(WEIR_HOOK_NIC_IN);
	for (int i = 0; i < 200; i++) {
		pthread_t thread[2];

		world.control->word = word_of(1, 6, 1);
		atomic_store(&waiting, 0);
		for (long cpu = 0; cpu < 2; cpu++)
			pthread_create(&thread[cpu], NULL, send_one, (void *)cpu);
		for (int cpu = 0; cpu < 2; cpu++)
			pthread_join(thread[cpu], NULL);
		assert_true(world.control->word == word_of(0, 7, 0));
	}
	assert_int_equal(count_reason(WEIR_DEFAULT).dropped_packets, 400);
}

#define TRIALS 30000
static atomic_uint trial;

static void *send_at_each_deadline(void *arg)
{
	struct frame frame = *FRAME(ends_of(WEIR_HOOK_NIC_IN), IP4(), UDP());
	unsigned int spins = 0;

	pin(1);
	for (unsigned int i = 1; i <= TRIALS; i++) {
		while (atomic_load(&trial) < 2 * i)
			if (++spins % 2000 == 0)
				sched_yield();
		run_passes(AT(.hook = WEIR_HOOK_NIC_IN), &frame);
		atomic_fetch_add(&trial, 1);
	}
	return NULL;
}

/* Whoever confirms while a packet finds the deadline passed: one of them wins, for good. */
static void confirming_races_with_falling_back(void **state)
{
	const __u64 pending = word_of(1, 6, 1), confirmed = word_of(1, 6, 0);
	unsigned int won = 0, delay = 0;
	pthread_t thread;

	policy_fill(0, 5, SHUT);
	policy_fill(1, 6, OPEN);
	pin(0);
	atomic_store(&trial, 0);
	world.control->word = pending;
	assert_int_equal(pthread_create(&thread, NULL, send_at_each_deadline, NULL), 0);
	for (unsigned int i = 1; i <= TRIALS; i++) {
		__u64 was = pending;
		bool mine;

		world.control->word = pending;
		atomic_store(&trial, 2 * i);
		for (volatile unsigned int n = 0; n < delay; n++)
			;
		mine = atomic_compare_exchange_strong((_Atomic __u64 *)&world.control->word, &was,
						      confirmed);
		while (atomic_load(&trial) == 2 * i)
			sched_yield();
		assert_true(world.control->word == (mine ? confirmed : word_of(0, 7, 0)));
		won += mine;
		/* As late as the packet, on average. */
		if (mine)
			delay += 3;
		else if (delay >= 3)
			delay -= 3;
	}
	pthread_join(thread, NULL);
	assert_true(won > 0 && won < TRIALS);
}

static void *flip(void *arg)
{
	const __u64 words[] = {word_of(0, 5, 0), word_of(1, 6, 0)};
	unsigned int n = 0;

	pin(1);
	while (!atomic_load(&stop)) {
		atomic_store((_Atomic __u64 *)&world.control->word, words[n++ & 1]);
		for (volatile int i = 0; i < 50; i++)
			;
	}
	return NULL;
}

/*
 * Two policies that agree on two packets and on nothing else: classes, services, rows and verdicts have other numbers
 * in each, so tables of both together would say something else.
 */
static void no_packet_is_judged_by_a_mixture(void **state)
{
	const struct ends *in = ends_of(WEIR_HOOK_NIC_IN);
	const struct hop hop = {.hook = WEIR_HOOK_NIC_IN};
	struct frame good = *FRAME(in, IP4(), TCP(.flags = F_SYN, .dport = 443));
	struct frame bad =
	    *FRAME(in, IP4(.src = "198.51.100.9"), TCP(.flags = F_SYN, .dport = 443));
	struct frame bad6 = *FRAME(in, IP6(), UDP(.dport = 53));
	pthread_t thread;

	policy_fill(
	    0, 5,
	    SHUT
	    "segments: {a: [198.51.100.7, \"2001:db8:51::9\"], b: [198.51.100.9], c: [198.51.100.10]}\n"
	    "allow: [{from: a, port: tcp/443}, {from: b, port: tcp/80}, {from: c, port: udp/53}]\n");
	policy_fill(
	    1, 6,
	    SHUT
	    "segments: {c: [198.51.100.9, \"2001:db8:51::7\"], d: [203.0.113.7], b: [198.51.100.7], a: [198.51.100.11]}\n"
	    "allow: [{from: d, port: udp/53}, {from: c, port: tcp/81}, {from: a, port: tcp/443}, "
	    "{from: b, port: [tcp/443, tcp/444]}]\n");
	world.control->word = word_of(0, 5, 0);
	atomic_store(&stop, 0);
	pin(0);
	assert_int_equal(pthread_create(&thread, NULL, flip, NULL), 0);
	for (int i = 0; i < 300; i++) {
		run_repeat(&hop, &good, 500);
		run_repeat(&hop, &bad, 500);
		run_repeat(&hop, &bad6, 500);
	}
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	assert_int_equal(count_reason(WEIR_OK).passed_packets, 300 * 500);
	assert_int_equal(count_reason(WEIR_DEFAULT).dropped_packets, 300 * 1000);
}

static void events_name_the_policy_that_judged(void **state)
{
	static struct events events;

	policy_fill(0, 5, SHUT);
	policy_fill(1, 6, SHUT);
	events_open(&events);
	for (int slot = 0; slot < 2; slot++) {
		world.control->word = word_of(slot, 5 + slot, 0);
		assert_drops(&XDP, any_at(WEIR_HOOK_XDP), WEIR_DEFAULT);
	}
	world.control->word = word_of(1, 6, 1);
	assert_drops(&XDP, any_at(WEIR_HOOK_XDP), WEIR_DEFAULT);
	events_drain(&events);
	events_close(&events);
	assert_int_equal(events.n, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(events.event[i].slot, i & 1);
		assert_int_equal(events.event[i].generation, 5 + i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, world_reset)
	    TEST(the_word_says_which_slot_judges),
	    TEST(a_trial_falls_back_with_the_first_packet_past_it),
	    TEST(a_trial_falls_back_from_slot_0_too),
	    TEST(a_confirmed_policy_stays),
	    TEST(generations_wrap_past_zero),
	    TEST(a_first_trial_falls_back_to_no_policy),
	    TEST(two_packets_past_the_deadline_fall_back_once),
	    TEST(confirming_races_with_falling_back),
	    TEST(no_packet_is_judged_by_a_mixture),
	    TEST(events_name_the_policy_that_judged),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown) != 0;
}
