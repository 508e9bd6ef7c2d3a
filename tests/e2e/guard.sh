#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A bridge of workloads: those that are bound go on as before; a port that comes later is closed until its hook is there,
# whatever address it takes, and nobody reaches it.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start guard
lab_node
ip -n "$LAB-node" link add br-back address 02:00:00:00:09:01 type bridge forward_delay 0
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

# Whoever may give itself addresses takes the bridge's link-local one, and a neighbour's: on one link they stay whose they are.
link_local() { ip -n "$LAB-$1" -6 -j addr show dev "$2" scope link | json "[a['local'] for l in d for a in l.get('addr_info', []) if 'local' in a][0]"; }
for address in "$(link_local node br-back)" "$(link_local one eth0)"; do
	ip -n "$LAB-late" addr add "$address/64" dev eth0 nodad
done
weir apply "$TMP/policy.yaml" >/dev/null
same "an address of the same link is not bound twice" "$("$BPFTOOL" -j map dump pinned "/sys/fs/bpf/weir/$LAB-node/maps/weir_local" |
	"$PYTHON" -c 'import ipaddress, json, sys
late, wanted = int(sys.argv[1]), {ipaddress.ip_address(a).packed for a in sys.argv[2:]}
def raw(value):
    return bytes(int(b, 16) for b in value)
print(sum(int.from_bytes(raw(e["value"])[4:8], "little") == late and any(w in raw(e["key"]) for w in wanted) for e in json.load(sys.stdin)))' \
		"$(ip -n "$LAB-node" -j link show dev vethlate | json "d[0]['ifindex']")" \
		"$(link_local node br-back)" "$(link_local one eth0)")" 0

# An index that is used again: known as a workload's, bound, and without a hook until somebody looks.
index=$(ip -n "$LAB-node" -j link show dev vethtwo | json "d[0]['ifindex']")
ip -n "$LAB-node" link del vethtwo
ip -n "$LAB-node" link add vethtwo index "$index" type veth peer name eth0 netns "$LAB-two"
ip -n "$LAB-node" link set vethtwo master br-back up
ip -n "$LAB-two" link set eth0 up
before=$(reason unknown_interface)
at two "$WIRE" send --dev eth0 --dmac "$(mac_of one)" --from 10.9.0.3 --to 10.9.0.2 --proto udp --dport 9005 --count 50 >/dev/null
sleep 0.2
same "a port without hooks reaches none that has, though it is known and sends from what was bound to it" \
	"$(grep -c 'udp 9005 10.9.0.3' "$TMP/one.log" || true)" 0
between "which is counted" "$(($(reason unknown_interface) - before))" 50 60
finish
