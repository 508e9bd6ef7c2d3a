// SPDX-License-Identifier: GPL-2.0-only
/*
 * Address classes -> equivalence classes ("ids") as sources and as destinations: two are one when the same sets that
 * stand on that side hold them, so the same rules do.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"

/* struct side.base: bit 0, the set holds the group but for its exceptions; bit 1, that is not what the set's own base
 * says: the exceptions would have been most of the group, so they are kept the other way round. */
#define HOLDS  1
#define TURNED 2

static size_t place(__u32 set, unsigned int group)
{
	return (size_t)set * NR_KINDS + group;
}

/* Kinds are one group when no set of this side tells them apart, in any class. */
static void find_groups(const struct builder *b, struct side *side)
{
	bool apart[NR_KINDS][NR_KINDS] = {{false}};
	__u8 seen[8] = {0}; /* masks that occur */

	for (size_t i = 0; i < b->sets.n; i++)
		if (side->used[i])
			seen[b->sets.set[i].base] = 1;
	for (size_t i = 0; i < b->classes.nr_members; i++)
		if (side->used[b->classes.member[i].set])
			seen[b->classes.member[i].mask] = 1;
	for (int mask = 0; mask < 8; mask++)
		for (int k = 0; k < NR_KINDS; k++)
			for (int l = 0; l < k; l++)
				apart[k][l] |= seen[mask] && (mask >> k & 1) != (mask >> l & 1);
	for (int k = 0; k < NR_KINDS; k++) {
		side->group[k] = side->nr_groups;
		for (int l = 0; l < k; l++)
			if (!apart[k][l])
				side->group[k] = side->group[l];
		if (side->group[k] == side->nr_groups)
			side->nr_groups++;
	}
}

static int kind_of(const struct side *side, unsigned int group)
{
	int k = 0;

	while (side->group[k] != group)
		k++;
	return k;
}

/* Ids of all classes, and for each id a class that has it. */
static int number_ids(struct builder *b, struct side *side, struct u32s *example)
{
	const struct classes *classes = &b->classes;
	size_t nr = classes->intern.n;
	struct intern intern = {0};
	int err = 0;

	side->id = calloc(nr * side->nr_groups, sizeof(*side->id));
	if (!side->id)
		return -ENOMEM;
	for (unsigned int g = 0; g < side->nr_groups; g++) {
		int k = kind_of(side, g);

		for (size_t c = 0; !err && c < nr; c++) {
			struct sig sig = sig_of(g, 40);
			bool fresh;

			for (size_t i = classes->first[c]; i < classes->first[c + 1]; i++) {
				const struct member *m = &classes->member[i];

				if (side->used[m->set] &&
				    ((m->mask ^ b->sets.set[m->set].base) >> k & 1))
					sig = sig_add(sig, sig_of(m->set, 41));
			}
			err = intern_get(&intern, sig, &side->id[g * nr + c], &fresh);
			if (!err && fresh)
				err = u32s_add(example, c);
		}
		side->start[g + 1] = intern.n;
	}
	intern_clear(&intern);
	return err;
}

/* Calls for each (set, group, id) where the set differs from its base: first counts, then fills. */
static void each_exception(const struct builder *b, const struct side *side,
			   const struct u32s *example, size_t *cursor, __u32 *ids)
{
	const struct classes *classes = &b->classes;

	for (unsigned int g = 0; g < side->nr_groups; g++) {
		int k = kind_of(side, g);

		for (__u32 id = side->start[g]; id < side->start[g + 1]; id++) {
			__u32 c = example->at[id];

			for (size_t i = classes->first[c]; i < classes->first[c + 1]; i++) {
				const struct member *m = &classes->member[i];

				if (!side->used[m->set] ||
				    !((m->mask ^ b->sets.set[m->set].base) >> k & 1))
					continue;
				if (ids)
					ids[cursor[place(m->set, g)]] = id;
				cursor[place(m->set, g)]++;
			}
		}
	}
}

static int list_exceptions(struct builder *b, struct side *side, const struct u32s *example,
			   size_t **ret_first, __u32 **ret_ids)
{
	size_t nr = b->sets.n * NR_KINDS, sum = 0;
	_cleanup_free_ size_t *cursor = calloc(nr + 1, sizeof(*cursor));
	size_t *first = calloc(nr + 1, sizeof(*first));

	*ret_first = first;
	if (!first || !cursor)
		return -ENOMEM;
	each_exception(b, side, example, cursor, NULL);
	for (size_t i = 0; i < nr; i++) {
		first[i] = sum;
		sum += cursor[i];
		cursor[i] = first[i];
	}
	first[nr] = sum;
	*ret_ids = calloc(sum + 1, sizeof(**ret_ids));
	if (!*ret_ids)
		return -ENOMEM;
	each_exception(b, side, example, cursor, *ret_ids);
	return 0;
}

/* A set that holds most of a group against its base (0.0.0.0/0 and ::/0) is kept by what it does not hold. */
static int turn(struct builder *b, struct side *side, const size_t *first, const __u32 *ids)
{
	size_t nr = b->sets.n * NR_KINDS, sum = 0;
	_cleanup_free_ __u8 *listed = calloc(side_ids(side) + 1, 1);

	side->base = calloc(nr + 1, 1);
	side->first = calloc(nr + 1, sizeof(*side->first));
	if (!listed || !side->base || !side->first)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		unsigned int g = i % NR_KINDS;
		size_t n = first[i + 1] - first[i], all;

		side->first[i] = sum;
		if (g >= side->nr_groups || !side->used[i / NR_KINDS])
			continue;
		all = side->start[g + 1] - side->start[g];
		side->base[i] = b->sets.set[i / NR_KINDS].base >> kind_of(side, g) & 1;
		if (n > all / 2)
			side->base[i] = (side->base[i] ^ HOLDS) | TURNED;
		sum += n > all / 2 ? all - n : n;
	}
	side->first[nr] = sum;
	side->exception = calloc(sum + 1, sizeof(*side->exception));
	if (!side->exception)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		unsigned int g = i % NR_KINDS;
		size_t n = first[i + 1] - first[i], at = side->first[i];

		if (!(side->base[i] & TURNED)) {
			memcpy(side->exception + at, ids + first[i], n * sizeof(*ids));
			continue;
		}
		for (size_t j = 0; j < n; j++)
			listed[ids[first[i] + j]] = 1;
		for (__u32 id = side->start[g]; id < side->start[g + 1]; id++) {
			if (!listed[id])
				side->exception[at++] = id;
			listed[id] = 0;
		}
	}
	return 0;
}

static int build_side(struct builder *b, struct side *side)
{
	_cleanup_free_ size_t *first = NULL;
	_cleanup_free_ __u32 *ids = NULL;
	struct u32s example = {0};
	int err;

	find_groups(b, side);
	err = number_ids(b, side, &example);
	if (!err)
		err = list_exceptions(b, side, &example, &first, &ids);
	if (!err)
		err = turn(b, side, first, ids);
	free(example.at);
	return err;
}

int ends_build(struct builder *b)
{
	int err;

	b->src.used = calloc(b->sets.n + 1, sizeof(bool));
	b->dst.used = calloc(b->sets.n + 1, sizeof(bool));
	if (!b->src.used || !b->dst.used)
		return -ENOMEM;
	for (size_t i = 0; i < b->group_intern.n; i++) {
		b->src.used[b->group[i].from] = true;
		b->dst.used[b->group[i].to] = true;
	}
	err = build_side(b, &b->src);
	return err ? err : build_side(b, &b->dst);
}

size_t ends_count(const struct side *side, __u32 set)
{
	size_t n = 0;

	for (unsigned int g = 0; g < side->nr_groups; g++) {
		size_t at = place(set, g), listed = side->first[at + 1] - side->first[at];

		n += side->base[at] & HOLDS ? side->start[g + 1] - side->start[g] - listed : listed;
	}
	return n;
}

size_t ends_ids(const struct side *side, __u32 set, __u32 *ret)
{
	size_t n = 0;

	for (unsigned int g = 0; g < side->nr_groups; g++) {
		size_t at = place(set, g), i = side->first[at], end = side->first[at + 1];

		if (!(side->base[at] & HOLDS)) {
			while (i < end)
				ret[n++] = side->exception[i++];
			continue;
		}
		/* Exceptions are in rising order. */
		for (__u32 id = side->start[g]; id < side->start[g + 1]; id++) {
			if (i < end && side->exception[i] == id)
				i++;
			else
				ret[n++] = id;
		}
	}
	return n;
}

void ends_clear(struct side *side)
{
	free(side->id);
	free(side->base);
	free(side->first);
	free(side->exception);
	free(side->used);
	memset(side, 0, sizeof(*side));
}
