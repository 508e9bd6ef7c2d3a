// SPDX-License-Identifier: GPL-2.0-only
/*
 * newcomer: the whole of a container for tests/docker/starts.sh. From its first instruction on it sends datagrams to every
 * address that it is given, every millisecond at first, then every 20 ms, and counts what reaches it.
 *
 *   newcomer ID ADDRESS:PORT...     the first one is the listener that it may reach; brackets around IPv6 addresses
 *
 * Each datagram is a struct note, in this machine's byte order. What it hears from the first address is an answer;
 * everything else that arrives is counted, from before it began, too: the namespace's own counters say how much that was.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_TARGETS 32
#define PORT_OPEN   7002 /* where others send to */

/**
 * struct note - what a datagram says.
 * @target:      which of the addresses it goes to
 * @began_ns:    CLOCK_MONOTONIC of the first instruction; @sent_ns: of this datagram
 * @answered_ns: of the first answer, 0: none yet
 * @before:      datagrams that this namespace had received before the first instruction
 * @strange:     datagrams received since then that were no answers
 */
struct note {
	char magic[8];
	uint32_t id, target;
	uint64_t began_ns, sent_ns, answered_ns;
	uint32_t seq, before, strange, errors;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static size_t read_all(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

/* UDP of both families: delivered, without a port, or in error. */
static uint32_t datagrams_received(void)
{
	static const char *const names6[] = {"\nUdp6InDatagrams", "\nUdp6NoPorts",
					     "\nUdp6InErrors"};
	static char text[16384];
	unsigned long in = 0, no_ports = 0, errors = 0;
	uint32_t sum;
	char *line;

	read_all("/proc/net/snmp", text, sizeof(text));
	line = strstr(text, "\nUdp: ");
	line = line ? strstr(line + 1, "\nUdp: ") : NULL;
	if (line)
		sscanf(line, "\nUdp: %lu %lu %lu", &in, &no_ports, &errors);
	sum = (uint32_t)(in + no_ports + errors);
	read_all("/proc/net/snmp6", text, sizeof(text));
	for (size_t i = 0; i < 3; i++) {
		line = strstr(text, names6[i]);
		if (line)
			sum += (uint32_t)strtoul(line + strlen(names6[i]), NULL, 10);
	}
	return sum;
}

struct target {
	int fd;
	struct sockaddr_storage address;
	socklen_t len;
};

/* One socket each, not connected: errors of one are not met at another. Multicast and broadcast are allowed. */
static void open_target(struct target *target, char *text)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&target->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&target->address;
	char *colon = strrchr(text, ':');
	int on = 1;

	if (!colon)
		exit(2);
	*colon = '\0';
	if (*text == '[') {
		text[strlen(text) - 1] = '\0';
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)atoi(colon + 1));
		target->len = sizeof(*v6);
		if (inet_pton(AF_INET6, text + 1, &v6->sin6_addr) != 1)
			exit(2);
		if (v6->sin6_addr.s6_addr[0] == 0xff)
			v6->sin6_scope_id = 0;
	} else {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)atoi(colon + 1));
		target->len = sizeof(*v4);
		if (inet_pton(AF_INET, text, &v4->sin_addr) != 1)
			exit(2);
	}
	target->fd = socket(target->address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	setsockopt(target->fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
}

static int open_port(void)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(PORT_OPEN)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		exit(3);
	return fd;
}

static unsigned int drain(int fd)
{
	char buffer[2048];
	unsigned int n = 0;

	while (recv(fd, buffer, sizeof(buffer), 0) >= 0)
		n++;
	return n;
}

int main(int argc, char **argv)
{
	struct note note = {.magic = "newcomer", .began_ns = now_ns()};
	struct target target[MAX_TARGETS] = {0};
	unsigned int n = 0, answers;
	int port;

	note.before = datagrams_received();
	if (argc < 3)
		return 2;
	note.id = (uint32_t)atoi(argv[1]);
	port = open_port();
	for (int i = 2; i < argc && n < MAX_TARGETS; i++)
		open_target(&target[n++], argv[i]);
	for (;; note.seq++) {
		struct timespec pause = {.tv_nsec = note.seq < 200 ? 1000000 : 20000000};

		for (note.target = 0; note.target < n; note.target++) {
			struct target *t = &target[note.target];

			note.sent_ns = now_ns();
			if (sendto(t->fd, &note, sizeof(note), 0, (struct sockaddr *)&t->address,
				   t->len) < 0)
				note.errors++;
		}
		nanosleep(&pause, NULL);
		answers = drain(target[0].fd);
		if (answers && !note.answered_ns)
			note.answered_ns = now_ns();
		for (unsigned int i = 1; i < n; i++)
			note.strange += drain(target[i].fd);
		note.strange += drain(port);
	}
}
