// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "weir_tc.skel.h"
#include "weir_xdp.skel.h"

#define LARGE (32 << 10) /* bytes: what the kernel allocates as one piece */

static const char *const prog_names[NR_PROGS] = {
    [PROG_weir_xdp] = "weir_xdp",	  [PROG_weir_nic_in] = "weir_nic_in",
    [PROG_weir_nic_out] = "weir_nic_out", [PROG_weir_wl_out] = "weir_wl_out",
    [PROG_weir_wl_in] = "weir_wl_in",	  [PROG_weir_l3_in] = "weir_l3_in",
    [PROG_weir_l3_out] = "weir_l3_out",	  [PROG_weir_br_in] = "weir_br_in",
    [PROG_weir_br_out] = "weir_br_out",
};

const char *prog_name(enum prog_id id)
{
	return prog_names[id];
}

void programs_init(struct programs *programs)
{
	for (int i = 0; i < NR_PROGS; i++)
		programs->fd[i] = -1;
}

void programs_close(struct programs *programs)
{
	for (int i = 0; i < NR_PROGS; i++) {
		mem_close_p(&programs->fd[i]);
		programs->fd[i] = -1;
	}
}

/* ---- what libbpf has to say: the first complaint names the cause, the rest follows from it ---- */

static __thread char said[512];

/* Of the verifier's log the last line before its statistics says why it refuses. */
static void add_verifier(char *log)
{
	char *reason = NULL, *save = NULL;

	for (char *line = strtok_r(log, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "processed ", 10) == 0)
			break;
		if (line[0] && line[0] != ';' && !strstr(line, "PROG LOAD LOG"))
			reason = line;
	}
	if (reason)
		snprintf(said + strlen(said), sizeof(said) - strlen(said), ": %s", reason);
}

static int on_print(enum libbpf_print_level level, const char *format, va_list args)
{
	_cleanup_free_ char *text = NULL;
	const char *from;

	if (level != LIBBPF_WARN || vasprintf(&text, format, args) < 0)
		return 0;
	if (said[0] && strstr(text, "BEGIN PROG LOAD LOG"))
		add_verifier(text);
	if (said[0])
		return 0;
	from = strncmp(text, "libbpf: ", 8) == 0 ? text + 8 : text;
	snprintf(said, sizeof(said), "%.*s", (int)strcspn(from, "\n"), from);
	return 0;
}

void libbpf_quiet(void)
{
	libbpf_set_print(on_print);
	said[0] = '\0';
}

const char *libbpf_said(void)
{
	return said;
}

/* ---- one object ---- */

/*
 * Large tables are mapped, so that filling and reading back a slot is a copy and not a system call for thousands of
 * entries. Small ones are not: the kernel keeps those in memory that costs fewer TLB entries.
 */
static int set_size(struct bpf_map *map, int id, __u32 entries)
{
	__u32 want = entries ? entries : bpf_map__max_entries(map);
	int err = entries ? bpf_map__set_max_entries(map, entries) : 0;

	if (!err && id >= MAP_SLOTS && (size_t)want * bpf_map__value_size(map) > LARGE)
		err = bpf_map__set_map_flags(map, bpf_map__map_flags(map) | BPF_F_MMAPABLE);
	return err;
}

static int choose_maps(struct bpf_object *object, const struct maps *maps, const __u32 *entries)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map(map, object)
	{
		int id = map_by_name(bpf_map__name(map));

		if (id < 0) /* private to the object: .rodata, scratch space */
			continue;
		if (maps->fd[id] >= 0)
			err = bpf_map__reuse_fd(map, maps->fd[id]);
		else
			err = set_size(map, id, entries[id]);
		if (err)
			return err;
	}
	return 0;
}

static int collect_maps(struct bpf_object *object, struct maps *maps)
{
	struct bpf_map *map;
	int err;

	bpf_object__for_each_map(map, object)
	{
		int id = map_by_name(bpf_map__name(map));

		if (id < 0 || maps->fd[id] >= 0)
			continue;
		maps->fd[id] = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3);
		if (maps->fd[id] < 0)
			return -errno;
		err = maps_stat(maps, id);
		if (err)
			return err;
	}
	return 0;
}

static int collect_programs(struct bpf_object *object, struct programs *programs)
{
	for (int i = 0; i < NR_PROGS; i++) {
		struct bpf_program *prog = bpf_object__find_program_by_name(object, prog_names[i]);

		if (!prog)
			continue;
		programs->fd[i] = fcntl(bpf_program__fd(prog), F_DUPFD_CLOEXEC, 3);
		if (programs->fd[i] < 0)
			return -errno;
	}
	return 0;
}

static int load_failed(int err, const char *what, struct diag *diag)
{
	return diag_fail(diag, err, NULL, "the kernel does not accept %s: %s%s%s%s", what,
			 strerror(-err), said[0] ? ": " : "", said,
			 err == -EPERM ? " (needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)" : "");
}

static int load_object(struct bpf_object *object, const char *what, struct maps *maps,
		       const __u32 *entries, struct programs *programs, struct diag *diag)
{
	int err = choose_maps(object, maps, entries);

	if (!err)
		err = fault("load");
	if (!err)
		err = bpf_object__load(object);
	if (!err)
		err = collect_maps(object, maps);
	if (!err)
		err = collect_programs(object, programs);
	return err ? load_failed(err, what, diag) : 0;
}

static int load_xdp(struct maps *maps, const __u32 *entries, const struct load_settings *settings,
		    struct programs *programs, struct diag *diag)
{
	struct weir_xdp *skeleton = weir_xdp__open();
	int err;

	if (!skeleton)
		return load_failed(-errno, "weir_xdp", diag);
	skeleton->rodata->weir_fake_clock = settings->fake_clock;
	skeleton->rodata->weir_has_ct = settings->has_ct;
	skeleton->rodata->weir_has_cookies = feature_cookies();
	err = load_object(skeleton->obj, "weir_xdp", maps, entries, programs, diag);
	weir_xdp__destroy(skeleton);
	return err;
}

/* Tells the programs how long a jiffy is and where jiffies began. Without it they take the exact clock. */
static int start_clock(const struct maps *maps, int prog_fd, __u32 tick_ns)
{
	static const char frame[64];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = 1);
	struct weir_control *control =
	    map_mmap(maps->fd[MAP_weir_control], sizeof(struct weir_control));
	int err = 0;

	if (!control)
		return -errno;
	if (tick_ns && !control->tick) {
		control->tick = (__u64)tick_ns << WEIR_TAT_SHIFT;
		err = bpf_prog_test_run_opts(prog_fd, &opts) < 0 ? -errno : 0;
		if (!err && !opts.retval)
			err = -EIO;
		if (err)
			control->tick = 0;
	}
	map_munmap(control, sizeof(*control));
	return err;
}

static int load_tc(struct maps *maps, const __u32 *entries, const struct load_settings *settings,
		   struct programs *programs, struct diag *diag)
{
	struct weir_tc *skeleton = weir_tc__open();
	int err;

	if (!skeleton)
		return load_failed(-errno, "weir_tc", diag);
	skeleton->rodata->weir_fake_clock = settings->fake_clock;
	skeleton->rodata->weir_has_ct = settings->has_ct;
	skeleton->rodata->weir_has_units = feature_units();
	skeleton->rodata->weir_has_cookies = feature_cookies();
	err = load_object(skeleton->obj, "weir_tc", maps, entries, programs, diag);
	if (!err) {
		err = start_clock(maps, bpf_program__fd(skeleton->progs.weir_clock),
				  settings->tick_ns);
		if (err)
			diag_fail(diag, err, NULL, "cannot measure the tick: %s", strerror(-err));
	}
	weir_tc__destroy(skeleton);
	return err;
}

int load_programs(struct maps *maps, const __u32 *entries, const struct load_settings *settings,
		  struct programs *ret, struct diag *diag)
{
	struct programs programs;
	int err = 0;

	libbpf_quiet();
	programs_init(&programs);
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		return diag_fail(
		    diag, -ENOSYS, NULL,
		    "this kernel offers no BTF (/sys/kernel/btf/vmlinux: %s); weir needs "
		    "CONFIG_DEBUG_INFO_BTF",
		    strerror(errno));
	err = load_xdp(maps, entries, settings, &programs, diag);
	if (!err)
		err = load_tc(maps, entries, settings, &programs, diag);
	for (int i = 0; i < NR_PROGS && !err; i++)
		if (programs.fd[i] < 0)
			err =
			    diag_fail(diag, -ENOENT, NULL, "program %s is missing", prog_names[i]);
	if (!err)
		err = maps_create_user(maps, diag);
	if (err) {
		programs_close(&programs);
		return err;
	}
	*ret = programs;
	return 0;
}
