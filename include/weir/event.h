/* SPDX-License-Identifier: GPL-2.0-only */
/* The audit record, as the programs write it into the perf ring and the reader decodes it. */
#ifndef WEIR_EVENT_H
#define WEIR_EVENT_H

#include <linux/types.h>

#include "weir/tables.h"

/* What happened to the packet; names are those of the audit line. */
/* clang-format off */
#define WEIR_EVENT_VERDICTS(X)                          \
	X(0, PASS,       "pass")       /* rule with log: true */ \
	X(1, DROP,       "drop")                                \
	X(2, WOULD_DROP, "would_drop") /* mode: monitor */       \
	X(3, NOTICE,     "notice")     /* nothing was decided */

#define WEIR_DIRECTIONS(X)      \
	X(0, INGRESS, "ingress") \
	X(1, EGRESS,  "egress")  \
	X(2, FORWARD, "forward") \
	X(3, NONE,    "none")    /* dropped before any home was known */

#define WEIR_HOOKS(X)                                                            \
	X(0, XDP,     "xdp")          /* NIC arriving */                          \
	X(1, NIC_IN,  "nic_in")       /* NIC arriving, TC ingress */              \
	X(2, NIC_OUT, "nic_out")      /* NIC leaving, TC egress */                \
	X(3, WL_OUT,  "workload_out") /* leaving a workload: its veth's TC ingress */ \
	X(4, WL_IN,   "workload_in")  /* entering a workload: its veth's TC egress */ \
	X(5, BR_IN,   "bridge_in")    /* from a bridge of workloads into this host: the bridge's TC ingress */ \
	X(6, BR_OUT,  "bridge_out")   /* from this host into such a bridge: the bridge's TC egress */
/* clang-format on */

//X
#define WEIR_ENUM_3(value, id, name) WEIR_ENUM_NAME(id) = value,
enum weir_event_verdict {
#define WEIR_ENUM_NAME(id) WEIR_EVENT_##id
	WEIR_EVENT_VERDICTS(WEIR_ENUM_3)
#undef WEIR_ENUM_NAME
};
enum weir_direction {
#define WEIR_ENUM_NAME(id) WEIR_DIR_##id
	WEIR_DIRECTIONS(WEIR_ENUM_3)
#undef WEIR_ENUM_NAME
};
enum weir_hook {
#define WEIR_ENUM_NAME(id) WEIR_HOOK_##id
	WEIR_HOOKS(WEIR_ENUM_3)
#undef WEIR_ENUM_NAME
};
#undef WEIR_ENUM_3

/* Which fields hold something: an unreadable packet has no addresses, a protocol without ports no ports. */
#define WEIR_EVENT_ADDRS 0x1
#define WEIR_EVENT_PORTS \
	0x2 /* source_port and destination_port; ICMP: type in destination_port, id in source_port */

/**
 * struct weir_event - one audit record, 112 bytes.
 * @time_ns:    CLOCK_MONOTONIC when the packet was judged
 * @source:     addresses as in struct weir_addr, as the packet had them at this hook
 * @client:     who opened the flow (the destination, for a reply; behind NAT, who that was before it); all zero when
 *              unreadable
 * @source_port, @destination_port: network byte order
 * @rule:       counter index of the deciding rule, WEIR_NONE where none decided
 * @limit:      counter index of the limit that refused or that a notice is about, WEIR_NONE where none was
 * @length:     IP total length in bytes (frame length when the IP header is unreadable)
 * @ifindex:    interface of the hook
 * @generation: of the policy that judged
 * @reason:     enum weir_reason
 * @slot:       slot that judged: rule and limit names are in that slot's weir_rule
 */
struct weir_event {
	__u64 time_ns;
	struct weir_addr source;
	struct weir_addr destination;
	struct weir_addr client;
	__be16 source_port;
	__be16 destination_port;
	__u32 rule;
	__u32 limit;
	__u32 length;
	__u32 ifindex;
	__u32 generation;
	__u16 reason;
	__u8 verdict;
	__u8 direction;
	__u8 hook;
	__u8 protocol;
	__u8 fields;
	__u8 slot;
	__u8 ip_version; /* 4, 6, or 0 when unreadable */
	__u8 pad[23];
};
_Static_assert(sizeof(struct weir_event) == 112, "event layout is ABI");

#endif
