// SPDX-License-Identifier: GPL-2.0-only
/* Followed names, published ports, service addresses, units: what the tables say of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "compile/compile.h"
#include "compile_tables.h"

static int begin_denying(void **state)
{
	begin(state);
	made.policy.defaults.egress = DEFAULT_DENY;
	return 0;
}

/* "self", "self ADDR", "workload ADDR" or "ADDR". */
static struct weir_addr end_of(const char *text, enum weir_kind *kind)
{
	const char *space = strchr(text, ' ');

	*kind = !strncmp(text, "self", 4)	? WEIR_SELF
		: !strncmp(text, "workload", 8) ? WEIR_WORKLOAD
						: WEIR_OTHER;
	return address_of(space ? space + 1 : *kind == WEIR_SELF ? "192.0.2.99" : text);
}

static struct answer ask(const char *from, const char *to, int proto, int port)
{
	struct question question = {.proto = proto, .port = port};
	struct answer answer = {0};

	question.source = end_of(from, &question.source_kind);
	question.destination = end_of(to, &question.destination_kind);
	assert_int_equal(tables_eval(tables, &question, &answer), 0);
	return answer;
}

static void some_workloads(void)
{
	static struct interface_rule veth = {.pattern = (char *)"veth*"};

	made.policy.workload = &veth;
	made.policy.nr_workloads = 1;
}

#define assert_rule(answer, number)                      \
	do {                                             \
		assert_int_equal((answer).rule, number); \
		assert_true((answer).allow);             \
	} while (0)

static void test_followed_names_are_lists_of_addresses(void **state)
{
	add_segment(&made, "kato", "container=kato", "");
	add_segment(&made, "db", "compose=kato/mongo network=kato_backend", "container=kato");
	add_rule(&made, RULE_ALLOW, "kato", "db", "tcp/27017");
	add_rule(&made, RULE_ALLOW, "kato", "name=api.example.com", "tcp/443");
	add_name(&made, "container=kato", "172.18.0.2 2001:db8::2");
	add_name(&made, "compose=kato/mongo", "172.18.0.3");
	add_name(&made, "network=kato_backend", "172.18.0.2 172.18.0.4");
	add_name(&made, "name=api.example.com", "203.0.113.5 2001:db8:5::1");
	build();
	assert_rule(ask("workload 172.18.0.2", "workload 172.18.0.3", 6, 27017), 0);
	assert_rule(ask("workload 172.18.0.2", "workload 172.18.0.4", 6, 27017), 0);
	assert_false(ask("workload 172.18.0.3", "workload 172.18.0.4", 6, 27017).allow);
	assert_false(ask("workload 172.18.0.4", "workload 172.18.0.2", 6, 27017).allow);
	assert_rule(ask("workload 2001:db8::2", "2001:db8:5::1", 6, 443), 1);
	assert_rule(ask("workload 172.18.0.2", "203.0.113.5", 6, 443), 1);
	assert_int_equal(diag.nr_warnings, 0);
	/* The container was started again, elsewhere. */
	add_name(&made, "container=kato", "172.18.0.9");
	build();
	assert_false(ask("workload 172.18.0.2", "workload 172.18.0.3", 6, 27017).allow);
	assert_rule(ask("workload 172.18.0.9", "workload 172.18.0.3", 6, 27017), 0);
}

static void test_name_without_address_warns_and_stands_for_nothing(void **state)
{
	struct item item = item_of(&made, "container=kato");

	add_rule(&made, RULE_ALLOW, "container=kato", "192.0.2.1", "tcp/80");
	build();
	assert_int_equal(diag.nr_warnings, 1);
	assert_non_null(strstr(diag.warnings[0], "{container: kato} stands for no address yet"));
	assert_false(ask("workload 172.18.0.2", "192.0.2.1", 6, 80).allow);
	add_name(&made, "container=kato", "");
	build();
	assert_non_null(strstr(diag.warnings[0], "{container: kato} stands for no address now"));
	assert_true(item_followed(&item));
}

static void test_names_of_one_text_and_two_kinds_are_two(void **state)
{
	add_rule(&made, RULE_ALLOW, "container=db", "192.0.2.1", "tcp/80");
	add_rule(&made, RULE_ALLOW, "network=db", "192.0.2.1", "tcp/81");
	add_name(&made, "container=db", "172.18.0.2");
	add_name(&made, "network=db", "172.18.0.3");
	build();
	assert_rule(ask("workload 172.18.0.2", "192.0.2.1", 6, 80), 0);
	assert_false(ask("workload 172.18.0.2", "192.0.2.1", 6, 81).allow);
	assert_false(ask("workload 172.18.0.3", "192.0.2.1", 6, 80).allow);
	assert_rule(ask("workload 172.18.0.3", "192.0.2.1", 6, 81), 1);
}

static void test_id_of_a_rule_stays_when_its_names_move(void **state)
{
	__u64 id;

	add_rule(&made, RULE_ALLOW, "container=kato", "192.0.2.1", "tcp/80");
	add_name(&made, "container=kato", "172.18.0.2");
	build();
	id = tables->weir_rule[0].id;
	add_name(&made, "container=kato", "172.18.0.3");
	build();
	assert_true(tables->weir_rule[0].id == id);
	made.policy.rule[0].from = items_of(&made, "network=kato");
	build();
	assert_true(tables->weir_rule[0].id != id);
}

static void test_published_port_opens_the_node_for_the_same_sources(void **state)
{
	struct rule *rule = add_rule(&made, RULE_ALLOW, "198.51.100.0/24", "10.0.0.5", "tcp/8000");
	struct answer answer;
	__u64 id;

	build();
	id = tables->weir_rule[0].id;
	assert_false(ask("198.51.100.7", "self", 6, 443).allow);
	rule->published = services_of(&made, "tcp/443");
	build();
	answer = ask("198.51.100.7", "self", 6, 443);
	assert_rule(answer, 0);
	assert_true(answer.verdict.flags & WEIR_VERDICT_NAMED);
	assert_rule(ask("198.51.100.7", "workload 10.0.0.5", 6, 8000), 0);
	assert_false(ask("198.51.100.7", "self", 6, 8000).allow);
	assert_false(ask("198.51.100.7", "workload 10.0.0.5", 6, 443).allow);
	assert_false(ask("203.0.113.7", "self", 6, 443).allow);
	assert_false(ask("198.51.100.7", "self", 17, 443).allow);
	assert_true(tables->weir_rule[0].id != id);
	/* A deny rule closes it again, and decides. */
	rule = add_rule(&made, RULE_DENY, "198.51.100.7", "10.0.0.5", "tcp/8000");
	rule->published = services_of(&made, "tcp/443");
	build();
	answer = ask("198.51.100.7", "self", 6, 443);
	assert_int_equal(answer.verdict.action, WEIR_ACT_DENY);
	assert_int_equal(answer.rule, 1);
	assert_rule(ask("198.51.100.8", "self", 6, 443), 0);
}

static void test_published_ssh_ends_the_builtin_failsafe(void **state)
{
	struct rule *rule = add_rule(&made, RULE_ALLOW, "198.51.100.7", "10.0.0.5", "tcp/22");

	build();
	assert_int_equal(ask("203.0.113.7", "self", 6, 22).verdict.action, WEIR_ACT_FAILSAFE);
	rule->published = services_of(&made, "tcp/22");
	build();
	assert_false(ask("203.0.113.7", "self", 6, 22).allow);
	assert_rule(ask("198.51.100.7", "self", 6, 22), 0);
}

/* 10.96.0.10:80 leads to 10.0.0.1:8080 and 10.0.0.2:8080. */
static void service_of_two(void)
{
	add_service(&made, "10.96.0.10", "tcp/80", "10.0.0.1 8080 10.0.0.2 8080");
}

static void test_service_address_is_open_where_its_endpoints_are(void **state)
{
	struct answer answer;

	service_of_two();
	add_rule(&made, RULE_ALLOW, "172.18.0.2", "10.0.0.2", "tcp/8080");
	add_rule(&made, RULE_ALLOW, "172.18.0.2", "10.0.0.1", "tcp/8080");
	build();
	answer = ask("workload 172.18.0.2", "10.96.0.10", 6, 80);
	assert_rule(answer, 0);
	assert_true(answer.verdict.flags & WEIR_VERDICT_NAMED);
	assert_false(tables->weir_cfg->flags & WEIR_CFG_LATER);
	/* Other sources, ports and protocols are as they were. */
	assert_false(ask("workload 172.18.0.3", "10.96.0.10", 6, 80).allow);
	assert_int_equal(ask("workload 172.18.0.3", "10.96.0.10", 6, 80).verdict.action,
			 WEIR_ACT_DEFAULT);
	assert_false(ask("workload 172.18.0.2", "10.96.0.10", 6, 8080).allow);
	assert_false(ask("workload 172.18.0.2", "10.96.0.10", 17, 80).allow);
	assert_false(ask("workload 172.18.0.2", "10.0.0.1", 6, 80).allow);
	/* The node's own address is no service address. */
	assert_false(ask("workload 172.18.0.2", "self 10.96.0.10", 6, 80).allow);
}

static void test_endpoints_that_differ_are_judged_later(void **state)
{
	struct answer answer;

	service_of_two();
	add_rule(&made, RULE_ALLOW, "172.18.0.2", "10.0.0.2", "tcp/8080");
	build();
	answer = ask("workload 172.18.0.2", "10.96.0.10", 6, 80);
	assert_true(answer.later);
	assert_false(answer.allow);
	assert_int_equal(answer.verdict.action, WEIR_ACT_LATER);
	assert_int_equal(answer.rule, -1);
	assert_true(tables->weir_cfg->flags & WEIR_CFG_LATER);
	assert_false(ask("workload 172.18.0.3", "10.96.0.10", 6, 80).later);
	/* Whether an endpoint is a workload of this node is known when the packet is there. */
	made.policy.rule[0].to = items_of(&made, "workloads");
	build();
	assert_true(ask("workload 172.18.0.2", "10.96.0.10", 6, 80).later);
}

static void test_block_list_holds_for_service_addresses(void **state)
{
	service_of_two();
	add_rule(&made, RULE_ALLOW, "172.18.0.2", "10.0.0.2", "tcp/8080");
	made.policy.block = items_of(&made, "10.96.0.10");
	build();
	assert_false(ask("workload 172.18.0.2", "10.96.0.10", 6, 80).later);
	assert_false(ask("workload 172.18.0.2", "10.96.0.10", 6, 80).allow);
}

static void test_denied_endpoints_deny_their_address(void **state)
{
	struct answer answer;

	service_of_two();
	made.policy.defaults.egress = DEFAULT_ALLOW;
	add_rule(&made, RULE_ALLOW, "any", "10.96.0.10", "tcp/80");
	add_rule(&made, RULE_DENY, "172.18.0.2", "10.0.0.1", "any");
	build();
	/* One of two: though the address is open, it depends. */
	assert_true(ask("workload 172.18.0.2", "10.96.0.10", 6, 80).later);
	assert_rule(ask("workload 172.18.0.3", "10.96.0.10", 6, 80), 0);
	made.policy.rule[1].to = items_of(&made, "10.0.0.0/24");
	build();
	answer = ask("workload 172.18.0.2", "10.96.0.10", 6, 80);
	assert_int_equal(answer.verdict.action, WEIR_ACT_DENY);
	assert_int_equal(answer.rule, 1);
}

static void test_rule_on_the_address_itself_decides_over_defaults(void **state)
{
	service_of_two();
	add_rule(&made, RULE_ALLOW, "172.18.0.2", "10.96.0.10", "tcp/80");
	build();
	assert_rule(ask("workload 172.18.0.2", "10.96.0.10", 6, 80), 0);
	made.policy.rule[0].action = RULE_DENY;
	add_rule(&made, RULE_ALLOW, "172.18.0.2", "10.0.0.0/24", "any");
	build();
	assert_int_equal(ask("workload 172.18.0.2", "10.96.0.10", 6, 80).verdict.action,
			 WEIR_ACT_DENY);
}

/* Nothing is judged once NAT has led to this node itself: its ingress counts at the sender's home. */
static void test_endpoint_on_this_node_is_judged_at_once(void **state)
{
	add_interface(&made, "eth0", "192.0.2.10");
	made.policy.defaults.egress = DEFAULT_ALLOW;
	add_service(&made, "10.96.0.1", "tcp/443", "192.0.2.10 6443 192.0.2.11 6443");
	build();
	assert_int_equal(ask("workload 172.18.0.2", "10.96.0.1", 6, 443).verdict.action,
			 WEIR_ACT_DENY);
	assert_int_equal(ask("workload 172.18.0.2", "10.96.0.1", 6, 443).rule, -1);
	add_rule(&made, RULE_ALLOW, "172.18.0.2", "self", "tcp/6443");
	build();
	assert_true(ask("workload 172.18.0.2", "10.96.0.1", 6, 443).later);
	add_rule(&made, RULE_ALLOW, "172.18.0.2", "192.0.2.11", "tcp/6443");
	build();
	assert_rule(ask("workload 172.18.0.2", "10.96.0.1", 6, 443), 0);
	add_rule(&made, RULE_DENY, "172.18.0.2", "self", "tcp/6443");
	build();
	assert_int_equal(ask("workload 172.18.0.2", "10.96.0.1", 6, 443).rule, 2);
}

static void test_only_what_is_sent_is_charged_on_the_way_to_a_service_address(void **state)
{
	struct answer answer;

	service_of_two();
	add_rule(&made, RULE_ALLOW, "172.18.0.2", "10.0.0.0/24", "tcp/8080");
	add_limit(&made, "sent", "172.18.0.0/24", NULL, "tcp/80");
	add_limit(&made, "received", NULL, "10.0.0.0/24", "tcp/8080");
	add_limit(&made, "both", "172.18.0.2", "10.96.0.10", "tcp/80");
	build();
	answer = ask("workload 172.18.0.2", "10.96.0.10", 6, 80);
	assert_int_equal(answer.verdict.nr_limits, 1);
	assert_int_equal(answer.verdict.limit[0], 0);
	answer = ask("workload 172.18.0.2", "10.0.0.1", 6, 8080);
	assert_int_equal(answer.verdict.nr_limits, 1);
	assert_int_equal(answer.verdict.limit[0], 1);
}

static void test_two_services_of_one_address(void **state)
{
	add_service(&made, "10.96.0.10", "udp/53", "10.0.0.1 53");
	add_service(&made, "10.96.0.10", "tcp/53", "10.0.0.1 53 10.0.0.2 53");
	add_rule(&made, RULE_ALLOW, "172.18.0.2", "10.0.0.1", "udp/53 tcp/53");
	build();
	assert_rule(ask("workload 172.18.0.2", "10.96.0.10", 17, 53), 0);
	assert_true(ask("workload 172.18.0.2", "10.96.0.10", 6, 53).later);
}

static void test_unit_is_a_number_that_no_prefix_holds(void **state)
{
	add_rule(&made, RULE_DENY, "127.0.0.0/8 0.0.0.0/0", "any", "tcp/25");
	add_rule(&made, RULE_ALLOW, "unit=kato.service", "203.0.113.5", "tcp/443");
	add_name(&made, "unit=kato.service", "3");
	build();
	assert_true(tables->weir_cfg->flags & WEIR_CFG_UNITS);
	assert_rule(ask("self 127.255.0.3", "203.0.113.5", 6, 443), 1);
	assert_false(ask("self 127.255.0.4", "203.0.113.5", 6, 443).allow);
	assert_false(ask("self", "203.0.113.5", 6, 443).allow);
	assert_int_equal(ask("self 127.255.0.3", "203.0.113.5", 6, 25).verdict.action,
			 WEIR_ACT_DEFAULT);
	assert_int_equal(ask("self 127.0.0.3", "203.0.113.5", 6, 25).rule, 0);
	made.policy.nr_rules = 1;
	build();
	assert_false(tables->weir_cfg->flags & WEIR_CFG_UNITS);
}

static void test_tests_know_names_published_ports_and_service_addresses(void **state)
{
	struct test_result *results = NULL;
	struct rule *rule;

	some_workloads();
	add_segment(&made, "kato", "container=kato", "");
	add_segment(&made, "db", "10.0.0.1 10.0.0.2", "");
	rule = add_rule(&made, RULE_ALLOW, "any", "kato", "tcp/8000");
	rule->published = services_of(&made, "tcp/443");
	add_rule(&made, RULE_ALLOW, "kato", "10.0.0.1", "tcp/8080");
	add_service(&made, "10.96.0.10", "tcp/80", "10.0.0.1 8080 10.0.0.2 8080");
	add_service(&made, "10.96.0.11", "tcp/80", "10.0.0.1 8080");
	add_service(&made, "10.96.0.12", "tcp/80", "10.0.0.2 8080");
	add_test(&made, "203.0.113.9", "self", "tcp/443", true);
	add_test(&made, "203.0.113.9", "self", "tcp/8000", false);
	add_test(&made, "container=kato", "10.96.0.11", "tcp/80", true);
	add_test(&made, "kato", "10.96.0.12", "tcp/80", false);
	/* A container is a workload, whatever a transit packet might do. */
	made.policy.defaults.forward = DEFAULT_ALLOW;
	add_test(&made, "kato", "container=other", "tcp/80", false);
	add_test(&made, "kato", "10.96.0.10", "tcp/80", true);
	add_test(&made, "kato", "10.96.0.10", "tcp/80", false);
	assert_int_equal(environment_stand_in(&made.env, &made.policy), 0);
	build();
	assert_int_equal(tests_run(&made.policy, tables, &made.env, &results), 2);
	for (int i = 0; i < 5; i++)
		if (!results[i].passed)
			fail_msg("%d: %s", i, results[i].text);
	for (int i = 5; i < 7; i++) {
		assert_false(results[i].passed);
		assert_non_null(strstr(results[i].text, "depends on the endpoint of 10.96.0.10"));
	}
	free(results);
	for (size_t i = 0; i < made.env.nr_names; i++) {
		free(made.env.name[i].name);
		free(made.env.name[i].address);
	}
	free(made.env.name);
}

static void test_tests_take_a_unit_for_sockets_of_both_families(void **state)
{
	struct test_result *results = NULL;

	some_workloads();
	add_segment(&made, "backup", "unit=backup.service", "");
	add_rule(&made, RULE_ALLOW, "backup", "2001:db8::1 192.0.2.1", "tcp/443");
	add_name(&made, "unit=backup.service", "5");
	add_test(&made, "backup", "2001:db8::1", "tcp/443", true);
	add_test(&made, "unit=backup.service", "192.0.2.1", "tcp/443", true);
	add_test(&made, "self", "2001:db8::1", "tcp/443", false);
	build();
	if (tests_run(&made.policy, tables, &made.env, &results))
		fail_msg("%s; %s; %s", results[0].text, results[1].text, results[2].text);
	free(results);
}

/* ---- the environment ---- */

static void free_names(struct environment *env)
{
	struct environment only = {.name = env->name, .nr_names = env->nr_names};

	environment_free(&only);
	env->name = NULL;
	env->nr_names = 0;
}

static void test_stand_ins_are_one_of_a_family_each_and_apart(void **state)
{
	const struct env_name *a, *b, *unit;
	struct environment env = {0};

	add_segment(&made, "all", "container=a container=b network=a unit=u.service", "");
	add_rule(&made, RULE_ALLOW, "all", "container=a", "any");
	add_test(&made, "name=host.example.com", "192.0.2.1", "tcp/1", false);
	assert_int_equal(environment_stand_in(&env, &made.policy), 0);
	assert_int_equal(env.nr_names, 5);
	a = environment_name(&env, ITEM_CONTAINER, "a");
	b = environment_name(&env, ITEM_NETWORK, "a");
	unit = environment_name(&env, ITEM_UNIT, "u.service");
	assert_non_null(environment_name(&env, ITEM_NAME, "host.example.com"));
	assert_null(environment_name(&env, ITEM_CONTAINER, "c"));
	assert_true(a->known && a->n == 2 && b->n == 2);
	assert_true(!a->address[0].v6 && a->address[1].v6);
	assert_int_equal(a->address[0].address.byte[12], 240);
	assert_int_not_equal(prefix_compare(&a->address[0], &b->address[0]), 0);
	assert_int_not_equal(prefix_compare(&a->address[1], &b->address[1]), 0);
	assert_int_equal(unit->n, 1);
	assert_int_equal(unit->address[0].address.byte[12], 127);
	assert_int_equal(unit->address[0].address.byte[15], 1);
	/* What is known stays; what is not gets what it lacks. */
	assert_int_equal(environment_stand_in(&env, &made.policy), 0);
	assert_int_equal(env.nr_names, 5);
	free_names(&env);
}

/* Lists of addresses that nobody has are common: a stand-in is in none of them. */
static void test_stand_ins_are_outside_of_what_the_policy_lists(void **state)
{
	struct environment env = {0};

	made.policy.block = items_of(&made, "240.0.0.0/4 0.0.0.0/8 198.18.0.0/15 100.64.0.0/10");
	add_rule(&made, RULE_ALLOW, "container=a", "0.0.0.0/0", "any");
	assert_int_equal(environment_stand_in(&env, &made.policy), 0);
	for (size_t i = 0; i < made.policy.block.n; i++)
		assert_false(prefix_contains(&made.policy.block.item[i].prefix,
					     &env.name[0].address[0].address));
	free_names(&env);
}

static void test_who_may_be_bound(void **state)
{
	struct prefix subnet[] = {prefix_of("172.18.0.0/16"), prefix_of("2001:db8:1::/64")};
	struct prefix known[] = {prefix_of("172.18.0.2"), prefix_of("172.18.0.9"),
				 prefix_of("2001:db8:1::2")};
	struct environment env = {.engine_subnet = subnet,
				  .nr_engine_subnets = 2,
				  .engine_address = known,
				  .nr_engine_addresses = 3};
	static const struct {
		const char *address;
		bool may;
	} cases[] = {
	    {"172.18.0.2", true},    {"172.18.0.9", true},    {"172.18.0.3", false},
	    {"172.19.0.3", true},    {"2001:db8:1::2", true}, {"2001:db8:1::3", false},
	    {"2001:db8:2::3", true}, {"fe80::1", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct weir_addr address = address_of(cases[i].address);

		if (environment_may_bind(&env, &address) != cases[i].may)
			fail_msg("%s", cases[i].address);
		env.engine_unknown = true;
		assert_false(environment_may_bind(&env, &address));
		env.engine_unknown = false;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_denying, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_followed_names_are_lists_of_addresses),
	    TEST(test_name_without_address_warns_and_stands_for_nothing),
	    TEST(test_names_of_one_text_and_two_kinds_are_two),
	    TEST(test_id_of_a_rule_stays_when_its_names_move),
	    TEST(test_published_port_opens_the_node_for_the_same_sources),
	    TEST(test_published_ssh_ends_the_builtin_failsafe),
	    TEST(test_service_address_is_open_where_its_endpoints_are),
	    TEST(test_endpoints_that_differ_are_judged_later),
	    TEST(test_block_list_holds_for_service_addresses),
	    TEST(test_denied_endpoints_deny_their_address),
	    TEST(test_rule_on_the_address_itself_decides_over_defaults),
	    TEST(test_endpoint_on_this_node_is_judged_at_once),
	    TEST(test_only_what_is_sent_is_charged_on_the_way_to_a_service_address),
	    TEST(test_two_services_of_one_address),
	    TEST(test_unit_is_a_number_that_no_prefix_holds),
	    TEST(test_tests_know_names_published_ports_and_service_addresses),
	    TEST(test_tests_take_a_unit_for_sockets_of_both_families),
	    TEST(test_stand_ins_are_one_of_a_family_each_and_apart),
	    TEST(test_stand_ins_are_outside_of_what_the_policy_lists),
	    TEST(test_who_may_be_bound),
	};

	return cmocka_run_group_tests_name("compile: names and NAT", tests, NULL, NULL);
}
