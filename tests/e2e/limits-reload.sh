#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Changes of policy and restarts of the daemon grant nobody a second burst: a source that always sends ten times its rate
# gets burst + rate x time, to 1 %, while policies are swapped in, regions of limits move and the daemon is killed.
# shellcheck disable=SC2317 # called by held
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

SECONDS_EACH=${SECONDS_EACH:-6}
lab_start limits-reload
lab_node
lab_host client 203.0.113.10 2001:db8:113::10

# rules FILE ENTRIES [LIMIT]...: the limit `it` with that many entries, others before it, and a rule that changes always
rules() {
	local file=$1 entries=$2
	shift 2
	cat >"$TMP/$file.yaml" <<-POLICY
		interfaces: [eth0]
		default: {ingress: allow, egress: allow, forward: deny}
		deny: [{from: 192.0.2.$((RANDOM % 250 + 1)), to: self}]
		limits: [$* {name: it, to: self, port: udp/2000, count: packets, rate: 100/second, burst: 100, entries: $entries}]
	POLICY
}
counts() { weir show counters --json | json "[c['$2']['packets'] for c in d if c['kind'] == 'limit' and c['rule'] == '$1'][0]"; }

# held NAME COMMAND...: what passes while COMMAND is run again and again
held() {
	local name=$1 before times=0 took bound passed
	shift
	sleep 1.2 # an allowance that is full
	before=$(counts it passed)
	spawn client flood "$WIRE" send --dev eth0 --dmac "$(mac_of node)" --from 203.0.113.200 --to 203.0.113.1 \
		--proto udp --dport 2000 --rate 1000 --count $((SECONDS_EACH * 1000)) --times "$TMP/times"
	sleep 0.3
	while kill -0 "${LAB_PIDS[flood]}" 2>/dev/null; do
		"$@" "$times" >/dev/null 2>"$TMP/err" || not_ok "$name" "$(cat "$TMP/err")"
		times=$((times + 1))
	done
	wait "${LAB_PIDS[flood]}" || true
	unset "LAB_PIDS[flood]"
	passed=$(($(counts it passed) - before))
	took=$(awk 'NR == 1 { first = $2 } { last = $2 } END { printf "%.0f\n", last - first }' "$TMP/times")
	bound=$((100 + took / 10000000))
	# One unit, and the 6 ms of the limiter's tick and of the way from a frame's stamp to its decision.
	between "$name, $times times in $((took / 1000000)) ms: $passed admitted, burst + rate x time is $bound" "$passed" $((bound - bound / 100 - 1)) \
		$((bound + 2))
}

rules same 1000
weir apply "$TMP/same.yaml" >/dev/null
again() {
	rules same 1000
	weir apply "$TMP/same.yaml"
	sleep 0.2
}
held "apply of other rules" again

regions() {
	local before=''
	if [ $(($1 % 2)) = 0 ]; then before='{name: other, to: self, port: udp/2001, count: packets, rate: 1/second, entries: 5000},'; fi
	rules region $((1000 + $1 % 3 * 4000)) "$before"
	weir apply "$TMP/region.yaml"
	sleep 0.2
}
held "apply that moves and resizes the limit's region" regions

start_daemon() { spawn node daemon "$WEIR" --netns "$LAB-node" run "$TMP/same.yaml"; }
restart() {
	sleep 0.4
	kill -KILL "${LAB_PIDS[daemon]}"
	wait "${LAB_PIDS[daemon]}" 2>/dev/null || true
	start_daemon
}
rules same 1000
start_daemon
sleep 1
held "the daemon killed and started again" restart
finish
