// SPDX-License-Identifier: GPL-2.0-only
/* What only the whole policy can tell: names, cycles, and what contradicts itself. */
#include "policy/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/reader.h"

#define MAX_NESTING 64 /* of segments */

/**
 * struct resolver - while names are resolved.
 * @found:     what was found out about each segment; a segment is looked into once, however often it is named
 * @path:      segments that are being visited, outermost first
 */
struct resolver {
	struct policy *policy;
	struct diag *diag;
	struct found {
		unsigned int
		    height; /* 0: not visited, 1: no segments in it, else one more than its highest */
		bool only_workloads;
		const struct segment
		    *proxy; /* itself or the first one in it that is marked as a proxy */
		const struct item *node; /* the first item in it that is (also) this node */
		const struct item *unit; /* the first unit in it */
	} * found;
	const struct segment *path[MAX_NESTING];
	unsigned int depth;
};

static int compare_segments(const void *a, const void *b)
{
	const struct segment *x = *(struct segment *const *)a, *y = *(struct segment *const *)b;
	int order = strcmp(x->name, y->name);

	return order ? order : x < y ? -1 : x > y;
}

static int index_segments(struct resolver *resolver)
{
	struct policy *policy = resolver->policy;
	size_t n = policy->nr_segments;

	policy->by_name = calloc(n + 1, sizeof(*policy->by_name));
	if (!policy->by_name)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		policy->by_name[i] = &policy->segment[i];
	qsort(policy->by_name, n, sizeof(*policy->by_name), compare_segments);
	for (size_t i = 1; i < n; i++) {
		const struct segment *first = policy->by_name[i - 1], *second = policy->by_name[i];

		if (!strcmp(first->name, second->name))
			return reject(resolver, &second->at,
				      "segment \"%s\" is defined twice; first at %s:%u:%u",
				      second->name, first->at.file, first->at.line,
				      first->at.column);
	}
	return 0;
}

static int unknown_segment(struct resolver *resolver, const struct position *at, const char *name)
{
	const struct policy *policy = resolver->policy;
	_cleanup_free_ const char **names = calloc(policy->nr_segments + 1, sizeof(*names));
	const char *meant;

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < policy->nr_segments; i++)
		names[i] = policy->by_name[i]->name;
	meant = closest(name, names);
	if (meant)
		return reject(resolver, at, "there is no segment \"%.64s\"; did you mean \"%s\"?",
			      name, meant);
	return reject(resolver, at, "there is no segment \"%.64s\"", name);
}

static int check_item(struct resolver *resolver, const struct item *item)
{
	if (item->kind == ITEM_SEGMENT && !policy_segment(resolver->policy, item->name))
		return unknown_segment(resolver, &item->at, item->name);
	return 0;
}

static int check_items(struct resolver *resolver, const struct items *items)
{
	int err = 0;

	for (size_t i = 0; i < items->n && !err; i++)
		err = check_item(resolver, &items->item[i]);
	return err;
}

static int check_references(struct resolver *resolver)
{
	const struct policy *policy = resolver->policy;
	int err = 0;

	for (size_t i = 0; i < policy->nr_segments && !err; i++) {
		err = check_items(resolver, &policy->segment[i].members);
		if (!err)
			err = check_items(resolver, &policy->segment[i].except);
	}
	for (size_t i = 0; i < policy->nr_rules && !err; i++) {
		err = check_items(resolver, &policy->rule[i].from);
		if (!err)
			err = check_items(resolver, &policy->rule[i].to);
	}
	for (size_t i = 0; i < policy->nr_limits && !err; i++) {
		err = check_items(resolver, &policy->limit[i].from);
		if (!err)
			err = check_items(resolver, &policy->limit[i].to);
	}
	for (size_t i = 0; i < policy->nr_tests && !err; i++) {
		err = check_item(resolver, &policy->test[i].from);
		if (!err)
			err = check_item(resolver, &policy->test[i].to);
	}
	for (size_t i = 0; i < policy->nr_failsafe && !err; i++)
		err = check_items(resolver, &policy->failsafe[i].from);
	if (!err)
		err = check_items(resolver, &policy->block);
	if (!err)
		err = check_items(resolver, &policy->never_block);
	return err;
}

static int check_segment_defaults(struct resolver *resolver)
{
	const struct policy *policy = resolver->policy;
	_cleanup_free_ const struct segment_defaults **seen =
	    calloc(policy->nr_segments + 1, sizeof(*seen));

	if (!seen)
		return -ENOMEM;
	for (size_t i = 0; i < policy->nr_segment_defaults; i++) {
		const struct segment_defaults *entry = &policy->segment_defaults[i];
		const struct segment *segment = policy_segment(policy, entry->segment);
		const struct segment_defaults **slot;

		if (!segment)
			return unknown_segment(resolver, &entry->at, entry->segment);
		slot = &seen[segment - policy->segment];
		if (*slot)
			return reject(resolver, &entry->at,
				      "defaults of \"%s\" are given twice; first at %s:%u:%u",
				      entry->segment, (*slot)->at.file, (*slot)->at.line,
				      (*slot)->at.column);
		*slot = entry;
	}
	return 0;
}

/* The cycle that @segment closes: from its place on the path to the end, and itself again. */
static int reject_cycle(struct resolver *resolver, const struct segment *segment,
			const struct position *at)
{
	char text[512];
	unsigned int i = 0;
	size_t used = 0;

	while (resolver->path[i] != segment)
		i++;
	for (; i < resolver->depth && used < sizeof(text); i++)
		used +=
		    snprintf(text + used, sizeof(text) - used, "%s -> ", resolver->path[i]->name);
	return reject(resolver, at, "segment \"%s\" contains itself: %s%s", segment->name, text,
		      segment->name);
}

static bool on_path(const struct resolver *resolver, const struct segment *segment)
{
	for (unsigned int i = 0; i < resolver->depth; i++)
		if (resolver->path[i] == segment)
			return true;
	return false;
}

static const struct found *found_of(const struct resolver *resolver, const struct item *item)
{
	return &resolver->found[policy_segment(resolver->policy, item->name) -
				resolver->policy->segment];
}

/* Whether nothing but workloads is in there. */
static bool only_workloads(const struct resolver *resolver, const struct items *items)
{
	for (size_t i = 0; i < items->n; i++) {
		const struct item *item = &items->item[i];

		if (item->kind != ITEM_WORKLOADS &&
		    !(item->kind == ITEM_SEGMENT && found_of(resolver, item)->only_workloads))
			return false;
	}
	return items->n > 0;
}

/* The first segment marked as a proxy that is in there, or NULL. */
static const struct segment *find_proxy(const struct resolver *resolver, const struct items *items)
{
	for (size_t i = 0; i < items->n; i++)
		if (items->item[i].kind == ITEM_SEGMENT &&
		    found_of(resolver, &items->item[i])->proxy)
			return found_of(resolver, &items->item[i])->proxy;
	return NULL;
}

/* The first item that stands for this node or any part of it, or NULL. */
static const struct item *find_node(const struct resolver *resolver, const struct items *items)
{
	for (size_t i = 0; i < items->n; i++) {
		const struct item *item = &items->item[i];

		if (item->kind == ITEM_ANY || item->kind == ITEM_SELF ||
		    item->kind == ITEM_INTERFACE || item->kind == ITEM_UNIT)
			return item;
		if (item->kind == ITEM_SEGMENT && found_of(resolver, item)->node)
			return item;
	}
	return NULL;
}

/* The first item that is a unit or a segment that has one, or NULL. */
static const struct item *find_unit(const struct resolver *resolver, const struct items *items)
{
	for (size_t i = 0; i < items->n; i++) {
		const struct item *item = &items->item[i];

		if (item->kind == ITEM_UNIT ||
		    (item->kind == ITEM_SEGMENT && found_of(resolver, item)->unit))
			return item;
	}
	return NULL;
}

static int visit(struct resolver *resolver, const struct segment *segment);

static int visit_items(struct resolver *resolver, const struct items *items, unsigned int *height)
{
	const struct policy *policy = resolver->policy;

	for (size_t i = 0; i < items->n; i++) {
		const struct item *item = &items->item[i];
		const struct segment *segment;
		unsigned int inner;
		int err;

		if (item->kind != ITEM_SEGMENT)
			continue;
		segment = policy_segment(policy, item->name);
		if (on_path(resolver, segment))
			return reject_cycle(resolver, segment, &item->at);
		if (resolver->depth == MAX_NESTING)
			return reject(resolver, &item->at, "segments nest deeper than %d",
				      MAX_NESTING);
		err = visit(resolver, segment);
		if (err)
			return err;
		inner = resolver->found[segment - policy->segment].height;
		if (inner + 1 > MAX_NESTING)
			return reject(resolver, &item->at, "segments nest deeper than %d",
				      MAX_NESTING);
		if (inner + 1 > *height)
			*height = inner + 1;
	}
	return 0;
}

static int visit(struct resolver *resolver, const struct segment *segment)
{
	struct found *found = &resolver->found[segment - resolver->policy->segment];
	unsigned int height = 1;
	int err;

	if (found->height)
		return 0;
	resolver->path[resolver->depth++] = segment;
	err = visit_items(resolver, &segment->members, &height);
	if (!err)
		err = visit_items(resolver, &segment->except, &height);
	resolver->depth--;
	if (err)
		return err;
	found->height = height;
	found->only_workloads = only_workloads(resolver, &segment->members);
	found->proxy = segment->proxy ? segment : find_proxy(resolver, &segment->members);
	found->node = find_node(resolver, &segment->members);
	found->unit = find_unit(resolver, &segment->members);
	return 0;
}

static int check_cycles(struct resolver *resolver)
{
	const struct policy *policy = resolver->policy;
	int err = 0;

	resolver->found = calloc(policy->nr_segments + 1, sizeof(*resolver->found));
	if (!resolver->found)
		return -ENOMEM;
	for (size_t i = 0; i < policy->nr_segments && !err; i++)
		err = visit(resolver, &policy->segment[i]);
	return err;
}

/** struct named - a rule or a limit that has a name. */
struct named {
	const char *name;
	const char *what;
	const struct position *at;
	const struct rule *rule; /* NULL for a limit */
	size_t order;
};

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : x->order < y->order ? -1 : 1;
}

static int compare_pass(const void *name, const void *named)
{
	return strcmp(name, ((const struct named *)named)->name);
}

static int check_pass(struct resolver *resolver, const struct named *named, size_t n)
{
	const struct names *pass = &resolver->policy->audit.pass;

	for (size_t i = 0; i < pass->n; i++) {
		const struct named *found =
		    bsearch(pass->name[i], named, n, sizeof(*named), compare_pass);

		if (!found)
			return reject(resolver, &pass->at[i], "pass: there is no rule \"%s\"",
				      pass->name[i]);
		if (!found->rule || found->rule->action != RULE_ALLOW)
			return reject(resolver, &pass->at[i],
				      "pass: \"%s\" is a %s; only an allow rule passes packets",
				      pass->name[i], found->what);
	}
	return 0;
}

/* Rules and limits share one space of names: counters, events and answers show the bare name. */
static int check_names(struct resolver *resolver)
{
	const struct policy *policy = resolver->policy;
	_cleanup_free_ struct named *named =
	    calloc(policy->nr_rules + policy->nr_limits + 1, sizeof(*named));
	size_t n = 0;

	if (!named)
		return -ENOMEM;
	for (size_t i = 0; i < policy->nr_rules; i++) {
		const struct rule *rule = &policy->rule[i];

		if (!rule->name)
			continue;
		named[n] = (struct named){
		    .name = rule->name,
		    .what = rule->action == RULE_ALLOW ? "rule" : "deny rule",
		    .at = &rule->at,
		    .rule = rule,
		    .order = n,
		};
		n++;
	}
	for (size_t i = 0; i < policy->nr_limits; i++) {
		const struct limit_rule *limit = &policy->limit[i];

		if (!limit->name)
			continue;
		named[n] = (struct named){
		    .name = limit->name,
		    .what = "limit",
		    .at = &limit->at,
		    .order = n,
		};
		n++;
	}
	qsort(named, n, sizeof(*named), compare_named);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(named[i - 1].name, named[i].name))
			return reject(resolver, named[i].at,
				      "%s \"%s\": the name is taken by the %s at %s:%u:%u",
				      named[i].what, named[i].name, named[i - 1].what,
				      named[i - 1].at->file, named[i - 1].at->line,
				      named[i - 1].at->column);
	return check_pass(resolver, named, n);
}

static int check_on(struct resolver *resolver, const struct names *on, const struct items *from)
{
	if (on->n && only_workloads(resolver, from))
		return reject(
		    resolver, &on->at[0],
		    "on: what comes from workloads only has no interface of arrival; leave it out");
	return 0;
}

static int check_rules(struct resolver *resolver)
{
	const struct policy *policy = resolver->policy;
	int err = 0;

	for (size_t i = 0; i < policy->nr_rules && !err; i++)
		err = check_on(resolver, &policy->rule[i].on, &policy->rule[i].from);
	for (size_t i = 0; i < policy->nr_limits && !err; i++) {
		const struct limit_rule *limit = &policy->limit[i];
		const struct segment *proxy = NULL;

		err = check_on(resolver, &limit->on, &limit->from);
		if (limit->per == WEIR_PER_SOURCE)
			proxy = find_proxy(resolver, &limit->from);
		if (proxy)
			diag_warn(
			    resolver->diag, &limit->at,
			    "the limit counts per source, and its source \"%s\" is a proxy: it throttles the proxy for everybody",
			    proxy->name);
	}
	return err;
}

/* A list in which a unit says nothing: what a packet meets there is asked of its address alone. */
static int no_unit(struct resolver *resolver, const struct items *items, const char *where)
{
	const struct item *item = find_unit(resolver, items);

	if (!item)
		return 0;
	return reject(resolver, &item->at,
		      "%s: a unit may stand in from and to of rules and limits only", where);
}

static int check_units(struct resolver *resolver)
{
	const struct policy *policy = resolver->policy;
	int err = no_unit(resolver, &policy->block, "block");

	if (!err)
		err = no_unit(resolver, &policy->never_block, "never_block");
	for (size_t i = 0; i < policy->nr_failsafe && !err; i++)
		err = no_unit(resolver, &policy->failsafe[i].from, "failsafe");
	for (size_t i = 0; i < policy->nr_segments && !err; i++)
		err = no_unit(resolver, &policy->segment[i].except, "except");
	for (size_t i = 0; i < policy->nr_segment_defaults && !err; i++) {
		const struct segment_defaults *entry = &policy->segment_defaults[i];
		const struct segment *segment = policy_segment(policy, entry->segment);

		if (resolver->found[segment - policy->segment].unit)
			err = reject(
			    resolver, &entry->at,
			    "defaults of \"%s\": it has units, which have no default of their own",
			    entry->segment);
	}
	return err;
}

/* NAT hands a published port on to somebody else: not to this node itself, nor to whoever it may be. */
static int check_nat(struct resolver *resolver)
{
	const struct policy *policy = resolver->policy;

	for (size_t i = 0; i < policy->nr_rules; i++) {
		const struct rule *rule = &policy->rule[i];
		const struct item *node = rule->published.n ? find_node(resolver, &rule->to) : NULL;

		if (node)
			return reject(
			    resolver, &node->at,
			    "to: with published, it says to whom the port is handed on: never to this node itself");
	}
	return check_service_rules(policy, resolver->diag);
}

static int check_protects(struct resolver *resolver)
{
	return check_protect(resolver->policy, resolver->diag);
}

/** struct place_of - an entry of interfaces or workloads, and its place among all of them. */
struct place_of {
	struct interface_rule *rule;
	bool workload;
	size_t order;
};

static int compare_places(const void *a, const void *b)
{
	const struct place_of *x = a, *y = b;
	int order = strcmp(x->rule->pattern, y->rule->pattern);

	return order ? order : x->order < y->order ? -1 : 1;
}

/* Two entries of the same pattern: the same again is none of anybody's business. */
static int check_double(struct resolver *resolver, const struct place_of *first,
			const struct place_of *second)
{
	const struct position *there = &first->rule->at, *here = &second->rule->at;

	if (first->workload != second->workload)
		return reject(resolver, here,
			      "\"%s\" is both an interface and a workload; first at %s:%u:%u",
			      second->rule->pattern, there->file, there->line, there->column);
	if (first->rule->xdp != second->rule->xdp ||
	    first->rule->antispoof != second->rule->antispoof)
		return reject(resolver, here,
			      "interface \"%s\" is given twice, with another %s; first at %s:%u:%u",
			      second->rule->pattern,
			      first->rule->xdp != second->rule->xdp ? "xdp" : "antispoof",
			      there->file, there->line, there->column);
	return 0;
}

/* Drop what says again what an earlier entry says: several files may name the same interface. */
static void drop_doubles(struct interface_rule *rules, size_t *n)
{
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++) {
		if (rules[i].pattern)
			rules[kept++] = rules[i];
	}
	*n = kept;
}

/* A pattern means one thing: given again it is the same, or a contradiction. */
static int check_interfaces(struct resolver *resolver)
{
	struct policy *policy = resolver->policy;
	size_t n = policy->nr_interfaces + policy->nr_workloads;
	_cleanup_free_ struct place_of *places = calloc(n + 1, sizeof(*places));
	int err;

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		bool workload = i >= policy->nr_interfaces;

		places[i] = (struct place_of){
		    .rule = workload ? &policy->workload[i - policy->nr_interfaces]
				     : &policy->interface[i],
		    .workload = workload,
		    .order = i,
		};
	}
	qsort(places, n, sizeof(*places), compare_places);
	for (size_t i = 1; i < n; i++) {
		struct interface_rule *second = places[i].rule;

		if (strcmp(places[i - 1].rule->pattern, second->pattern))
			continue;
		err = check_double(resolver, &places[i - 1], &places[i]);
		if (err)
			return err;
		places[i] = places[i - 1];
		free(second->pattern);
		second->pattern = NULL;
	}
	drop_doubles(policy->interface, &policy->nr_interfaces);
	drop_doubles(policy->workload, &policy->nr_workloads);
	return 0;
}

static void fill_defaults(struct policy *policy)
{
	struct defaults *defaults = &policy->defaults;

	if (defaults->ingress == DEFAULT_UNSAID)
		defaults->ingress = DEFAULT_DENY;
	if (defaults->egress == DEFAULT_UNSAID)
		defaults->egress = DEFAULT_ALLOW;
	if (defaults->forward == DEFAULT_UNSAID)
		defaults->forward = defaults->ingress;
}

/* Allow rules first, then deny rules, each in file order: what the canonical text can say. */
static int sort_rules(struct policy *policy)
{
	struct rule *sorted;
	size_t n = 0;

	if (!policy->nr_rules)
		return 0;
	sorted = calloc(policy->nr_rules, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (int action = RULE_ALLOW; action <= RULE_DENY; action++)
		for (size_t i = 0; i < policy->nr_rules; i++)
			if ((int)policy->rule[i].action == action)
				sorted[n++] = policy->rule[i];
	free(policy->rule);
	policy->rule = sorted;
	return 0;
}

static void check_audit(struct resolver *resolver)
{
	const struct audit_config *audit = &resolver->policy->audit;

	if (!audit->file && (audit->rotate_bytes || audit->rotate_s || audit->retention_s))
		diag_warn(resolver->diag, &audit->at,
			  "audit: rotate and retention are of no use without a file");
}

int policy_resolve(struct policy *policy, struct diag *diag)
{
	static int (*const checks[])(struct resolver *) = {
	    index_segments, check_references, check_segment_defaults, check_cycles,
	    check_names,    check_rules,      check_interfaces,	      check_units,
	    check_nat,	    check_protects,
	};
	struct resolver resolver = {.policy = policy, .diag = diag};
	int err = sort_rules(policy);

	for (size_t i = 0; i < ARRAY_SIZE(checks) && !err; i++)
		err = checks[i](&resolver);
	free(resolver.found);
	if (err)
		return err;
	fill_defaults(policy);
	check_audit(&resolver);
	return 0;
}
