// SPDX-License-Identifier: GPL-2.0-only
/* Walks over everything that stands for addresses. */
#include "policy/model.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

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
	for (size_t i = 0; i < policy->nr_protects && !err; i++)
		err = each_of(&policy->protect[i].to, each, arg);
	return err;
}

bool item_followed(const struct item *item)
{
	switch (item->kind) {
	case ITEM_CONTAINER:
	case ITEM_NETWORK:
	case ITEM_COMPOSE:
	case ITEM_NAME:
	case ITEM_UNIT:
		return true;
	default:
		return false;
	}
}

const char *item_key(enum item_kind kind)
{
	switch (kind) {
	case ITEM_INTERFACE:
		return "interface";
	case ITEM_FILE:
		return "file";
	case ITEM_CONTAINER:
		return "container";
	case ITEM_NETWORK:
		return "network";
	case ITEM_COMPOSE:
		return "compose";
	case ITEM_NAME:
		return "name";
	case ITEM_UNIT:
		return "unit";
	default:
		return NULL;
	}
}

struct followed {
	const struct item **item;
	size_t n, capacity;
};

static int add_followed(void *arg, struct item *item)
{
	struct followed *list = arg;

	if (!item_followed(item))
		return 0;
	if (mem_grow(&list->item, list->n, &list->capacity, sizeof(*list->item)))
		return -ENOMEM;
	list->item[list->n++] = item;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const struct item *x = *(const struct item *const *)a, *y = *(const struct item *const *)b;

	return x->kind != y->kind ? (int)x->kind - (int)y->kind : strcmp(x->name, y->name);
}

int policy_each_followed(const struct policy *policy,
			 int (*each)(void *arg, const struct item *item), void *arg)
{
	struct followed list = {};
	int err = policy_each_item(policy, add_followed, &list);

	for (size_t i = 0; i < policy->nr_tests && !err; i++) {
		err = add_followed(&list, &policy->test[i].from);
		err = err ? err : add_followed(&list, &policy->test[i].to);
	}
	if (!err && list.n)
		qsort(list.item, list.n, sizeof(*list.item), compare_names);
	for (size_t i = 0; i < list.n && !err; i++)
		if (!i || compare_names(&list.item[i - 1], &list.item[i]))
			err = each(arg, list.item[i]);
	free(list.item);
	return err;
}
