/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames: a small builder, and the table of packets that the parser's unit test, the programs' tests and the fuzzer's
 * seeds share.
 *
 * A packet is a list of layers. The builder chains them (each layer's number goes into the one before), fills in
 * lengths, each from its layer to the end of the datagram, then checksums; SET8/16/32 spoil a field of the layer
 * before, CUT and PAD the frame's end.
 */
#ifndef WEIR_TESTS_PACKETS_H
#define WEIR_TESTS_PACKETS_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

#include "weir/reason.h"

#define FRAME_MAX 9216

struct frame {
	__u8 byte[FRAME_MAX];
	size_t len;
	size_t l3; /* offset of the outer IP or ARP header, 0: none */
	size_t l4; /* offset of the first transport header, 0: none */
};

enum layer_kind {
	LAYER_END = 0,
	LAYER_ETH,
	LAYER_VLAN,
	LAYER_IP4,
	LAYER_IP6,
	LAYER_EXT,
	LAYER_FRAGMENT,
	LAYER_TCP,
	LAYER_UDP,
	LAYER_SCTP,
	LAYER_ICMP,
	LAYER_ICMP6,
	LAYER_ARP,
	LAYER_DATA,
	LAYER_SET,
	LAYER_CUT,
	LAYER_PAD,
};

/**
 * struct layer - one header, or a change to what was built. Zero means the usual value.
 * @proto:   number of this layer in the one before (EXT: which extension header); also what DATA pretends to be
 * @fill:    bytes of options (IP4, TCP: NOPs, or @bytes), body bytes beyond the first 8 (EXT)
 * @fragment: IPv4: flags and offset field; FRAGMENT: offset field with M bit
 * @sport, @dport: 40000 and 443
 * @id:      echo id (7), fragment id (0x1234)
 * @src, @dst: text; those of struct ends
 * @size:    DATA, PAD: how many bytes; CUT: length of the frame, or when negative how much to take off
 * @at, @width, @value: SET: offset in the layer before, bytes, number
 */
struct layer {
	__u8 kind;
	__u8 proto;
	__u8 type, code;
	__u8 flags;
	__u8 ttl;
	__u8 repeat;
	__u8 width;
	__u16 fill;
	__u16 fragment;
	__u16 sport, dport;
	__u16 id;
	__u16 vlan;
	__u16 ethertype;
	int size;
	int at;
	__u32 value;
	const char *src, *dst;
	const char *bytes;
	__u8 nr_bytes;
};

/** struct ends - who sends to whom where a layer does not say. */
struct ends {
	__u8 smac[6], dmac[6];
	const char *src4, *dst4;
	const char *src6, *dst6;
};

/* clang-format off */
#define ETH(...)      {.kind = LAYER_ETH, ##__VA_ARGS__}
#define VLAN(...)     {.kind = LAYER_VLAN, ##__VA_ARGS__}
#define IP4(...)      {.kind = LAYER_IP4, ##__VA_ARGS__}
#define IP6(...)      {.kind = LAYER_IP6, ##__VA_ARGS__}
#define EXT(...)      {.kind = LAYER_EXT, ##__VA_ARGS__}
#define FRAGMENT(...) {.kind = LAYER_FRAGMENT, ##__VA_ARGS__}
#define TCP(...)      {.kind = LAYER_TCP, ##__VA_ARGS__}
#define UDP(...)      {.kind = LAYER_UDP, ##__VA_ARGS__}
#define SCTP(...)     {.kind = LAYER_SCTP, ##__VA_ARGS__}
#define ICMP(...)     {.kind = LAYER_ICMP, ##__VA_ARGS__}
#define ICMP6(...)    {.kind = LAYER_ICMP6, ##__VA_ARGS__}
#define ARP(...)      {.kind = LAYER_ARP, ##__VA_ARGS__}
#define DATA(n, ...)  {.kind = LAYER_DATA, .size = (n), ##__VA_ARGS__}
#define BYTES(text, ...) {.kind = LAYER_DATA, .size = sizeof(text) - 1, .bytes = (text), .nr_bytes = sizeof(text) - 1, ##__VA_ARGS__}
#define PAD(n)        {.kind = LAYER_PAD, .size = (n)}
#define CUT(n)        {.kind = LAYER_CUT, .size = (n)}
#define SET8(o, v)    {.kind = LAYER_SET, .at = (o), .width = 1, .value = (v)}
#define SET16(o, v)   {.kind = LAYER_SET, .at = (o), .width = 2, .value = (v)}
#define SET32(o, v)   {.kind = LAYER_SET, .at = (o), .width = 4, .value = (v)}
/* clang-format on */

enum {
	F_FIN = 0x01,
	F_SYN = 0x02,
	F_RST = 0x04,
	F_PSH = 0x08,
	F_ACK = 0x10,
	F_URG = 0x20,
	F_ECE = 0x40,
	F_CWR = 0x80,
};

/**
 * frame_build() - @layers (ended by a zeroed one) as a frame.
 * A second IP header (the packet that an ICMP error quotes) goes from @ends' destination to its source.
 */
void frame_build(const struct layer *layers, const struct ends *ends, struct frame *ret);

/** frame_sum() - the outer IPv4 header, where there is one, was changed by hand: its checksum is right again. */
void frame_sum(struct frame *frame);

/** What becomes of a packet that parses: the same question has different answers at different hooks. */
enum packet_class {
	CLASS_BAD = 0, /* does not parse: the same reason everywhere */
	CLASS_OPENS,   /* may open: by the policy */
	CLASS_CONTINUES, /* TCP that opens nothing: no flow where the policy does not let its receiver be opened */
	CLASS_LATER,	      /* later fragment: by the policy for the pair */
	CLASS_TAGGED,	      /* in a VLAN: ours only where a NIC and the policy say so */
	CLASS_OURS,	      /* its source is ours: not from the wire */
	CLASS_NEIGHBOUR_SELF, /* speaks for an address that is not a workload's */
	CLASS_NEIGHBOUR,      /* ARP, ND: must not break; a workload may speak for itself only */
	CLASS_CONTROL,	      /* link control: NICs only */
	CLASS_LISTENER,	      /* IGMP, MLD: must not break at NICs */
	CLASS_DHCP_ASK,	      /* must not break when made here */
	CLASS_DHCP_OFFER, /* must not break at a NIC whose MAC is the client's; the table's is OFFER_MAC */
	CLASS_DHCP6,	 /* must not break at NICs */
	CLASS_ERROR_TCP, /* ICMP error about a TCP segment of no connection */
	CLASS_ERROR_UDP, /* ICMP error about a datagram: as its answer would fare */
	CLASS_ERROR_BAD, /* ICMP error about nothing readable */
};

#define OFFER_MAC "\x02\x00\x00\x00\x0a\x01"

/**
 * struct packet_case - a row of the table.
 * @name:   begins with its number in the catalogue of attacks where it has one
 * @reason: what the parser says
 * @flags:  PKT_* of the parser, exactly, when @reason is WEIR_OK
 * @class:  how it fares when it parses
 * @fixed:  its addresses are its own: hooks that check bindings need not be tried
 */
struct packet_case {
	const char *name;
	enum weir_reason reason;
	enum packet_class class;
	__u32 flags;
	bool fixed;
	struct layer layers[16];
};

extern const struct packet_case packet_cases[];
extern const size_t nr_packet_cases;

#endif
