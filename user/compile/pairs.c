// SPDX-License-Identifier: GPL-2.0-only
/*
 * (source id, destination id) -> row: the set of groups of rules that meet there.
 *
 * Each destination is a column. What holds all sources of a kind makes the column's default row for that kind; only
 * sources that differ are visited, so the work is about the sum over the rules of sources x destinations that they name.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"

#define MAX_VISITS (1ULL << 28) /* some seconds of work, far beyond what fits the memory */

struct visit { /* one group that makes one source differ */
	__u32 group;
	__u32 next;
};

struct column {
	struct builder *b;
	__u32 dst;
	const __u32 *groups;
	size_t nr_groups;
	struct u32s base[NR_KINDS];
	struct sig base_sig[NR_KINDS];
	/* sources that differ */
	struct u32s touched;
	struct sig *delta; /* by source id */
	__u32 *head;	   /* by source id: first visit; WEIR_NONE while untouched */
	struct visit *visit;
	size_t nr_visits, visit_capacity;
	__u32 *mark; /* by group */
	__u32 marks;
};

static struct sig group_sig(__u32 group)
{
	return sig_of(group, 50);
}

static int add_row(struct builder *b, struct sig sig, __u32 *ret, bool *fresh)
{
	struct pairs *pairs = &b->pairs;

	if (intern_get(&pairs->intern, sig, ret, fresh))
		return -ENOMEM;
	if (!*fresh)
		return 0;
	if (mem_grow(&pairs->row, *ret, &pairs->row_capacity, sizeof(struct row)))
		return -ENOMEM;
	pairs->row[*ret] = (struct row){.first = pairs->groups.n};
	return 0;
}

static int add_group(struct builder *b, __u32 row, __u32 group)
{
	b->pairs.row[row].n++;
	return u32s_add(&b->pairs.groups, group);
}

static int touch(struct column *column, __u32 src, __u32 group, bool more)
{
	struct sig sig = group_sig(group);

	if (column->head[src] == WEIR_NONE) {
		column->delta[src] = (struct sig){0, 0};
		if (u32s_add(&column->touched, src))
			return -ENOMEM;
	}
	column->delta[src] =
	    more ? sig_add(column->delta[src], sig) : sig_sub(column->delta[src], sig);
	if (mem_grow(&column->visit, column->nr_visits, &column->visit_capacity,
		     sizeof(struct visit)))
		return -ENOMEM;
	column->visit[column->nr_visits] = (struct visit){group, column->head[src]};
	column->head[src] = column->nr_visits++;
	return 0;
}

static int collect(struct column *column)
{
	const struct builder *b = column->b;
	const struct side *src = &b->src;

	for (size_t i = 0; i < column->nr_groups; i++) {
		__u32 group = column->groups[i];

		for (unsigned int g = 0; g < src->nr_groups; g++) {
			size_t at = (size_t)b->group[group].from * NR_KINDS + g;
			bool holds = src->base[at] & 1;

			if (holds) {
				column->base_sig[g] =
				    sig_add(column->base_sig[g], group_sig(group));
				if (u32s_add(&column->base[g], group))
					return -ENOMEM;
			}
			for (size_t j = src->first[at]; j < src->first[at + 1]; j++)
				if (touch(column, src->exception[j], group, !holds))
					return -ENOMEM;
		}
	}
	return 0;
}

static int base_row(struct column *column, unsigned int g, __u32 *ret)
{
	bool fresh;
	int err = add_row(column->b, column->base_sig[g], ret, &fresh);

	for (size_t i = 0; !err && fresh && i < column->base[g].n; i++)
		err = add_group(column->b, *ret, column->base[g].at[i]);
	return err;
}

/* Groups of a source that differs: the default's, without those that visited it, and those that the default lacks. */
static int source_row(struct column *column, unsigned int g, __u32 src, __u32 *ret)
{
	struct sig sig = sig_add(column->base_sig[g], column->delta[src]);
	__u32 here = column->marks + 1, seen = column->marks + 2;
	bool fresh;
	int err = add_row(column->b, sig, ret, &fresh);

	if (err || !fresh)
		return err;
	column->marks += 2;
	for (__u32 i = column->head[src]; i != WEIR_NONE; i = column->visit[i].next)
		column->mark[column->visit[i].group] = here;
	for (size_t i = 0; !err && i < column->base[g].n; i++) {
		__u32 group = column->base[g].at[i];

		if (column->mark[group] == here)
			column->mark[group] = seen;
		else
			err = add_group(column->b, *ret, group);
	}
	for (__u32 i = column->head[src]; !err && i != WEIR_NONE; i = column->visit[i].next)
		if (column->mark[column->visit[i].group] == here)
			err = add_group(column->b, *ret, column->visit[i].group);
	return err;
}

static unsigned int group_of(const struct side *side, __u32 id)
{
	unsigned int g = 0;

	while (id >= side->start[g + 1])
		g++;
	return g;
}

static int add_pair(struct builder *b, __u32 src, __u32 dst, __u32 row)
{
	struct pairs *pairs = &b->pairs;
	/* A listed pair takes at least a way of an exact table's bucket, and buckets are never full. */
	size_t most = b->options.max_bytes / (WEIR_NR_SLOTS * sizeof(struct weir_exact));

	if (pairs->nr_pairs >= most + b->options.dense_max) {
		b->tables->budget.pairs = pairs->nr_pairs;
		return build_too_big(b, pairs->nr_pairs * sizeof(struct weir_exact) * WEIR_NR_SLOTS,
				     true);
	}
	if (mem_grow(&pairs->pair, pairs->nr_pairs, &pairs->pair_capacity, sizeof(struct pair)))
		return -ENOMEM;
	pairs->pair[pairs->nr_pairs++] = (struct pair){src, dst, row};
	return 0;
}

static int finish_column(struct column *column)
{
	struct builder *b = column->b;
	__u32 *base = &b->pairs.base[(size_t)column->dst * NR_KINDS];
	int err = 0;

	for (unsigned int g = 0; !err && g < b->src.nr_groups; g++)
		err = base_row(column, g, &base[g]);
	for (size_t i = 0; !err && i < column->touched.n; i++) {
		__u32 src = column->touched.at[i], row;
		unsigned int g = group_of(&b->src, src);

		err = source_row(column, g, src, &row);
		if (!err && row != base[g])
			err = add_pair(b, src, column->dst, row);
	}
	for (size_t i = 0; i < column->touched.n; i++)
		column->head[column->touched.at[i]] = WEIR_NONE;
	column->touched.n = 0;
	column->nr_visits = 0;
	for (unsigned int g = 0; g < NR_KINDS; g++) {
		column->base[g].n = 0;
		column->base_sig[g] = (struct sig){0, 0};
	}
	return err;
}

static int walk_columns(struct builder *b, const size_t *first, const __u32 *groups)
{
	size_t nr_src = side_ids(&b->src);
	struct column column = {.b = b};
	int err = 0;

	column.delta = calloc(nr_src + 1, sizeof(*column.delta));
	column.head = malloc((nr_src + 1) * sizeof(*column.head));
	column.mark = calloc(b->group_intern.n + 1, sizeof(*column.mark));
	if (!column.delta || !column.head || !column.mark)
		err = -ENOMEM;
	else
		memset(column.head, 0xff, (nr_src + 1) * sizeof(*column.head));
	for (__u32 dst = 0; !err && dst < side_ids(&b->dst); dst++) {
		column.dst = dst;
		column.groups = groups + first[dst];
		column.nr_groups = first[dst + 1] - first[dst];
		if (column.marks > 1U << 31) {
			memset(column.mark, 0, (b->group_intern.n + 1) * sizeof(*column.mark));
			column.marks = 0;
		}
		err = collect(&column);
		if (!err)
			err = finish_column(&column);
	}
	for (int g = 0; g < NR_KINDS; g++)
		free(column.base[g].at);
	free(column.touched.at);
	free(column.delta);
	free(column.head);
	free(column.visit);
	free(column.mark);
	return err;
}

/* How many (source that differs, destination, group) there are: refused before any is visited. */
static int check_visits(struct builder *b, size_t *ret_columns)
{
	__u64 visits = 0, columns = 0;

	for (size_t i = 0; i < b->group_intern.n; i++) {
		size_t at = (size_t)b->group[i].from * NR_KINDS;
		size_t listed = b->src.first[at + NR_KINDS] - b->src.first[at];
		size_t dst = ends_count(&b->dst, b->group[i].to);

		columns += dst;
		visits += dst * listed;
	}
	*ret_columns = columns;
	if (visits <= MAX_VISITS && columns <= MAX_VISITS)
		return 0;
	return diag_fail(
	    b->diag, -E2BIG, NULL,
	    "rules meet %llu times in pairs of source and destination, at most %llu: %zu addresses, "
	    "%zu classes",
	    (unsigned long long)(visits > columns ? visits : columns), MAX_VISITS,
	    b->classes.nr_regions, b->classes.intern.n);
}

int pairs_build(struct builder *b)
{
	size_t nr_dst = side_ids(&b->dst), columns;
	_cleanup_free_ size_t *first = NULL;
	_cleanup_free_ __u32 *groups = NULL, *ids = NULL;
	int err = check_visits(b, &columns);
	__u32 row;
	bool fresh;

	if (err)
		return err;
	first = calloc(nr_dst + 2, sizeof(*first));
	groups = calloc(columns + 1, sizeof(*groups));
	ids = calloc(nr_dst + 1, sizeof(*ids));
	b->pairs.base = calloc((nr_dst + 1) * NR_KINDS, sizeof(*b->pairs.base));
	if (!first || !groups || !ids || !b->pairs.base)
		return -ENOMEM;
	/* Destination -> groups: count into first[id + 2], then fill through first[id + 1]. */
	for (size_t i = 0; i < b->group_intern.n; i++)
		for (size_t n = ends_ids(&b->dst, b->group[i].to, ids); n > 0; n--)
			first[ids[n - 1] + 2]++;
	for (size_t i = 2; i <= nr_dst + 1; i++)
		first[i] += first[i - 1];
	for (size_t i = 0; i < b->group_intern.n; i++)
		for (size_t n = ends_ids(&b->dst, b->group[i].to, ids); n > 0; n--)
			groups[first[ids[n - 1] + 1]++] = i;
	err = add_row(b, (struct sig){0, 0}, &row, &fresh); /* row 0: no rule */
	return err ? err : walk_columns(b, first, groups);
}

void pairs_clear(struct pairs *pairs)
{
	free(pairs->row);
	free(pairs->groups.at);
	free(pairs->pair);
	free(pairs->base);
	intern_clear(&pairs->intern);
	memset(pairs, 0, sizeof(*pairs));
}
