/* SPDX-License-Identifier: GPL-2.0-only */
/* Policies made by hand and at random, for the tests of the compiler. */
#ifndef COMPILE_POLICY_H
#define COMPILE_POLICY_H

#include "compile/compile.h"

/** struct made - a policy and an environment whose every part lives until made_free(). */
struct made {
	struct policy policy;
	struct environment env;
	void **part;
	size_t nr_parts;
	__u64 random; /* state of the generator */
	struct prefix
	    pool[64]; /* prefixes that the random policy uses: packets are aimed at their edges */
	size_t nr_pool;
	int ports[64];
	size_t nr_ports;
	bool units; /* the random policy has some */
};

void made_init(struct made *made, __u64 seed);
void made_free(struct made *made);

/** made_part() - zeroed memory that lives as long as @made. */
void *made_part(struct made *made, size_t size);
char *made_text(struct made *made, const char *format, ...) __attribute__((format(printf, 2, 3)));
__u32 made_random(struct made *made, __u32 below);

/** prefix_of(), address_of() - from text that is known to be right. */
struct prefix prefix_of(const char *text);
struct weir_addr address_of(const char *text);

/**
 * item_of() - "any", "self", "workloads", "A.B.C.D[/N]", "FIRST-LAST", "@interface", "KEY=NAME" for {KEY: NAME} (container,
 * network, compose, name, unit), else a segment's name.
 */
struct item item_of(struct made *made, const char *text);
/** items_of() - several, separated by spaces. */
struct items items_of(struct made *made, const char *text);
/** services_of() - "tcp/80", "udp/1-5", "icmp/8", "icmp", "proto/47", "any", separated by spaces. */
struct services services_of(struct made *made, const char *text);
struct names names_of(struct made *made, const char *text);

/** add_*() - one more entry of the policy; it is returned for what the arguments do not say, valid until the next. */
struct segment *add_segment(struct made *made, const char *name, const char *members,
			    const char *except);
struct rule *add_rule(struct made *made, enum rule_action action, const char *from, const char *to,
		      const char *port);
struct limit_rule *add_limit(struct made *made, const char *name, const char *from, const char *to,
			     const char *port);
struct protect_rule *add_protect(struct made *made, const char *to, const char *port);
struct test_case *add_test(struct made *made, const char *from, const char *to, const char *port,
			   bool allow);
void add_interface(struct made *made, const char *name, const char *addresses);
/** add_name() - what "KEY=NAME" stands for: addresses, or the number of a unit ("7"). Given again: in its place. */
void add_name(struct made *made, const char *name, const char *addresses);
/** add_service() - an entry of `services:`; @endpoints: "192.0.2.1 8080 192.0.2.2 8080" */
struct service_rule *add_service(struct made *made, const char *address, const char *port,
				 const char *endpoints);

/** made_randomly() - a whole policy and environment by @seed; @size: about how many times ten rules and segments. */
void made_randomly(struct made *made, __u64 seed, __u32 size);

#endif
