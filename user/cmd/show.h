/* SPDX-License-Identifier: GPL-2.0-only */
/* weir show WHAT: what its views share. */
#ifndef WEIR_CMD_SHOW_H
#define WEIR_CMD_SHOW_H

#include "cmd/load.h"

/**
 * struct view - what names and counts things, of the policy in force.
 * @rule:   weir_rule, allow and deny in file order, then limits in file order
 * @first_limit: where the limits begin in @rule
 * @said:   for each entry of @rule, the rule of @policy that it is, or NULL
 * @policy: from the canonical text, without the lists of addresses; NULL when it cannot be read, said as a warning
 */
struct view {
	const struct cmd_context *ctx;
	struct kernel *kernel;
	struct kernel_status status;
	struct weir_rule *rule;
	size_t nr_rules;
	char (*file)[256];
	size_t nr_files;
	struct policy *policy;
	size_t first_limit;
	const struct rule **said;
};

/**
 * struct show_options - @lines: how many rows at most, of each list; 0: all of them.
 * @word: the operand after WHAT, NULL for none
 */
struct show_options {
	__u64 lines;
	bool all;
	const char *word;
};

/** view_file() - where a rule stands, "" when not known. */
const char *view_file(const struct view *view, const struct weir_rule *rule);
/** view_place() - "policy.yaml:12", "" when not known; @buffer holds 320 bytes. */
const char *view_place(const struct view *view, const struct weir_rule *rule, char *buffer);
void json_put_place(json_t *object, const struct view *view, const struct weir_rule *rule);
/** view_limit() - the i-th limit; NULL beyond the last. view_limit_rule(): as the policy has it, or NULL. */
const struct weir_rule *view_limit(const struct view *view, size_t i);
const struct limit_rule *view_limit_rule(const struct view *view, size_t i);

/* Each prints and returns an exit status. */
int show_rules(struct view *view, const struct show_options *options);
int show_counters(struct view *view, const struct show_options *options);
int show_segments(struct view *view, const struct show_options *options);
int show_limits(struct view *view, const struct show_options *options);
int show_flows(struct view *view, const struct show_options *options);
int show_blocks(struct view *view, const struct show_options *options);

/** text_key() - a limiter's key as the address or prefix that it stands for; @buffer holds ADDR_TEXT_LEN bytes. */
const char *text_key(const __u64 key[2], unsigned int key4, unsigned int key6, char *buffer);

#endif
