// SPDX-License-Identifier: GPL-2.0-only
/* Rules, failsafe services and limits, as one list of what may meet a packet. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"

int matches_append(struct builder *b, const struct match *match)
{
	if (mem_grow(&b->match, b->nr_matches, &b->match_capacity, sizeof(*match)))
		return -ENOMEM;
	b->match[b->nr_matches++] = *match;
	return 0;
}

static int add_match(struct builder *b, struct match match, const struct services *port,
		     bool tcp_only, const struct names *on)
{
	int err = services_list(b, port, tcp_only, &match.ports);

	match.on = WEIR_NONE;
	match.next = WEIR_NONE;
	if (!err && on)
		err = zones_list(b, on, &match.on);
	return err ? err : matches_append(b, &match);
}

static int add_ends(struct builder *b, struct match *match, const struct items *from,
		    const struct items *to)
{
	int err = sets_list(b, from, &match->from);

	return err ? err : sets_list(b, to, &match->to);
}

static int add_rules(struct builder *b)
{
	for (size_t i = 0; i < b->policy->nr_rules; i++) {
		const struct rule *rule = &b->policy->rule[i];
		struct match match = {.index = i,
				      .kind = rule->action == RULE_DENY ? MATCH_DENY : MATCH_ALLOW};
		int err = add_ends(b, &match, rule->from.n ? &rule->from : &items_any,
				   rule->to.n ? &rule->to : &items_self);

		if (!err)
			err = add_match(b, match, &rule->port, false, &rule->on);
		if (err)
			return err;
	}
	return 0;
}

/* What NAT hands on to the rule's `to` arrives at the node: the same rule opens or closes it there. */
static int add_published(struct builder *b)
{
	for (size_t i = 0; i < b->policy->nr_rules; i++) {
		const struct rule *rule = &b->policy->rule[i];
		struct match match = {.index = i,
				      .kind = rule->action == RULE_DENY ? MATCH_DENY : MATCH_ALLOW};
		int err;

		if (!rule->published.n)
			continue;
		err = add_ends(b, &match, rule->from.n ? &rule->from : &items_any, &items_self);
		if (!err)
			err = add_match(b, match, &rule->published, false, &rule->on);
		if (err)
			return err;
	}
	return 0;
}

static int add_limits(struct builder *b)
{
	if (b->policy->nr_limits > 0xffff)
		return diag_fail(b->diag, -E2BIG, &b->policy->limit[0xffff].at,
				 "more than 65535 limits");
	for (size_t i = 0; i < b->policy->nr_limits; i++) {
		const struct limit_rule *limit = &b->policy->limit[i];
		bool has_from = limit->has_from && limit->from.n,
		     has_to = limit->has_to && limit->to.n;
		struct match match = {.index = i, .kind = MATCH_LIMIT};
		int err = add_ends(b, &match, has_from ? &limit->from : &items_any,
				   has_to     ? &limit->to
				   : has_from ? &items_any
					      : &items_self);

		if (!err)
			err = add_match(b, match, &limit->port,
					limit->count == WEIR_COUNT_CONNECTIONS, &limit->on);
		if (err)
			return err;
	}
	return 0;
}

static int add_protects(struct builder *b)
{
	for (size_t i = 0; i < b->policy->nr_protects; i++) {
		const struct protect_rule *rule = &b->policy->protect[i];
		struct match match = {.index = i, .kind = MATCH_PROTECT};
		int err = add_ends(b, &match, &items_any, rule->to.n ? &rule->to : &items_self);

		if (!err)
			err = add_match(b, match, &rule->port, true, NULL);
		if (err)
			return err;
	}
	return 0;
}

static int add_lists(struct builder *b)
{
	const struct policy *policy = b->policy;
	int err = sets_list(b, &policy->block, &b->block);

	if (!err)
		err = sets_list(b, &policy->never_block, &b->never_block);
	b->segment_default = calloc(policy->nr_segment_defaults + 1, sizeof(__u32));
	if (!b->segment_default)
		return -ENOMEM;
	for (size_t i = 0; !err && i < policy->nr_segment_defaults; i++)
		err = sets_name(b, policy->segment_defaults[i].segment,
				&policy->segment_defaults[i].at, &b->segment_default[i]);
	/* Proxies are spared whoever names them. */
	for (size_t i = 0; !err && i < policy->nr_segments; i++) {
		const struct segment *segment = &policy->segment[i];
		__u32 set;

		if (segment->proxy)
			err = sets_name(b, segment->name, &segment->at, &set);
	}
	return err;
}

static int add_failsafe(struct builder *b)
{
	for (size_t i = 0; i < b->policy->nr_failsafe; i++) {
		const struct failsafe_rule *rule = &b->policy->failsafe[i];
		struct match match = {.index = i, .kind = MATCH_FAILSAFE};
		int err = add_ends(b, &match, rule->from.n ? &rule->from : &items_any, &items_self);

		if (!err)
			err = add_match(b, match, &rule->port, false, NULL);
		if (err)
			return err;
	}
	return 0;
}

#define SSH (WEIR_SVC_TCP + 22)

/* tcp/22 from anywhere stays open until the policy itself says what becomes of it. Bases of sets are known by now. */
static int add_builtin(struct builder *b, const struct match *match)
{
	static struct service ssh = {.proto = IPPROTO_TCP, .first = 22, .last = 22};
	static const struct services port = {&ssh, 1};

	for (size_t i = 0; i < b->policy->nr_rules; i++)
		if ((b->sets.set[b->match[i].to].base >> WEIR_SELF & 1 &&
		     services_includes(&b->policy->rule[i].port, SSH)) ||
		    services_includes(&b->policy->rule[i].published, SSH))
			return 0;
	return add_match(b, *match, &port, false, NULL);
}

static bool to_self(const struct builder *b, const struct match *match, const struct rule *rule)
{
	for (size_t i = 0; i < rule->to.n; i++)
		if (rule->to.item[i].kind == ITEM_INTERFACE)
			return true;
	return b->sets.set[match->to].base >> WEIR_SELF & 1;
}

/* "0.0.0.0/0" is another word for anybody. */
static bool lists_all(const struct builder *b, const struct items *items)
{
	for (size_t i = 0; i < items->n; i++) {
		const struct item *item = &items->item[i];
		const struct segment *segment =
		    item->kind == ITEM_SEGMENT ? policy_segment(b->policy, item->name) : NULL;

		if (item->kind == ITEM_PREFIX && item->prefix.length == 0)
			return true;
		if (segment && lists_all(b, &segment->members))
			return true;
	}
	return false;
}

/* A set that holds all the world but some is nobody in particular. */
static void spare(struct builder *b, __u32 set)
{
	const struct set *s = &b->sets.set[set];

	b->spared[set] = !(s->base >> WEIR_OTHER & 1) && !lists_all(b, s->list[SET_IN]);
}

/*
 * Sources are easily made up, so a block that a limit sets by itself is a weapon: not against those who proxy for
 * everybody, nor against those by whom the node is reached when all else fails.
 */
static int find_spared(struct builder *b)
{
	const struct policy *policy = b->policy;

	b->spared = calloc(b->sets.n + 1, sizeof(bool));
	if (!b->spared)
		return -ENOMEM;
	for (size_t i = 0; i < policy->nr_segments; i++)
		if (policy->segment[i].proxy)
			spare(b, i);
	for (size_t i = 0; i < policy->nr_rules; i++)
		if (policy->rule[i].action == RULE_ALLOW &&
		    services_includes(&policy->rule[i].port, SSH) &&
		    to_self(b, &b->match[i], &policy->rule[i]))
			spare(b, b->match[i].from);
	for (size_t i = policy->nr_rules; i < b->nr_matches; i++)
		if (b->match[i].kind == MATCH_FAILSAFE)
			spare(b, b->match[i].from);
	return 0;
}

/* Matches with the same ends meet the same pairs: what follows works on groups. */
int groups_build(struct builder *b)
{
	for (size_t i = 0; i < b->nr_matches; i++) {
		struct match *match = &b->match[i];
		struct group *group;
		bool fresh;
		__u32 n;

		if (intern_get(&b->group_intern, sig_of((__u64)match->from << 32 | match->to, 30),
			       &n, &fresh))
			return -ENOMEM;
		if (fresh) {
			if (mem_grow(&b->group, n, &b->group_capacity, sizeof(*group)))
				return -ENOMEM;
			b->group[n] = (struct group){match->from, match->to, i, i};
			continue;
		}
		b->match[b->group[n].last].next = i;
		b->group[n].last = i;
	}
	return 0;
}

static bool names_have(const struct names *names, const char *name)
{
	for (size_t i = 0; name && i < names->n; i++)
		if (strcmp(names->name[i], name) == 0)
			return true;
	return false;
}

static int find_logs(struct builder *b)
{
	const struct policy *policy = b->policy;
	const struct names *pass = &policy->audit.pass;

	b->log = calloc(policy->nr_rules + policy->nr_limits + 1, sizeof(bool));
	if (!b->log)
		return -ENOMEM;
	for (size_t i = 0; i < policy->nr_rules; i++)
		b->log[i] = policy->rule[i].log || names_have(pass, policy->rule[i].name);
	for (size_t i = 0; i < policy->nr_limits; i++)
		b->log[policy->nr_rules + i] =
		    policy->limit[i].log || names_have(pass, policy->limit[i].name);
	return 0;
}

int matches_build(struct builder *b)
{
	struct match builtin = {.kind = MATCH_FAILSAFE};
	int err = find_logs(b);

	if (!err)
		err = add_rules(b);
	if (!err)
		err = add_published(b);
	if (!err)
		err = add_limits(b);
	if (!err)
		err = add_protects(b);
	if (!err)
		err = vips_open(b);
	if (!err)
		err = add_lists(b);
	if (!err)
		err = add_failsafe(b);
	if (!err)
		err = add_ends(b, &builtin, &items_any, &items_self);
	if (!err)
		err = sets_close(b);
	if (!err && !b->policy->has_failsafe)
		err = add_builtin(b, &builtin);
	return err ? err : find_spared(b);
}
