// SPDX-License-Identifier: GPL-2.0-only
/* Files of addresses: what they may hold, where errors are placed, and that a million lines are quick and lean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "policy/model.h"

static char directory[] = "/tmp/test_policy_list.XXXXXX";
static char list_path[128];

static FILE *create(const char *name)
{
	FILE *file;

	snprintf(list_path, sizeof(list_path), "%s/%s", directory, name);
	file = fopen(list_path, "w");
	assert_non_null(file);
	return file;
}

static void write_list(const char *text)
{
	FILE *file = create("list.txt");

	fputs(text, file);
	fclose(file);
}

/* A policy in the same directory, which names the list by its bare name. */
static int parse(const char *item, struct policy **ret, struct diag *diag)
{
	char text[512], name[128];

	snprintf(text, sizeof(text), "block: [{file: %s}]\n", item);
	snprintf(name, sizeof(name), "%s/policy.yaml", directory);
	*ret = NULL;
	return policy_parse_text(text, strlen(text), name, ret, diag);
}

static void expect(const char *text, const char *want)
{
	struct policy *policy;
	struct diag diag = {};
	char all[2048] = "", one[ADDR_TEXT_LEN];

	write_list(text);
	if (parse("list.txt", &policy, &diag))
		fail_msg("%s", diag.error);
	assert_int_equal(policy->block.item[0].kind, ITEM_FILE);
	assert_string_equal(policy->block.item[0].name, list_path);
	for (size_t i = 0; i < policy->block.item[0].nr_list; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? " " : "",
			 prefix_format(&policy->block.item[0].list[i], one));
	assert_string_equal(all, want);
	policy_free(policy);
	diag_reset(&diag);
}

static void expect_error(const char *text, unsigned int line, unsigned int column, const char *want)
{
	struct policy *policy;
	struct diag diag = {};

	write_list(text);
	assert_int_equal(parse("list.txt", &policy, &diag), -EINVAL);
	assert_null(policy);
	assert_string_equal(diag.error, want);
	assert_string_equal(diag.at.file, list_path);
	assert_int_equal(diag.at.line, line);
	assert_int_equal(diag.at.column, column);
	diag_reset(&diag);
}

static void lines_hold_addresses_prefixes_and_ranges(void **state)
{
	expect("", "");
	expect("# nothing\n\n   \n", "");
	expect("192.0.2.1\n", "192.0.2.1");
	expect("192.0.2.1", "192.0.2.1");
	expect("192.0.2.1\r\n2001:db8::/32\r\n", "192.0.2.1 2001:db8::/32");
	expect("  192.0.2.0/24   # a net\n\t::1\t\n#192.0.2.9\n192.0.2.2#x\n",
	       "192.0.2.0/24 ::1 192.0.2.2");
	expect("10.0.0.5-10.0.0.9\n", "10.0.0.5 10.0.0.6/31 10.0.0.8/31");
	expect("2001:db8::-2001:db8::ffff\n", "2001:db8::/112");
}

static void errors_stand_where_the_item_begins(void **state)
{
	expect_error("192.0.2.1\n# x\n   192.0.2.1/24\n", 3, 4,
		     "\"192.0.2.1/24\" has host bits set; did you mean 192.0.2.0/24?");
	expect_error(
	    "kato", 1, 1,
	    "\"kato\" is no address; a list of addresses holds addresses, prefixes and ranges");
	expect_error(
	    "192.0.2.1 192.0.2.2\n", 1, 1,
	    "\"192.0.2.1 192.0.2.2\" is no address: an IPv4 address is four numbers with dots between them");
	expect_error("\n010.0.0.1\n", 2, 1,
		     "\"010.0.0.1\" is no address: numbers in an address have no leading zeros");
}

static void names_are_relative_to_the_policy_file_and_kept_from_the_root(void **state)
{
	struct policy *policy;
	struct diag diag = {};
	char here[4096], want[8192];
	const char text[] = "block: [{file: sub/list.txt}]\n";

	snprintf(want, sizeof(want), "%s/sub", directory);
	assert_int_equal(mkdir(want, 0700), 0);
	fclose(create("sub/list.txt"));
	assert_int_equal(parse("sub/list.txt", &policy, &diag), 0);
	assert_string_equal(policy->block.item[0].name, list_path);
	policy_free(policy);
	assert_int_equal(parse(list_path, &policy, &diag), 0);
	assert_string_equal(policy->block.item[0].name, list_path);
	policy_free(policy);

	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(policy_parse_text(text, strlen(text), "policy.yaml", &policy, &diag), 0);
	assert_string_equal(policy->block.item[0].name, list_path);
	policy_free(policy);
	assert_int_equal(chdir(here), 0);
	diag_reset(&diag);
}

static void what_is_no_regular_file_is_not_waited_for(void **state)
{
	struct policy *policy;
	struct diag diag = {};
	char fifo[128];

	snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(parse("fifo", &policy, &diag), -EINVAL);
	assert_non_null(strstr(diag.error, "is not a regular file"));
	diag_reset(&diag);
	assert_int_equal(parse("/dev/zero", &policy, &diag), -EINVAL);
	diag_reset(&diag);
	assert_int_equal(parse("no-such-list", &policy, &diag), -ENOENT);
	assert_int_equal(diag.at.column, 16);
	diag_reset(&diag);
}

static void an_outline_opens_no_lists(void **state)
{
	static const char text[] = "interfaces: [eth0]\nblock: [{file: /no/such/list.txt}]\n";
	struct policy *policy = NULL;
	struct diag diag = {};

	assert_int_equal(policy_parse_outline(text, strlen(text), "x", &policy, &diag), 0);
	assert_int_equal(policy->nr_interfaces, 1);
	assert_string_equal(policy->block.item[0].name, "/no/such/list.txt");
	assert_int_equal(policy->block.item[0].nr_list, 0);
	policy_free(policy);
	diag_reset(&diag);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void a_million_lines_are_quick_and_lean(void **state)
{
	FILE *file = create("million.txt");
	struct rusage before, after;
	struct policy *policy;
	struct diag diag = {};
	double spent;

	for (unsigned int i = 0; i < 1000000; i++) {
		if (i % 2)
			fprintf(file, "2001:db8:%x:%x::/64\n", i >> 16, i & 0xffff);
		else
			fprintf(file, "%u.%u.%u.%u\n", 1 + (i >> 16), i >> 8 & 255, i & 255,
				i % 251);
	}
	fclose(file);
	getrusage(RUSAGE_SELF, &before);
	spent = seconds();
	assert_int_equal(parse("million.txt", &policy, &diag), 0);
	spent = seconds() - spent;
	getrusage(RUSAGE_SELF, &after);
	print_message("1,000,000 lines: %.2f s, %ld KiB\n", spent,
		      after.ru_maxrss - before.ru_maxrss);
	assert_int_equal(policy->block.item[0].nr_list, 1000000);
	assert_true(spent < 5); /* under a sanitizer; otherwise a fraction of a second */
	assert_true(after.ru_maxrss - before.ru_maxrss < 80 << 10);
	policy_free(policy);
	diag_reset(&diag);
}

static void a_list_has_an_end(void **state)
{
	FILE *file = create("endless.txt");
	struct policy *policy;
	struct diag diag = {};

	for (unsigned int i = 0; i < (1u << 24); i++)
		fputc('\n', file);
	fputs("192.0.2.1", file);
	fclose(file);
	assert_int_equal(parse("endless.txt", &policy, &diag), -EINVAL);
	assert_string_equal(diag.error, "more than 16777216 lines");
	diag_reset(&diag);

	file = create("endless.txt");
	for (unsigned int i = 0; i < (1u << 24) - 1; i++)
		fputc('\n', file);
	fputs("192.0.2.1", file);
	fclose(file);
	assert_int_equal(parse("endless.txt", &policy, &diag), 0);
	assert_int_equal(policy->block.item[0].nr_list, 1);
	policy_free(policy);
	diag_reset(&diag);
}

static int make_directory(void **state)
{
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_hold_addresses_prefixes_and_ranges),
	    cmocka_unit_test(errors_stand_where_the_item_begins),
	    cmocka_unit_test(names_are_relative_to_the_policy_file_and_kept_from_the_root),
	    cmocka_unit_test(what_is_no_regular_file_is_not_waited_for),
	    cmocka_unit_test(an_outline_opens_no_lists),
	    cmocka_unit_test(a_million_lines_are_quick_and_lean),
	    cmocka_unit_test(a_list_has_an_end),
	};

	return cmocka_run_group_tests_name("policy_list", tests, make_directory, remove_directory);
}
