#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# mode: monitor drops nothing, limits and blocks included, and says what it would have dropped.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start monitor
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_workload web 10.42.1.7 2001:db8:42:1::7
listen node node.log tcp:80 tcp:81 udp:53
listen web web.log tcp:80
listen client client.log tcp:9000
rules() {
	cat <<-POLICY
		mode: $1
		interfaces: [eth0]
		workloads: ["veth*"]
		default: {ingress: deny, egress: deny, forward: deny}
		allow: [{from: any, to: self, port: tcp/81}]
		limits: [{name: few, to: self, port: tcp/81, count: connections, rate: 1/minute, burst: 1}]
	POLICY
}
would() { weir status --json | json "d['verdicts']['$1']"; }

rules enforce | policy
reach "enforced, it is closed" client tcp:203.0.113.1:80=silent tcp:10.42.1.7:80=silent
rules monitor | policy
same "status says monitor" "$(weir status --json | json "d['mode']")" monitor
before=$(would would_drop) dropped=$(would dropped)
weir block 203.0.113.10 >/dev/null
reach "monitored, everything passes, the blocked source included" client tcp:203.0.113.1:80=open tcp:10.42.1.7:80=open \
	udp:203.0.113.1:53=open tcp:2001:db8:113::1:80=open ping:203.0.113.1=open
reach "so does what self opens" node tcp:203.0.113.10:9000=open
weir unblock 203.0.113.10 >/dev/null
at client "$WIRE" knock --count 6 --every 0 --wait 400 tcp:203.0.113.1:81 >"$TMP/knock"
same "and what exceeds a limit" "$(grep -c open "$TMP/knock")" 6
same "what would have been dropped is counted" "$([ "$(would would_drop)" -gt "$((before + 10))" ] && echo counted)" counted
same "nothing is counted as dropped" "$(would dropped)" "$dropped"
rules enforce | policy
reach "enforced again, it is closed again" client tcp:203.0.113.1:80=silent tcp:10.42.1.7:80=silent
finish
