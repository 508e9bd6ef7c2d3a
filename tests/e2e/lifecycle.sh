#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# One life of weir in this kernel, at every hook that it has: attached and judging in each XDP mode, a trial that falls back, a
# block, programs replaced by larger ones, somebody else's filters left alone, everything gone after detach. TC hooks are tcx
# links from 6.6 on and clsact filters before.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start lifecycle
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_workload app 10.42.0.10 2001:db8:42::10
listen node node.log tcp:80 tcp:81 udp:53
listen app app.log tcp:80
export WEIR_STATE_DIR="$TMP/state" WEIR_RUN_DIR="$TMP/run"

has_tcx() { printf '%s\n' 6.6 "$(uname -r)" | sort -CV; }
filters() { { at node tc filter show dev "$1" ingress && at node tc filter show dev "$1" egress; } | grep -c "$2" || true; }
xdp_of() { weir status --json | json "[i['xdp'] for i in d['interfaces'] if i['name'] == 'eth0'][0]"; }
# rules NAME PORT [XDP]: allows TCP to that port of the node and the workload, nothing else.
rules() {
	cat >"$TMP/$1.yaml" <<-POLICY
		interfaces: [{name: eth0, xdp: ${3:-auto}}]
		workloads: ["veth-*"]
		default: {ingress: deny, egress: deny, forward: deny}
		allow:
		  - {name: port-$2, from: 203.0.113.0/24, to: [self, workloads], port: tcp/$2}
		  - {name: port6-$2, from: 2001:db8:113::/64, to: [self, workloads], port: tcp/$2}
	POLICY
}
rules first 80
rules second 81
# judges 80|81 NAME: connections from outside, IPv4 and IPv6, to the node and to the workload, and a datagram
judges() {
	local open=open shut=silent workload=open
	if [ "$1" = 81 ]; then open=silent shut=open workload=silent; fi
	reach "$2" client tcp:203.0.113.1:80=$open tcp:203.0.113.1:81=$shut tcp:2001:db8:113::1:80=$open \
		tcp:2001:db8:113::1:81=$shut tcp:10.42.0.10:80=$workload tcp:2001:db8:42::10:80=$workload udp:203.0.113.1:53=silent
}

# ---- somebody else's filter, which weir must neither replace nor take away

foreign=''
for kind in "matchall" "u32 match u32 0 0"; do
	at node tc qdisc replace dev eth0 clsact
	# shellcheck disable=SC2086 # words
	if at node tc filter add dev eth0 ingress prio 50000 $kind action ok 2>/dev/null; then
		foreign=${kind%% *}
		break
	fi
	at node tc qdisc del dev eth0 clsact
done

# ---- attached and judging, in each mode

for mode in native generic off auto; do
	rules "$mode" 80 "$mode"
	# A device does not change between native and generic: one after the other.
	weir detach >/dev/null 2>&1 || true
	if ! weir apply "$TMP/$mode.yaml" >"$TMP/applied" 2>&1; then
		not_ok "xdp: $mode applies" "$(tail -n 1 "$TMP/applied")"
		continue
	fi
	case $mode in auto) wanted=$(xdp_of) ;; *) wanted=$mode ;; esac
	same "xdp: $mode is in force" "$(xdp_of)" "$wanted"
	judges 80 "xdp: $mode judges"
	same "xdp: $mode sees what it drops" "$([ "$(reason default)" -gt 0 ] && echo counted)" counted
done
if has_tcx; then
	same "TC hooks are tcx links: no filter of ours" "$(filters eth0 weir_) $(filters veth-app weir_)" "0 0"
	same "… pinned" "$(find "$(pins)/links" -name 'veth*app*' | wc -l)" 2
else
	same "TC hooks are clsact filters, one for each direction" "$(filters eth0 weir_nic) $(filters veth-app weir_wl)" "2 2"
fi

# ---- another policy, a trial, a rollback

weir apply "$TMP/first.yaml" >/dev/null
weir apply "$TMP/second.yaml" >/dev/null
judges 81 "another policy judges"
weir rollback >/dev/null
judges 80 "rollback goes back"
weir apply --confirm 1s "$TMP/second.yaml" >/dev/null
until_true 10 sh -c "'$WEIR' --netns '$LAB-node' status --json | grep -q '\"trial\": *null'" || true
judges 80 "a trial that nobody confirms falls back"
weir apply --confirm 60s "$TMP/second.yaml" >/dev/null
weir confirm >/dev/null
judges 81 "a trial that is confirmed stays"

# ---- blocks

weir apply "$TMP/first.yaml" >/dev/null
chat client talk tcp:203.0.113.1:80
chat client talk6 tcp:2001:db8:42::10:80
weir block 203.0.113.10 2001:db8:113::/64 --for 10m >/dev/null
same "a block ends what is established" "$(lively talk) $(SETTLE=0 lively talk6)" "stalled stalled"
weir unblock 203.0.113.10 2001:db8:113::/64 >/dev/null
judges 80 "a block that is lifted"
stop talk talk6

# ---- tables that must grow, so that programs and hooks are replaced under a connection

chat client talk tcp:203.0.113.1:80
{
	cat "$TMP/first.yaml"
	printf 'segments:\n'
	for ((i = 0; i < 600; i++)); do printf '  s%d: [192.0.2.%d/32, 2001:db8:%x::/48]\n' "$i" $((i % 256)) "$i"; done
	printf 'deny:\n'
	for ((i = 0; i < 600; i++)); do printf '  - {name: no-%d, from: s%d, to: self, port: tcp/%d}\n' "$i" "$i" $((1000 + i)); done
} >"$TMP/large.yaml"
if weir apply "$TMP/large.yaml" >"$TMP/applied" 2>&1; then
	ok "a policy that needs larger tables applies"
else
	not_ok "a policy that needs larger tables applies" "$(tail -n 1 "$TMP/applied")"
fi
same "the connection goes on" "$(SETTLE=0.1 lively talk)" alive
judges 80 "the larger policy judges"
weir apply "$TMP/first.yaml" >/dev/null
stop talk

# ---- a daemon follows interfaces; one that was killed leaves the kernel judging

spawn node daemon "$WEIR" --netns "$LAB-node" run "$TMP/first.yaml"
until_true 30 grep -q 'in force' "$TMP/daemon.err" || true
lab_workload late 10.42.0.11 2001:db8:42::11
listen late late.log tcp:80 tcp:81
until_true 15 sh -c "'$WEIR' --netns '$LAB-node' status | grep -q '^veth-late '" || true
until_true 15 sh -c "nsenter --net=/run/netns/$LAB-client '$WIRE' reach --wait 300 tcp:10.42.0.11:80 | grep -q open" || true
reach "a workload that came later is judged" client tcp:10.42.0.11:80=open tcp:10.42.0.11:81=silent tcp:2001:db8:42::11:80=open
kill -KILL "${LAB_PIDS[daemon]}"
wait "${LAB_PIDS[daemon]}" 2>/dev/null || true
unset "LAB_PIDS[daemon]"
judges 80 "with every process of weir dead the kernel judges on"

# ---- everything gone

links=$(pins)/links
same "before detach there are hooks" "$([ -n "$(ls "$links" 2>/dev/null)" ] || [ "$(filters eth0 weir_)" -gt 0 ] && echo hooks)" hooks
weir detach >/dev/null
same "detach: no XDP program" "$(ip -n "$LAB-node" -d link show | grep -c 'prog/xdp' || true)" 0
same "detach: no filter of ours" "$(filters eth0 weir_) $(filters veth-app weir_) $(filters veth-late weir_)" "0 0 0"
if [ -n "$foreign" ]; then
	same "detach: the other's filter is there" "$([ "$(filters eth0 "pref 50000 $foreign")" -gt 0 ] && echo there)" there
	same "detach: no qdisc but the other's" "$(at node tc qdisc show | grep -c clsact || true)" 1
else
	skip "detach: the other's filter is there" "this kernel has no classifier but BPF"
	same "detach: no qdisc" "$(at node tc qdisc show | grep -c clsact || true)" 0
fi
same "detach: nothing pinned" "$([ -e "$(pins)" ] && echo left || echo none)" none
reach "detach: nothing held" client tcp:203.0.113.1:80=open tcp:203.0.113.1:81=open tcp:10.42.0.10:81=refused udp:203.0.113.1:53=open
finish
