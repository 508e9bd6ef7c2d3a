/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reverse paths (RFC 3704): would an answer leave by the interface that the packet came by?
 *
 * The kernel's own table is asked as its rp_filter asks: for the route to the source, from the destination, as if from
 * the loopback device, so that policy routing counts. bpf_fib_lookup() answers only where forwarding is on for the
 * device that it is asked about: the loader sees to lo's (net.ipv4.conf.lo.forwarding, net.ipv6.conf.lo.forwarding).
 */
#ifndef WEIR_ROUTE_H
#define WEIR_ROUTE_H

#include "visit.h"

#define LOOPBACK_IFINDEX 1
#define PATHS_TRIED	 16

/* The route goes out by a device on top of this interface, or that it is a port of. */
static __always_inline int same_link(const struct visit *v, const struct weir_iface *iface,
				     __u32 out)
{
	const struct weir_iface *upper;

	if (out == v->ifindex || (iface->master && out == iface->master))
		return 1;
	upper = iface_find(out);
	return upper && upper->lower &&
	       (upper->lower == v->ifindex || upper->lower == iface->master);
}

/*
 * The route to the packet's source, in v->fib; 0: there is none. @salt: another flow of the same two hosts, for the hash
 * by which one of several next hops is taken
 */
__noinline int route_back(struct WEIR_CTX *ctx, struct visit *v, __u32 ifindex, __u32 flags,
			  __u32 salt)
{
	struct bpf_fib_lookup *fib;
	const struct packet *pkt;
	long found;
	int group;

	if (!v)
		return 0;
	fib = &v->fib;
	pkt = &v->pkt;
	/* From there no packet comes, and for a link-local end the kernel looks for no route (NOT_FWDED). */
	group = address_multicast(&pkt->dst, pkt->family) ||
		(pkt->family == 6 && address_link_local6(&pkt->dst));
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = ifindex;
	fib->tot_len = 1; /* else the packet's own length is held against the route's MTU */
	fib->l4_protocol = pkt->proto;
	if (pkt->flags & PKT_PORTS) {
		fib->sport = pkt->dport ^ (__u16)salt;
		fib->dport = pkt->sport;
	}
	if (pkt->family == 4) {
		fib->family = 2;
		fib->ipv4_dst = pkt->src.w[3];
		if (!group)
			fib->ipv4_src = pkt->dst.w[3] ^ BE32(salt);
	} else {
		fib->family = 10;
		fib->flowinfo = BE32(salt);
		*(union address *)fib->ipv6_dst = pkt->src;
		if (!group)
			*(union address *)fib->ipv6_src = pkt->dst;
	}
	found = bpf_fib_lookup(ctx, fib, sizeof(*fib), flags);
	return found == BPF_FIB_LKUP_RET_SUCCESS || found == BPF_FIB_LKUP_RET_NO_NEIGH;
}

static __always_inline int by_gateway(const struct visit *v)
{
	const struct bpf_fib_lookup *fib = &v->fib;

	if (v->pkt.family == 4)
		return fib->family != 2 || fib->ipv4_dst != v->pkt.src.w[3];
	return !address_same((const union address *)fib->ipv6_dst, &v->pkt.src);
}

/*
 * Of a route with several next hops the helper tells one, by a hash of addresses and ports; the others count as well.
 * They are looked for where there can be any: in the main table, whose route must be the one found before (@out,
 * @metric, @gateway), with a route of the same metric out of this interface; by asking for other flows of these hosts,
 * which without rules differ in nothing but the hash. (Of two next hops one in 65,536 pairs of hosts misses the other.)
 */
__noinline int other_next_hop_missing(struct WEIR_CTX *ctx, struct visit *v, __u32 out,
				      __u32 metric, int gateway)
{
	const struct weir_iface *iface;

	if (!v)
		return 1;
	iface = iface_find(v->ifindex);
	if (!iface ||
	    !route_back(ctx, v, iface->master ? iface->master : v->ifindex,
			BPF_FIB_LOOKUP_DIRECT | BPF_FIB_LOOKUP_OUTPUT, 0) ||
	    v->fib.rt_metric != metric || by_gateway(v) != gateway)
		return 1;
	if (!route_back(ctx, v, LOOPBACK_IFINDEX, BPF_FIB_LOOKUP_DIRECT, 0) ||
	    v->fib.ifindex != out || v->fib.rt_metric != metric)
		return 1;
	for (__u32 salt = 1; salt <= PATHS_TRIED; salt++) {
		if (!route_back(ctx, v, LOOPBACK_IFINDEX, BPF_FIB_LOOKUP_DIRECT, salt))
			return 1;
		if (same_link(v, iface, v->fib.ifindex))
			return 0;
	}
	return 1;
}

/**
 * reverse_path_missing() - does the interface want a reverse path that the packet's source does not have?
 * What the kernel does not answer counts as missing.
 */
__noinline int reverse_path_missing(struct WEIR_CTX *ctx, struct visit *v)
{
	const struct weir_iface *iface;
	const struct packet *pkt;
	__u8 mode;

	if (!v)
		return 1;
	pkt = &v->pkt;
	iface = iface_find(v->ifindex);
	mode = iface ? iface->antispoof[v->slot & 1] : WEIR_ANTISPOOF_OFF;
	if (mode == WEIR_ANTISPOOF_OFF)
		return 0;
	/* What has no route by its nature. */
	if (pkt->family == 4 ? !pkt->src.w[3] || pkt->proto == PROTO_IGMP
			     : pkt->proto == PROTO_ICMPV6 || address_link_local6(&pkt->src) ||
				   (!pkt->src.d[0] && !pkt->src.d[1]))
		return 0;
	if (!route_back(ctx, v, LOOPBACK_IFINDEX, 0, 0))
		return 1;
	if (mode == WEIR_ANTISPOOF_LOOSE || same_link(v, iface, v->fib.ifindex))
		return 0;
	return other_next_hop_missing(ctx, v, v->fib.ifindex, v->fib.rt_metric, by_gateway(v));
}

#endif
