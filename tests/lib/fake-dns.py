#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""fake-dns.py - a name server on 127.0.0.1, for tests. Its port is the first answer: "ok PORT".

Commands on standard input, one a line, each answered by "ok":

  set HOST TTL ADDRESS...    what HOST stands for (none: it exists without addresses)
  alias HOST TTL TARGET      a CNAME; the answer has the whole chain
  no HOST                    NXDOMAIN
  refuse HOST [4|6]          SERVFAIL, for both families or one
  silent HOST                no answer at all
  count HOST                 ok QUESTIONS-SO-FAR
"""
import ipaddress
import socket
import struct
import sys
import threading

LOCK = threading.Lock()
HOSTS = {}
COUNTS = {}


def wire(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"


def record(name, kind, ttl, data):
    return wire(name) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def answers(name, kind):
    """Response code and records, following aliases; None: say nothing."""
    records = []
    for _ in range(16):
        what, *rest = HOSTS.get(name, ("no",))
        if what == "silent":
            return None
        if what == "refuse" and (not rest or rest[0] == {1: "4", 28: "6"}.get(kind)):
            return 2, []
        if what == "no":
            return 3, records
        if what == "alias":
            records.append(record(name, 5, int(rest[0]), wire(rest[1])))
            name = rest[1]
            continue
        ttl, *addresses = rest if what == "set" else HOSTS["kept " + name][1:]
        for address in map(ipaddress.ip_address, addresses):
            if (address.version == 4) == (kind == 1):
                records.append(record(name, kind, int(ttl), address.packed))
        return 0, records
    return 2, []


def reply(question):
    ident, _, count = struct.unpack("!HHH", question[:6])
    at, labels = 12, []
    while question[at]:
        labels.append(question[at + 1:at + 1 + question[at]].decode())
        at += 1 + question[at]
    kind = struct.unpack("!H", question[at + 1:at + 3])[0]
    name = ".".join(labels).lower()
    with LOCK:
        COUNTS[name] = COUNTS.get(name, 0) + 1
        found = answers(name, kind)
    if found is None or count != 1:
        return None
    code, records = found
    return struct.pack("!HHHHHH", ident, 0x8180 | code, 1, len(records), 0, 0) + question[12:at + 5] + b"".join(records)


def serve(server):
    while True:
        question, client = server.recvfrom(4096)
        answer = reply(question)
        if answer:
            server.sendto(answer, client)


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    print("ok", server.getsockname()[1], flush=True)
    for line in sys.stdin:
        what, host, *rest = line.split()
        text = "ok"
        with LOCK:
            if what == "count":
                text = "ok %d" % COUNTS.get(host, 0)
            else:
                if what == "set":
                    HOSTS["kept " + host] = (what, *rest)
                HOSTS[host] = (what, *rest)
        print(text, flush=True)


main()
