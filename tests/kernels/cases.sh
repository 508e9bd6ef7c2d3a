#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# cases.sh OUT CELL... - what is run in each kernel, guest or host, with the programs in $O. Cells:
#
#   packets     the table of packets, at every hook
#   sequences   the other tests of the kernel programs: replies, limits, NAT, swaps, floods, crashes ...
#   lifecycle   attach, apply, trial, block, follow, detach, with traffic
#   harden      packets and one life with bpf_jit_harden=2
#   table       what the verifier says of each program, into OUT/table
#
# A line "cell NAME PASSED FAILED SKIPPED SECONDS" for each goes to OUT/cells, the logs to OUT/logs. Fails when anything
# failed. EMULATED=1 leaves out, and says so, what holds times against the clock or takes many minutes without a real CPU.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
OUT=$1
shift
export O=${O:-$PWD/build}
# End-to-end tests of the life cycle. The others are about policies and commands, which know nothing of kernels.
LIFECYCLE=(lifecycle trial blocks swap failsafe guard reboot replies)
# Not on an emulated machine, and why.
declare -A SLOW=(
	[prog/test_contention]='two CPUs against each other, by the million'
	[prog/test_crash]='hundreds of changes that are killed half way'
	[prog/test_follow]='holds times against the clock'
	[prog/test_floods]='floods of millions of frames'
	[e2e/reboot]='minutes, for what daemons and files do'
	[e2e/replies]='minutes, for what the sequences have'
)
export APPLIES=${APPLIES:-50} RATE=${RATE:-20000}
if [ -n "${EMULATED:-}" ]; then export APPLIES=20 RATE=2000; fi
HARDEN=/proc/sys/net/core/bpf_jit_harden
mkdir -p "$OUT/logs"
failed=0

# fit TEST...: those that this machine can do; the others are said and counted.
fit() {
	local test
	fits=() left=0
	for test in "$@"; do
		if [ -n "${EMULATED:-}" ] && [ -n "${SLOW[$test]:-}" ]; then
			echo "    skipped: $test: ${SLOW[$test]}"
			left=$((left + 1))
		else
			fits+=("$test")
		fi
	done
}

# Tests of the kernel programs but the table of packets.
sequences() {
	local path
	for path in tests/prog/test_*.c; do
		case $path in */test_packets.c) ;; *) echo "prog/$(basename "$path" .c)" ;; esac
	done
}

# cell NAME TEST...: one run of tests/run.sh, shown as it goes.
cell() {
	local name=$1 began=$SECONDS status=0 p f s
	shift
	echo "-- $name"
	fit "$@"
	tests/run.sh "${fits[@]}" 2>&1 | tee "$OUT/logs/$name" || status=$?
	mkdir -p "$OUT/logs/$name.d"
	cp "$O"/test-logs/* "$OUT/logs/$name.d/" 2>/dev/null
	rm -rf "$O/test-logs"
	read -r p f s < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$OUT/logs/$name" | tail -n 1) ||
		p=0 f=1 s=0
	[ "$status" = 0 ] || failed=1
	echo "cell $name $p $f $((s + left)) $((SECONDS - began))" >>"$OUT/cells"
}

harden() {
	local before
	before=$(cat "$HARDEN")
	# shellcheck disable=SC2064 # the value of now
	trap "echo $before >$HARDEN" EXIT
	echo 2 >"$HARDEN"
	cell harden prog/test_packets e2e/lifecycle
	echo "$before" >"$HARDEN"
	trap - EXIT
}

table() {
	local began=$SECONDS count='1 0 0'
	echo "-- table"
	# Once where it takes a minute.
	"$O/tests/kernels/measure" -n "${EMULATED:-3}" "$O"/bpf/weir_*.bpf.o >"$OUT/table" || count='0 1 0' failed=1
	column -t "$OUT/table" 2>/dev/null || cat "$OUT/table"
	echo "cell table $count $((SECONDS - began))" >>"$OUT/cells"
}

for what in "$@"; do
	case $what in
	packets) cell packets prog/test_packets ;;
	sequences)
		mapfile -t tests < <(sequences)
		cell sequences "${tests[@]}"
		;;
	lifecycle) cell lifecycle "${LIFECYCLE[@]/#/e2e/}" ;;
	harden) harden ;;
	table) table ;;
	*)
		echo "cases: no cell $what" >&2
		failed=1
		;;
	esac
done
exit "$failed"
