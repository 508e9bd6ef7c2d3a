// SPDX-License-Identifier: GPL-2.0-only
/* The table of packets. Numbers in names are those of the catalogue of attacks that the tests answer. */
#include "packets.h"

#include "parse.h"

#define BAD(why, text, ...)                                                   \
	{                                                                     \
		.name = text, .reason = WEIR_##why, .layers = { __VA_ARGS__ } \
	}
#define OPENS(bits, text, ...)                                                                 \
	{                                                                                      \
		.name = text, .class = CLASS_OPENS, .flags = (bits), .layers = { __VA_ARGS__ } \
	}
#define GOOD(kind, bits, text, ...)                                                             \
	{                                                                                       \
		.name = text, .class = CLASS_##kind, .flags = (bits), .layers = { __VA_ARGS__ } \
	}
/* Its addresses are its own. */
#define OWN(kind, bits, text, ...)                                                               \
	{                                                                                        \
		.name = text, .class = CLASS_##kind, .flags = (bits), .fixed = true, .layers = { \
			__VA_ARGS__                                                              \
		}                                                                                \
	}

#define TCP_OPEN     (PKT_PORTS | PKT_OPENS)
#define ERROR_QUOTES (PKT_ICMP_ERROR | PKT_INNER)

#define SYN  TCP(.flags = F_SYN)
#define NS   ICMP6(.type = 135), DATA(16)
#define ZERO "0.0.0.0"

/* BOOTP up to the magic cookie: op, htype, hlen, hops; chaddr at 28. */
#define BOOTP(op, mac)      \
	BYTES(op "\1\6\0"   \
		 "xid."     \
		 "\0\0\0\0" \
		 "\0\0\0\0" \
		 "\0\0\0\0" \
		 "\0\0\0\0" \
		 "\0\0\0\0" mac "\0\0\0\0\0\0\0\0\0\0")

/* clang-format off */
const struct packet_case packet_cases[] = {
	/* ---- plain ---- */
	OPENS(TCP_OPEN, "tcp syn", ETH(), IP4(), SYN),
	OPENS(TCP_OPEN, "tcp syn, ipv6", ETH(), IP6(), SYN),
	OPENS(PKT_PORTS, "udp", ETH(), IP4(), UDP(), DATA(32)),
	OPENS(PKT_PORTS, "udp, ipv6", ETH(), IP6(), UDP(), DATA(32)),
	OPENS(PKT_PORTS, "udp without a byte", ETH(), IP4(), UDP()),
	OPENS(PKT_PORTS | PKT_OPENS, "sctp init", ETH(), IP4(), SCTP(), BYTES("\1\0\0\24"), DATA(16)),
	OPENS(PKT_PORTS | PKT_OPENS, "sctp init, ipv6", ETH(), IP6(), SCTP(), BYTES("\1\0\0\24"), DATA(16)),
	OPENS(PKT_PORTS, "sctp data", ETH(), IP4(), SCTP(), BYTES("\0\3\0\24"), DATA(16)),
	OPENS(PKT_ECHO, "echo request", ETH(), IP4(), ICMP(.type = 8, .id = 7), DATA(8)),
	OPENS(PKT_ECHO, "echo request, ipv6", ETH(), IP6(), ICMP6(.type = 128, .id = 7), DATA(8)),
	OPENS(PKT_ECHO, "echo reply, id 0", ETH(), IP4(), ICMP(.type = 0), DATA(8)),
	OPENS(PKT_ECHO, "echo reply, ipv6", ETH(), IP6(), ICMP6(.type = 129, .id = 7), DATA(8)),

	/* ---- A: layer 2 ---- */
	OPENS(TCP_OPEN, "A-1 priority tag", ETH(), VLAN(), IP4(), SYN),
	OPENS(TCP_OPEN, "A-1 priority tag with priority 7", ETH(), VLAN(.vlan = 0xe000), IP4(), SYN),
	OPENS(TCP_OPEN, "A-1 priority tag of the provider's kind, ipv6", ETH(), VLAN(.ethertype = 0x88a8), IP6(), SYN),
	OPENS(TCP_OPEN, "A-2 two priority tags", ETH(), VLAN(.repeat = 2), IP4(), SYN),
	OPENS(TCP_OPEN, "A-2 four priority tags, ipv6", ETH(), VLAN(.repeat = 4), IP6(), SYN),
	OPENS(TCP_OPEN, "A-2 eight priority tags", ETH(), VLAN(.repeat = 8), IP4(), SYN),
	OPENS(PKT_PORTS, "A-2 eight priority tags, ipv6, udp", ETH(), VLAN(.repeat = 8), IP6(), UDP()),
	BAD(VLAN, "A-2 nine priority tags", ETH(), VLAN(.repeat = 9), IP4(), SYN),
	BAD(VLAN, "A-2 32 priority tags", ETH(), VLAN(.repeat = 32), IP6(), SYN),
	BAD(VLAN, "A-3 vlan 5", ETH(), VLAN(.vlan = 5), IP4(), SYN),
	BAD(VLAN, "A-3 vlan 4095, ipv6", ETH(), VLAN(.vlan = 4095), IP6(), SYN),
	BAD(VLAN, "A-3 priority tag, then vlan 5", ETH(), VLAN(), VLAN(.vlan = 5), IP4(), SYN),
	BAD(VLAN, "A-3 vlan 7 in provider vlan 5", ETH(), VLAN(.ethertype = 0x88a8, .vlan = 5), VLAN(.vlan = 7), IP4(), SYN),
	BAD(ETHERTYPE, "A-5 ipv4 by LLC and SNAP", ETH(.ethertype = 60), BYTES("\xaa\xaa\x03\0\0\0\x08\0"), DATA(52)),
	GOOD(CONTROL, PKT_CONTROL | PKT_L2_MULTI, "A-5 spanning tree", ETH(.ethertype = 38, .bytes = "\x01\x80\xc2\0\0\0", .nr_bytes = 6), DATA(46)),
	BAD(ETHERTYPE, "A-5 LLC to a neighbour", ETH(.ethertype = 38), DATA(46)),
	BAD(ETHERTYPE, "A-6 MPLS", ETH(.ethertype = 0x8847), DATA(40)),
	BAD(ETHERTYPE, "A-6 MPLS multicast", ETH(.ethertype = 0x8848), DATA(40)),
	BAD(ETHERTYPE, "A-6 PPPoE discovery", ETH(.ethertype = 0x8863), DATA(40)),
	BAD(ETHERTYPE, "A-6 PPPoE session", ETH(.ethertype = 0x8864), DATA(40)),
	BAD(ETHERTYPE, "A-6 MPLS behind a priority tag", ETH(), VLAN(), DATA(40, .ethertype = 0x8847)),
	BAD(ETHERTYPE, "A-6 EAPOL to a neighbour", ETH(.ethertype = 0x888e), DATA(46)),
	GOOD(CONTROL, PKT_CONTROL | PKT_L2_MULTI, "A-6 EAPOL", ETH(.ethertype = 0x888e, .bytes = "\x01\x80\xc2\0\0\3", .nr_bytes = 6), DATA(46)),
	GOOD(CONTROL, PKT_CONTROL | PKT_L2_MULTI, "A-6 LACP", ETH(.ethertype = 0x8809, .bytes = "\x01\x80\xc2\0\0\2", .nr_bytes = 6), DATA(46)),
	GOOD(CONTROL, PKT_CONTROL | PKT_L2_MULTI, "A-6 LLDP", ETH(.ethertype = 0x88cc, .bytes = "\x01\x80\xc2\0\0\xe", .nr_bytes = 6), DATA(46)),
	BAD(ETHERTYPE, "A-6 LLDP to a neighbour", ETH(.ethertype = 0x88cc), DATA(46)),
	BAD(ETHERTYPE, "A-6 LLDP to another group", ETH(.ethertype = 0x88cc, .bytes = "\x01\x80\xc2\0\0\x21", .nr_bytes = 6), DATA(46)),
	OPENS(TCP_OPEN | PKT_L2_MULTI, "A-6 ipv4 to a link control address is ipv4", ETH(.bytes = "\x01\x80\xc2\0\0\xe", .nr_bytes = 6), IP4(), SYN),
	BAD(TRUNCATED, "A-7 13 bytes", ETH(), IP4(), SYN, CUT(13)),
	BAD(TRUNCATED, "A-7 nothing behind the ethernet header", ETH(), IP4(), SYN, CUT(14)),
	BAD(TRUNCATED, "A-7 cut in a tag", ETH(), VLAN(), IP4(), SYN, CUT(17)),
	BAD(TRUNCATED, "A-7 cut in the ipv4 header", ETH(), IP4(), SYN, CUT(33)),
	BAD(TRUNCATED, "A-7 cut in the ipv6 header", ETH(), IP6(), SYN, CUT(53)),
	BAD(BAD_LENGTH, "A-7 cut in the tcp header", ETH(), IP4(), SYN, CUT(50)),
	BAD(BAD_LENGTH, "A-7 cut in the tcp header, ipv6", ETH(), IP6(), SYN, CUT(70)),
	BAD(MARTIAN_SOURCE, "A-9 sender's mac is a group", ETH(.bytes = "\2\0\0\0\0\1\1\0\0\0\0\2", .nr_bytes = 12), IP4(), SYN),
	BAD(MARTIAN_SOURCE, "A-9 sender's mac is zero", ETH(.bytes = "\2\0\0\0\0\1\0\0\0\0\0\0", .nr_bytes = 12), IP6(), SYN),

	/* ---- B: ipv4 header ---- */
	OPENS(TCP_OPEN, "B-1 options: one word of NOPs", ETH(), IP4(.fill = 4), SYN),
	OPENS(PKT_PORTS, "B-1 options: 40 NOPs", ETH(), IP4(.fill = 40), UDP(), DATA(4)),
	OPENS(PKT_PORTS, "B-1 options: end of list, then anything", ETH(), IP4(.fill = 8, .bytes = "\0\x83\xff\xff", .nr_bytes = 4), UDP(), DATA(4)),
	OPENS(TCP_OPEN, "B-1 router alert", ETH(), IP4(.fill = 4, .bytes = "\x94\x04\0\0", .nr_bytes = 4), SYN),
	OPENS(TCP_OPEN, "B-1 record route", ETH(), IP4(.fill = 8, .bytes = "\x07\x07\x04\0\0\0\0\0", .nr_bytes = 8), SYN),
	BAD(BAD_HEADER, "B-2 header length 4", ETH(), IP4(), SET8(0, 0x44), SYN),
	BAD(BAD_HEADER, "B-2 header length 0", ETH(), IP4(), SET8(0, 0x40), SYN),
	BAD(BAD_LENGTH, "B-2 header longer than the packet", ETH(), IP4(), SET8(0, 0x4f), SYN),
	BAD(BAD_HEADER, "B-2 version 6 in an ipv4 frame", ETH(), IP4(), SET8(0, 0x65), SYN),
	BAD(BAD_HEADER, "B-2 ipv6 in an ipv4 frame", ETH(.ethertype = 0x0800), DATA(0), IP6(), SYN),
	BAD(IP_OPTIONS, "B-3 loose source route", ETH(), IP4(.fill = 8, .bytes = "\x83\x07\x04\xc0\0\2\1\0", .nr_bytes = 8), SYN),
	BAD(IP_OPTIONS, "B-3 strict source route behind NOPs", ETH(), IP4(.fill = 12, .bytes = "\1\1\1\x89\x07\x04\xc0\0\2\1\0\0", .nr_bytes = 12), SYN),
	BAD(IP_OPTIONS, "B-4 option of length 0", ETH(), IP4(.fill = 4, .bytes = "\x44\0\0\0", .nr_bytes = 4), SYN),
	BAD(IP_OPTIONS, "B-4 option of length 1", ETH(), IP4(.fill = 4, .bytes = "\x44\1\0\0", .nr_bytes = 4), SYN),
	BAD(IP_OPTIONS, "B-4 option that leaves the header", ETH(), IP4(.fill = 4, .bytes = "\x44\5\0\0", .nr_bytes = 4), SYN),
	BAD(IP_OPTIONS, "B-4 option without its length", ETH(), IP4(.fill = 4, .bytes = "\1\1\1\x44", .nr_bytes = 4), SYN),
	BAD(BAD_LENGTH, "B-5 total length beyond the frame", ETH(), IP4(), SET16(2, 41), SYN),
	OPENS(TCP_OPEN, "B-6 trailer", ETH(), IP4(), SYN, PAD(6)),
	BAD(BAD_LENGTH, "B-6 header in the trailer", ETH(), IP4(), SET16(2, 28), SYN),
	BAD(BAD_LENGTH, "B-7 total length below the header's", ETH(), IP4(), SET16(2, 19), SYN),
	BAD(BAD_LENGTH, "B-7 total length 0", ETH(), IP4(), SET16(2, 0), SYN),
	OPENS(TCP_OPEN, "B-8 wrong header checksum", ETH(), IP4(), SET16(10, 0xdead), SYN),
	OPENS(TCP_OPEN, "B-9 reserved flag", ETH(), IP4(.fragment = 0x8000), SYN),
	OPENS(TCP_OPEN | PKT_FRAGMENT, "B-9 DF and MF", ETH(), IP4(.fragment = 0x6000), SYN, DATA(4)),
	OPENS(0, "B-10 protocol 0", ETH(), IP4(), DATA(20, .proto = 0), SET8(-11, 0)),
	OPENS(0, "B-10 protocol 255", ETH(), IP4(), DATA(20, .proto = 255)),
	OPENS(0, "B-10 DCCP", ETH(), IP4(), DATA(20, .proto = 33)),
	OPENS(0, "B-10 UDP-Lite", ETH(), IP4(), DATA(20, .proto = 136)),
	OPENS(0, "B-10 ESP", ETH(), IP4(), DATA(20, .proto = 50)),
	OPENS(0, "B-10 OSPF", ETH(), IP4(), DATA(20, .proto = 89)),
	OPENS(0, "B-10 VRRP", ETH(), IP4(), DATA(20, .proto = 112)),
	OPENS(0, "B-10 a protocol with nothing in it", ETH(), IP4(), DATA(0, .proto = 47)),
	GOOD(LISTENER, PKT_LISTENER | PKT_L2_MULTI, "B-10 IGMP report", ETH(.bytes = "\x01\x00\x5e\0\0\x16", .nr_bytes = 6), IP4(.ttl = 1, .fill = 4, .bytes = "\x94\4\0\0", .nr_bytes = 4, .dst = "224.0.0.22"), DATA(16, .proto = 2)),

	/* ---- C: ipv6 header chain ---- */
	OPENS(TCP_OPEN, "C-1 hop-by-hop first", ETH(), IP6(), EXT(.proto = 0), SYN),
	BAD(EXT_HEADERS, "C-2 hop-by-hop twice", ETH(), IP6(), EXT(.proto = 0, .repeat = 2), SYN),
	BAD(EXT_HEADERS, "C-2 hop-by-hop second", ETH(), IP6(), EXT(.proto = 60), EXT(.proto = 0), SYN),
	OPENS(TCP_OPEN, "C-3 one destination-options header", ETH(), IP6(), EXT(.proto = 60), SYN),
	OPENS(TCP_OPEN, "C-3 hop-by-hop and 15 destination-options headers", ETH(), IP6(), EXT(.proto = 0), EXT(.proto = 60, .repeat = 15), SYN),
	OPENS(PKT_PORTS, "C-3 16 destination-options headers", ETH(), IP6(), EXT(.proto = 60, .repeat = 16), UDP()),
	BAD(EXT_HEADERS, "C-3 17 destination-options headers", ETH(), IP6(), EXT(.proto = 60, .repeat = 17), SYN),
	BAD(EXT_HEADERS, "C-3 50 destination-options headers", ETH(), IP6(), EXT(.proto = 60, .repeat = 50), SYN),
	OPENS(TCP_OPEN, "C-4 2,048 bytes of options", ETH(), IP6(), EXT(.proto = 60, .fill = 2040), SYN),
	BAD(BAD_LENGTH, "C-4 options that leave the packet", ETH(), IP6(), EXT(.proto = 60), SET8(1, 255), SYN),
	BAD(BAD_LENGTH, "C-4 options that end in the trailer", ETH(), IP6(), EXT(.proto = 60), SET8(1, 4), SYN, PAD(64)),
	BAD(EXT_HEADERS, "C-5 routing header 0 with nothing left", ETH(), IP6(), EXT(.proto = 43, .fill = 16), SYN),
	BAD(EXT_HEADERS, "C-6 routing header 0", ETH(), IP6(), EXT(.proto = 43, .fill = 16), SET8(3, 1), SYN),
	BAD(EXT_HEADERS, "C-6 segment routing", ETH(), IP6(), EXT(.proto = 43, .fill = 16, .type = 4), SET8(3, 1), SYN),
	BAD(EXT_HEADERS, "C-6 experimental routing with nothing left", ETH(), IP6(), EXT(.proto = 43, .type = 253), SYN),
	OPENS(0, "C-7 no next header", ETH(), IP6(), DATA(8, .proto = 59)),
	OPENS(0, "C-8 mobility", ETH(), IP6(), DATA(16, .proto = 135)),
	OPENS(0, "C-8 HIP", ETH(), IP6(), DATA(16, .proto = 139)),
	OPENS(0, "C-8 Shim6", ETH(), IP6(), DATA(16, .proto = 140)),
	OPENS(0, "C-8 experimental 254 before tcp is not tcp", ETH(), IP6(), EXT(.proto = 254), SYN),
	BAD(BAD_LENGTH, "C-9 payload length 0", ETH(), IP6(), SET16(4, 0), SYN),
	BAD(BAD_LENGTH, "C-9 payload length beyond the frame", ETH(), IP6(), SET16(4, 21), SYN),
	BAD(BAD_LENGTH, "C-9 payload length below the tcp header's", ETH(), IP6(), SET16(4, 12), SYN),
	OPENS(TCP_OPEN, "C-10 trailer", ETH(), IP6(), SYN, PAD(40)),
	OPENS(TCP_OPEN, "C-11 AH of 16 bytes", ETH(), IP6(), EXT(.proto = 51, .fill = 8), SYN),
	OPENS(PKT_PORTS, "C-11 AH of 24 bytes", ETH(), IP6(), EXT(.proto = 51, .fill = 16), UDP(), DATA(64)),
	OPENS(TCP_OPEN, "C-12 fragment header's reserved byte is set", ETH(), IP6(), FRAGMENT(), SET8(1, 0xff), SYN),
	OPENS(TCP_OPEN, "C-12 fragment header's reserved bits are set", ETH(), IP6(), FRAGMENT(.fragment = 6), SYN),
	BAD(BAD_HEADER, "C-13 version 4 in an ipv6 frame", ETH(), IP6(), SET8(0, 0x45), SYN),
	OPENS(0, "C-14 ESP", ETH(), IP6(), DATA(24, .proto = 50)),
	BAD(BAD_HEADER, "ICMP in ipv6", ETH(), IP6(), ICMP(.type = 8)),
	BAD(BAD_HEADER, "ICMPv6 in ipv4", ETH(), IP4(), ICMP6(.type = 128)),

	/* ---- D: fragments ---- */
	OPENS(TCP_OPEN, "D-1 atomic fragment", ETH(), IP6(), FRAGMENT(), SYN),
	OPENS(PKT_PORTS | PKT_FRAGMENT, "D-2 first fragment", ETH(), IP4(.fragment = 0x2000), UDP(), SET16(4, 2000), DATA(1000)),
	OPENS(PKT_PORTS | PKT_FRAGMENT, "D-2 first fragment, ipv6", ETH(), IP6(), FRAGMENT(.fragment = 1), UDP(), SET16(4, 2000), DATA(1000)),
	GOOD(LATER, PKT_FRAGMENT | PKT_LATER, "D-2 middle fragment", ETH(), IP4(.fragment = 0x2000 | 125), DATA(1000, .proto = 17)),
	GOOD(LATER, PKT_FRAGMENT | PKT_LATER, "D-2 last fragment of tcp", ETH(), IP4(.fragment = 2), DATA(64, .proto = 6)),
	GOOD(LATER, PKT_FRAGMENT | PKT_LATER, "D-2 last fragment, ipv6", ETH(), IP6(), FRAGMENT(.fragment = 1000), DATA(64, .proto = 17)),
	GOOD(LATER, PKT_FRAGMENT | PKT_LATER, "D-2 later fragment that looks like a tcp header", ETH(), IP4(.fragment = 64), SYN),
	BAD(BAD_FRAGMENT, "D-3 first fragment with 8 bytes of tcp", ETH(), IP4(.fragment = 0x2000), DATA(8, .proto = 6)),
	BAD(BAD_FRAGMENT, "D-3 first fragment with 16 bytes of tcp", ETH(), IP4(.fragment = 0x2000), DATA(16, .proto = 6)),
	BAD(BAD_FRAGMENT, "D-3 first fragment with 8 bytes of tcp, ipv6", ETH(), IP6(), FRAGMENT(.fragment = 1), DATA(8, .proto = 6)),
	BAD(BAD_FRAGMENT, "D-3 first fragment without all of tcp's options", ETH(), IP4(.fragment = 0x2000), SYN, SET8(12, 0x60)),
	BAD(BAD_FRAGMENT, "D-3 tcp at offset 8", ETH(), IP4(.fragment = 1), DATA(16, .proto = 6)),
	BAD(BAD_FRAGMENT, "D-3 tcp at offset 8, ipv6", ETH(), IP6(), FRAGMENT(.fragment = 8), DATA(16, .proto = 6)),
	BAD(BAD_FRAGMENT, "D-3 first fragment with half of udp", ETH(), IP4(.fragment = 0x2000), DATA(4, .proto = 17)),
	BAD(BAD_FRAGMENT, "D-3 first fragment with 8 bytes of sctp", ETH(), IP6(), FRAGMENT(.fragment = 1), DATA(8, .proto = 132)),
	OPENS(PKT_PORTS | PKT_FRAGMENT, "D-3 first fragment with udp's header only", ETH(), IP4(.fragment = 0x2000), UDP(), SET16(4, 100)),
	OPENS(PKT_ECHO | PKT_FRAGMENT, "D-4 first fragment of a small echo", ETH(), IP4(.fragment = 0x2000), ICMP(.type = 8, .id = 7)),
	GOOD(LATER, PKT_FRAGMENT | PKT_LATER, "D-4 last byte of a small echo", ETH(), IP4(.fragment = 1), DATA(1, .proto = 1)),
	BAD(BAD_FRAGMENT, "D-7 two fragment headers", ETH(), IP6(), FRAGMENT(.fragment = 1), FRAGMENT(.fragment = 1), SYN),
	BAD(BAD_FRAGMENT, "D-7 two fragment headers, the first atomic", ETH(), IP6(), FRAGMENT(), FRAGMENT(.fragment = 1), SYN),
	BAD(BAD_FRAGMENT, "D-7 two atomic fragment headers", ETH(), IP6(), FRAGMENT(.repeat = 2), SYN),
	BAD(BAD_FRAGMENT, "D-7 a later fragment in an atomic one", ETH(), IP6(), FRAGMENT(), FRAGMENT(.fragment = 800), DATA(16, .proto = 17)),
	GOOD(LATER, PKT_FRAGMENT | PKT_LATER, "D-8 later fragment with another next header", ETH(), IP6(), FRAGMENT(.fragment = 800), DATA(16, .proto = 60)),
	BAD(BAD_FRAGMENT, "D-9 first fragment ends in the chain", ETH(), IP6(), FRAGMENT(.fragment = 1), EXT(.proto = 60), SET8(1, 3), DATA(8, .proto = 6)),
	BAD(BAD_FRAGMENT, "D-9 first fragment ends before tcp", ETH(), IP6(), FRAGMENT(.fragment = 1), EXT(.proto = 60), DATA(0, .proto = 6)),
	BAD(BAD_FRAGMENT, "D-9 first fragment ends before the next extension header", ETH(), IP6(), FRAGMENT(.fragment = 1), EXT(.proto = 60), DATA(0, .proto = 60)),
	BAD(BAD_FRAGMENT, "D-10 past the largest datagram", ETH(), IP4(.fragment = 8191), DATA(100, .proto = 17)),
	BAD(BAD_FRAGMENT, "D-10 past the largest datagram, ipv6", ETH(), IP6(), FRAGMENT(.fragment = 0xfff8), DATA(100, .proto = 17)),
	OPENS(PKT_FRAGMENT, "first fragment of a protocol without ports", ETH(), IP4(.fragment = 0x2000), DATA(8, .proto = 50)),

	/* ---- E: tcp ---- */
	BAD(TCP_FLAGS, "E-1 no flags", ETH(), IP4(), TCP()),
	BAD(TCP_FLAGS, "E-1 FIN PSH URG", ETH(), IP6(), TCP(.flags = F_FIN | F_PSH | F_URG)),
	BAD(TCP_FLAGS, "E-1 FIN only", ETH(), IP4(), TCP(.flags = F_FIN)),
	BAD(TCP_FLAGS, "E-1 PSH only", ETH(), IP4(), TCP(.flags = F_PSH)),
	BAD(TCP_FLAGS, "E-1 URG only", ETH(), IP4(), TCP(.flags = F_URG)),
	BAD(TCP_FLAGS, "E-1 ECE and CWR only", ETH(), IP4(), TCP(.flags = F_ECE | F_CWR)),
	BAD(TCP_FLAGS, "E-1 all flags", ETH(), IP6(), TCP(.flags = 0xff)),
	BAD(TCP_FLAGS, "E-2 SYN FIN", ETH(), IP4(), TCP(.flags = F_SYN | F_FIN)),
	BAD(TCP_FLAGS, "E-2 SYN RST", ETH(), IP6(), TCP(.flags = F_SYN | F_RST)),
	BAD(TCP_FLAGS, "E-2 SYN FIN ACK", ETH(), IP4(), TCP(.flags = F_SYN | F_FIN | F_ACK)),
	BAD(TCP_FLAGS, "E-2 SYN RST ACK", ETH(), IP4(), TCP(.flags = F_SYN | F_RST | F_ACK)),
	BAD(TCP_FLAGS, "E-2 FIN RST ACK", ETH(), IP4(), TCP(.flags = F_FIN | F_RST | F_ACK)),
	OPENS(TCP_OPEN, "E-3 SYN PSH", ETH(), IP4(), TCP(.flags = F_SYN | F_PSH)),
	OPENS(TCP_OPEN, "E-3 SYN URG", ETH(), IP4(), TCP(.flags = F_SYN | F_URG)),
	OPENS(TCP_OPEN, "E-3 SYN ECE CWR", ETH(), IP6(), TCP(.flags = F_SYN | F_ECE | F_CWR)),
	OPENS(TCP_OPEN, "E-3 SYN with reserved bits", ETH(), IP4(), SYN, SET8(12, 0x5f)),
	OPENS(TCP_OPEN, "E-3 SYN with data", ETH(), IP4(), SYN, DATA(100)),
	OPENS(TCP_OPEN, "E-3 SYN from port 0", ETH(), IP4(), SYN, SET16(0, 0)),
	OPENS(TCP_OPEN, "SYN with 40 bytes of options", ETH(), IP6(), TCP(.flags = F_SYN, .fill = 40)),
	GOOD(CONTINUES, PKT_PORTS, "E-4 SYN ACK", ETH(), IP4(), TCP(.flags = F_SYN | F_ACK)),
	GOOD(CONTINUES, PKT_PORTS, "E-4 ACK", ETH(), IP4(), TCP(.flags = F_ACK)),
	GOOD(CONTINUES, PKT_PORTS, "E-4 ACK with data, ipv6", ETH(), IP6(), TCP(.flags = F_ACK | F_PSH), DATA(10)),
	GOOD(CONTINUES, PKT_PORTS | PKT_CLOSES, "E-4 RST", ETH(), IP4(), TCP(.flags = F_RST)),
	GOOD(CONTINUES, PKT_PORTS | PKT_CLOSES, "E-4 FIN ACK", ETH(), IP6(), TCP(.flags = F_FIN | F_ACK)),
	BAD(BAD_HEADER, "E-5 data offset 4", ETH(), IP4(), SYN, SET8(12, 0x40)),
	BAD(BAD_HEADER, "E-5 data offset 0, ipv6", ETH(), IP6(), SYN, SET8(12, 0)),
	BAD(BAD_HEADER, "E-5 data offset beyond the segment", ETH(), IP4(), SYN, SET8(12, 0x60)),
	BAD(BAD_HEADER, "E-5 data offset in the trailer", ETH(), IP4(), SYN, SET8(12, 0x60), PAD(8)),
	OPENS(TCP_OPEN, "E-6 wrong tcp checksum", ETH(), IP4(), SYN, SET16(16, 0xdead)),
	BAD(LAND, "E-10 source is destination", ETH(), IP4(.src = "192.0.2.1", .dst = "192.0.2.1"), SYN),
	BAD(LAND, "E-10 source is destination, ipv6", ETH(), IP6(.src = "2001:db8::1", .dst = "2001:db8::1"), SYN),

	/* ---- F: udp ---- */
	BAD(BAD_LENGTH, "F-1 udp length 7", ETH(), IP4(), UDP(), SET16(4, 7), DATA(8)),
	BAD(BAD_LENGTH, "F-1 udp length 0", ETH(), IP4(), UDP(), SET16(4, 0), DATA(8)),
	BAD(BAD_LENGTH, "F-1 udp length beyond the datagram", ETH(), IP6(), UDP(), SET16(4, 17), DATA(8)),
	BAD(BAD_LENGTH, "F-1 udp length in the trailer", ETH(), IP4(), UDP(), SET16(4, 17), DATA(8), PAD(8)),
	BAD(BAD_LENGTH, "F-1 half a udp header", ETH(), IP4(), DATA(7, .proto = 17)),
	OPENS(PKT_PORTS, "F-2 udp shorter than its datagram", ETH(), IP4(), UDP(), SET16(4, 9), DATA(8)),
	OPENS(PKT_PORTS, "F-3 udp checksum 0", ETH(), IP4(), UDP(), SET16(6, 0), DATA(8)),
	OPENS(PKT_PORTS, "F-3 udp checksum 0, ipv6", ETH(), IP6(), UDP(), SET16(6, 0), DATA(8)),
	BAD(PORT_ZERO, "F-4 udp to port 0", ETH(), IP4(), UDP(), SET16(2, 0), DATA(8)),
	BAD(PORT_ZERO, "F-4 tcp to port 0", ETH(), IP6(), SYN, SET16(2, 0)),
	BAD(PORT_ZERO, "F-4 sctp to port 0", ETH(), IP4(), SCTP(), SET16(2, 0), BYTES("\1\0\0\24"), DATA(16)),
	OPENS(PKT_PORTS, "F-4 udp from port 0", ETH(), IP4(), UDP(), SET16(0, 0), DATA(8)),
	BAD(BAD_LENGTH, "sctp without a chunk", ETH(), IP4(), SCTP()),

	/* ---- G: ICMP, neighbours, ARP, DHCP ---- */
	GOOD(ERROR_TCP, ERROR_QUOTES, "G-1 port unreachable about tcp", ETH(), IP4(), ICMP(.type = 3, .code = 3), IP4(), TCP(.sport = 443, .dport = 40000, .flags = F_ACK)),
	GOOD(ERROR_UDP, ERROR_QUOTES, "G-1 port unreachable about udp", ETH(), IP4(), ICMP(.type = 3, .code = 3), IP4(), UDP(.sport = 443, .dport = 40000)),
	GOOD(ERROR_UDP, ERROR_QUOTES, "G-1 time exceeded about udp, ipv6", ETH(), IP6(), ICMP6(.type = 3), IP6(), UDP(.sport = 443, .dport = 40000), DATA(20)),
	GOOD(ERROR_UDP, ERROR_QUOTES, "G-1 parameter problem about an echo", ETH(), IP4(), ICMP(.type = 12), IP4(), ICMP(.type = 8, .id = 7)),
	GOOD(ERROR_BAD, ERROR_QUOTES, "G-1 error about somebody else's packet", ETH(), IP4(), ICMP(.type = 3, .code = 1), IP4(.src = "203.0.113.77"), UDP(.sport = 443, .dport = 40000)),
	GOOD(ERROR_BAD, ERROR_QUOTES, "G-1 error about somebody else's packet, ipv6", ETH(), IP6(), ICMP6(.type = 1), IP6(.src = "2001:db8:77::1"), UDP(.sport = 443, .dport = 40000)),
	GOOD(ERROR_BAD, PKT_ICMP_ERROR, "G-2 error that quotes seven bytes of transport", ETH(), IP4(), ICMP(.type = 3, .code = 3), IP4(), DATA(7, .proto = 17)),
	GOOD(ERROR_BAD, PKT_ICMP_ERROR, "G-2 error that quotes nothing", ETH(), IP4(), ICMP(.type = 3, .code = 3)),
	GOOD(ERROR_BAD, PKT_ICMP_ERROR, "G-2 error that quotes nothing, ipv6", ETH(), IP6(), ICMP6(.type = 1)),
	GOOD(ERROR_BAD, PKT_ICMP_ERROR, "G-2 error that quotes ports in the trailer", ETH(), IP4(), SET16(2, 52), ICMP(.type = 3, .code = 3), IP4(), UDP(.sport = 443, .dport = 40000)),
	GOOD(ERROR_UDP, ERROR_QUOTES, "G-2 error about a packet with options", ETH(), IP4(), ICMP(.type = 3, .code = 3), IP4(.fill = 12), UDP(.sport = 443, .dport = 40000)),
	GOOD(ERROR_BAD, PKT_ICMP_ERROR, "G-2 error about an error", ETH(), IP4(), ICMP(.type = 3, .code = 3), IP4(), ICMP(.type = 3, .code = 3), DATA(28)),
	GOOD(ERROR_BAD, PKT_ICMP_ERROR, "G-2 error about an error, ipv6", ETH(), IP6(), ICMP6(.type = 1), IP6(), ICMP6(.type = 1), DATA(48)),
	GOOD(ERROR_BAD, PKT_ICMP_ERROR, "G-2 error about a later fragment", ETH(), IP4(), ICMP(.type = 11, .code = 1), IP4(.fragment = 125), DATA(8, .proto = 17)),
	GOOD(ERROR_BAD, PKT_ICMP_ERROR, "G-2 error about a later fragment, ipv6", ETH(), IP6(), ICMP6(.type = 1), IP6(), FRAGMENT(.fragment = 800), DATA(8, .proto = 17)),
	GOOD(ERROR_UDP, ERROR_QUOTES, "G-2 error about a first fragment, ipv6", ETH(), IP6(), ICMP6(.type = 1), IP6(), FRAGMENT(.fragment = 1), UDP(.sport = 443, .dport = 40000)),
	GOOD(ERROR_BAD, PKT_ICMP_ERROR, "G-2 error about a packet with destination options", ETH(), IP6(), ICMP6(.type = 1), IP6(), EXT(.proto = 60), UDP(.sport = 443, .dport = 40000)),
	GOOD(ERROR_BAD, PKT_ICMP_ERROR, "G-2 error that quotes ipv6 in ipv4", ETH(), IP4(), ICMP(.type = 3, .code = 3), IP4(), SET8(0, 0x65), UDP()),
	GOOD(ERROR_UDP, ERROR_QUOTES, "G-3 packet too big", ETH(), IP6(), ICMP6(.type = 2, .id = 0), IP6(), UDP(.sport = 443, .dport = 40000), DATA(100)),
	GOOD(ERROR_UDP, ERROR_QUOTES, "G-3 fragmentation needed", ETH(), IP4(), ICMP(.type = 3, .code = 4), IP4(), UDP(.sport = 443, .dport = 40000), DATA(100)),
	GOOD(NEIGHBOUR, PKT_ND, "G-5 neighbour solicitation", ETH(), IP6(.ttl = 255), NS),
	GOOD(NEIGHBOUR, PKT_ND, "G-5 router solicitation", ETH(), IP6(.ttl = 255), ICMP6(.type = 133)),
	OWN(NEIGHBOUR, PKT_ND, "G-5 router advertisement", ETH(), IP6(.ttl = 255, .src = "fe80::1"), ICMP6(.type = 134), DATA(8)),
	OWN(NEIGHBOUR, PKT_ND, "G-5 duplicate address detection", ETH(), IP6(.ttl = 255, .src = "::", .dst = "ff02::1:ff00:7"), NS),
	BAD(BAD_ND, "G-5 neighbour solicitation that was routed", ETH(), IP6(.ttl = 254), NS),
	BAD(BAD_ND, "G-5 neighbour advertisement that was routed", ETH(), IP6(), ICMP6(.type = 136), DATA(16)),
	BAD(BAD_ND, "G-5 router advertisement that was routed", ETH(), IP6(.ttl = 1), ICMP6(.type = 134), DATA(8)),
	BAD(BAD_ND, "G-5 neighbour solicitation with a code", ETH(), IP6(.ttl = 255), ICMP6(.type = 135, .code = 1), DATA(16)),
	BAD(BAD_ND, "G-5 neighbour solicitation without a target", ETH(), IP6(.ttl = 255), ICMP6(.type = 135), DATA(15)),
	BAD(BAD_ND, "G-5 redirect", ETH(), IP6(.ttl = 255, .src = "fe80::1"), ICMP6(.type = 137), DATA(32)),
	OWN(LISTENER, PKT_LISTENER, "G-5 multicast listener report", ETH(), IP6(.ttl = 1, .src = "fe80::7", .dst = "ff02::16"), EXT(.proto = 0), ICMP6(.type = 143), DATA(20)),
	OWN(LISTENER, PKT_LISTENER, "G-5 multicast listener query", ETH(), IP6(.ttl = 1, .src = "fe80::1", .dst = "ff02::1"), EXT(.proto = 0), ICMP6(.type = 130), DATA(20)),
	OWN(LISTENER, PKT_LISTENER, "G-5 multicast listener report before there is an address", ETH(), IP6(.ttl = 1, .src = "::", .dst = "ff02::16"), EXT(.proto = 0), ICMP6(.type = 143), DATA(20)),
	BAD(BAD_ND, "G-5 multicast listener query that was routed", ETH(), IP6(.ttl = 2, .src = "fe80::1", .dst = "ff02::1"), ICMP6(.type = 130), DATA(20)),
	BAD(BAD_ND, "G-6 neighbour solicitation with destination options", ETH(), IP6(.ttl = 255), EXT(.proto = 60), NS),
	BAD(BAD_ND, "G-6 neighbour solicitation with hop-by-hop options", ETH(), IP6(.ttl = 255), EXT(.proto = 0), NS),
	BAD(BAD_ND, "G-6 neighbour solicitation in an atomic fragment", ETH(), IP6(.ttl = 255), FRAGMENT(), NS),
	BAD(BAD_ND, "G-6 fragmented neighbour solicitation", ETH(), IP6(.ttl = 255), FRAGMENT(.fragment = 1), NS),
	GOOD(NEIGHBOUR, PKT_ARP, "G-8 ARP request", ETH(), ARP()),
	GOOD(NEIGHBOUR, PKT_ARP, "G-8 ARP reply", ETH(), ARP(.type = 2)),
	GOOD(NEIGHBOUR, PKT_ARP, "G-8 ARP padded to 60 bytes", ETH(), ARP(), PAD(18)),
	OWN(NEIGHBOUR, PKT_ARP, "G-8 ARP probe", ETH(), ARP(.src = ZERO)),
	BAD(BAD_ARP, "G-8 ARP with long hardware addresses", ETH(), ARP(), SET8(4, 8)),
	BAD(BAD_ARP, "G-8 ARP with long protocol addresses", ETH(), ARP(), SET8(5, 16)),
	BAD(BAD_ARP, "G-8 ARP of another hardware", ETH(), ARP(), SET16(0, 6)),
	BAD(BAD_ARP, "G-8 ARP for another protocol", ETH(), ARP(), SET16(2, 0x86dd)),
	BAD(BAD_ARP, "G-8 reverse ARP", ETH(), ARP(.type = 3)),
	BAD(TRUNCATED, "G-8 ARP cut", ETH(), ARP(), CUT(14 + 27)),
	OWN(DHCP_ASK, PKT_PORTS | PKT_DHCP_ASK | PKT_L2_MULTI, "G-9 DHCP request", ETH(.bytes = "\xff\xff\xff\xff\xff\xff", .nr_bytes = 6), IP4(.src = ZERO, .dst = "255.255.255.255"), UDP(.sport = 68, .dport = 67), BOOTP("\1", OFFER_MAC)),
	OWN(DHCP_OFFER, PKT_PORTS | PKT_DHCP_OFFER | PKT_L2_MULTI, "G-9 DHCP offer", ETH(.bytes = "\xff\xff\xff\xff\xff\xff", .nr_bytes = 6), IP4(.src = "198.51.100.1", .dst = "255.255.255.255"), UDP(.sport = 67, .dport = 68), BOOTP("\2", OFFER_MAC)),
	OWN(DHCP_OFFER, PKT_PORTS | PKT_DHCP_OFFER, "G-9 DHCP offer to the address on offer", ETH(), IP4(.src = "198.51.100.1", .dst = "192.0.2.99"), UDP(.sport = 67, .dport = 68), BOOTP("\2", OFFER_MAC)),
	OPENS(PKT_PORTS, "G-9 not an offer: BOOTP request from port 67", ETH(), IP4(), UDP(.sport = 67, .dport = 68), BOOTP("\1", OFFER_MAC)),
	OPENS(PKT_PORTS, "G-9 not an offer: too short", ETH(), IP4(), UDP(.sport = 67, .dport = 68), BYTES("\2\1\6\0"), DATA(20)),
	BAD(MARTIAN_SOURCE, "G-9 source 0.0.0.0 to another port", ETH(), IP4(.src = ZERO, .dst = "255.255.255.255"), UDP(.sport = 68, .dport = 69), DATA(44)),
	BAD(MARTIAN_SOURCE, "G-9 source 0.0.0.0, tcp", ETH(), IP4(.src = ZERO), SYN),
	OWN(DHCP6, PKT_PORTS | PKT_DHCP6, "G-9 DHCPv6 solicit", ETH(), IP6(.src = "fe80::7", .dst = "ff02::1:2"), UDP(.sport = 546, .dport = 547), DATA(20)),
	OWN(DHCP6, PKT_PORTS | PKT_DHCP6, "G-9 DHCPv6 reply", ETH(), IP6(.src = "fe80::1", .dst = "fe80::7"), UDP(.sport = 547, .dport = 546), DATA(20)),
	OPENS(PKT_PORTS, "G-9 not DHCPv6: from afar", ETH(), IP6(), UDP(.sport = 547, .dport = 546), DATA(20)),
	BAD(ICMP_ERROR, "G-10 source quench", ETH(), IP4(), ICMP(.type = 4), IP4(), UDP(.sport = 443, .dport = 40000)),
	BAD(ICMP_ERROR, "G-10 ICMP redirect", ETH(), IP4(), ICMP(.type = 5, .code = 1), IP4(), UDP(.sport = 443, .dport = 40000)),
	OPENS(0, "G-10 timestamp request is for rules to allow", ETH(), IP4(), ICMP(.type = 13), DATA(12)),
	BAD(BAD_LENGTH, "ICMP of seven bytes", ETH(), IP4(), DATA(7, .proto = 1)),
	BAD(BAD_LENGTH, "ICMPv6 of seven bytes", ETH(), IP6(), DATA(7, .proto = 58)),

	/* ---- H: tunnels ---- */
	OPENS(0, "H-1 ipv4 in ipv4", ETH(), IP4(), IP4(.src = "203.0.113.1", .dst = "192.0.2.1"), SYN),
	OPENS(0, "H-1 ipv6 in ipv4", ETH(), IP4(), IP6(), SYN),
	OPENS(0, "H-1 ipv6 in ipv6", ETH(), IP6(), IP6(), SYN),
	OPENS(0, "H-1 GRE", ETH(), IP4(), DATA(4, .proto = 47)),
	OPENS(PKT_PORTS, "H-3 VXLAN is a datagram", ETH(), IP4(), UDP(.dport = 4789), DATA(50)),

	/* ---- I: addresses ---- */
	BAD(MARTIAN_SOURCE, "I-1 source 0.1.2.3", ETH(), IP4(.src = "0.1.2.3"), SYN),
	BAD(MARTIAN_SOURCE, "I-1 source 127.0.0.1", ETH(), IP4(.src = "127.0.0.1"), SYN),
	BAD(MARTIAN_SOURCE, "I-1 source 224.0.0.1", ETH(), IP4(.src = "224.0.0.1"), UDP()),
	BAD(MARTIAN_SOURCE, "I-1 source 255.255.255.255", ETH(), IP4(.src = "255.255.255.255"), UDP()),
	BAD(MARTIAN_SOURCE, "I-2 source 240.0.0.1", ETH(), IP4(.src = "240.0.0.1"), SYN),
	BAD(MARTIAN_SOURCE, "I-4 source ::1", ETH(), IP6(.src = "::1"), SYN),
	BAD(MARTIAN_SOURCE, "I-4 source ff02::1", ETH(), IP6(.src = "ff02::1"), UDP()),
	BAD(MARTIAN_SOURCE, "I-5 source :: with udp", ETH(), IP6(.src = "::"), UDP()),
	BAD(MARTIAN_SOURCE, "I-5 source :: with tcp", ETH(), IP6(.src = "::"), SYN),
	BAD(MARTIAN_SOURCE, "I-5 mapped source", ETH(), IP6(.src = "::ffff:198.51.100.7"), SYN),
	BAD(MARTIAN_DEST, "I-5 mapped destination", ETH(), IP6(.dst = "::ffff:192.0.2.1"), SYN),
	BAD(MARTIAN_DEST, "I-7 destination 127.0.0.1", ETH(), IP4(.dst = "127.0.0.1"), SYN),
	BAD(MARTIAN_DEST, "I-7 destination 0.0.0.0", ETH(), IP4(.dst = ZERO), SYN),
	BAD(MARTIAN_DEST, "I-7 destination ::1", ETH(), IP6(.dst = "::1"), SYN),
	BAD(MARTIAN_DEST, "I-7 destination ::", ETH(), IP6(.dst = "::"), SYN),
	BAD(MARTIAN_SOURCE, "I-1 source 127.0.0.1 in a later fragment", ETH(), IP4(.src = "127.0.0.1", .fragment = 100), DATA(8, .proto = 17)),
	OWN(OPENS, PKT_PORTS | PKT_L2_MULTI, "I-8 broadcast", ETH(.bytes = "\xff\xff\xff\xff\xff\xff", .nr_bytes = 6), IP4(.dst = "255.255.255.255"), UDP(), DATA(4)),
	OWN(OPENS, PKT_PORTS | PKT_L2_MULTI, "I-8 multicast", ETH(.bytes = "\x01\0\x5e\0\0\xfb", .nr_bytes = 6), IP4(.dst = "224.0.0.251"), UDP(.dport = 5353), DATA(4)),
	OWN(OPENS, PKT_PORTS, "I-8 multicast, ipv6", ETH(), IP6(.dst = "ff02::fb"), UDP(.dport = 5353), DATA(4)),
};
/* clang-format on */

const size_t nr_packet_cases = sizeof(packet_cases) / sizeof(packet_cases[0]);
