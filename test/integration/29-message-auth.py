#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""29-message-auth.py - DKIM and DMARC of live messages: real sessions, zones in nsd, keys made here, signed with dkimpy.

What the next filter reads in Authentication-Results and X-Glacis-Tests, what a rule does, what the log and the numbers say;
and that slow keys and hostile signatures hold up nobody.
"""
import base64
import json
import os
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from authlab import BODY, HEAD, PASS, STRANGER, AuthLab, has, hostile, results, sign
from checks import Skip, must, run, shows
from client import Client, wait_for

POLICY = """preset: none
message_rules:
  - {name: dmarc-reject, when: {dmarc: fail, dmarc.policy: reject}, then: reject, reply: "550 5.7.1 DMARC of {message.from_domain}: {dmarc}"}
  - {name: signed, when: {dkim: pass}, then: {tag: {X-Signed: "{dkim.domains} {dmarc} {dmarc.by}"}}}
  - {name: aligned, when: {message.from_aligned: true}, then: {score: -1}}
"""


class Auth(AuthLab):
    """With the rules of this file."""

    def __init__(self, w, policy=POLICY, more="", **options):
        super().__init__(w, policy, more, **options)


@shows("a signed message: dkim=pass and dmarc=pass, a rule knows it, the log and the numbers have it")
def signed(w):
    lab = Auth(w)
    t = lab.send(STRANGER, "a@signed.auth", content=sign(HEAD + b"\r\n" + BODY))
    must(t.code == "250", "250", t)
    has(t, "dkim", "dkim=pass", "header.d=signed.auth", "header.s=mail", "header.a=rsa-sha256", "header.b=")
    has(t, "dmarc", "dmarc=pass", "header.from=signed.auth", "policy.dmarc=reject")
    must(t.field("X-Signed") == "signed.auth pass dkim", "the facts in a tag", t)
    must({"DKIM_PASS", "DMARC_PASS"} <= set(t.tests), "marks", t.tests)
    line = wait_for(lambda: lab.g.events("txn"), 5, "the txn line")[0]
    must((line["dkim"], line["dkim_domains"], line["dmarc"], line["dmarc_policy"], line["from_domain"]) ==
         ("pass", ["signed.auth"], "pass", "reject", "signed.auth"), "the log", line)
    numbers = lab.g.metrics()
    must([numbers['glacis_%s_results_total{result="pass"}' % m] for m in ("dkim", "dmarc")] == [1, 1], "the numbers", numbers)


@shows("no signature: dkim=none, no key is asked for, and the author's policy is known all the same")
def unsigned(w):
    lab = Auth(w)
    t = lab.send(STRANGER, "a@plain.auth", content=b"From: a@plain.auth\r\n\r\n" + BODY)
    must(t.code == "250" and results(t)["dkim"] == ["dkim=none"], "dkim=none", t)
    has(t, "dmarc", "dmarc=none", "header.from=plain.auth")
    must(lab.dns.asked("_domainkey.plain.auth") == 0 and lab.dns.asked("_dmarc.plain.auth") == 1, "what was asked", lab.dns.questions)


@shows("a stranger who writes as a domain with p=reject gets 550 with the word DMARC; a pass of SPF for it does not")
def stranger(w):
    lab = Auth(w)
    t = lab.send(STRANGER, "a@plain.auth", content=HEAD + b"\r\n" + BODY)
    must((t.code, t.enhanced) == ("550", "5.7.1") and "DMARC of signed.auth: fail" in t.text, "550 by DMARC", t)
    txn = wait_for(lambda: lab.g.events("txn"), 5, "the txn line")[0]
    must((txn["dkim"], txn["dmarc"], txn["rule"]) == ("none", "fail", "dmarc-reject"), "the log", txn)
    t = lab.send(PASS, "a@pass.test", content=b"From: a@pass.test\r\n\r\n" + BODY)
    must(t.code == "250", "SPF alone, without a record", t)
    has(t, "dmarc", "dmarc=none")
    must(t.field("X-Glacis-Score") == "-1.0", "aligned without a record", t)


@shows("what is wrong with a signature is said: body, key that is missing or revoked, l=; a CNAME leads to the key")
def faults(w):
    lab = Auth(w, policy="preset: none\nrules: []\n")
    good = sign(HEAD + b"\r\n" + BODY)
    for content, words, marks in (
            (good.replace(b"last line", b"lost line"), ["dkim=fail", "the body was changed"], ["DKIM_FAIL", "DMARC_FAIL_REJECT"]),
            (good.replace(b"Subject: Hello", b"Subject: Help!"), ["dkim=fail", "header fields were changed"], ["DKIM_FAIL"]),
            (sign(HEAD + b"\r\n" + BODY, selector=b"none"), ["dkim=permerror", "there is no key"], ["DKIM_PERMERROR"]),
            (sign(HEAD + b"\r\n" + BODY, selector=b"gone"), ["dkim=permerror", "revoked"], ["DKIM_PERMERROR"]),
            (sign(HEAD + b"\r\n" + BODY, length=True) + b"more\r\n", ["dkim=policy", "header.d=signed.auth"], ["DKIM_L_TAG"]),
            (sign(HEAD + b"\r\n" + BODY, selector=b"alias"), ["dkim=pass", "header.s=alias"], ["DKIM_PASS", "DMARC_PASS"]),
            (sign(HEAD + b"\r\n" + BODY, domain=b"other.auth"), ["dkim=pass", "header.d=other.auth"], ["DKIM_PASS", "DMARC_FAIL_REJECT"])):
        t = lab.send(STRANGER, "a@plain.auth", content=content)
        must(t.code == "250", "250", t)
        has(t, "dkim", *words)
        must(set(marks) <= set(t.tests), marks, t.tests)


@shows("two From fields: DMARC is a permerror that names nobody, and no signature counts for an author")
def two_authors(w):
    lab = Auth(w)
    t = lab.send(STRANGER, "a@plain.auth", content=sign(HEAD + b"From: eve@plain.auth\r\n\r\n" + BODY))
    must(t.code == "250", "250", t)
    has(t, "dmarc", "dmarc=permerror")
    must("header.from" not in t.field("Authentication-Results"), "no author", t)
    must(t.field("X-Glacis-Score") == "0.0" and "DMARC_PERMERROR" in t.tests, "not aligned", t)


@shows("the result does not depend on where the octets are cut: single octets, DATA and BDAT, a cut in the empty line")
def cuts(w):
    lab = Auth(w)
    good = sign(HEAD + b"\r\n" + BODY, canonicalize=(b"relaxed", b"relaxed"))
    end = good.index(b"\r\n\r\n")
    for at in ([end + 1], [end + 2], [end + 3], [end + 4], [end + 5], [10, 20, end + 2, end + 9], [len(good) - 1]):
        with Client(lab.g.smtp, source=STRANGER) as c:
            c.hello()
            c.envelope(sender="a@plain.auth")
            for start, stop in zip([0] + at, at + [len(good)]):
                r = c.bdat(good[start:stop], last=stop == len(good))
            must(r.code == "250", "250", r)
    for pieces in (1, 7, 64):
        with Client(lab.g.smtp, source=STRANGER) as c:
            c.hello()
            c.envelope(sender="a@plain.auth")
            must(c.cmd("DATA").code == "354", "354")
            stuffed = good.replace(b"\r\n.", b"\r\n..") + b".\r\n"
            for i in range(0, len(stuffed), pieces):
                c.sock.sendall(stuffed[i:i + pieces])
            must(c.reply().code == "250", "250")
    lines = wait_for(lambda: len(lab.g.events("txn")) == 10 and lab.g.events("txn"), 10, "ten messages")
    must({(l["dkim"], l["dmarc"]) for l in lines} == {("pass", "pass")}, "pass each time", lines)


@shows("signatures of strangers in front do not displace the author's; beyond fifty the rest is not read, and nobody waits")
def many(w):
    lab = Auth(w)
    good = sign(HEAD + b"\r\n" + BODY)
    t = lab.send(STRANGER, "a@plain.auth", content=hostile(49) + good)
    must(t.code == "250", "250", t)
    has(t, "dkim", "dkim=pass", "header.d=signed.auth")
    must(len(results(t)["dkim"]) == 10, "ten were examined", t)
    begun = time.time()
    t = lab.send(STRANGER, "a@plain.auth", content=hostile(60) + good)
    must(t.code == "550" and "DMARC" in t.text and time.time() - begun < 5, "refused: the good one is the 61st", t)
    must(lab.dns.asked("s._domainkey.x59.auth") == 0, "its key was not asked for")


@shows("nothing that a signature says ends the field or adds a result: d=, s= and i= are checked first")
def injection(w):
    lab = Auth(w, policy="preset: none\nrules: []\n")
    for tag in ("d=evil.auth\r\n ;dkim=pass header.d=signed.auth", "d=evil.auth (; dkim=pass", "d=\"evil.auth; dkim=pass\"",
                "d=evil.auth; i=\"a;dkim=pass\"@evil.auth", "d=evil.auth; s=a;dkim=pass", "d=evil.auth; s=\"a", "d=\x00.auth",
                "d=evil.auth; i=a\\@evil.auth", "d=evil.auth dkim=pass"):
        field = ("DKIM-Signature: v=1; a=rsa-sha256; s=x; h=from; bh=%s; b=%s; %s\r\n" % (
            base64.b64encode(b"h" * 32).decode(), base64.b64encode(b"s" * 256).decode(), tag)).encode("latin-1")
        t = lab.send(STRANGER, "a@plain.auth", content=field + b"From: a@plain.auth\r\n\r\n" + BODY)
        if "\x00" in tag:
            must(t.code[0] == "5", "NUL is refused", t)
            continue
        must(t.code == "250", "250", t)
        must(len(results(t)["dkim"]) == 1 and not results(t)["dkim"][0].startswith("dkim=pass"), "one result, no pass", t)
        must("DKIM_PASS" not in t.tests and re.search(r"[\"\\(]a|signed.auth", t.field("Authentication-Results")) is None,
             "nothing of it", t)


@shows("a key server that is silent costs its message policy.budget.message, then temperror; others are served meanwhile")
def slow(w):
    lab = Auth(w, policy=POLICY + "budget: {message: 2s}\n")
    lab.dns.fault("_domainkey.signed.auth", "silent")
    took = []

    def wait_long():
        begun = time.time()
        t = lab.send(STRANGER, "a@plain.auth", content=sign(HEAD + b"\r\n" + BODY))
        took.append((time.time() - begun, t))
    thread = threading.Thread(target=wait_long)
    thread.start()
    wait_for(lambda: lab.dns.asked("_domainkey.signed.auth"), 5, "the key is asked for")
    begun = time.time()
    for _ in range(5):
        t = lab.send(STRANGER, "a@plain.auth", content=b"From: a@plain.auth\r\n\r\n" + BODY)
        must(t.code == "250", "others are served", t)
    must(not took and time.time() - begun < 1.8, "while it waits", took)
    thread.join(20)
    seconds, t = took[0]
    must(t.code == "250" and 1.5 < seconds < 10, "its budget", took)
    has(t, "dkim", "dkim=temperror", "header.d=signed.auth")
    has(t, "dmarc", "dmarc=temperror")


@shows("a client that leaves or resets while keys are asked for leaves nothing behind")
def leaves(w):
    lab = Auth(w, policy=POLICY + "budget: {message: 1s}\n")
    lab.dns.fault("_domainkey.signed.auth", "silent")
    good = sign(HEAD + b"\r\n" + BODY)
    for how in ("close", "reset", "wait"):
        with Client(lab.g.smtp, source=STRANGER) as c:
            c.hello()
            c.envelope(sender="a@plain.auth")
            c.cmd("DATA")
            c.send(good.replace(b"\r\n.", b"\r\n.."))
            if how == "reset":
                c.reset()
            elif how == "wait":
                c.send(b".\r\n")
                time.sleep(0.2)
    wait_for(lambda: len(lab.g.events("close")) == 3, 10, "three sessions have ended")
    lab.dns.fault("_domainkey.signed.auth", None)
    must(lab.send(PASS, "a@pass.test", content=b"From: a@pass.test\r\n\r\n" + BODY).code == "250", "it serves on")


@shows("mail that bypasses the rules is not verified; with dkim.verify: false none is")
def off(w):
    lab = Auth(w, policy="preset: none\nrules:\n  - {name: past, when: {sender.local: past}, then: bypass}\n")
    t = lab.send(STRANGER, "past@plain.auth", content=sign(HEAD + b"\r\n" + BODY))
    must(t.code == "250" and "dkim" not in results(t) and "dmarc" not in results(t), "nothing was looked at", t)
    must(lab.dns.asked("signed.auth") == 0, "nothing was asked", lab.dns.questions)
    lab.g.stop()
    lab.g.write(lab.config + "dkim: {verify: false}\n")
    lab.g.start()
    t = lab.send(STRANGER, "a@plain.auth", content=sign(HEAD + b"\r\n" + BODY))
    must(t.code == "250" and "dkim" not in results(t) and lab.dns.asked("signed.auth") == 0, "off", t)


@shows("sender.dmarc is asked where a rule names it, and lets an SPF fail wait for DMARC")
def sender(w):
    lab = Auth(w, policy="preset: none\nrules:\n"
               "  - {name: strict, when: {sender.dmarc: [quarantine, reject]}, then: {tag: {X-Waits: \"{sender.dmarc}\"}}}\n")
    for domain, word in (("signed.auth", "reject"), ("a.b.signed.auth", "reject"), ("none.auth", None), ("plain.auth", None)):
        t = lab.send(STRANGER, "a@" + domain, content=b"From: a@plain.auth\r\n\r\n" + BODY)
        must(t.code == "250" and t.field("X-Waits") == word, "%s for %s" % (word, domain), t)


@shows("glacis explain --message says of each signature what the proxy finds, and of the message rules what they do")
def explained(w):
    lab = Auth(w)
    good = sign(HEAD + b"\r\n" + BODY)
    path = os.path.join(w.dir, "message.eml")
    for content, code, dmarc, signatures in (
            (good, 250, "pass", ["pass"]), (hostile(2) + good, 250, "pass", ["pass", "permerror", "permerror"]),
            (good.replace(b"last", b"lost"), 550, "fail", ["fail"]), (HEAD + b"\r\n" + BODY, 550, "fail", [])):
        with open(path, "wb") as f:
            f.write(content.replace(b"\r\n", b"\n"))
        command = [lab.g.program, "explain", "-c", lab.g.path, "--ip", STRANGER, "--helo", "client.test", "--from", "a@plain.auth",
                   "--rcpt", "bob@example.test", "--message", path]
        done = subprocess.run([*command, "--json"], capture_output=True, timeout=60, check=True)
        e = json.loads(done.stdout)
        must([s["result"] for s in e["message"]["signatures"]] == signatures, signatures, e["message"])
        must((e["message"]["dmarc"]["result"], e["verdict"]["code"]) == (dmarc, code), (dmarc, code), e)
        t = lab.send(STRANGER, "a@plain.auth", content=content)
        must(t.code == str(code), "as the proxy", t)
        must(code == 550 or e["tags"]["Authentication-Results"] == t.field("Authentication-Results").strip(), "the same field", e["tags"])
        text = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout.decode()
        must("DMARC of signed.auth, which asks for reject (p= at signed.auth)" in text, "in words", text)
    must("fail: " in text, "the reason", text)
    done = subprocess.run([*command[:-1], "/nonexistent"], capture_output=True, timeout=60, check=False)
    must(done.returncode == 66, "66 for a file that is not there", done)


@shows("dmarc.org_domain: psl: the list of suffixes is read before the sandbox, at a start and at a reload, and decides who is aligned")
def suffixes(w):
    lab = Auth(w)
    content = sign(b"From: a@shop.co.uk\r\nSubject: x\r\n\r\n" + BODY, domain=b"evil.co.uk")
    t = lab.send(STRANGER, "a@plain.auth", content=content)
    must(t.code == "250", "250", t)
    has(t, "dmarc", "dmarc=pass", "header.from=shop.co.uk")     # by the tree walk co.uk is one organisation
    lab.g.stop()
    lab.g.write(lab.config + "dmarc: {org_domain: psl}\n")
    said = subprocess.run([lab.g.program, "check", "-c", lab.g.path], capture_output=True, text=True, timeout=60, check=False)
    if "psl is not in this build" in said.stdout + said.stderr:
        raise Skip("built without libpsl")
    must(said.returncode == 0, "a good configuration", said)
    lab.g.start()
    for pid in lab.g.children("glacis-worker"):
        with open("/proc/%d/status" % pid, encoding="latin-1") as f:
            must(re.search(r"(?m)^Seccomp:\s2$", f.read()), "a worker in its sandbox", pid)
    for _ in range(2):
        t = lab.send(STRANGER, "a@plain.auth", content=content)
        must((t.code, t.enhanced) == ("550", "5.7.1") and "DMARC of shop.co.uk: fail" in t.text, "co.uk is nobody", t)
        said = subprocess.run([lab.g.program, "reload", "-c", lab.g.path], capture_output=True, text=True, timeout=60, check=False)
        must("ok generation" in said.stdout, "reloaded", said)
    must(not lab.g.events("sandbox_off"), "the sandbox is on", lab.g.events("sandbox_off"))


@shows("policy.tests may give every fact of the message")
def tests(w):
    lab = Auth(w)
    given = "{sender.dmarc: reject, dkim: pass, dkim.domains: [a.test, b.test], dmarc: fail, dmarc.policy: reject, dmarc.domain: a.test, " \
            "dmarc.by: [spf, dkim], message.from_aligned: true, message.signed_by_author: broken, message.via_list: false}"
    with open(lab.g.path, encoding="ascii") as f:
        text = f.read()
    text = text.replace("policy:\n", "policy:\n  tests:\n    - {name: t, given: %s, expect: {verdict: reject, rule: RULE}}\n" % given, 1)
    path = os.path.join(w.dir, "tests.yaml")
    for rule, code in (("dmarc-reject", 0), ("signed", 78)):
        with open(path, "w", encoding="ascii") as f:
            f.write(text.replace("RULE", rule))
        done = subprocess.run([lab.g.program, "check", "-c", path], capture_output=True, timeout=60, check=False)
        must(done.returncode == code, "exit %d for %s" % (code, rule), done)


if __name__ == "__main__":
    run()
