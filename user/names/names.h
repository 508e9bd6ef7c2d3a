/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What followed names stand for now: containers, networks and compose services by the engine's API, hosts by DNS, units
 * by their cgroups. Nothing here knows the kernel's tables: answers go into struct environment.
 */
#ifndef WEIR_NAMES_NAMES_H
#define WEIR_NAMES_NAMES_H

#include <stdbool.h>

#include "base/diag.h"
#include "compile/compile.h"
#include "policy/model.h"

#define NAMES_ENGINE "unix:///run/docker.sock" /* unless DOCKER_HOST or an option says otherwise */

/** struct followed - everything that is followed, with the connections for it. Not thread-safe; one loop drives it. */
struct followed;

/**
 * names_open() - nothing is asked yet.
 * @engine: "unix:///PATH" or a path of the engine's socket; NULL: DOCKER_HOST, else NAMES_ENGINE. Other schemes are -EINVAL.
 * @memory: file in which answers are kept for the next process of this boot and for `status` (JSON, replaced by
 *          rename); NULL: none. What it holds is taken as known, with its age.
 */
int names_open(const char *engine, const char *memory, struct followed **ret, struct diag *diag);

/** names_recall() - names_open() for who only looks: the engine is the one that @memory is about, @engine without one. */
int names_recall(const char *engine, const char *memory, struct followed **ret, struct diag *diag);
void names_close(struct followed *names);

/**
 * names_want() - follow what @policy names (any policy; names that it no longer has are forgotten). Does not wait.
 */
int names_want(struct followed *names, const struct policy *policy, struct diag *diag);

/** names_wait() - until everything wanted was answered or refused once, at most @timeout_ms. 0; -ETIMEDOUT. */
int names_wait(struct followed *names, unsigned int timeout_ms);

/** names_fd() - readable when names_dispatch() has something to do (an epoll descriptor). */
int names_fd(const struct followed *names);

/** names_dispatch() - never waits. Returns NAMES_* bits or -errno. */
int names_dispatch(struct followed *names);
#define NAMES_CHANGED 0x1 /* an answer differs from what names_fill() last gave */
#define NAMES_GONE    0x2 /* addresses to withdraw at once: names_gone() */
#define NAMES_SAID \
	0x4 /* the engine went or came back, a name failed or works again: names_each() has it */
#define NAMES_UNITS 0x8 /* names_units() differs from what it last gave; no table depends on it */

/** names_asking() - has an event led to questions that are not answered yet? */
bool names_asking(const struct followed *names);

/** names_read_only() - from now on what this process is told is not kept: the memory is another's to write. */
void names_read_only(struct followed *names);

/** names_fill() - put the answers of now into @env (names, engine_*), replacing what is there. */
int names_fill(struct followed *names, struct environment *env);

/** names_gone() - addresses of containers that stopped since the last call; *@ret malloc'ed. */
int names_gone(struct followed *names, struct prefix **ret, size_t *ret_n);

/** names_units() - cgroups of the units wanted and the numbers that env_name.address gives them; malloc'ed. */
int names_units(struct followed *names, __u64 **ret_cgroup, __u32 **ret_unit, size_t *ret_n);

/** struct name_state - one followed name, for `status` and `show segments`. */
struct name_state {
	enum item_kind kind;
	const char *name;
	const struct prefix *address;
	size_t n;
	bool known;
	__u64 since_ns;	   /* CLOCK_REALTIME of the last answer, 0: none */
	__u64 expires_ns;  /* DNS: when it is asked again */
	const char *error; /* why the last question failed, NULL: it did not */
};
/** struct engine_state - @since_ns: CLOCK_REALTIME of the last moment at which its answers were current */
struct engine_state {
	bool wanted, connected;
	const char *socket;
	__u64 since_ns;
	const char *error;
};
int names_each(const struct followed *names, int (*each)(void *arg, const struct name_state *state),
	       void *arg);
void names_engine(const struct followed *names, struct engine_state *ret);

#endif
