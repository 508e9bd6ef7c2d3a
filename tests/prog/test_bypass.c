// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ways around a limit, and ways to turn one against somebody: what is admitted is burst + rate x time, whatever its
 * senders do with their addresses, the clock or the shape of packets, and blocks hit nobody in whose name others speak.
 *
 * Prints a table as comments: what the bound is (in packets, or in bytes), what was admitted, and their ratio. More must
 * never pass than the bound and one unit, nor less than 99 % of it. Time is injected.
 */
#include "harness.h"

#include <stdlib.h>

#include "weir/hash.h"

#define BASE	    "interfaces: [nic, nic2]\nworkloads: [wl, wl2]\nfailsafe: []\ndefault: allow\n"
#define LIMIT(rest) "limits: [{name: it, to: self, " rest "}]\n"
#define MS	    1000000ULL

static const struct hop XDP = {.hook = WEIR_HOOK_XDP};
static const struct hop NIC_OUT = {.hook = WEIR_HOOK_NIC_OUT};

static const struct ends *in(void)
{
	return ends_of(WEIR_HOOK_XDP);
}

static const struct ends *out(void)
{
	return ends_of(WEIR_HOOK_NIC_OUT);
}

static __u64 seed;

static __u32 next_random(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return seed >> 32;
}

/* ---- the table ---- */

static void table_head(void)
{
	printf("# %-58s %14s %14s %8s\n", "case", "burst + rate*t", "admitted", "ratio");
}

static void print_row(const char *name, __u64 bound, __u64 admitted)
{
	printf("# %-58s %14llu %14llu %8.4f\n", name, (unsigned long long)bound,
	       (unsigned long long)admitted, (double)admitted / bound);
}

/* @bound: burst + rate x time of all that share it; @unit: how much may pass beyond it */
static void row(const char *name, __u64 bound, __u64 unit, __u64 admitted)
{
	print_row(name, bound, admitted);
	if (admitted > bound + unit || admitted + unit < bound - bound / 100)
		fail_msg("%s: %llu admitted, %llu wanted", name, (unsigned long long)admitted,
			 (unsigned long long)bound);
}

static __u64 limit_passed(void)
{
	return count_limit(0).passed_packets;
}

/* ---- packets ---- */

static void from4(struct frame *frame, __u32 source)
{
	for (int i = 0; i < 4; i++)
		frame->byte[frame->l3 + 12 + i] = source >> (24 - 8 * i);
	frame_sum(frame);
}

static void from6(struct frame *frame, __u64 network)
{
	for (int i = 0; i < 8; i++)
		frame->byte[frame->l3 + 8 + i] = network >> (56 - 8 * i);
}

/* Every bit of the source behind the first @length is made up anew. */
static void rotate(struct frame *frame, int family, unsigned int length)
{
	__u8 *source = frame->byte + frame->l3 + (family == 4 ? 12 : 8);
	unsigned int bits = family == 4 ? 32 : 128;

	for (unsigned int bit = length; bit < bits; bit++) {
		source[bit / 8] &= ~(0x80 >> bit % 8);
		if (next_random() >> 7 & 1)
			source[bit / 8] |= 0x80 >> bit % 8;
	}
	frame_sum(frame);
}

static struct frame udp(int family)
{
	return family == 4 ? *FRAME(in(), IP4(), UDP()) : *FRAME(in(), IP6(), UDP());
}

static struct frame udp_from(const char *source)
{
	return *FRAME(in(), IP4(.src = source), UDP());
}

/* The same frame @n times, the clock moving by @step before each. Returns how many passed. */
static unsigned int offer(const struct hop *hop, const struct frame *frame, unsigned int n,
			  __u64 step)
{
	unsigned int passed = 0;

	for (unsigned int i = 0; i < n; i++) {
		world.control->fake_ns += step;
		passed += run_passes(hop, frame);
	}
	return passed;
}

/* ---- addresses that rotate ---- */

static void rotation(const char *name, int family, unsigned int length, const char *key)
{
	struct frame frame = udp(family);
	char text[512];

	world_reset(NULL);
	snprintf(text, sizeof(text), BASE LIMIT("count: packets, rate: 100/second, burst: 50%s"),
		 key);
	policy(text);
	for (unsigned int i = 0; i < 60000; i++) {
		world.control->fake_ns += MS;
		rotate(&frame, family, length);
		run_passes(&XDP, &frame);
	}
	row(name, 50 + 100 * 60, 1, limit_passed());
}

static void addresses_that_rotate(void **state)
{
	rotation("rotation inside a /64", 6, 64, "");
	rotation("rotation inside a /56, key 56", 6, 56, ", key: {ipv6: 56}");
	rotation("rotation inside a /48, key 48", 6, 48, ", key: {ipv6: 48}");
	rotation("rotation inside a /24 of IPv4, key 24", 4, 24, ", key: {ipv4: 24}");
}

/* Of two limits the wider key's holds who has more networks than one. */
static void networks_that_rotate(void **state)
{
	struct frame frame = udp(6);

	policy(BASE "limits:\n"
		    "  - {name: site, to: self, count: packets, rate: 1000/second, burst: 500, "
		    "key: {ipv6: 48}}\n"
		    "  - {name: net, to: self, count: packets, rate: 100/second, burst: 50}\n");
	for (unsigned int i = 0; i < 100000; i++) {
		world.control->fake_ns += MS / 5;
		rotate(&frame, 6, 56);
		run_passes(&XDP, &frame);
	}
	row("rotation over 256 /64s, keys 48 and 64 (the /48 holds)", 500 + 1000 * 20, 1,
	    count_limit(limit_of("site")).passed_packets);
}

/* ---- forged sources ---- */

#define PLACES	 1024
#define PUNISHED 50

static void punish(void)
{
	struct frame frame = udp(4);

	for (unsigned int i = 0; i < PUNISHED; i++) {
		from4(&frame, 0xc6336400 + i);
		if (offer(&XDP, &frame, 9, 0) != 6)
			fail_msg("source %u found no place", i);
	}
}

/* 20,000 forged sources a second for ten seconds, @each packets of each; those who were punished go on asking. */
static void forged_sources(unsigned int each, __u64 *ret_punished, unsigned int *ret_new)
{
	struct frame frame = udp(4);

	*ret_punished = 6 * PUNISHED;
	*ret_new = 0;
	for (unsigned int i = 0; i < 200000; i++) {
		if (i % 20 == 0)
			world.control->fake_ns += MS;
		from4(&frame, (11 + next_random() % 100) << 24 | (next_random() & 0xffffff));
		for (unsigned int n = 0; n < each; n++)
			run_passes(&XDP, &frame);
		if (i % 40 == 0) { /* each punished one ten times a second */
			from4(&frame, 0xc6336400 + i / 40 % PUNISHED);
			*ret_punished += run_passes(&XDP, &frame);
		}
		if (i % 200 == 100) { /* a newcomer */
			from4(&frame,
			      (150 + next_random() % 40) << 24 | (next_random() & 0xffffff));
			*ret_new += run_passes(&XDP, &frame);
		}
	}
}

static void a_flood_of_sources(void **state)
{
	for (unsigned int each = 1; each <= 2; each++) {
		__u64 punished;
		unsigned int newcomers;

		world_reset(state);
		policy(BASE LIMIT("count: packets, rate: 1/second, burst: 5, entries: 1024"));
		punish();
		forged_sources(each, &punished, &newcomers);
		row(each == 1 ? "200,000 forged sources, 1,024 entries: 50 punished ones"
			      : "the same, two packets of each",
		    PUNISHED * (5 + 1 * 10), PUNISHED, punished);
		/* 256 shared entries of 100/second: enough for one packet of each, for two in five of eight cases. */
		print_row("  of 1,000 newcomers meanwhile", 1000, newcomers);
		assert_in_range(newcomers, each == 1 ? 990 : 640, 1000);
	}
}

/* Four who have the only places keep them; a network of others shares one entry, and gets what `overflow` says. */
static void what_finds_no_place_shares(void **state)
{
	struct frame frame = udp(4);
	__u64 others = 0, placed = 0;

	policy(BASE LIMIT(
	    "count: packets, rate: 10/second, burst: 5, entries: 4, overflow: 100/second"));
	for (unsigned int i = 0; i < 100000; i++) {
		world.control->fake_ns += MS / 5;
		if (i % 25 < 4) {
			from4(&frame, 0xc6336401 + i % 25);
			placed += run_passes(&XDP, &frame);
		} else {
			from4(&frame, 0x64400000 | (next_random() & 0xffff));
			others += run_passes(&XDP, &frame);
		}
	}
	row("four in the only places", 4 * (5 + 10 * 20), 4, placed);
	row("a /16 that finds no place: overflow 100/second", 50 + 100 * 20, 1, others);
}

/* ---- collisions ---- */

#define KEYS 1000

/* As charge_find() has it: the bucket of an IPv6 source's first 64 bits. */
static __u32 bucket_of(__u64 key, __u64 with)
{
	return (__u32)weir_mix(key ^ weir_mix(0, with), with) & (PLACES / 4 - 1);
}

static unsigned int places_found(const __u64 *key, __u64 with)
{
	struct frame frame = udp(6);
	unsigned int found = 0;

	world_reset(NULL);
	world.control->seed = with;
	policy(BASE LIMIT("count: packets, rate: 1/hour, entries: 1024, overflow: 1/day"));
	memset(world.tat, 0, PLACES / 4 * sizeof(*world.tat));
	for (unsigned int i = 0; i < KEYS; i++) {
		from6(&frame, key[i]);
		run_passes(&XDP, &frame);
	}
	for (unsigned int i = 0; i < PLACES / 4; i++)
		for (int e = 0; e < 4; e++)
			found += world.tat[i].entry[e].key != 0;
	return found;
}

/* Pearson's statistic of the keys over the buckets; its mean is the number of buckets - 1, here 255. */
static double unevenness(const __u64 *key, __u64 with)
{
	unsigned int n[PLACES / 4] = {};
	double sum = 0, mean = (double)KEYS / (PLACES / 4);

	for (unsigned int i = 0; i < KEYS; i++)
		n[bucket_of(key[i], with)]++;
	for (unsigned int i = 0; i < PLACES / 4; i++)
		sum += (n[i] - mean) * (n[i] - mean) / mean;
	return sum;
}

enum { IN_A_ROW, HIGH_BITS, COLLIDING, NR_CHOICES };
#define KNOWN_SEED 0x0123456789abcdefULL

static void choose_keys(int how, __u64 *key)
{
	__u64 candidate = 0x20010db800000000ULL;

	for (unsigned int i = 0; i < KEYS; i++) {
		if (how == IN_A_ROW)
			key[i] = candidate + i;
		else if (
		    how ==
		    HIGH_BITS) /* 2100::/16 to 23e7::/16 and so on: bits that reach the low ones last */
			key[i] = 0x2100000000000000ULL + ((__u64)i << 48);
		else
			do
				key[i] = candidate++;
			while (bucket_of(key[i], KNOWN_SEED) != 7);
	}
}

static void keys_that_collide_by_guess(void **state)
{
	static const char *const names[] = {"1,000 /64s in a row",
					    "1,000 that differ in the first bits",
					    "1,000 that collide under a known seed"};
	static __u64 key[KEYS];
	__u64 was = world.control->seed;

	for (int how = 0; how < NR_CHOICES; how++) {
		double worst = 0, sum = 0;
		unsigned int least = KEYS, found;

		choose_keys(how, key);
		if (how == COLLIDING) {
			assert_int_equal(places_found(key, KNOWN_SEED), 4);
			printf("# %-58s %14d\n", "  places that they find under that seed", 4);
		}
		for (int i = 0; i < 100; i++) {
			__u64 with = (__u64)next_random() << 32 | next_random();
			double chi2 = unevenness(key, with);

			sum += chi2;
			worst = chi2 > worst ? chi2 : worst;
			if (i >= 10)
				continue;
			found = places_found(key, with);
			least = found < least ? found : least;
		}
		printf(
		    "# %s, 100 random seeds: chi2 of 255 degrees %.0f in the mean, %.0f at worst; "
		    "places found: at least %u of 1,000\n",
		    names[how], sum / 100, worst, least);
		assert_in_range((unsigned int)(sum / 100), 245, 265);
		assert_true(worst < 255 + 6 * 22.6);
		assert_true(least > 750); /* four places and keys a bucket on average: 805 */
	}
	world.control->seed = was;
}

/* ---- clocks ---- */

#define RATE_1000 BASE LIMIT("count: packets, rate: 100/second, burst: 50")

static void clocks_that_step(void **state)
{
	struct frame frame = udp(4);
	unsigned int passed;

	policy(RATE_1000);
	passed = offer(&XDP, &frame, 10000, MS);
	world.control->fake_ns -= 1800 * S_NS;
	passed += offer(&XDP, &frame, 10000, MS);
	row("the clock steps back by half an hour", 50 + 100 * 10, 1, passed);

	world_reset(state);
	policy(RATE_1000);
	passed = offer(&XDP, &frame, 10000, MS);
	world.control->fake_ns += 5 * 3600 * S_NS;
	passed += offer(&XDP, &frame, 10000, MS);
	row("it steps forward by five hours: a burst more", 2 * (50 + 100 * 10), 2, passed);

	world_reset(state);
	policy(RATE_1000);
	passed = 0;
	for (unsigned int i = 0; i < 20000; i++) {
		world.control->fake_ns += i % 2 ? 8 * MS + MS / 2 : -7 * MS - MS / 2;
		passed += run_passes(&XDP, &frame);
	}
	row("another CPU's clock is 8 ms behind", 50 + 100 * 10, 1, passed);
}

static void long_idle(void **state)
{
	static const struct {
		const char *name;
		__u64 seconds;
	} idle[] = {{"idle for 5.1 hours at 1,000,000/second", 18360},
		    {"idle for 30 days", 30 * 86400},
		    {"idle for 400 days", 400 * 86400}};
	struct frame small = udp(4), large = *FRAME(in(), IP4(), UDP(), DATA(1472));
	__u64 begin = world.control->fake_ns;

	policy(BASE LIMIT("count: packets, rate: 1000000/second, burst: 1000"));
	for (unsigned int i = 0; i < 3; i++) {
		offer(&XDP, &small, 2000, 0);
		world.control->fake_ns += idle[i].seconds * S_NS;
		row(idle[i].name, 1000, 1, offer(&XDP, &small, 3000, 0));
	}
	policy(BASE LIMIT("count: bytes, rate: 100Gbit/s, burst: 1MB"));
	for (unsigned int i = 0; i < 3; i++) {
		offer(&XDP, &large, 2000, 0);
		world.control->fake_ns += idle[i].seconds * S_NS + 3 * S_NS / 2;
		row(i == 0 ? "the same at 12.5 GB/s, bytes" : idle[i].name, 1000000, 1500,
		    1500 * offer(&XDP, &large, 2000, 0));
	}
	world.control->fake_ns = begin + 86400 * S_NS; /* leave room for the tests to come */
	world_reset(state);
}

/* ---- aggregates, fragments ---- */

/* @frame as an aggregate of @segments: 2,000 a second for twenty seconds against a tenth of that. */
static void aggregates(const char *name, const struct frame *frame, unsigned int size,
		       unsigned int segments, bool counted, bool bytes)
{
	struct hop hop = {
	    .hook = WEIR_HOOK_NIC_IN, .gso_size = size, .gso_segs = counted ? segments : 0};
	size_t headers = (frame->l4 ? frame->l4 - frame->l3 : 0) + 20;
	__u64 unit = bytes ? segments * headers + (frame->len - frame->l3 - headers) : segments;
	__u64 rate = 200 * unit, burst = 10 * unit;
	char text[256];

	world_reset(NULL);
	snprintf(text, sizeof(text), BASE LIMIT("count: %s, rate: %llu%s, burst: %llu%s"),
		 bytes ? "bytes" : "packets", (unsigned long long)rate, bytes ? "B/s" : "/second",
		 (unsigned long long)burst, bytes ? "B" : "");
	policy(text);
	offer(&hop, frame, 40000, MS / 2);
	row(name, burst + rate * 20, unit,
	    bytes ? count_limit(0).passed_bytes : count_limit(0).passed_packets);
}

static void aggregates_are_what_they_carry(void **state)
{
	struct frame gro = *FRAME(in(), IP4(), TCP(.flags = F_ACK), DATA(3000));
	struct frame big4 = *FRAME(in(), IP4(), TCP(.flags = F_ACK), DATA(3000));
	struct frame big6 = *FRAME(in(), IP6(), TCP(.flags = F_ACK), DATA(3000));

	/* BIG TCP: lengths beyond 65,535 stand as 0; here 3,000 bytes in many small segments. */
	big4.byte[big4.l3 + 2] = big4.byte[big4.l3 + 3] = 0;
	frame_sum(&big4);
	big6.byte[big6.l3 + 4] = big6.byte[big6.l3 + 5] = 0;
	aggregates("GRO, 15 segments each: packets", &gro, 200, 15, true, false);
	aggregates("GRO, segments not counted: packets", &gro, 200, 15, false, false);
	aggregates("GRO, 15 segments each: bytes", &gro, 200, 15, true, true);
	aggregates("BIG TCP over IPv4, 150 segments each: packets", &big4, 20, 150, true, false);
	aggregates("BIG TCP over IPv6, 150 segments each: packets", &big6, 20, 150, true, false);
	aggregates("BIG TCP over IPv6, 150 segments each: bytes", &big6, 20, 150, false, true);
}

static void fragments_count_each(void **state)
{
	const struct frame first4 = *FRAME(in(), IP4(.fragment = 0x2000), UDP(), DATA(1000));
	const struct frame later4 = *FRAME(in(), IP4(.fragment = 126), DATA(1000, .proto = 17));
	const struct frame first6 = *FRAME(in(), IP6(), FRAGMENT(.fragment = 1), UDP(), DATA(1000));
	const struct frame later6 =
	    *FRAME(in(), IP6(), FRAGMENT(.fragment = 126 << 3), DATA(1000, .proto = 17));

	for (int family = 4; family <= 6; family += 2) {
		unsigned int passed = 0;

		world_reset(state);
		policy(BASE LIMIT("port: udp/443, count: packets, rate: 100/second, burst: 50"));
		for (unsigned int i = 0; i < 20000; i++) {
			world.control->fake_ns += MS;
			passed += run_passes(&XDP, i % 3 ? (family == 4 ? &later4 : &later6)
							 : (family == 4 ? &first4 : &first6));
		}
		row(family == 4 ? "fragments of IPv4: each of them"
				: "fragments of IPv6: each of them",
		    50 + 100 * 20, 1, passed);
	}
}

/* ---- changes of policy ---- */

/* The state of a limit that stays is not the policy's: ten changes of everything else, then only the programs run. */
static void changes_of_policy(void **state)
{
	struct frame frame = udp(4);
	unsigned int passed = 0;
	char text[512];

	for (unsigned int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text),
			 BASE "deny: [{from: 203.0.114.%u}]\n" LIMIT(
			     "count: packets, rate: 100/second, burst: 50"),
			 i);
		policy(text);
		passed += offer(&XDP, &frame, 1000, MS);
	}
	row("twenty changes of policy meanwhile", 50 + 100 * 20, 1, passed);
}

/* ---- what no limit may stop ---- */

static void replies_and_errors_pass_a_limit(void **state)
{
	struct frame frame = udp(4);
	const struct frame reply = *FRAME(in(), IP4(), UDP(.sport = 53, .dport = 5000));
	const struct frame too_big =
	    *FRAME(in(), IP4(.src = "203.0.114.254"), ICMP(.type = 3, .code = 4),
		   IP4(.src = SELF4, .dst = PEER4), UDP(.sport = 5000, .dport = 53));
	const struct frame too_big_by_peer =
	    *FRAME(in(), IP4(), ICMP(.type = 3, .code = 4), IP4(.src = SELF4, .dst = PEER4),
		   UDP(.sport = 5000, .dport = 53));

	policy("interfaces: [nic]\nfailsafe: []\ndefault: {ingress: deny, egress: allow}\n"
	       "allow: [{to: self, port: udp/443}]\n" LIMIT(
		   "count: packets, rate: 1/hour, burst: 5, on_exceed: {block: 1h}"));
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), UDP(.sport = 5000, .dport = 53)));
	assert_int_equal(offer(&XDP, &frame, 100, 0), 6);
	row("replies of a source that is blocked", 100, 0, offer(&XDP, &reply, 100, 0));
	row("\"too big\" by its path", 100, 0, offer(&XDP, &too_big, 100, 0));
	row("\"too big\" by itself", 100, 0, offer(&XDP, &too_big_by_peer, 100, 0));
}

/* ---- blocks that others bring about ---- */

#define RESOLVER      "203.0.114.53"
#define PROXY	      "203.0.115.1"
#define ADMINISTRATOR "203.0.116.22"
#define FAILSAFE      "203.0.117.80"
#define SOMEBODY      "203.0.118.5"

static const char BLOCKS[] =
    "interfaces: [nic]\ndefault: {ingress: deny, egress: allow}\n"
    "segments: {edge: {members: [" PROXY "], proxy: true}, admins: [" ADMINISTRATOR "]}\n"
    "failsafe: [{port: tcp/9100, from: " FAILSAFE "}]\n"
    "allow: [{from: any, to: self, port: [udp/443, tcp/443]}, {from: admins, to: self, port: tcp/22}]\n"
    "limits: [{name: it, to: self, count: packets, rate: 10/second, burst: 5, on_exceed: {block: 10m}}]\n";

/* 1,000 forged packets in the name of @source; then, a second later, a connection that it really opens. */
static enum weir_reason after_forgery(const char *source, __u16 port)
{
	struct frame frame = udp_from(source), syn;
	struct outcome found;

	world.control->fake_ns += 10 * S_NS;
	assert_int_equal(offer(&XDP, &frame, 1000, 0), 6);
	world.control->fake_ns += S_NS;
	syn = *FRAME(in(), IP4(.src = source), TCP(.dport = port, .flags = F_SYN));
	found = run_frame(&XDP, &syn);
	printf("# 1,000 packets in the name of %-24s its own connection to tcp/%u: %s\n", source,
	       port, reason_name(found.reason));
	return found.reason;
}

static void blocks_hit_nobody_whom_all_need(void **state)
{
	const struct frame answer =
	    *FRAME(in(), IP4(.src = RESOLVER), UDP(.sport = 53, .dport = 5000));

	policy(BLOCKS);
	assert_int_equal(after_forgery(SOMEBODY, 443), WEIR_AUTO_BLOCKED);
	assert_int_equal(after_forgery(PROXY, 443), WEIR_OK);
	assert_int_equal(after_forgery(ADMINISTRATOR, 443), WEIR_OK);
	assert_int_equal(after_forgery(ADMINISTRATOR, 22), WEIR_OK);
	assert_int_equal(after_forgery(FAILSAFE, 443), WEIR_OK);
	assert_int_equal(after_forgery(FAILSAFE, 9100), WEIR_OK);
	assert_passes(&NIC_OUT,
		      FRAME(out(), IP4(.dst = RESOLVER), UDP(.sport = 5000, .dport = 53)));
	assert_int_equal(after_forgery(RESOLVER, 443), WEIR_AUTO_BLOCKED);
	assert_passes(&NIC_OUT,
		      FRAME(out(), IP4(.dst = RESOLVER), UDP(.sport = 5000, .dport = 53)));
	assert_int_equal(offer(&XDP, &answer, 1000, 0), 1000);
	printf("# and the answers of %s to what this node asks: 1,000 of 1,000\n", RESOLVER);
	assert_int_equal(world.control->autoblocks, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, world_reset)
	    TEST(addresses_that_rotate),
	    TEST(networks_that_rotate),
	    TEST(a_flood_of_sources),
	    TEST(what_finds_no_place_shares),
	    TEST(keys_that_collide_by_guess),
	    TEST(clocks_that_step),
	    TEST(aggregates_are_what_they_carry),
	    TEST(fragments_count_each),
	    TEST(changes_of_policy),
	    TEST(replies_and_errors_pass_a_limit),
	    TEST(blocks_hit_nobody_whom_all_need),
	    TEST(long_idle),
	};

	seed = 1;
	table_head();
	return cmocka_run_group_tests(tests, world_setup, world_teardown) != 0;
}
