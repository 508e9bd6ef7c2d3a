// SPDX-License-Identifier: GPL-2.0-only
/* What the programs tell, the books about it, and `mode: monitor`. */
#include "harness.h"

#include <arpa/inet.h>

#define BASE "interfaces: [nic]\nworkloads: [wl]\nfailsafe: []\n"
#define SHUT BASE "default: deny\n"
#define AUDIT(all, source) \
	"audit: {file: /dev/null, events_per_second: " all ", per_source_per_second: " source "}\n"

static const struct hop XDP = {.hook = WEIR_HOOK_XDP};
static const struct hop NIC_IN = {.hook = WEIR_HOOK_NIC_IN};
static const struct hop NIC_OUT = {.hook = WEIR_HOOK_NIC_OUT};

static struct events events;

static const struct ends *in(void)
{
	return ends_of(WEIR_HOOK_XDP);
}

static void drop(unsigned int n, unsigned int sources)
{
	struct frame frame = *FRAME(in(), IP4(.src = "100.64.0.0"), UDP());

	for (unsigned int i = 0; i < n; i++) {
		unsigned int source = i % sources;

		frame.byte[14 + 14] = source >> 8;
		frame.byte[14 + 15] = source;
		frame_sum(&frame);
		assert_false(run_passes(&XDP, &frame));
	}
}

static void assert_balanced(void)
{
	struct weir_books b = books();

	assert_int_equal(b.due, b.written + b.suppressed + b.lost_full + b.lost_no_reader);
}

static void without_a_reader_the_books_balance(void **state)
{
	policy(SHUT);
	drop(300, 100);
	assert_int_equal(books().due, 300);
	assert_int_equal(books().written, 0);
	assert_int_equal(books().lost_full, 0);
	assert_true(books().lost_no_reader > 0);
	assert_balanced();
}

static void each_source_has_its_share(void **state)
{
	policy(SHUT AUDIT("100000", "10"));
	drop(500, 1);
	assert_int_equal(books().due, 500);
	assert_int_equal(books().suppressed, 490);
	assert_int_equal(books().lost_no_reader, 10);
	world.control->fake_ns += 99999999;
	drop(5, 1);
	assert_int_equal(books().suppressed, 495);
	world.control->fake_ns += 1;
	drop(5, 1);
	assert_int_equal(books().suppressed, 499);
	world.control->fake_ns += 100 * S_NS;
	drop(50, 1);
	assert_int_equal(books().suppressed, 539);
	assert_balanced();
}

static void all_sources_together_have_a_bound(void **state)
{
	policy(SHUT AUDIT("100", "1000"));
	drop(1000, 200);
	assert_int_equal(books().lost_no_reader, 100);
	assert_int_equal(books().suppressed, 900);
	world.control->fake_ns += S_NS / 2;
	drop(1000, 200);
	assert_int_equal(books().lost_no_reader, 150);
	assert_balanced();
}

/* What one source's share refuses does not use up everybody's. */
static void a_noisy_source_does_not_silence_others(void **state)
{
	policy(SHUT AUDIT("100", "10"));
	drop(10000, 1);
	assert_int_equal(books().lost_no_reader, 10);
	for (int i = 0; i < 20; i++) {
		char source[32];

		snprintf(source, sizeof(source), "203.0.114.%d", i + 1);
		assert_drops(&XDP, FRAME(in(), IP4(.src = source), UDP()), WEIR_DEFAULT);
	}
	assert_in_range(books().lost_no_reader, 28, 30); /* two sources may share a place */
	assert_balanced();
}

static void with_a_reader_all_is_delivered(void **state)
{
	policy(SHUT AUDIT("100000", "100000"));
	events_open(&events);
	drop(100, 10);
	events_drain(&events);
	events_close(&events);
	assert_int_equal(events.n, 100);
	assert_int_equal(books().written, 100);
	assert_int_equal(books().due, 100);
}

static void a_full_ring_is_booked(void **state)
{
	policy(SHUT AUDIT("100000", "100000"));
	events_open(&events);
	drop(2000, 10);
	assert_int_equal(books().due, 2000);
	assert_true(books().lost_full > 0);
	assert_int_equal(books().written + books().lost_full, 2000);
	events_drain(&events);
	assert_int_equal(events.n, books().written);
	events_close(&events);
	drop(10, 10);
	assert_int_equal(books().lost_no_reader, 10);
	assert_balanced();
}

static void assert_v4(const struct weir_addr *address, const char *text)
{
	struct weir_addr wanted = {};

	wanted.byte[10] = wanted.byte[11] = 0xff;
	inet_pton(AF_INET, text, wanted.byte + 12);
	assert_memory_equal(address, &wanted, sizeof(wanted));
}

static void assert_v6(const struct weir_addr *address, const char *text)
{
	struct weir_addr wanted;

	inet_pton(AF_INET6, text, &wanted);
	assert_memory_equal(address, &wanted, sizeof(wanted));
}

static void an_event_says_what_happened(void **state)
{
	const struct weir_event *e = events.event;

	policy(SHUT "deny: [{name: no-dns, port: udp/53}]\n"
		    "allow: [{from: self, to: \"2001:db8:51::/48\", port: tcp/80}]\n");
	events_open(&events);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP(.sport = 1234, .dport = 53), DATA(100)),
		     WEIR_DENY);
	assert_drops(
	    &NIC_OUT,
	    FRAME(ends_of(WEIR_HOOK_NIC_OUT), IP6(), TCP(.flags = F_SYN, .sport = 5, .dport = 6)),
	    WEIR_DEFAULT);
	assert_drops(&NIC_IN, FRAME(in(), IP4(), ICMP(.type = 8, .id = 77)), WEIR_DEFAULT);
	assert_drops(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN | F_FIN)), WEIR_TCP_FLAGS);
	assert_drops(&XDP, FRAME(in(), DATA(40), SET16(-2, 0x8847)), WEIR_ETHERTYPE);
	assert_passes(&NIC_OUT,
		      FRAME(ends_of(WEIR_HOOK_NIC_OUT), IP6(), TCP(.flags = F_SYN, .dport = 80)));
	events_drain(&events);
	events_close(&events);
	assert_int_equal(events.n, 5);

	assert_int_equal(e->time_ns, world.control->fake_ns);
	assert_v4(&e->source, PEER4);
	assert_v4(&e->destination, SELF4);
	assert_v4(&e->client, PEER4);
	assert_int_equal(e->source_port, htons(1234));
	assert_int_equal(e->destination_port, htons(53));
	assert_int_equal(e->rule, rule_counter("no-dns"));
	assert_int_equal(e->limit, WEIR_NONE);
	assert_int_equal(e->length, 128);
	assert_int_equal(e->ifindex, world.nic);
	assert_int_equal(e->reason, WEIR_DENY);
	assert_int_equal(e->verdict, WEIR_EVENT_DROP);
	assert_int_equal(e->direction, WEIR_DIR_INGRESS);
	assert_int_equal(e->hook, WEIR_HOOK_XDP);
	assert_int_equal(e->protocol, 17);
	assert_int_equal(e->fields, WEIR_EVENT_ADDRS | WEIR_EVENT_PORTS);
	assert_int_equal(e->ip_version, 4);

	e++;
	assert_v6(&e->source, SELF6);
	assert_v6(&e->destination, PEER6);
	assert_int_equal(e->rule, WEIR_RULE_DEFAULT_EGRESS);
	assert_int_equal(e->direction, WEIR_DIR_EGRESS);
	assert_int_equal(e->hook, WEIR_HOOK_NIC_OUT);
	assert_int_equal(e->ip_version, 6);
	assert_int_equal(e->length, 60);

	e++;
	assert_int_equal(e->protocol, 1);
	assert_int_equal(e->source_port, htons(77));
	assert_int_equal(e->destination_port, htons(8));
	assert_int_equal(e->hook, WEIR_HOOK_NIC_IN);

	e++;
	assert_int_equal(e->reason, WEIR_TCP_FLAGS);
	assert_int_equal(e->direction, WEIR_DIR_NONE);
	assert_int_equal(e->rule, WEIR_NONE);
	assert_v4(&e->source, PEER4);

	e++;
	assert_int_equal(e->reason, WEIR_ETHERTYPE);
	assert_int_equal(e->fields, 0);
	assert_int_equal(e->ip_version, 0);
	assert_int_equal(e->length, 54);
}

static void replies_name_their_client(void **state)
{
	policy(
	    BASE
	    "default: {ingress: deny, egress: allow}\nallow: [{name: web, port: tcp/443, log: true}]\n"
	    "deny: [{from: self, to: any, port: udp/9}]\n");
	events_open(&events);
	assert_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN)));
	assert_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_ACK)));
	assert_passes(&NIC_OUT, FRAME(ends_of(WEIR_HOOK_NIC_OUT), IP4(), UDP()));
	events_drain(&events);
	events_close(&events);
	assert_int_equal(events.n, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(events.event[i].verdict, WEIR_EVENT_PASS);
		assert_int_equal(events.event[i].reason, WEIR_OK);
		assert_int_equal(events.event[i].rule, rule_counter("web"));
		assert_v4(&events.event[i].client, PEER4);
	}
}

static void a_limit_tells_which_refused(void **state)
{
	policy(
	    BASE
	    "default: deny\nallow: [{name: web, port: tcp/443}]\nlimits:\n"
	    "  - {name: wide, to: self, count: packets, rate: 1/hour, burst: 99}\n"
	    "  - {name: narrow, to: self, port: tcp/443, count: connections, rate: 1/hour, on_exceed: {block: 1m}}\n");
	events_open(&events);
	for (int i = 0; i < 3; i++)
		run_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN)));
	events_drain(&events);
	events_close(&events);
	assert_int_equal(events.n, 3);
	assert_int_equal(events.event[0].verdict, WEIR_EVENT_DROP);
	assert_int_equal(events.event[0].reason, WEIR_LIMIT);
	assert_int_equal(events.event[0].limit, limit_of("narrow"));
	assert_int_equal(events.event[0].rule, rule_counter("web"));
	assert_int_equal(events.event[1].verdict, WEIR_EVENT_NOTICE);
	assert_int_equal(events.event[1].reason, WEIR_BLOCK_ADDED);
	assert_int_equal(events.event[1].limit, limit_of("narrow"));
	assert_int_equal(events.event[2].reason, WEIR_AUTO_BLOCKED);
}

static void a_full_limiter_gives_notice(void **state)
{
	policy(BASE "default: allow\nlimits:\n"
		    "  - {name: tiny, to: self, count: packets, rate: 1/hour, entries: 4}\n");
	for (int i = 0; i < 4; i++) {
		char source[32];

		snprintf(source, sizeof(source), "203.0.114.%d", i + 1);
		assert_passes(&XDP, FRAME(in(), IP4(.src = source), UDP()));
	}
	events_open(&events);
	assert_passes(&XDP, FRAME(in(), IP4(), UDP()));
	events_drain(&events);
	events_close(&events);
	assert_int_equal(events.n, 1);
	assert_int_equal(events.event[0].verdict, WEIR_EVENT_NOTICE);
	assert_int_equal(events.event[0].reason, WEIR_OVERFLOW_USED);
	assert_int_equal(events.event[0].limit, limit_of("tiny"));
}

static void a_monitored_limit_tells_what_it_would_have_dropped(void **state)
{
	policy(BASE "default: allow\nlimits:\n"
		    "  - {name: soft, to: self, count: packets, rate: 1/hour, mode: monitor}\n");
	events_open(&events);
	for (int i = 0; i < 3; i++)
		assert_passes(&XDP, FRAME(in(), IP4(), UDP()));
	events_drain(&events);
	events_close(&events);
	assert_int_equal(events.n, 2);
	assert_int_equal(events.event[0].verdict, WEIR_EVENT_WOULD_DROP);
	assert_int_equal(events.event[0].reason, WEIR_LIMIT);
	assert_int_equal(events.event[0].limit, limit_of("soft"));
}

/* Two limits that have something to say about one packet, and a drop: each is told. */
static void books_hold_with_notices(void **state)
{
	policy(BASE "default: allow\n" AUDIT(
	    "20",
	    "10") "limits:\n"
		  "  - {name: soft, to: self, count: packets, rate: 1/hour, mode: monitor}\n"
		  "  - {name: hard, to: self, count: packets, rate: 1/hour, burst: 1, on_exceed: {block: 1m}}\n");
	for (int i = 0; i < 500; i++) {
		char source[32];

		snprintf(source, sizeof(source), "203.0.114.%d", i % 100 + 1);
		run_passes(&XDP, FRAME(in(), IP4(.src = source), UDP()));
	}
	assert_true(books().due >= 500 - 200);
	assert_int_equal(books().lost_no_reader, 20);
	assert_balanced();
}

/* ---- monitor ---- */

/* All that would drop passes, is counted as it would be, and is told as such. */
static void monitor_drops_nothing(void **state)
{
	static const char *const parts =
	    "default: deny\nblock: [203.0.114.7]\ndeny: [{port: udp/53}]\nallow: [{port: tcp/443}]\n"
	    "limits: [{name: it, to: self, count: packets, rate: 1/hour}]\n";
	char text[2][1024];

	for (int i = 0; i < 2; i++)
		snprintf(text[i], sizeof(text[i]), BASE "%s%s", i ? "mode: monitor\n" : "", parts);
	policy_fill(0, 1, text[0]);
	policy_fill(1, 2, text[1]);
	block("203.0.114.8", 32, 0);
	for (size_t i = 0; i < nr_packet_cases; i++)
		for (enum weir_hook hook = WEIR_HOOK_XDP; hook <= WEIR_HOOK_WL_IN; hook++) {
			struct outcome enforced, monitored;
			struct frame frame;

			frame_build(packet_cases[i].layers, ends_of(hook), &frame);
			if (frame.len < 34 || packet_cases[i].reason == WEIR_TRUNCATED)
				continue;
			world.control->fake_ns += 3 * 3600 * S_NS; /* flows and limits end */
			world.control->word = 0 | 1 << WEIR_WORD_GEN_SHIFT;
			enforced = run_frame(AT(.hook = hook), &frame);
			world.control->fake_ns += 3 * 3600 * S_NS; /* flows and limits end */
			world.control->word = 1 | 2 << WEIR_WORD_GEN_SHIFT;
			monitored = run_frame(AT(.hook = hook), &frame);
			if (!monitored.pass || monitored.reason != enforced.reason ||
			    enforced.pass != (enforced.reason == WEIR_OK))
				fail_msg("%s, hook %d: enforced %s, monitored %s (%s)",
					 packet_cases[i].name, hook, reason_name(enforced.reason),
					 reason_name(monitored.reason),
					 monitored.pass ? "passed" : "dropped");
		}
}

static void monitor_passes_blocks_and_limits(void **state)
{
	static const enum weir_reason reasons[] = {WEIR_BLOCK_LIST, WEIR_BLOCKED,   WEIR_DENY,
						   WEIR_LIMIT,	    WEIR_TCP_FLAGS, WEIR_DEFAULT};

	policy(BASE "mode: monitor\ndefault: deny\nblock: [203.0.114.7]\ndeny: [{port: udp/53}]\n"
		    "allow: [{port: tcp/443}]\n"
		    "limits: [{name: it, to: self, count: packets, rate: 1/hour}]\n");
	block("203.0.114.8", 32, 0);
	events_open(&events);
	assert_true(run_passes(&XDP, FRAME(in(), IP4(.src = "203.0.114.7"), UDP())));
	assert_true(run_passes(&XDP, FRAME(in(), IP4(.src = "203.0.114.8"), UDP())));
	assert_true(run_passes(&XDP, FRAME(in(), IP4(), UDP(.dport = 53))));
	assert_true(run_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN))));
	assert_true(run_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN))));
	assert_true(run_passes(&XDP, FRAME(in(), IP4(), TCP())));
	assert_true(run_passes(&XDP, FRAME(in(), IP4(), UDP())));
	events_drain(&events);
	events_close(&events);
	assert_int_equal(events.n, 6);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(events.event[i].verdict, WEIR_EVENT_WOULD_DROP);
		assert_int_equal(events.event[i].reason, reasons[i]);
		/* It passed, and the reason that would have dropped it says so. */
		assert_int_equal(count_reason(reasons[i]).passed_packets, 1);
		assert_int_equal(count_reason(reasons[i]).dropped_packets, 0);
	}
	assert_int_equal(count_reason(WEIR_OK).passed_packets, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, world_reset)
	    TEST(without_a_reader_the_books_balance),
	    TEST(each_source_has_its_share),
	    TEST(all_sources_together_have_a_bound),
	    TEST(a_noisy_source_does_not_silence_others),
	    TEST(with_a_reader_all_is_delivered),
	    TEST(a_full_ring_is_booked),
	    TEST(an_event_says_what_happened),
	    TEST(replies_name_their_client),
	    TEST(a_limit_tells_which_refused),
	    TEST(a_full_limiter_gives_notice),
	    TEST(a_monitored_limit_tells_what_it_would_have_dropped),
	    TEST(books_hold_with_notices),
	    TEST(monitor_drops_nothing),
	    TEST(monitor_passes_blocks_and_limits),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown) != 0;
}
