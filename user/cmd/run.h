/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of weir run share. */
#ifndef WEIR_CMD_RUN_H
#define WEIR_CMD_RUN_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "audit/reader.h"
#include "cmd/applied.h"
#include "cmd/fingerprint.h"
#include "cmd/load.h"
#include "cmd/naming.h"
#include "cmd/notify.h"
#include "cmd/term.h"
#include "cmd/watch.h"

#define NS	      1000000000ULL
#define MS	      1000000ULL
#define CLOSED_NS     (200 * MS) /* until the first look for addresses of closed workloads */
#define DEFAULT_DIR   "/etc/weir/policy.d"
#define DEFAULT_FILES DEFAULT_DIR "/*.yaml"
#define DEFAULT_FILE  "/etc/weir/policy.yaml"

/**
 * struct link_set - a few interfaces, each with the time (CLOCK_MONOTONIC) until which it belongs there.
 * @bound: it has a binding since it came here, and waits for nobody's word
 */
struct link_set {
	struct waiting_link {
		__u32 ifindex;
		bool bound;
		__u64 until_ns;
	} * link;
	size_t n, capacity;
};

/** struct names_work - how long a change of names took, and what it cost. All 0: none yet. */
struct names_work {
	__u64 at_ns;	  /* CLOCK_REALTIME of the last one */
	__u64 latency_ns; /* from the first word of it to the tables in force */
	__u64 work_ns;	  /* processor time: reading answers, compiling, writing, binding */
	__u64 total_ns;	  /* processor time for all of them, and for following interfaces */
	__u64 written;	  /* bytes of tables that it changed; 0: they had to grow */
	__u64 updates;	  /* how many there were */
};

struct run {
	struct cmd_context *ctx;
	struct kernel *kernel; /* run_open() */
	char **given;	       /* FILE... of the command line */
	size_t nr_given;

	/* What we put in force last, or picked up; NULL before the first. */
	struct policy *policy;
	/* What a command put there instead, as read back; NULL: not read yet. */
	struct policy *other;
	__u8 other_running[32]; /* .running when that was read */
	struct applied applied; /* what is in force was compiled for; zero: not known */
	/*
	 * What the policy in force was compiled for: this host, and what followed names stand for in its tables. Who may be
	 * bound is judged by this, never by newer answers: nobody is opened before the tables know him.
	 */
	struct environment env;
	bool env_known;
	bool
	    needs_links; /* it depends on interfaces or their addresses: `on`, {interface: ...}, services */

	/* As the kernel said when last asked. */
	__u32 generation;
	bool loaded, trial, closed;
	bool detached; /* by a command: this daemon ends */
	__u64 blocks, seed;
	__u32 flags;		   /* WEIR_CFG_* */
	__u32 attacked;		   /* bit i: entry i of `protect:` was when last asked */
	__u32 attacked_generation; /* of the policy whose entries these are */
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
	__u64 unfollowed_ns;	 /* interfaces changed then, and are not followed yet */
	bool links_all;		 /* not only those in @later are to be followed */
	struct link_set later;	 /* changes that open nothing */
	struct link_set waiting; /* workloads without a binding, and links too new to tell */
	size_t nr_missing;	 /* NICs that the policy names and that are not there */
	bool said_look;		 /* the kernel's state cannot be read */
	bool forced_reload;	 /* SIGHUP */
	bool waits_recompile;	 /* addresses changed while a trial was pending */

	/* Names that the policy in force follows; NULL: none. @next: of a version that is being tried. */
	struct followed *names, *names_next;
	__u64 names_ns;	  /* tables are to be made for new answers then */
	__u64 change_ns;  /* first word of a change that is not in force yet */
	__u64 change_cpu; /* spent on it */
	bool waits_names; /* answers changed while a trial was pending */
	bool said_names;  /* tables cannot be made for new answers */
	int said_engine;  /* 1: connected, -1: not; 0: nothing was said */
	char **failing;	  /* names that cannot be resolved, as they were logged */
	size_t nr_failing, failing_capacity;
	struct names_work work;

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

/**
 * run_open() - run->kernel, as it is now, for a small change or a look; kernel_suspend() when that is done, also after an
 * error. Never while it is in use.
 */
static inline int run_open(struct run *run, bool write, struct diag *diag)
{
	return kernel_resume(run->ctx->pin_dir, write, &run->kernel, diag);
}

/** run_say() - log warnings, and an error (@err not 0) with what still holds. */
void run_say(int priority, int err, const struct diag *diag, const char *holds);

/* ---- run_state.c ---- */

/** run_holds() - is @policy (NULL: no) the one in force? */
bool run_holds(const struct run *run, const struct policy *policy);

/** run_policy_in_force() - ours, or, where a command put another there, that; it stays the daemon's. */
int run_policy_in_force(struct run *run, const struct policy **ret, struct diag *diag);

/**
 * run_keep_places() - where @policy was read back from the kernel, the names and places of its rules are in @tables as the
 * slot in force has them.
 */
int run_keep_places(struct run *run, const struct policy *policy, struct tables *tables,
		    struct diag *diag);

/** run_look() - look at the kernel, note what has changed. Returns 0; -ENOENT: no programs are loaded; -errno. */
int run_look(struct run *run);

/**
 * run_compiled_for() - the policy in force, @policy, was compiled for @env, which is taken over (NULL: for what run->env
 * holds). run_keep_host(): it would be compiled alike for the host that @env is; of names, run->env stays.
 */
void run_compiled_for(struct run *run, const struct policy *policy, struct environment *env);
void run_keep_host(struct run *run, const struct policy *policy, struct environment *env);

/**
 * run_pick_up() - is @policy, which is in force, compiled for @env? That is taken over where it is, or has to do during
 * a trial. run_set_right(): make it so, now, before anybody is bound.
 */
enum compiled { COMPILED, COMPILED_FOR_OTHER_NAMES, COMPILED_FOR_ANOTHER };
enum compiled run_pick_up(struct run *run, const struct policy *policy, struct environment *env);
void run_set_right(struct run *run, enum compiled compiled);

/** run_start_reader() - become the reader of events, unless we are; what prevents it is said once. */
void run_start_reader(struct run *run);
void run_stop_reader(struct run *run);

/** run_configure_reader() - events go where the policy in force says. */
void run_configure_reader(struct run *run);

/* ---- run_links.c ---- */

/** run_who() - who may be bound, for the kernel layer; NULL: everybody. */
const struct environment *run_who(const struct run *run);

/** run_read_links() - messages about interfaces: what opens something is followed now, the rest soon. */
void run_read_links(struct run *run);

/** run_follow_all() - all interfaces. run_follow_due(): what was put off. run_look_for_closed(): what waits. */
void run_follow_all(struct run *run);
void run_follow_due(struct run *run);
void run_look_for_closed(struct run *run);

/** run_waits() - this interface may be a workload that waits for a binding, for the next @for_ns. */
void run_waits(struct run *run, __u32 ifindex, __u64 for_ns);
/** run_bind_waiting() - after run_open(): open those that .env now allows. Returns 0 or -errno. */
int run_bind_waiting(struct run *run, struct diag *diag);
void run_links_clear(struct run *run);

/* ---- run_names.c ---- */

/**
 * run_names_resolve() - names of a version of the policy that is to be put in force, in run->names_next; a struct
 * load_how.resolve with the struct run. run_names_adopt(): that version is in force. run_names_drop(): it is not.
 */
int run_names_resolve(void *arg, const struct policy *policy, struct environment *env,
		      struct diag *diag);
void run_names_adopt(struct run *run);
void run_names_drop(struct run *run);

/** run_names_fd() - to be polled; -1: nothing is followed. run_names_read(): it is readable. */
int run_names_fd(const struct run *run);
void run_names_read(struct run *run);

/** run_names_update() - tables for the answers of now, then bindings for those who waited for them. */
void run_names_update(struct run *run);

/** run_names_units() - which cgroups are of which unit, where the policy in force asks for it. */
void run_names_units(struct run *run);

/** run_names_report() - what weir status shows of a running daemon, in /run/weir. */
void run_names_report(const struct run *run);
void run_names_clear(struct run *run);

/* ---- run_protect.c ---- */

/** run_say_attacks() - log what has changed about protected services; @status: by kernel_glance(). */
void run_say_attacks(struct run *run, const struct kernel_status *status);

/* ---- run_policy.c ---- */

/**
 * run_put_in_force() - by kernel_apply().
 * @expect: generation that this is a new version of (-ESTALE: another is in force); 0: replaces whatever there is
 * -EAGAIN: another change is under way; other errors as kernel_apply().
 */
int run_put_in_force(struct run *run, const struct policy *policy, const struct tables *tables,
		     const struct environment *env, __u32 expect, struct diag *diag);

/** run_begin() - put the right policy in force. Returns an exit status, or -EAGAIN: an interface is missing yet. */
int run_begin(struct run *run);

/** run_reload() - the files may have changed: apply them, unless they say what is in force, or a trial is pending. */
void run_reload(struct run *run);

/** run_recompile() - compile the policy in force again where something else that it depends on has changed. */
void run_recompile(struct run *run);

#endif
