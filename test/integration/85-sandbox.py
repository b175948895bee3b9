#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""85-sandbox.py - the filters of system calls: every process has one, and normal work never trips it.

What is forbidden really fails or kills: test/unit/proxy/test_sandbox.c.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import Skip, must, run, shows
from client import Client, Lost, wait_for
from tlsclient import Authority, TlsClient

LINE = b"0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n"
LARGE = b"Subject: large\r\n\r\n" + LINE * 15000        # 1.1 MiB: into a file
SMALL = b"Subject: small\r\n\r\nhello\r\n"
DENIED = "glacis_sandbox_denied_total"


def status_of(pid):
    with open("/proc/%d/status" % pid, encoding="latin-1") as f:
        return dict(l.split(":\t", 1) for l in f.read().splitlines() if ":\t" in l)


def limits_of(pid):
    with open("/proc/%d/limits" % pid, encoding="latin-1") as f:
        return {l[:26].strip(): l[26:47].strip() for l in f.read().splitlines()[1:]}


def kernel_has_filters():
    if "Seccomp_filters" not in status_of(os.getpid()):
        raise Skip("this kernel does not count filters")


def inherited():
    return int(status_of(os.getpid())["Seccomp_filters"])


def deliver(g, sink, content=SMALL, bdat=False):
    had = len(sink.messages)
    with Client(g.smtp) as c:
        c.hello()
        codes = [r.code for r in c.envelope()]
        codes.append((c.bdat(content, True) if bdat else c.data(content)).code)
        must(codes == ["250", "250", "250"], "a message accepted", codes)
        must(len(sink.messages) == had + 1, "one more at the upstream", len(sink.messages) - had)
        c.cmd("QUIT")


def not_tripped(g):
    must(DENIED in g.metrics(), "the counter", sorted(g.metrics())[:5])
    must(g.metrics()[DENIED] == 0, "no call refused", g.events("sandbox_denied"))
    must(not g.events("sandbox_denied") and not g.events("sandbox_off"), "nothing logged", g.log_text()[-1000:])
    must(not [e for e in g.events("process_died") if e.get("signal") == signal.SIGSYS], "nobody killed", g.events("process_died"))


def each_process(g):
    return [(g.process.pid, 1)] + [(p, 2) for p in g.children("glacis-worker") + g.children("glacis-recorder")]


@shows("supervisor, workers and recorder run under filters, with no_new_privs, workers without capabilities and cores")
def everyone_has_one(w):
    kernel_has_filters()
    g = w.glacis(w.config(w.sink()))
    must(len(each_process(g)) == 4, "4 processes", each_process(g))
    for pid, filters in each_process(g):
        s = status_of(pid)
        must(s["Seccomp"].strip() == "2" and int(s["Seccomp_filters"]) == inherited() + filters, "%d more filters" % filters, s)
        must(s["NoNewPrivs"].strip() == "1", "no_new_privs", s["NoNewPrivs"])
        caps = int(s["CapPrm"], 16) | int(s["CapEff"], 16) | int(s["CapInh"], 16) | int(s["CapAmb"], 16)
        if filters == 2:
            must(caps == 0, "no capabilities, although server.user is root", "%x" % caps)
            must(limits_of(pid)["Max core file size"] == "0", "no core", limits_of(pid))
        else:   # CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID, NET_BIND_SERVICE
            must(caps & ~0x4e3 == 0, "six capabilities at most", "%x" % caps)
    not_tripped(g)


@shows("server.sandbox: false is a warning and no filter")
def switched_off(w):
    kernel_has_filters()
    sink = w.sink()
    g = w.glacis(w.config(sink, server="sandbox: false"))
    for pid, _ in each_process(g):
        must(int(status_of(pid)["Seccomp_filters"]) == inherited(), "no filter", status_of(pid)["Seccomp_filters"])
    must(g.events("sandbox_off"), "a warning", g.log_text()[-1000:])
    deliver(g, sink)


@shows("messages small, large (spooled to a file), in chunks; reloads, SIGUSR1, a new recorder, workers replaced, a drain")
def normal_work(w):
    sink = w.sink()
    log = os.path.join(w.dir, "file.log")
    g = w.glacis(w.config(sink, "limits: {spool_memory: 64KiB}\nlog: {to: 'file:%s'}" % log))
    for content in (SMALL, LARGE):
        deliver(g, sink, content)
        deliver(g, sink, content, bdat=True)
    os.rename(log, log + ".1")
    g.signal(signal.SIGUSR1)
    wait_for(lambda: os.path.exists(log), 5, "a new log file")
    for number in range(3):
        answer = subprocess.run([g.program, "reload", "-c", g.path], capture_output=True, text=True, timeout=30, check=False)
        must(answer.returncode == 0, "reload %d" % number, answer)
        deliver(g, sink)
    g.write("nonsense: [")
    g.signal(signal.SIGHUP)
    subprocess.run([g.program, "status", "-c", g.path, "--control", os.path.join(g.dir, "state", "control")],
                   capture_output=True, timeout=20, check=False)
    for name in ("glacis-worker", "glacis-recorder"):
        for pid in g.children(name):
            with contextlib.suppress(ProcessLookupError):   # of an older generation, that has drained by now
                os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(g.children("glacis-worker")) == 2 and g.http("/healthz")[0] == 200, 15, "everything again")
    deliver(g, sink, LARGE)
    metrics = g.metrics()
    must(metrics.get(DENIED) == 0, "no call refused", metrics.get(DENIED))
    must(g.stop() == 0, "exit status 0", g.process.returncode)
    for path in (log, log + ".1"):
        with open(path, encoding="ascii") as f:
            text = f.read()
        must("sandbox_" not in text and '"signal":31' not in text, "nothing tripped in %s" % os.path.basename(path), text[-2000:])


@shows("many connections, half of them broken off")
def many_connections(w):
    sink = w.sink()
    g = w.glacis(w.config(sink, "limits: {connections_per_client: 2000}"))
    clients = []
    for number in range(400):
        try:
            c = Client(g.smtp, greet=number % 2 == 0)
            clients.append(c)
        except (OSError, Lost):
            pass
    must(len(clients) > 350, "most are served", len(clients))
    for number, c in enumerate(clients):
        if number % 3 == 0:
            c.reset()
        else:
            c.close()
    deliver(g, sink)
    time.sleep(1.1)     # one beat: what was refused would be said
    not_tripped(g)
    must(g.stop() == 0, "exit status 0", g.process.returncode)


@shows("a dropped user: workers and recorder have no capability, spool and log, and nothing is tripped")
def dropped_user(w):
    if os.getuid() != 0:
        raise Skip("needs root")
    sink = w.sink()
    g = w.glacis(w.config(sink, "limits: {spool_memory: 64KiB}").replace("user: root", "user: nobody"))
    deliver(g, sink, LARGE)
    answer = subprocess.run([g.program, "reload", "-c", g.path], capture_output=True, text=True, timeout=30, check=False)
    must(answer.returncode == 0, "reload", answer)
    deliver(g, sink, LARGE)
    not_tripped(g)
    must(g.stop() == 0, "exit status 0", g.process.returncode)


@shows("an upstream that is away, and one by a name nobody resolves: dialling and the DNS are within the filter")
def dialling_and_dns(w):
    sink = w.sink()
    g = w.glacis(w.config(sink).replace('"127.0.0.1:%d"' % sink.port, '"127.0.0.1:%d", "127.0.0.1:9", "nowhere.invalid:25"' % sink.port))
    deliver(g, sink)
    time.sleep(2)
    not_tripped(g)


@shows("TLS: full handshakes, resumption, a certificate that is renewed by a reload")
def with_tls(w):
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    ca = Authority(os.path.join(w.dir, "ca"))
    sink = w.sink()
    tls = "tls:\n  certificate: %s\n  private_key: %s\n"
    g = w.glacis(w.config(sink, tls % ca.leaf("first")))

    def in_tls():
        c = TlsClient(g.smtp)
        c.hello()
        c.starttls(ca.context())
        c.hello()
        must([r.code for r in c.envelope()] + [c.data(SMALL).code] == ["250", "250", "250"], "a message accepted")
        c.close()
    for _ in range(5):
        in_tls()
    g.write(w.config(sink, tls % ca.leaf("second", ec=True)))
    answer = subprocess.run([g.program, "reload", "-c", g.path], capture_output=True, text=True, timeout=30, check=False)
    must(answer.returncode == 0, "reload", answer)
    in_tls()
    not_tripped(g)


@shows("Redis: connected, away and back")
def with_redis(w):
    program = shutil.which("redis-server")
    if not program:
        raise Skip("redis-server is not installed")
    path = os.path.join(w.dir, "redis.sock")

    def redis():
        started = subprocess.Popen([program, "--port", "0", "--unixsocket", path, "--unixsocketperm", "777", "--save", "",
                                    "--dir", w.dir], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(path), 10, "redis")
        return started
    sink = w.sink()
    server = redis()
    try:
        g = w.glacis(w.config(sink, "state: {backend: redis, redis: {url: 'unix:%s'}}" % path))
        wait_for(lambda: g.metrics().get("glacis_shared_memory_up") == 2, 10, "both workers connected")
        deliver(g, sink)
        server.terminate()
        server.wait(10)
        wait_for(lambda: g.metrics().get("glacis_shared_memory_up") == 0, 10, "both know that it is away")
        deliver(g, sink)
        server = redis()
        wait_for(lambda: g.metrics().get("glacis_shared_memory_up") == 2, 20, "both connected again")
        not_tripped(g)
    finally:
        server.terminate()
        server.wait(10)


if __name__ == "__main__":
    run()
