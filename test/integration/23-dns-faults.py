#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""23-dns-faults.py - the DNS at its worst: silent, failing, lame, slow, truncated, garbage, poisoned, and 5,000
questions at once.  Nobody is refused for good because of it, the event loop does not stall, memory stays bounded.
"""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import Client, Lost, wait_for
from dnsserver import DnsServer, rdata
from lab import MESSAGE, Lab, a_list
from lab import config as lab_config

FAST = ", timeout: 300ms, attempts: 2"
CASES = [("127.0.1.30", "alice@pass.test"), ("127.0.2.30", "alice@pass.test"), ("127.0.2.10", "a@soft.test"),
         ("127.0.2.30", "a@none.test"), ("127.0.2.30", "a@nullmx.test"), ("127.0.2.30", "a@gone.test"), ("127.0.2.30", "")]
WELL = ["250", "550", "451", "250", "550", "450", "250"]
TURN_US = 1000000     # a sanitizer build on a busy machine; the number itself is printed


def at_once(g, cases, patience=30):
    """All these sessions at the same time, up to RCPT; the replies to RCPT."""
    clients = [Client(g.smtp, source=source, timeout=patience) for source, _ in cases]
    try:
        for c in clients:
            c.send(b"EHLO client.test\r\n")
        for c in clients:
            c.reply()
        for c, (_, sender) in zip(clients, cases):
            c.send(b"MAIL FROM:<%s>\r\nRCPT TO:<bob@example.test>\r\n" % sender.encode())
        out = []
        for c in clients:
            c.reply()
            out.append(c.reply())
        return out
    finally:
        for c in clients:
            c.close()


def turn(g, what):
    longest = 1e6 * g.metrics()["glacis_longest_turn_seconds"]
    print("    longest turn, %s: %d us" % (what, longest), flush=True)
    must(longest < TURN_US, "no stall of the loop", longest)


def codes(replies):
    return [r.code for r in replies]


# the list is asked again at once, and not when its breaker allows one trial
NO_BREAKER = "{sample: 0%, probe_interval: off, canaries: [], breaker: {failures: 10000, retry: 30s}}"


@shows("silent, SERVFAIL, lame, garbage, poisoned, headers alone: no permanent refusal, and all is well afterwards")
def faults(w):
    for how in ("silent", "servfail", "refused", "garbage", "poison", "empty"):
        lab = Lab(w, dns_more=FAST + ", cache: {failure_ttl: 1s}", name=how, guard=NO_BREAKER)
        lab.dns.fault("", how)
        seen = at_once(lab.g, CASES)
        must(all(r.code in ("250", "451", "450") for r in seen), "%s: no 5xx" % how, codes(seen))
        must(seen[3].code == "250", "%s: what nothing speaks against is accepted" % how, codes(seen))
        t = lab.send("127.0.2.30", "a@none.test")
        must("SPF_TEMPERROR" in t.tests and "spf=temperror" in t.header, "%s: temperror" % how, t)
        turn(lab.g, how)
        lab.dns.fault("", None)
        deadline = time.monotonic() + 60
        while codes(at_once(lab.g, CASES)) != WELL:
            must(time.monotonic() < deadline, "%s: well again" % how, codes(at_once(lab.g, CASES)))
            time.sleep(0.3)
        lab.g.stop()


@shows("truncated answers are asked for again over TCP; slow ones are waited for: the verdicts are the ordinary ones")
def slow(w):
    for how in ("truncated", "slow"):
        lab = Lab(w, dns_more=", timeout: 2s", name=how)
        lab.dns.delay = 0.4
        lab.dns.fault("", how)
        seen = at_once(lab.g, CASES)
        must(codes(seen) == WELL, "%s: %s" % (how, WELL), codes(seen))
        if how == "truncated":
            must(any(q[3] == "tcp" for q in lab.dns.questions), "TCP", lab.dns.questions)
        turn(lab.g, how)
        lab.g.stop()


@shows("a poisoned answer for another name is not believed: the list of the poisoner lists nobody")
def poisoned(w):
    lab = Lab(w, dns_more=FAST)
    lab.dns.fault("bl.test", "poison")
    t = lab.send("127.0.2.10", "a@none.test")
    must(t.code == "250" and not any(x.startswith("LIST_") for x in t.tests), "accepted, not listed", t)
    must(lab.send("127.0.1.30", "alice@pass.test").code == "250", "SPF works on")


@shows("one name server of two silent: the other one answers, and is soon preferred")
def failover(w):
    lab = Lab(w, dns_more=", timeout: 1s, attempts: 4")
    dead = Lab.silent(w)
    lab.g.stop()
    g = w.glacis(lab.config.replace("servers: [\"%s\"]" % lab.dns.address,
                                    "servers: [\"%s\", \"%s\"]" % (dead.address, lab.dns.address)), name="two")
    must(codes(at_once(g, CASES)) == WELL, "the ordinary verdicts", "others")
    must(dead.asked() > 0, "the dead one was asked")
    more = []
    for crowd in range(3):  # each worker has to find out for itself, and the first crowd may be what tells it
        asked = dead.asked()
        at_once(g, [("127.0.4%d.%d" % (crowd, i), "a@none.test") for i in range(40)])
        more.append(dead.asked() - asked)
    must(min(more[1:]) < 20, "the dead one is left alone", more)
    turn(g, "failover")


@shows("5,000 questions at once: answered in turn, none lost, loop and memory within bounds")
def many(w):
    lab = Lab(w, a_list() + a_list("b", "wl.test"), dns_more=", timeout: 10s, attempts: 3",
              upstreams="    connections: 500\n")
    lab.dns.forward("wide.test", None)
    lab.dns.add("wide.test", "TXT", "v=spf1 " + " ".join("a:%%{l}-a%d.%%{d}" % i for i in range(10)) + " ~all")
    lab.dns.add("wide.test", "A", "127.0.9.9")
    lab.dns.add("*.wide.test", "A", "127.0.9.9")
    lab.dns.fault("wide.test", "slow")
    lab.dns.delay = 0.1
    before = {p: rss(p) for p in lab.g.children("worker")}
    cases = [("127.0.%d.%d" % (50 + i // 100, 30 + i % 100), "u%d@wide.test" % i) for i in range(400)]
    seen = at_once(lab.g, cases, 60)
    must(set(codes(seen)) == {"250"}, "softfail and not listed: accepted", sorted(set(codes(seen))))
    m = lab.g.metrics()
    print("    questions: %d, at the server: %d" % (m["glacis_dns_questions_total"], len(lab.dns.questions)))
    must(len(lab.dns.questions) >= 5000, "5,000 questions", len(lab.dns.questions))
    must(m["glacis_dns_tempfails_total"] <= 50, "hardly one without an answer, on a busy machine too", {k: v for k, v in m.items() if "dns" in k and v})
    turn(lab.g, "5,000 questions")
    after = {p: rss(p) for p in lab.g.children("worker")}
    must(set(before) == set(after), "no worker died", (before, after))
    grown = max(after[p] - before[p] for p in before)
    print("    grown by %d KiB at most" % grown)
    must(grown < 80 * 1024, "memory bounded", grown)
    wait_for(lambda: lab.g.metrics()["glacis_dns_in_flight"] == 0, 20, "nothing in flight")


@shows("workers that stood still, as on a machine that is paused, read what came meanwhile before they miss it")
def paused(w):
    lab = Lab(w, a_list(more="timeout: 4s"))
    lab.dns.delay = 0.5
    lab.dns.fault("bl.test", "slow")
    workers = lab.g.children("worker")
    with Client(lab.g.smtp, source="127.0.2.10", greet=False) as c:
        c.send(b"EHLO client.test\r\nMAIL FROM:<a@none.test>\r\nRCPT TO:<bob@example.test>\r\n")
        wait_for(lambda: lab.dns.asked("bl.test"), 10, "the question")
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(5)       # the answer comes, and then the list's time is over
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        seen = [c.reply() for _ in range(4)][3]
    must(seen.code == "451" and "listed by bl" in seen.text, "the listed client stays out", seen)
    must(lab.g.children("worker") == workers, "nobody died", workers)


@shows("clients that vanish while everything is out leave nothing behind")
def vanished(w):
    lab = Lab(w, dns_more=", timeout: 3s, attempts: 1")
    lab.dns.fault("", "silent")
    clients = []
    for i in range(100):
        c = Client(lab.g.smtp, source="127.0.60.%d" % (i + 1))
        c.hello()
        c.send(b"MAIL FROM:<a@none.test>\r\nRCPT TO:<bob@example.test>\r\n")
        clients.append(c)
    for number, c in enumerate(clients):
        if number % 2:
            c.reset()
        else:
            c.close()
    wait_for(lambda: lab.g.metrics()["glacis_sessions"] == 0, 10, "all sessions gone")
    wait_for(lambda: lab.g.metrics()["glacis_dns_in_flight"] == 0, 10, "nothing in flight")
    lab.dns.fault("", None)

    def again():
        try:
            return lab.send("127.0.1.31", "alice@pass.test", content=MESSAGE).code == "250"
        except Lost:
            return False
    wait_for(again, 10, "well again")


def rss(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return int([l for l in f if l.startswith("VmRSS")][0].split()[1])


class NoEdns(DnsServer):
    """Refuses questions with EDNS, or does not answer them."""

    how = "refuses"

    def _answer(self, packet, peer):
        if packet[10:12] == b"\0\0":
            return super()._answer(packet, peer)
        return packet[:2] + b"\x80\x81" + b"\0" * 8 if self.how == "refuses" else None    # FORMERR, without the question


@shows("A16: a resolver that refuses EDNS, or drops it: every question is answered, and the log says it once")
def no_edns(w):
    for how in ("refuses", "drops"):
        dns = NoEdns().start()
        dns.how = how
        w.dns.append(dns)
        for i in range(30):
            dns.add("d%d.test" % i, "TXT", "v=spf1 %s -all" % ("ip4:127.0.0.0/8" if i % 2 else "ip4:192.0.2.1"))
        dns.add("long.test", "TXT", "v=spf1 " + "ip4:192.0.2.1 " * 60 + "ip4:127.0.0.0/8 -all")
        g = w.glacis(lab_config(w, w.sink(), dns, "", "preset: none\nrules: [{name: f, when: {spf: fail}, then: reject},"
                                " {name: t, when: {spf: temperror}, then: defer}]", dns_more=", timeout: 1s, attempts: 2"),
                     name=how)
        for _ in range(2 * len(g.children("worker"))):        # each worker learns it for itself
            codes_of(g, "127.3.3.3", "a@d0.test")
            time.sleep(0.3)
        seen = codes(at_once(g, [("127.3.3.%d" % (i + 1), "a@d%d.test" % i) for i in range(30)]))
        must(seen == ["550", "250"] * 15, "%s: each as its record says" % how, seen)
        must(codes_of(g, "127.3.3.3", "a@long.test") == "250", "%s: a long answer, by TCP" % how)
        said = g.log_text().count("dns_server_quirk")
        must(1 <= said <= len(g.children("worker")), "%s: said once by each worker" % how, said)


class Strangers(DnsServer):
    """*.attacker.test has an SPF record of nine mx, each of ten hosts below victim.test that were never asked for."""

    hosts = None            # "A": they exist, elsewhere; None: they do not

    def _records(self, name, kind):
        if name.endswith(".attacker.test") and kind == "TXT":
            terms = " ".join("mx:m%d.%s" % (i, name) for i in range(9))
            return True, [(name, kind, rdata("TXT", "v=spf1 %s -all" % terms))]
        if name.endswith(".attacker.test") and kind == "MX":
            return True, [(name, kind, rdata("MX", "10 h%d.%s.victim.test" % (i, name.partition(".attacker")[0])))
                          for i in range(10)]
        if name.endswith(".victim.test"):
            return bool(self.hosts), [(name, "A", rdata("A", "203.0.113.1"))] if self.hosts and kind == "A" else []
        return super()._records(name, kind)


def besiege(g, seconds, sources):
    """MAIL and RCPT of ever new senders as fast as they are answered; (MAILs, octets sent, codes of RCPT)."""
    clients = [Client(g.smtp, source=s, timeout=30) for s in sources]
    for c in clients:
        c.hello("x")
    mails, octets, codes, end = 0, 0, {}, time.monotonic() + seconds
    while time.monotonic() < end and clients:
        for c in list(clients):
            lines = b"MAIL FROM:<a@n%d.attacker.test>\r\nRCPT TO:<bob@example.test>\r\nRSET\r\n" % mails
            try:
                c.send(lines)
            except OSError:
                clients.remove(c)
                continue
            mails, octets = mails + 1, octets + len(lines)
        for c in list(clients):
            try:
                c.reply()
                code = c.reply().code
                c.reply()
                codes[code] = codes.get(code, 0) + 1
            except Lost:
                clients.remove(c)
                clients.append(Client(g.smtp, source=sources[0], timeout=30))
                clients[-1].hello("x")
    for c in clients:
        c.close()
    return mails, octets, codes


@shows("C11: what one client network can have asked of strangers: hosts of an mx, fresh each time, that exist or do not")
def strangers(w):
    for hosts, per_mail, most in (("A", 90, 3000), (None, 4, 200)):
        dns = Strangers().start()
        dns.hosts = hosts
        w.dns.append(dns)
        dns.add("good.test", "TXT", "v=spf1 ip4:127.0.0.0/8 -all")
        sink = w.sink()
        config = lab_config(w, sink, dns, "", "preset: none\nrules: [{name: f, when: {spf: [fail, permerror]}, then: reject},"
                            " {name: a, when: {client.ip: \"group:allow_clients\", helo.kind: invalid}, then: reject}]",
                            dns_more=", per_client: {questions: 3000/1m, failed: 200/1m}, timeout: 4s",
                            more="groups: {allow_clients: [\"127.7.7.7\"]}\nlog: {level: warn}\n")
        g = w.glacis(config, name="exist" if hosts else "void")
        besiege_one = Client(g.smtp, source="127.1.1.9", timeout=30)
        besiege_one.hello("x")
        besiege_one.cmd("MAIL FROM:<a@first.attacker.test>")
        besiege_one.cmd("RCPT TO:<bob@example.test>")
        besiege_one.close()
        one = dns.asked("victim.test")
        dns.clear()
        mails, octets, codes = besiege(g, 2, ["127.1.1.%d" % (i + 10) for i in range(8)])
        asked, total = dns.asked("victim.test"), dns.asked("attacker.test") + dns.asked("victim.test")
        print("    %s: one MAIL %d questions; %d MAILs, %d octets: %d at the stranger's, %d in all; RCPT %s" % (
            "hosts that exist" if hosts else "no such hosts", one, mails, octets, asked, total, codes), flush=True)
        must(one <= per_mail, "one MAIL: at most %d questions" % per_mail, one)
        must((total if hosts else asked) <= most * 1.3, "the pace of one network", (total, asked))
        must(codes.get("451", 0) > 10, "beyond it, 451", codes)
        must(g.metrics()["glacis_dns_paced_total"] > 10, "counted", g.metrics()["glacis_dns_paced_total"])
        must("dns_pace" in g.log_text(), "and said", g.log_text()[-1000:])
        must(codes_of(g, "127.2.2.2", "a@good.test") == "250", "another network is not concerned")
        dns.clear()
        codes_of(g, "127.7.7.7", "a@other.attacker.test")
        must(dns.asked("attacker.test") > 0, "nor is a client of allow_clients by what others failed", codes)


def codes_of(g, source, sender):
    with Client(g.smtp, source=source, timeout=30) as c:
        c.hello("x")
        c.cmd("MAIL FROM:<%s>" % sender)
        return c.cmd("RCPT TO:<bob@example.test>").code


if __name__ == "__main__":
    run()
