// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zones of interfaces that came after the policy was compiled: that of an interface which the same `on:` lists name.
 * One that no compiled zone fits stays in zone 0 until the policy is compiled again with it.
 */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

static bool named_by(const struct names *on, const char *name)
{
	for (size_t i = 0; i < on->n; i++)
		if (fnmatch(on->name[i], name, 0) == 0)
			return true;
	return false;
}

static bool named_alike(const struct policy *policy, const char *a, const char *b)
{
	for (size_t i = 0; i < policy->nr_rules; i++)
		if (named_by(&policy->rule[i].on, a) != named_by(&policy->rule[i].on, b))
			return false;
	for (size_t i = 0; i < policy->nr_limits; i++)
		if (named_by(&policy->limit[i].on, a) != named_by(&policy->limit[i].on, b))
			return false;
	return true;
}

static bool known(const struct kernel *kernel, const struct link *link, struct weir_iface *ret)
{
	/* One that is only there, unwatched, was given none. */
	return iface_read(kernel, link->ifindex, ret) &&
	       ret->flags & (WEIR_IF_NIC | WEIR_IF_WORKLOAD | WEIR_IF_BRIDGE);
}

static __u16 guess(const struct kernel *kernel, unsigned int slot, const struct policy *policy,
		   const struct links *links, const struct link *link)
{
	struct weir_iface iface;

	for (size_t i = 0; i < links->n; i++)
		if (known(kernel, &links->link[i], &iface) &&
		    named_alike(policy, link->name, links->link[i].name))
			return iface.zone[slot];
	return 0;
}

static int guess_all(const struct kernel *kernel, unsigned int slot, const struct policy *policy,
		     const struct links *links, struct zones_found *ret)
{
	ret->env.interface = calloc(links->n + 1, sizeof(*ret->env.interface));
	ret->zone = calloc(links->n + 1, sizeof(*ret->zone));
	if (!ret->env.interface || !ret->zone)
		return -ENOMEM;
	for (size_t i = 0; i < links->n; i++) {
		struct weir_iface iface;

		if (known(kernel, &links->link[i], &iface))
			continue;
		ret->env.interface[ret->env.nr_interfaces].ifindex = links->link[i].ifindex;
		ret->zone[ret->env.nr_interfaces++] =
		    guess(kernel, slot, policy, links, &links->link[i]);
	}
	return 0;
}

static bool any_new(const struct kernel *kernel, const struct wants *wants)
{
	struct weir_iface iface;

	for (size_t i = 0; i < wants->n; i++)
		if (!known(kernel, wants->wanted[i].link, &iface))
			return true;
	return false;
}

int zones_find(struct kernel *kernel, unsigned int slot, const struct links *links,
	       const struct wants *wants, struct zones_found *ret)
{
	_cleanup_free_ char *text = NULL;
	struct weir_config config;
	struct policy *policy;
	int err = slot_config(kernel, slot, &config);

	memset(ret, 0, sizeof(*ret));
	if (err || config.nr_zones <= 1 || !any_new(kernel, wants))
		return err;
	err = kernel_policy_text(kernel, slot, &text, NULL);
	if (err)
		return err;
	/* A list that it names may be gone by now; the interface is watched all the same. */
	if (policy_parse_text(text, strlen(text), "the policy in force", &policy, NULL))
		return 0;
	err = guess_all(kernel, slot, policy, links, ret);
	policy_free(policy);
	if (err)
		zones_found_clear(ret);
	return err;
}

static bool named_at_all(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->nr_rules; i++)
		if (named_by(&policy->rule[i].on, name))
			return true;
	for (size_t i = 0; i < policy->nr_limits; i++)
		if (named_by(&policy->limit[i].on, name))
			return true;
	return false;
}

static int guess_one(const struct kernel *kernel, unsigned int slot, const struct policy *policy,
		     const struct link *link, struct zones_found *ret)
{
	struct links links = {};
	int err = 0;

	ret->env.interface = calloc(1, sizeof(*ret->env.interface));
	ret->zone = calloc(1, sizeof(*ret->zone));
	if (!ret->env.interface || !ret->zone)
		return -ENOMEM;
	if (named_at_all(policy, link->name))
		err = links_read(&links);
	ret->env.interface[0].ifindex = link->ifindex;
	ret->env.nr_interfaces = 1;
	ret->zone[0] = guess(kernel, slot, policy, &links, link);
	links_free(&links);
	return err;
}

int zone_find_workload(struct kernel *kernel, unsigned int slot, const struct link *link,
		       struct zones_found *ret)
{
	_cleanup_free_ char *text = NULL;
	struct weir_config config;
	struct weir_iface iface;
	struct policy *policy;
	int err = slot_config(kernel, slot, &config);

	memset(ret, 0, sizeof(*ret));
	if (err || config.nr_zones <= 1 || known(kernel, link, &iface))
		return err;
	err = kernel_policy_text(kernel, slot, &text, NULL);
	if (err)
		return err;
	if (policy_parse_outline(text, strlen(text), "the policy in force", &policy, NULL))
		return 0;
	err = guess_one(kernel, slot, policy, link, ret);
	policy_free(policy);
	if (err)
		zones_found_clear(ret);
	return err;
}

void zones_found_clear(struct zones_found *found)
{
	free(found->env.interface);
	free(found->zone);
	memset(found, 0, sizeof(*found));
}
