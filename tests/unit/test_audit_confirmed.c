// SPDX-License-Identifier: GPL-2.0-only
/* The confirmed policy on disk, through trials, rollbacks and reboots; and what a starting daemon makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

/* Commands are no library. */
#include "cmd/confirmed.c"
#include "cmd/fingerprint.c"

#define PINS "/sys/fs/bpf/weir/test"

static char dir[64];

static int begin(void **state)
{
	strcpy(dir, "/tmp/test_audit_confirmed.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	setenv("WEIR_STATE_DIR", dir, 1);
	setenv("WEIR_BOOT_ID", "first", 1);
	return 0;
}

static int end(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static struct policy *policy_of(unsigned int port)
{
	struct policy *policy = NULL;
	struct diag diag = {0};
	char text[160];

	snprintf(text, sizeof(text), "interfaces: [eth0]\nallow: [{name: web, port: tcp/%u}]\n",
		 port);
	assert_int_equal(policy_parse_text(text, strlen(text), "t.yaml", &policy, &diag), 0);
	return policy;
}

static void save(unsigned int port)
{
	struct policy *policy = policy_of(port);
	struct diag diag = {0};

	assert_int_equal(confirmed_save(PINS, policy, &diag), 0);
	policy_free(policy);
}

static void try_out(unsigned int port)
{
	struct policy *policy = policy_of(port);
	struct diag diag = {0};

	assert_int_equal(confirmed_begin_trial(PINS, policy, &diag), 0);
	policy_free(policy);
}

static struct confirmed_state now(void)
{
	struct confirmed_state state;
	struct diag diag = {0};

	assert_int_equal(confirmed_read(PINS, &state, &diag), 0);
	return state;
}

/* The port that the confirmed copy opens, 0: there is no copy. */
static unsigned int confirmed_port(void)
{
	struct confirmed_state state = now();
	const char *path = state.path;
	struct policy *policy = NULL;
	struct diag diag = {0};
	unsigned int port;

	if (!path[0])
		return 0;
	assert_int_equal(policy_parse(&path, 1, &policy, &diag), 0);
	port = policy->rule[0].port.service[0].first;
	policy_free(policy);
	return port;
}

static bool is_sha_of(const __u8 *sha256, unsigned int port)
{
	struct policy *policy = policy_of(port);
	bool is = memcmp(policy->sha256, sha256, 32) == 0;

	policy_free(policy);
	return is;
}

static void nothing_is_there_at_first(void **state)
{
	struct confirmed_state found = now();
	struct diag diag = {0};

	assert_string_equal(found.path, "");
	assert_false(found.trial || found.refused);
	assert_int_equal(confirmed_expire(PINS, &diag), 0);
	assert_int_equal(confirmed_cancel_trial(PINS, &diag), 0);
	assert_int_equal(confirmed_rollback(PINS, &diag), 0);
	assert_int_equal(confirmed_confirm(PINS, &diag), -ENOENT);
	assert_int_equal(confirmed_forget(PINS, &diag), 0);
}

static void a_final_apply_is_kept(void **state)
{
	struct confirmed_state found;

	save(80);
	assert_int_equal(confirmed_port(), 80);
	save(81);
	assert_int_equal(confirmed_port(), 81);
	found = now();
	assert_true(is_sha_of(found.sha256, 81));
	assert_false(found.refused);
}

static void a_confirmed_trial_is_kept(void **state)
{
	struct diag diag = {0};

	save(80);
	try_out(81);
	assert_int_equal(confirmed_port(), 80);
	assert_true(now().trial && now().refused && !now().other_boot);
	assert_true(is_sha_of(now().refused_sha256, 81));
	assert_int_equal(confirmed_confirm(PINS, &diag), 0);
	assert_int_equal(confirmed_port(), 81);
	assert_false(now().trial || now().refused);
	/* And can be rolled back to what was before. */
	assert_int_equal(confirmed_rollback(PINS, &diag), 0);
	assert_int_equal(confirmed_port(), 80);
	assert_true(is_sha_of(now().refused_sha256, 81));
}

static void a_trial_that_ends_is_refused(void **state)
{
	int (*const endings[])(const char *, struct diag *) = {confirmed_rollback,
							       confirmed_expire};
	struct diag diag = {0};

	for (size_t i = 0; i < 2; i++) {
		save(80);
		try_out(81);
		assert_int_equal(endings[i](PINS, &diag), 0);
		assert_int_equal(confirmed_port(), 80);
		assert_false(now().trial);
		assert_true(now().refused);
		assert_true(is_sha_of(now().refused_sha256, 81));
	}
	/* An explicit apply ends that. */
	save(82);
	assert_false(now().refused);
}

static void a_trial_that_was_never_applied_leaves_no_trace(void **state)
{
	struct diag diag = {0};

	save(80);
	try_out(81);
	assert_int_equal(confirmed_cancel_trial(PINS, &diag), 0);
	assert_false(now().trial || now().refused);
	/* What was refused before stays refused. */
	try_out(82);
	confirmed_expire(PINS, &diag);
	try_out(83);
	assert_int_equal(confirmed_cancel_trial(PINS, &diag), 0);
	assert_true(now().refused && !now().trial);
	assert_true(is_sha_of(now().refused_sha256, 82));
	assert_int_equal(confirmed_port(), 80);
}

static void rollbacks_go_back_and_forth(void **state)
{
	struct diag diag = {0};

	save(80);
	save(81);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(confirmed_rollback(PINS, &diag), 0);
		assert_int_equal(confirmed_port(), 80);
		assert_true(is_sha_of(now().refused_sha256, 81));
		assert_int_equal(confirmed_rollback(PINS, &diag), 0);
		assert_int_equal(confirmed_port(), 81);
		assert_true(is_sha_of(now().refused_sha256, 80));
	}
}

static void a_reboot_is_noticed(void **state)
{
	save(80);
	try_out(81);
	setenv("WEIR_BOOT_ID", "second", 1);
	assert_true(now().trial && now().other_boot);
	assert_int_equal(confirmed_port(), 80);
}

static void forgetting_removes_everything(void **state)
{
	struct diag diag = {0};
	char path[PATH_MAX];

	save(80);
	try_out(81);
	assert_int_equal(confirmed_forget(PINS, &diag), 0);
	assert_int_equal(path_state(PINS, path, sizeof(path)), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(confirmed_port(), 0);
}

static char *list_file(const char *text)
{
	static char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/list.txt", dir);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
	return path;
}

/* The lists are kept as they were read: a file that changes, or goes, does not change the confirmed policy. */
static void lists_are_part_of_the_copy(void **state)
{
	char *list = list_file("192.0.2.7\n198.51.100.0/24 # all of it\n"), text[640];
	struct policy *policy = NULL, *copy = NULL;
	struct confirmed_state found;
	struct diag diag = {0};
	const char *path;

	snprintf(
	    text, sizeof(text),
	    "interfaces: [eth0]\nblock: [{file: %s}]\nsegments: {bad: [{file: %s}]}\n"
	    "allow: [{from: bad, port: tcp/80}, {from: [{file: %s}, 203.0.113.9], port: tcp/81}]\n",
	    list, list, list);
	assert_int_equal(policy_parse_text(text, strlen(text), "t.yaml", &policy, &diag), 0);
	assert_int_equal(confirmed_save(PINS, policy, &diag), 0);
	assert_string_equal(policy->block.item[0].name, list);
	assert_int_equal(unlink(list), 0);
	found = now();
	path = found.path;
	assert_int_equal(policy_parse(&path, 1, &copy, &diag), 0);
	assert_int_equal(copy->block.item[0].nr_list, 2);
	assert_memory_equal(copy->block.item[0].list, policy->block.item[0].list,
			    2 * sizeof(struct prefix));
	assert_int_equal(policy_segment(copy, "bad")->members.item[0].nr_list, 2);
	assert_int_equal(copy->rule[1].from.item[0].nr_list, 2);
	policy_free(policy);
	policy_free(copy);
}

static void a_full_or_read_only_disk_is_an_error(void **state)
{
	struct policy *policy = policy_of(80);
	struct diag diag = {0};

	setenv("WEIR_STATE_DIR", "/proc/nowhere", 1);
	assert_true(confirmed_save(PINS, policy, &diag) < 0);
	assert_non_null(strstr(diag.error, "/proc/nowhere"));
	diag_reset(&diag);
	assert_true(confirmed_begin_trial(PINS, policy, &diag) < 0);
	setenv("WEIR_STATE_DIR", dir, 1);
	policy_free(policy);
}

static void what_a_starting_daemon_applies(void **state)
{
	static const __u8 a[32] = {1}, b[32] = {2}, c[32] = {3};
	static const struct {
		const char *when;
		const __u8 *files, *running, *confirmed, *refused;
		bool other_boot, trial;
		enum confirmed_choice wanted;
	} table[] = {
	    {"first start", a, NULL, NULL, NULL, 0, 0, CHOOSE_FILES},
	    {"first start, rejected", NULL, NULL, NULL, NULL, 0, 0, CHOOSE_NONE},
	    {"boot", a, NULL, a, NULL, 0, 0, CHOOSE_FILES},
	    {"boot, files edited", b, NULL, a, NULL, 0, 0, CHOOSE_FILES},
	    {"boot, files rejected", NULL, NULL, a, NULL, 0, 0, CHOOSE_COPY},
	    {"restart", a, a, a, NULL, 0, 0, CHOOSE_RUNNING},
	    {"restart, files edited", b, a, a, NULL, 0, 0, CHOOSE_FILES},
	    {"restart, files rejected", NULL, a, a, NULL, 0, 0, CHOOSE_RUNNING},
	    {"restart during a trial of the files", b, b, a, b, 0, 1, CHOOSE_RUNNING},
	    {"restart during a trial of others", a, b, a, b, 0, 1, CHOOSE_RUNNING},
	    {"restart during a trial, rejected", NULL, b, a, b, 0, 1, CHOOSE_RUNNING},
	    {"restart after a trial of the files fell back", b, a, a, b, 0, 0, CHOOSE_RUNNING},
	    {"restart after that, files edited", c, a, a, b, 0, 0, CHOOSE_FILES},
	    {"reboot during a trial of the files", b, NULL, a, b, 1, 0, CHOOSE_COPY},
	    {"reboot during a trial, edited since", c, NULL, a, b, 1, 0, CHOOSE_COPY},
	    {"reboot during a trial, rejected", NULL, NULL, a, b, 1, 0, CHOOSE_COPY},
	    {"reboot during a trial of others", a, NULL, a, b, 1, 0, CHOOSE_FILES},
	    {"reboot during the very first trial", b, NULL, NULL, b, 1, 0, CHOOSE_NONE},
	    {"restart after a reboot during a trial", b, a, a, b, 1, 0, CHOOSE_RUNNING},
	    {"fell back to nothing", b, NULL, NULL, b, 0, 0, CHOOSE_NONE},
	    {"detached after a refusal", b, NULL, a, b, 0, 0, CHOOSE_COPY},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct confirmed_state found = {.refused = table[i].refused != NULL,
						.other_boot = table[i].other_boot};

		if (table[i].confirmed) {
			strcpy(found.path, "/copy");
			memcpy(found.sha256, table[i].confirmed, 32);
		}
		if (table[i].refused)
			memcpy(found.refused_sha256, table[i].refused, 32);
		if (confirmed_choose(&found, table[i].files, table[i].running, table[i].trial) !=
		    table[i].wanted)
			fail_msg("%s", table[i].when);
	}
}

static struct fingerprint print_of(const char *text, const struct environment *env)
{
	struct policy *policy = NULL, *again = NULL;
	struct fingerprint ret, canonical;
	struct diag diag = {0};
	char *copy = NULL;

	assert_int_equal(policy_parse_text(text, strlen(text), "/t.yaml", &policy, &diag), 0);
	ret = fingerprint_of(policy, env);
	/* What the kernel gives back has the same one. */
	assert_int_equal(policy_print(policy, &copy), 0);
	assert_int_equal(policy_parse_text(copy, strlen(copy), "in force", &again, &diag), 0);
	canonical = fingerprint_of(again, env);
	assert_true(fingerprint_same(&ret, &canonical));
	free(copy);
	policy_free(policy);
	policy_free(again);
	return ret;
}

static void what_a_policy_depends_on_is_in_its_fingerprint(void **state)
{
	struct prefix address[2] = {
	    {.length = 32, .address.byte = {[10] = 0xff, 0xff, 192, 0, 2, 1}},
	    {.length = 32, .address.byte = {[10] = 0xff, 0xff, 192, 0, 2, 2}}};
	struct env_interface interface[3] = {
	    {.name = "eth0", .ifindex = 2, .address = address, .nr_addresses = 1},
	    {.name = "eth1", .ifindex = 3, .address = address, .nr_addresses = 1},
	    {.name = "ppp0", .ifindex = 4},
	};
	struct environment env = {.interface = interface, .nr_interfaces = 2};
	struct fingerprint before, after, unknown = {0};
	char text[400];

	snprintf(text, sizeof(text),
		 "interfaces: [eth0]\n"
		 "block: [{file: %s}]\n"
		 "allow: [{from: {interface: eth0}, port: tcp/80}, {port: tcp/81, on: [\"p*\"]}]\n",
		 list_file("192.0.2.7\n"));
	before = print_of(text, &env);
	after = print_of(text, &env);
	assert_true(fingerprint_same(&before, &after));
	assert_false(fingerprint_same(&unknown, &unknown));

	list_file("192.0.2.8\n");
	after = print_of(text, &env);
	assert_false(fingerprint_same(&before, &after));
	list_file("192.0.2.7\n");
	interface[1].nr_addresses = 2; /* of another interface */
	after = print_of(text, &env);
	assert_true(fingerprint_same(&before, &after));
	interface[0].nr_addresses = 2;
	after = print_of(text, &env);
	assert_false(fingerprint_same(&before, &after));
	interface[0].nr_addresses = 1;
	env.nr_interfaces = 3; /* one that `on` matches */
	after = print_of(text, &env);
	assert_false(fingerprint_same(&before, &after));
	env.nr_interfaces = 2;
	env.forwarding6 = true;
	after = print_of(text, &env);
	assert_false(fingerprint_same(&before, &after));
	env.forwarding6 = false;
	after = print_of(text, &env);
	assert_true(fingerprint_same(&before, &after));
	strcpy(strstr(text, "tcp/80"), "tcp/8}]\n");
	after = print_of(text, &env);
	assert_false(fingerprint_same(&before, &after));
}

static void followed_names_are_not_in_the_fingerprint_but_own_endpoints_are(void **state)
{
	static const char text[] =
	    "allow: [{from: {container: kato}, to: {name: db.example.com}, port: tcp/80}]\n"
	    "services: [{address: 198.51.100.1, port: tcp/80, endpoints: [192.0.2.2:80]}]\n";
	struct prefix address[2] = {
	    {.length = 32, .address.byte = {[10] = 0xff, 0xff, 192, 0, 2, 1}},
	    {.length = 32, .address.byte = {[10] = 0xff, 0xff, 192, 0, 2, 2}}};
	struct env_interface interface = {.name = "eth0", .address = address, .nr_addresses = 1};
	struct env_name name = {
	    .kind = ITEM_CONTAINER, .name = (char *)"kato", .address = address, .known = true};
	struct environment env = {.interface = &interface, .nr_interfaces = 1};
	struct fingerprint before = print_of(text, &env), after;

	env.name = &name;
	env.nr_names = 1;
	for (name.n = 0; name.n <= 2; name.n++) {
		after = print_of(text, &env);
		assert_true(fingerprint_same(&before, &after));
	}
	interface.nr_addresses = 2;
	after = print_of(text, &env);
	assert_false(fingerprint_same(&before, &after));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(nothing_is_there_at_first),
	    TEST(a_final_apply_is_kept),
	    TEST(a_confirmed_trial_is_kept),
	    TEST(a_trial_that_ends_is_refused),
	    TEST(a_trial_that_was_never_applied_leaves_no_trace),
	    TEST(rollbacks_go_back_and_forth),
	    TEST(a_reboot_is_noticed),
	    TEST(forgetting_removes_everything),
	    TEST(lists_are_part_of_the_copy),
	    TEST(a_full_or_read_only_disk_is_an_error),
	    TEST(what_a_starting_daemon_applies),
	    TEST(what_a_policy_depends_on_is_in_its_fingerprint),
	    TEST(followed_names_are_not_in_the_fingerprint_but_own_endpoints_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
