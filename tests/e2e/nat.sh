#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Addresses that plain nftables NAT changes on the way: published ports, clients and workloads that arrive with the
# node's address, service addresses. Whoever opened is judged, limited and named, not who it looks like.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start nat
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_host other 203.0.113.11 2001:db8:113::11
lab_workload web 10.42.1.7 2001:db8:42:1::7
lab_workload app 10.42.2.10 2001:db8:42:2::10
lab_workload db 10.42.3.79 2001:db8:42:3::79
for role in web db; do listen $role $role.log tcp:8443 tcp:8080 udp:5300; done
listen client client.log tcp:9000 tcp:9001
listen node node.log tcp:22

# 443 and 53 are published as an engine does it; 30443 hides the client behind the node, as a node port does; from
# workloads all of it is a way back in. Service addresses: .10 hides the workload that asks, .11 does not, .12 is outside.
at node nft -f - <<'NFT'
table inet nat {
	chain pre {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr 203.0.113.1 tcp dport { 443, 30443 } dnat ip to 10.42.1.7:8443
		ip daddr 203.0.113.1 udp dport 53 dnat ip to 10.42.1.7:5300
		ip6 daddr 2001:db8:113::1 tcp dport { 443, 30443 } dnat ip6 to [2001:db8:42:1::7]:8443
		ip6 daddr 2001:db8:113::1 udp dport 53 dnat ip6 to [2001:db8:42:1::7]:5300
		ip daddr { 10.96.0.10, 10.96.0.11 } tcp dport 80 dnat ip to numgen inc mod 2 map { 0 : 10.42.1.7, 1 : 10.42.3.79 }:8080
		ip daddr 10.96.0.10 udp dport 53 dnat ip to numgen inc mod 2 map { 0 : 10.42.1.7, 1 : 10.42.3.79 }:5300
		ip6 daddr fd00:96::10 tcp dport 80 dnat ip6 to numgen inc mod 2 map { 0 : 2001:db8:42:1::7, 1 : 2001:db8:42:3::79 }:8080
		ip daddr 10.96.0.12 tcp dport 80 dnat ip to 203.0.113.10 : numgen inc mod 2 map { 0 : 9000, 1 : 9001 }
	}
	chain post {
		type nat hook postrouting priority srcnat; policy accept;
		meta l4proto tcp ct original proto-dst 30443 masquerade
		ip saddr 10.42.0.0/16 ip daddr 10.42.0.0/16 ct original ip daddr != 10.96.0.11 ct status dnat masquerade
		ip6 saddr 2001:db8:42::/48 ip6 daddr 2001:db8:42::/48 ct status dnat masquerade
		ip saddr 10.42.0.0/16 oifname "eth0" masquerade
	}
}
NFT

# knock ROLE TARGET COUNT: how many of COUNT connections, one after the other, are answered
knock() { at "$1" "$WIRE" knock --count "$3" --burst 1 --every 10 --wait 300 "$2" | grep -c open || true; }
sent() { ip -n "$LAB-node" -s -j link show eth0 | json "d[0]['stats64']['tx']['packets']"; }
# What a listener took since a mark: since ROLE MARK WHAT
mark() { wc -l <"$TMP/$1.log"; }
since() { tail -n +$(($2 + 1)) "$TMP/$1.log" | grep -c "^$3 " || true; }

reach "without weir all of it is there (client)" client tcp:203.0.113.1:443=open tcp:203.0.113.1:30443=open udp:203.0.113.1:53=open \
	tcp:2001:db8:113::1:443=open tcp:2001:db8:113::1:30443=open udp:2001:db8:113::1:53=open
reach "without weir all of it is there (workload)" app tcp:203.0.113.1:443=open tcp:10.96.0.10:80=open udp:10.96.0.10:53=open \
	tcp:10.96.0.11:80=open tcp:10.96.0.12:80=open tcp:fd00:96::10:80=open
same "a node port hides its client" "$(grep -cE '^tcp 8443 (10.42.255.254|2001:db8:42:ffff::254)$' "$TMP/web.log")" 3

# ---- published ports

policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: deny
segments:
  clients: [203.0.113.10, "2001:db8:113::10"]
  web: [10.42.1.7, "2001:db8:42:1::7"]
allow:
  - {name: front, from: clients, to: web, port: [tcp/8443], published: tcp/443}
  - {name: names, from: any, to: web, port: udp/5300, published: udp/53}
POLICY
reach "a published port is open for whom the rule names" client tcp:203.0.113.1:443=open tcp:2001:db8:113::1:443=open \
	udp:203.0.113.1:53=open udp:2001:db8:113::1:53=open
reach "and for nobody else" other tcp:203.0.113.1:443=silent tcp:2001:db8:113::1:443=silent udp:203.0.113.1:53=open
reach "what NAT publishes and no rule does stays closed" client tcp:203.0.113.1:30443=silent tcp:2001:db8:113::1:30443=silent
chat client goes_on tcp:203.0.113.1:443
same "a published connection goes on" "$(lively goes_on)" alive
policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: deny
POLICY
same "and ends with the rule" "$(lively goes_on)" stalled
stop goes_on

# A flood at a published port: what goes back looks like the node's, and leaves nothing behind.
policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: deny
allow:
  - {from: any, to: 10.42.1.7, port: tcp/8443, published: tcp/443}
POLICY
ip -n "$LAB-node" route add 192.0.2.0/24 via 203.0.113.10
before=$(sent)
at client "$WIRE" send --dev eth0 --dmac "$(mac_of node)" --from 192.0.2.1+200 --to 203.0.113.1 --proto tcp --dport 443 \
	--flags S --count 20000 --rate 20000 >/dev/null
between "a flood of SYNs at a published port is answered" "$(($(sent) - before))" 1000 30000
same "a flood of SYNs at a published port leaves no flow" "$(weir show flows --json | json 'len(d)')" 0
same "and opens it for those who come then" "$(knock other tcp:203.0.113.1:443 10)" 10

# ---- clients that arrive with the node's address

policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: deny
segments:
  clients: [203.0.113.10, "2001:db8:113::10"]
  web: [10.42.1.7, "2001:db8:42:1::7"]
allow:
  - {name: door, from: any, to: self, port: tcp/30443}
  - {name: inside, from: clients, to: web, port: tcp/8443}
POLICY
spawn node audit "$WEIR" --netns "$LAB-node" audit -f --json
sleep 0.3
reach "behind a node port the client is judged, not the node" client tcp:203.0.113.1:30443=open tcp:2001:db8:113::1:30443=open
reach "and who may not come in does not" other tcp:203.0.113.1:30443=silent tcp:2001:db8:113::1:30443=silent
sleep 0.3
stop audit
same "the audit names the client" \
	"$("$PYTHON" -c 'import json, sys
print(*sorted({d["client_ip"] for d in map(json.loads, open(sys.argv[1])) if d["hook"] == "workload_in"}))' "$TMP/audit")" \
	"2001:db8:113::11 203.0.113.11"

policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: deny
segments:
  web: [10.42.1.7, "2001:db8:42:1::7"]
allow:
  - {from: any, to: web, port: tcp/8443, published: tcp/30443}
limits:
  - {name: each, to: web, port: tcp/8443, count: connections, rate: 1/hour, burst: 4}
POLICY
for role in client other; do
	same "each client has a limit of its own behind the node port ($role)" "$(knock $role tcp:203.0.113.1:30443 10)" 5
done
same "likewise in IPv6" "$(knock client tcp:2001:db8:113::1:30443 10)" 5
same "where a /64 is one client" "$(knock other tcp:2001:db8:113::1:30443 10)" 0
same "the limiter holds the clients" \
	"$(weir show limits --json | json "' '.join(sorted(s['source'] for l in d for s in l['sources']))")" \
	"2001:db8:113::/64 203.0.113.10 203.0.113.11"

# ---- workloads that go out and come back in

policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: deny
segments:
  web: [10.42.1.7, "2001:db8:42:1::7"]
  app: [10.42.2.10, "2001:db8:42:2::10"]
allow:
  - {from: workloads, to: self, port: tcp/443}
  - {from: app, to: web, port: tcp/8443}
POLICY
reach "a workload reaches another by its published port where it may" app tcp:203.0.113.1:443=open tcp:2001:db8:113::1:443=open
reach "and not where it may not" db tcp:203.0.113.1:443=silent tcp:2001:db8:113::1:443=silent

# ---- service addresses

service_policy() {
	policy <<POLICY
interfaces: [eth0]
workloads: ["veth*"]
default: deny
segments:
  web: [10.42.1.7, "2001:db8:42:1::7"]
  app: [10.42.2.10, "2001:db8:42:2::10"]
  db: [10.42.3.79, "2001:db8:42:3::79"]
services:
  - {address: 10.96.0.10, port: tcp/80, endpoints: ["10.42.1.7:8080", "10.42.3.79:8080"]}
  - {address: 10.96.0.11, port: tcp/80, endpoints: ["10.42.1.7:8080", "10.42.3.79:8080"]}
  - {address: 10.96.0.10, port: udp/53, endpoints: ["10.42.1.7:5300", "10.42.3.79:5300"]}
  - {address: 10.96.0.12, port: tcp/80, endpoints: ["203.0.113.10:9000", "203.0.113.10:9001"]}
  - {address: "fd00:96::10", port: tcp/80, endpoints: ["[2001:db8:42:1::7]:8080", "[2001:db8:42:3::79]:8080"]}
allow:
$(cat)
POLICY
}
# counts NAME WANTED: connections of ten that are answered, at each service address
counts() {
	local target
	for target in 10.96.0.10 10.96.0.11 10.96.0.12 fd00:96::10; do
		same "$1 ($target)" "$(knock app "tcp:$target:80" 10)" "$2"
	done
}
service_policy <<'RULES'
  - {from: app, to: [web, db], port: [tcp/8080, udp/5300]}
  - {from: app, to: 203.0.113.10, port: [tcp/9000, tcp/9001]}
RULES
counts "a service is open when all its endpoints are" 10
reach "likewise by UDP" app udp:10.96.0.10:53=open
reach "a service is open for whom its endpoints are" db tcp:10.96.0.10:80=silent tcp:10.96.0.11:80=silent tcp:10.96.0.12:80=silent
chat app goes_on tcp:10.96.0.10:80
chat app goes_on_udp udp:10.96.0.10:53
same "a connection to a service goes on" "$(lively goes_on)" alive
same "a UDP flow to a service goes on" "$(lively goes_on_udp)" alive
service_policy <<'RULES'
  - {from: db, to: web, port: tcp/8080}
RULES
same "and ends with the rule" "$(lively goes_on)" stalled
same "the UDP flow, too" "$(lively goes_on_udp)" stalled
stop goes_on goes_on_udp
counts "a service is closed when all its endpoints are" 0

service_policy <<'RULES'
  - {from: app, to: web, port: [tcp/8080, udp/5300]}
  - {from: app, to: 203.0.113.10, port: tcp/9000}
  - {from: web, to: db, port: tcp/8080}
  - {from: any, to: db, port: tcp/8443}
RULES
before=$(mark db) outside=$(mark client)
counts "of a service whose endpoints differ, the open half answers" 5
same "the closed endpoint saw nothing" "$(since db "$before" tcp)" 0
same "nor did the one outside" "$(since client "$outside" 'tcp 9001')" 0
same "of ten datagrams to the service, none reaches the closed endpoint" \
	"$(at app "$WIRE" say --count 10 udp:10.96.0.10:53 >/dev/null; sleep 0.2; since db "$before" udp)" 0

# A limit on what a workload sends counts each connection once, also where the endpoint decides.
policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: deny
services:
  - {address: 10.96.0.10, port: tcp/80, endpoints: ["10.42.1.7:8080", "10.42.3.79:8080"]}
allow:
  - {from: 10.42.2.10, to: 10.42.1.7, port: tcp/8080}
limits:
  - {name: sends, from: 10.42.2.10, count: connections, rate: 1/hour, burst: 5}
POLICY
same "half of the connections that a limit lets go to a service are answered" "$(knock app tcp:10.96.0.10:80 20)" 3
finish
