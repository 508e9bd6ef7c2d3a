/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Regions of the limiter: which part of weir_tat and weir_over belongs to which limit, and how what sources owe is
 * carried from one region to another. Pure functions over arrays; the arrays may be maps that programs charge.
 */
#ifndef WEIR_KERNEL_REGION_H
#define WEIR_KERNEL_REGION_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/tables.h"

struct region {
	__u32 first, n;
};

/** region_place() - first place for @n units in a row that none of @taken (any order; it is sorted here) covers. */
__u32 region_place(struct region *taken, size_t nr_taken, __u32 n);

/** limit_keys_alike() - do entries of both limits speak of the same sources and units? Then debts can be carried. */
bool limit_keys_alike(const struct weir_limit *a, const struct weir_limit *b);
/** limit_same() - same keys, rates, clock and size: the region can stay as it is. */
bool limit_same(const struct weir_limit *a, const struct weir_limit *b);

enum region_how {
	REGION_FRESH,	/* nothing is owed */
	REGION_KEPT,	/* the region that it had */
	REGION_CARRIED, /* a new region; debts come from @from */
};

/**
 * struct region_plan - where one limit's state goes.
 * @from: REGION_CARRIED: index in the running slot's limits
 */
struct region_plan {
	enum region_how how;
	__u32 buckets;
	__u32 overflow;
	__u32 from;
};

/**
 * regions_plan() - a region for each of @want.
 * @running: limits of the slot that judges: their regions are never given to another limit
 * @idle:    limits of the other slot: a limit that stayed the same takes its region up again, all others are free
 * @ret:     @n entries
 * @ret_buckets, @ret_overflows: entries that weir_tat and weir_over must have
 *
 * Returns 0, or -ENOMEM.
 */
int regions_plan(const struct weir_limit *want, size_t n, const struct weir_limit *running,
		 size_t nr_running, const struct weir_limit *idle, size_t nr_idle,
		 struct region_plan *ret, __u32 *ret_buckets, __u32 *ret_overflows);

/**
 * debt_rescale() - what is owed under @from, in units, expressed as time under @to: rounded up, and never more than a
 * source can owe there (tolerance plus one unit).
 * @debt:     tat - now in 1/16 ns
 * @overflow: of an overflow entry
 */
__u64 debt_rescale(__u64 debt, const struct weir_limit *from, const struct weir_limit *to,
		   bool overflow);

/**
 * struct region_merge - charges to carry from one region to another.
 * @from, @to:         the limits; their buckets and overflow fields are not used
 * @before:            the old region when @since was read; NULL: as if empty then
 * @after:             the old region now; nobody writes it any more; NULL: nothing to carry
 * @since, @now:       1/16 ns of the limiter's clock
 * @target:            the new region, which programs may be charging
 * @before_over, @after_over, @target_over: WEIR_OVERFLOWS overflow entries each, likewise
 * @seed:              weir_control.seed
 * @at_least:          debts do not add up: @target holds most of them already, and shall hold no less than @after
 */
struct region_merge {
	const struct weir_limit *from, *to;
	const struct weir_tat *before, *after;
	struct weir_tat *target;
	const __u64 *before_over, *after_over;
	__u64 *target_over;
	__u64 since, now;
	__u64 seed;
	bool at_least;
};

/**
 * region_merge() - add to @target what was charged in @after since @before; what finds no place in its bucket is
 * charged to the overflow entries, so that nothing is forgotten. Returns how many entries were carried.
 */
size_t region_merge(const struct region_merge *merge);

/**
 * region_advance() - one pass while @after is still being charged: carries what was charged since the pass before, and
 * moves on: @before and @before_over (of the size of @after and @after_over) then hold what @after held, and @since is
 * the time of this pass, which the caller gives in @now.
 * Each pass leaves less time in which a source owes too little; the last one is made when nobody charges any more.
 *
 * Returns 0 or -ENOMEM.
 */
int region_advance(struct region_merge *merge, struct weir_tat *before, __u64 *before_over);

/** region_snapshot() - copy @n buckets that programs may be charging; entries in the middle of a change are left out. */
void region_snapshot(const struct weir_tat *from, struct weir_tat *to, __u32 n, bool wide);

#endif
