# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts, as the design and the language's manual describe them: frame + policy + state -> what may happen.

judge() returns a list of outcomes that the text allows, usually one. Those that agree with what the programs did take
effect on the model's state; when several do and leave different things behind, each is a history that goes on
beside the others until something tells which it was. When none does, that is a disagreement.
"""

from collections import namedtuple
from functools import lru_cache
from ipaddress import ip_address, ip_network
from struct import pack

from packet import ACK, ANY6, ECHO, ICMP6, IGMP, RST, SCTP, SYN, TCP, UDP, read
from policy import ALLOW, End, FAILSAFE, OTHER, SELF, WORKLOAD, packed

XDP, NIC_IN, NIC_OUT, WL_OUT, WL_IN, BR_IN, BR_OUT = range(7)
HERE, NIC, NIC2, UNWATCHED, WL, WL2, UNKNOWN, BRIDGE = range(8)
NAMES = ("", "nic", "nic2", "other", "wl", "wl2", "", "")
HOME_SELF_IN, HOME_SELF_OUT, HOME_WL_IN, HOME_WL_OUT, HOME_FORWARD = 1, 2, 4, 8, 16

NIC_MAC, BRIDGE_MAC = bytes.fromhex("020000000a01"), bytes.fromhex("020000000a06")

# The harness's world (tests/prog/harness.h): (address, scope) -> (kind, interface, broadcast)
LOCAL = {
    (packed("192.0.2.1"), 0): (SELF, 0, False),
    (packed("2001:db8::1"), 0): (SELF, 0, False),
    (packed("192.0.2.255"), 0): (SELF, 0, True),
    (packed("fe80::a01"), NIC): (SELF, 0, False),
    (packed("203.0.113.1"), 0): (SELF, 0, False),
    (packed("2001:db8:77::1"), 0): (SELF, 0, False),
    (packed("203.0.113.2"), 0): (WORKLOAD, WL, False),
    (packed("2001:db8:77::2"), 0): (WORKLOAD, WL, False),
    (packed("fe80::2"), WL): (WORKLOAD, WL, False),
    (packed("203.0.113.130"), 0): (WORKLOAD, WL2, False),
    (packed("2001:db8:78::2"), 0): (WORKLOAD, WL2, False),
}
# Where the workloads are ports of a bridge
LOCAL_BRIDGED = {(packed("fe80::2"), BRIDGE): (WORKLOAD, WL, False), (packed("fe80::a06"), BRIDGE): (SELF, 0, False)}
WATCHED = (NIC, NIC2, WL, WL2, BRIDGE)

# The node's routes, as runner.c makes them. A VLAN device is on nic, and nic2 is a port of a bridge.
ROUTES = [
    (ip_network(prefix), device)
    for prefix, device in (
        ("127.0.0.0/8", None), ("192.0.2.1/32", None), ("192.0.2.255/32", None), ("203.0.113.1/32", None),
        ("203.0.113.127/32", None), ("::1/128", None), ("2001:db8::1/128", None), ("2001:db8:77::1/128", None),
        ("2001:db8::/128", None), ("2001:db8:77::/128", None),  # a router's own, RFC 4291 2.6.1
        ("192.0.2.0/24", "nic"), ("2001:db8::/64", "nic"), ("203.0.113.0/25", "wl"), ("2001:db8:77::/64", "wl"),
        ("198.51.100.0/24", "nic"), ("2001:db8:51::/64", "nic"), ("198.51.100.9/32", "nic2"), ("2001:db8:51::9/128", "nic2"),
        ("192.0.2.77/32", "other"), ("2001:db8::77/128", "other"), ("203.0.113.128/25", "wl2"), ("2001:db8:78::/64", "wl2"),
        ("8.8.0.0/16", "vlan"), ("64:ff9b::/96", "vlan"), ("10.0.0.0/8", "bridge"), ("2620::/16", "bridge"),
        ("100.64.0.0/10", None), ("fc00::/7", None),
    )
]  # fmt: skip
# Flows that conntrack knows, by runner.c: protocol, as it was sent, as its receiver sees it (source, port, destination, port)
NATTED = []
for self_, pod, outside, shown in (
    ("192.0.2.1", "203.0.113.2", "192.0.2.100", "203.0.113.1"),
    ("2001:db8::1", "2001:db8:77::2", "2001:db8::100", "2001:db8:77::1"),
):
    self_, pod, outside, shown = map(packed, (self_, pod, outside, shown))
    NATTED += [
        (UDP, (outside, 7600, self_, 7443), (shown, 7600, pod, 7353)),  # a published port
        (TCP, (outside, 7601, self_, 7443), (shown, 7601, pod, 7380)),
        (UDP, (pod, 7602, outside, 7777), (self_, 7602, outside, 7777)),  # masqueraded
        (TCP, (pod, 7603, outside, 7778), (self_, 7603, outside, 7778)),
        (UDP, (pod, 7604, self_, 7900), (self_, 7604, outside, 7353)),  # an address of ours that leads elsewhere
    ]
SENT = {(proto, *sent): (sent, seen) for proto, sent, seen in NATTED}
SEEN = {(proto, *seen): (sent, seen) for proto, sent, seen in NATTED}
PORTS = (NIC2,)  # what they carry may stay on their link
SAME_PATH = {"nic": ("nic", "vlan"), "nic2": ("nic2", "bridge")}
ALL_DHCP = packed("ff02::1:2")
NOTHING = frozenset()
HISTORIES = 64
FORBIDDEN = ("icmp_error", "deny", "default", "no_flow")


class Outcome:
    __slots__ = ("passes", "reasons", "homes", "effects", "why")

    def __init__(self, passes, reasons, homes=None, effects=(), why=""):
        self.passes, self.reasons, self.homes, self.effects, self.why = passes, reasons, homes, effects, why

    def __repr__(self):
        return f"{'pass' if self.passes else 'drop'} {'|'.join(sorted(self.reasons))} homes {self.homes} {self.why}"


OK = frozenset(("ok", ""))


def drop(*reasons, why=""):
    return Outcome(False, frozenset(reasons), None, (), why)


def is_multicast(address):
    return address[0] & 0xF0 == 0xE0 if len(address) == 4 else address[0] == 0xFF


def is_link_local(address):
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


def is_on_link_only(address):
    return is_link_local(address) if len(address) == 16 else address[:2] == b"\xa9\xfe"


@lru_cache(4096)
def route(address):
    """The device that a unicast route to the address goes out by; None: there is none."""
    number = ip_address(address)
    found = [(net.prefixlen, device) for net, device in ROUTES if net.version == number.version and number in net]
    return max(found, key=lambda each: each[0])[1] if found else None


A_SECOND = 10**9
LASTS = 2 * A_SECOND - 10**7  # clocks may be as coarse as a tick
AFTER_FLOOD = 120 * A_SECOND
FORGOTTEN = 300 * A_SECOND


class Flood(namedtuple("Flood", "tat above last passed proved", defaults=(NOTHING, NOTHING))):
    """SYNs of protected services: TAT; since when the rate was exceeded, and when it may have been last; when one passed
    meanwhile, to which address and port; who has opened a connection."""

    __slots__ = ()

    def lets_through(self, ends, now):
        passed = [when for where, when in self.passed if where == (ends[1], ends[3])]
        return not passed or now >= max(passed) + A_SECOND

    def let_through(self, ends, now):
        return self._replace(last=now, passed=self.passed | {((ends[1], ends[3]), now)}, proved=self.proved | {ends})


def aggregate(p, size, segments):
    """K-7: one packet for the program, several on the wire, each with headers of its own."""
    if p.bad & {"bad_checksum"}:
        p.bad.discard("bad_checksum")
        p.may_drop.add("bad_checksum")
    headers = p.length - len(p.payload) + p.l4_header
    payload = p.length - headers
    if p.proto not in (TCP, UDP) or payload <= 0:
        return
    p.segments = segments or -(-payload // size)
    p.first_length = headers + min(size, payload)
    p.length = p.segments * headers + payload


class Judged:
    """One home's answer: whether it passes, why not, what is charged, what it does to the state."""

    __slots__ = ("passes", "reasons", "charge", "effects", "why")

    def __init__(self, passes, reasons=(), charge=(), effects=(), why=""):
        self.passes, self.reasons, self.charge = passes, frozenset(reasons), charge
        self.effects, self.why = effects, why


class Model:
    def __init__(self, policy, sockets, start_ns=3600 * 10**9):
        self.policy, self.now, self.scope, self.where = policy, start_ns, 0, None
        self.connected = {s[1:6] for s in sockets if s[0] == "tcp"}
        self.listening = {(s[1], s[2], s[3]) for s in sockets if s[0] == "tcp" and s[6]}
        self.datagram = {s[1:6] for s in sockets if s[0] == "udp"}
        self.blocks = {}
        self.flows, self.fragments, self.tats, self.auto, self.floods = {}, set(), {}, {}, {}
        self.marks = set()  # "behind": somebody behind an address of ours has entered a workload
        self.nat = ("nat",) in sockets
        self.answered = None  # tuple of the SYN that was last answered with a cookie
        self.proof = False  # the frame acknowledges that cookie
        self.gso = None  # of an aggregate: payload of a segment, how many (0: not told)
        self.others = []  # states of the other histories that explain what was seen

    # -- state that the driver changes

    def state(self):
        return self.flows, self.fragments, self.tats, self.auto, self.floods, self.marks

    def states(self):
        return [self.state()] + self.others

    def forget(self):
        """Every flow has expired."""
        for flows, fragments, _, _, floods, _ in self.states():
            flows.clear()
            fragments.clear()
            floods.clear()

    def forget_limits(self):
        for _, _, tats, auto, _, _ in self.states():
            tats.clear()
            auto.clear()

    # -- histories

    def enter(self, state):
        self.flows, self.fragments, self.tats, self.auto, self.floods, self.marks = state

    def observe(self, frame, hook, at, arrived, tag, agrees):
        """Goes on with every history in which the text allows an outcome that @agrees holds of.

        Returns the packet, the outcomes allowed in the first history, and whether any agreed.
        """
        p, outcomes = self.judge(frame, hook, at, arrived, tag)
        agreeing = [o for o in outcomes if agrees(o)]
        if not self.others and len(agreeing) < 2:
            for outcome in agreeing:
                for effect in outcome.effects:
                    effect()
            return p, outcomes, bool(agreeing)
        before, after = self.states(), []
        for state in before:
            self.enter(state)
            for outcome in self.judge(frame, hook, at, arrived, tag)[1]:
                if not agrees(outcome):
                    continue
                self.enter([part.copy() for part in state])  # effects change the state that the model is in
                for effect in outcome.effects:
                    effect()
                after.append(self.state())
                self.enter(state)
        first, *self.others = self.distinct(after) or before
        self.enter(first)
        return p, outcomes, bool(after)

    def distinct(self, states):
        """States that differ, less what has expired. Of very many the first: what drops out can raise a false alarm only."""
        kept = []
        for flows, fragments, tats, auto, floods, marks in states:
            tats = {key: tat for key, tat in tats.items() if tat > self.now * 16}
            auto = {key: end for key, end in auto.items() if end > self.now}
            if not any((flows.keys(), fragments, tats, auto, floods, marks) == (k[0].keys(), *k[1:]) for k in kept):
                kept.append((flows, fragments, tats, auto, floods, marks))
        return kept[:HISTORIES]

    def local(self, address, scope):
        if is_link_local(address):
            found = LOCAL.get((address, scope))
            if found is None and self.policy.bridged and scope in (WL, WL2, BRIDGE):
                found = LOCAL_BRIDGED.get((address, BRIDGE))
            return found
        return LOCAL.get((address, 0))

    def kind(self, address, scope):
        found = self.local(address, scope)
        return found[0] if found else OTHER

    # -- a frame

    def judge(self, frame, hook, at, arrived, tag):
        p = read(frame if tag is None else frame[:12] + pack(">HH", *tag) + frame[12:])  # out of band: outermost
        self.scope, self.where = at, (hook, arrived)
        if p.vlan and (hook >= WL_OUT or p.vlan not in self.policy.vlans):
            p.bad.add("vlan")
        if self.gso:
            aggregate(p, *self.gso)
        p.elsewhere = hook in (XDP, NIC_IN) and at not in PORTS and self.is_anothers_mac(p.dmac)
        if p.bad:
            reasons = p.bad | p.may_drop
            if p.family and p.src:  # which comes first is not said
                reasons |= self.binding(p, hook, at)
            outcomes = [drop(*reasons, why="malformed")]
        else:
            outcomes = self.judge_packet(p, hook, at, arrived)
            if p.may_drop:
                outcomes.append(drop(*p.may_drop, why="may drop"))
            if p.elsewhere:
                for outcome in outcomes:
                    outcome.effects = ()
        if self.policy.monitor:
            # Whether state is made of what would be dropped is not said: what follows may be judged with it or without.
            loose = OK | {"limit", "limit_overflow", "auto_blocked"} if not p.bad else NOTHING
            outcomes = [Outcome(True, o.reasons | loose, None, o.effects, o.why) for o in outcomes]
        return p, outcomes

    @staticmethod
    def is_anothers_mac(mac):
        """A-8: filtered, but it leaves nothing behind. A virtual router's (RFC 9568) may be ours."""
        router = mac[:5] in (b"\0\0\x5e\0\1", b"\0\0\x5e\0\2")
        return not mac[0] & 1 and any(mac) and mac != NIC_MAC and not router

    def judge_packet(self, p, hook, at, arrived):
        if hook >= BR_IN:
            return self.at_bridge(p, hook)
        if hook == WL_IN and arrived == UNKNOWN:
            return [drop("unknown_interface", "not_bound", "ethertype", "blocked", why="too new")]
        if p.kind == "control":
            return [drop("ethertype")] if hook in (WL_OUT, WL_IN) else [Outcome(True, OK, 0)]
        if p.kind == "arp":
            return self.judge_arp(p, hook, at)
        refused = self.binding(p, hook, at)
        if not refused:
            exempt = self.must_not_break(p, hook, at, arrived)
            if exempt:
                return exempt
        elif hook in (XDP, NIC_IN) and p.family:
            # An own address as source: whether that or the must-not-break set comes first is not said.
            exempt = self.must_not_break(p, hook, at, arrived)
            if exempt:
                return exempt[:1] + [drop(*refused)]
        return self.by_policy(p, hook, at, arrived, refused)

    def judge_arp(self, p, hook, at):
        if hook != WL_OUT:
            return [Outcome(True, OK, 0)]
        _, sender, target = p.arp
        if self.is_bound(sender, at) or (sender == bytes(4) and not self.is_anothers(target, at)):
            return [Outcome(True, OK, 0)]
        return [drop("spoofed")]

    def is_anothers(self, address, at):
        """A probe for it (RFC 5227, RFC 4862) would keep whoever has it from using it."""
        return self.local(address, at) is not None and not self.is_bound(address, at)

    def is_bound(self, address, at):
        found = self.local(address, at)
        return found is not None and found[0] == WORKLOAD and found[1] == at

    def is_port(self, address):
        """Whether it is bound to a port of the bridge."""
        found = self.local(address, BRIDGE)
        return found is not None and found[0] == WORKLOAD

    def at_bridge(self, p, hook):
        """weir(8): between this node and the bridge, and between its ports, passes only what is bound to a port."""
        passes = [Outcome(True, OK, 0, why="bridge")]
        either = passes + [drop("spoofed", "not_bound", "ethertype", "bad_nd", why="bridge")]
        if p.kind == "control":
            return either
        if p.kind == "arp":
            if hook == BR_OUT or self.is_port(p.arp[1]):
                return passes
            return passes if p.arp[1] == bytes(4) and self.is_port(p.arp[2]) else [drop("spoofed", why="bridge")]
        blocked = [drop("blocked", "block_list", why="bridge")]  # at an earlier hook, or the next
        if not any(self.is_blocked(End(a, k)) or self.is_listed(End(a, k)) for a in (p.src, p.dst) for k in (SELF, WORKLOAD, OTHER)):
            blocked = []
        nd = p.family == 6 and (130 <= p.icmp_type <= 137 or p.icmp_type == 143)
        if hook == BR_OUT:
            if self.is_port(p.dst) or is_multicast(p.dst) or self.is_broadcast(p.dst):
                return passes + blocked
            return either if nd else [drop("not_bound", why="bridge")] + blocked
        if p.src == ANY6:
            if p.icmp_type == 135 and not p.fragment:
                return passes if self.is_port(p.payload[8:24]) else [drop("spoofed", why="bridge")]
            return either
        if not self.is_port(p.src):
            return [drop("spoofed", why="bridge")] + blocked
        # What a bound source says of others' addresses was judged at its port.
        return (either if p.family == 6 and p.icmp_type in (134, 136, 137) else passes) + blocked

    def is_broadcast(self, address):
        found = self.local(address, 0)
        return address == b"\xff" * 4 or (found is not None and found[2])

    def binding(self, p, hook, at):
        """DESIGN 1.2: reasons for which a workload's veth refuses the packet's addresses."""
        refused = set()
        if hook == WL_OUT:
            if not self.is_bound(p.src, at) and p.src != ANY6:
                refused.add("spoofed")
            if p.family == 6 and p.icmp_type == 136 and not p.fragment:
                if not self.is_bound(p.payload[8:24], at):
                    refused.add("spoofed")
            if p.family == 6 and p.icmp_type == 135 and p.src == ANY6 and self.is_anothers(p.payload[8:24], at):
                refused.add("spoofed")
            if p.family == 6 and p.icmp_type in (134, 137):
                refused |= {"bad_nd", "spoofed"}
            if self.policy.bridged and p.dmac != BRIDGE_MAC:  # to another port, where a hook may be missing
                if not (self.is_port(p.dst) or is_multicast(p.dst) or self.is_broadcast(p.dst)):
                    # Whether that or the must-not-break set comes first is not said.
                    (p.may_drop if p.family == 6 and 133 <= p.icmp_type <= 137 else refused).add("not_bound")
        elif hook == WL_IN:
            if not self.is_bound(p.dst, at) and not is_multicast(p.dst) and not self.is_broadcast(p.dst):
                refused.add("not_bound")
        elif hook in (XDP, NIC_IN) and self.kind(p.src, at) != OTHER:  # a workload's is as good as ours
            refused |= {"martian_source", "spoofed"}
        return refused

    def astray(self, p, hook, at, arrived, dst, homes):
        """Reasons for which a NIC refuses what comes from where it cannot, or would be forwarded though it may not."""
        refused = set()
        if hook not in (XDP, NIC_IN, NIC_OUT):
            return refused
        forwarded = homes[0][0] == HOME_FORWARD if homes else hook != NIC_OUT and dst.kind == WORKLOAD
        came = arrived if hook == NIC_OUT else at
        if forwarded and came not in PORTS and not (hook == NIC_OUT and self.kind(p.src, at) == SELF):
            if is_on_link_only(p.src):
                refused.add("martian_source")
            if is_on_link_only(p.dst):
                refused.add("martian_destination")
        if hook != NIC_OUT and not self.has_reverse_path(p, NAMES[at]):
            refused.add("reverse_path")
        return refused

    def has_reverse_path(self, p, name):
        """RFC 3704; what a host sends before it has an address, or for its link alone, has no route."""
        mode = self.policy.antispoof.get(name, "off")
        if mode == "off" or not any(p.src) or is_link_local(p.src) or p.proto == (IGMP if p.family == 4 else ICMP6):
            return True
        device = route(p.src)
        return device is not None and (mode == "loose" or device in SAME_PATH.get(name, (name,)))

    def must_not_break(self, p, hook, at, arrived):
        at_nic = hook in (XDP, NIC_IN, NIC_OUT)
        exempt = [Outcome(True, OK, 0, why="must not break")]
        if p.family == 6 and 133 <= p.icmp_type <= 137:
            return exempt
        if not at_nic:
            return None
        if p.family == 6 and p.icmp_type in (130, 131, 132, 143) and not p.fragment:
            linked = p.hops == 1 and is_multicast(p.dst) and (p.src[:2] == b"\xfe\x80" or p.src == ANY6)
            return exempt if linked else exempt + self.by_policy(p, hook, at, arrived, NOTHING)
        if p.family == 4 and p.proto == IGMP and not p.fragment:
            shape = len(p.payload) >= 8 and p.payload[0] in (0x11, 0x12, 0x16, 0x17, 0x22)
            if not shape:
                return None
            linked = p.hops == 1 and is_multicast(p.dst)
            return exempt if linked else exempt + self.by_policy(p, hook, at, arrived, NOTHING)
        if p.proto != UDP or p.fragment == "later":
            return None
        exempt = self.dhcp(p, hook, at, arrived, exempt)
        if exempt and p.fragment:
            return exempt + self.by_policy(p, hook, at, arrived, NOTHING)
        return exempt

    def dhcp(self, p, hook, at, arrived, exempt):
        if p.family == 4:
            if hook == NIC_OUT:
                return exempt if (p.sport, p.dport) == (68, 67) and arrived == HERE else None
            offer = (p.sport, p.dport) == (67, 68) and len(p.payload) >= 8 + 34
            if not offer or p.payload[8] != 2 or p.payload[36:42] != NIC_MAC:
                return None
            # RFC 2131 2: an Ethernet address, 236 bytes before the options
            whole = len(p.payload) >= 8 + 236 and p.payload[9:11] == b"\x01\x06"
            return exempt if whole else exempt + self.by_policy(p, hook, at, arrived, NOTHING)
        link_local = is_link_local(p.src) and (is_link_local(p.dst) or p.dst == ALL_DHCP)
        if link_local and {p.sport, p.dport} == {546, 547}:
            return exempt
        if link_local and {p.sport, p.dport} <= {546, 547}:
            return exempt + self.by_policy(p, hook, at, arrived, NOTHING)
        return None

    def by_policy(self, p, hook, at, arrived, refused):
        src, dst, homes = self.homes(p, hook, at, arrived)
        if hook >= NIC_OUT and (src.address != p.src or dst.address != p.dst):
            return self.by_hidden(p, hook, at, arrived, refused, src, dst, homes)
        return self.by_ends(p, hook, at, arrived, refused, src, dst, homes)

    def by_hidden(self, p, hook, at, arrived, refused, src, dst, homes):
        """Of one whose address NAT hides; whether the address that shows may be blocked as well is not said."""
        outcomes = self.by_ends(p, hook, at, arrived, refused, src, dst, homes)
        shown = [End(a, k) for a, end in ((p.src, src), (p.dst, dst)) if end.address != a for k in (SELF, OTHER)]
        if src.address != p.src and "behind" not in self.marks:
            # From when on answers are looked for is not said but of who entered a workload.
            told = [self.with_mark(outcome) for outcome in outcomes]
            entered = [outcome.passes and hook == WL_IN for outcome in outcomes]
            outcomes = told + [outcome for outcome, inside in zip(outcomes, entered) if not inside]
        if any(self.is_blocked(end) for end in shown):
            outcomes.append(drop("blocked", why="whom NAT shows"))
        if any(self.is_listed(end) for end in shown):
            outcomes.append(drop("block_list", why="whom NAT shows"))
        return outcomes

    def with_mark(self, outcome):
        effects = [*outcome.effects, lambda: self.marks.add("behind")]
        return Outcome(outcome.passes, outcome.reasons, outcome.homes, effects, outcome.why)

    def by_ends(self, p, hook, at, arrived, refused, src, dst, homes):
        refused = set(refused) | self.astray(p, hook, at, arrived, dst, homes)
        blocked = self.is_blocked(src) or self.is_blocked(dst)
        if blocked:
            refused.add("blocked")
        hidden = src.anonymous or (hook == NIC_OUT and arrived != HERE)
        if hidden and homes and is_on_link_only(p.dst) and src.anonymous and not refused:
            # Forwarded and masqueraded to a link-local address: whether that is forbidden is not said.
            rest = self.unblocked(p, hook, at, arrived, src, dst, homes, refused, False)
            return [drop("martian_destination"), *rest]
        alias = End(src.address, OTHER if src.kind == SELF else self.kind(src.address, at))
        if hidden and blocked != (self.is_blocked(alias) or self.is_blocked(dst)):
            # never_block names this node; whether that is so of a source that hides another is not said
            judged = self.unblocked(p, hook, at, arrived, src, dst, homes, refused - {"blocked"}, False)
            return [drop("blocked")] + judged
        return self.unblocked(p, hook, at, arrived, src, dst, homes, refused, blocked)

    def unblocked(self, p, hook, at, arrived, src, dst, homes, refused, blocked):
        if hook == WL_IN and refused - {"blocked"} == {"not_bound"} and p.family == 6 and 133 <= p.icmp_type <= 137:
            # Whether the binding or the must-not-break set comes first is not said.
            return [drop(*refused), Outcome(True, OK, 0, why="must not break")]
        if refused:
            listed = self.listed(src, dst) is not False
            return [drop(*refused, *(["block_list"] if listed and not blocked else []))]
        if self.is_failsafe(p, src, dst, hook == NIC_OUT and arrived != HERE):
            outcomes = [Outcome(True, OK, None, self.seen(p), "failsafe")]
            entry = self.protection(p, hook, dst, homes)
            if entry:
                return self.protected(p, hook, entry, homes, outcomes)
            # What failsafe of this node means for a workload's own home is not said.
            return self.combine(p, homes) + outcomes if len(homes) > 1 else outcomes
        listed = self.listed(src, dst)
        if listed:
            return [drop("block_list")]
        if listed is None:
            return [drop("block_list")] + self.at_home(p, hook, at, arrived, src, dst, homes)
        return self.at_home(p, hook, at, arrived, src, dst, homes)

    def at_home(self, p, hook, at, arrived, src, dst, homes):
        if hook in (XDP, NIC_IN) and homes and homes[0][0] == HOME_SELF_IN and self.masq_reply(p):
            through = Outcome(True, OK, None, self.seen(p, "masq"), "reply of a masqueraded flow")
            if p.error and (p.inner.odd or p.inner.short):  # G-2
                return [through] + self.combine(p, homes)
            if self.settled_before(p, *homes[0][2:5]):
                return self.combine(p, homes)
            flooded = any(flood.above for flood in self.floods.values()) and self.protection(p, hook, dst, homes)
            # To a port that is protected and was taken for NAT, too: which of the two is looked at first is not said.
            return [through, drop("bad_cookie", why="no cookie")] if flooded and not p.opens_tcp else [through]
        entry = self.protection(p, hook, dst, homes)
        if entry:
            return self.protected(p, hook, entry, homes, self.combine(p, homes))
        if not homes:
            left = self.masquerade(p, NAMES[arrived]) if hook == NIC_OUT and src.kind == SELF else [[]]
            return [Outcome(True, OK, 0, [*self.seen(p), *entries], "judged elsewhere") for entries in left]
        return self.combine(p, homes)

    # -- SYN cookies

    def protection(self, p, hook, dst, homes):
        arrives = hook in (XDP, NIC_IN) and homes and homes[0][0] == HOME_SELF_IN
        if not arrives or p.proto != TCP or p.fragment == "later" or self.policy.monitor or p.elsewhere:
            return None
        return self.policy.protects(dst, TCP, p.dport)

    def protected(self, p, hook, entry, homes, outcomes):
        """What passes is a SYN below the rate, or comes from who has proved its address."""
        flood = self.floods.get(entry.number)
        _, _, _, _, _, ns = homes[0]
        known = (ns, p.dst, p.dport, p.src, p.sport) in self.connected
        listens = (ns, p.dst, p.dport) in self.listening
        if p.opens_tcp:
            uncounted = outcomes
            # Answered is only what has a listener; of what does not come by XDP nothing but the rate is said.
            loose = known or not listens or hook == NIC_IN or p.fragment or p.chain or p.options or p.tagged
            loose = loose or p.dmac != NIC_MAC
            outcomes = self.syn(entry, flood, outcomes, loose, (p.src, p.dst, p.sport, p.dport))
            if hook != NIC_IN:
                return outcomes
            for outcome in outcomes:
                if not outcome.passes:
                    outcome.reasons |= {"syn_cookie"}
            return outcomes + [o for o in uncounted if o.passes]
        if flood is None or not flood.above or known or not listens or not p.flags & ACK:
            return outcomes
        if self.proof and self.answered == (p.src, p.dst, p.sport, p.dport):
            return self.proved(p, entry, flood, homes, outcomes)
        refused = [drop("bad_cookie", *(reason for o in outcomes if not o.passes for reason in o.reasons), why="no cookie")]
        late = self.now >= flood.above + AFTER_FLOOD  # whose cookies were answered by then is let in by the kernel, too
        return refused + outcomes if late or p.flags & (SYN | RST) or hook == NIC_IN else refused

    def syn(self, entry, flood, outcomes, loose, ends):
        """The rate is a GCRA of what passes; above it all are answered until two seconds after it was last exceeded, but
        for one a second."""
        flood = flood or Flood(0, 0, 0)
        passing = [o for o in outcomes if o.passes]
        dropped = [o for o in outcomes if not o.passes]
        if not passing and not any("limit" in o.reasons for o in dropped):
            return outcomes
        now = self.now * 16
        early = flood.tat - (now + entry.tolerance)
        slack = 16 + entry.interval * 2e-3
        charged = flood._replace(tat=max(flood.tat, now) + entry.interval, proved=flood.proved | {ends})
        # One of a second passes, and is not charged: it opens nothing that others could not open.
        shown = [o for one in passing for o in (one, Outcome(True, one.reasons, one.homes, self.seen_only(one), one.why))]
        if flood.above and self.now <= flood.last + FORGOTTEN:
            # Above the rate a moment ago: when exactly that ends is not said
            renewed = flood._replace(last=self.now)
            answers = self.spoken(dropped, entry, (renewed,)) + ([self.cookie(entry, renewed)] if passing else [])
            if self.now < flood.above + LASTS and not flood.lets_through(ends, self.now) and not loose:
                return answers
            return answers + self.let_through(shown, entry, renewed, ends, loose)
        exceeded = flood._replace(above=self.now, last=self.now)
        answers = [self.cookie(entry, exceeded)] if passing else []
        if early > slack:
            first = self.let_through(shown, entry, exceeded, ends, loose)
            return self.spoken(dropped, entry, (flood, exceeded)) + answers + first
        below = [self.then(o, entry, charged) for o in passing]
        return self.spoken(dropped, entry, (flood, charged)) + below + (answers if early > -slack else [])

    def let_through(self, shown, entry, flood, ends, loose):
        """The one of this second, or one that is no matter of cookies."""
        floods = (flood.let_through(ends, self.now),) + ((flood,) if loose else ())
        return [self.then(o, entry, each) for o in shown for each in floods]

    def seen_only(self, outcome):
        """The effects of an outcome without its charges."""
        return [effect for effect in outcome.effects if not getattr(effect, "charges", False)]

    def then(self, outcome, entry, flood):
        effects = [*outcome.effects, lambda: self.floods.__setitem__(entry.number, flood)]
        return Outcome(outcome.passes, outcome.reasons, outcome.homes, effects, outcome.why)

    def cookie(self, entry, flood):
        return self.then(Outcome(False, frozenset(("syn_cookie",)), None, (), "SYN above the rate"), entry, flood)

    def spoken(self, dropped, entry, floods):
        """Whether a SYN that a limit refuses counts to the rate, and blocks its sender, is not said."""
        out = []
        for o in dropped:
            for flood in floods:
                out.append(self.then(o, entry, flood))
                if o.effects:
                    out.append(self.then(Outcome(False, o.reasons, None, (), o.why), entry, flood))
        return out

    def proved(self, p, entry, flood, homes, outcomes):
        """The connection is charged now, once."""
        home, direction, src, dst, zone, _ = homes[0]
        key = p.src, p.dst, p.sport, p.dport
        done = flood._replace(proved=flood.proved | {key})
        opening = [c for c in self.charge(p, src, dst, zone, direction, True) if c[0].count == "connections"]
        out = []
        for o in outcomes:
            if not o.passes:
                out += [o, self.then(o, entry, done)]
                continue
            for after in self.limited(p, o.homes, opening, o.effects, "proved"):
                out += [self.then(after, entry, done)] + ([] if after.passes else [after])
        return out + outcomes if key in flood.proved else out  # once more, it may open once more

    def settled_before(self, p, src, dst, zone):
        """DESIGN 1.3: what a rule that names the port lets in passes without look-up, and is charged; so are later
        fragments of what the peer may open."""
        if p.fragment == "later":
            proto = p.proto if p.family == 4 else None
            return self.policy.some_allowed(src, dst, proto, zone, self.policy.default_of(dst, "ingress"))
        action, named = self.policy.verdict(src, dst, *p.service(), zone)
        return named and action in (ALLOW, FAILSAFE)

    # -- where it is judged

    def homes(self, p, hook, at, arrived):
        """The ends, and a list of (home, direction, src, dst, zone, namespace)."""
        forwarding = self.policy.forwarding
        zone, came = NAMES[at], NAMES[arrived]
        if hook in (XDP, NIC_IN):
            src = End(p.src, self.kind(p.src, at))
            kind = self.kind(p.dst, at)
            if not forwarding and "workloads" not in self.policy.spec:
                kind = SELF  # nothing else is here
            group = p.dmac[0] & 1  # sent to all on the link: not forwarded, RFC 1812 5.3.4
            if kind == WORKLOAD:
                return src, End(p.dst, kind), []
            if kind == SELF or not forwarding or group or is_multicast(p.dst) or self.is_broadcast(p.dst):
                dst = End(p.dst, SELF)
                return src, dst, [(HOME_SELF_IN, "in", src, dst, zone, "node")]
            dst = End(p.dst, OTHER)
            return src, dst, [(HOME_FORWARD, "forward", src, dst, zone, None)]
        if hook == NIC_OUT:
            dst = End(p.dst, OTHER)
            if arrived == HERE:
                src = End(p.src, SELF)
                return src, dst, [(HOME_SELF_OUT, "out", src, dst, zone, "node")]
            src = End(p.src, self.kind(p.src, at))
            if arrived in WATCHED:
                return src, dst, []
            if src.kind == SELF:
                src = self.behind(p)  # DESIGN 1.8: the original source
            if src.kind == WORKLOAD:
                src = End(src.address, OTHER)  # bound to a veth that it did not come from: in transit
            return src, dst, [(HOME_FORWARD, "forward", src, dst, came, None)]
        if hook == WL_OUT:
            src, dst = End(p.src, WORKLOAD), End(p.dst, self.kind(p.dst, at))
            out = (HOME_WL_OUT, "out", src, dst, zone, "pod" if at == WL else None)
            group = p.dmac[0] & 1 and dst.kind != WORKLOAD
            if group or is_multicast(p.dst) or self.is_broadcast(p.dst):
                dst.kind = SELF
                dst.key = (dst.address, SELF, False)
            answers = "behind" in self.marks and not p.opens_tcp
            if dst.kind == SELF and answers and self.translated(p, SEEN, True):
                asked, _ = self.translated(p, SEEN, True)
                dst = End(asked[0], self.kind(asked[0], at))
                return src, dst, [(HOME_WL_OUT, "out", src, dst, zone, "pod" if at == WL else None)]
            if dst.kind == SELF:
                return src, dst, [out, (HOME_SELF_IN, "in", src, dst, zone, "node")]
            return src, dst, [out]
        dst = End(p.dst, WORKLOAD)
        kind = self.kind(p.src, at)
        if arrived == HERE:
            src = End(p.src, SELF)
            return src, dst, [
                (HOME_SELF_OUT, "out", src, dst, zone, "node"),
                (HOME_WL_IN, "in", src, dst, "", "pod" if at == WL else None),
            ]
        src = self.behind(p) if kind == SELF else End(p.src, kind)
        return src, dst, [(HOME_WL_IN, "in", src, dst, came, "pod" if at == WL else None)]

    def translated(self, p, flows, answers=False):
        """The flow of conntrack's that the packet is of, or is the answer to: (as sent, as seen)."""
        if not self.nat or p.fragment or p.error or p.proto not in (TCP, UDP):
            return None
        if answers:
            return flows.get((p.proto, p.dst, p.dport, p.src, p.sport))
        return flows.get((p.proto, p.src, p.sport, p.dst, p.dport))

    def behind(self, p):
        """Who sent what has an address of this node that did not make it."""
        found = self.translated(p, SEEN)
        if found:
            return End(found[0][0], self.kind(found[0][0], 0))
        if self.translated(p, SENT, True):
            return End(p.src, SELF)  # what was asked of us comes back from us, whoever answered
        return End(p.src, OTHER, True)

    def is_blocked(self, end):
        for network, expires in self.blocks.items():
            if expires and expires <= self.now:
                continue
            first, last = network
            if len(first) == len(end.address) and first <= end.address <= last:
                return not self.policy.holds(self.policy.never_block, end)
        return False

    def is_listed(self, end):
        return self.policy.holds(self.policy.block, end)

    def listed(self, src, dst):
        """Whether the block list holds an end: yes, no, or not said (None), of a source that hides another."""
        if self.is_listed(src) or self.is_listed(dst):
            return True
        return None if src.anonymous and self.is_listed(End(src.address, SELF)) else False

    def is_failsafe(self, p, src, dst, forwarded):
        if p.fragment == "later" or p.error or forwarded:
            return False
        if dst.kind == SELF and self.policy.verdict(src, dst, *p.service(), "")[0] == FAILSAFE:
            return True
        if src.kind == SELF and not (p.proto == TCP and p.opens_tcp):
            number = p.sport
            if p.icmp_type >= 0:
                request, reply = ECHO[p.family]
                number = request if p.icmp_type == reply else -1
            return self.policy.verdict(dst, src, p.proto, number, "")[0] == FAILSAFE
        return False

    # -- all homes of a packet

    def combine(self, p, homes):
        """Home after home: each judges and charges for itself; what is remembered, only when all let it pass."""
        going, drops = [(Outcome(True, OK, 0, [], ""), [])], []  # passes so far, and what each will leave behind
        for home, direction, src, dst, zone, ns in homes:
            following = []
            for judged in self.one_home(p, direction, src, dst, zone, ns):
                for before, entries in going:
                    why = f"{before.why} {judged.why}".strip()
                    if not judged.passes:
                        drops.append(Outcome(False, judged.reasons, None, before.effects, why))
                        continue
                    for outcome in self.limited(p, before.homes | home, judged.charge, before.effects, why):
                        if outcome.passes:
                            following.append((outcome, entries + list(judged.effects)))
                        else:
                            drops.append(outcome)
            going = following
        for outcome, entries in going:
            outcome.effects = list(outcome.effects) + entries + list(self.seen(p))
        return drops + [outcome for outcome, _ in going]

    def seen(self, p, region=""):
        if p.fragment != "first":
            return ()
        key = self.fragment_key(p) + (region or self.where,)
        return (lambda: self.fragments.add(key),)

    @staticmethod
    def fragment_key(p):
        return p.src, p.dst, p.ident, p.proto if p.family == 4 else None

    def one_home(self, p, direction, src, dst, zone, ns):
        if p.fragment == "later":
            return self.later(p, direction, src, dst, zone)
        if p.error:
            return self.error(p, direction, src, dst, zone, ns)
        if direction == "forward":
            return self.forward(p, src, dst, zone)
        if p.proto == TCP:
            return self.tcp(p, direction, src, dst, zone, ns)
        return self.datagrams(p, direction, src, dst, zone, ns)

    def charge(self, p, src, dst, zone, direction, opening=False):
        """Limits that a packet in the opening direction meets."""
        sides = self.sides(src, dst, direction)
        proto, number = p.service()
        if self.policy.verdict(src, dst, proto, number, zone)[0] == FAILSAFE:
            return ()
        return [
            (x, x.key(src.address, dst.address), self.policy.holds(self.policy.spared, src))
            for x in self.policy.limits_of(src, dst, zone, sides)
            if any(s.has(proto, number) for s in x.services) and (x.count != "connections" or (proto == TCP and opening))
        ]

    @staticmethod
    def sides(src, dst, direction):
        """Which limits count here: those with `to` at the home of `to`, those with `from` alone at that of the sender. An
        end that has no home here is judged at the other's."""
        if direction == "forward":
            return False, True
        if direction == "in":
            return (False,)  # whether `from` alone counts what an outsider sends here is not said
        return (True, False) if dst.kind == OTHER else (True,)

    def permitted(self, src, dst, proto, number, zone, default):
        return self.policy.allowed(src, dst, proto, number, zone, default)

    # -- TCP of self and workloads: DESIGN 1.3

    def tcp(self, p, direction, src, dst, zone, ns):
        out = direction == "out"
        local, peer = (src, dst) if out else (dst, src)
        lport, pport = (p.sport, p.dport) if out else (p.dport, p.sport)
        if p.opens_tcp:
            default = self.policy.default_of(local, "egress" if out else "ingress")
            answer = self.permitted(src, dst, TCP, p.dport, zone, default)
            if answer is not True:
                return [Judged(False, [answer], why=f"{direction}: SYN")]
            return [Judged(True, charge=self.charge(p, src, dst, zone, direction, True), why=f"{direction}: SYN")]
        action, named = self.policy.verdict(peer, local, TCP, lport, zone)
        can_in = self.permitted(peer, local, TCP, lport, zone, self.policy.default_of(local, "ingress"))
        can_out = self.permitted(local, peer, TCP, pport, zone, self.policy.default_of(local, "egress"))
        charge = self.charge(p, src, dst, zone, direction)
        if named and action in (ALLOW, FAILSAFE):
            return [Judged(True, charge=() if out else charge, why=f"{direction}: the rule names the port")]
        if out and can_out is True:
            return [Judged(True, charge=charge, why="out: continuation")]
        if (ns, local.address, lport, p.dst if out else p.src, pport) in self.connected:
            outside = (ns, local.address, lport) in self.listening
            answer = can_in if outside else can_out
            if answer is True:
                return [Judged(True, charge=charge if outside and not out else (), why=f"{direction}: socket")]
            return [Judged(False, [answer, "no_flow"], why=f"{direction}: socket, forbidden")]
        if can_in is True:
            return [Judged(True, charge=() if out else charge, why=f"{direction}: default or any port")]
        reasons = ["no_flow", "deny"] if "deny" in (can_in, can_out) else ["no_flow"]
        return [Judged(False, reasons, why=f"{direction}: no flow")]

    # -- UDP and protocols without ports

    def make(self, region, p, opener, other):
        if p.fragment == "later":
            return []
        key = self.flow_key(region, p, opener, other)
        if key is None:
            return []
        return [lambda: self.flows.__setitem__(key, self.now)]

    def flow_key(self, region, p, opener, other):
        """The entry of the flow that this packet belongs to, when `opener` opened it."""
        if p.icmp_type >= 0:
            request, reply = ECHO[p.family]
            if p.icmp_type not in (request, reply) or p.icmp_type != (request if opener == p.src else reply):
                return None
            return region, p.proto, opener, p.echo_id, other, 0
        if p.proto in (TCP, UDP, SCTP):
            lport, rport = (p.sport, p.dport) if opener == p.src else (p.dport, p.sport)
            return region, p.proto, opener, lport, other, rport
        return region, p.proto, opener, 0, other, 0

    def has_flow(self, region, p, opener, other):
        return self.flow_key(region, p, opener, other) in self.flows

    def numbers(self, p, out):
        """(service of the local end that the packet would answer for, service of the peer) as rule numbers."""
        if p.icmp_type >= 0:
            request, reply = ECHO[p.family]
            if p.icmp_type == reply:
                return (request, reply) if out else (reply, request)
            if p.icmp_type == request:
                return (reply, request) if out else (request, reply)
            return p.icmp_type, p.icmp_type
        if p.proto in (UDP, SCTP):
            return (p.sport, p.dport) if out else (p.dport, p.sport)
        return 0, 0

    def datagrams(self, p, direction, src, dst, zone, ns):
        out = direction == "out"
        local, peer = (src, dst) if out else (dst, src)
        at_local, at_peer = self.numbers(p, out)
        policy = self.policy
        action, named = policy.verdict(peer, local, p.proto, at_local, zone)
        named = named and action in (ALLOW, FAILSAFE)
        can_in = self.permitted(peer, local, p.proto, at_local, zone, policy.default_of(local, "ingress"))
        can_out = self.permitted(local, peer, p.proto, at_peer, zone, policy.default_of(local, "egress"))
        charge = self.charge(p, src, dst, zone, direction, p.init)
        request, reply = ECHO[p.family]
        if out:
            answers = (p.icmp_type < 0 or p.icmp_type == reply) and not p.init
            if named and answers:
                return [Judged(True, why="out: answer from a port that a rule names")]
            if can_out is True:
                effects = [] if can_in is True else self.make(local.kind, p, p.src, p.dst)
                return [Judged(True, charge=charge, effects=effects, why="out: egress policy")]
            if answers and self.has_flow("answer", p, p.dst, p.src) and can_in is True:
                return [Judged(True, why="out: answer to a flow seen")]
            return [Judged(False, [can_out], why="out: egress policy")]
        hit = self.has_flow(local.kind, p, p.dst, p.src) and not p.init
        if p.proto == UDP and (ns, p.dst, p.dport, p.src, p.sport) in self.datagram:
            hit = True
        if can_in is True:
            # What is a reply as well is not charged, unless a rule that names the port settles it before.
            if hit and can_out is True and not named:
                return [Judged(True, why="in: reply")]
            passes = Judged(True, charge=charge, why="in: ingress policy")
            opens = p.icmp_type < 0 or p.icmp_type == request
            if opens and not named and can_out is not True:
                passes.effects = self.make("answer", p, p.src, p.dst)
            return [passes]
        if hit:
            if can_out is True:
                return [Judged(True, why="in: reply")]
            return [Judged(False, [can_in, can_out, "no_flow"], why="in: reply, now forbidden")]
        return [Judged(False, [can_in], why="in: ingress policy")]

    # -- transit

    def forward(self, p, src, dst, zone):
        default = self.policy.forward
        answer = self.permitted(src, dst, *p.service(), zone, default)
        if answer is True:
            opening = p.proto == TCP and p.opens_tcp
            left = [[]]
            if not self.has_flow("transit", p, p.dst, p.src):
                left = self.masquerade(p, zone) if self.kind(p.src, 0) == SELF else [[]]
                left = [self.make("transit", p, p.src, p.dst) + entries for entries in left]
            charge = self.charge(p, src, dst, zone, "forward", opening)
            return [Judged(True, charge=charge, effects=effects, why="forward policy") for effects in left]
        if self.has_flow("transit", p, p.dst, p.src) and not (p.proto == TCP and p.opens_tcp) and not p.init:
            number = p.sport
            if p.icmp_type >= 0:
                number = ECHO[p.family][0]
            elif p.proto not in (TCP, UDP, SCTP):
                number = 0
            said = {self.permitted(dst, src, p.proto, number, z, default) is True for z in ("nic", "nic2", "other")}
            reply = [Judged(True, why="transit reply")] if True in said else []
            if False in said:
                reply.append(Judged(False, [answer, "deny", "default", "no_flow"], why="transit reply, forbidden"))
            return reply
        return [Judged(False, [answer], why="forward policy")]

    def masquerade(self, p, zone):
        """What a packet with an address of this node that it did not make leaves at a NIC: its answers come to this node.
        What may be an answer itself, from a port that a rule names, may leave nothing."""
        if self.translated(p, SENT, True) and not (p.proto == TCP and p.opens_tcp):
            return [[]]  # the answer of a published port
        entry = self.make("masq", p, p.src, p.dst)
        if not entry or p.init or (p.proto == TCP and p.opens_tcp):
            return [entry]
        number = p.sport if p.proto in (TCP, UDP, SCTP) else 0
        action, named = self.policy.verdict(End(p.dst, OTHER), End(p.src, SELF), p.proto, number, zone)
        return [entry, []] if named and action in (ALLOW, FAILSAFE) else [entry]

    def masq_reply(self, p):
        if p.init or (p.proto == TCP and p.opens_tcp):
            return False
        if p.fragment == "later":
            return self.fragment_key(p) + ("masq",) in self.fragments
        if p.error:
            q = p.inner
            return q is not None and q.src == p.dst and self.inner_flow("masq", q, q.src, q.dst) in self.flows
        return self.has_flow("masq", p, p.dst, p.src)

    # -- later fragments: DESIGN 1.6

    def later(self, p, direction, src, dst, zone):
        policy = self.policy
        proto = p.proto if p.family == 4 else None
        if direction == "forward":
            defaults = policy.forward, policy.forward
        elif direction == "in":
            defaults = policy.default_of(dst, "ingress"), policy.default_of(dst, "egress")
        else:
            defaults = policy.default_of(src, "egress"), policy.default_of(src, "ingress")
        sides = self.sides(src, dst, direction)
        charge = [
            (x, x.key(src.address, dst.address), self.policy.holds(self.policy.spared, src))
            for x in policy.limits_of(src, dst, zone, sides)
            if x.count != "connections" and policy.might_cover(x, src, dst, proto, zone)
        ]
        if policy.some_allowed(src, dst, proto, zone, defaults[0]):
            return [Judged(True, charge=charge, why=f"{direction}: some service")]
        if policy.some_allowed(dst, src, proto, zone, defaults[1]):
            return [Judged(True, why=f"{direction}: some service of the answer")]  # replies are not charged
        if self.fragment_key(p) + (self.where,) in self.fragments:
            return [Judged(True, charge=charge, why=f"{direction}: first fragment seen")]
        return [Judged(False, ["deny", "default", "no_flow", "bad_fragment"], why=f"{direction}: later fragment")]

    # -- ICMP errors

    @staticmethod
    def inner_flow(region, q, opener, other):
        if q.icmp_type >= 0:
            return region, q.proto, opener, q.echo_id, other, 0
        lport, rport = (q.sport, q.dport) if opener == q.src else (q.dport, q.sport)
        return region, q.proto, opener, lport, other, rport

    def error(self, p, direction, src, dst, zone, ns):
        q = p.inner
        named = self.policy.verdict(src, dst, *p.service(), zone)
        if named[1] and named[0] in (ALLOW, FAILSAFE):
            # A rule that names the type itself; whether that lets an error about nothing through is not said.
            charge = self.charge(p, src, dst, zone, direction)
            by_rule = [Judged(True, charge=charge, why=f"{direction}: a rule names the error")]
            return by_rule + self.error_by_flow(p, q, direction, src, dst, zone, ns)
        return self.error_by_flow(p, q, direction, src, dst, zone, ns)

    def error_by_flow(self, p, q, direction, src, dst, zone, ns):
        answers = self.error_about(p, q, direction, src, dst, zone, ns)
        echo = q is not None and q.icmp_type == ECHO[p.family][0]
        if q is not None and (q.odd or q.short or (q.icmp_type >= 0 and not echo)) and answers[0].passes:
            # G-2: may be dropped; an error about what is no request neither
            answers = answers + [Judged(False, ["icmp_error"], why=f"{direction}: error about an odd packet")]
        return answers

    def error_about(self, p, q, direction, src, dst, zone, ns):
        if q is None or q.src != p.dst:
            return [Judged(False, ["icmp_error"], why=f"{direction}: error about nothing readable of its receiver")]
        if direction == "forward":
            known = self.inner_flow("transit", q, q.src, q.dst) in self.flows
            known = known or self.inner_flow("transit", q, q.dst, q.src) in self.flows
            about = [Judged(known, ["icmp_error"], why="forward: error")]
            if not known and self.permitted(src, dst, *p.service(), zone, self.policy.forward) is True:
                about.append(Judged(True, why="forward: error that the policy allows"))
            if known and any(rule.on for rule in self.policy.allow + self.policy.deny):
                # Whether there is an entry hangs on where the answer would arrive.
                about.append(Judged(False, FORBIDDEN, why="forward: error about what may have no entry"))
            if not known:
                # An own address as source hides another: as whose the quoted packet would have come is not said.
                ends = [End(q.dst, self.kind(q.dst, self.scope))]
                if q.dst == p.src and ends[0].kind != OTHER:
                    ends += [src, End(q.dst, OTHER)]
                said = {all(self.might_pass(q, dst, end, zone, self.policy.forward)) for end in ends}
                if True in said:
                    passes = Judged(True, why="forward: error about what needs no entry")
                    return [passes] + (about if False in said else [])
            return about
        if direction == "in":
            return self.error_in(p, q, src, dst, zone, ns)
        return self.error_out(p, q, src, dst, zone, ns)

    def might_pass(self, q, src, dst, zone, default):
        number = q.icmp_type if q.icmp_type >= 0 else q.dport
        yield self.permitted(src, dst, q.proto, number, zone, default) is True
        yield self.answer_passes(q, src, dst, zone, default)

    def answer_passes(self, q, local, peer, zone, default):
        """No entry is made where the answer passes without it; then the error must, too."""
        number = q.sport
        if q.icmp_type >= 0:
            request, reply = ECHO[4 if len(q.src) == 4 else 6]
            number = {request: reply, reply: request}.get(q.icmp_type, q.icmp_type)
        return self.permitted(peer, local, q.proto, number, zone, default) is True

    def error_in(self, p, q, src, dst, zone, ns):
        """dst sent the quoted packet."""
        local, peer = dst, End(q.dst, self.kind(q.dst, self.scope))
        policy = self.policy
        refused = Judged(False, ["icmp_error"], why="in: error about no flow of ours")
        default_in, default_out = policy.default_of(local, "ingress"), policy.default_of(local, "egress")
        if q.proto == TCP:
            if self.nat and ns == "node" and (TCP, q.dst, q.dport, q.src, q.sport) in SENT:
                # Of a published port: the connection is conntrack's. Without a rule for the port, it is not said.
                ok = self.permitted(peer, local, TCP, q.sport, zone, default_in) is True
                named = policy.verdict(peer, local, TCP, q.sport, zone)[1]
                about = Judged(ok, FORBIDDEN, why="in: error about a published port")
                return [about] if named or not ok else [about, refused]
            if (ns, q.src, q.sport, q.dst, q.dport) not in self.connected:
                return [refused]
            if (ns, q.src, q.sport) in self.listening:
                ok = self.permitted(peer, local, TCP, q.sport, zone, default_in)
            else:
                ok = self.permitted(local, peer, TCP, q.dport, zone, default_out)
            passes = Judged(True, why="in: error about a connection")
            if ok is True:
                return [passes]
            # "an exact TCP socket": whether the policy must still allow it is not said
            return [passes, Judged(False, FORBIDDEN, why="in: error about a connection now forbidden")]
        if q.short:
            return [refused, Judged(True, why="in: error about something without ports")]
        if self.answer_passes(q, local, peer, zone, default_in):
            # Without an entry, since the answer passes without one; the text says it of UDP only.
            passes = Judged(True, why="in: error about what is answered without entry")
            return [passes] if q.proto == UDP else [passes, refused]
        number = q.icmp_type if q.icmp_type >= 0 else q.dport
        hit = self.inner_flow(local.kind, q, q.src, q.dst) in self.flows
        if hit and q.icmp_type == ECHO[p.family][1]:
            return [refused, Judged(True, why="in: error about the answer to what it asked")]  # that we never sent
        if q.proto == UDP and (ns, q.src, q.sport, q.dst, q.dport) in self.datagram:
            hit = True
        if hit:
            passes = Judged(True, why="in: error about a flow")
            if self.permitted(local, peer, q.proto, number, zone, default_out) is True:
                return [passes]
            # "has an entry, or a socket": whether the policy must still allow it is not said
            return [passes, Judged(False, FORBIDDEN, why="in: error about a flow now forbidden")]
        if self.inner_flow("answer", q, q.dst, q.src) in self.flows:
            return [Judged(True, why="in: error about an answer"), refused]
        return [refused]

    def error_out(self, p, q, src, dst, zone, ns):
        """The local end refuses the quoted packet, which passed when it came in."""
        local, peer = src, dst
        policy = self.policy
        quoted = End(q.dst, local.kind if q.dst == local.address else self.kind(q.dst, self.scope))
        passes = Judged(True, why="out: error about a packet that passed")
        refused = Judged(False, FORBIDDEN, why="out: error")
        number = q.icmp_type if q.icmp_type >= 0 else q.dport
        if q.proto not in (TCP, UDP, SCTP) and q.icmp_type < 0:
            number = 0
        checks = []
        if peer.kind == WORKLOAD:
            checks.append(policy.default_of(peer, "egress"))
        if q.dst == local.address:
            checks.append(policy.default_of(local, "ingress"))
        elif quoted.kind != OTHER:
            checks.append(policy.default_of(quoted, "ingress"))
        elif not checks:
            checks.append(policy.forward)
        ok = all(self.permitted(peer, quoted, q.proto, number, zone, default) is True for default in checks)
        if not ok and len(checks) > 1 and self.permitted(peer, quoted, q.proto, number, zone, checks[1]) is True:
            return [refused, passes]  # it passed here, but could not have left the workload
        if local.kind == WORKLOAD and q.dst != local.address:
            return [refused, passes]  # a workload that routes
        if ok:
            odd = q.short or q.src == q.dst or q.icmp_type in (130, 131, 132, 133, 134, 135, 136, 137, 143)
            return [passes, refused] if odd else [passes]
        # It may have come in as a reply.
        if q.dst == local.address:
            if q.proto == TCP and (ns, q.dst, q.dport, q.src, q.sport) in self.connected:
                return [passes, refused]
            if q.proto == UDP and (ns, q.dst, q.dport, q.src, q.sport) in self.datagram:
                return [passes, refused]
            if self.inner_flow(local.kind, q, q.dst, q.src) in self.flows:
                return [passes, refused]
        elif quoted.kind != OTHER or src.kind != SELF:
            return [refused, passes]
        return [refused]

    # -- limits: DESIGN 1.4, POLICY.md

    @staticmethod
    def interval(limit):
        """Between two units, in 1/16 ns; an integer where it is one."""
        whole, rest = divmod(limit.period_ns * 16, limit.rate)
        return limit.period_ns * 16 / limit.rate if rest else whole

    def cost(self, limit, p):
        """Of the first segment, and of all."""
        unit = self.interval(limit)
        if limit.count == "bytes":
            return unit * (p.first_length or p.length), unit * p.length
        return unit, unit * (p.segments if limit.count == "packets" else 1)

    def slack(self, limit, cost, tolerance):
        """How much the programs may round: bytes by a mantissa, units up to 1/16 ns."""
        if limit.count != "bytes" and isinstance(cost, int):
            return 0
        return max(tolerance, cost) * 2e-3 + 16

    def limited(self, p, mask, charge, effects, why):
        """All are looked at before any is charged; which of several that may refuse did so is not to be seen."""
        now = self.now * 16
        refusals, taken = [], []
        for limit, key, exempt in () if p.elsewhere else charge:
            if self.auto.get((limit.name, key), 0) > self.now and not exempt:
                return refusals + [Outcome(False, frozenset(("auto_blocked",)), None, effects, why)]
            first, cost = self.cost(limit, p)
            tolerance = self.interval(limit) * limit.burst
            early = self.tats.get((limit.name, key), 0) - (now + tolerance)
            slack = self.slack(limit, cost, tolerance)
            if early > -slack:
                exceeded = list(effects) + ([] if exempt else self.exceeded(limit, key))
                refusals.append(Outcome(False, frozenset(("limit", "limit_overflow")), None, exceeded, why))
                if early > slack:
                    return refusals
            taken.append(self.taken(limit, key, cost))
        return refusals + [Outcome(True, OK, mask, list(effects) + taken, why)]

    def taken(self, limit, key, cost):
        def effect():
            self.tats[limit.name, key] = max(self.tats.get((limit.name, key), 0), self.now * 16) + cost

        effect.charges = True
        return effect

    def exceeded(self, limit, key):
        if not limit.block_ns:
            return []
        return [lambda: self.auto.__setitem__((limit.name, key), self.now + limit.block_ns)]
