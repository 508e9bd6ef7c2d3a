#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Inputs that are no text are kept as text: hexadecimal, 32 bytes a line, with comments.

hex.py unpack DIRECTORY FILE.hex...   write each as bytes: DIRECTORY/FILE
hex.py pack DIRECTORY FILE...         the reverse: DIRECTORY/FILE.hex
"""

import pathlib
import sys

SPDX = "# SPDX-License-Identifier: GPL-2.0-only\n"


def unpack(text):
    return bytes.fromhex("".join(line.partition("#")[0] for line in text.splitlines()))


def pack(data):
    lines = [data[at : at + 32].hex() for at in range(0, len(data), 32)]
    return SPDX + "".join(line + "\n" for line in lines)


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("pack", "unpack"):
        sys.exit(__doc__)
    directory = pathlib.Path(sys.argv[2])
    for name in sys.argv[3:]:
        path = pathlib.Path(name)
        if sys.argv[1] == "unpack":
            (directory / path.stem).write_bytes(unpack(path.read_text()))
        else:
            (directory / (path.name + ".hex")).write_text(pack(path.read_bytes()))


main()
