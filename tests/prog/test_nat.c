// SPDX-License-Identifier: GPL-2.0-only
/*
 * Behind NAT: real flows through nftables between the namespaces give conntrack its entries, then frames as the hooks
 * would see them go through the programs.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define BASE  "interfaces: [nic, nic2]\nworkloads: [wl, wl2]\n"
#define DENY  "default: deny\nfailsafe: []\n"
#define OUTS  "[" OUTSIDE4 ", \"" OUTSIDE6 "\"]"
#define PODS  "[" POD4 ", \"" POD6 "\"]"
#define PODS2 "[" POD2_4 ", \"" POD2_6 "\"]"
#define PEERS "[" PEER4 ", \"" PEER6 "\"]"

#define SECOND4	   "192.0.2.101"
#define SERVICE4   "198.51.100.53"
#define SERVICE6   "2001:db8:51::53"
#define HOME(name) (1U << WEIR_HOME_##name)

/*
 * Port 443 of this node is a workload's 5353 (UDP) or 8080 (TCP), which sees its clients masqueraded; port 9000 is one
 * outside; the service address is one outside for clients at ports below 30000, and the second workload for others.
 */
static const char RULES[] =
    "table inet t {\n"
    "  chain pre { type nat hook prerouting priority -100;\n"
    "    ip daddr 192.0.2.1 udp dport 443 dnat ip to 203.0.113.2:5353\n"
    "    ip daddr 192.0.2.1 tcp dport 443 dnat ip to 203.0.113.2:8080\n"
    "    ip6 daddr 2001:db8::1 udp dport 443 dnat ip6 to [2001:db8:77::2]:5353\n"
    "    ip6 daddr 2001:db8::1 tcp dport 443 dnat ip6 to [2001:db8:77::2]:8080\n"
    "    ip daddr 192.0.2.1 udp dport 9000 dnat ip to 192.0.2.100:5353\n"
    "    ip6 daddr 2001:db8::1 udp dport 9000 dnat ip6 to [2001:db8::100]:5353\n"
    "    ip daddr 198.51.100.53 udp sport < 30000 udp dport 53 dnat ip to 192.0.2.100:5353\n"
    "    ip6 daddr 2001:db8:51::53 udp sport < 30000 udp dport 53 dnat ip6 to [2001:db8::100]:5353\n"
    "    ip daddr 198.51.100.53 udp dport 53 dnat ip to 203.0.113.130:5353\n"
    "    ip6 daddr 2001:db8:51::53 udp dport 53 dnat ip6 to [2001:db8:78::2]:5353\n"
    "  }\n"
    "  chain post { type nat hook postrouting priority 100;\n"
    "    oifname \"wl\" masquerade\n"
    "    oifname \"nic\" ip saddr 203.0.113.0/25 masquerade\n"
    "    oifname \"nic\" ip6 saddr 2001:db8:77::/64 masquerade\n"
    "  }\n"
    "}\n";

static int nat_setup(void **state)
{
	cpu_set_t one;

	world_setup(state);
	if (!world.has_ct) {
		puts("this kernel has no bpf_skb_ct_lookup()");
		exit(77);
	}
	/* Later fragments follow the first on its CPU. */
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	shell("nft -f - <<'EOF'\n%sEOF\n", RULES);
	shell("ip route add " POD2_4 " dev wl2 && ip route add " POD2_6 " dev wl2");
	enter(world.outside_ns);
	shell("ip addr add " SECOND4 "/24 dev nicp");
	enter(world.node_ns);
	return 0;
}

static int reset(void **state)
{
	world_reset(state);
	world.forwarding = true;
	return 0;
}

/* ---- flows ---- */

/** struct flow - who opened it, and what its receiver sees. */
struct flow {
	int client, server, accepted;
	__u16 client_port, seen_port;
	char seen[INET6_ADDRSTRLEN];
};

static const char *of(int family, const char *v4, const char *v6)
{
	return family == 4 ? v4 : v6;
}

static void see(const struct sockaddr_storage *at, struct flow *flow)
{
	const struct sockaddr_in6 *v6 = (const void *)at;
	const struct sockaddr_in *v4 = (const void *)at;
	const void *address =
	    at->ss_family == AF_INET ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr;

	assert_non_null(inet_ntop(at->ss_family, address, flow->seen, sizeof(flow->seen)));
	flow->seen_port = ntohs(at->ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
}

static void wait_for(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	if (poll(&poll_fd, 1, 3000) != 1)
		fail_msg("nothing came");
}

/* A datagram from @client to @to, read by @server (none: it need not arrive). */
static void udp_flow(int client_ns, const char *client, const char *to, __u16 to_port,
		     int server_ns, const char *server, __u16 server_port, __u16 port,
		     struct flow *ret)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char byte;

	*ret = (struct flow){.client_port = port, .server = -1, .accepted = -1};
	if (server)
		ret->server = udp_socket(server_ns, server, &server_port, NULL, 0);
	ret->client = udp_socket(client_ns, client, &ret->client_port, to, to_port);
	assert_int_equal(send(ret->client, "x", 1, 0), 1);
	if (!server)
		return;
	wait_for(ret->server);
	assert_int_equal(recvfrom(ret->server, &byte, 1, 0, (void *)&from, &len), 1);
	see(&from, ret);
}

/* A connection from outside to port 443 of this node, which the workload accepts at 8080. */
static void tcp_flow(int family, struct flow *ret)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	__u16 port = 8080;

	*ret = (struct flow){};
	ret->server = tcp_listen(world.pod_ns, of(family, POD4, POD6), &port);
	ret->client = tcp_open(world.outside_ns, of(family, OUTSIDE4, OUTSIDE6),
			       of(family, SELF4, SELF6), 443, &ret->client_port);
	wait_for(ret->server);
	ret->accepted = accept4(ret->server, (void *)&from, &len, SOCK_CLOEXEC);
	assert_true(ret->accepted >= 0);
	see(&from, ret);
}

static void flow_close(struct flow *flow)
{
	close(flow->client);
	if (flow->server >= 0)
		close(flow->server);
	if (flow->accepted >= 0)
		close(flow->accepted);
}

/* From outside by port 443 to the workload's 5353. */
static void published_flow(int family, const char *client, struct flow *ret)
{
	udp_flow(world.outside_ns, client, of(family, SELF4, SELF6), 443, world.pod_ns,
		 of(family, POD4, POD6), 5353, 0, ret);
	assert_string_equal(ret->seen, of(family, "203.0.113.1", "2001:db8:77::1"));
}

/* ---- frames ---- */

static struct layer ip(int family, const char *src, const char *dst)
{
	return (struct layer){.kind = family == 4 ? LAYER_IP4 : LAYER_IP6, .src = src, .dst = dst};
}

static struct layer udp(__u16 sport, __u16 dport)
{
	return (struct layer)UDP(.sport = sport, .dport = dport);
}

static struct layer tcp(__u8 flags, __u16 sport, __u16 dport)
{
	return (struct layer)TCP(.flags = flags, .sport = sport, .dport = dport);
}

static const struct hop ENTERS = {.hook = WEIR_HOOK_WL_IN}, LEAVES = {.hook = WEIR_HOOK_WL_OUT};

/* As the workload is sent it. */
static const struct frame *entering(int family, const struct flow *flow)
{
	return FRAME(ends_of(WEIR_HOOK_WL_IN), ip(family, flow->seen, of(family, POD4, POD6)),
		     udp(flow->seen_port, 5353));
}

static const struct frame *answering(int family, const struct flow *flow)
{
	return FRAME(ends_of(WEIR_HOOK_WL_OUT), ip(family, of(family, POD4, POD6), flow->seen),
		     udp(5353, flow->seen_port));
}

static void judged_at(const struct hop *hop, const struct frame *frame, unsigned int homes)
{
	struct outcome found = run_frame(hop, frame);

	assert_string_equal(reason_name(found.reason), "ok");
	assert_true(found.pass);
	assert_int_equal(found.homes, homes);
	assert_int_equal(found.home_packets, __builtin_popcount(homes));
}

static void assert_address(const struct weir_addr *found, const char *wanted)
{
	struct weir_addr address = {.byte = {[10] = 0xff, [11] = 0xff}};

	if (strchr(wanted, ':'))
		inet_pton(AF_INET6, wanted, &address);
	else
		inet_pton(AF_INET, wanted, address.byte + 12);
	assert_memory_equal(found, &address, sizeof(address));
}

#define EACH_FAMILY(family) for (int family = 4; family <= 6; family += 2)

/* ---- who is behind an address of ours ---- */

#define FROM_OUTSIDE \
	BASE DENY "allow: [{from: " OUTS ", to: " PODS ", port: [udp/5353, tcp/8080]}]\n"
#define FROM_PEERS \
	BASE DENY "allow: [{from: " PEERS ", to: " PODS ", port: [udp/5353, tcp/8080]}]\n"

static void a_masqueraded_client_is_judged_as_himself(void **state)
{
	struct flow flow;

	EACH_FAMILY(family)
	{
		published_flow(family, of(family, OUTSIDE4, OUTSIDE6), &flow);
		policy(FROM_OUTSIDE);
		judged_at(&ENTERS, entering(family, &flow), HOME(WORKLOAD_IN));
		policy(FROM_PEERS);
		assert_drops(&ENTERS, entering(family, &flow), WEIR_DEFAULT);
		policy(BASE "default: allow\ndeny: [{from: " OUTS ", to: workloads}]\n");
		assert_drops(&ENTERS, entering(family, &flow), WEIR_DENY);
		policy(BASE "default: allow\nblock: " OUTS "\n");
		assert_drops(&ENTERS, entering(family, &flow), WEIR_BLOCK_LIST);
		flow_close(&flow);
	}
}

static void a_masqueraded_connection_is_judged_as_its_client(void **state)
{
	struct flow flow;

	EACH_FAMILY(family)
	{
		const char *pod = of(family, POD4, POD6);

		tcp_flow(family, &flow);
		for (int syn = 0; syn < 2; syn++) {
			const struct frame *in =
			    FRAME(ends_of(WEIR_HOOK_WL_IN), ip(family, flow.seen, pod),
				  tcp(syn ? F_SYN : F_ACK, flow.seen_port, 8080));

			policy(FROM_OUTSIDE);
			judged_at(&ENTERS, in, HOME(WORKLOAD_IN));
			policy(FROM_PEERS);
			assert_drops(&ENTERS, in, WEIR_DEFAULT);
		}
		policy(FROM_OUTSIDE);
		judged_at(&LEAVES,
			  FRAME(ends_of(WEIR_HOOK_WL_OUT), ip(family, pod, flow.seen),
				tcp(F_SYN | F_ACK, 8080, flow.seen_port)),
			  HOME(WORKLOAD_OUT));
		flow_close(&flow);
	}
}

static void limits_know_clients_behind_one_address(void **state)
{
	struct flow one, other;

	published_flow(4, OUTSIDE4, &one);
	flow_close(&one);
	published_flow(4, OUTSIDE4, &one);
	close(one.server);
	one.server = -1;
	published_flow(4, SECOND4, &other);
	policy(BASE "default: allow\nlimits: [{name: few, to: workloads, port: udp/5353, count: "
		    "packets, rate: 1/hour, burst: 1}]\n");
	for (int i = 0; i < 2; i++) {
		assert_passes(&ENTERS, entering(4, &one));
		assert_passes(&ENTERS, entering(4, &other));
	}
	assert_drops(&ENTERS, entering(4, &one), WEIR_LIMIT);
	assert_drops(&ENTERS, entering(4, &other), WEIR_LIMIT);
	/* Somebody else at that address is not them. */
	assert_passes(&ENTERS,
		      FRAME(ends_of(WEIR_HOOK_WL_IN), ip(4, one.seen, POD4), udp(1, 5353)));
	flow_close(&one);
	flow_close(&other);
}

static void a_blocked_client_is_blocked_behind_an_address_of_ours(void **state)
{
	struct flow one, other;

	published_flow(4, OUTSIDE4, &one);
	close(one.server);
	one.server = -1;
	published_flow(4, SECOND4, &other);
	policy(BASE "default: allow\n");
	block(OUTSIDE4, 32, 0);
	assert_drops(&ENTERS, entering(4, &one), WEIR_BLOCKED);
	assert_passes(&ENTERS, entering(4, &other));
	/* Its answers end as well. */
	assert_drops(&LEAVES, answering(4, &one), WEIR_BLOCKED);
	assert_passes(&LEAVES, answering(4, &other));
	flow_close(&one);
	flow_close(&other);
}

static void events_name_the_client_and_show_the_packet(void **state)
{
	static struct events events;
	struct flow flow;

	EACH_FAMILY(family)
	{
		published_flow(family, of(family, OUTSIDE4, OUTSIDE6), &flow);
		policy(FROM_PEERS);
		events_open(&events);
		assert_drops(&ENTERS, entering(family, &flow), WEIR_DEFAULT);
		assert_drops(&LEAVES, answering(family, &flow), WEIR_DEFAULT);
		events_drain(&events);
		assert_int_equal(events.n, 2);
		assert_address(&events.event[0].client, of(family, OUTSIDE4, OUTSIDE6));
		assert_address(&events.event[0].source, flow.seen);
		assert_address(&events.event[0].destination, of(family, POD4, POD6));
		assert_address(&events.event[1].source, of(family, POD4, POD6));
		assert_address(&events.event[1].destination, flow.seen);
		events_close(&events);
		flow_close(&flow);
		world.control->fake_ns += 86400 * S_NS;
	}
}

static void of_whom_nobody_knows_only_any_is_said(void **state)
{
	const struct ends *ends = ends_of(WEIR_HOOK_WL_IN);
	struct flow flow;

	published_flow(4, OUTSIDE4, &flow);
	for (int any = 0; any < 2; any++) {
		enum weir_reason why = any ? WEIR_OK : WEIR_DEFAULT;

		policy(any ? BASE DENY
			   "allow: [{to: workloads, port: [udp/5353, icmp, sctp/8080]}]\n"
			   : BASE DENY "allow: [{from: [" OUTSIDE4 ", 203.0.113.0/24, self, "
				       "workloads], to: workloads, port: [udp/5353, icmp, "
				       "sctp/8080]}]\n");
		/* Another port, another protocol: not of that flow. */
		assert_outcome(&ENTERS,
			       FRAME(ends, ip(4, flow.seen, POD4), udp(flow.seen_port + 1, 5353)),
			       why, __FILE__, __LINE__);
		assert_outcome(&ENTERS, FRAME(ends, ip(4, flow.seen, POD4), ICMP(.type = 8)), why,
			       __FILE__, __LINE__);
		assert_outcome(&ENTERS,
			       FRAME(ends, ip(4, flow.seen, POD4), SCTP(.dport = 8080),
				     BYTES("\1\0\0\24"), DATA(16)),
			       why, __FILE__, __LINE__);
	}
	flow_close(&flow);
}

static void a_client_that_stopped_is_nobody_behind_nat_too(void **state)
{
	struct flow flow;

	published_flow(4, OUTSIDE4, &flow);
	policy(BASE "default: allow\n");
	bind_local(OUTSIDE4, 0, WEIR_OTHER, 0, WEIR_LOCAL_GONE);
	assert_drops(&ENTERS, entering(4, &flow), WEIR_SPOOFED);
	unbind_local(OUTSIDE4, 0);
	assert_passes(&ENTERS, entering(4, &flow));
	bind_local(OUTSIDE4, 0, WEIR_OTHER, 0, WEIR_LOCAL_GONE);
	assert_drops(&LEAVES, answering(4, &flow), WEIR_NOT_BOUND);
	unbind_local(OUTSIDE4, 0);
	flow_close(&flow);
}

/* ---- answers ---- */

static void a_workload_answers_whom_it_does_not_see(void **state)
{
	struct flow flow;

	EACH_FAMILY(family)
	{
		published_flow(family, of(family, OUTSIDE4, OUTSIDE6), &flow);
		policy(FROM_OUTSIDE);
		world.control->behind = 0;
		assert_drops(&LEAVES, answering(family, &flow), WEIR_DEFAULT);
		assert_passes(&ENTERS, entering(family, &flow));
		assert_int_equal(world.control->behind, 1);
		judged_at(&LEAVES, answering(family, &flow), HOME(WORKLOAD_OUT));
		/* That flow's answers only, and no opening. */
		assert_drops(&LEAVES,
			     FRAME(ends_of(WEIR_HOOK_WL_OUT),
				   ip(family, of(family, POD4, POD6), flow.seen),
				   udp(5353, flow.seen_port + 1)),
			     WEIR_DEFAULT);
		policy(FROM_PEERS);
		assert_drops(&LEAVES, answering(family, &flow), WEIR_DEFAULT);
		flow_close(&flow);
	}
}

/* An answer of a port that is open by default: only to what was seen. */
static void an_answer_from_a_port_that_no_rule_names_needs_its_question(void **state)
{
	struct flow flow;

	published_flow(4, OUTSIDE4, &flow);
	policy(BASE "default: {ingress: deny, egress: deny}\nallow: [{from: " OUTS
		    ", to: workloads}]\n");
	world.control->behind = 1;
	assert_drops(&LEAVES, answering(4, &flow), WEIR_DEFAULT);
	assert_passes(&ENTERS, entering(4, &flow));
	assert_int_equal(flows_of(WEIR_FLOW_ANSWER), 1);
	judged_at(&LEAVES, answering(4, &flow), HOME(WORKLOAD_OUT));
	flow_close(&flow);
}

/* What a workload asked of an address of ours comes back from there, whoever answered. */
static void answers_of_an_address_of_ours_that_leads_elsewhere(void **state)
{
	const struct ends *in = ends_of(WEIR_HOOK_WL_IN), *out = ends_of(WEIR_HOOK_WL_OUT);
	struct flow flow;

	EACH_FAMILY(family)
	{
		const char *pod = of(family, POD4, POD6), *self = of(family, SELF4, SELF6);

		udp_flow(world.pod_ns, pod, self, 9000, world.outside_ns,
			 of(family, OUTSIDE4, OUTSIDE6), 5353, 0, &flow);
		flow_close(&flow); /* its socket would answer for it */
		policy(BASE DENY "allow: [{from: " PODS ", to: self, port: udp/9000}]\n");
		assert_drops(&ENTERS, FRAME(in, ip(family, self, pod), udp(9000, flow.client_port)),
			     WEIR_DEFAULT);
		judged_at(&LEAVES, FRAME(out, ip(family, pod, self), udp(flow.client_port, 9000)),
			  HOME(WORKLOAD_OUT) | HOME(SELF_IN));
		judged_at(&ENTERS, FRAME(in, ip(family, self, pod), udp(9000, flow.client_port)),
			  HOME(WORKLOAD_IN));
		assert_drops(&ENTERS, FRAME(in, ip(family, self, pod), udp(9001, flow.client_port)),
			     WEIR_DEFAULT);
		policy(BASE DENY "allow: [{from: " PODS ", to: " OUTS "}]\n");
		assert_drops(&ENTERS, FRAME(in, ip(family, self, pod), udp(9000, flow.client_port)),
			     WEIR_DEFAULT);
	}
}

/* ---- fragments ---- */

static void later_fragments_belong_to_whom_the_first_does(void **state)
{
	const struct ends *in = ends_of(WEIR_HOOK_WL_IN), *out = ends_of(WEIR_HOOK_WL_OUT);
	struct flow flow;

#define LATER4(from, to, number) \
	IP4(.src = from, .dst = to, .fragment = 100, .id = number), DATA(64, .proto = 17)
#define FIRST4(from, to, number, sport, dport) \
	IP4(.src = from, .dst = to, .fragment = 0x2000, .id = number), udp(sport, dport), DATA(64)
	published_flow(4, OUTSIDE4, &flow);
	policy(FROM_OUTSIDE);
	assert_drops(&ENTERS, FRAME(in, LATER4(flow.seen, POD4, 1)), WEIR_DEFAULT);
	judged_at(&ENTERS, FRAME(in, FIRST4(flow.seen, POD4, 1, flow.seen_port, 5353)),
		  HOME(WORKLOAD_IN));
	judged_at(&ENTERS, FRAME(in, LATER4(flow.seen, POD4, 1)), HOME(WORKLOAD_IN));
	assert_drops(&ENTERS, FRAME(in, LATER4(flow.seen, POD4, 2)), WEIR_DEFAULT);
	judged_at(&LEAVES, FRAME(out, FIRST4(POD4, flow.seen, 9, 5353, flow.seen_port)),
		  HOME(WORKLOAD_OUT));
	judged_at(&LEAVES, FRAME(out, LATER4(POD4, flow.seen, 9)), HOME(WORKLOAD_OUT));
	assert_drops(&LEAVES, FRAME(out, LATER4(POD4, flow.seen, 10)), WEIR_DEFAULT);
	/* Of a first fragment of nobody's, the rest is nobody's. */
	assert_drops(&ENTERS, FRAME(in, FIRST4(flow.seen, POD4, 1, flow.seen_port + 1, 5353)),
		     WEIR_DEFAULT);
	assert_drops(&ENTERS, FRAME(in, LATER4(flow.seen, POD4, 1)), WEIR_DEFAULT);
	flow_close(&flow);

	published_flow(6, OUTSIDE6, &flow);
	judged_at(&ENTERS,
		  FRAME(in, ip(6, flow.seen, POD6), FRAGMENT(.fragment = 1, .id = 5),
			udp(flow.seen_port, 5353), DATA(64)),
		  HOME(WORKLOAD_IN));
	judged_at(&ENTERS,
		  FRAME(in, ip(6, flow.seen, POD6), FRAGMENT(.fragment = 72, .id = 5),
			DATA(64, .proto = 17)),
		  HOME(WORKLOAD_IN));
	assert_drops(&ENTERS,
		     FRAME(in, ip(6, flow.seen, POD6), FRAGMENT(.fragment = 72, .id = 6),
			   DATA(64, .proto = 17)),
		     WEIR_DEFAULT);
	flow_close(&flow);
}

/* ---- NICs ---- */

static void answers_of_a_published_port_leave_no_entry(void **state)
{
	const struct ends *ends = ends_of(WEIR_HOOK_NIC_OUT);
	const struct hop hop = {.hook = WEIR_HOOK_NIC_OUT, .arrived = world.wl};
	struct flow flow;

	policy(BASE DENY "allow: [{to: self, port: [tcp/443, udp/443]}]\n");
	for (__u16 port = 1000; port < 1100; port++) {
		assert_passes(&hop,
			      FRAME(ends, ip(4, SELF4, PEER4), tcp(F_SYN | F_ACK, 443, port)));
		assert_passes(&hop, FRAME(ends, ip(6, SELF6, PEER6), udp(443, port)));
	}
	assert_int_equal(flows_in_all(), 0);
	/* Open by a default: conntrack knows what answers. */
	policy(BASE "default: allow\n");
	published_flow(4, OUTSIDE4, &flow);
	assert_passes(&hop, FRAME(ends, ip(4, SELF4, OUTSIDE4), udp(443, flow.client_port)));
	assert_int_equal(flows_in_all(), 0);
	assert_passes(&hop, FRAME(ends, ip(4, SELF4, OUTSIDE4), udp(444, flow.client_port)));
	assert_int_equal(flows_of(WEIR_FLOW_MASQ), 1);
	flow_close(&flow);
}

/* Path MTU: the sockets of a published port's connections are not this node's. */
static void errors_about_a_published_port_find_its_connection(void **state)
{
	struct flow flow;

#define TOO_BIG(family) \
	family == 4 ? (struct layer)ICMP(.type = 3, .code = 4) : (struct layer)ICMP6(.type = 2)
	EACH_FAMILY(family)
	{
		const char *self = of(family, SELF4, SELF6);
		const char *outside = of(family, OUTSIDE4, OUTSIDE6);

		tcp_flow(family, &flow);
		for (enum weir_hook hook = WEIR_HOOK_XDP; hook <= WEIR_HOOK_NIC_IN; hook++) {
			const struct hop hop = {.hook = hook};
			const struct frame *error =
			    FRAME(ends_of(hook), ip(family, NULL, NULL), TOO_BIG(family),
				  ip(family, self, outside), tcp(F_ACK, 443, flow.client_port));

			policy(BASE DENY "allow: [{from: " OUTS ", to: self, port: tcp/443}]\n");
			assert_passes(&hop, error);
			assert_drops(&hop,
				     FRAME(ends_of(hop.hook), ip(family, NULL, NULL),
					   TOO_BIG(family), ip(family, self, outside),
					   tcp(F_ACK, 443, flow.client_port + 1)),
				     WEIR_ICMP_ERROR);
			policy(BASE DENY "allow: [{from: " PEERS ", to: self, port: tcp/443}]\n");
			assert_drops(&hop, error, WEIR_ICMP_ERROR);
		}
		flow_close(&flow);
	}
}

static void what_is_masqueraded_leaves_an_entry(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_NIC_OUT, .arrived = world.wl};
	struct flow flow;

	EACH_FAMILY(family)
	{
		const char *self = of(family, SELF4, SELF6);
		const char *outside = of(family, OUTSIDE4, OUTSIDE6);

		udp_flow(world.pod_ns, of(family, POD4, POD6), outside, 7777, world.outside_ns,
			 outside, 7777, 0, &flow);
		assert_string_equal(flow.seen, self);
		policy(BASE "default: {ingress: allow, egress: allow}\n");
		judged_at(&hop,
			  FRAME(ends_of(WEIR_HOOK_NIC_OUT), ip(family, self, outside),
				udp(flow.seen_port, 7777)),
			  0);
		assert_int_equal(flows_of(WEIR_FLOW_MASQ), family == 4 ? 1 : 2);
		flow_close(&flow);
	}
}

/* Where nobody watches the veth, the NIC judges who was masqueraded. */
static void an_unwatched_sender_is_judged_as_himself_where_it_leaves(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_NIC_OUT, .arrived = world.other};
	struct flow flow;

	EACH_FAMILY(family)
	{
		const char *self = of(family, SELF4, SELF6);
		const char *outside = of(family, OUTSIDE4, OUTSIDE6);
		const struct frame *frame;

		udp_flow(world.pod_ns, of(family, POD4, POD6), outside, 7777, world.outside_ns,
			 outside, 7777, 0, &flow);
		frame = FRAME(ends_of(WEIR_HOOK_NIC_OUT), ip(family, self, outside),
			      udp(flow.seen_port, 7777));
		policy(BASE DENY "allow: [{from: " PODS ", to: " OUTS ", port: udp/7777}]\n");
		judged_at(&hop, frame, HOME(FORWARD));
		policy(BASE DENY "allow: [{from: " PODS2 ", to: " OUTS ", port: udp/7777}, {from: ["
				 "192.0.2.0/24, \"2001:db8::/64\"], to: any}]\n");
		assert_drops(&hop, frame, WEIR_DEFAULT);
		/* Of whom nobody knows: no segment's. */
		assert_drops(&hop,
			     FRAME(ends_of(WEIR_HOOK_NIC_OUT), ip(family, self, outside),
				   udp(flow.seen_port + 1, 7777)),
			     WEIR_DEFAULT);
		flow_close(&flow);
	}
}

static void an_unwatched_port_answers_whom_the_node_lets_in(void **state)
{
	const struct hop hop = {.hook = WEIR_HOOK_NIC_OUT, .arrived = world.other};
	struct flow flow;

	EACH_FAMILY(family)
	{
		const struct frame *frame;

		published_flow(family, of(family, OUTSIDE4, OUTSIDE6), &flow);
		frame = FRAME(ends_of(WEIR_HOOK_NIC_OUT),
			      ip(family, of(family, SELF4, SELF6), of(family, OUTSIDE4, OUTSIDE6)),
			      udp(443, flow.client_port));
		policy(BASE DENY "allow: [{from: " OUTS ", to: self, port: udp/443}]\n");
		judged_at(&hop, frame, HOME(FORWARD));
		assert_int_equal(flows_in_all(), 0);
		policy(BASE DENY "allow: [{from: " PEERS ", to: self, port: udp/443}]\n");
		assert_drops(&hop, frame, WEIR_DEFAULT);
		flow_close(&flow);
	}
}

/* ---- service addresses ---- */

#define SERVICE_OF(rules)                                                                        \
	BASE "default: {ingress: allow, egress: deny}\nfailsafe: []\n"                           \
	     "services: [{address: " SERVICE4 ", port: udp/53, endpoints: [\"" OUTSIDE4          \
	     ":5353\", \"" POD2_4 ":5353\"]}, {address: \"" SERVICE6                             \
	     "\", port: udp/53, endpoints: [\"[" OUTSIDE6 "]:5353\", \"[" POD2_6 "]:5353\"]}]\n" \
	     "allow: [" rules "]\n"
#define TO_OUTSIDE  "{from: " PODS ", to: " OUTS ", port: udp/5353}"
#define TO_POD2	    "{from: " PODS ", to: " PODS2 ", port: udp/5353}"
#define TO_SERVICE  "{from: " PODS ", to: [" SERVICE4 ", \"" SERVICE6 "\"], port: udp/53}"
#define TO_WORKLOAD 40000 /* client ports that NAT leads to the second workload, and outside */
#define TO_OUT	    20000

static void service_flow(int family, __u16 port, struct flow *ret)
{
	int outside = port < 30000;

	udp_flow(world.pod_ns, of(family, POD4, POD6), of(family, SERVICE4, SERVICE6), 53,
		 world.outside_ns, outside ? of(family, OUTSIDE4, OUTSIDE6) : NULL, 5353, port,
		 ret);
}

static const struct frame *asking(int family, __u16 port)
{
	return FRAME(ends_of(WEIR_HOOK_WL_OUT),
		     ip(family, of(family, POD4, POD6), of(family, SERVICE4, SERVICE6)),
		     udp(port, 53));
}

static void a_service_is_judged_where_its_endpoint_shows(void **state)
{
	const struct hop pod2 = {
	    .hook = WEIR_HOOK_WL_IN, .ifindex = world.wl2, .arrived = world.wl};
	const struct hop nic = {.hook = WEIR_HOOK_NIC_OUT, .arrived = world.wl};

	EACH_FAMILY(family)
	{
		struct flow out, in;
		const struct frame *to_pod2, *to_outside;

		service_flow(family, TO_OUT, &out);
		service_flow(family, TO_WORKLOAD, &in);
		to_pod2 = FRAME(ends_of(WEIR_HOOK_WL_IN),
				ip(family, of(family, POD4, POD6), of(family, POD2_4, POD2_6)),
				udp(TO_WORKLOAD, 5353));
		to_outside = FRAME(ends_of(WEIR_HOOK_NIC_OUT),
				   ip(family, out.seen, of(family, OUTSIDE4, OUTSIDE6)),
				   udp(out.seen_port, 5353));
		/* One endpoint: the packet passes to the service, and to that endpoint. */
		policy(SERVICE_OF(TO_OUTSIDE));
		judged_at(&LEAVES, asking(family, TO_OUT), HOME(WORKLOAD_OUT));
		judged_at(&LEAVES, asking(family, TO_WORKLOAD), HOME(WORKLOAD_OUT));
		judged_at(&nic, to_outside, 0);
		assert_drops(&pod2, to_pod2, WEIR_DEFAULT);
		policy(SERVICE_OF(TO_POD2));
		judged_at(&LEAVES, asking(family, TO_OUT), HOME(WORKLOAD_OUT));
		assert_drops(&nic, to_outside, WEIR_DEFAULT);
		judged_at(&pod2, to_pod2, HOME(WORKLOAD_IN));
		/* All of them, or none: that is said at once. */
		policy(SERVICE_OF(TO_OUTSIDE ", " TO_POD2));
		judged_at(&LEAVES, asking(family, TO_OUT), HOME(WORKLOAD_OUT));
		judged_at(&nic, to_outside, 0);
		judged_at(&pod2, to_pod2, HOME(WORKLOAD_IN));
		policy(SERVICE_OF(""));
		assert_drops(&LEAVES, asking(family, TO_OUT), WEIR_DEFAULT);
		/* A rule about the address itself decides, also where one for another client waits. */
		policy(SERVICE_OF(TO_SERVICE ", {from: " PODS2 ", to: " OUTS ", port: udp/5353}"));
		judged_at(&LEAVES, asking(family, TO_OUT), HOME(WORKLOAD_OUT));
		judged_at(&nic, to_outside, 0);
		judged_at(&pod2, to_pod2, HOME(WORKLOAD_IN));
		flow_close(&out);
		flow_close(&in);
	}
}

static void the_rest_of_a_policy_with_services_is_as_without(void **state)
{
	const struct hop pod2 = {
	    .hook = WEIR_HOOK_WL_IN, .ifindex = world.wl2, .arrived = world.wl};
	const struct hop nic = {.hook = WEIR_HOOK_NIC_OUT, .arrived = world.wl};
	const struct ends *in = ends_of(WEIR_HOOK_WL_IN), *out = ends_of(WEIR_HOOK_NIC_OUT);
	struct flow flow;

	policy(SERVICE_OF(TO_OUTSIDE));
	/* Not translated: whoever refused it did so where it came in. What answers is no opening. */
	assert_passes(&pod2, FRAME(in, ip(4, POD4, POD2_4), udp(5353, 1000)));
	assert_passes(&pod2, FRAME(in, ip(4, POD4, POD2_4), ICMP(.type = 0)));
	assert_drops(&pod2, FRAME(in, ip(4, POD4, POD2_4), tcp(F_SYN, 40000, 5353)), WEIR_DEFAULT);
	assert_passes(&nic, FRAME(out, ip(4, POD4, PEER4), udp(5353, 1000)));
	assert_drops(&nic, FRAME(out, ip(4, POD4, PEER4), tcp(F_SYN, 40000, 5353)), WEIR_DEFAULT);
	/* An answer of the second workload to the first. */
	udp_flow(world.pod_ns, POD4, POD2_4, 5353, 0, NULL, 0, 0, &flow);
	assert_passes(AT(.hook = WEIR_HOOK_WL_IN, .arrived = world.wl2),
		      FRAME(in, ip(4, POD2_4, POD4), udp(5353, flow.client_port)));
	flow_close(&flow);
}

static void answers_of_a_service_pass_at_its_clients_veth(void **state)
{
	const struct ends *ends = ends_of(WEIR_HOOK_WL_IN);

	EACH_FAMILY(family)
	{
		const struct frame *answer =
		    FRAME(ends, ip(family, of(family, SERVICE4, SERVICE6), of(family, POD4, POD6)),
			  udp(53, TO_OUT));
		struct flow flow;

		service_flow(family, TO_OUT, &flow);
		flow_close(&flow); /* its socket would answer for it */
		policy(BASE "default: deny\nfailsafe: []\nservices: [{address: " SERVICE4
			    ", port: udp/53, endpoints: [\"" OUTSIDE4 ":5353\", \"" POD2_4
			    ":5353\"]}, {address: \"" SERVICE6
			    "\", port: udp/53, endpoints: [\"[" OUTSIDE6 "]:5353\", \"[" POD2_6
			    "]:5353\"]}]\nallow: [" TO_OUTSIDE "]\n");
		assert_drops(&ENTERS, answer, WEIR_DEFAULT);
		assert_passes(&LEAVES, asking(family, TO_OUT));
		judged_at(&ENTERS, answer, HOME(WORKLOAD_IN));
	}
}

#define TEST(f) cmocka_unit_test_setup(f, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_masqueraded_client_is_judged_as_himself),
	    TEST(a_masqueraded_connection_is_judged_as_its_client),
	    TEST(limits_know_clients_behind_one_address),
	    TEST(a_blocked_client_is_blocked_behind_an_address_of_ours),
	    TEST(events_name_the_client_and_show_the_packet),
	    TEST(of_whom_nobody_knows_only_any_is_said),
	    TEST(a_client_that_stopped_is_nobody_behind_nat_too),
	    TEST(a_workload_answers_whom_it_does_not_see),
	    TEST(an_answer_from_a_port_that_no_rule_names_needs_its_question),
	    TEST(answers_of_an_address_of_ours_that_leads_elsewhere),
	    TEST(later_fragments_belong_to_whom_the_first_does),
	    TEST(answers_of_a_published_port_leave_no_entry),
	    TEST(errors_about_a_published_port_find_its_connection),
	    TEST(what_is_masqueraded_leaves_an_entry),
	    TEST(an_unwatched_sender_is_judged_as_himself_where_it_leaves),
	    TEST(an_unwatched_port_answers_whom_the_node_lets_in),
	    TEST(a_service_is_judged_where_its_endpoint_shows),
	    TEST(the_rest_of_a_policy_with_services_is_as_without),
	    TEST(answers_of_a_service_pass_at_its_clients_veth),
	};

	return cmocka_run_group_tests(tests, nat_setup, world_teardown);
}
