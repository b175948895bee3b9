#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""29-dkim-corpus.py - DKIM against other programs: messages that dkimpy, libopendkim and mailauth sign, judged by
policy/dkim and by all three.

Usage: 29-dkim-corpus.py [--long] [--mailauth DIR] [--show]
    --long          every combination (about 700 messages, a minute); otherwise every ninth, in a few seconds
    --mailauth DIR  DIR/node_modules has mailauth 7 (npm install --prefix DIR mailauth@7); or $GLACIS_MAILAUTH
    --show          each difference, with its message

Keys and messages are made here, so nothing secret is kept.  A message has the result that its maker says it must have;
policy/dkim must agree always, in every chunking.  Where another judge does not, EXPLAINED says why; a difference
that is not there is a failure.  Judges and signers that are not installed are left out, and that is said:
python3-dkim (with python3-nacl for Ed25519), libopendkim11, and mailauth, which only npm has.
"""
import argparse
import base64
import fnmatch
import os
import random
import sys

from dkimjudges import HEADERS, Dkimpy, Keys, Mailauth, Opendkim, judge_ours, try_to_sign

HERE = os.path.dirname(os.path.abspath(__file__))
SHORT = 9                       # every so many messages without --long

# (judge, case): why that judge says pass, or does not, where the result that the maker expects is another.  Cases are
# patterns of SIGNER/ALGORITHM/HEADER-BODY CANONICALISATION/WHAT.  Each was looked at.
EXPLAINED = [
    ("dkimpy", "*/fault-from-on-top", "verifies as if h= named From once more, so a second From breaks every signature; RFC 6376 5.4.2 takes h= as it is"),
    ("dkimpy", "*-blank-before-colon", "takes white space before a colon for no field; RFC 5322 4.5.8 knows it, RFC 6376 3.4.2 removes it"),
    ("dkimpy", "*/key-v-late", "does not ask that v= is first in the record (RFC 6376 3.6.1)"),
    ("dkimpy", "*/key-h-sha1", "does not look at h= of the record (RFC 6376 3.6.1)"),
    ("dkimpy", "*/key-s-email", "compares s= of the record as one word; it is a list (RFC 6376 3.6.1)"),
    ("dkimpy", "*/identity-t-s", "does not look at t=s of the record (RFC 6376 3.6.1)"),
    ("dkimpy", "*/l-short", "a pass by RFC 6376; we call text behind l= `policy` (RFC 6376 8.2)"),
    ("dkimpy", "*/sha1", "still takes rsa-sha1 (RFC 8301 3.1)"),
    ("opendkim", "*-relaxed/body-no-line-end", "a relaxed body without a last CRLF is a syntax error to it; RFC 6376 3.4.4 adds one"),
    ("opendkim", "*-relaxed/fault-body-last-line-end-cut", "the same"),
    ("opendkim", "*/key-notes", "cuts a key record at 1,024 octets"),
    ("opendkim", "*/key-pkcs1", "cannot read RSAPublicKey, the form that RFC 6376 3.6.1 asks for"),
    ("opendkim", "*/key-v-late", "does not ask that v= is first in the record (RFC 6376 3.6.1)"),
    ("opendkim", "*/key-twice", "takes a tag that stands twice (RFC 6376 3.2)"),
    ("opendkim", "*/key-k-ed25519", "does not compare k= with a= (RFC 6376 3.6.1)"),
    ("opendkim", "*/key-ed-as-rsa", "the same"),
    ("opendkim", "*/l-short", "a pass by RFC 6376; we call text behind l= `policy` (RFC 6376 8.2)"),
    ("opendkim", "*/sha1", "its caller must look at the algorithm (RFC 8301 3.1)"),
    ("mailauth", "*/key-v-late", "does not ask that v= is first in the record (RFC 6376 3.6.1)"),
    ("mailauth", "*/key-twice", "takes a tag that stands twice (RFC 6376 3.2)"),
    ("mailauth", "*/key-ed-as-rsa", "does not compare k= with a= (RFC 6376 3.6.1)"),
    ("mailauth", "*/identity-t-s", "does not look at t=s of the record (RFC 6376 3.6.1)"),
    ("mailauth", "*/l-short", "a pass by RFC 6376; we call text behind l= `policy` (RFC 6376 8.2)"),
    ("mailauth", "*/sha1", "still takes rsa-sha1 (RFC 8301 3.1)"),
]


# ---- what is signed -------------------------------------------------------------------------------------------------

HEAD = (b"From: Joe <joe@example.org>\r\nTo: Suzie Q\r\n\t<suzie@example.net>\r\nSubject:   Is dinner   ready?  \r\n"
        b"Date: Fri, 11 Jul 2003 21:00:37 -0700\r\nMessage-ID: <1@example.org>\r\n")
TEXT = b"Hi.\r\n\r\nWe lost the game.  Are you \t hungry yet? \r\n\r\nJoe.\r\n"


def bodies():
    """Name and octets; each is something that a canonical form treats in its own way."""
    octets = random.Random(1)
    words = [bytes(octets.choice(b"abcdefgh") for _ in range(octets.randint(1, 9))) for _ in range(900)]
    return {
        "text": TEXT,
        "empty": b"",
        "line-ends": b"\r\n\r\n\r\n",
        "blanks": b"  \t \r\n \r\n",
        "trailing": b"a \t\r\nb\t \r\n\r\n \r\n\r\n",
        "leading-lines": b"\r\n\r\n  a\r\n",
        "no-line-end": b"no line end",
        "dots": b".\r\n..\r\n.a\r\n",
        "8bit": "größer\r\n".encode() + b"\xff\xfe\r\n",
        "base64": b"".join(base64.b64encode(bytes(octets.getrandbits(8) for _ in range(57))) + b"\r\n" for _ in range(120)),
        "prose": b"".join(b" ".join(words[i:i + 9]) + b"\r\n" for i in range(0, 900, 9)),
        "markup": b"".join(b"\t" * (i % 5) + b" " * (i % 3) + b"<td  class='x'>" + words[i] + b"</td> \r\n" for i in range(200)),
        "long-lines": b"x" * 990 + b"\r\n" + b"y z " * 240 + b"\r\n",
        "many-line-ends": b"a\r\n" + b"\r\n" * 6000 + b"b\r\n\r\n",
    }


def heads():
    return {
        "plain": HEAD,
        "received": b"".join(b"Received: from a by b;\r\n\tMon, 1 Jan 2024 00:00:0%d +0000\r\n" % i for i in range(9)) + HEAD,
        "two-subjects": HEAD + b"Subject: another\r\n",
        "odd-names": HEAD.replace(b"Subject:", b"sUBJECT:").replace(b"Date: ", b"Date:"),
        "folds": HEAD.replace(b"Is dinner   ready?", b"Is\r\n  dinner\r\n\t \r\n ready?").replace(b"To: Suzie", b"To:\r\n Suzie"),
        "8bit": HEAD.replace(b"dinner", "Frühstück".encode()),
        "empty-subject": HEAD.replace(b"   Is dinner   ready?  ", b""),
        "blank-before-colon": HEAD.replace(b"Subject:", b"Subject :"),
    }


# ---- what is done to a signed message --------------------------------------------------------------------------------

def flip_b(message):
    """One character in the middle of b= is another one."""
    at = message.rfind(b"b=", 0, message.index(b"\r\nFrom:")) + 40
    while not chr(message[at]).isalnum():
        at += 1
    return message[:at] + (b"A" if message[at:at + 1] != b"A" else b"B") + message[at + 1:]


def change(old, new):
    def edit(message):
        if old not in message:
            raise ValueError("%r is not there" % old)
        return message.replace(old, new, 1)
    return edit


def in_signature(old, new):
    """Within the DKIM-Signature field, which is on top."""
    def edit(message):
        end = message.index(b"\r\nFrom:")
        return change(old, new)(message[:end]) + message[end:]
    return edit


# name: (edit, result with simple/simple, result with relaxed/relaxed)
FAULTS = {
    "body-changed": (change(b"lost", b"won!"), "fail", "fail"),
    "body-longer": (lambda m: m + b"More.\r\n", "fail", "fail"),
    "body-cut": (lambda m: m[:-8], "fail", "fail"),
    "body-line-ends-added": (lambda m: m + b"\r\n\r\n", "pass", "pass"),
    "body-blanks-added": (lambda m: m + b" \r\n\t\r\n", "fail", "pass"),
    "body-blanks-changed": (change(b"game.  Are", b"game. \t Are"), "fail", "pass"),
    "body-blanks-removed": (change(b"game.  Are", b"game.Are"), "fail", "fail"),
    "body-last-line-end-cut": (lambda m: m[:-2], "pass", "pass"),
    "subject-changed": (change(b"dinner", b"supper"), "fail", "fail"),
    "subject-folded": (change(b"Is dinner", b"Is\r\n dinner"), "fail", "pass"),
    "name-case": (change(b"\r\nSubject:", b"\r\nSUBJECT:"), "fail", "pass"),
    "blank-before-colon": (change(b"\r\nSubject:", b"\r\nSubject :"), "fail", "pass"),
    "date-removed": (change(b"Date: Fri, 11 Jul 2003 21:00:37 -0700\r\n", b""), "fail", "fail"),
    "field-added": (lambda m: b"X-New: 1\r\n" + m, "pass", "pass"),
    "from-on-top": (lambda m: b"From: boss@example.org\r\n" + m, "pass", "pass"),
    "from-at-bottom": (lambda m: m.replace(b"\r\n\r\n", b"\r\nFrom: boss@example.org\r\n\r\n", 1), "fail", "fail"),
    "fields-moved": (lambda m: m.replace(b"Message-ID: <1@example.org>\r\n", b"", 1).replace(
        b"From: Joe", b"Message-ID: <1@example.org>\r\nFrom: Joe", 1), "pass", "pass"),
    "b-changed": (flip_b, "fail", "fail"),
    "d-capitals": (in_signature(b"d=example.org", b"d=EXAMPLE.org"), "fail", "fail"),
    "s-other": (in_signature(b"s=rsa2048", b"s=other"), "fail", "fail"),
    "a-ed25519": (in_signature(b"a=rsa-sha256", b"a=ed25519-sha256"), "permerror", "permerror"),
    "v-2": (in_signature(b"v=1", b"v=2"), "permerror", "permerror"),
    "v-missing": (in_signature(b"v=1;", b""), "permerror", "permerror"),
    "a-unknown": (in_signature(b"a=rsa-sha256", b"a=rsa-sha512"), "permerror", "permerror"),
    "d-missing": (in_signature(b"d=example.org", b"dd=example.org"), "permerror", "permerror"),
    "tag-twice": (in_signature(b"d=example.org", b"d=example.org; d=example.org"), "permerror", "permerror"),
    "empty-tag": (in_signature(b"d=example.org", b"d=example.org;"), "permerror", "permerror"),
    "d-not-a-name": (in_signature(b"d=example.org", b"d=exam ple.org"), "permerror", "permerror"),
    "q-unknown": (in_signature(b"d=example.org", b"d=example.org; q=http"), "permerror", "permerror"),
    "x-past": (in_signature(b"d=example.org", b"d=example.org; x=1000000000"), "permerror", "permerror"),
    "l-no-number": (in_signature(b"d=example.org", b"d=example.org; l=x"), "permerror", "permerror"),
    "i-elsewhere": (in_signature(b"d=example.org", b"d=example.org; i=@example.net"), "permerror", "permerror"),
}

# selector: result of an RSA signature with relaxed/relaxed
RECORDS = {
    "only-p": "pass", "spaces": "pass", "unknown-tags": "pass", "notes": "pass", "v-late": "permerror", "v-other": "permerror",
    "k-other": "permerror", "k-ed25519": "permerror", "h-sha1": "permerror", "h-both": "pass", "s-other": "permerror",
    "s-email": "pass", "s-all": "pass", "t-s": "pass", "t-y": "pass", "revoked": "permerror", "no-p": "permerror",
    "twice": "permerror", "junk": "permerror", "pkcs1": "pass", "not-der": "permerror", "not-base64": "permerror",
    "cut": "permerror", "absent": "permerror", "other": "fail",
}


class Case:
    def __init__(self, name, expect, message):
        self.name, self.expect, self.message = name, expect, message


def plan(signers):
    """(signer, name, arguments of sign, edit, what it must give)"""
    for s in signers:
        keys = ["rsa2048", "rsa1024"] + (["ed25519"] if s.ed25519 else [])
        for key in keys:
            for header in ("simple", "relaxed"):
                for body in ("simple", "relaxed"):
                    for what, text in bodies().items():
                        if key == "rsa1024" and what not in ("text", "blanks"):
                            continue
                        # libopendkim folds the field for a signature of RSA's length, hashes that, and then folds it anew
                        expect = "fail" if s.name == "opendkim" and key == "ed25519" and header == "simple" else "pass"
                        yield s, (key, header, body, "body-" + what), (HEAD + b"\r\n" + text, key, key, header, body, {}), None, expect
        for what, head in heads().items():
            for form in ("simple", "relaxed"):
                yield s, ("rsa2048", form, form, "head-" + what), (head + b"\r\n" + TEXT, "rsa2048", "rsa2048", form, form, {}), None, "pass"
        for what, (edit, simple, relaxed) in FAULTS.items():
            for form in ("simple", "relaxed"):
                yield (s, ("rsa2048", form, form, "fault-" + what),
                       (HEAD + b"\r\n" + TEXT, "rsa2048", "rsa2048", form, form, {}), edit, simple if form == "simple" else relaxed)
        for selector, expect in RECORDS.items():
            yield (s, ("rsa2048", "relaxed", "relaxed", "key-" + selector),
                   (HEAD + b"\r\n" + TEXT, "rsa2048", selector, "relaxed", "relaxed", {}), None, expect)
        if s.ed25519:
            for selector in ("ed-as-rsa", "k-ed25519", "other"):
                yield (s, ("ed25519", "relaxed", "relaxed", "key-" + selector),
                       (HEAD + b"\r\n" + TEXT, "ed25519", selector, "relaxed", "relaxed", {}), None, "permerror")
        for key, expect in (("rsa4096", "pass"), ("rsa768", "policy")):
            yield s, (key, "relaxed", "simple", "size"), (HEAD + b"\r\n" + TEXT, key, key, "relaxed", "simple", {}), None, expect
        if s.name == "dkimpy":
            yield from plan_dkimpy(s)


def plan_dkimpy(s):
    """What only dkimpy writes: l=, i=, SHA-1, names twice."""
    for body in ("simple", "relaxed"):
        whole = (HEAD + b"\r\n" + TEXT, "rsa2048", "rsa2048", "relaxed", body, {"length": True})
        yield s, ("rsa2048", "relaxed", body, "l-exact"), whole, None, "pass"
        yield s, ("rsa2048", "relaxed", body, "l-short"), whole, lambda m: m + b"More.\r\n", "policy"
        yield s, ("rsa2048", "relaxed", body, "l-line-ends"), whole, lambda m: m + b"\r\n\r\n", "pass"
        yield s, ("rsa2048", "relaxed", body, "l-long"), whole, lambda m: m[:-8], "fail"
        yield s, ("rsa2048", "relaxed", body, "l-changed"), whole, change(b"lost", b"won!"), "fail"
    for what, more, selector, expect in (
            ("identity", {"identity": b"joe@sub.example.org"}, "rsa2048", "pass"),
            ("identity-t-s", {"identity": b"joe@sub.example.org"}, "t-s", "permerror"),
            ("sha1", {"algorithm": b"rsa-sha1"}, "rsa2048", "policy"),
            ("oversigned", {"names": HEADERS + ["from", "subject", "cc"]}, "rsa2048", "pass")):
        yield (s, ("rsa2048", "relaxed", "relaxed", what),
               (HEAD + b"\r\n" + TEXT, "rsa2048", selector, "relaxed", "relaxed", more), None, expect)
    over = (HEAD + b"\r\n" + TEXT, "rsa2048", "rsa2048", "relaxed", "relaxed", {"names": HEADERS + ["from", "subject", "cc"]})
    yield s, ("rsa2048", "relaxed", "relaxed", "oversigned-from"), over, lambda m: b"From: boss@example.org\r\n" + m, "fail"
    yield s, ("rsa2048", "relaxed", "relaxed", "oversigned-cc"), over, lambda m: b"Cc: all@example.net\r\n" + m, "fail"


def make(keys, planned):
    """The messages; mailauth signs all of its own at once."""
    batches = {}
    for index, (signer, _, how, _, _) in enumerate(planned):
        batches.setdefault(signer, []).append((index, how))
    signed = {}
    for signer, list_ in batches.items():
        if isinstance(signer, Mailauth):
            made = signer.sign_all([(keys, *how) for _, how in list_])
        else:
            made = [try_to_sign(signer, keys, how) for _, how in list_]
        signed.update({index: message for (index, _), message in zip(list_, made)})
    cases = []
    for i, (signer, name, _, edit, expect) in enumerate(planned):
        name = "/".join((signer.name, name[0], "%s-%s" % name[1:3], name[3]))
        if signed[i] is None:
            print("not signed by %s: %s" % (signer.name, name))
        else:
            cases.append(Case(name, expect, edit(signed[i]) if edit else signed[i]))
    return cases


# ---- judging ---------------------------------------------------------------------------------------------------------

def explained(judge, case, used):
    for who, pattern, why in EXPLAINED:
        if who == judge and fnmatch.fnmatch(case.name, pattern):
            used[(who, pattern)] = used.get((who, pattern), 0) + 1
            return why
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--mailauth", default=os.environ.get("GLACIS_MAILAUTH"))
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    build = os.path.dirname(os.environ.get("GLACIS", os.path.join(HERE, "..", "..", "build", "glacis")))
    program = os.path.join(build, "dkim_judge")
    if not os.path.exists(program):
        print("skipped: there is no %s" % program)
        return 77
    signers, left_out = [], 0
    for maker in (Dkimpy, Opendkim, lambda: Mailauth(given.mailauth)):
        try:
            signers.append(maker())
        except ImportError as e:
            left_out += 1
            print("left out: %s" % e)
    if not signers:
        print("skipped: there is no other program to compare with")
        return 77
    keys = Keys()
    planned = list(plan(signers))
    if not given.long:
        planned = planned[::SHORT]
    cases = make(keys, planned)
    failed, used = 0, {}
    for case, (word, reasons) in zip(cases, judge_ours(program, keys, cases)):
        if word != case.expect:
            failed += 1
            print("FAILED %s: %s (%s), expected %s" % (case.name, word, reasons, case.expect))
    for s in signers:
        for case, passed in zip(cases, s.judge(keys, [c.message for c in cases])):
            if passed == (case.expect == "pass"):
                continue
            why = explained(s.name, case, used)
            if why is None:
                failed += 1
                print("FAILED %s of %s: %s, expected %s, and not explained" % (s.name, case.name, "pass" if passed else "no pass", case.expect))
            elif given.show:
                print("%s of %s: %s: %s" % (s.name, case.name, "pass" if passed else "no pass", why))
    if given.long and not left_out:
        for who, pattern, _ in EXPLAINED:
            if (who, pattern) not in used:
                failed += 1
                print("FAILED: no longer needed in EXPLAINED: %s %s" % (who, pattern))
    print("%d messages by %s; differences of others, all explained: %d" % (len(cases), ", ".join(s.name for s in signers), sum(used.values())))
    print("%d passed, %d failed, %d skipped" % (len(cases) * (1 + len(signers)) - failed, failed, left_out))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
