// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/link.h"

#include <errno.h>
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

/* Opening a socket costs as much as a small question: a thread keeps one, of the namespace that it is in. */
static _Thread_local struct {
	struct mnl_socket *nl;
	dev_t dev;
	ino_t ino;
	unsigned int seq;
} asking;

static void hang_up(void)
{
	if (asking.nl)
		mnl_socket_close(TAKE_PTR(asking.nl));
}

static int call(void)
{
	int one = 1;

	asking.nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!asking.nl)
		return -errno;
	if (mnl_socket_bind(asking.nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	/* Strict checking is what makes the kernel look at the namespace and interface that a dump asks for. */
	if (mnl_socket_setsockopt(asking.nl, NETLINK_GET_STRICT_CHK, &one, sizeof(one)) < 0)
		return -errno;
	return 0;
}

static int ready(void)
{
	struct stat here;

	if (stat("/proc/thread-self/ns/net", &here) < 0) {
		hang_up();
		return call();
	}
	if (asking.nl && here.st_dev == asking.dev && here.st_ino == asking.ino)
		return 0;
	hang_up();
	asking.dev = here.st_dev;
	asking.ino = here.st_ino;
	return call();
}

static int ask_all(struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	char buffer[32768] __attribute__((aligned(8))); /* more the kernel never says at once */
	unsigned int port = mnl_socket_get_portid(asking.nl);
	int got, more = 1;

	request->nlmsg_seq = ++asking.seq;
	if (mnl_socket_sendto(asking.nl, request, request->nlmsg_len) < 0)
		return -errno;
	while (more > 0) {
		got = mnl_socket_recvfrom(asking.nl, buffer, sizeof(buffer));
		if (got < 0)
			return -errno;
		more = mnl_cb_run(buffer, got, request->nlmsg_seq, port, cb, arg);
		if (more < 0)
			return -errno;
	}
	return 0;
}

/* One dump: @cb sees every message. An interrupted dump (something changed meanwhile) is for the caller to repeat. */
static int dump(struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	int err = ready();

	if (!err)
		err = ask_all(request, cb, arg);
	if (err) /* with what may still come of the answer */
		hang_up();
	return err;
}

static int dump_retry(struct nlmsghdr *request, mnl_cb_t cb, void *arg, size_t *count)
{
	int err = -EINTR;

	for (int attempt = 0; attempt < 8 && err == -EINTR; attempt++) {
		*count = 0;
		err = dump(request, cb, arg);
	}
	return err;
}

static void read_xdp(const struct nlattr *nest, struct link *link)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_type(attr) == IFLA_XDP_ATTACHED)
			link->xdp_mode = mnl_attr_get_u8(attr);
		if (mnl_attr_get_type(attr) == IFLA_XDP_PROG_ID)
			link->xdp_prog = mnl_attr_get_u32(attr);
	}
}

static void read_linkinfo(const struct nlattr *nest, struct link *link, bool *vlan)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
	{
		const char *kind = mnl_attr_get_str(attr);

		if (mnl_attr_get_type(attr) != IFLA_INFO_KIND)
			continue;
		link->bridge = strcmp(kind, "bridge") == 0;
		link->veth = strcmp(kind, "veth") == 0;
		*vlan = strcmp(kind, "vlan") == 0;
	}
}

static void read_link_attr(const struct nlattr *attr, struct link *link, bool *vlan)
{
	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		strncpy(link->name, mnl_attr_get_str(attr), sizeof(link->name) - 1);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attr) == sizeof(link->mac))
			memcpy(link->mac, mnl_attr_get_payload(attr), sizeof(link->mac));
		break;
	case IFLA_LINK:
		link->peer = mnl_attr_get_u32(attr);
		break;
	case IFLA_LINK_NETNSID:
		link->nsid = (__s32)mnl_attr_get_u32(attr);
		break;
	case IFLA_MTU:
		link->mtu = mnl_attr_get_u32(attr);
		break;
	case IFLA_MASTER:
		link->master = mnl_attr_get_u32(attr);
		break;
	case IFLA_XDP:
		read_xdp(attr, link);
		break;
	case IFLA_LINKINFO:
		read_linkinfo(attr, link, vlan);
		break;
	}
}

static int on_link(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	struct links *links = arg;
	const struct nlattr *attr;
	bool vlan = false;
	struct link *link;

	if (message->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	if (mem_grow(&links->link, links->n, &links->capacity, sizeof(*link))) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	link = &links->link[links->n++];
	memset(link, 0, sizeof(*link));
	link->ifindex = info->ifi_index;
	link->type = info->ifi_type;
	link->flags = info->ifi_flags;
	link->nsid = -1;
	mnl_attr_for_each(attr, message, sizeof(*info)) read_link_attr(attr, link, &vlan);
	/* The device of a VLAN may be in another namespace, where numbers mean others. */
	if (vlan && link->nsid < 0)
		link->lower = link->peer;
	return MNL_CB_OK;
}

/* Counters are a third of what the kernel would say about an interface. */
static struct nlmsghdr *ask(char *buffer, __u16 flags, __u32 ifindex)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *info;

	request->nlmsg_type = RTM_GETLINK;
	request->nlmsg_flags = NLM_F_REQUEST | flags;
	info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = ifindex;
	mnl_attr_put_u32(request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return request;
}

static int links_dump(struct nlmsghdr *request, struct links *ret)
{
	struct links links = {};
	int err = dump_retry(request, on_link, &links, &links.n);

	if (err) {
		links_free(&links);
		return err;
	}
	*ret = links;
	return 0;
}

int links_read(struct links *ret)
{
	char buffer[MNL_NLMSG_HDRLEN + 64] = {};

	return links_dump(ask(buffer, NLM_F_DUMP, 0), ret);
}

int links_read_ports(__u32 master, struct links *ret)
{
	char buffer[MNL_NLMSG_HDRLEN + 64] = {};
	struct nlmsghdr *request = ask(buffer, NLM_F_DUMP, 0);

	mnl_attr_put_u32(request, IFLA_MASTER, master);
	return links_dump(request, ret);
}

int link_read(__u32 ifindex, struct link *ret)
{
	char buffer[MNL_NLMSG_HDRLEN + 64] = {};
	struct links links = {};
	/* The acknowledgement ends it, as the last message of a dump would. */
	int err = links_dump(ask(buffer, NLM_F_ACK, ifindex), &links);

	if (!err && links.n)
		*ret = links.link[0];
	else if (!err)
		err = -ENODEV;
	links_free(&links);
	return err;
}

void links_free(struct links *links)
{
	free(links->link);
	memset(links, 0, sizeof(*links));
}

const struct link *links_find(const struct links *links, __u32 ifindex)
{
	for (size_t i = 0; i < links->n; i++)
		if (links->link[i].ifindex == ifindex)
			return &links->link[i];
	return NULL;
}

const struct link *links_by_name(const struct links *links, const char *name)
{
	for (size_t i = 0; i < links->n; i++)
		if (strcmp(links->link[i].name, name) == 0)
			return &links->link[i];
	return NULL;
}

static void set_v4(struct weir_addr *ret, const void *bytes)
{
	memset(ret, 0, sizeof(*ret));
	ret->byte[10] = ret->byte[11] = 0xff;
	memcpy(&ret->byte[12], bytes, 4);
}

static void read_address_attr(const struct nlattr *attr, struct link_address *ret, bool *local)
{
	const void *bytes = mnl_attr_get_payload(attr);
	size_t want = ret->v6 ? 16 : 4;

	if (mnl_attr_get_payload_len(attr) != want)
		return;
	switch (mnl_attr_get_type(attr)) {
	case IFA_ADDRESS:
		/* The peer's on a point-to-point link, where IFA_LOCAL is ours. */
		if (*local)
			return;
		break;
	case IFA_LOCAL:
		*local = true;
		break;
	case IFA_BROADCAST:
		if (!ret->v6)
			set_v4(&ret->broadcast, bytes);
		ret->has_broadcast = !ret->v6;
		return;
	default:
		return;
	}
	if (ret->v6)
		memcpy(&ret->address, bytes, 16);
	else
		set_v4(&ret->address, bytes);
}

static int on_address(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
	struct link_addresses *addresses = arg;
	struct link_address *address;
	const struct nlattr *attr;
	bool local = false;

	if (message->nlmsg_type != RTM_NEWADDR ||
	    (info->ifa_family != AF_INET && info->ifa_family != AF_INET6))
		return MNL_CB_OK;
	if (mem_grow(&addresses->address, addresses->n, &addresses->capacity, sizeof(*address))) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	address = &addresses->address[addresses->n++];
	memset(address, 0, sizeof(*address));
	address->ifindex = info->ifa_index;
	address->v6 = info->ifa_family == AF_INET6;
	address->length = info->ifa_prefixlen;
	mnl_attr_for_each(attr, message, sizeof(*info)) read_address_attr(attr, address, &local);
	address->link_local = address->v6 && address->address.byte[0] == 0xfe &&
			      (address->address.byte[1] & 0xc0) == 0x80;
	return MNL_CB_OK;
}

static int read_family(__s32 nsid, __u32 ifindex, unsigned char family, struct link_addresses *ret)
{
	char buffer[MNL_NLMSG_HDRLEN + 64] = {};
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifaddrmsg *info;
	size_t before = ret->n;
	int err = -EINTR;

	request->nlmsg_type = RTM_GETADDR;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
	info->ifa_family = family;
	info->ifa_index = ifindex;
	if (nsid >= 0)
		mnl_attr_put_u32(request, IFA_TARGET_NETNSID, nsid);
	for (int attempt = 0; attempt < 8 && err == -EINTR; attempt++) {
		ret->n = before;
		err = dump(request, on_address, ret);
	}
	return err;
}

int addresses_read(__s32 nsid, __u32 ifindex, struct link_addresses *ret)
{
	struct link_addresses addresses = {};
	int err;

	err = read_family(nsid, ifindex, AF_INET, &addresses);
	if (!err)
		err = read_family(nsid, ifindex, AF_INET6, &addresses);
	if (err == -EAFNOSUPPORT || err == -EOPNOTSUPP) /* IPv6 switched off */
		err = 0;
	if (err) {
		addresses_free(&addresses);
		return err;
	}
	*ret = addresses;
	return 0;
}

void addresses_free(struct link_addresses *addresses)
{
	free(addresses->address);
	memset(addresses, 0, sizeof(*addresses));
}
