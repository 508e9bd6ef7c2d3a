/* SPDX-License-Identifier: GPL-2.0-only */
/* Servers for the tests of followed names: children that are told what to do by lines of text (tests/lib/fake-*.py). */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "names/names.h"
#include "policy/model.h"

struct fake {
	pid_t pid;
	FILE *to, *from;
	char answer[256]; /* the last one, without "ok " */
};

/** fake_begin() - start tests/lib/@script with @argument (may be NULL) and wait for its first "ok". */
void fake_begin(struct fake *fake, const char *script, const char *argument);
void fake_end(struct fake *fake);

/** fake_tell() - one command; fails the test when it is not "ok". */
void fake_tell(struct fake *fake, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** policy_that_names() - one whose segment s has @items, "{container: a}, {network: b}". */
struct policy *policy_that_names(const char *items);

/** state_text() - what @name stands for: "192.0.2.1 2001:db8::1", "?" while nobody knows. Static. */
const char *state_text(const struct followed *names, enum item_kind kind, const char *name);
/** error_text() - why not, "" when there is no error. Static. */
const char *error_text(const struct followed *names, enum item_kind kind, const char *name);

/** turn() - one turn of a loop, at most @ms. Returns what names_dispatch() did, as it does. */
int turn(struct followed *names, int ms);

/** becomes() - follow until @name stands for @addresses; false after @ms. */
bool becomes(struct followed *names, enum item_kind kind, const char *name, const char *addresses,
	     int ms);

__u64 now_ns(void);

#endif
