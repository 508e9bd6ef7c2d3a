#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The KATO guide's compose file on a real Docker engine, with stand-ins for its images: who reaches whom as the engine
# leaves it, with the policy that `weir import compose` makes of the file, and with scripts/policies/kato-docker.yaml; a
# limit on the published port; containers that restart, and one that takes another's address; the audit log. Exit status 1
# when what is seen is not what the policy says. Needs root; engine, networks and machines are in namespaces of its own,
# which it removes, also on Ctrl-C.
# shellcheck disable=SC2016,SC2317 # awk's own variables; functions that are called by name
set -euo pipefail

LAB_PREFIX=weir-demo
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../tests/lib/lab.sh"
# shellcheck source=tests/lib/engine.sh
. "$(dirname "$0")/../tests/lib/engine.sh"
# shellcheck source=scripts/demo-lib.sh
. "$(dirname "$0")/demo-lib.sh"

DEMO=$ROOT/scripts/demo-docker
POLICY=$ROOT/scripts/policies/kato-docker.yaml
FILES=("$DEMO/docker-compose.yml" "$DEMO/stand-ins.yml")
CLIENT4=203.0.113.10 CLIENT6=2001:db8:113::10
NODE4=203.0.113.1 NODE6=2001:db8:113::1
CONTAINERS=(nginx kato mongo-kb qdrant-kb redis-kb)

# ---- the laboratory

build_lab() {
	local why
	lab_start docker
	why=$(engine_missing)
	if [ -n "$why" ]; then
		echo "demo-docker: no engine can run here: $why" >&2
		exit 1
	fi
	lab_node
	lab_host client $CLIENT4 $CLIENT6
	lab_host other 198.51.100.5 2001:db8:51::5 # an IPv6 limit counts by /64
	# As the engine is unless told otherwise: IPv6 has no filter of its own, and published ports have a proxy.
	engine_start --ip6tables=false
	note '$ docker compose -p kato -f docker-compose.yml -f stand-ins.yml up -d'
	compose -p kato "${FILES[@]/#/-f}" up -d >"$TMP/compose" 2>&1 || {
		cat "$TMP/compose" >&2
		exit 1
	}
	note '$ docker ps'
	docker ps --format '{{.Names}}\t{{.Networks}}\t{{.Ports}}' | sort |
		awk -F'\t' '{ printf "  %-12s %-38s %s\n", $1, $2, $3 }'
	listen client internet tcp:8443
	until_true 10 addresses_settled || true
}

# The kernel looks for duplicates of an IPv6 address before it is used.
addresses_settled() {
	local name
	for name in "${CONTAINERS[@]}"; do
		[ -z "$(inside "$name" ip -6 addr show tentative)" ] || return 1
	done
}

# Addresses of a container: "FAMILY ADDRESS" lines.
addresses() {
	docker inspect -f '{{range .NetworkSettings.Networks}}4 {{.IPAddress}}{{"\n"}}6 {{.GlobalIPv6Address}}{{"\n"}}{{end}}' "$1" |
		awk 'NF == 2'
}

# ---- who reaches whom

COLUMNS=(node:443 nginx:443 kato:8000 mongo-kb:27017 qdrant-kb:6333 redis-kb:6379 internet:8443)
ROWS=(client nginx kato mongo-kb qdrant-kb redis-kb)
# What is meant, by hand: a row for each of ROWS, a letter for each of COLUMNS (y reaches, . does not, = itself,
# ? nobody says: whether the engine lets a machine outside use a container's own address differs between releases).
COMPOSE_MEANS="y?....= y=y...y yy=yyyy ..y=yy. ..yy=y. ..yyy=."
GUIDE_SAYS="y?....= .=y.... ..=yyy. ...=... ....=.. .....=."

# targets COLUMN FAMILY: SPECs, one for each address
targets() {
	local name=${1%:*} port=${1#*:}
	case $name$2 in
	node4) echo "tcp:$NODE4:$port" ;;
	node6) echo "tcp:$NODE6:$port" ;;
	internet4) echo "tcp:$CLIENT4:$port" ;;
	internet6) echo "tcp:$CLIENT6:$port" ;;
	*) awk -v f="$2" -v p="$port" '$1 == f { print "tcp:" $2 ":" p }' "$TMP/addresses.$name" ;;
	esac
}

in_role() {
	local role=$1
	shift
	if [ "$role" = client ]; then at client "$@"; else inside "$role" "$@"; fi
}

probe_all() {
	local name column family pids=() specs=()
	for name in "${CONTAINERS[@]}"; do addresses "$name" >"$TMP/addresses.$name"; done
	for name in "${ROWS[@]}"; do
		specs=()
		for column in "${COLUMNS[@]}"; do
			if [ "${column%:*}" = "$name" ] || [ "$name/${column%:*}" = client/internet ]; then continue; fi
			for family in 4 6; do mapfile -t -O ${#specs[@]} specs < <(targets "$column" $family); done
		done
		in_role "$name" "$WIRE" reach --wait 900 "${specs[@]}" >"$TMP/reach.$name" 2>&1 &
		pids+=($!)
	done
	wait "${pids[@]}"
}

# cell ROW COLUMN: y, . or 4 or 6 (that family only), = itself. A container is reached when one of its addresses is.
cell() {
	local family found=''
	if [ "${2%:*}" = "$1" ] || [ "$1/${2%:*}" = client/internet ]; then
		echo '='
		return
	fi
	for family in 4 6; do
		if grep -qxE "($(targets "$2" $family | paste -sd '|')) (open|refused)" "$TMP/reach.$1"; then found+=$family; fi
	done
	case $found in
	46) echo y ;;
	'') echo . ;;
	*) echo "$found" ;;
	esac
}

# show_table WANTED [more]: with "more", what is wanted must be there, and more may be.
WRONG=0 MORE=0
show_cell() {
	local got=$1 want=$2 more=$3 text colour=$GREY
	case $got in
	=) text='' ;;
	y) text=reaches colour=$GREEN ;;
	.) text=- ;;
	*) text="IPv$got only" colour=$GREEN ;;
	esac
	if [ "$want" != '?' ] && [ "$got" != "$want" ]; then
		if [ -n "$more" ] && [ "$want" = . ]; then
			MORE=$((MORE + 1)) colour=$RED
		else
			WRONG=$((WRONG + 1)) colour=$RED text+='!'
		fi
	fi
	printf '%s%-13s%s' "$colour" "$text" "$PLAIN"
}

show_table() {
	local i j wanted
	read -ra wanted <<<"$1"
	WRONG=0 MORE=0
	probe_all
	printf '%-10s' 'from \ to'
	for i in "${COLUMNS[@]}"; do printf '%-13s' "${i/-kb/}"; done
	echo
	for i in "${!ROWS[@]}"; do
		printf '%-10s' "${ROWS[$i]}"
		for j in "${!COLUMNS[@]}"; do
			show_cell "$(cell "${ROWS[$i]}" "${COLUMNS[$j]}")" "${wanted[$i]:$j:1}" "${2:-}"
		done
		echo
	done
	verdict "$3" "$WRONG wrong" "0 wrong"
}

show_before() {
	show_table "$COMPOSE_MEANS" more "what the file means to be open is open"
	verdict "and more than it means ($MORE cells in red): the engine filters IPv4 alone" \
		"$([ "$MORE" -gt 0 ] && echo more || echo 'no more')" more
	note "redis-kb restarts, while kato and mongo-kb open a connection to it each 20 ms"
	restart
	WITHOUT=$(gap from-kato)
	verdict "kato has its connections again after $WITHOUT ms, mongo-kb had them, too" \
		"$(there_and_back from-kato), $(there_and_back from-mongo)" "there and back, there and back"
}

# ---- weir

# in_force FILE: by weir run, which follows the engine
in_force() {
	note "\$ weir run ${1#"$ROOT/"} &"
	daemon daemon "$1"
	until_true 20 follows "$1" || {
		echo "demo-docker: weir run does not come up: $(tail -n 3 "$TMP/daemon.err")" >&2
		exit 1
	}
}

# The file is in force, the daemon serves it, and no container's veth is closed any more.
follows() {
	weir status --json | json "d['policy']['files'] == ['$1'] and d['daemon'] is not None" | grep -q True &&
		[ "$("$BPFTOOL" -j map dump pinned "$(pins)/maps/weir_iface" |
		json "sum(int(str(e['formatted']['value']['flags']), 0) & 0xa == 0x2 for e in d)")" = 6 ]
}

import_and_run() {
	note "\$ weir import compose -p kato docker-compose.yml stand-ins.yml >kato.yaml"
	(cd "$DEMO" && "$WEIR" import compose -p kato docker-compose.yml stand-ins.yml) >"$TMP/kato.yaml"
	grep -vE '^ *#|^$' "$TMP/kato.yaml" | sed 's/  #/\n#/; s/\n# /    # /' | cut -c -150 | sed 's/^/  /'
	(cd "$TMP" && run "$WEIR" check kato.yaml) | sed 's/^/  /'
	in_force "$TMP/kato.yaml"
}

# ---- the limit

opened() { awk "$1"' && $3 == "open"' "$TMP/$2" | wc -l; }

show_limit() {
	local address family=4
	for address in $NODE4 $NODE6; do
		note "IPv$family: 60 connections at once from the client to $address, then one each 100 ms for 3 s; another client opens one each 500 ms"
		sleep 1.3 # the table took one connection from each allowance; 0.6 s gives it back
		at client "$WIRE" knock --burst 60 --count 90 --every 100 --wait 400 "tcp:$address:443" >"$TMP/knock" &
		at other "$WIRE" knock --count 7 --every 500 --wait 400 "tcp:$address:443" >"$TMP/untouched"
		wait $!
		verdict "100/minute with a burst of 20 opens 21 at once" "$(opened '$1 < 60' knock)" 21
		verdict "then one each 0.6 s" "$(opened '$1 >= 60' knock | sed 's/^[456]$/4 to 6/') in 3 s" "4 to 6 in 3 s"
		verdict "the other client is untouched, all 7 of its connections opened" "$(opened 1 untouched)" 7
		family=6
	done
	run weir show limits | sed 's/^/  /'
}

# ---- containers that come and go

knock_at() { wire_in "$1" "$2" "$WIRE" knock --count 350 --every 20 --wait 250 "tcp:$3:6379"; }

# The longest time between two connections that opened, in ms.
gap() { awk '$3 == "open" { t = $2 / 1e6; if (n++ && t - last > most) most = t - last; last = t } END { printf "%d\n", most }' "$TMP/$1"; }

# restart: of redis-kb, while kato and mongo-kb open a connection to it each 20 ms for 7 s.
restart() {
	local redis
	redis=$(address redis-kb kato_kato-backend)
	knock_at kato from-kato "$redis"
	knock_at mongo-kb from-mongo "$redis"
	sleep 1
	run docker restart -t 0 redis-kb >/dev/null
	until_true 12 sh -c "! kill -0 ${LAB_PIDS[from-kato]} && ! kill -0 ${LAB_PIDS[from-mongo]}" || true
	stop from-kato from-mongo
}

# Both sides of the restart had connections.
there_and_back() {
	local before after
	before=$(opened '$1 < 40' "$1") after=$(opened '$1 >= 300' "$1")
	if [ "$before" = 40 ] && [ "$after" -ge 48 ]; then echo "there and back"; else echo "$before of 40 before, $after of 50 after"; fi
}

WITHOUT=''
show_restart() {
	note "kato opens a connection to redis-kb each 20 ms for 7 s, mongo-kb tries the same; meanwhile:"
	restart
	verdict "kato had its connections, and has them again after $(gap from-kato) ms (without weir: $WITHOUT ms)" \
		"$(there_and_back from-kato)" "there and back"
	verdict "mongo-kb never got one, nor a refusal, in 350 tries" "$(grep -vc ' silent$' "$TMP/from-mongo" || true)" 0
}

show_stranger() {
	local redis
	redis=$(address redis-kb kato_kato-backend)
	note "redis-kb stops, and a container that the compose file does not know takes its address"
	run docker stop -t 0 redis-kb >/dev/null
	docker run -d --name stranger --network kato_kato-backend --ip "$redis" busybox:local wire listen tcp:6379 >/dev/null
	note "\$ docker run -d --name stranger --network kato_kato-backend --ip $redis busybox:local …"
	verdict "it has the address" "$(address stranger kato_kato-backend)" "$redis"
	sleep 1
	verdict "kato does not reach it there" "$(inside kato "$WIRE" reach --wait 500 "tcp:$redis:6379" | sed 's/.* //')" silent
	verdict "nor does it reach the stores" \
		"$(inside stranger "$WIRE" reach --wait 500 "tcp:$(address mongo-kb kato_kato-backend):27017" | sed 's/.* //')" silent
	run docker rm -f stranger >/dev/null
	run docker start redis-kb >/dev/null
	redis=$(address redis-kb kato_kato-backend)
	until_true 3 kato_reaches "$redis" || true
	verdict "redis-kb is back, at $redis, and kato reaches it" \
		"$(inside kato "$WIRE" reach --wait 500 "tcp:$redis:6379" | sed 's/.* //')" open
}

kato_reaches() { inside kato "$WIRE" reach --wait 200 "tcp:$1:6379" | grep -q ' open$'; }

# ---- audit

audit_line() { grep -F "$1" <(sed 's/": /":/g' "$TMP/log/weir/audit.jsonl") | grep -F "$2" | head -1 || true; }

show_audit() {
	local what line
	sleep 0.3
	note "\$ head /var/log/weir/audit.jsonl        ($(wc -l <"$TMP/log/weir/audit.jsonl") lines so far; one of each kind)"
	for what in 'default:"direction":"egress"' 'limit:"rule":"edge_limit"' 'limit:"rule":"edge_limit_proxied"'; do
		line=$(audit_line "\"reason\":\"${what%%:*}\"" "${what#*:}")
		echo "  ${line:-no line for $what}"
		verdict "what was refused for ${what%%:*} is in the audit log" "$([ -n "$line" ] && echo logged || echo missing)" logged
	done
	line=$(audit_line '"reason":"limit"' '"rule":"edge_limit"')
	verdict "behind DNAT the audit names the client, cut to its network, not the bridge" \
		"$(json 'd["client_ip"]' <<<"${line:-{\}}")" 203.0.113.0/24
}

# ---- afterwards

show_end() {
	stop daemon
	run weir detach | sed 's/^/  /'
	SAYS='as it was before'
	verdict "no pin is left" "$([ -e "/sys/fs/bpf/weir/$LAB-node" ] && echo left || echo none)" none
	verdict "no program is left on the node's interfaces" \
		"$(at node "$BPFTOOL" -j net show | json "len([x for n in d for x in n['xdp'] + n['tc']])")" 0
	compose -p kato "${FILES[@]/#/-f}" down -t 0 >"$TMP/compose" 2>&1 || cat "$TMP/compose"
	verdict "no container is left" "$(docker ps -aq | wc -l)" 0
	verdict "no network but the engine's own" "$(docker network ls -q --filter type=custom | wc -l)" 0
}

main() {
	local started=$SECONDS
	[ -x "$WEIR" ] || { echo "demo-docker: $WEIR is not built: make" >&2; exit 1; }
	[ "$(id -u)" = 0 ] || { echo "demo-docker: needs root, for namespaces, the engine and BPF" >&2; exit 1; }
	title "The guide's compose file on a Docker engine; a client outside"
	build_lab
	title "Before: who reaches whom"
	show_before
	SAYS='as the compose file means'
	title "weir import compose: what the file means, and nothing else"
	import_and_run
	title "After: who reaches whom"
	show_table "$COMPOSE_MEANS" '' "all cells, IPv4 and IPv6"
	SAYS='as the policy says'
	stop daemon
	title "scripts/policies/kato-docker.yaml: what the guide says about its services"
	run weir check "$POLICY" | sed 's/^/  /'
	in_force "$POLICY"
	run weir status | sed 's/^/  /'
	title "After: who reaches whom"
	show_table "$GUIDE_SAYS" '' "all cells, IPv4 and IPv6"
	title "The published port: edge_limit, 100/minute with a burst of 20, for each client"
	show_limit
	title "A container restarts under traffic"
	show_restart
	title "A stranger at its address"
	show_stranger
	title "The audit log"
	show_audit
	title "weir detach, docker compose down"
	show_end
	done_in $((SECONDS - started))
}

main "$@"
