// SPDX-License-Identifier: GPL-2.0-only
/* XDP at a NIC: what arrives, before the stack sees it. */
#define WEIR_CTX xdp_md
#include "emit.h"

char LICENSE[] SEC("license") = "GPL";

/*
 * Tells TC ingress that this frame was judged here. A frame that cannot carry it is left to TC, unjudged and uncounted:
 * judging it twice would charge it twice.
 */
static __always_inline int leave_mark(struct xdp_md *ctx, __u32 mark)
{
	__u32 *meta;

	if (bpf_xdp_adjust_meta(ctx, -(int)(WEIR_MARK_WORDS * sizeof(*meta))))
		return 0;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + WEIR_MARK_WORDS) > (void *)(long)ctx->data)
		return 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < WEIR_MARK_WORDS; i++)
		meta[i] = mark;
	return 1;
}

/* For `status`: this interface's driver leaves the judging to TC. */
static __always_inline void note_unmarked(__u32 ifindex)
{
	struct weir_iface *iface = iface_find(ifindex);

	if (iface && !(iface->flags & WEIR_IF_NO_METADATA))
		iface->flags |= WEIR_IF_NO_METADATA;
}

static __always_inline void view_begin(const struct xdp_md *ctx, struct view *view)
{
	view->data = (void *)(long)ctx->data;
	view->end = (void *)(long)ctx->data_end;
}

/* The frame as far as its first buffer shows it. Out of line, so that reading twice is verified once. */
__noinline int read_frame(struct xdp_md *ctx, struct visit *v, __u32 len)
{
	struct view view = {.len = len};
	enum weir_reason why;

	if (!v)
		return WEIR_NO_POLICY;
	view_begin(ctx, &view);
	why = FORGET(v->why, parse_link(&view, &v->pkt, &v->pkt.ethertype));
	if (why != WEIR_OK || v->pkt.flags & PKT_CONTROL)
		return why;
	view_begin(ctx, &view);
	return parse_network(&view, &v->pkt, v->pkt.ethertype);
}

SEC("xdp.frags")
int weir_xdp(struct xdp_md *ctx)
{
	struct weir_control *c = control();
	enum weir_reason why;
	struct visit *v;
	__u32 linear;

	v = visit_begin(WEIR_HOOK_XDP, ctx->ingress_ifindex);
	if (!v || !c)
		return XDP_PASS;
	v->arrived = ctx->ingress_ifindex;
	linear = ctx->data_end - ctx->data;
	why = read_frame(ctx, v, linear);
	if (why == WEIR_TRUNCATED || why == WEIR_BAD_LENGTH) {
		/* Seldom: more than one buffer. Headers beyond the first are left to TC, which can reach them. */
		__u32 len = bpf_xdp_get_buff_len(ctx);

		if (len > linear) {
			__builtin_memset(&v->pkt, 0, sizeof(v->pkt));
			why = read_frame(ctx, v, len);
			if (why == WEIR_TRUNCATED)
				return XDP_PASS;
		}
	}
	if (!leave_mark(ctx, (__u32)c->seed)) {
		note_unmarked(ctx->ingress_ifindex);
		return XDP_PASS;
	}
	v->bytes = v->pkt.ip_len;
	if (why == WEIR_OK)
		why = decide_nic_in(ctx, v);
	if (!emit(ctx, v, why))
		return XDP_PASS;
	return v->answer ? cookie_answer(ctx, v) : XDP_DROP;
}
