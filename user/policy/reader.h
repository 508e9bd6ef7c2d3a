/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside the policy layer: how the tree of a file is read into the model. Keys are data; every mapping has a scope. */
#ifndef WEIR_POLICY_READER_H
#define WEIR_POLICY_READER_H

#include <openssl/evp.h>

#include "policy/keys.h"
#include "policy/model.h"
#include "policy/yaml.h"

/**
 * struct reader - what is known while files are read.
 * @file:      name of the file that is being read, owned by the policy
 * @given:     scalars that were given so far, and where: a second file may not give them again
 * @digests:   SHA-256 of every file and list, in order of reading
 */
struct reader {
	struct policy *policy;
	struct diag *diag;
	const char *file;
	struct given {
		const char *name;
		struct position at;
	} given[48];
	size_t nr_given;
	EVP_MD_CTX *hash;
	__u8 (*digests)[32];
	size_t nr_digests;
	bool outline; /* files of addresses are not opened */
};

/* reject() - `return reject(reader, &node->at, "…")`: note the error, return -EINVAL. */
#define reject(reader, at, ...) diag_fail((reader)->diag, -EINVAL, at, __VA_ARGS__)

/** reject_kind() - "wanted WANTED, found a list" (or the value that was found). */
int reject_kind(struct reader *reader, const struct node *node, const char *what,
		const char *wanted);

/**
 * read_map() - read a mapping by its scope's table: each key by its own function, an unknown one is an error that
 * lists what is allowed.
 */
int read_map(struct reader *reader, const struct node *node, const struct scope *scope, void *into);

/**
 * read_each() - call @read for every entry of a list, or once where something else stands: a list of one needs no
 * brackets.
 */
int read_each(struct reader *reader, const struct node *key, const struct node *value,
	      read_fn *read, void *into);

/** read_list() - the same where brackets or dashes are needed. */
int read_list(struct reader *reader, const struct node *key, const struct node *value,
	      read_fn *read, void *into);

/** once() - note that @name (a scalar of the policy as a whole) is given here; an error when it was before. */
int once(struct reader *reader, const char *name, const struct node *key);

/* Scalars. @what names the thing in messages. */
int scalar(struct reader *reader, const struct node *node, const char *what, const char *wanted);
int read_bool(struct reader *reader, const struct node *node, const char *what, bool *ret);
int read_number(struct reader *reader, const struct node *node, const char *what, __u64 min,
		__u64 max, __u64 *ret);
int read_duration_s(struct reader *reader, const struct node *node, const char *what, __u64 min_s,
		    __u64 max_s, __u64 *ret_s);
int read_choice(struct reader *reader, const struct node *node, const char *what,
		const char *const *choices, int *ret);
/** read_name() - a name of a rule, a limit or a segment; malloc'ed. */
int read_name(struct reader *reader, const struct node *node, char **ret);
bool name_valid(const char *text);

/** closest() - the candidate that @text was probably meant to be, or NULL. Candidates end with NULL. */
const char *closest(const char *text, const char *const *candidates);

/* Readers of parts, each a read_fn: @into is what the comment says. */
read_fn item_container, item_network, item_compose, item_name, item_unit; /* struct item * */
read_fn read_item;							  /* struct items * */
read_fn read_items;	       /* struct items *, at least one */
read_fn read_items_or_none;    /* struct items * */
read_fn read_services;	       /* struct services * */
read_fn read_patterns;	       /* struct names * */
read_fn read_interfaces;       /* NULL */
read_fn read_workloads;	       /* NULL */
read_fn read_segments;	       /* NULL */
read_fn read_failsafe;	       /* NULL */
read_fn read_allow, read_deny; /* NULL */
read_fn read_limits;	       /* NULL */
read_fn read_default;	       /* NULL */
read_fn read_defaults;	       /* NULL */
read_fn read_mode;	       /* NULL */
read_fn read_timeouts;	       /* NULL */
read_fn read_audit;	       /* NULL */
read_fn read_tests;	       /* NULL */
read_fn read_service_rules;    /* NULL: `services:` */
read_fn read_protect;	       /* NULL */
read_fn read_vlans;	       /* NULL */
read_fn rule_published;	       /* struct rule * */

read_fn read_block, read_never_block; /* NULL */
read_fn read_survive;		      /* NULL */

/** read_mode_word() - enforce or monitor. */
int read_mode_word(struct reader *reader, const struct node *value, bool *ret_monitor);

/* What is left out, made explicit: one item of @kind; any service. 0 or -ENOMEM. */
int fill_items(struct items *items, enum item_kind kind, const struct position *at);
int fill_services(struct services *services, const struct position *at);
void items_free(struct items *items);

/** check_pattern() - check a name (@name_only) or a pattern of interfaces. */
int check_pattern(struct reader *reader, const struct node *node, const char *text, bool name_only);

/** list_read() - the addresses in a file, for `{file: …}`; @item->name is made absolute. */
int list_read(struct reader *reader, const struct node *node, struct item *item);

/** digest_begin(), digest_add(), digest_end() - SHA-256 of the file that is being read. */
int digest_begin(struct reader *reader);
int digest_add(struct reader *reader, const void *bytes, size_t n);
int digest_end(struct reader *reader);

/** address_reject() - say what is wrong with the text of an address or prefix, and what was probably meant. */
int address_reject(struct reader *reader, const struct position *at, const char *text,
		   const char *why);
/** range_parse() - "A-B"; errors are said at @at. Returns 1 where @text is no range. */
int range_parse(struct reader *reader, const struct position *at, const char *text,
		struct weir_addr *first, struct weir_addr *last);

/** service_read_one() - one entry of `port:`. service_lacks_port(): a whole protocol that has ports or types. */
int service_read_one(struct reader *reader, const struct node *node, struct service *ret);
bool service_lacks_port(const struct service *service);

/** read_rate() - 1..10,000,000 a second, or with @bytes 1 KB/s..12.5 GB/s; @what names it in messages. */
int read_rate(struct reader *reader, const struct node *node, const char *what, bool bytes,
	      __u64 *ret_rate, __u64 *ret_period_ns);
/**
 * check_protect() - no protected service is one that NAT hands on: there is no socket here to take its cookies; and XDP,
 * which sends them, is not switched off.
 */
int check_protect(const struct policy *policy, struct diag *diag);

/** check_service_rules() - no address and port twice, no endpoint that is itself such an address. */
int check_service_rules(const struct policy *policy, struct diag *diag);
/** check_published() - what the rule says by itself about what NAT hands on. */
int check_published(struct reader *reader, const struct rule *rule);

/** policy_resolve() - names, cycles, and everything that only the whole policy can tell. */
int policy_resolve(struct policy *policy, struct diag *diag);

#endif
