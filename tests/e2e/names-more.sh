#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A host that boots before its engine and its network; names by DNS, with answers that change, and a resolver that dies;
# services of this host by their units.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start names-more
export WEIR_RUN_DIR=$TMP/run WEIR_STATE_DIR=$TMP/state DOCKER_HOST=unix://$TMP/engine.sock
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_host one 203.0.113.20 2001:db8:113::20
lab_host two 203.0.113.21 2001:db8:113::21
lab_workload kato 10.42.1.7 2001:db8:42:1::7
listen kato kato.log tcp:8000
listen one one.log tcp:443
listen two two.log tcp:443
state() { weir status --json | json "$1"; }

# Each sees a resolver of the test's own, and a cgroup2 hierarchy.
UNIT=$LAB-web.service
mkdir "$TMP/cgroup"
echo 'nameserver 127.0.0.1' >"$TMP/resolv.conf"
cat >"$TMP/within" <<-'END'
	#!/bin/sh
	mount --make-rprivate / && mount --bind "$WITHIN/resolv.conf" /etc/resolv.conf || exit 1
	mount -t cgroup2 none "$WITHIN/cgroup" || exit 1
	exec "$@"
END
chmod +x "$TMP/within"
export WITHIN=$TMP
within() { unshare -m "$TMP/within" "$@"; }

cat >"$TMP/policy.yaml" <<-POLICY
	interfaces: [eth0]
	workloads: ["veth*"]
	default: {ingress: deny, egress: deny, forward: deny}
	segments:
	  kato: [{container: kato}]
	  api: [{name: api.example}]
	allow:
	  - {from: any, to: kato, port: tcp/8000}
	  - {from: self, to: api, port: tcp/443}
POLICY

# ---- boot: neither an engine nor a resolver answers

daemon() {
	spawn node "$1" unshare -m "$TMP/within" "$WEIR" --netns "$LAB-node" run "$TMP/policy.yaml"
	until_true 20 eval "[ \"\$(state \"d['changes'] is not None\")\" = True ]" || {
		not_ok "weir run comes up" "$(tail -n 3 "$TMP/$1.err")"
		exit 1
	}
}
daemon boot
same "the policy is in force though nobody answers" "$(state "(d['generation'], d['engine']['connected'])")" "(1, False)"
same "and workloads are closed, for a reason" "$(state "[i['waits'] for i in d['interfaces'] if i['name'] == 'veth-kato']")" \
	"['the engine has said nothing yet of who 10.42.1.7, 2001:db8:42:1::7 is']"
reach "nobody is reached" client tcp:10.42.1.7:8000=silent
reach "nor does this host reach a host that is not known" node tcp:203.0.113.20:443=silent tcp:203.0.113.21:443=silent

mkfifo "$TMP/engine.in" "$TMP/engine.out"
"$PYTHON" "$LAB_DIR/fake-engine.py" "$TMP/engine.sock" <"$TMP/engine.in" >"$TMP/engine.out" 2>"$TMP/engine.err" &
LAB_PIDS["engine"]=$!
exec {TO}>"$TMP/engine.in" {FROM}<"$TMP/engine.out"
{
	echo "network n1 back 10.42.0.0/16 2001:db8:42::/48"
	echo "up $(printf '%064x' 7) kato n1 10.42.1.7 2001:db8:42:1::7"
} >&"$TO"
for _ in 1 2 3; do read -r -t 10 <&"$FROM"; done
until_true 10 eval "[ \"\$(state \"d['engine']['connected']\")\" = True ]" || true
until_true 5 eval "[ \"\$(state \"sum(i['closed'] for i in d['interfaces'])\")\" = 0 ]" || true
reach "the engine comes: who it knows is let in" client tcp:10.42.1.7:8000=open "tcp:2001:db8:42:1::7:8000=open"

# ---- DNS

echo '203.0.113.20 api.example' >"$TMP/hosts"
resolver() {
	spawn node "$1" dnsmasq --no-daemon -C /dev/null --no-resolv --no-hosts --addn-hosts="$TMP/hosts" --local=/example/ \
		--local-ttl=1 --listen-address=127.0.0.1 --bind-interfaces --user=root --pid-file=
}
if ! command -v dnsmasq >/dev/null; then
	skip "DNS" "dnsmasq is not installed"
	finish
fi
resolver dns
until_true 20 eval "[ \"\$(state \"[n['addresses'] for n in d['names'] if n['kind'] == 'name']\")\" = '[1]' ]" || true
reach "a resolver comes: the host is known" node tcp:203.0.113.20:443=open tcp:203.0.113.21:443=silent
chat node talk tcp:203.0.113.20:443
echo '203.0.113.21 api.example' >"$TMP/hosts"
kill -HUP "${LAB_PIDS[dns]}"
until_true 20 sh -c "nsenter --net=/run/netns/$LAB-node '$WIRE' reach --wait 200 tcp:203.0.113.21:443 | grep -q open" || true
reach "an answer that changes is followed" node tcp:203.0.113.21:443=open tcp:203.0.113.20:443=silent
same "connections to the former one end" "$(lively talk)" stalled
stop talk dns
until_true 20 eval "[ \"\$(state \"[n['error'] is not None for n in d['names'] if n['kind'] == 'name']\")\" = '[True]' ]" || true
same "a resolver that dies: said, with the age of what it said last" \
	"$(state "[(n['known'], n['addresses'], n['age_ns'] > 10**9, n['error'] is not None) for n in d['names'] if n['kind'] == 'name']")" \
	"[(True, 1, True, True)]"
same "once in the log" "$(grep -c '{name: api.example}: .*the last answer stays' "$TMP/boot.err")" 1
reach "and that stays in force" node tcp:203.0.113.21:443=open tcp:203.0.113.20:443=silent
echo 'segments: {x: [{name: nobody.example}]}' >"$TMP/nobody.yaml"
resolver dns2
sleep 0.5
status=0
within "$WEIR" --netns "$LAB-node" apply "$TMP/policy.yaml" "$TMP/nobody.yaml" >"$TMP/out" 2>"$TMP/err" || status=$?
same "a host that has never been resolved is refused, with its place" \
	"$status $(grep -c 'nobody.yaml:1:16: {name: nobody.example} has never been resolved: .*; policy not applied, generation .* still active' "$TMP/err")" "1 1"

# ---- units

cat >>"$TMP/policy.yaml" <<-POLICY
	  - {name: web-out, from: {unit: $UNIT}, to: 203.0.113.20, port: tcp/443}
POLICY
# shellcheck disable=SC2016 # the inner shells expand
# in_unit CMD…: on the node, as a process of that unit
in_unit() {
	at node unshare -m "$TMP/within" sh -c 'mkdir -p "$WITHIN/cgroup/$0" && echo $$ >"$WITHIN/cgroup/$0/cgroup.procs" && exec "$@"' "$UNIT" "$@"
}
# shellcheck disable=SC2016
remove_unit() { within sh -c 'rmdir "$WITHIN/cgroup/$0"' "$UNIT" 2>/dev/null || true; }
# shellcheck disable=SC2317 # lab_clean calls it
at_clean() { remove_unit; }
# shellcheck disable=SC2016
within sh -c 'mkdir -p "$WITHIN/cgroup/$0"' "$UNIT"
until_true 10 grep -q 'generation .* in force' "$TMP/boot.err" || true
until_true 10 eval "[ \"\$(weir show rules --json | json \"sum(r['rule'] == 'web-out' for r in d)\")\" = 1 ]" || true
sleep 1
from_unit() { in_unit "$WIRE" reach tcp:203.0.113.20:443; }
same "a process of the unit reaches what its rule says" "$(from_unit)" "tcp:203.0.113.20:443 open"
reach "others of this host do not" node tcp:203.0.113.20:443=silent
remove_unit
finish
