#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Between weir run and the engine's socket stands a proxy that cuts connections at random, 100 times, in the middle of
# what is being said, while containers come and go: each time the right state follows. SEED=… repeats a run.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"
# shellcheck source=tests/lib/engine.sh
. "$(dirname "$0")/../lib/engine.sh"
HERE=$ROOT/tests/docker
lab_start docker-stream
engine_needs docker-stream
lab_node
engine_start --ip6tables=false
cat >"$TMP/policy.yaml" <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: {ingress: deny, egress: deny, forward: deny}
segments:
  hub: [{container: hub}]
  pool: [{network: pool}]
  second: [{network: second}]
  even: [{compose: test/even}]
  odd: [{compose: test/odd}]
  firsts: [{container: c0}, {container: c1}]
allow:
  - {from: [even, odd], to: hub, port: tcp/7001}
  - {from: second, to: second, port: tcp/7002}
deny:
  - {from: firsts, to: pool, port: tcp/7003}
POLICY
export LAB WIRE WEIR ENGINE_INIT PROXY=$TMP/proxy.sock POLICY=$TMP/policy.yaml
"$PYTHON" "$HERE/stream.py" build || FAILED=1
"$PYTHON" "$HERE/stream.py" cut "${CUTS:-100}" "${SEED:-$RANDOM}" || FAILED=1
sort "$TMP/policy.yaml.log" | sed 's/[0-9.]* ms.*//; s/generation [0-9]*//' | uniq -c | sort -rn | head -n 8
finish
