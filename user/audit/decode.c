// SPDX-License-Identifier: GPL-2.0-only
#include "audit/decode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"

#define NAME_3(value, id, name)	      [value] = name,
#define NAME_4(value, id, name, help) [value] = name,
static const char *const verdict_name[] = {WEIR_EVENT_VERDICTS(NAME_3)};
static const char *const direction_name[] = {WEIR_DIRECTIONS(NAME_3)};
static const char *const hook_name[] = {WEIR_HOOKS(NAME_3)};
static const char *const reason_name[] = {WEIR_REASONS(NAME_4)};
#define NR(names) (sizeof(names) / sizeof((names)[0]))

static bool is_limit(const struct weir_rule *rule)
{
	return rule->kind == WEIR_RULE_LIMIT;
}

static int compare_key(bool limit_a, __u32 counter_a, bool limit_b, __u32 counter_b)
{
	if (limit_a != limit_b)
		return limit_a ? 1 : -1;
	return counter_a < counter_b ? -1 : counter_a > counter_b;
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct weir_rule *rule = arg;
	const struct weir_rule *left = &rule[*(const __u32 *)a];
	const struct weir_rule *right = &rule[*(const __u32 *)b];

	return compare_key(is_limit(left), left->counter, is_limit(right), right->counter);
}

int audit_names_index(struct audit_names *names)
{
	free(names->order);
	names->order = calloc(names->nr_rules ? names->nr_rules : 1, sizeof(*names->order));
	if (!names->order)
		return -ENOMEM;
	for (size_t i = 0; i < names->nr_rules; i++)
		names->order[i] = i;
	qsort_r(names->order, names->nr_rules, sizeof(*names->order), compare, names->rule);
	return 0;
}

void audit_names_clear(struct audit_names *names)
{
	free(names->rule);
	free(names->file);
	free(names->order);
	memset(names, 0, sizeof(*names));
}

const struct weir_rule *audit_names_rule(const struct audit_names *names, bool limit, __u32 counter)
{
	size_t low = 0, high = names->nr_rules;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct weir_rule *rule = &names->rule[names->order[middle]];
		int order = compare_key(limit, counter, is_limit(rule), rule->counter);

		if (order == 0)
			return rule;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static void name_of(const char *const *names, size_t n, unsigned int value, char *ret, size_t size)
{
	if (value < n && names[value])
		snprintf(ret, size, "%s", names[value]);
	else
		snprintf(ret, size, "#%u", value);
}

static const char *builtin_name(__u32 counter)
{
	switch (counter) {
	case WEIR_RULE_DEFAULT_INGRESS:
		return "default ingress";
	case WEIR_RULE_DEFAULT_EGRESS:
		return "default egress";
	case WEIR_RULE_DEFAULT_FORWARD:
		return "default forward";
	case WEIR_RULE_BUILTIN_FAILSAFE:
		return "failsafe";
	default:
		return NULL;
	}
}

/* Names come out of a map that a privileged process could have filled with anything: bound every copy. */
static void set_rule(const struct audit_names *names, bool limit, __u32 counter,
		     struct audit_record *ret)
{
	const struct weir_rule *rule = names ? audit_names_rule(names, limit, counter) : NULL;
	const char *builtin = limit ? NULL : builtin_name(counter);

	if (rule) {
		snprintf(ret->rule, sizeof(ret->rule), "%.*s", WEIR_NAME_LEN - 1, rule->name);
		ret->line = rule->line;
		if (rule->line && rule->file < names->nr_files)
			snprintf(ret->file, sizeof(ret->file), "%.255s", names->file[rule->file]);
	} else if (builtin) {
		snprintf(ret->rule, sizeof(ret->rule), "%s", builtin);
	} else {
		snprintf(ret->rule, sizeof(ret->rule), "#%u", counter);
	}
}

static struct audit_address address(const struct weir_addr *addr, bool known,
				    const struct audit_mask *mask)
{
	struct audit_address ret = {.known = known};
	int length = addr_is_v4(addr) ? mask->ipv4 : mask->ipv6;
	int full = addr_is_v4(addr) ? 32 : 128;

	if (!known)
		return ret;
	ret.address = *addr;
	if (length >= 0 && length < full) {
		ret.address = addr_mask(addr, length);
		ret.masked = true;
		ret.length = length;
	}
	return ret;
}

static void set_protocol(const struct weir_event *event, struct audit_record *ret)
{
	static const struct {
		__u8 number;
		const char *name;
	} known[] = {
	    {IPPROTO_TCP, "tcp"},	{IPPROTO_UDP, "udp"},	{IPPROTO_ICMP, "icmp"},
	    {IPPROTO_ICMPV6, "icmpv6"}, {IPPROTO_SCTP, "sctp"},
	};

	if (!event->ip_version)
		return;
	snprintf(ret->protocol, sizeof(ret->protocol), "%u", event->protocol);
	for (size_t i = 0; i < NR(known); i++)
		if (known[i].number == event->protocol)
			snprintf(ret->protocol, sizeof(ret->protocol), "%s", known[i].name);
}

static bool is_zero(const struct weir_addr *addr)
{
	static const struct weir_addr zero;

	return memcmp(addr, &zero, sizeof(zero)) == 0;
}

int audit_decode(const void *data, size_t size, const struct audit_names *names,
		 const char *interface, __s64 real_minus_mono_ns, const struct audit_mask *mask,
		 struct audit_record *ret)
{
	struct weir_event event;
	bool addresses, ports;

	if (size < sizeof(event))
		return -EBADMSG;
	memcpy(&event, data, sizeof(event)); /* perf records are aligned to 4 bytes only */
	memset(ret, 0, sizeof(*ret));
	addresses = event.fields & WEIR_EVENT_ADDRS;
	ports = event.fields & WEIR_EVENT_PORTS;

	ret->time_ns = event.time_ns + real_minus_mono_ns;
	ret->source = address(&event.source, addresses, mask);
	ret->destination = address(&event.destination, addresses, mask);
	ret->client = address(&event.client, !is_zero(&event.client), mask);
	ret->source_port = ports ? ntohs(event.source_port) : -1;
	ret->destination_port = ports ? ntohs(event.destination_port) : -1;
	set_protocol(&event, ret);
	name_of(verdict_name, NR(verdict_name), event.verdict, ret->verdict, sizeof(ret->verdict));
	name_of(reason_name, NR(reason_name), event.reason, ret->reason, sizeof(ret->reason));
	name_of(direction_name, NR(direction_name), event.direction, ret->direction,
		sizeof(ret->direction));
	name_of(hook_name, NR(hook_name), event.hook, ret->hook, sizeof(ret->hook));
	if (event.limit != WEIR_NONE)
		set_rule(names, true, event.limit, ret);
	else if (event.rule != WEIR_NONE)
		set_rule(names, false, event.rule, ret);
	if (interface)
		snprintf(ret->interface, sizeof(ret->interface), "%s", interface);
	else
		snprintf(ret->interface, sizeof(ret->interface), "#%u", event.ifindex);
	ret->length = event.length;
	ret->generation = event.generation;
	return 0;
}
