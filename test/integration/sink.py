#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sink.py - an SMTP server that remembers everything and misbehaves on demand.

The upstream of the integration tests.  It stores each message with its envelope, keeps every octet
that it received, notes each breach of protocol by its client (the proxy), and follows a script: a list
of rules, each saying at which point to do what.  Used inside a Python test (class Sink, a thread of its
own) or as a program whose rules are a JSON file that is read again whenever it changes:

    sink.py --listen 127.0.0.1:0 --dir OUT --ready-file PATH [--rules FILE] [--keyword SIZE ...]

A rule is an object; the first one that fits is taken:
    at       CONNECT EHLO HELO STARTTLS XCLIENT XFORWARD MAIL RCPT DATA CONTENT DOT RSET NOOP QUIT OTHER, or AFTER
             (a message is done)
    match    regular expression that the command line must hold
    nth      only the nth time that `at` and `match` fit;  times: at most so often
    reply    what to say, CRLF is added;  raw: exactly these octets (latin-1)
    delay    seconds to wait first
    then     close | reset | mute (reads on, says nothing) | deaf (does not even read), after the reply if there is one
    take     DOT: true keeps the message whatever is replied, false drops it
    after    CONTENT: act once so many octets of content have come;  rate: octets a second to read
    octets   true: the reply leaves octet by octet
The sink counts in `hits` how often a rule was followed.

With `tls` (an ssl.SSLContext) STARTTLS is done; XCLIENT and XFORWARD are taken where the keywords have them.

Limits: Python's standard library only.
"""
import argparse
import asyncio
import collections
import contextlib
import json
import os
import re
import signal
import socket
import struct
import threading
import time

KEYWORDS = ["PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"]
ALLOWED = {"EHLO", "HELO", "STARTTLS", "XCLIENT", "XFORWARD", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"}
ENDS = {signal.SIGTERM, signal.SIGINT}
POINTS = {"EHLO", "HELO", "STARTTLS", "XCLIENT", "XFORWARD", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"}
SYNC = {"EHLO", "HELO", "STARTTLS", "XCLIENT", "DATA", "QUIT"}  # nothing may follow before their reply (PIP-12)


class Message:
    """One message as the sink got it."""

    def __init__(self, conn, mail, rcpts, wire):
        self.conn = conn          # Connection
        self.mail = mail          # the MAIL line, as received
        self.rcpts = rcpts        # the accepted RCPT lines
        self.wire = wire          # content as on the wire, with the dots, without the last ".CRLF"
        self.time = time.time()
        self.replied = b""        # the final reply, or empty if it was withheld

    @property
    def data(self):
        """Content without the dots of transparency."""
        return unstuff(self.wire)

    @property
    def sender(self):
        return address_of(self.mail)

    @property
    def recipients(self):
        return [address_of(r) for r in self.rcpts]


def unstuff(wire):
    """Removes the dots of transparency (RFC 5321 4.5.2)."""
    if wire.startswith(b"."):
        wire = wire[1:]
    return wire.replace(b"\r\n.", b"\r\n")


def address_of(line):
    """The text between < and > of a MAIL or RCPT line."""
    found = re.search(rb"<(.*)>", line)
    return found.group(1) if found else None


class Connection:
    """One connection from the proxy."""

    def __init__(self, number, reader, writer):
        self.number = number
        self.reader = reader
        self.writer = writer
        self.received = bytearray()  # every octet
        self.buffer = bytearray()    # those not yet used
        self.commands = []           # command lines, without CRLF
        self.greeted = False
        self.mail = None
        self.rcpts = []
        self.open = True
        self.tls = None              # (version, cipher, was it resumed)

    def reset(self):
        self.mail = None
        self.rcpts = []

    def end(self, abort=False):
        """Closes it, by RST if need be."""
        transport = self.writer.transport
        if transport is None:       # in the middle of a handshake: its deadline ends it
            return
        with contextlib.suppress(OSError):
            transport.abort() if abort else transport.close()


class Gone(Exception):
    """The connection is over, by either side."""


class Sink:
    """The server, in a thread of its own.  All members may be read from the test's thread."""

    def __init__(self, listen=("127.0.0.1", 0), name="inner.sink.test", keywords=None, directory=None,
                 rules_file=None, keep=True, tls=None):
        self.name = name
        self.keywords = list(KEYWORDS if keywords is None else keywords)
        self.directory = directory
        self.rules_file = rules_file
        self.tls = tls                # ssl.SSLContext, or None
        self.keep = keep              # octets and messages stay in memory
        self.on_message = None        # called with each message that is taken, in the sink's thread
        self.rules = []
        self.messages = []
        self.connections = []
        self.violations = []          # breaches of protocol by the proxy
        self.count = 0
        self._files = 0
        self._stamp = None
        self._seen = collections.Counter()
        self._listen = listen
        self._change = threading.Condition()
        self._started = threading.Event()
        self._loop = None
        self._server = None
        self._thread = None
        self.port = None

    # ---- life ----

    def start(self):
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        if not self._started.wait(10):
            raise RuntimeError("the sink did not start")
        return self

    def _run(self):
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._open())
        self._loop.run_forever()

    async def _open(self):
        host, port = self._listen
        self._server = await asyncio.start_server(self._serve, host, port, limit=1 << 20, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        self._listen = (host, self.port)
        self._started.set()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def pause(self):
        """Stops listening and ends all connections: the server is down."""
        async def stop():
            self._server.close()
        self._call(stop())
        self.fresh()

    def resume(self):
        self._call(self._open())

    def fresh(self):
        """Ends all connections, so that the next message needs a new one."""
        async def end():
            for conn in list(self.connections):
                if conn.open:
                    conn.end()
        self._call(end())
        self.wait(lambda: not any(c.open for c in self.connections), 5)

    def cut(self, share, rng):
        """Resets some of the connections, wherever they are."""
        async def end():
            for conn in self.connections:
                if conn.open and rng.random() < share:
                    conn.end(abort=True)
        self._call(end())

    def stop(self):
        if self._loop.is_closed() or not self._thread.is_alive():
            return
        self.pause()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    # ---- for tests ----

    def clear(self, rules=()):
        """Forgets what was seen and takes other rules."""
        with self._change:
            self.rules = [dict(r) for r in rules]
            self._seen.clear()
            self.messages = []
            self.violations = []
            self.connections = [c for c in self.connections if c.open]
            for conn in self.connections:
                conn.received.clear()
                conn.commands = []

    def wait(self, condition, timeout=5):
        """Waits until condition() holds; returns whether it does."""
        with self._change:
            return self._change.wait_for(condition, timeout)

    def octets(self):
        """Every octet received since clear(), over all connections."""
        return b"".join(bytes(c.received) for c in self.connections)

    def commands(self, verb=None):
        """Every command line since clear()."""
        lines = [l for c in self.connections for l in c.commands]
        return [l for l in lines if verb is None or l.upper().startswith(verb.encode())]

    def _notify(self):
        with self._change:
            self._change.notify_all()

    # ---- the script ----

    def _load_rules(self):
        if not self.rules_file:
            return
        try:
            stamp = os.stat(self.rules_file).st_mtime_ns
            if stamp != self._stamp:
                with open(self.rules_file, encoding="utf-8") as f:
                    self.rules = json.load(f)
                self._stamp = stamp
                self._seen.clear()
        except (OSError, ValueError):
            pass

    def _rule(self, at, line=b""):
        self._load_rules()
        found = None
        for index, rule in enumerate(self.rules):
            if rule["at"] != at:
                continue
            if "match" in rule and not re.search(rule["match"].encode("latin-1"), line, re.I):
                continue
            self._seen[index] += 1
            if found is not None or rule.get("nth", self._seen[index]) != self._seen[index]:
                continue
            if self._seen[index] <= rule.get("times", self._seen[index]):
                found = rule
                rule["hits"] = rule.get("hits", 0) + 1
        return found

    async def _say(self, conn, rule, default):
        """Replies as the rule, or else the default, says.  Returns the octets sent."""
        rule = rule or {}
        if rule.get("delay"):
            await asyncio.sleep(rule["delay"])
        if "raw" in rule:
            out = rule["raw"].encode("latin-1")
        elif "reply" in rule:
            out = rule["reply"].encode("latin-1") + b"\r\n"
        elif rule.get("then") and "reply" not in rule:
            out = b""
        else:
            out = default
        if rule.get("octets"):
            for i in range(len(out)):
                conn.writer.write(out[i:i + 1])
                await conn.writer.drain()
                await asyncio.sleep(0.001)
        elif out:
            conn.writer.write(out)
            try:
                await conn.writer.drain()
            except OSError:
                pass
        then = rule.get("then")
        if then == "mute":
            await self._mute(conn)
        if then == "deaf":
            conn.writer.transport.pause_reading()
            await asyncio.sleep(rule.get("deaf_s", 10))
        if then == "reset":
            sock = conn.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            conn.end(abort=True)
        return out

    @staticmethod
    def _ends(rule):
        return bool(rule) and rule.get("then") in ("close", "reset", "mute", "deaf")

    async def _mute(self, conn):
        """Says nothing any more, until the other side gives up."""
        while True:
            await self._fill(conn)

    # ---- reading ----

    async def _fill(self, conn, most=65536):
        try:
            data = await conn.reader.read(most)
        except OSError:     # ssl.SSLError too
            data = b""
        if not data:
            raise Gone
        conn.received += data
        conn.buffer += data
        if not self.keep and len(conn.received) > 65536:
            conn.received.clear()

    async def _line(self, conn):
        while True:
            end = conn.buffer.find(b"\n")
            if end >= 0:
                line = bytes(conn.buffer[:end + 1])
                del conn.buffer[:end + 1]
                return line
            await self._fill(conn)

    async def _content(self, conn):
        """Octets up to the strict end of data; the first CRLF may be that of the DATA line."""
        rule = self._rule("CONTENT")
        data = bytearray(b"\r\n")
        scanned = 0
        while True:
            data += conn.buffer
            conn.buffer.clear()
            if rule and "after" in rule and len(data) - 2 >= rule["after"]:
                await self._say(conn, rule, b"")
                if self._ends(rule):
                    raise Gone
                rule = None
            end = data.find(b"\r\n.\r\n", max(0, scanned - 4))
            if end >= 0:
                conn.buffer += data[end + 5:]
                return bytes(data[2:end + 2])
            scanned = len(data)
            if rule and "rate" in rule:
                await asyncio.sleep(0.1)
                await self._fill(conn, max(1, int(rule["rate"] / 10)))
            else:
                await self._fill(conn)

    # ---- the session ----

    async def _serve(self, reader, writer):
        with self._change:
            self.count += 1
            conn = Connection(self.count, reader, writer)
            self.connections.append(conn)
            self._change.notify_all()
        try:
            await self._session(conn)
        except (Gone, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            conn.open = False
            conn.end()
            if not self.keep:
                with self._change:
                    self.connections.remove(conn)
            self._notify()

    def _violation(self, conn, text):
        with self._change:
            self.violations.append("connection %d: %s" % (conn.number, text))

    async def _session(self, conn):
        rule = self._rule("CONNECT")
        await self._say(conn, rule, b"220 %s ESMTP hidden-software 9.9\r\n" % self.name.encode())
        if self._ends(rule):
            return
        if conn.buffer:
            self._violation(conn, "spoke before the greeting")
        while True:
            line = await self._line(conn)
            if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
                self._violation(conn, "command line with a wrong octet: %r" % line)
            line = line.rstrip(b"\r\n")
            verb = line.split(b" ", 1)[0].upper().decode("latin-1")
            with self._change:
                conn.commands.append(line)
                self._change.notify_all()
            if verb not in ALLOWED:
                self._violation(conn, "command %r" % line)
            if conn.buffer and (verb in SYNC or "PIPELINING" not in self.keywords):
                self._violation(conn, "octets behind %r: %r" % (line, bytes(conn.buffer[:80])))
            if not await self._command(conn, verb, line):
                return

    async def _command(self, conn, verb, line):
        """One command; false ends the session."""
        at = verb if verb in POINTS else "OTHER"
        rule = self._rule(at, line)
        default = self._default(conn, verb)
        said = await self._say(conn, rule, default)
        if self._ends(rule):
            return False
        good = said[:1] == b"2"
        if verb in ("EHLO", "HELO") and good:
            conn.greeted = True
            conn.reset()
        elif verb == "MAIL" and good:
            conn.mail, conn.rcpts = line, []
        elif verb == "RCPT" and good:
            conn.rcpts.append(line)
        elif verb == "RSET":
            conn.reset()
        elif verb == "XCLIENT" and good:
            conn.greeted = False
            conn.reset()
        elif verb == "STARTTLS" and said == self._default(conn, verb) and good:
            await self._handshake(conn)
        elif verb == "DATA" and said[:3] == b"354":
            return await self._message(conn)
        elif verb == "QUIT":
            return False
        return True

    async def _handshake(self, conn):
        before = conn.writer.transport
        try:
            await conn.writer.start_tls(self.tls, ssl_handshake_timeout=10)
        except (OSError, AttributeError) as e:  # ssl.SSLError too; asyncio, if the connection ends within the handshake
            conn.writer._transport = before  # pylint: disable=protected-access
            raise Gone from e
        conn.reader = conn.writer._protocol._stream_reader  # pylint: disable=protected-access
        found = conn.writer.get_extra_info("ssl_object")
        conn.tls = (found.version(), found.cipher()[0], found.session_reused)
        conn.greeted = False
        conn.reset()

    def _offers(self, verb):
        return any(k.upper().split(" ")[0] == verb for k in self.keywords)

    def _default(self, conn, verb):
        if verb == "EHLO":
            lines = [self.name] + self.keywords
            if self.tls and conn.tls is None:
                lines.append("STARTTLS")
            return b"".join(b"250%s%s\r\n" % (b" " if i == len(lines) - 1 else b"-", l.encode("latin-1"))
                            for i, l in enumerate(lines))
        if verb == "MAIL":
            if not conn.greeted or conn.mail is not None:
                self._violation(conn, "MAIL out of order")
                return b"503 5.5.1 out of order\r\n"
            return b"250 2.1.0 sender fine\r\n"
        if verb == "RCPT":
            if conn.mail is None:
                return b"503 5.5.1 no sender\r\n"
            return b"250 2.1.5 recipient fine\r\n"
        if verb == "DATA":
            if not conn.rcpts:
                return b"554 5.5.1 no recipients\r\n"
            return b"354 go ahead\r\n"
        if verb == "STARTTLS" and self.tls and conn.tls is None:
            return b"220 2.0.0 go ahead\r\n"
        if verb == "XCLIENT" and self._offers(verb):
            return b"220 %s ESMTP\r\n" % self.name.encode()
        if verb == "XFORWARD" and self._offers(verb):
            return b"250 2.0.0 noted\r\n"
        return {"HELO": b"250 " + self.name.encode() + b"\r\n", "RSET": b"250 2.0.0 reset\r\n",
                "NOOP": b"250 2.0.0 fine\r\n", "QUIT": b"221 2.0.0 bye\r\n"}.get(verb, b"500 5.5.2 what?\r\n")

    async def _message(self, conn):
        wire = await self._content(conn)
        if conn.buffer:
            self._violation(conn, "octets behind the end of data: %r" % bytes(conn.buffer[:80]))
        msg = Message(conn, conn.mail, list(conn.rcpts), wire)
        conn.reset()
        rule = self._rule("DOT", wire)
        default = b"250 2.0.0 stored as %d\r\n" % (self._files + 1)
        reply = (rule or {}).get("reply", (rule or {}).get("raw", "" if self._ends(rule) else "250"))
        take = (rule or {}).get("take", reply.startswith("2"))
        if take:
            self._store(msg)
        msg.replied = await self._say(conn, rule, default)
        if self._ends(rule):
            return False
        after = self._rule("AFTER")
        if after:
            await self._say(conn, after, b"")
            if self._ends(after):
                return False
        return True

    def _store(self, msg):
        with self._change:
            self._files += 1
            number = self._files
            if self.keep:
                self.messages.append(msg)
            self._change.notify_all()
        if self.on_message:
            self.on_message(msg)
        if not self.directory:
            return
        base = os.path.join(self.directory, "%06d" % number)
        with open(base + ".eml", "wb") as f:
            f.write(msg.data)
        record = {"connection": msg.conn.number, "mail": msg.mail.decode("latin-1"),
                  "rcpts": [r.decode("latin-1") for r in msg.rcpts], "octets": len(msg.wire)}
        with open(base + ".tmp", "w", encoding="utf-8") as f:
            json.dump(record, f)
        os.rename(base + ".tmp", base + ".json")


def main():
    parser = argparse.ArgumentParser(description="an SMTP sink that follows a script")
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--dir", help="store messages as NNNNNN.eml with NNNNNN.json")
    parser.add_argument("--ready-file", help="written with `smtp ADDRESS:PORT` once it accepts")
    parser.add_argument("--rules", help="JSON file, read again when it changes")
    parser.add_argument("--keyword", action="append", help="EHLO keyword line; replaces the built-in ones")
    parser.add_argument("--name", default="inner.sink.test")
    args = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # before the thread starts: it inherits the mask
    host, port = args.listen.rsplit(":", 1)
    sink = Sink((host, int(port)), args.name, args.keyword, args.dir, args.rules, keep=False).start()
    if args.ready_file:
        with open(args.ready_file + ".tmp", "w", encoding="ascii") as f:
            f.write("smtp %s:%d\n" % (host, sink.port))
        os.rename(args.ready_file + ".tmp", args.ready_file)
    signal.sigwait(ENDS)


if __name__ == "__main__":
    main()
