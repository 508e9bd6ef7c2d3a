# SPDX-License-Identifier: GPL-2.0-only
"""Random policies, and frames with a bias to what gets past filters: tags, options, extension chains, fragments, lengths
that lie, TCP flags, ICMP errors and what they quote, neighbour discovery, ARP, DHCP, martians. Bytes are flipped and
frames cut, but rarely: most frames that are spoiled so are spoiled in the same dull way.
"""

from ipaddress import ip_address
from struct import pack, unpack

from model import BR_IN, BR_OUT, BRIDGE, BRIDGE_MAC, HERE, NATTED, NIC, NIC2, NIC_IN, NIC_OUT, UNKNOWN, UNWATCHED, WL, WL2, WL_IN, WL_OUT, XDP
from packet import checksum
from policy import BRIDGED, FORWARDS, packed

MAC_OF = {NIC: "020000000a01", NIC2: "020000000a02", UNWATCHED: "020000000a03", WL: "020000000a04", WL2: "020000000a05"}
MAC_OF = {k: bytes.fromhex(v) for k, v in MAC_OF.items()}
MAC_OF[BRIDGE] = BRIDGE_MAC
PEER_MAC = bytes.fromhex("020000000002")

VIRTUAL_ROUTER = bytes.fromhex("00005e000107")  # RFC 5798 7.3

SELVES = {4: ["192.0.2.1", "203.0.113.1"], 6: ["2001:db8::1", "2001:db8:77::1", "fe80::a01"]}
PODS = {
    (WL, 4): ["203.0.113.2"],
    (WL2, 4): ["203.0.113.130"],
    (WL, 6): ["2001:db8:77::2", "fe80::2"],
    (WL2, 6): ["2001:db8:78::2"],
}
PEERS = {
    4: ["198.51.100.7", "198.51.100.9", "192.0.2.100", "192.0.2.77", "203.0.113.200", "8.8.8.8", "10.1.2.3"],
    6: ["2001:db8:51::7", "2001:db8:51::9", "2001:db8::100", "2001:db8::77", "2001:db8:77::200", "2620::8", "fe80::9"],
}
STRANGE = {
    4: ["127.0.0.1", "0.0.0.0", "224.0.0.1", "224.0.0.251", "255.255.255.255", "192.0.2.255", "240.0.0.1", "169.254.1.1",
        "0.1.2.3", "192.88.99.1", "239.1.1.1", "203.0.113.127", "100.64.0.1"],
    6: ["::1", "::", "ff02::1", "ff02::fb", "ff05::1:3", "ff01::1", "::ffff:192.0.2.1", "2002:c000:201::1", "2001::1", "fe80::1",
        "::192.0.2.1", "fec0::1", "64:ff9b::808:808", "ff0e::1", "fc00::1"],
}
ITEMS = [
    "198.51.100.0/24", "198.51.100.7", "198.51.100.0-198.51.100.8", "192.0.2.0/24", "192.0.2.100", "10.0.0.0/8", "0.0.0.0/0",
    "203.0.113.0/25", "203.0.113.2", "203.0.113.128/25", "8.8.8.8", "224.0.0.0/4", "255.255.255.255", "198.51.100.9",
    "2001:db8:51::/64", "2001:db8:51::7", "2001:db8:51::-2001:db8:51::8", "2001:db8::/64", "2001:db8::100", "2620::/16", "::/0",
    "2001:db8:77::/64", "2001:db8:77::2", "2001:db8:78::/64", "fe80::/10", "ff00::/8", "2001:db8:51::9",
]
PORTS = {
    6: [443, 80, 8000, 8005, 22, 7001, 7002, 7003, 7004, 7103, 7104, 53, 40000, 40001],
    17: [53, 5000, 5050, 443, 7005, 5353, 68, 67, 546, 547, 123, 40000, 40001],
    132: [36412, 2905, 40000],
}
SERVICES = [
    "tcp/443", "tcp/443", "tcp/80", "tcp/8000-8010", "tcp/22", "tcp", "tcp/7001", "tcp/7002", "tcp/7003", "tcp/1024-49151",
    "udp/53", "udp/53", "udp/5000-5100", "udp", "udp/7005", "udp/5353", "udp/40000", "icmp", "icmp/echo-request", "icmpv6/128",
    "icmpv6", "icmp/0", "icmpv6/129", "sctp/36412", "sctp", "proto/47", "proto/50", "proto/2", "proto/253", "any", "any",
    "icmp/destination-unreachable", "icmp/time-exceeded", "udp/60-70", "icmpv6/143", "proto/4", "proto/41",
    "udp/7300-7999", "tcp/7300-7999", "udp/7443", "tcp/7380",
]


def chance(r, n):
    return r.random() * n < 1


# ---- policies


def items(r, names, words=("any", "self", "workloads")):
    pick = r.random()
    if pick < 0.35:
        return r.choice(words)
    if pick < 0.7 and names:
        return r.choice(names)
    if pick < 0.85:
        return r.choice(ITEMS)
    pool = list(words[1:]) + names + ITEMS
    return r.sample(pool, r.randint(1, 3))


def ports(r):
    if chance(r, 3):
        return sorted({r.choice(SERVICES) for _ in range(r.randint(2, 4))} - {"any"}) or "any"
    return r.choice(SERVICES)


def only_workloads(value):
    return value == "workloads" or value == ["workloads"]


def rule(r, names, on):
    out = {}
    if not chance(r, 8):
        out["from"] = items(r, names)
    if not chance(r, 6):
        out["to"] = items(r, names)
    if not chance(r, 10):
        out["port"] = ports(r)
    if on and chance(r, 8) and not only_workloads(out.get("from")):
        out["on"] = r.choice(["nic", "nic2", ["nic", "nic2"]])
    return out


def segments(r):
    out, names = {}, []
    for i in range(r.randint(0, 5)):
        members = r.sample(ITEMS, r.randint(1, 4))
        if names and chance(r, 3):
            members.append(r.choice(names))
        if chance(r, 8):
            members.append(r.choice(["self", "workloads"]))
        name = f"s{i}"
        out[name] = members if not chance(r, 3) else {"members": members, "except": r.sample(ITEMS, r.randint(1, 2))}
        if isinstance(out[name], dict) and chance(r, 3):
            out[name]["proxy"] = True
        names.append(name)
    return out, names


def limit(r, names, number):
    count = r.choice(["packets", "packets", "bytes", "connections"])
    out = {"name": f"l{number}", "count": count}
    direction = r.random()
    if direction < 0.7:
        out["to"] = items(r, names)
        if chance(r, 2):
            out["from"] = items(r, names)
    elif direction < 0.9:
        out["from"] = items(r, names)
    if count == "connections":
        out["port"] = r.choice(["tcp/443", "tcp/80", "tcp", "tcp/8000-8010"])
    elif not chance(r, 3):
        out["port"] = ports(r)
    out["rate"] = r.choice(["1/second", "10/second", "100/minute", "7/minute", "3/hour", "1000/second"])
    out["burst"] = r.choice([0, 1, 3, 20])
    if count == "bytes":
        out["rate"], out["burst"] = r.choice([("1KB/second", "500B"), ("1KB/second", "3KB"), ("100KB/second", "0B")])
    if chance(r, 2):
        out["per"] = r.choice(["source", "destination", "pair", "rule"])
    if chance(r, 4):
        out["key"] = {"ipv4": r.choice([32, 24, 16]), "ipv6": r.choice([64, 48, 32, 128])}
    if chance(r, 5) and out.get("per", "source") == "source":
        out["on_exceed"] = {"block": "10m"}
    return out


def protect(r):
    port = r.choice(["tcp/7001", "tcp/7001", "tcp/7002", "tcp/443", "tcp/8000-8010", ["tcp/7001", "tcp/80"]])
    return {"port": port, "syn_cookies": {"above": r.choice(["1/second", "1/second", "5/second", "30/minute", "30/second"])}}


def limited_policy(r):
    """Everything passes but for limits."""
    out = {"interfaces": ["nic", "nic2"], "workloads": ["wl", "wl2"], "default": "allow"}
    out["limits"] = [limit(r, [], i) for i in range(r.randint(1, 3))]
    for one_limit in out["limits"]:
        if chance(r, 2) and one_limit.get("per", "source") == "source":
            one_limit["on_exceed"] = {"block": "10m"}
        if not chance(r, 4):
            one_limit["to"] = r.choice(["self", "workloads", "any"])
            one_limit.pop("from", None)
        if one_limit["count"] == "connections":
            one_limit["port"] = "tcp"
        elif not chance(r, 4):
            one_limit["port"] = r.choice(["any", "tcp", "udp", ["icmp", "icmpv6"]])
    return out, True


def checked(r):
    """Interfaces, some of which check reverse paths."""
    names = ["nic", "nic2"]
    return [{"name": n, "antispoof": r.choice(["strict", "strict", "loose", "off"])} if chance(r, 2) else n for n in names]


def policy(r):
    """A policy as a structure, and what the node is."""
    out, forwarding = rules(r)
    if chance(r, 4):
        out["interfaces"] = checked(r)
    return out, (FORWARDS if forwarding else 0) | (BRIDGED if "workloads" in out and chance(r, 8) else 0)


def rules(r):
    if chance(r, 12):
        return limited_policy(r)
    out = {"interfaces": ["nic", "nic2"], "workloads": ["wl", "wl2"]}
    pick = r.random()
    if pick < 0.4:
        out["default"] = {d: r.choice(["allow", "deny"]) for d in ("ingress", "egress", "forward") if not chance(r, 4)}
    elif pick < 0.8:
        out["default"] = r.choice(["deny", "deny", "allow"])
    if not out.get("default"):
        out.pop("default", None)
    out["segments"], names = segments(r)
    if names and chance(r, 4):
        out["defaults"] = {
            n: r.choice(["allow", "deny", {"egress": r.choice(["allow", "deny"])}, {"ingress": r.choice(["allow", "deny"])}])
            for n in r.sample(names, r.randint(1, len(names)))
        }
    if not out["segments"]:
        del out["segments"]
    pick = r.random()
    if pick < 0.3:
        out["failsafe"] = []
    elif pick < 0.6:
        some = {"port": "tcp/443", "from": items(r, names)}
        out["failsafe"] = [r.choice(["tcp/22", "udp/53", some, {"port": ["tcp/22", "udp/5000-5100"]}])]
    out["allow"] = [rule(r, names, True) for _ in range(r.randint(0, 6))]
    if chance(r, 4):
        out["allow"].append({"from": ["198.51.100.0/24", "2001:db8:51::/64"], "to": "any", "port": ports(r)})
    out["deny"] = [rule(r, names, True) for _ in range(r.choice([0, 0, 1, 1, 2]))]
    for name in ("allow", "deny"):
        if not out[name]:
            del out[name]
    if chance(r, 4):
        out["block"] = r.sample(ITEMS, r.randint(1, 2))
        out["block"] = [i for i in out["block"] if not i.endswith("/0")] or ["8.8.8.8"]
    if chance(r, 4):
        out["never_block"] = items(r, names)
    if chance(r, 3):
        out["vlans"] = r.sample(VLANS, r.randint(1, 4))
    if chance(r, 4):
        out["protect"] = [protect(r) for _ in range(r.choice([1, 1, 2]))]
        if not chance(r, 3):
            opens = {"from": items(r, names) if chance(r, 2) else "any", "to": "self", "port": out["protect"][0]["port"]}
            out["allow"] = [*out.get("allow", []), opens]
    if chance(r, 3):
        out["limits"] = [limit(r, names, i) for i in range(r.randint(1, 2))]
    if chance(r, 40):
        out["mode"] = "monitor"
    if chance(r, 8):
        del out["workloads"]
        return out, chance(r, 4)
    return out, chance(r, 2) or chance(r, 2)


# ---- bytes


def ip4(src, dst, proto, payload, options=b"", ttl=64, ident=0, fragment=0, tos=0, total=None, header=None, version=4):
    words = (20 + len(options)) // 4 if header is None else header
    total = 20 + len(options) + len(payload) if total is None else total
    first = (version << 4 | words) & 0xFF
    head = pack(">BBHHHBBH", first, tos, total & 0xFFFF, ident, fragment, ttl, proto, 0) + src + dst + options
    value = 0xFFFF - checksum(head)
    return head[:10] + pack(">H", value) + head[12:] + payload


def ip6(src, dst, proto, payload, hops=64, length=None, version=6):
    length = len(payload) if length is None else length
    return pack(">IHBB", version << 28, length & 0xFFFF, proto, hops) + src + dst + payload


def tcp(sport, dport, flags, data=b"", words=5, sequence_number=1):
    options = b"\x01" * max(0, words * 4 - 20)
    return pack(">HHIIBBHHH", sport, dport, sequence_number, 1, words << 4, flags, 1024, 0, 0) + options + data


def udp(sport, dport, data=b"", length=None):
    return pack(">HHHH", sport, dport, 8 + len(data) if length is None else length, 0) + data


def sctp(sport, dport, chunk, data=b""):
    return pack(">HHIIBBH", sport, dport, 1, 0, chunk, 0, 4 + len(data)) + data


def icmp(kind, code=0, word=0, data=b""):
    return pack(">BBHI", kind, code, 0, word) + data


def resum(data):
    """A frame whose IPv4 header checksum is right again, where there is a header."""
    at = 14
    while data[at - 2 : at] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    if data[at - 2 : at] != b"\x08\x00" or len(data) < at + 20:
        return data
    end = at + max(5, data[at] & 15) * 4
    if len(data) < end:
        return data
    head = data[at : at + 10] + b"\0\0" + data[at + 12 : end]
    return data[: at + 10] + pack(">H", 0xFFFF - checksum(head)) + data[at + 12 :]


def frame(ip, src_mac, dst_mac, ethertype, tags=()):
    return dst_mac + src_mac + b"".join(pack(">HH", t, tci) for t, tci in tags) + pack(">H", ethertype) + ip


# ---- who sends to whom at a hook


AT_NICS = (XDP, XDP, NIC_IN, NIC_OUT, NIC_OUT)
EVERYWHERE = AT_NICS + (WL_OUT, WL_OUT, WL_IN, WL_IN)
AROUND_BRIDGE = (XDP, NIC_IN, NIC_OUT, WL_OUT, WL_OUT, WL_OUT, WL_IN, WL_IN, BR_IN, BR_OUT)


def hooks_of(spec, node):
    if "workloads" not in spec:
        return AT_NICS
    return AROUND_BRIDGE if node & BRIDGED else EVERYWHERE


REVERSED = {XDP: NIC_OUT, NIC_IN: NIC_OUT, NIC_OUT: XDP, WL_OUT: WL_IN, WL_IN: WL_OUT, BR_IN: BR_OUT, BR_OUT: BR_IN}


class Where:
    """A hook, its interface, where the packet came from, and the addresses that fit there."""

    def __init__(self, r, hook=None, family=None, hooks=EVERYWHERE):
        self.hook = r.choice(hooks) if hook is None else hook
        self.hooks = hooks
        self.family = r.choice((4, 6)) if family is None else family
        f = self.family
        peer = r.choice(PEERS[f])
        selves = SELVES[f][: None if f == 4 else 2]
        self.arrived = HERE
        self.at = NIC if not chance(r, 6) else NIC2
        if self.hook in (XDP, NIC_IN):
            self.arrived = self.at
            self.src = peer
            pick = r.random()
            if pick < 0.6:
                self.dst = r.choice(SELVES[f] if self.at == NIC else selves)
            elif pick < 0.75 and hooks is not AT_NICS:
                self.dst = r.choice(PODS[r.choice((WL, WL2)), f])
            else:
                self.dst = r.choice(PEERS[f])
        elif self.hook == NIC_OUT:
            self.dst = peer
            pick = r.random()
            if pick < 0.5:
                self.src = r.choice(SELVES[f] if self.at == NIC else selves)
            elif pick < 0.65:
                self.arrived = r.choice((NIC2, WL, UNWATCHED) if hooks is not AT_NICS else (NIC2, UNWATCHED))
                self.src = r.choice(selves)
            elif pick < 0.8 and hooks is not AT_NICS:
                self.arrived = r.choice((WL, WL2))
                self.src = r.choice(PODS[self.arrived, f])
            else:
                self.arrived = r.choice((NIC2, UNWATCHED, UNWATCHED))
                self.src = r.choice(PEERS[f])
        elif self.hook == WL_OUT:
            self.at = self.arrived = WL if not chance(r, 4) else WL2
            self.src = r.choice(PODS[self.at, f])
            pick = r.random()
            self.dst = peer if pick < 0.5 else r.choice(SELVES[f]) if pick < 0.8 else r.choice(PODS[WL + WL2 - self.at, f])
        elif self.hook == BR_IN:
            self.at = self.arrived = BRIDGE
            self.src, self.dst = r.choice(PODS[r.choice((WL, WL2)), f]), r.choice(PEERS[f] + SELVES[f])
        elif self.hook == BR_OUT:
            self.at, self.arrived = BRIDGE, r.choice((HERE, NIC, UNWATCHED))
            self.src, self.dst = r.choice(PEERS[f] + SELVES[f]), r.choice(PODS[r.choice((WL, WL2)), f])
        else:
            self.at = WL if not chance(r, 4) else WL2
            self.dst = r.choice(PODS[self.at, f])
            pick = r.random()
            if pick < 0.5:
                self.arrived, self.src = r.choice((NIC, NIC, NIC2, UNWATCHED)), peer
            elif pick < 0.75:
                self.src = r.choice(selves)
            elif pick < 0.85:
                self.arrived, self.src = NIC, r.choice(selves)
            else:
                self.arrived = WL + WL2 - self.at
                self.src = r.choice(PODS[self.arrived, f])

        if self.arrived == UNWATCHED and chance(r, 12):
            self.arrived = UNKNOWN

    def macs(self):
        if self.hook in (XDP, NIC_IN):
            return PEER_MAC, MAC_OF[NIC if self.hook == XDP else self.at]
        if self.hook in (WL_OUT, BR_IN):
            if self.hooks is AROUND_BRIDGE and self.hook == WL_OUT:
                aside = any(self.dst in PODS[each, self.family] for each in (WL, WL2))
                return MAC_OF[self.at], MAC_OF[WL + WL2 - self.at] if aside else BRIDGE_MAC
            return PEER_MAC, MAC_OF[self.at]
        return MAC_OF[self.at], PEER_MAC

    def spoil(self, r):
        """Now and then an address that does not belong there."""
        pick = r.random()
        pool = STRANGE[self.family] + PEERS[self.family] + SELVES[self.family]
        if pick < 0.4:
            self.src = r.choice(pool)
        elif pick < 0.8:
            self.dst = r.choice(pool)
        else:
            self.src = self.dst

    def reversed(self):
        """The hook and the ends of the answer."""
        back = object.__new__(Where)
        back.family, back.src, back.dst, back.at, back.hooks = self.family, self.dst, self.src, self.at, self.hooks
        back.hook = REVERSED[self.hook]
        if self.hook in (XDP, NIC_IN) and self.dst in PEERS[self.family]:  # in transit: by the other NIC
            back.hook, back.at = self.hook, NIC if self.at == NIC2 else NIC2
            back.arrived = back.at
            return back
        back.arrived = HERE
        if back.hook == NIC_OUT and self.dst not in SELVES[self.family]:
            back.arrived = NIC2 if self.at == NIC else NIC
        elif back.hook in (XDP, WL_OUT, BR_IN):
            back.arrived = back.at
        elif back.hook == WL_IN and self.dst not in SELVES[self.family]:
            back.arrived = NIC if self.hooks is not AROUND_BRIDGE else BRIDGE
        return back


# ---- what is in a packet


GOOD_FLAGS = [2, 2, 2, 16, 16, 18, 24, 17, 4, 20, 0xC2, 10, 34, 25]


def tcp_payload(r, w):
    flags = r.choice(GOOD_FLAGS) if not chance(r, 5) else r.randrange(256)
    data = b"x" * r.choice([0, 0, 5, 100])
    words = 5 if not chance(r, 8) else r.choice([0, 4, 5, 6, 8, 15])
    out = tcp(port(r, 6), port(r, 6), flags, data, words)
    return 6, out


def port(r, proto):
    if chance(r, 40):
        return 0
    return r.choice(PORTS[proto])


def udp_payload(r, w):
    data = b"y" * r.choice([0, 4, 30, 300])
    length = None if not chance(r, 8) else r.choice([0, 4, 7, 8, 8 + len(data) // 2, 9 + len(data), 65535])
    return 17, udp(port(r, 17), port(r, 17), data, length)


def sctp_payload(r, w):
    return 132, sctp(port(r, 132), port(r, 132), r.choice([1, 1, 0, 2, 3]))


def echo_payload(r, w):
    kind = r.choice((8, 0) if w.family == 4 else (128, 129))
    return (1, 58)[w.family == 6], icmp(kind, 0, r.choice([7, 8]) << 16 | 1, b"ping")


def icmp_payload(r, w):
    kind = r.choice([4, 5, 9, 10, 13, 14, 17, 18, 30] if w.family == 4 else [100, 130, 131, 132, 138, 139, 143, 144, 200])
    if chance(r, 3):
        kind = r.randrange(256)
    return (1, 58)[w.family == 6 or chance(r, 30)], icmp(kind, r.choice([0, 0, 1]), 0, bytes(r.choice([0, 8, 20])))


def other_payload(r, w):
    proto = r.choice([2, 4, 41, 47, 50, 51, 59, 89, 103, 112, 115, 132, 135, 136, 139, 140, 253, 254, 255])
    size = r.choice([0, 8, 40])
    return proto, bytes(size) if chance(r, 3) else r.randbytes(size)


def error_payload(r, w, quoted=None):
    """The quoted packet went from this one's destination to its source, mostly."""
    src, dst = packed(w.dst), packed(w.src)
    if chance(r, 4):
        dst = packed(r.choice(PEERS[w.family]))
    if chance(r, 12):
        src = packed(r.choice(PEERS[w.family]))
    if quoted is None:
        proto, inner = r.choice([tcp_payload, udp_payload, echo_payload, sctp_payload, icmp_payload, other_payload])(r, w)
        if proto == 6 and chance(r, 2):
            inner = inner[:8]
    else:
        proto, inner = quoted
    if w.family == 4:
        fragment = 0 if not chance(r, 15) else r.choice([0x2000, 5])
        options = b"" if not chance(r, 10) else b"\x01" * 4
        packet = ip4(src, dst, proto, inner, options, fragment=fragment)
        kind = r.choice([3, 3, 3, 11, 12])
        code = r.choice([0, 1, 3, 4]) if kind == 3 else 0
    else:
        if chance(r, 10):
            inner, proto = extensions(r, proto, inner, 1)
        packet = ip6(src, dst, proto, inner)
        kind = r.choice([1, 2, 3, 4])
        code = 0
    if chance(r, 8):
        packet = packet[: r.randrange(len(packet) + 1)]
    return (1, 58)[w.family == 6], icmp(kind, code, 1400, packet)


def solicited(target):
    return bytes.fromhex("ff0200000000000000000001ff") + target[13:]


def dhcp_payload(r, w):
    if w.family == 4:
        ends = r.choice([(68, 67), (67, 68)])
        boot = bytes([r.choice([1, 2, 2]), 1 if not chance(r, 8) else 6, 6 if not chance(r, 8) else 0]) + bytes(25)
        boot += (MAC_OF[NIC] if not chance(r, 3) else PEER_MAC) + bytes(r.choice([0, 10, 202, 202]))
        if w.hook in (NIC_OUT, WL_OUT) and chance(r, 2):
            w.src, w.dst = "0.0.0.0", "255.255.255.255"
        elif chance(r, 2):
            w.dst = "255.255.255.255"
        return 17, udp(*ends, boot)
    if not chance(r, 3):
        w.src, w.dst = "fe80::9", r.choice(["ff02::1:2", "fe80::a01"])
        if w.hook == NIC_OUT:
            w.src = "fe80::a01"
    return 17, udp(*r.choice([(546, 547), (547, 546), (546, 546)]), b"z" * 20)


PAYLOADS = [tcp_payload] * 8 + [udp_payload] * 6 + [echo_payload] * 3 + [error_payload] * 4
PAYLOADS += [other_payload, sctp_payload, icmp_payload, dhcp_payload]


# ---- shapes of a packet


def options4(r):
    shape = r.randrange(8)
    if shape == 0:
        return bytes([131, 7, 4, 192, 0, 2, 9, 0])
    if shape == 1:
        return bytes([137, 7, 4, 192, 0, 2, 9, 0])
    if shape == 2:
        return bytes([148, 4, 0, 0])
    if shape == 3:
        return bytes([7, 39, 4]) + bytes(37)
    if shape == 4:
        return bytes([7, r.choice([0, 1, 2, 9, 41]), 4, 0, 0, 0, 0, 0])
    if shape == 5:
        return bytes([0]) + bytes(r.choice([131, 137, 7, 0]) for _ in range(7))
    if shape == 6:
        return bytes([1]) * r.choice([4, 8, 36, 40])
    return bytes([1, 1, 1, r.choice([131, 7, 0, 68])])


def extensions(r, proto, payload, most=None):
    """A chain in front of the payload; returns it and the first number."""
    n = r.choice([1, 1, 2, 3, 8, 15, 16, 17, 24, 175]) if most is None else most
    kinds = [r.choice([60, 60, 60, 0, 43, 51, 44]) if chance(r, 6) else 60 for _ in range(n)]
    if chance(r, 3):
        kinds[0] = 0
    nexthdr = proto
    for kind in reversed(kinds):
        if kind == 44:
            payload = pack(">BBHI", nexthdr, r.randrange(256), r.choice([0, 6, 8, 1]), 5) + payload
        elif kind == 51:
            payload = pack(">BBHII", nexthdr, 4, 0, 1, 1) + bytes(12) + payload
        elif kind == 43:
            payload = pack(">BBBBI", nexthdr, 0, r.choice([0, 2, 3, 4, 253]), r.choice([0, 1]), 0) + payload
        else:
            words = r.choice([0, 0, 0, 1, 2]) if n < 20 else 0
            payload = pack(">BBBB", nexthdr, words, 1, 4 + 8 * words if words < 32 else 4) + bytes(4 + 8 * words) + payload
        nexthdr = kind
    if chance(r, 12):
        payload = payload[:1] + bytes([r.choice([1, 3, 255])]) + payload[2:]
    return payload, nexthdr


def fragments4(r, proto, payload, fields):
    fields["ident"] = r.choice([1, 2, 3])
    pick = r.randrange(6)
    if pick == 0:
        fields["fragment"] = 0x2000
        return payload + bytes(-len(payload) % 8)
    if pick == 1:
        fields["fragment"] = r.choice([1, 2, 3, 5, 100, 0x1FFF]) | r.choice([0, 0x2000])
        return payload
    if pick == 2:
        fields["fragment"] = 0x2000
        return payload[: r.choice([0, 8, 16, 24])]
    if pick == 3:
        fields["fragment"] = 0x8000 | r.choice([0, 0x4000, 0x2000, 0x6000])
        return payload
    if pick == 4:
        fields["fragment"] = r.choice([1, 185]) | r.choice([0, 0x2000, 0x4000])
        return bytes(r.choice([8, 16, 100, 1]))
    fields["fragment"] = 0x2000
    return payload[: r.randrange(len(payload) + 1)]


def fragment6(r, proto, payload, offset, more, ident=None, dirty=False):
    word = offset * 8 | more | (r.choice([2, 4, 6]) if dirty else 0)
    return pack(">BBHI", proto, r.randrange(256) if dirty else 0, word, r.choice([1, 2, 3]) if ident is None else ident) + payload


def fragments6(r, proto, payload):
    dirty = chance(r, 4)
    pick = r.randrange(5)
    if pick == 0:
        return fragment6(r, proto, payload, 0, 0, dirty=dirty)
    if pick == 1:
        return fragment6(r, proto, payload + bytes(-len(payload) % 8), 0, 1, dirty=dirty)
    if pick == 2:
        return fragment6(r, proto, payload[: r.choice([0, 8, 16, 24])], 0, 1, dirty=dirty)
    if pick == 3:
        return fragment6(r, proto, bytes(r.choice([8, 16, 100, 1])), r.choice([1, 2, 185, 8191]), r.choice([0, 1]), dirty=dirty)
    return fragment6(r, proto, payload[: r.randrange(len(payload) + 1)], 0, 1, dirty=dirty)


VLANS = [5, 7, 1, 4094, "100-110", "2000-2007"]  # what policies name; frames are tagged with these and their neighbours
VIDS = [5, 5, 7, 1, 4094, 4095, 6, 100, 105, 110, 111, 99, 2003, 0xE005, 0x1005]


def tags(r):
    n = r.choice([1, 1, 1, 2, 2, 3, 7, 8, 9, 12, 32])
    out = [(r.choice([0x8100, 0x8100, 0x88A8]), r.choice([0, 0, 0xE000, 0x1000])) for _ in range(n)]
    if chance(r, 2):
        at = r.randrange(n)
        out[at] = (out[at][0] if chance(r, 4) else 0x8100, r.choice(VIDS))
        if chance(r, 8):
            at = r.randrange(n)
            out[at] = (0x8100, r.choice(VIDS))
    if chance(r, 20):
        out[0] = (0x9100, 0)
    return out


def build4(r, w, proto, payload, odd):
    fields = {}
    if odd and chance(r, 3):
        payload = fragments4(r, proto, payload, fields)
    if odd and chance(r, 4):
        fields["options"] = options4(r)
    if proto == 2:
        fields["ttl"] = r.choice([1, 1, 64])
    out = ip4(packed(w.src), packed(w.dst), proto, payload, **fields)
    if odd and chance(r, 6):
        pick = r.randrange(5)
        size = len(out)
        if pick == 0:
            fields["header"] = r.choice([0, 4, 5, 6, 15])
        elif pick == 1:
            fields["version"] = r.choice([0, 5, 6, 15])
        else:
            half = size - len(payload) // 2
            fields["total"] = max(0, r.choice([size - 1, size + 1, size - 8, 19, 20, 0, 65535, size + 40, half]))
        out = ip4(packed(w.src), packed(w.dst), proto, payload, **fields)
    return out


def build6(r, w, proto, payload, odd):
    fields = {}
    if proto == 58 and payload and 133 <= payload[0] <= 137:
        fields["hops"] = 255 if not chance(r, 4) else 254
    if proto == 58 and payload and payload[0] in (130, 131, 132, 143):
        fields["hops"] = 1 if not chance(r, 4) else 64
        if chance(r, 2):
            payload, proto = pack(">BBBBI", 58, 0, 5, 2, 0x01000000) + payload, 0
    if odd and chance(r, 3):
        payload, proto = fragments6(r, proto, payload), 44
    if odd and chance(r, 3):
        payload, proto = extensions(r, proto, payload)
    if odd and chance(r, 8):
        size = len(payload)
        fields["length"] = max(0, r.choice([size - 1, size + 1, 0, size - 8, 65535, 8, size // 2]))
    if odd and chance(r, 15):
        fields["version"] = r.choice([0, 4, 7])
    return ip6(packed(w.src), packed(w.dst), proto, payload, **fields)


def arp(r, w):
    where = {4: w.src, 6: r.choice(PEERS[4])}[w.family]
    sender = packed(where if not chance(r, 6) else r.choice(["0.0.0.0", "198.51.100.7", "192.0.2.1", "203.0.113.2"]))
    fields = [1, 0x800, 6, 4, r.choice([1, 2])]
    if chance(r, 5):
        at = r.randrange(5)
        fields[at] = r.choice([0, 1, 4, 6, 8, 16, 0x86DD]) % (65536 if at in (0, 1, 4) else 256)
    out = pack(">HHBBH", *fields) + PEER_MAC + sender + bytes(6) + packed("192.0.2.1")
    return out if not chance(r, 8) else out[: r.randrange(28)]


def neighbour(r, w):
    """Neighbour discovery, mostly as it should be."""
    w.family = 6
    f = Where(r, w.hook, 6, w.hooks)
    w.__dict__.update(f.__dict__)
    kind = r.choice([133, 134, 135, 135, 136, 136, 137])
    target = packed(r.choice([w.dst, w.src]))
    body = {133: b"", 134: bytes(8), 135: target, 136: target, 137: target + packed(w.dst)}[kind]
    word = r.choice([0, 0x60000000, 0x20000000]) if kind == 136 else 0
    if kind in (134, 137) or chance(r, 3):
        w.src = "fe80::2" if w.hook == WL_OUT else "fe80::9" if w.hook != NIC_OUT else "fe80::a01"
    dst = packed(w.dst)
    if kind == 135 and chance(r, 2):
        dst = solicited(target)
        if chance(r, 3):
            w.src = "::"
    elif chance(r, 3):
        dst = packed(r.choice(["ff02::1", "ff02::2"]))
    option = bytes([1, r.choice([1, 1, 1, 0, 9])]) + PEER_MAC if chance(r, 2) else b""
    data = icmp(kind, 0 if not chance(r, 10) else 1, word, body + option)
    if chance(r, 10):
        data = data[: r.randrange(8, len(data) + 1)]
    proto, hops = 58, 255 if not chance(r, 6) else r.choice([1, 64, 254])
    if chance(r, 10):
        data, proto = (fragment6(r, 58, data, 0, 0), 44) if chance(r, 2) else extensions(r, 58, data, 1)
    return ip6(packed(w.src), dst, proto, data, hops)


def listeners(r, w):
    if w.family == 4:
        data = bytes([r.choice([0x11, 0x12, 0x16, 0x17, 0x22, 0x99])]) + bytes(r.choice([3, 7, 15]))
        w.dst = r.choice(["224.0.0.1", "224.0.0.22", "239.1.1.1", w.dst])
        return ip4(packed(w.src), packed(w.dst), 2, data, r.choice([b"", bytes([148, 4, 0, 0])]), r.choice([1, 1, 64]))
    data = icmp(r.choice([130, 131, 132, 143]), 0, 0, bytes(16))
    w.dst = r.choice(["ff02::1", "ff02::16", "ff02::1:ff00:1", w.dst])
    w.src = r.choice(["fe80::2" if w.hook == WL_OUT else "fe80::9", w.src, "::"])
    return ip6(packed(w.src), packed(w.dst), 0, pack(">BBBBI", 58, 0, 5, 2, 0x01000000) + data, r.choice([1, 1, 64]))


def other_ethertype(r, w):
    ethertype = r.choice(
        [0x8847, 0x8848, 0x8863, 0x8864, 0x888E, 0x8809, 0x88CC, 0x0026, 0x05FF, 0x0600, 0x8035, 0x86DE, 0x9000, 0]
    )
    source, target = w.macs()
    if chance(r, 2):
        target = bytes.fromhex("0180c20000") + bytes([r.choice([0, 2, 3, 14, 15, 16, 33])])
    return frame(b"\xaa\xaa\x03\x00\x00\x00\x08\x00" + bytes(40), source, target, ethertype, tags(r) if chance(r, 5) else ())


def wrap(r, w, ip, ethertype, odd):
    source, target = w.macs()
    if odd and chance(r, 12):
        source = r.choice([bytes(6), b"\xff" * 6, b"\x01\x00\x5e\x00\x00\x01"])
    if odd and ethertype == 0x0800 and chance(r, 16) and len(ip) >= 20:
        ip = ip[:10] + r.choice([bytes(2), b"\xff\xff", bytes([ip[10] ^ 1, ip[11]]), r.randbytes(2)]) + ip[12:]
    if w.hooks is AROUND_BRIDGE and w.hook == WL_OUT and odd and chance(r, 6):
        target = r.choice([BRIDGE_MAC, PEER_MAC])
    if odd and chance(r, 12):
        target = r.choice([b"\xff" * 6, PEER_MAC, VIRTUAL_ROUTER, b"\x33\x33\x00\x00\x00\x01", b"\x01\x00\x5e\x00\x00\x01"])
    out = frame(ip, source, target, ethertype, tags(r) if odd and chance(r, 4) else ())
    if chance(r, 3) and len(out) < 60:
        out += bytes(60 - len(out))
    elif odd and chance(r, 6):
        out += b"t" * r.choice([1, 4, 20])
    return out


def flip(r, data):
    out = bytearray(data)
    for _ in range(r.choice([1, 1, 2, 4])):
        at = r.randrange(min(len(out), 100)) if chance(r, 2) else r.randrange(12, min(len(out), 60)) if len(out) > 12 else 0
        out[at] = r.choice([out[at] ^ 1 << r.randrange(8), r.randrange(256), 0, 255])
    return bytes(out)


def one(r, hooks=EVERYWHERE):
    """(frame, hook, at, arrived, tag)"""
    w = Where(r, hooks=hooks)
    pick = r.random()
    odd = chance(r, 2)
    if odd and chance(r, 6):
        w.spoil(r)
    if pick < 0.86:
        proto, payload = r.choice(PAYLOADS)(r, w)
        ip = (build4 if w.family == 4 else build6)(r, w, proto, payload, odd)
        out = wrap(r, w, ip, 0x0800 if w.family == 4 else 0x86DD, odd)
    elif pick < 0.91:
        out = wrap(r, w, neighbour(r, w), 0x86DD, chance(r, 8))
    elif pick < 0.94:
        ip = listeners(r, w)
        out = wrap(r, w, ip, 0x0800 if w.family == 4 else 0x86DD, chance(r, 8))
    elif pick < 0.97:
        out = wrap(r, w, arp(r, w), 0x0806, odd)
    else:
        out = other_ethertype(r, w)
    if chance(r, 15):
        out = flip(r, out)
        if not chance(r, 4):
            out = resum(out)
    if chance(r, 25):
        out = out[: r.randrange(15, max(16, len(out)))]
    out, tag = beside(r, w.hook, out)
    return out, w.hook, w.at, w.arrived, tag


def beside(r, hook, data):
    """The frame and its tag out of band, if any: as drivers and the stack hand tags to TC."""
    if hook == XDP:
        return data, None
    if data[12:14] in (b"\x81\x00", b"\x88\xa8") and len(data) >= 32:
        if not chance(r, 3):
            return data[:12] + data[16:], unpack(">HH", data[12:16])
    elif chance(r, 40):
        return data, (r.choice([0x8100, 0x8100, 0x88A8]), r.choice([0, 0xE000, *VIDS]))
    return data, None


# ---- sequences: opening, answer, error, fragments of one flow


def packet(w, proto, payload, **fields):
    build = ip4 if w.family == 4 else ip6
    if w.family == 6:
        fields = {}
    source, target = w.macs()
    ip = build(packed(w.src), packed(w.dst), proto, payload, **fields)
    return frame(ip, source, target, 0x0800 if w.family == 4 else 0x86DD)


def flow(r, w):
    """(opening, answer, later of the opener, later of the other) as (proto, payload)."""
    kind = r.choice(["tcp", "udp", "udp", "echo", "echo", "proto", "sctp", "socket", "socket"])
    sport, dport = r.choice([40000, 40001, 5000]), r.choice([53, 443, 5050, 40000, 123])
    if kind == "tcp":
        sport, dport = port(r, 6) or 1, port(r, 6) or 1
        last = r.choice([16, 17, 4, 20])
        flags = ((sport, dport, 2), (dport, sport, 18), (sport, dport, 16), (dport, sport, last))
        return [(6, tcp(*each)) for each in flags]
    if kind == "udp":
        return [(17, udp(sport, dport, b"q" * 16)), (17, udp(dport, sport, b"a" * 16))] * 2
    if kind == "echo":
        proto, types = (1, (8, 0)) if w.family == 4 else (58, (128, 129))
        ident = r.choice([7, 9]) << 16
        return [(proto, icmp(types[0], 0, ident, b"12345678")), (proto, icmp(types[1], 0, ident, b"12345678"))] * 2
    if kind == "proto":
        proto = r.choice([47, 50, 253])
        return [(proto, r.randbytes(16)) for _ in range(4)]  # these bytes are no ports
    if kind == "sctp":
        chunks = ((sport, dport, 1), (dport, sport, 2), (sport, dport, 0), (dport, sport, 3))
        return [(132, sctp(*each)) for each in chunks]
    here, there = r.choice([(7001, 7004), (7002, 7003), (7001, 7104), (7002, 7103), (7005, 5353), (7001, 7003)])
    if w.hook in (XDP, NIC_IN, WL_IN):
        here, there = there, here
    if 7005 in (here, there):
        return [(17, udp(here, there, b"q" * 16)), (17, udp(there, here, b"a" * 16))] * 2
    return [(6, tcp(here, there, r.choice([16, 24]))), (6, tcp(there, here, 16))] * 2


# What follows what: parts of the flow by number; e, r, s errors about the opening, the answer, something else; f, l first
# and later fragment, b, k the same of the answer; o another's answer, x one to another port; t time passes.
ORDERS = [
    [0, 1, 2, 3], [1, 0, 1], [0, 1], [0, "e", 1], [1, "e"], [0, "r"], [0, "s"], [0, "f", "l"], [1, "f", "l", "b"],
    [0, "f", "l", "k"], ["f", "l"], [0, "o"], [0, "x", 1], [0, "t", 1],
]  # fmt: skip
OUTSIDE = {4: "192.0.2.100", 6: "2001:db8::100"}


def flood(r):
    """SYNs to a port that may be protected, and what their senders would send next; some prove their address."""
    family = r.choice((4, 6))
    dport = r.choice([7001, 7001, 7001, 7002, 443, 8000, 80])
    here = SELVES[family][0]
    ops = []
    n = r.choice([2, 3, 4, 8, 40])
    while n > 0:
        n -= 1
        w = Where(r, XDP, family, AT_NICS)
        w.at = w.arrived = NIC if not chance(r, 10) else NIC2
        w.dst = here if not chance(r, 12) else r.choice(SELVES[family])
        sport = r.choice([40000, 40001, 7004, 1234])
        syn = packet(w, 6, tcp(sport, dport, r.choice([2, 2, 2, 0xC2, 10]), b"" if not chance(r, 8) else b"fast"))
        ops.append(("F", syn, w.hook if not chance(r, 10) else NIC_IN, w.at, w.arrived, None))
        pick = r.random()
        if pick < 0.25:
            ack = packet(w, 6, tcp(sport, dport, r.choice([16, 16, 24, 17]), b"" if chance(r, 2) else b"GET", 5, 2))
            ops.append(("A", ack, XDP, w.at, w.arrived, None))
            if chance(r, 3):
                ops.append(("A", packet(w, 6, tcp(sport, dport, 24, b"GET", 5, 2)), XDP, w.at, w.arrived, None))
        elif pick < 0.5:
            other = r.choice([16, 16, 24, 17, 18, 4, 20])
            ops.append(("F", packet(w, 6, tcp(sport, dport, other)), XDP, w.at, w.arrived, None))
        elif pick < 0.55:
            ops.append(("C", r.choice([10**9, 3 * 10**8, 25 * 10**8, 5 * 10**9])))
    return ops


def aggregates(r, hooks=EVERYWHERE):
    """What GRO made one of, as TC sees it."""
    ops = []
    w = Where(r, hooks=hooks)
    if w.hook == XDP:
        w.hook = NIC_IN
    for _ in range(r.choice([1, 2, 5])):
        size, data = r.choice([100, 100, 536, 7]), bytes(r.choice([100, 101, 250, 700, 1400]))
        sport, dport = r.choice([40000, 7004]), r.choice([443, 80, 7001, 53, 5000])
        proto, payload = (6, tcp(sport, dport, r.choice([16, 24]), data)) if chance(r, 2) else (17, udp(sport, dport, data))
        gso = size, 0 if chance(r, 3) else -(-len(data) // size)
        out, tag = packet(w, proto, payload), None
        if chance(r, 8):
            out, tag = beside(r, w.hook, out[:12] + pack(">HH", 0x8100, r.choice(VIDS)) + out[12:])
        ops.append(("F", out, w.hook, w.at, w.arrived, tag, gso))
    return ops


# What belongs to a flow through NAT, by hook: (hook, interface, arrived, as seen?, answers?)
NAT_PLACES = [
    [(XDP, NIC, NIC, False, False), (WL_IN, WL, NIC, True, False), (WL_OUT, WL, WL, True, True), (NIC_OUT, NIC, WL, False, True)],
    [(WL_OUT, WL, WL, False, False), (NIC_OUT, NIC, WL, True, False), (XDP, NIC, NIC, True, True), (WL_IN, WL, NIC, False, True),
     (NIC_OUT, NIC, UNWATCHED, True, False)],
    [(WL_OUT, WL, WL, False, False), (NIC_OUT, NIC, WL, True, False), (XDP, NIC, NIC, True, True), (WL_IN, WL, NIC, False, True)],
]  # fmt: skip


def natted(r):
    """Packets of a flow that NAT changes on its way, as the hooks see them; now and then with another port."""
    number = r.randrange(len(NATTED))
    proto, sent, seen = NATTED[number]
    places = NAT_PLACES[(0, 0, 1, 1, 2)[number % 5]]
    steps = list(places) if chance(r, 2) else [r.choice(places) for _ in range(r.choice([1, 2, 4]))]
    ops = []
    for place in steps:
        hook, at, arrived, as_seen, answers = place
        src, sport, dst, dport = seen if as_seen else sent
        if answers:
            src, sport, dst, dport = dst, dport, src, sport
        if chance(r, 10):
            sport += 1
        elif chance(r, 10):
            dport += 1
        payload = udp(sport, dport, b"n" * 8) if proto == 17 else tcp(sport, dport, r.choice([2, 16, 16, 24, 17, 4, 18]))
        build = ip4 if len(src) == 4 else ip6
        macs = (MAC_OF[at], PEER_MAC) if hook in (NIC_OUT, WL_IN) else (PEER_MAC, MAC_OF[at])
        ip = build(src, dst, proto, payload)
        ops.append(("F", frame(ip, *macs, 0x0800 if len(src) == 4 else 0x86DD), hook, at, arrived, None))
        if chance(r, 4):
            ops.append(ops[-1])
    if chance(r, 4):  # and an error about what left by the NIC
        src, sport, dst, dport = seen if number % 5 > 1 else (sent[2], sent[3], sent[0], sent[1])
        w = Where(r, XDP, 4 if len(src) == 4 else 6)
        w.at = w.arrived = NIC
        w.src, w.dst = str(ip_address(dst)), str(ip_address(src))
        inner = udp(sport, dport, b"n" * 8) if proto == 17 else tcp(sport, dport, 16)
        ops.append(("F", packet(w, *error_payload(r, w, (proto, inner))), XDP, NIC, NIC, None))
    return ops


def pieces(r, payload):
    """A payload cut as fragments are: (offset in 8 bytes, more, bytes), some of them lying, twice or missing."""
    payload += bytes(r.choice([0, 8, 24, 40]))
    cuts = sorted({0} | {r.randrange(1 + len(payload) // 8) * 8 for _ in range(r.choice([1, 1, 2, 3]))})
    out = []
    for start, end in zip(cuts, cuts[1:] + [len(payload)]):
        out.append([start // 8, int(end < len(payload)), payload[start:end]])
    if chance(r, 4):
        one = r.choice(out)
        out.append([one[0], one[1], one[2][: r.choice([8, 16])]])  # overlaps, or hides what another shows
    if chance(r, 6):
        r.choice(out)[0] += r.choice([1, 2])
    if chance(r, 3):
        out.append(r.choice(out))
    pick = r.random()
    if pick < 0.3:
        out.reverse()
    elif pick < 0.6:
        r.shuffle(out)
    if chance(r, 5) and len(out) > 1:
        out.pop()
    return out


def torn(r, hooks=EVERYWHERE):
    """A datagram in fragments, in any order, now and then with another's beside it."""
    w = Where(r, hooks=hooks)
    if chance(r, 3):
        proto, payload = error_payload(r, w)
    else:
        proto, payload = r.choice(flow(r, w)) if chance(r, 2) else r.choice(PAYLOADS)(r, w)
    ident, ops = r.choice([1, 2, 78, 0]), []
    sides = [w, w.reversed()] if chance(r, 5) else [w]
    said = proto
    head = b""
    if w.family == 6 and chance(r, 4):  # headers behind the fragment header belong to the first fragment
        head, said = extensions(r, proto, b"", r.choice([1, 2]))
        if len(head) % 8 or said == 0:
            head, said = b"", proto
    for here in sides:
        for offset, more, part in pieces(r, head + payload):
            which = said
            if offset and chance(r, 6):
                which = r.choice([6, 17, 1, 58, 60, 44, 132, 253])  # another than the first's: D-8
            tag = ident if not chance(r, 15) else ident + 1
            if w.family == 4:
                flags = more << 13 | (r.choice([0x4000, 0x8000]) if chance(r, 20) else 0)
                data = packet(here, which, part, ident=tag, fragment=offset | flags)
            else:
                before = fragment6(r, which, part, offset, more, tag, chance(r, 10)), 44
                if chance(r, 10):
                    before = extensions(r, 44, before[0], 1)
                data = packet(here, before[1], before[0])
            ops.append(("F", data, here.hook, here.at, here.arrived, None))
    if len(sides) > 1 and chance(r, 2):
        r.shuffle(ops)
    return ops


def through(r, hooks):
    """Through this node, from those whom policies let in one way."""
    w = Where(r, XDP, hooks=hooks)
    w.src = {4: "198.51.100.7", 6: "2001:db8:51::7"}[w.family]
    w.dst = r.choice(PEERS[w.family])
    return w


def sequence(r, hooks=EVERYWHERE):
    """Operations: ("F", frame, hook, at, arrived, tag) and ("C", ns)."""
    if chance(r, 5):
        return torn(r, hooks)
    if chance(r, 12):
        return flood(r)
    if chance(r, 20):
        return aggregates(r, hooks)
    if hooks is EVERYWHERE and chance(r, 12):
        return natted(r)
    w = Where(r, hooks=hooks)
    transit = chance(r, 6)
    if transit:
        w = through(r, hooks)
    parts = flow(r, w)
    ports_here = parts[0][1][:4]
    if w.hook < BR_IN and not transit and parts[0][0] in (6, 17) and any(int.from_bytes(ports_here[i : i + 2], "big") in range(7001, 7200) for i in (0, 2)):
        out = OUTSIDE[w.family]
        if w.hook in (XDP, WL_IN):
            w.src = out
            w.arrived = w.at = NIC if w.hook == XDP else w.at
            if w.hook == WL_IN:
                w.arrived, w.at, w.dst = NIC, WL, PODS[WL, w.family][0]
            else:
                w.dst = SELVES[w.family][0]
        elif w.hook == WL_OUT:
            w.dst, w.at, w.arrived, w.src = out, WL, WL, PODS[WL, w.family][0]
        else:
            w.dst, w.src, w.arrived, w.at = out, SELVES[w.family][0], HERE, NIC
    back = w.reversed()
    tagged = r.choice(VIDS) if chance(r, 15) else 0
    aside = chance(r, 30)  # to somebody else's MAC
    ops = []
    order = r.choice(ORDERS)
    for step in order:
        forth = True
        fields = {}
        if step == "e":  # error about the opening packet, from its receiver or from a router
            here, content = back, error_payload(r, back, parts[0])
        elif step == "r":  # error about the answer, from the opener
            here, content = w, error_payload(r, w, parts[1])
        elif step == "s":  # error about something else
            here, content = back, error_payload(r, back, (17, udp(1234, 4321, b"12345678")))
        elif step in ("f", "l", "b", "k"):
            here = w if step in ("f", "l") else back
            proto, payload = parts[0] if here is w else parts[1]
            payload = payload + bytes(24 - len(payload) % 8)
            if step in ("l", "k"):
                payload = bytes(24)
            offset, more = (0, 1) if step in ("f", "b") else (5, 0)
            if w.family == 4:
                fields = {"ident": 77, "fragment": offset | more << 13}
            else:
                payload, proto = fragment6(r, proto, payload, offset, more, 77), 44
            content = proto, payload
        elif step == "o":  # another's answer
            here, content = back.reversed().reversed(), parts[1]
            here.src = r.choice(PEERS[w.family]) if here.hook in (XDP, WL_IN) else here.src
        elif step == "x":  # an answer to other ports
            here = back
            proto, payload = parts[1]
            content = proto, payload[:2] + bytes([r.randrange(256)]) + payload[3:]
        elif step == "t":
            ops.append(("C", r.choice([10**9, 3 * 10**8])))
            continue
        else:
            here, content = (w, back)[step % 2], parts[step]
        data = packet(here, *content, **fields)
        tag = None
        if aside and here.hook in (XDP, NIC_IN):
            data = r.choice([PEER_MAC, VIRTUAL_ROUTER]) + data[6:]
        if tagged:
            data, tag = beside(r, here.hook, data[:12] + pack(">HH", 0x8100, tagged) + data[12:])
        ops.append(("F", data, here.hook, here.at, here.arrived, tag))
        if chance(r, 8):
            ops.append(ops[-1])
    return ops
