#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Run-time blocks end what is established, in both directions, expire, are lifted, and spare never_block; a limit's
# on_exceed blocks what the limit covers and nothing else.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start blocks
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_host other 203.0.113.20 2001:db8:113::20
lab_host admin 198.51.100.5 2001:db8:51::5
lab_workload web 10.42.1.7 2001:db8:42:1::7
listen node node.log tcp:22 tcp:80 tcp:81 udp:53
listen web web.log tcp:80
listen client client.log tcp:9000
policy <<'POLICY'
interfaces: [eth0]
workloads: ["veth*"]
default: {ingress: deny, egress: allow, forward: deny}
segments: {admin: [198.51.100.0/28]}
allow: [{from: any, to: [self, workloads], port: [tcp/80, tcp/81, udp/53, tcp/22]}]
never_block: [admin]
limits:
  - {name: greedy, to: self, port: tcp/81, count: connections, rate: 60/minute, burst: 4, on_exceed: {block: 3s}}
POLICY
chat client c80 tcp:203.0.113.1:80
chat client w80 tcp:10.42.1.7:80
chat client c6 tcp:2001:db8:113::1:80
chat node out tcp:203.0.113.10:9000
chat other o80 tcp:203.0.113.1:80
same "connections stand before the block" "$(for c in c80 w80 c6 out; do SETTLE=0 lively $c; done | sort -u)" alive

weir block 203.0.113.10 2001:db8:113::10 --for 10m >/dev/null
same "a block ends an established connection to self" "$(lively c80)" stalled
same "… to a workload" "$(SETTLE=0 lively w80)" stalled
same "… over IPv6" "$(SETTLE=0 lively c6)" stalled
same "… opened by the node itself" "$(SETTLE=0 lively out)" stalled
same "another source goes on" "$(SETTLE=0 lively o80)" alive
reach "the blocked source opens nothing" client tcp:203.0.113.1:80=silent tcp:203.0.113.1:22=silent \
	udp:203.0.113.1:53=silent tcp:10.42.1.7:80=silent tcp:2001:db8:113::1:80=silent
reach "nothing is opened to it" node tcp:203.0.113.10:9000=silent
same "show blocks lists both" "$(weir show blocks --json | json "len([1 for b in d if '203.0.113.10' in str(b) or '2001:db8:113::10' in str(b)])")" 2
same "what it dropped is counted as blocked" "$([ "$(reason blocked)" -gt 10 ] && echo counted)" counted
weir unblock 203.0.113.10 2001:db8:113::10 >/dev/null
reach "lifted, it opens again" client tcp:203.0.113.1:80=open tcp:10.42.1.7:80=open tcp:2001:db8:113::1:80=open
same "show blocks is empty again" "$(weir show blocks --json | json 'len(d)')" 0

weir block 203.0.113.0/27 --for 1s >/dev/null
reach "a prefix is blocked" other tcp:203.0.113.1:80=silent
until_true 2 sh -c "nsenter --net=/run/netns/$LAB-other '$WIRE' reach --wait 200 tcp:203.0.113.1:80 | grep -q open" || true
reach "--for 1s ends by itself" other tcp:203.0.113.1:80=open

weir block 198.51.100.5 --for 10m >/dev/null 2>&1 || true
reach "never_block is never blocked" admin tcp:198.51.100.1:22=open
weir unblock 198.51.100.5 >/dev/null 2>&1 || true

printf '203.0.113.10\n# a comment\n2001:db8:113::/64\n' >"$TMP/list"
weir block --file "$TMP/list" --for 10m >/dev/null
reach "blocks from a file" client tcp:203.0.113.1:80=silent tcp:2001:db8:113::1:80=silent
weir unblock --file "$TMP/list" >/dev/null
reach "and lifted from a file" client tcp:203.0.113.1:80=open tcp:2001:db8:113::1:80=open

# on_exceed: five pass, the sixth blocks its source for what the limit covers.
at client "$WIRE" knock --count 10 --every 0 --wait 300 tcp:203.0.113.1:81 >"$TMP/knock"
same "on_exceed: burst + 1 pass before the block" "$(grep -c open "$TMP/knock")" 5
sleep 1.3
reach "on_exceed: still blocked when the limit alone would let one pass" client tcp:203.0.113.1:81=silent
reach "on_exceed: other services stay open" client tcp:203.0.113.1:80=open udp:203.0.113.1:53=open
reach "on_exceed: other sources stay open" other tcp:203.0.113.1:81=open
same "on_exceed: what it dropped is counted as auto_blocked" "$([ "$(reason auto_blocked)" -ge 1 ] && echo counted)" counted
sleep 1.2
reach "on_exceed: ends by itself" client tcp:203.0.113.1:81=open
finish
