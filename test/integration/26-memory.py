#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""26-memory.py - what is remembered, end to end: greylist, good standing, first days, rates, kills, the database.

Time does not pass in these tests: a stopped glacis has its memory made older in the database (age()), which also
shows that it is kept over a restart.  Redis is in 28-redis.py.
"""
import contextlib
import glob
import http.client
import os
import random
import re
import signal
import sqlite3
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import Client, Lost, wait_for
from lab import MESSAGE, Lab, a_list

DAY = 86400
GREY = """preset: none
rules:
  - {name: grey, when: {recipient.local: bob}, then: greylist}
"""
ENTRY = struct.Struct("=16sIIBBH")          # state/tables_priv.h: struct entry
SEEN, STANDING, GREYLIST = 0, 1, 2
MORE = {SEEN: struct.Struct("=I"), STANDING: struct.Struct("=I8H8H"), GREYLIST: struct.Struct("=II")}
STRANGER = "a@none.test"


def database(g):
    return os.path.join(g.dir, "state", "memory.db")


def start(g):
    """Starts it, and waits until it has read its database."""
    def read():
        return sum("were read" in e["msg"] for e in g.events("snapshot"))
    before = read()
    g.start()
    wait_for(lambda: read() > before, 30, "the database read")


def age(g, seconds):
    """Stops it, makes everything it remembers older by that, and starts it again."""
    must(g.stop() == 0, "exit status 0", g.process.returncode)
    db = sqlite3.connect(database(g))
    must(db.execute("PRAGMA integrity_check").fetchone() == ("ok",), "a sound database")
    for tab, key, until, data in db.execute("SELECT tab, key, until, data FROM entries").fetchall():
        head, more = list(ENTRY.unpack_from(data)), list(MORE[tab].unpack_from(data, ENTRY.size))
        head[1:3] = [max(1, t - seconds) for t in head[1:3]]
        if tab == STANDING:
            more[1:9] = [d and d - seconds // DAY for d in more[1:9]]
        times = len(more) if tab != STANDING else 1
        more[:times] = [t and t - seconds for t in more[:times]]
        db.execute("UPDATE entries SET until = ?, data = ? WHERE tab = ? AND key = ?",
                   (until - seconds, ENTRY.pack(*head) + MORE[tab].pack(*more), tab, key))
    db.execute("UPDATE meta SET value = value - ? WHERE key = 'history'", (seconds,))
    db.commit()
    db.close()
    start(g)


def world(w, *args, **options):
    """A lab whose glacis has read its database: before that nothing is held against anybody."""
    lab = Lab(w, *args, **options)
    wait_for(lambda: lab.g.events("snapshot"), 10, "the database read")
    return lab


def vouched(lab, domain, *networks, end="-all"):
    """A domain that sends from these networks, and says so."""
    lab.dns.forward(domain, None)
    lab.dns.add(domain, "TXT", "v=spf1 %s %s" % (" ".join("ip4:" + n for n in networks), end))
    lab.dns.add(domain, "MX", "10 mail.pass.test")


def accepted(t, what=""):
    must(t.code == "250", "accepted %s" % what, t)
    return t


def greylisted(t):
    """How long it shall wait, in seconds."""
    must((t.code, t.enhanced) == ("451", "4.7.1"), "451 4.7.1", t)
    found = re.search(r"Greylisted: please try again in ((\d+)h)?((\d+)m)?((\d+)s)?", t.text)
    must(found, "how long to wait", t.text)
    return sum(int(found.group(g) or 0) * n for g, n in ((2, 3600), (4, 60), (6, 1)))


# ---- greylist ----

@shows("greylist: new 451; too early 451 with the time that remains; then passes and stays known, over restarts")
def triplet(w):
    lab = world(w, "", GREY, more="greylist: {delay: 2h, retry_within: 2d, remember: 36d}\n")
    first = greylisted(lab.send("127.0.2.30", STRANGER))
    must(7000 < first <= 7200, "about two hours", first)
    accepted(lab.send("127.0.2.30", STRANGER, rcpts=["carol@example.test"]), "where no rule says greylist")
    age(lab.g, 3600)
    second = greylisted(lab.send("127.0.2.30", STRANGER))
    must(3000 < second <= 3600, "an hour less", second)
    age(lab.g, 3601)
    accepted(lab.send("127.0.2.30", STRANGER))
    greylisted(lab.send("127.0.2.30", "b@none.test"))
    age(lab.g, 35 * DAY)
    accepted(lab.send("127.0.2.30", STRANGER), "35 days later")
    greylisted(lab.send("127.0.2.30", "b@none.test"))       # came back too late: it begins again
    age(lab.g, 35 * DAY)
    accepted(lab.send("127.0.2.30", STRANGER), "35 days after the last time")
    age(lab.g, 37 * DAY)
    greylisted(lab.send("127.0.2.30", STRANGER))
    seen = lab.g.metrics()
    must(seen['glacis_greylist_total{outcome="waits"}'] == 1, "counted", seen)


@shows("greylist: large pools that retry from another network of the same SPF domain pass at the second try")
def pools(w):
    lab = world(w, "", GREY, more="greylist: {delay: 1s}\n")
    vouched(lab, "google.test", "127.0.32.0/20", "127.0.64.0/19")
    lab.dns.forward("outlook.test", None)
    lab.dns.add("outlook.test", "TXT", "v=spf1 include:spf.outlook.test -all")
    vouched(lab, "spf.outlook.test", "127.1.0.0/16", "127.2.40.0/22")
    tries = {"google.test": ("127.0.33.7", "127.0.70.9", "127.0.47.200"),
             "outlook.test": ("127.1.5.1", "127.2.41.9", "127.1.200.3")}
    for domain, where in tries.items():
        greylisted(lab.send(where[0], "VERP+1@" + domain))
        time.sleep(2.1)
        accepted(lab.send(where[1], "verp+1@" + domain), "at the second try")
        accepted(lab.send(where[2], "verp+1@" + domain), "from then on, from everywhere")
        greylisted(lab.send(where[2], "verp+2@" + domain))


@shows("greylist without SPF: another address of the network passes, another network waits for itself")
def networks(w):
    lab = world(w, "", GREY, more="greylist: {delay: 1s, network: {ipv4: 20}}\n")
    greylisted(lab.send("127.0.16.30", STRANGER))
    time.sleep(2.1)
    greylisted(lab.send("127.0.33.30", STRANGER))
    accepted(lab.send("127.0.31.99", STRANGER), "from the same /20")


# ---- standing ----

GOOD = """preset: none
rules:
  - {name: seen, when: {client.first_seen: "> 12h"}, then: {tag: {X-Seen: "{client.first_seen}"}}}
  - {name: new, when: {client.first_seen: "<= 12h"}, then: {tag: {X-Seen: "new"}}}
  - {name: spf, when: {spf: pass}, then: {tag: {X-Spf: "pass"}}}
  - {name: good, when: {client.known_good: true}, then: [{tag: {X-Good: "{client.known_good}"}}, accept]}
  - {name: grey, when: {recipient.local: bob}, then: greylist}
"""


def standing(t):
    return "good" if t.field("X-Good") else "unknown"


@shows("good standing is earned on two days, belongs to SPF domain and address with name, skips greeting and greylist, and is lost")
def good(w):
    lab = world(w, "", GOOD, more="known_good: {messages: 3, days: 2, within: 36d}\n")
    carol = {"rcpts": ["carol@example.test"]}

    def send(source, sender):
        return accepted(lab.send(source, sender, **carol))
    must(send("127.0.1.30", "x@pass.test").field("X-Seen") == "new", "first contact")
    for _ in range(3):
        must(standing(send("127.0.1.30", "x@pass.test")) == "unknown", "three messages on one day are not enough")
        send("127.0.2.30", STRANGER)
    age(lab.g, DAY)
    t = send("127.0.1.30", "x@pass.test")
    must(standing(t) == "unknown" and t.field("X-Seen") not in ("new", None), "seen for a day, not yet good", t)
    send("127.0.2.30", STRANGER)
    must(standing(lab.send("127.0.2.30", "bounce@none.test")) == "good", "the address with its name: greylist skipped")
    greylisted(lab.send("127.0.1.77", "bounce@none.test"))      # A3: a neighbour is a stranger
    greylisted(lab.send("127.0.2.99", "bounce@none.test"))
    vouched(lab, "other.test", "127.0.77.0/24")
    greylisted(lab.send("127.0.77.1", "x@other.test"))
    lab.dns.add("away.test", "TXT", "unused")
    must(lab.g.stop() == 0, "exit 0", lab.g.process.returncode)
    lab.g.write(lab.config.replace("greet_delay: 0ms", "greet_delay: 30s"))
    start(lab.g)
    with Client(lab.g.smtp, source="127.0.2.31", timeout=15) as c:
        must(c.greeting.code == "220", "a neighbour greeted at once", c.greeting)
        with Client(lab.g.smtp, source="127.0.3.31", greet=False) as stranger:
            must(stranger.quiet(1.5), "a stranger waits", stranger.all)
    must(lab.g.stop() == 0, "exit 0", lab.g.process.returncode)
    lab.g.write(lab.config)
    start(lab.g)
    must(standing(send("127.0.1.30", "x@pass.test")) == "good", "still good after the restarts")
    lab.sink.clear([{"at": "DOT", "reply": "554 5.6.0 this is spam", "take": False, "times": 1}])
    must(lab.send("127.0.1.30", "x@pass.test", **carol).code == "554", "refused for its content")
    must(standing(send("127.0.1.30", "x@pass.test")) == "unknown", "a refusal ends it")
    must(standing(send("127.0.2.30", STRANGER)) == "good", "of nobody else")


@shows("the SPF-pass domain brings its standing along to a network never seen before")
def good_domain(w):
    lab = world(w, "", GOOD, more="known_good: {messages: 2, days: 1}\n")
    vouched(lab, "big.test", "127.0.32.0/20")
    for _ in range(2):
        must(standing(accepted(lab.send("127.0.33.1", "x@big.test", rcpts=["carol@example.test"]))) == "unknown", "unknown")
    must(standing(accepted(lab.send("127.0.40.1", "y@big.test"))) == "good", "known by its domain, greylist skipped")
    greylisted(lab.send("127.0.40.1", STRANGER))      # one message of that network is not enough by itself


@shows("reputation-known: a listed client in good standing is accepted with score 3, a listed stranger or neighbour is not")
def reputation_known(w):
    lab = world(w, a_list(zone="own.test"), more="known_good: {messages: 2, days: 1}\n",
                dns_more=", cache: {max_ttl: 1s, negative_ttl: 1s}")
    lab.dns.forward("own.test", None)
    lab.dns.add("ok.own.test", "A", "127.0.0.2")     # the zone exists, and lists nobody yet
    for _ in range(2):
        accepted(lab.send("127.0.2.30", STRANGER))
    for host in ("30.2.0.127", "31.2.0.127", "10.9.0.127"):
        lab.dns.add(host + ".own.test", "A", "127.0.0.2")
    time.sleep(1.2)
    t = accepted(lab.send("127.0.2.30", STRANGER))
    must(t.field("X-Glacis-Verdict") == "accept; rule=reputation-known; mode=enforce", "its rule", t)
    must(t.field("X-Glacis-Score") == "3.0" and "LIST_bl" in t.tests, "score and list", t)
    for stranger in ("127.0.2.31", "127.0.9.10"):
        t = lab.send(stranger, STRANGER)
        must((t.code, t.enhanced) == ("451", "4.7.1") and "listed by bl" in t.text, "a stranger is delayed", t)


# ---- first days ----

def reasons(t):
    accepted(t)
    said = [r.strip() for r in (t.field("X-Glacis-Zero-Day") or "").split(",") if r.strip()]
    must(all(("ZERO_DAY_" + r.upper()) in t.tests for r in said), "the same in X-Glacis-Tests", t)
    return said


@shows("zero-day: nothing while it learns; then fresh clients and domains, bursts and flagged lists are tagged and scored")
def zero_day(w):
    lab = world(w, a_list(more="zero_day: true, answers: {\"127.0.0.2-254\": 0.5}"))
    vouched(lab, "news.test", "127.0.50.0/23")
    vouched(lab, "big.test", "127.0.96.0/19", end="~all")
    vouched(lab, "young.test", "127.0.51.0/24")
    for name in ("mail.news.test", "out.big.test"):
        lab.dns.add(name, "A", "127.0.50.77")
    many = ["r%d@example.test" % i for i in range(15)]
    for source, sender in (("127.0.50.1", "n@news.test"), ("127.0.51.1", "n@news.test"), ("127.0.97.1", "x@big.test"),
                           ("127.0.2.30", STRANGER)):
        must(reasons(lab.send(source, sender)) == [], "not suspect while it learns")
    age(lab.g, 8 * DAY)
    must(reasons(lab.send("127.0.2.30", STRANGER)) == [], "known since before")
    t = lab.send("127.0.51.1", "x@young.test")
    must(reasons(t) == ["fresh_domain"] and t.field("X-Glacis-Score") == "0.0", "a new domain, vouched for: a tag alone", t)
    t = lab.send("127.0.2.31", STRANGER)
    must(reasons(t) == ["fresh_client"] and t.field("X-Glacis-Score") == "2.0", "a new client, nobody vouches: score 2", t)
    must("listed" in reasons(lab.send("127.0.2.10", STRANGER)), "a list that is flagged zero_day")

    # a newsletter: few networks, very many recipients and bounce addresses
    for i in range(24):
        t = lab.send("127.0.%d.1" % (50 + i % 2), "verp-%d@news.test" % i, rcpts=many, helo="mail.news.test")
        must(reasons(t) == [], "a newsletter is no burst", t)
    # a mailbox provider: very many networks; and a botnet that forges it and others
    for i in range(18):
        seen = reasons(lab.send("127.0.%d.9" % (100 + i), "x@big.test", helo="out.big.test"))
        must("burst" not in seen, "a provider is no burst", seen)
    for sender, helo in ((STRANGER, "bot.test"), ("x@big.test", "client.test")):
        seen = [reasons(lab.send("127.3.%d.1" % i, sender, helo=helo)) for i in range(14)]
        must(["burst" in r for r in seen].index(True) in (8, 9), "from the tenth network on", seen)
        must(all("burst" in r for r in seen[9:]), "all from then on", seen)
    t = lab.send("127.3.50.1", "other@soft.test", helo="bot.test")
    must("burst" in reasons(t) and float(t.field("X-Glacis-Score")) >= 2, "by the HELO alone, score 2", t)
    t = lab.send("127.0.100.9", "x@big.test", helo="out.big.test")
    must(reasons(t) in ([], ["fresh_client"]) and t.field("X-Glacis-Score") == "0.0", "who was forged is not suspect", t)


# ---- rates ----

def limited(w, limits, policy=GOOD, more="", **options):
    lab = world(w, "", policy, more="known_good: {messages: 1, days: 1}\ngreylist: {delay: 1s}\n" + more, limits=limits, **options)
    accepted(lab.send("127.0.2.30", STRANGER, rcpts=["carol@example.test"]))
    return lab


@shows("over limits.connection_rate: 421 4.7.0 with text; others, and clients in good standing, are served; no neighbours")
def connection_rate(w):
    lab = limited(w, "connection_rate: 3/1h")
    for source, expected in (("127.0.5.1", ["220"] * 3 + ["421"] * 2), ("127.0.5.2", ["220"] * 3), ("127.0.2.30", ["220"] * 8),
                             ("127.0.2.40", ["220"] * 3 + ["421"])):
        greetings = []
        for _ in expected:
            with Client(lab.g.smtp, source=source) as c:
                greetings.append(c.greeting)
        must([g.code for g in greetings] == expected, "%s of %s" % (expected, source), [str(g) for g in greetings])
        if expected[-1] == "421":
            must(greetings[-1].enhanced == "4.7.0" and "Too many connections" in greetings[-1].text, "a text", greetings[-1])
    must(lab.g.metrics()['glacis_connections_refused_total{limit="rate"}'] == 3, "counted", lab.g.metrics())


@shows("over limits.message_rate: 451 4.7.1 at RCPT with text; pipelined mail with an SPF pass is not counted")
def message_rate_spf(w):
    lab = world(w, "", GOOD, limits="message_rate: 2/1h", more="known_good: {messages: 1000}\n")
    vouched(lab, "fast.test", "127.0.6.0/24")
    carol = {"rcpts": ["carol@example.test"]}
    seen = [lab.send("127.0.5.1", STRANGER, **carol) for _ in range(4)]
    must([t.code for t in seen] == ["250", "250", "451", "451"], "two an hour", [str(t) for t in seen])
    must(seen[3].enhanced == "4.7.1" and "Too many messages" in seen[3].text, "a text", seen[3])
    accepted(lab.send("127.0.5.2", STRANGER, **carol), "from another client")
    for _ in range(5):
        accepted(lab.send("127.0.6.1", "x@fast.test", **carol), "with an SPF pass")
    with Client(lab.g.smtp, source="127.0.6.2") as c:
        c.hello()
        for _ in range(5):      # everything at once: SPF is not known when RCPT is read
            c.send(b"MAIL FROM:<x@fast.test>\r\nRCPT TO:<carol@example.test>\r\nDATA\r\n")
            must([c.reply().code for _ in range(3)] == ["250", "250", "354"], "accepted", c.all)
            c.send(MESSAGE + b".\r\n")
            must(c.reply().code == "250", "taken", c.all)


# ---- killed ----

class Load:
    """Clients that send until told to stop; what was refused, and how long the longest session took."""

    def __init__(self, lab, threads=4, rcpt="carol@example.test"):
        self.lab, self.rcpt = lab, rcpt
        self.stopping, self.sent, self.lost, self.refused, self.longest = False, 0, 0, [], 0.0
        self.threads = [threading.Thread(target=self._work, args=(i,), daemon=True) for i in range(threads)]
        for t in self.threads:
            t.start()

    def _work(self, number):
        count = 0
        while not self.stopping:
            count += 1
            begin = time.monotonic()
            try:
                with Client(self.lab.g.smtp, source="127.%d.%d.%d" % (20 + number, count // 200 % 200, 1 + count % 200)) as c:
                    c.hello("h%d.client.test" % count)
                    replies = c.envelope([self.rcpt], "s%d@none.test" % count) + [c.data(MESSAGE)]
                    bad = [str(r) for r in replies if r.code[0] != "2"]
                    self.refused += bad
                    self.sent += not bad
            except (Lost, OSError, IndexError):
                self.lost += 1
            self.longest = max(self.longest, time.monotonic() - begin)

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join(60)
        must(not any(t.is_alive() for t in self.threads), "the end of every session")
        return self


class Counters:
    """Reads /metrics again and again: counters never go back, gauges never below zero."""

    def __init__(self, g):
        self.g, self.last, self.reads = g, {}, 0

    def look(self):
        try:
            text = self.g.http("/metrics")[1]
        except (OSError, http.client.HTTPException):
            return {}       # the recorder is being replaced
        kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        values = {k: float(v) for k, v in re.findall(r"^([a-z]\S*) (\S+)$", text, re.M)}
        for name, value in values.items():
            must(0 <= value < 2 ** 50, "a sane number", (name, value))
            if kinds.get(name.split("{")[0]) == "counter":
                must(value >= self.last.get(name, 0), "%s does not go back" % name, (self.last.get(name), value))
        self.last = values
        self.reads += 1
        return values


def fill(g, rows):
    """A database with many entries, so that writing it takes a while."""
    db = sqlite3.connect(database(g))
    now, rng = int(time.time()), random.Random(26)
    for tab in (SEEN, GREYLIST):
        for _ in range(rows):
            key = rng.randbytes(16)
            more = MORE[tab].pack(*([now - 1000] * (1 if tab == SEEN else 2)))
            db.execute("INSERT INTO entries VALUES(?, ?, ?, 1, ?)",
                       (tab, key, now + 30 * DAY, ENTRY.pack(key, now + 30 * DAY, now, 0, 0, 0) + more))
    db.commit()
    db.close()


PRESET_AND_GREY = """after:
  - {name: grey, when: {recipient.local: grey}, then: greylist}
"""


def kill_if_there(pid):
    with contextlib.suppress(ProcessLookupError):   # ended by itself since it was listed
        os.kill(pid, signal.SIGKILL)


@shows("kill -9 of workers and of the writing recorder under load: mail goes on, counters hold, the database is sound")
def killed(w):
    lab = world(w, policy=PRESET_AND_GREY, more="greylist: {delay: 2h}\n")
    grey = {"rcpts": ["grey@example.test"]}
    greylisted(lab.send("127.0.2.30", STRANGER, **grey))
    lab.g.stop()
    fill(lab.g, 8000)
    start(lab.g)
    age(lab.g, 7201)
    accepted(lab.send("127.0.2.30", STRANGER, **grey))
    load, counters, rng = Load(lab), Counters(lab.g), random.Random(40)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        victims = lab.g.children("glacis-worker")
        if rng.random() < 0.6 and len(victims) > 1:
            kill_if_there(rng.choice(victims))
        else:
            lab.g.signal(signal.SIGHUP)     # the recorder is told to end: it writes everything
            time.sleep(rng.random() * 0.25)
            for pid in lab.g.children("glacis-recorder"):
                kill_if_there(pid)
        counters.look()
        time.sleep(0.3)
    sent = load.sent
    wait_for(lambda: load.sent > sent + 5, 20, "mail after the last kill")
    load.stop()
    must(not load.refused, "nothing refused", load.refused[:3])
    must(load.lost < 200 and load.sent > 20, "only what was in a killed worker is lost", (load.sent, load.lost))
    wait_for(lambda: counters.look().get("glacis_sessions") == 0, 15, "no session counted any more")
    must(counters.reads > 3, "metrics were read", counters.reads)
    accepted(lab.send("127.0.2.30", STRANGER, **grey), "known through all of it")
    age(lab.g, 60)      # stops, looks whether the database is sound, starts
    accepted(lab.send("127.0.2.30", STRANGER, **grey), "known after the restart")
    db = sqlite3.connect(database(lab.g))
    rows = dict(db.execute("SELECT tab, count(*) FROM entries GROUP BY tab").fetchall())
    db.close()
    must(rows[SEEN] >= 8000 and rows[GREYLIST] >= 8000, "all that was in it is still there", rows)


# ---- the database ----

def said(g, word):
    return wait_for(lambda: [e for e in g.events("snapshot") if word in e["msg"]], 10, "%r in the log" % word)


@shows("a database that is none, or damaged inside, is set aside and said; mail goes on, and a new one is written")
def broken(w):
    lab = world(w, "", GREY, more="greylist: {delay: 2h}\n")
    greylisted(lab.send("127.0.2.30", STRANGER))
    must(lab.g.stop() == 0, "exit 0", lab.g.process.returncode)
    fill(lab.g, 3000)
    with open(database(lab.g), "r+b") as f:
        size = f.seek(0, 2)
        for at in range(8192, size, 8192):
            f.seek(at)
            f.write(os.urandom(600))
    for kind in ("damaged", "no database"):
        if kind == "no database":
            with open(database(lab.g), "wb") as f:
                f.write(b"this is not SQLite\n" * 1000)
        lab.g.start()
        must(said(lab.g, "set aside")[0]["level"] == "error", "said loudly, %s" % kind, lab.g.events("snapshot"))
        greylisted(lab.send("127.0.2.30", STRANGER))
        accepted(lab.send("127.0.2.30", STRANGER, rcpts=["carol@example.test"]), kind)
        must(lab.g.stop() == 0, "exit 0", lab.g.process.returncode)
        db = sqlite3.connect(database(lab.g))
        must(db.execute("PRAGMA integrity_check").fetchone() == ("ok",), "a new one, sound")
        must(db.execute("SELECT count(*) FROM entries WHERE tab = 2").fetchone() == (1,), "with what was learned since")
        db.close()
        for path in glob.glob(database(lab.g) + ".broken-*"):
            os.rename(path, os.path.join(w.dir, "%s-%s" % (kind.replace(" ", "-"), os.path.basename(path))))
        os.truncate(lab.g.log_path, 0)
    must(len(glob.glob(os.path.join(w.dir, "*broken-*"))) >= 2, "both were kept", os.listdir(w.dir))


@shows("a database that cannot be opened, or whose folder vanishes: said and counted, mail goes on")
def unwritable(w):
    lab = world(w, "", GREY, more="greylist: {delay: 2h}\n")
    greylisted(lab.send("127.0.2.30", STRANGER))
    must(lab.g.stop() == 0, "exit 0", lab.g.process.returncode)
    os.rename(database(lab.g), os.path.join(w.dir, "kept.db"))
    os.mkdir(database(lab.g))
    lab.g.start()
    must(said(lab.g, "cannot be opened")[0]["level"] == "error", "said", lab.g.events("snapshot"))
    wait_for(lambda: lab.g.metrics().get("glacis_snapshot_errors_total", 0) >= 1, 5, "counted")
    accepted(lab.send("127.0.2.30", STRANGER, rcpts=["carol@example.test"]))
    greylisted(lab.send("127.0.2.30", STRANGER))
    lab.g.stop()
    os.rmdir(database(lab.g))
    os.rename(os.path.join(w.dir, "kept.db"), database(lab.g))
    lab.g.start()
    said(lab.g, "were read")
    os.truncate(lab.g.log_path, 0)
    os.rename(os.path.join(lab.g.dir, "state"), os.path.join(lab.g.dir, "gone"))
    accepted(lab.send("127.0.2.30", STRANGER, rcpts=["carol@example.test"]))
    greylisted(lab.send("127.0.2.30", "b@none.test"))
    must(lab.g.stop() == 0, "exit 0 without its folder", lab.g.process.returncode)
    must(said(lab.g, "cannot be opened"), "said")
    lab.g.start()       # makes the folder anew
    accepted(lab.send("127.0.2.30", STRANGER, rcpts=["carol@example.test"]))


@shows("a database removed under a running glacis is made again: nothing is written into the void")
def removed(w):
    lab = world(w, "", GREY, more="greylist: {delay: 2h}\n")
    said(lab.g, "were read")
    for path in glob.glob(database(lab.g) + "*"):
        os.unlink(path)
    greylisted(lab.send("127.0.2.30", STRANGER))
    age(lab.g, 7201)
    accepted(lab.send("127.0.2.30", STRANGER), "known after the restart")


@shows("all wait for the only server connection: who is in good standing gets it before the strangers who came first")
def queue(w):
    lab = world(w, "", "preset: none\nrules:\n  - {name: good, when: {client.known_good: true}, then: accept}\n",
                more="known_good: {messages: 1, days: 1}\n")
    must(lab.g.stop() == 0, "it ends")
    lab.g.write(lab.config.replace("workers: 2", "workers: 1").replace("    tls: off", "    tls: off\n    connections: 1"))
    start(lab.g)
    accepted(lab.send("127.0.1.10", "alice@pass.test"))
    lab.sink.rules = [{"at": "DOT", "times": 1, "delay": 3}]
    slow = threading.Thread(target=lambda: lab.send("127.0.2.30", STRANGER, rcpts=["slow@example.test"]))
    slow.start()
    waiting = [("127.0.%d.1" % i, STRANGER, "s%d" % i) for i in (3, 4, 5)] + [("127.0.1.10", "alice@pass.test", "good")]
    with contextlib.ExitStack() as stack:
        clients = []
        for source, sender, name in waiting:
            c = stack.enter_context(Client(lab.g.smtp, source=source))
            c.hello("client.test")
            must(c.cmd("MAIL FROM:<%s>" % sender).code == "250", "MAIL", c.all)
            wait_for(lambda n=len(clients): lab.g.metrics()["glacis_upstream_waiting"] >= n and
                     b"slow@" in lab.sink.octets(), 5, "those before in the queue")
            c.send(b"RCPT TO:<%s@example.test>\r\n" % name.encode())
            clients.append(c)
        wait_for(lambda: lab.g.metrics()["glacis_upstream_waiting"] >= len(waiting), 5, "all in the queue")
        for c in clients:
            must(c.reply(15).code == "250", "RCPT", c.all)
    slow.join()
    order = [n.decode() for n in re.findall(rb"RCPT TO:<(s\d|good)@", lab.sink.octets())]
    must(order[0] == "good" and sorted(order[1:]) == ["s3", "s4", "s5"], "the known one first", order)


if __name__ == "__main__":
    run(beside=2)
