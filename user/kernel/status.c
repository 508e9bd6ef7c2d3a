// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

static int slot_or_running(const struct kernel *kernel, int slot)
{
	return slot >= 0 ? slot & 1 : (int)word_slot(word_peek(kernel));
}

/* Config of @slot (-1: the one that judges), -ENOENT when it holds no policy. */
static int held(struct kernel *kernel, int *slot, struct weir_config *ret, struct diag *diag)
{
	int err;

	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	*slot = slot_or_running(kernel, *slot);
	err = slot_config(kernel, *slot, ret);
	if (err)
		return diag_fail(diag, err, NULL, "cannot read weir_cfg_%d: %s", *slot,
				 strerror(-err));
	if (!ret->generation)
		return diag_fail(diag, -ENOENT, NULL, "slot %d holds no policy", *slot);
	return 0;
}

int kernel_policy_text(struct kernel *kernel, int slot, char **ret, struct diag *diag)
{
	_cleanup_free_ struct weir_text *page = NULL;
	struct weir_config config;
	size_t pages;
	int err = held(kernel, &slot, &config, diag);

	if (err)
		return err;
	pages = config.text_len / WEIR_TEXT_PAGE + 1;
	err = slot_table(kernel, slot, TABLE_weir_text, pages, (void **)&page);
	if (err)
		return diag_fail(diag, err, NULL, "cannot read weir_text_%d: %s", slot,
				 strerror(-err));
	*ret = strndup(page->text, config.text_len);
	return *ret ? 0 : -ENOMEM;
}

int kernel_rules(struct kernel *kernel, int slot, struct weir_rule **ret, size_t *ret_n,
		 struct diag *diag)
{
	struct weir_config config;
	int err = held(kernel, &slot, &config, diag);

	if (err)
		return err;
	err = slot_table(kernel, slot, TABLE_weir_rule, config.nr_rules, (void **)ret);
	if (err)
		return diag_fail(diag, err, NULL, "cannot read weir_rule_%d: %s", slot,
				 strerror(-err));
	*ret_n = config.nr_rules;
	return 0;
}

int kernel_files(struct kernel *kernel, int slot, char (**ret)[256], size_t *ret_n,
		 struct diag *diag)
{
	struct weir_config config;
	int err = held(kernel, &slot, &config, diag);

	if (err)
		return err;
	err = slot_table(kernel, slot, TABLE_weir_file, config.nr_files, (void **)ret);
	if (err)
		return diag_fail(diag, err, NULL, "cannot read weir_file_%d: %s", slot,
				 strerror(-err));
	for (__u32 i = 0; i < config.nr_files; i++)
		(*ret)[i][255] = '\0';
	*ret_n = config.nr_files;
	return 0;
}

/* ---- interfaces ---- */

struct listing {
	const struct kernel *kernel;
	const struct links *links;
	const struct pinned_links *pins;
	struct kernel_status *status;
	size_t capacity;
};

static const char *hook_text(bool xdp, bool tcx)
{
	if (tcx)
		return xdp ? "xdp+tcx" : "tcx";
	return xdp ? "xdp+clsact" : "clsact";
}

static bool hook_in_place(const struct listing *l, __u32 ifindex, enum hook hook)
{
	return pinned_link_find(l->pins, ifindex, hook) || filter_query(l->kernel, ifindex, hook);
}

static void list_hooks(const struct listing *l, const struct link *link, __u32 flags,
		       struct interface_status *ret)
{
	const struct pinned_link *xdp = pinned_link_find(l->pins, link->ifindex, HOOK_XDP);
	const struct pinned_link *in = pinned_link_find(l->pins, link->ifindex, HOOK_IN);

	ret->attached =
	    hook_in_place(l, link->ifindex, HOOK_IN) && hook_in_place(l, link->ifindex, HOOK_OUT);
	ret->hook = hook_text(xdp, in || !ret->attached);
	ret->xdp = !xdp ? "off" : link->xdp_mode == XDP_ATTACHED_SKB ? "generic" : "native";
	ret->metadata = xdp && !(flags & WEIR_IF_NO_METADATA);
}

static int list_iface(void *arg, const void *key, const void *value)
{
	struct listing *l = arg;
	const struct weir_iface *iface = value;
	const struct link *link = links_find(l->links, *(const __u32 *)key);
	struct interface_status *entry;

	if (!link || !(iface->flags & (WEIR_IF_NIC | WEIR_IF_WORKLOAD | WEIR_IF_GUARD)))
		return 0;
	if (mem_grow(&l->status->interface, l->status->nr_interfaces, &l->capacity, sizeof(*entry)))
		return -ENOMEM;
	entry = &l->status->interface[l->status->nr_interfaces++];
	memset(entry, 0, sizeof(*entry));
	strcpy(entry->name, link->name);
	entry->ifindex = link->ifindex;
	entry->role = iface->flags & WEIR_IF_WORKLOAD ? INTERFACE_WORKLOAD
		      : iface->flags & WEIR_IF_GUARD  ? INTERFACE_BRIDGE
						      : INTERFACE_NIC;
	entry->workload = entry->role == INTERFACE_WORKLOAD;
	entry->closed = iface->flags & WEIR_IF_CLOSED;
	entry->antispoof = l->status->config.flags & WEIR_CFG_ANTISPOOF
			       ? iface->antispoof[l->status->slot]
			       : WEIR_ANTISPOOF_OFF;
	list_hooks(l, link, iface->flags, entry);
	return 0;
}

static int list_missing(void *arg, const char *name)
{
	struct listing *l = arg;
	struct interface_status *entry;

	if (mem_grow(&l->status->interface, l->status->nr_interfaces, &l->capacity, sizeof(*entry)))
		return -ENOMEM;
	entry = &l->status->interface[l->status->nr_interfaces++];
	memset(entry, 0, sizeof(*entry));
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->xdp = "off";
	return 0;
}

static int by_ifindex(const void *a, const void *b)
{
	const struct interface_status *x = a, *y = b;

	return x->ifindex < y->ifindex ? -1 : x->ifindex > y->ifindex;
}

static int list_interfaces(struct kernel *kernel, struct kernel_status *status)
{
	struct links links = {};
	struct pinned_links pins = {};
	struct listing listing = {
	    .kernel = kernel, .links = &links, .pins = &pins, .status = status};
	int err = links_read(&links);

	if (!err)
		err = pinned_links_read(kernel, &pins);
	if (!err)
		err = map_each(kernel->maps.fd[MAP_weir_iface], sizeof(__u32),
			       sizeof(struct weir_iface), list_iface, &listing);
	if (!err && status->config.generation)
		err = named_missing(kernel, status->slot, &links, list_missing, &listing);
	if (!err && status->nr_interfaces)
		qsort(status->interface, status->nr_interfaces, sizeof(*status->interface),
		      by_ifindex);
	pinned_links_free(&pins);
	links_free(&links);
	return err;
}

/* ---- numbers ---- */

static int read_counts(const struct kernel *kernel, struct kernel_status *status)
{
	const size_t words = sizeof(struct weir_count) / sizeof(__u64);
	int err = counters_sum(kernel->maps.fd[MAP_weir_books], 0, &status->books,
			       sizeof(status->books) / sizeof(__u64));
	__u32 zero = 0;

	for (__u32 i = 0; i < WEIR_NR_REASONS && !err; i++)
		err = counters_sum(kernel->maps.fd[MAP_weir_rsncnt], i, &status->reason[i], words);
	for (__u32 i = 0; i < WEIR_NR_HOMES && !err; i++)
		err = counters_sum(kernel->maps.fd[MAP_weir_homecnt], i, &status->home[i], words);
	if (!err &&
	    bpf_map_lookup_elem(kernel->maps.fd[MAP_weir_reader], &zero, &status->reader) < 0)
		err = -errno;
	return err;
}

static int read_word(struct kernel *kernel, struct kernel_status *status)
{
	__u64 word = word_peek(kernel);
	struct weir_config other;
	int err = slot_config(kernel, word_slot(word), &status->config);

	if (!err)
		err = slot_config(kernel, !word_slot(word), &other);
	if (err)
		return err;
	status->generation = word_generation(word);
	status->slot = word_slot(word);
	status->trial = word & WEIR_WORD_PENDING;
	status->deadline_boot_ms = status->trial ? word_deadline(word) : 0;
	status->monitor = status->config.flags & WEIR_CFG_MONITOR;
	status->previous_generation = kernel->meta->flags & META_STALE ? 0 : other.generation;
	status->control = *kernel->control;
	return 0;
}

static int read_protects(struct kernel *kernel, struct kernel_status *status)
{
	struct weir_protect protect[WEIR_MAX_PROTECTS];
	int err = slot_protects(kernel, status->slot, protect, &status->nr_protects);

	status->now_ns = mono_ns(kernel);
	if (!err && status->nr_protects &&
	    protect[status->nr_protects - 1].interval == WEIR_PROTECT_NEVER)
		status->nr_protects--; /* nothing that the policy speaks of */
	for (size_t i = 0; i < status->nr_protects && !err; i++) {
		struct protect_status *entry = &status->protect[i];

		entry->protect = protect[i];
		if (protect[i].state >= WEIR_NR_COOKIES)
			return -EBADMSG;
		err = map_read(kernel->maps.fd[MAP_weir_cookie], protect[i].state, 1, &entry->state,
			       sizeof(entry->state));
		entry->attacked = entry->state.until_ns > status->now_ns;
	}
	return err;
}

static int read_status(struct kernel *kernel, struct kernel_status *status, struct diag *diag)
{
	size_t nr_files;
	int err = read_word(kernel, status);

	if (!err && status->config.generation)
		err = kernel_files(kernel, status->slot, &status->file, &nr_files, diag);
	if (!err)
		err = list_interfaces(kernel, status);
	if (!err)
		err = read_counts(kernel, status);
	if (!err && status->config.generation)
		err = overflows_in_use(kernel, &status->overflow_in_use, diag);
	if (!err && status->config.generation)
		err = read_protects(kernel, status);
	/* A note that cannot be read keeps nobody from seeing the rest. */
	if (sysctls_list(kernel->dir, status->sysctl, &status->nr_sysctls))
		status->nr_sysctls = 0;
	return err;
}

int kernel_status(struct kernel *kernel, struct kernel_status *ret, struct diag *diag)
{
	struct kernel_status *status;
	int err;

	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	status = calloc(1, sizeof(*status));
	if (!status)
		return -ENOMEM;
	err = read_status(kernel, status, diag);
	if (err) {
		kernel_status_clear(status);
		diag_fail(diag, err, NULL, "cannot read the state: %s", strerror(-err));
	} else {
		*ret = *status;
	}
	free(status);
	return err;
}

int kernel_glance(struct kernel *kernel, struct kernel_status *ret, struct diag *diag)
{
	int err;

	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	memset(ret, 0, sizeof(*ret));
	err = read_word(kernel, ret);
	if (!err && ret->config.generation && ret->config.flags & WEIR_CFG_PROTECT)
		err = read_protects(kernel, ret);
	return err ? diag_fail(diag, err, NULL, "cannot read the state: %s", strerror(-err)) : 0;
}

void kernel_status_clear(struct kernel_status *status)
{
	free(status->file);
	free(status->interface);
	memset(status, 0, sizeof(*status));
}
