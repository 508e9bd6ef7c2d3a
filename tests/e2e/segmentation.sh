#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Who may talk to whom, at every home and over both families: what a rule allows arrives, what none allows reaches no
# socket, and each packet is judged once for each (address, direction).
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start segmentation
lab_node
lab_nic eth1 192.0.2.1/24 2001:db8:2::1/64
lab_host client 203.0.113.10 2001:db8:113::10
lab_host stranger 203.0.113.66 2001:db8:113::66
lab_host far 192.0.2.10 2001:db8:2::10 eth1
lab_workload web 10.42.1.7 2001:db8:42:1::7
lab_workload db 10.42.3.79 2001:db8:42:3::79

for role in client far web db node; do listen $role $role.log tcp:22 tcp:80 tcp:81 udp:53 udp:54 tcp:6379 sink:99; done

policy <<'POLICY'
interfaces: [eth0, eth1]
workloads: ["veth*"]
default: {ingress: deny, egress: deny, forward: deny}
segments:
  client: [203.0.113.10, "2001:db8:113::10"]
  far: [192.0.2.10, "2001:db8:2::10"]
  web: [10.42.1.7, "2001:db8:42:1::7"]
  db: [10.42.3.79, "2001:db8:42:3::79"]
allow:
  - {from: client, to: self, port: [tcp/80, udp/53, icmp/echo-request, icmpv6/echo-request, udp/99, proto/99]}
  - {from: client, to: web, port: [tcp/80, udp/53, udp/99, icmp/echo-request, icmpv6/echo-request]}
  - {from: web, to: db, port: [tcp/6379, udp/99]}
  - {from: web, to: self, port: [udp/53, tcp/80, udp/99]}
  - {from: self, to: db, port: [tcp/6379, udp/99]}
  - {from: self, to: client, port: [tcp/81, udp/54, udp/99]}
  - {from: web, to: client, port: [tcp/81, udp/54, udp/99]}
  - {from: client, to: far, port: [tcp/80, udp/53, udp/99, icmp/echo-request, icmpv6/echo-request]}
POLICY

# Both families of one target: both HOST4 HOST6 KIND PORT STATE
both() {
	echo "$3:$1${4:+:$4}=$5" "$3:$2${4:+:$4}=$5"
}
node() { both 203.0.113.1 2001:db8:113::1 "$@"; }
far() { both 192.0.2.10 2001:db8:2::10 "$@"; }
web() { both 10.42.1.7 2001:db8:42:1::7 "$@"; }
db() { both 10.42.3.79 2001:db8:42:3::79 "$@"; }
client() { both 203.0.113.10 2001:db8:113::10 "$@"; }

# shellcheck disable=SC2046 # one word for each target
{
	reach "NIC to self" client $(node tcp 80 open) $(node udp 53 open) $(node ping '' open) \
		$(node tcp 81 silent) $(node tcp 22 open) $(node udp 54 silent)
	reach "NIC to self, a source that no rule names" stranger $(node tcp 80 silent) $(node udp 53 silent) \
		$(node ping '' silent) $(node tcp 22 open)
	reach "NIC to workload" client $(web tcp 80 open) $(web udp 53 open) $(web ping '' open) \
		$(web tcp 81 silent) $(web tcp 22 silent) $(web udp 54 silent) $(db tcp 6379 silent) $(db ping '' silent)
	reach "NIC to workload, a source that no rule names" stranger $(web tcp 80 silent) $(web udp 53 silent) \
		$(web ping '' silent)
	reach "workload to workload" web $(db tcp 6379 open) $(db tcp 80 silent) $(db udp 53 silent) $(db ping '' silent)
	reach "workload to workload, the other way" db $(web tcp 80 silent) $(web tcp 6379 silent) $(web udp 53 silent)
	reach "workload to self" web $(node tcp 80 open) $(node udp 53 open) $(node tcp 22 open) $(node tcp 81 silent) \
		$(node udp 54 silent) $(node ping '' silent)
	reach "workload to self, one that no rule names" db $(node tcp 80 silent) $(node udp 53 silent)
	reach "self to workload" node $(db tcp 6379 open) $(db tcp 80 silent) $(db udp 53 silent) $(web tcp 80 silent)
	reach "self to NIC" node $(client tcp 81 open) $(client udp 54 open) $(client tcp 80 silent) \
		$(client udp 53 silent) $(far tcp 80 silent)
	reach "workload to NIC" web $(client tcp 81 open) $(client udp 54 open) $(client tcp 80 silent) $(far tcp 80 silent)
	reach "workload to NIC, one that no rule names" db $(client tcp 81 silent) $(client udp 54 silent)
	reach "transit" client $(far tcp 80 open) $(far udp 53 open) $(far ping '' open) $(far tcp 81 silent) \
		$(far udp 54 silent)
	reach "transit, the other way" far $(client tcp 80 silent) $(client tcp 81 silent) $(client udp 53 silent)
}

# Protocols without ports.
for proto in 98 99; do
	spawn node proto$proto.4 "$WIRE" sniff --raw $proto
	spawn node proto$proto.6 "$WIRE" sniff --raw $proto -6
done
ready proto99.4 proto99.6 proto98.4 proto98.6
# other ROLE PROTO V4 V6
other() {
	local mac
	mac=$(mac_of node)
	at "$1" "$WIRE" send --dev eth0 --dmac "$mac" --proto "$2" --from "$3" --to 203.0.113.1 --len 40 --count 10 >/dev/null
	at "$1" "$WIRE" send --dev eth0 --dmac "$mac" --proto "$2" --from "$4" --to 2001:db8:113::1 --len 40 --count 10 >/dev/null
}
other client 99 203.0.113.10 2001:db8:113::10
other client 98 203.0.113.10 2001:db8:113::10
other stranger 99 203.0.113.66 2001:db8:113::66
sleep 0.2
stop proto99.4 proto99.6 proto98.4 proto98.6
same "a protocol without ports, from whom a rule names" \
	"$(grep '^99' "$TMP/proto99.4") $(grep '^99' "$TMP/proto99.6")" "99 0 10 99 0 10"
same "another protocol" "$(cat "$TMP/proto98.4" "$TMP/proto98.6" | grep -c '^98' || true)" 0

# Datagrams in three fragments; the listener is told of whole ones only.
fragments() { grep -cE "^udp 99 ($2)$" "$TMP/$1.log" || true; }
for target in 203.0.113.1 2001:db8:113::1 10.42.1.7 2001:db8:42:1::7 192.0.2.10 2001:db8:2::10; do
	at client "$WIRE" say --len 4000 --count 5 "udp:$target:99"
	at stranger "$WIRE" say --len 4000 --count 5 "udp:$target:99"
done
at web "$WIRE" say --len 4000 --count 5 udp:10.42.3.79:99
at web "$WIRE" say --len 4000 --count 5 udp:2001:db8:42:3::79:99
at node "$WIRE" say --len 4000 --count 5 udp:203.0.113.10:99
at node "$WIRE" say --len 4000 --count 5 udp:2001:db8:113::10:99
sleep 0.2
same "fragments to self, to a workload, in transit: all datagrams whole" \
	"$(for to in node web far; do fragments $to '203\.0\.113\.10|2001:db8:113::10'; done | tr '\n' ' ')" "10 10 10 "
same "fragments from a workload to another, and from self" \
	"$(fragments db '10\.42\.1\.7|2001:db8:42:1::7') $(fragments client '203\.0\.113\.1|2001:db8:113::1')" "10 10"
same "fragments of a source that no rule names" \
	"$(for to in node web far; do fragments $to '203\.0\.113\.66|2001:db8:113::66'; done | tr '\n' ' ')" "0 0 0 "

# What was refused above must not have reached any socket, whatever the sender saw.
# reached ROLE LINES [BUT]: how many lines of its listener's log match, less those that match BUT.
reached() { grep -E "$2" "$TMP/$1.log" | grep -cvE "${3:-^$}" || true; }
same "no denied packet reached a socket of self" \
	"$(reached node '^(tcp 81|udp 54|tcp 6379) |\.113\.66$|:113::66$|10\.42\.3\.79|:3::79' '^tcp 22 ')" 0
same "no denied packet reached a socket of web" \
	"$(reached web '^(tcp 81|tcp 22|udp 54|tcp 6379) |\.113\.66$|:113::66$|10\.42\.|:42:')" 0
same "no denied packet reached a socket of db" "$(reached db '^(tcp 80|tcp 22|tcp 81|udp 5[34]) |203\.0\.113|:113:')" 0
same "no denied packet reached a socket of client" \
	"$(reached client '^(tcp 80|udp 53) |10\.42\.3\.79|:3::79|192\.0\.2\.10|:2::10')" 0
same "no denied packet reached a socket of far" "$(reached far '^(tcp 81|udp 54) |203\.0\.113\.1$|:113::1$|10\.42|:42:')" 0

# Each (address, direction) is judged exactly once: ten datagrams to a socket that does not answer, counters before and after.
HOMES=(self_in self_out workload_in workload_out forward)
snapshot() {
	"$BPFTOOL" -j map dump pinned "$(pins)/maps/weir_homecnt" | "$PYTHON" "$LAB_DIR/bpfdump.py" count >"$TMP/homes.$1"
}
homes() {
	local i a b text=''
	for i in "${!HOMES[@]}"; do
		a=$(sed -n "s/^index=$i passed_packets=\([0-9]*\) .*dropped_packets=\([0-9]*\) .*/\1+\2/p" "$TMP/homes.before")
		b=$(sed -n "s/^index=$i passed_packets=\([0-9]*\) .*dropped_packets=\([0-9]*\) .*/\1+\2/p" "$TMP/homes.after")
		[ "$((${b:-0} - (${a:-0})))" = 0 ] || text+="${HOMES[$i]}=$((${b:-0} - (${a:-0}))) "
	done
	echo "${text% }"
}
# once NAME ROLE TARGET WANTED
once() {
	local family
	for family in 4 6; do
		local target=$3
		[ $family = 6 ] && target=$4
		# Neighbours are resolved before, so that nothing but the ten datagrams moves.
		at "$2" "$WIRE" say "udp:$target:99"
		sleep 0.1
		snapshot before
		at "$2" "$WIRE" say --count 10 "udp:$target:99"
		sleep 0.1
		snapshot after
		same "judged once: $1, IPv$family" "$(homes)" "$5"
	done
}
once "NIC to self" client 203.0.113.1 2001:db8:113::1 "self_in=10"
once "NIC to workload" client 10.42.1.7 2001:db8:42:1::7 "workload_in=10"
once "workload to workload" web 10.42.3.79 2001:db8:42:3::79 "workload_in=10 workload_out=10"
once "workload to self" web 203.0.113.1 2001:db8:113::1 "self_in=10 workload_out=10"
once "self to workload" node 10.42.3.79 2001:db8:42:3::79 "self_out=10 workload_in=10"
once "self to NIC" node 203.0.113.10 2001:db8:113::10 "self_out=10"
once "workload to NIC" web 203.0.113.10 2001:db8:113::10 "workload_out=10"
once "transit" client 192.0.2.10 2001:db8:2::10 "forward=10"
# Denied on leaving: judged where it was dropped, and nowhere after.
once "workload to NIC, denied" db 203.0.113.10 2001:db8:113::10 "workload_out=10"
once "NIC to self, denied" stranger 203.0.113.1 2001:db8:113::1 "self_in=10"
once "transit, denied" far 203.0.113.10 2001:db8:113::10 "forward=10"
finish
