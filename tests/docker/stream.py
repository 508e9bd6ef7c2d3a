#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The engine's socket, cut at random while containers come and go; after each cut weir must end in the right state.

stream.py build            networks and containers
stream.py proxy            listens at PROXY, hands on to the engine; commands on standard input: cut HOW, whole
stream.py cut COUNT SEED   COUNT rounds

A round does two things to containers at random moments, and cuts at a random one: all connections or the stream alone, at
once, or in the middle of what is being said, or after silence; the socket may refuse everybody for a while then. The right
state is the engine's: bindings by bpftool, what names stand for by `weir show segments`, and packets.
"""

import os
import random
import select
import socket
import subprocess
import sys
import threading
import time

from dock import Engine, EngineError, check, finish, progress, until, weir_json
import state

POOL = 8
HUB, STRANGER = ("172.31.0.2", "2001:db8:31::2"), ("172.31.0.3", "2001:db8:31::3")


def build(engine):
    engine.network("pool", ["172.31.0.0/24", "2001:db8:31::/64"])
    engine.network("second", ["172.31.1.0/24", "2001:db8:32::/64"])
    for name, (v4, v6) in (("hub", HUB), ("stranger", STRANGER)):
        engine.create(name, ["wire", "listen", "tcp:7001"], "pool", v4, v6)
        engine.start(name)
    for i in range(POOL):
        create(engine, i)


def create(engine, i):
    engine.create(
        f"c{i}",
        ["wire", "listen", "tcp:7001"],
        "pool",
        Labels={"com.docker.compose.project": "test", "com.docker.compose.service": "even" if i % 2 == 0 else "odd"},
    )


# ---- the proxy


class Proxy:
    """One thread. @budget: bytes of answers that still pass before the cut, None: all."""

    def __init__(self, path, engine):
        self.engine = engine
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(64)
        self.pairs = {}  # socket: (peer, is the engine's side)
        self.streams = set()
        self.budget = {}
        self.closed_until = 0
        self.stalled = False
        self.cuts = 0

    def accept(self):
        client = self.listener.accept()[0]
        if time.monotonic() < self.closed_until:
            client.close()
            return
        engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            engine.connect(self.engine)
        except OSError:
            client.close()
            return
        self.pairs[client] = (engine, False)
        self.pairs[engine] = (client, True)

    def drop(self, s):
        peer, _ = self.pairs.pop(s, (None, False))
        self.streams.discard(s)
        self.budget.pop(s, None)
        s.close()
        if peer:
            self.pairs.pop(peer, None)
            self.streams.discard(peer)
            self.budget.pop(peer, None)
            peer.close()

    def move(self, s):
        peer, from_engine = self.pairs[s]
        try:
            data = s.recv(65536)
            if not data:
                raise OSError
            if not from_engine and b"/events" in data[:256]:
                self.streams.add(peer)  # the engine's side of it
            if from_engine and s in self.budget:
                data = data[: self.budget[s]]
                self.budget[s] -= len(data)
            if data:
                peer.sendall(data)
            if from_engine and self.budget.get(s) == 0:
                self.cuts += 1
                raise OSError
        except OSError:
            self.drop(s)

    def cut(self, how):
        """stream|all, then now|after BYTES|stall, then for how many ms nobody may connect."""
        which, when, amount, closed = how[0], how[1], int(how[2]), int(how[3])
        sides = [s for s, (_, engine) in self.pairs.items() if engine and (which == "all" or s in self.streams)]
        self.closed_until = time.monotonic() + closed / 1000
        if when == "after":
            for s in sides:
                self.budget[s] = amount + 1
        elif when == "stall":
            self.stalled = True
        else:
            for s in sides:
                self.cuts += 1
                self.drop(s)

    def whole(self):
        """Nothing is in the way any more; what was to be cut and said nothing since is cut now."""
        self.closed_until = 0
        for s in [*self.budget] + ([s for s, (_, engine) in self.pairs.items() if engine] if self.stalled else []):
            if s in self.pairs:
                self.cuts += 1
                self.drop(s)
        self.stalled = False

    def run(self):
        print("ready", flush=True)
        while True:
            watched = [sys.stdin, self.listener] + ([] if self.stalled else list(self.pairs))
            for s in select.select(watched, [], [], 1)[0]:
                if s is sys.stdin:
                    words = sys.stdin.readline().split()
                    if not words:
                        return
                    if words[0] == "cut":
                        self.cut(words[1:])
                    else:
                        self.whole()
                        print(self.cuts, flush=True)
                elif s is self.listener:
                    self.accept()
                elif s in self.pairs and not self.stalled:
                    self.move(s)


# ---- rounds


class Rounds:
    def __init__(self, engine, seed):
        self.engine = engine
        self.random = random.Random(seed)
        self.running = set()
        self.second = set()
        self.exists = set(range(POOL))
        self.problems = []

    def something(self, i):
        """One of the things that happen to containers, to the one with this number."""
        e, name = self.engine, f"c{i}"
        try:
            if i not in self.exists:
                create(e, i)
                self.exists.add(i)
                e.start(name)
                self.running.add(i)
            elif i not in self.running:
                e.start(name)
                self.running.add(i)
            else:
                what = self.random.random()
                if what < 0.5:
                    e.stop(name)
                    self.running.discard(i)
                elif what < 0.65:
                    e.remove(name)
                    self.running.discard(i)
                    self.exists.discard(i)
                    self.second.discard(i)
                elif i in self.second:
                    e.call("POST", "/networks/second/disconnect", {"Container": name, "Force": True})
                    self.second.discard(i)
                else:
                    e.call("POST", "/networks/second/connect", {"Container": name})
                    self.second.add(i)
        except EngineError as error:
            self.problems.append(str(error))


def stand_for(engine):
    """{(kind, name): addresses} that the policy's names stand for, by the engine's own word."""
    running = engine.running()
    found = {("network", n): set() for n in ("pool", "second")}
    found |= {("compose", f"test/{s}"): set() for s in ("even", "odd")}
    found |= {("container", n): set() for n in ("hub", "c0", "c1")}
    for name, networks in running.items():
        for network, addresses in networks.items():
            found["network", network] |= set(addresses)
            if ("container", name) in found:
                found["container", name] |= set(addresses)
            if name.startswith("c"):
                found["compose", "test/even" if int(name[1:]) % 2 == 0 else "test/odd"] |= set(addresses)
    return found


def wrong(engine):
    found = state.differs(engine)
    want = stand_for(engine)
    got = {(f["kind"], f["name"]): set(f["addresses"]) for s in weir_json("show", "segments") for f in s.get("followed", [])}
    for key, addresses in want.items():
        if got.get(key) != addresses:
            found.append(f"{key} stands for {sorted(got.get(key, ()))}, wanted {sorted(addresses)}")
    return found


def packets(engine, rounds, denied):
    """A container that runs reaches the hub, and (@denied; silence takes its time) nobody else, by what is in the kernel."""
    if not rounds.running:
        return []
    name = f"c{rounds.random.choice(sorted(rounds.running))}"
    netns = engine.netns(name)
    asked = [f"tcp:{a}:7001" for a in (*HUB, *(STRANGER if denied else ()))]
    got = subprocess.run(
        ["nsenter", f"--net={netns}", os.environ["WIRE"], "reach", "--wait", "1500", *asked], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    want = [f"{a} {'open' if a[4:-5] in HUB else 'silent'}" for a in asked]
    return [] if got == want else [f"{name}: {got}"]


def cut(engine, count, seed):
    print(f"seed {seed}")
    rounds = Rounds(engine, seed)
    r = rounds.random
    proxy = subprocess.Popen(
        [sys.executable, __file__, "proxy"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert proxy.stdout.readline() == "ready\n"
    weir_run = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{os.environ['LAB']}-node", os.environ["WEIR"], "--netns", f"{os.environ['LAB']}-node"]
        + ["--engine", os.environ["PROXY"], "run", os.environ["POLICY"]],
        stdout=subprocess.DEVNULL,
        stderr=open(os.environ["POLICY"] + ".log", "w", encoding="utf-8"),
    )
    try:
        until(20, lambda: weir_generation() > 0, 0.1)
        failed, slowest, cuts, took = [], 0.0, 0, []
        for n in range(count):
            when = [r.random() * 0.3 for _ in range(3)]
            which = r.sample(range(POOL), 2)
            how = [
                r.choice(["stream", "stream", "all"]),
                r.choice(["now", "after", "after", "stall"]),
                str(r.choice([0, 1, 5, r.randrange(300), r.randrange(5000)])),
                str(r.choice([0, 0, r.randrange(400)])),
            ]
            timers = [threading.Timer(when[k], rounds.something, (i,)) for k, i in enumerate(which)]
            timers.append(threading.Timer(when[2], proxy.stdin.write, ("cut " + " ".join(how) + "\n",)))
            for t in timers:
                t.start()
            for t in timers:
                t.join()
            time.sleep(r.random() * 0.1)
            proxy.stdin.write("whole\n")
            cuts = int(proxy.stdout.readline())
            since = time.monotonic()
            until(15, lambda: not wrong(engine), 0.02)
            bad = wrong(engine) + packets(engine, rounds, n % 10 == 0)
            if weir_run.poll() is not None:
                bad.append("weir run ended")
            took.append(time.monotonic() - since)
            slowest = max(slowest, took[-1])
            if bad:
                failed.append(f"round {n}, {how}: {bad[:3]}")
                print(failed[-1])
            if (n + 1) % 20 == 0:
                progress(f"    {n + 1} of {count} rounds, {cuts} cuts, {len(failed)} wrong")
        print(f"{count} rounds, {cuts} connections cut; right again after at most {slowest:.2f} s, median {sorted(took)[len(took) // 2]:.2f} s")
        check(f"cut {count} times at random, each time the right state follows", not failed, f"seed {seed}: {len(failed)}, first {failed[:1]}")
        check("connections were cut in each kind of round", cuts >= count * 0.7, f"{cuts}")
        check("the engine did what it was asked", not rounds.problems, str(rounds.problems[:3]))
        for i in rounds.exists.copy():
            engine.remove(f"c{i}")
        until(10, lambda: not wrong(engine), 0.1)
        check("all removed, nothing is left", not wrong(engine), str(wrong(engine)[:3]))
    finally:
        weir_run.terminate()
        weir_run.wait()
        proxy.stdin.close()
        proxy.terminate()


def weir_generation():
    try:
        return weir_json("status").get("generation") or 0
    except RuntimeError:
        return 0


if __name__ == "__main__":
    if sys.argv[1] == "proxy":
        Proxy(os.environ["PROXY"], Engine().path).run()
        sys.exit(0)
    if sys.argv[1] == "build":
        build(Engine())
    else:
        cut(Engine(), int(sys.argv[2]), int(sys.argv[3]))
    finish()
