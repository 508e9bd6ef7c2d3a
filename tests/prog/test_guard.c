// SPDX-License-Identifier: GPL-2.0-only
/* Bridges of workloads: who is not bound reaches nobody and is reached by nobody; who stopped is nobody at once. */
#include "harness.h"

#include <bpf/bpf.h>

#define BASE "interfaces: [nic, nic2]\nworkloads: [wl, wl2]\n"
#define OPEN BASE "default: allow\n"

#define LATE4 "203.0.113.9" /* of a container that nobody has been told of */
#define LATE6 "2001:db8:77::9"

static const struct hop IN = {.hook = WEIR_HOOK_BR_IN}, OUT = {.hook = WEIR_HOOK_BR_OUT};

static int bridge_of_workloads(void **state)
{
	world_reset(state);
	watch_port(world.wl, world.pod_nsid);
	watch_port(world.wl2, -1);
	bind_local("fe80::2", world.br, WEIR_WORKLOAD, world.wl, 0);
	bind_local("fe80::a06", world.br, WEIR_SELF, 0, 0);
	world.forwarding = true;
	policy(OPEN);
	return 0;
}

static int veths_again(void **state)
{
	watch(world.wl, WEIR_IF_WORKLOAD, world.pod_nsid);
	watch(world.wl2, WEIR_IF_WORKLOAD, -1);
	unbind_local("fe80::2", world.br);
	unbind_local("fe80::a06", world.br);
	return 0;
}

static void only_bound_sources_come_out_of_the_bridge(void **state)
{
	const struct ends *ends = ends_of(WEIR_HOOK_BR_IN);

	assert_passes(&IN, FRAME(ends, IP4(), UDP()));
	assert_passes(&IN, FRAME(ends, IP6(), TCP(.flags = F_SYN)));
	assert_passes(&IN, FRAME(ends, IP4(.src = POD2_4), ICMP(.type = 8)));
	assert_passes(&IN, FRAME(ends, IP6(.src = "fe80::2", .dst = "fe80::a06"), UDP()));
	assert_drops(&IN, FRAME(ends, IP4(.src = LATE4), UDP()), WEIR_SPOOFED);
	assert_drops(&IN, FRAME(ends, IP6(.src = LATE6), TCP(.flags = F_SYN)), WEIR_SPOOFED);
	assert_drops(&IN, FRAME(ends, IP6(.src = "fe80::9", .dst = "fe80::a06"), UDP()),
		     WEIR_SPOOFED);
	assert_drops(&IN, FRAME(ends, IP4(.src = SELF4), UDP()), WEIR_SPOOFED);
	assert_drops(&IN, FRAME(ends, IP4(.src = "198.51.100.8"), UDP()), WEIR_SPOOFED);
	assert_drops(&IN, FRAME(ends, IP4(.src = LATE4, .fragment = 100), DATA(8, .proto = 17)),
		     WEIR_SPOOFED);
	assert_drops(&IN,
		     FRAME(ends, IP4(.src = "0.0.0.0", .dst = "255.255.255.255"),
			   UDP(.sport = 68, .dport = 67)),
		     WEIR_SPOOFED);
	/* It judges nothing else. */
	policy(BASE "default: deny\nfailsafe: []\n");
	assert_int_equal(run_frame(&IN, FRAME(ends, IP4(), UDP())).homes, 0);
	assert_passes(&IN, FRAME(ends, IP4(), UDP()));
}

static void a_workload_of_another_bridge_is_not_of_this_one(void **state)
{
	const struct ends *in = ends_of(WEIR_HOOK_BR_IN), *out = ends_of(WEIR_HOOK_BR_OUT);

	watch(world.wl2, WEIR_IF_WORKLOAD, -1);
	assert_drops(&IN, FRAME(in, IP4(.src = POD2_4), UDP()), WEIR_SPOOFED);
	assert_drops(&OUT, FRAME(out, IP6(.dst = POD2_6), UDP()), WEIR_NOT_BOUND);
	unwatch(world.wl2);
	assert_drops(&IN, FRAME(in, IP4(.src = POD2_4), UDP()), WEIR_SPOOFED);
}

#define POD_TARGET  BYTES("\x20\1\x0d\xb8\0\x77\0\0\0\0\0\0\0\0\0\2")
#define LATE_TARGET BYTES("\x20\1\x0d\xb8\0\x77\0\0\0\0\0\0\0\0\0\x9")

static void neighbours_out_of_the_bridge_are_bound(void **state)
{
	const struct ends *ends = ends_of(WEIR_HOOK_BR_IN);

	assert_passes(&IN, FRAME(ends, ARP()));
	assert_drops(&IN, FRAME(ends, ARP(.src = LATE4)), WEIR_SPOOFED);
	assert_drops(&IN, FRAME(ends, ARP(.type = 2, .src = SELF4)), WEIR_SPOOFED);
	assert_passes(&IN, FRAME(ends, ARP(.src = "0.0.0.0", .dst = POD4)));
	assert_drops(&IN, FRAME(ends, ARP(.src = "0.0.0.0", .dst = LATE4)), WEIR_SPOOFED);
	assert_passes(&IN, FRAME(ends, IP6(.ttl = 255), ICMP6(.type = 135), LATE_TARGET));
	assert_drops(&IN,
		     FRAME(ends, IP6(.ttl = 255, .src = LATE6), ICMP6(.type = 135), POD_TARGET),
		     WEIR_SPOOFED);
	assert_passes(&IN, FRAME(ends, IP6(.ttl = 255, .src = "::", .dst = "ff02::1:ff00:2"),
				 ICMP6(.type = 135), POD_TARGET));
	assert_drops(&IN,
		     FRAME(ends, IP6(.ttl = 255, .src = "::", .dst = "ff02::1:ff00:9"),
			   ICMP6(.type = 135), LATE_TARGET),
		     WEIR_SPOOFED);
}

static void only_bound_destinations_go_into_the_bridge(void **state)
{
	const struct ends *ends = ends_of(WEIR_HOOK_BR_OUT);

	bind_local("203.0.113.127", 0, WEIR_SELF, 0, WEIR_LOCAL_BROADCAST);
	for (__u32 arrived = 0; arrived <= 1; arrived++) {
		const struct hop hop = {.hook = WEIR_HOOK_BR_OUT,
					.arrived = arrived ? world.nic : -1U};

		assert_passes(&hop, FRAME(ends, IP4(), UDP()));
		assert_passes(&hop, FRAME(ends, IP6(.dst = POD2_6), UDP()));
		assert_drops(&hop, FRAME(ends, IP4(.dst = LATE4), UDP()), WEIR_NOT_BOUND);
		assert_drops(&hop, FRAME(ends, IP6(.dst = LATE6), TCP(.flags = F_SYN)),
			     WEIR_NOT_BOUND);
		assert_drops(&hop, FRAME(ends, IP6(.dst = "fe80::9"), UDP()), WEIR_NOT_BOUND);
		assert_drops(&hop, FRAME(ends, IP4(.dst = SELF4), UDP()), WEIR_NOT_BOUND);
		assert_passes(&hop, FRAME(ends, IP4(.dst = "224.0.0.251"), UDP()));
		assert_passes(&hop, FRAME(ends, IP6(.dst = "ff02::fb"), UDP()));
		assert_passes(&hop, FRAME(ends, IP4(.dst = "203.0.113.127"), UDP()));
		assert_passes(&hop, FRAME(ends, ARP(.dst = LATE4)));
	}
	unbind_local("203.0.113.127", 0);
}

/* Frames to a port that nobody is bound to meet no hook there. */
static void a_port_sends_aside_to_nobody(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_WL_OUT};
	struct ends aside = *ends_of(WEIR_HOOK_WL_OUT), bridge = aside, group = aside;

	memcpy(bridge.dmac, BR_MAC, 6);
	memset(group.dmac, 0xff, 6);
	assert_passes(&hop, FRAME(&bridge, IP4(), UDP()));
	assert_passes(&hop, FRAME(&bridge, IP6(.dst = SELF6), UDP()));
	assert_drops(&hop, FRAME(&aside, IP4(), UDP()), WEIR_NOT_BOUND);
	assert_drops(&hop, FRAME(&aside, IP4(.dst = LATE4), UDP()), WEIR_NOT_BOUND);
	assert_drops(&hop, FRAME(&aside, IP6(.dst = LATE6), TCP(.flags = F_SYN)), WEIR_NOT_BOUND);
	assert_drops(&hop, FRAME(&aside, IP6(.dst = SELF6), UDP()), WEIR_NOT_BOUND);
	assert_drops(&hop, FRAME(&group, IP4(.dst = LATE4), UDP()), WEIR_NOT_BOUND);
	assert_passes(&hop, FRAME(&aside, IP4(.dst = POD2_4), UDP()));
	assert_passes(&hop, FRAME(&aside, IP4(.dst = "224.0.0.251"), UDP()));
	assert_passes(&hop, FRAME(&group, IP4(.dst = "255.255.255.255"), UDP()));
	/* A veth that is no port has one way only. */
	watch(world.wl, WEIR_IF_WORKLOAD, world.pod_nsid);
	assert_passes(&hop, FRAME(&aside, IP4(), UDP()));
}

/* The bridge's own link-local address is this node's, judged as such. */
static void link_local_addresses_are_those_of_the_bridge(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_WL_OUT};
	struct ends bridge = *ends_of(WEIR_HOOK_WL_OUT);
	struct outcome found;

	memcpy(bridge.dmac, BR_MAC, 6);
	found = run_frame(&hop, FRAME(&bridge, IP6(.src = "fe80::2", .dst = "fe80::a06"), UDP()));
	assert_int_equal(found.homes, 1U << WEIR_HOME_WORKLOAD_OUT | 1U << WEIR_HOME_SELF_IN);
	policy(BASE "default: {ingress: deny, egress: allow}\nfailsafe: []\n");
	assert_drops(&hop, FRAME(&bridge, IP6(.src = "fe80::2", .dst = "fe80::a06"), UDP()),
		     WEIR_DEFAULT);
}

static void what_nobody_has_looked_at_enters_no_workload(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_WL_IN, .arrived = world.wl2};
	const struct ends *ends = ends_of(WEIR_HOOK_WL_IN);

	assert_passes(&hop, FRAME(ends, IP4(.src = POD2_4), UDP()));
	unwatch(world.wl2);
	assert_drops(&hop, FRAME(ends, IP4(.src = POD2_4), UDP()), WEIR_UNKNOWN_INTERFACE);
	assert_drops(&hop, FRAME(ends, IP6(.src = LATE6), TCP(.flags = F_SYN)),
		     WEIR_UNKNOWN_INTERFACE);
	assert_drops(&hop, FRAME(ends, ARP()), WEIR_UNKNOWN_INTERFACE);
	assert_drops(&hop,
		     FRAME(ends, IP6(.ttl = 255, .src = LATE6), ICMP6(.type = 135), POD_TARGET),
		     WEIR_UNKNOWN_INTERFACE);
	watch(world.wl2, 0, -1);
	assert_passes(&hop, FRAME(ends, IP4(.src = POD2_4), UDP()));
	assert_passes(&hop, FRAME(ends, ARP()));
	/* Made here: by no interface. */
	assert_passes(AT(.hook = WEIR_HOOK_WL_IN, .arrived = -1U), FRAME(ends, IP4(), UDP()));
}

static void what_stopped_is_nobody(void **state)
{
	struct ends bridge = *ends_of(WEIR_HOOK_WL_OUT);

	memcpy(bridge.dmac, BR_MAC, 6);
	bind_local(POD2_4, 0, WEIR_OTHER, 0, WEIR_LOCAL_GONE);
	bind_local(POD2_6, 0, WEIR_OTHER, 0, WEIR_LOCAL_GONE);
	for (enum weir_hook hook = WEIR_HOOK_XDP; hook <= WEIR_HOOK_NIC_IN; hook++) {
		const struct hop hop = {.hook = hook};

		assert_drops(&hop, FRAME(ends_of(hook), IP4(.src = POD2_4), UDP()), WEIR_SPOOFED);
		assert_drops(&hop, FRAME(ends_of(hook), IP6(.dst = POD2_6), UDP()), WEIR_NOT_BOUND);
	}
	assert_drops(AT(.hook = WEIR_HOOK_NIC_OUT, .arrived = world.br),
		     FRAME(ends_of(WEIR_HOOK_NIC_OUT), IP4(.src = POD2_4), UDP()), WEIR_SPOOFED);
	assert_drops(AT(.hook = WEIR_HOOK_WL_OUT, .ifindex = world.wl2),
		     FRAME(&bridge, IP4(.src = POD2_4), UDP()), WEIR_SPOOFED);
	assert_drops(AT(.hook = WEIR_HOOK_WL_OUT, .ifindex = world.wl2),
		     FRAME(&bridge, ARP(.src = POD2_4)), WEIR_SPOOFED);
	assert_drops(AT(.hook = WEIR_HOOK_WL_OUT), FRAME(&bridge, IP6(.dst = POD2_6), UDP()),
		     WEIR_NOT_BOUND);
	assert_drops(AT(.hook = WEIR_HOOK_WL_IN, .arrived = world.br),
		     FRAME(ends_of(WEIR_HOOK_WL_IN), IP4(.src = POD2_4), UDP()), WEIR_SPOOFED);
	assert_drops(AT(.hook = WEIR_HOOK_WL_IN, .ifindex = world.wl2),
		     FRAME(ends_of(WEIR_HOOK_WL_IN), IP6(.dst = POD2_6), UDP()), WEIR_NOT_BOUND);
	assert_drops(&IN, FRAME(ends_of(WEIR_HOOK_BR_IN), IP4(.src = POD2_4), UDP()), WEIR_SPOOFED);
	assert_drops(&OUT, FRAME(ends_of(WEIR_HOOK_BR_OUT), IP6(.dst = POD2_6), UDP()),
		     WEIR_NOT_BOUND);
	bind_local(POD2_4, 0, WEIR_WORKLOAD, world.wl2, 0);
	bind_local(POD2_6, 0, WEIR_WORKLOAD, world.wl2, 0);
}

static void unreadable_frames_end_at_the_bridge(void **state)
{
	assert_drops(&IN, FRAME(ends_of(WEIR_HOOK_BR_IN), IP4(), UDP(), CUT(38)), WEIR_BAD_LENGTH);
	assert_drops(&OUT, FRAME(ends_of(WEIR_HOOK_BR_OUT), ETH(.ethertype = 0x88b5), PAD(64)),
		     WEIR_ETHERTYPE);
}

static void a_refusal_at_the_bridge_is_told(void **state)
{
	static struct events events;
	const struct weir_event *event = events.event;

	events_open(&events);
	assert_drops(&IN, FRAME(ends_of(WEIR_HOOK_BR_IN), IP4(.src = LATE4), UDP()), WEIR_SPOOFED);
	events_drain(&events);
	assert_int_equal(events.n, 1);
	assert_int_equal(event->hook, WEIR_HOOK_BR_IN);
	assert_int_equal(event->reason, WEIR_SPOOFED);
	assert_int_equal(event->direction, WEIR_DIR_NONE);
	assert_int_equal(event->ifindex, world.br);
	events_close(&events);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bridge_of_workloads, veths_again)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(only_bound_sources_come_out_of_the_bridge),
	    TEST(a_workload_of_another_bridge_is_not_of_this_one),
	    TEST(neighbours_out_of_the_bridge_are_bound),
	    TEST(only_bound_destinations_go_into_the_bridge),
	    TEST(a_port_sends_aside_to_nobody),
	    TEST(link_local_addresses_are_those_of_the_bridge),
	    TEST(what_nobody_has_looked_at_enters_no_workload),
	    TEST(what_stopped_is_nobody),
	    TEST(unreadable_frames_end_at_the_bridge),
	    TEST(a_refusal_at_the_bridge_is_told),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
