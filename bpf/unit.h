/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Units: which service of this node a packet belongs to, by the cgroup that its socket was made in.
 *
 * The tables know a unit as an address that no packet bears (WEIR_UNIT_ADDRESS): its class, as one of this node's, is
 * asked next to that of the node's own address, and ruling() unites what the two say. What has no socket (echo, later
 * fragments that arrive, a kernel's own packets) is of no unit.
 */
#ifndef WEIR_UNIT_H
#define WEIR_UNIT_H

#include "visit.h"

#ifdef WEIR_TC
#include <bpf/bpf_core_read.h>

/* What is read of the kernel's structures, found by name (CO-RE). */
struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));
struct cgroup {
	struct kernfs_node *kn;
} __attribute__((preserve_access_index));
struct sock_cgroup_data {
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));
struct sock {
	struct sock_cgroup_data sk_cgrp_data;
} __attribute__((preserve_access_index));

/* Cleared by a loader whose kernel keeps no cgroup with its sockets. */
const volatile __u8 weir_has_units = 1;

/*
 * bpf_sk_cgroup_id() is not for TC programs: what it does is done by hand. The address of the socket goes through memory,
 * where the verifier forgets that it is one; the reference is held meanwhile.
 */
static __always_inline __u64 socket_cgroup(struct visit *v, struct bpf_sock *sk)
{
	const struct sock *socket = (void *)(long)FORGET(v->query.netns, (__u64)(long)sk);

	v->query.netns = 0;
	return BPF_CORE_READ(socket, sk_cgrp_data.cgroup, kn, id);
}

/* Of the socket to which a packet goes. */
static __always_inline __u64 unit_receiver(struct __sk_buff *skb, struct visit *v)
{
	const struct packet *pkt = &v->pkt;
	struct socket_query *query = &v->query;
	__u32 size = pkt->family == 4 ? sizeof(query->tuple.ipv4) : sizeof(query->tuple.ipv6);
	struct bpf_sock *sk;
	__u64 cgroup;

	if (!(pkt->flags & PKT_PORTS))
		return 0;
	socket_query_of(&pkt->src, pkt->sport, &pkt->dst, pkt->dport, pkt->family, -1, query);
	if (pkt->proto == PROTO_TCP)
		sk = bpf_sk_lookup_tcp(skb, &query->tuple, size, query->netns, 0);
	else if (pkt->proto == PROTO_UDP)
		sk = bpf_sk_lookup_udp(skb, &query->tuple, size, query->netns, 0);
	else
		return 0;
	if (!sk)
		return 0;
	cgroup = socket_cgroup(v, sk);
	bpf_sk_release(sk);
	return cgroup;
}

/** unit_find() - v->unit and v->own of a packet that this node sends (@egress) or receives. Classes must be set. */
__noinline int unit_find(struct __sk_buff *skb, struct visit *v, int egress)
{
	const struct weir_unit *unit;
	__u64 cgroup;
	__u32 class;

	if (!v || !weir_has_units)
		return 0;
	cgroup = egress ? bpf_skb_cgroup_id(skb) : unit_receiver(skb, v);
	unit = bpf_map_lookup_elem(&weir_unit, &cgroup);
	if (!unit)
		return 0;
	class = classify_address(v->slot, 0, (__u64)(WEIR_UNIT_ADDRESS + unit->unit) << 32, 0);
	if (class == WEIR_NONE)
		return 0;
	v->own = egress ? v->src : v->dst;
	v->unit = class; /* + WEIR_SELF * classes; 0: of no rule's, as none */
	return 0;
}
#else
static __always_inline int unit_find(struct WEIR_CTX *ctx, struct visit *v, int egress)
{
	return 0;
}
#endif

#endif
