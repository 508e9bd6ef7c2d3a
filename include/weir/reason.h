/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Verdict reasons: why a packet was dropped, or what a notice is about.
 *
 * One X-macro holds value, enum name, public name and help. The values are ABI: they are the index of the reason
 * counters and travel in events, so a reason keeps its number for ever and new ones are added at the end.
 */
#ifndef WEIR_REASON_H
#define WEIR_REASON_H

/* clang-format off */
#define WEIR_REASONS(X)                                                                                               \
	X(0,  OK,              "ok",                "allowed")                                                          \
	X(1,  TRUNCATED,       "truncated",         "frame ends inside a header")                                       \
	X(2,  BAD_LENGTH,      "bad_length",        "a length field contradicts the frame or another length")           \
	X(3,  BAD_HEADER,      "bad_header",        "a header that no receiver would accept (version, header length)")  \
	X(4,  IP_OPTIONS,      "ip_options",        "IPv4 source route or malformed option")                            \
	X(5,  EXT_HEADERS,     "extension_headers", "IPv6 extension chain too long, misplaced or with routing")  \
	X(6,  BAD_FRAGMENT,    "bad_fragment",      "fragment that hides or rewrites a transport header")               \
	X(7,  TCP_FLAGS,       "tcp_flags",         "TCP flag combination that opens nothing and continues nothing")    \
	X(8,  VLAN,            "vlan",              "tagged traffic that is not ours, or too many tags")                \
	X(9,  ETHERTYPE,       "ethertype",         "neither IP nor ARP")                                               \
	X(10, MARTIAN_SOURCE,  "martian_source",    "source address that may not appear on the wire")                   \
	X(11, MARTIAN_DEST,    "martian_destination", "destination address that may not appear on the wire")            \
	X(12, LAND,            "land",              "source and destination are the same")                              \
	X(13, PORT_ZERO,       "port_zero",         "destination port 0")                                               \
	X(14, ICMP_ERROR,      "icmp_error",        "ICMP error about no flow of ours")                                 \
	X(15, BAD_ND,          "bad_nd",            "neighbour discovery that did not come from the link")              \
	X(16, BAD_ARP,         "bad_arp",           "malformed ARP")                                                    \
	X(17, SPOOFED,         "spoofed",           "source address that is not the sender's")                          \
	X(18, NOT_BOUND,       "not_bound",         "destination is not bound to this workload")                        \
	X(19, BLOCKED,         "blocked",           "run-time block")                                                   \
	X(20, BLOCK_LIST,      "block_list",        "block list of the policy")                                         \
	X(21, AUTO_BLOCKED,    "auto_blocked",      "blocked by a limit's on_exceed")                                   \
	X(22, DENY,            "deny",              "a deny rule")                                                      \
	X(23, DEFAULT,         "default",           "no rule allows it and the default is deny")                        \
	X(24, NO_FLOW,         "no_flow",           "belongs to no connection, and its sender may not open one")        \
	X(25, FLOW_FULL,       "flow_full",         "no place for a new flow (set full, or the owner's quota)")         \
	X(26, LIMIT,           "limit",             "over a limit")                                                     \
	X(27, LIMIT_OVERFLOW,  "limit_overflow",    "over the shared entry of sources that found no place")             \
	X(28, NO_POLICY,       "no_policy",         "no policy loaded, or its tables are incomplete")                   \
	X(29, BLOCK_ADDED,     "block_added",       "notice: a limit blocked a source")                                 \
	X(30, BLOCK_FULL,      "block_full",        "notice: no place for an automatic block")                          \
	X(31, OVERFLOW_USED,   "overflow_used",     "notice: a limit's table is full where this source belongs")      \
	X(32, UNKNOWN_INTERFACE, "unknown_interface", "came by an interface too new to have been looked at")               \
	X(33, BAD_CHECKSUM,    "bad_checksum",      "IPv4 header checksum is wrong")                                    \
	X(34, REVERSE_PATH,    "reverse_path",      "no route to its source goes out where it came in")                 \
	X(35, ICMP_TYPE,       "icmp_type",         "ICMP type that nothing needs any more (timestamp, address mask)")  \
	X(36, SYN_COOKIE,      "syn_cookie",        "SYN answered with a cookie: the client must prove its address")    \
	X(37, BAD_COOKIE,      "bad_cookie",        "segment of no connection and without a valid SYN cookie")
/* clang-format on */

enum weir_reason {
#define WEIR_REASON_ENUM(value, id, name, help) WEIR_##id = value,
	WEIR_REASONS(WEIR_REASON_ENUM)
#undef WEIR_REASON_ENUM
};

/* Counters are indexed by reason; room for the reasons of later versions, so that the map need not grow. */
#define WEIR_NR_REASONS 64

#endif
