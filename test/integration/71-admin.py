#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""71-admin.py - the admin listener against idle, slow and misled clients."""
import os
import re
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import wait_for


def dial(g):
    return socket.create_connection(g.addresses["admin"], timeout=20)


def ask(g, path, host=None, version="1.1"):
    """Status of one request with this Host."""
    with dial(g) as s:
        s.sendall(("GET %s HTTP/%s\r\n%s\r\n" % (path, version, "Host: %s\r\n" % host if host else "")).encode())
        answer = b""
        while True:
            data = s.recv(65536)
            if not data:
                break
            answer += data
    return int(answer.split(b" ")[1])


def cpu_s(pid):
    with open("/proc/%d/stat" % pid, encoding="latin-1") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@shows("C4: 500 idle connections cost no processor and no log; health is answered at once; a trickled request ends after 10 s")
def idle_connections(w):
    g = w.glacis(w.config(w.sink()))
    recorder = g.children("recorder")[0]
    slow = dial(g)
    started = time.monotonic()
    idle = [dial(g) for _ in range(40)]     # below the cap: the slow one keeps its place
    before, log = cpu_s(recorder), len(g.read_log())
    while time.monotonic() < started + 15:
        try:
            slow.sendall(b"G" if time.monotonic() < started + 1 else b"x")
            if slow.recv(1, socket.MSG_DONTWAIT) == b"":
                break
        except BlockingIOError:
            pass
        except OSError:
            break
        time.sleep(0.5)
    took = time.monotonic() - started
    must(9 <= took < 14, "closed after 10 s", took)
    for s in idle:
        s.close()
    idle = [dial(g) for _ in range(500)]
    for _ in range(20):
        at = time.monotonic()
        must(g.http("/healthz")[0] == 200, "healthy")
        must(time.monotonic() - at < 2, "at once", time.monotonic() - at)
        time.sleep(0.1)
    spent = cpu_s(recorder) - before
    must(spent < 2, "little processor time in %.0f s" % (time.monotonic() - started), spent)
    must(len(g.read_log()) - log < 2000, "few lines", g.read_log()[log:][:3000])
    for s in idle:
        s.close()


@shows("C4: Host: loopback with any port, the listener's own address, admin.names; else 421 before any page; health takes any")
def hosts(w):
    g = w.glacis(w.config(w.sink()).replace('admin: {listen: "127.0.0.1:0"}',
                                            'admin: {listen: "127.0.0.1:0", names: [glacis.example.com]}'))
    for host in ("127.0.0.1:%d" % g.addresses["admin"][1], "localhost:1", "localhost", "[::1]:18025", "glacis.example.com:443"):
        must(ask(g, "/metrics", host) == 200, "200 for %s" % host)
    for host in ("evil.example", "evil.example:8025", "glacis.example.com.evil.example", "192.0.2.1", None):
        must(ask(g, "/metrics", host) == 421 and ask(g, "/", host) == 421, "421 for %s" % host)
        must(ask(g, "/healthz", host) == 200, "health for %s" % host)
        wait_for(lambda: ask(g, "/readyz", host) == 200, 10, "ready")       # pylint: disable=cell-var-from-loop
    must(ask(g, "/metrics", None, "1.0") == 421, "421 without a Host")


@shows("C4: the admin listener without descriptors: it pauses, one log line, and serves again")
def no_descriptors(w):
    g = w.glacis(w.config(w.sink()))
    recorder = g.children("recorder")[0]
    with open("/proc/%d/limits" % recorder, encoding="ascii") as f:
        before = re.search(r"Max open files +(\d+) +(\d+)", f.read()).groups()
    import resource     # pylint: disable=import-outside-toplevel
    used = max(int(n) for n in os.listdir("/proc/%d/fd" % recorder)) + 1
    resource.prlimit(recorder, resource.RLIMIT_NOFILE, (used, int(before[1])))
    spent = cpu_s(recorder)
    waiting = [dial(g) for _ in range(30)]
    wait_for(lambda: g.events("accept_paused"), 10, "the line")
    time.sleep(2.5)
    must(cpu_s(recorder) - spent < 1, "no busy loop", cpu_s(recorder) - spent)
    must(len(g.events("accept_paused")) == 1, "one line", g.events("accept_paused"))
    for s in waiting:
        s.close()
    resource.prlimit(recorder, resource.RLIMIT_NOFILE, (int(before[0]), int(before[1])))
    must(g.http("/healthz")[0] == 200, "serves again")


if __name__ == "__main__":
    run(beside=3)
