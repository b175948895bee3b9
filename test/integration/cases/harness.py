# SPDX-License-Identifier: Apache-2.0
"""harness.py - one glacis in front of scripted sinks, and many small cases against it.

A case is a function with the id of a requirement, what it shows, and the name of the setup it runs
against.  A setup is a configuration and the sinks behind it; its cases run one after the other, setups
side by side.  After every case the sink must have seen no breach of protocol and only clean content.
"""
import json
import os
import re
import socket
import time
import traceback

from client import Client, Glacis, Lost, wait_for
from sink import Sink

CASES = []
HOST = "mx.glacis.test"
MESSAGE = b"From: <alice@elsewhere.invalid>\r\nTo: <bob@example.test>\r\nSubject: a test\r\n\r\nhello\r\n"
OURS = (b"received:", b"authentication-results:", b"x-glacis-", b"received-spf:", b"x-client:")


class Skip(Exception):
    """The case cannot be run here; the reason."""


class Fail(Exception):
    """What was expected and what was seen."""


def case(ident, what, setup="main"):
    """Registers a case."""
    def register(function):
        CASES.append((ident, what, setup, function))
        return function
    return register


def table(rows, setup="main"):
    """Registers one case for each row (id, what, arguments...) of the decorated function."""
    def register(function):
        for row in rows:
            CASES.append((row[0], row[1], setup, lambda t, row=row: function(t, *row[2:])))
        return function
    return register


def fits(reply, wanted):
    """Is the reply one of `wanted`: "503 5.5.1|554|4xx"?  x stands for any digit."""
    for one in wanted.split("|"):
        code, _, enhanced = one.partition(" ")
        if re.fullmatch(code.replace("x", r"\d"), reply.code) and \
           (not enhanced or re.fullmatch(enhanced.replace(".", r"\.").replace("x", r"\d+"), reply.enhanced)):
            return True
    return False


class Case:
    """What a case works with."""

    def __init__(self, setup):
        self.setup = setup
        self.glacis = setup.glacis
        self.sink = setup.sinks[0]
        self.other = setup.sinks[-1]
        self.clients = []
        self.tolerated = []   # violations that the case provokes by its script
        self.dirty = False    # the case lets odd octets through on purpose

    # ---- saying what must be ----

    def true(self, condition, expected, seen=""):
        if not condition:
            raise Fail("expected %s; seen %s" % (expected, seen if seen != "" else "otherwise"))

    def want(self, reply, wanted, what="reply"):
        self.true(fits(reply, wanted), "%s %s" % (what, wanted), repr(str(reply)))
        self.valid(reply)
        return reply

    def wants(self, replies, wanted):
        """One wanted reply for each."""
        for i, (reply, want) in enumerate(zip(replies, wanted)):
            self.want(reply, want, "reply %d:" % i)
        self.true(len(replies) == len(wanted), "%d replies" % len(wanted), [str(r) for r in replies])

    def valid(self, reply):
        """A well-formed reply: one code, printable, at most 512 octets a line."""
        for line in reply.lines:
            self.true(re.match(rb"[245]\d\d([ -]|$)|354([ -]|$)|220([ -]|$)", line), "a reply line", line)
            self.true(line[:3].decode() == reply.code, "the same code on each line", reply.raw)
            self.true(len(line) <= 510, "at most 512 octets", len(line) + 2)
            self.true(all(0x20 <= o <= 0x7e for o in line), "printable ASCII", line)
        self.true(b"hidden-software" not in reply.raw, "nothing of the upstream's banner", reply.raw)

    def closed(self, client, timeout=None):
        """The connection ends, with nothing more said."""
        rest = client.rest(timeout)
        self.true(rest == b"", "the connection closed", rest)

    # ---- clients ----

    def client(self, **options):
        options.setdefault("source", self.setup.source)
        c = Client(self.glacis.smtp, **options)
        self.clients.append(c)
        return c

    def greeted(self, name="client.example.net", **options):
        c = self.client(**options)
        self.want(c.hello(name), "250")
        return c

    def open(self, rcpts=("bob@example.test",), **options):
        """A client in a transaction with accepted recipients."""
        c = self.greeted(**options)
        for reply in c.envelope(rcpts):
            self.want(reply, "250")
        return c

    # ---- messages ----

    def deliver(self, content=MESSAGE, rcpts=("bob@example.test",), client=None, sender="alice@elsewhere.invalid",
                params=""):
        """Sends it, wants 250, returns what the sink got."""
        c = client or self.greeted()
        had = len(self.sink.messages)
        for reply in c.envelope(rcpts, sender, params):
            self.want(reply, "250")
        self.want(c.data(content), "250", "final reply")
        return self.arrived(had + 1)[-1]

    def arrived(self, count, sink=None):
        sink = sink or self.sink
        sink.wait(lambda: len(sink.messages) >= count, 5)
        self.true(len(sink.messages) == count, "%d messages at the upstream" % count, len(sink.messages))
        return sink.messages

    def none(self, client=None, sink=None):
        """Nothing was or will be delivered: the upstream's transaction is over, without a message."""
        sink = sink or self.sink
        if client:
            client.close()
        sink.wait(lambda: len(sink.messages) > 0, 0.3)
        self.true(len(sink.messages) == 0, "no message at the upstream",
                  [m.wire[-120:] for m in sink.messages])

    def same(self, message, content):
        """The content arrived octet for octet below what glacis added; returns the added part."""
        data = message.data
        self.true(data.endswith(content), "the content unchanged: %r" % content[:300], data[-len(content) - 80:][:600])
        added = data[:len(data) - len(content)]
        for line in added.split(b"\r\n")[:-1]:
            ok = line[:1] in b" \t" or line.lower().startswith(OURS)
            self.true(ok or line == b"", "only fields of glacis above", line)
        return added

    def fields(self, message, name):
        """Unfolded values of a field in the header section."""
        head = message.data.split(b"\r\n\r\n", 1)[0] + b"\r\n"
        head = re.sub(rb"\r\n[ \t]+", b" ", head)
        return [l.split(b":", 1)[1].strip() for l in head.split(b"\r\n")
                if b":" in l and l.split(b":", 1)[0].strip().lower() == name.lower()]

    def script(self, *rules):
        """New rules, and new upstream connections."""
        self.sink.fresh()
        self.sink.clear(rules)

    def in_step(self, client):
        """The session is usable and no reply is out of step."""
        self.want(client.cmd("NOOP"), "250")
        self.want(client.cmd("VRFY bob"), "252|502")

    def ends_or_in_step(self, client):
        """After a refusal: in step, or cleanly closed."""
        try:
            reply = client.cmd("NOOP")
        except Lost:
            return
        self.want(reply, "250|421")

    def finish(self):
        for c in self.clients:
            c.close()
        for sink in self.setup.sinks:
            bad = [v for v in sink.violations if not any(re.search(p, v) for p in self.tolerated)]
            self.true(not bad, "no breach of protocol towards the upstream", bad[:3])
            for m in sink.messages if not self.dirty else ():
                clean(self, m.wire)


def clean(t, wire):
    """No octets that any lenient parser could take for an end of data (DAT-09)."""
    rest = wire.replace(b"\r\n", b"")
    t.true(b"\r" not in rest and b"\n" not in rest, "only CRLF towards the upstream", wire[-300:])
    t.true(b"\0" not in rest, "no NUL towards the upstream", wire[-300:])
    for line in wire.split(b"\r\n"):
        t.true(not re.fullmatch(rb"\.[\s\0]*", line), "no dot line within the content", wire[-300:])


class Setup:
    """A configuration and its sinks."""

    def __init__(self, name, changes=None, keywords=None, sinks=1, source="127.0.0.1", wait=True):
        self.name = name
        self.changes = changes or {}
        self.keywords = keywords
        self.sink_count = sinks
        self.source = source
        self.wait = wait
        self.sinks = []
        self.glacis = None

    def config(self, directory):
        """JSON is YAML: the base with this setup's changes merged in."""
        upstream = {"kind": "generic", "tls": "off", "health": "off", "remember_unknown": "off", "hold": "30s",
                    "timeouts": {"connect": "2s", "greeting": "2s", "command": "2s", "final_reply": "3s"}}
        base = {
            "server": {"hostname": HOST, "listen": ["127.0.0.1:0"], "workers": 1, "user": "root",
                       "state_dir": directory + "/state", "greet_delay": "0ms"},
            "upstreams": {"inner": dict(upstream, servers=["127.0.0.1:%d" % self.sinks[0].port])},
            "domains": {"example.test": "inner", ".wild.test": "inner", "xn--bcher-kva.test": "inner",
                        "any.test": {"upstream": "inner", "validate": "none"},
                        "listed.test": {"upstream": "inner", "validate": "file:%s/listed" % directory}},
            "limits": {"message_size": "1MiB", "recipients": 100, "command_timeout": "30s"},
            "policy": {"preset": "none", "rules": []}, "dns": {"self_test": "off"}, "smtp": {"dsn": True},
            "admin": {"listen": "127.0.0.1:0"},
            "log": {"format": "json", "to": "stdout"},
        }
        if len(self.sinks) > 1:
            base["upstreams"]["second"] = dict(upstream, servers=["127.0.0.1:%d" % self.sinks[1].port])
            base["domains"]["second.test"] = "second"
        for path, value in self.changes.items():
            node = base
            keys = path.split("/")
            for key in keys[:-1]:
                node = node.setdefault(key, {})
            if callable(value):
                value = value(self)
            if value is None:
                node.pop(keys[-1], None)
            else:
                node[keys[-1]] = value
        return json.dumps(base, indent=1)

    def possible(self):
        """Does this machine have the address that the clients come from?"""
        family = socket.AF_INET6 if ":" in self.source else socket.AF_INET
        try:
            with socket.socket(family) as s:
                s.bind((self.source, 0))
        except OSError:
            return False
        return True

    def start(self, directory):
        directory = os.path.join(directory, self.name)
        os.makedirs(directory)
        self.sinks = [Sink(keywords=self.keywords).start() for _ in range(self.sink_count)]
        with open(os.path.join(directory, "listed"), "w", encoding="ascii") as f:
            f.write("# who is here\nknown@listed.test\nOther.Name@LISTED.test\n")
        self.glacis = Glacis(directory, self.config(directory)).start()
        if self.wait:
            self.learned()

    def learned(self):
        """Waits until the keywords of the sinks are known, so that EHLO offers what it will offer."""
        def asked():
            return all(any(c.upper().startswith(b"EHLO") for c in s.commands()) for s in self.sinks)
        wait_for(asked, 10, "the probe of the upstream's keywords")
        wants = all("8BITMIME" in s.keywords for s in self.sinks)

        def offers():
            with Client(self.glacis.smtp, source=self.source) as c:
                return ("8BITMIME" in c.hello().text) or not wants
        wait_for(offers, 10, "8BITMIME in the reply to EHLO")

    def alive(self):
        return self.glacis.process.poll() is None

    def stop(self):
        status = self.glacis.stop() if self.glacis else 0
        for sink in self.sinks:
            sink.stop()
        return status


def run_case(setup, ident, what, function):
    """'passed', or a text that says what failed, or 'skipped ...'."""
    t = Case(setup)
    for sink in setup.sinks:
        sink.fresh()
        sink.clear()
    started = time.monotonic()
    try:
        try:
            function(t)
            t.finish()
        finally:
            for c in t.clients:
                c.close()
    except Skip as e:
        return "skipped", str(e)
    except (Fail, Lost) as e:
        return "failed", "%s" % e
    except (OSError, AssertionError, IndexError, ValueError, RuntimeError, AttributeError, TypeError) as e:
        return "failed", "%s: %s\n%s" % (type(e).__name__, e, traceback.format_exc(limit=-3))
    if not setup.alive():
        return "failed", "glacis has ended: %s" % setup.glacis.log_text()[-2000:]
    return "passed", "%.1f s" % (time.monotonic() - started)
