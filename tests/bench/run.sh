#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures what weir's programs cost, in a network namespace and a pin directory of its own; see bench.h for what and
# how. Tables on the terminal, figures in $O/bench.json.
#
# usage: [O=build] run.sh [quick]     quick: few packets, to see that it works
set -euo pipefail

O=${O:-build}
ns=weir-bench # not weir-test-*: a test run that goes on meanwhile would take it for its own
pins=/sys/fs/bpf/weir-bench

if [ "$(id -u)" != 0 ]; then
	echo "bench: needs root, to load programs" >&2
	exit 1
fi

cleanup() {
	rm -rf "$pins"
	ip netns del "$ns" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cleanup

ip netns add "$ns"
ip -n "$ns" link add nic type veth peer name far
ip -n "$ns" link set lo up
ip -n "$ns" link set nic up
ip -n "$ns" link set far up
ip -n "$ns" addr add 192.0.2.1/24 dev nic
ip -n "$ns" route add default via 192.0.2.254 dev nic

WEIR_BENCH_OBJECTS=$O/tests/bench "$O/tests/bench/bench" "$pins" "$ns" "$O/bench.json" "${1:-}"
echo "figures: $O/bench.json"
