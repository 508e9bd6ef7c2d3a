/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guarded bridge: all its ports are workloads, and a new port is there before its hooks. Until a veth is bound, what it
 * sends reaches nobody, and nobody's unicast reaches it: hooks on the bridge device itself stand between it and this
 * host, those of the other ports between it and them. Homes are elsewhere; nothing is counted here but reasons.
 */
#ifndef WEIR_GUARD_H
#define WEIR_GUARD_H

#include "visit.h"

/* Whom a workload's peer is, with link-local addresses as those of its bridge, where it is a port of a guarded one. */
static __always_inline struct weir_local *local_of_workload(const struct visit *v,
							    const union address *a)
{
	const struct weir_iface *iface;
	__u32 link = v->ifindex;

	if (address_link_local6(a)) {
		iface = iface_find(link);
		if (iface && iface->flags & WEIR_IF_PORT)
			link = iface->master;
	}
	return local_find(a, link);
}

/* Is the address a workload's behind a port of this bridge? */
static __always_inline int bound_to_port(const struct visit *v, const union address *a)
{
	const struct weir_local *local = local_find(a, v->ifindex);
	const struct weir_iface *port;

	if (!local || local->kind != WEIR_WORKLOAD)
		return 0;
	port = iface_find(local->ifindex);
	return port && port->flags & WEIR_IF_PORT && port->master == v->ifindex;
}

/**
 * decide_bridge_in() - a packet from a bridge of workloads into this host: who sent it must be bound to a port. That it
 * came by a port's hook, and so from that address's own port, the program has seen to.
 */
static __always_inline enum weir_reason decide_bridge_in(struct visit *v)
{
	const struct packet *pkt = &v->pkt;
	const union address *who = &pkt->src;

	if (pkt->vlan)
		return WEIR_VLAN;
	if (pkt->flags & PKT_CONTROL)
		return WEIR_ETHERTYPE;
	if (pkt->flags & PKT_ARP) {
		if (!pkt->src.w[3]) /* RFC 5227 probe: for the address that it is to have */
			who = &pkt->dst;
	} else if (pkt->family == 6 && !pkt->src.d[0] && !pkt->src.d[1]) {
		if (pkt->flags & PKT_LISTENER)
			return WEIR_OK;
		who = &pkt->inner_src; /* DAD: likewise; the parser refuses :: with anything else */
	}
	return bound_to_port(v, who) ? WEIR_OK : WEIR_SPOOFED;
}

/** decide_bridge_out() - a packet from this host into such a bridge. */
static __always_inline enum weir_reason decide_bridge_out(struct visit *v)
{
	const struct packet *pkt = &v->pkt;
	const struct weir_local *local;

	if (pkt->vlan)
		return WEIR_VLAN;
	if (pkt->flags & (PKT_ARP | PKT_ND | PKT_CONTROL | PKT_LISTENER) ||
	    address_multicast(&pkt->dst, pkt->family))
		return WEIR_OK;
	local = local_find(&pkt->dst, v->ifindex);
	if (local && local->flags & WEIR_LOCAL_BROADCAST)
		return WEIR_OK;
	return bound_to_port(v, &pkt->dst) ? WEIR_OK : WEIR_NOT_BOUND;
}

static __always_inline int same_mac(const __u8 *a, const __u8 *b)
{
	__u8 differ = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < 6; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

/* Is the frame for the bridge itself, and not for another of its ports? */
static __always_inline int frame_for(struct WEIR_CTX *ctx, const struct weir_iface *iface)
{
	const __u8 *frame = (void *)(long)ctx->data;

	return frame + 6 <= (const __u8 *)(long)ctx->data_end && same_mac(frame, iface->mac);
}

/*
 * From a port: who is bound has hooks where it is entered. For the rest, this node and what it routes to, a frame must be
 * for the bridge: else it goes to a port that nobody is bound to.
 */
static __always_inline int goes_aside(struct WEIR_CTX *ctx, const struct visit *v,
				      const struct weir_local *local)
{
	const struct weir_iface *iface;

	if ((local && (local->kind == WEIR_WORKLOAD || local->flags & WEIR_LOCAL_BROADCAST)) ||
	    address_multicast(&v->pkt.dst, v->pkt.family))
		return 0;
	iface = iface_find(v->ifindex);
	return iface && iface->flags & WEIR_IF_PORT && !frame_for(ctx, iface);
}

static __always_inline int gone(const struct weir_local *local)
{
	return local && local->flags & WEIR_LOCAL_GONE;
}

#endif
