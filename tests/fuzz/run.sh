#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh SECONDS [TARGET]... - fuzz what reads bytes from outside: policy, event, packet, compose (default: all).
# run.sh short               - each target's inputs once, then a fixed number of runs with a fixed seed, in TAP's manner.
#
# The targets are built by `make fuzz-user` in $O/fuzz. They run at the same time, each for SECONDS; where there are more
# cores than targets, each runs on several. New inputs that reach something new are kept in $O/fuzz/found/TARGET and
# are where the next run goes on. Exit status 1: a target found something; the input is in $O/fuzz/findings.
set -euo pipefail

cd "$(dirname "$0")/../.."
O=${O:-build}
case $O in /*) ;; *) O=$PWD/$O ;; esac
build=$O/fuzz
programs=$build/tests/fuzz
all="policy event packet compose"
# Bytes, and runs of the short form: a second or two each.
declare -A longest=([policy]=4096 [event]=704 [packet]=2051 [compose]=4096)
declare -A runs=([policy]=3000 [event]=40000 [packet]=60000 [compose]=4000)
pids=()

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} UBSAN_OPTIONS=print_stacktrace=1

# Whoever is interrupted leaves no fuzzer behind.
leave() {
	local status=$?
	trap - EXIT
	if [ ${#pids[@]} != 0 ]; then kill "${pids[@]}" 2>/dev/null || true; fi
	exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# seeds TARGET - what is committed, as files of bytes in $build/seeds/TARGET
seeds() {
	local dir=$build/seeds/$1 file
	rm -rf "$dir"
	mkdir -p "$dir" "$build/found/$1" "$build/findings"
	for file in "tests/fuzz/corpus/$1"/*; do
		case $file in
		*.hex) tests/fuzz/hex.py unpack "$dir" "$file" ;;
		*) if [ -f "$file" ]; then cp "$file" "$dir"; fi ;;
		esac
	done
	case $1 in
	policy) cp tests/golden/policy/*.yaml scripts/policies/*.yaml "$dir" ;;
	compose) cp tests/golden/import/*.yaml "$dir" ;;
	packet) "$programs/seeds" "$dir" ;;
	esac
}

# options TARGET - of libFuzzer
options() {
	echo "-max_len=${longest[$1]} -timeout=20 -rss_limit_mb=2048 -print_final_stats=1"
	echo "-artifact_prefix=$build/findings/$1-"
	if [ -e "tests/fuzz/$1.dict" ]; then echo "-dict=tests/fuzz/$1.dict"; fi
}

# what_was_found LOG - the invariant or the sanitizer's summary, and the input
what_was_found() {
	grep -hE '^tests/fuzz/.*:[0-9]+: |^SUMMARY: |^==[0-9]+== ERROR|runtime error: ' "$1" | head -n 6 || true
	sed -n 's/.*Test unit written to \(.*\)/input: \1/p' "$1"
}

# ---- short

short() {
	local target log=$build/short.log dir known status=0
	for target in $all; do
		if [ ! -x "$programs/$target" ]; then
			echo "not ok $programs/$target is not built"
			status=1
			continue
		fi
		seeds "$target"
		dir=$build/seeds/$target
		known=$(find "$dir" -type f | wc -l)
		# shellcheck disable=SC2046 # options
		if ! "$programs/$target" $(options "$target") -runs=0 "$dir" >"$log" 2>&1; then
			echo "not ok ${target}_known_inputs"
		elif ! "$programs/$target" $(options "$target") -seed=771398921 -runs="${runs[$target]}" "$dir" >"$log" 2>&1; then
			echo "not ok ${target}_new_inputs"
		else
			echo "ok ${target}_known_inputs ($known)"
			echo "ok ${target}_new_inputs ($(executions "$log"))"
			continue
		fi
		what_was_found "$log"
		status=1
	done
	return $status
}

# ---- long

# executions LOG... - as the fuzzer counted last
executions() {
	local log sum=0 n
	for log in "$@"; do
		n=$(grep -oE '^(#[0-9]+|stat::number_of_executed_units: +[0-9]+)' "$log" | tail -n 1 | grep -oE '[0-9]+$' || echo 0)
		sum=$((sum + n))
	done
	echo "$sum"
}

# start TARGET SECONDS NUMBER
start() {
	# shellcheck disable=SC2046 # options
	"$programs/$1" $(options "$1") -max_total_time="$2" "$build/found/$1" "$build/seeds/$1" \
		>"$build/logs/$1-$3.log" 2>&1 &
	pids+=($!)
}

running() {
	local pid
	for pid in "${pids[@]}"; do
		if kill -0 "$pid" 2>/dev/null; then return 0; fi
	done
	return 1
}

show_progress() {
	local begin=$SECONDS every=$1 target line
	shift
	while running; do
		sleep "$every"
		line=
		for target; do line+="  $target $(executions "$build/logs/$target"-*.log)"; done
		printf '%4d s%s\n' $((SECONDS - begin)) "$line"
	done
}

# close_with SECONDS TARGET... - one line a target; fails when one found something
close_with() {
	local seconds=$1 target log n new failed=0
	shift
	for target; do
		n=$(executions "$build/logs/$target"-*.log)
		new=$(find "$build/found/$target" -type f -newer "$build/logs/begin" | wc -l)
		printf '%-8s %10d executions, %6d a second, %4d new inputs' "$target" "$n" $((n / seconds)) "$new"
		printf ' (of %d in %s)\n' "$(find "$build/found/$target" -type f | wc -l)" "$build/found/$target"
		for log in "$build/logs/$target"-*.log; do
			if ! grep -q '^Done [0-9]* runs' "$log"; then
				failed=1
				echo "$target FOUND SOMETHING ($log); with its input, $programs/$target INPUT repeats it"
				what_was_found "$log" | sed 's/^/    /'
			fi
		done
	done
	return $failed
}

long() {
	local seconds=$1 target i workers
	shift
	workers=$((($(nproc) + $# - 1) / $#))
	rm -rf "$build/logs"
	mkdir -p "$build/logs"
	touch "$build/logs/begin"
	for target; do
		[ -x "$programs/$target" ] || {
			echo "run.sh: $programs/$target is not built: make fuzz-user" >&2
			exit 1
		}
		seeds "$target"
	done
	for target; do
		for ((i = 0; i < workers; i++)); do start "$target" "$seconds" "$i"; done
	done
	show_progress $((seconds < 40 ? 2 : 10)) "$@"
	for i in "${pids[@]}"; do wait "$i" || true; done
	pids=()
	close_with "$seconds" "$@"
}

case ${1:-} in
short) short ;;
[1-9]*)
	seconds=$1
	shift
	# shellcheck disable=SC2086 # words
	if [ $# = 0 ]; then set -- $all; fi
	long "$seconds" "$@"
	;;
*)
	echo "usage: [O=build] run.sh SECONDS [TARGET]... | short" >&2
	exit 2
	;;
esac
