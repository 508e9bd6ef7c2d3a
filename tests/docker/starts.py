#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Containers start and stop under load, and nothing of them passes unjudged.

starts.py build              the networks, the ones who stay (hub, stranger, far) and POOL newcomers, not started
starts.py ground             a few starts without weir: everything that must not arrive later does arrive
starts.py run COUNT PID      COUNT starts and stops, PARALLEL at once, with weir run (PID) following the engine
starts.py senders            (its own) datagrams to every newcomer's address, from everywhere

A newcomer (newcomer.c) sends to all of TARGETS from its first instruction on. It may reach the first ones, the hub at 7001;
whatever arrives elsewhere is a leak, and so is whatever reaches a newcomer that is no answer of the hub.
"""

import collections
import os
import queue
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from dock import Engine, Taps, check, finish, inside, progress, role, until, weir_json
import state

POOL = int(os.environ.get("POOL", "24"))
PARALLEL = int(os.environ.get("PARALLEL", "4"))
NOTE = struct.Struct("=8sIIQQQIIII")
MAGIC = b"newcomer"
SERVE, SECRET, SENT = 7001, 7003, 7002
HUB, STRANGER = ("172.31.0.2", "2001:db8:31::2"), ("172.31.0.3", "2001:db8:31::3")
FAR = ("172.31.1.2", "2001:db8:32::2")
GATEWAY = ("172.31.0.1", "2001:db8:31::1")
NODE, CLIENT = ("203.0.113.1", "2001:db8:113::1"), ("203.0.113.10", "2001:db8:113::10")


def pool_address(i):
    return f"172.31.0.{16 + i}", f"2001:db8:31::{16 + i:x}"


def pool_mac(i):
    return bytes([2, 0x42, 0x31, 0, 0, 16 + i])


def pool_name(i):
    return f"newcomer-{i}"


def text_of(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


ALLOWED = [(a, SERVE) for a in HUB]
DENIED = [
    *((a, SECRET) for a in HUB),
    *((a, SECRET) for a in STRANGER),
    *((a, SECRET) for a in FAR),
    *((a, SECRET) for a in GATEWAY),
    *((a, SECRET) for a in NODE),
    *((a, SECRET) for a in CLIENT),
    ("172.31.0.255", SECRET),
    ("224.0.0.251", SECRET),
]
TARGETS = [text_of(*t) for t in ALLOWED + DENIED]


def build(engine):
    engine.network("pool", ["172.31.0.0/24", "2001:db8:31::/64"])
    engine.network("elsewhere", ["172.31.1.0/24", "2001:db8:32::/64"])
    for name, network, (v4, v6) in (("hub", "pool", HUB), ("stranger", "pool", STRANGER), ("far", "elsewhere", FAR)):
        engine.create(name, ["sleep", "1000000"], network, v4, v6)
        engine.start(name)
    for i in range(POOL):
        v4, v6 = pool_address(i)
        engine.create(
            pool_name(i),
            ["/newcomer", str(i), *TARGETS],
            "pool",
            v4,
            v6,
            host={"Binds": [f"{os.environ['NEWCOMER']}:/newcomer:ro"]},
            MacAddress=":".join(f"{b:02x}" for b in pool_mac(i)),
            Labels={"com.docker.compose.project": "test", "com.docker.compose.service": "newcomer"},
        )


class Note:
    def __init__(self, data):
        fields = NOTE.unpack(data[: NOTE.size])
        self.id, self.target, self.began, self.sent, self.answered, self.seq, self.before, self.strange, self.errors = fields[1:]


class Watch:
    """The hub's listener, the node's, and packet sockets everywhere a leak could arrive."""

    def __init__(self, engine):
        self.leaks = collections.Counter()  # (where, target) -> frames
        self.first = {}  # (id, began) -> ns until the hub had the first datagram
        self.answered = {}  # (id, began) -> ns until the newcomer had the first answer
        self.before = {}  # (id, began) -> datagrams that were there before it began
        self.strange = {}
        self.heard = collections.Counter()
        self.stopped = False
        self.pool = {pool_address(i)[v] for i in range(POOL) for v in (0, 1)}
        self.poll = select.epoll()
        self.sockets = {}
        with inside(engine.netns("hub")):
            self.listen("hub", SERVE)
        with inside(role("node")):
            self.listen("node", SECRET)
        self.taps = Taps(self.keep)
        for name in ("hub", "stranger", "far"):
            self.taps.add(name, engine.netns(name))
        for name in ("client", "other"):
            self.taps.add(name, role(name))
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def listen(self, where, port):
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
        s.bind(("::", port))
        self.sockets[s.fileno()] = (s, where)
        self.poll.register(s.fileno(), select.EPOLLIN)

    def read(self):
        while not self.stopped:
            for fd, _ in self.poll.poll(0.05):
                s, where = self.sockets[fd]
                for _ in range(64):
                    try:
                        data, peer = s.recvfrom(2048)
                    except OSError:
                        break
                    self.datagram(s, where, data, peer, time.monotonic_ns())

    def datagram(self, s, where, data, peer, now):
        if data[:8] != MAGIC:
            return
        note = Note(data)
        if where != "hub":
            self.leaks[where, TARGETS[note.target]] += 1
            return
        key = (note.id, note.began)
        self.heard[note.target] += 1
        self.first.setdefault(key, now - note.began)
        self.before[key] = note.before
        self.strange[key] = max(note.strange, self.strange.get(key, 0))
        if note.answered:
            self.answered.setdefault(key, note.answered - note.began)
        if note.target == 0 and (note.seq < 200 or note.seq % 16 == 0):
            try:
                s.sendto(b"heard", peer)
            except OSError:
                pass

    def keep(self, frame):
        """Of what packet sockets see only the newcomers' own datagrams: to the hub at 7001 they may come."""
        if frame.protocol != "udp" or frame.payload[:8] != MAGIC:
            return False
        if frame.where == "hub" and frame.dport == SERVE:
            return False
        self.leaks[frame.where, TARGETS[Note(frame.payload).target]] += 1
        return False

    def close(self):
        self.taps.close()
        self.stopped = True
        self.thread.join()


# ---- who sends to newcomers


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def frame4(smac, dmac, source, destination, payload):
    udp = struct.pack("!HHHH", SENT, SENT, 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(destination))
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return dmac + smac + b"\x08\x00" + ip + udp


def frame6(smac, dmac, source, destination, payload):
    s, d = socket.inet_pton(socket.AF_INET6, source), socket.inet_pton(socket.AF_INET6, destination)
    udp = struct.pack("!HHHH", SENT, SENT, 8 + len(payload), 0) + payload
    total = checksum(s + d + struct.pack("!II", len(udp), 17) + udp) or 0xFFFF
    udp = udp[:6] + struct.pack("!H", total) + udp[8:]
    return dmac + smac + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + s + d + udp


def senders(engine):
    """Neighbours on the bridge with frames of their own, who need no ARP; everybody else with sockets."""
    payload = b"to a newcomer"
    frames = []
    for name, (v4, v6) in (("hub", HUB), ("stranger", STRANGER)):
        with inside(engine.netns(name)):
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            raw.bind(("eth0", 0))
            mac = raw.getsockname()[4]
        for i in range(POOL):
            p4, p6 = pool_address(i)
            frames.append((raw.send, (frame4(mac, pool_mac(i), v4, p4, payload),)))
            frames.append((raw.send, (frame6(mac, pool_mac(i), v6, p6, payload),)))
    for netns in (engine.netns("far"), role("client"), role("node")):
        with inside(netns):
            s4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            s6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        for i in range(POOL):
            p4, p6 = pool_address(i)
            frames.append((s4.sendto, (payload, (p4, SENT))))
            frames.append((s6.sendto, (payload, (p6, SENT))))
    random.shuffle(frames)
    print("ready", flush=True)
    sent = 0
    signal.signal(signal.SIGTERM, lambda *_: (print(sent, flush=True), os._exit(0)))
    while True:
        for send, argument in frames:
            try:
                send(*argument)
                sent += 1
            except OSError:
                pass
            if sent % 8 == 0:
                time.sleep(0.004)


def start_senders():
    process = subprocess.Popen([sys.executable, __file__, "senders"], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


# ---- new links, and the time until their hooks are there


class Links:
    """RTM_NEWLINK of veths in the node, and when both their hooks were there: a filter in each direction, or pinned links."""

    def __init__(self):
        with inside(role("node")):
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self.socket.bind((0, 1 | 8))  # RTMGRP_LINK, RTMGRP_TC
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
        self.pins = f"/sys/fs/bpf/weir/{os.environ['LAB']}-node/links"
        self.known = set()
        self.created = {}
        self.filters, self.hooked = {}, {}
        self.waiting = {}
        self.took = []
        self.never = 0
        self.stopped = False
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while not self.stopped:
            ready, _, _ = select.select([self.socket], [], [], 0.001 if self.waiting else 0.05)
            now = time.monotonic_ns()
            if ready:
                self.messages(self.socket.recv(65536), now)
            if self.waiting:
                self.look(now)

    def messages(self, data, now):
        while len(data) >= 32:
            length, kind = struct.unpack_from("=IH", data)
            index = struct.unpack_from("=i", data, 20)[0]
            if kind == 44:  # RTM_NEWTFILTER
                self.filter(index, struct.unpack_from("=I", data, 28)[0], now)
            if kind not in (16, 17):  # RTM_NEWLINK, RTM_DELLINK
                data = data[(length + 3) & ~3 :]
                continue
            name, master = None, 0
            at = 32
            while at + 4 <= length:
                size, attribute = struct.unpack_from("=HH", data, at)
                if attribute == 3:  # IFLA_IFNAME
                    name = data[at + 4 : at + size].rstrip(b"\0").decode()
                elif attribute == 10:  # IFLA_MASTER
                    master = struct.unpack_from("=I", data, at + 4)[0]
                at += max((size + 3) & ~3, 4)
            # The end that stays here gets a master; the other one is moved into the container.
            if kind == 16 and name and name.startswith("veth"):
                self.created.setdefault(index, now)
                if master and index not in self.known:
                    self.known.add(index)
                    if index in self.hooked:  # before it was in its bridge
                        self.took.append(self.hooked[index] - self.created[index])
                    else:
                        self.waiting[index] = (name, self.created[index])
            elif kind == 17 and self.waiting.pop(index, None):
                self.never += 1
            data = data[(length + 3) & ~3 :]

    def filter(self, index, parent, now):
        self.filters.setdefault(index, set()).add(parent)
        if len(self.filters[index]) == 2:
            self.hooked.setdefault(index, now)
            if index in self.waiting:
                self.took.append(now - self.waiting.pop(index)[1])

    def look(self, now):
        try:
            pinned = collections.Counter(p.rsplit("-", 1)[0] for p in os.listdir(self.pins))
        except FileNotFoundError:
            return
        for index, (name, since) in list(self.waiting.items()):
            if pinned[name] == 2:
                self.took.append(now - since)
                del self.waiting[index]
            elif now - since > 5e9:
                self.never += 1
                del self.waiting[index]

    def close(self):
        self.stopped = True
        self.thread.join()


# ---- the run


def start_and_stop(engine, watch, i, failures, hold):
    name = pool_name(i)
    since = time.monotonic_ns()
    try:
        engine.start(name)
        hold(i, since)
    except Exception as e:  # pylint: disable=broad-except
        failures.append(f"{name}: {e}")
    finally:
        engine.stop(name)


def ground(engine):
    """Without weir: what must not arrive later arrives now."""
    watch = Watch(engine)
    sending = start_senders()
    failures = []
    for i in range(3):
        start_and_stop(engine, watch, i, failures, lambda *_: time.sleep(0.5))
    sending.terminate()
    watch.close()
    reached = {where for where, _ in watch.leaks}
    print("without weir:", dict(watch.leaks))
    check("without weir, a newcomer reaches everybody that it must not", {"hub", "stranger", "node", "client"} <= reached, str(reached))
    check("without weir, others reach a newcomer", sum(watch.strange.values()) > 0 and not failures, str(failures))
    check("without weir, before its first instruction, too", sum(watch.before.values()) > 0, str(watch.before))


def nanoseconds(values):
    if not values:
        return "never"
    values = sorted(values)
    at = lambda q: values[min(len(values) - 1, int(q * len(values)))] / 1e6
    return f"median {at(0.5):.1f} ms, 99 % {at(0.99):.1f} ms, at most {values[-1] / 1e6:.1f} ms, of {len(values)}"


def cpu_ms(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def run(engine, count, pid):
    watch = Watch(engine)
    links = Links()
    sending = start_senders()
    time.sleep(0.3)
    idle, failures, silent = queue.Queue(), [], []
    for i in range(POOL):
        idle.put(i)
    todo, lock, began, cpu = [count], threading.Lock(), time.monotonic(), cpu_ms(pid)

    def hold(i, since):
        """Until its answer was there and it said so, and a little longer."""
        mine = lambda: any(k[0] == i and k[1] >= since for k in list(watch.answered))
        if not until(5, mine, 0.01):
            silent.append(i)
        time.sleep(random.random() * 0.1)

    def work():
        while True:
            with lock:
                if todo[0] == 0:
                    return
                todo[0] -= 1
                done = count - todo[0]
            if done % 50 == 0:
                progress(f"    {done} of {count} starts, {done / (time.monotonic() - began):.1f}/s, {sum(watch.leaks.values())} leaks")
            i = idle.get()
            start_and_stop(engine, watch, i, failures, hold)
            idle.put(i)

    workers = [threading.Thread(target=work) for _ in range(PARALLEL)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    took = time.monotonic() - began
    cpu = cpu_ms(pid) - cpu
    sending.terminate()
    sent = int(sending.communicate()[0] or 0)
    links.close()
    watch.close()
    print(f"{count} starts and stops in {took:.0f} s, {PARALLEL} at once, {sent} datagrams sent to them meanwhile")
    print("from a veth's creation to its hooks:", nanoseconds(links.took), f"({links.never} went without)")
    print("from the first instruction to the hub's first datagram:", nanoseconds(list(watch.first.values())))
    print("from the first instruction to the first answer:", nanoseconds(list(watch.answered.values())))
    print(f"weir run: {cpu / count:.1f} ms of CPU a start and stop, load and reports included")
    check(f"{count} containers start and stop", not failures, f"{len(failures)}: {failures[:2]}")
    check("every newcomer reaches whom it may", len(watch.answered) >= count and not silent, f"{len(watch.answered)} did, silent {silent[:9]}")
    check("also over IPv6", watch.heard[1] > 0)
    check("0 packets of newcomers passed unjudged", not watch.leaks, str(watch.leaks.most_common(8)))
    early = {k: v for k, v in watch.before.items() if v}
    check("0 packets reached a newcomer before its first instruction", not early, f"{len(early)} newcomers: {list(early.items())[:4]}")
    strange = {k: v for k, v in watch.strange.items() if v}
    check("0 packets reached a newcomer that were no answers", not strange, f"{len(strange)} newcomers: {list(strange.items())[:4]}")
    dropped = {c["rule"]: c["dropped"]["packets"] for c in weir_json("show", "counters") if c["dropped"]["packets"]}
    print("dropped:", dropped)
    check("weir counted what it refused", sum(dropped.values()) > count)


def left(engine):
    """After the last has stopped."""
    for i in range(POOL):
        engine.remove(pool_name(i))
    addresses = {a for i in range(POOL) for a in pool_address(i)}
    until(10, lambda: not state.leftovers(addresses), 0.1)
    for what, found in state.leftovers(addresses).items():
        print("left:", what, found[:5])
    check("0 leftovers in maps, links, pins and classes", not state.leftovers(addresses), str(state.leftovers(addresses)))


if __name__ == "__main__":
    engine_ = Engine()
    if sys.argv[1] == "run":
        run(engine_, int(sys.argv[2]), int(sys.argv[3]))
        left(engine_)
    else:
        {"build": build, "ground": ground, "senders": senders}[sys.argv[1]](engine_)
    finish()
