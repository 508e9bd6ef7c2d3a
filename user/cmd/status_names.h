/* SPDX-License-Identifier: GPL-2.0-only */
/* weir status: followed names, and who is asked for them. */
#ifndef WEIR_CMD_STATUS_NAMES_H
#define WEIR_CMD_STATUS_NAMES_H

#include "cmd/following.h"
#include "cmd/naming.h"
#include "kernel/kernel.h"

/**
 * struct names_status - @policy: that in force, NULL where it cannot be read; @names: NULL where it follows none.
 * @daemon: a process follows them, and @following is what it says
 */
struct names_status {
	struct policy *policy;
	struct environment env;
	struct followed *names;
	bool daemon;
	struct following following;
};

/** names_status_read() - needs no daemon and asks nobody. What cannot be read is a warning in @diag. */
void names_status_read(const struct cmd_context *ctx, struct kernel *kernel, pid_t daemon,
		       struct names_status *ret, struct diag *diag);
void names_status_clear(struct names_status *status);

/** names_status_json() - puts "engine", "names" and "changes" into @object. */
void names_status_json(const struct names_status *status, json_t *object);

/**
 * names_status_why() - why a workload is closed, malloc'ed: @behind are the addresses that its namespace has.
 * @trial: a trial is pending
 */
char *names_status_why(const struct names_status *status, const struct prefix *behind, size_t n,
		       bool trial);

/** print_names_head() - the lines among those of the head; print_names_table(): a table of its own. */
void print_names_head(const struct names_status *status);
void print_names_table(const struct names_status *status);

#endif
