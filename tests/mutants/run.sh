#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh [PATTERN] - plant each bug of tests/mutants/*.patch whose name matches the extended regular expression, and say
# who finds it: the tests of tests/unit and tests/prog, the proofs about that file, the fuzzer against the model.
#
# A patch begins with lines for people and for this script:
#   what is wrong, in words
#   Tests: NAME...      where to look first, of tests/unit, tests/prog, tests/e2e (e2e/NAME); all of unit and prog follow
#   Survives: REASON    nobody can tell it apart, and why
# Mutants are built in copies of the tree below $O/mutants, one for each core. JOBS=, FRAMES= (for the fuzzer, 40,000).
# A bug that does not build or that the verifier refuses proves nothing and counts as failed. The last line is
# "N passed, N failed, N skipped": a mutant passes when somebody finds it, or when its patch says why nobody can.
set -euo pipefail

cd "$(dirname "$0")/../.."
O=${O:-build}
case $O in /*) ;; *) O=$PWD/$O ;; esac
OUT=$O/mutants
TOP=$PWD
PATTERN=${1:-.}
JOBS=${JOBS:-$(nproc)}
FRAMES=${FRAMES:-40000}
SEED=${SEED:-20}

mapfile -t patches < <(find tests/mutants -name '*.patch' | sort | grep -E "${PATTERN}" || true)
[ ${#patches[@]} != 0 ] || { echo "no mutant matches $PATTERN" >&2; exit 2; }
rm -rf "$OUT/results"
mkdir -p "$OUT/results"

header() { sed -n "s/^$2: //p" "$1"; }
file_of() { sed -n 's|^+++ b/||p' "$1" | head -n 1; }

# ---- one copy of the tree, built once

tree() {
	local tree=$OUT/$1
	mkdir -p "$tree"
	rm -f "$tree/out"/*.a # an archive of an interrupted run may hold a mutant
	git ls-files -z | grep -zv '^tests/mutants/' | xargs -0 cp --parents -pu -t "$tree"
	# What an interrupted run left changed is newer than its original.
	git ls-files -z | grep -zv '^tests/mutants/' | while IFS= read -r -d '' path; do
		cmp -s "$path" "$tree/$path" || cp "$path" "$tree/$path"
	done
	build "$tree"
}

build() {
	make -C "$1" --no-print-directory O="$1/out" all prog-programs >"$1/build.log" 2>&1 &&
		make -C "$1" --no-print-directory O="$1/out/asan" DEBUG=1 unit-programs >>"$1/build.log" 2>&1
}

# ---- who finds it: prints the name of the finder and returns 0

by_one_test() { # TREE PROGRAM
	(cd "$1" && O=$1/out WEIR=$1/out/weir LAB_PREFIX=mut$BASHPID- CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 240 "$2") \
		>"$1/test.log" 2>&1 </dev/null
}

by_tests() { # TREE PATCH
	local name program status seen=' '
	for name in $(header "$2" Tests) $(cd "$1" && find tests/unit tests/prog -name 'test_*.c' -printf '%f\n' | sort); do
		name=${name%.c}
		[[ $seen != *" $name "* ]] || continue
		seen+="$name "
		case $name in
		e2e/*) program=$1/tests/$name.sh ;;
		*) program=$1/out/tests/prog/$name
			[ -x "$program" ] || program=$1/out/asan/tests/unit/$name ;;
		esac
		[ -x "$program" ] || continue
		status=0
		by_one_test "$1" "$program" || status=$?
		if [ "$status" != 0 ] && [ "$status" != 77 ]; then
			echo "$name"
			return 0
		fi
	done
	return 1
}

# The proofs that read this file; none for most.
proofs_of() {
	case $1 in
	bpf/parse.h) echo '^parse|^step' ;;
	bpf/limit.h) echo '^gcra|^limit' ;;
	bpf/classify.h) echo '^trie|^classify|^node' ;;
	esac
}

by_proofs() { # TREE PATTERN
	mkdir -p "$1/out/proof"
	# The checkers are fetched once.
	[ ! -d "$OUT/tools" ] || ln -sfn "$OUT/tools" "$1/out/proof/tools"
	(cd "$1" && O=$1/out tests/proof/run.sh "$2") >"$1/proof.log" 2>&1 && return 1
	awk '$1 == "failed" { print $2; exit }' "$1/proof.log"
}

by_fuzzer() { # TREE
	(cd "$1" && O=$1/out timeout 300 tests/model/fuzz.py --frames "$FRAMES" --policies 40 --seed "$SEED" --jobs 1 \
		--keep "$1/fuzz") >"$1/fuzz.log" 2>&1 && return 1
	grep -oE '[0-9]+ disagree' "$1/fuzz.log" | tail -n 1 | sed 's/ .*//' | grep . || echo found
}

# ---- one mutant

judge() { # TREE PATCH
	local tree=$1 patch=$2 name file proofs tests=- proof=- fuzz=- begin=$SECONDS verdict=found
	name=$(basename "$patch" .patch)
	file=$(file_of "$patch")
	if ! patch -s -p1 -d "$tree" <"$patch" >"$tree/patch.log" 2>&1; then
		verdict='DOES NOT APPLY'
	elif ! build "$tree"; then
		verdict='DOES NOT BUILD'
	elif ! "$tree/out/tests/model/runner" </dev/null 2>/dev/null | grep -q .; then
		verdict='DOES NOT LOAD'
	else
		tests=$(by_tests "$tree" "$patch") || tests=-
		fuzz=$(by_fuzzer "$tree") || fuzz=-
		proofs=$(proofs_of "$file")
		if [ -n "$proofs" ]; then proof=$(by_proofs "$tree" "$proofs") || proof=no; fi
		if [ "$tests$fuzz" = -- ] && [[ $proof =~ ^(-|no)$ ]]; then
			verdict=SURVIVES
			[ -z "$(header "$patch" Survives)" ] || verdict=explained
		fi
	fi
	cp "$TOP/$file" "$tree/$file"
	rm -f "$tree/$file".orig "$tree/$file".rej
	printf '%-32s %-22s %-24s %-22s %-20s %-10s %4d s\n' "$name" "$file" "$tests" "$proof" "$fuzz" "$verdict" \
		$((SECONDS - begin)) | tee "$OUT/results/$name"
}

worker() { # NUMBER
	local tree=$OUT/$1 i
	tree "$1" || { echo "the tree does not build: $tree/build.log" >&2; return 1; }
	for ((i = $1; i < ${#patches[@]}; i += JOBS)); do judge "$tree" "$TOP/${patches[i]}"; done
}

[ -x tests/proof/fetch-cbmc.sh ] && { [ -d "$OUT/tools" ] || tests/proof/fetch-cbmc.sh "$OUT/tools" >/dev/null 2>&1 || true; }
printf '%-32s %-22s %-24s %-22s %-20s\n' MUTANT FILE TESTS PROOFS FUZZER
pids=()
for ((n = 0; n < JOBS; n++)); do
	worker "$n" &
	pids+=($!)
done
status=0
for pid in "${pids[@]}"; do wait "$pid" || status=1; done

cat "$OUT"/results/* | awk -v wanted=${#patches[@]} -v status="$status" '
	{ all++; tests += $3 != "-"; proofs += $4 != "-" && $4 != "no"; asked += $4 != "-"; fuzz += $5 != "-" }
	/ (found|explained) / { passed++ }
	/ explained / { explained++ }
	END {
		printf "\n%d mutants: %d found by the tests, %d of %d by proofs, %d by the fuzzer; %d explained survivors\n",
			all, tests, proofs, asked, fuzz, explained
		printf "%d passed, %d failed, 0 skipped\n", passed, wanted - passed
		exit wanted != passed || status
	}'
