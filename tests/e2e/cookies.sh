#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# SYN cookies at a protected service: what a connection keeps of its options, and what a flood of SYNs from random
# addresses, as fast as one core sends them, leaves of a hundred connections, with protection and without.
set -euo pipefail
# shellcheck source=tests/lib/lab.sh
. "$(dirname "$0")/../lib/lab.sh"

lab_start cookies
FLOOD=$O/tests/lib/flood
[ "$FLOOD" -nt "$LAB_DIR/flood.c" ] || {
	mkdir -p "$(dirname "$FLOOD")"
	"${CC:-cc}" -O2 -g -std=gnu11 -D_GNU_SOURCE -o "$FLOOD.$$" "$LAB_DIR/flood.c"
	mv "$FLOOD.$$" "$FLOOD"
}
if ! NGINX=$(PATH=$PATH:/usr/sbin command -v nginx); then
	skip cookies "nginx is not installed"
	exit 0
fi

lab_node
lab_host client 203.0.113.10 2001:db8:113::10
# Answers to everywhere go somewhere, or a host would drop the SYNs for want of a route.
for to in "203.0.113.254 0.0.0.0/0" "2001:db8:113::254 ::/0"; do
	ip -n "$LAB-node" neigh add "${to% *}" lladdr 02:00:00:00:f1:01 dev eth0 nud permanent
	ip -n "$LAB-node" route add "${to#* }" via "${to% *}" dev eth0
done
# And the bridge carries none of them on: the wire would be the bottleneck.
for mac in 02:00:00:00:f1:00 02:00:00:00:f1:01; do bridge -n "$LAB-outside" fdb add "$mac" dev node-eth0 master static; done
at node nft -f - <<'NFT'
table inet filter {
	chain in { type filter hook input priority 0; ct state new accept; }
}
NFT
MAC=$(mac_of node)

mkdir "$TMP/www"
echo hello >"$TMP/www/index.html"
cat >"$TMP/nginx.conf" <<NGINX
daemon off; worker_processes 1; pid $TMP/nginx.pid; error_log $TMP/nginx.log; user root;
events { worker_connections 2048; }
http {
	access_log off; root $TMP/www;
	client_body_temp_path $TMP/b; proxy_temp_path $TMP/p; fastcgi_temp_path $TMP/f; uwsgi_temp_path $TMP/u; scgi_temp_path $TMP/s;
	server { listen 80; listen [::]:80 ipv6only=on; }
}
NGINX
spawn node nginx "$NGINX" -c "$TMP/nginx.conf"

# A server that takes and gives ten million bytes, and a client that says what its connection became.
cat >"$TMP/server.py" <<'PY'
import socket, threading
SIZE = 10_000_000
def serve(c):
    with c:
        while (what := c.recv(1)):
            if what == b"U":
                left = SIZE
                while left:
                    got = len(c.recv(min(left, 1 << 16)))
                    if not got:
                        return
                    left -= got
                c.sendall(b"k")
            else:
                c.sendall(b"x" * SIZE)
def listen(family, address):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, 8080))
    s.listen(64)
    while True:
        threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
threading.Thread(target=listen, args=(socket.AF_INET, "0.0.0.0"), daemon=True).start()
print("ready", flush=True)
listen(socket.AF_INET6, "::")
PY
cat >"$TMP/client.py" <<'PY'
import re, socket, subprocess, sys, time
SIZE = 10_000_000
def facts(ns, side):
    out = subprocess.run(["nsenter", "--net=/run/netns/" + ns, "ss", "-tinH", "state", "established", side, "= :8080"],
                         capture_output=True, text=True).stdout
    words = out.split()
    return [w for w in words if w in ("ts", "sack") or re.match(r"(wscale|mss|advmss):", w)]
c = socket.create_connection((sys.argv[2], 8080), 5)
c.settimeout(20)
began = time.time()
c.sendall(b"U")
c.sendall(b"y" * SIZE)
assert c.recv(1) == b"k"
up = time.time() - began
began = time.time()
c.sendall(b"D")
left = SIZE
while left:
    got = len(c.recv(1 << 16))
    assert got
    left -= got
down = time.time() - began
print("here", *facts(sys.argv[1] + "-client", "dport"), "there", *facts(sys.argv[1] + "-node", "sport"))
print(f"{SIZE / 1e6 / up:.0f} MB/s up, {SIZE / 1e6 / down:.0f} MB/s down", file=sys.stderr)
print("slow" if max(up, down) > 5 else "fast", file=sys.stderr)
PY
spawn node server "$PYTHON" "$TMP/server.py"
ready server

rules() {
	cat <<POLICY
interfaces: [$1]
default: {ingress: deny, egress: allow}
allow: [{name: web, to: self, port: [tcp/80, tcp/8080]}, {to: self, port: [icmp/echo-request, icmpv6/echo-request]}]
limits: [{name: newcomers, to: self, port: [tcp/80, tcp/8080], count: connections, per: source, rate: 1000/second}]
POLICY
	[ -z "${2:-}" ] || echo "protect: [{to: self, port: [tcp/80, tcp/8080], syn_cookies: {above: $2}}]"
}

transfer() { at client "$PYTHON" "$TMP/client.py" "$LAB" "$1" 2>"$TMP/speed" || echo "failed: $(tail -n 1 "$TMP/speed")"; }
client_stamps() { at client sh -c "echo $1 >/proc/sys/net/ipv4/tcp_timestamps"; }

# ---- what a connection keeps

declare -A PLAIN
rules eth0 | policy
for address in 203.0.113.1 2001:db8:113::1; do PLAIN[$address]=$(transfer "$address"); done

# Above one an hour, every SYN but the first two is answered by XDP.
kept() {
	local name=$1 address before
	for address in 203.0.113.1 2001:db8:113::1; do
		for _ in 1 2 3 4; do transfer "$address" >/dev/null; done
		before=$(reason syn_cookie)
		same "$name, $address: options are those of a connection without cookies" "$(transfer "$address")" "${PLAIN[$address]}"
		same "$name, $address: ten million bytes each way ($(head -n 1 "$TMP/speed"))" "$(tail -n 1 "$TMP/speed")" fast
		client_stamps 0
		same "$name, $address: without time stamps only the MSS" "$(transfer "$address" | tr ' ' '\n' | sed -n 's/:.*//; /mss\|sack\|wscale\|ts/p' | sort -u | tr '\n' ' ')" \
			"advmss mss "
		same "$name, $address: and it is as fast ($(head -n 1 "$TMP/speed"))" "$(tail -n 1 "$TMP/speed")" fast
		client_stamps 1
		between "$name, $address: both SYNs were answered by XDP" "$(($(reason syn_cookie) - before))" 1 4
	done
}

rules eth0 1/hour | policy
same "the kernel takes cookies at any time" "$(at node cat /proc/sys/net/ipv4/tcp_syncookies)" 2
kept "generic XDP"
same "nobody was taken for a forger" "$(reason bad_cookie)" 0

cat >"$TMP/pass.c" <<'C'
__attribute__((section("xdp"))) int pass(void *ctx) { return 2; }
char _license[] __attribute__((section("license"))) = "GPL";
C
if "${CLANG:-clang}" -O2 -target bpf -c "$TMP/pass.c" -o "$TMP/pass.o" 2>/dev/null &&
	ip -n "$LAB-outside" link set dev node-eth0 xdp obj "$TMP/pass.o" sec xdp 2>"$TMP/pass.err"; then
	rules "{name: eth0, xdp: native}" 1/hour | policy
	kept "native XDP"
	ip -n "$LAB-outside" link set dev node-eth0 xdp off
else
	skip "native XDP" "$(head -n 1 "$TMP/pass.err" 2>/dev/null || true)"
fi

# ---- a flood

# One core floods, the other connects: a client that never gets the CPU would say nothing about protection.
CPUS=$(nproc)

watch_state() {
	local n most=0 ct
	while [ ! -e "$TMP/enough" ]; do
		n=$(at node ss -tnH state syn-recv | wc -l)
		((n <= most)) || most=$n
		ct=$(at node cat /proc/sys/net/netfilter/nf_conntrack_count 2>/dev/null || echo 0)
		echo "$most $ct" >"$TMP/state"
		sleep 0.2
	done
}

# A hundred connections of each family, so many at a time; prints how many of each succeeded.
hundred() {
	local address count out=''
	for address in 203.0.113.1 '[2001:db8:113::1]'; do
		count=$(seq 100 | at client xargs -P "$1" -I{} taskset -c $((1 % CPUS)) curl -s -o /dev/null --connect-timeout 5 -m 10 \
			-w '%{http_code}\n' "http://$address/" | grep -c '^200$' || true)
		out+="$count "
	done
	echo "${out% }"
}

flooded() {
	rm -f "$TMP/enough"
	spawn outside flood nice -n -10 taskset -c 0 "$FLOOD" node-eth0 "$MAC" 80 300 203.0.113.1 2001:db8:113::1
	until_true 5 grep -q flooding "$TMP/flood"
	sleep 1
	watch_state &
	SUCCEEDED=$(hundred "$1")
	touch "$TMP/enough"
	stop flood
	wait -n 2>/dev/null || true
	RATE=$(sed -n 's/^sent .*: //p' "$TMP/flood")
	read -r SYN_RECV CONNTRACK <"$TMP/state"
}

rules eth0 1000/second | policy
flooded 10
same "under $RATE, a hundred connections of each family succeed" "$SUCCEEDED" "100 100"
between "  the host never had more than a few half-open connections (most: $SYN_RECV)" "$SYN_RECV" 0 64
# Ten a SYN that is shown to the listener would be many.
between "  and tracked those of real clients only" "$CONNTRACK" 0 1500
echo "  answered: $(reason syn_cookie) SYNs; refused: $(reason bad_cookie) segments"
same "  nobody was taken for a forger" "$(reason bad_cookie)" 0

# Of both slots: settings that a policy needs stay as long as a rollback could bring it back.
rules eth0 | policy
rules eth0 | policy
flooded 50
echo "# without protection, net.ipv4.tcp_syncookies=$(at node cat /proc/sys/net/ipv4/tcp_syncookies), under $RATE:" \
	"$SUCCEEDED of a hundred each succeed, most half-open $SYN_RECV, tracked $CONNTRACK"
at node sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_syncookies'
flooded 50
echo "# without protection, net.ipv4.tcp_syncookies=0, under $RATE:" \
	"$SUCCEEDED of a hundred each succeed, most half-open $SYN_RECV, tracked $CONNTRACK"
finish
