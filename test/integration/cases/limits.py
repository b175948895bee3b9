# SPDX-License-Identifier: Apache-2.0
"""LIM-*: limits and timeouts."""
import time

from cases.harness import MESSAGE, case, table
from client import Lost

HEAD = b"Subject: s\r\n"


def ended(t, c, wanted, within=8):
    """A 421 (or as wanted) comes in time, then the connection is closed."""
    t.want(c.reply(within), wanted)
    t.closed(c)


@case("LIM-01", "idle after EHLO: 421 4.4.2 and closed", "short")
def idle_after_ehlo(t):
    ended(t, t.greeted(), "421 4.4.2")


@case("LIM-02", "idle after RCPT: 421 at the command timeout, no message", "short")
def idle_after_rcpt(t):
    ended(t, t.open(), "421 4.4.2")
    t.none()


@case("LIM-03", "a stall in content: 421 4.4.2 or 451, the upstream gets no dot", "short")
def stall_in_content(t):
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(MESSAGE)
    ended(t, c, "421 4.4.2|451")
    t.none()


@case("LIM-03", "a stall inside a BDAT chunk", "short")
def stall_in_bdat(t):
    c = t.open()
    c.send(b"BDAT 100 LAST\r\nabc")
    ended(t, c, "421 4.4.2|451")
    t.none()


def trickle(t, c, octets, wanted):
    started = time.monotonic()
    for octet in octets:
        try:
            c.sock.sendall(bytes([octet]))
            c.sock.settimeout(0.3)
            data = c.sock.recv(1000)
            c.buffer += data
            break
        except (TimeoutError, OSError) as e:
            if not isinstance(e, TimeoutError):
                break
    t.true(time.monotonic() - started < 15, "ended by a deadline", time.monotonic() - started)
    t.want(c.reply(3), wanted)


@case("LIM-04", "one octet at a time of one command: ended by the command deadline", "short")
def trickled_command(t):
    trickle(t, t.greeted(), b"NOOP " + b"x" * 60, "421 4.4.2")


@case("LIM-05", "SHOULD: content that trickles: ended by the deadline", "short")
def trickled_content(t):
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    trickle(t, c, MESSAGE + b"x" * 60, "421 4.4.2|451")
    t.none()


@case("LIM-06", "recipients over the limit: 452 4.5.3; the accepted ones are delivered")
def too_many_recipients(t):
    c = t.greeted()
    replies = c.envelope(["u%d@example.test" % i for i in range(103)])
    codes = [r.code for r in replies]
    t.true(codes == ["250"] * 101 + ["452"] * 3, "100 accepted, the rest 452", codes[-6:])
    t.want(replies[-1], "452 4.5.3")
    t.want(c.data(MESSAGE), "250")
    t.true(len(t.arrived(1)[0].rcpts) == 100, "100 recipients")


@case("LIM-07", "a client that never reads: output is bounded, others are served")
def client_never_reads(t):
    c = t.greeted()
    c.sock.settimeout(1)
    try:
        for _ in range(400):
            c.sock.sendall(b"NOOP\r\nVRFY x\r\n" * 500)
    except OSError:
        pass
    t.deliver()


@case("LIM-08", "a header section over the limit: 552 5.3.4 or 554 5.6.0 after the end of data", "limited")
def headers_over_the_limit(t):
    c = t.open()
    t.want(c.data(b"X-Fill: 1234567890\r\n" * 1000 + b"\r\nbody\r\n"), "552 5.3.4|554 5.6.0")
    t.none()
    t.ends_or_in_step(c)


@table([("LIM-09", "%s: in linear time" % w, head) for w, head in
        (("10,000 fields", b"".join(b"X-%d: y\r\n" % i for i in range(10000))),
         ("one field folded in 12,000 lines", b"X-Fold: a\r\n" + b" folded line of text\r\n" * 11000))])
def many_fields(t, head):
    content = head + b"\r\nbody\r\n"
    started = time.monotonic()
    c = t.open()
    t.want(c.data(content), "250|552 5.3.4|554 5.6.0")
    t.true(time.monotonic() - started < 5, "within 5 s", time.monotonic() - started)


@case("LIM-11", "hundreds of idle sessions do not keep others out")
def idle_crowd(t):
    crowd = [t.client() for _ in range(300)]
    t.deliver()
    for c in crowd[::50]:
        t.want(c.cmd("NOOP"), "250")


@case("LIM-12", "an upstream that reads slowly: the message arrives")
def slow_upstream(t):
    t.script({"at": "CONTENT", "rate": 400000})
    content = HEAD + b"\r\n" + b"0123456789" * 60000 + b"\r\n"
    t.same(t.deliver(content), content)


@table([("LIM-13", "the last reply before a close is delivered, with unread input: " + w, first) for w, first in
        (("QUIT", b"QUIT\r\n"), ("HTTP", b"GET / HTTP/1.1\r\n"), ("BDAT without a size", b"EHLO x.example.net\r\nBDAT x\r\n"))])
def last_reply_is_delivered(t, first):
    c = t.client()
    c.send(first + b"x" * 200000)
    codes = c.replies_to_end()
    t.true(codes and codes[-1][0] in "25", "a reply", codes)


@case("LIM-14", "many messages in a session: all acknowledged ones are delivered")
def many_messages(t):
    c = t.greeted()
    for i in range(60):
        t.wants(c.envelope(("u%d@example.test" % i,)), ["250", "250"])
        t.want(c.data(MESSAGE), "250")
    t.arrived(60)


@case("LIM-14", "messages_per_session: 421 4.7.0 between messages, after the last final reply", "limited")
def message_limit(t):
    c = t.greeted()
    for _ in range(3):
        t.deliver(client=c)
    t.want(c.cmd("MAIL FROM:<a@elsewhere.invalid>"), "421 4.7.0")
    t.closed(c)
    t.arrived(3)


@case("CMD-23", "refused_recipients: 421 4.7.0, only with none accepted", "limited")
def dictionary_attack(t):
    t.script({"at": "RCPT", "match": "nobody", "reply": "550 5.1.1 no"})
    c = t.greeted()
    codes = [c.cmd("MAIL FROM:<a@elsewhere.invalid>").code]
    while codes[-1] != "421" and len(codes) < 12:
        codes.append(c.cmd("RCPT TO:<nobody%d@example.test>" % len(codes)).code)
    t.true(codes[-1] == "421" and 5 <= codes.count("550") <= 6, "421 after 5 refusals", codes)
    c = t.open()
    for i in range(10):
        t.want(c.cmd("RCPT TO:<nobody%d@example.test>" % i), "550")
    t.want(c.data(MESSAGE), "250")


@case("LIM-01", "the session that times out inside a command line loses nothing of others", "short")
def timeouts_side_by_side(t):
    c = t.greeted()
    c.send(b"NOO")
    d = t.greeted()
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        t.want(d.cmd("NOOP"), "250")
        try:
            t.want(c.reply(0.2), "421")
            return
        except Lost as e:
            t.true("in time" in str(e), "421", e)
    t.true(False, "421 within 4 s")
