#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Frames that a container sends in the name of others, and who gets them.

spoof.py build             two networks: attacker, victim and peer on one, far on the other
spoof.py send ground|weir  every shape to everybody, in the attacker's namespace; watched everywhere

Every shape carries a mark of its own: where it arrives, it is known again. Without weir they arrive; with it, and with a policy that
allows everything, none does, and each is counted as spoofed.
"""

import collections
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time

from dock import Engine, check, finish, inside, role, weir_json

PREFIX = b"spoof"
LAN4, LAN6 = "172.31.5.", "2001:db8:5::"
WHO = {"attacker": 10, "victim": 11, "peer": 12}
FAR = ("172.31.6.10", "2001:db8:6::10")
NODE, CLIENT = ("203.0.113.1", "2001:db8:113::1"), ("203.0.113.10", "2001:db8:113::10")
GATEWAY = (LAN4 + "1", LAN6 + "1")
BROADCAST = b"\xff" * 6


def lan(name):
    return LAN4 + str(WHO[name]), LAN6 + str(WHO[name])


def build(engine):
    engine.network("lan", [LAN4 + "0/24", LAN6 + "/64"])
    engine.network("elsewhere", ["172.31.6.0/24", "2001:db8:6::/64"])
    for name in WHO:
        engine.create(name, ["wire", "listen", "tcp:80", "udp:53"], "lan", *lan(name), host={"CapAdd": ["NET_RAW"]})
        engine.start(name)
    engine.create("far", ["wire", "listen", "tcp:80", "udp:53"], "elsewhere", *FAR)
    engine.start("far")


# ---- frames


class Mark:
    """Of the frame that is being built: eight bytes, its number in the list of shapes."""

    now = PREFIX + b"000"


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def ip(source, destination, protocol, payload, hops=64):
    s, d = packed(source), packed(destination)
    if len(s) == 16:
        return b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + s + d + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 7, 0, hops, protocol, 0, s, d)
    return b"\x08\x00" + head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def summed(source, destination, protocol, payload, at):
    pseudo = packed(source) + packed(destination)
    pseudo += struct.pack("!II", len(payload), protocol) if ":" in source else struct.pack("!HH", protocol, len(payload))
    return payload[:at] + struct.pack("!H", checksum(pseudo + payload)) + payload[at + 2 :]


def udp(source, destination):
    return ip(source, destination, 17, summed(source, destination, 17, struct.pack("!HHHH", 5353, 53, 16 + 8, 0) + Mark.now + b"8 bytes.", 6))


def tcp(source, destination):
    """An opening SYN; the mark is its payload."""
    segment = struct.pack("!HHIIBBHHH", 4000, 80, 1, 0, 5 << 4, 2, 1024, 0, 0) + Mark.now
    return ip(source, destination, 6, summed(source, destination, 6, segment, 16))


def echo(source, destination):
    if ":" in source:
        return ip(source, destination, 58, summed(source, destination, 58, struct.pack("!BBHHH", 128, 0, 0, 9, 1) + Mark.now, 2))
    message = struct.pack("!BBHHH", 8, 0, 0, 9, 1) + Mark.now
    return ip(source, destination, 1, message[:2] + struct.pack("!H", checksum(message)) + message[4:])


def other_protocol(source, destination):
    return ip(source, destination, 47, b"\0\0\x08\0" + Mark.now)


def arp(operation, sender_mac, sender, target_mac, target):
    """The mark is behind what ARP has to say, where a short frame has its padding."""
    return b"\x08\x06" + struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + sender_mac + packed(sender) + target_mac + packed(target) + Mark.now


def marked():
    """As an option of neighbour discovery, of an experimental type."""
    return b"\xfd\x02" + Mark.now + b"\0" * 6


def advertisement(source, target, mac, destination):
    """NA: @target is at @mac. Override is set."""
    body = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + packed(target) + b"\x02\x01" + mac + marked()
    return ip(source, destination, 58, summed(source, destination, 58, body, 2), 255)


def solicitation(source, target, mac, destination):
    """NS: who sends it says where @source is."""
    body = struct.pack("!BBHI", 135, 0, 0, 0) + packed(target) + b"\x01\x01" + mac + marked()
    return ip(source, destination, 58, summed(source, destination, 58, body, 2), 255)


# ---- who gets them


class Receivers:
    """Packet sockets in containers and outside; in the node sockets behind its own stack, since a packet socket there sees
    frames before any hook. What it learns of neighbours is looked at by itself."""

    def __init__(self, engine):
        self.got = collections.Counter()
        self.shapes = set()
        self.poll = select.epoll()
        self.sockets = {}
        for name in ("victim", "peer", "far"):
            self.tap(name, engine.netns(name))
        for name in ("client", "other"):
            self.tap(name, role(name))
        with inside(role("node")):
            for family, protocols in ((socket.AF_INET, (1, 6, 17, 47)), (socket.AF_INET6, (6, 17, 47, 58))):
                for protocol in protocols:
                    self.add("node", socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol))
        self.stopped = False
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def tap(self, where, netns):
        with inside(netns):
            self.add(where, socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(3)))

    def add(self, where, s):
        s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
        self.sockets[s.fileno()] = (s, where)
        self.poll.register(s.fileno(), select.EPOLLIN)

    def read(self):
        while not self.stopped:
            for fd, _ in self.poll.poll(0.05):
                s, where = self.sockets[fd]
                while True:
                    try:
                        data, meta = s.recvfrom(2048)
                    except OSError:
                        break
                    if s.family == socket.AF_PACKET and meta[2] == 4:  # what it sends itself
                        continue
                    if where == "node" and s.family == socket.AF_INET and data[9:10] == b"\1" and data[20] != 8:
                        continue  # an error that quotes what it is about: an answer is no delivery
                    at = data.find(PREFIX)
                    if at >= 0:
                        self.got[where] += 1
                        self.shapes.add(data[at : at + 8])

    def close(self):
        time.sleep(0.3)
        self.stopped = True
        self.thread.join()
        return self.got


def mac_of(netns, device="eth0"):
    with inside(netns):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        s.bind((device, 0))
        return s.getsockname()[4]


def bridge_of_lan(engine):
    return "br-" + engine.call("GET", "/networks/lan")["Id"][:12]


def shapes(engine, own):
    """[(what, frame)]. @own: with the attacker's own addresses instead, what has to arrive."""
    attacker = mac_of(engine.netns("attacker"))
    victim, peer = mac_of(engine.netns("victim")), mac_of(engine.netns("peer"))
    bridge = mac_of(role("node"), bridge_of_lan(engine))
    sources = {
        "another container's": lan("victim"),
        "the node's": NODE,
        "the gateway's": GATEWAY,
        "an outside": CLIENT,
        "another network's container's": FAR,
        "a nobody's": (LAN4 + "99", LAN6 + "99"),
    }
    if own:
        sources = {"its own": lan("attacker")}
    destinations = [("peer", peer, lan("peer")), ("victim", victim, lan("victim")), ("gateway", bridge, GATEWAY), ("node", bridge, NODE)]
    destinations += [("client", bridge, CLIENT), ("far", bridge, FAR)]
    made = []

    def shape(what, destination, source, build_one, *arguments):
        Mark.now = PREFIX + b"%03d" % len(made)
        made.append((what, destination + source + build_one(*arguments)))

    for whose, source in sources.items():
        for where, mac, destination in destinations:
            for s, d in zip(source, destination):
                for build_one in (udp, tcp, echo, other_protocol):
                    if s != d:
                        shape(f"{whose} address, {build_one.__name__} to {where}", mac, attacker, build_one, s, d)
        s4, s6 = source
        for where, mac, (d4, d6) in destinations[:3]:
            if s4 == d4:
                continue
            shape(f"ARP answer, {whose} address to {where}", mac, attacker, arp, 2, attacker, s4, mac, d4)
            shape(f"ARP question, {whose} address to {where}", BROADCAST, attacker, arp, 1, attacker, s4, b"\0" * 6, d4)
            shape(f"NA, {whose} address to {where}", mac, attacker, advertisement, s6, s6, attacker, d6)
            shape(f"NS, {whose} address to {where}", mac, attacker, solicitation, s6, d6, attacker, d6)
            if not own:
                shape(f"NA for {whose} address by itself to {where}", mac, attacker, advertisement, lan("attacker")[1], s6, attacker, d6)
        shape(f"gratuitous ARP, {whose} address", BROADCAST, attacker, arp, 1, attacker, s4, b"\0" * 6, s4)
        shape(f"NA to all nodes, {whose} address", b"\x33\x33\0\0\0\1", attacker, advertisement, s6, s6, attacker, "ff02::1")
        shape(f"broadcast, {whose} address", BROADCAST, attacker, udp, s4, LAN4 + "255")
    # The frame's sender is another, too. Last: without weir the bridge then takes the victim to be where the attacker is.
    for whose, source in sources.items():
        for where, mac, destination in destinations:
            for s, d in zip(source, destination):
                if s != d and not own:
                    shape(f"{whose} address, the victim's MAC, udp to {where}", mac, victim, udp, s, d)
    return made


def send(engine, made, times):
    with inside(engine.netns("attacker")):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind(("eth0", 0))
    for _ in range(times):
        for _, frame in made:
            raw.send(frame)
        time.sleep(0.05)
    return times * len(made)


def neighbours(netns):
    got = subprocess.run(["nsenter", f"--net={netns}", "ip", "neigh"], capture_output=True, text=True, check=True).stdout
    return got.splitlines()


def poisoned(engine):
    """Entries that say that somebody else is where the attacker is."""
    mac = ":".join(f"{b:02x}" for b in mac_of(engine.netns("attacker")))
    own = [*lan("attacker")]
    found = []
    for name, netns in [("node", role("node")), *((n, engine.netns(n)) for n in ("victim", "peer"))]:
        for line in neighbours(netns):
            address = line.split()[0]
            if mac in line and address not in own and not address.startswith("fe80:"):
                found.append(f"{name}: {line}")
    return found


def counted(reason):
    return sum(c["dropped"]["packets"] for c in weir_json("show", "counters") if c["kind"] == "reason" and c["rule"] == reason)


def run(engine, how):
    made = shapes(engine, False)
    if how == "ground":
        watch = Receivers(engine)
        send(engine, made, 1)
        watch.close()
        silent = [what for i, (what, _) in enumerate(made) if PREFIX + b"%03d" % i not in watch.shapes]
        # The node's own stack and the engine's filter refuse some by themselves.
        print(f"without weir {len(made) - len(silent)} of {len(made)} shapes arrive; not: {silent}")
        check("without weir, most spoofed shapes arrive", len(silent) < len(made) / 4, f"{len(silent)} of {len(made)} do not")
        check("without weir, neighbours believe what they are told", poisoned(engine))
        for netns in [role("node"), *(engine.netns(n) for n in ("victim", "peer"))]:
            subprocess.run(["nsenter", f"--net={netns}", "ip", "neigh", "flush", "all"], check=True)
        return
    honest = shapes(engine, True)
    watch = Receivers(engine)
    n = send(engine, honest, 1)
    got = watch.close()
    before = counted("spoofed")
    print(f"{n} frames with the attacker's own addresses arrive {sum(got.values())} times: {dict(got)}")
    check("with its own addresses a container reaches everybody", all(got[w] for w in ("victim", "peer", "client", "node")), str(got))
    check("and none of that is counted as spoofed", before == 0, f"{before}")
    watch = Receivers(engine)
    n = send(engine, made, int(os.environ.get("TIMES", "20")))
    got = watch.close()
    print(f"{n} frames of {len(made)} shapes in the name of others; delivered {dict(got)}; counted as spoofed {counted('spoofed') - before}")
    check("0 frames in the name of others are delivered", not got, str(got))
    check("each is counted as spoofed", counted("spoofed") - before == n, f"{counted('spoofed') - before} of {n}")
    check("no neighbour believes any of it", not poisoned(engine), str(poisoned(engine)))


if __name__ == "__main__":
    engine_ = Engine()
    if sys.argv[1] == "build":
        build(engine_)
    else:
        run(engine_, sys.argv[2])
    finish()
