// SPDX-License-Identifier: GPL-2.0-only
/* What the compiler promises, one promise a test. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compile/builder.h"
#include "compile_tables.h"

static void assert_text(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

/* Compiling fails, and the message holds both parts. */
static void refused(int err, const char *part, const char *other)
{
	char text[1300];

	tables_free(tables);
	tables = NULL;
	diag_reset(&diag);
	assert_int_equal(tables_build(&made.policy, &made.env, &tables, &diag), err);
	diag_text(&diag, text, sizeof(text));
	assert_text(text, part);
	assert_text(text, other);
}

/* "self", "workload 10.0.0.1" or "10.0.0.1" (other). */
static struct weir_addr end_of(const char *text, enum weir_kind *kind)
{
	*kind = WEIR_OTHER;
	if (strncmp(text, "self", 4) == 0)
		*kind = WEIR_SELF;
	if (strncmp(text, "workload ", 9) == 0)
		*kind = WEIR_WORKLOAD;
	return address_of(strchr(text, ' ')    ? strchr(text, ' ') + 1
			  : *kind == WEIR_SELF ? "192.0.2.1"
					       : text);
}

static struct answer ask_zone(const char *from, const char *to, const char *port, __u16 zone)
{
	struct services services = services_of(&made, port);
	struct question question = {
	    .proto = services.service[0].proto,
	    .port = services.service[0].first == PORT_ANY ? 0 : services.service[0].first,
	    .zone = zone};
	struct answer answer = {0};

	question.source = end_of(from, &question.source_kind);
	question.destination = end_of(to, &question.destination_kind);
	assert_int_equal(tables_eval(tables, &question, &answer), 0);
	return answer;
}

static struct answer ask(const char *from, const char *to, const char *port)
{
	return ask_zone(from, to, port, 0);
}

/* ---- classes ---- */

static void test_addresses_in_the_same_sets_are_one_class(void **state)
{
	add_segment(&made, "a", "10.0.0.0/8 192.0.2.0/24", "");
	add_segment(&made, "b", "10.1.0.0/16 2001:db8::/32", "");
	add_segment(&made, "unused", "10.9.0.0/16", "");
	add_rule(&made, RULE_ALLOW, "a", "", "tcp/1");
	add_rule(&made, RULE_ALLOW, "b", "", "tcp/2");
	build();
	/* none, a, a and b, b */
	assert_int_equal(tables->weir_cfg->nr_classes, 4);
	assert_int_equal(tables->budget.classes, 4);
	assert_int_equal(tables->budget.addresses, 4);
	assert_int_equal(tables->nr_weir_class, 12);
}

static void test_policy_without_rules_follows_the_defaults(void **state)
{
	build();
	assert_false(ask("198.51.100.1", "self", "tcp/80").allow);
	assert_true(ask("self", "198.51.100.1", "tcp/80").allow);
	assert_false(ask("198.51.100.1", "203.0.113.1", "tcp/80").allow); /* forward as ingress */
	made.policy.defaults.ingress = DEFAULT_ALLOW;
	build();
	assert_true(ask("198.51.100.1", "self", "tcp/80").allow);
	assert_true(ask("198.51.100.1", "203.0.113.1", "tcp/80").allow);
	assert_true(tables->weir_cfg->flags & WEIR_CFG_FORWARD_ALLOW);
	made.policy.defaults.forward = DEFAULT_DENY;
	made.policy.defaults.egress = DEFAULT_DENY;
	build();
	assert_false(ask("198.51.100.1", "203.0.113.1", "tcp/80").allow);
	assert_false(ask("self", "198.51.100.1", "tcp/80").allow);
	assert_int_equal(ask("self", "198.51.100.1", "tcp/80").rule, -1);
}

static void test_both_homes_of_a_flow_between_workloads_must_allow(void **state)
{
	struct answer answer;

	made.policy.defaults = (struct defaults){.ingress = DEFAULT_ALLOW, .egress = DEFAULT_DENY};
	build();
	answer = ask("workload 10.0.0.1", "workload 10.0.0.2", "tcp/80");
	assert_true(answer.ingress_allow);
	assert_false(answer.egress_allow);
	assert_false(answer.allow);
}

static void test_segments_that_disagree_on_a_default_deny(void **state)
{
	struct segment_defaults defaults[] = {
	    {.segment = "a", .defaults = {.ingress = DEFAULT_ALLOW}},
	    {.segment = "b", .defaults = {.ingress = DEFAULT_DENY}},
	};

	add_segment(&made, "a", "10.0.0.0/8", "");
	add_segment(&made, "b", "10.1.0.0/16", "");
	made.policy.segment_defaults = defaults;
	made.policy.nr_segment_defaults = 2;
	build();
	assert_true(ask("198.51.100.1", "workload 10.0.0.1", "tcp/80").allow);
	assert_false(ask("198.51.100.1", "workload 10.1.0.1", "tcp/80").allow);
	assert_false(ask("198.51.100.1", "workload 11.0.0.1", "tcp/80").allow);
	defaults[1].defaults.ingress = DEFAULT_ALLOW;
	build();
	assert_true(ask("198.51.100.1", "workload 10.1.0.1", "tcp/80").allow);
}

static void test_segment_that_contains_itself_is_refused(void **state)
{
	add_segment(&made, "a", "b", "");
	add_segment(&made, "b", "10.0.0.1 a", "");
	add_rule(&made, RULE_ALLOW, "a", "", "");
	refused(-EINVAL, "contains itself", "");
}

static void test_missing_interface_warns_and_stands_for_nothing(void **state)
{
	add_interface(&made, "eth0", "192.0.2.7");
	add_rule(&made, RULE_ALLOW, "@eth0", "", "tcp/1");
	add_rule(&made, RULE_ALLOW, "@eth9", "", "tcp/1");
	build();
	assert_int_equal(diag.nr_warnings, 1);
	assert_text(diag.warnings[0], "no interface \"eth9\"");
	assert_int_equal(ask("192.0.2.7", "self", "tcp/1").rule, 0);
	assert_false(ask("192.0.2.8", "self", "tcp/1").allow);
}

/* ---- failsafe, block ---- */

static void test_builtin_failsafe_ends_with_a_rule_that_names_it(void **state)
{
	static const struct {
		enum rule_action action;
		const char *to, *port;
		bool stays;
	} cases[] = {
	    {RULE_ALLOW, "", "tcp/80", true},
	    {RULE_ALLOW, "", "any", true},
	    {RULE_ALLOW, "", "", true},
	    {RULE_ALLOW, "10.0.0.0/8", "tcp/22", true},
	    {RULE_ALLOW, "workloads", "tcp/22", true},
	    {RULE_ALLOW, "", "udp/22", true},
	    {RULE_ALLOW, "", "tcp/22", false},
	    {RULE_ALLOW, "self", "tcp/1-1023", false},
	    {RULE_DENY, "any", "tcp/22", false},
	    {RULE_DENY, "node", "udp/1 tcp/22", false},
	    {RULE_ALLOW, "0.0.0.0/0", "tcp/22", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct weir_verdict verdict;

		end(NULL);
		begin(NULL);
		add_segment(&made, "node", "10.0.0.1 self", "");
		add_rule(&made, cases[i].action, "203.0.113.1", cases[i].to, cases[i].port);
		build();
		verdict = ask("198.51.100.1", "self", "tcp/22").verdict;
		if ((verdict.action == WEIR_ACT_FAILSAFE) != cases[i].stays)
			fail_msg("rule %zu", i);
		assert_int_equal(!!(tables->weir_cfg->flags & WEIR_CFG_FAILSAFE), cases[i].stays);
		if (cases[i].stays) {
			assert_int_equal(verdict.rule, WEIR_RULE_BUILTIN_FAILSAFE);
			assert_true(verdict.flags & WEIR_VERDICT_NAMED);
		}
	}
}

static void test_failsafe_stays_open_to_the_block_list_and_nothing_else_does(void **state)
{
	struct failsafe_rule failsafe = {.port = services_of(&made, "tcp/2222"),
					 .from = items_of(&made, "10.0.0.0/8")};

	made.policy.block = items_of(&made, "10.0.0.5 198.51.100.0/24");
	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/80 tcp/2222");
	add_limit(&made, "one", NULL, NULL, "tcp/80 tcp/2222");
	made.policy.failsafe = &failsafe;
	made.policy.nr_failsafe = 1;
	made.policy.has_failsafe = true;
	build();
	assert_true(tables->weir_cfg->flags & WEIR_CFG_BLOCK_LIST);
	assert_true(ask("10.0.0.5", "self", "tcp/2222").allow);
	assert_int_equal(ask("10.0.0.5", "self", "tcp/2222").verdict.nr_limits, 0);
	assert_false(ask("10.0.0.5", "self", "tcp/80").allow);
	assert_false(ask("self", "10.0.0.5", "tcp/80").allow);
	assert_false(ask("198.51.100.9", "self", "tcp/2222").allow);
	assert_true(ask("203.0.113.9", "self", "tcp/2222").allow);
	assert_int_equal(ask("203.0.113.9", "self", "tcp/2222").verdict.nr_limits, 1);
	/* An explicit list replaces the built-in one. */
	assert_false(ask("203.0.113.9", "self", "tcp/22").allow);
}

/* ---- rules ---- */

static void test_deny_wins_and_the_first_rule_counts(void **state)
{
	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/1-100");
	add_rule(&made, RULE_ALLOW, "10.0.0.0/8", "self", "tcp/80");
	add_rule(&made, RULE_DENY, "10.0.0.0/16", "self", "tcp/50-200");
	build();
	assert_int_equal(ask("10.1.0.1", "self", "tcp/80").rule, 0);
	assert_int_equal(ask("10.0.0.1", "self", "tcp/80").rule, 2);
	assert_false(ask("10.0.0.1", "self", "tcp/80").allow);
	assert_int_equal(ask("10.0.0.1", "self", "tcp/49").rule, 0);
	assert_int_equal(ask("10.0.0.1", "self", "tcp/200").rule, 2);
	assert_int_equal(ask("10.0.0.1", "self", "tcp/201").rule, -1);
}

static void test_only_a_named_port_counts_as_named(void **state)
{
	static const struct {
		const char *port, *ask;
		bool named;
	} cases[] = {
	    {"any", "tcp/80", false},	     {"", "udp/53", false},
	    {"tcp/80", "tcp/80", true},	     {"tcp/1-100", "tcp/80", true},
	    {"udp", "udp/53", false},	     {"icmp", "icmp/8", true},
	    {"proto/47", "proto/47", true},  {"any tcp/80", "tcp/80", true},
	    {"any tcp/80", "tcp/81", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct answer answer;

		end(NULL);
		begin(NULL);
		add_rule(&made, RULE_ALLOW, "10.0.0.0/8", "self", cases[i].port);
		build();
		answer = ask("10.0.0.1", "self", cases[i].ask);
		assert_true(answer.allow);
		if (!!(answer.verdict.flags & WEIR_VERDICT_NAMED) != cases[i].named)
			fail_msg("port %s, asked %s", cases[i].port, cases[i].ask);
	}
}

static void test_log_by_the_rule_or_by_the_audit(void **state)
{
	add_rule(&made, RULE_ALLOW, "10.0.0.1", "self", "tcp/80")->log = true;
	add_rule(&made, RULE_ALLOW, "10.0.0.2", "self", "tcp/80")->name = "web";
	add_rule(&made, RULE_ALLOW, "10.0.0.3", "self", "tcp/80");
	made.policy.audit.pass = names_of(&made, "web");
	build();
	assert_int_equal(ask("10.0.0.1", "self", "tcp/80").verdict.flags & WEIR_VERDICT_LOG,
			 WEIR_VERDICT_LOG);
	assert_int_equal(ask("10.0.0.2", "self", "tcp/80").verdict.flags & WEIR_VERDICT_LOG,
			 WEIR_VERDICT_LOG);
	assert_int_equal(ask("10.0.0.3", "self", "tcp/80").verdict.flags & WEIR_VERDICT_LOG, 0);
}

static void test_on_binds_rules_and_limits_to_interfaces(void **state)
{
	add_interface(&made, "eth0", "");
	add_interface(&made, "eth1", "");
	add_interface(&made, "eth2", "");
	add_interface(&made, "wan0", "");
	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/80")->on = names_of(&made, "eth0 eth1");
	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/81")->on = names_of(&made, "eth*");
	add_limit(&made, "wan", NULL, "self", "tcp/82")->on = names_of(&made, "wan0");
	build();
	assert_int_equal(tables->weir_cfg->nr_zones, 4);
	assert_int_equal(tables->zone[0], tables->zone[1]);
	assert_int_not_equal(tables->zone[0], tables->zone[2]);
	assert_true(ask_zone("10.0.0.1", "self", "tcp/80", tables->zone[1]).allow);
	assert_false(ask_zone("10.0.0.1", "self", "tcp/80", tables->zone[2]).allow);
	assert_true(ask_zone("10.0.0.1", "self", "tcp/81", tables->zone[2]).allow);
	assert_false(ask_zone("10.0.0.1", "self", "tcp/81", tables->zone[3]).allow);
	assert_false(ask_zone("10.0.0.1", "self", "tcp/80", 0).allow);
	assert_int_equal(ask_zone("10.0.0.1", "self", "tcp/82", tables->zone[3]).verdict.nr_limits,
			 1);
	assert_int_equal(ask_zone("10.0.0.1", "self", "tcp/82", tables->zone[0]).verdict.nr_limits,
			 0);
}

/* ---- limits ---- */

static void test_fifth_limit_on_a_packet_is_refused_by_name(void **state)
{
	for (int i = 0; i < 4; i++)
		add_limit(&made, made_text(&made, "l%d", i), NULL, NULL, "tcp/80");
	build();
	assert_int_equal(ask("10.0.0.1", "self", "tcp/80").verdict.nr_limits, 4);
	add_limit(&made, "fifth", "10.0.0.0/8", "self", "tcp/79-80");
	refused(-EINVAL,
		"made.yaml:1005:5: tcp/80 may meet more than 4 limits: "
		"\"l0\", \"l1\", \"l2\", \"l3\", \"fifth\"",
		"");
	/* What is denied meets no limit; what is no TCP meets no limit of connections. */
	add_rule(&made, RULE_DENY, "10.0.0.0/8", "self", "tcp/80");
	build();
	made.policy.nr_rules = 0;
	for (int i = 0; i < 4; i++)
		made.policy.limit[i].port = services_of(&made, "");
	made.policy.limit[4].port = services_of(&made, "udp/80");
	refused(-EINVAL, "udp/80 may meet", "fifth");
	made.policy.limit[0].count = WEIR_COUNT_CONNECTIONS;
	build();
	assert_int_equal(ask("10.0.0.1", "self", "udp/80").verdict.nr_limits, 4);
	assert_int_equal(ask("10.0.0.1", "self", "tcp/80").verdict.nr_limits, 4);
}

static void test_later_fragments_have_room_for_twelve_limits(void **state)
{
	for (int i = 0; i < 12; i++)
		add_limit(&made, made_text(&made, "l%d", i), NULL, NULL,
			  made_text(&made, "udp/%d", 100 + i));
	build();
	add_limit(&made, "thirteenth", NULL, NULL, "udp/200");
	refused(-EINVAL, "may meet more than 12 limits", "\"thirteenth\"");
	made.policy.limit[12].port = services_of(&made, "tcp/200");
	made.policy.limit[12].count = WEIR_COUNT_CONNECTIONS; /* fragments open no connection */
	build();
}

/* ---- names and places ---- */

static void test_rules_carry_name_place_and_a_stable_id(void **state)
{
	static char *files[] = {"first.yaml", "made.yaml"};
	__u64 web, unnamed, twin, limit;

	made.policy.file = files;
	made.policy.nr_files = 2;
	add_rule(&made, RULE_ALLOW, "10.0.0.0/8", "self", "tcp/80")->name = "web";
	add_rule(&made, RULE_ALLOW, "10.0.0.0/8", "self", "tcp/81");
	add_rule(&made, RULE_ALLOW, "10.0.0.0/8", "self", "tcp/81");
	add_limit(&made, "slow", NULL, NULL, "");
	build();
	assert_int_equal(tables->nr_rules_only, 3);
	assert_int_equal(tables->weir_cfg->nr_rules, 4);
	assert_int_equal(tables->weir_cfg->nr_files, 2);
	assert_string_equal(tables->weir_file[1].path, "made.yaml");
	assert_string_equal(tables->weir_rule[0].name, "web");
	assert_string_equal(tables->weir_rule[1].name, "made.yaml:2");
	assert_string_equal(tables->weir_rule[3].name, "slow");
	assert_int_equal(tables->weir_rule[1].file, 1);
	assert_int_equal(tables->weir_rule[1].line, 2);
	assert_int_equal(tables->weir_rule[1].column, 3);
	assert_int_equal(tables->weir_rule[3].kind, WEIR_RULE_LIMIT);
	web = tables->weir_rule[0].id;
	unnamed = tables->weir_rule[1].id;
	twin = tables->weir_rule[2].id;
	limit = tables->weir_rule[3].id;
	assert_true(limit == tables->weir_limit[0].id);
	assert_true(web != unnamed && unnamed != twin && twin != limit);

	/* Other places, another order, another action of the named one: they are known again. */
	end(NULL);
	begin(NULL);
	add_rule(&made, RULE_ALLOW, "10.0.0.0/8", "self", "tcp/81")->at.line = 99;
	add_rule(&made, RULE_ALLOW, "10.9.0.0/8", "self", "tcp/443")->name = "web";
	add_rule(&made, RULE_DENY, "10.0.0.0/8", "self", "tcp/81");
	build();
	assert_true(tables->weir_rule[0].id == unnamed);
	assert_true(tables->weir_rule[1].id == web);
	assert_true(tables->weir_rule[2].id != unnamed);
}

static void test_long_places_keep_their_end(void **state)
{
	struct rule *rule = add_rule(&made, RULE_ALLOW, "any", "self", "tcp/80");

	rule->at.file =
	    "/a/very/long/path/that/nobody/wants/to/type/but/somebody/has/to/policy.yaml";
	rule->at.line = 12345;
	build();
	assert_int_equal(strlen(tables->weir_rule[0].name), WEIR_NAME_LEN - 1);
	assert_text(tables->weir_rule[0].name, "/policy.yaml:12345");
}

static void test_config_says_what_the_policy_says(void **state)
{
	const struct weir_config *config;
	char *text;

	made.policy.monitor = true;
	made.policy.workload = made_part(&made, sizeof(*made.policy.workload));
	made.policy.workload[0].pattern = "veth*";
	made.policy.nr_workloads = 1;
	made.policy.timeouts = (struct timeouts){1, 2, 3, 4, 5, 6};
	made.policy.audit.events_per_second = 1000;
	made.policy.audit.per_source_per_second = 3;
	made.policy.sha256[31] = 77;
	made.env.forwarding6 = true;
	build();
	config = tables->weir_cfg;
	assert_int_equal(config->flags, WEIR_CFG_MONITOR | WEIR_CFG_WORKLOADS |
					    WEIR_CFG_FORWARDING6 | WEIR_CFG_FAILSAFE);
	assert_int_equal(config->tcp_s, 1);
	assert_int_equal(config->tcp_closing_s, 2);
	assert_int_equal(config->udp_s, 3);
	assert_int_equal(config->udp_stream_s, 4);
	assert_int_equal(config->icmp_s, 5);
	assert_int_equal(config->half_open_s, 6);
	assert_int_equal(config->event_interval_ns, 1000000);
	assert_int_equal(config->event_source_interval_ns,
			 333333334); /* never more than 3 a second */
	assert_int_equal(config->sha256[31], 77);
	assert_int_equal(policy_print(&made.policy, &text), 0);
	assert_int_equal(config->text_len, strlen(text));
	assert_string_equal(tables->weir_text[0].text, text);
	free(text);
}

/* ---- the budget ---- */

static void cross(size_t n)
{
	for (size_t i = 0; i < n; i++)
		add_rule(&made, RULE_ALLOW, made_text(&made, "10.%zu.%zu.1", i >> 8, i & 255),
			 "any", made_text(&made, "tcp/%zu", 1 + i));
	for (size_t i = 0; i < n; i++)
		add_rule(&made, RULE_ALLOW, "any",
			 made_text(&made, "11.%zu.%zu.1", i >> 8, i & 255),
			 made_text(&made, "udp/%zu", 1 + i));
}

static void test_policy_over_the_budget_is_refused_with_the_numbers(void **state)
{
	struct build_options options = {.dense_max = BUILD_DENSE_MAX, .max_bytes = 64UL << 20};

	cross(1000);
	assert_int_equal(tables_build_with(&made.policy, &made.env, &options, &tables, &diag),
			 -E2BIG);
	assert_text(diag.error,
		    "MiB of kernel memory, at most 64 MiB: 2000 addresses, 2001 classes, ");
	assert_null(tables);
	diag_reset(&diag);
	made.policy.nr_rules = 0;
	cross(100);
	build();
	assert_true(tables->budget.bytes > 1 << 20 && tables->budget.bytes < 64 << 20);
}

static void test_limits_count_towards_the_budget(void **state)
{
	for (int i = 0; i < 5; i++) {
		struct limit_rule *limit = add_limit(&made, made_text(&made, "l%d", i), NULL, NULL,
						     made_text(&made, "tcp/%d", 1 + i));

		limit->entries = i < 4 ? (1 << 24) - (1 << 20) : 1; /* 256 MiB each */
	}
	refused(-E2BIG, "policy needs 10",
		" MiB of kernel memory, at most 1024 MiB: 0 addresses, 1 classes, ");
	made.policy.limit[0].entries = 1 << 23;
	build();
	assert_true(tables->budget.bytes > 896UL << 20 && tables->budget.bytes < 1024UL << 20);
}

static void test_pairs_without_end_are_refused_in_time(void **state)
{
	struct build_options options = {.dense_max = BUILD_DENSE_MAX, .max_bytes = 64UL << 20};

	cross(2000);
	assert_int_equal(tables_build_with(&made.policy, &made.env, &options, &tables, &diag),
			 -E2BIG);
	assert_text(diag.error, "policy needs more than");
	assert_text(diag.error, "4000 addresses, 4001 classes");
	made.policy.nr_rules = 0;
	cross(20000);
	refused(-E2BIG, "rules meet 400040000 times in pairs", "40000 addresses, 40001 classes");
}

static void test_long_list_over_the_budget_is_refused(void **state)
{
	struct build_options options = {.dense_max = BUILD_DENSE_MAX, .max_bytes = 8UL << 20};
	struct item file = {.kind = ITEM_FILE, .name = "list.txt", .nr_list = 200000};

	file.list = made_part(&made, file.nr_list * sizeof(struct prefix));
	for (size_t i = 0; i < file.nr_list; i++) {
		file.list[i] = prefix_of("10.0.0.1");
		for (int b = 12; b < 16; b++)
			file.list[i].address.byte[b] = made_random(&made, 256);
	}
	made.policy.block = (struct items){&file, 1};
	assert_int_equal(tables_build_with(&made.policy, &made.env, &options, &tables, &diag),
			 -E2BIG);
	assert_text(diag.error, "policy needs more than 8 MiB of kernel memory, at most 8 MiB: ");
}

/* ---- tests of the policy ---- */

static void ask_tests(struct test_result **ret, int failed)
{
	int found;

	build();
	found = tests_run(&made.policy, tables, &made.env, ret);
	for (size_t i = 0; found != failed && i < made.policy.nr_tests; i++)
		print_error("test %zu: %s\n", i, (*ret)[i].text);
	assert_int_equal(found, failed);
}

static void test_tests_pass_and_fail_with_a_reason(void **state)
{
	struct test_result *results;

	add_segment(&made, "net", "10.0.0.0/30", "10.0.0.0");
	add_segment(&made, "taken", "9.0.0.0-10.0.0.1", "9.0.0.0");
	add_segment(&made, "web", "net", "taken");
	add_rule(&made, RULE_ALLOW, "198.51.100.0/24", "web", "tcp/443");
	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/80");
	add_test(&made, "198.51.100.7", "web", "tcp/443", true);
	add_test(&made, "198.51.100.7", "web", "tcp/80", false);
	add_test(&made, "198.51.100.7", "self", "tcp/80", true);
	add_test(&made, "2001:db8::1", "self", "tcp/80", true);
	add_test(&made, "198.51.100.7", "web", "tcp/443", false);
	add_test(&made, "2001:db8::1", "web", "tcp/443", true);
	add_test(&made, "198.51.100.7", "self", "any", true);
	ask_tests(&results, 3);
	for (int i = 0; i < 4; i++)
		assert_true(results[i].passed);
	assert_ptr_equal(results[4].test, &made.policy.test[4]);
	assert_string_equal(
	    results[4].text,
	    "expected deny, found allow, from 198.51.100.7 (transit) to 10.0.0.2 (transit)");
	assert_text(results[5].text, "to stands for no address");
	assert_text(results[6].text, "one protocol and one port");
	free(results);
}

static void test_test_that_depends_on_an_unsaid_home_fails_and_names_both(void **state)
{
	struct test_result *results;

	add_segment(&made, "web", "10.0.0.1", "");
	made.policy.workload = made_part(&made, sizeof(*made.policy.workload));
	made.policy.workload[0].pattern = "veth*";
	made.policy.nr_workloads = 1;
	made.policy.defaults = (struct defaults){DEFAULT_DENY, DEFAULT_ALLOW, DEFAULT_DENY};
	add_test(&made, "web", "198.51.100.7", "tcp/443", true);
	add_test(&made, "web", "198.51.100.7", "tcp/443", true);
	made.policy.test[1].home_from = HOME_WORKLOAD;
	made.policy.test[1].home_to = HOME_TRANSIT;
	add_test(&made, "web", "198.51.100.7", "tcp/443", false);
	made.policy.test[2].home_from = HOME_TRANSIT;
	made.policy.test[2].home_to = HOME_TRANSIT;
	ask_tests(&results, 1);
	assert_false(results[0].passed);
	assert_text(
	    results[0].text,
	    "allow where 10.0.0.1 is a workload and 198.51.100.7 is transit, deny where they are");
	assert_text(results[0].text, "home:");
	assert_true(results[1].passed && results[2].passed);
	free(results);
}

static void test_tests_know_the_interfaces(void **state)
{
	struct test_result *results;

	add_interface(&made, "eth0", "192.0.2.7");
	add_interface(&made, "eth1", "192.0.2.8");
	add_rule(&made, RULE_ALLOW, "any", "self", "tcp/80")->on = names_of(&made, "eth1");
	add_rule(&made, RULE_ALLOW, "any", "192.0.2.7", "tcp/81");
	add_test(&made, "198.51.100.7", "@eth0", "tcp/80", false);
	add_test(&made, "198.51.100.7", "@eth1", "tcp/80", true);
	add_test(&made, "198.51.100.7", "self", "tcp/81", true); /* self: its first address */
	add_test(&made, "198.51.100.7", "@eth1", "tcp/81", false);
	add_test(&made, "198.51.100.7", "@eth9", "tcp/81", false);
	ask_tests(&results, 1);
	assert_text(results[4].text, "to stands for no address");
	free(results);
}

/* ---- this host ---- */

static bool file_says(const char *path, int wanted)
{
	FILE *file = fopen(path, "r");
	int value = -1;

	if (file && fscanf(file, "%d", &value) != 1)
		value = -1;
	if (file)
		fclose(file);
	return value == wanted;
}

static void test_environment_is_this_host(void **state)
{
	struct environment env;
	bool found = false;

	assert_int_equal(environment_read(&env, &diag), 0);
	for (size_t i = 0; i < env.nr_interfaces; i++) {
		if (strcmp(env.interface[i].name, "lo") != 0)
			continue;
		found = true;
		assert_true(env.interface[i].ifindex > 0);
		for (size_t j = 0; j < env.interface[i].nr_addresses; j++)
			assert_int_equal(env.interface[i].address[j].length,
					 env.interface[i].address[j].v6 ? 128 : 32);
	}
	assert_true(found);
	if (file_says("/proc/sys/net/ipv4/ip_forward", 1))
		assert_true(env.forwarding4);
	assert_true(env.tick_ns == 0 || (env.tick_ns >= 900000 && env.tick_ns <= 10100000));
	environment_free(&env);
	assert_null(env.interface);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(test_addresses_in_the_same_sets_are_one_class),
	    TEST(test_policy_without_rules_follows_the_defaults),
	    TEST(test_both_homes_of_a_flow_between_workloads_must_allow),
	    TEST(test_segments_that_disagree_on_a_default_deny),
	    TEST(test_segment_that_contains_itself_is_refused),
	    TEST(test_missing_interface_warns_and_stands_for_nothing),
	    TEST(test_builtin_failsafe_ends_with_a_rule_that_names_it),
	    TEST(test_failsafe_stays_open_to_the_block_list_and_nothing_else_does),
	    TEST(test_deny_wins_and_the_first_rule_counts),
	    TEST(test_only_a_named_port_counts_as_named),
	    TEST(test_log_by_the_rule_or_by_the_audit),
	    TEST(test_on_binds_rules_and_limits_to_interfaces),
	    TEST(test_fifth_limit_on_a_packet_is_refused_by_name),
	    TEST(test_later_fragments_have_room_for_twelve_limits),
	    TEST(test_rules_carry_name_place_and_a_stable_id),
	    TEST(test_long_places_keep_their_end),
	    TEST(test_config_says_what_the_policy_says),
	    TEST(test_policy_over_the_budget_is_refused_with_the_numbers),
	    TEST(test_limits_count_towards_the_budget),
	    TEST(test_pairs_without_end_are_refused_in_time),
	    TEST(test_long_list_over_the_budget_is_refused),
	    TEST(test_tests_pass_and_fail_with_a_reason),
	    TEST(test_test_that_depends_on_an_unsaid_home_fails_and_names_both),
	    TEST(test_tests_know_the_interfaces),
	    TEST(test_environment_is_this_host),
	};

	return cmocka_run_group_tests_name("compile: tables", tests, NULL, NULL);
}
