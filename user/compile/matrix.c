// SPDX-License-Identifier: GPL-2.0-only
/* Pairs and cells -> dense matrices or exact tables; the budget, before they are allocated. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"
#include "weir/hash.h"

#define NR_SEEDS 200
/* Overfull buckets that are expected where some of so many seeds still leaves none: e^-3.5 of them do. */
#define EXPECTED 3.5

/* What a two-dimensional table holds, and the shape that it gets. */
struct matrix {
	size_t rows, columns;
	struct pair *listed; /* (src, dst, row) as (a, b, value) */
	size_t n;
	bool dense;
	size_t buckets;
};

/* Buckets of so many that more than WEIR_EXACT_WAYS of @n keys fall into, on average (Poisson). */
static double overfull(size_t n, size_t buckets)
{
	double load = (double)n / buckets, exponential = 1, term = 1, upto = 1;

	if (load > WEIR_EXACT_WAYS)
		return buckets;
	for (int i = 1; i < 60; i++) {
		term *= load / i;
		exponential += term;
		if (i <= WEIR_EXACT_WAYS)
			upto += term;
	}
	return buckets * (1 - upto / exponential);
}

static size_t good_buckets(size_t n)
{
	size_t buckets = 1;

	while (buckets * WEIR_EXACT_WAYS < n || overfull(n, buckets) > EXPECTED)
		buckets *= 2;
	return buckets;
}

static void shape(const struct builder *b, struct matrix *matrix)
{
	unsigned long long entries = (unsigned long long)matrix->rows * matrix->columns;

	matrix->buckets = good_buckets(matrix->n);
	matrix->dense = b->options.dense_max && entries <= 1U << 31 &&
			(entries <= b->options.dense_max ||
			 entries * sizeof(__u32) <= matrix->buckets * sizeof(struct weir_exact));
}

static size_t matrix_bytes(const struct matrix *matrix)
{
	return matrix->dense ? (matrix->rows * matrix->columns + 1) * sizeof(__u32)
			     : matrix->buckets * sizeof(struct weir_exact);
}

/* Does every key find a way in its bucket? @used: a byte for each bucket. */
static bool fits(const struct matrix *matrix, __u32 seed, __u8 *used)
{
	__u32 mask = matrix->buckets - 1;

	if (matrix->dense)
		return true;
	memset(used, 0, matrix->buckets);
	for (size_t i = 0; i < matrix->n; i++)
		if (++used[weir_exact_hash(matrix->listed[i].src, matrix->listed[i].dst, seed) &
			   mask] > WEIR_EXACT_WAYS)
			return false;
	return true;
}

static int try_seeds(const struct matrix *pairs, const struct matrix *cells, __u32 *ret)
{
	size_t most = pairs->buckets > cells->buckets ? pairs->buckets : cells->buckets;
	_cleanup_free_ __u8 *used = malloc(most);

	if (!used)
		return -ENOMEM;
	for (__u32 i = 0; i < NR_SEEDS; i++) {
		*ret = weir_mix(i, 0x77656972);
		if (fits(pairs, *ret, used) && fits(cells, *ret, used))
			return 0;
	}
	return -EAGAIN;
}

static double need(const struct matrix *matrix)
{
	return matrix->dense ? 0 : overfull(matrix->n, matrix->buckets);
}

static void grow_needier(struct matrix *pairs, struct matrix *cells)
{
	if (cells->dense || (!pairs->dense && need(pairs) > need(cells)))
		pairs->buckets *= 2;
	else
		cells->buckets *= 2;
}

/* One seed serves both tables: where none does, the table in greater need grows. */
static int find_seed(struct matrix *pairs, struct matrix *cells, __u32 *ret)
{
	int err;

	while (need(pairs) + need(cells) > EXPECTED)
		grow_needier(pairs, cells);
	while ((err = try_seeds(pairs, cells, ret)) == -EAGAIN)
		grow_needier(pairs, cells);
	return err;
}

/* ---- the budget ---- */

static size_t slot_bytes(const struct builder *b)
{
	const struct tables *t = b->tables;
	size_t bytes = 0;

#define BYTES(name, type, entries) bytes += t->nr_##name * sizeof(type);
	WEIR_SLOT_MAPS(BYTES)
#undef BYTES
	return bytes + b->classes.intern.n * NR_KINDS * sizeof(struct weir_class) +
	       b->cells.verdicts.n * sizeof(struct weir_verdict);
}

static size_t counter_bytes(const struct builder *b)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	size_t n = WEIR_RULE_FIRST + b->policy->nr_rules + b->policy->nr_limits;

	return n * sizeof(struct weir_count) * (cpus > 0 ? cpus : 1);
}

int build_too_big(struct builder *b, size_t bytes, bool at_least)
{
	struct budget *budget = &b->tables->budget;

	budget->addresses = b->classes.nr_regions;
	budget->classes = b->classes.intern.n;
	return diag_fail(
	    b->diag, -E2BIG, NULL,
	    "policy needs %s%zu MiB of kernel memory, at most %zu MiB: %zu addresses, %zu classes, "
	    "%zu pairs, %zu cells",
	    at_least ? "more than " : "", bytes >> 20, b->options.max_bytes >> 20,
	    budget->addresses, budget->classes, budget->pairs, budget->cells);
}

static int check_budget(struct builder *b, const struct matrix *pairs, const struct matrix *cells)
{
	struct budget *budget = &b->tables->budget;

	budget->addresses = b->classes.nr_regions;
	budget->classes = b->classes.intern.n;
	budget->pairs = pairs->dense ? pairs->rows * pairs->columns : pairs->n;
	budget->cells = cells->dense ? cells->rows * cells->columns : cells->n;
	budget->bytes =
	    WEIR_NR_SLOTS * (slot_bytes(b) + matrix_bytes(pairs) + matrix_bytes(cells)) +
	    counter_bytes(b) + limits_bytes(b->tables);
	if (budget->bytes > b->options.max_bytes)
		return build_too_big(b, budget->bytes, false);
	return 0;
}

/* ---- writing ---- */

static int write_exact(const struct matrix *matrix, __u32 seed, struct weir_exact **ret,
		       size_t *ret_n)
{
	size_t n = matrix->dense ? 1 : matrix->buckets;
	struct weir_exact *table = calloc(n, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		memset(table[i].a, 0xff, sizeof(table[i].a));
	for (size_t i = 0; !matrix->dense && i < matrix->n; i++) {
		const struct pair *key = &matrix->listed[i];
		struct weir_exact *bucket =
		    &table[weir_exact_hash(key->src, key->dst, seed) & (n - 1)];
		int way = 0;

		while (bucket->a[way] != WEIR_NONE)
			way++;
		bucket->a[way] = key->src;
		bucket->b[way] = key->dst;
		bucket->value[way] = key->row;
	}
	*ret = table;
	*ret_n = n;
	return 0;
}

static int new_dense(const struct matrix *matrix, struct weir_dense **ret, size_t *ret_n)
{
	size_t n = matrix->dense ? (matrix->rows * matrix->columns + 1) / 2 : 1;

	*ret = calloc(n, sizeof(**ret));
	*ret_n = n;
	return *ret ? 0 : -ENOMEM;
}

static void fill_pairs(struct builder *b, const struct matrix *matrix)
{
	__u32 *value = (__u32 *)b->tables->weir_pair;

	for (unsigned int g = 0; g < b->src.nr_groups; g++)
		for (size_t src = b->src.start[g]; src < b->src.start[g + 1]; src++)
			for (size_t dst = 0; dst < matrix->columns; dst++)
				value[src * matrix->columns + dst] =
				    b->cells.final[b->pairs.base[dst * NR_KINDS + g]];
	for (size_t i = 0; i < matrix->n; i++)
		value[matrix->listed[i].src * matrix->columns + matrix->listed[i].dst] =
		    matrix->listed[i].row;
}

static void fill_cells(struct builder *b, const struct matrix *matrix)
{
	__u32 *value = (__u32 *)b->tables->weir_cell;

	for (size_t row = 0; row < matrix->rows; row++) {
		const struct row *cells = &b->cells.row[row];
		__u32 *line = value + row * matrix->columns;

		for (size_t i = 0; i < matrix->columns; i++)
			line[i] = b->cells.fallback[row];
		for (size_t i = cells->first; i < cells->first + cells->n; i++)
			line[b->cells.cell[i].column] = b->cells.cell[i].verdict;
	}
}

static int write_tables(struct builder *b, const struct matrix *pairs, const struct matrix *cells,
			__u32 seed)
{
	struct tables *t = b->tables;
	int err = write_exact(pairs, seed, &t->weir_pairx, &t->nr_weir_pairx);

	if (!err)
		err = write_exact(cells, seed, &t->weir_cellx, &t->nr_weir_cellx);
	if (!err)
		err = new_dense(pairs, &t->weir_pair, &t->nr_weir_pair);
	if (!err)
		err = new_dense(cells, &t->weir_cell, &t->nr_weir_cell);
	if (err)
		return err;
	if (pairs->dense)
		fill_pairs(b, pairs);
	if (cells->dense)
		fill_cells(b, cells);
	t->nr_weir_verd = b->cells.verdicts.n;
	t->weir_verd = TAKE_PTR(b->cells.verdict);
	t->weir_cfg->seed = seed;
	t->weir_cfg->nr_dst = pairs->columns;
	t->weir_cfg->pair_mask = pairs->dense ? WEIR_NONE : pairs->buckets - 1;
	t->weir_cfg->cell_mask = cells->dense ? WEIR_NONE : cells->buckets - 1;
	for (size_t i = 0; i < t->nr_weir_verd; i++) {
		t->weir_cfg->flags |= t->weir_verd[i].protect ? WEIR_CFG_PROTECT : 0;
		t->weir_cfg->flags |= t->weir_verd[i].action == WEIR_ACT_FAILSAFE
					  ? WEIR_CFG_FAILSAFE
				      : t->weir_verd[i].action == WEIR_ACT_LATER ? WEIR_CFG_LATER
										 : 0;
	}
	return 0;
}

/* Rows that turned out to say the same as the default of their pair need not be listed. */
static void list_pairs(struct builder *b, struct matrix *pairs)
{
	const __u32 *final = b->cells.final;

	pairs->listed = b->pairs.pair;
	for (size_t i = 0; i < b->pairs.nr_pairs; i++) {
		struct pair pair = b->pairs.pair[i];
		unsigned int g = 0;

		while (pair.src >= b->src.start[g + 1])
			g++;
		pair.row = final[pair.row];
		if (pair.row != final[b->pairs.base[(size_t)pair.dst * NR_KINDS + g]])
			pairs->listed[pairs->n++] = pair;
	}
}

/* The default that most rows share is not listed for each of them; the others' numbers say that they have their own. */
static int share_default(struct builder *b, size_t rows, size_t nr_numbers)
{
	_cleanup_free_ __u32 *tally = calloc(b->cells.verdicts.n + 1, sizeof(*tally));
	__u32 shared = 0;

	if (!tally)
		return -ENOMEM;
	for (size_t row = 0; row < rows; row++)
		if (++tally[b->cells.fallback[row]] > tally[shared])
			shared = b->cells.fallback[row];
	for (size_t i = 0; i < nr_numbers; i++)
		if (b->cells.fallback[b->cells.final[i]] != shared)
			b->cells.final[i] |= WEIR_ROW_OWN_DEFAULT;
	b->tables->weir_cfg->cell_default = shared;
	return 0;
}

static int list_cells(struct builder *b, struct matrix *cells)
{
	size_t n = b->cells.nr_cells + cells->rows;
	struct pair *listed;

	if (n * sizeof(struct weir_exact) / WEIR_EXACT_WAYS * WEIR_NR_SLOTS >
		b->options.max_bytes &&
	    cells->rows * cells->columns > b->options.dense_max) {
		b->tables->budget.cells = n;
		return build_too_big(
		    b, n * sizeof(struct weir_exact) / WEIR_EXACT_WAYS * WEIR_NR_SLOTS, true);
	}
	listed = cells->listed = calloc(n, sizeof(*listed));
	if (!listed)
		return -ENOMEM;
	for (size_t row = 0; row < cells->rows; row++) {
		const struct row *r = &b->cells.row[row];
		__u32 number = row;

		if (b->cells.fallback[row] != b->tables->weir_cfg->cell_default) {
			number |= WEIR_ROW_OWN_DEFAULT;
			listed[cells->n++] =
			    (struct pair){number, WEIR_NONE, b->cells.fallback[row]};
		}
		for (size_t i = r->first; i < r->first + r->n; i++)
			listed[cells->n++] = (struct pair){number, b->cells.cell[i].column,
							   b->cells.cell[i].verdict};
	}
	return 0;
}

int matrices_build(struct builder *b)
{
	struct matrix pairs = {.rows = side_ids(&b->src), .columns = side_ids(&b->dst)};
	struct matrix cells = {.rows = b->cells.intern.n,
			       .columns = (b->ports.nr_real + b->ports.nr_fragments) * b->zones.nr};
	__u32 seed = 0;
	int err = share_default(b, cells.rows, b->pairs.intern.n);

	if (!err)
		err = list_cells(b, &cells);
	if (!err) {
		list_pairs(b, &pairs);
		shape(b, &pairs);
		shape(b, &cells);
		err = check_budget(b, &pairs, &cells); /* with the smallest tables that may do */
	}
	if (!err)
		err = find_seed(&pairs, &cells, &seed);
	if (!err)
		err = check_budget(b, &pairs, &cells);
	if (!err)
		err = write_tables(b, &pairs, &cells, seed);
	free(cells.listed);
	return err;
}
