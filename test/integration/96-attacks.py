#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""96-attacks.py - under siege: what attackers get, and what becomes of the good mail of others meanwhile.

Each check is an attack by a crowd (attackers.py) on a glacis with lists and SPF, while honest clients on other addresses
send a message each, at a steady rate.  Shown: their mail arrives, caps hold, and afterwards all is given back.  Each
prints a row of numbers; only behaviour is asserted, never speed.

The long mode is ATTACK_FULL=1: ten thousand of each, and the table of docs/attacks.md at the end (ATTACK_TABLE: a file
that it is written to).
"""
import collections
import json
import os
import resource
import socket
import ssl
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import lab
from attackers import Crowd, Good
from checks import must, run, shows
from client import Client, Lost, wait_for
from tlsclient import Authority, client_hello

FULL = bool(os.environ.get("ATTACK_FULL"))
ROWS = []
HEAD = ("attack", "connections", "good mail", "p50 ms", "p99 ms", "memory", "descriptors", "questions", "log", "the attackers saw")
GAUGES = ("glacis_sessions", "glacis_message_memory_bytes", "glacis_spool_bytes", "glacis_tls_handshakes",
          "glacis_dns_in_flight", "glacis_dns_queued", "glacis_upstream_waiting",
          "glacis_upstream_connections{state=\"leased\"}")
SPACE = ("glacis_spool_bytes", "glacis_message_memory_bytes")
FEW = 12              # sessions: the honest ones
LIMITS = "limits: {ban: off%s}"
BIG = 256 * 1024      # KiB that a siege may cost at the very most, whatever the number of attackers (messages aside)
EACH = 24             # KiB that one attacker's connection may cost at the very most


def count(small, full):
    return full if FULL else small


def processes(g):
    return [g.process.pid] + g.children()


def pss(g):
    """KiB of all processes."""
    total = 0
    for pid in processes(g):
        try:
            with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
                total += sum(int(l.split()[1]) for l in f if l.startswith("Pss:"))
        except OSError:
            pass
    return total


def descriptors(g):
    total = 0
    for pid in processes(g):
        try:
            total += len(os.listdir("/proc/%d/fd" % pid))
        except OSError:
            pass
    return total


def sanitized(g):
    with open("/proc/%d/maps" % g.process.pid, encoding="latin-1") as f:
        text = f.read()
    return "asan" in text or "7fff7000-" in text


class Siege:
    """One attack: numbers before, during and after."""

    def __init__(self, name, w, world, **good):
        g, sink, dns = world
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.name, self.w, self.g, self.sink, self.dns = name, w, g, sink, dns
        self.before = g.metrics()
        self.pss = self.most_pss = pss(g)
        self.fds = self.most_fds = descriptors(g)
        self.log = os.path.getsize(g.log_path)
        self.accepted = len(sink.messages)
        self.crowds = []
        self.most = {}              # of the gauges in SPACE
        self.good = Good(g, **{"rate": count(8, 20), **good}).ready()
        w.dns.append(self.good)
        self.questions = len(dns.questions)

    def crowd(self, number, script, **options):
        self.crowds.append(Crowd(self.g, number, script, **options))
        self.w.dns.append(self.crowds[-1])
        return self

    def hold(self, seconds, gone=False):
        """Lets it go on for so long once all attackers are in their place; in the small mode, with `gone`, until they are gone
        if that is sooner."""
        end = None
        while end is None or time.monotonic() < end:
            self.look()
            if end is None and all(c.is_ready() for c in self.crowds):
                end = time.monotonic() + seconds
            if end and gone and not FULL and self.during["glacis_sessions"] < FEW:
                break
            time.sleep(0.25)
        for c in self.crowds:
            c.ready()
        self.look()
        return self

    def look(self):
        self.most_pss = max(self.most_pss, pss(self.g))
        self.most_fds = max(self.most_fds, descriptors(self.g))
        self.during = self.g.metrics()
        for name in SPACE:
            self.most[name] = max(self.most.get(name, 0), self.during[name])

    def log_of_others(self):
        """Octets of log lines about sessions that were not the good ones'."""
        ours, total = set(), 0
        with open(self.g.log_path, "rb") as f:
            f.seek(self.log)
            for line in f:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if str(event.get("client", "")).startswith("127.0.1."):
                    ours.add(event.get("session"))
                total += 0 if event.get("session") in ours else len(line)
        return total

    def end(self, share=100, relieved=30, more=None):
        """Ends it; checks what must hold for any attack.  `more`: replies to attackers outside of the crowds."""
        saw = collections.Counter(more or {})
        ends = collections.Counter()
        opened = most = sum(saw.values())
        for c in self.crowds:
            result = c.finish()
            saw.update(result["replies"])
            ends.update(result["ends"])
            opened += result["opened"]
            most += result["most"]
        good = self.good.finish()["sessions"]
        delivered = sum(1 for s in good if s[0])
        times = sorted(1000 * s[1] for s in good if s[0]) or [0]
        self.saw, self.ends, self.opened, self.delivered = saw, ends, opened, delivered
        must(len(good) >= 3, "good sessions meanwhile", len(good))
        must(100 * delivered >= share * len(good), "%d %% of the good mail delivered" % share,
             "%d of %d; %s" % (delivered, len(good), [s for s in good if not s[0]][:3]))
        wait_for(lambda: self.arrived() >= delivered, 10, "all of it at the server")
        must(self.mail_of_attackers or self.arrived() == len(self.sink.messages) - self.accepted, "good mail only")
        wait_for(lambda: not self.held(), relieved, "everything given back")
        wait_for(lambda: descriptors(self.g) <= self.fds + 60, 10, "descriptors given back")
        grown = self.most_pss - self.pss
        if not sanitized(self.g):
            must(grown < self.big and grown < 48 * 1024 + self.each * most, "memory bounded", "%d KiB more" % grown)
        must(self.before["glacis_worker_restarts_total"] == self.g.metrics()["glacis_worker_restarts_total"], "no worker died")
        self.row(good, times, most)
        return self

    each, big = EACH, BIG
    mail_of_attackers = False       # may some of it be accepted?

    def arrived(self):
        return sum(1 for m in self.sink.messages[self.accepted:] if b"Subject: good" in m.data)

    def held(self):
        now = self.g.metrics()
        return {k: now[k] for k in GAUGES if now.get(k)}

    def asked(self):
        """Questions that are not about the good clients: their addresses, their domain."""
        return sum(1 for _, name, _, _ in self.dns.questions[self.questions:]
                   if ".1.0.127." not in name and "pass.test" not in name and name != "client.test")

    def row(self, good, times, most):
        self.median = statistics.median(times) / 1000
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
        log = self.log_of_others() / max(1, self.opened)
        self.amplification = self.asked() / max(1, self.opened)
        said = ", ".join("%s (%d)" % (k, n) for k, n in self.saw.most_common(3)) or "nothing"
        gone = ", ".join("%s (%d)" % (k, n) for k, n in self.ends.most_common(2))
        row = (self.name, "%d, %d at once" % (self.opened, most), "%d of %d" % (self.delivered, len(good)),
               "%.0f" % (1000 * self.median), "%.0f" % p99,
               "%.1f + %.1f MiB, after %+.1f" % (self.pss / 1024, (self.most_pss - self.pss) / 1024, (pss(self.g) - self.pss) / 1024),
               "%d + %d" % (self.fds, self.most_fds - self.fds), "%.1f" % self.amplification, "%.0f octets" % log,
               said.replace("|", "/") + ("; " + gone if gone else ""))
        ROWS.append(row)
        print("    " + " | ".join(row), flush=True)


def besieged(w, limits="", lists=None, policy="contact: \"https://why.glacis.test/\"", more="", dns_more=None, **options):
    """(glacis, sink, DNS) with one list, SPF and the limits of these tests."""
    sink = w.sink()
    dns = lab.internet()
    w.dns.append(dns)
    extra = {"dns_more": dns_more} if dns_more else {}
    text = lab.config(w, sink, dns, lab.a_list() if lists is None else lists, policy, more, **extra,
                      greet_delay=options.get("greet_delay", "0ms"))
    text = text.replace("limits: {ban: off, connections_per_client: off}", LIMITS % (", " + limits if limits else ""))
    return w.glacis(text), sink, dns


def certificate(w, wait="5s"):
    """The tls section."""
    cert, key = Authority(os.path.join(w.dir, "ca")).leaf("mx", ec=False)
    return "tls:\n  certificate: %s\n  private_key: %s\n  handshake_timeout: %s\n" % (cert, key, wait)


ENVELOPE = "MAIL FROM:<a{i}@none.test>\r\nRCPT TO:<bob@example.test>\r\n"


# ---- slowness ----

@shows("slow loris in the command: an octet a while; the deadline of a line ends it, mail flows beside it")
def loris_command(w):
    world = besieged(w, "command_deadline: %s" % ("60s" if FULL else "2s"))
    s = Siege("slow loris, an octet of a command every 2 s", w, world)
    s.crowd(count(200, 10000), [["reply", 1], ["drip", "E", 2 if FULL else 0.5]]).hold(count(5, 75), gone=True).end()
    must(s.ends["closed by the server"] >= count(150, 9000), "closed at the deadline", s.ends)
    must(any(t.startswith("421 4.4.2") for t in s.saw), "421", s.saw)
    must(s.amplification <= 5, "few questions for each", s.amplification)


@shows("clients that say nothing, and some that talk before the banner: they cost little and are ended")
def loris_banner(w):
    world = besieged(w, "command_timeout: %s" % ("20s" if FULL else "2s"), greet_delay="1s")
    s = Siege("silent before and after the banner", w, world)
    s.crowd(count(150, 10000), [["reply", 1], ["hold"]])
    s.crowd(count(30, 500), [["send", "EHLO early.test\r\n"], ["hold"]], net="127.21").hold(count(4, 30), gone=True).end()
    must(s.ends["closed by the server"] >= count(150, 9000), "closed", s.ends)


@shows("slow loris in DATA and in BDAT: they hold no server connection, and end at the deadline of the message")
def loris_content(w):
    world = besieged(w, "data_deadline: %s, data_timeout: 60s" % ("60s" if FULL else "10s"))
    start = "EHLO client.test\r\n" + ENVELOPE
    s = Siege("slow loris, an octet of DATA or BDAT every 2 s", w, world)
    s.crowd(count(80, 7000), [["reply", 1], ["send", start + "DATA\r\n"], ["reply", 4], ["drip", "Subject: x\r\n", 2 if FULL else 0.5]],
            rate=count(100, 300))
    s.crowd(count(40, 3000), [["reply", 1], ["send", start + "BDAT 1000000 LAST\r\n"], ["reply", 3], ["drip", "x", 2 if FULL else 0.5]],
            rate=count(100, 150), net="127.21")
    # 450 new envelopes a second are more than the server's connections can take: who waits for queue_wait gets 451
    s.hold(count(15, 75), gone=True).end(share=count(100, 80))
    must(s.ends["closed by the server"] >= count(100, 8000), "closed", s.ends)


@shows("stalled TLS handshakes: places are bounded, 454 for the rest, handshake_timeout ends them")
def loris_tls(w):
    world = besieged(w, more=certificate(w, "5s" if FULL else "3s"))
    hello = client_hello()[:100].decode("latin-1")
    s = Siege("a ClientHello that stops half-way", w, world, tls=True, retries=5)
    s.crowd(count(100, 5000), [["reply", 1], ["send", "EHLO client.test\r\nSTARTTLS\r\n"], ["reply", 2], ["send", hello], ["hold"]])
    s.hold(count(7, 20), gone=True).end()
    must(s.ends["closed by the server"] >= count(90, 2000), "closed", s.ends)
    must(s.during["glacis_tls_handshakes"] <= 2048, "bounded", s.during["glacis_tls_handshakes"])


@shows("slow readers: commands for ever, replies never read: input stops, memory is bounded, they are ended")
def slow_readers(w):
    world = besieged(w, "command_timeout: %s" % ("20s" if FULL else "3s"))
    s = Siege("pipelined commands, no reply ever read", w, world)
    s.each = 48                     # 16 KiB of replies, 16 KiB of commands (LIM-07, PIP-14), a session
    s.crowd(count(60, 2000), [["reply", 1], ["send", "EHLO client.test\r\n"], ["deaf"],
                              ["flood", "MAIL FROM:<a@none.test>\r\nRSET\r\n"]], rate=count(500, 500))
    s.hold(count(5, 30), gone=True).end(relieved=60)


# ---- floods ----

@shows("floods of connections from one address, one network, everywhere: limits answer, mail flows")
def floods(w):
    world = besieged(w)
    total = count(400, 20000)
    for name, addresses, net in (("from one address", 1, "127.22"), ("from one network", 250, "127.23"),
                                 ("from everywhere", 5000, "127.24")):
        s = Siege("flood of connections " + name, w, world)
        s.crowd(count(100, 1000), [["reply", 1], ["send", "QUIT\r\n"], ["hold"]], net=net, addresses=addresses, total=total,
                rate=count(500, 1000)).hold(1).end()
        must(s.opened == total, "all came", s.opened)


@shows("the house is full: 421 for newcomers, silent ones are ended sooner, and good mail gets in at its next try")
def full_house(w):
    most = count(150, 8000)
    world = besieged(w, "stress: {at: 80%%, command_timeout: 2s}, connections: %d" % most)
    s = Siege("as many silent connections as limits.connections", w, world, retries=60)
    s.crowd(most + 50, [["reply", 1], ["hold"]], total=3 * most, rate=count(200, 1000)).hold(count(1, 20)).end()
    # in the long mode stress ends the silent ones so soon that the house is never full
    must(FULL or any(t.startswith("421 4.3.2") for t in s.saw), "421 4.3.2 for some", s.saw)
    must(any(t.startswith("421 4.4.2") for t in s.saw), "421 4.4.2 for the silent ones, long before command_timeout", s.saw)


@shows("one network (/24) with silent connections from many addresses: it gets its share of the house and no more")
def one_network(w):
    most = count(200, 8000)
    world = besieged(w, "stress: {at: 50%%, command_timeout: 60s}, connections_per_client: %d, connections: %d" % (
        count(5, 50), most))
    s = Siege("silent connections from one network", w, world)
    s.crowd(most, [["reply", 1], ["hold"]], net="127.26", addresses=250, total=2 * most, rate=count(100, 1500))
    s.hold(count(1, 10)).end()
    refused = s.during["glacis_connections_refused_total{limit=\"per_network\"}"]
    must(refused > 50, "refused", refused)
    must(any(t.startswith("421 4.7.0") for t in s.saw), "421 4.7.0", s.saw)
    must(s.during["glacis_sessions"] < most * 3 / 4, "the house is not full", s.during["glacis_sessions"])


@shows("a flood of handshakes, all at once: spread over the turns, others are served in between")
def handshakes(w):
    world = besieged(w, more=certificate(w, "15s"))
    hello = client_hello().decode("latin-1")
    s = Siege("whole ClientHellos at once", w, world, tls=True, retries=5)
    s.crowd(count(200, 1000), [["reply", 1], ["send", "EHLO client.test\r\nSTARTTLS\r\n"], ["reply", 2], ["send", hello], ["hold"]],
            rate=5000)
    s.hold(count(2, 5))
    print("    longest turn: %d us" % (1e6 * s.during["glacis_longest_turn_seconds"]))
    s.end()


# ---- the DNS of strangers ----

def hostile(dns):
    """Records published to make others ask."""
    dns.forward("hostile.test", None)
    for n in range(11):
        dns.add("inc%d.hostile.test" % n, "TXT", "v=spf1 a:%%{l}.%d.x.hostile.test exists:%%{i}.%%{l}.%d.y.hostile.test "
                "mx:many.hostile.test include:inc%d.hostile.test ~all" % (n, n, n + 1))
    dns.add("include.hostile.test", "TXT", "v=spf1 include:inc0.hostile.test include:inc1.hostile.test ~all")
    dns.add("void.hostile.test", "TXT", "v=spf1 " + " ".join("a:%%{l}%d.void.hostile.test" % n for n in range(10)) + " ~all")
    dns.add("exists.hostile.test", "TXT", "v=spf1 " + " ".join("exists:%%{ir}.%%{l}.%d.e.hostile.test" % n for n in range(10)) + " ~all")
    dns.add("*.e.hostile.test", "TXT", "x")
    dns.add("names.hostile.test", "TXT", "v=spf1 " + " ".join("a:%%{l}.%d.x.hostile.test" % n for n in range(10)) + " ~all")
    dns.add("mx.hostile.test", "TXT", "v=spf1 mx:many.hostile.test -all")
    dns.add("many.hostile.test", "MX", *["10 h%d.x.hostile.test" % n for n in range(40)])
    dns.add("mxs.hostile.test", "TXT", "v=spf1 " + " ".join("mx:ten%d.hostile.test" % n for n in range(10)) + " ~all")
    for k in range(10):
        dns.add("ten%d.hostile.test" % k, "MX", *["10 h%d.k%d.x.hostile.test" % (n, k) for n in range(10)])
    dns.add("*.x.hostile.test", "A", "127.250.0.1")
    for domain in ("include", "void", "exists", "names", "mx", "mxs"):
        dns.add(domain + ".hostile.test", "A", "127.250.0.1")
    dns.add("long.hostile.test", "TXT", "v=spf1 " + "ip4:10.0.0.1 " * 600 + "-all")


def spf_siege(w, name, domain, least):
    world = besieged(w)
    dns = world[2]
    hostile(dns)
    dns.clear()
    s = Siege(name, w, world)
    s.mail_of_attackers = True
    many = "".join("RCPT TO:<r%d@example.test>\r\n" % n for n in range(100))
    s.crowd(count(20, 300), [["reply", 1], ["send", "EHLO client.test\r\nMAIL FROM:<u{i}@%s>\r\n" % domain + many], ["reply", 102],
                             ["send", "QUIT\r\n"], ["hold"]], net="127.30", rate=count(50, 50))
    s.hold(1).end(share=count(100, 90))     # 5,000 recipients a second: 451 for those who wait for queue_wait
    asked = sum(1 for _, n, _, _ in dns.questions if n.endswith("hostile.test")) / s.opened
    print("    %.1f questions to the hostile domain for each session with 100 recipients" % asked)
    must(least <= asked <= 130, "as many as SPF allows, once, however many recipients", asked)


@shows("hostile SPF, includes x macros x 100 recipients: the limits of RFC 7208 once a session, not once a recipient")
def spf_includes(w):
    spf_siege(w, "SPF: includes, macros, mx; 100 recipients", "include.hostile.test", 1)


@shows("hostile SPF, void look-ups: two, then permerror")
def spf_void(w):
    spf_siege(w, "SPF: void look-ups; 100 recipients", "void.hostile.test", 1)


@shows("hostile SPF, ten exists of names never asked before")
def spf_exists(w):
    spf_siege(w, "SPF: ten `exists` with macros; 100 recipients", "exists.hostile.test", 1)


@shows("hostile SPF, ten names never asked before, each of which exists")
def spf_names(w):
    spf_siege(w, "SPF: ten names with macros; 100 recipients", "names.hostile.test", 10)


@shows("hostile SPF, an MX of forty names, and ten of ten")
def spf_mx(w):
    spf_siege(w, "SPF: an MX of forty names; 100 recipients", "mx.hostile.test", 0)
    spf_siege(w, "SPF: ten MX of ten names; 100 recipients", "mxs.hostile.test", count(1, 0))    # the same ones: cached


@shows("a cache filled with names never asked before: its cap holds, mail flows")
def cache_exhaustion(w):
    world = besieged(w, dns_more=", timeout: 5s, cache: {entries: 2000}")
    dns = world[2]
    hostile(dns)
    s = Siege("names without end into a cache of 2,000", w, world)
    s.mail_of_attackers = True
    s.crowd(count(40, 300), [["reply", 1], ["send", "EHLO client.test\r\n" + "".join(
        "MAIL FROM:<u{i}-%d@names.hostile.test>\r\nRCPT TO:<bob@example.test>\r\nRSET\r\n" % n for n in range(20))],
        ["reply", 61], ["send", "QUIT\r\n"], ["hold"]], net="127.31", rate=count(20, 20))
    s.hold(1).end()
    asked = sum(1 for _, n, _, _ in dns.questions if n.endswith("hostile.test"))
    print("    %d names" % asked)
    must(asked >= count(4000, 20000), "far more names than places", asked)


@shows("senders whose name servers never answer: their questions do not stand in the way of those of others")
def tar_pits(w):
    world = besieged(w, dns_more=", timeout: 2s, in_flight: %d" % count(16, 128))
    dns = world[2]
    dns.fault("tar.test", "silent")
    s = Siege("SPF records that never come, of names never asked before", w, world)
    s.crowd(count(60, 2000), [["reply", 1], ["send", "EHLO client.test\r\n" + "".join(
        "MAIL FROM:<a@n{i}x%d.tar.test>\r\nRSET\r\n" % n for n in range(20)) + "MAIL FROM:<a@n{i}.tar.test>\r\n"
        "RCPT TO:<bob@example.test>\r\n"], ["reply", 43], ["send", "QUIT\r\n"], ["hold"]],
        net="127.33", total=count(60, 8000), rate=count(60, 400))
    s.hold(1).end()
    must(s.asked() >= count(150, 5000), "far more questions than places", s.asked())
    must(FULL or s.median < 2, "half of the good sessions do not wait for a time-out of theirs", s.median)


@shows("a list that lies: it names everybody, with 255.255.255.255, with a text that is huge or full of control octets")
def list_poisoning(w):
    huge = "x" * 4000
    evil = "see\r\n250 2.0.0 accepted\r\n\x00\x1b[31m \x7f\xff \"quoted\" \\ http://evil.test/"
    world = besieged(w, lists=lab.a_list("huge", "huge.test") + lab.a_list("evil", "evil.test") + lab.a_list("wide", "wide.test"))
    dns = world[2]
    dns.add("*.huge.test", "A", "127.0.0.2")
    dns.add("*.huge.test", "TXT", huge, huge)
    dns.add("*.evil.test", "A", "127.0.0.3")
    dns.add("*.evil.test", "TXT", evil)
    dns.add("*.wide.test", "A", "255.255.255.255")
    s = Siege("lists that name everybody, with poisoned texts", w, world)
    s.crowd(count(30, 500), [["reply", 1], ["send", "EHLO client.test\r\n" + ENVELOPE], ["reply", 3], ["send", "QUIT\r\n"], ["hold"]],
            rate=count(100, 100))
    s.hold(1).end()
    lines = [l for l in s.saw if not l[:3].isdigit()]
    must(not lines and not any("\x1b" in l or "\0" in l or len(l) > 512 for l in s.saw), "whole, clean reply lines", s.saw)
    must(not any(l.startswith("250 2.0.0 accepted") for l in s.saw), "nothing injected", s.saw)
    clean_log(world[0])


@shows("many listed clients at once with a slow DNS: none of them is let through because the answer was late")
def late_answers(w):
    world = besieged(w, limits="connections_per_client: off")
    g, _, dns = world
    dns.delay = 0.5
    dns.fault("bl.test", "slow")
    s = Siege("listed clients at once, the list slow", w, world)
    crowd = count(100, 600)
    listed = [Client(g.smtp, source="127.0.2.%d" % (10 + n % 10), greet=False, timeout=60) for n in range(crowd)]
    for n, c in enumerate(listed):
        c.send(b"EHLO client.test\r\nMAIL FROM:<a%d@none.test>\r\nRCPT TO:<bob@example.test>\r\n" % n)
    codes = collections.Counter()
    for c in listed:
        for _ in range(3):
            c.reply()
        reply = c.reply()
        codes[reply.code + " " + reply.enhanced] += 1
        c.close()
    s.hold(0.5)
    must(not any(k.startswith("250") for k in codes), "none let through", codes)
    s.end(more=codes)


# ---- too much of everything ----

@shows("oversized lines, arguments, headers, recipients: each ends in its own refusal")
def oversized(w):
    world = besieged(w, "errors: 5, recipients: 100, message_size: 1MiB")
    many = "".join("RCPT TO:<r%d@example.test>\r\n" % n for n in range(130))
    rows = (("a line of a million octets", "EHLO " + "x" * 1000000 + "\r\n", "500"),
            ("a line without end", "y" * 3000000, None),
            ("an address of 2,000 octets", "EHLO a\r\nMAIL FROM:<" + "a" * 1500 + "@none.test>\r\n", "501"),
            ("parameters without end", "EHLO a\r\nMAIL FROM:<a@none.test>" + " X=1" * 400 + "\r\n", "555"),
            ("more recipients than allowed", "EHLO a\r\nMAIL FROM:<a@none.test>\r\n" + many, "452"),
            ("SIZE larger than life", "EHLO a\r\nMAIL FROM:<a@none.test> SIZE=99999999999999999999\r\n", None),
            ("a chunk larger than life", "EHLO a\r\nMAIL FROM:<a@none.test>\r\nRCPT TO:<b@example.test>\r\n"
                                         "BDAT 18446744073709551616 LAST\r\n", "501"))
    s = Siege("oversized lines, arguments, recipients", w, world)
    for number, (_, text, _) in enumerate(rows):
        s.crowd(count(5, 100), [["reply", 1], ["send", text], ["hold"]], net="127.%d" % (40 + number), rate=100)
    s.hold(count(1, 3)).end()
    codes = {l[:3] for l in s.saw}
    for what, _, code in rows:
        must(code is None or code in codes, "%s: %s" % (what, code), s.saw)


@shows("header bombs: 100,000 header lines, one line of 10 MB, as many Received lines: refused within bounds")
def header_bombs(w):
    world = besieged(w, "message_size: 20MiB")
    s = Siege("100,000 header lines; one of 10 MB", w, world)
    start = "EHLO client.test\r\n" + ENVELOPE + "DATA\r\n"
    begin = [["reply", 1], ["send", start], ["reply", 4]]
    s.crowd(count(4, 50), begin + [["send", "X: y\r\n", 100000], ["send", "\r\nbody\r\n.\r\n"], ["reply", 1], ["hold"]],
            net="127.50")
    s.crowd(count(2, 20), begin + [["send", "X: "], ["send", "y", 10000000], ["send", "\r\n\r\n.\r\n"], ["reply", 1], ["hold"]],
            net="127.51")
    s.crowd(count(4, 50), begin + [["send", "Received: by x\r\n", 200], ["send", "\r\n.\r\n"], ["reply", 1], ["hold"]],
            net="127.52")
    s.hold(count(1, 15)).end()
    for want in ("552 5.3.4", "554 5.4.6"):
        must(any(l.startswith(want) for l in s.saw), want, s.saw)


@shows("spool exhaustion: large messages in parallel get 452, small mail passes, all of it is given back")
def spool_exhaustion(w):
    world = besieged(w, "memory: 16MiB, spool: 24MiB, spool_memory: 64KiB, message_size: 8MiB")
    s = Siege("parallel large messages, more than the spool holds", w, world, retries=60)
    s.mail_of_attackers = True
    body = "x" * 76 + "\r\n"
    s.crowd(count(12, 100), [["reply", 1], ["send", "EHLO client.test\r\n" + ENVELOPE + "DATA\r\n"], ["reply", 4],
                             ["send", "Subject: x\r\n\r\n"], ["send", body, 52000], ["rest", 2], ["send", ".\r\n"], ["reply", 1], ["hold"]],
            net="127.60", rate=50)
    s.hold(count(1, 20))
    spool, memory = (s.most[k] for k in SPACE)
    must(0 < spool <= 24 * 1048576 and memory <= 16 * 1048576, "within limits", (spool, memory))
    s.end()
    must(any(l.startswith("452") for l in s.saw), "452 for some attackers", s.saw)
    must(s.g.metrics()["glacis_spool_errors_total"] == 0, "no error of a file")


@shows("hoarders: messages that fill limits.memory and then trickle; they are ended, and good mail gets in meanwhile")
def hoarders(w):
    world = besieged(w, "memory: %dMiB, message_size: 8MiB, stress: {at: 70%%, command_timeout: 3s}" % count(16, 256))
    s = Siege("messages that stop in the middle, as many as limits.memory holds", w, world, retries=60)
    s.each, s.big = 600, BIG + 256 * 1024       # what limits.memory allows
    body = "x" * 76 + "\r\n"
    # 500 KiB each: 256 in memory, 256 a block of the file; then an octet a second, with data_timeout and data_deadline far away
    s.crowd(count(60, 1000), [["reply", 1], ["send", "EHLO client.test\r\n" + ENVELOPE + "DATA\r\n"], ["reply", 4],
                              ["send", "Subject: x\r\n\r\n"], ["send", body, 6500], ["drip", "x", 1]], net="127.61", rate=count(30, 100))
    s.hold(count(7, 30))
    must(any(l.startswith("421 4.4.2") for l in s.end().saw), "ended for lack of pace", s.saw)


# ---- injection ----

def clean_log(g):
    """Every line is one JSON object without control octets."""
    for line in g.quiet_log().splitlines():
        must(not any(ord(ch) < 32 or ord(ch) == 127 for ch in line), "no control octets in the log", repr(line))
        event = json.loads(line)
        must(event.get("event") != "forged", "no forged line", line)


@shows("CR, LF, NUL, ESC, UTF-8 and log lines in every place a client can write: no line, header or reply is forged")
def injection(w):
    g, sink, dns = besieged(w)
    evil = "x\"}\n{\"event\":\"forged\",\"a\":\"\u2028\x1b[2J\x7f"
    dns.add("exp.hostile.test", "TXT", "v=spf1 exp=why.exp.hostile.test -all")
    dns.add("why.exp.hostile.test", "TXT", "no\r\nX-Injected: yes\r\n\x00\x1b[31m")
    dns.add("exp.hostile.test", "A", "127.250.0.1")
    dns.forward("exp.hostile.test", None)
    dns.forward("why.exp.hostile.test", None)
    places = [evil.encode(), b"a\rb", b"a\x00b", b"\x1b[31mred", "gr\u00fc\u00dfe.test".encode(), b"a\tb", b"[127.0.0.1]\r", b"\xff\xfe",
              b"a b c", b"x\" \"y", b"<script>alert(1)</script>", b"%n%s%x", b"${HOME}", b"{client.ip}"]
    before = len(sink.messages)
    for number, bad in enumerate(places):
        for form in (b"EHLO %s\r\n", b"EHLO ok.test\r\nMAIL FROM:<%s@none.test>\r\n", b"EHLO ok.test\r\nMAIL FROM:<a@%s>\r\n",
                     b"EHLO ok.test\r\nMAIL FROM:<a@none.test>\r\nRCPT TO:<%s@example.test>\r\n", b"XCLIENT NAME=%s\r\n", b"%s\r\n",
                     b"EHLO ok.test\r\nMAIL FROM:<a@none.test> ENVID=%s RET=HDRS\r\n"):
            with Client(g.smtp, source="127.70.0.%d" % (number + 1)) as c:
                c.send(form % bad + b"QUIT\r\n")
                try:
                    text = c.rest(20)
                except Lost:
                    text = b""
                for line in text.split(b"\r\n")[:-1]:
                    must(line[:3].isdigit() and all(32 <= o < 127 or o == 9 for o in line), "clean reply lines", line)
    content = b"Subject: x\r\nX-Glacis-Verdict: forged\r\nAuthentication-Results: mx.glacis.test; spf=pass\r\nX\x1b[31m: y\r\n\r\nbody\r\n"
    for helo in ("ok.test", "[127.0.0.1]", "x\";(comment)"):
        with Client(g.smtp, source="127.70.1.1") as c:
            c.hello(helo)
            c.cmd("MAIL FROM:<\"a b\\\"\"@none.test>")
            if c.cmd("RCPT TO:<bob@example.test>").code == "250":
                c.data(content)
    with Client(g.smtp, source="127.70.1.2") as c:
        c.hello("ok.test")
        c.cmd("MAIL FROM:<a@exp.hostile.test>")
        refused = c.cmd("RCPT TO:<bob@example.test>")
        must(refused.code == "550", "550", refused)
        must(all(32 <= o < 127 for l in refused.lines for o in l), "a clean explanation", refused.raw)
        must(b"\nX-Injected" not in refused.raw, "nothing of its own", refused.raw)
    for m in sink.messages[before:]:
        head = m.data.split(b"\r\n\r\n")[0]
        must(b"forged" not in head and b"X-Injected" not in head, "no forged header", head)
        top = head.split(b"Subject:")[0]
        must(all(32 <= o < 127 or o in (9, 10, 13) for o in top), "clean added headers", top)
    clean_log(g)


# ---- a server behind that stalls ----

class Staller:
    """A server whose handshake stops: connection n sends so many octets of its flight as `cuts[n]` says, then nothing."""

    def __init__(self, context, cuts):
        self.context, self.cuts = context, cuts
        self.stalled = []
        self.length = 0             # of the whole flight
        self.held = []
        self.lock = threading.Lock()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        self.held.append(sock)
        sock.settimeout(30)
        try:
            sock.sendall(b"220 inner ESMTP\r\n")
            sock.recv(4096)
            sock.sendall(b"250-inner\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
            if not sock.recv(4096).startswith(b"STARTTLS"):
                return
            sock.sendall(b"220 go\r\n")
            into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = self.context.wrap_bio(into, out, server_side=True)
            into.write(sock.recv(65536))
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            flight = out.read()
            with self.lock:
                cut = self.cuts[len(self.stalled) % len(self.cuts)]
                self.length = len(flight)
                self.stalled.append(cut)
            sock.sendall(flight[:cut])
            sock.recv(1)
        except OSError:
            pass

    def stop(self):
        self.listener.close()
        for sock in self.held:
            sock.close()


@shows("a server behind whose TLS handshake stops, after any number of octets: 451 at its deadline, nothing is left")
def server_stalls(w):
    cert, key = Authority(os.path.join(w.dir, "ca")).leaf("inner", ec=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    cuts = list(range(0, 1500, count(50, 4)))
    server = Staller(context, cuts)
    w.dns.append(server)
    sink = w.sink()
    text = w.config(sink, "limits: {ban: off, connections_per_client: off}")
    text = text.replace("127.0.0.1:%d" % sink.port, "127.0.0.1:%d" % server.port)
    g = w.glacis(text.replace("    tls: off\n", "    tls: required\n    connections: 1000\n    timeouts: {command: 5s}\n"
                                                "    health: off\n"))
    clients = [Client(g.smtp, source="127.80.%d.%d" % (n // 250, 1 + n % 250), timeout=60) for n in range(len(cuts))]
    for c in clients:
        c.send(b"EHLO client.test\r\nMAIL FROM:<a@none.test>\r\nRCPT TO:<bob@example.test>\r\n")
    codes = collections.Counter()
    for c in clients:
        codes[[c.reply(), c.reply(), c.reply()][2].code] += 1
        c.close()
    print("    stalled %d times, of a flight of %d octets; %s" % (len(server.stalled), server.length, dict(codes)))
    must(set(codes) == {"451"}, "451 for all", codes)
    must(len(set(server.stalled)) >= len(cuts) * 9 // 10, "every place was tried", len(set(server.stalled)))
    must(max(server.stalled) > server.length, "the whole flight too", server.length)
    # one connection at a time goes on learning the keywords
    wait_for(lambda: g.metrics()["glacis_sessions"] == 0 and g.metrics()["glacis_upstream_connections{state=\"connecting\"}"] <= 2,
             20, "all gone")


def table():
    if not ROWS:
        return
    lines = ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)] + ["| " + " | ".join(r) + " |" for r in ROWS]
    if os.environ.get("ATTACK_TABLE"):
        with open(os.environ["ATTACK_TABLE"], "a", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    try:
        run(beside=count(2, 1))
    finally:
        table()
