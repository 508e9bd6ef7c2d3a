/* SPDX-License-Identifier: GPL-2.0-only */
/* Event and names to a record: what the audit line says, before it is text. Pure: asks neither kernel nor clock. */
#ifndef WEIR_AUDIT_DECODE_H
#define WEIR_AUDIT_DECODE_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/event.h"
#include "weir/reason.h"
#include "weir/tables.h"

/**
 * struct audit_names - the rules of one generation, by counter.
 * @rule, @file: as read from the slot's weir_rule and weir_file; owned
 * @order: indices of @rule, sorted by (is a limit, counter); owned
 */
struct audit_names {
	__u32 generation;
	struct weir_rule *rule;
	size_t nr_rules;
	char (*file)[256];
	size_t nr_files;
	__u32 *order;
};

/** audit_names_index() - fill @order, once @rule is in place. Returns 0 or -ENOMEM. */
int audit_names_index(struct audit_names *names);
void audit_names_clear(struct audit_names *names);

/** audit_names_rule() - the rule, or the limit, that owns counter @counter; NULL when none does. */
const struct weir_rule *audit_names_rule(const struct audit_names *names, bool limit,
					 __u32 counter);

/** struct audit_mask - prefix lengths that addresses are cut to; -1: left whole. */
struct audit_mask {
	int ipv4;
	int ipv6;
};

/** struct audit_address - an address as the line shows it; @known false: null. */
struct audit_address {
	struct weir_addr address;
	bool known;
	bool masked;
	__u8 length; /* masked: of the prefix */
};

/**
 * struct audit_record - one event, resolved. Text fields are NUL-terminated; "" is null in the line.
 * A number that this version has no name for stands as "#N": reasons, verdicts, directions, hooks, rules whose policy
 * is gone, interfaces that are gone.
 */
struct audit_record {
	__u64 time_ns; /* CLOCK_REALTIME */
	struct audit_address client;
	struct audit_address source;
	struct audit_address destination;
	int source_port; /* -1: null */
	int destination_port;
	char protocol[16];
	char verdict[24];
	char reason[32];
	char rule[WEIR_NAME_LEN];
	char file[256];
	__u32 line; /* 0: null */
	char direction[16];
	char hook[24];
	char interface[32];
	__u32 length;
	__u32 generation;
};

/**
 * audit_decode() - one record of the ring.
 * @data, @size: as the ring holds it; longer than struct weir_event is a later version, whose tail is left out
 * @names:       of the event's generation; NULL: not known
 * @interface:   name of the event's interface; NULL: not known
 * @real_minus_mono_ns: CLOCK_REALTIME - CLOCK_MONOTONIC
 * @mask:        applied to every address of the record
 * Returns 0, or -EBADMSG when @size is less than an event.
 */
int audit_decode(const void *data, size_t size, const struct audit_names *names,
		 const char *interface, __s64 real_minus_mono_ns, const struct audit_mask *mask,
		 struct audit_record *ret);

#endif
