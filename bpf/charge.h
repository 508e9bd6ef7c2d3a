/* SPDX-License-Identifier: GPL-2.0-only */
/* Which limits a packet meets, by which key, and what a refusal leads to. The table itself is in limit.h. */
#ifndef WEIR_CHARGE_H
#define WEIR_CHARGE_H

#include "limit.h"
#include "visit.h"

enum charge_mode {
	CHARGE_LOOK = 0, /* would it conform? */
	CHARGE_TAKE = 1,
	CHARGE_PEEK = 2, /* as LOOK, for a source that may be forged: it is not blocked for that */
};
#define CHARGE_ONLY_PEEK 0x100 /* of charge_all(), with the direction: charge nothing */

/* One address as a key of at most 64 bits. */
static __always_inline __u64 key_narrow(const union address *a, __u8 family,
					const struct weir_limit *limit)
{
	__u64 key;

	if (family == 4)
		return 0xff00000000000000ULL |
		       (limit->key4 ? BE32(a->w[3]) & (0xffffffffu << ((32 - limit->key4) & 31))
				    : 0);
	if (!limit->key6)
		return 1;
	key = BE64(a->d[0]);
	if (limit->key6 < 64)
		key &= ~0ULL << ((64 - limit->key6) & 63);
	return key ? key : 1;
}

/* The lower half of a key longer than 64 bits. */
static __always_inline __u64 key_rest(const union address *a, __u8 family,
				      const struct weir_limit *limit)
{
	if (family == 4 || limit->key6 <= 64)
		return 0;
	return BE64(a->d[1]) & (limit->key6 >= 128 ? ~0ULL : ~0ULL << ((128 - limit->key6) & 63));
}

/* Key of this packet under a limit, and the bucket that it belongs to: v->key, v->bucket. */
static __always_inline void charge_find(struct visit *v, const struct weir_limit *limit,
					__u32 index, __u64 seed)
{
	const union address *a =
	    limit->per == WEIR_PER_DESTINATION ? destination_of(v) : source_of(v);
	__u64 key0 = 1, key1 = 0;

	if (limit->per != WEIR_PER_RULE) {
		key0 = key_narrow(a, v->pkt.family, limit);
		key1 = limit->per == WEIR_PER_PAIR
			   ? key_narrow(destination_of(v), v->pkt.family, limit)
			   : key_rest(a, v->pkt.family, limit);
	}
	if (limit->per == WEIR_PER_PAIR && limit->key6 > 64 && v->pkt.family == 6) {
		/* Two keys of more than 64 bits do not fit: a seeded hash of each stands for it. */
		key0 = weir_mix(key0 ^ weir_mix(key_rest(source_of(v), 6, limit), seed), seed) | 1;
		key1 =
		    weir_mix(key1 ^ weir_mix(key_rest(destination_of(v), 6, limit), ~seed), seed);
	}
	v->key[0] = key0;
	v->key[1] = key1;
	v->bucket =
	    limit->buckets + ((__u32)weir_mix(key0 ^ weir_mix(key1, seed), seed) & limit->mask);
	v->touched = index;
}

/**
 * charge_touch() - ask for the bucket that the packet will probably be charged in, while it is still being classified:
 * the two wait for memory at the same time.
 */
static __always_inline void charge_touch(struct visit *v, const struct weir_config *config)
{
	const struct weir_limit *limit;
	struct weir_control *c = control();
	const struct weir_tat *bucket;

	if (config->touch == WEIR_NONE || !c)
		return;
	limit = WEIR_TABLE(weir_limit, v->slot, config->touch);
	if (!limit || (limit->count == WEIR_COUNT_CONNECTIONS && !(v->pkt.flags & PKT_OPENS)))
		return;
	charge_find(v, limit, config->touch, c->seed);
	bucket = bpf_map_lookup_elem(&weir_tat, &v->bucket);
	if (bucket)
		(void)*(volatile __u64 *)&bucket->entry[0].key;
}

static __always_inline void charge_cost(const struct visit *v, const struct weir_limit *limit,
					int overflow, struct limit_charge *charge)
{
	__u64 cost;

	if (limit->count == WEIR_COUNT_BYTES)
		cost = gcra_cost(v->bytes, overflow ? limit->over_mantissa : limit->mantissa,
				 overflow ? limit->over_shift : limit->shift);
	else
		cost = gcra_times(overflow ? limit->over_interval : limit->interval,
				  limit->count == WEIR_COUNT_PACKETS ? v->segments : 1);
	charge->cost = cost > GCRA_MAX_COST ? GCRA_MAX_COST : cost;
	charge->tolerance = overflow ? limit->over_tolerance : limit->tolerance;
}

/*
 * Whom a block of this limit would hit is exempt, by the policy in force: by its `never_block`, or because others would be
 * locked out with it, which is what a forged source is for.
 */
static __always_inline int never_blocked(const struct visit *v, const struct weir_limit *limit)
{
	__u32 index = limit->per == WEIR_PER_DESTINATION ? v->dst : v->src;
	const struct weir_class *class = WEIR_TABLE(weir_class, v->slot, index);

	return class && class->flags & (WEIR_CLASS_NEVER_BLOCK | WEIR_CLASS_NO_AUTOBLOCK);
}

/* Is this key blocked by this limit? An entry past its time is removed on the way. */
static __always_inline int autoblock_holds(struct weir_control *c,
					   const struct weir_autoblk_key *key)
{
	struct weir_autoblk *block;

	if (!c->autoblocks)
		return 0;
	block = bpf_map_lookup_elem(&weir_autoblk, key);
	if (!block)
		return 0;
	if (block->expires_ns > now_boot_ns())
		return 1;
	bpf_map_delete_elem(&weir_autoblk, key);
	return 0;
}

static __always_inline void autoblock_add(struct visit *v, struct weir_control *c,
					  const struct weir_limit *limit,
					  const struct weir_autoblk_key *key)
{
	const struct weir_config *config = WEIR_TABLE(weir_cfg, v->slot, 0);
	struct weir_autoblk block = {.expires_ns =
					 now_boot_ns() + (__u64)limit->block_s * 1000000000};

	/* A policy that only watches leaves nothing behind for the one that enforces. */
	if (!config || config->flags & WEIR_CFG_MONITOR || never_blocked(v, limit))
		return;
	/* First: a block must not exist while the count says none does. */
	__sync_fetch_and_add(&c->autoblocks, 1);
	if (bpf_map_update_elem(&weir_autoblk, key, &block, BPF_ANY) == 0) {
		v->notice = WEIR_BLOCK_ADDED;
	} else {
		__sync_fetch_and_add(&c->block_full, 1);
		v->notice = WEIR_BLOCK_FULL;
	}
}

/* All sources of a /16 or /32 that hash alike share this entry. */
static __always_inline __u32 charge_overflow_index(const struct visit *v,
						   const struct weir_limit *limit, __u64 seed)
{
	const union address *a =
	    limit->per == WEIR_PER_DESTINATION ? destination_of(v) : source_of(v);
	__u32 group = v->pkt.family == 4 ? BE32(a->w[3]) >> 16 : BE32(a->w[0]);

	return limit->overflow + ((__u32)weir_mix(group, seed) & (WEIR_OVERFLOWS - 1));
}

/* The bucket's word, or the shared entry's where the bucket is full; a refusal may block the source. */
static __always_inline int charge_decide(struct visit *v, struct weir_control *c,
					 const struct weir_limit *limit,
					 struct limit_charge *charge,
					 const struct weir_autoblk_key *block, __u32 mode)
{
	switch (limit->flags & WEIR_LIMIT_WIDE ? limit_wide(charge, v->bucket)
					       : limit_narrow(charge, v->bucket)) {
	case LIMIT_PASS:
		return WEIR_OK;
	case LIMIT_RETRY:
		/* Not the shared entry: a source whose own entry was just made would be granted more there. */
		return WEIR_LIMIT;
	case LIMIT_REFUSE:
		if (limit->flags & WEIR_LIMIT_BLOCK && !(limit->flags & WEIR_LIMIT_MONITOR) &&
		    mode != CHARGE_PEEK)
			autoblock_add(v, c, limit, block);
		return WEIR_LIMIT;
	}
	if (!charge->check) {
		v->notice = WEIR_OVERFLOW_USED;
		v->limit = limit->counter;
	}
	charge_cost(v, limit, 1, charge);
	return limit_overflow(charge, charge_overflow_index(v, limit, c->seed)) == LIMIT_PASS
		   ? WEIR_OK
		   : WEIR_LIMIT_OVERFLOW;
}

/* Count what the limit said; what it refuses on trial (`mode: monitor` of a limit) passes, and is reported. */
static __always_inline int charge_said(struct visit *v, const struct weir_limit *limit, int why,
				       __u32 mode)
{
	__u32 counter = limit->counter;

	if (why == WEIR_OK) {
		if (mode == CHARGE_TAKE)
			count(bpf_map_lookup_elem(&weir_limcnt, &counter), v, 1);
		return WEIR_OK;
	}
	count(bpf_map_lookup_elem(&weir_limcnt, &counter), v, 0);
	v->limit = counter;
	if (!(limit->flags & WEIR_LIMIT_MONITOR))
		return why;
	v->notice = why;
	return WEIR_OK;
}

/**
 * charge_limit() - one packet against one limit.
 * @index: in weir_limit of the visit's slot
 * @mode:  enum charge_mode
 *
 * Returns enum weir_reason: WEIR_OK, WEIR_LIMIT, WEIR_LIMIT_OVERFLOW, WEIR_AUTO_BLOCKED.
 */
__noinline int charge_limit(struct visit *v, __u32 index, __u32 mode)
{
	struct weir_autoblk_key block = {};
	struct limit_charge charge = {};
	const struct weir_limit *limit;
	struct weir_control *c = control();
	int why;

	if (!v || !c)
		return WEIR_NO_POLICY;
	limit = WEIR_TABLE(weir_limit, v->slot, index);
	if (!limit)
		return WEIR_NO_POLICY;
	if (v->touched != index)
		charge_find(v, limit, index, c->seed);
	charge.key0 = v->key[0];
	charge.key1 = v->key[1];
	charge.clock = limit->flags & WEIR_LIMIT_JIFFIES;
	charge.check = mode != CHARGE_TAKE;
	charge_cost(v, limit, 0, &charge);
	charge.now = limit_now(charge.clock);
	block.limit = limit->id;
	block.key[0] = charge.key0;
	block.key[1] = charge.key1;
	if (limit->flags & WEIR_LIMIT_BLOCK && autoblock_holds(c, &block) &&
	    !never_blocked(v, limit))
		why = WEIR_AUTO_BLOCKED;
	else
		why = charge_decide(v, c, limit, &charge, &block, mode);
	return charge_said(v, limit, why, mode);
}

/* Does this limit count this packet here? Ends judged elsewhere too are charged there. */
static __always_inline int charge_applies(const struct visit *v, const struct weir_limit *limit,
					  __u8 direction)
{
	int egress = limit->flags & WEIR_LIMIT_EGRESS ? 1 : 0;

	if (limit->count == WEIR_COUNT_CONNECTIONS &&
	    !(v->pkt.flags & PKT_OPENS && v->pkt.proto == PROTO_TCP))
		return 0;
	if (direction == WEIR_DIR_INGRESS)
		return !egress;
	if (direction == WEIR_DIR_EGRESS)
		return egress || v->dst_kind == WEIR_OTHER;
	return 1;
}

/**
 * charge_all() - the limits of a verdict, in file order: all are looked at before any is charged, so that one that
 * refuses leaves the others as they were. Where another CPU takes the last unit in between, the earlier ones stay
 * charged: a unit given back would let its source exceed the bound (a model of it finds how).
 * @verdict: index in weir_verd
 * @direction: enum weir_direction, with CHARGE_ONLY_PEEK: would they refuse?
 */
__noinline int charge_all(struct visit *v, __u32 verdict, __u32 direction)
{
	const struct weir_verdict *found;
	const struct weir_limit *limit;
	__u32 applies, look = direction & CHARGE_ONLY_PEEK ? CHARGE_PEEK : CHARGE_LOOK;
	int why = WEIR_OK;

	if (!v)
		return WEIR_NO_POLICY;
	found = WEIR_TABLE(weir_verd, v->slot, verdict);
	if (!found)
		return WEIR_NO_POLICY;
	v->applies = 0;
	for (int i = 0; i < WEIR_MAX_FRAG_LIMITS; i++) {
		if (i >= found->nr_limits)
			break;
		limit = WEIR_TABLE(weir_limit, v->slot, found->limit[i]);
		if (!limit)
			return WEIR_NO_POLICY;
		if (charge_applies(v, limit, direction & 3))
			v->applies |= 1u << i;
	}
	applies = *(volatile __u16 *)&v->applies;
	if (applies & (applies - 1) || look == CHARGE_PEEK) { /* more than one */
		for (int i = 0; i < WEIR_MAX_FRAG_LIMITS && applies >> i && why == WEIR_OK; i++)
			if (applies >> i & 1)
				why = charge_limit(v, found->limit[i], look);
		if (why != WEIR_OK || look == CHARGE_PEEK)
			return why;
	}
	for (int i = 0; i < WEIR_MAX_FRAG_LIMITS && applies >> i; i++) {
		if (!(applies >> i & 1))
			continue;
		why = charge_limit(v, found->limit[i], CHARGE_TAKE);
		if (why != WEIR_OK)
			return why;
	}
	return WEIR_OK;
}

#endif
