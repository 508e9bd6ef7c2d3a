/* SPDX-License-Identifier: GPL-2.0-only */
/* A second parser of frames, by the RFCs, for comparison. Shares with bpf/parse.h the names of flags and protocols only. */
#ifndef WEIR_FUZZ_REFERENCE_H
#define WEIR_FUZZ_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

/**
 * struct heard - what a frame says. Ports and numbers in host order; addresses: IPv4 as ::ffff:a.b.c.d.
 * @type: of ICMP; TCP: its six flags
 * @port: what rules name: destination port, ICMP type
 */
struct heard {
	__u32 flags; /* PKT_* */
	int family;
	__u8 proto, type;
	__u8 source[16], destination[16];
	__u16 source_port, destination_port;
	__u16 port;
	__u32 length, headers;
	__u16 vlan;
	__u32 fragment_id;
	__u32 seq, ack;
	__u8 inner_source[16], inner_destination[16], inner_proto;
	__u16 inner_source_port, inner_destination_port;
	__u8 client_mac[6];
};

/** reference_parse() - a whole frame. Returns false where it must not pass; @ret is complete only when it may. */
bool reference_parse(const __u8 *frame, size_t len, bool aggregate, struct heard *ret);

#endif
