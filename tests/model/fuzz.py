#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Random policies and frames through weir's programs and through the model; says where they disagree.

fuzz.py [--frames N] [--policies N] [--seed N] [--jobs N] [--keep DIR] [--show N]   as make fuzz does
fuzz.py --regress FILE...                                                          the frames kept there
Needs root, and $O/tests/model/runner (make prog-programs). Exit status 1 when there is a disagreement, 77 without root.

A policy judges a chunk of frames; flows expire between sequences, limits go on through the chunk. What disagrees is shrunk to
fewer operations, then to fewer bytes and simpler ones, then to a smaller policy, and written to DIR (default
$O/fuzz) as JSON that --regress takes; --show N prints the first N of them, too. The table counts the reasons that the
programs gave; one that no frame produced is an error, since a generator that does not reach it cannot say anything about
it. Seed, frames and policies say which policies and frames there are, however many processes judge them: the last
line has a digest of them.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import re
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import generate
from model import Model
from policy import BRIDGED, FORWARDS, Policy, interval, packed

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.environ.get("O", "build")
OUT = OUT if OUT.startswith("/") else os.path.join(TOP, OUT)
HOOKS = ("xdp", "nic_in", "nic_out", "wl_out", "wl_in", "br_in", "br_out")
EXPIRE = 600 * 10**9
FORGETS = 86400 * 10**9  # by so much the clock moves when a policy is loaded
SERVES = 1000 * 86400 * 10**9
REFUSED = 2  # the kernel does not run it: too short
WRONG_ANSWER = 3
ANSWERED = 4  # dropped, and a SYN-ACK sent
TIMEOUTS = {"tcp": "60s", "tcp_closing": "30s", "udp": "30s", "udp_stream": "60s", "icmp": "30s", "half_open": "30s"}


def read_reasons():
    names = {64: ""}
    with open(os.path.join(TOP, "include/weir/reason.h"), encoding="utf-8") as header:
        for value, name in re.findall(r'X\((\d+),\s*\w+,\s*"(\w+)"', header.read()):
            names[int(value)] = name
    return names


REASONS = read_reasons()


class Runner:
    """The programs, in a process that speaks the protocol of runner.c. Its clock only goes forward, and the programs are
    right about limits for 6.9 years: long before that another process takes over."""

    def __init__(self, cpu=0):
        self.cpu = cpu
        self.start()

    def start(self):
        path = os.path.join(OUT, "tests/model/runner")
        self.elapsed = 0
        self.process = subprocess.Popen([path, str(self.cpu)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.sockets = []
        while True:
            line = self.process.stdout.readline().decode().split()
            if not line:
                break
            if line == ["nat"]:
                self.sockets.append(("nat",))
                continue
            kind, ns, local, lport, remote, rport, listens = line
            self.sockets.append((kind, ns, packed(local), int(lport), packed(remote), int(rport), listens == "1"))
        if not self.sockets:
            raise SystemExit(f"{path} did not start")

    def send(self, kind, payload):
        self.process.stdin.write(kind + struct.pack("<I", len(payload)) + payload)
        self.process.stdin.flush()

    def policy(self, policy):
        if self.elapsed > SERVES:
            self.close()
            self.start()
        self.elapsed += FORGETS
        paths = [("off", "strict", "loose").index(policy.antispoof.get(name, "off")) for name in ("nic", "nic2")]
        self.send(b"P", bytes([policy.node, *paths]) + policy.text().encode())
        if self.process.stdout.read(1) != b"\1":
            raise SystemExit("weir refuses this policy:\n" + policy.text())

    def run(self, ops):
        out = []
        for op in ops:
            if op[0] in "FA":
                kind, frame, hook, at, arrived, tag = op[:6]
                gso = op[6] if len(op) > 6 else (0, 0)
                out.append(kind.encode() + struct.pack("<BBBHHHHH", hook, at, arrived, *(tag or (0, 0)), *gso, len(frame)) + frame)
            elif op[0] == "C":
                out.append(self.passes(op[1]))
            elif op[0] == "X":
                out.append(self.passes(EXPIRE))
            elif op[0] == "K":
                text, ns = op[1], op[2]
                address, _, length = text.partition("/")
                raw = packed(address)
                mapped = raw if len(raw) == 16 else bytes(10) + b"\xff\xff" + raw
                out.append(b"K" + struct.pack("<BQ", int(length or len(raw) * 8), ns) + mapped)
            else:
                out.append(op[0].encode())
        self.send(b"B", b"".join(out))
        (length,) = struct.unpack("<I", self.process.stdout.read(4))
        answer = self.process.stdout.read(length)
        return [tuple(answer[i : i + 3]) for i in range(0, length, 3)]

    def passes(self, ns):
        self.elapsed += ns
        return b"C" + struct.pack("<Q", ns)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def interface_addresses():
    return {"nic": [packed("192.0.2.1"), packed("2001:db8::1")]}


def make_policy(spec, node):
    return Policy(spec, node, interface_addresses())


class Disagreement:
    def __init__(self, index, got, outcomes, packet):
        self.index, self.got, self.outcomes, self.packet = index, got, outcomes, packet


def agrees(outcome, got):
    passed, reason, homes = got
    if outcome.passes != (passed == 1) or passed == WRONG_ANSWER:
        return False
    if REASONS.get(reason, "?") not in outcome.reasons:
        return False
    return outcome.homes is None or not passed or outcome.homes == homes


def compare(model, ops, answers, collect, seen=None):
    """Runs the model beside what the programs said, and collects where they disagree."""
    answer = iter(answers)
    for index, op in enumerate(ops):
        if op[0] in "FA":
            got = next(answer)
            if got[0] == REFUSED:
                continue
            if seen is not None:
                seen[got[1], op[2]] = seen.get((got[1], op[2]), 0) + 1
            model.proof = op[0] == "A"
            model.gso = op[6] if len(op) > 6 else None
            packet, outcomes, agreed = model.observe(*op[1:6], lambda outcome: agrees(outcome, got))
            if got[0] == ANSWERED:
                model.answered = packet.src, packet.dst, packet.sport, packet.dport
            if not agreed:
                collect.append(Disagreement(index, got, outcomes, packet))
        elif op[0] == "C":
            model.now += op[1]
        elif op[0] == "X":
            model.now += EXPIRE
            model.forget()
        elif op[0] == "K":
            model.blocks[interval(op[1])] = op[2] and model.now + op[2]
        elif op[0] == "U":
            model.blocks.clear()
        elif op[0] == "L":
            model.forget_limits()


# ---- shrinking


def disagrees(runner, spec, node, ops):
    """The disagreement at the last operation, or None."""
    policy, collected = make_policy(spec, node), []
    runner.policy(policy)
    compare(Model(policy, runner.sockets), ops, runner.run(ops), collected)
    return collected[-1] if collected and collected[-1].index == len(ops) - 1 else None


def same(found, wanted):
    return (
        found is not None
        and found.got[:2] == wanted.got[:2]
        and found.outcomes[0].passes == wanted.outcomes[0].passes
        and found.outcomes[0].why == wanted.outcomes[0].why
    )


def shrink(runner, spec, node, ops, found):
    """Drops what the disagreement does not need."""
    ops = ops[: found.index + 1]
    wanted = found

    def holds(try_spec, try_ops):
        try:
            return same(disagrees(runner, try_spec, node, try_ops), wanted)
        except (KeyError, ValueError, IndexError):
            return False

    size = max(1, len(ops) // 2)
    while size:
        at = 0
        while at < len(ops) - 1:
            shorter = ops[:at] + ops[min(at + size, len(ops) - 1) :]
            if len(shorter) < len(ops) and holds(spec, shorter):
                ops = shorter
            else:
                at += size
        size //= 2
    for key in list(spec):
        if key in ("interfaces", "workloads", "segments"):
            continue
        smaller = {k: v for k, v in spec.items() if k != key}
        if holds(smaller, ops):
            spec = smaller
            continue
        if isinstance(spec[key], list):
            for at in reversed(range(len(spec[key]))):
                smaller = dict(spec, **{key: spec[key][:at] + spec[key][at + 1 :]})
                if smaller[key] and holds(smaller, ops):
                    spec = smaller
    text = json.dumps({k: v for k, v in spec.items() if k != "segments"})
    for name in list(spec.get("segments", {})):
        rest = {k: v for k, v in spec["segments"].items() if k != name}
        if f'"{name}"' in text or f'"{name}"' in json.dumps(rest):
            continue
        smaller = dict(spec, segments=rest)
        if holds(smaller, ops):
            spec = smaller
    last = ops[-1]
    for cut in (64, 16, 8, 4, 1):
        while len(last[1]) - cut >= 15 and holds(spec, ops[:-1] + [(*last[:1], last[1][:-cut], *last[2:])]):
            last = (*last[:1], last[1][:-cut], *last[2:])
            ops = ops[:-1] + [last]
    return spec, ops


def to_json(spec, node, ops, found):
    frames = []
    for op in ops:
        if op[0] in "FA":
            frames.append({"frame": op[1].hex(), "hook": HOOKS[op[2]], "at": op[3], "arrived": op[4]})
            if op[0] == "A":
                frames[-1]["proof"] = True
            if len(op) > 6:
                frames[-1]["gso"] = list(op[6])
            if op[5]:
                frames[-1]["tag"] = list(op[5])
        else:
            frames.append({"op": op[0], "args": list(op[1:])})
    got = (("drop", "pass", "refused", "wrong answer", "answer")[found.got[0]], REASONS.get(found.got[1], "?"), found.got[2])
    return {
        "note": "",
        "programs": " ".join(map(str, got)),
        "model": [repr(o) for o in found.outcomes],
        "policy": spec,
        "forwarding": bool(node & FORWARDS),
        "bridged": bool(node & BRIDGED),
        "ops": frames,
    }


def from_json(case):
    ops = []
    for entry in case["ops"]:
        if "frame" in entry:
            tag = tuple(entry["tag"]) if "tag" in entry else None
            ops.append(("A" if entry.get("proof") else "F", bytes.fromhex(entry["frame"]), HOOKS.index(entry["hook"]), entry["at"], entry["arrived"], tag))
            if "gso" in entry:
                ops[-1] += (tuple(entry["gso"]),)
        else:
            ops.append((entry["op"], *entry["args"]))
    node = (FORWARDS if case["forwarding"] else 0) | (BRIDGED if case.get("bridged") else 0)
    return case["policy"], node, ops


# ---- chunks of work


def chunk_ops(r, spec, node, frames):
    """Frames one by one and in sequences. Where there are limits the clock mostly stands, or they would never bite."""
    hooks = generate.hooks_of(spec, node)
    expiry = 0.7 if "limits" not in spec or r.random() < 0.3 else 0.03
    ops, n, elapsed = [], 0, 0
    while n < frames:
        pick = r.random()
        if pick < 0.03 and "protect" in spec:
            more = generate.flood(r)
        elif pick < 0.4:
            more = generate.sequence(r, hooks)
        else:
            more = [("F", *generate.one(r, hooks)) for _ in range(r.choice([1, 4, 16]))]
        ops += more
        n += sum(op[0] in "FA" for op in more)
        elapsed += sum(op[1] for op in more if op[0] == "C")
        pick = r.random()
        if pick < 0.02:
            ops.append(("U",))
        elif pick < 0.04:
            item = r.choice([i for i in generate.ITEMS if "-" not in i and not i.endswith("/0")])
            ops.append(("K", item, r.choice([0, 5 * 10**9])))
            if r.random() < 0.5:
                ops.append(("C", 6 * 10**9))
                elapsed += 6 * 10**9
        if r.random() < expiry or elapsed > 8 * 10**9:
            ops.append(("X",))
            elapsed = 0
    return ops


def run_chunk(runner, seed, frames, keep, known):
    r = random.Random(seed)
    spec, node = generate.policy(r)
    spec["timeouts"] = TIMEOUTS
    policy = make_policy(spec, node)
    ops = chunk_ops(r, spec, node, frames)
    digest = hashlib.sha256(repr((spec, node, ops)).encode()).digest()
    seen, collected = {}, []
    runner.policy(policy)
    compare(Model(policy, runner.sockets), ops, runner.run(ops), collected, seen)
    n = sum(seen.values())
    fresh = []
    for found in collected:
        label = (found.got[0], REASONS.get(found.got[1], "?"), HOOKS[ops[found.index][2]], found.outcomes[0].passes,
                 tuple(sorted(found.outcomes[0].reasons)), found.outcomes[0].why)
        if label in known:
            continue
        known.add(label)
        small = shrink(runner, spec, node, ops, found)
        found = disagrees(runner, small[0], node, small[1]) or found
        path = os.path.join(keep, f"{seed & 0xFFFFFFFF:08x}-{len(known)}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(to_json(small[0], node, small[1], found), file, indent=1)
        fresh.append((path, label))
    return digest, n, seen, len(collected), fresh


def worker(number, jobs, results, keep):
    runner = Runner(number)
    known = set()
    for seed, frames in iter(jobs.get, None):
        results.put((seed, *run_chunk(runner, seed, frames, keep, known)))
    runner.close()
    results.put(None)


def table(seen):
    hooks = range(len(HOOKS))
    lines = ["reason                   " + "".join(f"{h:>10}" for h in HOOKS)]
    for value, name in sorted(REASONS.items()):
        counts = [seen.get((value, h), 0) for h in hooks]
        if any(counts):
            lines.append(f"{name or '(judged elsewhere)':24} " + "".join(f"{c:10}" for c in counts))
    return "\n".join(lines)


# Never given to a packet of these runs, and why.
ELSEWHERE = {"no_policy": "a policy is always loaded", "flow_full": "tests/prog", "limit_overflow": "tests/prog",
             "block_added": "a notice", "block_full": "a notice", "overflow_used": "a notice"}


def tell_progress(total, wanted, policies, seconds, wrong):
    """On a terminal one line that changes; elsewhere a line each minute."""
    rate = total / seconds
    left = max(0, wanted - total) / rate if rate else 0
    text = f"{total} of {wanted} frames, {policies} policies, {rate:.0f}/s, {left // 60:.0f}:{left % 60:02.0f} left, {wrong} disagreements"
    print(f"\r{text} \r" if sys.stderr.isatty() else text, end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def fuzz(args):
    jobs, results = multiprocessing.Queue(), multiprocessing.Queue()
    jobs.cancel_join_thread()  # what nobody takes must not keep us
    workers = [multiprocessing.Process(target=worker, args=(n, jobs, results, args.keep)) for n in range(args.jobs)]
    for w in workers:
        w.start()
    per = max(100, args.frames // args.policies)
    seeds = random.Random(args.seed)
    chunks = -(-args.frames // per)
    for _ in range(chunks):
        jobs.put((seeds.getrandbits(48), per))
    for _ in workers:
        jobs.put(None)
    begin, total, wrong, seen, labels, cases = time.monotonic(), 0, 0, {}, set(), []
    alive, told, digests = len(workers), begin, {}
    while alive:
        try:
            got = results.get(timeout=5)
        except multiprocessing.queues.Empty:
            if not any(w.is_alive() for w in workers):
                break
            continue
        if got is None:
            alive -= 1
            continue
        seed, digests[seed], n, more, bad, fresh = got
        total, wrong = total + n, wrong + bad
        for key, value in more.items():
            seen[key] = seen.get(key, 0) + value
        for path, label in fresh:
            if label in labels:
                os.unlink(path)
                continue
            labels.add(label)
            cases.append(path)
            print(f"disagreement: programs {'pass' if label[0] else 'drop'} {label[1]} at {label[2]}, "
                  f"model {'pass' if label[3] else 'drop'} {'|'.join(label[4])} ({label[5]}): {path}", flush=True)
        if time.monotonic() - told > (2 if sys.stderr.isatty() else 60):
            told = time.monotonic()
            tell_progress(total, args.frames, len(digests), told - begin, wrong)
    frames = hashlib.sha256(b"".join(digests[seed] for seed in sorted(digests))).hexdigest()[:16]
    print(table(seen))
    missing = [n for v, n in sorted(REASONS.items()) if n and n not in ELSEWHERE and not any(v == k[0] for k in seen)]
    print("never produced: " + (", ".join(missing) or "none"))
    print("not looked for: " + ", ".join(f"{n} ({why})" for n, why in ELSEWHERE.items() if n in REASONS.values()))
    seconds = time.monotonic() - begin
    print(f"{total} frames, {len(digests)} policies, {seconds:.0f} s, seed {args.seed}, digest {frames}: {wrong} disagreements")
    if len(digests) != chunks:
        print("a worker ended early")
    for path in cases[: args.show]:
        with open(path, encoding="utf-8") as file:
            print(f"{path}: {json.dumps(json.load(file))}")
    return not wrong and not missing and len(digests) == chunks


def regress(paths):
    runner, failed = Runner(), 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            case = json.load(file)
        spec, node, ops = from_json(case)
        policy, collected = make_policy(spec, node), []
        runner.policy(policy)
        compare(Model(policy, runner.sockets), ops, runner.run(ops), collected)
        found = collected[0] if collected else None
        name = os.path.basename(path)[:-5]
        if found is None:
            print(f"ok {name}")
        else:
            failed += 1
            passed, reason, homes = found.got
            print(f"not ok {name}: programs {passed} {REASONS.get(reason)} homes {homes}, model {found.outcomes}")
    runner.close()
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=1000000)
    parser.add_argument("--policies", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--keep", default=os.path.join(OUT, "fuzz"))
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--regress", nargs="*")
    args = parser.parse_args()
    if os.geteuid():
        print("programs are loaded by root only")
        return 77
    if args.regress is not None:
        return 1 if regress(args.regress) else 0
    args.policies = args.policies or max(100, args.frames // 3000)
    os.makedirs(args.keep, exist_ok=True)
    print(f"seed {args.seed}", flush=True)
    return 0 if fuzz(args) else 1


if __name__ == "__main__":
    sys.exit(main())
