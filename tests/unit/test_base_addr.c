// SPDX-License-Identifier: GPL-2.0-only
/* Addresses and prefixes: what is read, what is refused and why, and ranges as prefixes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/mem.h"

static struct weir_addr address(const char *text)
{
	struct weir_addr ret;
	const char *why = "";

	if (addr_parse(text, &ret, &why))
		fail_msg("%s: %s", text, why);
	return ret;
}

static struct prefix prefix(const char *text)
{
	struct prefix ret;
	const char *why = "";

	if (prefix_parse(text, &ret, &why))
		fail_msg("%s: %s", text, why);
	return ret;
}

static void addresses_are_read_and_written_canonically(void **state)
{
	static const char *const cases[][2] = {
	    {"192.0.2.1", "192.0.2.1"},
	    {"0.0.0.0", "0.0.0.0"},
	    {"255.255.255.255", "255.255.255.255"},
	    {"2001:db8::1", "2001:db8::1"},
	    {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
	    {"2001:0db8::0001", "2001:db8::1"},
	    {"::", "::"},
	    {"::1", "::1"},
	    {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	};
	char text[ADDR_TEXT_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct weir_addr a = address(cases[i][0]);

		assert_string_equal(addr_format(&a, text), cases[i][1]);
		assert_int_equal(addr_is_v4(&a), strchr(cases[i][0], ':') == NULL);
	}
}

static void ipv4_stands_behind_the_mapped_prefix(void **state)
{
	static const __u8 want[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 33};
	struct weir_addr a = address("192.0.2.33");

	assert_memory_equal(a.byte, want, sizeof(want));
}

static void what_is_no_address_is_refused_with_its_reason(void **state)
{
	static const char *const cases[][2] = {
	    {"", "four numbers"},
	    {"192.0.2", "four numbers"},
	    {"192.0.2.", "four numbers"},
	    {"192.0.2.1.", "four numbers"},
	    {"192.0.2.1.1", "four numbers"},
	    {".192.0.2.1", "four numbers"},
	    {"192.0.2.1 ", "four numbers"},
	    {" 192.0.2.1", "four numbers"},
	    {"192.0.2.x", "four numbers"},
	    {"-1.0.0.0", "four numbers"},
	    {"0x10.0.0.1", "four numbers"},
	    {"167772161", "0..255"},
	    {"192.0.2.256", "0..255"},
	    {"192.0.2.1000", "0..255"},
	    {"010.0.0.1", "leading zeros"},
	    {"10.0.0.01", "leading zeros"},
	    {"10.00.0.1", "leading zeros"},
	    {"::ffff:192.0.2.1", "::ffff:"},
	    {"::ffff:c000:201", "::ffff:"},
	    {"0:0:0:0:0:ffff:192.0.2.1", "::ffff:"},
	    {"fe80::1%eth0", "scope"},
	    {"2001:db8::1::2", "IPv6"},
	    {"2001:db8::g", "IPv6"},
	    {"2001:db8::12345", "IPv6"},
	    {"1:2:3:4:5:6:7:8:9", "IPv6"},
	    {"[2001:db8::1]", "IPv6"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct weir_addr a = {{1}};
		const char *why = NULL;

		if (addr_parse(cases[i][0], &a, &why) != -EINVAL)
			fail_msg("\"%s\" was read", cases[i][0]);
		if (!strstr(why, cases[i][1]))
			fail_msg("\"%s\": %s", cases[i][0], why);
		assert_int_equal(a.byte[0], 1);
		assert_int_equal(addr_parse(cases[i][0], &a, NULL), -EINVAL);
	}
}

static void prefixes_are_read_and_written_canonically(void **state)
{
	static const char *const cases[][2] = {
	    {"192.0.2.0/24", "192.0.2.0/24"},
	    {"192.0.2.1", "192.0.2.1"},
	    {"192.0.2.1/32", "192.0.2.1"},
	    {"0.0.0.0/0", "0.0.0.0/0"},
	    {"128.0.0.0/1", "128.0.0.0/1"},
	    {"2001:db8::/32", "2001:db8::/32"},
	    {"2001:db8::1/128", "2001:db8::1"},
	    {"::/0", "::/0"},
	    {"8000::/1", "8000::/1"},
	    {"2001:db8:ffff:ffff:ffff:ffff:ffff:fffe/127",
	     "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe/127"},
	};
	char text[ADDR_TEXT_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix p = prefix(cases[i][0]);

		assert_string_equal(prefix_format(&p, text), cases[i][1]);
		assert_int_equal(p.v6, strchr(cases[i][0], ':') != NULL);
	}
}

static void host_bits_are_told_from_other_mistakes(void **state)
{
	static const char *const host_bits[] = {"192.0.2.1/24",	  "10.0.0.0/4",	   "128.0.0.0/0",
						"2001:db8::1/64", "2001:db8::/28", "::1/127"};
	static const char *const other[] = {
	    "192.0.2.0/33",   "192.0.2.0/",	 "192.0.2.0/024",	    "192.0.2.0/-1",
	    "2001:db8::/129", "192.0.2.0/24/24", "192.0.2.0/255.255.255.0", "/24",
	    "2001:db8::/ 32", "::ffff:0:0/96"};
	struct prefix p;
	const char *why;

	for (size_t i = 0; i < ARRAY_SIZE(host_bits); i++) {
		why = NULL;
		assert_int_equal(prefix_parse(host_bits[i], &p, &why), -EINVAL);
		assert_ptr_equal(why, PREFIX_WHY_HOST_BITS);
	}
	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		why = NULL;
		assert_int_equal(prefix_parse(other[i], &p, &why), -EINVAL);
		assert_non_null(why);
		assert_ptr_not_equal(why, PREFIX_WHY_HOST_BITS);
	}
}

static void a_prefix_contains_what_begins_like_it(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool in;
	} cases[] = {
	    {"192.0.2.0/24", "192.0.2.255", true},
	    {"192.0.2.0/24", "192.0.3.0", false},
	    {"192.0.2.128/25", "192.0.2.127", false},
	    {"0.0.0.0/0", "203.0.113.9", true},
	    {"0.0.0.0/0", "2001:db8::1", false},
	    {"::/0", "2001:db8::1", true},
	    {"::/0", "192.0.2.1", false},
	    {"2001:db8::/33", "2001:db8:8000::", false},
	    {"2001:db8::/33", "2001:db8:7fff::1", true},
	    {"192.0.2.1", "192.0.2.1", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix p = prefix(cases[i].prefix);
		struct weir_addr a = address(cases[i].address);

		if (prefix_contains(&p, &a) != cases[i].in)
			fail_msg("%s and %s", cases[i].prefix, cases[i].address);
	}
}

static void masks_count_in_the_address_own_family(void **state)
{
	struct weir_addr v4 = address("192.0.2.77"), v6 = address("2001:db8:1:2:3::1");
	char text[ADDR_TEXT_LEN];

	v4 = addr_mask(&v4, 24);
	v6 = addr_mask(&v6, 48);
	assert_string_equal(addr_format(&v4, text), "192.0.2.0");
	assert_string_equal(addr_format(&v6, text), "2001:db8:1::");
	v4 = addr_mask(&v4, 0);
	assert_string_equal(addr_format(&v4, text), "0.0.0.0");
}

static void check_range(const char *first, const char *last, const char *want)
{
	struct weir_addr a = address(first), b = address(last);
	struct prefix prefixes[256];
	char text[ADDR_TEXT_LEN], all[1024] = "";
	int n = addr_range_to_prefixes(&a, &b, prefixes);

	for (int i = 0; i < n; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? " " : "",
			 prefix_format(&prefixes[i], text));
	assert_string_equal(all, want);
}

static void ranges_become_the_fewest_prefixes(void **state)
{
	check_range("192.0.2.5", "192.0.2.5", "192.0.2.5");
	check_range("10.0.0.5", "10.0.0.9", "10.0.0.5 10.0.0.6/31 10.0.0.8/31");
	check_range("192.0.2.0", "192.0.2.255", "192.0.2.0/24");
	check_range("0.0.0.0", "255.255.255.255", "0.0.0.0/0");
	check_range("255.255.255.254", "255.255.255.255", "255.255.255.254/31");
	check_range("2001:db8::", "2001:db8::ffff", "2001:db8::/112");
	check_range("2001:db8::1", "2001:db8::4", "2001:db8::1 2001:db8::2/127 2001:db8::4");
	check_range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0");
}

static void the_longest_range_fits_the_promise(void **state)
{
	struct weir_addr a = address("::1"), b = address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
	struct prefix prefixes[256];

	assert_int_equal(addr_range_to_prefixes(&a, &b, prefixes), 254);
	a = address("0.0.0.1");
	b = address("255.255.255.254");
	assert_int_equal(addr_range_to_prefixes(&a, &b, prefixes), 62);
}

static void ranges_backwards_or_across_families_are_refused(void **state)
{
	struct weir_addr a = address("192.0.2.9"), b = address("192.0.2.8"),
			 c = address("2001:db8::");
	struct prefix prefixes[256];

	assert_int_equal(addr_range_to_prefixes(&a, &b, prefixes), -EINVAL);
	assert_int_equal(addr_range_to_prefixes(&a, &c, prefixes), -EINVAL);
	assert_int_equal(addr_range_to_prefixes(&c, &a, prefixes), -EINVAL);
}

/* Every address around the ends of random ranges is in exactly one prefix when in the range, in none when outside. */
static void ranges_cover_exactly_what_they_say(void **state)
{
	__u64 seed = 1;

	for (int round = 0; round < 2000; round++) {
		struct weir_addr a = address("10.0.0.0"), b = a;
		struct prefix prefixes[256];
		unsigned int low, high;
		int n;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		low = 16 + (seed >> 33) % 500;
		high = low + (seed >> 45) % 500;
		a.byte[14] = low >> 8;
		a.byte[15] = low;
		b.byte[14] = high >> 8;
		b.byte[15] = high;
		n = addr_range_to_prefixes(&a, &b, prefixes);
		for (unsigned int x = 0; x < 1100; x++) {
			struct weir_addr probe = address("10.0.0.0");
			int in = 0;

			probe.byte[14] = x >> 8;
			probe.byte[15] = x;
			for (int i = 0; i < n; i++)
				in += prefix_contains(&prefixes[i], &probe);
			if (in != (x >= low && x <= high))
				fail_msg("%u in %u..%u: %d", x, low, high, in);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses_are_read_and_written_canonically),
	    cmocka_unit_test(ipv4_stands_behind_the_mapped_prefix),
	    cmocka_unit_test(what_is_no_address_is_refused_with_its_reason),
	    cmocka_unit_test(prefixes_are_read_and_written_canonically),
	    cmocka_unit_test(host_bits_are_told_from_other_mistakes),
	    cmocka_unit_test(a_prefix_contains_what_begins_like_it),
	    cmocka_unit_test(masks_count_in_the_address_own_family),
	    cmocka_unit_test(ranges_become_the_fewest_prefixes),
	    cmocka_unit_test(the_longest_range_fits_the_promise),
	    cmocka_unit_test(ranges_backwards_or_across_families_are_refused),
	    cmocka_unit_test(ranges_cover_exactly_what_they_say),
	};

	return cmocka_run_group_tests_name("base_addr", tests, NULL, NULL);
}
