// SPDX-License-Identifier: GPL-2.0-only
/* weir_unit: which cgroups are of which unit. */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

struct wanted_units {
	int fd;
	const __u64 *cgroup;
	size_t n;
};

static int drop_other(void *arg, const void *key, const void *value)
{
	const struct wanted_units *w = arg;

	for (size_t i = 0; i < w->n; i++)
		if (memcmp(&w->cgroup[i], key, sizeof(*w->cgroup)) == 0)
			return 0;
	return bpf_map_delete_elem(w->fd, key) < 0 && errno != ENOENT ? -errno : 0;
}

int kernel_units(struct kernel *kernel, const __u64 *cgroup, const __u32 *unit, size_t n,
		 struct diag *diag)
{
	struct wanted_units w = {.cgroup = cgroup, .n = n};
	int err = 0;

	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	w.fd = kernel->maps.fd[MAP_weir_unit];
	for (size_t i = 0; i < n && !err; i++) {
		struct weir_unit value = {.unit = unit[i]};

		if (bpf_map_update_elem(w.fd, &cgroup[i], &value, BPF_ANY) < 0)
			err = -errno;
	}
	if (!err)
		err = hash_each(w.fd, sizeof(__u64), sizeof(struct weir_unit), drop_other, &w);
	return err ? diag_fail(diag, err, NULL, "cannot write weir_unit: %s", strerror(-err)) : 0;
}
