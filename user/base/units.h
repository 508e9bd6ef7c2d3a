/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers with units: rates, sizes, durations, both ways. */
#ifndef WEIR_BASE_UNITS_H
#define WEIR_BASE_UNITS_H

#include <stdbool.h>
#include <linux/types.h>

#define UNITS_TEXT_LEN 48 /* holds any rate, size or duration as text */

#define UNITS_NS_PER_MS	 1000000ULL
#define UNITS_NS_PER_S	 1000000000ULL
#define UNITS_NS_PER_DAY (86400 * UNITS_NS_PER_S)

/**
 * struct rate - @amount units (bytes where @bytes) per @period_ns.
 * The period is a second, a minute, an hour or a day; eight of these where a rate in bits is no whole number of bytes.
 */
struct rate {
	__u64 amount;
	__u64 period_ns;
	bool bytes;
};

/**
 * units_parse_number() - a decimal number without sign, leading zeros or separators.
 * Returns 0; -EINVAL with @why (static text: what was wanted); -ERANGE beyond 64 bits, likewise.
 */
int units_parse_number(const char *text, __u64 *ret, const char **why);

/**
 * units_parse_rate() - "100/minute", "5/s", "10MB/s", "10MiB/s", "100Mbit/s".
 * Periods: second minute hour day, s m h d. Bytes: B kB KB MB GB TB KiB MiB GiB TiB, bits: bit kbit Mbit Gbit; these take
 * up to three decimals ("12.5GB/s"). A rate of 0 is read as such: what is allowed is the caller's to say.
 * Returns 0, -EINVAL or -ERANGE with @why.
 */
int units_parse_rate(const char *text, struct rate *ret, const char **why);

/** units_parse_size() - "0", "1500B", "64KiB", "1.5GB", in bytes; a unit is needed. Returns as units_parse_rate(). */
int units_parse_size(const char *text, __u64 *ret, const char **why);

/** units_parse_duration() - "500ms", "30s", "10m", "2h", "90d", in ns. Returns as units_parse_rate(). */
int units_parse_duration(const char *text, __u64 *ret_ns, const char **why);

/**
 * units_format_rate(), units_format_size(), units_format_duration() - text that parses back to the same value, in the
 * largest unit that holds it without a remainder, in @buffer (UNITS_TEXT_LEN bytes). Durations are whole ms.
 */
const char *units_format_rate(const struct rate *rate, char *buffer);
const char *units_format_size(__u64 bytes, char *buffer);
const char *units_format_duration(__u64 ns, char *buffer);

#endif
