// SPDX-License-Identifier: GPL-2.0-only
/* Replies and continuations: sockets for TCP, entries for the rest, and what neither covers. */
#include "harness.h"

#include <unistd.h>

#define BASE	"interfaces: [nic, nic2]\nworkloads: [wl, wl2]\nfailsafe: []\n"
#define OUTWARD BASE "default: {ingress: deny, egress: allow}\n"
#define INWARD	BASE "default: {ingress: allow, egress: deny}\n"
#define CLOSED	BASE "default: deny\n"

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

static void seconds_pass(unsigned int s)
{
	world.control->fake_ns += s * S_NS;
}

static void the_same_link_local_address_on_two_links_is_two_workloads(void **state)
{
	const struct hop first = {.hook = WEIR_HOOK_WL_IN, .ifindex = world.wl, .arrived = -1U};
	const struct hop second = {.hook = WEIR_HOOK_WL_IN, .ifindex = world.wl2, .arrived = -1U};
	const struct ends *leaving = ends_of(WEIR_HOOK_WL_OUT);
	const struct ends *entering = ends_of(WEIR_HOOK_WL_IN);
	const char *pod = "fe80::42", *host = "fe80::1";
	const struct frame *asks =
	    FRAME(leaving, IP6(.src = pod, .dst = host), UDP(.sport = 4000, .dport = 53));
	const struct frame *answer =
	    FRAME(entering, IP6(.src = host, .dst = pod), UDP(.sport = 53, .dport = 4000));
	const __u32 link[] = {world.wl, world.wl2};

	for (int i = 0; i < 2; i++) {
		bind_local(pod, link[i], WEIR_WORKLOAD, link[i], 0);
		bind_local(host, link[i], WEIR_SELF, 0, 0);
	}
	policy(OUTWARD "allow: [{from: workloads, port: udp/53}]\n");
	assert_passes(AT(.hook = WEIR_HOOK_WL_OUT, .ifindex = world.wl), asks);
	assert_passes(&first, answer);
	assert_drops(&second, answer, WEIR_DEFAULT);
	for (int i = 0; i < 2; i++) {
		unbind_local(pod, link[i]);
		unbind_local(host, link[i]);
	}
}

/* ---- TCP ---- */

/* A segment of a real connection, as it passes a hook: to the local end, or from it. */
static const struct frame *segment(const struct pair *pair, bool opened_here, bool arriving,
				   const char *local, const char *remote, __u8 flags)
{
	__u16 lport = opened_here ? pair->client_port : pair->server_port;
	__u16 rport = opened_here ? pair->server_port : pair->client_port;
	const char *src = arriving ? remote : local, *dst = arriving ? local : remote;
	__u16 sport = arriving ? rport : lport, dport = arriving ? lport : rport;
	const struct ends *ends = ends_of(WEIR_HOOK_XDP);

	if (strchr(src, ':'))
		return FRAME(ends, IP6(.src = src, .dst = dst),
			     TCP(.sport = sport, .dport = dport, .flags = flags));
	return FRAME(ends, IP4(.src = src, .dst = dst),
		     TCP(.sport = sport, .dport = dport, .flags = flags));
}

struct family {
	const char *self, *outside, *pod;
};
static const struct family FAMILIES[] = {{SELF4, OUTSIDE4, POD4}, {SELF6, OUTSIDE6, POD6}};

static void tcp_opened_from_inside(void **state)
{
	for (int f = 0; f < 2; f++) {
		const struct family *a = &FAMILIES[f];
		struct pair pair;

		tcp_connect(world.outside_ns, a->outside, world.node_ns, a->self, &pair);
#define ARRIVES(flags) segment(&pair, true, true, a->self, a->outside, flags)
#define LEAVES(flags)  segment(&pair, true, false, a->self, a->outside, flags)
		policy(OUTWARD);
		assert_passes(&XDP, ARRIVES(F_SYN | F_ACK));
		assert_passes(&NIC_IN, ARRIVES(F_ACK));
		assert_passes(&XDP, ARRIVES(F_RST));
		assert_passes(&NIC_OUT, LEAVES(F_ACK | F_PSH));
		/* A SYN on that tuple is judged as what it is. */
		assert_drops(&XDP, ARRIVES(F_SYN), WEIR_DEFAULT);
		assert_passes(&NIC_OUT, LEAVES(F_SYN));
		/* However long it was idle. */
		seconds_pass(100 * 3600);
		assert_passes(&XDP, ARRIVES(F_ACK));
		/* The policy in force judges the direction that it was opened in. */
		policy(INWARD);
		assert_drops(&XDP, ARRIVES(F_ACK), WEIR_DEFAULT);
		assert_drops(&NIC_OUT, LEAVES(F_ACK), WEIR_DEFAULT);
		policy(CLOSED);
		assert_drops(&XDP, ARRIVES(F_ACK), WEIR_DEFAULT);
		assert_drops(&NIC_OUT, LEAVES(F_ACK), WEIR_DEFAULT);
		policy(CLOSED "allow: [{from: self, to: any, port: tcp/1-65535}]\n"
			      "deny: [{from: self, to: [\"192.0.2.0/24\", \"2001:db8::/64\"]}]\n");
		assert_drops(&XDP, ARRIVES(F_ACK), WEIR_DENY);
		assert_drops(&NIC_OUT, LEAVES(F_ACK), WEIR_DENY);
		pair_close(&pair);
	}
	assert_int_equal(flows_in_all(), 0);
}

static void tcp_opened_from_outside(void **state)
{
	for (int f = 0; f < 2; f++) {
		const struct family *a = &FAMILIES[f];
		struct pair pair;

		tcp_connect(world.node_ns, a->self, world.outside_ns, a->outside, &pair);
#undef ARRIVES
#undef LEAVES
#define ARRIVES(flags) segment(&pair, false, true, a->self, a->outside, flags)
#define LEAVES(flags)  segment(&pair, false, false, a->self, a->outside, flags)
		policy(INWARD);
		assert_passes(&XDP, ARRIVES(F_ACK));
		assert_passes(&NIC_OUT, LEAVES(F_SYN | F_ACK));
		assert_passes(&NIC_OUT, LEAVES(F_ACK));
		assert_drops(&NIC_OUT, LEAVES(F_SYN), WEIR_DEFAULT);
		seconds_pass(100 * 3600);
		assert_passes(&NIC_OUT, LEAVES(F_ACK));
		policy(CLOSED);
		assert_drops(&XDP, ARRIVES(F_ACK), WEIR_DEFAULT);
		assert_drops(&NIC_OUT, LEAVES(F_ACK), WEIR_DEFAULT);
		policy(OUTWARD);
		assert_drops(&XDP, ARRIVES(F_ACK), WEIR_DEFAULT);
		policy(CLOSED "allow: [{to: self, port: any}]\n");
		assert_passes(&XDP, ARRIVES(F_ACK));
		assert_passes(&NIC_OUT, LEAVES(F_ACK));
		pair_close(&pair);
	}
	assert_int_equal(flows_in_all(), 0);
}

static void tcp_of_no_connection(void **state)
{
	policy(OUTWARD);
	assert_drops(&XDP, FRAME(in(), IP4(), TCP(.flags = F_ACK)), WEIR_NO_FLOW);
	assert_drops(&XDP, FRAME(in(), IP6(), TCP(.flags = F_SYN | F_ACK)), WEIR_NO_FLOW);
	assert_drops(&NIC_IN, FRAME(in(), IP4(), TCP(.flags = F_RST)), WEIR_NO_FLOW);
	policy(INWARD);
	/* The peer may open it by a default: the node's own stack answers with a reset, which may leave. */
	assert_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_ACK)));
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), TCP(.flags = F_RST)));
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), TCP(.flags = F_SYN)), WEIR_DEFAULT);
	policy(CLOSED);
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), TCP(.flags = F_SYN | F_ACK)), WEIR_NO_FLOW);
	policy(CLOSED "deny: [{port: tcp/443}]\n");
	assert_drops(&XDP, FRAME(in(), IP4(), TCP(.flags = F_ACK)), WEIR_DENY);
}

static void tcp_of_a_port_that_a_rule_names(void **state)
{
	policy(CLOSED "allow: [{name: web, from: \"198.51.100.0/24\", port: tcp/443}]\n"
		      "limits: [{name: few, to: self, count: packets, rate: 1/hour, burst: 1}]\n");
	assert_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_SYN)));
	assert_passes(&XDP, FRAME(in(), IP4(), TCP(.flags = F_ACK)));
	assert_drops(&XDP, FRAME(in(), IP4(), TCP(.flags = F_ACK)), WEIR_LIMIT);
	/* Its answers are not charged. */
	for (int i = 0; i < 5; i++)
		assert_passes(&NIC_OUT, FRAME(out(), IP4(), TCP(.sport = 443, .flags = F_ACK)));
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), TCP(.sport = 443, .flags = F_SYN | F_ACK)));
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), TCP(.sport = 443, .flags = F_SYN)),
		     WEIR_DEFAULT);
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), TCP(.sport = 444, .flags = F_ACK)),
		     WEIR_NO_FLOW);
	assert_drops(&NIC_OUT,
		     FRAME(out(), IP4(.dst = "203.0.114.1"), TCP(.sport = 443, .flags = F_ACK)),
		     WEIR_NO_FLOW);
	assert_int_equal(count_rule(rule_counter("web")).passed_packets, 2 + 6);
	assert_int_equal(flows_in_all(), 0);
}

static void tcp_of_workloads_is_asked_in_their_namespace(void **state)
{
	for (int f = 0; f < 2; f++) {
		const struct family *a = &FAMILIES[f];
		struct pair from, to;

		tcp_connect(world.outside_ns, a->outside, world.pod_ns, a->pod, &from);
		tcp_connect(world.pod_ns, a->pod, world.outside_ns, a->outside, &to);
#define REPLY  segment(&from, true, true, a->pod, a->outside, F_ACK)
#define ANSWER segment(&to, false, false, a->pod, a->outside, F_ACK)
		policy(OUTWARD);
		assert_passes(&WL_IN, REPLY);
		assert_drops(&WL_IN, segment(&to, false, true, a->pod, a->outside, F_ACK),
			     WEIR_DEFAULT);
		policy(INWARD);
		assert_drops(&WL_IN, REPLY, WEIR_DEFAULT);
		assert_passes(&WL_OUT, ANSWER);
		assert_drops(&WL_OUT, segment(&from, true, false, a->pod, a->outside, F_ACK),
			     WEIR_DEFAULT);
		/* Whose namespace nobody knows is asked nothing: not even this one's sockets. */
		policy(OUTWARD);
		watch(world.wl, WEIR_IF_WORKLOAD, -1);
		assert_drops(&WL_IN, REPLY, WEIR_NO_FLOW);
		watch(world.wl, WEIR_IF_WORKLOAD, world.pod_nsid);
		assert_passes(&WL_IN, REPLY);
		pair_close(&from);
		pair_close(&to);
		assert_drops(&WL_IN, segment(&to, true, true, a->pod, a->outside, F_ACK),
			     WEIR_NO_FLOW);
	}
	assert_int_equal(flows_in_all(), 0);
}

/* ---- UDP ---- */

#define ASKS4	 FRAME(out(), IP4(), UDP(.sport = 5000, .dport = 53))
#define ASKS6	 FRAME(out(), IP6(), UDP(.sport = 5000, .dport = 53))
#define ANSWERS4 FRAME(in(), IP4(), UDP(.sport = 53, .dport = 5000))
#define ANSWERS6 FRAME(in(), IP6(), UDP(.sport = 53, .dport = 5000))

static void udp_answers_pass_by_their_entry(void **state)
{
	policy(OUTWARD);
	assert_drops(&XDP, ANSWERS4, WEIR_DEFAULT);
	assert_drops(&XDP, ANSWERS6, WEIR_DEFAULT);
	assert_passes(&NIC_OUT, ASKS4);
	assert_passes(&NIC_OUT, ASKS6);
	assert_int_equal(flows_of(WEIR_FLOW_SELF), 2);
	assert_passes(&XDP, ANSWERS4);
	assert_passes(&NIC_IN, ANSWERS6);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP(.sport = 53, .dport = 5001)), WEIR_DEFAULT);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP(.sport = 54, .dport = 5000)), WEIR_DEFAULT);
	assert_drops(&XDP, FRAME(in(), IP4(.src = "198.51.100.8"), UDP(.sport = 53, .dport = 5000)),
		     WEIR_DEFAULT);
	assert_drops(&XDP, FRAME(in(), IP4(.dst = "203.0.113.1"), UDP(.sport = 53, .dport = 5000)),
		     WEIR_DEFAULT);
	/* What a new policy forbids ends at the next packet. */
	policy(CLOSED);
	assert_drops(&XDP, ANSWERS4, WEIR_DEFAULT);
	policy(OUTWARD "deny: [{from: self, to: any, port: udp/53}]\n");
	assert_drops(&XDP, ANSWERS4, WEIR_DEFAULT);
	policy(OUTWARD);
	assert_passes(&XDP, ANSWERS4);
}

static void udp_entries_expire(void **state)
{
	policy(OUTWARD "timeouts: {udp: 30s, udp_stream: 120s}\n");
	assert_passes(&NIC_OUT, ASKS4);
	seconds_pass(31);
	assert_drops(&XDP, ANSWERS4, WEIR_DEFAULT);
	assert_passes(&NIC_OUT, ASKS4);
	seconds_pass(29);
	assert_passes(&XDP, ANSWERS4);
	seconds_pass(119);
	assert_passes(&XDP, ANSWERS4);
	seconds_pass(119);
	assert_passes(&NIC_OUT, ASKS4);
	seconds_pass(119);
	assert_passes(&XDP, ANSWERS4);
	seconds_pass(121);
	assert_drops(&XDP, ANSWERS4, WEIR_DEFAULT);
}

static void udp_answers_pass_by_a_connected_socket(void **state)
{
	for (int f = 0; f < 2; f++) {
		const struct family *a = &FAMILIES[f];
		__u16 port = 0, free_port = 0;
		int connected = udp_socket(world.node_ns, a->self, &port, a->outside, 53);
		int bound = udp_socket(world.node_ns, a->self, &free_port, NULL, 0);
		struct ends ends = *in();
		const struct layer ip = f ? (struct layer)IP6(.src = a->outside, .dst = a->self)
					  : (struct layer)IP4(.src = a->outside, .dst = a->self);

		policy(OUTWARD);
		assert_passes(&XDP, FRAME(&ends, ip, UDP(.sport = 53, .dport = port)));
		assert_drops(&XDP, FRAME(&ends, ip, UDP(.sport = 54, .dport = port)), WEIR_DEFAULT);
		assert_drops(&XDP, FRAME(&ends, ip, UDP(.sport = 53, .dport = free_port)),
			     WEIR_DEFAULT);
		seconds_pass(100 * 3600);
		assert_passes(&NIC_IN, FRAME(&ends, ip, UDP(.sport = 53, .dport = port)));
		policy(CLOSED);
		assert_drops(&XDP, FRAME(&ends, ip, UDP(.sport = 53, .dport = port)), WEIR_DEFAULT);
		close(connected);
		close(bound);
	}
}

static void udp_answers_of_a_workloads_socket(void **state)
{
	__u16 port = 0;
	int fd = udp_socket(world.pod_ns, POD4, &port, OUTSIDE4, 53);
	const struct ends *ends = ends_of(WEIR_HOOK_WL_IN);

	policy(OUTWARD);
	assert_passes(&WL_IN, FRAME(ends, IP4(.src = OUTSIDE4), UDP(.sport = 53, .dport = port)));
	assert_int_equal(flows_of(WEIR_FLOW_WORKLOAD), 1);
	assert_int_equal(flows_of(WEIR_FLOW_SELF), 0);
	seconds_pass(1000);
	watch(world.wl, WEIR_IF_WORKLOAD, -1);
	assert_drops(&WL_IN, FRAME(ends, IP4(.src = OUTSIDE4), UDP(.sport = 53, .dport = port)),
		     WEIR_DEFAULT);
	watch(world.wl, WEIR_IF_WORKLOAD, world.pod_nsid);
	close(fd);
}

/* {ingress: allow, egress: deny} must not let UDP out by itself. */
static void udp_answers_only_what_was_seen(void **state)
{
#define QUERY4 FRAME(in(), IP4(), UDP(.sport = 6000, .dport = 53))
#define QUERY6 FRAME(in(), IP6(), UDP(.sport = 6000, .dport = 53))
#define SAYS4  FRAME(out(), IP4(), UDP(.sport = 53, .dport = 6000))
#define SAYS6  FRAME(out(), IP6(), UDP(.sport = 53, .dport = 6000))
	policy(INWARD "timeouts: {udp: 30s, udp_stream: 40s}\n");
	assert_drops(&NIC_OUT, SAYS4, WEIR_DEFAULT);
	assert_drops(&NIC_OUT, SAYS6, WEIR_DEFAULT);
	assert_passes(&XDP, QUERY4);
	assert_passes(&XDP, QUERY6);
	assert_passes(&NIC_OUT, SAYS4);
	assert_passes(&NIC_OUT, SAYS6);
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), UDP(.sport = 53, .dport = 6001)), WEIR_DEFAULT);
	assert_drops(&NIC_OUT,
		     FRAME(out(), IP4(.dst = "198.51.100.8"), UDP(.sport = 53, .dport = 6000)),
		     WEIR_DEFAULT);
	seconds_pass(41);
	assert_drops(&NIC_OUT, SAYS4, WEIR_DEFAULT);
	/* A rule for any port is such a default as well. */
	policy(CLOSED "allow: [{to: self, port: any}]\n");
	assert_drops(&NIC_OUT, SAYS4, WEIR_DEFAULT);
	assert_passes(&XDP, QUERY4);
	assert_passes(&NIC_OUT, SAYS4);
}

static void udp_of_a_port_that_a_rule_names_needs_no_entry(void **state)
{
	policy(CLOSED "allow: [{name: dns, from: \"198.51.100.0/24\", port: udp/53}]\n");
	assert_passes(&NIC_OUT, SAYS4);
	assert_passes(&XDP, QUERY4);
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), UDP(.sport = 54, .dport = 6000)), WEIR_DEFAULT);
	assert_drops(&NIC_OUT, SAYS6, WEIR_DEFAULT);
	assert_int_equal(flows_in_all(), 0);
	assert_int_equal(count_rule(rule_counter("dns")).passed_packets, 2);
}

static void no_entry_where_the_answer_passes_anyway(void **state)
{
	policy(BASE "default: allow\n");
	assert_passes(&NIC_OUT, ASKS4);
	assert_passes(&XDP, ANSWERS4);
	assert_passes(&XDP, QUERY6);
	assert_passes(&NIC_OUT, SAYS6);
	assert_passes(&XDP, FRAME(in(), IP4(), ICMP(.type = 8, .id = 5)));
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), ICMP(.type = 8, .id = 5)));
	assert_passes(&XDP, FRAME(in(), IP4(), DATA(8, .proto = 47)));
	assert_int_equal(flows_in_all(), 0);
}

/* ---- ICMP echo and errors ---- */

static void echo_answers_pass_by_id_and_type(void **state)
{
#define PING4(n) FRAME(out(), IP4(), ICMP(.type = 8, .id = n))
#define PONG4(n) FRAME(in(), IP4(), ICMP(.type = 0, .id = n))
#define PING6(n) FRAME(out(), IP6(), ICMP6(.type = 128, .id = n))
#define PONG6(n) FRAME(in(), IP6(), ICMP6(.type = 129, .id = n))
	policy(OUTWARD "timeouts: {icmp: 10s}\n");
	assert_drops(&XDP, PONG4(7), WEIR_DEFAULT);
	assert_passes(&NIC_OUT, PING4(7));
	assert_passes(&NIC_OUT, PING6(0));
	assert_passes(&XDP, PONG4(7));
	assert_passes(&NIC_IN, PONG6(0));
	assert_drops(&XDP, PONG4(8), WEIR_DEFAULT);
	assert_drops(&XDP, PONG6(7), WEIR_DEFAULT);
	assert_drops(&XDP, FRAME(in(), IP4(), ICMP(.type = 8, .id = 7)), WEIR_DEFAULT);
	assert_drops(&XDP, FRAME(in(), IP4(), ICMP(.type = 14, .id = 7)), WEIR_ICMP_TYPE);
	seconds_pass(11);
	assert_drops(&XDP, PONG4(7), WEIR_DEFAULT);
}

static void echo_requests_are_answered(void **state)
{
	policy(CLOSED "allow: [{from: \"198.51.100.0/24\", port: icmp/echo-request}]\n");
	assert_passes(&XDP, FRAME(in(), IP4(), ICMP(.type = 8, .id = 7)));
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), ICMP(.type = 0, .id = 7)));
	assert_drops(&NIC_OUT, PING4(7), WEIR_DEFAULT);
	assert_drops(&XDP, FRAME(in(), IP6(), ICMP6(.type = 128, .id = 7)), WEIR_DEFAULT);
	policy(INWARD);
	assert_drops(&NIC_OUT, FRAME(out(), IP6(), ICMP6(.type = 129, .id = 7)), WEIR_DEFAULT);
	assert_passes(&XDP, FRAME(in(), IP6(), ICMP6(.type = 128, .id = 7)));
	assert_passes(&NIC_OUT, FRAME(out(), IP6(), ICMP6(.type = 129, .id = 7)));
	assert_drops(&NIC_OUT, FRAME(out(), IP6(), ICMP6(.type = 129, .id = 8)), WEIR_DEFAULT);
}

/* An error that arrives, about what this end sent from @lport to @rport of the peer. */
#define ERROR4(transport, lp, rp)                                            \
	FRAME(in(), IP4(.src = "203.0.114.254"), ICMP(.type = 3, .code = 4), \
	      IP4(.src = SELF4, .dst = PEER4), transport(.sport = lp, .dport = rp))
#define ERROR6(transport, lp, rp)                                   \
	FRAME(in(), IP6(.src = "2001:db8:fe::1"), ICMP6(.type = 2), \
	      IP6(.src = SELF6, .dst = PEER6), transport(.sport = lp, .dport = rp))

static void errors_about_entries_pass(void **state)
{
	policy(OUTWARD);
	assert_drops(&XDP, ERROR4(UDP, 5000, 53), WEIR_ICMP_ERROR);
	assert_passes(&NIC_OUT, ASKS4);
	assert_passes(&NIC_OUT, ASKS6);
	assert_passes(&NIC_OUT, PING4(7));
	assert_passes(&XDP, ERROR4(UDP, 5000, 53));
	assert_passes(&NIC_IN, ERROR6(UDP, 5000, 53));
	assert_drops(&XDP, ERROR4(UDP, 5000, 54), WEIR_ICMP_ERROR);
	assert_drops(&XDP, ERROR6(UDP, 5001, 53), WEIR_ICMP_ERROR);
	assert_passes(&XDP, FRAME(in(), IP4(.src = "203.0.114.254"), ICMP(.type = 11),
				  IP4(.src = SELF4, .dst = PEER4), ICMP(.type = 8, .id = 7)));
	assert_drops(&XDP,
		     FRAME(in(), IP4(.src = "203.0.114.254"), ICMP(.type = 11),
			   IP4(.src = SELF4, .dst = PEER4), ICMP(.type = 8, .id = 8)),
		     WEIR_ICMP_ERROR);
	/* To somebody else than the sender of what it quotes. */
	assert_drops(&XDP,
		     FRAME(in(), IP4(.dst = "203.0.113.1"), ICMP(.type = 3, .code = 4),
			   IP4(.src = SELF4, .dst = PEER4), UDP(.sport = 5000, .dport = 53)),
		     WEIR_ICMP_ERROR);
}

/* What follows the IP header of GRE or ESP is no pair of ports: 0x2000 and 0x0800, half an SPI and the other. */
static void errors_about_protocols_without_ports_pass(void **state)
{
#define GRE BYTES("\x20\0\x08\0\0\0\0\1", .proto = 47)
#define ESP BYTES("\x12\x34\x56\x78\0\0\0\1", .proto = 50)
#define ABOUT_GRE                                                            \
	FRAME(in(), IP4(.src = "203.0.114.254"), ICMP(.type = 3, .code = 4), \
	      IP4(.src = SELF4, .dst = PEER4), GRE)
#define ABOUT_ESP                                                   \
	FRAME(in(), IP6(.src = "2001:db8:fe::1"), ICMP6(.type = 2), \
	      IP6(.src = SELF6, .dst = PEER6), ESP)
	policy(OUTWARD);
	assert_drops(&XDP, ABOUT_GRE, WEIR_ICMP_ERROR);
	assert_drops(&XDP, ABOUT_ESP, WEIR_ICMP_ERROR);
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), GRE));
	assert_passes(&NIC_OUT, FRAME(out(), IP6(), ESP));
	assert_passes(&XDP, ABOUT_GRE);
	assert_passes(&NIC_IN, ABOUT_ESP);
}

/* Errors fit in what every link carries; of one in fragments the later ones could not be told from anything else. */
static void errors_in_fragments_are_refused(void **state)
{
#define IN_FRAGMENTS(more)                                                                     \
	FRAME(in(), IP4(.src = "203.0.114.254", .fragment = more), ICMP(.type = 3, .code = 4), \
	      IP4(.src = SELF4, .dst = PEER4), UDP(.sport = 5000, .dport = 53), DATA(4))
	policy(OUTWARD);
	assert_passes(&NIC_OUT, ASKS4);
	assert_passes(&NIC_OUT, ASKS6);
	assert_passes(&XDP, IN_FRAGMENTS(0));
	assert_drops(&XDP, IN_FRAGMENTS(0x2000), WEIR_ICMP_ERROR);
	assert_drops(&NIC_IN,
		     FRAME(in(), IP6(.src = "2001:db8:fe::1"), FRAGMENT(.fragment = 1),
			   ICMP6(.type = 2), IP6(.src = SELF6, .dst = PEER6),
			   UDP(.sport = 5000, .dport = 53)),
		     WEIR_ICMP_ERROR);
}

static void errors_keep_nothing_alive(void **state)
{
	policy(OUTWARD "timeouts: {udp: 30s, udp_stream: 120s}\n");
	assert_passes(&NIC_OUT, ASKS4);
	seconds_pass(20);
	assert_passes(&XDP, ERROR4(UDP, 5000, 53));
	seconds_pass(20);
	assert_drops(&XDP, ERROR4(UDP, 5000, 53), WEIR_ICMP_ERROR);
	assert_drops(&XDP, ANSWERS4, WEIR_DEFAULT);
	/* Nor does what a policy forbids now. */
	assert_passes(&NIC_OUT, ASKS4);
	policy(CLOSED "timeouts: {udp: 30s, udp_stream: 120s}\n");
	seconds_pass(20);
	assert_drops(&XDP, ANSWERS4, WEIR_DEFAULT);
	assert_int_equal(flows_in_all(), 1);
	seconds_pass(20);
	assert_int_equal(flows_in_all(), 0);
}

static void errors_about_sockets_pass(void **state)
{
	struct pair from, to;
	__u16 port = 0;
	int udp = udp_socket(world.node_ns, SELF4, &port, OUTSIDE4, 53);

#define ABOUT(l4)                                                            \
	FRAME(in(), IP4(.src = "203.0.114.254"), ICMP(.type = 3, .code = 4), \
	      IP4(.src = SELF4, .dst = OUTSIDE4), l4)
	tcp_connect(world.outside_ns, OUTSIDE4, world.node_ns, SELF4, &from);
	tcp_connect(world.node_ns, SELF4, world.outside_ns, OUTSIDE4, &to);
	policy(OUTWARD);
	assert_passes(&XDP, ABOUT(TCP(.sport = from.client_port, .dport = from.server_port)));
	assert_passes(&XDP, ABOUT(TCP(.sport = to.server_port, .dport = to.client_port)));
	assert_drops(&XDP, ABOUT(TCP(.sport = from.client_port, .dport = 1)), WEIR_ICMP_ERROR);
	/* A listener is no connection. */
	assert_drops(&XDP, ABOUT(TCP(.sport = to.server_port, .dport = 1)), WEIR_ICMP_ERROR);
	assert_passes(&XDP, ABOUT(UDP(.sport = port, .dport = 53)));
	assert_drops(&XDP, ABOUT(UDP(.sport = port, .dport = 54)), WEIR_ICMP_ERROR);
	pair_close(&from);
	pair_close(&to);
	close(udp);
}

static void errors_about_answers_of_open_ports_pass(void **state)
{
	policy(CLOSED "allow: [{from: \"198.51.100.0/24\", port: udp/53}]\n");
	assert_passes(&XDP, ERROR4(UDP, 53, 6000));
	assert_drops(&XDP, ERROR4(UDP, 54, 6000), WEIR_ICMP_ERROR);
	assert_drops(&XDP, ERROR6(UDP, 53, 6000), WEIR_ICMP_ERROR);
	assert_int_equal(flows_in_all(), 0);
}

static void errors_leave_about_what_may_come_in(void **state)
{
#define UNREACHABLE(port)                                                                \
	FRAME(out(), IP4(), ICMP(.type = 3, .code = 3), IP4(.src = PEER4, .dst = SELF4), \
	      UDP(.sport = 6000, .dport = port))
	policy(CLOSED "allow: [{from: \"198.51.100.0/24\", port: udp/53}]\n");
	assert_passes(&NIC_OUT, UNREACHABLE(53));
	assert_drops(&NIC_OUT, UNREACHABLE(54), WEIR_ICMP_ERROR);
	policy(OUTWARD);
	assert_drops(&NIC_OUT, UNREACHABLE(5000), WEIR_ICMP_ERROR);
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), UDP(.sport = 5000, .dport = 6000)));
	assert_passes(&NIC_OUT, UNREACHABLE(5000)); /* the answer came to a socket that is gone */
}

/* ---- SCTP, protocols without ports ---- */

static void sctp_opens_with_init(void **state)
{
#define INIT  BYTES("\1\0\0\24"), DATA(16)
#define CHUNK BYTES("\0\3\0\24"), DATA(16)
	policy(OUTWARD "timeouts: {half_open: 30s, tcp: 2h}\n");
	assert_drops(&XDP, FRAME(in(), IP4(), SCTP(.sport = 99, .dport = 5000), CHUNK),
		     WEIR_DEFAULT);
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), SCTP(.sport = 5000, .dport = 99), INIT));
	assert_passes(&XDP, FRAME(in(), IP4(), SCTP(.sport = 99, .dport = 5000), CHUNK));
	assert_drops(&XDP, FRAME(in(), IP4(), SCTP(.sport = 99, .dport = 5000), INIT),
		     WEIR_DEFAULT);
	assert_drops(&XDP, FRAME(in(), IP4(), SCTP(.sport = 99, .dport = 5001), CHUNK),
		     WEIR_DEFAULT);
	/* Who opens has to go on before it lives long. */
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), SCTP(.sport = 5000, .dport = 99), CHUNK));
	seconds_pass(7100);
	assert_passes(&XDP, FRAME(in(), IP4(), SCTP(.sport = 99, .dport = 5000), CHUNK));
	seconds_pass(7300);
	assert_drops(&XDP, FRAME(in(), IP4(), SCTP(.sport = 99, .dport = 5000), CHUNK),
		     WEIR_DEFAULT);
	policy(CLOSED "allow: [{port: sctp/99}]\n");
	assert_passes(&XDP, FRAME(in(), IP6(), SCTP(.dport = 99), INIT));
	assert_passes(&NIC_OUT, FRAME(out(), IP6(), SCTP(.sport = 99), CHUNK));
	assert_drops(&NIC_OUT, FRAME(out(), IP6(), SCTP(.sport = 99), INIT), WEIR_DEFAULT);
}

static void protocols_without_ports(void **state)
{
	policy(CLOSED "allow: [{from: self, to: \"198.51.100.0/24\", port: proto/47}]\n");
	assert_drops(&XDP, FRAME(in(), IP4(), DATA(8, .proto = 47)), WEIR_DEFAULT);
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), DATA(8, .proto = 47)));
	assert_passes(&XDP, FRAME(in(), IP4(), DATA(8, .proto = 47)));
	assert_drops(&XDP, FRAME(in(), IP4(), DATA(8, .proto = 50)), WEIR_DEFAULT);
	assert_drops(&NIC_OUT, FRAME(out(), IP4(), DATA(8, .proto = 50)), WEIR_DEFAULT);
	seconds_pass(200);
	assert_drops(&XDP, FRAME(in(), IP4(), DATA(8, .proto = 47)), WEIR_DEFAULT);
	policy(CLOSED "allow: [{from: \"198.51.100.0/24\", port: proto/50}]\n");
	assert_passes(&XDP, FRAME(in(), IP4(), DATA(8, .proto = 50)));
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), DATA(8, .proto = 50)));
	assert_drops(&NIC_OUT, FRAME(out(), IP6(), DATA(8, .proto = 50)), WEIR_DEFAULT);
}

/* ---- transit ---- */

#define THERE4	   "203.0.115.9"
#define FORTH(l4)  FRAME(in(), IP4(.dst = THERE4), l4)
#define BACK(l4)   FRAME(in(), IP4(.src = THERE4, .dst = PEER4), l4)
#define THERE6	   "2001:db8:99::9"
#define FORTH6(l4) FRAME(in(), IP6(.dst = THERE6), l4)
#define BACK6(l4)  FRAME(in(), IP6(.src = THERE6, .dst = PEER6), l4)
#define TRANSIT                                                                                  \
	CLOSED                                                                                   \
	"timeouts: {half_open: 30s, tcp: 2h, tcp_closing: 30s, udp: 30s, udp_stream: 60s}\n"     \
	"allow: [{from: [\"198.51.100.0/24\", \"2001:db8:51::/48\"], to: [" THERE4 ", \"" THERE6 \
	"\"], port: [tcp/443, udp/53, icmp/8]}]\n"

static void transit_replies_pass_by_their_entry(void **state)
{
	world.forwarding = true;
	policy(TRANSIT);
	assert_drops(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)), WEIR_DEFAULT);
	assert_passes(&XDP, FORTH(TCP(.flags = F_SYN)));
	assert_passes(&XDP, FORTH6(TCP(.flags = F_SYN)));
	assert_passes(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_SYN | F_ACK)));
	assert_passes(&NIC_IN, BACK6(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)));
	assert_drops(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_SYN)), WEIR_DEFAULT);
	assert_drops(&XDP, BACK(TCP(.sport = 443, .dport = 40001, .flags = F_ACK)), WEIR_DEFAULT);
	assert_drops(&XDP, BACK(TCP(.sport = 444, .dport = 40000, .flags = F_ACK)), WEIR_DEFAULT);
	assert_drops(&XDP, FORTH(TCP(.dport = 444, .flags = F_SYN)), WEIR_DEFAULT);
	assert_int_equal(flows_of(WEIR_FLOW_TRANSIT), 2);
	policy(CLOSED);
	assert_drops(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)), WEIR_DEFAULT);
	policy(TRANSIT);
	assert_passes(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)));
}

static void transit_half_open_is_short(void **state)
{
	world.forwarding = true;
	policy(TRANSIT);
	assert_passes(&XDP, FORTH(TCP(.flags = F_SYN)));
	seconds_pass(31);
	assert_drops(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_SYN | F_ACK)),
		     WEIR_DEFAULT);
	/* Packets of one side alone buy no more. */
	for (int i = 0; i < 3; i++)
		assert_passes(&XDP, FORTH(TCP(.flags = F_ACK)));
	seconds_pass(31);
	assert_drops(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)), WEIR_DEFAULT);
	/* Nor does a reply, which forged packets bring about as well; what its opener says to it does. */
	assert_passes(&XDP, FORTH(TCP(.flags = F_ACK)));
	assert_passes(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)));
	seconds_pass(31);
	assert_drops(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)), WEIR_DEFAULT);
	/* A connection that is older than the entry goes on from its opener's next packet. */
	assert_passes(&XDP, FORTH(TCP(.flags = F_ACK)));
	assert_passes(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)));
	assert_passes(&XDP, FORTH(TCP(.flags = F_ACK)));
	seconds_pass(7100);
	assert_passes(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)));
	seconds_pass(7300);
	assert_drops(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)), WEIR_DEFAULT);
}

static void transit_closing_is_short(void **state)
{
	world.forwarding = true;
	policy(TRANSIT);
	for (int side = 0; side < 2; side++)
		for (int how = 0; how < 2; how++) {
			__u8 flags = how ? F_RST : F_FIN | F_ACK;

			assert_passes(&XDP, FORTH(TCP(.flags = F_SYN)));
			assert_passes(&XDP,
				      BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)));
			if (side)
				assert_passes(
				    &XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = flags)));
			else
				assert_passes(&XDP, FORTH(TCP(.flags = flags)));
			seconds_pass(29);
			assert_passes(&XDP,
				      BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)));
			seconds_pass(31);
			assert_drops(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)),
				     WEIR_DEFAULT);
		}
}

/* The same ports again: a new connection is not born closing. */
static void transit_reopened_is_open(void **state)
{
	world.forwarding = true;
	policy(TRANSIT);
	assert_passes(&XDP, FORTH(TCP(.flags = F_SYN)));
	assert_passes(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)));
	assert_passes(&XDP, FORTH(TCP(.flags = F_FIN | F_ACK)));
	seconds_pass(5);
	assert_passes(&XDP, FORTH(TCP(.flags = F_SYN)));
	assert_passes(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_SYN | F_ACK)));
	assert_passes(&XDP, FRAME(in(), IP4(.dst = THERE4), TCP(.flags = F_ACK), SET32(8, 2)));
	seconds_pass(3600);
	assert_passes(&XDP, BACK(TCP(.sport = 443, .dport = 40000, .flags = F_ACK)));
}

static void transit_of_datagrams_echoes_and_errors(void **state)
{
	world.forwarding = true;
	policy(TRANSIT);
	assert_drops(&XDP, BACK(UDP(.sport = 53, .dport = 40000)), WEIR_DEFAULT);
	assert_passes(&XDP, FORTH(UDP(.dport = 53)));
	assert_passes(&XDP, BACK(UDP(.sport = 53, .dport = 40000)));
	seconds_pass(59);
	assert_passes(&XDP, BACK(UDP(.sport = 53, .dport = 40000)));
	seconds_pass(61);
	assert_drops(&XDP, BACK(UDP(.sport = 53, .dport = 40000)), WEIR_DEFAULT);
	assert_passes(&XDP, FORTH(ICMP(.type = 8, .id = 5)));
	assert_passes(&XDP, BACK(ICMP(.type = 0, .id = 5)));
	assert_drops(&XDP, BACK(ICMP(.type = 0, .id = 6)), WEIR_DEFAULT);
	assert_drops(&XDP, BACK(ICMP(.type = 8, .id = 5)), WEIR_DEFAULT);
	/* Errors about either direction, from anywhere, to the sender of what they quote. */
	assert_passes(&XDP, FORTH(UDP(.dport = 53)));
	assert_passes(&XDP, FRAME(in(), IP4(.src = "203.0.114.254", .dst = PEER4),
				  ICMP(.type = 3, .code = 4), IP4(.src = PEER4, .dst = THERE4),
				  UDP(.sport = 40000, .dport = 53)));
	assert_passes(&XDP, FRAME(in(), IP4(.src = "203.0.114.254", .dst = THERE4),
				  ICMP(.type = 3, .code = 4), IP4(.src = THERE4, .dst = PEER4),
				  UDP(.sport = 53, .dport = 40000)));
	assert_drops(&XDP,
		     FRAME(in(), IP4(.src = "203.0.114.254", .dst = PEER4),
			   ICMP(.type = 3, .code = 4), IP4(.src = PEER4, .dst = THERE4),
			   UDP(.sport = 40001, .dport = 53)),
		     WEIR_ICMP_ERROR);
}

static void transit_later_fragments_follow_the_pair(void **state)
{
	world.forwarding = true;
	policy(TRANSIT);
	assert_passes(&XDP, FRAME(in(), IP4(.dst = THERE4, .fragment = 100), DATA(8, .proto = 17)));
	assert_passes(&XDP, FRAME(in(), IP4(.src = THERE4, .dst = PEER4, .fragment = 100),
				  DATA(8, .proto = 17)));
	assert_drops(&XDP, FRAME(in(), IP4(.dst = THERE4, .fragment = 100), DATA(8, .proto = 50)),
		     WEIR_DEFAULT);
	assert_drops(&XDP,
		     FRAME(in(), IP4(.src = "203.0.114.1", .dst = THERE4, .fragment = 100),
			   DATA(8, .proto = 17)),
		     WEIR_DEFAULT);
	assert_int_equal(flows_in_all(), 0);
}

/* ---- a full table ---- */

static __u16 be16(const struct frame *frame, size_t at)
{
	return frame->byte[at] << 8 | frame->byte[at + 1];
}

/* @n flows that differ in their ports, from port 1024 on; returns how many were refused. */
static unsigned int flood(const struct hop *hop, const struct frame *first, unsigned int n)
{
	struct frame frame = *first;
	unsigned int refused = 0;

	for (unsigned int i = 0; i < n; i++) {
		__u16 sport = 1024 + i % 60000, dport = be16(first, first->l4 + 2) + i / 60000;

		frame.byte[frame.l4] = sport >> 8;
		frame.byte[frame.l4 + 1] = sport;
		frame.byte[frame.l4 + 2] = dport >> 8;
		frame.byte[frame.l4 + 3] = dport;
		refused += !run_passes(hop, &frame);
	}
	return refused;
}

/* Who was answered stays; of the others the oldest make room (test_floods.c says how many get through). */
static void a_full_table_forgets_nobody_who_was_answered(void **state)
{
	policy(OUTWARD "timeouts: {udp: 30s}\n");
	assert_passes(&NIC_OUT, ASKS4);
	assert_passes(&XDP, ANSWERS4);
	assert_passes(&NIC_OUT, FRAME(out(), IP4(), UDP(.sport = 6000, .dport = 53)));
	assert_int_equal(
	    flood(&NIC_OUT, FRAME(out(), IP4(.dst = THERE4), UDP(.dport = 1000)), 300000), 0);
	assert_int_equal(count_reason(WEIR_FLOW_FULL).dropped_packets, 0);
	assert_in_range(flows_of(WEIR_FLOW_SELF), 60000, 65536);
	assert_passes(&XDP, ANSWERS4);
	assert_drops(&XDP, FRAME(in(), IP4(), UDP(.sport = 53, .dport = 6000)), WEIR_DEFAULT);
}

static void one_transit_prefix_cannot_fill_the_table(void **state)
{
	world.forwarding = true;
	policy(TRANSIT);
	assert_int_equal(flood(&XDP, FRAME(in(), IP4(.dst = THERE4), TCP(.flags = F_SYN)), 59000),
			 0);
	assert_in_range(flows_of(WEIR_FLOW_TRANSIT), 20000, 8192 * WEIR_FLOW_QUOTA);
	assert_int_equal(flood(&XDP, FRAME(in(), IP6(.dst = THERE6), TCP(.flags = F_SYN)), 1000),
			 0);
}

static void one_workload_cannot_fill_the_table(void **state)
{
	const struct ends *ends = ends_of(WEIR_HOOK_WL_OUT);

	policy(OUTWARD);
	flood(&WL_OUT, FRAME(ends, IP4(), UDP()), 59000);
	assert_in_range(flows_of(WEIR_FLOW_WORKLOAD), 20000, 8192 * WEIR_FLOW_QUOTA);
	assert_int_equal(flood(AT(.hook = WEIR_HOOK_WL_OUT, .ifindex = world.wl2),
			       FRAME(ends, IP4(.src = POD2_4), UDP()), 1000),
			 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, world_reset)
	    TEST(the_same_link_local_address_on_two_links_is_two_workloads),
	    TEST(tcp_opened_from_inside),
	    TEST(tcp_opened_from_outside),
	    TEST(tcp_of_no_connection),
	    TEST(tcp_of_a_port_that_a_rule_names),
	    TEST(tcp_of_workloads_is_asked_in_their_namespace),
	    TEST(udp_answers_pass_by_their_entry),
	    TEST(udp_entries_expire),
	    TEST(udp_answers_pass_by_a_connected_socket),
	    TEST(udp_answers_of_a_workloads_socket),
	    TEST(udp_answers_only_what_was_seen),
	    TEST(udp_of_a_port_that_a_rule_names_needs_no_entry),
	    TEST(no_entry_where_the_answer_passes_anyway),
	    TEST(echo_answers_pass_by_id_and_type),
	    TEST(echo_requests_are_answered),
	    TEST(errors_about_entries_pass),
	    TEST(errors_about_protocols_without_ports_pass),
	    TEST(errors_in_fragments_are_refused),
	    TEST(errors_keep_nothing_alive),
	    TEST(errors_about_sockets_pass),
	    TEST(errors_about_answers_of_open_ports_pass),
	    TEST(errors_leave_about_what_may_come_in),
	    TEST(sctp_opens_with_init),
	    TEST(protocols_without_ports),
	    TEST(transit_replies_pass_by_their_entry),
	    TEST(transit_half_open_is_short),
	    TEST(transit_closing_is_short),
	    TEST(transit_reopened_is_open),
	    TEST(transit_of_datagrams_echoes_and_errors),
	    TEST(transit_later_fragments_follow_the_pair),
	    TEST(a_full_table_forgets_nobody_who_was_answered),
	    TEST(one_transit_prefix_cannot_fill_the_table),
	    TEST(one_workload_cannot_fill_the_table),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown) != 0;
}
