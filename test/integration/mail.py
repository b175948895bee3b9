#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""mail.py - makes, sends and compares messages for the shell tests.

    mail.py make KIND FILE [ARGUMENT]     plain | eightbit | utf8 | dots | big MIB
    mail.py send PORT FILE --rcpt A ... [--from A] [--bdat OCTETS] [--param P] [--helo NAME]
    mail.py same FILE RECEIVED ...        each RECEIVED ends with FILE, octet for octet (SHA-256 of that part)
    mail.py dkim-sign FILE SIGNED KEY RECORD      ed25519 and RSA would do; RSA here; the key record for checking
    mail.py dkim-verify FILE RECORD       exit status 0 when the signature verifies
"""
import argparse
import hashlib
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import Client, Lost  # noqa: E402  pylint: disable=wrong-import-position

HEAD = (b"From: Alice <alice@elsewhere.invalid>\r\nTo: Bob <bob@example.test>\r\nSubject: %s\r\n"
        b"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: <%d.test@elsewhere.invalid>\r\nMIME-Version: 1.0\r\n")


def make(args):
    rng = random.Random(args.kind)
    head = HEAD % (args.kind.encode(), rng.randrange(10**9))
    if args.kind == "plain":
        body = b"\r\n" + b"".join(b"line %d of plain text\r\n" % i for i in range(200))
    elif args.kind == "eightbit":
        octets = bytes(o for o in range(1, 256) if o not in (10, 13))
        body = b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + \
            b"".join(bytes(rng.choice(octets) for _ in range(200)) + b"\r\n" for _ in range(100))
    elif args.kind == "utf8":
        head = head.replace(b"Subject: utf8", "Subject: Gr\u00fc\u00dfe \u2764".encode())
        body = "\r\n\u00e4\u00f6\u00fc \u65e5\u672c\u8a9e\r\n".encode()
    elif args.kind == "dots":
        body = b"\r\n.\r\n..\r\n...x\r\n\r\n.\r\n.end\r\n"
    else:
        line = bytes(rng.choice(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") for _ in range(76))
        want = int(args.argument) * 1048576
        body = b"\r\n" + (line + b"\r\n") * ((want - len(head) - 2) // 78)
        body = body[:-2].replace(line, line[::-1], 1) + b"\r\n"
    with open(args.file, "wb") as f:
        f.write(head + body)


def send(args):
    with open(args.file, "rb") as f:
        content = f.read()
    with Client(("127.0.0.1", args.port), timeout=120) as c:
        replies = [c.hello(args.helo)] + c.envelope(args.rcpt, args.sender, "".join(" " + p for p in args.param or ()))
        for reply in replies:
            if reply.code != "250":
                sys.exit("refused: %s" % reply)
        if args.bdat:
            for at in range(0, len(content), args.bdat):
                last = c.bdat(content[at:at + args.bdat], at + args.bdat >= len(content))
                if last.code != "250":
                    break
        else:
            last = c.data(content)
        print(last)
        try:
            c.cmd("QUIT")
        except Lost:
            pass
        sys.exit(0 if last.code == "250" else 1)


def same(args):
    with open(args.file, "rb") as f:
        sent = f.read()
    want = hashlib.sha256(sent).hexdigest()
    for name in args.received:
        with open(name, "rb") as f:
            got = f.read()
        tail = hashlib.sha256(got[len(got) - len(sent):]).hexdigest()
        if tail != want:
            sys.exit("%s is not %s (SHA-256 %s, wanted %s); %d and %d octets" % (name, args.file, tail, want, len(got), len(sent)))
        added = got[:len(got) - len(sent)].split(b"\r\n")[:-1]
        if not added or not added[0].startswith(b"Received: "):
            sys.exit("%s does not begin with Received" % name)
        for line in added:
            if line[:1] not in b" \t" and not line.lower().startswith((b"received:", b"x-glacis-", b"authentication-results:")):
                sys.exit("%s has a strange line on top: %r" % (name, line))


def dkim_sign(args):
    import dkim  # Debian: python3-dkim
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", args.key, "2048"], check=True, stderr=subprocess.DEVNULL)
    public = subprocess.run(["openssl", "rsa", "-in", args.key, "-pubout", "-outform", "PEM"], check=True,
                            capture_output=True).stdout
    with open(args.record, "wb") as f:
        f.write(b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1]))
    with open(args.file, "rb") as f:
        message = f.read()
    with open(args.key, "rb") as f:
        key = f.read()
    for canon in ((b"simple", b"simple"), (b"relaxed", b"relaxed")):
        message = dkim.sign(message, b"test", b"elsewhere.invalid", key, canonicalize=canon,
                            include_headers=[b"from", b"to", b"subject", b"date", b"message-id"]) + message
    with open(args.signed, "wb") as f:
        f.write(message)


def dkim_verify(args):
    import dkim
    with open(args.record, "rb") as f:
        record = f.read()
    with open(args.file, "rb") as f:
        verifier = dkim.DKIM(f.read())
    for index in (0, 1):
        if not verifier.verify(index, dnsfunc=lambda name, timeout=5: record):
            sys.exit("signature %d does not verify" % index)


def main():
    parser = argparse.ArgumentParser()
    sub = parser.add_subparsers(required=True)
    p = sub.add_parser("make")
    p.add_argument("kind", choices=("plain", "eightbit", "utf8", "dots", "big"))
    p.add_argument("file")
    p.add_argument("argument", nargs="?", default="1")
    p.set_defaults(run=make)
    p = sub.add_parser("send")
    p.add_argument("port", type=int)
    p.add_argument("file")
    p.add_argument("--rcpt", action="append", required=True)
    p.add_argument("--from", dest="sender", default="alice@elsewhere.invalid")
    p.add_argument("--bdat", type=int)
    p.add_argument("--param", action="append")
    p.add_argument("--helo", default="client.example.net")
    p.set_defaults(run=send)
    p = sub.add_parser("same")
    p.add_argument("file")
    p.add_argument("received", nargs="+")
    p.set_defaults(run=same)
    p = sub.add_parser("dkim-sign")
    for name in ("file", "signed", "key", "record"):
        p.add_argument(name)
    p.set_defaults(run=dkim_sign)
    p = sub.add_parser("dkim-verify")
    p.add_argument("file")
    p.add_argument("record")
    p.set_defaults(run=dkim_verify)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
