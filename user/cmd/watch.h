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
#define LINKS_CHANGED 0x1 /* some link, or its addresses: watch_links_changed() says which */
#define LINKS_ELSEWHERE \
	0x2 /* an address appeared in another namespace, behind which of our links is not known */
#define LINKS_ADDRESSES 0x4  /* an address of this namespace came or went */
#define LINKS_NAMES	0x8  /* a link is new, is gone or has a new name */
#define LINKS_LOST	0x10 /* the kernel dropped messages: anything may have changed */
/* What some link, or all of them, now do with packets for others. */
#define LINKS_ROUTES4	 0x20
#define LINKS_NO_ROUTES4 0x40
#define LINKS_ROUTES6	 0x80
#define LINKS_NO_ROUTES6 0x100
#define LINKS_SETTING	 0x200 /* a setting of loopback that weir itself may hold */

/**
 * struct link_change - a link that messages were about, once however many there were.
 * @fresh:  it is new, or has a new name, another bridge, another namespace behind it: its hooks wait for nobody
 * @urgent: likewise, or addresses behind it changed, or it is gone
 */
struct link_change {
	int ifindex;
	bool fresh;
	bool urgent;
	bool gone;
};

/**
 * watch_links_open() - follow links, addresses and forwarding of the current network namespace, and addresses of the
 * namespaces that have an id here, where the kernel lets us (CAP_NET_BROADCAST).
 */
int watch_links_open(struct watch_links **ret, struct diag *diag);
void watch_links_close(struct watch_links *watch);
int watch_links_fd(const struct watch_links *watch);

/** watch_links_read() - all messages that wait. Returns LINKS_* bits. */
unsigned int watch_links_read(struct watch_links *watch);

/** watch_links_changed() - what the last watch_links_read() was about; valid until the next. Returns how many. */
size_t watch_links_changed(const struct watch_links *watch, const struct link_change **ret);

#endif
