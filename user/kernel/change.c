// SPDX-License-Identifier: GPL-2.0-only
/* Taking back what a failed change has done: the newest first, so that every step finds what it left. */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <string.h>

static int reserve(struct change *change)
{
	size_t before = change->capacity;
	int err = mem_grow(&change->undo, change->n, &change->capacity, sizeof(*change->undo));

	if (err)
		return err;
	for (size_t i = before; i < change->capacity; i++)
		change->undo[i].fd = change->undo[i].prog_fd = -1;
	return 0;
}

struct undo *change_note(struct change *change, enum undo_kind kind)
{
	struct undo *undo;

	if (reserve(change))
		return NULL;
	undo = &change->undo[change->n++];
	memset(undo, 0, sizeof(*undo));
	undo->kind = kind;
	undo->fd = undo->prog_fd = -1;
	change->count++;
	return undo;
}

static void undo_filter(struct kernel *kernel, const struct undo *undo)
{
	if (undo->kind == UNDO_FILTER_MADE)
		detach_filter(kernel, undo->ifindex, undo->hook, undo->made_qdisc);
	else
		filter_put(kernel, undo->ifindex, undo->hook, undo->prog_fd, true);
}

static void undo_xdp(struct kernel *kernel, const struct undo *undo)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = undo->flags);
	_cleanup_close_ int fd = bpf_link_create(undo->prog_fd, undo->ifindex, BPF_XDP, &opts);

	if (fd >= 0)
		pin_put(kernel, "links", undo->name, fd);
}

static void undo_iface(struct kernel *kernel, const struct undo *undo)
{
	int fd = kernel->maps.fd[MAP_weir_iface];

	if (undo->existed)
		bpf_map_update_elem(fd, &undo->ifindex, &undo->iface, BPF_ANY);
	else
		bpf_map_delete_elem(fd, &undo->ifindex);
}

static void undo_local(struct kernel *kernel, const struct undo *undo)
{
	int fd = kernel->maps.fd[MAP_weir_local];

	if (undo->existed)
		bpf_map_update_elem(fd, &undo->key, &undo->local, BPF_ANY);
	else
		bpf_map_delete_elem(fd, &undo->key);
}

static void undo_one(struct kernel *kernel, const struct undo *undo)
{
	switch (undo->kind) {
	case UNDO_LINK_MADE:
		pin_remove(kernel, "links", undo->name);
		bpf_link_detach(undo->fd);
		break;
	case UNDO_LINK_PROG:
		bpf_link_update(undo->fd, undo->prog_fd, NULL);
		break;
	case UNDO_FILTER_MADE:
	case UNDO_FILTER_PROG:
		undo_filter(kernel, undo);
		break;
	case UNDO_XDP_GONE:
		undo_xdp(kernel, undo);
		break;
	case UNDO_IFACE:
		undo_iface(kernel, undo);
		break;
	case UNDO_LOCAL:
		undo_local(kernel, undo);
		break;
	}
}

void change_undo(struct kernel *kernel, struct change *change)
{
	for (size_t i = change->n; i-- > 0;)
		undo_one(kernel, &change->undo[i]);
	change_keep(change);
}

void change_keep(struct change *change)
{
	for (size_t i = 0; i < change->n; i++) {
		mem_close_p(&change->undo[i].fd);
		mem_close_p(&change->undo[i].prog_fd);
	}
	free(change->undo);
	change->undo = NULL;
	change->n = change->capacity = 0;
}
