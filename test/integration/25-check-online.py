#!/usr/bin/python3
"""25-check-online.py - glacis check --online: what the self-test of the resolver finds, and its exit code."""
import os
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows

OPT = b"\0\0)\4\xd0\0\0\0\0\0\0"


class Resolver:
    """UDP and TCP on one port: `org` has name servers, the list its test entry; `rewrites` answers every other name."""

    def __init__(self, entry=(127, 0, 0, 2), rewrites=False):
        self.entry = bytes(entry)
        self.rewrites = rewrites
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        for serve in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += query[at] + 1
        name, kind = ".".join(labels), struct.unpack(">H", query[at + 1:at + 3])[0]
        record = b""
        if name == "2.0.0.127.bl.test" and kind == 1:
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + self.entry
        elif name == "org" and kind == 2:
            record = b"\xc0\x0c\0\2\0\1\0\0\0\x3c\0\4\1a\xc0\x0c"
        elif self.rewrites and kind == 1:
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
        exists = record or name == "org" or self.rewrites
        return query[:2] + struct.pack(">HHHHH", 0x8180 if exists else 0x8183, 1, 1 if record else 0, 0, 1) + \
            query[12:at + 5] + record + OPT

    def serve_udp(self):
        while True:
            query, peer = self.udp.recvfrom(4096)
            self.udp.sendto(self.answer(query), peer)

    def serve_tcp(self):
        while True:
            client, _ = self.tcp.accept()
            with client:
                size = client.recv(2)
                if len(size) == 2:
                    answer = self.answer(client.recv(struct.unpack(">H", size)[0]))
                    client.sendall(struct.pack(">H", len(answer)) + answer)


def check(w, resolver):
    path = os.path.join(w.dir, "c.yaml")
    with open(path, "w", encoding="ascii") as f:
        f.write('server: {hostname: mx.test.example}\nupstreams: {up: {servers: ["127.0.0.1:25"]}}\n'
                'domains: {example.test: up}\ndns: {servers: ["127.0.0.1:%d"]}\n'
                'reputation: {lists: [{name: bl, zone: bl.test}]}\n' % resolver.port)
    return subprocess.run([os.environ.get("GLACIS", "build/glacis"), "check", "-c", path, "--online"],
                          capture_output=True, text=True, timeout=60, check=False)


@shows("a good resolver: every line says ok, exit code 0")
def good(w):
    r = check(w, Resolver())
    must(r.returncode == 0 and r.stdout.count(": ok") >= 5 and "resolver: ok" in r.stdout, "all well", r.stdout + r.stderr)


@shows("a list that refuses us as an open resolver, and a resolver that rewrites NXDOMAIN: said, exit code 69")
def bad(w):
    r = check(w, Resolver(entry=(127, 255, 255, 254)))
    must(r.returncode == 69 and "127.255.255.254" in r.stdout and "list bl" in r.stdout, "refused by the list", r.stdout)
    r = check(w, Resolver(rewrites=True))
    must(r.returncode == 69 and "nxdomain: broken" in r.stdout, "rewriting", r.stdout)


run()
