#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""27-lists.py - glacis lists: what an administrator sees of each list, and the word by hand, with a real rbldnsd.

A zone of its own for each check is rewritten under the running rbldnsd, so a list can begin to lie and stop.
"""
import json
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import dnsserver
from checks import must, run, shows
from client import Client, wait_for
from lab import Lab

SOA = "$SOA 1 ns.invalid root.invalid 1 60 60 60 1\n$NS 60 ns.invalid\n"
TRUTH = ":127.0.0.2:listed\n127.0.0.2\n127.0.2.10-19\n"
LIES = ":127.0.0.2:everybody is bad today\n127.0.0.0/8\n"
OTHER = ":127.0.0.2:listed\n127.0.0.2\n127.0.2.10-14\n"


class Lists(Lab):
    """A lab with the zones first.test and second.test in an rbldnsd of its own, or in that of another lab."""

    def __init__(self, w, lists, guard, more="", **options):
        self.files = os.path.join(w.dir, "rbl", "rbldnsd")
        self.rbldnsd = None
        super().__init__(w, "".join("    - {%s}\n" % l for l in lists), more=more, guard=guard,
                         dns_more=", cache: {max_ttl: 1s, negative_ttl: 1s}, timeout: 5s", **options)

    def serve(self, rbldnsd=None):
        os.makedirs(os.path.dirname(self.files), exist_ok=True)
        os.chmod(os.path.dirname(self.files), 0o755)
        self.rbldnsd = rbldnsd or dnsserver.rbldnsd(os.path.dirname(self.files), {"first.test": TRUTH, "second.test": OTHER})
        for zone in ("first.test", "second.test"):
            self.dns.forward(zone, self.rbldnsd.address)
        return self

    def become(self, text):
        """The zone first.test from now on; back once rbldnsd has read it."""
        with open(os.path.join(self.files, "list0"), "w", encoding="ascii") as f:
            f.write(SOA + text)
        wait_for(lambda: self.dns_says("77.7.0.127.first.test") == (text == LIES), 10, "rbldnsd reads its zone")

    def dns_says(self, name):
        packet = b"\0\7\1\0\0\1\0\0\0\0\0\0" + dnsserver.wire_name(name) + b"\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.sendto(packet, self.rbldnsd.address)
            try:
                return s.recv(4096)[7] > 0
            except OSError:
                return None

    def cli(self, *words, status=0):
        done = subprocess.run([self.g.program, "lists", *words, "-c", self.g.path], capture_output=True, text=True,
                              timeout=30, check=False)
        must(done.returncode == status, "exit status %d of lists %s" % (status, " ".join(words)),
             (done.returncode, done.stdout, done.stderr))
        return done.stdout + done.stderr

    def view(self, name="first"):
        return {l["name"]: l for l in json.loads(self.cli("--json"))}[name]

    def stranger(self, host, net=21):
        return self.send("127.0.%d.%d" % (net, host), "a@none.test").code



def lists(w, texts, guard="{sample: 0%, probe_interval: off, canaries: []}"):
    lab = Lists(w, texts, guard).serve()
    w.dns.append(lab.rbldnsd)       # it has a stop(), too
    return lab


FIRST = "name: first, zone: first.test, timeout: 18s"        # lab.a_list() says why
SECOND = "name: second, zone: second.test, timeout: 18s"


@shows("glacis lists: state, answers, hits now and usual, latency, alone and with others, the probe; words and JSON")
def what_is_seen(w):
    lab = lists(w, [FIRST, SECOND, "name: third, zone: bl.test, mode: monitor, probe: off",
                    "name: idle, zone: bl.test, mode: off"], "{sample: 0%, probe_interval: 10m, canaries: [127.0.2.30]}")
    for host, code in ((10, "451"), (16, "451"), (30, "250"), (31, "250"), (32, "250")):
        must(lab.stranger(host, 2) == code, "%s for 127.0.2.%d" % (code, host))
    wait_for(lambda: lab.view()["answers"] == 5, 5, "five answers counted")
    wait_for(lambda: lab.view()["hits_unique"] == 1, 5, "the witnesses counted")
    lab.cli("--test")
    one, two, third, idle = (lab.view(n) for n in ("first", "second", "third", "idle"))
    must((one["mode"], one["hits"], one["hits_1h"], one["hits_overlap"]) == ("enforce", 2, 2, 1), "two hits", one)
    must((two["hits"], two["hits_unique"], two["hits_overlap"]) == (1, 0, 1), "one hit, with the first", two)
    must(one["latency_p50_us"] > 0 and one["latency_p99_us"] >= one["latency_p50_us"], "a latency", one)
    must((one["probe_test"], one["probe_control"]) == ("listed", "not_listed"), "the probe", one)
    must((one["canaries_asked"], one["canaries_listed"]) == (1, 0), "the canary", one)
    must(abs(one["probed_at"] - time.time()) < 30, "probed now", one)
    must((third["mode"], third["answers"] > 0, third["probed_at"]) == ("monitor", True, 0), "monitored", third)
    must((idle["mode"], idle["answers"]) == ("off", 0), "the one that is off is not asked", idle)
    text = lab.cli()
    for part in ("first  enforce\n", "last hour: 5 answers, 40.0 % hits (usual: not known yet)", "latency: half below ",
                 "of these 1 it alone and 1 with another list", "correspondents in good standing: 0 asked about",
                 "ago: test entry listed, control not listed", "canaries ", "probe: the list has no test entries"):
        must(part in text, part, text)


@shows("a list that begins to list everybody: 451 for strangers, then demoted: log line, metric, glacis lists; and back")
def a_liar(w):
    lab = lists(w, [FIRST + ", probe: off", SECOND], "{sample: 0%, probe_interval: 10s, canaries: [], min_asked: 20}")
    must({lab.stranger(30, n) for n in range(20, 23)} == {"250"}, "a good day: all accepted")
    must(lab.g.metrics()['glacis_list_demoted{list="first"}'] == 0, "not demoted")
    lab.become(LIES)
    time.sleep(1.2)                 # the cache
    codes = [lab.stranger(h, 19) for h in range(30, 55)]
    must(set(codes) == {"451"} and lab.view()["demoted_at"] == 0, "A4: strangers are delayed; those of one network are one", codes)
    nets = iter(range(23, 250))
    codes = [lab.stranger(30, next(nets)) for _ in range(15)]
    must(set(codes) == {"451"}, "strangers are delayed at first", codes)
    wait_for(lambda: lab.view()["demoted_at"] > 0 or not lab.stranger(30, next(nets)), 10, "the demotion")
    wait_for(lambda: {lab.stranger(30, next(nets)) for _ in range(8)} == {"250"}, 10, "no worker delays anybody")
    event = lab.g.events("list_demoted")
    must(len(event) == 1 and event[0]["list"] == "first" and event[0]["level"] == "error", "one loud line", event)
    must("nearly everything" in event[0]["reason"] and " clients" in event[0]["numbers"], "why", event)
    metrics = lab.g.metrics()
    must(metrics['glacis_list_demoted{list="first"}'] == 1 and metrics['glacis_list_enforced{list="first"}'] == 0 and
         metrics['glacis_list_demoted{list="second"}'] == 0, "the metrics", metrics)
    text = lab.cli()
    must("first  monitor (the file says enforce)\n  DEMOTED to monitor for " in text and "says yes to nearly everything ("
         in text and "returns in " in text, "glacis lists says so", text)
    must(lab.view("second")["mode"] == "enforce" and lab.stranger(10, 2) == "451", "the other one works")
    lab.become(TRUTH)
    must("follows the file (enforce)" in lab.cli("set", "first", "auto"), "believed again by hand")
    wait_for(lambda: lab.stranger(16, 2) == "451", 10, "it is asked and believed")


@shows("a list that lists 127.0.0.1 is found by lists --test within seconds, with nobody delayed; a dead one is skipped")
def by_probe(w):
    lab = lists(w, [FIRST, "name: dead, zone: dead.test, timeout: 300ms"],
                "{sample: 0%, probe_interval: 10m, canaries: [], breaker: {failures: 3, retry: 600s}}")
    lab.dns.fault("dead.test", "silent")
    lab.cli("--test")
    must(lab.view()["mode"] == "enforce", "a good list stays", lab.view())
    lab.become(LIES)
    time.sleep(1.2)
    text = lab.cli("--test")
    must(lab.view()["mode"] == "monitor" and "which must not be listed (RFC 5782)" in text and
         "control listed" in text, "demoted by the probe", text)
    for host in range(30, 36):
        must(lab.stranger(host) == "250", "nobody is delayed")
    must(lab.view("dead")["broken_since"] > 0 and lab.view("dead")["timeouts_1h"] >= 3, "the breaker",
         lab.view("dead"))
    must("NO ANSWERS for" in lab.cli() and len(lab.g.events("list_broken")) == 1, "said")


@shows("lists set: over the file both ways, also for a list that is off; --for ends by itself; a restart keeps it")
def by_hand(w):
    lab = lists(w, [FIRST + ", probe: off", "name: spare, zone: second.test, mode: off, probe: off"])
    must(lab.stranger(16, 2) == "451" and lab.view("spare")["answers"] == 0, "as in the file")
    must("first is set to monitor; the file says enforce" in lab.cli("set", "first", "monitor"), "said")
    wait_for(lambda: lab.stranger(16, 2) == "250", 10, "only monitored")
    wait_for(lambda: "LIST_first" in lab.send("127.0.2.16", "a@none.test").watched, 5, "and tagged, by both workers")
    must("spare is set to enforce; the file says off" in lab.cli("set", "spare", "enforce"), "said")
    wait_for(lambda: lab.stranger(12, 2) == "451", 10, "the list that the file has off refuses")
    must(lab.g.stop() == 0, "a clean end")
    lab.g.start()
    wait_for(lambda: lab.stranger(12, 2) == "451" and lab.stranger(16, 2) == "250", 5, "the same after a restart")
    must((lab.view()["override"], lab.view("spare")["override"]) == ("monitor", "enforce"), "and shown")
    lab.cli("set", "first", "off")
    asked = lab.view()["answers"]
    wait_for(lambda: lab.view()["mode"] == "off", 5, "off")
    time.sleep(1.5)
    lab.stranger(17, 2)
    must(lab.view()["answers"] == asked, "not asked any more")
    must("for 8 s" in lab.cli("set", "first", "enforce", "--for", "8s"), "for a time")
    must("spare follows the file (off)" in lab.cli("set", "spare", "auto"), "said")
    wait_for(lambda: lab.stranger(16, 2) == "451" and lab.stranger(12, 2) == "451", 5, "enforced")
    wait_for(lambda: lab.view()["override"] == "auto" and len(lab.g.events("list_override")) >= 1, 12, "its end")
    must(lab.view()["mode"] == "enforce" and lab.view("spare")["mode"] == "off", "the file's modes again")
    must(len(lab.g.events("list_set")) == 5, "each word in the log", lab.g.events("list_set"))
    must("There is no list `fisrt`; did you mean `first`?" in lab.cli("set", "fisrt", "off", status=65), "an unknown list")
    must('--for: expected a duration such as 30m, 12h or 2d, at most 365d; found "soon"' in
         lab.cli("set", "first", "off", "--for", "soon", status=64), "a wrong time")
    must('unknown mode "perhaps"; expected enforce, monitor, off or auto' in lab.cli("set", "first", "perhaps", status=64), "a wrong mode")


@shows("A4: senders at addresses and in nonsense are no question for a domain list, and its breaker stays closed")
def odd_senders(w):
    lab = lists(w, ["name: dbl, zone: second.test, looks_up: [helo, sender], probe: off"])
    odd = ["192.0.2.%d" % i for i in range(20)] + ["[192.0.2.1]", "localhost", "a.1"]
    with Client(lab.g.smtp, source="127.0.2.40") as c:
        c.hello("[127.0.2.40]")
        c.send(b"".join(b"MAIL FROM:<a@%s>\r\nRCPT TO:<bob@example.test>\r\nRSET\r\n" % name.encode() for name in odd))
        replies = [c.reply().code for _ in range(3 * len(odd))]
    must(replies.count("250") >= 2 * len(odd), "answered", replies)
    must(lab.dns.asked("second.test") == 0, "nothing asked", lab.dns.questions)
    must(lab.view("dbl")["broken_since"] == 0 and lab.view("dbl")["errors"] == 0, "no failure", lab.view("dbl"))
    lab.stranger(40, 2)
    must(lab.dns.asked("none.test.second.test") == 1, "a real domain is asked about")


@shows("A5, A6: a silent allow-list has weight 0 and is logged loudly, and a pass waits for lists half a second")
def silent_voucher(w):
    lab = lists(w, [FIRST + ", probe: off", "name: wl, zone: quiet.test, answers: {127.0.0.2: -3}, timeout: 400ms, probe: off",
                    "name: slow, zone: slow.test, timeout: 18s, answers: {127.0.0.2: 0.5}, probe: off"],
                "{sample: 0%, probe_interval: off, canaries: [], min_asked: 1000}")
    lab.dns.fault("quiet.test", "silent")
    lab.dns.fault("slow.test", "silent")
    lab.become(LIES)
    must([lab.stranger(30, net) for net in range(20, 26)] == ["451"] * 6, "listed clients are delayed")
    said = wait_for(lambda: lab.g.events("list_no_effect"), 5, "a loud line")
    must({e["list"] for e in said} == {"wl"} and said[0]["level"] == "error" and said[0]["why"] == "no question is answered",
         "why", said)
    metrics = lab.g.metrics()
    must(metrics['glacis_list_no_effect{list="wl"}'] == 1 and metrics['glacis_list_no_effect{list="first"}'] == 0 and
         metrics['glacis_list_timeouts_total{list="wl"}'] >= 6, "the metrics", metrics)
    must("  NO EFFECT for " in lab.cli() and lab.view("wl")["no_effect"] == "no question is answered", "in glacis lists")
    line = [e for e in lab.g.events("rcpt") if e["client"] == "127.0.20.30"][0]
    must(line["list_answers"] == ["first=127.0.0.2", "wl=timeout"], "B3: each list's answer", line)
    started = time.monotonic()
    must(lab.send("127.0.1.30", "alice@pass.test").code == "250" and time.monotonic() - started < 6, "no wait of 18 s",
         time.monotonic() - started)


if __name__ == "__main__":
    run(beside=2)
