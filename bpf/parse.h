/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frame bytes -> struct packet: the only code that reads the wire.
 *
 * Compiles for BPF and for the host. Every read goes through a cursor: AT() makes one, HAVE() says whether n bytes
 * are there, LD8/LD16/LD32 read (network byte order stays). A proof redefines these five.
 * Two ends matter: the readable one (HAVE) and the datagram's own (its length field), which trailers follow.
 */
#ifndef WEIR_PARSE_H
#define WEIR_PARSE_H

#include <linux/types.h>

#include "weir/reason.h"
#include "weir/tables.h"

#define WEIR_INLINE static inline __attribute__((always_inline))

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BE16(x) ((__u16)__builtin_bswap16(x))
#define BE32(x) ((__u32)__builtin_bswap32(x))
#define BE64(x) ((__u64)__builtin_bswap64(x))
#else
#define BE16(x) ((__u16)(x))
#define BE32(x) ((__u32)(x))
#define BE64(x) ((__u64)(x))
#endif

/**
 * struct view - a frame as it can be read.
 * @data, @end: readable bytes (XDP: first buffer; TC: linear part)
 * @len:        bytes of the whole frame, never less than @end - @data
 * @gso:        1: the frame is an aggregate: length fields may be 0 (BIG TCP) and say nothing about one wire packet
 */
struct view {
	const __u8 *data;
	const __u8 *end;
	__u32 len;
	__u32 gso;
};

#ifndef AT
typedef const __u8 *cursor;
#define AT(view, offset)  ((view)->data + (offset))
#define HAVE(view, at, n) ((at) + (n) <= (view)->end)
#define LD8(at, k)	  ((at)[k])
#ifdef __bpf__
#define LD16(at, k) (*(const __u16 *)((at) + (k)))
#define LD32(at, k) (*(const __u32 *)((at) + (k)))
#else
#define LD16(at, k)                                            \
	({                                                     \
		__u16 _v;                                      \
		__builtin_memcpy(&_v, (at) + (k), sizeof(_v)); \
		_v;                                            \
	})
#define LD32(at, k)                                            \
	({                                                     \
		__u32 _v;                                      \
		__builtin_memcpy(&_v, (at) + (k), sizeof(_v)); \
		_v;                                            \
	})
#endif
#endif

/*
 * Through memory and back: the verifier forgets which path a value came from, so that paths which differ only in it are
 * verified once. Elsewhere it does nothing.
 */
#ifdef __bpf__
#define FORGET(memory, value)                                        \
	({                                                           \
		*(volatile __typeof__(memory) *)&(memory) = (value); \
		*(volatile __typeof__(memory) *)&(memory);           \
	})
#else
#define FORGET(memory, value) ((memory) = (value))
#endif

/* A part that programs call: what its paths knew ends with its frame. */
#ifdef __bpf__
#define WEIR_PART static __attribute__((noinline))
#else
#define WEIR_PART static inline
#endif

#define PARSE_MAX_TAGS	 8
#define PARSE_MAX_EXT	 16
#define PARSE_MAX_OFFSET 0x3fff /* headers end well before: bounds the verifier's arithmetic */

#define EXTENDED_ANY	  0x1
#define EXTENDED_FRAGMENT 0x2

enum packet_flags {
	PKT_L2_MULTI = 0x1, /* broadcast or multicast destination MAC */
	PKT_ARP = 0x2,
	PKT_CONTROL = 0x4,     /* link-layer control: STP, LLDP, LACP, EAPOL */
	PKT_FRAGMENT = 0x8,    /* first or later fragment */
	PKT_LATER = 0x10,      /* later fragment: no ports */
	PKT_OPENS = 0x20,      /* TCP SYN without ACK, SCTP INIT */
	PKT_ICMP_ERROR = 0x40, /* inner_* hold the embedded packet */
	PKT_INNER = 0x80,      /* inner_* were readable */
	PKT_ND =
	    0x100, /* neighbour discovery, verified hop limit; inner_src holds the target of NS and NA */
	PKT_LISTENER = 0x200,	/* IGMP or MLD query or report */
	PKT_DHCP_ASK = 0x400,	/* DHCPv4 client to server */
	PKT_DHCP_OFFER = 0x800, /* DHCPv4 server to client, BOOTP op 2: mac is its chaddr */
	PKT_DHCP6 = 0x1000,	/* DHCPv6 between link-local addresses or to ff02::1:2 */
	PKT_ECHO = 0x2000,	/* ICMP echo request or reply: sport is the id */
	PKT_PORTS = 0x4000,	/* sport and dport hold ports */
	PKT_CLOSES = 0x8000,	/* TCP FIN or RST */
};

union address {
	struct weir_addr addr;
	__be32 w[4];
	__be64 d[2];
};

/**
 * struct packet - what policy can ask about a packet.
 * @src, @dst:  IPv4 as ::ffff:a.b.c.d; ARP: sender and target protocol address
 * @sport, @dport: wire order; echo: sport = id, dport = 0
 * @port:       host order: destination port, ICMP type; what classify_service() wants
 * @ip_len:     IP total length in bytes (frame length when unreadable, or for an aggregate the bytes after L2)
 * @headers:    bytes of L3 and L4 headers, for the length of an aggregate's segments
 * @family:     4, 6, or 0 when there is no IP header
 * @offset:     of the header being read; in the end that of the transport header, where there is one
 * @vlan:       VID of the one tag that has one, 0: none. @tags: of those that the driver took out of the frame, which
 *              are the outermost: set by the caller, with @vlan
 * @seq, @ack:  TCP's numbers, wire order
 * @mac_to:     destination MAC, as it lies in memory
 */
struct packet {
	union address src;
	union address dst;
	union address inner_src;
	union address inner_dst;
	__be16 sport;
	__be16 dport;
	__be16 inner_sport;
	__be16 inner_dport;
	__u32 flags;
	__u32 ip_len;
	__u16 port;
	__u16 headers;
	__u8 family;
	__u8 proto;
	__u8 inner_proto;
	__u8 type; /* ICMP; TCP: its flags */
	__u8 mac[6];
	__u16 offset;
	__u8 extended; /* IPv6: which extension headers were seen, EXTENDED_* */
	__u8 tags;
	__be16 ethertype;
	__be32 fragment_id;
	__be32 seq;
	__be32 ack;
	__u32 mac_to;
	__u16 mac_to_end;
	__u16 vlan;
};

enum {
	PROTO_ICMP = 1,
	PROTO_IGMP = 2,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ICMPV6 = 58,
	PROTO_SCTP = 132,
};

WEIR_INLINE void address_v4(union address *to, __be32 v4)
{
	to->d[0] = 0;
	to->w[2] = BE32(0xffff);
	to->w[3] = v4;
}

/* 16 bytes of the frame at offset @k of a cursor that has them. */
WEIR_INLINE void address_v6(union address *to, cursor at, int k)
{
	to->w[0] = LD32(at, k);
	to->w[1] = LD32(at, k + 4);
	to->w[2] = LD32(at, k + 8);
	to->w[3] = LD32(at, k + 12);
}

/** address_same() - whether two addresses are equal. */
WEIR_INLINE int address_same(const union address *a, const union address *b)
{
	return a->d[0] == b->d[0] && a->d[1] == b->d[1];
}

WEIR_INLINE int address_multicast(const union address *a, __u8 family)
{
	if (family == 4)
		return (BE32(a->w[3]) >> 28) == 0xe || a->w[3] == 0xffffffff;
	return a->addr.byte[0] == 0xff;
}

WEIR_INLINE int address_link_local6(const union address *a)
{
	return (BE32(a->w[0]) & 0xffc00000) == 0xfe800000;
}

/* Relays that anybody may run, and what hides IPv4 in its addresses: 6to4 (RFC 7526) and Teredo (RFC 4380). */
WEIR_INLINE int address_relayed(const union address *a, __u8 family)
{
	if (family == 4)
		return BE32(a->w[3]) >> 8 == 0xc05863; /* 192.88.99.0/24 */
	return BE32(a->w[0]) >> 16 == 0x2002 || a->w[0] == BE32(0x20010000);
}

/* Addresses that no packet on a wire may carry. Sources: RFC 1122, 6890, 4291, 4942; 0.0.0.0 and :: are checked later. */
WEIR_INLINE enum weir_reason parse_martian(const struct packet *pkt)
{
	if (address_relayed(&pkt->src, pkt->family))
		return WEIR_MARTIAN_SOURCE;
	if (address_relayed(&pkt->dst, pkt->family))
		return WEIR_MARTIAN_DEST;
	if (pkt->family == 4) {
		__u32 src = BE32(pkt->src.w[3]), dst = BE32(pkt->dst.w[3]);

		if ((src >> 24) == 127 || src >= 0xe0000000 || ((src >> 24) == 0 && src != 0))
			return WEIR_MARTIAN_SOURCE;
		if ((dst >> 24) == 127 || (dst >> 24) == 0)
			return WEIR_MARTIAN_DEST;
		if (src == 0 && !(pkt->flags & PKT_DHCP_ASK) && pkt->proto != PROTO_IGMP)
			return WEIR_MARTIAN_SOURCE;
	} else {
		int mapped_src = pkt->src.d[0] == 0 && pkt->src.w[2] == BE32(0xffff);
		int mapped_dst = pkt->dst.d[0] == 0 && pkt->dst.w[2] == BE32(0xffff);

		if (pkt->src.addr.byte[0] == 0xff || mapped_src)
			return WEIR_MARTIAN_SOURCE;
		if (pkt->src.d[0] == 0 && pkt->src.d[1] == BE64(1))
			return WEIR_MARTIAN_SOURCE;
		/* Solicitations of who has no address yet, and listener reports (RFC 4861, 3590). */
		if (pkt->src.d[0] == 0 && pkt->src.d[1] == 0 && !(pkt->flags & PKT_LISTENER) &&
		    !(pkt->flags & PKT_ND && (pkt->type == 133 || pkt->type == 135)))
			return WEIR_MARTIAN_SOURCE;
		if (mapped_dst ||
		    (pkt->dst.d[0] == 0 && (pkt->dst.d[1] == BE64(1) || pkt->dst.d[1] == 0)))
			return WEIR_MARTIAN_DEST;
	}
	return address_same(&pkt->src, &pkt->dst) ? WEIR_LAND : WEIR_OK;
}

WEIR_INLINE enum weir_reason parse_tcp(const struct view *view, struct packet *pkt, __u32 l4,
				       __u32 left)
{
	cursor at = AT(view, l4);
	__u8 flags;
	__u32 length;

	if (left < 20)
		return pkt->flags & PKT_FRAGMENT ? WEIR_BAD_FRAGMENT : WEIR_BAD_LENGTH;
	if (!HAVE(view, at, 20))
		return WEIR_TRUNCATED;
	length = (LD8(at, 12) >> 4) * 4;
	if (length < 20)
		return WEIR_BAD_HEADER;
	if (length > left)
		return pkt->flags & PKT_FRAGMENT ? WEIR_BAD_FRAGMENT : WEIR_BAD_HEADER;
	flags = LD8(at, 13) & 0x3f;
	/* SYN with FIN or RST, FIN with RST, and anything without SYN, RST or ACK: nothing that a peer means. */
	if ((flags & 0x02 && flags & 0x05) || (flags & 0x05) == 0x05 || !(flags & 0x16))
		return WEIR_TCP_FLAGS;
	pkt->sport = LD16(at, 0);
	pkt->dport = LD16(at, 2);
	pkt->port = BE16(pkt->dport);
	pkt->seq = LD32(at, 4);
	pkt->ack = LD32(at, 8);
	pkt->type = flags;
	pkt->headers += length;
	pkt->flags |= PKT_PORTS;
	if ((flags & 0x12) == 0x02)
		pkt->flags |= PKT_OPENS;
	if (flags & 0x05)
		pkt->flags |= PKT_CLOSES;
	return pkt->dport ? WEIR_OK : WEIR_PORT_ZERO;
}

/* Clients and servers of DHCP talk before there are addresses: recognised here, judged in decide.h. */
WEIR_INLINE void parse_dhcp(const struct view *view, struct packet *pkt, __u32 l4, __u32 left)
{
	cursor at = AT(view, l4);

	if (pkt->family == 4 && pkt->sport == BE16(68) && pkt->dport == BE16(67)) {
		pkt->flags |= PKT_DHCP_ASK;
	} else if (pkt->family == 4 && pkt->sport == BE16(67) && pkt->dport == BE16(68)) {
		/* BOOTP: op at 0, hlen at 2, chaddr at 28 */
		if (left >= 8 + 34 && HAVE(view, at, 8 + 34) && LD8(at, 8) == 2 &&
		    LD8(at, 10) == 6) {
			pkt->flags |= PKT_DHCP_OFFER;
			pkt->mac[0] = LD8(at, 36);
			pkt->mac[1] = LD8(at, 37);
			pkt->mac[2] = LD8(at, 38);
			pkt->mac[3] = LD8(at, 39);
			pkt->mac[4] = LD8(at, 40);
			pkt->mac[5] = LD8(at, 41);
		}
	} else if (pkt->family == 6 && address_link_local6(&pkt->src) &&
		   (pkt->dport == BE16(546) || pkt->dport == BE16(547)) &&
		   (pkt->sport == BE16(546) || pkt->sport == BE16(547)) &&
		   (address_link_local6(&pkt->dst) ||
		    (pkt->dst.w[0] == BE32(0xff020000) && pkt->dst.w[1] == 0 &&
		     pkt->dst.w[2] == 0 && pkt->dst.w[3] == BE32(0x00010002)))) {
		pkt->flags |= PKT_DHCP6;
	}
}

WEIR_INLINE enum weir_reason parse_udp(const struct view *view, struct packet *pkt, __u32 l4,
				       __u32 left)
{
	cursor at = AT(view, l4);
	__u32 length;

	if (left < 8)
		return pkt->flags & PKT_FRAGMENT ? WEIR_BAD_FRAGMENT : WEIR_BAD_LENGTH;
	if (!HAVE(view, at, 8))
		return WEIR_TRUNCATED;
	length = BE16(LD16(at, 4));
	/* A first fragment's UDP length covers the later ones; an aggregate's may be anything. */
	if (!view->gso && (length < 8 || (length > left && !(pkt->flags & PKT_FRAGMENT))))
		return WEIR_BAD_LENGTH;
	pkt->sport = LD16(at, 0);
	pkt->dport = LD16(at, 2);
	pkt->port = BE16(pkt->dport);
	pkt->headers += 8;
	pkt->flags |= PKT_PORTS;
	parse_dhcp(view, pkt, l4, left);
	return pkt->dport ? WEIR_OK : WEIR_PORT_ZERO;
}

WEIR_INLINE enum weir_reason parse_sctp(const struct view *view, struct packet *pkt, __u32 l4,
					__u32 left)
{
	cursor at = AT(view, l4);

	if (left < 16)
		return pkt->flags & PKT_FRAGMENT ? WEIR_BAD_FRAGMENT : WEIR_BAD_LENGTH;
	if (!HAVE(view, at, 16))
		return WEIR_TRUNCATED;
	pkt->sport = LD16(at, 0);
	pkt->dport = LD16(at, 2);
	pkt->port = BE16(pkt->dport);
	pkt->headers += 12;
	pkt->flags |= PKT_PORTS;
	if (LD8(at, 12) == 1) /* INIT */
		pkt->flags |= PKT_OPENS;
	return pkt->dport ? WEIR_OK : WEIR_PORT_ZERO;
}

/* Of the rest, the first bytes after the IP header are no part of the flow: GRE's flags, ESP's SPI. */
WEIR_INLINE int has_ports(__u8 proto)
{
	return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP;
}

/*
 * The packet that an ICMP error is about: addresses, protocol, ports. Errors quote at least 8 bytes after the IP
 * header (RFC 792, 4443); what cannot be read leaves PKT_INNER clear, and the error is dropped.
 */
WEIR_INLINE void parse_inner4(const struct view *view, struct packet *pkt, __u32 at4, __u32 end)
{
	cursor at = AT(view, at4);
	__u32 ihl;

	if (at4 + 28 > end || !HAVE(view, at, 28) || (LD8(at, 0) >> 4) != 4)
		return;
	ihl = (LD8(at, 0) & 0xf) * 4;
	if (ihl < 20 || at4 + ihl + 8 > end || BE16(LD16(at, 6)) & 0x1fff)
		return;
	address_v4(&pkt->inner_src, LD32(at, 12));
	address_v4(&pkt->inner_dst, LD32(at, 16));
	pkt->inner_proto = LD8(at, 9);
	at = AT(view, at4 + ihl);
	if (!HAVE(view, at, 8))
		return;
	if (pkt->inner_proto == PROTO_ICMP) {
		if (LD8(at, 0) != 8 && LD8(at, 0) != 0) /* never an error about an error */
			return;
		pkt->inner_sport = LD16(at, 4);
		pkt->inner_dport = BE16(LD8(at, 0));
	} else if (has_ports(pkt->inner_proto)) {
		pkt->inner_sport = LD16(at, 0);
		pkt->inner_dport = LD16(at, 2);
	}
	pkt->flags |= PKT_INNER;
}

WEIR_INLINE void parse_inner6(const struct view *view, struct packet *pkt, __u32 at6, __u32 end)
{
	cursor at = AT(view, at6);
	__u32 l4 = at6 + 40;

	if (at6 + 48 > end || !HAVE(view, at, 48) || (LD8(at, 0) >> 4) != 6)
		return;
	address_v6(&pkt->inner_src, at, 8);
	address_v6(&pkt->inner_dst, at, 24);
	/* No packet goes to such an address; it would be taken for the IPv4 one, perhaps ours. */
	if (!pkt->inner_dst.d[0] && pkt->inner_dst.w[2] == BE32(0xffff))
		return;
	pkt->inner_proto = LD8(at, 6);
	if (pkt->inner_proto == 44) { /* fragmented original: its first fragment is quoted */
		at = AT(view, l4);
		if (l4 + 16 > end || !HAVE(view, at, 16) || BE16(LD16(at, 2)) & 0xfff8)
			return;
		pkt->inner_proto = LD8(at, 0);
		l4 += 8;
	}
	if (pkt->inner_proto == 0 || pkt->inner_proto == 43 || pkt->inner_proto == 44 ||
	    pkt->inner_proto == 51 || pkt->inner_proto == 60) /* ports lie behind more headers */
		return;
	at = AT(view, l4);
	if (!HAVE(view, at, 8))
		return;
	if (pkt->inner_proto == PROTO_ICMPV6) {
		if (LD8(at, 0) != 128 && LD8(at, 0) != 129)
			return;
		pkt->inner_sport = LD16(at, 4);
		pkt->inner_dport = BE16(LD8(at, 0));
	} else if (has_ports(pkt->inner_proto)) {
		pkt->inner_sport = LD16(at, 0);
		pkt->inner_dport = LD16(at, 2);
	}
	pkt->flags |= PKT_INNER;
}

WEIR_INLINE enum weir_reason parse_icmp4(const struct view *view, struct packet *pkt, __u32 l4,
					 __u32 end)
{
	cursor at = AT(view, l4);

	if (l4 + 8 > end)
		return pkt->flags & PKT_FRAGMENT ? WEIR_BAD_FRAGMENT : WEIR_BAD_LENGTH;
	if (!HAVE(view, at, 8))
		return WEIR_TRUNCATED;
	pkt->type = LD8(at, 0);
	pkt->port = pkt->type;
	pkt->headers += 8;
	switch (pkt->type) {
	case 0:
	case 8:
		pkt->sport = LD16(at, 4);
		pkt->flags |= PKT_ECHO;
		break;
	case 3:
	case 11:
	case 12:
		pkt->flags |= PKT_ICMP_ERROR;
		parse_inner4(view, pkt, l4 + 8, end);
		break;
	case 4: /* source quench, RFC 6633 */
	case 5: /* redirect */
		return WEIR_ICMP_ERROR;
	case 13: /* timestamp, information, address mask, and their replies: RFC 6918 */
	case 14:
	case 15:
	case 16:
	case 17:
	case 18:
		return WEIR_ICMP_TYPE;
	}
	return WEIR_OK;
}

WEIR_INLINE enum weir_reason parse_icmp6(const struct view *view, struct packet *pkt, __u32 l4,
					 __u32 end, __u8 hops)
{
	cursor at = AT(view, l4);

	if (l4 + 8 > end)
		return pkt->flags & PKT_FRAGMENT ? WEIR_BAD_FRAGMENT : WEIR_BAD_LENGTH;
	if (!HAVE(view, at, 8))
		return WEIR_TRUNCATED;
	pkt->type = LD8(at, 0);
	pkt->port = pkt->type;
	pkt->headers += 8;
	if (pkt->type < 128) {
		pkt->flags |= PKT_ICMP_ERROR;
		parse_inner6(view, pkt, l4 + 8, end);
	} else if (pkt->type == 128 || pkt->type == 129) {
		pkt->sport = LD16(at, 4);
		pkt->flags |= PKT_ECHO;
	} else if (pkt->type >= 133 && pkt->type <= 137) {
		/* RFC 4861: hop limit 255, code 0; RFC 6980: no fragments; extension headers have no business here */
		if (hops != 255 || LD8(at, 1) != 0 || pkt->extended || pkt->type == 137)
			return WEIR_BAD_ND;
		if (pkt->type == 135 || pkt->type == 136) {
			if (l4 + 24 > end)
				return WEIR_BAD_ND;
			if (!HAVE(view, at, 24))
				return WEIR_TRUNCATED;
			address_v6(&pkt->inner_src, at, 8);
		}
		pkt->flags |= PKT_ND;
	} else if ((pkt->type >= 130 && pkt->type <= 132) || pkt->type == 143) {
		if (hops != 1)
			return WEIR_BAD_ND;
		/* A report that is too long is sent as several, not in fragments (RFC 3810 5.2.15). */
		if (!(pkt->flags & PKT_FRAGMENT))
			pkt->flags |= PKT_LISTENER;
	}
	return WEIR_OK;
}

/*
 * Queries and reports go to groups (RFC 1112, 2236, 3376); what else has this number is judged like any protocol, or it
 * would carry whatever it likes past every policy.
 */
WEIR_INLINE enum weir_reason parse_igmp(const struct view *view, struct packet *pkt, __u32 l4,
					__u32 left)
{
	cursor at = AT(view, l4);

	if (pkt->family != 4 || pkt->flags & PKT_FRAGMENT || left < 8 ||
	    !address_multicast(&pkt->dst, 4))
		return WEIR_OK;
	if (!HAVE(view, at, 8))
		return WEIR_TRUNCATED;
	switch (LD8(at, 0)) {
	case 0x11: /* query */
	case 0x12: /* report, version 1 */
	case 0x16: /* 2 */
	case 0x17: /* leave */
	case 0x22: /* 3 */
		pkt->flags |= PKT_LISTENER;
	}
	return WEIR_OK;
}

/* Transport header at pkt->offset of a datagram that ends at @end (offsets into the frame). */
WEIR_INLINE enum weir_reason parse_transport(const struct view *view, struct packet *pkt, __u32 end,
					     __u8 hops)
{
	__u32 l4 = FORGET(pkt->offset, pkt->offset);

	if (l4 > PARSE_MAX_OFFSET || l4 > end)
		return WEIR_EXT_HEADERS;
	switch (pkt->proto) {
	case PROTO_TCP:
		return parse_tcp(view, pkt, l4, end - l4);
	case PROTO_UDP:
		return parse_udp(view, pkt, l4, end - l4);
	case PROTO_SCTP:
		return parse_sctp(view, pkt, l4, end - l4);
	case PROTO_ICMP:
		if (pkt->family != 4)
			return WEIR_BAD_HEADER;
		return parse_icmp4(view, pkt, l4, end);
	case PROTO_ICMPV6:
		if (pkt->family != 6)
			return WEIR_BAD_HEADER;
		return parse_icmp6(view, pkt, l4, end, hops);
	case PROTO_IGMP:
		return parse_igmp(view, pkt, l4, end - l4);
	default:
		return WEIR_OK;
	}
}

/* Of 32-bit words, of any byte order: 0xffff when the header with its checksum adds up (RFC 1071). */
WEIR_INLINE __u32 sum_fold(__u64 sum)
{
	__u32 folded = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);

	return (folded & 0xffff) + (folded >> 16);
}

/* The words of the options. Out of line: they are seldom. */
WEIR_PART __u64 sum_options(const struct view *view, struct packet *pkt, __u32 l3)
{
	cursor at = AT(view, l3);
	__u32 ihl = FORGET(pkt->headers, pkt->headers);
	__u64 sum = 0;

	for (__u32 i = 20; i < 60; i += 4) {
		if (i >= ihl)
			break;
		if (!HAVE(view, at, i + 4))
			break;
		sum += LD32(at, i);
	}
	return sum;
}

/* RFC 791 options: a list of type-length-value that must end inside the header; source routes are refused. */
WEIR_INLINE enum weir_reason parse_options4(const struct view *view, struct packet *pkt, __u32 at4,
					    __u32 end)
{
	for (int i = 0; i < 40 && at4 < end; i++) {
		cursor at = AT(view, at4);
		__u32 length = 1;
		__u8 type;

		if (at4 > PARSE_MAX_OFFSET || !HAVE(view, at, 1))
			return WEIR_TRUNCATED;
		type = LD8(at, 0);
		if (type == 0)
			return WEIR_OK;
		if (type == 131 || type == 137)
			return WEIR_IP_OPTIONS;
		if (type != 1) {
			if (at4 + 2 > end)
				return WEIR_IP_OPTIONS;
			if (!HAVE(view, at, 2))
				return WEIR_TRUNCATED;
			length = LD8(at, 1);
			if (length < 2 || at4 + length > end)
				return WEIR_IP_OPTIONS;
		}
		/* at most 46 + 60: the mask is for verifiers that learn nothing from at4 < end */
		at4 = FORGET(pkt->offset, at4 + length) & 127;
	}
	return WEIR_OK;
}

WEIR_INLINE enum weir_reason parse_ip4(const struct view *view, struct packet *pkt, __u32 l3)
{
	cursor at = AT(view, l3);
	__u32 ihl, total, end;
	__u16 fragment;
	enum weir_reason why;
	__u64 sum;

	if (!HAVE(view, at, 20))
		return WEIR_TRUNCATED;
	ihl = (LD8(at, 0) & 0xf) * 4;
	if ((LD8(at, 0) >> 4) != 4 || ihl < 20)
		return WEIR_BAD_HEADER;
	pkt->family = 4;
	pkt->proto = LD8(at, 9);
	address_v4(&pkt->src, LD32(at, 12));
	address_v4(&pkt->dst, LD32(at, 16));
	total = BE16(LD16(at, 2));
	if (view->gso) /* 0 in BIG TCP; otherwise the aggregate's own */
		total = view->len - l3;
	if (total < ihl || l3 + total > view->len)
		return WEIR_BAD_LENGTH;
	/* Before anything else is believed; of an aggregate it may be unfinished. Not branched on: it says no more. */
	sum = (__u64)LD32(at, 0) + LD32(at, 4) + LD32(at, 8) + LD32(at, 12) + LD32(at, 16);
	pkt->headers = ihl;
	if (ihl > 20) {
		if (!HAVE(view, at, ihl))
			return WEIR_TRUNCATED;
		sum += sum_options(view, pkt, l3);
	}
	if ((sum_fold(sum) ^ 0xffff) * (1 - view->gso) != 0)
		return WEIR_BAD_CHECKSUM;
	pkt->ip_len = total;
	end = l3 + total;
	fragment = BE16(LD16(at, 6));
	if (fragment & 0x3fff)
		pkt->flags |= PKT_FRAGMENT;
	pkt->fragment_id = LD16(at, 4);
	if (fragment & 0x1fff) {
		pkt->flags |= PKT_LATER;
		/* offset 8 rewrites TCP flags (RFC 3128); past 65,535 the datagram cannot be */
		if ((pkt->proto == PROTO_TCP && (fragment & 0x1fff) == 1) ||
		    (fragment & 0x1fff) * 8 + total - ihl > 65535)
			return WEIR_BAD_FRAGMENT;
	}
	if (ihl > 20) {
		why = parse_options4(view, pkt, l3 + 20, l3 + ihl);
		if (why != WEIR_OK)
			return why;
	}
	if (pkt->flags & PKT_LATER)
		return parse_martian(pkt);
	pkt->offset = l3 + ihl;
	why = parse_transport(view, pkt, end, 0);
	return why != WEIR_OK ? why : parse_martian(pkt);
}

/**
 * parse_chain6() - walk IPv6 extension headers to the transport header.
 * @pkt:  proto is the first next-header value, offset is behind the fixed header; both updated
 * @end:  offset behind the datagram
 */
WEIR_INLINE enum weir_reason parse_chain6(const struct view *view, struct packet *pkt, __u32 end)
{
	__u32 o = pkt->offset;
	__u8 type = pkt->proto;

	for (int i = 0; i <= PARSE_MAX_EXT; i++) {
		cursor at = AT(view, o);
		__u32 length;

		if (type != 0 && type != 43 && type != 44 && type != 51 && type != 60)
			return WEIR_OK;
		if (i == PARSE_MAX_EXT || (type == 0 && i != 0))
			return WEIR_EXT_HEADERS;
		if (o + 8 > end)
			return pkt->flags & PKT_FRAGMENT ? WEIR_BAD_FRAGMENT : WEIR_BAD_LENGTH;
		if (!HAVE(view, at, 8))
			return WEIR_TRUNCATED;
		pkt->extended |= EXTENDED_ANY;
		length = (LD8(at, 1) + 1) * 8;
		/* Routing headers, spent ones too: nobody who is not asked for source routing sends one (RFC 5095). */
		if (type == 43)
			return WEIR_EXT_HEADERS;
		if (type == 51)
			length = (LD8(at, 1) + 2) * 4;
		if (type == 44) {
			__u16 fragment = BE16(LD16(at, 2));

			length = 8;			       /* its second byte is reserved */
			if (pkt->extended & EXTENDED_FRAGMENT) /* a second one: CVE-2023-4809 */
				return WEIR_BAD_FRAGMENT;
			pkt->extended |= EXTENDED_FRAGMENT;
			if (fragment & 0xfff9)
				pkt->flags |= PKT_FRAGMENT;
			pkt->fragment_id = LD32(at, 4);
			if (fragment & 0xfff8) {
				pkt->flags |= PKT_LATER;
				pkt->proto = LD8(at, 0);
				/* as with IPv4: offset 8 rewrites TCP flags */
				if ((pkt->proto == PROTO_TCP && (fragment & 0xfff8) == 8) ||
				    (fragment & 0xfff8) + (end - o - 8) > 65535)
					return WEIR_BAD_FRAGMENT;
				pkt->offset = o + 8;
				return WEIR_OK;
			}
		}
		if (o + length > end)
			return pkt->flags & PKT_FRAGMENT ? WEIR_BAD_FRAGMENT : WEIR_BAD_LENGTH;
		type = FORGET(pkt->proto, LD8(at, 0));
		o = FORGET(pkt->offset, o + length);
		if (o > PARSE_MAX_OFFSET)
			return WEIR_EXT_HEADERS;
	}
	return WEIR_EXT_HEADERS;
}

WEIR_INLINE enum weir_reason parse_ip6(const struct view *view, struct packet *pkt, __u32 l3)
{
	cursor at = AT(view, l3);
	__u32 payload, end, l4 = l3 + 40;
	enum weir_reason why;
	__u8 hops;

	if (!HAVE(view, at, 40))
		return WEIR_TRUNCATED;
	if ((LD8(at, 0) >> 4) != 6)
		return WEIR_BAD_HEADER;
	pkt->family = 6;
	pkt->proto = LD8(at, 6);
	pkt->offset = l4;
	hops = LD8(at, 7);
	address_v6(&pkt->src, at, 8);
	address_v6(&pkt->dst, at, 24);
	payload = BE16(LD16(at, 4));
	if (view->gso && view->len >= l4) /* BIG TCP has 0 here */
		payload = view->len - l4;
	if (l4 + payload > view->len || payload == 0)
		return WEIR_BAD_LENGTH;
	pkt->ip_len = payload + 40;
	end = l4 + payload;
	why = parse_chain6(view, pkt, end);
	if (why != WEIR_OK)
		return why;
	pkt->headers = pkt->offset - l3;
	if (pkt->flags & PKT_LATER)
		return parse_martian(pkt);
	why = parse_transport(view, pkt, end, hops);
	return why != WEIR_OK ? why : parse_martian(pkt);
}

WEIR_INLINE enum weir_reason parse_arp(const struct view *view, struct packet *pkt, __u32 l3)
{
	cursor at = AT(view, l3);
	__u16 op;

	if (!HAVE(view, at, 28))
		return WEIR_TRUNCATED;
	op = BE16(LD16(at, 6));
	if (LD16(at, 0) != BE16(1) || LD16(at, 2) != BE16(0x0800) || LD16(at, 4) != BE16(0x0604) ||
	    (op != 1 && op != 2))
		return WEIR_BAD_ARP;
	address_v4(&pkt->src, LD32(at, 14));
	address_v4(&pkt->dst, LD32(at, 24));
	pkt->flags |= PKT_ARP;
	return WEIR_OK;
}

/** parse_network() - the packet at offset pkt->offset, of Ethernet type @type (wire order). */
WEIR_INLINE enum weir_reason parse_network(const struct view *view, struct packet *pkt, __be16 type)
{
	/* At most 46: the mask is for verifiers that do not know the bound of what was put aside before it was checked. */
	__u32 l3 = FORGET(pkt->offset, pkt->offset) & 63;

	if (l3 > 14 + 4 * PARSE_MAX_TAGS)
		return WEIR_TRUNCATED; /* cannot be: for the verifier */
	switch (BE16(type)) {
	case 0x0800:
		return parse_ip4(view, pkt, l3);
	case 0x86dd:
		return parse_ip6(view, pkt, l3);
	case 0x0806:
		return parse_arp(view, pkt, l3);
	default:
		return WEIR_ETHERTYPE;
	}
}

WEIR_INLINE int is_tag(__be16 type)
{
	return type == BE16(0x8100) || type == BE16(0x88a8);
}

/*
 * Tags, the first of them at @first and of *type: that and pkt->offset move past them. Tags without a VID (priority) are
 * walked; one may have one, of the customers' kind; hooks ask whether it is ours. Out of line, since frames seldom have any.
 */
WEIR_PART enum weir_reason parse_tags(const struct view *view, struct packet *pkt, __be16 *type,
				      __u32 first)
{
	__u32 l3 = first;

	for (int i = 0; i < PARSE_MAX_TAGS && is_tag(*type); i++) {
		cursor at = AT(view, l3);
		__u16 vid;

		if (!HAVE(view, at, 4))
			return WEIR_TRUNCATED;
		vid = BE16(LD16(at, 0)) & 0xfff;
		if (vid) {
			if (pkt->vlan || *type != BE16(0x8100))
				return WEIR_VLAN;
			pkt->vlan = vid;
		}
		*type = LD16(at, 2);
		l3 += 4;
	}
	pkt->offset = l3;
	return is_tag(*type) || l3 + 4 * pkt->tags > first + 4 * PARSE_MAX_TAGS ? WEIR_VLAN
										: WEIR_OK;
}

/**
 * parse_link() - the Ethernet header.
 * @type: Ethernet type behind the tags, wire order; pkt->offset is set to what follows
 *
 * Link-layer control protocols are PKT_CONTROL, and there is nothing behind them to read.
 */
WEIR_INLINE enum weir_reason parse_link(const struct view *view, struct packet *pkt, __be16 *type)
{
	cursor at = AT(view, 0);
	enum weir_reason why;

	pkt->ip_len = view->len;
	if (!HAVE(view, at, 14))
		return WEIR_TRUNCATED;
	pkt->mac_to = LD32(at, 0);
	pkt->mac_to_end = LD16(at, 4);
	if (LD8(at, 0) & 1)
		pkt->flags |= PKT_L2_MULTI;
	if (LD8(at, 6) & 1 || (LD32(at, 6) == 0 && LD16(at, 10) == 0))
		return WEIR_MARTIAN_SOURCE;
	*type = LD16(at, 12);
	pkt->offset = 14;
	if (is_tag(*type)) {
		why = parse_tags(view, pkt, type, 14);
		if (why != WEIR_OK)
			return why;
	}
	/* 01:80:c2:00:00:0X: bridges keep these to one link */
	if (pkt->mac_to == BE32(0x0180c200) && (pkt->mac_to_end & BE16(0xfff0)) == 0 &&
	    (BE16(*type) < 0x0600 || *type == BE16(0x88cc) || *type == BE16(0x8809) ||
	     *type == BE16(0x888e)))
		pkt->flags |= PKT_CONTROL;
	return WEIR_OK;
}

/**
 * parse_frame() - an Ethernet frame.
 * @view: read twice by programs (parse_link, then a fresh view for parse_network): the verifier then forgets how much
 *        of the frame the tags had proved readable
 * @pkt:  zeroed by the caller; addresses, lengths and flags are filled as far as they could be read, also on error
 *
 * Returns WEIR_OK when everything that policy can ask about is in @pkt, else why the frame must not pass.
 */
WEIR_INLINE enum weir_reason parse_frame(const struct view *view, struct packet *pkt)
{
	enum weir_reason why;
	__be16 type = 0;

	why = parse_link(view, pkt, &type);
	if (why != WEIR_OK || pkt->flags & PKT_CONTROL)
		return why;
	return parse_network(view, pkt, type);
}

#endif
