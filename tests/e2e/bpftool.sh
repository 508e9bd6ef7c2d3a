#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# bpftool alone reads back what weir keeps: a source's state under a limit, a counter, a block, the programs by name.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start bpftool
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_workload web 10.42.1.7 2001:db8:42:1::7
listen node node.log tcp:80
policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: {ingress: deny, egress: deny, forward: deny}
allow: [{from: any, to: self, port: tcp/80}]
limits: [{name: l, to: self, port: tcp/80, count: connections, rate: 3/minute, burst: 2}]
POLICY
MAPS=$(pins)/maps
dump() { "$BPFTOOL" -j map dump pinned "$MAPS/$1" | "$PYTHON" "$LAB_DIR/bpfdump.py" "${@:2}"; }
uptime_16th() { "$PYTHON" -c 'import time; print(time.monotonic_ns() * 16)'; }

at client "$WIRE" knock --count 5 --wait 300 tcp:203.0.113.1:80 >"$TMP/knock"
same "three connections pass, two do not" "$(grep -c open "$TMP/knock")" 3
dump weir_tat tat 203.0.113.10 >"$TMP/tat"
same "one entry holds this source, its address in wire order" "$(sed 's/ tat.*//' "$TMP/tat")" "key=0xff000000cb00710a"
# Three units of 20 s in 1/16 ns, from the first connection on.
ahead=$((($(sed 's/.*tat=//' "$TMP/tat") - $(uptime_16th)) / 16000000000))
between "its state: seconds until the allowance is whole again" "$ahead" 50 60
at client "$WIRE" reach --wait 300 tcp:2001:db8:113::1:80 >/dev/null
same "an IPv6 source is its /64" "$(dump weir_tat tat 2001:db8:113::10 | sed 's/ tat.*//')" "key=0x20010db801130000"

same "the limit's counter" "$(dump weir_limcnt count | sed -n 's/.* passed_packets=\([0-9]*\).* dropped_packets=\([0-9]*\).*/\1 \2/p')" "4 2"
before=$(counted weir_rsncnt 26 dropped_packets)
at client "$WIRE" knock --count 3 --wait 100 tcp:203.0.113.1:80 >/dev/null
same "the counter of reason 26, over a limit" "$(($(counted weir_rsncnt 26 dropped_packets) - before))" 3

weir block 203.0.113.10 2001:db8:113::/64 --for 10m >/dev/null
same "a block of an address" "$(dump weir_block block 203.0.113.10)" 128
same "a block of a prefix" "$(dump weir_block block 2001:db8:113::)" 64
"$BPFTOOL" map dump pinned "$MAPS/weir_block" >"$TMP/block"
for field in prefixlen address byte expires_ns since_ns; do
	same "the dump of a block names $field" "$(grep -c "\"$field\"" "$TMP/block" | sed 's/^[1-9].*/named/')" named
done

same "every map's name begins with weir_" \
	"$(find "$MAPS" -type f -printf '%f\n' | grep -cv '^weir_' || true)" 0
unnamed=''
for map in "$MAPS"/*; do
	"$BPFTOOL" -j map show pinned "$map" | json "'btf_id' in d or d['type'] in ('perf_event_array', 'array_of_maps')" |
		grep -q True || unnamed+=" ${map##*/}"
done
same "every map has typed keys and values" "$unnamed" ""
same "bpftool prog show knows the programs" \
	"$("$BPFTOOL" -j prog show | json "sorted({p['name'] for p in d if p.get('name', '').startswith('weir_')} & {'weir_xdp', 'weir_nic_in', 'weir_nic_out', 'weir_wl_in', 'weir_wl_out'})")" \
	"['weir_nic_in', 'weir_nic_out', 'weir_wl_in', 'weir_wl_out', 'weir_xdp']"
# bpftool of Debian 12 knows no tcx links: the XDP program by its id.
id=$(at node "$BPFTOOL" -j net show | json "[x['id'] for n in d for x in n['xdp'] if x['devname'] == 'eth0'][0]")
same "and where they are attached" "$("$BPFTOOL" -j prog show id "$id" | json "d['name']")" weir_xdp

weir detach >/dev/null
same "after detach nothing is pinned" "$([ -e "$(pins)" ] && echo left || echo none)" none
same "and nothing is attached" "$(at node "$BPFTOOL" -j net show | json "[x for n in d for x in n['xdp'] + n['tc']]")" "[]"
reach "and nothing is held" client tcp:203.0.113.1:80=open tcp:10.42.1.7:80=refused
finish
