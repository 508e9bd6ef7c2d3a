// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench PIN-DIR NETNS JSON [quick] - measure, print tables, write JSON. run.sh makes and removes what it needs.
 *
 * A figure is the least of several rounds, net of an empty program reached in the same way, all programs of a row being
 * run in turn in every round: other work on the machine makes single runs longer, never shorter. Compare within one run.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <jansson.h>

#include "bench.h"

#define ROUNDS	     7
#define REPEAT	     300000
#define REPEAT_QUICK 30000

static unsigned int repeat = REPEAT, rounds = ROUNDS;

static const struct {
	const char *id, *title;
} TARGETS[NR_TARGETS] = {
    [XDP_PARSE] = {"parse", "parse"},	      [XDP_ADDRESS] = {"address", "+ addresses"},
    [XDP_VERDICT] = {"verdict", "+ verdict"}, [XDP_LIMIT] = {"limit", "+ limiter"},
    [XDP_WHOLE] = {"xdp", "XDP, all"},	      [XDP_TEXTBOOK] = {"textbook", "textbook"},
    [TC_IN] = {"tc_in", "TC in, all"},	      [TC_OUT] = {"tc_out", "TC out, all"},
};

static const struct stream OPENS = {
    .proto = 6, .tcp_flags = 0x02, .peer_port = 50000, .local_port = BENCH_LIMITED};
static const struct stream ANSWERS = {.proto = 6,
				      .tcp_flags = 0x10,
				      .peer_port = 50000,
				      .local_port = BENCH_LIMITED,
				      .outbound = true};

/* What TC sees leaving is the other direction of the same connections. */
static struct stream stream_for(enum target target, __u32 sources)
{
	struct stream stream = target == TC_OUT ? ANSWERS : OPENS;

	stream.number = sources;
	return stream;
}

static __s64 net(const __u64 *least, enum target target)
{
	return (__s64)(least[target] - least[target >= FIRST_TC ? TC_EMPTY : XDP_EMPTY]);
}

static void measure(struct world *world, __u32 sources, __u64 *least)
{
	for (int t = 0; t < NR_TARGETS; t++) {
		struct stream stream = stream_for(t, sources);

		least[t] = ~0ULL;
		/* Once through all sources: what a table keeps of each is there before it is timed. */
		world_run(world, t, &stream, sources < 1000 ? 1000 : sources, true);
	}
	for (unsigned int round = 0; round < rounds; round++) {
		for (int t = 0; t < NR_TARGETS; t++) {
			struct stream stream = stream_for(t, sources);
			__u64 ns = world_run(world, t, &stream, repeat, false);

			if (ns < least[t])
				least[t] = ns;
		}
	}
}

static void print_head(void)
{
	printf("%8s %9s", "rules", "sources");
	for (int t = 0; t < NR_TARGETS; t++)
		if (TARGETS[t].title)
			printf(" %12s", TARGETS[t].title);
	printf("\n");
}

static void print_row(unsigned int rules, __u32 sources, const __u64 *least, json_t *rows)
{
	json_t *row = json_object();

	printf("%8u %9u", rules, sources);
	json_object_set_new(row, "rules", json_integer(rules));
	json_object_set_new(row, "sources", json_integer(sources));
	json_object_set_new(row, "empty_xdp_ns", json_integer(least[XDP_EMPTY]));
	json_object_set_new(row, "empty_tc_ns", json_integer(least[TC_EMPTY]));
	for (int t = 0; t < NR_TARGETS; t++) {
		if (!TARGETS[t].title)
			continue;
		printf(" %12lld", (long long)net(least, t));
		json_object_set_new(row, TARGETS[t].id, json_integer(net(least, t)));
	}
	printf("\n");
	fflush(stdout);
	json_array_append_new(rows, row);
}

/* Nearly all packets must have passed, or the figures are those of refusals. */
static void check_passed(struct world *world)
{
	__u64 passed, dropped;

	world_judged(world, &passed, &dropped);
	if (dropped > passed / 50)
		die(0, "%llu packets passed and %llu did not: this measures refusals", passed,
		    dropped);
}

static json_t *apply_json(unsigned int rules, const struct apply_times *times)
{
	json_t *object = json_object();

	json_object_set_new(object, "rules", json_integer(rules));
	json_object_set_new(object, "fill_ns", json_integer(times->fill_ns));
	json_object_set_new(object, "total_ns", json_integer(times->total_ns));
	return object;
}

static void stages(const char *pin_dir, json_t *root)
{
	static const unsigned int RULES[] = {10, 1000, 100000};
	static const __u32 SOURCES[] = {1, 65536, 1000000};
	json_t *rows = json_array(), *applies = json_array();

	printf("ns per packet over an empty program; parts are cumulative\n");
	print_head();
	for (size_t r = 0; r < sizeof(RULES) / sizeof(*RULES); r++) {
		struct apply_times times;
		struct world *world = world_open(pin_dir, RULES[r], false, &times);

		for (size_t s = 0; s < sizeof(SOURCES) / sizeof(*SOURCES); s++) {
			__u64 least[NR_TARGETS];

			measure(world, SOURCES[s], least);
			print_row(RULES[r], SOURCES[s], least, rows);
		}
		check_passed(world);
		world_close(world);
		json_array_append_new(applies, apply_json(RULES[r], &times));
	}
	json_object_set_new(root, "stages", rows);
	json_object_set_new(root, "apply", applies);
}

/* ---- packets of connections that exist: how much each way to know them costs ---- */

static const struct known {
	const char *id, *title;
	struct stream stream;
} KNOWN[] = {
    {"rule",
     "by a rule that names the port",
     {.proto = 6, .tcp_flags = 0x10, .peer_port = 50000, .local_port = BENCH_FREE}},
    {"socket",
     "by the kernel's socket table",
     {.proto = 6, .tcp_flags = 0x10, .peer_port = 443, .local_port = BENCH_LOCAL}},
    {"entry",
     "by an entry of weir's own (UDP)",
     {.proto = 17, .peer_port = 53, .local_port = BENCH_LOCAL}},
};
#define NR_KNOWN (sizeof(KNOWN) / sizeof(*KNOWN))

static void measure_known(struct world *world, __u32 number, __s64 *ret)
{
	__u64 least[NR_KNOWN], empty = ~0ULL;

	for (size_t k = 0; k < NR_KNOWN; k++)
		least[k] = ~0ULL;
	for (unsigned int round = 0; round < rounds; round++) {
		for (size_t k = 0; k < NR_KNOWN; k++) {
			struct stream stream = KNOWN[k].stream;
			__u64 ns;

			stream.number = number;
			if (stream.proto == 17) {
				struct stream out = stream;

				out.outbound = true;
				world_run(world, TC_OUT, &out, number, true);
			}
			ns = world_run(world, XDP_EMPTY, &stream, repeat, false);
			if (ns < empty)
				empty = ns;
			ns = world_run(world, XDP_WHOLE, &stream, repeat, false);
			if (ns < least[k])
				least[k] = ns;
		}
	}
	for (size_t k = 0; k < NR_KNOWN; k++)
		ret[k] = (__s64)(least[k] - empty);
}

static void continuations(const char *pin_dir, json_t *root)
{
	static const __u32 NUMBERS[] = {1, 1000, 8192};
	json_t *rows = json_array();
	struct apply_times times;
	struct world *world = world_open(pin_dir, 1000, false, &times);

	printf("\nns per packet of connections that exist, whole XDP program\n%-36s",
	       "connections");
	for (size_t n = 0; n < sizeof(NUMBERS) / sizeof(*NUMBERS); n++)
		printf(" %10u", NUMBERS[n]);
	printf("\n");
	__s64 ns[sizeof(NUMBERS) / sizeof(*NUMBERS)][NR_KNOWN];

	for (size_t n = 0; n < sizeof(NUMBERS) / sizeof(*NUMBERS); n++) {
		connections_open(NUMBERS[n]);
		measure_known(world, NUMBERS[n], ns[n]);
	}
	for (size_t k = 0; k < NR_KNOWN; k++) {
		printf("%-36s", KNOWN[k].title);
		for (size_t n = 0; n < sizeof(NUMBERS) / sizeof(*NUMBERS); n++) {
			json_t *row = json_object();

			printf(" %10lld", (long long)ns[n][k]);
			json_object_set_new(row, "known_by", json_string(KNOWN[k].id));
			json_object_set_new(row, "connections", json_integer(NUMBERS[n]));
			json_object_set_new(row, "xdp", json_integer(ns[n][k]));
			json_array_append_new(rows, row);
		}
		printf("\n");
	}
	connections_close();
	check_passed(world);
	world_close(world);
	json_object_set_new(root, "continuations", rows);
}

static void enter(const char *netns)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(-errno, "%s", path);
	close(fd);
}

/* One CPU for all runs: caches and the per-CPU maps stay where they are. */
static void stay(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu() < 0 ? 0 : sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

int main(int argc, char **argv)
{
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	json_t *root = json_object();
	struct utsname host;

	if (argc < 4)
		die(0, "usage: bench PIN-DIR NETNS JSON [quick]");
	if (argc > 4 && !strcmp(argv[4], "quick")) {
		repeat = REPEAT_QUICK;
		rounds = 2;
	}
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	enter(argv[2]);
	stay();
	uname(&host);
	json_object_set_new(root, "kernel", json_string(host.release));
	json_object_set_new(root, "rounds", json_integer(rounds));
	json_object_set_new(root, "packets_per_round", json_integer(repeat));
	stages(argv[1], root);
	continuations(argv[1], root);
	if (json_dump_file(root, argv[3], JSON_INDENT(2)))
		die(0, "%s cannot be written", argv[3]);
	json_decref(root);
	return 0;
}
