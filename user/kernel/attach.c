// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks of interfaces: XDP by link, TC by tcx link at the head of the chain, or, where the kernel has no tcx, by a
 * clsact filter with a handle of this pin directory's own. Links are pinned as links/IFNAME-HOOK.
 */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/syscall.h>

/* Values of newer kernels' headers; the build must not depend on having those. */
#define TCX_INGRESS	((enum bpf_attach_type)46)
#define TCX_EGRESS	((enum bpf_attach_type)47)
#define TCX_BEFORE	(1U << 3)
#define LINK_TYPE_XDP	6
#define LINK_TYPE_TCX	11
#define FILTER_PRIORITY 1

static const char *const hook_names[NR_HOOKS] = {"xdp", "in", "out"};

int prog_for(const struct wanted *wanted, enum hook hook)
{
	static const int workload[NR_HOOKS] = {-1, PROG_weir_wl_out, PROG_weir_wl_in};
	static const int nic[NR_HOOKS] = {PROG_weir_xdp, PROG_weir_nic_in, PROG_weir_nic_out};
	static const int bare[NR_HOOKS] = {-1, PROG_weir_l3_in, PROG_weir_l3_out};
	static const int guard[NR_HOOKS] = {-1, PROG_weir_br_in, PROG_weir_br_out};

	if (wanted->workload)
		return workload[hook];
	if (wanted->guard)
		return guard[hook];
	if (wanted->link->type != ARPHRD_ETHER)
		return bare[hook];
	return hook == HOOK_XDP && wanted->xdp == XDP_OFF ? -1 : nic[hook];
}

/* bpffs takes no dots, and a name must say nothing to a path: everything else is written as %XX. */
void pin_name(const char *ifname, enum hook hook, char *ret, size_t size)
{
	size_t n = 0;

	for (const char *p = ifname; *p && n + 8 < size; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			     (*p >= '0' && *p <= '9') || *p == '_' || *p == '-';

		if (plain)
			ret[n++] = *p;
		else
			n += snprintf(ret + n, size - n, "%%%02X", (unsigned char)*p);
	}
	snprintf(ret + n, size - n, "-%s", hook_names[hook]);
}

/* ---- pinned links ---- */

/* What bpf_link_info holds for XDP and tcx, whatever the age of the headers. */
struct link_info {
	__u32 type, id, prog_id, pad;
	__u32 ifindex;
	__u32 attach_type;
	__u32 more[32];
};

static int link_info(int fd, struct link_info *ret)
{
	__u32 len = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	return bpf_obj_get_info_by_fd(fd, ret, &len) < 0 ? -errno : 0;
}

/* BPF_PROG_QUERY as kernels with tcx have it. */
struct tcx_query {
	__u32 ifindex, attach_type, query_flags, attach_flags;
	__u64 prog_ids;
	__u32 count, pad;
	__u64 prog_attach_flags, link_ids, link_attach_flags, revision;
};

#define TCX_MAX 64

/* Programs and links at a tcx hook, the first to run first. Returns how many, or -errno. */
static int tcx_list(__u32 ifindex, __u32 attach_type, __u32 *progs, __u32 *links)
{
	struct tcx_query query = {.ifindex = ifindex,
				  .attach_type = attach_type,
				  .prog_ids = (__u64)(unsigned long)progs,
				  .link_ids = (__u64)(unsigned long)links,
				  .count = TCX_MAX};

	if (syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof(query)) < 0)
		return -errno;
	return query.count < TCX_MAX ? query.count : TCX_MAX;
}

/*
 * A device that moved to another namespace takes its tcx links along, and its number may be another device's here now:
 * ask the device whether it holds the link. Where the kernel does not say, it does.
 */
static bool tcx_holds(__u32 ifindex, __u32 attach_type, __u32 link_id)
{
	__u32 progs[TCX_MAX], links[TCX_MAX];
	int n = tcx_list(ifindex, attach_type, progs, links);

	if (n < 0)
		return n != -ENODEV && n != -ENOENT;
	for (int i = 0; i < n; i++)
		if (links[i] == link_id)
			return true;
	return false;
}

static enum bpf_attach_type tcx_type(enum hook hook)
{
	return hook == HOOK_IN ? TCX_INGRESS : TCX_EGRESS;
}

bool tcx_has(__u32 ifindex, enum hook hook, __u32 prog_id)
{
	__u32 progs[TCX_MAX], links[TCX_MAX];
	int n = tcx_list(ifindex, tcx_type(hook), progs, links);

	for (int i = 0; i < n; i++)
		if (!prog_id || progs[i] == prog_id)
			return true;
	return false;
}

struct pins_reader {
	const struct kernel *kernel;
	struct pinned_links *pins;
	size_t capacity;
};

/* Returns 0; -ENOENT: no such pin, or none of a link. */
static int pin_open(const struct kernel *kernel, const char *name, struct pinned_link *ret)
{
	struct link_info info;
	int fd;

	if (strlen(name) >= sizeof(ret->name) || pin_is_folder(kernel, "links", name))
		return -ENOENT;
	fd = pin_get(kernel, "links", name);
	if (fd < 0)
		return fd;
	if (link_info(fd, &info)) {
		close(fd);
		return -EIO;
	}
	strcpy(ret->name, name);
	ret->fd = fd;
	ret->prog_id = info.prog_id;
	ret->ifindex = info.ifindex;
	if (info.type == LINK_TYPE_TCX && !tcx_holds(info.ifindex, info.attach_type, info.id))
		ret->ifindex = 0;
	ret->hook = info.type == LINK_TYPE_XDP	      ? HOOK_XDP
		    : info.attach_type == TCX_INGRESS ? HOOK_IN
						      : HOOK_OUT;
	return 0;
}

static int read_pin(void *arg, const char *name)
{
	struct pins_reader *reader = arg;
	struct pinned_links *pins = reader->pins;
	struct pinned_link pin;
	int err = pin_open(reader->kernel, name, &pin);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (mem_grow(&pins->pin, pins->n, &reader->capacity, sizeof(*pins->pin))) {
		close(pin.fd);
		return -EIO;
	}
	pins->pin[pins->n++] = pin;
	return 0;
}

int pinned_links_of(const struct kernel *kernel, const char *ifname, struct pinned_links *ret)
{
	struct pinned_links pins = {};
	struct pins_reader reader = {.kernel = kernel, .pins = &pins};
	char name[64];
	int err = 0;

	for (int hook = 0; hook < NR_HOOKS && !err; hook++) {
		pin_name(ifname, hook, name, sizeof(name));
		err = read_pin(&reader, name);
	}
	if (err) {
		pinned_links_free(&pins);
		return err;
	}
	*ret = pins;
	return 0;
}

int pinned_links_read(const struct kernel *kernel, struct pinned_links *ret)
{
	struct pinned_links pins = {};
	struct pins_reader reader = {.kernel = kernel, .pins = &pins};
	int err = pin_each(kernel, "links", read_pin, &reader);

	if (err) {
		pinned_links_free(&pins);
		return err;
	}
	*ret = pins;
	return 0;
}

void pinned_links_free(struct pinned_links *pins)
{
	for (size_t i = 0; i < pins->n; i++)
		mem_close_p(&pins->pin[i].fd);
	free(pins->pin);
	memset(pins, 0, sizeof(*pins));
}

const struct pinned_link *pinned_link_find(const struct pinned_links *pins, __u32 ifindex,
					   enum hook hook)
{
	for (size_t i = 0; i < pins->n; i++)
		if (pins->pin[i].ifindex == ifindex && pins->pin[i].hook == hook)
			return &pins->pin[i];
	return NULL;
}

int pins_follow_names(const struct kernel *kernel, struct pinned_links *pins,
		      const struct links *links)
{
	char temp[64], want[64];
	int err = 0;

	/* First out of the way: two interfaces may have exchanged their names, and a pin overwritten is a hook gone. */
	for (int step = 0; step < 2; step++) {
		for (size_t i = 0; i < pins->n && !err; i++) {
			struct pinned_link *pin = &pins->pin[i];
			const struct link *link =
			    pin->ifindex ? links_find(links, pin->ifindex) : NULL;

			if (!link)
				continue;
			pin_name(link->name, pin->hook, want, sizeof(want));
			if (strcmp(pin->name, want) == 0)
				continue;
			snprintf(temp, sizeof(temp), "~%u-%s", link->ifindex,
				 hook_names[pin->hook]);
			err = pin_rename(kernel, "links", pin->name, step ? want : temp);
			strcpy(pin->name, step ? want : temp);
		}
	}
	return err;
}

__u32 prog_id_of(int fd)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ? 0 : info.id;
}

/* ---- clsact ---- */

/* The handle tells this pin directory's filters from those of others, another weir's included. */
static __u32 filter_handle(const struct kernel *kernel)
{
	__u32 hash = 2166136261u;

	for (const char *p = kernel->dir; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	return (hash & 0x7fffffff) | 1;
}

static enum bpf_tc_attach_point attach_point(enum hook hook)
{
	return hook == HOOK_IN ? BPF_TC_INGRESS : BPF_TC_EGRESS;
}

__u32 filter_query(const struct kernel *kernel, __u32 ifindex, enum hook hook)
{
	LIBBPF_OPTS(bpf_tc_hook, point, .ifindex = ifindex, .attach_point = attach_point(hook));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = filter_handle(kernel),
		    .priority = FILTER_PRIORITY);

	if (bpf_tc_query(&point, &opts))
		opts.prog_id = 0;
	libbpf_quiet(); /* that there is none is no complaint */
	return opts.prog_id;
}

int filter_put(const struct kernel *kernel, __u32 ifindex, enum hook hook, int prog_fd,
	       bool replace)
{
	LIBBPF_OPTS(bpf_tc_hook, point, .ifindex = ifindex, .attach_point = attach_point(hook));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = filter_handle(kernel), .priority = FILTER_PRIORITY,
		    .prog_fd = prog_fd, .flags = replace ? BPF_TC_F_REPLACE : 0);

	libbpf_quiet();
	return bpf_tc_attach(&point, &opts);
}

/* 1: made; 0: it was there. */
static int make_qdisc(__u32 ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	int err;

	libbpf_quiet();
	err = bpf_tc_hook_create(&both);
	return err == -EEXIST ? 0 : err ? err : 1;
}

int detach_filter(const struct kernel *kernel, __u32 ifindex, enum hook hook, bool qdisc)
{
	LIBBPF_OPTS(bpf_tc_hook, point, .ifindex = ifindex, .attach_point = attach_point(hook));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = filter_handle(kernel),
		    .priority = FILTER_PRIORITY);
	int err = 0;

	libbpf_quiet();
	if (filter_query(kernel, ifindex, hook))
		err = bpf_tc_detach(&point, &opts);
	if (qdisc) {
		point.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
		bpf_tc_hook_destroy(&point);
	}
	return err;
}

/* ---- attaching one hook ---- */

struct attaching {
	struct kernel *kernel;
	const struct wanted *wanted;
	enum hook hook;
	int prog_fd;
	struct change *change;
	struct diag *diag;
};

static int failed(const struct attaching *a, int err, const char *what)
{
	return diag_fail(a->diag, err, NULL, "%s: cannot attach %s: %s%s%s", a->wanted->link->name,
			 what, strerror(-err), libbpf_said()[0] ? ": " : "", libbpf_said());
}

static int link_pinned(const struct attaching *a, int link_fd)
{
	struct undo *undo = change_note(a->change, UNDO_LINK_MADE);
	int err;

	if (!undo) {
		close(link_fd);
		return -ENOMEM;
	}
	undo->fd = link_fd;
	pin_name(a->wanted->link->name, a->hook, undo->name, sizeof(undo->name));
	err = pin_put(a->kernel, "links", undo->name, link_fd);
	return err ? failed(a, err, "and pin the link") : 0;
}

static int xdp_link(const struct attaching *a, __u32 flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	int fd = fault(flags == XDP_FLAGS_DRV_MODE ? "xdp_native" : "xdp_generic");

	if (fd)
		return fd;
	libbpf_quiet();
	fd = bpf_link_create(a->prog_fd, a->wanted->link->ifindex, BPF_XDP, &opts);
	return fd < 0 ? -errno : fd;
}

static int attach_xdp(const struct attaching *a)
{
	enum xdp_mode mode = a->wanted->xdp;
	int fd = -EOPNOTSUPP;

	if (mode != XDP_GENERIC)
		fd = xdp_link(a, XDP_FLAGS_DRV_MODE);
	if (fd < 0 && mode == XDP_NATIVE)
		return fd == -EBUSY || fd == -EEXIST || fd == -EPERM
			   ? failed(a, fd == -EEXIST ? -EBUSY : fd, "XDP")
			   : diag_fail(a->diag, -EOPNOTSUPP, NULL,
				       "%s: native XDP is demanded, but its driver refuses it: %s",
				       a->wanted->link->name, strerror(-fd));
	if (fd < 0 && fd != -EBUSY && fd != -EPERM && fd != -ENODEV)
		fd = xdp_link(a, XDP_FLAGS_SKB_MODE);
	if (fd < 0)
		return failed(a, fd == -EEXIST ? -EBUSY : fd, "XDP");
	return link_pinned(a, fd);
}

static int try_clsact(const struct attaching *a)
{
	__u32 ifindex = a->wanted->link->ifindex;
	struct undo *undo = change_note(a->change, UNDO_FILTER_MADE);
	int made;

	if (!undo)
		return -ENOMEM;
	undo->ifindex = ifindex;
	undo->hook = a->hook;
	made = make_qdisc(ifindex);
	if (made < 0)
		return made;
	undo->made_qdisc = made;
	return filter_put(a->kernel, ifindex, a->hook, a->prog_fd, false);
}

static int attach_clsact(const struct attaching *a)
{
	int err = try_clsact(a);

	return err ? failed(a, err, "a clsact filter") : 0;
}

int tcx_link(int prog_fd, __u32 ifindex, enum hook hook)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = TCX_BEFORE);
	int fd = fault("tcx");

	if (fd)
		return fd;
	libbpf_quiet();
	fd = bpf_link_create(prog_fd, ifindex, tcx_type(hook), &opts);
	return fd < 0 ? -errno : fd;
}

/*
 * A tcx link waits for a grace period under the lock of all network configuration: 5 to 16 ms a hook, and a clsact
 * filter 0.1 ms. Where somebody waits the filter comes first, and settle.c puts a link in its place when there is time: a
 * packet pays 90 ns more for a filter. Behind somebody else's tcx program it might see nothing.
 */
static bool quickly(const struct attaching *a)
{
	return a->wanted->quick && !tcx_has(a->wanted->link->ifindex, a->hook, 0) &&
	       !fault("quick") && try_clsact(a) == 0;
}

static int attach_tc(const struct attaching *a)
{
	int fd;

	if (quickly(a))
		return 0;
	fd = tcx_link(a->prog_fd, a->wanted->link->ifindex, a->hook);
	if (fd >= 0)
		return link_pinned(a, fd);
	/* Kernels before 6.6 do not know the attach type. */
	if (fd == -EINVAL || fd == -EOPNOTSUPP)
		return attach_clsact(a);
	return failed(a, fd, "TC");
}

/* A program that is in place, to go back to: ours are at hand, and opening one by its id takes CAP_SYS_ADMIN. */
static int prog_in_place(const struct attaching *a, __u32 id)
{
	for (int i = 0; i < NR_PROGS; i++)
		if (prog_id_of(a->kernel->programs.fd[i]) == id)
			return fcntl(a->kernel->programs.fd[i], F_DUPFD_CLOEXEC, 3);
	return bpf_prog_get_fd_by_id(id);
}

static int replace_link(const struct attaching *a, const struct pinned_link *pin)
{
	struct undo *undo;
	int err = fault("link_update");

	if (pin->prog_id == prog_id_of(a->prog_fd))
		return 0;
	undo = change_note(a->change, UNDO_LINK_PROG);
	if (!undo)
		return -ENOMEM;
	undo->fd = fcntl(pin->fd, F_DUPFD_CLOEXEC, 3);
	undo->prog_fd = prog_in_place(a, pin->prog_id);
	if (undo->fd < 0 || undo->prog_fd < 0)
		return failed(a, -errno, "by its link");
	if (!err && bpf_link_update(pin->fd, a->prog_fd, NULL) < 0)
		err = -errno;
	return err ? failed(a, err, "by its link") : 0;
}

static int replace_filter(const struct attaching *a, __u32 prog_id)
{
	struct undo *undo;
	int err;

	if (prog_id == prog_id_of(a->prog_fd))
		return 0;
	undo = change_note(a->change, UNDO_FILTER_PROG);
	if (!undo)
		return -ENOMEM;
	undo->ifindex = a->wanted->link->ifindex;
	undo->hook = a->hook;
	undo->prog_fd = prog_in_place(a, prog_id);
	err = filter_put(a->kernel, undo->ifindex, a->hook, a->prog_fd, true);
	return err ? failed(a, err, "by its filter") : 0;
}

/* The mode that policy asks for, against the one in place: only a change of it needs a new link. */
static bool mode_fits(const struct wanted *wanted)
{
	__u8 now = wanted->link->xdp_mode;

	if (wanted->xdp == XDP_NATIVE)
		return now == XDP_ATTACHED_DRV;
	if (wanted->xdp == XDP_GENERIC)
		return now == XDP_ATTACHED_SKB;
	return true;
}

/* Both modes at once cannot be: meanwhile TC judges what XDP does not. */
static int give_up_xdp(const struct attaching *a, const struct pinned_link *pin)
{
	struct undo *undo = change_note(a->change, UNDO_XDP_GONE);

	if (!undo)
		return -ENOMEM;
	undo->ifindex = pin->ifindex;
	undo->flags =
	    a->wanted->link->xdp_mode == XDP_ATTACHED_SKB ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	undo->prog_fd = prog_in_place(a, pin->prog_id);
	strcpy(undo->name, pin->name);
	return detach_pin(a->kernel, pin);
}

static int attach_one(const struct attaching *a, const struct pinned_links *pins)
{
	__u32 ifindex = a->wanted->link->ifindex, prog_id;
	const struct pinned_link *pin = pinned_link_find(pins, ifindex, a->hook);
	struct weir_iface iface;

	if (pin && a->hook == HOOK_XDP && !mode_fits(a->wanted)) {
		int err = give_up_xdp(a, pin);

		if (err)
			return err;
		pin = NULL;
	}
	if (pin) {
		int err = replace_link(a, pin);

		/* What settle.c was about to remove when it was cut short. */
		if (!err && a->hook != HOOK_XDP && iface_read(a->kernel, ifindex, &iface) &&
		    iface.flags & IFACE_CLSACT)
			err = detach_filter(a->kernel, ifindex, a->hook, false);
		return err;
	}
	if (a->hook == HOOK_XDP)
		return attach_xdp(a);
	prog_id = filter_query(a->kernel, ifindex, a->hook);
	return prog_id ? replace_filter(a, prog_id) : attach_tc(a);
}

/* Before a policy with units comes into force: by the one that still is, TC judges as XDP does. */
static int leave_xdp(const struct attaching *a, const struct pinned_links *pins)
{
	const struct pinned_link *pin = pinned_link_find(pins, a->wanted->link->ifindex, HOOK_XDP);

	return pin ? give_up_xdp(a, pin) : 0;
}

int attach_interface(struct kernel *kernel, const struct programs *programs,
		     const struct pinned_links *pins, const struct wanted *wanted,
		     struct change *change, struct diag *diag)
{
	/* TC first: what XDP has not seen is judged there, so nothing passes unjudged in between. */
	static const enum hook order[] = {HOOK_OUT, HOOK_IN, HOOK_XDP};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		int prog = prog_for(wanted, order[i]), err;
		struct attaching a = {.kernel = kernel,
				      .wanted = wanted,
				      .hook = order[i],
				      .change = change,
				      .diag = diag};

		if (prog < 0) {
			err = wanted->units && order[i] == HOOK_XDP ? leave_xdp(&a, pins) : 0;
			if (err)
				return err;
			continue;
		}
		a.prog_fd = programs->fd[prog];
		err = fault("attach");
		if (err)
			return failed(&a, err, hook_names[order[i]]);
		err = attach_one(&a, pins);
		if (err)
			return err;
	}
	return 0;
}

static void prog_name_of(__u32 id, char *ret, size_t size)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);

	snprintf(ret, size, "unknown");
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.name[0])
		snprintf(ret, size, "%s", info.name);
}

int attach_check(const struct pinned_links *pins, const struct wanted *wanted, struct diag *diag)
{
	const struct link *link = wanted->link;
	char name[BPF_OBJ_NAME_LEN];

	if (prog_for(wanted, HOOK_XDP) < 0 || !link->xdp_prog ||
	    pinned_link_find(pins, link->ifindex, HOOK_XDP))
		return 0;
	prog_name_of(link->xdp_prog, name, sizeof(name));
	return diag_fail(
	    diag, -EBUSY, NULL,
	    "%s already has an XDP program: %s, id %u (`xdp: off` for this interface lets TC do it all)",
	    link->name, name, link->xdp_prog);
}

int detach_pin(struct kernel *kernel, const struct pinned_link *pin)
{
	/* Whoever else holds the link would keep the program attached: detach it, do not only let go. */
	bpf_link_detach(pin->fd);
	return pin_remove(kernel, "links", pin->name);
}

/* The name that pin_name() made it of; "" where it made none such. */
static void ifname_of(const char *pin, char *ret, size_t size)
{
	const char *end = strrchr(pin, '-');
	unsigned int byte;
	size_t n = 0;

	for (const char *p = pin; end && p < end && n + 1 < size; p++) {
		bool coded = *p == '%' && sscanf(p + 1, "%2X", &byte) == 1;

		ret[n++] = coded ? (char)byte : *p;
		p += coded ? 2 : 0;
	}
	ret[n] = '\0';
}

static int sweep_pin(void *arg, const char *name)
{
	struct kernel *kernel = arg;
	struct pinned_link pin;
	char ifname[IF_NAMESIZE];
	int err;

	/* Only what bears a name that no interface has is worth opening. */
	ifname_of(name, ifname, sizeof(ifname));
	if (ifname[0] && if_nametoindex(ifname))
		return 0;
	err = pin_open(kernel, name, &pin);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (!pin.ifindex)
		err = detach_pin(kernel, &pin);
	close(pin.fd);
	return err;
}

int pins_sweep(struct kernel *kernel)
{
	return pin_each(kernel, "links", sweep_pin, kernel);
}

int detach_named(struct kernel *kernel, const struct link *link)
{
	struct pinned_links pins = {};
	int err = pinned_links_of(kernel, link->name, &pins);

	for (size_t i = 0; i < pins.n && !err; i++)
		if (pins.pin[i].ifindex == link->ifindex)
			err = detach_pin(kernel, &pins.pin[i]);
	pinned_links_free(&pins);
	return err;
}

int attach_settle(struct kernel *kernel, const struct wanted *wanted, enum hook hook,
		  int nothing_fd)
{
	struct change change = {};
	struct diag scratch = {};
	int prog = prog_for(wanted, hook), fd, err;
	struct attaching a = {
	    .kernel = kernel, .wanted = wanted, .hook = hook, .change = &change, .diag = &scratch};

	/* Waiting for the grace period is a program that leaves everything to the filter; changing it waits for none. */
	fd = tcx_link(nothing_fd, wanted->link->ifindex, hook);
	if (fd < 0)
		return fd;
	err = link_pinned(&a, fd);
	if (!err && bpf_link_update(fd, kernel->programs.fd[prog], NULL) < 0)
		err = -errno;
	if (err) {
		change_undo(kernel, &change);
	} else {
		change_keep(&change);
		err = detach_filter(kernel, wanted->link->ifindex, hook, false);
	}
	diag_reset(&scratch);
	return err;
}

/* ---- all hooks to another set of programs ---- */

/* Which of our programs bears this id: one that is about to go, or, after a crash, one that has already come. */
static int prog_index(const struct kernel *kernel, const struct programs *programs, __u32 id)
{
	for (int i = 0; id && i < NR_PROGS; i++)
		if (prog_id_of(kernel->programs.fd[i]) == id || prog_id_of(programs->fd[i]) == id)
			return i;
	return -1;
}

static int replace_filters(struct attaching *a, const struct programs *programs,
			   int (*between)(void *arg), void *arg)
{
	int err = 0;

	for (int hook = HOOK_IN; hook <= HOOK_OUT && !err; hook++) {
		__u32 id = filter_query(a->kernel, a->wanted->link->ifindex, hook);
		int prog = prog_index(a->kernel, programs, id);

		if (prog < 0)
			continue;
		a->hook = hook;
		a->prog_fd = programs->fd[prog];
		err = replace_filter(a, id);
		if (!err && between)
			err = between(arg);
	}
	return err;
}

static int replace_pin(struct attaching *a, const struct programs *programs,
		       const struct pinned_link *pin, const struct links *links)
{
	struct link gone = {.name = "(gone)"};
	struct wanted wanted = {.link = links_find(links, pin->ifindex)};
	int prog = prog_index(a->kernel, programs, pin->prog_id);

	if (prog < 0)
		return 0;
	if (!pin->ifindex) { /* gone, or in another namespace; there it must not go on with tables of yesterday */
		bpf_link_update(pin->fd, programs->fd[prog], NULL);
		return 0;
	}
	if (!wanted.link)
		wanted.link = &gone;
	a->wanted = &wanted;
	a->hook = pin->hook;
	a->prog_fd = programs->fd[prog];
	return replace_link(a, pin);
}

int attach_replace(struct kernel *kernel, const struct programs *programs,
		   const struct pinned_links *pins, const struct links *links,
		   int (*between)(void *arg), void *arg, struct change *change, struct diag *diag)
{
	struct attaching a = {.kernel = kernel, .change = change, .diag = diag};
	int err = 0;

	for (size_t i = 0; i < pins->n && !err; i++) {
		err = replace_pin(&a, programs, &pins->pin[i], links);
		if (!err && between)
			err = between(arg);
	}
	for (size_t i = 0; i < links->n && !err; i++) {
		struct wanted wanted = {.link = &links->link[i]};

		a.wanted = &wanted;
		err = replace_filters(&a, programs, between, arg);
	}
	return err;
}
