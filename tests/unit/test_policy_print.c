// SPDX-License-Identifier: GPL-2.0-only
/* Canonical text: parsing it gives an equal policy, and printing that gives the same text. On generated policies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "policy/model.h"

#define ROUNDS 1500

static char list_path[] = "/tmp/test_policy_print.XXXXXX";

/* ---- a policy as text, at random; what it says is valid ---- */

static __u64 seed;

static unsigned int pick(unsigned int n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (seed >> 33) % n;
}

static const char *one_of(const char *const *words, size_t n)
{
	return words[pick(n)];
}
#define ONE_OF(...)                                \
	one_of((const char *const[]){__VA_ARGS__}, \
	       sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static unsigned int nr_segments; /* that exist so far, named seg0, seg1, … */

static void gen_item(FILE *out)
{
	switch (pick(13)) {
	case 11:
		fprintf(out, "{%s: %s}", ONE_OF("container", "network"),
			ONE_OF("kato", "Kato_db-1.x", "0", "\"7.5\""));
		return;
	case 12:
		fprintf(out, "{%s}",
			ONE_OF("compose: kato/Mongo.kb-1", "compose: 0/0", "name: API.example.com",
			       "name: db", "name: 'x-1.2a'"));
		return;
	case 0:
		fprintf(out, "any");
		return;
	case 1:
		fprintf(out, "self");
		return;
	case 2:
		fprintf(out, "workloads");
		return;
	case 3:
		fprintf(out, "{interface: \"eth%u\"}", pick(3));
		return;
	case 4:
		fprintf(out, "{file: \"%s\"}", list_path);
		return;
	case 5:
		fprintf(out, "10.%u.0.0/16", pick(256));
		return;
	case 6:
		fprintf(out, "192.0.2.%u", pick(256));
		return;
	case 7:
		fprintf(out, "192.0.2.%u-192.0.2.%u", pick(100), 99 + pick(100));
		return;
	case 8:
		fprintf(out, "\"2001:db8:%x::/48\"", pick(65536));
		return;
	case 9:
		fprintf(out, "'2001:db8::%x-2001:db8::1:%x'", pick(65536), pick(65536));
		return;
	default:
		if (nr_segments)
			fprintf(out, "seg%u", pick(nr_segments));
		else
			fprintf(out, "::1");
	}
}

static void gen_items(FILE *out, unsigned int least)
{
	unsigned int n = least + pick(4);

	if (n == 1 && pick(2)) {
		gen_item(out);
		return;
	}
	fputc('[', out);
	for (unsigned int i = 0; i < n; i++) {
		fputs(i ? ", " : "", out);
		gen_item(out);
	}
	fputc(']', out);
}

static void gen_port(FILE *out, bool tcp_only)
{
	if (tcp_only) {
		fprintf(out, "tcp/%u", pick(65536));
		return;
	}
	switch (pick(7)) {
	case 0:
		fprintf(out, "%s/%u", ONE_OF("tcp", "udp", "sctp"), pick(65536));
		return;
	case 1:
		fprintf(out, "%s/%u-%u", ONE_OF("tcp", "udp", "sctp"), pick(1000),
			1000 + pick(64000));
		return;
	case 2:
		fprintf(out, "%s", ONE_OF("any", "icmp", "icmpv6", "tcp", "udp"));
		return;
	case 3:
		fprintf(out, "icmp/%u", 19 + pick(237)); /* 4, 5, 13..18 never pass */
		return;
	case 4:
		fprintf(out, "icmpv6/%u-%u", pick(100), 100 + pick(156));
		return;
	case 5:
		fprintf(out, "%s",
			ONE_OF("icmp/echo-request", "icmpv6/packet-too-big",
			       "icmpv6/nd-neighbor-solicit", "icmp/time-exceeded"));
		return;
	default:
		fprintf(out, "proto/%u", pick(256));
	}
}

static void gen_ports(FILE *out, bool tcp_only)
{
	unsigned int n = 1 + pick(3);

	fputs(", port: [", out);
	for (unsigned int i = 0; i < n; i++) {
		fputs(i ? ", " : "", out);
		gen_port(out, tcp_only);
	}
	fputc(']', out);
}

static void gen_on(FILE *out)
{
	fprintf(out, ", on: [%s, '%s']", ONE_OF("eth0", "\"a\\\"b*\""),
		ONE_OF("wg*", "e[tn]h?", "ü*"));
}

/* A `from:` that an `on:` may stand beside. */
static void gen_from(FILE *out, bool with_on)
{
	fputs("from: ", out);
	if (with_on)
		fputs("192.0.2.77", out);
	else
		gen_items(out, 1);
}

static void gen_rule(FILE *out, const char *name, unsigned int i)
{
	bool on = pick(4) == 0;

	fprintf(out, "  - {log: %s", ONE_OF("true", "false"));
	if (pick(2))
		fprintf(out, ", name: %s%u", name, i);
	if (on || pick(2)) {
		fputs(", ", out);
		gen_from(out, on);
	}
	if (pick(4) == 0) {
		fprintf(out, ", to: %s, published: %s",
			ONE_OF("{container: kato}", "[192.0.2.9, workloads]"),
			ONE_OF("tcp/443", "[tcp/443, udp/1-65535, sctp/7]"));
	} else {
		if (pick(3) == 0)
			fprintf(out, ", to: {unit: %s}",
				ONE_OF("nginx.service", "'a@b:c-d_e\\x2d.scope'", "user-7.slice"));
		else if (pick(2)) {
			fputs(", to: ", out);
			gen_items(out, 1);
		}
		if (pick(2))
			gen_ports(out, false);
	}
	if (on)
		gen_on(out);
	fputs("}\n", out);
}

static void gen_service(FILE *out, unsigned int i)
{
	bool v6 = pick(2);

	fprintf(out, v6 ? "  - {address: '2001:db8:96::%u'" : "  - {address: 10.96.0.%u", i + 1);
	fprintf(out, ", port: %s/%u, endpoints: [", ONE_OF("tcp", "udp", "sctp"), pick(65536));
	for (unsigned int n = pick(3) + 1; n > 0; n--)
		fprintf(out, v6 ? "'[2001:db8::%u]:%u'%s" : "192.0.2.%u:%u%s", n, 1 + pick(65535),
			n > 1 ? ", " : "");
	fputs("]}\n", out);
}

static void gen_rate(FILE *out, const char *key, bool bytes)
{
	if (bytes)
		fprintf(out, ", %s: %u%s/%s", key, 100 + pick(800),
			ONE_OF("KB", "MiB", "MB", "Mbit", "KiB", "kbit"), ONE_OF("s", "second"));
	else
		fprintf(out, ", %s: %u/%s", key, 1 + pick(1000000),
			ONE_OF("s", "second", "m", "minute", "hour", "h", "day", "d"));
}

static void gen_limit(FILE *out, unsigned int i)
{
	const char *count = ONE_OF("packets", "bytes", "connections");
	bool bytes = !strcmp(count, "bytes");
	bool on = pick(4) == 0;

	fprintf(out, "  - {count: %s", count);
	gen_rate(out, "rate", bytes);
	if (pick(2))
		fprintf(out, ", name: limit%u", i);
	if (on || pick(2)) {
		fputs(", ", out);
		gen_from(out, on);
	}
	if (pick(2)) {
		fputs(", to: ", out);
		gen_items(out, 1);
	}
	if (pick(2))
		gen_ports(out, !strcmp(count, "connections"));
	if (on)
		gen_on(out);
	if (pick(2))
		fprintf(out, bytes ? ", burst: %uKB" : ", burst: %u", pick(300));
	if (pick(2))
		fprintf(out, ", per: %s", ONE_OF("source", "destination", "pair", "rule"));
	if (pick(2))
		fprintf(out, ", key: {ipv4: %u, ipv6: %u}", pick(33), pick(129));
	if (pick(2))
		fprintf(out, ", entries: %u", 1 + pick(100000));
	if (pick(3) == 0)
		gen_rate(out, "overflow", bytes);
	if (pick(2))
		fprintf(out, ", on_exceed: %s", ONE_OF("drop", "{block: 10m}", "{block: 90s}"));
	if (pick(2))
		fprintf(out, ", mode: %s", ONE_OF("monitor", "enforce"));
	if (pick(2))
		fprintf(out, ", log: %s", ONE_OF("true", "false"));
	fputs("}\n", out);
}

static void gen_test(FILE *out)
{
	fprintf(out, "  - {from: %s",
		ONE_OF("self", "192.0.2.1", "\"2001:db8::1\"", "{interface: eth0}", "seg0"));
	fprintf(out, ", to: %s",
		ONE_OF("self", "192.0.2.1", "{interface: eth1}", "seg0", "{network: db}",
		       "{unit: x.service}"));
	fprintf(out, ", port: %s",
		ONE_OF("tcp/22", "icmp/8", "icmpv6/echo-request", "proto/47", "sctp/1"));
	fprintf(out, ", expect: %s", ONE_OF("allow", "deny"));
	if (pick(2))
		fprintf(
		    out, ", home: %s",
		    ONE_OF("{from: self}", "{to: workload}", "{from: transit, to: self}", "{}"));
	fputs("}\n", out);
}

static void gen_settings(FILE *out)
{
	if (pick(2))
		fprintf(
		    out, "default: %s\n",
		    ONE_OF("deny", "allow", "{ingress: allow}", "{egress: deny, forward: allow}"));
	if (pick(2))
		fprintf(out, "mode: %s\n", ONE_OF("monitor", "enforce"));
	if (pick(2))
		fprintf(out, "blocks_survive_reboot: %s\n", ONE_OF("true", "false"));
	if (pick(2))
		fprintf(out, "timeouts: {%s, udp: %us, half_open: 1m}\n",
			ONE_OF("tcp: 2h", "tcp: 86400s", "icmp: 1s"), 1 + pick(500));
	if (pick(2))
		fprintf(out, "interfaces: [eth0, {name: 'wg*', xdp: %s, antispoof: %s}]\n",
			ONE_OF("auto", "native", "generic", "off"),
			ONE_OF("strict", "loose", "off"));
	if (pick(2))
		fprintf(out, "vlans: %s\n", ONE_OF("5", "[1, 4094]", "[7, 100-200, 5]", "[]"));
	if (pick(2))
		fputs("workloads: ['veth*', \"we\\\"ird*\"]\n", out);
	if (pick(2))
		fprintf(out, "failsafe: %s\n",
			ONE_OF("[]", "tcp/22",
			       "[tcp/22, {port: [udp/1, icmp], from: [seg0, 192.0.2.1]}]"));
	if (pick(2)) {
		fputs("audit:\n  events_per_second: 7\n", out);
		fprintf(out, "  mask: %s\n",
			ONE_OF("{}", "{ipv4: 0}", "{ipv6: 48}", "{ipv4: 24, ipv6: 64}"));
		fprintf(out, "  rotate: %s\n",
			ONE_OF("{}", "{size: 10MB}", "{age: 36h}", "{size: 1GiB, age: 1d}"));
		fprintf(out, "  pass: %s\n", ONE_OF("[]", "[always]", "always"));
		if (pick(2))
			fputs("  file: \"/var/log/we \\\"ir\\\\.jsonl\"\n  retention: 90d\n", out);
	}
}

/* A policy with units, or with what NAT hands on, protects nothing: these are policies of their own. */
static char *generate_protect(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	fputs("protect:\n", out);
	for (unsigned int n = 1 + pick(16); n > 0; n--) {
		fprintf(out, "  - {syn_cookies: {above: %u/%s}, port: [tcp/%u, tcp/1-%u]",
			1 + pick(1000000), ONE_OF("s", "minute", "hour", "day"), pick(65536),
			1 + pick(65535));
		if (pick(2))
			fprintf(out, ", to: %s",
				ONE_OF("self", "[{interface: eth0}, self]", "{interface: wg0}"));
		fputs("}\n", out);
	}
	fputs("allow: [{port: tcp}]\n", out);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* Names that a policy of any length has: seg0, and a rule "always". */
static char *generate(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	unsigned int n;

	assert_non_null(out);
	gen_settings(out);
	nr_segments = 0;
	fputs("segments:\n", out);
	for (n = 1 + pick(6); nr_segments < n; nr_segments++) {
		fprintf(out, "  seg%u: {members: ", nr_segments);
		gen_items(out, 0);
		if (pick(2)) {
			fputs(", except: ", out);
			gen_items(out, 0);
		}
		fprintf(out, ", proxy: %s}\n", ONE_OF("true", "false"));
	}
	if (pick(2))
		fprintf(out, "defaults: {seg0: %s}\n",
			ONE_OF("deny", "{ingress: allow}", "{egress: deny}", "{}"));
	/* deny before allow: the order of the sections is not that of the canonical text */
	n = pick(4);
	if (n)
		fputs("deny:\n", out);
	for (unsigned int i = 0; i < n; i++)
		gen_rule(out, "deny", i);
	fputs("allow:\n  - {name: always, to: seg0}\n", out);
	n = pick(5);
	for (unsigned int i = 0; i < n; i++)
		gen_rule(out, "allow", i);
	fputs("block: ", out);
	gen_items(out, 0);
	fputs("\nnever_block: ", out);
	gen_items(out, 0);
	fputs("\n", out);
	n = pick(4);
	if (n)
		fputs("limits:\n", out);
	for (unsigned int i = 0; i < n; i++)
		gen_limit(out, i);
	n = pick(4);
	if (n)
		fputs("services:\n", out);
	for (unsigned int i = 0; i < n; i++)
		gen_service(out, i);
	n = pick(4);
	if (n)
		fputs("tests:\n", out);
	for (unsigned int i = 0; i < n; i++)
		gen_test(out);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* ---- equality of two policies, but for places, names of files and the hash ---- */

static void same_text(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a)
		assert_string_equal(a, b);
}

static void same_prefix(const struct prefix *a, const struct prefix *b)
{
	assert_memory_equal(&a->address, &b->address, sizeof(a->address));
	assert_int_equal(a->v6, b->v6);
	assert_int_equal(a->length, b->length);
}

static void same_item(const struct item *a, const struct item *b)
{
	assert_int_equal(a->kind, b->kind);
	same_prefix(&a->prefix, &b->prefix);
	assert_memory_equal(&a->first, &b->first, sizeof(a->first));
	assert_memory_equal(&a->last, &b->last, sizeof(a->last));
	same_text(a->name, b->name);
	assert_int_equal(a->nr_list, b->nr_list);
	for (size_t i = 0; i < a->nr_list; i++)
		same_prefix(&a->list[i], &b->list[i]);
}

static void same_items(const struct items *a, const struct items *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++)
		same_item(&a->item[i], &b->item[i]);
}

static void same_service(const struct service *a, const struct service *b)
{
	assert_int_equal(a->proto, b->proto);
	assert_int_equal(a->first, b->first);
	assert_int_equal(a->last, b->last);
}

static void same_services(const struct services *a, const struct services *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++)
		same_service(&a->service[i], &b->service[i]);
}

static void same_names(const struct names *a, const struct names *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++)
		assert_string_equal(a->name[i], b->name[i]);
}

static void same_interfaces(const struct interface_rule *a, size_t na,
			    const struct interface_rule *b, size_t nb)
{
	assert_int_equal(na, nb);
	for (size_t i = 0; i < na; i++) {
		assert_string_equal(a[i].pattern, b[i].pattern);
		assert_int_equal(a[i].xdp, b[i].xdp);
		assert_int_equal(a[i].antispoof, b[i].antispoof);
	}
}

static void same_defaults(const struct defaults *a, const struct defaults *b)
{
	assert_int_equal(a->ingress, b->ingress);
	assert_int_equal(a->egress, b->egress);
	assert_int_equal(a->forward, b->forward);
}

static void same_segments(const struct policy *a, const struct policy *b)
{
	assert_int_equal(a->nr_segments, b->nr_segments);
	for (size_t i = 0; i < a->nr_segments; i++) {
		assert_string_equal(a->segment[i].name, b->segment[i].name);
		same_items(&a->segment[i].members, &b->segment[i].members);
		same_items(&a->segment[i].except, &b->segment[i].except);
		assert_int_equal(a->segment[i].proxy, b->segment[i].proxy);
	}
	assert_int_equal(a->nr_segment_defaults, b->nr_segment_defaults);
	for (size_t i = 0; i < a->nr_segment_defaults; i++) {
		assert_string_equal(a->segment_defaults[i].segment, b->segment_defaults[i].segment);
		same_defaults(&a->segment_defaults[i].defaults, &b->segment_defaults[i].defaults);
	}
}

static void same_rules(const struct policy *a, const struct policy *b)
{
	assert_int_equal(a->nr_rules, b->nr_rules);
	for (size_t i = 0; i < a->nr_rules; i++) {
		const struct rule *x = &a->rule[i], *y = &b->rule[i];

		assert_int_equal(x->action, y->action);
		same_text(x->name, y->name);
		same_items(&x->from, &y->from);
		same_items(&x->to, &y->to);
		same_services(&x->port, &y->port);
		same_names(&x->on, &y->on);
		same_services(&x->published, &y->published);
		assert_int_equal(x->log, y->log);
	}
	assert_int_equal(a->has_failsafe, b->has_failsafe);
	assert_int_equal(a->nr_failsafe, b->nr_failsafe);
	for (size_t i = 0; i < a->nr_failsafe; i++) {
		same_services(&a->failsafe[i].port, &b->failsafe[i].port);
		same_items(&a->failsafe[i].from, &b->failsafe[i].from);
	}
}

static void same_limit(const struct limit_rule *x, const struct limit_rule *y)
{
	same_text(x->name, y->name);
	assert_int_equal(x->has_from, y->has_from);
	assert_int_equal(x->has_to, y->has_to);
	same_items(&x->from, &y->from);
	same_items(&x->to, &y->to);
	same_services(&x->port, &y->port);
	same_names(&x->on, &y->on);
	assert_int_equal(x->count, y->count);
	assert_int_equal(x->rate, y->rate);
	assert_int_equal(x->period_ns, y->period_ns);
	assert_int_equal(x->burst, y->burst);
	assert_int_equal(x->per, y->per);
	assert_int_equal(x->key4, y->key4);
	assert_int_equal(x->key6, y->key6);
	assert_int_equal(x->entries, y->entries);
	assert_int_equal(x->overflow_rate, y->overflow_rate);
	assert_int_equal(x->overflow_period_ns, y->overflow_period_ns);
	assert_int_equal(x->block_ns, y->block_ns);
	assert_int_equal(x->monitor, y->monitor);
	assert_int_equal(x->log, y->log);
}

static void same_tests(const struct policy *a, const struct policy *b)
{
	assert_int_equal(a->nr_tests, b->nr_tests);
	for (size_t i = 0; i < a->nr_tests; i++) {
		const struct test_case *x = &a->test[i], *y = &b->test[i];

		same_item(&x->from, &y->from);
		same_item(&x->to, &y->to);
		same_service(&x->port, &y->port);
		assert_int_equal(x->expect_allow, y->expect_allow);
		assert_int_equal(x->home_from, y->home_from);
		assert_int_equal(x->home_to, y->home_to);
	}
}

static void same_service_rules(const struct policy *a, const struct policy *b)
{
	assert_int_equal(a->nr_services, b->nr_services);
	for (size_t i = 0; i < a->nr_services; i++) {
		const struct service_rule *x = &a->service[i], *y = &b->service[i];

		same_prefix(&x->address, &y->address);
		same_service(&x->port, &y->port);
		assert_int_equal(x->nr_endpoints, y->nr_endpoints);
		for (size_t j = 0; j < x->nr_endpoints; j++) {
			same_prefix(&x->endpoint[j].address, &y->endpoint[j].address);
			assert_int_equal(x->endpoint[j].port, y->endpoint[j].port);
		}
	}
}

static void same_guards(const struct policy *a, const struct policy *b)
{
	assert_int_equal(a->nr_vlans, b->nr_vlans);
	for (size_t i = 0; i < a->nr_vlans; i++) {
		assert_int_equal(a->vlan[i].first, b->vlan[i].first);
		assert_int_equal(a->vlan[i].last, b->vlan[i].last);
	}
	assert_int_equal(a->nr_protects, b->nr_protects);
	for (size_t i = 0; i < a->nr_protects; i++) {
		same_items(&a->protect[i].to, &b->protect[i].to);
		same_services(&a->protect[i].port, &b->protect[i].port);
		assert_int_equal(a->protect[i].rate, b->protect[i].rate);
		assert_int_equal(a->protect[i].period_ns, b->protect[i].period_ns);
	}
}

static void same_policy(const struct policy *a, const struct policy *b)
{
	same_interfaces(a->interface, a->nr_interfaces, b->interface, b->nr_interfaces);
	same_interfaces(a->workload, a->nr_workloads, b->workload, b->nr_workloads);
	same_defaults(&a->defaults, &b->defaults);
	assert_int_equal(a->monitor, b->monitor);
	assert_int_equal(a->blocks_survive_reboot, b->blocks_survive_reboot);
	same_segments(a, b);
	same_rules(a, b);
	same_items(&a->block, &b->block);
	same_items(&a->never_block, &b->never_block);
	assert_int_equal(a->nr_limits, b->nr_limits);
	for (size_t i = 0; i < a->nr_limits; i++)
		same_limit(&a->limit[i], &b->limit[i]);
	same_service_rules(a, b);
	same_guards(a, b);
	assert_memory_equal(&a->timeouts, &b->timeouts, sizeof(a->timeouts));
	same_text(a->audit.file, b->audit.file);
	assert_int_equal(a->audit.rotate_bytes, b->audit.rotate_bytes);
	assert_int_equal(a->audit.rotate_s, b->audit.rotate_s);
	assert_int_equal(a->audit.retention_s, b->audit.retention_s);
	assert_int_equal(a->audit.mask4, b->audit.mask4);
	assert_int_equal(a->audit.mask6, b->audit.mask6);
	assert_int_equal(a->audit.events_per_second, b->audit.events_per_second);
	assert_int_equal(a->audit.per_source_per_second, b->audit.per_source_per_second);
	same_names(&a->audit.pass, &b->audit.pass);
	same_tests(a, b);
}

static struct policy *parse(const char *text, const char *what)
{
	struct policy *policy = NULL;
	struct diag diag = {};
	char error[8192];

	if (policy_parse_text(text, strlen(text), what, &policy, &diag))
		fail_msg("%s\n%s", diag_text(&diag, error, sizeof(error)), text);
	diag_reset(&diag);
	return policy;
}

static void check_text(const char *text)
{
	struct policy *policy = parse(text, "given");
	char *canonical = NULL, *again = NULL;
	struct policy *second;

	assert_int_equal(policy_print(policy, &canonical), 0);
	second = parse(canonical, "canonical");
	same_policy(policy, second);
	assert_int_equal(policy_print(second, &again), 0);
	assert_string_equal(canonical, again);
	free(canonical);
	free(again);
	policy_free(policy);
	policy_free(second);
}

static void canonical_text_of_generated_policies_gives_them_back(void **state)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		char *text;

		seed = i;
		text = generate();
		check_text(text);
		free(text);
	}
}

static void canonical_text_of_protected_services_gives_them_back(void **state)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		char *text;

		seed = i;
		text = generate_protect();
		check_text(text);
		free(text);
	}
}

static void canonical_text_of_the_ready_made_policies_gives_them_back(void **state)
{
	static const char *const files[] = {"scripts/policies/kato.yaml",
					    "scripts/policies/kato-docker.yaml",
					    "scripts/policies/host-baseline.yaml"};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *text = calloc(1, 1 << 16);
		_cleanup_fclose_ FILE *file = fopen(files[i], "r");

		assert_non_null(file);
		assert_true(fread(text, 1, (1 << 16) - 1, file) > 100);
		check_text(text);
	}
}

static void canonical_text_is_explicit_and_in_fixed_order(void **state)
{
	static const char want[] =
	    "interfaces:\n"
	    "  - {name: \"eth0\", xdp: auto, antispoof: off}\n"
	    "default: {ingress: deny, egress: allow, forward: deny}\n"
	    "mode: enforce\n"
	    "segments:\n"
	    "  kato: {members: [\"192.0.2.1\", \"10.0.0.5-10.0.0.9\"], except: [], proxy: false}\n"
	    "allow:\n"
	    "  - {from: [any], to: [kato], port: [any], log: false}\n"
	    "deny:\n"
	    "  - {from: [any], to: [self], port: [icmp/echo-request], log: false}\n"
	    "blocks_survive_reboot: false\n"
	    "limits:\n"
	    "  - {to: [self], port: [any], count: packets, rate: 5/second, burst: 0, per: source, key: {ipv4: 32, ipv6: 64}, entries: 65536, on_exceed: drop, mode: enforce, log: false}\n"
	    "timeouts: {tcp: 2h, tcp_closing: 30s, udp: 30s, udp_stream: 2m, icmp: 10s, half_open: 30s}\n"
	    "audit:\n"
	    "  events_per_second: 1000\n"
	    "  per_source_per_second: 10\n";
	struct policy *policy = parse("limits: [{rate: 5/s, count: packets}]\n"
				      "deny: [{port: icmp/8}]\n"
				      "allow: [{to: kato}]\n"
				      "segments: {kato: [192.0.2.1/32, 10.0.0.5-10.0.0.9]}\n"
				      "interfaces: eth0\n",
				      "given");
	char *text = NULL;

	assert_int_equal(policy_print(policy, &text), 0);
	assert_string_equal(text, want);
	free(text);
	policy_free(policy);
}

static int write_list(void **state)
{
	static const char text[] = "192.0.2.1\n2001:db8::/32\n10.0.0.5-10.0.0.9\n";
	int fd = mkstemp(list_path);

	return fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd) ? -1 : 0;
}

static int remove_list(void **state)
{
	return unlink(list_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(canonical_text_of_generated_policies_gives_them_back),
	    cmocka_unit_test(canonical_text_of_protected_services_gives_them_back),
	    cmocka_unit_test(canonical_text_of_the_ready_made_policies_gives_them_back),
	    cmocka_unit_test(canonical_text_is_explicit_and_in_fixed_order),
	};

	return cmocka_run_group_tests_name("policy_print", tests, write_list, remove_list);
}
