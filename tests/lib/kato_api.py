# SPDX-License-Identifier: GPL-2.0-only
"""A stand-in for the KATO API: each request asks every store and the name server, and says which answered.

kato_api.py PORT NAME=KIND:ADDRESS:PORT...   KIND is echo, redis or dns
"""

import http.server
import json
import socket
import sys

DNS_QUESTION = b"\x57\x45\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04kato\x00\x00\x01\x00\x01"
ASK = {"echo": b"KATO\r\n", "redis": b"PING\r\n", "dns": DNS_QUESTION}
WANT = {"echo": b"KATO\r\n", "redis": b"+PONG\r\n", "dns": b"\x57\x45"}


def ask(target):
    kind, rest = target.split(":", 1)
    address, port = rest.rsplit(":", 1)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sort = socket.SOCK_DGRAM if kind == "dns" else socket.SOCK_STREAM
    try:
        with socket.socket(family, sort) as s:
            s.settimeout(1)
            s.connect((address, int(port)))
            s.sendall(ASK[kind])
            return "ok" if s.recv(512).startswith(WANT[kind]) else "wrong answer"
    except OSError as error:
        return str(error)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({name: ask(target) for name, target in STORES.items()}).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128


STORES = dict(argument.split("=", 1) for argument in sys.argv[2:])
server = Server(("::", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
