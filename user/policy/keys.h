/* SPDX-License-Identifier: GPL-2.0-only */
/* Every key of the policy language, written down once: the parser reads by these tables, and the manual is held to them. */
#ifndef WEIR_POLICY_KEYS_H
#define WEIR_POLICY_KEYS_H

#include <stddef.h>

struct reader;
struct node;

/**
 * read_fn - read the value of a key.
 * @key: the key, NULL for an entry of a list; @into: what is being filled
 */
typedef int read_fn(struct reader *reader, const struct node *key, const struct node *value,
		    void *into);

/** struct key - @read is NULL for what the language has but this version does not yet. */
struct key {
	const char *name;
	read_fn *read;
};

/** struct scope - a kind of mapping: what it is called in messages and in the manual, and its keys (up to one without name). */
struct scope {
	const char *name;
	const struct key *keys;
};

extern const struct scope scope_policy, scope_interface, scope_default, scope_segment_default,
    scope_failsafe, scope_segment, scope_item, scope_rule, scope_limit, scope_limit_key,
    scope_on_exceed, scope_timeouts, scope_audit, scope_rotate, scope_mask, scope_test, scope_home,
    scope_service, scope_protect, scope_syn_cookies;

/** policy_scopes - all of them, ends with NULL. */
extern const struct scope *const policy_scopes[];

#endif
