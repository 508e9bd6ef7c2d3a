// SPDX-License-Identifier: GPL-2.0-only
/* Limits -> the numbers that programs charge (DESIGN 1.4): never more than the rate, and hardly less. */
#include <errno.h>
#include <stdlib.h>

#include "compile/builder.h"

typedef unsigned __int128 u128;

#define NS_PER_S	1000000000ULL
#define TOLERANCE_MAX	((366ULL * 86400 * NS_PER_S) << WEIR_TAT_SHIFT)
#define OVERFLOW_FACTOR 100
#define TICK_TOLERANCE	((8000000ULL) << WEIR_TAT_SHIFT) /* 8 ms: two ticks of 4 ms */

/* A rate as one number: cost of a unit in 1/16 ns is @up / @down. */
struct rate {
	u128 up, down;
};

static u128 divide_up(u128 a, u128 b)
{
	return (a + b - 1) / b;
}

/* Cost of a byte as mantissa / 2^shift, rounded up, with as many bits as fit. Returns false when it does not. */
static bool byte_cost(struct rate rate, __u32 *mantissa, __u8 *shift)
{
	u128 cost;

	for (*shift = 46;; (*shift)--) {
		cost = divide_up(rate.up << *shift, rate.down);
		if (cost <= 0xffffffff)
			break;
		if (*shift == 0)
			return false;
	}
	*mantissa = cost;
	return true;
}

static int bad_limit(struct builder *b, const struct limit_rule *rule, const char *why)
{
	return diag_fail(b->diag, -EINVAL, &rule->at,
			 "limit %s: %llu per %llu ns with burst %llu cannot be kept: %s",
			 rule->name ? rule->name : "", (unsigned long long)rule->rate,
			 (unsigned long long)rule->period_ns, (unsigned long long)rule->burst, why);
}

static int fill_costs(struct builder *b, const struct limit_rule *rule, struct weir_limit *limit)
{
	struct rate rate = {(u128)rule->period_ns << WEIR_TAT_SHIFT, rule->rate};
	struct rate over = {rate.up, (u128)rule->rate * OVERFLOW_FACTOR};
	u128 interval, over_interval, tolerance;

	if (rule->overflow_rate)
		over = (struct rate){(u128)rule->overflow_period_ns << WEIR_TAT_SHIFT,
				     rule->overflow_rate};
	if (!rule->rate || !rule->period_ns || !over.up)
		return bad_limit(b, rule, "the rate is zero");
	interval = divide_up(rate.up, rate.down);
	over_interval = divide_up(over.up, over.down);
	if (rule->count == WEIR_COUNT_BYTES)
		tolerance = rate.up * rule->burst / rate.down;
	else
		tolerance = interval * rule->burst;
	if (interval > TOLERANCE_MAX || over_interval > TOLERANCE_MAX || tolerance > TOLERANCE_MAX)
		return bad_limit(b, rule, "the burst lasts longer than 366 days at that rate");
	limit->tolerance = tolerance;
	/* The burst of a shared entry grows with its rate: as many sources' worth of both. */
	limit->over_tolerance = tolerance;
	if (rule->count != WEIR_COUNT_BYTES) {
		limit->interval = interval;
		limit->over_interval = over_interval;
		return 0;
	}
	if (!byte_cost(rate, &limit->mantissa, &limit->shift) ||
	    !byte_cost(over, &limit->over_mantissa, &limit->over_shift))
		return bad_limit(b, rule, "it is below 4 bytes a second");
	return 0;
}

static __u32 bucket_mask(const struct limit_rule *rule, bool wide)
{
	__u64 buckets = 1, ways = wide ? 2 : 4,
	      entries = rule->per == WEIR_PER_RULE ? 1 : rule->entries;

	while (buckets * ways < entries)
		buckets *= 2;
	return buckets - 1;
}

/* The tick is free to read, but a burst must outlast two of them, or the ticks cap the rate. */
static bool tick_serves(const struct builder *b, const struct weir_limit *limit)
{
	__u64 tick = b->env ? b->env->tick_ns : 0;

	return tick && limit->tolerance >= TICK_TOLERANCE &&
	       limit->tolerance >= 2 * (tick << WEIR_TAT_SHIFT);
}

static int fill_limit(struct builder *b, size_t index, struct weir_limit *limit)
{
	const struct limit_rule *rule = &b->policy->limit[index];
	bool has_from = rule->has_from && rule->from.n, has_to = rule->has_to && rule->to.n;
	bool wide = rule->per == WEIR_PER_PAIR || (rule->key6 > 64 && rule->per != WEIR_PER_RULE);
	__u64 block_s = (rule->block_ns + NS_PER_S - 1) / NS_PER_S;
	int err;

	*limit = (struct weir_limit){.count = rule->count,
				     .per = rule->per,
				     .key4 = rule->key4,
				     .key6 = rule->key6,
				     .counter = index,
				     .block_s = block_s > 0xffffffff ? 0xffffffff : block_s,
				     .mask = bucket_mask(rule, wide)};
	limit->id = b->tables->weir_rule[b->policy->nr_rules + index].id;
	err = fill_costs(b, rule, limit);
	if (err)
		return err;
	limit->flags =
	    (has_from && !has_to ? WEIR_LIMIT_EGRESS : 0) | (wide ? WEIR_LIMIT_WIDE : 0) |
	    (tick_serves(b, limit) ? WEIR_LIMIT_JIFFIES : 0) |
	    (rule->block_ns ? WEIR_LIMIT_BLOCK : 0) | (rule->monitor ? WEIR_LIMIT_MONITOR : 0) |
	    (b->log[b->policy->nr_rules + index] ? WEIR_LIMIT_LOG : 0);
	return 0;
}

int limits_build(struct builder *b)
{
	size_t n = b->policy->nr_limits;
	__u32 buckets = 0;

	b->tables->weir_limit = calloc(n ? n : 1, sizeof(struct weir_limit));
	if (!b->tables->weir_limit)
		return -ENOMEM;
	b->tables->nr_weir_limit = n ? n : 1;
	for (size_t i = 0; i < n; i++) {
		struct weir_limit *limit = &b->tables->weir_limit[i];
		int err = fill_limit(b, i, limit);

		if (err)
			return err;
		limit->buckets = buckets;
		limit->overflow = i * WEIR_OVERFLOWS;
		buckets += limit->mask + 1;
	}
	return 0;
}

size_t limits_bytes(const struct tables *tables)
{
	size_t bytes = 0;

	for (size_t i = 0; i < tables->weir_cfg->nr_limits; i++)
		bytes += (tables->weir_limit[i].mask + 1UL) * sizeof(struct weir_tat) +
			 WEIR_OVERFLOWS * sizeof(__u64);
	return bytes;
}
