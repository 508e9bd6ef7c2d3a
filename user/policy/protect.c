// SPDX-License-Identifier: GPL-2.0-only
/* What packets must be before rules speak of them: tags of VLANs, SYNs of clients that are who they say. */
#include "policy/reader.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"

#define VLAN_MAX 4094 /* 4095 is reserved by IEEE 802.1Q, 0 is no VLAN */

static int vlan_number(struct reader *reader, const struct node *node, const char *text, __u16 *ret)
{
	__u64 number;

	if (units_parse_number(text, &number, NULL) || !number || number > VLAN_MAX)
		return reject(reader, &node->at, "vlans: \"%.64s\" is not in 1..%d%s", node->text,
			      VLAN_MAX,
			      strcmp(text, "0") ? "" : "; VID 0 is untagged traffic, always ours");
	*ret = number;
	return 0;
}

static int one_vlan(struct reader *reader, const struct node *key, const struct node *value,
		    void *into)
{
	struct vlan_range *range;
	char text[64];
	char *dash;
	int err;

	err = scalar(reader, value, "vlans", "a VLAN's number, or a range like 100-200");
	if (err)
		return err;
	range = mem_append(&reader->policy->vlan, &reader->policy->nr_vlans, sizeof(*range));
	if (!range)
		return -ENOMEM;
	range->at = value->at;
	snprintf(text, sizeof(text), "%s", value->text);
	dash = strchr(text, '-');
	if (dash)
		*dash = '\0';
	err = vlan_number(reader, value, text, &range->first);
	if (!err)
		err = vlan_number(reader, value, dash ? dash + 1 : text, &range->last);
	if (!err && range->last < range->first)
		err =
		    reject(reader, &value->at, "vlans: %u comes before %u; write the smaller first",
			   range->last, range->first);
	return err;
}

int read_vlans(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	return read_each(reader, key, value, one_vlan, NULL);
}

/** struct draft - an entry while it is read. */
struct draft {
	struct protect_rule *rule;
	const struct node *cookies, *above;
};

static int protect_to(struct reader *reader, const struct node *key, const struct node *value,
		      void *into)
{
	return read_items(reader, key, value, &((struct draft *)into)->rule->to);
}

static int protect_port(struct reader *reader, const struct node *key, const struct node *value,
			void *into)
{
	return read_services(reader, key, value, &((struct draft *)into)->rule->port);
}

static int cookies_above(struct reader *reader, const struct node *key, const struct node *value,
			 void *into)
{
	((struct draft *)into)->above = value;
	return 0;
}

static const struct key cookies_keys[] = {{"above", cookies_above}, {}};
const struct scope scope_syn_cookies = {"syn_cookies", cookies_keys};

static int protect_cookies(struct reader *reader, const struct node *key, const struct node *value,
			   void *into)
{
	((struct draft *)into)->cookies = key;
	return read_map(reader, value, &scope_syn_cookies, into);
}

static const struct key protect_keys[] = {
    {"to", protect_to}, {"port", protect_port}, {"syn_cookies", protect_cookies}, {}};
const struct scope scope_protect = {"protect", protect_keys};

/* The node answers in place of a socket of its own: it knows none of anybody else's. */
static int check_to(struct reader *reader, const struct protect_rule *rule)
{
	for (size_t i = 0; i < rule->to.n; i++) {
		const struct item *item = &rule->to.item[i];

		if (item->kind != ITEM_SELF && item->kind != ITEM_INTERFACE)
			return reject(
			    reader, &item->at,
			    "protect: to is self or {interface: NAME}: this node can answer for its own sockets only");
	}
	return 0;
}

static int check_ports(struct reader *reader, const struct protect_rule *rule)
{
	for (size_t i = 0; i < rule->port.n; i++) {
		const struct service *service = &rule->port.service[i];

		if (service->proto != IPPROTO_TCP || service->first == PORT_ANY)
			return reject(
			    reader, &service->at,
			    "protect: port is tcp/N or tcp/N-M: only TCP has SYNs to answer, and ports are named");
	}
	return 0;
}

static int finish(struct reader *reader, const struct node *node, struct draft *draft)
{
	struct protect_rule *rule = draft->rule;
	struct rate rate;
	int err = 0;

	if (!rule->port.n || !draft->cookies)
		return reject(reader, &node->at, "protect: %s is missing",
			      rule->port.n ? "syn_cookies" : "port");
	if (!draft->above)
		return reject(
		    reader, &draft->cookies->at,
		    "syn_cookies: above is missing: the rate of SYNs from which they are answered with cookies, like 10000/second");
	if (!rule->to.n)
		err = fill_items(&rule->to, ITEM_SELF, &rule->at);
	if (!err)
		err = check_to(reader, rule);
	if (!err)
		err = check_ports(reader, rule);
	if (!err && draft->above->kind == NODE_SCALAR &&
	    !units_parse_rate(draft->above->text, &rate, NULL) && rate.bytes)
		err = reject(reader, &draft->above->at,
			     "above \"%.64s\" counts bytes; SYNs are counted like 10000/second",
			     draft->above->text);
	return err ? err
		   : read_rate(reader, draft->above, "above", false, &rule->rate, &rule->period_ns);
}

static int one_protect(struct reader *reader, const struct node *key, const struct node *value,
		       void *into)
{
	struct policy *policy = reader->policy;
	struct draft draft = {};
	int err;

	if (policy->nr_protects == WEIR_MAX_PROTECTS)
		return reject(reader, &value->at,
			      "protect has at most %d entries; one may list several ports",
			      WEIR_MAX_PROTECTS);
	draft.rule = mem_append(&policy->protect, &policy->nr_protects, sizeof(*draft.rule));
	if (!draft.rule)
		return -ENOMEM;
	draft.rule->at = value->at;
	err = read_map(reader, value, &scope_protect, &draft);
	return err ? err : finish(reader, value, &draft);
}

int read_protect(struct reader *reader, const struct node *key, const struct node *value,
		 void *into)
{
	return read_list(reader, key, value, one_protect, NULL);
}

/* The first of @a that @b has some of, or NULL. */
static const struct service *overlap(const struct services *a, const struct services *b)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t j = 0; j < b->n; j++)
			if (a->service[i].proto == b->service[j].proto &&
			    a->service[i].first <= b->service[j].last &&
			    b->service[j].first <= a->service[i].last)
				return &a->service[i];
	return NULL;
}

/* Cookies are sent by XDP alone. */
static int check_xdp(const struct policy *policy, const struct item *unit, struct diag *diag)
{
	const struct position *protect = &policy->protect[0].at;

	for (size_t i = 0; i < policy->nr_interfaces; i++) {
		const struct interface_rule *rule = &policy->interface[i];

		if (rule->xdp == XDP_OFF)
			return diag_fail(
			    diag, -EINVAL, &rule->at,
			    "interface \"%s\" has xdp: off, and protect (%s:%u:%u) answers SYNs in XDP only",
			    rule->pattern, protect->file, protect->line, protect->column);
	}
	if (unit)
		return diag_fail(
		    diag, -EINVAL, &unit->at,
		    "unit \"%s\": with units TC judges in place of XDP, and protect (%s:%u:%u) answers SYNs in XDP only",
		    unit->name, protect->file, protect->line, protect->column);
	return 0;
}

static int find_unit(void *arg, struct item *item)
{
	if (item->kind != ITEM_UNIT)
		return 0;
	*(const struct item **)arg = item;
	return 1;
}

int check_protect(const struct policy *policy, struct diag *diag)
{
	const struct item *unit = NULL;

	if (!policy->nr_protects)
		return 0;
	policy_each_item(policy, find_unit, &unit);
	if (check_xdp(policy, unit, diag))
		return -EINVAL;
	for (size_t i = 0; i < policy->nr_protects; i++)
		for (size_t j = 0; j < policy->nr_rules; j++) {
			const struct rule *rule = &policy->rule[j];

			const struct service *port =
			    overlap(&policy->protect[i].port, &rule->published);

			if (port && rule->action == RULE_ALLOW)
				return diag_fail(
				    diag, -EINVAL, &port->at,
				    "protect: NAT hands this port on to somebody else (published at %s:%u:%u), and no socket of this node takes its cookies",
				    rule->at.file, rule->at.line, rule->at.column);
		}
	return 0;
}
