/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The real programs, loaded but attached to nothing, in a small world of namespaces:
 *
 *   outside --- nic     (a NIC, watched)      192.0.2.1, 2001:db8::1 here; 192.0.2.100, 2001:db8::100 there
 *   outside --- nic2    (another, watched)
 *   outside --- other   (not watched)
 *   pod     --- wl      (a workload's veth)   203.0.113.2, 2001:db8:77::2
 *   pod     --- wl2     (another's)           203.0.113.130, 2001:db8:78::2
 *               br0     (a bridge; tests say whose)
 *
 * Time is injected: world.control->fake_ns is every clock of the programs.
 */
#ifndef WEIR_TESTS_HARNESS_H
#define WEIR_TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "packets.h"
#include "weir/event.h"
#include "weir/reason.h"
#include "weir/tables.h"

#define SELF4	 "192.0.2.1"
#define SELF6	 "2001:db8::1"
#define PEER4	 "198.51.100.7"
#define PEER6	 "2001:db8:51::7"
#define OUTSIDE4 "192.0.2.100"
#define OUTSIDE6 "2001:db8::100"
#define POD4	 "203.0.113.2"
#define POD6	 "2001:db8:77::2"
#define POD2_4	 "203.0.113.130"
#define POD2_6	 "2001:db8:78::2"
#define NIC_MAC	 OFFER_MAC
#define BR_MAC	 "\x02\x00\x00\x00\x0a\x06"

#define S_NS	   1000000000ULL
#define WORLD_TATS 131072 /* buckets of the limiter */

struct weir_xdp;
struct weir_tc;

struct world {
	struct weir_xdp *xdp;
	struct weir_tc *tc;
	struct weir_control *control; /* mapped */
	struct weir_tat *tat;	      /* mapped, WORLD_TATS */
	__u64 *over;		      /* mapped, 16 limits */
	__u32 nic, nic2, other, wl, wl2, br;
	__s32 pod_nsid;
	int node_ns, outside_ns, pod_ns;
	bool forwarding; /* what the next policy is told about the node */
	bool has_ct;	 /* the kernel has bpf_skb_ct_lookup(), and the programs use it */
	bool l3;	 /* set before world_setup(): weir_l3_in and weir_l3_out are loaded, too */
	struct tables *tables[WEIR_NR_SLOTS];
};
extern struct world world;

/** world_setup(), world_teardown() - group fixtures: namespaces, interfaces, programs. Skips (exit 77) without root. */
int world_setup(void **state);
int world_teardown(void **state);

/** world_reset() - test fixture: no state left of earlier tests (the clock jumps ahead of every expiry), counters 0. */
int world_reset(void **state);

/** policy_fill() - compile @text into @slot as @generation; the word is as before. */
void policy_fill(unsigned int slot, __u32 generation, const char *text);
/** policy() - @text judges from now on, as the next generation in the other slot. */
void policy(const char *text);
/** policy_refused() - @text does not compile. */
void policy_refused(const char *text);

/** rule_counter() - counter index of the rule called @name; limit_of() - index of the limit. */
__u32 rule_counter(const char *name);
__u32 limit_of(const char *name);

void bind_local(const char *address, __u32 scope, __u32 kind, __u32 ifindex, __u32 flags);
void unbind_local(const char *address, __u32 scope);
void watch(__u32 ifindex, __u32 flags, __s32 nsid);
/** watch_port() - a workload as a port of the guarded bridge world.br; unwatch() - an interface that nobody knows. */
void watch_port(__u32 ifindex, __s32 nsid);
void unwatch(__u32 ifindex);
/** watch_paths() - a NIC with antispoof; @master: what it is a port of, @lower: the device that it is a VLAN on, 0: none. */
void watch_paths(__u32 ifindex, enum weir_antispoof mode, __u32 master, __u32 lower);

/** own_unit() - sockets made in @cgroup are of a unit: 1 is web.service, 2 dns.service in policies; 0: of none. */
void own_unit(__u64 cgroup, __u32 unit);

/** block() - run-time block of a prefix until @expires_ns of the injected clock (0: for ever). */
void block(const char *address, unsigned int length, __u64 expires_ns);

/**
 * struct hop - where a frame meets a program. Zero: the usual interface of that hook.
 * @ifindex: interface of the hook; @arrived: interface of arrival as TC tells it (0: made here)
 */
struct hop {
	enum weir_hook hook;
	__u32 ifindex;
	__u32 arrived;
	__u32 gso_size, gso_segs;
};

/**
 * struct outcome - what one run did.
 * @reason: the one reason counter that moved (WEIR_NR_REASONS: none, the packet was not judged)
 * @homes:  bit h: home h judged (passed or dropped); @home_packets: how often in all
 */
struct outcome {
	bool pass;
	enum weir_reason reason;
	unsigned int homes;
	unsigned int home_packets;
};

/** run_frame() - one frame through one hook, with everything that moved. */
struct outcome run_frame(const struct hop *hop, const struct frame *frame);
/** run_passes() - the same, only whether it passed: fast. */
bool run_passes(const struct hop *hop, const struct frame *frame);
/** run_repeat() - @n times in the kernel; returns ns for each. */
__u64 run_repeat(const struct hop *hop, const struct frame *frame, unsigned int n);
/** run_answer() - XDP_* of one frame that arrives at the NIC, and what became of it. */
__u32 run_answer(const struct frame *frame, struct frame *ret);
/** cookie_state() - of the protected service whose state this is; cookies_forget() - all of them, and what was proved. */
struct weir_cookie cookie_state(__u32 index);
void cookies_forget(void);
/** set_mtu() - of an interface, as the programs know it. */
void set_mtu(__u32 ifindex, __u32 mtu);
/** run_mark() - XDP's metadata behind the run: 0 and the word in @ret when there is some. */
int run_mark(const struct frame *frame, __u32 *ret);

/** ends_of() - who usually sends to whom at a hook. */
const struct ends *ends_of(enum weir_hook hook);

/* A packet in the words of a test: layers from E (struct ends) at hook. */
#define FRAME(ends, ...)                                                                    \
	({                                                                                  \
		static struct frame _frame;                                                 \
		frame_build((const struct layer[]){ETH(), __VA_ARGS__, {}}, ends, &_frame); \
		&_frame;                                                                    \
	})
#define AT(...) (&(const struct hop){__VA_ARGS__})

#define assert_passes(hop, frame)     assert_outcome(hop, frame, WEIR_OK, __FILE__, __LINE__)
#define assert_drops(hop, frame, why) assert_outcome(hop, frame, why, __FILE__, __LINE__)
void assert_outcome(const struct hop *hop, const struct frame *frame, enum weir_reason wanted,
		    const char *file, int line);

const char *reason_name(enum weir_reason reason);

/* Counters, summed over CPUs. */
struct weir_count count_rule(__u32 index);
struct weir_count count_limit(__u32 index);
struct weir_count count_reason(enum weir_reason reason);
struct weir_count count_home(enum weir_home home);
struct weir_books books(void);
void counters_clear(void);

/** flows_of() - live entries of a region. */
size_t flows_of(enum weir_flow_region region);
size_t flows_in_all(void);

/** shell() - a command in the namespace that the test is in; enter() - another one. */
void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
void enter(int ns);

/* Sockets. */
struct pair {
	int listener, server, client;
	__u16 server_port, client_port; /* host order */
};
/** tcp_connect() - a connection between namespaces: @server_ns listens at @server, @client_ns opens from @client. */
void tcp_connect(int server_ns, const char *server, int client_ns, const char *client,
		 struct pair *ret);
void pair_close(struct pair *pair);
/** tcp_open() - a connected socket; @to need not be where its server listens. */
int tcp_open(int ns, const char *client, const char *to, __u16 to_port, __u16 *ret_port);
int tcp_listen(int ns, const char *address, __u16 *port);
/** udp_socket() - bound at @address; connected to @peer:@peer_port when @peer. */
int udp_socket(int ns, const char *address, __u16 *port, const char *peer, __u16 peer_port);

/* The perf ring: what the programs told. */
struct events {
	struct weir_event event[256];
	size_t n, lost;
	void *ring;
};
void events_open(struct events *events);
void events_drain(struct events *events);
void events_close(struct events *events);

#endif
