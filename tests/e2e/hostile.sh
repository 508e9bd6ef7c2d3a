#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A host in disorder: pins that somebody replaced, a lock that a stopped process holds, no room for files. Each is said
# clearly, what was in force stays whole, and `weir detach` removes what is left.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"
lab_start hostile
lab_node
lab_workload app 10.42.0.10 2001:db8:42::10
export WEIR_STATE_DIR="$TMP/state" WEIR_RUN_DIR="$TMP/run"

cat >"$TMP/policy.yaml" <<-POLICY
	interfaces: [eth0]
	workloads: ["veth-*"]
	allow: [{name: api, from: 203.0.113.0/24, to: self, port: udp/3}]
	limits: [{name: lim, to: self, port: udp/3, count: packets, rate: 1/second, entries: 1000}]
POLICY

# tried ARG…: status and last line of output of weir.
tried() {
	local status=0
	timeout 60 "$WEIR" --netns "$LAB-node" "$@" >"$TMP/tried" 2>&1 || status=$?
	echo "$status $(tail -n 1 "$TMP/tried" | sed 's/process [0-9]*/process N/g')"
}
hooked() { ip -n "$LAB-node" -d link show eth0 | grep -c prog/xdp || true; }
generation() { weir status --json | json "d['generation']"; }

# ---- pins that are not what they were

for other in "weir_control array 64 1" "weir_tat hash 64 10" "weir_iface hash 8 4"; do
	read -r name type value entries <<<"$other"
	weir apply "$TMP/policy.yaml" >/dev/null
	rm "$(pins)/maps/$name"
	"$BPFTOOL" map create "$(pins)/maps/$name" type "$type" key 4 value "$value" entries "$entries" name hostile
	same "$name replaced by another kind of map: status refuses" "$(tried status)" \
		"1 weir: the pins under $(pins) are of another version of weir; \`weir detach\` removes them"
	same "$name replaced: apply refuses" "$(tried apply "$TMP/policy.yaml")" \
		"1 weir: the pins under $(pins) are of another version of weir; \`weir detach\` removes them; policy not applied"
	same "$name replaced: what is attached stays" "$(hooked)" 1
	same "$name replaced: detach removes everything" "$(tried detach | cut -c1-10) $(hooked) $(ls -d "$(pins)" 2>/dev/null)" \
		"0 detached 0 "
done

weir apply "$TMP/policy.yaml" >/dev/null
mkdir "$(pins)/links/folder" "$(pins)/maps/folder"
same "a directory among the pins does not keep a policy from being applied" \
	"$(tried apply "$TMP/policy.yaml" | cut -c1-23)" "0 generation 2 in force"
same "nor everything from being removed" "$(tried detach | cut -c1-10) $(ls -d "$(pins)" 2>/dev/null)" "0 detached "

# ---- no room, no right to write

weir apply "$TMP/policy.yaml" >/dev/null
same "a limit on the size of files ends no command half done" \
	"$(
		ulimit -f 0
		weir apply "$TMP/policy.yaml" 2>&1 | grep -o 'saving it: File too large\|generation [0-9]* in force' | tr '\n' ' '
	)" "saving it: File too large generation 2 in force "
mount -t tmpfs -o ro none "$TMP/run"
same "the directory of locks is read-only: apply says so" "$(tried apply "$TMP/policy.yaml")" \
	"1 weir: cannot lock $(pins): Read-only file system; policy not applied, generation 2 still active"
umount "$TMP/run"
same "too few descriptors: said, and the policy in force stays" \
	"$(
		ulimit -n 20
		weir apply "$TMP/policy.yaml" 2>&1 || true
	)" "weir: cannot open the pinned maps under $(pins): Too many open files; policy not applied"
same "after all of that, generation 2 is in force" "$(generation)" 2

# ---- a lock that nobody lets go

spawn node waiting "$WEIR" --netns "$LAB-node" run "$TMP/policy.yaml"
until_true 10 grep -q 'in force' "$TMP/waiting.err" || true
flock "$TMP/run/"*"$LAB-node.lock" sleep 60 &
holder=$!
disown "$holder"
until_true 5 grep -qE "^[0-9]+: FLOCK +[A-Z]+ +WRITE $holder " /proc/locks # "->" stands before one that waits
kill -STOP "$holder"
ip -n "$LAB-node" link add veth-late type veth peer name late
same "a lock that is held is waited for, then its holder is named" "$(tried apply "$TMP/policy.yaml")" \
	"1 weir: another change of $(pins) is under way (process N, flock, holds its lock); policy not applied, generation 2 still active"
same "status needs no lock" "$(generation)" 2
until_true 15 grep -q 'holds its lock.*interfaces are not followed; trying again' "$TMP/waiting.err" || true
same "weir run says that it waits, and goes on" "$(grep -c 'interfaces are not followed; trying again' "$TMP/waiting.err")" 1
pkill -KILL -P "$holder" || true
kill -KILL "$holder"
until_true 10 grep -q 'longest time without a hook' "$TMP/waiting.err" || true
between "the time without a hook includes the wait for the lock, ms" \
	"$(sed -n 's/.*longest time without a hook \([0-9]*\)\..*/\1/p' "$TMP/waiting.err" | tail -n 1)" 9000 60000
stop waiting
same "its end is enough" "$(tried apply "$TMP/policy.yaml" | cut -c1) $(generation)" "0 3"

# ---- interfaces that come, go, and are called something else

lab_namespace pods
spawn node daemon "$WEIR" --netns "$LAB-node" run "$TMP/policy.yaml"
# shellcheck disable=SC2317 # called by until_true
state_of() { [ "$(weir status --json | json "[i['attached'] for i in d['interfaces'] if i['name'] == '$1']")" = "[$2]" ]; }
until_true 20 state_of eth0 True
ip -n "$LAB-node" link set eth0 down
ip -n "$LAB-node" link set eth0 name wan0
if until_true 5 state_of eth0 False; then ok "status shows a NIC that was renamed away"; else not_ok "status shows a NIC that was renamed away"; fi
same "as missing" "$(weir status | grep -c '^eth0 .* missing: there is none of that name')" 1
until_true 5 grep -q 'no interface "eth0" any more' "$TMP/daemon.err" || true
same "weir run warns of it, once" "$(grep -c 'no interface "eth0" any more' "$TMP/daemon.err")" 1
ip -n "$LAB-node" link set wan0 name eth0
ip -n "$LAB-node" link set eth0 up
if until_true 5 state_of eth0 True; then ok "the name is back: judged again"; else not_ok "the name is back: judged again"; fi

# churn: veths come and go without a pause.
churn() {
	local i
	while [ ! -e "$TMP/enough" ]; do
		{
			for i in 1 2 3 4 5 6; do echo "link add veth-c$i type veth peer name c$i netns $LAB-pods"; done
			for i in 1 2 3 4 5 6; do echo "link del veth-c$i"; done
		} | ip -n "$LAB-node" -batch - >/dev/null 2>&1 || true
	done
}
churn &
churning=$!
failed=0
for ((i = 0; i < 10; i++)); do weir apply "$TMP/policy.yaml" >/dev/null 2>>"$TMP/churn.err" || failed=$((failed + 1)); done
same "policies apply while workloads come and go" "$failed $(cat "$TMP/churn.err")" "0 "
ip -n "$LAB-node" link add veth-new type veth peer name new netns "$LAB-pods"
if until_true 5 state_of veth-new True; then ok "a new workload gets its hook meanwhile"; else not_ok "a new workload gets its hook meanwhile"; fi
touch "$TMP/enough"
wait "$churning"
same "interfaces that went are no error" "$(grep -c 'cannot attach' "$TMP/daemon.err" || true)" 0
stop daemon

same "a standard output that is closed is not replaced by a file of weir's" \
	"$(weir status 2>&1 >&- || true)" "weir: standard output: Bad file descriptor"
finish
