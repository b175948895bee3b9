# SPDX-License-Identifier: Apache-2.0
"""CMD-* and PIP-*: commands, their syntax and order, pipelining."""
import random
import time

from cases.harness import HOST, MESSAGE, case, table
from client import Lost

TXN = b"MAIL FROM:<alice@elsewhere.invalid>\r\nRCPT TO:<bob@example.test>\r\n"


@case("CMD-01", "EHLO: own name first, keywords in upper case; HELO: one line; a HELO session sends mail")
def hello(t):
    c = t.client()
    ehlo = t.want(c.hello(), "250")
    lines = ehlo.text.split("\n")
    t.true(lines[0].split(" ")[0] == HOST, "first word " + HOST, lines[0])
    for keyword in ("PIPELINING", "ENHANCEDSTATUSCODES", "SIZE 1048576", "CHUNKING", "8BITMIME", "DSN", "SMTPUTF8"):
        t.true(keyword in lines[1:] or keyword.startswith("SIZE"), keyword, lines)
    t.true(all(l == l.upper() for l in lines[1:]), "upper case", lines)
    h = t.client()
    reply = t.want(h.cmd("HELO old.example.net"), "250")
    t.true(len(reply.lines) == 1, "one line", reply.raw)
    m = t.deliver(client=h)
    t.true(b"with SMTP " in t.fields(m, b"Received")[0], "with SMTP", t.fields(m, b"Received")[0])


@table([("CMD-02", v + " without an argument: 501 5.5.4", v) for v in ("EHLO", "HELO", "EHLO ", "HELO  ")])
def hello_needs_a_name(t, line):
    t.want(t.client().cmd(line), "501 5.5.4")


@table([("CMD-03", v + " inside a transaction ends it on both sides", v) for v in ("EHLO", "HELO")])
def hello_resets(t, verb):
    c = t.open()
    t.want(c.cmd(verb + " again.example.net"), "250")
    t.want(c.cmd("RCPT TO:<eve@example.test>"), "503")
    t.deliver(rcpts=("carol@example.test",), client=c)
    t.true(t.sink.messages[0].recipients == [b"carol@example.test"], "only carol", t.sink.messages[0].recipients)


@case("CMD-04", "MAIL before EHLO: 503 5.5.1")
def mail_needs_hello(t):
    t.want(t.client().cmd("MAIL FROM:<a@b.example>"), "503 5.5.1")


@case("CMD-05", "RCPT before MAIL, DATA and BDAT before RCPT: 503 5.5.1, nothing to the upstream")
def order_of_commands(t):
    c = t.greeted()
    t.want(c.cmd("RCPT TO:<bob@example.test>"), "503 5.5.1")
    t.want(c.cmd("DATA"), "503 5.5.1|554 5.5.1")
    t.want(c.cmd("MAIL FROM:<a@b.example>"), "250")
    t.want(c.cmd("DATA"), "503 5.5.1|554 5.5.1")
    t.want(c.bdat(b"abc", True), "503 5.5.1")
    t.true(not t.sink.commands("RCPT") and not t.sink.commands("DATA"), "nothing upstream", t.sink.commands())


@case("CMD-06", "a second MAIL: 503 5.5.1, the first sender stays")
def nested_mail(t):
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<first@elsewhere.invalid>"), "250")
    t.want(c.cmd("MAIL FROM:<second@elsewhere.invalid>"), "503 5.5.1")
    t.want(c.cmd("RCPT TO:<bob@example.test>"), "250")
    t.want(c.data(MESSAGE), "250")
    t.true(t.sink.messages[0].sender == b"first@elsewhere.invalid", "the first sender", t.sink.messages[0].mail)


@case("CMD-07", "verbs and keywords in any case; local parts keep theirs")
def any_case(t):
    c = t.client()
    t.want(c.cmd("eHlO x.example.net"), "250")
    t.want(c.cmd("mAiL fRoM:<Alice.B@elsewhere.invalid> bOdY=8bitmime sIzE=100"), "250")
    t.want(c.cmd("rcpt to:<BoB.c@EXAMPLE.Test>"), "250")
    t.want(c.data(MESSAGE), "250")
    m = t.sink.messages[0]
    t.true(m.sender.startswith(b"Alice.B@") and m.recipients[0].startswith(b"BoB.c@"), "local parts kept", m.rcpts)


@case("CMD-08", "unknown verbs: 500 5.5.2, the connection stays")
def unknown_verbs(t):
    c = t.greeted()
    for line in ("FOO", "FOO bar", "MAILX", "12", "", "EHLOx y"):
        t.want(c.cmd(line), "500 5.5.2|502 5.5.1|501 5.5.x")
    t.in_step(c)


@table([("CMD-09", v + " is refused and never forwarded", v) for v in
        ("XEXCH50 20 2", "X-ANONYMOUSTLS", "X-EXPS NTLM", "XPROXY SID=1", "XPROXYFROM SID=1", "XPROXYTO x",
         "XSESSIONPARAMS x", "XSHADOW x", "XRDST x", "XCLIENT ADDR=192.0.2.1", "XFORWARD ADDR=192.0.2.1", "ETRN example.test",
         "TURN", "ATRN", "AUTH PLAIN AGEAYg==", "BURL imap://x LAST", "SEND FROM:<a@b.example>", "SOML FROM:<a@b.example>",
         "SAML FROM:<a@b.example>", "DEBUG", "WIZ")])
def private_verbs(t, line):
    c = t.open()
    t.want(c.cmd(line), "5xx")
    t.want(c.cmd("NOOP"), "250")
    verb = line.split(" ")[0].encode()
    t.true(not any(l.upper().startswith(verb) for l in t.sink.commands()), "not forwarded", t.sink.commands())


@case("CMD-10", "NOOP, NOOP text, RSET: 250 2.0.0")
def idle_commands(t):
    c = t.greeted()
    for line in ("NOOP", "NOOP some text", "RSET", "noop"):
        t.want(c.cmd(line), "250 2.0.0")


@case("CMD-11", "RSET ends the transaction on both sides; nothing of it is in the next message")
def rset_leaks_nothing(t):
    c = t.open(("eve@example.test",))
    t.want(c.cmd("RSET"), "250 2.0.0")
    t.want(c.cmd("RCPT TO:<mallory@example.test>"), "503")
    m = t.deliver(rcpts=("carol@example.test",), client=c, sender="second@elsewhere.invalid")
    t.true(m.recipients == [b"carol@example.test"] and m.sender == b"second@elsewhere.invalid", "a new envelope", m.rcpts)


@case("CMD-12", "VRFY: 252 or 502; EXPN: 502; not forwarded")
def vrfy_expn(t):
    c = t.greeted()
    t.want(c.cmd("VRFY bob@example.test"), "252|502")
    t.want(c.cmd("EXPN staff"), "502")
    t.true(not t.sink.commands("VRFY") and not t.sink.commands("EXPN"), "not forwarded")


@case("CMD-13", "SHOULD: HELP: 214 or 502, no version")
def help_tells_no_version(t):
    reply = t.want(t.greeted().cmd("HELP"), "214|502")
    t.true("0.1" not in reply.text, "no version", reply.text)


@case("CMD-14", "SHOULD: DATA x, RSET x, QUIT x: 501 5.5.4")
def no_argument_allowed(t):
    c = t.open()
    for line in ("DATA x", "RSET x", "QUIT x"):
        t.want(c.cmd(line), "501 5.5.4")
    t.want(c.data(MESSAGE), "250")


@case("CMD-15", "lines to 2048 octets work; a longer one gets one 500 5.5.2 and its tail is no command")
def long_lines(t):
    c = t.greeted()
    t.want(c.cmd("NOOP " + "x" * 505), "250")
    t.want(c.cmd("NOOP " + "x" * (2048 - 7)), "250")
    c.send(b"NOOP " + b"y" * 4000 + b" \r MAIL FROM:<a@b.example>" + b"z" * 3000 + b"\r\nNOOP\r\n")
    t.want(c.reply(), "500 5.5.2|421|554")
    t.want(c.reply(), "250")
    t.true(c.quiet(0.2), "no more replies", c.buffer)


@case("CMD-16", "4 MiB without a newline: a refusal and closed, or one reply; no crash")
def endless_line(t):
    c = t.greeted()
    try:
        for _ in range(64):
            c.send(b"A" * 65536)
        c.send(b"\r\n")
        t.want(c.reply(), "500|421|554")
    except (OSError, Lost):
        pass
    t.deliver()


@case("CMD-17", "bare LF is no line end: one refusal, closed")
def bare_lf_in_commands(t):
    c = t.client()
    c.send(b"NOOP\nNOOP\n")
    t.want(c.reply(), "500 5.5.2|521 5.5.2")
    t.closed(c)
    c = t.open()
    c.send(b"RCPT TO:<carol@example.test>\nRCPT TO:<dave@example.test>\r\n")
    c.replies_to_end()
    t.true(not any(b"carol" in l or b"dave" in l for l in t.sink.commands()), "nothing of it upstream")


@table([("CMD-18", "CR inside a command: 501, no CR upstream or in the reply: %r" % l, l) for l in
        (b"MAIL FROM:<a@b.example>\rRCPT TO:<evil@example.test>", b"MAIL FROM:<a\r@b.example>", b"\rNOOP", b"NOOP\r x")])
def cr_in_commands(t, line):
    c = t.greeted()
    reply = t.want(c.cmd(line), "501|500|521")
    t.true(b"\r" not in reply.raw[:-2], "no raw CR", reply.raw)
    t.true(b"evil" not in t.sink.octets(), "nothing upstream", t.sink.octets())


@table([("CMD-19", "NUL in a command: 501, nothing of it upstream: %r" % l, l) for l in
        (b"MAIL FROM:<a@b.example>\0", b"MAIL FROM:<a\0@b.example>", b"NOOP\0", b"\0NOOP", b"RCPT TO:<bob@example.test\0>")])
def nul_in_commands(t, line):
    c = t.greeted()
    t.want(c.cmd(line), "501|500|503")
    t.true(b"\0" not in t.sink.octets(), "nothing upstream")
    t.ends_or_in_step(c)


@case("CMD-20", "8-bit addresses without SMTPUTF8: 553 5.6.7 or 501, not passed on")
def raw_eight_bit_addresses(t):
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<b\xfccher@elsewhere.invalid>"), "553 5.6.7|501")
    t.want(c.cmd("MAIL FROM:<a@elsewhere.invalid>"), "250")
    t.want(c.cmd("RCPT TO:<b\xfccher@example.test>"), "553 5.6.7|501")
    t.true(b"\xc3" not in t.sink.octets(), "nothing upstream")


@table([("CMD-21", "SHOULD: blanks are tolerated, and the upstream gets the canonical form: " + m, m, r) for m, r in
        (("MAIL FROM: <alice@elsewhere.invalid>", "RCPT TO: <bob@example.test>"),
         ("MAIL  FROM:<alice@elsewhere.invalid>", "RCPT  TO:<bob@example.test>"),
         ("MAIL FROM:<alice@elsewhere.invalid>  ", "RCPT TO:<bob@example.test> "))])
def canonical_upstream(t, mail, rcpt):
    c = t.greeted()
    first = c.cmd(mail)
    t.want(first, "250|501")
    if first.code != "250":
        return
    second = c.cmd(rcpt)
    t.want(second, "250|501")
    if second.code == "250":
        t.true(t.sink.commands("MAIL")[-1].startswith(b"MAIL FROM:<alice@elsewhere.invalid>"), "canonical MAIL",
               t.sink.commands("MAIL"))
        t.true(t.sink.commands("RCPT")[-1].startswith(b"RCPT TO:<bob@example.test>"), "canonical RCPT",
               t.sink.commands("RCPT"))


@table([("CMD-22", "refused: " + l, l) for l in
        ("MAIL FROM:<a@b", "MAIL FROM:a@b>", "MAIL FROM:<a@b>>", "MAIL FROM:<<a@b>>", "MAIL <a@b>", "MAIL FROM",
         "MAIL", "MAIL FROM:", "MAIL FROM <a@b>", "MAIL TO:<a@b>", "MAIL FROM:<a@b>SIZE=1", "MAIL FROM:<a@b> <c@d>",
         "MAIL FROM:<a b@c>", "MAIL FROM:<@>", "MAIL FROM:<a@>", "MAIL FROM:<@b>", "MAIL FROM:<a@b..c>")])
def malformed_mail(t, line):
    c = t.greeted()
    t.want(c.cmd(line), "501|555|553")
    t.in_step(c)


@case("CMD-22", "MAIL FROM:a@b without brackets: refused, or sent on with them")
def mail_without_brackets(t):
    c = t.greeted()
    reply = t.want(c.cmd("MAIL FROM:a@b.example"), "501|250")
    if reply.code == "250":
        t.want(c.cmd("RCPT TO:<bob@example.test>"), "250")
        t.true(t.sink.commands("MAIL")[-1].startswith(b"MAIL FROM:<a@b.example>"), "with brackets", t.sink.commands("MAIL"))


@case("CMD-23", "after too many errors: 421 4.7.0, closed")
def too_many_errors(t):
    c = t.greeted()
    for i in range(25):
        reply = c.cmd("BOGUS%d" % i)
        if reply.code == "421":
            t.want(reply, "421 4.7.0")
            t.true(i >= 15, "not before about 20 errors", i)
            t.closed(c)
            return
        t.want(reply, "500")
    t.true(False, "421 after 20 errors")


@case("CMD-23", "limits.errors is what counts", "limited")
def configured_errors(t):
    c = t.greeted()
    codes = []
    while len(codes) < 10 and "421" not in codes:
        codes.append(c.cmd("BOGUS").code)
    t.true(4 <= len(codes) <= 7, "421 after about 5 errors", codes)


@case("CMD-24", "after a hundred commands without progress: 421 4.7.0")
def too_many_idle_commands(t):
    c = t.greeted()
    for i in range(160):
        reply = c.cmd(("NOOP", "RSET", "NOOP x", "EHLO again.example.net")[i % 4])
        if reply.code == "421":
            t.want(reply, "421 4.7.0")
            t.true(i >= 60, "not before about 100", i)
            return
    t.true(False, "421 within 160 commands")


@case("CMD-25", "half a command, then close: no effect")
def half_a_command(t):
    c = t.open()
    c.send(b"RCPT TO:<carol@example.test>")
    c.half_close()
    c.rest()
    t.true(b"carol" not in t.sink.octets(), "nothing of it upstream")
    t.none()


@case("CMD-26", "a session octet by octet behaves the same")
def octet_by_octet(t):
    c = t.greeted(octetwise=True)
    content = MESSAGE + b".dot\r\n..\r\n"
    t.same(t.deliver(content, client=c), content)
    t.want(c.cmd("QUIT"), "221")


@case("CMD-27", "QUIT in a transaction: 221, closed, no message")
def quit_in_transaction(t):
    c = t.open()
    t.want(c.cmd("QUIT"), "221")
    t.closed(c)
    t.none()


@case("CMD-28", "300 random commands: one reply each, no 354 outside DATA")
def random_commands(t):
    rng = random.Random(28)
    words = ["NOOP", "RSET", "VRFY x", "HELP", "MAIL FROM:<a@b.example>", "MAIL", "RCPT TO:<bob@example.test>", "RCPT",
             "RCPT TO:<x@elsewhere.invalid>", "EHLO x.example.net", "HELO x.example.net", "FOO", "EXPN y", "",
             "MAIL FROM:<> SIZE=1", "BDAT 0", "BDAT 0 LAST"]
    c = t.greeted()
    for i in range(300):
        line = rng.choice(words)
        if line.startswith("BDAT") or i % 8 == 0:
            line = "NOOP"
        reply = c.cmd(line)
        if reply.code == "421":
            c = t.greeted()
            continue
        t.valid(reply)
        t.true(reply.code != "354", "no 354", line)
        if i % 25 == 0:
            t.true(c.quiet(0.05), "one reply each", c.buffer)


@case("CMD-29", "tabs between words: accepted or 501, canonical upstream")
def tabs_between_words(t):
    c = t.greeted()
    reply = c.cmd("MAIL\tFROM:<a@b.example>")
    t.want(reply, "250|501|500")
    t.true(b"\t" not in t.sink.octets(), "no tab upstream")


@table([("CMD-30", "the same parameter twice: " + l, l) for l in
        ("MAIL FROM:<a@b.example> SIZE=1 SIZE=1", "MAIL FROM:<a@b.example> BODY=7BIT BODY=8BITMIME",
         "MAIL FROM:<a@b.example> RET=FULL RET=FULL", "MAIL FROM:<a@b.example> SMTPUTF8 SMTPUTF8")])
def doubled_parameters(t, line):
    t.want(t.greeted().cmd(line), "501 5.5.4")


@case("CMD-31", "every reply of ours has an enhanced code of its class, but greeting, EHLO, HELO, 354")
def enhanced_codes(t):
    c = t.client()
    t.true(not c.greeting.enhanced and not c.hello().enhanced, "none in greeting and EHLO", c.all)
    for line in ("NOOP", "RSET", "VRFY x", "EXPN x", "HELP", "FOO", "RCPT TO:<x@y.example>", "MAIL FROM:<a@b.example>",
                 "RCPT TO:<x@elsewhere.invalid>", "RCPT TO:<bob@example.test>", "MAIL FROM:<x", "AUTH", "QUIT x"):
        reply = c.cmd(line)
        t.true(reply.enhanced[:1] == reply.code[:1], "an enhanced code of the class for " + line, str(reply))
    t.true(not c.cmd("DATA").enhanced, "none in 354")


# ---- pipelining ----

@case("PIP-01", "MAIL, three RCPT and DATA in one segment: five replies; only the accepted reach the upstream")
def pipelined_envelope(t):
    t.script({"at": "RCPT", "match": "nobody", "reply": "550 5.1.1 nobody"})
    c = t.greeted()
    c.send(b"MAIL FROM:<alice@elsewhere.invalid>\r\nRCPT TO:<bob@example.test>\r\nRCPT TO:<nobody@example.test>\r\n"
           b"RCPT TO:<carol@example.test>\r\nDATA\r\n")
    t.wants([c.reply() for _ in range(5)], ["250", "250", "550 5.1.1", "250", "354"])
    c.send(MESSAGE + b".\r\n")
    t.want(c.reply(), "250")
    t.true(t.arrived(1)[0].recipients == [b"bob@example.test", b"carol@example.test"], "bob and carol",
           t.sink.messages[0].rcpts)


@case("PIP-02", "content behind DATA before 354: taken whole, or 554 and closed; its lines are no commands")
def transaction_stuffing(t):
    c = t.greeted()
    c.send(TXN + b"DATA\r\nSubject: stuffed\r\n\r\nx\r\n.\r\nNOOP\r\n")
    t.wants([c.reply(), c.reply()], ["250", "250"])
    reply = c.reply()
    t.want(reply, "354|554 5.5.0|503")
    if reply.code == "354":
        t.want(c.reply(), "250")
        t.want(c.reply(), "250")
    else:
        t.closed(c)
        t.none()


@case("PIP-02", "content behind a DATA with an argument is not run as commands either")
def stuffing_behind_an_argument(t):
    c = t.greeted()
    c.send(TXN + b"DATA x\r\nNOOP\r\nMAIL FROM:<smuggled@b.example>\r\n")
    t.wants([c.reply(), c.reply()], ["250", "250"])
    t.want(c.reply(), "554 5.5.0")
    t.closed(c)
    t.none()


@case("PIP-03", "the next transaction in the same segment as the dot works, and waits for the final reply")
def next_transaction_behind_the_dot(t):
    t.script({"at": "DOT", "nth": 1, "delay": 0.4})
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(MESSAGE + b".\r\nMAIL FROM:<second@elsewhere.invalid>\r\nRCPT TO:<carol@example.test>\r\nDATA\r\n")
    t.wants([c.reply() for _ in range(4)], ["250", "250", "250", "354"])
    c.send(MESSAGE + b".\r\n")
    t.want(c.reply(), "250")
    t.true([m.sender for m in t.arrived(2)] == [b"alice@elsewhere.invalid", b"second@elsewhere.invalid"], "both, in order")


@case("PIP-04", "local and upstream refusals mixed, the upstream slow: replies in the order of the commands")
def replies_keep_their_order(t):
    t.script({"at": "RCPT", "match": "slow", "delay": 0.4, "reply": "450 4.2.1 slow one"})
    c = t.greeted()
    c.send(b"MAIL FROM:<a@elsewhere.invalid>\r\nRCPT TO:<slow@example.test>\r\nRCPT TO:<x@elsewhere.invalid>\r\n"
           b"RCPT TO:<bob@example.test>\r\nBOGUS\r\nRSET\r\n")
    t.wants([c.reply() for _ in range(6)], ["250", "450 4.2.1", "550 5.7.1|554 5.7.1", "250", "500", "250"])


@case("PIP-05", "all recipients refused, DATA pipelined: 503 or 554, DATA is not sent on")
def data_without_recipients(t):
    t.script({"at": "RCPT", "reply": "550 5.1.1 no"})
    c = t.greeted()
    c.send(TXN + b"DATA\r\n")
    t.wants([c.reply() for _ in range(3)], ["250", "550", "503 5.5.1|554 5.5.1"])
    t.in_step(c)
    t.true(not t.sink.commands("DATA"), "no DATA upstream", t.sink.commands())


@case("PIP-06", "commands pipelined while the upstream takes a second to connect: in order, none lost", "failures")
def pipelined_into_a_slow_connect(t):
    t.script({"at": "CONNECT", "delay": 0.7, "reply": "220 slow"})
    c = t.greeted()
    c.send(TXN + b"RCPT TO:<carol@example.test>\r\nRCPT TO:<dave@example.test>\r\nDATA\r\n")
    t.wants([c.reply() for _ in range(5)], ["250", "250", "250", "250", "354"])
    c.send(MESSAGE + b".\r\nQUIT\r\n")
    t.wants([c.reply(), c.reply()], ["250", "221"])
    t.true(len(t.arrived(1)[0].rcpts) == 3, "three recipients")


@case("PIP-07", "commands pipelined behind EHLO: tolerated, or refused and closed; never out of step")
def pipelined_behind_ehlo(t):
    c = t.client()
    c.send(b"EHLO x.example.net\r\nNOOP\r\nNOOP x\r\nRSET\r\n")
    t.want(c.reply(), "250")
    reply = c.reply()
    t.want(reply, "250|503|554|421")
    if reply.code == "250":
        t.wants([c.reply(), c.reply()], ["250", "250"])
        t.in_step(c)


@case("PIP-08", "a lone RCPT is answered at once")
def replies_are_flushed(t):
    c = t.greeted()
    c.envelope(())
    started = time.monotonic()
    c.cmd("RCPT TO:<bob@example.test>")
    t.true(time.monotonic() - started < 1, "an answer within a second", time.monotonic() - started)


@case("PIP-09", "the dot and QUIT in one segment: the upstream's reply is awaited, 250 then 221")
def dot_and_quit(t):
    t.script({"at": "DOT", "delay": 0.5})
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(MESSAGE + b".\r\nQUIT\r\n")
    t.wants([c.reply(), c.reply()], ["250", "221"])
    t.closed(c)
    t.arrived(1)


@case("PIP-10", "MAIL and 100 RCPT in one write: 101 replies")
def many_recipients_at_once(t):
    c = t.greeted()
    c.send(b"MAIL FROM:<a@elsewhere.invalid>\r\n" + b"".join(b"RCPT TO:<u%d@example.test>\r\n" % i for i in range(100)))
    t.wants([c.reply() for _ in range(101)], ["250"] * 101)
    t.want(c.data(MESSAGE), "250")
    t.true(len(t.arrived(1)[0].rcpts) == 100, "100 recipients", len(t.sink.messages[0].rcpts))


@case("PIP-11", "an upstream without PIPELINING gets one command at a time", "few")
def upstream_without_pipelining(t):
    t.deliver(rcpts=["u%d@example.test" % i for i in range(20)])


@case("PIP-12", "nothing is sent behind EHLO, DATA, QUIT; MAIL and RCPT may be one group", "short")
def nothing_behind_synchronising_commands(t):
    # the sink notes a breach; the client is slow, so that the envelope is repeated in one group
    c = t.open(("u1@example.test", "u2@example.test", "u3@example.test"))
    time.sleep(0.7)
    t.want(c.data(MESSAGE), "250")
    t.arrived(1)


@case("PIP-13", "half close: an incomplete message is never delivered")
def half_close_incomplete(t):
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(MESSAGE)
    c.half_close()
    t.true(not any(code[:1] == "2" for code in c.replies_to_end()), "no 2xx")
    t.none()


@case("PIP-13", "half close: a complete message is processed and answered")
def half_close_complete(t):
    t.script({"at": "DOT", "delay": 0.3})
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(MESSAGE + b".\r\n")
    c.half_close()
    t.want(c.reply(), "250")
    t.arrived(1)


@case("PIP-14", "a backlog of pipelined input is bounded by back pressure, not by closing")
def backlog_is_bounded(t):
    t.script({"at": "RCPT", "nth": 1, "delay": 1.0})
    c = t.greeted()
    rcpts = b"".join(b"RCPT TO:<user-with-a-longer-name-%05d@example.test>\r\n" % i for i in range(3000))
    c.send(b"MAIL FROM:<a@elsewhere.invalid>\r\nRCPT TO:<bob@example.test>\r\n")
    c.sock.settimeout(15)
    c.sock.sendall(rcpts + b"RSET\r\n")
    codes = [c.reply().code for _ in range(3003)]
    t.true(codes[:2] == ["250", "250"] and codes[-1] == "250", "in order to the end", (codes[:3], codes[-3:]))
    t.true(codes[2:-1].count("250") == 99 and codes[2:-1].count("452") == 2901, "100 accepted, 452 for the rest",
           {x: codes.count(x) for x in set(codes)})


@case("PIP-15", "commands behind a RCPT that waits for the upstream are answered behind it")
def one_at_a_time(t):
    t.script({"at": "RCPT", "delay": 0.4})
    c = t.greeted()
    c.send(TXN + b"NOOP\r\nVRFY x\r\nRSET\r\n")
    t.want(c.reply(), "250 2.1.0")
    t.true(c.quiet(0.2), "nothing overtakes the RCPT", c.buffer)
    t.want(c.reply(), "250 2.1.5")
    t.wants([c.reply() for _ in range(3)], ["250", "252|502", "250"])
