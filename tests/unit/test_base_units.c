// SPDX-License-Identifier: GPL-2.0-only
/* Numbers with units: what is read, what is refused and why, and that what is written reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"

#define S 1000000000ULL

static void rates_are_read_and_written(void **state)
{
	static const struct {
		const char *text;
		__u64 amount, period_ns;
		bool bytes;
		const char *canonical;
	} cases[] = {
	    {"100/minute", 100, 60 * S, false, "100/minute"},
	    {"100/m", 100, 60 * S, false, "100/minute"},
	    {"1/day", 1, 86400 * S, false, "1/day"},
	    {"1/d", 1, 86400 * S, false, "1/day"},
	    {"10000000/s", 10000000, S, false, "10000000/second"},
	    {"7/hour", 7, 3600 * S, false, "7/hour"},
	    {"7/h", 7, 3600 * S, false, "7/hour"},
	    {"0/second", 0, S, false, "0/second"},
	    {"10MB/s", 10000000, S, true, "10MB/second"},
	    {"10MiB/s", 10485760, S, true, "10MiB/second"},
	    {"100Mbit/s", 12500000, S, true, "12500KB/second"},
	    {"100Mbit/second", 12500000, S, true, "12500KB/second"},
	    {"12.5GB/s", 12500000000, S, true, "12500MB/second"},
	    {"1kB/s", 1000, S, true, "1KB/second"},
	    {"1KB/s", 1000, S, true, "1KB/second"},
	    {"1KiB/minute", 1024, 60 * S, true, "1KiB/minute"},
	    {"1TB/day", 1000000000000, 86400 * S, true, "1TB/day"},
	    {"1.5kbit/s", 1500, 8 * S, true, "1500bit/second"},
	    {"1bit/day", 1, 8 * 86400 * S, true, "1bit/day"},
	    {"8bit/s", 1, S, true, "1B/second"},
	    {"1.125KB/s", 1125, S, true, "1125B/second"},
	};
	char text[UNITS_TEXT_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rate rate = {}, again = {};
		const char *why = "";

		if (units_parse_rate(cases[i].text, &rate, &why))
			fail_msg("%s: %s", cases[i].text, why);
		assert_int_equal(rate.amount, cases[i].amount);
		assert_int_equal(rate.period_ns, cases[i].period_ns);
		assert_int_equal(rate.bytes, cases[i].bytes);
		assert_string_equal(units_format_rate(&rate, text), cases[i].canonical);
		assert_int_equal(units_parse_rate(text, &again, NULL), 0);
		assert_int_equal(again.amount, rate.amount);
		assert_int_equal(again.period_ns, rate.period_ns);
		assert_int_equal(again.bytes, rate.bytes);
	}
}

static void what_is_no_rate_is_refused_with_its_reason(void **state)
{
	static const struct {
		const char *text;
		int err;
		const char *why;
	} cases[] = {
	    {"", -EINVAL, "is written like"},
	    {"100", -EINVAL, "is written like"},
	    {"100/", -EINVAL, "a period is"},
	    {"100/week", -EINVAL, "a period is"},
	    {"100/minutes", -EINVAL, "a period is"},
	    {"100/S", -EINVAL, "a period is"},
	    {"100/s ", -EINVAL, "a period is"},
	    {"100 /s", -EINVAL, "units are"},
	    {"10mb/s", -EINVAL, "units are"},
	    {"10Mb/s", -EINVAL, "units are"},
	    {"10M/s", -EINVAL, "units are"},
	    {"10 MB/s", -EINVAL, "units are"},
	    {"/s", -EINVAL, "begins with a number"},
	    {"-1/s", -EINVAL, "begins with a number"},
	    {"+1/s", -EINVAL, "begins with a number"},
	    {" 1/s", -EINVAL, "begins with a number"},
	    {"MB/s", -EINVAL, "begins with a number"},
	    {".5MB/s", -EINVAL, "begins with a number"},
	    {"01/s", -EINVAL, "leading zeros"},
	    {"00.5MB/s", -EINVAL, "leading zeros"},
	    {"0.5/s", -EINVAL, "whole number"},
	    {"1.0/s", -EINVAL, "whole number"},
	    {"1.MB/s", -EINVAL, "followed by digits"},
	    {"1.2345MB/s", -EINVAL, "three decimals"},
	    {"0.5B/s", -EINVAL, "smallest unit"},
	    {"0.001KiB/s", -EINVAL, "smallest unit"},
	    {"99999999999999999999/s", -ERANGE, "too large"},
	    {"18446744073709552TB/s", -ERANGE, "too large"},
	    {"18446744073709551.5TiB/s", -ERANGE, "too large"},
	    {"1000000000000000000000000000000000000000000000000000000/s", -ERANGE, "too large"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rate rate = {.amount = 77};
		const char *why = NULL;
		int err = units_parse_rate(cases[i].text, &rate, &why);

		if (err != cases[i].err || !strstr(why, cases[i].why))
			fail_msg("\"%s\": %d, %s", cases[i].text, err, why ? why : "no reason");
		assert_int_equal(rate.amount, 77);
		assert_int_equal(units_parse_rate(cases[i].text, &rate, NULL), err);
	}
}

static void sizes_are_read_and_written(void **state)
{
	static const struct {
		const char *text;
		__u64 bytes;
		const char *canonical;
	} cases[] = {
	    {"0", 0, "0B"},
	    {"0B", 0, "0B"},
	    {"1500B", 1500, "1500B"},
	    {"64KiB", 65536, "64KiB"},
	    {"100MB", 100000000, "100MB"},
	    {"1.5GB", 1500000000, "1500MB"},
	    {"0.5KiB", 512, "512B"},
	    {"16777215TiB", 16777215ULL << 40, "16777215TiB"},
	};
	char text[UNITS_TEXT_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *why = "";
		__u64 bytes = 7;

		if (units_parse_size(cases[i].text, &bytes, &why))
			fail_msg("%s: %s", cases[i].text, why);
		assert_int_equal(bytes, cases[i].bytes);
		assert_string_equal(units_format_size(bytes, text), cases[i].canonical);
	}
}

static void what_is_no_size_is_refused_with_its_reason(void **state)
{
	static const struct {
		const char *text;
		int err;
		const char *why;
	} cases[] = {
	    {"", -EINVAL, "begins with a number"},
	    {"100", -EINVAL, "a size has a unit"},
	    {"0.0001", -EINVAL, "three decimals"},
	    {"10Mbit", -EINVAL, "a size has a unit"},
	    {"10MB/s", -EINVAL, "a size has a unit"},
	    {"0.1B", -EINVAL, "smallest unit"},
	    {"18446744073709551615TB", -ERANGE, "too large"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *why = NULL;
		__u64 bytes = 7;
		int err = units_parse_size(cases[i].text, &bytes, &why);

		if (err != cases[i].err || !strstr(why, cases[i].why))
			fail_msg("\"%s\": %d, %s", cases[i].text, err, why ? why : "no reason");
		assert_int_equal(bytes, 7);
	}
}

static void durations_are_read_and_written(void **state)
{
	static const struct {
		const char *text;
		__u64 ns;
		const char *canonical;
	} cases[] = {
	    {"500ms", 500 * S / 1000, "500ms"},
	    {"30s", 30 * S, "30s"},
	    {"120s", 120 * S, "2m"},
	    {"10m", 600 * S, "10m"},
	    {"2h", 7200 * S, "2h"},
	    {"90d", 90 * 86400 * S, "90d"},
	    {"24h", 86400 * S, "1d"},
	    {"0s", 0, "0ms"},
	};
	char text[UNITS_TEXT_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *why = "";
		__u64 ns = 7;

		if (units_parse_duration(cases[i].text, &ns, &why))
			fail_msg("%s: %s", cases[i].text, why);
		assert_int_equal(ns, cases[i].ns);
		assert_string_equal(units_format_duration(ns, text), cases[i].canonical);
	}
}

static void what_is_no_duration_is_refused_with_its_reason(void **state)
{
	static const struct {
		const char *text;
		int err;
		const char *why;
	} cases[] = {
	    {"", -EINVAL, "begins with a number"},
	    {"10", -EINVAL, "a duration has a unit"},
	    {"10 m", -EINVAL, "a duration has a unit"},
	    {"10min", -EINVAL, "a duration has a unit"},
	    {"1h30m", -EINVAL, "a duration has a unit"},
	    {"1.5h", -EINVAL, "whole number"},
	    {"forever", -EINVAL, "begins with a number"},
	    {"010m", -EINVAL, "leading zeros"},
	    {"18446744073709551d", -ERANGE, "too large"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *why = NULL;
		__u64 ns = 7;
		int err = units_parse_duration(cases[i].text, &ns, &why);

		if (err != cases[i].err || !strstr(why, cases[i].why))
			fail_msg("\"%s\": %d, %s", cases[i].text, err, why ? why : "no reason");
		assert_int_equal(ns, 7);
	}
}

static void numbers_are_plain(void **state)
{
	static const char *const bad[] = {"",	  "x",	   "1x",  " 1", "1 ", "-1", "+1",
					  "0x10", "1_000", "1e3", "01", "00", "1.0"};
	const char *why = NULL;
	__u64 value = 7;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(units_parse_number(bad[i], &value, &why), -EINVAL);
		assert_non_null(why);
		assert_int_equal(value, 7);
	}
	assert_int_equal(units_parse_number("18446744073709551616", &value, &why), -ERANGE);
	assert_int_equal(units_parse_number("18446744073709551615", &value, &why), 0);
	assert_true(value == ~0ULL);
	assert_int_equal(units_parse_number("0", &value, &why), 0);
	assert_int_equal(value, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rates_are_read_and_written),
	    cmocka_unit_test(what_is_no_rate_is_refused_with_its_reason),
	    cmocka_unit_test(sizes_are_read_and_written),
	    cmocka_unit_test(what_is_no_size_is_refused_with_its_reason),
	    cmocka_unit_test(durations_are_read_and_written),
	    cmocka_unit_test(what_is_no_duration_is_refused_with_its_reason),
	    cmocka_unit_test(numbers_are_plain),
	};

	return cmocka_run_group_tests_name("base_units", tests, NULL, NULL);
}
