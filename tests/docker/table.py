#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Who reaches whom: every container, two machines outside and the node, to every container's addresses, the node's and a
machine outside, at ports that somebody opened and that nobody did.

table.py measure FILE              ask everybody at once, watch at every receiver, and keep what came of it
table.py print FILE                as a table
table.py ground FILE COMPOSE NAME  as the engine leaves it: whatever the file means to be open is
table.py compare FILE COMPOSE MEANING NAME
    against what the compose file means (meaning "compose") or what the guide says about its services ("guide");
    computed here, from the compose file and the engine's addresses alone

What counts as reached is what arrived at the receiver, seen by a packet socket there, or was answered; denied is what did
neither. An answer "refused" is one, too: it came from the other end.
"""

import json
import os
import subprocess
import sys

import yaml

from dock import Engine, Taps, check, family, finish, role

OUTSIDE = {"client": ("203.0.113.10", "2001:db8:113::10"), "other": ("203.0.113.20", "2001:db8:113::20")}
NODE = ("203.0.113.1", "2001:db8:113::1")
SERVICES = [("tcp", 443), ("tcp", 8000), ("tcp", 27017), ("tcp", 6333), ("tcp", 6379), ("tcp", 2222), ("tcp", 9), ("udp", 2222), ("udp", 9)]
NOBODYS = {("tcp", 9), ("udp", 9)}


def spec(protocol, address, port):
    return f"ping:{address}" if protocol == "ping" else f"{protocol}:{address}:{port}"


def targets(engine):
    """[(owner, network, address)]: what may be asked for. The node's owner is "node", network its bridge's or "eth0"."""
    found = []
    for name, networks in engine.running().items():
        found += [(name, network, a) for network, addresses in networks.items() for a in addresses]
    for network in engine.call("GET", "/networks"):
        if network["Name"] in ("host", "none", "bridge"):
            continue
        for config in network["IPAM"]["Config"] or []:
            gateway = (config.get("Gateway") or "").split("/")[0]
            if gateway:
                found.append(("node", network["Name"], gateway))
            elif ":" in config["Subnet"]:
                found.append(("node", network["Name"], config["Subnet"].split("/")[0] + "1"))
    found += [("node", "eth0", a) for a in NODE]
    found += [("client", "outside", a) for a in OUTSIDE["client"]]
    return sorted(set(found))


def questions(target_list):
    return [(p, t, port) for t in target_list for p, port in [*SERVICES, ("ping", 0)]]


def measure(path):
    engine = Engine()
    containers = engine.running()
    target_list = targets(engine)
    asked = questions(target_list)
    sources = {name: engine.netns(name) for name in containers}
    sources |= {name: role(name) for name in [*OUTSIDE, "node"]}
    own = {name: [a for n in networks.values() for a in n] for name, networks in containers.items()} | OUTSIDE
    owner = {a: name for name, addresses in own.items() for a in addresses}
    taps = Taps(lambda f: f.protocol in ("tcp", "udp", "icmp", "icmpv6"))
    for name in [*containers, *OUTSIDE]:
        taps.add(name, sources[name])
    asking = {}
    for name, netns in sources.items():
        specs = [spec(p, t[2], port) for p, t, port in asked if t[0] != name]
        asking[name] = subprocess.Popen(
            ["nsenter", f"--net={netns}", os.environ["WIRE"], "reach", "--wait", os.environ.get("WAIT_MS", "1200"), *specs],
            stdout=subprocess.PIPE,
            text=True,
        )
    answers = {name: dict(line.split(" ", 1) for line in p.communicate()[0].splitlines()) for name, p in asking.items()}
    arrived = {}
    for f in taps.close():
        if f.protocol in ("icmp", "icmpv6"):
            if f.type not in (8, 128):
                continue
            s = spec("ping", f.destination, 0)
        else:
            s = spec(f.protocol, f.destination, f.dport)
        arrived.setdefault(s, set()).add(owner.get(f.source, "node"))
    table = {
        name: {s: [state, name in arrived.get(s, ())] for s, state in answers[name].items()} for name in sources
    }
    with open(path, "w", encoding="ascii") as out:
        json.dump({"targets": target_list, "containers": containers, "table": table}, out)
    print(f"{sum(len(row) for row in table.values())} pairs of (source, address and port) asked for")


def reached(cell):
    return cell[1] or cell[0] in ("open", "refused")


def show(path):
    with open(path, encoding="ascii") as file:
        data = json.load(file)
    labels = [f"{p}/{port}" if p != "ping" else p for p, port in [*SERVICES, ("ping", 0)]]
    for source, row in data["table"].items():
        print(f"from {source}: reached, '.' not, '~' arrived without an answer")
        for owner, network, address in data["targets"]:
            if owner == source:
                continue
            line = []
            for (p, port), label in zip([*SERVICES, ("ping", 0)], labels):
                cell = row[spec(p, address, port)]
                mark = label if cell[0] in ("open", "refused") else "~" + label if cell[1] else "."
                line.append(mark)
            if len(set(cell == "." for cell in line)) == 1 and not any(cell[0] == "~" for cell in line):
                line = ["nothing" if line[0] == "." else "everything"]
            print(f"  {owner:10} {network:22} {address:24} {' '.join(line)}")


# ---- what the file means


class Meaning:
    """Networks of each service, published ports, all from the compose file. @containers: the engine's names and addresses."""

    def __init__(self, compose, containers):
        with open(compose, encoding="ascii") as file:
            text = yaml.safe_load(file)
        self.internal = {n for n, v in text["networks"].items() if (v or {}).get("internal")}
        self.networks = {s: set(v["networks"]) for s, v in text["services"].items()}
        self.published = {}  # port of the node: (service, its port)
        for service, v in text["services"].items():
            for port in v.get("ports", []):
                host, inner = (int(p) for p in str(port).split(":"))
                self.published[host] = (service, inner)
        self.network_of = {}
        self.families = {}  # (container, network): families that it has there
        for name, networks in containers.items():
            for network, addresses in networks.items():
                for a in addresses:
                    short = next(n for n in text["networks"] if network == n or network.endswith("_" + n))
                    self.network_of[a] = (name, short)
                    self.families.setdefault((name, short), set()).add(family(a))

    def ways_out(self, container, version):
        return {n for n in self.networks[container] - self.internal if version in self.families[container, n]}

    def compose(self, source, target, protocol, port):
        """Who shares a network reaches each other there; the world reaches what is published, and nothing else."""
        owner, _, address = target
        if source in self.networks and owner in self.networks:
            return self.network_of[address][1] in self.networks[source]
        return self._rest(source, owner, protocol, port)

    def guide(self, source, target, protocol, port):
        """Only kato reaches the databases, each at its own port; nginx reaches kato; the world reaches nginx on 443."""
        owner, _, address = target
        if source in self.networks and owner in self.networks:
            allowed = {("nginx", "kato", 8000), ("kato", "mongo-kb", 27017), ("kato", "qdrant-kb", 6333), ("kato", "redis-kb", 6379)}
            shared = self.network_of[address][1] in self.networks[source]
            if protocol != "tcp" or (source, owner, port) not in allowed:
                return False
            return True if shared else None  # at its other addresses it is as the engine keeps networks apart
        return self._rest(source, owner, protocol, port)

    def _rest(self, source, owner, protocol, port):
        if source in OUTSIDE:
            if (owner, port) in self.published.values() and protocol == "tcp":
                return None  # routed to the container itself, it looks as what the published port hands on
            return owner == "node" and protocol == "tcp" and port in self.published
        raise KeyError((source, owner, protocol, port))


def expected(meaning, how, source, target, protocol, port):
    """True, False, or None where neither file nor guide says anything and a policy may do as it likes."""
    owner = target[0]
    if source == "node" or (source in OUTSIDE and owner in OUTSIDE):
        return None
    if source in meaning.networks and owner in ("node", "client"):
        return to_outside(meaning, how, source, target, protocol, port)
    return getattr(meaning, how)(source, target, protocol, port)


def to_outside(meaning, how, source, target, protocol, port):
    """What a container may reach that is no container: the outside, where a network of it is not internal and has that
    family, and there what is published, as everybody; of the node nothing else."""
    owner, network, address = target
    out = meaning.ways_out(source, family(address))
    if owner == "client":
        if not out:
            return False
        return True if how == "compose" else None
    if protocol != "tcp" or port not in meaning.published or not out:
        return False
    own = network == "eth0" or any(network.endswith("_" + n) for n in out)
    return True if own and how == "compose" else None


def ground(path, compose, name):
    """What the file means to be open must be: else a table with nothing but silence would prove nothing."""
    with open(path, encoding="ascii") as file:
        data = json.load(file)
    meaning = Meaning(compose, data["containers"])
    closed, more = [], 0
    for source, row in data["table"].items():
        for protocol, target, port in questions([tuple(t) for t in data["targets"]]):
            if target[0] != source:
                got = reached(row[spec(protocol, target[2], port)])
                want = expected(meaning, "compose", source, target, protocol, port)
                more += bool(want is False and got)
                if want and not got:
                    closed.append(f"{source} > {target[0]} {spec(protocol, target[2], port)}")
    print(f"{name}: {more} cells are open that the file does not mean")
    check(f"{name}: what the file means to be open is open", not closed, f"{len(closed)}, first: {closed[:1]}")
    check(f"{name}: more is open than the file means", more)


def compare(path, compose, how, name):
    with open(path, encoding="ascii") as file:
        data = json.load(file)
    meaning = Meaning(compose, data["containers"])
    wrong, count = [], {4: [0, 0], 6: [0, 0]}
    for source, row in data["table"].items():
        for protocol, target, port in questions([tuple(t) for t in data["targets"]]):
            if target[0] == source:
                continue
            cell = row[spec(protocol, target[2], port)]
            want = expected(meaning, how, source, target, protocol, port)
            if want is None:
                continue
            count[family(target[2])][int(want)] += 1
            if want != reached(cell) or (want and cell[0] == "silent"):
                wrong.append(f"{source} > {target[0]} {spec(protocol, target[2], port)} is {cell}, wanted {want}")
    print(f"{name}: IPv4 {count[4][1]} allowed, {count[4][0]} denied; IPv6 {count[6][1]} allowed, {count[6][0]} denied")
    for line in wrong[:40]:
        print("  ", line)
    check(f"{name}: the table is what the file means", not wrong, f"{len(wrong)} cells differ, first: {wrong[:1]}")
    for version in (4, 6):
        if any(count[version]):
            check(f"{name}: IPv{version} has both, allowed and denied", all(count[version]))


if __name__ == "__main__":
    {"measure": measure, "print": show, "ground": ground, "compare": compare}[sys.argv[1]](*sys.argv[2:])
    finish()
