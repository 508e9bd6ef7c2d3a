/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * GCRA in an expiring set-associative table.
 *
 * The arithmetic compiles on the host as well (tests, proofs); the table part needs maps.h and is for BPF only.
 */
#ifndef WEIR_LIMIT_H
#define WEIR_LIMIT_H

#include "weir/hash.h"
#include "weir/tables.h"

/* One unit, or one aggregate, never costs more: 366 days in 1/16 ns. Keeps every TAT below 2^62. */
#define GCRA_MAX_COST (366ULL * 86400 * 1000000000 << WEIR_TAT_SHIFT)

/**
 * gcra_take() - charge one unit to a source's theoretical arrival time.
 * @tat:       state, 1/16 ns since boot; 0 when the source is new
 * @now:       the same clock; going backwards grants nothing
 * @cost:      what the unit costs, at most GCRA_MAX_COST
 * @tolerance: burst * interval, at most 366 days; the compiler guarantees it
 *
 * Returns 1 and the new state in @ret_tat when the unit conforms; 0, and @ret_tat untouched, when not.
 * Source: ITU-T I.371, Annex A, virtual scheduling algorithm.
 */
static inline __attribute__((always_inline)) int gcra_take(__u64 tat, __u64 now, __u64 cost,
							   __u64 tolerance, __u64 *ret_tat)
{
	if (tat > now + tolerance)
		return 0;
	*ret_tat = (tat > now ? tat : now) + cost;
	return 1;
}

/** gcra_cost() - cost of @length bytes, rounded up. @mantissa, @shift: see struct weir_limit; @shift at most 63. */
static inline __attribute__((always_inline)) __u64 gcra_cost(__u32 length, __u32 mantissa,
							     __u8 shift)
{
	__u64 cost = (__u64)length * mantissa;
	__u64 round = (1ULL << (shift & 63)) - 1;

	return (cost + round) >> (shift & 63);
}

/** gcra_times() - cost of @n units of @interval each, capped. */
static inline __attribute__((always_inline)) __u64 gcra_times(__u64 interval, __u32 n)
{
	__u64 cost;

	if (n <= 1)
		return interval;
	if (interval > GCRA_MAX_COST / 65536 && interval > GCRA_MAX_COST / n)
		return GCRA_MAX_COST;
	cost = interval * n;
	return cost > GCRA_MAX_COST ? GCRA_MAX_COST : cost;
}

#ifdef __bpf__

#include "maps.h"

enum limit_result {
	LIMIT_PASS = 0,
	LIMIT_REFUSE = 1,
	LIMIT_FULL = 2,	 /* no place in the bucket: charge an overflow entry */
	LIMIT_RETRY = 3, /* lost a race; of a whole charge: lost every round */
};

#define LIMIT_ROUNDS 16

/* One shape for both layouts: entry i of a bucket, narrow (four) or wide (two). */
struct limit_entry {
	__u64 *key0;
	__u64 *key1; /* NULL when narrow */
	__u64 *tat;
};

static __always_inline void limit_entry(struct weir_tat *bucket, int i, int wide,
					struct limit_entry *entry)
{
	struct weir_tat_wide *w = (void *)bucket;

	entry->key0 = wide ? &w->entry[i & 1].key[0] : &bucket->entry[i & 3].key;
	entry->key1 = wide ? &w->entry[i & 1].key[1] : 0;
	entry->tat = wide ? &w->entry[i & 1].tat : &bucket->entry[i & 3].tat;
}

/**
 * struct limit_charge - one charge, arguments of the table functions.
 * @check: look only, charge nothing
 */
struct limit_charge {
	__u64 key0;
	__u64 key1;
	__u64 now;
	__u64 cost;
	__u64 tolerance;
	__u32 clock; /* WEIR_LIMIT_JIFFIES or 0 */
	__u32 check;
};

/*
 * Charge the entry of this key if it is there. A tat is loaded before its key: when the key is ours afterwards, and
 * the CAS finds the same tat, the entry was ours all the while (a key changes only under a DEAD tat, and a new tat is
 * later than any that expired).
 */
static __always_inline enum limit_result limit_try(struct weir_tat *bucket,
						   const struct limit_charge *charge, int wide,
						   int *found)
{
	*found = 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < (wide ? 2 : 4); i++) {
		struct limit_entry e;
		__u64 raw, tat;

		limit_entry(bucket, i, wide, &e);
		raw = *(volatile __u64 *)e.tat;
		if (*(volatile __u64 *)e.key0 != charge->key0 || raw & WEIR_TAT_DEAD)
			continue;
		if (wide && *(volatile __u64 *)e.key1 != charge->key1)
			continue;
		*found = 1;
		if (!gcra_take(raw & WEIR_TAT_MASK, charge->now, charge->cost, charge->tolerance,
			       &tat))
			return LIMIT_REFUSE;
		if (charge->check ||
		    __sync_val_compare_and_swap(e.tat, raw, tat | (raw & WEIR_TAT_LOCK)) == raw)
			return LIMIT_PASS;
		return LIMIT_RETRY;
	}
	return LIMIT_FULL;
}

/* Take the first expired entry for this key; the caller holds the bucket's lock. */
static __always_inline enum limit_result limit_insert(struct weir_tat *bucket,
						      const struct limit_charge *charge, int wide)
{
#pragma clang loop unroll(full)
	for (int i = 0; i < (wide ? 2 : 4); i++) {
		struct limit_entry e;
		__u64 raw;

		limit_entry(bucket, i, wide, &e);
		raw = *(volatile __u64 *)e.tat;
		if (raw & WEIR_TAT_DEAD || (raw & WEIR_TAT_MASK) > charge->now)
			continue;
		if (__sync_val_compare_and_swap(e.tat, raw,
						WEIR_TAT_DEAD | (raw & WEIR_TAT_LOCK)) != raw)
			continue; /* its owner was just charged */
		__sync_lock_test_and_set(e.key0, charge->key0);
		if (wide)
			__sync_lock_test_and_set(e.key1, charge->key1);
		__sync_lock_test_and_set(e.tat, (charge->now + charge->cost) |
						    (i == 0 ? WEIR_TAT_LOCK : 0));
		return LIMIT_PASS;
	}
	return LIMIT_FULL;
}

static __always_inline enum limit_result limit_round(struct weir_tat *bucket,
						     struct limit_charge *charge, int wide)
{
	__u64 *lock = &bucket->entry[0].tat;
	enum limit_result result;
	struct limit_entry first;
	__u64 raw;
	int found;

	limit_entry(bucket, 0, wide, &first);
	lock = first.tat;
	result = limit_try(bucket, charge, wide, &found);
	if (found)
		return result;
	if (charge->check)
		return LIMIT_PASS; /* new to us: whether there is a place is for the charge to find out */
	raw = *(volatile __u64 *)lock;
	if (raw & WEIR_TAT_LOCK ||
	    __sync_val_compare_and_swap(lock, raw, raw | WEIR_TAT_LOCK) != raw)
		return LIMIT_RETRY;
	/* With the earlier time, an entry that expired and was replaced meanwhile would be admitted afresh. */
	charge->now = limit_now(charge->clock);
	result = limit_try(bucket, charge, wide, &found);
	if (!found)
		result = limit_insert(bucket, charge, wide);
	__sync_fetch_and_and(lock, ~WEIR_TAT_LOCK);
	return result;
}

static __always_inline int limit_rounds(struct limit_charge *charge, __u32 index, int wide)
{
	struct weir_tat *bucket = bpf_map_lookup_elem(&weir_tat, &index);
	int result = LIMIT_RETRY;

	if (!bucket || !charge)
		return LIMIT_REFUSE;
	for (int i = 0; i < LIMIT_ROUNDS && result == LIMIT_RETRY; i++)
		result = limit_round(bucket, charge, wide);
	return result;
}

/* Out of line, one for each layout: verified once (inline, three times as much is). Returns enum limit_result. */
__noinline int limit_narrow(struct limit_charge *charge, __u32 index)
{
	return limit_rounds(charge, index, 0);
}

__noinline int limit_wide(struct limit_charge *charge, __u32 index)
{
	return limit_rounds(charge, index, 1);
}

/* A shared entry: every source that found no place and hashes here. */
__noinline int limit_overflow(struct limit_charge *charge, __u32 index)
{
	__u64 *entry = bpf_map_lookup_elem(&weir_over, &index);

	if (!entry || !charge)
		return LIMIT_REFUSE;
	for (int i = 0; i < LIMIT_ROUNDS; i++) {
		__u64 raw = *(volatile __u64 *)entry, tat;

		if (!gcra_take(raw, charge->now, charge->cost, charge->tolerance, &tat))
			return LIMIT_REFUSE;
		if (charge->check || __sync_val_compare_and_swap(entry, raw, tat) == raw)
			return LIMIT_PASS;
	}
	return LIMIT_REFUSE;
}

#endif /* __bpf__ */
#endif
