# SPDX-License-Identifier: GPL-2.0-only
"""Frames byte by byte, right and wrong ones: every field that has a right value can be given another.

Nothing here is taken from weir: headers are as the RFCs draw them (791, 768, 793, 792, 8200, 4443, 4861, 826).
"""

import socket
import struct

IP4, IP6, ARP = 0x0800, 0x86DD, 0x0806
ICMP, IGMP, TCP, UDP, ICMP6, SCTP = 1, 2, 6, 17, 58, 132
HOP_BY_HOP, ROUTING, FRAGMENT, ESP, AH, NONE, OPTIONS = 0, 43, 44, 50, 51, 59, 60
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def text(address):
    return socket.inet_ntop(socket.AF_INET6 if len(address) == 16 else socket.AF_INET, address)


def mac(address):
    return bytes.fromhex(address.replace(":", ""))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo(src, dst, proto, length):
    src, dst = packed(src), packed(dst)
    if len(src) == 4:
        return src + dst + struct.pack("!BBH", 0, proto, length)
    return src + dst + struct.pack("!IHBB", length, 0, 0, proto)


def ethernet(dst, src, kind, payload, tags=()):
    """tags: (ethertype, tci), outermost first."""
    head = dst + src
    for ethertype, tci in tags:
        head += struct.pack("!HH", ethertype, tci)
    return head + struct.pack("!H", kind) + payload


def ip4(src, dst, proto, payload, *, options=b"", ident=0, offset=0, more=0, df=0, evil=0, ttl=64, total=None, ihl=None,
        version=4, wrong_sum=None, tos=0):
    options += b"\0" * (-len(options) % 4)
    if ihl is None:
        ihl = 5 + len(options) // 4
    if total is None:
        total = 20 + len(options) + len(payload)
    flags = evil << 15 | df << 14 | more << 13 | offset // 8

    def header(check):
        return struct.pack("!BBHHHBBH", version << 4 | ihl, tos, total, ident, flags, ttl, proto, check) + \
            packed(src) + packed(dst) + options

    check = checksum(header(0)[:max(ihl * 4, 20)]) if wrong_sum is None else wrong_sum
    return header(check) + payload


def ip6(src, dst, proto, payload, *, hops=64, length=None, version=6, flow=0):
    if length is None:
        length = len(payload)
    return struct.pack("!IHBB", version << 28 | flow, length, proto, hops) + packed(src) + packed(dst) + payload


def udp(src, dst, sport, dport, data, *, length=None, check=None):
    if length is None:
        length = 8 + len(data)
    head = struct.pack("!HHHH", sport, dport, length, 0)
    if check is None:
        covered = head + data[:max(length - 8, 0)]
        check = checksum(pseudo(src, dst, UDP, length) + covered) or 0xFFFF
    return head[:6] + struct.pack("!H", check) + data


def tcp(src, dst, sport, dport, flags, *, seq=1000, ack=0, doff=None, options=b"", data=b"", reserved=0, window=64000,
        wrong_sum=0, urgent=0):
    if doff is None:
        doff = 5 + len(options) // 4
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, doff << 4 | reserved, flags, window, 0, urgent) + options
    check = checksum(pseudo(src, dst, TCP, len(head) + len(data)) + head + data) ^ wrong_sum
    return head[:16] + struct.pack("!H", check) + head[18:] + data


def udplite(src, dst, sport, dport, data):
    head = struct.pack("!HHHH", sport, dport, 8, 0)
    return head[:6] + struct.pack("!H", checksum(pseudo(src, dst, 136, 8 + len(data)) + head)) + data


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sctp(sport, dport, chunks):
    head = struct.pack("!HHI", sport, dport, 0)
    return head + struct.pack("<I", crc32c(head + b"\0" * 4 + chunks)) + chunks


def icmp4(kind, code, rest, data=b""):
    head = struct.pack("!BBH", kind, code, 0) + rest + data
    return head[:2] + struct.pack("!H", checksum(head)) + head[4:]


def icmp6(src, dst, kind, code, rest, data=b""):
    head = struct.pack("!BBH", kind, code, 0) + rest + data
    return head[:2] + struct.pack("!H", checksum(pseudo(src, dst, ICMP6, len(head)) + head)) + head[4:]


def extension(proto, body=b"\x01\x04\0\0\0\0", *, length=None):
    """A header whose length counts 8 bytes after the first 8; body: 6 bytes, or 8n + 6 (PadN when unsaid)."""
    return struct.pack("!BB", proto, (len(body) + 2) // 8 - 1 if length is None else length) + body


def chain(first, count, last):
    """count headers of destination options, behind them protocol last: (first protocol, bytes). first: of the first."""
    kinds = [first] + [OPTIONS] * (count - 1) + [last]
    return kinds[0], b"".join(extension(kinds[i + 1]) for i in range(count))


def fragment_header(proto, offset, more, ident, *, reserved=0, bits=0):
    return struct.pack("!BBHI", proto, reserved, offset | bits << 1 | more, ident)


def arp(op, sender_mac, sender, target_mac, target, *, hardware=1, kind=IP4, hlen=6, plen=4):
    return struct.pack("!HHBBH", hardware, kind, hlen, plen, op) + sender_mac + packed(sender) + target_mac + \
        packed(target)


def solicited(address):
    """Solicited-node group and its Ethernet address."""
    tail = packed(address)[13:]
    return text(packed("ff02::1:ff00:0")[:13] + tail), b"\x33\x33\xff" + tail


def group_mac(address):
    raw = packed(address)
    if len(raw) == 4:
        return b"\x01\x00\x5e" + bytes([raw[1] & 0x7F]) + raw[2:]
    return b"\x33\x33" + raw[12:]
