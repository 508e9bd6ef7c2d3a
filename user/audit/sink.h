/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where audit lines end: a file that rotates, or a descriptor. All or nothing: a line is in the file whole, or not at
 * all. Time is given by the caller, so that rotation and retention can be tested.
 */
#ifndef WEIR_AUDIT_SINK_H
#define WEIR_AUDIT_SINK_H

#include <stddef.h>

#include "base/diag.h"
#include "weir/tables.h"

struct audit_sink;

/**
 * struct audit_sink_options - what `audit:` says.
 * @path:         absolute; NULL: write to @fd and neither rotate nor sync
 * @fd:           borrowed
 * @rotate_bytes: a line that would make the file larger goes into a new one; 0: not by size
 * @rotate_s:     age of its first line at which the file is rotated; 0: not by age, but see @retention_s
 * @retention_s:  rotated files whose last line is older are deleted; 0: never. Implies rotation by age, each day or
 *                each @retention_s if that is shorter, since what is not rotated is never deleted.
 * @sync_s:       a file written to is synced to disk this often, when rotated, and when closed; 0: at the last two
 */
struct audit_sink_options {
	const char *path;
	int fd;
	__u64 rotate_bytes;
	__u64 rotate_s;
	__u64 retention_s;
	__u64 sync_s;
};

struct audit_sink_stats {
	__u64 lines;
	__u64 bytes;
	__u64 refused; /* attempts that failed */
	__u64 rotated;
	__u64 removed; /* rotated files past their retention */
};

/**
 * audit_sink_open() - open (append to) the file; its directory is made when only the last component is missing.
 * The file is 0640, no symbolic link, and a regular file with one name: whoever may write the directory cannot lead
 * the lines elsewhere. Rotated files are PATH.YYYYMMDDTHHMMSSZ, with .N behind where that exists.
 * Returns 0; -ELOOP: a symbolic link; -EINVAL: not a regular file; other -errno, with @diag.
 */
int audit_sink_open(const struct audit_sink_options *options, __u64 now_ns, struct audit_sink **ret,
		    struct diag *diag);

/**
 * audit_sink_write() - append one line, which ends with a newline; rotates before it where that is due.
 * @now_ns: CLOCK_REALTIME
 * Returns 0; -ENOSPC and other -errno: the file ends where it did; -EAGAIN: a pipe or terminal that is not ready.
 */
int audit_sink_write(struct audit_sink *sink, const char *line, size_t len, __u64 now_ns);

/** audit_sink_tick() - what time asks for: rotation by age, sync, retention; reopens a file that was moved away. */
int audit_sink_tick(struct audit_sink *sink, __u64 now_ns);

/** audit_sink_reopen() - for SIGHUP: open the path again. The old file stays open where that fails. */
int audit_sink_reopen(struct audit_sink *sink, __u64 now_ns, struct diag *diag);

const struct audit_sink_stats *audit_sink_stats(const struct audit_sink *sink);

void audit_sink_close(struct audit_sink *sink);

/**
 * audit_sink_files() - the rotated files of @path, oldest first, then @path itself where it exists.
 * *@ret is malloc'ed, as are the paths in it. Returns how many, or -errno.
 */
int audit_sink_files(const char *path, char ***ret);

#endif
