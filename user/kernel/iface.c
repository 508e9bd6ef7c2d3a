// SPDX-License-Identifier: GPL-2.0-only
/* weir_iface: every interface of the namespace, and what it is to the policy. */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

static void zones_into(const struct naming *naming, size_t n, __u32 ifindex, struct weir_iface *ret)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; naming[i].zone && j < naming[i].env->nr_interfaces; j++)
			if (naming[i].env->interface[j].ifindex == ifindex)
				ret->zone[naming[i].slot] = naming[i].zone[j];
}

static void antispoof_into(const struct naming *naming, size_t n, const struct link *link,
			   struct weir_iface *ret)
{
	for (size_t i = 0; i < n; i++)
		ret->antispoof[naming[i].slot] = naming_antispoof(&naming[i], link);
}

bool iface_read(const struct kernel *kernel, __u32 ifindex, struct weir_iface *ret)
{
	memset(ret, 0, sizeof(*ret));
	return bpf_map_lookup_elem(kernel->maps.fd[MAP_weir_iface], &ifindex, ret) == 0;
}

static int write_entry(struct kernel *kernel, __u32 ifindex, bool existed,
		       const struct weir_iface *was, const struct weir_iface *now,
		       struct change *change)
{
	struct undo *undo;

	if (existed && memcmp(now, was, sizeof(*now)) == 0)
		return 0;
	undo = change_note(change, UNDO_IFACE);
	if (!undo)
		return -ENOMEM;
	undo->ifindex = ifindex;
	undo->existed = existed;
	undo->iface = *was;
	return bpf_map_update_elem(kernel->maps.fd[MAP_weir_iface], &ifindex, now, BPF_ANY) < 0
		   ? -errno
		   : 0;
}

int iface_put(struct kernel *kernel, const struct link *link, const struct link *bridge,
	      __u32 flags, const struct naming *naming, size_t n, struct change *change)
{
	struct weir_iface was, now;
	bool existed = iface_read(kernel, link->ifindex, &was);

	now = was;
	now.flags = flags | (was.flags & (IFACE_CLSACT | WEIR_IF_NO_METADATA));
	now.nsid = link->nsid;
	now.master = link->master;
	now.lower = link->lower;
	now.mtu = link->mtu;
	memcpy(now.mac, bridge ? bridge->mac : link->mac, sizeof(now.mac));
	zones_into(naming, n, link->ifindex, &now);
	antispoof_into(naming, n, link, &now);
	return write_entry(kernel, link->ifindex, existed, &was, &now, change);
}

int iface_put_wanted(struct kernel *kernel, const struct wanted *wanted, bool closed,
		     const struct naming *naming, size_t n, struct change *change)
{
	__u32 flags = wanted->workload ? WEIR_IF_WORKLOAD
		      : wanted->guard  ? WEIR_IF_BRIDGE | WEIR_IF_GUARD
				       : WEIR_IF_NIC;

	if (closed)
		flags |= WEIR_IF_CLOSED;
	if (wanted->bridge)
		flags |= WEIR_IF_PORT;
	return iface_put(kernel, wanted->link, wanted->bridge, flags, naming, n, change);
}

static bool made_qdisc(const struct change *change, __u32 ifindex)
{
	for (size_t i = 0; i < change->n; i++)
		if (change->undo[i].kind == UNDO_FILTER_MADE &&
		    change->undo[i].ifindex == ifindex && change->undo[i].made_qdisc)
			return true;
	return false;
}

int iface_own_qdisc(struct kernel *kernel, __u32 ifindex, struct change *change)
{
	struct weir_iface was, now;
	bool existed = iface_read(kernel, ifindex, &was);

	if (!existed || !made_qdisc(change, ifindex))
		return 0;
	now = was;
	now.flags |= IFACE_CLSACT;
	return write_entry(kernel, ifindex, existed, &was, &now, change);
}

/* What is not wanted, and there: named by nobody, and known all the same. */
static int put_unwatched(struct kernel *kernel, const struct bringing *b, const struct link *link)
{
	struct weir_iface was;
	__u32 flags = bridge_watched(b->links, b->wants, link) ? WEIR_IF_BRIDGE : 0;

	/* Its hooks are still in place: dropping comes later. */
	if (iface_read(kernel, link->ifindex, &was) &&
	    was.flags & (WEIR_IF_NIC | WEIR_IF_WORKLOAD | WEIR_IF_GUARD))
		return 0;
	return iface_put(kernel, link, NULL, flags, b->naming, b->nr_naming, b->change);
}

int ifaces_put(struct kernel *kernel, const struct bringing *b, const struct local_set *local)
{
	unsigned int closed = 0;
	int err = 0;

	for (size_t i = 0; i < b->wants->n && !err; i++) {
		const struct wanted *wanted = &b->wants->wanted[i];
		bool bound = !wanted->workload || local_bound(local, wanted->link->ifindex);

		closed += !bound;
		err = iface_put_wanted(kernel, wanted, !bound, b->naming, b->nr_naming, b->change);
	}
	for (size_t i = 0; i < b->links->n && !err; i++)
		if (!wants_find(b->wants, b->links->link[i].ifindex))
			err = put_unwatched(kernel, b, &b->links->link[i]);
	if (b->ret_closed)
		*b->ret_closed = closed;
	return err ? diag_fail(b->diag, err, NULL, "cannot write weir_iface: %s", strerror(-err))
		   : 0;
}
