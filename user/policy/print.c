// SPDX-License-Identifier: GPL-2.0-only
/* The policy as canonical text. */
#include "policy/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/units.h"
#include "policy/service.h"

/* A text in double quotes, which hold anything. */
static void print_quoted(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void print_item(FILE *out, const struct item *item)
{
	char first[ADDR_TEXT_LEN], last[ADDR_TEXT_LEN];

	switch (item->kind) {
	case ITEM_ANY:
		fputs("any", out);
		return;
	case ITEM_SELF:
		fputs("self", out);
		return;
	case ITEM_WORKLOADS:
		fputs("workloads", out);
		return;
	case ITEM_PREFIX:
		fprintf(out, "\"%s\"", prefix_format(&item->prefix, first));
		return;
	case ITEM_RANGE:
		fprintf(out, "\"%s-%s\"", addr_format(&item->first, first),
			addr_format(&item->last, last));
		return;
	case ITEM_SEGMENT:
		fputs(item->name, out);
		return;
	case ITEM_INTERFACE:
	case ITEM_FILE:
	case ITEM_CONTAINER:
	case ITEM_NETWORK:
	case ITEM_COMPOSE:
	case ITEM_NAME:
	case ITEM_UNIT:
		fprintf(out, "{%s: ", item_key(item->kind));
		print_quoted(out, item->name);
		fputc('}', out);
	}
}

/* Always a list: one line for one thing, whatever it holds. */
static void print_items(FILE *out, const struct items *items)
{
	fputc('[', out);
	for (size_t i = 0; i < items->n; i++) {
		fputs(i ? ", " : "", out);
		print_item(out, &items->item[i]);
	}
	fputc(']', out);
}

static void print_services(FILE *out, const struct services *services)
{
	char text[SERVICE_TEXT_LEN];

	fputc('[', out);
	for (size_t i = 0; i < services->n; i++)
		fprintf(out, "%s%s", i ? ", " : "", service_format(&services->service[i], text));
	fputc(']', out);
}

static void print_names(FILE *out, const struct names *names)
{
	fputc('[', out);
	for (size_t i = 0; i < names->n; i++) {
		fputs(i ? ", " : "", out);
		print_quoted(out, names->name[i]);
	}
	fputc(']', out);
}

static const char *yes(bool value)
{
	return value ? "true" : "false";
}

static const char *direction(enum policy_default value)
{
	return value == DEFAULT_ALLOW ? "allow" : "deny";
}

static void print_interfaces(FILE *out, const char *key, const struct interface_rule *rules,
			     size_t n, bool antispoof)
{
	static const char *const spoofed[] = {[WEIR_ANTISPOOF_OFF] = "off",
					      [WEIR_ANTISPOOF_STRICT] = "strict",
					      [WEIR_ANTISPOOF_LOOSE] = "loose"};
	static const char *const modes[] = {[XDP_AUTO] = "auto",
					    [XDP_NATIVE] = "native",
					    [XDP_GENERIC] = "generic",
					    [XDP_OFF] = "off"};

	if (n)
		fprintf(out, "%s:\n", key);
	for (size_t i = 0; i < n; i++) {
		fputs("  - {name: ", out);
		print_quoted(out, rules[i].pattern);
		fprintf(out, ", xdp: %s", modes[rules[i].xdp]);
		if (antispoof)
			fprintf(out, ", antispoof: %s", spoofed[rules[i].antispoof]);
		fputs("}\n", out);
	}
}

static void print_failsafe(FILE *out, const struct policy *policy)
{
	if (policy->has_failsafe)
		fprintf(out, "failsafe:%s\n", policy->nr_failsafe ? "" : " []");
	for (size_t i = 0; i < policy->nr_failsafe; i++) {
		fputs("  - {port: ", out);
		print_services(out, &policy->failsafe[i].port);
		if (policy->failsafe[i].from.n) {
			fputs(", from: ", out);
			print_items(out, &policy->failsafe[i].from);
		}
		fputs("}\n", out);
	}
}

static void print_segments(FILE *out, const struct policy *policy)
{
	if (policy->nr_segments)
		fputs("segments:\n", out);
	for (size_t i = 0; i < policy->nr_segments; i++) {
		const struct segment *segment = &policy->segment[i];

		fprintf(out, "  %s: {members: ", segment->name);
		print_items(out, &segment->members);
		fputs(", except: ", out);
		print_items(out, &segment->except);
		fprintf(out, ", proxy: %s}\n", yes(segment->proxy));
	}
	if (policy->nr_segment_defaults)
		fputs("defaults:\n", out);
	for (size_t i = 0; i < policy->nr_segment_defaults; i++) {
		const struct segment_defaults *entry = &policy->segment_defaults[i];
		const struct defaults *said = &entry->defaults;

		fprintf(out, "  %s: {", entry->segment);
		if (said->ingress != DEFAULT_UNSAID)
			fprintf(out, "ingress: %s", direction(said->ingress));
		if (said->egress != DEFAULT_UNSAID)
			fprintf(out, "%segress: %s", said->ingress != DEFAULT_UNSAID ? ", " : "",
				direction(said->egress));
		fputs("}\n", out);
	}
}

static void print_rules(FILE *out, const struct policy *policy, enum rule_action action)
{
	bool first = true;

	for (size_t i = 0; i < policy->nr_rules; i++) {
		const struct rule *rule = &policy->rule[i];

		if (rule->action != action)
			continue;
		if (first)
			fputs(action == RULE_ALLOW ? "allow:\n" : "deny:\n", out);
		first = false;
		fputs("  - {", out);
		if (rule->name)
			fprintf(out, "name: %s, ", rule->name);
		if (rule->from.n) {
			fputs("from: ", out);
			print_items(out, &rule->from);
			fputs(", ", out);
		}
		if (rule->to.n) {
			fputs("to: ", out);
			print_items(out, &rule->to);
			fputs(", ", out);
		}
		if (rule->port.n) {
			fputs("port: ", out);
			print_services(out, &rule->port);
			fputs(", ", out);
		}
		if (rule->on.n) {
			fputs("on: ", out);
			print_names(out, &rule->on);
			fputs(", ", out);
		}
		if (rule->published.n) {
			fputs("published: ", out);
			print_services(out, &rule->published);
			fputs(", ", out);
		}
		fprintf(out, "log: %s}\n", yes(rule->log));
	}
}

static const char *rate_text(const struct limit_rule *limit, __u64 amount, __u64 period_ns,
			     char *text)
{
	struct rate rate = {
	    .amount = amount,
	    .period_ns = period_ns,
	    .bytes = limit->count == WEIR_COUNT_BYTES,
	};

	return units_format_rate(&rate, text);
}

static void print_limit(FILE *out, const struct limit_rule *limit)
{
	static const char *const counts[] = {[WEIR_COUNT_PACKETS] = "packets",
					     [WEIR_COUNT_BYTES] = "bytes",
					     [WEIR_COUNT_CONNECTIONS] = "connections"};
	static const char *const pers[] = {[WEIR_PER_SOURCE] = "source",
					   [WEIR_PER_DESTINATION] = "destination",
					   [WEIR_PER_PAIR] = "pair",
					   [WEIR_PER_RULE] = "rule"};
	char text[UNITS_TEXT_LEN];

	fputs("  - {", out);
	if (limit->name)
		fprintf(out, "name: %s, ", limit->name);
	if (limit->has_from) {
		fputs("from: ", out);
		print_items(out, &limit->from);
		fputs(", ", out);
	}
	if (limit->has_to) {
		fputs("to: ", out);
		print_items(out, &limit->to);
		fputs(", ", out);
	}
	if (limit->port.n) {
		fputs("port: ", out);
		print_services(out, &limit->port);
		fputs(", ", out);
	}
	if (limit->on.n) {
		fputs("on: ", out);
		print_names(out, &limit->on);
		fputs(", ", out);
	}
	fprintf(out, "count: %s, rate: %s, ", counts[limit->count],
		rate_text(limit, limit->rate, limit->period_ns, text));
	if (limit->count == WEIR_COUNT_BYTES)
		fprintf(out, "burst: %s, ", units_format_size(limit->burst, text));
	else
		fprintf(out, "burst: %llu, ", limit->burst);
	fprintf(out, "per: %s, key: {ipv4: %u, ipv6: %u}, entries: %u, ", pers[limit->per],
		limit->key4, limit->key6, limit->entries);
	if (limit->overflow_rate)
		fprintf(out, "overflow: %s, ",
			rate_text(limit, limit->overflow_rate, limit->overflow_period_ns, text));
	if (limit->block_ns)
		fprintf(out, "on_exceed: {block: %s}, ",
			units_format_duration(limit->block_ns, text));
	else
		fputs("on_exceed: drop, ", out);
	fprintf(out, "mode: %s, log: %s}\n", limit->monitor ? "monitor" : "enforce",
		yes(limit->log));
}

static void print_block(FILE *out, const char *key, const struct items *items)
{
	if (!items->n)
		return;
	fprintf(out, "%s:\n", key);
	for (size_t i = 0; i < items->n; i++) {
		fputs("  - ", out);
		print_item(out, &items->item[i]);
		fputc('\n', out);
	}
}

static void print_service_rules(FILE *out, const struct policy *policy)
{
	char text[ADDR_TEXT_LEN], port[SERVICE_TEXT_LEN];

	if (policy->nr_services)
		fputs("services:\n", out);
	for (size_t i = 0; i < policy->nr_services; i++) {
		const struct service_rule *service = &policy->service[i];

		fprintf(out, "  - {address: \"%s\", port: %s, endpoints: [",
			prefix_format(&service->address, text),
			service_format(&service->port, port));
		for (size_t j = 0; j < service->nr_endpoints; j++) {
			const struct endpoint *endpoint = &service->endpoint[j];

			fprintf(out, endpoint->address.v6 ? "%s\"[%s]:%u\"" : "%s\"%s:%u\"",
				j ? ", " : "", prefix_format(&endpoint->address, text),
				endpoint->port);
		}
		fputs("]}\n", out);
	}
}

static void print_vlans(FILE *out, const struct policy *policy)
{
	if (!policy->nr_vlans)
		return;
	fputs("vlans: [", out);
	for (size_t i = 0; i < policy->nr_vlans; i++) {
		const struct vlan_range *range = &policy->vlan[i];

		fprintf(out, range->first == range->last ? "%s%u" : "%s%u-%u", i ? ", " : "",
			range->first, range->last);
	}
	fputs("]\n", out);
}

static void print_protects(FILE *out, const struct policy *policy)
{
	char text[UNITS_TEXT_LEN];

	if (policy->nr_protects)
		fputs("protect:\n", out);
	for (size_t i = 0; i < policy->nr_protects; i++) {
		const struct protect_rule *rule = &policy->protect[i];
		const struct rate rate = {.amount = rule->rate, .period_ns = rule->period_ns};

		fputs("  - {to: ", out);
		print_items(out, &rule->to);
		fputs(", port: ", out);
		print_services(out, &rule->port);
		fprintf(out, ", syn_cookies: {above: %s}}\n", units_format_rate(&rate, text));
	}
}

static void print_timeouts(FILE *out, const struct timeouts *timeouts)
{
	const struct {
		const char *key;
		__u32 seconds;
	} all[] = {
	    {"tcp", timeouts->tcp},   {"tcp_closing", timeouts->tcp_closing},
	    {"udp", timeouts->udp},   {"udp_stream", timeouts->udp_stream},
	    {"icmp", timeouts->icmp}, {"half_open", timeouts->half_open},
	};
	char text[UNITS_TEXT_LEN];

	fputs("timeouts: {", out);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		fprintf(out, "%s%s: %s", i ? ", " : "", all[i].key,
			units_format_duration(all[i].seconds * UNITS_NS_PER_S, text));
	fputs("}\n", out);
}

static void print_audit(FILE *out, const struct audit_config *audit)
{
	char text[UNITS_TEXT_LEN];

	fputs("audit:\n", out);
	if (audit->file) {
		fputs("  file: ", out);
		print_quoted(out, audit->file);
		fputc('\n', out);
	}
	if (audit->rotate_bytes || audit->rotate_s)
		fputs("  rotate:\n", out);
	if (audit->rotate_bytes)
		fprintf(out, "    size: %s\n", units_format_size(audit->rotate_bytes, text));
	if (audit->rotate_s)
		fprintf(out, "    age: %s\n",
			units_format_duration(audit->rotate_s * UNITS_NS_PER_S, text));
	if (audit->retention_s)
		fprintf(out, "  retention: %s\n",
			units_format_duration(audit->retention_s * UNITS_NS_PER_S, text));
	if (audit->mask4 >= 0 || audit->mask6 >= 0)
		fputs("  mask:\n", out);
	if (audit->mask4 >= 0)
		fprintf(out, "    ipv4: %d\n", audit->mask4);
	if (audit->mask6 >= 0)
		fprintf(out, "    ipv6: %d\n", audit->mask6);
	fprintf(out, "  events_per_second: %u\n  per_source_per_second: %u\n",
		audit->events_per_second, audit->per_source_per_second);
	if (audit->pass.n) {
		fputs("  pass: ", out);
		print_names(out, &audit->pass);
		fputc('\n', out);
	}
}

static void print_test(FILE *out, const struct test_case *test)
{
	static const char *const homes[] = {
	    [HOME_SELF] = "self", [HOME_WORKLOAD] = "workload", [HOME_TRANSIT] = "transit"};
	char text[SERVICE_TEXT_LEN];

	fputs("  - {from: ", out);
	print_item(out, &test->from);
	fputs(", to: ", out);
	print_item(out, &test->to);
	fprintf(out, ", port: %s, expect: %s", service_format(&test->port, text),
		test->expect_allow ? "allow" : "deny");
	if (test->home_from != HOME_UNSAID || test->home_to != HOME_UNSAID) {
		fputs(", home: {", out);
		if (test->home_from != HOME_UNSAID)
			fprintf(out, "from: %s", homes[test->home_from]);
		if (test->home_to != HOME_UNSAID)
			fprintf(out, "%sto: %s", test->home_from != HOME_UNSAID ? ", " : "",
				homes[test->home_to]);
		fputc('}', out);
	}
	fputs("}\n", out);
}

static void print_policy(FILE *out, const struct policy *policy)
{
	print_interfaces(out, "interfaces", policy->interface, policy->nr_interfaces, true);
	print_interfaces(out, "workloads", policy->workload, policy->nr_workloads, false);
	print_vlans(out, policy);
	fprintf(out, "default: {ingress: %s, egress: %s, forward: %s}\n",
		direction(policy->defaults.ingress), direction(policy->defaults.egress),
		direction(policy->defaults.forward));
	fprintf(out, "mode: %s\n", policy->monitor ? "monitor" : "enforce");
	print_failsafe(out, policy);
	print_segments(out, policy);
	print_rules(out, policy, RULE_ALLOW);
	print_rules(out, policy, RULE_DENY);
	print_block(out, "block", &policy->block);
	print_block(out, "never_block", &policy->never_block);
	fprintf(out, "blocks_survive_reboot: %s\n", yes(policy->blocks_survive_reboot));
	if (policy->nr_limits)
		fputs("limits:\n", out);
	for (size_t i = 0; i < policy->nr_limits; i++)
		print_limit(out, &policy->limit[i]);
	print_protects(out, policy);
	print_service_rules(out, policy);
	print_timeouts(out, &policy->timeouts);
	print_audit(out, &policy->audit);
	if (policy->nr_tests)
		fputs("tests:\n", out);
	for (size_t i = 0; i < policy->nr_tests; i++)
		print_test(out, &policy->test[i]);
}

int policy_print(const struct policy *policy, char **ret)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	bool failed;

	if (!out)
		return -ENOMEM;
	print_policy(out, policy);
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}
