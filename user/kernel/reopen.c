// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pin directory that stays open from one change to the next: opening some sixty pins costs more than a small change. In
 * between nothing is locked, and others may put other maps and programs there, which this finds out.
 */
#include "kernel/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SETTLED_S \
	1 /* file times are a few ms wide: what changed so long ago shows each later change */

static int folder_read(const struct kernel *kernel, const char *name, struct folder_seen *ret)
{
	char path[PATH_MAX];
	struct stat st;
	int err = pin_path(kernel, name, "", path);

	if (!err && lstat(path, &st) < 0)
		err = -errno;
	if (!err)
		*ret = (struct folder_seen){st.st_ino, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
	return err;
}

static bool read_both(const struct kernel *kernel, struct folder_seen *ret)
{
	return !folder_read(kernel, "maps", &ret[0]) && !folder_read(kernel, "progs", &ret[1]);
}

void pins_note(struct kernel *kernel)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	kernel->may_resume = read_both(kernel, kernel->folder);
	for (size_t i = 0; i < ARRAY_SIZE(kernel->folder); i++)
		kernel->may_resume &= kernel->folder[i].s + SETTLED_S < now.tv_sec;
}

/* Nobody put a pin there, removed or replaced one: another map or program is another pin. */
static bool same_pins(const struct kernel *kernel)
{
	struct folder_seen now[2];

	return kernel->loaded && kernel->may_resume && read_both(kernel, now) &&
	       memcmp(now, kernel->folder, sizeof(now)) == 0;
}

/* Returns 1: it is as it was; 0: it has to be opened; -errno. */
static int resume(struct kernel *kernel, bool write, struct diag *diag)
{
	int err = write ? kernel_lock(kernel, diag) : 0;

	if (err)
		return err;
	err = pin_check_dir(kernel->dir, diag);
	if (err <= 0)
		return err;
	/* Who opened it to look has finished nobody's reload. */
	if (!same_pins(kernel) || (write && !kernel->recovered))
		return 0;
	kernel->write = write;
	return 1;
}

int kernel_resume(const char *pin_dir, bool write, struct kernel **kernel, struct diag *diag)
{
	int found = *kernel ? resume(*kernel, write, diag) : 0;

	if (found > 0)
		return 0;
	if (*kernel)
		kernel_close(TAKE_PTR(*kernel));
	return found < 0 ? found : kernel_open(pin_dir, write, kernel, diag);
}

void kernel_suspend(struct kernel **kernel)
{
	if (!*kernel)
		return;
	if (!(*kernel)->loaded) {
		kernel_close(TAKE_PTR(*kernel));
		return;
	}
	mem_close_p(&(*kernel)->lock_fd);
	(*kernel)->lock_fd = -1;
}
