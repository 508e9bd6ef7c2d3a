// SPDX-License-Identifier: GPL-2.0-only
/* Two CPUs at one limiter: never more than burst + 1 + rate x time, whoever inserts, charges or expires meanwhile. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define BASE	    "interfaces: [nic]\nfailsafe: []\ndefault: allow\n"
#define LIMIT(rest) BASE "limits: [{name: it, to: self, count: packets, " rest "}]\n"

static const struct hop NIC_IN = {.hook = WEIR_HOOK_NIC_IN};

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static struct frame source(int family, unsigned int i)
{
	const struct ends *in = ends_of(WEIR_HOOK_NIC_IN);
	struct frame frame = family == 4 ? *FRAME(in, IP4(.src = "198.51.100.0"), UDP())
					 : *FRAME(in, IP6(.src = "2001:db8:51::"), UDP());

	frame.byte[14 + (family == 4 ? 15 : 23)] = i + 1;
	frame_sum(&frame);
	return frame;
}

struct worker {
	pthread_t thread;
	int cpu;
	void (*work)(struct worker *worker);
	struct frame frame[16];
	unsigned int passed[16];
	unsigned int runs;
};

static atomic_int started;

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	pin(worker->cpu);
	atomic_fetch_add(&started, 1);
	while (atomic_load(&started) < 2)
		;
	worker->work(worker);
	return NULL;
}

static int two_cpus(void)
{
	cpu_set_t set;

	sched_getaffinity(0, sizeof(set), &set);
	return CPU_ISSET(0, &set) && CPU_ISSET(1, &set);
}

/* Runs @work on CPUs 0 and 1 at once. */
static void run_two(struct worker *workers, void (*work)(struct worker *))
{
	atomic_store(&started, 0);
	for (int i = 0; i < 2; i++) {
		workers[i].cpu = i;
		workers[i].work = work;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]),
				 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(workers[i].thread, NULL);
}

#define NEED_TWO_CPUS()          \
	do {                     \
		if (!two_cpus()) \
			skip();  \
	} while (0)

/* ---- one key, a million units ---- */

static void charge_repeatedly(struct worker *worker)
{
	run_repeat(&NIC_IN, &worker->frame[0], worker->runs);
}

static void a_million_units_at_one_instant(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		struct worker workers[2] = {};

		NEED_TWO_CPUS();
		world_reset(state);
		policy(LIMIT("rate: 1000000/second, burst: 999999, key: {ipv6: 128}"));
		for (int i = 0; i < 2; i++) {
			workers[i].frame[0] = source(family, 0);
			workers[i].runs = 600000;
		}
		run_two(workers, charge_repeatedly);
		assert_int_equal(count_limit(0).passed_packets + count_limit(0).dropped_packets,
				 1200000);
		assert_int_equal(count_limit(0).passed_packets, 1000000);
		assert_int_equal(count_reason(WEIR_LIMIT).dropped_packets, 200000);
	}
}

/* Time goes on while both charge: in the end no more than what the time that passed allows, and hardly less. */
static void charge_while_time_passes(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->runs; i++) {
		run_repeat(&NIC_IN, &worker->frame[0], 50);
		atomic_fetch_add((_Atomic __u64 *)&world.control->fake_ns, 20000);
	}
}

static void a_million_units_while_time_passes(void **state)
{
	struct worker workers[2] = {};
	__u64 begin, most;

	NEED_TWO_CPUS();
	policy(LIMIT("rate: 1000000/second, burst: 500"));
	for (int i = 0; i < 2; i++) {
		workers[i].frame[0] = source(4, 0);
		workers[i].runs = 12500;
	}
	begin = world.control->fake_ns;
	run_two(workers, charge_while_time_passes);
	most = 501 + (world.control->fake_ns - begin) / 1000;
	assert_int_equal(count_limit(0).passed_packets + count_limit(0).dropped_packets, 1250000);
	assert_true(count_limit(0).passed_packets <= most);
	assert_true(count_limit(0).passed_packets >= most * 9 / 10);
}

/* ---- one bucket, more keys than it holds ---- */

static atomic_uint arrived, phase;

/* Both workers leave together. The last to come moves the clock. */
static void next_phase(__u64 step_ns)
{
	unsigned int now = atomic_load(&phase);

	if (atomic_fetch_add(&arrived, 1) == 1) {
		world.control->fake_ns += step_ns;
		atomic_store(&arrived, 0);
		atomic_store(&phase, now + 1);
		return;
	}
	/* On a busy machine the other may have to be let in. */
	for (unsigned int spins = 1; atomic_load(&phase) == now; spins++)
		if (spins % 2000 == 0)
			sched_yield();
}

#define PHASES 40000
static _Atomic unsigned char granted[PHASES][2];

/*
 * In each phase everything has expired, and both ask at once for the same two fresh keys, in the same order or the other
 * way round: one unit for each.
 */
static void ask_for_fresh_keys(struct worker *worker)
{
	struct frame frame[2];

	for (unsigned int p = 0; p < PHASES; p++) {
		for (int k = 0; k < 2; k++)
			frame[k] = worker->frame[(2 * p + k) % 14];
		next_phase(10 * S_NS);
		for (int k = 0; k < 2; k++)
			if (run_passes(&NIC_IN, &frame[k ^ (worker->cpu & p)]))
				atomic_fetch_add(&granted[p][k ^ (worker->cpu & p)], 1);
	}
}

static void fresh_keys(const char *text, int family)
{
	struct worker workers[2] = {};
	unsigned int more = 0, none = 0;

	memset((void *)granted, 0, sizeof(granted));
	policy(text);
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 14; k++)
			workers[i].frame[k] = source(family, k);
	atomic_store(&arrived, 0);
	run_two(workers, ask_for_fresh_keys);
	for (unsigned int p = 0; p < PHASES; p++)
		for (int k = 0; k < 2; k++) {
			more += granted[p][k] > 1;
			none += granted[p][k] == 0;
		}
	assert_int_equal(more, 0);
	/* It may refuse where insertions collide: not often. */
	assert_true(none < PHASES / 100);
}

static void a_fresh_key_is_granted_once(void **state)
{
	NEED_TWO_CPUS();
	fresh_keys(LIMIT("rate: 1/second, burst: 0, entries: 4, overflow: 1/day"), 4);
}

static void a_fresh_wide_key_is_granted_once(void **state)
{
	NEED_TWO_CPUS();
	fresh_keys(LIMIT("rate: 1/second, burst: 0, entries: 4, overflow: 1/day, key: {ipv6: 128}"),
		   6);
}

/* Keys come, expire and are replaced while both charge them in different orders and the clock moves under them. */
static void ask_in_turn(struct worker *worker)
{
	__u64 seed = worker->cpu + 1;

	for (unsigned int i = 0; i < worker->runs; i++) {
		unsigned int k;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		k = (seed >> 40) % 7;
		worker->passed[k] += run_passes(&NIC_IN, &worker->frame[k]);
		if ((seed >> 50) % 4 == 0)
			atomic_fetch_add((_Atomic __u64 *)&world.control->fake_ns, 100000000);
	}
}

static void keys_that_replace_each_other(const char *text, int family, unsigned int burst)
{
	struct worker workers[2] = {};
	__u64 begin, days, most;
	unsigned int all = 0;

	policy(text);
	for (int i = 0; i < 2; i++) {
		workers[i].runs = 200000;
		for (int k = 0; k < 7; k++)
			workers[i].frame[k] = source(family, k);
	}
	begin = world.control->fake_ns;
	run_two(workers, ask_in_turn);
	most = burst + 1 + (world.control->fake_ns - begin) / S_NS;
	/* What found no place was granted by the shared entry: a unit a day. */
	days = 1 + (world.control->fake_ns - begin) / (86400 * S_NS);
	for (int k = 0; k < 7; k++) {
		all += workers[0].passed[k] + workers[1].passed[k];
		assert_true(workers[0].passed[k] + workers[1].passed[k] <= most + days);
	}
	/* Four places for seven keys: the table was full, and yet worked. */
	assert_true(count_reason(WEIR_LIMIT_OVERFLOW).dropped_packets > 1000);
	assert_true(all > 2000);
}

static void replaced_keys_are_granted_no_more(void **state)
{
	NEED_TWO_CPUS();
	keys_that_replace_each_other(LIMIT("rate: 1/second, burst: 3, entries: 4, overflow: 1/day"),
				     4, 3);
}

static void replaced_wide_keys_are_granted_no_more(void **state)
{
	NEED_TWO_CPUS();
	keys_that_replace_each_other(
	    LIMIT("rate: 1/second, burst: 1, entries: 4, overflow: 1/day, key: {ipv6: 128}"), 6, 1);
}

/* ---- two limits at once ---- */

static void charge_one_source(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->runs; i++) {
		worker->passed[0] += run_passes(&NIC_IN, &worker->frame[0]);
		atomic_fetch_add((_Atomic __u64 *)&world.control->fake_ns, 500);
	}
}

/*
 * The second limit has a unit now and then, which both CPUs see and one gets: what the other was charged by the first
 * limit meanwhile stays charged: at most one unit for each that passed, and never less than passed.
 */
static void a_unit_lost_to_another_cpu_grants_none(void **state)
{
	struct worker workers[2] = {};
	unsigned int passed;

	NEED_TWO_CPUS();
	policy(BASE "limits:\n"
		    "  - {name: own, to: self, count: packets, rate: 1/minute, burst: 199999}\n"
		    "  - {name: all, to: self, count: packets, rate: 500000/second, per: rule}\n");
	for (int i = 0; i < 2; i++) {
		workers[i].runs = 150000;
		workers[i].frame[0] = source(4, 0);
	}
	run_two(workers, charge_one_source);
	passed = workers[0].passed[0] + workers[1].passed[0];
	assert_in_range(passed, 10000, 76000);
	policy(BASE
	       "limits: [{name: own, to: self, count: packets, rate: 1/minute, burst: 199999}]\n");
	counters_clear();
	run_repeat(&NIC_IN, &workers[0].frame[0], 210000);
	assert_in_range(count_limit(0).passed_packets, 200000 - 2 * passed, 200000 - passed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, world_reset)
	    TEST(a_million_units_at_one_instant),
	    TEST(a_million_units_while_time_passes),
	    TEST(a_fresh_key_is_granted_once),
	    TEST(a_fresh_wide_key_is_granted_once),
	    TEST(replaced_keys_are_granted_no_more),
	    TEST(replaced_wide_keys_are_granted_no_more),
	    TEST(a_unit_lost_to_another_cpu_grants_none),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown) != 0;
}
