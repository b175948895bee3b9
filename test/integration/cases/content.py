# SPDX-License-Identifier: Apache-2.0
"""DAT-*: transparency, line ends, smuggling."""
import random
import re
import time

from cases.harness import MESSAGE, case, table
from client import Lost, stuff

HEAD = b"From: <alice@elsewhere.invalid>\r\nSubject: s\r\n\r\n"
SECOND = (b"MAIL FROM:<smuggled@elsewhere.invalid>\r\nRCPT TO:<victim@example.test>\r\nDATA\r\n"
          b"Subject: second\r\n\r\nsmuggled\r\n")

SEQUENCES = [
    ("DAT-10", b"\n.\n"), ("DAT-11", b"\n.\r\n"), ("DAT-12", b"\r\n.\n"), ("DAT-13", b"\r.\r"),
    ("DAT-14", b"\r.\r\n"), ("DAT-15", b"\r.\n"), ("DAT-16", b"\n.\r"), ("DAT-17", b"\r\n.\rX\r\n"),
    ("DAT-18", b"\r\n\0.\r\n"), ("DAT-19", b"\r\n.\0\r\n"), ("DAT-20", b"\r\r\n.\r\r\n"), ("DAT-21", b"\r\n.\r\r\n"),
    ("DAT-22", b"\r\n. \r\n"), ("DAT-23", b"\n\n.\n\n"), ("DAT-23", b"\r\r.\r\r"),
    ("DAT-24", b"\r\n.\x85\r\n"), ("DAT-24", b"\r\n\x0b.\x0b\r\n"), ("DAT-24", b"\r\n.\x0c\r\n"), ("DAT-24", b"\x85.\x85"),
    ("DAT-25", b"\r\n..\r\r\n"), ("DAT-25", b"\r\n.\r\n.\r\r\n"[3:]),
]


def smuggle(t, sequence, octetwise=False):
    """Sends it inside content; returns the one final reply.  No smuggled command may have an effect."""
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.octetwise = octetwise
    c.send(HEAD + b"before" + sequence + SECOND + b"\r\n.\r\n")
    c.octetwise = False
    reply = t.want(c.reply(), "250|5xx")
    try:
        noop = c.cmd("NOOP marker")
        t.want(noop, "250|421")
        t.true(c.quiet(0.05), "one reply for the message and one for NOOP", c.buffer)
    except Lost:
        t.true(not c.buffer, "no reply to a smuggled command", c.buffer)
    t.true(b"MAIL FROM:<smuggled" not in b"\r\n".join(t.sink.commands()), "no smuggled command upstream", t.sink.commands())
    t.true(len(t.sink.messages) == (1 if reply.code == "250" else 0), "as many messages as acknowledged",
           len(t.sink.messages))
    return reply


@table([(i, "smuggling sequence %r: one reply, no smuggled command, nothing lenient upstream" % s, s)
        for i, s in SEQUENCES], "content")
def smuggling(t, sequence):
    smuggle(t, sequence)


@table([(i, "the same octet by octet: %r" % s, s) for i, s in SEQUENCES[::3]], "content")
def smuggling_octetwise(t, sequence):
    smuggle(t, sequence, True)


@table([(i, "bare_newline: normalize: %r is made harmless" % s, s) for i, s in SEQUENCES], "normalize")
def smuggling_normalized(t, sequence):
    reply = smuggle(t, sequence)
    t.want(reply, "5xx" if b"\0" in sequence else "250")


def wire_message(t, wire, client=None):
    """Sends these octets behind 354; the final reply."""
    c = client or t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(wire)
    return c.reply()


@case("DAT-01", "the client's 250 comes after the upstream's", "content")
def acknowledged_after_the_upstream(t):
    t.script({"at": "DOT", "delay": 0.8})
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(MESSAGE + b".\r\n")
    t.true(c.quiet(0.5), "no reply before the upstream's", c.buffer)
    t.want(c.reply(), "250")


@case("DAT-02", "lines of dots arrive octet-identical", "content")
def dot_lines(t):
    content = HEAD + b".\r\n..\r\n...\r\n.x\r\nx.\r\n. .\r\n\r\n.\r\nend\r\n"
    t.same(t.deliver(content), content)


@case("DAT-03", "the first line begins with a dot", "content")
def first_line_is_a_dot_line(t):
    content = b".first\r\nsecond\r\n"
    c = t.open()
    reply = t.want(c.data(content), "250|554 5.6.0")
    if reply.code == "250":
        t.same(t.arrived(1)[0], content)


@table([("DAT-04", "no empty line is added or removed at the end: %r" % e, e) for e in (b"x\r\n", b"x\r\n\r\n", b"x\r\n\r\n\r\n")],
       "content")
def end_of_content(t, end):
    t.same(t.deliver(HEAD + end), HEAD + end)


@case("DAT-05", "DATA and a dot: one reply; inserted headers form a valid section", "content")
def empty_message(t):
    c = t.open()
    reply = t.want(c.data(b""), "250|554 5.6.0")
    if reply.code == "250":
        wire = t.arrived(1)[0].data
        t.true(re.match(rb"(([!-9;-~]+:.*|[ \t].*)\r\n)*(\r\n)?\Z", wire), "a header section", wire)
    t.in_step(c)


@table([("DAT-06", "end of data cut at octet %d" % n, n) for n in range(1, 9)], "content")
def end_of_data_in_pieces(t, cut):
    content = HEAD + b"body\r\n"
    wire = content + b".\r\nNOOP\r\n"
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(wire, [len(content) - 4 + cut])
    t.want(c.reply(), "250")
    t.want(c.reply(), "250")
    t.same(t.arrived(1)[0], content)


@case("DAT-07", "dot-stuffed lines cut at each octet", "content")
def stuffed_lines_in_pieces(t):
    content = HEAD + b".\r\n..a\r\n.b\r\n"
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.octetwise = True
    c.send(stuff(content) + b".\r\n")
    c.octetwise = False
    t.want(c.reply(), "250")
    t.same(t.arrived(1)[0], content)


@table([("DAT-08", "random content, part %d: exactly one end of data for each acknowledged message" % n, n) for n in range(4)],
       "content")
def random_content(t, seed):
    random_messages(t, seed, lambda parts: b"\r" not in parts and b"\n" not in parts and b"\0" not in parts)


@table([("DAT-08", "random content, normalised, part %d" % n, n) for n in range(2)], "normalize")
def random_content_normalized(t, seed):
    random_messages(t, 50 + seed, lambda parts: b"\0" not in parts)


def random_messages(t, seed, acceptable):
    rng = random.Random(seed)
    alphabet = [b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"a", b" ", b"..", b"\r\n..", b"MAIL FROM:<x@y.example>", b"\t", b"\x85"]
    rare = [b"\0", b"\r\n. \r\n", b"QUIT\r\n", b"x" * 3000]
    c = t.greeted()
    for _ in range(30):
        body = b"".join(rng.choice(alphabet if rng.random() < 0.97 else rare) for _ in range(rng.randrange(1, 40)))
        wire = HEAD + body + (b"" if body.endswith(b"\r\n") else b"\r\n")
        while b"\r\n.\r\n" in wire:
            wire = wire.replace(b"\r\n.\r\n", b"\r\n..\r\n")
        had = len(t.sink.messages)
        for reply in c.envelope():
            t.want(reply, "250|421")
        pieces = sorted(rng.sample(range(1, len(wire) + 3), min(4, len(wire)))) if rng.random() < 0.3 else None
        t.want(c.cmd("DATA"), "354")
        c.send(wire + b".\r\n", pieces)
        reply = t.want(c.reply(), "250|5xx")
        rest = re.sub(rb"\r\n", b"", wire)
        good = acceptable(rest)
        t.true((reply.code == "250") == good, "250 is %s for %r" % (good, wire), str(reply))
        t.true(len(t.sink.messages) - had == (1 if good else 0), "one message for one 250", len(t.sink.messages) - had)
        if good and b"\r" not in rest and b"\n" not in rest:
            content = re.sub(rb"(^|\r\n)\.", rb"\1", wire)
            t.same(t.sink.messages[-1], content)
        try:
            t.want(c.cmd("NOOP"), "250")
        except Lost:
            c = t.greeted()


@case("DAT-26", "bare LF or CR: 550 5.6.11 after the real end of data", "content")
def bare_newline_is_refused(t):
    for bad in (b"a\nb\r\n", b"a\rb\r\n", b"a\r\r\nb\r\n"):
        c = t.open()
        t.want(c.cmd("DATA"), "354")
        c.send(HEAD + bad)
        t.true(c.quiet(0.1), "no reply before the end of data (DAT-33)", c.buffer)
        c.send(b".\r\n")
        t.want(c.reply(), "550 5.6.11")
        t.ends_or_in_step(c)
    t.none()


@table([("A14", "refused content ends with %r: 550 5.6.11 and closed" % e, e) for e in
        (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r\n")], "content")
def refused_content_ends_leniently(t, end):
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(HEAD + b"a\nb" + end)
    t.want(c.reply(2), "550 5.6.11")
    t.closed(c)
    t.none()


@case("A14", "refused content and the client's end of file: 550 5.6.11", "content")
def refused_content_ends_with_the_connection(t):
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(HEAD + b"a\nb\n")
    c.half_close()
    t.want(c.reply(2), "550 5.6.11")
    t.none()


@case("A14", "refused content of twice the size limit: 550 5.6.11", "limited")
def refused_content_without_an_end(t):
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(HEAD + b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 1400)
    t.want(c.reply(2), "550 5.6.11")
    t.closed(c)


@case("A14", "clean content above the size limit is still taken to its real end", "limited")
def clean_content_is_taken_to_its_end(t):
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(HEAD + (b"y" * 98 + b"\r\n") * 1400)
    t.true(c.quiet(0.2), "no reply before the end of data", c.buffer)
    c.send(b".\r\n")
    t.want(c.reply(), "552 5.3.4")
    t.in_step(c)


@case("A24", "twenty messages of bare LF are refused and ban nobody; well-formed mail passes", "banning")
def sloppy_is_not_hostile(t):
    for end in (b"\n.\n", b"\r\n.\r\n") * 10:
        c = t.open()
        t.want(c.cmd("DATA"), "354")
        c.send(HEAD + b"a\nb" + end)
        t.want(c.reply(), "550 5.6.11")
        t.closed(c)
    t.deliver()


@table([("DAT-30", "normalised: %r arrives as %r" % (a, b), a, b) for a, b in
        ((b"a\nb\r\n", b"a\r\nb\r\n"), (b"\n\nx\n\r\n", b"\r\n\r\nx\r\n\r\n"), (b"a\n..b\r\n", b"a\r\n.b\r\n"))] +
       [("A23", "normalised: dots behind %r are dots of transparency" % e, b"a" + e + b".b" + e + b"..c" + e + b"...\r\n", w)
        for e, w in ((b"\n", b"a\r\nb\r\n.c\r\n..\r\n"), (b"\r\r\n", b"a\r\nb\r\n.c\r\n..\r\n"), (b"\r", b"a .b ..c ...\r\n"))],
       "normalize")
def bare_lf_normalized(t, wire, content):
    c = t.open()
    t.want(wire_message(t, HEAD + wire + b".\r\n", c), "250")
    t.same(t.arrived(1)[0], HEAD + content)


@table([("A1", "normalised: %r arrives as %r" % (a, b), a, b) for a, b in
        ((b"Subject: a\r\r\nFrom: b@b.test\r\nTo: x\r\n\r\nbody\r\n", b"Subject: a\r\nFrom: b@b.test\r\nTo: x\r\n\r\nbody\r\n"),
         (b"Subject: a\rX-Glacis-Verdict: accept\r\n\r\nbody\r\n", b"Subject: a X-Glacis-Verdict: accept\r\n\r\nbody\r\n"),
         (b"Subject: a\nX-Glacis-Verdict: accept\r\n\r\nbody\r\n", b"Subject: a\r\n\r\nbody\r\n"),
         (b"Subject: a\r\n\rFrom: b@b.test\r\n\r\nbody\r\n", b"Subject: a\r\n From: b@b.test\r\n\r\nbody\r\n"),
         (b"Subject: a\r\r\n\r\r\nbody\r\r\n", b"Subject: a\r\n\r\nbody\r\n"),
         (b"Subject: a\r\r\n\r\nbody\r\n", b"Subject: a\r\n\r\nbody\r\n"))], "normalize")
def lines_of_the_header_section(t, wire, content):
    t.want(wire_message(t, wire + b".\r\n"), "250")
    t.same(t.arrived(1)[0], content)


@table([("DAT-31", "normalised: bare CR is passed only as a blank or a line end: %r" % w, w) for w in
        (b"a\rb\r\n", b"a\r\r\nb\r\n", b"a\r\r\r\n", b"\r.\r\r\n")], "normalize")
def bare_cr_normalized(t, wire):
    t.want(wire_message(t, HEAD + wire + b".\r\n"), "250")
    got = t.arrived(1)[0].data
    t.true(b"\r" not in got.replace(b"\r\n", b""), "no bare CR", got)


@case("DAT-32", "NUL: refused, never cut short", "content")
def nul_in_content(t):
    c = t.open()
    t.want(wire_message(t, HEAD + b"a\0b\r\n.\r\n", c), "554 5.6.0")
    t.none()
    t.ends_or_in_step(c)


@table([("DAT-34", "a line of %d octets unchanged" % n, n) for n in (997, 998, 999, 1000, 4094, 4095, 4096, 4097)], "content")
def lines_of_a_length(t, size):
    content = HEAD + b"x" * size + b"\r\n" + b"." * size + b"\r\nend\r\n"
    t.same(t.deliver(content), content)


@case("DAT-35", "a line of 100 kB: unchanged or 554 5.6.0, never cut", "content")
def very_long_line(t):
    content = HEAD + b"y" * 100000 + b"\r\n.end\r\n"
    c = t.open()
    reply = t.want(c.data(content), "250|554 5.6.0")
    if reply.code == "250":
        t.same(t.arrived(1)[0], content)


@case("DAT-36", "8-bit content unchanged with BODY=8BITMIME, which is passed on, and without", "content")
def eight_bit(t):
    content = HEAD + bytes(o for o in range(1, 256) if o not in (10, 13)) + b"\r\n"
    t.same(t.deliver(content, params=" BODY=8BITMIME"), content)
    t.true(b"BODY=8BITMIME" in t.sink.messages[0].mail.upper(), "BODY=8BITMIME upstream", t.sink.messages[0].mail)
    t.same(t.deliver(content), content)


@case("DAT-36", "BODY=7BIT is passed on, and taken back where the content has other octets", "content")
def seven_bit(t):
    t.deliver(MESSAGE)
    t.true(b"BODY=" not in t.sink.messages[-1].mail.upper(), "no BODY upstream", t.sink.messages[-1].mail)
    t.same(t.deliver(MESSAGE, params=" BODY=7BIT"), MESSAGE)
    t.true(b"BODY=7BIT" in t.sink.messages[-1].mail.upper(), "BODY=7BIT upstream", t.sink.messages[-1].mail)
    content = HEAD + b"na\xc3\xafve\r\n"
    t.same(t.deliver(content, params=" BODY=7BIT"), content)
    t.true(b"BODY=8BITMIME" in t.sink.messages[-1].mail.upper(), "BODY=8BITMIME upstream", t.sink.messages[-1].mail)


@case("DAT-37", "a message just under the limit arrives whole", "content")
def just_under_the_limit(t):
    content = HEAD + (b"z" * 76 + b"\r\n") * ((1048576 - 2000) // 78)
    t.same(t.deliver(content), content)


@table([("DAT-38", "the client %s inside content: the upstream gets no end of data" % how, how)
        for how in ("closes", "resets", "half-closes")], "content")
def client_gone_inside_content(t, how):
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(HEAD + b"half a mess")
    {"closes": c.close, "resets": c.reset, "half-closes": c.half_close}[how]()
    t.none()


@case("DAT-39", "the client is gone after its end of data: one delivery, and it is logged", "content")
def client_gone_after_the_dot(t):
    t.script({"at": "DOT", "delay": 0.5})
    c = t.open()
    t.want(c.cmd("DATA"), "354")
    c.send(MESSAGE + b".\r\n")
    t.sink.wait(lambda: t.sink.commands("DATA"), 3)
    time.sleep(0.1)
    c.reset()
    t.arrived(1)
    t.deliver(rcpts=("carol@example.test",))


@case("DAT-41", "refused after content (a NUL): the upstream's transaction ends without a dot", "content")
def refused_after_content(t):
    c = t.open()
    t.want(wire_message(t, HEAD + b"\0\r\n.\r\n", c), "554")
    t.none()
    t.deliver(rcpts=("carol@example.test",))


@case("DAT-42", "header order, folding, tabs, trailing blanks, case untouched", "content")
def header_octets_untouched(t):
    content = (b"sUbJect:  odd   spacing \t \r\n\tfolded with a tab\r\n  and blanks  \r\nX-Empty:\r\nx-B: 2\r\nX-A: 1\r\n"
               b"TO : <bob@example.test>\r\nX-Long: " + b"w" * 1200 + b"\r\n\r\nbody \t\r\n")
    t.same(t.deliver(content), content)


@case("DAT-33", "after a refusal for bare newlines the next message of a new session passes", "content")
def usable_after_a_refusal(t):
    c = t.open()
    t.want(wire_message(t, HEAD + b"a\nb\r\n.\r\n", c), "550 5.6.11")
    t.ends_or_in_step(c)
    t.same(t.deliver(), MESSAGE)


@table([("DAT-40", "%s: the upstream gets no end of data" % w, act) for w, act in
        (("RSET after BDAT", "rset"), ("QUIT after BDAT", "quit"), ("EHLO after BDAT", "ehlo"))], "content")
def no_end_without_the_clients(t, act):
    c = t.open()
    t.want(c.bdat(HEAD + b"body\r\n"), "250")
    t.want(c.cmd({"rset": "RSET", "quit": "QUIT", "ehlo": "EHLO again.example.net"}[act]), "250|221")
    t.none(c)
    t.true(not t.sink.commands("DATA"), "no DATA", t.sink.commands())
