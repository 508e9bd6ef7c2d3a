// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/region.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "weir/hash.h"

#define MERGE_ROUNDS 10000

static int by_first(const void *a, const void *b)
{
	const struct region *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

__u32 region_place(struct region *taken, size_t nr_taken, __u32 n)
{
	__u32 place = 0;

	qsort(taken, nr_taken, sizeof(*taken), by_first);
	for (size_t i = 0; i < nr_taken; i++) {
		if (taken[i].first >= place && taken[i].first - place >= n)
			return place;
		if (taken[i].first + taken[i].n > place)
			place = taken[i].first + taken[i].n;
	}
	return place;
}

bool limit_keys_alike(const struct weir_limit *a, const struct weir_limit *b)
{
	return a->id == b->id && a->count == b->count && a->per == b->per && a->key4 == b->key4 &&
	       a->key6 == b->key6 && ((a->flags ^ b->flags) & WEIR_LIMIT_WIDE) == 0;
}

bool limit_same(const struct weir_limit *a, const struct weir_limit *b)
{
	return limit_keys_alike(a, b) && a->interval == b->interval &&
	       a->tolerance == b->tolerance && a->mantissa == b->mantissa && a->shift == b->shift &&
	       a->over_interval == b->over_interval && a->over_tolerance == b->over_tolerance &&
	       a->over_mantissa == b->over_mantissa && a->over_shift == b->over_shift &&
	       a->mask == b->mask && ((a->flags ^ b->flags) & WEIR_LIMIT_JIFFIES) == 0;
}

static long limit_find(const struct weir_limit *limit, size_t n, __u64 id)
{
	for (size_t i = 0; i < n; i++)
		if (limit[i].id == id)
			return i;
	return -1;
}

static void plan_one(const struct weir_limit *want, const struct weir_limit *running,
		     size_t nr_running, const struct weir_limit *idle, size_t nr_idle,
		     struct region_plan *plan)
{
	long at = limit_find(running, nr_running, want->id);
	const struct weir_limit *had = at >= 0 ? &running[at] : NULL;

	memset(plan, 0, sizeof(*plan));
	if (!had) {
		at = limit_find(idle, nr_idle, want->id);
		had = at >= 0 && limit_same(want, &idle[at]) ? &idle[at] : NULL;
	}
	if (!had)
		return;
	if (limit_same(want, had)) {
		plan->how = REGION_KEPT;
		plan->buckets = had->buckets;
		plan->overflow = had->overflow;
	} else if (limit_keys_alike(want, had)) {
		plan->how = REGION_CARRIED;
		plan->from = at;
	}
}

static void take(struct region *buckets, struct region *overflows, size_t *n,
		 const struct weir_limit *limit, __u32 bucket, __u32 overflow)
{
	buckets[*n] = (struct region){bucket, limit->mask + 1};
	overflows[(*n)++] = (struct region){overflow, WEIR_OVERFLOWS};
}

static __u32 furthest(const struct region *region, size_t n)
{
	__u32 end = 0;

	for (size_t i = 0; i < n; i++)
		if (region[i].first + region[i].n > end)
			end = region[i].first + region[i].n;
	return end;
}

int regions_plan(const struct weir_limit *want, size_t n, const struct weir_limit *running,
		 size_t nr_running, const struct weir_limit *idle, size_t nr_idle,
		 struct region_plan *ret, __u32 *ret_buckets, __u32 *ret_overflows)
{
	_cleanup_free_ struct region *buckets = calloc(n + nr_running + 1, sizeof(*buckets));
	_cleanup_free_ struct region *overflows = calloc(n + nr_running + 1, sizeof(*overflows));
	size_t taken = 0;

	if (!buckets || !overflows)
		return -ENOMEM;
	for (size_t i = 0; i < nr_running; i++)
		take(buckets, overflows, &taken, &running[i], running[i].buckets,
		     running[i].overflow);
	for (size_t i = 0; i < n; i++) {
		plan_one(&want[i], running, nr_running, idle, nr_idle, &ret[i]);
		if (ret[i].how == REGION_KEPT)
			take(buckets, overflows, &taken, &want[i], ret[i].buckets, ret[i].overflow);
	}
	for (size_t i = 0; i < n; i++) {
		if (ret[i].how == REGION_KEPT)
			continue;
		ret[i].buckets = region_place(buckets, taken, want[i].mask + 1);
		ret[i].overflow = region_place(overflows, taken, WEIR_OVERFLOWS);
		take(buckets, overflows, &taken, &want[i], ret[i].buckets, ret[i].overflow);
	}
	*ret_buckets = furthest(buckets, taken);
	*ret_overflows = furthest(overflows, taken);
	return 0;
}

/* ---- debts ---- */

/* Length of one unit in 1/16 ns; of a byte, a fraction. */
static long double unit(const struct weir_limit *limit, bool overflow)
{
	if (limit->count != WEIR_COUNT_BYTES)
		return overflow ? limit->over_interval : limit->interval;
	return (long double)(overflow ? limit->over_mantissa : limit->mantissa) /
	       (long double)(1ULL << ((overflow ? limit->over_shift : limit->shift) & 63));
}

/* What a source can owe at most: the last unit was taken with the whole tolerance used up. */
static __u64 most(const struct weir_limit *limit, bool overflow)
{
	__u64 tolerance = overflow ? limit->over_tolerance : limit->tolerance;
	long double last = unit(limit, overflow) * (limit->count == WEIR_COUNT_BYTES ? 65535 : 1);

	return tolerance + (__u64)last + 1;
}

__u64 debt_rescale(__u64 debt, const struct weir_limit *from, const struct weir_limit *to,
		   bool overflow)
{
	long double old = unit(from, overflow), new = unit(to, overflow);
	__u64 cap = most(to, overflow), whole;
	long double scaled;

	if (old == new)
		return debt < cap ? debt : cap;
	if (old <= 0)
		return 0;
	scaled = (long double)debt * new / old;
	if (scaled >= (long double)cap)
		return cap;
	whole = scaled;
	return (long double)whole < scaled ? whole + 1 : whole;
}

/* ---- entries; the order of loads and exchanges is that of bpf/limit.h ---- */

struct entry {
	__u64 *key0;
	__u64 *key1; /* NULL: narrow */
	__u64 *tat;
};

static int entries_of(bool wide)
{
	return wide ? 2 : 4;
}

static struct entry entry_at(struct weir_tat *bucket, int i, bool wide)
{
	struct weir_tat_wide *w = (void *)bucket;

	if (wide)
		return (struct entry){&w->entry[i].key[0], &w->entry[i].key[1], &w->entry[i].tat};
	return (struct entry){&bucket->entry[i].key, NULL, &bucket->entry[i].tat};
}

static __u64 load(const __u64 *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static bool cas(__u64 *p, __u64 expected, __u64 desired)
{
	return __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

static bool is_key(const struct entry *e, const __u64 key[2])
{
	return load(e->key0) == key[0] && (!e->key1 || load(e->key1) == key[1]);
}

/*
 * Both regions may have let a source use up its tolerance: the sum is what it has to work off, or a source that is
 * always at its limit would gain by every change. Only a bound that keeps the time within its bits.
 */
static __u64 most_in_sum(const struct weir_limit *limit, bool overflow)
{
	return 2 * most(limit, overflow);
}

/* What one source owes in one region, to be owed in another, and how. */
struct debt {
	__u64 owed, now, cap;
	bool at_least;
};

static __u64 owed_with(const struct debt *debt, __u64 tat)
{
	__u64 has = tat > debt->now ? tat - debt->now : 0, owed = debt->owed;

	if (!debt->at_least)
		owed += has;
	else if (owed < has)
		owed = has;
	return owed < debt->cap ? owed : debt->cap;
}

/* 1: charged; 0: the key is not there; -1: lost a race. */
static int add_existing(struct weir_tat *bucket, const __u64 key[2], bool wide,
			const struct debt *debt)
{
	for (int i = 0; i < entries_of(wide); i++) {
		struct entry e = entry_at(bucket, i, wide);
		__u64 raw = load(e.tat), tat = raw & WEIR_TAT_MASK, next;

		if (raw & WEIR_TAT_DEAD || !is_key(&e, key))
			continue;
		next = debt->now + owed_with(debt, tat);
		if (next <= tat)
			return 1;
		return cas(e.tat, raw, next | (raw & WEIR_TAT_LOCK)) ? 1 : -1;
	}
	return 0;
}

static bool add_new(struct weir_tat *bucket, const __u64 key[2], bool wide, const struct debt *debt)
{
	for (int i = 0; i < entries_of(wide); i++) {
		struct entry e = entry_at(bucket, i, wide);
		__u64 raw = load(e.tat);

		if (raw & WEIR_TAT_DEAD || (raw & WEIR_TAT_MASK) > debt->now)
			continue;
		if (!cas(e.tat, raw, WEIR_TAT_DEAD | (raw & WEIR_TAT_LOCK)))
			continue;
		__atomic_exchange_n(e.key0, key[0], __ATOMIC_SEQ_CST);
		if (e.key1)
			__atomic_exchange_n(e.key1, key[1], __ATOMIC_SEQ_CST);
		__atomic_exchange_n(e.tat, (debt->now + debt->owed) | (i == 0 ? WEIR_TAT_LOCK : 0),
				    __ATOMIC_SEQ_CST);
		return true;
	}
	return false;
}

/* false: the bucket is full of others. */
static bool bucket_add(struct weir_tat *bucket, const __u64 key[2], bool wide,
		       const struct debt *debt)
{
	__u64 *lock = entry_at(bucket, 0, wide).tat;

	for (int round = 0; round < MERGE_ROUNDS; round++) {
		int done = add_existing(bucket, key, wide, debt);
		__u64 raw = load(lock);

		if (done > 0)
			return true;
		if (done < 0)
			continue;
		if (raw & WEIR_TAT_LOCK || !cas(lock, raw, raw | WEIR_TAT_LOCK)) {
			sched_yield();
			continue;
		}
		do
			done = add_existing(bucket, key, wide, debt);
		while (done < 0);
		if (!done)
			done = add_new(bucket, key, wide, debt);
		__atomic_fetch_and(lock, ~WEIR_TAT_LOCK, __ATOMIC_SEQ_CST);
		return done > 0;
	}
	return false;
}

static void overflow_add(__u64 *entry, const struct debt *debt)
{
	for (int round = 0; round < MERGE_ROUNDS; round++) {
		__u64 raw = load(entry), next = debt->now + owed_with(debt, raw);

		if (next <= raw || cas(entry, raw, next))
			return;
	}
}

static struct debt debt_of(const struct region_merge *m, __u64 owed, bool overflow)
{
	return (struct debt){.owed = owed,
			     .now = m->now,
			     .cap = most_in_sum(m->to, overflow),
			     .at_least = m->at_least};
}

/* Which overflow entry a key falls on: programs take the group of its address, which the key still holds. */
static __u32 overflow_of(const __u64 key[2], __u64 seed)
{
	bool v4 = key[0] >> 56 == 0xff;
	__u32 group = v4 ? (__u32)key[0] >> 16 : (__u32)(key[0] >> 32);

	return (__u32)weir_mix(group, seed) & (WEIR_OVERFLOWS - 1);
}

/* What @key owed when the snapshot was taken. */
static __u64 tat_before(const struct weir_tat *bucket, const __u64 key[2], bool wide)
{
	for (int i = 0; bucket && i < entries_of(wide); i++) {
		struct entry e = entry_at((struct weir_tat *)bucket, i, wide);

		if (is_key(&e, key) && !(*e.tat & WEIR_TAT_DEAD))
			return *e.tat & WEIR_TAT_MASK;
	}
	return 0;
}

static size_t merge_bucket(const struct region_merge *m, __u32 index, bool wide)
{
	const struct weir_tat *before = m->before ? &m->before[index] : NULL;
	size_t carried = 0;

	for (int i = 0; i < entries_of(wide); i++) {
		struct entry e = entry_at((struct weir_tat *)&m->after[index], i, wide);
		__u64 key[2] = {load(e.key0), e.key1 ? load(e.key1) : 0};
		__u64 raw = load(e.tat), base;
		struct debt debt, shared;
		__u32 bucket;

		if (!key[0] || raw & WEIR_TAT_DEAD)
			continue;
		base = tat_before(before, key, wide);
		if (base < m->since)
			base = m->since;
		if ((raw & WEIR_TAT_MASK) <= base)
			continue;
		debt = debt_of(m, debt_rescale((raw & WEIR_TAT_MASK) - base, m->from, m->to, false),
			       false);
		bucket = (__u32)weir_mix(key[0] ^ weir_mix(key[1], m->seed), m->seed) & m->to->mask;
		shared = debt_of(m, debt_rescale(debt.owed, m->to, m->to, true), true);
		if (!bucket_add(&m->target[bucket], key, wide, &debt))
			overflow_add(&m->target_over[overflow_of(key, m->seed)], &shared);
		carried++;
	}
	return carried;
}

size_t region_merge(const struct region_merge *m)
{
	bool wide = m->from->flags & WEIR_LIMIT_WIDE;
	size_t carried = 0;

	for (__u32 i = 0; m->after && i <= m->from->mask; i++)
		carried += merge_bucket(m, i, wide);
	for (__u32 i = 0; m->after_over && i < WEIR_OVERFLOWS; i++) {
		__u64 base = m->before_over ? m->before_over[i] : 0, tat = load(&m->after_over[i]);
		struct debt debt;

		if (base < m->since)
			base = m->since;
		if (tat <= base)
			continue;
		debt = debt_of(m, debt_rescale(tat - base, m->from, m->to, true), true);
		overflow_add(&m->target_over[i], &debt);
		carried++;
	}
	return carried;
}

static void snapshot_entry(struct entry from, struct entry to)
{
	__u64 raw, again;

	for (int round = 0; round < 16; round++) {
		raw = load(from.tat);
		*to.key0 = load(from.key0);
		if (to.key1)
			*to.key1 = load(from.key1);
		again = load(from.tat);
		if (!(raw & WEIR_TAT_DEAD) && (raw & WEIR_TAT_MASK) == (again & WEIR_TAT_MASK)) {
			*to.tat = raw & WEIR_TAT_MASK;
			return;
		}
	}
	*to.tat = 0;
	*to.key0 = 0;
	if (to.key1)
		*to.key1 = 0;
}

void region_snapshot(const struct weir_tat *from, struct weir_tat *to, __u32 n, bool wide)
{
	memset(to, 0, n * sizeof(*to));
	for (__u32 i = 0; i < n; i++)
		for (int j = 0; j < entries_of(wide); j++)
			snapshot_entry(entry_at((struct weir_tat *)&from[i], j, wide),
				       entry_at(&to[i], j, wide));
}

int region_advance(struct region_merge *m, struct weir_tat *before, __u64 *before_over)
{
	size_t n = m->after ? m->from->mask + 1 : 0;
	_cleanup_free_ struct weir_tat *tat = calloc(n + 1, sizeof(*tat));
	struct region_merge pass = *m;
	__u64 over[WEIR_OVERFLOWS];

	if (!tat)
		return -ENOMEM;
	if (m->after) {
		region_snapshot(m->after, tat, n, m->from->flags & WEIR_LIMIT_WIDE);
		pass.before = before;
		pass.after = tat;
	}
	if (m->after_over) {
		for (int i = 0; i < WEIR_OVERFLOWS; i++)
			over[i] = load(&m->after_over[i]);
		pass.before_over = before_over;
		pass.after_over = over;
	}
	region_merge(&pass);
	if (m->after)
		memcpy(before, tat, n * sizeof(*tat));
	if (m->after_over)
		memcpy(before_over, over, sizeof(over));
	m->since = m->now;
	return 0;
}
