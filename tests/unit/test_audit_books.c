// SPDX-License-Identifier: GPL-2.0-only
/* The books: every event that was due is accounted for, whoever reads, and whoever died reading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "audit/books.h"
#include "audit/paths.h"

static void balanced_books(void **state)
{
	struct weir_books kernel = {
	    .due = 100, .written = 60, .suppressed = 25, .lost_full = 10, .lost_no_reader = 5};
	struct weir_reader reader = {.delivered = 50, .lost_reader = 3};
	struct audit_balance balance;

	assert_true(audit_balance(&kernel, &reader, &balance));
	assert_int_equal(balance.in_flight, 7);
	assert_int_equal(balance.missing, 0);
}

static void an_unaccounted_event_is_seen(void **state)
{
	struct weir_books kernel = {.due = 101, .written = 60, .suppressed = 40};
	struct weir_reader reader = {.delivered = 60};
	struct audit_balance balance;

	assert_false(audit_balance(&kernel, &reader, &balance));
	assert_int_equal(balance.missing, 1);
	kernel.due = 98;
	assert_false(audit_balance(&kernel, &reader, &balance));
	assert_int_equal(balance.missing, -2);
}

static void a_reader_cannot_deliver_what_was_not_written(void **state)
{
	struct weir_books kernel = {.due = 10, .written = 10};
	struct weir_reader reader = {.delivered = 8, .lost_reader = 3};
	struct audit_balance balance;

	assert_false(audit_balance(&kernel, &reader, &balance));
	assert_true(balance.negative);
	assert_int_equal(balance.in_flight, 0);
	assert_int_equal(audit_inherit(&kernel, &reader), 3);
}

/* Readers that come, deliver, give up and die at random: after each inheritance nothing is in flight or missing. */
static void books_balance_over_any_history(void **state)
{
	struct weir_books kernel = {0};
	struct weir_reader reader = {0};
	struct audit_balance balance;
	unsigned int ring = 0;

	srandom(6);
	for (int i = 0; i < 100000; i++) {
		switch (random() % 7) {
		case 0:
			kernel.due++, kernel.suppressed++;
			break;
		case 1:
			kernel.due++, kernel.lost_full++;
			break;
		case 2:
		case 3:
		case 4:
			kernel.due++, kernel.written++, ring++;
			break;
		case 5:
			if (ring)
				ring--, random() % 10 ? reader.delivered++ : reader.lost_reader++;
			break;
		case 6: /* killed; its ring went with it */
			if (random() % 100)
				break;
			reader.lost_reader = audit_inherit(&kernel, &reader);
			ring = 0;
			break;
		}
		assert_true(audit_balance(&kernel, &reader, &balance));
		assert_int_equal(balance.in_flight, ring);
	}
}

static void run_time_files_have_one_name_each(void **state)
{
	static const struct {
		const char *pin_dir, *name;
	} table[] = {
	    {"/sys/fs/bpf/weir", "weir"},
	    {"/sys/fs/bpf/weir/", "weir"},
	    {"/sys/fs/bpf/weir/blue", "weir+blue"},
	    {"/sys/fs/bpf//weir//blue/", "weir+blue"},
	    {"/tmp/bpf", "tmp+bpf"},
	    {"/sys/fs/bpf/..", "+."},
	};
	char text[256];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(path_name(table[i].pin_dir, text, sizeof(text)), 0);
		assert_string_equal(text, table[i].name);
	}
	assert_int_not_equal(path_name("/", text, sizeof(text)), 0);
	assert_int_not_equal(path_name("/sys/fs/bpf/weir", text, 4), 0);
	unsetenv("WEIR_STATE_DIR");
	setenv("WEIR_RUN_DIR", "/tmp/elsewhere", 1);
	assert_int_equal(path_run("/sys/fs/bpf/weir", "sock", text, sizeof(text)), 0);
	assert_string_equal(text, "/tmp/elsewhere/weir.sock");
	unsetenv("WEIR_RUN_DIR");
	assert_int_equal(path_run("/sys/fs/bpf/weir", "sock", text, sizeof(text)), 0);
	assert_string_equal(text, "/run/weir/weir.sock");
	assert_int_equal(path_state("/sys/fs/bpf/weir", text, sizeof(text)), 0);
	assert_string_equal(text, "/var/lib/weir/weir");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(balanced_books),
	    cmocka_unit_test(an_unaccounted_event_is_seen),
	    cmocka_unit_test(a_reader_cannot_deliver_what_was_not_written),
	    cmocka_unit_test(books_balance_over_any_history),
	    cmocka_unit_test(run_time_files_have_one_name_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
