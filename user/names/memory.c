// SPDX-License-Identifier: GPL-2.0-only
#include "names/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static int boot_id(char ret[64])
{
	_cleanup_fclose_ FILE *file = fopen(BOOT_ID, "re");

	if (!file || !fgets(ret, 64, file))
		return -EIO;
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

int memory_read(const char *path, json_t **ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	const char *boot;
	char now[64];
	struct stat st;
	json_t *what;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > MEMORY_MAX_BYTES)
		return -EPROTO;
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return -EPERM;
	what = json_loadfd(fd, 0, NULL);
	boot = json_string_value(json_object_get(what, "boot_id"));
	if (!what || !boot) {
		json_decref(what);
		return -EPROTO;
	}
	if (boot_id(now) || strcmp(boot, now) != 0) {
		json_decref(what);
		return -ENOENT;
	}
	*ret = what;
	return 0;
}

static int make_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory =
	    slash && slash != path ? strndup(path, slash - path) : NULL;

	if (directory && mkdir(directory, 0750) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int write_to(const char *temporary, const json_t *what)
{
	/* In one piece: jansson writes to a descriptor a few bytes at a time. */
	_cleanup_free_ char *text = json_dumps(what, JSON_COMPACT);
	_cleanup_close_ int fd = -1;
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return -ENOMEM;
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, text + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
	}
	return 0;
}

int memory_write(const char *path, json_t *what)
{
	char temporary[PATH_MAX], boot[64];
	int err = boot_id(boot);

	if (snprintf(temporary, sizeof(temporary), "%s.%d", path, getpid()) >=
	    (int)sizeof(temporary))
		err = -ENAMETOOLONG;
	if (!err && json_object_set_new(what, "boot_id", json_string(boot)))
		err = -ENOMEM;
	err = err ? err : make_directory(path);
	if (!err) {
		unlink(temporary);
		err = write_to(temporary, what);
	}
	if (!err && rename(temporary, path) < 0)
		err = -errno;
	if (err)
		unlink(temporary);
	json_decref(what);
	return err;
}
