/* SPDX-License-Identifier: GPL-2.0-only */
/* What each hook asks of a packet: whose it is, where its homes are, who judges it. */
#ifndef WEIR_HOOKS_H
#define WEIR_HOOKS_H

#include "behind.h"
#include "decide.h"
#include "guard.h"
#include "route.h"
#include "unit.h"

/* Zone of the interface that `on:` speaks of: of arrival, or of departure for what is made here. */
static __always_inline void zone_of(struct visit *v, const struct weir_config *config,
				    __u32 ifindex)
{
	const struct weir_iface *iface;

	if (config->nr_zones <= 1)
		return;
	iface = iface_find(ifindex);
	v->zone = iface ? iface->zone[v->slot & 1] : 0;
}

static __always_inline int neighbour_set(const struct packet *pkt)
{
	return pkt->flags & (PKT_ARP | PKT_ND);
}

/* Tagged traffic that the policy does not name is not ours. Only NICs have any that is. */
static __always_inline int vlan_is_ours(const struct visit *v, const struct weir_config *config)
{
	__u32 vlan = v->pkt.vlan;

	return !vlan ||
	       (config->flags & WEIR_CFG_VLANS && config->vlans[vlan >> 6 & 63] >> (vlan & 63) & 1);
}

/* 00:00:5e:00:01:XX and 00:00:5e:00:02:XX: the MAC of a router that several stand in for (RFC 9568), perhaps of ours. */
static __always_inline int virtual_router(const struct packet *pkt)
{
	__u32 kind = BE16(pkt->mac_to_end) >> 8;

	return pkt->mac_to == BE32(0x00005e00) && (kind == 1 || kind == 2);
}

/*
 * Is the frame for another's MAC? The stack drops such frames; a bridge or a macvlan above, or who listens in promiscuous
 * mode, gets them. Ports of bridges and bonds take what comes for those behind them. What was found last is tried first:
 * outdated, it takes a frame for ours that was so a moment ago.
 */
static __always_inline int frame_is_elsewhere(struct visit *v)
{
	const struct weir_iface *iface;
	const struct packet *pkt = &v->pkt;

	if (pkt->flags & PKT_L2_MULTI || !(pkt->mac_to | pkt->mac_to_end))
		return 0;
	if (v->mac.ifindex == v->ifindex && v->mac.mac == pkt->mac_to &&
	    v->mac.mac_end == pkt->mac_to_end)
		return 0;
	iface = iface_find(v->ifindex);
	if (!iface)
		return 0;
	if (*(const __u32 *)iface->mac != pkt->mac_to ||
	    *(const __u16 *)(iface->mac + 4) != pkt->mac_to_end)
		return !iface->master && !virtual_router(pkt);
	v->mac.ifindex = v->ifindex;
	v->mac.mac = pkt->mac_to;
	v->mac.mac_end = pkt->mac_to_end;
	return 0;
}

static __always_inline int on_link_only(const union address *a, __u8 family)
{
	return family == 4 ? BE32(a->w[3]) >> 16 == 0xa9fe : address_link_local6(a);
}

/*
 * Link-local addresses go no further than the link (RFC 3927, 4291): not through this node. What a port of a bridge
 * carries stays on its link.
 */
static __always_inline enum weir_reason strays_from_link(const struct visit *v, __u32 ifindex)
{
	const struct packet *pkt = &v->pkt;
	int src = on_link_only(&pkt->src, pkt->family);
	const struct weir_iface *iface;

	if (!src && !on_link_only(&pkt->dst, pkt->family))
		return WEIR_OK;
	iface = iface_find(ifindex);
	if (iface && iface->master)
		return WEIR_OK;
	return src ? WEIR_MARTIAN_SOURCE : WEIR_MARTIAN_DEST;
}

/** decide_nic_in() - a packet that arrives at a NIC. */
static __always_inline enum weir_reason decide_nic_in(struct WEIR_CTX *ctx, struct visit *v)
{
	const struct weir_config *config = WEIR_TABLE(weir_cfg, v->slot, 0);
	const struct packet *pkt = &v->pkt;
	const struct weir_local *local;
	const struct weir_iface *iface;
	enum weir_reason why;

	if (!config)
		return WEIR_NO_POLICY;
	if (!vlan_is_ours(v, config))
		return WEIR_VLAN;
	if (neighbour_set(pkt) || pkt->flags & (PKT_CONTROL | PKT_LISTENER | PKT_DHCP6))
		return WEIR_OK;
	if (pkt->flags & PKT_DHCP_OFFER) {
		iface = iface_find(v->ifindex);
		if (iface && same_mac(iface->mac, pkt->mac))
			return WEIR_OK;
	}
	v->src_kind = WEIR_OTHER;
	v->dst_kind = WEIR_SELF;
	/* Ours, or our subnet's broadcast, from the wire: the stack delivers some of these, in IPv6 nearly all. */
	if (local_find(&pkt->src, v->ifindex))
		return WEIR_SPOOFED;
	if (config->flags & WEIR_CFG_ANTISPOOF && reverse_path_missing(ctx, v))
		return WEIR_REVERSE_PATH;
	if (config->flags & (WEIR_CFG_WORKLOADS |
			     (pkt->family == 4 ? WEIR_CFG_FORWARDING4 : WEIR_CFG_FORWARDING6))) {
		local = local_find(&pkt->dst, v->ifindex);
		if (gone(local))
			return WEIR_NOT_BOUND;
		if (local)
			v->dst_kind = local->kind;
		else if (!(pkt->flags & PKT_L2_MULTI) &&
			 !address_multicast(&pkt->dst, pkt->family) &&
			 config->flags &
			     (pkt->family == 4 ? WEIR_CFG_FORWARDING4 : WEIR_CFG_FORWARDING6))
			v->dst_kind = WEIR_OTHER;
		if (v->dst_kind != WEIR_SELF) {
			why = strays_from_link(v, v->ifindex);
			if (why != WEIR_OK)
				return why;
		}
	}
	FORGET(v->elsewhere, frame_is_elsewhere(v));
	zone_of(v, config, v->ifindex);
	charge_touch(v, config);
	why = judge_first(v, config);
	if (why != WEIR_OK || v->dst_kind == WEIR_WORKLOAD) /* a workload's home is its veth */
		return why;
	if (v->dst_kind == WEIR_OTHER)
		return judge_forward(ctx, v);
	if (config->flags & WEIR_CFG_UNITS)
		unit_find(ctx, v, 0);
	return judge_ingress(ctx, v);
}

/* What was not made here leaves by a NIC: judged where it came in, unless nobody watches there. */
static __always_inline enum weir_reason decide_forwarded(struct WEIR_CTX *ctx, struct visit *v,
							 const struct weir_config *config)
{
	const struct weir_local *local = local_find(&v->pkt.src, v->ifindex);
	const struct weir_iface *came = iface_find(v->arrived);
	int watched = came && came->flags & (WEIR_IF_NIC | WEIR_IF_WORKLOAD | WEIR_IF_BRIDGE);
	int masked = local && local->kind == WEIR_SELF;
	enum weir_reason why;

	if (gone(local))
		return WEIR_SPOOFED;
	v->src_kind = local && local->kind == WEIR_WORKLOAD ? WEIR_WORKLOAD : WEIR_OTHER;
	if (!watched && !masked) {
		why = strays_from_link(v, v->arrived);
		if (why != WEIR_OK)
			return why;
	}
	if (masked && (!watched || config->flags & WEIR_CFG_LATER)) {
		why = behind_source(ctx, v);
		if (why != WEIR_OK)
			return why;
	}
	zone_of(v, config, v->arrived);
	why = judge_first(v, config);
	if (why != WEIR_OK)
		return why;
	if (watched && config->flags & WEIR_CFG_LATER && v->src_kind != WEIR_SELF)
		why = judge_exit(ctx, v,
				 v->src_kind == WEIR_WORKLOAD ? WEIR_DIR_EGRESS : WEIR_DIR_FORWARD);
	if (!watched)
		why = judge_unwatched(ctx, v, config);
	if (why == WEIR_OK && masked && v->src_kind != WEIR_SELF && !(v->pkt.flags & PKT_LATER))
		return remember_masquerade(ctx, v);
	return why;
}

/** decide_nic_out() - a packet that leaves by a NIC. */
static __always_inline enum weir_reason decide_nic_out(struct WEIR_CTX *ctx, struct visit *v)
{
	const struct weir_config *config = WEIR_TABLE(weir_cfg, v->slot, 0);
	const struct packet *pkt = &v->pkt;
	enum weir_reason why;

	if (!config)
		return WEIR_NO_POLICY;
	if (!vlan_is_ours(v, config))
		return WEIR_VLAN;
	if (neighbour_set(pkt) || pkt->flags & (PKT_CONTROL | PKT_LISTENER | PKT_DHCP6))
		return WEIR_OK;
	if (pkt->flags & PKT_DHCP_ASK && !v->arrived)
		return WEIR_OK;
	v->dst_kind = WEIR_OTHER;
	if (!v->arrived) {
		v->src_kind = WEIR_SELF;
		zone_of(v, config, v->ifindex);
		why = judge_first(v, config);
		if (why == WEIR_OK && config->flags & WEIR_CFG_UNITS)
			unit_find(ctx, v, 1);
		return why != WEIR_OK ? why : judge_egress(ctx, v);
	}
	return decide_forwarded(ctx, v, config);
}

/* A probe says "this will be my address": of one that is bound to another it would keep that one from using it. */
static __always_inline int claims_of_another(const struct visit *v, const union address *a)
{
	const struct weir_local *local = local_of_workload(v, a);

	return local && !(local->kind == WEIR_WORKLOAD && local->ifindex == v->ifindex);
}

/* Neighbour discovery of a workload: about its own addresses only, and it is no router. */
static __always_inline enum weir_reason neighbour_of_workload(struct visit *v)
{
	const struct packet *pkt = &v->pkt;
	const struct weir_local *local;

	if (pkt->flags & PKT_ARP) {
		if (!pkt->src.w[3]) /* RFC 5227 probe */
			return claims_of_another(v, &pkt->dst) ? WEIR_SPOOFED : WEIR_OK;
		local = local_find(&pkt->src, v->ifindex);
		return local && local->kind == WEIR_WORKLOAD && local->ifindex == v->ifindex
			   ? WEIR_OK
			   : WEIR_SPOOFED;
	}
	if (pkt->type == 134)
		return WEIR_BAD_ND;
	if (pkt->src.d[0] || pkt->src.d[1]) {
		local = local_find(&pkt->src, v->ifindex);
		if (!local || local->kind != WEIR_WORKLOAD || local->ifindex != v->ifindex)
			return WEIR_SPOOFED;
	} else if (pkt->type == 135 && claims_of_another(v, &pkt->inner_src)) {
		return WEIR_SPOOFED;
	}
	if (pkt->type == 136) {
		local = local_find(&pkt->inner_src, v->ifindex);
		if (!local || local->kind != WEIR_WORKLOAD || local->ifindex != v->ifindex)
			return WEIR_SPOOFED;
	}
	return WEIR_OK;
}

/** decide_workload_out() - a packet that leaves a workload: its egress, and the node's ingress where it goes there. */
static __always_inline enum weir_reason decide_workload_out(struct WEIR_CTX *ctx, struct visit *v)
{
	const struct weir_config *config = WEIR_TABLE(weir_cfg, v->slot, 0);
	const struct packet *pkt = &v->pkt;
	const struct weir_local *local;
	enum weir_reason why;

	if (!config)
		return WEIR_NO_POLICY;
	if (pkt->vlan)
		return WEIR_VLAN;
	if (pkt->flags & PKT_CONTROL)
		return WEIR_ETHERTYPE;
	if (neighbour_set(pkt))
		return neighbour_of_workload(v);
	local = local_find(&pkt->src, v->ifindex);
	/* :: reports listeners; that source is refused with anything else but DAD. */
	if ((!local || local->kind != WEIR_WORKLOAD || local->ifindex != v->ifindex) &&
	    !(pkt->family == 6 && !pkt->src.d[0] && !pkt->src.d[1]))
		return WEIR_SPOOFED;
	v->src_kind = WEIR_WORKLOAD;
	local = local_of_workload(v, &pkt->dst);
	if (gone(local) || goes_aside(ctx, v, local))
		return WEIR_NOT_BOUND;
	v->dst_kind = local ? local->kind : WEIR_OTHER;
	if (!local && (pkt->flags & PKT_L2_MULTI || address_multicast(&pkt->dst, pkt->family)))
		v->dst_kind = WEIR_SELF;
	if (local && v->dst_kind == WEIR_SELF && answers_may_hide(v)) {
		why = behind_destination(ctx, v);
		if (why != WEIR_OK)
			return why;
	}
	zone_of(v, config, v->ifindex);
	why = judge_first(v, config);
	if (why != WEIR_OK)
		return why;
	if (v->dst_kind != WEIR_SELF)
		return judge_egress(ctx, v);
	if (config->flags & WEIR_CFG_UNITS)
		unit_find(ctx, v, 0);
	return judge_both(ctx, v);
}

/*
 * Was there a hook where this packet came in? A workload's may not be in place yet, though it is known; and what is known
 * as nobody's may have become a port of a guarded bridge, where the bridge's own hook stands before the rest.
 */
static __always_inline int came_judged(const struct visit *v, int hooked)
{
	const struct weir_iface *came = iface_find(v->arrived), *own;

	if (!came || hooked)
		return came != 0;
	if (came->flags & WEIR_IF_WORKLOAD)
		return 0;
	if (came->flags & (WEIR_IF_NIC | WEIR_IF_BRIDGE | WEIR_IF_GUARD))
		return 1;
	own = iface_find(v->ifindex);
	return !own || !(own->flags & WEIR_IF_PORT);
}

/**
 * decide_workload_in() - a packet that enters a workload: its ingress, and the node's egress where it was made here.
 * @hooked: a workload's hook, or that of a guarded bridge, let it pass on its way here
 */
static __always_inline enum weir_reason decide_workload_in(struct WEIR_CTX *ctx, struct visit *v,
							   int hooked)
{
	const struct weir_config *config = WEIR_TABLE(weir_cfg, v->slot, 0);
	const struct packet *pkt = &v->pkt;
	const struct weir_local *local;
	enum weir_reason why;

	if (!config)
		return WEIR_NO_POLICY;
	if (pkt->vlan)
		return WEIR_VLAN;
	if (v->arrived && !came_judged(v, hooked))
		return WEIR_UNKNOWN_INTERFACE;
	if (neighbour_set(pkt))
		return WEIR_OK;
	if (pkt->flags & PKT_CONTROL)
		return WEIR_ETHERTYPE;
	local = local_find(&pkt->dst, v->ifindex);
	if (!(local && local->kind == WEIR_WORKLOAD && local->ifindex == v->ifindex) &&
	    !(local && local->flags & WEIR_LOCAL_BROADCAST) &&
	    !address_multicast(&pkt->dst, pkt->family))
		return WEIR_NOT_BOUND;
	v->dst_kind = WEIR_WORKLOAD;
	if (!v->arrived) {
		v->src_kind = WEIR_SELF;
	} else {
		local = local_of_workload(v, &pkt->src);
		if (gone(local))
			return WEIR_SPOOFED;
		v->src_kind = local ? local->kind : WEIR_OTHER;
		if (v->src_kind == WEIR_SELF) {
			why = behind_source(ctx, v);
			if (why != WEIR_OK)
				return why;
		}
	}
	zone_of(v, config, v->arrived ? v->arrived : v->ifindex);
	charge_touch(v, config);
	why = judge_first(v, config);
	if (why != WEIR_OK)
		return why;
	if (config->flags & WEIR_CFG_LATER && v->src_kind == WEIR_WORKLOAD) {
		why = judge_exit(ctx, v, WEIR_DIR_EGRESS);
		if (why != WEIR_OK)
			return why;
	}
	if (v->arrived)
		return judge_ingress(ctx, v);
	if (config->flags & WEIR_CFG_UNITS)
		unit_find(ctx, v, 1);
	return judge_both(ctx, v);
}

#endif
