// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random policies and packets: what the tables say is what a walk over all rules says.
 * WEIR_SEED sets the first seed, WEIR_POLICIES how many policies.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "compile/builder.h"
#include "compile_policy.h"
#include "naive.h"

/* The lookups of the programs, for what tables_eval() does not show: flags of classes, fragments. */
static const struct tables *looked_at;
#define WEIR_TABLE(name, slot, index) \
	((size_t)(index) < looked_at->nr_##name ? &looked_at->name[index] : NULL)
#define WEIR_FUNC static __attribute__((unused))
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "classify.h"

#define PACKETS 10

static const char *const kinds[] = {"self", "workload", "other"};

static __u32 class_of(const struct tables *tables, const struct weir_addr *address, int kind)
{
	__u64 hi = 0, lo = 0;
	int v4 = address->byte[10] == 0xff && address->byte[0] == 0;

	looked_at = tables;
	for (int i = 0; i < 8; i++) {
		hi = hi << 8 | address->byte[v4 ? (i < 4 ? 12 + i : 0) : i];
		lo = lo << 8 | address->byte[v4 ? 0 : 8 + i];
	}
	return kind * tables->weir_cfg->nr_classes + classify_address(0, !v4, hi, lo);
}

static struct weir_addr edge_address(struct made *made, bool v6)
{
	struct weir_addr address = address_of(v6 ? "2001:db8::" : "10.0.0.0");
	int fill = made_random(made, 3), step;

	for (int tries = 0; tries < 8 && made->nr_pool; tries++) {
		struct prefix p = made->pool[made_random(made, made->nr_pool)];

		if ((bool)p.v6 != v6)
			continue;
		address = p.address;
		for (int bit = (v6 ? 0 : 96) + p.length; bit < 128; bit++)
			if (fill == 1 || (fill == 2 && made_random(made, 2)))
				address.byte[bit / 8] |= 0x80 >> bit % 8;
		break;
	}
	/* Now and then one before or behind the edge. */
	step = made_random(made, 6);
	for (int i = 15; step < 2 && i >= (v6 ? 0 : 12); i--) {
		address.byte[i] += step ? 1 : -1;
		if (address.byte[i] != (step ? 0 : 0xff))
			break;
	}
	return address;
}

static void random_packet(struct made *made, struct naive_packet *packet, __u16 *zone,
			  const struct tables *tables)
{
	static const __u8 protos[] = {6, 6, 6, 17, 17, 132, 1, 58, 47, 50, 2};
	bool v6 = made_random(made, 100) < 40;
	__u32 interface = made_random(made, made->env.nr_interfaces + 1);

	memset(packet, 0, sizeof(*packet));
	packet->source = edge_address(made, v6);
	packet->destination = edge_address(made, v6);
	packet->source_kind = made_random(made, 3);
	packet->destination_kind = made_random(made, 3);
	packet->proto = protos[made_random(made, sizeof(protos))];
	packet->port = made_random(made, 65536);
	if (made->nr_ports && made_random(made, 4))
		packet->port =
		    made->ports[made_random(made, made->nr_ports)] + made_random(made, 3) - 1;
	if (packet->proto == 1 || packet->proto == 58)
		packet->port &= 255;
	*zone = 0;
	/* Some go to a service address. */
	if (made->policy.nr_services && made_random(made, 2)) {
		const struct service_rule *service =
		    &made->policy.service[made_random(made, made->policy.nr_services)];

		packet->destination = service->address.address;
		packet->source = edge_address(made, service->address.v6);
		packet->proto = service->port.proto;
		packet->port = service->port.first;
	}
	/* Some are of a unit, known or not. */
	if (made->units && made_random(made, 3) == 0) {
		static const char *const numbers[] = {"127.255.0.1", "127.255.0.2", "127.255.0.3",
						      "127.255.1.0", "127.255.16.0"};
		bool from = made_random(made, 2);

		*(from ? &packet->source : &packet->destination) =
		    address_of(numbers[made_random(made, 5)]);
		*(from ? &packet->source_kind : &packet->destination_kind) = WEIR_SELF;
		*(from ? &packet->destination : &packet->source) = edge_address(made, false);
	}
	if (interface < made->env.nr_interfaces) {
		packet->interface = made->env.interface[interface].name;
		*zone = tables->zone[interface];
	}
}

static void describe(const struct made *made, __u64 seed, const struct naive_packet *packet,
		     const char *what, const struct naive_answer *naive,
		     const struct answer *answer)
{
	char from[ADDR_TEXT_LEN], to[ADDR_TEXT_LEN];

	print_error("seed %llu (%s): %s (%s) to %s (%s), protocol %u port %u, interface %s: %s\n",
		    (unsigned long long)seed, what, addr_format(&packet->source, from),
		    kinds[packet->source_kind], addr_format(&packet->destination, to),
		    kinds[packet->destination_kind], packet->proto, packet->port,
		    packet->interface ? packet->interface : "none", what);
	print_error(
	    "  rules say action %d rule %d allow %d (in %d out %d) named %d log %d limits %zu\n",
	    naive->action, naive->rule, naive->allow, naive->ingress_allow, naive->egress_allow,
	    naive->named, naive->log, naive->nr_limits);
	print_error("  protect %d, spared %d %d\n", naive->protect, naive->source_spared,
		    naive->destination_spared);
	print_error(
	    "  tables say action %d rule %d allow %d (in %d out %d) flags %d limits %d protect %d\n",
	    answer->verdict.action, answer->rule, answer->allow, answer->ingress_allow,
	    answer->egress_allow, answer->verdict.flags, answer->verdict.nr_limits,
	    answer->verdict.protect);
	fail_msg("WEIR_SEED=%llu WEIR_POLICIES=1 repeats it", (unsigned long long)seed);
}

static bool same_limits(const struct naive_answer *naive, const struct weir_verdict *verdict)
{
	if (naive->nr_limits != verdict->nr_limits)
		return false;
	return memcmp(naive->limit, verdict->limit, naive->nr_limits * sizeof(__u16)) == 0;
}

static bool same_answer(const struct naive_answer *naive, const struct answer *answer)
{
	return naive->allow == answer->allow && naive->ingress_allow == answer->ingress_allow &&
	       naive->egress_allow == answer->egress_allow && naive->later == answer->later &&
	       naive->rule == answer->rule && naive->action == answer->verdict.action &&
	       naive->named == !!(answer->verdict.flags & WEIR_VERDICT_NAMED) &&
	       naive->log == !!(answer->verdict.flags & WEIR_VERDICT_LOG) &&
	       naive->protect == answer->verdict.protect && same_limits(naive, &answer->verdict);
}

static bool same_flags(const struct naive_answer *naive, const struct tables *tables, __u32 src,
		       __u32 dst)
{
	__u32 from = tables->weir_class[src].flags, to = tables->weir_class[dst].flags;

	return naive->source_blocked == !!(from & WEIR_CLASS_BLOCKED) &&
	       naive->destination_blocked == !!(to & WEIR_CLASS_BLOCKED) &&
	       naive->source_never == !!(from & WEIR_CLASS_NEVER_BLOCK) &&
	       naive->destination_never == !!(to & WEIR_CLASS_NEVER_BLOCK) &&
	       naive->source_spared == !!(from & WEIR_CLASS_NO_AUTOBLOCK) &&
	       naive->destination_spared == !!(to & WEIR_CLASS_NO_AUTOBLOCK);
}

static void check_packet(struct made *made, __u64 seed, const struct tables *tables,
			 const struct naive_packet *packet, __u16 zone)
{
	struct question question = {.source = packet->source,
				    .destination = packet->destination,
				    .source_kind = packet->source_kind,
				    .destination_kind = packet->destination_kind,
				    .proto = packet->proto,
				    .port = packet->port,
				    .zone = zone};
	struct naive_answer naive;
	struct answer answer = {0};

	naive_eval(&made->policy, &made->env, packet, &naive);
	assert_int_equal(tables_eval(tables, &question, &answer), 0);
	if (!same_answer(&naive, &answer))
		describe(made, seed, packet, "verdict", &naive, &answer);
	if (!same_flags(&naive, tables, class_of(tables, &packet->source, packet->source_kind),
			class_of(tables, &packet->destination, packet->destination_kind)))
		describe(made, seed, packet, "flags of the classes", &naive, &answer);
}

static void check_fragment(struct made *made, __u64 seed, const struct tables *tables,
			   const struct naive_packet *packet, __u16 zone)
{
	bool v6 = packet->source.byte[0];
	__u32 service = v6 ? WEIR_SVC_FRAG6 : WEIR_SVC_FRAG4 + packet->proto;
	__u32 src = class_of(tables, &packet->source, packet->source_kind);
	__u32 dst = class_of(tables, &packet->destination, packet->destination_kind);
	struct answer answer = {.rule = -1};
	struct naive_answer naive;
	__u32 verdict;

	naive_fragment(&made->policy, &made->env, packet, v6, &naive);
	verdict = classify_verdict(0, src, dst, service, zone);
	assert_true(verdict < tables->nr_weir_verd);
	answer.verdict = tables->weir_verd[verdict];
	if (answer.verdict.action != WEIR_ACT_DEFAULT && answer.verdict.rule >= WEIR_RULE_FIRST)
		answer.rule = answer.verdict.rule - WEIR_RULE_FIRST;
	if (!same_answer(&naive, &answer))
		describe(made, seed, packet, "fragment", &naive, &answer);
}

struct seen { /* that the random policies reach what they are meant to reach */
	size_t built, refused, allowed, denied, defaulted, failsafe, limited, zoned, exact, later,
	    units, protected, spared;
};

static void check_tables(struct made *made, __u64 seed, const struct tables *tables,
			 struct seen *seen)
{
	for (int i = 0; i < PACKETS; i++) {
		struct naive_packet packet;
		struct naive_answer naive;
		__u16 zone;

		random_packet(made, &packet, &zone, tables);
		check_packet(made, seed, tables, &packet, zone);
		/* IPv6 fragments may be of any protocol, which takes the walk long. */
		if (i < (packet.source.byte[0] ? seed % 8 == 0 : 2))
			check_fragment(made, seed, tables, &packet, zone);
		naive_eval(&made->policy, &made->env, &packet, &naive);
		seen->allowed += naive.action == WEIR_ACT_ALLOW;
		seen->denied += naive.action == WEIR_ACT_DENY;
		seen->defaulted += naive.action == WEIR_ACT_DEFAULT;
		seen->failsafe += naive.action == WEIR_ACT_FAILSAFE;
		seen->limited += naive.nr_limits > 0;
		seen->protected += naive.protect > 0;
		seen->spared += naive.source_spared;
		seen->zoned += zone > 0;
		seen->units += packet.source.byte[12] == 127 || packet.destination.byte[12] == 127;
		seen->later += naive.action == WEIR_ACT_LATER;
	}
}

static void check_policy(__u64 seed, __u32 size, struct seen *seen)
{
	struct build_options options = {.dense_max = BUILD_DENSE_MAX,
					.max_bytes = COMPILE_MAX_BYTES};
	struct made made;

	made_randomly(&made, seed, size);
	/* Every second policy both ways, the others in turn. */
	for (int exact = seed % 4 == 3; exact < (seed % 4 == 1 ? 1 : 2); exact++) {
		struct tables *tables = NULL;
		struct diag diag = {0};
		int err;

		options.dense_max = exact ? 0 : BUILD_DENSE_MAX;
		err = tables_build_with(&made.policy, &made.env, &options, &tables, &diag);
		if (err) {
			/* The only thing wrong with a random policy. */
			assert_int_equal(err, -EINVAL);
			if (!strstr(diag.error, "limits:"))
				fail_msg("seed %llu: %s", (unsigned long long)seed, diag.error);
			assert_true(made.policy.nr_limits > WEIR_MAX_LIMITS);
			seen->refused++;
		} else {
			seen->built++;
			seen->exact += tables->weir_cfg->pair_mask != WEIR_NONE;
			check_tables(&made, seed, tables, seen);
		}
		tables_free(tables);
		diag_reset(&diag);
	}
	made_free(&made);
}

static __u64 number_of(const char *name, __u64 unsaid)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : unsaid;
}

static void test_tables_say_what_a_walk_over_all_rules_says(void **state)
{
	__u64 seed = number_of("WEIR_SEED", (__u64)time(NULL) << 20),
	      n = number_of("WEIR_POLICIES", 10000);
	struct seen seen = {0};

	print_message("first seed %llu, %llu policies\n", (unsigned long long)seed,
		      (unsigned long long)n);
	for (__u64 i = 0; i < n; i++)
		check_policy(seed + i, 1, &seen);
	print_message(
	    "tables %zu, refused %zu; packets: allowed %zu, denied %zu, by default %zu, failsafe %zu, "
	    "limited %zu, in zones %zu, judged later %zu, of units %zu, protected %zu, spared %zu\n",
	    seen.built, seen.refused, seen.allowed, seen.denied, seen.defaulted, seen.failsafe,
	    seen.limited, seen.zoned, seen.later, seen.units, seen.protected, seen.spared);
	if (n < 1000)
		return;
	assert_true(seen.built > n);
	assert_true(seen.exact > n / 2 && seen.built - seen.exact > n / 2);
	assert_true(seen.allowed > n && seen.denied > n && seen.defaulted > n);
	assert_true(seen.protected > n / 100 && seen.spared > n / 10);
	assert_true(seen.later > n / 50 && seen.units > n / 10);
	assert_true(seen.failsafe > n / 50 && seen.limited > n / 10 && seen.zoned > n / 10);
}

static void test_longer_policies_too(void **state)
{
	__u64 seed = number_of("WEIR_SEED", (__u64)time(NULL) << 20),
	      n = number_of("WEIR_POLICIES", 10000);
	struct seen seen = {0};

	for (__u64 i = 0; i < (n + 199) / 200; i++)
		check_policy(seed + i, 10, &seen);
	assert_true(seen.built > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tables_say_what_a_walk_over_all_rules_says),
	    cmocka_unit_test(test_longer_policies_too),
	};

	return cmocka_run_group_tests_name("compile: random policies", tests, NULL, NULL);
}
