#!/usr/bin/python3
"""25-check-online.py - glacis check --online: what it finds of resolver, names and servers, and its exit code."""
import os
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from sink import Sink

OPT = b"\0\0)\4\xd0\0\0\0\0\0\0"


class Resolver:
    """UDP and TCP on one port: `org` has name servers, the list its test entry; `rewrites` answers every other name."""

    def __init__(self, entry=(127, 0, 0, 2), rewrites=False, names=True):
        self.names = names            # the reverse name and the MX are ours
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
        elif name == "mx.test.example" and kind == 1:
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + b"\xc0\0\2\x19"
        elif name == "25.2.0.192.in-addr.arpa" and kind == 12 and self.names:
            record = b"\xc0\x0c\0\x0c\0\1\0\0\0\x3c\0\x11\2mx\4test\7example\0"
        elif name == "example.test" and kind == 15:
            record = b"\xc0\x0c\0\x0f\0\1\0\0\0\x3c\0\x13\0\x0a" + \
                (b"\2mx" if self.names else b"\2no") + b"\4test\7example\0"
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


def check(w, resolver, rules=(), more=""):
    sink = Sink(keywords=["STARTTLS", "SIZE 1000000"]).start() if rules != "none" else None
    if rules and sink:
        sink.rules = list(rules)
    path = os.path.join(w.dir, "c.yaml")
    with open(path, "w", encoding="ascii") as f:
        f.write('server: {hostname: mx.test.example}\nupstreams: {up: {servers: ["127.0.0.1:%d"]%s}}\n'
                'domains: {example.test: up}\ndns: {servers: ["127.0.0.1:%d"]}\n'
                'reputation: {lists: [{name: bl, zone: bl.test}]}\n' %
                (sink.port if sink else 1, more, resolver.port))
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


@shows("our names: no reverse name, and an MX that is another's, are said and no failure")
def names(w):
    r = check(w, Resolver())
    must("name mx.test.example: ok" in r.stdout and "domain example.test: ok" in r.stdout, "ours", r.stdout)
    r = check(w, Resolver(names=False))
    must(r.returncode == 0 and "warn: 192.0.2.25 has no reverse name" in r.stdout and
         "mx.test.example is no MX of it; these are: no.test.example" in r.stdout, "not ours", r.stdout)


@shows("servers behind: unknown recipients refused or taken, limits, refusals, no STARTTLS, nobody there")
def servers(w):
    unknown = {"at": "RCPT", "match": "glacis-check-", "reply": "550 5.1.1 no such user"}
    for rules, more, code, want in (
            ((unknown,), "", 0, ": ok: offers STARTTLS; refuses unknown recipients (550 5.1.1 no such user)"),
            ((), "", 0, ": warn: offers STARTTLS; takes unknown recipients"),
            (({"at": "RCPT", "reply": "451 4.3.0 later"},), "", 0, "does not say whether a recipient is unknown"),
            (({"at": "MAIL", "reply": "421 4.3.2 too many"},), "", 0, ": warn: offers STARTTLS; limits or delays us at MAIL (421"),
            (({"at": "MAIL", "reply": "530 5.7.0 no \x07"},), "", 69, "refuses mail of ours at MAIL (530 5.7.0 no \\x07)"),
            (({"at": "CONNECT", "reply": "554 5.7.1 go away"},), "", 69, ": broken: does not greet us (554 5.7.1 go away)"),
            (({"at": "EHLO", "then": "close"},), "", 69, ": broken: refuses our EHLO (no reply)"),
            ((unknown,), ", tls: required", 0, ": ok: offers STARTTLS\n"),
            ("none", "", 69, ": broken: cannot be reached: Connection refused")):
        r = check(w, Resolver(), rules, more)
        must(r.returncode == code and want in r.stdout, want, r.stdout + r.stderr)


run()
