// SPDX-License-Identifier: GPL-2.0-only
/*
 * A flood of SYNs from random addresses, as fast as one core sends them. Tests only.
 *
 *   flood INTERFACE MAC PORT SECONDS ADDRESS…    to these addresses in turn, IPv4 or IPv6, on the link of MAC
 *
 * Prints "flooding" when it begins and "sent N SYNs in S s: R SYNs a second" at the end, with what that is of its CPU
 * time: where others want the core, too, the first says nothing. What it sends is what Linux sends,
 * checksums included: a host without protection has all the work that a client would give it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	    64
#define MAX_TARGETS 8
#define TCP_LEN	    40

/**
 * struct target - frames to one address.
 * @l4:  offset of the TCP header; @len: of the frame
 * @sum: of all that never changes, for the TCP checksum
 */
struct target {
	uint8_t frame[14 + 40 + TCP_LEN];
	size_t l4, len;
	uint32_t sum;
	bool six;
};

static volatile sig_atomic_t ended;

static void end(int signal)
{
	ended = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t random_next(void)
{
	static uint64_t state;

	if (!state) {
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		state = (now.tv_sec * 1000000007ULL + now.tv_nsec) | 1;
	}
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dULL;
}

static uint32_t sum_of(const uint8_t *at, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i += 2)
		sum += at[i] << 8 | at[i + 1];
	return sum;
}

static uint16_t sum_end(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return htons(~((sum & 0xffff) + (sum >> 16)));
}

static void parse_mac(const char *text, uint8_t mac[6])
{
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5]) != 6) {
		errno = EINVAL;
		die(text);
	}
}

static void target_init(struct target *t, const char *address, const uint8_t mac[6], uint16_t port)
{
	static const uint8_t syn[] = {
	    0xa0, 0x02, 0xfa, 0xf0, 0, 0, 0, 0, /* ten words, SYN, window */
	    2,	  4,	5,    0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};
	uint8_t *ip = t->frame + 14, *tcp;

	memset(t, 0, sizeof(*t));
	memcpy(t->frame, mac, 6);
	memcpy(t->frame + 6, "\x02\x00\x00\x00\xf1\x00", 6);
	t->six = strchr(address, ':');
	t->l4 = 14 + (t->six ? 40 : 20);
	t->len = t->l4 + TCP_LEN;
	tcp = t->frame + t->l4;
	if (t->six) {
		memcpy(t->frame + 12, "\x86\xdd\x60\0\0\0\0\x28\x06\x40", 10);
		if (inet_pton(AF_INET6, address, ip + 24) != 1)
			die(address);
		t->sum = sum_of(ip + 24, 16, 6 + TCP_LEN);
	} else {
		memcpy(t->frame + 12, "\x08\x00\x45\0\0\x3c\0\0\x40\0\x40\x06", 12);
		if (inet_pton(AF_INET, address, ip + 16) != 1)
			die(address);
		t->sum = sum_of(ip + 16, 4, 6 + TCP_LEN);
	}
	tcp[2] = port >> 8;
	tcp[3] = port;
	memcpy(tcp + 12, syn, sizeof(syn));
	t->sum = sum_of(tcp, TCP_LEN, t->sum);
}

/* Any unicast address that the internet could send from. */
static uint32_t random_ipv4(void)
{
	for (;;) {
		uint32_t address = random_next() >> 32, first = address >> 24;

		if (first && first != 10 && first != 127 && first < 224 &&
		    address >> 16 != 0xa9fe && address >> 20 != 0xac1 && address >> 16 != 0xc0a8)
			return htonl(address);
	}
}

static size_t frame_make(const struct target *t, uint8_t *frame)
{
	uint8_t *ip = frame + 14, *tcp = frame + t->l4;
	uint64_t numbers = random_next();
	uint16_t check;

	memcpy(frame, t->frame, t->len);
	memcpy(tcp, (uint16_t[]){htons(1024 | (numbers & 0xffff))}, 2);
	memcpy(tcp + 4, (uint8_t *)&numbers + 4, 4);
	if (t->six) {
		uint64_t half[2] = {random_next(), random_next()};

		memcpy(ip + 8, half, 16);
		ip[8] = 0x20 | (ip[8] & 0x1f); /* 2000::/3 */
		if (ip[8] == 0x20 && ip[9] <= 0x02)
			ip[8] = 0x26; /* neither Teredo nor 6to4 */
		check = sum_end(sum_of(tcp + 4, 4, sum_of(tcp, 2, sum_of(ip + 8, 16, t->sum))));
	} else {
		uint32_t src = random_ipv4();

		memcpy(ip + 12, &src, 4);
		memcpy(ip + 10, (uint16_t[]){sum_end(sum_of(ip, 20, 0))}, 2);
		check = sum_end(sum_of(tcp + 4, 4, sum_of(tcp, 2, sum_of(ip + 12, 4, t->sum))));
	}
	memcpy(tcp + 16, &check, 2);
	return t->len;
}

static int open_link(const char *interface)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(interface)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1, bytes = 8 << 20;

	if (fd < 0 || !to.sll_ifindex || bind(fd, (void *)&to, sizeof(to)))
		die(interface);
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static double seconds_used(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec + used.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static uint8_t frame[BATCH][sizeof(((struct target *)0)->frame)];
	static struct target target[MAX_TARGETS];
	struct mmsghdr message[BATCH] = {};
	struct iovec part[BATCH];
	unsigned long long sent = 0, next = 0;
	double began, lasts;
	int targets = argc - 5, fd;
	uint8_t mac[6];

	if (targets < 1 || targets > MAX_TARGETS) {
		fprintf(stderr, "usage: flood INTERFACE MAC PORT SECONDS ADDRESS…\n");
		return 2;
	}
	parse_mac(argv[2], mac);
	for (int i = 0; i < targets; i++)
		target_init(&target[i], argv[5 + i], mac, atoi(argv[3]));
	fd = open_link(argv[1]);
	for (int i = 0; i < BATCH; i++) {
		part[i].iov_base = frame[i];
		message[i].msg_hdr.msg_iov = &part[i];
		message[i].msg_hdr.msg_iovlen = 1;
	}
	signal(SIGTERM, end);
	signal(SIGINT, end);
	printf("flooding\n");
	fflush(stdout);
	began = seconds_now();
	do {
		int n;

		for (int i = 0; i < BATCH; i++)
			part[i].iov_len = frame_make(&target[next++ % targets], frame[i]);
		n = sendmmsg(fd, message, BATCH, 0);
		if (n < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			die("sendmmsg");
		sent += n > 0 ? n : 0;
		lasts = seconds_now() - began;
	} while (!ended && lasts < atof(argv[4]));
	printf("sent %llu SYNs in %.1f s: %.0f SYNs a second (%.0f a second of its CPU time)\n",
	       sent, lasts, sent / lasts, sent / seconds_used());
	return 0;
}
