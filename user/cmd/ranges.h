/* SPDX-License-Identifier: GPL-2.0-only */
/* Sets of addresses as sorted ranges: what a list of items stands for, and whether a prefix touches it. */
#ifndef WEIR_CMD_RANGES_H
#define WEIR_CMD_RANGES_H

#include "compile/compile.h"
#include "policy/model.h"

/* The families are apart: ::/0 holds no IPv4 address, though these are ::ffff:a.b.c.d here. */
struct range {
	struct weir_addr first, last;
	bool v6;
};
struct ranges {
	struct range *range;
	size_t n, capacity;
};

/**
 * ranges_of_items() - what @items stand for: segments resolved (exceptions taken away), sorted, overlaps joined.
 * @env: addresses of self, of interfaces and of followed names. `workloads` is a run-time fact and stands for nothing
 * here, as does a unit, which is sockets of this node.
 * Returns 0 or -ENOMEM; @ret is to be released by ranges_clear().
 */
int ranges_of_items(const struct policy *policy, const struct items *items,
		    const struct environment *env, struct ranges *ret);
int ranges_of_segment(const struct policy *policy, const struct segment *segment,
		      const struct environment *env, struct ranges *ret);
/** ranges_overlap() - the first range that @prefix touches, or NULL. */
const struct range *ranges_overlap(const struct ranges *ranges, const struct prefix *prefix);
/** ranges_prefixes() - how many prefixes cover the ranges exactly. */
size_t ranges_prefixes(const struct ranges *ranges);
void ranges_clear(struct ranges *ranges);

struct range prefix_range(const struct prefix *prefix);

#endif
