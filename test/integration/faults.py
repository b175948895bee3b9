# SPDX-License-Identifier: Apache-2.0
"""faults.py - a mail system in small that can be broken everywhere, and what breaks it.

Rig is one glacis with all that it leans on: an upstream in plain, one by TLS and by name, a pair of servers, a DNS server with lists
behind it, Redis, a certificate, file systems of a few MiB for spool, state and log, a wall clock of its own.
Clients (traffic.py) send all the time, as mail servers do.  A fault is a context manager over a rig: it breaks
something, yields a function that says whether glacis has met it, and repairs it at the end.  Any faults can be
in force together.

The program that uses this runs in namespaces of its own (enter_namespaces): a network, where the upstream's
address can be taken away as if a cable were pulled, and mounts, which vanish with it.
"""
import collections
import contextlib
import datetime
import os
import random
import re
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

import dnsserver
import lab
from checks import World
from client import Client, Lost, wait_for
from tlsclient import Authority
from traffic import Attempt, Ledger, with_id

MIB = 1 << 20
# With these, no reply may take longer: the wait for a connection, twice connect, banner, EHLO, STARTTLS, EHLO and
# two commands at an upstream that stalls, and the same again at a fresh connection; and room for a busy machine.
DEADLINE_S = float(os.environ.get("FAULT_DEADLINE", "20"))
CONFIG = """
server:
  hostname: mx.glacis.test
  listen: ["127.0.0.1:0"]
  user: root
  state_dir: {dir}/state
  spool_dir: {dir}/spool
  greet_delay: 0ms
  private_clients: judge
  workers: 2
  drain_timeout: 3s
tls: {certificate: "%(certificate)s", private_key: "%(key)s"}
upstreams:
  inner:
    servers: ["%(inner)s"]
    tls: off
%(common)s
  secure:
    servers: ["%(secure)s"]
    tls: required
%(common)s
  pair:
    servers: ["%(inner)s", "%(second)s"]
    tls: off
%(common)s
domains: {example.test: inner, tls.test: secure, pair.test: pair}
dns: {self_test: off, servers: ["%(dns)s"], timeout: 400ms, attempts: 2, per_client: {questions: off, failed: off}, cache: {max_ttl: 1s, negative_ttl: 1s, failure_ttl: 1s}}
limits: {ban: off, connections_per_client: off, spool_memory: 16KiB, memory: %(memory)s, spool: %(spool)s}
reputation:
  guard: {sample: 0%%, probe_interval: off, canaries: []}
  lists:
    - {name: bl, zone: bl.test, probe: off, timeout: 1s}
policy: {budget: {mail: 2s, message: 2s}}
state: {backend: redis, redis: {url: "redis://127.0.0.1:%(redis)d/0", timeout: 100ms}}
admin: {listen: "127.0.0.1:0"}
log: {level: info, to: "file:{dir}/logs/log"}
"""
UPSTREAM = """    connections: 10
    keep_idle: 2
    hold: 500ms
    queue_wait: 2s
    max_messages: 7
    timeouts: {connect: 1s, greeting: 1s, command: 1s, final_reply: 2s}
    health: {interval: 1s, fall: 3, rise: 1}"""
# Sender and the client's address: an SPF pass, and one that the lists are asked about.
SENDERS = (("alice@pass.test", "127.0.1.30"), ("bob@neutral.test", "127.0.2.40"))
RCPTS = ("bob@example.test", "bob@tls.test", "bob@pair.test")


def enter_namespaces():
    """Starts the program again in its own network and mounts; needs root.  Returns inside; why not, if it cannot be."""
    if os.environ.get("GLACIS_FAULTS_INSIDE"):
        for command in ("ip link set lo up", "ip tuntap add mode tun name nowhere", "ip addr add 10.99.0.1/24 dev nowhere",
                        "ip link set nowhere up"):
            subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)
        with open("/proc/sys/net/ipv4/ip_nonlocal_bind", "w", encoding="ascii") as f:
            f.write("1")        # an upstream may come back while its cable is pulled
        return None
    if os.geteuid() != 0:
        return "needs root"
    for need in ("unshare", "ip", "redis-server", "nsd", "rbldnsd", "gcc"):
        if not dnsserver.program(need):
            return "not installed: " + need
    unshare = ["unshare", "-mn", "--propagation", "private"]
    test = unshare + ["sh", "-c", "ip tuntap add mode tun name nowhere && mount -t tmpfs none /mnt"]
    if subprocess.run(test, capture_output=True, check=False).returncode:
        return "no namespaces, tunnels or mounts here"
    os.execvpe(unshare[0], unshare + [sys.executable] + sys.argv, dict(os.environ, GLACIS_FAULTS_INSIDE="1"))
    return "cannot be"


class Clock:
    """The clocks of a program (clockshim.c), and where they stand."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "clock")
        shim = os.path.join(directory, "clockshim.so")
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clockshim.c")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", shim, source], check=True)
        self.wall_ms = self.monotonic_ms = 0
        self.lock = threading.Lock()
        with open(self.path, "wb") as f:
            f.write(bytes(16))
        self.env = {"LD_PRELOAD": shim, "GLACIS_CLOCK": self.path,   # a shared libasan would rather be the first
                    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def move(self, wall_ms=0, monotonic_ms=0):
        with self.lock, open(self.path, "r+b") as f:
            self.wall_ms += wall_ms
            self.monotonic_ms += monotonic_ms
            f.write(struct.pack("qq", self.wall_ms, self.monotonic_ms))


class Redis:
    """redis-server, which can be killed, stopped and started again at the same port."""

    def __init__(self, directory):
        self.dir = directory
        self.port = dnsserver.free_port()
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                                         "--appendonly", "no", "--dir", self.dir], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        wait_for(self.answers, 10, "redis-server")

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.2) as s:
                s.sendall(b"PING\r\n")
                return s.recv(10).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Rig(World):
    """One glacis and all around it."""

    def __init__(self, directory, number):
        super().__init__(directory)
        self.number = number
        self.rng = random.Random(number)
        self.limits_before = {}  # (worker, resource): what limited() found
        self.address = "10.99.0.%d" % (10 + number)
        self.cable(True)
        self.second_address = "10.99.0.%d" % (50 + number)
        subprocess.run(["ip", "addr", "replace", self.second_address + "/32", "dev", "lo"], check=True)
        self.lock = threading.RLock()
        self.authority = Authority(os.path.join(directory, "ca"))
        self.certificate, self.key = self.authority.leaf("mx", ec=True)
        cert, key = self.authority.leaf("inside", host="inside.lab", ec=True)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(cert, key)
        self.ledger = Ledger(unknown=("4.4.2", "4.3.0"))
        self.inner = self.sink(listen=(self.address, 0), keep=False)
        self.secure = self.sink(listen=(self.address, 0), keep=False, tls=server)
        self.second = self.sink(listen=(self.second_address, 0), keep=False)
        for sink in (self.inner, self.secure, self.second):
            sink.on_message = self.ledger.take
        self.names = lab.internet()
        self.names.add("inside.lab", "A", self.address)
        self.dns.append(self.names)
        self.redis = Redis(directory)
        self.clock = Clock(directory)
        for name, size in (("spool", 24), ("state", 8), ("logs", 64)):
            path = os.path.join(directory, "g", name)
            os.makedirs(path)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm,mode=755" % size, "none", path], check=True)
        self.settings = {"memory": "64MiB", "spool": "64MiB"}
        self.g = self.glacis(self.config_text(), env=self.clock.env)
        self.log_file = os.path.join(directory, "g", "logs", "log")
        self.count = 0
        self.paused = set()

    def config_text(self):
        values = dict(self.settings, certificate=self.certificate, key=self.key, dns=self.names.address, common=UPSTREAM,
                      inner="%s:%d" % (self.address, self.inner.port), secure="inside.lab:%d" % self.secure.port,
                      second="%s:%d" % (self.second_address, self.second.port),
                      redis=self.redis.port)
        return CONFIG % values

    def cable(self, plugged):
        subprocess.run(["ip", "addr", "replace" if plugged else "del", self.address + "/32", "dev", "lo"], check=True)

    def reload(self, **settings):
        with self.lock:
            self.settings.update(settings)
            self.g.write(self.config_text())
            self.g.signal(signal.SIGHUP)

    def workers(self):
        return self.g.children("glacis-worker")

    def events(self, name):
        """How often the log has this event."""
        try:
            with open(self.log_file, encoding="utf-8", errors="replace") as f:
                return f.read().count('"event":"%s"' % name)
        except FileNotFoundError:
            return 0

    def log_ahead(self):
        """How far the times in the log are ahead of ours, in seconds."""
        with open(self.log_file, "rb") as f:
            f.seek(max(0, os.stat(self.log_file).st_size - 65536))
            found = re.findall(rb'^\{"time":"([0-9T:-]{19})', f.read(), re.M)
        if not found:
            return 0
        told = datetime.datetime.strptime(found[-1].decode(), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
        return told.timestamp() - time.time()

    def metric(self, name):
        try:
            return sum(v for k, v in self.g.metrics().items() if k.split("{")[0] == name)
        except OSError:
            return 0

    # ---- clients ----

    def attempt(self, rng, ident=None, **options):
        """One message, in one of many ways."""
        with self.lock:
            self.count += 1
            ident = ident or "r%d-%d" % (self.number, self.count)
        size = options.pop("size", None) or (rng.randrange(100, 4000) if rng.random() < 0.7 else rng.randrange(70000, 200000))
        rcpt = options.pop("rcpt", None) or rng.choice(RCPTS)
        sender, source = rng.choice(SENDERS)
        body = b"%0*d\r\n" % (70, rng.randrange(1 << 30)) * (1 + size // 72)
        if rng.random() < 0.25:
            options.setdefault("tls", self.authority.context())
        if rng.random() < 0.1:
            options.setdefault("pause", 0.8)        # longer than `hold`: the envelope is said again
        return Attempt(self.g.smtp, ident, with_id(ident, body, sender), self.ledger, rcpt=rcpt, sender=sender, source=source,
                       bdat=rng.random() < 0.25, timeout=options.pop("timeout", DEADLINE_S), **options)

    def close(self):
        for pid in [self.g.process.pid] + self.g.children():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGCONT)
        problems = super().close()
        self.redis.stop()
        for address in (self.address, self.second_address):
            subprocess.run(["ip", "addr", "del", address + "/32", "dev", "lo"], check=False)
        for name in ("spool", "state", "logs"):
            subprocess.run(["umount", "-l", os.path.join(self.dir, "g", name)], check=False, stderr=subprocess.DEVNULL)
        return problems


class Traffic:
    """Clients that go on until stop(); what became of every attempt is in `attempts`."""

    def __init__(self, rig, clients=3, **options):
        self.rig = rig
        self.options = options
        self.attempts = []
        self.errors = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(rig.rng.getrandbits(32),), daemon=True) for _ in range(clients)]
        for t in self._threads:
            t.start()

    def _send(self, seed):
        rng = random.Random(seed)
        try:
            while not self._stop.is_set():
                ident = None
                while not self._stop.is_set():
                    a = self.rig.attempt(rng, ident, **self.options)
                    self.attempts.append(a)
                    ident = a.ident
                    if a.good:
                        break
                    self._stop.wait(0.05 + 0.1 * rng.random())
                self._stop.wait(0.03)
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(e)

    def since(self, when):
        return [a for a in list(self.attempts) if a.started >= when]

    def stop(self):
        self._stop.set()
        for t in self._threads:
            t.join(DEADLINE_S * 4)


def recovered(rig, rng, started, patience=20, **options):
    """Seconds from `started` until the first of two messages to each upstream, in a row, all of which went through;
    None: never."""
    first, row = None, 0
    while time.monotonic() < started + patience:
        a = rig.attempt(rng, rcpt=RCPTS[row % len(RCPTS)], **options)
        if not a.good:
            first, row = None, 0
            time.sleep(0.1)
            continue
        first = first or a.ended - started
        row += 1
        if row == 2 * len(RCPTS):
            return first
    return None


# ---- the upstream ----

HOW = {
    "dies": {"then": "close"},
    "resets": {"then": "reset"},
    "stalls": {"then": "mute"},
    "garbles": {"raw": "\x00\xff%n 2 5 0 \r\r\n999 what\r\n25\r\n"},
}


def _rule(at, how):
    rule = dict(HOW[how], at=at)
    if at == "CONTENT":
        rule["after"] = 100
    if at == "DOT":
        rule["take"] = how in ("resets", "garbles")
    if at == "STARTTLS" and how == "garbles":
        rule["then"] = "mute"
    return rule


@contextlib.contextmanager
def upstream(rig, at, how, rule=None, fresh=False):
    """Both servers follow a rule; `fresh`: connections of before are ended, so that it is met."""
    rule = dict(rule or _rule(at, how))
    sinks = [rig.secure] if at in ("STARTTLS", "HANDSHAKE") else [rig.inner, rig.secure]
    if at == "HANDSHAKE":
        rule.update(at="STARTTLS", raw="220 go on\r\n" + ("\x16\x03\x01\x00\x05hello" if how == "garbles" else ""))
        rule.setdefault("then", "mute")
    with rig.lock:
        for sink in sinks:
            sink.rules = sink.rules + [rule]
        for sink in sinks if fresh else ():
            sink.cut(1, rig.rng)
    try:
        yield lambda: rule.get("hits", 0)
    finally:
        with rig.lock:
            for sink in sinks:
                sink.rules = [r for r in sink.rules if r is not rule]


@contextlib.contextmanager
def upstream_down(rig):
    """Nobody listens."""
    with rig.lock:
        mine = "sinks" not in rig.paused
        rig.paused.add("sinks")
        for sink in (rig.inner, rig.secure) if mine else ():
            sink.pause()
    try:
        yield lambda: True
    finally:
        if mine:
            for sink in (rig.inner, rig.secure):
                sink.resume()
            rig.paused.discard("sinks")


@contextlib.contextmanager
def cable_pulled(rig):
    """Nothing comes through, neither to new connections nor on old ones."""
    with rig.lock:
        mine = "cable" not in rig.paused
        rig.paused.add("cable")
        if mine:
            rig.cable(False)
    try:
        yield lambda: True
    finally:
        if mine:
            rig.cable(True)
            rig.paused.discard("cable")


@contextlib.contextmanager
def connections_cut(rig):
    """All connections are reset, again and again."""
    stop = threading.Event()

    def cut():
        while not stop.wait(0.1):
            for sink in (rig.inner, rig.secure):
                sink.cut(0.7, rig.rng)
    thread = threading.Thread(target=cut, daemon=True)
    thread.start()
    try:
        yield lambda: True
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def together(rig, *injectors):
    """Several faults as one."""
    with contextlib.ExitStack() as stack:
        hits = [stack.enter_context(i(rig)) for i in injectors]
        yield lambda: all(h() for h in hits)


# ---- DNS ----

@contextlib.contextmanager
def names(rig, how, delay=1.5):
    rig.names.delay = delay
    asked = rig.names.asked()
    rig.names.fault("", how)
    try:
        yield lambda: rig.names.asked() > asked
    finally:
        rig.names.fault("", None)


@contextlib.contextmanager
def names_flapping(rig):
    """Another fault ten times a second."""
    stop, asked = threading.Event(), rig.names.asked()

    def flap():
        while not stop.wait(0.1):
            rig.names.fault("", rig.rng.choice(("silent", "servfail", "garbage", "empty", None)))
    thread = threading.Thread(target=flap, daemon=True)
    thread.start()
    try:
        yield lambda: rig.names.asked() > asked
    finally:
        stop.set()
        thread.join()
        rig.names.fault("", None)


# ---- disks ----

@contextlib.contextmanager
def disk_full(rig, which):
    """No octet is left on the file system of `which`."""
    path = os.path.join(rig.dir, "g", which, ".fill-%d" % threading.get_ident())
    full = 0
    try:
        with open(path, "wb", buffering=0) as f:
            for block in (MIB, 4096, 1):
                try:
                    while True:
                        f.write(bytes(block))
                except OSError:
                    full += 1
    except OSError:     # another fault has made it read only: as good as full
        full = 3
    try:
        yield lambda: full == 3
    finally:
        wait_for(lambda: emptied(path), 20, "a disk that can be written again")


def emptied(path):
    """Whether the file is gone; a disk that another fault has made read only keeps it for a while."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


@contextlib.contextmanager
def disk_read_only(rig, which):
    path = os.path.join(rig.dir, "g", which)
    done = 1    # while glacis writes to a file, the file system cannot be changed: then again
    for _ in range(200):
        done = subprocess.run(["mount", "-o", "remount,ro", path], capture_output=True, check=False).returncode
        if done == 0:
            break
        time.sleep(0.01)
    try:
        yield lambda: done == 0
    finally:
        subprocess.run(["mount", "-o", "remount,rw", path], check=False)


@contextlib.contextmanager
def limited(rig, what, limit):
    """A limit for each worker that runs now; limit(pid) says which.  Ended workers take it with them.  Two of these at
    once: what is put back is what was there before the first."""
    met = []
    for pid in rig.workers():
        with contextlib.suppress(OSError, ValueError):
            old = rig.limits_before.setdefault((pid, what), resource.prlimit(pid, what))
            resource.prlimit(pid, what, (limit(pid), old[1]))
            met.append(pid)
    try:
        yield lambda: met
    finally:
        for pid in met:
            with contextlib.suppress(OSError):
                resource.prlimit(pid, what, rig.limits_before[pid, what])


def files_small(rig):
    """RLIMIT_FSIZE: a file of more than 100 kB cannot be written."""
    return limited(rig, resource.RLIMIT_FSIZE, lambda pid: 100000)


def descriptors_gone(rig, left=0):
    """Not one more descriptor, or only a few.  What sessions give back serves the next ones, and so does the number that
    the listener keeps in reserve."""
    def free(pid):
        taken = {int(n) for n in os.listdir("/proc/%d/fd" % pid)}
        return [n for n in range(len(taken) + left + 1) if n not in taken][left]
    return limited(rig, resource.RLIMIT_NOFILE, free)


def hold(rig, held, most=40):
    """Clients in the middle of a message of 100 kB, until glacis takes no more."""
    for _ in range(most):
        try:
            c = Client(rig.g.smtp, source="127.0.1.31", timeout=3)
            held.append(c)
            c.hello()
            c.envelope(sender="alice@pass.test")
            if c.cmd("DATA").code != "354":
                return
            c.send(b"Subject: slow\r\n\r\n" + (b"%070d\r\n" % 1) * 1700)
        except (OSError, Lost):
            return


@contextlib.contextmanager
def memory_gone(rig):
    """The kernel gives the workers no more memory, and there are clients who need some: they end, and others come."""
    before, held = rig.workers(), []

    def size(pid):
        with open("/proc/%d/statm" % pid, encoding="ascii") as f:
            return int(f.read().split()[0]) * 4096
    with limited(rig, resource.RLIMIT_AS, size):
        hold(rig, held)
        try:
            yield lambda: set(before) - set(rig.workers())
        finally:
            for c in held:
                c.close()


@contextlib.contextmanager
def buffers_full(rig):
    """limits.memory and limits.spool of 1 MiB, by a reload, and clients that keep them full."""
    held = []
    before = rig.metric("glacis_reloads_total")
    rig.reload(memory="1MiB", spool="1MiB")
    with contextlib.suppress(Lost):
        wait_for(lambda: rig.metric("glacis_reloads_total") > before, 3, "the reload")
    hold(rig, held)
    try:
        yield lambda: held
    finally:
        for c in held:
            c.close()
        rig.reload(memory="64MiB", spool="64MiB")


# ---- clocks ----

@contextlib.contextmanager
def wall_clock(rig, seconds):
    """The wall clock jumps, and back."""
    before = rig.log_ahead()
    rig.clock.move(wall_ms=seconds * 1000)
    try:
        yield lambda: abs(rig.log_ahead() - before - seconds) < 30
    finally:
        rig.clock.move(wall_ms=-seconds * 1000)


@contextlib.contextmanager
def time_passes(rig, seconds):
    """All at once so much time has passed: a virtual machine was paused, or moved."""
    before = rig.log_ahead()
    rig.clock.move(wall_ms=seconds * 1000, monotonic_ms=seconds * 1000)
    yield lambda: abs(rig.log_ahead() - before - seconds) < 10


# ---- Redis ----

def shared_memory(rig):
    """How many of the two workers have it."""
    return rig.g.metrics()["glacis_shared_memory_up"]


@contextlib.contextmanager
def redis_killed(rig):
    with rig.lock:
        mine = "redis" not in rig.paused
        rig.paused.add("redis")
    if mine:
        rig.redis.stop()
    try:
        yield lambda: shared_memory(rig) < 2
    finally:
        if mine:
            rig.redis.start()
            rig.paused.discard("redis")


@contextlib.contextmanager
def redis_stopped(rig):
    pid = rig.redis.process.pid
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGSTOP)
    try:
        yield lambda: shared_memory(rig) < 2
    finally:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def redis_garbles(rig):
    """At its port somebody else answers, and nonsense."""
    if "redis" in rig.paused:       # gone already
        yield lambda: True
        return
    with redis_killed(rig):
        stop, met = threading.Event(), []
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", rig.redis.port))
        except OSError:             # two such faults at once
            s.close()
            yield lambda: True
            return
        s.listen(16)
        s.settimeout(0.1)

        def serve():
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    c, _ = s.accept()
                    met.append(c)
                    c.sendall(b"$-7\r\n*3\r\n:x\r\n\x00\xff" + random.Random(len(met)).randbytes(300))
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield lambda: met
        finally:
            stop.set()
            thread.join()
            for c in met + [s]:
                c.close()


# ---- certificates, reloads ----

@contextlib.contextmanager
def certificate_broken(rig, how):
    """The files are no pair any more, and a reload comes."""
    with rig.lock:
        mine = "certificate" not in rig.paused
        rig.paused.add("certificate")
    if not mine:
        yield lambda: True
        return
    kept = rig.dir + "/kept"
    path = rig.key if how in ("key of another", "key gone") else rig.certificate
    shutil.copyfile(path, kept)
    before = rig.metric("glacis_reloads_total")
    if how in ("garbage", "cut"):
        with open(kept, "rb") as f:
            text = f.read()
        with open(path, "wb") as f:
            f.write(os.urandom(900) if how == "garbage" else text[:len(text) // 3])
    elif how == "key of another":
        _, other = rig.authority.leaf("other-%d" % rig.count, ec=True)
        shutil.copyfile(other, path)
    else:
        os.unlink(path)
    rig.g.signal(signal.SIGHUP)
    try:
        yield lambda: rig.metric("glacis_reloads_total") > before
    finally:
        shutil.copyfile(kept, path)
        rig.g.signal(signal.SIGHUP)
        rig.paused.discard("certificate")


@contextlib.contextmanager
def reload_storm(rig, every=0.05, broken=False):
    """SIGHUP without end; `broken`: every second time the file is nonsense."""
    stop, before = threading.Event(), rig.metric("glacis_reloads_total")
    most = []

    def storm():
        number = 0
        while not stop.wait(every):
            number += 1
            if broken:
                with rig.lock:
                    rig.g.write("nonsense: [" if number % 2 else rig.config_text())
            rig.g.signal(signal.SIGHUP)
            if number % 10 == 0:
                most.append(len(rig.workers()))
    thread = threading.Thread(target=storm, daemon=True)
    thread.start()
    try:
        yield lambda: rig.metric("glacis_reloads_total") > before
    finally:
        stop.set()
        thread.join()
        rig.reload()
        if most and max(most) > 8:      # two of each: current, starting, two that drain
            raise AssertionError("%d workers at once" % max(most))


# ---- processes ----

def kill_some(pids, number):
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


@contextlib.contextmanager
def killed(rig, role, every=0.3, everyone=False):
    """SIGKILL, again and again."""
    stop, done = threading.Event(), []

    def kill():
        while True:
            pids = rig.g.children(role)
            if pids:
                chosen = pids if everyone else [rig.rng.choice(pids)]
                kill_some(chosen, signal.SIGKILL)
                done.extend(chosen)
            if stop.wait(every):
                return
    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield lambda: done
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def stopped(rig, role, everyone=True):
    """SIGSTOP, and SIGCONT at the end."""
    pids = [rig.g.process.pid] if role == "supervisor" else rig.g.children(role)
    pids = pids if everyone else pids[:1]
    kill_some(pids, signal.SIGSTOP)
    try:
        yield lambda: pids
    finally:
        kill_some(pids, signal.SIGCONT)


@contextlib.contextmanager
def hung(rig):
    """One worker stops for good; glacis has to find out (30 s) and replace it."""
    pid = rig.workers()[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield lambda: pid not in rig.workers()
    finally:
        kill_some([pid], signal.SIGCONT)


@contextlib.contextmanager
def all_frozen(rig):
    """Every process stops, as in a paused container."""
    pids = [rig.g.process.pid] + rig.g.children()
    kill_some(pids, signal.SIGSTOP)
    try:
        yield lambda: True
    finally:
        kill_some(pids, signal.SIGCONT)


def is_sanitized(program):
    with open(program, "rb") as f:
        return b"AddressSanitizer" in f.read()


def summary(attempts):
    """`250 x12, RCPT 451 4.4.1 x3, closed x1`"""
    seen = collections.Counter()
    for a in attempts:
        if a.good:
            seen["250"] += 1
        elif a.outcome == "refused":
            seen["%s: %s %s" % (a.stage, a.reply.code, a.reply.enhanced)] += 1
        else:
            seen["%s at %s" % (a.outcome, a.stage)] += 1
    return ", ".join("%s x%d" % x for x in sorted(seen.items(), key=lambda x: (x[0] != "250", x[0])))
