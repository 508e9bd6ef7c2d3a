#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""fake-engine.py SOCKET - a container engine without containers, for tests: the part of Docker's API that weir asks.

Commands on standard input, one a line, each answered by "ok" or "error TEXT" on standard output:

  network ID NAME [SUBNET...] [label=L] [driver=D]   quiet=1 on any of them: no event, as if nobody had listened
  network-rm ID
  create ID NAME [project=P service=S] [mode=M]
  connect ID NETWORK ADDRESS...     what a start does first; `start` comes when the process runs
  start ID | die ID | disconnect ID NETWORK | destroy ID | rename ID NAME
  up ID NAME NETWORK ADDRESS        create, connect, start
  gone ID                           die, disconnect, destroy
  many N NETWORK                    N running containers c0..., from the network's subnet, quietly
  event JSON                        this line on every stream
  cut N                             every stream ends N bytes later, wherever that is
  cut-all                           every connection ends now
  close | open                      nobody listens at the socket | somebody does again
  fault KIND PREFIX [ARGUMENT]      from now on, for paths that begin so: status CODE | hang | truncate BYTES | huge BYTES
                                    | raw TEXT (with \\n escapes) | delay MS (the answer of now, sent later) | slow
  no-fault                          all is well again
  stats                             ok ANSWERED-REQUESTS OPEN-STREAMS

It behaves as Docker 20.10 does where that matters: the head of /events is sent before the subscription, events are kept
for `since`; /networks/ID lists a container from `connect` until `disconnect`, /containers/json gives its addresses
from `start` until after `disconnect`, and /containers/ID/json waits for a start to end (here: is not answered at all).
"""
import ipaddress
import json
import os
import socket
import sys
import threading
import time
import urllib.parse

LOCK = threading.RLock()
KEPT_EVENTS = 256


class Engine:
    def __init__(self):
        self.networks = {}
        self.containers = {}
        self.events = []
        self.streams = []
        self.connections = set()
        self.faults = []
        self.answered = 0

    def emit(self, kind, action, ident, attributes):
        now = time.time_ns()
        event = {"Type": kind, "Action": action, "Actor": {"ID": ident, "Attributes": attributes}, "scope": "local",
                 "time": now // 10**9, "timeNano": now}
        if kind == "container":
            event.update({"status": action, "id": ident, "from": "busybox:local"})
        self.send_line(json.dumps(event).encode() + b"\n", now)

    def send_line(self, line, now):
        self.events = self.events[-KEPT_EVENTS + 1:] + [(now, line)]
        for stream in list(self.streams):
            stream.chunk(line)

    def container_event(self, action, ident, **more):
        container = self.containers[ident]
        self.emit("container", action, ident, {"image": "busybox:local", "name": container["name"], **container["labels"], **more})

    def network_event(self, action, ident, **more):
        network = self.networks[ident]
        self.emit("network", action, ident, {"name": network["name"], "type": network["driver"], **more})

    # ---- what is asked

    def network_json(self, ident, full):
        network = self.networks[ident]
        attached = {}
        for cid, container in self.containers.items():
            addresses = container["attached"].get(ident)
            if addresses is not None and full:
                v4 = next((a for a in addresses if ":" not in a), "")
                v6 = next((a for a in addresses if ":" in a), "")
                attached[cid] = {"Name": container["name"], "EndpointID": cid[::-1], "MacAddress": "02:42:ac:14:00:02",
                                 "IPv4Address": v4 and v4 + "/16", "IPv6Address": v6 and v6 + "/64"}
        return {"Name": network["name"], "Id": ident, "Created": "2026-11-24T14:20:15.68796816Z", "Scope": "local",
                "Driver": network["driver"], "EnableIPv6": False, "Internal": False, "Attachable": False, "Ingress": False,
                "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": s} for s in network["subnets"]] or None},
                "ConfigFrom": {"Network": ""}, "ConfigOnly": False, "Containers": attached, "Options": {}, "Labels": network["labels"]}

    def container_json(self, ident):
        container = self.containers[ident]
        networks = {}
        for net in container["shown"] or container["attached"]:
            addresses = (container["shown"] or {}).get(net, [])
            networks[self.networks[net]["name"] if net in self.networks else net] = {
                "IPAMConfig": None, "Links": None, "Aliases": None, "NetworkID": net, "EndpointID": ident[::-1],
                "Gateway": "", "IPAddress": next((a for a in addresses if ":" not in a), ""), "IPPrefixLen": 16,
                "IPv6Gateway": "", "GlobalIPv6Address": next((a for a in addresses if ":" in a), ""),
                "GlobalIPv6PrefixLen": 0, "MacAddress": "", "DriverOpts": None}
        return {"Id": ident, "Names": ["/" + container["name"]], "Image": "busybox:local", "ImageID": "sha256:9c077be3d35c",
                "Command": "sleep 100", "Created": 1795530015, "Ports": [], "Labels": container["labels"],
                "State": container["state"], "Status": "Up 2 minutes", "HostConfig": {"NetworkMode": container["mode"]},
                "NetworkSettings": {"Networks": networks}, "Mounts": []}

    def answer(self, path, query):
        parts = path.strip("/").split("/")
        if path == "/_ping":
            return 200, b"OK"
        if path == "/networks":
            return 200, [self.network_json(i, False) for i in self.networks]
        if parts[0] == "networks" and len(parts) == 2:
            if parts[1] not in self.networks:
                return 404, {"message": "network " + parts[1] + " not found"}
            return 200, self.network_json(parts[1], True)
        if path == "/containers/json":
            only = json.loads(query.get("filters", ["{}"])[0]).get("id")
            return 200, [self.container_json(i) for i in self.containers if not only or any(i.startswith(o) for o in only)]
        return 404, {"message": "page not found"}

    # ---- what is told

    def command(self, line):
        name, *words = line.split()
        options = dict(w.split("=", 1) for w in words if "=" in w)
        words = [w for w in words if "=" not in w]
        quiet = "quiet" in options
        method = getattr(self, "do_" + name.replace("-", "_"), None)
        if name in ("event", "fault"):
            words = line.split(None, 1)[1:]
        if not method:
            raise ValueError("no such command: " + name)
        emit, self.send_line = self.send_line, (lambda line, now: None) if quiet else self.send_line
        try:
            return method(options, *words) or "ok"
        finally:
            self.send_line = emit

    def do_network(self, options, ident, name, *subnets):
        labels = {"com.docker.compose.network": options["label"]} if "label" in options else {}
        self.networks[ident] = {"name": name, "subnets": list(subnets), "labels": labels, "driver": options.get("driver", "bridge")}
        self.network_event("create", ident)

    def do_network_rm(self, options, ident):
        self.network_event("destroy", ident)
        del self.networks[ident]

    def do_create(self, options, ident, name):
        labels = {}
        if "project" in options:
            labels = {"com.docker.compose.project": options["project"], "com.docker.compose.service": options["service"],
                      "com.docker.compose.oneoff": "False"}
        self.containers[ident] = {"name": name, "labels": labels, "mode": options.get("mode", "default"), "state": "created",
                                  "attached": {}, "shown": None}
        self.container_event("create", ident)

    def do_connect(self, options, ident, network, *addresses):
        self.containers[ident]["attached"][network] = list(addresses)
        if self.containers[ident]["state"] == "running":
            self.containers[ident]["shown"] = dict(self.containers[ident]["attached"])
        self.network_event("connect", network, container=ident)

    def do_start(self, options, ident):
        container = self.containers[ident]
        container["state"] = "running"
        container["shown"] = dict(container["attached"])
        self.container_event("start", ident)

    def do_die(self, options, ident):
        self.container_event("die", ident, exitCode="0")

    def do_disconnect(self, options, ident, network):
        self.containers[ident]["attached"].pop(network, None)
        self.network_event("disconnect", network, container=ident)
        if self.containers[ident]["state"] == "running":
            self.containers[ident]["shown"] = dict(self.containers[ident]["attached"])

    def do_stopped(self, options, ident):
        self.containers[ident]["state"] = "exited"
        self.containers[ident]["shown"] = None

    def do_destroy(self, options, ident):
        self.container_event("destroy", ident)
        del self.containers[ident]

    def do_rename(self, options, ident, name):
        old, self.containers[ident]["name"] = self.containers[ident]["name"], name
        self.container_event("rename", ident, oldName="/" + old)

    def do_up(self, options, ident, name, network, *addresses):
        self.do_create(options, ident, name)
        self.do_connect(options, ident, network, *addresses)
        self.do_start(options, ident)

    def do_gone(self, options, ident):
        self.do_die(options, ident)
        for network in list(self.containers[ident]["attached"]):
            self.do_disconnect(options, ident, network)
        self.do_stopped(options, ident)
        self.do_destroy(options, ident)

    def do_many(self, options, count, network):
        hosts = ipaddress.ip_network(self.networks[network]["subnets"][0]).hosts()
        next(hosts)
        keep, self.send_line = self.send_line, lambda line, now: None
        for i in range(int(count)):
            self.do_up({"project": "many", "service": "s%d" % (i % 10)}, "%064x" % (0xC000000 + i), "c%d" % i, network, str(next(hosts)))
        self.send_line = keep

    def do_event(self, options, text):
        self.send_line(text.encode() + b"\n", time.time_ns())

    def do_cut(self, options, count):
        for stream in self.streams:
            stream.left = int(count)
            if stream.left == 0:
                stream.end()

    def do_cut_all(self, options):
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def do_fault(self, options, text):
        kind, prefix, *argument = text.split(None, 2)
        self.faults.append((kind, prefix, argument[0] if argument else ""))

    def do_no_fault(self, options):
        self.faults = []

    def do_close(self, options):
        LISTENER.stop()
        self.do_cut_all(options)

    def do_open(self, options):
        LISTENER.begin()

    def do_stats(self, options):
        return "ok %d %d" % (self.answered, len(self.streams))


class Stream:
    """One reader of /events; its bytes may be counted down."""

    def __init__(self, connection):
        self.connection = connection
        self.left = None

    def chunk(self, line):
        data = b"%x\r\n%s\r\n" % (len(line), line)
        if self.left is not None:
            data = data[:self.left]
            self.left -= len(data)
        try:
            self.connection.sendall(data)
        except OSError:
            self.end()
        if self.left == 0:
            self.end()

    def end(self):
        if self in ENGINE.streams:
            ENGINE.streams.remove(self)
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def head(status, extra):
    return b"HTTP/1.1 %d X\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nServer: fake\r\n%s\r\n" % (status, extra)


def follow(connection, query):
    connection.sendall(head(200, b"Transfer-Encoding: chunked\r\n"))
    time.sleep(0.001)
    since = float(query.get("since", ["inf"])[0]) * 1e9
    with LOCK:
        stream = Stream(connection)
        ENGINE.streams.append(stream)
        for when, line in ENGINE.events:
            if when >= since:
                stream.chunk(line)
    while connection.recv(4096):
        pass
    with LOCK:
        stream.end()


def misbehave(connection, fault, body):
    kind, _, argument = fault
    if kind == "status":
        text = b'{"message":"no"}'
        connection.sendall(head(int(argument), b"Content-Length: %d\r\n" % len(text)) + text)
        return True
    if kind == "hang":
        while connection.recv(4096):
            pass
    elif kind == "truncate":
        connection.sendall((head(200, b"Content-Length: %d\r\n" % len(body)) + body)[:int(argument)])
    elif kind == "huge":
        connection.sendall(head(200, b"Transfer-Encoding: chunked\r\n"))
        for _ in range(0, int(argument), 65536):
            connection.sendall(b"10000\r\n" + b"[" + b" " * 65535 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
    elif kind == "raw":
        connection.sendall(argument.encode().decode("unicode_escape").encode("latin-1"))
    elif kind == "slow":
        for byte in head(200, b"Content-Length: %d\r\n" % len(body)) + body:
            connection.sendall(bytes([byte]))
            time.sleep(0.0001)
        return True
    return False


def serve(connection):
    buffered = b""
    try:
        while True:
            while b"\r\n\r\n" not in buffered:
                data = connection.recv(65536)
                if not data:
                    return
                buffered += data
            request, buffered = buffered.split(b"\r\n\r\n", 1)
            target = request.split(b" ")[1].decode()
            url = urllib.parse.urlsplit(target)
            query = urllib.parse.parse_qs(url.query)
            with LOCK:
                fault = next((f for f in ENGINE.faults if target.startswith(f[1])), None)
                ENGINE.answered += 1
                status, body = (200, b"") if url.path == "/events" else ENGINE.answer(url.path, query)
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            if fault and fault[0] == "delay":
                time.sleep(int(fault[2]) / 1000)
            elif fault:
                if misbehave(connection, fault, body):
                    continue
                return
            if url.path == "/events":
                follow(connection, query)
                return
            connection.sendall(head(status, b"Content-Length: %d\r\n" % len(body)) + body)
    except OSError:
        pass
    finally:
        with LOCK:
            ENGINE.connections.discard(connection)
        connection.close()


class Listener:
    def __init__(self, path):
        self.path = path
        self.socket = None

    def begin(self):
        fresh = socket.socket(socket.AF_UNIX)
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        fresh.bind(self.path)
        fresh.listen(64)
        self.socket = fresh
        threading.Thread(target=self.accept, args=(fresh,), daemon=True).start()

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def accept(self, listening):
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with LOCK:
                ENGINE.connections.add(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def main():
    LISTENER.begin()
    print("ok", flush=True)
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            with LOCK:
                text = ENGINE.command(line.strip())
        except Exception as error:  # whatever a test said wrong, it is told
            text = "error %s: %s" % (type(error).__name__, error)
        print(text, flush=True)


if len(sys.argv) != 2:
    sys.exit("usage: fake-engine.py SOCKET")
ENGINE = Engine()
LISTENER = Listener(sys.argv[1])
main()
