#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Replies, and connections that are older than weir: they go on where the policy allows their opening direction and end
# where it does not; a host that may not send opens nothing and lets no datagram out by itself.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start replies
lab_node
lab_nic eth1 192.0.2.1/24 2001:db8:2::1/64
lab_host client 203.0.113.10 2001:db8:113::10
lab_host far 192.0.2.10 2001:db8:2::10 eth1
lab_workload web 10.42.1.7 2001:db8:42:1::7
for role in client node web far; do listen $role $role.log tcp:8080 udp:8081 tcp:9090; done

# Opened before any weir: from outside and from inside, of self and of a workload, and through the node.
start_chats() {
	chat client self_in_tcp "tcp:203.0.113.1:8080"
	chat client self_in_udp "udp:203.0.113.1:8081"
	chat client self_in_tcp6 "tcp:2001:db8:113::1:8080"
	chat client work_in_tcp "tcp:10.42.1.7:8080"
	chat client work_in_udp6 "udp:2001:db8:42:1::7:8081"
	chat node self_out_tcp "tcp:203.0.113.10:8080"
	chat node self_out_udp "udp:203.0.113.10:8081"
	chat node self_out_tcp6 "tcp:2001:db8:113::10:8080"
	chat web work_out_tcp "tcp:203.0.113.10:8080"
	chat web work_out_udp6 "udp:2001:db8:113::10:8081"
	chat client transit_tcp "tcp:192.0.2.10:8080"
}
CHATS=(self_in_tcp self_in_udp self_in_tcp6 work_in_tcp work_in_udp6 self_out_tcp self_out_udp self_out_tcp6
	work_out_tcp work_out_udp6 transit_tcp)
stop_chats() {
	stop "${CHATS[@]}"
	weir detach >/dev/null
}
# states NAME WANTED CHAT…: all of them at once
states() {
	local name=$1 wanted=$2 chat before=() i=0 wrong=''
	shift 2
	sleep 0.3
	for chat in "$@"; do before+=("$(wc -l <"$TMP/$chat")"); done
	sleep 0.4
	for chat in "$@"; do
		if [ "$(wc -l <"$TMP/$chat")" -gt $((before[i++] + 3)) ]; then
			[ "$wanted" = alive ] || wrong+=" $chat"
		else
			[ "$wanted" = stalled ] || wrong+=" $chat"
		fi
	done
	if [ -z "$wrong" ]; then ok "$name"; else not_ok "$name" "not $wanted:$wrong"; fi
}

start_chats
states "all talk before weir" alive "${CHATS[@]}"
policy <<'POLICY'
interfaces: [eth0, eth1]
workloads: ["veth*"]
default: {ingress: allow, egress: deny, forward: allow}
POLICY
states "ingress allow, egress deny: what was opened from outside goes on" alive \
	self_in_tcp self_in_udp self_in_tcp6 work_in_tcp work_in_udp6
states "ingress allow, egress deny: what was opened from inside ends" stalled \
	self_out_tcp self_out_udp self_out_tcp6 work_out_tcp work_out_udp6
states "a transit connection that is allowed goes on" alive transit_tcp
reach "ingress allow, egress deny: the outside opens" client tcp:203.0.113.1:9090=open tcp:10.42.1.7:9090=open \
	udp:203.0.113.1:8081=open udp:2001:db8:42:1::7:8081=open tcp:2001:db8:113::1:9090=open ping:203.0.113.1=open
reach "ingress allow, egress deny: self opens nothing" node tcp:203.0.113.10:9090=silent tcp:2001:db8:113::10:9090=silent \
	udp:203.0.113.10:8081=silent ping:203.0.113.10=silent
reach "ingress allow, egress deny: a workload opens nothing" web tcp:203.0.113.10:9090=silent udp:203.0.113.10:8081=silent \
	tcp:2001:db8:113::10:9090=silent ping:2001:db8:113::10=silent

# No datagram leaves by itself: neither from a port that nobody asked, nor from one that the same peer asked from
# another port of its own (frames, since the listener has that port).
spawn client nothing4 "$WIRE" sniff --dev eth0 --ports 7000
ready nothing4
# leak ROLE FROM TO DMAC
leak() {
	local sport
	for sport in 8081 7001; do
		at "$1" "$WIRE" send --dev eth0 --dmac "$4" --proto udp --sport $sport --dport 7000 --count 20 --from "$2" \
			--to "$3" >/dev/null
	done
}
leak node 203.0.113.1 203.0.113.10 "$(mac_of client)"
leak node 2001:db8:113::1 2001:db8:113::10 "$(mac_of client)"
leak web 10.42.1.7 203.0.113.10 "$(mac_of node veth-web)"
leak web 2001:db8:42:1::7 2001:db8:113::10 "$(mac_of node veth-web)"
at node "$WIRE" say --count 20 udp:203.0.113.10:7000
at web "$WIRE" say --count 20 udp:2001:db8:113::10:7000
sleep 0.2
stop nothing4
same "ingress allow, egress deny: no UDP leaves by itself" "$(grep -c '^17 7000' "$TMP/nothing4" || true)" 0
stop_chats

start_chats
policy <<'POLICY'
interfaces: [eth0, eth1]
workloads: ["veth*"]
default: {ingress: deny, egress: allow, forward: deny}
POLICY
states "ingress deny, egress allow: what was opened from inside goes on" alive \
	self_out_tcp self_out_udp self_out_tcp6 work_out_tcp work_out_udp6
states "ingress deny, egress allow: what was opened from outside ends" stalled \
	self_in_tcp self_in_udp self_in_tcp6 work_in_tcp work_in_udp6
states "a transit connection that is denied ends" stalled transit_tcp
reach "ingress deny, egress allow: the outside opens nothing" client tcp:203.0.113.1:9090=silent tcp:10.42.1.7:9090=silent \
	udp:203.0.113.1:8081=silent ping:203.0.113.1=silent tcp:2001:db8:42:1::7:9090=silent
reach "ingress deny, egress allow: self opens" node tcp:203.0.113.10:9090=open udp:203.0.113.10:8081=open \
	ping:203.0.113.10=open tcp:2001:db8:113::10:9090=open ping:2001:db8:113::10=open
reach "ingress deny, egress allow: a workload opens" web tcp:203.0.113.10:9090=open udp:203.0.113.10:8081=open \
	tcp:2001:db8:113::10:9090=open ping:203.0.113.10=open

# A policy that forbids what goes on: ends at its next packet; and one that allows it again lets it go on.
policy <<'POLICY'
interfaces: [eth0, eth1]
workloads: ["veth*"]
default: {ingress: deny, egress: deny, forward: deny}
POLICY
states "a new policy ends what the old one allowed" stalled self_out_tcp self_out_udp work_out_tcp work_out_udp6
policy <<'POLICY'
interfaces: [eth0, eth1]
workloads: ["veth*"]
default: {ingress: deny, egress: deny, forward: deny}
segments: {client: [203.0.113.10, "2001:db8:113::10"]}
allow: [{from: [self, workloads], to: client, port: [tcp/8080, udp/8081]}]
POLICY
states "rules that name the port let it go on" alive self_out_udp work_out_udp6
finish
