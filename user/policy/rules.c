// SPDX-License-Identifier: GPL-2.0-only
/* Who may: allow, deny, failsafe. */
#include "policy/reader.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

static int rule_name(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	return read_name(reader, value, &((struct rule *)into)->name);
}

static int rule_from(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	return read_items(reader, key, value, &((struct rule *)into)->from);
}

static int rule_to(struct reader *reader, const struct node *key, const struct node *value,
		   void *into)
{
	return read_items(reader, key, value, &((struct rule *)into)->to);
}

static int rule_port(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	return read_services(reader, key, value, &((struct rule *)into)->port);
}

static int rule_on(struct reader *reader, const struct node *key, const struct node *value,
		   void *into)
{
	return read_patterns(reader, key, value, &((struct rule *)into)->on);
}

static int rule_log(struct reader *reader, const struct node *key, const struct node *value,
		    void *into)
{
	return read_bool(reader, value, "log", &((struct rule *)into)->log);
}

static const struct key rule_keys[] = {
    {"name", rule_name}, {"from", rule_from},		{"to", rule_to},   {"port", rule_port},
    {"on", rule_on},	 {"published", rule_published}, {"log", rule_log}, {},
};
const struct scope scope_rule = {"rule", rule_keys};

/* What is left out: from anybody, to this node, any port. */
static int fill_rule(struct rule *rule)
{
	int err = 0;

	if (!rule->from.n)
		err = fill_items(&rule->from, ITEM_ANY, &rule->at);
	if (!err && !rule->to.n)
		err = fill_items(&rule->to, ITEM_SELF, &rule->at);
	if (!err && !rule->port.n)
		err = fill_services(&rule->port, &rule->at);
	return err;
}

static int read_rule(struct reader *reader, const struct node *value, enum rule_action action)
{
	struct policy *policy = reader->policy;
	struct rule *rule = mem_append(&policy->rule, &policy->nr_rules, sizeof(*rule));
	int err;

	if (!rule)
		return -ENOMEM;
	rule->action = action;
	rule->at = value->at;
	err = read_map(reader, value, &scope_rule, rule);
	if (!err && rule->published.n)
		err = check_published(reader, rule);
	return err ? err : fill_rule(rule);
}

static int one_allow(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	return read_rule(reader, value, RULE_ALLOW);
}

static int one_deny(struct reader *reader, const struct node *key, const struct node *value,
		    void *into)
{
	return read_rule(reader, value, RULE_DENY);
}

int read_allow(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	return read_list(reader, key, value, one_allow, NULL);
}

int read_deny(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	return read_list(reader, key, value, one_deny, NULL);
}

static int failsafe_port(struct reader *reader, const struct node *key, const struct node *value,
			 void *into)
{
	return read_services(reader, key, value, &((struct failsafe_rule *)into)->port);
}

static int failsafe_from(struct reader *reader, const struct node *key, const struct node *value,
			 void *into)
{
	return read_items(reader, key, value, &((struct failsafe_rule *)into)->from);
}

static const struct key failsafe_keys[] = {
    {"port", failsafe_port},
    {"from", failsafe_from},
    {},
};
const struct scope scope_failsafe = {"failsafe", failsafe_keys};

static int one_failsafe(struct reader *reader, const struct node *key, const struct node *value,
			void *into)
{
	struct policy *policy = reader->policy;
	struct failsafe_rule *rule =
	    mem_append(&policy->failsafe, &policy->nr_failsafe, sizeof(*rule));
	int err;

	if (!rule)
		return -ENOMEM;
	rule->at = value->at;
	if (value->kind == NODE_MAP)
		err = read_map(reader, value, &scope_failsafe, rule);
	else
		err = read_services(reader, key, value, &rule->port);
	if (err)
		return err;
	if (!rule->port.n)
		return reject(reader, &value->at, "failsafe: port is missing");
	return rule->from.n ? 0 : fill_items(&rule->from, ITEM_ANY, &rule->at);
}

int read_failsafe(struct reader *reader, const struct node *key, const struct node *value,
		  void *into)
{
	reader->policy->has_failsafe = true;
	return read_each(reader, key, value, one_failsafe, NULL);
}
