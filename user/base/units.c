// SPDX-License-Identifier: GPL-2.0-only
#include "base/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct unit {
	const char *name;
	__u64 value;
};

/* Largest first: formatting takes the first that divides. */
static const struct unit byte_units[] = {
    {"TiB", 1ULL << 40},      {"TB", 1000000000000},
    {"GiB", 1ULL << 30},      {"GB", 1000000000},
    {"MiB", 1ULL << 20},      {"MB", 1000000},
    {"KiB", 1ULL << 10},      {"KB", 1000},
    {"kB", 1000 /* alias */}, {"B", 1},
};
static const struct unit bit_units[] = {
    {"Gbit", 1000000000}, {"Mbit", 1000000}, {"kbit", 1000}, {"Kbit", 1000}, {"bit", 1},
};
static const struct unit periods[] = {
    {"day", UNITS_NS_PER_DAY},	{"hour", 3600 * UNITS_NS_PER_S}, {"minute", 60 * UNITS_NS_PER_S},
    {"second", UNITS_NS_PER_S}, {"d", UNITS_NS_PER_DAY},	 {"h", 3600 * UNITS_NS_PER_S},
    {"m", 60 * UNITS_NS_PER_S}, {"s", UNITS_NS_PER_S},
};
static const struct unit duration_units[] = {
    {"d", UNITS_NS_PER_DAY}, {"h", 3600 * UNITS_NS_PER_S}, {"m", 60 * UNITS_NS_PER_S},
    {"s", UNITS_NS_PER_S},   {"ms", UNITS_NS_PER_MS},
};

static int refuse(int err, const char **why, const char *text)
{
	if (why)
		*why = text;
	return err;
}

static const struct unit *find(const struct unit *units, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(units[i].name, name))
			return &units[i];
	return NULL;
}

/* A number with up to three decimals, in thousandths. */
struct decimal {
	__u64 thousandths;
	bool fraction;
};

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Read the number that *@text begins with and step over it. */
static int read_decimal(const char **text, struct decimal *ret, const char **why)
{
	const char *p = *text;
	struct decimal value = {};

	if (!digit(*p))
		return refuse(-EINVAL, why, "it begins with a number");
	if (p[0] == '0' && digit(p[1]))
		return refuse(-EINVAL, why, "numbers have no leading zeros");
	for (; digit(*p); p++)
		if (__builtin_mul_overflow(value.thousandths, 10, &value.thousandths) ||
		    __builtin_add_overflow(value.thousandths, *p - '0', &value.thousandths))
			return refuse(-ERANGE, why, "the number is too large");
	if (__builtin_mul_overflow(value.thousandths, 1000, &value.thousandths))
		return refuse(-ERANGE, why, "the number is too large");
	if (*p == '.') {
		unsigned int scale = 100;

		value.fraction = true;
		if (!digit(*++p))
			return refuse(-EINVAL, why, "a decimal point is followed by digits");
		for (; digit(*p); p++, scale /= 10) {
			if (!scale)
				return refuse(-EINVAL, why, "there are at most three decimals");
			value.thousandths += (__u64)(*p - '0') * scale;
		}
	}
	*text = p;
	*ret = value;
	return 0;
}

int units_parse_number(const char *text, __u64 *ret, const char **why)
{
	__u64 value = 0;

	if (!digit(*text) || strspn(text, "0123456789") != strlen(text))
		return refuse(-EINVAL, why, "a whole number is wanted");
	if (text[0] == '0' && text[1])
		return refuse(-EINVAL, why, "numbers have no leading zeros");
	for (; *text; text++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *text - '0', &value))
			return refuse(-ERANGE, why, "the number is too large");
	*ret = value;
	return 0;
}

/* @value times @unit, where that is a whole number. */
static int scale(const struct decimal *value, __u64 unit, __u64 *ret, const char **why)
{
	unsigned __int128 product = (unsigned __int128)value->thousandths * unit;

	if (product % 1000)
		return refuse(-EINVAL, why, "it is no whole number of its smallest unit");
	if (product / 1000 > ~0ULL)
		return refuse(-ERANGE, why, "the number is too large");
	*ret = product / 1000;
	return 0;
}

/* The part before the slash: a count, bytes, or bits. */
static int parse_amount(const char *text, struct rate *rate, const char **why)
{
	const struct unit *unit;
	struct decimal value;
	int err;

	err = read_decimal(&text, &value, why);
	if (err)
		return err;
	if (!*text) {
		if (value.fraction)
			return refuse(-EINVAL, why, "a count is a whole number");
		return scale(&value, 1, &rate->amount, why);
	}
	rate->bytes = true;
	unit = find(byte_units, ARRAY_SIZE(byte_units), text);
	if (unit)
		return scale(&value, unit->value, &rate->amount, why);
	unit = find(bit_units, ARRAY_SIZE(bit_units), text);
	if (!unit)
		return refuse(
		    -EINVAL, why,
		    "units are B, KB, MB, GB, TB, KiB, MiB, GiB, TiB, bit, kbit, Mbit, Gbit");
	err = scale(&value, unit->value, &rate->amount, why);
	if (err)
		return err;
	if (rate->amount % 8)
		rate->period_ns *= 8;
	else
		rate->amount /= 8;
	return 0;
}

int units_parse_rate(const char *text, struct rate *ret, const char **why)
{
	const char *slash = strchr(text, '/');
	const struct unit *period;
	struct rate rate = {};
	char amount[UNITS_TEXT_LEN];
	int err;

	if (!slash)
		return refuse(-EINVAL, why, "a rate is written like 100/minute or 10MB/s");
	period = find(periods, ARRAY_SIZE(periods), slash + 1);
	if (!period)
		return refuse(-EINVAL, why, "a period is second, minute, hour, day, s, m, h or d");
	if ((size_t)(slash - text) >= sizeof(amount))
		return refuse(-ERANGE, why, "the number is too large");
	memcpy(amount, text, slash - text);
	amount[slash - text] = '\0';
	rate.period_ns = period->value;
	err = parse_amount(amount, &rate, why);
	if (err)
		return err;
	*ret = rate;
	return 0;
}

int units_parse_size(const char *text, __u64 *ret, const char **why)
{
	const struct unit *unit;
	struct decimal value;
	int err;

	err = read_decimal(&text, &value, why);
	if (err)
		return err;
	if (!*text && !value.thousandths) {
		*ret = 0;
		return 0;
	}
	unit = find(byte_units, ARRAY_SIZE(byte_units), text);
	if (!unit)
		return refuse(-EINVAL, why,
			      "a size has a unit: B, KB, MB, GB, TB, KiB, MiB, GiB or TiB");
	return scale(&value, unit->value, ret, why);
}

int units_parse_duration(const char *text, __u64 *ret_ns, const char **why)
{
	const struct unit *unit;
	struct decimal value;
	int err;

	err = read_decimal(&text, &value, why);
	if (err)
		return err;
	unit = find(duration_units, ARRAY_SIZE(duration_units), text);
	if (!unit)
		return refuse(-EINVAL, why, "a duration has a unit: ms, s, m, h or d");
	if (value.fraction)
		return refuse(-EINVAL, why, "a duration is a whole number of its unit");
	return scale(&value, unit->value, ret_ns, why);
}

/* The largest unit that divides @value; the smallest one has the value 1, or divides whatever gets here. */
static const struct unit *largest(const struct unit *units, size_t n, __u64 value)
{
	for (size_t i = 0; i < n; i++)
		if (value >= units[i].value && value % units[i].value == 0)
			return &units[i];
	return &units[n - 1];
}

const char *units_format_size(__u64 bytes, char *buffer)
{
	const struct unit *unit = largest(byte_units, ARRAY_SIZE(byte_units), bytes);

	snprintf(buffer, UNITS_TEXT_LEN, "%llu%s", bytes / unit->value, unit->name);
	return buffer;
}

const char *units_format_duration(__u64 ns, char *buffer)
{
	const struct unit *unit = largest(duration_units, ARRAY_SIZE(duration_units), ns);

	snprintf(buffer, UNITS_TEXT_LEN, "%llu%s", ns / unit->value, unit->name);
	return buffer;
}

const char *units_format_rate(const struct rate *rate, char *buffer)
{
	const struct unit *unit = NULL;
	const char *period = "second";
	__u64 period_ns = rate->period_ns;

	for (size_t i = 0; i < ARRAY_SIZE(periods); i++)
		if (periods[i].value == period_ns || periods[i].value * 8 == period_ns) {
			period = periods[i].name;
			if (periods[i].value != period_ns)
				unit = largest(bit_units, ARRAY_SIZE(bit_units), rate->amount);
			break;
		}
	if (!unit && rate->bytes)
		unit = largest(byte_units, ARRAY_SIZE(byte_units), rate->amount);
	if (unit)
		snprintf(buffer, UNITS_TEXT_LEN, "%llu%s/%s", rate->amount / unit->value,
			 unit->name, period);
	else
		snprintf(buffer, UNITS_TEXT_LEN, "%llu/%s", rate->amount, period);
	return buffer;
}
