// SPDX-License-Identifier: GPL-2.0-only
/* weir run: followed names. Answers become tables, tables are followed by bindings; who stopped is withdrawn at once. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "cmd/following.h"
#include "cmd/run.h"

#define WAIT_BEGIN_MS \
	2000 /* at the start: an engine that runs answers in less, one that does not refuses at once */
#define WAIT_RELOAD_MS 1000 /* while the daemon follows other things as well */
#define MAX_READS \
	64 /* before tables are made: what is readable now, not what an engine may go on saying */

/* ---- versions of the policy, and their names ---- */

int run_names_resolve(void *arg, const struct policy *policy, struct environment *env,
		      struct diag *diag)
{
	struct run *run = arg;
	unsigned int wait_ms = run->ready ? WAIT_RELOAD_MS : WAIT_BEGIN_MS;
	_cleanup_diag_ struct diag aside = {};
	char text[1600];
	int err;

	run_names_drop(run);
	if (!policy_follows(policy))
		return 0;
	err = naming_open(run->ctx, &run->names_next, diag);
	err = err ? err
		  : naming_ask(run->names_next, policy, env, run->trial ? 0 : wait_ms, false, diag);
	/* A host that has never been resolved stops nobody here: at boot, the network comes after its filter. */
	if (!err && naming_judge(run->names_next, policy, &aside))
		log_line(LOG_WARNING, "%s", diag_text(&aside, text, sizeof(text)));
	run_say(LOG_WARNING, 0, &aside, NULL);
	return err;
}

/* Who stopped may not be bound again by the tables in force, though they still name him. */
static void forget(struct environment *env, const struct prefix *gone, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < env->nr_engine_addresses; i++) {
		bool is_gone = false;

		for (size_t j = 0; j < n && !is_gone; j++)
			is_gone = !prefix_compare(&env->engine_address[i], &gone[j]);
		if (!is_gone)
			env->engine_address[kept++] = env->engine_address[i];
	}
	env->nr_engine_addresses = kept;
}

static void withdraw(struct run *run)
{
	_cleanup_free_ struct prefix *gone = NULL;
	_cleanup_diag_ struct diag diag = {};
	size_t n = 0;
	int err = names_gone(run->names, &gone, &n);

	if (!err && !n)
		return;
	forget(&run->env, gone, n);
	if (!err)
		err = run_open(run, true, &diag);
	if (!err)
		err = kernel_withdraw(run->kernel, gone, n, &diag);
	kernel_suspend(&run->kernel);
	run_say(LOG_ERR, err, &diag, "addresses of stopped containers are not withdrawn");
}

void run_names_units(struct run *run)
{
	_cleanup_free_ __u64 *cgroup = NULL;
	_cleanup_free_ __u32 *unit = NULL;
	_cleanup_diag_ struct diag diag = {};
	size_t n = 0;
	int err = run->names ? names_units(run->names, &cgroup, &unit, &n) : 0;

	if (!run->loaded || !(run->flags & WEIR_CFG_UNITS))
		return;
	if (!err)
		err = run_open(run, true, &diag);
	if (!err)
		err = kernel_units(run->kernel, cgroup, unit, n, &diag);
	kernel_suspend(&run->kernel);
	run_say(LOG_ERR, err, &diag, "traffic of units is judged as it was");
}

void run_names_adopt(struct run *run)
{
	struct followed *old = run->names;

	if (run->names == run->names_next)
		return;
	run->names_ns = 0;
	run->waits_names = false;
	/* Who stopped meanwhile is known to the old connection alone. */
	if (old && names_dispatch(old) > 0)
		withdraw(run);
	run->names = TAKE_PTR(run->names_next);
	if (old) {
		names_read_only(old);
		names_close(old);
	}
	run_names_units(run);
	run_names_report(run);
}

void run_names_drop(struct run *run)
{
	if (!run->names_next)
		return;
	names_read_only(run->names_next);
	names_close(TAKE_PTR(run->names_next));
}

void run_names_clear(struct run *run)
{
	run_names_drop(run);
	if (run->names)
		names_close(TAKE_PTR(run->names));
	for (size_t i = 0; i < run->nr_failing; i++)
		free(run->failing[i]);
	free(run->failing);
}

/* ---- what is said ---- */

static bool is_failing(const struct run *run, const char *text, size_t *ret_index)
{
	for (size_t i = 0; i < run->nr_failing; i++)
		if (strcmp(run->failing[i], text) == 0) {
			*ret_index = i;
			return true;
		}
	return false;
}

/* Each failure is said once, and its end. */
static int say_name(void *arg, const struct name_state *state)
{
	struct run *run = arg;
	bool engines = state->kind != ITEM_NAME && state->kind != ITEM_UNIT;
	char text[512];
	size_t i = 0;
	bool failing;

	/* Of an engine that is gone, one line is enough; that a container stopped is no failure. */
	if (engines)
		return 0;
	text_followed(state->kind, state->name, text, sizeof(text));
	failing = is_failing(run, text, &i);
	if (!state->error == !failing)
		return 0;
	if (failing) {
		log_line(LOG_NOTICE, "%s is answered again", text);
		free(run->failing[i]);
		run->failing[i] = run->failing[--run->nr_failing];
		return 0;
	}
	log_line(LOG_WARNING, "%s: %s; %s", text, state->error,
		 state->kind == ITEM_NAME && state->known ? "the last answer stays"
							  : "it stands for nobody");
	if (!mem_grow(&run->failing, run->nr_failing, &run->failing_capacity,
		      sizeof(*run->failing))) {
		run->failing[run->nr_failing] = strdup(text);
		run->nr_failing += run->failing[run->nr_failing] != NULL;
	}
	return 0;
}

static void say_engine(struct run *run)
{
	struct engine_state engine = {};
	int now;

	names_engine(run->names, &engine);
	now = !engine.wanted ? 0 : engine.connected ? 1 : -1;
	if (now == run->said_engine)
		return;
	if (now < 0)
		log_line(LOG_WARNING, "the engine at %s: %s; what it said last stays in force",
			 engine.socket, engine.error ?: "gone");
	else if (now > 0 && run->said_engine < 0)
		log_line(LOG_NOTICE, "the engine at %s answers again", engine.socket);
	run->said_engine = now;
}

static void say(struct run *run)
{
	say_engine(run);
	names_each(run->names, say_name, run);
}

void run_names_report(const struct run *run)
{
	struct following following = {
	    .pid = (__u64)getpid(),
	    .updates = run->work.updates,
	    .at_ns = run->work.at_ns,
	    .latency_ns = run->work.latency_ns,
	    .work_ns = run->work.work_ns,
	    .total_ns = run->work.total_ns,
	    .written = run->work.written,
	};
	struct engine_state engine = {};

	if (run->names)
		names_engine(run->names, &engine);
	following.connected = engine.connected;
	following.since_ns = engine.since_ns;
	following.error = (char *)engine.error;
	following_write(run->ctx->pin_dir, &following);
}

/* ---- answers ---- */

int run_names_fd(const struct run *run)
{
	return run->names ? names_fd(run->names) : -1;
}

static bool readable(const struct run *run)
{
	struct pollfd fd = {.fd = names_fd(run->names), .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}

void run_names_read(struct run *run)
{
	__u64 begin = now_ns(CLOCK_THREAD_CPUTIME_ID), now = mono_ns();
	int found = 0, got = 0;

	if (!run->change_ns) {
		run->change_ns = now;
		run->change_cpu = 0;
	}
	for (int i = 0; i < MAX_READS && got >= 0; i++) {
		got = names_dispatch(run->names);
		found |= got > 0 ? got : 0;
		if (!readable(run))
			break;
	}
	if (got < 0)
		log_line(LOG_ERR, "names cannot be followed: %s", strerror(-got));
	if (found & NAMES_GONE && run->loaded)
		withdraw(run);
	if (found & NAMES_SAID)
		say(run);
	if (found & NAMES_CHANGED)
		run->names_ns = now;
	if (found & NAMES_UNITS && !run->names_ns)
		run_names_units(run);
	if (found & NAMES_SAID)
		run_names_report(run);
	begin = now_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
	run->change_cpu += begin;
	run->work.total_ns += begin;
	/* A word that led to no change, nor to a question, is none. */
	if (!run->names_ns && !run->waits_names && !names_asking(run->names))
		run->change_ns = 0;
}

/* ---- tables for them ---- */

static int update_open(struct run *run, const struct policy *policy, const struct tables *tables,
		       struct diag *diag)
{
	struct apply_result result = {};
	int err = kernel_update(run->kernel, policy, tables, &run->env, &result, diag);

	run->work.written = err ? 0 : result.written;
	if (err)
		return err;
	run->generation = result.generation;
	return run_bind_waiting(run, diag);
}

static int update(struct run *run, const struct policy *policy, const struct tables *tables,
		  struct diag *diag)
{
	int err = run_open(run, true, diag);

	if (!err)
		err = update_open(run, policy, tables, diag);
	kernel_suspend(&run->kernel);
	if (err != -E2BIG && err != -ESTALE)
		return err;
	/* No room in the tables; or something else is in force, which the generation tells. */
	diag_reset(diag);
	return run_put_in_force(run, policy, tables, &run->env, run->generation, diag);
}

/* With the new names in run->env. */
static int update_with(struct run *run, const struct policy *policy, struct diag *diag)
{
	struct tables *tables = NULL;
	int err = tables_build(policy, &run->env, &tables, diag);

	if (!err)
		err = run_keep_places(run, policy, tables, diag);
	if (!err)
		err = update(run, policy, tables, diag);
	if (tables)
		tables_free(tables);
	return err;
}

/* The tables know no other addresses than before, but the engine may have told of somebody whom no name stands for. */
static int only_bind(struct run *run, struct diag *diag)
{
	int err = 0;

	if (!run->waiting.n)
		return 0;
	err = run_open(run, true, diag);
	if (!err)
		err = run_bind_waiting(run, diag);
	kernel_suspend(&run->kernel);
	return err;
}

static void updated(struct run *run, const struct policy *policy)
{
	__u64 now = mono_ns();

	run->work.at_ns = now_ns(CLOCK_REALTIME);
	run->work.latency_ns = run->change_ns ? now - run->change_ns : 0;
	run->work.work_ns = run->change_cpu;
	run->work.updates++;
	log_line(LOG_INFO,
		 "names changed: generation %u in force after %llu.%03llu ms, %llu us of work",
		 run->generation, (unsigned long long)(run->work.latency_ns / MS),
		 (unsigned long long)(run->work.latency_ns % MS / 1000),
		 (unsigned long long)(run->work.work_ns / 1000));
	run_compiled_for(run, policy, NULL);
	run_names_units(run);
	run_names_report(run);
}

static void not_updated(struct run *run, int err, const struct diag *diag)
{
	run->names_ns = mono_ns() + NS;
	if (err == -ESTALE)
		run->tick_ns = mono_ns(); /* a command was faster: see what it put there */
	else if (!run->said_names)
		run_say(LOG_ERR, err, diag,
			"new answers are not in force, who waits for them stays closed");
	run->said_names |= err != -ESTALE;
}

/* Returns 1 when tables were written, 0 when nothing but bindings had to be done; -EINPROGRESS: a trial is pending. */
static int put_answers_in_force(struct run *run, const struct policy **ret, struct diag *diag)
{
	_cleanup_(environment_free) struct environment names = {};
	bool known = run->env_known, same;
	int err;

	if (run->trial && !known)
		return -EINPROGRESS;
	err = run_policy_in_force(run, ret, diag);
	if (!err && !known) {
		environment_free(&run->env);
		err = environment_read(&run->env, diag);
	}
	err = err ? err : names_fill(run->names, &names);
	if (err)
		return err;
	same = known && naming_same(&run->env, &names);
	if (run->trial && !same)
		return -EINPROGRESS;
	naming_swap(&run->env, &names);
	run->env_known = true;
	err = same ? only_bind(run, diag) : update_with(run, *ret, diag);
	if (err) { /* who may be bound is who the tables know */
		naming_swap(&run->env, &names);
		run->env_known = known;
	}
	return err ? err : !same;
}

void run_names_update(struct run *run)
{
	__u64 begin = now_ns(CLOCK_THREAD_CPUTIME_ID);
	_cleanup_diag_ struct diag diag = {};
	const struct policy *policy = NULL;
	int done;

	run->names_ns = 0;
	if (!run->names || !run->loaded)
		return;
	if (!run->change_ns ||
	    (run->waits_names && !run->trial)) { /* begins here, or began to wait */
		run->change_ns = mono_ns();
		run->change_cpu = 0;
	}
	done = put_answers_in_force(run, &policy, &diag);
	begin = now_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
	run->change_cpu += begin;
	run->work.total_ns += begin;
	run->waits_names = done == -EINPROGRESS;
	if (done < 0 && done != -EINPROGRESS) {
		not_updated(run, done, &diag);
		return;
	}
	run->said_names =
	    false; /* warnings were said when the policy came, and would be with each container */
	if (done > 0)
		updated(run, policy);
	run->change_ns = 0;
}
