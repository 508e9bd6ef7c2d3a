// SPDX-License-Identifier: GPL-2.0-only
#include "names/units.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define DEPTH_MAX     64
#define HANDLE_KERNFS 0xfe	       /* FILEID_KERNFS: the handle is the id */
#define LATER_NS      (5 * 1000000ULL) /* several directories come at once */
#define WATCHED	      (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)

struct found {
	__u64 cgroup;
	__u32 number;
	__u32 pad;
};

struct units {
	struct loop *loop;
	char *root; /* NULL: no cgroup2 mount */
	char **name;
	__u32 *number;
	size_t n;
	struct found *found; /* sorted by cgroup */
	size_t nr_found;
	__u64 *cgroup;
	__u32 *of;
	int notify_fd;
	bool unwatched; /* some directory could not be watched */
	struct loop_timer look;
	__u64 revision;
};

/* The kernel's own id of a cgroup: the inode number, except where inode numbers are short. */
static __u64 cgroup_of(int fd, const struct stat *st)
{
	struct {
		struct file_handle head;
		__u64 id;
	} handle = {.head.handle_bytes = sizeof(__u64)};
	int mount;

	if (name_to_handle_at(fd, "", &handle.head, &mount, AT_EMPTY_PATH) == 0 &&
	    handle.head.handle_type == HANDLE_KERNFS && handle.head.handle_bytes == sizeof(__u64)) {
		__u64 id;

		memcpy(&id, handle.head.f_handle, sizeof(id));
		return id;
	}
	return st->st_ino;
}

static bool ends_in(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len > end_len && strcmp(name + len - end_len, end) == 0;
}

/* A name that would clash with a file of the kernel's has an underscore before it. */
static __u32 number_of(const struct units *units, const char *directory)
{
	for (size_t i = 0; i < units->n; i++) {
		if (strcmp(units->name[i], directory) == 0 ||
		    (directory[0] == '_' && strcmp(units->name[i], directory + 1) == 0))
			return units->number[i];
	}
	return 0;
}

static void watch(struct units *units, int fd)
{
	char path[64];

	if (units->notify_fd < 0) {
		units->unwatched = true;
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (inotify_add_watch(units->notify_fd, path, WATCHED) < 0)
		units->unwatched = true;
}

/* @number: of the unit that we are below of, 0: among slices. Takes over @fd. */
static int walk(struct units *units, int fd, __u32 number, unsigned int depth, struct found **list,
		size_t *n)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int err = 0;

	if (!dir) {
		close(fd);
		return errno == ENOMEM ? -ENOMEM : 0;
	}
	watch(units, fd); /* before reading: what appears meanwhile is seen either way */
	while (!err && depth < DEPTH_MAX && (entry = readdir(dir))) {
		struct found *slot;
		struct stat st;
		__u32 own = number;
		int sub;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if (!own)
			own = number_of(units, entry->d_name);
		if (!own && !ends_in(entry->d_name, ".slice"))
			continue;
		sub = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			continue; /* gone by now */
		slot = own && fstat(sub, &st) == 0 ? mem_append(list, n, sizeof(*slot)) : NULL;
		if (slot)
			*slot = (struct found){cgroup_of(sub, &st), own, 0};
		err = walk(units, sub, own, depth + 1, list, n);
	}
	closedir(dir);
	return err;
}

static int by_cgroup(const void *a, const void *b)
{
	const struct found *left = a, *right = b;

	return left->cgroup < right->cgroup ? -1 : left->cgroup > right->cgroup;
}

static int publish(struct units *units, struct found *list, size_t n)
{
	__u64 *cgroup = calloc(n + 1, sizeof(*cgroup));
	__u32 *of = calloc(n + 1, sizeof(*of));

	if (!cgroup || !of) {
		free(cgroup);
		free(of);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		cgroup[i] = list[i].cgroup;
		of[i] = list[i].number;
	}
	free(units->cgroup);
	free(units->of);
	free(units->found);
	units->cgroup = cgroup;
	units->of = of;
	units->found = list;
	units->nr_found = n;
	units->revision++;
	return 0;
}

static void look(void *arg)
{
	struct units *units = arg;
	struct found *list = NULL;
	size_t n = 0;
	int fd = -1;

	units->unwatched = false;
	if (units->root && units->n)
		fd = open(units->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && walk(units, fd, 0, 0, &list, &n)) {
		free(list);
		units->unwatched = true; /* out of memory: try again */
		loop_timer_in(units->loop, &units->look, UNITS_POLL_NS);
		return;
	}
	if (n)
		qsort(list, n, sizeof(*list), by_cgroup);
	if (n == units->nr_found && (!n || memcmp(list, units->found, n * sizeof(*list)) == 0))
		free(list);
	else if (publish(units, list, n))
		free(list);
	if (units->n && units->root && (units->unwatched || fd < 0))
		loop_timer_in(units->loop, &units->look, UNITS_POLL_NS);
}

static void ready(void *arg, int fd, uint32_t events)
{
	struct units *units = arg;
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t len;

	while ((len = read(fd, buffer, sizeof(buffer))) > 0)
		;
	if (len < 0 && errno != EAGAIN && errno != EINTR)
		loop_watch(units->loop, LOOP_UNITS, fd, 0);
	if (!units->look.due_ns || units->look.due_ns > loop_now_ns() + LATER_NS)
		loop_timer_in(units->loop, &units->look, LATER_NS);
}

static char *find_mount(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *mount;
	char *root = NULL;

	if (!mounts)
		return NULL;
	while (!root && (mount = getmntent(mounts))) {
		if (strcmp(mount->mnt_type, "cgroup2") == 0)
			root = strdup(mount->mnt_dir);
	}
	endmntent(mounts);
	return root;
}

int units_open(struct loop *loop, struct units **ret)
{
	struct units *units = calloc(1, sizeof(*units));

	if (!units)
		return -ENOMEM;
	units->loop = loop;
	units->notify_fd = -1;
	units->root = find_mount();
	loop_handler(loop, LOOP_UNITS, ready, units);
	loop_timer_add(loop, &units->look, look, units);
	*ret = units;
	return 0;
}

int units_root(struct units *units, const char *root)
{
	char *copy = strdup(root);

	if (!copy)
		return -ENOMEM;
	free(units->root);
	units->root = copy;
	return 0;
}

static void forget(struct units *units)
{
	for (size_t i = 0; i < units->n; i++)
		free(units->name[i]);
	free(units->name);
	free(units->number);
	units->name = NULL;
	units->number = NULL;
	units->n = 0;
}

void units_close(struct units *units)
{
	if (!units)
		return;
	forget(units);
	loop_timer_remove(units->loop, &units->look);
	if (units->notify_fd >= 0)
		close(units->notify_fd);
	free(units->found);
	free(units->cgroup);
	free(units->of);
	free(units->root);
	free(units);
}

int units_set(struct units *units, const char *const *name, const __u32 *number, size_t n)
{
	forget(units);
	units->name = calloc(n + 1, sizeof(*units->name));
	units->number = calloc(n + 1, sizeof(*units->number));
	if (!units->name || !units->number)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		units->name[i] = strdup(name[i]);
		if (!units->name[i])
			return -ENOMEM;
		units->number[i] = number[i];
		units->n++;
	}
	/* Watches of directories that no longer matter go with their descriptor. */
	if (units->notify_fd >= 0)
		close(units->notify_fd);
	units->notify_fd = n ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
	if (units->notify_fd >= 0)
		loop_watch(units->loop, LOOP_UNITS, units->notify_fd, EPOLLIN);
	look(units);
	return 0;
}

void units_view(const struct units *units, const __u64 **ret_cgroup, const __u32 **ret_number,
		size_t *ret_n)
{
	*ret_cgroup = units->cgroup;
	*ret_number = units->of;
	*ret_n = units->nr_found;
}

bool units_running(const struct units *units, __u32 number)
{
	for (size_t i = 0; i < units->nr_found; i++) {
		if (units->of[i] == number)
			return true;
	}
	return false;
}

const char *units_error(const struct units *units)
{
	return units->root ? NULL : "no cgroup2 file system is mounted";
}

__u64 units_revision(const struct units *units)
{
	return units->revision;
}
