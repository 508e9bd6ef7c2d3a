// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/naming.h"

void loaded_clear(struct loaded *loaded)
{
	free(loaded->tests);
	if (loaded->tables)
		tables_free(loaded->tables);
	if (loaded->policy)
		policy_free(loaded->policy);
	environment_free(&loaded->env);
	*loaded = (struct loaded){};
}

bool loaded_rejected(int err)
{
	return err == -EINVAL || err == -E2BIG || err == -EOPNOTSUPP || err == -EFBIG;
}

static bool stand_for_something(const struct environment *env)
{
	for (size_t i = 0; i < env->nr_names; i++)
		if (!env->name[i].n)
			return false;
	return true;
}

/* The policy's tests, in a world in which every name stands for somebody. */
static int run_tests_apart(struct loaded *loaded, struct diag *diag)
{
	_cleanup_(environment_free) struct environment env = {};
	struct tables *tables = NULL;
	int err = environment_read(&env, diag);

	err = err ? err : naming_copy_known(&loaded->env, &env);
	err = err ? err : environment_stand_in(&env, loaded->policy);
	err = err ? err : tables_build(loaded->policy, &env, &tables, diag);
	err = err ? err : tests_run(loaded->policy, tables, &env, &loaded->tests);
	if (tables)
		tables_free(tables);
	return err;
}

int loaded_read(const char *const *paths, size_t n, const struct load_how *how, struct loaded *ret,
		struct diag *diag)
{
	_cleanup_loaded_ struct loaded loaded = {};
	int err;

	err = policy_parse(paths, n, &loaded.policy, diag);
	if (!err)
		err = environment_read(&loaded.env, diag);
	if (!err)
		err = how->resolve ? how->resolve(how->arg, loaded.policy, &loaded.env, diag)
				   : environment_stand_in(&loaded.env, loaded.policy);
	if (!err)
		err = tables_build(loaded.policy, &loaded.env, &loaded.tables, diag);
	if (!err && loaded.policy->nr_tests && !stand_for_something(&loaded.env))
		err = run_tests_apart(&loaded, diag);
	else if (!err)
		err = tests_run(loaded.policy, loaded.tables, &loaded.env, &loaded.tests);
	if (err < 0)
		return err;
	loaded.failed = (size_t)err;
	*ret = loaded;
	loaded = (struct loaded){};
	return 0;
}

const char *holds_text(const char *pin_dir, const char *what, char *buffer, size_t size)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_diag_ struct diag diag = {};
	struct kernel_status status = {};
	__u32 generation = 0;

	if (!kernel_open(pin_dir, false, &kernel, &diag) && kernel_loaded(kernel) &&
	    !kernel_status(kernel, &status, &diag)) {
		generation = status.generation;
		kernel_status_clear(&status);
	}
	if (generation)
		snprintf(buffer, size, "%s, generation %u still active", what, generation);
	else
		snprintf(buffer, size, "%s", what);
	return buffer;
}

int open_loaded(const struct cmd_context *ctx, bool write, struct kernel **ret)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_diag_ struct diag diag = {};
	int err;

	err = kernel_open(ctx->pin_dir, write, &kernel, &diag);
	if (err)
		return cmd_fail(ctx, err, &diag, NULL);
	if (!kernel_loaded(kernel)) {
		diag_fail(&diag, -ENOENT, NULL, "no policy is loaded in %s (see `weir help apply`)",
			  ctx->pin_dir);
		return cmd_fail(ctx, -ENOENT, &diag, NULL);
	}
	*ret = TAKE_PTR(kernel);
	return EXIT_DONE;
}

int running_outline(struct kernel *kernel, struct policy **ret, struct diag *diag)
{
	_cleanup_free_ char *text = NULL;
	int err;

	err = kernel_policy_text(kernel, -1, &text, diag);
	if (err)
		return err;
	return policy_parse_outline(text, strlen(text), "policy in force", ret, diag);
}

int running_policy(struct kernel *kernel, struct policy **ret, struct diag *diag)
{
	_cleanup_free_ char *text = NULL;
	int err;

	err = kernel_policy_text(kernel, -1, &text, diag);
	if (err)
		return err;
	return policy_parse_text(text, strlen(text), "policy in force", ret, diag);
}
