// SPDX-License-Identifier: GPL-2.0-only
#include "audit/sink.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "audit/format.h"
#include "base/mem.h"

#define NS	     1000000000ULL
#define DAY_S	     86400
#define STAMP_LEN    16 /* 20261124T112655Z */
#define CHECK_NS     NS /* between looks whether the file is still at its path */
#define RETENTION_NS (60 * NS)

struct audit_sink {
	struct audit_sink_options options;
	char *path;
	char *name; /* last component, in path */
	int dir;
	int fd;
	dev_t dev;
	ino_t ino;
	__u64 size;
	__u64 since_ns; /* time of the first line; 0: empty */
	__u64 dirty_since_ns;
	__u64 checked_ns;
	__u64 retention_checked_ns;
	struct audit_sink_stats stats;
};

static int open_directory(const char *path, const char *name, int *ret)
{
	_cleanup_free_ char *dir = strndup(path, name - path);

	if (!dir)
		return -ENOMEM;
	*ret = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret < 0 && errno == ENOENT && mkdir(dir, 0750) == 0)
		*ret = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

/* When its first line was written; a file whose first line is not ours counts from its last change. */
static __u64 first_line_time(int fd, const struct stat *st)
{
	char head[128];
	ssize_t n;
	__u64 time;

	if (st->st_size == 0)
		return 0;
	n = pread(fd, head, sizeof(head), 0);
	if (n > 0 && audit_line_time(head, n, &time) == 0)
		return time;
	return (__u64)st->st_mtim.tv_sec * NS + st->st_mtim.tv_nsec;
}

static int open_file(struct audit_sink *sink)
{
	/* O_NONBLOCK: opening somebody's FIFO must not hang; it is refused below. */
	_cleanup_close_ int fd = openat(
	    sink->dir, sink->name,
	    O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return -EINVAL;
	if ((st.st_mode & 07777) != 0640 && fchmod(fd, 0640) < 0)
		return -errno;
	if (sink->fd >= 0)
		close(sink->fd);
	sink->fd = TAKE_FD(fd);
	sink->dev = st.st_dev;
	sink->ino = st.st_ino;
	sink->size = st.st_size;
	sink->since_ns = first_line_time(sink->fd, &st);
	return 0;
}

/* A crash or a full disk of a predecessor may have left half a line; what follows must not be glued to it. */
static int end_last_line(struct audit_sink *sink)
{
	char last;

	if (sink->size == 0 || pread(sink->fd, &last, 1, sink->size - 1) != 1 || last == '\n')
		return 0;
	if (write(sink->fd, "\n", 1) != 1)
		return -errno;
	sink->size++;
	return 0;
}

static int explain(struct diag *diag, int err, const char *path)
{
	if (err == -EINVAL)
		return diag_fail(diag, err, NULL,
				 "audit file %s: not a regular file with one name; refused", path);
	if (err == -ELOOP)
		return diag_fail(diag, err, NULL, "audit file %s: a symbolic link; refused", path);
	return diag_fail(diag, err, NULL, "audit file %s: %s", path, strerror(-err));
}

int audit_sink_open(const struct audit_sink_options *options, __u64 now_ns, struct audit_sink **ret,
		    struct diag *diag)
{
	struct audit_sink *sink = calloc(1, sizeof(*sink));
	int err = 0;

	if (!sink)
		return diag_fail(diag, -ENOMEM, NULL, "out of memory");
	sink->options = *options;
	sink->dir = sink->fd = -1;
	if (options->path) {
		if (options->path[0] != '/') {
			free(sink);
			return diag_fail(diag, -EINVAL, NULL, "audit file %s: not an absolute path",
					 options->path);
		}
		sink->path = strdup(options->path);
		err = sink->path ? 0 : -ENOMEM;
		if (!err) {
			sink->name = strrchr(sink->path, '/') + 1;
			err = open_directory(sink->path, sink->name, &sink->dir);
		}
		if (!err)
			err = open_file(sink);
		if (!err)
			end_last_line(sink); /* a disk that is full now may have room later */
	}
	sink->options.path = sink->path;
	if (sink->options.retention_s && !sink->options.rotate_s)
		sink->options.rotate_s =
		    sink->options.retention_s < DAY_S ? sink->options.retention_s : DAY_S;
	if (err) {
		explain(diag, err, options->path);
		audit_sink_close(sink);
		return err;
	}
	audit_sink_tick(sink, now_ns);
	*ret = sink;
	return 0;
}

static int sync_file(struct audit_sink *sink)
{
	sink->dirty_since_ns = 0;
	return fdatasync(sink->fd) < 0 ? -errno : 0;
}

static void stamp(__u64 now_ns, char *ret)
{
	time_t seconds = now_ns / NS;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(ret, STAMP_LEN + 1, "%Y%m%dT%H%M%SZ", &tm);
}

/* "NAME.STAMP" or "NAME.STAMP.N": the time in the stamp, 0 when @entry is no rotated file of @name. */
static __u64 rotated_time(const char *name, const char *entry)
{
	size_t n = strlen(name);
	struct tm tm = {0};
	const char *p;

	if (strncmp(entry, name, n) != 0 || entry[n] != '.')
		return 0;
	p = entry + n + 1;
	if (strlen(p) < STAMP_LEN || p[8] != 'T' || p[15] != 'Z')
		return 0;
	for (int i = 0; i < 15; i++)
		if (i != 8 && !isdigit((unsigned char)p[i]))
			return 0;
	if (sscanf(p, "%4d%2d%2dT%2d%2d%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
		   &tm.tm_min, &tm.tm_sec) != 6)
		return 0;
	p += STAMP_LEN;
	if (*p &&
	    (*p != '.' || !isdigit((unsigned char)p[1]) || p[1 + strspn(p + 1, "0123456789")]))
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return (__u64)timegm(&tm) * NS;
}

static int rotate(struct audit_sink *sink, __u64 now_ns)
{
	char target[NAME_MAX + 1], time[STAMP_LEN + 1];
	int err;

	stamp(now_ns, time);
	for (unsigned int i = 0;; i++) {
		int n = i ? snprintf(target, sizeof(target), "%s.%s.%u", sink->name, time, i)
			  : snprintf(target, sizeof(target), "%s.%s", sink->name, time);

		if (n < 0 || (size_t)n >= sizeof(target))
			return -ENAMETOOLONG;
		if (renameat2(sink->dir, sink->name, sink->dir, target, RENAME_NOREPLACE) == 0)
			break;
		if (errno != EEXIST || i > 10000)
			return -errno;
	}
	sync_file(sink);
	err = open_file(sink);
	if (err) /* go on in the old file, under its old name */
		renameat2(sink->dir, target, sink->dir, sink->name, RENAME_NOREPLACE);
	else
		sink->stats.rotated++;
	return err;
}

static bool rotation_due(const struct audit_sink *sink, size_t more, __u64 now_ns)
{
	if (sink->size == 0)
		return false;
	if (more && sink->options.rotate_bytes && sink->size + more > sink->options.rotate_bytes)
		return true;
	return sink->options.rotate_s && sink->since_ns + sink->options.rotate_s * NS <= now_ns;
}

static int write_fd(struct audit_sink *sink, const char *line, size_t len)
{
	struct pollfd ready = {.fd = sink->options.fd, .events = POLLOUT};
	ssize_t n;

	/* A reader that stopped must not stop the daemon. Pipes take PIPE_BUF at once when they are ready. */
	if (poll(&ready, 1, 0) == 0)
		return -EAGAIN;
	for (size_t done = 0; done < len; done += n) {
		n = write(sink->options.fd, line + done, len - done);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return -errno;
	}
	return 0;
}

static int write_file(struct audit_sink *sink, const char *line, size_t len)
{
	ssize_t n;

	do
		n = write(sink->fd, line, len);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)len)
		return 0;
	if (n < 0)
		return -errno;
	/* Half a line helps nobody, and the next one would be glued to it. */
	if (ftruncate(sink->fd, sink->size) < 0)
		return -errno;
	return -ENOSPC;
}

int audit_sink_write(struct audit_sink *sink, const char *line, size_t len, __u64 now_ns)
{
	int err = 0;

	if (!sink->path)
		err = write_fd(sink, line, len);
	if (sink->path && rotation_due(sink, len, now_ns))
		rotate(sink, now_ns); /* where that fails, the line still has a place */
	if (sink->path)
		err = write_file(sink, line, len);
	if (err) {
		sink->stats.refused++;
		return err;
	}
	if (sink->size == 0 && audit_line_time(line, len, &sink->since_ns))
		sink->since_ns = now_ns;
	if (!sink->dirty_since_ns)
		sink->dirty_since_ns = now_ns;
	sink->size += len;
	sink->stats.lines++;
	sink->stats.bytes += len;
	return 0;
}

static int remove_old(struct audit_sink *sink, __u64 now_ns)
{
	int fd = openat(sink->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -errno;
	}
	while ((entry = readdir(dir))) {
		__u64 time = rotated_time(sink->name, entry->d_name);

		if (time && time + sink->options.retention_s * NS < now_ns &&
		    unlinkat(sink->dir, entry->d_name, 0) == 0)
			sink->stats.removed++;
	}
	closedir(dir);
	return 0;
}

static bool moved_away(const struct audit_sink *sink)
{
	struct stat st;

	if (fstatat(sink->dir, sink->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT;
	return st.st_dev != sink->dev || st.st_ino != sink->ino;
}

int audit_sink_tick(struct audit_sink *sink, __u64 now_ns)
{
	int err = 0;

	if (!sink->path)
		return 0;
	if (now_ns - sink->checked_ns >= CHECK_NS) {
		sink->checked_ns = now_ns;
		if (moved_away(sink))
			err = open_file(sink);
	}
	if (!err && rotation_due(sink, 0, now_ns))
		err = rotate(sink, now_ns);
	if (sink->options.sync_s && sink->dirty_since_ns &&
	    now_ns - sink->dirty_since_ns >= sink->options.sync_s * NS)
		err = err ? err : sync_file(sink);
	if (sink->options.retention_s && now_ns - sink->retention_checked_ns >= RETENTION_NS) {
		sink->retention_checked_ns = now_ns;
		err = err ? err : remove_old(sink, now_ns);
	}
	return err;
}

int audit_sink_reopen(struct audit_sink *sink, __u64 now_ns, struct diag *diag)
{
	int err;

	if (!sink->path)
		return 0;
	err = open_file(sink);
	return err ? explain(diag, err, sink->path) : audit_sink_tick(sink, now_ns);
}

const struct audit_sink_stats *audit_sink_stats(const struct audit_sink *sink)
{
	return &sink->stats;
}

void audit_sink_close(struct audit_sink *sink)
{
	if (!sink)
		return;
	if (sink->fd >= 0) {
		sync_file(sink);
		close(sink->fd);
	}
	if (sink->dir >= 0)
		close(sink->dir);
	free(sink->path);
	free(sink);
}

static int by_name(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

static int add_file(char ***files, size_t *n, size_t *capacity, const char *dir, const char *name)
{
	char *path;

	if (mem_grow(files, *n, capacity, sizeof(**files)))
		return -ENOMEM;
	if (asprintf(&path, "%s%s", dir, name) < 0)
		return -ENOMEM;
	(*files)[(*n)++] = path;
	return 0;
}

int audit_sink_files(const char *path, char ***ret)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir_name = slash ? strndup(path, slash - path + 1) : strdup("");
	const char *name = slash ? slash + 1 : path;
	size_t n = 0, capacity = 0;
	char **files = NULL;
	struct dirent *entry;
	int err = 0;
	DIR *dir;

	dir = dir_name ? opendir(dir_name[0] ? dir_name : ".") : NULL;
	if (!dir)
		return dir_name ? -errno : -ENOMEM;
	while (!err && (entry = readdir(dir)))
		if (rotated_time(name, entry->d_name))
			err = add_file(&files, &n, &capacity, dir_name, entry->d_name);
	closedir(dir);
	if (n)
		qsort(files, n, sizeof(*files), by_name);
	if (!err && access(path, F_OK) == 0)
		err = add_file(&files, &n, &capacity, dir_name, name);
	if (err) {
		for (size_t i = 0; i < n; i++)
			free(files[i]);
		free(files);
		return err;
	}
	*ret = files;
	return n;
}
