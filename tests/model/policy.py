# SPDX-License-Identifier: GPL-2.0-only
"""Policies of the model: a Python structure that is printed for weir and judged here by walking all rules.

The structure is that of weir-policy(5): dicts and lists with the language's own keys. Judging follows the text, rule by
rule, with no classes and no tables.
"""

import ipaddress
import json
from functools import lru_cache

SELF, WORKLOAD, OTHER = "self", "workload", "other"
ALLOW, DENY, DEFAULT, FAILSAFE = "allow", "deny", "default", "failsafe"
TCP, UDP, SCTP, ICMP, ICMP6 = 6, 17, 132, 1, 58
PROTOS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "icmpv6": ICMP6}
PORTED = (TCP, UDP, SCTP)
TYPED = (ICMP, ICMP6)
TYPES = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "time-exceeded": 11,
}
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@lru_cache(None)
def packed(text):
    return ipaddress.ip_address(text).packed


def interval(text):
    """An address, a prefix or a range as (first, last), packed."""
    if "-" in text:
        first, last = text.split("-")
        return packed(first), packed(last)
    net = ipaddress.ip_network(text)
    return net[0].packed, net[-1].packed


class End:
    """One end of a packet: its address, what kind it is here, and whether its address counts for segments."""

    __slots__ = ("address", "kind", "anonymous", "key")

    def __init__(self, address, kind, anonymous=False):
        self.address, self.kind, self.anonymous = address, kind, anonymous
        self.key = (address, kind, anonymous)


class Service:
    """protocol None: any; lo, hi None: all of the protocol."""

    __slots__ = ("proto", "lo", "hi")

    def __init__(self, text):
        self.proto = self.lo = self.hi = None
        if text == "any":
            return
        name, _, rest = text.partition("/")
        if name == "proto":
            self.proto = int(rest)
            return
        self.proto = PROTOS[name]
        if rest:
            if rest in TYPES:
                rest = str(TYPES[rest])
            lo, _, hi = rest.partition("-")
            self.lo, self.hi = int(lo), int(hi or lo)

    def has(self, proto, number):
        if self.proto is None:
            return True
        return self.proto == proto and (self.lo is None or self.lo <= number <= self.hi)

    def names(self, proto):
        """DESIGN 1.3: a rule that names the port; where there are no ports, one that names the protocol."""
        return self.proto is not None and (self.lo is not None or proto not in PORTED)


class Limit:
    def __init__(self, policy, spec):
        self.name = spec["name"]
        self.src = policy.items(spec.get("from", "any"))
        self.egress = "from" in spec and "to" not in spec
        self.dst = policy.items(spec.get("to", "any" if self.egress else "self"))
        self.services = services(spec.get("port", "any"))
        self.on = listed(spec.get("on"))
        self.count = spec["count"]
        amount, unit = spec["rate"].split("/")
        self.period_ns = SECONDS[unit] * 10**9
        self.rate = int(amount[:-2]) * 1000 if amount.endswith("KB") else int(amount)
        self.burst = size(spec.get("burst", 0))
        self.per = spec.get("per", "source")
        self.key4 = spec.get("key", {}).get("ipv4", 32)
        self.key6 = spec.get("key", {}).get("ipv6", 64)
        self.block_ns = int(spec["on_exceed"]["block"][:-1]) * 60 * 10**9 if "on_exceed" in spec else 0

    def key_of(self, address):
        bits = self.key4 if len(address) == 4 else self.key6
        number = int.from_bytes(address, "big")
        return len(address), number >> (len(address) * 8 - bits)

    def key(self, src, dst):
        if self.per == "source":
            return self.key_of(src)
        if self.per == "destination":
            return self.key_of(dst)
        if self.per == "pair":
            return self.key_of(src), self.key_of(dst)
        return ()


class Protect:
    """Services of this node whose SYNs are answered with cookies above a rate."""

    def __init__(self, policy, number, spec):
        self.number = number
        self.dst = policy.items(spec.get("to", "self"))
        self.services = services(spec["port"])
        amount, unit = spec["syn_cookies"]["above"].split("/")
        self.interval = SECONDS[unit] * 16 * 10**9 / int(amount)  # 1/16 ns
        self.tolerance = max(1, int(amount) // SECONDS[unit] // 10) * self.interval


def size(value):
    """A number, or "500B", "3KB"."""
    if isinstance(value, int):
        return value
    return int(value[:-2]) * 1000 if value.endswith("KB") else int(value[:-1])


def vids(item):
    """A number, or "100-200"."""
    first, _, last = str(item).partition("-")
    return range(int(first), int(last or first) + 1)


def listed(value):
    if value is None:
        return None
    return value if isinstance(value, list) else [value]


def services(value):
    return [Service(text) for text in listed(value)]


class Rule:
    __slots__ = ("src", "dst", "services", "on")

    def __init__(self, policy, spec):
        self.src = policy.items(spec.get("from", "any"))
        self.dst = policy.items(spec.get("to", "self"))
        self.services = services(spec.get("port", "any"))
        self.on = listed(spec.get("on"))


FORWARDS, BRIDGED = 1, 2  # what the node is: a router; workloads are ports of a guarded bridge


class Policy:
    """spec: the structure; node: what it is for; interface_addresses by name, for {interface: …}."""

    def __init__(self, spec, node, interface_addresses):
        self.spec, self.node = spec, node
        self.forwarding, self.bridged = bool(node & FORWARDS), bool(node & BRIDGED)
        self.interface_addresses = interface_addresses
        self.segments = spec.get("segments", {})
        self.interfaces = [i if isinstance(i, str) else i["name"] for i in spec.get("interfaces", [])]
        self.monitor = spec.get("mode") == "monitor"
        self.vlans = {vid for item in spec.get("vlans", []) for vid in vids(item)}
        self.antispoof = {i["name"]: i.get("antispoof", "off") for i in spec.get("interfaces", []) if isinstance(i, dict)}
        self.cache_member, self.cache_verdict, self.cache_limit = {}, {}, {}
        self.cache_some, self.cache_samples = {}, {}
        self.allow = [Rule(self, r) for r in spec.get("allow", [])]
        self.deny = [Rule(self, r) for r in spec.get("deny", [])]
        self.limits = [Limit(self, r) for r in spec.get("limits", [])]
        self.protect = [Protect(self, n, r) for n, r in enumerate(spec.get("protect", []))]
        self.block = self.items(spec.get("block", []))
        self.never_block = self.items(spec.get("never_block", []))
        self.read_default(spec.get("default", {}))
        self.defaults = [
            (self.items([name]), value if isinstance(value, dict) else dict.fromkeys(("ingress", "egress"), value))
            for name, value in spec.get("defaults", {}).items()
        ]
        self.failsafe = self.read_failsafe()
        self.spared = self.never_block + self.read_spared()

    def text(self):
        return "".join(f"{key}: {json.dumps(value)}\n" for key, value in self.spec.items())

    def read_default(self, value):
        if isinstance(value, str):
            value = {"ingress": value, "egress": value, "forward": value}
        self.ingress = value.get("ingress", DENY)
        self.egress = value.get("egress", ALLOW)
        self.forward = value.get("forward", self.ingress)

    def read_failsafe(self):
        value = self.spec.get("failsafe")
        if value is not None:
            entries = [e if isinstance(e, dict) else {"port": e} for e in value]
            return [(self.items(e.get("from", "any")), services(e["port"])) for e in entries]
        for rule in self.allow + self.deny:
            if self.includes_self(rule.dst) and any(s.proto == TCP and s.has(TCP, 22) for s in rule.services):
                return []
        return [(self.items("any"), services("tcp/22"))]

    def read_spared(self):
        """Whom no limit blocks by itself: proxies, and those by whom the node is reached when all else fails."""
        spared = [name for name, value in self.segments.items() if isinstance(value, dict) and value.get("proxy")]
        for value in self.spec.get("failsafe") or []:
            spared += self.items(value.get("from", []) if isinstance(value, dict) else [])
        for rule in self.allow:
            if self.includes_self(rule.dst) and any(s.proto == TCP and s.has(TCP, 22) for s in rule.services):
                spared += rule.src
        return [item for item in spared if item != "any" and not self.lists_all(item)]

    def lists_all(self, item):
        """Whether an item, or a member of it, is all the world: nobody in particular."""
        if isinstance(item, str) and item in self.segments:
            value = self.segments[item]
            return any(map(self.lists_all, value["members"] if isinstance(value, dict) else value))
        return isinstance(item, str) and item.endswith("/0")

    def includes_self(self, items):
        for item in items:
            if item in ("self", "any"):
                return True
            if isinstance(item, str) and item in self.segments:
                value = self.segments[item]
                if self.includes_self(self.items(value["members"] if isinstance(value, dict) else value)):
                    return True
        return False

    # -- who

    def items(self, value):
        """Items as a flat list of words (any, self, workloads, segment names) and intervals."""
        flat = []
        for item in listed(value):
            if isinstance(item, dict):
                flat += [(a, a) for a in self.interface_addresses[item["interface"]]]
            elif item in ("any", "self", "workloads") or item in self.segments:
                flat.append(item)
            else:
                flat.append(interval(item))
        return flat

    def member(self, name, end):
        key = (name, end.key)
        if key not in self.cache_member:
            value = self.segments[name]
            if isinstance(value, dict):
                inside = self.holds(self.items(value["members"]), end)
                inside = inside and not self.holds(self.items(value.get("except", [])), end)
            else:
                inside = self.holds(self.items(value), end)
            self.cache_member[key] = inside
        return self.cache_member[key]

    def holds(self, items, end):
        for item in items:
            if item == "any":
                return True
            if end.anonymous:
                continue
            if item == "self":
                if end.kind == SELF:
                    return True
            elif item == "workloads":
                if end.kind == WORKLOAD:
                    return True
            elif isinstance(item, str):
                if self.member(item, end):
                    return True
            elif len(item[0]) == len(end.address) and item[0] <= end.address <= item[1]:
                return True
        return False

    # -- what the rules say

    def matches(self, rule, src, dst, zone):
        if rule.on is not None and zone not in rule.on:
            return False
        return self.holds(rule.src, src) and self.holds(rule.dst, dst)

    def rules(self, src, dst, zone):
        """The rules between two ends: (failsafe services, denied services, allowed services)."""
        key = (src.key, dst.key, zone)
        found = self.cache_verdict.get(key)
        if found is None:
            failsafe = [s for who, what in self.failsafe if dst.kind == SELF and self.holds(who, src) for s in what]
            deny = [s for r in self.deny if self.matches(r, src, dst, zone) for s in r.services]
            allow = [s for r in self.allow if self.matches(r, src, dst, zone) for s in r.services]
            found = self.cache_verdict[key] = (failsafe, deny, allow, {})
        return found

    def verdict(self, src, dst, proto, number, zone):
        """(action, named) of a packet from src that opens proto/number at dst."""
        failsafe, deny, allow, cache = self.rules(src, dst, zone)
        key = (proto, number)
        if key not in cache:
            cache[key] = self.decide(failsafe, deny, allow, proto, number)
        return cache[key]

    @staticmethod
    def decide(failsafe, deny, allow, proto, number):
        if any(s.has(proto, number) for s in failsafe):
            return FAILSAFE, True
        if any(s.has(proto, number) for s in deny):
            return DENY, False
        hits = [s for s in allow if s.has(proto, number)]
        if hits:
            return ALLOW, any(s.names(proto) for s in hits)
        return DEFAULT, False

    def default_of(self, end, direction):
        """The default of a direction for the local end; segments that disagree: deny."""
        said = {value[direction] for items, value in self.defaults if direction in value and self.holds(items, end)}
        if said:
            return DENY if DENY in said else ALLOW
        return self.ingress if direction == "ingress" else self.egress

    def allowed(self, src, dst, proto, number, zone, default):
        """True, or the name of the reason."""
        action, _ = self.verdict(src, dst, proto, number, zone)
        if action in (ALLOW, FAILSAFE) or (action == DEFAULT and default == ALLOW):
            return True
        return "deny" if action == DENY else "default"

    def samples(self, proto):
        """One (protocol, number) of each set of services that nothing tells apart; proto None: of all protocols."""
        if proto not in self.cache_samples:
            self.cache_samples[proto] = list(self.sample(proto))
        return self.cache_samples[proto]

    def sample(self, proto):
        every = [s for r in self.allow + self.deny + self.limits for s in r.services]
        every += [s for _, what in self.failsafe for s in what]
        protos = [proto] if proto is not None else sorted({s.proto for s in every if s.proto is not None} | {TCP, UDP, 252})
        for p in protos:
            if p not in PORTED + TYPED:
                yield p, 0
                continue
            cuts = {1 if p in PORTED else 0}
            for s in every:
                if s.proto == p and s.lo is not None:
                    cuts |= {s.lo, s.hi + 1}
            for cut in sorted(cuts):
                if cut <= (65535 if p in PORTED else 255):
                    yield p, cut

    def some_allowed(self, src, dst, proto, zone, default):
        """DESIGN 1.6: whether some service of the protocol (None: of any) is allowed from src to dst."""
        key = (src.key, dst.key, proto, zone, default)
        if key not in self.cache_some:
            self.cache_some[key] = any(
                self.allowed(src, dst, p, n, zone, default) is True
                for p, n in self.samples(proto)
            )
        return self.cache_some[key]

    def might_cover(self, limit, src, dst, proto, zone):
        """Whether the limit covers a service of the protocol that is neither denied by a rule nor failsafe."""
        key = (limit.name, src.key, dst.key, proto, zone)
        if key not in self.cache_some:
            self.cache_some[key] = any(
                any(s.has(p, n) for s in limit.services)
                and self.verdict(src, dst, p, n, zone)[0] in (ALLOW, DEFAULT)
                for p, n in self.samples(proto)
            )
        return self.cache_some[key]

    def protects(self, dst, proto, number):
        for entry in self.protect:
            if self.holds(entry.dst, dst) and any(s.has(proto, number) for s in entry.services):
                return entry
        return None

    def limits_of(self, src, dst, zone, egress):
        key = (src.key, dst.key, zone, egress)
        if key not in self.cache_limit:
            self.cache_limit[key] = [
                x for x in self.limits if x.egress in egress and self.matches(x, src, dst, zone)
            ]
        return self.cache_limit[key]
