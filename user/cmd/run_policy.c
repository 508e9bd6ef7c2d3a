// SPDX-License-Identifier: GPL-2.0-only
/* weir run: files into force, at the beginning and whenever they or this host change. */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "cmd/confirmed.h"
#include "cmd/run.h"

/* ---- which files ---- */

struct paths {
	char **path;
	size_t n, capacity;
};

static void paths_clear(struct paths *paths)
{
	for (size_t i = 0; i < paths->n; i++)
		free(paths->path[i]);
	free(paths->path);
	*paths = (struct paths){};
}
#define _cleanup_paths_ _cleanup_(paths_clear)

static void paths_add(struct paths *paths, const char *path)
{
	char *copy;

	if (mem_grow(&paths->path, paths->n, &paths->capacity, sizeof(*paths->path)))
		return;
	copy = strdup(path);
	if (copy)
		paths->path[paths->n++] = copy;
}

/* The files of the command line, else those of /etc/weir in name order. */
static struct paths policy_files(const struct run *run)
{
	struct paths ret = {};
	glob_t found = {0};

	for (size_t i = 0; i < run->nr_given; i++)
		paths_add(&ret, run->given[i]);
	if (ret.n)
		return ret;
	if (glob(DEFAULT_FILES, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			paths_add(&ret, found.gl_pathv[i]);
	globfree(&found);
	if (access(DEFAULT_FILE, F_OK) == 0)
		paths_add(&ret, DEFAULT_FILE);
	return ret;
}

static int add_list(void *paths, struct item *item)
{
	if (item->kind == ITEM_FILE)
		paths_add(paths, item->name);
	return 0;
}

/* @also: a file that an error names, which may be a list that is missing; NULL for none. */
static void follow_files(struct run *run, const struct policy *policy, const char *also)
{
	_cleanup_paths_ struct paths paths = policy_files(run);

	if (!run->nr_given) {
		paths_add(&paths, DEFAULT_DIR "/");
		paths_add(&paths, DEFAULT_FILE);
	}
	if (policy || run->policy)
		policy_each_item(policy ? policy : run->policy, add_list, &paths);
	if (also)
		paths_add(&paths, also);
	if (watch_files_set(run->files, (const char *const *)paths.path, paths.n))
		log_line(LOG_ERR, "policy files cannot be followed: out of memory");
}

/* ---- putting a policy in force ---- */

static void still_alive(void *arg, const char *step)
{
	if (notify_watchdog_ns())
		notify_state("WATCHDOG=1");
}

static const char *holds(const struct run *run, char *text, size_t size)
{
	if (run->generation)
		snprintf(text, size, "policy not applied, generation %u still in force",
			 run->generation);
	else
		snprintf(text, size, "policy not applied, none is in force");
	return text;
}

int run_put_in_force(struct run *run, const struct policy *policy, const struct tables *tables,
		     const struct environment *env, __u32 expect, struct diag *diag)
{
	const struct apply_options how = {.progress = still_alive, .expect_generation = expect};
	_cleanup_kernel_ struct kernel *kernel = NULL;
	struct apply_result result = {};
	int err;

	err = kernel_open(run->ctx->pin_dir, true, &kernel, diag);
	if (err == -EBUSY) /* a command that takes long */
		err = -EAGAIN;
	if (!err)
		err = kernel_apply(kernel, policy, tables, env, &how, &result, diag);
	if (err)
		return err;
	run->generation = result.generation;
	run->loaded = true;
	memcpy(run->running, policy->sha256, sizeof(run->running));
	run_look(run);
	log_line(LOG_NOTICE, "generation %u in force: %u interfaces, %u workloads closed, %llu ms",
		 result.generation, result.attached, result.closed,
		 (unsigned long long)(result.total_ns / MS));
	return 0;
}

static int put_in_force(struct run *run, struct loaded *loaded, struct diag *diag)
{
	int err = run_put_in_force(run, loaded->policy, loaded->tables, &loaded->env, 0, diag);

	if (err)
		return err;
	run_compiled_for(run, loaded->policy, &loaded->env);
	return 0;
}

static void save_copy(struct run *run, const struct policy *policy)
{
	_cleanup_diag_ struct diag diag = {};
	int err = confirmed_save(run->ctx->pin_dir, policy, &diag);

	run_say(LOG_WARNING, err, &diag, "this policy is not kept for the next start");
}

/* Read the files. Returns 0; else it was said, with what still holds, and the files stay followed. */
static int read_files(struct run *run, struct loaded *ret)
{
	const struct load_how how = {.resolve = run_names_resolve, .arg = run};
	_cleanup_paths_ struct paths paths = policy_files(run);
	_cleanup_diag_ struct diag diag = {};
	char text[128];
	int err = -ENOENT;

	if (paths.n)
		err = loaded_read((const char *const *)paths.path, paths.n, &how, ret, &diag);
	else
		diag_fail(&diag, err, NULL, "no policy file: neither %s nor %s", DEFAULT_FILES,
			  DEFAULT_FILE);
	if (!err && ret->failed) {
		for (size_t i = 0; i < ret->policy->nr_tests; i++)
			if (!ret->tests[i].passed)
				log_line(LOG_ERR, "%s", ret->tests[i].text);
		err = diag_fail(&diag, -EINVAL, NULL, "%zu of the policy's %zu tests failed",
				ret->failed, ret->policy->nr_tests);
	}
	follow_files(run, ret->policy, diag.at.file);
	run_say(LOG_ERR, err, &diag, err ? holds(run, text, sizeof(text)) : NULL);
	if (err) {
		run_names_drop(run);
		loaded_clear(ret);
	}
	return err;
}

/* The policy of @loaded is ours from now on, and in force. */
static void adopt(struct run *run, struct loaded *loaded)
{
	if (run->policy)
		policy_free(run->policy);
	run->policy = TAKE_PTR(loaded->policy);
	run_names_adopt(run);
	run_configure_reader(run);
}

static int apply_files(struct run *run, struct loaded *loaded)
{
	_cleanup_diag_ struct diag diag = {};
	char text[128];
	int err = put_in_force(run, loaded, &diag);

	run->waits_trial = err == -EINPROGRESS;
	run->waits_link = err == -ENODEV;
	run->waits_lock = err == -EAGAIN;
	run_say(LOG_ERR, err, &diag, err ? holds(run, text, sizeof(text)) : NULL);
	if (err) {
		run_names_drop(run);
		return err;
	}
	save_copy(run, loaded->policy);
	adopt(run, loaded);
	return 0;
}

void run_reload(struct run *run)
{
	_cleanup_loaded_ struct loaded loaded = {};
	bool forced = run->forced_reload;
	struct fingerprint fresh;

	run->reload_ns = 0;
	run->waits_lock = false;
	run->forced_reload = false;
	run_look(run);
	if (run->trial) {
		if (!run->waits_trial)
			log_line(LOG_NOTICE,
				 "policy files changed; they wait until the trial of "
				 "generation %u ends",
				 run->generation);
		run->waits_trial = true;
		return;
	}
	if (read_files(run, &loaded))
		return;
	fresh = fingerprint_of(loaded.policy, &loaded.env);
	if (fingerprint_same(&fresh, &run->applied.fingerprint) && run_holds(run, loaded.policy)) {
		if (forced)
			log_line(LOG_NOTICE, "policy files say what is in force, generation %u",
				 run->generation);
		run_keep_host(run, loaded.policy, &loaded.env);
		adopt(run, &loaded);
		run->names_ns = mono_ns(); /* answers may be others by now */
		return;
	}
	apply_files(run, &loaded);
	run_start_reader(run);
}

static int compile_again(struct run *run, const struct policy *policy, struct loaded *with,
			 struct diag *diag)
{
	_cleanup_diag_ struct diag aside = {};
	int err = tables_build(policy, &with->env, &with->tables, diag);

	if (!err)
		err = run_keep_places(run, policy, with->tables, diag);
	if (err)
		return err;
	log_line(LOG_NOTICE, "addresses, names, forwarding or lists changed: compiling again");
	err = run_put_in_force(run, policy, with->tables, &with->env, run->generation, diag);
	if (err)
		return err;
	run_compiled_for(run, policy, &with->env);
	run_names_units(run);
	run_say(LOG_WARNING, confirmed_refresh(run->ctx->pin_dir, policy, &aside), &aside, NULL);
	return 0;
}

/* Addresses or forwarding may have changed: the policy in force is compiled again where it depends on them. */
void run_recompile(struct run *run)
{
	_cleanup_loaded_ struct loaded with = {};
	_cleanup_diag_ struct diag diag = {};
	const struct policy *policy;
	struct fingerprint fresh;
	char text[128];
	int err;

	run->waits_recompile = run->trial;
	if (run->trial || !run->loaded)
		return;
	err = run_policy_in_force(run, &policy, &diag);
	if (!err)
		err = environment_read(&with.env, &diag);
	if (!err) {
		fresh = fingerprint_of(policy, &with.env);
		if (run->env_known && fingerprint_same(&fresh, &run->applied.fingerprint)) {
			run_keep_host(run, policy, &with.env);
			return;
		}
	}
	if (!err && run->names)
		err = names_fill(run->names, &with.env);
	if (!err)
		err = compile_again(run, policy, &with, &diag);
	if (err == -ESTALE) { /* a command was faster: see what it put there */
		run->tick_ns = mono_ns();
		return;
	}
	if (!err || !run->said_recompile)
		run_say(LOG_ERR, err, &diag, err ? holds(run, text, sizeof(text)) : NULL);
	run->said_recompile = err != 0;
	if (err) {
		run->environment_ns = mono_ns() + NS;
		return;
	}
	run->waits_names = false;
	run->names_ns = 0;
	run_configure_reader(run);
}

/* ---- the beginning ---- */

static void report_choice(enum confirmed_choice choice, const struct confirmed_state *state,
			  const struct run *run, const __u8 *files)
{
	bool rejected = !files;
	const char *why = rejected ? "the files are rejected"
			  : state->other_boot
			      ? "before the last reboot a policy was on trial, and not confirmed"
			      : "the files hold a version that was not confirmed";

	if (choice == CHOOSE_FILES && state->path[0] && !run->loaded &&
	    memcmp(state->sha256, files, sizeof(state->sha256)) != 0)
		log_line(LOG_NOTICE, "the files are not what was applied last; they apply");
	if (choice == CHOOSE_COPY)
		log_line(LOG_WARNING, "%s: the last confirmed policy applies (%s)", why,
			 state->path);
	else if (choice == CHOOSE_NONE)
		log_line(LOG_ERR, "%s, and no confirmed policy was kept: nothing to apply", why);
	else if (choice == CHOOSE_RUNNING && run->trial)
		log_line(LOG_NOTICE, "picked up generation %u, on trial", run->generation);
	else if (choice == CHOOSE_RUNNING && (rejected || state->refused))
		log_line(LOG_WARNING, "%s: generation %u stays in force", why, run->generation);
	else if (choice == CHOOSE_RUNNING)
		log_line(LOG_NOTICE, "picked up generation %u, already in force", run->generation);
}

/* The copy is in canonical form, which may be longer than a file may be. */
static int read_copy(struct run *run, const char *path, struct loaded *ret, struct diag *diag)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t room = 0;
	ssize_t len = file ? getdelim(&text, &room, '\0', file) : -1;
	int err;

	if (len < 0)
		return diag_fail(diag, -EIO, NULL, "%s: cannot be read", path);
	err = policy_parse_text(text, len, path, &ret->policy, diag);
	err = err ? err : environment_read(&ret->env, diag);
	err = err ? err : run_names_resolve(run, ret->policy, &ret->env, diag);
	return err ? err : tables_build(ret->policy, &ret->env, &ret->tables, diag);
}

static int apply_copy(struct run *run, const struct confirmed_state *state, const __u8 *files)
{
	_cleanup_loaded_ struct loaded loaded = {};
	_cleanup_diag_ struct diag diag = {};
	int err = read_copy(run, state->path, &loaded, &diag);

	err = err ? err : put_in_force(run, &loaded, &diag);
	run->waits_link = err == -ENODEV;
	run_say(LOG_ERR, err, &diag, err ? "the confirmed policy is not applied" : NULL);
	diag_reset(&diag);
	/* From now on, only a change of the files (or a command) ends this. */
	if (!err && files)
		run_say(LOG_WARNING, confirmed_refuse(run->ctx->pin_dir, files, &diag), &diag,
			NULL);
	if (!err)
		adopt(run, &loaded);
	return err;
}

/* In force already. Lists, addresses and names may have changed while nobody looked. */
static void picked_up(struct run *run, struct loaded *loaded)
{
	_cleanup_(environment_free) struct environment env = {};
	enum compiled compiled = COMPILED_FOR_ANOTHER;
	_cleanup_diag_ struct diag diag = {};
	const struct policy *policy;
	int err;

	if (loaded->policy && run_holds(run, loaded->policy))
		adopt(run, loaded);
	err = run_policy_in_force(run, &policy, &diag);
	err = err ? err : environment_read(&env, &diag);
	if (!err && policy != run->policy) {
		err = run_names_resolve(run, policy, &env, &diag);
		if (!err)
			run_names_adopt(run);
	} else if (!err && run->names) {
		err = names_fill(run->names, &env);
	}
	if (!err)
		compiled = run_pick_up(run, policy, &env);
	if (compiled == COMPILED &&
	    (!!(run->flags & WEIR_CFG_FORWARDING4) != run->env.forwarding4 ||
	     !!(run->flags & WEIR_CFG_FORWARDING6) != run->env.forwarding6))
		compiled = COMPILED_FOR_ANOTHER;
	if (compiled == COMPILED_FOR_ANOTHER)
		run->env_known = false;
	run_say(LOG_ERR, err, &diag, err ? "what is in force is not followed yet" : NULL);
	run_set_right(run, compiled);
}

static int read_state(struct run *run, struct confirmed_state *ret)
{
	_cleanup_diag_ struct diag diag = {};
	int err = confirmed_read(run->ctx->pin_dir, ret, &diag);

	run_say(LOG_WARNING, err, &diag, NULL);
	diag_reset(&diag);
	if (!err && ret->trial && !ret->other_boot && !run->trial) {
		confirmed_expire(run->ctx->pin_dir, &diag);
		ret->trial = false;
	}
	return err;
}

/* Put the right policy in force. Returns an exit status, or -EAGAIN: an interface is missing yet. */
int run_begin(struct run *run)
{
	_cleanup_loaded_ struct loaded loaded = {};
	struct confirmed_state state = {};
	enum confirmed_choice choice;
	const __u8 *files;
	int err;

	err = run_look(run);
	if (err && err != -ENOENT)
		return EXIT_FAILED;
	files = read_files(run, &loaded) ? NULL : loaded.policy->sha256;
	read_state(run, &state);
	choice = confirmed_choose(&state, files, run->loaded ? run->running : NULL, run->trial);
	report_choice(choice, &state, run, files);
	err = 0;
	if (choice == CHOOSE_FILES)
		err = apply_files(run, &loaded);
	else if (choice == CHOOSE_COPY)
		err = apply_copy(run, &state, files);
	else if (choice == CHOOSE_RUNNING)
		picked_up(run, &loaded);
	else
		return EXIT_REJECTED;
	if (err == -ENODEV)
		return -EAGAIN;
	if (err)
		return run->loaded ? EXIT_DONE : loaded_rejected(err) ? EXIT_REJECTED : EXIT_FAILED;
	return EXIT_DONE;
}
