/* SPDX-License-Identifier: GPL-2.0-only */
/* The policy language by its book: walks every rule for every packet. Shares no code with the compiler. */
#ifndef NAIVE_H
#define NAIVE_H

#include "compile/compile.h"

#define NAIVE_MAX_LIMITS 64

struct naive_packet {
	struct weir_addr source, destination;
	enum weir_kind source_kind, destination_kind;
	__u8 proto;
	__u16 port;
	const char *interface; /* of arrival or departure; NULL: one that no rule names */
};

/** struct naive_answer - @action as enum weir_action; @rule: index in policy->rule, -1: none decided. */
struct naive_answer {
	bool allow, ingress_allow, egress_allow, later;
	int action;
	int rule;
	bool named, log;
	bool source_never, destination_never;
	bool source_blocked, destination_blocked;
	bool source_spared, destination_spared; /* by automatic blocks */
	int protect;				/* index in policy->protect + 1; 0: none */
	size_t nr_limits;
	__u16 limit[NAIVE_MAX_LIMITS];
};

void naive_eval(const struct policy *policy, const struct environment *env,
		const struct naive_packet *packet, struct naive_answer *ret);

/**
 * naive_fragment() - a later fragment: @packet's port does not count.
 * @v6: of any protocol; else of packet->proto. Fills action, rule, log, limits and named.
 */
void naive_fragment(const struct policy *policy, const struct environment *env,
		    const struct naive_packet *packet, bool v6, struct naive_answer *ret);

#endif
