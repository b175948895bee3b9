# SPDX-License-Identifier: Apache-2.0
"""traffic.py - clients that behave like mail servers, and the ledger of what they were told.

What was not acknowledged is sent again, under the same X-Id and with a hash of its body.  Then it is counted:

    lost          acknowledged to the client, not at the upstream
    unexplained   more often at the upstream than acknowledged attempts plus attempts whose outcome the client
                  could not know (connection lost behind the dot) or that glacis called unknown
    damaged       taken by the upstream with another body than was sent
    duplicates    the explained ones: a lost reply (RFC 1047)

Sink.on_message = ledger.take.  Used by 30-no-loss.py and, through faults.py, by 95-faults.py.
"""
import collections
import hashlib
import threading
import time

from client import Lost, stuff
from tlsclient import TlsClient


class Ledger:
    """What the clients were told and what the upstream took, by message."""

    def __init__(self, unknown=("4.4.2",)):
        self.lock = threading.Lock()
        self.unknown_codes = unknown           # enhanced codes behind the dot by which the upstream may have the message
        self.taken = collections.Counter()
        self.damaged = []
        self.acknowledged = set()
        self.unknown = collections.Counter()   # attempts whose outcome the client does not know
        self.by_reply = collections.Counter()

    def take(self, message):
        head, _, body = message.data.partition(b"\r\n\r\n")
        fields = {l.split(b":", 1)[0].lower(): l.split(b":", 1)[1].strip() for l in head.split(b"\r\n") if b":" in l}
        ident = fields.get(b"x-id", b"?").decode()
        with self.lock:
            self.taken[ident] += 1
            if fields.get(b"x-hash") != hashlib.sha256(body).hexdigest().encode():
                self.damaged.append(ident)

    def sent(self, ident):
        """The end of data leaves now: until told() nobody can know."""
        with self.lock:
            self.unknown[ident] += 1

    def told(self, ident, reply):
        """The final reply to one attempt; None: it did not come although the end of data had left."""
        with self.lock:
            self.by_reply[reply.code + " " + reply.enhanced if reply else "no reply"] += 1
            if reply and reply.code == "250":
                self.acknowledged.add(ident)
            if reply and reply.code != "421" and reply.enhanced not in self.unknown_codes:
                self.unknown[ident] -= 1

    def lost(self):
        with self.lock:
            return [i for i in self.acknowledged if not self.taken[i]]

    def unexplained(self):
        with self.lock:
            return [(i, n, i in self.acknowledged, self.unknown[i]) for i, n in self.taken.items()
                    if n > (i in self.acknowledged) + self.unknown[i]]

    def duplicates(self):
        with self.lock:
            return sum(n - 1 for n in self.taken.values() if n > 1)


def with_id(ident, body, sender="alice@elsewhere.invalid"):
    return b"From: <%s>\r\nX-Id: %s\r\nX-Hash: %s\r\n\r\n" % (
        sender.encode(), ident.encode(), hashlib.sha256(body).hexdigest().encode()) + body


def make(ident, rng):
    """A message of lines of all lengths, some with dots in front; one in twenty is long."""
    lines = b"".join(b"%s%0*d\r\n" % (b"." * rng.randrange(3), rng.randrange(1, 70), i) for i in range(rng.randrange(1, 400)))
    if rng.random() < 0.05:
        lines *= 8
    return with_id(ident, lines)


class Attempt:
    """One try at one message.  `outcome`: acknowledged, refused (by a reply), closed (without one), silent (past the
    client's patience), unreachable, cut (by the client itself); `reply` is the last one, `stage` where it was given."""

    def __init__(self, address, ident, content, ledger, **options):
        self.options = options
        self.ident = ident
        self.content = content
        self.ledger = ledger
        self.stage, self.reply, self.outcome = "connect", None, "refused"
        self.replies = []          # (stage, Reply)
        self.longest = 0.0         # seconds waited for one reply
        self.started = time.monotonic()
        self.dot = False           # the end of data has left
        try:
            self._talk(address)
        except Lost as e:
            self.outcome = "cut" if "by the client" in str(e) else "silent" if "in time" in str(e) else "closed"
        except OSError:
            self.outcome = "unreachable" if self.stage == "connect" else "closed"
        self.ended = time.monotonic()
        if self.outcome == "silent":
            self.longest = max(self.longest, self.ended - self.asked)
        if self.dot:
            ledger.told(ident, self.reply if self.stage == "end of data" and self.outcome in ("acknowledged", "refused") else None)

    @property
    def good(self):
        return self.outcome == "acknowledged"

    def _step(self, stage, want, act):
        """One exchange; false ends the attempt."""
        self.stage = stage
        self.asked = time.monotonic()
        reply = act()
        self.longest = max(self.longest, time.monotonic() - self.asked)
        self.reply = reply
        self.replies.append((stage, reply))
        return reply.code == want

    def _talk(self, address):
        o = self.options
        self.asked = time.monotonic()
        with TlsClient(address, source=o.get("source"), greet=False, timeout=o.get("timeout", 30)) as c:
            if not self._step("banner", "220", c.reply) or not self._step("EHLO", "250", c.hello):
                return
            if o.get("tls") and not self._encrypt(c, o["tls"]):
                return
            if not self._step("MAIL", "250", lambda: c.cmd("MAIL FROM:<%s>" % o.get("sender", "alice@elsewhere.invalid"))):
                return
            if not self._step("RCPT", "250", lambda: c.cmd("RCPT TO:<%s>" % o.get("rcpt", "bob@example.test"))):
                return
            time.sleep(o.get("pause", 0))
            wire = self._begin(c)
            if wire is None:
                return
            self._cut(c, wire)
            self.stage, self.dot = "end of data", True
            self.ledger.sent(self.ident)
            self.asked = time.monotonic()
            c.send(wire)
            if o.get("cut_behind"):
                if o["cut_behind"] == "reset":
                    c.reset()
                raise Lost("cut by the client")
            if self._step("end of data", "250", c.reply):
                self.outcome = "acknowledged"

    def _encrypt(self, c, context):
        if not self._step("STARTTLS", "220", lambda: c.cmd("STARTTLS")):
            return False
        c.wrap(context)
        return self._step("EHLO", "250", c.hello)

    def _begin(self, c):
        """DATA, or the first half by BDAT; what is to be sent then, or None."""
        if not self.options.get("bdat"):
            return stuff(self.content) + b".\r\n" if self._step("DATA", "354", lambda: c.cmd("DATA")) else None
        half = len(self.content) // 2
        if not self._step("BDAT", "250", lambda: c.bdat(self.content[:half])):
            return None
        return b"BDAT %d LAST\r\n" % (len(self.content) - half) + self.content[half:]

    def _cut(self, c, wire):
        at = self.options.get("cut_at")
        if at is not None:
            c.send(wire[:1 + int(at * (len(wire) - 4))])
            c.reset()
            raise Lost("cut by the client")
