# SPDX-License-Identifier: Apache-2.0
"""lab.py - a small Internet for the tests of the judgement: domains in nsd, lists in rbldnsd, glacis asking both.

Clients (all of 127/8, told apart by `private_clients: judge`):
    127.0.1.x  may send for pass.test, and for nobody else; .10 to .19 are on the lists bl.test and dq zones
    127.0.2.x  may send for nobody; .10 to .19 are listed
    127.0.5.5  is fwd.test, both ways; 127.0.5.6 only says so
    127.0.9.10 is listed, and has a good name: 127.0.9.x is on the allow-list wl.test
"""
import atexit
import re
import shutil
import tempfile
import threading
import os

import dnsserver
from checks import Skip, must
from client import Client, Lost, wait_for

MESSAGE = b"From: alice@elsewhere.invalid\r\nDate: Mon, 1 Dec 2025 10:00:00 +0000\r\nSubject: x\r\n\r\nbody\r\n"
KEY = "secretkey0815"
ZONE = """
pass      TXT "v=spf1 ip4:127.0.1.0/24 exp=why.pass.test -all"
pass      MX 10 mail.pass.test.
why.pass  TXT "%{i} is no server of %{d}; ask postmaster@pass.test"
mail.pass A 127.0.1.10
mail.pass A 127.0.1.30
mail.pass TXT "v=spf1 a -all"
soft      TXT "v=spf1 ip4:127.0.1.0/24 ~all"
soft      A 127.0.1.10
neutral   TXT "v=spf1 ?all"
neutral   MX 10 mail.pass.test.
broken    TXT "v=spf1 ip4:nonsense -all"
broken    MX 10 mail.pass.test.
none      MX 10 mail.pass.test.
nullmx    MX 0 .
client    A 127.0.2.30
client    A 127.0.2.10
strict    TXT "v=spf1 -all"
strict    A 127.0.2.10
ours      A 127.0.7.7
mx.glacis A 127.0.7.7
fwd       A 127.0.5.5
fwd       A 127.0.5.10
"""
REVERSE = """
30.2.0 PTR client.test.
5.5.0  PTR fwd.test.
10.5.0 PTR fwd.test.
6.5.0  PTR fwd.test.
5.6.0  PTR lists.auth.
"""
LIST = ":127.0.0.2:listed, see https://bl.test/?ip=$\n127.0.1.10-19\n127.0.2.10-19\n127.0.9.10\n"
LISTS = {
    "bl.test": LIST,
    "wl.test": ":127.0.0.2:good\n127.0.9.0/24\n",
    "err.test": ":127.255.255.254:you use an open resolver\n127.0.0.0/8\n",
    "out.test": ":10.1.1.1:parked\n127.0.0.0/8\n",
    KEY + ".dq.test": LIST,
}
SERVERS = {}
STARTING = threading.Lock()         # checks may run side by side


def servers():
    """nsd and rbldnsd, once for all checks of a file."""
    missing = [p for p in ("nsd", "rbldnsd") if not dnsserver.program(p)]
    if missing:
        raise Skip("not installed: %s" % " ".join(missing))
    with STARTING:
        if not SERVERS:
            directory = tempfile.mkdtemp(prefix="glacis-lab-")
            os.chmod(directory, 0o755)
            nsd = dnsserver.nsd(directory, {"test": ZONE, "127.in-addr.arpa": REVERSE})
            SERVERS.update(nsd=nsd, rbldnsd=dnsserver.rbldnsd(directory, LISTS))
            atexit.register(lambda: (SERVERS["nsd"].stop(), SERVERS["rbldnsd"].stop(),
                                     shutil.rmtree(directory, ignore_errors=True)))
    return SERVERS


def a_list(name="bl", zone="bl.test", more=""):
    """A list in a configuration.

    It is waited for nearly as long as a client here waits: what a list means that does not answer in time is shown where
    one is made silent, and nowhere by a machine that is too busy to run its servers."""
    more = more if "timeout:" in more else "timeout: 18s" + (", " + more if more else "")
    return "    - {name: %s, zone: \"%s\", probe: off, %s}\n" % (name, zone, more)


def internet():
    """The DNS server that glacis asks, in front of the real ones."""
    real = servers()
    dns = dnsserver.DnsServer().start()
    dns.forward("test", real["nsd"].address)
    dns.forward("127.in-addr.arpa", real["nsd"].address)
    for zone in LISTS:
        dns.forward(zone, real["rbldnsd"].address)
    return dns


def config(w, sink, dns, lists=None, policy="contact: \"https://why.glacis.test/\"", more="", **options):
    """Like World.config(), with this DNS and these lists; `policy` is the inside of that section."""
    dns_more = options.get("dns_more", "")
    # a_list() says why; and a burst may be too much for a server's buffer: what got lost is asked for again
    dns_more += "" if "timeout:" in dns_more else ", timeout: 4s, attempts: 4"
    # all clients of a test are of a few networks
    dns_more += "" if "per_client" in dns_more else ", per_client: {questions: off, failed: off}"
    text = w.config(sink, "limits: {ban: off, connections_per_client: off%s}\n%s" % (
        ", " + options["limits"] if "limits" in options else "", more), policy="policy:\n%s\n" % (
        "".join("  %s\n" % l for l in policy.splitlines())), server="private_clients: judge")
    for old, new in (("dns: {self_test: off}", "dns: {self_test: off, servers: [\"%s\"]%s}" % (
            dns.address, dns_more)),
                     ("greet_delay: 0ms", "greet_delay: " + options.get("greet_delay", "0ms")),
                     ("domains:", options.get("upstreams", "") + "domains:")):
        text = text.replace(old, new, 1)
    guard = options.get("guard", "{sample: 0%, probe_interval: off, canaries: []}")
    return text + "reputation:\n  guard: %s\n%s" % (guard, "  lists:\n" + lists if lists else "")


class Lab:
    """One glacis, its DNS and its sink."""

    def __init__(self, w, lists=None, policy="contact: \"https://why.glacis.test/\"", more="", **options):
        self.sink = w.sink()
        self.dns = internet()
        w.dns.append(self.dns)
        self.config = config(w, self.sink, self.dns, a_list() if lists is None else lists, policy, more, **options)
        self.g = w.glacis(self.config, name=options.get("name", "g"), env=options.get("env"))

    @staticmethod
    def silent(w):
        """A DNS server that never answers."""
        dns = dnsserver.DnsServer().start()
        dns.fault("", "silent")
        w.dns.append(dns)
        return dns

    def send(self, source, sender, **options):
        return Talk(self, source, sender, **options)


class Talk:
    """One session with one message: replies, and how it ended."""

    def __init__(self, lab, source, sender, rcpts=("bob@example.test",), helo="client.test", content=MESSAGE, wait=None):
        self.rcpt, self.final, self.closed, self.header = [], None, False, ""
        before = len(lab.sink.messages)
        with Client(lab.g.smtp, source=source) as c:
            c.hello(helo)
            if wait:
                wait()
            self.mail = c.cmd("MAIL FROM:<%s>" % sender)
            try:
                for address in rcpts:
                    self.rcpt.append(c.cmd("RCPT TO:<%s>" % address))
                if any(r.code == "250" for r in self.rcpt):
                    self.final = c.data(content)
                c.cmd("QUIT")
            except Lost as e:
                self.closed = "closed" in str(e)
                must(self.closed, "closed by glacis", e)
        self.reply = self.final or (self.rcpt[-1] if self.rcpt else self.mail)
        self.code, self.enhanced = self.reply.code, self.reply.enhanced
        self.text = re.sub(r"\s+", " ", re.sub(r"\n%s" % re.escape(self.enhanced), "\n", self.reply.text))
        if self.code == "250" and self.final:
            wait_for(lambda: len(lab.sink.messages) > before, 5, "the message at the sink")
            head = lab.sink.messages[-1].data.split(b"\r\n\r\n")[0].decode("latin-1")
            self.header = head.replace("\r\n ", " ").replace("\r\n\t", " ")

    def field(self, name):
        found = re.search(r"(?im)^%s: ?(.*?)\r?$" % re.escape(name), self.header)
        return found.group(1) if found else None

    @property
    def tests(self):
        return self.marks("X-Glacis-Tests")

    @property
    def watched(self):
        return self.marks("X-Glacis-Monitor")

    def marks(self, field):
        return [t.strip() for t in (self.field(field) or "").split(",") if t.strip()]

    def __str__(self):
        return "%s closed=%s\n%s" % (self.reply, self.closed, self.header)
