/* SPDX-License-Identifier: GPL-2.0-only */
/* Policy to tables: classes, tries, pairs, cells. Pure: no libbpf, no privilege, no kernel. */
#ifndef WEIR_COMPILE_COMPILE_H
#define WEIR_COMPILE_COMPILE_H

#include "base/diag.h"
#include "policy/model.h"
#include "weir/tables.h"

/** struct environment - what the policy refers to but does not say; environment_read() takes it from this host. */
struct environment {
	struct env_interface {
		char name[16];
		__u32 ifindex;
		struct prefix *address; /* as configured: full-length prefixes */
		size_t nr_addresses;
	} * interface;
	size_t nr_interfaces;
	/* What followed names stand for now (user/names/ fills them in): each (kind, name) once. */
	struct env_name {
		enum item_kind kind;
		char *name;
		struct prefix *address; /* full length; a unit: WEIR_UNIT_ADDRESS + N */
		size_t n;
		bool known;   /* somebody answered; false: nobody did yet, the list is empty */
		bool made_up; /* by environment_stand_in(): the addresses are nobody's */
	} * name;
	size_t nr_names;
	/*
	 * Workloads on the engine's networks are bound only when the engine has said who they are: else they would be
	 * judged as nobody. Empty where the policy names no containers.
	 */
	struct prefix *engine_subnet;
	size_t nr_engine_subnets;
	struct prefix
	    *engine_address; /* of containers it has told of; sorted as by prefix_compare() */
	size_t nr_engine_addresses;
	bool
	    engine_unknown; /* the policy names containers, and the engine never answered: nothing may be bound */
	bool forwarding4, forwarding6;
	__u32 tick_ns; /* length of a jiffy, 0: not known (limits then use ktime) */
};

/** environment_read() - interfaces, addresses and sysctls of the current network namespace; needs no privilege. */
int environment_read(struct environment *ret, struct diag *diag);
void environment_free(struct environment *env);
/** environment_forget_names() - release what followed names and the engine put there; nothing of it is left. */
void environment_forget_names(struct environment *env);

/** environment_name() - what a followed name stands for; NULL: nobody asked for it. */
const struct env_name *environment_name(const struct environment *env, enum item_kind kind,
					const char *name);

/**
 * environment_stand_in() - for `weir check`: each followed name of @policy, its tests included, that is not known gets an
 * address of its own in each family (a unit: the next number), and counts as known. 0; -ENOMEM; -E2BIG: too many units.
 */
int environment_stand_in(struct environment *env, const struct policy *policy);

/** environment_unit() - the address that tables know unit @number by (WEIR_UNIT_ADDRESS). */
struct prefix environment_unit(__u32 number);

/** environment_may_bind() - may a workload with this address be opened? See engine_subnet. */
bool environment_may_bind(const struct environment *env, const struct weir_addr *address);

/** environment_told() - the engine has told of a container with this address. */
bool environment_told(const struct environment *env, const struct weir_addr *address);

/** environment_engine_net() - this address lies in a subnet of the engine's. */
bool environment_engine_net(const struct environment *env, const struct weir_addr *address);

/**
 * struct tables - contents of one slot, ready to be written. X(weir_node, struct weir_node, …) becomes
 * `struct weir_node *weir_node; size_t nr_weir_node`.
 *
 * Rules in weir_verd, weir_rule.counter and weir_limit.{counter,buckets,overflow} are numbered from 0 in this
 * policy's own order (verdict.rule: WEIR_RULE_FIRST + index of the rule in weir_rule, or a built-in); the loader maps
 * them to the counters and regions in use (kernel/). weir_limit.mask + 1 is the number of buckets wanted.
 * weir_rule holds allow and deny rules in file order, then limits in file order (limit i is entry nr_rules_only + i).
 */
struct tables {
#define TABLES_MEMBER(name, type, entries) \
	type *name;                        \
	size_t nr_##name;
	WEIR_SLOT_MAPS(TABLES_MEMBER)
#undef TABLES_MEMBER
	size_t nr_rules_only;
	/* zone of each interface of the environment, by its index there; 0 where no `on:` names it */
	__u16 *zone;
	struct budget {
		size_t addresses; /* prefixes in the trie */
		size_t classes, pairs, cells;
		size_t
		    bytes; /* kernel memory of both slots' tables, limits and counters for this policy */
	} budget;
};

#define COMPILE_MAX_BYTES (1ULL << 30) /* of kernel memory; more is refused with the numbers */

/**
 * tables_build() - compile.
 * Returns 0 and *@ret, to be released by tables_free(); -E2BIG: over the budget, @diag has the numbers; -EINVAL: the
 * policy asks for what cannot be kept (more than four limits on one packet, …), @diag says where; -ENOMEM.
 */
int tables_build(const struct policy *policy, const struct environment *env, struct tables **ret,
		 struct diag *diag);
void tables_free(struct tables *tables);

/** struct question - a packet that opens: who, whom, what. Ports and types in host order. */
struct question {
	struct weir_addr source, destination;
	enum weir_kind source_kind, destination_kind;
	__u8 proto;
	__u16 port; /* destination port, ICMP type; 0 for others */
	__u16 zone;
};

/**
 * struct answer - @rule: index in weir_rule, or -1 when the default decided.
 * @later: a service address whose endpoints differ: the packet passes its first home, and is judged when NAT has chosen
 *         one; the other fields say deny
 */
struct answer {
	bool allow, later;
	bool ingress_allow, egress_allow; /* by direction, where the two ends differ */
	int rule;
	struct weir_verdict verdict;
};

/**
 * tables_eval() - what the kernel would say, through the same lookups (bpf/classify.h compiled for the host).
 * Self and workload ends are judged at their homes; two WEIR_OTHER ends are transit.
 */
int tables_eval(const struct tables *tables, const struct question *question, struct answer *ret);

/** struct test_result - one entry of the policy's `tests:`; @text says what was expected and found when !passed. */
struct test_result {
	const struct test_case *test;
	bool passed;
	char text[768]; /* two names of 255 bytes fit */
};

/**
 * tests_run() - run the policy's own tests through the compiled tables. *@ret has policy->nr_tests entries.
 * Returns the number that failed, or -errno. A verdict that depends on an unsaid home is a failure that names both.
 */
int tests_run(const struct policy *policy, const struct tables *tables,
	      const struct environment *env, struct test_result **ret);

#endif
