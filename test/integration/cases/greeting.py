# SPDX-License-Identifier: Apache-2.0
"""GRT-*: greeting, pre-greeting, who is not an SMTP client."""
import time

from cases.harness import HOST, MESSAGE, case, fits, table
from client import Lost


@case("GRT-01", "one 220 line with our name, before the client has spoken, and nothing behind it")
def greeting_is_one_line(t):
    c = t.client()
    raw = c.greeting.raw
    t.true(raw.startswith(b"220 " + HOST.encode() + b" ") and b"ESMTP" in raw, "220 %s ... ESMTP" % HOST, raw)
    t.true(len(c.greeting.lines) == 1 and len(raw) <= 512, "one line of at most 512 octets", raw)
    t.true(c.quiet(), "silence until the client speaks", c.buffer)


@case("GRT-02", "nothing of the upstream's banner, name or software is shown")
def upstream_stays_hidden(t):
    c = t.open()
    for line in ("HELP", "VRFY bob", "NOPE", "EHLO again.example.net"):
        c.cmd(line)
    for secret in (b"inner.sink", b"hidden-software", b"9.9"):
        t.true(secret not in c.all, "no %r" % secret, c.all)


@case("GRT-03", "EHLO before the greeting: 220, then 250, in order, nothing lost or doubled")
def early_talker_is_answered_in_order(t):
    c = t.client(greet=False)
    c.send(b"EHLO early.example.net\r\n")
    t.want(c.reply(), "220")
    t.want(c.reply(), "250")
    t.in_step(c)


@case("GRT-05", "connect and close or reset, many times: the next client is served, nothing at the upstream")
def connects_without_words(t):
    t.script()
    for i in range(60):
        c = t.client(greet=i % 3 == 0)
        if i % 2:
            c.reset()
        else:
            c.close()
    t.true(not t.sink.commands("MAIL"), "no MAIL at the upstream", t.sink.commands())
    t.deliver()


@case("GRT-07", "the upstream is down: 220 all the same, never 554", "failures")
def greeting_without_upstream(t):
    t.sink.pause()
    try:
        t.want(t.client().greeting, "220|421 4.3.2")
    finally:
        t.sink.resume()


@case("GRT-08", "QUIT first: 221 2.0.0, closed, no MAIL to the upstream")
def quit_at_once(t):
    c = t.client()
    t.want(c.cmd("QUIT"), "221 2.0.0")
    t.closed(c)
    t.true(not t.sink.commands("MAIL"), "no MAIL", t.sink.commands())


SMUGGLED = (b"Host: x\r\n\r\nEHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
            b"Subject: h\r\n\r\nx\r\n.\r\n")


@table([("GRT-09", "an HTTP request with commands in its body: closed, no message: " + v, v)
        for v in ("GET / HTTP/1.1", "POST /x HTTP/1.1", "PUT / HTTP/1.0", "HEAD / HTTP/1.0", "OPTIONS * HTTP/1.1",
                  "CONNECT a:25 HTTP/1.1")])
def http_is_not_smtp(t, first):
    c = t.client()
    c.send(first.encode() + b"\r\n" + SMUGGLED)
    codes = c.replies_to_end()
    t.true(all(code[:1] == "5" or code == "421" for code in codes) and len(codes) <= 1, "at most one 5xx", codes)
    t.none()


@case("GRT-10", "a TLS ClientHello on the plain port: 5xx or close, no 2xx")
def client_hello_in_clear(t):
    c = t.client()
    c.send(bytes.fromhex("16030100c5010000c10303") + bytes(range(190)) + b"\r\n\r\n")
    c.half_close()
    codes = [code for code in c.replies_to_end()]
    t.true(all(code[:1] in "45" for code in codes), "only refusals", codes)
    t.deliver()


@case("GRT-12", "EHLO with ESC, BEL, 8 bit, markup: the reply is clean and does not echo it")
def strange_names_are_not_echoed(t):
    for name in (b"\x1b[31mred", b"bell\x07", b"b\xfccher", b"<script>alert(1)</script>"):
        c = t.client()
        reply = c.cmd(b"EHLO " + name)
        t.valid(reply)
        t.true(name not in reply.raw, "the argument is not echoed", reply.raw)
        c.close()


@case("GRT-04", "a client that connects and is silent: 421 4.4.2 and closed", "short")
def silent_client(t):
    c = t.client()
    t.want(c.reply(8), "421 4.4.2")
    t.closed(c)


@case("GRT-06", "over the global limit: a readable 421 4.3.2, then closed; served again when there is room", "crowded")
def too_many_connections(t):
    held = [t.client() for _ in range(12)]
    over = t.client()
    t.want(over.greeting, "421 4.3.2")
    t.closed(over)
    for c in held:
        c.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        c = t.client(greet=False)
        try:
            if fits(c.reply(), "220"):
                return
        except Lost:
            pass
        c.close()
    t.true(False, "a greeting once the others are gone")


@case("GRT-06", "over the limit of one client: a readable 421 4.7.0; other clients are served; released at the end",
      "judged")
def too_many_of_one_client(t):
    held = [t.client(source="127.0.0.21") for _ in range(4)]
    over = t.client(source="127.0.0.21")
    t.want(over.greeting, "421 4.7.0")
    t.closed(over)
    t.want(t.client(source="127.0.0.22").greeting, "220")
    held[0].cmd("QUIT")
    t.closed(held[0])
    deadline = time.monotonic() + 5
    while not fits(t.client(source="127.0.0.21").greeting, "220"):
        t.true(time.monotonic() < deadline, "room again after QUIT (LIM-10)")


@case("GRT-13", "sessions side by side do not wait for each other")
def greetings_side_by_side(t):
    started = time.monotonic()
    clients = [t.client() for _ in range(20)]
    t.true(time.monotonic() - started < 5, "20 greetings within 5 s", time.monotonic() - started)
    for c in clients:
        t.want(c.cmd("NOOP"), "250")
    assert MESSAGE
