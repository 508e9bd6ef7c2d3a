// SPDX-License-Identifier: GPL-2.0-only
#include "reference.h"

#include <string.h>

#include "parse.h"

struct bytes {
	const __u8 *p;
	size_t n;
};

static struct bytes behind(struct bytes b, size_t n)
{
	return (struct bytes){b.p + n, b.n - n};
}

static struct bytes first(struct bytes b, size_t n)
{
	return (struct bytes){b.p, n};
}

static unsigned int u16(struct bytes b, size_t at)
{
	return b.p[at] << 8 | b.p[at + 1];
}

static __u32 u32(struct bytes b, size_t at)
{
	return (__u32)u16(b, at) << 16 | u16(b, at + 2);
}

static bool is_fragment(const struct heard *h)
{
	return h->flags & PKT_FRAGMENT;
}

/* ---- addresses ---- */

static void set_v4(__u8 *address, const __u8 *p)
{
	memset(address, 0, 10);
	memset(address + 10, 0xff, 2);
	memcpy(address + 12, p, 4);
}

static bool begins(const __u8 *address, const char *prefix, size_t bytes)
{
	return memcmp(address, prefix, bytes) == 0;
}

#define MAPPED	 "\0\0\0\0\0\0\0\0\0\0\xff\xff"
#define LOOPBACK "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
#define NOBODY	 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

/* Nobody has this address on a wire: RFC 1122, 6890, 7526. */
static bool martian4(const struct heard *h)
{
	const __u8 *s = h->source + 12, *d = h->destination + 12;
	bool unspecified = !s[0] && !s[1] && !s[2] && !s[3];

	if (s[0] == 127 || s[0] >= 224 || (s[0] == 0 && !unspecified) ||
	    begins(s, "\xc0\x58\x63", 3))
		return true;
	if (unspecified && !(h->flags & PKT_DHCP_ASK) && h->proto != PROTO_IGMP)
		return true;
	return d[0] == 127 || d[0] == 0 || begins(d, "\xc0\x58\x63", 3);
}

/* RFC 4291, 4942, 7526, 4380; unspecified sources: RFC 4861, 3590. */
static bool martian6(const struct heard *h)
{
	const __u8 *s = h->source, *d = h->destination;
	bool unspecified = begins(s, NOBODY, 16);
	bool may =
	    h->flags & PKT_LISTENER || (h->flags & PKT_ND && (h->type == 133 || h->type == 135));

	for (int i = 0; i < 2; i++) {
		const __u8 *a = i ? d : s;

		if (begins(a, MAPPED, 12) || begins(a, LOOPBACK, 16) || begins(a, "\x20\x02", 2) ||
		    begins(a, "\x20\x01\0\0", 4))
			return true;
	}
	return s[0] == 0xff || (unspecified && !may) || begins(d, NOBODY, 16);
}

static bool martian(const struct heard *h)
{
	if (memcmp(h->source, h->destination, 16) == 0)
		return true;
	return h->family == 4 ? martian4(h) : martian6(h);
}

static bool link_local(const __u8 *address)
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

/* ---- transport ---- */

static bool ports(struct bytes b, struct heard *h)
{
	h->source_port = u16(b, 0);
	h->destination_port = h->port = u16(b, 2);
	h->flags |= PKT_PORTS;
	return h->destination_port != 0;
}

static bool tcp(struct bytes b, struct heard *h)
{
	bool fin, syn, rst, ack;
	unsigned int header;

	if (b.n < 20)
		return false;
	header = (b.p[12] >> 4) * 4;
	fin = b.p[13] & 1;
	syn = b.p[13] & 2;
	rst = b.p[13] & 4;
	ack = b.p[13] & 16;
	if (header < 20 || header > b.n || fin + syn + rst > 1 || (!syn && !rst && !ack))
		return false;
	h->headers += header;
	h->type = b.p[13] & 0x3f;
	h->seq = u32(b, 4);
	h->ack = u32(b, 8);
	if (syn && !ack)
		h->flags |= PKT_OPENS;
	if (fin || rst)
		h->flags |= PKT_CLOSES;
	return ports(b, h);
}

static void dhcp(struct bytes b, struct heard *h)
{
	unsigned int from = h->source_port, to = h->destination_port;

	if (h->family == 4 && from == 68 && to == 67)
		h->flags |= PKT_DHCP_ASK;
	if (h->family == 4 && from == 67 && to == 68 && b.n >= 8 + 34 && b.p[8] == 2 &&
	    b.p[10] == 6) {
		h->flags |= PKT_DHCP_OFFER;
		memcpy(h->client_mac, b.p + 8 + 28, 6);
	}
	if (h->family == 6 && (from == 546 || from == 547) && (to == 546 || to == 547) &&
	    link_local(h->source) &&
	    (link_local(h->destination) ||
	     begins(h->destination, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\1\0\2", 16)))
		h->flags |= PKT_DHCP6;
}

static bool udp(struct bytes b, struct heard *h, bool aggregate)
{
	if (b.n < 8)
		return false;
	if (!aggregate && (u16(b, 4) < 8 || (u16(b, 4) > b.n && !is_fragment(h))))
		return false;
	h->headers += 8;
	if (!ports(b, h))
		return false;
	dhcp(b, h);
	return true;
}

static bool sctp(struct bytes b, struct heard *h)
{
	if (b.n < 16) /* common header and the first chunk's */
		return false;
	h->headers += 12;
	if (b.p[12] == 1)
		h->flags |= PKT_OPENS;
	return ports(b, h);
}

/* Behind the addresses of the packet that an error quotes: at least eight bytes (RFC 792, 4443). */
static void quoted(struct bytes b, __u8 proto, struct heard *h)
{
	__u8 echo = h->family == 4 ? 8 : 128, reply = h->family == 4 ? 0 : 129;

	if (b.n < 8)
		return;
	if (proto == (h->family == 4 ? PROTO_ICMP : PROTO_ICMPV6)) {
		if (b.p[0] != echo && b.p[0] != reply)
			return;
		h->inner_source_port = u16(b, 4);
		h->inner_destination_port = b.p[0];
	} else if (proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP) {
		h->inner_source_port = u16(b, 0);
		h->inner_destination_port = u16(b, 2);
	}
	h->inner_proto = proto;
	h->flags |= PKT_INNER;
}

static void quoted4(struct bytes b, struct heard *h)
{
	size_t header;

	if (b.n < 28 || b.p[0] >> 4 != 4)
		return;
	header = (b.p[0] & 15) * 4;
	if (header < 20 || header > b.n || u16(b, 6) & 0x1fff)
		return;
	set_v4(h->inner_source, b.p + 12);
	set_v4(h->inner_destination, b.p + 16);
	quoted(behind(b, header), b.p[9], h);
}

static void quoted6(struct bytes b, struct heard *h)
{
	struct bytes rest;
	__u8 next;

	if (b.n < 48 || b.p[0] >> 4 != 6 || begins(b.p + 24, MAPPED, 12))
		return;
	memcpy(h->inner_source, b.p + 8, 16);
	memcpy(h->inner_destination, b.p + 24, 16);
	next = b.p[6];
	rest = behind(b, 40);
	if (next == 44) {
		if (rest.n < 16 || u16(rest, 2) >> 3)
			return;
		next = rest.p[0];
		rest = behind(rest, 8);
	}
	if (next == 0 || next == 43 || next == 44 || next == 51 || next == 60)
		return;
	quoted(rest, next, h);
}

static bool icmp4(struct bytes b, struct heard *h)
{
	if (h->family != 4 || b.n < 8)
		return false;
	h->headers += 8;
	h->port = h->type = b.p[0];
	if (h->type == 4 || h->type == 5 || (h->type >= 13 && h->type <= 18))
		return false; /* RFC 6633, 6918 */
	if (h->type == 0 || h->type == 8) {
		h->flags |= PKT_ECHO;
		h->source_port = u16(b, 4);
	}
	if (h->type == 3 || h->type == 11 || h->type == 12) {
		h->flags |= PKT_ICMP_ERROR;
		quoted4(behind(b, 8), h);
	}
	return true;
}

/* RFC 4861, 6980: neighbour discovery comes from this link, whole, and with nothing in front of it. */
static bool neighbour(struct bytes b, struct heard *h, int hops, bool extended)
{
	if (hops != 255 || b.p[1] || extended || h->type == 137)
		return false;
	if (h->type == 135 || h->type == 136) {
		if (b.n < 24)
			return false;
		memcpy(h->inner_source, b.p + 8, 16);
	}
	h->flags |= PKT_ND;
	return true;
}

static bool icmp6(struct bytes b, struct heard *h, int hops, bool extended)
{
	if (h->family != 6 || b.n < 8)
		return false;
	h->headers += 8;
	h->port = h->type = b.p[0];
	if (h->type < 128) {
		h->flags |= PKT_ICMP_ERROR;
		quoted6(behind(b, 8), h);
		return true;
	}
	switch (h->type) {
	case 128:
	case 129:
		h->flags |= PKT_ECHO;
		h->source_port = u16(b, 4);
		return true;
	case 130:
	case 131:
	case 132:
	case 143: /* RFC 2710, 3810 */
		if (!is_fragment(h))
			h->flags |= PKT_LISTENER;
		return hops == 1;
	case 133:
	case 134:
	case 135:
	case 136:
	case 137:
		return neighbour(b, h, hops, extended);
	}
	return true;
}

static void igmp(struct bytes b, struct heard *h)
{
	const __u8 *to = h->destination + 12;

	if (h->family != 4 || is_fragment(h) || b.n < 8)
		return;
	if (to[0] >> 4 != 14 && !begins(to, "\xff\xff\xff\xff", 4))
		return;
	if (memchr("\x11\x12\x16\x17\x22", b.p[0], 5))
		h->flags |= PKT_LISTENER;
}

static bool transport(struct bytes b, struct heard *h, int hops, bool extended, bool aggregate)
{
	switch (h->proto) {
	case PROTO_TCP:
		return tcp(b, h);
	case PROTO_UDP:
		return udp(b, h, aggregate);
	case PROTO_SCTP:
		return sctp(b, h);
	case PROTO_ICMP:
		return icmp4(b, h);
	case PROTO_ICMPV6:
		return icmp6(b, h, hops, extended);
	case PROTO_IGMP:
		igmp(b, h);
	}
	return true;
}

/* ---- network ---- */

static bool checksum_holds(struct bytes header)
{
	unsigned int sum = 0;

	for (size_t i = 0; i < header.n; i += 2)
		sum += u16(header, i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* RFC 791: a list that ends inside; loose and strict source routes are refused (RFC 7126). */
static bool options4(struct bytes b)
{
	while (b.n && b.p[0] != 0) {
		size_t n = 1;

		if (b.p[0] == 131 || b.p[0] == 137)
			return false;
		if (b.p[0] != 1) {
			if (b.n < 2 || b.p[1] < 2 || b.p[1] > b.n)
				return false;
			n = b.p[1];
		}
		b = behind(b, n);
	}
	return true;
}

/* @offset: bytes of the datagram before this part. TCP's flags are not to be rewritten (RFC 3128). */
static bool later(struct heard *h, unsigned int offset, size_t part)
{
	h->flags |= PKT_FRAGMENT | PKT_LATER;
	return !(h->proto == PROTO_TCP && offset == 8) && offset + part <= 65535;
}

static bool ip4(struct bytes b, bool aggregate, struct heard *h)
{
	unsigned int offset;
	size_t header;

	if (b.n < 20 || b.p[0] >> 4 != 4)
		return false;
	header = (b.p[0] & 15) * 4;
	h->length = aggregate ? b.n : u16(b, 2);
	if (header < 20 || header > h->length || h->length > b.n)
		return false;
	if (!aggregate && !checksum_holds(first(b, header)))
		return false;
	b = first(b, h->length);
	h->family = 4;
	h->proto = b.p[9];
	h->headers = header;
	h->fragment_id = u16(b, 4);
	set_v4(h->source, b.p + 12);
	set_v4(h->destination, b.p + 16);
	if (!options4(behind(first(b, header), 20)))
		return false;
	offset = (u16(b, 6) & 0x1fff) * 8;
	if (offset)
		return later(h, offset, h->length - header) && !martian(h);
	if (u16(b, 6) & 0x2000)
		h->flags |= PKT_FRAGMENT;
	return transport(behind(b, header), h, 0, false, aggregate) && !martian(h);
}

static bool is_extension(__u8 next)
{
	return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

static bool ip6(struct bytes b, bool aggregate, struct heard *h)
{
	bool fragmented = false;
	struct bytes rest;
	size_t payload;
	int hops, seen;
	__u8 next;

	if (b.n < 40 || b.p[0] >> 4 != 6)
		return false;
	payload = aggregate ? b.n - 40 : u16(b, 4);
	if (payload == 0 || payload > b.n - 40)
		return false;
	h->family = 6;
	h->length = 40 + payload;
	hops = b.p[7];
	memcpy(h->source, b.p + 8, 16);
	memcpy(h->destination, b.p + 24, 16);
	next = b.p[6];
	rest = behind(first(b, h->length), 40);
	for (seen = 0; is_extension(next); seen++) {
		size_t n;

		if (seen == 16 || next == 43 || (next == 0 && seen) || rest.n < 8)
			return false;
		n = next == 44 ? 8 : next == 51 ? (rest.p[1] + 2) * 4 : (rest.p[1] + 1) * 8;
		if (next == 44) {
			unsigned int offset = u16(rest, 2) & 0xfff8;

			if (fragmented)
				return false;
			fragmented = true;
			h->fragment_id = u32(rest, 4);
			h->proto = rest.p[0];
			h->headers = h->length - rest.n + 8;
			if (offset)
				return later(h, offset, rest.n - 8) && !martian(h);
			if (u16(rest, 2) & 1)
				h->flags |= PKT_FRAGMENT;
		}
		if (n > rest.n)
			return false;
		next = rest.p[0];
		rest = behind(rest, n);
	}
	h->proto = next;
	h->headers = h->length - rest.n;
	return transport(rest, h, hops, seen > 0, aggregate) && !martian(h);
}

static bool arp(struct bytes b, struct heard *h)
{
	if (b.n < 28 || !begins(b.p, "\0\1\x08\0\6\4", 6) || (u16(b, 6) != 1 && u16(b, 6) != 2))
		return false;
	h->flags |= PKT_ARP;
	set_v4(h->source, b.p + 14);
	set_v4(h->destination, b.p + 24);
	return true;
}

/* IEEE 802.1D: what bridges keep to one link. */
static bool link_control(const __u8 *to, unsigned int type)
{
	return begins(to, "\x01\x80\xc2\0\0", 5) && to[5] < 16 &&
	       (type < 0x600 || type == 0x88cc || type == 0x8809 || type == 0x888e);
}

bool reference_parse(const __u8 *frame, size_t len, bool aggregate, struct heard *ret)
{
	struct bytes b = {frame, len};
	unsigned int type;

	memset(ret, 0, sizeof(*ret));
	if (len < 14 || frame[6] & 1 || begins(frame + 6, "\0\0\0\0\0", 6))
		return false;
	if (frame[0] & 1)
		ret->flags |= PKT_L2_MULTI;
	type = u16(b, 12);
	b = behind(b, 14);
	for (int tags = 0; type == 0x8100 || type == 0x88a8; tags++) {
		unsigned int vid;

		if (tags == 8 || b.n < 4)
			return false;
		vid = u16(b, 0) & 0xfff;
		if (vid && (type == 0x88a8 || ret->vlan))
			return false;
		ret->vlan |= vid;
		type = u16(b, 2);
		b = behind(b, 4);
	}
	if (link_control(frame, type)) {
		ret->flags |= PKT_CONTROL;
		return true;
	}
	return type == 0x0800	? ip4(b, aggregate, ret)
	       : type == 0x86dd ? ip6(b, aggregate, ret)
	       : type == 0x0806 ? arp(b, ret)
				: false;
}
