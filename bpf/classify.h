/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Address and service -> classes -> verdict: the lookups of the compiled policy.
 *
 * Compiles for BPF and for the host. The includer says how a slot's table is reached:
 *   WEIR_TABLE(name, slot, index)   pointer to entry `index` of table `name` of slot 0 or 1, NULL when out of range
 *   WEIR_FUNC                       how out-of-line functions are declared (BPF: __noinline, verified once)
 *   WEIR_FUNC_ONE_CALLER            likewise, where a call would cost more than it saves (default: WEIR_FUNC)
 */
#ifndef WEIR_CLASSIFY_H
#define WEIR_CLASSIFY_H

#include "weir/hash.h"
#include "weir/tables.h"

#ifndef WEIR_FUNC_ONE_CALLER
#define WEIR_FUNC_ONE_CALLER WEIR_FUNC
#endif

/** classify_service() - index into weir_svc of protocol @proto with @port (host order), ICMP type in @port. */
static inline __attribute__((always_inline)) __u32 classify_service(__u8 proto, __u16 port)
{
	switch (proto) {
	case 6:
		return WEIR_SVC_TCP + port;
	case 17:
		return WEIR_SVC_UDP + port;
	case 132:
		return WEIR_SVC_SCTP + port;
	case 1:
		return WEIR_SVC_ICMP + (port & 0xff);
	case 58:
		return WEIR_SVC_ICMPV6 + (port & 0xff);
	default:
		return WEIR_SVC_PROTO + proto;
	}
}

/* From node @ref on; @hi, @lo: what of the address is left behind the root's bits. */
WEIR_FUNC __u32 classify_walk(__u32 slot, __u32 ref, __u64 hi, __u64 lo)
{
	for (int depth = 0; depth < WEIR_MAX_DEPTH; depth++) {
		const struct weir_node *node;
		__u32 bits = WEIR_STRIDE;

		if (ref & WEIR_REF_CLASS)
			return ref & ~WEIR_REF_CLASS;
		node = WEIR_TABLE(weir_node, slot, ref);
		if (!node)
			return WEIR_NONE;
		if (node->node_base & WEIR_NODE_SKIP) {
			bits = node->leaf & 127;
			if (bits == 0 || bits > 64)
				return WEIR_NONE;
			if (hi >> ((64 - bits) & 63) != node->inner)
				return node->miss;
			ref = node->hit;
			if (bits == 64) {
				hi = lo;
				lo = 0;
				continue;
			}
		} else {
			__u32 v = hi >> (64 - WEIR_STRIDE);
			__u64 upto = (2ULL << v) - 1;

			if (!(node->inner >> v & 1)) {
				__u32 i =
				    node->leaf_base + __builtin_popcountll(node->leaf & upto) - 1;
				const struct weir_leaf *leaf = WEIR_TABLE(weir_leaf, slot, i >> 1);

				return leaf ? leaf->class[i & 1] : WEIR_NONE;
			}
			ref = node->node_base + __builtin_popcountll(node->inner & upto) - 1;
		}
		hi = hi << (bits & 63) | lo >> ((64 - bits) & 63);
		lo <<= bits & 63;
	}
	return ref & WEIR_REF_CLASS ? ref & ~WEIR_REF_CLASS : WEIR_NONE;
}

/**
 * classify_address() - class of an address: longest matching prefix in the trie.
 * @v6: 1 for IPv6, 0 for IPv4
 * @hi, @lo: the address as a 128-bit number, left-aligned: IPv4 is the upper 32 bits of @hi
 *
 * Returns the class, or WEIR_NONE when the tables are incomplete: the caller drops. The first 16 bits settle most
 * addresses of most policies, without a call.
 * Source: poptrie, Asai and Ohara, SIGCOMM 2015; with path compression.
 */
static inline __attribute__((always_inline)) __u32 classify_address(__u32 slot, __u32 v6, __u64 hi,
								    __u64 lo)
{
	__u32 top = hi >> (64 - WEIR_ROOT_BITS);
	const struct weir_root *root = WEIR_TABLE(weir_root, slot, ((v6 & 1) << 15) + (top >> 1));
	__u32 ref;

	if (!root)
		return WEIR_NONE;
	ref = root->ref[top & 1];
	if (ref & WEIR_REF_CLASS)
		return ref & ~WEIR_REF_CLASS;
	return classify_walk(slot, ref, hi << WEIR_ROOT_BITS | lo >> (64 - WEIR_ROOT_BITS),
			     lo << WEIR_ROOT_BITS);
}

static inline __attribute__((always_inline)) __u32 classify_exact(const struct weir_exact *bucket,
								  __u32 a, __u32 b, __u32 missing)
{
	if (!bucket)
		return missing;
#pragma clang loop unroll(full)
	for (int i = 0; i < WEIR_EXACT_WAYS; i++)
		if (bucket->a[i] == a && bucket->b[i] == b)
			return bucket->value[i];
	return missing;
}

/**
 * classify_verdict() - index into weir_verd for a packet that opens from @src to @dst.
 * @src, @dst: indices into weir_class: kind * config.nr_classes + class
 * @service:   index into weir_svc
 * @zone:      zone of the interface of arrival or departure (`on:`), 0 where no rule names one
 *
 * Returns WEIR_NONE when the tables are incomplete: the caller drops.
 */
WEIR_FUNC_ONE_CALLER __u32 classify_verdict(__u32 slot, __u32 src, __u32 dst, __u32 service,
					    __u32 zone)
{
	const struct weir_config *config = WEIR_TABLE(weir_cfg, slot, 0);
	const struct weir_class *from = WEIR_TABLE(weir_class, slot, src);
	const struct weir_class *to = WEIR_TABLE(weir_class, slot, dst);
	const struct weir_service *group = WEIR_TABLE(weir_svc, slot, service >> 2);
	const struct weir_dense *dense;
	__u32 width, column, row, i;

	if (!config || !from || !to || !group)
		return WEIR_NONE;
	if (config->pair_mask == WEIR_NONE) {
		i = from->src * config->nr_dst + to->dst;
		dense = WEIR_TABLE(weir_pair, slot, i >> 1);
		if (!dense)
			return WEIR_NONE;
		row = dense->value[i & 1];
	} else {
		if (src < config->nr_classes)
			row = to->row[WEIR_SELF];
		else if (src < 2 * config->nr_classes)
			row = to->row[WEIR_WORKLOAD];
		else
			row = to->row[WEIR_OTHER];
		i = weir_exact_hash(from->src, to->dst, config->seed) & config->pair_mask;
		row = classify_exact(WEIR_TABLE(weir_pairx, slot, i), from->src, to->dst, row);
	}

	width = config->nr_service_classes;
	column = (zone < config->nr_zones ? zone : 0) * width + group->class[service & 3];
	if (config->cell_mask == WEIR_NONE) {
		i = (row & ~WEIR_ROW_OWN_DEFAULT) * width * config->nr_zones + column;
		dense = WEIR_TABLE(weir_cell, slot, i >> 1);
		return dense ? dense->value[i & 1] : WEIR_NONE;
	}
	i = weir_exact_hash(row, column, config->seed) & config->cell_mask;
	i = classify_exact(WEIR_TABLE(weir_cellx, slot, i), row, column, WEIR_NONE);
	if (i != WEIR_NONE)
		return i;
	if (!(row & WEIR_ROW_OWN_DEFAULT))
		return config->cell_default;
	i = weir_exact_hash(row, WEIR_NONE, config->seed) & config->cell_mask;
	return classify_exact(WEIR_TABLE(weir_cellx, slot, i), row, WEIR_NONE, WEIR_NONE);
}

#endif
