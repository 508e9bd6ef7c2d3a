// SPDX-License-Identifier: GPL-2.0-only
/* weir run: interfaces that come, change and go, and the workloads that wait for a binding. */
#include <errno.h>
#include <string.h>

#include "cmd/run.h"

#define LINKS_NS      (100 * MS) /* for changes that open nothing */
#define BATCH_NS      (4 * MS)	 /* for what may open something: addresses come one by one */
#define CLOSED_MAX_NS (5 * NS)	 /* between later ones */
#define WAITING_NS \
	(10 * NS) /* so long a new link is looked at whenever an address appears somewhere */
#define MANY 64	  /* so many at once are all of them */

const struct environment *run_who(const struct run *run)
{
	return !run->names ? NULL : run->env_known ? &run->env : &kernel_bind_as_is;
}

/* ---- small sets of interfaces ---- */

static bool set_add(struct link_set *set, __u32 ifindex, __u64 until_ns)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->link[i].ifindex == ifindex) {
			if (set->link[i].until_ns < until_ns)
				set->link[i].until_ns = until_ns;
			set->link[i].bound = false;
			return true;
		}
	if (mem_grow(&set->link, set->n, &set->capacity, sizeof(*set->link)))
		return false;
	set->link[set->n++] = (struct waiting_link){.ifindex = ifindex, .until_ns = until_ns};
	return true;
}

static void set_remove(struct link_set *set, __u32 ifindex)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->link[i].ifindex == ifindex)
			set->link[i--] = set->link[--set->n];
}

static void set_expire(struct link_set *set, __u64 now)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->link[i].until_ns <= now)
			set->link[i--] = set->link[--set->n];
}

/* After a change of bindings: who has one. */
static void note_bound(struct run *run, __u32 ifindex)
{
	for (size_t i = 0; i < run->waiting.n; i++)
		if (run->waiting.link[i].ifindex == ifindex)
			run->waiting.link[i].bound = kernel_is_bound(run->kernel, ifindex);
}

static struct link_set unbound(const struct run *run)
{
	struct link_set ret = {};

	for (size_t i = 0; i < run->waiting.n; i++)
		if (!run->waiting.link[i].bound)
			set_add(&ret, run->waiting.link[i].ifindex, ~0ULL);
	return ret;
}

void run_links_clear(struct run *run)
{
	free(run->later.link);
	free(run->waiting.link);
}

void run_waits(struct run *run, __u32 ifindex, __u64 for_ns)
{
	if (!set_add(&run->waiting, ifindex, mono_ns() + for_ns))
		run->links_all = true;
}

/* ---- following ---- */

struct round {
	struct diag diag;
	unsigned int changes;
	__u64 window_ns, opened_ns, begin_cpu;
	bool all; /* the look at everything that comes round is no change's */
};

static int begin(struct run *run, struct round *f)
{
	int err;

	*f = (struct round){.begin_cpu = now_ns(CLOCK_THREAD_CPUTIME_ID)};
	run->unfollowed_ns = run->unfollowed_ns ?: mono_ns();
	err = run_open(run, true, &f->diag);
	f->opened_ns = mono_ns();
	return err;
}

static void end(struct run *run, struct round *f, int err)
{
	kernel_suspend(&run->kernel);
	if (!err || !run->said_links)
		run_say(LOG_ERR, err, &f->diag,
			err ? "interfaces are not followed; trying again" : NULL);
	if (!err && run->said_links)
		log_line(LOG_NOTICE, "interfaces are followed again");
	run->said_links = err != 0;
	if (err) {
		run->links_all = true;
		run->links_ns = mono_ns() + NS;
	}
	/* New interfaces have waited for the lock as well, and since an attempt that failed. */
	if (f->window_ns)
		f->window_ns += f->opened_ns - run->unfollowed_ns;
	if (!err)
		run->unfollowed_ns = 0;
	if (f->window_ns)
		log_line(LOG_INFO,
			 "interfaces: %u changes, longest time without a hook %llu.%03llu ms",
			 f->changes, (unsigned long long)(f->window_ns / MS),
			 (unsigned long long)(f->window_ns % MS / 1000));
	diag_reset(&f->diag);
	if (!f->all)
		run->work.total_ns += now_ns(CLOCK_THREAD_CPUTIME_ID) - f->begin_cpu;
}

void run_follow_all(struct run *run)
{
	struct round f;
	int err;

	run->links_ns = 0;
	run->links_all = false;
	run->later.n = 0;
	if (!run->loaded)
		return;
	if (run->names && !run->env_known) { /* this would close all who are bound */
		run->links_all = true;
		run->links_ns = mono_ns() + NS;
		return;
	}
	err = begin(run, &f);
	f.all = true;
	if (!err)
		err = kernel_follow_links(run->kernel, run_who(run), &f.changes, &f.window_ns,
					  &f.diag);
	end(run, &f, err);
}

static void follow_set(struct run *run, const struct link_set *set)
{
	struct round f;
	int err = 0;

	if (!run->loaded || !set->n)
		return;
	if (set->n > MANY || run->links_all) {
		run_follow_all(run);
		return;
	}
	err = begin(run, &f);
	for (size_t i = 0; i < set->n && !err; i++) {
		unsigned int changes = 0;
		__u64 window_ns = 0;

		err = kernel_follow_link(run->kernel, set->link[i].ifindex, run_who(run), &changes,
					 &window_ns, &f.diag);
		if (!err)
			note_bound(run, set->link[i].ifindex);
		f.changes += changes;
		if (window_ns > f.window_ns)
			f.window_ns = window_ns;
	}
	end(run, &f, err);
}

void run_follow_due(struct run *run)
{
	struct link_set later = run->later;

	if (run->links_all) {
		run_follow_all(run);
		return;
	}
	run->later = (struct link_set){};
	follow_set(run, &later);
	free(later.link);
}

static int bind_each(struct run *run, const struct link_set *set, struct diag *diag)
{
	int err = 0;

	if (set->n > MANY)
		return kernel_bind(run->kernel, run_who(run), 0, NULL, diag);
	for (size_t i = 0; i < set->n && !err; i++) {
		err = kernel_bind(run->kernel, run_who(run), set->link[i].ifindex, NULL, diag);
		if (!err)
			note_bound(run, set->link[i].ifindex);
	}
	return err;
}

int run_bind_waiting(struct run *run, struct diag *diag)
{
	struct link_set set = unbound(run);
	int err = bind_each(run, &set, diag);

	free(set.link);
	return err;
}

void run_look_for_closed(struct run *run)
{
	struct link_set set;

	if (!run->closed)
		return;
	set = unbound(run);
	follow_set(run, &set);
	free(set.link);
	if (run->closed_delay_ns < CLOSED_MAX_NS)
		run->closed_delay_ns *= 2;
}

/* ---- messages ---- */

/* Does what the policy in force says of interfaces, or of who forwards, read otherwise now? */
static bool host_changed(const struct run *run, unsigned int found)
{
	const struct environment *env = &run->env;

	if (found & LINKS_LOST || !run->env_known)
		return found != 0;
	if (found & (LINKS_NAMES | LINKS_ADDRESSES) && run->needs_links)
		return true;
	return found & (env->forwarding4 ? LINKS_NO_ROUTES4 : LINKS_ROUTES4) ||
	       found & (env->forwarding6 ? LINKS_NO_ROUTES6 : LINKS_ROUTES6);
}

/* At the latest then; sooner stays sooner. */
static void follow_within(struct run *run, __u64 now, __u64 ns)
{
	if (!run->links_ns || run->links_ns > now + ns)
		run->links_ns = now + ns;
}

static void sort_changes(struct run *run, struct link_set *fresh, __u64 now)
{
	const struct link_change *change;
	size_t n = watch_links_changed(run->links, &change);

	set_expire(&run->waiting, now);
	for (size_t i = 0; i < n; i++) {
		__u32 ifindex = (__u32)change[i].ifindex;

		if (change[i].gone)
			set_remove(&run->waiting, ifindex);
		else if (change[i].urgent)
			run_waits(run, ifindex, WAITING_NS);
		run->links_all |= !set_add(change[i].fresh ? fresh : &run->later, ifindex, ~0ULL);
		if (!change[i].fresh)
			follow_within(run, now, change[i].urgent ? BATCH_NS : LINKS_NS);
	}
}

void run_read_links(struct run *run)
{
	unsigned int found = watch_links_read(run->links);
	struct link_set fresh = {};
	__u64 now = mono_ns();

	sort_changes(run, &fresh, now);
	/* Who switches forwarding off for all interfaces does so for loopback, which antispoof needs. */
	run->links_all |= (found & (LINKS_LOST | LINKS_SETTING)) != 0;
	if (host_changed(run, found))
		run->environment_ns = run->environment_ns ?: now + LINKS_NS;
	if (found & (LINKS_NAMES | LINKS_LOST) && run->waits_link)
		run->reload_ns = run->reload_ns ?: now + LINKS_NS;
	for (size_t i = 0; found & LINKS_ELSEWHERE && i < run->waiting.n; i++) {
		set_add(&run->later, run->waiting.link[i].ifindex, ~0ULL);
		follow_within(run, now, BATCH_NS);
	}
	if (fresh.n || found & (LINKS_ELSEWHERE | LINKS_LOST)) {
		run->closed_delay_ns = CLOSED_NS;
		run->closed_ns = now + CLOSED_NS;
	}
	/* A workload's first packets wait for nobody. */
	if (run->ready && run->links_all)
		run_follow_all(run);
	else if (run->ready)
		follow_set(run, &fresh);
	free(fresh.link);
}
