// SPDX-License-Identifier: GPL-2.0-only
/* Limits against an oracle on injected time: rates, bursts, keys, several at once, full tables, blocks. */
#include "harness.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define BASE	    "interfaces: [nic, nic2]\nworkloads: [wl, wl2]\nfailsafe: []\ndefault: allow\n"
#define LIMIT(rest) "limits: [{name: it, " rest "}]\n"

typedef unsigned __int128 u128;

static const struct hop XDP = {.hook = WEIR_HOOK_XDP};
static const struct hop NIC_IN = {.hook = WEIR_HOOK_NIC_IN};
static const struct hop NIC_OUT = {.hook = WEIR_HOOK_NIC_OUT};
static const struct hop WL_OUT = {.hook = WEIR_HOOK_WL_OUT};
static const struct hop WL_IN = {.hook = WEIR_HOOK_WL_IN};

static const struct ends *in(void)
{
	return ends_of(WEIR_HOOK_XDP);
}

static const struct ends *out(void)
{
	return ends_of(WEIR_HOOK_NIC_OUT);
}

static unsigned int passes_of(const struct hop *hop, const struct frame *frame, unsigned int n)
{
	unsigned int passed = 0;

	for (unsigned int i = 0; i < n; i++)
		passed += run_passes(hop, frame);
	return passed;
}

#define SYN_FRAME  FRAME(in(), IP4(), TCP(.flags = F_SYN))
#define SYN6_FRAME FRAME(in(), IP6(), TCP(.flags = F_SYN))

/* ---- one limit, exactly ---- */

/* The limiter as it is defined, in exact numbers: time in ns times @rate, so that a unit costs @period. */
struct oracle {
	u128 rate, period, burst;
	u128 tat;
};

static bool oracle_takes(struct oracle *o, __u64 now_ns, __u64 units)
{
	u128 now = now_ns * o->rate;

	if (o->tat > now + o->burst * o->period)
		return false;
	o->tat = (o->tat > now ? o->tat : now) + units * o->period;
	return true;
}

static void sixty_at_once_with_100_a_minute_and_burst_20(void **state)
{
	for (int family = 4; family <= 6; family += 2)
		for (int h = 0; h < 2; h++) {
			const struct hop *hop = h ? &NIC_IN : &XDP;
			struct frame syn = family == 4 ? *SYN_FRAME : *SYN6_FRAME;
			struct frame second =
			    *FRAME(in(), IP4(.src = "198.51.100.8"), TCP(.flags = F_SYN));
			__u64 begin, last;
			unsigned int passed;

			world_reset(state);
			policy(BASE LIMIT(
			    "to: self, port: tcp/443, count: connections, rate: 100/minute, burst: 20"));
			assert_int_equal(passes_of(hop, &syn, 60), 21);
			assert_drops(hop, &syn, WEIR_LIMIT);
			begin = last = world.control->fake_ns;
			passed = 0;
			for (int ms = 1; ms <= 60000; ms += 1) {
				world.control->fake_ns = begin + ms * 1000000ULL;
				if (ms % 20 && ms % 600)
					continue;
				if (!run_passes(hop, &syn))
					continue;
				passed++;
				assert_int_equal(world.control->fake_ns - last, 600000000);
				last = world.control->fake_ns;
			}
			assert_int_equal(passed, 100);
			/* Another client does not notice. */
			assert_int_equal(passes_of(hop, &second, 21), 21);
		}
}

static __u64 next_random(__u64 *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 20;
}

/* Random steps of time and packets: each verdict is the oracle's. */
static void agrees(const char *text, const struct hop *hop, const struct frame *frame,
		   struct oracle o, __u64 step_ns, unsigned int n)
{
	unsigned int passed = 0;
	__u64 seed = 1, begin;

	world_reset(NULL);
	policy(text);
	begin = world.control->fake_ns;
	for (unsigned int i = 0; i < n; i++) {
		bool want, found;

		if ((next_random(&seed) >> 8) % 4)
			world.control->fake_ns += next_random(&seed) % step_ns;
		want = oracle_takes(&o, world.control->fake_ns, 1);
		found = run_passes(hop, frame);
		if (want != found)
			fail_msg("step %u: the oracle %s", i, want ? "passes" : "refuses");
		passed += found;
	}
	assert_true(passed > n / 20 && passed < n);
	assert_true(passed <=
		    (u128)(world.control->fake_ns - begin) * o.rate / o.period + (u128)o.burst + 1);
	assert_int_equal(count_limit(0).passed_packets, passed);
	assert_int_equal(count_limit(0).dropped_packets, n - passed);
}

#define MINUTE (60 * S_NS)
static void counted_units_agree_with_the_oracle(void **state)
{
	agrees(BASE LIMIT("to: self, count: connections, rate: 100/minute, burst: 20"), &XDP,
	       SYN_FRAME, (struct oracle){100, MINUTE, 20, 0}, 600000000, 5000);
	agrees(BASE LIMIT("to: self, count: packets, rate: 1000/second, burst: 7"), &NIC_IN,
	       FRAME(in(), IP6(), UDP()), (struct oracle){1000, S_NS, 7, 0}, 1000000, 5000);
	agrees(BASE LIMIT("to: self, count: packets, rate: 10000000/second, burst: 100"), &XDP,
	       FRAME(in(), IP4(), UDP()), (struct oracle){10000000, S_NS, 100, 0}, 150, 5000);
	agrees(BASE LIMIT("to: self, count: packets, rate: 1/day"), &XDP,
	       FRAME(in(), IP4(), ICMP(.type = 8)), (struct oracle){1, 86400 * S_NS, 0, 0},
	       43200 * S_NS, 300);
	agrees(BASE LIMIT("from: self, count: packets, rate: 50/second, burst: 3"), &NIC_OUT,
	       FRAME(out(), IP4(), UDP()), (struct oracle){50, S_NS, 3, 0}, 20000000, 3000);
	agrees(BASE LIMIT("from: workloads, count: packets, rate: 500/second, burst: 3"), &WL_OUT,
	       FRAME(ends_of(WEIR_HOOK_WL_OUT), IP6(), UDP()), (struct oracle){500, S_NS, 3, 0},
	       2000000, 3000);
	agrees(BASE LIMIT("to: workloads, count: packets, rate: 500/second, burst: 3"), &WL_IN,
	       FRAME(ends_of(WEIR_HOOK_WL_IN), IP6(), UDP()), (struct oracle){500, S_NS, 3, 0},
	       2000000, 3000);
}

/*
 * Bytes: a packet costs its IP total length. The program's cost is rounded up, so it never passes what the oracle
 * refuses by more than that, and it keeps the rate to a thousandth.
 */
static void bytes_keep(const char *text, const struct frame *frame, __u64 length, u128 rate,
		       u128 burst, __u64 step_ns)
{
	const unsigned int n = 5000;
	u128 passed = 0, most, least;
	__u64 begin, seed = 7;

	world_reset(NULL);
	policy(text);
	begin = world.control->fake_ns;
	for (unsigned int i = 0; i < n; i++) {
		world.control->fake_ns += next_random(&seed) % step_ns;
		passed += run_passes(&XDP, frame) ? length : 0;
	}
	most = (u128)(world.control->fake_ns - begin) * rate / S_NS + burst + length;
	least = most - most / 1000 - burst - 2 * length;
	if (passed > most || passed < least)
		fail_msg("%llu bytes passed, wanted %llu to %llu", (unsigned long long)passed,
			 (unsigned long long)least, (unsigned long long)most);
	assert_int_equal(count_limit(0).passed_bytes, passed);
	assert_true(count_limit(0).dropped_packets > 0);
}

static void bytes_keep_their_rate(void **state)
{
	const struct frame small = *FRAME(in(), IP4(), UDP(), DATA(72));
	const struct frame large = *FRAME(in(), IP6(), UDP(), DATA(1452));

	bytes_keep(BASE LIMIT("to: self, count: bytes, rate: 10MB/s, burst: 20KB"), &large, 1500,
		   10000000, 20000, 200000);
	bytes_keep(BASE LIMIT("to: self, count: bytes, rate: 1KB/s, burst: 500B"), &small, 100,
		   1000, 500, 100000000);
	bytes_keep(BASE LIMIT("to: self, count: bytes, rate: 100Gbit/s, burst: 1MB"), &large, 1500,
		   12500000000ULL, 1000000, 60);
	bytes_keep(BASE LIMIT("to: self, count: bytes, rate: 1MiB/s, burst: 1KiB"), &small, 100,
		   1048576, 1024, 120000);
}

static void burst_0_admits_one_at_a_time(void **state)
{
	policy(BASE LIMIT("to: self, count: packets, rate: 10/second, burst: 0"));
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 10), 1);
	world.control->fake_ns += 100000000 - 1;
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 10), 0);
	world.control->fake_ns += 1;
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 10), 1);
	world.control->fake_ns += 3600 * S_NS;
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 10), 1);
}

static void a_clock_that_steps_back_grants_nothing(void **state)
{
	policy(BASE LIMIT("to: self, count: packets, rate: 10/second, burst: 4"));
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 10), 5);
	world.control->fake_ns -= 1800 * S_NS;
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 100), 0);
	world.control->fake_ns += 1800 * S_NS + 100000000;
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 10), 1);
}

static void years_of_idle_grant_one_burst(void **state)
{
	policy(BASE LIMIT("to: self, count: packets, rate: 10000000/second, burst: 1000"));
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 2000), 1001);
	world.control->fake_ns += 2 * 365 * 86400 * S_NS;
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 2000), 1001);
	world.control->fake_ns -= 2 * 365 * 86400 * S_NS; /* leave room for the tests to come */
}

static void the_longest_interval_is_kept(void **state)
{
	policy(BASE LIMIT("to: self, count: packets, rate: 1/day, burst: 365"));
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 500), 366);
	world.control->fake_ns += 86400 * S_NS - 1;
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 2), 0);
	world.control->fake_ns += 1;
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 2), 1);
	policy_refused(BASE LIMIT("to: self, count: packets, rate: 1/day, burst: 367"));
}

static void connections_are_opening_syns(void **state)
{
	policy(BASE LIMIT("to: self, count: connections, rate: 1/hour, burst: 0"));
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(), TCP(.flags = F_ACK)), 9), 9);
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(), UDP()), 9), 9);
	assert_int_equal(
	    passes_of(&XDP, FRAME(in(), IP4(), SCTP(), BYTES("\1\0\0\24"), DATA(16)), 9), 9);
	assert_int_equal(count_limit(0).passed_packets, 0);
	assert_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN | F_ECE | F_CWR)));
	assert_drops(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN | F_PSH)), WEIR_LIMIT);
	assert_drops(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN), DATA(100)), WEIR_LIMIT);
	assert_drops(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN), SET16(0, 0)), WEIR_LIMIT);
	assert_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_ACK)));
}

/* ---- keys ---- */

static struct frame udp4(const char *src, const char *dst)
{
	return *FRAME(in(), IP4(.src = src, .dst = dst), UDP());
}

static struct frame udp6(const char *src, const char *dst)
{
	return *FRAME(in(), IP6(.src = src, .dst = dst), UDP());
}

#define ONCE(rest) BASE LIMIT("to: self, count: packets, rate: 1/hour, burst: 0, " rest)

static bool once(const struct frame *frame)
{
	return run_passes(&XDP, frame);
}

static void per_source(void **state)
{
	struct frame a = udp4(PEER4, SELF4), b = udp4("198.51.100.8", SELF4),
		     c = udp4(PEER4, "203.0.113.1"), d = udp6(PEER6, SELF6),
		     e = udp6("2001:db8:51::99", "2001:db8:77::1"),
		     f = udp6("2001:db8:51:1::1", SELF6);

	policy(ONCE("per: source"));
	assert_true(once(&a));
	assert_false(once(&a));
	assert_true(once(&b));
	assert_false(once(&c));
	assert_true(once(&d));
	assert_false(once(&e)); /* the same /64 */
	assert_true(once(&f));
}

static void per_destination(void **state)
{
	struct frame a = udp4(PEER4, SELF4), b = udp4("198.51.100.8", SELF4),
		     c = udp4(PEER4, "203.0.113.1"), d = udp6(PEER6, SELF6),
		     e = udp6(PEER6, "2001:db8:77::1");

	policy(ONCE("per: destination"));
	assert_true(once(&a));
	assert_false(once(&b));
	assert_true(once(&c));
	assert_true(once(&d));
	assert_true(once(&e));
	assert_false(once(&e));
}

static void per_pair(void **state)
{
	struct frame a = udp4(PEER4, SELF4), b = udp4("198.51.100.8", SELF4),
		     c = udp4(PEER4, "203.0.113.1"), d = udp6(PEER6, SELF6),
		     e = udp6(PEER6, "2001:db8:77::1"), f = udp6("2001:db8:51:1::1", SELF6);

	policy(ONCE("per: pair"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(once(&a), i == 0);
		assert_int_equal(once(&b), i == 0);
		assert_int_equal(once(&c), i == 0);
		assert_int_equal(once(&d), i == 0);
		assert_int_equal(once(&e), i == 0);
		assert_int_equal(once(&f), i == 0);
	}
	/* Longer keys than fit: every address for itself. */
	policy(ONCE("per: pair, key: {ipv6: 128}"));
	world.control->fake_ns += 7200 * S_NS;
	for (int i = 0; i < 2; i++) {
		struct frame g = udp6("2001:db8:51::8", SELF6), h = udp6(PEER6, "2001:db8::2");

		assert_int_equal(once(&a), i == 0);
		assert_int_equal(once(&d), i == 0);
		assert_int_equal(once(&g), i == 0);
		assert_int_equal(once(&h), i == 0);
	}
}

static void per_rule(void **state)
{
	struct frame a = udp4(PEER4, SELF4), b = udp4("203.0.114.8", "203.0.113.1"),
		     d = udp6(PEER6, SELF6);

	policy(ONCE("per: rule"));
	assert_true(once(&a));
	assert_false(once(&a));
	assert_false(once(&b));
	assert_false(once(&d));
}

static void flip_bit(struct frame *frame, size_t at, unsigned int bit)
{
	frame->byte[at + bit / 8] ^= 0x80 >> bit % 8;
	frame_sum(frame);
}

/* The last bit of the key tells sources apart, the one behind it does not. */
static void every_key_length(int family)
{
	unsigned int bits = family == 4 ? 32 : 128;
	size_t source = 14 + (family == 4 ? 12 : 8);

	for (unsigned int length = 0; length <= bits; length++) {
		struct frame base = family == 4 ? udp4("98.51.100.7", SELF4)
						: udp6("2001:db8:51:1234:5678:9abc:def0:1", SELF6);
		char text[512];

		if (family == 6 && length > 24 && length < 120 && length % 8 > 1 && length % 8 < 7)
			continue;
		snprintf(text, sizeof(text), ONCE("key: {ipv%d: %u}"), family, length);
		policy(text);
		world.control->fake_ns += 7200 * S_NS;
		assert_true(once(&base));
		assert_false(once(&base));
		if (length < bits) {
			struct frame same = base;

			flip_bit(&same, source, length < 3 ? 5 : length);
			if (once(&same))
				fail_msg("ipv%d key %u: the bit behind it counts", family, length);
		}
		if (length > 3) {
			struct frame other = base;

			flip_bit(&other, source, length - 1);
			if (!once(&other))
				fail_msg("ipv%d key %u: its last bit does not count", family,
					 length);
		}
	}
}

static void every_key_length_of_ipv4(void **state)
{
	every_key_length(4);
}

static void every_key_length_of_ipv6(void **state)
{
	every_key_length(6);
}

static void families_do_not_share_a_key(void **state)
{
	struct frame a = udp4("255.0.0.0", SELF4), b = udp4(PEER4, SELF4),
		     c = udp6("2001:db8::99", SELF6);

	(void)a;
	policy(ONCE("key: {ipv4: 0, ipv6: 0}"));
	assert_true(once(&b));
	assert_true(once(&c));
	assert_false(once(&b));
	assert_false(once(&c));
}

/* ---- several limits ---- */

static void one_that_refuses_leaves_the_others_as_they_were(void **state)
{
	for (int order = 0; order < 2; order++) {
		world_reset(state);
		policy(
		    order ? BASE
			"limits: [{name: few, to: self, port: udp/443, count: packets, rate: 1/hour}, "
			"{name: many, to: self, count: packets, rate: 1/second, burst: 9}]\n"
			  : BASE
			"limits: [{name: many, to: self, count: packets, rate: 1/second, burst: 9}, "
			"{name: few, to: self, port: udp/443, count: packets, rate: 1/hour}]\n");
		assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(), UDP(.dport = 443)), 50), 1);
		assert_int_equal(count_limit(limit_of("few")).dropped_packets, 49);
		assert_int_equal(count_limit(limit_of("many")).passed_packets, 1);
		assert_int_equal(count_limit(limit_of("many")).dropped_packets, 0);
		/* One of ten is gone, not all of them. */
		assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(), UDP(.dport = 444)), 50), 9);
		assert_int_equal(count_limit(limit_of("many")).dropped_packets, 41);
	}
}

static void four_limits_on_one_packet(void **state)
{
	policy(
	    BASE
	    "limits:\n"
	    "  - {name: a, to: self, count: packets, rate: 1/second, burst: 19}\n"
	    "  - {name: b, to: self, count: bytes, rate: 1KB/s, burst: 400B}\n"
	    "  - {name: c, to: self, port: tcp/443, count: connections, rate: 1/minute, burst: 2}\n"
	    "  - {name: d, to: self, count: packets, rate: 1/second, burst: 29, per: rule}\n");
	/* c first: three connections of 40 bytes. */
	assert_int_equal(passes_of(&XDP, SYN_FRAME, 10), 3);
	assert_int_equal(count_limit(limit_of("c")).dropped_packets, 7);
	/* b next: 120 bytes are gone, 40 each while at most 400 are owed. */
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(), TCP(.flags = F_ACK)), 50), 8);
	assert_int_equal(count_limit(limit_of("b")).dropped_packets, 42);
	assert_int_equal(count_limit(limit_of("a")).passed_packets, 11);
	/* a and d by other sources, whose bytes nobody has counted yet. */
	for (int i = 0; i < 30; i++) {
		char source[32];
		struct frame frame;

		snprintf(source, sizeof(source), "203.0.114.%d", i + 1);
		frame = udp4(source, SELF4);
		assert_int_equal(run_passes(&XDP, &frame), i < 30 - 11);
	}
	assert_int_equal(count_limit(limit_of("d")).dropped_packets, 11);
	assert_int_equal(count_limit(limit_of("a")).dropped_packets, 0);
	policy_refused(BASE "limits:\n"
			    "  - {name: a, to: self, count: packets, rate: 1/s}\n"
			    "  - {name: b, to: self, count: packets, rate: 2/s}\n"
			    "  - {name: c, to: self, count: packets, rate: 3/s}\n"
			    "  - {name: d, to: self, count: packets, rate: 4/s}\n"
			    "  - {name: e, to: self, count: packets, rate: 5/s}\n");
}

/* ---- where a limit counts ---- */

static void a_limit_counts_at_one_home(void **state)
{
	const struct hop leaves = {.hook = WEIR_HOOK_WL_OUT};
	const struct ends *ends = ends_of(WEIR_HOOK_WL_OUT);

	/* From alone: at the sender's home. To: at the receiver's, though the sender's home is at the same hook. */
	policy(
	    BASE
	    "limits:\n"
	    "  - {name: sent, from: workloads, count: packets, rate: 1/second, burst: 99}\n"
	    "  - {name: got, to: self, count: packets, rate: 1/second, burst: 99}\n"
	    "  - {name: both, from: workloads, to: self, count: packets, rate: 1/second, burst: 99}\n");
	assert_int_equal(passes_of(&leaves, FRAME(ends, IP4(.dst = SELF4), UDP()), 10), 10);
	for (__u32 i = 0; i < 3; i++)
		assert_int_equal(count_limit(i).passed_packets, 10);
	assert_int_equal(passes_of(&leaves, FRAME(ends, IP4(), UDP()), 5), 5);
	assert_int_equal(count_limit(limit_of("sent")).passed_packets, 15);
	assert_int_equal(count_limit(limit_of("got")).passed_packets, 10);
	/* To a workload: at its veth, not at the NIC that it came by. */
	policy(BASE LIMIT("to: workloads, count: packets, rate: 1/hour, burst: 2"));
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(.dst = POD4), UDP()), 9), 9);
	assert_int_equal(passes_of(&WL_IN, FRAME(ends_of(WEIR_HOOK_WL_IN), IP4(), UDP()), 9), 3);
	/* To somewhere else: where it leaves. */
	policy(BASE LIMIT(
	    "from: self, to: \"198.51.100.0/24\", count: packets, rate: 1/hour, burst: 2"));
	world.control->fake_ns += 86400 * S_NS;
	assert_int_equal(passes_of(&NIC_OUT, FRAME(out(), IP4(), UDP()), 9), 3);
	assert_int_equal(passes_of(&NIC_OUT, FRAME(out(), IP4(.dst = "203.0.114.1"), UDP()), 9), 9);
}

static void transit_is_charged_once(void **state)
{
	world.forwarding = true;
	policy(BASE LIMIT("to: 203.0.115.9, count: packets, rate: 1/hour, burst: 4"));
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(.dst = "203.0.115.9"), UDP()), 9), 5);
	assert_int_equal(
	    passes_of(AT(.hook = WEIR_HOOK_NIC_OUT, .ifindex = world.nic2, .arrived = world.nic),
		      FRAME(in(), IP4(.dst = "203.0.115.9"), UDP()), 9),
	    9);
}

static void replies_are_not_charged(void **state)
{
	policy("interfaces: [nic]\nfailsafe: []\ndefault: {ingress: deny, egress: allow}\n"
	       "limits: [{name: it, to: self, count: packets, rate: 1/hour}]\n");
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), UDP(.sport = 5000, .dport = 53)));
	for (int i = 0; i < 9; i++)
		assert_passes(&XDP, FRAME(in(), IP4(), UDP(.sport = 53, .dport = 5000)));
	assert_int_equal(count_limit(0).passed_packets, 0);
}

static void later_fragments_are_charged(void **state)
{
	policy(
	    BASE
	    "limits:\n"
	    "  - {name: dns, to: self, port: udp/53, count: packets, rate: 1/hour, burst: 3}\n"
	    "  - {name: web, to: self, port: tcp/443, count: packets, rate: 1/hour, burst: 1}\n"
	    "  - {name: syn, to: self, port: tcp/443, count: connections, rate: 1/hour, burst: 1}\n");
	assert_int_equal(
	    passes_of(&XDP, FRAME(in(), IP4(.fragment = 100), DATA(64, .proto = 17)), 9), 4);
	assert_int_equal(
	    passes_of(&XDP, FRAME(in(), IP4(.fragment = 100), DATA(64, .proto = 6)), 9), 2);
	/* IPv6: any protocol's, so both limits, and the narrower one decides. */
	assert_int_equal(
	    passes_of(&XDP, FRAME(in(), IP6(), FRAGMENT(.fragment = 800), DATA(64, .proto = 17)),
		      9),
	    2);
	assert_int_equal(count_limit(limit_of("syn")).passed_packets, 0);
	assert_int_equal(count_limit(limit_of("dns")).passed_packets, 4 + 2);
}

/* ---- aggregates ---- */

static void aggregates_count_as_their_packets(void **state)
{
	struct frame big = *FRAME(in(), IP4(), TCP(.flags = F_ACK), DATA(3000));
	struct hop gro = {.hook = WEIR_HOOK_NIC_IN, .gso_size = 100, .gso_segs = 30};
	struct hop dodgy = {.hook = WEIR_HOOK_NIC_IN, .gso_size = 100};

	policy(BASE LIMIT("to: self, count: packets, rate: 1/second, burst: 9"));
	/* The first segment conforms: the whole passes, and is charged in full. */
	assert_true(run_passes(&gro, &big));
	assert_false(run_passes(&gro, &big));
	assert_int_equal(count_limit(0).passed_packets, 30);
	assert_int_equal(count_limit(0).passed_bytes, 30 * 140);
	world.control->fake_ns += 20 * S_NS;
	assert_false(run_passes(&NIC_IN, SYN_FRAME));
	world.control->fake_ns += S_NS;
	assert_true(run_passes(&NIC_IN, SYN_FRAME));
	/* Without a count of segments: from the sizes. */
	world_reset(state);
	assert_true(run_passes(&dodgy, &big));
	assert_int_equal(count_limit(0).passed_packets, 30);
	world_reset(state);
	policy(BASE LIMIT("to: self, count: bytes, rate: 1KB/s, burst: 1KB"));
	assert_true(run_passes(&gro, &big));
	assert_int_equal(count_limit(0).passed_bytes, 4200);
	world.control->fake_ns += 31 * S_NS / 10;
	assert_false(run_passes(&gro, &big));
	world.control->fake_ns += S_NS / 5;
	assert_true(run_passes(&gro, &big));
}

/* ---- full buckets ---- */

static struct frame source4(unsigned int i)
{
	struct frame frame = *FRAME(in(), IP4(.src = "100.64.0.0"), UDP());

	frame.byte[14 + 13] += i >> 16;
	frame.byte[14 + 14] = i >> 8;
	frame.byte[14 + 15] = i;
	frame_sum(&frame);
	return frame;
}

#define TINY "to: self, count: packets, rate: 1/minute, burst: 2, entries: 4, overflow: 1/second"

static void a_full_bucket_forgets_nobody(void **state)
{
	struct outcome found;
	struct frame frame;

	policy(BASE LIMIT(TINY));
	for (unsigned int i = 0; i < 4; i++) {
		frame = source4(i);
		assert_int_equal(passes_of(&XDP, &frame, 9), 3);
	}
	/* Newcomers share an entry: a burst of two at 1/minute is 120 s of credit there, a unit costs a second. */
	frame = source4(4);
	assert_int_equal(passes_of(&XDP, &frame, 200), 121);
	found = run_frame(&XDP, &frame);
	assert_int_equal(found.reason, WEIR_LIMIT_OVERFLOW);
	frame = source4(5); /* of the same /16 */
	assert_int_equal(passes_of(&XDP, &frame, 9), 0);
	world.control->fake_ns += S_NS;
	assert_int_equal(passes_of(&XDP, &frame, 9), 1);
	/* Those who were there are treated as before. */
	for (unsigned int i = 0; i < 4; i++) {
		frame = source4(i);
		assert_drops(&XDP, &frame, WEIR_LIMIT);
	}
	world.control->fake_ns += 60 * S_NS;
	for (unsigned int i = 0; i < 4; i++) {
		frame = source4(i);
		assert_int_equal(passes_of(&XDP, &frame, 9), 1);
	}
	/* Once theirs have expired, a newcomer has a place. */
	world.control->fake_ns += 181 * S_NS;
	frame = source4(77);
	assert_int_equal(passes_of(&XDP, &frame, 9), 3);
	assert_drops(&XDP, &frame, WEIR_LIMIT);
}

/* To the nanosecond: while an entry says anything, nobody takes its place. */
static void live_entries_are_not_replaced(void **state)
{
	static const char *const texts[] = {
	    BASE LIMIT("to: self, count: packets, rate: 1/minute, entries: 4, overflow: 1/day"),
	    BASE LIMIT("to: self, count: packets, rate: 1/minute, entries: 2, overflow: 1/day, "
		       "key: {ipv6: 128}")};

	for (unsigned int wide = 0; wide < 2; wide++) {
		struct frame newcomer = source4(99), frame;

		world_reset(state);
		policy(texts[wide]);
		for (unsigned int i = 0; i < (wide ? 2 : 4); i++) {
			frame = source4(i);
			assert_passes(&XDP, &frame);
		}
		assert_passes(&XDP, &newcomer); /* by the shared entry, once */
		world.control->fake_ns += 60 * S_NS - 1;
		assert_drops(&XDP, &newcomer, WEIR_LIMIT_OVERFLOW);
		assert_drops(&XDP, &frame, WEIR_LIMIT);
		world.control->fake_ns += 1;
		assert_passes(&XDP, &newcomer);
		assert_drops(&XDP, &newcomer, WEIR_LIMIT);
	}
}

/* The insertion lock is held by another CPU: who is in the bucket is charged, who is not is refused, not punished. */
static void a_locked_bucket_refuses_newcomers_only(void **state)
{
	struct frame old = source4(0), newcomer = source4(1);
	__u64 *lock = &world.tat[0].entry[0].tat;

	policy(BASE LIMIT("to: self, count: packets, rate: 1/minute, burst: 2, entries: 4, "
			  "on_exceed: {block: 1h}"));
	assert_passes(&XDP, &old);
	assert_true(*lock != 0 && !(*lock & WEIR_TAT_LOCK));
	*lock |= WEIR_TAT_LOCK;
	assert_passes(&XDP, &old);
	assert_drops(&XDP, &newcomer, WEIR_LIMIT);
	assert_true(*lock & WEIR_TAT_LOCK);
	*lock &= ~WEIR_TAT_LOCK;
	assert_int_equal(world.control->autoblocks, 0);
	assert_int_equal(passes_of(&XDP, &newcomer, 5), 3);
	assert_int_equal(passes_of(&XDP, &old, 5), 1);
}

static void overflow_entries_are_shared_by_network(void **state)
{
	struct frame frame;
	int fresh = 0;

	policy(BASE LIMIT(TINY));
	for (unsigned int i = 0; i < 4; i++) {
		frame = source4(i);
		passes_of(&XDP, &frame, 9);
	}
	frame = source4(9);
	assert_int_equal(passes_of(&XDP, &frame, 200), 121);
	/* 32 other /16s: 256 entries, so nearly all have one of their own. */
	for (unsigned int i = 1; i <= 32; i++) {
		frame = source4(i << 16);
		fresh += run_passes(&XDP, &frame);
	}
	assert_in_range(fresh, 28, 32);
}

static void wide_keys_overflow_as_well(void **state)
{
	struct frame frame = udp6("2001:db8:51::1", SELF6);

	policy(BASE LIMIT(
	    "to: self, count: packets, rate: 1/minute, burst: 1, entries: 2, key: {ipv6: 128}, overflow: 1/hour"));
	for (int i = 0; i < 2; i++) {
		frame.byte[14 + 23] = i + 1;
		assert_int_equal(passes_of(&XDP, &frame, 5), 2);
		assert_drops(&XDP, &frame, WEIR_LIMIT);
	}
	frame.byte[14 + 23] = 99;
	assert_int_equal(passes_of(&XDP, &frame, 5), 1);
	assert_drops(&XDP, &frame, WEIR_LIMIT_OVERFLOW);
	frame.byte[14 + 23] = 1;
	assert_drops(&XDP, &frame, WEIR_LIMIT);
}

/* Many more sources than entries: those that found a place keep exactly to their limit. */
static void a_flood_of_sources_changes_nothing_for_others(void **state)
{
	struct frame mine = *SYN_FRAME, frame;
	unsigned int passed = 0;

	policy(BASE LIMIT("to: self, count: packets, rate: 1/minute, burst: 4, entries: 1024"));
	assert_int_equal(passes_of(&XDP, &mine, 3), 3);
	for (unsigned int i = 0; i < 20000; i++) {
		frame = source4(i);
		run_passes(&XDP, &frame);
		if (i % 1000 == 0)
			passed += run_passes(&XDP, &mine);
	}
	assert_int_equal(passed, 2);
}

/* ---- blocks ---- */

#define BLOCKING    \
	BASE LIMIT( \
	    "to: self, port: udp/443, count: packets, rate: 1/second, burst: 1, on_exceed: {block: 10m}")

static void on_exceed_blocks_what_the_limit_covers(void **state)
{
	policy(BLOCKING);
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(), UDP()), 2), 2);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP()), WEIR_LIMIT);
	assert_int_equal(world.control->autoblocks, 1);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP()), WEIR_AUTO_BLOCKED);
	world.control->fake_ns += 599 * S_NS;
	assert_drops(&XDP, FRAME(in(), IP4(), UDP()), WEIR_AUTO_BLOCKED);
	/* Nothing else. */
	assert_passes(&XDP, FRAME(in(), IP4(), UDP(.dport = 444)));
	assert_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN)));
	assert_passes(&XDP, FRAME(in(), IP4(.src = "198.51.100.8"), UDP()));
	assert_passes(&XDP, FRAME(in(), IP6(), UDP()));
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), UDP(.sport = 443)));
	world.control->fake_ns += 2 * S_NS;
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(), UDP()), 2), 2);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP()), WEIR_LIMIT);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP()), WEIR_AUTO_BLOCKED);
}

static void replies_pass_an_automatic_block(void **state)
{
	policy("interfaces: [nic]\ndefault: allow\n"
	       "failsafe: [udp/443]\n" LIMIT(
		   "to: self, count: packets, rate: 1/second, burst: 1, on_exceed: {block: 10m}"));
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), UDP(.sport = 5000, .dport = 53)));
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(), UDP(.dport = 9)), 9), 2);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP(.dport = 9)), WEIR_AUTO_BLOCKED);
	/* Of the node's own opening, and failsafe. */
	assert_passes(&XDP, FRAME(in(), IP4(), UDP(.sport = 40000, .dport = 443)));
	policy("interfaces: [nic]\ndefault: {ingress: deny, egress: allow}\n"
	       "failsafe: []\nallow: [{port: udp/9}]\n" LIMIT(
		   "to: self, count: packets, rate: 1/second, burst: 1, on_exceed: {block: 10m}"));
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), UDP(.sport = 5000, .dport = 53)));
	assert_drops(&XDP, FRAME(in(), IP4(), UDP(.dport = 9)), WEIR_AUTO_BLOCKED);
	assert_passes(&XDP, FRAME(in(), IP4(), UDP(.sport = 53, .dport = 5000)));
}

static void never_block_is_not_blocked_but_limited(void **state)
{
	policy(BLOCKING "never_block: [" PEER4 "]\n");
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(), UDP()), 5), 2);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP()), WEIR_LIMIT);
	assert_int_equal(world.control->autoblocks, 0);
	world.control->fake_ns += S_NS;
	assert_passes(&XDP, FRAME(in(), IP4(), UDP()));
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(.src = "198.51.100.8"), UDP()), 5), 2);
	assert_drops(&XDP, FRAME(in(), IP4(.src = "198.51.100.8"), UDP()), WEIR_AUTO_BLOCKED);
}

/* An exempt source is exempt from a block that stands already. */
static void never_block_lifts_a_standing_automatic_block(void **state)
{
	policy(BLOCKING);
	passes_of(&XDP, FRAME(in(), IP4(), UDP()), 5);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP()), WEIR_AUTO_BLOCKED);
	policy(BLOCKING "never_block: [" PEER4 "]\n");
	world.control->fake_ns += 5 * S_NS;
	assert_passes(&XDP, FRAME(in(), IP4(), UDP()));
}

static void a_full_block_table_evicts_nobody(void **state)
{
	struct frame frame;
	unsigned int refused = 0;

	policy(BASE LIMIT(
	    "to: self, count: packets, rate: 1/hour, burst: 0, on_exceed: {block: 1h}, entries: 524288"));
	for (unsigned int i = 0; i < 70000; i++) {
		frame = source4(i);
		run_passes(&XDP, &frame);
		refused += !run_passes(&XDP, &frame);
	}
	assert_int_equal(refused, 70000);
	assert_in_range(world.control->block_full, 70000 - WEIR_MAX_AUTOBLOCKS - 100,
			70000 - WEIR_MAX_AUTOBLOCKS);
	frame = source4(0);
	assert_drops(&XDP, &frame, WEIR_AUTO_BLOCKED);
	frame = source4(69999);
	assert_drops(&XDP, &frame, WEIR_LIMIT);
}

/* ---- limits that only watch ---- */

static void a_monitored_limit_drops_nothing(void **state)
{
	policy(
	    BASE
	    "limits:\n"
	    "  - {name: it, to: self, count: packets, rate: 1/hour, burst: 2, mode: monitor, on_exceed: {block: 1m}}\n"
	    "  - {name: real, to: self, count: packets, rate: 1/hour, burst: 9}\n");
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(), UDP()), 20), 10);
	assert_int_equal(count_limit(limit_of("it")).passed_packets, 3);
	/* A packet that the other limit refuses would not have been charged. */
	assert_int_equal(count_limit(limit_of("real")).dropped_packets, 10);
	assert_true(count_limit(limit_of("it")).dropped_packets >= 7);
	assert_int_equal(world.control->autoblocks, 0);
}

static void a_monitoring_policy_blocks_nobody_later(void **state)
{
	policy("mode: monitor\n" BLOCKING);
	assert_int_equal(passes_of(&XDP, FRAME(in(), IP4(), UDP()), 5), 5);
	assert_int_equal(world.control->autoblocks, 0);
	policy(BLOCKING);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP()), WEIR_LIMIT);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP()), WEIR_AUTO_BLOCKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, world_reset)
	    TEST(sixty_at_once_with_100_a_minute_and_burst_20),
	    TEST(counted_units_agree_with_the_oracle),
	    TEST(bytes_keep_their_rate),
	    TEST(burst_0_admits_one_at_a_time),
	    TEST(a_clock_that_steps_back_grants_nothing),
	    TEST(years_of_idle_grant_one_burst),
	    TEST(the_longest_interval_is_kept),
	    TEST(connections_are_opening_syns),
	    TEST(per_source),
	    TEST(per_destination),
	    TEST(per_pair),
	    TEST(per_rule),
	    TEST(every_key_length_of_ipv4),
	    TEST(every_key_length_of_ipv6),
	    TEST(families_do_not_share_a_key),
	    TEST(one_that_refuses_leaves_the_others_as_they_were),
	    TEST(four_limits_on_one_packet),
	    TEST(a_limit_counts_at_one_home),
	    TEST(transit_is_charged_once),
	    TEST(replies_are_not_charged),
	    TEST(later_fragments_are_charged),
	    TEST(aggregates_count_as_their_packets),
	    TEST(a_full_bucket_forgets_nobody),
	    TEST(live_entries_are_not_replaced),
	    TEST(a_locked_bucket_refuses_newcomers_only),
	    TEST(overflow_entries_are_shared_by_network),
	    TEST(wide_keys_overflow_as_well),
	    TEST(a_flood_of_sources_changes_nothing_for_others),
	    TEST(on_exceed_blocks_what_the_limit_covers),
	    TEST(a_monitoring_policy_blocks_nobody_later),
	    TEST(replies_pass_an_automatic_block),
	    TEST(never_block_is_not_blocked_but_limited),
	    TEST(never_block_lifts_a_standing_automatic_block),
	    TEST(a_full_block_table_evicts_nobody),
	    TEST(a_monitored_limit_drops_nothing),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown) != 0;
}
