// SPDX-License-Identifier: GPL-2.0-only
/* Who sits behind a workload's interface, for those who ask why it is closed. */
#include "kernel/internal.h"

#include <errno.h>
#include <string.h>

int kernel_behind(struct kernel *kernel, __u32 ifindex, struct prefix **ret, size_t *ret_n,
		  struct diag *diag)
{
	struct link_addresses addresses = {};
	struct prefix *list;
	struct link link;
	size_t n = 0;
	int err = link_read(ifindex, &link);

	if (!err)
		err = link.nsid < 0 || !link.peer
			  ? -ENODEV
			  : addresses_read(link.nsid, link.peer, &addresses);
	if (err)
		return diag_fail(diag, err, NULL, "interface %u: nothing is known behind it: %s",
				 ifindex, strerror(-err));
	list = calloc(addresses.n + 1, sizeof(*list));
	for (size_t i = 0; list && i < addresses.n; i++) {
		const struct link_address *address = &addresses.address[i];

		if (address->link_local)
			continue;
		list[n].address = address->address;
		list[n].v6 = address->v6;
		list[n++].length = address->v6 ? 128 : 32;
	}
	addresses_free(&addresses);
	if (!list)
		return diag_fail(diag, -ENOMEM, NULL, "out of memory");
	*ret = list;
	*ret_n = n;
	return 0;
}
