/* SPDX-License-Identifier: GPL-2.0-only */
/* One exit for every verdict: counters, the audit record, monitor mode. */
#ifndef WEIR_EMIT_H
#define WEIR_EMIT_H

#include "hooks.h"
#include "limit.h"

/* One event a second's share for this entry of weir_evlim; entry 0 is everybody's. The burst is one second's worth. */
static __always_inline int event_conforms(__u32 index, __u64 now, __u64 interval_ns)
{
	__u64 *tat, was, next;

	if (!interval_ns)
		return 1;
	tat = bpf_map_lookup_elem(&weir_evlim, &index);
	if (!tat)
		return 0;
	was = *(volatile __u64 *)tat;
	if (!gcra_take(was, now, interval_ns, 1000000000 - interval_ns, &next))
		return 0;
	return __sync_val_compare_and_swap(tat, was, next) == was;
}

static __always_inline __u32 event_source(const struct visit *v, __u64 seed)
{
	const union address *source = source_of(v);
	__u64 key = v->pkt.family == 6 ? source->d[0] : source->d[1];

	return 1 + (__u32)weir_mix(key, seed) % (WEIR_EVENT_SOURCES - 1);
}

static __always_inline void event_fill(struct weir_event *event, const struct visit *v, __u64 now,
				       __u16 reason, __u8 verdict)
{
	const struct packet *pkt = &v->pkt;
	int readable = pkt->family || pkt->flags & PKT_ARP;

	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = now;
	event->rule = v->rule;
	event->limit = v->limit;
	event->length = v->bytes;
	event->ifindex = v->ifindex;
	event->generation = v->generation;
	event->reason = reason;
	event->verdict = verdict;
	event->direction = v->direction;
	event->hook = v->hook;
	event->slot = v->slot;
	event->ip_version = pkt->family;
	if (!readable)
		return;
	event->fields = WEIR_EVENT_ADDRS;
	event->source = pkt->src.addr;
	event->destination = pkt->dst.addr;
	event->client = v->reply ? destination_of(v)->addr : source_of(v)->addr;
	event->protocol = pkt->proto;
	if (pkt->flags & PKT_PORTS || pkt->proto == PROTO_ICMP || pkt->proto == PROTO_ICMPV6) {
		event->fields |= WEIR_EVENT_PORTS;
		event->source_port = pkt->sport;
		event->destination_port =
		    pkt->flags & PKT_PORTS ? pkt->dport : BE16((__u16)pkt->type);
	}
}

/* due = written + suppressed + lost_full + lost_no_reader */
static __noinline int event_send(struct WEIR_CTX *ctx, const struct visit *v, __u16 reason,
				 __u8 verdict)
{
	const struct weir_config *config = WEIR_TABLE(weir_cfg, v->slot, 0);
	struct weir_control *c = control();
	struct weir_books *books;
	struct scratch *scratch;
	__u32 zero = 0;
	__u64 now;
	long err;

	books = bpf_map_lookup_elem(&weir_books, &zero);
	scratch = bpf_map_lookup_elem(&weir_scratch, &zero);
	if (!books || !scratch || !config || !c)
		return 0;
	books->due++;
	now = now_coarse_ns();
	if (!event_conforms(event_source(v, c->seed), now, config->event_source_interval_ns) ||
	    !event_conforms(0, now, config->event_interval_ns)) {
		books->suppressed++;
		return 0;
	}
	event_fill(&scratch->event, v, now_ns(), reason, verdict);
	err = bpf_perf_event_output(ctx, &weir_events, BPF_F_CURRENT_CPU, &scratch->event,
				    sizeof(scratch->event));
	if (!err)
		books->written++;
	else if (err == -2 ||
		 err ==
		     -95) /* ENOENT: nobody reads this CPU's buffer; EOPNOTSUPP: not this CPU's */
		books->lost_no_reader++;
	else
		books->lost_full++;
	return 0;
}

/**
 * emit() - count and report a packet.
 * Returns 1 when it must be dropped: @why is not WEIR_OK, and the policy enforces.
 */
static __always_inline int emit(struct WEIR_CTX *ctx, struct visit *v, enum weir_reason why)
{
	const struct weir_config *config = WEIR_TABLE(weir_cfg, v->slot, 0);
	__u32 reason = FORGET(v->why, why), rule = v->rule;
	int monitor = config && config->flags & WEIR_CFG_MONITOR, passes = !reason || monitor;

	if (!v->bytes)
		v->bytes = v->pkt.ip_len;
	count(bpf_map_lookup_elem(&weir_rsncnt, &reason), v, passes);
	if (rule != WEIR_NONE)
		count(bpf_map_lookup_elem(&weir_rulecnt, &rule), v, passes);
	if (reason)
		event_send(ctx, v, reason, monitor ? WEIR_EVENT_WOULD_DROP : WEIR_EVENT_DROP);
	else if (v->log)
		event_send(ctx, v, reason, WEIR_EVENT_PASS);
	if (v->notice)
		event_send(ctx, v, v->notice,
			   v->notice >= WEIR_BLOCK_ADDED ? WEIR_EVENT_NOTICE
							 : WEIR_EVENT_WOULD_DROP);
	return !passes;
}

#endif
