# SPDX-License-Identifier: Apache-2.0
"""BDT-* and SIZ-*: BDAT, SIZE."""
from cases.harness import HOST, MESSAGE, Skip, case, table
from client import Lost

HEAD = b"From: <alice@elsewhere.invalid>\r\nSubject: s\r\n\r\n"


def chunks(t, parts, client=None):
    """Sends the parts as BDAT chunks, the last one LAST; the replies."""
    c = client or t.open()
    return c, [c.bdat(p, i == len(parts) - 1) for i, p in enumerate(parts)]


@case("BDT-01", "BDAT n LAST arrives unchanged")
def one_chunk(t):
    _, replies = chunks(t, [MESSAGE])
    t.wants(replies, ["250"])
    t.same(t.arrived(1)[0], MESSAGE)


@case("BDT-02", "several chunks, 250 2.0.0 each; BDAT 0 LAST ends")
def several_chunks(t):
    _, replies = chunks(t, [MESSAGE[:10], MESSAGE[10:30], MESSAGE[30:], b""])
    t.wants(replies, ["250 2.x.x"] * 4)
    t.same(t.arrived(1)[0], MESSAGE)


@case("BDT-03", "the reply to LAST comes after the upstream's")
def last_waits_for_the_upstream(t):
    t.script({"at": "DOT", "delay": 0.6})
    c = t.open()
    c.send(b"BDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE)
    t.true(c.quiet(0.4), "no reply yet", c.buffer)
    t.want(c.reply(), "250")


@case("BDT-04", "CRLF.CRLF and commands inside BDAT: one message, stuffed")
def end_of_data_inside_bdat(t):
    content = HEAD + b"a\r\n.\r\nMAIL FROM:<smuggled@elsewhere.invalid>\r\n..\r\n.\r\n"
    _, replies = chunks(t, [content])
    t.wants(replies, ["250"])
    t.same(t.arrived(1)[0], content)


ODD = (b"a\nb\r\n", b"a\rb\r\n", b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n")


@table([("BDT-05", "bare newlines in BDAT, normalised: %r" % o, o) for o in ODD])
def bare_newlines_normalized(t, odd):
    _, replies = chunks(t, [HEAD + b"x" + odd + b"MAIL FROM:<smuggled@elsewhere.invalid>\r\nend\r\n"])
    t.wants(replies, ["250"])
    t.arrived(1)  # clean() looks at its octets
    t.true(not any(b"smuggled" in l for l in t.sink.commands()), "no smuggled command")


CR_CR_LF = b"Subject: a\r\r\nFrom: b@b.test\r\nTo: x\rY: z\r\r\n\r\n.body\r\n"


@table([("A1", "CR CR LF is one line end, a bare CR a blank; %s" % w, n) for w, n in
        [("whole", 0)] + [("cut at octet %d" % n, n) for n in (10, 11, 12, 13, 14, 34, 41, 42, 43, 44, 45, 46)]])
def one_line_end_in_bdat(t, cut):
    parts = [CR_CR_LF[:cut], CR_CR_LF[cut:]] if cut else [CR_CR_LF]
    _, replies = chunks(t, parts)
    t.wants(replies, ["250"] * len(parts))
    t.same(t.arrived(1)[0], b"Subject: a\r\nFrom: b@b.test\r\nTo: x Y: z\r\n\r\n.body\r\n")


@table([("BDT-05", "bare newlines in BDAT, bare_newline_bdat: reject: %r" % o, o) for o in ODD], "bdat_reject")
def bare_newlines_refused(t, odd):
    c, replies = chunks(t, [HEAD + b"x" + odd + b"end\r\n"])
    t.wants(replies, ["550 5.6.11"])
    t.none()
    t.ends_or_in_step(c)


@case("BDT-05", "NUL in BDAT: refused")
def nul_in_bdat(t):
    _, replies = chunks(t, [HEAD + b"a\0b\r\n"])
    t.wants(replies, ["554 5.6.0"])
    t.none()


@table([("BDT-06", "no CRLF at the end: one is added, nothing lost: %r" % e, e, w) for e, w in
        ((b"end", b"end\r\n"), (b"end\r\n.", b"end\r\n.\r\n"), (b"end\r", b"end\r\n"))])
def content_without_a_final_newline(t, end, want):
    _, replies = chunks(t, [HEAD + end])
    t.wants(replies, ["250"])
    t.same(t.arrived(1)[0], HEAD + want)


@table([("BDT-07", "chunk border %d octets into CR LF . CR LF" % n, n) for n in range(6)])
def chunk_borders(t, cut):
    content = HEAD + b"a\r\n.\r\nb\r\n"
    at = len(HEAD) + 1 + cut
    _, replies = chunks(t, [content[:at], content[at:]])
    t.wants(replies, ["250", "250"])
    t.same(t.arrived(1)[0], content)


@case("BDT-07", "chunks of one octet")
def chunks_of_one_octet(t):
    content = HEAD + b".\r\n..\r\n.\r\n"
    _, replies = chunks(t, [content[i:i + 1] for i in range(len(content))])
    t.wants(replies, ["250"] * len(content))
    t.same(t.arrived(1)[0], content)


@case("BDT-08", "MAIL, RCPT, BDAT with data, the next MAIL... in one segment")
def pipelined_bdat(t):
    c = t.greeted()
    one = b"MAIL FROM:<a@elsewhere.invalid>\r\nRCPT TO:<bob@example.test>\r\nBDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE
    c.send(one + one + b"QUIT\r\n")
    t.wants([c.reply() for _ in range(7)], ["250"] * 6 + ["221"])
    t.arrived(2)


@case("BDT-09", "BDAT without a transaction: its octets are dropped, one 503, in step")
def bdat_without_mail(t):
    c = t.greeted()
    c.send(b"BDAT 26 LAST\r\n" + b"MAIL FROM:<a@b.example>\r\n\r\n"[:26])
    t.want(c.reply(), "503 5.5.1")
    t.true(c.quiet(0.1), "one reply", c.buffer)
    t.ends_or_in_step(c)


@case("BDT-10", "BDAT after all recipients were refused: dropped, 503 or 554, in step")
def bdat_without_recipients(t):
    t.script({"at": "RCPT", "reply": "550 5.1.1 no"})
    c = t.greeted()
    c.send(b"MAIL FROM:<a@elsewhere.invalid>\r\nRCPT TO:<bob@example.test>\r\nBDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE
           + b"NOOP\r\n")
    t.wants([c.reply() for _ in range(4)], ["250", "550", "503|554", "250"])
    t.none()


@case("BDT-11", "DATA after BDAT: 503 5.5.1; RSET recovers")
def data_after_bdat(t):
    c = t.open()
    t.want(c.bdat(MESSAGE[:20]), "250")
    t.want(c.cmd("DATA"), "503 5.5.1")
    t.want(c.cmd("RSET"), "250")
    t.deliver(client=c)


@case("BDT-12", "BDAT after BDAT LAST: dropped, 503")
def bdat_after_last(t):
    c, replies = chunks(t, [MESSAGE])
    t.wants(replies, ["250"])
    c.send(b"BDAT 6 LAST\r\nNOOP\r\nNOOP\r\n")
    t.want(c.reply(), "503")
    t.want(c.reply(), "250")
    t.arrived(1)


@table([("BDT-13", "BDAT%s: refused and closed" % a, a) for a in
        ("", " ", " -1", " 0x10", " 1e3", " +5", " x", " 99999999999999999999999999", " 18446744073709551616 LAST",
         " 10 FIRST", " 10 LAST LAST", " 10LAST", " 1 0")])
def unknown_chunk_size(t, argument):
    c = t.open()
    c.send(b"BDAT" + argument.encode() + b"\r\nNOOP\r\nNOOP\r\n")
    t.want(c.reply(), "501 5.5.4")
    t.closed(c)
    t.none()


@table([("BDT-13", "BDAT %d: 552 and closed, or dropped" % n, n) for n in (2**32, 2**63, 2**64 - 1)])
def huge_chunk(t, size):
    c = t.open()
    c.send(b"BDAT %d LAST\r\n" % size)
    try:
        t.want(c.reply(1), "552 5.3.4|501 5.5.4|521|421")
    except Lost as e:
        t.true("in time" in str(e), "a refusal or silence", e)
    t.none(c)


@table([("BDT-14", "the client is gone %s: nothing delivered" % w, w) for w in ("inside a chunk", "between chunks")])
def gone_in_bdat(t, where):
    c = t.open()
    if where == "between chunks":
        t.want(c.bdat(MESSAGE), "250")
    else:
        c.send(b"BDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE[:-1])
    c.close()
    t.none()


@case("BDT-15", "RSET between chunks clears")
def rset_between_chunks(t):
    c = t.open()
    t.want(c.bdat(b"X-Old: 1\r\n"), "250")
    t.want(c.cmd("RSET"), "250")
    t.want(c.cmd("RCPT TO:<bob@example.test>"), "503")
    t.same(t.deliver(client=c), MESSAGE)


@case("BDT-16", "the sum over the limit: 552 5.3.4 to the chunk that crosses it, 503 to later ones", "limited")
def chunks_over_the_limit(t):
    c = t.open()
    t.want(c.bdat(HEAD + b"x" * 20000 + b"\r\n"), "250")
    t.want(c.bdat(b"y" * 50000), "552 5.3.4")
    t.want(c.bdat(b"z" * 10, True), "503|552")
    t.none()
    t.want(c.cmd("RSET"), "250")


@case("BDT-17", "BINARYMIME is not offered; BODY=BINARYMIME is refused")
def no_binarymime(t):
    c = t.client()
    t.true("BINARYMIME" not in c.hello().text, "not offered")
    t.want(c.cmd("MAIL FROM:<a@b.example> BODY=BINARYMIME"), "501 5.5.4|555 5.5.4")


@case("BDT-18", "the upstream refuses at LAST: class and code passed on", "failures")
def refused_at_last(t):
    t.script({"at": "DOT", "reply": "554 5.6.0 not this one"})
    c, replies = chunks(t, [MESSAGE[:5], MESSAGE[5:]])
    t.wants(replies, ["250", "554 5.6.0"])
    t.in_step(c)


@case("BDT-19", "the upstream dies inside a BDAT message: 451 4.4.x, in step", "failures")
def upstream_dies_in_bdat(t):
    t.script({"at": "CONTENT", "after": 100, "then": "close"})
    c, replies = chunks(t, [HEAD, b"x" * 3000 + b"\r\n"])
    t.wants(replies, ["250", "451 4.4.x|451 4.3.0"])
    t.none()
    t.in_step(c)


@case("BDT-20", "bdat in lower case")
def bdat_lower_case(t):
    c = t.open()
    c.send(b"bdat %d last\r\n" % len(MESSAGE) + MESSAGE)
    t.want(c.reply(), "250")


@case("BDT-21", "chunking: false: not offered, BDAT 502 5.5.1 and closed", "nochunk")
def bdat_not_offered(t):
    c = t.client()
    t.true("CHUNKING" not in c.hello().text, "not offered")
    c.envelope()
    c.send(b"BDAT 6 LAST\r\nNOOP\r\n")
    t.want(c.reply(), "502 5.5.1|500|521")
    t.closed(c)


@case("BDT-22", "the upstream gets DATA whatever it offers", "nochunk")
def upstream_gets_data(t):
    t.deliver()
    t.true(t.sink.commands("DATA") and not t.sink.commands("BDAT"), "DATA", t.sink.commands())


@case("BDT-23", "a chunk announced too small: closed after the second refusal")
def chunk_announced_too_small(t):
    c = t.open()
    c.send(b"BDAT 5\r\n" + b"12345first line of mail\r\nsecond line of mail\r\nthird line of mail\r\nMAIL FROM:<x@y.example>\r\n")
    codes = c.replies_to_end()
    t.true(codes[0] == "250" and len(codes) <= 4 and codes[1:].count("250") == 0, "250, then refusals and closed", codes)
    t.none()


# ---- SIZE ----

def offered(c):
    for line in c.hello().text.split("\n"):
        if line.startswith("SIZE"):
            return int((line.split(" ") + ["0"])[1])
    return None


@case("SIZ-01", "SIZE n is the smallest of ours and the upstream's, less room for headers", "size")
def size_offered(t):
    n = offered(t.client())
    t.true(n is not None and 30000 <= n <= 50000, "SIZE of at most 50000", n)


@case("SIZ-01", "without a smaller upstream it is limits.message_size")
def size_offered_is_ours(t):
    t.true(offered(t.client()) == 1048576, "1048576", offered(t.client()))


@case("SIZ-02", "SIZE=n+1: 552 5.3.4 at once, no MAIL to the upstream")
def declared_too_big(t):
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<a@b.example> SIZE=1048577"), "552 5.3.4")
    t.want(c.cmd("RCPT TO:<bob@example.test>"), "503")
    t.want(c.cmd("MAIL FROM:<a@b.example> SIZE=1048576"), "250")
    t.true(not t.sink.commands("MAIL"), "no MAIL upstream")


@table([("SIZ-03", "SIZE=%s: 501 or 552" % v, v) for v in
        ("-1", "abc", "", "99999999999999999999999999", "18446744073709551617", "0x10", "1.5", "+1", "1 SIZE=1")])
def odd_sizes(t, value):
    t.want(t.greeted().cmd("MAIL FROM:<a@b.example> SIZE=" + value), "501|552|555")


@case("SIZ-04", "content over the limit: read to the real end, one 552 5.3.4, in step", "limited")
def content_over_the_limit(t):
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(HEAD + (b"x" * 76 + b"\r\n") * 1300 + b".\r\nNOOP\r\n")
    t.want(c.reply(), "552 5.3.4")
    t.want(c.reply(), "250")
    t.none()


@case("SIZ-05", "SHOULD: content above the declared size but under the limit is accepted")
def declared_too_small(t):
    t.deliver(HEAD + b"x" * 900 + b"\r\n", params=" SIZE=10")


@case("SIZ-06", "SIZE is sent on with room for inserted headers")
def size_upstream(t):
    m = t.deliver(params=" SIZE=1000")
    mail = m.mail.upper()
    t.true(b"SIZE=" in mail and int(mail.split(b"SIZE=")[1].split()[0]) >= 1100, "at least 1100", mail)


@case("SIZ-06", "and not to an upstream that does not offer it", "few")
def no_size_upstream(t):
    t.true(b"SIZE" not in t.deliver(params=" SIZE=1000").mail.upper(), "no SIZE")


@case("SIZ-07", "the upstream's 552 at MAIL is passed on", "failures")
def size_refused_upstream(t):
    t.script({"at": "MAIL", "reply": "552 5.3.4 too big for me"})
    replies = t.greeted().envelope(params=" SIZE=2000")
    t.true("552" in (replies[0].code, replies[1].code), "552", [str(r) for r in replies])


@case("SIZ-08", "SIZE 0 or bare from the upstream: no limit of its own", "odd")
def size_zero(t):
    n = offered(t.client())
    t.true(n == 1048576, "ours", n)


@case("CAP-07", "a smaller SIZE upstream: 552 early", "size")
def smaller_upstream(t):
    t.want(t.greeted().cmd("MAIL FROM:<a@b.example> SIZE=60000"), "552 5.3.4")
    assert HOST and Skip


@case("SIZ-04", "upstreams.X.size bounds the message", "narrow")
def upstream_size(t):
    c = t.open()
    t.want(c.data(HEAD + (b"x" * 76 + b"\r\n") * 900), "552 5.3.4")
    t.none()
