// SPDX-License-Identifier: GPL-2.0-only
/* Text for people: what a terminal would obey is never printed; numbers and times read well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/show.h"
#include "cmd/term.h"

static void safe_is(const char *text, const char *wanted)
{
	char *safe = term_safe(text);

	assert_string_equal(safe, wanted);
	free(safe);
}

static void terminal_escapes_are_not_printed(void **state)
{
	safe_is("\033[31mred\007", "?[31mred?");
	safe_is("two\r\nlines\tand\b\x7f", "two??lines?and??");
	safe_is("C1: \xc2\x9b"
		"31m",
		"C1: ??31m");
}

static void letters_of_all_languages_are_printed(void **state)
{
	safe_is("Köln", "Köln");
	safe_is("日本 €", "日本 €");
	safe_is("\xf0\x9f\x90\x9f", "\xf0\x9f\x90\x9f");
}

static void what_is_no_utf8_is_not_printed(void **state)
{
	safe_is("a\xff"
		"b",
		"a?b");
	safe_is("cut \xe6\x97", "cut ??");
	safe_is("overlong \xc0\xaf", "overlong ??");
	safe_is("beyond \xf5\x80\x80\x80", "beyond ????");
}

static void what_reorders_a_line_is_not_printed(void **state)
{
	safe_is("abc\xe2\x80\xae"
		"def",
		"abc???def");
	safe_is("\xe2\x80\xa8", "???");
	safe_is("\xe2\x81\xa6", "???");
}

static void counts_have_separators(void **state)
{
	char text[TEXT_LEN];

	assert_string_equal(text_count(0, text), "0");
	assert_string_equal(text_count(999, text), "999");
	assert_string_equal(text_count(1000, text), "1,000");
	assert_string_equal(text_count(1234567, text), "1,234,567");
	assert_string_equal(text_count(~0ULL, text), "18,446,744,073,709,551,615");
	assert_string_equal(text_number(1, "rule", "rules", text), "1 rule");
	assert_string_equal(text_number(2000, "rule", "rules", text), "2,000 rules");
}

static void bytes_have_units(void **state)
{
	char text[TEXT_LEN];

	assert_string_equal(text_bytes(0, text), "0 B");
	assert_string_equal(text_bytes(1023, text), "1023 B");
	assert_string_equal(text_bytes(1024, text), "1.0 KiB");
	assert_string_equal(text_bytes(1048575, text), "1.0 MiB");
	assert_string_equal(text_bytes(1536 * 1024, text), "1.5 MiB");
	assert_string_equal(text_bytes(~0ULL, text), "16.0 EiB");
}

static void spans_show_two_units(void **state)
{
	const __u64 s = 1000000000ULL;
	char text[TEXT_LEN];

	assert_string_equal(text_span(0, text), "0 ms");
	assert_string_equal(text_span(s - 1, text), "999 ms");
	assert_string_equal(text_span(5 * s + s / 10, text), "5.1s");
	assert_string_equal(text_span(60 * s, text), "1m");
	assert_string_equal(text_span(598 * s, text), "9m 58s");
	assert_string_equal(text_span(3600 * s + 59 * s, text), "1h");
	assert_string_equal(text_span(51 * 3600 * s, text), "2d 3h");
}

static void limiter_keys_are_addresses(void **state)
{
	const __u64 v4[2] = {0xff000000cb007109ULL, 0}, v6[2] = {0x20010db801130000ULL, 0};
	const __u64 long6[2] = {0x20010db801130000ULL, 9};
	char text[ADDR_TEXT_LEN];

	assert_string_equal(text_key(v4, 32, 64, text), "203.0.113.9");
	assert_string_equal(text_key(v4, 24, 64, text), "203.0.113.9/24");
	assert_string_equal(text_key(v6, 32, 64, text), "2001:db8:113::/64");
	assert_string_equal(text_key(long6, 32, 128, text), "2001:db8:113::9");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(terminal_escapes_are_not_printed),
	    cmocka_unit_test(letters_of_all_languages_are_printed),
	    cmocka_unit_test(what_is_no_utf8_is_not_printed),
	    cmocka_unit_test(what_reorders_a_line_is_not_printed),
	    cmocka_unit_test(counts_have_separators),
	    cmocka_unit_test(bytes_have_units),
	    cmocka_unit_test(spans_show_two_units),
	    cmocka_unit_test(limiter_keys_are_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
