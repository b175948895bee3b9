# SPDX-License-Identifier: Apache-2.0
"""Bans, remembered unknown users, the duplicate guard: what glacis decides by itself."""
import time

from cases.harness import MESSAGE, case, fits
from client import Lost, wait_for


@case("LIM-10", "protocol abuse makes points, points make a ban: 421 at connect, for that client only", "banning")
def abuse_is_banned(t):
    address = "127.0.0.77"
    for _ in range(30):
        try:
            c = t.client(source=address)
        except Lost:
            break
        if fits(c.greeting, "421"):
            t.want(c.greeting, "421 4.7.0")
            t.closed(c)
            break
        c.send(b"GET / HTTP/1.1\r\n")
        try:
            c.rest()
        except Lost:
            pass
        c.close()
    else:
        t.true(False, "a ban within 30 abuses")
    t.want(t.client(source="127.0.0.78").greeting, "220")
    t.deliver(client=t.greeted(source="127.0.0.79"))


@case("RLY-15", "a 550 5.1.1 is remembered, with its text; other refusals are not", "remembering")
def unknown_users_are_remembered(t):
    t.script({"at": "RCPT", "match": "nobody", "reply": "550 5.1.1 nobody by that name"},
             {"at": "RCPT", "match": "full", "reply": "552 5.2.2 full"})
    for _ in range(3):
        c = t.greeted()
        replies = c.envelope(("nobody@example.test",))
        t.want(replies[1], "550 5.1.1")
        t.true("nobody by that name" in replies[1].text, "the same text", str(replies[1]))
        t.want(c.cmd("RCPT TO:<full@example.test>"), "552 5.2.2")
        c.cmd("QUIT")
    asked = [l for l in t.sink.commands("RCPT") if b"nobody" in l]
    t.true(len(asked) == 1, "asked once", asked)
    wait_for(lambda: t.glacis.metrics()['glacis_recipients_total{outcome="remembered"}'] == 2, 5, "two counted as remembered")
    t.true(len([l for l in t.sink.commands("RCPT") if b"full" in l]) == 3, "others are asked each time")
    t.deliver()


def lose_the_reply(t, source, content, rcpt):
    """A message that the upstream takes while its client is gone."""
    t.script({"at": "DOT", "nth": 1, "delay": 0.5})
    c = t.greeted(source=source)
    c.envelope((rcpt,))
    t.want(c.cmd("DATA"), "354")
    c.send(content + b".\r\n")
    t.sink.wait(lambda: t.sink.commands("DATA"), 3)
    time.sleep(0.1)
    c.reset()
    t.arrived(1)
    deadline = time.monotonic() + 3
    while t.glacis.metrics().get("glacis_late_accepted_total", 0) < 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)


@case("DSN-06", "duplicate guard: the exact retry after a lost 250 is answered, not delivered again", "guarded")
def duplicate_guard(t):
    content = b"Subject: once\r\nMessage-ID: <1@x.example>\r\n\r\nonce\r\n"
    lose_the_reply(t, "127.0.0.90", content, "bob@example.test")
    c = t.greeted(source="127.0.0.90")
    c.envelope()
    t.want(c.data(content), "250")
    t.arrived(1)
    c.envelope()
    t.want(c.data(content.replace(b"\r\n\r\nonce", b"\r\n\r\ntwice")), "250")
    t.arrived(2)


@case("DSN-06", "duplicate guard: a client that closes without waiting for its 250, too", "guarded")
def closed_early(t):
    content = b"Subject: closed\r\nMessage-ID: <2@x.example>\r\n\r\nonce\r\n"
    t.script({"at": "DOT", "nth": 1, "delay": 0.5})
    c = t.greeted(source="127.0.0.92")
    c.envelope()
    t.want(c.cmd("DATA"), "354")
    c.send(content + b".\r\n")
    c.sock.close()
    t.arrived(1)
    time.sleep(2.5)         # 0.5 s for the server's reply, then a second in which a reset may come
    c = t.greeted(source="127.0.0.92")
    c.envelope()
    t.want(c.data(content), "250")
    t.arrived(1)


@case("DSN-06", "duplicate guard: an ordinary repeat (its 250 was given) is delivered", "guarded")
def guard_is_strict(t):
    t.script()
    c = t.greeted(source="127.0.0.91")
    for count in (1, 2):
        c.envelope(("carol@example.test",))
        t.want(c.data(MESSAGE), "250")
        t.arrived(count)
