# SPDX-License-Identifier: GPL-2.0-only
"""Puts the cases of hostile_cases.py on a wire, looks at what real sockets behind it get, and compares.

hostile.py run NODE-NETNS OUT [--peer NETNS] [--part NAME] [--reasons PINS]
    Sends all cases of a part by a packet socket on the peer's eth0 (without a peer: by the node's eth0, a tun) and writes what came of each to OUT (JSON):
    "D" delivered or answered as asked, "s" a connection that only began, "r" refused by a RST, "-" nothing.
    --reasons: after every frame, which of weir's reasons has counted; their sums are printed.
hostile.py report DIR [--table]
    DIR has truth.json (no filter) and MODE-POLICY.json of every run. Prints a TAP line a case, and the totals.
"""

import argparse
import ctypes
import errno
import fcntl
import json
import os
import re
import select
import socket
import struct
import subprocess
import sys
import time

from frames import (ACK, ARP, FRAGMENT, ICMP, ICMP6, IP4, IP6, OPTIONS, PSH, RST, SYN, TCP, UDP, ethernet, extension,
                    fragment_header, icmp4, icmp6, ip4, ip6, mac, tcp, text, udp)
import hostile_cases

OPEN, SHUT = 0, 1
ALL = 0x0003
IP_MTU, IPV6_MTU, IP_RECVERR, IPV6_RECVERR, SO_RCVBUFFORCE = 14, 24, 11, 25, 33
WIRE_MTU = 3000
LINKS = (0x0001, 0x0004, 0x0600, IP4, ARP, IP6, 0x6558, 0x8035, 0x8100, 0x8847, 0x8848, 0x8863, 0x8864, 0x8809, 0x888E,
         0x88A8, 0x88CC, 0x9000, 0x9100)
RAW = {socket.AF_INET: (1, 2, 4, 33, 41, 47, 50, 51, 58, 89, 103, 112, 132, 136, 253),
       socket.AF_INET6: (1, 4, 33, 41, 47, 50, 58, 59, 89, 103, 112, 132, 136, 253)}
TAG_ASIDE = b"\x02\x58"
MARK = re.compile(rb"<W(\d{5})>")
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes, size=64):
    buffer = ctypes.create_string_buffer(attributes.ljust(size, b"\0"))
    result = libc.syscall({"x86_64": 321, "aarch64": 280}[os.uname().machine], command, buffer, size)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}")
    return result


def tag_aside(netns):
    """Frames that leave there from a MAC of 02:58:TCI get that tag as NICs hand it over: out of band."""
    little = sys.byteorder == "little"

    def insn(code, dst=0, src=0, off=0, imm=0):
        return struct.pack("=BBhi", code, src << 4 | dst if little else dst << 4 | src, off, imm)

    program = b"".join((
        insn(0xBF, 6, 1),                                   # r6 = skb
        insn(0x28, imm=6),                                  # r0 = half word at 6
        insn(0x55, 0, 0, 5, int.from_bytes(TAG_ASIDE, "big")),
        insn(0x28, imm=8),                                  # r0 = the TCI
        insn(0xBF, 3, 0),
        insn(0xB7, 2, imm=0x0081 if little else 0x8100),    # 802.1Q, in network byte order
        insn(0xBF, 1, 6),
        insn(0x85, imm=18),                                 # bpf_skb_vlan_push()
        insn(0xB7, 0, imm=0),                               # TC_ACT_OK
        insn(0x95)))
    code, licence = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"GPL")
    fd = bpf(5, struct.pack("=IIQQ", 3, len(program) // 8, ctypes.addressof(code), ctypes.addressof(licence)), 128)
    pin = f"/sys/fs/bpf/{netns}-aside"
    path = ctypes.create_string_buffer(pin.encode())
    if os.path.exists(pin):
        os.unlink(pin)
    bpf(6, struct.pack("=QII", ctypes.addressof(path), fd, 0))
    try:
        with Node(netns):  # not tc -n, which hides the bpffs
            for command in ("qdisc add dev eth0 clsact", f"filter add dev eth0 egress bpf direct-action object-pinned {pin}"):
                subprocess.run(["tc", *command.split()], check=True)
    finally:
        os.unlink(pin)
        os.close(fd)


class Node:
    """Where a host's own sockets are made: with Node(...): inside its namespace."""

    def __init__(self, name):
        self.fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
        self.name, self.home = name, os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    def __enter__(self):
        if libc.setns(self.fd, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")

    def __exit__(self, *_):
        libc.setns(self.home, 0x40000000)


class Shot:
    """A case on its way to one side, and the packets that it is made of: everything in it is its own, so that what is
    seen anywhere can be traced to it. Arguments give any field another value."""

    def __init__(self, lab, case, side, n):
        self.lab, self.case, self.side, self.n = lab, case, side, n
        self.name = ("open", "shut")[side]
        self.v = case.v or 4
        self.mark = b"<W%05d>" % n
        if case.aside is None:
            self.mac = b"\x02\x57" + n.to_bytes(4, "big")
        else:  # the other end's program makes a tag of it that is no part of the frame
            self.mac = TAG_ASIDE + case.aside.to_bytes(2, "big") + n.to_bytes(2, "big")
        self.node_mac = lab.node_mac
        self.sport, self.port, self.tport, self.noted, self.dhcpd = 10000 + n, 4000 + side, 8000 + side, 4002 + side, 67
        self.ident, self.mtu, self.isn = n * 4 + 1, 1400, None
        named = case.kind in ("echo", "raw") or case.ident in ("B-10", "D-11", "G-7", "F-1")
        last = ((10, 66)[side] if named else 20)
        if self.v == 4:
            self.src, self.dst, self.second, self.router = f"203.0.113.{last}", "203.0.113.1", "203.0.113.7", "203.0.113.254"
            self.peer = f"198.18.{n >> 8}.{n & 255}"
        else:
            self.src, self.dst = f"2001:db8:113::{last}", "2001:db8:113::1"
            self.second, self.router = "2001:db8:113::7", "fe80::fe"
            self.peer = f"2001:db8:99:{n:x}::1"
        # A connection with itself stays: the next policy's frames have another address.
        self.own = self.second if lab.start else self.dst
        self.far, self.far4 = f"2001:db8:98::{n:x}", f"198.19.{n >> 8}.{n & 255}"
        self.socket, self.answers, self.reasons = None, [], {}

    def data(self, fill=0):
        return self.mark + b"f" * fill

    def udp(self, *, data=None, fill=0, src=None, dst=None, sport=None, dport=None, **more):
        return udp(src or self.src, dst or self.dst, self.sport if sport is None else sport,
                   self.port if dport is None else dport, self.data(fill) if data is None else data, **more)

    def syn(self, *, flags=SYN, seq=1000, src=None, dst=None, sport=None, dport=None, **more):
        if self.isn is None:
            self.isn = seq
        return tcp(src or self.src, dst or self.dst, self.sport if sport is None else sport,
                   self.tport if dport is None else dport, flags, seq=seq, **more)

    def echo(self, *, kind=None, ident=None, fill=0, dst=None):
        body = struct.pack("!HH", self.n if ident is None else ident, 1)
        if self.v == 4:
            return icmp4(8 if kind is None else kind, 0, body, self.data(fill))
        return icmp6(self.src, dst or self.dst, 128 if kind is None else kind, 0, body, self.data(fill))

    def ip(self, payload, proto, *, src=None, dst=None, **more):
        if self.v == 4:
            more.setdefault("ident", self.ident & 0xFFFF)
        return (ip4 if self.v == 4 else ip6)(src or self.src, dst or self.dst, proto, payload, **more)

    def eth(self, payload, kind, *, dst=None, by=None, tags=()):
        return ethernet(dst or self.node_mac, self.mac if by is None else by, kind, payload, tags)

    def frame(self, payload, proto, *, tags=(), to=None, by=None, trailer=b"", **more):
        return self.eth(self.ip(payload, proto, **more) + trailer, IP4 if self.v == 4 else IP6, dst=to, by=by, tags=tags)

    def part(self, data, offset, more, *, proto=UDP, before=0, reserved=0, bits=0, **header):
        """A fragment: data of the datagram from offset on."""
        if self.v == 4:
            return self.frame(data, proto, offset=offset, more=more, **header)
        head = fragment_header(proto, offset, more, self.ident, reserved=reserved, bits=bits)
        if before:
            return self.frame(extension(FRAGMENT) + head + data, OPTIONS, **header)
        return self.frame(head + data, FRAGMENT, **header)

    def pieces(self, datagram, cuts, **more):
        ends = [c for c in cuts if c < len(datagram)] + [len(datagram)]
        starts = [0] + ends[:-1]
        return [self.part(datagram[a:b], a, int(b < len(datagram)), **more) for a, b in zip(starts, ends)]

    # ---- addresses and sockets that it needs for itself alone

    def from_port_zero(self):
        self.sport, k = 0, self.lab.next("zero")
        self.src = f"203.0.113.{100 + k}" if self.v == 4 else f"2001:db8:113::{100 + k:x}"

    @property
    def unused(self):
        return self.once("unused", lambda: f"203.0.113.{150 + self.lab.next('unused')}" if self.v == 4 else f"2001:db8:113::5:{self.n:x}")

    @property
    def known(self):
        return self.once("known", lambda: f"2001:db8:113::6:{self.lab.next('known'):x}")

    @property
    def group(self):
        def join():
            group = f"239.1.{self.n >> 8}.{self.n & 255}" if self.v == 4 else f"ff15::1:{self.n:x}"
            self.lab.join(group)
            return group
        return self.once("group", join)

    def once(self, name, make):
        value = self.__dict__.get("_" + name)
        if value is None:
            value = self.__dict__["_" + name] = make()
        return value

    def connect_udp(self):
        self.socket = socket.socket(socket.AF_INET if self.v == 4 else socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind((self.dst, 0))
        self.socket.connect((self.peer, 53))
        self.socket.send(b"question")
        return self.socket.getsockname()[1]

    def ping(self, _):
        family, proto = (socket.AF_INET, ICMP) if self.v == 4 else (socket.AF_INET6, ICMP6)
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, proto)
        self.socket.bind((self.dst, 0))
        self.socket.connect((self.peer, 0))
        self.socket.send((b"\x08" if self.v == 4 else b"\x80") + b"\0" * 7 + b"ping")
        return self.socket.getsockname()[1]

    def refused(self):
        return "D" if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) else "-"

    def mtu_changed(self):
        return "D" if mtu_of(self.socket) < WIRE_MTU else "-"

    def pinged(self):
        try:
            return "D" if self.mark in self.socket.recv(2000) else "-"
        except BlockingIOError:
            return "-"


def mtu_of(sock):
    if sock.family == socket.AF_INET:
        return sock.getsockopt(socket.IPPROTO_IP, IP_MTU)
    return sock.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)


class Segment:
    def __init__(self, raw, src, dst):
        self.src, self.dst = text(src), text(dst)
        self.sport, self.dport, self.seq, self.ack, _, self.flags = struct.unpack("!HHIIBB", raw[:14])


class Seen:
    """What the sockets of the node and the wire behind the peer have shown so far."""

    def __init__(self):
        self.datagrams, self.raw, self.links, self.streams, self.errors = [], set(), set(), {}, set()
        self.segments, self.echoes, self.idents, self.icmp = [], set(), set(), set()
        self.advertisements, self.arps, self.groups = [], set(), set()
        self.local, self.state = [], ""

    # ---- answers on the wire

    def frame(self, frame):
        kind = struct.unpack("!H", frame[12:14])[0]
        body = frame[14:]
        if kind == ARP and body[6:8] == b"\0\2":
            self.arps.add(body[18:24])
        elif kind == IP4:
            head = (body[0] & 15) * 4
            self.packet(body[12:16], body[16:20], body[9], body[head:struct.unpack("!H", body[2:4])[0]])
        elif kind == IP6:
            proto, rest = body[6], body[40:]
            if proto == 0:
                proto, rest = rest[0], rest[(rest[1] + 1) * 8:]
            self.packet(body[8:24], body[24:40], proto, rest)

    def packet(self, src, dst, proto, rest):
        if proto == TCP:
            self.segments.append(Segment(rest, src, dst))
        elif proto == ICMP:
            self.icmp.add((rest[0], rest[4:6]))
            if rest[0] == 0:
                self.echo(rest)
        elif proto == ICMP6 and rest[0] == 129:
            self.echo(rest)
        elif proto == ICMP6 and rest[0] == 136:
            self.advertisements.append((text(dst), text(rest[8:24])))
        elif proto == ICMP6 and rest[0] == 143:
            self.report(rest[8:], 16)
        elif proto == 2 and rest[0] == 0x22:
            self.report(rest[8:], 4)

    def echo(self, rest):
        self.idents.add(struct.unpack("!H", rest[4:6])[0])
        self.echoes.update(MARK.findall(rest))

    def report(self, records, size):
        while len(records) >= 4 + size:
            kind, _, sources = struct.unpack("!BBH", records[:4])
            if kind == 2:  # an answer to a query, not a change
                self.groups.add(text(records[4:4 + size]))
            records = records[4 + size + sources * size:]

    # ---- what came of a shot

    def tcp(self, shot, flags=SYN | ACK):
        for segment in reversed(self.segments):
            if (segment.dst, segment.dport, segment.sport) == (shot.src, shot.sport, shot.tport) and segment.flags & flags == flags:
                return segment
        return None

    def connection(self, shot):
        if shot.mark in self.streams.get((shot.src, shot.sport), (b"",))[0]:
            return "D"
        if self.tcp(shot):
            return "s"
        return "r" if self.tcp(shot, RST) else "-"

    def datagram(self, shot):
        other = (4001, 4000)[shot.side]
        for port, sport, data in self.datagrams:
            if port != other and (shot.mark in data or (sport and sport == shot.sport)):
                return "D"
        return "-"

    def any_tcp(self, shot, address, port):
        """Answers that the node sends to itself pass its loopback device."""
        hit = any((s.dst, s.dport, s.sport) == (address, port, shot.tport) for s in self.local + self.segments)
        return "D" if hit else "-"

    def aside(self, shot, address):
        """An answer that may go out by another link leaves a half-open connection, or an entry in the list of segments."""
        hit = re.search(rf"{re.escape(address)}\]?:{shot.sport}\b", self.state) or self.any_tcp(shot, address, shot.sport) == "D"
        return "D" if hit else "-"

    def echoed(self, shot):
        return "D" if shot.mark[2:7] in self.echoes or shot.n in self.idents else "-"

    def in_raw(self, shot):
        return "D" if shot.mark[2:7] in self.raw else "-"

    def linked(self, shot):
        return "D" if shot.mac in self.links else "-"

    def noted_error(self, shot):
        return "D" if shot.peer in self.errors else "-"

    def accepted_mtu(self, shot):
        stream = self.streams.get((shot.src, shot.sport))
        return "D" if stream and mtu_of(stream[1]) < WIRE_MTU else "-"

    def advertised(self, dst, target=None):
        return "D" if any(d == dst and target in (None, t) for d, t in self.advertisements) else "-"

    def resolved(self, address):
        return "D" if address in self.arps else "-"

    def reported(self, group):
        return "D" if group in self.groups else "-"

    def icmp_answer(self, shot, kind):
        return "D" if (kind, struct.pack("!H", shot.n)) in self.icmp else "-"

    def neighbour(self, address, lladdr):
        return "D" if re.search(rf"^{re.escape(address)} .*lladdr {lladdr.hex(':')}", self.state, re.M) else "-"

    def default_route(self, router):
        return "D" if re.search(rf"^default .*via {re.escape(router)} ", self.state, re.M) else "-"

    def route_changed(self, address):
        return "D" if re.search(rf"^{re.escape(address)} .*(mtu|via)", self.state, re.M) else "-"


OUTCOME = {"udp": Seen.datagram, "tcp": Seen.connection, "echo": Seen.echoed, "raw": Seen.in_raw, "link": Seen.linked}


class Lab:
    """The sockets at both ends."""

    def __init__(self, node, peer, again=False):
        self.start = {"unused": 50, "known": 8, "zero": 20} if again else {}
        self.node, self.counters, self.seen = Node(node), {}, Seen()
        self.readers = {}
        with self.node:
            with open("/proc/thread-self/net/if_inet6") as f:
                self.index = next(int(line.split()[1], 16) for line in f if line.split()[5] == "eth0")
            link = subprocess.run(["ip", "-n", node, "-br", "link", "show", "eth0"], capture_output=True, text=True, check=True)
            self.node_mac = mac(link.stdout.split()[2]) if peer else b"\x02\0\0\0\0\x09"
            self.open_sockets()
            self.out = None if peer else self.open_tun()
        if peer:
            if not again:
                tag_aside(peer)
            with Node(peer):
                self.out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ALL))
                self.out.bind(("eth0", ALL))
                self.reader(self.out, self.read_wire)

    def next(self, name):
        self.counters[name] = self.counters.get(name, self.start.get(name, 0) - 1) + 1
        return self.counters[name]

    def reader(self, sock, read):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)
        self.readers[sock] = read

    def open_sockets(self):
        for family in (socket.AF_INET, socket.AF_INET6):
            for port in (4000, 4001, 4002, 4003, 4004) + ((67, 68) if family == socket.AF_INET else (546,)):
                self.open_udp(family, port)
            for port in (8000, 8001):
                listener = socket.socket(family, socket.SOCK_STREAM)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind(("", port))
                listener.listen(1024)
                self.reader(listener, self.read_listener)
            for proto in RAW[family]:
                self.reader(socket.socket(family, socket.SOCK_RAW, proto), self.read_raw)
        for kind in LINKS:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.bind(("eth0", kind))
            self.reader(sock, self.read_link)
        for kind in (IP4, IP6):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.bind(("lo", kind))
            self.reader(sock, self.read_loopback)
        self.groups = {4: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 6: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)}
        self.join("239.7.7.7")
        self.join("ff15::777")

    def open_udp(self, family, port):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.bind(("", port))
        self.reader(sock, self.read_udp)

    def join(self, group):
        raw = socket.inet_pton(socket.AF_INET6 if ":" in group else socket.AF_INET, group)
        if len(raw) == 4:
            self.groups[4].setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, raw + struct.pack("!I", 0) + struct.pack("=I", self.index))
        else:
            self.groups[6].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, raw + struct.pack("=I", self.index))

    def open_tun(self):
        """The other end of a device without Ethernet headers: its frames go without theirs."""
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"eth0", 0x0001))  # TUNSETIFF: IFF_TUN
        self.readers[fd] = self.read_tun
        return fd

    # ---- readers

    def read_tun(self, fd):
        packet = os.read(fd, 70000)  # two bytes of flags, two of Ethernet type
        self.seen.frame(b"\0" * 12 + packet[2:])

    def read_wire(self, sock):
        frame, address = sock.recvfrom(70000)
        if address[2] != 4:  # PACKET_OUTGOING
            self.seen.frame(frame)

    def read_loopback(self, sock):
        frame = sock.recv(70000)
        one = Seen()
        one.frame(frame)
        self.seen.local += one.segments

    def read_link(self, sock):
        self.seen.links.add(sock.recv(70000)[6:12])

    def read_raw(self, sock):
        self.seen.raw.update(MARK.findall(sock.recv(70000)))

    def read_udp(self, sock):
        try:
            data, address = sock.recvfrom(70000)
            self.seen.datagrams.append((sock.getsockname()[1], address[1], data))
        except OSError as error:
            if error.errno == errno.EAGAIN:
                while True:
                    self.seen.errors.add(sock.recvmsg(70000, 1000, socket.MSG_ERRQUEUE)[3][0])

    def read_listener(self, sock):
        try:
            connection, address = sock.accept()
        except ConnectionAbortedError:
            return
        self.seen.streams[address[:2]] = [b"", connection]
        self.reader(connection, lambda s: self.read_stream(s, address[:2]))

    def read_stream(self, sock, key):
        try:
            data = sock.recv(70000)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if data:
            self.seen.streams[key][0] += data
        else:
            del self.readers[sock]

    def collect(self, quiet=0.06, most=1.0):
        """Until nothing has come for a while."""
        end = time.monotonic() + most
        while time.monotonic() < end:
            ready = select.select(list(self.readers), [], [], quiet)[0]
            if not ready:
                return
            for sock in ready:
                try:
                    while sock in self.readers:
                        self.readers[sock](sock)
                except BlockingIOError:
                    pass

    def send(self, frame):
        for _ in range(100):
            try:
                return os.write(self.out, b"\0\0" + frame[12:]) if isinstance(self.out, int) else self.out.send(frame)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise OSError(error.errno, f"{error.strerror}: a frame of {len(frame)} bytes") from None
                time.sleep(0.001)
        raise TimeoutError("no room to send")

    def look(self):
        """What the node's tables say in the end."""
        for family, what in (("-4", "neigh"), ("-6", "neigh"), ("-4", "route show cache"), ("-6", "route show cache"), ("-6", "route")):
            self.seen.state += subprocess.run(["ip", "-n", self.node.name, family, *what.split()], capture_output=True, text=True,
                                              check=True).stdout
        self.seen.state += subprocess.run(["ss", "-N", self.node.name, "-Htan"], capture_output=True, text=True, check=True).stdout


class Reasons:
    """Counters of weir's reasons, read from their pinned map."""

    def __init__(self, pins):
        self.names = {}
        self.cpus = self.possible()
        self.fd = bpf(7, struct.pack("=QII", self.address(f"{pins}/maps/weir_rsncnt".encode()), 0, 0))
        header = os.path.join(os.path.dirname(__file__), "../../include/weir/reason.h")
        with open(header) as f:
            for value, name in re.findall(r'X\((\d+),\s*\w+,\s*"(\w+)"', f.read()):
                self.names[int(value)] = name
        self.last = self.read()

    @staticmethod
    def possible():
        with open("/sys/devices/system/cpu/possible") as f:
            return int(f.read().strip().split("-")[-1]) + 1

    def address(self, data):
        self.held = ctypes.create_string_buffer(data)
        return ctypes.addressof(self.held)

    def read(self):
        """Of each reason, packets passed and dropped."""
        totals, key, value = {}, ctypes.c_uint32(), ctypes.create_string_buffer(32 * self.cpus)
        for index in self.names:
            key.value = index
            bpf(1, struct.pack("=IIQQ", self.fd, 0, ctypes.addressof(key), ctypes.addressof(value)))
            cells = [struct.unpack_from("=QQQQ", value, 32 * cpu) for cpu in range(self.cpus)]
            totals[index] = (sum(c[0] for c in cells), sum(c[2] for c in cells))
        return totals

    def dropped(self):
        return sorted(f"{self.names[i]}={n}" for i, (_, n) in self.read().items() if n)

    def change(self):
        """Names of what was dropped for since the last call; a frame is judged a moment after it was sent."""
        for pause in (0, 0.0005, 0.002):
            time.sleep(pause)
            now = self.read()
            if now != self.last:
                now = self.read()
                break
        changed = [self.names[i] for i in self.names if now[i][1] != self.last[i][1]]
        self.last = now
        return changed


def play(shot):
    """Frames of a case, step by step; a handshake that began goes on."""
    case = shot.case
    if case.kind == "script":
        return case.build(shot)
    return play_tcp(shot) if case.kind == "tcp" else iter([case.build(shot)])


def play_tcp(shot):
    seen = yield shot.case.build(shot)
    answer = seen.tcp(shot)
    if not answer:
        return
    seq, ack = (shot.isn + 1) & 0xFFFFFFFF, (answer.seq + 1) & 0xFFFFFFFF
    last = shot.syn(flags=ACK | PSH, seq=seq, ack=ack, data=shot.data())
    first = shot.syn(flags=ACK, seq=seq, ack=ack)
    if shot.case.then:
        yield [shot.frame(first, TCP)]
        yield shot.case.then(shot, seq, ack)
    yield [shot.frame(first, TCP), shot.frame(last, TCP)]


def step(lab, play_of, shot, seen):
    with lab.node:
        try:
            return play_of[shot].send(seen) if hasattr(play_of[shot], "send") else next(play_of[shot])
        except StopIteration:
            del play_of[shot]
            return []


def run(args):
    lab = Lab(args.node, args.peer, args.first > 1)
    reasons = Reasons(args.reasons) if args.reasons else None
    shots = []
    for case in hostile_cases.PARTS[args.part][0]:
        if args.only and not re.search(args.only, case.name):
            continue
        for side in range(1 if case.plain else case.sides):
            shots.append(Shot(lab, case, side, args.first + len(shots)))
    plays = {shot: play(shot) for shot in shots}
    lab.collect()
    first = True
    while plays:
        frames = [(shot, frame) for shot in shots if shot in plays
                  for frame in step(lab, plays, shot, None if first else lab.seen)]
        for shot, frame in frames:
            if reasons:
                reasons.last = reasons.read()  # what came late belongs to nobody
            lab.send(frame)
            if reasons:
                for name in reasons.change():
                    shot.reasons[name] = shot.reasons.get(name, 0) + 1
        lab.collect()
        first = False
    lab.collect(0.15)
    lab.look()
    result = {}
    for shot in shots:
        case = shot.case
        outcome = case.seen(shot, lab.seen) if case.seen else OUTCOME[case.kind](lab.seen, shot)
        result.setdefault(case.name, {})[shot.name] = {"seen": outcome, "reasons": sorted(shot.reasons)}
    with open(args.out, "w") as f:
        json.dump(result, f)
    if reasons:
        print(*reasons.dropped())


# ---- the report

MODES = ("native", "generic", "tc", "nft")


def wanted(case, side, policy):
    if case.must:
        return "pass"
    if side == "shut":
        return "drop"
    right = case.right if isinstance(case.right, str) else case.right[policy]
    return "pass" if case.plain and policy == "deny" else right


def judge(case, side, policy, truth, seen):
    """What is wrong with a cell: "" nothing, "bypass", "lost"."""
    if truth == "-":
        return ""
    if wanted(case, side, policy) == "drop":
        return "bypass" if seen != "-" else ""
    # A RST is no payload; nor is a connection that only begins: accept() gives up those from port 0 by itself.
    return "" if seen == truth or truth in "sr" else "lost"


def counted_as(case, side, policy):
    """What a cell is about: refused by the policy's rules, or by weir in any case, or let through."""
    if wanted(case, side, policy) == "pass":
        return "pass"
    return "denied" if case.right == "pass" or case.plain else "refused"


def judge_reasons(case, side, policy, truth, reasons):
    """Where frames were sent one by one: what was dropped has its own reason, and what passes has none."""
    if side == "shut" and case.refused == ():
        return ""
    if wanted(case, side, policy) == "pass":
        if truth in "-s":  # what the stack says about it may be dropped
            return ""
        more = set(reasons) - set(case.reasons)
        return f"passes, but counts {'+'.join(sorted(more))}" if more else ""
    if not reasons:
        return "drops without a reason" if case.reasons or side == "shut" and case.right != "drop" else ""
    allowed = set(case.reasons) | (set() if side == "open" and case.reasons else set(case.refused or ("default",)))
    if case.right == "drop" and not case.reasons:
        return ""
    return "" if set(reasons) & allowed else f"drops as {'+'.join(reasons)}, not {'/'.join(sorted(allowed))}"


class Report:
    def __init__(self, directory, part):
        self.cases, self.policies = hostile_cases.PARTS[part]
        self.part = part
        self.runs = {}
        for name in os.listdir(directory):
            if name.endswith(".json"):
                with open(os.path.join(directory, name)) as f:
                    self.runs[name[:-5]] = json.load(f)
        self.modes = [m for m in MODES if all(f"{m}-{p}" in self.runs for p in self.policies)]
        self.first = (self.modes[0], self.policies[0])  # went frame by frame
        self.totals = {mode: {kind: [0, 0] for kind in ("denied", "refused", "pass")} for mode in self.modes}
        self.failed = 0

    def cells(self, case):
        for side, truth in self.runs["truth"][case.name].items():
            for policy in self.policies:
                for mode in self.modes:
                    yield side, policy, mode, truth["seen"], self.runs[f"{mode}-{policy}"][case.name][side]

    def case(self, case):
        wrong, proves = [], False
        for side, policy, mode, truth, got in self.cells(case):
            fault = judge(case, side, policy, truth, got["seen"])
            # Frames that are no IP packets never come to a chain of the inet family.
            if truth != "-" and not (mode == "nft" and case.kind == "link"):
                counts = self.totals[mode][counted_as(case, side, policy)]
                counts[0] += fault != ""
                counts[1] += truth == "D" or counted_as(case, side, policy) != "pass"
            proves |= truth != "-"
            if case.ident == "0" and truth != "D" and mode == self.modes[0]:
                wrong.append(f"{side}: ordinary traffic does not arrive without weir either")
            if mode == "nft":
                continue
            if fault:
                wrong.append(f"{mode} {policy} {side}: {fault} ({truth} without weir, {got['seen']} with it)")
            if (mode, policy) == ("native", "allow"):
                why = judge_reasons(case, side, policy, truth, got["reasons"])
                if why:
                    wrong.append(f"{side}: {why}")
        return wrong, proves

    def row(self, case):
        sides = self.runs["truth"][case.name]
        groups = []
        for policy in self.policies:
            for side in ("open", "shut"):
                if side not in sides:
                    groups.append(" " * len(self.modes))
                    continue
                groups.append("".join(
                    self.runs[f"{mode}-{policy}"][case.name][side]["seen"] if not (mode == "nft" and case.kind == "link") else "."
                    for mode in self.modes))
        reasons = sorted({r for cell in self.runs["-".join(self.first)][case.name].values() for r in cell["reasons"]})
        truth = "".join(cell["seen"] for cell in sides.values()).ljust(2)
        right = "must" if case.must else case.right if isinstance(case.right, str) else "site"
        right += "*" * case.plain
        return f"{case.ident:5} {'v%d' % case.v if case.v else '  '} {case.text[:58]:58} {case.kind:6} {truth}   {right:5} {'  '.join(groups)}  {','.join(reasons)}"

    def table(self):
        names = {"allow": "allowlist", "deny": "denylist"}
        print(f"{'':75}    stack right  {'   '.join(names.get(p, p).ljust(9) for p in self.policies)}")
        print(f"{'':75}               {'  '.join(['open', 'shut'] * 2)}  (each: {', '.join(self.modes)})  weir's reasons")
        for case in self.cases:
            print(self.row(case))
        print("D delivered or answered, s a connection that only began, r refused by the stack, - nothing, . never asked;")
        print("stack: open and shut side without a filter; drop*: refused by a default of deny alone; site: as the site chose.")

    def tap(self, quiet):
        proving = 0
        for case in self.cases:
            wrong, proves = self.case(case)
            proving += proves
            if wrong:
                self.failed += 1
                print(f"not ok {self.part}: {case.name}: {'; '.join(wrong)}")
            elif not quiet:
                print(f"ok {self.part}: {case.name}{'' if proves else ' (the stack itself drops it)'}")
        print(f"# {self.part}: {len(self.cases)} cases, {proving} of which the stack delivers without a filter")
        for mode in self.modes:
            got = {kind: f"{bad:3} of {of:4}" for kind, (bad, of) in self.totals[mode].items()}
            print(f"# {mode + ':':9}{got['denied']} that the policy denies and {got['refused']} that none should take got through,"
                  f"{got['pass']} benign were lost")


def report(args):
    one = Report(args.directory, args.part)
    if args.table:
        one.table()
    one.tap(args.table)
    return 1 if one.failed else 0


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run")
    for name in ("node", "out"):
        runner.add_argument(name)
    runner.add_argument("--peer", help="namespace of the other end; without it, eth0 is a tun device")
    runner.add_argument("--reasons")
    runner.add_argument("--first", type=int, default=1, help="number of the first frame: a host that has seen others gets new ones")
    runner.add_argument("--only", help="cases whose name matches")
    reporter = commands.add_parser("report")
    reporter.add_argument("directory")
    reporter.add_argument("--table", action="store_true")
    for sub in (runner, reporter):
        sub.add_argument("--part", default="main")
    args = parser.parse_args()
    if args.command == "run":
        return run(args)
    return report(args)


if __name__ == "__main__":
    sys.exit(main())
