/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf/parse.h for frames of any length and any content (see frame.h). Entry points: prove_*. */
#include "frame.h"

#define PORT_BYTE(port, k) ((port) >> (8 * (k)) & 0xff)

static void prove_transport(const struct view *view, const struct packet *pkt, __u32 l3)
{
	__u32 l4 = pkt->offset;

	PROVE(!(pkt->flags & PKT_LATER));
	PROVE(l4 >= l3 + (pkt->family == 4 ? 20 : 40));
	PROVE(l4 + (pkt->proto == PROTO_TCP   ? 20
		    : pkt->proto == PROTO_UDP ? 8
					      : 16) <=
	      l3 + pkt->ip_len);
	PROVE(pkt->proto == PROTO_TCP || pkt->proto == PROTO_UDP || pkt->proto == PROTO_SCTP);
	PROVE(probe_at != l4 || probe_value == PORT_BYTE(pkt->sport, 0));
	PROVE(probe_at != l4 + 1 || probe_value == PORT_BYTE(pkt->sport, 1));
	PROVE(probe_at != l4 + 2 || probe_value == PORT_BYTE(pkt->dport, 0));
	PROVE(probe_at != l4 + 3 || probe_value == PORT_BYTE(pkt->dport, 1));
	PROVE(pkt->port == BE16(pkt->dport) && pkt->dport != 0);
	if (pkt->proto == PROTO_TCP) {
		PROVE(probe_at != l4 + 13 ||
		      !!(pkt->flags & PKT_OPENS) == ((probe_value & 0x12) == 0x02));
		PROVE(!(pkt->flags & PKT_OPENS) || !(pkt->flags & PKT_CLOSES));
	}
	REACHED(3, pkt->family == 6 ? l4 >= l3 + 40 + PARSE_MAX_EXT * 8 : l4 == l3 + 60);
	REACHED(4, pkt->flags & PKT_OPENS && pkt->proto == PROTO_TCP && pkt->flags & PKT_FRAGMENT);
	REACHED(5, pkt->proto == PROTO_SCTP && view->gso);
	REACHED(6, pkt->flags & (PKT_DHCP_OFFER | PKT_DHCP6));
}

static void prove_ip(const struct view *view, const struct packet *pkt, __u32 l3)
{
	__u32 start = l3 + (pkt->family == 4 ? 12 : 8), width = pkt->family == 4 ? 4 : 16;

	PROVE(pkt->family == 4 || pkt->family == 6);
	PROVE(pkt->headers >= (pkt->family == 4 ? 20 : 40));
	PROVE(pkt->headers <= pkt->ip_len);
	PROVE(l3 + pkt->ip_len <= view->len);
	PROVE(pkt->ip_len <= 65535 + 40 || view->gso);
	PROVE(read_end <= l3 + pkt->ip_len);
	/* Addresses are the header's. */
	if (probe_at >= start && probe_at < start + width)
		PROVE(pkt->src.addr.byte[16 - width + (probe_at - start)] == probe_value);
	if (probe_at >= start + width && probe_at < start + 2 * width)
		PROVE(pkt->dst.addr.byte[16 - width + (probe_at - start - width)] == probe_value);
	if (pkt->family == 4)
		PROVE(probe_at != l3 + 9 || pkt->proto == probe_value);
	/* A later fragment has nothing but addresses and protocol: nothing behind its headers was read. */
	if (pkt->flags & PKT_LATER) {
		PROVE(pkt->flags & PKT_FRAGMENT);
		PROVE(!(pkt->flags & ~(PKT_L2_MULTI | PKT_FRAGMENT | PKT_LATER)));
		PROVE(pkt->sport == 0 && pkt->dport == 0 && pkt->port == 0 && pkt->type == 0);
		PROVE(pkt->seq == 0 && pkt->ack == 0);
		PROVE(read_end <= l3 + pkt->headers);
		REACHED(1, 1);
	}
	/* What is marked so in its header stays a fragment, whatever follows. */
	if (pkt->family == 4) {
		PROVE(probe_at != l3 + 7 || !probe_value || pkt->flags & PKT_LATER);
		PROVE(probe_at != l3 + 6 || !(probe_value & 0x3f) || pkt->flags & PKT_FRAGMENT);
		PROVE(probe_at != l3 + 6 || !(probe_value & 0x1f) || pkt->flags & PKT_LATER);
	}
	if (pkt->flags & PKT_PORTS)
		prove_transport(view, pkt, l3);
	else if (pkt->proto == PROTO_ICMP)
		PROVE(pkt->type != 4 && pkt->type != 5 && (pkt->type < 13 || pkt->type > 18));
	REACHED(2, pkt->flags & PKT_INNER);
	REACHED(7, pkt->flags & (PKT_ND | PKT_LISTENER));
}

/*
 * The Ethernet header and its tags: reads inside, ends, says where the rest begins, and no VID is lost: each that a tag has
 * is the packet's, and only one tag has one.
 */
void prove_link(void)
{
	struct packet pkt = {};
	struct view view;
	__be16 type = 0;
	__u16 given;

	any_frame(&view);
	pkt.tags = nondet_u8();
	pkt.vlan = given = nondet_u16();
	ASSUME(pkt.vlan < 4096 && pkt.tags <= PARSE_MAX_TAGS && (pkt.tags || !pkt.vlan));
	if (parse_link(&view, &pkt, &type) != WEIR_OK)
		return;
	PROVE(!(pkt.flags & ~(PKT_L2_MULTI | PKT_CONTROL)));
	PROVE(pkt.family == 0 && pkt.ip_len == view.len);
	PROVE(pkt.offset >= 14 && pkt.offset + 4 * pkt.tags <= 14 + 4 * PARSE_MAX_TAGS &&
	      (pkt.offset - 14) % 4 == 0);
	PROVE(type != BE16(0x8100) && type != BE16(0x88a8));
	PROVE(read_end == pkt.offset && pkt.offset <= view.len);
	PROVE(probe_at != pkt.offset - 2 || probe_value == (type & 0xff));
	PROVE(probe_at != pkt.offset - 1 || probe_value == type >> 8);
	PROVE(pkt.vlan < 4096 && (!given || pkt.vlan == given));
	if (probe_at >= 14 && probe_at < pkt.offset) {
		PROVE(probe_at % 4 != 2 || !(probe_value & 15) ||
		      (probe_value & 15) == pkt.vlan >> 8);
		PROVE(probe_at % 4 != 3 || !probe_value || probe_value == (pkt.vlan & 255));
		PROVE(!given || probe_at % 4 != 3 || !probe_value);
	}
	REACHED(1, pkt.flags & PKT_CONTROL && pkt.offset > 14);
	REACHED(2, pkt.offset == 14 + 4 * PARSE_MAX_TAGS && pkt.vlan == 4095);
	REACHED(3, pkt.offset == 14);
	REACHED(4, given && pkt.offset == 18);
}

/* What parse_link() leaves, or a caller without an Ethernet header. */
static void any_network(struct view *view, struct packet *pkt)
{
	any_frame(view);
	pkt->flags = nondet_u8() & PKT_L2_MULTI;
	pkt->offset = nondet_u16();
	ASSUME(pkt->offset <= 14 + 4 * PARSE_MAX_TAGS && pkt->offset <= view->len);
	read_end = pkt->offset;
}

/* Everything behind it: reads inside, ends, what is accepted is consistent. */
void prove_ip4(void)
{
	struct packet pkt = {};
	struct view view;
	__u32 l3;

	any_network(&view, &pkt);
	l3 = pkt.offset;
	if (parse_network(&view, &pkt, BE16(0x0800)) != WEIR_OK)
		return;
	PROVE(pkt.family == 4);
	prove_ip(&view, &pkt, l3);
}

void prove_ip6(void)
{
	struct packet pkt = {};
	struct view view;
	__u32 l3;

	any_network(&view, &pkt);
	l3 = pkt.offset;
	if (parse_network(&view, &pkt, BE16(0x86dd)) != WEIR_OK)
		return;
	PROVE(pkt.family == 6);
	prove_ip(&view, &pkt, l3);
}

void prove_other(void)
{
	__be16 type = nondet_u16();
	struct packet pkt = {};
	struct view view;
	__u32 l3;

	ASSUME(type != BE16(0x0800) && type != BE16(0x86dd));
	any_network(&view, &pkt);
	l3 = pkt.offset;
	if (parse_network(&view, &pkt, type) != WEIR_OK)
		return;
	PROVE(type == BE16(0x0806) && pkt.flags & PKT_ARP);
	PROVE(!(pkt.flags & ~(PKT_ARP | PKT_L2_MULTI)) && pkt.family == 0);
	PROVE(read_end <= l3 + 28);
	REACHED(1, 1);
}

/*
 * The extension chain from any point of it, with whatever was found before: no header undoes a fragment, and what a
 * fragment header says is believed.
 */
void prove_chain6(void)
{
	struct packet pkt = {};
	struct packet before;
	struct view view;
	__u32 end;

	any_frame(&view);
	end = nondet_u32();
	pkt.family = 6;
	pkt.proto = nondet_u8();
	pkt.offset = nondet_u16();
	pkt.flags = nondet_u32();
	pkt.extended = nondet_u8();
	ASSUME(pkt.offset <= PARSE_MAX_OFFSET && pkt.offset <= end && end <= view.len);
	read_end = pkt.offset;
	before = pkt;
	if (parse_chain6(&view, &pkt, end) != WEIR_OK)
		return;
	PROVE((pkt.flags & before.flags) == before.flags);
	PROVE((pkt.extended & before.extended) == before.extended);
	PROVE(pkt.offset >= before.offset && pkt.offset <= end && read_end <= pkt.offset);
	if (before.proto == 44) {
		PROVE(probe_at != before.offset + 2 || !probe_value || pkt.flags & PKT_LATER);
		PROVE(probe_at != before.offset + 3 || !(probe_value & 0xf8) ||
		      pkt.flags & PKT_LATER);
		PROVE(probe_at != before.offset + 3 || !(probe_value & 0xf9) ||
		      pkt.flags & PKT_FRAGMENT);
		REACHED(1, !(pkt.flags & PKT_FRAGMENT) && pkt.proto == PROTO_TCP);
		REACHED(2, pkt.flags & PKT_LATER && !(before.flags & PKT_LATER));
	}
}
