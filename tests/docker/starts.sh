#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# STARTS containers (40) start and stop under load, four at once, with weir run following the engine. Each sends from its
# first instruction to everybody, everybody sends to it: 0 denied packets arrive at either end, what is allowed works
# soon, and nothing of them is left. `make test-docker TESTS=starts STARTS=1000` is the long one.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"
# shellcheck source=tests/lib/engine.sh
. "$(dirname "$0")/../lib/engine.sh"
HERE=$ROOT/tests/docker
lab_start docker-starts
engine_needs docker-starts
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_host other 203.0.113.20 2001:db8:113::20
# As its release has it; without ip6tables of its own the engine keeps nobody apart in IPv6.
engine_start --ip6tables=false
export LAB WIRE WEIR ENGINE_INIT
export NEWCOMER=$TMP/newcomer
"${CC:-cc}" -O2 -static -std=gnu11 -Wall -Wextra -D_GNU_SOURCE -o "$NEWCOMER" "$HERE/newcomer.c"
starts() { "$PYTHON" "$HERE/starts.py" "$@" || FAILED=$((FAILED + 1)); }

starts build
starts ground
cat >"$TMP/policy.yaml" <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: {ingress: deny, egress: deny, forward: deny}
segments:
  newcomers: [{compose: test/newcomer}]
  hub: [{container: hub}]
  others: {members: [{network: pool}, {network: elsewhere}], except: [{container: hub}]}
allow:
  - {name: newcomers-to-hub, from: newcomers, to: hub, port: udp/7001}
deny:
  - {name: newcomers-to-others, from: newcomers, to: others}
limits:
  - {name: newcomers-rate, from: newcomers, to: hub, port: udp/7001, count: packets, rate: 100000/second, burst: 1000}
POLICY
spawn node weir-run "$WEIR" --netns "$LAB-node" run "$TMP/policy.yaml"
until_true 20 sh -c "'$WEIR' --netns '$LAB-node' status --json | grep -q '\"generation\": *[1-9]'" ||
	{ not_ok "weir run comes up" "$(tail -n 3 "$TMP/weir-run.err" | tr '\n' ' ')"; exit 1; }
same "what is bound is what runs" "$("$PYTHON" "$HERE/state.py" differs 5)" ''
starts run "${STARTS:-40}" "${LAB_PIDS[weir-run]}"
same "what is bound is what still runs" "$("$PYTHON" "$HERE/state.py" differs 5)" ''
tail -n 5 "$TMP/weir-run.err"
weir status | grep -v '^ *veth' | head -n 40
finish
