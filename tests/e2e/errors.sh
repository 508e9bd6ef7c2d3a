#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What goes wrong is said in one clear message with the right exit status, and what ran before still runs.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start errors
lab_node
lab_host client 203.0.113.10 2001:db8:113::10
listen node node.log tcp:80 tcp:81
cat >"$TMP/good.yaml" <<'POLICY'
interfaces: [eth0]
default: {ingress: deny, egress: deny, forward: deny}
allow: [{from: any, to: self, port: tcp/80}]
POLICY
weir apply "$TMP/good.yaml" >/dev/null
generation=$(weir status --json | json "d['generation']")

# fails NAME STATUS PATTERN CMD…: the exit status, a message that says it, and the old policy still judging
fails() {
	local name=$1 wanted=$2 pattern=$3 status=0 seen
	shift 3
	timeout 20 "$@" >"$TMP/out" 2>"$TMP/err" || status=$?
	if [ "$status" != "$wanted" ]; then
		not_ok "$name" "exit status $status, wanted $wanted: $(head -2 "$TMP/err" | tr '\n' ' ')"
	elif ! grep -Eq "$pattern" "$TMP/err"; then
		not_ok "$name" "message lacks '$pattern': $(head -3 "$TMP/err" | tr '\n' ' ')"
	elif [ "$(wc -l <"$TMP/err")" -gt 6 ]; then
		not_ok "$name" "$(wc -l <"$TMP/err") lines of message"
	else
		ok "$name"
	fi
	seen=$(at client "$WIRE" reach --wait 300 tcp:203.0.113.1:80 tcp:203.0.113.1:81 | awk '{ printf "%s ", $2 }')
	same "$name: what ran before still runs" "$seen$(weir status --json | json "d['generation']")" "open silent $generation"
}
W=("$WEIR" --netns "$LAB-node")

printf 'interfaces: [eth0]\nlimits:\n  - {name: l, to: self, count: packets, rate: 0/s}\n' >"$TMP/bad.yaml"
fails "a policy with an error" 3 "bad\.yaml:3:[0-9]+: " "${W[@]}" apply "$TMP/bad.yaml"
printf 'interfaces: [eth0]\nallow: [{from: any, port: tcp/80}]\ntests: [{from: 203.0.113.9, to: self, port: tcp/80, expect: deny}]\n' >"$TMP/test.yaml"
fails "a policy that fails its own tests" 3 "test\.yaml:3" "${W[@]}" apply "$TMP/test.yaml"
fails "a file that is not there" 1 "nowhere\.yaml" "${W[@]}" apply "$TMP/nowhere.yaml"
sed 's/eth0/eth7/' "$TMP/good.yaml" >"$TMP/missing.yaml"
fails "a missing interface" 1 "eth7" "${W[@]}" apply "$TMP/missing.yaml"
fails "an unknown command" 2 "aply" "${W[@]}" aply "$TMP/good.yaml"
fails "an unknown option" 2 "frobnicate" "${W[@]}" apply --frobnicate "$TMP/good.yaml"
fails "a namespace that is not there" 1 "weir-test-nowhere" "$WEIR" --netns weir-test-nowhere status

# Without privilege: root without capabilities, and an ordinary user.
# In the node already: entering the namespace would be the first thing to fail.
INSIDE=(nsenter --net="/run/netns/$LAB-node" setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all)
chmod 755 "$TMP"
fails "no privilege" 1 "CAP_|root|privilege" "${INSIDE[@]}" --reuid=65534 --regid=65534 --clear-groups \
	"$WEIR" --pin-dir "$(pins)" apply "$TMP/good.yaml"
fails "no capabilities" 1 "CAP_|root|privilege" "${INSIDE[@]}" "$WEIR" --pin-dir "$(pins)" apply "$TMP/good.yaml"
if "${INSIDE[@]}" --reuid=65534 --regid=65534 --clear-groups "$WEIR" check "$TMP/good.yaml" >/dev/null 2>&1; then
	ok "check needs no privilege"
else
	not_ok "check needs no privilege"
fi

# A weir of its own on another NIC, since the first has its programs already.
lab_nic eth1 192.0.2.1/24 2001:db8:2::1/64
sed 's/eth0/eth1/' "$TMP/good.yaml" >"$TMP/second.yaml"
mkdir "$TMP/empty"
fails "no BTF" 1 "BTF" unshare --mount sh -c "mount --bind '$TMP/empty' /sys/kernel/btf && exec \"\$@\"" sh \
	"${W[@]}" --pin-dir "$(pins)-second" apply "$TMP/second.yaml"
same "no BTF: nothing is left pinned" "$(find "$(pins)-second" -type f 2>/dev/null | wc -l)" 0

# Another XDP program on a NIC that the policy names: it stays where it is.
echo 'int pass(void *ctx) __attribute__((section("xdp"))); int pass(void *ctx) { return 2; }' >"$TMP/pass.c"
if "${CLANG:-clang}" -O2 -target bpf -c -o "$TMP/pass.o" "$TMP/pass.c" 2>"$TMP/err" &&
	at node ip link set dev eth1 xdp object "$TMP/pass.o" section xdp 2>"$TMP/err"; then
	sed 's/eth0/eth0, eth1/' "$TMP/good.yaml" >"$TMP/taken.yaml"
	fails "an interface with another XDP program" 1 "eth1.*XDP|XDP.*eth1" "${W[@]}" apply "$TMP/taken.yaml"
	same "the other program is still there" "$(ip -n "$LAB-node" -d link show eth1 | grep -c 'prog/xdp')" 1
else
	skip "an interface with another XDP program" "$(head -1 "$TMP/err")"
fi

# A full disk under the audit file: enforcement and the daemon go on, the loss is said and booked.
mkdir "$TMP/disk"
mount -t tmpfs -o size=64k tmpfs "$TMP/disk"
# shellcheck disable=SC2317 # lab_clean calls it
at_clean() {
	umount "$TMP/disk" 2>/dev/null || true
	rm -rf "$(pins)-second" "/run/weir/weir+$LAB-node-second".*
}
{ cat "$TMP/good.yaml"; echo "audit: {file: $TMP/disk/audit.jsonl, events_per_second: 20000, per_source_per_second: 20000}"; } >"$TMP/audit.yaml"
spawn node daemon "${W[@]}" run "$TMP/audit.yaml"
until_true 10 test -e "$TMP/disk/audit.jsonl" || not_ok "weir run comes up" "$(cat "$TMP/daemon.err")"
at client "$WIRE" send --dev eth0 --dmac "$(mac_of node)" --from 203.0.113.100+50 --to 203.0.113.1 --proto udp --dport 5000 \
	--rate 5000 --count 3000 >/dev/null
sleep 0.5
same "a full disk: the daemon goes on" "$(kill -0 "${LAB_PIDS[daemon]}" && echo runs)" runs
same "a full disk: it says so" "$(grep -Eic 'No space left|disk' "$TMP/daemon.err" | sed 's/[1-9][0-9]*/said/')" said
same "a full disk: once, not for every event" "$([ "$(wc -l <"$TMP/daemon.err")" -lt 20 ] && echo brief)" brief
reach "a full disk: enforcement goes on" client tcp:203.0.113.1:80=open tcp:203.0.113.1:81=silent
same "a full disk: the books balance" "$(weir status --json | json "(lambda e: e['due'] == e['written'] + e['suppressed'] + e['lost_full'] + e['lost_no_reader'] and e['written'] == e['delivered'] + e['in_flight'] + e['lost_reader'])(d['events'])")" True
same "a full disk: what could not be written is not booked as delivered" \
	"$(weir status --json | json "d['events']['delivered']")" "$(grep -c '}$' "$TMP/disk/audit.jsonl")"
stop daemon
finish
