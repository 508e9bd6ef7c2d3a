#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The engine is killed, stopped and started again; containers come back with other addresses, join and leave networks, take
# each other's names, are scaled; a trial is pending meanwhile. Enforcement goes on with what was known, status says how
# old that is, and the right state follows.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"
# shellcheck source=tests/lib/engine.sh
. "$(dirname "$0")/../lib/engine.sh"
HERE=$ROOT/tests/docker
lab_start docker-engine
engine_needs docker-engine
lab_node
engine_start --live-restore
export LAB WIRE WEIR ENGINE_INIT

cat >"$TMP/compose.yaml" <<'COMPOSE'
version: '3.8'
networks:
  back: {ipam: {config: [{subnet: 172.31.20.0/24}]}}
  front: {ipam: {config: [{subnet: 172.31.21.0/24}]}}
services:
  web: {image: 'busybox:local', command: [wire, listen, 'tcp:80'], stop_signal: SIGKILL, networks: [back, front]}
  db: {image: 'busybox:local', command: [wire, listen, 'tcp:5432', 'tcp:80'], stop_signal: SIGKILL, networks: [back]}
COMPOSE
cat >"$TMP/policy.yaml" <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: {ingress: deny, egress: deny, forward: deny}
segments:
  web: [{compose: app/web}]
  db: [{compose: app/db}]
  extra: [{container: extra}]
allow:
  - {name: web-to-db, from: web, to: db, port: tcp/5432}
  - {name: extra-to-db, from: extra, to: db, port: tcp/5432}
POLICY
sed 's/tcp\/5432}/[tcp\/5432, tcp\/80]}/' "$TMP/policy.yaml" >"$TMP/trial.yaml"
compose() { docker_compose -p app -f "$TMP/compose.yaml" "$@" >"$TMP/compose.out" 2>&1 || not_ok "compose $*" "$(tail -n 2 "$TMP/compose.out")"; }
docker_compose() { if command -v docker-compose >/dev/null; then command docker-compose "$@"; else docker compose "$@"; fi; }
start_weir() {
	spawn node "$1" "$WEIR" --netns "$LAB-node" run "$TMP/policy.yaml"
	until_true 20 generation_in_force || { not_ok "weir run comes up" "$(tail -n 3 "$TMP/$1.err" | tr '\n' ' ')"; exit 1; }
}
# shellcheck disable=SC2317 # by until_true
generation_in_force() { weir status --json | grep -q '"generation": *[1-9]'; }
# The engine's word and the maps agree, in so many seconds.
agree() { same "$1: what is bound is what runs" "$("$PYTHON" "$HERE/state.py" differs "${2:-6}")" ''; }
engine_says() { weir status --json | json "d['engine']['$1']"; }
# shellcheck disable=SC2317 # by until_true
says_connected() { [ "$(engine_says connected)" = "$1" ]; }
# tried NAME FROM ADDRESS:PORT STATE
tried() { same "$1" "$(inside "$2" "$WIRE" reach --wait 500 "tcp:$3")" "tcp:$3 $4"; }
# reached NAME NAMESPACE ADDRESS:PORT STATE: the same where there is no engine to ask for the namespace
reached() { same "$1" "$(nsenter --net="$2" "$WIRE" reach --wait 500 "tcp:$3")" "tcp:$3 $4"; }
# soon FROM ADDRESS:PORT STATE: within some seconds
# shellcheck disable=SC2317 # by until_true
is_so() { [ "$(inside "$1" "$WIRE" reach --wait 300 "tcp:$2")" = "tcp:$2 $3" ]; }
soon() {
	local name=$1
	shift
	if until_true 1 is_so "$@" || is_so "$@" || is_so "$@"; then ok "$name"; else not_ok "$name" "$(inside "$1" "$WIRE" reach "tcp:$2")"; fi
}

# Compose 1 has app_web_1, compose 2 app-web-1.
compose up -d --scale db=1
WEB=$(docker ps --format '{{.Names}}' | grep web) DB=$(docker ps --format '{{.Names}}' | grep db)
db=$(address "$DB" app_back) web=$(address "$WEB" app_back)
WEB_NET=$(container_netns "$WEB") DB_NET=$(container_netns "$DB")
start_weir weir-run
agree "at first"
tried "web reaches db" "$WEB" "$db:5432" open
tried "db does not reach web" "$DB" "$web:80" silent
wire_in "$WEB" talk "$WIRE" chat --every 25 "tcp:$db:5432"
ready talk

echo "== the engine is killed, its containers live on"
for how in kill stop; do
	"engine_$how"
	until_true 5 says_connected False || not_ok "$how: status says that the engine does not answer" "$(weir status --json | json "d['engine']")"
	old=$(engine_says current)
	sleep 1
	same "$how: status says since when what it knows is old" "$(engine_says current)" "$old"
	weir status | grep -E '^ *engine'
	reached "$how: web reaches db" "$WEB_NET" "$db:5432" open
	reached "$how: db does not reach web" "$DB_NET" "$web:80" silent
	same "$how: connections go on" "$(lively talk)" alive
	if [ "$how" = stop ]; then
		stop weir-run
		start_weir weir-again
		same "weir run starts without an engine: connections go on" "$(lively talk)" alive
		same "and it does not take what it remembers for new" "$(engine_says current)" "$old"
	fi
	engine_again
	until_true 10 says_connected True || not_ok "$how: the engine is followed again" "$(weir status --json | json "d['engine']")"
	agree "$how: after it"
	tried "$how: web still reaches db" "$WEB" "$db:5432" open
	tried "$how: db still does not reach web" "$DB" "$web:80" silent
done
stop talk

echo "== a container dies while there is no engine"
docker run -d --name extra --network app_back --stop-signal SIGKILL busybox:local wire listen tcp:80 >/dev/null
agree "extra runs"
pid=$(docker inspect -f '{{.State.Pid}}' extra)
engine_kill
nsenter --target "$ENGINE_INIT" --pid --mount --root --wd kill -KILL "$pid"
sleep 0.5
engine_again
until_true 10 says_connected True || true
agree "who died meanwhile" 10
docker rm -f extra >/dev/null

echo "== addresses and names change hands"
docker stop -t 0 "$DB" >/dev/null
docker run -d --name filler --network app_back --ip "$db" --stop-signal SIGKILL busybox:local wire listen tcp:5432 >/dev/null
docker start "$DB" >/dev/null
agree "db has another address"
now=$(address "$DB" app_back)
same "db has another address" "$([ "$now" != "$db" ] && echo another)" another
soon "web reaches db where it is now" "$WEB" "$now:5432" open
tried "and not who has its address" "$WEB" "$db:5432" silent
docker rm -f filler >/dev/null
db=$now

docker run -d --name extra --network app_front --stop-signal SIGKILL busybox:local wire listen tcp:80 >/dev/null
docker network connect app_back extra
agree "connected"
soon "a container that joins a network reaches db" extra "$db:5432" open
docker network disconnect app_back extra
agree "disconnected"

docker network connect app_back extra
docker rename extra was-extra
docker run -d --name extra --network app_back --stop-signal SIGKILL busybox:local wire listen tcp:80 >/dev/null
agree "renamed"
soon "who has the name now reaches db" extra "$db:5432" open
soon "who had it does not" was-extra "$db:5432" silent
docker rm -f extra was-extra >/dev/null
docker run -d --name extra --network app_back --stop-signal SIGKILL busybox:local wire listen tcp:80 >/dev/null
agree "a name used again"
soon "a new container of the same name reaches db" extra "$db:5432" open

echo "== scaled"
compose up -d --no-recreate --scale db=3
agree "three of db" 8
for name in $(docker ps --format '{{.Names}}' | grep db); do soon "web reaches $name" "$WEB" "$(address "$name" app_back):5432" open; done
same "three of them" "$(docker ps --format '{{.Names}}' | grep -c db)" 3

echo "== a trial is pending"
weir apply --confirm 60s "$TMP/trial.yaml" >"$TMP/apply.out" 2>&1 || not_ok "a trial begins" "$(tail -n 2 "$TMP/apply.out")"
DB3=$(docker ps --format '{{.Names}}' | grep 'db.3')
gone=$(address "$DB3" app_back)
tried "the trial is in force" "$WEB" "$db:80" open
docker rm -f "$DB3" >/dev/null
agree "who stops during a trial is withdrawn"
docker run -d --name taker --network app_back --ip "$gone" --stop-signal SIGKILL busybox:local wire listen tcp:5432 tcp:80 >/dev/null
sleep 1
tried "who takes its address is not taken for it" "$WEB" "$gone:5432" silent
kill -KILL "${LAB_PIDS[weir-again]}"
wait "${LAB_PIDS[weir-again]}" 2>/dev/null || true
start_weir weir-trial
sleep 1
tried "nor by a daemon that begins during the trial" "$WEB" "$gone:5432" silent
compose up -d --no-recreate --scale db=3
sleep 1
DB3=$(docker ps --format '{{.Names}}' | grep 'db.3')
new=$(address "$DB3" app_back)
tried "who starts during a trial waits" "$WEB" "$new:5432" silent
weir confirm >/dev/null 2>&1 || not_ok "the trial is confirmed"
soon "and is there when it is over" "$WEB" "$new:5432" open
agree "after the trial" 8
tried "still, who took the address is not db" "$WEB" "$gone:5432" silent

echo "== the engine ends in good order, containers and all"
docker rm -f taker extra >/dev/null
engine_stop
engine_again --shutdown-timeout 1
docker ps -q | wc -l
engine_stop
engine_again --shutdown-timeout 1
until_true 10 says_connected True || true
agree "nobody runs any more" 10
docker start "$DB" "$WEB" >/dev/null
agree "started again" 8
soon "web reaches db again" "$WEB" "$(address "$DB" app_back):5432" open
weir status | grep -A12 '^NAME'
finish
