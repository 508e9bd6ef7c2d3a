/* SPDX-License-Identifier: GPL-2.0-only */
/* What a compiled policy depends on: when that changes, it is compiled again. */
#ifndef WEIR_CMD_FINGERPRINT_H
#define WEIR_CMD_FINGERPRINT_H

#include <stdbool.h>

#include "compile/compile.h"
#include "policy/model.h"

/**
 * struct fingerprint - sha256 over the policy in canonical form, the lists that it read, the addresses of interfaces
 * that stand for items, the interfaces that its `on` names match, which endpoints of its service addresses are this
 * node's own, and forwarding. All zero: not known. What followed names stand for is not in it: that changes the tables of
 * the policy in force, not the policy.
 */
struct fingerprint {
	__u8 byte[32];
};

/**
 * fingerprint_of() - a policy from files and the same policy from its canonical text have the same one.
 * All zero when memory is short, which is like no other.
 */
struct fingerprint fingerprint_of(const struct policy *policy, const struct environment *env);

/** fingerprint_same() - false also where both are not known. */
bool fingerprint_same(const struct fingerprint *a, const struct fingerprint *b);

/** fingerprint_needs_host() - does more than text and forwarding decide what it says: lists, addresses, interfaces? */
bool fingerprint_needs_host(const struct policy *policy);

#endif
