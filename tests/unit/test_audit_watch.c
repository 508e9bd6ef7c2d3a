// SPDX-License-Identifier: GPL-2.0-only
/* Following files, whichever way they are changed, and new links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>

/* Commands are no library. */
#include "cmd/watch.c"

static char dir[64], path[128], other[128];
static struct watch_files *watch;

static void write_text(const char *file, const char *text)
{
	FILE *stream = fopen(file, "w");

	assert_non_null(stream);
	fputs(text, stream);
	fclose(stream);
}

static int begin(void **state)
{
	struct diag diag = {0};

	strcpy(dir, "/tmp/test_audit_watch.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/policy.yaml", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	write_text(path, "one");
	return watch_files_open(&watch, &diag);
}

static int end(void **state)
{
	char command[128];

	watch_files_close(watch);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void follow(const char *file)
{
	assert_int_equal(watch_files_set(watch, &file, 1), 0);
	assert_false(watch_files_changed(watch));
}

/* An event came, and it was about our file. */
static bool noticed(void)
{
	struct pollfd ready = {.fd = watch_files_fd(watch), .events = POLLIN};

	return poll(&ready, 1, 200) == 1 && watch_files_read(watch) && watch_files_changed(watch);
}

static void written_in_place(void **state)
{
	follow(path);
	assert_false(noticed());
	write_text(path, "two");
	assert_true(noticed());
	assert_false(noticed());
}

static void renamed_over_by_an_editor(void **state)
{
	follow(path);
	write_text(other, "new");
	watch_files_read(watch);
	assert_false(watch_files_changed(watch));
	assert_int_equal(rename(other, path), 0);
	assert_true(noticed());
	/* And once more: the watch is on the directory, not on the file that is gone. */
	write_text(other, "newer");
	watch_files_read(watch);
	assert_int_equal(rename(other, path), 0);
	assert_true(noticed());
}

static void moved_away_and_written_anew(void **state)
{
	follow(path);
	assert_int_equal(rename(path, other), 0);
	assert_true(noticed());
	write_text(path, "new");
	assert_true(noticed());
}

static void removed_and_made_again(void **state)
{
	follow(path);
	unlink(path);
	assert_true(noticed());
	write_text(path, "again");
	assert_true(noticed());
}

static void not_there_yet(void **state)
{
	follow(other);
	write_text(other, "here");
	assert_true(noticed());
}

/* As mounted configuration does it: policy.yaml -> ..data/policy.yaml, ..data -> a directory that is swapped. */
static void a_link_two_levels_up_is_swapped(void **state)
{
	char name[160], target[160];

	unlink(path);
	for (int i = 1; i <= 2; i++) {
		snprintf(name, sizeof(name), "%s/..%d", dir, i);
		assert_int_equal(mkdir(name, 0700), 0);
		strcat(name, "/policy.yaml");
		write_text(name, "version");
	}
	snprintf(name, sizeof(name), "%s/..data", dir);
	assert_int_equal(symlink("..1", name), 0);
	assert_int_equal(symlink("..data/policy.yaml", path), 0);
	follow(path);
	snprintf(target, sizeof(target), "%s/..tmp", dir);
	assert_int_equal(symlink("..2", target), 0);
	assert_int_equal(rename(target, name), 0);
	assert_true(noticed());
	/* The file behind the links is followed, too. */
	snprintf(name, sizeof(name), "%s/..2/policy.yaml", dir);
	write_text(name, "edited");
	assert_true(noticed());
}

static void others_in_the_directory_are_not_ours(void **state)
{
	follow(path);
	write_text(other, "noise");
	assert_false(noticed());
	unlink(other);
	assert_false(noticed());
}

static void a_new_file_in_a_followed_directory(void **state)
{
	char slash[160];

	snprintf(slash, sizeof(slash), "%s/", dir);
	follow(slash);
	write_text(other, "one more");
	assert_true(noticed());
}

static void another_set_replaces_the_first(void **state)
{
	char elsewhere[] = "/tmp/test_audit_watch.XXXXXX", file[160];

	assert_non_null(mkdtemp(elsewhere));
	snprintf(file, sizeof(file), "%s/list", elsewhere);
	follow(path);
	follow(file);
	write_text(path, "no longer");
	assert_false(noticed());
	write_text(file, "now");
	assert_true(noticed());
	unlink(file);
	rmdir(elsewhere);
}

/* ---- links, in a network namespace that ends with the test ---- */

static unsigned int wait_for(struct watch_links *links, unsigned int bits)
{
	struct pollfd ready = {.fd = watch_links_fd(links), .events = POLLIN};
	unsigned int found = 0;

	for (int i = 0; i < 20 && (found & bits) != bits; i++)
		if (poll(&ready, 1, 100) == 1)
			found |= watch_links_read(links);
	return found;
}

/* Some link that its hooks wait for. */
static bool wait_for_urgent(struct watch_links *links)
{
	struct pollfd ready = {.fd = watch_links_fd(links), .events = POLLIN};
	const struct link_change *change;

	for (int i = 0; i < 20; i++) {
		if (poll(&ready, 1, 100) != 1)
			continue;
		watch_links_read(links);
		for (size_t n = watch_links_changed(links, &change); n; n--, change++)
			if (change->urgent)
				return true;
	}
	return false;
}

static void settle(struct watch_links *links)
{
	struct pollfd ready = {.fd = watch_links_fd(links), .events = POLLIN};

	while (poll(&ready, 1, 200) == 1)
		watch_links_read(links);
}

static void links_child(void)
{
	struct watch_links *links = NULL;
	struct diag diag = {0};

	assert_int_equal(watch_links_open(&links, &diag), 0);
	assert_int_equal(system("ip link add weir0 type veth peer name weir9"), 0);
	assert_true(wait_for_urgent(links));
	settle(links);
	/* Known by now: a change of it is no new link. */
	assert_int_equal(system("ip link set weir0 mtu 1400"), 0);
	assert_true(wait_for(links, LINKS_CHANGED) & LINKS_CHANGED);
	settle(links);
	assert_int_equal(system("ip link set weir0 mtu 1300"), 0);
	assert_false(wait_for_urgent(links));
	/* Another name may be another workload's. */
	assert_int_equal(system("ip link set weir0 name weir1"), 0);
	assert_true(wait_for_urgent(links));
	settle(links);
	assert_int_equal(system("ip addr add 192.0.2.1/24 dev weir1"), 0);
	assert_true(wait_for(links, LINKS_ADDRESSES) & LINKS_ADDRESSES);
	settle(links);
	assert_int_equal(system("echo 1 >/proc/sys/net/ipv4/conf/weir1/forwarding"), 0);
	assert_true(wait_for(links, LINKS_ROUTES4) & LINKS_ROUTES4);
	settle(links);
	assert_int_equal(system("ip link del weir1 && ip link add weir1 type veth peer name weir9"),
			 0);
	assert_true(wait_for_urgent(links));
	watch_links_close(links);
}

static void links_and_addresses_are_noticed(void **state)
{
	int home;

	if (geteuid() != 0)
		skip();
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (unshare(CLONE_NEWNET) < 0)
		skip();
	links_child();
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(written_in_place),
	    TEST(renamed_over_by_an_editor),
	    TEST(moved_away_and_written_anew),
	    TEST(removed_and_made_again),
	    TEST(not_there_yet),
	    TEST(a_link_two_levels_up_is_swapped),
	    TEST(others_in_the_directory_are_not_ours),
	    TEST(a_new_file_in_a_followed_directory),
	    TEST(another_set_replaces_the_first),
	    cmocka_unit_test(links_and_addresses_are_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
