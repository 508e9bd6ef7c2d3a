/* SPDX-License-Identifier: GPL-2.0-only */
/* What a daemon says to its surroundings: one-line logs, and its state to the service manager. */
#ifndef WEIR_CMD_NOTIFY_H
#define WEIR_CMD_NOTIFY_H

#include <stdbool.h>
#include <linux/types.h>
#include <syslog.h>

/**
 * log_line() - one line to stderr; control characters become '?'. Not on a terminal, "<N>" in front tells journald
 * the priority (sd-daemon(3)). Safe in several threads.
 */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/**
 * notify_state() - tell the service manager (NOTIFY_SOCKET, sd_notify(3)): "READY=1", "STATUS=…" and the like,
 * separated by newlines. Nothing happens where none listens.
 */
void notify_state(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** notify_reloading() - with the time stamp that the protocol asks for; READY=1 ends it. */
void notify_reloading(void);

/** notify_watchdog_ns() - how often the service manager wants to hear WATCHDOG=1; half of its limit; 0: never. */
__u64 notify_watchdog_ns(void);

#endif
