/* SPDX-License-Identifier: GPL-2.0-only */
/* All lists of items in a policy: what a policy depends on besides its own text. */
#ifndef WEIR_CMD_ITEMS_H
#define WEIR_CMD_ITEMS_H

#include "policy/model.h"

/**
 * policy_each_item() - call @each for every item, wherever one may stand (block, never_block, segments, rules, limits,
 * failsafe), in a fixed order; a non-zero return ends the walk and is returned.
 */
int policy_each_item(const struct policy *policy, int (*each)(void *arg, struct item *item),
		     void *arg);

#endif
