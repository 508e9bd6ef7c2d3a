/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cgroups of this system's units: where the service manager puts NAME.service, and everything below.
 *
 * A unit's directory counts only where its parents, up to the root of the cgroup2 mount, are slices. Anybody may have a
 * NAME.service below user@UID.service, and a container one in its own tree: these are not the unit that a policy means.
 */
#ifndef WEIR_NAMES_UNITS_H
#define WEIR_NAMES_UNITS_H

#include <stdbool.h>

#include "names/loop.h"

#define UNITS_POLL_NS (2000000000ULL) /* where directories cannot be watched */

struct units;

/** units_open() - below the cgroup2 mount. Where there is none, nothing is ever found. */
int units_open(struct loop *loop, struct units **ret);
void units_close(struct units *units);

/** units_root() - look there instead. For tests. */
int units_root(struct units *units, const char *root);

/** units_set() - follow these, copied, instead of those before, and look at once. 0 or -ENOMEM. */
int units_set(struct units *units, const char *const *name, const __u32 *number, size_t n);

/** units_view() - cgroup ids and the number of the unit that each belongs to; borrowed. */
void units_view(const struct units *units, const __u64 **ret_cgroup, const __u32 **ret_number,
		size_t *ret_n);

/** units_running() - has unit @number a cgroup? */
bool units_running(const struct units *units, __u32 number);

/** units_error() - why nothing can be found, NULL: it can. */
const char *units_error(const struct units *units);

/** units_revision() - changes when the view does. */
__u64 units_revision(const struct units *units);

#endif
