#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""29-message-auth.py - DKIM and DMARC of live messages: real sessions, zones in nsd, keys made here, signed with dkimpy.

What the next filter reads in Authentication-Results and X-Glacis-Tests, what a rule does, what the log and the numbers say;
and that slow keys and hostile signatures hold up nobody.
"""
import atexit
import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import dnsserver
from checks import Skip, must, run, shows
from client import Client, wait_for
from lab import Lab

PASS, STRANGER = "127.0.1.30", "127.0.2.30"     # may send for pass.test; may send for nobody (lab.py)
HEAD = b"From: Alice <alice@signed.auth>\r\nTo: bob@example.test\r\nSubject: Hello\r\nDate: Tue, 1 Dec 2026 10:00:00 +0000\r\n" \
       b"Message-ID: <1@signed.auth>\r\n"
BODY = b"first line\r\n.leading dot\r\n  blanks  \t\r\n\r\nlast line\r\n\r\n\r\n"
POLICY = """preset: none
message_rules:
  - {name: dmarc-reject, when: {dmarc: fail, dmarc.policy: reject}, then: reject, reply: "550 5.7.1 DMARC of {message.from_domain}: {dmarc}"}
  - {name: signed, when: {dkim: pass}, then: {tag: {X-Signed: "{dkim.domains} {dmarc} {dmarc.by}"}}}
  - {name: aligned, when: {message.from_aligned: true}, then: {score: -1}}
"""
MADE = {}


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout


def internet():
    """The keys, and nsd with the zones that hold them; once for all checks."""
    if not MADE:
        if not dnsserver.program("nsd"):
            raise Skip("not installed: nsd")
        where = tempfile.mkdtemp(prefix="glacis-auth-")
        atexit.register(shutil.rmtree, where, True)
        MADE["key"] = openssl("genrsa", "-traditional", "2048")
        path = os.path.join(where, "key")
        with open(path, "wb") as f:
            f.write(MADE["key"])
        public = base64.b64encode(openssl("rsa", "-in", path, "-pubout", "-outform", "DER")).decode()
        record = "\"v=DKIM1; k=rsa; p=%s\" \"%s\"" % (public[:200], public[200:])
        zone = "\n".join(["mail._domainkey.signed TXT " + record,
                          "alias._domainkey.signed CNAME mail._domainkey.signed",
                          "gone._domainkey.signed TXT \"v=DKIM1; p=\"",
                          "_dmarc.signed TXT \"v=DMARC1; p=reject\"",
                          "mail._domainkey.other TXT " + record,
                          "_dmarc.none TXT \"v=DMARC1; p=none\"",
                          "_dmarc.strict TXT \"v=DMARC1; p=reject; adkim=s\"",
                          "mail._domainkey.news.strict TXT " + record,
                          "plain A 127.0.0.1"])
        MADE["nsd"] = dnsserver.nsd(where, {"auth": zone})
        atexit.register(MADE["nsd"].stop)
    return MADE


class Auth(Lab):
    """A lab that knows the domains of this file too."""

    def __init__(self, w, policy=POLICY, more="", **options):
        made = internet()
        super().__init__(w, policy=policy, lists="", more=more, **options)
        self.dns.forward("auth", made["nsd"].address)


def sign(message, domain=b"signed.auth", selector=b"mail", **options):
    import dkim  # pylint: disable=import-outside-toplevel
    return dkim.sign(message, selector, domain, internet()["key"], **options) + message


def results(t):
    """The results of Authentication-Results: {"dkim": [...], ...}."""
    found = {}
    for part in t.field("Authentication-Results").split(";")[1:]:
        found.setdefault(part.strip().split("=")[0], []).append(part.strip())
    return found


def has(t, method, *words):
    lines = results(t).get(method, [])
    must(any(all(w in l for w in words) for l in lines), "%s with %s" % (method, " ".join(words)), t)


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
    must('glacis_dkim_results_total{result="pass"} 1' in lab.g.metrics() and
         'glacis_dmarc_results_total{result="pass"} 1' in lab.g.metrics(), "the numbers")


if __name__ == "__main__":
    run()
