/* SPDX-License-Identifier: GPL-2.0-only */
/* Followed names (containers, networks, hosts, units) in commands: asked for, waited for, and shown. */
#ifndef WEIR_CMD_NAMING_H
#define WEIR_CMD_NAMING_H

#include "cmd/cmd.h"
#include "cmd/fingerprint.h"
#include "compile/compile.h"
#include "names/names.h"
#include "policy/model.h"

/** policy_follows() - how many different names @policy follows. 0: nobody needs to be asked. */
size_t policy_follows(const struct policy *policy);

/** text_followed() - "{container: kato}", as the policy writes it; @buffer holds @size bytes. */
const char *text_followed(enum item_kind kind, const char *name, char *buffer, size_t size);

/** naming_open() - names_open() with the engine of the command line and the memory of this pin directory. */
int naming_open(const struct cmd_context *ctx, struct followed **ret, struct diag *diag);

/**
 * naming_ask() - put into @env what @policy's names stand for now: asks everybody, waits up to @wait_ms.
 * @patient: say on standard error what is waited for when it takes long, where that is a terminal
 *
 * Nothing is asked where the policy follows nothing. What nobody answered keeps its last known answer, or none: that
 * is naming_judge()'s to say.
 */
int naming_ask(struct followed *names, const struct policy *policy, struct environment *env,
	       unsigned int wait_ms, bool patient, struct diag *diag);

/**
 * naming_judge() - after naming_ask(): warns of an engine that does not answer and of names that stand for nobody now.
 * -ENOENT with the place: a host by DNS that has never been resolved.
 */
int naming_judge(struct followed *names, const struct policy *policy, struct diag *diag);

/**
 * naming_recall() - what is known without asking anybody: the memory of the last process that asked.
 * @ret_names: may be NULL; else the handle, to be closed, for names_each()
 */
int naming_recall(const struct cmd_context *ctx, const struct policy *policy,
		  struct environment *env, struct followed **ret_names, struct diag *diag);

/* The part of an environment that is about names, apart from the host's; for environments that share the latter. */
/** naming_swap() - exchange the names of @a and @b; what they say of the host stays. */
void naming_swap(struct environment *a, struct environment *b);
/** naming_digest() - sha256 over what names stand for in @env; all zero when memory is short. */
struct fingerprint naming_digest(const struct environment *env);
/** naming_same() - do all names stand for the same addresses in both? */
bool naming_same(const struct environment *a, const struct environment *b);
/** naming_copy_known() - the names of @from that stand for something, into @to, which has none. 0 or -ENOMEM. */
int naming_copy_known(const struct environment *from, struct environment *to);

static inline void naming_close_p(struct followed **names)
{
	if (*names)
		names_close(*names);
}
#define _cleanup_names_ _cleanup_(naming_close_p)

#endif
