/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of weir run share. */
#ifndef WEIR_CMD_RUN_H
#define WEIR_CMD_RUN_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "audit/reader.h"
#include "cmd/fingerprint.h"
#include "cmd/load.h"
#include "cmd/notify.h"
#include "cmd/term.h"
#include "cmd/watch.h"

#define NS	      1000000000ULL
#define MS	      1000000ULL
#define DEFAULT_DIR   "/etc/weir/policy.d"
#define DEFAULT_FILES DEFAULT_DIR "/*.yaml"
#define DEFAULT_FILE  "/etc/weir/policy.yaml"

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
	bool waits_lock;  /* a version waits for a command that changes the kernel's state */
	bool said_busy;	  /* another reader has the ring */
	bool said_links;  /* links cannot be followed */
	bool said_recompile;
	__u64 unfollowed_ns;  /* interfaces changed then, and are not followed yet */
	size_t nr_missing;    /* NICs that the policy names and that are not there */
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

static inline __u64 mono_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

/** run_say() - log warnings, and an error (@err not 0) with what still holds. */
void run_say(int priority, int err, const struct diag *diag, const char *holds);

/* ---- run_state.c ---- */

/** run_holds() - is @policy (NULL: no) the one in force? */
bool run_holds(const struct run *run, const struct policy *policy);

/** run_policy_in_force() - ours, or, where a command put another there, that, which then is in *@other as well. */
int run_policy_in_force(struct run *run, struct policy **other, const struct policy **ret,
			struct diag *diag);

/** run_look() - look at the kernel, note what has changed. Returns 0; -ENOENT: no programs are loaded; -errno. */
int run_look(struct run *run);

/* A fingerprint outlives the daemon in /run/weir, for the programs and the generation that it belongs to. */
void run_remember_applied(const struct run *run);
bool run_recall_applied(struct run *run);

/** run_start_reader() - become the reader of events, unless we are; what prevents it is said once. */
void run_start_reader(struct run *run);
void run_stop_reader(struct run *run);

/** run_configure_reader() - events go where the policy in force says. */
void run_configure_reader(struct run *run);

/* ---- run_policy.c ---- */

/** run_begin() - put the right policy in force. Returns an exit status, or -EAGAIN: an interface is missing yet. */
int run_begin(struct run *run);

/** run_reload() - the files may have changed: apply them, unless they say what is in force, or a trial is pending. */
void run_reload(struct run *run);

/** run_recompile() - compile the policy in force again where something else that it depends on has changed. */
void run_recompile(struct run *run);

#endif
