#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""61-connection-memory.py - what one connection can hold at most: each row of the table in docs/memory.md is attacked.

Each attack fills one thing on CONNECTIONS connections at once and keeps it so.  Counted is what the worker's memory has
grown by for each of them (anonymous pages: what malloc() and the pages around it cost as well, but not the shared tables),
after one connection that did the same and is still there.  No more than the table says, and not so little that the attack cannot have worked.
"""
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import Skip, must, run, shows
from client import Client, wait_for
from dnsserver import DnsServer
from faults import is_sanitized
from tlsclient import Authority, client_hello

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
CONNECTIONS = 20
POLICY = """policy:
  preset: none
  rules:
    - {name: spf-fail, when: {spf: fail}, then: reject}
"""
MORE = """limits: {ban: off, connections_per_client: off%s}
spf: {timeout: 60s}
smtp: {dsn: true}
"""
LONG = b" ORCPT=rfc822;" + b"x" * 480


def table():
    """{row: KiB} of docs/memory.md."""
    with open(os.path.join(ROOT, "docs", "memory.md"), encoding="utf-8") as f:
        text = f.read().partition("## What one connection can hold")[2]
    return {m[0]: int(m[1]) for m in re.findall(r"(?m)^\| ([^|]+?) \| [^|]+ \| (\d+) \|$", text)}


def private_kib(g):
    total = 0
    for pid in g.children("glacis-worker"):
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
            total += sum(int(l.split()[1]) for l in f if l.startswith("Anonymous:"))
    return total


class Victim:
    """One worker, its sink and its DNS."""

    def __init__(self, w, limits="", more=""):
        if is_sanitized(os.environ.get("GLACIS", "build/glacis")):
            raise Skip("a sanitizer has a heap of its own")
        self.dns = DnsServer().start()
        self.dns.fault("silent.test", "silent")
        w.dns.append(self.dns)
        self.sink = w.sink()
        config = w.config(self.sink, MORE % limits + more, workers=1, policy=POLICY, server="private_clients: judge\ndrain_timeout: 1s")
        self.g = w.glacis(config.replace("dns: {self_test: off}", "dns: {self_test: off, servers: [\"%s\"], timeout: 6s, "
                                         "attempts: 1, per_client: {questions: off, failed: off}}" % self.dns.address))
        self.clients = []

    def end(self):
        for c in self.clients:
            c.close()
        self.g.stop()

    def client(self, **options):
        # each from a network of its own
        number = len(self.clients)
        self.clients.append(Client(self.g.smtp, source="127.1.%d.1" % (number % 250), **options))
        return self.clients[-1]

    def row(self, name, attack, number=CONNECTIONS, least=0.0):
        """attack(client) fills one connection; `least`: the share of the row that it must reach."""
        most = table()[name]
        attack(self.client())
        time.sleep(0.3)
        before = private_kib(self.g)
        for _ in range(number):
            attack(self.client())
        time.sleep(0.3)
        each = (private_kib(self.g) - before) / number
        print("    %s: %.1f KiB of %d" % (name, each, most), flush=True)
        must(each <= most, "at most %d KiB" % most, each)
        must(each >= least * most, "the attack fills it: at least %d KiB" % (least * most), each)
        self.end()


def hello(c):
    c.hello()
    return c


@shows("C3: an idle connection, in clear and in TLS, and half a handshake")
def idle(w):
    Victim(w).row("idle, after EHLO", hello, number=200)
    authority = Authority(w.dir)
    cert, key = authority.leaf("mx")
    tls = "tls: {certificate: %s, private_key: %s}\n" % (cert, key)

    context, flight = authority.context(), client_hello()

    def secure(c):
        c.hello()
        c.cmd("STARTTLS")
        c.sock = context.wrap_socket(c.sock, server_hostname="mx.glacis.test")
        c.hello()
    Victim(w, more=tls).row("idle in TLS", secure)

    def half(c):
        c.hello()
        c.cmd("STARTTLS")
        c.send(flight[:len(flight) // 2])
    Victim(w, more=tls).row("a handshake that stops", half)


@shows("C3: commands that wait, and replies that are not read")
def buffers(w):
    v = Victim(w)

    def pipelined(c):
        c.hello()
        c.send(b"MAIL FROM:<a@silent.test>\r\nRCPT TO:<bob@example.test>\r\n" + b"NOOP " + b"x" * 1000 + b"\r\n")
        c.send((b"NOOP " + b"x" * 1000 + b"\r\n") * 40)
    v.row("commands that wait for an answer", pipelined, least=0.5)


@shows("C3: the same recipient for ever stores nothing; as many as may be, with all their parameters, are bounded")
def recipients(w):
    def parameters(c):
        """ORCPT, if it is offered: then there is more to store."""
        return LONG if "DSN" in c.hello().text else b""

    def again(c):
        c.parameters = parameters(c)
        c.cmd("MAIL FROM:<a@elsewhere.invalid>")
        line = b"RCPT TO:<bob%s@example.test>%s\r\n" % (b"y" * 100, c.parameters)
        for _ in range(12):
            c.send(line * 100)
            for _ in range(100):
                c.reply()
    Victim(w).row("one recipient, 1,200 times", again, number=5)

    def all_of_them(c):
        c.parameters = parameters(c)
        c.cmd("MAIL FROM:<a@elsewhere.invalid>")
        for first in range(0, 200, 50):
            c.send(b"".join(b"RCPT TO:<user%03d%s@example.test>%s\r\n" % (first + i, b"y" * 100, c.parameters)
                            for i in range(50)))
            for _ in range(50):
                c.reply()
    Victim(w).row("an envelope of 200 recipients", all_of_them, number=8, least=0.3)

    def refused(c):
        c.parameters = parameters(c)
        c.cmd("MAIL FROM:<a@elsewhere.invalid>")
        c.cmd("RCPT TO:<bob@example.test>")
        c.send(b"".join(b"RCPT TO:<user%03d@other%s.test>%s\r\n" % (i, b"y" * 50, c.parameters) for i in range(200)))
        for _ in range(200):
            c.reply()
    Victim(w).row("200 recipients that are refused at once", refused, number=8)


@shows("C3: SPF evaluations that wait: TXT records of others, records of 8 KiB, hosts with many addresses")
def spf(w):
    def waits(c, sender):
        c.hello()
        c.send(b"MAIL FROM:<a@%s>\r\nRCPT TO:<bob@example.test>\r\n" % sender)
        c.reply()
        time.sleep(0.02)

    v = Victim(w)
    for i in range(9):      # each name with 50 KiB of other texts
        v.dns.add("t%d.test" % i, "TXT", "v=spf1 include:t%d.test a:n.silent.test -all" % (i + 1), *["x" * 5000] * 10)
    v.dns.add("t9.test", "TXT", "v=spf1 a:n.silent.test -all")
    v.row("SPF: names with other TXT records", lambda c: waits(c, b"t0.test"))
    must(v.dns.asked("t9.test") > 0, "the last include was reached")

    v = Victim(w)
    for i in range(9):
        record = "v=spf1 include:r%d.test a:n.silent.test -all" % (i + 1)
        v.dns.add("r%d.test" % i, "TXT", record + " " * (8192 - len(record)))
    v.dns.add("r9.test", "TXT", "v=spf1 a:n.silent.test -all")
    v.row("SPF: ten records of 8 KiB", lambda c: waits(c, b"r0.test"), least=0.5)

    v = Victim(w)
    v.dns.add("m.test", "TXT", "v=spf1 " + " ".join("mx:m%d.test" % i for i in range(4)) + " a:n.silent.test -all")
    for i in range(4):
        v.dns.add("m%d.test" % i, "MX", *["10 h%d.%s.test" % (k, "z" * 60) for k in range(10)])
    for k in range(10):
        v.dns.add("h%d.%s.test" % (k, "z" * 60), "A", *["203.0.113.%d" % a for a in range(200)])
    v.row("SPF: hosts with many addresses", lambda c: waits(c, b"m.test"))


@shows("C3: content: a header section, a body, and a message that waits for the server's final reply")
def content(w):
    field = b"X-Field: " + b"v" * 980 + b"\r\n"

    def head(c):
        c.hello()
        c.envelope()
        c.cmd("DATA")
        c.send(field * 250)
    Victim(w).row("a header section that does not end", head, number=10, least=0.5)

    def body(c):
        c.hello()
        c.envelope()
        c.cmd("DATA")
        c.send(b"Subject: x\r\n\r\n" + field * 3000)
        time.sleep(0.05)
    Victim(w).row("a body that does not end", body, number=8, least=0.5)

    def waits(c):
        c.hello()
        c.envelope()
        c.cmd("DATA")
        c.send(field * 240 + b"Subject: x\r\n\r\nbody\r\n.\r\n")
        time.sleep(0.05)
    v = Victim(w)
    v.sink.rules = [{"at": "DOT", "delay": 6}]
    v.row("a message that waits for the final reply", waits, number=8, least=0.3)


@shows("C3: what limits.memory counts: envelopes, judgements and the DNS cache; beyond it 452, and all is given back")
def counted(w):
    v = Victim(w, limits=", memory: 4MiB, spool_memory: 64KiB", more="")
    for i in range(9):
        record = "v=spf1 include:r%d.test a:n.silent.test -all" % (i + 1)
        v.dns.add("r%d.test" % i, "TXT", record + " " * (8192 - len(record)))
    v.dns.add("r9.test", "TXT", "v=spf1 a:n.silent.test -all")
    refused = 0
    for _ in range(100):
        c = v.client()
        c.hello()
        code = c.cmd("MAIL FROM:<a@r0.test>").code
        if code == "452":
            refused += 1
            break
        c.send(b"RCPT TO:<bob@example.test>\r\n")
        time.sleep(0.01)
    metrics = v.g.metrics()
    print("    %d connections, %d KiB" % (len(v.clients), metrics["glacis_memory_bytes"] // 1024), flush=True)
    must(refused == 1 and 20 < len(v.clients) < 80, "452 once 4 MiB are held", len(v.clients))
    must(metrics["glacis_memory_bytes"] <= 5 << 20, "no more than one step beyond it", metrics["glacis_memory_bytes"])
    for c in v.clients:
        c.close()
    wait_for(lambda: v.g.metrics()["glacis_sessions"] == 0, 10, "all are gone")
    metrics = v.g.metrics()
    must(metrics["glacis_memory_bytes"] == metrics["glacis_dns_cache_bytes"], "only the cache is left", metrics)
    must(0 < metrics["glacis_dns_cache_bytes"] <= 512 << 10, "the cache has an eighth at most", metrics)
    with Client(v.g.smtp) as c:
        c.hello()
        must(c.cmd("MAIL FROM:<a@elsewhere.invalid>").code == "250", "well again")


@shows("C3: dns.cache.memory bounds the caches of all workers together")
def cache(w):
    dns = DnsServer().start()
    w.dns.append(dns)
    dns.add("*.long.test", "TXT", "v=spf1 ?all x=" + "y" * 900)
    sink = w.sink()
    config = w.config(sink, MORE % "", workers=2, policy=POLICY, server="private_clients: judge")
    g = w.glacis(config.replace("dns: {self_test: off}", "dns: {self_test: off, servers: [\"%s\"], cache: {memory: 1MiB}, "
                                "per_client: {questions: off, failed: off}}" % dns.address))
    for number in range(30):
        with Client(g.smtp, source="127.1.%d.1" % (number % 250)) as c:
            c.hello()
            for k in range(40):
                c.send(b"MAIL FROM:<a@n%d.long.test>\r\nRCPT TO:<bob@example.test>\r\nRSET\r\n" % (number * 100 + k))
                for _ in range(3):
                    c.reply()
    held = g.metrics()["glacis_dns_cache_bytes"]
    print("    %d KiB" % (held // 1024), flush=True)
    must(600 << 10 < held <= 1 << 20, "full, and no more than 1 MiB", held)


@shows("C3: MemoryMax of the unit is what the default limits add up to")
def unit(w):
    del w
    with open(os.path.join(ROOT, "packaging", "systemd", "glacis.service"), encoding="utf-8") as f:
        said = re.search(r"(?m)^MemoryMax=(\d+)M$", f.read())
    must(said is not None, "MemoryMax=...M in the unit")
    with open(os.path.join(ROOT, "docs", "memory.md"), encoding="utf-8") as f:
        parts = re.findall(r"(?m)^\| [^|]+ \| [^|]+ \| (\d+) MiB \|$", f.read().partition("## MemoryMax")[2])
    total = sum(int(p) for p in parts)
    must(len(parts) >= 5 and total == int(said.group(1)), "the sum of the table", (parts, said.group(1)))


if __name__ == "__main__":
    run(beside=3)
