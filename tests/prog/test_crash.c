// SPDX-License-Identifier: GPL-2.0-only
/*
 * A change that dies half way: whatever point it had reached, the policy in force is whole, the next change works, and
 * what was counted and charged before is still there.
 */
#include "harness.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/internal.h"

#define DIED	21
#define COUNTED 1000
#define OWED_NS (40 * S_NS)

static char dir[64];

/* Enough rules that counters and the slot's tables have to grow. */
static char *policy_text(unsigned int nr_rules, unsigned int entries)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "interfaces: [cr0]\nworkloads: [cr1]\nallow:\n"
		     "- {name: kept, from: 192.0.2.1, to: self, port: udp/3}\n");
	for (unsigned int i = 0; i < nr_rules; i++)
		fprintf(out, "- {from: 192.0.2.2, to: self, port: tcp/%u}\n", i + 1);
	fprintf(out,
		"limits: [{name: lim, to: self, port: udp/3, count: packets, rate: 1/second, "
		"burst: 100, entries: %u}]\n",
		entries);
	fclose(out);
	return text;
}

static int apply(const char *text)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct environment env = {};
	struct policy *parsed = NULL;
	struct tables *tables = NULL;
	struct kernel *kernel = NULL;
	int err = environment_read(&env, &diag);

	if (!err)
		err = policy_parse_text(text, strlen(text), "test", &parsed, &diag);
	if (!err)
		err = tables_build(parsed, &env, &tables, &diag);
	if (!err)
		err = kernel_open(dir, true, &kernel, &diag);
	if (!err)
		err = kernel_apply(kernel, parsed, tables, &env, NULL, NULL, &diag);
	if (err)
		print_error("apply: %s\n", diag.error);
	kernel_close(kernel);
	tables_free(tables);
	policy_free(parsed);
	environment_free(&env);
	return err;
}

static struct kernel *opened(bool write)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = NULL;

	if (kernel_open(dir, write, &kernel, &diag))
		fail_msg("cannot open: %s", diag.error);
	return kernel;
}

static void detach(void)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = opened(true);

	if (kernel_loaded(kernel))
		assert_int_equal(kernel_detach(kernel, &diag), 0);
	kernel_close(kernel);
}

/* ---- what must survive ---- */

static struct weir_limit *the_limit(struct kernel *kernel, struct weir_tat **ret_tat)
{
	struct weir_limit *limit;
	size_t n;

	assert_int_equal(slot_limits(kernel, word_slot(word_peek(kernel)), &limit, &n), 0);
	assert_int_equal(n, 1);
	*ret_tat = map_mmap(kernel->maps.fd[MAP_weir_tat],
			    kernel->maps.entries[MAP_weir_tat] * sizeof(struct weir_tat));
	assert_non_null(*ret_tat);
	return limit;
}

static void plant(void)
{
	struct kernel *kernel = opened(true);
	int cpus = libbpf_num_possible_cpus();
	struct weir_count *count = calloc(cpus, sizeof(*count));
	struct weir_tat *tat;
	struct weir_limit *limit = the_limit(kernel, &tat);
	__u32 index = WEIR_RULE_FIRST;

	count[0].passed_packets = COUNTED;
	assert_int_equal(
	    bpf_map_update_elem(kernel->maps.fd[MAP_weir_rulecnt], &index, count, BPF_ANY), 0);
	tat[limit->buckets].entry[0].key = 0xff000000c0000201;
	tat[limit->buckets].entry[0].tat = (mono_ns(NULL) + OWED_NS) << WEIR_TAT_SHIFT;
	map_munmap(tat, kernel->maps.entries[MAP_weir_tat] * sizeof(*tat));
	free(limit);
	free(count);
	kernel_close(kernel);
}

struct sum {
	__u64 now, owed;
};

static int add_debt(void *arg, const struct limit_state *state)
{
	struct sum *sum = arg;

	if (state->tat > sum->now)
		sum->owed += state->tat - sum->now;
	return 0;
}

static void assert_kept(const char *when)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = opened(false);
	struct sum sum = {.now = mono_ns(NULL) << WEIR_TAT_SHIFT};
	struct weir_count count = {};

	assert_int_equal(kernel_rule_count(kernel, WEIR_RULE_FIRST, &count), 0);
	if (count.passed_packets != COUNTED)
		fail_msg("%s: counted %llu", when, (unsigned long long)count.passed_packets);
	assert_int_equal(kernel_each_limit(kernel, add_debt, &sum, &diag), 0);
	if (sum.owed == 0 || sum.owed > OWED_NS << WEIR_TAT_SHIFT)
		fail_msg("%s: owes %llu ms", when,
			 (unsigned long long)(sum.owed >> WEIR_TAT_SHIFT) / 1000000);
	kernel_close(kernel);
}

static int unfinished(void *arg, const char *name)
{
	if (name[0] != '~' && name[0] != '+')
		return 0;
	print_error("left behind: %s\n", name);
	return 1;
}

static void assert_tidy(void)
{
	static const char *const folders[] = {"maps", "progs", "links"};
	struct kernel *kernel = opened(false);

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		assert_int_equal(pin_each(kernel, folders[i], unfinished, NULL), 0);
	kernel_close(kernel);
}

/* ---- dying ---- */

static const char *die_point;
static unsigned int die_after;

static int die(const char *point)
{
	if (strcmp(point, die_point) == 0 && --die_after == 0)
		_exit(DIED);
	return 0;
}

/* false: it never came to that point. */
static bool dies_at(const char *point, unsigned int nth, const char *text)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		die_point = point;
		die_after = nth;
		kernel_fault = die;
		_exit(apply(text) ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 1);
	return WEXITSTATUS(status) == DIED;
}

/* A pin is made in two steps; a name in front of which "~" stands is one that never took its place. */
static void plant_unfinished_pin(void)
{
	struct kernel *kernel = opened(true);
	char path[PATH_MAX];

	assert_int_equal(pin_path(kernel, "maps", "~+weir_tat", path), 0);
	assert_int_equal(bpf_obj_pin(kernel->maps.fd[MAP_weir_tat], path), 0);
	kernel_close(kernel);
}

static void growing_that_dies_anywhere_forgets_nothing(void **state)
{
	static const struct {
		const char *point;
		unsigned int nth;
	} points[] = {
	    {"pin", 4},		/* journal half written */
	    {"link_update", 3}, /* some hooks have changed over */
	    {"settle", 1},	/* all have */
	    {"rename", 10},	/* the new counters are in place, what they carry is not */
	    {"map_write", 2},	/* filling the idle slot */
	    {"swap", 1},
	};
	char *small = policy_text(3, 1000), *large = policy_text(2000, 400000);

	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		const char *point = points[i].point;

		detach();
		assert_int_equal(apply(small), 0);
		plant();
		assert_kept("planted");
		if (!dies_at(point, points[i].nth, large))
			fail_msg("never came to %s %u", point, points[i].nth);
		if (i == 0)
			plant_unfinished_pin();
		assert_int_equal(apply(small), 0);
		assert_kept(point);
		assert_tidy();
	}
	detach();
	free(small);
	free(large);
}

static void first_apply_that_dies_is_started_over(void **state)
{
	static const char *const points[] = {"pin", "map_write", "attach", "swap"};
	char *text = policy_text(3, 1000);

	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		detach();
		if (!dies_at(points[i], 2 - (i == 3), text))
			fail_msg("never came to %s", points[i]);
		assert_int_equal(apply(text), 0);
		assert_tidy();
	}
	detach();
	free(text);
}

static int setup(void **state)
{
	if (geteuid() != 0) {
		print_message("needs root\n");
		exit(77);
	}
	snprintf(dir, sizeof(dir), "/sys/fs/bpf/weir-test-crash-%d", getpid());
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	return system("ip link add cr0 type veth peer name cr1 && ip link set cr0 up && "
		      "ip link set cr1 up");
}

static int teardown(void **state)
{
	detach();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(growing_that_dies_anywhere_forgets_nothing),
	    cmocka_unit_test(first_apply_that_dies_is_started_over),
	};

	return cmocka_run_group_tests_name("a change that dies", tests, setup, teardown);
}
