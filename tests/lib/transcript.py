#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Transcripts: what a person types, and exactly what comes back.

    # name of the test
    $ command line (bash; `weir` is the program under test)
      a line of standard output, after two spaces
    ! a line of standard error
    ? exit status, when it is not 0

transcript.py [--update] FILE...: runs every command, in the file's directory, and reports "ok NAME" or "not ok NAME" with
the difference. --update writes what came back into the file. WEIR is the program, WEIR_ARGS what every call begins with.
`shape` reads JSON and prints each path with its type; `spans` makes lengths of time, and columns that hold them, alike.
"""
import difflib
import json
import os
import re
import subprocess
import sys

PRELUDE = """
weir() { "$WEIR" $WEIR_ARGS "$@"; }
shape() { "$TRANSCRIPT" --shape; }
spans() { sed -E 's/\\b[0-9.]+( ms|s|m|h)( [0-9]+[ms])?\\b/SPAN/g' | tr -s ' '; }
"""

# What differs from machine to machine, and from run to run.
FILTERS = [
    (re.compile(r"/tmp/\S*?/(?=[\w.-]+:)"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?"), "DATE"),
    (re.compile(r"weir-test-[0-9]+-"), "weir-test-"),
    (re.compile(r"[0-9.]+ ([KMG]i)?B of kernel memory"), "N of kernel memory"),
    (re.compile(r'"(bytes|sha256)": ("?)[0-9a-f]+'), r'"\1": \2N'),
    (re.compile(r"[0-9a-f.:]+ \(self\)"), "ADDRESS (self)"),
]


def shape(value, path, out):
    """Path -> types; elements of a list are merged."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            shape(inner, path + "." + key, out)
    elif isinstance(value, list) and value:
        for inner in value:
            shape(inner, path + "[]", out)
    else:
        names = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "text"}
        out.setdefault(path or ".", set()).add(names.get(type(value), json.dumps(value)))


def print_shape():
    out = {}
    shape(json.load(sys.stdin), "", out)
    for path, types in out.items():
        print(path, "|".join(sorted(types)))


def read(path):
    """The file as ("text", line) and ("case", name, command, wanted lines)."""
    parts, name = [], None
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith("$ "):
            parts.append(("case", name or line[2:], line[2:], []))
            name = None
        elif re.match(r"(  |! |!$|\? )", line) and parts and parts[-1][0] == "case":
            parts[-1][3].append(line)
        else:
            parts.append(("text", line))
            if line.startswith("# "):
                name = line[2:]
    return parts


def run(command, where):
    done = subprocess.run(["bash", "-c", PRELUDE + command], cwd=where, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=120, check=False)
    lines = []
    for mark, text in (("  ", done.stdout), ("! ", done.stderr)):
        text = text.decode("utf-8", "backslashreplace")
        for pattern, by in FILTERS:
            text = pattern.sub(by, text)
        lines += [(mark + line).rstrip() if line else mark.rstrip() or "  " for line in text.splitlines()]
    if done.returncode:
        lines.append("? %d" % done.returncode)
    return lines


def judge(name, wanted, got):
    wanted = [line if line.strip() else line.rstrip() or "  " for line in wanted]
    if wanted == got:
        print("ok " + name)
        return True
    print("not ok " + name)
    for line in difflib.unified_diff(wanted, got, "wanted", "got", lineterm=""):
        print("    " + line)
    return False


def transcript(path, update):
    good, fresh = True, []
    where = os.path.dirname(os.path.abspath(path))
    for part in read(path):
        if part[0] == "text":
            fresh.append(part[1])
            continue
        got = run(part[2], where)
        fresh += ["$ " + part[2]] + got
        if not update:
            good = judge(part[1], part[3], got) and good
        sys.stdout.flush()
    if update:
        open(path, "w", encoding="utf-8").write("\n".join(fresh) + "\n")
    return good


def main():
    arguments = sys.argv[1:]
    if arguments == ["--shape"]:
        return print_shape()
    os.environ["TRANSCRIPT"] = os.path.abspath(__file__)
    os.environ.setdefault("WEIR_ARGS", "")
    update = "--update" in arguments
    results = [transcript(path, update) for path in arguments if path != "--update"]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
