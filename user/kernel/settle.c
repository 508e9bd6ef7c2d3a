// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks that came in a hurry as clsact filters become tcx links: a few at a time, when nobody waits, since each link keeps
 * the lock of all network configuration for a grace period.
 */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

/* Returns 1: something was settled; 0: nothing to do there; -errno. */
static int settle_hook(struct kernel *kernel, const struct pinned_links *pins,
		       const struct wanted *wanted, enum hook hook, int nothing_fd)
{
	int err;

	if (pinned_link_find(pins, wanted->link->ifindex, hook) ||
	    !filter_query(kernel, wanted->link->ifindex, hook))
		return 0;
	err = attach_settle(kernel, wanted, hook, nothing_fd);
	return err ? err : 1;
}

static int settle_one(struct kernel *kernel, const struct wanted *wanted, int nothing_fd)
{
	struct pinned_links pins = {};
	struct weir_iface iface;
	__u32 ifindex = wanted->link->ifindex;
	int err = pinned_links_of(kernel, wanted->link->name, &pins), in, out = 0;

	if (err)
		return err;
	in = settle_hook(kernel, &pins, wanted, HOOK_IN, nothing_fd);
	if (in >= 0)
		out = settle_hook(kernel, &pins, wanted, HOOK_OUT, nothing_fd);
	pinned_links_free(&pins);
	if (in < 0 || out < 0)
		return in < 0 ? in : out;
	if (!(in || out))
		return 0;
	if (iface_read(kernel, ifindex, &iface) && iface.flags & IFACE_CLSACT) {
		err = detach_filter(kernel, ifindex, HOOK_OUT, true);
		iface.flags &= ~IFACE_CLSACT;
		if (bpf_map_update_elem(kernel->maps.fd[MAP_weir_iface], &ifindex, &iface,
					BPF_EXIST) < 0)
			err = err ? err : -errno;
	}
	return err ? err : 1;
}

void settle_filters(struct kernel *kernel, const struct wants *wants, __u64 budget_ns)
{
	_cleanup_close_ int nothing = -1;
	__u64 until_ns = mono_ns(NULL) + budget_ns;
	int err = 0;

	for (size_t i = 0; i < wants->n && err >= 0 && mono_ns(NULL) < until_ns; i++) {
		const struct wanted *wanted = &wants->wanted[i];
		struct weir_iface iface;

		if (!wanted->quick || !iface_read(kernel, wanted->link->ifindex, &iface) ||
		    !(iface.flags & IFACE_CLSACT))
			continue;
		if (nothing < 0)
			nothing = program_nothing();
		err = nothing < 0 ? nothing : settle_one(kernel, wanted, nothing);
		/* It went meanwhile; the next one is tried. */
		if (err == -ENODEV)
			err = 0;
	}
}
