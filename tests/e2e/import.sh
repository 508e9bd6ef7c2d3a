#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# weir import as it is typed: pipes, several files, variables, exit statuses, JSON; what it writes, `weir check` takes.
# No privilege needed.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
unset COMPOSE_PROJECT_NAME
mkdir "$TMP/Shop.1"
cd "$TMP/Shop.1"
cat >compose.yml <<'COMPOSE'
services:
  web: {ports: ["${PORT}:8080"], depends_on: [db]}
  db: {expose: [5432]}
COMPOSE
echo 'services: {db: {network_mode: none}}' >over.yml
echo 'services: {web: {networks: [lost]}}' >wrong.yml
echo PORT=81 >.env
echo PORT=82 >other.env

# status CMD…: its exit status, output in $TMP/out and $TMP/err
status() {
	local status=0
	"$@" >"$TMP/out" 2>"$TMP/err" || status=$?
	echo "$status"
}
import() { "$WEIR" import compose "$@"; }
published() { sed -n 's/.*published: \([a-z0-9/]*\).*/\1/p' "$TMP/out"; }

same "a file" "$(status import compose.yml) $(cat "$TMP/err")" "0 "
same "variables come from .env, names from the directory" "$(published) $(grep -o 'shop1/web' "$TMP/out")" "tcp/81 shop1/web"
same "weir check takes it" "$("$WEIR" check --json "$TMP/out" 2>&1 | json "d['valid'], d['rules']['allow']")" "(True, 5)"
same "and in a pipe" "$(import compose.yml | "$WEIR" check --json - | json "d['valid']")" True
same "the environment wins" "$(PORT=80 status import compose.yml) $(published)" "0 tcp/80"
same "another file of variables" "$(status import --env-file other.env compose.yml) $(published)" "0 tcp/82"
same "standard input" "$(status import -p shop - <compose.yml) $(published) $(grep -o 'shop/web' "$TMP/out")" "0 tcp/81 shop/web"
same "a file over another" "$(status import compose.yml over.yml) $(grep -c 'shop1/db' "$TMP/out")" "0 0"
same "what could not be carried over is said" "$(cat "$TMP/err")" \
	"weir: warning: compose.yml:2:47: service web: depends_on db: no network of this host is common to both"
same "and stands in the policy" "$(tail -n 1 "$TMP/out")" \
	"# compose.yml:2:47: service web: depends_on db: no network of this host is common to both"
same "less than compose allows" "$(status import --tight compose.yml) $(grep -o 'web-to-db, .*5432' "$TMP/out")" \
	"0 web-to-db, from: web, to: db, port: [tcp/5432"
same "NICs" "$(status import -i 'eth1,wl*' compose.yml) $(grep -o '^interfaces: .*]' "$TMP/out")" '0 interfaces: [eth1, "wl*"]'
same "as JSON" "$(import --json compose.yml over.yml 2>/dev/null |
	json "sorted(d), d['project'], d['policy'].startswith('# The compose project shop1'), len(d['warnings'])")" \
	"(['policy', 'project', 'warnings'], 'shop1', True, 1)"
same "a file that is wrong is rejected" "$(status import wrong.yml) $(cat "$TMP/out" "$TMP/err")" \
	"3 weir: wrong.yml:1:29: service \"web\" is on network \"lost\", which \`networks:\` does not have"
same "as JSON, too" "$(import --json wrong.yml 2>/dev/null | json "d['error']['file'], d['error']['line'], d['error']['column']")" \
	"('wrong.yml', 1, 29)"
same "a file that is not there" "$(status import lost.yml) $(cat "$TMP/err")" \
	"1 weir: lost.yml: cannot be read: No such file or directory"
same "no file" "$(status import) $(head -n 1 "$TMP/err")" "2 weir: a compose file is missing"
same "nothing" "$(status "$WEIR" import) $(head -n 1 "$TMP/err")" "2 weir: what to import is missing: compose"
same "something else" "$(status "$WEIR" import swarm x) $(head -n 1 "$TMP/err")" "2 weir: \"swarm\" cannot be imported; compose can"
same "a full disk is noticed" "$(status sh -c "'$WEIR' import compose compose.yml >/dev/full")" 1
finish
