#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""25-message-rules.py - the rules of the preset about a message, live: what is tagged, what watches, what is refused.

Each message comes over SMTP; authors, lists and their keys are those of authlab.py, and no rule only watches where they
are used.
"""
import json
import os
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from authlab import BODY, HEAD, STRANGER, AuthLab, has, hostile, results, sign
from checks import must, run, shows
from client import Client, wait_for
from lab import Lab

DATED = b"Date: Mon, 1 Dec 2025 10:00:00 +0000\r\n"
TWO = DATED + b"From: Joe <joe@a.invalid>\r\nFrom: boss@b.invalid\r\n\r\nbody\r\n"
SENDER = "a@none.test"


def glacis(g, *words):
    done = subprocess.run([g.program, *words, "-c", g.path], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def reload(lab, old, new):
    """The file with another line."""
    with open(lab.g.path, encoding="utf-8") as file:
        text = file.read()
    must(old in text, "%r in the file" % old, text)
    lab.g.write(text.replace(old, new))
    said = glacis(lab.g, "reload")
    must("ok generation" in said, "reloaded", said)


def seen(lab):
    with open(os.path.join(lab.g.dir, "state", "rules-seen"), encoding="ascii") as file:
        return file.read()


@shows("a forged own domain is scored and tagged, and delivered")
def forged_domain(w):
    lab = Lab(w)
    t = lab.send("127.0.2.30", SENDER, content=DATED + b"From: The boss <boss@example.test>\r\n\r\nbody\r\n")
    must(t.code == "250" and t.field("X-Glacis-Score") == "5.0" and t.field("X-Glacis-Forged") == "own domain", "score 5", t)
    must("RULE_own-domain-forged" in t.tests, "marked", t)
    must("FROM_OURS_FORGED" in t.tests, "and a mark", t)


@shows("an unclear author and odd fields are scored and tagged, and delivered")
def tagged(w):
    lab = Lab(w)
    for head, score, forged, rules in (
            (DATED + b"From: Joe <joe@elsewhere.invalid>\r\n", "0.0", None, []),
            (DATED + b"From: =?utf-8?Q?boss=40example=2Etest?= <x@elsewhere.invalid>\r\n", "3.0", "author unclear",
             ["from-unclear"]),
            (b"From: joe@elsewhere.invalid\r\n", "1.0", None, ["headers-odd"]),
            (b"Subject: x\r\n", "4.0", "author unclear", ["from-unclear", "headers-odd"])):
        t = lab.send("127.0.2.30", SENDER, content=head + b"\r\nbody\r\n")
        must(t.code == "250" and t.field("X-Glacis-Score") == score and t.field("X-Glacis-Forged") == forged,
             "score %s, %s" % (score, forged), t)
        must([m for m in t.tests if m.startswith("RULE_")] == ["RULE_" + r for r in rules], rules, t)
    t = lab.send("127.0.2.30", SENDER, content=DATED + b"X-Glacis-Forged: x\r\nFrom: joe@elsewhere.invalid\r\n\r\nbody\r\n")
    must("x-glacis-forged" not in t.header.lower(), "one from outside is taken out", t)


@shows("a rule that is new on this machine watches, over a restart and a reload; watch_new_rules: 0 has it refuse")
def watches(w):
    lab = Lab(w)
    t = lab.send("127.0.2.30", SENDER, content=TWO)
    must(t.code == "250" and "RULE_from-several" in t.watched and "RULE_from-several" not in t.tests, "watched", t)
    record = seen(lab)
    must(re.search(r"^from-several [0-9a-f]{16} \d{10,}$", record, re.M), "its first start", record)
    must(re.search(r"^spf-fail [0-9a-f]{16} 0$", record, re.M), "what 0.1 had is known", record)
    said = glacis(lab.g, "status")
    must(re.search(r"(?m)^watches +rule from-several only watches until 20\d\d-\d\d-\d\d \d\d:\d\d UTC; since the start it "
                   r"would have acted on 1$", said), "status", said)
    rows = json.loads(glacis(lab.g, "status", "--json"))["watched_rules"]
    must([(r["rule"], r["would_have_acted"]) for r in rows] == [("from-several", 1), ("dmarc-reject", 0)], "in JSON", rows)
    must("note: rule from-several only watches until " in glacis(lab.g, "check"), "check says so")

    lab.g.stop()
    lab.g.start()
    must(seen(lab) == record, "a restart keeps the dates", seen(lab))
    t = lab.send("127.0.2.30", SENDER, content=TWO)
    must(t.code == "250" and "RULE_from-several" in t.watched, "still watched", t)

    reload(lab, "policy:\n", "policy:\n  watch_new_rules: 0\n")
    t = lab.send("127.0.2.30", SENDER, content=TWO)
    must((t.code, t.enhanced) == ("550", "5.6.0") and "2 From fields of different domains" in t.text, "550 5.6.0", t)
    must("only watches" not in glacis(lab.g, "check"), "check says nothing")

    # the end of the week, as the record has it
    reload(lab, "  watch_new_rules: 0\n", "")
    must(lab.send("127.0.2.30", SENDER, content=TWO).code == "250", "watches again")
    past = re.sub(r"(?m)^(from-several \w+) \d+$", r"\1 1000000000", record)
    with open(os.path.join(lab.g.dir, "state", "rules-seen"), "w", encoding="ascii") as file:
        file.write(past)
    reload(lab, "policy:\n", "policy: # another text\n")
    must(lab.send("127.0.2.30", SENDER, content=TWO).code == "550", "the week is over")


@shows("a mode in override ends the watch of that rule; unless narrows it")
def overridden(w):
    lab = Lab(w, policy="override: {from-several: {mode: enforce, unless: {sender.local: trusted}}}")
    must(lab.send("127.0.2.30", SENDER, content=TWO).code == "550", "refused")
    must(lab.send("127.0.2.30", "trusted@none.test", content=TWO).code == "250", "not this one")


# ---- nothing watches, and the DNS knows the authors ----

OURS = DATED + b"From: The boss <boss@example.test>\r\n"
LIST, BOUNCES = "127.0.6.5", "dev-bounces@lists.auth"   # lists.auth, both ways
FORWARDER, PRETENDS = "127.0.5.5", "127.0.5.6"          # fwd.test, both ways; only its PTR record says so
ANY = "a@plain.auth"                                    # a sender without SPF


def live(w, more="", policy="", memory=False):
    """The preset as it is after its first week; with `memory`, two accepted messages make a correspondent."""
    lab = AuthLab(w, "watch_new_rules: 0\n" + policy, "known_good: {messages: 2, days: 1}\n" + more)
    if memory:      # before it has read its database nobody is a stranger
        wait_for(lambda: lab.g.events("snapshot"), 10, "the database read")
    return lab


def taken(t, score, *rules):
    """Delivered, with this score, by these message rules."""
    must(t.code == "250" and t.field("X-Glacis-Score") == score, "250, score %s" % score, t)
    seen = [m[5:] for m in t.tests if m in ("RULE_dmarc-fail", "RULE_own-domain-forged", "RULE_from-unclear", "RULE_headers-odd")]
    must(seen == list(rules), rules, t)
    must((t.field("X-Glacis-Forged") == "own domain") == ("own-domain-forged" in rules), "its tag", t)
    must("FROM_OURS_FORGED" in t.tests or "own-domain-forged" not in rules, "and a mark", t)
    must((t.field("X-Glacis-Dmarc") == "fail; policy=reject; domain=signed.auth") == ("dmarc-fail" in rules), "its tag", t)
    return t


def refused(t, spf, dkim):
    """By DMARC, in words that help its administrator."""
    must((t.code, t.enhanced) == ("550", "5.7.1") and "DMARC: signed.auth asks to refuse" in t.text, "550 5.7.1 by DMARC", t)
    must("(SPF %s, DKIM %s)" % (spf, dkim) in t.text, "what failed: %s, %s" % (spf, dkim), t)


def good(lab, source, sender, content):
    """Earns its standing: two messages that nobody minds."""
    for _ in range(2):
        taken(lab.send(source, sender, content=content), "0.0")


def posted(author, list_id=b"dev.lists.auth", signer=b"lists.auth"):
    """What a mailing list makes of a message: a new subject, a footer, List-Id and its own signature."""
    changed = b"List-Id: Developers <" + list_id + b">\r\n" + author.replace(b"Subject: ", b"Subject: [dev] ") + b"-- \r\nthe list\r\n"
    return sign(changed, signer) if signer else changed


@shows("two From fields of different domains, one of which signed: 550 5.6.0, whatever DKIM says; of one domain: delivered")
def two_authors(w):
    lab = live(w)
    for second in (b"From: eve@plain.auth\r\n", b"From: eve@plain.auth, mallory@signed.auth\r\n"):
        t = lab.send(STRANGER, ANY, content=sign(HEAD + second + b"\r\n" + BODY))
        must((t.code, t.enhanced) == ("550", "5.6.0") and "2 From fields of different domains" in t.text, "550 5.6.0", t)
    t = lab.send(STRANGER, ANY, content=sign(HEAD + b"From: eve@signed.auth\r\n\r\n" + BODY))
    taken(t, "1.0", "headers-odd")


@shows("p=reject from a stranger: 550 5.7.1 with DMARC, the domain and what failed; nothing that the sender wrote changes that")
def stranger(w):
    lab = live(w)
    taken(lab.send(STRANGER, ANY, content=sign(HEAD + b"\r\n" + BODY)), "0.0")
    broken = sign(HEAD + b"\r\n" + BODY).replace(b"last line", b"lost line")
    listed = b"List-Id: <dev.signed.auth>\r\nList-Post: <mailto:dev@signed.auth>\r\nPrecedence: list\r\n"
    for content, dkim in ((HEAD + b"\r\n" + BODY, "none"), (broken, "fail"), (listed + HEAD + b"\r\n" + BODY, "none"),
                          (listed + broken, "fail"), (posted(broken, signer=None), "fail"),
                          (sign(listed + HEAD + b"\r\n" + BODY, b"other.auth"), "pass")):
        refused(lab.send(STRANGER, ANY, content=content), "none of plain.auth", dkim)
    txn = wait_for(lambda: lab.g.events("txn")[1:], 5, "the txn lines")[0]
    must((txn["rule"], txn["dmarc"], txn["from_domain"]) == ("dmarc-reject", "fail", "signed.auth"), "the log", txn)


@shows("own domain, forged: score 5, tag and mark; a List-Id that the sender wrote, or a signature of another, changes nothing")
def forged_and_signed(w):
    lab = live(w)
    for head in (OURS, b"List-Id: <dev.example.test>\r\n" + OURS):
        taken(lab.send(STRANGER, ANY, content=head + b"\r\n" + BODY), "5.0", "own-domain-forged")
    taken(lab.send(STRANGER, ANY, content=sign(OURS + b"\r\n" + BODY, b"other.auth")), "5.0", "own-domain-forged")


@shows("a mailing list: a stranger's post is refused; in good standing p=reject scores 4, own names nothing; List-Id must be its own")
def mailing_list(w):
    lab = live(w, memory=True)
    alice = sign(HEAD + b"\r\n" + BODY)
    refused(lab.send(LIST, BOUNCES, content=posted(alice)), "pass of lists.auth", "pass")
    taken(lab.send(LIST, BOUNCES, content=posted(OURS + b"\r\n" + BODY)), "5.0", "own-domain-forged")

    good(lab, LIST, BOUNCES, sign(DATED + b"From: owner@lists.auth\r\n\r\nwelcome\r\n", b"lists.auth"))
    t = taken(lab.send(LIST, BOUNCES, content=posted(alice)), "4.0", "dmarc-fail")
    has(t, "dkim", "dkim=pass", "header.d=lists.auth")
    has(t, "dkim", "dkim=fail", "header.d=signed.auth")
    has(t, "dmarc", "dmarc=fail", "policy.dmarc=reject")
    must("CLIENT_KNOWN_GOOD" in t.tests, "in good standing", t)
    taken(lab.send(LIST, ANY, content=posted(alice)), "4.0", "dmarc-fail")          # known by DKIM alone
    taken(lab.send(LIST, BOUNCES, content=posted(alice, signer=None)), "4.0", "dmarc-fail")     # by SPF alone
    taken(lab.send(LIST, BOUNCES, content=posted(OURS + b"\r\n" + BODY)), "0.0")
    refused(lab.send("127.0.6.9", ANY, content=posted(alice)), "none of plain.auth", "pass")    # another server, nobody's standing
    refused(lab.send(LIST, BOUNCES, content=posted(alice, list_id=b"dev.other.auth")), "pass of lists.auth", "pass")


@shows("a forwarder: of group forwarders by a name that is confirmed, a broken signature scores 4; a PTR record alone is refused")
def forwarder(w):
    lab = live(w, "groups: {forwarders: [fwd.test]}\n")
    whole = sign(HEAD + b"\r\n" + BODY)
    broken = whole.replace(b"last line", b"lost line")
    for source in (FORWARDER, STRANGER):
        taken(lab.send(source, ANY, content=whole), "0.0")
    t = taken(lab.send(FORWARDER, ANY, content=broken), "4.0", "dmarc-fail")
    must("IPREV_PASS" in t.tests, "by its verified name", t)
    taken(lab.send(FORWARDER, ANY, content=OURS + b"\r\n" + BODY), "0.0")
    for source in (STRANGER, PRETENDS):
        refused(lab.send(source, ANY, content=broken), "none of plain.auth", "fail")
        taken(lab.send(source, ANY, content=OURS + b"\r\n" + BODY), "5.0", "own-domain-forged")


@shows("servers of the sender's own that do not answer exempt nobody: his reverse name, his signature, his List-Id")
def own_servers(w):
    lab = live(w, "groups: {forwarders: [fwd.test]}\n", memory=True)
    forged, ours = HEAD + b"\r\n" + BODY, OURS + b"\r\n" + BODY
    lab.dns.fault("evil.other.auth", "servfail")
    refused(lab.send(STRANGER, ANY, content=sign(forged, b"evil.other.auth")), "none of plain.auth", "temperror")
    t = taken(lab.send(STRANGER, ANY, content=sign(ours, b"evil.other.auth")), "5.0", "own-domain-forged")
    has(t, "dkim", "dkim=temperror", "header.d=evil.other.auth")     # whoever it is, it is not the author

    good(lab, STRANGER, ANY, DATED + b"From: a@plain.auth\r\n\r\nhello\r\n")
    for list_id in (b"evil.other.auth", b"dev.evil.other.auth"):
        t = lab.send(STRANGER, ANY, content=posted(forged, list_id, b"evil.other.auth"))
        must((t.code, t.enhanced) == ("451", "4.7.1") and "DMARC: signed.auth" in t.text, "it may be a list: 451", t)
    t = taken(lab.send(STRANGER, ANY, content=posted(ours, b"evil.other.auth", b"evil.other.auth")), "5.0", "own-domain-forged")
    must("CLIENT_KNOWN_GOOD" in t.tests, "in good standing", t)

    lab.dns.fault("31.2.0.127.in-addr.arpa", "servfail")
    t = lab.send("127.0.2.31", ANY, content=forged)
    must((t.code, t.enhanced) == ("451", "4.7.1") and "DMARC: signed.auth" in t.text, "it may be a forwarder: 451", t)
    must("IPREV_TEMPERROR" in taken(lab.send("127.0.2.31", ANY, content=ours), "5.0", "own-domain-forged").tests, "for now", t)
    taken(lab.send("127.0.2.31", ANY, content=sign(forged)), "0.0")


@shows("a mail service in good standing sends everybody's forgeries: known_good alone exempts nobody")
def mail_service(w):
    lab = live(w, memory=True)
    good(lab, STRANGER, ANY, DATED + b"From: a@plain.auth\r\n\r\nhello\r\n")
    t = taken(lab.send(STRANGER, ANY, content=OURS + b"\r\n" + BODY), "5.0", "own-domain-forged")
    must("CLIENT_KNOWN_GOOD" in t.tests, "in good standing", t)
    taken(lab.send(STRANGER, ANY, content=posted(OURS + b"\r\n" + BODY, signer=None)), "5.0", "own-domain-forged")
    refused(lab.send(STRANGER, ANY, content=HEAD + b"\r\n" + BODY), "none of plain.auth", "none")
    good(lab, STRANGER, ANY, DATED + b"From: a@plain.auth\r\n\r\nhello\r\n")     # the refusal has ended it
    refused(lab.send(STRANGER, ANY, content=posted(HEAD + b"\r\n" + BODY, signer=None)), "none of plain.auth", "none")


@shows("no answer for a record or a key is temperror, and DMARC refuses nobody for it")
def temperror(w):
    lab = live(w)
    for zone, content in (("_dmarc.signed.auth", HEAD + b"\r\n" + BODY), ("mail._domainkey.signed.auth", sign(HEAD + b"\r\n" + BODY))):
        lab.dns.fault(zone, "servfail")
        t = taken(lab.send(STRANGER, ANY, content=content), "0.0")
        has(t, "dmarc", "dmarc=temperror", "header.from=signed.auth")
        must("DMARC_TEMPERROR" in t.tests, "its mark", t)
        lab.dns.fault(zone, None)


@shows("60 signatures in a header of 64 KiB, keys that nobody serves: the others are served in order, and its end has its budget")
def hostile_message(w):
    lab = live(w, policy="budget: {message: 2s}\n")
    lab.dns.fault("hostile.auth", "silent")
    head = DATED + b"From: a@plain.auth\r\n" + hostile(60, "x%d.hostile.auth")
    head += b"".join(b"X-Fill-%d: %s\r\n" % (i, b"x" * 900) for i in range((65536 - len(head)) // 913))
    took = []

    def send_hostile():
        begun = time.monotonic()
        took.append((lab.send(PRETENDS, ANY, content=head + b"\r\n" + BODY), time.monotonic() - begun))
    thread = threading.Thread(target=send_hostile)
    thread.start()
    wait_for(lambda: lab.dns.asked("hostile.auth"), 10, "a key is asked for")
    clients = [Client(lab.g.smtp, source=STRANGER) for _ in range(4)]
    for c in clients:
        c.hello("client.test")
        c.send(b"MAIL FROM:<a@plain.auth>\r\nRCPT TO:<x@nowhere.invalid>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")
    for c in clients:
        must([c.reply().code for _ in range(4)] == ["250", "550", "250", "354"], "in order", c.all)
        c.send(DATED + b"From: a@plain.auth\r\n\r\nhello\r\n.\r\nNOPE\r\nNOOP\r\nQUIT\r\n")
    for c in clients:
        must([c.reply().code for _ in range(4)] == ["250", "500", "250", "221"], "in order", c.all)
        c.close()
    must(not took, "and the hostile one still waits", took)
    thread.join(20)
    t, seconds = took[0]
    must(seconds < 10, "its budget, not that of ten look-ups", seconds)
    has(taken(t, t.field("X-Glacis-Score")), "dkim", "dkim=temperror", "header.d=x0.hostile.auth")
    must(len(results(t)["dkim"]) == 10 and lab.dns.asked("x10._domainkey.hostile.auth") == 0, "ten keys are asked for", t)


@shows("a printer in the LAN writes as one of ours: not judged, so not forged; judged, it is")
def printer(w):
    lab = live(w)
    taken(lab.send(STRANGER, ANY, content=OURS + b"\r\n" + BODY), "5.0", "own-domain-forged")
    lab.g.stop()
    lab.g.write(lab.config.replace("private_clients: judge", "private_clients: exempt"))
    lab.g.start()
    taken(lab.send(STRANGER, ANY, content=OURS + b"\r\n" + BODY), "0.0")


if __name__ == "__main__":
    run(beside=2)
