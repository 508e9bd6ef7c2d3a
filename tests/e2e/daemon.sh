#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# weir run is killed with SIGKILL under traffic: enforcement goes on without a gap, the next weir run picks everything
# up, and the books balance to the last event. It follows the policy file, and links that come.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start daemon
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
lab_workload web 10.42.1.7 2001:db8:42:1::7
listen node node.log tcp:80 tcp:81
listen web web.log tcp:80
rules() {
	cat >"$TMP/policy.tmp" <<-POLICY
		interfaces: [eth0]
		workloads: ["veth*"]
		default: {ingress: deny, egress: deny, forward: deny}
		allow: [{from: any, to: [self, 10.42.0.0/16, "2001:db8:42::/48"], port: tcp/$1}]
		audit: {file: $TMP/audit.jsonl, events_per_second: 20000, per_source_per_second: 20000}
	POLICY
	mv "$TMP/policy.tmp" "$TMP/followed.yaml"
}
start_daemon() {
	spawn node "$1" "$WEIR" --netns "$LAB-node" run "$TMP/followed.yaml"
	until_true 10 sh -c "'$WEIR' --netns '$LAB-node' status --json | grep -q '\"generation\": *[1-9]'" ||
		{ not_ok "weir run comes up" "$(cat "$TMP/$1.err")"; exit 1; }
}
books() { weir status --json | json "(lambda e: $1)(d['events'])"; }
books_balance() {
	books "e['due'] == e['written'] + e['suppressed'] + e['lost_full'] + e['lost_no_reader'] and e['written'] == e['delivered'] + e['in_flight'] + e['lost_reader']"
}
# flood NAME COUNT RATE: denied datagrams
flood() {
	spawn client "$1" "$WIRE" send --dev eth0 --dmac "$(mac_of node)" --from 203.0.113.100+50 --to 203.0.113.1 --proto udp \
		--dport 5000 --rate "$3" --count "$2"
}

rules 80
start_daemon first
reach "the daemon applied its policy" client tcp:203.0.113.1:80=open tcp:10.42.1.7:80=open tcp:203.0.113.1:81=silent
chat client talk tcp:203.0.113.1:80

flood flow1 4000 5000
sleep 0.4
kill -KILL "${LAB_PIDS[first]}"
wait "${LAB_PIDS[first]}" 2>/dev/null || true
unset "LAB_PIDS[first]"
same "killed, connections go on" "$(SETTLE=0 lively talk)" alive
reach "killed, enforcement goes on" client tcp:203.0.113.1:80=open tcp:203.0.113.1:81=silent tcp:10.42.1.7:81=silent
wait "${LAB_PIDS[flow1]}" || true
same "killed, the books balance" "$(books_balance)" True
same "what nobody read is booked as such" "$(books "e['lost_no_reader'] + e['lost_reader'] + e['in_flight'] > 0")" True

lines=$(wc -l <"$TMP/audit.jsonl")
start_daemon second
flood flow2 2000 5000
wait "${LAB_PIDS[flow2]}" || true
sleep 0.5
same "a new weir run picks the audit up" "$([ "$(wc -l <"$TMP/audit.jsonl")" -gt "$lines" ] && echo written)" written
same "with a new reader, the books balance" "$(books_balance)" True
# The killed daemon may have written lines that it could not book any more: those are booked as lost_reader.
between "delivered is what stands in the file" "$(wc -l <"$TMP/audit.jsonl")" "$(books "e['delivered']")" \
	"$(books "e['delivered'] + e['lost_reader']")"
same "nothing is in flight" "$(books "e['in_flight']")" 0
same "every dropped datagram was due" "$(books "e['due'] >= 6000")" True
same "every line is a JSON object with the documented first fields" "$("$PYTHON" - "$TMP/audit.jsonl" <<'EOT'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
wanted = {"timestamp", "client_ip", "verdict", "reason", "rule", "file", "line", "direction", "hook", "interface", "source",
          "source_port", "destination", "destination_port", "protocol", "length", "generation"}
print(all(wanted <= set(line) for line in lines) and len(lines) > 0)
EOT
)" True
same "and says what happened" "$("$PYTHON" - "$TMP/audit.jsonl" <<'EOT'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
flood = [e for e in lines if e["destination_port"] == 5000]
e = flood[0]
print(e["verdict"], e["reason"], e["direction"], e["hook"], e["interface"], e["destination"], e["protocol"], e["length"],
      e["client_ip"] == e["source"], e["source"].startswith("203.0.113.1"))
EOT
)" "drop default ingress xdp eth0 203.0.113.1 udp 32 True True"

same "one instance a pin directory" "$("$WEIR" --netns "$LAB-node" run "$TMP/followed.yaml" >"$TMP/out" 2>&1; echo $?)" 1

rules 81
until_true 5 sh -c "nsenter --net=/run/netns/$LAB-client '$WIRE' reach --wait 200 tcp:203.0.113.1:81 | grep -q open" || true
reach "the policy file is followed" client tcp:203.0.113.1:81=open tcp:203.0.113.1:80=silent
generation=$(weir status --json | json "d['generation']")
echo 'allow: [{from: nobody-knows, port: tcp/80}]' >"$TMP/policy.tmp" && mv "$TMP/policy.tmp" "$TMP/followed.yaml"
sleep 1
same "a file with an error changes nothing" "$(weir status --json | json "d['generation']")" "$generation"
reach "and what ran before still runs" client tcp:203.0.113.1:81=open tcp:203.0.113.1:80=silent
rules 81

lab_workload late 10.42.1.9 2001:db8:42:1::9
listen late late.log tcp:81 tcp:82
until_true 5 sh -c "'$WEIR' --netns '$LAB-node' status --json | grep -q veth-late" || true
sleep 0.3
reach "a workload that comes later is bound and held" client tcp:10.42.1.9:81=open tcp:10.42.1.9:82=silent \
	tcp:2001:db8:42:1::9:81=open tcp:2001:db8:42:1::9:82=silent
ip -n "$LAB-node" addr add 203.0.113.2/24 dev eth0
sleep 0.3
reach "an address that comes later is self" client tcp:203.0.113.2:81=open tcp:203.0.113.2:80=silent
stop second
reach "stopped, the policy still judges" client tcp:203.0.113.1:81=open tcp:203.0.113.1:80=silent
finish
