#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""29-explain.py - what `glacis explain` says is what the proxy does: random envelopes, each explained and then sent.

One policy, real DNS (lab.py); the same reply at the same command, by the same rule, with the same score and tags.
EXPLAIN_SECONDS says for how long (4), EXPLAIN_SEED which envelopes: without one each run has its own, and names it.
"""
import json
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import Lost, wait_for
from lab import MESSAGE, Lab, a_list
from tlsclient import Authority, TlsClient

SECONDS = float(os.environ.get("EXPLAIN_SECONDS", "4"))
SEED = int(os.environ.get("EXPLAIN_SEED", str(int(time.time()))))
ULID = re.compile(r" \[[0-9A-HJKMNP-TV-Z]{26}\]")

GROUPS = """groups:
  allow_clients: [127.0.2.11, .fwd.test]
  block_clients: [127.0.6.0/24]
  allow_senders: ["@pass.test"]
  block_senders: [spam@none.test, "@soft.test"]
"""
BEFORE = """before:
  - {name: slow, when: {sender.local: slow}, then: [{tarpit: 30ms}, {score: 1.5}]}
  - {name: own, when: {sender.local: own}, then: [{tag: {X-For: "{recipient.address} {sender.local}"}}, {score: -2}]}
  - {name: aside, when: {sender.local: aside}, then: {divert: inner}}
  - {name: half, when: {sender.local: half}, then: reject, enforce_share: 50%}
  - {name: watched, when: {sender.local: watched}, then: reject, mode: monitor}
  - {name: literal, when: {helo.kind: literal}, then: {score: 3}}
  - {name: scored, when: {score: ">= 4"}, then: reject, reply: "550 5.7.1 {helo.name} has {score}\\nof {sender.address} at {client.ip}"}
  - {name: tagged, when: {recipient.wildcard: tag}, then: defer, reply: "451 4.7.1 {recipient.original} later"}
  - {name: nobody, when: {sender.null: true, helo.resolves: none}, then: drop}
  - {name: busy, when: {client.connections: "> 1"}, then: defer}
  - {name: grey, when: {sender.local: grey}, then: greylist, reply: "451 4.7.1 Later"}
  - {name: friend, when: {client.known_good: true, sender.local: friend}, then: accept}
  - {name: burst, when: {zero_day.burst: true, sender.local: burst}, then: defer}
"""
SOURCES = ("127.0.1.10", "127.0.1.30", "127.0.2.10", "127.0.2.11", "127.0.2.30", "127.0.5.5", "127.0.5.10", "127.0.6.1",
           "127.0.9.10", "127.0.9.30")
HELOS = ("mail.pass.test", "client.test", "gone.test", "bare", "[127.0.2.30]", "[127.0.0.1]", "mx.glacis.test", "fwd.test", "a_b.test",
         "[IPv6:::1]", "none.test", "x y", "", "-", "\u00e4.test", "MAIL.PASS.TEST.")
LOCALS = ("bob", "bob+tag", "Alice", "slow", "own", "aside", "half", "watched", "grey", "spam", "\"a b\"", "\"a@b\"", "a%b",
          "a!b", "postmaster", "abuse", "\u00e4", "a..b", "b" * 64, "b" * 65, "x\ty", "\"q\\\"\"", "a\x01b")
SENDERS = ("pass.test", "soft.test", "neutral.test", "broken.test", "none.test", "nullmx.test", "strict.test", "gone.test",
           "fwd.test", "PASS.test", "pass.test.", "[127.0.0.1]", "x", "\u00e4.test", "a_b.test", "-x.test", "a..test")
RCPTS = ("example.test", "listed.test", "Example.TEST.", "sub.wild.test", "wild.test", "elsewhere.test", "[192.0.2.1]", "x",
         "\u00e4.test")


class Rig(Lab):
    """A lab with all of it in one policy."""

    def __init__(self, w, more="", preset="preset: spf-first\n", greylist="1h"):
        with open(os.path.join(w.dir, "known"), "w", encoding="ascii") as f:
            f.write("bob@listed.test\nalice@listed.test\n")
        domains = "  example.test: inner\n  listed.test: {upstream: inner, validate: \"file:%s/known\"}\n" \
                  "  .wild.test: inner\n" % w.dir
        super().__init__(w, a_list() +
                         a_list("wl", "wl.test", "answers: {\"127.0.0.2-254\": -1}") +
                         a_list("later", "bl.test", "ask: late") + a_list("seen", "bl.test", "mode: monitor") +
                         a_list("err", "err.test"), preset + BEFORE,
                         GROUPS + more + "greylist: {delay: %s}\n" % greylist, guard="{sample: 0%, probe_interval: off, canaries: []}",
                         name="g")
        self.domains(domains)

    def domains(self, text):
        self.g.stop()
        self.g.write(self.config.replace("  example.test: inner\n", text, 1))
        self.g.start()

    def explain(self, envelope, *more):
        source, helo, sender, rcpt = envelope
        done = subprocess.run([self.g.program, "explain", "-c", self.g.path, "--json", "--ip", source, "--helo", helo, "--from",
                               sender, "--rcpt", rcpt, *more], capture_output=True, timeout=60, check=False)
        must(done.returncode == 0, "exit 0", "%s %r %r" % (done.returncode, done.stdout[-500:], done.stderr))
        return json.loads(done.stdout)



def sent(lab, envelope, context=None):
    """What the proxy does: (command, code, text, message at the sink); `context`: after STARTTLS."""
    source, helo, sender, rcpt = envelope
    before = len(lab.sink.messages)
    with TlsClient(lab.g.smtp, source=source) as c:
        r, at = c.greeting, "banner"
        if r.code == "220":
            r, at = c.cmd("EHLO " + helo), "EHLO"
        if r.code == "250" and context:
            c.starttls(context)
            r, at = c.cmd("EHLO " + helo), "EHLO"
        utf8 = any(ord(x) > 127 for x in sender + rcpt)
        if r.code == "250":
            r, at = c.cmd("MAIL FROM:<%s>%s" % (sender, " SMTPUTF8" if utf8 else "")), "MAIL"
        if r.code == "250":
            r, at = c.cmd("RCPT TO:<%s>" % rcpt), "RCPT"
        if r.code == "250":
            final = c.data(MESSAGE)
            must(final.code == "250", "the message is taken", final)
            wait_for(lambda: len(lab.sink.messages) > before, 10, "the message at the sink")
        try:
            c.cmd("QUIT")
        except Lost:
            pass
    message = lab.sink.messages[-1].data.decode("latin-1") if len(lab.sink.messages) > before else None
    return at, int(r.code), r.text, message


def fields(message):
    head = message.split("\r\n\r\n")[0].replace("\r\n ", " ").replace("\r\n\t", " ")
    return dict(l.split(":", 1) for l in head.split("\r\n"))


def plain(text):
    """A reply without its id; which lists had answered when the first one decided is a matter of time."""
    return re.sub(r"is listed by [^:]*:", "is listed by ...:", ULID.sub("", text))


def compare(lab, envelope, *more, context=None):
    """One envelope, explained and sent; returns who decided."""
    e = lab.explain(envelope, *more)
    v = e["verdict"]
    at, code, text, message = sent(lab, envelope, context)
    what = "%r\nexplain %s\nproxy %s %d %s" % (envelope, json.dumps(v), at, code, text)
    if v["mode"] == "monitor" or v["action"] in ("accept", "bypass", "divert"):
        must((at, code) == ("RCPT", 250), "accepted", what)
        head = fields(message)
        want = "%s; rule=%s; mode=%s" % (v["action"], v["rule"], v["mode"])
        must(head["X-Glacis-Verdict"].strip() == want, want, what + "\n" + head["X-Glacis-Verdict"])
        for name in ("X-Glacis-Score", "X-For"):
            must(head.get(name, "").strip() == e["tags"].get(name, ""), "the same " + name, "%s\n%s\n%s" % (what, head, e["tags"]))
        return v["rule"]
    must(at == v["at"], "at the same command", what)
    must((code, plain(text)) == (v["code"], plain(v["text"])), "the same reply", what)
    session = ULID.findall(text)
    if v["rule"] not in ("syntax", "relay control", "tls.mode"):
        line = wait_for(lambda: [l for l in lab.g.events("rcpt") + lab.g.events("refused")
                                 if l["session"] == session[-1][2:-1]], 10, "its line in the log")[0]
        must((line["rule"], line["verdict"]) == (v["rule"], v["action"]), "the same rule", "%s\n%s" % (what, line))
    return v["rule"]


def address(rnd, domains):
    kind = rnd.random()
    if kind < 0.03:
        return rnd.choice(("", "x", "a@b@c.test", "@", "a@", "@b.test", "@r.test:a@pass.test", "a b@pass.test"))
    return "%s@%s" % (rnd.choice(LOCALS if rnd.random() < 0.7 else LOCALS[:10]), rnd.choice(domains))


def envelope_of(rnd):
    """Mostly plausible: else nearly all would end as a mistake of syntax."""
    sender = "" if rnd.random() < 0.1 else address(rnd, SENDERS if rnd.random() < 0.4 else SENDERS[:9])
    rcpt = address(rnd, RCPTS) if rnd.random() < 0.4 else "%s@example.test" % rnd.choice(LOCALS[:3])
    return rnd.choice(SOURCES), rnd.choice(HELOS if rnd.random() < 0.3 else HELOS[:10]), sender, rcpt


def for_a_while(lab, seconds, *more):
    """Random envelopes; which rules decided, and how often."""
    rnd = random.Random(SEED)
    until = time.monotonic() + seconds
    seen, n = {}, 0
    while n < 20 or time.monotonic() < until:
        try:
            rule = compare(lab, envelope_of(rnd), *more)
        except Exception as e:
            raise AssertionError("EXPLAIN_SEED=%d, envelope %d: %s" % (SEED, n, e)) from e
        seen[rule] = seen.get(rule, 0) + 1
        n += 1
    print("    seed %d: %d envelopes, decided by %s" % (SEED, n, ", ".join(
        "%s %d" % (r, seen[r]) for r in sorted(seen, key=lambda r: -seen[r]))))
    return seen


@shows("B1: random envelopes: the reply, the command, the rule, the score and the tags are the proxy's")
def the_same(w):
    seen = for_a_while(Rig(w), SECONDS)
    must(len(seen) >= 4 and "relay control" in seen, "rules of several kinds", seen)


@shows("B1: the same with reject_at: earliest, at the banner and at MAIL")
def the_same_early(w):
    for_a_while(Rig(w, preset="preset: spf-first\nreject_at: earliest\n"), SECONDS / 2)


@shows("B1: and with mode: monitor, where nobody is refused by a rule")
def the_same_monitored(w):
    for_a_while(Rig(w, "mode: monitor\n"), SECONDS / 2)


@shows("B1: tls.mode: required: 530 at MAIL without TLS, and with TLS as ever")
def the_same_in_tls(w):
    ca = Authority(os.path.join(w.dir, "ca"))
    lab = Rig(w, "tls: {mode: required, certificate: %s, private_key: %s}\n" % ca.leaf("ec", ec=True))
    for sender in ("bob@pass.test", "a@b@c.test"):
        must(compare(lab, ("127.0.1.30", "mail.pass.test", sender, "bob@example.test")) == "tls.mode", "tls.mode")
    rnd = random.Random(SEED)
    for _ in range(8):
        compare(lab, envelope_of(rnd), "--tls", context=ca.context())


def verdict(lab, envelope, *more):
    v = lab.explain(envelope, *more)["verdict"]
    return v["action"], v["rule"]


def agreed(lab, envelope, wanted, seconds=15):
    """compare(), once the workers, which look at the modes of lists about once a second, have seen them."""
    end = time.monotonic() + seconds
    while True:
        try:
            got = compare(lab, envelope)
            if got == wanted or time.monotonic() > end:
                return got
        except AssertionError:
            if time.monotonic() > end:
                raise
        time.sleep(0.3)


@shows("B1: the running glacis is asked for its greylist, its lists by hand and standing; with --offline it is not")
def the_memory(w):
    lab = Rig(w, "known_good: {messages: 1, days: 1}\n", greylist="1s")
    grey = ("127.0.2.30", "client.test", "grey@none.test", "bob@example.test")
    # A shard of the memory that the recorder holds at that moment is unknown, and what is unknown holds nobody back.
    wait_for(lambda: any("were read" in l["msg"] for l in lab.g.events("snapshot")[-1:]), 10, "the memory was read")
    must(compare(lab, grey) == "grey", "held back")
    time.sleep(1.2)
    must(verdict(lab, grey, "--offline") == ("defer", "grey"), "everybody is new without an answer")
    must(compare(lab, grey) == "default", "its second time")
    listed = ("127.0.2.10", "client.test", "a@none.test", "bob@example.test")
    must(compare(lab, listed) == "reputation", "listed")
    for mode in ("off", "monitor", "auto"):
        for name in ("bl", "later"):
            done = subprocess.run([lab.g.program, "lists", "-c", lab.g.path, "set", name, mode], capture_output=True,
                                  timeout=30, check=False)
            must(done.returncode == 0, "set to " + mode, done)
        must(verdict(lab, listed, "--offline")[1] == "reputation", "--offline has the file's mode")
        wanted = "reputation" if mode == "auto" else "default"
        must(agreed(lab, listed, wanted) == wanted, "as it is now")
    friend = ("127.0.1.30", "mail.pass.test", "friend@pass.test", "bob@example.test")
    rule = compare(lab, friend)
    must(rule == "allowed-sender", "a stranger", rule)
    wait_for(lambda: verdict(lab, friend) == ("accept", "friend"), 10, "in good standing")
    must(compare(lab, friend) == "friend", "the proxy too")
    must(verdict(lab, friend, "--offline") == ("accept", "allowed-sender"), "and new without an answer")


if __name__ == "__main__":
    run()
