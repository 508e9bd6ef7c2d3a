// SPDX-License-Identifier: GPL-2.0-only
/* kernel_bind(): bindings alone, for workloads whose hooks are in place. */
#include "kernel/internal.h"

#include <errno.h>
#include <string.h>

struct rebinding {
	struct kernel *kernel;
	const struct environment *env;
	struct change change;
	struct diag *diag;
};

/* What weir_iface says is a workload. */
static bool workload_of(const struct links *links, const struct weir_iface *iface, __u32 ifindex,
			struct wanted *ret)
{
	const struct link *link = links_find(links, ifindex);

	if (!link || !(iface->flags & WEIR_IF_WORKLOAD))
		return false;
	*ret = (struct wanted){.link = link, .workload = true};
	if (iface->flags & WEIR_IF_PORT)
		ret->bridge = links_find(links, iface->master);
	return true;
}

/* All at once: one look at the host's addresses, as a whole follow without its hooks. */
static int rebind_all(struct rebinding *r)
{
	struct links links = {};
	struct wants wants = {};
	struct local_set now = {}, want = {};
	struct bringing b = {.links = &links, .wants = &wants, .env = r->env};
	int err = links_read(&links);

	for (size_t i = 0; i < links.n && !err; i++) {
		__u32 ifindex = links.link[i].ifindex;
		struct weir_iface iface;
		struct wanted wanted;

		if (!iface_read(r->kernel, ifindex, &iface) ||
		    !workload_of(&links, &iface, ifindex, &wanted))
			continue;
		if (mem_grow(&wants.wanted, wants.n, &wants.capacity, sizeof(wanted)))
			err = -ENOMEM;
		else
			wants.wanted[wants.n++] = wanted;
	}
	if (!err)
		err = local_read(r->kernel, &now);
	if (!err)
		err = local_build(r->kernel, &b, &now, &want);
	if (!err)
		err = local_sync(r->kernel, &now, &want, 0, &r->change, r->diag);
	for (size_t i = 0; i < wants.n && !err; i++)
		err = iface_put_wanted(r->kernel, &wants.wanted[i],
				       !local_bound(&want, wants.wanted[i].link->ifindex), NULL, 0,
				       &r->change);
	local_free(&now);
	local_free(&want);
	wants_free(&wants);
	links_free(&links);
	return err;
}

static int rebind_one(struct rebinding *r, __u32 ifindex)
{
	struct links links = {};
	struct link link[2];
	struct weir_iface iface;
	struct wanted wanted;
	bool bound;
	int err;

	if (!iface_read(r->kernel, ifindex, &iface) || !(iface.flags & WEIR_IF_WORKLOAD))
		return 0;
	links.link = link;
	err = link_read(ifindex, &link[links.n++]);
	if (!err && iface.flags & WEIR_IF_PORT)
		err = link_read(iface.master, &link[links.n++]);
	/* It is going: kernel_follow_link() will be told. */
	if (err == -ENODEV)
		return 0;
	if (err || !workload_of(&links, &iface, ifindex, &wanted))
		return err;
	err = bind_one(r->kernel, &wanted, r->env, &r->change, &bound, r->diag);
	return err ? err : iface_put_wanted(r->kernel, &wanted, !bound, NULL, 0, &r->change);
}

int kernel_bind(struct kernel *kernel, const struct environment *env, __u32 ifindex,
		unsigned int *ret_changes, struct diag *diag)
{
	struct rebinding r = {.kernel = kernel, .env = env, .diag = diag};
	int err;

	if (ret_changes)
		*ret_changes = 0;
	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	err = ifindex ? rebind_one(&r, ifindex) : rebind_all(&r);
	if (ret_changes)
		*ret_changes = r.change.count;
	change_keep(&r.change);
	return err ? diag_fail(diag, err, NULL, "cannot bind workloads: %s", strerror(-err)) : 0;
}
