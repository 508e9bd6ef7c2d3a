#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Nothing is left: of the tests before, of one that ends, and, once the next has started, of one that was killed: no
# container, network, namespace, process, mount, cgroup, pin or file. (The last of them by its name.)
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"
# shellcheck source=tests/lib/engine.sh
. "$(dirname "$0")/../lib/engine.sh"

inner() {
	lab_start docker-tidy-inner
	engine_needs docker-tidy-inner
	lab_node
	engine_start
	docker network create inner >/dev/null
	docker run -d --name one --network inner busybox:local sleep 1000 >/dev/null
	docker run -d --name two -p 443:443 busybox:local sleep 1000 >/dev/null
	printf '%s\n' 'interfaces: [eth0]' 'workloads: ["veth*"]' 'segments: {one: [{container: one}]}' \
		'allow: [{from: one, to: self, port: tcp/1}]' >"$TMP/policy.yaml"
	spawn node weir-run "$WEIR" --netns "$LAB-node" run "$TMP/policy.yaml"
	until_true 20 sh -c "'$WEIR' --netns '$LAB-node' status --json | grep -q '\"generation\": *[1-9]'" || exit 1
	echo up
	if [ "$1" = stay ]; then
		spawn node sleeping sleep 1000
		wait "${LAB_PIDS[sleeping]}"
	fi
}
if [ $# != 0 ]; then
	inner "$1"
	exit 0
fi

engine_needs docker-tidy
P=$LAB_PREFIX-docker-

# Everything that bears these tests' names, unless it is of somebody who runs them in another root.
left() {
	local dir pid
	ip netns list | awk -v p="$P" 'index($1, p) == 1 { print "namespace", $1 }'
	for dir in /sys/fs/cgroup/"$P"* /sys/fs/cgroup/*/"$P"*; do
		if [ -d "$dir" ] && [ -z "$(find "$dir" -name cgroup.procs -exec cat {} + 2>/dev/null)" ]; then echo "$dir"; fi
	done
	for dir in /sys/fs/bpf/weir/"$P"* /tmp/"$P"* /run/weir/weir+"$P"*; do
		if [ -e "$dir" ]; then echo "$dir"; fi
	done
	grep -F "/tmp/$P" /proc/mounts | awk '{ print "mount", $2 }' || true
	# The pattern does not match itself.
	while IFS=/ read -r _ _ pid _; do
		[ "/proc/$pid/root" -ef / ] || continue
		echo "process $pid $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | cut -c 1-80)"
	done < <(grep -ls "/tmp/[${P:0:1}]${P:1}" /proc/[0-9]*/cmdline 2>/dev/null || true)
}
# What is ending has a moment for it.
nothing_left() { [ -z "$(left)" ]; }
tidy() {
	local try
	for try in 1 2 3 4 5 6; do
		if nothing_left; then break; fi
		sleep "0.$try"
	done
	same "$1" "$(left | tr '\n' ' ')" ''
}

# shellcheck disable=SC2317 # by until_true
is_up() { grep -qx up "$out"; }

tidy "of the tests before nothing is left"
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$0" end >"$out" 2>&1 || not_ok "an engine, two containers and weir run come up" "$(tail -n 2 "$out" | tr '\n' ' ')"
tidy "of a test that ends nothing is left"
for signal in TERM KILL; do
	: >"$out"
	"$0" stay >"$out" 2>&1 &
	until_true 40 is_up || not_ok "they come up again" "$(tail -n 2 "$out" | tr '\n' ' ')"
	if [ "$signal" = KILL ]; then same "while it runs, what is there is seen" "$([ "$(left | wc -l)" -gt 5 ] && echo seen)" seen; fi
	kill "-$signal" $!
	wait $! 2>/dev/null || true
	if [ "$signal" = KILL ]; then "$0" end >"$out" 2>&1 || not_ok "after a kill another comes up" "$(tail -n 2 "$out" | tr '\n' ' ')"; fi
	tidy "of a test that gets SIG$signal nothing is left$([ "$signal" = TERM ] || echo ', once another has run')"
done
finish
