// SPDX-License-Identifier: GPL-2.0-only
/* Interfaces that something is waited for, by weir_iface and the policy in force: what a daemon asks each second. */
#include "kernel/internal.h"

#include <errno.h>

bool kernel_is_bound(const struct kernel *kernel, __u32 ifindex)
{
	struct weir_iface iface;

	return kernel->loaded && iface_read(kernel, ifindex, &iface) &&
	       iface.flags & WEIR_IF_WORKLOAD && !(iface.flags & WEIR_IF_CLOSED);
}

struct closed {
	int (*each)(void *arg, __u32 ifindex);
	void *arg;
};

static int is_closed(void *arg, const void *key, const void *value)
{
	const struct closed *closed = arg;
	const struct weir_iface *iface = value;

	if (!(iface->flags & WEIR_IF_WORKLOAD) || !(iface->flags & WEIR_IF_CLOSED))
		return 0;
	return closed->each(closed->arg, *(const __u32 *)key);
}

int kernel_each_closed(struct kernel *kernel, int (*each)(void *arg, __u32 ifindex), void *arg)
{
	struct closed closed = {each, arg};

	if (!kernel->loaded)
		return -ENOENT;
	return hash_each(kernel->maps.fd[MAP_weir_iface], sizeof(__u32), sizeof(struct weir_iface),
			 is_closed, &closed);
}

int kernel_each_missing(struct kernel *kernel, int (*each)(void *arg, const char *name), void *arg)
{
	__u64 word = kernel->loaded ? word_peek(kernel) : 0;

	return word_generation(word) ? named_missing(kernel, word_slot(word), NULL, each, arg) : 0;
}
