// SPDX-License-Identifier: GPL-2.0-only
/* Every (kind of address, direction) is judged once, at its home; who is whose; masquerading; XDP's mark. */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>

#include "weir_tc.skel.h"
#include "weir_xdp.skel.h"

#define BASE	  "interfaces: [nic, nic2]\nworkloads: [wl, wl2]\n"
#define DENY	  "default: deny\nfailsafe: []\n"
#define HOSTONLY  "interfaces: [nic, nic2]\n"
#define MADE_HERE -1U

#define HOME(name) (1U << WEIR_HOME_##name)

/* Judged at exactly these homes, each once, and passed. */
static void judged_at(const struct hop *hop, const struct frame *frame, unsigned int homes)
{
	struct outcome found = run_frame(hop, frame);

	assert_int_equal(found.reason, WEIR_OK);
	assert_true(found.pass);
	assert_int_equal(found.homes, homes);
	assert_int_equal(found.home_packets, __builtin_popcount(homes));
}

/* Both families along a way of hops: frames from @src to @dst. */
struct way {
	const char *src4, *dst4, *src6, *dst6;
};

static void both(const struct hop *hop, const struct way *way, unsigned int homes)
{
	const struct ends *ends = ends_of(hop->hook);

	judged_at(hop, FRAME(ends, IP4(.src = way->src4, .dst = way->dst4), UDP()), homes);
	judged_at(hop, FRAME(ends, IP6(.src = way->src6, .dst = way->dst6), UDP()), homes);
	judged_at(hop, FRAME(ends, IP4(.src = way->src4, .dst = way->dst4), TCP(.flags = F_SYN)),
		  homes);
	judged_at(hop, FRAME(ends, IP6(.src = way->src6, .dst = way->dst6), ICMP6(.type = 128)),
		  homes);
}

static void both_drop(const struct hop *hop, const struct way *way, enum weir_reason why)
{
	const struct ends *ends = ends_of(hop->hook);

	assert_drops(hop, FRAME(ends, IP4(.src = way->src4, .dst = way->dst4), UDP()), why);
	assert_drops(hop, FRAME(ends, IP6(.src = way->src6, .dst = way->dst6), UDP()), why);
}

static const struct way PEER_TO_SELF = {PEER4, SELF4, PEER6, SELF6};
static const struct way SELF_TO_PEER = {SELF4, PEER4, SELF6, PEER6};
static const struct way PEER_TO_POD = {PEER4, POD4, PEER6, POD6};
static const struct way POD_TO_PEER = {POD4, PEER4, POD6, PEER6};
static const struct way POD_TO_POD2 = {POD4, POD2_4, POD6, POD2_6};
static const struct way POD_TO_SELF = {POD4, "203.0.113.1", POD6, "2001:db8:77::1"};
static const struct way SELF_TO_POD = {"203.0.113.1", POD4, "2001:db8:77::1", POD6};
static const struct way THROUGH = {PEER4, "203.0.115.9", PEER6, "2001:db8:99::9"};

static void open_everything(void)
{
	world.forwarding = true;
	policy(BASE "default: allow\n");
}

static void from_outside_to_self(void **state)
{
	open_everything();
	both(AT(.hook = WEIR_HOOK_XDP), &PEER_TO_SELF, HOME(SELF_IN));
	both(AT(.hook = WEIR_HOOK_NIC_IN), &PEER_TO_SELF, HOME(SELF_IN));
}

static void from_self_to_outside(void **state)
{
	open_everything();
	both(AT(.hook = WEIR_HOOK_NIC_OUT, .arrived = MADE_HERE), &SELF_TO_PEER, HOME(SELF_OUT));
}

static void from_outside_to_a_workload(void **state)
{
	open_everything();
	both(AT(.hook = WEIR_HOOK_XDP), &PEER_TO_POD, 0);
	both(AT(.hook = WEIR_HOOK_NIC_IN), &PEER_TO_POD, 0);
	both(AT(.hook = WEIR_HOOK_WL_IN, .arrived = world.nic), &PEER_TO_POD, HOME(WORKLOAD_IN));
}

static void from_a_workload_to_outside(void **state)
{
	open_everything();
	both(AT(.hook = WEIR_HOOK_WL_OUT), &POD_TO_PEER, HOME(WORKLOAD_OUT));
	both(AT(.hook = WEIR_HOOK_NIC_OUT, .arrived = world.wl), &POD_TO_PEER, 0);
}

static void from_a_workload_to_a_workload(void **state)
{
	open_everything();
	both(AT(.hook = WEIR_HOOK_WL_OUT), &POD_TO_POD2, HOME(WORKLOAD_OUT));
	both(AT(.hook = WEIR_HOOK_WL_IN, .ifindex = world.wl2, .arrived = world.wl), &POD_TO_POD2,
	     HOME(WORKLOAD_IN));
}

static void between_a_workload_and_self(void **state)
{
	open_everything();
	both(AT(.hook = WEIR_HOOK_WL_OUT), &POD_TO_SELF, HOME(WORKLOAD_OUT) | HOME(SELF_IN));
	both(AT(.hook = WEIR_HOOK_WL_IN, .arrived = MADE_HERE), &SELF_TO_POD,
	     HOME(SELF_OUT) | HOME(WORKLOAD_IN));
}

/* Either of the two homes at one hook can refuse, and is what the packet is counted at. */
static void both_homes_of_a_veth_must_agree(void **state)
{
	const struct hop leaves = {.hook = WEIR_HOOK_WL_OUT};
	const struct hop enters = {.hook = WEIR_HOOK_WL_IN, .arrived = MADE_HERE};

	policy(BASE "default: {ingress: allow, egress: deny}\n");
	both_drop(&leaves, &POD_TO_SELF, WEIR_DEFAULT);
	both_drop(&enters, &SELF_TO_POD, WEIR_DEFAULT);
	assert_int_equal(count_home(WEIR_HOME_WORKLOAD_OUT).dropped_packets, 2);
	assert_int_equal(count_home(WEIR_HOME_SELF_IN).dropped_packets, 0);
	assert_int_equal(count_home(WEIR_HOME_SELF_OUT).dropped_packets, 2);
	counters_clear();
	policy(BASE "default: {ingress: deny, egress: allow}\n");
	both_drop(&leaves, &POD_TO_SELF, WEIR_DEFAULT);
	both_drop(&enters, &SELF_TO_POD, WEIR_DEFAULT);
	assert_int_equal(count_home(WEIR_HOME_SELF_IN).dropped_packets, 2);
	assert_int_equal(count_home(WEIR_HOME_WORKLOAD_IN).dropped_packets, 2);
	policy(BASE DENY "allow: [{from: workloads, to: self, port: udp/443}, "
			 "{from: self, to: workloads, port: udp/443}]\n");
	judged_at(&leaves, FRAME(ends_of(WEIR_HOOK_WL_OUT), IP4(.dst = SELF4), UDP()),
		  HOME(WORKLOAD_OUT) | HOME(SELF_IN));
	judged_at(&enters, FRAME(ends_of(WEIR_HOOK_WL_IN), IP6(.src = SELF6), UDP()),
		  HOME(SELF_OUT) | HOME(WORKLOAD_IN));
}

static void through_the_node(void **state)
{
	open_everything();
	both(AT(.hook = WEIR_HOOK_XDP), &THROUGH, HOME(FORWARD));
	both(AT(.hook = WEIR_HOOK_NIC_OUT, .ifindex = world.nic2, .arrived = world.nic), &THROUGH,
	     0);
}

static void through_the_node_from_where_nobody_watches(void **state)
{
	const struct hop hop = {
	    .hook = WEIR_HOOK_NIC_OUT, .ifindex = world.nic2, .arrived = world.other};

	open_everything();
	both(&hop, &THROUGH, HOME(FORWARD));
	policy(BASE "default: {ingress: allow, egress: allow, forward: deny}\n");
	both_drop(&hop, &THROUGH, WEIR_DEFAULT);
	/* A workload's address that came by there is nobody's workload. */
	both_drop(&hop, &POD_TO_PEER, WEIR_DEFAULT);
	assert_int_equal(count_home(WEIR_HOME_FORWARD).dropped_packets, 4);
	assert_int_equal(count_rule(WEIR_RULE_DEFAULT_FORWARD).dropped_packets, 4);
}

static void a_watched_bridge_is_watched(void **state)
{
	const struct hop hop = {
	    .hook = WEIR_HOOK_NIC_OUT, .ifindex = world.nic2, .arrived = world.other};

	policy(BASE DENY);
	watch(world.other, WEIR_IF_BRIDGE, -1);
	both(&hop, &THROUGH, 0);
	watch(world.other, 0, -1);
	both_drop(&hop, &THROUGH, WEIR_DEFAULT);
}

static void transit_has_its_own_default(void **state)
{
	world.forwarding = true;
	policy(BASE "default: {ingress: deny, egress: deny, forward: allow}\n");
	both(AT(.hook = WEIR_HOOK_XDP), &THROUGH, HOME(FORWARD));
	policy(BASE "default: {ingress: allow, egress: allow, forward: deny}\n");
	both_drop(AT(.hook = WEIR_HOOK_XDP), &THROUGH, WEIR_DEFAULT);
}

/* Without forwarding every destination that is no workload is this node. */
static void a_host_that_does_not_route_is_every_destination(void **state)
{
	policy(HOSTONLY "default: {ingress: allow, forward: deny}\n");
	both(AT(.hook = WEIR_HOOK_XDP), &THROUGH, HOME(SELF_IN));
	world.forwarding = true;
	policy(HOSTONLY "default: {ingress: allow, forward: deny}\n");
	both_drop(AT(.hook = WEIR_HOOK_XDP), &THROUGH, WEIR_DEFAULT);
	both(AT(.hook = WEIR_HOOK_XDP), &PEER_TO_SELF, HOME(SELF_IN));
}

static void groups_at_a_nic_are_self(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_XDP};
	const struct ends *ends = ends_of(WEIR_HOOK_XDP);
	struct ends group = *ends;

	world.forwarding = true;
	policy(BASE "default: {ingress: allow, forward: deny}\n");
	judged_at(&hop, FRAME(ends, IP4(.dst = "224.0.0.251"), UDP()), HOME(SELF_IN));
	judged_at(&hop, FRAME(ends, IP6(.dst = "ff02::fb"), UDP()), HOME(SELF_IN));
	judged_at(&hop, FRAME(ends, IP4(.dst = "192.0.2.255"), UDP()), HOME(SELF_IN));
	judged_at(&hop, FRAME(ends, IP4(.dst = "255.255.255.255"), UDP()), HOME(SELF_IN));
	memset(group.dmac, 0xff, 6);
	judged_at(&hop, FRAME(&group, IP4(.dst = "192.0.9.255"), UDP()), HOME(SELF_IN));
}

static void groups_at_a_veth(void **state)
{
	struct outcome found;

	open_everything();
	judged_at(AT(.hook = WEIR_HOOK_WL_OUT),
		  FRAME(ends_of(WEIR_HOOK_WL_OUT), IP4(.dst = "224.0.0.251"), UDP()),
		  HOME(WORKLOAD_OUT) | HOME(SELF_IN));
	judged_at(AT(.hook = WEIR_HOOK_WL_IN, .arrived = world.nic),
		  FRAME(ends_of(WEIR_HOOK_WL_IN), IP6(.dst = "ff02::fb"), UDP()),
		  HOME(WORKLOAD_IN));
	found = run_frame(AT(.hook = WEIR_HOOK_WL_IN, .arrived = world.nic),
			  FRAME(ends_of(WEIR_HOOK_WL_IN), IP4(.dst = "192.0.2.255"), UDP()));
	assert_true(found.pass);
}

/* ---- whose address ---- */

static void a_workload_speaks_for_itself(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_WL_OUT};
	const struct ends *ends = ends_of(WEIR_HOOK_WL_OUT);

	open_everything();
	assert_passes(&hop, FRAME(ends, IP4(), UDP()));
	assert_passes(&hop, FRAME(ends, IP6(), UDP()));
	assert_passes(&hop, FRAME(ends, IP6(.src = "fe80::2"), UDP()));
	assert_drops(&hop, FRAME(ends, IP4(.src = "203.0.113.3"), UDP()), WEIR_SPOOFED);
	assert_drops(&hop, FRAME(ends, IP6(.src = "2001:db8:77::3"), UDP()), WEIR_SPOOFED);
	assert_drops(&hop, FRAME(ends, IP4(.src = POD2_4), UDP()), WEIR_SPOOFED);
	assert_drops(&hop, FRAME(ends, IP6(.src = POD2_6), UDP()), WEIR_SPOOFED);
	assert_drops(&hop, FRAME(ends, IP4(.src = SELF4), UDP()), WEIR_SPOOFED);
	assert_drops(&hop, FRAME(ends, IP4(.src = "198.51.100.99"), UDP()), WEIR_SPOOFED);
	/* The same link-local address on another veth is another's. */
	assert_drops(AT(.hook = WEIR_HOOK_WL_OUT, .ifindex = world.wl2),
		     FRAME(ends, IP6(.src = "fe80::2"), UDP()), WEIR_SPOOFED);
	/* Later fragments and errors are no way round. */
	assert_drops(
	    &hop, FRAME(ends, IP4(.src = "198.51.100.99", .fragment = 100), DATA(8, .proto = 17)),
	    WEIR_SPOOFED);
}

static void a_workload_resolves_for_itself(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_WL_OUT};
	const struct ends *ends = ends_of(WEIR_HOOK_WL_OUT);

#define TARGET_OWN    BYTES("\x20\1\x0d\xb8\0\x77\0\0\0\0\0\0\0\0\0\2")
#define TARGET_OTHERS BYTES("\x20\1\x0d\xb8\0\x78\0\0\0\0\0\0\0\0\0\2")
#define TARGET_ROUTER BYTES("\x20\1\x0d\xb8\0\x77\0\0\0\0\0\0\0\0\0\1")
	policy(BASE DENY);
	assert_passes(&hop, FRAME(ends, ARP()));
	assert_passes(&hop, FRAME(ends, ARP(.src = "0.0.0.0")));
	/* Asking whether an address is free keeps others from it. */
	assert_passes(&hop, FRAME(ends, ARP(.src = "0.0.0.0", .dst = POD4)));
	assert_drops(&hop, FRAME(ends, ARP(.src = "0.0.0.0", .dst = POD2_4)), WEIR_SPOOFED);
	assert_drops(&hop, FRAME(ends, ARP(.src = "0.0.0.0", .dst = SELF4)), WEIR_SPOOFED);
	assert_passes(&hop,
		      FRAME(ends, IP6(.ttl = 255, .src = "::"), ICMP6(.type = 135), TARGET_OWN));
	assert_drops(&hop,
		     FRAME(ends, IP6(.ttl = 255, .src = "::"), ICMP6(.type = 135), TARGET_OTHERS),
		     WEIR_SPOOFED);
	assert_drops(&hop, FRAME(ends, ARP(.src = "203.0.113.1")), WEIR_SPOOFED);
	assert_drops(&hop, FRAME(ends, ARP(.type = 2, .src = POD2_4)), WEIR_SPOOFED);
	assert_passes(&hop, FRAME(ends, IP6(.ttl = 255), ICMP6(.type = 135), TARGET_ROUTER));
	assert_passes(&hop, FRAME(ends, IP6(.ttl = 255), ICMP6(.type = 136), TARGET_OWN));
	assert_drops(&hop, FRAME(ends, IP6(.ttl = 255), ICMP6(.type = 136), TARGET_ROUTER),
		     WEIR_SPOOFED);
	assert_drops(
	    &hop,
	    FRAME(ends, IP6(.ttl = 255, .src = "2001:db8:77::1"), ICMP6(.type = 135), TARGET_OWN),
	    WEIR_SPOOFED);
	assert_passes(&hop, FRAME(ends, IP6(.ttl = 255, .src = "::", .dst = "ff02::1:ff00:2"),
				  ICMP6(.type = 135), TARGET_OWN));
	assert_drops(&hop,
		     FRAME(ends, IP6(.ttl = 255, .src = "fe80::2"), ICMP6(.type = 134), DATA(8)),
		     WEIR_BAD_ND);
	assert_drops(&hop,
		     FRAME(ends, IP6(.ttl = 255, .src = "fe80::2"), ICMP6(.type = 137), DATA(32)),
		     WEIR_BAD_ND);
}

/* :: is a source for duplicate address detection and listener reports; the latter need a rule, as all of a workload's. */
static void a_workload_without_an_address_may_only_report(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_WL_OUT};
	const struct ends *ends = ends_of(WEIR_HOOK_WL_OUT);

#define REPORT(from) \
	IP6(.ttl = 1, .src = from, .dst = "ff02::16"), EXT(.proto = 0), ICMP6(.type = 143), DATA(20)
	open_everything();
	assert_passes(&hop, FRAME(ends, REPORT("fe80::2")));
	assert_passes(&hop, FRAME(ends, REPORT("::")));
	policy(BASE DENY);
	assert_drops(&hop, FRAME(ends, REPORT("fe80::2")), WEIR_DEFAULT);
	assert_drops(&hop, FRAME(ends, REPORT("::")), WEIR_DEFAULT);
}

static void our_addresses_do_not_arrive_from_the_wire(void **state)
{
	const struct ends *ends = ends_of(WEIR_HOOK_XDP);

	open_everything();
	for (enum weir_hook hook = WEIR_HOOK_XDP; hook <= WEIR_HOOK_NIC_IN; hook++) {
		assert_drops(AT(.hook = hook), FRAME(ends, IP4(.src = POD4), UDP()), WEIR_SPOOFED);
		assert_drops(AT(.hook = hook), FRAME(ends, IP6(.src = POD6), UDP()), WEIR_SPOOFED);
		assert_drops(AT(.hook = hook), FRAME(ends, IP4(.src = "203.0.113.1"), UDP()),
			     WEIR_SPOOFED);
		assert_drops(AT(.hook = hook), FRAME(ends, IP6(.src = "2001:db8:77::1"), UDP()),
			     WEIR_SPOOFED);
		assert_drops(AT(.hook = hook), FRAME(ends, IP4(.src = "192.0.2.255"), UDP()),
			     WEIR_SPOOFED);
	}
}

static void only_what_is_bound_enters(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_WL_IN};
	const struct ends *ends = ends_of(WEIR_HOOK_WL_IN);

	open_everything();
	assert_passes(&hop, FRAME(ends, IP4(), UDP()));
	assert_drops(&hop, FRAME(ends, IP4(.dst = "203.0.113.3"), UDP()), WEIR_NOT_BOUND);
	assert_drops(&hop, FRAME(ends, IP6(.dst = "2001:db8:77::3"), UDP()), WEIR_NOT_BOUND);
	assert_drops(&hop, FRAME(ends, IP4(.dst = POD2_4), UDP()), WEIR_NOT_BOUND);
	assert_drops(&hop, FRAME(ends, IP4(.dst = SELF4), UDP()), WEIR_NOT_BOUND);
	assert_passes(&hop, FRAME(ends, IP6(.dst = "fe80::2"), UDP()));
	assert_drops(AT(.hook = WEIR_HOOK_WL_IN, .ifindex = world.wl2),
		     FRAME(ends, IP6(.dst = "fe80::2"), UDP()), WEIR_NOT_BOUND);
}

static void without_a_binding_a_veth_is_closed(void **state)
{
	open_everything();
	unbind_local(POD2_4, 0);
	unbind_local(POD2_6, 0);
	watch(world.wl2, WEIR_IF_WORKLOAD | WEIR_IF_CLOSED, -1);
	both_drop(AT(.hook = WEIR_HOOK_WL_OUT, .ifindex = world.wl2),
		  &(struct way){POD2_4, PEER4, POD2_6, PEER6}, WEIR_SPOOFED);
	both_drop(AT(.hook = WEIR_HOOK_WL_IN, .ifindex = world.wl2), &POD_TO_POD2, WEIR_NOT_BOUND);
	assert_drops(AT(.hook = WEIR_HOOK_WL_OUT, .ifindex = world.wl2),
		     FRAME(ends_of(WEIR_HOOK_WL_OUT), ARP(.src = POD2_4)), WEIR_SPOOFED);
	bind_local(POD2_4, 0, WEIR_WORKLOAD, world.wl2, 0);
	bind_local(POD2_6, 0, WEIR_WORKLOAD, world.wl2, 0);
	watch(world.wl2, WEIR_IF_WORKLOAD, -1);
	both(AT(.hook = WEIR_HOOK_WL_OUT, .ifindex = world.wl2),
	     &(struct way){POD2_4, PEER4, POD2_6, PEER6}, HOME(WORKLOAD_OUT));
}

/* ---- masquerade ---- */

#define MASQ_POLICY                                                                        \
	BASE DENY "allow: [{from: workloads, to: any, port: [tcp/443, udp/53, icmp/8]}]\n" \
		  "limits: [{name: few, to: self, count: packets, rate: 1/hour}]\n"

static void masqueraded_answers_pass_by_their_entry(void **state)
{
	const struct ends *out = ends_of(WEIR_HOOK_NIC_OUT), *in = ends_of(WEIR_HOOK_XDP);
	const struct hop leaves = {.hook = WEIR_HOOK_NIC_OUT, .arrived = world.wl};
	const struct hop xdp = {.hook = WEIR_HOOK_XDP}, tc = {.hook = WEIR_HOOK_NIC_IN};

	world.forwarding = true;
	policy(MASQ_POLICY);
	assert_drops(&xdp, FRAME(in, IP4(), UDP(.sport = 53, .dport = 40000)), WEIR_DEFAULT);
	assert_drops(&xdp, FRAME(in, IP6(), TCP(.flags = F_ACK, .sport = 443, .dport = 40000)),
		     WEIR_NO_FLOW);
	judged_at(&leaves, FRAME(out, IP4(), UDP(.dport = 53)), 0);
	judged_at(&leaves, FRAME(out, IP6(), TCP(.flags = F_SYN)), 0);
	judged_at(&leaves, FRAME(out, IP4(), ICMP(.type = 8, .id = 9)), 0);
	assert_int_equal(flows_of(WEIR_FLOW_MASQ), 3);
	for (int i = 0; i < 3; i++) { /* uncharged: the limit would stop the second */
		assert_passes(&xdp, FRAME(in, IP4(), UDP(.sport = 53, .dport = 40000)));
		assert_passes(
		    &tc,
		    FRAME(in, IP6(), TCP(.flags = F_SYN | F_ACK, .sport = 443, .dport = 40000)));
		assert_passes(&xdp, FRAME(in, IP4(), ICMP(.type = 0, .id = 9)));
	}
	assert_int_equal(count_limit(limit_of("few")).passed_packets, 0);
	/* By that entry only. */
	assert_drops(&xdp, FRAME(in, IP4(), UDP(.sport = 53, .dport = 40001)), WEIR_DEFAULT);
	assert_drops(&xdp, FRAME(in, IP4(.src = "198.51.100.8"), UDP(.sport = 53, .dport = 40000)),
		     WEIR_DEFAULT);
	assert_drops(&xdp, FRAME(in, IP4(), ICMP(.type = 0, .id = 10)), WEIR_DEFAULT);
	assert_drops(&xdp, FRAME(in, IP6(), TCP(.flags = F_SYN, .sport = 443, .dport = 40000)),
		     WEIR_DEFAULT);
	assert_passes(&leaves, FRAME(out, IP4(), SCTP(), BYTES("\1\0\0\24"), DATA(16)));
	assert_drops(
	    &xdp,
	    FRAME(in, IP4(), SCTP(.sport = 443, .dport = 40000), BYTES("\1\0\0\24"), DATA(16)),
	    WEIR_DEFAULT);
	assert_passes(&xdp, FRAME(in, IP4(), SCTP(.sport = 443, .dport = 40000), BYTES("\2\0\0\24"),
				  DATA(16)));
	/* An echo request is no answer to an echo request. */
	assert_drops(&xdp, FRAME(in, IP4(), ICMP(.type = 8, .id = 9)), WEIR_DEFAULT);
}

static void masquerade_entries_end(void **state)
{
	const struct ends *out = ends_of(WEIR_HOOK_NIC_OUT), *in = ends_of(WEIR_HOOK_XDP);
	const struct hop leaves = {.hook = WEIR_HOOK_NIC_OUT, .arrived = world.wl};
	const struct hop xdp = {.hook = WEIR_HOOK_XDP};

	world.forwarding = true;
	policy(MASQ_POLICY "timeouts: {udp: 20s, udp_stream: 50s}\n");
	assert_passes(&leaves, FRAME(out, IP4(), UDP(.dport = 53)));
	world.control->fake_ns += 19 * S_NS;
	assert_passes(&xdp, FRAME(in, IP4(), UDP(.sport = 53, .dport = 40000)));
	world.control->fake_ns += 49 * S_NS;
	assert_passes(&xdp, FRAME(in, IP4(), UDP(.sport = 53, .dport = 40000)));
	world.control->fake_ns += 51 * S_NS;
	assert_drops(&xdp, FRAME(in, IP4(), UDP(.sport = 53, .dport = 40000)), WEIR_DEFAULT);
}

static void fragments_of_masqueraded_answers_pass(void **state)
{
	const struct ends *out = ends_of(WEIR_HOOK_NIC_OUT), *in = ends_of(WEIR_HOOK_XDP);
	const struct hop leaves = {.hook = WEIR_HOOK_NIC_OUT, .arrived = world.wl};
	const struct hop xdp = {.hook = WEIR_HOOK_XDP};

	world.forwarding = true;
	policy(MASQ_POLICY);
	assert_passes(&leaves, FRAME(out, IP4(), UDP(.dport = 53)));
	assert_drops(&xdp, FRAME(in, IP4(.fragment = 100, .id = 5), DATA(8, .proto = 17)),
		     WEIR_DEFAULT);
	assert_passes(&xdp, FRAME(in, IP4(.fragment = 0x2000, .id = 5),
				  UDP(.sport = 53, .dport = 40000), SET16(4, 1000), DATA(792)));
	assert_passes(&xdp, FRAME(in, IP4(.fragment = 100, .id = 5), DATA(8, .proto = 17)));
	assert_drops(&xdp, FRAME(in, IP4(.fragment = 100, .id = 6), DATA(8, .proto = 17)),
		     WEIR_DEFAULT);
	/* The same number in another protocol is another datagram. */
	assert_drops(&xdp, FRAME(in, IP4(.fragment = 100, .id = 5), DATA(8, .proto = 1)),
		     WEIR_DEFAULT);
	/* In IPv6 a fragment's protocol is not known, and all 32 bits are its number. */
	assert_passes(&leaves, FRAME(out, IP6(), UDP(.dport = 53)));
	assert_passes(&xdp, FRAME(in, IP6(), FRAGMENT(.fragment = 1, .id = 5),
				  UDP(.sport = 53, .dport = 40000), SET16(4, 1000), DATA(792)));
	assert_passes(&xdp,
		      FRAME(in, IP6(), FRAGMENT(.fragment = 800, .id = 5), DATA(8, .proto = 60)));
	assert_drops(&xdp,
		     FRAME(in, IP6(), FRAGMENT(.fragment = 800, .id = 6), DATA(8, .proto = 17)),
		     WEIR_DEFAULT);
}

/* With our source, forwarded, from where nobody watches: judged as transit where it leaves. */
static void masqueraded_from_an_unwatched_interface_is_transit(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_NIC_OUT, .arrived = world.other};

	policy(BASE "default: {ingress: allow, egress: allow, forward: deny}\n");
	both_drop(&hop, &SELF_TO_PEER, WEIR_DEFAULT);
	assert_int_equal(count_home(WEIR_HOME_FORWARD).dropped_packets, 2);
	policy(BASE "default: {ingress: deny, egress: deny, forward: allow}\n");
	both(&hop, &SELF_TO_PEER, HOME(FORWARD));
}

/* Our own address on a packet that was not made here: at a workload's veth it is in no segment but `any`. */
static void a_masqueraded_source_is_nobody_at_a_veth(void **state)
{
	const struct way way = {SELF4, POD4, SELF6, POD6};
	const struct hop forwarded = {.hook = WEIR_HOOK_WL_IN, .arrived = world.nic};
	const struct hop made_here = {.hook = WEIR_HOOK_WL_IN, .arrived = MADE_HERE};

	policy(BASE DENY "segments: {us: [" SELF4 ", \"" SELF6 "\"]}\n"
			 "allow: [{from: self, to: workloads}, {from: us, to: workloads}]\n");
	both_drop(&forwarded, &way, WEIR_DEFAULT);
	both(&made_here, &way, HOME(SELF_OUT) | HOME(WORKLOAD_IN));
	policy(BASE DENY "allow: [{from: any, to: workloads}]\n");
	both(&forwarded, &way, HOME(WORKLOAD_IN));
}

/* ---- frames of more than one buffer ---- */

static void large_frames_are_judged_whole(void **state)
{
	const struct ends *in = ends_of(WEIR_HOOK_XDP);
	const struct hop xdp = {.hook = WEIR_HOOK_XDP}, tc = {.hook = WEIR_HOOK_NIC_IN};
	struct outcome found;

	policy(BASE DENY "allow: [{name: web, to: self, port: tcp/443}]\n");
	assert_passes(&xdp, FRAME(in, IP4(), TCP(.flags = F_ACK), DATA(8900)));
	assert_int_equal(count_rule(rule_counter("web")).passed_bytes, 8940);
	assert_drops(&xdp, FRAME(in, IP6(), TCP(.flags = F_SYN, .dport = 444), DATA(8900)),
		     WEIR_DEFAULT);
	assert_drops(&xdp, FRAME(in, IP4(), SET16(2, 8941), TCP(.flags = F_ACK), DATA(8900)),
		     WEIR_BAD_LENGTH);
	/* Headers beyond the first buffer: TC can reach them. */
	found = run_frame(&xdp, FRAME(in, IP6(), EXT(.proto = 60, .fill = 2040, .repeat = 2),
				      TCP(.flags = F_SYN, .dport = 444), DATA(1000)));
	assert_true(found.pass);
	assert_int_equal(found.reason, WEIR_NR_REASONS);
	assert_drops(
	    &tc,
	    FRAME(in, IP6(), EXT(.proto = 60, .fill = 2040), TCP(.flags = F_SYN, .dport = 444)),
	    WEIR_DEFAULT);
	assert_passes(&tc, FRAME(in, IP6(), EXT(.proto = 60, .fill = 2040),
				 TCP(.flags = F_SYN, .dport = 443)));
}

/* ---- XDP's mark ---- */

static void xdp_marks_what_it_judged(void **state)
{
	struct frame frame = *FRAME(ends_of(WEIR_HOOK_XDP), IP4(), UDP());
	__u32 mark = 0;

	open_everything();
	assert_int_equal(run_mark(&frame, &mark), 0);
	assert_int_equal(mark, (__u32)world.control->seed);
}

static void send_from_outside(const struct frame *frame, int n)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
	int fd;

	assert_int_equal(setns(world.outside_ns, CLONE_NEWNET), 0);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	to.sll_ifindex = if_nametoindex("nicp");
	for (int i = 0; i < n; i++)
		assert_int_equal(sendto(fd, frame->byte, frame->len, 0, (void *)&to, sizeof(to)),
				 frame->len);
	close(fd);
	assert_int_equal(setns(world.node_ns, CLONE_NEWNET), 0);
}

static __u64 judged(void)
{
	struct weir_count c = count_home(WEIR_HOME_SELF_IN);

	return c.passed_packets + c.dropped_packets;
}

static void wait_for(__u64 n)
{
	for (int i = 0; i < 200 && judged() < n; i++)
		usleep(5000);
	usleep(20000); /* twice would be now */
	assert_int_equal(judged(), n);
}

/* On a real veth: XDP and TC ingress together judge once; either alone judges as well. */
static void two_hooks_of_a_nic_judge_once(void **state)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = world.nic, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = 1,
		    .prog_fd = bpf_program__fd(world.tc->progs.weir_nic_in));
	int xdp = bpf_program__fd(world.xdp->progs.weir_xdp), err;
	static const __u32 modes[] = {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE};
	struct frame frame = *FRAME(ends_of(WEIR_HOOK_XDP), IP4(.src = OUTSIDE4), UDP(.dport = 9));
	__u64 n = 0;

	policy(BASE DENY "allow: [{to: self, port: udp/9}]\n");
	err = bpf_tc_hook_create(&hook);
	assert_true(err == 0 || err == -EEXIST);
	assert_int_equal(bpf_tc_attach(&hook, &opts), 0);
	send_from_outside(&frame, 10);
	wait_for(n += 10);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(bpf_xdp_attach(world.nic, xdp, modes[i], NULL), 0);
		send_from_outside(&frame, 10);
		wait_for(n += 10);
		assert_int_equal(bpf_xdp_detach(world.nic, modes[i], NULL), 0);
	}
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	bpf_tc_hook_destroy(&hook);
}

/* ---- what is on the frame: VLANs, MACs ---- */

#define TAG(...) VLAN(__VA_ARGS__)

static void vlans_are_the_policys_at_nics(void **state)
{
	static const enum weir_hook nics[] = {WEIR_HOOK_XDP, WEIR_HOOK_NIC_IN, WEIR_HOOK_NIC_OUT};

	world.forwarding = false;
	policy(BASE "default: allow\nvlans: [5, 100-200]\n");
	for (int i = 0; i < 3; i++) {
		const struct ends *ends = ends_of(nics[i]);
		const struct hop hop = {.hook = nics[i]};

		assert_passes(&hop, FRAME(ends, TAG(.vlan = 5), IP4(), UDP()));
		assert_passes(&hop, FRAME(ends, TAG(.vlan = 0xe000 | 100), IP6(), UDP()));
		assert_passes(&hop,
			      FRAME(ends, TAG(), TAG(.vlan = 200), TAG(.repeat = 6), IP4(), UDP()));
		assert_passes(&hop, FRAME(ends, TAG(.vlan = 150), ARP()));
		assert_passes(&hop, FRAME(ends, IP4(), UDP()));
		for (const __u16 *vid = (const __u16[]){1, 4, 6, 69, 99, 201, 4094, 4095, 0}; *vid;
		     vid++) {
			assert_drops(&hop, FRAME(ends, TAG(.vlan = *vid), IP4(), UDP()), WEIR_VLAN);
			assert_drops(&hop, FRAME(ends, TAG(.vlan = *vid), ARP()), WEIR_VLAN);
		}
		assert_drops(&hop, FRAME(ends, TAG(.vlan = 5), TAG(.vlan = 5), IP4(), UDP()),
			     WEIR_VLAN);
		assert_drops(&hop, FRAME(ends, TAG(.ethertype = 0x88a8, .vlan = 5), IP4(), UDP()),
			     WEIR_VLAN);
	}
	/* Workloads have none, whatever NICs have. */
	for (enum weir_hook hook = WEIR_HOOK_WL_OUT; hook <= WEIR_HOOK_WL_IN; hook++) {
		assert_drops(AT(.hook = hook), FRAME(ends_of(hook), TAG(.vlan = 5), IP4(), UDP()),
			     WEIR_VLAN);
		assert_drops(AT(.hook = hook), FRAME(ends_of(hook), TAG(.vlan = 5), ARP()),
			     WEIR_VLAN);
		assert_passes(AT(.hook = hook), FRAME(ends_of(hook), TAG(), IP4(), UDP()));
	}
	policy(BASE "default: allow\n");
	assert_drops(AT(.hook = WEIR_HOOK_XDP),
		     FRAME(ends_of(WEIR_HOOK_XDP), TAG(.vlan = 5), ARP()), WEIR_VLAN);
}

/* What is listed is judged like what has no tag: a denylist sees through it. */
static void listed_vlans_are_judged(void **state)
{
	const struct ends *in = ends_of(WEIR_HOOK_XDP);

	policy(BASE "default: allow\nvlans: [5]\ndeny: [{to: self, port: tcp/443}]\n");
	assert_drops(AT(.hook = WEIR_HOOK_XDP),
		     FRAME(in, TAG(.vlan = 5), IP4(), TCP(.flags = F_SYN)), WEIR_DENY);
	assert_passes(AT(.hook = WEIR_HOOK_XDP),
		      FRAME(in, TAG(.vlan = 5), IP4(), TCP(.flags = F_SYN, .dport = 80)));
}

/* Sends @n frames through the hooks that are attached; what the reason counter of @why says of them: passed, dropped. */
static void arrives(const struct frame *frame, __u64 passed, enum weir_reason why, __u64 dropped)
{
	struct weir_count ok = count_reason(WEIR_OK), bad = count_reason(why);
	__u64 p, d;

	send_from_outside(frame, 3);
	for (int i = 0; i < 100; i++) {
		p = count_reason(WEIR_OK).passed_packets - ok.passed_packets;
		d = count_reason(why).dropped_packets - bad.dropped_packets;
		if (p >= passed && d >= dropped)
			break;
		usleep(5000);
	}
	usleep(10000);
	p = count_reason(WEIR_OK).passed_packets - ok.passed_packets;
	d = count_reason(why).dropped_packets - bad.dropped_packets;
	if (p != passed || d != dropped)
		fail_msg("wanted %llu passed and %llu dropped, found %llu and %llu", passed,
			 dropped, p, d);
}

static void attach_tc(__u32 ifindex, enum bpf_tc_attach_point point, int program);

/*
 * The stack takes the first tag out of the frame before TC: it counts like those that are in it, and XDP, native and
 * generic, says the same about the same frames.
 */
static void out_of_band_tags_are_the_outermost(void **state)
{
	static const __u32 modes[] = {0, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE};
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = world.nic,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	int xdp = bpf_program__fd(world.xdp->progs.weir_xdp);
	const struct ends *in = ends_of(WEIR_HOOK_XDP);

	policy(BASE DENY "vlans: [5]\nallow: [{to: self, port: udp/9}]\n");
	attach_tc(world.nic, BPF_TC_INGRESS, bpf_program__fd(world.tc->progs.weir_nic_in));
	for (int i = 0; i < 3; i++) {
		if (modes[i])
			assert_int_equal(bpf_xdp_attach(world.nic, xdp, modes[i], NULL), 0);
		arrives(FRAME(in, TAG(), IP4(), UDP(.dport = 9)), 3, WEIR_VLAN, 0);
		arrives(FRAME(in, TAG(.vlan = 5), IP4(), UDP(.dport = 9)), 3, WEIR_VLAN, 0);
		arrives(FRAME(in, TAG(.vlan = 5), IP6(), UDP(.dport = 8)), 0, WEIR_DEFAULT, 3);
		arrives(FRAME(in, TAG(.vlan = 5), TAG(.repeat = 7), IP4(), UDP(.dport = 9)), 3,
			WEIR_VLAN, 0);
		arrives(FRAME(in, TAG(.repeat = 8), IP6(), UDP(.dport = 9)), 3, WEIR_VLAN, 0);
		arrives(FRAME(in, TAG(.vlan = 6), IP4(), UDP(.dport = 9)), 0, WEIR_VLAN, 3);
		arrives(FRAME(in, TAG(.vlan = 6), ARP()), 0, WEIR_VLAN, 3);
		arrives(FRAME(in, TAG(.vlan = 5), TAG(.vlan = 5), IP4(), UDP(.dport = 9)), 0,
			WEIR_VLAN, 3);
		arrives(FRAME(in, TAG(.ethertype = 0x88a8, .vlan = 5), IP4(), UDP(.dport = 9)), 0,
			WEIR_VLAN, 3);
		arrives(FRAME(in, TAG(.ethertype = 0x88a8), TAG(.vlan = 5), IP4(), UDP(.dport = 9)),
			3, WEIR_VLAN, 0);
		arrives(FRAME(in, TAG(.repeat = 9), IP4(), UDP(.dport = 9)), 0, WEIR_VLAN, 3);
		arrives(FRAME(in, TAG(.vlan = 5), TAG(.repeat = 8), IP4(), UDP(.dport = 9)), 0,
			WEIR_VLAN, 3);
		if (modes[i])
			assert_int_equal(bpf_xdp_detach(world.nic, modes[i], NULL), 0);
	}
	bpf_tc_hook_destroy(&hook);
}

#define ELSEWHERE ETH(.bytes = "\2\0\0\0\0\x77", .nr_bytes = 6)
#define TO_OTHER(...)                                                           \
	({                                                                      \
		static struct frame _frame;                                     \
		frame_build((const struct layer[]){ELSEWHERE, __VA_ARGS__, {}}, \
			    ends_of(WEIR_HOOK_XDP), &_frame);                   \
		&_frame;                                                        \
	})

/* a sender that did not talk to us pays nothing, and we remember nothing of it. */
static void frames_for_others_leave_no_trace(void **state)
{
	const struct ends *in = ends_of(WEIR_HOOK_XDP);
	struct frame router;
	size_t flows;

	for (enum weir_hook hook = WEIR_HOOK_XDP; hook <= WEIR_HOOK_NIC_IN; hook++) {
		const struct hop hop = {.hook = hook};

		world_reset(state);
		policy(BASE "default: allow\ndeny: [{to: self, port: udp/7}]\n"
			    "limits: [{to: self, count: packets, rate: 1/hour}]\n");
		for (int i = 0; i < 5; i++)
			assert_passes(&hop, TO_OTHER(IP4(), UDP()));
		assert_drops(&hop, TO_OTHER(IP4(), UDP(.dport = 7)), WEIR_DENY);
		assert_passes(&hop, FRAME(in, IP4(), UDP()));
		assert_drops(&hop, FRAME(in, IP4(), UDP()), WEIR_LIMIT);
		/* not refused by what it would not be charged to, either */
		assert_passes(&hop, TO_OTHER(IP4(), UDP()));
		world.forwarding = true;
		policy(BASE DENY
		       "allow: [{from: 198.51.100.0/24, to: 192.0.2.0/24, port: udp/443}]\n");
		flows = flows_in_all();
		assert_passes(&hop, TO_OTHER(IP4(.dst = OUTSIDE4), UDP()));
		assert_int_equal(flows_in_all(), flows);
		assert_passes(&hop, FRAME(in, IP4(.dst = OUTSIDE4), UDP()));
		assert_int_equal(flows_in_all(), flows + 1);
		/* We may be the one that stands in for a router. */
		frame_build((const struct layer[]){ETH(.bytes = "\0\0\x5e\0\1\x07", .nr_bytes = 6),
						   IP4(.src = "198.51.100.98", .dst = OUTSIDE4),
						   UDP(),
						   {}},
			    in, &router);
		assert_passes(&hop, &router);
		assert_int_equal(flows_in_all(), ++flows + 1);
		/* A bridge's port carries what is for those behind it. */
		watch_paths(world.nic2, WEIR_ANTISPOOF_OFF, world.br, 0);
		assert_passes(AT(.hook = hook, .ifindex = world.nic2),
			      TO_OTHER(IP4(.src = "198.51.100.99", .dst = OUTSIDE4), UDP()));
		assert_int_equal(flows_in_all(), flows + 2);
		watch(world.nic2, WEIR_IF_NIC, -1);
	}
}

/* ---- link-local addresses ---- */

static void link_local_addresses_go_no_further(void **state)
{
	for (enum weir_hook hook = WEIR_HOOK_XDP; hook <= WEIR_HOOK_NIC_IN; hook++) {
		const struct ends *in = ends_of(hook);
		const struct hop hop = {.hook = hook}, port = {.hook = hook, .ifindex = world.nic2};

		world.forwarding = true;
		policy(BASE "default: allow\n");
		assert_drops(&hop, FRAME(in, IP4(.src = "169.254.1.2", .dst = OUTSIDE4), UDP()),
			     WEIR_MARTIAN_SOURCE);
		assert_drops(&hop, FRAME(in, IP4(.dst = "169.254.169.254"), UDP()),
			     WEIR_MARTIAN_DEST);
		assert_drops(&hop, FRAME(in, IP6(.src = "fe80::7", .dst = OUTSIDE6), UDP()),
			     WEIR_MARTIAN_SOURCE);
		assert_drops(&hop, FRAME(in, IP6(.dst = "fe80::99"), UDP()), WEIR_MARTIAN_DEST);
		assert_drops(&hop, FRAME(in, IP4(.src = "169.254.1.2", .dst = POD4), UDP()),
			     WEIR_MARTIAN_SOURCE);
		/* on the link: to this node, to groups */
		assert_passes(&hop, FRAME(in, IP4(.src = "169.254.1.2"), UDP()));
		assert_passes(&hop, FRAME(in, IP6(.src = "fe80::7", .dst = "fe80::a01"), UDP()));
		assert_passes(&hop, FRAME(in, IP6(.src = "fe80::7", .dst = "ff02::fb"), UDP()));
		assert_passes(&hop, FRAME(in, IP4(.src = "169.255.0.1", .dst = OUTSIDE4), UDP()));
		assert_passes(&hop, FRAME(in, IP6(.src = "fec0::7", .dst = OUTSIDE6), UDP()));
		/* through a bridge's port they stay on it */
		watch_paths(world.nic2, WEIR_ANTISPOOF_OFF, world.br, 0);
		assert_passes(&port, FRAME(in, IP6(.src = "fe80::7", .dst = "fe80::99"), UDP()));
		watch(world.nic2, WEIR_IF_NIC, -1);
		world.forwarding = false;
		policy(BASE "default: allow\n");
		assert_passes(&hop, FRAME(in, IP4(.dst = "169.254.169.254"), UDP()));
	}
}

static void link_local_addresses_do_not_leave_from_elsewhere(void **state)
{
	const struct ends *out = ends_of(WEIR_HOOK_NIC_OUT);
	const struct hop hop = {.hook = WEIR_HOOK_NIC_OUT, .arrived = world.other};

	open_everything();
	assert_drops(&hop, FRAME(out, IP4(.src = "169.254.1.2"), UDP()), WEIR_MARTIAN_SOURCE);
	assert_drops(&hop, FRAME(out, IP6(.src = "2001:db8:51::8", .dst = "fe80::99"), UDP()),
		     WEIR_MARTIAN_DEST);
	assert_passes(AT(.hook = WEIR_HOOK_NIC_OUT),
		      FRAME(out, IP4(.dst = "169.254.169.254"), UDP()));
}

/* ---- tunnels ---- */

/* H-2: the outer packet's peers and protocol; what is inside is judged where it comes out. */
static void tunnels_go_by_their_outer_header(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_XDP};
	const struct ends *in = ends_of(WEIR_HOOK_XDP);

	policy(BASE DENY "allow: [{from: " PEER4 ", to: self, port: proto/4}, "
			 "{from: \"" PEER6 "\", to: self, port: proto/41}]\n");
	assert_passes(&hop, FRAME(in, IP4(), IP4(.src = "203.0.113.1"), TCP(.flags = F_SYN)));
	assert_passes(&hop, FRAME(in, IP6(), IP6(), UDP()));
	assert_drops(&hop, FRAME(in, IP4(), IP6(), UDP()), WEIR_DEFAULT);
	assert_drops(&hop, FRAME(in, IP4(), DATA(4, .proto = 47)), WEIR_DEFAULT);
	assert_drops(&hop, FRAME(in, IP4(.src = "198.51.100.8"), IP4(), UDP()), WEIR_DEFAULT);
	assert_drops(&hop, FRAME(in, IP6(.src = "2001:db8:51::8"), IP6(), UDP()), WEIR_DEFAULT);
	/* The inner packet opens no port. */
	policy(BASE DENY "allow: [{to: self, port: tcp/443}]\n");
	assert_drops(&hop, FRAME(in, IP4(), IP4(), TCP(.flags = F_SYN)), WEIR_DEFAULT);
}

/* ---- NICs without an Ethernet header ---- */

static int open_tun(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	assert_int_equal(system("ip link set tun0 up && ip addr add 10.9.0.1/24 dev tun0 && "
				"ip addr add 2001:db8:9::1/64 dev tun0 nodad"),
			 0);
	return fd;
}

static void attach_tc(__u32 ifindex, enum bpf_tc_attach_point point, int program)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = 1, .prog_fd = program);
	int err = bpf_tc_hook_create(&hook);

	assert_true(err == 0 || err == -EEXIST);
	assert_int_equal(bpf_tc_attach(&hook, &opts), 0);
}

/* A tunnel's device: frames begin with the IP header. */
static void devices_without_ethernet_are_judged(void **state)
{
	const struct ends ends = {.src4 = "10.9.0.7",
				  .dst4 = "10.9.0.1",
				  .src6 = "2001:db8:9::7",
				  .dst6 = "2001:db8:9::1"};
	const struct frame in[] = {
	    *FRAME(&ends, IP4(), UDP(.dport = 9)), *FRAME(&ends, IP6(), UDP(.dport = 9)),
	    *FRAME(&ends, IP4(), UDP(.dport = 8)), *FRAME(&ends, IP6(), UDP(.dport = 8)),
	    *FRAME(&ends, IP6(), UDP(), SET16(4, 7))};
	int fd = open_tun("tun0"), sockets[2];
	__u32 tun;

	if (fd < 0)
		skip();
	tun = if_nametoindex("tun0");
	policy("interfaces: [tun0]\ndefault: deny\nfailsafe: []\nallow: [{to: self, port: udp/9}, "
	       "{from: self, to: any, port: udp/7}]\n");
	watch(tun, WEIR_IF_NIC, -1);
	counters_clear();
	attach_tc(tun, BPF_TC_INGRESS, bpf_program__fd(world.tc->progs.weir_l3_in));
	attach_tc(tun, BPF_TC_EGRESS, bpf_program__fd(world.tc->progs.weir_l3_out));
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		assert_int_equal(write(fd, in[i].byte + 14, in[i].len - 14), in[i].len - 14);
	wait_for(4);
	assert_int_equal(count_home(WEIR_HOME_SELF_IN).passed_packets, 2);
	assert_int_equal(count_home(WEIR_HOME_SELF_IN).dropped_packets, 2);
	assert_int_equal(count_reason(WEIR_BAD_LENGTH).dropped_packets, 1);
	for (int i = 0; i < 2; i++) {
		__u16 port = 0;

		sockets[0] = udp_socket(world.node_ns, "10.9.0.1", &port, "10.9.0.7", 7 + i);
		port = 0;
		sockets[1] =
		    udp_socket(world.node_ns, "2001:db8:9::1", &port, "2001:db8:9::7", 7 + i);
		for (int k = 0; k < 2; k++) {
			send(sockets[k], "x", 1, 0);
			close(sockets[k]);
		}
	}
	/* Two datagrams, and two errors about datagrams that passed and found no reader. */
	for (int i = 0; i < 200 && count_home(WEIR_HOME_SELF_OUT).passed_packets < 4; i++)
		usleep(10000); /* errors come from whichever CPU delivers */
	assert_int_equal(count_home(WEIR_HOME_SELF_OUT).passed_packets, 4);
	assert_int_equal(count_home(WEIR_HOME_SELF_OUT).dropped_packets, 2);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, world_reset)
	    TEST(from_outside_to_self),
	    TEST(from_self_to_outside),
	    TEST(from_outside_to_a_workload),
	    TEST(from_a_workload_to_outside),
	    TEST(from_a_workload_to_a_workload),
	    TEST(between_a_workload_and_self),
	    TEST(both_homes_of_a_veth_must_agree),
	    TEST(through_the_node),
	    TEST(through_the_node_from_where_nobody_watches),
	    TEST(a_watched_bridge_is_watched),
	    TEST(transit_has_its_own_default),
	    TEST(a_host_that_does_not_route_is_every_destination),
	    TEST(groups_at_a_nic_are_self),
	    TEST(groups_at_a_veth),
	    TEST(a_workload_speaks_for_itself),
	    TEST(a_workload_resolves_for_itself),
	    TEST(a_workload_without_an_address_may_only_report),
	    TEST(our_addresses_do_not_arrive_from_the_wire),
	    TEST(only_what_is_bound_enters),
	    TEST(without_a_binding_a_veth_is_closed),
	    TEST(masqueraded_answers_pass_by_their_entry),
	    TEST(masquerade_entries_end),
	    TEST(fragments_of_masqueraded_answers_pass),
	    TEST(masqueraded_from_an_unwatched_interface_is_transit),
	    TEST(a_masqueraded_source_is_nobody_at_a_veth),
	    TEST(large_frames_are_judged_whole),
	    TEST(xdp_marks_what_it_judged),
	    TEST(two_hooks_of_a_nic_judge_once),
	    TEST(vlans_are_the_policys_at_nics),
	    TEST(listed_vlans_are_judged),
	    TEST(out_of_band_tags_are_the_outermost),
	    TEST(frames_for_others_leave_no_trace),
	    TEST(link_local_addresses_go_no_further),
	    TEST(link_local_addresses_do_not_leave_from_elsewhere),
	    TEST(tunnels_go_by_their_outer_header),
	    TEST(devices_without_ethernet_are_judged),
	};

	world.l3 = true;
	return cmocka_run_group_tests(tests, world_setup, world_teardown) != 0;
}
