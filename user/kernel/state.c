// SPDX-License-Identifier: GPL-2.0-only
/* Walks over what the programs remember: limits, flows. */
#include "kernel/internal.h"

#include <errno.h>
#include <string.h>

#define FLOW_CHUNK 1024 /* sets read at a time */

/* ---- limits ---- */

struct walk {
	struct limit_state state;
	const struct weir_tat *tat;
	const __u64 *over;
	__u32 nr_tat, nr_over;
	__u64 now;
	int (*each)(void *arg, const struct limit_state *state);
	void *arg;
};

static int walk_entry(struct walk *w, const __u64 *key, __u64 key1, const __u64 *tat)
{
	__u64 raw = __atomic_load_n(tat, __ATOMIC_SEQ_CST);

	w->state.key[0] = *key;
	w->state.key[1] = key1;
	w->state.tat = raw & WEIR_TAT_MASK;
	if (!*key || raw & WEIR_TAT_DEAD || w->state.tat <= w->now)
		return 0;
	return w->each(w->arg, &w->state);
}

static int walk_bucket(struct walk *w, const struct weir_tat *bucket)
{
	const struct weir_tat_wide *wide = (const void *)bucket;
	bool is_wide = w->state.limit->flags & WEIR_LIMIT_WIDE;
	int err = 0;

	for (int i = 0; i < (is_wide ? 2 : 4) && !err; i++)
		err = is_wide ? walk_entry(w, &wide->entry[i].key[0], wide->entry[i].key[1],
					   &wide->entry[i].tat)
			      : walk_entry(w, &bucket->entry[i].key, 0, &bucket->entry[i].tat);
	return err;
}

static int walk_overflow(struct walk *w)
{
	const struct weir_limit *limit = w->state.limit;
	int err = 0;

	w->state.overflow = true;
	for (__u32 i = 0; i < WEIR_OVERFLOWS && limit->overflow + i < w->nr_over && !err; i++) {
		__u64 tat = __atomic_load_n(&w->over[limit->overflow + i], __ATOMIC_SEQ_CST);

		w->state.key[0] = i;
		w->state.key[1] = 0;
		w->state.tat = tat;
		if (tat > w->now)
			err = w->each(w->arg, &w->state);
	}
	w->state.overflow = false;
	return err;
}

static int walk_limits(struct walk *w, const struct weir_limit *limit, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		w->state.limit = &limit[i];
		w->state.index = i;
		for (__u32 j = 0;
		     w->tat && j <= limit[i].mask && limit[i].buckets + j < w->nr_tat && !err; j++)
			err = walk_bucket(w, &w->tat[limit[i].buckets + j]);
		if (!err)
			err = walk_overflow(w);
	}
	return err;
}

/* @shared_only: overflow entries alone, without a look at the sources' own, which may be millions. */
static int walk(struct kernel *kernel, bool shared_only, struct walk *w, struct diag *diag)
{
	_cleanup_free_ struct weir_limit *limit = NULL;
	size_t n, tat_bytes, over_bytes;
	int err = slot_limits(kernel, word_slot(word_peek(kernel)), &limit, &n);

	if (err)
		return diag_fail(diag, err, NULL, "cannot read weir_limit: %s", strerror(-err));
	w->nr_tat = kernel->maps.entries[MAP_weir_tat];
	w->nr_over = kernel->maps.entries[MAP_weir_over];
	w->now = mono_ns(kernel) << WEIR_TAT_SHIFT;
	tat_bytes = w->nr_tat * sizeof(struct weir_tat);
	over_bytes = w->nr_over * sizeof(__u64);
	if (!shared_only)
		w->tat = map_mmap(kernel->maps.fd[MAP_weir_tat], tat_bytes);
	w->over = map_mmap(kernel->maps.fd[MAP_weir_over], over_bytes);
	err = (w->tat || shared_only) && w->over
		  ? walk_limits(w, limit, n)
		  : diag_fail(diag, -ENOMEM, NULL, "cannot map weir_tat");
	map_munmap((void *)w->tat, tat_bytes);
	map_munmap((void *)w->over, over_bytes);
	return err;
}

int kernel_each_limit(struct kernel *kernel,
		      int (*each)(void *arg, const struct limit_state *state), void *arg,
		      struct diag *diag)
{
	struct walk w = {.each = each, .arg = arg};

	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	return walk(kernel, false, &w, diag);
}

static int count_one(void *arg, const struct limit_state *state)
{
	++*(size_t *)arg;
	return 0;
}

int overflows_in_use(struct kernel *kernel, size_t *ret, struct diag *diag)
{
	struct walk w = {.each = count_one, .arg = ret};

	*ret = 0;
	return walk(kernel, true, &w, diag);
}

/* ---- flows ---- */

struct flow_walk {
	__u64 now_ns;
	int (*each)(void *arg, enum weir_flow_region region, const struct weir_flow *flow);
	void *arg;
};

static int walk_sets(const struct flow_walk *w, const struct weir_flow_set *set, __u32 first,
		     __u32 n)
{
	int err = 0;

	for (__u32 i = 0; i < n && !err; i++)
		for (int way = 0; way < WEIR_FLOW_WAYS && !err; way++) {
			const struct weir_flow *flow = &set[i].way[way];

			if (!(flow->expires & WEIR_FLOW_BUSY) && flow->expires > w->now_ns)
				err = w->each(w->arg, (first + i) / WEIR_FLOW_SETS, flow);
		}
	return err;
}

int kernel_each_flow(struct kernel *kernel,
		     int (*each)(void *arg, enum weir_flow_region region,
				 const struct weir_flow *flow),
		     void *arg, struct diag *diag)
{
	_cleanup_free_ struct weir_flow_set *set = calloc(FLOW_CHUNK, sizeof(*set));
	struct flow_walk w = {.each = each, .arg = arg};
	__u32 total;
	int err = 0;

	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	if (!set)
		return -ENOMEM;
	w.now_ns = mono_ns(kernel);
	total = kernel->maps.entries[MAP_weir_flow];
	for (__u32 i = 0; i < total && !err; i += FLOW_CHUNK) {
		__u32 n = total - i < FLOW_CHUNK ? total - i : FLOW_CHUNK;

		err = map_read(kernel->maps.fd[MAP_weir_flow], i, n, set, sizeof(*set));
		if (err)
			return diag_fail(diag, err, NULL, "cannot read weir_flow: %s",
					 strerror(-err));
		err = walk_sets(&w, set, i, n);
	}
	return err;
}
