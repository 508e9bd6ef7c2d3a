// SPDX-License-Identifier: GPL-2.0-only
/*
 * wire: what the end-to-end tests put on the wire and see there. One program, so that a table of a few hundred real
 * connections starts in milliseconds. Addresses are IPv4 or IPv6 everywhere; times are ns of CLOCK_MONOTONIC.
 *
 *   wire send    --dev D --dmac MAC --from A[+N] --to A --proto tcp|udp|icmp|NUM [--sport P] [--dport P[,P...]]
 *                [--flags SAFR] [--count N] [--rate PPS] [--burst N] [--len BYTES] [--times FILE] [--first ID]
 *       Frames by AF_PACKET. --from A+N: N addresses from A on, in turn; --dport: in turn. Frame i carries ID + i (TCP
 *       sequence number, first four bytes of UDP). --burst: the first N at once, the others at the rate. --proto arp:
 *       requests for --to by the sender --from. --times: "ID NS" a line. Prints how many were sent and how long it took.
 *   wire sniff   --dev D | --raw PROTO [-6] [--out FILE] [--ports P[,P...]]
 *       Counts arriving packets until SIGTERM, then prints "PROTO DPORT COUNT" lines. --dev: tap of an interface; --raw:
 *       what is delivered to this host's sockets. --out: "ID NS SOURCE SPORT DPORT LEN" for each. --ports: only these.
 *       Prints "ready" when it listens.
 *   wire listen  tcp:PORT|udp:PORT|sink:PORT|drain:PORT...
 *       Echoes (sink: UDP, drain: TCP, without an answer). Prints "ready", then "tcp PORT SOURCE" for every connection and "udp PORT SOURCE" for every datagram that
 *       reached the socket.
 *   wire reach   [--wait MS] [--bind A] tcp:A:PORT | udp:A:PORT | dns:A | ping:A ...
 *       All at once; for each, in order, "SPEC open|refused|silent|error". open: an answer came back.
 *   wire say     [--count N] [--bind-port P] [--len BYTES] udp:A:PORT
 *       N datagrams from a socket, which then waits for nothing; longer ones go out in fragments.
 *   wire push    [--bytes N] tcp:A:PORT
 *       N bytes to a drain, as fast as they go: "N bytes in NS ns", when the other end has read all of them.
 *   wire chat    [--every MS] [--bind-port P] tcp:A:PORT | udp:A:PORT
 *       Opens once, sends a byte each MS, prints "ready" and then "NS" for every byte that comes back; "closed" at the end.
 *   wire knock   [--count N] [--burst N] [--every MS] [--wait MS] [--bind A] tcp:A:PORT
 *       N connections, the first --burst of them at once, the others one each MS, given up after MS:
 *       "I NS open|silent|refused", NS since the first.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	stopped = number;
}

static __attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("wire: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t when_ns)
{
	struct timespec t = {.tv_sec = (time_t)(when_ns / 1000000000ULL),
			     .tv_nsec = (long)(when_ns % 1000000000ULL)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR && !stopped)
		;
}

/* An address of either family with a port, as sockets want it. */
struct end {
	struct sockaddr_storage storage;
	socklen_t len;
	int family;
};

static struct end parse_end(const char *text, uint16_t port)
{
	struct end end = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&end.storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&end.storage;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		end.family = v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		end.len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		end.family = v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		end.len = sizeof(*v6);
	} else {
		die("not an address: %s", text);
	}
	return end;
}

static const char *end_text(const struct sockaddr_storage *storage)
{
	static char text[INET6_ADDRSTRLEN];
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)storage;

	if (storage->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)storage)->sin_addr, text,
			  sizeof(text));
	else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, sizeof(text));
	else
		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
	return text;
}

static unsigned long number(const char *text, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value > max)
		die("not a number up to %lu: %s", max, text);
	return value;
}

/* ---------------------------------------------------------------- send */

struct sender {
	const char *dev, *times;
	uint8_t dmac[6];
	struct end from, to;
	unsigned long nr_from;
	int proto;
	uint16_t sport, dport[16];
	unsigned int nr_dport;
	uint8_t flags;
	unsigned long count, rate, burst, len, first;
};

static void parse_mac(const char *text, uint8_t mac[6])
{
	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5]) != 6)
		die("not a MAC address: %s", text);
}

#define PROTO_ARP 256 /* no IP protocol: whole frames of their own */

static int parse_proto(const char *text)
{
	if (!strcmp(text, "arp"))
		return PROTO_ARP;
	if (!strcmp(text, "tcp"))
		return IPPROTO_TCP;
	if (!strcmp(text, "udp"))
		return IPPROTO_UDP;
	if (!strcmp(text, "icmp"))
		return IPPROTO_ICMP;
	if (!strcmp(text, "icmpv6"))
		return IPPROTO_ICMPV6;
	return (int)number(text, 255);
}

static uint8_t parse_flags(const char *text)
{
	uint8_t flags = 0;

	for (; *text; text++) {
		switch (*text) {
		case 'F':
			flags |= 0x01;
			break;
		case 'S':
			flags |= 0x02;
			break;
		case 'R':
			flags |= 0x04;
			break;
		case 'A':
			flags |= 0x10;
			break;
		default:
			die("not a TCP flag: %c", *text);
		}
	}
	return flags;
}

static unsigned int parse_ports(const char *text, uint16_t *port, unsigned int max)
{
	char *copy = strdup(text), *save = NULL, *word;
	unsigned int n = 0;

	for (word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (n == max)
			die("more than %u ports", max);
		port[n++] = (uint16_t)number(word, 65535);
	}
	free(copy);
	return n;
}

static uint32_t sum16(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *byte = data;

	for (; len > 1; len -= 2, byte += 2)
		sum += (uint32_t)byte[0] << 8 | byte[1];
	if (len)
		sum += (uint32_t)byte[0] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* Addresses A, A+1, …: the last four bytes count. */
static void step_address(uint8_t *last4, unsigned long by)
{
	uint32_t value;

	memcpy(&value, last4, 4);
	value = htonl(ntohl(value) + (uint32_t)by);
	memcpy(last4, &value, 4);
}

/* The transport header and payload of frame @id; returns its length. */
static size_t build_transport(const struct sender *s, uint8_t *at, unsigned long id, uint16_t dport)
{
	uint32_t wire_id = htonl((uint32_t)id);

	if (s->proto == IPPROTO_TCP) {
		struct tcphdr *tcp = (struct tcphdr *)at;

		tcp->source = htons(s->sport);
		tcp->dest = htons(dport);
		tcp->seq = wire_id;
		tcp->ack_seq = s->flags & 0x10 ? htonl(1) : 0;
		tcp->doff = 5;
		at[13] = s->flags;
		tcp->window = htons(1024);
		return sizeof(*tcp) + s->len;
	}
	if (s->proto == IPPROTO_UDP) {
		struct udphdr *udp = (struct udphdr *)at;
		size_t len = sizeof(*udp) + (s->len < 4 ? 4 : s->len);

		udp->source = htons(s->sport);
		udp->dest = htons(dport);
		udp->len = htons((uint16_t)len);
		memcpy(at + sizeof(*udp), &wire_id, 4);
		return len;
	}
	if (s->proto == IPPROTO_ICMP || s->proto == IPPROTO_ICMPV6) {
		at[0] = s->proto == IPPROTO_ICMP ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
		memcpy(at + 4, &wire_id, 4);
		return 8 + s->len;
	}
	memcpy(at, &wire_id, 4);
	return 4 + s->len;
}

static void checksum_transport(const struct sender *s, uint8_t *at, size_t len, uint32_t pseudo)
{
	uint16_t sum = 0;
	size_t where;

	switch (s->proto) {
	case IPPROTO_TCP:
		where = 16;
		break;
	case IPPROTO_UDP:
		where = 6;
		break;
	case IPPROTO_ICMP:
		where = 2;
		pseudo = 0;
		break;
	case IPPROTO_ICMPV6:
		where = 2;
		break;
	default:
		return;
	}
	sum = fold(sum16(pseudo, at, len));
	if (!sum && s->proto == IPPROTO_UDP)
		sum = 0xffff;
	memcpy(at + where, &sum, 2);
}

static size_t build_arp(const struct sender *s, uint8_t *frame, const uint8_t smac[6])
{
	static const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0, 1};

	memcpy(frame, s->dmac, 6);
	memcpy(frame + 6, smac, 6);
	frame[12] = 0x08;
	frame[13] = 0x06;
	memcpy(frame + 14, head, sizeof(head));
	memcpy(frame + 22, smac, 6);
	memcpy(frame + 28, &((const struct sockaddr_in *)&s->from.storage)->sin_addr, 4);
	memcpy(frame + 38, &((const struct sockaddr_in *)&s->to.storage)->sin_addr, 4);
	return 60;
}

/* One frame with identifier @id into @frame (zeroed, 1,514 bytes or more); returns its length. */
static size_t build_frame(const struct sender *s, uint8_t *frame, const uint8_t smac[6],
			  unsigned long id)
{
	unsigned long turn = id - s->first;
	uint16_t dport = s->dport[turn % s->nr_dport];
	bool v6 = s->from.family == AF_INET6;
	size_t l3 = ETH_HLEN, l4 = l3 + (v6 ? sizeof(struct ip6_hdr) : sizeof(struct iphdr)), len;
	uint8_t *ip = frame + l3;
	uint32_t pseudo;

	if (s->proto == PROTO_ARP)
		return build_arp(s, frame, smac);
	memcpy(frame, s->dmac, 6);
	memcpy(frame + 6, smac, 6);
	frame[12] = v6 ? 0x86 : 0x08;
	frame[13] = v6 ? 0xdd : 0x00;
	len = build_transport(s, frame + l4, id, dport);
	if (v6) {
		struct ip6_hdr *h = (struct ip6_hdr *)ip;

		h->ip6_vfc = 0x60;
		h->ip6_plen = htons((uint16_t)len);
		h->ip6_nxt = (uint8_t)s->proto;
		h->ip6_hlim = 64;
		memcpy(&h->ip6_src, &((const struct sockaddr_in6 *)&s->from.storage)->sin6_addr,
		       16);
		memcpy(&h->ip6_dst, &((const struct sockaddr_in6 *)&s->to.storage)->sin6_addr, 16);
		step_address((uint8_t *)&h->ip6_src + 12, turn % s->nr_from);
		pseudo = sum16((uint32_t)s->proto + (uint32_t)len, &h->ip6_src, 32);
	} else {
		struct iphdr *h = (struct iphdr *)ip;

		h->version = 4;
		h->ihl = 5;
		h->tot_len = htons((uint16_t)(sizeof(*h) + len));
		h->id = htons((uint16_t)id);
		h->ttl = 64;
		h->protocol = (uint8_t)s->proto;
		memcpy(&h->saddr, &((const struct sockaddr_in *)&s->from.storage)->sin_addr, 4);
		memcpy(&h->daddr, &((const struct sockaddr_in *)&s->to.storage)->sin_addr, 4);
		step_address((uint8_t *)&h->saddr, turn % s->nr_from);
		h->check = fold(sum16(0, h, sizeof(*h)));
		pseudo = sum16((uint32_t)s->proto + (uint32_t)len, &h->saddr, 8);
	}
	checksum_transport(s, frame + l4, len, pseudo);
	return l4 + len;
}

static void interface_mac(int fd, const char *dev, uint8_t mac[6])
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET};
	socklen_t len = sizeof(ll);

	ll.sll_ifindex = (int)if_nametoindex(dev);
	if (!ll.sll_ifindex)
		die("no interface %s", dev);
	if (bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&ll, &len) < 0)
		die("bind to %s: %s", dev, strerror(errno));
	memcpy(mac, ll.sll_addr, 6);
}

static void transmit(const struct sender *s, int fd, const uint8_t smac[6], uint64_t *time_ns)
{
	static uint8_t frame[2048];
	uint64_t start = now_ns();
	unsigned long i;

	for (i = 0; i < s->count && !stopped; i++) {
		size_t len;

		memset(frame, 0, ETH_HLEN + 60);
		len = build_frame(s, frame, smac, s->first + i);
		if (s->rate && i >= s->burst) {
			uint64_t due = start + (i - s->burst + 1) * 1000000000ULL / s->rate;

			/* Sleep only for what a sleep can keep; a late frame is sent at once. */
			if (due > now_ns() + 200000)
				sleep_until(due);
		}
		time_ns[i] = now_ns();
		/* ENOBUFS: a hook of this machine dropped the frame, which is for the test to judge. */
		if (send(fd, frame, len, 0) < 0 && errno != ENOBUFS)
			die("send: %s", strerror(errno));
	}
	printf("sent %lu in %llu ns\n", i, (unsigned long long)(now_ns() - start));
	if (s->times) {
		FILE *out = fopen(s->times, "w");

		if (!out)
			die("%s: %s", s->times, strerror(errno));
		for (unsigned long k = 0; k < i; k++)
			fprintf(out, "%lu %llu\n", s->first + k, (unsigned long long)time_ns[k]);
		fclose(out);
	}
}

static void sender_option(struct sender *s, int option, char *arg)
{
	char *plus;

	switch (option) {
	case 'd':
		s->dev = arg;
		break;
	case 'm':
		parse_mac(arg, s->dmac);
		break;
	case 'f':
		plus = strchr(arg, '+');
		if (plus) {
			*plus = '\0';
			s->nr_from = number(plus + 1, 1UL << 31);
		}
		s->from = parse_end(arg, 0);
		break;
	case 't':
		s->to = parse_end(arg, 0);
		break;
	case 'p':
		s->proto = parse_proto(arg);
		break;
	case 's':
		s->sport = (uint16_t)number(arg, 65535);
		break;
	case 'D':
		s->nr_dport = parse_ports(arg, s->dport, 16);
		break;
	case 'F':
		s->flags = parse_flags(arg);
		break;
	case 'n':
		s->count = number(arg, 1UL << 31);
		break;
	case 'r':
		s->rate = number(arg, 1UL << 31);
		break;
	case 'B':
		s->burst = number(arg, 1UL << 31);
		break;
	case 'l':
		s->len = number(arg, 1400);
		break;
	case 'o':
		s->times = arg;
		break;
	case 'i':
		s->first = number(arg, UINT32_MAX);
		break;
	default:
		die("send: unknown option");
	}
}

static int cmd_send(int argc, char **argv)
{
	static const struct option options[] = {
	    {"dev", 1, 0, 'd'},	  {"dmac", 1, 0, 'm'},	{"from", 1, 0, 'f'},
	    {"to", 1, 0, 't'},	  {"proto", 1, 0, 'p'}, {"sport", 1, 0, 's'},
	    {"dport", 1, 0, 'D'}, {"flags", 1, 0, 'F'}, {"count", 1, 0, 'n'},
	    {"rate", 1, 0, 'r'},  {"len", 1, 0, 'l'},	{"times", 1, 0, 'o'},
	    {"first", 1, 0, 'i'}, {"burst", 1, 0, 'B'}, {0}};
	struct sender s = {.nr_from = 1,
			   .proto = IPPROTO_TCP,
			   .sport = 40000,
			   .dport = {80},
			   .nr_dport = 1,
			   .flags = 0x02,
			   .count = 1};
	int option, fd;
	uint64_t *time_ns;
	uint8_t smac[6];

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		sender_option(&s, option, optarg);
	if (!s.dev || !s.from.family || s.from.family != s.to.family || !s.nr_from)
		die("send: --dev, --from and --to are needed, of one family");
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0)
		die("AF_PACKET: %s", strerror(errno));
	interface_mac(fd, s.dev, smac);
	time_ns = calloc(s.count + 1, sizeof(*time_ns));
	if (!time_ns)
		die("out of memory");
	transmit(&s, fd, smac, time_ns);
	free(time_ns);
	close(fd);
	return 0;
}

/* ---------------------------------------------------------------- sniff */

struct sniffer {
	FILE *out;
	uint16_t port[64];
	unsigned int nr_ports;
	uint64_t count[256][65536];
};

static bool wanted(const struct sniffer *s, uint16_t dport)
{
	for (unsigned int i = 0; i < s->nr_ports; i++)
		if (s->port[i] == dport)
			return true;
	return s->nr_ports == 0;
}

/* @l4 is the transport header; @len counts from the IP header. */
static void count_packet(struct sniffer *s, int proto, const uint8_t *l4, size_t l4_len,
			 const struct sockaddr_storage *source, size_t len)
{
	uint16_t sport = 0, dport = 0;
	uint32_t id = 0;

	if ((proto == IPPROTO_TCP || proto == IPPROTO_UDP) && l4_len >= 8) {
		sport = (uint16_t)(l4[0] << 8 | l4[1]);
		dport = (uint16_t)(l4[2] << 8 | l4[3]);
		l4 += proto == IPPROTO_TCP ? 4 : 8;
		l4_len -= proto == IPPROTO_TCP ? 4 : 8;
	} else if ((proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) && l4_len >= 8) {
		dport = l4[0];
		l4 += 4;
		l4_len -= 4;
	}
	if (!wanted(s, dport))
		return;
	s->count[proto & 255][dport]++;
	if (!s->out)
		return;
	if (l4_len >= 4)
		id = (uint32_t)l4[0] << 24 | (uint32_t)l4[1] << 16 | (uint32_t)l4[2] << 8 | l4[3];
	fprintf(s->out, "%u %llu %s %u %u %zu\n", id, (unsigned long long)now_ns(),
		end_text(source), sport, dport, len);
}

/* A packet that begins with its IP header. Extension headers are counted as what they are. */
static void sniff_ip(struct sniffer *s, const uint8_t *ip, size_t len)
{
	struct sockaddr_storage source = {0};

	if (len >= 20 && ip[0] >> 4 == 4) {
		size_t ihl = (size_t)(ip[0] & 15) * 4;

		if (ihl < 20 || ihl > len)
			return;
		source.ss_family = AF_INET;
		memcpy(&((struct sockaddr_in *)&source)->sin_addr, ip + 12, 4);
		count_packet(s, ip[9], ip + ihl, len - ihl, &source, len);
	} else if (len >= 40 && ip[0] >> 4 == 6) {
		source.ss_family = AF_INET6;
		memcpy(&((struct sockaddr_in6 *)&source)->sin6_addr, ip + 8, 16);
		count_packet(s, ip[6], ip + 40, len - 40, &source, len);
	}
}

static int sniff_socket(const char *dev, int raw_proto, int family)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int size = 64 << 20, fd;

	if (dev) {
		fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
		if (fd < 0)
			die("AF_PACKET: %s", strerror(errno));
		ll.sll_ifindex = (int)if_nametoindex(dev);
		if (!ll.sll_ifindex || bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0)
			die("no interface %s", dev);
	} else {
		fd = socket(family, SOCK_RAW, raw_proto);
		if (fd < 0)
			die("raw socket: %s", strerror(errno));
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

static void sniff_one(struct sniffer *s, int fd, bool tap, int raw_proto, int family)
{
	static uint8_t buffer[65536];
	union {
		struct sockaddr_storage storage;
		struct sockaddr_ll ll;
	} from;
	socklen_t from_len = sizeof(from);
	ssize_t len = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &from_len);

	if (len < 0)
		return;
	if (tap) {
		if (from.ll.sll_pkttype != PACKET_OUTGOING && len > ETH_HLEN)
			sniff_ip(s, buffer + ETH_HLEN, (size_t)len - ETH_HLEN);
	} else if (family == AF_INET) {
		sniff_ip(s, buffer, (size_t)len);
	} else {
		/* An IPv6 raw socket gives no IP header. */
		count_packet(s, raw_proto, buffer, (size_t)len, &from.storage, (size_t)len + 40);
	}
}

static int cmd_sniff(int argc, char **argv)
{
	static const struct option options[] = {
	    {"dev", 1, 0, 'd'}, {"raw", 1, 0, 'r'}, {"out", 1, 0, 'o'}, {"ports", 1, 0, 'p'}, {0}};
	struct sniffer *s = calloc(1, sizeof(*s));
	int option, fd, raw_proto = 0, family = AF_INET;
	const char *dev = NULL;
	struct pollfd poll_fd;

	if (!s)
		die("out of memory");
	while ((option = getopt_long(argc, argv, "6", options, NULL)) != -1) {
		if (option == 'd')
			dev = optarg;
		else if (option == 'r')
			raw_proto = parse_proto(optarg);
		else if (option == '6')
			family = AF_INET6;
		else if (option == 'p')
			s->nr_ports = parse_ports(optarg, s->port, 64);
		else if (option == 'o' && !(s->out = fopen(optarg, "w")))
			die("%s: %s", optarg, strerror(errno));
		else if (option == '?')
			die("sniff: unknown option");
	}
	fd = sniff_socket(dev, raw_proto, family);
	puts("ready");
	fflush(stdout);
	poll_fd = (struct pollfd){.fd = fd, .events = POLLIN};
	while (!stopped || poll(&poll_fd, 1, 0) > 0)
		if (poll(&poll_fd, 1, 50) > 0)
			sniff_one(s, fd, dev != NULL, raw_proto, family);
	for (int proto = 0; proto < 256; proto++)
		for (int port = 0; port < 65536; port++)
			if (s->count[proto][port])
				printf("%d %d %llu\n", proto, port,
				       (unsigned long long)s->count[proto][port]);
	if (s->out)
		fclose(s->out);
	free(s);
	return 0;
}

/* ---------------------------------------------------------------- listen */

enum socket_role { ROLE_TCP_LISTEN, ROLE_DRAIN_LISTEN, ROLE_UDP, ROLE_SINK, ROLE_TCP, ROLE_DRAIN };
#define LISTEN_MAX 1024
struct listener {
	struct pollfd poll_fd[LISTEN_MAX];
	enum socket_role role[LISTEN_MAX];
	uint16_t port[LISTEN_MAX];
	unsigned int n;
};

static void listener_add(struct listener *l, int fd, enum socket_role role, uint16_t port)
{
	if (l->n == LISTEN_MAX) {
		close(fd);
		return;
	}
	l->poll_fd[l->n] = (struct pollfd){.fd = fd, .events = POLLIN};
	l->role[l->n] = role;
	l->port[l->n++] = port;
}

static void listener_open(struct listener *l, const char *spec)
{
	bool drain = !strncmp(spec, "drain:", 6), sink = !strncmp(spec, "sink:", 5);
	bool tcp = drain || !strncmp(spec, "tcp:", 4);
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	int fd, zero = 0, one = 1;
	uint16_t port;

	if (!tcp && !sink && strncmp(spec, "udp:", 4))
		die("listen: tcp:PORT, udp:PORT, sink:PORT or drain:PORT wanted, not %s", spec);
	port = (uint16_t)number(strchr(spec, ':') + 1, 65535);
	fd = socket(AF_INET6, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
	any.sin6_port = htons(port);
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		die("bind to port %u: %s", port, strerror(errno));
	if (tcp && listen(fd, 512) < 0)
		die("listen: %s", strerror(errno));
	listener_add(l, fd,
		     drain  ? ROLE_DRAIN_LISTEN
		     : tcp  ? ROLE_TCP_LISTEN
		     : sink ? ROLE_SINK
			    : ROLE_UDP,
		     port);
}

/* The answer goes out from the address that was asked: msghdr brings and takes IPV6_PKTINFO. */
static void listener_datagram(struct listener *l, unsigned int i)
{
	struct sockaddr_storage from;
	char buffer[65536], control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct iovec iov = {.iov_base = buffer, .iov_len = sizeof(buffer)};
	struct msghdr msg = {.msg_name = &from,
			     .msg_namelen = sizeof(from),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg;
	ssize_t n = recvmsg(l->poll_fd[i].fd, &msg, 0);

	if (n < 0)
		return;
	printf("udp %u %s\n", l->port[i], end_text(&from));
	if (l->role[i] != ROLE_UDP)
		return;
	iov.iov_len = (size_t)n;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_type == IPV6_PKTINFO)
		((struct in6_pktinfo *)CMSG_DATA(cmsg))->ipi6_ifindex = 0;
	sendmsg(l->poll_fd[i].fd, &msg, 0);
}

/* Returns false when the socket is at its end. */
static bool listener_serve(struct listener *l, unsigned int i)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	int fd = l->poll_fd[i].fd;
	char buffer[65536];
	ssize_t n;

	if (l->role[i] == ROLE_TCP_LISTEN || l->role[i] == ROLE_DRAIN_LISTEN) {
		int peer =
		    accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (peer >= 0) {
			printf("tcp %u %s\n", l->port[i], end_text(&from));
			listener_add(l, peer, l->role[i] == ROLE_TCP_LISTEN ? ROLE_TCP : ROLE_DRAIN,
				     l->port[i]);
		}
		return true;
	}
	if (l->role[i] == ROLE_UDP || l->role[i] == ROLE_SINK) {
		listener_datagram(l, i);
		return true;
	}
	n = recv(fd, buffer, sizeof(buffer), 0);
	if (n > 0)
		return l->role[i] == ROLE_DRAIN || send(fd, buffer, (size_t)n, MSG_NOSIGNAL) >= 0;
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static int cmd_listen(int argc, char **argv)
{
	static struct listener l;

	for (int i = 1; i < argc; i++)
		listener_open(&l, argv[i]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (!stopped) {
		unsigned int n = l.n;

		if (poll(l.poll_fd, n, 1000) <= 0)
			continue;
		for (unsigned int i = n; i-- > 0;) {
			if (!l.poll_fd[i].revents || listener_serve(&l, i))
				continue;
			close(l.poll_fd[i].fd);
			l.n--;
			l.poll_fd[i] = l.poll_fd[l.n];
			l.role[i] = l.role[l.n];
			l.port[i] = l.port[l.n];
		}
	}
	return 0;
}

/* ---------------------------------------------------------------- reach */

enum probe_state { PROBE_CONNECTING, PROBE_ASKED, PROBE_OPEN, PROBE_REFUSED, PROBE_ERROR };
struct probe {
	const char *spec;
	char kind; /* t, u, d (dns), p (ping) */
	struct end to;
	int fd;
	enum probe_state state;
};

/* KIND:ADDRESS[:PORT]; an IPv6 address needs no brackets, since the port is what follows the last colon. */
static struct probe parse_spec(const char *spec)
{
	struct probe probe = {.spec = spec, .fd = -1};
	const char *colon = strchr(spec, ':');
	char address[64];
	uint16_t port = 53;
	size_t len;

	if (!colon || !strchr("tudp", spec[0]))
		die("not a target: %s", spec);
	probe.kind = spec[0];
	len = strlen(colon + 1);
	if (probe.kind == 't' || probe.kind == 'u') {
		const char *last = strrchr(colon + 1, ':');

		if (!last)
			die("no port: %s", spec);
		port = (uint16_t)number(last + 1, 65535);
		len = (size_t)(last - colon - 1);
	}
	if (len >= sizeof(address))
		die("not an address: %s", spec);
	memcpy(address, colon + 1, len);
	address[len] = '\0';
	probe.to = parse_end(address, port);
	return probe;
}

static size_t question(const struct probe *probe, uint8_t *ask)
{
	static const uint8_t dns[] = {0x57, 0x45, 1,   0,   0,	 1,   0, 0, 0, 0, 0,
				      0,    4,	  'k', 'a', 't', 'o', 0, 0, 1, 0, 1};

	if (probe->kind == 'd') {
		memcpy(ask, dns, sizeof(dns));
		return sizeof(dns);
	}
	if (probe->kind == 'p') {
		uint16_t id = htons((uint16_t)getpid()), sum;

		memset(ask, 0, 16);
		ask[0] = probe->to.family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
		memcpy(ask + 4, &id, 2);
		if (probe->to.family == AF_INET) {
			sum = fold(sum16(0, ask, 16));
			memcpy(ask + 2, &sum, 2);
		}
		return 16;
	}
	memcpy(ask, "PING\r\n\r\n", 8);
	return 8;
}

static void probe_ask(struct probe *probe)
{
	uint8_t ask[64];
	size_t len = question(probe, ask);

	if (send(probe->fd, ask, len, MSG_NOSIGNAL) >= 0)
		probe->state = PROBE_ASKED;
	else
		probe->state = errno == ECONNREFUSED ? PROBE_REFUSED : PROBE_ERROR;
}

static int probe_socket(const struct probe *probe)
{
	int family = probe->to.family;

	if (probe->kind == 't')
		return socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (probe->kind == 'p')
		return socket(family, SOCK_RAW | SOCK_NONBLOCK,
			      family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	return socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
}

static void probe_start(struct probe *probe, const struct end *bind_to)
{
	probe->state = PROBE_ERROR;
	probe->fd = probe_socket(probe);
	if (probe->fd < 0)
		return;
	if (bind_to && bind_to->family == probe->to.family &&
	    bind(probe->fd, (const struct sockaddr *)&bind_to->storage, bind_to->len) < 0)
		die("bind: %s", strerror(errno));
	probe->state = PROBE_CONNECTING;
	if (connect(probe->fd, (struct sockaddr *)&probe->to.storage, probe->to.len) < 0) {
		if (errno != EINPROGRESS)
			probe->state = errno == ECONNREFUSED ? PROBE_REFUSED : PROBE_ERROR;
		return;
	}
	probe_ask(probe);
}

static bool is_answer(const struct probe *probe, const uint8_t *data, ssize_t len)
{
	uint16_t id = htons((uint16_t)getpid());
	size_t skip = probe->to.family == AF_INET ? 20 : 0;

	if (probe->kind != 'p')
		return true;
	if (len < (ssize_t)skip + 8)
		return false;
	return data[skip] == (probe->to.family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) &&
	       !memcmp(data + skip + 4, &id, 2);
}

static void probe_event(struct probe *probe)
{
	uint8_t data[2048];
	ssize_t len;

	if (probe->state == PROBE_CONNECTING) {
		int error = 0;
		socklen_t size = sizeof(error);

		getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error)
			probe->state = error == ECONNREFUSED ? PROBE_REFUSED : PROBE_ERROR;
		else
			probe_ask(probe);
		return;
	}
	len = recv(probe->fd, data, sizeof(data), 0);
	if (len < 0)
		probe->state = errno == ECONNREFUSED ? PROBE_REFUSED
			       : errno == EAGAIN     ? PROBE_ASKED
						     : PROBE_ERROR;
	else if (is_answer(probe, data, len))
		probe->state = PROBE_OPEN;
}

static bool probe_pending(const struct probe *probe)
{
	return probe->state == PROBE_CONNECTING || probe->state == PROBE_ASKED;
}

/* Waits until none is pending or the time is over. */
static void probes_wait(struct probe *probe, unsigned int n, uint64_t until_ns)
{
	struct pollfd *poll_fd = calloc(n + 1, sizeof(*poll_fd));

	while (poll_fd && !stopped) {
		uint64_t now = now_ns();
		unsigned int pending = 0;

		for (unsigned int i = 0; i < n; i++) {
			poll_fd[i].fd = probe_pending(&probe[i]) ? probe[i].fd : -1;
			poll_fd[i].events = probe[i].state == PROBE_CONNECTING ? POLLOUT : POLLIN;
			poll_fd[i].revents = 0;
			pending += probe_pending(&probe[i]);
		}
		if (!pending || now >= until_ns)
			break;
		poll(poll_fd, n, (int)((until_ns - now) / 1000000 + 1));
		for (unsigned int i = 0; i < n; i++)
			if (poll_fd[i].fd >= 0 && poll_fd[i].revents)
				probe_event(&probe[i]);
	}
	free(poll_fd);
}

static const char *probe_name(const struct probe *probe)
{
	switch (probe->state) {
	case PROBE_OPEN:
		return "open";
	case PROBE_REFUSED:
		return "refused";
	case PROBE_ERROR:
		return "error";
	default:
		return "silent";
	}
}

static int cmd_reach(int argc, char **argv)
{
	static const struct option options[] = {{"wait", 1, 0, 'w'}, {"bind", 1, 0, 'b'}, {0}};
	unsigned long wait_ms = 400;
	struct end bind_to = {0};
	struct probe *probe;
	unsigned int n;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'w')
			wait_ms = number(optarg, 60000);
		else if (option == 'b')
			bind_to = parse_end(optarg, 0);
		else
			die("reach: unknown option");
	}
	n = (unsigned int)(argc - optind);
	probe = calloc(n + 1, sizeof(*probe));
	if (!probe)
		die("out of memory");
	for (unsigned int i = 0; i < n; i++) {
		probe[i] = parse_spec(argv[optind + (int)i]);
		probe_start(&probe[i], bind_to.family ? &bind_to : NULL);
	}
	probes_wait(probe, n, now_ns() + wait_ms * 1000000ULL);
	for (unsigned int i = 0; i < n; i++)
		printf("%s %s\n", probe[i].spec, probe_name(&probe[i]));
	free(probe);
	return 0;
}

/* ---------------------------------------------------------------- knock */

static void knock_begin(struct probe *probe, const struct probe *target, const struct end *bind_to)
{
	struct linger abort_at_close = {.l_onoff = 1, .l_linger = 0};

	*probe = *target;
	probe_start(probe, bind_to);
	/* Ends with RST: no half-closed connections, no retransmitted SYN after giving up. */
	if (probe->fd >= 0)
		setsockopt(probe->fd, SOL_SOCKET, SO_LINGER, &abort_at_close,
			   sizeof(abort_at_close));
}

static uint64_t knock_due(uint64_t first, unsigned long i, unsigned long burst,
			  unsigned long every_ms)
{
	return i < burst ? first : first + (i - burst + 1) * every_ms * 1000000ULL;
}

static int cmd_knock(int argc, char **argv)
{
	static const struct option options[] = {{"count", 1, 0, 'n'}, {"every", 1, 0, 'e'},
						{"wait", 1, 0, 'w'},  {"bind", 1, 0, 'b'},
						{"burst", 1, 0, 'B'}, {0}};
	unsigned long count = 1, burst = 1, every_ms = 0, wait_ms = 500, begun = 0, ended = 0;
	uint64_t *start_ns, first;
	struct probe target, *probe;
	struct end bind_to = {0};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'n')
			count = number(optarg, 100000);
		else if (option == 'B')
			burst = number(optarg, 100000);
		else if (option == 'e')
			every_ms = number(optarg, 60000);
		else if (option == 'w')
			wait_ms = number(optarg, 60000);
		else if (option == 'b')
			bind_to = parse_end(optarg, 0);
		else
			die("knock: unknown option");
	}
	if (optind + 1 != argc)
		die("knock: one target wanted");
	target = parse_spec(argv[optind]);
	probe = calloc(count + 1, sizeof(*probe));
	start_ns = calloc(count + 1, sizeof(*start_ns));
	if (!probe || !start_ns)
		die("out of memory");
	setvbuf(stdout, NULL, _IOLBF, 0);
	first = now_ns();
	while (ended < count && !stopped) {
		uint64_t next;

		while (begun < count && knock_due(first, begun, burst, every_ms) <= now_ns()) {
			start_ns[begun] = now_ns();
			knock_begin(&probe[begun++], &target, bind_to.family ? &bind_to : NULL);
		}
		next = begun < count ? knock_due(first, begun, burst, every_ms)
				     : start_ns[ended] + wait_ms * 1000000ULL;
		if (start_ns[ended] + wait_ms * 1000000ULL < next)
			next = start_ns[ended] + wait_ms * 1000000ULL;
		probes_wait(probe + ended, (unsigned int)(begun - ended), next);
		while (ended < begun && (!probe_pending(&probe[ended]) ||
					 start_ns[ended] + wait_ms * 1000000ULL <= now_ns())) {
			printf("%lu %llu %s\n", ended,
			       (unsigned long long)(start_ns[ended] - first),
			       probe_name(&probe[ended]));
			close(probe[ended++].fd);
		}
		/* All answered, the next not yet due. */
		if (begun < count && begun == ended)
			sleep_until(knock_due(first, begun, burst, every_ms));
	}
	free(probe);
	free(start_ns);
	return 0;
}

/* ---------------------------------------------------------------- chat */

static int cmd_chat(int argc, char **argv)
{
	static const struct option options[] = {
	    {"every", 1, 0, 'e'}, {"bind-port", 1, 0, 'p'}, {0}};
	unsigned long every_ms = 50, bind_port = 0;
	struct probe probe;
	uint64_t next;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'e')
			every_ms = number(optarg, 60000);
		else if (option == 'p')
			bind_port = number(optarg, 65535);
		else
			die("chat: unknown option");
	}
	if (optind + 1 != argc)
		die("chat: one target wanted");
	probe = parse_spec(argv[optind]);
	probe.fd = socket(probe.to.family, probe.kind == 't' ? SOCK_STREAM : SOCK_DGRAM, 0);
	if (bind_port) {
		struct end any =
		    parse_end(probe.to.family == AF_INET ? "0.0.0.0" : "::", (uint16_t)bind_port);

		if (bind(probe.fd, (struct sockaddr *)&any.storage, any.len) < 0)
			die("bind: %s", strerror(errno));
	}
	if (connect(probe.fd, (struct sockaddr *)&probe.to.storage, probe.to.len) < 0)
		die("connect to %s: %s", argv[optind], strerror(errno));
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	next = now_ns();
	while (!stopped) {
		struct pollfd poll_fd = {.fd = probe.fd, .events = POLLIN};
		char data[512];

		if (now_ns() >= next) {
			send(probe.fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
			next += every_ms * 1000000ULL;
		}
		if (poll(&poll_fd, 1, (int)every_ms / 2 + 1) <= 0)
			continue;
		ssize_t n = recv(probe.fd, data, sizeof(data), MSG_DONTWAIT);
		if (n > 0)
			printf("%llu\n", (unsigned long long)now_ns());
		else if (probe.kind == 't' && (n == 0 || (errno != EAGAIN && errno != EINTR)))
			break;
	}
	puts("closed");
	return 0;
}

/* ---------------------------------------------------------------- say */

static int cmd_say(int argc, char **argv)
{
	static const struct option options[] = {
	    {"count", 1, 0, 'n'}, {"bind-port", 1, 0, 'p'}, {"len", 1, 0, 'l'}, {0}};
	unsigned long count = 1, bind_port = 0, len = 4;
	static char text[65000];
	struct probe probe;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'n')
			count = number(optarg, 1000000);
		else if (option == 'l')
			len = number(optarg, sizeof(text));
		else if (option == 'p')
			bind_port = number(optarg, 65535);
		else
			die("say: unknown option");
	}
	if (optind + 1 != argc || argv[optind][0] != 'u')
		die("say: one udp: target wanted");
	probe = parse_spec(argv[optind]);
	probe.fd = socket(probe.to.family, SOCK_DGRAM, 0);
	if (bind_port) {
		struct end any =
		    parse_end(probe.to.family == AF_INET ? "0.0.0.0" : "::", (uint16_t)bind_port);

		if (bind(probe.fd, (struct sockaddr *)&any.storage, any.len) < 0)
			die("bind: %s", strerror(errno));
	}
	/* Not connected: a datagram that leaves by itself, without a socket that waits for a peer. */
	for (unsigned long i = 0; i < count; i++)
		if (sendto(probe.fd, text, len, 0, (struct sockaddr *)&probe.to.storage,
			   probe.to.len) < 0)
			die("sendto: %s", strerror(errno));
	close(probe.fd);
	return 0;
}

/* ---------------------------------------------------------------- push */

static int cmd_push(int argc, char **argv)
{
	static const struct option options[] = {{"bytes", 1, 0, 'n'}, {0}};
	unsigned long bytes = 1, sent = 0;
	static char data[65536];
	struct probe probe;
	uint64_t start;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'n')
			die("push: unknown option");
		bytes = number(optarg, 1UL << 40);
	}
	if (optind + 1 != argc || argv[optind][0] != 't')
		die("push: one tcp: target wanted");
	probe = parse_spec(argv[optind]);
	probe.fd = socket(probe.to.family, SOCK_STREAM, 0);
	if (connect(probe.fd, (struct sockaddr *)&probe.to.storage, probe.to.len) < 0)
		die("connect to %s: %s", argv[optind], strerror(errno));
	start = now_ns();
	while (sent < bytes && !stopped) {
		size_t left = bytes - sent < sizeof(data) ? bytes - sent : sizeof(data);
		ssize_t n = send(probe.fd, data, left, MSG_NOSIGNAL);

		if (n < 0)
			die("send: %s", strerror(errno));
		sent += (unsigned long)n;
	}
	/* The drain closes when it has read our end, and then it has read all. */
	shutdown(probe.fd, SHUT_WR);
	if (recv(probe.fd, data, sizeof(data), 0) != 0)
		die("%s did not close", argv[optind]);
	printf("%lu bytes in %llu ns\n", sent, (unsigned long long)(now_ns() - start));
	close(probe.fd);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} command[] = {{"send", cmd_send},   {"sniff", cmd_sniff}, {"listen", cmd_listen},
		       {"reach", cmd_reach}, {"knock", cmd_knock}, {"chat", cmd_chat},
		       {"say", cmd_say},     {"push", cmd_push}};
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (argc < 2)
		die("usage: see the head of tests/lib/wire.c");
	for (size_t i = 0; i < sizeof(command) / sizeof(command[0]); i++)
		if (!strcmp(argv[1], command[i].name))
			return command[i].run(argc - 1, argv + 1);
	die("unknown command %s", argv[1]);
}
