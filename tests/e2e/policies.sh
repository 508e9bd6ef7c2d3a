#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The ready-made policies pass their own tests, and those tests notice when a policy is broken.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start policies
for policy in kato kato-docker host-baseline; do
	file=$ROOT/scripts/policies/$policy.yaml
	status=0
	"$WEIR" check "$file" >"$TMP/out" 2>"$TMP/err" || status=$?
	same "$policy.yaml passes its own tests" "$status $(head -1 "$TMP/err")" "0 "
	tests=$(grep -c '^ *- {from: .*expect:' "$file")
	same "all $tests of them ran" "$("$WEIR" check --json "$file" 2>/dev/null | json "d['tests']['passed'], d['tests']['failed']")" "($tests, 0)"
	# Canonical text means the same policy.
	"$WEIR" check -p "$file" >"$TMP/canonical.yaml" 2>/dev/null
	same "$policy.yaml: its canonical text passes the same tests" \
		"$("$WEIR" check --json "$TMP/canonical.yaml" 2>/dev/null | json "d['tests']['passed'], d['tests']['failed']")" "($tests, 0)"
	# Without any one of its allow rules some test fails.
	while IFS=: read -r line text; do
		name=${text#*name: } name=${name%%,*}
		sed "${line}d" "$file" >"$TMP/broken.yaml"
		status=0
		"$WEIR" check "$TMP/broken.yaml" >/dev/null 2>&1 || status=$?
		same "$policy.yaml without $name fails its tests" "$status" 3
	done < <(grep -nE '^  - \{name: .*from: .*port: ' "$file" | grep -v count:)
done
# What the README shows to a newcomer.
sed -n '/^## A policy in ten lines/,/^Rules only add/s/^    //p' "$ROOT/README.md" >"$TMP/readme.yaml"
same "the README's policy is ten lines" "$(wc -l <"$TMP/readme.yaml")" 10
cat >>"$TMP/readme.yaml" <<'TESTS'
tests:
  - {from: 198.51.100.5, to: self, port: tcp/22, expect: allow}
  - {from: 203.0.113.5, to: self, port: tcp/22, expect: deny}
  - {from: 203.0.113.5, to: self, port: tcp/443, expect: allow}
  - {from: 203.0.113.66, to: self, port: tcp/443, expect: deny}
TESTS
same "and says what it seems to say" \
	"$("$WEIR" check --json "$TMP/readme.yaml" 2>&1 | json "d['tests']['passed'], d['tests']['failed'], d['limits']")" "(4, 0, 1)"
finish
