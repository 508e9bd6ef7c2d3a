#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What the commands say that read or change the kernel's state: their words, exit statuses, and the shape of their JSON.
# UPDATE=1 tests/e2e/cli-kernel.sh writes the golden file anew: read the difference.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib/lab.sh
. tests/lib/lab.sh
lab_start cli

lab_node
lab_host client 203.0.113.9 2001:db8:113::9
lab_workload app 10.42.0.10 2001:db8:42::10
listen node server tcp:8080
listen client far udp:5353

# One connection each of three; a datagram that leaves, which makes a flow.
cat >"$TMP/traffic" <<END
#!/bin/bash
for i in 1 2 3; do
	nsenter --net=/run/netns/$LAB-client "$WIRE" reach --wait 300 tcp:203.0.113.1:8080
done
nsenter --net=/run/netns/$LAB-node "$WIRE" reach --wait 1000 udp:203.0.113.9:5353
END
cat >"$TMP/inside" <<END
#!/bin/bash
exec nsenter --net=/run/netns/$LAB-node "$WEIR" --pin-dir $(pins) "\$@"
END
chmod +x "$TMP/traffic" "$TMP/inside"

export WEIR WEIR_ARGS="--netns $LAB-node" TERM=dumb TZ=UTC LC_ALL=C.UTF-8 PATH="$TMP:$PATH"
export WEIR_STATE_DIR="$TMP/state" WEIR_RUN_DIR="$TMP/run"
tests/lib/transcript.py ${UPDATE:+--update} tests/golden/cli/kernel/commands.txt || FAILED=1
finish
