#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# table.sh [--keep] - load every kernel program in each kernel, built by each compiler (KERNELS, COMPILERS as for run.sh), and
# write what the verifiers said into README.md, between the two comments that name this script.
#
# --keep: make the table of what the last runs left in $O/kernels/results, without new ones.
set -euo pipefail
cd "$(dirname "$0")/../.."

O=${O:-build}
case $O in /*) ;; *) O=$PWD/$O ;; esac
export O
RESULTS=$O/kernels/results
BEGIN='<!-- made by tests/kernels/table.sh: begin -->'
END='<!-- made by tests/kernels/table.sh: end -->'
read -ra kernels <<<"${KERNELS:-6.1 6.12 newest running}"
read -ra compilers <<<"${COMPILERS:-clang-14 clang-19}"

version_of() {
	if [ "$1" = running ]; then uname -r; else basename "$(readlink -f "${WEIR_KERNEL_CACHE:-/var/cache/weir/kernels}/$1")" | sed 's/^linux-//'; fi
}

# column KERNEL: its heading. Emulated machines are slow, so it says which.
column() {
	local how
	how=$(cat "$RESULTS/$1"/*/machine 2>/dev/null | sort -u | head -n 1)
	case $1/$how in
	running/*) version_of "$1" ;;
	*/tcg) version_of "$1" | sed 's/$/, emulated/' ;;
	*) version_of "$1" ;;
	esac
}

programs() {
	cat "$RESULTS"/*/*/table | cut -f 1 | grep -v '^weir_clock$' | sort -u
}

# cell KERNEL COMPILER PROGRAM
cell() {
	awk -F'\t' -v program="$3" '
		function grouped(n) { return n < 1000 ? n : grouped(int(n / 1000)) "," sprintf("%03d", n % 1000) }
		$1 == program && $2 == "refused" { print "refused"; found = 1 }
		$1 == program && $2 != "refused" { printf "%s / %d / %.0f\n", grouped($2), $3, $4 / 1000; found = 1 }
		END { if (!found) print "-" }' "$RESULTS/$1/$2/table" 2>/dev/null || echo -
}

make_table() {
	local kernel compiler program line rule
	line='| program | compiler |' rule='|---|---|'
	for kernel in "${kernels[@]}"; do
		line+=" $(column "$kernel") |"
		rule+='---|'
	done
	printf '%s\n%s\n' "$line" "$rule"
	for program in $(programs); do
		for compiler in "${compilers[@]}"; do
			line="| \`$program\` | $compiler |"
			for kernel in "${kernels[@]}"; do line+=" $(cell "$kernel" "$compiler" "$program") |"; done
			printf '%s\n' "$line"
		done
	done
}

[ "${1:-}" = --keep ] || tests/kernels/run.sh table
make_table >"$O/kernels/table.md"
cat "$O/kernels/table.md"
if ! grep -qxF -- "$BEGIN" README.md || ! grep -qxF -- "$END" README.md; then
	echo "README.md has no place for the table" >&2
	exit 1
fi
awk -v begin="$BEGIN" -v end="$END" -v table="$O/kernels/table.md" '
	$0 == end { inside = 0 }
	!inside { print }
	$0 == begin { inside = 1; print ""; while ((getline line < table) > 0) print line; print "" }' README.md >"$O/kernels/README.md"
cat "$O/kernels/README.md" >README.md
