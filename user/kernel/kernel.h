/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Load, pin, attach, swap, read back: the only folder that includes <bpf/...>.
 *
 * A pin directory is one weir: /sys/fs/bpf/weir for the initial network namespace, /sys/fs/bpf/weir/NAME with
 * --netns NAME, or what --pin-dir says. It holds maps/, progs/ and links/ and is the whole state: who opens it, works, and
 * forgets it has missed nothing.
 */
#ifndef WEIR_KERNEL_KERNEL_H
#define WEIR_KERNEL_KERNEL_H

#include <stdbool.h>

#include "base/diag.h"
#include "compile/compile.h"
#include "policy/model.h"
#include "weir/event.h"
#include "weir/reason.h"
#include "weir/tables.h"

struct kernel; /* an opened pin directory */

/**
 * kernel_open() - open what is pinned in @pin_dir; mounts bpffs at /sys/fs/bpf when it is not there.
 * @write: takes the directory's lock (flock on a file in /run/weir) for a change; waits up to 10 s.
 *
 * Returns 0 also when nothing is pinned yet (kernel_loaded() is false then). -EPERM: no privilege (@diag names the
 * capability); -EBUSY: another change is under way; -EBADMSG: pins of another version or of another owner.
 */
int kernel_open(const char *pin_dir, bool write, struct kernel **ret, struct diag *diag);
/** kernel_open_foreign() - for kernel_detach() alone: pins of another version, which kernel_open() refuses. */
int kernel_open_foreign(const char *pin_dir, struct kernel **ret, struct diag *diag);
void kernel_close(struct kernel *kernel);

/**
 * kernel_resume() - kernel_open() for who makes many small changes: *@kernel (NULL: none yet) is what kernel_suspend() left,
 * and is opened again only where other maps or programs are pinned by now. On an error it is closed, and NULL.
 * kernel_suspend() - until then: the lock is free, and nothing is known of what others do.
 */
int kernel_resume(const char *pin_dir, bool write, struct kernel **kernel, struct diag *diag);
void kernel_suspend(struct kernel **kernel);
bool kernel_loaded(const struct kernel *kernel);

struct apply_options {
	__u64 confirm_ms; /* trial: fall back after this time unless confirmed; 0: final at once */
	__u32
	    expect_generation; /* refuse (-ESTALE) unless this is the running one; 0: whatever runs */
	bool fake_clock;       /* tests only: programs read weir_control.fake_ns */
	void (*progress)(void *arg, const char *step);
	void *progress_arg;
};

struct apply_result {
	__u32 generation;
	bool reloaded;		       /* programs were replaced (tables had to grow) */
	unsigned int attached, closed; /* interfaces with a hook; workloads without a binding */
	__u64 compile_ns, fill_ns, total_ns;
	size_t written; /* by kernel_update(): bytes of tables that differed */
};

/**
 * kernel_apply() - fill the idle slot, read it back, attach to the interfaces that the policy names, flip.
 *
 * Order: idle slot filled and verified -> interfaces attached -> word flipped -> interfaces no longer named detached
 * -> grace. The running policy judges until the flip. On any error it stays in force, whole, and @diag says so.
 * -EINPROGRESS: a trial is pending; -ESTALE: expect_generation; -ENODEV: an interface named without a pattern is
 * missing; -EBUSY: an interface has another XDP program (named); -EOPNOTSUPP: a feature the kernel lacks, by name.
 */
int kernel_apply(struct kernel *kernel, const struct policy *policy, const struct tables *tables,
		 const struct environment *env, const struct apply_options *options,
		 struct apply_result *ret, struct diag *diag);

/** kernel_confirm() - end a trial, keep the new policy. -ENOENT: no trial is pending (it may have fallen back). */
int kernel_confirm(struct kernel *kernel, __u32 *ret_generation, struct diag *diag);

/**
 * kernel_rollback() - go back to the policy before, trial or not. -ENOENT: the other slot holds none, or one that was
 * gone back from already (by rollback or by a trial's end).
 */
int kernel_rollback(struct kernel *kernel, __u32 *ret_generation, struct diag *diag);

/** kernel_detach() - remove every trace: hooks, links, pins, namespace ids that weir gave. */
int kernel_detach(struct kernel *kernel, struct diag *diag);

/**
 * kernel_update() - the policy in force with other addresses behind its followed names: no new programs, no hooks, only
 * what differs is written, to the idle slot, then the word flips to a new generation.
 * @policy: must have the rules and limits of the one in force; @tables: compiled from it and @env
 *
 * The slot that is left holds the same policy with addresses of before: nothing to go back to, so kernel_rollback() has
 * none until the next kernel_apply().
 *
 * -E2BIG: the tables have no room for it (kernel_apply() makes some); -EINPROGRESS: a trial is pending; -ESTALE: another
 * policy is in force; others as kernel_apply(). The grace period of the slot is waited for by the next change, not here.
 */
int kernel_update(struct kernel *kernel, const struct policy *policy, const struct tables *tables,
		  const struct environment *env, struct apply_result *ret, struct diag *diag);

/* ---- following the host (weir run; also done once by kernel_apply) ---- */

/** kernel_bind_as_is - for who does not know what the engine said when the tables were made: nobody is bound anew. */
extern const struct environment kernel_bind_as_is;

/**
 * kernel_follow_link() - kernel_follow_links() for the one interface that a message was about: its hooks, its entry, its
 * binding, and its bridge's guard. The work does not grow with the number of interfaces.
 * @env: who may be bound (environment_may_bind()); NULL: everybody
 */
int kernel_follow_link(struct kernel *kernel, __u32 ifindex, const struct environment *env,
		       unsigned int *ret_changes, __u64 *ret_window_ns, struct diag *diag);

/**
 * kernel_bind() - bindings again, after the engine told who containers are: workloads that waited are opened, those
 * whose address environment_may_bind() no longer allows are closed. @ifindex 0: all of them.
 */
int kernel_bind(struct kernel *kernel, const struct environment *env, __u32 ifindex,
		unsigned int *ret_changes, struct diag *diag);

/**
 * kernel_withdraw() - the workload that had @address stopped: until the tables no longer name it, or somebody is bound
 * to it again, nothing to or from it passes (WEIR_LOCAL_GONE). One write; also during a trial. kernel_update() and
 * kernel_apply() remove such marks once both slots are without the address.
 */
int kernel_withdraw(struct kernel *kernel, const struct prefix *address, size_t n,
		    struct diag *diag);

/** kernel_units() - which cgroups are of which unit (weir_unit), replacing what was there. */
int kernel_units(struct kernel *kernel, const __u64 *cgroup, const __u32 *unit, size_t n,
		 struct diag *diag);

/**
 * kernel_follow_links() - attach to interfaces that now match the policy in force, drop what is gone, refresh weir_iface
 * and the bindings and self addresses in weir_local. Idempotent.
 * @env: as for kernel_follow_link()
 * @ret_changes: number of changes made; @ret_window_ns: longest time between an interface's creation being noticed and
 * its hook being in place, 0 when none was attached.
 */
int kernel_follow_links(struct kernel *kernel, const struct environment *env,
			unsigned int *ret_changes, __u64 *ret_window_ns, struct diag *diag);

/* ---- state, for status and show ---- */

#define SYSCTL_VALUE_LEN   32
#define KERNEL_MAX_SYSCTLS 8

/** struct sysctl_status - a setting that weir changed for a policy. @key: of the policy; @now: as it is, "?": not readable */
struct sysctl_status {
	const char *name, *value, *key;
	char now[SYSCTL_VALUE_LEN], was[SYSCTL_VALUE_LEN];
};

/** struct protect_status - a service that SYN cookies protect, in the order of `protect:`. */
struct protect_status {
	struct weir_protect protect;
	struct weir_cookie state;
	bool attacked; /* every SYN is answered with a cookie now */
};

enum interface_role { INTERFACE_NIC, INTERFACE_WORKLOAD, INTERFACE_BRIDGE };

struct interface_status {
	char name[16];
	__u32 ifindex;		  /* 0: the policy names it, but there is none of that name */
	enum interface_role role; /* a bridge: one of workloads, which its hooks guard */
	bool workload;
	bool attached;
	bool closed;	  /* workload without a binding */
	const char *hook; /* "xdp+tcx", "tcx", "xdp+clsact", "clsact" */
	const char *xdp;  /* "native", "generic", "off" */
	bool metadata;	  /* XDP can mark for TC; false: TC judges */
	__u8 antispoof;	  /* enum weir_antispoof, of the policy in force */
};

struct kernel_status {
	__u32 generation; /* as the word says now, a passed deadline included */
	unsigned int slot;
	bool monitor;
	bool trial;
	__u64 deadline_boot_ms;	   /* of CLOCK_BOOTTIME, when trial */
	__u32 previous_generation; /* in the other slot, 0: none */
	struct weir_config config; /* of the slot that judges */
	char (*file)[256];	   /* config.nr_files */
	struct interface_status *interface;
	size_t nr_interfaces;
	struct weir_books books; /* summed over CPUs */
	struct weir_reader reader;
	struct weir_count reason[WEIR_NR_REASONS];
	struct weir_count home[WEIR_NR_HOMES];
	struct weir_control control;
	size_t overflow_in_use; /* overflow entries with a live TAT */
	struct protect_status protect[WEIR_MAX_PROTECTS];
	size_t nr_protects;
	struct sysctl_status sysctl[KERNEL_MAX_SYSCTLS];
	size_t nr_sysctls;
	__u64 now_ns; /* of the clock that .protect is told by */
};
int kernel_status(struct kernel *kernel, struct kernel_status *ret, struct diag *diag);
/**
 * kernel_glance() - of kernel_status() what costs the same with any number of interfaces: the word, .config, .control and
 * .protect; the rest is 0, and there is nothing to clear.
 */
int kernel_glance(struct kernel *kernel, struct kernel_status *ret, struct diag *diag);
/** kernel_is_bound() - a workload with a binding. */
bool kernel_is_bound(const struct kernel *kernel, __u32 ifindex);
/** kernel_each_closed() - workloads without a binding. @each returns 0 to go on, else the walk stops and returns that. */
int kernel_each_closed(struct kernel *kernel, int (*each)(void *arg, __u32 ifindex), void *arg);
/** kernel_each_missing() - likewise NICs that the policy in force names without a pattern and that are not there. */
int kernel_each_missing(struct kernel *kernel, int (*each)(void *arg, const char *name), void *arg);
/** kernel_behind() - addresses that a workload's namespace has on its side, link-local ones apart; *@ret malloc'ed. */
int kernel_behind(struct kernel *kernel, __u32 ifindex, struct prefix **ret, size_t *ret_n,
		  struct diag *diag);
void kernel_status_clear(struct kernel_status *status);

/** kernel_policy_text() - canonical text of the policy in @slot (or of the one that judges: -1); malloc'ed. */
int kernel_policy_text(struct kernel *kernel, int slot, char **ret, struct diag *diag);

/** kernel_rules() - weir_rule of @slot (-1: the one that judges); *@ret malloc'ed, config.nr_rules entries. */
int kernel_rules(struct kernel *kernel, int slot, struct weir_rule **ret, size_t *ret_n,
		 struct diag *diag);
int kernel_files(struct kernel *kernel, int slot, char (**ret)[256], size_t *ret_n,
		 struct diag *diag);

/** kernel_rule_count() - counters of rule counter @index, limit counter @index: carried plus all CPUs. */
int kernel_rule_count(struct kernel *kernel, __u32 index, struct weir_count *ret);
int kernel_limit_count(struct kernel *kernel, __u32 index, struct weir_count *ret);

/* Walks: @each returns 0 to go on, else the walk stops and returns that. */
struct limit_state {
	const struct weir_limit *limit;
	__u32 index;   /* in weir_limit_S */
	__u64 key[2];  /* as in weir_tat / weir_tat_wide */
	__u64 tat;     /* 1/16 ns of CLOCK_MONOTONIC */
	bool overflow; /* a shared overflow entry: key[0] is its index */
};
int kernel_each_limit(struct kernel *kernel,
		      int (*each)(void *arg, const struct limit_state *state), void *arg,
		      struct diag *diag);
int kernel_each_flow(struct kernel *kernel,
		     int (*each)(void *arg, enum weir_flow_region region,
				 const struct weir_flow *flow),
		     void *arg, struct diag *diag);

struct block_entry {
	bool automatic;
	struct prefix prefix; /* not automatic */
	__u64 limit_id;	      /* automatic: whose, and the limiter's key */
	__u64 key[2];
	__u64 expires_boot_ns; /* 0: never */
	__u64 since_ns;	       /* CLOCK_REALTIME; 0: not known */
};
int kernel_each_block(struct kernel *kernel,
		      int (*each)(void *arg, const struct block_entry *entry), void *arg,
		      struct diag *diag);

/**
 * kernel_block() - add run-time blocks, or give them a new time; @expires_boot_ns 0: never. Works without a policy loaded
 * only when the programs are; -ENOSPC: no room for all of them, @ret_done says how many are in.
 */
int kernel_block(struct kernel *kernel, const struct prefix *prefix, size_t n,
		 __u64 expires_boot_ns, size_t *ret_done, struct diag *diag);
/** kernel_unblock() - remove run-time blocks, and automatic blocks of these sources. @ret_done: how many there were. */
int kernel_unblock(struct kernel *kernel, const struct prefix *prefix, size_t n, size_t *ret_done,
		   struct diag *diag);
/** kernel_sweep() - remove expired blocks and correct the counts in weir_control. */
int kernel_sweep(struct kernel *kernel, size_t *ret_removed, struct diag *diag);

/* ---- the audit ring: one reader, see audit/reader.h ---- */

struct ring; /* one perf buffer per CPU over weir_events */

/**
 * kernel_ring_open() - become the reader: takes the reader lock of the pin directory (-EBUSY: another has it), books
 * what the predecessor did not deliver, opens one buffer a CPU with a watermark of a quarter.
 * @each: called for every record by kernel_ring_poll(), records of one CPU in order. 0: the sink has it, delivered is
 *        advanced. -EAGAIN: stops the poll (which returns -EAGAIN); the record stays and the next poll offers it again
 *        first. Any other negative value: the record is given up and booked as lost_reader, and the poll goes on.
 */
int kernel_ring_open(struct kernel *kernel, size_t bytes_per_cpu,
		     int (*each)(void *arg, const struct weir_event *event), void *arg,
		     struct ring **ret, struct diag *diag);
int kernel_ring_fd(const struct ring *ring); /* epoll descriptor */
/** kernel_ring_poll() - hand every waiting record to @each; @timeout_ms as in poll(2). Returns how many, or -errno. */
int kernel_ring_poll(struct ring *ring, int timeout_ms);
void kernel_ring_close(struct ring *ring);

/**
 * kernel_features() - what this kernel offers, tried now: *@ret is malloc'ed text, one line each ("tcx links: yes");
 * @ret_n (may be NULL): how many lines. What needs privilege says so where there is none. Returns 0 or -ENOMEM.
 */
int kernel_features(char **ret, size_t *ret_n);

#endif
