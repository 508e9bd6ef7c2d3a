// SPDX-License-Identifier: GPL-2.0-only
/* What the text of a policy becomes in the model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "policy/model.h"

static char directory[] = "/tmp/test_policy_parse.XXXXXX";

static struct policy *parse(const char *text)
{
	struct policy *policy = NULL;
	struct diag diag = {};
	char error[8192];

	if (policy_parse_text(text, strlen(text), "test.yaml", &policy, &diag))
		fail_msg("%s", diag_text(&diag, error, sizeof(error)));
	diag_reset(&diag);
	return policy;
}

static void expect_error(const char *text, const char *want)
{
	struct policy *policy = NULL;
	struct diag diag = {};
	char error[8192];

	assert_int_equal(policy_parse_text(text, strlen(text), "test.yaml", &policy, &diag),
			 -EINVAL);
	assert_null(policy);
	assert_string_equal(diag_text(&diag, error, sizeof(error)), want);
	diag_reset(&diag);
}

static const char *write_file(const char *name, const char *text, size_t len)
{
	static char path[4][128];
	static int turn;
	char *here = path[turn++ % 4];
	FILE *file;

	snprintf(here, sizeof(path[0]), "%s/%s", directory, name);
	file = fopen(here, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
	return here;
}

static void assert_prefix(const struct prefix *prefix, const char *want)
{
	char text[ADDR_TEXT_LEN];

	assert_string_equal(prefix_format(prefix, text), want);
}

static const char example[] =
    "interfaces: [eth0]\n"
    "workloads: [\"veth*\"]\n"
    "default: {ingress: deny, egress: deny, forward: deny}\n"
    "segments:\n"
    "  admin:     [198.51.100.0/28]\n"
    "  ingress:   {members: [10.42.1.7], proxy: true}\n"
    "  kato:      [10.42.2.10]\n"
    "  databases: [10.42.3.0/24]\n"
    "  resolver:  [10.42.0.53]\n"
    "allow:\n"
    "  - {from: admin, to: self, port: tcp/22}\n"
    "  - {from: any, to: ingress, port: tcp/443}\n"
    "  - {from: ingress, to: kato, port: tcp/8000}\n"
    "  - {from: kato, to: databases, port: [tcp/27017, tcp/6333, tcp/6379]}\n"
    "  - {from: kato, to: resolver, port: [udp/53, tcp/53]}\n"
    "block: [192.0.2.0/24]\n"
    "limits:\n"
    "  - {name: edge_limit, to: ingress, port: tcp/443, count: connections, rate: 100/minute, burst: 20}\n"
    "audit: {file: /var/log/weir/audit.jsonl, retention: 90d, mask: {ipv4: 24, ipv6: 48}}\n"
    "tests:\n"
    "  - {from: 10.42.1.7, to: kato, port: tcp/8000, expect: allow}\n"
    "  - {from: 203.0.113.9, to: databases, port: tcp/27017, expect: deny}\n";

static void the_example_is_read_whole(void **state)
{
	struct policy *policy = parse(example);

	assert_int_equal(policy->nr_interfaces, 1);
	assert_string_equal(policy->interface[0].pattern, "eth0");
	assert_int_equal(policy->nr_workloads, 1);
	assert_string_equal(policy->workload[0].pattern, "veth*");
	assert_int_equal(policy->nr_segments, 5);
	assert_true(policy_segment(policy, "ingress")->proxy);
	assert_false(policy_segment(policy, "kato")->proxy);
	assert_null(policy_segment(policy, "nobody"));
	assert_prefix(&policy_segment(policy, "databases")->members.item[0].prefix, "10.42.3.0/24");
	assert_int_equal(policy->nr_rules, 5);
	assert_int_equal(policy->rule[3].port.n, 3);
	assert_int_equal(policy->rule[3].port.service[2].proto, 6);
	assert_int_equal(policy->rule[3].port.service[2].first, 6379);
	assert_int_equal(policy->rule[3].port.service[2].last, 6379);
	assert_int_equal(policy->rule[4].port.service[0].proto, 17);
	assert_int_equal(policy->block.n, 1);
	assert_int_equal(policy->nr_limits, 1);
	assert_string_equal(policy->limit[0].name, "edge_limit");
	assert_string_equal(policy->audit.file, "/var/log/weir/audit.jsonl");
	assert_int_equal(policy->audit.retention_s, 90 * 86400);
	assert_int_equal(policy->audit.mask4, 24);
	assert_int_equal(policy->audit.mask6, 48);
	assert_int_equal(policy->nr_tests, 2);
	assert_int_equal(policy->test[0].from.kind, ITEM_PREFIX);
	assert_int_equal(policy->test[0].to.kind, ITEM_SEGMENT);
	assert_true(policy->test[0].expect_allow);
	assert_false(policy->test[1].expect_allow);
	assert_int_equal(policy->test[1].port.first, 27017);
	policy_free(policy);
}

static void everything_knows_its_place(void **state)
{
	struct policy *policy = parse(example);

	assert_string_equal(policy->file[0], "test.yaml");
	assert_ptr_equal(policy->rule[3].at.file, policy->file[0]);
	assert_int_equal(policy->rule[3].at.line, 14);
	assert_int_equal(policy->rule[3].at.column, 5);
	assert_int_equal(policy->rule[3].from.item[0].at.column, 12);
	assert_int_equal(policy->rule[3].port.service[1].at.column, 51);
	assert_int_equal(policy->workload[0].at.line, 2);
	assert_int_equal(policy->workload[0].at.column, 13);
	assert_int_equal(policy->limit[0].at.line, 18);
	assert_int_equal(policy_segment(policy, "kato")->at.line, 7);
	assert_int_equal(policy_segment(policy, "kato")->at.column, 3);
	policy_free(policy);
}

static void what_is_unsaid_is_filled_in(void **state)
{
	struct policy *policy = parse("allow: [{}]\n"
				      "deny: [{port: tcp/1}]\n"
				      "limits: [{count: packets, rate: 5/s}]\n");
	const struct limit_rule *limit = &policy->limit[0];

	assert_int_equal(policy->defaults.ingress, DEFAULT_DENY);
	assert_int_equal(policy->defaults.egress, DEFAULT_ALLOW);
	assert_int_equal(policy->defaults.forward, DEFAULT_DENY);
	assert_false(policy->has_failsafe);
	assert_false(policy->monitor);
	assert_false(policy->blocks_survive_reboot);
	assert_int_equal(policy->rule[0].from.item[0].kind, ITEM_ANY);
	assert_int_equal(policy->rule[0].to.item[0].kind, ITEM_SELF);
	assert_int_equal(policy->rule[0].port.service[0].proto, PORT_ANY);
	assert_int_equal(policy->rule[1].action, RULE_DENY);
	assert_null(policy->rule[0].name);
	assert_false(limit->has_from);
	assert_true(limit->has_to);
	assert_int_equal(limit->to.item[0].kind, ITEM_SELF);
	assert_int_equal(limit->burst, 0);
	assert_int_equal(limit->per, WEIR_PER_SOURCE);
	assert_int_equal(limit->key4, 32);
	assert_int_equal(limit->key6, 64);
	assert_int_equal(limit->entries, 65536);
	assert_int_equal(limit->overflow_rate, 0);
	assert_int_equal(limit->block_ns, 0);
	assert_int_equal(policy->timeouts.tcp, 7200);
	assert_int_equal(policy->timeouts.tcp_closing, 30);
	assert_int_equal(policy->timeouts.udp, 30);
	assert_int_equal(policy->timeouts.udp_stream, 120);
	assert_int_equal(policy->timeouts.icmp, 10);
	assert_int_equal(policy->timeouts.half_open, 30);
	assert_null(policy->audit.file);
	assert_int_equal(policy->audit.mask4, -1);
	assert_int_equal(policy->audit.mask6, -1);
	assert_int_equal(policy->audit.events_per_second, 1000);
	assert_int_equal(policy->audit.per_source_per_second, 10);
	policy_free(policy);
}

static void defaults_follow_what_is_said(void **state)
{
	struct policy *policy = parse("default: allow\n");

	assert_int_equal(policy->defaults.ingress, DEFAULT_ALLOW);
	assert_int_equal(policy->defaults.egress, DEFAULT_ALLOW);
	assert_int_equal(policy->defaults.forward, DEFAULT_ALLOW);
	policy_free(policy);
	policy = parse("default: {ingress: allow, egress: deny}\n");
	assert_int_equal(policy->defaults.egress, DEFAULT_DENY);
	assert_int_equal(policy->defaults.forward, DEFAULT_ALLOW);
	policy_free(policy);
	policy = parse("segments: {kato: [], db: []}\n"
		       "defaults: {kato: {egress: deny}, db: allow}\n");
	assert_int_equal(policy->nr_segment_defaults, 2);
	assert_string_equal(policy->segment_defaults[0].segment, "kato");
	assert_int_equal(policy->segment_defaults[0].defaults.ingress, DEFAULT_UNSAID);
	assert_int_equal(policy->segment_defaults[0].defaults.egress, DEFAULT_DENY);
	assert_int_equal(policy->segment_defaults[1].defaults.ingress, DEFAULT_ALLOW);
	policy_free(policy);
}

static void limits_alone_from_or_with_nobody_are_told_apart(void **state)
{
	struct policy *policy = parse("limits:\n"
				      "  - {from: 192.0.2.1, count: packets, rate: 1/s}\n"
				      "  - {to: 192.0.2.1, count: packets, rate: 1/s}\n");

	assert_true(policy->limit[0].has_from);
	assert_false(policy->limit[0].has_to);
	assert_false(policy->limit[1].has_from);
	assert_true(policy->limit[1].has_to);
	policy_free(policy);
}

static void limits_are_normalised(void **state)
{
	struct policy *policy = parse(
	    "limits:\n"
	    "  - {count: bytes, rate: 100Mbit/s, burst: 64KiB, per: pair, key: {ipv4: 24, ipv6: 48},\n"
	    "     entries: 100, overflow: 1GB/s, on_exceed: {block: 10m}, mode: monitor, log: true,\n"
	    "     from: any, on: [eth1, \"wg*\"]}\n"
	    "  - {count: connections, rate: 100/minute, burst: 20, per: rule, on_exceed: drop}\n"
	    "  - {count: packets, rate: 10000000/s, per: destination, burst: 316224000000000}\n");
	const struct limit_rule *limit = policy->limit;

	assert_int_equal(limit[0].count, WEIR_COUNT_BYTES);
	assert_int_equal(limit[0].rate, 12500000);
	assert_int_equal(limit[0].period_ns, UNITS_NS_PER_S);
	assert_int_equal(limit[0].burst, 65536);
	assert_int_equal(limit[0].per, WEIR_PER_PAIR);
	assert_int_equal(limit[0].key4, 24);
	assert_int_equal(limit[0].key6, 48);
	assert_int_equal(limit[0].entries, 100);
	assert_int_equal(limit[0].overflow_rate, 1000000000);
	assert_int_equal(limit[0].overflow_period_ns, UNITS_NS_PER_S);
	assert_int_equal(limit[0].block_ns, 600 * UNITS_NS_PER_S);
	assert_true(limit[0].monitor && limit[0].log);
	assert_int_equal(limit[0].on.n, 2);
	assert_string_equal(limit[0].on.name[1], "wg*");
	assert_int_equal(limit[1].count, WEIR_COUNT_CONNECTIONS);
	assert_int_equal(limit[1].rate, 100);
	assert_int_equal(limit[1].period_ns, 60 * UNITS_NS_PER_S);
	assert_int_equal(limit[1].burst, 20);
	assert_int_equal(limit[1].per, WEIR_PER_RULE);
	assert_false(limit[1].monitor);
	assert_int_equal(limit[2].per, WEIR_PER_DESTINATION);
	policy_free(policy);
	/* The bounds themselves are allowed, one more is not. */
	policy_free(parse("limits: [{count: packets, rate: 1/day, burst: 366}]\n"));
	policy_free(
	    parse("limits: [{count: bytes, rate: 1KB/s}, {count: bytes, rate: 12.5GB/s}]\n"));
	policy_free(parse("limits: [{count: packets, rate: 600000000/minute}]\n"));
	expect_error(
	    "limits: [{count: packets, rate: 1/day, burst: 367}]\n",
	    "test.yaml:1:47: burst \"367\" takes longer than 366 days to drain at this rate");
	expect_error("limits: [{count: packets, rate: 10000001/s}]\n",
		     "test.yaml:1:33: rate \"10000001/s\" is not in 1..10000000");
}

static void items_of_all_kinds_are_read(void **state)
{
	struct policy *policy =
	    parse("segments:\n"
		  "  a: [192.0.2.1, 192.0.2.0/24, 10.0.0.5-10.0.0.9, b, any, self, workloads,\n"
		  "      {interface: eth0}, 2001:db8::1-2001:db8::ff, 192.0.2.7-192.0.2.7, ::1]\n"
		  "  b: {members: 2001:db8::/32, except: [2001:db8:1::/48]}\n");
	const struct item *item = policy->segment[0].members.item;

	assert_int_equal(policy->segment[0].members.n, 11);
	assert_int_equal(item[0].kind, ITEM_PREFIX);
	assert_prefix(&item[1].prefix, "192.0.2.0/24");
	assert_int_equal(item[2].kind, ITEM_RANGE);
	assert_int_equal(item[2].first.byte[15], 5);
	assert_int_equal(item[2].last.byte[15], 9);
	assert_int_equal(item[3].kind, ITEM_SEGMENT);
	assert_string_equal(item[3].name, "b");
	assert_int_equal(item[4].kind, ITEM_ANY);
	assert_int_equal(item[5].kind, ITEM_SELF);
	assert_int_equal(item[6].kind, ITEM_WORKLOADS);
	assert_int_equal(item[7].kind, ITEM_INTERFACE);
	assert_string_equal(item[7].name, "eth0");
	assert_int_equal(item[8].kind, ITEM_RANGE);
	assert_int_equal(item[9].kind, ITEM_PREFIX);
	assert_prefix(&item[9].prefix, "192.0.2.7");
	assert_prefix(&item[10].prefix, "::1");
	assert_int_equal(policy->segment[1].members.n, 1);
	assert_int_equal(policy->segment[1].except.n, 1);
	policy_free(policy);
}

static void services_of_all_kinds_are_read(void **state)
{
	static const struct {
		const char *text;
		int proto, first, last;
	} cases[] = {
	    {"any", PORT_ANY, PORT_ANY, PORT_ANY},
	    {"tcp", 6, PORT_ANY, PORT_ANY},
	    {"tcp/0-65535", 6, 0, 65535},
	    {"udp/5000-5100", 17, 5000, 5100},
	    {"sctp/36412", 132, 36412, 36412},
	    {"icmp", 1, PORT_ANY, PORT_ANY},
	    {"icmp/8", 1, 8, 8},
	    {"icmp/0-255", 1, 0, 255},
	    {"icmp/echo-request", 1, 8, 8},
	    {"icmp/destination-unreachable", 1, 3, 3},
	    {"icmpv6", 58, PORT_ANY, PORT_ANY},
	    {"icmpv6/packet-too-big", 58, 2, 2},
	    {"icmpv6/echo-request", 58, 128, 128},
	    {"icmpv6/nd-neighbor-solicit", 58, 135, 135},
	    {"icmpv6/nd-router-advert", 58, 134, 134},
	    {"icmpv6/mld-listener-reduction", 58, 132, 132},
	    {"proto/47", 47, PORT_ANY, PORT_ANY},
	    {"proto/6", 6, PORT_ANY, PORT_ANY},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy *policy;
		char text[128];

		snprintf(text, sizeof(text), "allow: [{port: %s}]\n", cases[i].text);
		policy = parse(text);
		assert_int_equal(policy->rule[0].port.n, 1);
		assert_int_equal(policy->rule[0].port.service[0].proto, cases[i].proto);
		assert_int_equal(policy->rule[0].port.service[0].first, cases[i].first);
		assert_int_equal(policy->rule[0].port.service[0].last, cases[i].last);
		policy_free(policy);
	}
}

static void interfaces_and_failsafe_are_read(void **state)
{
	struct policy *policy =
	    parse("interfaces: [eth0, {name: \"wg*\", xdp: off}, {name: eth1, xdp: native}, eth0]\n"
		  "workloads: veth0\n"
		  "segments: {admin: [192.0.2.1]}\n"
		  "failsafe: [tcp/22, {port: [udp/51820, tcp/443], from: admin}]\n"
		  "mode: monitor\n"
		  "blocks_survive_reboot: true\n");

	assert_int_equal(policy->nr_interfaces, 3);
	assert_int_equal(policy->interface[0].xdp, XDP_AUTO);
	assert_int_equal(policy->interface[1].xdp, XDP_OFF);
	assert_int_equal(policy->interface[2].xdp, XDP_NATIVE);
	assert_string_equal(policy->interface[2].pattern, "eth1");
	assert_int_equal(policy->nr_workloads, 1);
	assert_true(policy->has_failsafe);
	assert_int_equal(policy->nr_failsafe, 2);
	assert_int_equal(policy->failsafe[0].port.service[0].first, 22);
	assert_int_equal(policy->failsafe[0].from.item[0].kind, ITEM_ANY);
	assert_int_equal(policy->failsafe[1].port.n, 2);
	assert_string_equal(policy->failsafe[1].from.item[0].name, "admin");
	assert_true(policy->monitor);
	assert_true(policy->blocks_survive_reboot);
	policy_free(policy);
	policy = parse("failsafe: []\n");
	assert_true(policy->has_failsafe);
	assert_int_equal(policy->nr_failsafe, 0);
	policy_free(policy);
}

static void vlans_and_protected_services_are_read(void **state)
{
	struct policy *policy = parse("interfaces: [{name: 'eth*', antispoof: loose}, eth0]\n"
				      "vlans: [5, 100-200]\n"
				      "protect:\n"
				      "  - {port: tcp/443, syn_cookies: {above: 10000/second}}\n"
				      "  - {to: {interface: eth0}, port: [tcp/80, tcp/8000-8010],\n"
				      "     syn_cookies: {above: 300/m}}\n");

	assert_int_equal(policy->interface[0].antispoof, WEIR_ANTISPOOF_LOOSE);
	assert_int_equal(policy->interface[1].antispoof, WEIR_ANTISPOOF_OFF);
	assert_int_equal(policy->nr_vlans, 2);
	assert_int_equal(policy->vlan[0].last, 5);
	assert_int_equal(policy->vlan[1].first, 100);
	assert_int_equal(policy->vlan[1].last, 200);
	assert_int_equal(policy->vlan[1].at.column, 12);
	assert_int_equal(policy->nr_protects, 2);
	assert_int_equal(policy->protect[0].to.item[0].kind, ITEM_SELF);
	assert_int_equal(policy->protect[0].rate, 10000);
	assert_int_equal(policy->protect[0].period_ns, 1000000000);
	assert_int_equal(policy->protect[1].to.item[0].kind, ITEM_INTERFACE);
	assert_int_equal(policy->protect[1].port.n, 2);
	assert_int_equal(policy->protect[1].period_ns, 60000000000);
	assert_int_equal(policy->protect[1].at.line, 5);
	policy_free(policy);
}

static void tests_and_audit_are_read(void **state)
{
	struct policy *policy = parse(
	    "allow: [{name: dns, port: udp/53}, {name: ssh, port: tcp/22, log: true}]\n"
	    "timeouts: {tcp: 1h, tcp_closing: 1m, udp: 10s, udp_stream: 1m, icmp: 1s, half_open: 5s}\n"
	    "audit:\n"
	    "  file: /var/log/weir.jsonl\n"
	    "  rotate: {size: 100MB, age: 1d}\n"
	    "  events_per_second: 50\n"
	    "  per_source_per_second: 2\n"
	    "  pass: [dns]\n"
	    "tests:\n"
	    "  - {from: {interface: eth0}, to: 192.0.2.1, port: icmp/echo-request, expect: deny,\n"
	    "     home: {from: self, to: transit}}\n"
	    "  - {from: self, to: self, port: proto/47, expect: allow, home: {to: workload}}\n");

	assert_true(policy->rule[1].log);
	assert_int_equal(policy->timeouts.tcp, 3600);
	assert_int_equal(policy->timeouts.tcp_closing, 60);
	assert_int_equal(policy->timeouts.udp, 10);
	assert_int_equal(policy->timeouts.udp_stream, 60);
	assert_int_equal(policy->timeouts.icmp, 1);
	assert_int_equal(policy->timeouts.half_open, 5);
	assert_int_equal(policy->audit.rotate_bytes, 100000000);
	assert_int_equal(policy->audit.rotate_s, 86400);
	assert_int_equal(policy->audit.events_per_second, 50);
	assert_int_equal(policy->audit.per_source_per_second, 2);
	assert_int_equal(policy->audit.pass.n, 1);
	assert_string_equal(policy->audit.pass.name[0], "dns");
	assert_int_equal(policy->test[0].from.kind, ITEM_INTERFACE);
	assert_int_equal(policy->test[0].home_from, HOME_SELF);
	assert_int_equal(policy->test[0].home_to, HOME_TRANSIT);
	assert_int_equal(policy->test[1].home_from, HOME_UNSAID);
	assert_int_equal(policy->test[1].home_to, HOME_WORKLOAD);
	assert_int_equal(policy->test[1].port.proto, 47);
	policy_free(policy);
}

static void several_files_add_up(void **state)
{
	static const char a[] =
	    "interfaces: [eth0]\nsegments: {kato: [192.0.2.1]}\ndeny: [{port: tcp/1}]\n"
	    "default: {ingress: allow}\naudit: {file: /a}\n";
	static const char b[] =
	    "interfaces: [eth1, eth0]\nsegments: {db: [kato]}\nallow: [{from: kato, to: db}]\n"
	    "default: {egress: deny}\naudit: {retention: 1d}\nblock: [192.0.2.9]\n";
	const char *paths[2] = {write_file("a.yaml", a, strlen(a)),
				write_file("b.yaml", b, strlen(b))};
	struct policy *policy = NULL;
	struct diag diag = {};

	assert_int_equal(policy_parse(paths, 2, &policy, &diag), 0);
	assert_int_equal(diag.nr_warnings, 0);
	assert_int_equal(policy->nr_files, 2);
	assert_string_equal(policy->file[1], paths[1]);
	assert_int_equal(policy->nr_interfaces, 2);
	assert_int_equal(policy->nr_segments, 2);
	assert_int_equal(policy->nr_rules, 2);
	assert_int_equal(policy->rule[0].action, RULE_ALLOW);
	assert_ptr_equal(policy->rule[0].at.file, policy->file[1]);
	assert_int_equal(policy->defaults.ingress, DEFAULT_ALLOW);
	assert_int_equal(policy->defaults.egress, DEFAULT_DENY);
	assert_int_equal(policy->audit.retention_s, 86400);
	policy_free(policy);
	diag_reset(&diag);
}

static void the_hash_is_that_of_the_file(void **state)
{
	/* printf 'mode: monitor\n' | sha256sum */
	static const __u8 want[32] = {0x63, 0x7e, 0x28, 0x25, 0x87, 0xba, 0x06, 0xb2,
				      0x1d, 0x12, 0x08, 0xb1, 0x0c, 0x74, 0x8b, 0xc6,
				      0xf3, 0x73, 0x1e, 0x29, 0xc8, 0xe1, 0x45, 0xd2,
				      0xb9, 0xb5, 0x5e, 0x98, 0xba, 0xc4, 0x85, 0xae};
	struct policy *policy = parse("mode: monitor\n");

	assert_memory_equal(policy->sha256, want, sizeof(want));
	policy_free(policy);
}

static void the_hash_tells_lists_and_their_borders_apart(void **state)
{
	static const char text[] = "block: [{file: one.txt}]\nnever_block: [{file: two.txt}]\n";
	_cleanup_free_ char *copy = strdup(write_file("lists.yaml", text, strlen(text)));
	const char *path = copy;
	static const char *const contents[3][2] = {
	    {"192.0.2.1\n192.0.2.2\n", "192.0.2.3\n"},
	    {"192.0.2.1\n", "192.0.2.2\n192.0.2.3\n"},
	    {"192.0.2.1\n192.0.2.2\n", "192.0.2.4\n"},
	};
	__u8 seen[3][32];

	for (int i = 0; i < 3; i++) {
		struct policy *policy = NULL;
		struct diag diag = {};

		write_file("one.txt", contents[i][0], strlen(contents[i][0]));
		write_file("two.txt", contents[i][1], strlen(contents[i][1]));
		if (policy_parse(&path, 1, &policy, &diag))
			fail_msg("%s", diag.error);
		memcpy(seen[i], policy->sha256, 32);
		policy_free(policy);
		diag_reset(&diag);
		for (int j = 0; j < i; j++)
			assert_memory_not_equal(seen[i], seen[j], 32);
	}
}

static void what_cannot_be_read_is_said_with_its_errno(void **state)
{
	_cleanup_free_ char *big = malloc(POLICY_MAX_BYTES + 1);
	char missing[128], error[8192], want[256];
	const char *paths[1] = {missing};
	struct policy *policy = NULL;
	struct diag diag = {};

	assert_int_equal(policy_parse(paths, 0, &policy, &diag), -EINVAL);
	assert_string_equal(diag.error, "no policy file");
	diag_reset(&diag);

	snprintf(missing, sizeof(missing), "%s/missing.yaml", directory);
	snprintf(want, sizeof(want), "%s: cannot be read: No such file or directory", missing);
	assert_int_equal(policy_parse(paths, 1, &policy, &diag), -ENOENT);
	assert_string_equal(diag_text(&diag, error, sizeof(error)), want);
	diag_reset(&diag);

	paths[0] = directory;
	assert_int_equal(policy_parse(paths, 1, &policy, &diag), -EISDIR);
	diag_reset(&diag);

	memset(big, '\n', POLICY_MAX_BYTES + 1);
	big[snprintf(big, POLICY_MAX_BYTES, "mode: monitor")] = '\n'; /* and then empty lines */
	paths[0] = write_file("big.yaml", big, POLICY_MAX_BYTES + 1);
	snprintf(want, sizeof(want), "%s: is larger than 1048576 bytes", paths[0]);
	assert_int_equal(policy_parse(paths, 1, &policy, &diag), -EFBIG);
	assert_string_equal(diag_text(&diag, error, sizeof(error)), want);
	assert_null(policy);
	diag_reset(&diag);

	paths[0] = write_file("big.yaml", big, POLICY_MAX_BYTES);
	assert_int_equal(policy_parse(paths, 1, &policy, &diag), 0);
	assert_true(policy->monitor);
	policy_free(policy);
	diag_reset(&diag);
}

static void standard_input_is_a_file_too(void **state)
{
	static const char text[] = "mode: monitor\n";
	const char *path = write_file("stdin.yaml", text, strlen(text)), *dash = "-";
	int saved = dup(STDIN_FILENO), fd = open(path, O_RDONLY);
	struct policy *policy = NULL;
	struct diag diag = {};

	assert_true(saved >= 0 && fd >= 0);
	dup2(fd, STDIN_FILENO);
	assert_int_equal(policy_parse(&dash, 1, &policy, &diag), 0);
	dup2(saved, STDIN_FILENO);
	close(fd);
	close(saved);
	assert_true(policy->monitor);
	assert_string_equal(policy->file[0], "-");
	policy_free(policy);
	diag_reset(&diag);
}

/* Nesting that doubles at each level: looked into once a segment, or never finished. */
static void shared_segments_cost_no_exponential_time(void **state)
{
	char text[8192];
	struct policy *policy;
	size_t n;

	n = snprintf(text, sizeof(text), "segments:\n  s0: [workloads]\n");
	for (int i = 1; i < 64; i++)
		n += snprintf(text + n, sizeof(text) - n, "  s%d: [s%d, s%d]\n", i, i - 1, i - 1);
	snprintf(
	    text + n, sizeof(text) - n,
	    "allow: [{from: s63, to: self}]\nlimits: [{from: s63, count: packets, rate: 1/s}]\n");
	policy = parse(text);
	assert_int_equal(policy->nr_segments, 64);
	policy_free(policy);
}

static void on_is_allowed_where_a_sender_may_come_by_it(void **state)
{
	policy_free(parse("segments: {mixed: [workloads, 192.0.2.1], none: []}\n"
			  "allow:\n"
			  "  - {from: mixed, to: self, on: eth1}\n"
			  "  - {from: any, to: self, on: [\"eth*\"]}\n"
			  "  - {from: [workloads, self], to: 192.0.2.1, on: eth1}\n"
			  "  - {to: self, on: eth1}\n"
			  "  - {from: none, on: eth1}\n"));
}

static void a_proxy_is_warned_about_only_where_sources_are_counted(void **state)
{
	static const char text[] =
	    "segments: {edge: {members: [192.0.2.1], proxy: true}}\n"
	    "limits:\n"
	    "  - {from: edge, to: self, count: packets, rate: 1/s, per: rule}\n"
	    "  - {from: any, to: edge, count: packets, rate: 1/s}\n"
	    "  - {from: edge, to: self, count: packets, rate: 1/s, per: destination}\n";
	struct policy *policy = NULL;
	struct diag diag = {};

	assert_int_equal(policy_parse_text(text, strlen(text), "test.yaml", &policy, &diag), 0);
	assert_int_equal(diag.nr_warnings, 0);
	policy_free(policy);
	diag_reset(&diag);
}

static int make_directory(void **state)
{
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_example_is_read_whole),
	    cmocka_unit_test(everything_knows_its_place),
	    cmocka_unit_test(what_is_unsaid_is_filled_in),
	    cmocka_unit_test(defaults_follow_what_is_said),
	    cmocka_unit_test(limits_alone_from_or_with_nobody_are_told_apart),
	    cmocka_unit_test(limits_are_normalised),
	    cmocka_unit_test(items_of_all_kinds_are_read),
	    cmocka_unit_test(services_of_all_kinds_are_read),
	    cmocka_unit_test(interfaces_and_failsafe_are_read),
	    cmocka_unit_test(vlans_and_protected_services_are_read),
	    cmocka_unit_test(tests_and_audit_are_read),
	    cmocka_unit_test(several_files_add_up),
	    cmocka_unit_test(the_hash_is_that_of_the_file),
	    cmocka_unit_test(the_hash_tells_lists_and_their_borders_apart),
	    cmocka_unit_test(what_cannot_be_read_is_said_with_its_errno),
	    cmocka_unit_test(standard_input_is_a_file_too),
	    cmocka_unit_test(shared_segments_cost_no_exponential_time),
	    cmocka_unit_test(on_is_allowed_where_a_sender_may_come_by_it),
	    cmocka_unit_test(a_proxy_is_warned_about_only_where_sources_are_counted),
	};

	return cmocka_run_group_tests_name("policy_parse", tests, make_directory, remove_directory);
}
