#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Hostile and ordinary frames on a wire, to real sockets: what the stack delivers without a filter, what comes through weir
# (native and generic XDP, TC alone) and through nftables' inet chain, with an allowlist and with a denylist.
# TABLE=1 prints the whole table (make wire).
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"
lab_start wire
export WEIR_STATE_DIR="$TMP/state"
[ -n "$PYTHON" ] || {
	skip wire "needs python3"
	exit 0
}
mkdir "$TMP/main"

# A host that is as careless as its settings let it be, behind one wire; on the other end nobody but the sender.
host() {
	local n
	LAB_ROLES+=(node peer)
	ip netns add "$LAB-node"
	ip netns add "$LAB-peer"
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
		link add eth0 type veth peer name eth0 netns $LAB-peer
		link set eth0 addrgenmode none mtu 3000 up
		addr add 203.0.113.1/24 brd + dev eth0
		addr add 203.0.113.7/24 dev eth0
		$(printf 'addr add %s/64 dev eth0 nodad\n' 2001:db8:113::{1,7,d1,d2} fe80::1)
	BATCH
	ip -n "$LAB-peer" link set eth0 mtu 3000 up
	{
		echo "route add default via 203.0.113.254 dev eth0"
		echo "route add default via fe80::fe dev eth0 metric 1"
		for ((n = 2; n < 255; n++)); do
			if ((n < 150 || n == 254)) && ((n != 7)); then
				echo "neigh replace 203.0.113.$n lladdr 02:00:00:00:00:01 dev eth0 nud permanent"
			fi
			if ((n != 7 && n != 0xd1 && n != 0xd2)); then
				printf 'neigh replace %s%x lladdr 02:00:00:00:00:01 dev eth0 nud permanent\n' 2001:db8:113:: "$n" fe80:: "$n"
			fi
		done
		printf 'neigh replace 2001:db8:113::6:%x lladdr 02:00:00:00:00:02 dev eth0 nud stale\n' {0..15}
	} | ip -n "$LAB-node" -batch -
}

no_host() {
	lab_remove_namespaces "$LAB-node $LAB-peer"
	LAB_ROLES=()
}

# shoot OUT ARG...: the cases at the host.
shoot() {
	"$PYTHON" "$LAB_DIR/hostile.py" run "$LAB-node" "$LAB-peer" "$TMP/$1.json" "${@:2}"
}

allowed=udp/4000,udp/4002,udp/67,tcp/8000
known=icmp/echo-request,icmpv6/echo-request,sctp/5000
for p in 0 1 2 4 33 41 47 50 51 58 59 89 103 112 136 253 255; do known+=,proto/$p; done
friends='[203.0.113.10, "2001:db8:113::10"]'
foes='[203.0.113.66, "2001:db8:113::66"]'

# weir_policy XDP allow|deny
weir_policy() {
	echo "interfaces: [{name: eth0, xdp: $1}]"
	if [ "$2" = allow ]; then
		echo "default: {ingress: deny, egress: allow}"
		echo "allow:"
		echo "  - {name: open, to: self, port: [$allowed]}"
		echo "  - {name: friends, from: $friends, to: self, port: [$known]}"
	else
		echo "default: allow"
		echo "deny:"
		echo "  - {name: shut, to: self, port: [udp/4001, udp/4003, tcp/8001]}"
		echo "  - {name: foes, from: $foes, to: self, port: [$known]}"
	fi
}

nft_policy() {
	local protocols='{ 0, 2, 4, 33, 41, 47, 50, 51, 58, 59, 89, 103, 112, 136, 253, 255 }' verdict from4=203.0.113.10 from6=2001:db8:113::10
	verdict=accept
	if [ "$1" = deny ]; then verdict=drop from4=203.0.113.66 from6=2001:db8:113::66; fi
	printf "table inet wire {\nchain input {\n"
	if [ "$1" = allow ]; then
		cat <<-'RULES'
			type filter hook input priority filter; policy drop;
			ct state invalid drop
			ct state established,related accept
			iif lo accept
			icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert, mld-listener-query, mld-listener-report, mld2-listener-report, mld-listener-done } accept
			ip daddr 224.0.0.0/4 ip protocol igmp accept
			udp sport 67 udp dport 68 accept
			ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
			udp dport { 67, 4000, 4002 } accept
			tcp dport 8000 accept
		RULES
	else
		cat <<-'RULES'
			type filter hook input priority filter; policy accept;
			ct state invalid drop
			udp dport { 4001, 4003 } drop
			tcp dport 8001 drop
		RULES
	fi
	echo "ip saddr $from4 icmp type echo-request $verdict"
	echo "ip6 saddr $from6 icmpv6 type echo-request $verdict"
	echo "meta nfproto ipv4 ip saddr $from4 meta l4proto $protocols $verdict"
	echo "meta nfproto ipv6 ip6 saddr $from6 meta l4proto $protocols $verdict"
	echo "ip saddr $from4 sctp dport 5000 $verdict"
	echo "ip6 saddr $from6 sctp dport 5000 $verdict"
	printf "}\n}\n"
}

host
shoot main/truth
no_host
for policy in allow deny; do
	for mode in native generic tc; do
		host
		weir_policy "${mode/tc/off}" "$policy" | policy
		reasons=()
		if [ "$mode-$policy" = native-allow ]; then reasons=(--reasons "$(pins)"); fi
		shoot "main/$mode-$policy" "${reasons[@]}"
		no_host
	done
	host
	nft_policy "$policy" | at node nft -f -
	shoot "main/nft-$policy"
	no_host
done
status=0
"$PYTHON" "$LAB_DIR/hostile.py" report "$TMP/main" ${TABLE:+--table} || status=1
exit "$status"
