#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh [unit|prog|model|fuzz|e2e|docker|NAME]... - run weir's tests (without arguments all but docker), count, close
# with one line:
#
#   N passed, N failed, N skipped
#
# unit/  tests/unit/test_*.c, built with ASan and UBSan in $O/asan; prog/  tests/prog/test_*.c and executable scripts;
# model/ tests/model/fuzz-short; fuzz/ tests/fuzz/short; e2e/  executable tests/e2e/*.sh; docker/  executable
# tests/docker/*.sh (by tests/docker/run).
# Each reports lines in TAP's manner: "ok NAME", "not ok NAME", "skip NAME: reason" ("ok NAME # SKIP reason"). Exit 77 is
# a skip of the whole, its last line the reason; any other exit without a "not ok" is one more failure. A test that says
# nothing counts as one. Exit status 1 when anything failed or nothing ran.
#
# Tests run one after the other, each in a process group of its own with a time limit of its own (WEIR_TEST_TIMEOUT
# seconds, default 300). What a test leaves behind (namespaces weir-test-*, pins of these) is removed, and only that: what
# was there before belongs to somebody else, unless it is old and nobody runs in it.
set -euo pipefail

cd "$(dirname "$0")/.."
O=${O:-build}
case $O in /*) ;; *) O=$PWD/$O ;; esac
export O WEIR="${WEIR:-$O/weir}"
LIMIT=${WEIR_TEST_TIMEOUT:-300}
LOGS=$O/test-logs
PINS=/sys/fs/bpf/weir
MARK=$$-$EPOCHREALTIME
passed=0 failed=0 skipped=0 group='' before='' failures=()

# ---- what is left behind

namespaces() {
	local path
	for path in /run/netns/weir-test-*; do
		if [ -e "$path" ]; then echo "${path##*/}"; fi
	done
}

# The pins of a namespace that the tests made: hooks end with their links, so removing the pins detaches.
remove_pins() {
	local dir
	for dir in "$PINS/$1" "/sys/fs/bpf/$1"; do
		if [ -d "$dir" ]; then rm -rf "$dir"; fi
	done
}

remove_namespace() {
	local pid
	for pid in $(ip netns pids "$1" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
	remove_pins "$1"
	ip netns del "$1" 2>/dev/null || true
}

# Left by a run that was killed: older than half an hour, and no process in it.
remove_stale() {
	local ns
	for ns in $(namespaces); do
		if [ -n "$(find "/run/netns/$ns" -maxdepth 0 -mmin +30)" ] && [ -z "$(ip netns pids "$ns" 2>/dev/null)" ]; then
			echo "removing $ns, left by an earlier run"
			remove_namespace "$ns"
		fi
	done
}

list_ours() {
	local path
	namespaces
	for path in "$PINS"/weir-test-* /sys/fs/bpf/weir-test-*; do
		if [ -d "$path" ]; then echo "${path##*/}"; fi
	done
}

remove_left() {
	local name
	[ "$(id -u)" = 0 ] || return 0
	for name in $(list_ours | sort -u); do
		if ! grep -qxF -- "$name" <<<"$before"; then remove_namespace "$name"; fi
	done
}

end_group() {
	local tries=50
	[ -n "$group" ] || return 0
	kill -TERM -- "-$group" 2>/dev/null || true
	while kill -0 -- "-$group" 2>/dev/null && ((tries-- > 0)); do sleep 0.1; done
	kill -KILL -- "-$group" 2>/dev/null || true
	group=''
	end_escaped
}

# What left the group (setsid, a daemon) still carries this run's mark in its environment.
end_escaped() {
	local path pid
	while IFS= read -r path; do
		pid=${path#/proc/}
		kill -KILL "${pid%/environ}" 2>/dev/null || true
	done < <(grep -lzxF -- "WEIR_TEST_RUN=$MARK" /proc/[0-9]*/environ 2>/dev/null)
}

leave() {
	local status=$?
	trap - EXIT
	trap '' INT TERM HUP
	end_group
	remove_left
	exit "$status"
}
trap leave EXIT
trap 'echo "interrupted" >&2; exit 130' INT
trap 'exit 143' TERM HUP

# ---- one test

# Counts the result lines in a log: "P F S".
count_lines() {
	awk '
		/^(not )?ok .*# ?(SKIP|skip)/ { s++; next } # cmocka of Debian 12 says "not ok"
		/^ok / { p++ }
		/^not ok / { f++ }
		/^skip / { s++ }
		/^1\.\.[0-9]+/ { plan += substr($1, 4) }
		END {
			if (plan > p + f + s) f += plan - p - f - s # ended before its end
			print p + 0, f + 0, s + 0
		}' "$1"
}

# run_one GROUP NAME PROGRAM
run_one() {
	local name=$1/$2 log=$LOGS/$1-$2.log begin=$EPOCHREALTIME status=0 p f s seconds note=''
	mkdir -p "$LOGS"
	printf '%-40s ' "$name"
	if [ ! -x "$3" ]; then
		echo "not ok $3 is not built" >"$log"
	else
		WEIR_TEST_RUN=$MARK setsid timeout --foreground -k 10 "$LIMIT" "$3" >"$log" 2>&1 </dev/null &
		group=$!
		wait "$group" || status=$?
		end_group
	fi
	read -r p f s <<<"$(count_lines "$log")"
	if [ "$status" = 77 ]; then
		s=$((s + 1)) note=": $(tail -n 1 "$log")"
	elif [ "$status" = 124 ] || [ "$status" = 137 ]; then
		f=$((f + 1)) note=" (more than $LIMIT s)"
	elif [ "$status" != 0 ] && [ "$f" = 0 ]; then
		f=1 note=" (exit status $status)"
	elif [ $((p + f + s)) = 0 ]; then
		p=1
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	seconds=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
	printf '%4d passed%s%s  %6s s%s\n' "$p" "$([ "$f" = 0 ] || echo ", $f FAILED")" \
		"$([ "$s" = 0 ] || echo ", $s skipped")" "$seconds" "$note"
	sed -n -e 's/^skip /    skipped: /p' -e 's/^\(not \)\{0,1\}ok \(.*\)# *SKIP */    skipped: \2/p' "$log"
	if [ "$f" != 0 ]; then failures+=("$name"); fi
	remove_left
}

# ---- all tests

wanted() {
	local word
	[ $# -gt 2 ] || return 0
	for word in "${@:3}"; do
		if [ "$word" = "$1" ] || [ "$word" = "$2" ] || [ "$word" = "$1/$2" ]; then return 0; fi
	done
	return 1
}

main() {
	local path name log
	export CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} UBSAN_OPTIONS=print_stacktrace=1
	if [ "$(id -u)" = 0 ]; then
		remove_stale
		before=$(list_ours)
	fi
	for path in tests/unit/test_*.c; do
		name=$(basename "$path" .c)
		if [ -e "$path" ] && wanted unit "$name" "$@"; then run_one unit "$name" "$O/asan/tests/unit/$name"; fi
	done
	for path in tests/prog/test_*.c; do
		name=$(basename "$path" .c)
		if [ -e "$path" ] && wanted prog "$name" "$@"; then run_one prog "$name" "$O/tests/prog/$name"; fi
	done
	for path in tests/prog/* tests/model/fuzz-short tests/fuzz/short tests/e2e/*.sh; do
		name=$(basename "$path" .sh)
		if [ -f "$path" ] && [ -x "$path" ] && wanted "$(basename "$(dirname "$path")")" "$name" "$@"; then
			run_one "$(basename "$(dirname "$path")")" "$name" "$path"
		fi
	done
	for path in tests/docker/*.sh; do
		name=$(basename "$path" .sh)
		if [ $# != 0 ] && [ -x "$path" ] && wanted docker "$name" "$@"; then run_one docker "$name" "$path"; fi
	done
	for name in "${failures[@]}"; do
		log=$LOGS/${name/\//-}.log
		printf '\n--- %s (%s)\n' "$name" "$log"
		{ grep -vE '^ok ' "$log" || true; } | tail -n 60
	done
	echo
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ] && [ $((passed + skipped)) != 0 ]
}

main "$@"
