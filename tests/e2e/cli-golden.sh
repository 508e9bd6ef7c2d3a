#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What the command line says without a kernel: help, usage errors, exit statuses, JSON of `check`. No privilege needed.
# Afterwards: python3 tests/lib/transcript.py --update tests/golden/cli/*.txt, and read the difference.
set -euo pipefail
cd "$(dirname "$0")/../.."
O=${O:-$PWD/build}
export WEIR=${WEIR:-$O/weir} TERM=dumb TZ=UTC LC_ALL=C.UTF-8
exec tests/lib/transcript.py tests/golden/cli/*.txt
