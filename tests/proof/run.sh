#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Proofs: spin models of what several CPUs do at once, CBMC on the code that reads frames and charges limits.
# Every proof comes with planted mistakes that it must find and with places that it must reach: a checker that finds
# nothing because it looked at nothing fails here.
#
# usage: run.sh OUTPUT-DIRECTORY [PATTERN]     PATTERN: extended regular expression over the names of the proofs
#
# The last line is "N passed, N failed, N skipped"; the exit status is 0 when none failed. What cannot run because a
# tool is missing counts as skipped.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: run.sh OUTPUT-DIRECTORY [PATTERN]}"
out=$(cd "$1" && pwd)
pattern=${2:-.}
passed=0
failed=0
skipped=0

# limited COMMAND... - with a bound on time and memory, so that a proof that explodes ends as a failure
limited() {
	(
		ulimit -v $((6 * 1024 * 1024))
		exec timeout 900 "$@"
	)
}

# report NAME ok|failed|skipped TEXT - one line a proof
report() {
	case $2 in
	ok) passed=$((passed + 1)) ;;
	skipped) skipped=$((skipped + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
	printf '%-8s %-36s %s\n' "$2" "$1" "$3"
}

# ------------------------------------------------------------------------------------------------------------
# Spin: every order of the steps of several CPUs. Its memory is sequentially consistent: where an architecture may
# reorder the two loads of limit_try(), the C has to prevent it.

# model NAME FILE EXPECTED DEFINES... - EXPECTED: "holds", or what the assertion that must fail contains
model() {
	local name=$1 file=$2 expected=$3 dir=$out/$1 start=$SECONDS violated text
	shift 3

	[[ $name =~ $pattern ]] || return 0
	if ! command -v spin >/dev/null; then
		report "$name" skipped "spin is not installed"
		return
	fi
	rm -rf "$dir"
	mkdir -p "$dir"
	if ! (
		cd "$dir"
		cp "$here/$file" model.pml
		spin "$@" -a model.pml
		"${CC:-gcc}" -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c
		limited ./pan -m100000
	) >"$dir/log" 2>&1; then
		report "$name" failed "did not run to its end: $dir/log"
		return
	fi
	violated=$(sed -n 's/^pan:[0-9]*: //p' "$dir/log")
	text="$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1 states/p' "$dir/log"), $((SECONDS - start)) s"
	if grep -q 'max search depth too small' "$dir/log" || ! grep -q 'errors: [01]$' "$dir/log"; then
		report "$name" failed "search was not complete: $dir/log"
	elif [ "$expected" = holds ] && [ -z "$violated" ] && grep -q 'errors: 0$' "$dir/log"; then
		report "$name" ok "$text"
	elif [ "$expected" != holds ] && [[ $violated == *"assertion violated"*"$expected"* ]]; then
		report "$name" ok "found, $text"
	else
		report "$name" failed "expected \"$expected\", found \"${violated:-nothing}\": $dir/log"
	fi
	rm -f "$dir"/pan*
}

# Two CPUs with two packets each, three with one; no burst at all; an interval of several ticks.
model bucket bucket.pml holds
model bucket-3cpus bucket.pml holds -DCPUS=3 -DPACKETS=1
model bucket-no-burst bucket.pml holds -DTOLERANCE=0 -DTICKS=3
model bucket-slow-limit bucket.pml holds -DINTERVAL=2 -DTOLERANCE=2 -DTICKS=3
for mistake in KEY_FIRST NO_LOCK EARLY_CLOCK GIVE_BACK; do
	model "bucket-planted-$mistake" bucket.pml sum "-D$mistake"
done
for place in 1 2 3 4 5 7; do
	model "bucket-reaches-$place" bucket.pml "($place!=$place)" "-DREACH=$place"
done
model bucket-reaches-6 bucket.pml "(6!=6)" -DREACH=6 -DKEYS=3

model word word.pml holds
model word-planted-STORE_CONFIRM word.pml began -DSTORE_CONFIRM
model word-planted-STORE_FALLBACK word.pml confirmed -DSTORE_FALLBACK
model word-planted-GRACE_AFTER word.pml a==b -DGRACE_AFTER
model word-planted-APPLY_IN_TRIAL word.pml before -DAPPLY_IN_TRIAL
model word-planted-BLIND_ROLLBACK word.pml began -DBLIND_ROLLBACK
for place in 1 2 3 4 5 6 7 8; do
	model "word-reaches-$place" word.pml "($place!=$place)" "-DREACH=$place"
done

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
