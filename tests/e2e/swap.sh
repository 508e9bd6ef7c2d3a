#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# 200 applies under at least 50,000 packets a second: no allowed packet is dropped, no denied one passes, and none is
# judged by a mixture of two policies. Two flows alternate: each policy allows one of them and denies the other.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

APPLIES=${APPLIES:-200} RATE=${RATE:-60000}
lab_start swap
lab_node
lab_host client 203.0.113.10 2001:db8:113::10

# Policy b has its segments the other way round and more of them, so that classes, rows and verdicts of one are wrong in
# the other: a packet judged by a mixture would let port 4 pass or drop port 3.
rules() {
	local odd=203.0.113.200 even=203.0.113.201 extra=''
	if [ "$1" = b ]; then
		odd=203.0.113.201 even=203.0.113.200
		extra='{from: 192.0.2.0/24, to: self, port: tcp/1-99}, {from: 198.51.100.7, to: self, port: udp/4},'
	fi
	cat >"$TMP/$1.yaml" <<-POLICY
		interfaces: [eth0]
		default: {ingress: deny, egress: deny, forward: deny}
		segments: {in: [$odd], out: [$even], both: [203.0.113.200, 203.0.113.201]}
		allow: [$extra {name: turn, from: in, to: self, port: udp/1}, {name: always, from: both, to: self, port: udp/3}]
		deny: [{name: never, from: out, to: self, port: udp/4}]
	POLICY
}
rules a
rules b
weir apply "$TMP/a.yaml" >/dev/null

# Frames: 2k from .200, 2k+1 from .201, in turn to ports 1, 1, 3, 3, 4, 4.
spawn node seen "$WIRE" sniff --raw udp --ports 1,3,4 --out "$TMP/arrived"
ready seen
spawn client flood "$WIRE" send --dev eth0 --dmac "$(mac_of node)" --from 203.0.113.200+2 --to 203.0.113.1 \
	--proto udp --dport 1,1,3,3,4,4 --rate "$RATE" --count 2000000000
sleep 0.2
failed=0 started=$(date +%s%N)
for ((i = 0; i < APPLIES; i++)); do
	if [ $((i % 2)) = 0 ]; then next=b; else next=a; fi
	weir apply "$TMP/$next.yaml" >/dev/null 2>"$TMP/apply.err" || failed=$((failed + 1))
done
took=$((($(date +%s%N) - started) / 1000000))
sleep 0.2
stop flood
sleep 0.3
stop seen
same "$APPLIES applies under traffic" "$failed failed" "0 failed"
sent=$(sed -n 's/^sent \([0-9]*\) in .*/\1/p' "$TMP/flood")
sent_ns=$(sed -n 's/^sent [0-9]* in \([0-9]*\) ns/\1/p' "$TMP/flood")
between "packets a second meanwhile ($APPLIES applies took $took ms)" "$((sent * 1000 / (sent_ns / 1000000)))" $((RATE * 5 / 6)) 10000000

# What arrived, against what was sent.
awk -v sent="$sent" -v applies="$APPLIES" '
	{ id = $1; port = $5; if (seen[id]++) twice++; count[port]++; if (port == 1) turn[id] = 1 }
	END {
		for (id = 0; id < sent; id++) { m = id % 6; if (m == 2 || m == 3) want3++ }
		# Of each pair to port 1 exactly one passes, unless a swap came between its two frames.
		for (id = 0; id + 1 < sent; id += 6) {
			n = (id in turn) + ((id + 1) in turn); pairs++
			if (n != 1) odd++
			now = (id in turn) ? "a" : "b"
			if (now != last) flips++
			last = now
		}
		printf "twice=%d lost3=%d passed4=%d odd=%d flips=%d\n", twice, want3 - count[3], count[4], odd, flips - 1
	}' "$TMP/arrived" >"$TMP/result"
# Frames that a veth's queue lost never met a hook; there should be none, and no more than these may be missing.
wire_lost=0
for link in "node eth0" "outside node-eth0" "outside client" "client eth0"; do
	read -r role dev <<<"$link"
	wire_lost=$((wire_lost + $(ip -n "$LAB-$role" -j -s link show dev "$dev" | json "d[0]['stats64']['rx']['dropped'] + d[0]['stats64']['tx']['dropped']")))
done
twice='' lost3='' passed4='' odd='' flips=''
# shellcheck source=/dev/null
. "$TMP/result"
between "no allowed packet was dropped (the wire lost $wire_lost)" "$lost3" 0 "$wire_lost"
same "no denied packet passed" "$passed4" 0
same "no packet came twice" "$twice" 0
between "of each pair exactly one passed, but for swaps between its two frames" "$odd" 0 "$((APPLIES + wire_lost))"
between "the two policies really took turns" "$flips" $((APPLIES - 2 * odd)) $((APPLIES + 2 * odd))
# And the books of the hooks: what the rules passed and dropped is what was sent.
same "the hook's counters saw every frame" \
	"$(weir status --json | json "d['verdicts']['passed'] + d['verdicts']['dropped'] >= $sent - $wire_lost")" True
finish
