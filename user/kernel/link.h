/* SPDX-License-Identifier: GPL-2.0-only */
/* Interfaces and addresses of a network namespace, by rtnetlink. */
#ifndef WEIR_KERNEL_LINK_H
#define WEIR_KERNEL_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "weir/tables.h"

/**
 * struct link - one interface.
 * @type:     ARPHRD_*
 * @peer:     IFLA_LINK: ifindex of the other end (veth) or of the parent; 0: none
 * @nsid:     namespace of @peer as seen from ours; -1: ours, or unknown
 * @mtu:      of what follows the link-layer header
 * @lower:    of a VLAN device: ifindex of the device that it is on, where that is in this namespace; else 0
 * @master:   ifindex of the bridge or bond that it is a port of; 0: none
 * @xdp_prog: id of the XDP program attached, 0: none; @xdp_mode: XDP_ATTACHED_*
 */
struct link {
	__u32 ifindex;
	char name[16];
	unsigned short type;
	unsigned int flags;
	__u8 mac[6];
	__u32 peer;
	__s32 nsid;
	__u32 master;
	__u32 mtu;
	__u32 lower;
	__u32 xdp_prog;
	__u8 xdp_mode;
	bool bridge, veth;
};

struct links {
	struct link *link;
	size_t n, capacity;
};

/** links_read() - all interfaces of the current network namespace. Returns 0 or -errno. */
int links_read(struct links *ret);
/** link_read() - one interface; -ENODEV: there is none (any more). */
int link_read(__u32 ifindex, struct link *ret);
/** links_read_ports() - the interfaces that are ports of @master; the others are not looked at. */
int links_read_ports(__u32 master, struct links *ret);
void links_free(struct links *links);
const struct link *links_find(const struct links *links, __u32 ifindex);
const struct link *links_by_name(const struct links *links, const char *name);

/** struct link_address - an address as configured; @broadcast is IPv4's, valid when @has_broadcast. */
struct link_address {
	__u32 ifindex;
	struct weir_addr address;
	struct weir_addr broadcast;
	bool v6;
	bool link_local;
	bool has_broadcast;
	__u8 length;
};
struct link_addresses {
	struct link_address *address;
	size_t n, capacity;
};

/**
 * addresses_read() - addresses of @ifindex (0: of all interfaces) in the namespace @nsid (-1: the current one).
 * No namespace is entered: the kernel answers for another one by its id.
 */
int addresses_read(__s32 nsid, __u32 ifindex, struct link_addresses *ret);
void addresses_free(struct link_addresses *addresses);

#endif
