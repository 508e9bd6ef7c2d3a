#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A trial apply: the policy falls back by itself when nobody confirms it, also when every weir process is dead; a
# confirmed one stays; rollback goes back; and while a trial is pending nobody else changes the policy.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start trial
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
listen node node.log tcp:80 tcp:81
rules() {
	cat >"$TMP/$1.yaml" <<-POLICY
		interfaces: [eth0]
		default: {ingress: deny, egress: deny, forward: deny}
		allow: [{name: rule-$1, from: any, to: self, port: tcp/$2}]
	POLICY
}
rules old 80
rules new 81
generation() { weir status --json | json "d['generation']"; }
# judges OLD|NEW: which policy decides, by real connections
judges() {
	at client "$WIRE" reach --wait 300 tcp:203.0.113.1:80 tcp:203.0.113.1:81 tcp:2001:db8:113::1:80 tcp:2001:db8:113::1:81 |
		awk '{ printf "%s ", $2 }' | sed 's/open silent open silent /old/; s/silent open silent open /new/'
}
status_of() {
	local status=0
	"$@" >"$TMP/out" 2>&1 || status=$?
	echo $status
}

weir apply "$TMP/old.yaml" >/dev/null
first=$(generation)
same "the first policy judges" "$(judges)" old
chat client talk tcp:203.0.113.1:80
same "a connection under it" "$(SETTLE=0.1 lively talk)" alive

# Nobody confirms; the daemon that follows the policy is killed as well, so that only the kernel is left.
spawn node daemon "$WEIR" --netns "$LAB-node" run "$TMP/old.yaml"
sleep 0.5
base=$(generation)
weir apply --confirm 2s "$TMP/new.yaml" >/dev/null
began=$(date +%s%N)
same "the trial judges" "$(judges)" new
same "status names the deadline and what it falls back to" \
	"$(weir status --json | json "bool(d['trial']['deadline']), d['trial']['previous'] == $base")" "(True, True)"
same "another apply is refused while a trial is pending" "$(status_of weir apply "$TMP/old.yaml")" 1
kill -KILL "${LAB_PIDS[daemon]}"
wait "${LAB_PIDS[daemon]}" 2>/dev/null || true
unset "LAB_PIDS[daemon]"
same "no weir process is left in the node" "$(ip netns pids "$LAB-node" | xargs -r -I{} cat /proc/{}/comm | grep -c '^weir' || true)" 0
same "what the trial forbids has ended" "$(SETTLE=0.1 lively talk)" stalled
while [ $(($(date +%s%N) - began)) -lt 2100000000 ]; do sleep 0.05; done
same "after the deadline the old policy judges, with nobody there" "$(judges)" old
# A fallback is a generation of its own: nothing may take it for the one before the trial.
same "status says so" "$(weir status --json | json "d['generation'] > $base, d['policy']['files'], d['trial']")" \
	"(True, ['$TMP/old.yaml'], None)"
same "confirming then is an error" "$(status_of weir confirm)" 1
same "and so is a rollback: it would bring the refused trial back" "$(status_of weir rollback)/$(judges)" 1/old
SETTLE=2
same "and the old connection goes on" "$(lively talk)" alive
SETTLE=0.1

weir apply --confirm 1s "$TMP/new.yaml" >/dev/null
weir confirm >/dev/null
sleep 1.2
same "a confirmed trial stays" "$(judges)" new
second=$(generation)
weir rollback >/dev/null
same "rollback goes back" "$(judges)" old
same "generations never repeat" "$([ "$first" -lt "$second" ] && echo grow)" grow
weir apply --confirm 60s "$TMP/new.yaml" >/dev/null
same "a second trial judges" "$(judges)" new
weir rollback >/dev/null
same "rollback ends a trial at once" "$(judges)/$(weir status --json | json "d['trial']")" old/None
same "rollback names what it went back to" "$(weir show rules --json | json "[r['rule'] for r in d if r['rule'].startswith('rule-')]")" "['rule-old']"

# ---- what sources owe goes back along

limited() {
	cat >"$TMP/rate-$1.yaml" <<-POLICY
		interfaces: [eth0]
		default: {ingress: deny}
		allow: [{from: any, to: self, port: udp/5}]
		limits: [{name: lim, to: self, port: udp/5, count: packets, rate: $1/hour, burst: 100}]
	POLICY
}
spend() { at client "$WIRE" send --dev eth0 --dmac "$(mac_of node)" --from 203.0.113.10 --to 203.0.113.1 --proto udp --dport 5 --count "$1" --rate 2000 >/dev/null; }
left() { weir show limits lim --json | json "[s['left'] for l in d for s in l['sources']]"; }
# shellcheck disable=SC2317 # called by until_true
has_left() { [ "$(left)" = "$1" ]; }
limited 1
limited 2
weir apply "$TMP/rate-1.yaml" >/dev/null
spend 30
weir apply "$TMP/rate-2.yaml" >/dev/null
spend 40
until_true 2 has_left "[31]" || true
same "a limit at another rate goes on from what a source owes" "$(left)" "[31]"
weir rollback >/dev/null
same "and so does the one that comes back" "$(left)" "[31]"
same "what was gone back from does not return by rollback" "$(weir rollback 2>&1 >/dev/null | grep -c 'was gone back from')/$(left)" "1/[31]"
weir apply "$TMP/rate-2.yaml" >/dev/null
same "once more: it is not counted twice" "$(left)" "[31]"
weir apply --confirm 60s "$TMP/rate-1.yaml" >/dev/null
spend 10
until_true 2 has_left "[21]" || true
weir rollback >/dev/null
same "from a trial that is rolled back likewise" "$(left)" "[21]"
finish
