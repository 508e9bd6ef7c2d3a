# SPDX-License-Identifier: GPL-2.0-only
"""Holds what passed a limit against the definition of GCRA (ITU-T I.371, virtual scheduling), frame by frame.

gcra.py TIMES PASSED INTERVAL_NS BURST [--cost UNITS] [--slack-ms MS]
  TIMES:  "ID NS ..." a line, when each frame met the limit;  PASSED: "ID ..." a line, the frames that passed
  Each frame costs UNITS (bytes of a packet; 1 for packets and connections) of INTERVAL_NS; BURST is in units. A frame
  conforms when the state is not later than now + BURST * INTERVAL_NS, whatever its own cost.

A frame that passed must have conformed, one that did not must not have, both within MS: the time on the wire and the
limiter's clock tick lie between the stamp and the decision. The state goes on with what was decided, so one wrong
decision is named once. Prints a summary; exit status 1 when a decision was wrong.
"""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("times")
parser.add_argument("passed")
parser.add_argument("interval_ns", type=float)
parser.add_argument("burst", type=float)
parser.add_argument("--cost", type=float, default=1)
parser.add_argument("--slack-ms", type=float, default=8)
args = parser.parse_args()

frames = [(int(i), int(ns)) for i, ns in (line.split()[:2] for line in open(args.times))]
passed = [int(line.split()[0]) for line in open(args.passed)]
slack, cost = args.slack_ms * 1e6, args.cost * args.interval_ns
tolerance = args.burst * args.interval_ns
wrong, tat, seen = [], 0.0, set(passed)

if len(seen) != len(passed):
    wrong.append(f"{len(passed) - len(seen)} frames arrived twice")
if seen - {i for i, _ in frames}:
    wrong.append(f"frames that were never sent: {sorted(seen - {i for i, _ in frames})[:5]}")
for i, now in sorted(frames, key=lambda frame: frame[1]):
    early = tat - (now + tolerance)
    if i in seen:
        if early > slack:
            wrong.append(f"frame {i} passed {early / 1e6:.1f} ms too early")
        tat = max(tat, now) + cost
    elif early < -slack:
        wrong.append(f"frame {i} was refused though {-early / 1e6:.1f} ms late enough")
print(f"sent {len(frames)} passed {len(seen)} wrong {len(wrong)}")
for text in wrong[:5]:
    print(text)
raise SystemExit(bool(wrong))
