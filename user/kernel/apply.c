// SPDX-License-Identifier: GPL-2.0-only
/* kernel_apply(): the order in which a policy comes into force, and how it does not. */
#include "kernel/internal.h"

#include <errno.h>
#include <net/if_arp.h>
#include <string.h>
#include <time.h>

#define MIN_TAT	    65536 /* entries that maps outside the slots have at least */
#define MIN_OVER    (64 * WEIR_OVERFLOWS)
#define MIN_RULECNT 1024
#define MIN_LIMCNT  64

struct apply {
	struct kernel *kernel;
	const struct policy *policy;
	const struct environment *env;
	const struct apply_options *options;
	struct apply_result *result;
	struct diag *diag;
	bool filling; /* the idle slot no longer holds what it held */
	bool first;   /* nothing was loaded: a failure leaves nothing */
	__u64 word;
	unsigned int running, idle;
	__u32 generation;
	struct tables tables; /* with counters, regions and states; five tables are copies */
	struct counters_plan counters;
	struct region_plan *regions;
	struct weir_limit *limits; /* of the running slot */
	size_t nr_limits;
	struct weir_tat **
	    before; /* by limit: the region that its debts come from, as it was when they were copied */
	__u64 **before_over;
	__u64 *since; /* by limit: when that was */
	__u32 need_tat, need_over;
	struct protects_plan protects;
	struct links links;
	struct naming naming;
	struct wants wants; /* what is watched now, and what the new policy names */
	struct change change;
};

static void step(const struct apply *a, const char *what)
{
	if (a->options->progress)
		a->options->progress(a->options->progress_arg, what);
}

static int oops(const struct apply *a, int err, const char *what)
{
	return diag_fail(a->diag, err, NULL, "%s: %s", what, strerror(-err));
}

/* ---- may we? ---- */

static int check_word(struct apply *a)
{
	__u64 now_ms;

	if (!a->kernel->loaded) {
		a->running = 1;
		return 0;
	}
	now_ms = boot_ns(a->kernel) / 1000000;
	a->word = word_settle(a->kernel);
	if (a->word & WEIR_WORD_PENDING)
		return diag_fail(
		    a->diag, -EINPROGRESS, NULL,
		    "generation %u is on trial for another %llu s; confirm it or roll it back first",
		    word_generation(a->word),
		    (unsigned long long)(word_deadline(a->word) - now_ms + 999) / 1000);
	if (a->options->expect_generation &&
	    a->options->expect_generation != word_generation(a->word))
		return diag_fail(
		    a->diag, -ESTALE, NULL,
		    "generation %u is in force, not %u: somebody else applied meanwhile",
		    word_generation(a->word), a->options->expect_generation);
	a->running = word_generation(a->word) ? word_slot(a->word) : 1;
	return 0;
}

static __u32 next_generation(const struct apply *a)
{
	__u32 last = word_generation(a->word);

	if (a->kernel->meta && a->kernel->meta->generation > last)
		last = a->kernel->meta->generation;
	return generation_next(last);
}

/* ---- interfaces ---- */

/* A role that changes needs other programs; a trial could not give them back by itself. */
static int check_roles(const struct apply *a, const struct wants *new)
{
	for (size_t i = 0; a->options->confirm_ms && i < new->n; i++) {
		const struct wanted *had = wants_find(&a->wants, new->wanted[i].link->ifindex);

		if (had && !wanted_alike(had, &new->wanted[i]))
			return diag_fail(
			    a->diag, -EOPNOTSUPP, NULL,
			    "%s changes between interfaces and workloads: that cannot be tried, "
			    "apply it without --confirm",
			    had->link->name);
	}
	return 0;
}

static int check_attachable(const struct apply *a, const struct wants *new)
{
	struct pinned_links pins = {};
	int err = a->kernel->loaded ? pinned_links_read(a->kernel, &pins) : 0;

	if (err)
		return oops(a, err, "cannot read the pinned links");
	for (size_t i = 0; i < new->n && !err; i++)
		err = attach_check(&pins, &new->wanted[i], a->diag);
	pinned_links_free(&pins);
	return err;
}

/* What the policy says of interfaces and these cannot keep, though it harms nobody. */
static void remark(const struct apply *a, const struct wants *new)
{
	for (size_t i = 0; i < a->links.n; i++) {
		const struct link *link = &a->links.link[i],
				  *lower = wants_below(&a->links, new, link);
		struct wanted wanted;

		if (lower && wants_match(&a->naming, 1, link, &wanted) && !wanted.workload)
			diag_warn(a->diag, NULL,
				  "%s is a VLAN on %s and judged there, as what vlans: lists; "
				  "rules on it are rules on: %s",
				  link->name, lower->name, lower->name);
	}
	for (size_t i = 0; i < new->n && a->naming.protect; i++) {
		const struct wanted *wanted = &new->wanted[i];

		if (wanted->workload || wanted->guard)
			continue;
		if (wanted->link->type != ARPHRD_ETHER)
			diag_warn(a->diag, NULL,
				  "%s has no Ethernet header, and so no XDP: what arrives there is "
				  "not protected by SYN cookies",
				  wanted->link->name);
		else if (wanted->link->veth && wanted->xdp == XDP_NATIVE)
			diag_warn(a->diag, NULL,
				  "%s is a veth with xdp: native: SYN cookies are lost unless its "
				  "peer has an XDP program, too; say xdp: generic",
				  wanted->link->name);
	}
}

#define PATIENCE 16 /* workloads: a third of a second */

static int check_interfaces(struct apply *a)
{
	struct wants new = {};
	int err = links_read(&a->links);

	if (err)
		return oops(a, err, "cannot read the interfaces");
	err = wants_missing(&a->links, a->policy, a->diag);
	a->naming = (struct naming){.policy = a->policy,
				    .units = a->tables.weir_cfg->flags & WEIR_CFG_UNITS,
				    .protect = a->tables.weir_cfg->flags & WEIR_CFG_PROTECT,
				    .slot = a->idle,
				    .env = a->env,
				    .zone = a->tables.zone};
	if (!err)
		err = wants_build(&a->links, &a->naming, 1, &new);
	if (!err)
		remark(a, &new);
	/* Until the flip, and through a trial, everything that is watched stays so, as it is. */
	if (!err && a->kernel->loaded) {
		err = wants_watched(a->kernel, &a->links, &a->wants);
		if (err)
			oops(a, err, "cannot read what is watched");
	}
	if (!err)
		err = check_roles(a, &new);
	if (!err)
		err = wants_add(&a->wants, &new);
	if (!err)
		guards_check(&a->links, &a->wants);
	wants_hurry(&a->wants, PATIENCE);
	if (!err)
		err = check_attachable(a, &new);
	wants_free(&new);
	return err;
}

/* ---- numbers: counters, regions, sizes ---- */

static void *copy(const void *from, size_t n, size_t size)
{
	void *to = calloc(n + 1, size);

	if (to && n)
		memcpy(to, from, n * size);
	return to;
}

static int own_tables(struct apply *a, const struct tables *tables)
{
	a->tables = *tables;
#define OWN(name) a->tables.name = copy(tables->name, tables->nr_##name, sizeof(*tables->name))
	OWN(weir_cfg);
	OWN(weir_verd);
	OWN(weir_rule);
	OWN(weir_limit);
	OWN(weir_prot);
#undef OWN
	return a->tables.weir_cfg && a->tables.weir_verd && a->tables.weir_rule &&
		       a->tables.weir_limit && a->tables.weir_prot
		   ? 0
		   : -ENOMEM;
}

static int plan_regions(struct apply *a)
{
	_cleanup_free_ struct weir_limit *idle = NULL;
	size_t n = a->tables.weir_cfg->nr_limits, nr_idle = 0;
	int err = 0;

	if (a->kernel->loaded)
		err = slot_limits(a->kernel, a->running, &a->limits, &a->nr_limits);
	if (!err && a->kernel->loaded)
		err = slot_limits(a->kernel, a->idle, &idle, &nr_idle);
	a->regions = calloc(n + 1, sizeof(*a->regions));
	a->before = calloc(n + 1, sizeof(*a->before));
	a->before_over = calloc(n + 1, sizeof(*a->before_over));
	a->since = calloc(n + 1, sizeof(*a->since));
	if (!err && (!a->regions || !a->before || !a->before_over || !a->since))
		err = -ENOMEM;
	if (!err)
		err = regions_plan(a->tables.weir_limit, n, a->limits, a->nr_limits, idle, nr_idle,
				   a->regions, &a->need_tat, &a->need_over);
	return err;
}

static int number(struct apply *a)
{
	struct weir_config *config = a->tables.weir_cfg;
	size_t nr_rules = a->tables.nr_rules_only;

	for (size_t i = 0; i < a->tables.nr_weir_verd; i++) {
		struct weir_verdict *verdict = &a->tables.weir_verd[i];

		if (verdict->rule < WEIR_RULE_FIRST)
			continue;
		if (verdict->rule - WEIR_RULE_FIRST >= nr_rules)
			return -EINVAL;
		verdict->rule = a->counters.rule[verdict->rule - WEIR_RULE_FIRST];
	}
	for (size_t i = 0; i < nr_rules; i++)
		a->tables.weir_rule[i].counter = a->counters.rule[i];
	for (size_t i = 0; i < config->nr_limits; i++) {
		a->tables.weir_rule[nr_rules + i].counter = a->counters.limit[i];
		a->tables.weir_limit[i].counter = a->counters.limit[i];
		a->tables.weir_limit[i].buckets = a->regions[i].buckets;
		a->tables.weir_limit[i].overflow = a->regions[i].overflow;
	}
	return 0;
}

static int plan(struct apply *a, const struct tables *tables)
{
	int err = own_tables(a, tables);

	if (!err)
		err = counters_plan(a->kernel, &a->tables, a->running, &a->counters, a->diag);
	if (!err)
		err = plan_regions(a);
	if (!err)
		err = protects_plan(a->kernel, a->running, a->tables.weir_prot,
				    a->tables.nr_weir_prot, &a->protects);
	if (!err)
		err = number(a);
	return err ? oops(a, err, "cannot plan the tables") : 0;
}

static void state_size(const struct apply *a, enum map_id id, __u32 need, __u32 least,
		       __u32 *entries, bool *grows)
{
	__u32 has = a->kernel->loaded ? a->kernel->maps.entries[id] : 0;

	grows[id] = need > has;
	entries[id] = has;
	if (need > has || !has)
		entries[id] = need + need / 4 > least ? need + need / 4 : least;
}

static int load(struct apply *a)
{
	__u32 entries[NR_MAPS] = {};
	bool grows[NR_MAPS] = {}, any = false;
	struct load_settings settings = {.fake_clock = a->options->fake_clock,
					 .tick_ns = a->env ? a->env->tick_ns : 0};

	settings.has_ct = (a->kernel->loaded && a->kernel->meta->flags & META_CT) || feature_ct();
	slot_sizes(a->kernel, &a->tables, a->idle, entries, grows);
	/* What is followed goes into either slot in turn, without new programs. */
	if (a->env && a->env->nr_names)
		slot_room(a->kernel, &a->tables, a->running, entries, grows);
	state_size(a, MAP_weir_tat, a->need_tat, MIN_TAT, entries, grows);
	state_size(a, MAP_weir_over, a->need_over, MIN_OVER, entries, grows);
	state_size(a, MAP_weir_rulecnt, a->counters.rule_entries, MIN_RULECNT, entries, grows);
	state_size(a, MAP_weir_limcnt, a->counters.limit_entries, MIN_LIMCNT, entries, grows);
	if (!a->kernel->loaded) {
		step(a, "load");
		return load_first(a->kernel, entries, &settings, a->diag);
	}
	for (int i = 0; i < NR_MAPS; i++)
		any |= grows[i];
	any |= settings.fake_clock != !!(a->kernel->meta->flags & META_FAKE_CLOCK);
	any |= settings.has_ct != !!(a->kernel->meta->flags & META_CT);
	if (!any)
		return 0;
	step(a, "reload");
	a->result->reloaded = true;
	return load_again(a->kernel, entries, grows, &settings, a->diag);
}

/* ---- the limiter's regions of the new slot ---- */

struct mapped {
	struct weir_tat *tat;
	__u64 *over;
	size_t tat_bytes, over_bytes;
};

static int map_limiter(const struct kernel *kernel, struct mapped *ret)
{
	const struct maps *maps = &kernel->maps;

	ret->tat_bytes = (size_t)maps->entries[MAP_weir_tat] * sizeof(struct weir_tat);
	ret->over_bytes = (size_t)maps->entries[MAP_weir_over] * sizeof(__u64);
	ret->tat = map_mmap(maps->fd[MAP_weir_tat], ret->tat_bytes);
	ret->over = map_mmap(maps->fd[MAP_weir_over], ret->over_bytes);
	return ret->tat && ret->over ? 0 : -ENOMEM;
}

static void unmap_limiter(struct mapped *m)
{
	map_munmap(m->tat, m->tat_bytes);
	map_munmap(m->over, m->over_bytes);
}

static struct region_merge merge_of(const struct apply *a, const struct mapped *m, size_t i)
{
	const struct weir_limit *to = &a->tables.weir_limit[i];

	return (struct region_merge){.from = &a->limits[a->regions[i].from],
				     .to = to,
				     .target = m->tat + to->buckets,
				     .target_over = m->over + to->overflow,
				     .now = mono_ns(a->kernel) << WEIR_TAT_SHIFT,
				     .seed = a->kernel->control->seed};
}

static int carry_one(struct apply *a, const struct mapped *m, size_t i)
{
	const struct weir_limit *from = &a->limits[a->regions[i].from];
	struct region_merge merge = merge_of(a, m, i);

	if (!a->before[i]) {
		a->before[i] = calloc(from->mask + 1, sizeof(struct weir_tat));
		a->before_over[i] = calloc(WEIR_OVERFLOWS, sizeof(__u64));
		a->since[i] = merge.now;
	}
	if (!a->before[i] || !a->before_over[i])
		return -ENOMEM;
	merge.after = m->tat + from->buckets;
	merge.after_over = m->over + from->overflow;
	merge.since = a->since[i];
	if (region_advance(&merge, a->before[i], a->before_over[i]))
		return -ENOMEM;
	a->since[i] = merge.since;
	return 0;
}

/*
 * What sources owe under a limit that changes goes over to its new region: all of it when the slot is filled, then what
 * was charged since, just before and just after the flip, and when nobody charges the old region any more.
 */
static int regions_carry(struct apply *a)
{
	struct mapped m = {};
	int err = map_limiter(a->kernel, &m);

	for (size_t i = 0; i < a->tables.weir_cfg->nr_limits && !err; i++)
		if (a->regions[i].how == REGION_CARRIED)
			err = carry_one(a, &m, i);
	unmap_limiter(&m);
	return err;
}

static int regions_begin(struct apply *a)
{
	struct mapped m = {};
	int err = map_limiter(a->kernel, &m);

	for (size_t i = 0; i < a->tables.weir_cfg->nr_limits && !err; i++) {
		const struct weir_limit *limit = &a->tables.weir_limit[i];

		if (a->regions[i].how == REGION_KEPT)
			continue;
		memset(m.tat + limit->buckets, 0, (limit->mask + 1) * sizeof(*m.tat));
		memset(m.over + limit->overflow, 0, WEIR_OVERFLOWS * sizeof(*m.over));
	}
	unmap_limiter(&m);
	if (!err)
		err = regions_carry(a);
	return err ? oops(a, err, "cannot prepare the limiter") : 0;
}

/* ---- fill, attach, flip ---- */

static int fill(struct apply *a)
{
	struct weir_config *config = a->tables.weir_cfg;
	struct timespec now;
	__u64 began = mono_ns(NULL);
	int err = grace(); /* of a flip that crashed before its own */

	if (err)
		return oops(a, err, "cannot wait for running programs");
	a->kernel->meta->flags &= ~META_GRACE;
	clock_gettime(CLOCK_REALTIME, &now);
	config->generation = a->generation;
	config->applied_ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
	step(a, "fill");
	a->filling = true;
	err = slot_invalidate(a->kernel, a->idle);
	if (err)
		return oops(a, err, "cannot write the idle slot");
	err = counters_zero(a->kernel, &a->counters, a->diag);
	if (!err)
		err = protects_begin(a->kernel, &a->protects, a->diag);
	if (!err)
		err = regions_begin(a);
	if (!err)
		err = slot_fill(a->kernel, &a->tables, a->idle, a->diag);
	a->result->fill_ns = mono_ns(NULL) - began;
	return err;
}

static struct bringing bringing_of(struct apply *a)
{
	return (struct bringing){.programs = &a->kernel->programs,
				 .links = &a->links,
				 .wants = &a->wants,
				 .naming = &a->naming,
				 .nr_naming = 1,
				 .env = a->env,
				 .change = &a->change,
				 .since_ns = mono_ns(NULL),
				 .ret_closed = &a->result->closed,
				 .diag = a->diag};
}

static int attach(struct apply *a)
{
	struct bringing b = bringing_of(a);

	step(a, "attach");
	return follow_bring(a->kernel, &b);
}

static int flip(struct apply *a)
{
	__u64 deadline = 0;
	int err;

	step(a, "flip");
	if (a->options->confirm_ms)
		deadline = boot_ns(a->kernel) / 1000000 + a->options->confirm_ms;
	err = regions_carry(a);
	if (err)
		return oops(a, err, "cannot carry the limiter's state over");
	err = word_swap(a->kernel, a->word, word_make(a->idle, a->generation, deadline));
	if (err)
		return diag_fail(a->diag, err, NULL, "the policy in force changed meanwhile: %s",
				 strerror(-err));
	a->kernel->meta->generation = a->generation;
	/* The other slot holds the policy before, as it was in force last. */
	a->kernel->meta->flags &= ~META_STALE;
	if (environment_has_engine(a->env))
		a->kernel->meta->flags |= META_ENGINE;
	return 0;
}

static int only_new(struct apply *a, struct diag *diag)
{
	struct bringing b = bringing_of(a);
	struct wants new = {};
	int err = wants_build(&a->links, &a->naming, 1, &new);

	b.wants = &new;
	b.diag = diag;
	if (!err)
		err = follow_bring(a->kernel, &b);
	if (!err)
		err = follow_drop(a->kernel, &b);
	wants_free(&new);
	return err;
}

/* The new policy is in force whatever happens here. On trial, the former one's interfaces stay for the fallback. */
static void finish(struct apply *a)
{
	struct diag scratch = {};
	int err = regions_carry(a);

	if (!err)
		err = grace();
	if (!err)
		err = regions_carry(a);
	if (!err && !a->options->confirm_ms)
		err = only_new(a, &scratch);
	if (!err && !a->options->confirm_ms)
		err = marks_clear(a->kernel, a->env, &scratch);
	sysctls_settle(a->kernel, a->diag);
	if (err)
		diag_warn(a->diag, NULL, "generation %u is in force, but cleaning up failed: %s",
			  a->generation, scratch.error[0] ? scratch.error : strerror(-err));
	diag_reset(&scratch);
}

static unsigned int attached(struct apply *a)
{
	struct wants new = {};
	unsigned int n = 0;

	if (wants_build(&a->links, &a->naming, 1, &new) == 0)
		for (size_t i = 0; i < new.n; i++)
			n += !new.wanted[i].guard;
	wants_free(&new);
	return n;
}

static void take_back(struct apply *a)
{
	change_undo(a->kernel, &a->change);
	if (a->kernel->loaded && a->first)
		load_remove(a->kernel);
	else if (a->kernel->loaded &&
		 a->filling) /* what was never in force is nothing to go back to */
		slot_invalidate(a->kernel, a->idle);
	sysctls_settle(a->kernel, a->diag);
}

static int run(struct apply *a, const struct tables *tables)
{
	int err = check_word(a);

	if (!err)
		err = features_missing(tables, a->diag);
	if (err)
		return err;
	a->idle = !a->running;
	a->generation = next_generation(a);
	err = plan(a, tables);
	if (!err)
		err = check_interfaces(a);
	if (!err)
		err = sysctls_hold(a->kernel->dir, a->tables.weir_cfg->flags, a->diag);
	if (!err)
		err = load(a);
	if (!err)
		err = fill(a);
	if (!err)
		err = attach(a);
	if (!err)
		err = flip(a);
	if (err) {
		take_back(a);
		return err;
	}
	finish(a);
	a->result->generation = a->generation;
	a->result->attached = attached(a);
	return 0;
}

static void release(struct apply *a)
{
	size_t n = a->tables.weir_cfg ? a->tables.weir_cfg->nr_limits : 0;

	for (size_t i = 0; i < n; i++) {
		if (a->before)
			free(a->before[i]);
		if (a->before_over)
			free(a->before_over[i]);
	}
	free(a->before);
	free(a->before_over);
	free(a->since);
	free(a->regions);
	free(a->limits);
	free(a->tables.weir_cfg);
	free(a->tables.weir_verd);
	free(a->tables.weir_rule);
	free(a->tables.weir_limit);
	free(a->tables.weir_prot);
	counters_plan_free(&a->counters);
	change_keep(&a->change);
	wants_free(&a->wants);
	links_free(&a->links);
}

int kernel_apply(struct kernel *kernel, const struct policy *policy, const struct tables *tables,
		 const struct environment *env, const struct apply_options *options,
		 struct apply_result *ret, struct diag *diag)
{
	static const struct apply_options plain;
	struct apply_result result = {};
	struct apply a = {.kernel = kernel,
			  .policy = policy,
			  .env = env,
			  .options = options ? options : &plain,
			  .result = &result,
			  .diag = diag,
			  .first = !kernel->loaded};
	__u64 began = mono_ns(NULL);
	int err;

	if (!kernel->write)
		return diag_fail(diag, -EINVAL, NULL, "opened for reading");
	err = run(&a, tables);
	release(&a);
	if (err)
		return err;
	result.total_ns = mono_ns(NULL) - began;
	if (ret)
		*ret = result;
	return 0;
}
