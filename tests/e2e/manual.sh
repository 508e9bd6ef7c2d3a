#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# weir(8), the program's help and the bash completion know the same commands, options, JSON keys and reasons. No privilege.
set -euo pipefail
cd "$(dirname "$0")/../.."
O=${O:-$PWD/build}
WEIR=${WEIR:-$O/weir}
exec python3 - "$WEIR" <<'PYTHON'
import glob
import json
import re
import subprocess
import sys

failed = 0


def same(name, left, right, said_left, said_right):
    """Two sets that must be one; says what only one of them has."""
    global failed
    only_left, only_right = sorted(left - right), sorted(right - left)
    if left and not only_left and not only_right:
        print("ok " + name)
        return
    failed += 1
    print("not ok %s: only in %s: %s; only in %s: %s" % (name, said_left, only_left, said_right, only_right))


def sections(text, mark):
    """{title: body} of `.Sh` or `.Ss` sections."""
    parts = re.split(r"^\.%s +(.*)$" % mark, text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def flags(body):
    """Options of `.It Fl` lines: "-json", "n"."""
    return {flag for line in re.findall(r"^\.It Fl (.*)$", body, flags=re.M)
            for flag in re.findall(r"(?:^|, Fl )(\S+)", line)}


def known(options):
    return {"-" + o["name"] for o in options} | {o["letter"] for o in options if o["letter"]}


help_ = json.loads(subprocess.run([sys.argv[1], "help", "--json"], check=True, capture_output=True).stdout)
manual = sections(open("user/man/weir.8", encoding="utf-8").read(), "Sh")
commands = {re.match(r"\S+", title).group(): body for title, body in sections(manual["COMMANDS"], "Ss").items()}
names = {c["name"] for c in help_["commands"]}

same("every command is in weir(8)", set(commands), names, "weir(8)", "the program")
same("global options are in weir(8)", flags(manual["GLOBAL OPTIONS"]), known(help_["options"]), "weir(8)", "the program")
for command in help_["commands"]:
    own = known(command["options"])
    if own or flags(commands.get(command["name"], "")):
        same("options of %s are in weir(8)" % command["name"], flags(commands.get(command["name"], "")), own, "weir(8)",
             "the program")
        usage = set(re.findall(r"(?<![\w-])-(-[a-z-]+|[a-z])\b", command["usage"]))
        extra = usage - own
        missing = {o["name"] for o in command["options"] if not {"-" + o["name"], o["letter"]} & usage}
        same("usage line of %s names its options" % command["name"], {"x"} | extra | missing, {"x"}, "usage line", "options")

completion = open("scripts/completion.bash", encoding="utf-8").read()
listed = dict(re.findall(r"\[([a-z]+)\]='([^']*)'", completion))
same("bash completion knows the commands", set(listed), names, "completion", "the program")
same("bash completion knows the options",
     {(c, o) for c, text in listed.items() for o in text.split()} |
     {("", o) for o in re.search(r"global='([^']*)'", completion).group(1).split()},
     {(c["name"], "--" + o["name"]) for c in help_["commands"] for o in c["options"]} |
     {("", "--" + o["name"]) for o in help_["options"]}, "completion", "the program")

reasons = set(re.findall(r'X\(\d+,\s*\w+,\s*"(\w+)"', open("include/weir/reason.h", encoding="utf-8").read()))


def keys_in(body):
    """What `.Va` marks in a section of the manual."""
    return {key for line in re.findall(r"^\.(?:It )?Va (.*)$", body, flags=re.M)
            for key in re.findall(r"[a-z][a-z0-9_]+", line)}


# Each object by itself: the shapes in the golden transcripts are what the program printed.
shapes, command = {}, None
for path in glob.glob("tests/golden/cli/*.txt") + glob.glob("tests/golden/cli/kernel/*.txt"):
    for line in open(path, encoding="utf-8"):
        if line.startswith("$ "):
            words = re.match(r"\$ weir (\w+)(?: (\w+))?.*--json.*\| shape\b", line.rstrip())
            command = None if not words else \
                "show " + words.group(2) if words.group(1) == "show" else words.group(1)
        elif command and line.startswith("  ."):
            shapes.setdefault(command, set()).update(re.findall(r"\w+", line.split()[0]))
        elif command and line.startswith("  []"):
            shapes.setdefault(command, set()).update(re.findall(r"\w+", line.split()[0]))
objects = {}
for title, body in sections(manual["JSON OUTPUT"], "Ss").items():
    for name in title.split(", "):
        objects[name] = keys_in(body)
objects["apply"] |= objects["check"] - {"valid", "canonical", "error", "segments", "budget", "addresses", "classes", "pairs", "cells",
                                        "bytes"}
for name, printed in sorted(shapes.items()):
    printed -= reasons if name == "status" else set()
    # What the golden runs have no case of.
    extra = {"check": {"error", "canonical"}, "apply": {"failures", "file", "line", "column", "message"},
             "show limits": {"entry"}, "status": {"count", "last", "latency_ns", "work_ns", "written_bytes", "total_work_ns"}}.get(name, set())
    same("JSON of %s is what weir(8) says" % name, objects[name] | extra, printed | extra, "weir(8)", "the golden shape")

put = set()
for path in glob.glob("user/cmd/*.c"):
    put |= set(re.findall(r'json_put\w*\(\s*[^,;]+,\s*"(\w+)"', open(path, encoding="utf-8").read()))
audit = re.search(r"#define AUDIT_KEYS\(X\)(.*?)\n\n", open("user/audit/format.h", encoding="utf-8").read(), re.S).group(1)
put |= set(re.findall(r"X\((\w+)\)", audit))
homes = re.search(r"home_names\[\] = \{(.*?)\};", open("user/cmd/status.c", encoding="utf-8").read(), re.S).group(1)
put |= set(re.findall(r'"(\w+)"', homes))
# Objects with the same keys in several places: json_put_count(), json_put_position() and so on write literals as well.
same("every JSON key is in weir(8)", keys_in(manual["JSON OUTPUT"]), put, "weir(8)", "the program")

same("every reason is in weir(8)", set(re.findall(r"^\.It Cm (\S+)$", manual["REASONS"], flags=re.M)), reasons, "weir(8)",
     "reason.h")
sys.exit(1 if failed else 0)
PYTHON
