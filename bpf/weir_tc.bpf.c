// SPDX-License-Identifier: GPL-2.0-only
/* TC: what leaves by a NIC, what XDP could not see, both directions of a workload's veth and of a bridge of workloads. */
#include <linux/pkt_cls.h>

#define WEIR_CTX __sk_buff
#define WEIR_TC
#include "emit.h"

char LICENSE[] SEC("license") = "GPL";

/* Headers may lie outside the linear part; this much of it is asked for. */
#define TC_HEADERS 512

/* Packets and bytes as they are on the wire: an aggregate is many, each with its own headers. */
static __always_inline void measure(const struct __sk_buff *skb, struct visit *v)
{
	__u32 size = skb->gso_size, segments = skb->gso_segs, payload;

	v->bytes = v->pkt.ip_len;
	if (!size || v->pkt.ip_len <= v->pkt.headers)
		return;
	payload = v->pkt.ip_len - v->pkt.headers;
	if (!segments) /* from "dodgy" sources */
		segments = (payload + size - 1) / size;
	v->segments = segments;
	v->bytes = payload + segments * v->pkt.headers;
}

static __always_inline void view_begin(const struct __sk_buff *skb, struct view *view)
{
	view->data = (void *)(long)skb->data;
	view->end = (void *)(long)skb->data_end;
}

/* What is readable now. Out of line, so that reading twice is verified once. @l2: bytes of link-layer header, 14 or 0 */
__noinline int read_linear(struct __sk_buff *skb, struct visit *v, int l2)
{
	struct view view = {};
	enum weir_reason why;

	if (!v)
		return WEIR_NO_POLICY;
	view_begin(skb, &view);
	view.len = skb->len;
	view.gso = skb->gso_size != 0;
	if (l2) {
		why = FORGET(v->why, parse_link(&view, &v->pkt, &v->pkt.ethertype));
		if (why != WEIR_OK || v->pkt.flags & PKT_CONTROL)
			return why;
		view_begin(skb, &view);
	} else {
		v->pkt.ip_len = view.len;
		v->pkt.ethertype = (__be16)skb->protocol;
	}
	return parse_network(&view, &v->pkt, v->pkt.ethertype);
}

#define L2_BEHIND 1 /* in place of a length: data begins behind the link-layer header */

/* The outermost tag, which the driver or the stack took out of the frame. */
static __always_inline enum weir_reason read_aside(const struct __sk_buff *skb, struct visit *v)
{
	if (!skb->vlan_present)
		return WEIR_OK;
	v->pkt.tags = 1;
	v->pkt.vlan = skb->vlan_tci & 0xfff;
	v->pkt.ip_len = skb->len;
	return v->pkt.vlan && skb->vlan_proto != BE16(0x8100) ? WEIR_VLAN : WEIR_OK;
}

/* Tags and nothing else, the first of them of the packet's protocol. */
__noinline int read_tags(struct __sk_buff *skb, struct visit *v)
{
	struct view view = {};

	if (!v)
		return WEIR_NO_POLICY;
	view_begin(skb, &view);
	view.len = skb->len;
	v->pkt.ethertype = (__be16)skb->protocol;
	if (!is_tag(v->pkt.ethertype))
		return WEIR_OK;
	return FORGET(v->why, parse_tags(&view, &v->pkt, &v->pkt.ethertype, 0));
}

/*
 * Headers are in the linear part nearly always, and making it longer can copy the packet: it is read as it is first,
 * and only what ended there is read again.
 */
static __always_inline enum weir_reason read_packet(struct __sk_buff *skb, struct visit *v,
						    __u32 l2)
{
	enum weir_reason why;

	if (l2 == L2_BEHIND) {
		v->bytes = skb->len;
		why = read_aside(skb, v);
		return why == WEIR_OK ? read_tags(skb, v) : why;
	}
	for (int i = 0; i < 2; i++) {
		if (l2 && read_aside(skb, v) != WEIR_OK)
			return WEIR_VLAN;
		why = read_linear(skb, v, l2);
		if (why != WEIR_TRUNCATED &&
		    (v->pkt.flags & (PKT_ICMP_ERROR | PKT_INNER)) != PKT_ICMP_ERROR)
			break;
		if ((void *)(long)skb->data + skb->len <= (void *)(long)skb->data_end)
			break;
		bpf_skb_pull_data(skb, skb->len < TC_HEADERS ? skb->len : TC_HEADERS);
		if (i == 0)
			__builtin_memset(&v->pkt, 0, sizeof(v->pkt));
	}
	measure(skb, v);
	return why;
}

/* A packet at @hook that came by @arrived (0: made here), as far as it could be read. NULL: no policy judges, it passes. */
static __always_inline struct visit *arrive(struct __sk_buff *skb, __u8 hook, __u32 arrived,
					    __u32 l2, enum weir_reason *why)
{
	struct visit *v = visit_begin(hook, skb->ifindex);

	if (!v)
		return 0;
	v->arrived = arrived;
	*why = read_packet(skb, v, l2);
	return v;
}

static __always_inline int verdict(struct __sk_buff *skb, struct visit *v, enum weir_reason why)
{
	/* UNSPEC: let the next program or filter decide as well. */
	return emit(skb, v, why) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

/*
 * A workload's hook tells those of its bridge and of the other ports that it let this packet pass: the bridge does not
 * say by which port one came, and a port without hooks may send in the name of another's. So does the bridge's own, of
 * what comes from elsewhere. tc_index is nobody else's in between; test runs cannot set it.
 */
static __always_inline __u16 hooked(void)
{
	const struct weir_control *c = control();

	return c ? (__u16)(c->seed >> 32) | 1 : 1;
}

static __always_inline int came_by_a_hook(const struct __sk_buff *skb)
{
	return weir_fake_clock || skb->tc_index == hooked();
}

enum { MARK_STRAIGHT = 1, MARK_TURNED = 2 };

/* XDP's mark: judged there. Turned (WEIR_MARK_WORDS): data begins behind the Ethernet header. */
static __always_inline int marked(const struct __sk_buff *skb)
{
	const __u32 *meta = (void *)(long)skb->data_meta;
	struct weir_control *c = control();
	__u32 mark;

	if (!c || (void *)(meta + 1) > (void *)(long)skb->data)
		return 0;
	mark = (__u32)c->seed;
	if (*meta == mark)
		return MARK_STRAIGHT;
	return *meta == (mark >> 16 | mark << 16) ? MARK_TURNED : 0;
}

static __always_inline int nic_in(struct __sk_buff *skb, __u32 l2)
{
	const struct weir_config *config;
	int judged = marked(skb);
	enum weir_reason why;
	struct visit *v;

	if (judged && !skb->vlan_present)
		return TC_ACT_UNSPEC;
	v = arrive(skb, WEIR_HOOK_NIC_IN, skb->ifindex, judged == MARK_TURNED ? L2_BEHIND : l2,
		   &why);
	if (!v)
		return TC_ACT_UNSPEC;
	if (why == WEIR_OK && judged) {
		/* What remains is the tag, which XDP may not have seen, and whether there are others beside it. */
		config = WEIR_TABLE(weir_cfg, v->slot, 0);
		if (config && vlan_is_ours(v, config))
			return TC_ACT_UNSPEC;
		why = WEIR_VLAN;
	} else if (why == WEIR_OK) {
		why = decide_nic_in(skb, v);
	}
	return verdict(skb, v, why);
}

static __always_inline int nic_out(struct __sk_buff *skb, __u32 l2)
{
	enum weir_reason why;
	struct visit *v = arrive(skb, WEIR_HOOK_NIC_OUT, skb->ingress_ifindex, l2, &why);

	if (!v)
		return TC_ACT_UNSPEC;
	if (why == WEIR_OK)
		why = decide_nic_out(skb, v);
	return verdict(skb, v, why);
}

SEC("tc")
int weir_nic_in(struct __sk_buff *skb)
{
	return nic_in(skb, 14);
}

SEC("tc")
int weir_nic_out(struct __sk_buff *skb)
{
	return nic_out(skb, 14);
}

SEC("tc")
int weir_l3_in(struct __sk_buff *skb)
{
	return nic_in(skb, 0);
}

SEC("tc")
int weir_l3_out(struct __sk_buff *skb)
{
	return nic_out(skb, 0);
}

SEC("tc")
int weir_wl_out(struct __sk_buff *skb)
{
	enum weir_reason why;
	struct visit *v = arrive(skb, WEIR_HOOK_WL_OUT, skb->ifindex, 14, &why);

	if (!v)
		return TC_ACT_UNSPEC;
	if (why == WEIR_OK)
		why = decide_workload_out(skb, v);
	skb->tc_index = hooked();
	return verdict(skb, v, why);
}

SEC("tc")
int weir_wl_in(struct __sk_buff *skb)
{
	enum weir_reason why;
	struct visit *v = arrive(skb, WEIR_HOOK_WL_IN, skb->ingress_ifindex, 14, &why);

	if (!v)
		return TC_ACT_UNSPEC;
	if (why == WEIR_OK)
		why = decide_workload_in(skb, v, came_by_a_hook(skb));
	/* What it hands on speaks for itself again. */
	skb->tc_index = 0;
	return verdict(skb, v, why);
}

/* A bridge of workloads: what comes out of it, and what this host sends into it. */
SEC("tc")
int weir_br_in(struct __sk_buff *skb)
{
	enum weir_reason why;
	struct visit *v = arrive(skb, WEIR_HOOK_BR_IN, skb->ifindex, 14, &why);

	if (!v)
		return TC_ACT_UNSPEC;
	if (why == WEIR_OK)
		why = came_by_a_hook(skb) ? decide_bridge_in(v) : WEIR_SPOOFED;
	return verdict(skb, v, why);
}

SEC("tc")
int weir_br_out(struct __sk_buff *skb)
{
	enum weir_reason why;
	struct visit *v = arrive(skb, WEIR_HOOK_BR_OUT, skb->ingress_ifindex, 14, &why);

	if (!v)
		return TC_ACT_UNSPEC;
	if (why == WEIR_OK)
		why = decide_bridge_out(v);
	skb->tc_index = hooked();
	return verdict(skb, v, why);
}

/* Run once by the loader (BPF_PROG_TEST_RUN) after it set weir_control.tick: where did jiffies begin? */
SEC("tc")
int weir_clock(struct __sk_buff *skb)
{
	struct weir_control *c = control();

	if (!c || !c->tick)
		return 0;
	c->jiffies0 = bpf_jiffies64() - (bpf_ktime_get_ns() << WEIR_TAT_SHIFT) / c->tick;
	return 1;
}
