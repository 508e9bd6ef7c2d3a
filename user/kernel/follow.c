// SPDX-License-Identifier: GPL-2.0-only
/* Which interfaces the policy names, and bringing hooks, weir_iface and weir_local to what is there now. */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fnmatch.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>

/* ---- who is wanted ---- */

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

/* A plain name says more than a pattern, and a pattern for workloads more than one for NICs, which may be "*". */
static bool match_policy(const struct policy *policy, const struct link *link, struct wanted *ret)
{
	const struct interface_rule *rule;

	if (link->type == ARPHRD_LOOPBACK)
		return false;
	*ret = (struct wanted){.link = link};
	rule = rule_for(policy->interface, policy->nr_interfaces, link->name, false);
	if (!rule) {
		ret->workload =
		    rule_for(policy->workload, policy->nr_workloads, link->name, false) ||
		    rule_for(policy->workload, policy->nr_workloads, link->name, true);
		if (ret->workload)
			return true;
		rule = rule_for(policy->interface, policy->nr_interfaces, link->name, true);
	}
	if (rule)
		ret->xdp = rule->xdp;
	return rule != NULL;
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
		bool named = false;

		for (size_t j = 0; j < n && !named; j++)
			named = match_policy(naming[j].policy, &links->link[i], &wanted);
		if (!named)
			continue;
		if (mem_grow(&wants.wanted, wants.n, &wants.capacity, sizeof(wanted))) {
			wants_free(&wants);
			return -ENOMEM;
		}
		wants.wanted[wants.n++] = wanted;
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

	if (!link || !(iface->flags & (WEIR_IF_NIC | WEIR_IF_WORKLOAD)))
		return 0;
	if (mem_grow(&wants->wanted, wants->n, &wants->capacity, sizeof(*wants->wanted)))
		return -ENOMEM;
	wants->wanted[wants->n++] = (struct wanted){
	    .link = link,
	    .workload = iface->flags & WEIR_IF_WORKLOAD,
	    .xdp = pinned_link_find(w->pins, link->ifindex, HOOK_XDP) ? XDP_AUTO : XDP_OFF};
	return 0;
}

int wants_watched(const struct kernel *kernel, const struct links *links, struct wants *ret)
{
	struct pinned_links pins = {};
	struct watched watched = {links, &pins, ret};
	int err = pinned_links_read(kernel, &pins);

	if (!err)
		err = map_each(kernel->maps.fd[MAP_weir_iface], sizeof(__u32),
			       sizeof(struct weir_iface), watched_one, &watched);
	pinned_links_free(&pins);
	return err;
}

int wants_add(struct wants *wants, const struct wants *more)
{
	for (size_t i = 0; i < more->n; i++) {
		struct wanted *had =
		    (struct wanted *)wants_find(wants, more->wanted[i].link->ifindex);

		/* Where XDP judges and how changes no verdict, so a mode that cannot be had is found out in time. */
		if (had && had->workload == more->wanted[i].workload &&
		    more->wanted[i].xdp != XDP_OFF)
			had->xdp = more->wanted[i].xdp;
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

/* A bridge counts as watched when all its ports are: what comes out of it was judged where it went in. */
static bool bridge_watched(const struct links *links, const struct wants *wants,
			   const struct link *bridge)
{
	bool any = false;

	if (!bridge->bridge)
		return false;
	for (size_t i = 0; i < links->n; i++) {
		if (links->link[i].master != bridge->ifindex)
			continue;
		if (!wants_find(wants, links->link[i].ifindex))
			return false;
		any = true;
	}
	return any;
}

/* ---- weir_iface ---- */

static void zones_into(const struct naming *naming, size_t n, __u32 ifindex, struct weir_iface *ret)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; naming[i].zone && j < naming[i].env->nr_interfaces; j++)
			if (naming[i].env->interface[j].ifindex == ifindex)
				ret->zone[naming[i].slot] = naming[i].zone[j];
}

static bool made_qdisc(const struct change *change, __u32 ifindex)
{
	for (size_t i = 0; i < change->n; i++)
		if (change->undo[i].kind == UNDO_FILTER_MADE &&
		    change->undo[i].ifindex == ifindex && change->undo[i].made_qdisc)
			return true;
	return false;
}

static int iface_put(struct kernel *kernel, const struct link *link, __u32 flags,
		     const struct naming *naming, size_t n, struct change *change)
{
	int fd = kernel->maps.fd[MAP_weir_iface];
	struct weir_iface was = {}, now = {};
	bool existed = bpf_map_lookup_elem(fd, &link->ifindex, &was) == 0;
	struct undo *undo;

	now = was;
	now.flags = flags | (was.flags & (IFACE_CLSACT | WEIR_IF_NO_METADATA));
	if (made_qdisc(change, link->ifindex))
		now.flags |= IFACE_CLSACT;
	now.nsid = link->nsid;
	memcpy(now.mac, link->mac, sizeof(now.mac));
	zones_into(naming, n, link->ifindex, &now);
	if (existed && memcmp(&now, &was, sizeof(now)) == 0)
		return 0;
	undo = change_note(change, UNDO_IFACE);
	if (!undo)
		return -ENOMEM;
	undo->ifindex = link->ifindex;
	undo->existed = existed;
	undo->iface = was;
	return bpf_map_update_elem(fd, &link->ifindex, &now, BPF_ANY) < 0 ? -errno : 0;
}

static int ifaces_put(struct kernel *kernel, const struct bringing *b,
		      const struct local_set *local)
{
	unsigned int closed = 0;
	int err = 0;

	for (size_t i = 0; i < b->wants->n && !err; i++) {
		const struct wanted *wanted = &b->wants->wanted[i];
		__u32 flags = wanted->workload ? WEIR_IF_WORKLOAD : WEIR_IF_NIC;

		if (wanted->workload && !local_bound(local, wanted->link->ifindex)) {
			flags |= WEIR_IF_CLOSED;
			closed++;
		}
		err = iface_put(kernel, wanted->link, flags, b->naming, b->nr_naming, b->change);
	}
	for (size_t i = 0; i < b->links->n && !err; i++)
		if (!wants_find(b->wants, b->links->link[i].ifindex) &&
		    bridge_watched(b->links, b->wants, &b->links->link[i]))
			err = iface_put(kernel, &b->links->link[i], WEIR_IF_BRIDGE, b->naming,
					b->nr_naming, b->change);
	if (b->ret_closed)
		*b->ret_closed = closed;
	return err ? diag_fail(b->diag, err, NULL, "cannot write weir_iface: %s", strerror(-err))
		   : 0;
}

/* ---- bringing ---- */

static int bring_local(struct kernel *kernel, const struct bringing *b)
{
	struct local_set now = {}, want = {};
	int err = local_read(kernel, &now);

	if (!err)
		err = local_build(b->wants->wanted, b->wants->n, &now, &want);
	if (err)
		diag_fail(b->diag, err, NULL, "cannot read the addresses of this host: %s",
			  strerror(-err));
	else
		err = local_sync(kernel, &now, &want, b->change, b->diag);
	if (!err)
		err = ifaces_put(kernel, b, &want);
	local_free(&now);
	local_free(&want);
	return err;
}

/* Workloads come and go: one that went since the interfaces were read keeps no other waiting for its hook. */
static int attach_wanted(struct kernel *kernel, const struct bringing *b,
			 const struct pinned_links *pins, const struct wanted *wanted)
{
	struct diag scratch = {};
	char name[IF_NAMESIZE];
	int err = attach_interface(kernel, b->programs, pins, wanted, b->change, &scratch);

	if (err && !if_indextoname(wanted->link->ifindex, name))
		err = 0;
	if (err)
		diag_fail(b->diag, err, NULL, "%s", scratch.error);
	diag_reset(&scratch);
	return err;
}

static int attach_all(struct kernel *kernel, const struct bringing *b)
{
	struct pinned_links pins = {};
	int err = pinned_links_read(kernel, &pins);

	if (err)
		return diag_fail(b->diag, err, NULL, "cannot read the pinned links: %s",
				 strerror(-err));
	err = pins_follow_names(kernel, &pins, b->links);
	if (err)
		diag_fail(b->diag, err, NULL, "cannot rename the pins of links: %s",
			  strerror(-err));
	for (size_t i = 0; i < b->wants->n && (!err || b->keep_going); i++) {
		unsigned int before = b->change->count;
		int failed = attach_wanted(kernel, b, &pins, &b->wants->wanted[i]);

		err = err ? err : failed;
		if (!failed && b->change->count != before && b->ret_window_ns)
			*b->ret_window_ns = mono_ns(NULL) - b->since_ns;
	}
	pinned_links_free(&pins);
	return err;
}

int follow_bring(struct kernel *kernel, const struct bringing *b)
{
	/* A program that runs must find its interface and the addresses behind it. */
	int err = bring_local(kernel, b);

	if (!err)
		err = attach_all(kernel, b);
	/* Which qdiscs are ours to remove is known only now. */
	for (size_t i = 0; i < b->wants->n && !err; i++)
		if (made_qdisc(b->change, b->wants->wanted[i].link->ifindex))
			err =
			    iface_put(kernel, b->wants->wanted[i].link,
				      b->wants->wanted[i].workload ? WEIR_IF_WORKLOAD : WEIR_IF_NIC,
				      NULL, 0, b->change);
	return err;
}

/* ---- dropping ---- */

struct dropping {
	struct kernel *kernel;
	const struct bringing *b;
};

static int drop_iface(void *arg, const void *key, const void *value)
{
	const struct dropping *d = arg;
	const struct weir_iface *iface = value;
	__u32 ifindex = *(const __u32 *)key;
	const struct link *link = links_find(d->b->links, ifindex);

	if (wants_find(d->b->wants, ifindex) ||
	    (link && bridge_watched(d->b->links, d->b->wants, link)))
		return 0;
	if (link && !(iface->flags & WEIR_IF_BRIDGE)) {
		detach_filter(d->kernel, ifindex, HOOK_IN, false);
		detach_filter(d->kernel, ifindex, HOOK_OUT, iface->flags & IFACE_CLSACT);
	}
	bpf_map_delete_elem(d->kernel->maps.fd[MAP_weir_iface], &ifindex);
	d->b->change->count++;
	return 0;
}

static bool pin_wanted(const struct wants *wants, const struct pinned_link *pin)
{
	const struct wanted *wanted = pin->ifindex ? wants_find(wants, pin->ifindex) : NULL;

	return wanted && prog_for(wanted, pin->hook) >= 0;
}

int follow_drop(struct kernel *kernel, const struct bringing *b)
{
	struct dropping dropping = {kernel, b};
	struct pinned_links pins = {};
	int err = pinned_links_read(kernel, &pins);

	if (err)
		return diag_fail(b->diag, err, NULL, "cannot read the pinned links: %s",
				 strerror(-err));
	for (size_t i = 0; i < pins.n; i++) {
		if (pin_wanted(b->wants, &pins.pin[i]))
			continue;
		err = detach_pin(kernel, &pins.pin[i]);
		b->change->count++;
	}
	pinned_links_free(&pins);
	if (!err)
		err = map_each(kernel->maps.fd[MAP_weir_iface], sizeof(__u32),
			       sizeof(struct weir_iface), drop_iface, &dropping);
	return err ? diag_fail(b->diag, err, NULL, "cannot detach: %s", strerror(-err)) : 0;
}

/* ---- the policies in force ---- */

/*
 * The text begins with the interfaces. The rest of it need not be read to follow them, and must not: it may name lists
 * of a million addresses, while a new workload waits for its hook.
 */
static size_t interfaces_part(const char *text)
{
	size_t n = 0;

	while (strncmp(text + n, "interfaces:", 11) == 0 ||
	       strncmp(text + n, "workloads:", 10) == 0 || text[n] == ' ') {
		n += strcspn(text + n, "\n");
		n += text[n] == '\n';
	}
	return n;
}

static int naming_read(struct kernel *kernel, unsigned int slot, struct policy **ret,
		       struct diag *diag)
{
	_cleanup_free_ char *text = NULL, *part = NULL;
	int err = kernel_policy_text(kernel, slot, &text, diag);

	if (err)
		return err;
	if (asprintf(&part, "%.*smode: enforce\n", (int)interfaces_part(text), text) < 0)
		return diag_fail(diag, -ENOMEM, NULL, "out of memory");
	return policy_parse_text(part, strlen(part), "the policy in force", ret, diag);
}

static int follow_with(struct kernel *kernel, const struct bringing *b)
{
	int err = follow_bring(kernel, b);

	/* What was brought stays even if something else failed: every hook more is a hook judged. */
	return err ? err : follow_drop(kernel, b);
}

static int follow(struct kernel *kernel, struct naming *naming, size_t n, unsigned int *ret_changes,
		  __u64 *ret_window_ns, struct diag *diag)
{
	struct zones_found found[WEIR_NR_SLOTS] = {};
	struct change change = {};
	struct links links = {};
	struct wants wants = {};
	struct bringing b = {.programs = &kernel->programs,
			     .links = &links,
			     .wants = &wants,
			     .naming = naming,
			     .nr_naming = n,
			     .change = &change,
			     .since_ns = mono_ns(NULL),
			     .keep_going = true,
			     .ret_window_ns = ret_window_ns,
			     .diag = diag};
	int err = links_read(&links);

	if (!err)
		err = wants_build(&links, naming, n, &wants);
	for (size_t i = 0; i < n && !err; i++) {
		err = zones_find(kernel, naming[i].slot, &links, &wants, &found[i]);
		naming[i].env = &found[i].env;
		naming[i].zone = found[i].zone;
	}
	err = err ? diag_fail(diag, err, NULL, "cannot read the interfaces: %s", strerror(-err))
		  : follow_with(kernel, &b);
	if (ret_changes)
		*ret_changes = change.count;
	for (size_t i = 0; i < n; i++)
		zones_found_clear(&found[i]);
	change_keep(&change);
	wants_free(&wants);
	links_free(&links);
	return err;
}

int follow_slots(struct kernel *kernel, bool both, unsigned int *ret_changes, __u64 *ret_window_ns,
		 struct diag *diag)
{
	unsigned int running = word_slot(word_peek(kernel));
	struct policy *policy[WEIR_NR_SLOTS] = {};
	struct naming naming[WEIR_NR_SLOTS] = {};
	size_t n = 0;
	int err = 0;

	for (unsigned int i = 0; i < (both ? 2 : 1) && !err; i++) {
		unsigned int slot = i ? !running : running;
		struct weir_config config;

		err = slot_config(kernel, slot, &config);
		if (err || !config.generation)
			continue;
		err = naming_read(kernel, slot, &policy[n], diag);
		if (!err) {
			naming[n].policy = policy[n];
			naming[n++].slot = slot;
		}
	}
	if (!err)
		err = follow(kernel, naming, n, ret_changes, ret_window_ns, diag);
	for (size_t i = 0; i < n; i++)
		policy_free(policy[i]);
	return err;
}

int kernel_follow_links(struct kernel *kernel, const struct environment *env,
			unsigned int *ret_changes, __u64 *ret_window_ns, struct diag *diag)
{
	__u64 word;

	if (ret_changes)
		*ret_changes = 0;
	if (ret_window_ns)
		*ret_window_ns = 0;
	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	word = word_settle(kernel);
	/* On trial, what the former policy watches stays watched: it may be back with the next packet. */
	return follow_slots(kernel, word & WEIR_WORD_PENDING, ret_changes, ret_window_ns, diag);
}

int named_missing(struct kernel *kernel, unsigned int slot, const struct links *links,
		  int (*each)(void *arg, const char *name), void *arg)
{
	struct policy *policy;
	int err = naming_read(kernel, slot, &policy, NULL);

	if (err)
		return err;
	for (size_t i = 0; i < policy->nr_interfaces && !err; i++) {
		const char *name = policy->interface[i].pattern;

		if (!is_pattern(name) && !links_by_name(links, name))
			err = each(arg, name);
	}
	policy_free(policy);
	return err;
}
