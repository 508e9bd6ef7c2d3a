# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A laboratory of network namespaces for the end-to-end tests and the demo. Source it, then:
#
#   lab_start NAME              namespaces are called weir-test-NAME-ROLE; everything is removed at exit, however that comes
#   lab_node                    role "node": a router with eth0 on a bridge towards the outside
#   lab_nic IF V4/LEN V6/LEN    another NIC of the node, on a bridge of its own (br-IF)
#   lab_host ROLE V4 V6 [IF [ROUTER]]   a machine outside, on the bridge of the node's NIC IF (eth0); with ROUTER in a /25
#   lab_workload ROLE V4 V6     a container behind the node's veth-ROLE
#
#   at ROLE CMD…                run there                    spawn ROLE NAME CMD…    in the background, output to $TMP/NAME
#   listen ROLE NAME PORT…      wire listen, and wait         chat ROLE NAME TARGET   a connection that keeps talking
#   stop NAME…                  end what was spawned          lively NAME             "alive" or "stalled"
#   weir ARG…                   weir in the node's namespace  policy                  apply standard input, or fail the test
#   daemon NAME FILE            weir run in the node's namespace; its /var/log is $TMP/log
#   counted MAP INDEX FIELD     a counter, through bpftool    reason NAME             packets dropped for it
#   ok|not_ok NAME [WHY]   skip NAME REASON   same NAME GOT WANTED   reach NAME ROLE SPEC=STATE…   finish
#
# Outside: 203.0.113.0/24 and 2001:db8:113::/64 (clients), 198.51.100.0/28 and 2001:db8:51::/64 (administrators);
# the node is .1 and ::1 of each. Workloads: 10.42.0.0/16 and 2001:db8:42::/48, their router is 10.42.255.254,
# 2001:db8:42:ffff::254 and fe80::1.

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$LAB_DIR/../.." && pwd)
O=${O:-$ROOT/build}
case $O in /*) ;; *) O=$ROOT/$O ;; esac
WEIR=${WEIR:-$O/weir}
WIRE=$O/tests/lib/wire
PYTHON=$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || command -v python3 || true)
BPFTOOL=$([ -x /usr/sbin/bpftool ] && echo /usr/sbin/bpftool || echo bpftool)
LAB='' TMP='' FAILED=0 LAB_PREFIX=${LAB_PREFIX:-weir-test} LAB_LOCK=''
declare -a LAB_ROLES=()
declare -A LAB_PIDS=()

# ---- building and removing

lab_tool() {
	[ "$WIRE" -nt "$LAB_DIR/wire.c" ] && return
	mkdir -p "$(dirname "$WIRE")"
	"${CC:-cc}" -O2 -g -std=gnu11 -Wall -Wextra -D_GNU_SOURCE -o "$WIRE.$$" "$LAB_DIR/wire.c"
	mv "$WIRE.$$" "$WIRE"
}

lab_start() {
	if [ "$(id -u)" != 0 ]; then
		skip "$1" "needs root"
		exit 0
	fi
	LAB=$LAB_PREFIX-$1
	lab_lock "$1"
	TMP=$(mktemp -d "/tmp/$LAB.XXXXXX")
	trap lab_clean EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	if [ ! -x "$WEIR" ]; then
		not_ok "$1" "$WEIR is not built"
		exit 1
	fi
	lab_tool
	# What an earlier run that was killed left under this name.
	lab_remove_namespaces "$(ip netns list | awk -v p="$LAB-" 'index($1, p) == 1 { print $1 }')"
}

# The same test twice at once would take its namespaces away from itself.
lab_lock() {
	local lock=/tmp/$LAB.lock fd
	while :; do
		exec {fd}>"$lock"
		flock -w 300 "$fd" || {
			not_ok "$1" "another run of it is still going on"
			exit 1
		}
		# Whoever held it before removes the file at its end.
		if [ "$lock" -ef "/dev/fd/$fd" ]; then
			LAB_LOCK=$fd
			return
		fi
		exec {fd}>&-
	done
}

lab_remove_namespaces() {
	local ns pid
	for ns in $1; do
		for pid in $(ip netns pids "$ns" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
		if [ -d "/sys/fs/bpf/weir/$ns" ]; then
			if [ -x "$WEIR" ]; then "$WEIR" --netns "$ns" detach >/dev/null 2>&1 || true; fi
			rm -rf "/sys/fs/bpf/weir/$ns"
			rmdir /sys/fs/bpf/weir 2>/dev/null || true
		fi
		rm -f "/run/weir/weir+$ns".*
		ip netns del "$ns" 2>/dev/null || true
	done
}

lab_clean() {
	local status=$? name
	trap - EXIT
	trap '' INT TERM HUP
	for name in "${!LAB_PIDS[@]}"; do kill -TERM "${LAB_PIDS[$name]}" 2>/dev/null || true; done
	until_true 2 lab_all_ended || true
	lab_remove_namespaces "${LAB_ROLES[*]/#/$LAB-}" 2>/dev/null
	wait 2>/dev/null || true
	if declare -F at_clean >/dev/null; then at_clean; fi
	rm -f "/tmp/$LAB.lock"
	if [ -n "${KEEP:-}" ]; then
		echo "kept $TMP" >&2
	else
		rm -rf "$TMP"
	fi
	exit "$status"
}

lab_all_ended() {
	local pid
	for pid in "${LAB_PIDS[@]}"; do ! kill -0 "$pid" 2>/dev/null || return 1; done
}

lab_namespace() {
	ip netns add "$LAB-$1"
	LAB_ROLES+=("$1")
	ip -n "$LAB-$1" link set lo up
	# shellcheck disable=SC2016 # the inner shell expands
	at "$1" sh -c '
		for f in all default; do
			echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad
			echo 0 >/proc/sys/net/ipv6/conf/$f/accept_ra
			echo 0 >/proc/sys/net/ipv6/conf/$f/disable_ipv6
			echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter
		done'
}

lab_nic() {
	local nic=$1 bridge=br-$1
	ip -n "$LAB-outside" link add "$bridge" type bridge forward_delay 0
	ip -n "$LAB-outside" link set "$bridge" up
	ip -n "$LAB-node" link add "$nic" type veth peer name "node-$nic" netns "$LAB-outside"
	ip -n "$LAB-outside" link set "node-$nic" master "$bridge" up
	ip -n "$LAB-node" link set "$nic" up
	ip -n "$LAB-node" addr add "$2" dev "$nic"
	ip -n "$LAB-node" addr add "$3" dev "$nic" nodad
}

lab_node() {
	lab_namespace outside
	lab_namespace node
	at node sh -c '
		echo 1 >/proc/sys/net/ipv4/ip_forward
		echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
	lab_nic eth0 203.0.113.1/24 2001:db8:113::1/64
	ip -n "$LAB-node" addr add 198.51.100.1/28 dev eth0
	ip -n "$LAB-node" addr add 2001:db8:51::1/64 dev eth0 nodad
}

lab_host() {
	local role=$1 v4=$2 v6=$3 nic=${4:-eth0} router=${5:-${2%.*}.1} len4=24
	case $v4 in 198.51.100.*) len4=28 ;; esac
	[ $# -lt 5 ] || len4=25
	lab_namespace "$role"
	ip -n "$LAB-$role" link add eth0 type veth peer name "$role" netns "$LAB-outside"
	ip -n "$LAB-outside" link set "$role" master "br-$nic" up
	ip -n "$LAB-$role" link set eth0 up
	ip -n "$LAB-$role" addr add "$v4/$len4" dev eth0
	ip -n "$LAB-$role" addr add "$v6/64" dev eth0 nodad
	ip -n "$LAB-$role" route add default via "$router"
	ip -n "$LAB-$role" route add default via "${v6%::*}::1"
}

lab_workload() {
	local role=$1 v4=$2 v6=$3
	lab_namespace "$role"
	ip -n "$LAB-node" link add "veth-$role" type veth peer name eth0 netns "$LAB-$role"
	ip -n "$LAB-$role" link set eth0 up
	ip -n "$LAB-$role" addr add "$v4/32" dev eth0
	ip -n "$LAB-$role" addr add "$v6/128" dev eth0 nodad
	ip -n "$LAB-node" link set "veth-$role" up
	ip -n "$LAB-node" addr add 10.42.255.254/32 dev "veth-$role"
	ip -n "$LAB-node" addr add 2001:db8:42:ffff::254/128 dev "veth-$role" nodad
	ip -n "$LAB-node" addr add fe80::1/64 dev "veth-$role" nodad
	ip -n "$LAB-node" route add "$v4/32" dev "veth-$role"
	ip -n "$LAB-node" route add "$v6/128" dev "veth-$role"
	ip -n "$LAB-$role" route add default via 10.42.255.254 dev eth0 onlink
	ip -n "$LAB-$role" route add default via fe80::1 dev eth0
}

# ---- running things there

# Not `ip netns exec`: that mounts a new /sys without the bpffs.
at() {
	local role=$1
	shift
	nsenter --net="/run/netns/$LAB-$role" "$@"
}

weir() { "$WEIR" --netns "$LAB-node" "$@"; }
wire() { "$WIRE" "$@"; }

spawn() {
	local role=$1 name=$2
	shift 2
	(
		# Who outlives a test that was killed must not hold its lock.
		eval "exec $LAB_LOCK>&-"
		exec nsenter --net="/run/netns/$LAB-$role" "$@" >"$TMP/$name" 2>"$TMP/$name.err" </dev/null
	) &
	LAB_PIDS[$name]=$!
}

# Ready-made policies keep their audit in /var/log/weir: the daemon gets a /var/log of its own.
daemon() {
	mkdir -p "$TMP/log/weir"
	spawn node "$1" unshare --mount sh -c \
		"mount --bind '$TMP/log' /var/log && exec '$WEIR' --netns '$LAB-node' run '$2'"
}

# Ends a spawned process, waits for it; its output is complete then.
stop() {
	local name
	for name in "$@"; do kill -TERM "${LAB_PIDS[$name]}" 2>/dev/null || true; done
	for name in "$@"; do
		wait "${LAB_PIDS[$name]}" 2>/dev/null || true
		unset "LAB_PIDS[$name]"
	done
}

# until_true SECONDS CMD…: polls each 20 ms.
until_true() {
	local tries=$(($1 * 50))
	shift
	while ! "$@" >/dev/null 2>&1; do
		((tries-- > 0)) || return 1
		sleep 0.02
	done
}

ready() {
	local name
	for name in "$@"; do
		until_true 5 grep -q '^ready' "$TMP/$name" || {
			echo "$name did not start: $(cat "$TMP/$name.err")" >&2
			exit 1
		}
	done
}

listen() {
	local role=$1 name=$2
	shift 2
	spawn "$role" "$name" "$WIRE" listen "$@"
	ready "$name"
}

chat() {
	spawn "$1" "$2" "$WIRE" chat --every 25 "$3"
	ready "$2"
}

# What a chat did in the last 400 ms, after 300 ms for what was under way.
lively() {
	local before
	sleep "${SETTLE:-0.3}"
	before=$(wc -l <"$TMP/$1")
	sleep 0.4
	if [ "$(wc -l <"$TMP/$1")" -gt "$((before + 3))" ]; then echo alive; else echo stalled; fi
}

policy() {
	cat >"$TMP/policy.yaml"
	weir apply "$TMP/policy.yaml" >"$TMP/apply.out" 2>&1 || {
		not_ok "$LAB: the policy applies" "$(tail -n 3 "$TMP/apply.out" | tr '\n' ' ')"
		exit 1
	}
}

pins() { echo "/sys/fs/bpf/weir/$LAB-node"; }

counted() {
	"$BPFTOOL" -j map dump pinned "$(pins)/maps/$1" | "$PYTHON" "$LAB_DIR/bpfdump.py" count |
		awk -v i="index=$2" -v f="$3=" '$1 == i { for (k = 2; k <= NF; k++) if (index($k, f) == 1) n = substr($k, length(f) + 1) } END { print n + 0 }'
}

reason() {
	weir show counters --json | json "sum(c['dropped']['packets'] for c in d if c['kind'] == 'reason' and c['rule'] == '$1')"
}

mac_of() { ip -n "$LAB-$1" -j link show dev "${2:-eth0}" | sed -n 's/.*"address":"\([0-9a-f:]*\)".*/\1/p'; }

# json EXPRESSION: a Python expression over d, the JSON on standard input.
json() { "$PYTHON" -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# ---- results

ok() { echo "ok $1"; }
not_ok() {
	echo "not ok $1${2:+: $2}"
	FAILED=$((FAILED + 1))
}
skip() { echo "skip $1: $2"; }

same() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', wanted '$3'"; fi
}

# between NAME VALUE LOW HIGH
between() {
	if [[ $2 =~ ^[0-9]+$ ]] && [ "$2" -ge "$3" ] && [ "$2" -le "$4" ]; then
		ok "$1"
	else
		not_ok "$1" "got '$2', wanted $3..$4"
	fi
}

# reach NAME ROLE SPEC=STATE…: all at once; one result for all of them.
reach() {
	local name=$1 role=$2 pair got wrong=''
	shift 2
	got=$(at "$role" "$WIRE" reach "${@%=*}" | sed 's/ /=/')
	for pair in "$@"; do
		grep -qxF -- "$pair" <<<"$got" ||
			wrong+="${wrong:+, }$(grep -F -- "${pair%=*}=" <<<"$got" | head -1) (wanted ${pair##*=})"
	done
	if [ -z "$wrong" ]; then ok "$name"; else not_ok "$name" "$wrong"; fi
}

finish() {
	[ "$FAILED" = 0 ] || exit 1
	exit 0
}
