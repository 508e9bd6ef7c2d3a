// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/watch.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/netconf.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/mem.h"

#define LOOPBACK_IFINDEX 1 /* in every namespace */

/* ---- files ---- */

/* Whatever makes a path lead elsewhere, or ends a write into where it leads. */
#define FILE_EVENTS                                                                              \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | \
	 IN_MOVE_SELF | IN_ONLYDIR)

struct seen {
	bool exists;
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct watch_files {
	int fd;
	char **path;
	struct seen *seen;
	size_t n;
	int *wd;
	size_t nr_wd, capacity;
};

int watch_files_open(struct watch_files **ret, struct diag *diag)
{
	struct watch_files *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return diag_fail(diag, -ENOMEM, NULL, "out of memory");
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0) {
		int err = -errno;

		free(watch);
		return diag_fail(diag, err, NULL, "files cannot be followed: %s", strerror(-err));
	}
	*ret = watch;
	return 0;
}

static void forget_paths(struct watch_files *watch)
{
	for (size_t i = 0; i < watch->n; i++)
		free(watch->path[i]);
	free(watch->path);
	free(watch->seen);
	watch->path = NULL;
	watch->seen = NULL;
	watch->n = 0;
}

void watch_files_close(struct watch_files *watch)
{
	if (!watch)
		return;
	forget_paths(watch);
	free(watch->wd);
	close(watch->fd);
	free(watch);
}

int watch_files_fd(const struct watch_files *watch)
{
	return watch->fd;
}

static struct seen look(const char *path)
{
	struct seen seen = {0};
	struct stat st;

	if (stat(path, &st) < 0)
		return seen;
	return (struct seen){true, st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim};
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_seen(const struct seen *a, const struct seen *b)
{
	return a->exists == b->exists && a->dev == b->dev && a->ino == b->ino &&
	       a->size == b->size && same_time(&a->mtime, &b->mtime) &&
	       same_time(&a->ctime, &b->ctime);
}

static void watch_directory(struct watch_files *watch, const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = slash ? strndup(path, slash - path + 1) : strdup(".");
	int wd;

	if (!dir || mem_grow(&watch->wd, watch->nr_wd, &watch->capacity, sizeof(*watch->wd)))
		return;
	wd = inotify_add_watch(watch->fd, dir, FILE_EVENTS);
	if (wd >= 0)
		watch->wd[watch->nr_wd++] = wd;
}

/* Where the name stands, and where it leads to if that is another place. */
static void watch_path(struct watch_files *watch, const char *path)
{
	_cleanup_free_ char *real = realpath(path, NULL);

	watch_directory(watch, path);
	if (real && strcmp(real, path) != 0)
		watch_directory(watch, real);
}

static void watch_again(struct watch_files *watch)
{
	_cleanup_free_ int *before = watch->wd;
	size_t nr_before = watch->nr_wd;

	watch->wd = NULL;
	watch->nr_wd = watch->capacity = 0;
	for (size_t i = 0; i < watch->n; i++)
		watch_path(watch, watch->path[i]);
	/* Adding a directory again gives its old number: only what nobody asks for any more goes. */
	for (size_t i = 0; i < nr_before; i++) {
		bool wanted = false;

		for (size_t j = 0; j < watch->nr_wd && !wanted; j++)
			wanted = watch->wd[j] == before[i];
		if (!wanted)
			inotify_rm_watch(watch->fd, before[i]);
	}
}

int watch_files_set(struct watch_files *watch, const char *const *path, size_t n)
{
	char **copy = calloc(n + 1, sizeof(*copy));
	struct seen *seen = calloc(n + 1, sizeof(*seen));
	size_t i = 0;

	for (; copy && seen && i < n; i++) {
		copy[i] = strdup(path[i]);
		if (!copy[i])
			break;
		seen[i] = look(path[i]);
	}
	if (!copy || !seen || i < n) {
		while (i)
			free(copy[--i]);
		free(copy);
		free(seen);
		return -ENOMEM;
	}
	forget_paths(watch);
	watch->path = copy;
	watch->seen = seen;
	watch->n = n;
	watch_again(watch);
	return 0;
}

bool watch_files_read(struct watch_files *watch)
{
	char buffer[8192] __attribute__((aligned(8)));
	bool any = false;

	while (read(watch->fd, buffer, sizeof(buffer)) > 0)
		any = true;
	return any;
}

bool watch_files_changed(struct watch_files *watch)
{
	bool changed = false;

	for (size_t i = 0; i < watch->n; i++) {
		struct seen seen = look(watch->path[i]);

		changed |= !same_seen(&seen, &watch->seen[i]);
		watch->seen[i] = seen;
	}
	watch_again(watch); /* a directory may have been replaced */
	return changed;
}

/* ---- links ---- */

/* What a link is to others: with another of these, its hooks and its binding may have to be others. */
struct known_link {
	int ifindex;
	char name[IF_NAMESIZE];
	int master;
	int peer_nsid, peer; /* of a veth: the other end; peer 0: none */
};

struct watch_links {
	struct mnl_socket *socket;
	struct known_link *link;
	size_t n, capacity;
	struct link_change *change;
	size_t nr_changes, change_capacity;
};

int watch_links_fd(const struct watch_links *watch)
{
	return mnl_socket_get_fd(watch->socket);
}

static int join_groups(struct mnl_socket *socket)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
				     RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF};
	int fd = mnl_socket_get_fd(socket), room = 4 << 20, on = 1;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
			return -errno;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	/* Where this is refused, addresses behind workloads are found by looking again and again. */
	setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof(on));
	return 0;
}

static struct known_link *find_link(struct watch_links *watch, int ifindex)
{
	for (size_t i = 0; i < watch->n; i++)
		if (watch->link[i].ifindex == ifindex)
			return &watch->link[i];
	return NULL;
}

/* Is anything new about it? */
static bool remember_link(struct watch_links *watch, const struct known_link *now)
{
	struct known_link *link = find_link(watch, now->ifindex);
	bool fresh = !link;

	if (fresh && mem_grow(&watch->link, watch->n, &watch->capacity, sizeof(*watch->link)))
		return true;
	if (fresh)
		link = &watch->link[watch->n++];
	fresh |= strcmp(link->name, now->name) != 0 || link->master != now->master ||
		 link->peer_nsid != now->peer_nsid || link->peer != now->peer;
	*link = *now;
	return fresh;
}

static void forget_link(struct watch_links *watch, int ifindex)
{
	struct known_link *link = find_link(watch, ifindex);

	if (link)
		*link = watch->link[--watch->n];
}

static void remember_present(struct watch_links *watch)
{
	struct if_nameindex *names = if_nameindex();

	for (struct if_nameindex *name = names; name && name->if_index; name++) {
		struct known_link link = {.ifindex = (int)name->if_index};

		snprintf(link.name, sizeof(link.name), "%s", name->if_name);
		remember_link(watch, &link);
	}
	if_freenameindex(names);
}

int watch_links_open(struct watch_links **ret, struct diag *diag)
{
	struct watch_links *watch = calloc(1, sizeof(*watch));
	int err;

	if (!watch)
		return diag_fail(diag, -ENOMEM, NULL, "out of memory");
	watch->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	err = watch->socket && !mnl_socket_bind(watch->socket, 0, MNL_SOCKET_AUTOPID) ? 0 : -errno;
	if (!err)
		err = join_groups(watch->socket);
	if (err) {
		watch_links_close(watch);
		return diag_fail(diag, err, NULL, "links cannot be followed: %s", strerror(-err));
	}
	remember_present(watch);
	*ret = watch;
	return 0;
}

void watch_links_close(struct watch_links *watch)
{
	if (!watch)
		return;
	if (watch->socket)
		mnl_socket_close(watch->socket);
	free(watch->link);
	free(watch->change);
	free(watch);
}

size_t watch_links_changed(const struct watch_links *watch, const struct link_change **ret)
{
	*ret = watch->change;
	return watch->nr_changes;
}

static unsigned int note(struct watch_links *watch, int ifindex, bool urgent, bool gone)
{
	struct link_change *change = NULL;

	for (size_t i = 0; i < watch->nr_changes && !change; i++)
		if (watch->change[i].ifindex == ifindex)
			change = &watch->change[i];
	if (!change) {
		if (mem_grow(&watch->change, watch->nr_changes, &watch->change_capacity,
			     sizeof(*watch->change)))
			return LINKS_LOST;
		change = &watch->change[watch->nr_changes++];
		*change = (struct link_change){.ifindex = ifindex};
	}
	change->urgent |= urgent;
	change->gone = gone;
	return LINKS_CHANGED;
}

static void mark_fresh(struct watch_links *watch, int ifindex)
{
	for (size_t i = 0; i < watch->nr_changes; i++)
		if (watch->change[i].ifindex == ifindex)
			watch->change[i].fresh = true;
}

static int integer_or(const struct nlattr *attr, int otherwise)
{
	return mnl_attr_validate(attr, MNL_TYPE_U32) < 0 ? otherwise : (int)mnl_attr_get_u32(attr);
}

static struct known_link read_link(const struct nlmsghdr *message, const struct ifinfomsg *info)
{
	struct known_link link = {.ifindex = info->ifi_index, .peer_nsid = -1};
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(*info))
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
				snprintf(link.name, sizeof(link.name), "%s",
					 mnl_attr_get_str(attr));
			break;
		case IFLA_MASTER:
			link.master = integer_or(attr, 0);
			break;
		case IFLA_LINK:
			link.peer = integer_or(attr, 0);
			break;
		case IFLA_LINK_NETNSID:
			link.peer_nsid = integer_or(attr, -1);
			break;
		}
	}
	if (link.peer_nsid < 0)
		link.peer = 0;
	return link;
}

static unsigned int judge_link(struct watch_links *watch, const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	const struct known_link *known;
	struct known_link link;
	unsigned int names;
	bool fresh;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*info))
		return 0;
	known = find_link(watch, info->ifi_index);
	/* A bridge says with its own family that a port has left it; the link itself is still there. */
	if (message->nlmsg_type == RTM_DELLINK && info->ifi_family == AF_UNSPEC) {
		forget_link(watch, info->ifi_index);
		return note(watch, info->ifi_index, true, true) | LINKS_NAMES;
	}
	if (message->nlmsg_type == RTM_DELLINK || info->ifi_family != AF_UNSPEC)
		return note(watch, info->ifi_index, false, false);
	link = read_link(message, info);
	names = !known || strcmp(known->name, link.name) != 0 ? LINKS_NAMES : 0;
	fresh = remember_link(watch, &link);
	names |= note(watch, link.ifindex, fresh, false);
	if (fresh && watch->nr_changes)
		mark_fresh(watch, link.ifindex);
	return names;
}

/* Addresses of ours belong to a link; those behind a workload to the link whose other end bears them. */
static unsigned int judge_address(struct watch_links *watch, const struct nlmsghdr *message,
				  bool elsewhere, int nsid)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*info))
		return 0;
	if (!elsewhere)
		return note(watch, (int)info->ifa_index, false, false) | LINKS_ADDRESSES;
	for (size_t i = 0; i < watch->n; i++)
		if (watch->link[i].peer == (int)info->ifa_index && watch->link[i].peer_nsid == nsid)
			return note(watch, watch->link[i].ifindex, true, false);
	return LINKS_ELSEWHERE;
}

static unsigned int judge_routing(const struct nlmsghdr *message)
{
	const struct netconfmsg *conf = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	int forwards = -1, ifindex = 0;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*conf))
		return 0;
	mnl_attr_for_each(attr, message, sizeof(*conf))
	{
		if (mnl_attr_get_type(attr) == NETCONFA_FORWARDING)
			forwards = integer_or(attr, -1);
		if (mnl_attr_get_type(attr) == NETCONFA_IFINDEX)
			ifindex = integer_or(attr, 0);
	}
	if (forwards < 0)
		return 0;
	/* Nothing arrives there to be forwarded: it is a setting that weir itself may need. */
	if (ifindex == LOOPBACK_IFINDEX)
		return LINKS_SETTING;
	if (conf->ncm_family == AF_INET6)
		return forwards ? LINKS_ROUTES6 : LINKS_NO_ROUTES6;
	return forwards ? LINKS_ROUTES4 : LINKS_NO_ROUTES4;
}

static unsigned int judge_message(struct watch_links *watch, const struct nlmsghdr *message,
				  bool elsewhere, int nsid)
{
	switch (message->nlmsg_type) {
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return judge_address(watch, message, elsewhere, nsid);
	case RTM_NEWNETCONF:
		return elsewhere ? 0 : judge_routing(message);
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return elsewhere ? 0 : judge_link(watch, message);
	default:
		return 0;
	}
}

/* Messages of other namespaces come with the id that ours has for them. */
static bool from_elsewhere(struct msghdr *header, int *ret_nsid)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
		if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID) {
			memcpy(ret_nsid, CMSG_DATA(c), sizeof(*ret_nsid));
			return true;
		}
	return false;
}

unsigned int watch_links_read(struct watch_links *watch)
{
	char buffer[32768] __attribute__((aligned(8))), control[256];
	unsigned int found = 0;

	watch->nr_changes = 0;
	for (;;) {
		struct iovec part = {buffer, sizeof(buffer)};
		struct msghdr header = {.msg_iov = &part,
					.msg_iovlen = 1,
					.msg_control = control,
					.msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(watch_links_fd(watch), &header, MSG_DONTWAIT);
		int left = (int)n, nsid = -1;
		bool elsewhere;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			found |= LINKS_LOST;
			continue;
		}
		if (n <= 0)
			return found;
		elsewhere = from_elsewhere(&header, &nsid);
		for (struct nlmsghdr *message = (struct nlmsghdr *)buffer;
		     mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			found |= judge_message(watch, message, elsewhere, nsid);
	}
}
