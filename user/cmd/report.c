// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/report.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/term.h"

struct rule_counts rule_counts(const struct policy *policy)
{
	struct rule_counts counts = {};

	for (size_t i = 0; i < policy->nr_rules; i++)
		if (policy->rule[i].action == RULE_ALLOW)
			counts.allow++;
		else
			counts.deny++;
	return counts;
}

void print_failures(const struct loaded *loaded)
{
	for (size_t i = 0; i < loaded->policy->nr_tests && loaded->tests; i++) {
		const struct test_result *result = &loaded->tests[i];
		const struct position *at = &result->test->at;

		if (!result->passed)
			cmd_error("%s:%u:%u: test failed: %s", at->file ? at->file : "-", at->line,
				  at->column, result->text);
	}
}

json_t *json_sha256(const __u8 sha256[32])
{
	char text[65];

	for (int i = 0; i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", sha256[i]);
	return json_string(text);
}

json_t *json_time(__u64 realtime_ns)
{
	char text[TEXT_LEN];

	return realtime_ns ? json_string(text_time(realtime_ns, text)) : json_null();
}

json_t *policy_json(const struct policy *policy)
{
	json_t *object = json_object(), *files = json_array();

	for (size_t i = 0; i < policy->nr_files; i++)
		json_array_append_new(files, json_text(policy->file[i]));
	json_put(object, "files", files);
	json_put(object, "sha256", json_sha256(policy->sha256));
	return object;
}

json_t *rule_counts_json(const struct policy *policy)
{
	struct rule_counts counts = rule_counts(policy);
	json_t *object = json_object();

	json_put_int(object, "allow", counts.allow);
	json_put_int(object, "deny", counts.deny);
	return object;
}

json_t *budget_json(const struct budget *budget)
{
	json_t *object = json_object();

	json_put_int(object, "addresses", budget->addresses);
	json_put_int(object, "classes", budget->classes);
	json_put_int(object, "pairs", budget->pairs);
	json_put_int(object, "cells", budget->cells);
	json_put_int(object, "bytes", budget->bytes);
	return object;
}

json_t *tests_json(const struct loaded *loaded)
{
	json_t *object = json_object(), *failures = json_array();

	for (size_t i = 0; i < loaded->policy->nr_tests && loaded->tests; i++) {
		const struct test_result *result = &loaded->tests[i];
		json_t *failure;

		if (result->passed)
			continue;
		failure = json_object();
		json_put_position(failure, &result->test->at);
		json_put_text(failure, "message", result->text);
		json_array_append_new(failures, failure);
	}
	json_put_int(object, "passed", loaded->policy->nr_tests - loaded->failed);
	json_put_int(object, "failed", loaded->failed);
	json_put(object, "failures", failures);
	return object;
}

json_t *trial_json(__u64 deadline_real_ns, __u32 previous)
{
	json_t *trial = json_object();

	json_put(trial, "deadline", json_time(deadline_real_ns));
	json_put(trial, "previous", previous ? json_integer(previous) : json_null());
	return trial;
}

void json_put_count(json_t *object, const struct weir_count *count)
{
	json_t *passed = json_object(), *dropped = json_object();

	json_put_int(passed, "packets", count->passed_packets);
	json_put_int(passed, "bytes", count->passed_bytes);
	json_put_int(dropped, "packets", count->dropped_packets);
	json_put_int(dropped, "bytes", count->dropped_bytes);
	json_put(object, "passed", passed);
	json_put(object, "dropped", dropped);
}

const char *text_item(const struct item *item, char *buffer, size_t size)
{
	char first[ADDR_TEXT_LEN], last[ADDR_TEXT_LEN];

	switch (item->kind) {
	case ITEM_ANY:
		return "any";
	case ITEM_SELF:
		return "self";
	case ITEM_WORKLOADS:
		return "workloads";
	case ITEM_PREFIX:
		snprintf(buffer, size, "%s", prefix_format(&item->prefix, first));
		break;
	case ITEM_RANGE:
		snprintf(buffer, size, "%s-%s", addr_format(&item->first, first),
			 addr_format(&item->last, last));
		break;
	case ITEM_SEGMENT:
		snprintf(buffer, size, "%s", item->name);
		break;
	case ITEM_INTERFACE:
	case ITEM_FILE:
	case ITEM_CONTAINER:
	case ITEM_NETWORK:
	case ITEM_COMPOSE:
	case ITEM_NAME:
	case ITEM_UNIT:
		snprintf(buffer, size, "{%s: %s}", item_key(item->kind), item->name);
		break;
	}
	return buffer;
}

char *text_items(const struct items *items, const char *if_empty)
{
	char buffer[512], *text = NULL;

	if (!items->n)
		text_join(&text, if_empty);
	for (size_t i = 0; i < items->n; i++)
		text_join(&text, text_item(&items->item[i], buffer, sizeof(buffer)));
	return text;
}

static const char *text_service(const struct service *service, char *buffer, size_t size)
{
	static const struct {
		int proto;
		const char *name;
	} names[] = {{IPPROTO_TCP, "tcp"},
		     {IPPROTO_UDP, "udp"},
		     {IPPROTO_SCTP, "sctp"},
		     {IPPROTO_ICMP, "icmp"},
		     {IPPROTO_ICMPV6, "icmpv6"}};
	const char *name = NULL;

	if (service->proto == PORT_ANY)
		return "any";
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].proto == service->proto)
			name = names[i].name;
	if (!name)
		snprintf(buffer, size, "proto/%d", service->proto);
	else if (service->first == PORT_ANY)
		snprintf(buffer, size, "%s", name);
	else if (service->first == service->last)
		snprintf(buffer, size, "%s/%d", name, service->first);
	else
		snprintf(buffer, size, "%s/%d-%d", name, service->first, service->last);
	return buffer;
}

char *text_services(const struct services *services)
{
	char buffer[64], *text = NULL;

	if (!services->n)
		text_join(&text, "any");
	for (size_t i = 0; i < services->n; i++)
		text_join(&text, text_service(&services->service[i], buffer, sizeof(buffer)));
	return text;
}

char *text_names(const struct names *names)
{
	char *text = NULL;

	for (size_t i = 0; i < names->n; i++)
		text_join(&text, names->name[i]);
	return text;
}

__u64 boot_to_real_ns(__u64 boot_ns)
{
	return now_ns(CLOCK_REALTIME) - now_ns(CLOCK_BOOTTIME) + boot_ns;
}
