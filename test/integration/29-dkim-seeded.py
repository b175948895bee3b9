#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""29-dkim-seeded.py - DKIM by chance: messages with everything drawn from a seed, judged by policy/dkim in chunks of 1,
2, 3, 7 and 4,096 octets, and by dkimpy, libopendkim, Mail::DKIM and mailauth.

Usage: 29-dkim-seeded.py [--count N] [--seed N] [--mailauth DIR] [--show] [--keep DIR]
    --count N       messages (600); $GLACIS_DKIM_COUNT
    --seed N        of the generator (1)
    --mailauth DIR  DIR/node_modules has mailauth 7 (npm install --prefix DIR mailauth@7); or $GLACIS_MAILAUTH
    --show          each difference, with its rule
    --keep DIR      writes the keys, and the message of each failure and with --show of each difference, there

29-dkim-corpus.py tries each thing alone; here they meet: fields with folds, tabs, 8-bit octets, twice, absent and signed
once more; bodies of all kinds; l=; tags in any order, folded and cased at will; key records; one octet changed.  Half of
the messages are signed by a signer below, written from RFC 6376 3.4 to 3.7 over whole strings, because no other program
writes such signatures; the others by dkimpy, libopendkim and mailauth.

Checked: a message that nobody touched passes if its key may; a change of b= or bh= never does; and every difference between
policy/dkim and another judge has a rule in RULES, which also names the reason that policy/dkim gave.  A difference without
a rule is a failure; with seed 1, so is a rule that explains nothing, unless its judge is not installed.
"""
import argparse
import base64
import collections
import fnmatch
import hashlib
import os
import random
import re
import sys
import time

from dkimjudges import DOMAIN, Dkimpy, Keys, MailDkim, Mailauth, Opendkim, judge_ours, take_apart, try_to_sign

HERE = os.path.dirname(os.path.abspath(__file__))
QUICK, LONG = 600, 2000         # messages from which on every rule, and every rare rule, must have been of use
KEYS = ("rsa2048", "rsa2048", "rsa1024", "rsa4096", "ed25519", "ed25519")

# (name, judges, traits, does the judge pass, reason of policy/dkim, why).  All traits must be of the message; see Maker and
# traits_of.  Each difference was looked at.  A name that ends in ", rare" need not be of use before LONG messages.
VERIFIES = "the signature verifies"
RULES = [
    # messages that policy/dkim passes and the judge does not
    ("ed25519", "Mail::DKIM", "key:ed25519", False, VERIFIES, "Debian's does not know ed25519-sha256 (RFC 8463)"),
    ("white space behind b=", "dkimpy", "blank-behind-b", False, VERIFIES,
     "hashes the white space between the value of b= and the semicolon; RFC 6376 3.7 deletes all around the value"),
    ("white space before the equals sign", "opendkim", "b-space-equals", False, VERIFIES,
     "does not find b= to delete its value if white space follows the name; RFC 6376 3.2 allows it"),
    ("b= first", "dkimpy", "b-first", False, VERIFIES, "does not find b= to delete its value directly behind the colon of the field"),
    ("list of q=", "dkimpy", "q-list", False, VERIFIES, "compares q= as one word; it is a list, and unknown methods are ignored (RFC 6376 3.5)"),
    ("second From", "dkimpy", "from-twice", False, VERIFIES,
     "verifies as if h= named From once more, so a second From breaks every signature; RFC 6376 5.4.2 takes h= as it is"),
    ("blank before the colon", "dkimpy", "blank-before-colon", False, VERIFIES,
     "takes white space before a colon for no field; RFC 5322 4.5.8 knows it, RFC 6376 3.4.2 removes it"),
    ("s= is a list", "dkimpy", "record:s-list", False, VERIFIES, "compares s= of the record as one word; it is a list (RFC 6376 3.6.1)"),
    ("h= with blanks", "Mail::DKIM", "record:h-sha256", False, VERIFIES, "does not take white space around the colons of h= (RFC 6376 3.6.1)"),
    ("no last line end", "dkimpy", "blank-end */relaxed", False, VERIFIES,
     "keeps white space at the end of a line without CRLF; RFC 6376 3.4.4 removes it and adds the CRLF"),
    ("no last line end", "opendkim", "no-line-end */relaxed", False, VERIFIES, "a relaxed body without a last CRLF is a syntax error to it; RFC 6376 3.4.4 adds one"),
    ("no last line end", "Mail::DKIM", "no-line-end */simple", False, VERIFIES, "does not add the last CRLF; RFC 6376 3.4.3 does"),
    ("no last line end, rare", "opendkim", "long-body no-line-end */simple", False, VERIFIES,
     "hashes something else if a body of more than 4,096 octets has no last CRLF"),
    ("tab before the colon, rare", "opendkim", "tab-before-colon", False, VERIFIES,
     "refuses a message with a tab before a colon as a whole; it takes a space there"),
    ("line without a colon, rare", "dkimpy opendkim mailauth", "no-field", False, VERIFIES,
     "refuses a header section with a line that is no field as a whole; we leave the line out"),
    # messages that the judge passes and policy/dkim does not
    ("text behind l=", "dkimpy opendkim Mail::DKIM mailauth", "l", True, "the body goes on behind l=", "a pass by RFC 6376; we call text behind l= `policy` (RFC 6376 8.2)"),
    ("body shorter than l=", "dkimpy Mail::DKIM mailauth", "l", True, "the body is shorter than l=", "hashes what there is; RFC 6376 3.5 wants l= octets at least"),
    ("no From in h=", "dkimpy Mail::DKIM", "from-unsigned", True, "h= does not cover From", "does not ask that h= has From (RFC 6376 3.5)"),
    ("expired", "dkimpy", "x-past", True, "the signature has expired", "allows for clocks that are wrong by ten hours"),
    ("expired", "opendkim", "x-past", True, "the signature has expired", "allows for clocks that are wrong by five minutes"),
    ("v= not first", "dkimpy opendkim Mail::DKIM mailauth", "record:v-late", True, "the key record is not of version DKIM1", "does not ask that v= is first in the record (RFC 6376 3.6.1)"),
    ("h= of the record", "dkimpy", "record:h-sha1", True, "the key is not for SHA-256", "does not look at h= of the record (RFC 6376 3.6.1)"),
    ("k= of the record", "opendkim", "record:k-wrong", True, "the key is of another type", "does not compare k= with a= (RFC 6376 3.6.1)"),
    ("t=s of the record", "dkimpy mailauth", "identity-t-s", True, "the key is not for subdomains, and i= is one", "does not look at t=s of the record (RFC 6376 3.6.1)"),
    ("tag twice", "opendkim Mail::DKIM mailauth", "record:twice", True, "the key record is malformed", "takes a tag that stands twice (RFC 6376 3.2)"),
    ("no last line end", "dkimpy", "blank-end */relaxed", True, "the body was changed", "the same as above: what it signed it takes"),
    ("no last line end, rare", "opendkim", "blank-end by:opendkim */relaxed", True, "the body was changed",
     "adds no CRLF if it has removed white space there, where RFC 6376 3.4.4 adds it; what it signed it takes"),
    ("bare CR at the end, rare", "opendkim", "cr-end", True, "the body was changed", "takes a CR behind everything else for a line end"),
    ("mbox, rare", "dkimpy", "blank-before-colon by:dkimpy", True, "the signed header fields were changed, or the key is another",
     "takes a first field `From :` for the first line of an mbox, and signs without it"),
]


# ---- the forms of RFC 6376 3.4, over whole strings --------------------------------------------------------------------

def canon_field(field, form):
    if form == "simple":
        return field + b"\r\n"
    name, _, value = field.partition(b":")
    value = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.strip(b" \t").lower() + b":" + value + b"\r\n"


def canon_body(body, form):
    if form == "relaxed":
        body = re.sub(rb"[ \t]+(?=\r\n|\Z)", b"", re.sub(rb"[ \t]+", b" ", body))
    body = re.sub(rb"(\r\n)+\Z", b"", body)
    return body + b"\r\n" if body or form == "simple" else b""


def chosen(fields, names):
    """The instances that h= names, each time the lowest that is left (5.4.2)."""
    left, found = list(fields), []
    for name in names:
        for i in range(len(left) - 1, -1, -1):
            if left[i].split(b":")[0].strip(b" \t").lower() == name.lower().encode():
                found.append(left.pop(i))
                break
    return found


class Plain:
    """The signer of this file."""
    name = "plain"

    def __init__(self):
        import dkim.crypto  # pylint: disable=import-outside-toplevel
        import nacl.signing  # pylint: disable=import-outside-toplevel
        self.crypto, self.nacl, self.private = dkim.crypto, nacl.signing, {}

    def signature(self, keys, key, octets):
        if key == "ed25519":
            return self.nacl.SigningKey(keys.seed[key]).sign(hashlib.sha256(octets).digest()).signature
        if key not in self.private:
            self.private[key] = self.crypto.parse_pem_private_key(keys.traditional(key))
        return self.crypto.RSASSA_PKCS1_v1_5_sign(hashlib.sha256(octets), self.private[key])

    def sign(self, keys, message, how, rnd):
        """how: key, selector, header, body, names, length, and further tags."""
        fields, body = take_apart(message)
        text = canon_body(body, how["body"])
        tags = {"v": "1", "a": "ed25519-sha256" if how["key"] == "ed25519" else "rsa-sha256", "d": how["d"], "s": how["selector"],
                "h": rnd.choice((":", " : ", ":\r\n\t")).join(how["names"])}
        if how["length"] is not None:
            tags["l"] = str(how["length"](len(text)))
            text = text[:int(tags["l"])]
        if (how["header"], how["body"]) != ("simple", "simple"):
            tags["c"] = how["header"] if how["body"] == "simple" and rnd.random() < 0.5 else how["header"] + "/" + how["body"]
        tags["bh"] = base64.b64encode(hashlib.sha256(text).digest()).decode()
        tags.update(how["more"])
        order = list(tags)
        rnd.shuffle(order)
        order.insert(rnd.randint(0, len(order)), "b")
        tags["b"] = ""
        blank = rnd.choice(("", "", " "))
        between = rnd.choice(("; ", ";", " ;\r\n\t", ";\r\n  "))
        head = rnd.choice(("DKIM-Signature: ", "dkim-signature:", "DKIM-Signature:\r\n "))
        text = head + between.join(name + blank + "=" + blank + tags[name] for name in order) + rnd.choice(("", "", ";"))
        start = re.search("(^|[;:\\s])b" + blank + "=", text).end()
        end = re.compile(r"\s*").match(text, start).end()
        data = b"".join(canon_field(f, how["header"]) for f in chosen(fields, how["names"]))
        data += canon_field((text[:start] + text[end:]).encode(), how["header"])[:-2]  # b= without its white space (3.5)
        b = base64.b64encode(self.signature(keys, how["key"], data)).decode()
        fold = rnd.choice((0, 0, 17, 60))
        b = "\r\n\t".join(b[i:i + fold] for i in range(0, len(b), fold)) if fold else b
        at = start + len(blank)
        return (text[:at] + b + text[at:]).encode() + b"\r\n" + message


# ---- key records ------------------------------------------------------------------------------------------------------

# name: (record with %(k)s, %(p)s, %(spaced)s; may a signature pass)
RECORDS = {
    "plain": ("v=DKIM1; k=%(k)s; p=%(p)s", True),
    "spaces": (" v = DKIM1 ;\tk = %(k)s ; p = %(spaced)s ;", True),
    "unknown-tags": ("v=DKIM1; zz=1; k=%(k)s; n=a note; p=%(p)s; y_9=a=b", True),
    "h-sha256": ("v=DKIM1; h=sha1 : sha256; k=%(k)s; p=%(p)s", True),
    "s-list": ("v=DKIM1; s=other:email; k=%(k)s; p=%(p)s", True),
    "s-star": ("v=DKIM1; s=*; k=%(k)s; p=%(p)s", True),
    "t-y": ("v=DKIM1; t=y; k=%(k)s; p=%(p)s", True),
    "no-v": ("k=%(k)s; p=%(p)s", True),
    "v-late": ("k=%(k)s; v=DKIM1; p=%(p)s", False),
    "v-2": ("v=DKIM2; k=%(k)s; p=%(p)s", False),
    "k-wrong": ("v=DKIM1; k=%(wrong)s; p=%(p)s", False),
    "h-sha1": ("v=DKIM1; h=sha1; k=%(k)s; p=%(p)s", False),
    "s-other": ("v=DKIM1; s=other; k=%(k)s; p=%(p)s", False),
    "revoked": ("v=DKIM1; k=%(k)s; p=", False),
    "twice": ("v=DKIM1; k=%(k)s; k=%(k)s; p=%(p)s", False),
    "of-another": ("v=DKIM1; k=%(k)s; p=%(other)s", False),
    "several": ("!several", False),
    "temp": ("!temp", False),
}


def put_records(keys):
    p = {key: keys.records["%s._domainkey.%s" % (key, DOMAIN)].split("p=")[1] for key in list(keys.pem)}
    p["ed-other"] = base64.b64encode(bytes(range(32))).decode()
    for key in sorted(set(KEYS)):
        ed = key == "ed25519"
        words = {"k": "ed25519" if ed else "rsa", "wrong": "rsa" if ed else "ed25519", "p": p[key], "other": p["ed-other" if ed else "other"],
                 "spaced": " ".join(p[key][i:i + 40] for i in range(0, len(p[key]), 40))}
        for name, (record, _) in RECORDS.items():
            keys.put("%s-%s" % (key, name), record % words)
        keys.put("%s-t-s" % key, "v=DKIM1; t=y:s; k=%(k)s; p=%(p)s" % words)


# ---- messages ---------------------------------------------------------------------------------------------------------

class Maker:
    """One message, from (seed, index)."""

    def __init__(self, seed, index):
        self.rnd = random.Random("%d/%d" % (seed, index))
        self.traits = set()

    def chance(self, share):
        return self.rnd.random() < share

    def word(self):
        return bytes(self.rnd.choice(b"abcdefghijklmnopqrstuvwxyz.,:;=-") for _ in range(self.rnd.randint(1, 9)))

    def words(self, between):
        return b"".join(self.word() + self.rnd.choice(between) for _ in range(self.rnd.randint(1, 9))).strip(b" \t\r\n")

    def value(self):
        kind = self.rnd.random()
        if kind < 0.06:
            return b""
        if kind < 0.12:
            return self.words((b" ",)) + self.rnd.choice(("größe".encode(), b"gr\xf6\xdfe"))
        if kind < 0.18:
            return self.words((b" ",)) + b" " + b"long" * self.rnd.randint(60, 230)
        if kind < 0.55:
            return self.words((b"\r\n ", b"\r\n\t", b" ", b"\r\n \t ", b"  "))
        return self.words((b" ", b" ", b"\t", b"   ", b" \t ")) + self.rnd.choice((b"", b"", b" ", b"\t "))

    def fields(self):
        author = self.rnd.choice((b"Joe <joe@example.org>", b"joe@example.org", b"\"Joe\"\r\n <joe@example.org>", b"=?utf-8?q?J?= <joe@example.org>"))
        names = [b"To", b"Subject", b"Date", b"Message-ID"] + [n for n in (b"Cc", b"Reply-To", b"MIME-Version", b"Content-Type", b"X-Any", b"List-Id")
                                                               if self.chance(0.4)]
        names += [b"Received"] * self.rnd.randint(0, 3) + [b"Subject", b"X-Any"] * self.chance(0.15)
        self.rnd.shuffle(names)
        found = [(n if self.chance(0.85) else self.rnd.choice((n.upper(), n.lower(), n.swapcase()))) + self.rnd.choice((b": ", b": ", b":", b":\t", b":  "))
                 + self.value() for n in names]
        found.insert(self.rnd.randint(0, len(found)), b"From: " + author)
        if self.chance(0.04):
            at = self.rnd.randrange(len(found))
            if self.chance(0.25):  # `From :` on top looks like an mbox
                found.sort(key=lambda f: not f.startswith(b"From:"))
                at = 0
            name, _, value = found[at].partition(b":")
            found[at] = name + self.rnd.choice((b" :", b" :", b"\t:")) + value
        return [re.sub(rb":[ \t]*\Z", b": ", f) for f in found]

    def line(self):
        kind = self.rnd.random()
        if kind < 0.15:
            return self.rnd.choice((b"", b" ", b"\t", b" \t  "))
        if kind < 0.25:
            return b"." * self.rnd.randint(1, 3) + self.word()
        if kind < 0.3:
            return self.rnd.choice((b"x", b"y ", b"\xff\xfe", "ü".encode())) * self.rnd.randint(300, 499)
        return self.rnd.choice((b"", b"", b" ", b"\t")) + self.words((b" ", b"  ", b"\t", b" \t")) + self.rnd.choice((b"", b"", b" ", b" \t"))

    def body(self):
        kind = self.rnd.random()
        if kind < 0.06:
            return b""
        if kind < 0.1:
            return b"\r\n" * self.rnd.randint(1, 5)
        lines = [self.line() for _ in range(self.rnd.choice((1, 2, 5, 12, 40)))]
        lines += [self.rnd.choice((b"", b"", b" ", b"\t")) for _ in range(self.rnd.choice((0, 0, 1, 4)))]
        text = b"\r\n".join(lines) + b"\r\n"
        if self.chance(0.08):
            text = text[:-2]
        return text

    def names(self, fields):
        """h=, always with From."""
        there = [f.split(b":")[0].strip().decode() for f in fields]
        found = ["from"] + [n for n in there if n.lower() != "from" and self.chance(0.7)]
        found = [n if self.chance(0.7) else n.lower() for n in found]
        if self.chance(0.25):
            found += self.rnd.choice((["From"], ["from", "subject"], ["Sender", "cc"], ["X-Absent"], ["x-any", "X-ANY", "x-any"]))
        self.rnd.shuffle(found)
        return found

    def how(self, fields):
        rnd = self.rnd
        key = rnd.choice(KEYS)
        record = "plain" if self.chance(0.72) else rnd.choice(sorted(RECORDS))
        self.traits.update(("key:" + key, "record:" + record))
        self.may = RECORDS[record][1]
        how = {"key": key, "selector": "%s-%s" % (key, record), "header": rnd.choice(("simple", "relaxed")),
               "body": rnd.choice(("simple", "relaxed")), "names": self.names(fields), "length": None, "d": DOMAIN, "more": {}}
        return how

    def how_plain(self, how):
        """What only the signer of this file writes."""
        rnd, more = self.rnd, how["more"]
        if self.chance(0.15):
            kind = rnd.choice(("exact", "short", "short", "zero", "long"))
            self.traits.add("l-" + kind)
            how["length"] = {"exact": lambda n: n, "short": lambda n: rnd.randint(n // 2, n), "zero": lambda n: 0, "long": lambda n: n + rnd.randint(1, 99)}[kind]
            self.may = None if self.may else False
        if self.chance(0.2):
            more["t"] = str(int(time.time()) - rnd.randint(0, 100000))
        if self.chance(0.1):
            past = self.chance(0.3)
            more["x"] = str(int(time.time()) + (rnd.choice((-50, -5000)) if past else 50000))
            more.pop("t", None)
            self.traits.add("x-past" if past else "x")
            self.may = self.may and not past
        if self.chance(0.2):
            where = rnd.choice(("", "joe", "")) + "@" + rnd.choice(("", "", "news.")) + DOMAIN
            more["i"] = where
            if "news" in where and self.chance(0.4) and self.traits & {"record:plain"}:
                how["selector"] = how["key"] + "-t-s"
                self.traits.add("identity-t-s")
                self.may = False
        if self.chance(0.1):
            more[rnd.choice(("z", "zz", "r_1"))] = "From:joe|To:x"
        if self.chance(0.1):
            more["q"] = rnd.choice(("dns/txt", "x/y:dns/txt"))
        if self.chance(0.06):
            how["d"] = "Example.ORG"
            self.traits.add("d-capitals")
        if self.chance(0.03):
            how["names"] = [n for n in how["names"] if n.lower() != "from"] or ["to"]
            self.traits.add("from-unsigned")
            self.may = False

    # ---- faults

    def flip(self, octets, start, end):
        """Another octet, mostly of the same kind, at a place that is no line end."""
        places = [i for i in range(start, end) if octets[i] not in b"\r\n"]
        if not places:
            return octets
        at = self.rnd.choice(places)
        other = self.rnd.choice([c for c in b"abcXYZ019+/=;:, \t" if c != octets[at]] if self.chance(0.9) else [0, 1, 127, 200])
        if other in (0, 1, 127, 200):
            self.traits.add("odd-octet")
        return octets[:at] + bytes([other]) + octets[at + 1:]

    def tag_span(self, message, tag):
        end = re.search(rb"\r\n(?![ \t])", message).start()
        found = re.search(rb"(?:^[^:]*:|;)\s*" + tag + rb"\s*=([^;]*)", message[:end])
        return found.span(1)

    def fault(self, message):
        top = re.search(rb"\r\n(?![ \t])", message).end()
        # search from the end of the signature, because an empty body may leave no blank line of its own
        text = message.index(b"\r\n\r\n", top - 2) + 4
        kind = self.rnd.choice(("flip-body", "flip-header", "flip-b", "flip-bh", "flip-signature", "blanks", "append", "line-ends", "cut", "cut-2",
                                "remove", "double", "bury", "move", "case", "fold", "unfold"))
        self.traits.add("fault:" + kind)
        head = [f + b"\r\n" for f in take_apart(message[top:])[0]]
        pick = self.rnd.randrange(len(head))
        if kind == "flip-body":
            return self.flip(message, text, len(message))
        if kind == "flip-header":
            return self.flip(message, top, text)
        if kind == "flip-signature":
            return self.flip(message, message.index(b":") + 1, top)
        if kind in ("flip-b", "flip-bh"):
            return self.flip_base64(message, kind[5:].encode())
        if kind == "blanks":
            return message[:text] + message[text:].replace(b" ", self.rnd.choice((b"  ", b"\t", b"")), 1)
        if kind in ("append", "line-ends"):
            return message + (b"More.\r\n" if kind == "append" else b"\r\n\r\n")
        if kind in ("cut", "cut-2"):
            return message[:max(text, len(message) - (2 if kind == "cut-2" else 5))]
        if kind == "remove":
            del head[pick]
        elif kind in ("double", "bury"):
            name = b"From" if self.chance(0.4) else head[pick].split(b":")[0]
            new = name + b": new@example.net\r\n"
            head.insert(0 if kind == "double" else len(head), new)
        elif kind == "move":
            head.append(head.pop(pick))
        elif kind == "case":
            name, _, value = head[pick].partition(b":")
            head[pick] = name.swapcase() + b":" + value
        elif kind == "unfold":
            head[pick] = re.sub(rb"\r\n[ \t]", b"\r\n+", head[pick], count=1)
        else:
            head[pick] = head[pick].replace(b" ", b"\r\n ", 1)
        return message[:top] + b"".join(head) + b"\r\n" + message[text:]

    def flip_base64(self, message, tag):
        """Another letter of base64 in the first half, where no bit is spare."""
        start, end = self.tag_span(message, tag)
        places = [i for i in range(start, start + (end - start) // 2) if chr(message[i]).isalnum()]
        at = self.rnd.choice(places)
        self.may = False
        return message[:at] + (b"Q" if message[at:at + 1] != b"Q" else b"R") + message[at + 1:]


def traits_of(message):
    """What the finished message has, however it came to it."""
    end = re.search(rb"\r\n(?![ \t])", message).start()
    tags = message[message.index(b":") + 1:end]
    fields, body = take_apart(message)
    found = {
        "b-first": tags.startswith((b"b=", b"b =")),
        "b-space-equals": re.search(rb"(\A|[;\s])b[ \t]+=", tags),
        "blank-behind-b": re.search(rb"(\A|[;\s])b[ \t]*=[^;]*\s;", tags),
        "q-list": re.search(rb"(\A|[;\s])q\s*=\s*x/y:", tags),
        "l": re.search(rb"(\A|[;\s])l\s*=", tags),
        "no-line-end": body and not body.endswith(b"\r\n"),
        "blank-end": body.endswith((b" ", b"\t")),
        "cr-end": body.endswith(b"\r"),
        "no-field": any(not re.match(rb"[!-9;-~]+[ \t]*:", f) for f in fields),
        "long-body": len(body) > 4000,
        "tab-before-colon": any(re.match(rb"[!-9;-~]+[ \t]*\t[ \t]*:", f) for f in fields),
        "blank-before-colon": any(re.match(rb"[!-9;-~]+[ \t]+:", f) for f in fields),
        "from-twice": sum(f[:5].lower().rstrip(b" \t:") == b"from" for f in fields) > 1,
    }
    return {name for name, is_so in found.items() if is_so}


Case = collections.namedtuple("Case", "name traits may message")


class Draft:
    """One message before it is signed.  The choices do not depend on which programs are there."""

    def __init__(self, seed, index):
        self.index, self.maker = index, Maker(seed, index)
        self.signer = self.maker.rnd.choice(("plain", "plain", "plain", "dkimpy", "opendkim", "mailauth"))
        fields = self.maker.fields()
        self.message = b"\r\n".join(fields) + b"\r\n\r\n" + self.maker.body()
        self.how = how = self.maker.how(fields)
        if self.signer == "opendkim" and how["key"] == "ed25519" and how["header"] == "simple":
            self.signer = "plain"  # libopendkim folds the field for a signature of RSA's length, and then folds it anew
        names = [n.lower() for n in how["names"] if n.lower() != "received"]
        self.call = (self.message, how["key"], how["selector"], how["header"], how["body"], {"names": names})

    def finish(self, keys, plain, signed):
        """signed: by another program, or None."""
        maker, how = self.maker, self.how
        if signed is None:
            self.signer = "plain"
            maker.how_plain(how)
            signed = plain.sign(keys, self.message, how, maker.rnd)
        if maker.chance(0.4):
            signed = maker.fault(signed)
            maker.may = maker.may and None
        traits = maker.traits | traits_of(signed)
        traits.add("by:" + self.signer)
        if traits & {"by:dkimpy", "by:opendkim"} and traits & {"blank-end", "blank-before-colon"}:
            maker.may = maker.may and None  # these have forms of their own for that: RULES
        name = "%d %s/%s %s" % (self.index, how["header"], how["body"], " ".join(sorted(traits)))
        return Case(name, traits | {how["header"] + "/" + how["body"]}, maker.may, signed)


def make(given, keys, plain, signers):
    drafts = [Draft(given.seed, i) for i in range(given.count)]
    signed = {}
    for signer in signers:
        mine = [d for d in drafts if d.signer == signer.name]
        if signer.name == "mailauth":
            made = signer.sign_all([(keys, *d.call) for d in mine])
        else:
            made = [try_to_sign(signer, keys, d.call) for d in mine]
        signed.update((d.index, message) for d, message in zip(mine, made))
    return [d.finish(keys, plain, signed.get(d.index)) for d in drafts]


# ---- comparison -------------------------------------------------------------------------------------------------------

def rule_of(judge, case, reasons, passes):
    for i, (_, who, traits, does, reason, _) in enumerate(RULES):
        if judge in who.split() and does == passes and reason == reasons and all(fnmatch.filter(case.traits, t) for t in traits.split()):
            return i
    return None


class Run:
    def __init__(self, given, keys):
        self.given, self.keys, self.failed, self.used = given, keys, 0, collections.Counter()

    def keep(self, case):
        if self.given.keep:
            os.makedirs(self.given.keep, exist_ok=True)
            with open(os.path.join(self.given.keep, case.name.split()[0] + ".eml"), "wb") as f:
                f.write(case.message)
            with open(os.path.join(self.given.keep, "keys"), "w", encoding="ascii") as f:
                f.write("".join("%s\t%s\n" % item for item in self.keys.records.items()))

    def fail(self, case, text):
        self.failed += 1
        self.keep(case)
        print("FAILED %s: %s" % (case.name, text))

    def ours(self, case, word, reasons):
        if word == "torn" or (case.may is not None and case.may != (word == "pass")):
            self.fail(case, "%s (%s), expected %s" % (word, reasons, {True: "pass", False: "no pass", None: "the same in all chunks"}[case.may]))

    def other(self, judge, case, word, reasons, passes):
        if passes == (word == "pass"):
            return
        rule = rule_of(judge, case, reasons, passes)
        if rule is None:
            self.fail(case, "%s says %s, ours %s (%s), and no rule explains it" % (judge, "pass" if passes else "no pass", word, reasons))
            return
        self.used[(rule, judge)] += 1
        if self.given.show:
            self.keep(case)
            print("%s of %s: %s (%s): %s" % (judge, case.name, word, reasons, RULES[rule][0]))


def unused(run, names):
    """Rules that explained nothing: a rare one of no judge, another of one of its judges."""
    for i, (name, who, *_) in enumerate(RULES):
        rare = name.endswith(", rare")
        mine = names.intersection(who.split())
        useless = [judge for judge in mine if (i, judge) not in run.used]
        if run.given.count >= (LONG if rare else QUICK) and (useless == list(mine) != [] if rare else useless):
            yield "%s, %s" % (name, " ".join(useless))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=int(os.environ.get("GLACIS_DKIM_COUNT", "600")))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mailauth", default=os.environ.get("GLACIS_MAILAUTH"))
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--keep")
    given = parser.parse_args()
    build = os.path.dirname(os.environ.get("GLACIS", os.path.join(HERE, "..", "..", "build", "glacis")))
    program = os.path.join(build, "dkim_judge")
    if not os.path.exists(program):
        print("skipped: there is no %s" % program)
        return 77
    try:
        plain, judges, left_out = Plain(), [], 0
    except ImportError as e:
        print("skipped: no message can be signed: %s (python3-dkim, python3-nacl)" % e)
        return 77
    for maker in (Dkimpy, Opendkim, MailDkim, lambda: Mailauth(given.mailauth)):
        try:
            judges.append(maker())
        except ImportError as e:
            left_out += 1
            print("left out: %s" % e)
    keys = Keys()
    put_records(keys)
    signers = [j for j in judges if hasattr(j, "sign")]
    cases = make(given, keys, plain, signers)
    verdicts = judge_ours(program, keys, cases)
    run = Run(given, keys)
    for case, (word, reasons) in zip(cases, verdicts):
        run.ours(case, word, reasons)
    for judge in judges:
        for case, (word, reasons), passes in zip(cases, verdicts, judge.judge(keys, [c.message for c in cases])):
            run.other(judge.name, case, word, reasons, passes)
    for useless in unused(run, {j.name for j in judges}) if given.seed == 1 else ():
        run.failed += 1
        print("FAILED: this rule explains nothing: %s" % useless)
    words = collections.Counter(word for word, _ in verdicts)
    print("%d messages, seed %d: %s; differences of %s, all explained: %d" % (
        len(cases), given.seed, ", ".join("%d %s" % (n, w) for w, n in sorted(words.items())), ", ".join(j.name for j in judges), sum(run.used.values())))
    for (i, who), n in sorted(run.used.items()):
        print("  %4d  %s, %s: %s" % (n, who, RULES[i][0], RULES[i][5]))
    print("%d passed, %d failed, %d skipped" % (len(cases) * (1 + len(judges)) - run.failed, run.failed, left_out))
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
