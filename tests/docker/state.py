#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What weir keeps in the kernel about containers, through bpftool, beside what the engine says.

state.py differs SECONDS     until they agree, at most so long; prints what differs
"""

import ipaddress
import json
import os
import subprocess
import sys

from dock import Engine, inside, role, until, weir_json

BPFTOOL = "/usr/sbin/bpftool" if os.path.exists("/usr/sbin/bpftool") else "bpftool"
KIND_WORKLOAD, GONE = 1, 0x2  # include/weir/tables.h


def pins():
    return f"/sys/fs/bpf/weir/{os.environ['LAB']}-node"


def number(value):
    return int(value, 0) if isinstance(value, str) else value


def dump(name):
    got = subprocess.run([BPFTOOL, "-j", "map", "dump", "pinned", f"{pins()}/maps/{name}"], capture_output=True, text=True, check=True)
    return [e["formatted"] for e in json.loads(got.stdout)]


def text_of(bytes_):
    address = ipaddress.IPv6Address(bytes(number(b) for b in bytes_))
    return str(address.ipv4_mapped or address)


def bound():
    """{address: ifindex} of the workloads' addresses, the link-local ones aside, with what is marked as gone apart."""
    alive, gone = {}, []
    for e in dump("weir_local"):
        address = text_of(e["key"]["address"]["byte"])
        if number(e["value"]["flags"]) & GONE:
            gone.append(address)
        elif number(e["value"]["kind"]) == KIND_WORKLOAD and not ipaddress.ip_address(address).is_link_local:
            alive[address] = number(e["value"]["ifindex"])
    return alive, gone


def interfaces():
    return {number(e["key"] if not isinstance(e["key"], dict) else next(iter(e["key"].values()))): e["value"] for e in dump("weir_iface")}


def links():
    """{ifindex: name} of the node."""
    got = subprocess.run(["ip", "-n", f"{os.environ['LAB']}-node", "-j", "link"], capture_output=True, text=True, check=True)
    return {l["ifindex"]: l["ifname"] for l in json.loads(got.stdout)}


def segments():
    """{segment: [address]}: what its followed names stand for."""
    return {
        s["name"]: [str(a).split("/", maxsplit=1)[0] for f in s.get("followed", []) for a in f["addresses"]]
        for s in weir_json("show", "segments")
    }


def leftovers(addresses):
    """What is still there of containers that had these addresses, and of interfaces that are no more."""
    found = {}
    here = links()
    alive, gone = bound()
    stale = [a for a in [*alive, *gone] if a in addresses]
    if stale:
        found["weir_local"] = stale
    stale = [i for i in interfaces() if i not in here]
    if stale:
        found["weir_iface"] = stale
    names = set(here.values())
    stale = [p for p in os.listdir(f"{pins()}/links") if p.rsplit("-", 1)[0] not in names]
    if stale:
        found["pins"] = stale
    stale = [a for members in segments().values() for a in members if a in addresses]
    if stale:
        found["segments"] = stale
    return found


def wanted(engine):
    """{address: ifindex} as the engine and the containers' own interfaces have it."""
    found = {}
    for name, networks in engine.running().items():
        addresses = {a for n in networks.values() for a in n}
        if not addresses:  # it lives in another's namespace, or in none
            continue
        with inside(engine.netns(name)):
            own = subprocess.run(["ip", "-j", "addr"], capture_output=True, text=True, check=True).stdout
        for link in json.loads(own):
            for a in link["addr_info"]:
                if a["local"] in addresses:
                    found[a["local"]] = link.get("link_index", 0)
    return found


def differs(engine):
    """[] when what is bound is what runs, and every interface has its entry."""
    wrong = []
    alive, _ = bound()
    there = wanted(engine)
    for address, index in there.items():
        if address not in alive:
            wrong.append(f"{address} is not bound")
        elif alive[address] != index:
            wrong.append(f"{address} is bound to interface {alive[address]}, wanted {index}")
    wrong += [f"{a} is bound, nobody has it" for a in alive if a not in there]
    known, here = interfaces(), links()
    wrong += [f"interface {here[i]} has no entry" for i in here if i not in known]
    wrong += [f"interface {i} has an entry and is no more" for i in known if i not in here]
    return wrong


if __name__ == "__main__":
    engine_ = Engine()
    until(float(sys.argv[2]), lambda: not differs(engine_), 0.05)
    for line in differs(engine_):
        print(line)
