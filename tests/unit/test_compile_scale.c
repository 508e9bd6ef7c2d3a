// SPDX-License-Identifier: GPL-2.0-only
/* What a large policy costs: time, memory of the build, memory of the tables; and that over the budget is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compile/builder.h"
#include "base/mem.h"
#include "compile_policy.h"

#define MIB (1024UL * 1024)
/* Sanitizers and other tests on the same machine slow things down: the bounds are those of quadratic work. */
#define SLOW 10

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static struct tables *build(const struct made *made, double most_s)
{
	struct tables *tables = NULL;
	struct diag diag = {0};
	double begin = now_s(), took;

	if (tables_build(&made->policy, &made->env, &tables, &diag))
		fail_msg("%s", diag.error);
	took = now_s() - begin;
	print_message(
	    "%.2f s; %zu addresses, %zu classes, %zu pairs (%s), %zu cells (%s), %zu MiB\n", took,
	    tables->budget.addresses, tables->budget.classes, tables->budget.pairs,
	    tables->weir_cfg->pair_mask == WEIR_NONE ? "dense" : "exact", tables->budget.cells,
	    tables->weir_cfg->cell_mask == WEIR_NONE ? "dense" : "exact",
	    tables->budget.bytes / MIB);
	assert_true(took < most_s * SLOW);
	diag_reset(&diag);
	return tables;
}

static size_t trie_bytes(const struct tables *tables)
{
	return tables->nr_weir_root * sizeof(struct weir_root) +
	       tables->nr_weir_node * sizeof(struct weir_node) +
	       tables->nr_weir_leaf * sizeof(struct weir_leaf);
}

static struct weir_addr v4(__u32 address)
{
	struct weir_addr a = {.byte = {[10] = 0xff, [11] = 0xff}};

	for (int i = 0; i < 4; i++)
		a.byte[12 + i] = address >> (24 - 8 * i);
	return a;
}

static int ask(const struct tables *tables, struct weir_addr from, struct weir_addr to,
	       enum weir_kind to_kind, __u16 port)
{
	struct question question = {.source = from,
				    .destination = to,
				    .source_kind = WEIR_OTHER,
				    .destination_kind = to_kind,
				    .proto = 6,
				    .port = port};
	struct answer answer;

	assert_int_equal(tables_eval(tables, &question, &answer), 0);
	return answer.allow ? answer.rule : -2;
}

static void one_address(struct made *made, struct items *items, __u32 address)
{
	items->item = made_part(made, sizeof(struct item));
	items->n = 1;
	items->item[0].kind = ITEM_PREFIX;
	items->item[0].prefix = (struct prefix){.address = v4(address), .length = 32};
}

#define MANY 100000

/* 10.x.y.z each, scattered; i is below 2^24. */
static __u32 nth(__u32 i)
{
	return 0x0a000000 | (i * 7919 & 0xffffff);
}

static void test_hundred_thousand_rules_to_self(void **state)
{
	struct tables *tables;
	struct made made;

	made_init(&made, 1);
	for (__u32 i = 0; i < MANY; i++) {
		struct rule *rule = add_rule(&made, RULE_ALLOW, "", "self", "tcp/1");

		one_address(&made, &rule->from, nth(i));
		rule->port.service[0].first = rule->port.service[0].last = 1000 + i % 1000;
	}
	tables = build(&made, 1);
	for (__u32 i = 0; i < MANY; i += 997) {
		assert_int_equal(ask(tables, v4(nth(i)), v4(1), WEIR_SELF, 1000 + i % 1000), i);
		assert_int_equal(ask(tables, v4(nth(i)), v4(1), WEIR_SELF, 1000 + (i + 1) % 1000),
				 -2);
		assert_int_equal(
		    ask(tables, v4(nth(i) + 0x01000000), v4(1), WEIR_SELF, 1000 + i % 1000), -2);
	}
	tables_free(tables);
	made_free(&made);
}

static void transit_rules(struct made *made)
{
	made_init(made, 1);
	for (__u32 i = 0; i < MANY; i++) {
		struct rule *rule = add_rule(made, RULE_ALLOW, "", "", "tcp/443");

		one_address(made, &rule->from, nth(i));
		one_address(made, &rule->to, 0x01000000 + nth(i));
	}
}

static void check_transit(const struct tables *tables)
{
	for (__u32 i = 0; i < MANY; i += 997) {
		struct weir_addr from = v4(nth(i)), to = v4(0x01000000 + nth(i)),
				 next = v4(0x01000000 + nth(i + 1));

		assert_int_equal(ask(tables, from, to, WEIR_OTHER, 443), i);
		assert_int_equal(ask(tables, from, to, WEIR_OTHER, 444), -2);
		assert_int_equal(ask(tables, from, next, WEIR_OTHER, 443), -2);
	}
}

static void test_hundred_thousand_transit_rules(void **state)
{
	struct tables *tables;
	struct made made;

	transit_rules(&made);
	tables = build(&made, 1);
	check_transit(tables);
	tables_free(tables);
	made_free(&made);
}

/* The node's own rules must not be listed once for each destination of the others. */
static void test_rules_of_the_node_beside_transit_rules(void **state)
{
	struct question question = {.source = v4(1),
				    .destination = v4(0x01000000 + nth(5)),
				    .source_kind = WEIR_SELF,
				    .destination_kind = WEIR_OTHER,
				    .proto = 17,
				    .port = 53};
	struct answer answer;
	struct tables *tables;
	struct made made;

	transit_rules(&made);
	made.policy.defaults.egress = DEFAULT_DENY;
	add_rule(&made, RULE_ALLOW, "self", "any", "udp/53 tcp/443");
	add_rule(&made, RULE_DENY, "any", "192.0.2.0/24", "any");
	add_rule(&made, RULE_ALLOW, "0.0.0.0/0 ::/0", "self", "tcp/80");
	tables = build(&made, 2);
	check_transit(tables);
	assert_int_equal(tables_eval(tables, &question, &answer), 0);
	assert_true(answer.allow && answer.rule == MANY);
	question.source_kind = WEIR_WORKLOAD;
	assert_int_equal(tables_eval(tables, &question, &answer), 0);
	assert_false(answer.allow);
	tables_free(tables);
	made_free(&made);
}

static void list_of(struct made *made, struct items *items, size_t n, bool v6)
{
	struct item *item = made_part(made, sizeof(*item));

	items->item = item;
	items->n = 1;
	item->kind = ITEM_FILE;
	item->name = made_text(made, "list.txt");
	item->list = made_part(made, n * sizeof(struct prefix));
	item->nr_list = n;
	for (size_t i = 0; i < n; i++) {
		struct prefix *p = &item->list[i];

		*p = (struct prefix){.v6 = v6, .length = v6 ? 48 : 32};
		p->address = v4(made_random(made, 0x7fffffff) * 2 + made_random(made, 2));
		if (!v6)
			continue;
		p->address = address_of("2001:db8::"); /* all below one root: the worst place */
		for (int b = 2; b < 6; b++)
			p->address.byte[b] = made_random(made, 256);
	}
}

#define MILLION 1000000

/* KiB that the process held at most since it was told to forget (proc(5), clear_refs). */
static size_t peak_kib(bool forget)
{
	FILE *file = fopen("/proc/self/clear_refs", "w");
	char line[128];
	size_t kib = 0;

	assert_non_null(file);
	if (forget)
		fputs("5", file);
	fclose(file);
	file = fopen("/proc/self/status", "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmHWM: %zu", &kib) == 1)
			break;
	fclose(file);
	assert_true(kib > 0);
	return kib;
}

static void build_million(bool v6)
{
	struct tables *tables;
	struct made made;
	size_t before, above;

	made_init(&made, v6 ? 2 : 1);
	made.policy.defaults.ingress = DEFAULT_ALLOW;
	list_of(&made, &made.policy.block, MILLION, v6);
	before = peak_kib(true);
	tables = build(&made, 2);
	above = (peak_kib(false) - before) / 1024;
	print_message("a million %s: tries %zu MiB, build at most %zu MiB above the policy\n",
		      v6 ? "IPv6 /48" : "IPv4 /32", trie_bytes(tables) / MIB, above);
	assert_int_equal(tables->weir_cfg->nr_classes, 2);
	assert_true(trie_bytes(tables) < 64 * MIB);
#ifndef __SANITIZE_ADDRESS__
	assert_true(above > 30 && above < 300);
#endif
	for (size_t i = 0; i < MILLION; i += 9973) {
		struct prefix p = made.policy.block.item[0].list[i];
		struct weir_addr last = p.address, next;

		for (int b = v6 ? 6 : 16; b < 16; b++)
			last.byte[b] = 0xff;
		assert_int_equal(ask(tables, p.address, v4(1), WEIR_SELF, 80), -2);
		assert_int_equal(ask(tables, last, v4(1), WEIR_SELF, 80), -2);
		next = last;
		next.byte[v6 ? 2 : 12] ^=
		    0x80; /* rarely on the list: IPv4 has one in 4,000 there */
		if (v6)
			assert_int_equal(ask(tables, next, v4(1), WEIR_SELF, 80), -1);
	}
	tables_free(tables);
	made_free(&made);
}

static void test_million_ipv4_addresses(void **state)
{
	build_million(false);
}

static void test_million_ipv6_networks(void **state)
{
	build_million(true);
}

/* ---- live changes ---- */

static struct made live;

#define CONTAINERS 500
#define SERVICES   50

static void name_service(int service, int containers)
{
	struct env_name *name = NULL;
	char text[64];

	snprintf(text, sizeof(text), "compose=kato/s%d", service);
	add_name(&live, text, "");
	for (size_t i = 0; i < live.env.nr_names; i++)
		if (strcmp(live.env.name[i].name, text + strlen("compose=")) == 0)
			name = &live.env.name[i];
	name->address = made_part(&live, 2 * containers * sizeof(struct prefix));
	for (int i = 0; i < containers; i++) {
		snprintf(text, sizeof(text), "172.18.%d.%d", service / 8, service % 8 * 30 + i + 2);
		name->address[name->n++] = prefix_of(text);
		snprintf(text, sizeof(text), "2001:db8:18::%x:%x", service, i + 1);
		name->address[name->n++] = prefix_of(text);
	}
}

static struct tables *build_live(void)
{
	struct tables *tables = NULL;
	struct diag diag = {0};

	if (tables_build(&live.policy, &live.env, &tables, &diag))
		fail_msg("%s", diag.error);
	diag_reset(&diag);
	return tables;
}

/* Fifty compose services of ten containers: each may ask the next, the first is published, all reach a resolver. */
static void fifty_services(void)
{
	static struct interface_rule veth = {.pattern = (char *)"veth*"};

	made_init(&live, 1);
	live.policy.defaults.egress = DEFAULT_DENY;
	live.policy.workload = &veth;
	live.policy.nr_workloads = 1;
	for (int i = 0; i < SERVICES; i++) {
		struct rule *rule;

		add_segment(&live, made_text(&live, "s%d", i),
			    made_text(&live, "compose=kato/s%d", i), "");
		rule = add_rule(&live, RULE_ALLOW, i ? made_text(&live, "s%d", i - 1) : "any",
				made_text(&live, "s%d", i), made_text(&live, "tcp/%d", 8000 + i));
		if (!i)
			rule->published = services_of(&live, "tcp/443");
		name_service(i, CONTAINERS / SERVICES);
	}
	add_rule(&live, RULE_ALLOW, "workloads", "192.0.2.53", "udp/53 tcp/53");
	add_limit(&live, "edge", NULL, "s0", "tcp/8000");
}

static size_t differing(const void *a, size_t na, const void *b, size_t nb)
{
	const __u8 *x = a, *y = b;
	size_t n = na < nb ? na : nb, differ = na + nb - 2 * n;

	for (size_t i = 0; i < n; i++)
		differ += x[i] != y[i];
	return differ;
}

static size_t tables_differ(const struct tables *a, const struct tables *b, size_t *ret_bytes)
{
	size_t differ = 0;

	*ret_bytes = 0;
#define DIFFER(name, type, entries)                                                                \
	differ +=                                                                                  \
	    differing(a->name, a->nr_##name * sizeof(type), b->name, b->nr_##name * sizeof(type)); \
	*ret_bytes += b->nr_##name * sizeof(type);
	WEIR_SLOT_MAPS(DIFFER)
#undef DIFFER
	return differ;
}

/* The update writes what differs: one container more, or the first or last of its service, is little. */
static void test_one_container_changes_little(void **state)
{
	static const struct {
		const char *what;
		int service, before, after;
	} cases[] = {{"one more", 25, 10, 11},
		     {"one less", 25, 10, 9},
		     {"the first", 25, 0, 1},
		     {"the last", 0, 1, 0}};

	fifty_services();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tables *before, *after;
		size_t bytes, differ;
		double took;

		name_service(cases[i].service, cases[i].before);
		before = build_live();
		name_service(cases[i].service, cases[i].after);
		after = build_live();
		differ = tables_differ(before, after, &bytes);
		tables_free(before);
		tables_free(after);
		took = now_s();
		for (int n = 0; n < 10; n++)
			tables_free(build_live());
		took = (now_s() - took) * 1e3 / 10;
		print_message("%s of %d containers: %zu of %zu bytes differ; compiled in %.2f ms\n",
			      cases[i].what, CONTAINERS, differ, bytes, took);
		assert_true(differ > 0 && differ < bytes / 50);
		name_service(cases[i].service, CONTAINERS / SERVICES);
	}
	made_free(&live);
}

static void test_the_same_again_is_the_same(void **state)
{
	struct tables *first, *second;
	size_t bytes;

	fifty_services();
	first = build_live();
	second = build_live();
	assert_int_equal(tables_differ(first, second, &bytes), 0);
	tables_free(first);
	tables_free(second);
	made_free(&live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_million_ipv4_addresses),
	    cmocka_unit_test(test_million_ipv6_networks),
	    cmocka_unit_test(test_hundred_thousand_rules_to_self),
	    cmocka_unit_test(test_hundred_thousand_transit_rules),
	    cmocka_unit_test(test_rules_of_the_node_beside_transit_rules),
	    cmocka_unit_test(test_one_container_changes_little),
	    cmocka_unit_test(test_the_same_again_is_the_same),
	};

	return cmocka_run_group_tests_name("compile: scale", tests, NULL, NULL);
}
