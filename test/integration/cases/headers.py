# SPDX-License-Identifier: Apache-2.0
"""HDR-* and RCV-*: what is stripped, what is added, Received and loops."""
import re

from cases.harness import HOST, MESSAGE, case, table

BODY = b"\r\nbody\r\n"
KEEP = b"Subject: kept\r\n"


def stripped(t, wire, gone, kept=(KEEP,), client=None):
    """Delivers and wants `gone` away from the header section, `kept` there."""
    m = t.deliver(wire, client=client)
    head = m.data.split(b"\r\n\r\n", 1)[0] + b"\r\n"
    for text in gone:
        t.true(text not in head, "%r stripped" % text, head)
    for text in kept:
        t.true(text in m.data, "%r kept" % text, m.data)
    t.true(re.fullmatch(rb"([!-9;-~]+[ \t]*:.*\r\n([ \t].*\r\n)*)+", head), "a well-formed section", head)
    t.true(m.data.endswith(BODY), "the body", m.data)
    return m


@table([("HDR-01", "our Authentication-Results from outside are removed: %r" % f, f) for f in
        (b"Authentication-Results: mx.glacis.test; spf=pass FORGED\r\n", b"authentication-RESULTS: MX.Glacis.Test; FORGED\r\n",
         b"Authentication-Results:\r\n mx.glacis.test; FORGED\r\n", b"Authentication-Results: (c) mx.glacis.test; FORGED\r\n",
         b"Authentication-Results: (a (b) c)\r\n\t mx.glacis.test 1; FORGED\r\n", b'Authentication-Results: "mx.glacis.test"; FORGED\r\n',
         b"Authentication-Results: mx.glacis.test 1; FORGED\r\n", b"Authentication-Results : mx.glacis.test; FORGED\r\n",
         b"Authentication-Results\t: mx.glacis.test;\r\n spf=pass FORGED\r\n", b"Authentication-Results: mx.glacis.test(c); FORGED\r\n",
         b"Authentication-Results: inner.example.test; FORGED\r\n", b"Authentication-Results:mx.glacis.test;FORGED\r\n",
         b'Authentication-Results: "mx\\.glacis.test"; FORGED\r\n')], "headers")
def forged_results(t, field):
    stripped(t, KEEP + field + b"X-After: kept\r\n" + BODY, (b"FORGED",), (KEEP, b"X-After: kept\r\n"))


@table([("C9", "our results in disguise are removed: %r" % f, f) for f in
        (b"Authentication-Results: =?utf-8?Q?mx=2Eglacis.test?=; FORGED\r\n",
         b"Authentication-Results: =?utf-8?B?bXguZ2xhY2lzLnRlc3Q=?= 1; FORGED\r\n",
         b"Authentication-Results: mx.glacis.test\x80; FORGED\r\n", b"Authentication-Results: mx.glacis.test/1; FORGED\r\n",
         b"Authentication-Results: \xc2\xa0mx.gla\xc2\xadcis.test. 1; FORGED\r\n",
         b"Authentication-Results: mx . glacis(c)\r\n .test; FORGED\r\n",
         b"Authentication-Results\x80: mx.glacis.test; FORGED\r\n", b"X-Gl\x7facis-Verdict \t: FORGED\r\n",
         b"\x01X-Glacis-Verdict: FORGED\r\n", b"X-Sec\xadret: FORGED\r\n")], "headers")
def disguised_results(t, field):
    stripped(t, KEEP + field + b"X-After: kept\r\n" + BODY, (b"FORGED",), (KEEP, b"X-After: kept\r\n"))


@table([("HDR-01", "foreign results stay: %r" % f, f) for f in
        (b"Authentication-Results: other.example; spf=pass\r\n", b"Authentication-Results: xmx.glacis.test; a=b\r\n",
         b"Authentication-Results: mx.glacis.test.example; a=b\r\n", b"X-Authentication-Results: mx.glacis.test; a=b\r\n",
         b"ARC-Authentication-Results: i=1; mx.glacis.test; a=b\r\n", b"Subject: mx.glacis.test; a=b\r\n",
         b"Authentication-Results: =?utf-8?Q?other.example?=; mx.glacis.test=b\r\n",
         b"Authentication-Results: spf=pass (x) smtp.mailfrom=mx.glacis.test; a=b\r\n",
         b"Authentication-Results: mx.glacis.test-2; a=b\r\n")], "headers")
def foreign_results(t, field):
    stripped(t, KEEP + field + BODY, (), (KEEP, field))


@table([("HDR-02", "configured names are stripped: %r" % f, f) for f in
        (b"X-Spam-Flag: GONE\r\n", b"x-spam-status: GONE\r\n a=GONE\r\n\tb=GONE\r\n", b"X-SECRET: GONE\r\n",
         b"X-Secret : GONE\r\n", b"X-MS-Exchange-Organization-SCL: -1 GONE\r\n", b"X-Spam-A: GONE\r\nX-Spam-B: GONE\r\nX-Spam-A: GONE\r\n",
         b"X-Glacis-Verdict: GONE\r\n", b"X-GLACIS-Mode: GONE\r\n", b"X-Glacis-Monitor: LIST_zen, GONE,\r\n", b"X-Secret:GONE\r\n", b"X-Secret:\r\n GONE\r\n")], "headers")
def stripped_names(t, field):
    stripped(t, KEEP + field + b"X-After: kept\r\n" + BODY, (b"GONE",), (KEEP, b"X-After: kept\r\n"))


@case("HDR-02", "similar names stay", "headers")
def similar_names(t):
    fields = b"X-Spam: 1\r\nX-Secrets: 2\r\nXX-Secret: 3\r\nX-Secre: 4\r\nX-MS-Exchange-Organizatio: 5\r\nX-Glaci: 6\r\n"
    stripped(t, fields + BODY, (), (fields,))


@case("HDR-03", "body, part headers and attached messages untouched", "headers")
def body_untouched(t):
    content = (b"Subject: kept\r\nContent-Type: message/rfc822\r\n\r\nX-Secret: stays\r\nX-Spam-Flag: stays\r\n"
               b"Authentication-Results: mx.glacis.test; stays\r\n\r\nX-Secret: stays\r\n")
    t.same(t.deliver(content), content)


@table([("HDR-04", "the stripped field is %s" % w, h) for w, h in
        (("first", b"X-Secret: GONE\r\nSubject: kept\r\n"), ("last", b"Subject: kept\r\nX-Secret: GONE\r\n"))], "headers")
def position_of_the_stripped(t, head):
    stripped(t, head + BODY, (b"GONE",))


@case("HDR-04", "the stripped field is the only one", "headers")
def only_field_stripped(t):
    stripped(t, b"X-Secret: GONE\r\n" + BODY, (b"GONE",), ())


@case("HDR-05", "octet by octet", "headers")
def octetwise_headers(t):
    c = t.greeted(octetwise=True)
    stripped(t, KEEP + b"X-Secret: GONE\r\n GONE\r\nX-After: kept\r\n" + BODY, (b"GONE",), (KEEP,), c)


@table([("HDR-06", "BDAT chunk border %d octets into the field" % n, n) for n in (1, 5, 8, 9, 15, 16, 17, 18, 19)], "headers")
def chunk_borders_in_headers(t, cut):
    content = KEEP + b"X-Secret: GONE\r\n GONE\r\n" + BODY
    c = t.open()
    at = len(KEEP) + cut
    t.want(c.bdat(content[:at]), "250")
    t.want(c.bdat(content[at:], True), "250")
    t.true(b"GONE" not in t.arrived(1)[0].data, "stripped", t.sink.messages[0].data)


@case("HDR-07", "an added header stands once; forged copies are stripped", "headers")
def added_once(t):
    m = t.deliver(b"x-client: FORGED\r\n" + KEEP + b"X-Client : FORGED\r\n" + BODY)
    t.true(t.fields(m, b"X-Client") == [b"127.0.0.1"], "X-Client: 127.0.0.1", t.fields(m, b"X-Client"))


@case("HDR-08", "a message that starts with an empty line: its text never becomes a header", "headers")
def starts_with_an_empty_line(t):
    content = b"\r\nX-Fake: body text\r\nmore\r\n"
    m = t.deliver(content)
    t.same(m, content)
    t.true(b"X-Fake" not in m.data.split(b"\r\n\r\n", 1)[0], "in the body", m.data)


@case("HDR-09", "headers only, without an empty line", "headers")
def headers_only(t):
    m = t.deliver(b"Subject: only\r\nX-Last: 1\r\n")
    t.true(t.fields(m, b"X-Last") == [b"1"], "the field", m.data)


@table([("HDR-10", "the first line is no header: nothing is lost, nothing becomes a header: %r" % f, f) for f in
        (b"just text\r\nX-Spam-Flag: in the body\r\n", b"no colon at all\r\n", b"with blank: 1\r\nx\r\n")], "headers")
def first_line_is_no_header(t, content):
    c = t.open()
    reply = t.want(c.data(content), "250|554 5.6.0")
    if reply.code == "250":
        m = t.arrived(1)[0]
        t.true(m.data.endswith(content), "nothing lost", m.data)
        t.true(b"\r\n\r\n" + content in m.data, "an empty line in front", m.data)


@table([("HDR-11", "%r is not left below inserted headers" % f, f) for f in
        (b"From alice Mon Jan  1 00:00:00 2024\r\n", b">From alice Mon Jan  1 00:00:00 2024\r\n")], "headers")
def mbox_line(t, line):
    m = t.deliver(line + KEEP + BODY)
    t.true(t.fields(m, b"Subject") == [b"kept"], "the fields behind it", m.data)
    t.true(b"\r\n" + line not in m.data, "no such line", m.data)


@table([("HDR-12", "a first line of %r joins no field of ours" % f, f) for f in (b" injected\r\n", b"\tinjected\r\n")], "headers")
def leading_continuation(t, line):
    c = t.open()
    reply = t.want(c.data(line + KEEP + BODY), "250|554 5.6.0")
    if reply.code == "250":
        m = t.arrived(1)[0]
        for name in (b"Received", b"X-Client", b"Authentication-Results", b"X-Glacis-Mode", b"X-Glacis-Id"):
            t.true(all(b"injected" not in v for v in t.fields(m, name)), "not in %r" % name, m.data)
        t.true(b"injected" in m.data, "not lost", m.data)


@case("HDR-13", "nothing else is added: no Date, Message-ID, To, Return-Path", "headers")
def nothing_else_added(t):
    m = t.deliver(b"Subject: bare" + b"\r\n" + BODY)
    for name in (b"Date", b"Message-ID", b"To", b"From", b"Return-Path"):
        t.true(not t.fields(m, name), "no %r" % name, m.data)


@table([("HDR-14", "an odd field does not hide a forged one behind it: %r" % f[:40], f) for f in
        (b"X-Odd-\xe4: 1\r\n", b"X" * 5000 + b": 1\r\n", b"X-Empty:\r\n", b"X-8: \xff\xfe\r\n", b"X/(odd)?: 1\r\n", b"a:b:c\r\n", b": no name\r\n",
         b"X-Long: " + b"v" * 9000 + b"\r\n")], "headers")
def odd_fields(t, field):
    m = t.deliver(field + b"X-Secret: GONE\r\n" + KEEP + BODY)
    head = m.data.split(b"\r\n\r\n", 1)[0]
    t.true(b"GONE" not in head, "stripped, or in the body", head[-300:])


@case("HDR-15", "names and values that look like code are data", "headers")
def names_like_code(t):
    content = b"__proto__: 1\r\nconstructor: 2\r\nX-F: %s%n${jndi:ldap://x}{client.ip}\r\n" + BODY
    t.same(t.deliver(content), content)


@case("HDR-17", "one block on top: our Received first, then the rest, then the message", "headers")
def order_of_the_block(t):
    content = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\nSubject: x\r\n" + BODY
    added = t.same(t.deliver(content), content)
    t.true(added.startswith(b"Received: "), "our Received on top", added)
    t.true(added.lower().count(b"\r\nx-client:") == 1, "X-Client in the block", added)


@case("HDR-18", "headers just within the limit still get every field of ours", "limited")
def added_near_the_limit(t):
    fields = b"X-Fill: 1234567890\r\n" * 800 + b"Subject: kept\r\n"
    m = t.deliver(fields + BODY)
    for name in (b"Received", b"X-Glacis-Verdict", b"X-Glacis-Session"):
        t.true(len(t.fields(m, name)) == 1, "%r" % name, m.data[:600])
    t.true(fields in m.data, "and its own", m.data[-200:])


@case("HDR-19", "a name that Exchange or GWIA acts on can be added, and its forged copy is gone", "transparent")
def exchange_names(t):
    m = t.deliver(b"X-MS-Exchange-Organization-SCL: -1\r\nX-Spam-Flag: NO\r\n" + KEEP + BODY)
    t.true(t.fields(m, b"X-Spam-Flag") == [b"YES"], "ours alone", m.data)
    t.true(not t.fields(m, b"X-MS-Exchange-Organization-SCL"), "no SCL from outside", m.data)


@table([("HDR-20", "not that field: %r" % f, f) for f in (b"X-Sec\r\n ret: stays\r\n", b"X-Secret\r\n : stays\r\n")], "headers")
def name_split_by_a_fold(t, field):
    c = t.open()
    reply = t.want(c.data(KEEP + field + BODY), "250|554 5.6.0")
    if reply.code == "250":
        t.true(b"stays" in t.arrived(1)[0].data, "kept", t.sink.messages[0].data)


# ---- Received ----

def received(m):
    head = m.data.split(b"\r\n\r\n", 1)[0]
    first = re.match(rb"Received: ((?:.*\r\n[ \t])*.*)\r\n", head + b"\r\n")
    return re.sub(rb"\r\n[ \t]+", b" ", first.group(1)) if first else b""


@case("RCV-01", "one Received on top: from, address, by, with, id, date")
def received_form(t):
    m = t.deliver()
    value = received(m)
    t.true(re.fullmatch(rb"from client\.example\.net \(.*\[127\.0\.0\.1\].*\) by mx\.glacis\.test .*with ESMTP .*id "
                        rb"[0-9A-Za-z._/-]+( for <bob@example\.test>)?; \w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"
                        rb"( \(\w+\))?", value), "from ... (... [127.0.0.1]) by %s with ESMTP id ...; date" % HOST, value)
    t.true(len(t.fields(m, b"Received")) == 1, "one", t.fields(m, b"Received"))
    t.true(all(len(l) <= 998 for l in m.data.split(b"\r\n")), "lines of at most 998")


@case("RCV-02", "with SMTP, ESMTP, UTF8SMTP")
def received_with(t):
    t.true(b" with ESMTP" in received(t.deliver()), "ESMTP")
    c = t.client()
    c.cmd("HELO old.example.net")
    t.true(b" with SMTP " in received(t.deliver(client=c)), "SMTP", received(t.sink.messages[-1]))
    t.true(b" with UTF8SMTP" in received(t.deliver(params=" SMTPUTF8")), "UTF8SMTP", received(t.sink.messages[-1]))


@case("RCV-03", "`for` only with exactly one recipient")
def received_for(t):
    value = received(t.deliver(rcpts=("bob@example.test", "hidden@example.test")))
    t.true(b"hidden" not in value and b" for " not in value, "no `for`", value)


@table([("RCV-04", "EHLO %r is made harmless in Received" % n, n) for n in
        (b"a(b", b"x)y", b"a;b", b"a\\b", b'"q"', b"[127.0.0.1]", b"[IPv6:::1]", b"by", b"<x>", b"a" * 300, b"$(id)")])
def received_name(t, name):
    c = t.client()
    if c.cmd(b"EHLO " + name).code != "250":
        return
    value = received(t.deliver(client=c))
    t.true(b"[127.0.0.1]" in value and value.count(b"(") == value.count(b")"), "balanced, with the address", value)
    t.true(re.match(rb"from [A-Za-z0-9.:_\[\]?-]+ \(", value), "a clean name", value)


@case("RCV-05", "existing Received fields untouched, in order")
def existing_received(t):
    content = b"".join(b"Received: from a%d by b;\r\n\tMon, 1 Jan 2024 00:00:0%d +0000\r\n" % (i, i) for i in range(5)) + BODY
    t.same(t.deliver(content), content)


@table([("RCV-06", "%d Received: %s" % (n, w), n, w) for n, w in ((30, "250"), (50, "250"), (51, "554 5.4.6"), (200, "554 5.4.6"))])
def hops(t, count, wanted):
    content = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * count + KEEP + BODY
    c = t.open()
    t.want(c.data(content), wanted)
    t.ends_or_in_step(c)


@case("RCV-06", "`Received:` in the body does not count")
def hops_in_the_body(t):
    t.deliver(KEEP + b"\r\n" + b"Received: from a by b\r\n" * 100)


@case("RCV-07", "our own name in five Received fields or more: 554 5.4.6")
def own_loop(t):
    own = received(t.deliver())
    looped = b"Received: " + own + b"\r\n"
    c = t.open()
    t.want(c.data(looped * 3 + KEEP + BODY), "250")
    c.envelope()
    t.want(c.data(looped * 6 + KEEP + BODY), "554 5.4.6")
    assert MESSAGE


@case("RCV-08", "headers.received: false adds none, and leaves those that are there", "transparent")
def transparent(t):
    content = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" + KEEP + BODY
    t.true(t.fields(t.deliver(content), b"Received") == [b"from a by b; Mon, 1 Jan 2024 00:00:00 +0000"], "the one that came")


@case("RCV-09", "a client on IPv6 is written [IPv6:...] in Received", "ipv6")
def received_ipv6(t):
    value = received(t.deliver(client=t.greeted(source="::1")))
    t.true(b"[IPv6:::1]" in value, "[IPv6:::1]", value)


@table([("HDR-16", "an added value stays one field whatever the client says: EHLO %r" % n, n) for n in
        (b"a\tX-Evil: 1", b"\xc3\xa4.example", b"x" * 200 + b".example")], "headers")
def added_values_are_clean(t, name):
    c = t.client()
    if c.cmd(b"EHLO " + name).code != "250":
        return
    m = t.deliver(client=c)
    head = m.data.split(b"\r\n\r\n", 1)[0]
    t.true(not t.fields(m, b"X-Evil") and all(o < 128 for o in head), "clean", head)
    t.true(all(len(l) <= 998 for l in head.split(b"\r\n")), "short lines", head)
