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

/**
 * reverse_path_missing() - does the interface want a reverse path that the packet's source does not have?
 * What the kernel does not answer counts as missing.
 */
__noinline int reverse_path_missing(struct WEIR_CTX *ctx, struct visit *v)
{
	struct bpf_fib_lookup fib = {.ifindex = LOOPBACK_IFINDEX};
	const struct weir_iface *iface;
	const struct packet *pkt;
	__u8 mode;
	long found;

	if (!v)
		return 1;
	pkt = &v->pkt;
	iface = iface_find(v->ifindex);
	mode = iface ? iface->antispoof[v->slot & 1] : WEIR_ANTISPOOF_OFF;
	if (mode == WEIR_ANTISPOOF_OFF)
		return 0;
	fib.l4_protocol = pkt->proto;
	if (pkt->flags & PKT_PORTS) {
		fib.sport = pkt->dport;
		fib.dport = pkt->sport;
	}
	fib.tot_len = 1; /* else the packet's own length is held against the route's MTU */
	if (pkt->family == 4) {
		if (!pkt->src.w[3] || pkt->proto == PROTO_IGMP)
			return 0;
		fib.family = 2;
		fib.ipv4_dst = pkt->src.w[3];
		if (!address_multicast(&pkt->dst, 4))
			fib.ipv4_src = pkt->dst.w[3];
	} else {
		if (pkt->proto == PROTO_ICMPV6 || address_link_local6(&pkt->src) ||
		    (!pkt->src.d[0] && !pkt->src.d[1]))
			return 0;
		fib.family = 10;
		*(union address *)fib.ipv6_dst = pkt->src;
		/* Nor does the kernel route for a link-local end. */
		if (!address_multicast(&pkt->dst, 6) && !address_link_local6(&pkt->dst))
			*(union address *)fib.ipv6_src = pkt->dst;
	}
	found = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return 1;
	return mode == WEIR_ANTISPOOF_STRICT && !same_link(v, iface, fib.ifindex);
}

#endif
