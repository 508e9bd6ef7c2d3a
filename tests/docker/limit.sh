#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A published port, limited per client: behind DNAT, behind masquerade as well, and through the engine's proxy, IPv4 and
# IPv6. Each client has its own burst; containers that come by the node's address are judged and charged as themselves;
# nobody is charged as the bridge.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"
# shellcheck source=tests/lib/engine.sh
. "$(dirname "$0")/../lib/engine.sh"
lab_start docker-limit
engine_needs docker-limit
lab_node
# IPv6 is counted by /64: each client has one of its own.
lab_nic eth1 192.0.2.1/24 2001:db8:c0::1/64
lab_host client 203.0.113.10 2001:db8:113::10
lab_host other 198.51.100.5 2001:db8:51::5
lab_host banned 192.0.2.30 2001:db8:c0::30 eth1
V4=203.0.113.1 V6=2001:db8:113::1
engine_start

cat >"$TMP/policy.yaml" <<'POLICY'
interfaces: [eth0, eth1]
workloads: ["veth*"]
default: {ingress: deny, egress: deny, forward: deny}
segments:
  banned: [192.0.2.30, "2001:db8:c0::30"]
  world: {members: ["0.0.0.0/0", "::/0"], except: [self, workloads, banned]}
  front: [{network: front}]
  nginx: [{container: nginx}]
allow:
  - {name: public, from: [world, front], to: nginx, port: tcp/8443, published: tcp/443}
  - {name: proxied, from: self, to: nginx, port: tcp/8443}
limits:
  - {name: per_client, from: [world, front], to: nginx, port: tcp/8443, count: connections, rate: 1/minute, burst: 4}
  - {name: at_node, from: [world, front], to: self, port: tcp/443, count: connections, rate: 1/minute, burst: 6}
POLICY

up() {
	docker network create --subnet 172.31.8.0/24 --ipv6 --subnet 2001:db8:8::/64 front >/dev/null
	docker network create --subnet 172.31.9.0/24 --ipv6 --subnet 2001:db8:9::/64 side >/dev/null
	docker run -d --name nginx --network front --ip 172.31.8.2 --ip6 2001:db8:8::2 -p 443:8443 --stop-signal SIGKILL \
		busybox:local wire listen tcp:8443 tcp:8444 >/dev/null
	docker run -d --name kato --network front --ip 172.31.8.3 --ip6 2001:db8:8::3 --stop-signal SIGKILL busybox:local wire listen tcp:1 >/dev/null
	docker run -d --name stranger --network side --ip 172.31.9.3 --ip6 2001:db8:9::3 --stop-signal SIGKILL busybox:local wire listen tcp:1 >/dev/null
	spawn node weir-run "$WEIR" --netns "$LAB-node" run "$TMP/policy.yaml"
	until_true 20 sh -c "'$WEIR' --netns '$LAB-node' status --json | grep -q '\"generation\": *[1-9]'" ||
		{ not_ok "weir run comes up" "$(tail -n 3 "$TMP/weir-run.err" | tr '\n' ' ')"; exit 1; }
	until_true 5 bound nginx || not_ok "nginx is bound"
	until_true 5 bound kato || not_ok "kato is bound"
}

# shellcheck disable=SC2317 # by until_true
bound() { [ "$(weir status --json | json "[i.get('closed', False) for i in d['interfaces'] if i['name'] == '$(veth "$1")'] == [False]")" = True ]; }

down() {
	stop weir-run
	weir detach >/dev/null
	docker rm -f nginx kato stranger >/dev/null
	docker network rm front side >/dev/null
}

# opens WHO ADDRESS: of twelve connections at once
opens() {
	local run=at
	case $1 in nginx | kato | stranger) run=inside ;; esac
	"$run" "$1" "$WIRE" knock --count 12 --burst 12 --wait 700 "tcp:$2:443" | grep -c open || true
}

# charged LIMIT: who has an entry there
charged() {
	weir show limits --json | json "' '.join(sorted(s['source'] for l in d if l['limit'] == '$1' for s in l['sources']))"
}

clients() {
	local v
	for v in "$V4" "$V6"; do
		same "$1: a client opens its burst and one at $v" "$(opens client "$v")" 5
		same "$1: another client has its own at $v" "$(opens other "$v")" 5
		same "$1: who has had it gets no more at $v" "$(opens client "$v")" 0
		same "$1: whom the policy does not name opens nothing at $v" "$(opens banned "$v")" 0
	done
	same "$1: the clients are charged, by their own addresses" "$(charged per_client)" \
		"198.51.100.5 2001:db8:113::/64 2001:db8:51::/64 203.0.113.10"
}

up
clients DNAT
for v in "$V4" "$V6"; do
	same "DNAT: by the proxy a container opens its own burst at $v" "$(opens kato "$v")" 7
	same "DNAT: another container as well at $v" "$(opens nginx "$v")" "$([ "$v" = "$V4" ] && echo 7 || echo 0)"
	same "DNAT: a container that may not opens nothing at $v" "$(opens stranger "$v")" 0
done
same "DNAT: at the node all are charged as themselves, too" "$(charged at_node)" \
	"172.31.8.2 172.31.8.3 198.51.100.5 2001:db8:113::/64 2001:db8:51::/64 2001:db8:8::/64 203.0.113.10"
down

# As a node port does: nginx sees the bridge's address, and conntrack knows whose it was.
up
for t in iptables ip6tables; do
	at node $t -t nat -I POSTROUTING -p tcp --dport 8443 -j MASQUERADE
done
clients masqueraded
reach "masqueraded: other ports of the container stay closed" client tcp:172.31.8.2:8444=silent tcp:2001:db8:8::2:8444=silent
for t in iptables ip6tables; do
	at node $t -t nat -D POSTROUTING -p tcp --dport 8443 -j MASQUERADE
done
down

engine_stop
engine_again --userland-proxy=false
up
clients "without proxy"
same "without proxy: a container comes by DNAT, and opens its own burst" "$(opens kato "$V4")" 5
same "without proxy: the container itself comes masqueraded, and opens its own" "$(opens nginx "$V4")" 5
same "without proxy: a container that may not opens nothing" "$(opens stranger "$V4")" 0
same "without proxy: both are charged as themselves" "$(charged per_client)" \
	"172.31.8.2 172.31.8.3 198.51.100.5 2001:db8:113::/64 2001:db8:51::/64 203.0.113.10"
down
finish
