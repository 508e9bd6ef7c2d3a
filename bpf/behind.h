/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Judging where NAT has been: who is behind an address of ours, what a service address led to, and what a NIC remembers
 * of masqueraded flows.
 */
#ifndef WEIR_BEHIND_H
#define WEIR_BEHIND_H

#include "decide.h"
#include "guard.h"
#include "nat.h"

/**
 * behind_source() - who sent a packet that was not made here and leaves with an address of ours as its source.
 *
 * Sets v->src_kind and v->behind: who opened the flow, where the packet is from there; this node, where it answers what
 * its destination opened to an address of ours (the end that NAT shows it is then the one that was asked for); otherwise
 * nobody. Returns WEIR_OK, or why it must not pass.
 */
__noinline int behind_source(struct WEIR_CTX *ctx, struct visit *v)
{
	const struct weir_local *local;
	struct weir_control *c = control();
	int way;

	if (!v || !c)
		return WEIR_NO_POLICY;
	way = nat_of(ctx, v, NAT_AFTER);
	v->src_kind = WEIR_OTHER;
	v->behind = BEHIND_NOBODY;
	if (way == NAT_ANSWERS && !(v->pkt.flags & PKT_OPENS)) {
		v->src_kind = WEIR_SELF;
		v->behind = 0;
	}
	if (way != NAT_OPENS)
		return WEIR_OK;
	local = local_find(&v->nat.src, v->arrived);
	if (gone(local))
		return WEIR_SPOOFED;
	if (local && local->kind == WEIR_SELF)
		return WEIR_OK;
	v->src_kind = local ? local->kind : WEIR_OTHER;
	v->behind = BEHIND_SRC;
	if (!c->behind)
		c->behind = 1;
	return WEIR_OK;
}

/* From a workload to an address of ours: can it be for somebody behind that? */
static __always_inline int answers_may_hide(const struct visit *v)
{
	const struct weir_control *c = control();

	return nat_known() && c && c->behind && !(v->pkt.flags & PKT_OPENS);
}

/** behind_destination() - whom a workload answers that sends to an address of ours: v->dst_kind, v->behind. */
__noinline int behind_destination(struct WEIR_CTX *ctx, struct visit *v)
{
	const struct weir_local *local;

	if (!v)
		return WEIR_NO_POLICY;
	if (nat_of(ctx, v, NAT_BEFORE) != NAT_ANSWERS || address_same(&v->nat.src, &v->pkt.dst))
		return WEIR_OK;
	local = local_find(&v->nat.src, v->ifindex);
	if (gone(local))
		return WEIR_NOT_BOUND;
	if (local && local->kind == WEIR_SELF)
		return WEIR_OK;
	v->dst_kind = local ? local->kind : WEIR_OTHER;
	v->behind = BEHIND_DST;
	return WEIR_OK;
}

/* The service address that a flow was opened to, as @direction rules on it. */
static __always_inline __u64 ruling_before(struct visit *v, __u8 direction)
{
	const struct nat_flow *nat = &v->nat;
	__u8 kind;
	__u32 to = inner_class(v, &nat->dst, &kind);

	return ruling(v, v->src, to, classify_service(v->pkt.proto, BE16(nat->dport)), direction);
}

/* An entry for the answers of an endpoint in transit, which come from itself. */
static __always_inline enum weir_reason remember_transit(struct visit *v)
{
	__u32 service = service_of_answer(&v->pkt);
	struct flow_use *use = &v->use;

	if (service == NO_SERVICE || v->pkt.flags & PKT_LATER || answers_pass_anyway(v, service))
		return WEIR_OK;
	use_flow(v, use, WEIR_FLOW_TRANSIT, 0);
	use->owner = transit_owner(v);
	return flow_make(use) ? WEIR_OK : WEIR_FLOW_FULL;
}

/**
 * judge_exit() - what passed to a service address whose endpoints differ (WEIR_ACT_LATER), now that NAT has chosen one.
 * @direction: EGRESS of a workload, or FORWARD
 *
 * What the rules let its source open passes, and so does what was opened to nothing of the sort, or answers: that was
 * judged where it came in. Of what conntrack does not know only what may be an answer passes.
 */
__noinline int judge_exit(struct WEIR_CTX *ctx, struct visit *v, __u32 direction)
{
	__u64 r, before;

	if (!v)
		return WEIR_NO_POLICY;
	if (!(v->pkt.flags & PKT_PORTS))
		return WEIR_OK;
	r = ruling(v, v->src, v->dst, service_opened(&v->pkt), direction);
	if (r & RULING_ALLOWED)
		return direction == WEIR_DIR_FORWARD && !v->behind ? remember_transit(v) : WEIR_OK;
	switch (nat_of(ctx, v, NAT_AFTER)) {
	case NAT_ANSWERS:
		return WEIR_OK;
	case NAT_OPENS:
		before = ruling_before(v, direction);
		if (!(before & (RULING_LATER | RULING_ERROR)))
			return WEIR_OK;
		break;
	default:
		if (!(v->pkt.flags & PKT_OPENS) &&
		    ruling(v, v->dst, v->src, service_answered(&v->pkt),
			   direction == WEIR_DIR_FORWARD ? WEIR_DIR_FORWARD : WEIR_DIR_INGRESS) &
			RULING_ALLOWED)
			return WEIR_OK;
	}
	v->direction = direction;
	return drop_refused(v, r, direction);
}

/* The answer of a port of ours that NAT hands on: opened at the NIC, by the policy for this node. */
static __always_inline enum weir_reason judge_handed_on(struct visit *v)
{
	__u32 service = service_answered(&v->pkt), home = WEIR_HOME_FORWARD;
	enum weir_reason why;
	__u64 r;

	v->direction = WEIR_DIR_FORWARD;
	v->home = home;
	r = ruling(v, v->dst, v->src, service, WEIR_DIR_INGRESS);
	why = r & RULING_ALLOWED ? pass_reply(v, r, WEIR_DIR_INGRESS)
				 : drop_refused(v, r, WEIR_DIR_INGRESS);
	count(bpf_map_lookup_elem(&weir_homecnt, &home), v, why == WEIR_OK);
	return why;
}

/* What came by an interface that nobody watches is in transit, whoever it says it is. */
static __always_inline enum weir_reason judge_unwatched(struct WEIR_CTX *ctx, struct visit *v,
							const struct weir_config *config)
{
	if (v->src_kind == WEIR_SELF)
		return judge_handed_on(v);
	if (v->src_kind == WEIR_WORKLOAD)
		v->src += (WEIR_OTHER - WEIR_WORKLOAD) * config->nr_classes;
	v->src_kind = WEIR_OTHER;
	return judge_forward(ctx, v);
}

/* Does the peer get this as the answer of a port of ours, which a NIC lets it open without an entry? */
static __always_inline int answers_for_us(struct WEIR_CTX *ctx, struct visit *v)
{
	__u32 service = service_answered(&v->pkt), self;

	if (service == NO_SERVICE || v->pkt.flags & PKT_OPENS)
		return 0;
	self = visit_class_of(v, &v->pkt.src, v->pkt.family); /* + WEIR_SELF * classes */
	if (self != WEIR_NONE && by_name(ruling(v, v->dst, self, service, WEIR_DIR_INGRESS)))
		return 1;
	return nat_of(ctx, v, NAT_AFTER) == NAT_ANSWERS;
}

/**
 * remember_masquerade() - masqueraded on its way out: the answer will come to our own address, and needs an entry. Not
 * what answers: a flood of openings at a published port leaves none.
 */
static __always_inline enum weir_reason remember_masquerade(struct WEIR_CTX *ctx, struct visit *v)
{
	struct weir_control *c = control();
	struct flow_use *use = &v->use;

	if (service_of_answer(&v->pkt) == NO_SERVICE)
		return WEIR_OK;
	use_flow(v, use, WEIR_FLOW_MASQ, 0);
	use->owner = v->arrived;
	if (flow_seen(use) || answers_for_us(ctx, v))
		return WEIR_OK;
	if (c && !c->masqueraded)
		c->masqueraded = 1;
	return flow_make(use) ? WEIR_OK : WEIR_FLOW_FULL;
}

#endif
