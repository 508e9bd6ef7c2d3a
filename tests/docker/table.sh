#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The guide's compose networks on a real engine: who reaches whom, in full, IPv4 and IPv6. First as the engine leaves it,
# then with the policy that `weir import compose` makes (what the compose file means), then with the ready-made one (what
# the guide says). Expected tables come from the compose file alone.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"
# shellcheck source=tests/lib/engine.sh
. "$(dirname "$0")/../lib/engine.sh"
HERE=$ROOT/tests/docker
lab_start docker-table
engine_needs docker-table
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_host other 203.0.113.20 2001:db8:113::20
export LAB WIRE WEIR ENGINE_INIT

table() { "$PYTHON" "$HERE/table.py" "$@" || FAILED=$((FAILED + 1)); }

# in_force FILE: by weir run, which follows the engine
in_force() {
	cp "$1" "$TMP/in-force.yaml"
	daemon weir-run "$TMP/in-force.yaml"
	until_true 20 sh -c "'$WEIR' --netns '$LAB-node' status --json | grep -q '\"generation\": *[1-9]'" ||
		not_ok "$2: weir run comes up" "$(tail -n 3 "$TMP/weir-run.err" | tr '\n' ' ')"
	until_true 10 no_veth_closed || not_ok "$2: every container's veth is open" "$(closed_veths)"
}

# Workloads that the table of interfaces holds closed.
closed_veths() {
	"$BPFTOOL" -j map dump pinned "$(pins)/maps/weir_iface" |
		json "[e['formatted']['key'] for e in d if int(str(e['formatted']['value']['flags']), 0) & 0xa == 0xa]"
}
# shellcheck disable=SC2317 # by until_true
no_veth_closed() { [ "$(closed_veths)" = '[]' ]; }

out_of_force() {
	stop weir-run
	weir detach >/dev/null
}

# variant NAME COMPOSE [OPTION…]: with these options of the engine
variant() {
	local name=$1 file=$2
	shift 2
	compose -p kato -f "$file" up -d >"$TMP/compose.out" 2>&1 || not_ok "$name: compose up" "$(tail -n 3 "$TMP/compose.out")"
	listen node listen-node tcp:2222 udp:2222
	listen client listen-client tcp:2222 udp:2222
	echo "== $name: without weir"
	table measure "$TMP/table.json"
	table print "$TMP/table.json"
	table ground "$TMP/table.json" "$file" "$name without weir"

	if weir import compose -p kato "$file" >"$TMP/imported.yaml" 2>"$TMP/import.err"; then
		ok "$name: the compose file is imported"
		echo "== $name: the imported policy"
		cat "$TMP/imported.yaml" "$TMP/import.err"
		in_force "$TMP/imported.yaml" "$name imported"
		table measure "$TMP/table.json"
		table print "$TMP/table.json"
		table compare "$TMP/table.json" "$file" compose "$name imported"
		out_of_force
	else
		not_ok "$name: the compose file is imported" "$(cat "$TMP/import.err")"
	fi

	echo "== $name: kato-docker.yaml"
	in_force "$ROOT/scripts/policies/kato-docker.yaml" "$name kato-docker"
	table measure "$TMP/table.json"
	table print "$TMP/table.json"
	table compare "$TMP/table.json" "$file" guide "$name kato-docker"
	same "$name: the audit is kept here" "$([ -s "$TMP/log/weir/audit.jsonl" ] && echo kept)" kept
	out_of_force
	stop listen-node listen-client
	compose -p kato -f "$file" down -t 0 >/dev/null 2>&1 || not_ok "$name: compose down"
}

engine_start
export ENGINE_INIT
# Else this engine's own filter drops neighbour discovery inside of an internal network.
at node sysctl -qw net.bridge.bridge-nf-call-ip6tables=0
variant IPv4 "$HERE/guide.yaml"
variant IPv6 "$HERE/guide6.yaml"
engine_stop
# As this release's engine is unless told otherwise: no rule of its own holds for IPv6, and a proxy serves the ports.
at node sh -c 'ip6tables -P FORWARD ACCEPT; ip6tables -F; ip6tables -X; ip6tables -t nat -F; ip6tables -t nat -X'
engine_again --ip6tables=false
variant "IPv6 unfiltered" "$HERE/guide6.yaml"
finish
