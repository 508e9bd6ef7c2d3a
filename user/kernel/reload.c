// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading programs: the first time, and again when tables have to grow.
 *
 * A reload changes no verdict: the new programs share the slot that judges and all state, except for maps that grew,
 * whose contents move along. Its journal is in the pins: "+NAME" beside maps and programs is pinned before the first
 * hook changes over and renamed to NAME after the last, so that whoever opens the directory after a crash can finish.
 */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

static void plus(const char *name, char *ret)
{
	snprintf(ret, NAME_MAX + 1, "+%s", name);
}

/* ---- mapped entries ---- */

int kernel_map_shared(struct kernel *kernel)
{
	kernel_unmap_shared(kernel);
	kernel->control = map_mmap(kernel->maps.fd[MAP_weir_control], sizeof(struct weir_control));
	kernel->meta = map_mmap(kernel->maps.fd[MAP_weir_meta], sizeof(struct weir_meta));
	if (!kernel->control || !kernel->meta) {
		int err = -errno;

		kernel_unmap_shared(kernel);
		return err;
	}
	return 0;
}

void kernel_unmap_shared(struct kernel *kernel)
{
	map_munmap(kernel->control, sizeof(struct weir_control));
	map_munmap(kernel->meta, sizeof(struct weir_meta));
	kernel->control = NULL;
	kernel->meta = NULL;
}

/* ---- the first time ---- */

static int pin_all(struct kernel *kernel)
{
	int err = 0;

	for (int i = 0; i < NR_PROGS && !err; i++)
		err = pin_put(kernel, "progs", prog_name(i), kernel->programs.fd[i]);
	for (int i = 0; i < NR_MAPS && !err; i++)
		if (i != MAP_weir_meta)
			err = pin_put(kernel, "maps", map_name(i), kernel->maps.fd[i]);
	/* Last: a directory without it was never finished. */
	if (!err)
		err = pin_put(kernel, "maps", map_name(MAP_weir_meta),
			      kernel->maps.fd[MAP_weir_meta]);
	return err;
}

static __u64 meta_flags(const struct load_settings *settings)
{
	return (settings->fake_clock ? META_FAKE_CLOCK : 0) | (settings->has_ct ? META_CT : 0);
}

static int begin(struct kernel *kernel, const struct load_settings *settings)
{
	int err = kernel_map_shared(kernel);

	if (err)
		return err;
	if (getrandom(&kernel->control->seed, sizeof(kernel->control->seed), 0) !=
	    sizeof(kernel->control->seed))
		return -errno;
	*kernel->meta = (struct weir_meta){
	    .version = WEIR_PIN_VERSION, .layout = maps_layout(), .flags = meta_flags(settings)};
	return pin_all(kernel);
}

int load_first(struct kernel *kernel, const __u32 *entries, const struct load_settings *settings,
	       struct diag *diag)
{
	int err = pin_ensure_dirs(kernel, diag);

	if (err)
		return err;
	err = load_programs(&kernel->maps, entries, settings, &kernel->programs, diag);
	if (!err) {
		err = begin(kernel, settings);
		if (err)
			diag_fail(diag, err, NULL, "cannot pin under %s: %s", kernel->dir,
				  strerror(-err));
	}
	if (err) {
		load_remove(kernel);
		return err;
	}
	kernel->loaded = true;
	return 0;
}

static int remove_pin(void *arg, const char *name)
{
	const char **folder = ((void **)arg)[1];

	return pin_remove(((void **)arg)[0], *folder, name);
}

void load_remove(struct kernel *kernel)
{
	static const char *const folders[] = {"links", "progs", "maps"};

	/* First: what is left without it is known to be a remainder. */
	pin_remove(kernel, "maps", map_name(MAP_weir_meta));
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		void *arg[2] = {kernel, (void *)&folders[i]};

		pin_each(kernel, folders[i], remove_pin, arg);
	}
	pin_remove_dirs(kernel);
	kernel_unmap_shared(kernel);
	programs_close(&kernel->programs);
	maps_close(&kernel->maps);
	kernel->loaded = false;
}

/* ---- again ---- */

struct reload {
	struct kernel *kernel;
	struct maps next;
	struct programs programs;
	struct weir_limit *limit; /* of the slot that judges */
	size_t nr_limits;
	struct weir_tat *tat, *old_tat, *tat_before; /* NULL unless weir_tat grows */
	__u64 *over;				     /* the one that will be in use */
	__u64 *old_over, *over_before;		     /* NULL unless weir_over grows */
	__u64 since;				     /* of the last pass, 1/16 ns */
	bool renewed[NR_MAPS];
	struct diag *diag;
};

static size_t bytes_of(const struct maps *maps, enum map_id id)
{
	return (size_t)maps->entries[id] * maps->value_size[id];
}

static int share_maps(struct reload *r, const bool *grows)
{
	maps_init(&r->next);
	for (int i = 0; i < NR_MAPS; i++) {
		bool renew = grows[i] || (i == MAP_weir_carry && grows[MAP_weir_rulecnt]) ||
			     (i == MAP_weir_lcarry && grows[MAP_weir_limcnt]);

		r->renewed[i] = renew;
		if (renew)
			continue;
		r->next.fd[i] = fcntl(r->kernel->maps.fd[i], F_DUPFD_CLOEXEC, 3);
		if (r->next.fd[i] < 0)
			return -errno;
		r->next.entries[i] = r->kernel->maps.entries[i];
		r->next.value_size[i] = r->kernel->maps.value_size[i];
		r->next.mapped[i] = r->kernel->maps.mapped[i];
	}
	return 0;
}

static struct region_merge merge_of(const struct reload *r, const struct weir_limit *limit)
{
	struct region_merge merge = {.from = limit,
				     .to = limit,
				     .target_over = r->over + limit->overflow,
				     .since = r->since,
				     .now = mono_ns(r->kernel) << WEIR_TAT_SHIFT,
				     .seed = r->kernel->control->seed};

	if (r->old_tat) {
		merge.after = r->old_tat + limit->buckets;
		merge.target = r->tat + limit->buckets;
	}
	if (r->old_over)
		merge.after_over = r->old_over + limit->overflow;
	return merge;
}

/*
 * What sources owe goes over to the larger maps: all of it before the first hook changes over, and after each of them
 * what the other hooks have charged meanwhile; the last time after grace, when nobody charges the old maps any more.
 */
static int carry_limiter(void *arg)
{
	struct reload *r = arg;
	__u64 since = r->since;
	int err = 0;

	if (!r->old_tat && !r->old_over)
		return 0;
	for (size_t i = 0; i < r->nr_limits && !err; i++) {
		const struct weir_limit *limit = &r->limit[i];
		struct region_merge merge = merge_of(r, limit);

		err = region_advance(&merge, r->old_tat ? r->tat_before + limit->buckets : NULL,
				     r->old_over ? r->over_before + limit->overflow : NULL);
		if (i == 0)
			since = merge.since;
	}
	r->since = since;
	return err;
}

static int map_limiter(struct reload *r)
{
	const struct maps *old = &r->kernel->maps;
	int err = slot_limits(r->kernel, word_slot(word_peek(r->kernel)), &r->limit, &r->nr_limits);

	if (err)
		return err;
	r->over = map_mmap(r->next.fd[MAP_weir_over], bytes_of(&r->next, MAP_weir_over));
	if (!r->over)
		return -errno;
	if (r->renewed[MAP_weir_tat]) {
		r->old_tat = map_mmap(old->fd[MAP_weir_tat], bytes_of(old, MAP_weir_tat));
		r->tat = map_mmap(r->next.fd[MAP_weir_tat], bytes_of(&r->next, MAP_weir_tat));
		r->tat_before = calloc(1, bytes_of(old, MAP_weir_tat));
		if (!r->old_tat || !r->tat || !r->tat_before)
			return -ENOMEM;
	}
	if (r->renewed[MAP_weir_over]) {
		r->old_over = map_mmap(old->fd[MAP_weir_over], bytes_of(old, MAP_weir_over));
		r->over_before = calloc(1, bytes_of(old, MAP_weir_over));
		if (!r->old_over || !r->over_before)
			return -ENOMEM;
	}
	return 0;
}

static int copy_limiter(struct reload *r)
{
	int err = map_limiter(r);

	r->since = mono_ns(r->kernel) << WEIR_TAT_SHIFT;
	return err ? err : carry_limiter(r);
}

static int pin_journal(struct reload *r)
{
	char name[NAME_MAX + 1];
	int err = 0;

	for (int i = 0; i < NR_MAPS && !err; i++) {
		if (!r->renewed[i])
			continue;
		plus(map_name(i), name);
		err = pin_put(r->kernel, "maps", name, r->next.fd[i]);
	}
	for (int i = 0; i < NR_PROGS && !err; i++) {
		plus(prog_name(i), name);
		err = pin_put(r->kernel, "progs", name, r->programs.fd[i]);
	}
	return err;
}

static void unpin_journal(struct kernel *kernel)
{
	char name[NAME_MAX + 1];

	for (int i = 0; i < NR_PROGS; i++) {
		plus(prog_name(i), name);
		pin_remove(kernel, "progs", name);
	}
	for (int i = 0; i < NR_MAPS; i++) {
		plus(map_name(i), name);
		pin_remove(kernel, "maps", name);
	}
}

/* Maps first: a journal without programs is one whose hooks have all changed over. */
static int rename_journal(struct kernel *kernel)
{
	char name[NAME_MAX + 1];
	int err = 0;

	for (int i = 0; i < NR_MAPS && !err; i++) {
		plus(map_name(i), name);
		err = pin_rename(kernel, "maps", name, map_name(i));
		err = err == -ENOENT ? 0 : err;
	}
	for (int i = 0; i < NR_PROGS && !err; i++) {
		plus(prog_name(i), name);
		err = pin_rename(kernel, "progs", name, prog_name(i));
		err = err == -ENOENT ? 0 : err;
	}
	return err;
}

static int change_over(struct kernel *kernel, const struct programs *programs,
		       int (*between)(void *arg), void *arg, struct change *change,
		       struct diag *diag)
{
	struct pinned_links pins = {};
	struct links links = {};
	int err = links_read(&links);

	if (!err)
		err = pinned_links_read(kernel, &pins);
	if (err)
		diag_fail(diag, err, NULL, "cannot read the interfaces: %s", strerror(-err));
	else
		err = attach_replace(kernel, programs, &pins, &links, between, arg, change, diag);
	pinned_links_free(&pins);
	links_free(&links);
	return err;
}

/*
 * What was charged and counted in the old maps until the last program left them moves over, while pins still name them:
 * whoever finishes after a crash needs them.
 */
static int settle(struct reload *r)
{
	int err = grace();

	if (!err)
		err = fault("settle");
	if (!err)
		err = carry_limiter(r);
	if (!err)
		err = counters_carry(&r->kernel->maps, &r->next);
	return err ? diag_fail(r->diag, err, NULL, "cannot carry counters and limits over: %s",
			       strerror(-err))
		   : 0;
}

static int switch_programs(struct reload *r)
{
	struct change change = {};
	int err = pin_journal(r);

	if (err)
		diag_fail(r->diag, err, NULL, "cannot pin under %s: %s", r->kernel->dir,
			  strerror(-err));
	else
		err = change_over(r->kernel, &r->programs, carry_limiter, r, &change, r->diag);
	if (!err)
		err = settle(r);
	if (!err) {
		err = rename_journal(r->kernel);
		if (err)
			diag_fail(r->diag, err, NULL, "cannot rename pins under %s: %s",
				  r->kernel->dir, strerror(-err));
	}
	if (err) {
		change_undo(r->kernel, &change);
		unpin_journal(r->kernel);
	}
	change_keep(&change);
	return err;
}

static void release(struct reload *r, const struct maps *old)
{
	map_munmap(r->old_tat, bytes_of(old, MAP_weir_tat));
	map_munmap(r->old_over, bytes_of(old, MAP_weir_over));
	map_munmap(r->tat, bytes_of(&r->next, MAP_weir_tat));
	map_munmap(r->over, bytes_of(&r->next, MAP_weir_over));
	free(r->limit);
	free(r->tat_before);
	free(r->over_before);
}

int load_again(struct kernel *kernel, const __u32 *entries, const bool *grows,
	       const struct load_settings *settings, struct diag *diag)
{
	struct reload r = {.kernel = kernel, .diag = diag};
	struct maps old = kernel->maps;
	int err = share_maps(&r, grows);

	programs_init(&r.programs);
	if (!err)
		err = load_programs(&r.next, entries, settings, &r.programs, diag);
	if (!err) {
		err = slot_copy(&old, &r.next, word_slot(word_peek(kernel)), r.renewed);
		if (err)
			diag_fail(diag, err, NULL, "cannot copy the tables in force: %s",
				  strerror(-err));
	}
	if (!err) {
		err = copy_limiter(&r);
		if (err)
			diag_fail(diag, err, NULL, "cannot copy the limiter's state: %s",
				  strerror(-err));
	}
	if (!err)
		err = switch_programs(&r);
	if (err) {
		release(&r, &old);
		programs_close(&r.programs);
		maps_close(&r.next);
		return err;
	}
	programs_close(&kernel->programs);
	kernel->programs = r.programs;
	kernel->maps = r.next;
	release(&r, &old);
	maps_close(&old);
	kernel->meta->flags =
	    (kernel->meta->flags & ~META_FAKE_CLOCK) | (settings->fake_clock ? META_FAKE_CLOCK : 0);
	return 0;
}

/* ---- after a crash ---- */

static int journal_programs(const struct kernel *kernel, struct programs *ret)
{
	char name[NAME_MAX + 1];
	int found = 0;

	programs_init(ret);
	for (int i = 0; i < NR_PROGS; i++) {
		plus(prog_name(i), name);
		ret->fd[i] = pin_get(kernel, "progs", name);
		if (ret->fd[i] >= 0)
			found++;
		else /* renamed already, if the journal was complete */
			ret->fd[i] = pin_get(kernel, "progs", prog_name(i));
	}
	return found;
}

static int has_plus(void *arg, const char *name)
{
	return name[0] == '+';
}

static int recover_counters(struct kernel *kernel)
{
	static const enum map_id ids[] = {MAP_weir_rulecnt, MAP_weir_limcnt, MAP_weir_carry,
					  MAP_weir_lcarry};
	struct maps next = kernel->maps;
	char name[NAME_MAX + 1];
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		int fd;

		plus(map_name(ids[i]), name);
		fd = pin_get(kernel, "maps", name);
		if (fd < 0)
			continue;
		next.fd[ids[i]] = fd;
		maps_stat(&next, ids[i]);
	}
	err = counters_carry(&kernel->maps, &next);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		if (next.fd[ids[i]] != kernel->maps.fd[ids[i]])
			close(next.fd[ids[i]]);
	return err;
}

struct mapping {
	void *p;
	size_t bytes;
};

static struct mapping map_state(const struct kernel *kernel, enum map_id id, bool journal)
{
	struct maps maps = {};
	struct mapping ret = {};
	char name[NAME_MAX + 1];

	plus(map_name(id), name);
	maps.fd[id] = pin_get(kernel, "maps", journal ? name : map_name(id));
	if (maps.fd[id] >= 0 && maps_stat(&maps, id) == 0) {
		ret.bytes = bytes_of(&maps, id);
		ret.p = map_mmap(maps.fd[id], ret.bytes);
	}
	mem_close_p(&maps.fd[id]);
	return ret;
}

/*
 * Most of what sources owe was copied before the first hook changed over. What was charged since in the old and in the
 * new maps cannot be told apart from that any more: each source owes no less than it does in either.
 */
static int recover_limiter(struct kernel *kernel)
{
	_cleanup_free_ struct weir_limit *limit = NULL;
	struct mapping tat = map_state(kernel, MAP_weir_tat, true);
	struct mapping over = map_state(kernel, MAP_weir_over, true);
	struct mapping old_tat = map_state(kernel, MAP_weir_tat, false);
	struct mapping old_over = map_state(kernel, MAP_weir_over, false);
	__u64 *over_in_use = over.p ? over.p : old_over.p;
	__u64 now = mono_ns(kernel) << WEIR_TAT_SHIFT;
	size_t n = 0;
	int err = 0;

	if (!old_tat.p || !old_over.p)
		err = -ENOMEM;
	if (!err && (tat.p || over.p))
		err = slot_limits(kernel, word_slot(word_peek(kernel)), &limit, &n);
	for (size_t i = 0; i < n && !err; i++) {
		struct region_merge merge = {.from = &limit[i],
					     .to = &limit[i],
					     .target_over = over_in_use + limit[i].overflow,
					     .since = now,
					     .now = now,
					     .seed = kernel->control->seed,
					     .at_least = true};

		if (tat.p) {
			merge.after = (struct weir_tat *)old_tat.p + limit[i].buckets;
			merge.target = (struct weir_tat *)tat.p + limit[i].buckets;
		}
		if (over.p)
			merge.after_over = (__u64 *)old_over.p + limit[i].overflow;
		region_merge(&merge);
	}
	map_munmap(tat.p, tat.bytes);
	map_munmap(over.p, over.bytes);
	map_munmap(old_tat.p, old_tat.bytes);
	map_munmap(old_over.p, old_over.bytes);
	return err;
}

static int roll_forward(struct kernel *kernel, const struct programs *programs, struct diag *diag)
{
	struct change change = {};
	int err = change_over(kernel, programs, NULL, NULL, &change, diag);

	change_keep(&change);
	if (!err)
		err = grace();
	if (!err)
		err = recover_limiter(kernel);
	if (!err)
		err = recover_counters(kernel);
	return err ? err : rename_journal(kernel);
}

/* A pin that was about to take the place of another; it holds memory that nobody uses. */
static int drop_unfinished(void *arg, const char *name)
{
	const char **folder = ((void **)arg)[1];

	return name[0] == PIN_TEMPNAME[0] ? pin_remove(((void **)arg)[0], *folder, name) : 0;
}

int load_recover(struct kernel *kernel, struct diag *diag)
{
	static const char *const folders[] = {"progs", "maps"};
	struct programs programs;
	int found, err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		void *arg[2] = {kernel, (void *)&folders[i]};

		pin_each(kernel, folders[i], drop_unfinished, arg);
	}
	if (!pin_each(kernel, "progs", has_plus, NULL) && !pin_each(kernel, "maps", has_plus, NULL))
		return 0;
	found = journal_programs(kernel, &programs);
	if (found < NR_PROGS && pin_each(kernel, "maps", has_plus, NULL))
		unpin_journal(kernel); /* it died while pinning: no hook has changed over */
	else
		err = roll_forward(kernel, &programs, diag);
	programs_close(&programs);
	return err ? diag_fail(diag, err, NULL, "cannot finish an interrupted reload: %s",
			       strerror(-err))
		   : 1;
}
