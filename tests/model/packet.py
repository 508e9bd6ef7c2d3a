# SPDX-License-Identifier: GPL-2.0-only
"""What a frame is, read by the RFCs and by the catalogue of attacks: nothing here is taken from the C code.

read(frame) returns a Packet. Its `bad` holds every reason for which the frame must be dropped whoever sent it; several
may apply, and the order in which a filter looks is its own affair. `may_drop` holds reasons for which it may be dropped
though it need not be: where the text says "or", or leaves a shape to the receiving stack.
"""

from struct import unpack_from

TCP, UDP, SCTP, ICMP, IGMP, ICMP6 = 6, 17, 132, 1, 2, 58
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
HOPOPTS, ROUTING, FRAGMENT, AH, DSTOPTS = 0, 43, 44, 51, 60
MAX_TAGS, MAX_EXTENSIONS = 8, 16
CTAG, STAG = 0x8100, 0x88A8

ANY6, MAPPED = bytes(16), bytes(10) + b"\xff\xff"
CONTROL = b"\x01\x80\xc2\x00\x00"
ERRORS = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
ECHO = {4: (8, 0), 6: (128, 129)}


class Packet:
    def __init__(self):
        self.bad, self.may_drop = set(), set()
        self.kind = "ip"  # ip, arp, control
        self.family = 0
        self.src = self.dst = self.smac = self.dmac = b""
        self.proto = -1
        self.fragment = None  # first, later
        self.ident = 0
        self.sport = self.dport = 0
        self.flags = 0
        self.icmp_type = self.icmp_code = -1
        self.echo_id = 0
        self.error = False
        self.inner = None  # Inner
        self.length = 0  # IP total length, of all segments
        self.segments, self.first_length = 1, 0
        self.l4_header = 8
        self.hops = 0
        self.chain = 0  # extension headers
        self.options = False  # of IPv4
        self.init = False  # SCTP INIT
        self.payload = b""
        self.arp = None  # op, sender, target
        self.tagged = False
        self.elsewhere = False  # to a MAC that is not the interface's
        self.vlan = 0  # of the one tag that names a VLAN

    @property
    def opens_tcp(self):
        return self.flags & (SYN | ACK) == SYN

    def service(self):
        """(protocol, number) that this packet would open."""
        if self.proto in (TCP, UDP, SCTP):
            return self.proto, self.dport
        if self.icmp_type >= 0:
            return self.proto, self.icmp_type
        return self.proto, 0


class Inner:
    """The packet that an ICMP error quotes."""

    def __init__(self):
        self.src = self.dst = b""
        self.proto = -1
        self.sport = self.dport = 0
        self.icmp_type = -1
        self.echo_id = 0
        self.flags = None


def read(frame):
    p = Packet()
    n = len(frame)
    if n < 14:
        p.bad.add("truncated")
        return p
    p.dmac, p.smac = frame[:6], frame[6:12]
    if p.smac[0] & 1 or p.smac == bytes(6):
        p.bad |= {"martian_source", "bad_header"}  # A-9 names no reason
    (ethertype,) = unpack_from(">H", frame, 12)
    off, tags = 14, 0
    while ethertype in (CTAG, STAG):
        tags += 1
        if n < off + 4:
            p.bad.add("truncated")
            if tags > MAX_TAGS:
                p.bad.add("vlan")
            return p
        tci, inside = unpack_from(">HH", frame, off)
        vid = tci & 0xFFF
        if tags > MAX_TAGS or (vid and (p.vlan or ethertype == STAG)):
            p.bad.add("vlan")
            return p
        p.vlan = p.vlan or vid
        ethertype = inside
        off += 4
    p.tagged = tags > 0
    if ethertype == 0x0800:
        p.family = 4
        read_ip4(p, frame, off, n)
    elif ethertype == 0x86DD:
        p.family = 6
        read_ip6(p, frame, off, n)
    elif ethertype == 0x0806:
        p.kind = "arp"
        read_arp(p, frame, off, n)
    elif p.dmac[:5] == CONTROL and p.dmac[5] < 16 and (ethertype < 0x600 or ethertype in (0x888E, 0x8809, 0x88CC)):
        p.kind = "control"
        if p.tagged:
            p.may_drop.add("ethertype")
    elif ethertype == 0x888E:
        p.kind = "control"  # an authenticator may answer to the station's own address
        p.may_drop.add("ethertype")
    else:
        p.bad.add("ethertype")
    return p


def read_arp(p, frame, off, n):
    if n < off + 28:
        p.bad |= {"bad_arp", "truncated"}
        return
    hardware, protocol, hlen, plen, op = unpack_from(">HHBBH", frame, off)
    if (hardware, protocol, hlen, plen) != (1, 0x800, 6, 4):
        p.bad.add("bad_arp")
    if op not in (1, 2):
        p.may_drop.add("bad_arp")
    p.arp = (op, frame[off + 14 : off + 18], frame[off + 24 : off + 28])


# ---- IPv4


def checksum(data):
    if len(data) & 1:
        data += b"\0"
    return sum(unpack_from(f">{len(data) // 2}H", data)) % 0xFFFF


def options_bad(options):
    """RFC 791: source routes are refused, and an option must lie within the header."""
    i = 0
    while i < len(options):
        kind = options[i]
        if kind == 0:
            return False
        if kind == 1:
            i += 1
            continue
        if kind in (131, 137):
            return True
        if i + 1 >= len(options) or options[i + 1] < 2 or i + options[i + 1] > len(options):
            return True
        i += options[i + 1]
    return False


def martian4(p):
    s, d = p.src, p.dst
    if s[0] == 0:
        # DHCP of a host without address; its shape is judged with the must-not-break set
        dhcp = p.proto == UDP and (p.sport, p.dport) == (68, 67)
        if s != bytes(4) or not (dhcp or p.proto == IGMP):  # RFC 3376 4.2.13: a report of a host without address
            p.bad.add("martian_source")
    if s[0] == 127 or s[0] >= 224 or s[:3] == b"\xc0\x58\x63":
        p.bad.add("martian_source")
    if d[0] == 127 or d[0] == 0 or d[:3] == b"\xc0\x58\x63":
        p.bad.add("martian_destination")
    if 240 <= d[0] and d != b"\xff" * 4:
        p.may_drop.add("martian_destination")  # reserved; the catalogue speaks of sources only
    if s == d:
        p.bad.add("land")


def read_ip4(p, frame, off, n):
    if n < off + 20:
        p.bad.add("truncated")
        return
    first, total = frame[off], (frame[off + 2] << 8) | frame[off + 3]
    header = (first & 15) * 4
    if first >> 4 != 4 or header < 20:
        p.bad.add("bad_header")
        return
    if n < off + header:
        p.bad |= {"truncated", "bad_length"}
        if total < header:
            p.bad.add("bad_length")
        return
    if checksum(frame[off : off + header]):
        p.bad.add("bad_checksum")
    if total < header:
        p.bad |= {"bad_length", "bad_header"}
        return
    if off + total > n:
        p.bad.add("bad_length")
        return
    p.length = total
    p.options = header > 20
    if p.options and options_bad(frame[off + 20 : off + header]):
        p.bad.add("ip_options")
    p.src, p.dst = frame[off + 12 : off + 16], frame[off + 16 : off + 20]
    p.proto, p.hops = frame[off + 9], frame[off + 8]
    (p.ident,) = unpack_from(">H", frame, off + 4)
    (word,) = unpack_from(">H", frame, off + 6)
    offset = (word & 0x1FFF) * 8
    if word & 0x3FFF:
        fragment(p, offset, word & 0x2000, total - header)
    if p.fragment == "later":
        if offset == 8 and p.proto == TCP:
            p.bad.add("bad_fragment")
    else:
        read_l4(p, frame, off + header, off + total)
    martian4(p)


def fragment(p, offset, more, size):
    p.fragment = "later" if offset else "first"
    if offset + size > 65535 or (more and size % 8) or not size:
        p.may_drop.add("bad_fragment")  # the stack drops it: RFC 791, RFC 8200 4.5


# ---- IPv6


def martian6(p):
    s, d = p.src, p.dst
    if s == ANY6:
        if not unspecified_source(p):
            p.bad.add("martian_source")
    elif s[:15] == ANY6[:15] and s[15] == 1:
        p.bad.add("martian_source")
    if s[0] == 0xFF or s[:12] == MAPPED or s[:2] == b"\x20\x02" or s[:4] == b"\x20\x01\x00\x00":
        p.bad.add("martian_source")
    if d[:15] == ANY6[:15] and d[15] < 2:
        p.bad.add("martian_destination")
    if d[:12] == MAPPED or d[:2] == b"\x20\x02" or d[:4] == b"\x20\x01\x00\x00":
        p.bad.add("martian_destination")
    if d[0] == 0xFF and d[1] & 15 < 2:
        p.may_drop.add("martian_destination")  # RFC 4291 2.7: never leaves its node
    if s == d:
        p.bad.add("land")


def unspecified_source(p):
    """:: is for duplicate address detection and for listener reports only."""
    if p.proto != ICMP6 or p.fragment:
        return False
    if p.icmp_type == 133:
        p.may_drop.add("martian_source")  # RFC 4861 4.1 allows it
        return True
    if p.icmp_type in (130, 132):
        p.may_drop.add("martian_source")
        return True
    return p.icmp_type in (135, 131, 143)


def read_ip6(p, frame, off, n):
    if n < off + 40:
        p.bad.add("truncated")
        return
    if frame[off] >> 4 != 6:
        p.bad.add("bad_header")
        return
    payload, nexthdr, p.hops = unpack_from(">HBB", frame, off + 4)
    p.src, p.dst = frame[off + 8 : off + 24], frame[off + 24 : off + 40]
    if payload == 0 or off + 40 + payload > n:
        p.bad.add("bad_length")
        return
    p.length = 40 + payload
    walk(p, frame, off + 40, off + 40 + payload, nexthdr)
    martian6(p)


def walk(p, frame, at, end, nexthdr):
    walk_chain(p, frame, at, end, nexthdr)
    if p.fragment and p.bad:
        p.bad.add("bad_fragment")  # a chain that does not end in the first fragment


def walk_chain(p, frame, at, end, nexthdr):
    fragmented = False
    chain = 0
    while True:
        if nexthdr == HOPOPTS and chain:
            p.bad |= {"extension_headers", "bad_length"}  # a length behind it may be wrong as well
            return
        if nexthdr == ROUTING:
            p.bad |= {"extension_headers", "bad_length"}
            return
        if nexthdr not in (HOPOPTS, FRAGMENT, AH, DSTOPTS):
            break
        chain += 1
        if chain > MAX_EXTENSIONS:
            p.may_drop.add("extension_headers")  # at least so many are walked
        if chain > 64:
            p.bad |= {"extension_headers", "bad_length"}
            return
        if at + 8 > end:
            p.bad |= {"bad_length", "truncated", "extension_headers"}
            if p.fragment:
                p.bad.add("bad_fragment")
            return
        if nexthdr == FRAGMENT:
            if fragmented:
                p.bad |= {"bad_fragment", "extension_headers"}
                return
            fragmented = True
            word, p.ident = unpack_from(">HI", frame, at + 2)
            nexthdr = frame[at]
            at += 8
            if word & 0xFFF9:
                fragment(p, word & 0xFFF8, word & 1, end - at)
            if p.fragment == "later":
                p.chain, p.proto = chain, nexthdr
                if word & 0xFFF8 == 8 and nexthdr == TCP:
                    p.bad.add("bad_fragment")
                if nexthdr == FRAGMENT:
                    p.may_drop.add("bad_fragment")
                if nexthdr == ICMP6:
                    p.may_drop.add("bad_nd")
                return
            continue
        if nexthdr == AH:
            p.may_drop |= {"extension_headers", "default", "deny", "no_flow"}  # C-11: or drop AH
            size = (frame[at + 1] + 2) * 4
        else:
            size = (frame[at + 1] + 1) * 8
        if at + size > end:
            p.bad |= {"bad_length", "truncated", "extension_headers"}
            if p.fragment:
                p.bad.add("bad_fragment")
            return
        nexthdr = frame[at]
        at += size
    p.chain, p.proto = chain, nexthdr
    read_l4(p, frame, at, end)
    if fragmented and p.proto == ICMP6 and 133 <= p.icmp_type <= 137:
        p.bad.add("bad_nd")  # RFC 6980, of atomic fragments too


# ---- transport


def read_l4(p, frame, at, end):
    """A whole packet, or a first fragment, which must hold its transport header."""
    room = end - at
    short = {"bad_fragment", "bad_length", "truncated"} if p.fragment else {"bad_length", "truncated"}
    p.payload = frame[at:end]
    if p.proto == TCP:
        read_tcp(p, frame, at, room, short)
    elif p.proto == UDP:
        if room < 8:
            p.bad |= short
            return
        p.sport, p.dport, length = unpack_from(">HHH", frame, at)
        if length < 8 or (length > room and not p.fragment):
            p.bad.add("bad_length")
        if p.fragment and length < room:
            p.may_drop |= {"bad_fragment", "bad_length"}
    elif p.proto == SCTP:
        if room < 12:
            p.bad |= short
            return
        p.sport, p.dport = unpack_from(">HH", frame, at)
        if room < 16:
            p.may_drop |= short
        else:
            p.init = frame[at + 12] == 1
    elif p.proto == (ICMP if p.family == 4 else ICMP6):
        read_icmp(p, frame, at, end, short)
    elif p.proto in (ICMP, ICMP6):
        p.may_drop |= {"bad_header", "default", "deny"}  # the other family's: no receiver
    elif p.family == 6 and p.proto in (135, 139, 140):
        p.may_drop |= {"extension_headers", "default", "deny"}  # C-8
    if p.proto in (TCP, UDP, SCTP) and p.dport == 0 and room >= 8:
        p.bad.add("port_zero")


def read_tcp(p, frame, at, room, short):
    if room < 20:
        p.bad |= short
        return
    p.sport, p.dport = unpack_from(">HH", frame, at)
    header = p.l4_header = (frame[at + 12] >> 4) * 4
    if header < 20:
        p.bad |= {"bad_header", "bad_length"}
    elif header > room:
        p.bad |= short | {"bad_header"}
    p.flags = flags = frame[at + 13]
    if not flags & (SYN | ACK | RST) or (flags & SYN and flags & (FIN | RST)):
        p.bad.add("tcp_flags")
    if flags & RST and flags & FIN:
        p.may_drop.add("tcp_flags")
    if flags & RST and flags & URG or flags & (SYN | ACK | URG) == SYN | ACK | URG:
        p.may_drop.add("tcp_flags")


def read_icmp(p, frame, at, end, short):
    if end - at < 8:
        p.bad |= short
        return
    kind = p.icmp_type = frame[at]
    p.icmp_code = frame[at + 1]
    if kind in ECHO[p.family]:
        (p.echo_id,) = unpack_from(">H", frame, at + 4)
    if kind in ERRORS[p.family]:
        p.error = True
        if p.fragment:
            p.may_drop |= {"icmp_error", "bad_fragment"}
        p.inner = (read_inner4 if p.family == 4 else read_inner6)(frame, at + 8, end)
    if p.family == 4:
        if kind in (4, 5):
            p.bad |= {"icmp_error"}
        if 13 <= kind <= 18:
            p.bad.add("icmp_type")  # G-10
        return
    if kind < 128 and not p.error:
        # RFC 4443 2.1: error messages all; what these quote is known by RFC 4443 2.4 (c)
        p.error = True
        p.inner = read_inner6(frame, at + 8, end)
        p.may_drop.add("icmp_error")
    if 133 <= kind <= 137:
        read_nd(p, frame, at, end)
    if kind in (130, 131, 132, 143) and p.hops != 1:
        p.bad.add("bad_nd")  # RFC 2710 3, RFC 3810 5: must have been sent with 1


ND_SIZE = {133: 8, 134: 16, 135: 24, 136: 24, 137: 40}


def read_nd(p, frame, at, end):
    if p.hops != 255 or p.chain or p.fragment:
        p.bad.add("bad_nd")
    size = ND_SIZE[p.icmp_type]
    if end - at < size:
        p.may_drop |= {"bad_nd", "truncated", "bad_length"}  # RFC 4861 6.1, 7.1, 8.1: the receiver refuses it
        return
    soft = p.icmp_code != 0 or p.icmp_type == 137  # G-5: redirects from allowed ports only
    if p.icmp_type in (135, 136):
        soft |= frame[at + 8] == 0xFF
    if p.icmp_type in (134, 137):
        soft |= p.src[:2] != b"\xfe\x80"
    if p.icmp_type == 135 and p.src == ANY6:
        soft |= p.dst[:13] != bytes.fromhex("ff0200000000000000000001ff")
    if p.icmp_type == 136 and p.dst[0] == 0xFF:
        soft |= bool(frame[at + 4] & 0x40)
    option = at + size
    while option + 2 <= end and not soft:
        length = frame[option + 1] * 8
        if not length or option + length > end:
            soft = True
        option += length or 8
    if soft:
        p.may_drop.add("bad_nd")  # RFC 4861 6.1, 7.1, 8.1: the receiver refuses it


# ---- what an error quotes


def read_inner4(frame, at, end):
    if end - at < 20 or frame[at] >> 4 != 4:
        return None
    header = (frame[at] & 15) * 4
    if header < 20 or at + header > end:
        return None
    (word,) = unpack_from(">H", frame, at + 6)
    if word & 0x1FFF:
        return None
    q = Inner()
    q.proto = frame[at + 9]
    q.src, q.dst = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
    q.odd = header > 20
    return inner_l4(q, frame, at + header, end, 4)


def read_inner6(frame, at, end):
    if end - at < 40 or frame[at] >> 4 != 6:
        return None
    q = Inner()
    q.src, q.dst = frame[at + 8 : at + 24], frame[at + 24 : at + 40]
    nexthdr = frame[at + 6]
    q.odd = nexthdr in (HOPOPTS, FRAGMENT, AH, DSTOPTS, ROUTING)
    at += 40
    for _ in range(64):
        if nexthdr not in (HOPOPTS, FRAGMENT, AH, DSTOPTS, ROUTING):
            q.proto = nexthdr
            return inner_l4(q, frame, at, end, 6)
        if at + 8 > end:
            return None
        if nexthdr == FRAGMENT:
            (word,) = unpack_from(">H", frame, at + 2)
            if word & 0xFFF8:
                return None
            size = 8
        elif nexthdr == AH:
            size = (frame[at + 1] + 2) * 4
        else:
            size = (frame[at + 1] + 1) * 8
        nexthdr = frame[at]
        at += size
        if at > end:
            return None
    return None


def inner_l4(q, frame, at, end, family):
    q.short = end - at < 8
    if q.short:
        if q.proto in (TCP, UDP, SCTP, ICMP, ICMP6):
            return None
        return q
    if q.proto in (TCP, UDP, SCTP):
        q.sport, q.dport = unpack_from(">HH", frame, at)
        if q.proto == TCP and end - at >= 14:
            q.flags = frame[at + 13]
    elif q.proto == (ICMP if family == 4 else ICMP6):
        q.icmp_type = frame[at]
        if q.icmp_type in ERRORS[family] or (family == 4 and q.icmp_type in (4, 5)):
            return None
        if q.icmp_type in ECHO[family]:
            (q.echo_id,) = unpack_from(">H", frame, at + 4)
    return q
