/* SPDX-License-Identifier: GPL-2.0-only */
/* The policy as a tree with positions: what the parser makes, what the compiler and the canonical text read. */
#ifndef WEIR_POLICY_MODEL_H
#define WEIR_POLICY_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/diag.h"

#define POLICY_MAX_BYTES \
	(1 << 20) /* of one YAML file; files of addresses (`{file: …}`) may hold 2^24 lines */
#define POLICY_MAX_TEXT	 (1 << 28) /* of canonical text */
#define POLICY_MAX_DEPTH 16

enum item_kind {
	ITEM_ANY,	/* built in */
	ITEM_SELF,	/* built in: this node */
	ITEM_WORKLOADS, /* built in: all bound addresses */
	ITEM_PREFIX,
	ITEM_RANGE,
	ITEM_SEGMENT,	/* by name */
	ITEM_INTERFACE, /* addresses of an interface, resolved by the compiler's environment */
	ITEM_FILE,	/* one item a line; read by the parser into @list */
	/* Followed names; what they stand for now is in the environment, by (kind, name). */
	ITEM_CONTAINER, /* a container, by name */
	ITEM_NETWORK,	/* the containers on a network of the engine, by its name */
	ITEM_COMPOSE,	/* containers of PROJECT/SERVICE */
	ITEM_NAME,	/* a host, by DNS */
	ITEM_UNIT,	/* sockets of this node that belong to NAME.service */
};

struct item {
	enum item_kind kind;
	struct position at;
	struct prefix prefix;	      /* ITEM_PREFIX */
	struct weir_addr first, last; /* ITEM_RANGE */
	char *name;		      /* segment, interface, followed name, or path from the root */
	struct prefix *list;	      /* ITEM_FILE: what it held, ranges already split */
	size_t nr_list;
};

struct items {
	struct item *item;
	size_t n;
};

struct segment {
	char *name;
	struct position at;
	struct items members;
	struct items except;
	bool proxy;
};

enum { PORT_ANY = -1 };

/**
 * struct service - one entry of `port:`.
 * @proto: IP protocol number; PORT_ANY: any protocol ("any")
 * @first, @last: ports (tcp, udp, sctp) or types (icmp, icmpv6), inclusive; first = PORT_ANY: the whole protocol
 */
struct service {
	int proto;
	int first;
	int last;
	struct position at;
};

struct services { /* n == 0: left out, means any */
	struct service *service;
	size_t n;
};

struct names {
	char **name;
	struct position *at;
	size_t n;
};

enum rule_action { RULE_ALLOW, RULE_DENY };

/**
 * struct rule - an allow or deny. @name is NULL when the file gives none.
 * The parser makes explicit what is left out (from: any, to: self, port: any); empty lists mean the same.
 */
struct rule {
	enum rule_action action;
	char *name;
	struct position at;
	struct items from; /* n == 0: any */
	struct items to;   /* n == 0: self */
	struct services port;
	struct names on; /* interface names or patterns */
	struct services
	    published; /* n == 0: none; what of self NAT hands on to @to: opens (denies) that at NICs */
	bool log;
};

/** struct service_rule - an address that NAT turns into one of its endpoints. @port has one protocol and one port. */
struct service_rule {
	struct position at;
	struct prefix address; /* full length */
	struct service port;
	struct endpoint {
		struct position at;
		struct prefix address; /* full length, of the same family */
		__u16 port;	       /* host order */
	} * endpoint;
	size_t nr_endpoints;
};

enum policy_default { DEFAULT_UNSAID, DEFAULT_DENY, DEFAULT_ALLOW };

struct defaults {
	enum policy_default ingress, egress, forward;
};

struct segment_defaults {
	char *segment;
	struct position at;
	struct defaults defaults; /* no forward */
};

/** struct limit_rule - an entry of `limits:`, normalised: bytes in bytes, periods in ns. */
struct limit_rule {
	char *name;
	struct position at;
	struct items from; /* has_from false: left out */
	struct items to;
	bool has_from, has_to;
	struct services port;
	struct names on;
	__u8 count; /* enum weir_count_unit */
	__u64 rate; /* units per @period_ns */
	__u64 period_ns;
	__u64 burst;	     /* units */
	__u8 per;	     /* enum weir_per */
	__u8 key4, key6;     /* default 32, 64 */
	__u32 entries;	     /* default 65,536 */
	__u64 overflow_rate; /* 0: unsaid (100 x rate) */
	__u64 overflow_period_ns;
	__u64 block_ns; /* on_exceed; 0: drop */
	bool monitor;
	bool log;
};

/** struct protect_rule - an entry of `protect:`: above so many SYNs in all, they are answered with cookies. */
struct protect_rule {
	struct position at;
	struct items to;      /* self or {interface: ...} */
	struct services port; /* tcp only, by port */
	__u64 rate;	      /* SYNs per @period_ns */
	__u64 period_ns;
};

enum xdp_mode { XDP_AUTO, XDP_NATIVE, XDP_GENERIC, XDP_OFF };

struct interface_rule {
	char *pattern; /* name or fnmatch(3) pattern */
	struct position at;
	enum xdp_mode xdp;
	__u8 antispoof; /* enum weir_antispoof */
};

/** struct vlan_range - an entry of `vlans:`, 1..4094, inclusive. */
struct vlan_range {
	__u16 first, last;
	struct position at;
};

struct failsafe_rule {
	struct services port;
	struct items from; /* n == 0: any */
	struct position at;
};

enum test_home { HOME_UNSAID, HOME_SELF, HOME_WORKLOAD, HOME_TRANSIT };

struct test_case {
	struct position at;
	struct item from,
	    to; /* an address, self, {interface: …}, or a segment's name (its first address) */
	struct service port;
	bool expect_allow;
	enum test_home home_from, home_to;
};

struct timeouts { /* seconds */
	__u32 tcp, tcp_closing, udp, udp_stream, icmp, half_open;
};

struct audit_config {
	char *file; /* NULL: none */
	struct position at;
	__u64 rotate_bytes;	     /* 0: not by size */
	__u64 rotate_s;		     /* 0: not by age */
	__u64 retention_s;	     /* 0: for ever */
	int mask4, mask6;	     /* prefix length kept; -1: not masked */
	__u32 events_per_second;     /* default 1000 */
	__u32 per_source_per_second; /* default 10 */
	struct names pass;	     /* rules whose passed packets are logged too */
};

struct policy {
	char **file; /* paths as given, order of reading */
	size_t nr_files;
	__u8 sha256
	    [32]; /* of the one file; else over the SHA-256 of all that was read, lists too, in order */
	struct interface_rule *interface;
	size_t nr_interfaces;
	struct interface_rule *workload;
	size_t nr_workloads;
	struct defaults defaults;
	struct segment_defaults *segment_defaults;
	size_t nr_segment_defaults;
	struct failsafe_rule *failsafe;
	size_t nr_failsafe;
	bool has_failsafe; /* false: the built-in tcp/22 applies as POLICY.md says */
	bool monitor;
	bool blocks_survive_reboot;
	struct segment *segment;
	size_t nr_segments;
	struct segment **by_name; /* sorted by name; NULL in a policy that was not parsed */
	struct rule *rule;	  /* allow rules in file order, then deny rules in file order */
	size_t nr_rules;
	struct items block;
	struct items never_block;
	struct limit_rule *limit;
	size_t nr_limits;
	struct service_rule *service;
	size_t nr_services;
	struct protect_rule *protect;
	size_t nr_protects;
	struct vlan_range *vlan;
	size_t nr_vlans;
	struct timeouts timeouts;
	struct audit_config audit;
	struct test_case *test;
	size_t nr_tests;
};

/**
 * policy_parse() - read and check policy files.
 * @paths: "-" is standard input. Lists of several files add up; a scalar or a name given twice is an error.
 *
 * On success *@ret is a policy to be released by policy_free(); names are resolved (a segment that does not exist, a
 * cycle of segments and a limit that cannot be kept are errors), defaults are filled in, warnings are in @diag.
 * Returns 0; -EINVAL: rejected, @diag says where, what was wanted and what was found; -ENOENT, -EACCES, …: a file
 * cannot be read; -EFBIG: too large; -ENOMEM.
 */
int policy_parse(const char *const *paths, size_t n, struct policy **ret, struct diag *diag);

/**
 * policy_parse_text() - the same from memory, for up to POLICY_MAX_TEXT bytes: the canonical text of several files is
 * longer than any of them. @name stands in positions. Files that it names are read, relative to the directory of @name.
 */
int policy_parse_text(const char *text, size_t len, const char *name, struct policy **ret,
		      struct diag *diag);

/**
 * policy_parse_outline() - as policy_parse_text(), but files of addresses are not opened: their items have no @list.
 * For what a policy in force says besides addresses (interfaces, audit), since its lists may have gone or changed.
 */
int policy_parse_outline(const char *text, size_t len, const char *name, struct policy **ret,
			 struct diag *diag);

void policy_free(struct policy *policy);

/**
 * policy_print() - canonical text: stable order, everything explicit, no comments; parsing it gives the same policy.
 * *@ret is malloc'ed. Returns 0 or -ENOMEM.
 */
int policy_print(const struct policy *policy, char **ret);

const struct segment *policy_segment(const struct policy *policy, const char *name);

/**
 * policy_each_item() - call @each for every item, wherever one may stand (block, never_block, segments, rules, limits,
 * failsafe, protect; not tests), in a fixed order; a non-zero return ends the walk and is returned.
 */
int policy_each_item(const struct policy *policy, int (*each)(void *arg, struct item *item),
		     void *arg);

/**
 * policy_each_followed() - call @each for the followed names that the policy mentions, its tests included: each
 * (kind, name) once, in an order that depends on nothing else. A non-zero return ends the walk and is returned; -ENOMEM.
 */
int policy_each_followed(const struct policy *policy,
			 int (*each)(void *arg, const struct item *item), void *arg);

/** item_followed() - is it a container, network, compose service, host or unit? */
bool item_followed(const struct item *item);

/** item_key() - "container" for ITEM_CONTAINER, as the language writes `{container: NAME}`; NULL for what has no such key. */
const char *item_key(enum item_kind kind);

#endif
