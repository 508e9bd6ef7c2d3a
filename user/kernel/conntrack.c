// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whoever loads programs at boot comes before the first NAT rule, and so before the kernel's conntrack module, whose
 * function they call. The kernel loads it for the first question about it; with no rule that uses it, it tracks nothing.
 */
#include "kernel/internal.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/time.h>

void conntrack_load(void)
{
	static const struct timeval patience = {.tv_sec = 1};
	char buffer[4096] = {};
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct nfgenmsg *message;

	if (!nl)
		return;
	request->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	message = mnl_nlmsg_put_extra_header(request, sizeof(*message));
	message->nfgen_family = AF_UNSPEC;
	message->version = NFNETLINK_V0;
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	/* The answer, whatever it is, comes when the module is there or will not be. */
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0 &&
	    mnl_socket_sendto(nl, request, request->nlmsg_len) > 0)
		mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
	mnl_socket_close(nl);
}
