#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Hostile and ordinary frames on a wire, to real sockets: what the stack delivers without a filter, what comes through weir
# (native and generic XDP, TC alone) and through nftables' inet chain, with an allowlist and with a denylist. Three parts:
# main; l3, the same packets by a device without Ethernet headers; site, listed VLANs and the two kinds of reverse path check.
# The cases are in tests/lib/hostile_cases.py. TABLE=1 prints the whole table (make wire).
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"
lab_start wire
[ -n "$PYTHON" ] || {
	skip wire "needs python3"
	exit 0
}

# host PART: as careless as its settings let it be, behind one wire; on the other end nobody but the sender.
host() {
	local n link="link add eth0 type veth peer name eth0 netns $LAB-peer"
	if [ "$1" = l3 ]; then link="tuntap add dev eth0 mode tun"; fi
	ip netns add "$LAB-node"
	ip netns add "$LAB-peer"
	# shellcheck disable=SC2016 # the inner shell expands
	at node sh -c '
		set -e
		cd /proc/sys/net
		echo 0 >ipv4/conf/all/rp_filter
		echo 0 >ipv4/conf/default/rp_filter
		for f in accept_source_route accept_local route_localnet; do
			echo 1 >ipv4/conf/all/$f
			echo 1 >ipv4/conf/default/$f
		done
		for f in accept_redirects secure_redirects arp_accept; do echo 1 >ipv4/conf/default/$f; done
		for f in seg6_enabled rpl_seg_enabled; do
			for c in all default; do [ ! -e ipv6/conf/$c/$f ] || echo 1 >ipv6/conf/$c/$f; done
		done
		echo 1 >ipv6/conf/default/accept_source_route
		echo 0 >ipv6/conf/default/suppress_frag_ndisc
		echo 0 >ipv6/conf/default/router_solicitations
		echo 0 >ipv6/conf/default/accept_dad
		echo 0 >ipv4/icmp_echo_ignore_broadcasts
		echo 0 >ipv4/icmp_ratelimit
		echo 0 >ipv6/icmp/ratelimit
		echo 0 >ipv4/tcp_syncookies
		echo "0 2147483647" >ipv4/ping_group_range'
	at peer sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'
	ip -n "$LAB-node" -batch - <<-BATCH
		link set lo up
		$link
		link set eth0 addrgenmode none mtu 3000 up
		addr add 203.0.113.1/24 brd + dev eth0
		addr add 203.0.113.7/24 dev eth0
		$(printf 'addr add %s/64 dev eth0 nodad\n' 2001:db8:113::{1,7,d1,d2} fe80::1)
	BATCH
	[ "$1" = l3 ] || ip -n "$LAB-peer" link set eth0 mtu 3000 up
	{
		echo "route add default via 203.0.113.254 dev eth0"
		echo "route add default via fe80::fe dev eth0 metric 1"
		for ((n = 2; n < 255; n++)); do
			if ((n < 150 || n > 252)) && ((n != 7)); then
				echo "neigh replace 203.0.113.$n lladdr 02:00:00:00:00:01 dev eth0 nud permanent"
			fi
			if ((n != 7 && n != 0xd1 && n != 0xd2)); then
				printf 'neigh replace %s%x lladdr 02:00:00:00:00:01 dev eth0 nud permanent\n' 2001:db8:113:: "$n" fe80:: "$n"
			fi
		done
		printf 'neigh replace 2001:db8:113::6:%x lladdr 02:00:00:00:00:02 dev eth0 nud stale\n' {0..15}
	} | ip -n "$LAB-node" -batch -
	if [ "$1" = site ]; then second_link; fi
}

no_host() {
	lab_remove_namespaces "$LAB-node $LAB-peer"
}

# Another link, whose hosts' addresses are no business of eth0, and prefixes with no way back.
second_link() {
	ip -n "$LAB-node" -batch - <<-BATCH
		link add eth1 type veth peer name eth1 netns $LAB-peer
		link set eth1 addrgenmode none up
		addr add 198.51.100.1/24 dev eth1
		addr add 2001:db8:51::1/64 dev eth1 nodad
		route add blackhole 192.0.2.0/24
		route add blackhole 2001:db8:dead::/48
	BATCH
	ip -n "$LAB-peer" link set eth1 up
}

# shoot PART RUN ARG...: its cases at the host.
shoot() {
	local peer=(--peer "$LAB-peer")
	if [ "$1" = l3 ]; then peer=(); fi
	"$PYTHON" -B "$LAB_DIR/hostile.py" run "$LAB-node" "$TMP/$2.json" --part "$1" "${peer[@]}" "${@:3}"
}

open=udp/4000,udp/4002,udp/4004,udp/67,tcp/8000
known=icmp/echo-request,icmpv6/echo-request,sctp/5000
protocols=0,2,4,33,41,47,50,51,59,89,103,112,136,253,255
known+=,proto/${protocols//,/,proto\/}
friends='203.0.113.10, "2001:db8:113::10"'
foes='203.0.113.66, "2001:db8:113::66"'

# weir_policy XDP allow|deny|strict|loose
weir_policy() {
	echo "limits: [{name: once, from: [198.18.0.0/16, \"2001:db8:99::/48\"], to: self, port: udp/4004, count: packets, rate: 1/day}]"
	case $2 in
	deny)
		cat <<-POLICY
			interfaces: [{name: eth0, xdp: $1}]
			default: allow
			deny:
			  - {name: shut, to: self, port: [udp/4001, udp/4003, tcp/8001]}
			  - {name: foes, from: [$foes], to: self, port: [$known]}
		POLICY
		return
		;;
	allow) echo "interfaces: [{name: eth0, xdp: $1}]" ;;
	*)
		echo "interfaces: [{name: eth0, xdp: $1, antispoof: $2}]"
		echo "vlans: [5]"
		friends+=', 198.51.100.0/24, "2001:db8:51::/64"'
		;;
	esac
	cat <<-POLICY
		default: {ingress: deny, egress: allow}
		allow:
		  - {name: open, to: self, port: [$open]}
		  - {name: friends, from: [$friends], to: self, port: [$known]}
	POLICY
}

# nft_policy allow|deny|strict|loose: the same for nft.
nft_policy() {
	local verdict=accept default=drop from4='{ 203.0.113.10' from6='{ 2001:db8:113::10'
	case $1 in
	deny) verdict=drop default=accept from4='{ 203.0.113.66' from6='{ 2001:db8:113::66' ;;
	strict | loose) from4+=', 198.51.100.0/24' from6+=', 2001:db8:51::/64' ;;
	esac
	echo "table inet wire {"
	echo "chain input {"
	echo "type filter hook input priority filter; policy $default;"
	case $1 in
	strict | loose)
		echo "ip saddr != 0.0.0.0 fib saddr ${1/strict/. iif} oif missing drop" | sed 's/saddr loose/saddr/'
		echo "meta nfproto ipv6 meta l4proto != ipv6-icmp fib saddr ${1/strict/. iif} oif missing drop" | sed 's/saddr loose/saddr/'
		;;
	esac
	echo "ct state invalid drop"
	if [ "$verdict" = accept ]; then
		cat <<-'RULES'
			ct state established,related accept
			iif lo accept
			icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept
			icmpv6 type { mld-listener-query, mld-listener-report, mld2-listener-report, mld-listener-done } accept
			ip daddr 224.0.0.0/4 ip protocol igmp accept
			udp sport 67 udp dport 68 accept
			ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
			udp dport { 67, 4000, 4002, 4004 } accept
			tcp dport 8000 accept
		RULES
	else
		echo "udp dport { 4001, 4003 } drop"
		echo "tcp dport 8001 drop"
	fi
	cat <<-RULES
		ip saddr $from4 } icmp type echo-request $verdict
		ip6 saddr $from6 } icmpv6 type echo-request $verdict
		ip saddr $from4 } meta l4proto { $protocols } $verdict
		ip6 saddr $from6 } meta l4proto { $protocols } $verdict
		ip saddr $from4 } sctp dport 5000 $verdict
		ip6 saddr $from6 } sctp dport 5000 $verdict
		}
		}
	RULES
}

# measure PART "MODE..." POLICY...: without a filter first, then every mode under every policy, on a host a mode: loading
# takes longest. The first goes frame by frame.
measure() {
	local part=$1 mode
	host "$part"
	shoot "$part" truth
	no_host
	for mode in $2; do
		host "$part"
		under_weir "$part" "$mode" "${@:3}"
		no_host
	done
	host "$part"
	under_nft "$part" "${@:3}"
	no_host
	"$PYTHON" -B "$LAB_DIR/hostile.py" report "$TMP" --part "$part" ${TABLE:+--table} || FAILED=1
}

under_weir() {
	local part=$1 mode=$2 policy first=1 sums
	for policy in "${@:3}"; do
		(weir_policy "${mode/tc/off}" "$policy") | policy
		same "$part: $mode, $policy" "$(weir status --json | json "[i['xdp'] for i in d['interfaces'] if i['name'] == 'eth0']")" \
			"['${mode/tc/off}']"
		if [ "$first$mode" = 1native ] || [ "$first$part" = 1l3 ]; then
			sums=$(shoot "$part" "$mode-$policy" --reasons "$(pins)")
			same "$part: what weir show says of the reasons" "$(weir show counters --json | json \
				"' '.join(sorted(c['rule'] + '=' + str(c['dropped']['packets']) for c in d if c['kind'] == 'reason' and c['dropped']['packets']))")" "$sums"
		else
			shoot "$part" "$mode-$policy" --first "$first"
		fi
		first=3001
	done
}

under_nft() {
	local part=$1 policy first=1
	for policy in "${@:2}"; do
		if ! { [ "$first" = 1 ] || echo "delete table inet wire"; nft_policy "$policy"; } | at node nft -f - 2>"$TMP/nft.err"; then
			skip "$part: nft beside it" "$(head -n 1 "$TMP/nft.err")"
			return
		fi
		shoot "$part" "nft-$policy" --first "$first"
		first=3001
	done
}

# Each part in namespaces of its own: ordinary NICs beside the two that are shorter.
LAB_ROLES=({main,site,l3}-{node,peer})
part() {
	LAB=$LAB-$1 TMP=$TMP/$1
	mkdir "$TMP"
	export WEIR_STATE_DIR=$TMP/state
	measure "$@"
	finish
}

in_background() {
	part "$@" >"$TMP/$1.out" 2>&1 &
	LAB_PIDS[$1]=$!
}

ended() {
	wait "${LAB_PIDS[$1]}" || FAILED=1
	unset "LAB_PIDS[$1]"
	cat "$TMP/$1.out"
}

in_background main "native generic tc" allow deny
in_background site "native generic tc" strict loose
ended site
if [ -c /dev/net/tun ]; then
	in_background l3 tc allow deny
	ended l3
else
	skip "packets without Ethernet headers" "no /dev/net/tun"
fi
ended main
finish
