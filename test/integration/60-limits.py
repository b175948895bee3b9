#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""60-limits.py - memory stays within its budget: many idle connections, 500 slow ones, full spools.

LIMITS_IDLE (default 2000) idle connections; the long mode is LIMITS_IDLE=10000.
"""
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import Skip, must, run, shows
from client import Client, Lost, stuff, wait_for
from faults import is_sanitized

IDLE = int(os.environ.get("LIMITS_IDLE", "2000"))
MOST_KIB = int(os.environ.get("LIMITS_KIB", "8"))  # a connection; under valgrind there is more
MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


def pss_kib(glacis):
    """Proportional memory of the workers."""
    total = 0
    for pid in glacis.children("glacis-worker"):
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
            total += sum(int(l.split()[1]) for l in f if l.startswith("Pss:"))
    return total


def sanitized(glacis):
    with open("/proc/%d/maps" % glacis.process.pid, encoding="latin-1") as f:
        text = f.read()
    return "asan" in text or glacis.process.pid and any(
        "libasan" in l or "7fff7000-" in l for l in text.splitlines())


def cpu_seconds(glacis):
    """What its processes have computed so far: other than a clock it does not run while others have the processor."""
    ticks = 0
    for pid in [glacis.process.pid] + glacis.children():
        with open("/proc/%d/stat" % pid, encoding="latin-1") as f:
            ticks += sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def room_for(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        if hard < count:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
                return
            except (ValueError, OSError):
                raise Skip("only %d descriptors allowed, %d needed" % (hard, count)) from None
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


@shows("no memory for the header section, at any step: 452 4.3.1, nothing goes out; then it arrives whole")
def header_without_memory(w):
    if is_sanitized(os.environ.get("GLACIS", "build/glacis")):
        raise Skip("the sanitizer has a realloc() of its own")
    shim, limit = os.path.join(w.dir, "memshim.so"), os.path.join(w.dir, "most")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "memshim.c")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", shim, source], check=True)

    def allow(octets):
        with open(limit, "r+b" if os.path.exists(limit) else "w+b") as f:
            f.write(struct.pack("Q", octets))
    allow(0)
    sink = w.sink()
    g = w.glacis(w.config(sink), env={"LD_PRELOAD": shim, "GLACIS_REALLOC_MAX": limit})
    content = b"".join(b"X-Long-%04d: %s\r\n" % (i, b"v" * 180) for i in range(1000)) + b"Subject: x\r\n\r\nhello\r\n"
    refused = 0
    for most in (4000, 8000, 16000, 33000, 66000, 132000, 0):
        c = Client(g.smtp, timeout=10)
        c.hello()
        c.envelope()
        must(c.cmd("DATA").code == "354", "DATA")
        c.send(content)
        wait_for(lambda: g.metrics()["glacis_message_memory_bytes"] >= len(content), 10, "all but the dot has come")
        allow(most)
        reply = c.cmd(".")
        allow(0)
        c.close()
        must(reply.code in ("250", "452"), "a reply", reply)
        refused += reply.code == "452"
        if reply.code == "250":
            body = sink.messages[-1].wire
            must(body.endswith(content), "it arrived whole", body[-300:])
    must(reply.code == "250" and refused >= 4, "refused while there was none, and taken when there was", refused)
    must(len(sink.messages) == 7 - refused, "nothing else went out", len(sink.messages))


@shows("%d idle connections: bounded memory for each, and mail flows beside them" % IDLE)
def idle_connections(w):
    room_for(IDLE + 500)
    sink = w.sink()
    g = w.glacis(w.config(sink, "limits: {connections: 30000, connections_per_client: off}\nlog: {level: warn}"))
    with Client(g.smtp) as c:
        c.hello()
        c.envelope()
        must(c.data(MESSAGE).code == "250", "a message")
    before = pss_kib(g)
    crowd = [Client(g.smtp, source="127.0.1.%d" % (1 + i % 200)) for i in range(IDLE)]
    for c in crowd[::10]:
        must(c.hello().code == "250", "EHLO")
    each = (pss_kib(g) - before) / IDLE
    print("    %.2f KiB a connection (workers, PSS)" % each)
    if not sanitized(g):
        must(each < MOST_KIB, "under %d KiB for each" % MOST_KIB, each)
    worked = cpu_seconds(g)
    with Client(g.smtp) as c:
        c.hello()
        c.envelope()
        must(c.data(MESSAGE).code == "250", "a message beside them")
    must(cpu_seconds(g) - worked < 2, "without work for each of them", cpu_seconds(g) - worked)
    must(g.metrics().get("glacis_sessions", 0) >= IDLE, "counted", g.metrics().get("glacis_sessions"))
    for c in crowd:
        c.close()
    wait_for(lambda: g.metrics().get("glacis_sessions", 1) == 0, 10, "all gone")


@shows("500 slow connections, each inside a message, with 20 upstream connections: all delivered, budgets hold")
def slow_connections(w):
    room_for(3000)
    sink = w.sink()
    g = w.glacis(w.config(sink, """
limits: {connections_per_client: off, memory: 160MiB, spool_memory: 16KiB}
log: {level: warn}
""").replace("    tls: off", "    tls: off\n    hold: 100ms\n    connections: 20"))
    content = b"Subject: slow\r\n\r\n" + (b"0123456789" * 7 + b"\r\n") * 500
    wire = stuff(content) + b".\r\n"
    clients = [Client(g.smtp) for _ in range(500)]
    for c in clients:
        c.send(b"EHLO slow.example.net\r\n")
    for c in clients:
        must(c.reply().code == "250", "EHLO")
    parts = [b"MAIL FROM:<alice@elsewhere.invalid>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"]
    for c in clients:
        c.send(parts[0])
    for c in clients:
        must([c.reply(60).code for _ in range(3)] == ["250", "250", "354"], "envelope")
    peak = 0
    for at in range(0, len(wire), len(wire) // 8 + 1):
        for c in clients:
            c.send(wire[at:at + len(wire) // 8 + 1])
        peak = max(peak, g.metrics().get("glacis_message_memory_bytes", 0))
    codes = [c.reply(120).code for c in clients]
    must(codes == ["250"] * 500, "500 accepted", {x: codes.count(x) for x in set(codes)})
    must(peak <= 160 * 1048576, "message memory within limits.memory", peak)
    must(len(sink.messages) == 500 and all(m.data.endswith(content) for m in sink.messages), "500 whole messages",
         len(sink.messages))
    must(g.metrics().get("glacis_message_memory_bytes") == 0 and g.metrics().get("glacis_spool_bytes") == 0,
         "budgets given back", [g.metrics().get(k) for k in ("glacis_message_memory_bytes", "glacis_spool_bytes")])


@shows("limits.memory and limits.spool full: 452 4.3.1, nothing lost, well again afterwards")
def budgets_full(w):
    sink = w.sink()
    g = w.glacis(w.config(sink, """
limits: {memory: 1MiB, spool: 2MiB, spool_memory: 64KiB, message_size: 8MiB}
""", workers=1))
    content = b"Subject: big\r\n\r\n" + (b"x" * 76 + b"\r\n") * 16000
    held = []
    codes = []
    for _ in range(4):
        c = Client(g.smtp)
        c.hello()
        replies = [r.code for r in c.envelope()]
        if replies != ["250", "250"]:
            codes += [r for r in replies if r != "250"]
            continue
        go = c.cmd("DATA").code
        if go != "354":
            codes.append(go)
            continue
        c.sock.settimeout(20)
        c.send(content[:1200000])
        held.append(c)
    late = Client(g.smtp)
    late.hello()
    replies = late.envelope()
    final = []
    for c in held:
        c.send(content[1200000:] + b".\r\n")
        final.append(c.reply())
    said = codes + [r.code for r in final] + [r.code for r in replies]
    must("452" in said, "452 for some", said)
    for r in final:
        must(r.code in ("250", "452"), "250 or 452", str(r))
    must(len(sink.messages) == [r.code for r in final].count("250"), "as many as acknowledged", len(sink.messages))
    for c in held:
        c.close()
    with Client(g.smtp) as c:
        c.hello()
        c.envelope()
        must(c.data(MESSAGE).code == "250", "well again")


@shows("limits without an end: deadlines, budgets and hold off, and a large message that trickles at first is delivered")
def without_limits(w):
    sink = w.sink()
    g = w.glacis(w.config(sink, """
limits: {command_deadline: off, data_deadline: off, session_timeout: off, memory: off, spool: off, message_size: off, spool_memory: 64KiB}
""", workers=1).replace("    tls: off", "    tls: off\n    hold: off"))
    content = b"Subject: big\r\n\r\n" + (b"x" * 76 + b"\r\n") * 40000
    wire = stuff(content) + b".\r\n"
    with Client(g.smtp) as c:
        for octet in b"EHLO slow.example.net\r\n":
            c.send(bytes([octet]))
            time.sleep(0.02)
        must(c.reply().code == "250", "EHLO", c.all)
        must([r.code for r in c.envelope()] == ["250", "250"] and c.cmd("DATA").code == "354", "envelope", c.all)
        for at in range(50):
            c.send(wire[at:at + 1])
            time.sleep(0.02)
        c.send(wire[50:])
        must(c.reply(60).code == "250", "the reply", c.all)
    must([m.data.endswith(content) for m in sink.messages] == [True], "one whole message", len(sink.messages))
    must(g.stop() == 0, "it ends as asked", g.process.returncode)


@shows("out of descriptors (LIM-15): accepting pauses, sessions go on, nobody is lost for good")
def descriptors(w):
    sink = w.sink()
    if not shutil.which("prlimit"):
        raise Skip("prlimit is not installed")
    g = w.glacis(w.config(sink, "limits: {connections_per_client: off}", workers=1),
                 wrapper=["prlimit", "--nofile=200:200"])
    inside = Client(g.smtp)
    inside.hello()
    crowd = []
    for _ in range(260):
        s = socket.create_connection(g.smtp, 5)
        crowd.append(s)
    time.sleep(0.3)
    worked = cpu_seconds(g)
    must(inside.cmd("NOOP").code == "250", "the session goes on")
    time.sleep(1)
    must(cpu_seconds(g) - worked < 0.5, "no busy loop", cpu_seconds(g) - worked)
    for s in crowd:
        s.close()

    def served():
        try:
            with Client(g.smtp, timeout=5) as c:
                c.hello()
                return [r.code for r in c.envelope()] == ["250", "250"] and c.data(MESSAGE).code == "250"
        except Lost:
            return False
    wait_for(served, 15, "a message afterwards")


if __name__ == "__main__":
    run()
