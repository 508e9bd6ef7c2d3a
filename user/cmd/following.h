/* SPDX-License-Identifier: GPL-2.0-only */
/* What weir run tells weir status about following names: a small file in /run/weir, true while its process lives. */
#ifndef WEIR_CMD_FOLLOWING_H
#define WEIR_CMD_FOLLOWING_H

#include <stdbool.h>
#include <linux/types.h>

/**
 * struct following - @connected: the engine's event stream is open; @since_ns: CLOCK_REALTIME of the last moment at which
 * its answers were current; @error: why it is not connected, malloc'ed by following_read(), NULL for none.
 * @updates: changes of names that were put in force; of the last one, @at_ns (CLOCK_REALTIME), @latency_ns from the first
 * word of it, @work_ns of processor time, and @written bytes of tables that it changed. @total_ns: processor time for all changes, and
 * for following interfaces.
 */
struct following {
	__u64 pid;
	bool connected;
	__u64 since_ns;
	char *error;
	__u64 updates, at_ns, latency_ns, work_ns, written, total_ns;
};

/** following_write() - replaced by rename; that it cannot be written stops nothing and is not said. */
void following_write(const char *pin_dir, const struct following *following);

/** following_read() - false: no process with the number @pid has written one. */
bool following_read(const char *pin_dir, __u64 pid, struct following *ret);
void following_clear(struct following *following);

#endif
