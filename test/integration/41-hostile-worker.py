#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""41-hostile-worker.py - a compromised worker writes arbitrary values into shared memory.

The test writes through /proc/PID/mem of one worker.  It overwrites each page of the structures, and samples of the large
tables, with extreme values in turn while mail comes in.  Supervisor, recorder and workers must survive.  Afterwards
status, lists, reload, the replacement of a worker and the end must work.

test/unit/state/test_hostile.c does the same field by field with sanitizers, and tests locks that are never freed.
"""
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import Skip, must, run, shows
from client import Client, Lost, wait_for

PAGE = 4096
DENSE = 4 << 20         # of each mapping: the structures lie in front
SPARSE = 509            # pages: one of so many behind them
PATTERNS = (b"\xff" * 8, b"\x00" * 8, b"\xff\xff\xff\x7f" * 2, b"A" * 8, b"\x01\0\0\0\0\0\0\0", b"\x3f\0\0\0\x40\x1f\0\0")
LISTS = "reputation: {lists: [{name: one, zone: one.test, probe: off}], guard: {probe_interval: off, canaries: []}}"
MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


def mappings(pid):
    """(address, length, rights, name) of the memory that is shared."""
    out = []
    with open("/proc/%d/maps" % pid, encoding="latin-1") as f:
        for line in f:
            where, rights, _, _, _, *name = line.split(None, 5)
            start, end = (int(x, 16) for x in where.split("-"))
            if rights[3] == "s":
                out.append((start, end - start, rights, name[0].strip() if name else ""))
    return out


def memory(pid):
    try:
        return open("/proc/%d/mem" % pid, "r+b", buffering=0)
    except PermissionError as e:
        raise Skip("memory of another process may not be written here: %s" % e) from e


def processes(g):
    return [g.process.pid] + g.children("glacis-worker") + g.children("glacis-recorder")


def deliver(g):
    """Sends a few messages.  Any reply will do, because the facts about the client may be forged."""
    for _ in range(3):
        try:
            with Client(g.smtp, timeout=10) as c:
                c.hello()
                c.envelope()
                c.data(MESSAGE)
        except (Lost, OSError):
            pass


def ask(g, *words):
    return subprocess.run([g.program, *words, "-c", g.path], capture_output=True, text=True, timeout=40, check=False)


def write_everywhere(pid, pattern):
    """Overwrites all writable mappings and checks that the others cannot be written; returns the number of pages."""
    written = 0
    with memory(pid) as mem:
        for start, length, rights, name in mappings(pid):
            if "w" not in rights:
                try:
                    os.pwrite(mem.fileno(), pattern, start)
                    raise AssertionError("the process table (%s) can be written" % name)
                except OSError:
                    continue
            for at in range(0, length, PAGE):
                if at < DENSE or at // PAGE % SPARSE == 0:
                    os.pwrite(mem.fileno(), pattern * (PAGE // 8), start + at)
                    written += 1
    return written


def still_works(w, g, sink):
    """After a reload mail flows again, and everything else works."""
    g.write(w.config(sink, LISTS))
    done = ask(g, "reload")
    must(done.returncode == 0, "a reload", (done.returncode, done.stdout, done.stderr))
    wait_for(lambda: len(g.children("glacis-worker")) == 2, 10, "the old generation has ended")

    def delivered():
        had = len(sink.messages)
        deliver(g)
        return len(sink.messages) > had
    wait_for(delivered, 20, "mail flows")
    must(ask(g, "status").returncode in (0, 1), "a status", ask(g, "status"))
    os.kill(g.children("glacis-worker")[0], signal.SIGKILL)
    wait_for(lambda: len(g.children("glacis-worker")) == 2, 10, "a worker that dies is replaced")


@shows("C2: extreme values in each page of shared memory, in turn: supervisor, recorder and both workers survive")
def page_by_page(w):
    sink = w.sink()
    w.watch_sandbox = False     # the test forges all counters of a worker
    g = w.glacis(w.config(sink, LISTS, policy=""))
    memory(g.children("glacis-worker")[0]).close()
    before = sorted(processes(g))
    must(len(before) == 4, "4 processes", before)
    for pattern in PATTERNS:
        hostile = g.children("glacis-worker")[0]
        must(write_everywhere(hostile, pattern) > 500, "pages were written")
        deliver(g)
        for words in (("status",), ("lists",), ("lists", "--json"), ("lists", "set", "one", "monitor")):
            done = ask(g, *words)
            must(done.returncode in (0, 1, 2, 65), "an answer", (words, done.returncode, done.stderr))
            must(not re.search("[\0-\x08\x0b-\x1f\x7f]", done.stdout), "nothing that steers a terminal", done.stdout)
        g.http("/metrics")
        must(sorted(processes(g)) == before, "the same processes", (pattern, before, processes(g)))
    must(not g.events("process_died"), "no process died", g.events("process_died"))
    still_works(w, g, sink)
    must(g.stop() == 0, "exit status 0", g.process.returncode)


if __name__ == "__main__":
    run()
