/* SPDX-License-Identifier: GPL-2.0-only */
/* Text for people: aligned tables, numbers and times, colour where a terminal shows it. */
#ifndef WEIR_CMD_TERM_H
#define WEIR_CMD_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

enum colour { PLAIN, BOLD, DIM, GOOD, BAD, CAREFUL };

/** term_begin(), term_end() - escape sequences, "" where stdout is no terminal, NO_COLOR is set or TERM is "dumb". */
const char *term_begin(enum colour colour);
const char *term_end(enum colour colour);

/**
 * term_safe() - copy of @text without anything that a terminal obeys: control characters (C1 too) and bytes that are
 * not UTF-8 become '?'. Malloc'ed; NULL when memory is short.
 */
char *term_safe(const char *text);

/**
 * struct table - rows of cells, printed with columns as wide as they need.
 * @heads: titles, NULL-terminated; ">" in front: right-aligned. Without any title no title line is printed.
 */
struct table {
	const char *const *heads;
	size_t columns;
	char **cell;
	enum colour *colour;
	size_t n, capacity;
};

void table_begin(struct table *table, const char *const *heads);
/** table_cell() - the next cell of the row; the text is made safe. table_colour(): that of the last cell. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_colour(struct table *table, enum colour colour);
/** table_print() - to stdout, each line @indent deep; then forget the rows. Nothing at all when there are none. */
void table_print(struct table *table, unsigned int indent);

#define TEXT_LEN 64 /* for the buffers below; each returns its buffer */

/** text_count() - 1234567 as "1,234,567". text_bytes(): "1.2 MiB". */
const char *text_count(__u64 n, char *buffer);
const char *text_bytes(__u64 bytes, char *buffer);
/** text_number() - "1 rule", "2,000 rules". */
const char *text_number(__u64 n, const char *one, const char *many, char *buffer);
/** text_span() - a length of time in its two largest units: "600 ms", "9m 58s", "2d 3h". */
const char *text_span(__u64 ns, char *buffer);
/** text_time() - CLOCK_REALTIME ns as RFC 3339 in UTC, seconds; text_clock(): "2026-11-24 11:40:03", local time. */
const char *text_time(__u64 realtime_ns, char *buffer);
const char *text_clock(__u64 realtime_ns, char *buffer);

__u64 now_ns(int clock);

/** text_join() - append @text to a malloc'ed text in *into, with ", " between. */
void text_join(char **into, const char *text);

#endif
