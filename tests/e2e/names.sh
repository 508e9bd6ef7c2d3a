#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# weir run follows containers: 500 workloads on one bridge, and what it costs when one more starts. Who is new is closed
# until the engine has told of him, who stops is gone at once, during a trial, too; without the engine everything goes on.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

COUNT=500 # workloads that are there
PER=50    # in one namespace: they are made quicker so
STARTS=9  # measured

lab_start names
export WEIR_RUN_DIR=$TMP/run WEIR_STATE_DIR=$TMP/state DOCKER_HOST=unix://$TMP/engine.sock
lab_node
lab_host client 203.0.113.10 2001:db8:113::10

# ---- the engine, and containers

mkfifo "$TMP/engine.in" "$TMP/engine.out"
"$PYTHON" "$LAB_DIR/fake-engine.py" "$TMP/engine.sock" <"$TMP/engine.in" >"$TMP/engine.out" 2>"$TMP/engine.err" &
LAB_PIDS["engine"]=$!
exec {TO}>"$TMP/engine.in" {FROM}<"$TMP/engine.out"
# engine COMMAND…: and wait for its answer
engine() {
	local answer
	[ $# = 0 ] || echo "$*" >&"$TO"
	read -r -t 10 answer <&"$FROM"
	case $answer in
	ok*) ;;
	*)
		not_ok "the fake engine takes: $*" "$answer"
		exit 1
		;;
	esac
}
engine
engine network n1 back 172.20.0.0/16 fd00:20::/64

ip -n "$LAB-node" link add br-back type bridge forward_delay 0
ip -n "$LAB-node" addr add 172.20.0.1/16 dev br-back
ip -n "$LAB-node" addr add fd00:20::1/64 dev br-back nodad
ip -n "$LAB-node" link set br-back up

# wires ROLE FIRST N: veths of workloads FIRST… whose other ends are in ROLE
wires() {
	local i
	for ((i = $2; i < $2 + $3; i++)); do
		echo "link add vethm$i type veth peer name e$i netns $LAB-$1"
		echo "link set vethm$i master br-back up"
	done | ip -n "$LAB-node" -batch -
	for ((i = $2; i < $2 + $3; i++)); do
		echo "addr add 172.20.$(((i + 2) / 256)).$(((i + 2) % 256))/16 dev e$i"
		echo "link set e$i up"
	done | ip -n "$LAB-$1" -batch -
}
for ((i = 0; i < COUNT; i += PER)); do
	lab_namespace "m$i"
	# This many neighbours on one bridge, all with link-local addresses, would talk more than they are worth here.
	at "m$i" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'
	wires "m$i" "$i" "$PER"
done
engine many "$COUNT" n1

# plug ROLE N: container N (172.20.9.N, fd00:20::9:N) gets its interface; the engine has not said so
plug() {
	[ -e "/run/netns/$LAB-$1" ] || lab_namespace "$1"
	ip -n "$LAB-node" link add "veth-$1" type veth peer name eth0 netns "$LAB-$1"
	ip -n "$LAB-node" link set "veth-$1" master br-back up
	ip -n "$LAB-$1" link set eth0 address "$(printf '02:42:ac:14:09:%02x' "$2")" # as an engine makes them
	ip -n "$LAB-$1" addr add "172.20.9.$2/16" dev eth0
	ip -n "$LAB-$1" addr add "fd00:20::9:$2/64" dev eth0 nodad
	ip -n "$LAB-$1" link set eth0 up
	ip -n "$LAB-$1" route add default via 172.20.0.1
	ip -n "$LAB-$1" route add default via fd00:20::1
}
unplug() { ip -n "$LAB-node" link del "veth-$1"; }
# id ROLE: as an engine would call it
id_of() { printf '%s' "$1" | sha256sum | cut -c1-64; }
tell() { engine up "$(id_of "$1")" "$1" n1 "172.20.9.$2" "fd00:20::9:$2"; }
state() { weir status --json | json "$1"; }
# closed_because VETH: what status says of it
closed_because() { state "next((i['waits'] for i in d['interfaces'] if i['name'] == '$1'), 'missing')"; }
bound() { until_true 10 eval "[ \"\$(closed_because veth-$1)\" = None ]"; }

plug kato 10
plug db 11
tell kato 10
engine create "$(id_of db)" shop_db_1 project=shop service=db
engine connect "$(id_of db)" n1 172.20.9.11 fd00:20::9:11
engine start "$(id_of db)"
listen kato kato.log tcp:8000
listen db db.log tcp:6379 tcp:6380

rules() { # rules PORT: of the database
	cat >"$TMP/policy.tmp" <<-POLICY
		interfaces: [eth0]
		workloads: ["veth*"]
		default: {ingress: deny, egress: deny, forward: deny}
		segments:
		  kato: [{container: kato}]
		  db: [{compose: shop/db}]
		  fleet: [{network: back}]
		  extra: [{container: extra}]
		allow:
		  - {name: api, from: any, to: kato, port: tcp/8000, published: tcp/443}
		  - {name: data, from: [kato, extra], to: db, port: tcp/$1}
		  - {from: any, to: fleet, port: icmp/echo-request}
		tests:
		  - {from: kato, to: db, port: tcp/$1, expect: allow}
		  - {from: extra, to: kato, port: tcp/6379, expect: deny}
	POLICY
	mv "$TMP/policy.tmp" "$TMP/$2.yaml"
}
rules 6379 policy

# ---- one policy, resolved once

weir apply "$TMP/policy.yaml" >"$TMP/apply.out" 2>"$TMP/apply.err" || { not_ok "it applies" "$(tail -n 2 "$TMP/apply.err")"; exit 1; }
same "apply binds who the engine knows" "$(state "sum(i['closed'] for i in d['interfaces'])")" 0
same "and guards their bridge" "$(state "[i['role'] for i in d['interfaces'] if i['name'] == 'br-back']")" "['bridge']"
same "a container that is not there is a warning, with its place" "$(grep -c 'policy.yaml:8:11: {container: extra} ' "$TMP/apply.err")" 1
reach "names are held, from outside and among containers" client tcp:172.20.9.10:8000=open tcp:172.20.9.11:6379=silent \
	tcp:fd00:20::9:10:8000=open tcp:fd00:20::9:11:6379=silent
reach "between containers" kato tcp:172.20.9.11:6379=open tcp:172.20.9.11:6380=silent tcp:fd00:20::9:11:6379=open
same "a network is all its containers" "$(weir show segments fleet --json | json "len(d[0]['followed'][0]['addresses'])")" $((COUNT + 4))
same "without a daemon, status says that nobody follows" "$(state "(d['engine']['connected'], d['changes'])")" "(None, None)"

# ---- a daemon that follows

start_daemon() {
	spawn node "$1" "$WEIR" --netns "$LAB-node" run "$TMP/policy.yaml"
	until_true 20 daemon_runs "$1" || {
		not_ok "weir run comes up" "$(tail -n 3 "$TMP/$1.err")"
		exit 1
	}
}
# shellcheck disable=SC2317 # until_true calls it
daemon_runs() { [ "$(state "d['daemon']")" = "${LAB_PIDS[$1]}" ] && [ "$(state "d['changes'] is not None")" = True ]; }
generation() { state "d['generation']"; }

before=$(generation)
start_daemon first
same "a daemon that finds everything as it was changes nothing" "$(generation)" "$before"
same "it is connected" "$(state "d['engine']['connected']")" True

# What one container more costs the daemon, from the moment that its interface appears: hooks, entry, tables, binding.
: >"$TMP/costs"
total=$(state "d['changes']['total_work_ns']")
for ((i = 0; i < STARTS; i++)); do
	n=$((100 + i))
	plug "s$i" "$n"
	sleep 0.2
	[ "$(closed_because "veth-s$i")" = "the engine has not said who 172.20.9.$n, fd00:20::9:$n is" ] ||
		not_ok "a new container is closed until the engine has said who it is" "$(closed_because "veth-s$i")"
	tell "s$i" "$n"
	until_true 5 eval "[ \"\$(state \"d['changes']['count']\")\" = $((i + 1)) ]" || true
	[ "$(closed_because "veth-s$i")" = None ] ||
		not_ok "it opens when the engine has said so" "$(closed_because "veth-s$i")"
	state "'%d %d %d' % tuple(d['changes'][k] // s for k, s in (('work_ns', 1000), ('latency_ns', 1000), ('written_bytes', 1)))" >>"$TMP/costs"
done
total=$((($(state "d['changes']['total_work_ns']") - total) / STARTS / 1000))
# column N RANK
column() { cut -d' ' -f"$1" "$TMP/costs" | sort -n | sed -n "$2p"; }
echo "# one container more among $((COUNT + 2)): $total us of processor time, $(column 1 $((STARTS / 2 + 1))) of it for its names;" \
	"in force $(column 2 1) to $(column 2 "$STARTS") us after the engine's word; $(column 3 $((STARTS / 2 + 1))) bytes of tables written"
# Of all that it takes; on a machine on which others work as well, the same work takes up to twice the processor time.
between "new names cost under 10 ms of work" "$(column 1 $((STARTS / 2 + 1)))" 1 9999
between "with hooks, entry and binding under 20 ms" "$total" 1 19999
between "they are in force soon after the engine's word" "$(column 2 1)" 1 99999
between "few bytes of tables are written for it" "$(column 3 $((STARTS / 2 + 1)))" 1 4096
same "no programs were loaded for it" "$(grep -c 'generation .* in force: ' "$TMP/first.err" || true)" 0

# ---- who stops

chat kato talk tcp:172.20.9.11:6379
same "a connection of a container lives" "$(SETTLE=0 lively talk)" alive
engine gone "$(id_of db)"
until_true 3 sh -c "'$WEIR' --netns '$LAB-node' show segments db --json | grep -q '\"addresses\": \[\]'" || true
same "who stopped is withdrawn, established or not" "$(lively talk)" stalled
reach "and not reached" kato tcp:172.20.9.11:6379=silent
stop talk
unplug db
# The same address, another container: nothing of the former is left to it.
plug db 11
engine up "$(id_of other)" other n1 172.20.9.11 fd00:20::9:11
bound db || true
reach "another container with that address is not the one before" kato tcp:172.20.9.11:6379=silent
engine gone "$(id_of other)"
unplug db
plug db 11
engine create "$(id_of db2)" shop_db_2 project=shop service=db
engine connect "$(id_of db2)" n1 172.20.9.11 fd00:20::9:11
engine start "$(id_of db2)"
bound db || true
reach "the service is back under another name" kato tcp:172.20.9.11:6379=open tcp:fd00:20::9:11:6379=open
for ((i = 0; i < STARTS; i++)); do
	engine gone "$(id_of "s$i")"
	unplug "s$i"
done
sleep 1.2
same "nothing is left of those who went" "$("$BPFTOOL" -j map dump pinned "$(pins)/maps/weir_local" |
	"$PYTHON" -c 'import json, sys
print(sum(k[10:14] == ["0xff", "0xff", "0xac", "0x14"] and k[14] == "0x09" for k in (e["key"] for e in json.load(sys.stdin))))')" 2

# ---- a trial

rules 6380 trial
weir apply --confirm 60s "$TMP/trial.yaml" >"$TMP/trial.out" 2>&1
sleep 1.5
reach "on trial: the other port" kato tcp:172.20.9.11:6380=open tcp:172.20.9.11:6379=silent
plug extra 12
tell extra 12
sleep 1
same "who starts during a trial waits" "$(closed_because veth-extra)" "172.20.9.12, fd00:20::9:12 waits for the end of the trial"
chat kato talk2 tcp:172.20.9.11:6380
engine gone "$(id_of db2)"
same "who stops does not" "$(lively talk2)" stalled
stop talk2
unplug db
plug db 11
engine create "$(id_of db3)" shop_db_1 project=shop service=db
engine connect "$(id_of db3)" n1 172.20.9.11 fd00:20::9:11
engine start "$(id_of db3)"
weir confirm >"$TMP/confirm.out"
bound extra || true
same "confirmed, who waited is let in" "$(closed_because veth-extra)" None
reach "with tables that know him" extra tcp:172.20.9.11:6380=open tcp:172.20.9.11:6379=silent tcp:172.20.9.10:8000=open
weir apply --confirm 60s "$TMP/policy.yaml" >"$TMP/trial.out" 2>&1
sleep 1.5
engine gone "$(id_of extra)"
unplug extra
plug extra 12
engine up "$(id_of extra2)" extra n1 172.20.9.12 fd00:20::9:12
sleep 0.5
weir rollback >"$TMP/rollback.out"
bound extra || true
sleep 0.5
reach "a trial that falls back lets in, too" extra tcp:172.20.9.11:6380=open tcp:172.20.9.11:6379=silent

# ---- the engine goes, the daemon goes, both come back

engine close
until_true 10 eval "[ \"\$(state \"d['engine']['connected']\")\" = False ]" || true
same "an engine that is gone is said, with its age" "$(state "(d['engine']['connected'], d['engine']['current'] is not None, d['engine']['error'] is not None)")" \
	"(False, True, True)"
same "once" "$(grep -c 'what it said last stays in force' "$TMP/first.err")" 1
reach "what it said goes on" client tcp:172.20.9.10:8000=open tcp:172.20.9.11:6379=silent
plug late 13
sleep 0.5
same "who is new stays closed" "$(closed_because veth-late)" "the engine has not said who 172.20.9.13, fd00:20::9:13 is"
chat client talk3 tcp:172.20.9.10:8000
before=$(generation)
kill -KILL "${LAB_PIDS[first]}"
wait "${LAB_PIDS[first]}" 2>/dev/null || true
unset "LAB_PIDS[first]"
engine gone "$(id_of extra2)"
start_daemon second
same "a new daemon goes on from what is remembered" "$(generation)" "$before"
same "nobody noticed" "$(SETTLE=0 lively talk3)" alive
reach "names hold" client tcp:172.20.9.10:8000=open tcp:172.20.9.11:6379=silent
tell late 13
engine open
until_true 10 eval "[ \"\$(state \"d['engine']['connected']\")\" = True ]" || true
bound late || true
same "the engine is back: who waited is let in" "$(closed_because veth-late)" None
until_true 5 sh -c "'$WEIR' --netns '$LAB-node' show segments extra --json | grep -q '\"addresses\": \[\]'" || true
reach "and who went meanwhile is out" extra tcp:172.20.9.11:6380=silent

# ---- nothing is left

weir detach >/dev/null
until_true 5 sh -c "! kill -0 ${LAB_PIDS[second]}" || true
same "after detach no note is left" "$(find "${WEIR_RUN_DIR:-/run/weir}" -maxdepth 1 -name "$LAB-node.*" ! -name '*.lock' ! -name '*.run')" ''
finish
