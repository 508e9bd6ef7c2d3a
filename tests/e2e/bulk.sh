#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Bulk transfers in big segments and aggregates, at native XDP, generic XDP, TC and a workload's veth: what is allowed
# arrives whole and fast, and a limit on bytes holds it to its rate.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start bulk
lab_node
lab_nic eth1 192.0.2.1/24 2001:db8:2::1/64
lab_nic eth2 198.51.100.129/25 2001:db8:52::1/64
lab_host native 203.0.113.10 2001:db8:113::10
lab_host generic 192.0.2.10 2001:db8:2::10 eth1
lab_host tc 198.51.100.130 2001:db8:52::130 eth2 198.51.100.129
lab_workload web 10.42.1.7 2001:db8:42:1::7
lab_workload db 10.42.3.79 2001:db8:42:3::79
for role in node web; do listen $role $role.log drain:8000 drain:8001 drain:8002; done

policy <<'POLICY'
interfaces: [{name: eth0, xdp: native}, {name: eth1, xdp: generic}, {name: eth2, xdp: off}]
workloads: ["veth*"]
default: {ingress: deny, egress: deny, forward: deny}
allow: [{from: any, to: [self, workloads], port: [tcp/8000, tcp/8001]}]
limits:
  - {name: bulk-self, to: self, port: tcp/8001, count: bytes, rate: 10MB/s, burst: 1MB}
  - {name: bulk-workload, to: workloads, port: tcp/8001, count: bytes, rate: 10MB/s, burst: 1MB}
POLICY

# push NAME ROLE TARGET BYTES
push() {
	at "$2" timeout 20 "$WIRE" push --bytes "$4" "tcp:$3" >"$TMP/push.$1" 2>&1 &
	PUSHED+=($!)
}
# All at once would be one line for six: half of the bytes are limited, and the lab's two CPUs are enough for that.
PUSHED=()
for port in 8000 8001; do
	bytes=$((port == 8000 ? 20000000 : 8000000))
	push native.$port native 203.0.113.1:$port $bytes
	push native6.$port native 2001:db8:113::1:$port $bytes
	push generic.$port generic 192.0.2.1:$port $bytes
	push tc.$port tc 198.51.100.129:$port $bytes
	push workload.$port generic 10.42.1.7:$port $bytes
	push neighbour.$port db 2001:db8:42:1::7:$port $bytes
done
for pid in "${PUSHED[@]}"; do wait "$pid" || true; done
for way in native native6 generic tc workload neighbour; do
	same "$way: an unlimited transfer arrives whole" "$(sed 's/ in.*//' "$TMP/push.$way.8000")" "20000000 bytes"
	# 8,000,000 bytes of payload are more on the wire; 1 MB goes at once, and one aggregate may begin before its time.
	ms=$(sed -n 's/^8000000 bytes in \([0-9]*\)[0-9]\{6\} ns$/\1/p' "$TMP/push.$way.8001")
	between "$way: a limit of 10 MB/s holds 8 MB for 0.69 s and more" "${ms:-$(cat "$TMP/push.$way.8001")}" 690 15000
done
reach "what is not allowed is silent at each of them" native tcp:203.0.113.1:8002=silent tcp:10.42.1.7:8002=silent
reach "… generic" generic tcp:192.0.2.1:8002=silent
reach "… TC" tc tcp:198.51.100.129:8002=silent
finish
