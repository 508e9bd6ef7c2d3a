/* SPDX-License-Identifier: GPL-2.0-only */
/* For the tests of this layer: what stands in for the host's own resolver and cgroups. */
#ifndef WEIR_NAMES_INTERNAL_H
#define WEIR_NAMES_INTERNAL_H

#include "names/names.h"

/** names_use() - after names_open(), before names_want(): DNS servers as in dns_servers(), a cgroup2 root; NULL: as is. */
int names_use(struct followed *names, const char *servers, const char *cgroup_root);

struct engine_pace;
/** names_pace() - of the engine, to be changed before names_want(). */
struct engine_pace *names_pace(struct followed *names);

/** names_asked() - questions to the engine so far. */
__u64 names_asked(const struct followed *names);

#endif
