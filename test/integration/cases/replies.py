# SPDX-License-Identifier: Apache-2.0
"""RPL-* and CAP-*: what is made of the upstream's replies and keywords."""
import time

from client import wait_for
from cases.harness import MESSAGE, case, table


def at_rcpt(t, rule):
    """The client's reply to RCPT when the upstream follows the rule."""
    t.script(dict({"at": "RCPT"}, **rule))
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<alice@elsewhere.invalid>"), "250")
    reply = c.cmd("RCPT TO:<bob@example.test>")
    t.valid(reply)
    t.true(c.quiet(0.1), "exactly one reply", c.buffer)
    if reply.code != "421":
        t.in_step(c)
    return reply


@case("RPL-01", "a multi-line refusal stays one well-formed multi-line reply", "replies")
def multi_line(t):
    reply = at_rcpt(t, {"raw": "550-5.7.1 first\r\n550-5.7.1 second\r\n550 5.7.1 third\r\n"})
    t.want(reply, "550 5.7.1")
    for word in ("first", "second", "third"):
        t.true(word in reply.text, word, str(reply))
    t.true(all(l[3:9].lstrip(b"- ").startswith(b"5.7.1") for l in reply.lines), "the enhanced code on each line", reply.raw)


@table([(i, "%r becomes %s" % (raw, w), raw, w) for i, raw, w in
        (("RPL-02", "550 5.2.2 mailbox full", "550 5.2.2"), ("RPL-03", "550 no such user", "550 5.x.x"),
         ("RPL-03", "450 later", "450 4.x.x"), ("RPL-04", "550 2.0.0 odd", "550 5.x.x"),
         ("RPL-04", "450 5.1.1 odd", "450 4.x.x"), ("RPL-11", "551 5.1.6 moved", "551"),
         ("RPL-11", "553 5.1.3 bad", "553"), ("RPL-11", "555 5.5.4 what", "555"), ("RPL-11", "571 5.7.1 no", "571"),
         ("RPL-11", "432 4.7.12 no", "432"), ("RPL-11", "251 2.1.5 will forward", "250|251"),
         ("RPL-05", "250", "250"))], "replies")
def codes(t, raw, wanted):
    t.want(at_rcpt(t, {"reply": raw}), wanted)


@table([("RPL-05", "nonsense from the upstream: %r" % raw, raw) for raw in
        ("this is no reply\r\n", "25 ok\r\n", "600 x\r\n", "2500\r\n", "2500 x\r\n", "150 x\r\n", "350 x\r\n", "2x0 y\r\n",
         "\r\n", " 250 x\r\n", "250_x\r\n", "-250 x\r\n", "099 x\r\n", "999 x\r\n")], "replies")
def nonsense(t, raw):
    t.want(at_rcpt(t, {"raw": raw}), "4xx")


@table([("RPL-05", "odd octets in a refusal's text: %r" % raw, raw) for raw in
        ("550 5.1.1 n\x00ul\r\n", "550 5.1.1 \x1b[31mred\r\n", "550 5.1.1 b\xfccher\r\n", "550 5.1.1 tab\there\r\n")], "replies")
def odd_octets(t, raw):
    t.want(at_rcpt(t, {"raw": raw}), "550|451")


@table([("RPL-06", "%s replies are handled" % w, r) for w, r in
        (("octet-wise", {"raw": "550-5.1.1 a\r\n550 5.1.1 b\r\n", "octets": True}), ("LF-only", {"raw": "550 5.1.1 a\n"}))],
       "replies")
def odd_endings(t, rule):
    t.want(at_rcpt(t, rule), "550 5.1.1|451")


@case("RPL-07", "a CR inside a reply: one reply to the client, no raw CR", "replies")
def cr_inside_a_reply(t):
    reply = at_rcpt(t, {"raw": "550 5.1.1 no\r250 2.1.5 yes\r\n"})
    t.want(reply, "550|451")
    t.true(b"\r" not in reply.raw.replace(b"\r\n", b""), "no raw CR", reply.raw)


@case("RPL-08", "an extra reply is never shifted onto the next command", "replies")
def extra_reply(t):
    t.script({"at": "RCPT", "match": "bob", "raw": "550 5.1.1 no\r\n250 2.1.5 extra\r\n"},
             {"at": "RCPT", "match": "carol", "reply": "550 5.1.1 carol neither"})
    t.tolerated.append("octets behind")
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<alice@elsewhere.invalid>"), "250")
    t.want(c.cmd("RCPT TO:<bob@example.test>"), "550|451")
    t.want(c.cmd("RCPT TO:<carol@example.test>"), "550|451")


@case("RPL-08", "an early 250 behind 354 is no acceptance", "replies")
def early_acceptance(t):
    t.script({"at": "DATA", "raw": "354 go\r\n250 2.0.0 early\r\n"}, {"at": "DOT", "reply": "554 5.6.0 refused"})
    c = t.open()
    t.want(c.data(MESSAGE), "4xx|554")
    t.none()


@table([("RPL-09", "%s: bounded, 451 or cut" % w, raw) for w, raw in
        (("200 kB in one line", "550 5.1.1 " + "x" * 200000 + "\r\n"),
         ("10,000 lines", "550-5.1.1 line\r\n" * 10000 + "550 5.1.1 end\r\n"),
         ("an endless line", "550 5.1.1 " + "y" * 300000),
         ("a line of 3000", "550 5.1.1 " + "z" * 3000 + "\r\n"))], "replies")
def too_much(t, raw):
    t.want(at_rcpt(t, {"raw": raw}), "451|550")


@table([("RPL-10", "different codes within a reply: %r" % raw, raw) for raw in
        ("250-2.1.5 yes\r\n550 5.1.1 no\r\n", "550-5.1.1 no\r\n250 2.1.5 yes\r\n", "250-a\r\n251 b\r\n")], "replies")
def mixed_codes(t, raw):
    t.want(at_rcpt(t, {"raw": raw}), "451")


@case("RPL-10", "different codes in the final reply: 451, never 250", "replies")
def mixed_final_codes(t):
    t.script({"at": "DOT", "raw": "250-2.0.0 yes\r\n554 5.6.0 no\r\n", "take": False})
    c = t.open()
    t.want(c.data(MESSAGE), "451")


@case("RPL-12", "421 to RCPT inside a session: 451 or 421, the next message works", "replies")
def service_not_available(t):
    t.want(at_rcpt(t, {"reply": "421 4.3.2 going down", "then": "close"}), "451 4.3.x|451 4.4.2|421")
    t.script()
    t.deliver()


@case("RPL-14", "the upstream's queue id is relayed in the final 250", "replies")
def queue_id(t):
    t.script({"at": "DOT", "reply": "250 2.0.0 Ok: queued as 4XyZ123"})
    c = t.open()
    t.true("4XyZ123" in t.want(c.data(MESSAGE), "250 2.0.0").text, "the queue id")


@table([("RPL-15", "a refusal of us at %s: %s becomes 451 4.3.5" % (at, r), at, r) for at, r in
        (("MAIL", "530 5.7.57 Client not authenticated to send mail"), ("MAIL", "530 5.7.0 Must issue a STARTTLS command first"),
         ("RCPT", "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"), ("MAIL", "503 5.5.1 hello first"),
         ("RCPT", "503 5.5.1 need MAIL"), ("MAIL", "550 5.7.60 Client does not have permissions to send as this sender"),
         ("MAIL", "554 5.5.1 what"))], "replies")
def refusals_of_us(t, at, reply):
    t.script({"at": at, "reply": reply})
    before = t.glacis.metrics().get("glacis_upstream_refused_glacis_total", 0)
    c = t.greeted()
    replies = c.envelope()
    t.want(replies[1], "451 4.3.5")
    t.true(t.glacis.metrics().get("glacis_upstream_refused_glacis_total", 0) > before, "counted")
    wait_for(lambda: any(e.get("level") == "error" for e in t.glacis.events()), what="an error in the log")


@table([("RPL-15", "A13: but %s at RCPT is the recipient's" % r, r) for r in
        ("550 5.5.1 User unknown", "553 5.5.1 no such user", "521 5.5.1 unknown", "521 5.2.1 disabled", "554 5.5.1 what")], "replies")
def refusals_of_the_recipient(t, reply):
    t.script({"at": "RCPT", "reply": reply})
    c = t.greeted()
    t.want(c.envelope()[1], " ".join(reply.split(" ")[:2]))


@table([("RPL-15", "but %s at %s is the message's" % (r, at), at, r) for at, r in
        (("DATA", "554 5.5.1 no valid recipients"), ("DOT", "550 5.7.54 no"), ("DOT", "530 5.7.57 no"))], "replies")
def refusals_of_the_message(t, at, reply):
    t.script({"at": at, "reply": reply})
    c = t.open()
    t.want(c.data(MESSAGE), reply.split(" ")[0])


@table([("ADR-10", "%s at %s: the server never takes mail, which is about the way and not the message" % (r, at), at, r)
        for at, r in (("MAIL", "521 5.3.2 takes no mail"), ("MAIL", "556 5.1.10 null MX"), ("RCPT", "556 5.1.10 null MX"))], "replies")
def never_accepts_mail(t, at, reply):
    t.script({"at": at, "reply": reply})
    c = t.client()
    c.hello()
    t.want(c.envelope()[1], "451 4.3.5")


# ---- keywords ----

@case("CAP-01", "private keywords of the upstream are never shown", "odd")
def private_keywords(t):
    text = t.client().hello().text
    for word in ("PRIVATE", "AUTH", "XEXCH50", "ETRN", "VRFY"):
        t.true(word not in text, "no " + word, text)


@case("CAP-05", "odd keyword lines: the message goes through", "odd")
def odd_keywords(t):
    t.tolerated.append("octets behind")  # `pipelining` in lower case is PIPELINING
    t.deliver(MESSAGE + b"\xc3\xa4\r\n", params=" BODY=8BITMIME")


@case("CAP-02", "A22: an upstream without 8BITMIME: not offered, and 8-bit content is passed as it is", "few")
def no_eight_bit(t):
    c = t.client()
    text = c.hello().text
    t.true("8BITMIME" not in text and "DSN" not in text and "SMTPUTF8" not in text, "not offered", text)
    for word in ("PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING", "SIZE"):
        t.true(word in text, word + " is ours", text)
    m = t.deliver(client=c)
    t.true(m.mail == b"MAIL FROM:<alice@elsewhere.invalid>", "no parameters", m.mail)
    c.envelope()
    t.want(c.data(MESSAGE + b"\xe4\r\n"), "250")
    m = t.arrived(2)[1]
    t.true(b"BODY" not in m.mail and m.data.endswith(b"\xe4\r\n"), "as it is", m.data)


@case("CAP-04", "the upstream loses extensions between connections: this connection's EHLO counts", "failures")
def lost_extensions(t):
    t.script({"at": "EHLO", "reply": "250 inner.sink.test"})
    t.tolerated.append("octets behind")
    c = t.greeted()
    t.wants(c.envelope(params=" BODY=8BITMIME SIZE=100 RET=FULL"), ["250", "250"])
    t.want(c.data(MESSAGE), "250")
    t.true(t.arrived(1)[0].mail.rstrip() == b"MAIL FROM:<alice@elsewhere.invalid>", "no parameters", t.sink.messages[0].mail)


@case("CAP-04", "A22: 8-bit content to a connection that lost 8BITMIME: passed as it is, without BODY", "failures")
def lost_eight_bit(t):
    t.script({"at": "EHLO", "reply": "250 inner.sink.test"})
    c = t.greeted()
    t.wants(c.envelope(params=" BODY=8BITMIME"), ["250", "250"])
    t.want(c.data(MESSAGE + b"\xe4\r\n"), "250")
    m = t.arrived(1)[0]
    t.true(b"BODY" not in m.mail and m.data.endswith(b"\xe4\r\n"), "as it is", m.data)


@case("CAP-03", "DSN parameters are dropped for a connection without DSN", "failures")
def lost_dsn(t):
    t.script({"at": "EHLO", "raw": "250-inner.sink.test\r\n250 PIPELINING\r\n"})
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<alice@elsewhere.invalid> RET=FULL ENVID=x"), "250")
    t.want(c.cmd("RCPT TO:<bob@example.test> NOTIFY=NEVER"), "250")
    t.want(c.data(MESSAGE), "250")
    t.true(b"NOTIFY" not in t.sink.octets() and b"RET=" not in t.sink.octets(), "dropped")


@case("UTF-02", "SMTPUTF8 to a connection without it: 5.6.7, 5.6.9 or temporary; ASCII goes through", "failures")
def lost_smtputf8(t):
    t.script({"at": "EHLO", "raw": "250-inner.sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n"})
    c = t.greeted()
    replies = c.envelope(("r\u00e9my@example.test",), params=" SMTPUTF8")
    t.want(replies[1], "555 5.6.7|4xx")
    t.want(c.cmd("RSET"), "250")
    t.wants(c.envelope(params=" SMTPUTF8"), ["250", "250"])
    t.want(c.data("Subject: \u00e4\r\n\r\nx\r\n".encode()), "554 5.6.9|550 5.6.9|4xx")
    t.wants(c.envelope(params=" SMTPUTF8"), ["250", "250"])
    t.want(c.data(MESSAGE), "250")
    t.true(b"SMTPUTF8" not in t.arrived(1)[0].mail, "parameter dropped", t.sink.messages[0].mail)


@table([("CAP-06", w + ": bounded", raw) for w, raw in
        (("1000 keyword lines", "".join("250-X%d\r\n" % i for i in range(1000)) + "250 END\r\n"),
         ("a keyword line of 50 kB", "250-inner\r\n250-X" + "x" * 50000 + "\r\n250 END\r\n"))], "failures")
def huge_ehlo(t, raw):
    t.script({"at": "EHLO", "raw": raw})
    t.tolerated.append("octets behind")
    c = t.greeted()
    replies = c.envelope()
    t.want(replies[1], "250|4xx")
    t.script()
    time.sleep(0.05)
    t.deliver()


@case("CAP-08", "our own name in EHLO upstream", "failures")
def own_name_upstream(t):
    t.script()
    t.deliver()
    t.true(any(l.upper() == b"EHLO MX.GLACIS.TEST" for l in t.sink.commands("EHLO")), "EHLO mx.glacis.test",
           t.sink.commands("EHLO"))


@case("CAP-10", "keywords that are not known yet are not offered; ours always are", "asleep")
def keywords_unknown(t):
    text = t.client().hello().text
    for word in ("8BITMIME", "DSN", "SMTPUTF8"):
        t.true(word not in text, "no " + word, text)
    for word in ("PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING", "SIZE"):
        t.true(word in text, word, text)


@case("RPL-13", "UTF-8 in the upstream's text only when SMTPUTF8 was used", "replies")
def utf8_text(t):
    reply = at_rcpt(t, {"raw": "550 5.1.1 Empf\u00e4nger\r\n".encode().decode("latin-1")})
    t.want(reply, "550 5.1.1|451")


@case("UPF-38", "text about a failing upstream is neutral: no name, address, port", "asleep")
def neutral_text(t):
    c = t.greeted()
    replies = c.envelope()
    t.want(replies[1], "451 4.4.1")
    for secret in ("inner", "127.0.0.1", str(t.sink.port), "Connection refused", "refused"):
        t.true(secret not in str(replies[1]), "no %s" % secret, str(replies[1]))


@case("SIZ-09", "the upstream is not asked and nothing is held for a message that is too big to declare")
def too_big_is_refused_early(t):
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<a@elsewhere.invalid> SIZE=99999999999"), "552 5.3.4")
    t.in_step(c)
    t.true(not t.sink.commands("MAIL"), "not asked")
