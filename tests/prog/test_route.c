// SPDX-License-Identifier: GPL-2.0-only
/* antispoof: what the kernel's routes say about where a source may come from, at XDP and at TC. */
#include "harness.h"

#define POLICY(mode)                                                                          \
	"interfaces: [{name: nic, antispoof: " mode "}, {name: nic2, antispoof: " mode "}]\n" \
	"default: allow\n"

static const enum weir_hook HOOKS[] = {WEIR_HOOK_XDP, WEIR_HOOK_NIC_IN};

static void forwarding_of_lo(int on)
{
	shell("echo %d >/proc/sys/net/ipv4/conf/lo/forwarding && "
	      "echo %d >/proc/sys/net/ipv6/conf/lo/forwarding",
	      on, on);
}

static void mode(enum weir_antispoof mode)
{
	policy(mode == WEIR_ANTISPOOF_STRICT  ? POLICY("strict")
	       : mode == WEIR_ANTISPOOF_LOOSE ? POLICY("loose")
					      : POLICY("off"));
	watch_paths(world.nic, mode, 0, 0);
	watch_paths(world.nic2, mode, 0, 0);
}

static int setup(void **state)
{
	int err = world_setup(state);

	if (err)
		return err;
	shell("ip addr add 198.18.0.1/24 dev nic2 && ip addr add 2001:db8:18::1/64 dev nic2 nodad");
	bind_local("198.18.0.1", 0, WEIR_SELF, 0, 0);
	bind_local("2001:db8:18::1", 0, WEIR_SELF, 0, 0);
	return 0;
}

static int reset(void **state)
{
	forwarding_of_lo(1);
	mode(WEIR_ANTISPOOF_OFF);
	return world_reset(state);
}

/* A datagram from @src to an address of ours by that NIC, at XDP and at TC. */
static void comes_to(__u32 by, const char *src, const char *dst, enum weir_reason want,
		     const char *file, int line)
{
	struct ends ends = *ends_of(WEIR_HOOK_XDP);
	bool v6 = strchr(src, ':') != NULL;

	for (int i = 0; i < 2; i++) {
		struct hop hop = {.hook = HOOKS[i], .ifindex = by};

		if (v6)
			assert_outcome(&hop, FRAME(&ends, IP6(.src = src, .dst = dst), UDP()), want,
				       file, line);
		else
			assert_outcome(&hop, FRAME(&ends, IP4(.src = src, .dst = dst), UDP()), want,
				       file, line);
	}
}

#define COMES(by, src) \
	comes_to(by, src, strchr(src, ':') ? SELF6 : SELF4, WEIR_OK, __FILE__, __LINE__)
#define REFUSED(by, src) \
	comes_to(by, src, strchr(src, ':') ? SELF6 : SELF4, WEIR_REVERSE_PATH, __FILE__, __LINE__)
#define COMES_TO(by, s, d)   comes_to(by, s, d, WEIR_OK, __FILE__, __LINE__)
#define REFUSED_TO(by, s, d) comes_to(by, s, d, WEIR_REVERSE_PATH, __FILE__, __LINE__)

static void unsaid_is_off(void **state)
{
	COMES(world.nic, "198.18.0.9");
	COMES(world.nic2, OUTSIDE4);
	COMES(world.nic, "100.64.1.2");
	COMES(world.nic2, "2001:db8:ffff::1");
}

/* I-6: off-subnet sources. No neighbour is known, and none is needed. */
static void strict_wants_the_same_interface(void **state)
{
	mode(WEIR_ANTISPOOF_STRICT);
	COMES(world.nic, OUTSIDE4);
	COMES(world.nic, OUTSIDE6);
	COMES(world.nic2, "198.18.0.9");
	COMES(world.nic2, "2001:db8:18::9");
	REFUSED(world.nic2, OUTSIDE4);
	REFUSED(world.nic2, OUTSIDE6);
	REFUSED(world.nic, "198.18.0.9");
	REFUSED(world.nic, "2001:db8:18::9");
	/* no route at all, and a workload's side */
	REFUSED(world.nic, "100.64.1.2");
	REFUSED(world.nic, "2001:db8:ffff::1");
	REFUSED(world.nic, "203.0.113.9");
	REFUSED(world.nic, "2001:db8:77::9");
}

static void loose_wants_any_route(void **state)
{
	mode(WEIR_ANTISPOOF_LOOSE);
	COMES(world.nic, OUTSIDE4);
	COMES(world.nic2, OUTSIDE4);
	COMES(world.nic2, OUTSIDE6);
	COMES(world.nic, "198.18.0.9");
	REFUSED(world.nic, "100.64.1.2");
	REFUSED(world.nic, "2001:db8:ffff::1");
	/* broadcast is no unicast */
	REFUSED(world.nic2, "203.0.113.127");
}

static void default_routes_count(void **state)
{
	shell("ip route add default via 192.0.2.100 && ip route add default via 2001:db8::100");
	mode(WEIR_ANTISPOOF_STRICT);
	COMES(world.nic, "100.64.1.2");
	COMES(world.nic, "2001:db8:ffff::1");
	REFUSED(world.nic2, "100.64.1.2");
	REFUSED(world.nic2, "2001:db8:ffff::1");
	REFUSED(world.nic, "198.18.0.9"); /* the longer prefix */
	mode(WEIR_ANTISPOOF_LOOSE);
	COMES(world.nic2, "100.64.1.2");
	COMES(world.nic2, "2001:db8:ffff::1");
	shell("ip route del default && ip -6 route del default");
}

static void routes_that_lead_nowhere_do_not_count(void **state)
{
	static const char *const kinds[] = {"blackhole", "unreachable", "prohibit"};

	for (int i = 0; i < 3; i++) {
		shell("ip route add %s 100.64.0.0/10 && ip route add %s 2001:db8:ffff::/48",
		      kinds[i], kinds[i]);
		for (enum weir_antispoof m = WEIR_ANTISPOOF_STRICT; m <= WEIR_ANTISPOOF_LOOSE;
		     m++) {
			mode(m);
			REFUSED(world.nic, "100.64.1.2");
			REFUSED(world.nic, "2001:db8:ffff::1");
		}
		shell("ip route del %s 100.64.0.0/10 && ip -6 route del %s 2001:db8:ffff::/48",
		      kinds[i], kinds[i]);
	}
}

/* Two uplinks, each with a table of its own for what is sent from its address: the usual multi-homed host. */
static void policy_routing_counts(void **state)
{
	shell("ip rule add pref 100 from 198.18.0.1 lookup 18 && "
	      "ip route add default via 198.18.0.100 table 18 && "
	      "ip -6 rule add pref 100 from 2001:db8:18::1 lookup 18 && "
	      "ip -6 route add default via 2001:db8:18::100 table 18 && "
	      "ip route add default via 192.0.2.100 && ip route add default via 2001:db8::100");
	mode(WEIR_ANTISPOOF_STRICT);
	COMES_TO(world.nic2, "100.64.1.2", "198.18.0.1");
	COMES_TO(world.nic2, "2001:db8:ffff::1", "2001:db8:18::1");
	REFUSED_TO(world.nic, "100.64.1.2", "198.18.0.1");
	REFUSED_TO(world.nic, "2001:db8:ffff::1", "2001:db8:18::1");
	COMES_TO(world.nic, "100.64.1.2", SELF4);
	COMES_TO(world.nic, "2001:db8:ffff::1", SELF6);
	REFUSED_TO(world.nic2, "100.64.1.2", SELF4);
	REFUSED_TO(world.nic2, "2001:db8:ffff::1", SELF6);
	shell("ip rule del pref 100 && ip -6 rule del pref 100 && ip route flush table 18 && "
	      "ip -6 route flush table 18 && ip route del default && ip -6 route del default");
}

static void many_come(__u32 by, const char *prefix, int v6, unsigned int n, unsigned int want)
{
	struct ends ends = *ends_of(WEIR_HOOK_XDP);
	unsigned int passed = 0;
	char src[64];

	for (unsigned int i = 0; i < n; i++) {
		struct hop hop = {.hook = HOOKS[i & 1], .ifindex = by};
		struct frame frame;

		snprintf(src, sizeof(src), v6 ? "%s%x" : "%s%u", prefix, i + 1);
		frame = v6 ? *FRAME(&ends, IP6(.src = src), UDP())
			   : *FRAME(&ends, IP4(.src = src), UDP());
		passed += run_passes(&hop, &frame);
	}
	assert_int_equal(passed, want);
}

/* The helper tells one next hop of several, and each counts, as for rp_filter. Others stay what they are. */
static void each_next_hop_counts(void **state)
{
	shell(
	    "ip route add 100.64.0.0/16 nexthop via 192.0.2.100 nexthop via 198.18.0.100 && "
	    "ip -6 route add 2001:db8:ffff::/48 nexthop via 2001:db8::100 nexthop via 2001:db8:18::100");
	for (int l4 = 0; l4 <= 1; l4++) {
		shell("echo %d >/proc/sys/net/ipv4/fib_multipath_hash_policy && "
		      "echo %d >/proc/sys/net/ipv6/fib_multipath_hash_policy",
		      l4, l4);
		mode(WEIR_ANTISPOOF_STRICT);
		many_come(world.nic, "100.64.1.", 0, 200, 200);
		many_come(world.nic2, "100.64.2.", 0, 200, 200);
		many_come(world.nic, "2001:db8:ffff::", 1, 200, 200);
		many_come(world.nic2, "2001:db8:ffff:1::", 1, 200, 200);
		many_come(world.other, "100.64.3.", 0, 20, 20); /* nobody asks there */
		watch_paths(world.other, WEIR_ANTISPOOF_STRICT, 0, 0);
		many_come(world.other, "100.64.3.", 0, 20, 0);
		many_come(world.other, "2001:db8:ffff:2::", 1, 20, 0);
		watch(world.other, 0, -1);
	}
	shell("ip route del 100.64.0.0/16 && ip -6 route del 2001:db8:ffff::/48");
	/* without gateways, which IPv6 does not have */
	shell("ip route add 100.64.0.0/16 nexthop dev nic nexthop dev nic2");
	many_come(world.nic, "100.64.4.", 0, 100, 100);
	many_come(world.nic2, "100.64.5.", 0, 100, 100);
	shell("ip route del 100.64.0.0/16");
	/* The same gateways and metrics, and two routes: the longer prefix wins. */
	shell(
	    "ip route add 100.64.0.0/10 via 192.0.2.100 && ip route add 100.64.1.0/24 via 198.18.0.100 && "
	    "ip route add 2001:db8:fff0::/44 via 2001:db8::100 && "
	    "ip route add 2001:db8:ffff::/48 via 2001:db8:18::100");
	mode(WEIR_ANTISPOOF_STRICT);
	many_come(world.nic, "100.64.1.", 0, 100, 0);
	many_come(world.nic2, "100.64.1.", 0, 100, 100);
	many_come(world.nic, "2001:db8:ffff::", 1, 100, 0);
	many_come(world.nic2, "2001:db8:ffff::", 1, 100, 100);
	/* A rule decides for one of them, though the main table would take either. */
	shell("ip route replace 100.64.1.0/24 nexthop via 192.0.2.100 nexthop via 198.18.0.100 && "
	      "ip rule add pref 100 from 198.18.0.1 lookup 18 && "
	      "ip route add default via 198.18.0.100 metric 7 table 18");
	REFUSED_TO(world.nic, "100.64.1.2", "198.18.0.1");
	COMES_TO(world.nic2, "100.64.1.2", "198.18.0.1");
	COMES_TO(world.nic, "100.64.1.2", SELF4);
	COMES_TO(world.nic2, "100.64.1.2", SELF4);
	shell("ip rule del pref 100 && ip route flush table 18 && ip route del 100.64.1.0/24 && "
	      "ip route del 100.64.0.0/10 && ip -6 route del 2001:db8:ffff::/48 && "
	      "ip -6 route del 2001:db8:fff0::/44");
}

/* Rules by port see the answer's ports. */
static void rules_by_port_see_the_answer(void **state)
{
	struct ends ends = *ends_of(WEIR_HOOK_XDP);
	struct hop hop = {.hook = WEIR_HOOK_XDP, .ifindex = world.nic2};

	shell("ip rule add pref 100 ipproto tcp sport 443 lookup 18 && "
	      "ip route add default via 198.18.0.100 table 18 && "
	      "ip route add default via 192.0.2.100");
	mode(WEIR_ANTISPOOF_STRICT);
	assert_passes(&hop, FRAME(&ends, IP4(.src = "100.64.1.2"), TCP(.flags = F_SYN)));
	assert_drops(&hop, FRAME(&ends, IP4(.src = "100.64.1.2"), TCP(.flags = F_SYN, .dport = 80)),
		     WEIR_REVERSE_PATH);
	assert_drops(&hop, FRAME(&ends, IP4(.src = "100.64.1.2"), UDP()), WEIR_REVERSE_PATH);
	shell("ip rule del pref 100 && ip route flush table 18 && ip route del default");
}

/* Devices on top, and what this one is a port of. */
static void vlan_devices_and_masters_are_the_same_link(void **state)
{
	mode(WEIR_ANTISPOOF_STRICT);
	watch_paths(world.nic2, WEIR_ANTISPOOF_OFF, 0, world.nic); /* as if nic2 were nic.5 */
	COMES(world.nic, "198.18.0.9");
	COMES(world.nic, "2001:db8:18::9");
	watch_paths(world.nic2, WEIR_ANTISPOOF_OFF, 0, world.other);
	REFUSED(world.nic, "198.18.0.9");
	watch_paths(world.nic, WEIR_ANTISPOOF_STRICT, world.nic2, 0);
	COMES(world.nic, "198.18.0.9");
	REFUSED(world.nic, "203.0.113.9");
	/* a VLAN device on the bridge or bond */
	watch_paths(world.nic, WEIR_ANTISPOOF_STRICT, world.br, 0);
	watch_paths(world.nic2, WEIR_ANTISPOOF_OFF, 0, world.br);
	COMES(world.nic, "198.18.0.9");
	/* a route by a device that nobody knows */
	unwatch(world.nic2);
	REFUSED(world.nic, "198.18.0.9");
}

/* What has no route by its nature is judged by other means. */
static void link_local_and_neighbours_are_exempt(void **state)
{
	const struct ends *in = ends_of(WEIR_HOOK_XDP);
	const struct ends routed = {.smac = {2, 0, 0, 0, 0, 2},
				    .dmac = {2, 0, 0, 0, 10, 1},
				    .src4 = "100.64.1.2",
				    .dst4 = SELF4,
				    .src6 = "2001:db8:ffff::1",
				    .dst6 = SELF6};

	mode(WEIR_ANTISPOOF_STRICT);
	for (int i = 0; i < 2; i++) {
		struct hop hop = {.hook = HOOKS[i]};

		assert_passes(
		    &hop, FRAME(in, IP6(.src = "fe80::7", .dst = "ff02::fb"), UDP(.dport = 5353)));
		assert_passes(&hop, FRAME(&routed, IP6(), ICMP6(.type = 128)));
		assert_passes(&hop, FRAME(&routed, IP6(.ttl = 255), ICMP6(.type = 135), DATA(16)));
		assert_passes(&hop, FRAME(in, IP4(.src = "0.0.0.0", .dst = "255.255.255.255"),
					  UDP(.sport = 68, .dport = 67), DATA(40)));
		assert_passes(&hop, FRAME(&routed, IP4(.ttl = 1, .dst = "224.0.0.22"),
					  BYTES("\x16\0\0\0\xe0\0\0\xfb", .proto = 2)));
		assert_passes(&hop, FRAME(&routed, ARP()));
		assert_drops(&hop, FRAME(&routed, IP4(), ICMP(.type = 8)), WEIR_REVERSE_PATH);
		assert_drops(&hop, FRAME(&routed, IP4(.fragment = 100), DATA(8, .proto = 17)),
			     WEIR_REVERSE_PATH);
		assert_drops(&hop,
			     FRAME(&routed, IP6(), FRAGMENT(.fragment = 80), DATA(8, .proto = 17)),
			     WEIR_REVERSE_PATH);
		/* groups have no route back: the source's counts all the same */
		assert_drops(&hop, FRAME(&routed, IP4(.dst = "224.0.0.251"), UDP(.dport = 5353)),
			     WEIR_REVERSE_PATH);
		assert_passes(&hop, FRAME(in, IP4(.src = OUTSIDE4, .dst = "224.0.0.251"),
					  UDP(.dport = 5353)));
		assert_passes(
		    &hop, FRAME(in, IP6(.src = OUTSIDE6, .dst = "ff02::fb"), UDP(.dport = 5353)));
	}
}

/* Own addresses have a reason of their own, martians too. */
static void earlier_reasons_come_first(void **state)
{
	const struct ends *in = ends_of(WEIR_HOOK_XDP);

	mode(WEIR_ANTISPOOF_STRICT);
	for (int i = 0; i < 2; i++) {
		struct hop hop = {.hook = HOOKS[i]};

		assert_drops(&hop, FRAME(in, IP4(.src = "198.18.0.1"), UDP()), WEIR_SPOOFED);
		assert_drops(&hop, FRAME(in, IP4(.src = "127.0.0.1"), UDP()), WEIR_MARTIAN_SOURCE);
	}
}

/* Large packets: a route's MTU is no reason. */
static void length_does_not_matter(void **state)
{
	const struct ends ends = {.smac = {2, 0, 0, 0, 0, 2},
				  .dmac = {2, 0, 0, 0, 10, 1},
				  .src4 = OUTSIDE4,
				  .dst4 = SELF4,
				  .src6 = OUTSIDE6,
				  .dst6 = SELF6};

	mode(WEIR_ANTISPOOF_STRICT);
	for (int i = 0; i < 2; i++) {
		struct hop hop = {.hook = HOOKS[i]};

		assert_passes(&hop, FRAME(&ends, IP4(), UDP(), DATA(3000)));
		assert_passes(&hop, FRAME(&ends, IP6(), UDP(), DATA(3000)));
	}
}

/* The helper answers nothing then: what it does not answer is refused, where it was asked. */
static void without_forwarding_of_lo_nothing_passes(void **state)
{
	mode(WEIR_ANTISPOOF_LOOSE);
	COMES(world.nic, OUTSIDE4);
	forwarding_of_lo(0);
	REFUSED(world.nic, OUTSIDE4);
	REFUSED(world.nic, OUTSIDE6);
	mode(WEIR_ANTISPOOF_OFF);
	COMES(world.nic, OUTSIDE4);
}

/* Each interface has its own. */
static void modes_are_the_interfaces_own(void **state)
{
	mode(WEIR_ANTISPOOF_STRICT);
	watch_paths(world.nic2, WEIR_ANTISPOOF_OFF, 0, 0);
	REFUSED(world.nic, "198.18.0.9");
	COMES(world.nic2, OUTSIDE4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, reset)
	    TEST(unsaid_is_off),
	    TEST(strict_wants_the_same_interface),
	    TEST(loose_wants_any_route),
	    TEST(default_routes_count),
	    TEST(routes_that_lead_nowhere_do_not_count),
	    TEST(policy_routing_counts),
	    TEST(each_next_hop_counts),
	    TEST(rules_by_port_see_the_answer),
	    TEST(vlan_devices_and_masters_are_the_same_link),
	    TEST(link_local_and_neighbours_are_exempt),
	    TEST(earlier_reasons_come_first),
	    TEST(length_does_not_matter),
	    TEST(without_forwarding_of_lo_nothing_passes),
	    TEST(modes_are_the_interfaces_own),
	};

	return cmocka_run_group_tests(tests, setup, world_teardown) != 0;
}
