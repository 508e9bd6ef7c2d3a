// SPDX-License-Identifier: GPL-2.0-only
/*
 * Floods of new tuples at 8 times the capacity of the table of flows: who was connected stays so, and who connects
 * meanwhile gets through.
 *
 * Each case fills one region of the table by what can fill it: packets with forged sources in transit or to this node,
 * this node itself, one workload among ten. Half of the established flows are idle since their first three packets, the
 * others go on. The clock is injected: 100,000 new tuples a second, and a legitimate peer answers after 20 ms. Prints a
 * table as comments; the environment's FLOODS=all runs every combination, otherwise every seventh is run.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define CAPACITY    (WEIR_FLOW_SETS * WEIR_FLOW_WAYS)
#define TUPLES	    (8 * CAPACITY)
#define RATE	    100000
#define RTT	    (RATE / 50) /* 20 ms, in tuples of the flood */
#define ESTABLISHED 1000
#define NEWCOMERS   2000
#define WORKLOADS   10

enum kind { UDP_FLOW, TCP_FLOW, ECHO_FLOW, NR_KINDS };
enum spread { WHOLE_SPACE, ONE_NETWORK, FROM_INSIDE };
enum { ONE_PACKET, TWO_PACKETS, TWO_ANSWERED, NR_MANNERS };

/* An end, in wire order. */
struct end {
	__u8 address[16];
	__u16 port;
};

/* @owner: the interface of a workload's flow, 0: of nobody's */
struct tuple {
	struct end opener, answerer;
	__u32 owner;
	__u32 opener_seq, answerer_seq; /* what each end began with */
};

/**
 * struct region_case - how a region is filled.
 * @opens, @answers: where the opener's packets and the answers meet a program
 * @kinds: bit per enum kind
 * @inside: the opener is on this side: its address is fixed, tuples differ by the other end
 */
struct region_case {
	const char *name, *policy;
	struct hop opens, answers;
	unsigned int kinds;
	bool inside;
	const char *here4, *here6;
};

enum { TRANSIT, ANSWERS, SELF, WORKLOAD, MASQUERADE, NR_CASES };
static struct region_case cases[NR_CASES] = {
    [TRANSIT] =
	{"transit",
	 "interfaces: [nic, nic2]\nfailsafe: []\ndefault: deny\n"
	 "allow: [{to: [203.0.115.9, \"2001:db8:99::9\"], port: [udp/53, tcp/443, icmp/echo-request, icmpv6/echo-request]}]\n",
	 {.hook = WEIR_HOOK_XDP},
	 {.hook = WEIR_HOOK_XDP},
	 1 << UDP_FLOW | 1 << TCP_FLOW | 1 << ECHO_FLOW,
	 false,
	 "203.0.115.9",
	 "2001:db8:99::9"},
    [ANSWERS] = {"answers",
		 "interfaces: [nic]\nfailsafe: []\ndefault: {ingress: allow, egress: deny}\n",
		 {.hook = WEIR_HOOK_XDP},
		 {.hook = WEIR_HOOK_NIC_OUT},
		 1 << UDP_FLOW | 1 << ECHO_FLOW,
		 false,
		 SELF4,
		 SELF6},
    [SELF] = {"self",
	      "interfaces: [nic]\nfailsafe: []\ndefault: {ingress: deny, egress: allow}\n",
	      {.hook = WEIR_HOOK_NIC_OUT},
	      {.hook = WEIR_HOOK_XDP},
	      1 << UDP_FLOW | 1 << ECHO_FLOW,
	      true,
	      SELF4,
	      SELF6},
    [WORKLOAD] = {"workload",
		  "interfaces: [nic]\nworkloads: [wl, \"w*\"]\nfailsafe: []\n"
		  "default: {ingress: deny, egress: allow}\n",
		  {.hook = WEIR_HOOK_WL_OUT},
		  {.hook = WEIR_HOOK_WL_IN},
		  1 << UDP_FLOW | 1 << ECHO_FLOW,
		  true,
		  POD4,
		  POD6},
    [MASQUERADE] = {"masquerade",
		    "interfaces: [nic]\nworkloads: [wl]\nfailsafe: []\n"
		    "default: {ingress: deny, egress: allow}\n",
		    {.hook = WEIR_HOOK_NIC_OUT},
		    {.hook = WEIR_HOOK_XDP},
		    1 << UDP_FLOW | 1 << TCP_FLOW,
		    true,
		    SELF4,
		    SELF6},
};

static __u32 workloads[WORKLOADS]; /* the first of them floods */
static __thread __u64 seed;

static __u32 next_random(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return seed >> 32;
}

/* ---- frames of a tuple ---- */

/* What is being flooded, and with what. */
static const struct region_case *region;
static int family;
static enum kind kind;
static __thread struct frame
    plain; /* a packet of that kind; addresses, ports and numbers are put in */

static void build_plain(void)
{
	const struct ends *ends = ends_of(WEIR_HOOK_XDP);

	if (kind == UDP_FLOW)
		plain = family == 4 ? *FRAME(ends, IP4(), UDP()) : *FRAME(ends, IP6(), UDP());
	else if (kind == TCP_FLOW)
		plain = family == 4 ? *FRAME(ends, IP4(), TCP()) : *FRAME(ends, IP6(), TCP());
	else
		plain = family == 4 ? *FRAME(ends, IP4(), ICMP(.type = 8))
				    : *FRAME(ends, IP6(), ICMP6(.type = 128));
}

static void put16(__u8 *at, __u16 value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static void put32(__u8 *at, __u32 value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

/* One packet from @from to @to. @flags, @seq, @ack: TCP's; @answer: an echo's reply */
static bool passes(const struct hop *hop, const struct end *from, const struct end *to, bool answer,
		   __u8 flags, __u32 seq, __u32 ack)
{
	size_t size = family == 4 ? 4 : 16, at = plain.l3 + (family == 4 ? 12 : 8);
	__u8 *l4 = plain.byte + plain.l4;

	memcpy(plain.byte + at, from->address, size);
	memcpy(plain.byte + at + size, to->address, size);
	frame_sum(&plain);
	if (kind == ECHO_FLOW) {
		l4[0] = family == 4 ? (answer ? 0 : 8) : (answer ? 129 : 128);
		put16(l4 + 4, answer ? to->port : from->port);
	} else {
		put16(l4, from->port);
		put16(l4 + 2, to->port);
	}
	if (kind == TCP_FLOW) {
		put32(l4 + 4, seq);
		put32(l4 + 8, ack);
		l4[13] = flags;
	}
	return run_passes(hop, &plain);
}

static bool opener_sends(const struct tuple *t, __u8 flags, __u32 seq, __u32 ack)
{
	struct hop hop = region->opens;

	if (region == &cases[WORKLOAD])
		hop.ifindex = t->owner;
	if (region == &cases[MASQUERADE])
		hop.arrived = t->owner;
	return passes(&hop, &t->opener, &t->answerer, false, flags, seq, ack);
}

static bool answerer_sends(const struct tuple *t, __u8 flags, __u32 seq, __u32 ack)
{
	struct hop hop = region->answers;

	if (region == &cases[WORKLOAD])
		hop.ifindex = t->owner;
	if (region == &cases[TRANSIT])
		hop.ifindex = world.nic2;
	return passes(&hop, &t->answerer, &t->opener, true, flags, seq, ack);
}

/* The steps of a connection: opening, its answer, what the opener says then, and the next answer. */
static bool step(const struct tuple *t, unsigned int number)
{
	switch (number) {
	case 0:
		return opener_sends(t, F_SYN, t->opener_seq, 0);
	case 1:
		return answerer_sends(t, F_SYN | F_ACK, t->answerer_seq, t->opener_seq + 1);
	case 2:
		return opener_sends(t, F_ACK, t->opener_seq + 1, t->answerer_seq + 1);
	default:
		return answerer_sends(t, F_ACK, t->answerer_seq + 1, t->opener_seq + 1);
	}
}

/* ---- who ---- */

static void put_address(const char *text, struct end *end)
{
	assert_int_equal(inet_pton(family == 4 ? AF_INET : AF_INET6, text, end->address), 1);
}

/* An end on the other side: IPv4 in @net.0.0.0/8 and the seven after it, IPv6 likewise in 2a<net>::/16. */
static void random_end(__u8 net, struct end *end)
{
	__u32 r = next_random();

	memset(end, 0, sizeof(*end));
	if (family == 4) {
		put32(end->address, r);
		end->address[0] = net + (r >> 24) % 8;
	} else {
		for (int i = 0; i < 16; i += 4)
			put32(end->address + i, next_random());
		end->address[0] = 0x2a;
		end->address[1] = net;
	}
	end->port = 1024 + next_random() % 60000;
}

static void fixed_end(__u32 owner, struct end *end)
{
	put_address(family == 4 ? region->here4 : region->here6, end);
	if (region != &cases[WORKLOAD])
		return;
	for (int i = 1; i < WORKLOADS; i++)
		if (workloads[i] == owner)
			put16(end->address + (family == 4 ? 2 : 14), 0x7100 + 2 + i);
}

static __u16 served_port(void)
{
	return kind == TCP_FLOW ? 443 : 53;
}

/* A tuple as a stranger in @net would have it; @owner: of which workload where one opens */
static void make_tuple(__u8 net, __u32 owner, struct tuple *t)
{
	memset(t, 0, sizeof(*t));
	t->owner = owner;
	random_end(net, region->inside ? &t->answerer : &t->opener);
	fixed_end(owner, region->inside ? &t->opener : &t->answerer);
	if (region->inside)
		t->opener.port = 1024 + next_random() % 60000;
	t->answerer.port = served_port();
	t->opener_seq = next_random();
	t->answerer_seq = next_random();
}

static __u32 honest_owner(unsigned int i)
{
	if (region == &cases[WORKLOAD])
		return workloads[1 + i % (WORKLOADS - 1)];
	return region == &cases[MASQUERADE] ? world.wl : 0;
}

/* The flood's next tuple: all of one /24 or /64 have that network and differ in the rest. */
static void forged_tuple(enum spread spread, struct tuple *t)
{
	make_tuple(0x10, region->inside ? world.wl : 0, t);
	if (spread != ONE_NETWORK)
		return;
	if (family == 4) {
		t->opener.address[0] = 0x20;
		t->opener.address[1] = t->opener.address[2] = 7;
	} else {
		memset(t->opener.address + 1, 0, 7);
	}
}

/* ---- one flood ---- */

struct tally {
	unsigned int alive, through;
};

static struct tuple established[ESTABLISHED], newcomers[NEWCOMERS];
static bool fails[NEWCOMERS];

static void establish(void)
{
	for (unsigned int i = 0; i < ESTABLISHED; i++) {
		make_tuple(0x60, honest_owner(i), &established[i]);
		world.control->fake_ns += S_NS / RATE;
		for (unsigned int n = 0; n < 3; n++)
			if (!step(&established[i], n))
				fail_msg("flow %u, step %u: refused before the flood", i, n);
	}
	world.control->fake_ns += 3 * S_NS;
	for (unsigned int i = 0; i < NEWCOMERS; i++)
		make_tuple(0x70, honest_owner(i), &newcomers[i]);
	memset(fails, 0, sizeof(fails));
}

/* Newcomer j's step n is due when tuple j * gap + n * RTT of the flood was sent. */
static void newcomers_go_on(unsigned int sent)
{
	const unsigned int gap = TUPLES / NEWCOMERS;

	for (unsigned int n = 0; n < 4 && sent >= n * RTT; n++) {
		unsigned int j = (sent - n * RTT) / gap;

		if ((sent - n * RTT) % gap == 0 && j < NEWCOMERS && !step(&newcomers[j], n))
			fails[j] = true;
	}
}

static void forged_packets(enum spread spread, int manner)
{
	struct tuple t;

	forged_tuple(spread, &t);
	opener_sends(&t, F_SYN, t.opener_seq, 0);
	if (manner == ONE_PACKET)
		return;
	if (manner == TWO_ANSWERED)
		step(&t, 1);
	/* Whoever lies about its address does not see what the answer said. */
	opener_sends(&t, F_ACK, t.opener_seq + 1,
		     region->inside ? t.answerer_seq + 1 : next_random());
}

static struct tally flood(enum spread spread, int manner)
{
	const unsigned int touch = TUPLES / 64;
	struct tally tally = {};

	establish();
	for (unsigned int i = 0; i < TUPLES + 4 * RTT; i++) {
		if (i % 4 == 0)
			world.control->fake_ns += 4 * S_NS / RATE;
		if (i < TUPLES)
			forged_packets(spread, manner);
		newcomers_go_on(i);
		if (i % touch == 0) /* those that go on */
			for (unsigned int j = ESTABLISHED / 2; j < ESTABLISHED; j++)
				step(&established[j], 2 + i / touch % 2);
	}
	for (unsigned int i = 0; i < ESTABLISHED; i++)
		tally.alive += step(&established[i], 3);
	for (unsigned int i = 0; i < NEWCOMERS; i++)
		tally.through += !fails[i];
	return tally;
}

/* ---- the table ---- */

static const char *const kind_names[] = {"UDP", "TCP", "echo"};
static const char *const spread_names[] = {"whole space", "one network", "from inside"};
static const char *const manner_names[] = {"1 packet", "2 packets", "2, answered"};

static unsigned int rows, bad_rows;

static void row(enum spread spread, int manner)
{
	struct tally tally;
	double alive, through;

	if (!getenv("FLOODS") && rows++ % 7 != 0)
		return;
	world_reset(NULL);
	world.forwarding = true;
	policy(region->policy);
	seed = 1;
	build_plain();
	tally = flood(spread, manner);
	alive = tally.alive * 100.0 / ESTABLISHED;
	through = tally.through * 100.0 / NEWCOMERS;
	printf("# %-10s IPv%d %-4s %-11s %-11s %8.2f %8.2f%s\n", region->name, family,
	       kind_names[kind], spread_names[spread], manner_names[manner], alive, through,
	       alive < 99.5 || through < 99 ? "  <--" : "");
	fflush(stdout);
	bad_rows += alive < 99.5 || through < 99;
}

static void rows_of(const struct region_case *which)
{
	region = which;
	bad_rows = 0;
	printf("# %-10s %-4s %-4s %-11s %-11s %8s %8s\n", "region", "", "", "sources", "each",
	       "alive %", "new %");
	for (family = 4; family <= 6; family += 2)
		for (int k = 0; k < NR_KINDS; k++)
			for (int manner = 0; manner < NR_MANNERS; manner++) {
				kind = k;
				if (!(which->kinds >> k & 1))
					continue;
				if (which->inside) {
					row(FROM_INSIDE, manner);
					continue;
				}
				row(WHOLE_SPACE, manner);
				row(ONE_NETWORK, manner);
			}
	assert_int_equal(bad_rows, 0);
}

static void transit_outlives_forged_sources(void **state)
{
	rows_of(&cases[TRANSIT]);
}

static void answers_outlive_forged_sources(void **state)
{
	rows_of(&cases[ANSWERS]);
}

static void this_node_may_open_many(void **state)
{
	rows_of(&cases[SELF]);
}

static void one_workload_of_ten_may_open_many(void **state)
{
	rows_of(&cases[WORKLOAD]);
}

static void masqueraded_flows_may_be_many(void **state)
{
	rows_of(&cases[MASQUERADE]);
}

/* ---- what forged packets cannot do to a connection in transit ---- */

static void transit_of_tcp(void **state)
{
	region = &cases[TRANSIT];
	family = 4;
	kind = TCP_FLOW;
	seed = 7;
	world.forwarding = true;
	policy(region->policy);
	build_plain();
}

static void seconds_pass(unsigned int n)
{
	world.control->fake_ns += n * S_NS;
}

static void connection(struct tuple *t)
{
	make_tuple(0x60, 0, t);
	for (unsigned int n = 0; n < 4; n++)
		assert_true(step(t, n));
}

/* Alive a good while after its last packet: not half open, not closing. */
static bool lives_long(const struct tuple *t)
{
	seconds_pass(100);
	return step(t, 3);
}

static void a_forged_opener_is_never_assured(void **state)
{
	struct tuple t, real;

	transit_of_tcp(state);
	connection(&real);
	for (unsigned int i = 0; i < 3000; i++) {
		static const int near[] = {0, 2, -1, 3, 1 << 20, 1 << 31};
		__u32 guess = i % 10 < 6 ? (__u32)near[i % 10] : next_random();

		make_tuple(0x10, 0, &t);
		step(&t, 0);
		step(&t, 1);
		answerer_sends(&t, F_RST, t.answerer_seq + guess, 0);
		opener_sends(&t, F_ACK, t.opener_seq + 1, t.answerer_seq + guess);
		opener_sends(&t, F_ACK | F_PSH, t.opener_seq + 1, t.answerer_seq + guess);
		if (i % 2) /* what a stack says to a segment that does not fit */
			answerer_sends(&t, F_ACK, t.answerer_seq + 1, t.opener_seq + 1);
	}
	assert_true(flows_of(WEIR_FLOW_TRANSIT) > 2500);
	seconds_pass(31);
	assert_int_equal(flows_of(WEIR_FLOW_TRANSIT), 1);
	assert_true(lives_long(&real));
}

static void an_opening_and_its_answer_buy_half_a_minute(void **state)
{
	struct tuple t;

	transit_of_tcp(state);
	make_tuple(0x60, 0, &t);
	for (int i = 0; i < 4; i++) {
		assert_true(step(&t, 0));
		assert_true(step(&t, 1));
	}
	seconds_pass(31);
	assert_false(step(&t, 1));
}

/* An acknowledgement that weir did not see was seen by who goes on to send. */
static void an_answerer_that_goes_on_has_seen_its_opener(void **state)
{
	struct tuple t;

	transit_of_tcp(state);
	make_tuple(0x60, 0, &t);
	assert_true(step(&t, 0));
	assert_true(step(&t, 1));
	assert_true(answerer_sends(&t, F_ACK, t.answerer_seq + 1401, t.opener_seq + 1));
	assert_true(lives_long(&t));
}

static void a_reset_with_a_wrong_number_ends_nothing(void **state)
{
	struct tuple t;

	transit_of_tcp(state);
	for (int side = 0; side < 2; side++) {
		connection(&t);
		for (unsigned int i = 0; i < 500; i++) {
			__u32 off = 300000 + next_random() % (0xffffffffU - 600000);
			__u8 flags = i % 2 ? F_RST : F_FIN | F_ACK;

			if (side)
				answerer_sends(&t, flags, t.answerer_seq + off, next_random());
			else
				opener_sends(&t, flags, t.opener_seq + off, next_random());
		}
		assert_true(lives_long(&t));
	}
}

static void a_close_with_the_right_number_ends_it(void **state)
{
	struct tuple t;

	transit_of_tcp(state);
	for (int how = 0; how < 4; how++) {
		__u8 flags = how & 1 ? F_RST : F_FIN | F_ACK;

		connection(&t);
		if (how & 2)
			answerer_sends(&t, flags, t.answerer_seq + 1, t.opener_seq + 1);
		else
			opener_sends(&t, flags, t.opener_seq + 1, t.answerer_seq + 1);
		seconds_pass(29);
		assert_true(step(&t, 3));
		seconds_pass(31);
		assert_false(step(&t, 3));
	}
}

/* 600 MB by segments of 60,000 bytes: the numbers move on with the stream. */
static void numbers_follow_the_stream(void **state)
{
	struct tuple t;
	__u32 sent = 1;

	transit_of_tcp(state);
	for (int how = 0; how < 2; how++) {
		connection(&t);
		for (sent = 1; sent < 600000000; sent += 60000) {
			answerer_sends(&t, F_ACK, t.answerer_seq + sent, t.opener_seq + 1);
			if (sent / 60000 % 3 == 0)
				opener_sends(&t, F_ACK, t.opener_seq + 1, t.answerer_seq + sent);
		}
		if (how) { /* what was right at its beginning is not any more */
			answerer_sends(&t, F_RST, t.answerer_seq + 1, 0);
			assert_true(lives_long(&t));
			continue;
		}
		answerer_sends(&t, F_FIN | F_ACK, t.answerer_seq + sent, t.opener_seq + 1);
		assert_false(lives_long(&t));
	}
}

static void a_syn_in_a_connection_changes_nothing(void **state)
{
	struct tuple t;

	transit_of_tcp(state);
	connection(&t);
	assert_true(opener_sends(&t, F_SYN, next_random(), 0));
	assert_false(answerer_sends(&t, F_SYN, next_random(), 0));
	assert_true(lives_long(&t));
	/* It is judged as any opening, and so is the rest. */
	policy("interfaces: [nic, nic2]\nfailsafe: []\ndefault: deny\n");
	assert_false(opener_sends(&t, F_SYN, next_random(), 0));
	assert_false(step(&t, 2));
	assert_false(step(&t, 3));
	policy(region->policy);
	assert_true(step(&t, 3));
}

static void what_is_refused_or_late_leaves_nothing(void **state)
{
	struct tuple t;

	transit_of_tcp(state);
	make_tuple(0x60, 0, &t);
	t.answerer.port = 444;
	assert_false(step(&t, 0));
	assert_false(step(&t, 2));
	assert_int_equal(flows_in_all(), 0);
	connection(&t);
	opener_sends(&t, F_FIN | F_ACK, t.opener_seq + 1, t.answerer_seq + 1);
	seconds_pass(31);
	assert_false(answerer_sends(&t, F_FIN | F_ACK, t.answerer_seq + 1, t.opener_seq + 2));
	assert_false(answerer_sends(&t, F_RST, t.answerer_seq + 1, 0));
	assert_false(answerer_sends(&t, F_SYN | F_ACK, t.answerer_seq + 1, 0));
	assert_int_equal(flows_in_all(), 0);
}

/* A connection that is older than its entry goes on with its opener's next packet. */
static void an_older_connection_is_picked_up(void **state)
{
	struct tuple t;

	transit_of_tcp(state);
	make_tuple(0x60, 0, &t);
	assert_false(step(&t, 3));
	assert_true(step(&t, 2));
	assert_true(answerer_sends(&t, F_ACK, t.answerer_seq + 5001, t.opener_seq + 1));
	assert_true(opener_sends(&t, F_ACK, t.opener_seq + 1, t.answerer_seq + 6401));
	assert_true(lives_long(&t));
	/* Not by what a closed port says, which repeats the number that it was sent. */
	make_tuple(0x60, 0, &t);
	assert_true(opener_sends(&t, F_ACK, 1, 77));
	assert_true(answerer_sends(&t, F_RST, 77, 0));
	assert_true(opener_sends(&t, F_ACK, 1, 77));
	assert_false(lives_long(&t));
}

/* ---- two CPUs ---- */

static volatile bool enough;

static void *floods_meanwhile(void *arg)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(1, &set);
	sched_setaffinity(0, sizeof(set), &set);
	enter(world.node_ns);
	build_plain();
	seed = 99;
	while (!enough)
		forged_packets(WHOLE_SPACE, TWO_ANSWERED);
	return NULL;
}

/* Entries are replaced while another CPU reads them: none is taken for another's, none that is assured goes. */
static void places_change_hands_under_a_reader(void **state)
{
	static struct tuple real[64];
	unsigned int lost = 0, found = 0;
	pthread_t thread;
	struct tuple t;

	transit_of_tcp(state);
	for (unsigned int i = 0; i < 64; i++)
		connection(&real[i]);
	enough = false;
	assert_int_equal(pthread_create(&thread, NULL, floods_meanwhile, NULL), 0);
	while (flows_of(WEIR_FLOW_TRANSIT) < CAPACITY * 9 / 10)
		;
	for (unsigned int i = 0; i < 100000; i++) {
		lost += !step(&real[i % 64], 3);
		make_tuple(0x70, 0, &t);
		found += step(&t, 3);
	}
	enough = true;
	pthread_join(thread, NULL);
	assert_int_equal(lost, 0);
	assert_int_equal(found, 0);
}

/* ---- the world: eight workloads more ---- */

static int setup(void **state)
{
	world_setup(state);
	workloads[0] = world.wl;
	for (int i = 1; i < WORKLOADS; i++) {
		char name[16], v4[32], v6[64];

		snprintf(name, sizeof(name), "w%d", i);
		shell("ip link add %s type bridge && ip link set %s up", name, name);
		workloads[i] = if_nametoindex(name);
		watch(workloads[i], WEIR_IF_WORKLOAD, -1);
		snprintf(v4, sizeof(v4), "203.0.113.%d", 2 + i);
		snprintf(v6, sizeof(v6), "2001:db8:77::%x", 0x7100 + 2 + i);
		bind_local(v4, 0, WEIR_WORKLOAD, workloads[i], 0);
		bind_local(v6, 0, WEIR_WORKLOAD, workloads[i], 0);
	}
	return 0;
}

/* An argument says which tests, as a pattern. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, world_reset)
	    TEST(transit_outlives_forged_sources),
	    TEST(answers_outlive_forged_sources),
	    TEST(this_node_may_open_many),
	    TEST(one_workload_of_ten_may_open_many),
	    TEST(masqueraded_flows_may_be_many),
	    TEST(a_forged_opener_is_never_assured),
	    TEST(an_opening_and_its_answer_buy_half_a_minute),
	    TEST(an_answerer_that_goes_on_has_seen_its_opener),
	    TEST(a_reset_with_a_wrong_number_ends_nothing),
	    TEST(a_close_with_the_right_number_ends_it),
	    TEST(numbers_follow_the_stream),
	    TEST(a_syn_in_a_connection_changes_nothing),
	    TEST(what_is_refused_or_late_leaves_nothing),
	    TEST(an_older_connection_is_picked_up),
	    TEST(places_change_hands_under_a_reader),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, setup, world_teardown) != 0;
}
