# SPDX-License-Identifier: GPL-2.0-only
"""Reads `bpftool -j map dump` of weir's maps with the names that BTF gives them, and prints what a test asks for.

bpfdump.py block ADDRESS   of weir_block: prefix length of the block of this address
bpfdump.py tat ADDRESS     of weir_tat: "key=… tat=…" of each entry of this source
bpfdump.py bucket ADDRESS  of weir_tat: key of its bucket, as bpftool wants it on the command line
bpfdump.py count           of a counter map: "index=… passed_packets=…" of each that counted, summed over the CPUs
"""

import ipaddress
import json
import sys


def number(value):
    return int(value, 0) if isinstance(value, str) else value


def wire(address):
    address = ipaddress.ip_address(address)
    return list((b"\0" * 10 + b"\xff\xff" if address.version == 4 else b"") + address.packed)


def limiter_key(address):
    address = ipaddress.ip_address(address)
    return 0xFF << 56 | int(address) if address.version == 4 else int(address) >> 64


def show_block(entries, address):
    for entry in entries:
        key = entry["formatted"]["key"]
        if [number(byte) for byte in key["address"]["byte"]] == wire(address):
            print(number(key["prefixlen"]))


def show_tat(entries, address):
    for bucket in entries:
        for entry in bucket["formatted"]["value"]["entry"]:
            if number(entry["key"]) == limiter_key(address):
                print(f"key={number(entry['key']):#018x} tat={number(entry['tat'])}")


def show_bucket(entries, address):
    for bucket in entries:
        if any(number(e["key"]) == limiter_key(address) for e in bucket["formatted"]["value"]["entry"]):
            print(*number(bucket["formatted"]["key"]).to_bytes(4, sys.byteorder))


def show_count(entries):
    for entry in entries:
        total = {}
        for cpu in entry["formatted"]["values"]:
            for name, value in cpu["value"].items():
                total[name] = total.get(name, 0) + number(value)
        if any(total.values()):
            fields = " ".join(f"{name}={value}" for name, value in total.items())
            print(f"index={number(entry['formatted']['key'])} {fields}")


what = {"block": show_block, "tat": show_tat, "bucket": show_bucket, "count": show_count}[sys.argv[1]]
what(json.load(sys.stdin), *sys.argv[2:])
