/* SPDX-License-Identifier: GPL-2.0-only */
/* From files to a policy that may be applied, and the words for what is in force. */
#ifndef WEIR_CMD_LOAD_H
#define WEIR_CMD_LOAD_H

#include "cmd/cmd.h"
#include "compile/compile.h"
#include "kernel/kernel.h"
#include "policy/model.h"

/**
 * struct loaded - a policy, compiled for this host.
 * @failed: how many of the policy's own tests failed; @tests has policy->nr_tests results
 */
struct loaded {
	struct policy *policy;
	struct environment env;
	struct tables *tables;
	struct test_result *tests;
	size_t failed;
};

/**
 * struct load_how - @resolve puts into @env what the policy's followed names stand for; NULL: each gets a made-up
 * address, nobody is asked.
 */
struct load_how {
	int (*resolve)(void *arg, const struct policy *policy, struct environment *env,
		       struct diag *diag);
	void *arg;
};

/**
 * loaded_read() - parse, resolve names, compile for the current network namespace, run the policy's tests.
 * In these, a name that stands for nobody now has a made-up address: whether a policy says what its author meant does
 * not depend on which containers run.
 * Returns 0 also when tests fail. -EINVAL, -E2BIG, -EOPNOTSUPP: the policy is rejected (loaded_rejected() is true);
 * other errors: a file cannot be read, a name cannot be resolved, no memory.
 */
int loaded_read(const char *const *paths, size_t n, const struct load_how *how, struct loaded *ret,
		struct diag *diag);
void loaded_clear(struct loaded *loaded);
bool loaded_rejected(int err);

/**
 * holds_text() - "WHAT; generation 7 still active", as far as can be known: with nothing in force, or no right to look,
 * WHAT alone. @buffer holds @size bytes; returns it.
 */
const char *holds_text(const char *pin_dir, const char *what, char *buffer, size_t size);

/** open_loaded() - kernel_open() for a command that needs programs in the kernel; says what failed. Returns a status. */
int open_loaded(const struct cmd_context *ctx, bool write, struct kernel **ret);

static inline void kernel_close_p(struct kernel **kernel)
{
	if (*kernel)
		kernel_close(*kernel);
}
#define _cleanup_kernel_ _cleanup_(kernel_close_p)
#define _cleanup_diag_	 _cleanup_(diag_reset)
#define _cleanup_loaded_ _cleanup_(loaded_clear)
#define _cleanup_policy_ _cleanup_(policy_free_p)

static inline void policy_free_p(struct policy **policy)
{
	if (*policy)
		policy_free(*policy);
}

/** running_policy() - the policy in force, from its canonical text in the kernel. Returns 0 or -errno with @diag. */
int running_policy(struct kernel *kernel, struct policy **ret, struct diag *diag);

/** running_outline() - the same without opening its files of addresses, which may be gone (policy_parse_outline()). */
int running_outline(struct kernel *kernel, struct policy **ret, struct diag *diag);

#endif
