// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/status_guards.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/units.h"
#include "cmd/report.h"
#include "cmd/term.h"

const char *antispoof_name(__u8 antispoof)
{
	static const char *const names[] = {[WEIR_ANTISPOOF_OFF] = "off",
					    [WEIR_ANTISPOOF_STRICT] = "strict",
					    [WEIR_ANTISPOOF_LOOSE] = "loose"};

	return antispoof < ARRAY_SIZE(names) ? names[antispoof] : "?";
}

static const struct protect_rule *rule_of(const struct policy *policy, size_t i)
{
	return policy && i < policy->nr_protects ? &policy->protect[i] : NULL;
}

static const char *above_text(const struct protect_rule *rule, char *buffer)
{
	const struct rate rate = {.amount = rule->rate, .period_ns = rule->period_ns};

	return units_format_rate(&rate, buffer);
}

static const char *vlan_text(const struct vlan_range *range, char *buffer, size_t size)
{
	snprintf(buffer, size, range->first == range->last ? "%u" : "%u-%u", range->first,
		 range->last);
	return buffer;
}

/* The clock of the programs began with the boot; 0: not now. */
static __u64 attacked_since(const struct kernel_status *status, const struct protect_status *entry)
{
	__u64 ago = status->now_ns - entry->state.since_ns;

	if (!entry->attacked || !entry->state.since_ns || entry->state.since_ns > status->now_ns)
		return 0;
	return now_ns(CLOCK_REALTIME) - ago;
}

/* ---- JSON ---- */

static json_t *vlans_json(const struct policy *policy)
{
	json_t *list = json_array();
	char text[16];

	for (size_t i = 0; policy && i < policy->nr_vlans; i++)
		json_array_append_new(list,
				      json_text(vlan_text(&policy->vlan[i], text, sizeof(text))));
	return list;
}

static json_t *protect_json(const struct kernel_status *status, const struct policy *policy)
{
	json_t *list = json_array();

	for (size_t i = 0; i < status->nr_protects; i++) {
		const struct protect_status *entry = &status->protect[i];
		const struct protect_rule *rule = rule_of(policy, i);
		_cleanup_free_ char *to = rule ? text_items(&rule->to, "self") : NULL;
		_cleanup_free_ char *port = rule ? text_services(&rule->port) : NULL;
		char above[UNITS_TEXT_LEN];
		json_t *object = json_object();

		json_put_text(object, "to", to);
		json_put_text(object, "port", port);
		json_put_text(object, "above", rule ? above_text(rule, above) : NULL);
		json_put_bool(object, "attacked", entry->attacked);
		json_put(object, "since", json_time(attacked_since(status, entry)));
		json_put_int(object, "sent", entry->state.sent);
		json_put_int(object, "valid", entry->state.valid);
		json_put_int(object, "invalid", entry->state.invalid);
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *settings_json(const struct kernel_status *status)
{
	json_t *list = json_array();

	for (size_t i = 0; i < status->nr_sysctls; i++) {
		const struct sysctl_status *entry = &status->sysctl[i];
		json_t *object = json_object();

		json_put_text(object, "name", entry->name);
		json_put_text(object, "value", entry->now);
		json_put_text(object, "wanted", entry->value);
		json_put_text(object, "before", entry->was);
		json_put_text(object, "for", entry->key);
		json_array_append_new(list, object);
	}
	return list;
}

void guards_status_json(const struct kernel_status *status, const struct policy *policy,
			json_t *object)
{
	json_put(object, "vlans", vlans_json(policy));
	json_put(object, "protect", protect_json(status, policy));
	json_put(object, "settings", settings_json(status));
}

/* ---- text ---- */

static void print_vlans(const struct policy *policy)
{
	_cleanup_free_ char *all = NULL;
	char text[16];

	for (size_t i = 0; policy && i < policy->nr_vlans; i++)
		text_join(&all, vlan_text(&policy->vlan[i], text, sizeof(text)));
	if (all)
		printf("  %-11s %s\n", "vlans", all);
}

static void print_protect(const struct kernel_status *status, const struct policy *policy, size_t i)
{
	const struct protect_status *entry = &status->protect[i];
	const struct protect_rule *rule = rule_of(policy, i);
	_cleanup_free_ char *to = rule ? text_items(&rule->to, "self") : NULL;
	_cleanup_free_ char *port = rule ? text_services(&rule->port) : NULL;
	char a[TEXT_LEN], b[TEXT_LEN], c[TEXT_LEN];
	__u64 since = attacked_since(status, entry);

	printf("  %-11s %s %s", i ? "" : "protect", to ?: "?", port ?: "?");
	if (rule)
		printf(" above %s", above_text(rule, a));
	if (!entry->attacked)
		printf(": not under attack");
	else
		printf(": %sunder attack, every SYN is answered with a cookie%s", term_begin(BAD),
		       term_end(BAD));
	if (since)
		printf(" since %s", text_clock(since, a));
	printf("\n  %-11s %s cookies sent, %s clients proved their address, %s segments did not\n",
	       "", text_count(entry->state.sent, a), text_count(entry->state.valid, b),
	       text_count(entry->state.invalid, c));
}

/* One that is not as it shall be any more makes weir drop what it should not. */
static void print_setting(const struct sysctl_status *entry, bool first)
{
	printf("  %-11s %s = %s for %s, was %s", first ? "settings" : "", entry->name, entry->value,
	       entry->key, entry->was);
	if (strcmp(entry->now, entry->value))
		printf("; %schanged to %s meanwhile%s", term_begin(BAD), entry->now, term_end(BAD));
	printf("\n");
}

void print_guards(const struct kernel_status *status, const struct policy *policy)
{
	print_vlans(policy);
	for (size_t i = 0; i < status->nr_protects; i++)
		print_protect(status, policy, i);
	for (size_t i = 0; i < status->nr_sysctls; i++)
		print_setting(&status->sysctl[i], i == 0);
}
