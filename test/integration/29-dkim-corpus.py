#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""29-dkim-corpus.py - DKIM against other programs: messages that dkimpy, libopendkim and mailauth sign, judged by
policy/dkim and by all three.

Usage: 29-dkim-corpus.py [--long] [--mailauth DIR] [--show]
    --long          every combination (about 700 messages, a minute); otherwise every ninth, in a few seconds
    --mailauth DIR  DIR/node_modules has mailauth (npm install --prefix DIR mailauth); or $GLACIS_MAILAUTH
    --show          each difference, with its message

Keys and messages are made here, so nothing secret is kept.  A message has the result that its maker says it must have;
policy/dkim must agree always, in every chunking.  Where another judge does not, EXPLAINED says why; a difference
that is not there is a failure.  Judges and signers that are not installed are left out, and that is said:
python3-dkim (with python3-nacl for Ed25519), libopendkim11, and mailauth, which only npm has.
"""
import argparse
import base64
import ctypes
import ctypes.util
import fnmatch
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DOMAIN = "example.org"
SHORT = 9                       # every so many messages without --long
HEADERS = "from to subject date message-id".split()

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
    ("mailauth", "*/key-pkcs1", "cannot read RSAPublicKey, the form that RFC 6376 3.6.1 asks for"),
    ("mailauth", "*/key-v-late", "does not ask that v= is first in the record (RFC 6376 3.6.1)"),
    ("mailauth", "*/key-twice", "takes a tag that stands twice (RFC 6376 3.2)"),
    ("mailauth", "*/key-h-sha1", "does not look at h= of the record (RFC 6376 3.6.1)"),
    ("mailauth", "*/key-s-other", "does not look at s= of the record (RFC 6376 3.6.1)"),
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


# ---- keys -----------------------------------------------------------------------------------------------------------

def openssl(*arguments, stdin=b""):
    return subprocess.run(["openssl", *arguments], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True).stdout


class Keys:
    """Private keys as PEM, records by selector; both are made new."""

    def __init__(self):
        self.pem, self.spki, self.seed = {}, {}, {}
        for name, *how in (("rsa2048", "RSA", "rsa_keygen_bits:2048"), ("rsa1024", "RSA", "rsa_keygen_bits:1024"),
                           ("rsa4096", "RSA", "rsa_keygen_bits:4096"), ("rsa768", "RSA", "rsa_keygen_bits:768"),
                           ("other", "RSA", "rsa_keygen_bits:2048"), ("ed25519", "ED25519")):
            pem = openssl("genpkey", "-algorithm", how[0], *(("-pkeyopt", how[1]) if len(how) > 1 else ()))
            self.pem[name] = pem
            self.spki[name] = openssl("pkey", "-pubout", "-outform", "DER", stdin=pem)
        self.seed["ed25519"] = openssl("pkey", "-outform", "DER", stdin=self.pem["ed25519"])[-32:]
        self.pkcs1 = openssl("rsa", "-RSAPublicKey_out", "-outform", "DER", stdin=self.pem["rsa2048"])
        self.records = {}
        p = {name: base64.b64encode(der).decode() for name, der in self.spki.items()}
        p["ed25519"] = base64.b64encode(self.spki["ed25519"][-32:]).decode()
        for name in p:
            self.put(name, "v=DKIM1; k=%s; p=%s" % ("ed25519" if name == "ed25519" else "rsa", p[name]))
        good = "p=" + p["rsa2048"]
        for selector, record in (
                ("only-p", good), ("spaces", " v=DKIM1 ;\tk=rsa ; t=y : z ; p=" + " ".join(p["rsa2048"][i:i + 50] for i in range(0, 400, 50))),
                ("unknown-tags", "v=DKIM1; xx=yy; z_1=a=b; " + good + ";"), ("notes", "v=DKIM1; n=" + "n" * 900 + "; " + good),
                ("v-late", "k=rsa; v=DKIM1; " + good), ("v-other", "v=DKIM2; " + good), ("k-other", "v=DKIM1; k=dsa; " + good),
                ("k-ed25519", "v=DKIM1; k=ed25519; " + good), ("ed-as-rsa", "v=DKIM1; p=" + p["ed25519"]),
                ("h-sha1", "v=DKIM1; h=sha1; " + good), ("h-both", "v=DKIM1; h=sha1:sha256; " + good),
                ("s-other", "v=DKIM1; s=tlsrpt; " + good), ("s-email", "v=DKIM1; s=tlsrpt:email; " + good),
                ("s-all", "v=DKIM1; s=*; " + good), ("t-s", "v=DKIM1; t=s; " + good), ("t-y", "v=DKIM1; t=y; " + good),
                ("revoked", "v=DKIM1; k=rsa; p="), ("no-p", "v=DKIM1; k=rsa"), ("twice", "v=DKIM1; k=rsa; k=rsa; " + good),
                ("junk", "this is no record"), ("pkcs1", "v=DKIM1; p=" + base64.b64encode(self.pkcs1).decode()),
                ("not-der", "v=DKIM1; p=AAAA"), ("not-base64", "v=DKIM1; p=?" + p["rsa2048"][1:]),
                ("cut", "v=DKIM1; p=" + p["rsa2048"][:-8])):
            self.put(selector, record)

    def put(self, selector, record):
        self.records["%s._domainkey.%s" % (selector, DOMAIN)] = record


# ---- signers --------------------------------------------------------------------------------------------------------

class Dkimpy:
    name = "dkimpy"

    def __init__(self):
        import dkim  # pylint: disable=import-outside-toplevel
        self.dkim = dkim
        try:
            import nacl.signing  # noqa: F401  pylint: disable=import-outside-toplevel,unused-import
            self.ed25519 = True
        except ImportError:
            self.ed25519 = False

    def sign(self, keys, message, key, selector, header, body, more):
        ed = key == "ed25519"
        secret = base64.b64encode(keys.seed[key]) if ed else openssl("rsa", "-traditional", stdin=keys.pem[key])
        names = [n.encode() for n in more.get("names", HEADERS)]
        field = self.dkim.sign(message, selector.encode(), DOMAIN.encode(), secret, identity=more.get("identity"),
                               canonicalize=(header.encode(), body.encode()), include_headers=names,
                               signature_algorithm=b"ed25519-sha256" if ed else more.get("algorithm", b"rsa-sha256"),
                               length=more.get("length", False))
        return field + message

    def judge(self, keys, messages):
        def lookup(name, timeout=5):  # pylint: disable=unused-argument
            record = keys.records.get(name.decode().rstrip(".").lower())
            if record == "!temp":
                raise self.dkim.DnsTimeoutError("time-out")
            return record.encode() if record and record != "!several" else None

        def one(message):
            try:
                d = self.dkim.DKIM(message, minkey=1024)
                return any(d.verify(idx=i, dnsfunc=lookup) for i in range(len([h for h in d.headers if h[0].lower() == b"dkim-signature"])))
            except Exception:  # pylint: disable=broad-except
                return False
        return [one(m) for m in messages]


class Opendkim:
    """libopendkim, called as a library: opendkim-testmsg signs with SHA-1 only, and rewrites line ends."""
    name = "opendkim"
    FLAGS, QUERYMETHOD, QUERYINFO, SIGNHDRS = 0, 6, 7, 4

    def __init__(self):
        path = ctypes.util.find_library("opendkim")
        if path is None:
            raise ImportError("libopendkim is not installed")
        self.lib = lib = ctypes.CDLL(path)
        pointer, text, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
        for name, result, arguments in (
                ("dkim_init", pointer, [pointer, pointer]), ("dkim_options", number, [pointer, number, number, pointer, size]),
                ("dkim_sign", pointer, [pointer, text, pointer, text, text, text, number, number, number, ctypes.c_ssize_t, pointer]),
                ("dkim_verify", pointer, [pointer, text, pointer, pointer]), ("dkim_header", number, [pointer, text, size]),
                ("dkim_eoh", number, [pointer]), ("dkim_body", number, [pointer, text, size]),
                ("dkim_chunk", number, [pointer, text, size]), ("dkim_eom", number, [pointer, pointer]),
                ("dkim_getsighdr_d", number, [pointer, size, pointer, pointer]), ("dkim_free", number, [pointer]),
                ("dkim_getsiglist", number, [pointer, pointer, pointer]), ("dkim_sig_getflags", ctypes.c_uint, [pointer]),
                ("dkim_sig_getbh", number, [pointer]), ("dkim_close", None, [pointer])):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        self.ed25519 = True

    def sign(self, keys, message, key, selector, header, body, more):
        lib, status = self.lib.dkim_init(None, None), ctypes.c_int()
        names = [n.encode() for n in more.get("names", HEADERS)]
        array = (ctypes.c_char_p * (len(names) + 1))(*names, None)
        self.lib.dkim_options(lib, 1, self.SIGNHDRS, array, ctypes.sizeof(ctypes.c_void_p))
        d = self.lib.dkim_sign(lib, b"id", None, keys.pem[key], selector.encode(), DOMAIN.encode(), int(header == "relaxed"),
                               int(body == "relaxed"), 2 if key == "ed25519" else 1, -1, ctypes.byref(status))
        fields, text = take_apart(message)
        for field in fields:
            self.must(self.lib.dkim_header(d, field, len(field)))
        self.must(self.lib.dkim_eoh(d))
        self.must(self.lib.dkim_body(d, text, len(text)) if text else 0)
        self.must(self.lib.dkim_eom(d, None))
        out, length = ctypes.c_char_p(), ctypes.c_size_t()
        self.must(self.lib.dkim_getsighdr_d(d, 16, ctypes.byref(out), ctypes.byref(length)))
        value = out.value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        self.lib.dkim_free(d)
        self.lib.dkim_close(lib)
        return b"DKIM-Signature: " + value + b"\r\n" + message

    @staticmethod
    def must(status):
        if status != 0:
            raise ValueError("libopendkim says %d" % status)

    def judge(self, keys, messages):
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as f:
            f.write("".join("%s %s\n" % (n, r) for n, r in keys.records.items() if not r.startswith("!")))
            f.flush()
            lib, method = self.lib.dkim_init(None, None), ctypes.c_int(1)
            self.lib.dkim_options(lib, 1, self.QUERYMETHOD, ctypes.byref(method), ctypes.sizeof(method))
            self.lib.dkim_options(lib, 1, self.QUERYINFO, f.name.encode(), len(f.name))
            found = [self.one(lib, m) for m in messages]
            self.lib.dkim_close(lib)
        return found

    def one(self, lib, message):
        status, signatures, count = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_int()
        d = self.lib.dkim_verify(lib, b"id", None, ctypes.byref(status))
        good = self.lib.dkim_chunk(d, message, len(message)) == 0 and self.lib.dkim_chunk(d, None, 0) == 0
        self.lib.dkim_eom(d, None)
        self.lib.dkim_getsiglist(d, ctypes.byref(signatures), ctypes.byref(count))
        passed = False
        for i in range(count.value if good else 0):
            sig = ctypes.cast(signatures, ctypes.POINTER(ctypes.c_void_p))[i]
            passed = passed or (self.lib.dkim_sig_getflags(sig) & 4 != 0 and self.lib.dkim_sig_getbh(sig) == 0)
        self.lib.dkim_free(d)
        return passed


MAILAUTH = r"""
console.log = () => {};   // the library writes a line of its own where l= is longer than the body
const path = process.argv[2];
const { dkimSign } = require(path + '/lib/dkim/sign');
const { dkimVerify } = require(path + '/lib/dkim/verify');
const jobs = JSON.parse(require('fs').readFileSync(0));
(async () => {
    const out = [];
    for (const job of jobs.list) {
        const message = Buffer.from(job.message, 'base64');
        if (job.sign) {
            const r = await dkimSign(message, job.sign);
            out.push(r.errors.length ? { error: String(r.errors[0].err) } : { signatures: r.signatures });
        } else {
            const resolver = async (name, type) => {
                const record = jobs.records[name.toLowerCase()];
                if (record === '!temp') throw Object.assign(new Error('SERVFAIL'), { code: 'ESERVFAIL' });
                if (record === '!several') return [['v=DKIM1; p=AAAA'], ['v=DKIM1; p=BBBB']];
                if (!record) throw Object.assign(new Error('ENOTFOUND'), { code: 'ENOTFOUND' });
                return [[record]];
            };
            const r = await dkimVerify(message, { resolver, minBitLength: 1024 }).catch(() => ({ results: [] }));
            out.push({ words: r.results.map(x => x.status.result) });
        }
    }
    process.stdout.write(JSON.stringify(out));
})();
"""


class Mailauth:
    name = "mailauth"
    ed25519 = True

    def __init__(self, directory):
        self.path = os.path.join(directory or "", "node_modules", "mailauth")
        if not directory or not os.path.isdir(self.path) or shutil.which("node") is None:
            raise ImportError("mailauth is not there (npm install --prefix DIR mailauth; --mailauth DIR)")

    def node(self, jobs):
        with tempfile.NamedTemporaryFile("w", suffix=".cjs") as f:
            f.write(MAILAUTH)
            f.flush()
            return json.loads(subprocess.run(["node", f.name, self.path], input=json.dumps(jobs).encode(), stdout=subprocess.PIPE,
                                             check=True).stdout)

    def sign_all(self, wanted):
        """[(keys, message, key, selector, header, body, more)] in one process."""
        answers = self.node({"list": [{"message": base64.b64encode(message).decode(), "sign": {
            "canonicalization": "%s/%s" % (header, body), "signTime": int(time.time() * 1000),
            "headerList": more.get("names", HEADERS),
            "signatureData": [{"signingDomain": DOMAIN, "selector": selector, "privateKey": keys.pem[key].decode(),
                               "algorithm": "ed25519-sha256" if key == "ed25519" else "rsa-sha256"}]}}
            for keys, message, key, selector, header, body, more in wanted]})
        for answer in answers:
            if "error" in answer:
                raise ValueError("mailauth: " + answer["error"])
        return [a["signatures"].encode("latin-1") + w[1] for a, w in zip(answers, wanted)]

    def judge(self, keys, messages):
        jobs = {"records": keys.records, "list": [{"message": base64.b64encode(m).decode()} for m in messages]}
        return ["pass" in a["words"] for a in self.node(jobs)]


def take_apart(message):
    """The fields without their CRLF, and the body."""
    head, _, body = message.partition(b"\r\n\r\n")
    fields = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] += b"\r\n" + line
        else:
            fields.append(line)
    return fields, body


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


def try_to_sign(signer, keys, how):
    """None: the program refuses this message."""
    try:
        return signer.sign(keys, *how)
    except Exception as e:  # pylint: disable=broad-except
        if isinstance(e, ValueError) or type(e).__name__ == "MessageFormatError":
            return None
        raise


# ---- judging ---------------------------------------------------------------------------------------------------------

def judge_ours(program, keys, cases):
    """[(word, reasons)]"""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "keys"), "w", encoding="ascii") as f:
            f.write("".join("%s\t%s\n" % item for item in keys.records.items()))
        paths = []
        for i, case in enumerate(cases):
            paths.append(os.path.join(folder, "%d.eml" % i))
            with open(paths[-1], "wb") as f:
                f.write(case.message)
        out = subprocess.run([program, os.path.join(folder, "keys"), str(int(time.time())), *paths], stdout=subprocess.PIPE,
                             check=True).stdout.decode()
    rows = [line.split("\t") for line in out.splitlines()]
    return [(row[1], "; ".join(row[3::2])) for row in rows]


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
