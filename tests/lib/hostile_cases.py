# SPDX-License-Identifier: GPL-2.0-only
"""What ordinary and hostile senders put on the wire, and what has to become of it.

A case is sent twice by every address family that it is for: to a port (or from a source) that the policy opens, and to one
that it does not. Kinds say where delivery is seen:

    udp     the payload at a UDP socket
    tcp     connection and data at a listener; the handshake goes on by itself
    echo    an echo reply
    raw     the packet at a raw socket of its protocol
    link    the frame at a packet socket of its Ethernet type, which is behind every filter but before the IP layer
    script  build is a generator: it yields frames, gets what was seen, and says in seen() what came of it

right, of what goes to the open side: "pass" or "drop", or which under which policy. must: nothing may block it, the shut side
included. plain: only a default of deny refuses it; sent to one side. reason: why weir drops it. refused: why what goes to the
shut side is dropped, where that is not its default; (): a part that may pass, since nothing comes of it.
"""

import struct

from frames import *  # noqa: F403: the vocabulary of this file

CASES, SITE = [], []
Q, AD = 0x8100, 0x88A8


class Case:
    def __init__(self, ident, text, kind, build, *, v, right="pass", reason=None, must=False, plain=False, sides=2,
                 seen=None, then=None, refused=None, aside=None):
        self.ident, self.text, self.kind, self.build, self.v = ident, text, kind, build, v
        self.right, self.must, self.plain, self.sides = right, must, plain, sides
        self.reasons = (reason,) if isinstance(reason, str) else reason or ()
        self.refused = refused  # of the shut side, where it differs from a default's
        self.seen, self.then, self.aside = seen, then, aside
        self.name = f"{ident} {'v%d ' % v if v else ''}{text}"


def add(ident, text, kind, build, v=(4, 6), to=CASES, **more):
    for family in v if isinstance(v, tuple) else (v,):
        to.append(Case(ident, text, kind, build, v=family, **more))


def evil(ident, text, kind, build, reason, v=(4, 6), **more):
    add(ident, text, kind, build, v, right="drop", reason=reason, **more)


def l4(s, kind, **more):
    """The ordinary packet of a kind."""
    return {"udp": s.udp, "tcp": s.syn, "echo": s.echo}[kind](**more)


def number(kind):
    return lambda s: {"udp": UDP, "tcp": TCP, "echo": ICMP if s.v == 4 else ICMP6}[kind]


def other(s, proto):
    """What a protocol carries; UDP-Lite with its own sum, which covers its header."""
    return udplite(s.src, s.dst, s.sport, 5000, s.data()) if proto == 136 else s.data()


# ---- ordinary traffic: without it nothing below says anything


def ordinary():
    for kind in ("udp", "tcp", "echo"):
        add("0", f"plain {kind}", kind, lambda s, k=kind: [s.frame(l4(s, k), number(k)(s))])
    add("0", "empty datagram", "udp", lambda s: [s.frame(s.udp(data=b""), UDP)])
    add("0", "plain IGMP, unicast", "raw", lambda s: [s.frame(b"\x16\0\0\0" + packed("239.9.9.9") + s.data(), IGMP)], 4)


# ---- A: layer 2


def tags_of(count, kinds=(Q,), tci=0):
    return [(kinds[i % len(kinds)], tci) for i in range(count)]


def layer2():
    def tagged(ident, text, kind, tags, **more):
        add(ident, f"{text}, {kind}", kind, lambda s: [s.frame(l4(s, kind), number(kind)(s), tags=tags)], **more)

    for kind in ("udp", "tcp", "echo"):
        tagged("A-1", "802.1Q VID 0", kind, [(Q, 0)])
        tagged("A-1", "802.1ad VID 0", kind, [(AD, 0)])
    tagged("A-1", "802.1Q VID 0, priority 7 and DEI", "udp", [(Q, 0xF000)])
    for count in (2, 4, 7, 8):
        tagged("A-2", f"{count} tags of VID 0", "udp", tags_of(count))
    tagged("A-2", "8 tags of VID 0", "tcp", tags_of(8))
    tagged("A-2", "4 tags of VID 0, both kinds in turn", "udp", tags_of(4, (AD, Q)))
    for count in (9, 16, 32):
        tagged("A-2", f"{count} tags of VID 0", "udp", tags_of(count), right="drop", reason="vlan")
    tagged("A-2", "9 tags of VID 0", "tcp", tags_of(9, (AD, Q)), right="drop", reason="vlan")

    def foreign(ident, text, tags):
        evil(ident, text, "link", lambda s: [s.frame(s.udp(), UDP, tags=tags)], "vlan")

    foreign("A-3", "VID 5, which nobody has", [(Q, 5)])
    foreign("A-3", "VID 0, then VID 5", [(Q, 0), (Q, 5)])
    foreign("A-3", "VID 5, then VID 0", [(Q, 5), (Q, 0)])
    foreign("A-3", "QinQ, 802.1ad 5 and 802.1Q 6", [(AD, 5), (Q, 6)])
    foreign("A-3", "802.1ad VID 5", [(AD, 5)])
    foreign("A-3", "VID 4095", [(Q, 4095)])
    foreign("A-3", "7 tags of VID 0, then VID 5", tags_of(7) + [(Q, 5)])

    # Tags that a NIC has taken out of the frame, which XDP does not see and TC does.
    for kind in ("udp", "tcp"):
        tagged("A-4", "VID 0 out of band", kind, [], aside=0xA000)
    tagged("A-4", "VID 0 out of band, 7 tags of VID 0 in the frame", "udp", tags_of(7), aside=0x6000)
    tagged("A-4", "VID 0 out of band, 8 tags of VID 0 in the frame", "udp", tags_of(8), aside=0x6000, right="drop", reason="vlan")

    def foreign_aside(text, aside, tags=()):
        evil("A-4", text, "link", lambda s: [s.frame(s.udp(), UDP, tags=tags)], "vlan", aside=aside)

    foreign_aside("VID 5 out of band", 5)
    foreign_aside("VID 5 out of band, VID 0 in the frame", 5, [(Q, 0)])
    foreign_aside("VID 5 out of band, VID 6 in the frame", 5, [(Q, 6)])
    foreign_aside("VID 0 out of band, VID 5 in the frame", 0x2000, [(Q, 5)])

    def llc(s, head=b"\xaa\xaa\x03\0\0\0\x08\0"):
        body = head + s.ip(s.udp(), UDP)
        return [s.eth(body, len(body))]

    evil("A-5", "IPv4 in LLC/SNAP", "link", llc, "ethertype", 4)
    evil("A-5", "IPv6 in LLC/SNAP", "link", lambda s: llc(s, b"\xaa\xaa\x03\0\0\0\x86\xdd"), "ethertype", 6)
    evil("A-5", "IPv4 in LLC/SNAP behind a tag of VID 0", "link",
         lambda s: [s.eth(b"\xaa\xaa\x03\0\0\0\x08\0" + s.ip(s.udp(), UDP), 50, tags=[(Q, 0)])], "ethertype", 4)
    for kind, what in ((0x8847, "MPLS"), (0x8848, "MPLS multicast"), (0x8863, "PPPoE discovery"), (0x8864, "PPPoE session"),
                       (0x888E, "EAPOL to this host"), (0x8809, "LACP to this host"), (0x88CC, "LLDP to this host"),
                       (0x9000, "loopback protocol"), (0x9100, "old QinQ"), (0x6558, "bridged Ethernet"),
                       (0x8035, "RARP"), (0x0600, "XNS")):
        evil("A-6", f"{what} ({kind:04x}) around an IP packet", "link",
             lambda s, k=kind: [s.eth(b"\0\0\x01\x40" * (k in (0x8847, 0x8848, 0x9100)) + s.ip(s.udp(), UDP), k)],
             "ethertype", 4)
    for kind, what, to in ((0x888E, "EAPOL", 3), (0x8809, "LACP", 2), (0x88CC, "LLDP", 14), (39, "STP", 0)):
        add("A-6", f"{what} to its group", "link",
            lambda s, k=kind, t=to: [s.eth(b"\x42\x42\x03".ljust(39, b"\0"), k, dst=b"\x01\x80\xc2\0\0" + bytes([t]))],
            0, must=True)
    evil("A-6", "IPv4 to the group of LLDP, as LLDP", "link",
         lambda s: [s.eth(s.ip(s.udp(), UDP), 0x88CC, dst=b"\x01\x80\xc2\0\0\x11")], "ethertype", 4)

    def cut(text, length, build, v=(4, 6), reason="truncated"):
        evil("A-7", text, "link", lambda s: [build(s)[:length]], reason, v)

    whole = lambda s: s.frame(s.udp(), UDP)  # noqa: E731
    cut("Ethernet header alone", 14, whole)
    cut("cut in the IP header, 1 byte of it", 15, whole)
    cut("cut in the IPv4 header", 33, whole, 4)
    cut("cut in the IPv6 header", 53, whole, 6)
    cut("cut behind the IPv4 header", 34, whole, 4, "bad_length")
    cut("cut behind the IPv6 header", 54, whole, 6, "bad_length")
    cut("cut in the UDP header", 14 + 20 + 7, whole, 4, "bad_length")
    cut("cut in the UDP header", 14 + 40 + 7, whole, 6, "bad_length")
    cut("cut in the IPv4 options", 14 + 30, lambda s: s.frame(s.udp(), UDP, options=b"\1" * 40), 4, ("bad_length", "truncated"))
    cut("cut in a tag", 16, lambda s: s.frame(s.udp(), UDP, tags=[(Q, 0)]))
    cut("cut in the second tag", 20, lambda s: s.frame(s.udp(), UDP, tags=[(Q, 0)] * 2))
    cut("cut in the TCP header", 14 + 20 + 19, lambda s: s.frame(s.syn(), TCP), 4, "bad_length")
    cut("cut in an ARP request", 14 + 27, lambda s: s.eth(arp(1, s.mac, s.src, b"\0" * 6, s.dst), ARP), 4)

    add("A-8", "to somebody else's MAC", "link", lambda s: [s.frame(s.udp(), UDP, to=b"\x02\x99\0\0\0\x01")])
    add("A-8", "unicast datagram to the broadcast MAC", "udp", lambda s: [s.frame(s.udp(), UDP, to=b"\xff" * 6)])
    # One packet a day is admitted there from each source: what the stack does not take may not use it up.
    for text, wrong in (("frame to another's MAC", {"to": b"\x02\x99\0\0\0\x01"}), ("wrong header checksum", {"wrong_sum": 0x1234})):
        def charged(s, w=wrong):
            s.src, s.port = s.peer, 4004
            yield [s.frame(s.udp(data=b"none"), UDP, **w)]
            yield [s.frame(s.udp(), UDP)]
        add("A-8" if "to" in wrong else "B-8", f"{text} charges nobody", "script", charged, (4, 6) if "to" in wrong else 4, sides=1,
            seen=lambda s, o: o.datagram(s), reason="bad_checksum")
    for what, source in (("multicast", b"\x01"), ("broadcast", b"\xff")):
        evil("A-9", f"{what} source MAC", "udp",
             lambda s, first=source: [s.frame(s.udp(), UDP, by=b"\xff" * 6 if first == b"\xff" else first + s.mac[1:])],
             "martian_source")
    evil("A-9", "source MAC of zeros", "udp", lambda s: [s.frame(s.udp(), UDP, by=b"\0" * 6)], "martian_source")


# ---- B: IPv4 header


def header4():
    def option(ident, text, options, kinds=("udp",), **more):
        for kind in kinds:
            add(ident, f"{text}, {kind}", kind,
                lambda s, k=kind: [s.frame(l4(s, k), number(k)(s), options=options)], 4, **more)

    record = b"\x07\x0b\x04" + b"\0" * 8
    every = ("udp", "tcp", "echo")
    option("B-1", "options: four NOP", b"\1" * 4, every)
    option("B-1", "options: router alert", b"\x94\x04\0\0", every)
    option("B-1", "options: record route", record, every)
    option("B-1", "options: 40 bytes of NOP", b"\1" * 40, every)
    option("B-1", "options: time stamp", b"\x44\x0c\x05\0" + b"\0" * 8)
    option("B-1", "options: unknown", b"\x9e\x04\0\0")
    option("B-1", "options: end of list, then a source route", b"\0\x83\x07\x04")
    option("B-1", "options: security (130)", b"\x82\x0b" + b"\0" * 9)

    def odd(ident, text, reason, **header):
        for kind in ("udp", "tcp"):
            evil(ident, f"{text}, {kind}", kind, lambda s, k=kind: [s.frame(l4(s, k), number(k)(s), **header)], reason, 4)

    odd("B-2", "header length 16", "bad_header", ihl=4)
    odd("B-2", "header length 0", "bad_header", ihl=0)
    odd("B-2", "header longer than the packet", "bad_length", ihl=15, total=40)
    odd("B-2", "version 6 as 0800", "bad_header", version=6)
    odd("B-2", "version 5", "bad_header", version=5)
    for text, options in (("LSRR, to be followed", b"\x83\x07\x04" + packed("203.0.113.99") + b"\0"),
                          ("LSRR, spent", b"\x83\x07\x08" + packed("203.0.113.20") + b"\0"),
                          ("SSRR, spent", b"\x89\x07\x08" + packed("203.0.113.20") + b"\0"),
                          ("SSRR, to be followed", b"\x89\x07\x04" + packed("203.0.113.99") + b"\0"),
                          ("LSRR behind a NOP", b"\1\x83\x07\x08" + packed("203.0.113.20")),
                          ("LSRR behind record route", record + b"\x83\x07\x08" + packed("203.0.113.20"))):
        option("B-3", text, options, ("udp", "tcp"), right="drop", reason="ip_options")
    for text, options in (("length 0", b"\x07\0\0\0"), ("length 1", b"\x07\x01\0\0"), ("longer than the header", b"\x07\x27\x04\0"),
                          ("without a length", b"\1\1\1\x07")):
        option("B-4", f"option, {text}", options, right="drop", reason="ip_options")
    # A record route that points before its data, a router alert of 3 bytes: the stack drops them, weir need not.
    option("B-4", "record route, pointer 0", b"\x07\x07\0\0\0\0\0\0", right="drop")
    option("B-4", "router alert of 3 bytes", b"\x94\x03\0\0", right="drop")
    odd("B-5", "total length of one byte more", "bad_length", total=0xFFFF)
    evil("B-5", "total length: one byte more than there is", "udp",
         lambda s: [s.frame(s.udp(), UDP, total=20 + len(s.udp()) + 1)], "bad_length", 4)

    def trailed(ident, text, trailer, v=4):
        for kind in ("udp", "tcp", "echo"):
            add(ident, f"{text}, {kind}", kind,
                lambda s, k=kind: [s.frame(l4(s, k), number(k)(s), trailer=trailer(s))], v)

    trailed("B-6", "one byte of trailer", lambda s: b"x")
    trailed("B-6", "padding of 18 zeros", lambda s: b"\0" * 18)
    trailed("B-6", "a trailer of 1,000 bytes", lambda s: b"x" * 1000)
    trailed("B-6", "a trailer that looks like UDP to the other port", lambda s: s.udp(dport=4000 + 4001 - s.port))
    odd("B-7", "total length 10", "bad_length", total=10)
    odd("B-7", "total length 0", "bad_length", total=0)
    evil("B-7", "total length within the options", "udp",
         lambda s: [s.frame(s.udp(), UDP, options=b"\1" * 8, total=24)], "bad_length", 4)
    odd("B-8", "header checksum wrong", "bad_checksum", wrong_sum=0x1234)
    odd("B-8", "header checksum 0", "bad_checksum", wrong_sum=0)
    evil("B-8", "header checksum wrong, with options", "udp",
         lambda s: [s.frame(s.udp(), UDP, options=b"\1" * 8, wrong_sum=0x4321)], "bad_checksum", 4)
    for kind in ("udp", "tcp"):
        add("B-9", f"the reserved flag, {kind}", kind, lambda s, k=kind: [s.frame(l4(s, k), number(k)(s), evil=1)], 4)
        add("B-9", f"don't fragment, {kind}", kind, lambda s, k=kind: [s.frame(l4(s, k), number(k)(s), df=1)], 4)
        add("B-9", f"TTL 1, TOS ff, {kind}", kind, lambda s, k=kind: [s.frame(l4(s, k), number(k)(s), ttl=1, tos=0xFF)], 4)
    add("B-9", "fragments with DF, and the reserved flag", "udp", lambda s: s.pieces(s.udp(fill=40), (24,), df=1, evil=1), 4)
    for proto, what in ((33, "DCCP"), (50, "ESP"), (51, "AH"), (89, "OSPF"), (103, "PIM"), (112, "VRRP"), (136, "UDP-Lite"),
                        (253, "experimental")):
        add("B-10", f"protocol {proto}, {what}", "raw", lambda s, p=proto: [s.frame(other(s, p), p)], 4)
    add("B-10", "SCTP INIT", "raw", lambda s: [s.frame(sctp(
        s.sport, 5000, struct.pack("!BBHIIHHI", 1, 0, 20 + len(s.data()), 1, 64000, 1, 1, 1) + s.data()), SCTP)])
    for proto in (0, 255):
        add("B-10", f"protocol {proto}", "link", lambda s, p=proto: [s.frame(s.data(), p)], 4)
    evil("B-10", "SCTP to port 0", "raw", lambda s: [s.frame(sctp(s.sport, 0, struct.pack("!BBH", 1, 0, 20) + b"\0" * 16 + s.data()), SCTP)],
         "port_zero")


# ---- C: IPv6 header chain


def chain6():
    def walked(ident, text, kind, build, **more):
        """build(last protocol): (first protocol, bytes of the headers)."""
        def frame(s):
            first, headers = build(number(kind)(s))
            return [s.frame(headers + l4(s, kind), first)]
        add(ident, f"{text}, {kind}", kind, frame, 6, **more)

    def one(first, body=b"\x01\x04\0\0\0\0", length=None):
        return lambda last: (first, extension(last, body, length=length))

    every = ("udp", "tcp", "echo")
    for kind in every:
        walked("C-1", "hop-by-hop options", kind, one(HOP_BY_HOP))
        walked("C-1", "hop-by-hop with router alert", kind, one(HOP_BY_HOP, b"\x05\x02\0\0\x01\0"))
    walked("C-1", "hop-by-hop of 64 bytes", "udp", one(HOP_BY_HOP, b"\x1e\x3c" + b"\0" * 60))
    walked("C-2", "hop-by-hop twice", "udp", lambda last: (HOP_BY_HOP, extension(HOP_BY_HOP) + extension(last)),
           right="drop", reason="extension_headers")
    walked("C-2", "hop-by-hop behind destination options", "udp",
           lambda last: (OPTIONS, extension(HOP_BY_HOP) + extension(last)), right="drop", reason="extension_headers")
    for count in (1, 2, 4, 8, 15, 16):
        walked("C-3", f"{count} headers of destination options", "udp", lambda last, n=count: chain(OPTIONS, n, last))
    for kind in ("tcp", "echo"):
        walked("C-3", "16 headers of destination options", kind, lambda last: chain(OPTIONS, 16, last))
    walked("C-3", "hop-by-hop and 15 of destination options", "udp", lambda last: chain(HOP_BY_HOP, 16, last))
    for count in (17, 18, 64, 175):
        walked("C-3", f"{count} headers of destination options", "udp", lambda last, n=count: chain(OPTIONS, n, last),
               right="drop", reason="extension_headers")
    for kind in ("tcp", "echo"):
        walked("C-3", "17 headers of destination options", kind, lambda last: chain(OPTIONS, 17, last), right="drop",
               reason="extension_headers")
    full = (b"\x1e\xff" + b"\0" * 255) * 7 + b"\x1e\xf5" + b"\0" * 245
    walked("C-4", "options of 2,048 bytes", "udp", one(OPTIONS, full))
    walked("C-4", "options that leave the packet", "udp", one(OPTIONS, length=255), right="drop", reason="bad_length")
    walked("C-4", "options that end with the packet", "udp", one(OPTIONS, length=14), right="drop",
           reason=("bad_length", "extension_headers"))

    def routing(kind, left, body=b"\0\0\0\0"):
        return lambda last: (ROUTING, struct.pack("!BBBB", last, (len(body) + 4) // 8 - 1, kind, left) + body)

    for kind, left, what in ((0, 0, "type 0, spent"), (0, 1, "type 0"), (2, 0, "type 2, spent"), (2, 1, "type 2"),
                             (3, 0, "RPL, spent"), (4, 0, "segment routing, spent"), (253, 0, "type 253, spent"),
                             (253, 1, "type 253")):
        body = b"\0" * 4 + (packed("2001:db8:113::1") if left or kind in (2, 4) else b"")
        for upper in ("udp", "tcp"):
            walked("C-5" if kind == 0 else "C-6", f"routing header {what}", upper, routing(kind, left, body), right="drop",
                   reason="extension_headers")
    add("C-7", "no next header", "raw", lambda s: [s.frame(s.data(), NONE)], 6)
    for proto, what in ((135, "mobility"), (139, "HIP"), (140, "Shim6"), (253, "experimental"), (254, "experimental")):
        walked("C-8", f"{what} ({proto}) as a link of the chain", "udp", one(proto), right="drop", reason="default")
    evil("C-9", "payload length 0", "udp", lambda s: [s.frame(s.udp(), UDP, length=0)], "bad_length", 6)
    evil("C-9", "payload length of one byte more", "udp", lambda s: [s.frame(s.udp(), UDP, length=len(s.udp()) + 1)], "bad_length", 6)
    evil("C-9", "payload length 4", "udp", lambda s: [s.frame(s.udp(), UDP, length=4)], "bad_length", 6)
    evil("C-9", "jumbogram", "udp", lambda s: [s.frame(
        extension(UDP, b"\xc2\x04" + struct.pack("!I", 8 + len(s.udp()))) + s.udp(), HOP_BY_HOP, length=0)], "bad_length", 6)
    for kind in every:
        add("C-10", f"bytes behind the payload, {kind}", kind,
            lambda s, k=kind: [s.frame(l4(s, k), number(k)(s), trailer=b"x" * 100)], 6)
    add("C-10", "one byte behind the payload", "udp", lambda s: [s.frame(s.udp(), UDP, trailer=b"x")], 6)
    # An authentication header counts 4 bytes, other headers 8: 24 bytes of it, which others take for 40.
    add("C-11", "AH before UDP, without an association", "udp", lambda s: [s.frame(
        struct.pack("!BBHII", UDP, 4, 0, 1, 1) + b"\0" * 12 + s.udp(fill=40), AH)], 6)
    for kind in every:
        def atomic(s, k=kind, **more):
            return [s.frame(fragment_header(number(k)(s), 0, 0, s.ident, **more) + l4(s, k), FRAGMENT)]
        add("C-12", f"fragment header with its reserved byte set, {kind}", kind, lambda s, b=atomic: b(s, reserved=0xFF), 6)
        add("C-12", f"fragment header with its reserved bits set, {kind}", kind, lambda s, b=atomic: b(s, bits=3), 6)
        add("D-1", f"atomic fragment, {kind}", kind, lambda s, b=atomic: b(s), 6)
    add("C-12", "fragments with their reserved byte set", "udp", lambda s: s.pieces(s.udp(fill=40), (24,), reserved=7, bits=3), 6)
    evil("C-13", "version 4 as 86dd", "udp", lambda s: [s.frame(s.udp(), UDP, version=4)], "bad_header", 6)
    evil("C-13", "version 0", "udp", lambda s: [s.frame(s.udp(), UDP, version=0)], "bad_header", 6)
    for proto, what in ((33, "DCCP"), (ESP, "ESP"), (89, "OSPF"), (103, "PIM"), (112, "VRRP"), (136, "UDP-Lite")):
        add("C-14" if proto == ESP else "B-10", f"protocol {proto}, {what}", "raw", lambda s, p=proto: [s.frame(other(s, p), p)], 6)
    evil("C-14", "ICMP of IPv4 in IPv6", "raw", lambda s: [s.frame(icmp4(8, 0, s.data()[:4], s.data()), ICMP)], "bad_header", 6)
    evil("C-14", "ICMPv6 in IPv4", "raw", lambda s: [s.frame(icmp4(128, 0, s.data()[:4], s.data()), ICMP6)], "bad_header", 4)


# ---- D: fragments


def fragments():
    for kind in ("udp", "echo"):
        def parts(s, cuts, k=kind, fill=60, **more):
            return s.pieces(l4(s, k, fill=fill), cuts, proto=number(k)(s), **more)

        add("D-2", f"two fragments, {kind}", kind, lambda s, p=parts: p(s, (32,)))
        add("D-2", f"three fragments, {kind}", kind, lambda s, p=parts: p(s, (24, 48)))
        add("D-6", f"last first, {kind}", kind, lambda s, p=parts: p(s, (32,))[::-1])
        add("D-6", f"shuffled, {kind}", kind, lambda s, p=parts: [p(s, (24, 48))[i] for i in (1, 2, 0)])
        add("D-6", f"first fragment twice, {kind}", kind, lambda s, p=parts: [p(s, (32,))[i] for i in (0, 0, 1)])
        add("D-6", f"later fragment twice, {kind}", kind, lambda s, p=parts: [p(s, (32,))[i] for i in (1, 1, 0)])
        add("D-4", f"fragments of 8 bytes, {kind}", kind, lambda s, p=parts: p(s, (8, 16, 24), fill=16))
        add("D-4", f"a last fragment of one byte, {kind}", kind, lambda s, p=parts: p(s, (16, 24), fill=25 - 8 - len(s.mark)))
        add("D-10", f"70 fragments, {kind}", kind, lambda s, p=parts: p(s, tuple(range(8, 560, 8)), fill=560))
    add("D-1", "datagram with DF 0 and identification 0", "udp", lambda s: [s.frame(s.udp(), UDP, ident=0)], 4)
    add("D-2", "a later fragment alone", "udp", lambda s: s.pieces(s.udp(fill=60), (32,))[1:], refused=())
    add("D-2", "a later fragment alone that looks like a datagram", "udp",
        lambda s: s.pieces(b"\0" * 32 + s.udp(), (32,))[1:], refused=())
    for cut, text in ((8, "8 bytes"), (16, "16 bytes")):
        evil("D-3", f"TCP, first fragment of {text}", "tcp", lambda s, c=cut: s.pieces(s.syn(), (c,), proto=TCP), "bad_fragment")
    evil("D-3", "TCP, first fragment ends in its options", "tcp",
         lambda s: s.pieces(s.syn(options=b"\1" * 12), (24,), proto=TCP), "bad_fragment")
    evil("D-3", "TCP, offset 8", "tcp", lambda s: s.pieces(s.syn(), (8,), proto=TCP)[1:], "bad_fragment")
    add("D-3", "TCP, header whole in the first fragment", "tcp",
        lambda s: s.pieces(s.syn(options=b"\1" * 4, data=b"x" * 40), (24,), proto=TCP))
    add("D-3", "UDP, header alone in the first fragment", "udp", lambda s: s.pieces(s.udp(), (8,)))
    evil("D-5", "overlap that rewrites the port", "udp", lambda s: [
        s.part(s.udp(dport=8001 - s.port, fill=60)[:32], 0, 1), s.part(s.udp(fill=60)[:32], 0, 1),
        s.part(s.udp(fill=60)[32:], 32, 0)], None)
    evil("D-5", "overlap in the middle", "udp", lambda s: [
        s.part(s.udp(fill=60)[:32], 0, 1), s.part(b"y" * 16, 24, 1), s.part(s.udp(fill=60)[40:], 40, 0)], None)
    evil("D-5", "overlap of 8 bytes with the UDP header", "udp", lambda s: [
        s.part(s.udp(fill=60)[32:], 32, 0), s.part(s.udp(fill=60)[8:32], 8, 1), s.part(s.udp(fill=60)[:16], 0, 1)], None)
    evil("D-2", "past 65,535 bytes", "udp", lambda s: [s.part(s.udp(fill=60)[:32], 0, 1), s.part(b"z" * 64, 65528, 0)],
         "bad_fragment")
    add("D-8", "fragments with options in the first alone", "udp", lambda s: [
        s.part(s.udp(fill=60)[:32], 0, 1, options=b"\x94\x04\0\0"), s.part(s.udp(fill=60)[32:], 32, 0)], 4)
    add("D-8", "fragments with trailers", "udp", lambda s: [
        s.part(s.udp(fill=60)[:32], 0, 1, trailer=b"t" * 9), s.part(s.udp(fill=60)[32:], 32, 0, trailer=b"t" * 9)])
    add("D-8", "fragments behind tags of VID 0", "udp", lambda s: [
        s.part(s.udp(fill=60)[:32], 0, 1, tags=[(Q, 0)]), s.part(s.udp(fill=60)[32:], 32, 0, tags=[(Q, 0)] * 2)])
    add("D-8", "later fragment names another protocol", "udp", lambda s: [
        s.part(s.udp(fill=60)[:32], 0, 1), s.part(s.udp(fill=60)[32:], 32, 0, proto=TCP)], 6)
    add("D-8", "options before the fragment header of the first alone", "udp", lambda s: [
        s.part(s.udp(fill=60)[:32], 0, 1, before=1), s.part(s.udp(fill=60)[32:], 32, 0)], 6)
    add("D-8", "options behind the fragment header", "udp", lambda s: [
        s.part(extension(UDP) + s.udp(fill=60)[:32], 0, 1, proto=OPTIONS),
        s.part(s.udp(fill=60)[32:], 40, 0, proto=OPTIONS)], 6)
    evil("D-7", "two fragment headers, both atomic", "udp", lambda s: [s.frame(
        fragment_header(FRAGMENT, 0, 0, s.ident) + fragment_header(UDP, 0, 0, s.ident + 1) + s.udp(), FRAGMENT)],
         "bad_fragment", 6)
    evil("D-7", "an atomic fragment in fragments", "udp", lambda s: s.pieces(
        fragment_header(UDP, 0, 0, s.ident + 1) + s.udp(fill=60), (32,), proto=FRAGMENT), "bad_fragment", 6)
    evil("D-7", "options between two fragment headers", "tcp", lambda s: [s.frame(
        fragment_header(OPTIONS, 0, 0, s.ident) + extension(FRAGMENT) + fragment_header(TCP, 0, 0, s.ident + 1) + s.syn(),
        FRAGMENT)], "bad_fragment", 6)
    evil("D-9", "first fragment ends in the chain", "udp", lambda s: s.pieces(
        extension(UDP, b"\x1e\x0c" + b"\0" * 12) + s.udp(fill=60), (8,), proto=OPTIONS), "bad_fragment", 6)
    evil("D-9", "first fragment ends behind the chain", "udp", lambda s: s.pieces(
        extension(UDP) + s.udp(fill=60), (8,), proto=OPTIONS), "bad_fragment", 6)
    evil("D-9", "first fragment ends in the UDP header", "udp", lambda s: [
        s.part(extension(UDP) + s.udp(fill=60)[:4], 0, 1, proto=OPTIONS), s.part(s.udp(fill=60), 8, 0, proto=OPTIONS)],
         "bad_fragment", 6)
    add("D-11", "one identification for two protocols", "udp", lambda s: [
        f for pair in zip(s.pieces(s.udp(fill=60), (32,)), s.pieces(s.echo(fill=60), (32,), proto=number("echo")(s)))
        for f in pair], 4)


# ---- E, F: TCP and UDP


def transport():
    for text, flags in (("no flag", 0), ("FIN PSH URG", FIN | PSH | URG), ("FIN", FIN), ("PSH", PSH), ("URG", URG),
                        ("all flags", 0x3F), ("all flags, ECN's too", 0xFF), ("ECE CWR", ECE | CWR)):
        evil("E-1", text, "tcp", lambda s, f=flags: [s.frame(s.syn(flags=f), TCP)], "tcp_flags")
    for text, flags in (("SYN FIN", SYN | FIN), ("SYN RST", SYN | RST), ("SYN FIN PSH", SYN | FIN | PSH),
                        ("SYN RST ACK", SYN | RST | ACK), ("FIN RST", FIN | RST), ("SYN FIN ACK", SYN | FIN | ACK)):
        evil("E-2", text, "tcp", lambda s, f=flags: [s.frame(s.syn(flags=f), TCP)], "tcp_flags")
    for text, more in (("SYN PSH", {"flags": SYN | PSH}), ("SYN URG", {"flags": SYN | URG}),
                       ("SYN ECE CWR", {"flags": SYN | ECE | CWR}), ("SYN ECE", {"flags": SYN | ECE}),
                       ("SYN PSH URG ECE CWR", {"flags": SYN | PSH | URG | ECE | CWR}),
                       ("SYN with the accurate ECN bit", {"reserved": 1, "flags": SYN | ECE | CWR}),
                       ("SYN with all reserved bits", {"reserved": 0xF}), ("SYN with data", {"data": b"x" * 100}),
                       ("SYN with an urgent pointer", {"urgent": 77}), ("SYN, sequence 0", {"seq": 0}),
                       ("SYN with 40 bytes of options", {"options": b"\x02\x04\x05\xb4\x04\x02\x03\x03\x07\x01\x01\x01" + b"\1" * 28}),
                       ("SYN with an acknowledgement number", {"ack": 99})):
        add("E-3", text, "tcp", lambda s, m=more: [s.frame(s.syn(**m), TCP)])
    # The RST ends what began, or its answers would be repeated while others are looked at.
    add("E-3", "SYN from port 0, then a RST", "tcp", lambda s: s.from_port_zero() or [
        s.frame(s.syn(), TCP), s.frame(s.syn(flags=RST, seq=1001), TCP)])
    add("F-4", "datagram from port 0", "udp", lambda s: s.from_port_zero() or [s.frame(s.udp(), UDP)])
    for text, flags in (("SYN ACK", SYN | ACK), ("ACK", ACK), ("FIN ACK", FIN | ACK), ("ACK PSH with data", ACK | PSH)):
        add("E-4", f"{text} of no connection", "tcp", lambda s, f=flags: [s.frame(
            s.syn(flags=f, ack=5, data=s.data() if f & PSH else b""), TCP)], refused=("no_flow", "deny"))
    evil("E-5", "data offset 4", "tcp", lambda s: [s.frame(s.syn(doff=4), TCP)], "bad_header")
    evil("E-5", "data offset 0", "tcp", lambda s: [s.frame(s.syn(doff=0), TCP)], "bad_header")
    evil("E-5", "data offset past the segment", "tcp", lambda s: [s.frame(s.syn(doff=15), TCP)], "bad_header")
    add("E-6", "TCP checksum wrong", "tcp", lambda s: [s.frame(s.syn(wrong_sum=1), TCP)])
    add("E-6", "UDP checksum wrong", "udp", lambda s: [s.frame(s.udp(check=0x1234), UDP)])
    add("E-7", "RST out of sequence into a connection", "tcp", lambda s: [s.frame(s.syn(), TCP)],
        then=lambda s, seq, ack: [s.frame(s.syn(flags=RST, seq=seq + 5000000), TCP), s.frame(s.syn(flags=RST | ACK, seq=seq + 5000000, ack=1), TCP)])
    add("E-8", "SYN again into a connection", "tcp", lambda s: [s.frame(s.syn(), TCP)],
        then=lambda s, seq, ack: [s.frame(s.syn(seq=seq + 1000000), TCP)])
    add("E-9", "late FIN of a connection that is gone", "tcp", lambda s: [s.frame(s.syn(flags=FIN | ACK | PSH, ack=7), TCP)],
        refused=("no_flow", "deny"))
    own = lambda s: {"src": s.own, "dst": s.own}  # noqa: E731
    evil("E-10", "from itself to itself, same port, TCP", "tcp", lambda s: [s.frame(s.syn(sport=s.tport, **own(s)), TCP, **own(s))],
         "land", seen=lambda s, o: o.any_tcp(s, s.own, s.tport))
    evil("E-10", "from itself to itself, same port, UDP", "udp", lambda s: [s.frame(s.udp(sport=s.port, **own(s)), UDP, **own(s))],
         "land")
    evil("F-1", "UDP length 7", "udp", lambda s: [s.frame(s.udp(length=7, check=0), UDP)], "bad_length")
    evil("F-1", "UDP length 0", "udp", lambda s: [s.frame(s.udp(length=0, check=0), UDP)], "bad_length", 4)
    evil("F-1", "UDP length 0", "udp", lambda s: [s.frame(s.udp(length=0), UDP)], "bad_length", 6)
    evil("F-1", "UDP length of one byte more", "udp", lambda s: [s.frame(s.udp(length=len(s.udp()) + 1), UDP)], "bad_length")
    evil("F-1", "UDP length 65535", "udp", lambda s: [s.frame(s.udp(length=65535), UDP)], "bad_length")
    add("F-2", "UDP length one byte less", "udp", lambda s: [s.frame(s.udp(fill=8, length=len(s.udp(fill=8)) - 1), UDP)])
    add("F-2", "UDP length 100 bytes less", "udp", lambda s: [s.frame(s.udp(fill=150, length=len(s.udp(fill=150)) - 100), UDP)])
    add("F-3", "UDP without a checksum", "udp", lambda s: [s.frame(s.udp(check=0), UDP)])
    evil("F-4", "UDP to port 0", "udp", lambda s: [s.frame(s.udp(dport=0), UDP)], "port_zero")
    evil("F-4", "TCP to port 0", "tcp", lambda s: [s.frame(s.syn(dport=0), TCP)], "port_zero")


# ---- G: ICMP, neighbours, ARP, DHCP


def embedded(s, flow, l4_bytes, proto, *, src=None, dst=None, **header):
    """The packet that the node is said to have sent."""
    make = ip4 if s.v == 4 else ip6
    return make(src or s.dst, dst or flow, proto, l4_bytes, **header)


def error(s, kind, code, rest, inner, *, dst=None, src=None):
    if s.v == 4:
        return s.frame(icmp4(kind, code, rest, inner), ICMP, src=src or s.src, dst=dst or s.dst)
    return s.frame(icmp6(src or s.src, dst or s.dst, kind, code, rest, inner), ICMP6, src=src or s.src, dst=dst or s.dst)


UNREACHABLE = {4: (3, 3, b"\0" * 4), 6: (1, 4, b"\0" * 4)}


def too_big(v, mtu):
    return (3, 4, struct.pack("!HH", 0, mtu)) if v == 4 else (2, 0, struct.pack("!I", mtu))


def icmp_errors():
    def about(text, ident, change, *, seen="refused", right="pass", **more):
        """An error about a datagram that a socket of the node sent from here: change(s, port of it) -> frames."""
        def script(s):
            port = s.connect_udp()
            yield []
            yield change(s, port)
        add(ident, text, "script", script, right=right, sides=1,
            seen=(lambda s, o: s.refused()) if seen == "refused" else (lambda s, o: s.mtu_changed()), **more)

    quoted = lambda s, port, **m: embedded(s, s.peer, udp(s.dst, s.peer, port, 53, b"q" * 20), UDP, **m)  # noqa: E731
    about("unreachable, about a datagram of ours", "G-1", lambda s, p: [error(s, *UNREACHABLE[s.v], quoted(s, p))], must=True)
    about("unreachable, by a router", "G-1", lambda s, p: [error(s, *UNREACHABLE[s.v], quoted(s, p), src=s.router)], must=True)
    about("unreachable, to another address of ours", "G-1",
          lambda s, p: [error(s, *UNREACHABLE[s.v], quoted(s, p), dst=s.second)], right="drop", reason="icmp_error")
    about("too big, about a datagram of ours", "G-3", lambda s, p: [error(s, *too_big(s.v, s.mtu), quoted(s, p))], must=True,
          seen="mtu")
    about("too big, by a router", "G-3", lambda s, p: [error(s, *too_big(s.v, s.mtu), quoted(s, p), src=s.router)], must=True,
          seen="mtu")
    about("unreachable, the quoted header cut to 4 bytes of UDP", "G-2", lambda s, p: [
        error(s, *UNREACHABLE[s.v], quoted(s, p)[:24 if s.v == 4 else 44])], right="drop", reason="icmp_error")
    about("unreachable, the quoted header cut", "G-2", lambda s, p: [
        error(s, *UNREACHABLE[s.v], quoted(s, p)[:12])], right="drop", reason="icmp_error")
    about("unreachable, just 8 bytes of UDP quoted", "G-2", lambda s, p: [
        error(s, *UNREACHABLE[s.v], quoted(s, p)[:28 if s.v == 4 else 48])], must=True)
    about("unreachable, quoted with IPv4 options", "G-2", lambda s, p: [
        error(s, *UNREACHABLE[4], quoted(s, p, options=b"\x94\x04\0\0"))], must=True, v=4)
    about("unreachable, quoted behind hop-by-hop options", "G-2", lambda s, p: [
        error(s, *UNREACHABLE[6], ip6(s.dst, s.peer, HOP_BY_HOP, extension(UDP) + udp(s.dst, s.peer, p, 53, b"q")))],
          right="drop", reason="icmp_error", v=6)
    about("unreachable, in an IPv4 packet with options", "G-2", lambda s, p: [
        s.frame(icmp4(*UNREACHABLE[4], quoted(s, p)), ICMP, options=b"\1" * 8)], must=True, v=4)
    about("unreachable, with padding", "G-2", lambda s, p: [s.frame(
        icmp4(*UNREACHABLE[4], quoted(s, p)) if s.v == 4 else icmp6(s.src, s.dst, *UNREACHABLE[6], quoted(s, p)),
        ICMP if s.v == 4 else ICMP6, trailer=b"\0" * 8)], must=True)
    about("unreachable, behind a tag of VID 0", "G-1", lambda s, p: [s.frame(
        icmp4(*UNREACHABLE[4], quoted(s, p)) if s.v == 4 else icmp6(s.src, s.dst, *UNREACHABLE[6], quoted(s, p)),
        ICMP if s.v == 4 else ICMP6, tags=[(Q, 0)])], must=True)

    # Errors about what a port that the outside may ask has answered; and about one that it may not.
    def served(s):
        yield [error(s, *UNREACHABLE[s.v], embedded(s, s.peer, udp(s.dst, s.peer, s.noted, 7000 + s.side, s.data()), UDP))]
    add("G-1", "unreachable, about an answer of a UDP port", "script", served, seen=lambda s, o: o.noted_error(s), refused=("icmp_error",))

    def served_tcp(s):
        s.src = s.peer
        seen = yield [s.frame(s.syn(options=b"\x02\x04\x0b\x54"), TCP)]
        answer = seen.tcp(s)
        if answer:
            s.seq, s.ack = 1001, answer.seq + 1
            yield [s.frame(s.syn(flags=ACK | PSH, seq=1001, ack=s.ack, data=s.data()), TCP)]
            yield [error(s, *too_big(s.v, s.mtu), embedded(s, s.src, tcp(
                s.dst, s.src, s.tport, s.sport, ACK, seq=s.ack, ack=1001 + len(s.data())), TCP))]
    add("G-3", "too big, about a connection to a TCP port", "script", served_tcp, seen=lambda s, o: o.accepted_mtu(s))

    def nothing(s, proto, l4_bytes, mtu=True):
        yield [error(s, *too_big(s.v, s.mtu), embedded(s, s.peer, l4_bytes, proto))]
    for text, build in (
            ("UDP", lambda s: nothing(s, UDP, udp(s.dst, s.peer, 4999, 53, s.data()))),
            ("TCP", lambda s: nothing(s, TCP, tcp(s.dst, s.peer, 4998, 80, ACK))),
            ("echo replies", lambda s: nothing(s, *(
                (ICMP, icmp4(0, 0, b"\0\1\0\1", s.data())) if s.v == 4 else
                (ICMP6, icmp6(s.dst, s.peer, 129, 0, b"\0\1\0\1", s.data())))))):
        add("G-4", f"too big, about {text} of no flow", "script", build, right="drop", reason="icmp_error", plain=True,
            seen=lambda s, o: o.route_changed(s.peer))
    add("G-2", "too big, about an error", "script", lambda s: nothing(s, *(
        (ICMP, icmp4(3, 3, b"\0" * 4, b"\x45" + b"\0" * 40)) if s.v == 4 else
        (ICMP6, icmp6(s.dst, s.peer, 1, 4, b"\0" * 4, b"\x60" + b"\0" * 60)))), right="drop", reason="icmp_error",
        seen=lambda s, o: o.route_changed(s.peer))

    def fragmented_error(s):
        port = s.connect_udp()
        yield []
        inner = quoted(s, port)
        whole = icmp4(*UNREACHABLE[4], inner) if s.v == 4 else icmp6(s.src, s.dst, *UNREACHABLE[6], inner)
        yield s.pieces(whole, (24,), proto=ICMP if s.v == 4 else ICMP6)
    add("D-12", "an error in fragments", "script", fragmented_error, right="drop", reason="icmp_error", sides=1,
        seen=lambda s, o: s.refused())


def neighbours():
    own = lambda s: {"open": "2001:db8:113::1", "shut": "2001:db8:113::7"}[s.name]  # noqa: E731

    def solicit(s, *, src=None, target=None, unicast=False, hops=255, code=0, option=True, before=None, **more):
        target, src = target or own(s), src or s.unused
        group, group_eth = solicited(target)
        dst = target if unicast else group
        body = packed(target) + (b"\x01\x01" + s.mac if option else b"")
        packet = icmp6(src, dst, 135, code, b"\0" * 4, body)
        proto = ICMP6
        if before is not None:
            packet, proto = extension(ICMP6) + packet, before
        return s.frame(packet, proto, src=src, dst=dst, hops=hops, to=None if unicast else group_eth, **more)

    answered = lambda s, o: o.advertised(s.unused)  # noqa: E731
    add("G-5", "solicitation to the group", "script", lambda s: iter([[solicit(s)]]), 6, must=True, seen=answered)
    add("G-5", "solicitation to the address", "script", lambda s: iter([[solicit(s, unicast=True)]]), 6, must=True, seen=answered)
    add("G-5", "solicitation behind a tag of VID 0", "script", lambda s: iter([[solicit(s, tags=[(Q, 0)])]]), 6, must=True,
        seen=answered)
    add("G-5", "solicitation from a link-local address", "script",
        lambda s: iter([[solicit(s, src="fe80::5:%x" % s.n)]]), 6, must=True, seen=lambda s, o: o.advertised("fe80::5:%x" % s.n))
    dad = lambda s: "2001:db8:113::d%d" % (1 + s.side)  # noqa: E731
    add("G-5", "duplicate address detection", "script",
        lambda s: iter([[solicit(s, src="::", target=dad(s), option=False)]]), 6, must=True,
        seen=lambda s, o: o.advertised("ff02::1", dad(s)))

    def advertise(s, **more):
        body = packed(s.known) + b"\x02\x01" + s.mac
        return s.frame(icmp6(s.known, s.dst, 136, 0, b"\x60\0\0\0", body), ICMP6, src=s.known, hops=more.pop("hops", 255), **more)
    changed = lambda s, o: o.neighbour(s.known, s.mac)  # noqa: E731
    add("G-5", "advertisement", "script", lambda s: iter([[advertise(s)]]), 6, must=True, seen=changed)
    evil("G-5", "advertisement that crossed a router", "script", lambda s: iter([[advertise(s, hops=254)]]), "bad_nd", 6, seen=changed)
    evil("G-5", "solicitation that crossed a router", "script", lambda s: iter([[solicit(s, hops=254)]]), "bad_nd", 6, seen=answered)
    evil("G-5", "solicitation, code 1", "script", lambda s: iter([[solicit(s, code=1)]]), "bad_nd", 6, seen=answered)
    evil("G-6", "solicitation behind destination options", "script", lambda s: iter([[solicit(s, before=OPTIONS)]]), "bad_nd", 6,
         seen=answered)
    evil("G-6", "solicitation behind hop-by-hop options", "script", lambda s: iter([[solicit(s, before=HOP_BY_HOP)]]), "bad_nd", 6,
         seen=answered)

    def in_pieces(s, cuts):
        target = own(s)
        packet = icmp6(s.unused, target, 135, 0, b"\0" * 4, packed(target) + b"\x01\x01" + s.mac)
        return iter([s.pieces(packet, cuts, proto=ICMP6, src=s.unused, dst=target, hops=255)])
    evil("G-6", "solicitation in fragments", "script", lambda s: in_pieces(s, (24,)), "bad_nd", 6, seen=answered)
    evil("G-6", "solicitation in an atomic fragment", "script", lambda s: in_pieces(s, ()), "bad_nd", 6, seen=answered)

    def router(s, hops=255, kind=134):
        src = "fe80::6:%x" % s.n
        if kind == 134:
            packet = icmp6(src, "ff02::1", 134, 0, struct.pack("!BBH", 64, 0, 1800), b"\0" * 8 + b"\x01\x01" + s.mac)
            return iter([[s.frame(packet, ICMP6, src=src, dst="ff02::1", hops=hops, to=group_mac("ff02::1"))]])
        inner = ip6("2001:db8:113::1", s.far, ICMP6, icmp6("2001:db8:113::1", s.far, 129, 0, b"\0\1\0\1", b"r" * 8))
        packet = icmp6("fe80::fe", s.dst, 137, 0, b"\0" * 4, packed("fe80::66") + packed(s.far) + b"\x04" +
                       bytes([(len(inner) + 8) // 8]) + b"\0" * 6 + inner)
        return iter([[s.frame(packet, ICMP6, src="fe80::fe", hops=hops)]])
    add("G-5", "router advertisement", "script", router, 6, must=True, seen=lambda s, o: o.default_route("fe80::6:%x" % s.n))
    evil("G-5", "router advertisement that crossed a router", "script", lambda s: router(s, 64), "bad_nd", 6,
         seen=lambda s, o: o.default_route("fe80::6:%x" % s.n))
    evil("G-10", "redirect", "script", lambda s: router(s, kind=137), "bad_nd", 6, seen=lambda s, o: o.route_changed(s.far))

    def listener(s, group, hops=1):
        packet = icmp6("fe80::2", group, 130, 0, struct.pack("!HH", 1, 0), packed(group) + b"\x02\x7d\0\0")
        return iter([[s.frame(extension(ICMP6, b"\x05\x02\0\0\x01\0") + packet, HOP_BY_HOP, src="fe80::2", dst=group, hops=hops,
                              to=group_mac(group))]])
    add("G-5", "MLD query", "script", lambda s: listener(s, s.group), 6, must=True, seen=lambda s, o: o.reported(s.group))
    evil("G-5", "MLD query that crossed a router", "script", lambda s: listener(s, s.group, 64), "bad_nd", 6,
         seen=lambda s, o: o.reported(s.group))

    def igmp(s):
        body = b"\x11\x01\0\0" + packed(s.group) + b"\x02\x7d\0\0"
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        return iter([[s.frame(body, IGMP, src="203.0.113.2", dst=s.group, options=b"\x94\x04\0\0", ttl=1, to=group_mac(s.group))]])
    add("B-10", "IGMP query", "script", igmp, 4, must=True, seen=lambda s, o: o.reported(s.group))

    # ---- ARP
    def ask(s, **more):
        tags, trailer = more.pop("tags", ()), more.pop("trailer", b"")
        to = more.pop("to", b"\xff" * 6)
        sender = more.pop("sender", s.unused)
        return iter([[s.eth(arp(more.pop("op", 1), s.mac, sender, b"\0" * 6, s.dst, **more) + trailer, ARP, dst=to, tags=tags)]])
    resolved = lambda s, o: o.resolved(s.mac)  # noqa: E731
    add("G-8", "ARP request", "script", ask, 4, must=True, seen=resolved)
    add("G-8", "ARP request to the MAC", "script", lambda s: ask(s, to=s.node_mac), 4, must=True, seen=resolved)
    add("G-8", "ARP request with padding", "script", lambda s: ask(s, trailer=b"\0" * 18), 4, must=True, seen=resolved)
    add("G-8", "ARP request behind a tag of VID 0", "script", lambda s: ask(s, tags=[(Q, 0)]), 4, must=True, seen=resolved)
    add("G-8", "ARP probe", "script", lambda s: ask(s, sender="0.0.0.0"), 4, must=True, seen=resolved)
    for text, more in (("of hardware 6", {"hardware": 6}), ("with hlen 8", {"hlen": 8}), ("with plen 16", {"plen": 16}),
                       ("for IPv6", {"kind": IP6}), ("op 8, inverse", {"op": 8}), ("op 0", {"op": 0})):
        evil("G-8", f"ARP {text}", "script", lambda s, m=more: ask(s, **m), "bad_arp", 4, seen=resolved)
    announce = lambda s, op: iter([[s.eth(  # noqa: E731
        arp(op, s.mac, s.unused, b"\0" * 6 if op == 1 else s.mac, s.unused), ARP, dst=b"\xff" * 6)]])
    for op, text in ((1, "request"), (2, "reply")):
        add("G-8", f"gratuitous ARP {text}", "script", lambda s, o=op: announce(s, o), 4, must=True,
            seen=lambda s, o: o.neighbour(s.unused, s.mac))


def echo_and_dhcp():
    def answer(s, kind=None, ident=None):
        ident = s.ping(0 if ident is None else ident)
        yield []
        kind = (0 if s.v == 4 else 129) if kind is None else kind
        body = struct.pack("!HH", ident, 1)
        yield [s.frame(icmp4(kind, 0, body, s.data()) if s.v == 4 else icmp6(s.peer, s.dst, kind, 0, body, s.data()),
                       ICMP if s.v == 4 else ICMP6, src=s.peer)]
    add("G-7", "echo reply that we wait for", "script", answer, must=True, sides=1, seen=lambda s, o: s.pinged())
    evil("G-7", "echo request in place of a reply", "script", lambda s: answer(s, 8 if s.v == 4 else 128), "default",
         sides=1, seen=lambda s, o: o.echoed(s), plain=True)
    evil("G-7", "echo reply that nobody waits for", "raw", lambda s: [s.frame(s.echo(kind=0 if s.v == 4 else 129), ICMP if s.v == 4 else ICMP6)],
         ("default", "no_flow"), plain=True)
    add("G-7", "echo with identifier 0", "echo", lambda s: [s.frame(s.echo(ident=0), ICMP if s.v == 4 else ICMP6)])
    add("G-7", "echo of 8 bytes", "script", lambda s: iter([[s.frame(
        icmp4(8, 0, struct.pack("!HH", s.n, 9)) if s.v == 4 else icmp6(s.src, s.dst, 128, 0, struct.pack("!HH", s.n, 9)),
        ICMP if s.v == 4 else ICMP6)]]), seen=lambda s, o: o.echoed(s))
    evil("F-1", "ICMP of 4 bytes", "link", lambda s: [s.frame(b"\x08\0\xf7\xff" if s.v == 4 else b"\x80\0\0\0", ICMP if s.v == 4 else ICMP6)],
         "bad_length")

    def offer(s, *, chaddr=None, op=2, dst="255.255.255.255", to=b"\xff" * 6, sport=67, tags=()):
        data = struct.pack("!BBBBIHH", op, 1, 6, 0, 7, 0, 0) + b"\0" * 16 + (chaddr or s.node_mac) + b"\0" * 10 + \
            s.mark.ljust(64, b"\0") + b"\0" * 128 + b"\x63\x82\x53\x63\xff"
        src = "203.0.113.2"
        return [s.frame(udp(src, dst, sport, 68, data), UDP, src=src, dst=dst, to=to, tags=tags)]
    add("G-9", "DHCP offer, broadcast", "udp", lambda s: offer(s), 4, must=True)
    add("G-9", "DHCP offer to our address", "udp", lambda s: offer(s, dst=s.dst, to=None), 4, must=True)
    add("G-9", "DHCP offer to the address that is offered", "link", lambda s: offer(s, dst="203.0.113.250", to=None), 4, must=True)
    add("G-9", "DHCP offer behind a tag of VID 0", "udp", lambda s: offer(s, tags=[(Q, 0)]), 4, must=True)
    evil("G-9", "DHCP offer for another's MAC", "udp", lambda s: offer(s, chaddr=b"\x02\x99\0\0\0\x01"), "default", 4, plain=True)
    evil("G-9", "DHCP request to the client's port", "udp", lambda s: offer(s, op=1), "default", 4, plain=True)
    evil("G-9", "to the client's port, from another than the server's", "udp", lambda s: offer(s, sport=1067), "default", 4, plain=True)

    def discover(s):
        data = struct.pack("!BBBBIHH", 1, 1, 6, 0, 7, 0, 0) + b"\0" * 16 + s.mac + b"\0" * 10 + s.mark.ljust(64, b"\0") + \
            b"\0" * 128 + b"\x63\x82\x53\x63\xff"
        return [s.frame(udp("0.0.0.0", "255.255.255.255", 68, s.dhcpd, data), UDP, src="0.0.0.0", dst="255.255.255.255", to=b"\xff" * 6)]
    add("G-9", "DHCP discover to a server that the policy opens", "udp", discover, 4, sides=1)

    def dhcp6(s, src, sport=547):
        return [s.frame(udp(src, "fe80::1", sport, 546, b"\x07\0\0\x01" + s.data()), UDP, src=src, dst="fe80::1")]
    add("G-9", "DHCPv6 reply", "udp", lambda s: dhcp6(s, "fe80::2"), 6, must=True)
    evil("G-9", "to DHCPv6's client port, not from the link", "udp", lambda s: [s.frame(
        udp(s.src, s.dst, 547, 546, s.data()), UDP)], "default", 6, plain=True)
    evil("G-9", "to DHCPv6's client port, from another port", "udp", lambda s: dhcp6(s, "fe80::2", 1547), "default", 6, plain=True)

    for kind, what, body in ((13, "time stamp request", b"\0" * 16), (14, "time stamp reply", b"\0" * 16),
                             (15, "information request", b"\0" * 4), (16, "information reply", b"\0" * 4),
                             (17, "address mask request", b"\0" * 8), (18, "address mask reply", b"\0" * 8)):
        evil("G-10", f"ICMP {what}", "raw", lambda s, k=kind, b=body: [s.frame(icmp4(k, 0, b[:4], b[4:] + s.data()), ICMP)], "icmp_type", 4)
    evil("G-10", "ICMP time stamp request, and its answer", "script", lambda s: iter([[s.frame(
        icmp4(13, 0, struct.pack("!HH", s.n, 1), b"\0" * 12), ICMP)]]), "icmp_type", 4, seen=lambda s, o: o.icmp_answer(s, 14))
    inner = lambda s: ip4(s.dst, s.far4, ICMP, icmp4(0, 0, b"\0\1\0\1", b"r" * 8))  # noqa: E731
    evil("G-10", "redirect", "script", lambda s: iter([[s.frame(icmp4(5, 1, packed("203.0.113.253"), inner(s)), ICMP, src=s.router)]]),
         "icmp_error", 4, seen=lambda s, o: o.route_changed(s.far4))
    evil("G-10", "source quench", "raw", lambda s: [s.frame(icmp4(4, 0, b"\0" * 4, inner(s) + s.data()), ICMP)], "icmp_error", 4)


# ---- H, I: tunnels and addresses


def tunnels():
    def wrapped(s, depth=1, family=4):
        packet = s.ip(s.udp(), UDP)
        for _ in range(depth - 1):
            packet = ip4(s.src, s.dst, 4, packet) if s.v == 4 else ip6(s.src, s.dst, 41, packet)
        return packet
    for proto, what, v in ((4, "IPIP", 4), (41, "IPv6 in IPv4", 4), (41, "IPv6 in IPv6", 6), (4, "IPv4 in IPv6", 6)):
        add("H-1", f"{what}, to the open port inside", "raw", lambda s, p=proto: [s.frame(wrapped(s), p)], v)
    add("H-1", "GRE, to the open port inside", "raw", lambda s: [s.frame(
        struct.pack("!HH", 0, IP4 if s.v == 4 else IP6) + wrapped(s), 47)])
    for depth in (2, 10):
        add("H-4", f"{depth} tunnels, one in the other", "raw", lambda s, d=depth: [s.frame(wrapped(s, d), 4 if s.v == 4 else 41)])
    add("H-3", "VXLAN in a datagram", "udp", lambda s: [s.frame(
        s.udp(data=b"\x08\0\0\0\0\0\x05\0" + s.eth(s.ip(s.udp(dport=4000), UDP), IP4 if s.v == 4 else IP6)), UDP)])


def addresses():
    def source(ident, text, address, reason="martian_source", v=None, **more):
        v = v or (6 if ":" in address else 4)
        evil(ident, text, "udp", lambda s: [s.frame(s.udp(src=address), UDP, src=address)], reason, v, **more)

    for address in ("192.88.99.1", "2002:c000:201::1", "2001:0:1234::1"):
        source("H-5", f"from {address}, a relay", address)
    for address in ("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.8.8.8", "224.0.0.1", "239.1.1.1", "255.255.255.255"):
        source("I-1", f"from {address}", address)
    for address in ("240.0.0.1", "250.1.2.3"):
        source("I-2", f"from {address}", address)
    source("I-2", "from the subnet's broadcast address", "203.0.113.255", "spoofed")
    add("I-2", "from 169.254.7.7, on the link", "udp", lambda s: [s.frame(s.udp(src="169.254.7.7"), UDP, src="169.254.7.7")], 4)
    for address, text in (("203.0.113.1", "from the address that it goes to"), ("2001:db8:113::1", "from the address that it goes to")):
        source("I-3", text, address, ("land", "spoofed"))
    for address in ("203.0.113.7", "2001:db8:113::7", "fe80::1"):
        source("I-3", f"from {address}, another of its own", address, "spoofed")
    for kind in ("203.0.113.7", "2001:db8:113::7"):
        evil("I-3", f"TCP from {kind}, another of its own", "tcp", lambda s, a=kind: [s.frame(s.syn(src=a), TCP, src=a)], "spoofed",
             6 if ":" in kind else 4, seen=lambda s, o, a=kind: o.any_tcp(s, a, s.sport))
    for address in ("::1", "ff02::1", "ff05::7"):
        source("I-4", f"from {address}", address)
    for address in ("::", "::ffff:203.0.113.20", "::ffff:127.0.0.1"):
        source("I-5", f"from {address}", address)
    add("I-9", "from a link-local address", "udp", lambda s: [s.frame(s.udp(src="fe80::2"), UDP, src="fe80::2")], 6)
    add("I-9", "between link-local addresses", "udp", lambda s: [s.frame(s.udp(src="fe80::2", dst="fe80::1"), UDP, src="fe80::2", dst="fe80::1")], 6)
    for address in ("127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::ffff:203.0.113.1"):
        evil("I-7", f"to {address}", "udp", lambda s, a=address: [s.frame(s.udp(dst=a), UDP, dst=a)], "martian_destination",
             6 if ":" in address else 4)
    for address, text in (("255.255.255.255", "limited broadcast"), ("203.0.113.255", "directed broadcast"),
                          ("239.7.7.7", "multicast"), ("224.0.0.1", "multicast"), ("ff02::1", "multicast"), ("ff15::777", "multicast")):
        add("I-8", f"to {address}, {text}", "udp", lambda s, a=address: [s.frame(
            s.udp(dst=a), UDP, dst=a, to=b"\xff" * 6 if "broadcast" in text_of(a) else group_mac(a))],
            6 if ":" in address else 4)
    add("I-8", "echo request to the broadcast address", "echo", lambda s: [s.frame(
        s.echo(), ICMP, dst="255.255.255.255", to=b"\xff" * 6)], 4)
    add("I-8", "echo request to all nodes", "echo", lambda s: [s.frame(
        s.echo(dst="ff02::1"), ICMP6, dst="ff02::1", to=group_mac("ff02::1"))], 6)
    add("I-8", "unicast datagram to a multicast MAC", "udp", lambda s: [s.frame(s.udp(), UDP, to=b"\x01\0\x5e\0\0\x07")])


def text_of(address):
    return "broadcast" if address.endswith(".255") else "group"


for part in (ordinary, layer2, header4, chain6, fragments, transport, icmp_errors, neighbours, echo_and_dhcp, tunnels, addresses):
    part()



# ---- what a site chooses: VLAN 5 is ours, sources must come from where answers to them would go


def site():
    def here(*args, **more):
        add(*args, to=SITE, **more)

    def refuse(ident, text, kind, build, reason, v=(4, 6), **more):
        add(ident, text, kind, build, v, to=SITE, right="drop", reason=reason, **more)

    for text, tags, aside in (("VID 5", [(Q, 5)], None), ("VID 0, then VID 5", [(Q, 0), (Q, 5)], None),
                              ("VID 5, then VID 0", [(Q, 5), (Q, 0)], None), ("VID 5 out of band", [], 5),
                              ("VID 5 out of band, VID 0 in the frame", [(Q, 0)], 5),
                              ("VID 0 out of band, VID 5 in the frame", [(Q, 5)], 0x2000)):
        here("A-3", f"listed: {text}", "link", lambda s, t=tags: [s.frame(s.udp(), UDP, tags=t)], aside=aside)
    for text, tags, aside in (("VID 6", [(Q, 6)], None), ("VID 5 twice", [(Q, 5), (Q, 5)], None), ("802.1ad VID 5", [(AD, 5)], None),
                              ("VID 5, then VID 6", [(Q, 5), (Q, 6)], None), ("VID 6 out of band", [], 6),
                              ("VID 5 out of band and in the frame", [(Q, 5)], 5), ("8 of VID 0, then VID 5", [(Q, 0)] * 8 + [(Q, 5)], None),
                              ("VID 5 out of band, 8 of VID 0 in the frame", [(Q, 0)] * 8, 5)):
        refuse("A-3", f"not listed: {text}", "link", lambda s, t=tags: [s.frame(s.udp(), UDP, tags=t)], "vlan", aside=aside)
    for vid in (5, 6):
        def ask(s, t):
            return [s.eth(arp(1, s.mac, s.unused, b"\0" * 6, s.dst), ARP, dst=b"\xff" * 6, tags=[(Q, t)])]
        if vid == 5:
            here("A-3", "ARP in VID 5", "link", lambda s: ask(s, 5), v=4, must=True)
        else:
            refuse("A-3", "ARP in VID 6", "link", lambda s: ask(s, 6), "vlan", 4, refused=("vlan",))

    loose = {"strict": "drop", "loose": "pass"}
    other = {4: "198.51.100.9", 6: "2001:db8:51::9"}
    nowhere = {4: "192.0.2.9", 6: "2001:db8:dead::9"}
    for kind in ("udp", "tcp", "echo"):
        here("0", f"from this link, {kind}", kind, lambda s, k=kind: [s.frame(l4(s, k), number(k)(s))])

    def come(s, kind, src):
        s.src = src
        return [s.frame(l4(s, kind), number(kind)(s))]
    refused = ("default", "reverse_path")
    for text, addresses, right in (("by the default route", None, "pass"), ("from another link's prefix", other, loose),
                                   ("from a prefix with no way back", nowhere, "drop")):
        def datagram(s, a=addresses):
            return come(s, "udp", a[s.v] if a else s.peer)
        here("I-6", text, "udp", datagram, right=right, reason=None if right == "pass" else "reverse_path", refused=refused)
    here("I-6", "in fragments, from another link's prefix", "udp", lambda s: s.pieces(
        s.udp(src=other[s.v], fill=60), (32,), src=other[s.v]), right=loose, reason="reverse_path", refused=refused)
    here("I-6", "TCP by the default route", "tcp", lambda s: come(s, "tcp", s.peer))
    here("I-6", "TCP from another link's prefix", "tcp", lambda s: [s.frame(s.syn(src=other[s.v]), TCP, src=other[s.v])], right=loose,
         reason="reverse_path", refused=refused, seen=lambda s, o: o.aside(s, other[s.v]))
    here("I-6", "ICMPv6 from another link's prefix", "raw", lambda s: [s.frame(
        icmp6(other[6], s.dst, 128, 0, b"\0\1\0\1", s.data()), ICMP6, src=other[6])], v=6, sides=1)
    here("I-6", "ICMP from another link's prefix", "raw", lambda s: [s.frame(
        icmp4(8, 0, b"\0\1\0\1", s.data()), ICMP, src=other[4])], v=4, sides=1, right=loose, reason="reverse_path")
    here("I-6", "from a link-local address", "udp", lambda s: [s.frame(s.udp(src="fe80::2"), UDP, src="fe80::2")], v=6)
    here("I-6", "DHCP discover", "udp", lambda s: [s.frame(udp("0.0.0.0", "255.255.255.255", 68, 67, struct.pack(
        "!BBBBIHH", 1, 1, 6, 0, 7, 0, 0) + b"\0" * 16 + s.mac + b"\0" * 10 + s.mark.ljust(64, b"\0") + b"\0" * 128 +
        b"\x63\x82\x53\x63\xff"), UDP, src="0.0.0.0", dst="255.255.255.255", to=b"\xff" * 6)], v=4, sides=1)


site()
# A device without Ethernet headers sees packets alone: no tags, no MAC addresses, no DHCP.
PACKETS = [c for c in CASES if c.kind != "link" and c.ident[0] != "A" and c.ident != "G-8" and "DHCP" not in c.text and "tags" not in c.text]
PARTS = {"main": (CASES, ("allow", "deny")), "site": (SITE, ("strict", "loose")), "l3": (PACKETS, ("allow", "deny"))}
