# SPDX-License-Identifier: Apache-2.0
"""UPF-*: what the client gets when the upstream fails, at every stage."""
import time

from cases.harness import MESSAGE, case, fits, table
from client import Lost


def attempt(t, rcpts=("bob@example.test",)):
    """A whole message; the first reply that is no 2xx/354, or the final reply.  The session must be in step."""
    c = t.greeted()
    last = None
    for line in ["MAIL FROM:<alice@elsewhere.invalid>"] + ["RCPT TO:<%s>" % r for r in rcpts]:
        last = c.cmd(line)
        if last.code[:1] != "2":
            break
    else:
        last = c.data(MESSAGE)
    t.valid(last)
    if last.code != "421":
        t.in_step(c)
    return last


def recovers(t):
    """Without the script all is well again, with no restart."""
    t.script()
    t.deliver(rcpts=("later@example.test",))


@case("UPF-01", "connections refused: 451 4.4.1 at RCPT; recovery without a restart", "failures")
def refused_connections(t):
    t.sink.pause()
    try:
        t.want(attempt(t), "451 4.4.1")
    finally:
        t.sink.resume()
    recovers(t)


@table([(i, "%s: 4xx, neutral text (UPF-38)" % w, rule) for i, w, rule in
        (("UPF-02", "mute after accept", {"at": "CONNECT", "then": "mute"}),
         ("UPF-03", "greeting 421", {"at": "CONNECT", "reply": "421 4.3.2 inner.sink.test not now"}),
         ("UPF-03", "greeting 450", {"at": "CONNECT", "reply": "450 later"}),
         ("UPF-03", "greeting 554", {"at": "CONNECT", "reply": "554 inner.sink.test go away"}),
         ("UPF-03", "greeting garbage", {"at": "CONNECT", "raw": "hello there\r\n"}),
         ("UPF-03", "greeting binary garbage", {"at": "CONNECT", "raw": "\x00\xff\x16\x03\n\n\n"}),
         ("UPF-04", "close before the greeting", {"at": "CONNECT", "then": "close"}),
         ("UPF-04", "reset before the greeting", {"at": "CONNECT", "then": "reset"}),
         ("UPF-05", "EHLO 421", {"at": "EHLO", "reply": "421 4.3.2 busy", "then": "close"}),
         ("UPF-16", "drop at EHLO", {"at": "EHLO", "then": "close"}),
         ("UPF-17", "drop at MAIL", {"at": "MAIL", "then": "close"}),
         ("UPF-18", "drop at RCPT", {"at": "RCPT", "then": "close"}),
         ("UPF-18", "reset at RCPT", {"at": "RCPT", "then": "reset"}),
         ("UPF-19", "drop at DATA", {"at": "DATA", "then": "close"}),
         ("UPF-20", "drop after the dot, message not taken", {"at": "DOT", "then": "close"}),
         ("UPF-20", "drop after the dot, message taken", {"at": "DOT", "then": "close", "take": True}),
         ("UPF-21", "reset after the dot", {"at": "DOT", "then": "reset", "take": True}),
         ("UPF-22", "421 and close at MAIL", {"at": "MAIL", "reply": "421 4.3.2 bye", "then": "close"}),
         ("UPF-23", "421 and close at RCPT", {"at": "RCPT", "reply": "421 4.3.2 bye", "then": "close"}),
         ("UPF-24", "421 and close at the end of data", {"at": "DOT", "reply": "421 4.3.2 bye", "then": "close"}),
         ("UPF-25", "drop inside content", {"at": "CONTENT", "after": 20, "then": "close"}),
         ("UPF-25", "reset inside content", {"at": "CONTENT", "after": 20, "then": "reset"}),
         ("UPF-27", "no final reply in time", {"at": "DOT", "then": "mute", "take": True}),
         ("UPF-28", "mute at RCPT", {"at": "RCPT", "then": "mute"}),
         ("UPF-28", "mute at MAIL", {"at": "MAIL", "then": "mute"}),
         ("UPF-29", "mute at DATA", {"at": "DATA", "then": "mute"}),
         ("UPF-32", "250 to DATA", {"at": "DATA", "reply": "250 2.0.0 fine"}),
         ("UPF-32", "220 to DATA", {"at": "DATA", "reply": "220 fine"}),
         ("UPF-33", "354 to MAIL", {"at": "MAIL", "reply": "354 go"}),
         ("UPF-33", "354 to RCPT", {"at": "RCPT", "reply": "354 go"}),
         ("UPF-33", "220 to RCPT", {"at": "RCPT", "reply": "220 hi"}),
         ("UPF-33", "354 to the dot", {"at": "DOT", "reply": "354 more", "take": False}))], "failures")
def temporary_failures(t, rule):
    t.script(rule)
    reply = attempt(t)
    t.want(reply, "4xx")
    if rule["at"] != "DOT" and "inner.sink" not in rule.get("reply", ""):
        t.true("127.0.0.1" not in reply.text and "inner" not in reply.text, "neutral text", str(reply))
    if rule.get("take"):
        t.arrived(1)
    elif rule["at"] == "DOT":
        t.none()
    t.true(len(t.sink.commands("DATA")) <= 1, "never sent again by itself (DSN-06)", t.sink.commands())
    t.true(not any(b"Subject:" in l for l in t.sink.commands()), "content is never sent as commands", t.sink.commands())
    recovers(t)


@case("UPF-05", "EHLO refused 5xx: HELO and no parameters", "failures")
def helo_upstream(t):
    t.script({"at": "EHLO", "reply": "502 5.5.1 no EHLO here"})
    m = t.deliver(params=" SIZE=100")
    t.true(t.sink.commands("HELO") and m.mail.rstrip() == b"MAIL FROM:<alice@elsewhere.invalid>", "HELO, bare MAIL", m.mail)


@case("UPF-05", "EHLO and HELO both refused: it is us, 451 4.3.5 (RPL-15)", "failures")
def hello_refused(t):
    t.script({"at": "EHLO", "reply": "550 5.7.1 not you"}, {"at": "HELO", "reply": "550 5.7.1 not you"})
    t.want(attempt(t), "451 4.3.5")


@table([(i, "%s at %s is passed on" % (r, a), a, r, w) for i, a, r, w in
        (("UPF-06", "MAIL", "550 5.1.8 bad sender", "550 5.1.8"),
         ("UPF-07", "MAIL", "452 4.3.1 Insufficient system resources", "452 4.3.1"),
         ("UPF-08", "RCPT", "550 5.1.1 nobody", "550 5.1.1"), ("UPF-09", "RCPT", "450 4.2.0 later", "450 4.2.0"),
         ("UPF-10", "RCPT", "452 4.5.3 Too many recipients", "452 4.5.3"), ("UPF-11", "DATA", "554 5.6.0 no", "554"),
         ("UPF-12", "DATA", "451 4.3.0 later", "451"), ("UPF-13", "DOT", "554 5.6.0 no", "554 5.6.0"),
         ("UPF-14", "DOT", "452 4.3.1 full", "452 4.3.1"),
         ("UPF-15", "DOT", "550 5.7.1 Message rejected as spam by Content Filtering.", "550 5.7.1"))], "failures")
def passed_on(t, at, reply, wanted):
    t.script({"at": at, "reply": reply})
    got = t.want(attempt(t), wanted)
    t.true(reply.split(" ", 2)[2] in got.text, "its text", str(got))
    t.none()
    recovers(t)


@case("UPF-26", "554 early inside content, then close: one refusal after the client's end of data", "failures")
def early_refusal_inside_content(t):
    t.script({"at": "CONTENT", "after": 20, "reply": "554 5.6.0 stop", "then": "close"})
    t.want(attempt(t), "554|4xx")
    t.none()


@case("UPF-27", "the late 250 never answers a later command", "failures")
def late_reply_is_lost(t):
    t.script({"at": "DOT", "nth": 1, "delay": 4.0}, {"at": "RCPT", "match": "nobody", "reply": "550 5.1.1 no"})
    c = t.open()
    t.want(c.data(MESSAGE), "451 4.4.2")
    t.wants(c.envelope(("nobody@example.test",)), ["250", "550"])
    t.true(c.quiet(0.3), "nothing more", c.buffer)


@case("UPF-20", "a lost final reply: 451 4.4.2, logged and counted (LOG-09)", "failures")
def unknown_outcome(t):
    t.script({"at": "DOT", "then": "close", "take": True})
    before = t.glacis.metrics().get("glacis_upstream_lost_replies_total", 0)
    t.want(attempt(t), "451 4.4.2")
    after = t.glacis.metrics().get("glacis_upstream_lost_replies_total", 0)
    t.true(after == before + 1, "counted once", (before, after))
    t.true(any(e.get("level") in ("warn", "warning") for e in t.glacis.events()), "a warning in the log",
           t.glacis.log_text()[-500:])


@table([("UPF-%s" % i, "an idle connection ended by the upstream%s: the client notices nothing" % w, rule) for i, w, rule in
        (("30", "", {"at": "AFTER", "times": 1, "then": "close"}),
         ("30", " with a reset", {"at": "AFTER", "times": 1, "then": "reset"}),
         ("31", " with 421", {"at": "AFTER", "times": 1, "reply": "421 4.4.2 idle", "then": "close"}))])
def stale_connection(t, rule):
    t.script(rule)
    c = t.greeted()
    t.deliver(client=c)
    time.sleep(0.1)
    t.deliver(client=c)
    t.deliver(client=c)


@case("UPF-30", "ended at the first command after reuse: replaced once, invisibly")
def stale_at_first_command(t):
    t.script({"at": "RSET", "nth": 1, "then": "close"}, {"at": "MAIL", "nth": 2, "then": "close"})
    c = t.greeted()
    t.deliver(client=c)
    t.deliver(client=c)


@case("UPF-34", "SHOULD: the upstream hangs at QUIT: the client's 221 is not delayed", "failures")
def hang_at_quit(t):
    t.script({"at": "QUIT", "then": "mute"})
    c = t.greeted()
    t.deliver(client=c)
    started = time.monotonic()
    t.want(c.cmd("QUIT"), "221")
    t.true(time.monotonic() - started < 1, "at once", time.monotonic() - started)


@case("UPF-35", "drop at the second RCPT: never more recipients acknowledged than delivered", "failures")
def drop_at_second_recipient(t):
    t.script({"at": "RCPT", "match": "carol", "times": 1, "then": "close"})
    c = t.greeted()
    replies = c.envelope(("bob@example.test", "carol@example.test"))
    final = c.data(MESSAGE)
    t.valid(final)
    if final.code == "250":
        good = [r for r, reply in zip((b"bob@example.test", b"carol@example.test"), replies[1:]) if fits(reply, "250")]
        t.true(t.arrived(1)[0].recipients == good, "each acknowledged recipient", (good, t.sink.messages[0].rcpts))
    else:
        t.want(final, "4xx|503|554 5.5.1")
        t.none()


@case("UPF-36", "the first server is down: the next one is used before DATA", "failover")
def next_server(t):
    t.sink.pause()
    try:
        c = t.greeted()
        t.wants(c.envelope(), ["250", "250"])
        t.want(c.data(MESSAGE), "250")
        t.arrived(1, t.other)
    finally:
        t.sink.resume()


@case("UPF-36", "a refusal is an answer: the next server is not asked", "failover")
def refusal_is_an_answer(t):
    t.script({"at": "RCPT", "reply": "550 5.1.1 no"})
    for server in t.setup.sinks[1:]:
        server.clear()
    had = len(t.other.commands("RCPT"))
    c = t.greeted()
    c.envelope(("nobody@example.test",))
    t.true(len(t.other.commands("RCPT")) == had, "not asked", t.other.commands("RCPT"))


@case("UPF-36", "round robin uses both servers", "spread")
def both_servers(t):
    for i in range(6):
        c = t.greeted()
        t.wants(c.envelope(), ["250", "250"])
        t.want(c.data(MESSAGE), "250")
        c.close()
    t.true(len(t.sink.messages) + len(t.other.messages) == 6 and t.sink.messages and t.other.messages, "6 over both",
           (len(t.sink.messages), len(t.other.messages)))


@case("UPF-37", "health: a server that fails is marked down, and up again when it answers", "health")
def marked_down_and_up(t):
    t.sink.pause()
    try:
        def down():
            t.want(attempt(t), "451 4.4.1")
            return t.glacis.metrics().get("glacis_upstream_marked_down_total", 0) >= 1
        deadline = time.monotonic() + 10
        while not down():
            t.true(time.monotonic() < deadline, "marked down within 10 s")
            time.sleep(0.2)
    finally:
        t.sink.resume()
    deadline = time.monotonic() + 15
    while True:
        c = t.greeted()
        if fits(c.envelope()[1], "250"):
            t.want(c.data(MESSAGE), "250")
            return
        c.close()
        t.true(time.monotonic() < deadline, "up again within 15 s")
        time.sleep(0.2)


@case("POOL-01", "the envelope is repeated after hold; a changed answer is 451 4.3.0, never a subset", "short")
def changed_answer_at_the_repeat(t):
    t.script({"at": "RCPT", "match": "carol", "nth": 2, "reply": "550 5.1.1 gone meanwhile"})
    c = t.open(("bob@example.test", "carol@example.test"))
    t.sink.wait(lambda: t.sink.commands("RSET") or not any(x.open for x in t.sink.connections), 3)
    time.sleep(0.3)
    t.want(c.data(MESSAGE), "451 4.3.0")
    t.none()


@case("POOL-02", "the upstream's connection is given back while the client is slow, and the message arrives", "short")
def lease_given_back(t):
    c = t.open()
    t.true(t.sink.wait(lambda: t.sink.commands("RSET") or not any(x.open for x in t.sink.connections), 3),
           "RSET or a close after hold", t.sink.commands())
    t.want(c.data(MESSAGE), "250")
    t.true(len(t.arrived(1)[0].rcpts) == 1, "one recipient")


@case("POOL-03", "connections are capped: the waiting ones get 451 4.3.2, and are served when one is free", "narrow")
def capped_connections(t):
    t.script({"at": "DOT", "nth": 1, "delay": 2.5}, {"at": "DOT", "nth": 2, "delay": 2.5})
    busy = [t.open((), ) for _ in range(2)]
    for c in busy:
        t.want(c.cmd("RCPT TO:<bob@example.test>"), "250")
        t.want(c.cmd("DATA"), "354")
        c.send(MESSAGE + b".\r\n")
    t.sink.wait(lambda: len(t.sink.commands("DATA")) == 2, 2)
    third = t.greeted()
    t.wants(third.envelope(), ["250", "451 4.3.2"])
    for c in busy:
        t.want(c.reply(), "250")
    t.want(third.cmd("RCPT TO:<bob@example.test>"), "250")
    t.want(third.data(MESSAGE), "250")
    t.true(max(len([x for x in t.sink.connections]), 0) >= 2, "two connections at least")


@case("POOL-04", "a connection is used for at most max_messages", "narrow")
def max_messages(t):
    t.script()
    c = t.greeted()
    for _ in range(5):
        t.deliver(client=c)
    per = [sum(1 for m in t.sink.messages if m.conn is x) for x in {m.conn for m in t.sink.messages}]
    t.true(max(per) <= 2, "at most 2 messages on a connection", per)
    assert Lost
