/* SPDX-License-Identifier: GPL-2.0-only */
/* What a daemon follows: files by inotify, links and addresses by rtnetlink. */
#ifndef WEIR_CMD_WATCH_H
#define WEIR_CMD_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"

/* ---- files ---- */

/**
 * struct watch_files - paths that may change, and the directories in which they would.
 *
 * Directories are watched, not files: editors write a new file and rename it, a mounted configuration swaps a symbolic
 * link two levels up, and a file that does not exist yet may appear. Any event there asks for watch_files_changed(),
 * which compares what the paths lead to with what they led to.
 */
struct watch_files;

int watch_files_open(struct watch_files **ret, struct diag *diag);
void watch_files_close(struct watch_files *watch);
int watch_files_fd(const struct watch_files *watch);

/** watch_files_set() - follow these paths, copied, instead of those before; their present state is the known one. */
int watch_files_set(struct watch_files *watch, const char *const *path, size_t n);

/** watch_files_read() - take events off the descriptor. Returns true when there were any. */
bool watch_files_read(struct watch_files *watch);

/** watch_files_changed() - do the paths lead to something else than when last asked? That becomes the known state. */
bool watch_files_changed(struct watch_files *watch);

/* ---- links ---- */

struct watch_links;

/* What watch_links_read() found. */
#define LINKS_URGENT \
	0x1 /* a link is new or has a new name, or an address appeared behind a workload */
#define LINKS_CHANGED	0x2 /* anything else about links */
#define LINKS_ADDRESSES 0x4 /* addresses or forwarding of this namespace */
#define LINKS_LOST	0x8 /* the kernel dropped messages: anything may have changed */

/**
 * watch_links_open() - follow links, addresses and forwarding of the current network namespace, and addresses of the
 * namespaces that have an id here, where the kernel lets us (CAP_NET_BROADCAST).
 */
int watch_links_open(struct watch_links **ret, struct diag *diag);
void watch_links_close(struct watch_links *watch);
int watch_links_fd(const struct watch_links *watch);

/** watch_links_read() - all messages that wait. Returns LINKS_* bits. */
unsigned int watch_links_read(struct watch_links *watch);

#endif
