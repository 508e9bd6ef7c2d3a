// SPDX-License-Identifier: GPL-2.0-only
/* Units by their cgroups, in a tree of directories that stands in for the cgroup file system, and in the real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <mntent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "fake_engine.h"
#include "names/internal.h"

#define SOON_MS 3000

static char dir[64];
static struct followed *names;
static struct policy *policy;

static void make(const char *path)
{
	char command[512];

	snprintf(command, sizeof(command), "mkdir -p '%s/%s'", dir, path);
	assert_int_equal(system(command), 0);
}

static __u64 inode(const char *path)
{
	char full[512];
	struct stat st;

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	assert_int_equal(stat(full, &st), 0);
	return st.st_ino;
}

static int begin(void **state)
{
	struct diag diag = {0};

	strcpy(dir, "/tmp/test_names_units.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	if (names_open("/nowhere", NULL, &names, &diag))
		return -1;
	return names_use(names, NULL, dir);
}

static int remove_all(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static int end(void **state)
{
	names_close(names);
	policy_free(policy);
	policy = NULL;
	return remove_all();
}

static void follow(const char *items)
{
	struct diag diag = {0};

	policy_free(policy);
	policy = policy_that_names(items);
	assert_int_equal(names_want(names, policy, &diag), 0);
}

/* The number of the unit that has the directory's cgroup, 0: none. */
static __u32 unit_of(__u64 cgroup, size_t *ret_n)
{
	_cleanup_free_ __u64 *list = NULL;
	_cleanup_free_ __u32 *unit = NULL;
	__u32 found = 0;

	assert_int_equal(names_units(names, &list, &unit, ret_n), 0);
	for (size_t i = 0; i < *ret_n; i++) {
		if (list[i] == cgroup)
			found = unit[i];
	}
	return found;
}

static bool has_units(size_t n)
{
	for (__u64 until = now_ns() + SOON_MS * 1000000ULL; now_ns() < until;) {
		size_t now;

		unit_of(0, &now);
		if (now == n)
			return true;
		assert_true(turn(names, 20) >= 0);
	}
	return false;
}

static __u32 number_in_tables(const char *name)
{
	const char *text = state_text(names, ITEM_UNIT, name);
	unsigned int high, low;

	assert_int_equal(sscanf(text, "127.255.%u.%u", &high, &low), 2);
	return high * 256 + low;
}

static void a_unit_is_its_cgroup_and_all_below(void **state)
{
	size_t n;

	make("system.slice/nginx.service/worker/1");
	make("system.slice/system-db.slice/db@a.service");
	make("system.slice/other.service");
	follow("{unit: nginx.service}, {unit: db@a.service}, {unit: off.service}");
	assert_int_equal(names_wait(names, 0), 0);
	assert_int_equal(unit_of(inode("system.slice/nginx.service"), &n),
			 number_in_tables("nginx.service"));
	assert_int_equal(n, 4);
	assert_int_equal(unit_of(inode("system.slice/nginx.service/worker/1"), &n),
			 number_in_tables("nginx.service"));
	assert_int_equal(unit_of(inode("system.slice/system-db.slice/db@a.service"), &n),
			 number_in_tables("db@a.service"));
	assert_int_equal(unit_of(inode("system.slice/other.service"), &n), 0);
	assert_int_equal(unit_of(inode("system.slice"), &n), 0);
	assert_true(number_in_tables("nginx.service") != number_in_tables("off.service"));
	assert_string_equal(error_text(names, ITEM_UNIT, "off.service"), "it does not run");
	assert_string_equal(error_text(names, ITEM_UNIT, "nginx.service"), "");
}

static void who_calls_himself_a_unit_is_none(void **state)
{
	make("user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service");
	make("system.slice/docker-0123.scope/system.slice/nginx.service");
	make("docker/0123/nginx.service");
	follow("{unit: nginx.service}");
	assert_true(has_units(0));
	make("system.slice/nginx.service");
	assert_true(has_units(1));
}

static void units_that_come_and_go_are_followed(void **state)
{
	size_t n;
	int bits = 0;
	__u64 first;

	follow("{unit: nginx.service}");
	assert_true(has_units(0));
	make("system.slice/nginx.service");
	for (int i = 0; i < 100 && !(bits & NAMES_UNITS); i++)
		bits |= turn(names, 20);
	assert_true(bits & NAMES_UNITS);
	first = inode("system.slice/nginx.service");
	assert_int_equal(unit_of(first, &n), number_in_tables("nginx.service"));
	assert_int_equal(names_dispatch(names) & NAMES_UNITS, 0);
	make("system.slice/nginx.service/child");
	assert_true(has_units(2));
	assert_int_equal(remove_all(), 0);
	make(".");
	assert_true(has_units(0));
	assert_string_equal(error_text(names, ITEM_UNIT, "nginx.service"), "it does not run");
}

static void numbers_stay_while_a_unit_is_named(void **state)
{
	__u32 b;

	follow("{unit: a.service}, {unit: b.service}");
	b = number_in_tables("b.service");
	follow("{unit: b.service}, {unit: c.service}");
	assert_int_equal(number_in_tables("b.service"), b);
	assert_true(number_in_tables("c.service") != b);
	assert_in_range(number_in_tables("c.service"), 1, 3);
}

/* The id is what the kernel gives a program: the real file system says it too. */
static void the_kernels_own_ids_are_meant(void **state)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *mount;
	char path[256] = "", item[300];
	struct stat st;
	size_t n;
	__u32 unit;

	assert_non_null(mounts);
	while (!*path && (mount = getmntent(mounts))) {
		if (strcmp(mount->mnt_type, "cgroup2") == 0)
			snprintf(path, sizeof(path), "%.200s/weir-test-%d.service", mount->mnt_dir,
				 getpid());
	}
	endmntent(mounts);
	if (!*path || mkdir(path, 0755) < 0)
		skip(); /* no such file system, or read-only */
	assert_int_equal(stat(path, &st), 0);
	*strrchr(path, '/') = '\0';
	assert_int_equal(names_use(names, NULL, path), 0);
	snprintf(item, sizeof(item), "{unit: %s}", path + strlen(path) + 1);
	follow(item);
	unit = unit_of(st.st_ino, &n);
	path[strlen(path)] = '/';
	rmdir(path);
	assert_int_equal(n, 1);
	assert_int_equal(unit, 1);
	assert_true(has_units(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	    TEST(a_unit_is_its_cgroup_and_all_below),  TEST(who_calls_himself_a_unit_is_none),
	    TEST(units_that_come_and_go_are_followed), TEST(numbers_stay_while_a_unit_is_named),
	    TEST(the_kernels_own_ids_are_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
