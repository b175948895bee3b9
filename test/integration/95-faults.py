#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""95-faults.py - everything that glacis leans on breaks, one thing at a time and then several at once.

While a fault is on: every client gets a reply in time, none of it a permanent refusal, no 250 for what the upstream does
not hold; a connection that ends without a reply only where the process behind it was killed.  When it is over: mail
flows again without anybody's help, soon.  Printed as a table (docs/faults.md).

    FAULT_SECONDS   how long faults are combined at random (default 15; the long mode: 1800)
    FAULT_SEED      of that combination (printed; default: the time)
    FAULT_ROWS      0: only the combination;  FAULT_ONLY: only rows that hold this text
    FAULT_RIGS      mail systems that are broken at the same time (default 8, 2 in the combination)
    FAULT_DEADLINE  seconds that a reply may take (default 20)

Needs root for namespaces of its own; otherwise skipped.
"""
import os
import queue
import random
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import faults as f
import lab
from checks import must, run, shows
from client import Lost, wait_for

SECONDS = float(os.environ.get("FAULT_SECONDS", "15"))
SEED = int(os.environ.get("FAULT_SEED", str(int(time.time()))))
RIGS = int(os.environ.get("FAULT_RIGS", "0"))
ONLY = os.environ.get("FAULT_ONLY", "")
SANITIZED = f.is_sanitized(os.environ.get("GLACIS", "build/glacis")) if os.path.exists(
    os.environ.get("GLACIS", "build/glacis")) else False
REPLIED = r"\b4\d\d\b"
FULL = r"452 4\.3\.1"


class Row:
    """A fault at a stage.  `sees`: what clients must have been told while it was on; `kills`: connections may end
    without a reply; `on`: the least and the most seconds it lasts (until it was met); `again`: the most until mail flows; `well`: what else must be as before."""

    def __init__(self, fault, stage, inject, sees="", kills=False, on=(0.8, 6), again=8, deadline=None, well=None, **load):
        self.fault, self.stage, self.inject = fault, stage, inject
        self.sees, self.kills, self.on, self.again = sees, kills, on, again
        self.deadline = deadline or f.DEADLINE_S
        self.well = well or (lambda rig: True)
        self.load = load
        self.seen, self.recovered, self.lost, self.problems = "", None, 0, []

    def __str__(self):
        return "%s, %s" % (self.fault, self.stage)

    @property
    def line(self):
        return "| %s | %s | %s | %d | %s |" % (self.fault, self.stage, self.seen, self.lost,
                                              "%.1f s" % self.recovered if self.recovered is not None else "never")

    def hold(self, hit, seen):
        """Until the fault was met by enough clients; whether glacis met it."""
        started, met = time.monotonic(), False
        while True:
            time.sleep(0.1)
            lasted = time.monotonic() - started
            met = met or bool(hit())
            if lasted >= self.on[1]:
                return met
            if lasted >= self.on[0] and met and len(seen()) >= 4 and re.search(self.sees, f.summary(seen())):
                return met

    def play(self, rig):
        rng = random.Random(str(self))
        f.recovered(rig, rng, time.monotonic())
        traffic = f.Traffic(rig, timeout=self.deadline * 1.5, **self.load)
        began = time.monotonic()
        try:
            with self.inject(rig) as hit:
                self.check(self.hold(hit, lambda: traffic.since(began)), "glacis met the fault")
            off = time.monotonic()
            self.recovered = f.recovered(rig, rng, off, patience=self.again + 20)
        finally:
            traffic.stop()
        wait_for(lambda: self.well(rig), 25, "what was before " + str(self))
        self.seen = f.summary([a for a in traffic.attempts if began <= a.ended and a.started < off])
        self.check(self.recovered is not None and self.recovered <= self.again, "mail again within %d s" % self.again, self.recovered)
        self.check(re.search(self.sees, self.seen), "a client that was told %s" % self.sees)
        self.judge(rig, traffic)

    def judge(self, rig, traffic):
        self.check(not traffic.errors, "clients without errors", traffic.errors)
        wrong = [a for a in traffic.attempts if not acceptable(a, self.kills)]
        self.check(not wrong, "a reply each time, and no permanent one", f.summary(wrong))
        slow = max([a.longest for a in traffic.attempts] or [0])
        self.check(slow <= self.deadline, "replies within %d s" % self.deadline, slow)
        self.lost = len(rig.ledger.lost())
        self.problems += balance(rig)

    def check(self, condition, expected, seen=""):
        if not condition:
            self.problems.append("%s: expected %s; seen %s; clients: %s" % (self, expected, seen, self.seen))


def acceptable(attempt, kills):
    """Success, 4xx, or where processes are killed the end of the connection."""
    if any(r.code[:1] == "5" for _, r in attempt.replies):
        return False
    return attempt.outcome in ("acknowledged", "refused") or kills and attempt.outcome == "closed"


def balance(rig):
    """What must hold at any time."""
    found = []
    for what, these in (("lost", rig.ledger.lost()), ("unexplained duplicates", rig.ledger.unexplained()),
                        ("damaged", rig.ledger.damaged)):
        if these:
            found.append("%s: %d, such as %s" % (what, len(these), these[:3]))
    if rig.g.process.poll() is not None:
        found.append("glacis has ended with %d" % rig.g.process.returncode)
    return found


def upstream_rows():
    stages = (("banner", "CONNECT"), ("EHLO", "EHLO"), ("STARTTLS", "STARTTLS"), ("TLS handshake", "HANDSHAKE"), ("MAIL", "MAIL"),
              ("RCPT", "RCPT"), ("DATA", "DATA"), ("content", "CONTENT"), ("end of data", "DOT"))
    for name, at in stages:
        for how in f.HOW:
            fresh = at in ("CONNECT", "EHLO", "STARTTLS", "HANDSHAKE")
            load = {"rcpt": "bob@tls.test"} if at in ("STARTTLS", "HANDSHAKE") else {}
            yield Row("upstream " + how, name, lambda rig, at=at, how=how, fresh=fresh: f.upstream(rig, at, how, fresh=fresh),
                      REPLIED, **load)
    for how in ("dies", "resets", "stalls", "garbles"):
        yield Row("upstream " + how, "behind a message", lambda rig, how=how: f.upstream(rig, "AFTER", how))
        yield Row("upstream " + how, "QUIT", lambda rig, how=how: f.upstream(rig, "QUIT", how))
    yield Row("upstream says 421", "MAIL", lambda rig: f.upstream(rig, "MAIL", "", {"at": "MAIL", "reply": "421 4.3.2 going down",
                                                                                 "then": "close"}), REPLIED)
    yield Row("upstream does not read", "content", lambda rig: f.upstream(rig, "CONTENT", "", {"at": "CONTENT", "after": 100,
                                                                                            "then": "deaf"}),
              REPLIED, size=4 << 20, clients=2)
    for how, at in (("dies", "EHLO"), ("stalls", "CONNECT"), ("garbles", "CONNECT"), ("dies", "MAIL"), ("stalls", "RCPT")):
        yield Row("one of two upstreams " + how, {"CONNECT": "banner"}.get(at, at), lambda rig, at=at, how=how: f.upstream(
            rig, at, how, fresh=True), rcpt="bob@pair.test")
    yield Row("one of two upstreams is down", "connect", f.upstream_down, rcpt="bob@pair.test")
    yield Row("upstream is down", "connect", f.upstream_down, REPLIED)
    yield Row("upstream's cable pulled", "any", f.cable_pulled, REPLIED, on=(2, 6))
    yield Row("upstream's connections reset", "any, ten times a second", f.connections_cut, REPLIED, on=(1.5, 6))


def dns_rows():
    for how, what in (("silent", "dead"), ("slow", "slow (1.5 s)"), ("servfail", "SERVFAIL"), ("refused", "REFUSED"),
                      ("garbage", "lies: garbage"), ("poison", "lies: other names"), ("empty", "lies: headers alone"),
                      ("rewrite", "lies: an address for every name"), ("strangers", "lies: guessed ids"),
                      ("truncated", "truncated, TCP")):
        yield Row("DNS " + what, "any question", lambda rig, how=how: f.names(rig, how), on=(1.5, 6),
                  again=15 if how == "rewrite" else 8)      # the upstream's own name: asked for again after 10 s at the soonest
    yield Row("DNS changes its mind", "ten times a second", f.names_flapping, on=(1.5, 6))


def machine_rows():
    yield Row("disk full", "spool", lambda rig: f.disk_full(rig, "spool"), FULL)
    yield Row("disk full", "state", lambda rig: f.disk_full(rig, "state"))
    yield Row("disk full", "log", lambda rig: f.disk_full(rig, "logs"))
    yield Row("disk full", "spool, state and log", lambda rig: f.together(rig, *[
        lambda rig, which=which: f.disk_full(rig, which) for which in ("spool", "state", "logs")]), FULL)
    yield Row("disk read only", "spool", lambda rig: f.disk_read_only(rig, "spool"), FULL)
    yield Row("file size limited", "spool, log", f.files_small, FULL)
    # who is told 421, and who waits in the kernel's queue, depends on the numbers that are free: 60-limits.py has LIM-15
    yield Row("out of descriptors", "none left", f.descriptors_gone, on=(1.5, 6))
    yield Row("out of descriptors", "three left", lambda rig: f.descriptors_gone(rig, 3), on=(1.5, 6))
    yield Row("out of memory", "limits.memory, limits.spool", f.buffers_full, FULL)
    if not SANITIZED:
        yield Row("out of memory", "malloc fails", f.memory_gone, kills=True, on=(1.5, 8))
    for seconds, what in ((3600, "+1 hour"), (-3600, "-1 hour"), (3650 * 86400, "+10 years"), (-3650 * 86400, "-10 years")):
        yield Row("clock jumps", "wall clock %s and back" % what, lambda rig, s=seconds: f.wall_clock(rig, s))
    yield Row("clock jumps", "all clocks +20 s (a paused machine)", lambda rig: f.time_passes(rig, 20))
    # an hour is longer than any deadline, that of a connection being closed included: some are cut without a word
    yield Row("clock jumps", "all clocks +1 hour (a paused machine)", lambda rig: f.time_passes(rig, 3600), kills=True)
    def back(rig):
        return f.shared_memory(rig) == 2
    yield Row("Redis gone", "killed", f.redis_killed, well=back)
    yield Row("Redis gone", "stalls", f.redis_stopped, well=back)
    yield Row("Redis gone", "garbles", f.redis_garbles, well=back)


def process_rows():
    for how in ("garbage", "cut", "gone", "key of another", "key gone"):
        yield Row("certificate broken", how + ", reload", lambda rig, how=how: f.certificate_broken(rig, how))
    yield Row("reload storm", "every 50 ms", f.reload_storm, on=(2.5, 20))
    yield Row("reload storm", "every 5 ms, half of them broken", lambda rig: f.reload_storm(rig, 0.005, True), on=(2, 20))
    yield Row("worker killed", "one, every 0.3 s", lambda rig: f.killed(rig, "glacis-worker"), kills=True, on=(2, 6))
    yield Row("worker killed", "all, every second", lambda rig: f.killed(rig, "glacis-worker", 1, True), kills=True, on=(2, 6))
    yield Row("worker stopped", "for 1.5 s", lambda rig: f.stopped(rig, "glacis-worker"), on=(1.5, 1.6))
    yield Row("recorder killed", "every 0.3 s", lambda rig: f.killed(rig, "glacis-recorder"), on=(2, 6))
    yield Row("recorder stopped", "for 1.5 s", lambda rig: f.stopped(rig, "glacis-recorder"), on=(1.5, 1.6))
    yield Row("supervisor stopped", "for 1.5 s", lambda rig: f.stopped(rig, "supervisor"), on=(1.5, 1.6))
    yield Row("all frozen", "for 1.5 s", f.all_frozen, on=(1.5, 1.6))


def all_rows():
    slow = [Row("worker hangs", "for good; found by its heartbeat", f.hung, kills=True, on=(2, 45), deadline=45)]
    rows = slow + list(upstream_rows()) + list(dns_rows()) + list(machine_rows()) + list(process_rows())
    return [r for r in rows if ONLY in str(r)]


def work(rig, rows, errors):
    while True:
        try:
            row = rows.get_nowait()
        except queue.Empty:
            return
        try:
            row.play(rig)
            calm(rig)
        except Exception as e:  # pylint: disable=broad-except
            row.problems.append("%s: %s: %s" % (row, type(e).__name__, e))
        errors += row.problems
        if os.environ.get("FAULT_VERBOSE") or row.problems:
            print("    %s %s" % (row.line, row.problems or ""), flush=True)


def calm(rig):
    """Two workers and a recorder, and nothing else that goes on."""
    wait_for(lambda: len(rig.g.children()) == 3 and len(rig.workers()) == 2, 25, "two workers and a recorder")


def make_rigs(w, count):
    """All of them at once; they take a moment."""
    lab.servers()
    rigs, errors = [None] * count, []

    def make(i):
        try:
            path = os.path.join(w.dir, "rig%d" % i)
            os.mkdir(path)
            rigs[i] = f.Rig(path, i + 1)
        except Exception as e:  # pylint: disable=broad-except
            errors.append(e)
    run_all([threading.Thread(target=make, args=(i,)) for i in range(count)])
    if errors:
        end([rig for rig in rigs if rig])
        raise errors[0]
    return rigs


def run_all(threads):
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def end(rigs):
    found = []
    for rig in rigs:
        if rig.events("sandbox_denied"):
            found.append("the sandbox was tripped")
        found += rig.close()
    return found


@shows("each fault alone, at every stage: 4xx or success in time, nothing lost, and mail again without help")
def each_once(w):
    rows = all_rows() if os.environ.get("FAULT_ROWS") != "0" else []
    if not rows:
        return
    errors, todo = [], queue.Queue()
    for row in rows:
        todo.put(row)
    rigs = make_rigs(w, RIGS or 8)
    try:
        run_all([threading.Thread(target=work, args=(rig, todo, errors)) for rig in rigs])
    finally:
        errors += end(rigs)
    print("| fault | stage | what clients saw | lost | mail again after |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print(row.line)
    totals([rig.ledger for rig in rigs])
    must(not errors, "no problem", "\n".join(errors))


def totals(ledgers):
    print("    %d messages acknowledged, %d taken by the upstream, %d of them duplicates after a lost reply" % (
        sum(len(l.acknowledged) for l in ledgers), sum(sum(l.taken.values()) for l in ledgers), sum(l.duplicates() for l in ledgers)))


def a_while(row, rig, rng, errors):
    """One fault, for some time."""
    time.sleep(rng.random())
    try:
        with row.inject(rig) as hit:
            end_by = time.monotonic() + (45 if row.fault == "worker hangs" else 0.2 + 3 * rng.random())
            while time.monotonic() < end_by and not (row.fault == "worker hangs" and hit()):
                time.sleep(0.1)
    except Exception as e:  # pylint: disable=broad-except
        errors.append("%s: %s: %s" % (row, type(e).__name__, e))


def combine(rig, until, seed, result):
    """Rounds of one to four faults at once, each for up to three seconds; behind each round mail must flow again."""
    rng = random.Random(seed)
    rows = [r for r in all_rows() if SECONDS >= 120 or r.fault != "worker hangs"]
    before = footprint(rig)
    traffic = f.Traffic(rig, timeout=90)
    while time.monotonic() < until and len(result["errors"]) < 50:
        chosen = rng.sample(rows, rng.randrange(1, 5))
        if any(r.fault == "worker hangs" for r in chosen) and rng.random() < 0.7:
            continue
        errors = []
        run_all([threading.Thread(target=a_while, args=(r, rig, random.Random(rng.random()), errors)) for r in chosen])
        took = f.recovered(rig, rng, time.monotonic(), patience=60, timeout=60)
        result["rounds"].append((took, " + ".join(map(str, chosen))))
        if took is None:
            errors.append("no mail any more")
        judge_round(rig, traffic, result, errors)
        for text in errors:
            if text not in result["errors"]:
                result["errors"].append(text)
                print("    round %d of %s: %s: behind %s" % (len(result["rounds"]), seed, text, result["rounds"][-1][1]), flush=True)
    traffic.stop()
    result["footprint"] = (before, footprint(rig))


def judge_round(rig, traffic, result, errors):
    errors += balance(rig)
    attempts = traffic.attempts[:]
    del traffic.attempts[:len(attempts)]
    wrong = [a for a in attempts if not acceptable(a, True)]
    if wrong or traffic.errors:
        errors.append("%s %s" % (f.summary(wrong), traffic.errors))
    result["attempts"] += len(attempts)
    result["longest"] = max([result["longest"]] + [a.longest for a in attempts])
    try:
        calm(rig)
    except Lost as e:
        errors.append(str(e))


def footprint(rig):
    """(descriptors, kiB) of the supervisor, who lives through all of it."""
    pid = rig.g.process.pid
    with open("/proc/%d/status" % pid, encoding="latin-1") as file:
        rss = int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))
    return len(os.listdir("/proc/%d/fd" % pid)), rss


@shows("faults combined at random for %.0f s, seed %d: the same" % (SECONDS, SEED))
def at_random(w):
    rigs = make_rigs(w, RIGS or 2)
    results = [{"errors": [], "rounds": [], "attempts": 0, "longest": 0.0} for _ in rigs]
    until = time.monotonic() + SECONDS
    problems = []
    try:
        run_all([threading.Thread(target=combine, args=(rig, until, "%d-%d" % (SEED, i), results[i])) for i, rig in enumerate(rigs)])
    finally:
        problems += end(rigs)
    for result in results:
        rounds = sorted(r for r in result["rounds"] if r[0] is not None)
        print("    %d rounds, %d attempts; mail again after %.1f s (median), %.1f s (longest: %s); longest reply %.1f s; supervisor %s" % (
            len(result["rounds"]), result["attempts"], rounds[len(rounds) // 2][0] if rounds else -1, rounds[-1][0] if rounds else -1,
            rounds[-1][1] if rounds else "", result["longest"], result.get("footprint")))
        problems += result["errors"]
        (fds, rss), (fds_after, rss_after) = result.get("footprint", ((0, 0), (0, 0)))
        if fds_after > fds + 4 or rss_after > rss + 8192 and not SANITIZED:
            problems.append("the supervisor grows: (descriptors, KiB) %s" % (result["footprint"],))
    totals([rig.ledger for rig in rigs])
    must(not problems, "no problem", "\n".join(problems))


if __name__ == "__main__":
    reason = f.enter_namespaces()
    if reason:
        print("skipped: " + reason)
        sys.exit(77)
    run()
