/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who a packet was before NAT: conntrack's entry for it, by bpf_skb_ct_lookup().
 *
 * The kernel looks up TCP and UDP only: of other protocols behind a masquerade nobody knows whose they are. Measured, a
 * lookup costs 130 ns where one in weir's own table of flows costs 40, and only packets whose source NAT replaced need
 * one. Nothing is cached: an entry of ours could outlive conntrack's, and charge the next user of a port as the last one.
 */
#ifndef WEIR_NAT_H
#define WEIR_NAT_H

#include "visit.h"

/* Which way a packet goes in its flow. */
enum nat_way {
	NAT_UNASKED = 0,
	NAT_NONE = 1,  /* conntrack has no such flow, or nobody can ask */
	NAT_OPENS = 2, /* from who opened the flow */
	NAT_ANSWERS = 3,
};

/* Where the packet stands: at hooks where it comes in, before NAT, or where it leaves, after. */
enum nat_side { NAT_BEFORE = 0, NAT_AFTER = 1 };

/* What is read of the kernel's structures, found by name (CO-RE). */
struct nf_conntrack_tuple___weir {
	struct {
		union nf_inet_addr___weir {
			__u32 all[4];
		} u3;
		union nf_conntrack_man_proto___weir {
			__be16 all;
		} u;
	} src;
	struct {
		union nf_inet_addr___weir u3;
		union {
			__be16 all;
		} u;
	} dst;
} __attribute__((preserve_access_index));
struct nf_conntrack_tuple_hash___weir {
	struct nf_conntrack_tuple___weir tuple;
} __attribute__((preserve_access_index));
struct nf_conn {
	struct nf_conntrack_tuple_hash___weir tuplehash[2]; /* as it opened, as its answers come */
} __attribute__((preserve_access_index));

/* The first 12 bytes are all that 6.1 knows; later kernels take that length, too. */
struct bpf_ct_opts {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

/* Weak: kernels without conntrack load the programs as well, with weir_has_ct 0. */
#ifdef WEIR_TC
#define CT_LOOKUP bpf_skb_ct_lookup
#else
#define CT_LOOKUP bpf_xdp_ct_lookup
#endif
extern struct nf_conn *CT_LOOKUP(struct WEIR_CTX *ctx, struct bpf_sock_tuple *tuple,
				 __u32 tuple_len, struct bpf_ct_opts *opts,
				 __u32 opts_len) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *ct) __ksym __weak;

/* Set by the loader where the kernel has these. */
const volatile __u8 weir_has_ct = 0;

/* The packet's own tuple, or that of its answer. */
static __always_inline void nat_tuple(const struct packet *pkt, enum nat_side side,
				      struct bpf_sock_tuple *tuple)
{
	const union address *src = side == NAT_AFTER ? &pkt->dst : &pkt->src;
	const union address *dst = side == NAT_AFTER ? &pkt->src : &pkt->dst;
	__be16 sport = side == NAT_AFTER ? pkt->dport : pkt->sport;
	__be16 dport = side == NAT_AFTER ? pkt->sport : pkt->dport;

	__builtin_memset(tuple, 0, sizeof(*tuple));
	if (pkt->family == 4) {
		tuple->ipv4.saddr = src->w[3];
		tuple->ipv4.daddr = dst->w[3];
		tuple->ipv4.sport = sport;
		tuple->ipv4.dport = dport;
	} else {
		__builtin_memcpy(tuple->ipv6.saddr, src, 16);
		__builtin_memcpy(tuple->ipv6.daddr, dst, 16);
		tuple->ipv6.sport = sport;
		tuple->ipv6.dport = dport;
	}
}

/* Addresses and ports of the packet that opened the flow, before NAT. */
static __always_inline void nat_read(struct visit *v, const struct nf_conn *ct)
{
	const struct nf_conntrack_tuple___weir *t = &ct->tuplehash[0].tuple;
	struct nat_flow *nat = &v->nat;

	if (v->pkt.family == 4) {
		address_v4(&nat->src, t->src.u3.all[0]);
		address_v4(&nat->dst, t->dst.u3.all[0]);
	} else {
#pragma clang loop unroll(full)
		for (int i = 0; i < 4; i++) {
			nat->src.w[i] = t->src.u3.all[i];
			nat->dst.w[i] = t->dst.u3.all[i];
		}
	}
	nat->sport = t->src.u.all;
	nat->dport = t->dst.u.all;
}

enum { CT_NONE = 0, CT_OPENED = 1, CT_ANSWER = 2 };

/* Which of a flow's two tuples v->query.tuple is, CT_*; what the opener sent is in v->nat. */
static __always_inline int nat_ask(struct WEIR_CTX *ctx, struct visit *v, __u8 proto)
{
	struct bpf_ct_opts opts = {.netns_id = -1, .l4proto = proto};
	struct bpf_sock_tuple *tuple = &v->query.tuple;
	struct nf_conn *ct;

	if (v->pkt.family == 4)
		ct = CT_LOOKUP(ctx, tuple, sizeof(tuple->ipv4), &opts, sizeof(opts));
	else
		ct = CT_LOOKUP(ctx, tuple, sizeof(tuple->ipv6), &opts, sizeof(opts));
	if (!ct)
		return CT_NONE;
	nat_read(v, ct);
	bpf_ct_release(ct);
	return opts.dir ? CT_ANSWER : CT_OPENED;
}

/**
 * nat_find() - conntrack's flow of a packet of TCP or UDP.
 * @side: enum nat_side. Where a packet leaves it is neither of the two tuples of its flow: its answer's is one.
 *
 * Returns enum nat_way; what the opener sent is in v->nat.
 */
__noinline int nat_find(struct WEIR_CTX *ctx, struct visit *v, __u32 side)
{
	int found;

	if (!v || !weir_has_ct)
		return NAT_NONE;
	nat_tuple(&v->pkt, side, &v->query.tuple);
	found = nat_ask(ctx, v, v->pkt.proto);
	if (found == CT_NONE)
		return NAT_NONE;
	return found == (side == NAT_AFTER ? CT_OPENED : CT_ANSWER) ? NAT_ANSWERS : NAT_OPENS;
}

/** nat_of_error() - of which flow the packet is that an ICMP error quotes, as it left by a NIC: CT_* of its answer. */
__noinline int nat_of_error(struct WEIR_CTX *ctx, struct visit *v)
{
	const struct packet *pkt;

	if (!v || !weir_has_ct)
		return CT_NONE;
	pkt = &v->pkt;
	socket_query_of(&pkt->inner_dst, pkt->inner_dport, &pkt->inner_src, pkt->inner_sport,
			pkt->family, -1, &v->query);
	return nat_ask(ctx, v, pkt->inner_proto);
}

/*
 * Conntrack reassembles what NAT rewrites, and what leaves may be in fragments again, the first of them first and the
 * others at once behind it, on the same CPU. So the later ones, which have no ports, are whose the first was.
 */
struct datagram {
	union address src;
	union address dst;
	__be32 id;
	__u32 ifindex;
	__u8 proto;
	__u8 hook;
	__u8 way;
	__u8 pad;
	struct nat_flow nat;
};
#define DATAGRAMS 16 /* senders of fragments can be interrupted by others */
WEIR_PERCPU(weir_datagram, struct datagram, DATAGRAMS);

static __always_inline int datagram_matches(const struct datagram *d, const struct visit *v)
{
	return d->id == v->pkt.fragment_id && d->proto == v->pkt.proto &&
	       d->ifindex == v->ifindex && d->hook == v->hook &&
	       address_same(&d->src, &v->pkt.src) && address_same(&d->dst, &v->pkt.dst);
}

/** nat_of_fragment() - nat_find() for a datagram in fragments. */
__noinline int nat_of_fragment(struct WEIR_CTX *ctx, struct visit *v, __u32 side)
{
	struct datagram *d;
	__u32 index;

	if (!v)
		return NAT_NONE;
	index = (BE32(v->pkt.fragment_id) ^ v->ifindex) & (DATAGRAMS - 1);
	d = bpf_map_lookup_elem(&weir_datagram, &index);
	if (!d)
		return NAT_NONE;
	if (v->pkt.flags & PKT_LATER) {
		if (!datagram_matches(d, v))
			return NAT_NONE;
		v->nat = d->nat;
		return d->way;
	}
	d->way = nat_find(ctx, v, side);
	d->src = v->pkt.src;
	d->dst = v->pkt.dst;
	d->id = v->pkt.fragment_id;
	d->ifindex = v->ifindex;
	d->hook = v->hook;
	d->proto = v->pkt.proto;
	d->nat = v->nat;
	return d->way;
}

/**
 * nat_of() - which way a packet goes in the flow that conntrack knows it by; NAT_NONE where nobody can tell. Asked once a
 * visit.
 */
static __always_inline int nat_of(struct WEIR_CTX *ctx, struct visit *v, enum nat_side side)
{
	if (!weir_has_ct || (v->pkt.proto != PROTO_TCP && v->pkt.proto != PROTO_UDP))
		return NAT_NONE;
	if (v->way == NAT_UNASKED)
		v->way = v->pkt.flags & PKT_FRAGMENT ? nat_of_fragment(ctx, v, side)
						     : nat_find(ctx, v, side);
	return v->way;
}

/** nat_known() - whether conntrack can be asked at all. */
static __always_inline int nat_known(void)
{
	return weir_has_ct;
}

#endif
