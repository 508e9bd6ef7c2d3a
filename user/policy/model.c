// SPDX-License-Identifier: GPL-2.0-only
#include "policy/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/reader.h"

static void item_free(struct item *item)
{
	free(item->name);
	free(item->list);
}

void items_free(struct items *items)
{
	for (size_t i = 0; i < items->n; i++)
		item_free(&items->item[i]);
	free(items->item);
	*items = (struct items){};
}

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->name[i]);
	free(names->name);
	free(names->at);
}

static void rules_free(struct policy *policy)
{
	for (size_t i = 0; i < policy->nr_rules; i++) {
		struct rule *rule = &policy->rule[i];

		free(rule->name);
		items_free(&rule->from);
		items_free(&rule->to);
		free(rule->port.service);
		free(rule->published.service);
		names_free(&rule->on);
	}
	free(policy->rule);
}

static void limits_free(struct policy *policy)
{
	for (size_t i = 0; i < policy->nr_limits; i++) {
		struct limit_rule *rule = &policy->limit[i];

		free(rule->name);
		items_free(&rule->from);
		items_free(&rule->to);
		free(rule->port.service);
		names_free(&rule->on);
	}
	free(policy->limit);
}

static void segments_free(struct policy *policy)
{
	for (size_t i = 0; i < policy->nr_segments; i++) {
		free(policy->segment[i].name);
		items_free(&policy->segment[i].members);
		items_free(&policy->segment[i].except);
	}
	free(policy->segment);
	free(policy->by_name);
	for (size_t i = 0; i < policy->nr_segment_defaults; i++)
		free(policy->segment_defaults[i].segment);
	free(policy->segment_defaults);
}

static void interfaces_free(struct interface_rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(rules[i].pattern);
	free(rules);
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	for (size_t i = 0; i < policy->nr_files; i++)
		free(policy->file[i]);
	free(policy->file);
	interfaces_free(policy->interface, policy->nr_interfaces);
	interfaces_free(policy->workload, policy->nr_workloads);
	for (size_t i = 0; i < policy->nr_failsafe; i++) {
		free(policy->failsafe[i].port.service);
		items_free(&policy->failsafe[i].from);
	}
	free(policy->failsafe);
	segments_free(policy);
	rules_free(policy);
	limits_free(policy);
	items_free(&policy->block);
	items_free(&policy->never_block);
	for (size_t i = 0; i < policy->nr_services; i++)
		free(policy->service[i].endpoint);
	free(policy->service);
	for (size_t i = 0; i < policy->nr_protects; i++) {
		items_free(&policy->protect[i].to);
		free(policy->protect[i].port.service);
	}
	free(policy->protect);
	free(policy->vlan);
	free(policy->audit.file);
	names_free(&policy->audit.pass);
	for (size_t i = 0; i < policy->nr_tests; i++) {
		item_free(&policy->test[i].from);
		item_free(&policy->test[i].to);
	}
	free(policy->test);
	free(policy);
}

static int compare_name(const void *name, const void *segment)
{
	return strcmp(name, (*(struct segment *const *)segment)->name);
}

const struct segment *policy_segment(const struct policy *policy, const char *name)
{
	struct segment **found;

	if (policy->by_name) {
		found = bsearch(name, policy->by_name, policy->nr_segments,
				sizeof(*policy->by_name), compare_name);
		return found ? *found : NULL;
	}
	for (size_t i = 0; i < policy->nr_segments; i++)
		if (!strcmp(policy->segment[i].name, name))
			return &policy->segment[i];
	return NULL;
}

int fill_items(struct items *items, enum item_kind kind, const struct position *at)
{
	struct item *item = mem_append(&items->item, &items->n, sizeof(*item));

	if (!item)
		return -ENOMEM;
	item->kind = kind;
	item->at = *at;
	return 0;
}

int fill_services(struct services *services, const struct position *at)
{
	struct service *service = mem_append(&services->service, &services->n, sizeof(*service));

	if (!service)
		return -ENOMEM;
	*service =
	    (struct service){.proto = PORT_ANY, .first = PORT_ANY, .last = PORT_ANY, .at = *at};
	return 0;
}
