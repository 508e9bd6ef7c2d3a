#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What else a limit promises: a million units that two CPUs charge at once and never one too many; whose allowance it is
# (per, key); what workloads send; sources that do not fit; several limits on one packet; and that replies are free.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start limits-more
lab_node
lab_nic eth1 192.0.2.1/24 2001:db8:2::1/64
lab_host client 203.0.113.10 2001:db8:113::10
lab_host far 192.0.2.10 2001:db8:2::10 eth1
lab_workload web 10.42.1.7 2001:db8:42:1::7
lab_workload db 10.42.3.79 2001:db8:42:3::79
listen client client.log tcp:9000 tcp:9001
listen db db.log tcp:6379
listen node node.log tcp:80
policy <<'POLICY'
interfaces: [eth0, eth1]
workloads: ["veth*"]
default: {ingress: allow, egress: allow, forward: deny}
limits:
  - {name: hot, to: self, port: udp/2000, count: packets, rate: 10000/second, burst: 100000}
  - {name: source, to: self, port: udp/2001, count: packets, rate: 1/minute, burst: 9}
  - {name: net, to: self, port: udp/2002, count: packets, rate: 1/minute, burst: 9, key: {ipv4: 24, ipv6: 48}}
  - {name: one6, to: self, port: udp/2003, count: packets, rate: 1/minute, burst: 9, key: {ipv6: 128}}
  - {name: destination, to: workloads, port: udp/2004, count: packets, rate: 1/minute, burst: 9, per: destination}
  - {name: pair, to: workloads, port: udp/2005, count: packets, rate: 1/minute, burst: 9, per: pair}
  - {name: rule, to: self, port: udp/2006, count: packets, rate: 1/minute, burst: 9, per: rule}
  - {name: few, to: self, port: udp/2007, count: packets, rate: 1/day, burst: 0, entries: 64, overflow: 10/day}
  - {name: wide, to: self, port: udp/2008-2009, count: packets, rate: 1/minute, burst: 9}
  - {name: narrow, to: self, port: udp/2009, count: packets, rate: 1/minute, burst: 4}
  - {name: sends, from: [10.42.1.7, "2001:db8:42:1::7"], port: tcp/9000, count: connections, rate: 1/minute, burst: 2}
  - {name: tiny, to: self, port: tcp/80, count: connections, rate: 1/minute, burst: 0}
POLICY
counts() { weir show counters --json | json "[c['$2']['packets'] for c in d if c['kind'] == 'limit' and c['rule'] == '$1'][0]"; }
# frames ROLE FROM TO PORT COUNT [IF]
frames() {
	at "$1" "$WIRE" send --dev eth0 --dmac "$(mac_of node "${6:-eth0}")" --from "$2" --to "$3" --proto udp --dport "$4" \
		--count "$5" >/dev/null
}

# A million frames from one source, by two NICs and from two CPUs at once.
burn() {
	nsenter --net="/run/netns/$LAB-$1" taskset -c "$2" "$WIRE" send --dev eth0 --dmac "$(mac_of node "$3")" \
		--from 203.0.113.200 --to 203.0.113.1 --proto udp --dport 2000 --count 500000 --times "$TMP/burn.$2" >/dev/null &
	BURN+=($!)
}
if [ "$(nproc)" -gt 1 ]; then
	BURN=()
	burn client 0 eth0
	burn far 1 eth1
	wait "${BURN[@]}"
	sleep 0.2
	took=$(sort -n -k2 "$TMP/burn.0" "$TMP/burn.1" | awk 'NR == 1 { first = $2 } { last = $2 } END { printf "%.0f\n", last - first }')
	passed=$(counts hot passed)
	# 6 ms: from the stamp of the last frame to its decision, and the tick of the limiter's clock.
	most=$((100001 + (took + 6000000) / 100000))
	between "a million contended units in $((took / 1000000)) ms: never one more than burst + 1 + rate x time" "$passed" 1 "$most"
	between "and not one less" "$passed" $((100001 + (took - 10000000) / 100000)) "$most"
	same "all of them were charged or refused" "$((passed + $(counts hot dropped)))" 1000000
else
	skip "a million contended units" "one CPU"
fi

frames client 203.0.113.200+3 203.0.113.1 2001 60
frames client 2001:db8:113::200 2001:db8:113::1 2001 20
frames client 2001:db8:113::201 2001:db8:113::1 2001 20
same "per source: three addresses have ten each; the two of one /64 share ten" "$(counts source passed)" 40
frames client 203.0.113.200+3 203.0.113.1 2002 60
frames far 192.0.2.200 203.0.113.1 2002 20 eth1
frames client 2001:db8:113::200 2001:db8:113::1 2002 20
frames client 2001:db8:113:7::200 2001:db8:113::1 2002 20
same "key: networks share, other networks do not" "$(counts net passed)" 30
frames client 2001:db8:113::200+3 2001:db8:113::1 2003 60
same "key: whole IPv6 addresses have ten each" "$(counts one6 passed)" 30
frames client 203.0.113.200+3 10.42.1.7 2004 60
frames client 203.0.113.200+3 10.42.3.79 2004 60
same "per destination: whoever sends" "$(counts destination passed)" 20
frames client 203.0.113.200+3 10.42.1.7 2005 60
frames client 203.0.113.200+3 10.42.3.79 2005 60
same "per pair" "$(counts pair passed)" 60
frames client 203.0.113.200+3 203.0.113.1 2006 60
frames client 2001:db8:113::200 2001:db8:113::1 2006 60
same "per rule: all together" "$(counts rule passed)" 10

# 64 entries and 4,096 sources, each once: what finds no place shares the overflow entries, and nobody is forgotten.
frames client 203.0.0.0+4096 203.0.113.1 2007 4096
between "sources that do not fit share the overflow's allowance" "$(counts few passed)" 64 $((64 + 256))
first=$(counts few passed)
frames client 203.0.0.0+16 203.0.113.1 2007 16
between "the flood made the limiter forget nobody who was in" "$(($(counts few passed) - first))" 0 4
same "status says that overflow entries are in use" "$(weir status | grep -ci overflow | sed 's/^[1-9].*/said/')" said

frames client 203.0.113.200 203.0.113.1 2009 20
same "two limits on one packet: the tighter one holds" "$(counts narrow passed)" 5
frames client 203.0.113.200 203.0.113.1 2008 20
same "what it refused has not been charged to the other" "$(counts wide passed)" 10

at web "$WIRE" knock --count 6 --wait 300 tcp:203.0.113.10:9000 >"$TMP/knock"
same "from alone: what a workload opens is limited" "$(grep -c open "$TMP/knock" || true)" 3
at db "$WIRE" knock --count 6 --wait 300 tcp:203.0.113.10:9000 >"$TMP/knock"
same "… and what another opens is not" "$(grep -c open "$TMP/knock" || true)" 6
at web "$WIRE" knock --count 6 --wait 300 tcp:203.0.113.10:9001 >"$TMP/knock"
same "… nor another service" "$(grep -c open "$TMP/knock" || true)" 6

# One connection a minute: the second is refused, the first goes on as long as it likes.
chat client long tcp:203.0.113.1:80
reach "a second connection is over the limit" client tcp:203.0.113.1:80=silent
same "packets of an established connection are not charged" "$(SETTLE=0 lively long)" alive
finish
