#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A real Docker engine in the laboratory. Source it after lab.sh; lab_start and lab_node come first.
#
#   engine_needs TEST               skip TEST and end it where no engine can run (no dockerd, no iptables)
#   engine_start [OPTION…]          dockerd with these options in role "node"; exports DOCKER_HOST; images busybox:local
#   engine_stop                     dockerd ends in good order    engine_kill   dockerd and its containerd are killed
#   engine_again [OPTION…]          dockerd once more, over the same containers (the options of before without any)
#   docker ARG…   compose ARG…      the engine's command line     api METHOD PATH [JSON]   its API
#   inside CONTAINER CMD…           run there (its network, this machine's files)
#   address CONTAINER NETWORK [v6]  what the engine gave it       veth CONTAINER [NETWORK]  its host-side interface
#   wire_in CONTAINER NAME CMD…     spawn there: ended by `stop NAME`, output in $TMP/NAME
#
# By itself, for trials: the node and two clients outside, 203.0.113.10 and .20 (2001:db8:113::10 and ::20):
#
#   engine.sh [-p PREFIX] up [OPTION…] | down | probe | docker ARG… | compose ARG… | at ROLE CMD… | inside CONTAINER CMD…
#
# up stays in the background until down. PREFIX (default weir-hand) names namespaces, cgroup and state; engines with
# different prefixes run side by side. probe: can an engine run here? If not, it says why and fails.
#
# The engine sees processes and mounts of its own, with everything that it stores in a tmpfs there. So whatever ends its
# first process ends dockerd, containerd, containers and mounts with it, also after kill -9; what it made of networks
# ends with the namespace. Only its cgroups are left then: engine_clean and the next engine_start remove them.
# busybox:local has busybox and, as /bin/wire, the wire of the tests. userland-proxy is on, as it is by default.

ENGINE='' ENGINE_INIT='' ENGINE_OPTIONS=()
DOCKER=$([ -x /usr/bin/docker ] && echo /usr/bin/docker || echo docker)

# ---- what is needed

engine_missing() {
	local program
	[ "$(id -u)" = 0 ] || { echo "needs root"; return; }
	for program in dockerd containerd "$DOCKER" iptables ip6tables curl unshare; do
		command -v "$program" >/dev/null || { echo "$program is not installed (scripts/install-deps.sh docker)"; return; }
	done
	[ -x /bin/busybox ] || { echo "/bin/busybox is not installed (scripts/install-deps.sh docker)"; return; }
	grep -qw overlay /proc/filesystems || { echo "this kernel has no overlay file system"; return; }
}

engine_needs() {
	local why
	why=$(engine_missing)
	if [ -n "$why" ]; then
		skip "$1" "$why"
		exit 0
	fi
}

# ---- cgroups

# Deepest first; where controllers have trees of their own, in each of them.
engine_remove_cgroups() {
	local top dir
	for top in /sys/fs/cgroup /sys/fs/cgroup/*; do
		[ -d "$top/$LAB" ] || continue
		while IFS= read -r dir; do rmdir "$dir" 2>/dev/null || true; done < <(find "$top/$LAB" -depth -type d)
	done
}

engine_without_cgroups() {
	local top
	engine_remove_cgroups
	for top in /sys/fs/cgroup /sys/fs/cgroup/*; do
		if [ -d "$top/$LAB" ]; then return 1; fi
	done
}

# ---- the image

engine_static_wire() {
	local file=$WIRE-static
	[ "$file" -nt "$LAB_DIR/wire.c" ] && return
	"${CC:-cc}" -O2 -static -std=gnu11 -Wall -Wextra -D_GNU_SOURCE -o "$file.$$" "$LAB_DIR/wire.c"
	mv "$file.$$" "$file"
}

engine_image() {
	local root=$TMP/image applet other
	# What an earlier run that was killed left.
	for other in "/tmp/$LAB".??????; do
		if [ -d "$other" ] && [ "$other" != "$TMP" ]; then rm -rf "$other"; fi
	done
	engine_static_wire
	mkdir -p "$root/bin" "$root/etc" "$root/tmp"
	cp /bin/busybox "$root/bin/"
	cp "$WIRE-static" "$root/bin/wire"
	for applet in $(/bin/busybox --list); do
		[ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
	done
	tar -C "$root" -c . | docker import - busybox:local >/dev/null
	rm -rf "$root"
}

# ---- the engine

# Run by the first process of the engine's own view. Its one task is to wait for whoever lost his parent. A PID namespace
# ends with its first process; --kill-child ends that one with its parent.
# shellcheck disable=SC2016 # the inner shell expands
ENGINE_FIRST='
	mount -t tmpfs -o mode=711 engine "$1/state"
	mkdir -p /run/docker "$1/state/run"
	mount --bind "$1/state/run" /run/docker
	echo ready
	trap : CHLD
	while :; do sleep 1000 & wait; done'

# Nothing of the test's own stays open in it (its lock above all).
engine_background() {
	local name=$1 fd
	shift
	(
		for fd in /proc/"$BASHPID"/fd/*; do
			fd=${fd##*/}
			if ((fd > 2)); then eval "exec $fd>&-"; fi
		done
		exec setsid "$@" >>"$TMP/$name" 2>>"$TMP/$name.err" </dev/null
	) &
	disown
}

engine_view() {
	local outer
	mkdir -p "$TMP/state"
	engine_background engine nsenter --net="/run/netns/$LAB-node" unshare --pid --fork --kill-child --mount --mount-proc \
		--propagation private bash -c "$ENGINE_FIRST" engine "$TMP"
	outer=$!
	ready engine
	read -r ENGINE_INIT _ <"/proc/$outer/task/$outer/children" || [ -n "$ENGINE_INIT" ]
}

engine_start() {
	ENGINE=$TMP/docker.sock
	export DOCKER_HOST=unix://$ENGINE
	engine_remove_cgroups
	engine_view
	engine_again "$@"
	engine_image
}

engine_again() {
	if [ $# != 0 ]; then ENGINE_OPTIONS=("$@"); fi
	rm -f "$ENGINE"
	engine_background dockerd nsenter --target "$ENGINE_INIT" --pid --mount --root --wd --net dockerd \
		--host "$DOCKER_HOST" --data-root "$TMP/state/data" --exec-root /run/docker --pidfile "$TMP/state/pid" \
		--shutdown-timeout 2 --storage-driver overlay2 --cgroup-parent "/$LAB" --experimental --ip6tables "${ENGINE_OPTIONS[@]}"
	until_true 30 engine_answers || {
		not_ok "$LAB: the engine starts" "$(tail -n 3 "$TMP/dockerd.err" | tr '\n' ' ')"
		exit 1
	}
}

engine_answers() { [ -S "$ENGINE" ] && api GET /_ping >/dev/null; }

engine_ended() { ! nsenter --target "$ENGINE_INIT" --pid --mount --root --wd test -d "/proc/$1"; }

engine_signal() {
	local pid
	pid=$(cat "/proc/$ENGINE_INIT/root$TMP/state/pid")
	nsenter --target "$ENGINE_INIT" --pid --mount --root --wd kill "-$1" "$pid"
	until_true 30 engine_ended "$pid" || not_ok "$LAB: dockerd ends"
	rm -f "/proc/$ENGINE_INIT/root$TMP/state/pid"
}

engine_stop() { engine_signal TERM; }
engine_kill() { engine_signal KILL; }

# After kill -9 of whatever there was, this is all that is to be done.
engine_clean() {
	if [ -n "$ENGINE_INIT" ]; then kill -KILL "$ENGINE_INIT" 2>/dev/null || true; fi
	until_true 5 engine_without_processes || true
	until_true 5 engine_without_cgroups || true
}

# What waits for its parent to look at it is no process any more: it is the last one of the engine.
engine_without_processes() { [ -z "$ENGINE_INIT" ] || ! readlink "/proc/$ENGINE_INIT/exe"; }

# lab_clean's hook; a test that needs it for itself calls engine_clean there.
at_clean() { engine_clean; }

# ---- using it

docker() { "$DOCKER" "$@"; }

compose() {
	if command -v docker-compose >/dev/null; then
		COMPOSE_ANSI=never docker-compose "$@"
	else
		docker compose --ansi never "$@"
	fi
}

api() {
	local method=$1 path=$2
	shift 2
	curl -sS --fail-with-body --max-time 60 --unix-socket "$ENGINE" -X "$method" \
		${1+-H 'Content-Type: application/json' -d "$1"} "http://engine$path"
}

# The engine's own name of a container's network namespace, seen from here.
container_netns() {
	local key
	key=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' "$1")
	echo "/proc/$ENGINE_INIT/root${key/#\/var\/run\//\/run\/}"
}

inside() {
	local netns
	netns=$(container_netns "$1")
	shift
	nsenter --net="$netns" "$@"
}

wire_in() {
	local netns name=$2
	netns=$(container_netns "$1")
	shift 2
	(
		eval "exec $LAB_LOCK>&-"
		exec nsenter --net="$netns" "$@" >"$TMP/$name" 2>"$TMP/$name.err" </dev/null
	) &
	LAB_PIDS[$name]=$!
}

address() {
	local field=IPAddress
	if [ "${3:-}" = v6 ]; then field=GlobalIPv6Address; fi
	docker inspect -f "{{(index .NetworkSettings.Networks \"$2\").$field}}" "$1"
}

# The container's end says the index of its peer: that of the interface with the address on this network, or of its first.
veth() {
	local own='' index
	if [ $# -gt 1 ]; then own=$(address "$1" "$2"); fi
	index=$(inside "$1" ip -j addr show scope global |
		json "[l['link_index'] for l in d if not '$own' or any(a['local'] == '$own' for a in l['addr_info'])][0]")
	ip -n "$LAB-node" -j link | json "[l['ifname'] for l in d if l['ifindex'] == $index][0]"
}

# ---- by hand

engine_usage() {
	sed -n 's/^# *\(engine\.sh \[-p .*\)/usage: \1/p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

engine_probe() {
	local why
	why=$(engine_missing)
	if [ -n "$why" ]; then
		echo "$why"
		return 1
	fi
	lab_start engine >&2
	lab_node
	if ! (set -e; trap - EXIT; engine_start; docker run --rm busybox:local true) >"$TMP/probe" 2>&1; then
		echo "an engine does not run here: $(cat "$TMP/engine.err" "$TMP/dockerd.err" "$TMP/probe" 2>/dev/null | tail -n 3 | tr '\n' ' ')"
		return 1
	fi
}

engine_up() {
	lab_start engine
	lab_node
	lab_host client 203.0.113.10 2001:db8:113::10
	lab_host other 203.0.113.20 2001:db8:113::20
	engine_start "$@"
	printf '%s\n' "$TMP" "$ENGINE_INIT" >"/tmp/$LAB.engine"
	trap - EXIT
	echo "DOCKER_HOST=$DOCKER_HOST; the node is $LAB-node"
}

engine_hand() {
	local verb
	LAB_PREFIX=weir-hand
	if [ "${1:-}" = -p ]; then
		LAB_PREFIX=${2:?}
		shift 2
	fi
	[ $# -gt 0 ] || engine_usage
	verb=$1
	shift
	LAB=$LAB_PREFIX-engine
	case $verb in
	up | probe)
		WEIR=/bin/true # not of interest here
		"engine_$verb" "$@"
		return
		;;
	esac
	if [ ! -f "/tmp/$LAB.engine" ]; then
		echo "engine.sh: no engine with the prefix $LAB_PREFIX is up" >&2
		exit 1
	fi
	{ read -r TMP && read -r ENGINE_INIT; } <"/tmp/$LAB.engine"
	ENGINE=$TMP/docker.sock
	export DOCKER_HOST=unix://$ENGINE
	case $verb in
	down)
		lab_remove_namespaces "$(ip netns list | awk -v p="$LAB-" 'index($1, p) == 1 { print $1 }')"
		engine_clean
		rm -rf "$TMP" "/tmp/$LAB.engine" "/tmp/$LAB.lock"
		;;
	docker | compose | at | inside) "$verb" "$@" ;;
	*) engine_usage ;;
	esac
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -euo pipefail
	# shellcheck source=tests/lib/lab.sh
	. "$(dirname "$0")/lab.sh"
	engine_hand "$@"
fi
