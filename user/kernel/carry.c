// SPDX-License-Identifier: GPL-2.0-only
/* What sources owe, on the way back to the policy before: its own regions stopped counting when it was replaced. */
#include "kernel/internal.h"

#include <errno.h>
#include <string.h>

struct pair {
	struct weir_limit from, to;
	struct weir_tat *before;
	__u64 before_over[WEIR_OVERFLOWS];
	__u64 since;
};

struct carry {
	struct kernel *kernel;
	struct weir_tat *tat;
	__u64 *over;
	size_t tat_bytes, over_bytes;
	struct pair *pair;
	size_t n;
	bool begun;
};

static int add_pair(struct carry *carry, const struct weir_limit *from, const struct weir_limit *to)
{
	struct pair *pair = &carry->pair[carry->n];

	if (!limit_keys_alike(from, to) || from->buckets == to->buckets)
		return 0;
	pair->before = calloc(from->mask + 1, sizeof(*pair->before));
	if (!pair->before)
		return -ENOMEM;
	pair->from = *from;
	pair->to = *to;
	carry->n++;
	return 0;
}

static int find_pairs(struct carry *carry, unsigned int from_slot)
{
	_cleanup_free_ struct weir_limit *from = NULL, *to = NULL;
	size_t nr_from = 0, nr_to = 0;
	int err = slot_limits(carry->kernel, from_slot, &from, &nr_from);

	if (!err)
		err = slot_limits(carry->kernel, !from_slot, &to, &nr_to);
	carry->pair = calloc(nr_from + 1, sizeof(*carry->pair));
	if (!carry->pair)
		return -ENOMEM;
	for (size_t i = 0; i < nr_from && !err; i++)
		for (size_t j = 0; j < nr_to && !err; j++)
			if (from[i].id == to[j].id)
				err = add_pair(carry, &from[i], &to[j]);
	return err;
}

static int map_state(struct carry *carry)
{
	const struct maps *maps = &carry->kernel->maps;

	carry->tat_bytes = (size_t)maps->entries[MAP_weir_tat] * sizeof(*carry->tat);
	carry->over_bytes = (size_t)maps->entries[MAP_weir_over] * sizeof(*carry->over);
	carry->tat = map_mmap(maps->fd[MAP_weir_tat], carry->tat_bytes);
	carry->over = map_mmap(maps->fd[MAP_weir_over], carry->over_bytes);
	return carry->tat && carry->over ? 0 : -ENOMEM;
}

int carry_pass(struct carry *carry)
{
	int err = 0;

	for (size_t i = 0; i < carry->n && !err; i++) {
		struct pair *pair = &carry->pair[i];
		struct region_merge merge = {.from = &pair->from,
					     .to = &pair->to,
					     .after = carry->tat + pair->from.buckets,
					     .target = carry->tat + pair->to.buckets,
					     .after_over = carry->over + pair->from.overflow,
					     .target_over = carry->over + pair->to.overflow,
					     .now = mono_ns(carry->kernel) << WEIR_TAT_SHIFT,
					     .seed = carry->kernel->control->seed,
					     .at_least = !carry->begun};

		merge.since = carry->begun ? pair->since : merge.now;
		err = region_advance(&merge, pair->before, pair->before_over);
		pair->since = merge.since;
	}
	carry->begun = true;
	return err;
}

int carry_begin(struct kernel *kernel, unsigned int from_slot, struct carry **ret)
{
	struct carry *carry = calloc(1, sizeof(*carry));
	int err;

	if (!carry)
		return -ENOMEM;
	carry->kernel = kernel;
	err = find_pairs(carry, from_slot);
	if (!err)
		err = map_state(carry);
	if (!err)
		err = carry_pass(carry);
	if (err) {
		carry_free(carry);
		return err;
	}
	*ret = carry;
	return 0;
}

void carry_free(struct carry *carry)
{
	if (!carry)
		return;
	for (size_t i = 0; i < carry->n; i++)
		free(carry->pair[i].before);
	free(carry->pair);
	map_munmap(carry->tat, carry->tat_bytes);
	map_munmap(carry->over, carry->over_bytes);
	free(carry);
}
