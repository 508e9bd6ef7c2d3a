// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define STEP_MS 20

static const char *run_dir(void)
{
	const char *dir = getenv("WEIR_RUN_DIR");

	return dir && dir[0] ? dir : "/run/weir";
}

int run_path(const char *dir, const char *suffix, char *ret)
{
	char name[NAME_MAX + 1];
	size_t n = 0;

	if (strncmp(dir, "/sys/fs/bpf/", 12) == 0)
		dir += 12;
	for (; *dir; dir++) {
		if (*dir == '/' && (n == 0 || dir[1] == '/' || dir[1] == '\0'))
			continue;
		if (n + 1 >= sizeof(name))
			return -ENAMETOOLONG;
		name[n++] = *dir == '/' ? '+' : *dir;
	}
	name[n] = '\0';
	if (name[0] == '.')
		name[0] = '+';
	if (snprintf(ret, PATH_MAX, "%s/%s.%s", run_dir(), name, suffix) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

/* A lock on a file that was removed meanwhile locks nothing. */
static bool still_there(int fd, const char *path)
{
	struct stat held, named;

	return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino &&
	       held.st_dev == named.st_dev;
}

static int try_lock(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (!still_there(fd, path))
		return -EBUSY;
	return TAKE_FD(fd);
}

int lock_take(const char *dir, const char *suffix, unsigned int wait_ms)
{
	const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
	char path[PATH_MAX];
	unsigned int waited = 0;
	int fd = run_path(dir, suffix, path);

	if (fd < 0)
		return fd;
	if (mkdir(run_dir(), 0750) < 0 && errno != EEXIST)
		return -errno;
	for (;;) {
		fd = try_lock(path);
		if (fd != -EBUSY || waited >= wait_ms)
			return fd;
		nanosleep(&step, NULL);
		waited += STEP_MS;
	}
}

static int process_name(int pid, char *ret, size_t size)
{
	char path[64];
	_cleanup_fclose_ FILE *in = NULL;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	in = fopen(path, "re");
	if (!in || !fgets(ret, size, in))
		return -ESRCH;
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

const char *lock_holder(const char *dir, const char *suffix, char *ret, size_t size)
{
	_cleanup_fclose_ FILE *in = fopen("/proc/locks", "re");
	char path[PATH_MAX], line[256], name[32];
	unsigned long inode;
	struct stat named;
	int pid;

	ret[0] = '\0';
	if (!in || run_path(dir, suffix, path) || stat(path, &named) < 0)
		return ret;
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "%*d: FLOCK %*s WRITE %d %*x:%*x:%lu", &pid, &inode) != 2 ||
		    inode != named.st_ino)
			continue;
		if (process_name(pid, name, sizeof(name)) == 0)
			snprintf(ret, size, " (process %d, %s, holds its lock)", pid, name);
		else
			snprintf(ret, size, " (a child that process %d left holds its lock)", pid);
		break;
	}
	return ret;
}

void lock_remove(const char *dir, const char *suffix)
{
	char path[PATH_MAX];

	if (run_path(dir, suffix, path) == 0)
		unlink(path);
}
