/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one reader of the ring: takes records out, names them, writes lines to the sink and to followers.
 *
 * Used by `weir run` in a thread of its own, so that compiling a large policy never lets the ring fill, and by
 * `weir audit -f` where no daemon runs. Says nothing itself: what is worth saying goes to @report.
 */
#ifndef WEIR_AUDIT_READER_H
#define WEIR_AUDIT_READER_H

#include <stdbool.h>

#include "audit/decode.h"
#include "audit/sink.h"
#include "base/diag.h"
#include "policy/model.h"

struct audit_reader;

/**
 * struct audit_reader_options -
 * @pin_dir: copied
 * @serve:   serve followers at /run/weir/NAME.sock; a socket that cannot be had is reported, not an error
 * @fd:      where lines go while the policy names no file; -1: nowhere but to @line and followers
 * @line:    called with every line that was delivered or given up, newline included; NULL: not
 * @report:  called with what an operator should know, once for each change; @priority as in syslog(3). Both callbacks
 *           run in the thread that polls
 */
struct audit_reader_options {
	const char *pin_dir;
	bool serve;
	int fd;
	void (*line)(void *arg, const char *line, size_t len);
	void (*report)(void *arg, int priority, const char *text);
	void *arg;
};

/**
 * audit_reader_open() - become the reader.
 * -EBUSY: another process is, @diag names it; -ENOENT: nothing is loaded; otherwise as kernel_ring_open().
 */
int audit_reader_open(const struct audit_reader_options *options, struct audit_reader **ret,
		      struct diag *diag);

/**
 * audit_reader_configure() - file, rotation, retention and masks of the policy in force; for any thread.
 * A file that cannot be opened is reported and tried again each second; events wait for it as for a full disk.
 */
void audit_reader_configure(struct audit_reader *reader, const struct audit_config *config);

/** audit_reader_refresh() - the policy has changed: read its names before another change overwrites them; any thread. */
void audit_reader_refresh(struct audit_reader *reader);

/** audit_reader_reopen() - open the audit file again at the next poll (SIGHUP); any thread. */
void audit_reader_reopen(struct audit_reader *reader);

/**
 * audit_reader_poll() - wait up to @timeout_ms for records, hand on all that wait, then see to sink and followers.
 * A sink that takes nothing (full disk) is offered the same record for AUDIT_STALL_NS, while the ring holds the others;
 * from then on each record is offered once, and booked as lost where that fails.
 * Returns the number of records taken out, or -errno when the ring cannot be read any more.
 */
int audit_reader_poll(struct audit_reader *reader, int timeout_ms);
#define AUDIT_STALL_NS 5000000000ULL

/** struct audit_reader_stats - since open. */
struct audit_reader_stats {
	__u64 delivered;
	__u64 given_up;
	__u64 followers_dropped;
	size_t followers;
	struct audit_sink_stats sink;
};
void audit_reader_stats(struct audit_reader *reader, struct audit_reader_stats *ret);

/** audit_reader_close() - hand on what waits, sync the file, give up the ring. */
void audit_reader_close(struct audit_reader *reader);

/**
 * audit_sink_gate() - what to do with a record that the sink refused; pure.
 * @since_ns: when the sink began to refuse, 0: it has not; updated
 * @err:      of the attempt, 0: it was taken
 * Returns 0, -EAGAIN to offer the record again, or @err to give it up.
 */
int audit_sink_gate(__u64 *since_ns, int err, __u64 now_ns);

#endif
