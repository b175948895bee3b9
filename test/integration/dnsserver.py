# SPDX-License-Identifier: Apache-2.0
"""dnsserver.py - a DNS server for the tests: a table, a script of faults, a count of every question.

It answers as the recursive server that glacis asks: from its own table, or by passing the question on to
the real servers that a test starts beside it (nsd for ordinary zones, rbldnsd for lists).  Every question is
noted, so a test can say who was asked and in what order.

    dns = DnsServer().start()            127.0.0.1, a free port, UDP and TCP
    dns.add("example.org", "TXT", "v=spf1 -all")     "*.example.org" answers for all names below
    dns.forward("bl.test", ("127.0.0.1", 5353))      a zone that another server has; None: it is in the table
    dns.fault("bl.test", "silent")       silent servfail refused slow truncated garbage poison empty rewrite strangers,
                                         or None
    dns.asked("bl.test")                 questions at and below that name

Faults: slow answers after `dns.delay` seconds; truncated says TC over UDP and answers over TCP; garbage is random
octets behind the right id; poison answers another name; empty is a header alone; rewrite answers every question for an
address with one of its own (a resolver that sells advertisements); strangers comes before the answer: ten with other ids.
Limits: Python's standard library only; no compression in what it sends; class IN.
"""
import heapq
import os
import random
import selectors
import shutil
import socket
import struct
import subprocess
import threading
import time

from ports import free_port

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SPF": 99}
NAMES = {v: k for k, v in TYPES.items()}
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


def wire_name(name):
    """A name as labels; `name` may hold any octets (latin-1)."""
    out = b""
    for label in name.rstrip(".").split("."):
        if label:
            raw = label.encode("latin-1")
            out += bytes([len(raw)]) + raw
    return out + b"\0"


def rdata(kind, value):
    """The data of one record: an address, a name, `10 name` for MX, text or a list of texts for TXT."""
    if isinstance(value, bytes):
        return value
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "MX":
        preference, name = value.split(None, 1) if isinstance(value, str) else value
        return struct.pack(">H", int(preference)) + wire_name("" if name == "." else name)
    if kind in ("TXT", "SPF"):
        texts = [value] if isinstance(value, str) else list(value)
        out = b""
        for text in texts:
            raw = text.encode("latin-1")
            pieces = [raw[i:i + 255] for i in range(0, len(raw), 255)] or [b""]
            out += b"".join(bytes([len(p)]) + p for p in pieces)
        return out
    return wire_name(value)


class DnsServer:
    """The server, in a thread of its own; its members may be changed from the test's thread."""

    def __init__(self, host="127.0.0.1"):
        self.table = {}        # name -> {type: [rdata]}
        self.zones = {}        # zone -> (host, port)
        self.faults = {}       # zone -> fault
        self.questions = []    # (time, name, type, "udp" or "tcp")
        self.delay = 1.0
        self.random = random.Random(1)
        self.port = None
        self.host = host
        self._out = {}         # id of a question that was passed on -> (client, its id)
        self._later = []
        self._count = 0
        self._stop = False
        self._thread = None
        self._select = selectors.DefaultSelector()

    # ---- what it answers ----

    def add(self, name, kind, *values):
        self.table.setdefault(name.lower(), {}).setdefault(kind, []).extend(rdata(kind, v) for v in values)

    def remove(self, name):
        self.table.pop(name.lower(), None)

    def forward(self, zone, address):
        self.zones[zone] = address

    def fault(self, zone, how):
        """What happens to questions at and below the zone; "" is all of them."""
        self.faults = {**{z: h for z, h in self.faults.items() if z != zone}, **({zone: how} if how else {})}

    def asked(self, zone="", kind=None):
        """How many questions there were at and below the zone."""
        return sum(1 for _, name, k, _ in list(self.questions) if within(name, zone) and kind in (None, k))

    def clear(self):
        self.questions = []

    # ---- life ----

    def start(self):
        for _ in range(50):     # the same port for both
            self._tcp = socket.socket()
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._tcp.bind((self.host, 0))
            self.port = self._tcp.getsockname()[1]
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            try:
                self._udp.bind((self.host, self.port))
                break
            except OSError:
                self._tcp.close()
                self._udp.close()
        else:
            raise RuntimeError("no port for the DNS server")
        self._tcp.listen(512)
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._back.bind((self.host, 0))
        for sock, what in ((self._udp, self._on_udp), (self._back, self._on_back), (self._tcp, self._on_tcp)):
            sock.setblocking(False)
            self._select.register(sock, selectors.EVENT_READ, what)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    @property
    def address(self):
        return "%s:%d" % (self.host, self.port)

    def stop(self):
        self._stop = True
        self._thread.join(5)
        for sock in (self._udp, self._back, self._tcp):
            sock.close()

    def _run(self):
        while not self._stop:
            wait = 0.05
            if self._later:
                wait = max(0, min(wait, self._later[0][0] - time.monotonic()))
            for key, _ in self._select.select(wait):
                key.data()
            while self._later and self._later[0][0] <= time.monotonic():
                _, _, packet, peer = heapq.heappop(self._later)
                self._send(packet, peer)

    def _send_later(self, packet, peer):
        self._count += 1
        heapq.heappush(self._later, (time.monotonic() + self.delay, self._count, packet, peer))

    def _send(self, packet, peer):
        try:
            self._udp.sendto(packet, peer)
        except OSError:
            pass

    # ---- questions ----

    def _on_udp(self):
        for _ in range(200):
            try:
                packet, peer = self._udp.recvfrom(4096)
            except OSError:
                return
            answer = self._answer(packet, peer)
            if answer:
                self._send(answer, peer)

    def _on_back(self):
        """An answer of a server behind us."""
        for _ in range(200):
            try:
                packet, _ = self._back.recvfrom(65536)
            except OSError:
                return
            number = struct.unpack(">H", packet[:2])[0]
            peer, ident = self._out.pop(number, (None, None))
            if peer:
                flags = struct.unpack(">H", packet[2:4])[0] | 0x80     # recursion available
                answer = ident + struct.pack(">H", flags) + packet[4:]
                if self._longest(self.faults, question_of(packet)[0]) == "slow":
                    self._send_later(answer, peer)
                else:
                    self._send(answer, peer)

    def _on_tcp(self):
        try:
            sock, _ = self._tcp.accept()
        except OSError:
            return
        threading.Thread(target=self._serve_tcp, args=(sock,), daemon=True).start()

    def _serve_tcp(self, sock):
        sock.settimeout(20)
        with sock:
            try:
                while not self._stop:
                    size = struct.unpack(">H", exactly(sock, 2))[0]
                    answer = self._answer(exactly(sock, size), None)
                    if answer:
                        sock.sendall(struct.pack(">H", len(answer)) + answer)
            except (OSError, struct.error, EOFError):
                pass

    def _longest(self, table, name):
        while True:
            if name in table:
                return table[name]
            if not name:
                return None
            name = name.partition(".")[2]

    def _answer(self, packet, peer):
        """The answer to a question; peer None: over TCP.  None: nothing is said now."""
        name, kind, end = question_of(packet)
        self.questions.append((time.monotonic(), name, kind, "udp" if peer else "tcp"))
        fault = self._longest(self.faults, name)
        if fault == "silent":
            return None
        if fault in ("servfail", "refused"):
            return finish(packet, self._header(packet, end, SERVFAIL if fault == "servfail" else REFUSED))
        if fault == "truncated" and peer:
            return finish(packet, self._header(packet, end, NOERROR, truncated=True))
        if fault == "garbage":
            return packet[:2] + self.random.randbytes(self.random.randrange(1, 200))
        if fault == "empty":
            return packet[:2] + b"\x84\0\0\0\0\0\0\0\0\0"
        if fault == "poison":
            return self._poison(packet, end, kind)
        if fault == "rewrite" and kind in ("A", "AAAA"):
            data = rdata("A", "203.0.113.99") if kind == "A" else rdata("AAAA", "2001:db8::99")
            record = b"\xc0\x0c" + struct.pack(">HHIH", TYPES[kind], 1, 5, len(data)) + data
            return finish(packet, self._header(packet, end, NOERROR, 1) + record)
        if fault == "strangers" and peer:
            self._strangers(packet, peer, end)
        backend = self._longest(self.zones, name)
        if backend:
            return self._pass_on(packet, peer, backend)
        answer = finish(packet, self._from_table(packet, name, kind, end, peer))
        if fault == "slow" and peer:
            self._send_later(answer, peer)
            return None
        return answer

    def _pass_on(self, packet, peer, backend):
        if peer is None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:     # rbldnsd has no TCP
                s.settimeout(5)
                s.sendto(packet, backend)
                return s.recv(65536)
        self._count += 1
        number = self._count & 0xffff
        self._out[number] = (peer, packet[:2])
        self._back.sendto(struct.pack(">H", number) + packet[2:], backend)
        return None

    def _header(self, packet, end, rcode, answers=0, authority=0, truncated=False):
        asked = struct.unpack(">H", packet[2:4])[0]
        flags = 0x8080 | (asked & 0x0100) | (0x0200 if truncated else 0) | rcode
        return packet[:2] + struct.pack(">HHHHH", flags, 1, answers, authority, 0) + packet[12:end]

    def _poison(self, packet, end, kind):
        """An answer for another name, and one of the right name for another type."""
        other = wire_name("poisoned.invalid")
        record = other + struct.pack(">HHIH", TYPES.get(kind, 1), 1, 60, 4) + socket.inet_aton("127.0.0.2")
        wrong = b"\xc0\x0c" + struct.pack(">HHIH", 2, 1, 60, len(other)) + other
        return self._header(packet, end, NOERROR, 2) + record + wrong

    def _strangers(self, packet, peer, end):
        """Answers to nobody's questions: as somebody would send them who guesses."""
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton("127.0.0.2")
        answer = self._header(packet, end, NOERROR, 1) + record
        number = struct.unpack(">H", packet[:2])[0]
        for step in range(1, 11):
            self._send(struct.pack(">H", (number + step) & 0xffff) + answer[2:], peer)

    def _records(self, name, kind):
        """(exists, [(owner, type, rdata)]) with one step of CNAME."""
        entry = self.table.get(name)
        above = name
        while entry is None and "." in above:
            above = above.partition(".")[2]
            entry = self.table.get("*." + above)
        if entry is None:
            return False, []
        if "FAULT" in entry and kind not in entry:
            return entry["FAULT"], []
        if "CNAME" in entry and kind != "CNAME":
            target = entry["CNAME"][0]
            text, _ = read_name(target, 0)
            exists, more = self._records(text, kind)
            return exists if more or exists in ("silent", "servfail") else True, \
                [(name, "CNAME", target)] + [r for r in more]
        return True, [(name, kind, data) for data in entry.get(kind, [])]

    def _from_table(self, packet, name, kind, end, peer):
        exists, records = self._records(name, kind)
        if exists == "silent":
            return None
        if exists == "servfail":
            return self._header(packet, end, SERVFAIL)
        body = b"".join(wire_name(owner) + struct.pack(">HHIH", TYPES[k], 1, 60, len(data)) + data
                        for owner, k, data in records)
        soa = b""
        if not records:
            data = wire_name("ns.invalid") * 2 + struct.pack(">IIIII", 1, 60, 60, 60, 60)
            soa = b"\0" + struct.pack(">HHIH", 6, 1, 60, len(data)) + data
        out = self._header(packet, end, NOERROR if exists else NXDOMAIN, len(records), 1 if soa else 0) + body + soa
        if peer and len(out) > 1232:
            return self._header(packet, end, NOERROR, truncated=True)
        return out


def finish(packet, answer):
    """With EDNS, if the question had it."""
    if not answer or packet[10:12] == b"\0\0":
        return answer
    return answer[:10] + b"\0\1" + answer[12:] + b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)


def exactly(sock, size):
    out = b""
    while len(out) < size:
        data = sock.recv(size - len(out))
        if not data:
            raise EOFError
        out += data
    return out


def within(name, zone):
    return not zone or name == zone or name.endswith("." + zone)


def read_name(packet, at):
    labels = []
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1").lower())
        at += packet[at] + 1
    return ".".join(labels), at + 1


def question_of(packet):
    """(name, type, where the question ends)"""
    name, at = read_name(packet, 12)
    kind = struct.unpack(">H", packet[at:at + 2])[0]
    return name, NAMES.get(kind, str(kind)), at + 4


def reversed_ip(ip):
    """4.3.2.1 of 1.2.3.4"""
    return ".".join(reversed(ip.split(".")))


# ---- real servers ----

class Program:
    """A real name server, in the foreground, ended by stop()."""

    def __init__(self, command, port, log):
        self.port = port
        with open(log, "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            start_new_session=True)
        self.log = log

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def wait(self, name):
        """Until it answers a question."""
        packet = struct.pack(">HHHHHH", 7, 0, 1, 0, 0, 0) + wire_name(name) + struct.pack(">HH", 6, 1)
        deadline = time.monotonic() + 10
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    s.sendto(packet, self.address)
                    if s.recv(4096):
                        return self
                except OSError:
                    time.sleep(0.02)
        with open(self.log, encoding="latin-1") as f:
            raise RuntimeError("the name server did not start:\n" + f.read()[-2000:])

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def program(name):
    """The path of a server, also where only root looks for it; None: not installed."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def nsd(directory, zones):
    """nsd with zones: {name: text of the zone file behind the SOA}."""
    directory = os.path.join(directory, "nsd")
    os.makedirs(directory, exist_ok=True)
    port = free_port()
    conf = ["server:", "  ip-address: 127.0.0.1", "  port: %d" % port, "  zonesdir: \"%s\"" % directory,
            "  username: \"\"" if os.geteuid() else "  username: root", "  database: \"\"", "  server-count: 1",
            "  xfrdfile: \"%s/xfrd\"" % directory, "  zonelistfile: \"%s/zones\"" % directory,
            "  pidfile: \"%s/pid\"" % directory, "  xfrdir: \"%s\"" % directory,
            "  rrl-ratelimit: 0",       # or it drops answers beyond 200 a second
            "remote-control:",
            "  control-enable: no"]
    for name, text in zones.items():
        with open(os.path.join(directory, name + ".zone"), "w", encoding="ascii") as f:
            f.write("$ORIGIN %s.\n$TTL 60\n@ SOA ns.invalid. root.invalid. 1 60 60 60 60\n@ NS ns.invalid.\n%s\n"
                    % (name, text))
        conf += ["zone:", "  name: %s" % name, "  zonefile: %s.zone" % name]
    path = os.path.join(directory, "nsd.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(conf) + "\n")
    return Program([program("nsd"), "-d", "-c", path], port, os.path.join(directory, "log")).wait(list(zones)[0])


def rbldnsd(directory, zones):
    """rbldnsd with zones: {name: text of an ip4set}."""
    directory = os.path.join(directory, "rbldnsd")
    os.makedirs(directory, exist_ok=True)
    port = free_port()
    command = [program("rbldnsd"), "-n", "-b", "127.0.0.1/%d" % port, "-c", "1s"]
    if not os.geteuid():
        os.chmod(directory, 0o755)
        command += ["-u", "nobody"]
    for number, (name, text) in enumerate(zones.items()):
        path = os.path.join(directory, "list%d" % number)
        with open(path, "w", encoding="ascii") as f:
            f.write("$SOA 60 ns.invalid root.invalid 1 60 60 60 60\n$NS 60 ns.invalid\n%s\n" % text)
        command.append("%s:ip4set:%s" % (name, path))
    return Program(command, port, os.path.join(directory, "log")).wait(list(zones)[0])
