#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Containers behind plain nftables NAT, on a host with a default-deny policy: what the policy allows goes out masqueraded
# and its answers come back; what it does not allow stays in.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start masquerade
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_workload web 10.42.1.7 2001:db8:42:1::7
lab_workload db 10.42.3.79 2001:db8:42:3::79
listen client client.log tcp:9000 udp:9001 tcp:9002 udp:9003
listen node node.log tcp:9000

at node nft -f - <<'NFT'
table inet containers {
	chain out {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.42.0.0/16 oifname "eth0" masquerade
		ip6 saddr 2001:db8:42::/48 oifname "eth0" masquerade
	}
}
NFT

seen_as() { grep -E "^$1 " "$TMP/client.log" | awk '{ print $3 }' | sort -u | tr '\n' ' '; }

policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: {ingress: deny, egress: deny, forward: deny}
segments:
  web: [10.42.1.7, "2001:db8:42:1::7"]
  client: [203.0.113.10, "2001:db8:113::10"]
allow:
  - {from: web, to: client, port: [tcp/9000, udp/9001, icmp/echo-request, icmpv6/echo-request]}
POLICY
reach "an allowed container goes out and its answers come back" web tcp:203.0.113.10:9000=open udp:203.0.113.10:9001=open \
	ping:203.0.113.10=open tcp:2001:db8:113::10:9000=open udp:2001:db8:113::10:9001=open ping:2001:db8:113::10=open
same "the outside sees the node's address (TCP)" "$(seen_as 'tcp 9000')" "2001:db8:113::1 203.0.113.1 "
same "the outside sees the node's address (UDP)" "$(seen_as 'udp 9001')" "2001:db8:113::1 203.0.113.1 "
reach "an allowed container does not reach what is not allowed" web tcp:203.0.113.10:9002=silent \
	udp:203.0.113.10:9003=silent tcp:2001:db8:113::10:9002=silent
reach "a container that no rule names does not go out" db tcp:203.0.113.10:9000=silent udp:203.0.113.10:9001=silent \
	ping:203.0.113.10=silent tcp:2001:db8:113::10:9000=silent
reach "the host itself is held by its own rules" node tcp:203.0.113.10:9000=silent udp:203.0.113.10:9001=silent
reach "and nobody comes in" client tcp:203.0.113.1:9000=silent tcp:10.42.1.7:9000=silent
chat web goes_on tcp:203.0.113.10:9000
same "a masqueraded connection goes on" "$(lively goes_on)" alive
stop goes_on

# The same host without watched veths: what it masquerades is forwarded traffic.
policy <<'POLICY'
interfaces: [eth0]
default: {ingress: deny, egress: deny, forward: deny}
POLICY
reach "forward: deny holds masqueraded traffic of unwatched containers" web tcp:203.0.113.10:9000=silent \
	udp:203.0.113.10:9001=silent tcp:2001:db8:113::10:9000=silent
policy <<'POLICY'
interfaces: [eth0]
default: {ingress: deny, egress: deny, forward: allow}
POLICY
reach "forward: allow lets it out, and its answers in" web tcp:203.0.113.10:9000=open udp:203.0.113.10:9001=open \
	ping:203.0.113.10=open tcp:2001:db8:113::10:9000=open
reach "but opens nothing for the host itself" node tcp:203.0.113.10:9000=silent udp:203.0.113.10:9001=silent
reach "nor for the outside" client tcp:203.0.113.1:9000=silent
finish
