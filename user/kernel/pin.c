// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define BPFFS	    "/sys/fs/bpf"
#define BPFFS_MAGIC 0xcafe4a11

static const char *const folders[] = {"maps", "progs", "links"};

int pin_path(const struct kernel *kernel, const char *folder, const char *name, char *ret)
{
	int n = snprintf(ret, PATH_MAX, "%s/%s%s%s", kernel->dir, folder, name[0] ? "/" : "", name);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == BPFFS_MAGIC;
}

int pin_mount(const char *dir, struct diag *diag)
{
	if (strncmp(dir, BPFFS "/", strlen(BPFFS) + 1) != 0 || is_bpffs(BPFFS))
		return 0;
	if (mount("bpf", BPFFS, "bpf", 0, "mode=0700") < 0)
		return diag_fail(diag, -errno, NULL, "cannot mount bpffs at " BPFFS ": %s%s",
				 strerror(errno),
				 errno == EPERM ? " (CAP_SYS_ADMIN is missing)" : "");
	return 0;
}

static int check_stat(const char *dir, const struct stat *st, struct diag *diag)
{
	if (!S_ISDIR(st->st_mode))
		return diag_fail(diag, -EBADMSG, NULL, "%s is no directory", dir);
	if (st->st_uid != geteuid())
		return diag_fail(diag, -EBADMSG, NULL,
				 "%s belongs to user %u, not to %u: refusing its pins", dir,
				 st->st_uid, geteuid());
	if (st->st_mode & 022)
		return diag_fail(diag, -EBADMSG, NULL,
				 "%s is writable by others (mode %04o): refusing its pins", dir,
				 st->st_mode & 07777);
	return 1;
}

static int check_one(const char *dir, struct diag *diag)
{
	struct stat st;

	if (lstat(dir, &st) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return diag_fail(diag, errno == EACCES ? -EPERM : -errno, NULL,
				 "cannot look into %s: %s%s", dir, strerror(errno),
				 errno == EACCES ? " (needs root, or CAP_DAC_READ_SEARCH)" : "");
	}
	if (access(dir, X_OK) < 0)
		return diag_fail(
		    diag, -EPERM, NULL,
		    "cannot look into %s: it belongs to root (needs root, or CAP_DAC_READ_SEARCH)",
		    dir);
	return check_stat(dir, &st, diag);
}

/* From the top down: who owns a directory above can put another one in place of ours. */
int pin_check_dir(const char *dir, struct diag *diag)
{
	size_t base = strncmp(dir, BPFFS "/", strlen(BPFFS) + 1) == 0 ? strlen(BPFFS) + 1 : 0;
	char path[PATH_MAX];

	for (size_t i = base; base && dir[i]; i++) {
		int found;

		if (dir[i] != '/')
			continue;
		memcpy(path, dir, i);
		path[i] = '\0';
		found = check_one(path, diag);
		if (found <= 0)
			return found;
	}
	return check_one(dir, diag);
}

static int make_parents(const char *dir)
{
	char path[PATH_MAX];

	strcpy(path, dir);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

static int make_dir(struct kernel *kernel, struct diag *diag)
{
	int err = -ENOENT;

	/* A weir beside this one that goes takes the empty directory above along. */
	for (int attempt = 0; attempt < 3 && err == -ENOENT; attempt++) {
		err = make_parents(kernel->dir);
		if (err == 0 && mkdir(kernel->dir, 0700) < 0)
			err = -errno;
	}
	if (err == 0)
		kernel->made_dir = true;
	if (err && err != -EEXIST)
		return diag_fail(diag, err, NULL, "cannot make %s: %s", kernel->dir,
				 strerror(-err));
	if (!is_bpffs(kernel->dir)) {
		if (kernel->made_dir)
			rmdir(kernel->dir);
		return diag_fail(diag, -EINVAL, NULL, "%s is not on a bpffs", kernel->dir);
	}
	err = pin_check_dir(kernel->dir, diag);
	return err < 0 ? err : 0;
}

int pin_ensure_dirs(struct kernel *kernel, struct diag *diag)
{
	char path[PATH_MAX];
	int err = pin_mount(kernel->dir, diag);

	if (!err)
		err = make_dir(kernel, diag);
	for (size_t i = 0; !err && i < ARRAY_SIZE(folders); i++) {
		err = pin_path(kernel, folders[i], "", path);
		if (!err && mkdir(path, 0700) < 0 && errno != EEXIST)
			err = diag_fail(diag, -errno, NULL, "cannot make %s: %s", path,
					strerror(errno));
	}
	return err;
}

int pin_get(const struct kernel *kernel, const char *folder, const char *name)
{
	char path[PATH_MAX];
	int fd = pin_path(kernel, folder, name, path);

	if (fd < 0)
		return fd;
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

int pin_put(const struct kernel *kernel, const char *folder, const char *name, int fd)
{
	char path[PATH_MAX], temp[PATH_MAX], name_temp[NAME_MAX + 1];
	int err = pin_path(kernel, folder, name, path);

	snprintf(name_temp, sizeof(name_temp), PIN_TEMPNAME "%s", name);
	if (!err)
		err = pin_path(kernel, folder, name_temp, temp);
	if (err)
		return err;
	err = fault("pin");
	if (err)
		return err;
	unlink(temp);
	if (bpf_obj_pin(fd, temp) < 0)
		return -errno;
	if (rename(temp, path) < 0) {
		err = -errno;
		unlink(temp);
		return err;
	}
	return 0;
}

int pin_remove(const struct kernel *kernel, const char *folder, const char *name)
{
	char path[PATH_MAX];
	int err = pin_path(kernel, folder, name, path);

	if (err)
		return err;
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	err = -errno;
	/* A directory is nothing of ours, but it keeps ours from going. */
	return rmdir(path) == 0 ? 0 : err;
}

int pin_rename(const struct kernel *kernel, const char *folder, const char *from, const char *to)
{
	char old[PATH_MAX], new[PATH_MAX];
	int err = pin_path(kernel, folder, from, old);

	if (!err)
		err = pin_path(kernel, folder, to, new);
	if (err)
		return err;
	err = fault("rename");
	if (err)
		return err;
	return rename(old, new) < 0 ? -errno : 0;
}

/* The directory of all weirs goes with the last of them. */
static void remove_parent(const char *dir)
{
	char path[PATH_MAX];
	char *slash;

	strcpy(path, dir);
	slash = strrchr(path, '/');
	*slash = '\0';
	if (strncmp(path, BPFFS "/", strlen(BPFFS) + 1) == 0)
		rmdir(path);
}

void pin_remove_dirs(const struct kernel *kernel)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (pin_path(kernel, folders[i], "", path) == 0)
			rmdir(path);
	if (rmdir(kernel->dir) == 0)
		remove_parent(kernel->dir);
}

bool pin_is_folder(const struct kernel *kernel, const char *folder, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	return pin_path(kernel, folder, name, path) == 0 && lstat(path, &st) == 0 &&
	       S_ISDIR(st.st_mode);
}

int pin_each(const struct kernel *kernel, const char *folder,
	     int (*each)(void *arg, const char *name), void *arg)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int err = pin_path(kernel, folder, "", path);
	DIR *dir;

	if (err)
		return err;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (!err && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			err = each(arg, entry->d_name);
	closedir(dir);
	return err;
}
