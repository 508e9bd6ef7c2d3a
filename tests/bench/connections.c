// SPDX-License-Identifier: GPL-2.0-only
/* Established connections without a peer: TCP_REPAIR takes the kernel's word that the handshake was made. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

static int *opened;
static unsigned int nr_opened;

static int connection_open(__u32 peer)
{
	const struct sockaddr_in local = {.sin_family = AF_INET,
					  .sin_port = htons(BENCH_LOCAL),
					  .sin_addr.s_addr = htonl(BENCH_SELF)};
	const struct sockaddr_in remote = {
	    .sin_family = AF_INET, .sin_port = htons(443), .sin_addr.s_addr = htonl(peer)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) ||
	    bind(fd, (const struct sockaddr *)&local, sizeof(local)) ||
	    connect(fd, (const struct sockaddr *)&remote, sizeof(remote)))
		die(-errno, "a connection to peer %u", peer - BENCH_PEERS);
	return fd;
}

void connections_open(unsigned int number)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		die(-errno, "limits");
	files.rlim_cur = files.rlim_max;
	if (files.rlim_max < number + 256 || setrlimit(RLIMIT_NOFILE, &files))
		die(-EMFILE, "%u connections", number);
	opened = realloc(opened, number * sizeof(*opened));
	if (!opened)
		die(-ENOMEM, "connections");
	while (nr_opened < number) {
		opened[nr_opened] = connection_open(BENCH_PEERS + nr_opened);
		nr_opened++;
	}
}

/* In repair mode a close says nothing to the other side. */
void connections_close(void)
{
	while (nr_opened)
		close(opened[--nr_opened]);
	free(opened);
	opened = NULL;
}
