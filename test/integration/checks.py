# SPDX-License-Identifier: Apache-2.0
"""checks.py - the small runner of the Python integration tests: each check is a sentence and a function.

A check gets a fresh directory; it fails by raising, and skips by raising Skip.  At the end stands
`N passed, N failed, N skipped`; the exit status is 1 if any failed, 77 if all were skipped.
"""
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback

from client import Glacis
from sink import Sink

CHECKS = []


class Skip(Exception):
    """Cannot be shown here; the reason."""


def shows(text):
    """Registers a check."""
    def register(function):
        CHECKS.append((text, function))
        return function
    return register


def must(condition, expected, seen=""):
    if not condition:
        raise AssertionError("expected %s; seen %s" % (expected, seen if seen != "" else "otherwise"))


def calls_refused(g):
    """glacis_sandbox_denied_total of a running glacis, 0 if its metrics cannot be read; close() also checks its log."""
    try:
        if isinstance(g, Glacis) and g.process is not None and g.process.poll() is None and "admin" in g.addresses:
            return g.metrics()["glacis_sandbox_denied_total"]
    except (OSError, ValueError, KeyError):     # a token is set, or the check killed the recorder
        pass
    return 0


class World:
    """One check's directory, sinks and glacis; all ended by close()."""

    def __init__(self, directory):
        self.dir = directory
        self.sinks = []
        self.programs = []
        self.dns = []               # DNS servers (dnsserver.py), ended last
        self.watch_sandbox = True   # False: the check itself causes refused calls, or forges the counter

    def sink(self, **options):
        sink = Sink(**options).start()
        self.sinks.append(sink)
        return sink

    def config(self, sink, more="", server="", workers=2, policy="policy: {preset: none, rules: []}"):
        """YAML of a working minimum; `server` are further lines of that section, `more` of the top.

        No rule and no question to the DNS, unless `policy` says otherwise ("" is the preset)."""
        return """server:
  hostname: mx.glacis.test
  listen: ["127.0.0.1:0"]
  user: root
  state_dir: {dir}/state
  greet_delay: 0ms
  workers: %d
%s
upstreams:
  inner:
    servers: ["127.0.0.1:%d"]
    tls: off
domains:
  example.test: inner
admin: {listen: "127.0.0.1:0"}
dns: {self_test: off}
%s
%s
""" % (workers, "".join("  %s\n" % l for l in server.splitlines()), sink.port, policy, more)

    def glacis(self, config, start=True, name="g", **options):
        for other in self.programs:     # a second one does not take over the folder of the first
            if isinstance(other, Glacis) and other.dir == os.path.join(self.dir, name):
                other.stop()
        g = Glacis(os.path.join(self.dir, name), config, **options)
        self.programs.append(g)
        return g.start() if start else g

    def close(self):
        problems = []
        for g in self.programs:
            refused = calls_refused(g) if self.watch_sandbox else 0
            if refused:
                problems.append("the sandbox refused %d system calls" % refused)
            g.stop()
            text = g.log_text()
            if re.search("AddressSanitizer|LeakSanitizer|runtime error:", text):
                problems.append("a sanitizer report:\n" + text[-4000:])
            denied = re.findall('"event":"sandbox_denied".*|.*"signal":31[,}].*', text)
            if denied:
                problems.append("the sandbox was tripped: %s" % denied[:3])
        for server in self.dns:
            server.stop()
        for sink in self.sinks:
            sink.stop()
            if sink.violations:
                problems.append("breaches of protocol at the sink: %s" % sink.violations[:3])
        return problems

    def logs(self):
        return "\n".join(g.log_text()[-3000:] for g in self.programs)


def play(text, function):
    """One check in a world of its own: (outcome, what is said of it)."""
    directory = tempfile.mkdtemp(prefix="glacis-it-")
    os.chmod(directory, 0o755)
    world = World(directory)
    started = time.monotonic()
    outcome, detail = "passed", ""
    try:
        function(world)
    except Skip as e:
        outcome, detail = "skipped", str(e)
    except Exception as e:  # pylint: disable=broad-except
        outcome = "failed"
        detail = "%s: %s\n%s\n%s" % (type(e).__name__, e, traceback.format_exc(limit=-4), world.logs())
    try:
        problems = world.close()
    except Exception as e:  # pylint: disable=broad-except
        problems = ["at the end: %s" % e]
    if problems and outcome == "passed":
        outcome, detail = "failed", "\n".join(problems)
    shutil.rmtree(directory, ignore_errors=True)
    return outcome, "%s - %s (%.1f s)%s" % (outcome, text, time.monotonic() - started,
                                            "\n    " + detail.replace("\n", "\n    ") if detail else "")


def run(beside=1):
    """Runs all checks, or those whose sentence or function holds an argument of the command line.

    `beside`: so many at a time, where most of them wait most of the time."""
    program = os.path.abspath(os.environ.get("GLACIS", "build/glacis"))
    if not os.path.exists(program):
        print("skipped: no program at %s" % program)
        sys.exit(77)
    os.environ["GLACIS"] = program
    count = {"passed": 0, "failed": 0, "skipped": 0}
    left = [c for c in CHECKS if not sys.argv[1:] or any(a in c[0] or a in c[1].__name__ for a in sys.argv[1:])]
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                if not left:
                    return
                check = left.pop(0)
            outcome, line = play(*check)
            with lock:
                count[outcome] += 1
                print(line, flush=True)
    others = [threading.Thread(target=work) for _ in range(beside - 1)]
    for t in others:
        t.start()
    work()
    for t in others:
        t.join()
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % count)
    if count["failed"]:
        sys.exit(1)
    sys.exit(0 if count["passed"] else 77)
