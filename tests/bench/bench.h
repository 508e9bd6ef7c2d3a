/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ns per packet of weir's programs, part by part, beside the textbook design.
 *
 * One world at a time: a policy with so many rules, applied to one interface of the network namespace that the caller
 * made, in a pin directory of its own. Rule i opens one port to one /28 of 10.0.0.0/8, and two rules open tcp/443 (with
 * a limit) and tcp/8443 (without) to everybody. The packets are of the latter two kinds, their sources are spread over
 * the prefixes of the former.
 */
#ifndef WEIR_BENCH_H
#define WEIR_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

#define BENCH_SELF     0xc0000201u /* 192.0.2.1 */
#define BENCH_PEERS    0x0a000000u /* 10.0.0.0, then counting */
#define BENCH_LIMITED  443
#define BENCH_FREE     8443
#define BENCH_LOCAL    40000 /* local port of connections that the node opened */
#define BENCH_NIC      "nic"
#define BENCH_INTERVAL 600000000ULL /* ns: 100/minute */
#define BENCH_BURST    50000000ULL  /* nobody is refused meanwhile */

/** rule_prefix(), rule_port() - what rule @i is about: network of 16 addresses (host order), tcp port. */
static inline __u32 rule_prefix(unsigned int i)
{
	return BENCH_PEERS + (i << 4);
}

static inline __u16 rule_port(unsigned int i)
{
	return 2000 + i % 1000;
}

/** die() - say what failed, with errno's text when @err (negative) is not 0, and exit 1. */
void die(int err, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/** enum target - what can be measured; TC ones are those from FIRST_TC on. */
enum target {
	XDP_EMPTY,
	XDP_PARSE,
	XDP_ADDRESS,
	XDP_VERDICT,
	XDP_LIMIT,
	XDP_WHOLE,
	XDP_TEXTBOOK,
	TC_EMPTY,
	TC_IN,
	TC_OUT,
	NR_TARGETS,
};
#define FIRST_TC TC_EMPTY

struct world;

struct apply_times {
	__u64 compile_ns, fill_ns, total_ns;
};

/** world_open() - apply a policy of @rules rules in @pin_dir, load what is measured beside it. Dies on any error. */
struct world *world_open(const char *pin_dir, unsigned int rules, bool forwards,
			 struct apply_times *ret);
/** world_close() - detach, remove the pins. */
void world_close(struct world *world);
/** world_passed() - packets that weir passed and dropped since it was opened. */
void world_judged(struct world *world, __u64 *ret_passed, __u64 *ret_dropped);

/**
 * struct stream - frames of one kind from many sources.
 * @proto: 6 or 17; @tcp_flags: 0x02 opens, 0x10 continues
 * @outbound: the varied address is the destination, the frame leaves
 */
struct stream {
	__u8 proto;
	__u8 tcp_flags;
	__u16 peer_port, local_port;
	bool outbound;
	__u32 number;
};

/** world_run() - @repeat packets of @stream through @target; ns for each. Dies when the last one did not pass. */
__u64 world_run(struct world *world, enum target target, const struct stream *stream,
		unsigned int repeat, bool in_order);

/** connections_open() - make that many established TCP connections from BENCH_LOCAL to port 443 of each peer. */
void connections_open(unsigned int number);
void connections_close(void);

#endif
