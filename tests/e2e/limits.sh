#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Limits on connections, packets and bytes, at native XDP, generic XDP and TC, for IPv4 and IPv6: a burst and then a try
# each 100 ms, every single decision held against the definition of GCRA.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start limits
lab_node
lab_nic eth1 192.0.2.1/24 2001:db8:2::1/64
lab_nic eth2 198.51.100.129/25 2001:db8:52::1/64
lab_host native 203.0.113.10 2001:db8:113::10
lab_host generic 192.0.2.10 2001:db8:2::10 eth1
lab_host tc 198.51.100.130 2001:db8:52::130 eth2 198.51.100.129

policy <<'POLICY'
interfaces: [{name: eth0, xdp: native}, {name: eth1, xdp: generic}, {name: eth2, xdp: off}]
default: {ingress: deny, egress: allow, forward: deny}
allow:
  - {from: any, to: self, port: [tcp/1000, udp/2000, udp/3000]}
limits:
  - {name: conn, to: self, port: tcp/1000, count: connections, rate: 100/minute, burst: 20}
  - {name: pack, to: self, port: udp/2000, count: packets, rate: 100/minute, burst: 20}
  - {name: byte, to: self, port: udp/3000, count: bytes, rate: 1KB/s, burst: 4KB}
POLICY
same "each NIC has the XDP mode that the policy names" \
	"$(weir status --json | json "' '.join(sorted(i['name'] + '=' + i['xdp'] for i in d['interfaces']))")" \
	"eth0=native eth1=generic eth2=off"

declare -A NIC=([native]=eth0 [generic]=eth1 [tc]=eth2)
declare -A NODE4=([native]=203.0.113.1 [generic]=192.0.2.1 [tc]=198.51.100.129)
declare -A NODE6=([native]=2001:db8:113::1 [generic]=2001:db8:2::1 [tc]=2001:db8:52::1)
# Addresses that no machine has, so that nobody answers the node's answers.
declare -A FROM4=([native]=203.0.113.200 [generic]=192.0.2.200 [tc]=198.51.100.200)
declare -A FROM6=([native]=2001:db8:113::200 [generic]=2001:db8:2::200 [tc]=2001:db8:52::200)

for proto in tcp udp; do
	spawn node seen.$proto.4 "$WIRE" sniff --raw $proto --ports 1000,2000,3000 --out "$TMP/arrived.$proto.4"
	spawn node seen.$proto.6 "$WIRE" sniff --raw $proto -6 --ports 1000,2000,3000 --out "$TMP/arrived.$proto.6"
done
ready seen.tcp.4 seen.tcp.6 seen.udp.4 seen.udp.6

# fire HOOK COUNT FAMILY PROTO PORT LENGTH: 60 at once, then one each 100 ms for 5 s
fire() {
	local to=${NODE4[$1]} from=${FROM4[$1]}
	[ "$3" = 6 ] && to=${NODE6[$1]} from=${FROM6[$1]}
	at "$1" "$WIRE" send --dev eth0 --dmac "$(mac_of node "${NIC[$1]}")" --from "$from" --to "$to" --proto "$4" \
		--dport "$5" --len "$6" --burst 60 --count 110 --rate 10 --times "$TMP/sent.$1.$2.$3" >/dev/null &
}
for hook in native generic tc; do
	for family in 4 6; do
		fire $hook conn $family tcp 1000 0
		fire $hook pack $family udp 2000 18
		fire $hook byte $family udp 3000 500
	done
done
SENDERS=$(jobs -p)
for pid in $SENDERS; do
	case " ${LAB_PIDS[*]} " in *" $pid "*) ;; *) wait "$pid" ;; esac
done
sleep 0.2
stop seen.tcp.4 seen.tcp.6 seen.udp.4 seen.udp.6

# hold HOOK COUNT FAMILY PROTO PORT INTERVAL_NS BURST COST AT_ONCE
hold() {
	local from=${FROM4[$1]} name="$2 at $1, IPv$3" at_once
	[ "$3" = 6 ] && from=${FROM6[$1]}
	awk -v from="$from" -v port="$5" '$3 == from && $5 == port { print $1 }' "$TMP/arrived.$4.$3" >"$TMP/passed"
	at_once=$(awk '$1 < 60' "$TMP/passed" | wc -l)
	same "$name: of 60 at once pass burst + 1" "$at_once" "$9"
	if "$PYTHON" "$LAB_DIR/gcra.py" --cost "$8" --slack-ms 20 "$TMP/sent.$1.$2.$3" "$TMP/passed" "$6" "$7" >"$TMP/gcra"; then
		ok "$name: every decision is GCRA's ($(head -1 "$TMP/gcra"))"
	else
		not_ok "$name: every decision is GCRA's" "$(tr '\n' ' ' <"$TMP/gcra")"
	fi
}
for hook in native generic tc; do
	for family in 4 6; do
		hold $hook conn $family tcp 1000 600000000 20 1 21
		hold $hook pack $family udp 2000 600000000 20 1 21
		# 500 bytes of payload and the headers; 4,000 bytes of burst hold 7.6 of them, and the eighth begins inside.
		hold $hook byte $family udp 3000 1000000 4000 $((family == 4 ? 528 : 548)) 8
	done
done

# Counters say the same: every frame is booked as passed or dropped under its limit.
book() { weir show counters --json | json "[c['$2']['packets'] for c in d if c['kind'] == 'limit' and c['rule'] == '$1'][0]"; }
for limit in conn:tcp:1000 pack:udp:2000 byte:udp:3000; do
	IFS=: read -r name proto port <<<"$limit"
	arrived=$(cat "$TMP/arrived.$proto."[46] | awk -v port="$port" '$5 == port' | wc -l)
	same "limit $name counts what it passed" "$(book "$name" passed)" "$arrived"
	same "limit $name counts what it dropped" "$(book "$name" dropped)" "$((6 * 110 - arrived))"
done
finish
