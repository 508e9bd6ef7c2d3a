// SPDX-License-Identifier: GPL-2.0-only
/* Opening a pin directory, and removing every trace of it. */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOCK_WAIT_MS 10000
#define NR_CAP_BPF   39
#define NR_CAP_PERF  38

int (*kernel_fault)(const char *point);

/* ---- privilege ---- */

static bool capable(int cap)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {};

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	return data[cap / 32].effective >> cap % 32 & 1;
}

static int check_privilege(struct diag *diag)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {{NR_CAP_BPF, "CAP_BPF"},
		      {CAP_NET_ADMIN, "CAP_NET_ADMIN"},
		      {NR_CAP_PERF, "CAP_PERFMON"}};
	char missing[128] = "";

	if (capable(CAP_SYS_ADMIN) && capable(CAP_NET_ADMIN))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		if (capable(needed[i].cap))
			continue;
		if (missing[0])
			strcat(missing, ", ");
		strcat(missing, needed[i].name);
	}
	if (!missing[0])
		return 0;
	return diag_fail(diag, -EPERM, NULL,
			 "no privilege to change anything: %s missing (run as root)", missing);
}

/* ---- pins ---- */

static int foreign(const struct kernel *kernel, struct diag *diag)
{
	return diag_fail(
	    diag, -EBADMSG, NULL,
	    "the pins under %s are of another version of weir; `weir detach` removes them",
	    kernel->dir);
}

static int open_programs(struct kernel *kernel)
{
	for (int i = 0; i < NR_PROGS; i++) {
		kernel->programs.fd[i] = pin_get(kernel, "progs", prog_name(i));
		if (kernel->programs.fd[i] < 0)
			return kernel->programs.fd[i] == -ENOENT ? -EBADMSG
								 : kernel->programs.fd[i];
	}
	return 0;
}

static int read_pins(struct kernel *kernel, struct diag *diag)
{
	int found, err;

	pins_note(kernel); /* before: what is put there meanwhile is another, if opened or not */
	found = maps_open(kernel, &kernel->maps);
	if (found == 0)
		return 0;
	if (found == -EBADMSG)
		return foreign(kernel, diag);
	if (found < 0)
		return diag_fail(diag, found == -EACCES ? -EPERM : found, NULL,
				 "cannot open the pinned maps under %s: %s%s", kernel->dir,
				 strerror(-found),
				 found == -EPERM || found == -EACCES ? " (needs CAP_BPF)" : "");
	err = open_programs(kernel);
	if (err == -EBADMSG)
		return foreign(kernel, diag);
	if (!err)
		err = kernel_map_shared(kernel);
	if (err == -EINVAL) /* not mmapable: not a map that weir made */
		return foreign(kernel, diag);
	if (err)
		return diag_fail(diag, err, NULL, "cannot open the pins under %s: %s", kernel->dir,
				 strerror(-err));
	if (kernel->meta->version != WEIR_PIN_VERSION || kernel->meta->layout != maps_layout())
		return foreign(kernel, diag);
	kernel->loaded = true;
	return 1;
}

static void forget_pins(struct kernel *kernel)
{
	kernel_unmap_shared(kernel);
	maps_close(&kernel->maps);
	programs_close(&kernel->programs);
	for (int slot = 0; slot < WEIR_NR_SLOTS; slot++)
		naming_forget(kernel, slot);
	kernel->loaded = false;
}

/* A first load or a detach that was cut short leaves pins without the entry that says whose they are. */
static int left_over(const struct kernel *kernel)
{
	_cleanup_close_ int meta = pin_get(kernel, "maps", map_name(MAP_weir_meta));

	return meta == -ENOENT;
}

static int open_pins(struct kernel *kernel, bool foreign_too, struct diag *diag)
{
	int found = pin_check_dir(kernel->dir, diag);

	if (found <= 0 || foreign_too)
		return found;
	if (left_over(kernel)) {
		if (kernel->write)
			load_remove(kernel);
		return 0;
	}
	found = read_pins(kernel, diag);
	if (found <= 0 || !kernel->write)
		return found;
	found = load_recover(kernel, diag);
	kernel->recovered = found >= 0;
	if (found <= 0)
		return found;
	forget_pins(kernel);
	return read_pins(kernel, diag);
}

int kernel_lock(struct kernel *kernel, struct diag *diag)
{
	char holder[64];

	kernel->lock_fd = lock_take(kernel->dir, "lock", LOCK_WAIT_MS);
	if (kernel->lock_fd == -EBUSY)
		return diag_fail(diag, -EBUSY, NULL, "another change of %s is under way%s",
				 kernel->dir,
				 lock_holder(kernel->dir, "lock", holder, sizeof(holder)));
	if (kernel->lock_fd < 0)
		return diag_fail(diag, kernel->lock_fd == -EACCES ? -EPERM : kernel->lock_fd, NULL,
				 "cannot lock %s: %s", kernel->dir, strerror(-kernel->lock_fd));
	return 0;
}

static struct kernel *kernel_new(const char *pin_dir, bool write)
{
	struct kernel *kernel = calloc(1, sizeof(*kernel));
	size_t n = strlen(pin_dir);

	if (!kernel || n >= sizeof(kernel->dir) - NAME_MAX - 16) {
		free(kernel);
		return NULL;
	}
	memcpy(kernel->dir, pin_dir, n + 1);
	while (n > 1 && kernel->dir[n - 1] == '/')
		kernel->dir[--n] = '\0';
	kernel->write = write;
	kernel->lock_fd = -1;
	maps_init(&kernel->maps);
	programs_init(&kernel->programs);
	return kernel;
}

static int open_dir(const char *pin_dir, bool write, bool foreign_too, struct kernel **ret,
		    struct diag *diag)
{
	struct kernel *kernel;
	int err;

	libbpf_quiet();
	if (pin_dir[0] != '/')
		return diag_fail(diag, -EINVAL, NULL, "pin directory %s is not absolute", pin_dir);
	kernel = kernel_new(pin_dir, write);
	if (!kernel)
		return diag_fail(diag, -ENOMEM, NULL, "out of memory");
	err = write ? check_privilege(diag) : 0;
	if (!err && write)
		err = pin_mount(pin_dir, diag);
	if (!err && write)
		err = kernel_lock(kernel, diag);
	if (!err)
		err = open_pins(kernel, foreign_too, diag);
	if (err < 0) {
		kernel_close(kernel);
		return err;
	}
	*ret = kernel;
	return 0;
}

int kernel_open(const char *pin_dir, bool write, struct kernel **ret, struct diag *diag)
{
	return open_dir(pin_dir, write, false, ret, diag);
}

int kernel_open_foreign(const char *pin_dir, struct kernel **ret, struct diag *diag)
{
	return open_dir(pin_dir, true, true, ret, diag);
}

void kernel_close(struct kernel *kernel)
{
	if (!kernel)
		return;
	/* Where nothing is pinned there is nothing to lock either: no file stays behind. */
	if (kernel->lock_fd >= 0 && !kernel->loaded && access(kernel->dir, F_OK) < 0)
		lock_remove(kernel->dir, "lock");
	forget_pins(kernel);
	mem_close_p(&kernel->lock_fd);
	free(kernel);
}

bool kernel_loaded(const struct kernel *kernel)
{
	return kernel->loaded;
}

/* ---- every trace ---- */

/* Filters are told by their handle alone: pins of another version say nothing that we could read. */
static int drop_filters(struct kernel *kernel)
{
	struct links links = {};
	int err = links_read(&links);

	for (size_t i = 0; i < links.n; i++) {
		__u32 ifindex = links.link[i].ifindex;
		struct weir_iface iface = {};

		if (kernel->loaded)
			bpf_map_lookup_elem(kernel->maps.fd[MAP_weir_iface], &ifindex, &iface);
		detach_filter(kernel, ifindex, HOOK_IN, false);
		detach_filter(kernel, ifindex, HOOK_OUT, iface.flags & IFACE_CLSACT);
	}
	links_free(&links);
	return err;
}

int kernel_detach(struct kernel *kernel, struct diag *diag)
{
	struct pinned_links pins = {};
	int err;

	if (!kernel->write)
		return diag_fail(diag, -EINVAL, NULL, "opened for reading");
	err = pinned_links_read(kernel, &pins);
	for (size_t i = 0; i < pins.n && !err; i++)
		err = detach_pin(kernel, &pins.pin[i]);
	pinned_links_free(&pins);
	if (!err)
		err = drop_filters(kernel);
	if (err)
		return diag_fail(diag, err, NULL, "cannot detach: %s", strerror(-err));
	load_remove(kernel);
	sysctls_release(kernel->dir, 0, diag);
	lock_remove(kernel->dir, "reader");
	lock_remove(kernel->dir, "lock");
	return 0;
}
