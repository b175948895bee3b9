#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""97-abuse.py - what a single client may cost: answers about recipients, commands, log lines, memory.

Each check is one session, or a few, that goes on for as long as it is let; shown is where it ends, what was told until
then, and how many octets of log it has caused.
"""
import collections
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import Client, Lost, wait_for

LIMITS = "limits: {ban: off, connections_per_client: off, refused_recipients: 10, recipients: 100}"
UNKNOWN = {"at": "RCPT", "match": "<no-", "reply": "550 5.1.1 no such user"}


def talk(c, commands, most=100000):
    """Replies by code until the session ends, or the commands do."""
    seen = collections.Counter()
    try:
        for command in commands:
            seen[c.cmd(command).code] += 1
            if sum(seen.values()) >= most:
                break
    except Lost:
        seen["lost"] += 1
    return seen


def log_of(g, client):
    """Octets of all lines about a client."""
    total, sessions = 0, set()
    for line in g.quiet_log().splitlines():
        event = json.loads(line)
        if event.get("client") == client:
            sessions.add(event.get("session"))
        total += len(line) + 1 if event.get("session") in sessions and event.get("session") else 0
    return total


def dictionary(number):
    return "RCPT TO:<no-%05d@example.test>" % number


def harvest(w):
    sink = w.sink()
    sink.rules = [UNKNOWN]
    return w.glacis(w.config(sink, LIMITS, server="private_clients: judge")), sink


@shows("a dictionary behind one accepted recipient: refused_recipients and recipients together are answered, then 452")
def behind_a_known_one(w):
    g, sink = harvest(w)
    with Client(g.smtp, source="127.0.3.1") as c:
        c.hello()
        c.cmd("MAIL FROM:<a@none.test>")
        must(c.cmd("RCPT TO:<postmaster@example.test>").code == "250", "postmaster is there")
        seen = talk(c, (dictionary(n) for n in range(500)))
    must(seen["550"] == 110 and seen["452"] == 390, "110 answers", seen)
    asked = sum(1 for s in sink.connections for line in s.commands if b"no-" in line)
    must(asked == 110, "110 questions to the server", asked)
    must(log_of(g, "127.0.3.1") < 110 * 600 + 4000, "log in proportion", log_of(g, "127.0.3.1"))


@shows("a dictionary cut into transactions by RSET and by EHLO ends like one in a single piece")
def cut_by_rset(w):
    g, _ = harvest(w)
    for source, cut in (("127.0.3.2", "RSET"), ("127.0.3.3", "EHLO again.test")):
        commands = []
        for n in range(60):
            commands += ["MAIL FROM:<a@none.test>", dictionary(n), cut]
        with Client(g.smtp, source=source) as c:
            c.hello()
            seen = talk(c, commands)
        must(seen["550"] == 9 or seen["550"] == 10, "ten answers", seen)
        must(seen["421"] == 1 or seen["lost"], "421", seen)


@shows("old addresses in a long list do no harm: after an accepted message the count begins anew")
def a_list_with_old_addresses(w):
    g, sink = harvest(w)
    with Client(g.smtp, source="127.0.3.4") as c:
        c.hello()
        for n in range(12):
            c.cmd("MAIL FROM:<a@none.test>")
            must(c.cmd("RCPT TO:<bob@example.test>").code == "250", "bob")
            seen = talk(c, (dictionary(20 * n + i) for i in range(20)))
            must(seen["550"] == 20, "refused one by one", seen)
            must(c.data(b"Subject: x\r\n\r\nhello\r\n").code == "250", "the message goes through")
    must(len(sink.messages) == 12, "all twelve", len(sink.messages))


@shows("greylisted again and again, a message each: put off is not refused for good")
def put_off_is_not_refused(w):
    sink = w.sink()
    sink.rules = [{"at": "RCPT", "match": "<later", "reply": "451 4.3.0 later"}]
    g = w.glacis(w.config(sink, LIMITS, server="private_clients: judge"))
    with Client(g.smtp, source="127.0.3.5") as c:
        c.hello()
        for n in range(40):
            c.cmd("MAIL FROM:<a@none.test>")
            must(c.cmd("RCPT TO:<later%d@example.test>" % n).code == "451", "451")
            must(c.cmd("RSET").code == "250", "and it may go on")


@shows("the same recipient for ever, and recipients over the limit for ever: both end")
def recipients_without_end(w):
    g, sink = harvest(w)
    for source, names in (("127.0.3.6", ["bob"]), ("127.0.3.7", ["u%d" % n for n in range(100)])):
        with Client(g.smtp, source=source, timeout=60) as c:
            c.hello()
            c.cmd("MAIL FROM:<a@none.test>")
            for name in names:
                must(c.cmd("RCPT TO:<%s@example.test>" % name).code == "250", "250")
            seen = collections.Counter()
            try:
                for _ in range(20):
                    c.send(b"RCPT TO:<bob@example.test>\r\n" * 500)
                    for _ in range(500):
                        seen[c.reply().code] += 1
            except (Lost, OSError):
                pass
        must(seen["421"] == 1 and sum(seen.values()) < 6000, "421 in the end", seen)
        must(log_of(g, source) < 4000, "nothing of it in the log", log_of(g, source))
    must(all(len(s.commands) < 300 for s in sink.connections), "nor at the server")


@shows("storms of NOOP, RSET, VRFY, HELP, EHLO, unknown verbs, empty transactions: each ends after a number, with few log lines")
def storms(w):
    g, _ = harvest(w)
    rows = (("NOOP", ["NOOP"], 102), ("VRFY", ["VRFY root"], 102), ("EHLO", ["EHLO a.test"], 102), ("HELP", ["HELP"], 102),
            ("EXPN", ["EXPN all"], 30), ("AUTH", ["AUTH PLAIN AGEAYg=="], 30), ("XCLIENT", ["XCLIENT ADDR=192.0.2.1"], 110),
            ("verbs", ["GARBAGE"], 30), ("bad MAIL", ["MAIL FROM:<a b>"], 30), ("RSET", ["MAIL FROM:<a@none.test>", "RSET"], 210),
            ("STARTTLS", ["STARTTLS"], 110))
    for number, (what, commands, most) in enumerate(rows):
        source = "127.0.4.%d" % (number + 1)
        with Client(g.smtp, source=source) as c:
            c.hello()
            seen = talk(c, commands * 1000)
        must(sum(seen.values()) <= most and (seen["421"] or seen["lost"]), "%s ends within %d" % (what, most), seen)
        must(not seen["235"] and not seen["334"], "nobody is let in", seen)
        must(log_of(g, source) < 3000, "%s: few octets of log" % what, log_of(g, source))


@shows("C10: MAIL that is too large or not ASCII, chunks of no octets: 421 soon, and points that ban in the end")
def without_progress(w):
    g = w.glacis(w.config(w.sink(), LIMITS.replace("ban: off", "ban: {points: 10, within: 10m, for: 10m}"),
                          server="private_clients: judge"))
    rows = (("552", [], "MAIL FROM:<a@none.test> SIZE=999999999999", 21), ("553", [], "MAIL FROM:<\u00e4@none.test>", 21),
            ("250", ["MAIL FROM:<a@none.test>", "RCPT TO:<bob@example.test>"], "BDAT 0", 101))
    for number, (code, before, command, most) in enumerate(rows):
        source = "127.0.6.%d" % (number + 1)
        for _ in range(2):      # five points each
            with Client(g.smtp, source=source) as c:
                c.hello()
                must(all(c.cmd(line).code == "250" for line in before), "the beginning")
                seen = talk(c, [command] * 1000)
            must(seen[code] <= most and seen["421"] == 1, "%s: at most %d of them" % (command, most), seen)
        with Client(g.smtp, source=source, greet=False) as c:
            must(c.reply().code == "421", "banned after %s" % command)


@shows("A15: clients in allow_clients are exempt from connection_rate, message_rate and bans; others are not")
def allowed_clients(w):
    limits = "limits: {ban: {points: 10}, connection_rate: 3/1h, message_rate: 1/1h, recipients: 100}\n"
    g = w.glacis(w.config(w.sink(), limits + 'groups: {allow_clients: ["127.0.7.1"]}', server="private_clients: judge"))

    def session(source, n):
        """The banner, the replies to `n` messages, and an HTTP request at last."""
        with Client(g.smtp, source=source, greet=False) as c:
            first = c.reply()
            if first.code != "220":
                return first.code, []
            c.hello()
            codes = []
            for _ in range(n):
                codes += [r.code for r in c.envelope()]
                codes.append(c.data(b"Subject: x\r\n\r\nhello\r\n").code if codes[-1] == "250" else c.cmd("RSET").code)
            c.send(b"GET / HTTP/1.1\r\n")
            return first.code, codes
    for _ in range(5):
        must(session("127.0.7.1", 2) == ("220", ["250"] * 6), "an allowed one goes on", session("127.0.7.1", 2))
    must(not g.events("ban"), "no ban", g.events("ban"))
    must(session("127.0.7.2", 2) == ("220", ["250", "250", "250", "250", "451", "250"]), "message_rate")
    must(session("127.0.7.2", 0)[0] == "421", "banned")
    must([session("127.0.7.3", 0)[0] for _ in range(1)] == ["220"] and len(g.events("ban")) == 2, "points of others")
    g = w.glacis(w.config(w.sink(), limits.replace("{points: 10}", "off"), server="private_clients: judge"), name="rate")
    must([session("127.0.7.4", 0)[0] for _ in range(4)] == ["220", "220", "220", "421"], "connection_rate of others")


@shows("bans: a harvester, a relay tester and a storm are banned for a while; 421 at connect, one line a second in the log")
def bans(w):
    sink = w.sink()
    sink.rules = [UNKNOWN]
    text = w.config(sink, LIMITS.replace("ban: off", "ban: {points: 10, within: 10m, for: 10m}"), server="private_clients: judge")
    g = w.glacis(text)
    attacks = {"127.0.5.1": ["MAIL FROM:<a@none.test>"] + [dictionary(n) for n in range(20)],
               "127.0.5.2": ["MAIL FROM:<a@none.test>"] + ["RCPT TO:<u%d@else.test>" % n for n in range(20)],
               "127.0.5.3": ["NOOP"] * 200}
    for source, commands in attacks.items():
        for _ in range(3):
            with Client(g.smtp, source=source, greet=False) as c:
                if c.reply().code != "220":
                    break
                c.hello()
                talk(c, commands)
        before = len(g.quiet_log())
        began = time.monotonic()
        for _ in range(100):
            with Client(g.smtp, source=source, greet=False) as c:
                must(c.reply().code == "421", "banned")
        lines = g.quiet_log()[before:].count("\n")
        must(lines < 10 + 2 * 2 * (1 + time.monotonic() - began), "a hundred refusals are a few lines", lines)
    with Client(g.smtp, source="127.0.5.9") as c:
        must(c.hello().code == "250", "a neighbour is not")


@shows("16 KiB of pipelined commands wait for an answer, and no more is read; each is answered in the end")
def pipelined_backlog(w):
    sink = w.sink()
    sink.rules = [{"at": "RCPT", "delay": 5}]
    text = w.config(sink, LIMITS, server="private_clients: judge", workers=1)
    g = w.glacis(text.replace("    tls: off\n", "    tls: off\n    connections: 500\n", 1))
    pid = g.children("glacis-worker")[0]

    def rss():
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
            return sum(int(l.split()[1]) for l in f if l.startswith("Private_Dirty:"))

    start = rss()
    crowd = []
    for n in range(200):
        c = Client(g.smtp, source="127.0.6.%d" % (n + 1), timeout=60)
        c.send(b"EHLO a.test\r\nMAIL FROM:<a@none.test>\r\nRCPT TO:<bob@example.test>\r\n" + b"NOOP 123456789\r\n" * 95 + b"QUIT\r\n"
               + b"x" * 100000)
        crowd.append(c)
    wait_for(lambda: g.metrics()["glacis_sessions"] >= 190, 10, "all there")
    grown = rss() - start
    if not sanitized(g):
        must(grown < 200 * 40, "less than 40 KiB for each", grown)
    for c in crowd:
        codes = collections.Counter(c.reply().code for _ in range(3 + 95 + 1))
        must(codes["250"] == 98 and codes["221"] == 1, "answered", codes)
        c.close()


def sanitized(g):
    with open("/proc/%d/maps" % g.process.pid, encoding="latin-1") as f:
        text = f.read()
    return "asan" in text or "7fff7000-" in text


if __name__ == "__main__":
    run()
