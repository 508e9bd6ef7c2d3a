// SPDX-License-Identifier: GPL-2.0-only
#include "naive.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

struct subject {
	const struct policy *policy;
	const struct environment *env;
	const struct weir_addr *address;
	enum weir_kind kind;
};

static bool is_v4(const struct weir_addr *a)
{
	static const __u8 mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a->byte, mapped, 12) == 0;
}

/* 127.255.0.1 and so on are no addresses but numbers of units, where the policy has any. */
static bool is_unit(const struct weir_addr *a)
{
	return a && is_v4(a) && a->byte[12] == 127 && a->byte[13] == 255 && a->byte[14] < 32;
}

static bool in_prefix(const struct prefix *p, const struct weir_addr *a)
{
	int skip = p->v6 ? 0 : 96;

	if (!a || (is_unit(a) && p->length < 32) || is_v4(a) == (bool)p->v6)
		return false;
	for (int bit = skip; bit < skip + p->length; bit++)
		if ((p->address.byte[bit / 8] ^ a->byte[bit / 8]) & (0x80 >> bit % 8))
			return false;
	return true;
}

static bool in_list(const struct subject *s, const struct items *items);

static bool in_segment(const struct subject *s, const char *name)
{
	for (size_t i = 0; i < s->policy->nr_segments; i++) {
		const struct segment *segment = &s->policy->segment[i];

		if (strcmp(segment->name, name) == 0)
			return in_list(s, &segment->members) && !in_list(s, &segment->except);
	}
	return false;
}

static bool in_interface(const struct subject *s, const char *name)
{
	for (size_t i = 0; i < s->env->nr_interfaces; i++)
		for (size_t j = 0; j < s->env->interface[i].nr_addresses; j++)
			if (strcmp(s->env->interface[i].name, name) == 0 &&
			    in_prefix(&s->env->interface[i].address[j], s->address))
				return true;
	return false;
}

static bool in_followed(const struct subject *s, const struct item *item)
{
	for (size_t i = 0; i < s->env->nr_names; i++)
		for (size_t j = 0; j < s->env->name[i].n; j++)
			if (s->env->name[i].kind == item->kind &&
			    strcmp(s->env->name[i].name, item->name) == 0 &&
			    in_prefix(&s->env->name[i].address[j], s->address))
				return true;
	return false;
}

static bool in_item(const struct subject *s, const struct item *item)
{
	switch (item->kind) {
	case ITEM_ANY:
		return true;
	case ITEM_SELF:
		return s->kind == WEIR_SELF;
	case ITEM_WORKLOADS:
		return s->kind == WEIR_WORKLOAD;
	case ITEM_PREFIX:
		return in_prefix(&item->prefix, s->address);
	case ITEM_RANGE:
		return s->address && !is_unit(s->address) &&
		       is_v4(&item->first) == is_v4(s->address) &&
		       memcmp(item->first.byte, s->address->byte, 16) <= 0 &&
		       memcmp(item->last.byte, s->address->byte, 16) >= 0;
	case ITEM_SEGMENT:
		return in_segment(s, item->name);
	case ITEM_INTERFACE:
		return in_interface(s, item->name);
	case ITEM_CONTAINER:
	case ITEM_NETWORK:
	case ITEM_COMPOSE:
	case ITEM_NAME:
	case ITEM_UNIT:
		return in_followed(s, item);
	case ITEM_FILE:
		for (size_t i = 0; i < item->nr_list; i++)
			if (in_prefix(&item->list[i], s->address))
				return true;
		return false;
	}
	return false;
}

static bool in_list(const struct subject *s, const struct items *items)
{
	for (size_t i = 0; i < items->n; i++)
		if (in_item(s, &items->item[i]))
			return true;
	return false;
}

enum { PORT_NO, PORT_COVERS, PORT_NAMES };

static int port_matches(const struct services *port, int proto, int number)
{
	bool ports = proto == 6 || proto == 17 || proto == 132, types = proto == 1 || proto == 58;
	int best = port->n ? PORT_NO : PORT_COVERS;

	for (size_t i = 0; i < port->n; i++) {
		const struct service *s = &port->service[i];
		int match = PORT_NO;

		if (s->proto == PORT_ANY)
			match = PORT_COVERS;
		else if (s->proto != proto)
			match = PORT_NO;
		else if (!ports && !types)
			match = PORT_NAMES;
		else if (s->first == PORT_ANY)
			match = ports ? PORT_COVERS : PORT_NAMES;
		else if (s->first <= number && number <= s->last)
			match = PORT_NAMES;
		if (match > best)
			best = match;
	}
	return best;
}

static bool on_matches(const struct names *on, const char *interface)
{
	if (!on->n)
		return true;
	for (size_t i = 0; interface && i < on->n; i++)
		if (fnmatch(on->name[i], interface, 0) == 0)
			return true;
	return false;
}

struct packet_ends {
	struct subject from, to;
	const struct naive_packet *packet;
};

static bool from_to(const struct packet_ends *e, const struct items *from, bool any_from,
		    const struct items *to, enum item_kind left_out)
{
	bool is_from = any_from || in_list(&e->from, from);
	bool is_to = left_out == ITEM_ANY    ? true
		     : left_out == ITEM_SELF ? e->to.kind == WEIR_SELF
					     : in_list(&e->to, to);

	return is_from && is_to;
}

#define TO_LIST ITEM_PREFIX /* "left out" is not the case */

static bool has_name(const struct names *names, const char *name)
{
	for (size_t i = 0; name && i < names->n; i++)
		if (strcmp(names->name[i], name) == 0)
			return true;
	return false;
}

/* Does this list hold the node itself, wherever its addresses are? No prefix holds an address that is not there. */
static bool holds_self(const struct policy *policy, const struct environment *env,
		       const struct items *items)
{
	struct subject s = {policy, env, NULL, WEIR_SELF};

	return in_list(&s, items);
}

static bool failsafe(const struct policy *policy, const struct environment *env,
		     const struct packet_ends *e, bool *named)
{
	bool hit = false;

	if (e->to.kind != WEIR_SELF)
		return false;
	if (!policy->has_failsafe) {
		for (size_t i = 0; i < policy->nr_rules; i++) {
			const struct rule *rule = &policy->rule[i];
			bool self = !rule->to.n || holds_self(policy, env, &rule->to);

			for (size_t j = 0; j < rule->published.n; j++)
				if (rule->published.service[j].proto == 6 &&
				    rule->published.service[j].first <= 22 &&
				    22 <= rule->published.service[j].last)
					return false;

			for (size_t j = 0; self && j < rule->port.n; j++) {
				const struct service *s = &rule->port.service[j];

				if (s->proto == 6 &&
				    (s->first == PORT_ANY || (s->first <= 22 && 22 <= s->last)))
					return false;
			}
		}
		*named |= e->packet->proto == 6 && e->packet->port == 22;
		return e->packet->proto == 6 && e->packet->port == 22;
	}
	for (size_t i = 0; i < policy->nr_failsafe; i++) {
		const struct failsafe_rule *rule = &policy->failsafe[i];
		int port = port_matches(&rule->port, e->packet->proto, e->packet->port);

		if (port == PORT_NO || (rule->from.n && !in_list(&e->from, &rule->from)))
			continue;
		hit = true;
		*named |= port == PORT_NAMES;
	}
	return hit;
}

/* How the rule covers the packet: by its ends and port, or as what NAT hands on. */
static int rule_matches(const struct rule *rule, const struct packet_ends *e)
{
	int port = port_matches(&rule->port, e->packet->proto, e->packet->port), published;

	if (!on_matches(&rule->on, e->packet->interface))
		return PORT_NO;
	if (!from_to(e, &rule->from, !rule->from.n, &rule->to, rule->to.n ? TO_LIST : ITEM_SELF))
		port = PORT_NO;
	if (!rule->published.n || !from_to(e, &rule->from, !rule->from.n, NULL, ITEM_SELF))
		return port;
	published = port_matches(&rule->published, e->packet->proto, e->packet->port);
	return published > port ? published : port;
}

static void walk_rules(const struct policy *policy, const struct packet_ends *e,
		       struct naive_answer *ret)
{
	int allow = -1, deny = -1;

	for (size_t i = 0; i < policy->nr_rules; i++) {
		const struct rule *rule = &policy->rule[i];
		int port = rule_matches(rule, e);

		if (port == PORT_NO)
			continue;
		if (rule->action == RULE_DENY && deny < 0)
			deny = i;
		if (rule->action == RULE_ALLOW && allow < 0)
			allow = i;
		if (rule->action == RULE_ALLOW && port == PORT_NAMES)
			ret->named = true;
	}
	ret->action = deny >= 0 ? WEIR_ACT_DENY : allow >= 0 ? WEIR_ACT_ALLOW : WEIR_ACT_DEFAULT;
	ret->rule = deny >= 0 ? deny : allow;
	ret->log =
	    deny < 0 && allow >= 0 &&
	    (policy->rule[allow].log || has_name(&policy->audit.pass, policy->rule[allow].name));
}

static void walk_limits(const struct policy *policy, const struct packet_ends *e, bool vip,
			struct naive_answer *ret)
{
	for (size_t i = 0; i < policy->nr_limits; i++) {
		const struct limit_rule *limit = &policy->limit[i];
		enum item_kind to = limit->has_to     ? TO_LIST
				    : limit->has_from ? ITEM_ANY
						      : ITEM_SELF;

		/* Behind a service address somebody else receives, and is charged there. */
		if (vip && (limit->has_to || !limit->has_from))
			continue;
		if (limit->count == WEIR_COUNT_CONNECTIONS && e->packet->proto != 6)
			continue;
		if (port_matches(&limit->port, e->packet->proto, e->packet->port) == PORT_NO ||
		    !on_matches(&limit->on, e->packet->interface) ||
		    !from_to(e, &limit->from, !limit->has_from, &limit->to, to))
			continue;
		if (ret->nr_limits < NAIVE_MAX_LIMITS)
			ret->limit[ret->nr_limits++] = i;
	}
}

static int protecting(const struct policy *policy, const struct packet_ends *e)
{
	for (size_t i = 0; i < policy->nr_protects; i++) {
		const struct protect_rule *rule = &policy->protect[i];

		if (port_matches(&rule->port, e->packet->proto, e->packet->port) != PORT_NO &&
		    in_list(&e->to, &rule->to))
			return i + 1;
	}
	return 0;
}

static bool all_addresses(const struct policy *policy, const struct items *items)
{
	for (size_t i = 0; i < items->n; i++) {
		const struct item *item = &items->item[i];

		if (item->kind == ITEM_PREFIX && item->prefix.length == 0)
			return true;
		for (size_t j = 0; item->kind == ITEM_SEGMENT && j < policy->nr_segments; j++)
			if (strcmp(policy->segment[j].name, item->name) == 0 &&
			    all_addresses(policy, &policy->segment[j].members))
				return true;
	}
	return false;
}

/* Somebody in particular: not whoever it may be. */
static bool in_particular(const struct subject *s, const struct items *items)
{
	struct subject anybody = {s->policy, s->env, NULL, WEIR_OTHER};

	return in_list(s, items) && !in_list(&anybody, items) && !all_addresses(s->policy, items);
}

static bool names_ssh(const struct services *port)
{
	for (size_t i = 0; i < port->n; i++)
		if (port->service[i].proto == 6 &&
		    (port->service[i].first == PORT_ANY ||
		     (port->service[i].first <= 22 && port->service[i].last >= 22)))
			return true;
	return false;
}

static bool leads_to_self(const struct subject *s, const struct items *to)
{
	struct subject self = {s->policy, s->env, NULL, WEIR_SELF};

	for (size_t i = 0; i < to->n; i++)
		if (to->item[i].kind == ITEM_INTERFACE)
			return true;
	return to->n == 0 || in_list(&self, to);
}

static bool spared(const struct subject *s)
{
	const struct policy *policy = s->policy;

	for (size_t i = 0; i < policy->nr_segments; i++) {
		struct item item = {.kind = ITEM_SEGMENT, .name = policy->segment[i].name};
		struct items proxy = {&item, 1};

		if (policy->segment[i].proxy && in_particular(s, &proxy))
			return true;
	}
	for (size_t i = 0; i < policy->nr_rules; i++)
		if (policy->rule[i].action == RULE_ALLOW && names_ssh(&policy->rule[i].port) &&
		    leads_to_self(s, &policy->rule[i].to) &&
		    in_particular(s, &policy->rule[i].from))
			return true;
	for (size_t i = 0; policy->has_failsafe && i < policy->nr_failsafe; i++)
		if (in_particular(s, &policy->failsafe[i].from))
			return true;
	return false;
}

/* The default of an address: segments first, and a deny of any of them wins. */
static bool default_allows(const struct subject *s, bool egress)
{
	bool denied = false, allowed = false;

	for (size_t i = 0; i < s->policy->nr_segment_defaults; i++) {
		const struct segment_defaults *d = &s->policy->segment_defaults[i];
		enum policy_default said = egress ? d->defaults.egress : d->defaults.ingress;

		if (!in_segment(s, d->segment))
			continue;
		denied |= said == DEFAULT_DENY;
		allowed |= said == DEFAULT_ALLOW;
	}
	if (denied || allowed)
		return !denied;
	if (egress)
		return s->policy->defaults.egress != DEFAULT_DENY;
	return s->policy->defaults.ingress == DEFAULT_ALLOW;
}

static void judge(const struct policy *policy, const struct packet_ends *e,
		  struct naive_answer *ret)
{
	bool ours_from = e->from.kind != WEIR_OTHER, ours_to = e->to.kind != WEIR_OTHER;
	enum policy_default forward = policy->defaults.forward;

	if (forward == DEFAULT_UNSAID)
		forward = policy->defaults.ingress;
	ret->later = ret->action == WEIR_ACT_LATER;
	ret->ingress_allow = ret->egress_allow = ret->action != WEIR_ACT_DENY && !ret->later;
	if (ret->action == WEIR_ACT_DEFAULT) {
		ret->ingress_allow = !ours_to || default_allows(&e->to, false);
		ret->egress_allow = !ours_from || default_allows(&e->from, true);
		if (!ours_from && !ours_to)
			ret->ingress_allow = ret->egress_allow = forward == DEFAULT_ALLOW;
	}
	if ((ret->source_blocked || ret->destination_blocked) && ret->action != WEIR_ACT_FAILSAFE) {
		ret->ingress_allow = ret->egress_allow = ret->later = false;
		ret->rule = -1;
	}
	ret->allow = ret->ingress_allow && ret->egress_allow;
}

/* ---- service addresses: every endpoint is asked, as whatever it may be ---- */

static const struct service_rule *service_of(const struct policy *policy,
					     const struct naive_packet *packet)
{
	for (size_t i = 0; i < policy->nr_services; i++) {
		const struct service_rule *s = &policy->service[i];

		if (packet->destination_kind != WEIR_SELF && s->port.proto == packet->proto &&
		    s->port.first == packet->port && in_prefix(&s->address, &packet->destination))
			return s;
	}
	return NULL;
}

static bool is_own(const struct environment *env, const struct weir_addr *address)
{
	for (size_t i = 0; i < env->nr_interfaces; i++)
		for (size_t j = 0; j < env->interface[i].nr_addresses; j++)
			if (!memcmp(&env->interface[i].address[j].address, address, 16))
				return true;
	return false;
}

struct endpoints {
	int deny, allow, deny_rule, allow_rule, unsaid; /* how many, first rules */
	bool own_deny, own_unsaid, all_named;
};

static void ask_endpoint(const struct policy *policy, const struct environment *env,
			 const struct naive_packet *packet, const struct endpoint *endpoint,
			 enum weir_kind kind, struct endpoints *sum)
{
	struct naive_packet there = *packet;
	struct packet_ends e = {{policy, env, &there.source, there.source_kind},
				{policy, env, &there.destination, kind},
				&there};
	struct naive_answer a = {0};

	there.destination = endpoint->address.address;
	there.destination_kind = kind;
	there.port = endpoint->port;
	walk_rules(policy, &e, &a);
	if (a.action == WEIR_ACT_DENY) {
		if (!sum->deny++ || a.rule < sum->deny_rule)
			sum->deny_rule = a.rule;
		sum->own_deny |= kind == WEIR_SELF;
	} else if (a.action == WEIR_ACT_ALLOW) {
		if (!sum->allow++ || a.rule < sum->allow_rule)
			sum->allow_rule = a.rule;
		sum->all_named &= a.named;
	} else {
		sum->unsaid++;
		sum->own_unsaid |= kind == WEIR_SELF;
	}
}

static void set_action(struct naive_answer *ret, int action, int rule)
{
	ret->action = action;
	ret->rule = rule;
	if (action != WEIR_ACT_ALLOW)
		ret->log = false;
}

/* @ret has what rules say of the address itself. */
static void ask_endpoints(const struct policy *policy, const struct environment *env,
			  const struct naive_packet *packet, const struct service_rule *service,
			  struct naive_answer *ret)
{
	struct endpoints sum = {.all_named = true};
	bool closed = policy->defaults.ingress != DEFAULT_ALLOW, allow;

	for (size_t i = 0; i < policy->nr_segment_defaults; i++)
		closed |= policy->segment_defaults[i].defaults.ingress == DEFAULT_DENY;
	for (size_t i = 0; i < service->nr_endpoints; i++)
		if (is_own(env, &service->endpoint[i].address.address)) {
			ask_endpoint(policy, env, packet, &service->endpoint[i], WEIR_SELF, &sum);
		} else {
			ask_endpoint(policy, env, packet, &service->endpoint[i], WEIR_WORKLOAD,
				     &sum);
			ask_endpoint(policy, env, packet, &service->endpoint[i], WEIR_OTHER, &sum);
		}
	allow = ret->action == WEIR_ACT_ALLOW;
	if (ret->action == WEIR_ACT_DENY)
		return;
	if (sum.deny && (sum.own_deny || (!sum.allow && !sum.unsaid) || (sum.own_unsaid && !allow)))
		set_action(ret, WEIR_ACT_DENY, sum.deny_rule);
	else if (sum.deny)
		set_action(ret, WEIR_ACT_LATER, -1);
	else if (allow)
		return;
	else if (!sum.unsaid) {
		set_action(ret, WEIR_ACT_ALLOW, sum.allow_rule);
		ret->named = sum.all_named;
		ret->log = policy->rule[sum.allow_rule].log ||
			   has_name(&policy->audit.pass, policy->rule[sum.allow_rule].name);
	} else if (sum.own_unsaid && closed)
		set_action(ret, WEIR_ACT_DENY, -1);
	else if (sum.allow && !sum.own_unsaid)
		set_action(ret, WEIR_ACT_LATER, -1);
	if (ret->action != WEIR_ACT_ALLOW)
		ret->named = false;
}

/* What rules, service addresses, failsafe and limits make of it; the lists of blocks are not asked. */
static void rule_on(const struct policy *policy, const struct packet_ends *e,
		    struct naive_answer *ret)
{
	const struct service_rule *service = service_of(policy, e->packet);
	bool named = false;

	memset(ret, 0, sizeof(*ret));
	ret->rule = -1;
	walk_rules(policy, e, ret);
	if (service)
		ask_endpoints(policy, e->from.env, e->packet, service, ret);
	if (failsafe(policy, e->from.env, e, &named)) {
		ret->action = WEIR_ACT_FAILSAFE;
		ret->rule = -1;
		ret->log = false;
		ret->named |= named;
	} else if (ret->action == WEIR_ACT_DENY) {
		ret->named = false;
	} else {
		walk_limits(policy, e, service, ret);
	}
	if (ret->action != WEIR_ACT_DENY && !service)
		ret->protect = protecting(policy, e);
	/* Where there are cookies, whoever has a limit of connections is watched for those that come again. */
	for (unsigned int i = 0; i < ret->nr_limits && policy->nr_protects; i++)
		if (!service && !ret->protect &&
		    policy->limit[ret->limit[i]].count == WEIR_COUNT_CONNECTIONS)
			ret->protect = policy->nr_protects + 1;
}

void naive_eval(const struct policy *policy, const struct environment *env,
		const struct naive_packet *packet, struct naive_answer *ret)
{
	struct packet_ends e = {{policy, env, &packet->source, packet->source_kind},
				{policy, env, &packet->destination, packet->destination_kind},
				packet};

	rule_on(policy, &e, ret);
	ret->source_blocked = in_list(&e.from, &policy->block);
	ret->destination_blocked = in_list(&e.to, &policy->block);
	ret->source_never = in_list(&e.from, &policy->never_block);
	ret->destination_never = in_list(&e.to, &policy->never_block);
	ret->source_spared = spared(&e.from);
	ret->destination_spared = spared(&e.to);
	judge(policy, &e, ret);
}

/* ---- fragments: every service that makes a difference is asked ---- */

#define NO_RULE INT_MAX /* -1: the default did */

struct union_of {
	const struct policy *policy;
	const struct environment *env;
	struct naive_packet packet;
	bool default_seen, failsafe, named, later;
	int allow, deny;
	bool allow_log;
	bool limit[NAIVE_MAX_LIMITS];
};

static void ask(struct union_of *u, int proto, int port)
{
	struct packet_ends e = {
	    {u->policy, u->env, &u->packet.source, u->packet.source_kind},
	    {u->policy, u->env, &u->packet.destination, u->packet.destination_kind},
	    &u->packet};
	struct naive_answer a;

	u->packet.proto = proto;
	u->packet.port = port;
	rule_on(u->policy, &e, &a);
	u->named |= a.named;
	u->default_seen |= a.action == WEIR_ACT_DEFAULT;
	u->failsafe |= a.action == WEIR_ACT_FAILSAFE;
	u->later |= a.action == WEIR_ACT_LATER;
	if (a.action == WEIR_ACT_DENY && a.rule < u->deny)
		u->deny = a.rule;
	if (a.action == WEIR_ACT_ALLOW && a.rule < u->allow) {
		u->allow = a.rule;
		u->allow_log = a.log;
	}
	for (size_t i = 0; i < a.nr_limits; i++)
		if (u->policy->limit[a.limit[i]].count != WEIR_COUNT_CONNECTIONS)
			u->limit[a.limit[i]] = true;
}

static void ask_around(struct union_of *u, const struct services *port, int proto, int most)
{
	for (size_t i = 0; i < port->n; i++)
		for (int d = -1; d <= 1; d++) {
			int first = port->service[i].first + d, last = port->service[i].last + d;

			if (first >= 0 && first <= most)
				ask(u, proto, first);
			if (last >= 0 && last <= most)
				ask(u, proto, last);
		}
}

static void ask_protocol(struct union_of *u, int proto)
{
	bool ports = proto == 6 || proto == 17 || proto == 132, types = proto == 1 || proto == 58;
	int most = ports ? 65535 : types ? 255 : 0;

	ask(u, proto, 0);
	ask(u, proto, most);
	if (proto == 6)
		for (int port = 21; port <= 23; port++)
			ask(u, proto, port);
	for (size_t i = 0; i < u->policy->nr_rules; i++) {
		ask_around(u, &u->policy->rule[i].port, proto, most);
		ask_around(u, &u->policy->rule[i].published, proto, most);
	}
	for (size_t i = 0; i < u->policy->nr_services; i++)
		ask_around(u, &(struct services){&u->policy->service[i].port, 1}, proto, most);
	for (size_t i = 0; i < u->policy->nr_limits; i++)
		ask_around(u, &u->policy->limit[i].port, proto, most);
	for (size_t i = 0; i < u->policy->nr_failsafe; i++)
		ask_around(u, &u->policy->failsafe[i].port, proto, most);
}

void naive_fragment(const struct policy *policy, const struct environment *env,
		    const struct naive_packet *packet, bool v6, struct naive_answer *ret)
{
	struct union_of u = {policy, env, *packet, .allow = NO_RULE, .deny = NO_RULE};

	for (int proto = 0; proto < 256; proto++)
		if (v6 || proto == packet->proto)
			ask_protocol(&u, proto);
	memset(ret, 0, sizeof(*ret));
	ret->rule = -1;
	if (u.allow != NO_RULE || u.failsafe)
		ret->action = WEIR_ACT_ALLOW;
	else if (u.later)
		ret->action = WEIR_ACT_LATER;
	else if (u.deny != NO_RULE && !u.default_seen)
		ret->action = WEIR_ACT_DENY;
	if (ret->action == WEIR_ACT_ALLOW && u.allow != NO_RULE)
		ret->rule = u.allow;
	else if (ret->action == WEIR_ACT_DENY)
		ret->rule = u.deny;
	ret->log = ret->action == WEIR_ACT_ALLOW && u.allow != NO_RULE && u.allow_log;
	ret->named = ret->action == WEIR_ACT_ALLOW && u.named;
	for (size_t i = 0; ret->action != WEIR_ACT_DENY && i < policy->nr_limits; i++)
		if (u.limit[i])
			ret->limit[ret->nr_limits++] = i;
}
