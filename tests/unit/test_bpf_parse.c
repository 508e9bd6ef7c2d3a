// SPDX-License-Identifier: GPL-2.0-only
/* bpf/parse.h on the host: the table of packets, every cut of each, and what the parser leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "parse.h"

#include "../prog/packets.h"

static const struct ends ENDS = {
    .smac = {2, 0, 0, 0, 0, 2},
    .dmac = {2, 0, 0, 0, 0, 1},
    .src4 = "198.51.100.7",
    .dst4 = "192.0.2.1",
    .src6 = "2001:db8:51::7",
    .dst6 = "2001:db8::1",
};

static const char *reason_name(enum weir_reason reason)
{
	switch (reason) {
#define NAME(value, id, name, help) \
	case WEIR_##id:             \
		return name;
		WEIR_REASONS(NAME)
#undef NAME
	}
	return "?";
}

/* Parse @len bytes, of which @readable can be read, in an allocation that ends there. */
static enum weir_reason parse_bytes(const __u8 *bytes, size_t readable, size_t len,
				    struct packet *pkt)
{
	__u8 *exact = malloc(readable ? readable : 1);
	struct view view = {.data = exact, .end = exact + readable, .len = len};
	enum weir_reason why;

	assert_non_null(exact);
	memcpy(exact, bytes, readable);
	memset(pkt, 0, sizeof(*pkt));
	why = parse_frame(&view, pkt);
	free(exact);
	return why;
}

static void one_case(void **state)
{
	const struct packet_case *c = *state;
	struct frame frame;
	struct packet pkt;
	enum weir_reason why;

	frame_build(c->layers, &ENDS, &frame);
	why = parse_bytes(frame.byte, frame.len, frame.len, &pkt);
	if (why != c->reason)
		fail_msg("%s: wanted %s, found %s", c->name, reason_name(c->reason),
			 reason_name(why));
	if (why == WEIR_OK && pkt.flags != c->flags)
		fail_msg("%s: wanted flags %#x, found %#x", c->name, c->flags, pkt.flags);
	assert_true((c->reason == WEIR_OK) == (c->class != CLASS_BAD));
}

static void build(const struct packet_case *c, struct frame *frame)
{
	frame_build(c->layers, &ENDS, frame);
}

/* A frame that ends early never passes for a whole one; ASan sees reads behind its end. */
static void cut_frames_do_not_parse(void **state)
{
	for (size_t i = 0; i < nr_packet_cases; i++) {
		const struct packet_case *c = &packet_cases[i];
		struct frame frame;
		struct packet pkt, whole;
		enum weir_reason why;
		size_t datagram;

		build(c, &frame);
		why = parse_bytes(frame.byte, frame.len, frame.len, &whole);
		if (why != WEIR_OK || whole.flags & PKT_CONTROL)
			datagram = 0;
		else if (whole.flags & PKT_ARP)
			datagram = frame.l3 + 28;
		else
			datagram = frame.l3 + whole.ip_len;
		for (size_t n = 0; n < frame.len; n++) {
			why = parse_bytes(frame.byte, n, n, &pkt);
			if (n < datagram && why == WEIR_OK)
				fail_msg("%s: cut to %zu of %zu bytes it parses", c->name, n,
					 datagram);
			if (datagram && n >= datagram && why != WEIR_OK)
				fail_msg("%s: without its trailer (%zu bytes) it does not parse",
					 c->name, n);
		}
	}
}

/* What cannot be read yet (a part outside the linear buffer) is `truncated`, or already known. */
static void unreadable_parts_ask_for_more(void **state)
{
	for (size_t i = 0; i < nr_packet_cases; i++) {
		const struct packet_case *c = &packet_cases[i];
		struct frame frame;
		struct packet pkt, whole;
		enum weir_reason all, why;

		build(c, &frame);
		all = parse_bytes(frame.byte, frame.len, frame.len, &whole);
		for (size_t n = 0; n < frame.len; n++) {
			why = parse_bytes(frame.byte, n, frame.len, &pkt);
			if (why == WEIR_TRUNCATED)
				continue;
			if (why != all)
				fail_msg("%s: %zu of %zu bytes readable: wanted %s, found %s",
					 c->name, n, frame.len, reason_name(all), reason_name(why));
			/* An error whose quotation is not readable yet is asked for again. */
			if (why == WEIR_OK && pkt.flags != whole.flags &&
			    !(pkt.flags & PKT_ICMP_ERROR) && pkt.dport != BE16(68))
				fail_msg("%s: %zu bytes readable: flags %#x, of all %#x", c->name,
					 n, pkt.flags, whole.flags);
		}
	}
}

/* Any one spoiled byte: no read outside, no endless walk, and a reason that exists. */
static void spoiled_bytes_are_survived(void **state)
{
	for (size_t i = 0; i < nr_packet_cases; i++) {
		struct frame frame;
		struct packet pkt;
		size_t upto;

		build(&packet_cases[i], &frame);
		upto = frame.len < 120 ? frame.len : 120;
		for (size_t at = 0; at < upto; at++)
			for (int value = 0; value < 256; value += 5) {
				__u8 was = frame.byte[at];
				enum weir_reason why;

				frame.byte[at] = value;
				why = parse_bytes(frame.byte, frame.len, frame.len, &pkt);
				frame.byte[at] = was;
				assert_true(why <= WEIR_BAD_ARP || why == WEIR_BAD_CHECKSUM ||
					    why == WEIR_ICMP_TYPE);
				if (why == WEIR_OK && pkt.family)
					assert_in_range(pkt.headers, 20, frame.len);
			}
	}
}

static void parse_layers(const struct layer *layers, struct packet *pkt)
{
	struct frame frame;

	frame_build(layers, &ENDS, &frame);
	assert_int_equal(parse_bytes(frame.byte, frame.len, frame.len, pkt), WEIR_OK);
}

static void assert_address(const union address *a, int family, const char *text)
{
	union address wanted = {};
	struct in_addr v4;

	if (family == 4) {
		assert_int_equal(inet_pton(AF_INET, text, &v4), 1);
		wanted.addr.byte[10] = wanted.addr.byte[11] = 0xff;
		memcpy(wanted.addr.byte + 12, &v4, 4);
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &wanted), 1);
	}
	assert_memory_equal(a, &wanted, sizeof(wanted));
}

static void fields_of_tcp4(void **state)
{
	struct packet pkt;

	parse_layers((struct layer[]){ETH(),
				      VLAN(),
				      IP4(.fill = 8),
				      TCP(.flags = F_SYN, .fill = 12, .sport = 1025, .dport = 8443),
				      DATA(30),
				      PAD(9),
				      {}},
		     &pkt);
	assert_int_equal(pkt.family, 4);
	assert_int_equal(pkt.proto, 6);
	assert_int_equal(pkt.sport, htons(1025));
	assert_int_equal(pkt.dport, htons(8443));
	assert_int_equal(pkt.port, 8443);
	assert_int_equal(pkt.ip_len, 28 + 32 + 30);
	assert_int_equal(pkt.headers, 28 + 32);
	assert_address(&pkt.src, 4, "198.51.100.7");
	assert_address(&pkt.dst, 4, "192.0.2.1");
}

static void fields_of_udp6(void **state)
{
	struct packet pkt;

	parse_layers((struct layer[]){ETH(),
				      IP6(),
				      EXT(.proto = 60, .fill = 16),
				      UDP(.sport = 5353, .dport = 53),
				      DATA(11),
				      {}},
		     &pkt);
	assert_int_equal(pkt.family, 6);
	assert_int_equal(pkt.proto, 17);
	assert_int_equal(pkt.port, 53);
	assert_int_equal(pkt.ip_len, 40 + 24 + 8 + 11);
	assert_int_equal(pkt.headers, 40 + 24 + 8);
	assert_address(&pkt.src, 6, "2001:db8:51::7");
	assert_address(&pkt.dst, 6, "2001:db8::1");
}

static void fields_of_echo_and_types(void **state)
{
	struct packet pkt;

	parse_layers((struct layer[]){ETH(), IP4(), ICMP(.type = 8, .id = 0x1234), {}}, &pkt);
	assert_int_equal(pkt.port, 8);
	assert_int_equal(pkt.sport, htons(0x1234));
	assert_int_equal(pkt.dport, 0);
	parse_layers((struct layer[]){ETH(), IP6(), ICMP6(.type = 200), DATA(4), {}}, &pkt);
	assert_int_equal(pkt.port, 200);
	assert_int_equal(pkt.flags, 0);
}

static void fields_of_quoted_packet(void **state)
{
	struct packet pkt;

	parse_layers((struct layer[]){ETH(),
				      IP4(),
				      ICMP(.type = 3, .code = 4),
				      IP4(.fill = 8),
				      UDP(.sport = 1000, .dport = 2000),
				      {}},
		     &pkt);
	assert_address(&pkt.inner_src, 4, "192.0.2.1");
	assert_address(&pkt.inner_dst, 4, "198.51.100.7");
	assert_int_equal(pkt.inner_proto, 17);
	assert_int_equal(pkt.inner_sport, htons(1000));
	assert_int_equal(pkt.inner_dport, htons(2000));
	parse_layers((struct layer[]){ETH(),
				      IP6(),
				      ICMP6(.type = 2),
				      IP6(),
				      FRAGMENT(.fragment = 1),
				      TCP(.sport = 3, .dport = 4),
				      {}},
		     &pkt);
	assert_address(&pkt.inner_src, 6, "2001:db8::1");
	assert_int_equal(pkt.inner_proto, 6);
	assert_int_equal(pkt.inner_sport, htons(3));
	parse_layers(
	    (struct layer[]){ETH(), IP4(), ICMP(.type = 11), IP4(), ICMP(.type = 8, .id = 77), {}},
	    &pkt);
	assert_int_equal(pkt.inner_sport, htons(77));
	assert_int_equal(pkt.inner_dport, htons(8));
}

static void fields_of_neighbours_and_leases(void **state)
{
	struct packet pkt;

	parse_layers((struct layer[]){ETH(), ARP(.src = "198.51.100.9", .dst = "192.0.2.9"), {}},
		     &pkt);
	assert_address(&pkt.src, 4, "198.51.100.9");
	assert_address(&pkt.dst, 4, "192.0.2.9");
	assert_int_equal(pkt.family, 0);
	parse_layers((struct layer[]){ETH(),
				      IP6(.ttl = 255),
				      ICMP6(.type = 136),
				      BYTES("\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\5"),
				      {}},
		     &pkt);
	assert_address(&pkt.inner_src, 6, "2001:db8::5");
	for (size_t i = 0; i < nr_packet_cases; i++)
		if (packet_cases[i].class == CLASS_DHCP_OFFER) {
			parse_layers(packet_cases[i].layers, &pkt);
			assert_memory_equal(pkt.mac, OFFER_MAC, 6);
		}
}

/* An aggregate's length fields are 0 (BIG TCP) or its own; the frame's length counts. */
static void aggregates_go_by_the_frame(void **state)
{
	struct frame frame;
	struct packet pkt = {};
	struct view view;

	frame_build(
	    (struct layer[]){ETH(), IP6(), SET16(4, 0), TCP(.flags = F_ACK), DATA(2000), {}}, &ENDS,
	    &frame);
	view = (struct view){
	    .data = frame.byte, .end = frame.byte + 74, .len = 14 + 40 + 20 + 200000, .gso = 1};
	assert_int_equal(parse_frame(&view, &pkt), WEIR_OK);
	assert_int_equal(pkt.ip_len, 40 + 20 + 200000);
	frame_build(
	    (struct layer[]){ETH(), IP4(), SET16(2, 0), TCP(.flags = F_ACK), DATA(2000), {}}, &ENDS,
	    &frame);
	memset(&pkt, 0, sizeof(pkt));
	view.end = frame.byte + 54;
	assert_int_equal(parse_frame(&view, &pkt), WEIR_OK);
	assert_int_equal(pkt.ip_len, 14 + 40 + 20 + 200000 - 14);
	view.gso = 0;
	memset(&pkt, 0, sizeof(pkt));
	assert_int_equal(parse_frame(&view, &pkt), WEIR_BAD_LENGTH);
}

int main(void)
{
	static const struct CMUnitTest fixed[] = {
	    cmocka_unit_test(cut_frames_do_not_parse),
	    cmocka_unit_test(unreadable_parts_ask_for_more),
	    cmocka_unit_test(spoiled_bytes_are_survived),
	    cmocka_unit_test(fields_of_tcp4),
	    cmocka_unit_test(fields_of_udp6),
	    cmocka_unit_test(fields_of_echo_and_types),
	    cmocka_unit_test(fields_of_quoted_packet),
	    cmocka_unit_test(fields_of_neighbours_and_leases),
	    cmocka_unit_test(aggregates_go_by_the_frame),
	};
	size_t n = nr_packet_cases + sizeof(fixed) / sizeof(fixed[0]);
	struct CMUnitTest *tests = calloc(n, sizeof(*tests));
	int failed;

	if (!tests)
		return 1;
	for (size_t i = 0; i < nr_packet_cases; i++)
		tests[i] = (struct CMUnitTest){.name = packet_cases[i].name,
					       .test_func = one_case,
					       .initial_state = (void *)&packet_cases[i]};
	memcpy(tests + nr_packet_cases, fixed, sizeof(fixed));
	failed = _cmocka_run_group_tests("parser", tests, n, NULL, NULL);
	free(tests);
	return failed != 0;
}
