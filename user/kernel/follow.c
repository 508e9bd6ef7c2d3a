// SPDX-License-Identifier: GPL-2.0-only
/* Which interfaces the policy names, and bringing hooks, weir_iface and weir_local to what is there now. */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

#define SETTLE_NS 100000000ULL /* of each call, at most, for hooks that could be better */

/* ---- bringing ---- */

/* Workloads come and go: one that went since the interfaces were read keeps no other waiting for its hook. */
static int attach_wanted(struct kernel *kernel, const struct bringing *b,
			 const struct pinned_links *pins, const struct wanted *wanted)
{
	struct diag scratch = {};
	char name[IF_NAMESIZE];
	int err = attach_interface(kernel, b->programs, pins, wanted, b->change, &scratch);

	if (err && !if_indextoname(wanted->link->ifindex, name))
		err = 0;
	if (err)
		diag_fail(b->diag, err, NULL, "%s", scratch.error);
	diag_reset(&scratch);
	return err;
}

/* @unhooked (or NULL), by index in the wants: cleared where the hooks are in place. */
static int attach_all(struct kernel *kernel, const struct bringing *b, bool *unhooked)
{
	struct pinned_links pins = {};
	int err = pinned_links_read(kernel, &pins);

	if (err)
		return diag_fail(b->diag, err, NULL, "cannot read the pinned links: %s",
				 strerror(-err));
	err = pins_follow_names(kernel, &pins, b->links);
	if (err)
		diag_fail(b->diag, err, NULL, "cannot rename the pins of links: %s",
			  strerror(-err));
	for (size_t i = 0; i < b->wants->n && (!err || b->keep_going); i++) {
		unsigned int before = b->change->count;
		int failed = attach_wanted(kernel, b, &pins, &b->wants->wanted[i]);

		err = err ? err : failed;
		if (!failed && unhooked)
			unhooked[i] = false;
		if (!failed && b->change->count != before && b->ret_window_ns)
			*b->ret_window_ns = mono_ns(NULL) - b->since_ns;
	}
	pinned_links_free(&pins);
	for (size_t i = 0; i < b->wants->n && !err; i++)
		err = iface_own_qdisc(kernel, b->wants->wanted[i].link->ifindex, b->change);
	return err;
}

struct unhooked {
	const struct wants *wants;
	const bool *unhooked;
};

static bool is_unhooked(void *arg, __u32 ifindex)
{
	const struct unhooked *u = arg;
	const struct wanted *wanted = wants_find(u->wants, ifindex);

	return wanted && u->unhooked[wanted - u->wants->wanted];
}

/* Addresses and weir_iface; bindings of workloads without hooks wait for those. */
static int bring_local(struct kernel *kernel, const struct bringing *b, const struct local_set *now,
		       const struct local_set *want, const bool *unhooked)
{
	struct unhooked u = {b->wants, unhooked};
	struct local_set part = {};
	int err = local_without(want, is_unhooked, &u, &part);

	err = err ? diag_fail(b->diag, err, NULL, "out of memory")
		  : local_sync(kernel, now, &part, 0, b->change, b->diag);
	if (!err)
		err = ifaces_put(kernel, b, &part);
	local_free(&part);
	return err;
}

/* A veth that nobody knew until now has its hooks before anybody is bound to it. */
static bool *find_unhooked(const struct kernel *kernel, const struct bringing *b)
{
	bool *unhooked = calloc(b->wants->n + 1, sizeof(*unhooked));

	for (size_t i = 0; unhooked && b->hooks_first && i < b->wants->n; i++) {
		const struct wanted *wanted = &b->wants->wanted[i];
		struct weir_iface iface;

		iface_read(kernel, wanted->link->ifindex, &iface);
		unhooked[i] = wanted->workload && !(iface.flags & WEIR_IF_WORKLOAD);
	}
	return unhooked;
}

int follow_bring(struct kernel *kernel, const struct bringing *b)
{
	_cleanup_free_ bool *unhooked = find_unhooked(kernel, b);
	struct local_set now = {}, want = {};
	int err = unhooked ? local_read(kernel, &now) : -ENOMEM, failed;

	if (!err)
		err = local_build(kernel, b, &now, &want);
	if (err)
		diag_fail(b->diag, err, NULL, "cannot read the addresses of this host: %s",
			  strerror(-err));
	/* A program that runs must find its interface and the addresses behind it. */
	if (!err)
		err = bring_local(kernel, b, &now, &want, unhooked);
	if (!err) {
		err = attach_all(kernel, b, unhooked);
		if (!err || b->keep_going) {
			local_free(&now);
			failed = local_read(kernel, &now);
			if (!failed)
				failed = bring_local(kernel, b, &now, &want, unhooked);
			err = err ? err : failed;
		}
	}
	local_free(&now);
	local_free(&want);
	return err;
}

/* ---- dropping ---- */

struct dropping {
	struct kernel *kernel;
	const struct bringing *b;
};

/* Not wanted any more, and still there: an entry it keeps. */
static int unwatch(struct kernel *kernel, const struct bringing *b, const struct link *link,
		   const struct weir_iface *iface)
{
	__u32 flags = bridge_watched(b->links, b->wants, link) ? WEIR_IF_BRIDGE : 0;
	struct weir_iface now = *iface;

	if ((iface->flags & ~WEIR_IF_NO_METADATA) == flags)
		return 0;
	if (iface->flags & (WEIR_IF_NIC | WEIR_IF_WORKLOAD | WEIR_IF_GUARD)) {
		detach_filter(kernel, link->ifindex, HOOK_IN, false);
		detach_filter(kernel, link->ifindex, HOOK_OUT, iface->flags & IFACE_CLSACT);
	}
	now.flags = flags;
	b->change->count++;
	return bpf_map_update_elem(kernel->maps.fd[MAP_weir_iface], &link->ifindex, &now,
				   BPF_EXIST) < 0
		   ? -errno
		   : 0;
}

static int drop_iface(void *arg, const void *key, const void *value)
{
	const struct dropping *d = arg;
	__u32 ifindex = *(const __u32 *)key;
	const struct link *link = links_find(d->b->links, ifindex);

	if (wants_find(d->b->wants, ifindex))
		return 0;
	if (link)
		return unwatch(d->kernel, d->b, link, value);
	bpf_map_delete_elem(d->kernel->maps.fd[MAP_weir_iface], &ifindex);
	d->b->change->count++;
	return 0;
}

static bool pin_wanted(const struct wants *wants, const struct pinned_link *pin)
{
	const struct wanted *wanted = pin->ifindex ? wants_find(wants, pin->ifindex) : NULL;

	return wanted && prog_for(wanted, pin->hook) >= 0;
}

int follow_drop(struct kernel *kernel, const struct bringing *b)
{
	struct dropping dropping = {kernel, b};
	struct pinned_links pins = {};
	int err = pinned_links_read(kernel, &pins);

	if (err)
		return diag_fail(b->diag, err, NULL, "cannot read the pinned links: %s",
				 strerror(-err));
	for (size_t i = 0; i < pins.n; i++) {
		if (pin_wanted(b->wants, &pins.pin[i]))
			continue;
		err = detach_pin(kernel, &pins.pin[i]);
		b->change->count++;
	}
	pinned_links_free(&pins);
	if (!err)
		err = hash_each(kernel->maps.fd[MAP_weir_iface], sizeof(__u32),
				sizeof(struct weir_iface), drop_iface, &dropping);
	return err ? diag_fail(b->diag, err, NULL, "cannot detach: %s", strerror(-err)) : 0;
}

/* ---- all interfaces ---- */

/* A guard judges what its bridge has become: in front of a port that is no workload it would drop what must pass. */
static int guards_first(struct kernel *kernel, const struct bringing *b)
{
	int err = 0;

	for (size_t i = 0; i < b->links->n && !err; i++) {
		const struct link *link = &b->links->link[i];
		struct weir_iface iface;

		if (link->bridge && !wants_find(b->wants, link->ifindex) &&
		    iface_read(kernel, link->ifindex, &iface) && iface.flags & WEIR_IF_GUARD)
			err = guard_drop(kernel, link, &iface, b->change);
	}
	return err ? diag_fail(b->diag, err, NULL, "cannot detach: %s", strerror(-err)) : 0;
}

static int follow_with(struct kernel *kernel, const struct bringing *b)
{
	int err = guards_first(kernel, b);

	if (!err)
		err = follow_bring(kernel, b);

	/* What was brought stays even if something else failed: every hook more is a hook judged. */
	if (!err)
		err = follow_drop(kernel, b);
	if (!err)
		settle_filters(kernel, b->wants, SETTLE_NS);
	return err;
}

static int follow(struct kernel *kernel, struct namings *namings, const struct environment *env,
		  unsigned int *ret_changes, __u64 *ret_window_ns, struct diag *diag)
{
	struct zones_found found[WEIR_NR_SLOTS] = {};
	struct change change = {};
	struct links links = {};
	struct wants wants = {};
	struct bringing b = {.programs = &kernel->programs,
			     .links = &links,
			     .wants = &wants,
			     .naming = namings->naming,
			     .nr_naming = namings->n,
			     .env = env,
			     .change = &change,
			     .since_ns = mono_ns(NULL),
			     .keep_going = true,
			     .hooks_first = true,
			     .ret_window_ns = ret_window_ns,
			     .diag = diag};
	int err = links_read(&links);

	if (!err)
		err = wants_build(&links, namings->naming, namings->n, &wants);
	for (size_t i = 0; i < namings->n && !err; i++) {
		struct naming *naming = &namings->naming[i];

		err = zones_find(kernel, naming->slot, &links, &wants, &found[i]);
		naming->env = &found[i].env;
		naming->zone = found[i].zone;
	}
	wants_hurry(&wants, 0);
	err = err ? diag_fail(diag, err, NULL, "cannot read the interfaces: %s", strerror(-err))
		  : follow_with(kernel, &b);
	if (ret_changes)
		*ret_changes = change.count;
	for (size_t i = 0; i < namings->n; i++)
		zones_found_clear(&found[i]);
	change_keep(&change);
	wants_free(&wants);
	links_free(&links);
	return err;
}

int follow_slots(struct kernel *kernel, bool both, const struct environment *env,
		 unsigned int *ret_changes, __u64 *ret_window_ns, struct diag *diag)
{
	struct namings namings = {};
	int err = namings_read(kernel, both, &namings, diag);

	if (!err)
		err = follow(kernel, &namings, env, ret_changes, ret_window_ns, diag);
	return err;
}

int follow_begin(struct kernel *kernel, unsigned int *ret_changes, __u64 *ret_window_ns,
		 bool *ret_trial, struct diag *diag)
{
	if (ret_changes)
		*ret_changes = 0;
	if (ret_window_ns)
		*ret_window_ns = 0;
	*ret_trial = false;
	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	*ret_trial = word_settle(kernel) & WEIR_WORD_PENDING;
	return 0;
}

int kernel_follow_links(struct kernel *kernel, const struct environment *env,
			unsigned int *ret_changes, __u64 *ret_window_ns, struct diag *diag)
{
	bool trial;
	int err = follow_begin(kernel, ret_changes, ret_window_ns, &trial, diag);

	if (err)
		return err;
	/* On trial, what the former policy watches stays watched: it may be back with the next packet. */
	err = follow_slots(kernel, trial, env, ret_changes, ret_window_ns, diag);
	if (!err && env)
		err = marks_clear(kernel, env, diag);
	if (!err)
		err = sysctls_keep(kernel, diag);
	/* What the next change of names would have to wait for. */
	if (!err && kernel->meta->flags & META_GRACE && grace() == 0)
		kernel->meta->flags &= ~META_GRACE;
	return err;
}
