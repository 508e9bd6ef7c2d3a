#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh [CELL]... - weir's kernel programs in other kernels and in this one, built by each compiler at hand.
#
# KERNELS (default "6.1 6.12 newest running") are the kernels, as fetch.sh names them, and the running one; COMPILERS (default
# "clang-14 clang-19", as far as they are there) the compilers of the kernel programs; cells are those of cases.sh, all of them
# without arguments. The build of each compiler is in $O/kernels/COMPILER, what every cell said in
# $O/kernels/results/KERNEL/COMPILER. WEIR_KERNEL_TIMEOUT is how long one guest may take, in seconds (default 2400).
#
# Closes with a table of all cells, and "N passed, N failed, N skipped".
set -euo pipefail
cd "$(dirname "$0")/../.."

O=${O:-build}
case $O in /*) ;; *) O=$PWD/$O ;; esac
LIMIT=${WEIR_KERNEL_TIMEOUT:-2400}
RESULTS=$O/kernels/results
read -ra kernels <<<"${KERNELS:-6.1 6.12 newest running}"
read -ra compilers <<<"${COMPILERS:-clang-14 clang-19}"
cells=("${@:-packets}")
[ $# != 0 ] || cells=(packets sequences lifecycle harden table)
passed=0 failed=0 skipped=0 rows=()

say() {
	printf '%s\n' "$*"
}

skip() {
	say "skipped: $1: $2"
	skipped=$((skipped + 1))
	rows+=("$3 - - skipped: $2")
}

# compiler_of NAME: the program, when this machine has that version.
compiler_of() {
	if command -v "$1" >/dev/null; then
		echo "$1"
	elif [ "$(clang --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/clang-\1/p')" = "$1" ]; then
		echo clang
	else
		return 1
	fi
}

build() {
	local clang
	clang=$(compiler_of "$1") || return 77
	make --no-print-directory -j "$(nproc)" O="$O/kernels/$1" CLANG="$clang" kernel-programs
	# What is compiled at the first use is compiled here: guests have no compiler.
	O=$O/kernels/$1 bash -c '. tests/lib/lab.sh && lab_tool'
}

version_of() {
	if [ "$1" = running ]; then uname -r; else basename "$(readlink -f "${WEIR_KERNEL_CACHE:-/var/cache/weir/kernels}/$1")" | sed 's/^linux-//'; fi
}

# count_cells DIR: adds them up, makes one row of the table.
count_cells() {
	local dir=$1 kernel=$2 compiler=$3 seconds=$4 row='' name p f s t
	for name in "${cells[@]}"; do
		read -r p f s t < <(sed -n "s/^cell $name //p" "$dir/cells" 2>/dev/null | tail -n 1) || true
		if [ -z "${p:-}" ]; then p=0 f=1 s=0 t=0; fi
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
		row+=" $p"
		[ "$f" = 0 ] || row+="+${f}FAILED"
		[ "$s" = 0 ] || row+="+${s}skipped"
		row+="(${t}s)"
		p='' f='' s='' t=''
	done
	rows+=("$(version_of "$kernel") $compiler$row ${seconds}s")
}

run_one() {
	local kernel=$1 compiler=$2 dir=$RESULTS/$1/$2 began=$SECONDS status=0
	say "==== $(version_of "$kernel"), $compiler"
	rm -rf "$dir"
	mkdir -p "$dir"
	if [ "$kernel" = running ]; then
		O=$O/kernels/$compiler tests/kernels/cases.sh "$dir" "${cells[@]}" || status=$?
	else
		tests/kernels/guest.sh "$kernel" "$O/kernels/$compiler" "$dir" "$LIMIT" \
			env WEIR_TEST_TIMEOUT="${WEIR_TEST_TIMEOUT:-600}" tests/kernels/cases.sh /out "${cells[@]}" || status=$?
	fi
	case $status in
	124) say "$kernel: more than $LIMIT s" ;;
	125) say "$kernel: the guest failed; its log is $dir/console" ;;
	esac
	count_cells "$dir" "$kernel" "$compiler" $((SECONDS - began))
	# A kernel that complains fails even where every test passed.
	if [ "$status" = 125 ]; then failed=$((failed + 1)); fi
}

main() {
	local kernel compiler built=() usable=() status
	if [ "$(id -u)" != 0 ]; then
		say "skipped: kernels: needs root"
		say "0 passed, 0 failed, 1 skipped"
		exit 0
	fi
	for compiler in "${compilers[@]}"; do
		status=0
		build "$compiler" || status=$?
		case $status in
		0) built+=("$compiler") ;;
		77) skip "$compiler" "this release does not have it" "all $compiler" ;;
		*)
			say "the build with $compiler failed"
			failed=$((failed + 1))
			;;
		esac
	done
	for kernel in "${kernels[@]}"; do
		if [ "$kernel" = running ] || tests/kernels/fetch.sh "$kernel"; then
			usable+=("$kernel")
		else
			skip "$kernel" "not to be had" "$kernel all"
		fi
	done
	for kernel in "${usable[@]}"; do
		for compiler in "${built[@]}"; do run_one "$kernel" "$compiler"; done
	done
	say ''
	{
		say "kernel compiler ${cells[*]} in-all"
		printf '%s\n' "${rows[@]}"
	} | awk '{
		for (i = 1; i <= NF; i++) { word[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) }
		fields[NR] = NF
	} END {
		for (n = 1; n <= NR; n++) {
			line = ""
			for (i = 1; i <= fields[n]; i++) line = line sprintf("%-*s", width[i] + 2, word[n, i])
			sub(/ +$/, "", line)
			print line
		}
	}' | tee "$O/kernels/cells"
	say ''
	say "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ] && [ $((passed + skipped)) != 0 ]
}

main
