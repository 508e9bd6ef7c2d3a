#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Nobody locks himself out: SSH stays open before block list, rules and limits, until a rule of the policy names it.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start failsafe
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_host admin 198.51.100.5 2001:db8:51::5
listen node node.log tcp:22 tcp:80 tcp:2222
BASE='interfaces: [eth0]
default: {ingress: deny, egress: deny, forward: deny}
segments: {admin: [198.51.100.0/28, "2001:db8:51::/64"]}'

policy <<<"$BASE"
reach "a policy without a word about SSH leaves it open" client tcp:203.0.113.1:22=open tcp:2001:db8:113::1:22=open \
	tcp:203.0.113.1:80=silent
chat client ssh tcp:203.0.113.1:22
policy <<<"$BASE
block: [203.0.113.0/24, '2001:db8:113::/64']"
reach "before the block list" client tcp:203.0.113.1:22=open tcp:2001:db8:113::1:22=open tcp:203.0.113.1:80=silent
policy <<<"$BASE
limits: [{name: tight, to: self, count: packets, rate: 1/day}]
allow: [{from: any, to: self, port: tcp/80}]"
reach "exempt from limits" client tcp:203.0.113.1:22=open tcp:2001:db8:113::1:22=open
same "the session stands through three policies" "$(lively ssh)" alive
weir block 203.0.113.10 >/dev/null
reach "a run-time block comes first" client tcp:203.0.113.1:22=silent
weir unblock 203.0.113.10 >/dev/null
policy <<<"$BASE
allow: [{from: admin, to: self, port: tcp/22}]"
reach "a rule that names tcp/22 ends the exception: others are out" client tcp:203.0.113.1:22=silent tcp:2001:db8:113::1:22=silent
reach "… and its own source is in" admin tcp:198.51.100.1:22=open tcp:2001:db8:51::1:22=open
policy <<<"$BASE
failsafe: [{port: tcp/2222, from: admin}]"
reach "a failsafe of one's own, from where it says" admin tcp:198.51.100.1:2222=open tcp:198.51.100.1:22=silent
reach "… and from nowhere else" client tcp:203.0.113.1:2222=silent
finish
