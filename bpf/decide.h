/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the policy says about a packet at one home: who opened, may they, do limits agree.
 *
 * The local end is the self or workload address whose home this is. Whoever opened is judged by policy; what follows
 * is a reply or a continuation, judged by the policy in force for its opening direction.
 */
#ifndef WEIR_DECIDE_H
#define WEIR_DECIDE_H

#include "charge.h"
#include "connection.h"
#include "cookie.h"
#include "nat.h"
#include "visit.h"

/* What the rules and defaults say about one opening direction. */
#define RULING_ALLOWED	     0x1
#define RULING_NAMED	     0x2 /* by a rule that names protocol and port */
#define RULING_FAILSAFE	     0x4
#define RULING_DENIED	     0x8 /* by a deny rule */
#define RULING_LOG	     0x10
#define RULING_ERROR	     0x20  /* tables incomplete: drop */
#define RULING_LIMITS	     0x40  /* the verdict has limits */
#define RULING_LATER	     0x80  /* passes here, judged where it leaves behind NAT */
#define RULING_RULE	     0x100 /* by a rule, not by a default */
#define RULING_PROTECT	     0x200 /* by SYN cookies, when it is under attack */
#define RULING_VERDICT_SHIFT 10	   /* above: index in weir_verd */

#define NO_SERVICE WEIR_NONE

/* What the tables say about two classes. */
static __always_inline __u64 ruling_on(struct visit *v, __u32 from, __u32 to, __u32 service,
				       __u32 direction)
{
	const struct weir_verdict *verdict;
	const struct weir_class *class;
	const struct weir_config *config;
	__u64 result = 0;
	__u32 index;

	if (!v)
		return RULING_ERROR;
	index = classify_verdict(v->slot, from, to, service, v->zone);
	verdict = WEIR_TABLE(weir_verd, v->slot, index);
	if (!verdict)
		return RULING_ERROR;
	result = (__u64)index << RULING_VERDICT_SHIFT;
	if (verdict->flags & WEIR_VERDICT_LOG)
		result |= RULING_LOG;
	if (verdict->nr_limits)
		result |= RULING_LIMITS;
	if (verdict->protect)
		result |= RULING_PROTECT;
	switch (verdict->action) {
	case WEIR_ACT_FAILSAFE:
		return result | RULING_RULE | RULING_ALLOWED | RULING_NAMED | RULING_FAILSAFE;
	case WEIR_ACT_ALLOW:
		return result | RULING_RULE | RULING_ALLOWED |
		       (verdict->flags & WEIR_VERDICT_NAMED ? RULING_NAMED : 0);
	case WEIR_ACT_DENY:
		return result | RULING_RULE | RULING_DENIED;
	case WEIR_ACT_LATER:
		return result | RULING_RULE | RULING_ALLOWED | RULING_NAMED | RULING_LATER;
	}
	if (direction == WEIR_DIR_FORWARD) {
		config = WEIR_TABLE(weir_cfg, v->slot, 0);
		if (config && config->flags & WEIR_CFG_FORWARD_ALLOW)
			result |= RULING_ALLOWED;
		return result;
	}
	class = WEIR_TABLE(weir_class, v->slot, direction == WEIR_DIR_INGRESS ? to : from);
	if (class && class->flags & (direction == WEIR_DIR_INGRESS ? WEIR_CLASS_INGRESS_ALLOW
								   : WEIR_CLASS_EGRESS_ALLOW))
		result |= RULING_ALLOWED;
	return result;
}

/*
 * One of the two ends is of a unit: a deny of its address or of its unit denies, an allow of either allows. Limits are
 * the unit's, which has those of `self` as well, unless only the address is allowed.
 */
__noinline __u64 ruling_with_unit(struct visit *v, __u64 r, __u32 from, __u32 to,
				  __u32 service_direction)
{
	__u32 service = service_direction >> 2, direction = service_direction & 3;
	__u64 unit;

	if (!v || r & RULING_ERROR)
		return RULING_ERROR;
	unit = from == v->own ? ruling_on(v, v->unit, to, service, direction)
			      : ruling_on(v, from, v->unit, service, direction);
	if (unit & RULING_ERROR || (r | unit) & RULING_FAILSAFE)
		return unit & RULING_ERROR || !(r & RULING_FAILSAFE) ? unit : r;
	if ((r | unit) & RULING_DENIED)
		return r & RULING_DENIED ? r : unit;
	if (unit & RULING_RULE)
		return unit | (r & RULING_RULE ? r & RULING_NAMED : 0);
	/* No rule has either: units have no default of their own. */
	return r & RULING_RULE ? r : (unit & ~(__u64)RULING_ALLOWED) | (r & RULING_ALLOWED);
}

/* ruling() without the call, for the one that nearly every packet needs. */
static __always_inline __u64 ruling_here(struct visit *v, __u32 from, __u32 to, __u32 service,
					 __u32 direction)
{
	__u64 r = ruling_on(v, from, to, service, direction);

#ifdef WEIR_TC
	if (v && v->unit && (from == v->own || to == v->own))
		return ruling_with_unit(v, r, from, to, service << 2 | (direction & 3));
#endif
	return r;
}

/**
 * ruling() - rules and default for one opening: @from opens @service of @to.
 * @from, @to:   indices into weir_class
 * @direction:   whose default decides when no rule does: INGRESS of @to, EGRESS of @from, FORWARD
 *
 * Returns RULING_* and the verdict's index.
 */
__noinline __u64 ruling(struct visit *v, __u32 from, __u32 to, __u32 service, __u32 direction)
{
	return ruling_here(v, from, to, service, direction);
}

/* The rule (or default) that a ruling came from, for counters and events. */
static __always_inline void account(struct visit *v, __u64 r, __u8 direction)
{
	const struct weir_verdict *verdict =
	    WEIR_TABLE(weir_verd, v->slot, r >> RULING_VERDICT_SHIFT);

	if (!verdict)
		return;
	if (verdict->action == WEIR_ACT_LATER) /* by what decides where it leaves */
		return;
	if (verdict->action != WEIR_ACT_DEFAULT)
		v->rule = verdict->rule;
	else
		v->rule = direction == WEIR_DIR_INGRESS	 ? WEIR_RULE_DEFAULT_INGRESS
			  : direction == WEIR_DIR_EGRESS ? WEIR_RULE_DEFAULT_EGRESS
							 : WEIR_RULE_DEFAULT_FORWARD;
}

static __always_inline enum weir_reason refused(__u64 r)
{
	if (r & RULING_ERROR)
		return WEIR_NO_POLICY;
	return r & RULING_DENIED ? WEIR_DENY : WEIR_DEFAULT;
}

/* Passes as the opening direction's own: counted by its rule, charged by its limits. */
static __always_inline enum weir_reason pass_opening(struct visit *v, __u64 r, __u8 direction)
{
	account(v, r, direction);
	if (r & RULING_LOG)
		v->log = 1;
	if (r & RULING_FAILSAFE || !(r & RULING_LIMITS) || v->elsewhere)
		return WEIR_OK;
	return charge_all(v, r >> RULING_VERDICT_SHIFT, direction);
}

/* Passes as an answer to what the other end opened: counted by that rule, not charged. */
static __always_inline enum weir_reason pass_reply(struct visit *v, __u64 r, __u8 opened)
{
	account(v, r, opened);
	v->reply = 1;
	return WEIR_OK;
}

static __always_inline enum weir_reason drop_refused(struct visit *v, __u64 r, __u8 direction)
{
	account(v, r, direction);
	return refused(r);
}

/* Service that the packet opens at its destination. */
static __always_inline __u32 service_opened(const struct packet *pkt)
{
	if (pkt->flags & PKT_LATER)
		return pkt->family == 4 ? WEIR_SVC_FRAG4 + pkt->proto : WEIR_SVC_FRAG6;
	return classify_service(pkt->proto, pkt->port);
}

/* Service that its sender would be answering for, NO_SERVICE when it cannot be an answer. */
static __always_inline __u32 service_answered(const struct packet *pkt)
{
	if (pkt->flags & PKT_LATER)
		return pkt->family == 4 ? WEIR_SVC_FRAG4 + pkt->proto : WEIR_SVC_FRAG6;
	if (pkt->flags & PKT_PORTS)
		return classify_service(pkt->proto, BE16(pkt->sport));
	if (pkt->proto == PROTO_ICMP)
		return pkt->type == 0 ? WEIR_SVC_ICMP + 8 : NO_SERVICE;
	if (pkt->proto == PROTO_ICMPV6)
		return pkt->type == 129 ? WEIR_SVC_ICMPV6 + 128 : NO_SERVICE;
	return WEIR_SVC_PROTO + pkt->proto;
}

/* Service by which the answer to this packet would come in, NO_SERVICE when there is none. */
static __always_inline __u32 service_of_answer(const struct packet *pkt)
{
	if (pkt->flags & PKT_PORTS)
		return classify_service(pkt->proto, BE16(pkt->sport));
	if (pkt->proto == PROTO_ICMP)
		return pkt->type == 8 ? WEIR_SVC_ICMP + 0 : NO_SERVICE;
	if (pkt->proto == PROTO_ICMPV6)
		return pkt->type == 128 ? WEIR_SVC_ICMPV6 + 129 : NO_SERVICE;
	return WEIR_SVC_PROTO + pkt->proto;
}

/* Allowed by a rule that names the service: settles it without any look-up. */
static __always_inline int by_name(__u64 r)
{
	return (r & (RULING_ALLOWED | RULING_NAMED)) == (RULING_ALLOWED | RULING_NAMED);
}

/* Ruling on what the packet would be an answer to; 0 when it can be none. */
static __always_inline __u64 answered(struct visit *v, int egress)
{
	__u32 service = service_answered(&v->pkt);

	if (service == NO_SERVICE || v->pkt.flags & PKT_OPENS)
		return 0;
	return ruling(v, v->dst, v->src, service, egress ? WEIR_DIR_INGRESS : WEIR_DIR_EGRESS);
}

/* Whose flow it is at this hook, with a local end of @kind: a workload's quota is its own, and so is its link. */
static __always_inline __u32 owner_of(const struct visit *v, __u8 kind)
{
	return kind == WEIR_WORKLOAD ? v->ifindex : 0;
}

static __always_inline void use_flow(const struct visit *v, struct flow_use *use, __u32 region,
				     int inbound)
{
	flow_key_of(&v->pkt, inbound, &use->key);
	use->slot = v->slot;
	use->region = region;
	use->owner = owner_of(v, inbound ? v->dst_kind : v->src_kind);
	use->mode = v->elsewhere ? FLOW_LOOKS : v->pkt.flags & PKT_OPENS ? FLOW_OPENS : 0;
	use->answers = 0;
	use->tcp = v->pkt.proto == PROTO_TCP ? v->pkt.type : 0;
	use->seq = BE32(v->pkt.seq);
	use->ack = BE32(v->pkt.ack);
}

/* Region of flows that a local end opened; workloads have a quota each. */
static __always_inline __u32 region_of(__u8 kind)
{
	return kind == WEIR_WORKLOAD ? WEIR_FLOW_WORKLOAD : WEIR_FLOW_SELF;
}

/*
 * The entry by which later fragments of a masqueraded answer are known: its datagram instead of its ports. Identifiers of
 * IPv4 are 16 bits and belong to a protocol (RFC 6864); those of IPv6 are 32 and do not.
 */
static __always_inline void use_datagram(const struct visit *v, struct flow_use *use)
{
	use->key.lport = (__be16)v->pkt.fragment_id;
	use->key.rport = v->pkt.family == 4 ? v->pkt.proto : (__be16)(v->pkt.fragment_id >> 16);
	use->key.proto = 44; /* no transport header: IPv6's number for the fragment header */
	use->answers = 0;
	use->tcp = 0;
}

/* Did a masqueraded packet leave by this NIC whose answer this is? Judged at the workload's veth, not here. */
static __always_inline int masquerade_seen(struct visit *v)
{
	const struct weir_control *c = control();
	struct flow_use *use = &v->use;

	if (!c || !c->masqueraded || v->hook > WEIR_HOOK_NIC_IN || v->dst_kind != WEIR_SELF ||
	    v->pkt.flags & PKT_OPENS)
		return 0;
	if (service_answered(&v->pkt) == NO_SERVICE) /* an echo request has its answer's key */
		return 0;
	use_flow(v, use, WEIR_FLOW_MASQ, 1);
	if (v->pkt.flags & PKT_LATER) {
		use_datagram(v, use);
		return flow_seen(use);
	}
	use->answers = 1;
	if (!flow_seen(use))
		return 0;
	if (v->pkt.flags & PKT_FRAGMENT) {
		use_datagram(v, use);
		flow_make(use);
	}
	return 1;
}

/* ---- TCP: any segment but an opening SYN, when no rule that names the port settles it ---- */

static __always_inline enum weir_reason judge_tcp_rest(struct WEIR_CTX *ctx, struct visit *v,
						       int egress, __u64 opened, __u64 answers)
{
	__u8 direction = egress ? WEIR_DIR_EGRESS : WEIR_DIR_INGRESS;
	__u8 other = egress ? WEIR_DIR_INGRESS : WEIR_DIR_EGRESS;
	__u8 kind = egress ? v->src_kind : v->dst_kind;
	__u64 from_outside = egress ? answers : opened;
	const struct packet *pkt = &v->pkt;
	struct socket_query *query = &v->query;
	enum socket_answer found;

	if (!egress && masquerade_seen(v)) {
		v->reply = 1;
		return WEIR_OK;
	}
	if (egress)
		socket_query_of(&pkt->dst, pkt->dport, &pkt->src, pkt->sport, pkt->family,
				kind == WEIR_WORKLOAD ? nsid_of(v) : -1, query);
	else
		socket_query_of(&pkt->src, pkt->sport, &pkt->dst, pkt->dport, pkt->family,
				kind == WEIR_WORKLOAD ? nsid_of(v) : -1, query);
	found = kind == WEIR_WORKLOAD && nsid_of(v) < 0 ? SOCKET_NONE : socket_tcp(ctx, query);

	if (found == SOCKET_FROM_INSIDE) {
		__u64 r = egress ? opened : answers;

		if (!(r & RULING_ALLOWED))
			return drop_refused(v, r, WEIR_DIR_EGRESS);
		return egress ? pass_opening(v, r, WEIR_DIR_EGRESS)
			      : pass_reply(v, r, WEIR_DIR_EGRESS);
	}
	/* Opened from outside, or nobody knows: the peer must be allowed to open our port. */
	if (from_outside & RULING_ALLOWED)
		return egress ? pass_reply(v, from_outside, other)
			      : pass_opening(v, from_outside, direction);
	account(v, from_outside, WEIR_DIR_INGRESS);
	if (found == SOCKET_NONE && !(from_outside & (RULING_DENIED | RULING_ERROR)))
		return WEIR_NO_FLOW;
	return refused(from_outside);
}

/*
 * A segment to a service that SYN cookies protect: enum weir_reason; -COOKIE_PROOF when it opens the connection; -COOKIE_ASK
 * when its limits are to be asked, then this once more with @asked; -1 when it is judged like any.
 *
 * Limits are not asked here: 6.1 has no stack for both, one above the other.
 */
__noinline int judge_protected(struct WEIR_CTX *ctx, struct visit *v, __u64 opened, int asked)
{
	int limited = opened & RULING_LIMITS && !(opened & RULING_FAILSAFE);
	int gate;

	if (!v)
		return WEIR_NO_POLICY;
	gate = cookie_gate(ctx, v, opened >> RULING_VERDICT_SHIFT, limited, asked);
	switch (gate) {
	case COOKIE_AS_EVER:
		return -1;
	case COOKIE_PROOF:
		v->pkt.flags |= PKT_OPENS;
		return -COOKIE_PROOF;
	case COOKIE_ASK:
		return -COOKIE_ASK;
	}
	account(v, opened, WEIR_DIR_INGRESS);
	if (gate == COOKIE_SHOWN && opened & RULING_LOG)
		v->log = 1;
	return gate == COOKIE_SHOWN ? WEIR_OK
	       : gate == COOKIE_SYN ? WEIR_SYN_COOKIE
				    : WEIR_BAD_COOKIE;
}

#ifndef WEIR_TC
/* A SYN that would be answered with a cookie: not where a limit refuses its sender. */
static __always_inline int judge_syn(struct WEIR_CTX *ctx, struct visit *v, __u64 opened)
{
	int why =
	    charge_all(v, opened >> RULING_VERDICT_SHIFT, WEIR_DIR_INGRESS | CHARGE_ONLY_PEEK);

	if (why == WEIR_OK)
		return judge_protected(ctx, v, opened, 1);
	account(v, opened, WEIR_DIR_INGRESS);
	return why;
}
#endif

static __noinline void remember_proof(const struct visit *v)
{
	cookie_remember(v);
}

static __always_inline enum weir_reason judge_tcp(struct WEIR_CTX *ctx, struct visit *v, int egress,
						  __u64 opened)
{
	__u8 direction = egress ? WEIR_DIR_EGRESS : WEIR_DIR_INGRESS;
	int proof = 0;
	__u64 answers;

	if (!egress && (opened & RULING_PROTECT) && (opened & RULING_ALLOWED)) {
		int why = judge_protected(ctx, v, opened, 0);

#ifndef WEIR_TC
		if (why == -COOKIE_ASK)
			why = judge_syn(ctx, v, opened);
#endif
		if (why >= 0)
			return why;
		proof = (why == -COOKIE_PROOF || v->pkt.flags & PKT_OPENS) &&
			v->hook <= WEIR_HOOK_NIC_IN && !v->elsewhere;
	}
	if (v->pkt.flags & PKT_OPENS) {
		enum weir_reason why = opened & RULING_ALLOWED ? pass_opening(v, opened, direction)
							       : drop_refused(v, opened, direction);

		if (proof && why == WEIR_OK)
			remember_proof(v);
		return why;
	}
	if (!egress && by_name(opened))
		return pass_opening(v, opened, direction);
	answers = answered(v, egress);
	if (egress) {
		if (by_name(answers))
			return pass_reply(v, answers, WEIR_DIR_INGRESS);
		if (opened & RULING_ALLOWED)
			return pass_opening(v, opened, direction);
	}
	return judge_tcp_rest(ctx, v, egress, opened, answers);
}

/* ---- UDP and everything else without a handshake ---- */

/* An entry for what a local end opens, where the answer would not pass without one. */
static __always_inline enum weir_reason remember_opening(struct visit *v, __u8 kind, __u64 answer)
{
	struct flow_use *use = &v->use;

	if (answer & RULING_ALLOWED)
		return WEIR_OK;
	use_flow(v, use, region_of(kind), 0);
	if (v->hold) {
		v->held = *use;
		v->hold = HOLD_HELD;
		return WEIR_OK;
	}
	return flow_make(use) ? WEIR_OK : WEIR_FLOW_FULL;
}

static __always_inline enum weir_reason judge_leaving(struct visit *v, __u64 opened)
{
	__u64 answers = answered(v, 1);
	struct flow_use *use = &v->use;
	enum weir_reason why;
	__u32 service;

	if (by_name(answers))
		return pass_reply(v, answers, WEIR_DIR_INGRESS);
	if (opened & RULING_ALLOWED) {
		service = service_of_answer(&v->pkt);
		why = pass_opening(v, opened, WEIR_DIR_EGRESS);
		if (why != WEIR_OK || service == NO_SERVICE)
			return why;
		return remember_opening(v, v->src_kind,
					ruling(v, v->dst, v->src, service, WEIR_DIR_INGRESS));
	}
	/* Open by a default or to any: answers only to what was seen to come in. */
	if (answers & RULING_ALLOWED) {
		use_flow(v, use, WEIR_FLOW_ANSWER, 0);
		use->answers = 1;
		if (flow_seen(use))
			return pass_reply(v, answers, WEIR_DIR_INGRESS);
	}
	return drop_refused(v, opened, WEIR_DIR_EGRESS);
}

/* Would the policy not let the answer to this packet leave by itself? */
static __always_inline int answer_needs_entry(struct visit *v)
{
	__u32 service = service_of_answer(&v->pkt);

	return service != NO_SERVICE &&
	       !(ruling(v, v->dst, v->src, service, WEIR_DIR_EGRESS) & RULING_ALLOWED);
}

static __always_inline enum weir_reason judge_arriving(struct WEIR_CTX *ctx, struct visit *v,
						       __u64 opened)
{
	const struct packet *pkt = &v->pkt;
	struct flow_use *use = &v->use;
	__u64 answers;

	if (by_name(opened))
		return pass_opening(v, opened, WEIR_DIR_INGRESS);
	answers = answered(v, 0);
	if (masquerade_seen(v)) {
		v->reply = 1;
		return WEIR_OK;
	}
	if (!(pkt->flags & PKT_OPENS)) {
		if (answers & RULING_ALLOWED) {
			use_flow(v, use, region_of(v->dst_kind), 1);
			use->answers = 1;
			if (flow_seen(use))
				return pass_reply(v, answers, WEIR_DIR_EGRESS);
			if (pkt->proto == PROTO_UDP &&
			    !(v->dst_kind == WEIR_WORKLOAD && nsid_of(v) < 0)) {
				struct socket_query *query = &v->query;

				socket_query_of(
				    &pkt->src, pkt->sport, &pkt->dst, pkt->dport, pkt->family,
				    v->dst_kind == WEIR_WORKLOAD ? nsid_of(v) : -1, query);
				if (socket_udp(ctx, query)) {
					use->answers = 0;
					flow_make(
					    use); /* only a cache: the socket answers as well */
					return pass_reply(v, answers, WEIR_DIR_EGRESS);
				}
			}
		}
	}
	if (opened & RULING_ALLOWED) {
		enum weir_reason why = pass_opening(v, opened, WEIR_DIR_INGRESS);

		if (why == WEIR_OK && answer_needs_entry(v)) {
			use_flow(v, use, WEIR_FLOW_ANSWER, 1);
			flow_make(
			    use); /* no place: the answer will be judged as an opening of ours */
		}
		return why;
	}
	return drop_refused(v, opened, WEIR_DIR_INGRESS);
}

/* ---- Later fragments: no ports ---- */

static __always_inline enum weir_reason judge_later(struct visit *v, int egress, __u64 opened)
{
	__u8 direction = egress ? WEIR_DIR_EGRESS : WEIR_DIR_INGRESS;
	__u64 answers;

	if (opened & RULING_ALLOWED)
		return pass_opening(v, opened, direction);
	answers = answered(v, egress);
	if (answers & RULING_ALLOWED)
		return pass_reply(v, answers, egress ? WEIR_DIR_INGRESS : WEIR_DIR_EGRESS);
	if (!egress && masquerade_seen(v)) {
		v->reply = 1;
		return WEIR_OK;
	}
	return drop_refused(v, opened, direction);
}

/* ---- ICMP errors: about a flow of ours, or not at all ---- */

/*
 * About what its receiver sent. One in fragments is refused at once: errors fit in 576 bytes, or 1280 (RFC 1812, 4443),
 * and nobody would know what the later fragments belong to.
 */
static __always_inline int error_readable(const struct packet *pkt)
{
	return (pkt->flags & (PKT_INNER | PKT_FRAGMENT)) == PKT_INNER &&
	       address_same(&pkt->dst, &pkt->inner_src);
}

static __always_inline __u32 inner_service(const struct packet *pkt, __be16 port)
{
	if (pkt->inner_proto == PROTO_ICMP || pkt->inner_proto == PROTO_ICMPV6)
		return classify_service(pkt->inner_proto, BE16(pkt->inner_dport));
	return classify_service(pkt->inner_proto, BE16(port));
}

/* Service by which the answer to the embedded packet comes: an echo reply answers an echo request. */
static __always_inline __u32 inner_answer(const struct packet *pkt)
{
	__u16 type = BE16(pkt->inner_dport);

	if (pkt->inner_proto == PROTO_ICMP)
		return classify_service(PROTO_ICMP, type ^ 8);
	if (pkt->inner_proto == PROTO_ICMPV6)
		return classify_service(PROTO_ICMPV6, type ^ 1);
	return classify_service(pkt->inner_proto, BE16(pkt->inner_sport));
}

/* Class of an embedded address; the kind follows from where it lives. */
static __always_inline __u32 inner_class(struct visit *v, const union address *a, __u8 *kind)
{
	const struct weir_config *config = WEIR_TABLE(weir_cfg, v->slot, 0);
	const struct weir_local *local = local_find(a, v->ifindex);

	*kind = local ? local->kind : WEIR_OTHER;
	return config ? *kind * config->nr_classes + visit_class_of(v, a, v->pkt.family)
		      : WEIR_NONE;
}

/* An error in transit, its quoted flow in v->use: about what either end sent. */
static __always_inline int error_in_transit(struct visit *v)
{
	const struct packet *pkt = &v->pkt;
	struct flow_use *use = &v->use;
	__u8 peer_kind;
	__u32 peer;

	use->region = WEIR_FLOW_TRANSIT;
	if (flow_seen(use))
		return 1;
	use->key.local = pkt->inner_dst; /* about a reply */
	use->key.remote = pkt->inner_src;
	if (use->key.rport) {
		use->key.lport = pkt->inner_dport;
		use->key.rport = pkt->inner_sport;
	}
	if (flow_seen(use))
		return 1;
	/* No entry is made where the answer passes without one. */
	peer = address_same(&pkt->inner_dst, &pkt->src)
		   ? v->src
		   : inner_class(v, &pkt->inner_dst, &peer_kind);
	return ruling(v, v->dst, peer, inner_service(pkt, pkt->inner_dport), WEIR_DIR_FORWARD) &
	       ruling(v, peer, v->dst, inner_answer(pkt), WEIR_DIR_FORWARD) & RULING_ALLOWED;
}

/*
 * An error that arrives at a local end quotes what that end sent. It passes when the flow has an entry or a socket, or
 * when the peer's own packets to that port would pass anyway.
 */
__noinline int error_is_ours(struct WEIR_CTX *ctx, struct visit *v, int transit)
{
	const struct packet *pkt = &v->pkt;
	struct socket_query *query = &v->query;
	struct flow_use *use = &v->use;
	__u8 peer_kind;
	__u32 peer;

	if (!v)
		return 0;

	use->key.local = pkt->inner_src;
	use->key.remote = pkt->inner_dst;
	use->key.lport = pkt->inner_sport;
	use->key.rport = pkt->inner_proto == PROTO_ICMP || pkt->inner_proto == PROTO_ICMPV6
			     ? 0
			     : pkt->inner_dport;
	use->key.proto = pkt->inner_proto;
	use->slot = v->slot;
	use->owner = owner_of(v, v->dst_kind);
	use->mode = FLOW_LOOKS;
	if (transit)
		return error_in_transit(v);
	use->region = region_of(v->dst_kind);
	if (flow_seen(use))
		return 1;
	if (v->hook <= WEIR_HOOK_NIC_IN && v->dst_kind == WEIR_SELF) {
		use->region = WEIR_FLOW_MASQ;
		if (flow_seen(use))
			return 1;
	}
	if (pkt->inner_proto == PROTO_TCP || pkt->inner_proto == PROTO_UDP) {
		socket_query_of(&pkt->inner_dst, pkt->inner_dport, &pkt->inner_src,
				pkt->inner_sport, pkt->family,
				v->dst_kind == WEIR_WORKLOAD ? nsid_of(v) : -1, query);
		if (v->dst_kind != WEIR_WORKLOAD || nsid_of(v) >= 0) {
			if (pkt->inner_proto == PROTO_TCP && socket_tcp(ctx, query) != SOCKET_NONE)
				return 1;
			if (pkt->inner_proto == PROTO_UDP && socket_udp(ctx, query))
				return 1;
		}
		/* From a port of ours that NAT hands on: the socket is there. */
		if (pkt->inner_proto == PROTO_TCP &&
		    !(v->hook <= WEIR_HOOK_NIC_IN && v->dst_kind == WEIR_SELF &&
		      nat_of_error(ctx, v) == CT_OPENED))
			return 0;
	}
	/* The quoted source is our destination, and of the same kind: not every address of ours is in a table. */
	peer = inner_class(v, &pkt->inner_dst, &peer_kind);
	return ruling(v, peer, v->dst, inner_answer(pkt), WEIR_DIR_INGRESS) & RULING_ALLOWED;
}

/* An error that a local end sends quotes what it received: it passes when that packet would have passed. */
__noinline int error_is_due(struct visit *v)
{
	const struct packet *pkt = &v->pkt;
	struct flow_use *use = &v->use;
	__u8 kind = v ? v->src_kind : 0;
	__u32 to;

	if (!v)
		return 0;

	/* The quoted source is our destination; the quoted destination mostly our source. */
	to = address_same(&pkt->inner_dst, &pkt->src) ? v->src
						      : inner_class(v, &pkt->inner_dst, &kind);
	if (ruling(v, v->dst, to, inner_service(pkt, pkt->inner_dport),
		   kind != WEIR_OTHER	       ? WEIR_DIR_INGRESS
		   : v->dst_kind != WEIR_OTHER ? WEIR_DIR_EGRESS
					       : WEIR_DIR_FORWARD) &
	    RULING_ALLOWED)
		return 1;
	use->key.local = pkt->inner_dst;
	use->key.remote = pkt->inner_src;
	use->key.lport = pkt->inner_dport;
	use->key.rport = pkt->inner_sport;
	use->key.proto = pkt->inner_proto;
	use->slot = v->slot;
	use->owner = owner_of(v, kind);
	use->mode = FLOW_LOOKS;
	use->region = region_of(kind);
	return flow_seen(use);
}

static __always_inline enum weir_reason judge_error(struct WEIR_CTX *ctx, struct visit *v,
						    int egress, __u64 opened, __u8 direction)
{
	if (by_name(opened))
		return pass_opening(v, opened, direction);
	if (!error_readable(&v->pkt))
		return WEIR_ICMP_ERROR;
	if (egress ? error_is_due(v) : error_is_ours(ctx, v, 0)) {
		v->reply = 1;
		return WEIR_OK;
	}
	return WEIR_ICMP_ERROR;
}

/* Judge at the home of the sender (@egress) or of the receiver, and count it there. */
static __always_inline enum weir_reason judge_end(struct WEIR_CTX *ctx, struct visit *v, int egress)
{
	__u8 direction = egress ? WEIR_DIR_EGRESS : WEIR_DIR_INGRESS;
	__u8 kind = egress ? v->src_kind : v->dst_kind;
	__u32 home = kind == WEIR_WORKLOAD
			 ? (egress ? WEIR_HOME_WORKLOAD_OUT : WEIR_HOME_WORKLOAD_IN)
			 : (egress ? WEIR_HOME_SELF_OUT : WEIR_HOME_SELF_IN);
	enum weir_reason why;
	__u64 opened;

	v->direction = direction;
	v->home = home;
	v->reply = 0;
	opened = ruling_here(v, v->src, v->dst, service_opened(&v->pkt), direction);
	if (opened & RULING_ERROR)
		why = WEIR_NO_POLICY;
	else if (v->pkt.flags & PKT_LATER)
		why = judge_later(v, egress, opened);
	else if (v->pkt.flags & PKT_ICMP_ERROR)
		why = judge_error(ctx, v, egress, opened, direction);
	else if (v->pkt.proto == PROTO_TCP)
		why = judge_tcp(ctx, v, egress, opened);
	else if (egress)
		why = judge_leaving(v, opened);
	else
		why = judge_arriving(ctx, v, opened);
	count(bpf_map_lookup_elem(&weir_homecnt, &home), v, why == WEIR_OK);
	return why;
}

/* One function for each direction, so that each is verified once. */
__noinline int judge_egress(struct WEIR_CTX *ctx, struct visit *v)
{
	return v ? judge_end(ctx, v, 1) : WEIR_NO_POLICY;
}

__noinline int judge_ingress(struct WEIR_CTX *ctx, struct visit *v)
{
	return v ? judge_end(ctx, v, 0) : WEIR_NO_POLICY;
}

/* Sender and receiver both have their home here: only what both let pass leaves an entry. */
static __always_inline enum weir_reason judge_both(struct WEIR_CTX *ctx, struct visit *v)
{
	enum weir_reason why;

	v->hold = HOLD_ENTRY;
	why = judge_egress(ctx, v);
	if (why == WEIR_OK)
		why = judge_ingress(ctx, v);
	if (why != WEIR_OK || v->hold != HOLD_HELD)
		return why;
	return flow_make(&v->held) ? WEIR_OK : WEIR_FLOW_FULL;
}

/* Whose quota a transit flow counts to: the source's /24 or /56. */
static __always_inline __u32 transit_owner(const struct visit *v)
{
	const union address *src = source_of(v);

	return v->pkt.family == 4 ? BE32(src->w[3]) >> 8
				  : (__u32)weir_mix(BE64(src->d[0]) & ~0xffULL, 0) | 0x80000000;
}

/*
 * Does the policy let answers pass without an entry? Where it speaks of interfaces (on:), that hangs on where they will
 * arrive, which is not known yet.
 */
static __always_inline int answers_pass_anyway(struct visit *v, __u32 service)
{
	const struct weir_config *config = WEIR_TABLE(weir_cfg, v->slot, 0);

	return config && config->nr_zones <= 1 &&
	       ruling(v, v->dst, v->src, service, WEIR_DIR_FORWARD) & RULING_ALLOWED;
}

/* Any packet that the policy lets open passes and makes or refreshes an entry; replies pass by the entry alone. */
static __always_inline enum weir_reason judge_transit(struct WEIR_CTX *ctx, struct visit *v)
{
	const struct packet *pkt = &v->pkt;
	__u32 service = service_answered(pkt), home = WEIR_HOME_FORWARD;
	struct flow_use *use = &v->use;
	enum weir_reason why;
	__u64 opened, r;

	v->direction = WEIR_DIR_FORWARD;
	v->home = home;
	v->reply = 0;
	opened = ruling(v, v->src, v->dst, service_opened(pkt), WEIR_DIR_FORWARD);
	if (opened & RULING_ERROR) {
		why = WEIR_NO_POLICY;
	} else if (pkt->flags & PKT_ICMP_ERROR && !by_name(opened)) {
		why = WEIR_ICMP_ERROR;
		if (error_readable(pkt) && (opened & RULING_ALLOWED || error_is_ours(ctx, v, 1))) {
			v->reply = 1;
			why = WEIR_OK;
		}
	} else if (opened & RULING_ALLOWED) {
		why = pass_opening(v, opened, WEIR_DIR_FORWARD);
		service = service_of_answer(pkt);
		/* Answers of a service address come from an endpoint: the entry is made where that shows. */
		if (why == WEIR_OK && service != NO_SERVICE && !(pkt->flags & PKT_LATER) &&
		    !(opened & RULING_LATER)) {
			if (!answers_pass_anyway(v, service)) {
				use_flow(v, use, WEIR_FLOW_TRANSIT, 0);
				use->owner = transit_owner(v);
				why = flow_make(use) ? WEIR_OK : WEIR_FLOW_FULL;
			}
		}
	} else {
		why = drop_refused(v, opened, WEIR_DIR_FORWARD);
		if (service != NO_SERVICE && !(pkt->flags & PKT_OPENS)) {
			r = ruling(v, v->dst, v->src, service, WEIR_DIR_FORWARD);
			use_flow(v, use, WEIR_FLOW_TRANSIT, 1);
			use->answers = 1;
			if (r & RULING_ALLOWED && (pkt->flags & PKT_LATER || flow_seen(use)))
				why = pass_reply(v, r, WEIR_DIR_FORWARD);
		}
	}
	count(bpf_map_lookup_elem(&weir_homecnt, &home), v, why == WEIR_OK);
	return why;
}

/** judge_forward() - judge a packet that this node only forwards. */
__noinline int judge_forward(struct WEIR_CTX *ctx, struct visit *v)
{
	return v ? judge_transit(ctx, v) : WEIR_NO_POLICY;
}

/* ---- What comes before any home ---- */

static __always_inline int block_covers(const union address *a)
{
	struct weir_block_key key = {.prefixlen = 128};
	const struct weir_block *block;
	__u64 now = now_boot_ns();

	key.address = a->addr;
	/* An expired longer prefix must not hide a shorter one. */
	for (int i = 0; i < 8; i++) {
		block = bpf_map_lookup_elem(&weir_block, &key);
		if (!block)
			return 0;
		if (!block->expires_ns || block->expires_ns > now)
			return 1;
		if (!block->prefixlen || block->prefixlen > 128)
			return 0;
		key.prefixlen = block->prefixlen - 1;
		key.address = a->addr;
	}
	return 1; /* more expired prefixes around one address than anybody adds: closed */
}

/* Run-time blocks, both directions; classes must be set, for never_block. */
__noinline int blocked_at_run_time(struct visit *v)
{
	const struct weir_class *src, *dst;

	if (!v)
		return 1;
	src = WEIR_TABLE(weir_class, v->slot, v->src);
	dst = WEIR_TABLE(weir_class, v->slot, v->dst);
	if (src && !(src->flags & WEIR_CLASS_NEVER_BLOCK) && block_covers(source_of(v)))
		return 1;
	return dst && !(dst->flags & WEIR_CLASS_NEVER_BLOCK) && block_covers(destination_of(v));
}

/* Block list, except for failsafe services in both directions of their flows. */
__noinline int blocked_by_list(struct visit *v)
{
	const struct weir_class *src, *dst;
	__u32 service;

	if (!v)
		return 1;
	src = WEIR_TABLE(weir_class, v->slot, v->src);
	dst = WEIR_TABLE(weir_class, v->slot, v->dst);
	service = service_answered(&v->pkt);
	if (!src || !dst || !((src->flags | dst->flags) & WEIR_CLASS_BLOCKED))
		return 0;
	if (v->dst_kind == WEIR_SELF &&
	    ruling(v, v->src, v->dst, service_opened(&v->pkt), WEIR_DIR_INGRESS) & RULING_FAILSAFE)
		return 0;
	return !(v->src_kind == WEIR_SELF && service != NO_SERVICE && !(v->pkt.flags & PKT_OPENS) &&
		 ruling(v, v->dst, v->src, service, WEIR_DIR_INGRESS) & RULING_FAILSAFE);
}

/**
 * judge_first() - classes of both ends, then what is dropped at the first hook, before any home.
 * Kinds must be set. Returns WEIR_OK, WEIR_BLOCKED, WEIR_BLOCK_LIST or WEIR_NO_POLICY.
 */
static __always_inline enum weir_reason judge_first(struct visit *v,
						    const struct weir_config *config)
{
	struct weir_control *c = control();
	__u32 src = visit_class_of(v, source_of(v), v->pkt.family);
	__u32 dst = visit_class_of(v, destination_of(v), v->pkt.family);

	if (src == WEIR_NONE || dst == WEIR_NONE || !c)
		return WEIR_NO_POLICY;
	v->src = v->src_kind * config->nr_classes + src;
	v->dst = v->dst_kind * config->nr_classes + dst;
	if (c->blocks && blocked_at_run_time(v))
		return WEIR_BLOCKED;
	if (config->flags & WEIR_CFG_BLOCK_LIST && blocked_by_list(v))
		return WEIR_BLOCK_LIST;
	if (v->behind == BEHIND_NOBODY) /* class 0: in no segment but any */
		v->src = v->src_kind * config->nr_classes;
	return WEIR_OK;
}

#endif
