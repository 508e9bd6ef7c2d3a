// SPDX-License-Identifier: GPL-2.0-only
/* weir run [FILE...]: the daemon. */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "audit/paths.h"
#include "audit/reader.h"
#include "cmd/confirmed.h"
#include "cmd/items.h"
#include "cmd/load.h"
#include "cmd/notify.h"
#include "cmd/term.h"
#include "cmd/watch.h"

#define NS	      1000000000ULL
#define MS	      1000000ULL
#define DRAIN_MS      80	 /* the ring is drained at least each 100 ms */
#define FILES_NS      (200 * MS) /* quiet time after an event before files are read */
#define LINKS_NS      (100 * MS) /* for changes that open nothing */
#define CLOSED_NS     (200 * MS) /* until the first look for addresses of closed workloads */
#define CLOSED_MAX_NS (5 * NS)	 /* between later ones */
#define TICK_NS	      NS	 /* state of the kernel, retries */
#define SLOW_TICK_NS  (10 * NS)	 /* sweeping blocks; looking where no event came */
#define HEARTBEAT_NS  (10 * NS)	 /* a reader that is silent for longer hangs */
#define DEFAULT_DIR   "/etc/weir/policy.d"
#define DEFAULT_FILES DEFAULT_DIR "/*.yaml"
#define DEFAULT_FILE  "/etc/weir/policy.yaml"

static __u64 opt_wait_ns;

static const struct cmd_option options[] = {
    {"wait", 0, "TIME", OPTION_DURATION, &opt_wait_ns,
     "at the start, wait so long for interfaces that the policy names"},
    {},
};

/** struct fingerprint - sha256 over all that a compiled policy depends on: text, lists, interfaces, forwarding. */
struct fingerprint {
	__u8 byte[32];
};

struct run {
	struct cmd_context *ctx;
	char **given; /* FILE... of the command line */
	size_t nr_given;

	/* What we put in force last, or picked up; NULL before the first. */
	struct policy *policy;
	struct fingerprint applied; /* of what we put in force last; zero: something else is */

	/* As the kernel said when last asked. */
	__u32 generation;
	bool loaded, trial, closed;
	__u64 blocks, seed;
	__u32 flags; /* WEIR_CFG_* */
	__u8 running[32];

	/* What is to be done, and when (CLOCK_MONOTONIC; 0: not). */
	__u64 reload_ns, links_ns, environment_ns, tick_ns, slow_tick_ns, closed_ns;
	__u64 closed_delay_ns;
	__u64 give_up_ns; /* the first apply waits for interfaces until then */
	bool ready;	  /* the first apply is done */
	bool waits_trial; /* files changed while a trial was pending */
	bool waits_link;  /* a version waits for an interface that is missing */
	bool said_busy;	  /* another reader has the ring */
	bool said_links;  /* links cannot be followed */
	bool said_recompile;
	bool said_look;	      /* the kernel's state cannot be read */
	bool forced_reload;   /* SIGHUP */
	bool waits_recompile; /* addresses changed while a trial was pending */

	struct watch_files *files;
	struct watch_links *links;
	int signals;

	struct audit_reader *reader;
	pthread_t thread;
	bool thread_runs;
	atomic_bool stop;
	atomic_bool reader_failed;
	atomic_ullong heartbeat_ns;
};

static __u64 mono_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

static void say(int priority, int err, const struct diag *diag, const char *holds)
{
	char text[1600];

	for (size_t i = 0; i < diag->nr_warnings; i++)
		log_line(LOG_WARNING, "%s", diag->warnings[i]);
	if (err)
		log_line(priority, "%s%s%s",
			 diag->error[0] ? diag_text(diag, text, sizeof(text)) : strerror(-err),
			 holds ? "; " : "", holds ? holds : "");
}

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

/* ---- what a compiled policy depends on ---- */

struct hashing {
	EVP_MD_CTX *hash;
	const struct environment *env;
	size_t item;
};

/* Of an item that leads elsewhere: what it leads to, and where in the policy that stands. */
static int hash_item(void *arg, struct item *item)
{
	struct hashing *to = arg;

	to->item++;
	if (item->kind != ITEM_FILE && item->kind != ITEM_INTERFACE)
		return 0;
	EVP_DigestUpdate(to->hash, &to->item, sizeof(to->item));
	if (item->kind == ITEM_FILE)
		EVP_DigestUpdate(to->hash, item->list, item->nr_list * sizeof(*item->list));
	for (size_t i = 0; item->kind == ITEM_INTERFACE && i < to->env->nr_interfaces; i++) {
		const struct env_interface *interface = &to->env->interface[i];

		if (strcmp(item->name, interface->name) == 0)
			EVP_DigestUpdate(to->hash, interface->address,
					 interface->nr_addresses * sizeof(*interface->address));
	}
	return 0;
}

/* `on` names interfaces, by pattern: which there are decides what a rule is about. */
static void hash_names(struct hashing *to, const struct names *on)
{
	for (size_t i = 0; i < on->n; i++)
		for (size_t j = 0; j < to->env->nr_interfaces; j++) {
			const struct env_interface *interface = &to->env->interface[j];

			if (fnmatch(on->name[i], interface->name, 0) != 0)
				continue;
			EVP_DigestUpdate(to->hash, interface->name, strlen(interface->name) + 1);
			EVP_DigestUpdate(to->hash, &interface->ifindex, sizeof(interface->ifindex));
		}
}

static bool depends_on_names(const struct policy *policy)
{
	bool any = false;

	for (size_t i = 0; i < policy->nr_rules; i++)
		any |= policy->rule[i].on.n != 0;
	for (size_t i = 0; i < policy->nr_limits; i++)
		any |= policy->limit[i].on.n != 0;
	return any;
}

/* The text in canonical form: what the kernel gives back has the fingerprint of the files that it came from. */
static struct fingerprint fingerprint_of(const struct policy *policy, const struct environment *env)
{
	struct hashing to = {.hash = EVP_MD_CTX_new(), .env = env};
	_cleanup_free_ char *text = NULL;
	struct fingerprint ret = {};

	if (to.hash && !policy_print(policy, &text) &&
	    EVP_DigestInit_ex(to.hash, EVP_sha256(), NULL)) {
		EVP_DigestUpdate(to.hash, text, strlen(text));
		EVP_DigestUpdate(to.hash, &env->forwarding4, sizeof(env->forwarding4));
		EVP_DigestUpdate(to.hash, &env->forwarding6, sizeof(env->forwarding6));
		policy_each_item(policy, hash_item, &to);
		for (size_t i = 0; i < policy->nr_rules; i++)
			hash_names(&to, &policy->rule[i].on);
		for (size_t i = 0; i < policy->nr_limits; i++)
			hash_names(&to, &policy->limit[i].on);
		EVP_DigestFinal_ex(to.hash, ret.byte, NULL);
	}
	EVP_MD_CTX_free(to.hash);
	return ret;
}

static bool same_fingerprint(const struct fingerprint *a, const struct fingerprint *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
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

static void stop_reader(struct run *run)
{
	if (run->thread_runs) {
		run->stop = true;
		pthread_join(run->thread, NULL);
		run->thread_runs = false;
		run->stop = false;
	}
	audit_reader_close(TAKE_PTR(run->reader));
}

static bool is_running(const struct run *run, const struct policy *policy)
{
	return policy && memcmp(policy->sha256, run->running, sizeof(run->running)) == 0;
}

/* The policy in force: ours, or, where a command put another there, that in *@other. */
static int policy_in_force(struct run *run, struct policy **other, const struct policy **ret,
			   struct diag *diag)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	int err;

	*ret = run->policy;
	if (is_running(run, run->policy))
		return 0;
	err = kernel_open(run->ctx->pin_dir, false, &kernel, diag);
	if (!err)
		err = running_policy(kernel, other, diag);
	*ret = *other;
	return err;
}

/* The policy in force says where events go. */
static void configure_reader(struct run *run)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_policy_ struct policy *other = NULL;
	_cleanup_diag_ struct diag diag = {};
	int err = 0;

	if (!run->reader || !run->loaded)
		return;
	if (!is_running(run, run->policy)) {
		err = kernel_open(run->ctx->pin_dir, false, &kernel, &diag);
		err = err ? err : running_outline(kernel, &other, &diag);
	}
	if (err)
		say(LOG_ERR, err, &diag, "events go where they went");
	else
		audit_reader_configure(run->reader, other ? &other->audit : &run->policy->audit);
	audit_reader_refresh(run->reader);
}

static void start_reader(struct run *run)
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
			say(LOG_ERR, err, &diag, "events are not recorded; trying again");
		run->said_busy = true;
		return;
	}
	if (run->said_busy)
		log_line(LOG_NOTICE, "events are recorded from here on");
	run->said_busy = false;
	configure_reader(run);
	run->heartbeat_ns = mono_ns();
	run->reader_failed = false;
	run->thread_runs = pthread_create(&run->thread, NULL, read_events, run) == 0;
	if (!run->thread_runs) {
		log_line(LOG_ERR, "no thread for the reader of events");
		stop_reader(run);
	}
}

/* ---- the state of the kernel ---- */

/* For the next daemon: which fingerprint has this generation of the programs with this seed? */
static void remember_applied(const struct run *run)
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

/* A command has just put a policy in force: it was compiled for this host as it is now. */
static void note_compiled(struct run *run)
{
	_cleanup_policy_ struct policy *other = NULL;
	_cleanup_diag_ struct diag diag = {};
	struct environment env = {};
	const struct policy *policy;

	run->applied = (struct fingerprint){};
	if (!run->loaded || policy_in_force(run, &other, &policy, &diag))
		return;
	if (environment_read(&env, &diag) == 0)
		run->applied = fingerprint_of(policy, &env);
	environment_free(&env);
	remember_applied(run);
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
		say(LOG_WARNING, confirmed_expire(run->ctx->pin_dir, &diag), &diag, NULL);
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
	configure_reader(run);
}

/* Look at the kernel. Returns 0; -ENOENT: no programs are loaded. */
static int look(struct run *run)
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
		say(LOG_ERR, err == -ENOENT || run->said_look ? 0 : err, &diag, NULL);
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
	if (status.generation != run->generation || status.trial != run->trial)
		state_changed(run, &status);
	kernel_status_clear(&status);
	return 0;
}

/* ---- putting a policy in force ---- */

static bool recall_applied(struct run *run)
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

static int put_in_force(struct run *run, const struct loaded *loaded, struct diag *diag)
{
	const struct apply_options how = {.progress = still_alive};
	_cleanup_kernel_ struct kernel *kernel = NULL;
	struct apply_result result = {};
	int err;

	err = kernel_open(run->ctx->pin_dir, true, &kernel, diag);
	if (!err)
		err = kernel_apply(kernel, loaded->policy, loaded->tables, &loaded->env, &how,
				   &result, diag);
	if (err)
		return err;
	run->generation = result.generation;
	run->loaded = true;
	run->applied = fingerprint_of(loaded->policy, &loaded->env);
	memcpy(run->running, loaded->policy->sha256, sizeof(run->running));
	look(run);
	remember_applied(run);
	log_line(LOG_NOTICE, "generation %u in force: %u interfaces, %u workloads closed, %llu ms",
		 result.generation, result.attached, result.closed,
		 (unsigned long long)(result.total_ns / MS));
	return 0;
}

static void save_copy(struct run *run, const struct policy *policy)
{
	_cleanup_diag_ struct diag diag = {};
	int err = confirmed_save(run->ctx->pin_dir, policy, &diag);

	say(LOG_WARNING, err, &diag, "this policy is not kept for the next start");
}

/* Read the files. Returns 0; else it was said, with what still holds, and the files stay followed. */
static int read_files(struct run *run, struct loaded *ret)
{
	_cleanup_paths_ struct paths paths = policy_files(run);
	_cleanup_diag_ struct diag diag = {};
	char text[128];
	int err = -ENOENT;

	if (paths.n)
		err = loaded_read((const char *const *)paths.path, paths.n, ret, &diag);
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
	say(LOG_ERR, err, &diag, err ? holds(run, text, sizeof(text)) : NULL);
	if (err)
		loaded_clear(ret);
	return err;
}

/* The policy of @loaded is ours from now on. */
static void adopt(struct run *run, struct loaded *loaded)
{
	if (run->policy)
		policy_free(run->policy);
	run->policy = TAKE_PTR(loaded->policy);
	configure_reader(run);
}

static int apply_files(struct run *run, struct loaded *loaded)
{
	_cleanup_diag_ struct diag diag = {};
	char text[128];
	int err = put_in_force(run, loaded, &diag);

	run->waits_trial = err == -EINPROGRESS;
	run->waits_link = err == -ENODEV;
	say(LOG_ERR, err, &diag, err ? holds(run, text, sizeof(text)) : NULL);
	if (err)
		return err;
	save_copy(run, loaded->policy);
	adopt(run, loaded);
	return 0;
}

static void reload(struct run *run)
{
	_cleanup_loaded_ struct loaded loaded = {};
	bool forced = run->forced_reload;
	struct fingerprint fresh;

	run->reload_ns = 0;
	run->forced_reload = false;
	look(run);
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
	if (same_fingerprint(&fresh, &run->applied) && is_running(run, loaded.policy)) {
		if (forced)
			log_line(LOG_NOTICE, "policy files say what is in force, generation %u",
				 run->generation);
		adopt(run, &loaded);
		return;
	}
	apply_files(run, &loaded);
	start_reader(run);
}

static int compile_again(struct run *run, const struct policy *policy, struct loaded *with,
			 struct diag *diag)
{
	struct loaded view = {.policy = (struct policy *)policy, .env = with->env};
	int err = tables_build(policy, &with->env, &with->tables, diag);

	if (err)
		return err;
	view.tables = with->tables;
	log_line(LOG_NOTICE, "addresses, forwarding or lists changed: compiling again");
	err = put_in_force(run, &view, diag);
	if (!err)
		save_copy(run, policy);
	return err;
}

/* Addresses or forwarding may have changed: the policy in force is compiled again where it depends on them. */
static void recompile(struct run *run)
{
	_cleanup_policy_ struct policy *other = NULL;
	_cleanup_loaded_ struct loaded with = {};
	_cleanup_diag_ struct diag diag = {};
	const struct policy *policy;
	struct fingerprint fresh;
	char text[128];
	int err;

	run->waits_recompile = run->trial;
	if (run->trial || !run->loaded)
		return;
	err = policy_in_force(run, &other, &policy, &diag);
	if (!err)
		err = environment_read(&with.env, &diag);
	if (!err) {
		fresh = fingerprint_of(policy, &with.env);
		if (same_fingerprint(&fresh, &run->applied))
			return;
		err = compile_again(run, policy, &with, &diag);
	}
	if (!err || !run->said_recompile)
		say(LOG_ERR, err, &diag, err ? holds(run, text, sizeof(text)) : NULL);
	run->said_recompile = err != 0;
	if (!err)
		configure_reader(run);
}

/* ---- links ---- */

static void follow_links(struct run *run)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_diag_ struct diag diag = {};
	unsigned int changes = 0;
	__u64 window_ns = 0;
	int err;

	run->links_ns = 0;
	if (!run->loaded)
		return;
	err = kernel_open(run->ctx->pin_dir, true, &kernel, &diag);
	if (!err)
		err = kernel_follow_links(kernel, &changes, &window_ns, &diag);
	if (!err || !run->said_links)
		say(LOG_ERR, err, &diag, err ? "interfaces are not followed; trying again" : NULL);
	if (!err && run->said_links)
		log_line(LOG_NOTICE, "interfaces are followed again");
	run->said_links = err != 0;
	if (err)
		run->links_ns = mono_ns() + NS;
	if (window_ns)
		log_line(LOG_INFO,
			 "interfaces: %u changes, longest time without a hook %llu.%03llu ms",
			 changes, (unsigned long long)(window_ns / MS),
			 (unsigned long long)(window_ns % MS / 1000));
}

static void read_links(struct run *run)
{
	unsigned int found = watch_links_read(run->links);
	__u64 now = mono_ns();

	if (found & (LINKS_ADDRESSES | LINKS_LOST))
		run->environment_ns = run->environment_ns ?: now + LINKS_NS;
	if (found & (LINKS_CHANGED | LINKS_ADDRESSES))
		run->links_ns = run->links_ns ?: now + LINKS_NS;
	if (found & (LINKS_URGENT | LINKS_LOST) && run->waits_link)
		run->reload_ns = run->reload_ns ?: now + LINKS_NS;
	/* A workload's first packets wait for nobody. */
	if (found & (LINKS_URGENT | LINKS_LOST)) {
		follow_links(run);
		run->closed_delay_ns = CLOSED_NS;
		run->closed_ns = now + CLOSED_NS;
		run->environment_ns = run->environment_ns ?: now + LINKS_NS;
	}
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
static int read_copy(const char *path, struct loaded *ret, struct diag *diag)
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
	return err ? err : tables_build(ret->policy, &ret->env, &ret->tables, diag);
}

static int apply_copy(struct run *run, const struct confirmed_state *state, const __u8 *files)
{
	_cleanup_loaded_ struct loaded loaded = {};
	_cleanup_diag_ struct diag diag = {};
	int err = read_copy(state->path, &loaded, &diag);

	err = err ? err : put_in_force(run, &loaded, &diag);
	run->waits_link = err == -ENODEV;
	say(LOG_ERR, err, &diag, err ? "the confirmed policy is not applied" : NULL);
	diag_reset(&diag);
	/* From now on, only a change of the files (or a command) ends this. */
	if (!err && files)
		say(LOG_WARNING, confirmed_refuse(run->ctx->pin_dir, files, &diag), &diag, NULL);
	if (!err)
		adopt(run, &loaded);
	return err;
}

/* Does more than its text decide what it says? */
static int leads_elsewhere(void *arg, struct item *item)
{
	return item->kind == ITEM_FILE || item->kind == ITEM_INTERFACE;
}

/* In force already. Lists and addresses may have changed while nobody looked: then it is compiled again. */
static void picked_up(struct run *run, struct loaded *loaded)
{
	bool routes4 = run->flags & WEIR_CFG_FORWARDING4;
	bool routes6 = run->flags & WEIR_CFG_FORWARDING6;
	_cleanup_policy_ struct policy *other = NULL;
	_cleanup_diag_ struct diag diag = {};
	struct environment env = {};
	const struct policy *policy;

	if (is_running(run, loaded->policy))
		adopt(run, loaded);
	if (!recall_applied(run) && !policy_in_force(run, &other, &policy, &diag) &&
	    !policy_each_item(policy, leads_elsewhere, NULL) && !depends_on_names(policy) &&
	    !environment_read(&env, &diag) && routes4 == env.forwarding4 &&
	    routes6 == env.forwarding6)
		run->applied = fingerprint_of(policy, &env);
	environment_free(&env);
	run->environment_ns = mono_ns();
}

static int read_state(struct run *run, struct confirmed_state *ret)
{
	_cleanup_diag_ struct diag diag = {};
	int err = confirmed_read(run->ctx->pin_dir, ret, &diag);

	say(LOG_WARNING, err, &diag, NULL);
	diag_reset(&diag);
	if (!err && ret->trial && !ret->other_boot && !run->trial) {
		confirmed_expire(run->ctx->pin_dir, &diag);
		ret->trial = false;
	}
	return err;
}

/* Put the right policy in force. Returns an exit status, or -EAGAIN: an interface is missing yet. */
static int begin(struct run *run)
{
	_cleanup_loaded_ struct loaded loaded = {};
	struct confirmed_state state = {};
	enum confirmed_choice choice;
	const __u8 *files;
	int err;

	err = look(run);
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

static void become_ready(struct run *run)
{
	run->ready = true;
	run->reload_ns = 0;
	look(run);
	start_reader(run);
	follow_links(run);
	notify_state("READY=1\nSTATUS=generation %u in force", run->generation);
}

/* Returns an exit status, or -EAGAIN to go on. */
static int try_begin(struct run *run)
{
	int status = begin(run);

	if (status == EXIT_DONE) {
		become_ready(run);
		return -EAGAIN;
	}
	if (status != -EAGAIN)
		return status;
	run->reload_ns = 0;
	if (run->loaded) { /* what is in force goes on, the new version waits for its interface */
		become_ready(run);
		return -EAGAIN;
	}
	if (mono_ns() >= run->give_up_ns)
		return EXIT_FAILED;
	notify_state("STATUS=waiting for an interface");
	return -EAGAIN;
}

/* ---- what comes round ---- */

static void beat(struct run *run)
{
	static __u64 last_ns;
	__u64 interval_ns = notify_watchdog_ns(), now = mono_ns();

	if (!interval_ns || now - last_ns < interval_ns / 2)
		return;
	if (run->thread_runs && now - run->heartbeat_ns > HEARTBEAT_NS)
		return; /* the reader hangs: let the service manager see it */
	last_ns = now;
	notify_state("WATCHDOG=1");
}

static void sweep(struct run *run)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_diag_ struct diag diag = {};
	size_t removed = 0;
	int err;

	if (!run->blocks)
		return;
	err = kernel_open(run->ctx->pin_dir, true, &kernel, &diag);
	if (!err)
		err = kernel_sweep(kernel, &removed, &diag);
	say(LOG_WARNING, err, &diag, NULL);
	if (removed)
		log_line(LOG_INFO, "%zu expired blocks removed", removed);
}

/* `weir detach`, or detach and a new apply: the maps that we read are nobody's any more. Returns -EAGAIN to go on. */
static int check_detached(struct run *run)
{
	__u64 seed = run->seed;

	if (look(run) == -ENOENT) {
		log_line(LOG_NOTICE, "detached by a command: nothing is left to do");
		return EXIT_DONE;
	}
	if (seed && run->seed && seed != run->seed) {
		log_line(LOG_NOTICE, "programs were loaded anew by a command");
		stop_reader(run);
	}
	return -EAGAIN;
}

static int tick(struct run *run)
{
	__u64 now = mono_ns();
	int status;

	run->tick_ns = now + TICK_NS;
	if (!run->ready)
		return run->waits_link && now < run->give_up_ns ? -EAGAIN : try_begin(run);
	status = check_detached(run);
	if (status != -EAGAIN)
		return status;
	if (run->reader_failed)
		stop_reader(run);
	start_reader(run);
	if (run->closed)
		run->closed_ns = run->closed_ns ?: now + run->closed_delay_ns;
	if (now < run->slow_tick_ns)
		return -EAGAIN;
	run->slow_tick_ns = now + SLOW_TICK_NS;
	sweep(run);
	run->links_ns = run->links_ns ?: now;
	run->environment_ns = run->environment_ns ?: now;
	if (watch_files_changed(run->files))
		run->reload_ns = run->reload_ns ?: now;
	return -EAGAIN;
}

static int read_signal(struct run *run)
{
	struct signalfd_siginfo info;

	if (read(run->signals, &info, sizeof(info)) != sizeof(info))
		return -EAGAIN;
	if (info.ssi_signo != SIGHUP)
		return EXIT_DONE;
	if (run->ready) {
		notify_reloading();
		run->forced_reload = true;
		if (run->reader)
			audit_reader_reopen(run->reader);
		watch_files_changed(run->files);
		reload(run);
		notify_state("READY=1\nSTATUS=generation %u in force", run->generation);
	}
	return -EAGAIN;
}

static bool due(__u64 *when_ns, __u64 now)
{
	if (!*when_ns || now < *when_ns)
		return false;
	*when_ns = 0;
	return true;
}

static int run_due(struct run *run)
{
	__u64 now = mono_ns();

	if (run->ready && due(&run->reload_ns, now))
		reload(run);
	else if (!run->ready && due(&run->reload_ns, now)) {
		int status = try_begin(run);

		if (status != -EAGAIN)
			return status;
	}
	if (run->ready && due(&run->environment_ns, now))
		recompile(run);
	if (run->ready && due(&run->links_ns, now))
		follow_links(run);
	if (run->ready && due(&run->closed_ns, now) && run->closed) {
		follow_links(run);
		if (run->closed_delay_ns < CLOSED_MAX_NS)
			run->closed_delay_ns *= 2;
	}
	return due(&run->tick_ns, now) ? tick(run) : -EAGAIN;
}

static int next_timeout_ms(const struct run *run)
{
	const __u64 when[] = {run->reload_ns, run->links_ns, run->environment_ns, run->tick_ns,
			      run->closed_ns};
	__u64 now = mono_ns(), next = now + TICK_NS;

	for (size_t i = 0; i < ARRAY_SIZE(when); i++)
		if (when[i] && when[i] < next)
			next = when[i];
	return next <= now ? 0 : (next - now + MS - 1) / MS;
}

static int loop(struct run *run)
{
	int status = try_begin(run);

	while (status == -EAGAIN) {
		struct pollfd ready[] = {
		    {.fd = run->signals, .events = POLLIN},
		    {.fd = watch_files_fd(run->files), .events = POLLIN},
		    {.fd = watch_links_fd(run->links), .events = POLLIN},
		};

		beat(run);
		if (poll(ready, ARRAY_SIZE(ready), next_timeout_ms(run)) < 0 && errno != EINTR)
			return EXIT_FAILED;
		if (ready[2].revents)
			read_links(run);
		/* Each event puts it off again: a file is read when its writer has been quiet. */
		if (ready[1].revents && watch_files_read(run->files) &&
		    watch_files_changed(run->files))
			run->reload_ns = mono_ns() + FILES_NS;
		status = ready[0].revents ? read_signal(run) : -EAGAIN;
		if (status == -EAGAIN)
			status = run_due(run);
	}
	return status;
}

/* ---- one instance ---- */

static int lock_instance(struct cmd_context *ctx, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX], text[32] = "";
	int err = path_run(ctx->pin_dir, "run", path, sizeof(path));
	char *slash = err ? NULL : strrchr(path, '/');

	if (slash) {
		*slash = '\0';
		mkdir(path, 0750);
		*slash = '/';
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		err = fd < 0 ? -errno : 0;
	}
	if (!err && flock(fd, LOCK_EX | LOCK_NB) < 0)
		err = -errno;
	if (err == -EWOULDBLOCK) {
		(void)!read(fd, text, sizeof(text) - 1);
		text[strcspn(text, "\n")] = '\0';
		cmd_error("weir run (pid %s) already serves %s", text[0] ? text : "unknown",
			  ctx->pin_dir);
		return EXIT_FAILED;
	}
	if (err) {
		cmd_error("%s: %s", path, strerror(-err));
		return EXIT_FAILED;
	}
	snprintf(text, sizeof(text), "%d\n", getpid());
	if (ftruncate(fd, 0) < 0 || write(fd, text, strlen(text)) < 0)
		cmd_warn("%s: %s", path, strerror(errno));
	*ret_fd = TAKE_FD(fd);
	return EXIT_DONE;
}

static int open_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int open_watches(struct run *run)
{
	_cleanup_diag_ struct diag diag = {};
	int err = watch_files_open(&run->files, &diag);

	if (!err)
		err = watch_links_open(&run->links, &diag);
	if (!err) {
		run->signals = open_signals();
		err = run->signals < 0 ? -errno : 0;
	}
	return err ? cmd_fail(run->ctx, err, &diag, NULL) : EXIT_DONE;
}

static void finish(struct run *run)
{
	notify_state("STOPPING=1");
	stop_reader(run);
	watch_files_close(run->files);
	watch_links_close(run->links);
	if (run->signals >= 0)
		close(run->signals);
	if (run->policy)
		policy_free(run->policy);
}

static int cmd_run(struct cmd_context *ctx, int argc, char **argv)
{
	struct run run = {
	    .ctx = ctx,
	    .given = argv + 1,
	    .nr_given = argc - 1,
	    .signals = -1,
	    .give_up_ns = mono_ns() + opt_wait_ns,
	    .tick_ns = mono_ns() + TICK_NS,
	    .slow_tick_ns = mono_ns() + SLOW_TICK_NS,
	    .closed_delay_ns = CLOSED_NS,
	};
	_cleanup_close_ int lock = -1;
	int status;

	for (size_t i = 0; i < run.nr_given; i++)
		if (strcmp(run.given[i], "-") == 0)
			return usage_error(&command_run, "standard input cannot be followed");
	status = lock_instance(ctx, &lock);
	if (status == EXIT_DONE)
		status = open_watches(&run);
	if (status == EXIT_DONE)
		status = loop(&run);
	if (run.ready && run.loaded)
		log_line(LOG_NOTICE, "ending; generation %u stays in force", run.generation);
	finish(&run);
	return status;
}

const struct command command_run = {
    .name = "run",
    .summary = "daemon: apply, follow files and interfaces, keep the audit",
    .usage = "[FILE...] [--wait TIME]",
    .help =
	"Puts the policy in force, or picks it up where it already is, and stays: files (and the\n"
	"lists that they read) that change are applied, a version with an error is reported and the\n"
	"one in force stays; new workloads get their hooks, addresses and forwarding are followed;\n"
	"refused packets go to the audit file of the policy, or as JSON lines to standard output\n"
	"when it names none; expired blocks are swept. Without FILE: " DEFAULT_FILES "\n"
	"in name order, then " DEFAULT_FILE ".\n\n"
	"  weir run policy.yaml          also in a terminal; Ctrl-C ends it\n"
	"  systemctl start weir          at boot, before the network is up\n\n"
	"SIGHUP reads the files again and reopens the audit file; SIGTERM ends. Enforcement is in\n"
	"the kernel and goes on without the daemon. While a trial is pending, changes of files\n"
	"wait. After a reboot during a trial, the last confirmed policy applies.\n\n"
	"Exit status: 0 ended by a signal or `weir detach`; 3 the policy is rejected and none is in\n"
	"force; 1 anything else.",
    .options = options,
    .run = cmd_run,
};
