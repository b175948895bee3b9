#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""98-stalls.py - peers that stop in the middle of anything: the workers sleep meanwhile.

Each check brings a session to a point, leaves it there, and looks at the state of the worker: a process that is
running or wants to run is one that goes round and round, whatever else the machine has to do.
"""
import contextlib
import os
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import Client
from tlsclient import Authority, client_hello

LOOKS = 25
PAUSE_S = 0.02


def busy(pid):
    """The part of the looks at which the process was running or wanted to."""
    seen = 0
    for _ in range(LOOKS):
        with open("/proc/%d/stat" % pid, encoding="latin-1") as f:
            seen += f.read().rsplit(")", 1)[1].split()[0] == "R"
        time.sleep(PAUSE_S)
    return seen / LOOKS


def must_sleep(g, where):
    time.sleep(0.3)             # what there is to do is done
    pids = g.children("glacis-worker")
    must(len(pids) == 1, "one worker", pids)
    part = busy(pids[0])
    must(part < 0.5, "a worker that sleeps: " + where, "busy %d %%" % (100 * part))


def world(w, more=""):
    sink = w.sink()
    text = w.config(sink, workers=1, more=more)
    return w.glacis(text.replace("    tls: off", "    tls: off\n    connections: 100")), sink


def start(g, *commands):
    """A session behind these commands; the last one is sent and its answer not read."""
    c = Client(g.smtp)
    c.hello()
    for line in commands[:-1]:
        c.cmd(line)
    c.send(commands[-1])
    return c


MAIL, RCPT = "MAIL FROM:<a@elsewhere.invalid>", "RCPT TO:<bob@example.test>"


@shows("clients in clear stop within a command, content or a chunk, and some end their half there")
def clear(w):
    g, _ = world(w)
    kept = []
    for commands in ((b"NOO",), (b"NOOP\r",), (b"X" * 5000,), (b"BDAT 100\r\nhalf",), (MAIL, RCPT, b"BDAT 100\r\nhalf"),
                     (MAIL, RCPT, "DATA", b"Subject: x\r\n\r\nhal"), (MAIL, RCPT, "DATA", b"x\r\n.\r")):
        kept.append(start(g, *commands))
    must_sleep(g, "half of everything")
    for commands in ((b"NOO",), (MAIL, RCPT, "DATA", b"Subject: x\r\n"), (MAIL, RCPT, "DATA", b"\r\nx\r\n.\r\n"),
                     (MAIL, RCPT, b"BDAT 100\r\nhalf")):
        kept.append(start(g, *commands))
        kept[-1].half_close()
    must_sleep(g, "half, and the end of the file")


@shows("a server stops within each of its replies, while clients wait, have ended their half or are gone")
def server(w):
    g, sink = world(w)
    kept = []
    for at, raw in (("DOT", "250 2.0"), ("DATA", "35"), ("RCPT", "250 o"), ("MAIL", "2"), ("EHLO", "250-PIPELINING\r\n250"),
                    ("CONNECT", "220 in")):
        sink.rules = [{"at": at, "raw": raw, "then": "mute"}]
        for end in (lambda c: None, Client.half_close, Client.reset):
            c = start(g, MAIL, RCPT.encode() + b"\r\n")
            if at in ("DATA", "DOT"):
                c.reply()
                c.cmd("DATA")
                c.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
            end(c)
            kept.append(c)
        must_sleep(g, "half a reply to %s" % at)
    g.stop(timeout=2)


@shows("a server reads no content, while the client waits and then ends its half")
def deaf(w):
    g, sink = world(w)
    sink.rules = [{"at": "DATA", "reply": "354 go", "then": "deaf"}]
    c = start(g, MAIL, RCPT, "DATA", b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 200000 + b".\r\n")
    must_sleep(g, "content that nobody takes")
    c.half_close()
    must_sleep(g, "and nobody waits for")
    g.stop(timeout=2)


class Encrypted:
    """TLS over memory: what goes to the socket may be cut."""

    def __init__(self, client, context):
        self.sock = client.sock
        self.sock.settimeout(20)
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_hostname="mx.glacis.test")
        self.turn(self.tls.do_handshake)

    def turn(self, step):
        """A step that may need octets of the other side."""
        while True:
            try:
                result = step()
                self.sock.sendall(self.out.read())
                return result
            except ssl.SSLWantReadError:
                self.sock.sendall(self.out.read())
                self.into.write(self.sock.recv(65536))

    def record(self, data):
        self.tls.write(data)
        return self.out.read()


def shaken(g, context):
    """A session in TLS; (the connection, TLS over it)"""
    c = Client(g.smtp)
    c.hello()
    c.cmd("STARTTLS")
    return c, Encrypted(c, context)


@shows("clients in TLS stop within the ClientHello or a record, or say close_notify and stay")
def encrypted(w):
    ca = Authority(os.path.join(w.dir, "ca"))
    g, _ = world(w, "tls:\n  certificate: %s\n  private_key: %s\n" % ca.leaf("rsa"))
    hello = client_hello()
    kept = [start(g, "STARTTLS", hello[:cut]) for cut in (3, len(hello) - 1)]
    must_sleep(g, "half a ClientHello")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for cut in (1, 5, 6, -1):
            c, t = shaken(g, ca.context(version))
            t.turn(lambda t=t: t.tls.write(b"EHLO a.example\r\n"))
            t.turn(lambda t=t: t.tls.read(1000))
            c.sock.sendall(t.record(b"NOOP\r\n")[:cut])
            kept += [c, t]
        must_sleep(g, "%s, half a record" % version.name)
        c, t = shaken(g, ca.context(version))
        with contextlib.suppress(ssl.SSLWantReadError):
            t.tls.unwrap()
        c.sock.sendall(t.out.read())
        kept += [c, t]
        must_sleep(g, "%s, close_notify" % version.name)


if __name__ == "__main__":
    run()
