#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# weir audit: past events from the file, present ones from the daemon, or from the ring where no daemon runs; whoever
# reads, each event stands in the file once. Masks hold in the file and for followers.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start followers
export WEIR_RUN_DIR=$TMP/run WEIR_STATE_DIR=$TMP/state
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
LOG=$TMP/audit.jsonl
cat >"$TMP/policy.yaml" <<-POLICY
	interfaces: [eth0]
	default: {ingress: deny, egress: allow, forward: deny}
	deny: [{name: no-telnet, from: any, to: self, port: tcp/23}]
	audit: {file: $LOG, events_per_second: 5000, per_source_per_second: 5000, mask: {ipv4: 24, ipv6: 48}}
POLICY
# probe PORT: one refused SYN, and the line that it makes
probe() {
	at client "$WIRE" reach --wait 100 "tcp:203.0.113.1:$1" >/dev/null || true
}
# has FILE PORT: lines about a port
has() { { grep -c "\"destination_port\":$2," "$1" || true; } 2>/dev/null; }
daemon() {
	spawn node "$1" "$WEIR" --netns "$LAB-node" run "$TMP/policy.yaml"
	until_true 15 test -S "$TMP/run/weir+$LAB-node.sock" || { not_ok "weir run comes up" "$(cat "$TMP/$1.err")"; exit 1; }
}

daemon first
spawn node lines "$WEIR" --netns "$LAB-node" audit -f --json
spawn node text "$WEIR" --netns "$LAB-node" audit -f
sleep 0.5
probe 23
until_true 3 test -s "$TMP/lines" || true
same "a follower gets the line of the file" "$(cat "$TMP/lines")" "$(cat "$LOG")"
same "masked, in every address" "$(grep -o '"\(client_ip\|source\|destination\)":"[^"]*"' "$LOG" | tr '\n' ' ')" \
	'"client_ip":"203.0.113.0/24" "source":"203.0.113.0/24" "destination":"203.0.113.0/24" '
same "people get one line" "$(sed 's/^[^ ]* *//; s/:[0-9]* ->/:PORT ->/' "$TMP/text")" \
	"drop       tcp 203.0.113.0/24:PORT -> 203.0.113.0/24:23, deny, rule no-telnet ($TMP/policy.yaml:3), ingress on eth0 (xdp), 60 bytes, generation 1"
at client "$WIRE" reach --wait 100 "tcp:2001:db8:113::1:24" >/dev/null || true
until_true 3 grep -q '"2001:db8:113::/48"' "$LOG" || true
same "IPv6 likewise" "$(grep -o '"source":"2001[^"]*"' "$LOG")" '"source":"2001:db8:113::/48"'

# A follower that stops reading is no reason to wait.
spawn node slow "$WEIR" --netns "$LAB-node" audit -f
sleep 0.3
kill -STOP "${LAB_PIDS[slow]}"
at client "$WIRE" send --dev eth0 --dmac "$(mac_of node)" --from 203.0.113.100+50 --to 203.0.113.1 --proto udp --dport 5000 \
	--rate 2000 --count 4000 >/dev/null
sleep 0.5
same "a stopped follower delays nothing" "$(has "$LOG" 5000) $(weir status --json | json "d['events']['in_flight']")" "4000 0"
same "nor loses others anything" "$(has "$TMP/lines" 5000)" 4000
kill -CONT "${LAB_PIDS[slow]}"
until_true 10 grep -q 'too slow' "$TMP/slow.err" || true
same "it is told, and comes back" "$(grep -c 'too slow' "$TMP/slow.err")" 1

# The daemon ends: who followed reads itself, and keeps the file; a new daemon takes over.
stop slow text first
sleep 1
probe 31
until_true 3 grep -q '"destination_port":31,' "$TMP/lines" || true
same "without a daemon, weir audit -f reads the ring" "$(has "$TMP/lines" 31) $(has "$LOG" 31)" "1 1"
same "status says who reads" "$(weir status --json | json "d['daemon']") $(weir status | grep -c "${LAB_PIDS[lines]}")" "None 1"
spawn node third "$WEIR" --netns "$LAB-node" audit -f
until_true 10 sh -c "! kill -0 ${LAB_PIDS[third]} 2>/dev/null" || true
same "a second reader is refused, by name" "$(sed 's/.*another process/another process/; s/ of .*//' "$TMP/third.err")" \
	"another process reads the events"
unset "LAB_PIDS[third]"
daemon second
sleep 1.5
probe 32
until_true 3 grep -q '"destination_port":32,' "$TMP/lines" || true
same "a new daemon takes the ring over" "$(has "$TMP/lines" 32) $(has "$LOG" 32)" "1 1"
same "books balance over all readers" "$(weir status --json | json \
	"(lambda e: e['due'] == e['written'] + e['suppressed'] + e['lost_full'] + e['lost_no_reader'] and e['written'] == e['delivered'] + e['in_flight'] + e['lost_reader'])(d['events'])")" True
same "each delivered event is one line" "$(weir status --json | json "d['events']['delivered']")" "$(wc -l <"$LOG")"

# The past.
same "the last lines" "$(weir audit --json -n 2 | grep -c '"destination_port":3[12],')" 2
same "twenty of them, unless told otherwise" "$(weir audit | wc -l)" 20
same "all since a time" "$(weir audit --since 1h --json | wc -l)" "$(wc -l <"$LOG")"
sleep 1.2
probe 33
until_true 3 grep -q '"destination_port":33,' "$LOG" || true
same "and not those before it" "$(weir audit --since 1s --json | grep -c '"destination_port":3')" 1
mv "$LOG" "$LOG.20260101T000000Z"
sleep 1.2
probe 34
until_true 3 grep -q '"destination_port":34,' "$LOG" || true
same "rotated files are part of the past" "$(weir audit --json -n 2 | grep -o '"destination_port":3[0-9]' | tr '\n' ' ')" \
	'"destination_port":33 "destination_port":34 '
finish
