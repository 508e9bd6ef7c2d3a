#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A container with CAP_NET_RAW sends in the name of others, by IPv4, IPv6, ARP and neighbour discovery: nothing of it is
# delivered anywhere, though the policy allows everything, and each frame is counted as spoofed. An address that it gives
# itself is not its own.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"
# shellcheck source=tests/lib/engine.sh
. "$(dirname "$0")/../lib/engine.sh"
HERE=$ROOT/tests/docker
lab_start docker-spoof
engine_needs docker-spoof
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_host other 203.0.113.20 2001:db8:113::20
# Without filters of its own between neighbours, and none for IPv6: whatever is refused there, weir refuses.
engine_start --ip6tables=false
at node sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0
export LAB WIRE WEIR ENGINE_INIT
spoof() { "$PYTHON" "$HERE/spoof.py" "$@" || FAILED=$((FAILED + 1)); }
spoof build
spoof send ground

cat >"$TMP/policy.yaml" <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: allow
segments:
  lan: [{network: lan}]
  attacker: [{container: attacker}]
allow:
  - {name: lan-within, from: lan, to: lan}
POLICY
spawn node weir-run "$WEIR" --netns "$LAB-node" run "$TMP/policy.yaml"
until_true 20 sh -c "'$WEIR' --netns '$LAB-node' status --json | grep -q '\"generation\": *[1-9]'" ||
	{ not_ok "weir run comes up" "$(tail -n 3 "$TMP/weir-run.err" | tr '\n' ' ')"; exit 1; }
same "what is bound is what runs" "$("$PYTHON" "$HERE/state.py" differs 5)" ''
spoof send weir

# By a container's own program with that one capability. (Not by docker exec, which needs more of cgroups than each
# place where tests run has.)
as_attacker() { docker run --rm --network container:attacker --cap-drop ALL --cap-add "$1" busybox:local "${@:2}" >"$TMP/attacker.out" 2>&1 || not_ok "$*" "$(tail -n 2 "$TMP/attacker.out")"; }
before=$(reason spoofed)
spawn client sniffed "$WIRE" sniff --dev eth0 --ports 5999
wire_in peer peer-sniffed "$WIRE" sniff --dev eth0 --ports 5999
ready sniffed peer-sniffed
mac=$(inside peer ip -j link show eth0 | json "d[0]['address']")
gateway=$(ip -n "$LAB-node" -j link show type bridge | json "[l['address'] for l in d if l['ifname'] == 'br-$(docker network inspect -f '{{slice .Id 0 12}}' lan)'][0]")
as_attacker NET_RAW wire send --dev eth0 --dmac "$mac" --from 172.31.5.11 --to 172.31.5.12 --proto udp --dport 5999 --count 100
as_attacker NET_RAW wire send --dev eth0 --dmac "$gateway" --from 203.0.113.1 --to 203.0.113.10 --proto udp --dport 5999 --count 100
as_attacker NET_RAW wire send --dev eth0 --dmac "$gateway" --from 2001:db8:113::20 --to 2001:db8:113::10 --proto udp --dport 5999 --count 100
sleep 0.2
stop sniffed peer-sniffed
same "300 datagrams by the container's own wire are spoofed" "$(($(reason spoofed) - before))" 300
same "and arrive nowhere" "$(cat "$TMP/sniffed" "$TMP/peer-sniffed" | grep -v ready)" ''

# Addresses that it gives itself, CAP_NET_ADMIN in hand; then the engine has news, and bindings are looked at again.
docker rm -f attacker >/dev/null
docker run -d --name attacker --cap-add NET_ADMIN --network lan --ip 172.31.5.10 --ip6 2001:db8:5::10 --stop-signal SIGKILL \
	busybox:local wire listen tcp:80 >/dev/null
same "a new attacker is bound" "$("$PYTHON" "$HERE/state.py" differs 5)" ''
reach "and reaches others in its own name" client tcp:203.0.113.1:22=refused
# shellcheck disable=SC2016 # the inner shell expands
as_attacker NET_ADMIN sh -c 'for a in 172.31.5.98/24 203.0.113.77/32; do ip addr add $a dev eth0; done'
docker restart -t 0 victim >/dev/null
same "what a container gives itself is not bound" "$("$PYTHON" "$HERE/state.py" differs 5)" ''
before=$(reason spoofed)
got=$(inside attacker "$WIRE" reach --wait 800 --bind 172.31.5.98 tcp:172.31.5.12:80)
same "with an address of its network that it gave itself it reaches nobody" "$got" "tcp:172.31.5.12:80 silent"
got=$(inside attacker "$WIRE" reach --wait 800 --bind 203.0.113.77 tcp:172.31.5.12:80)
same "with an outside address that it gave itself neither" "$got" "tcp:172.31.5.12:80 silent"
between "both are counted as spoofed" "$(($(reason spoofed) - before))" 2 40
inside attacker ip neigh flush all # its questions of before are still waiting for their answers
got=$(inside attacker "$WIRE" reach --wait 800 tcp:172.31.5.12:80)
same "with its own it does" "$got" "tcp:172.31.5.12:80 open"
# Started anew with them in its namespace from the first moment on: a second one, in the same network namespace.
docker run -d --name twin --network container:attacker --stop-signal SIGKILL busybox:local wire listen tcp:81 >/dev/null
same "a second container in its namespace changes nothing" "$("$PYTHON" "$HERE/state.py" differs 5)" ''
finish
