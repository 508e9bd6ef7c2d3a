// SPDX-License-Identifier: GPL-2.0-only
/* weir run: what the kernel has in force, and the thread that reads its events. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit/paths.h"
#include "cmd/confirmed.h"
#include "cmd/run.h"

#define DRAIN_MS 80 /* the ring is drained at least each 100 ms */

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

/* The policy in force: ours, or, where a command put another there, that in *@other. */
int run_policy_in_force(struct run *run, struct policy **other, const struct policy **ret,
			struct diag *diag)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	int err;

	*ret = run->policy;
	if (run_holds(run, run->policy))
		return 0;
	err = kernel_open(run->ctx->pin_dir, false, &kernel, diag);
	if (!err)
		err = running_policy(kernel, other, diag);
	*ret = *other;
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

/* For the next daemon: which fingerprint has this generation of the programs with this seed? */
void run_remember_applied(const struct run *run)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[PATH_MAX];

	if (path_run(run->ctx->pin_dir, "applied", path, sizeof(path)))
		return;
	file = fopen(path, "we");
	if (!file)
		return;
	fprintf(file, "%llx %u ", (unsigned long long)run->seed, run->generation);
	for (size_t i = 0; i < sizeof(run->applied.byte); i++)
		fprintf(file, "%02x", run->applied.byte[i]);
	fprintf(file, "\n");
}

bool run_recall_applied(struct run *run)
{
	_cleanup_fclose_ FILE *file = NULL;
	struct fingerprint found;
	char path[PATH_MAX];
	unsigned long long seed;
	__u32 generation;
	unsigned int byte;

	if (path_run(run->ctx->pin_dir, "applied", path, sizeof(path)))
		return false;
	file = fopen(path, "re");
	if (!file || fscanf(file, "%llx %u ", &seed, &generation) != 2 || seed != run->seed ||
	    generation != run->generation)
		return false;
	for (size_t i = 0; i < sizeof(found.byte); i++) {
		if (fscanf(file, "%2x", &byte) != 1)
			return false;
		found.byte[i] = byte;
	}
	run->applied = found;
	return true;
}

/* A command has just put a policy in force: it was compiled for this host as it is now. */
static void note_compiled(struct run *run)
{
	_cleanup_policy_ struct policy *other = NULL;
	_cleanup_diag_ struct diag diag = {};
	struct environment env = {};
	const struct policy *policy;

	run->applied = (struct fingerprint){};
	if (!run->loaded || run_policy_in_force(run, &other, &policy, &diag))
		return;
	if (environment_read(&env, &diag) == 0)
		run->applied = fingerprint_of(policy, &env);
	environment_free(&env);
	run_remember_applied(run);
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
		note_compiled(run);
	if (!run->trial && run->waits_recompile) {
		run->applied = (struct fingerprint){};
		run->environment_ns = mono_ns();
		run->waits_recompile = false;
	}
	run_configure_reader(run);
}

/* A NIC that was renamed is no longer the one that the policy names: nobody judges there. */
static void look_for_missing(struct run *run, const struct kernel_status *status)
{
	size_t n = 0;

	for (size_t i = 0; i < status->nr_interfaces; i++) {
		if (status->interface[i].ifindex)
			continue;
		if (++n > run->nr_missing)
			log_line(
			    LOG_WARNING,
			    "there is no interface \"%s\" any more: renamed or removed, it is not judged",
			    status->interface[i].name);
	}
	run->nr_missing = n;
}

/* Look at the kernel. Returns 0; -ENOENT: no programs are loaded. */
int run_look(struct run *run)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_diag_ struct diag diag = {};
	struct kernel_status status = {};
	int err;

	err = kernel_open(run->ctx->pin_dir, false, &kernel, &diag);
	if (!err && !kernel_loaded(kernel))
		err = -ENOENT;
	if (!err)
		err = kernel_status(kernel, &status, &diag);
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
	run->closed = false;
	for (size_t i = 0; i < status.nr_interfaces; i++)
		run->closed |= status.interface[i].workload && status.interface[i].closed;
	look_for_missing(run, &status);
	if (status.generation != run->generation || status.trial != run->trial)
		state_changed(run, &status);
	kernel_status_clear(&status);
	return 0;
}
