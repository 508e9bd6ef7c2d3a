// SPDX-License-Identifier: GPL-2.0-only
/* Bridges of workloads: which ones have a guard, and which ones count as watched. */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if_arp.h>
#include <string.h>

/* A bridge counts as watched when all its ports are: what comes out of it was judged where it went in. */
bool bridge_watched(const struct links *links, const struct wants *wants, const struct link *bridge)
{
	bool any = false;

	if (!bridge->bridge)
		return false;
	for (size_t i = 0; i < links->n; i++) {
		if (links->link[i].master != bridge->ifindex)
			continue;
		if (!wants_find(wants, links->link[i].ifindex))
			return false;
		any = true;
	}
	return any;
}

bool guard_possible(const struct naming *naming, size_t n, const struct link *bridge)
{
	struct wanted wanted;
	bool workloads = false;

	for (size_t i = 0; i < n; i++)
		workloads |= naming[i].policy->nr_workloads != 0;
	return workloads && bridge->bridge && bridge->type == ARPHRD_ETHER &&
	       !wants_match(naming, n, bridge, &wanted);
}

static bool ports_are_workloads(const struct links *links, const struct wants *wants,
				__u32 bridge_ifindex)
{
	for (size_t i = 0; i < links->n; i++) {
		const struct wanted *wanted;

		if (links->link[i].master != bridge_ifindex)
			continue;
		wanted = wants_find(wants, links->link[i].ifindex);
		if (!wanted || !wanted->workload)
			return false;
	}
	return true;
}

static void tell_ports(const struct links *links, struct wants *wants)
{
	for (size_t i = 0; i < wants->n; i++) {
		struct wanted *wanted = &wants->wanted[i];
		const struct wanted *master;

		wanted->bridge = NULL;
		if (!wanted->workload || !wanted->link->master)
			continue;
		master = wants_find(wants, wanted->link->master);
		if (master && master->guard)
			wanted->bridge = master->link;
	}
}

void guards_check(const struct links *links, struct wants *wants)
{
	size_t n = 0;

	for (size_t i = 0; i < wants->n; i++)
		if (!wants->wanted[i].guard ||
		    ports_are_workloads(links, wants, wants->wanted[i].link->ifindex))
			wants->wanted[n++] = wants->wanted[i];
	wants->n = n;
	tell_ports(links, wants);
}

int guards_add(const struct links *links, const struct naming *naming, size_t n,
	       struct wants *wants)
{
	for (size_t i = 0; i < links->n; i++) {
		const struct link *link = &links->link[i];

		if (!guard_possible(naming, n, link) ||
		    !ports_are_workloads(links, wants, link->ifindex))
			continue;
		if (mem_grow(&wants->wanted, wants->n, &wants->capacity, sizeof(*wants->wanted)))
			return -ENOMEM;
		wants->wanted[wants->n++] = (struct wanted){.link = link, .guard = true};
	}
	tell_ports(links, wants);
	return 0;
}

int guard_drop(struct kernel *kernel, const struct link *link, const struct weir_iface *iface,
	       struct change *change)
{
	struct weir_iface now = *iface;
	int err = detach_named(kernel, link);

	detach_filter(kernel, link->ifindex, HOOK_IN, false);
	detach_filter(kernel, link->ifindex, HOOK_OUT, iface->flags & IFACE_CLSACT);
	now.flags &= ~(WEIR_IF_GUARD | WEIR_IF_BRIDGE | IFACE_CLSACT);
	change->count++;
	if (bpf_map_update_elem(kernel->maps.fd[MAP_weir_iface], &link->ifindex, &now, BPF_EXIST) <
	    0)
		err = err ? err : -errno;
	return err;
}
