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
# failed. QUICK=1 leaves out what measures time or CPUs against each other, which an emulated machine cannot.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
OUT=$1
shift
export O=${O:-$PWD/build}
# End-to-end tests of the life cycle. The others are about policies and commands, which know nothing of kernels.
LIFECYCLE=(lifecycle trial blocks failsafe guard reboot replies swap)
# What an emulated machine is too slow for, by test.
declare -A SLOW=()
HARDEN=/proc/sys/net/core/bpf_jit_harden
mkdir -p "$OUT/logs"
failed=0

# Tests of the kernel programs but the table of packets.
sequences() {
	local path name
	for path in tests/prog/test_*.c; do
		name=$(basename "$path" .c)
		if [ "$name" != test_packets ] && [ -z "${QUICK:+${SLOW[$name]:-}}" ]; then echo "prog/$name"; fi
	done
}

too_slow() {
	local name
	[ -n "${QUICK:-}" ] || return 0
	for name in "${!SLOW[@]}"; do echo "    skipped: $name: ${SLOW[$name]}"; done
}

# cell NAME TEST...: one run of tests/run.sh, shown as it goes.
cell() {
	local name=$1 began=$SECONDS status=0 counts
	shift
	echo "-- $name"
	tests/run.sh "$@" 2>&1 | tee "$OUT/logs/$name" || status=$?
	mkdir -p "$OUT/logs/$name.d"
	cp "$O"/test-logs/* "$OUT/logs/$name.d/" 2>/dev/null
	rm -rf "$O/test-logs"
	counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$OUT/logs/$name" | tail -n 1)
	[ "$status" = 0 ] || failed=1
	echo "cell $name ${counts:-0 1 0} $((SECONDS - began))" >>"$OUT/cells"
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
	"$O/tests/kernels/measure" "$O"/bpf/weir_*.bpf.o >"$OUT/table" || count='0 1 0' failed=1
	column -t "$OUT/table" 2>/dev/null || cat "$OUT/table"
	echo "cell table $count $((SECONDS - began))" >>"$OUT/cells"
}

for what in "$@"; do
	case $what in
	packets) cell packets prog/test_packets ;;
	sequences)
		mapfile -t tests < <(sequences)
		cell sequences "${tests[@]}"
		too_slow
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
