// SPDX-License-Identifier: GPL-2.0-only
/* The audit file: whole lines, rotation and retention by a given clock, full disks, and files that are not ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/format.h"
#include "audit/reader.h"
#include "audit/sink.h"

#define NS    1000000000ULL
#define DAY   (86400 * NS)
#define START (1764000000 * NS) /* 2025-11-24T16:00:00Z */

static char dir[64];
static char path[128];

static int make_dir(void **state)
{
	strcpy(dir, "/tmp/test_audit_sink.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
	return 0;
}

static int remove_dir(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static struct audit_sink *open_sink(struct audit_sink_options options, __u64 now_ns)
{
	struct audit_sink *sink = NULL;
	struct diag diag = {0};

	options.path = path;
	assert_int_equal(audit_sink_open(&options, now_ns, &sink, &diag), 0);
	return sink;
}

static size_t line_at(__u64 time_ns, char *ret, size_t size)
{
	char time[32];

	return snprintf(ret, size, "{\"timestamp\":\"%s\",\"n\":1}\n",
			audit_format_time(time_ns, time));
}

static int put(struct audit_sink *sink, __u64 now_ns)
{
	char line[128];
	size_t len = line_at(now_ns, line, sizeof(line));

	return audit_sink_write(sink, line, len, now_ns);
}

static int files(char ***ret)
{
	int n = audit_sink_files(path, ret);

	assert_true(n >= 0);
	return n;
}

static void free_files(char **list, int n)
{
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

static int count_files(void)
{
	char **list;
	int n = files(&list);

	free_files(list, n);
	return n;
}

static char *contents(const char *file)
{
	static char text[65536];
	FILE *stream = fopen(file, "r");
	size_t n;

	assert_non_null(stream);
	n = fread(text, 1, sizeof(text) - 1, stream);
	text[n] = '\0';
	fclose(stream);
	return text;
}

static void lines_are_appended(void **state)
{
	struct audit_sink *sink = open_sink((struct audit_sink_options){0}, START);
	struct stat st;

	assert_int_equal(put(sink, START), 0);
	audit_sink_close(sink);
	sink = open_sink((struct audit_sink_options){0}, START);
	assert_int_equal(put(sink, START + NS), 0);
	assert_int_equal(audit_sink_stats(sink)->lines, 1);
	audit_sink_close(sink);
	assert_string_equal(contents(path),
			    "{\"timestamp\":\"2025-11-24T16:00:00.000000Z\",\"n\":1}\n"
			    "{\"timestamp\":\"2025-11-24T16:00:01.000000Z\",\"n\":1}\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void mode_is_tightened(void **state)
{
	struct stat st;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	fchmod(fd, 0666);
	close(fd);
	audit_sink_close(open_sink((struct audit_sink_options){0}, START));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void half_a_line_is_ended(void **state)
{
	struct audit_sink *sink;
	FILE *file = fopen(path, "w");

	fputs("{\"timestamp\":\"20", file);
	fclose(file);
	sink = open_sink((struct audit_sink_options){0}, START);
	assert_int_equal(put(sink, START), 0);
	audit_sink_close(sink);
	assert_string_equal(contents(path),
			    "{\"timestamp\":\"20\n"
			    "{\"timestamp\":\"2025-11-24T16:00:00.000000Z\",\"n\":1}\n");
}

static void refused(int wanted)
{
	struct audit_sink_options options = {.path = path};
	struct audit_sink *sink = NULL;
	struct diag diag = {0};

	assert_int_equal(audit_sink_open(&options, START, &sink, &diag), wanted);
	assert_null(sink);
	assert_non_null(strstr(diag.error, path));
}

static void links_and_devices_are_refused(void **state)
{
	char other[160];

	snprintf(other, sizeof(other), "%s/other", dir);
	close(open(other, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(symlink(other, path), 0);
	refused(-ELOOP);
	unlink(path);
	assert_int_equal(link(other, path), 0);
	refused(-EINVAL);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(-EINVAL);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	refused(-EISDIR);
	rmdir(path);
	assert_string_equal(contents(other), "");
}

static void relative_paths_are_refused(void **state)
{
	struct audit_sink_options options = {.path = "audit.jsonl"};
	struct audit_sink *sink = NULL;
	struct diag diag = {0};

	assert_int_equal(audit_sink_open(&options, START, &sink, &diag), -EINVAL);
}

static void a_missing_directory_is_made(void **state)
{
	char deep[160];

	snprintf(deep, sizeof(deep), "%s/log/audit.jsonl", dir);
	strcpy(path, deep);
	audit_sink_close(open_sink((struct audit_sink_options){0}, START));
	assert_int_equal(access(deep, F_OK), 0);
	snprintf(path, sizeof(path), "%s/no/such/audit.jsonl", dir);
	refused(-ENOENT);
}

static void rotates_by_size_between_lines(void **state)
{
	struct audit_sink_options options = {.rotate_bytes = 130}; /* two lines of 50 bytes */
	struct audit_sink *sink = open_sink(options, START);
	char **list;
	int n;

	for (int i = 0; i < 5; i++)
		assert_int_equal(put(sink, START + i * NS), 0);
	assert_int_equal(audit_sink_stats(sink)->rotated, 2);
	audit_sink_close(sink);
	n = files(&list);
	assert_int_equal(n, 3);
	assert_non_null(strstr(list[0], "audit.jsonl.20251124T160002Z"));
	assert_non_null(strstr(list[1], "audit.jsonl.20251124T160004Z"));
	assert_string_equal(list[2], path);
	for (int i = 0, wanted = 0; i < n; i++)
		for (char *line = contents(list[i]); *line; line = strchr(line, '\n') + 1) {
			char time[32];

			audit_format_time(START + wanted++ * NS, time);
			assert_int_equal(strncmp(line + 14, time, strlen(time)), 0);
		}
	free_files(list, n);
}

static void rotations_within_a_second_do_not_collide(void **state)
{
	struct audit_sink_options options = {.rotate_bytes = 60};
	struct audit_sink *sink = open_sink(options, START);
	char **list;
	int n;

	for (int i = 0; i < 13; i++)
		assert_int_equal(put(sink, START + i), 0);
	audit_sink_close(sink);
	n = files(&list);
	assert_int_equal(n, 13);
	assert_non_null(strstr(list[0], "Z"));
	assert_string_equal(strrchr(list[1], 'Z'), "Z.1");
	assert_string_equal(strrchr(list[11], 'Z'), "Z.11");
	free_files(list, n);
}

static void rotates_by_age_of_the_first_line(void **state)
{
	struct audit_sink_options options = {.rotate_s = 3600};
	struct audit_sink *sink = open_sink(options, START);

	assert_int_equal(put(sink, START), 0);
	audit_sink_tick(sink, START + 3599 * NS);
	assert_int_equal(count_files(), 1);
	/* A restart does not make the file young. */
	audit_sink_close(sink);
	sink = open_sink(options, START + 3599 * NS);
	assert_int_equal(count_files(), 1);
	audit_sink_tick(sink, START + 3600 * NS);
	assert_int_equal(audit_sink_stats(sink)->rotated, 1);
	/* Nothing in it: nothing to rotate. */
	audit_sink_tick(sink, START + 10 * DAY);
	assert_int_equal(audit_sink_stats(sink)->rotated, 1);
	audit_sink_close(sink);
}

static void touch(const char *name)
{
	char file[256];

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	close(open(file, O_CREAT | O_WRONLY, 0600));
}

static bool there(const char *name)
{
	char file[256];

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	return access(file, F_OK) == 0;
}

static void retention_removes_what_is_older(void **state)
{
	static const char *const stay[] = {
	    "audit.jsonl.20251024T160001Z",
	    "audit.jsonl.20200101T000000Z.bak",
	    "audit.jsonl.20200101T000000Z.1x",
	    "audit.jsonl.2020010XT000000Z",
	    "audit.jsonl.old",
	    "other.jsonl.20200101T000000Z",
	    "audit.jsonl20200101T000000Z",
	    "audit.jsonl.20200101T000000",
	    "audit.jsonl.20251123T160000Z.gz",
	};
	static const char *const go[] = {"audit.jsonl.20251024T155959Z",
					 "audit.jsonl.20251024T155959Z.3",
					 "audit.jsonl.20200101T000000Z"};
	struct audit_sink_options options = {.retention_s = 31 * 86400}; /* 2025-10-24T16:00:00Z */
	struct audit_sink *sink;

	for (size_t i = 0; i < 9; i++)
		touch(stay[i]);
	for (size_t i = 0; i < 3; i++)
		touch(go[i]);
	sink = open_sink(options, START);
	for (size_t i = 0; i < 9; i++)
		assert_true(there(stay[i]));
	for (size_t i = 0; i < 3; i++)
		assert_false(there(go[i]));
	assert_int_equal(audit_sink_stats(sink)->removed, 3);
	audit_sink_tick(sink, START + 30 * NS);
	assert_true(there("audit.jsonl.20251024T160001Z"));
	audit_sink_tick(sink, START + 61 * NS);
	assert_false(there("audit.jsonl.20251024T160001Z"));
	audit_sink_close(sink);
}

/* Retention alone would never delete anything if nothing were ever rotated. */
static void no_line_outlives_its_retention_by_more_than_a_day(void **state)
{
	struct audit_sink_options options = {.retention_s = 2 * 86400};
	struct audit_sink *sink = open_sink(options, START);

	for (int hour = 0; hour < 24 * 10; hour++) {
		__u64 now = START + hour * 3600 * NS;
		char **list;
		int n;

		audit_sink_tick(sink, now);
		assert_int_equal(put(sink, now), 0);
		n = files(&list);
		for (int i = 0; i < n; i++) {
			__u64 first;
			char *text = contents(list[i]);

			assert_int_equal(audit_line_time(text, strlen(text), &first), 0);
			assert_true(first + 3 * DAY + 3600 * NS >= now);
		}
		free_files(list, n);
	}
	assert_true(audit_sink_stats(sink)->removed >= 6);
	audit_sink_close(sink);
}

static void a_file_moved_away_is_opened_anew(void **state)
{
	struct audit_sink *sink = open_sink((struct audit_sink_options){0}, START);
	char moved[160];

	snprintf(moved, sizeof(moved), "%s.1", path);
	assert_int_equal(put(sink, START), 0);
	assert_int_equal(rename(path, moved), 0);
	audit_sink_tick(sink, START + 2 * NS);
	assert_int_equal(put(sink, START + 2 * NS), 0);
	assert_non_null(strstr(contents(path), "16:00:02"));
	assert_null(strstr(contents(moved), "16:00:02"));
	audit_sink_close(sink);
}

static void reopening_follows_the_path(void **state)
{
	struct audit_sink *sink = open_sink((struct audit_sink_options){0}, START);
	struct diag diag = {0};

	assert_int_equal(put(sink, START), 0);
	unlink(path);
	assert_int_equal(audit_sink_reopen(sink, START, &diag), 0);
	assert_int_equal(put(sink, START + NS), 0);
	assert_non_null(strstr(contents(path), "16:00:01"));
	audit_sink_close(sink);
}

static void a_full_descriptor_refuses(void **state)
{
	struct audit_sink_options options = {.fd = open("/dev/full", O_WRONLY)};
	struct audit_sink *sink = NULL;
	struct diag diag = {0};

	assert_true(options.fd >= 0);
	assert_int_equal(audit_sink_open(&options, START, &sink, &diag), 0);
	assert_int_equal(put(sink, START), -ENOSPC);
	assert_int_equal(put(sink, START), -ENOSPC);
	assert_int_equal(audit_sink_stats(sink)->lines, 0);
	assert_int_equal(audit_sink_stats(sink)->refused, 2);
	audit_sink_close(sink);
	close(options.fd);
}

static void a_stopped_reader_blocks_nobody(void **state)
{
	struct audit_sink_options options = {0};
	struct audit_sink *sink = NULL;
	struct diag diag = {0};
	int ends[2], written = 0;
	char scrap[65536];

	assert_int_equal(pipe(ends), 0);
	options.fd = ends[1];
	assert_int_equal(audit_sink_open(&options, START, &sink, &diag), 0);
	while (put(sink, START) == 0)
		assert_true(++written < 100000);
	assert_int_equal(put(sink, START), -EAGAIN);
	assert_true(read(ends[0], scrap, sizeof(scrap)) > 0);
	assert_int_equal(put(sink, START), 0);
	audit_sink_close(sink);
	close(ends[0]);
	close(ends[1]);
}

/* A disk of its own, of 64 KiB, in a mount namespace that ends with this process. */
static bool small_disk(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		return false;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	return mount("test_audit_sink", dir, "tmpfs", 0, "size=64k") == 0;
}

static void a_full_disk_holds_whole_lines_only(void **state)
{
	struct audit_sink *sink;
	char filler[160], *text;
	int lines = 0, err;
	size_t len;
	FILE *file;

	if (!small_disk())
		skip();
	/* So that the end of the disk falls into a line: 50 bytes divide no page. */
	snprintf(filler, sizeof(filler), "%s/filler", dir);
	file = fopen(filler, "w");
	for (int i = 0; i < 12 * 4096; i++)
		fputc('x', file);
	fclose(file);
	sink = open_sink((struct audit_sink_options){0}, START);
	while ((err = put(sink, START + lines * NS)) == 0)
		assert_true(++lines < 10000);
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(put(sink, START), -ENOSPC);
	assert_int_equal(audit_sink_stats(sink)->lines, lines);
	text = contents(path);
	len = strlen(text);
	assert_true(len > 0 && text[len - 1] == '\n');
	for (char *c = text; *c; c++)
		lines -= *c == '\n';
	assert_int_equal(lines, 0);
	/* Room again: the next line is whole, and stands on a line of its own. */
	unlink(filler);
	assert_int_equal(put(sink, START + 1000000 * NS), 0);
	text = contents(path);
	assert_true(strlen(text) == len + 50);
	assert_int_equal(text[len], '{');
	audit_sink_close(sink);
	assert_int_equal(umount(dir), 0);
}

static void a_refused_record_is_offered_again_then_given_up(void **state)
{
	__u64 since = 0;

	assert_int_equal(audit_sink_gate(&since, 0, START), 0);
	assert_int_equal(audit_sink_gate(&since, -ENOSPC, START), -EAGAIN);
	assert_int_equal(audit_sink_gate(&since, -ENOSPC, START + AUDIT_STALL_NS - 1), -EAGAIN);
	assert_int_equal(audit_sink_gate(&since, -ENOSPC, START + AUDIT_STALL_NS), -ENOSPC);
	/* From then on at once, until the sink takes one. */
	assert_int_equal(audit_sink_gate(&since, -ENOSPC, START + AUDIT_STALL_NS + 1), -ENOSPC);
	assert_int_equal(audit_sink_gate(&since, -EAGAIN, START + AUDIT_STALL_NS + 2), -EIO);
	assert_int_equal(audit_sink_gate(&since, 0, START + AUDIT_STALL_NS + 3), 0);
	assert_int_equal(audit_sink_gate(&since, -ENOSPC, START + AUDIT_STALL_NS + 4), -EAGAIN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(lines_are_appended),
	    TEST(mode_is_tightened),
	    TEST(half_a_line_is_ended),
	    TEST(links_and_devices_are_refused),
	    TEST(relative_paths_are_refused),
	    TEST(a_missing_directory_is_made),
	    TEST(rotates_by_size_between_lines),
	    TEST(rotations_within_a_second_do_not_collide),
	    TEST(rotates_by_age_of_the_first_line),
	    TEST(retention_removes_what_is_older),
	    TEST(no_line_outlives_its_retention_by_more_than_a_day),
	    TEST(a_file_moved_away_is_opened_anew),
	    TEST(reopening_follows_the_path),
	    TEST(a_full_descriptor_refuses),
	    TEST(a_stopped_reader_blocks_nobody),
	    TEST(a_full_disk_holds_whole_lines_only),
	    TEST(a_refused_record_is_offered_again_then_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
