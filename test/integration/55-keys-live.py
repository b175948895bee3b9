#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""55-keys-live.py - the keys of the reference in a running program: what each does, before and after one reload.

Each check looks at many keys at once: one file, one look, one `glacis reload` with other values for all of them, the same
look again.  A session that is open over the reload ends under the old values, with its message delivered.
Here is what no other test sees in live traffic, or not over a reload; the rest stands with its neighbours.
"""
import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import Client, Lost, wait_for
from dnsserver import DnsServer
from ports import free_port
from tlsclient import Authority, TlsClient, openssl

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


def reload(g, text):
    """A new file, `glacis reload`, and what it said."""
    g.write(text)
    done = subprocess.run([g.program, "reload", "-c", g.path], capture_output=True, text=True, timeout=60, check=False)
    must(done.returncode == 0 and done.stdout.startswith("ok generation "), "the file taken", done)
    g.read_ready()
    return done.stdout


def compare(seen, wanted, when):
    """Every key that is not as wanted, at once."""
    wrong = {k: "wanted %r, seen %r" % (v, seen.get(k)) for k, v in wanted.items() if seen.get(k) != v}
    must(not wrong, "%s, all keys as written" % when, wrong)


class Together:
    """Looks at the same time, since each of them waits."""

    def __init__(self):
        self.seen, self.threads = {}, []

    def __enter__(self):
        return self

    def add(self, key, function, *args):
        self.threads.append(threading.Thread(target=lambda: self.seen.update({key: function(*args)})))
        self.threads[-1].start()

    def __exit__(self, *_):
        for t in self.threads:
            t.join()


class Held:
    """A session with an open transaction, over a reload."""

    def __init__(self, g, rcpt="bob@example.test"):
        self.c = Client(g.smtp)
        self.c.hello()
        must([r.code for r in self.c.envelope((rcpt,))] == ["250", "250"], "an open transaction", self.c.all)

    def ends_well(self, sink):
        had = len(sink.messages)
        r = self.c.data(MESSAGE)
        must(r.code == "250" and len(sink.messages) == had + 1, "the session over the reload delivers", r)
        self.c.close()


def until_421(c, line, most=60):
    """How often it can be said."""
    for n in range(1, most):
        try:
            if c.cmd(line).code == "421":
                return n
        except Lost:
            return n
    return 0


def deliver(g, content=MESSAGE, rcpts=("bob@example.test",), sender="alice@elsewhere.invalid", source=None, **options):
    """The code of the final reply, or of what refused before."""
    with Client(g.smtp, source=source) as c:
        if c.greeting.code != "220":
            return c.greeting.code
        c.hello(options.get("helo", "client.example.net"))
        for r in c.envelope(rcpts, sender):
            if r.code != "250":
                return "%s %s" % (r.code, r.enhanced)
        r = c.data(content)
        return "%s %s" % (r.code, r.enhanced) if r.code != "250" else "250"


# ---- what a session sees ----

PLAIN = """server:
  hostname: mx.glacis.test
  listen: ["127.0.0.1:%(port)d"]
  user: root
  state_dir: {dir}/state
  greet_delay: 0ms
  workers: 1
upstreams:
  inner: {servers: ["127.0.0.1:%(first)d"], tls: off}
domains:
  example.test: inner
  old.test: {upstream: inner, validate: none}
policy: {preset: none, rules: []}
dns: {self_test: off}
admin: {listen: "127.0.0.1:0"}
"""
OTHER = """server:
  hostname: mx2.glacis.test
  listen: [{address: "127.0.0.1:%(port)d", xclient: true, trusted: ["127.0.0.0/8"]}, "127.0.0.1:%(more)d"]
  user: root
  state_dir: {dir}/state
  spool_dir: {dir}/elsewhere
  greet_delay: 250ms
  workers: 2
  banner: "{server.hostname} at your service"
upstreams:
  other: {servers: ["127.0.0.1:%(second)d"], tls: off, size: 64KiB, remember_unknown: off, identity: xforward}
domains:
  example.test: other
  new.test: {upstream: other, validate: "file:{dir}/people"}
policy:
  preset: none
  rules:
    - {name: away, when: {recipient.local: away}, then: reject}
    - {name: grouped, when: {sender.address: group:friends}, then: {tag: {X-Friend: "yes"}}}
groups: {friends: [alice@elsewhere.invalid]}
limits:
  recipients: 100
  messages_per_session: 2
  errors: 3
  refused_recipients: 2
  command_timeout: 2s
  command_deadline: 1s
  data_timeout: 1s
  stress: {at: off, command_timeout: 1s}
  headers: 16KiB
  hops: 10
  bare_newline: normalize
  bare_newline_bdat: reject
  spool_memory: 4KiB
smtp: {chunking: false, smtputf8: false}
headers:
  received: false
  verdict: false
  authserv_id: elsewhere.test
  strip_authserv_ids: [partner.test]
  strip: ["X-Strip-*"]
  add: {X-Added: "{client.ip} {server.hostname}"}
dns: {self_test: off}
admin: {listen: "127.0.0.1:0", token: sesame}
log: {format: text, level: debug, addresses: domain, to: "file:{dir}/new.log"}
"""
FIELDS = (b"X-Strip-Me: 1\r\nX-MS-Exchange-Organization-SCL: 9\r\nX-Added: forged\r\n"
          b"Authentication-Results: partner.test; spf=pass\r\nAuthentication-Results: mx.glacis.test; spf=pass\r\n")


def time_to_greet(g):
    started = time.monotonic()
    Client(g.smtp).close()
    return time.monotonic() - started


def offers(g):
    with Client(g.smtp) as c:
        return c.hello().text.split("\n")


def look_at_replies(g):
    seen = {}
    with Client(g.smtp) as c:
        seen["server.banner"] = c.greeting.text
        offered = c.hello().text.split("\n")
        seen["server.hostname"] = offered[0].split()[0]
        seen["size"] = [o for o in offered if o.startswith("SIZE")]
        for key, word in (("smtp.chunking", "CHUNKING"), ("smtp.smtputf8", "SMTPUTF8"), ("xclient", "XCLIENT ")):
            seen[key] = any(o.startswith(word) for o in offered)
        c.cmd("MAIL FROM:<a@elsewhere.invalid>")
        c.send(b"".join(b"RCPT TO:<u%d@example.test>\r\n" % i for i in range(102)))
        seen["limits.recipients"] = [c.reply().code for _ in range(102)].count("250")
    for key, line in (("limits.errors", "BOGUS"), ("limits.refused_recipients", "RCPT TO:<x@far.invalid>")):
        with Client(g.smtp) as c:
            c.hello()
            c.cmd("MAIL FROM:<a@elsewhere.invalid>")
            seen[key] = until_421(c, line)
    with Client(g.smtp) as c:
        c.hello()
        seen["limits.messages_per_session"] = 0
        while seen["limits.messages_per_session"] < 4 and c.cmd("MAIL FROM:<a@elsewhere.invalid>").code == "250":
            must(c.cmd("RCPT TO:<bob@example.test>").code == "250" and c.data(MESSAGE).code == "250", "a message", c.all)
            seen["limits.messages_per_session"] += 1
    with Client(g.smtp) as c:
        c.hello()
        c.cmd("MAIL FROM:<a@elsewhere.invalid>")
        for key, rcpt in (("domains gone", "x@old.test"), ("domains new", "ann@new.test"), ("domains.validate", "nobody@new.test"),
                          ("policy.rules", "away@example.test")):
            seen[key] = c.cmd("RCPT TO:<%s>" % rcpt).code
    return seen


def look_at_content(g):
    many = b"".join(b"Received: from a by b; x\r\n" for _ in range(11))
    seen = {"limits.hops": deliver(g, many + MESSAGE), "limits.headers": deliver(g, b"X-Fill: %s\r\n" % (b"x" * 900) * 20 + MESSAGE),
            "limits.bare_newline": deliver(g, b"X: y\r\n\r\nbare\nlf\r\n")}
    with Client(g.smtp) as c:
        c.hello()
        c.envelope()
        seen["limits.bare_newline_bdat"] = c.bdat(b"X: y\r\n\r\nbare\nlf\r\n", last=True).code
    return seen


def look_at_message(g, sink):
    had = len(sink.messages)
    must(deliver(g, FIELDS + MESSAGE) == "250", "a message")
    head = sink.messages[had].data.split(b"\r\n\r\n")[0].decode().replace("\r\n\t", " ").replace("\r\n ", " ")
    names = [l.split(":")[0] for l in head.split("\r\n")]
    results = re.findall(r"Authentication-Results: ([^;]*);", head)
    return {"headers.received": "Received" in names, "headers.verdict": "X-Glacis-Verdict" in names,
            "headers.strip": ("X-Strip-Me" in names, "X-MS-Exchange-Organization-SCL" in names),
            "headers.add": re.findall(r"X-Added: (.*)", head.replace("\r", "")), "groups": "X-Friend" in names,
            "headers.authserv_id": results, "identity": b"XFORWARD" in b"".join(sink.commands())}


def ends(g, key, patience):
    """How a session ends within that time that is silent, or trickles: at commands, in a command, in content."""
    with Client(g.smtp) as c:
        c.hello()
        if key == "limits.data_timeout":
            c.envelope()
            c.cmd("DATA")
            c.send(b"X: y\r\n")
        until, seen = time.monotonic() + patience, b""
        c.sock.settimeout(0.2)
        while time.monotonic() < until and not seen:
            with contextlib.suppress(socket.timeout):
                seen = c.sock.recv(100)
            with contextlib.suppress(OSError):
                c.send(b"x" if key == "limits.command_deadline" else b"")
        return seen[:3].decode()


def trickled(g, content):
    """How a session ends that always sends something, in content or in commands."""
    with Client(g.smtp) as c:
        c.hello()
        if content:
            c.envelope()
            c.cmd("DATA")
        c.sock.settimeout(0.2)
        seen, until = b"", time.monotonic() + 15
        while b"421" not in seen and time.monotonic() < until:
            with contextlib.suppress(OSError):
                c.send(b"x\r\n" if content else b"NOOP\r\n")
            with contextlib.suppress(socket.timeout):
                seen += c.sock.recv(1000) + (time.sleep(0.2) or b"")
        return "421" if b"421 4.4.2" in seen else seen.decode()


def look_at_sessions(g, sink, patience):
    with Together() as both:
        for key in ("limits.command_timeout", "limits.command_deadline", "limits.data_timeout"):
            both.add(key, ends, g, key, patience)
        both.add("replies", look_at_replies, g)
        both.add("content", look_at_content, g)
    seen = {**both.seen, **both.seen["replies"], **both.seen["content"], **look_at_message(g, sink)}
    had = len(sink.commands("RCPT TO:<NOBODY@"))
    for _ in range(2):
        must(deliver(g, rcpts=("nobody@example.test",)) == "550 5.1.1", "an unknown recipient")
    seen["upstreams.remember_unknown"] = len(sink.commands("RCPT TO:<NOBODY@")) - had
    seen["admin.token"] = g.http("/metrics")[0]
    return seen


@shows("server.greet_delay: a reload changes it, for clients that are judged by address")
def greet_delay(w):
    text = w.config(w.sink(), server="private_clients: judge")
    g = w.glacis(text)
    must(min(time_to_greet(g) for _ in range(3)) < 0.22, "at once before the reload")
    reload(g, text.replace("greet_delay: 0ms", "greet_delay: 250ms"))
    must(min(time_to_greet(g) for _ in range(3)) > 0.22, "delayed after it")


@shows("server, limits, smtp, headers, domains, groups, rules, log: one reload changes them all for new sessions, none for an old one")
def sessions(w):
    first = w.sink(name="first.sink.test")
    second = w.sink(name="second.sink.test", keywords=["SIZE", "SMTPUTF8", "8BITMIME", "XFORWARD NAME ADDR"])
    for sink in (first, second):
        sink.rules = [{"at": "RCPT", "match": "nobody", "reply": "550 5.1.1 no such user"}]
    ports = {"port": free_port(), "more": free_port(), "first": first.port, "second": second.port}
    with open(os.path.join(w.dir, "people"), "w", encoding="ascii") as f:
        f.write("ann@new.test\n")
    plain, other = (re.sub(r"%\((\w+)\)d", lambda m: str(ports[m.group(1)]), t) for t in (PLAIN, OTHER))
    g = w.glacis(plain)
    wait_for(lambda: any(o.startswith("SMTPUTF8") for o in offers(g)), 10, "the server's keywords")
    compare(look_at_sessions(g, first, 1.5), {
        "server.banner": "mx.glacis.test ESMTP", "server.hostname": "mx.glacis.test",
        "size": ["SIZE 52428800"], "smtp.chunking": True, "smtp.smtputf8": True, "xclient": False, "limits.recipients": 102,
        "limits.errors": 21, "limits.refused_recipients": 51, "limits.messages_per_session": 4, "domains gone": "250",
        "domains new": "550", "policy.rules": "250", "limits.hops": "250", "limits.headers": "250",
        "limits.bare_newline": "550 5.6.11", "limits.bare_newline_bdat": "250", "headers.received": True,
        "headers.verdict": True, "headers.strip": (True, False), "headers.add": ["forged"], "groups": False,
        "headers.authserv_id": ["mx.glacis.test", "partner.test"], "identity": False, "upstreams.remember_unknown": 1,
        "admin.token": 200, "limits.command_timeout": "", "limits.command_deadline": "", "limits.data_timeout": ""},
        "before the reload")
    held = Held(g)
    reload(g, other.replace("{dir}", g.dir).replace(g.dir + "/people", w.dir + "/people"))
    compare(look_at_sessions(g, second, 15), {
        "server.banner": "mx2.glacis.test at your service", "server.hostname": "mx2.glacis.test",
        "size": ["SIZE 65536"], "smtp.chunking": False, "smtp.smtputf8": False, "xclient": True, "limits.recipients": 100,
        "limits.errors": 4, "limits.refused_recipients": 3, "limits.messages_per_session": 2, "domains gone": "550",
        "domains new": "250", "domains.validate": "550", "policy.rules": "550", "limits.hops": "554 5.4.6",
        "limits.bare_newline": "250", "headers.received": False, "headers.verdict": False, "headers.strip": (False, True),
        "headers.add": ["127.0.0.1 mx2.glacis.test"], "groups": True, "headers.authserv_id": ["elsewhere.test", "mx.glacis.test"],
        "identity": True, "upstreams.remember_unknown": 2, "admin.token": 401, "limits.command_timeout": "421",
        "limits.command_deadline": "421", "limits.data_timeout": "421"}, "after the reload")
    held.ends_well(first)
    with open(os.path.join(g.dir, "new.log"), encoding="ascii") as f:
        log = "".join(l for l in f if not l.startswith("{"))    # those are of the session that was held
    must(re.search(r"^\S+Z info txn process=worker .* from=@elsewhere.invalid ", log, re.M), "log.to, log.format", log[-500:])
    must(re.search(r"^\S+Z debug command .* verb=MAIL$", log, re.M) and "alice" not in log, "log.level, log.addresses", log[-500:])
    must(Client(("127.0.0.1", ports["more"])).greeting.code == "220", "the listener that was added")
    reload(g, plain + "limits: {data_deadline: 1s, session_timeout: 2s}\n")
    with Together() as both:
        both.add("limits.data_deadline", trickled, g, True)
        both.add("limits.session_timeout", trickled, g, False)
    compare(both.seen, {"limits.data_deadline": "421", "limits.session_timeout": "421"}, "by a second reload")


# ---- processes ----

FRAME = """server:
  hostname: mx.glacis.test
  listen: [%s]
  user: %s
  state_dir: {dir}/%s
  spool_dir: {dir}/%s
  drain_timeout: %s
  greet_delay: 0ms
  workers: %d
  sandbox: %s
upstreams:
  inner: {servers: ["127.0.0.1:%d"], tls: off}
domains: {example.test: inner}
policy: {preset: none, rules: []}
limits: {connections: %d, spool_memory: 4KiB}
dns: {self_test: off}
admin: {listen: "127.0.0.1:%d"}
"""


def refused(port):
    try:
        Client(("127.0.0.1", port), timeout=5).close()
        return False
    except ConnectionRefusedError:
        return True


def spools(g):
    """Folders of the files that the workers have open."""
    out = set()
    for pid in g.children("glacis-worker"):
        with contextlib.suppress(OSError):
            for fd in os.listdir("/proc/%d/fd" % pid):
                target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
                if target.endswith(" (deleted)") and target.startswith(g.dir):
                    out.add(target[len(g.dir) + 1:].split("/")[0])
    return out


def user_of(pid):
    with contextlib.suppress(OSError), open("/proc/%d/status" % pid, encoding="latin-1") as f:
        return int(re.search(r"^Uid:\t(\d+)", f.read(), re.M).group(1))
    return None


def in_a_file(g):
    """A session in the middle of a message that is too large for limits.spool_memory."""
    held = Held(g)
    held.c.cmd("DATA")
    held.c.send(b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 400)
    return held.c


@shows("addresses, folders, workers, user, sandbox, drain_timeout: a reload brings them, or says what a start must")
def processes(w):
    sink = w.sink()
    one, two, first, second = (free_port() for _ in range(4))
    listens = ['"127.0.0.1:%d", "127.0.0.1:%d"' % (one, two), '"127.0.0.1:%d"' % one]
    user = "nobody" if os.getuid() == 0 else "root"
    g = w.glacis(FRAME % (listens[0], "root", "state", "spool-a", "1m", 1, "true", sink.port, 20000, first))
    wait_for(lambda: g.http("/readyz")[0] == 200, 10, "ready")
    old = in_a_file(g)
    wait_for(lambda: spools(g) == {"spool-a"}, 5, "server.spool_dir")
    must(not refused(two), "two addresses")
    said = reload(g, FRAME % (listens[0], "root", "state", "spool-b", "1s", 2, "true", sink.port, 20000, first))
    must(said == "ok generation 2\n", "nothing needs a restart", said)
    must(len(g.children("glacis-worker")) == 3, "server.workers: two, and the one that drains", g.children("glacis-worker"))
    new = in_a_file(g)
    wait_for(lambda: spools(g) == {"spool-a", "spool-b"}, 5, "server.spool_dir after the reload")
    g.write(FRAME % (listens[1], user, "other", "spool-c", "1s", 1, "false", sink.port, 1000000, second))
    done = subprocess.run([g.program, "reload", "-c", g.path], capture_output=True, text=True, timeout=60, check=False)
    must(done.returncode == 69 and "--control OLD/control" in done.stderr, "the file names a new state_dir: a hint", done)
    done = subprocess.run([g.program, "reload", "--control", os.path.join(g.dir, "state", "control")], capture_output=True, text=True,
                          timeout=60, check=False)
    must(done.returncode == 0 and "server.sandbox: the supervisor keeps its filter" in done.stdout and
         "limits.connections: the table of clients keeps its size" in done.stdout, "what needs a restart is said", done)
    must(len(g.events("restart_needed")) == 2, "and logged", g.events("restart_needed"))
    g.read_ready()
    must(refused(two), "the address that was dropped refuses at once, though sessions drain")
    done = subprocess.run([g.program, "status", "-c", g.path], capture_output=True, check=False)
    must(done.returncode == 0, "status by the new state_dir", done)
    must(not os.path.exists(os.path.join(g.dir, "state", "control")), "the old control socket is gone")
    wait_for(lambda: refused(first) and g.http("/healthz")[0] == 200, 5, "admin.listen")
    must(new.reply(10).code == "421", "server.drain_timeout of its own generation")
    old.send(b".\r\n")
    must(old.reply().code == "250" and len(sink.messages) == 1, "the session with a longer one ends well")
    must(deliver(g) == "250", "mail")
    if os.getuid() == 0:
        last = in_a_file(g)
        wait_for(lambda: spools(g) == {"spool-c"}, 5, "the spool of another user")
        must(65534 in [user_of(p) for p in g.children("glacis-worker")], "server.user")
        last.close()


# ---- upstreams ----

UPSTREAMS = """server:
  hostname: mx.glacis.test
  listen: ["127.0.0.1:%d"]
  user: root
  state_dir: {dir}/state
  greet_delay: 0ms
  workers: 1
upstreams:
%s
domains:
%s
policy: {preset: none, rules: []}
dns: {self_test: off}
admin: {listen: "127.0.0.1:0"}
log: {level: warn}
"""
# name, the keys before, the keys after
KINDS = [("idle", "", "idle_timeout: 1s"), ("aged", "", "max_age: 1s"), ("counted", "", "max_messages: 1"),
         ("unkept", "", "keep_idle: off"), ("narrow", "", "connections: 1, queue_wait: 100ms"), ("impatient", "", "hold: 100ms"),
         ("mute", "", "timeouts: {command: 1s}"), ("late", "", "timeouts: {final_reply: 1s}"),
         ("rated", "rate: 1/1h, queue_wait: 100ms", "rate: 1000/1s"), ("spread", "", "balance: round_robin"),
         ("kinded", "", "kind: exchange"), ("healthy", "health: {interval: 1s, fall: 1}", "health: off"),
         ("probed", "health: {interval: 1h}", "health: {interval: 1s}")]


def upstream_file(port, sinks, at):
    lines = []
    for row in KINDS:
        more = [s.port for s in sinks[row[0]]]
        lines.append("  %s: {servers: [%s], tls: off%s}" % (row[0], ", ".join('"127.0.0.1:%d"' % p for p in more),
                                                            ", " + row[at] if row[at] else ""))
    return UPSTREAMS % (port, "\n".join(lines), "\n".join("  %s.test: %s" % (row[0], row[0]) for row in KINDS))


def to(name):
    return ("bob@%s.test" % name,)


def mailed(g, sink, name, pause=0.0):
    """How many connections two messages needed."""
    must(deliver(g, rcpts=to(name)) == "250", "a message to %s" % name)
    time.sleep(pause)
    must(deliver(g, rcpts=to(name)) == "250", "a second one")
    return len({m.conn.number for m in sink.messages[-2:]})


def answers_within(g, name, seconds):
    """What a message to it is answered within that time; empty: nothing yet."""
    with Client(g.smtp) as c:
        c.hello()
        c.cmd("MAIL FROM:<a@elsewhere.invalid>")
        c.send(b"RCPT TO:<%s>\r\nDATA\r\n" % to(name)[0].encode())
        with contextlib.suppress(Lost):
            r = c.reply(seconds)
            if r.code == "250" and c.reply(seconds).code == "354":
                c.send(MESSAGE + b".\r\n")
                r = c.reply(seconds)
            return r.code
    return ""


def spread(g, sinks):
    for _ in range(4):
        must(deliver(g, rcpts=to("spread")) == "250", "a message")
    return [len(s.messages) for s in sinks["spread"]]


def held_back(g):
    """Does a silent client lose its connection within 0.4 s?"""
    with Client(g.smtp) as c:
        c.hello()
        c.envelope(to("impatient"))
        had = g.metrics()["glacis_upstream_returned_early_total"]
        time.sleep(0.4)
        return g.metrics()["glacis_upstream_returned_early_total"] > had


def second_at_once(g, sink):
    """What a second message is answered while the server has one."""
    sink.rules = [{"at": "DOT", "delay": 0.7}]
    first = threading.Thread(target=deliver, args=(g,), kwargs={"rcpts": to("narrow")})
    first.start()
    sink.wait(lambda: sink.commands("DATA"), 5)
    code = answers_within(g, "narrow", 5)
    first.join()
    return code


def left_open(g, sink, name, patience):
    mailed(g, sink, name)
    return not sink.wait(lambda: not any(c.open for c in sink.connections), patience)


def look_at_upstreams(g, sinks, patience):
    with Together() as all_:
        all_.add("max_messages", mailed, g, sinks["counted"][0], "counted")
        all_.add("max_age", mailed, g, sinks["aged"][0], "aged", 1.1)
        all_.add("rate", lambda: [deliver(g, rcpts=to("rated"))[:3] for _ in range(2)])
        all_.add("balance", spread, g, sinks)
        all_.add("connections, queue_wait", second_at_once, g, sinks["narrow"][0])
        all_.add("idle_timeout", left_open, g, sinks["idle"][0], "idle", patience)
        all_.add("keep_idle", left_open, g, sinks["unkept"][0], "unkept", patience)
        all_.add("kind", lambda: [v for k, v in g.metrics().items() if "connections_limit" in k and '"kinded"' in k])
    return {**all_.seen, "hold": held_back(g)}


@shows("upstreams: connections, patience, balance, rate, health: one reload changes them for each, and leaves nothing of the old ones")
def upstreams(w):
    sinks = {row[0]: [w.sink() for _ in range(2 if row[0] == "spread" else 1)] for row in KINDS}
    port = free_port()
    g = w.glacis(upstream_file(port, sinks, 1))
    wait_for(lambda: g.http("/readyz")[0] == 200, 10, "ready")
    sinks["healthy"][0].pause()
    up = 'glacis_upstream_server_up{upstream="healthy",server="127.0.0.1:%d",address="127.0.0.1"}' % sinks["healthy"][0].port
    compare(look_at_upstreams(g, sinks, 1.2), {
        "max_messages": 1, "keep_idle": True, "max_age": 1, "rate": ["250", "451"], "balance": [4, 0], "hold": False,
        "connections, queue_wait": "250", "kind": [20], "idle_timeout": True}, "before the reload")
    wait_for(lambda: g.metrics()[up] == 0, 10, "health.interval, health.fall: down")
    probes = len(sinks["probed"][0].commands("EHLO"))
    held = Held(g, to("narrow")[0])
    for s in (s for group in sinks.values() for s in group):
        s.messages.clear()
    reload(g, upstream_file(port, sinks, 2))
    wait_for(lambda: g.metrics().get(up) == 1, 5, "health: off: not down any more")
    sinks["mute"][0].rules = [{"at": "RCPT", "then": "mute"}]
    sinks["late"][0].rules = [{"at": "DOT", "then": "mute"}]
    held.ends_well(sinks["narrow"][0])
    sinks["narrow"][0].clear()
    compare(look_at_upstreams(g, sinks, 10), {
        "max_messages": 2, "keep_idle": False, "max_age": 2, "rate": ["250", "250"], "balance": [2, 2], "hold": True,
        "connections, queue_wait": "451", "kind": [18], "idle_timeout": False}, "after the reload")
    with Together() as both:
        both.add("timeouts.command", answers_within, g, "mute", 5)
        both.add("timeouts.final_reply", answers_within, g, "late", 5)
    compare(both.seen, {"timeouts.command": "451", "timeouts.final_reply": "451"}, "after the reload")
    wait_for(lambda: len(sinks["probed"][0].commands("EHLO")) > probes, 5, "health.interval: the next probe in a second")


# ---- clients ----

CLIENTS = """server:
  hostname: mx.glacis.test
  listen: ["127.0.0.1:%d"]
  user: root
  state_dir: {dir}/state
  greet_delay: 0ms
  workers: 1
  private_clients: %s
upstreams:
  inner: {servers: ["127.0.0.1:%d"], tls: off}
domains: {example.test: inner}
policy: {preset: none, rules: [{name: away, when: {recipient.local: away}, then: reject}]}
mode: %s
limits: {%s}
dns: {self_test: off, servers: ["127.0.0.1:1"], timeout: 100ms, attempts: 1}
admin: {listen: "127.0.0.1:0"}
"""


def greetings(g, source, count):
    """Codes of so many connections at once; empty for one closed without a word."""
    clients, codes = [], []
    for _ in range(count):
        c = Client(g.smtp, source=source, greet=False)
        clients.append(c)
        try:
            codes.append(c.reply().code)
        except Lost:
            codes.append("")
    for c in clients:
        c.close()
    wait_for(lambda: g.metrics()["glacis_sessions"] == 0, 5, "all gone")
    return codes


def look_at_clients(g):
    seen = {"limits.connections_per_client": greetings(g, "127.0.3.1", 3), "limits.connection_rate": greetings(g, "127.0.3.2", 2)
            + greetings(g, "127.0.3.2", 2), "limits.message_rate": [deliver(g, source="127.0.3.3")[:3] for _ in range(2)],
            "mode": deliver(g, rcpts=("away@example.test",), source="127.0.3.5")[:3]}
    with contextlib.suppress(Lost), Client(g.smtp, source="127.0.3.4") as c:
        for _ in range(3):
            c.cmd("GET / HTTP/1.1")     # 10 points, and the end of the session
    seen["limits.ban"] = greetings(g, "127.0.3.4", 1)
    return seen


@shows("clients: numbers, rates, bans, private_clients, mode: a reload tightens them, and loosens them at once")
def clients(w):
    sink, port = w.sink(), free_port()
    tight = "connections_per_client: 2, connection_rate: 3/1h, message_rate: 1/1d, ban: {points: 10, within: 1h, for: 1d}"
    free = {"limits.connections_per_client": ["220"] * 3, "limits.connection_rate": ["220"] * 4, "limits.message_rate": ["250"] * 2,
            "mode": "550", "limits.ban": ["220"]}
    bound = {"limits.connections_per_client": ["220", "220", "421"], "limits.connection_rate": ["220", "220", "220", "421"],
             "limits.message_rate": ["250", "451"], "mode": "550", "limits.ban": ["421"]}
    g = w.glacis(CLIENTS % (port, "judge", sink.port, "enforce", "connections: off"))
    wait_for(lambda: g.http("/readyz")[0] == 200, 10, "ready")
    compare(look_at_clients(g), free, "before the reload")
    reload(g, CLIENTS % (port, "judge", sink.port, "enforce", tight))
    compare(look_at_clients(g), bound, "tightened")
    reload(g, CLIENTS % (port, "judge", sink.port, "monitor", tight))
    seen = look_at_clients(g)
    compare(seen, {**free, "limits.connections_per_client": bound["limits.connections_per_client"], "mode": "250"}, "mode: monitor")
    reload(g, CLIENTS % (port, "exempt", sink.port, "enforce", tight))
    compare(look_at_clients(g), free, "private_clients: exempt")
    reload(g, CLIENTS % (port, "judge", sink.port, "enforce", "connections_per_client: 3, connection_rate: 1000/1s, "
                         "message_rate: 1000/1s, "
                         "ban: {points: 1000, within: 1s, for: 1s}"))
    for host in range(1, 6):    # what they have used up counts as a second's thousand: room again a millisecond later
        greetings(g, "127.0.3.%d" % host, 1)
    with Client(g.smtp, source="127.0.3.3") as c:
        c.hello()
        c.envelope()
    compare({k: v for k, v in look_at_clients(g).items() if k != "limits.ban"}, {k: v for k, v in free.items() if k != "limits.ban"},
            "loosened")
    reload(g, CLIENTS % (port, "judge", sink.port, "enforce", "connections: 2, ban: off"))
    must(greetings(g, "127.0.3.6", 3) == ["220", "220", "421"], "limits.connections")
    must(greetings(g, "127.0.3.4", 1) == ["220"], "limits.ban: off lifts a ban")


# ---- DNS, SPF, lists, policy ----

POLICY = """server:
  hostname: mx.glacis.test
  listen: ["127.0.0.1:%(port)d"]
  user: root
  state_dir: {dir}/state
  greet_delay: 0ms
  workers: 1
  private_clients: judge
upstreams:
  inner: {servers: ["127.0.0.1:%(sink)d"], tls: off}
domains: {example.test: inner}
admin: {listen: "127.0.0.1:0"}
limits: {ban: off}
"""
ASKED = """    - {name: lists, when: {reputation.listed: true}, then: {score: 1}}
    - {name: vouched, when: {spf: [fail, pass]}, then: {score: 1}}
    - {name: fresh, when: {zero_day.suspect: true}, then: {score: 1}}
    - {name: away, when: {recipient.local: away}, then: reject, reply: "550 5.7.1 No. {policy.contact}"}
    - {name: grey, when: {recipient.local: grey}, then: greylist}
"""
BEFORE = """dns: {servers: ["%(one)s"], timeout: 200ms, attempts: 2, self_test: off}
zero_day: {learn_for: off, fresh_client: off, fresh_domain: off}
policy:
  preset: none
  contact: "https://one.test/"
  rules:
""" + ASKED + """reputation:
  guard: {sample: 0%%, probe_interval: off, canaries: []}
  lists:
    - {name: bl, zone: bl.test, probe: off}
    - {name: dbl, zone: dbl.test, looks_up: sender, probe: off}
    - {name: six, zone: six.test, families: [ipv6], probe: off}
    - {name: quiet, zone: quiet.test, mode: off, probe: off}
"""
AFTER = """dns: {servers: ["%(two)s"], timeout: 200ms, attempts: 1, self_test: 1m,
      cache: {max_ttl: 1s, negative_ttl: 1s, failure_ttl: 0s}}
zero_day: {learn_for: off, fresh_client: 24h, fresh_domain: 24h, burst: off}
greylist: {delay: 20m30s}
spf: {identities: [mailfrom], weak_pass: off}
dkim: {verify: false}
headers: {received_spf: true}
policy:
  preset: none
  contact: "https://two.test/"
  rules:
""" + ASKED + """  message_rules: [{name: sized, when: {message.size: "> 1"}, then: {tag: {X-Sized: "{message.size}"}}}]
reputation:
  threshold: 5
  guard: {sample: 0%%, probe_interval: off, canaries: []}
  lists:
    - {name: bl, zone: other.test, answers: {"127.0.0.9": 5}, error_answers: ["127.0.0.2"], probe: off}
    - {name: dbl, zone: dbl.test, looks_up: helo, probe: off}
    - {name: six, zone: six.test, families: [ipv4], probe: off}
    - {name: quiet, zone: quiet.test, mode: monitor, probe: off}
"""
LAST = """dns: {servers: ["%(two)s"], self_test: off, timeout: 10s, attempts: 1}
headers: {authentication_results: false}
spf: {timeout: 1s}
policy: {preset: spf-first, default: defer, reject_at: earliest, override: {spf-fail: {mode: monitor}},
         before: [{name: friend, when: {sender.address: friend@none.test}, then: accept},
                  {name: late, when: {spf: temperror}, then: accept}],
         after: [{name: pest, when: {sender.address: pest@none.test}, then: reject}]}
"""


def names():
    """A server with the names of these tests."""
    dns = DnsServer().start()
    for name, text in (("weak.test", "v=spf1 +all"), ("helo.test", "v=spf1 -all"), ("strict.test", "v=spf1 -all")):
        dns.add(name, "TXT", text)
    for name in ("none.test", "weak.test", "strict.test"):
        dns.add(name, "A", "127.0.4.9")
    for name, answer in (("2.4.0.127.bl.test", 2), ("2.4.0.127.other.test", 2), ("3.4.0.127.other.test", 9), ("none.test.dbl.test", 2),
                         ("bad.test.dbl.test", 2), ("3.4.0.127.six.test", 2), ("3.4.0.127.quiet.test", 2)):
        dns.add(name, "A", "127.0.0.%d" % answer)
    dns.fault("silent.test", "silent")
    dns.fault("slow.test", "slow")
    dns.delay = 8
    return dns


def judged(g, sink, host, sender, helo):
    """The header of the message that arrives."""
    had = len(sink.messages)
    code = deliver(g, sender=sender, source="127.0.4.%d" % host, helo=helo)
    must(code == "250", "accepted", code)
    return sink.messages[had].data.split(b"\r\n\r\n")[0].decode().replace("\r\n\t", " ").replace("\r\n ", " ")


def tests_of(head):
    others = ("CLIENT_", "HELO_", "IPREV_", "SENDER_", "RULE_")
    found = {f: re.findall(r" ([^ ,]+),", t) for f, t in re.findall(r"X-Glacis-(Tests|Monitor):( .*)", head)}
    return {t for t in found.get("Tests", []) if not t.startswith(others)} | {"watched " + t for t in found.get("Monitor", [])}


def look_at_policy(g, sink, dns):
    seen = {"self_test": dns.asked() > 0}
    dns.clear()
    head = judged(g, sink, 2, "a@none.test", "bad.test")
    seen["a listed client"] = sorted(tests_of(head))
    seen["headers.received_spf"], seen["message_rules"] = "Received-SPF:" in head, "X-Sized:" in head
    seen["another one"] = sorted(tests_of(judged(g, sink, 3, "a@weak.test", "good.test")))
    seen["spf.identities"] = sorted(t for t in tests_of(judged(g, sink, 5, "", "helo.test")) if t.startswith("SPF_") and "HELO" not in t)
    time.sleep(1.1)
    judged(g, sink, 3, "a@weak.test", "good.test")
    judged(g, sink, 2, "a@none.test", "bad.test")
    seen["dns.cache"] = (dns.asked("weak.test", "TXT"), dns.asked("none.test", "TXT"))
    judged(g, sink, 5, "a@silent.test", "good.test")
    seen["dns.attempts"] = dns.asked("silent.test", "TXT")
    with Client(g.smtp, source="127.0.4.6") as c:
        c.hello()
        away, grey = c.envelope(("away@example.test", "grey@example.test"))[1:]
        seen["policy.contact"] = re.findall(r"https://\S+", away.text)
        seen["greylist.delay"] = re.findall(r"again in (\d+)m", grey.text)
    return seen


@shows("dns, spf, reputation, zero_day, greylist, policy, headers: one reload changes what is asked, what it means, and the texts")
def judgement(w):
    sink, one, two = w.sink(), names(), names()
    w.dns += [one, two]
    values = {"port": free_port(), "sink": sink.port, "one": one.address, "two": two.address}
    g = w.glacis((POLICY + BEFORE) % values)
    wait_for(lambda: g.http("/readyz")[0] == 200 and g.events("snapshot"), 10, "ready")
    compare(look_at_policy(g, sink, one), {
        "self_test": False, "a listed client": ["DKIM_NONE", "DMARC_PERMERROR", "LIST_bl", "LIST_dbl", "REPUTATION_LISTED", "SPF_NONE"],
        "another one": ["DKIM_NONE", "DMARC_PERMERROR", "SPF_NEUTRAL", "SPF_WEAK"],
        "spf.identities": ["SPF_FAIL"], "headers.received_spf": False, "message_rules": False, "dns.cache": (1, 1), "dns.attempts": 2,
        "policy.contact": ["https://one.test/"], "greylist.delay": ["5"]}, "before the reload")
    asked = one.asked()
    reload(g, (POLICY + AFTER) % values)
    new = ["ZERO_DAY_FRESH_CLIENT", "ZERO_DAY_FRESH_DOMAIN"]
    wait_for(lambda: two.asked() > 0, 5, "dns.self_test: at the start of a generation")
    compare(look_at_policy(g, sink, two), {
        "self_test": True, "a listed client": ["LIST_dbl", "REPUTATION_INCOMPLETE", "SPF_NONE", *new], "spf.identities": ["SPF_NONE"],
        "another one": ["LIST_bl", "LIST_six", "REPUTATION_LISTED", "SPF_PASS", *new, "watched LIST_quiet"],
        "headers.received_spf": True, "message_rules": True, "dns.cache": (2, 2), "dns.attempts": 1,
        "policy.contact": ["https://two.test/"], "greylist.delay": ["20"]}, "after the reload")
    must(one.asked() == asked, "dns.servers: the old one is not asked any more", one.questions[asked:])
    reload(g, (POLICY + LAST) % values)
    compare({"policy.default": deliver(g, sender="a@none.test")[:3], "policy.before": deliver(g, sender="friend@none.test"),
             "policy.after": deliver(g, sender="pest@none.test")[:3], "policy.override": deliver(g, sender="a@strict.test")[:3]},
            {"policy.default": "451", "policy.before": "250", "policy.after": "550", "policy.override": "451"}, "after the second reload")
    started, had = time.monotonic(), g.metrics()['glacis_spf_results_total{result="temperror"}']
    must(deliver(g, sender="a@slow.test") == "250" and time.monotonic() - started < 6, "spf.timeout", time.monotonic() - started)
    must(g.metrics()['glacis_spf_results_total{result="temperror"}'] == had + 1, "temperror")
    must(b"Authentication-Results" not in sink.messages[-1].data, "headers.authentication_results", sink.messages[-1].data)


# ---- TLS ----

def handshake(g, ca, version, ciphers=None):
    """What a client of this version gets: version and cipher, or no TLS."""
    context = ca.context(version)
    if ciphers:
        context.set_ciphers(ciphers)
    with TlsClient(g.smtp) as c:
        c.hello()
        try:
            c.starttls(context)
        except (ssl.SSLError, OSError, RuntimeError):
            return ""
        return c.sock.version()


def look_at_tls(g, ca, patience):
    seen = {"tls.min_version": handshake(g, ca, ssl.TLSVersion.TLSv1_2), "1.3": handshake(g, ca, ssl.TLSVersion.TLSv1_3),
            "tls.ciphers": handshake(g, ca, ssl.TLSVersion.TLSv1_2, "ECDHE+CHACHA20"), "tls.mode": deliver(g),
            "tls.not_offered_to": "STARTTLS" in Client(g.smtp, source="127.0.0.7").hello().text}
    with TlsClient(g.smtp) as c:
        c.hello()
        c.starttls(ca.context())
        seen["tls.certificate"] = c.sock.getpeercert()["serialNumber"]
    with Client(g.smtp) as c:
        c.hello()
        c.cmd("STARTTLS")
        try:
            seen["tls.handshake_timeout"] = c.rest(patience)
        except Lost:
            seen["tls.handshake_timeout"] = None
    return seen


@shows("tls: certificate, mode, versions, ciphers, patience, exceptions: two reloads change them; a session in TLS goes on")
def tls(w):
    ca, sink, port = Authority(os.path.join(w.dir, "ca")), w.sink(), free_port()
    pairs = [ca.leaf(n, ec=True) for n in ("first", "second")]
    serials = [openssl("x509", "-noout", "-serial", "-in", p[0]).decode().strip().split("=")[1] for p in pairs]
    base = w.config(sink, 'groups: {broken: ["127.0.0.7"]}\n').replace('"127.0.0.1:0"]\n  user', '"127.0.0.1:%d"]\n  user' % port)

    def file(pair, more):
        return base + "tls:\n  certificate: %s\n  private_key: %s\n%s" % (*pair, more)
    g = w.glacis(file(pairs[0], ""))
    wait_for(lambda: g.http("/readyz")[0] == 200, 10, "ready")
    compare(look_at_tls(g, ca, 1.3), {
        "tls.min_version": "TLSv1.2", "1.3": "TLSv1.3", "tls.ciphers": "TLSv1.2", "tls.mode": "250", "tls.not_offered_to": True,
        "tls.certificate": serials[0], "tls.handshake_timeout": None}, "before the reload")
    with TlsClient(g.smtp) as held:
        held.hello()
        held.starttls(ca.context())
        held.hello()
        held.envelope()
        reload(g, file(pairs[1], "  mode: required\n  ciphers: ECDHE+AESGCM\n  handshake_timeout: 1s\n  not_offered_to: group:broken\n"))
        compare(look_at_tls(g, ca, 10), {
            "tls.min_version": "TLSv1.2", "1.3": "TLSv1.3", "tls.ciphers": "", "tls.mode": "530 5.7.0", "tls.not_offered_to": False,
            "tls.certificate": serials[1], "tls.handshake_timeout": b""}, "after the reload")
        must(held.data(MESSAGE).code == "250", "the session over the reload delivers")
    reload(g, file(pairs[1], '  min_version: "1.3"\n'))
    compare({"1.2": handshake(g, ca, ssl.TLSVersion.TLSv1_2), "1.3": handshake(g, ca, ssl.TLSVersion.TLSv1_3)},
            {"1.2": "", "1.3": "TLSv1.3"}, "tls.min_version")


if __name__ == "__main__":
    run(beside=3)
