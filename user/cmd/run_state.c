// SPDX-License-Identifier: GPL-2.0-only
/* weir run: what the kernel has in force, and the thread that reads its events. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/confirmed.h"
#include "cmd/run.h"

#define DRAIN_MS	 80	  /* the ring is drained at least each 100 ms */
#define CLOSED_LISTED_NS (3 * NS) /* until it is listed again, or not */

void run_say(int priority, int err, const struct diag *diag, const char *holds)
{
	char text[1600];

	for (size_t i = 0; i < diag->nr_warnings; i++)
		log_line(LOG_WARNING, "%s", diag->warnings[i]);
	if (err)
		log_line(priority, "%s%s%s",
			 diag->error[0] ? diag_text(diag, text, sizeof(text)) : strerror(-err),
			 holds ? "; " : "", holds ? holds : "");
}

/* ---- the reader's thread ---- */

static void report(void *arg, int priority, const char *text)
{
	log_line(priority, "%s", text);
}

static void *read_events(void *arg)
{
	struct run *run = arg;

	while (!run->stop) {
		int n = audit_reader_poll(run->reader, DRAIN_MS);

		run->heartbeat_ns = mono_ns();
		if (n < 0) {
			log_line(LOG_ERR, "the ring of events cannot be read: %s", strerror(-n));
			run->reader_failed = true;
			break;
		}
	}
	return NULL;
}

void run_stop_reader(struct run *run)
{
	if (run->thread_runs) {
		run->stop = true;
		pthread_join(run->thread, NULL);
		run->thread_runs = false;
		run->stop = false;
	}
	audit_reader_close(TAKE_PTR(run->reader));
}

bool run_holds(const struct run *run, const struct policy *policy)
{
	return policy && memcmp(policy->sha256, run->running, sizeof(run->running)) == 0;
}

/* Read back once: the lists that it names may be long. */
static int read_other(struct run *run, struct diag *diag)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	int err = kernel_open(run->ctx->pin_dir, false, &kernel, diag);

	if (run->other)
		policy_free(TAKE_PTR(run->other));
	if (!err)
		err = running_policy(kernel, &run->other, diag);
	memcpy(run->other_running, run->running, sizeof(run->running));
	if (!err) /* it is the version that the files made it */
		memcpy(run->other->sha256, run->running, sizeof(run->running));
	return err;
}

static void keep_places(struct tables *tables, const struct weir_rule *rule, struct weir_file *file,
			size_t nr_files)
{
	struct weir_config *config = tables->weir_cfg;

	for (size_t i = 0; i < config->nr_rules; i++) {
		struct weir_rule *fresh = &tables->weir_rule[i];

		memcpy(fresh->name, rule[i].name, sizeof(fresh->name));
		fresh->file = rule[i].file;
		fresh->line = rule[i].line;
		fresh->column = rule[i].column;
	}
	free(tables->weir_file);
	tables->weir_file = file;
	tables->nr_weir_file = nr_files;
	config->nr_files = (__u32)nr_files;
}

/* What was read back from the kernel has its places in that text; where rules stand is known to who read the files. */
int run_keep_places(struct run *run, const struct policy *policy, struct tables *tables,
		    struct diag *diag)
{
	_cleanup_free_ struct weir_rule *rule = NULL;
	_cleanup_free_ struct weir_file *file = NULL;
	size_t n = 0, nr_files = 0;
	int err;

	if (policy != run->other)
		return 0;
	err = run_open(run, false, diag);
	err = err ? err : kernel_rules(run->kernel, -1, &rule, &n, diag);
	err = err ? err : kernel_files(run->kernel, -1, (char(**)[256]) & file, &nr_files, diag);
	kernel_suspend(&run->kernel);
	if (!err && n == tables->weir_cfg->nr_rules && nr_files)
		keep_places(tables, rule, TAKE_PTR(file), nr_files);
	return err;
}

int run_policy_in_force(struct run *run, const struct policy **ret, struct diag *diag)
{
	int err = 0;

	if (run_holds(run, run->policy)) {
		*ret = run->policy;
		return 0;
	}
	if (!run->other || memcmp(run->other_running, run->running, sizeof(run->running)) != 0)
		err = read_other(run, diag);
	*ret = run->other;
	return err;
}

/* The policy in force says where events go. */
void run_configure_reader(struct run *run)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_policy_ struct policy *other = NULL;
	_cleanup_diag_ struct diag diag = {};
	int err = 0;

	if (!run->reader || !run->loaded)
		return;
	if (!run_holds(run, run->policy)) {
		err = kernel_open(run->ctx->pin_dir, false, &kernel, &diag);
		err = err ? err : running_outline(kernel, &other, &diag);
	}
	if (err)
		run_say(LOG_ERR, err, &diag, "events go where they went");
	else
		audit_reader_configure(run->reader, other ? &other->audit : &run->policy->audit);
	audit_reader_refresh(run->reader);
}

void run_start_reader(struct run *run)
{
	const struct audit_reader_options how = {
	    .pin_dir = run->ctx->pin_dir,
	    .serve = true,
	    .fd = STDOUT_FILENO,
	    .report = report,
	};
	_cleanup_diag_ struct diag diag = {};
	int err;

	if (run->reader || !run->loaded)
		return;
	err = audit_reader_open(&how, &run->reader, &diag);
	if (err) {
		if (!run->said_busy)
			run_say(LOG_ERR, err, &diag, "events are not recorded; trying again");
		run->said_busy = true;
		return;
	}
	if (run->said_busy)
		log_line(LOG_NOTICE, "events are recorded from here on");
	run->said_busy = false;
	run_configure_reader(run);
	run->heartbeat_ns = mono_ns();
	run->reader_failed = false;
	run->thread_runs = pthread_create(&run->thread, NULL, read_events, run) == 0;
	if (!run->thread_runs) {
		log_line(LOG_ERR, "no thread for the reader of events");
		run_stop_reader(run);
	}
}

/* ---- the state of the kernel ---- */

static int names_interface(void *arg, struct item *item)
{
	return item->kind == ITEM_INTERFACE;
}

static bool needs_links(const struct policy *policy)
{
	bool any = policy->nr_services || policy_each_item(policy, names_interface, NULL) != 0;

	for (size_t i = 0; i < policy->nr_rules; i++)
		any |= policy->rule[i].on.n != 0;
	for (size_t i = 0; i < policy->nr_limits; i++)
		any |= policy->limit[i].on.n != 0;
	return any;
}

static void take_env(struct run *run, struct environment *env)
{
	environment_free(&run->env);
	run->env = *env;
	*env = (struct environment){};
	run->env_known = true;
}

/* For the next daemon there is a note. */
void run_compiled_for(struct run *run, const struct policy *policy, struct environment *env)
{
	if (env)
		take_env(run, env);
	run->needs_links = needs_links(policy);
	run->applied = (struct applied){.seed = run->seed,
					.generation = run->generation,
					.fingerprint = fingerprint_of(policy, &run->env),
					.names = naming_digest(&run->env)};
	applied_write(run->ctx->pin_dir, &run->applied);
}

void run_keep_host(struct run *run, const struct policy *policy, struct environment *env)
{
	naming_swap(&run->env, env);
	take_env(run, env);
	run->needs_links = needs_links(policy);
}

/*
 * What the tables in force were compiled for is in the note of who put them there, and what that process was told of names
 * in the memory that these have. Without a note (after a rollback the tables are as old as their policy) only a policy
 * that depends on nothing else is known to be in force as it should be.
 */
enum compiled run_pick_up(struct run *run, const struct policy *policy, struct environment *env)
{
	struct fingerprint fresh = fingerprint_of(policy, env), names = naming_digest(env);
	struct applied noted;
	bool same, same_names;

	if (applied_read(run->ctx->pin_dir, run->seed, run->generation, &noted)) {
		same = fingerprint_same(&fresh, &noted.fingerprint);
		same_names = fingerprint_same(&names, &noted.names);
	} else {
		same = !fingerprint_needs_host(policy);
		same_names = !policy_follows(policy);
	}
	run->env_known = false;
	run->applied = (struct applied){};
	run->needs_links = needs_links(policy);
	if (same)
		run->applied.fingerprint = fresh;
	/* During a trial nothing can be compiled: where the tables know others than the engine does now, who is new waits. */
	environment_free(&run->env);
	if (same && same_names)
		take_env(run, env);
	return !same ? COMPILED_FOR_ANOTHER : same_names ? COMPILED : COMPILED_FOR_OTHER_NAMES;
}

void run_set_right(struct run *run, enum compiled compiled)
{
	if (compiled == COMPILED_FOR_ANOTHER)
		run_recompile(run);
	else if (compiled == COMPILED_FOR_OTHER_NAMES)
		run_names_update(run);
}

/* A command has put a policy in force. */
static void taken_over(struct run *run)
{
	_cleanup_(environment_free) struct environment env = {};
	enum compiled compiled = COMPILED_FOR_ANOTHER;
	_cleanup_diag_ struct diag diag = {};
	const struct policy *policy;
	int err;

	run->applied = (struct applied){};
	if (!run->loaded)
		return;
	err = run_policy_in_force(run, &policy, &diag);
	err = err ? err : environment_read(&env, &diag);
	err = err ? err : run_names_resolve(run, policy, &env, &diag);
	if (!err) {
		run_names_adopt(run);
		compiled = run_pick_up(run, policy, &env);
	}
	run_say(LOG_ERR, err, &diag, err ? "names are followed as before" : NULL);
	run_set_right(run, compiled);
}

static void trial_ended(struct run *run, const struct kernel_status *status)
{
	_cleanup_diag_ struct diag diag = {};

	if (status->generation == run->generation) {
		log_line(LOG_NOTICE, "generation %u is confirmed", status->generation);
	} else {
		log_line(LOG_WARNING,
			 "the trial of generation %u ended without confirmation; in force: "
			 "generation %u",
			 run->generation, status->generation);
		run_say(LOG_WARNING, confirmed_expire(run->ctx->pin_dir, &diag), &diag, NULL);
	}
	if (run->waits_trial)
		run->reload_ns = mono_ns();
	run->waits_trial = false;
}

static void state_changed(struct run *run, const struct kernel_status *status)
{
	bool other = status->generation != run->generation;

	if (run->ready && run->trial && !status->trial)
		trial_ended(run, status);
	else if (run->ready && other)
		log_line(LOG_NOTICE, "generation %u is in force%s, put there by a command",
			 status->generation, status->trial ? " on trial" : "");
	run->generation = status->generation;
	run->trial = status->trial;
	memcpy(run->running, status->config.sha256, sizeof(run->running));
	if (run->ready && other)
		taken_over(run);
	/* What waited for the end of a trial comes before anything that it would open. */
	if (!run->trial && run->waits_names)
		run_names_update(run);
	if (!run->trial && run->waits_recompile) {
		run->applied = (struct applied){};
		run->environment_ns = mono_ns();
		run->waits_recompile = false;
	}
	run_configure_reader(run);
}

static int note_closed(void *arg, __u32 ifindex)
{
	struct run *run = arg;

	run->closed = true;
	run_waits(run, ifindex, CLOSED_LISTED_NS);
	return 0;
}

struct missing {
	const struct run *run;
	size_t n;
};

/* A NIC that was renamed is no longer the one that the policy names: nobody judges there. */
static int say_missing(void *arg, const char *name)
{
	struct missing *missing = arg;

	if (++missing->n > missing->run->nr_missing)
		log_line(
		    LOG_WARNING,
		    "there is no interface \"%s\" any more: renamed or removed, it is not judged",
		    name);
	return 0;
}

static int look(struct run *run, struct kernel_status *ret, struct diag *diag)
{
	struct missing missing = {.run = run};
	int err = run_open(run, false, diag);

	if (!err && !kernel_loaded(run->kernel))
		err = -ENOENT;
	if (!err)
		err = kernel_glance(run->kernel, ret, diag);
	if (err)
		return err;
	run->closed = false;
	err = kernel_each_closed(run->kernel, note_closed, run);
	err = err ? err : kernel_each_missing(run->kernel, say_missing, &missing);
	run->nr_missing = missing.n;
	return err;
}

/* Look at the kernel. Returns 0; -ENOENT: no programs are loaded. */
int run_look(struct run *run)
{
	_cleanup_diag_ struct diag diag = {};
	struct kernel_status status;
	int err = look(run, &status, &diag);

	kernel_suspend(&run->kernel);
	if (err) {
		run->loaded &= err != -ENOENT;
		run_say(LOG_ERR, err == -ENOENT || run->said_look ? 0 : err, &diag, NULL);
		run->said_look = err != -ENOENT;
		return err;
	}
	run->said_look = false;
	run->loaded = status.generation != 0;
	run->flags = status.config.flags;
	run->blocks = status.control.blocks + status.control.autoblocks;
	run->seed = status.control.seed;
	if (status.generation != run->generation || status.trial != run->trial)
		state_changed(run, &status);
	run_say_attacks(run, &status);
	return 0;
}
