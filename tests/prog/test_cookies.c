// SPDX-License-Identifier: GPL-2.0-only
/* SYN cookies: when SYNs are answered, with which bytes, and what an acknowledgement must hold to pass and to be charged. */
#include "harness.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#define TX   3 /* XDP_TX */
#define PASS 2
#define DROP 1

#define BASE \
	"interfaces: [nic, nic2]\nworkloads: [wl, wl2]\nfailsafe: []\ndefault: {ingress: deny, egress: allow}\n"
#define ALLOW	    "allow: [{to: self, port: tcp/443, name: web}]\n"
#define ABOVE(rate) "protect: [{to: self, port: tcp/443, syn_cookies: {above: " rate "}}]\n"
#define ONCE \
	"limits: [{name: once, to: self, port: tcp/443, rate: 1/hour, burst: 0, count: connections, per: source}]\n"
#define MS 1000000ULL

static const struct hop XDP = {.hook = WEIR_HOOK_XDP};
static const struct hop NIC_IN = {.hook = WEIR_HOOK_NIC_IN};
static int listener4 = -1, listener6 = -1;

static const struct ends *in(void)
{
	return ends_of(WEIR_HOOK_XDP);
}

static void passes_ns(__u64 ns)
{
	world.control->fake_ns += ns;
}

static int setup(void **state)
{
	__u16 port = 443;
	int err = world_setup(state);

	if (err)
		return err;
	listener4 = tcp_listen(world.node_ns, SELF4, &port);
	listener6 = tcp_listen(world.node_ns, SELF6, &port);
	return 0;
}

static int teardown(void **state)
{
	close(listener4);
	close(listener6);
	return world_teardown(state);
}

static int reset(void **state)
{
	cookies_forget();
	world.control->cookie_wscale = 7;
	set_mtu(world.nic, 1500);
	return world_reset(state);
}

/* ---- segments ---- */

/**
 * struct segment - one TCP segment to port 443 of this node.
 * @options: of the SYN, a multiple of four bytes
 */
struct segment {
	bool six;
	bool tagged;
	__u8 flags;
	__u16 sport;
	__u32 seq, ack;
	unsigned int data;
	const char *src;
	const __u8 *options;
	size_t nr_options;
};

static void put32(__u8 *at, __u32 value)
{
	value = htonl(value);
	memcpy(at, &value, 4);
}

static __u32 get32(const __u8 *at)
{
	__u32 value;

	memcpy(&value, at, 4);
	return ntohl(value);
}

static __u16 get16(const __u8 *at)
{
	return at[0] << 8 | at[1];
}

static const struct frame *build(const struct segment *s)
{
	static struct frame frame;
	struct layer layers[8] = {ETH()};
	int n = 1;

	if (s->tagged)
		layers[n++] = (struct layer)VLAN();
	layers[n++] = s->six ? (struct layer)IP6(.src = s->src) : (struct layer)IP4(.src = s->src);
	layers[n++] =
	    (struct layer)TCP(.flags = s->flags, .sport = s->sport, .fill = s->nr_options);
	if (s->data)
		layers[n++] = (struct layer)DATA(s->data);
	frame_build(layers, in(), &frame);
	put32(frame.byte + frame.l4 + 4, s->seq);
	put32(frame.byte + frame.l4 + 8, s->ack);
	if (s->nr_options)
		memcpy(frame.byte + frame.l4 + 20, s->options, s->nr_options);
	return &frame;
}

static const struct frame *segment_of(struct segment s)
{
	return build(&s);
}
#define SEGMENT(...) segment_of((struct segment){__VA_ARGS__})

/* SYNs from everywhere, until the service is under attack and the listeners of both families have seen theirs. */
static void attack(void)
{
	for (int i = 0; i < 64; i++) {
		char src[32];

		snprintf(src, sizeof(src), "203.0.113.%d", 10 + i);
		run_passes(&XDP, SEGMENT(.flags = F_SYN, .src = src, .seq = 1000 + i));
		snprintf(src, sizeof(src), "2001:db8:bad:%x::1", i);
		run_passes(&XDP, SEGMENT(.six = true, .flags = F_SYN, .src = src, .seq = 1000 + i));
	}
	counters_clear();
}

/* The cookie that answers this SYN. */
static __u32 cookie_for(const struct segment *syn, struct frame *ret)
{
	size_t l4 = 14 + (syn->tagged ? 4 : 0) + (syn->six ? 40 : 20);

	assert_int_equal(run_answer(build(syn), ret), TX);
	assert_true(ret->len >= l4 + 20);
	return get32(ret->byte + l4 + 4);
}

static struct segment acknowledges(const struct segment *syn, __u32 cookie)
{
	return (struct segment){.six = syn->six,
				.flags = F_ACK,
				.src = syn->src,
				.sport = syn->sport,
				.seq = syn->seq + 1,
				.ack = cookie + 1};
}

static __u32 sum_of(const __u8 *at, size_t len, __u32 sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? at[i] : at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static size_t entries_of_limiter(void)
{
	size_t n = 0;

	for (size_t i = 0; i < WORLD_TATS; i++)
		for (int j = 0; j < 4; j++)
			n += world.tat[i].entry[j].key != 0;
	return n;
}

/* ---- the answer ---- */

/**
 * struct offer - options of a SYN, and those of its answer.
 * @answer: without the time stamps' values, which are put in
 */
struct offer {
	const char *name;
	__u8 options[40];
	size_t nr;
	__u8 answer[20];
	size_t nr_answer;
	__u8 low_bits; /* of the time stamp */
};

#define STAMP 8, 10, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0
#define MSS4  2, 4, 0x05, 0xb4
static const struct offer offers[] = {
    {"nothing", {}, 0, {MSS4}, 4},
    {"MSS", {2, 4, 5, 0xb4}, 4, {MSS4}, 4},
    {"what Linux sends",
     {2, 4, 5, 0xb4, 4, 2, STAMP, 1, 3, 3, 9},
     20,
     {MSS4, 4, 2, STAMP, 1, 3, 3, 7},
     20,
     9 | 16},
    {"no SACK",
     {2, 4, 5, 0xb4, 1, 1, STAMP, 1, 3, 3, 0},
     20,
     {MSS4, 1, 1, STAMP, 1, 3, 3, 7},
     20,
     0},
    {"no window scale", {2, 4, 5, 0xb4, 4, 2, STAMP}, 16, {MSS4, 4, 2, STAMP}, 16, 15 | 16},
    {"neither", {2, 4, 5, 0xb4, 1, 1, STAMP}, 16, {MSS4, 1, 1, STAMP}, 16, 15},
    {"no time stamps", {2, 4, 5, 0xb4, 1, 3, 3, 9, 1, 1, 4, 2}, 12, {MSS4}, 4},
    {"a window scale too large",
     {1, 1, STAMP, 1, 3, 3, 200},
     16,
     {MSS4, 1, 1, STAMP, 1, 3, 3, 7},
     20,
     14},
    {"behind the end of options", {1, 1, STAMP, 0, 3, 3, 9}, 16, {MSS4, 1, 1, STAMP}, 16, 15},
    {"an option that reaches too far",
     {1, 1, STAMP, 3, 3, 9, 5, 9, 4, 2, 0},
     20,
     {MSS4, 1, 1, STAMP, 1, 3, 3, 7},
     20,
     9},
    {"an option of no length", {1, 1, STAMP, 254, 0, 4, 2}, 16, {MSS4, 1, 1, STAMP}, 16, 15},
    {"an unknown one between",
     {254, 6, 1, 1, 1, 1, 4, 2, STAMP, 0, 0},
     20,
     {MSS4, 4, 2, STAMP},
     16,
     15 | 16},
    {"as many as there can be",
     {1, 1, 1, 1, 1,	1, 1, 1,     1, 1, 1, 1, 1, 1, 1, 1,
      1, 2, 4, 5, 0xb4, 4, 2, STAMP, 1, 1, 1, 1, 3, 3, 9},
     40,
     {MSS4, 4, 2, STAMP, 1, 3, 3, 7},
     20,
     9 | 16},
    {"cut at the very end", {1, 1, STAMP, 1, 1, 1, 3}, 16, {MSS4, 1, 1, STAMP}, 16, 15},
};

static __u32 stamp_wanted(__u8 low_bits)
{
	__u64 now = world.control->fake_ns / MS, stamp = (now & ~63ULL) | low_bits;

	return stamp > now ? stamp - 64 : stamp;
}

/* The whole frame, but for the cookie and the checksums that cover it, and those by adding up. */
static void check_answer(const struct segment *syn, const struct offer *offer, bool padded)
{
	const struct frame *sent = build(syn);
	size_t l3 = syn->tagged ? 18 : 14, ip = syn->six ? 40 : 20, l4 = l3 + ip;
	size_t tcp = 20 + offer->nr_answer, len = l4 + tcp;
	static struct frame got;
	__u8 want[128] = {}, *at = want + l4;
	struct frame copy = *sent;

	if (padded)
		copy.len = copy.len < 60 ? 60 : copy.len;
	if (copy.len >= 60 && len < 60)
		len = 60;
	memcpy(want, sent->byte + 6, 6);
	memcpy(want + 6, sent->byte, 6);
	memcpy(want + 12, sent->byte + 12, l3 - 12);
	if (syn->six) {
		memcpy(want + l3, (__u8[]){0x60, 0, 0, 0, 0, tcp, 6, 64}, 8);
		memcpy(want + l3 + 8, sent->byte + l3 + 24, 16);
		memcpy(want + l3 + 24, sent->byte + l3 + 8, 16);
	} else {
		memcpy(want + l3, (__u8[]){0x45, 0, 0, 20 + tcp, 0, 0, 0x40, 0, 64, 6}, 10);
		memcpy(want + l3 + 12, sent->byte + l3 + 16, 4);
		memcpy(want + l3 + 16, sent->byte + l3 + 12, 4);
	}
	memcpy(at, sent->byte + l4 + 2, 2);
	memcpy(at + 2, sent->byte + l4, 2);
	put32(at + 8, syn->seq + 1);
	at[12] = tcp / 4 << 4;
	at[13] = F_SYN | F_ACK;
	at[14] = 29200 >> 8;
	at[15] = 29200 & 0xff;
	memcpy(at + 20, offer->answer, offer->nr_answer);
	if (syn->six)
		at[23] -= 20;
	if (offer->nr_answer > 4) {
		put32(at + 28, stamp_wanted(offer->low_bits));
		put32(at + 32, 0x11223344);
	}
	assert_int_equal(run_answer(&copy, &got), TX);
	assert_int_equal(got.len, len);
	if (!syn->six)
		assert_int_equal(sum_of(got.byte + l3, 20, 0), 0xffff);
	assert_int_equal(
	    sum_of(got.byte + l4, tcp,
		   sum_of(got.byte + l3 + (syn->six ? 8 : 12), syn->six ? 32 : 8, 6 + tcp)),
	    0xffff);
	memcpy(at + 4, got.byte + l4 + 4, 4);
	memcpy(at + 16, got.byte + l4 + 16, 2);
	memcpy(want + l3 + 10, got.byte + l3 + 10, syn->six ? 0 : 2);
	assert_memory_equal(got.byte, want, len);
}

static void the_answer_byte_by_byte(void **state)
{
	policy(BASE ALLOW ABOVE("1/second"));
	attack();
	for (size_t i = 0; i < sizeof(offers) / sizeof(*offers); i++) {
		passes_ns(1500 * MS);
		attack(); /* and nothing more is shown to the listener for a second */
		for (int j = 0; j < 8; j++) {
			struct segment syn = {.six = j & 1,
					      .tagged = j & 2,
					      .flags = F_SYN,
					      .seq = 0xfffffffe + i,
					      .sport = 1024 + j,
					      .options = offers[i].options,
					      .nr_options = offers[i].nr};

			print_message("[          ] %s, IPv%d%s%s\n", offers[i].name, j & 1 ? 6 : 4,
				      j & 2 ? ", tagged" : "", j & 4 ? ", padded" : "");
			passes_ns(7 * MS); /* any place in the 64 ms of a stamp */
			check_answer(&syn, &offers[i], j & 4);
		}
	}
}

static void what_this_host_does_not_do_is_not_announced(void **state)
{
	static const struct offer all = {
	    "", {2, 4, 5, 0xb4, 4, 2, STAMP, 1, 3, 3, 9}, 20, {MSS4, 1, 1, STAMP}, 16, 15};
	struct segment syn = {
	    .flags = F_SYN, .seq = 5, .options = all.options, .nr_options = all.nr};

	policy(BASE ALLOW ABOVE("1/second"));
	attack();
	world.control->cookie_wscale = 7 | WEIR_COOKIE_NO_WSCALE | WEIR_COOKIE_NO_SACK;
	check_answer(&syn, &all, false);
}

static void the_mss_is_what_the_interface_takes(void **state)
{
	static const struct {
		__u32 mtu;
		__u16 mss4, mss6;
	} rows[] = {{1500, 1460, 1440},
		    {9000, 8960, 8940},
		    {1400, 1360, 1340},
		    {0, 536, 1220},
		    {65536, 65495, 65475}};

	policy(BASE ALLOW ABOVE("1/second"));
	attack();
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		static struct frame got;

		set_mtu(world.nic, rows[i].mtu);
		assert_int_equal(run_answer(SEGMENT(.flags = F_SYN), &got), TX);
		assert_int_equal(get16(got.byte + 34 + 22), rows[i].mss4);
		assert_int_equal(run_answer(SEGMENT(.six = true, .flags = F_SYN), &got), TX);
		assert_int_equal(get16(got.byte + 54 + 22), rows[i].mss6);
	}
}

/* A cookie holds one of four of the peer's MSS; which, the kernel's own listener says: tests/e2e/cookies.sh. */
static void cookies_differ_by_the_class_of_the_mss(void **state)
{
	static const __u16 mss[] = {500, 536, 1299, 1300, 1439, 1440, 1459, 1460, 9000};
	static const int class_of[] = {0, 0, 0, 1, 1, 2, 2, 3, 3};
	static struct frame got;
	__u32 cookie[9];

	policy(BASE ALLOW ABOVE("1/second"));
	attack();
	for (int i = 0; i < 9; i++) {
		__u8 options[] = {2, 4, mss[i] >> 8, mss[i]};

		cookie[i] = cookie_for(
		    &(struct segment){
			.flags = F_SYN, .seq = 77, .options = options, .nr_options = 4},
		    &got);
		for (int j = 0; j < i; j++)
			assert_int_equal(cookie[i] == cookie[j], class_of[i] == class_of[j]);
	}
}

static void headers_and_data_of_the_syn_are_left_out_of_the_answer(void **state)
{
	static struct frame got;
	const struct frame *frames[] = {
	    FRAME(in(), IP4(.fill = 8), TCP(.flags = F_SYN), DATA(1000)),
	    FRAME(in(), IP4(.fragment = 0x2000), TCP(.flags = F_SYN), DATA(1000)),
	    FRAME(in(), IP6(), EXT(.proto = 60, .fill = 16), TCP(.flags = F_SYN), DATA(100)),
	    FRAME(in(), IP6(), FRAGMENT(.fragment = 1), TCP(.flags = F_SYN), DATA(96)),
	};

	policy(BASE ALLOW ABOVE("1/second"));
	attack();
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(run_answer(frames[i], &got), TX);
		assert_int_equal(got.len, i < 2 ? 60 : 78);
		assert_int_equal(got.byte[14], i < 2 ? 0x45 : 0x60);
		assert_int_equal(get16(got.byte + (i < 2 ? 34 : 54)), 443);
		assert_int_equal(get32(got.byte + (i < 2 ? 34 : 54) + 8), 2);
	}
}

/* ---- when ---- */

static void above_the_rate_every_syn_is_answered_until_two_seconds_after(void **state)
{
	static struct frame got;
	const struct frame *syn = SEGMENT(.flags = F_SYN);

	policy(BASE ALLOW ABOVE("100/second"));
	for (int i = 0; i < 11; i++) /* a tenth of a second's worth, and one */
		assert_int_equal(run_answer(syn, &got), PASS);
	assert_int_equal(run_answer(syn, &got), PASS); /* shown to the listener */
	for (int i = 0; i < 5; i++)
		assert_int_equal(run_answer(syn, &got), TX);
	assert_int_equal(cookie_state(0).sent, 5);
	assert_int_equal(cookie_state(0).since_ns, world.control->fake_ns);
	passes_ns(500 * MS); /* far below the rate, yet */
	assert_int_equal(run_answer(syn, &got), TX);
	passes_ns(1499 * MS);
	assert_int_equal(run_answer(syn, &got), PASS); /* the second's one */
	assert_int_equal(run_answer(syn, &got), TX);
	passes_ns(101 * MS);
	for (int i = 0; i < 11; i++)
		assert_int_equal(run_answer(syn, &got), PASS);
	assert_int_equal(count_reason(WEIR_SYN_COOKIE).dropped_packets, 7);
	assert_int_equal(count_rule(rule_counter("web")).dropped_packets, 7);
}

static void a_flood_that_goes_on_keeps_it_up(void **state)
{
	static struct frame got;
	const struct frame *syn = SEGMENT(.flags = F_SYN);
	unsigned int passed = 0, answered = 0;

	policy(BASE ALLOW ABOVE("100/second"));
	for (int i = 0; i < 20000; i++) { /* ten seconds at 2000 a second */
		__u32 what = run_answer(syn, &got);

		passed += what == PASS;
		answered += what == TX;
		passes_ns(MS / 2);
	}
	assert_in_range(passed, 12 + 9, 12 + 10);
	assert_int_equal(passed + answered, 20000);
}

/* Each family may have a listener of its own, which takes cookies only where it saw a SYN itself. */
static void one_a_second_is_shown_to_each_address(void **state)
{
	static struct frame got;
	unsigned int passed[2] = {};

	policy(BASE ALLOW ABOVE("1/second"));
	attack();
	for (int i = 0; i < 1000; i++) {
		passed[0] += run_answer(SEGMENT(.flags = F_SYN), &got) == PASS;
		if (i % 100 == 0)
			passed[1] += run_answer(SEGMENT(.six = true, .flags = F_SYN), &got) == PASS;
		passes_ns(10 * MS);
	}
	assert_in_range(passed[0], 9, 10);
	assert_in_range(passed[1], 9, 10);
}

static void monitoring_answers_nothing(void **state)
{
	static struct frame got;

	policy("mode: monitor\n" BASE ALLOW ABOVE("1/second"));
	for (int i = 0; i < 100; i++)
		assert_int_equal(run_answer(SEGMENT(.flags = F_SYN), &got), PASS);
	assert_int_equal(run_answer(SEGMENT(.flags = F_ACK, .seq = 5, .ack = 7), &got), PASS);
	assert_int_equal(cookie_state(0).until_ns, 0);
}

static void what_is_denied_or_blocked_gets_no_answer(void **state)
{
	static struct frame got;

	policy(BASE
	       "deny: [{from: 198.51.100.0/24, to: self, port: any}]\n" ALLOW ABOVE("1/second"));
	attack();
	assert_int_equal(run_answer(SEGMENT(.flags = F_SYN, .src = "192.0.2.77"), &got), TX);
	assert_int_equal(run_answer(SEGMENT(.flags = F_SYN, .src = "198.51.100.9"), &got), DROP);
	assert_int_equal(count_reason(WEIR_DENY).dropped_packets, 1);
	block("192.0.2.77", 32, 0);
	assert_int_equal(run_answer(SEGMENT(.flags = F_SYN, .src = "192.0.2.77"), &got), DROP);
	assert_int_equal(count_reason(WEIR_BLOCKED).dropped_packets, 1);
}

static void the_policy_that_judges_says_what_is_protected(void **state)
{
	static struct frame got;

	policy(BASE ALLOW ABOVE("1/second"));
	attack();
	assert_int_equal(run_answer(SEGMENT(.flags = F_SYN), &got), TX);
	policy(BASE ALLOW);
	assert_int_equal(run_answer(SEGMENT(.flags = F_SYN), &got), PASS);
	assert_int_equal(run_answer(SEGMENT(.flags = F_ACK, .seq = 3, .ack = 7), &got), PASS);
	world.control->word ^= WEIR_WORD_SLOT;
	assert_int_equal(run_answer(SEGMENT(.flags = F_SYN), &got), TX);
}

static void broadcasts_and_frames_for_others_get_no_answer(void **state)
{
	static struct frame got, frame;

	policy(BASE ALLOW ABOVE("1/second"));
	attack();
	frame = *SEGMENT(.flags = F_SYN);
	memset(frame.byte, 0xff, 6);
	assert_int_equal(run_answer(&frame, &got), DROP);
	frame = *SEGMENT(.flags = F_SYN);
	memset(frame.byte + 6, 0xff, 6); /* nor does everybody */
	assert_int_equal(run_answer(&frame, &got), DROP);
	frame = *SEGMENT(.flags = F_SYN);
	memcpy(frame.byte, "\x02\x00\x00\x00\x99\x99", 6);
	assert_int_equal(run_answer(&frame, &got),
			 PASS); /* the stack drops it, what is on top may take it */
}

/* ---- who may follow ---- */

static void only_a_valid_cookie_opens(void **state)
{
	static struct frame got;

	for (int six = 0; six < 2; six++) {
		struct segment syn = {.six = six, .flags = F_SYN, .seq = 0xffffffff, .sport = 5555},
			       ack;

		reset(NULL);
		policy(BASE ALLOW ABOVE("1/second"));
		assert_passes(&XDP, SEGMENT(.six = six, .flags = F_ACK, .seq = 9, .ack = 10));
		attack();
		ack = acknowledges(&syn, cookie_for(&syn, &got));
		assert_drops(&XDP, SEGMENT(.six = six, .flags = F_ACK, .seq = 9, .ack = 10),
			     WEIR_BAD_COOKIE);
		ack.ack += 4; /* the next few are those of other MSS */
		assert_drops(&XDP, build(&ack), WEIR_BAD_COOKIE);
		ack.ack -= 4;
		ack.seq++;
		assert_drops(&XDP, build(&ack), WEIR_BAD_COOKIE);
		ack.seq--;
		ack.sport++;
		assert_drops(&XDP, build(&ack), WEIR_BAD_COOKIE);
		ack.sport--;
		ack.flags |= F_SYN;
		assert_drops(&XDP, build(&ack), WEIR_BAD_COOKIE);
		ack.flags = F_ACK;
		assert_passes(&XDP, build(&ack));
		assert_int_equal(cookie_state(0).valid, 1);
		assert_int_equal(cookie_state(0).invalid, 5);
		ack.flags = F_RST;
		assert_passes(&XDP, build(&ack)); /* as ever */
	}
}

static void cookies_are_asked_for_as_long_as_the_kernel_takes_them(void **state)
{
	const struct segment ack = {.flags = F_ACK, .seq = 9, .ack = 10};

	policy(BASE ALLOW ABOVE("1/second"));
	attack();
	passes_ns(121 * S_NS);
	assert_drops(&XDP, build(&ack), WEIR_BAD_COOKIE);
	passes_ns(S_NS);
	assert_drops(&XDP, build(&ack), WEIR_BAD_COOKIE);
	passes_ns(1);
	assert_passes(&XDP, build(&ack));
}

static void connections_that_exist_are_not_asked(void **state)
{
	static struct frame got;
	static const char *const self[] = {SELF4, SELF6}, *const outside[] = {OUTSIDE4, OUTSIDE6};

	policy(BASE ALLOW ABOVE("1/second"));
	for (int six = 0; six < 2; six++) {
		__u16 port;
		int client = tcp_open(world.outside_ns, outside[six], self[six], 443, &port);
		struct segment s = {.six = six, .src = outside[six], .sport = port, .flags = F_ACK};

		attack();
		assert_passes(&XDP, build(&s));
		s.flags = F_SYN; /* the kernel knows what to do with it */
		for (int i = 0; i < 10; i++)
			assert_int_equal(run_answer(build(&s), &got), PASS);
		close(client);
	}
}

/* A tuple that waits for its end is opened anew by its SYN alone: that is charged, or it would cost nothing at all. */
static void a_connection_that_waits_for_its_end_is_opened_anew(void **state)
{
	static struct frame got;
	struct segment s = {.src = OUTSIDE4, .flags = F_SYN};
	struct sockaddr_in peer;
	int client, server;
	char byte;

	policy(BASE ALLOW ABOVE("1/second") ONCE);
	client = tcp_open(world.outside_ns, OUTSIDE4, SELF4, 443, &s.sport);
	while ((server = accept(listener4, (void *)&peer, &(socklen_t){sizeof(peer)})) >= 0 &&
	       ntohs(peer.sin_port) != s.sport)
		close(server); /* of earlier tests */
	assert_true(server >= 0);
	close(server); /* the first to close waits */
	assert_int_equal(read(client, &byte, 1), 0);
	close(client);
	usleep(50000);
	attack();
	assert_int_equal(run_answer(build(&s), &got), PASS);
	assert_int_equal(count_limit(limit_of("once")).passed_packets, 1);
	assert_drops(&XDP, build(&s), WEIR_LIMIT);
}

static void where_nobody_listens_nothing_is_answered(void **state)
{
	static struct frame got;

	policy(
	    BASE
	    "allow: [{to: self, port: tcp/444}]\nprotect: [{to: self, port: tcp/444, syn_cookies: {above: 1/second}}]\n");
	for (int i = 0; i < 3; i++)
		run_answer(FRAME(in(), IP4(), TCP(.flags = F_SYN, .dport = 444)), &got);
	assert_int_equal(run_answer(FRAME(in(), IP4(), TCP(.flags = F_SYN, .dport = 444)), &got),
			 DROP);
	assert_int_equal(run_answer(FRAME(in(), IP4(), TCP(.flags = F_ACK, .dport = 444)), &got),
			 PASS);
	assert_int_equal(cookie_state(0).sent, 0);
}

/* ---- limits ---- */

static void a_connection_is_charged_once_where_its_address_is_proved(void **state)
{
	static struct frame got;

	for (int six = 0; six < 2; six++) {
		struct segment syn = {.six = six, .flags = F_SYN, .seq = 100, .sport = 5555}, ack,
			       data, more;

		reset(NULL);
		policy(BASE ALLOW ABOVE("1/second") ONCE);
		attack();
		for (int i = 0; i < 3; i++) /* not at the SYN */
			cookie_for(&syn, &got);
		ack = acknowledges(&syn, cookie_for(&syn, &got));
		assert_int_equal(count_limit(limit_of("once")).passed_packets, 0);
		assert_passes(&XDP, build(&ack));
		assert_int_equal(count_limit(limit_of("once")).passed_packets, 1);
		/* What comes in the same batch, before there is a socket. */
		data = ack;
		data.data = 100;
		assert_passes(&XDP, build(&data));
		more = data;
		more.seq += 100;
		for (int i = 0; i < 10; i++, more.seq += 100)
			assert_passes(&XDP, build(&more));
		assert_int_equal(count_limit(limit_of("once")).passed_packets, 1);
		/* Once more is another connection: it pays, and cannot. */
		assert_drops(&XDP, build(&data), WEIR_LIMIT);
		assert_drops(&XDP, build(&ack), WEIR_LIMIT);
		assert_int_equal(count_limit(limit_of("once")).passed_packets, 1);
		/* The address has opened one; its next SYN is refused at once. */
		syn.sport++;
		assert_drops(&XDP, build(&syn), WEIR_LIMIT);
	}
}

static void a_replayed_acknowledgement_pays(void **state)
{
	static struct frame got;
	struct segment syn = {.flags = F_SYN, .seq = 100, .sport = 5555}, ack, data, reset_it;

	policy(BASE ALLOW ABOVE("1/second") ONCE);
	attack();
	ack = acknowledges(&syn, cookie_for(&syn, &got));
	assert_passes(&XDP, build(&ack));
	data = ack;
	data.data = 100;
	reset_it = ack;
	reset_it.flags = F_RST | F_ACK;
	assert_passes(&XDP, build(&reset_it));
	assert_drops(&XDP, build(&data), WEIR_LIMIT);

	reset(NULL);
	attack();
	ack = acknowledges(&syn, cookie_for(&syn, &got));
	assert_passes(&XDP, build(&ack));
	passes_ns(40 * MS); /* no batch takes that long */
	assert_drops(&XDP, build(&data), WEIR_LIMIT);
	data.seq += 100;
	assert_drops(&XDP, build(&data), WEIR_BAD_COOKIE);
}

/* The setting that makes listeners take them is for all of them. */
static void cookies_open_no_more_at_other_services_either(void **state)
{
	static struct frame got;
	struct segment syn = {.flags = F_SYN, .seq = 100, .sport = 5555}, ack, reset_it;

	policy(BASE ALLOW ABOVE("1/second"));
	attack();
	ack = acknowledges(&syn, cookie_for(&syn, &got));
	reset(NULL);
	policy(BASE ALLOW
	       "protect: [{to: self, port: tcp/8443, syn_cookies: {above: 1/second}}]\n" ONCE);
	assert_passes(&XDP, build(&syn));
	assert_passes(&XDP, build(&ack));
	reset_it = ack;
	reset_it.flags = F_RST;
	assert_passes(&XDP, build(&reset_it));
	assert_drops(&XDP, build(&ack), WEIR_LIMIT);
	assert_int_equal(count_limit(limit_of("once")).passed_packets, 1);
}

/* It was not charged: what it would open is not paid for. */
static void a_refused_syn_pays_for_no_acknowledgement(void **state)
{
	static struct frame got;
	struct segment syn = {.flags = F_SYN, .seq = 100, .sport = 5555}, ack;

	policy(BASE ALLOW ABOVE("10/second") ONCE);
	attack();
	ack = acknowledges(&syn, cookie_for(&syn, &got));
	passes_ns(3 * S_NS);
	assert_passes(&XDP, build(&syn));
	assert_passes(&XDP, build(&ack));
	assert_int_equal(count_limit(limit_of("once")).passed_packets, 1);
	passes_ns(S_NS);
	assert_drops(&XDP, build(&syn), WEIR_LIMIT);
	assert_drops(&XDP, build(&ack), WEIR_LIMIT);
}

/* Whose end says nothing of the cookie: the kernel closes all the same, and would open again. */
static void an_end_without_the_cookie_is_an_end(void **state)
{
	static struct frame got;
	struct segment syn = {.flags = F_SYN, .seq = 100, .sport = 5555}, ack, reset_it;

	policy(BASE ALLOW ABOVE("1/second") ONCE);
	attack();
	ack = acknowledges(&syn, cookie_for(&syn, &got));
	assert_passes(&XDP, build(&ack));
	reset_it = ack;
	reset_it.flags = F_RST;
	reset_it.ack = 0;
	assert_passes(&XDP, build(&reset_it));
	assert_drops(&XDP, build(&ack), WEIR_LIMIT);
}

/* Nothing exceeds the rate, but the kernel's listeners take a cookie again for as long as it is one. */
static void a_replayed_acknowledgement_pays_in_peace_as_well(void **state)
{
	static struct frame got;

	for (int six = 0; six < 2; six++) {
		struct segment syn = {.six = six, .flags = F_SYN, .seq = 100, .sport = 5555}, ack,
			       reset_it;

		reset(NULL);
		policy(BASE ALLOW ABOVE("1/second") ONCE);
		attack();
		ack = acknowledges(&syn, cookie_for(&syn, &got));
		reset(NULL); /* there was no attack */
		assert_passes(&XDP, build(&syn));
		assert_passes(&XDP, build(&ack));
		assert_int_equal(count_limit(limit_of("once")).passed_packets, 1);
		reset_it = ack;
		reset_it.flags = F_RST | F_ACK;
		assert_passes(&XDP, build(&reset_it));
		assert_drops(&XDP, build(&ack), WEIR_LIMIT);
		ack.ack += 4; /* no cookie: that the kernel sees, too */
		assert_passes(&XDP, build(&ack));
	}
}

static void who_is_refused_at_the_proof_leaves_no_proof_behind(void **state)
{
	static struct frame got;
	struct segment first = {.flags = F_SYN, .seq = 100, .sport = 5555}, second = first, ack,
		       data;
	__u32 cookie[2];

	second.sport++;
	policy(BASE ALLOW ABOVE("1/second") ONCE);
	attack();
	cookie[0] = cookie_for(&first, &got);
	cookie[1] = cookie_for(&second, &got);
	ack = acknowledges(&first, cookie[0]);
	assert_passes(&XDP, build(&ack));
	ack = acknowledges(&second, cookie[1]);
	assert_drops(&XDP, build(&ack), WEIR_LIMIT);
	data = ack;
	data.data = 50;
	assert_drops(&XDP, build(&data), WEIR_LIMIT);
}

/* The SYN passed before the attack began: it was charged then. The kernel's cookie for it is the one that we make. */
static void a_handshake_that_the_attack_overtakes_is_not_charged_again(void **state)
{
	static struct frame got;
	struct segment syn = {.flags = F_SYN, .seq = 100, .sport = 5555}, other = syn, ack;

	policy(BASE ALLOW ABOVE(
	    "10/second") "limits: [{name: once, to: self, port: tcp/443, rate: 1/hour, burst: 1, count: connections, per: source}]\n");
	assert_passes(&XDP, build(&syn));
	attack();
	other.sport++;
	assert_int_equal(count_limit(limit_of("once")).passed_packets,
			 0); /* counters were cleared */
	ack = acknowledges(&syn, cookie_for(&syn, &got));
	assert_passes(&XDP, build(&ack));
	assert_int_equal(count_limit(limit_of("once")).passed_packets, 0);
	ack = acknowledges(&other, cookie_for(&other, &got));
	assert_passes(&XDP, build(&ack));
	assert_int_equal(count_limit(limit_of("once")).passed_packets, 1);
}

static void forged_syns_leave_the_limiter_empty(void **state)
{
	static struct frame got;
	size_t before;

	policy(BASE ALLOW ABOVE("1/second") ONCE);
	attack();
	before = entries_of_limiter();
	assert_in_range(before, 1, 2); /* those below the rate */
	for (int i = 0; i < 2000; i++) {
		char src[32];

		snprintf(src, sizeof(src), "198.18.%d.%d", i >> 8, i & 255);
		run_answer(SEGMENT(.flags = F_SYN, .src = src), &got);
		passes_ns(2 * MS); /* some are shown to the listener */
	}
	assert_int_equal(entries_of_limiter(), before);
	assert_int_equal(count_limit(limit_of("once")).passed_packets, 0);
}

static void forged_syns_block_nobody(void **state)
{
	static struct frame got;
	struct segment syn = {.flags = F_SYN, .seq = 100, .sport = 5555}, ack;

	policy(BASE ALLOW ABOVE(
	    "1/second") "limits: [{name: once, to: self, port: tcp/443, rate: 1/hour, burst: 0, count: connections, per: source, on_exceed: {block: 10m}}]\n");
	attack();
	ack = acknowledges(&syn, cookie_for(&syn, &got));
	assert_passes(&XDP, build(&ack));
	for (int i = 0; i < 10; i++)
		assert_drops(&XDP, build(&syn), WEIR_LIMIT);
	assert_int_equal(world.control->autoblocks, 0);
	assert_passes(&XDP, build(&ack)); /* as the first data would */
	assert_drops(&XDP, build(&ack), WEIR_LIMIT);
	assert_int_equal(world.control->autoblocks, 1); /* who proves its address may be */
}

/* ---- what XDP leaves to TC ---- */

static void at_tc_no_more_than_the_rate_passes(void **state)
{
	unsigned int passed = 0;

	policy(BASE ALLOW ABOVE("100/second"));
	for (int i = 0; i < 1000; i++) {
		passed += run_passes(&NIC_IN, SEGMENT(.flags = F_SYN));
		passes_ns(MS);
	}
	assert_in_range(passed, 108, 112);
	assert_int_equal(count_reason(WEIR_SYN_COOKIE).dropped_packets, 1000 - passed);
	assert_drops(&NIC_IN, SEGMENT(.flags = F_ACK, .seq = 5, .ack = 6), WEIR_BAD_COOKIE);
}

static void a_proof_that_tc_sees_is_charged_there(void **state)
{
	static struct frame got;
	struct segment syn = {.flags = F_SYN, .seq = 100, .sport = 5555}, ack;

	policy(BASE ALLOW ABOVE("1/second") ONCE);
	attack();
	ack = acknowledges(&syn, cookie_for(&syn, &got));
	assert_passes(&NIC_IN, build(&ack));
	assert_int_equal(count_limit(limit_of("once")).passed_packets, 1);
	passes_ns(40 * MS);
	assert_drops(&NIC_IN, build(&ack), WEIR_LIMIT);
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_answer_byte_by_byte),
	    TEST(what_this_host_does_not_do_is_not_announced),
	    TEST(the_mss_is_what_the_interface_takes),
	    TEST(cookies_differ_by_the_class_of_the_mss),
	    TEST(headers_and_data_of_the_syn_are_left_out_of_the_answer),
	    TEST(above_the_rate_every_syn_is_answered_until_two_seconds_after),
	    TEST(a_flood_that_goes_on_keeps_it_up),
	    TEST(one_a_second_is_shown_to_each_address),
	    TEST(monitoring_answers_nothing),
	    TEST(what_is_denied_or_blocked_gets_no_answer),
	    TEST(the_policy_that_judges_says_what_is_protected),
	    TEST(broadcasts_and_frames_for_others_get_no_answer),
	    TEST(only_a_valid_cookie_opens),
	    TEST(cookies_are_asked_for_as_long_as_the_kernel_takes_them),
	    TEST(connections_that_exist_are_not_asked),
	    TEST(a_connection_that_waits_for_its_end_is_opened_anew),
	    TEST(where_nobody_listens_nothing_is_answered),
	    TEST(a_connection_is_charged_once_where_its_address_is_proved),
	    TEST(a_replayed_acknowledgement_pays),
	    TEST(a_replayed_acknowledgement_pays_in_peace_as_well),
	    TEST(a_refused_syn_pays_for_no_acknowledgement),
	    TEST(cookies_open_no_more_at_other_services_either),
	    TEST(an_end_without_the_cookie_is_an_end),
	    TEST(who_is_refused_at_the_proof_leaves_no_proof_behind),
	    TEST(a_handshake_that_the_attack_overtakes_is_not_charged_again),
	    TEST(forged_syns_leave_the_limiter_empty),
	    TEST(forged_syns_block_nobody),
	    TEST(at_tc_no_more_than_the_rate_passes),
	    TEST(a_proof_that_tc_sees_is_charged_there),
	};

	return cmocka_run_group_tests(tests, setup, teardown) != 0;
}
