#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What weir run puts in force when it starts: after a reboot (here: everything detached, and another boot id) the files,
# unless a trial was pending; then the last confirmed policy. And what it compiles again: addresses, forwarding, lists.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start reboot
export WEIR_RUN_DIR=$TMP/run WEIR_STATE_DIR=$TMP/state WEIR_BOOT_ID=first
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
FILE=$TMP/policy.yaml
rules() {
	cat >"$TMP/.new" <<-POLICY
		interfaces: [eth0]
		default: {ingress: deny, egress: allow, forward: deny}
		allow: [{name: port-$1, from: any, to: self, port: tcp/$1}]
		block: [{file: $TMP/list}]
	POLICY
	mv "$TMP/.new" "${2:-$FILE}"
}
echo 192.0.2.0/24 >"$TMP/list"
generation() { weir status --json 2>/dev/null | json "d['generation']"; }
opens() { weir show rules --json | json "','.join(r['rule'] for r in d if r['rule'] and r['rule'].startswith('port-'))"; }
start() {
	spawn node "$1" "$WEIR" --netns "$LAB-node" run "$FILE"
	until_true 20 grep -q "in force" "$TMP/$1.err" || { not_ok "weir run comes up" "$(cat "$TMP/$1.err")"; exit 1; }
	until_true 5 test -S "$TMP/run/weir+$LAB-node.sock" || true
}
# The kernel forgets everything; the disk stays as it is.
reboot() {
	cp -r "$TMP/state" "$TMP/kept"
	weir detach >/dev/null
	rm -rf "$TMP/state" "$TMP/run"
	mv "$TMP/kept" "$TMP/state"
	WEIR_BOOT_ID=$1
}
said() { grep -c "$2" "$TMP/$1.err" || true; }

rules 80
start one
same "the first start applies the files" "$(opens)" port-80
base=$(generation)
stop one
start two
same "in force already: picked up, not applied again" "$(generation) $(said two 'picked up')" "$base 1"
stop two
echo 198.51.100.128/25 >>"$TMP/list"
start three
until_true 5 test "$(generation)" != "$base" || true
same "a list that changed meanwhile is applied" "$([ "$(generation)" -gt "$base" ] && echo newer)" newer
stop three

# A trial, and the machine goes down in it. Somebody has also put the version on trial into the file.
rules 81
weir apply --confirm 30s "$FILE" >/dev/null
same "the trial judges" "$(opens)" port-81
reboot second
rm "$TMP/list"
start four
same "after a reboot in a trial the confirmed policy applies, with its lists" "$(opens)" port-80
same "and says so" "$(said four 'last confirmed policy applies')" 1
stop four
echo 192.0.2.0/24 >"$TMP/list"
start five
same "also after the daemon is started again" "$(opens) $(said five 'stays in force')" "port-80 1"
rules 82
until_true 10 sh -c "'$WEIR' --netns '$LAB-node' show rules --json | grep -q port-82" || true
same "a change of the files ends that" "$(opens)" port-82
stop five
reboot third
start six
same "and an ordinary reboot applies the files" "$(opens)" port-82
stop six
rules 83 "$TMP/other.yaml"
refused() { find "$TMP/state" -name refused.json -exec sed -n 's/.*"sha256": *"\([0-9a-f]*\)".*/\1/p' {} +; }
weir apply --confirm 30s "$TMP/other.yaml" >/dev/null
# A daemon that sees the trial end before the command has said so.
find "$TMP/state" -name 'refused.json' -exec sed -i 's/"trial": *true/"trial": false/' {} +
before=$(refused)
weir rollback >/dev/null
same "of a trial that is rolled back its own version is refused, whoever notes its end first" "$(opens) $(refused)" "port-82 ${before:-none}"
weir apply --confirm 30s "$TMP/other.yaml" >/dev/null
same "a confirmed trial is confirmed" "$(weir confirm >/dev/null && opens)" port-83
weir rollback >/dev/null
same "a rollback goes back" "$(opens)" port-82
start seven
same "and the daemon leaves it there" "$(opens)" port-82

# What a policy depends on besides its text.
cat >"$TMP/.new" <<-POLICY
	interfaces: [eth0]
	default: {ingress: deny, egress: allow, forward: deny}
	allow: [{name: port-84, from: {interface: eth0}, to: self, port: tcp/84}]
POLICY
mv "$TMP/.new" "$FILE"
until_true 10 sh -c "'$WEIR' --netns '$LAB-node' show rules --json | grep -q port-84" || true
now=$(generation)
ip -n "$LAB-node" addr add 203.0.113.77/24 dev eth0
until_true 5 sh -c "[ \"\$('$WEIR' --netns '$LAB-node' status --json | grep -c '\"generation\": $now,')\" = 0 ]" || true
same "an address of {interface: eth0} is compiled in" "$([ "$(generation)" -gt "$now" ] && echo newer)" newer
now=$(generation)
sleep 1
same "once" "$(generation)" "$now"
at node sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
until_true 5 sh -c "[ \"\$('$WEIR' --netns '$LAB-node' status --json | grep -c '\"generation\": $now,')\" = 0 ]" || true
same "forwarding likewise" "$([ "$(generation)" -gt "$now" ] && echo newer)" newer
weir detach >/dev/null
until_true 5 sh -c "! kill -0 ${LAB_PIDS[seven]} 2>/dev/null" || true
same "weir detach ends the daemon" "$(said seven 'detached by a command')" 1
wait "${LAB_PIDS[seven]}" && same "in peace" 0 0
unset "LAB_PIDS[seven]"
same "and nothing is kept for the next boot" "$(ls "$TMP/state")" ""
finish
