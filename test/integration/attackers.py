#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""attackers.py - the two sides of a siege, each a process of its own: a crowd of attackers, and honest senders.

    crowd   many connections at once (epoll), each from an address of its own, each playing the same script
    good    sessions with one message each, begun at a steady rate, whatever became of those before

Both read one JSON object, say `ready`, go on until more comes from their standard input, and print one JSON object about
what they saw.  The module has the classes that start them: Crowd and Good.

A script is a list of steps:
    ["reply", n]         waits for n replies          ["send", text, n]       n times; {i} is the number of the connection
    ["drip", text, s]    an octet every s seconds, the text again and again   ["flood", text]     as fast as it goes
    ["rest", s]          does nothing for s seconds
    ["deaf"]             reads no more                ["hold"]                waits for the end
    ["close"]            closes                       ["reset"]               ends with RST

Options of a crowd: address, count, script, net ("127.20": addresses of that /16), addresses (how many of them), rate
(connections a second), total (as many in all: each that ended is followed by another), binary (texts are latin-1 octets).
"""
import collections
import errno
import heapq
import json
import os
import re
import resource
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from client import Client, Lost
from tlsclient import TlsClient

PATIENCE = 60


def source(net, addresses, number):
    """The address of the connection with this number."""
    number %= addresses
    return "%s.%d.%d" % (net, number // 250, 1 + number % 250)


class Attacker:
    """One attacker's connection."""

    def __init__(self, number, sock):
        self.number = number
        self.sock = sock
        self.at = 0                 # in the script
        self.replies = 0            # still awaited
        self.out = b""
        self.line = b""
        self.connected = False
        self.deaf = False
        self.there = False          # at the last step
        self.dripped = -1           # octets of the last step; -1: it has not begun


class Attack:
    """The crowd, in its own process."""

    def __init__(self, options):
        self.address = tuple(options["address"])
        self.count = options["count"]
        self.total = options.get("total", self.count)
        self.script = options["script"]
        self.net, self.addresses = options.get("net", "127.20"), options.get("addresses", 5000)
        self.rate = options.get("rate", 2000)
        self.open = {}
        self.opened = 0
        self.timers = []
        self.seen = collections.Counter()
        self.ends = collections.Counter()
        self.most = 0
        self.sent = 0
        self.done = 0               # scripts that came to their last step, or were ended before
        self.epoll = select.epoll()

    # ---- one connection ----

    def connect(self):
        sock = socket.socket()
        sock.setblocking(False)
        self.opened += 1
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((source(self.net, self.addresses, self.opened - 1), 0))
            status = sock.connect_ex(self.address)
        except OSError as e:
            status = e.errno
        if status not in (0, errno.EINPROGRESS):
            self.ends["not connected: " + os.strerror(status)] += 1
            sock.close()
            return
        c = Attacker(self.opened - 1, sock)
        self.open[sock.fileno()] = c
        self.most = max(self.most, len(self.open))
        self.epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def end(self, c, why):
        self.ends[why] += 1
        self.done += not c.there
        del self.open[c.sock.fileno()]
        c.sock.close()
        c.sock = None

    def watch(self, c):
        mask = (0 if c.deaf else select.EPOLLIN) | (select.EPOLLOUT if c.out or not c.connected else 0)
        self.epoll.modify(c.sock.fileno(), mask)

    def advance(self, c):
        """Plays the script as far as it goes now."""
        while c.sock and c.at < len(self.script) and not c.out:
            step = self.script[c.at]
            if step[0] == "reply":
                if c.replies >= step[1]:
                    c.replies -= step[1]
                    c.at += 1
                    continue
                break
            if step[0] in ("drip", "rest"):
                if c.dripped >= 0:
                    break
                c.dripped = 0
                heapq.heappush(self.timers, (time.monotonic() + step[-1], c.number, c))
                break
            if step[0] in ("flood", "hold"):
                c.out = self.text(c, step[1]) * 50 if step[0] == "flood" else b""
                if not c.out:
                    break
            else:
                c.at += 1
                if step[0] == "send":
                    c.out = self.text(c, step[1]) * (step[2] if len(step) > 2 else 1)
                elif step[0] == "deaf":
                    c.deaf = True
                elif step[0] == "close":
                    self.end(c, "closed by the attacker")
                elif step[0] == "reset":
                    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.end(c, "reset by the attacker")
            if c.sock:
                self.write(c)
        if c.sock:
            if c.at == len(self.script) - 1 and not c.there:
                c.there = True
                self.done += 1
            self.watch(c)

    @staticmethod
    def text(c, text):
        return text.replace("{i}", str(c.number)).encode("latin-1")

    def write(self, c):
        try:
            n = c.sock.send(c.out)
        except BlockingIOError:
            n = 0
        except OSError as e:
            self.end(c, "closed by the server: " + errno.errorcode.get(e.errno, "?"))
            return
        self.sent += n
        c.out = c.out[n:]

    def read(self, c):
        try:
            data = c.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as e:
            self.end(c, "closed by the server: " + errno.errorcode.get(e.errno, "?"))
            return
        if not data:
            self.end(c, "closed by the server")
            return
        lines = (c.line + data).split(b"\r\n")
        c.line = lines.pop()[-2000:]
        for line in lines:
            if line[3:4] != b"-":
                c.replies += 1
                self.seen[re.sub(r" \[[0-9A-Z]{26}\]", "", line.decode("latin-1"))[:160]] += 1

    def rested(self, c):
        c.at += 1
        c.dripped = -1
        self.advance(c)

    def drip(self, c):
        step = self.script[c.at]
        raw = self.text(c, step[1])
        c.out = raw[c.dripped % len(raw):][:1]
        c.dripped += 1
        self.write(c)
        if c.sock:
            c.out = b""
            heapq.heappush(self.timers, (time.monotonic() + step[2], c.number, c))

    # ---- all of them ----

    def turn(self):
        for fd, what in self.epoll.poll(0.02):
            c = self.open.get(fd)
            if c is None:
                continue
            if what & (select.EPOLLERR | select.EPOLLHUP) and not c.connected:
                self.end(c, "not connected: " + os.strerror(c.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
                continue
            c.connected = True
            if what & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self.read(c)
            if c.sock and c.out:
                self.write(c)
            if c.sock:
                self.advance(c)
        while self.timers and self.timers[0][0] <= time.monotonic():
            c = heapq.heappop(self.timers)[2]
            if c.sock and self.script[c.at][0] == "drip":
                self.drip(c)
            elif c.sock:
                self.rested(c)

    def run(self):
        started = time.monotonic()
        ready = False
        while not select.select([sys.stdin], [], [], 0)[0]:
            allowed = (time.monotonic() - started) * self.rate
            while len(self.open) < self.count and self.opened < min(self.total, allowed):
                self.connect()
            self.turn()
            if not ready and (self.total == self.count <= self.done or self.opened == self.total and not self.pending()
                              or time.monotonic() - started > PATIENCE):
                ready = True
                print("ready", flush=True)
        alive = len(self.open)
        for c in list(self.open.values()):
            c.sock.close()
        return {"opened": self.opened, "most": self.most, "alive": alive, "sent": self.sent, "replies": self.seen,
                "ends": self.ends, "seconds": time.monotonic() - started}

    def pending(self):
        """Are some still on their way through the script?"""
        return any(not c.there for c in self.open.values())


class Senders:
    """The honest ones, in their own process."""

    def __init__(self, options):
        self.o = options
        self.results = []
        self.lock = threading.Lock()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    def attempt(self, number):
        """(delivered, the last thing that was said)"""
        o = self.o
        said = ""
        try:
            with TlsClient(tuple(o["address"]), source="127.0.1.%d" % (30 + number % 200), timeout=PATIENCE) as c:
                said = str(c.greeting)
                if c.greeting.code != "220":
                    return False, said
                if "STARTTLS" in c.hello("client.test").text and o.get("tls"):
                    if c.cmd("STARTTLS").code == "220":
                        c.wrap(self.context)
                    c.hello("client.test")
                for command in ("MAIL FROM:<%s>" % o["sender"], "RCPT TO:<bob@example.test>"):
                    reply = c.cmd(command)
                    if reply.code != "250":
                        return False, str(reply)
                said = str(c.data(b"Subject: good %d\r\n\r\n%s" % (number, b"a good line\r\n" * 50)))
                Client.cmd(c, "QUIT")
        except (Lost, OSError) as e:
            return said.startswith("250"), said + " " + str(e)
        return said.startswith("250"), said

    def session(self, number):
        started = time.monotonic()
        first = None
        for _ in range(1 + self.o.get("retries", 0)):
            ok, said = self.attempt(number)
            if ok:
                break
            first = first or said
            time.sleep(1)
        with self.lock:
            self.results.append([ok, time.monotonic() - started, first])

    def run(self):
        threads = []
        started = time.monotonic()
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            threads.append(threading.Thread(target=self.session, args=(len(threads),)))
            threads[-1].start()
            time.sleep(max(0, started + len(threads) / self.o.get("rate", 5) - time.monotonic()))
        for t in threads:
            t.join()
        return {"sessions": self.results}


class Process:
    """One of the two, running; finish() ends it and gives what it saw."""

    def __init__(self, what, **options):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), what], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, start_new_session=True)
        self.said_ready = False
        self.process.stdin.write(json.dumps(options).encode() + b"\n")
        self.process.stdin.flush()

    def ready(self, patience=PATIENCE + 30):
        if not self.is_ready(patience):
            raise Lost("the attackers are not ready")
        return self

    def is_ready(self, patience=0):
        if not self.said_ready and select.select([self.process.stdout], [], [], patience)[0]:
            self.process.stdout.readline()
            self.said_ready = True
        return self.said_ready

    def finish(self):
        out, _ = self.process.communicate(b"end\n", 3 * PATIENCE)
        return json.loads(out.decode().splitlines()[-1])

    def stop(self):
        """At the end of a check, however it went."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Crowd(Process):
    def __init__(self, g, count, script, **options):
        super().__init__("crowd", address=g.smtp, count=count, script=script, **options)


class Good(Process):
    def __init__(self, g, sender="alice@pass.test", **options):
        super().__init__("good", address=g.smtp, sender=sender, **options)


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    options = json.loads(sys.stdin.readline())
    print(json.dumps({"crowd": Attack, "good": Senders}[sys.argv[1]](options).run()), flush=True)


if __name__ == "__main__":
    main()
