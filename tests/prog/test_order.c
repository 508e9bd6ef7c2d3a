// SPDX-License-Identifier: GPL-2.0-only
/* Which of several verdicts that fit a packet is taken: malformed, must-not-break, blocks, failsafe, rules, limits. */
#include "harness.h"

#define BASE "interfaces: [nic]\nworkloads: [wl, wl2]\n"
#define DENY "default: deny\n"

#define SYN_TO(port)  IP4(), TCP(.flags = F_SYN, .dport = port)
#define SYN6_TO(port) IP6(), TCP(.flags = F_SYN, .dport = port)

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

/* The sum over all rules: a packet is counted by exactly one, or by none. */
static __u64 counted_by_rules(void)
{
	__u64 n = 0;

	for (__u32 i = 0; i < 64; i++)
		n += count_rule(i).passed_packets + count_rule(i).dropped_packets;
	return n;
}

static void allow_beats_the_default(void **state)
{
	policy(BASE DENY "allow: [{name: web, port: tcp/443}]\n");
	assert_passes(&XDP, FRAME(in(), SYN_TO(443)));
	assert_drops(&XDP, FRAME(in(), SYN_TO(444)), WEIR_DEFAULT);
	assert_passes(&NIC_IN, FRAME(in(), SYN6_TO(443)));
	assert_drops(&NIC_IN, FRAME(in(), SYN6_TO(444)), WEIR_DEFAULT);
	assert_int_equal(count_rule(rule_counter("web")).passed_packets, 2);
	assert_int_equal(count_rule(rule_counter("web")).passed_bytes, 40 + 60);
	assert_int_equal(count_rule(WEIR_RULE_DEFAULT_INGRESS).dropped_packets, 2);
	assert_int_equal(counted_by_rules(), 4);
}

static void deny_beats_allow_in_any_order(void **state)
{
	policy(BASE DENY "allow: [{name: wide, port: tcp/1-1000}]\n"
			 "deny: [{name: not-here, from: \"198.51.100.0/24\", port: tcp/443}]\n");
	assert_drops(&XDP, FRAME(in(), SYN_TO(443)), WEIR_DENY);
	assert_passes(&XDP, FRAME(in(), SYN_TO(442)));
	assert_passes(&XDP, FRAME(in(), IP4(.src = "203.0.114.1"), TCP(.flags = F_SYN)));
	assert_passes(&XDP, FRAME(in(), SYN6_TO(443)));
	assert_int_equal(count_rule(rule_counter("not-here")).dropped_packets, 1);
	assert_int_equal(count_rule(rule_counter("wide")).passed_packets, 3);
	/* A deny is no hole in the default either. */
	policy(BASE "default: allow\ndeny: [{name: no, port: tcp/443}]\n");
	assert_drops(&XDP, FRAME(in(), SYN_TO(443)), WEIR_DENY);
	assert_passes(&XDP, FRAME(in(), SYN_TO(444)));
}

static void deny_holds_for_what_leaves(void **state)
{
	policy(BASE "default: allow\ndeny: [{name: no, from: self, to: \"198.51.100.0/24\", "
		    "port: udp/53}]\n");
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), UDP(.dport = 53)), WEIR_DENY);
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), UDP(.dport = 54)));
	assert_passes(&NIC_OUT, FRAME(out(), IP4(.dst = "203.0.114.1"), UDP(.dport = 53)));
	assert_passes(&NIC_OUT, FRAME(out(), IP6(), UDP(.dport = 53)));
}

static void malformed_comes_first(void **state)
{
	policy(BASE DENY "block: [" PEER4 "]\nallow: [{port: tcp/443}]\n");
	block(PEER4, 32, 0);
	assert_drops(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN | F_FIN)), WEIR_TCP_FLAGS);
	assert_drops(&XDP, FRAME(in(), SYN_TO(443)), WEIR_BLOCKED);
}

static void must_not_break_set_passes_blocks(void **state)
{
	policy(BASE DENY "block: [0.0.0.0/0, \"::/0\"]\n");
	block("::", 0, 0);
	assert_passes(&XDP, FRAME(in(), ARP()));
	assert_passes(&XDP, FRAME(in(), IP6(.ttl = 255), ICMP6(.type = 135), DATA(16)));
	assert_passes(&NIC_OUT, FRAME(out(), IP6(.ttl = 255), ICMP6(.type = 136), DATA(16)));
	assert_drops(&XDP, FRAME(in(), IP6(), ICMP6(.type = 128)), WEIR_BLOCKED);
	assert_drops(&XDP, FRAME(in(), IP4(), ICMP(.type = 8)), WEIR_BLOCKED);
}

static void leases_are_for_this_card_only(void **state)
{
	policy(BASE DENY);
	for (size_t i = 0; i < nr_packet_cases; i++) {
		struct frame frame;

		if (packet_cases[i].class != CLASS_DHCP_OFFER)
			continue;
		frame_build(packet_cases[i].layers, in(), &frame);
		assert_passes(&XDP, &frame);
		frame.byte[frame.l4 + 8 + 28 + 5] ^= 0x40; /* chaddr */
		assert_drops(&XDP, &frame, WEIR_DEFAULT);
	}
}

static void run_time_block_beats_failsafe(void **state)
{
	policy(BASE DENY "never_block: [203.0.114.9]\n");
	assert_passes(&XDP, FRAME(in(), SYN_TO(22)));
	block(PEER4, 32, 0);
	block("203.0.114.0", 24, 0);
	assert_drops(&XDP, FRAME(in(), SYN_TO(22)), WEIR_BLOCKED);
	assert_drops(&XDP, FRAME(in(), IP4(.src = "203.0.114.8"), TCP(.flags = F_SYN, .dport = 22)),
		     WEIR_BLOCKED);
	assert_passes(&XDP,
		      FRAME(in(), IP4(.src = "203.0.114.9"), TCP(.flags = F_SYN, .dport = 22)));
}

static void run_time_block_holds_everywhere(void **state)
{
	world.forwarding = true;
	policy(BASE "default: allow\n");
	block(PEER4, 32, 0);
	block("2001:db8:51::", 48, 0);
	for (enum weir_hook hook = WEIR_HOOK_XDP; hook <= WEIR_HOOK_WL_IN; hook++) {
		const struct ends *ends = ends_of(hook);

		assert_drops(AT(.hook = hook), FRAME(ends, IP4(), UDP()), WEIR_BLOCKED);
		assert_drops(AT(.hook = hook), FRAME(ends, IP6(), UDP()), WEIR_BLOCKED);
		assert_drops(AT(.hook = hook),
			     FRAME(ends, IP4(.fragment = 100), DATA(8, .proto = 17)), WEIR_BLOCKED);
	}
	/* Also what this hook does not judge: to a workload, and through the node. */
	assert_drops(&XDP, FRAME(in(), IP4(.dst = POD4), UDP()), WEIR_BLOCKED);
	assert_drops(&XDP, FRAME(in(), IP4(.dst = "203.0.114.1"), UDP()), WEIR_BLOCKED);
	assert_passes(&XDP, FRAME(in(), IP4(.src = "198.51.100.8"), UDP()));
}

static void run_time_blocks_expire(void **state)
{
	__u64 now = world.control->fake_ns;

	policy(BASE "default: allow\n");
	block(PEER4, 32, now + 10 * S_NS);
	block("198.51.100.0", 24, now + 20 * S_NS);
	block("198.0.0.0", 8, now + 30 * S_NS);
	for (int at = 0; at < 40; at += 5) {
		world.control->fake_ns = now + at * S_NS;
		if (at < 30)
			assert_drops(&XDP, FRAME(in(), SYN_TO(443)), WEIR_BLOCKED);
		else
			assert_passes(&XDP, FRAME(in(), SYN_TO(443)));
	}
	assert_passes(&XDP, FRAME(in(), IP4(.src = "198.51.101.1"), UDP()));
}

static void failsafe_beats_the_block_list(void **state)
{
	policy(BASE DENY "block: [" PEER4 ", \"" PEER6 "\"]\nfailsafe: [tcp/22, udp/68]\n");
	assert_passes(&XDP, FRAME(in(), SYN_TO(22)));
	assert_passes(&XDP, FRAME(in(), SYN6_TO(22)));
	assert_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_ACK, .dport = 22)));
	assert_drops(&XDP, FRAME(in(), SYN_TO(23)), WEIR_BLOCK_LIST);
	assert_drops(&XDP, FRAME(in(), SYN6_TO(23)), WEIR_BLOCK_LIST);
	/* Both directions of its flows, and nothing that the node opens. */
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), TCP(.flags = F_SYN | F_ACK, .sport = 22)));
	assert_passes(&NIC_OUT, FRAME(out(), IP6(), UDP(.sport = 68)));
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), TCP(.flags = F_SYN, .sport = 22)),
		     WEIR_BLOCK_LIST);
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), TCP(.flags = F_SYN, .dport = 22)),
		     WEIR_BLOCK_LIST);
	/* Of this node only: not of its workloads. */
	assert_drops(&XDP, FRAME(in(), IP4(.dst = POD4), TCP(.flags = F_SYN, .dport = 22)),
		     WEIR_BLOCK_LIST);
}

static void failsafe_beats_deny_and_limits(void **state)
{
	policy(BASE DENY "failsafe: [{port: tcp/22, from: \"198.51.100.0/24\"}]\n"
			 "deny: [{port: tcp/22}]\n"
			 "limits: [{name: few, to: self, count: connections, rate: 1/hour}]\n");
	for (int i = 0; i < 5; i++)
		assert_passes(&XDP, FRAME(in(), SYN_TO(22)));
	assert_int_equal(count_limit(limit_of("few")).passed_packets, 0);
	assert_drops(&XDP, FRAME(in(), IP4(.src = "203.0.114.1"), TCP(.flags = F_SYN, .dport = 22)),
		     WEIR_DENY);
}

static void built_in_failsafe_ends_with_a_rule_that_names_ssh(void **state)
{
	policy(BASE DENY);
	assert_passes(&XDP, FRAME(in(), SYN_TO(22)));
	assert_passes(&XDP, FRAME(in(), SYN6_TO(22)));
	assert_int_equal(count_rule(WEIR_RULE_BUILTIN_FAILSAFE).passed_packets, 2);
	policy(BASE DENY "allow: [{from: 203.0.114.7, to: self, port: any}]\n");
	assert_passes(&XDP, FRAME(in(), SYN_TO(22)));
	policy(BASE DENY "allow: [{from: 203.0.114.7, to: workloads, port: tcp/22}]\n");
	assert_passes(&XDP, FRAME(in(), SYN_TO(22)));
	policy(BASE DENY "allow: [{from: 203.0.114.7, to: self, port: tcp/20-30}]\n");
	assert_drops(&XDP, FRAME(in(), SYN_TO(22)), WEIR_DEFAULT);
	policy(BASE DENY "deny: [{from: 203.0.114.7, port: tcp/22}]\n");
	assert_drops(&XDP, FRAME(in(), SYN_TO(22)), WEIR_DEFAULT);
	policy(BASE DENY "failsafe: []\n");
	assert_drops(&XDP, FRAME(in(), SYN_TO(22)), WEIR_DEFAULT);
}

static void block_list_beats_replies_and_rules(void **state)
{
	policy(BASE DENY "allow: [{port: tcp/443}, {from: self, to: any, port: udp/53}]\n");
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), UDP(.dport = 53)));
	assert_passes(&XDP, FRAME(in(), IP4(), UDP(.sport = 53, .dport = 40000)));
	policy(BASE DENY "allow: [{port: tcp/443}, {from: self, to: any, port: udp/53}]\n"
			 "block: [\"198.51.100.0/28\", \"2001:db8:51::/64\"]\n");
	assert_drops(&XDP, FRAME(in(), IP4(), UDP(.sport = 53, .dport = 40000)), WEIR_BLOCK_LIST);
	assert_drops(&XDP, FRAME(in(), SYN_TO(443)), WEIR_BLOCK_LIST);
	assert_drops(&XDP, FRAME(in(), SYN6_TO(443)), WEIR_BLOCK_LIST);
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), UDP(.dport = 53)), WEIR_BLOCK_LIST);
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), TCP(.flags = F_ACK, .sport = 443)),
		     WEIR_BLOCK_LIST);
	assert_passes(&XDP, FRAME(in(), IP4(.src = "198.51.100.16"), TCP(.flags = F_SYN)));
	/* At the first hook, though the packet's home is a workload's veth. */
	assert_drops(&XDP, FRAME(in(), IP4(.dst = POD4), UDP()), WEIR_BLOCK_LIST);
	assert_drops(&WL_OUT, FRAME(ends_of(WEIR_HOOK_WL_OUT), IP6(), UDP()), WEIR_BLOCK_LIST);
	assert_drops(&WL_IN, FRAME(ends_of(WEIR_HOOK_WL_IN), IP6(), UDP()), WEIR_BLOCK_LIST);
}

static void never_block_does_not_lift_the_block_list(void **state)
{
	policy(BASE "default: allow\nblock: [" PEER4 "]\nnever_block: [" PEER4 "]\n");
	assert_drops(&XDP, FRAME(in(), SYN_TO(443)), WEIR_BLOCK_LIST);
}

static void limits_come_after_rules(void **state)
{
	policy(BASE DENY "allow: [{port: tcp/443}]\n"
			 "limits: [{name: few, to: self, count: packets, rate: 1/hour}]\n");
	for (int i = 0; i < 5; i++)
		assert_drops(&XDP, FRAME(in(), SYN_TO(444)), WEIR_DEFAULT);
	assert_passes(&XDP, FRAME(in(), SYN_TO(443)));
	assert_drops(&XDP, FRAME(in(), SYN_TO(443)), WEIR_LIMIT);
	assert_drops(&XDP, FRAME(in(), SYN_TO(444)), WEIR_DEFAULT);
	assert_int_equal(count_limit(limit_of("few")).passed_packets, 1);
	assert_int_equal(count_limit(limit_of("few")).dropped_packets, 1);
	assert_int_equal(counted_by_rules(), 8);
}

static void segment_defaults_beat_the_default(void **state)
{
	policy(BASE "segments: {quiet: [" POD4 ", \"" POD6 "\"]}\n"
		    "default: allow\ndefaults: {quiet: {egress: deny}}\n");
	assert_drops(&WL_OUT, FRAME(ends_of(WEIR_HOOK_WL_OUT), IP4(), UDP()), WEIR_DEFAULT);
	assert_drops(&WL_OUT, FRAME(ends_of(WEIR_HOOK_WL_OUT), IP6(), UDP()), WEIR_DEFAULT);
	assert_passes(&WL_IN, FRAME(ends_of(WEIR_HOOK_WL_IN), IP4(), UDP()));
	assert_passes(AT(.hook = WEIR_HOOK_WL_OUT, .ifindex = world.wl2),
		      FRAME(ends_of(WEIR_HOOK_WL_OUT), IP4(.src = POD2_4), UDP()));
}

static void rules_on_an_interface_hold_there(void **state)
{
	policy(
	    "interfaces: [nic, nic2]\n" DENY
	    "allow: [{port: tcp/443, on: [nic2]}, {from: self, to: any, port: udp/53, on: [\"nic?\"]}]\n");
	assert_drops(&XDP, FRAME(in(), SYN_TO(443)), WEIR_DEFAULT);
	assert_passes(AT(.hook = WEIR_HOOK_XDP, .ifindex = world.nic2), FRAME(in(), SYN_TO(443)));
	assert_passes(AT(.hook = WEIR_HOOK_NIC_IN, .ifindex = world.nic2),
		      FRAME(in(), SYN6_TO(443)));
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), UDP(.dport = 53)), WEIR_DEFAULT);
	assert_passes(AT(.hook = WEIR_HOOK_NIC_OUT, .ifindex = world.nic2),
		      FRAME(out(), IP4(), UDP(.dport = 53)));
}

static void later_fragments_follow_the_pair(void **state)
{
#define LATER4(number) IP4(.fragment = 100), DATA(64, .proto = number)
#define LATER6	       IP6(), FRAGMENT(.fragment = 800), DATA(64, .proto = 17)
	policy(BASE DENY "failsafe: []\nallow: [{from: \"198.51.100.0/24\", port: udp/53}]\n");
	assert_passes(&XDP, FRAME(in(), LATER4(17)));
	assert_drops(&XDP, FRAME(in(), LATER4(1)), WEIR_DEFAULT);
	assert_drops(&XDP,
		     FRAME(in(), IP4(.src = "203.0.114.1", .fragment = 100), DATA(9, .proto = 17)),
		     WEIR_DEFAULT);
	assert_drops(&XDP, FRAME(in(), LATER6), WEIR_DEFAULT);
	/* Of the answers as well. */
	assert_passes(&NIC_OUT, FRAME(out(), LATER4(17)));
	assert_drops(&NIC_OUT, FRAME(out(), LATER4(6)), WEIR_DEFAULT);
	/* IPv6: whose protocol it is, only the first fragment knows. */
	policy(BASE DENY "failsafe: []\nallow: [{from: \"2001:db8:51::/48\", port: tcp/443}]\n");
	assert_passes(&XDP, FRAME(in(), LATER6));
	assert_drops(&XDP,
		     FRAME(in(), IP6(.src = "2001:db8:52::1"), FRAGMENT(.fragment = 800),
			   DATA(64, .proto = 17)),
		     WEIR_DEFAULT);
	policy(BASE "default: {ingress: allow, egress: deny}\nfailsafe: []\ndeny: [{port: any}]\n");
	assert_drops(&XDP, FRAME(in(), LATER4(17)), WEIR_DENY);
	assert_drops(&XDP, FRAME(in(), LATER6), WEIR_DENY);
	policy(BASE "default: allow\ndeny: [{port: udp/53}]\n");
	assert_passes(&XDP, FRAME(in(), LATER4(17)));
}

static void without_a_policy_nothing_is_judged(void **state)
{
	__u64 word = world.control->word;
	struct outcome found;

	world.control->word = 0;
	block(PEER4, 32, 0);
	for (enum weir_hook hook = WEIR_HOOK_XDP; hook <= WEIR_HOOK_WL_IN; hook++) {
		found = run_frame(AT(.hook = hook), FRAME(ends_of(hook), SYN_TO(443)));
		assert_true(found.pass);
		assert_int_equal(found.reason, WEIR_NR_REASONS);
	}
	world.control->word = word;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, world_reset)
	    TEST(allow_beats_the_default),
	    TEST(deny_beats_allow_in_any_order),
	    TEST(deny_holds_for_what_leaves),
	    TEST(malformed_comes_first),
	    TEST(must_not_break_set_passes_blocks),
	    TEST(leases_are_for_this_card_only),
	    TEST(run_time_block_beats_failsafe),
	    TEST(run_time_block_holds_everywhere),
	    TEST(run_time_blocks_expire),
	    TEST(failsafe_beats_the_block_list),
	    TEST(failsafe_beats_deny_and_limits),
	    TEST(built_in_failsafe_ends_with_a_rule_that_names_ssh),
	    TEST(block_list_beats_replies_and_rules),
	    TEST(never_block_does_not_lift_the_block_list),
	    TEST(limits_come_after_rules),
	    TEST(segment_defaults_beat_the_default),
	    TEST(rules_on_an_interface_hold_there),
	    TEST(later_fragments_follow_the_pair),
	    TEST(without_a_policy_nothing_is_judged),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown) != 0;
}
