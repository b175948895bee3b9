#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""25-check-online.py - glacis check --online: what it finds of resolver, names and servers, and its exit code."""
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from sink import Sink
from tlsclient import Authority

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
        elif name in ("mail.corp.test", "half.corp.test") and kind == 1:
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + b"\x7f\0\0\1"
        elif name == "two.corp.test" and kind == 1:
            record = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes(a) for a in ((127, 0, 0, 1), (127, 0, 0, 9)))
        elif name == "six.corp.test" and kind == 28:
            record = b"\xc0\x0c\0\x1c\0\1\0\0\0\x3c\0\x10" + bytes(15) + b"\1"
        elif self.rewrites and kind == 1:
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
        exists = record or name in ("org", "six.corp.test", "two.corp.test", "mail.corp.test", "empty.corp.test") or \
            self.rewrites
        if name == "lame.corp.test" or (name == "half.corp.test" and kind == 28):
            return query[:2] + struct.pack(">HHHHH", 0x8182, 1, 0, 0, 1) + query[12:at + 5] + OPT
        records = 2 if name == "two.corp.test" and record else 1 if record else 0
        return query[:2] + struct.pack(">HHHHH", 0x8180 if exists else 0x8183, 1, records, 0, 1) + \
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


def server_context(w, host="mail.corp.test"):
    """A server's TLS; its authority is ca/ca.pem."""
    cert, key = Authority(w.dir + "/ca").leaf("server", host=host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def check(w, resolver, rules=(), more="", host="127.0.0.1", tls=None, keywords=("STARTTLS", "SIZE 1000000")):
    sink = Sink(keywords=list(keywords), tls=tls).start() if rules != "none" else None
    if rules and sink:
        sink.rules = list(rules)
    path = os.path.join(w.dir, "c.yaml")
    with open(path, "w", encoding="ascii") as f:
        f.write('server: {hostname: mx.test.example}\nupstreams: {up: {servers: ["%s:%d"]%s}}\n'
                'domains: {example.test: up}\ndns: {servers: ["127.0.0.1:%d"]}\n'
                'reputation: {lists: [{name: bl, zone: bl.test}]}\n' %
                (host, sink.port if sink else 1, more, resolver.port))
    r = subprocess.run([os.environ.get("GLACIS", "build/glacis"), "check", "-c", path, "--online"],
                       capture_output=True, text=True, timeout=60, check=False)
    if sink:
        sink.stop()
        must(not sink.violations, "the protocol kept", sink.violations)
    return r


def must_say(w, resolver, cases, **options):
    """Each case: the rules of the sink, more about the upstream, the exit code, what is said."""
    for rules, more, code, want in cases:
        r = check(w, resolver, rules, more, **options)
        must(r.returncode == code and want in r.stdout, "%d %s" % (code, want), "%d %s" % (r.returncode, r.stdout + r.stderr))


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


UNKNOWN = {"at": "RCPT", "match": "glacis-check-", "reply": "550 5.1.1 no such user"}


@shows("servers behind: unknown recipients refused or taken, limits, refusals, no STARTTLS, nobody there")
def servers(w):
    must_say(w, Resolver(), (
        ((UNKNOWN,), "", 0, ": ok: speaks TLS1.3; refuses unknown recipients (550 5.1.1 no such user)"),
        ((UNKNOWN,), ", tls: off", 0, ": ok: offers STARTTLS; refuses unknown recipients (550"),
        ((), "", 0, ": warn: speaks TLS1.3; takes unknown recipients"),
        (({"at": "RCPT", "reply": "451 4.3.0 later"},), "", 0, "does not say whether a recipient is unknown"),
        (({"at": "MAIL", "reply": "421 4.3.2 too many"},), "", 0, ": warn: speaks TLS1.3; limits or delays us at MAIL (421"),
        (({"at": "MAIL", "reply": "530 5.7.0 no \x07"},), "", 69, "refuses mail of ours at MAIL (530 5.7.0 no \\x07)"),
        (({"at": "CONNECT", "reply": "554 5.7.1 go away"},), "", 69, ": broken: does not greet us (554 5.7.1 go away)"),
        (({"at": "CONNECT", "then": "mute"},), "", 69, ": broken: does not greet us; if it expects the header of the PROXY "
         "protocol, `identity` must be proxy_v1 or proxy_v2 (no reply in time)"),
        (({"at": "CONNECT", "reply": "521 5.3.2 no"},), "", 69, ": broken: takes no mail at all (521 5.3.2 no)"),
        (({"at": "CONNECT", "reply": "220 mx.test ESMTP Exim 4.96"}, UNKNOWN), "", 0,
         ": ok: is Exim: it gets 10 messages a connection"),
        (({"at": "CONNECT", "reply": "220 mx.test ESMTP Exim 4.96"}, UNKNOWN), ", max_messages: 50", 0,
         ": warn: is Exim, which leaves what comes behind the tenth message"),
        (({"at": "CONNECT", "reply": "220 mx.test ESMTP Postfix"}, UNKNOWN), ", connections: 60", 0,
         ": warn: is Postfix, which takes 50 connections"),
        ((UNKNOWN,), ", identity: xclient", 0, "does not offer XCLIENT, so it takes us for the client"),
        (({"at": "EHLO", "then": "close"},), "", 69, ": broken: refuses our EHLO (no reply)"),
        ("none", "", 69, ": broken: cannot be reached: Connection refused")), tls=server_context(w))
    must_say(w, Resolver(), (((UNKNOWN,), "", 0, ": ok: has no STARTTLS; refuses unknown recipients (550"),), keywords=("SIZE",))


@shows("servers behind with `tls`: required and verify are asked to the end, what fails is said, and mail in clear is a warning")
def encrypted(w):
    good, resolver = server_context(w), Resolver()
    trusted = ", tls: verify, tls_ca: %s/ca/ca.pem" % w.dir
    must_say(w, resolver, (
        ((UNKNOWN,), ", tls: required", 0, ": ok: speaks TLS1.3; refuses unknown recipients (550"),
        (({"at": "STARTTLS", "reply": "454 4.7.0 no"},), ", tls: required", 69, ": broken: refuses STARTTLS, which `tls` requires (454"),
        (({"at": "STARTTLS", "reply": "454 4.7.0 no"}, UNKNOWN), "", 0,
         ": warn: refuses STARTTLS, so mail goes there in clear (454 4.7.0 no); refuses unknown recipients (550"),
        (({"at": "STARTTLS", "reply": "220 go", "then": "close"},), ", tls: required", 69, ": broken: TLS fails, which `tls` requires: "),
        (({"at": "STARTTLS", "reply": "220 go", "then": "close"}, UNKNOWN), "", 0, ": warn: TLS fails, so mail goes there in clear: "),
        (({"at": "STARTTLS", "reply": "220 go", "then": "close"}, UNKNOWN), "", 0, "; refuses unknown recipients (550"),
        (({"at": "STARTTLS", "raw": "220 go\r\n250 injected\r\n", "then": "mute"}, UNKNOWN), "", 0,
         ": warn: something follows its 220 to STARTTLS, so mail goes there in clear; refuses unknown recipients (550"),
        (({"at": "STARTTLS", "raw": "220 go\r\n250 injected\r\n", "then": "mute"},), ", tls: required", 69,
         ": broken: something follows its 220 to STARTTLS in clear"),
        ((UNKNOWN,), trusted + ", tls_name: mail.corp.test", 0,
         ": ok: speaks TLS1.3 with a certificate that is good; refuses unknown recipients (550"),
        ((), trusted, 69, ": broken: its certificate is not good for `tls_ca` and `tls_name`: IP address mismatch"),
        ((), ", tls: verify, tls_name: mail.corp.test", 69, "`tls_ca` and `tls_name`: ")), tls=good)
    must_say(w, resolver, (((), ", tls: required", 69, ": broken: does not offer STARTTLS, which `tls` requires"),), keywords=("SIZE",))


@shows("A2: servers behind by name: each address is asked, and failures of the look-up are named")
def by_name(w):
    trusted = ", tls: verify, tls_ca: %s/ca/ca.pem" % w.dir
    for host, more, code, want in (
            ("mail.corp.test", "", 0, " (127.0.0.1): ok: speaks TLS1.3; refuses unknown recipients (550"),
            ("mail.corp.test", trusted, 0,
             " (127.0.0.1): ok: speaks TLS1.3 with a certificate that is good; refuses unknown"),
            ("two.corp.test", "", 69, " (127.0.0.1): ok: speaks TLS1.3; refuses unknown recipients (550"),
            ("two.corp.test", "", 69, " (127.0.0.9): broken: cannot be reached: "),
            ("half.corp.test", "", 0, ": warn: not all of its addresses can be looked up: servfail"),
            ("half.corp.test", "", 0, " (127.0.0.1): ok: speaks TLS1.3; refuses unknown recipients (550"),
            ("six.corp.test", "", 69, " (::1): broken: cannot be reached: "),
            ("none.corp.test", "", 69, ": broken: its name does not exist in the DNS"),
            ("empty.corp.test", "", 69, ": broken: its name has no address"),
            ("lame.corp.test", "", 69, ": broken: its address cannot be looked up: servfail")):
        must_say(w, Resolver(), (((UNKNOWN,), more, code, want),), host=host, tls=server_context(w))


@shows("A21: a server that does not greet us behind the header of the PROXY protocol: the cause is named")
def proxy_identity(w):
    must_say(w, Resolver(), (
        (({"at": "CONNECT", "reply": "421 4.3.2 no", "then": "close"},), ", identity: proxy_v2", 69,
         ": broken: does not greet us behind the header of the PROXY protocol: does it expect one, and from this address?"),))


run()
