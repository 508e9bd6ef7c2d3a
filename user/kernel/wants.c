// SPDX-License-Identifier: GPL-2.0-only
/* Which interfaces some policy names, and as what. */
#include "kernel/internal.h"

#include <errno.h>
#include <fnmatch.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>

static bool is_pattern(const char *name)
{
	return strpbrk(name, "*?[") != NULL;
}

static const struct interface_rule *rule_for(const struct interface_rule *rule, size_t n,
					     const char *name, bool pattern)
{
	for (size_t i = 0; i < n; i++)
		if (is_pattern(rule[i].pattern) == pattern &&
		    (pattern ? fnmatch(rule[i].pattern, name, 0) == 0
			     : strcmp(rule[i].pattern, name) == 0))
			return &rule[i];
	return NULL;
}

/*
 * What names @link as a NIC, or NULL; *@ret_workload: it is one of workloads. A plain name says more than a pattern, and
 * a pattern for workloads more than one for NICs, which may be "*".
 */
static const struct interface_rule *named_as(const struct policy *policy, const struct link *link,
					     bool *ret_workload)
{
	const struct interface_rule *rule =
	    rule_for(policy->interface, policy->nr_interfaces, link->name, false);

	*ret_workload = false;
	if (rule)
		return rule;
	*ret_workload = rule_for(policy->workload, policy->nr_workloads, link->name, false) ||
			rule_for(policy->workload, policy->nr_workloads, link->name, true);
	return *ret_workload ? NULL
			     : rule_for(policy->interface, policy->nr_interfaces, link->name, true);
}

__u8 naming_antispoof(const struct naming *naming, const struct link *link)
{
	bool workload;
	const struct interface_rule *rule = named_as(naming->policy, link, &workload);

	return rule ? rule->antispoof : WEIR_ANTISPOOF_OFF;
}

static bool match_policy(const struct naming *naming, const struct link *link, struct wanted *ret)
{
	const struct policy *policy = naming->policy;
	const struct interface_rule *rule;

	if (link->type == ARPHRD_LOOPBACK)
		return false;
	*ret = (struct wanted){.link = link};
	rule = named_as(policy, link, &ret->workload);
	if (ret->workload)
		return true;
	if (rule)
		ret->xdp = naming->units ? XDP_OFF : rule->xdp;
	/* What native XDP of a veth sends back is lost, unless its peer has XDP as well. */
	if (naming->protect && link->veth && ret->xdp == XDP_AUTO)
		ret->xdp = XDP_GENERIC;
	ret->units = naming->units;
	return rule != NULL;
}

bool wants_match(const struct naming *naming, size_t n, const struct link *link, struct wanted *ret)
{
	for (size_t i = 0; i < n; i++)
		if (match_policy(&naming[i], link, ret))
			return true;
	return false;
}

/* What arrives for a VLAN is judged where it arrives, at the device below: it would be judged twice. */
const struct link *wants_below(const struct links *links, const struct wants *wants,
			       const struct link *link)
{
	const struct link *lower = link;

	for (size_t i = 0; i < links->n && lower && lower->lower; i++) {
		const struct wanted *wanted;

		lower = links_find(links, lower->lower);
		wanted = lower ? wants_find(wants, lower->ifindex) : NULL;
		if (wanted && !wanted->workload && !wanted->guard)
			return lower;
	}
	return NULL;
}

static void drop_vlans(const struct links *links, struct wants *wants)
{
	size_t kept = 0;

	/* From what all of them see: a VLAN on a VLAN is below the same device. */
	for (size_t i = 0; i < wants->n; i++) {
		struct wanted *wanted = &wants->wanted[i];

		wanted->below = !wanted->workload && wants_below(links, wants, wanted->link);
	}
	for (size_t i = 0; i < wants->n; i++)
		if (!wants->wanted[i].below)
			wants->wanted[kept++] = wants->wanted[i];
	wants->n = kept;
}

int wants_missing(const struct links *links, const struct policy *policy, struct diag *diag)
{
	for (size_t i = 0; i < policy->nr_interfaces; i++) {
		const struct interface_rule *rule = &policy->interface[i];

		if (!is_pattern(rule->pattern) && !links_by_name(links, rule->pattern))
			return diag_fail(diag, -ENODEV, &rule->at, "there is no interface \"%s\"",
					 rule->pattern);
	}
	for (size_t i = 0; i < policy->nr_workloads; i++) {
		const struct interface_rule *rule = &policy->workload[i];

		if (!is_pattern(rule->pattern) && !links_by_name(links, rule->pattern))
			diag_warn(diag, &rule->at, "there is no workload interface \"%s\" yet",
				  rule->pattern);
	}
	return 0;
}

int wants_build(const struct links *links, const struct naming *naming, size_t n, struct wants *ret)
{
	struct wants wants = {};

	for (size_t i = 0; i < links->n; i++) {
		struct wanted wanted;

		if (!wants_match(naming, n, &links->link[i], &wanted))
			continue;
		if (mem_grow(&wants.wanted, wants.n, &wants.capacity, sizeof(wanted))) {
			wants_free(&wants);
			return -ENOMEM;
		}
		wants.wanted[wants.n++] = wanted;
	}
	drop_vlans(links, &wants);
	if (guards_add(links, naming, n, &wants)) {
		wants_free(&wants);
		return -ENOMEM;
	}
	*ret = wants;
	return 0;
}

struct watched {
	const struct links *links;
	const struct pinned_links *pins;
	struct wants *wants;
};

static int watched_one(void *arg, const void *key, const void *value)
{
	const struct watched *w = arg;
	const struct weir_iface *iface = value;
	const struct link *link = links_find(w->links, *(const __u32 *)key);
	struct wants *wants = w->wants;

	if (!link || !(iface->flags & (WEIR_IF_NIC | WEIR_IF_WORKLOAD | WEIR_IF_GUARD)))
		return 0;
	if (mem_grow(&wants->wanted, wants->n, &wants->capacity, sizeof(*wants->wanted)))
		return -ENOMEM;
	wants->wanted[wants->n++] = (struct wanted){
	    .link = link,
	    .workload = iface->flags & WEIR_IF_WORKLOAD,
	    .guard = iface->flags & WEIR_IF_GUARD,
	    .xdp = pinned_link_find(w->pins, link->ifindex, HOOK_XDP) ? XDP_AUTO : XDP_OFF};
	return 0;
}

int wants_watched(const struct kernel *kernel, const struct links *links, struct wants *ret)
{
	struct pinned_links pins = {};
	struct watched watched = {links, &pins, ret};
	int err = pinned_links_read(kernel, &pins);

	if (!err)
		err = hash_each(kernel->maps.fd[MAP_weir_iface], sizeof(__u32),
				sizeof(struct weir_iface), watched_one, &watched);
	pinned_links_free(&pins);
	return err;
}

bool wanted_alike(const struct wanted *a, const struct wanted *b)
{
	return a->workload == b->workload && a->guard == b->guard;
}

int wants_add(struct wants *wants, const struct wants *more)
{
	for (size_t i = 0; i < more->n; i++) {
		struct wanted *had =
		    (struct wanted *)wants_find(wants, more->wanted[i].link->ifindex);

		/*
		 * Where XDP judges and how changes no verdict, so a mode that cannot be had is found out in time; and where
		 * it could not judge by the new policy, TC does so already.
		 */
		if (had && wanted_alike(had, &more->wanted[i]) &&
		    (more->wanted[i].xdp != XDP_OFF || more->wanted[i].units))
			had->xdp = more->wanted[i].xdp;
		if (had)
			had->units |= more->wanted[i].units;
		if (had)
			continue;
		if (mem_grow(&wants->wanted, wants->n, &wants->capacity, sizeof(*wants->wanted)))
			return -ENOMEM;
		wants->wanted[wants->n++] = more->wanted[i];
	}
	return 0;
}

void wants_free(struct wants *wants)
{
	free(wants->wanted);
	memset(wants, 0, sizeof(*wants));
}

const struct wanted *wants_find(const struct wants *wants, __u32 ifindex)
{
	for (size_t i = 0; i < wants->n; i++)
		if (wants->wanted[i].link->ifindex == ifindex)
			return &wants->wanted[i];
	return NULL;
}

void wants_hurry(struct wants *wants, size_t patience)
{
	size_t workloads = 0;

	for (size_t i = 0; i < wants->n; i++)
		if (wants->wanted[i].workload || wants->wanted[i].guard)
			wants->wanted[i].quick = ++workloads > patience;
}

static bool is_there(const struct links *links, const char *name)
{
	return links ? links_by_name(links, name) != NULL : if_nametoindex(name) != 0;
}

int named_missing(struct kernel *kernel, unsigned int slot, const struct links *links,
		  int (*each)(void *arg, const char *name), void *arg)
{
	const struct policy *policy;
	struct weir_config config;
	int err = slot_config(kernel, slot, &config);

	if (!err)
		err = naming_policy(kernel, slot, &config, &policy, NULL);
	if (err)
		return err;
	for (size_t i = 0; i < policy->nr_interfaces && !err; i++) {
		const char *name = policy->interface[i].pattern;

		if (!is_pattern(name) && !is_there(links, name))
			err = each(arg, name);
	}
	return err;
}
