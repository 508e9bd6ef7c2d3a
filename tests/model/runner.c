// SPDX-License-Identifier: GPL-2.0-only
/*
 * runner [CPU] - runs frames through the real programs for a driver at the other end of a pipe, on one CPU (the first).
 *
 * The world is that of tests/prog/harness.h. Messages on stdin, integers little endian:
 *   P u32 length, u8 node (1 forwards, 2 workloads are ports of br0), u8 antispoof of nic, u8 of nic2, policy text
 *                                                 compile, judge by it from now on, forget all state; answers u8 1
 *   B u32 length, operations                      answers three bytes a frame, as one u32 length and the bytes
 * An operation is one byte and its operands:
 *   F u8 hook, u8 interface, u8 arrived, u16 TPID, u16 TCI, u16 gso_size, u16 gso_segs, u16 length, frame
 *                       TPID 0: no tag out of band; gso_size 0: no aggregate. Answers u8 passed (2: the kernel refuses
 *                       to run it; 4: a SYN was answered, 3: but not as RFC 9293 wants), u8 reason (64: none counted),
 *                       u8 homes
 *   A the same        its acknowledgement number becomes that of the SYN cookie that was sent last
 *   C u64 ns            the clock goes forward; it must stay below 6.9 years, or limits overflow
 *   K u8 length, u64 ns, address (16 bytes, IPv4 mapped)     run-time block, from now on for so long (0: for ever)
 *   U                   no run-time blocks
 *   L                   no limiter state, no automatic blocks
 * Interfaces: 0 made here, 1 nic, 2 nic2, 3 other, 4 wl, 5 wl2, 6 one that nobody was told of, 7 br0. Before the first
 * message it tells one socket a line, "nat" where conntrack knows the flows below, and an empty line.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/bpf.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "weir_tc.skel.h"
#include "weir_xdp.skel.h"

#define MESSAGE_MAX (64U << 20)
#define NOT_RUN	    77 /* what a tagger returns when it could not go on */
#define CLOCK_MAX   (2500ULL * 86400 * S_NS)

static __u32 unknown;
static int reason_fd, home_fd, counter_fd;
static int program[WEIR_HOOK_BR_OUT + 1];
static int
    tagging[WEIR_HOOK_BR_OUT + 1]; /* gives the packet a tag out of band, then it is program */

struct cursor {
	const __u8 *at;
	const __u8 *end;
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void take(struct cursor *from, void *to, size_t n)
{
	if ((size_t)(from->end - from->at) < n)
		die("runner: message ends early");
	memcpy(to, from->at, n);
	from->at += n;
}

#define TAKE(from, type)                             \
	({                                           \
		type _value;                         \
		take(from, &_value, sizeof(_value)); \
		_value;                              \
	})

static bool read_all(void *to, size_t n)
{
	return fread(to, 1, n, stdin) == n;
}

/* ---- the world's sockets: what the socket table of the node and of a workload may answer. Ports are fixed, so that a
 * frame means the same in every run. */

enum {
	SERVED = 7001,
	OPENED = 7002,
	SERVER = 7003,
	CLIENT = 7004,
	DATAGRAM = 7005,
	RESOLVER = 5353
};

static int socket_at(int ns, int type, const char *address, __u16 port)
{
	struct sockaddr_in six_or_four[2] = {};
	struct sockaddr_in *in = six_or_four;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)six_or_four;
	bool six = strchr(address, ':');
	int fd, on = 1;

	if (setns(ns, CLONE_NEWNET))
		die("runner: setns: %s", strerror(errno));
	fd = socket(six ? AF_INET6 : AF_INET, type, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (six) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		inet_pton(AF_INET6, address, &in6->sin6_addr);
	} else {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		inet_pton(AF_INET, address, &in->sin_addr);
	}
	if (bind(fd, (struct sockaddr *)six_or_four, six ? sizeof(*in6) : sizeof(*in)))
		die("runner: bind %s %u: %s", address, port, strerror(errno));
	return fd;
}

static void connect_to(int fd, const char *address, __u16 port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int err;

	if (inet_pton(AF_INET, address, &in.sin_addr) == 1) {
		err = connect(fd, (struct sockaddr *)&in, sizeof(in));
	} else {
		inet_pton(AF_INET6, address, &in6.sin6_addr);
		err = connect(fd, (struct sockaddr *)&in6, sizeof(in6));
	}
	if (err)
		die("runner: connect %s %u: %s", address, port, strerror(errno));
}

static void tcp_pair(int server_ns, const char *server, __u16 sport, int client_ns,
		     const char *client, __u16 cport)
{
	int listener = socket_at(server_ns, SOCK_STREAM, server, sport);

	if (listen(listener, 4))
		die("runner: listen: %s", strerror(errno));
	connect_to(socket_at(client_ns, SOCK_STREAM, client, cport), server, sport);
	if (accept(listener, NULL, NULL) < 0)
		die("runner: accept: %s", strerror(errno));
}

static void open_at(const char *name, int ns, const char *here, const char *there, __u16 add)
{
	tcp_pair(ns, here, SERVED, world.outside_ns, there, CLIENT + add);
	printf("tcp %s %s %u %s %u 1\n", name, here, SERVED, there, CLIENT + add);
	tcp_pair(world.outside_ns, there, SERVER + add, ns, here, OPENED);
	printf("tcp %s %s %u %s %u 0\n", name, here, OPENED, there, SERVER + add);
	connect_to(socket_at(ns, SOCK_DGRAM, here, DATAGRAM), there, RESOLVER);
	printf("udp %s %s %u %s %u 0\n", name, here, DATAGRAM, there, RESOLVER);
}

static void make_nat(void);

static void open_sockets(void)
{
	open_at("node", world.node_ns, SELF4, OUTSIDE4, 0);
	open_at("node", world.node_ns, SELF6, OUTSIDE6, 0);
	open_at("pod", world.pod_ns, POD4, OUTSIDE4, 100);
	open_at("pod", world.pod_ns, POD6, OUTSIDE6, 100);
	make_nat();
	if (setns(world.node_ns, CLONE_NEWNET))
		die("runner: setns: %s", strerror(errno));
	printf("\n");
	fflush(stdout);
}

/* ---- what the tests' world does not have: routes to where the frames say that they come from */

static void add_routes(void)
{
	enter(world.outside_ns);
	shell("ip link set nic2p up && ip link set otherp up");
	enter(world.pod_ns);
	shell("ip link set wl2p up");
	enter(world.node_ns);
	shell("ip link add br1 type bridge && ip link set br1 up");
	shell("ip link add link nic name nicv type macvlan && ip link set nicv up");
	shell(
	    "echo 1 >/proc/sys/net/ipv4/conf/lo/forwarding && echo 1 >/proc/sys/net/ipv6/conf/lo/forwarding");
	shell(
	    "ip route add 198.51.100.0/24 via 192.0.2.100 && ip route add 198.51.100.9 dev nic2 && "
	    "ip route add 192.0.2.77 dev other && ip route add 203.0.113.128/25 dev wl2 && "
	    "ip route add 8.8.0.0/16 dev nicv && ip route add 10.0.0.0/8 dev br1 && "
	    "ip route add blackhole 100.64.0.0/10");
	shell(
	    "ip route add 2001:db8:51::/64 via 2001:db8::100 && ip route add 2001:db8:51::9 dev nic2 && "
	    "ip route add 2001:db8::77 dev other && ip route add 2001:db8:78::/64 dev wl2 && "
	    "ip route add 64:ff9b::/96 dev nicv && ip route add 2620::/16 dev br1 && "
	    "ip route add unreachable fc00::/7");
}

/* nicv is on nic (as a VLAN device would be, which not every kernel has), nic2 is a port of br1, as the loader would find them. */
static void tell_devices(void)
{
	struct weir_iface vlan = {.nsid = -1, .lower = world.nic}, port = {};
	__u32 index = if_nametoindex("nicv");
	int fd = bpf_object__find_map_fd_by_name(world.xdp->obj, "weir_iface");

	if (bpf_map_update_elem(fd, &index, &vlan, 0) ||
	    bpf_map_lookup_elem(fd, &world.nic2, &port))
		die("runner: interfaces: %s", strerror(errno));
	port.master = if_nametoindex("br1");
	bpf_map_update_elem(fd, &world.nic2, &port, 0);
}

/* ---- flows through NAT, that conntrack knows: ports are fixed, and kept by masquerading */

static const char NAT_RULES[] =
    "table inet nat {\n"
    "  chain pre { type nat hook prerouting priority -100;\n"
    "    ip daddr 192.0.2.1 udp dport 7443 dnat ip to 203.0.113.2:7353\n"
    "    ip daddr 192.0.2.1 tcp dport 7443 dnat ip to 203.0.113.2:7380\n"
    "    ip daddr 192.0.2.1 udp dport 7900 dnat ip to 192.0.2.100:7353\n"
    "    ip6 daddr 2001:db8::1 udp dport 7443 dnat ip6 to [2001:db8:77::2]:7353\n"
    "    ip6 daddr 2001:db8::1 tcp dport 7443 dnat ip6 to [2001:db8:77::2]:7380\n"
    "    ip6 daddr 2001:db8::1 udp dport 7900 dnat ip6 to [2001:db8::100]:7353\n"
    "  }\n"
    "  chain post { type nat hook postrouting priority 100;\n"
    "    oifname \"wl\" masquerade\n"
    "    oifname \"nic\" ip saddr 203.0.113.0/25 masquerade\n"
    "    oifname \"nic\" ip6 saddr 2001:db8:77::/64 masquerade\n"
    "  }\n"
    "}\n";

/* @seen: what its receiver must see of the one who sent, or ports in frames would mean something else. */
static void nat_udp(int client_ns, const char *client, __u16 cport, const char *to, __u16 tport,
		    int server_ns, const char *server, __u16 sport, const char *seen)
{
	int there = socket_at(server_ns, SOCK_DGRAM, server, sport);
	int here = socket_at(client_ns, SOCK_DGRAM, client, cport);
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char text[INET6_ADDRSTRLEN] = "", byte;
	struct timeval wait = {.tv_sec = 3};
	const struct sockaddr_in *in = (void *)&from;
	const struct sockaddr_in6 *in6 = (void *)&from;

	setsockopt(there, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	connect_to(here, to, tport);
	if (send(here, "x", 1, 0) != 1 || recvfrom(there, &byte, 1, 0, (void *)&from, &len) != 1)
		die("runner: nothing came through NAT to %s:%u", server, sport);
	if (from.ss_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
	if (strcmp(text, seen) || in->sin_port != htons(cport))
		die("runner: NAT shows %s:%u as %s:%u", client, cport, text, ntohs(in->sin_port));
	close(here); /* its socket would answer for the flow */
	close(there);
}

static void nat_tcp(const char *self, const char *pod, const char *outside, const char *seen)
{
	int listener = socket_at(world.pod_ns, SOCK_STREAM, pod, 7380), client;

	if (listen(listener, 4))
		die("runner: listen: %s", strerror(errno));
	client = socket_at(world.outside_ns, SOCK_STREAM, outside, 7601);
	connect_to(client, self, 7443);
	if (accept(listener, NULL, NULL) < 0)
		die("runner: accept: %s", strerror(errno));
	printf("tcp pod %s 7380 %s 7601 1\n", pod, seen);
	listener = socket_at(world.outside_ns, SOCK_STREAM, outside, 7778);
	if (listen(listener, 4))
		die("runner: listen: %s", strerror(errno));
	client = socket_at(world.pod_ns, SOCK_STREAM, pod, 7603);
	connect_to(client, outside, 7778);
	if (accept(listener, NULL, NULL) < 0)
		die("runner: accept: %s", strerror(errno));
	printf("tcp pod %s 7603 %s 7778 0\n", pod, outside);
}

static void nat_flows(const char *self, const char *pod, const char *outside, const char *seen)
{
	nat_udp(world.outside_ns, outside, 7600, self, 7443, world.pod_ns, pod, 7353, seen);
	nat_udp(world.pod_ns, pod, 7602, outside, 7777, world.outside_ns, outside, 7777, self);
	nat_udp(world.pod_ns, pod, 7604, self, 7900, world.outside_ns, outside, 7353, self);
	nat_tcp(self, pod, outside, seen);
}

static void make_nat(void)
{
	const char *timeouts = "/proc/sys/net/netfilter/nf_conntrack_udp_timeout";

	if (!world.has_ct)
		return;
	enter(world.node_ns);
	shell("nft -f - <<'EOF'\n%sEOF\n", NAT_RULES);
	shell("echo 1000000 >%s && echo 1000000 >%s_stream", timeouts, timeouts);
	nat_flows(SELF4, POD4, OUTSIDE4, "203.0.113.1");
	nat_flows(SELF6, POD6, OUTSIDE6, "2001:db8:77::1");
	printf("nat\n");
}

/* Test runs take no tag beside the frame: a program puts it there and goes on as the hook's. */
static int tagger_of(int hook_program)
{
	int jump = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "jump", 4, 4, 1, NULL), fd;
	const struct bpf_insn insns[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1},
	    {.code = BPF_LDX | BPF_MEM | BPF_W,
	     .dst_reg = 2,
	     .src_reg = 6,
	     .off = offsetof(struct __sk_buff, cb[0])},
	    {.code = BPF_LDX | BPF_MEM | BPF_W,
	     .dst_reg = 3,
	     .src_reg = 6,
	     .off = offsetof(struct __sk_buff, cb[1])},
	    {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_skb_vlan_push},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 6},
	    {.code = BPF_LD | BPF_DW | BPF_IMM,
	     .dst_reg = 2,
	     .src_reg = BPF_PSEUDO_MAP_FD,
	     .imm = jump},
	    {},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3},
	    {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tail_call},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = NOT_RUN},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	__u32 zero = 0;

	fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "tagger", "GPL", insns,
			   sizeof(insns) / sizeof(insns[0]), NULL);
	if (jump < 0 || fd < 0 || bpf_map_update_elem(jump, &zero, &hook_program, 0))
		die("runner: tagger: %s", strerror(errno));
	return fd;
}

/* ---- one frame */

static __u32 interface(__u8 selector)
{
	const __u32 index[] = {0,	 world.nic, world.nic2, world.other,
			       world.wl, world.wl2, unknown,	world.br};

	if (selector >= sizeof(index) / sizeof(index[0]))
		die("runner: interface %u", selector);
	return index[selector];
}

struct totals {
	__u64 reason[WEIR_NR_REASONS];
	__u64 home[WEIR_NR_HOMES];
};
static struct totals before, *counts; /* what the counting program found */

/*
 * Counters are per CPU, so that a look at all of them takes the kernel longer than to judge a frame. A program reads those
 * of this CPU, which is the only one that runs anything here.
 */
enum { COUNT_INSNS = 11 };

static void count_one(struct bpf_insn *insn, int map, __u32 index, __s16 to)
{
	const struct bpf_insn each[COUNT_INSNS] = {
	    {.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = -4, .imm = index},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10},
	    {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -4},
	    {.code = BPF_LD | BPF_DW | BPF_IMM,
	     .dst_reg = 1,
	     .src_reg = BPF_PSEUDO_MAP_FD,
	     .imm = map},
	    {},
	    {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
	    {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .off = 4},
	    {.code = BPF_LDX | BPF_MEM | BPF_DW,
	     .dst_reg = 1,
	     .src_reg = 0,
	     .off = offsetof(struct weir_count, passed_packets)},
	    {.code = BPF_LDX | BPF_MEM | BPF_DW,
	     .dst_reg = 2,
	     .src_reg = 0,
	     .off = offsetof(struct weir_count, dropped_packets)},
	    {.code = BPF_ALU64 | BPF_ADD | BPF_X, .dst_reg = 1, .src_reg = 2},
	    {.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = 6, .src_reg = 1, .off = to},
	};

	memcpy(insn, each, sizeof(each));
}

static int counter(void)
{
	static struct bpf_insn insns[8 + COUNT_INSNS * (WEIR_NR_REASONS + WEIR_NR_HOMES) + 2];
	LIBBPF_OPTS(bpf_map_create_opts, mapped, .map_flags = BPF_F_MMAPABLE);
	int found = bpf_map_create(BPF_MAP_TYPE_ARRAY, "found", 4, sizeof(*counts), 1, &mapped), fd;
	struct bpf_insn *insn = insns;

	*insn++ = (struct bpf_insn){.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = -4};
	*insn++ =
	    (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10};
	*insn++ = (struct bpf_insn){.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -4};
	*insn++ = (struct bpf_insn){.code = BPF_LD | BPF_DW | BPF_IMM,
				    .dst_reg = 1,
				    .src_reg = BPF_PSEUDO_MAP_FD,
				    .imm = found};
	insn++;
	*insn++ = (struct bpf_insn){.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem};
	*insn++ = (struct bpf_insn){.code = BPF_JMP | BPF_JEQ | BPF_K,
				    .dst_reg = 0,
				    .off = 1 + COUNT_INSNS * (WEIR_NR_REASONS + WEIR_NR_HOMES)};
	*insn++ =
	    (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 0};
	for (int i = 0; i < WEIR_NR_REASONS; i++, insn += COUNT_INSNS)
		count_one(insn, reason_fd, i, offsetof(struct totals, reason) + i * sizeof(__u64));
	for (int i = 0; i < WEIR_NR_HOMES; i++, insn += COUNT_INSNS)
		count_one(insn, home_fd, i, offsetof(struct totals, home) + i * sizeof(__u64));
	*insn++ = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0};
	*insn++ = (struct bpf_insn){.code = BPF_JMP | BPF_EXIT};
	fd =
	    bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "counter", "GPL", insns, insn - insns, NULL);
	counts = mmap(NULL, sizeof(*counts), PROT_READ, MAP_SHARED, found, 0);
	if (fd < 0 || counts == MAP_FAILED)
		die("runner: counter: %s", strerror(errno));
	return fd;
}

static void stay_on(int cpu)
{
	cpu_set_t allowed, one;

	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		die("runner: affinity: %s", strerror(errno));
	cpu %= CPU_COUNT(&allowed);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &allowed) && cpu-- == 0)
			CPU_SET(i, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("runner: affinity: %s", strerror(errno));
}

static void count(struct totals *ret)
{
	static const __u8 none[64];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = none, .data_size_in = sizeof(none),
		    .repeat = 1);

	if (bpf_prog_test_run_opts(counter_fd, &opts))
		die("runner: counting: %s", strerror(errno));
	memcpy(ret, counts, sizeof(*ret));
}

static void moved(__u8 answer[3])
{
	struct totals after;

	count(&after);
	answer[1] = WEIR_NR_REASONS;
	for (int i = 0; i < WEIR_NR_REASONS; i++) {
		if (after.reason[i] == before.reason[i])
			continue;
		/* Notices accompany a verdict. */
		if (i >= WEIR_BLOCK_ADDED && answer[1] != WEIR_NR_REASONS)
			continue;
		answer[1] = i;
	}
	answer[2] = 0;
	for (int i = 0; i < WEIR_NR_HOMES; i++)
		if (after.home[i] != before.home[i])
			answer[2] |= 1 << i;
	before = after;
}

/* Where TCP begins in a frame without extension headers, whatever its tags; 0: elsewhere. */
static size_t tcp_at(const __u8 *frame, size_t len)
{
	size_t at = 14, end;

	while (at + 4 < len && (frame[at - 2] == 0x81 || frame[at - 2] == 0x88) &&
	       (frame[at - 1] == 0 || frame[at - 1] == 0xa8))
		at += 4;
	if (frame[at - 2] == 0x08 && frame[at - 1] == 0)
		end = at + (frame[at] & 15) * 4;
	else
		end = at + 40;
	return end + 20 <= len ? end : 0;
}

static __u32 number_at(const __u8 *at)
{
	__u32 number;

	memcpy(&number, at, sizeof(number));
	return ntohl(number);
}

static void put_number(__u8 *at, __u32 number)
{
	number = htonl(number);
	memcpy(at, &number, sizeof(number));
}

static __u32 ones_sum(const __u8 *at, size_t len, __u32 sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? at[i] : at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __u32 cookie; /* the last one sent */

/* A SYN-ACK to whom the SYN came from, with right sums: noted. */
static bool good_answer(const __u8 *syn, size_t syn_len, const __u8 *answer, size_t len)
{
	size_t was = tcp_at(syn, syn_len), is = tcp_at(answer, len), ip, addresses, size;
	bool six;

	if (!is || memcmp(syn, answer + 6, 6) || memcmp(syn + 6, answer, 6))
		return false;
	for (ip = 14; answer[ip - 2] != 0x08 && answer[ip - 2] != 0x86;)
		ip += 4;
	six = answer[ip - 2] == 0x86;
	addresses = ip + (six ? 8 : 12);
	/* A short one is padded to what Ethernet sends at least. */
	size = ip + (six ? 40 + (answer[ip + 4] << 8 | answer[ip + 5])
			 : answer[ip + 2] << 8 | answer[ip + 3]);
	if (size > len || (size < len && len != 60))
		return false;
	if (!six && ones_sum(answer + ip, 20, 0) != 0xffff)
		return false;
	if (ones_sum(answer + is, size - is,
		     ones_sum(answer + addresses, six ? 32 : 8, IPPROTO_TCP + size - is)) != 0xffff)
		return false;
	if ((answer[is + 13] & 0x17) != 0x12)
		return false;
	cookie = number_at(answer + is + 4);
	/* Of a SYN with options or extension headers only so much is looked at. */
	if (!was || (syn[13] == 0xdd && syn[20] != IPPROTO_TCP))
		return true;
	return number_at(answer + is + 8) == number_at(syn + was + 4) + 1 &&
	       !memcmp(answer + is, syn + was + 2, 2) && !memcmp(answer + is + 2, syn + was, 2) &&
	       !memcmp(answer + addresses, syn + addresses + (six ? 16 : 4), six ? 16 : 4) &&
	       !memcmp(answer + addresses + (six ? 16 : 4), syn + addresses, six ? 16 : 4);
}

static void run_one(struct cursor *from, bool proves, __u8 answer[3])
{
	static __u8 in[8192], out[16384];
	size_t mark; /* what XDP put in front of the frame */
	__u8 hook = TAKE(from, __u8), at = TAKE(from, __u8), arrived = TAKE(from, __u8);
	__u16 tpid = TAKE(from, __u16), tci = TAKE(from, __u16);
	__u16 gso_size = TAKE(from, __u16), gso_segs = TAKE(from, __u16), len = TAKE(from, __u16);
	struct __sk_buff skb = {.ifindex = interface(at),
				.ingress_ifindex = interface(arrived),
				.gso_size = gso_size,
				.gso_segs = gso_segs};
	struct xdp_md md = {.data_end = len, .ingress_ifindex = interface(at)}, after = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = len, .data_out = out,
		    .data_size_out = sizeof(out), .repeat = 1, .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb));

	if (hook > WEIR_HOOK_BR_OUT || len > sizeof(in))
		die("runner: frame of %u bytes at hook %u", len, hook);
	take(from, in, len);
	if (hook == WEIR_HOOK_XDP) {
		opts.ctx_in = &md;
		opts.ctx_size_in = sizeof(md);
		opts.ctx_out = &after;
		opts.ctx_size_out = sizeof(after);
	}
	if (proves && tcp_at(in, len))
		put_number(in + tcp_at(in, len) + 8, cookie + 1);
	skb.cb[0] = htons(tpid);
	skb.cb[1] = tci;
	answer[0] = 2;
	answer[1] = WEIR_NR_REASONS;
	answer[2] = 0;
	if (bpf_prog_test_run_opts(tpid ? tagging[hook] : program[hook], &opts)) {
		if (errno != EINVAL)
			die("runner: test run: %s", strerror(errno));
		return;
	}
	if (opts.retval == NOT_RUN)
		die("runner: a tagged frame was not run");
	answer[0] = opts.retval == (hook == WEIR_HOOK_XDP ? XDP_PASS : (__u32)-1);
	mark = after.data - after.data_meta;
	if (hook == WEIR_HOOK_XDP && opts.retval == XDP_TX)
		answer[0] = good_answer(in, len, out + mark, opts.data_size_out - mark) ? 4 : 3;
	moved(answer);
}

static void block_one(struct cursor *from)
{
	__u8 length = TAKE(from, __u8);
	__u64 ns = TAKE(from, __u64);
	char text[INET6_ADDRSTRLEN];
	__u8 address[16];

	take(from, address, sizeof(address));
	if (!memcmp(address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12))
		inet_ntop(AF_INET, address + 12, text, sizeof(text));
	else
		inet_ntop(AF_INET6, address, text, sizeof(text));
	block(text, length, ns ? world.control->fake_ns + ns : 0);
}

static int map_of(const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(world.xdp->obj, name);

	if (fd < 0)
		die("runner: no map %s", name);
	return fd;
}

static void clear(const char *name)
{
	__u8 key[64];

	while (bpf_map_get_next_key(map_of(name), NULL, key) == 0)
		bpf_map_delete_elem(map_of(name), key);
}

static void check_clock(void)
{
	if (world.control->fake_ns > CLOCK_MAX)
		die("runner: the clock is too far for limits");
}

static size_t run_batch(struct cursor *from, __u8 *answers)
{
	size_t n = 0;

	while (from->at < from->end) {
		__u8 type = TAKE(from, __u8);

		switch (type) {
		case 'F':
		case 'A':
			run_one(from, type == 'A', answers + n);
			n += 3;
			break;
		case 'C':
			world.control->fake_ns += TAKE(from, __u64);
			check_clock();
			break;
		case 'K':
			block_one(from);
			break;
		case 'U':
			clear("weir_block");
			world.control->blocks = 0;
			break;
		case 'L':
			memset(world.tat, 0, WORLD_TATS * sizeof(*world.tat));
			clear("weir_autoblk");
			world.control->autoblocks = 0;
			break;
		default:
			die("runner: unknown operation");
		}
	}
	return n;
}

/* What the loader finds by the names of interfaces. */
static void check_paths(__u32 ifindex, __u8 antispoof)
{
	struct weir_iface iface = {};

	if (bpf_map_lookup_elem(map_of("weir_iface"), &ifindex, &iface))
		die("runner: interface %u: %s", ifindex, strerror(errno));
	memset(iface.antispoof, antispoof, sizeof(iface.antispoof));
	bpf_map_update_elem(map_of("weir_iface"), &ifindex, &iface, 0);
}

/* Workloads become ports of br0, or no longer are. */
static void bridge(bool wanted)
{
	static bool bridged;

	if (wanted == bridged)
		return;
	bridged = wanted;
	if (wanted) {
		watch_port(world.wl, world.pod_nsid);
		watch_port(world.wl2, -1);
		bind_local("fe80::2", world.br, WEIR_WORKLOAD, world.wl, 0);
		bind_local("fe80::a06", world.br, WEIR_SELF, 0, 0);
		return;
	}
	watch(world.wl, WEIR_IF_WORKLOAD, world.pod_nsid);
	watch(world.wl2, WEIR_IF_WORKLOAD, -1);
	unbind_local("fe80::2", world.br);
	unbind_local("fe80::a06", world.br);
}

static void new_policy(char *message)
{
	world_reset(NULL);
	check_clock();
	cookie = 0;
	world.forwarding = message[0] & 1;
	bridge(message[0] & 2);
	policy(message + 3);
	check_paths(world.nic, message[1]);
	check_paths(world.nic2, message[2]);
	count(&before);
	fputc(1, stdout);
	fflush(stdout);
}

static void serve(void)
{
	__u8 *message = malloc(MESSAGE_MAX + 1), *answers = malloc(MESSAGE_MAX);
	struct cursor from;
	__u32 length, n;
	char type;

	if (!message || !answers)
		die("runner: no memory");
	while (read_all(&type, 1) && read_all(&length, sizeof(length))) {
		if (length > MESSAGE_MAX || !read_all(message, length))
			die("runner: message of %u bytes", length);
		message[length] = 0;
		if (type == 'P') {
			new_policy((char *)message);
			continue;
		}
		from = (struct cursor){message, message + length};
		n = run_batch(&from, answers);
		fwrite(&n, sizeof(n), 1, stdout);
		fwrite(answers, 1, n, stdout);
		fflush(stdout);
	}
	free(answers);
	free(message);
}

int main(int argc, char **argv)
{
	stay_on(argc > 1 ? atoi(argv[1]) : 0);
	world_setup(NULL);
	program[WEIR_HOOK_XDP] = bpf_program__fd(world.xdp->progs.weir_xdp);
	program[WEIR_HOOK_NIC_IN] = bpf_program__fd(world.tc->progs.weir_nic_in);
	program[WEIR_HOOK_NIC_OUT] = bpf_program__fd(world.tc->progs.weir_nic_out);
	program[WEIR_HOOK_WL_OUT] = bpf_program__fd(world.tc->progs.weir_wl_out);
	program[WEIR_HOOK_WL_IN] = bpf_program__fd(world.tc->progs.weir_wl_in);
	program[WEIR_HOOK_BR_IN] = bpf_program__fd(world.tc->progs.weir_br_in);
	program[WEIR_HOOK_BR_OUT] = bpf_program__fd(world.tc->progs.weir_br_out);
	for (int hook = WEIR_HOOK_NIC_IN; hook <= WEIR_HOOK_BR_OUT; hook++)
		tagging[hook] = tagger_of(program[hook]);
	add_routes();
	tell_devices();
	unknown = if_nametoindex("br1");
	reason_fd = map_of("weir_rsncnt");
	home_fd = map_of("weir_homecnt");
	counter_fd = counter();
	open_sockets();
	serve();
	return 0;
}
