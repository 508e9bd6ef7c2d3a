#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A bridge of workloads: those that are bound go on as before; a port that comes later is closed until its hook is there,
# whatever address it takes, and nobody reaches it.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start guard
lab_node
ip -n "$LAB-node" link add br-back type bridge forward_delay 0
ip -n "$LAB-node" addr add 10.9.0.1/24 dev br-back
ip -n "$LAB-node" addr add 2001:db8:9::1/64 dev br-back nodad
ip -n "$LAB-node" link set br-back up

# port ROLE N: a veth in the bridge, and behind it 10.9.0.N, 2001:db8:9::N
port() {
	ip -n "$LAB-node" link add "veth$1" type veth peer name eth0 netns "$LAB-$1"
	ip -n "$LAB-node" link set "veth$1" master br-back up
	ip -n "$LAB-$1" addr add "10.9.0.$2/24" dev eth0
	ip -n "$LAB-$1" addr add "2001:db8:9::$2/64" dev eth0 nodad
	ip -n "$LAB-$1" link set eth0 up
	ip -n "$LAB-$1" route add default via 10.9.0.1
}
for role in one two late; do lab_namespace "$role"; done
port one 2
port two 3
listen node node.log tcp:9000 udp:9001 udp:9005
listen one one.log tcp:9000 udp:9005
listen two two.log tcp:9000
listen late late.log tcp:9000 udp:9001

policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: allow
POLICY
reach "who is bound reaches the node, and the other" one tcp:10.9.0.1:9000=open udp:10.9.0.1:9001=open ping:10.9.0.1=open \
	tcp:10.9.0.3:9000=open ping:2001:db8:9::1=open tcp:2001:db8:9::1:9000=open tcp:2001:db8:9::3:9000=open
reach "and is reached by the node" node tcp:10.9.0.2:9000=open ping:2001:db8:9::3=open
chat one goes_on tcp:10.9.0.1:9000
same "nothing of them was taken for another's" "$(reason spoofed)/$(reason not_bound)/$(reason unknown_interface)" 0/0/0

port late 4
mac=$(ip -n "$LAB-node" -j link show dev br-back | json "d[0]['address']")
# neighbours: it is not to be the missing answer to ARP that keeps it in
neighbours() {
	ip -n "$LAB-late" neigh replace 10.9.0.1 lladdr "$mac" dev eth0
	ip -n "$LAB-late" neigh replace 2001:db8:9::1 lladdr "$mac" dev eth0
	ip -n "$LAB-late" neigh replace 10.9.0.2 lladdr "$(mac_of one)" dev eth0
}
neighbours
reach "a port without hooks reaches nobody" late tcp:10.9.0.1:9000=silent udp:10.9.0.1:9001=silent ping:10.9.0.1=silent \
	ping:2001:db8:9::1=silent udp:10.9.0.2:9005=silent
reach "and nobody reaches it" node tcp:10.9.0.4:9000=silent ping:2001:db8:9::4=silent
before=$(reason spoofed)
ip -n "$LAB-late" addr flush dev eth0
ip -n "$LAB-late" addr add 10.9.0.3/24 dev eth0
neighbours
reach "nor by the address of another" late udp:10.9.0.1:9005=silent udp:10.9.0.2:9005=silent
same "none of it arrived" "$(grep -c 'udp 9005' "$TMP/node.log" "$TMP/one.log" | cut -d: -f2 | paste -sd/)" 0/0
between "it is counted" "$(($(reason spoofed) - before))" 1 1000
# shellcheck disable=SC2317 # until_true calls it
going() { [ "$(lively goes_on)" = alive ]; }
if until_true 10 going; then ok "the others go on"; else not_ok "the others go on" "stalled"; fi

ip -n "$LAB-late" addr flush dev eth0
ip -n "$LAB-late" addr add 10.9.0.4/24 dev eth0
weir apply "$TMP/policy.yaml" >/dev/null
reach "once it is bound it is one of them" late tcp:10.9.0.1:9000=open tcp:10.9.0.2:9000=open
finish
