// SPDX-License-Identifier: GPL-2.0-only
/* Hosts by DNS: what they stand for, for how long, and what is left when nobody answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake_engine.h"
#include "names/dns.h"
#include "names/internal.h"

#define SOON_MS 8000

static struct fake server;
static char memory[96], dir[64], servers[64];
static struct followed *names;
static struct policy *policy;

static void open_names(void)
{
	struct diag diag = {0};

	assert_int_equal(names_open("/nowhere", memory, &names, &diag), 0);
	assert_int_equal(names_use(names, servers, NULL), 0);
}

static int begin(void **state)
{
	strcpy(dir, "/tmp/test_names_dns.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(memory, sizeof(memory), "%s/memory", dir);
	fake_begin(&server, "fake-dns.py", NULL);
	snprintf(servers, sizeof(servers), "127.0.0.1:%.16s", server.answer);
	open_names();
	return 0;
}

static int end(void **state)
{
	char command[96];

	names_close(names);
	policy_free(policy);
	policy = NULL;
	fake_end(&server);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void follow(const char *items)
{
	struct diag diag = {0};

	policy_free(policy);
	policy = policy_that_names(items);
	assert_int_equal(names_want(names, policy, &diag), 0);
}

static bool host_is(const char *name, const char *addresses)
{
	return becomes(names, ITEM_NAME, name, addresses, SOON_MS);
}

static void wait_for(int ms)
{
	for (__u64 until = now_ns() + ms * 1000000ULL; now_ns() < until;)
		assert_true(turn(names, 10) >= 0);
}

/* @text NULL: fails somehow, but not because there is no such host; versions of c-ares differ in what they say. */
static bool error_is(const char *name, const char *text, int ms)
{
	for (__u64 until = now_ns() + ms * 1000000ULL; now_ns() < until;) {
		const char *error = error_text(names, ITEM_NAME, name);

		if (text ? strncmp(error, text, strlen(text)) == 0
			 : *error && !strstr(error, "no such"))
			return true;
		assert_true(turn(names, 20) >= 0);
	}
	return false;
}

static int take_expiry(void *arg, const struct name_state *state)
{
	long *left_s = arg;

	*left_s = (long)state->expires_ns / 1000000000 - time(NULL);
	return 1;
}

static long expires_in_s(void)
{
	long left_s = 0;

	names_each(names, take_expiry, &left_s);
	return left_s;
}

static void a_host_has_the_addresses_of_both_families_in_order(void **state)
{
	fake_tell(&server,
		  "set db.example.net 300 192.0.2.9 192.0.2.1 2001:db8::2 2001:db8::1 192.0.2.1");
	follow("{name: db.example.net}");
	assert_string_equal(state_text(names, ITEM_NAME, "db.example.net"), "?");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	assert_string_equal(state_text(names, ITEM_NAME, "db.example.net"),
			    "192.0.2.1 192.0.2.9 2001:db8::1 2001:db8::2");
	assert_in_range(expires_in_s(), 295, 300);
}

static void the_shortest_ttl_of_the_chain_counts(void **state)
{
	fake_tell(&server, "alias a.example.net 900 b.example.net");
	fake_tell(&server, "alias b.example.net 40 c.example.net");
	fake_tell(&server, "set c.example.net 500 192.0.2.1");
	follow("{name: a.example.net}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	assert_string_equal(state_text(names, ITEM_NAME, "a.example.net"), "192.0.2.1");
	assert_in_range(expires_in_s(), 35, 40);
}

static void a_ttl_is_a_day_at_most(void **state)
{
	fake_tell(&server, "set a.example.net 2000000 192.0.2.1");
	follow("{name: a.example.net}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	assert_in_range(expires_in_s(), 86390, 86400);
}

static void a_host_is_asked_again_when_its_ttl_is_over_and_not_before(void **state)
{
	fake_tell(&server, "set a.example.net 2 192.0.2.1 192.0.2.3");
	fake_tell(&server, "set zero.example.net 0 192.0.2.1");
	follow("{name: a.example.net}, {name: zero.example.net}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	fake_tell(&server, "set a.example.net 2 192.0.2.2");
	wait_for(1500);
	assert_string_equal(state_text(names, ITEM_NAME, "a.example.net"), "192.0.2.1 192.0.2.3");
	assert_true(host_is("a.example.net", "192.0.2.2"));
	wait_for(500);
	fake_tell(&server, "count zero.example.net");
	/* A second at least, whatever the TTL; two questions each time. */
	assert_in_range(atoi(server.answer), 4, 8);
}

static void the_last_answer_stays_when_nobody_answers(void **state)
{
	fake_tell(&server, "set a.example.net 1 192.0.2.1");
	follow("{name: a.example.net}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	fake_tell(&server, "refuse a.example.net");
	assert_true(error_is("a.example.net", NULL, SOON_MS));
	assert_string_equal(state_text(names, ITEM_NAME, "a.example.net"), "192.0.2.1");
	fake_tell(&server, "no a.example.net");
	assert_true(error_is("a.example.net", "no such host (NXDOMAIN)", SOON_MS));
	assert_string_equal(state_text(names, ITEM_NAME, "a.example.net"), "192.0.2.1");
	fake_tell(&server, "set a.example.net 1 192.0.2.5");
	assert_true(becomes(names, ITEM_NAME, "a.example.net", "192.0.2.5", 10000));
	assert_string_equal(error_text(names, ITEM_NAME, "a.example.net"), "");
}

static void one_family_that_fails_keeps_its_addresses(void **state)
{
	fake_tell(&server, "set a.example.net 1 192.0.2.1 2001:db8::1");
	follow("{name: a.example.net}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	fake_tell(&server, "refuse a.example.net 6");
	assert_true(error_is("a.example.net", "IPv6: ", SOON_MS));
	assert_string_equal(state_text(names, ITEM_NAME, "a.example.net"), "192.0.2.1 2001:db8::1");
	fake_tell(&server, "set a.example.net 1 192.0.2.1");
	assert_true(host_is("a.example.net", "192.0.2.1"));
}

static void a_host_that_never_was_is_not_known(void **state)
{
	follow("{name: never.example.net}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	assert_string_equal(state_text(names, ITEM_NAME, "never.example.net"), "?");
	assert_string_equal(error_text(names, ITEM_NAME, "never.example.net"),
			    "no such host (NXDOMAIN)");
}

static void a_silent_server_does_not_block(void **state)
{
	__u64 before;

	fake_tell(&server, "silent a.example.net");
	fake_tell(&server, "set b.example.net 60 192.0.2.1");
	follow("{name: a.example.net}, {name: b.example.net}");
	assert_true(host_is("b.example.net", "192.0.2.1"));
	for (int i = 0; i < 20; i++) {
		before = now_ns();
		assert_true(names_dispatch(names) >= 0);
		assert_true(now_ns() - before < 500000000ULL);
	}
	assert_int_equal(names_wait(names, 100), -ETIMEDOUT);
}

static void a_later_process_knows_the_last_answer(void **state)
{
	fake_tell(&server, "set a.example.net 3600 192.0.2.1 2001:db8::1");
	follow("{name: a.example.net}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	names_close(names);
	fake_tell(&server, "refuse a.example.net");
	open_names();
	follow("{name: a.example.net}");
	assert_string_equal(state_text(names, ITEM_NAME, "a.example.net"), "192.0.2.1 2001:db8::1");
	assert_true(error_is("a.example.net", NULL, SOON_MS));
	assert_string_equal(state_text(names, ITEM_NAME, "a.example.net"), "192.0.2.1 2001:db8::1");
}

static void who_is_no_longer_named_is_no_longer_asked(void **state)
{
	fake_tell(&server, "set a.example.net 1 192.0.2.1");
	fake_tell(&server, "silent b.example.net");
	follow("{name: a.example.net}, {name: b.example.net}");
	assert_true(host_is("a.example.net", "192.0.2.1"));
	follow("192.0.2.7");
	fake_tell(&server, "count a.example.net");
	assert_int_equal(atoi(server.answer), 2);
	wait_for(1500);
	fake_tell(&server, "count a.example.net");
	assert_int_equal(atoi(server.answer), 2);
	assert_string_equal(state_text(names, ITEM_NAME, "a.example.net"), "not followed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	    TEST(a_host_has_the_addresses_of_both_families_in_order),
	    TEST(the_shortest_ttl_of_the_chain_counts),
	    TEST(a_ttl_is_a_day_at_most),
	    TEST(a_host_is_asked_again_when_its_ttl_is_over_and_not_before),
	    TEST(the_last_answer_stays_when_nobody_answers),
	    TEST(one_family_that_fails_keeps_its_addresses),
	    TEST(a_host_that_never_was_is_not_known),
	    TEST(a_silent_server_does_not_block),
	    TEST(a_later_process_knows_the_last_answer),
	    TEST(who_is_no_longer_named_is_no_longer_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
