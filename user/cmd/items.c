// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/items.h"

static int each_of(const struct items *items, int (*each)(void *arg, struct item *item), void *arg)
{
	int err = 0;

	for (size_t i = 0; i < items->n && !err; i++)
		err = each(arg, &items->item[i]);
	return err;
}

int policy_each_item(const struct policy *policy, int (*each)(void *arg, struct item *item),
		     void *arg)
{
	int err = each_of(&policy->block, each, arg);

	err = err ? err : each_of(&policy->never_block, each, arg);
	for (size_t i = 0; i < policy->nr_segments && !err; i++) {
		err = each_of(&policy->segment[i].members, each, arg);
		err = err ? err : each_of(&policy->segment[i].except, each, arg);
	}
	for (size_t i = 0; i < policy->nr_rules && !err; i++) {
		err = each_of(&policy->rule[i].from, each, arg);
		err = err ? err : each_of(&policy->rule[i].to, each, arg);
	}
	for (size_t i = 0; i < policy->nr_limits && !err; i++) {
		err = each_of(&policy->limit[i].from, each, arg);
		err = err ? err : each_of(&policy->limit[i].to, each, arg);
	}
	for (size_t i = 0; i < policy->nr_failsafe && !err; i++)
		err = each_of(&policy->failsafe[i].from, each, arg);
	return err;
}
