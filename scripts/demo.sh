#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A KATO node in network namespaces, before and after `weir apply scripts/policies/kato.yaml`: who reaches whom, a rate
# limit at work, the audit log, and the kernel's own view through bpftool. Exit status 1 when what is seen is not what
# the policy says. Needs root; touches only namespaces of its own, and removes them, also on Ctrl-C.
# shellcheck disable=SC2317 # functions that are called by name
set -euo pipefail

LAB_PREFIX=weir-demo
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../tests/lib/lab.sh"
# shellcheck source=scripts/demo-lib.sh
. "$(dirname "$0")/demo-lib.sh"

POLICY=$ROOT/scripts/policies/kato.yaml
ATTACKER=203.0.113.66

# ---- the laboratory

HOSTS=(client attacker admin ingress kato mongo qdrant redis node)
COLUMNS=(ingress:443 kato:8000 mongo:27017 qdrant:6333 redis:6379 dns:53 node:22)
declare -A V4=([ingress]=10.42.1.7 [kato]=10.42.2.10 [mongo]=10.42.3.27 [qdrant]=10.42.3.63 [redis]=10.42.3.79
	[dns]=10.42.0.53 [node]=203.0.113.1)
declare -A V6=([ingress]=2001:db8:42:1::7 [kato]=2001:db8:42:2::10 [mongo]=2001:db8:42:3::27
	[qdrant]=2001:db8:42:3::63 [redis]=2001:db8:42:3::79 [dns]=2001:db8:42::53 [node]=2001:db8:113::1)

start_nginx() {
	local dir=$TMP/nginx.d
	mkdir -p "$dir"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=kato.example \
		-keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
	cat >"$dir/nginx.conf" <<-NGINX
		daemon off; user root; worker_processes 1; pid $dir/nginx.pid; error_log $dir/error.log;
		events { worker_connections 512; }
		http {
		    access_log off;
		    client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir;
		    uwsgi_temp_path $dir; scgi_temp_path $dir;
		    server {
		        listen 443 ssl; listen [::]:443 ssl;
		        ssl_certificate $dir/cert.pem; ssl_certificate_key $dir/key.pem;
		        location / { proxy_pass http://${V4[kato]}:8000; }
		    }
		}
	NGINX
	spawn ingress nginx nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf"
}

build_lab() {
	local role
	lab_start kato
	lab_node
	lab_host client 203.0.113.10 2001:db8:113::10
	lab_host attacker $ATTACKER 2001:db8:113::66
	lab_host admin 198.51.100.5 2001:db8:51::5
	for role in ingress kato mongo qdrant redis dns; do lab_workload "$role" "${V4[$role]}" "${V6[$role]}"; done

	listen mongo mongo tcp:27017
	listen qdrant qdrant tcp:6333
	listen node node tcp:22
	spawn redis redis redis-server --port 6379 --bind '*' '-::*' --protected-mode no --save '' --dir "$TMP" \
		--logfile "$TMP/redis.log"
	spawn dns dns dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root \
		--pid-file= --log-facility=- "--address=/kato/${V4[kato]}"
	spawn kato api "$PYTHON" "$LAB_DIR/kato_api.py" 8000 "redis=redis:${V4[redis]}:6379" \
		"mongo=echo:${V4[mongo]}:27017" "qdrant=echo:${V4[qdrant]}:6333" "dns=dns:${V4[dns]}:53"
	start_nginx
	ready api
	for role in tcp:127.0.0.1:443@ingress tcp:127.0.0.1:6379@redis dns:127.0.0.1@dns; do
		until_true 10 service_answers "${role#*@}" "${role%@*}" || {
			echo "demo: $role does not answer: $(cat "$TMP/${role#*@}.err" 2>/dev/null)" >&2
			exit 1
		}
	done
}

service_answers() { at "$1" "$WIRE" reach --wait 300 "$2" | grep -q ' open$'; }

# ---- who reaches whom

# What the policy says, by hand: a row for each host, a letter for each column (y reaches, . does not, = itself).
BEFORE="yyyyyyy yyyyyyy yyyyyyy =yyyyyy y=yyyyy yy=yyyy yyy=yyy yyyy=yy yyyyyy="
AFTER="y...... y...... y.....y =y..... .=yyyy. ..=.... ...=... ....=.. ......="

specs_for() {
	local host=$1 family=$2 column role port address
	for column in "${COLUMNS[@]}"; do
		role=${column%:*} port=${column#*:}
		[ "$role" = "$host" ] && continue
		if [ "$family" = 4 ]; then address=${V4[$role]}; else address=${V6[$role]}; fi
		if [ "$role" = dns ]; then echo "dns:$address"; else echo "tcp:$address:$port"; fi
	done
}

probe_all() {
	local host pids=()
	for host in "${HOSTS[@]}"; do
		# shellcheck disable=SC2046 # one word for each target
		at "$host" "$WIRE" reach --wait 800 $(specs_for "$host" 4) $(specs_for "$host" 6) \
			>"$TMP/reach.$host" 2>&1 &
		pids+=($!)
	done
	wait "${pids[@]}"
}

# cell HOST COLUMN: y, . or what is odd (4 or 6: that family only).
cell() {
	local role=${2%:*} port=${2#*:} v4 v6
	[ "$role" = "$1" ] && { echo '='; return; }
	if [ "$role" = dns ]; then
		v4="dns:${V4[dns]}" v6="dns:${V6[dns]}"
	else
		v4="tcp:${V4[$role]}:$port" v6="tcp:${V6[$role]}:$port"
	fi
	v4=$(sed -n "s/^$v4 //p" "$TMP/reach.$1")
	v6=$(sed -n "s/^$v6 //p" "$TMP/reach.$1")
	case $v4/$v6 in
	open/open) echo y ;;
	open/*) echo 4 ;;
	*/open) echo 6 ;;
	silent/silent | silent/error | error/silent | error/error) echo . ;;
	*) echo '?' ;;
	esac
}

show_table() {
	local i j host got want text colour wrong=0 cells=0 wanted
	read -ra wanted <<<"$1"
	probe_all
	printf '%-10s' 'from \ to'
	printf '%-13s' "${COLUMNS[@]}"
	echo
	for i in "${!HOSTS[@]}"; do
		host=${HOSTS[$i]}
		printf '%-10s' "$host"
		for j in "${!COLUMNS[@]}"; do
			got=$(cell "$host" "${COLUMNS[$j]}") want=${wanted[$i]:$j:1}
			case $got in
			=) text='' ;;
			y) text=reaches ;;
			.) text=- ;;
			4) text='IPv4 only' ;;
			6) text='IPv6 only' ;;
			*) text=odd ;;
			esac
			[ "$got" = '=' ] || cells=$((cells + 1))
			if [ "$got" != "$want" ]; then
				colour=$RED text="$text!" wrong=$((wrong + 1))
			elif [ "$got" = y ]; then
				colour=$GREEN
			else
				colour=$GREY
			fi
			printf '%s%-13s%s' "$colour" "$text" "$PLAIN"
		done
		echo
	done
	note "each cell is a connection that got an answer over IPv4 and one over IPv6; '-': neither got one"
	verdict "all $cells cells" "$wrong wrong" "0 wrong"
}

show_request() {
	local answer
	note '$ curl -sk https://kato.example/sessions        (on the client)'
	answer=$(at client curl -sk --noproxy '*' --max-time 5 --resolve "kato.example:443:${V4[ingress]}" \
		https://kato.example/sessions || echo 'no answer')
	echo "  $answer"
	verdict "a request goes client > nginx > KATO > stores and name server" "$answer" \
		'{"redis": "ok", "mongo": "ok", "qdrant": "ok", "dns": "ok"}'
}

# ---- weir

apply_policy() {
	run weir check "$POLICY"
	run weir apply "$POLICY"
	note "\$ weir run ${POLICY#"$ROOT/"} &"
	daemon daemon "$POLICY"
	until_true 10 daemon_follows || {
		echo "demo: weir run does not come up: $(cat "$TMP/daemon.err")" >&2
		exit 1
	}
}

daemon_follows() { [ -e "$TMP/log/weir/audit.jsonl" ] && kill -0 "${LAB_PIDS[daemon]}"; }

# ---- the limit

show_limit() {
	local burst later untouched
	note "60 connections at once from the attacker, then one try each 50 ms for 7 s; the client opens one each 500 ms"
	sleep 1.3 # the table above took one connection from each allowance; 0.6 s gives it back
	at attacker "$WIRE" knock --burst 60 --count 200 --every 50 --wait 400 "tcp:${V4[ingress]}:443" >"$TMP/knock" &
	at client "$WIRE" knock --count 14 --every 500 --wait 400 "tcp:${V4[ingress]}:443" >"$TMP/untouched"
	wait $!
	burst=$(awk '$1 < 60 && $3 == "open"' "$TMP/knock" | wc -l)
	later=$(awk '$1 >= 60 && $3 == "open"' "$TMP/knock" | wc -l)
	untouched=$(grep -c ' open$' "$TMP/untouched" || true)
	printf '  %8s  %s\n' time 'connections that were opened'
	printf '  %6.3f s  %s of 60\n' 0 "$burst"
	awk '$1 >= 60 && $3 == "open" { printf "  %6.3f s  one more%s\n", $2 / 1e9, last ? sprintf("   (%.2f s later)", ($2 - last) / 1e9) : ""; last = $2 }' "$TMP/knock"
	verdict "100/minute with a burst of 20 opens 21 at once" "$burst" 21
	awk '{ print $1, $2 }' "$TMP/knock" >"$TMP/times"
	awk '$3 == "open" { print $1 }' "$TMP/knock" >"$TMP/passed"
	if "$PYTHON" "$LAB_DIR/gcra.py" --slack-ms 30 "$TMP/times" "$TMP/passed" 600000000 20 >"$TMP/gcra"; then
		verdict "then one each 0.6 s: $later in the 7 s after" "as GCRA" "as GCRA"
	else
		verdict "then one each 0.6 s: $later in the 7 s after" "$(cat "$TMP/gcra")" "as GCRA"
	fi
	verdict "the other client is untouched, all 14 of its connections opened" "$untouched" 14
	run weir show limits | sed 's/^/  /'
}

# ---- audit and bpftool

audit_line() { grep -F "\"reason\":\"$1\"" <(sed 's/": "/":"/g' "$TMP/log/weir/audit.jsonl") | head -1; }

show_audit() {
	local reason line
	sleep 0.3
	note "\$ head /var/log/weir/audit.jsonl        ($(wc -l <"$TMP/log/weir/audit.jsonl") lines so far; one of each kind)"
	for reason in default deny limit; do
		line=$(audit_line $reason || true)
		echo "  ${line:-no line with reason $reason}"
		verdict "what was refused for '$reason' is in the audit log" "$([ -n "$line" ] && echo logged || echo missing)" logged
	done
	line=$(grep -oE '"(client_ip|source|destination)": *"203\.0\.113\.[1-9][0-9]*"' "$TMP/log/weir/audit.jsonl" | head -1 || true)
	verdict "addresses in it are masked" "${line:-masked}" masked
}

# look MAP KEY…: bpftool's own view of one entry
look() {
	note "\$ bpftool map lookup pinned $(pins)/maps/$1 key ${*:2}"
	"$BPFTOOL" map lookup pinned "$(pins)/maps/$1" key "${@:2}" | sed 's/^/  /'
}

show_bpftool() {
	local pins bucket reached
	pins=$(pins)/maps
	run weir block "$ATTACKER" --for 10m
	reached=$(at attacker "$WIRE" reach "tcp:${V4[ingress]}:443" | sed 's/.* //')
	verdict "the blocked attacker does not reach nginx any more" "$reached" silent
	reached=$(at client "$WIRE" reach "tcp:${V4[ingress]}:443" | sed 's/.* //')
	verdict "the client does" "$reached" open

	note "\$ bpftool map dump pinned $pins/weir_block"
	"$BPFTOOL" map dump pinned "$pins/weir_block" | sed 's/^/  /' | head -40
	verdict "the block of $ATTACKER is in it" \
		"$("$BPFTOOL" -j map dump pinned "$pins/weir_block" | "$PYTHON" "$LAB_DIR/bpfdump.py" block "$ATTACKER")" 128

	# A source's state under the limit: its bucket holds four sources, each with the time when its allowance is whole again.
	bucket=$("$BPFTOOL" -j map dump pinned "$pins/weir_tat" | "$PYTHON" "$LAB_DIR/bpfdump.py" bucket "$ATTACKER")
	verdict "the attacker has one entry among those of the limit" "$(wc -l <<<"$bucket")" 1
	# shellcheck disable=SC2086 # four bytes
	look weir_tat $bucket
	"$BPFTOOL" -j map dump pinned "$pins/weir_tat" | "$PYTHON" "$LAB_DIR/bpfdump.py" tat "$ATTACKER" |
		sed 's/^key=0xff000000\(..\)\(..\)\(..\)\(..\) tat=\([0-9]*\)/\1 \2 \3 \4 \5/' | while read -r a b c d tat; do
		printf "  the entry of %d.%d.%d.%d: its allowance was whole again %s s after boot\n" "0x$a" "0x$b" "0x$c" "0x$d" \
			"$(awk -v t="$tat" 'BEGIN { printf "%.1f", t / 16e9 }')"
	done

	look weir_limcnt 0 0 0 0
	verdict "what the limit dropped is counted" \
		"$([ "$(counted weir_limcnt 0 dropped_packets)" -ge 39 ] && echo counted || echo none)" counted
}

# ---- afterwards

show_end() {
	stop daemon
	run weir detach
	SAYS='as it was before'
	verdict "no pin is left" "$([ -e "/sys/fs/bpf/weir/$LAB-node" ] && echo left || echo none)" none
	verdict "no program is left on the node's interfaces" \
		"$(at node "$BPFTOOL" -j net show | json "len([x for n in d for x in n['xdp'] + n['tc']])")" 0
	verdict "and everything reaches everything again: attacker to redis" \
		"$(at attacker "$WIRE" reach "tcp:${V4[redis]}:6379" | sed 's/.* //')" open
}

main() {
	local started=$SECONDS
	[ -x "$WEIR" ] || { echo "demo: $WEIR is not built: make" >&2; exit 1; }
	[ "$(id -u)" = 0 ] || { echo "demo: needs root, for network namespaces and BPF" >&2; exit 1; }
	title "A KATO node: eth0 to the internet, six containers behind veths"
	build_lab
	show_request
	title "Before: who reaches whom"
	show_table "$BEFORE"
	title "weir apply"
	apply_policy
	run weir status | sed 's/^/  /'
	SAYS='as the policy says'
	title "After: who reaches whom"
	show_table "$AFTER"
	show_request
	title "A rate limit: edge_limit, 100/minute with a burst of 20, for each source"
	show_limit
	title "The audit log"
	show_audit
	title "The kernel's own view"
	show_bpftool
	title "weir detach"
	show_end
	done_in $((SECONDS - started))
}

main "$@"
