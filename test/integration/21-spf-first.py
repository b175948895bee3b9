#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""21-spf-first.py - the preset and every action of the policy, end to end: real clients, nsd and rbldnsd (lab.py).

What a sender is told, what the second filter reads, what the log says, and who was asked.
"""
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import Client, wait_for
from lab import KEY, MESSAGE, Lab, a_list

ULID = r" \[[0-9A-HJKMNP-TV-Z]{26}\]$"
OK = "alice@pass.test"


def refused(t, code, enhanced, *words, closed=True):
    must((t.code, t.enhanced) == (code, enhanced), "%s %s" % (code, enhanced), t)
    for word in words:
        must(word in t.text, "%r in the reply" % word, t.text)
    must(re.search(ULID, t.text), "the session's id at the end", t.text)
    must(t.closed == closed, "closed: %s" % closed, t)


def accepted(t, rule, *tests, mode="enforce"):
    must(t.code == "250" and t.field("X-Glacis-Verdict") == "accept; rule=%s; mode=%s" % (rule, mode),
         "accepted by %s" % rule, t)
    for test in tests:
        must(test in t.tests, test, t.tests)


# ---- the rows ----

@shows("SPF pass is accepted, and also if the client is listed: then with score 3")
def spf_pass(w):
    lab = Lab(w)
    t = lab.send("127.0.1.30", OK, helo="mail.pass.test")
    accepted(t, "spf-pass", "SPF_PASS")
    must(t.field("X-Glacis-Score") == "0.0" and t.field("X-Glacis-Level") is None, "score 0", t)
    must("spf=pass" in t.field("Authentication-Results") and "smtp.mailfrom=" in t.header, "Authentication-Results", t)
    t = lab.send("127.0.1.10", OK, helo="mail.pass.test")
    accepted(t, "spf-pass", "SPF_PASS", "LIST_bl", "RULE_vouched-but-listed")
    must(t.field("X-Glacis-Score") == "3.0" and t.field("X-Glacis-Level") == "***", "score 3", t)
    # two workers may write within one turn of the log writer, so their lines have no order
    txn = wait_for(lambda: [l for l in lab.g.events("txn") if l["client"] == "127.0.1.10"], 5, "its txn line")[0]
    must((txn["rule"], txn["spf"], txn["score"], txn["lists"]) == ("spf-pass", "pass", "3.0", ["bl"]), "the same in the log", txn)


@shows("SPF fail is dropped: 550 5.7.23 with address, domain and its explanation; the connection is closed")
def spf_fail(w):
    lab = Lab(w)
    t = lab.send("127.0.2.30", OK)
    refused(t, "550", "5.7.23", "127.0.2.30 may not send mail for pass.test",
            "127.0.2.30 is no server of pass.test; ask postmaster@pass.test")
    line = wait_for(lambda: lab.g.events("rcpt"), 5, "a rcpt line")[0]
    must((line["rule"], line["spf"], line["verdict"]) == ("spf-fail", "fail", "drop"), "the same in the log", line)
    must(wait_for(lambda: lab.g.events("close"), 5, "close")[0]["reason"] == "policy", "closed by policy", lab.g.events("close"))


@shows("nobody vouches and the client is listed: 451 4.7.1 with list, reason and way out, for each result of SPF")
def listed(w):
    lab = Lab(w)
    for sender, words in (("a@soft.test", ["(softfail)", "soft.test"]), ("a@neutral.test", ["(neutral)"]),
                          ("a@none.test", ["none.test has no SPF record"]), ("a@broken.test", ["(permerror)"])):
        t = lab.send("127.0.2.10", sender)
        refused(t, "451", "4.7.1", "127.0.2.10 is listed by bl", "listed, see https://bl.test/?ip=127.0.2.10",
                "Way out:", "Contact: https://why.glacis.test/", *words)
        t = lab.send("127.0.2.30", sender)
        accepted(t, "default")
    must(lab.g.metrics()['glacis_judgements_total{action="drop"}'] == 4, "four drops counted", lab.g.metrics())


@shows("the null sender is judged by its HELO: a fail of that is no SPF fail of a sender, but the lists are heard")
def null_sender(w):
    lab = Lab(w)
    accepted(lab.send("127.0.1.10", "", helo="mail.pass.test"), "spf-pass")
    accepted(lab.send("127.0.2.30", "", helo="strict.test"), "default", "SPF_FAIL")
    refused(lab.send("127.0.2.10", "", helo="strict.test"), "451", "4.7.1", "(fail)", "strict.test")


@shows("HELO: our names are refused with 550, odd ones score 1")
def helo(w):
    lab = Lab(w)
    for name in ("mx.glacis.test", "example.test"):
        refused(lab.send("127.0.2.30", "a@none.test", helo=name), "550", "5.7.1", name, "not yours (127.0.2.30)", closed=False)
    for name in ("friend", "nowhere.test", "not_a_name!"):
        t = lab.send("127.0.2.30", "a@none.test", helo=name)
        accepted(t, "default", "RULE_helo-odd")
        must(t.field("X-Glacis-Score") == "1.0", "score 1", t)


@shows("senders that nobody could answer (ADR-09): null MX 550 5.7.27, no such domain 450 4.1.8")
def senders(w):
    lab = Lab(w)
    refused(lab.send("127.0.2.30", "a@nullmx.test"), "550", "5.7.27", "nullmx.test", closed=False)
    refused(lab.send("127.0.2.30", "a@gone.test"), "450", "4.1.8", "gone.test", closed=False)


def early(lab, source, octets):
    """A client whose octets are there when it is accepted, and so before its banner, on any machine."""
    workers = lab.g.children("worker")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        c = Client(lab.g.smtp, source=source, greet=False)      # in the backlog
        c.send(octets)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    return c


@shows("who talks before the banner, or not SMTP at all, is dropped at RCPT; postmaster is still reached")
def what_servers_do_not(w):
    lab = Lab(w, greet_delay="300ms")
    with early(lab, "127.0.1.30", b"EHLO mail.pass.test\r\n") as c:
        c.reply()
        c.reply()
        c.cmd("MAIL FROM:<%s>" % OK)
        must(c.cmd("RCPT TO:<postmaster@example.test>").code == "250", "postmaster is reached")
        r = c.cmd("RCPT TO:<bob@example.test>")
        must(r.code == "554", "554, as a reject beside an accepted recipient", r)
        must(c.data(MESSAGE).code == "250", "the transaction is finished")
        must(c.rest() == b"", "then closed")
    with early(lab, "127.0.1.30", b"EHLO mail.pass.test\r\nMAIL FROM:<%s>\r\nRCPT TO:<bob@example.test>\r\n" % OK.encode()) as c:
        must(c.replies_to_end() == ["220", "250", "250", "554"], "554 and closed", c.all)
    with Client(lab.g.smtp, source="127.0.1.30") as c:
        for _ in range(3):
            c.send(b"EHLO mail.pass.test\r\nNOOP\r\n")      # nothing may follow EHLO before its reply
            c.reply()
            c.reply()
        c.cmd("MAIL FROM:<%s>" % OK)
        r = c.cmd("RCPT TO:<bob@example.test>")
        must((r.code, r.enhanced) == ("421", "4.7.0"), "421 4.7.0", r)
        must(c.rest() == b"", "closed")


@shows("groups from files: allowed and blocked clients and senders, forwarders; a changed file holds without a reload")
def groups(w):
    files = {"allow_clients": "127.0.2.11\n.fwd.test\n", "block_clients": "127.0.6.0/24 # a net\n",
             "allow_senders": "@pass.test\n", "block_senders": "spam@none.test\n@soft.test\n", "forwarders": "fwd.test\n"}
    for name, text in files.items():
        with open(os.path.join(w.dir, name), "w", encoding="ascii") as f:
            f.write(text)
    lab = Lab(w, more="groups: {%s}\n" % ", ".join("%s: \"file:%s/%s\"" % (n, w.dir, n) for n in files))
    t = lab.send("127.0.2.11", "a@none.test")
    must(t.field("X-Glacis-Verdict") == "bypass; rule=allowed-client; mode=enforce", "bypassed", t)
    refused(lab.send("127.0.6.1", OK), "550", "5.7.1", "You are blocked", "Contact: https://why.glacis.test/", closed=False)
    for sender in ("spam@none.test", "any@soft.test"):
        refused(lab.send("127.0.1.30", sender), "550", "5.7.1", "You are blocked", closed=False)
    accepted(lab.send("127.0.2.30", "ham@none.test"), "default")
    accepted(lab.send("127.0.1.30", OK), "allowed-sender")
    accepted(lab.send("127.0.5.5", OK), "forwarder", "SPF_FAIL")     # its verified name is in the file
    refused(lab.send("127.0.2.30", OK), "550", "5.7.23")
    with open(os.path.join(w.dir, "block_clients"), "w", encoding="ascii") as f:
        f.write("127.0.7.0/24\n")
    wait_for(lambda: lab.send("127.0.6.1", OK, rcpts=["postmaster@example.test"]).code == "250", 20, "the new file")
    wait_for(lambda: lab.g.events("generation_drained"), 10, "the last worker of the old generation to end")
    refused(lab.send("127.0.7.1", OK), "550", "5.7.1", "You are blocked", closed=False)


# ---- lists ----

@shows("lists: error answers and answers outside 127/8 are no listings; a negative weight takes a listing back")
def answers(w):
    lab = Lab(w, a_list("err", "err.test") + a_list("out", "out.test") + a_list() +
              a_list("wl", "wl.test", "answers: {\"127.0.0.2-254\": -1}"))
    accepted(lab.send("127.0.2.30", "a@none.test"), "default")
    must(lab.dns.asked("err.test") and lab.dns.asked("out.test"), "both were asked")
    accepted(lab.send("127.0.9.10", "a@none.test"), "default")
    refused(lab.send("127.0.2.10", "a@none.test"), "451", "4.7.1", "listed by bl:")


@shows("a list in monitor mode: accepted and tagged; and with its server silent nobody waits for it")
def monitored_list(w):
    lab = Lab(w, a_list(more="mode: monitor, timeout: 30s"), "budget: {mail: 60s, message: 60s}")
    # nobody waits for its answer, so here somebody does
    t = lab.send("127.0.2.10", "a@none.test", wait=lambda: wait_for(
        lambda: lab.g.metrics()['glacis_list_answers_total{list="bl"}'], 5, "an answer"))
    accepted(t, "default")
    must(t.watched == ["LIST_bl"] and "LIST_bl" not in t.tests, "B2: a field of its own", t)
    must(t.field("X-Glacis-Score") == "0.0", "no score", t)
    lab.dns.fault("bl.test", "silent")
    t = lab.send("127.0.2.11", "a@none.test", wait=lambda: wait_for(lambda: lab.dns.asked("11.2.0.127.bl.test"), 5, "a question"))
    accepted(t, "default")      # although the list could still take 30 s, more than the client's patience here
    must(not any(x.startswith("LIST_") for x in t.tests + t.watched), "no tag of it", t)


@shows("a late list is not asked for who has an SPF pass, and asked for all others (counted at the DNS server)")
def late(w):
    lab = Lab(w, a_list(more="ask: late"))
    for _ in range(3):
        accepted(lab.send("127.0.1.10", OK, helo="mail.pass.test"), "spf-pass")
    must(lab.dns.asked("bl.test") == 0, "no question", lab.dns.questions)
    refused(lab.send("127.0.2.30", OK), "550", "5.7.23")
    must(lab.dns.asked("bl.test") == 0, "no question for a fail either", lab.dns.questions)
    refused(lab.send("127.0.2.10", "a@none.test"), "451", "4.7.1", "bl")
    must(lab.dns.asked("bl.test", "A") == 1, "one question", lab.dns.questions)


@shows("mode: monitor for the file: everything is accepted, every would-be verdict is in tags and log")
def monitored_file(w):
    lab = Lab(w, more="mode: monitor\n")
    for source, sender, helo_name, rule, verdict in (
            ("127.0.2.30", OK, "client.test", "spf-fail", "drop"), ("127.0.2.10", "a@none.test", "client.test", "reputation", "drop"),
            ("127.0.2.30", "a@nullmx.test", "client.test", "sender-null-mx", "reject"),
            ("127.0.2.30", "a@gone.test", "client.test", "sender-unknown", "defer"),
            ("127.0.2.30", "a@none.test", "mx.glacis.test", "helo-impersonation", "reject"),
            ("127.0.1.10", OK, "mail.pass.test", "spf-pass", "accept")):
        t = lab.send(source, sender, helo=helo_name)
        must(t.code == "250" and t.field("X-Glacis-Verdict") == "%s; rule=%s; mode=monitor" % (verdict, rule), rule, t)
        wait_for(lambda r=rule, v=verdict: [e for e in lab.g.events("txn") if (e["rule"], e["verdict"]) == (r, v)], 5,
                 "%s in the log" % rule)
    must(not lab.g.events("rcpt"), "no refusal", lab.g.events("rcpt"))


@shows("the key inside a zone name is masked in the reply, the log, the metrics and check --print")
def masked(w):
    os.environ["DQS_KEY"] = KEY
    try:
        lab = Lab(w, a_list("dq", "${DQS_KEY}.dq.test"), more="log: {level: debug}\n")
        t = lab.send("127.0.2.10", "a@none.test")
        refused(t, "451", "4.7.1", "listed by dq")
        must(lab.dns.asked(KEY + ".dq.test"), "asked with the key")
        printed = subprocess.run([lab.g.program, "check", "--print", lab.g.path], capture_output=True, text=True, timeout=20,
                                 check=False)
        if "usage" in printed.stderr:
            printed = subprocess.run([lab.g.program, "check", "--print", "-c", lab.g.path], capture_output=True, text=True,
                                     timeout=20, check=False)
        must(printed.returncode == 0 and "spf-fail" in printed.stdout, "the rules", printed)
        explained = explain(lab.g, "127.0.2.10", "client.test", "a@none.test")
        must("reputation" in explained, "explained", explained)
    finally:
        del os.environ["DQS_KEY"]
    for what, text in (("reply", t.reply.text), ("log", lab.g.log_text()), ("metrics", lab.g.http("/metrics")[1]),
                       ("check", printed.stdout + printed.stderr), ("explain", explained), ("header", t.header)):
        must(KEY not in text, "no key in the %s" % what, text)


def explain(g, ip, helo_name, sender, *more):
    done = subprocess.run([g.program, "explain", "-c", g.path, "--json", "--ip", ip, "--helo", helo_name, "--from", sender,
                           "--rcpt", "bob@example.test", *more], capture_output=True, text=True, timeout=60, check=False)
    must(done.returncode == 0, "exit 0", "%s %s" % (done.returncode, done.stderr))
    return done.stdout + done.stderr


# ---- actions ----

RULES = """preset: none
rules:
  - {name: slow, when: {sender.local: slow}, then: {tarpit: 400ms}}
  - {name: own, when: {sender.local: own}, then: [{tag: {X-For: "{recipient.address}"}}, accept]}
  - {name: aside, when: {sender.local: aside}, then: {divert: other}}
  - {name: gone, when: {sender.local: gone}, then: drop}
  - {name: half, when: {sender.local: half}, then: reject, enforce_share: 50%}
  - {name: watched, when: {sender.local: watched}, then: reject, mode: monitor}
message_rules:
  - {name: big, when: {message.size: ">= 20000"}, then: reject}
  - {name: later, when: {message.from_local: later}, then: defer, reply: "451 4.7.9 try {message.from_local} again"}
  - {name: moved, when: {message.from_domain: moved.test}, then: {divert: other}}
  - {name: dropped, when: {message.from_local: dropped}, then: drop, reply: "554 5.7.8 no"}
"""


def two_upstreams(w, policy=RULES):
    other = w.sink(name="other.sink.test")
    return Lab(w, "", policy, upstreams="  other:\n    servers: [\"127.0.0.1:%d\"]\n    tls: off\n" % other.port), other


@shows("tarpit holds the reply back; divert delivers elsewhere with the envelope in headers; a ramp enforces for a share")
def actions(w):
    import time  # pylint: disable=import-outside-toplevel
    lab, other = two_upstreams(w)
    started = time.monotonic()
    accepted(lab.send("127.0.2.30", "slow@none.test"), "default", "RULE_slow")
    must(time.monotonic() - started >= 0.4, "400 ms at least", time.monotonic() - started)
    with Client(lab.g.smtp, source="127.0.2.30") as c:
        c.hello()
        must([r.code for r in c.envelope(sender="aside@none.test")] == ["250", "250"], "accepted", c.all)
        must(c.data(MESSAGE).code == "250", "taken", c.all)
    must(other.wait(lambda: len(other.messages) == 1), "the message at the other upstream", other.messages)
    head = other.messages[0].data.decode("latin-1")
    for field in ("X-Glacis-Client: 127.0.2.30", "X-Glacis-Envelope-From: aside@none.test", "X-Glacis-Envelope-To: bob@example.test"):
        must(field in head, field, head)
    codes = [lab.send("127.0.%d.30" % i, "half@none.test").code for i in range(20, 60)]
    must(8 < codes.count("550") < 32, "about half of the clients", codes.count("550"))
    must([lab.send("127.0.%d.30" % i, "half@none.test").code for i in range(20, 60)] == codes, "always the same ones")
    t = lab.send("127.0.2.30", "watched@none.test")
    accepted(t, "default")
    must("RULE_watched" in t.watched, "marked", t)


@shows("a tag that names the recipient makes the transaction single-recipient: 452 4.5.3 for the second")
def single(w):
    lab, _ = two_upstreams(w)
    t = lab.send("127.0.2.30", "own@none.test", rcpts=["bob@example.test", "carol@example.test"])
    must([(r.code, r.enhanced) for r in t.rcpt][1] == ("452", "4.5.3"), "452 4.5.3", t.rcpt[1])
    must(t.field("X-For") == "bob@example.test", "the tag", t)


@shows("message rules reject, defer, divert and drop once the body is there, before anything is acknowledged")
def message_rules(w):
    lab, other = two_upstreams(w)

    def body(sender, size=10):
        return ("From: %s\r\n\r\n" % sender).encode() + b"x" * 60 + b"\r\n" + b"y" * size + b"\r\n"

    must(lab.send("127.0.2.30", "a@none.test", content=body("x@y.test") + b"z\r\n" * 9000).code == "550", "too big")
    t = lab.send("127.0.2.30", "a@none.test", content=body("later@y.test"))
    must((t.code, t.enhanced) == ("451", "4.7.9") and "try later again" in t.text and not t.closed, "451 4.7.9", t)
    with Client(lab.g.smtp, source="127.0.2.30") as c:
        c.hello()
        c.envelope()
        must(c.data(body("x@moved.test")).code == "250", "taken", c.all)
    must(other.wait(lambda: len(other.messages) == 1), "the message at the other upstream")
    t = lab.send("127.0.2.30", "a@none.test", content=body("dropped@y.test"))
    must((t.code, t.closed) == ("554", True), "554 and closed", t)
    must(lab.sink.messages == [], "nothing reached the first upstream", lab.sink.messages)


@shows("drop answers what is already in the buffer: RCPT the same, DATA and all else 503, BDAT octets are eaten")
def pipelined(w):
    lab, _ = two_upstreams(w)
    for behind, replies in ((b"RCPT TO:<carol@example.test>\r\nRCPT TO:<dave@example.test>\r\nDATA\r\n", ["421", "421", "503"]),
                            (b"BDAT 14 LAST\r\nRCPT TO:<x@y>\nNOOP\r\n", ["503", "503"]),
                            (b"RSET\r\nNOOP\r\n", ["503", "503"])):
        with Client(lab.g.smtp, source="127.0.2.30") as c:
            c.hello()
            c.send(b"MAIL FROM:<gone@none.test>\r\nRCPT TO:<bob@example.test>\r\n" + behind)
            must(c.replies_to_end() == ["250", "421"] + replies, "the same for RCPT, 503 for the rest, closed", c.all)
    must(not lab.sink.commands("MAIL"), "the upstream heard nothing", lab.sink.commands())


@shows("override, before and after the preset's rules; check --print shows them merged")
def merged(w):
    lab = Lab(w, policy="""contact: "x"
override: {spf-fail: {mode: monitor}, reputation: {then: reject, reply: "550 5.7.1 listed"}}
before: [{name: first, when: {sender.local: first}, then: reject, reply: "550 5.7.1 first {server.hostname}"}]
after: [{name: last, when: {sender.local: last}, then: defer}]""")
    refused(lab.send("127.0.1.30", "first@pass.test"), "550", "5.7.1", "first mx.glacis.test", closed=False)
    t = lab.send("127.0.2.30", OK)
    accepted(t, "default")
    must("RULE_spf-fail" in t.watched, "marked", t)
    refused(lab.send("127.0.2.10", "a@none.test"), "550", "5.7.1", "listed", closed=False)
    refused(lab.send("127.0.2.30", "last@none.test"), "451", "4.7.1", closed=False)
    accepted(lab.send("127.0.1.30", "last@pass.test"), "spf-pass")


def matches(lab, rule):
    """What the metrics say of a rule: matches that were enforced, and those that were only recorded."""
    m = lab.g.metrics()
    return [m['glacis_rule_matches_total{rule="%s",mode="%s"}' % (rule, mode)] for mode in ("enforce", "monitor")]


@shows("metrics count the matches of each rule, enforced and monitored apart, over workers and reloads")
def counted(w):
    lab = Lab(w, policy="""override: {spf-fail: {mode: monitor}}
after: [{name: last, when: {sender.local: last}, then: defer}]
message_rules: [{name: small, when: {message.size: "< 100000"}, then: {score: 1}}]""")
    must(matches(lab, "last") == [0, 0], "every rule is there from the start", lab.g.metrics())
    for i in range(4):
        lab.send("127.0.1.%d" % (30 + i), OK, helo="mail.pass.test")
    lab.send("127.0.2.30", OK)
    lab.send("127.0.2.31", "last@none.test")
    want = {"spf-pass": [4, 0], "spf-fail": [0, 1], "last": [1, 0], "default": [1, 0], "small": [5, 0], "blocked": [0, 0]}
    got = {rule: matches(lab, rule) for rule in want}
    must(got == want, "each match once", got)
    lab.g.signal(signal.SIGHUP)
    wait_for(lambda: lab.g.events("generation_drained"), 20, "the new generation alone")
    lab.send("127.0.1.40", OK, helo="mail.pass.test")
    must(matches(lab, "spf-pass") == [5, 0], "a reload goes on counting", lab.g.metrics())


@shows("reject_at: earliest refuses at the banner and at MAIL what no later fact can change")
def earliest(w):
    lab = Lab(w, policy="""reject_at: earliest
rules:
  - {name: net, when: {client.ip: 127.0.6.0/24}, then: reject}
  - {name: not-now, when: {client.ip: 127.0.8.0/24}, then: defer}
  - {name: listed, when: {client.ip: 127.0.9.0/24, reputation.listed: true}, then: drop, reply: "550 5.7.1 {reputation.lists}"}
  - {name: spam, when: {sender.local: spam}, then: reject}
  - {name: vile, when: {sender.local: vile}, then: drop, reply: "554 5.7.1 go"}
  - {name: fail, when: {spf: fail}, then: drop, reply: "550 5.7.23 {spf.explanation}"}
  - {name: carol, when: {recipient.local: carol}, then: reject}
  - {name: none, when: {spf: none}, then: defer}
""")
    for source, code in (("127.0.6.1", "554"), ("127.0.8.1", "421"), ("127.0.9.10", "554")):
        with Client(lab.g.smtp, source=source) as c:
            must(c.greeting.code == code and re.search(ULID, c.greeting.text), "%s instead of the banner" % code, c.greeting)
            must(c.rest() == b"", "closed")
    with Client(lab.g.smtp, source="127.0.2.30") as c:
        c.hello()
        r = c.cmd("MAIL FROM:<spam@soft.test>")
        must((r.code, r.enhanced) == ("550", "5.7.1"), "550 to MAIL", r)
        must(c.cmd("RCPT TO:<bob@example.test>").code == "503", "no transaction", c.all)
        must(c.cmd("MAIL FROM:<a@soft.test>").code == "250", "another sender is heard", c.all)
        c.cmd("RSET")
        must(c.cmd("MAIL FROM:<a@none.test>").code == "250", "carol's rule is first, so it must wait for RCPT", c.all)
        must([c.cmd("RCPT TO:<%s@example.test>" % l).code for l in ("carol", "bob")] == ["550", "451"], "judged at RCPT", c.all)
        c.cmd("RSET")
        c.send(b"MAIL FROM:<vile@soft.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")
        must(c.replies_to_end() == ["554", "554", "503"], "drop: what is in the buffer, then closed", c.all)
    accepted(lab.send("127.0.1.30", OK), "default")
    with Client(lab.g.smtp, source="127.0.2.30") as c:
        c.hello()
        r = c.cmd("MAIL FROM:<%s>" % OK)
        must(r.code == "550" and "is no server of pass.test" in r.text and c.rest() == b"", "550 to MAIL, closed", r)
    lines = wait_for(lambda: len(lab.g.events("refused")) == 6 and lab.g.events("refused"), 5, "six lines")
    must(sorted(l["rule"] for l in lines) == ["fail", "listed", "net", "not-now", "spam", "vile"], "each with its rule", lines)


if __name__ == "__main__":
    run()
