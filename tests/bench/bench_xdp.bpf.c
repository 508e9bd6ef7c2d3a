// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parts of weir's XDP program, each with what comes before it: the real code, over the real (pinned) tables.
 * Differences between two of them are the price of a part; the whole is the pinned program itself.
 */
#include "../../bpf/weir_xdp.bpf.c"

#include "drive.h"

SEC("xdp.frags")
int bench_drive(struct xdp_md *ctx)
{
	long marked = (long)ctx->data - (long)ctx->data_meta;
	__u32 offset = drive.offset, address;
	void *data;

	/*
	 * The mark of the run before is still there: one run of the test lends its frame to the next. Called also when
	 * there is none, so that it costs every target the same.
	 */
	bpf_xdp_adjust_meta(ctx, marked);
	data = (void *)(long)ctx->data;
	if (offset > 64 || data + offset + 4 > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	address = BE32(drive_next());
	*(__u32 *)(data + offset) = address; /* at once: two halves would delay whoever loads it */
	bpf_tail_call(ctx, &bench_target, 0);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int bench_empty(struct xdp_md *ctx)
{
	return XDP_PASS;
}

static __always_inline struct visit *begin(struct xdp_md *ctx)
{
	struct visit *v = visit_begin(WEIR_HOOK_XDP, ctx->ingress_ifindex);

	if (!v)
		return 0;
	v->arrived = ctx->ingress_ifindex;
	if (read_frame(ctx, v, ctx->data_end - ctx->data) != WEIR_OK)
		return 0;
	v->bytes = v->pkt.ip_len;
	return v;
}

static __always_inline int classify_both(struct visit *v)
{
	const struct weir_config *config = WEIR_TABLE(weir_cfg, v->slot, 0);
	__u32 src = visit_class_of(v, &v->pkt.src, v->pkt.family);
	__u32 dst = visit_class_of(v, &v->pkt.dst, v->pkt.family);

	if (!config || src == WEIR_NONE || dst == WEIR_NONE)
		return 0;
	v->src_kind = WEIR_OTHER;
	v->dst_kind = WEIR_SELF;
	v->src = WEIR_OTHER * config->nr_classes + src;
	v->dst = WEIR_SELF * config->nr_classes + dst;
	return 1;
}

SEC("xdp.frags")
int bench_parse(struct xdp_md *ctx)
{
	return begin(ctx) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp.frags")
int bench_address(struct xdp_md *ctx)
{
	struct visit *v = begin(ctx);

	return v && classify_both(v) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp.frags")
int bench_verdict(struct xdp_md *ctx)
{
	struct visit *v = begin(ctx);

	if (!v || !classify_both(v))
		return XDP_ABORTED;
	return ruling(v, v->src, v->dst, service_opened(&v->pkt), WEIR_DIR_INGRESS) & RULING_ALLOWED
		   ? XDP_PASS
		   : XDP_DROP;
}

SEC("xdp.frags")
int bench_limit(struct xdp_md *ctx)
{
	struct visit *v = begin(ctx);
	__u64 r;

	if (!v || !classify_both(v))
		return XDP_ABORTED;
	r = ruling(v, v->src, v->dst, service_opened(&v->pkt), WEIR_DIR_INGRESS);
	if (!(r & RULING_ALLOWED))
		return XDP_DROP;
	return charge_all(v, r >> RULING_VERDICT_SHIFT, WEIR_DIR_INGRESS) ? XDP_DROP : XDP_PASS;
}
