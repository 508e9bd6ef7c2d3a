#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A workload sends with addresses that are not its own, and gets nowhere.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start spoofing
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_workload web 10.42.1.7 2001:db8:42:1::7
lab_workload evil 10.42.6.6 2001:db8:42:6::6
lab_workload db 10.42.3.79 2001:db8:42:3::79
policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: {ingress: deny, egress: deny, forward: deny}
segments: {web: [10.42.1.7, "2001:db8:42:1::7"], db: [10.42.3.79, "2001:db8:42:3::79"]}
allow:
  - {from: web, to: db, port: udp/6000}
  - {from: any, to: self, port: udp/6000}
POLICY
spawn db db.seen "$WIRE" sniff --dev eth0 --ports 6000
spawn node node.seen "$WIRE" sniff --raw udp --ports 6000
spawn node node.seen6 "$WIRE" sniff --raw udp -6 --ports 6000
ready db.seen node.seen node.seen6
arrived() {
	local n
	n=$(sed -n 's/^17 6000 //p' "$TMP/$1")
	echo "${n:-0}"
}
# raw ROLE FROM TO
raw() {
	at "$1" "$WIRE" send --dev eth0 --dmac "$(mac_of node "veth-$1")" --proto udp --dport 6000 --count 10 \
		--from "$2" --to "$3" >/dev/null
}

before=$(reason spoofed)
raw evil 10.42.1.7 10.42.3.79
raw evil 2001:db8:42:1::7 2001:db8:42:3::79
raw evil 10.42.1.7 203.0.113.1
raw evil 203.0.113.1 10.42.3.79
raw evil 2001:db8:113::10 2001:db8:113::1
raw evil 10.42.6.7 203.0.113.1
sleep 0.2
same "every frame with a borrowed source is dropped as spoofed" "$(($(reason spoofed) - before))" 60
before=$(reason spoofed)
at evil "$WIRE" send --dev eth0 --dmac ff:ff:ff:ff:ff:ff --proto arp --from 10.42.1.7 --to 10.42.255.254 --count 10 >/dev/null
sleep 0.1
same "an ARP request in another's name is spoofed" "$(($(reason spoofed) - before))" 10
same "ARP in another's name changes no neighbour of the node" \
	"$(ip -n "$LAB-node" neigh show 10.42.1.7 dev veth-evil | grep -c lladdr || true)" 0

# The same frames from their owners arrive, so the senders above were not simply broken.
raw web 10.42.1.7 10.42.3.79
raw web 2001:db8:42:1::7 2001:db8:42:3::79
raw evil 10.42.6.6 203.0.113.1
raw evil 2001:db8:42:6::6 2001:db8:113::1
sleep 0.2
stop db.seen node.seen node.seen6
same "to a workload arrives what its owner sent, and nothing else" "$(arrived db.seen)" 20
same "to the node arrives what its owner sent, and nothing else" "$(arrived node.seen)/$(arrived node.seen6)" 10/10

# A workload that gives itself any number of addresses takes no place from others.
bound() { "$BPFTOOL" -j map dump pinned "$(pins)/maps/weir_local" | json 'len(d)'; }
before=$(bound)
for i in $(seq 0 999); do echo "addr add 10.43.$((i / 250)).$((i % 250 + 1))/32 dev eth0"; done | ip -n "$LAB-evil" -batch -
weir apply "$TMP/policy.yaml" >/dev/null
between "of 1,000 addresses that a workload gives itself 256 at most are bound" "$(($(bound) - before))" 250 256
listen node late.log udp:6000
reach "and others speak as before" web udp:203.0.113.1:6000=open
finish
