/* SPDX-License-Identifier: GPL-2.0-only */
/* Record to text: the JSON line, whose keys and order others rely on, and a line for people. */
#ifndef WEIR_AUDIT_FORMAT_H
#define WEIR_AUDIT_FORMAT_H

#include <stddef.h>

#include "audit/decode.h"

#define AUDIT_LINE_MAX 4096 /* bytes of any line, newline and NUL included */

/* The keys of the audit line, in their order. Every line has every key. */
#define AUDIT_KEYS(X)       \
	X(timestamp)        \
	X(client_ip)        \
	X(verdict)          \
	X(reason)           \
	X(rule)             \
	X(file)             \
	X(line)             \
	X(direction)        \
	X(hook)             \
	X(interface)        \
	X(source)           \
	X(source_port)      \
	X(destination)      \
	X(destination_port) \
	X(protocol)         \
	X(length)           \
	X(generation)

/**
 * audit_format_json() - one JSON object and a newline in @ret.
 * ASCII only: whatever a name holds is escaped, and bytes that are no UTF-8 become U+FFFD.
 * Returns its length without the NUL; -ENOMEM; -E2BIG when @size (AUDIT_LINE_MAX suffices) is too small.
 */
int audit_format_json(const struct audit_record *record, char *ret, size_t size);

/**
 * audit_format_human() - a JSON line as one line for people, newline included, without control characters.
 * A line that is no audit line (a note to followers) comes out as its text.
 * Returns its length, -EBADMSG when @line is no JSON object, -E2BIG.
 */
int audit_format_human(const char *line, size_t len, char *ret, size_t size);

/** audit_format_note() - {"note": TEXT}: what is said to followers besides events. Returns as audit_format_json(). */
int audit_format_note(const char *text, char *ret, size_t size);

/** audit_format_time() - RFC 3339, UTC, microseconds: "2026-11-24T11:26:55.123456Z"; @ret holds 32 bytes. */
const char *audit_format_time(__u64 realtime_ns, char *ret);

/** audit_parse_time() - the reverse, of a text that begins so. Returns 0 or -EINVAL. */
int audit_parse_time(const char *text, __u64 *ret_realtime_ns);

/** audit_line_time() - time of a JSON line. Returns 0 or -EINVAL. */
int audit_line_time(const char *line, size_t len, __u64 *ret_realtime_ns);

#endif
