# SPDX-License-Identifier: Apache-2.0
"""RLY-*, DSN-*, ADR-*, UTF-*, RTE-*: who may be written to, addresses, parameters, routes."""
from cases.harness import MESSAGE, case, table

NUL = "\0"


def rcpt(t, path, wanted, params=""):
    """One RCPT on a session of its own; the reply."""
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<alice@elsewhere.invalid>"), "250")
    return t.want(c.cmd(("RCPT TO:" + path + params).encode("utf-8")), wanted)


@table([("RLY-01", "a foreign domain is refused, the upstream is not asked: " + p, p) for p in
        ("<x@elsewhere.invalid>", "<x@gmail.example>", "<x@test>", "<x@com>")])
def foreign_domain(t, path):
    rcpt(t, path, "550 5.7.1|554 5.7.1")
    t.true(not t.sink.commands("RCPT"), "not asked", t.sink.commands())


@table([(i, "no relay by routing syntax: " + p, p) for i, p in
        (("RLY-02", "<user%victim.test@example.test>"), ("RLY-02", "<user%victim.test%x@example.test>"),
         ("RLY-03", "<victim.test!user@example.test>"), ("RLY-04", "<@example.test:user@victim.test>"),
         ("RLY-06", '<"user@victim.test"@example.test>'), ("RLY-06", '<"user%victim.test"@example.test>'),
         ("RLY-06", '<"victim.test!user"@example.test>'), ("RLY-07", "<a@b@example.test>"),
         ("RLY-07", "<a@example.test@victim.test>"), ("RLY-08", "<user@[127.0.0.1]>"), ("RLY-08", "<user@[IPv6:::1]>"),
         ("RLY-08", "<user@127.0.0.1>"), ("RLY-08", "<user@[]>"), ("RLY-09", "<u@sub.example.test>"),
         ("RLY-09", "<u@xexample.test>"), ("RLY-09", "<u@example.test.victim.test>"), ("RLY-11", "<bob>"),
         ("RLY-11", "<>"), ("RLY-11", "<@>"), ("RLY-11", "<bob@>"), ("RLY-11", "<bob@.>"), ("RLY-11", "<bob@a..b>"),
         ("RLY-11", "<bob@@example.test>"), ("RLY-11", "<@example.test>"), ("RLY-11", "<bob@.example.test>"),
         ("RLY-11", "<bob@-example.test>"), ("RLY-11", "bob@example.test>"), ("RLY-11", "<bob@example.test"))])
def refused_recipients(t, path):
    rcpt(t, path, "5xx")
    t.true(not t.sink.commands("RCPT"), "the upstream is not asked", t.sink.commands())


@table([("RLY-05", "a source route is stripped or refused: " + p, p) for p in
        ("<@x.test,@y.test:bob@example.test>", "<@x.test:bob@example.test>")])
def source_route(t, path):
    reply = rcpt(t, path, "250|5xx")
    sent = t.sink.commands("RCPT")
    t.true(not any(b"@x.test" in l for l in sent), "no route upstream", sent)
    t.true(reply.code != "250" or sent[0].startswith(b"RCPT TO:<bob@example.test>"), "the final address", sent)


@table([("RLY-09", "accepted: " + p, p) for p in ("<bob@EXAMPLE.TEST>", "<bob@a.wild.test>", "<bob@a.b.WILD.test>")])
def own_domains(t, path):
    rcpt(t, path, "250")


@case("RLY-09", "a trailing dot is refused or removed; the parent of a subdomain entry is foreign")
def domain_borders(t):
    reply = rcpt(t, "<bob@example.test.>", "250|5xx")
    t.true(reply.code != "250" or t.sink.commands("RCPT")[0].startswith(b"RCPT TO:<bob@example.test>"), "without the dot")
    rcpt(t, "<bob@wild.test>", "550 5.7.1|554 5.7.1")


@table([("RLY-10", "postmaster is accepted: " + p, p) for p in ("<postmaster>", "<Postmaster>", "<postmaster@example.test>")])
def postmaster(t, path):
    rcpt(t, path, "250")
    t.true(b"example.test" in t.sink.commands("RCPT")[0].lower() or path.lower() == "<postmaster>", "at its home",
           t.sink.commands("RCPT"))


@case("RLY-12", "AUTH is not offered and not passed on; AUTH= of strangers is not passed on")
def no_auth(t):
    c = t.client()
    t.true("AUTH" not in c.hello().text, "not offered")
    t.want(c.cmd("AUTH PLAIN AGEAYg=="), "502|503|500")
    reply = t.want(c.cmd("MAIL FROM:<alice@elsewhere.invalid> AUTH=admin@example.test"), "250|555|501")
    if reply.code == "250":
        t.want(c.cmd("RCPT TO:<bob@example.test>"), "250")
    t.true(b"admin@" not in t.sink.octets(), "not passed on", t.sink.octets())


@case("RLY-13", "domains are compared as A-labels")
def a_labels(t):
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<alice@elsewhere.invalid> SMTPUTF8"), "250")
    t.want(c.cmd("RCPT TO:<bob@b\u00fccher.test>"), "250")
    t.want(c.cmd("RCPT TO:<bob@B\u00dcCHER.test>"), "250|5xx")
    t.want(c.cmd("RCPT TO:<bob@XN--BCHER-KVA.test>"), "250")
    t.want(c.cmd("RCPT TO:<bob@b\u0443cher.test>"), "5xx")


@case("RLY-15", "RCPT is answered live by the upstream; 4xx is not remembered", "failures")
def live_answers(t):
    t.script({"at": "RCPT", "nth": 1, "reply": "450 4.2.0 later"})
    c = t.greeted()
    t.wants(c.envelope(), ["250", "450 4.2.0"])
    t.want(c.cmd("RCPT TO:<bob@example.test>"), "250")


@case("RLY-10", "postmaster of a domain with a list is there although the list has none: the upstream is asked")
def postmaster_without_a_list(t):
    c = t.greeted()
    t.wants(c.envelope(("PostMaster@listed.test", "nobody@listed.test")), ["250", "250", "550 5.1.1"])
    t.want(c.data(MESSAGE), "250")
    t.true(t.arrived(1)[0].recipients == [b"PostMaster@listed.test"], "asked and delivered", t.sink.messages[0].rcpts)
    t.script({"at": "RCPT", "match": "postmaster", "reply": "550 5.1.1 nobody at home"})
    c = t.greeted()
    t.wants(c.envelope(("postmaster@listed.test",)), ["250", "550 5.1.1"])


@case("RLY-15", "validate: none answers here; validate: file answers from the file")
def other_validation(t):
    c = t.greeted()
    t.wants(c.envelope(("anyone@any.test",)), ["250", "250"])
    t.want(c.cmd("RCPT TO:<known@listed.test>"), "250")
    t.want(c.cmd("RCPT TO:<other.name@listed.test>"), "250|550")
    t.want(c.cmd('RCPT TO:<"Known"@listed.test>'), "250")      # C12
    t.want(c.cmd("RCPT TO:<stranger@listed.test>"), "550 5.1.1")
    t.want(c.cmd('RCPT TO:<"stranger"@listed.test>'), "550 5.1.1")
    t.true(not any(b"stranger" in l for l in t.sink.commands()), "not asked")
    t.want(c.data(MESSAGE), "250")


# ---- DSN ----

@case("DSN-01", "the null sender is accepted and sent on")
def null_sender(t):
    m = t.deliver(sender="")
    t.true(m.mail.startswith(b"MAIL FROM:<>"), "MAIL FROM:<>", m.mail)


@case("DSN-02", "RET, ENVID, NOTIFY, ORCPT of a client that we know go unchanged to an upstream with DSN", "known")
def dsn_parameters(t):
    c = t.client()
    t.true("DSN" in c.hello().text, "offered")
    t.want(c.cmd("MAIL FROM:<alice@elsewhere.invalid> RET=HDRS ENVID=QQ+2B314159"), "250")
    t.want(c.cmd("RCPT TO:<bob@example.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;Bob+40x@example.test"), "250")
    t.want(c.data(MESSAGE), "250")
    m = t.arrived(1)[0]
    t.true(b"RET=HDRS" in m.mail and b"ENVID=QQ+2B314159" in m.mail, "RET and ENVID", m.mail)
    t.true(b"NOTIFY=SUCCESS,FAILURE,DELAY" in m.rcpts[0] and b"ORCPT=rfc822;Bob+40x@example.test" in m.rcpts[0],
           "NOTIFY and ORCPT", m.rcpts)


@table([("DSN-03", "malformed: " + l, l) for l in
        ("MAIL RET=SOME", "MAIL RET=FULL RET=HDRS", "RCPT NOTIFY=NEVER,SUCCESS", "RCPT NOTIFY=SOMETIMES", "RCPT ORCPT=rfc822",
         "RCPT NOTIFY=NEVER NOTIFY=NEVER", "RCPT RET=FULL", "MAIL NOTIFY=NEVER")])
def malformed_dsn(t, line):
    verb, param = line.split(" ", 1)
    if verb == "MAIL":
        t.want(t.greeted().cmd("MAIL FROM:<a@elsewhere.invalid> " + param), "501 5.5.4|555 5.5.4")
    else:
        rcpt(t, "<bob@example.test>", "501 5.5.4|555 5.5.4", " " + param)


@table([("DSN-03", "A12: an odd one is dropped or made whole, and the mail goes on: %r" % p, (v, p, kept)) for v, p, kept in
        (("MAIL", "RET=", b""), ("MAIL", "RET", b""), ("MAIL", "ENVID=", b""), ("MAIL", "ENVID=a+b", b""),
         ("MAIL", "ENVID=a+4g", b""), ("MAIL", "ENVID=a=b", b" ENVID=a+3Db"), ("MAIL", "ENVID=a+2bc", b" ENVID=a+2Bc"),
         ("MAIL", "ENVID=" + "e" * 101, b""), ("MAIL", "ENVID=\u00e4", b""), ("MAIL", "AUTH=", b""), ("MAIL", "AUTH", b""),
         ("RCPT", "NOTIFY=", b""), ("RCPT", "NOTIFY=DELAY,DELAY,", b" NOTIFY=DELAY"), ("RCPT", "ORCPT=rfc822;a+zz", b""),
         ("RCPT", "ORCPT=;x", b""), ("RCPT", "ORCPT=rfc822;" + "o" * 500, b""),
         ("RCPT", "ORCPT=rfc822;a=b@c.test", b" ORCPT=rfc822;a+3Db@c.test"),
         ("RCPT", "ORCPT=rfc822;a+0D+0AX-Evil:+20yes", b""))])
def odd_dsn(t, row):
    verb, param, kept = row
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<a@elsewhere.invalid>" + (" " + param if verb == "MAIL" else "")), "250")
    t.want(c.cmd("RCPT TO:<bob@example.test>" + (" " + param if verb == "RCPT" else "")), "250")
    t.want(c.data(MESSAGE), "250")
    m = t.arrived(1)[0]
    line = m.mail if verb == "MAIL" else m.rcpts[0]
    t.true(line.split(b">", 1)[1].replace(b" SIZE=%d" % len(MESSAGE), b"").rstrip() == kept, "what is passed on", line)


@table([("DSN-02", "C6: a stranger is not offered DSN, and what it asks for is dropped: " + p, p) for p in
        ("NOTIFY=SUCCESS", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@y.test", "NOTIFY=NEVER")], "strangers")
def strangers_reports(t, params):
    c = t.client()
    t.true("DSN" not in c.hello().text, "not offered")
    t.want(c.cmd("MAIL FROM:<forged@elsewhere.invalid> RET=FULL ENVID=x"), "250")
    t.want(c.cmd("RCPT TO:<bob@example.test> " + params), "250")
    t.want(c.data(MESSAGE), "250")
    t.true(not any(w in t.sink.octets() for w in (b"NOTIFY", b"RET=", b"ENVID", b"ORCPT")), "nothing of it", t.sink.octets())


@case("DSN-02", "C6: with dsn: true a stranger's NOTIFY=SUCCESS is dropped, its others are not")
def success_of_a_stranger(t):
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<forged@elsewhere.invalid> RET=HDRS"), "250")
    t.want(c.cmd("RCPT TO:<bob@example.test> NOTIFY=SUCCESS,DELAY"), "250")
    t.want(c.cmd("RCPT TO:<eve@example.test> NOTIFY=SUCCESS"), "250")
    rcpts = t.sink.commands("RCPT")
    t.true(rcpts[0].endswith(b"> NOTIFY=DELAY") and rcpts[1].endswith(b">"), "DELAY alone", rcpts)


@case("DSN-04", "xtext stays encoded")
def xtext_stays(t):
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<a@elsewhere.invalid> ENVID=a+20b+0D+0Ac"), "250|501 5.5.4")
    t.want(c.cmd("RSET"), "250")
    t.want(c.cmd("MAIL FROM:<a@elsewhere.invalid> ENVID=a+20b+3D"), "250")
    t.want(c.cmd("RCPT TO:<bob@example.test>"), "250")
    t.true(b"ENVID=a+20b+3D" in t.sink.commands("MAIL")[-1], "as it came", t.sink.commands("MAIL"))


@case("DSN-05", "a refused message creates nothing at the upstream", "failures")
def no_bounce(t):
    t.script({"at": "DOT", "reply": "554 5.0.0 no"})
    c = t.open()
    t.want(c.data(MESSAGE), "554")
    t.none(c)
    t.true(not any(b"MAIL FROM:<>" in l for l in t.sink.commands()), "no bounce")


@case("DSN-07", "SHOULD: the null sender with several recipients")
def null_sender_many(t):
    t.deliver(sender="", rcpts=("bob@example.test", "carol@example.test"))


@table([("DSN-09", "tagged sender passes: " + s[:30], s) for s in
        ("prvs=1234abcdef=alice@elsewhere.invalid", "SRS0=HHH=TT=orig.example=alice@elsewhere.invalid",
         "bounces+123-abc=example.com@elsewhere.invalid", "b" * 64 + "@elsewhere.invalid", "b" * 90 + "@elsewhere.invalid",
         "IMCEAEX-_o=Org_ou=" + "x" * 400 + "@elsewhere.invalid", "b" * 1900 + "@elsewhere.invalid")])
def tagged_senders(t, sender):
    t.true(t.deliver(sender=sender).sender == sender.encode(), "unchanged", t.sink.messages[0].mail)


# ---- address syntax ----

@table([("ADR-01", "local part passes unchanged: " + p, p) for p in
        ("a+b", "o'brien", "x=y", "a&b", "a*b", "a?b", "a^b", "a_b", "a`b", "{a}", "~a", "a#b", "a$b", "-a", "c" * 64)])
def local_parts(t, local):
    rcpt(t, "<%s@example.test>" % local, "250")
    t.true(t.sink.commands("RCPT")[0].startswith(("RCPT TO:<%s@example.test>" % local).encode()), "unchanged",
           t.sink.commands("RCPT"))


@table([("ADR-02", "quoted local part keeps its quotes: " + p, p) for p in ('"a"', '"a b"', '"a\\"b"', '"a\\\\b"')])
def quoted_local_parts(t, local):
    reply = rcpt(t, "<%s@example.test>" % local, "250|5xx")
    if reply.code == "250":
        t.true(t.sink.commands("RCPT")[0].startswith(("RCPT TO:<%s@example.test>" % local).encode()), "quotes kept",
               t.sink.commands("RCPT"))


@table([("ADR-03", "odd octets inside quotes never change the command: %r" % p, p) for p in
        ('<"a\rb"@example.test>', '<"a\0b"@example.test>', '<"a\tb"@example.test>', '<"a> NOTIFY=NEVER <b"@example.test>',
         '<"a\\\rb"@example.test>', '<"a@example.test>', '<"a"b@example.test>', '<a"b"@example.test>')])
def odd_quoted_parts(t, path):
    reply = rcpt(t, path, "250|5xx")
    if reply.code == "250":
        t.true(t.sink.commands("RCPT")[0].startswith(b"RCPT TO:" + path.encode()), "kept inside its quotes",
               t.sink.commands("RCPT"))


@table([("ADR-04", "A12: a local part of %d octets passes, the server decides" % n, n) for n in (129, 300, 1900)])
def long_local_parts(t, octets):
    m = t.deliver(rcpts=("a" * octets + "@example.test",))
    t.true(m.recipients == [b"a" * octets + b"@example.test"], "unchanged", m.rcpts)


@case("CMD-21", "A12: tabs behind the colon and between parameters are blanks")
def tabs(t):
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:\t<alice@elsewhere.invalid>\tBODY=8BITMIME"), "250")
    t.want(c.cmd("RCPT TO:\t<bob@example.test>"), "250")
    t.want(c.data(MESSAGE), "250")
    t.true(b"\t" not in t.arrived(1)[0].mail, "no tab upstream", t.sink.messages[0].mail)


@table([("RLY-02", "C8: no relay by an address within the local part: %s" % p, p) for p in
        ("IMCEASMTP-user+40evil+2Etest", "imceasmtp-x", '"IMCEASMTP-x"', "user\uff20evil.test", "user\uff05evil.test",
         "user\ufe6bevil.test")])
def encapsulated(t, local):
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<alice@elsewhere.invalid> SMTPUTF8"), "250")
    t.want(c.cmd("RCPT TO:<%s@example.test>" % local), "550 5.7.1")
    t.want(c.cmd("RCPT TO:<IMCEAEX-_o=Org_cn=bob@example.test>"), "250")
    t.true(len(t.sink.commands("RCPT")) == 1, "the upstream is asked about the other alone", t.sink.commands("RCPT"))


@case("RLY-02", "C8: limits.encapsulated: pass lets them through; % and ! are refused as ever", "known")
def encapsulated_passes(t):
    rcpt(t, "<IMCEASMTP-user+40evil+2Etest@example.test>", "250")
    rcpt(t, "<user%evil.test@example.test>", "550 5.7.1")


@table([("ADR-04", "too long: " + w, p) for w, p in
        (("label of 64", "<a@" + "b" * 64 + ".example.test>"), ("domain of 300", "<a@" + "b." * 150 + "example.test>"),
         ("path over the line", "<" + "a" * 2048 + "@example.test>"))])
def too_long_addresses(t, path):
    reply = rcpt(t, path, "5xx")
    t.true(all(len(l) <= 510 for l in reply.lines), "a short reply", len(reply.raw))


@table([("ADR-05", "payloads are data: " + p, p) for p in
        ("<;sleep${IFS}5;@example.test>", "<${run{/bin/sh}}@example.test>", "<`id`@example.test>", "<|/bin/sh@example.test>",
         "</etc/passwd@example.test>", "<:include:/etc/passwd@example.test>")])
def payloads(t, path):
    rcpt(t, path, "250|5xx")


@table([("TLS-25" if p == "REQUIRETLS" else "ADR-06", "unknown parameter: 555 5.5.4: " + p, p) for p in
        ("FOO=BAR", "FOO", "XOORG=x", "REQUIRETLS", "MT-PRIORITY=3", "HOLDFOR=60", "BY=120;R", "=x", "SIZE:1")])
def unknown_parameters(t, param):
    t.want(t.greeted().cmd("MAIL FROM:<a@elsewhere.invalid> " + param), "555 5.5.4|501 5.5.4")


@case("ADR-06", "unknown parameter of RCPT: 555 5.5.4, not passed on")
def unknown_rcpt_parameter(t):
    rcpt(t, "<bob@example.test>", "555 5.5.4|501 5.5.4", " FOO=BAR")
    t.true(b"FOO" not in t.sink.octets(), "not passed on")


@table([("ADR-07", "parameter of an extension that is not offered: " + p, p) for p in
        ("BODY=8BITMIME", "SMTPUTF8", "RET=FULL", "ENVID=x")], "few")
def parameters_not_offered(t, param):
    reply = t.want(t.greeted().cmd("MAIL FROM:<a@elsewhere.invalid> " + param), "555 5.5.4|501 5.5.4|250")
    t.true(reply.code != "250" or param != "SMTPUTF8", "refused, or dropped without harm", str(reply))


@case("ADR-08", "an underscore in a sender's domain is accepted; labels over 63 octets are not")
def sender_domains(t):
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<a@under_score.example>"), "250")
    t.want(c.cmd("RSET"), "250")
    t.want(c.cmd("MAIL FROM:<a@" + "x" * 64 + ".example>"), "501|553")


@case("UTF-01", "SMTPUTF8 to an upstream that has it: unchanged, parameter kept")
def smtputf8(t):
    content = "From: <p\u00e9t@elsewhere.invalid>\r\nSubject: Gr\u00fc\u00dfe \u2764\r\n\r\n\u00e4\r\n".encode()
    m = t.deliver(content, ("r\u00e9my@example.test", "bob@example.test"), sender="p\u00e9t@elsewhere.invalid", params=" SMTPUTF8")
    t.same(m, content)
    t.true(b"SMTPUTF8" in m.mail and m.sender == "p\u00e9t@elsewhere.invalid".encode(), "sender and parameter", m.mail)
    t.true(m.recipients[0] == "r\u00e9my@example.test".encode(), "recipient", m.rcpts)


@case("UTF-02", "smtputf8: false: not offered, the parameter is refused", "nochunk")
def smtputf8_off(t):
    c = t.client()
    t.true("SMTPUTF8" not in c.hello().text, "not offered")
    t.want(c.cmd("MAIL FROM:<a@elsewhere.invalid> SMTPUTF8"), "555 5.5.4|501 5.5.4")


@table([("UTF-03", "invalid UTF-8 is refused: %r" % b, b) for b in
        (b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3", b"\xff", b"\xe2\x82")])
def invalid_utf8(t, octets):
    c = t.greeted()
    t.want(c.cmd(b"MAIL FROM:<a" + octets + b"@elsewhere.invalid> SMTPUTF8"), "5xx")
    t.want(c.cmd(b"MAIL FROM:<a@elsewhere.invalid> SMTPUTF8"), "250")
    t.want(c.cmd(b"RCPT TO:<b" + octets + b"@example.test>"), "5xx")
    t.true(octets not in t.sink.octets(), "nothing upstream")


@case("UTF-04", "homographs stay foreign, full-width forms are mapped or refused")
def homographs(t):
    c = t.greeted()
    t.want(c.cmd("MAIL FROM:<a@elsewhere.invalid> SMTPUTF8"), "250")
    t.want(c.cmd("RCPT TO:<bob@ex\u0430mple.test>"), "5xx")
    t.want(c.cmd("RCPT TO:<bob@\uff45xample.test>"), "250|5xx")
    t.true(b"\xef\xbd\x85" not in t.sink.octets(), "no full-width form upstream", t.sink.octets())


# ---- routes ----

@case("RTE-01", "messages to different routes reach their own upstream", "two")
def two_routes(t):
    c = t.greeted()
    t.wants(c.envelope(("bob@example.test",)), ["250", "250"])
    t.want(c.data(MESSAGE), "250")
    t.wants(c.envelope(("carol@second.test",)), ["250", "250"])
    t.want(c.data(MESSAGE), "250")
    t.true(t.arrived(1, t.sink)[0].recipients == [b"bob@example.test"], "bob at the first")
    t.true(t.arrived(1, t.other)[0].recipients == [b"carol@second.test"], "carol at the second")


@case("RTE-02", "a second route in one transaction: 452 4.5.3; the first route's recipients go through", "two")
def second_route(t):
    c = t.greeted()
    t.wants(c.envelope(("bob@example.test", "carol@second.test", "dave@example.test")), ["250", "250", "452 4.5.3", "250"])
    t.want(c.data(MESSAGE), "250")
    t.true(t.arrived(1)[0].recipients == [b"bob@example.test", b"dave@example.test"], "bob and dave")
    t.none(None, t.other)


@case("RTE-04", "a refused first recipient does not fix the route; RSET frees it", "two")
def route_is_fixed_by_acceptance(t):
    t.script({"at": "RCPT", "match": "nobody", "reply": "550 5.1.1 no"})
    c = t.greeted()
    t.wants(c.envelope(("nobody@example.test", "carol@second.test")), ["250", "550", "250"])
    t.want(c.cmd("RCPT TO:<bob@example.test>"), "452 4.5.3")
    t.want(c.cmd("RSET"), "250")
    t.wants(c.envelope(("bob@example.test",)), ["250", "250"])


@case("RTE-05", "postmaster in another class than the transaction: 452 4.5.3", "two")
def postmaster_elsewhere(t):
    c = t.greeted()
    t.wants(c.envelope(("carol@second.test",)), ["250", "250"])
    t.want(c.cmd("RCPT TO:<postmaster>"), "452 4.5.3")


@case("CAP-09", "keywords are the intersection over all upstreams; each is learned", "two")
def intersection(t):
    text = t.client().hello().text
    t.true("8BITMIME" in text and "DSN" in text, "what both have", text)


@case("RLY-14", "being internal is never derived from EHLO or headers")
def not_internal(t):
    c = t.greeted("mx.glacis.test")
    t.wants(c.envelope(("x@elsewhere.invalid",), "admin@example.test"), ["250", "550 5.7.1|554 5.7.1"])


@case("UTF-05", "SMTPUTF8 is offered only with 8BITMIME; domains reach the upstream as they may be sent")
def utf8_needs_eight_bit(t):
    text = t.client().hello().text
    t.true("SMTPUTF8" not in text or "8BITMIME" in text, "both", text)


@case("DSN-08", "a refused recipient is refused in the session: the upstream gets no message for it", "failures")
def refused_in_session(t):
    t.script({"at": "RCPT", "match": "nobody", "reply": "550 5.1.1 no"})
    c = t.greeted()
    t.wants(c.envelope(("nobody@example.test", "bob@example.test")), ["250", "550", "250"])
    t.want(c.data(MESSAGE), "250")
    t.true(t.arrived(1)[0].recipients == [b"bob@example.test"], "bob alone", t.sink.messages[0].rcpts)
