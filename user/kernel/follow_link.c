// SPDX-License-Identifier: GPL-2.0-only
/*
 * One interface that came, changed or went, with a look at nothing else: workloads come by the dozen. What is rarer, and
 * concerns others as well (a NIC, a bridge that is no longer one of workloads alone), is for follow.c.
 */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

#define FOLLOW_ALL 1 /* more than this interface has to be looked at */

struct following {
	struct kernel *kernel;
	const struct environment *env;
	struct namings namings;
	struct change change;
	__u64 began_ns, *ret_window_ns;
	struct diag *diag;
};

static int failed(const struct following *f, int err, const char *what)
{
	return diag_fail(f->diag, err, NULL, "%s: %s", what, strerror(-err));
}

/* ---- hooks ---- */

/* Ours is there, but its pin bears another name. */
static bool hooked_elsewhere(const struct following *f, const struct wanted *wanted,
			     const struct pinned_links *pins)
{
	for (int hook = HOOK_IN; hook <= HOOK_OUT; hook++) {
		int prog = prog_for(wanted, hook);
		__u32 id = prog_id_of(f->kernel->programs.fd[prog]);

		if (!pinned_link_find(pins, wanted->link->ifindex, hook) &&
		    tcx_has(wanted->link->ifindex, hook, id))
			return true;
	}
	return false;
}

static int hook(struct following *f, const struct wanted *wanted)
{
	unsigned int before = f->change.count;
	struct pinned_links pins = {};
	int err = pinned_links_of(f->kernel, wanted->link->name, &pins);

	if (err)
		return failed(f, err, "cannot read the pinned links");
	if (hooked_elsewhere(f, wanted, &pins))
		err = FOLLOW_ALL;
	else
		err = attach_interface(f->kernel, &f->kernel->programs, &pins, wanted, &f->change,
				       f->diag);
	pinned_links_free(&pins);
	if (!err)
		err = iface_own_qdisc(f->kernel, wanted->link->ifindex, &f->change);
	if (!err && f->change.count != before && f->ret_window_ns)
		*f->ret_window_ns = mono_ns(NULL) - f->began_ns;
	return err;
}

/* ---- bridges ---- */

struct macs {
	const struct following *f;
	const struct link *bridge;
};

static int port_mac(void *arg, const void *key, const void *value)
{
	const struct macs *m = arg;
	struct weir_iface iface = *(const struct weir_iface *)value;

	if (!(iface.flags & WEIR_IF_PORT) || iface.master != m->bridge->ifindex)
		return 0;
	memcpy(iface.mac, m->bridge->mac, sizeof(iface.mac));
	return bpf_map_update_elem(m->f->kernel->maps.fd[MAP_weir_iface], key, &iface, BPF_EXIST) <
			   0 &&
		       errno != ENOENT
		   ? -errno
		   : 0;
}

/* A bridge takes the address of a port, where nobody gave it one. */
static int ports_follow_mac(const struct following *f, const struct link *bridge)
{
	struct macs macs = {f, bridge};

	return hash_each(f->kernel->maps.fd[MAP_weir_iface], sizeof(__u32),
			 sizeof(struct weir_iface), port_mac, &macs);
}

static int ports_are_workloads(const struct following *f, const struct link *bridge, bool *ret)
{
	struct links ports = {};
	int err = links_read_ports(bridge->ifindex, &ports);

	*ret = !err;
	for (size_t i = 0; i < ports.n && *ret; i++) {
		struct wanted wanted;

		*ret = wants_match(f->namings.naming, f->namings.n, &ports.link[i], &wanted) &&
		       wanted.workload;
	}
	links_free(&ports);
	return err;
}

static int guard(struct following *f, const struct link *bridge)
{
	struct wanted wanted = {.link = bridge, .guard = true, .quick = true};
	int err = iface_put_wanted(f->kernel, &wanted, false, f->namings.naming, f->namings.n,
				   &f->change);

	return err ? failed(f, err, "cannot write weir_iface") : hook(f, &wanted);
}

static int follow_bridge(struct following *f, const struct link *bridge)
{
	struct weir_iface iface;
	bool known = iface_read(f->kernel, bridge->ifindex, &iface), all = false;
	int err;

	if (!guard_possible(f->namings.naming, f->namings.n, bridge))
		return FOLLOW_ALL;
	if (iface.flags & WEIR_IF_GUARD) {
		/* Who joins it speaks for himself. */
		if (memcmp(iface.mac, bridge->mac, sizeof(iface.mac)) == 0)
			return guard(f, bridge);
		err = guard(f, bridge);
		return err ? err : ports_follow_mac(f, bridge);
	}
	err = ports_are_workloads(f, bridge, &all);
	if (err)
		return failed(f, err, "cannot read the ports of a bridge");
	if (all)
		return known ? FOLLOW_ALL : guard(f, bridge);
	if (!known)
		return FOLLOW_ALL;
	err = iface_put(f->kernel, bridge, NULL, iface.flags, NULL, 0, &f->change);
	return err ? failed(f, err, "cannot write weir_iface") : 0;
}

/* The bridge that @wanted is a port of: known, or as new as itself. */
static int find_bridge(struct following *f, struct wanted *wanted, struct link *bridge)
{
	__u32 master = wanted->link->master;
	struct weir_iface iface;
	int err;

	if (!master)
		return 0;
	err = link_read(master, bridge);
	if (err == -ENODEV) /* and its port is about to be none */
		return 0;
	if (err)
		return failed(f, err, "cannot read a bridge");
	if (!bridge->bridge)
		return 0;
	if (!iface_read(f->kernel, master, &iface) ||
	    (iface.flags & WEIR_IF_GUARD && memcmp(iface.mac, bridge->mac, sizeof(iface.mac)))) {
		err = follow_bridge(f, bridge);
		iface_read(f->kernel, master, &iface);
	}
	if (!err && iface.flags & WEIR_IF_GUARD)
		wanted->bridge = bridge;
	return err;
}

/* ---- workloads ---- */

static int bring_binding(struct following *f, const struct wanted *wanted)
{
	bool bound = false;
	int err = bind_one(f->kernel, wanted, f->env, &f->change, &bound, f->diag);

	if (err)
		return err;
	err = iface_put_wanted(f->kernel, wanted, !bound, f->namings.naming, f->namings.n,
			       &f->change);
	return err ? failed(f, err, "cannot write weir_iface") : 0;
}

static int follow_workload(struct following *f, struct wanted *wanted)
{
	struct zones_found found[WEIR_NR_SLOTS] = {};
	struct weir_iface iface;
	struct link bridge;
	int err = find_bridge(f, wanted, &bridge);

	for (size_t i = 0; i < f->namings.n && !err; i++) {
		struct naming *naming = &f->namings.naming[i];

		err = zone_find_workload(f->kernel, naming->slot, wanted->link, &found[i]);
		naming->env = &found[i].env;
		naming->zone = found[i].zone;
	}
	if (!err) {
		bool closed = !iface_read(f->kernel, wanted->link->ifindex, &iface) ||
			      !(iface.flags & WEIR_IF_WORKLOAD) || iface.flags & WEIR_IF_CLOSED;

		err = iface_put_wanted(f->kernel, wanted, closed, f->namings.naming, f->namings.n,
				       &f->change);
	}
	if (!err)
		err = hook(f, wanted);
	if (!err)
		err = bring_binding(f, wanted);
	for (size_t i = 0; i < f->namings.n; i++) {
		zones_found_clear(&found[i]);
		f->namings.naming[i].zone = NULL;
	}
	return err;
}

/* ---- what is gone ---- */

static int gone(struct following *f, __u32 ifindex)
{
	struct weir_iface iface;
	int err;

	if (!iface_read(f->kernel, ifindex, &iface))
		return 0;
	if (iface.flags & WEIR_IF_NIC || (iface.master && !(iface.flags & WEIR_IF_WORKLOAD)))
		return FOLLOW_ALL;
	err = unbind(f->kernel, ifindex, f->env, &f->change, f->diag);
	if (err)
		return err;
	bpf_map_delete_elem(f->kernel->maps.fd[MAP_weir_iface], &ifindex);
	f->change.count++;
	/* Filters that no link has replaced yet (settle.c) have no pins. */
	err = iface.flags & (WEIR_IF_WORKLOAD | WEIR_IF_GUARD) && !(iface.flags & IFACE_CLSACT)
		  ? pins_sweep(f->kernel)
		  : 0;
	return err ? failed(f, err, "cannot remove pins") : 0;
}

static int unwatched(struct following *f, const struct link *link)
{
	struct weir_iface iface, master;
	bool known = iface_read(f->kernel, link->ifindex, &iface);
	int err;

	if (iface.flags || (known && iface.master != link->master))
		return FOLLOW_ALL;
	if (link->master && iface_read(f->kernel, link->master, &master) &&
	    master.flags & (WEIR_IF_BRIDGE | WEIR_IF_GUARD))
		return FOLLOW_ALL;
	err = iface_put(f->kernel, link, NULL, 0, NULL, 0, &f->change);
	return err ? failed(f, err, "cannot write weir_iface") : 0;
}

static int follow_one(struct following *f, __u32 ifindex)
{
	struct wanted wanted;
	struct link link;
	int err = link_read(ifindex, &link);

	if (err == -ENODEV)
		return gone(f, ifindex);
	if (err)
		return failed(f, err, "cannot read the interface");
	if (!wants_match(f->namings.naming, f->namings.n, &link, &wanted))
		return link.bridge ? follow_bridge(f, &link) : unwatched(f, &link);
	if (!wanted.workload)
		return FOLLOW_ALL;
	wanted.quick = true;
	return follow_workload(f, &wanted);
}

int kernel_follow_link(struct kernel *kernel, __u32 ifindex, const struct environment *env,
		       unsigned int *ret_changes, __u64 *ret_window_ns, struct diag *diag)
{
	struct following f = {.kernel = kernel,
			      .env = env,
			      .began_ns = mono_ns(NULL),
			      .ret_window_ns = ret_window_ns,
			      .diag = diag};
	struct diag scratch = {};
	char name[IF_NAMESIZE];
	bool trial;
	int err = follow_begin(kernel, ret_changes, ret_window_ns, &trial, diag);

	if (err)
		return err;
	f.diag = &scratch;
	err = namings_read(kernel, trial, &f.namings, &scratch);
	if (!err)
		err = follow_one(&f, ifindex);
	/* It went while it was looked at: what was done for it is undone. */
	if (err < 0 && !if_indextoname(ifindex, name))
		err = gone(&f, ifindex);
	if (err < 0)
		diag_fail(diag, err, NULL, "%s", scratch.error);
	if (ret_changes)
		*ret_changes = f.change.count;
	change_keep(&f.change);
	diag_reset(&scratch);
	return err == FOLLOW_ALL
		   ? kernel_follow_links(kernel, env, ret_changes, ret_window_ns, diag)
		   : err;
}
