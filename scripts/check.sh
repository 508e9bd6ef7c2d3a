#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check: everything about the sources that needs no run. Each check says "ok NAME", "FAILED NAME" with what it found,
# or "skipped NAME: reason"; the exit status is 1 when one failed.
# shellcheck disable=SC2317 # the functions are called through check()
set -euo pipefail

cd "$(dirname "$0")/.."
O=${O:-build}
failed=0

# Files that belong to the project: tracked, or new and not ignored, and not what a build with O= inside made.
files() {
	git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r file; do
		case $file in "${O#./}"/*) continue ;; esac
		if [ -f "$file" ]; then echo "$file"; fi
	done
}

# check NAME COMMAND...: fine when it succeeds and says nothing.
check() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1) && [ -z "$out" ]; then
		echo "ok $name"
	else
		echo "FAILED $name"
		printf '%s\n' "$out" | sed 's/^/    /' | head -n "${LINES_SHOWN:-60}"
		failed=1
	fi
}

skip() {
	echo "skipped $1: $2"
}

# ---- one convention a file

spdx() {
	local file
	files | while IFS= read -r file; do
		case $file in LICENSE | README.md | *.json | *.gitignore | tests/golden/*) continue ;; esac
		head -n 3 "$file" | grep -qE 'SPDX-License-Identifier: GPL-2\.0-only' || echo "$file: no SPDX line in its first three"
	done
}

scripts() {
	local file
	files | while IFS= read -r file; do
		case $file in
		*.sh | *.bash) echo "$file" ;;
		*) if head -n 1 "$file" | grep -qE '^#!.*\b(ba)?sh\b'; then echo "$file"; fi ;;
		esac
	done
}

shells() {
	scripts | xargs -r shellcheck -x -P SCRIPTDIR
}

formatted() {
	files '*.c' '*.h' | xargs -r -n 20 "$1" --dry-run -Werror
}

# ---- layers: a file includes its own layer or a lower one

# lines PATTERN FILE-PATTERN...: matching lines as FILE:LINE:TEXT.
lines() {
	local pattern=$1 list
	shift
	mapfile -t list < <(files "$@")
	if [ ${#list[@]} != 0 ]; then grep -HnE -- "$pattern" "${list[@]}" || true; fi
}

# unless PATTERN REASON: of these lines, those that are no exception, with the reason.
unless() {
	grep -vE -- "$1" | awk -v why="$2" '{ print $0 " (" why ")" }' || true
}

# may_include LAYER ALLOWED...: what the files of user/LAYER include from user/.
may_include() {
	local layer=$1 allowed
	shift
	allowed=$(IFS='|' && echo "$*")
	if [ -d "user/$layer" ]; then
		lines '^#include "[a-z]+/' "user/$layer/*.[ch]" | unless "\"($allowed|weir)/" 'not a lower layer'
	fi
}

layers() {
	may_include base base
	may_include policy policy base
	may_include compile compile policy base
	may_include kernel kernel compile policy base
	may_include audit audit kernel compile policy base
	may_include names names compile policy base
	may_include kube kube names audit kernel compile policy base
	may_include import import policy base
	may_include cmd cmd kube import names audit kernel compile policy base
}

only_kernel_includes_bpf() {
	lines '#include [<"](bpf|linux/bpf)' 'user/*.[ch]' | unless '^user/kernel/' 'only user/kernel/ talks to bpf(2)'
}

layers_are_silent() {
	lines '\b(printf|puts|perror|putchar|vprintf)\(|f(printf|puts)\(.*(stdout|stderr)|\b(_exit|exit|abort)\(' 'user/*.[ch]' |
		unless '^user/cmd/' 'only user/cmd/ prints and exits'
}

only_main_exits() {
	lines '\bexit\(' 'user/cmd/*.[ch]' | unless 'exit\(EXIT_FAILED\)|^[^:]*:[0-9]+:.?\*|/\*' 'a command returns its status'
}

shared_headers_are_bare() {
	lines '^#include' 'include/weir/*.h' | unless '#include (<linux/types.h>|"weir/)' 'both sides include it: <linux/types.h> and weir/'
}

programs_include_little() {
	lines '^#include' 'bpf/*.[ch]' |
		unless '#include (<linux/|<bpf/|<stddef.h>|"weir/|"[a-z_]+\.h")' 'kernel headers, <bpf/...>, weir/ and this folder only'
}

# ---- manual pages, static analysis

manuals() {
	files 'user/man/*.[58]' | xargs -r mandoc -T lint -W warning
}

tidy() {
	# shellcheck disable=SC2016 # the inner shell expands
	files 'user/*.c' | xargs -r -P 2 -n 1 sh -c '
		clang-tidy --quiet "$0" -- -D_GNU_SOURCE -DWEIR_VERSION=\"\" -Iinclude -Iuser -Ibpf -I"$O/gen" -std=gnu11 \
			-Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers 2>/dev/null | grep -E "(error|warning):"
		true'
}
export O

check "SPDX line in every file" spdx
check "includes go to lower layers" layers
check "only kernel/ includes bpf headers" only_kernel_includes_bpf
check "layers below cmd/ are silent" layers_are_silent
check "commands return, main exits" only_main_exits
check "shared headers are bare" shared_headers_are_bare
check "programs include kernel headers only" programs_include_little

# One major version formats the same everywhere; Debian 12 has 14.
if command -v clang-format-14 >/dev/null; then
	check "clang-format" formatted clang-format-14
elif clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
	check "clang-format" formatted clang-format
else
	skip "clang-format" "needs version 14, which this release does not have"
fi
if command -v shellcheck >/dev/null; then
	check "shellcheck" shells
else
	skip "shellcheck" "not installed (make deps)"
fi
if command -v mandoc >/dev/null; then
	check "manual pages" manuals
else
	skip "manual pages" "mandoc is not installed (make deps)"
fi
if command -v clang-tidy >/dev/null; then
	check "clang-tidy" tidy
else
	skip "clang-tidy" "not installed (make deps)"
fi
exit "$failed"
