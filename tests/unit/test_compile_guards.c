// SPDX-License-Identifier: GPL-2.0-only
/* What packets must be before rules speak of them: protected services, VLANs, and who is spared automatic blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compile/builder.h"
#include "compile_tables.h"

/* The tables that the lookups of classify.h read: it knows slots, and here is only one. */
#define WEIR_TABLE(name, slot, index) \
	((size_t)(index) < tables->nr_##name ? &tables->name[index] : NULL)
#define WEIR_FUNC static
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma GCC diagnostic ignored "-Wunused-function"
#include "classify.h"

static struct weir_verdict verdict_of(const char *from, const char *to, enum weir_kind kind,
				      const char *port)
{
	struct services services = services_of(&made, port);
	struct question question = {.source = address_of(from),
				    .destination = address_of(to),
				    .source_kind = WEIR_OTHER,
				    .destination_kind = kind,
				    .proto = services.service[0].proto,
				    .port = services.service[0].first};
	struct answer answer = {0};

	assert_int_equal(tables_eval(tables, &question, &answer), 0);
	return answer.verdict;
}

/* IPv4. */
static __u32 flags_of(const char *text, enum weir_kind kind)
{
	struct weir_addr address = address_of(text);
	__u64 value = 0;
	__u32 class;

	for (int i = 12; i < 16; i++)
		value = value << 8 | address.byte[i];
	class = classify_address(0, 0, value << 32, 0);
	assert_true(class < tables->weir_cfg->nr_classes);
	return tables->weir_class[kind * tables->weir_cfg->nr_classes + class].flags;
}

static bool spared(const char *text)
{
	return flags_of(text, WEIR_OTHER) & WEIR_CLASS_NO_AUTOBLOCK;
}

/* ---- protect ---- */

static void test_verdicts_of_protected_services_say_which_entry(void **state)
{
	add_segment(&made, "bad", "198.51.100.0/24", "");
	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/80 tcp/443 udp/443");
	add_rule(&made, RULE_ALLOW, "any", "10.0.0.9", "tcp/443");
	add_rule(&made, RULE_DENY, "bad", "self", "tcp/443");
	add_protect(&made, "self", "tcp/8000");
	add_protect(&made, "self", "tcp/443");
	build();
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/443").protect, 2);
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/80").protect, 0);
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "udp/443").protect, 0);
	/* What is denied is denied, whoever floods it; somebody else's sockets are no business of ours. */
	assert_int_equal(verdict_of("198.51.100.1", "192.0.2.1", WEIR_SELF, "tcp/443").protect, 0);
	assert_int_equal(verdict_of("203.0.113.1", "10.0.0.9", WEIR_WORKLOAD, "tcp/443").protect,
			 0);
	assert_int_equal(verdict_of("203.0.113.1", "10.0.0.9", WEIR_OTHER, "tcp/443").protect, 0);
	/* What the default decides may be let in by it. */
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/8000").action,
			 WEIR_ACT_DEFAULT);
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/8000").protect, 1);
	assert_true(tables->weir_cfg->flags & WEIR_CFG_PROTECT);
}

static void test_limits_of_connections_are_watched_where_there_are_cookies(void **state)
{
	struct limit_rule *limit;

	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/22 tcp/80");
	limit = add_limit(&made, "some", NULL, "self", "tcp/22");
	limit->count = WEIR_COUNT_CONNECTIONS;
	build();
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/22").protect, 0);
	add_protect(&made, "self", "tcp/443");
	build();
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/22").protect, 2);
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/80").protect, 0);
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/443").protect, 1);
	assert_int_equal(tables->nr_weir_prot, 2);
	assert_int_equal(tables->weir_prot[1].interval, WEIR_PROTECT_NEVER);
}

static void test_the_first_entry_for_a_service_counts(void **state)
{
	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/443");
	add_protect(&made, "self", "tcp/400-500");
	add_protect(&made, "self", "tcp/443");
	build();
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/443").protect, 1);
}

static void test_an_interface_is_protected_by_its_addresses(void **state)
{
	add_interface(&made, "eth0", "192.0.2.1");
	add_interface(&made, "eth1", "192.0.2.2");
	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/443");
	add_protect(&made, "@eth0", "tcp/443");
	build();
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/443").protect, 1);
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.2", WEIR_SELF, "tcp/443").protect, 0);
}

static void test_failsafe_services_may_be_protected(void **state)
{
	add_protect(&made, "self", "tcp/22");
	build();
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/22").action,
			 WEIR_ACT_FAILSAFE);
	assert_int_equal(verdict_of("203.0.113.1", "192.0.2.1", WEIR_SELF, "tcp/22").protect, 1);
}

static void test_a_policy_without_protected_services_has_no_entries(void **state)
{
	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/443");
	build();
	assert_false(tables->weir_cfg->flags & WEIR_CFG_PROTECT);
	assert_int_equal(tables->nr_weir_prot, 1);
	assert_int_equal(tables->weir_prot[0].interval, 0);
	/* Denied all the same: nothing can be under attack. */
	add_rule(&made, RULE_DENY, "any", "self", "tcp/443");
	add_protect(&made, "self", "tcp/443");
	build();
	assert_false(tables->weir_cfg->flags & WEIR_CFG_PROTECT);
}

static void test_rates_are_intervals_and_a_tenth_of_a_second_comes_at_once(void **state)
{
	static const struct {
		__u64 rate, period_ns, interval, burst;
	} cases[] = {
	    {10000, 1000000000, 1600000, 1000},	      {1, 1000000000, 16000000000, 1},
	    {3, 1000000000, 5333333334, 1},	      {10000000, 1000000000, 1600, 1000000},
	    {60, 60000000000, 16000000000, 1},	      {20, 1000000000, 800000000, 2},
	    {1, 86400000000000, 1382400000000000, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct protect_rule *rule;

		made.policy.nr_protects = 0;
		rule = add_protect(&made, "self", "tcp/443");
		rule->rate = cases[i].rate;
		rule->period_ns = cases[i].period_ns;
		build();
		assert_int_equal(tables->weir_prot[0].interval, cases[i].interval);
		assert_int_equal(tables->weir_prot[0].tolerance,
				 cases[i].interval * cases[i].burst);
	}
}

static void test_an_entry_is_known_by_what_it_protects(void **state)
{
	__u64 web, mail;

	add_protect(&made, "self", "tcp/443");
	add_protect(&made, "self", "tcp/25");
	build();
	web = tables->weir_prot[0].id;
	mail = tables->weir_prot[1].id;
	assert_int_not_equal(web, mail);
	assert_int_equal(tables->weir_prot[1].state, 1);
	made.policy.nr_protects = 0;
	add_protect(&made, "self", "tcp/25");
	add_protect(&made, "self", "tcp/443")->rate = 7;
	add_protect(&made, "@eth0", "tcp/443");
	add_interface(&made, "eth0", "192.0.2.1");
	build();
	assert_int_equal(tables->weir_prot[0].id, mail);
	assert_int_equal(tables->weir_prot[1].id, web);
	assert_int_not_equal(tables->weir_prot[2].id, web);
}

/* ---- VLANs, reverse paths ---- */

static void test_vlans_are_bits(void **state)
{
	struct vlan_range *range = made_part(&made, 2 * sizeof(*range));

	build();
	assert_false(tables->weir_cfg->flags & (WEIR_CFG_VLANS | WEIR_CFG_ANTISPOOF));
	range[0] = (struct vlan_range){.first = 5, .last = 5};
	range[1] = (struct vlan_range){.first = 63, .last = 129};
	made.policy.vlan = range;
	made.policy.nr_vlans = 2;
	build();
	assert_true(tables->weir_cfg->flags & WEIR_CFG_VLANS);
	for (unsigned int vid = 0; vid < 4096; vid++)
		assert_int_equal(tables->weir_cfg->vlans[vid / 64] >> vid % 64 & 1,
				 vid == 5 || (vid >= 63 && vid <= 129));
}

static void test_reverse_paths_are_checked_where_an_interface_says_so(void **state)
{
	struct interface_rule *rule = made_part(&made, 2 * sizeof(*rule));

	rule[0].pattern = made_text(&made, "eth0");
	rule[1].pattern = made_text(&made, "eth1");
	made.policy.interface = rule;
	made.policy.nr_interfaces = 2;
	build();
	assert_false(tables->weir_cfg->flags & WEIR_CFG_ANTISPOOF);
	rule[1].antispoof = WEIR_ANTISPOOF_LOOSE;
	build();
	assert_true(tables->weir_cfg->flags & WEIR_CFG_ANTISPOOF);
}

/* ---- who is spared ---- */

static void test_proxies_are_spared_automatic_blocks(void **state)
{
	add_segment(&made, "inner", "192.0.2.8/29", "");
	add_segment(&made, "proxy", "192.0.2.1 inner", "192.0.2.9")->proxy = true;
	add_segment(&made, "other", "192.0.2.2", "");
	add_rule(&made, RULE_ALLOW, "other", "self", "tcp/80");
	build();
	assert_true(spared("192.0.2.1"));
	assert_true(spared("192.0.2.8"));
	assert_false(spared("192.0.2.9"));
	assert_false(spared("192.0.2.2"));
	assert_false(spared("203.0.113.1"));
	assert_false(flags_of("192.0.2.1", WEIR_OTHER) & WEIR_CLASS_NEVER_BLOCK);
}

static void test_sources_of_failsafe_services_are_spared(void **state)
{
	struct failsafe_rule *rule = made_part(&made, 2 * sizeof(*rule));

	rule[0].port = services_of(&made, "tcp/22");
	rule[0].from = items_of(&made, "198.51.100.0/28");
	rule[1].port = services_of(&made, "tcp/2222");
	made.policy.has_failsafe = true;
	made.policy.failsafe = rule;
	made.policy.nr_failsafe = 2;
	build();
	assert_true(spared("198.51.100.1"));
	assert_false(spared("198.51.100.16"));
}

static void test_who_may_reach_ssh_is_spared(void **state)
{
	add_interface(&made, "eth0", "192.0.2.1");
	add_rule(&made, RULE_ALLOW, "198.51.100.1", "self", "tcp/22");
	add_rule(&made, RULE_ALLOW, "198.51.100.2", "self", "tcp/20-30");
	add_rule(&made, RULE_ALLOW, "198.51.100.3", "any", "tcp");
	add_rule(&made, RULE_ALLOW, "198.51.100.4", "@eth0", "tcp/22");
	add_rule(&made, RULE_ALLOW, "198.51.100.11", "self", "any");
	add_rule(&made, RULE_ALLOW, "198.51.100.12", "10.0.0.1", "tcp/22");
	add_rule(&made, RULE_ALLOW, "198.51.100.13", "self", "tcp/23 udp/22");
	add_rule(&made, RULE_DENY, "198.51.100.14", "self", "tcp/22");
	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/22");
	add_rule(&made, RULE_ALLOW, "0.0.0.0/0", "self", "tcp/22");
	build();
	for (int i = 1; i < 16; i++) {
		char text[32];

		snprintf(text, sizeof(text), "198.51.100.%d", i);
		assert_int_equal(spared(text), i <= 4);
	}
	assert_false(spared("203.0.113.1"));
}

static void test_a_set_of_all_but_some_is_nobody_in_particular(void **state)
{
	add_segment(&made, "outside", "any", "192.0.2.0/24")->proxy = true;
	add_segment(&made, "world", "0.0.0.0/0", "");
	add_segment(&made, "wider", "world", "")->proxy = true;
	build();
	assert_false(spared("203.0.113.1"));
	assert_false(spared("192.0.2.1"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(test_verdicts_of_protected_services_say_which_entry),
	    TEST(test_limits_of_connections_are_watched_where_there_are_cookies),
	    TEST(test_the_first_entry_for_a_service_counts),
	    TEST(test_an_interface_is_protected_by_its_addresses),
	    TEST(test_failsafe_services_may_be_protected),
	    TEST(test_a_policy_without_protected_services_has_no_entries),
	    TEST(test_rates_are_intervals_and_a_tenth_of_a_second_comes_at_once),
	    TEST(test_an_entry_is_known_by_what_it_protects),
	    TEST(test_vlans_are_bits),
	    TEST(test_reverse_paths_are_checked_where_an_interface_says_so),
	    TEST(test_proxies_are_spared_automatic_blocks),
	    TEST(test_sources_of_failsafe_services_are_spared),
	    TEST(test_who_may_reach_ssh_is_spared),
	    TEST(test_a_set_of_all_but_some_is_nobody_in_particular),
	};
#undef TEST

	return cmocka_run_group_tests_name("compile_guards", tests, NULL, NULL);
}
