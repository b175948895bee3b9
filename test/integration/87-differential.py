#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""87-differential.py - generated messages through glacis, and the same octets to a real Postfix and a real Exim.

Line ends, dots, header shapes and chunk borders, by DATA and BDAT, under `reject` and under `normalize`.  What glacis
passes on must be, octet for octet, what a model of the rules says (model() below: the definition of a line, once more,
in another language).  What the others deliver of the same octets is compared with it: the same, the same but for blanks
and line ends, or different for a reason of the table EXPLAINED; a difference without a reason fails the test.

    DIFFERENTIAL=2000 87-differential.py        the long form; DIFFERENTIAL_SEED=N takes other messages

The table, with how many of 2,000 messages (seed 7; Postfix 3.7.11, Exim 4.96):

      995  Postfix the same; 262 more but for blanks in the header section (it takes those before a colon)
      633  Postfix, bare newlines: the same but for blanks and line ends, for it makes each bare CR a blank, before CRLF too
       53  Postfix: an empty name, or one above 127, is no field and ends the section; here it is one (HDR-14)
       36  Postfix: CR CR LF alone on a line is a line of blanks and ends no section; here it is an empty line
       12  Postfix: a mailbox's From line is X-Mailbox-Line by DATA, the end of the section by BDAT; here it is dropped (HDR-11)
        5  Postfix: a lone dot with a wrong end is dropped with its line; here it is content
        4  Postfix: a first line that begins with a blank is dropped; here it is body (HDR-12)
      768  Exim the same; 29 more but for blanks in the header section, and an empty line behind a section without a body
      845  Exim, bare newlines: the same but for blanks and line ends, for a bare CR is a line end, LF SP in the section
      150  Exim: 552 to bare LF in a header section by BDAT; here a line end
      108  Exim: bare LF is a blank once the first line ended with CRLF, and a dot behind it stays; here a line end
       77  Exim: a bare CR at the front of a header line ends the section; here it never does
       19  Exim: waits for more where BDAT LAST ends in the header section; here the message is complete
        4  Exim: a mailbox's From line by BDAT, as Postfix

Under `reject` glacis refuses what has any bare CR or LF; Postfix, with smtpd_forbid_bare_newline=reject, bare LF alone.
"""
import collections
import os
import random
import re
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import Skip, must, run, shows
from client import Client, Lost, wait_for
from realmta import Exim, Missing, Postfix

COUNT = int(os.environ.get("DIFFERENTIAL", "30"))
SEED = int(os.environ.get("DIFFERENTIAL_SEED", "1"))

# (server, by DATA "D" or BDAT "B", what the octets sent or "|" and its reply must hold, why it delivers something else)
EXPLAINED = [
    ("Postfix", "DB", rb"(?:\A|\n)\.?\r{2,}\n", "CR CR LF alone on a line is a line of blanks"),
    ("Postfix", "D", rb"(?:\A|\n)\.\r*\n", "a lone dot with a wrong end is dropped with its line"),
    ("Postfix", "DB", rb"\A(?:>?From .*\n)+", "From line of a mailbox"),
    ("Postfix", "DB", rb"(?:\A|\n)(?:|X-\xe4):", "a name that is none"),
    ("Postfix", "DB", rb"\A[ \t\r]", "the first line begins with a blank"),
    ("Exim", "B", rb"\|552.Message header not CRLF terminated", "552: bare LF in a header section by BDAT"),
    ("Exim", "B", rb"\|lost", "waits for the rest of a header section"),
    ("Exim", "DB", rb"(?<!\r)\n", "bare LF is a blank, and no dot behind it is taken"),
    ("Exim", "DB", rb"\r(?!\n)", "bare CR is a line end, and may end the header section"),
    ("Exim", "DB", rb"\A(?:>?From .*\n)+", "From line of a mailbox"),
    ("Exim", "DB", rb"(?:\A|\n)(?:|X-\xe4):", "a name that is none"),
]


# ---- messages ----

HEADER_LINES = [b"Subject: a text", b"X-A: 1", b"X-B: two words", b"X-Empty:", b"X-Blank : v", b"X-Long: " + b"w " * 150,
                b"X-Eight: \xc3\xa4\xff", b"X-Dot: .x", b"X-Folded: a\x00 folded", b"X-Tab: a\x00\tand\x00 again",
                b"X-Quoted: \"a;b\" (c)", b"X-Trailing: x \t"]
RARE_HEADER_LINES = [b"no field here", b"A name: x", b".X-Stuffed: x", b".", b" blank first", b": no name", b"X-C: a\x00 \x00 b",
                     b"From x@y.test Mon", b">From x", b"..", b"X-\xe4: x"]
BODY_LINES = [b"", b"text", b"two words", b".", b"..", b".x", b"...", b"x.", b" . ", b"\xc3\xa4\xff", b"MAIL FROM:<x@y.test>",
              b"QUIT", b".\x0c", b"\x0b", b"From x", b"X-Header: in the body", b"l" * 998, b"m" * 2500, b"--b", b". "]
ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\r\r\r\n", b"\n\r\n", b"\r\r", b"\r \r\n", b"\r\n\r"]


class Mail:
    """One message: the octets for DATA or BDAT, and how they are cut."""

    def __init__(self, number, rng):
        self.ident = "m%05d" % number
        self.bdat = rng.random() < 0.5
        self.wire = self._make(rng)
        cuts = rng.choice([0, 0, 1, 2, 4])
        near = [m.start() + k for m in re.finditer(rb"[\r\n.]+", self.wire) for k in (0, 1, 2)]
        self.cuts = sorted({rng.choice(near) if near and rng.random() < 0.8 else rng.randrange(len(self.wire) + 1)
                            for _ in range(cuts)} - {0})

    def _make(self, rng):
        style = rng.choice(["clean", "clean", "one", "one", "one", "few", "wild", "lf", "crcrlf"])
        odd = {"one": 0, "clean": 0, "few": 0.15, "wild": 0.6, "lf": 0, "crcrlf": 0}[style]
        usual = {"lf": b"\n", "crcrlf": b"\r\r\n"}.get(style, b"\r\n")
        lines = [rng.choice(HEADER_LINES if rng.random() < 0.93 else RARE_HEADER_LINES) for _ in range(rng.randrange(1, 6))]
        lines += [b""]
        lines += [rng.choice(BODY_LINES) for _ in range(rng.randrange(0, 8))]
        lines = [part for line in lines for part in line.split(b"\0")]
        ends = [rng.choice(ENDS) if rng.random() < odd else usual for _ in lines]
        if style == "one":
            ends[rng.randrange(len(ends))] = rng.choice(ENDS[1:])
        if not self.bdat:
            raw = rng.random() < 0.15    # a sender that knows nothing of dots
            lines = [b"." + l if l.startswith(b".") and not raw else l for l in lines]
        wire = b"".join(l + e for l, e in zip(lines, ends))
        if rng.random() < odd / 2:
            at = rng.randrange(len(wire))
            wire = wire[:at] + rng.choice([b"\r", b"\n"]) + wire[at:]
        if self.bdat:
            return wire[:-rng.choice([1, 2, 3])] if rng.random() < 0.15 and len(wire) > 20 else wire
        if not wire.endswith(b"\r\n"):
            wire += b"\r\n"
        while b"\r\n.\r\n" in wire or wire.startswith(b".\r\n"):    # no end of data before its end
            wire = (b"." if wire.startswith(b".\r\n") else b"") + wire.replace(b"\r\n.\r\n", b"\r\n..\r\n")
        return wire

    @property
    def bare_lf(self):
        return re.search(rb"(?<!\r)\n", self.wire) is not None

    @property
    def bare(self):
        """Is there a CR or LF that is no part of CRLF?"""
        return re.search(rb"\r(?!\n)|(?<!\r)\n", self.wire) is not None


def model(mail):
    """What glacis delivers under `normalize`: the definition of a line, and where the header section ends."""
    wire = re.sub(rb"\r+\Z", b"\n", mail.wire) if mail.bdat else mail.wire
    lines = re.split(rb"\r*\n", wire)
    if lines[-1] == b"":
        lines.pop()
    if not mail.bdat:
        lines = [l[1:] if l.startswith(b".") and l != b"." else l for l in lines]
    lines = [l.replace(b"\r", b" ") for l in lines]
    while lines and re.match(rb">?From[ \t]+[^: \t]", lines[0]):
        lines.pop(0)
    for i, line in enumerate(lines):
        if line == b"":
            break
        field = re.match(rb"[^: \t]*[ \t]*:", line) if line[:1] not in (b" ", b"\t") else i > 0
        if not field:
            lines.insert(i, b"")
            break
    return b"".join(l + b"\r\n" for l in lines)


# ---- sending ----

class Sender:
    """Sends all messages to one server, over as few connections as it allows; keeps what it said."""

    def __init__(self, address, mails):
        self.address = address
        self.mails = mails
        self.said = {}
        self.client = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.error = None

    def _run(self):
        try:
            for mail in self.mails:
                self.said[mail.ident] = self._send(mail)
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def _open(self):
        if self.client is None:
            self.client = Client(self.address, timeout=12)
            self.client.hello()

    def _close(self):
        if self.client is not None:
            self.client.close()
        self.client = None

    def _send(self, mail):
        for attempt in range(2):
            try:
                self._open()
                reply = self.client.envelope(rcpts=("%s@example.test" % mail.ident,))[-1]
                if reply.code == "250":
                    break
            except (Lost, OSError):
                if attempt:
                    raise
            self._close()       # it had enough messages on this one
        try:
            reply = self._bdat(mail) if mail.bdat else self._data(mail)
        except (Lost, OSError) as e:
            self._close()
            return "lost: %s" % e
        if reply.code != "250":
            self._close()
        return str(reply)

    def _data(self, mail):
        must(self.client.cmd("DATA").code == "354", "354")
        self.client.send(mail.wire + b".\r\n", mail.cuts)
        return self.client.reply()

    def _bdat(self, mail):
        reply = None
        ends = mail.cuts + [len(mail.wire)]
        for n, (start, end) in enumerate(zip([0] + mail.cuts, ends)):
            reply = self.client.bdat(mail.wire[start:end], n + 1 == len(ends))
            if reply.code != "250":
                break
        return reply


def send_all(addresses, mails):
    """{name: {ident: reply}}; all servers at the same time."""
    senders = {name: Sender(address, mails) for name, address in addresses.items()}
    for sender in senders.values():
        sender.thread.start()
    for name, sender in senders.items():
        sender.thread.join(60 + 2 * len(mails))
        must(not sender.thread.is_alive() and sender.error is None, "all is sent to %s" % name, sender.error)
    return {name: sender.said for name, sender in senders.items()}


# ---- comparing ----

def loosely(content):
    """Fields and body without the differences that blanks and line ends make."""
    head, _, body = content.partition(b"\r\n\r\n")
    if content.startswith(b"\r\n"):
        head, body = b"", content[2:]
    head = re.sub(rb"\r\n[ \t]+", b" ", head)
    fields = [re.sub(rb"[ \t]+", b" ", re.sub(rb"^([^:]*?)[ \t]+:", rb"\1:", f)).strip() for f in head.split(b"\r\n")]
    return [f for f in fields if f], re.sub(rb"[ \t\r\n]+", b" ", body).strip()


def nearly(content):
    """Without what servers do to well-formed messages: to blanks before a colon, continuations of blanks alone, and the
    empty line of a section without a body."""
    head, end, body = content.partition(b"\r\n\r\n")
    if not body:
        head, end = head.rstrip(b"\r\n"), b""
    head = re.sub(rb"(?m)^([^:\s]+)[ \t]+:", rb"\1:", re.sub(rb"\r\n[ \t]+(?=\r\n|\Z)", b"", head))
    return head + end + body


def short(octets):
    """For people: long runs of one octet are left out."""
    return re.sub(rb"(.)\1{20,}", rb"\1...\1", octets) if octets else octets


def reason(mail, server, reply):
    """Why this server may deliver something else, or None."""
    seen = mail.wire + b"|" + reply.encode("latin-1")
    for who, how, pattern, why in EXPLAINED:
        if who == server and ("B" if mail.bdat else "D") in how and re.search(pattern, seen):
            return why
    return None


def compare(mails, got, replies, server):
    """Counts of how it is the same or why it is not; messages that differ without a reason."""
    counts, open_questions = collections.Counter(), []
    for mail in mails:
        ours, theirs = model(mail), got.get(mail.ident)
        why = reason(mail, server, replies[mail.ident])
        if ours == theirs:
            counts["the same"] += 1
        elif theirs is not None and nearly(ours) == nearly(theirs):
            counts["the same but for blanks in the header section"] += 1
        elif theirs is not None and mail.bare and loosely(ours) == loosely(theirs):
            counts["bare newlines: the same but for blanks and line ends"] += 1
        elif why:
            counts[why] += 1
        else:
            open_questions.append("%s %s %s\n   sent   %r\n   ours   %r\n   theirs %r" % (
                server, "BDAT" if mail.bdat else "DATA", replies[mail.ident][:60], short(mail.wire), short(ours),
                short(theirs)))
    return counts, open_questions


def glacis(w, policy):
    sink = w.sink()
    g = w.glacis(w.config(sink, "headers: {received: false, authentication_results: false, verdict: false}\n"
                          "limits: {bare_newline: %s, bare_newline_bdat: %s, ban: off, connections_per_client: off,\n"
                          "  message_rate: off, connection_rate: off}\n" % (policy, policy),
                          server="private_clients: judge"), name=policy)
    return g, sink


def delivered(sink):
    return {m.recipients[0].decode().split("@")[0]: m.data for m in sink.messages}


def servers(w):
    """The real ones that are to be had, started."""
    out, missing = {}, []
    for name, kind in (("Postfix", Postfix), ("Exim", Exim)):
        directory = os.path.join(w.dir, name)
        os.mkdir(directory)
        os.chmod(directory, 0o755)
        server = kind(directory)
        try:
            out[name] = server.start()
            w.dns.append(server)        # ended by World.close()
        except Missing as e:
            server.stop()
            missing.append("%s: %s" % (name, e))
    if not out:
        raise Skip("; ".join(missing))
    return out


@shows("generated messages: glacis delivers what the model says, and Postfix and Exim the same or for a known reason not")
def differential(w):
    rng = random.Random(SEED)
    mails = [Mail(n, rng) for n in range(COUNT)]
    real = servers(w)
    proxies = {policy: glacis(w, policy) for policy in ("normalize", "reject")}
    addresses = {"glacis " + p: g.smtp for p, (g, _) in proxies.items()}
    addresses.update({"%s %s" % (name, port): ("127.0.0.1", number)
                      for name, server in real.items() for port, number in server.port.items()})
    said = send_all(addresses, mails)

    wrong = []
    results = {policy: delivered(sink) for policy, (_, sink) in proxies.items()}
    for mail in mails:
        for policy, got in results.items():
            want = None if policy == "reject" and mail.bare else model(mail)
            reply = said["glacis " + policy][mail.ident]
            if got.get(mail.ident) != want or (want is None) != reply.startswith("550 5.6.11") or \
                    (want is not None) != reply.startswith("250"):
                wrong.append("%s %s %r\n   sent   %r\n   wanted %r\n   got    %r" % (
                    policy, "BDAT" if mail.bdat else "DATA", reply[:60], mail.wire, want, got.get(mail.ident)))
    must(not wrong, "what the model says", "%d of %d:\n%s" % (len(wrong), len(mails), "\n".join(wrong[:5])))

    open_questions = []
    for name, server in real.items():
        ports = ["%s %s" % (name, port) for port in server.port]
        accepted = {ident for port in ports for ident, reply in said[port].items() if reply.startswith("250")}
        wait_for(lambda s=server, a=accepted: len(s.delivered()) >= len(a), 60, "all is delivered by " + name)
        counts, questions = compare(mails, server.delivered(), said[ports[0]], name)
        print("\n".join("%6d  %s: %s" % (number, name, text) for text, number in counts.most_common()))
        open_questions += questions
    must(not open_questions, "no difference without a reason",
         "%d:\n%s" % (len(open_questions), "\n".join(open_questions[:10])))
    if "Postfix" in real:
        for mail in mails:
            refused = said["Postfix reject"][mail.ident].startswith("550")
            must(refused == mail.bare_lf, "Postfix refuses bare LF, and nothing else", short(mail.wire))


if __name__ == "__main__":
    run()
