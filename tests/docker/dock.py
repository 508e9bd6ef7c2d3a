# SPDX-License-Identifier: GPL-2.0-only
"""What the tests with a real engine share: its API, network namespaces, packet sockets in many of them at once.

Nothing here asks weir: what a test expects comes from the engine and the compose file.
"""

import contextlib
import ctypes
import http.client
import ipaddress
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
OUTGOING = 4


# ---- results, as tests/run.sh counts them

FAILED = 0


def ok(name):
    print("ok", name, flush=True)


def not_ok(name, why=""):
    global FAILED
    FAILED += 1
    print(f"not ok {name}" + (f": {why}" if why else ""), flush=True)


def check(name, good, why=""):
    if good:
        ok(name)
    else:
        not_ok(name, why)
    return good


def finish():
    sys.exit(1 if FAILED else 0)


def progress(text):
    """Lines for a person who waits, where somebody does (tests/docker/run)."""
    fd = os.environ.get("WEIR_TEST_PROGRESS")
    if fd:
        with contextlib.suppress(OSError):
            os.write(int(fd), (text + "\n").encode())


# ---- the engine


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("engine", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class EngineError(Exception):
    pass


class Engine:
    """The API on the socket of DOCKER_HOST. One connection a call: calls may come from several threads."""

    def __init__(self, path=None, init=None):
        self.path = path or os.environ["DOCKER_HOST"].removeprefix("unix://")
        self.init = init or os.environ.get("ENGINE_INIT")

    def call(self, method, path, body=None, good=(200, 201, 204, 304)):
        connection = UnixConnection(self.path)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status not in good:
            raise EngineError(f"{method} {path}: {answer.status} {data[:300].decode(errors='replace')}")
        return json.loads(data) if data and answer.headers.get("Content-Type", "").startswith("application/json") else None

    def create(self, name, cmd, network="bridge", v4=None, v6=None, host=None, **more):
        endpoint = {"IPAMConfig": {k: v for k, v in (("IPv4Address", v4), ("IPv6Address", v6)) if v}} if v4 or v6 else {}
        body = {
            "Image": "busybox:local",
            "Cmd": cmd,
            "StopSignal": "SIGKILL",
            "HostConfig": {"NetworkMode": network, **(host or {})},
            "NetworkingConfig": {"EndpointsConfig": {network: endpoint}} if network not in ("host", "none") else {},
            **more,
        }
        return self.call("POST", f"/containers/create?name={name}", body)["Id"]

    def start(self, name):
        self.call("POST", f"/containers/{name}/start")

    def stop(self, name):
        self.call("POST", f"/containers/{name}/kill", good=(204, 404, 409))
        self.call("POST", f"/containers/{name}/wait")

    def remove(self, name):
        self.call("DELETE", f"/containers/{name}?force=1", good=(204, 404, 409))

    def network(self, name, subnets=(), **more):
        body = {"Name": name, "Driver": "bridge", "EnableIPv6": any(":" in s for s in subnets)}
        if subnets:
            body["IPAM"] = {"Config": [{"Subnet": s} for s in subnets]}
        body.update(more)
        return self.call("POST", "/networks/create", body)["Id"]

    def inspect(self, name):
        return self.call("GET", f"/containers/{name}/json")

    def running(self):
        """{container: {network: (v4, v6)}} of what runs now."""
        found = {}
        for c in self.call("GET", "/containers/json"):
            name = c["Names"][0].lstrip("/")
            found[name] = {
                network: tuple(a for a in (e.get("IPAddress"), e.get("GlobalIPv6Address")) if a)
                for network, e in c["NetworkSettings"]["Networks"].items()
            }
        return found

    def netns(self, name):
        key = self.inspect(name)["NetworkSettings"]["SandboxKey"].replace("/var/run/", "/run/")
        return f"/proc/{self.init}/root{key}"


# ---- network namespaces


@contextlib.contextmanager
def inside(path):
    """This thread, in another network namespace."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(path, os.O_RDONLY)
    try:
        if LIBC.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {path}")
        yield
    finally:
        LIBC.setns(here, CLONE_NEWNET)
        os.close(here)
        os.close(there)


def role(name):
    return f"/run/netns/{os.environ['LAB']}-{name}"


def run_in(path, *argv, **more):
    return subprocess.run(
        ["nsenter", f"--net={path}", *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more
    ).stdout


# ---- frames


class Frame:
    """What a frame says; protocol is "tcp", "udp", "icmp", "icmpv6", "arp" or a number."""

    __slots__ = ("where", "device", "ns", "mac", "protocol", "source", "sport", "destination", "dport", "payload", "type")

    def __repr__(self):
        return f"{self.where}: {self.protocol} {self.source}:{self.sport} > {self.destination}:{self.dport}"


NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}


def parse(data, where="", device="", ns=0):
    """Frame of an Ethernet frame; None for what is neither IP nor ARP."""
    f = Frame()
    f.where, f.device, f.ns, f.mac = where, device, ns, data[6:12]
    f.sport = f.dport = 0
    f.type = None
    f.payload = b""
    ethertype = struct.unpack_from("!H", data, 12)[0] if len(data) >= 14 else 0
    at = 14
    if ethertype == 0x0806 and len(data) >= 42:
        f.protocol = "arp"
        f.source = socket.inet_ntop(socket.AF_INET, data[28:32])
        f.destination = socket.inet_ntop(socket.AF_INET, data[38:42])
        return f
    if ethertype == 0x0800 and len(data) >= 34:
        protocol = data[23]
        f.source = socket.inet_ntop(socket.AF_INET, data[26:30])
        f.destination = socket.inet_ntop(socket.AF_INET, data[30:34])
        at += (data[14] & 15) * 4
    elif ethertype == 0x86DD and len(data) >= 54:
        protocol = data[20]
        f.source = socket.inet_ntop(socket.AF_INET6, data[22:38])
        f.destination = socket.inet_ntop(socket.AF_INET6, data[38:54])
        at += 40
        if protocol == 0 and len(data) > at + 8:  # hop by hop, as MLD has it
            protocol, skip = data[at], data[at + 1]
            at += (skip + 1) * 8
    else:
        return None
    f.protocol = NAMES.get(protocol, str(protocol))
    if protocol in (6, 17) and len(data) >= at + 8:
        f.sport, f.dport = struct.unpack_from("!HH", data, at)
        f.payload = data[at + 8 :] if protocol == 17 else b""
    elif protocol in (1, 58) and len(data) > at + 1:
        f.type = data[at]
        f.payload = data[at + 4 :]
    return f


class Taps:
    """Packet sockets in many namespaces: what arrives at their interfaces (all of one without a name), from add() on.

    keep(frame) says what is kept, a list unless it does something of its own.
    """

    def __init__(self, keep=lambda frame: True):
        self.frames = []
        self.keep = keep
        self.poll = select.epoll()
        self.socket = {}
        self.error = None
        self.stopped = False
        self.lost = 0
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def add(self, where, path, device=None):
        with inside(path):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
            s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
            if device:
                s.bind((device, ETH_P_ALL))
        self.socket[s.fileno()] = (s, where)
        self.poll.register(s.fileno(), select.EPOLLIN)

    def _read(self):
        try:
            while not self.stopped:
                for fd, _ in self.poll.poll(0.05):
                    self._drain(fd)
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def _drain(self, fd):
        s, where = self.socket[fd]
        for _ in range(256):
            try:
                data, meta = s.recvfrom(2048)
            except (BlockingIOError, OSError):
                return
            if meta[2] == OUTGOING or meta[0] == "lo":
                continue
            frame = parse(data, where, meta[0], time.monotonic_ns())
            if frame and self.keep(frame):
                self.frames.append(frame)

    def close(self):
        """The frames, after what is still under way was read."""
        time.sleep(0.1)
        self.stopped = True
        self.thread.join()
        for s, _ in self.socket.values():
            self.lost += struct.unpack("II", s.getsockopt(263, 6, 8))[1]  # SOL_PACKET, PACKET_STATISTICS
            s.close()
        if self.error:
            raise self.error
        if self.lost:
            raise RuntimeError(f"{self.lost} frames were lost by the packet sockets")
        return self.frames


# ---- weir


def weir(*argv, expect=0):
    engine = ["--engine", os.environ["PROXY"]] if "PROXY" in os.environ else []
    got = subprocess.run(
        [os.environ["WEIR"], "--netns", f"{os.environ['LAB']}-node", *engine, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if expect is not None and got.returncode != expect:
        raise RuntimeError(f"weir {' '.join(argv)}: {got.returncode} {got.stderr}")
    return got.stdout


def weir_json(*argv):
    return json.loads(weir(*argv, "--json"))


def until(seconds, condition, step=0.02):
    """True as soon as it holds."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got or time.monotonic() > end:
            return got
        time.sleep(step)


def family(address):
    return ipaddress.ip_address(address).version
