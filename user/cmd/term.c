// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/term.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"

static bool coloured(void)
{
	static int known = -1;

	if (known < 0) {
		const char *term = getenv("TERM");
		const char *no = getenv("NO_COLOR");

		known = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") && !(no && *no);
	}
	return known;
}

const char *term_begin(enum colour colour)
{
	static const char *const codes[] = {
	    [PLAIN] = "",	 [BOLD] = "\033[1m", [DIM] = "\033[2m",
	    [GOOD] = "\033[32m", [BAD] = "\033[31m", [CAREFUL] = "\033[33m",
	};

	return coloured() ? codes[colour] : "";
}

const char *term_end(enum colour colour)
{
	return coloured() && colour != PLAIN ? "\033[0m" : "";
}

/* Length of the UTF-8 sequence at @s that may be shown, 0 when it may not. */
static size_t shown_sequence(const unsigned char *s)
{
	unsigned int code, n;

	if (s[0] >= 0x20 && s[0] < 0x7f)
		return 1;
	n = s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	if (!n || s[0] >= 0xf5)
		return 0;
	code = s[0] & (0x7f >> n);
	for (unsigned int i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	/* Besides C1: marks that reorder a line, and separators that break it. */
	if (code < 0xa0 || (code >= 0x200e && code <= 0x200f) ||
	    (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069))
		return 0;
	return n;
}

char *term_safe(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	char *copy = malloc(strlen(text) + 1), *to = copy;

	while (copy && *s) {
		size_t n = shown_sequence(s);

		if (n)
			to = mempcpy(to, s, n);
		else
			*to++ = '?';
		s += n ? n : 1;
	}
	if (copy)
		*to = '\0';
	return copy;
}

static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void out_of_memory(void)
{
	cmd_error("%s", strerror(ENOMEM));
	exit(EXIT_FAILED);
}

void table_begin(struct table *table, const char *const *heads)
{
	*table = (struct table){.heads = heads};
	while (heads[table->columns])
		table->columns++;
}

void table_cell(struct table *table, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;
	int n;

	if (table->n == table->capacity) {
		table->capacity = table->capacity ? 2 * table->capacity : 64;
		table->cell = reallocarray(table->cell, table->capacity, sizeof(*table->cell));
		table->colour =
		    reallocarray(table->colour, table->capacity, sizeof(*table->colour));
		if (!table->cell || !table->colour)
			out_of_memory();
	}
	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0) {
		text = NULL;
		out_of_memory();
	}
	table->cell[table->n] = term_safe(text);
	table->colour[table->n] = PLAIN;
	if (!table->cell[table->n++])
		out_of_memory();
}

void table_colour(struct table *table, enum colour colour)
{
	table->colour[table->n - 1] = colour;
}

static void print_cell(const char *text, size_t wide, bool right, bool last, enum colour colour)
{
	int pad = (int)(wide - width(text));

	if (right)
		printf("%*s", pad, "");
	printf("%s%s%s", term_begin(colour), text, term_end(colour));
	if (!last)
		printf("%*s", (right ? 0 : pad) + 2, "");
}

static bool titled(const struct table *table)
{
	for (size_t c = 0; c < table->columns; c++)
		if (table->heads[c][0] && strcmp(table->heads[c], ">"))
			return true;
	return false;
}

void table_print(struct table *table, unsigned int indent)
{
	size_t columns = table->columns, rows = table->n / columns;
	size_t wide[columns];

	for (size_t c = 0; c < columns && rows; c++) {
		wide[c] = width(table->heads[c] + (table->heads[c][0] == '>'));
		for (size_t r = 0; r < rows; r++)
			if (width(table->cell[r * columns + c]) > wide[c])
				wide[c] = width(table->cell[r * columns + c]);
	}
	for (size_t r = titled(table) ? 0 : 1; rows && r <= rows; r++) {
		printf("%*s", (int)indent, "");
		for (size_t c = 0; c < columns; c++) {
			bool right = table->heads[c][0] == '>';
			size_t at = (r - 1) * columns + c;

			print_cell(r ? table->cell[at] : table->heads[c] + right, wide[c], right,
				   c + 1 == columns, r ? table->colour[at] : BOLD);
		}
		putchar('\n');
	}
	for (size_t i = 0; i < table->n; i++)
		free(table->cell[i]);
	free(table->cell);
	free(table->colour);
	table_begin(table, table->heads);
}

const char *text_count(__u64 n, char *buffer)
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%llu", n), to = 0;

	for (size_t i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			buffer[to++] = ',';
		buffer[to++] = digits[i];
	}
	buffer[to] = '\0';
	return buffer;
}

const char *text_number(__u64 n, const char *one, const char *many, char *buffer)
{
	char count[TEXT_LEN];

	snprintf(buffer, TEXT_LEN, "%s %s", text_count(n, count), n == 1 ? one : many);
	return buffer;
}

const char *text_bytes(__u64 bytes, char *buffer)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t u = 0;

	for (; value >= 1023.95 && u + 1 < ARRAY_SIZE(units); u++)
		value /= 1024;
	snprintf(buffer, TEXT_LEN, u ? "%.1f %s" : "%.0f %s", value, units[u]);
	return buffer;
}

const char *text_span(__u64 ns, char *buffer)
{
	static const struct {
		const char *unit;
		__u64 s;
	} units[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};
	__u64 s = ns / 1000000000ULL;
	size_t u = 0;

	if (s < 10) {
		if (ns < 1000000000ULL)
			snprintf(buffer, TEXT_LEN, "%llu ms", ns / 1000000ULL);
		else
			snprintf(buffer, TEXT_LEN, "%llu.%llus", s, ns / 100000000ULL % 10);
		return buffer;
	}
	while (s < units[u].s)
		u++;
	if (u + 1 < ARRAY_SIZE(units) && s % units[u].s / units[u + 1].s)
		snprintf(buffer, TEXT_LEN, "%llu%s %llu%s", s / units[u].s, units[u].unit,
			 s % units[u].s / units[u + 1].s, units[u + 1].unit);
	else
		snprintf(buffer, TEXT_LEN, "%llu%s", s / units[u].s, units[u].unit);
	return buffer;
}

static const char *text_tm(__u64 realtime_ns, char *buffer, const char *format,
			   struct tm *(*split)(const time_t *, struct tm *))
{
	time_t s = (time_t)(realtime_ns / 1000000000ULL);
	struct tm tm;

	if (!split(&s, &tm) || !strftime(buffer, TEXT_LEN, format, &tm))
		snprintf(buffer, TEXT_LEN, "@%lld", (long long)s);
	return buffer;
}

const char *text_time(__u64 realtime_ns, char *buffer)
{
	return text_tm(realtime_ns, buffer, "%Y-%m-%dT%H:%M:%SZ", gmtime_r);
}

const char *text_clock(__u64 realtime_ns, char *buffer)
{
	return text_tm(realtime_ns, buffer, "%Y-%m-%d %H:%M:%S", localtime_r);
}

__u64 now_ns(int clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (__u64)now.tv_sec * 1000000000ULL + (__u64)now.tv_nsec;
}

void text_join(char **into, const char *text)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", *into ? *into : "", *into ? ", " : "", text) < 0)
		out_of_memory();
	free(*into);
	*into = joined;
}
