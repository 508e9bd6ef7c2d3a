#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Settings of the network namespace that a policy needs: set before it is in force, given back by detach and when nothing
# can bring such a policy back, known after kill -9, refused by name where they cannot be written. And the state of
# protected services, which stays with what they protect.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start sysctls
lab_node

NAMES="net.ipv4.conf.lo.forwarding net.ipv6.conf.lo.forwarding net.ipv4.tcp_syncookies net.ipv4.tcp_timestamps"
settings() {
	local name text=
	for name in $NAMES; do text+="$(at node cat "/proc/sys/${name//.//}") "; done
	echo "${text% }"
}
set_to() { echo "$2" | at node tee "/proc/sys/${1//.//}" >/dev/null; }
NOTE=${WEIR_RUN_DIR:-/run/weir}/weir+$LAB-node.sysctls
note() { if [ -e "$NOTE" ]; then wc -l <"$NOTE"; else echo 0; fi; }
status_of() {
	local status=0
	"$@" >"$TMP/out" 2>&1 || status=$?
	echo $status
}
flags() {
	local slot
	slot=$(weir status --json | json "d['generation']")
	for s in 0 1; do
		"$BPFTOOL" -j map dump pinned "$(pins)/maps/weir_cfg_$s" 2>/dev/null |
			json "' '.join(str(e['formatted']['value']['flags'] & 0xc) for e in d if e['formatted']['value']['generation'] == $slot)"
	done | grep .
}
BPFTOOL=${BPFTOOL:-/usr/sbin/bpftool}

head='default: {ingress: deny, egress: allow, forward: deny}
allow: [{from: any, to: self, port: [tcp/443, tcp/80]}]'
printf 'interfaces: [eth0]\n%s\n' "$head" >"$TMP/plain.yaml"
printf 'interfaces: [{name: eth0, antispoof: strict}]\n%s\n' "$head" >"$TMP/spoof.yaml"
printf 'interfaces: [eth0]\n%s\nprotect:\n  - {port: tcp/443, syn_cookies: {above: 1000/s}}\n' "$head" >"$TMP/protect.yaml"

set_to net.ipv4.ip_forward 0
set_to net.ipv6.conf.all.forwarding 0
set_to net.ipv4.tcp_syncookies 1
set_to net.ipv4.tcp_timestamps 0
before="0 0 1 0"
same "the settings before" "$(settings)" "$before"

weir apply "$TMP/plain.yaml" >/dev/null
same "a policy that needs none changes none" "$(settings) $(note)" "$before 0"

weir apply "$TMP/spoof.yaml" >/dev/null
same "antispoof: loopback forwards" "$(settings) $(note)" "1 1 1 0 2"
same "status shows what is held" \
	"$(weir status --json | json "[(s['name'], s['value'], s['before'], s['for']) for s in d['settings']]")" \
	"[('net.ipv4.conf.lo.forwarding', '1', '0', 'antispoof'), ('net.ipv6.conf.lo.forwarding', '1', '0', 'antispoof')]"
weir apply "$TMP/spoof.yaml" >/dev/null
same "and the node does not: it is not taken for a router" "$(flags)" 0
same "applied twice, the first value is remembered" "$(settings) $(note)" "1 1 1 0 2"

weir apply "$TMP/protect.yaml" >/dev/null
same "protect: cookies and timestamps; what may come back keeps its own" "$(settings) $(note)" "1 1 2 2 4"
weir rollback >/dev/null
same "the policy before has what it needs" "$(settings)" "1 1 1 0"
weir apply "$TMP/protect.yaml" >/dev/null
weir apply "$TMP/protect.yaml" >/dev/null
same "what cannot come back any more needs nothing" "$(settings) $(note)" "0 0 2 2 2"

weir apply --confirm 60s "$TMP/spoof.yaml" >/dev/null
same "a trial: both policies have what they need" "$(settings)" "1 1 2 2"
weir rollback >/dev/null
same "the trial is over" "$(settings)" "0 0 2 2"
weir apply "$TMP/plain.yaml" >/dev/null
weir apply "$TMP/plain.yaml" >/dev/null
same "without need all is as it was" "$(settings) $(note)" "$before 0"

# A trial that falls back by itself, with no process there: the next change gives back.
weir apply --confirm 1s "$TMP/spoof.yaml" >/dev/null
sleep 1.2
same "nobody was there when the trial ended" "$(settings)" "1 1 1 0"
weir apply "$TMP/plain.yaml" >/dev/null
same "the next apply gives back" "$(settings) $(note)" "$before 0"

# What another sets meanwhile is theirs.
weir apply "$TMP/protect.yaml" >/dev/null
set_to net.ipv4.tcp_timestamps 1
same "status says that somebody changed it" \
	"$(weir status --json | json "[(s['value'], s['wanted']) for s in d['settings'] if s['value'] != s['wanted']]")" "[('1', '2')]"
weir detach >/dev/null
same "detach gives back, but for what somebody else has set" "$(settings) $(note)" "0 0 1 1 0"
set_to net.ipv4.tcp_timestamps 0

# Killed in the middle, many times.
printf 'interfaces: [{name: eth0, antispoof: loose}]\n%s\nprotect:\n  - {port: tcp/443, syn_cookies: {above: 1000/s}}\n' "$head" >"$TMP/both.yaml"
weir apply "$TMP/plain.yaml" >/dev/null
killed=0
for i in $(seq 16); do
	"$WEIR" --netns "$LAB-node" apply "$TMP/both.yaml" >/dev/null 2>&1 &
	pid=$!
	sleep "0.0$((i * 5 / 8))$((i % 8))"
	kill -KILL "$pid" 2>/dev/null && killed=$((killed + 1))
	wait "$pid" 2>/dev/null || true
done
between "applies killed on their way" "$killed" 4 16
weir apply "$TMP/both.yaml" >/dev/null
same "the one that arrives" "$(settings) $(note)" "1 1 2 2 4"
weir detach >/dev/null
same "after all of that, detach knows what was before" "$(settings) $(note)" "$before 0"

# Settings that cannot be written: by name, before anything else, and nothing is changed.
# shellcheck disable=SC2016,SC2317  # expanded by the other shell; called by status_of
read_only() {
	unshare -m bash -c 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"' - \
		"$WEIR" --netns "$LAB-node" "$@"
}
weir apply "$TMP/plain.yaml" >/dev/null
generation=$(weir status --json | json "d['generation']")
same "refused where settings are read-only" "$(status_of read_only apply "$TMP/spoof.yaml")" 3
same "by name" "$(grep -c 'antispoof needs the setting net.ipv4.conf.lo.forwarding = 1; it is 0 and cannot be written: Read-only file system' "$TMP/out")" 1
same "protect likewise" "$(status_of read_only apply "$TMP/protect.yaml")" 3
same "by its name" "$(grep -c 'protect needs the setting net.ipv4.tcp_syncookies = 2' "$TMP/out")" 1
same "the policy in force is the same" "$(weir status --json | json "d['generation'] == $generation") $(settings) $(note)" "True $before 0"
same "one that needs none is none of its business" "$(status_of read_only apply "$TMP/plain.yaml")" 0

# With the daemon, forwarding that is switched off for all interfaces does not take antispoof's ground away.
weir apply "$TMP/spoof.yaml" >/dev/null
spawn node daemon "$WEIR" --netns "$LAB-node" run "$TMP/spoof.yaml"
# shellcheck disable=SC2317  # called by until_true
watched() { [ "$(weir status --json | json "d['daemon'] is not None")" = True ]; }
until_true 10 watched
sleep 0.5
set_to net.ipv4.ip_forward 1
set_to net.ipv4.ip_forward 0
# shellcheck disable=SC2317
held() { [ "$(at node cat /proc/sys/net/ipv4/conf/lo/forwarding)" = 1 ]; }
until_true 3 held || true
same "the daemon sets it again" "$(settings)" "1 1 1 0"
stop daemon
weir detach >/dev/null
same "and given back" "$(settings) $(note)" "$before 0"

# ---- the state of protected services

protects() {
	printf 'interfaces: [eth0]\n%s\nprotect:\n' "$head"
	local entry
	for entry in "$@"; do printf '  - {port: tcp/%s, syn_cookies: {above: %s/s}}\n' "${entry%:*}" "${entry#*:}"; done
}
sent() { weir status --json | json "' '.join('%s=%d' % (p['port'][4:], p['sent']) for p in d['protect'])"; }
# Counts @2 cookies for the entry at place @1 (from 0) of the policy in force.
pretend() {
	local slot state
	for slot in 0 1; do
		state=$("$BPFTOOL" -j map dump pinned "$(pins)/maps/weir_prot_$slot" |
			json "d[$1]['formatted']['value']['state'] if d[$1]['formatted']['value']['interval'] else -1")
		[ "$state" = -1 ] || break
	done
	# 24 bytes before .sent, 39 behind its lowest.
	read -ra value < <(printf '00 %.0s' {1..64} && echo)
	value[24]=$(printf '%02x' "$2")
	"$BPFTOOL" map update pinned "$(pins)/maps/weir_cookie" key hex "$(printf '%02x' "$state")" 00 00 00 value hex "${value[@]}"
}
protects 443:1000 80:10 >"$TMP/a.yaml"
protects 80:500 443:1000 >"$TMP/b.yaml"
protects 80:500 >"$TMP/c.yaml"
weir apply "$TMP/a.yaml" >/dev/null
pretend 0 7
pretend 1 9
same "cookies that were sent" "$(sent)" "443=7 80=9"
weir apply "$TMP/b.yaml" >/dev/null
same "in another order and at another rate they are the same services" "$(sent)" "80=9 443=7"
weir apply "$TMP/c.yaml" >/dev/null
weir apply "$TMP/c.yaml" >/dev/null
weir apply "$TMP/b.yaml" >/dev/null
same "one that was gone begins anew" "$(sent)" "80=9 443=0"
weir rollback >/dev/null
same "and rollback is no new beginning" "$(sent)" "80=9"
weir detach >/dev/null

finish
