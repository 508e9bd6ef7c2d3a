// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of rules and limits: which index belongs to which, and what they hold. Indices live outside the slots, so a
 * rule that stays the same goes on counting where it was.
 */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

struct named {
	__u64 id;
	__u32 order; /* how many with the same id come before, after naming_sort() */
	__u32 index; /* old: the counter; new: position */
};

static int by_id(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static struct named *naming_sort(const __u64 *id, const __u32 *index, size_t n)
{
	struct named *list = calloc(n + 1, sizeof(*list));

	if (!list)
		return NULL;
	for (size_t i = 0; i < n; i++)
		list[i] = (struct named){id[i], i, index ? index[i] : i};
	qsort(list, n, sizeof(*list), by_id);
	for (size_t i = 0; i < n; i++)
		list[i].order = i && list[i - 1].id == list[i].id ? list[i - 1].order + 1 : 0;
	return list;
}

/* Both sorted: a rule that the file has twice is told apart by its order. */
static void match(const struct named *new, size_t n, const struct named *old, size_t nr_old,
		  __u32 *ret)
{
	size_t j = 0;

	for (size_t i = 0; i < n; i++) {
		while (j < nr_old && by_id(&old[j], &new[i]) < 0)
			j++;
		if (j < nr_old && by_id(&old[j], &new[i]) == 0 && ret[new[i].index] == WEIR_NONE)
			ret[new[i].index] = old[j].index;
	}
}

static __u32 largest(const __u32 *index, size_t n, __u32 otherwise)
{
	for (size_t i = 0; i < n; i++)
		if (index[i] != WEIR_NONE && index[i] + 1 > otherwise)
			otherwise = index[i] + 1;
	return otherwise;
}

static int give_fresh(size_t n, const __u32 *running, size_t nr_running, __u32 first, __u32 *ret,
		      bool *ret_fresh)
{
	__u32 size = largest(running, nr_running, largest(ret, n, first)), next = first;
	_cleanup_free_ bool *used = calloc(size + 1, 1);

	if (!used)
		return -ENOMEM;
	for (size_t i = 0; i < nr_running; i++)
		used[running[i]] = true;
	for (size_t i = 0; i < n; i++)
		if (ret[i] != WEIR_NONE)
			used[ret[i]] = true;
	for (size_t i = 0; i < n; i++) {
		ret_fresh[i] = ret[i] == WEIR_NONE;
		if (!ret_fresh[i])
			continue;
		while (next < size && used[next])
			next++;
		ret[i] = next++;
	}
	return 0;
}

/*
 * @old_id, @old_index: first those of the running slot (@nr_running), whose counters nobody else may get, then those
 * of the idle slot, whose counters are free except for the same rule.
 */
int counters_assign(const __u64 *id, size_t n, const __u64 *old_id, const __u32 *old_index,
		    size_t nr_old, size_t nr_running, __u32 first, __u32 *ret, bool *ret_fresh,
		    __u32 *ret_entries)
{
	_cleanup_free_ struct named *new = naming_sort(id, NULL, n);
	_cleanup_free_ struct named *run = naming_sort(old_id, old_index, nr_running);
	_cleanup_free_ struct named *idle =
	    naming_sort(old_id + nr_running, old_index + nr_running, nr_old - nr_running);
	int err;

	if (!new || !run || !idle)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		ret[i] = WEIR_NONE;
	match(new, n, run, nr_running, ret);
	match(new, n, idle, nr_old - nr_running, ret);
	err = give_fresh(n, old_index, nr_running, first, ret, ret_fresh);
	if (!err)
		*ret_entries = largest(old_index, nr_running, largest(ret, n, first));
	return err;
}

/* ---- from the slots ---- */

struct old_names {
	__u64 *id[2]; /* rules, limits */
	__u32 *index[2];
	size_t n[2], nr_running[2];
	size_t capacity[4];
};

static void old_names_free(struct old_names *old)
{
	for (int i = 0; i < 2; i++) {
		free(old->id[i]);
		free(old->index[i]);
	}
}

static int old_names_add(struct old_names *old, const struct weir_rule *rule, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int limit = rule[i].kind == WEIR_RULE_LIMIT;
		size_t at = old->n[limit];

		if (mem_grow(&old->id[limit], at, &old->capacity[limit], sizeof(__u64)) ||
		    mem_grow(&old->index[limit], at, &old->capacity[2 + limit], sizeof(__u32)))
			return -ENOMEM;
		old->id[limit][at] = rule[i].id;
		old->index[limit][at] = rule[i].counter;
		old->n[limit]++;
	}
	return 0;
}

static int old_names_read(struct kernel *kernel, unsigned int running, struct old_names *old)
{
	for (unsigned int i = 0; i < WEIR_NR_SLOTS; i++) {
		unsigned int slot = i ? !running : running;
		_cleanup_free_ struct weir_rule *rule = NULL;
		struct weir_config config;
		int err = slot_config(kernel, slot, &config);

		if (!err && config.generation)
			err = slot_table(kernel, slot, TABLE_weir_rule, config.nr_rules,
					 (void **)&rule);
		if (!err && rule)
			err = old_names_add(old, rule, config.nr_rules);
		if (err)
			return err;
		if (i == 0)
			memcpy(old->nr_running, old->n, sizeof(old->n));
	}
	return 0;
}

static int assign(const struct weir_rule *rule, size_t n, const struct old_names *old, int limit,
		  __u32 first, __u32 **ret, bool **ret_fresh, __u32 *ret_entries)
{
	_cleanup_free_ __u64 *id = calloc(n + 1, sizeof(*id));

	*ret = calloc(n + 1, sizeof(**ret));
	*ret_fresh = calloc(n + 1, sizeof(**ret_fresh));
	if (!id || !*ret || !*ret_fresh)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		id[i] = rule[i].id;
	return counters_assign(id, n, old->id[limit], old->index[limit], old->n[limit],
			       old->nr_running[limit], first, *ret, *ret_fresh, ret_entries);
}

int counters_plan(struct kernel *kernel, const struct tables *tables, unsigned int running,
		  struct counters_plan *ret, struct diag *diag)
{
	struct counters_plan plan = {.nr_rules = tables->nr_rules_only,
				     .nr_limits = tables->weir_cfg[0].nr_limits};
	struct old_names old = {};
	int err = kernel->loaded ? old_names_read(kernel, running, &old) : 0;

	if (plan.nr_rules + plan.nr_limits > tables->nr_weir_rule)
		err = -EINVAL;
	if (!err)
		err = assign(tables->weir_rule, plan.nr_rules, &old, 0, WEIR_RULE_FIRST, &plan.rule,
			     &plan.rule_fresh, &plan.rule_entries);
	if (!err)
		err = assign(tables->weir_rule + plan.nr_rules, plan.nr_limits, &old, 1, 0,
			     &plan.limit, &plan.limit_fresh, &plan.limit_entries);
	old_names_free(&old);
	if (err) {
		counters_plan_free(&plan);
		return diag_fail(diag, err, NULL, "cannot assign counters: %s", strerror(-err));
	}
	*ret = plan;
	return 0;
}

void counters_plan_free(struct counters_plan *plan)
{
	free(plan->rule);
	free(plan->limit);
	free(plan->rule_fresh);
	free(plan->limit_fresh);
	memset(plan, 0, sizeof(*plan));
}

/* ---- values ---- */

static int zero_fresh(int counter_fd, int carry_fd, const __u32 *index, const bool *fresh, size_t n)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct weir_count *zero = calloc(cpus > 0 ? cpus : 1, sizeof(*zero));

	if (!zero || cpus <= 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!fresh[i])
			continue;
		if (bpf_map_update_elem(counter_fd, &index[i], zero, BPF_ANY) < 0 ||
		    bpf_map_update_elem(carry_fd, &index[i], zero, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

int counters_zero(struct kernel *kernel, const struct counters_plan *plan, struct diag *diag)
{
	const struct maps *maps = &kernel->maps;
	int err = zero_fresh(maps->fd[MAP_weir_rulecnt], maps->fd[MAP_weir_carry], plan->rule,
			     plan->rule_fresh, plan->nr_rules);

	if (!err)
		err = zero_fresh(maps->fd[MAP_weir_limcnt], maps->fd[MAP_weir_lcarry], plan->limit,
				 plan->limit_fresh, plan->nr_limits);
	return err ? diag_fail(diag, err, NULL, "cannot clear counters: %s", strerror(-err)) : 0;
}

int counters_sum(int fd, __u32 index, void *ret, size_t nr_u64)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ __u64 *value = calloc(cpus > 0 ? cpus : 1, nr_u64 * sizeof(*value));
	__u64 *sum = ret;

	if (!value || cpus <= 0)
		return -ENOMEM;
	if (bpf_map_lookup_elem(fd, &index, value) < 0)
		return -errno;
	memset(sum, 0, nr_u64 * sizeof(*sum));
	for (int cpu = 0; cpu < cpus; cpu++)
		for (size_t i = 0; i < nr_u64; i++)
			sum[i] += value[cpu * nr_u64 + i];
	return 0;
}

static void count_add(struct weir_count *to, const struct weir_count *what)
{
	to->passed_packets += what->passed_packets;
	to->passed_bytes += what->passed_bytes;
	to->dropped_packets += what->dropped_packets;
	to->dropped_bytes += what->dropped_bytes;
}

static int count_read(int counter_fd, int carry_fd, __u32 index, struct weir_count *ret)
{
	struct weir_count sum, carried;
	int err = counters_sum(counter_fd, index, &sum, sizeof(sum) / sizeof(__u64));

	if (err)
		return err;
	if (bpf_map_lookup_elem(carry_fd, &index, &carried) == 0)
		count_add(&sum, &carried);
	*ret = sum;
	return 0;
}

int kernel_rule_count(struct kernel *kernel, __u32 index, struct weir_count *ret)
{
	if (!kernel->loaded)
		return -ENOENT;
	return count_read(kernel->maps.fd[MAP_weir_rulecnt], kernel->maps.fd[MAP_weir_carry], index,
			  ret);
}

int kernel_limit_count(struct kernel *kernel, __u32 index, struct weir_count *ret)
{
	if (!kernel->loaded)
		return -ENOENT;
	return count_read(kernel->maps.fd[MAP_weir_limcnt], kernel->maps.fd[MAP_weir_lcarry], index,
			  ret);
}

static bool same_map(int a, int b)
{
	struct bpf_map_info x = {}, y = {};
	__u32 len = sizeof(x);

	return bpf_obj_get_info_by_fd(a, &x, &len) == 0 &&
	       bpf_obj_get_info_by_fd(b, &y, &len) == 0 && x.id == y.id;
}

/* Totals of @from (carried ones included) become what @to carries. */
static int carry(const struct maps *from, const struct maps *to, enum map_id counter,
		 enum map_id carry_id)
{
	if (same_map(from->fd[counter], to->fd[counter]))
		return 0;
	for (__u32 i = 0; i < from->entries[counter] && i < to->entries[carry_id]; i++) {
		struct weir_count count;
		int err = count_read(from->fd[counter], from->fd[carry_id], i, &count);

		if (err)
			return err;
		if (bpf_map_update_elem(to->fd[carry_id], &i, &count, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

int counters_carry(const struct maps *from, const struct maps *to)
{
	int err = carry(from, to, MAP_weir_rulecnt, MAP_weir_carry);

	return err ? err : carry(from, to, MAP_weir_limcnt, MAP_weir_lcarry);
}
