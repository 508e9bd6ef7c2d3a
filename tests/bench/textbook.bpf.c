// SPDX-License-Identifier: GPL-2.0-only
/*
 * The design that textbooks and tutorials teach, for comparison: a kernel LPM trie from address to segment, a hash of
 * (source segment, destination segment, port), an LRU hash of token state for each source, a per-CPU counter.
 * It judges the same packets by the same rules as weir does in the benchmark, IPv4 alone, with a parser that checks
 * less, no replies, no slots and no audit.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "textbook.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct textbook_prefix);
	__type(value, __u32);
} segments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct textbook_key);
	__type(value, struct textbook_rule);
} policy SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 21);
	__type(key, __u32);
	__type(value, __u64);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline __u32 segment_of(__be32 address)
{
	struct textbook_prefix key = {.length = 32, .address = address};
	__u32 *segment = bpf_map_lookup_elem(&segments, &key);

	return segment ? *segment : TEXTBOOK_ANY;
}

static __always_inline const struct textbook_rule *rule_for(__u32 from, __u32 to, __u16 port)
{
	struct textbook_key key = {.from = from, .to = to, .port = port};
	const struct textbook_rule *rule = bpf_map_lookup_elem(&policy, &key);

	if (rule || from == TEXTBOOK_ANY)
		return rule;
	key.from = TEXTBOOK_ANY;
	return bpf_map_lookup_elem(&policy, &key);
}

static __always_inline int conforms(__be32 source, const struct textbook_rule *rule)
{
	__u64 now = bpf_ktime_get_ns(), *state = bpf_map_lookup_elem(&sources, &source), tat, next;

	if (!state) {
		next = now + rule->interval_ns;
		bpf_map_update_elem(&sources, &source, &next, BPF_ANY);
		return 1;
	}
	tat = *state;
	if (tat > now + rule->tolerance_ns)
		return 0;
	next = (tat > now ? tat : now) + rule->interval_ns;
	return __sync_val_compare_and_swap(state, tat, next) == tat;
}

static __always_inline int judge(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct textbook_rule *rule;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl < 5 ||
	    ip->protocol != IPPROTO_TCP)
		return 0;
	tcp = (void *)ip + ip->ihl * 4;
	if ((void *)(tcp + 1) > end)
		return 0;
	rule = rule_for(segment_of(ip->saddr), segment_of(ip->daddr), bpf_ntohs(tcp->dest));
	return rule && (!rule->interval_ns || conforms(ip->saddr, rule));
}

SEC("xdp.frags")
int textbook(struct xdp_md *ctx)
{
	__u32 passes = judge(ctx);
	__u64 *counter = bpf_map_lookup_elem(&counters, &passes);

	if (counter)
		++*counter;
	return passes ? XDP_PASS : XDP_DROP;
}
