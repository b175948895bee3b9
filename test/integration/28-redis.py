#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""28-redis.py - a memory that several proxies share: real redis-server processes, killed, stopped and restarted.

What one proxy learned the other one knows; whatever becomes of Redis, no mail is refused for it and no session waits.
"""
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import CHECKS, Skip, must, run, shows
from client import Client, wait_for
from faults import Clock
from lab import Lab

memory = importlib.import_module("26-memory")
lists = importlib.import_module("27-lists")
del CHECKS[:]               # they are here for their helpers, not for their checks

UP = "glacis_shared_memory_up"
STRANGER = memory.STRANGER
BOUND_S = 15                # far above any time-out of ours, far below the patience of a mail server


class Redis:
    """redis-server on a socket of its own, without persistence."""

    def __init__(self, directory):
        self.program = shutil.which("redis-server")
        if not self.program:
            raise Skip("redis-server is not installed")
        self.dir, self.path, self.process = directory, os.path.join(directory, "redis.sock"), None
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.process = subprocess.Popen([self.program, "--port", "0", "--unixsocket", self.path, "--unixsocketperm", "777",
                                         "--save", "", "--appendonly", "no", "--dir", self.dir],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.path), 20, "redis")

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait(20)

    def settings(self, timeout="5s"):
        return "state: {backend: redis, redis: {url: 'unix:%s', timeout: %s}}\n" % (self.path, timeout)


def with_redis(w, check, timeout="5s"):
    redis = Redis(w.dir)
    try:
        check(redis, redis.settings(timeout))
    finally:
        redis.process.send_signal(signal.SIGCONT)
        redis.kill()


def proxy(w, name, policy, settings, more=""):
    """One proxy of several: its own memory, its own DNS, the same Redis."""
    lab = Lab(w, "", policy, more=settings + more, name=name)
    wait_for(lambda: lab.g.metrics().get(UP) == 2, 20, "both workers of %s connected" % name)
    wait_for(lambda: lab.g.events("snapshot"), 20, "the database read")
    return lab


def away(lab):
    wait_for(lambda: lab.g.metrics().get(UP) == 0, 30, "both workers know that it is away")


def back(lab):
    wait_for(lambda: lab.g.metrics().get(UP) == 2, 60, "both workers are connected again")


# ---- two proxies ----

@shows("two proxies on one Redis: a triplet that waits at one waits at the other, and what one learned passes at the other")
def shared_triplet(w):
    def check(_, settings):
        a = proxy(w, "a", memory.GREY, settings, "greylist: {delay: 2s}\n")
        b = proxy(w, "b", memory.GREY, settings, "greylist: {delay: 1h}\n")     # it would have to wait there
        memory.greylisted(a.send("127.0.2.30", STRANGER))
        wait = memory.greylisted(b.send("127.0.2.30", STRANGER))
        must(wait <= 3600, "the same triplet", wait)
        time.sleep(3.1)
        memory.accepted(a.send("127.0.2.31", STRANGER), "at the second try")
        memory.accepted(b.send("127.0.2.32", STRANGER), "at the other proxy, since the first one learned it")
        memory.greylisted(b.send("127.0.2.32", "new@none.test"))
        memory.vouched(a, "google.test", "127.0.32.0/20")
        memory.vouched(b, "google.test", "127.0.32.0/20")
        memory.greylisted(b.send("127.0.33.1", "x@google.test"))
        time.sleep(3.1)
        memory.accepted(a.send("127.0.40.1", "x@google.test"), "retried from another network, at the other proxy")
    with_redis(w, check)


SEEN = """preset: none
rules:
  - {name: new, when: {zero_day.fresh_client: true}, then: {tag: {X-New: "yes"}}}
  - {name: good, when: {client.known_good: true}, then: {tag: {X-Good: "yes"}}}
"""


@shows("two proxies on one Redis: good standing and first seen are known to both, and so is a refusal")
def shared_standing(w):
    def check(_, settings):
        more = "known_good: {messages: 2, days: 1}\n"
        a, b = (proxy(w, name, memory.GOOD, settings, more) for name in "ab")
        carol = {"rcpts": ["carol@example.test"]}
        for lab, expected in ((a, "unknown"), (a, "unknown"), (b, "good")):
            t = memory.accepted(lab.send("127.0.2.30", STRANGER, **carol))
            must(memory.standing(t) == expected, expected, t)
        memory.accepted(b.send("127.0.2.30", "bounce@none.test"), "greylist skipped at the other proxy")
        b.sink.clear([{"at": "DOT", "reply": "554 5.6.0 this is spam", "take": False, "times": 1}])
        must(b.send("127.0.2.30", STRANGER, **carol).code == "554", "refused at the second")
        t = memory.accepted(a.send("127.0.2.30", STRANGER, **carol))
        must(memory.standing(t) == "unknown", "no standing at the first any more", t)
    with_redis(w, check)


@shows("first seen is shared: a client that one proxy has known for days is not new to another, also after Redis lost all")
def shared_first_seen(w):
    def check(redis, settings):
        a = proxy(w, "a", SEEN, settings)
        memory.accepted(a.send("127.0.5.1", STRANGER))
        memory.age(a.g, 9 * memory.DAY)
        back(a)
        redis.kill()
        redis.start()       # without persistence: it remembers nothing
        back(a)
        must(memory.accepted(a.send("127.0.5.1", STRANGER)).field("X-New") is None, "known to the first")
        b = proxy(w, "b", SEEN, settings, "zero_day: {learn_for: off}\n")
        must(memory.accepted(b.send("127.0.5.1", STRANGER)).field("X-New") is None, "known to the second too")
        must(memory.accepted(b.send("127.0.5.2", STRANGER)).field("X-New") == "yes", "another one is new")
    with_redis(w, check)


MIN_ASKED = 20
HALF_HOUR_MS = 31 * 60 * 1000


def two_with_a_list(w, settings, clock):
    """Two proxies that ask one rbldnsd about first.test; their wall clocks can be moved."""
    guard = "{sample: 0%%, probe_interval: off, canaries: [], min_asked: %d}" % MIN_ASKED
    labs = [lists.Lists(w, [lists.FIRST + ", probe: off"], guard, more=settings, name=name, env=clock.env) for name in "ab"]
    w.dns.append(labs[0].serve().rbldnsd)
    labs[1].serve(labs[0].rbldnsd)
    for lab in labs:
        wait_for(lambda l=lab: l.g.metrics().get(UP) == 2, 20, "both workers connected")
    return labs


def demoted(lab):
    return lab.view()["demoted_at"] > 0


@shows("list health is shared: neither of two proxies saw enough, both demote; what the first saw returns it for both")
def shared_lists(w):
    def check(_, settings):
        clock = Clock(w.dir)
        a, b = two_with_a_list(w, settings, clock)
        a.become(lists.LIES)
        nets = {a: iter(range(20, 130)), b: iter(range(130, 250))}      # a network is one client
        sent = {a: 0, b: 0}

        def stranger(lab):
            sent[lab] += 1
            return lab.stranger(30, next(nets[lab]))

        must({stranger(a) for _ in range(14)} == {"451"}, "believed at the first")
        must({stranger(b) for _ in range(12)} == {"451"}, "believed at the second")
        wait_for(lambda: demoted(b) or (time.sleep(1.5), stranger(b), False)[2], 20, "the second decides with what the first saw")
        must(max(sent.values()) < MIN_ASKED, "neither alone had %d" % MIN_ASKED, sent.values())
        said = b.g.events("list_demoted")
        must(len(said) == 1 and int(said[0]["numbers"].split(" of ")[1].split()[0]) >= MIN_ASKED, "of both", said)
        wait_for(lambda: demoted(a), 12, "the first hears of it")
        must(a.g.events("list_demoted") == [] and len(a.g.events("list_shared")) == 1, "heard, not found", a.g.events("list_shared"))
        for lab in (a, b):
            wait_for(lambda l=lab: {stranger(l) for _ in range(4)} == {"250"}, 5, "nobody is delayed")
            must("says yes to nearly everything (%s)" % said[0]["numbers"] in lab.cli(), "why, at both", lab.cli())

        a.become(lists.TRUTH)
        time.sleep(1.2)                 # the cache
        must({stranger(a) for _ in range(MIN_ASKED + 10)} == {"250"}, "the list is well")
        must(demoted(a) and demoted(b), "but not before its time")
        clock.move(wall_ms=HALF_HOUR_MS)
        wait_for(lambda: not demoted(a) and not demoted(b), 15, "both believe it again")
        must(len(a.g.events("list_restored")) == 1 and b.g.events("list_restored") == [], "who saw it decided")
        for lab, net in ((a, 16), (b, 17)):
            wait_for(lambda l=lab, h=net: l.stranger(h, 2) == "451", 5, "asked and believed")
    with_redis(w, check)


# ---- Redis goes away ----

def said(lab, event):
    return wait_for(lambda: lab.g.events(event), 20, "%s in the log" % event)


@shows("Redis killed and restarted under load: nothing refused, no stall, back by itself; in the log and in the metrics")
def killed(w):
    def check(redis, settings):
        lab = proxy(w, "a", memory.PRESET_AND_GREY, settings, "greylist: {delay: 1h}\n")
        memory.greylisted(lab.send("127.0.2.30", STRANGER, rcpts=["grey@example.test"]))
        load, counters = memory.Load(lab), memory.Counters(lab.g)
        for _ in range(2):
            before = load.sent
            redis.kill()
            away(lab)
            counters.look()
            wait_for(lambda n=before: load.sent > n + 20, 30, "mail while it is away")
            memory.greylisted(lab.send("127.0.2.30", STRANGER, rcpts=["grey@example.test"]))    # from local memory
            redis.start()
            back(lab)
            counters.look()
        before = load.sent
        wait_for(lambda: load.sent > before + 20, 30, "mail with it")
        load.stop()
        must(not load.refused and not load.lost, "every message taken", (load.refused[:3], load.lost))
        must(load.longest < BOUND_S, "no session waited", load.longest)
        must(said(lab, "shared_memory_away")[0]["level"] == "warn" and said(lab, "shared_memory_up"), "said")
        seen = counters.look()
        must(seen['glacis_shared_memory_failures_total{why="away"}'] > 0, "counted", seen)
    with_redis(w, check, "1s")


@shows("Redis that hangs: answers come from local memory after `timeout`, then without waiting; back when it goes on")
def hangs(w):
    def check(redis, settings):
        lab = proxy(w, "a", memory.PRESET_AND_GREY, settings, "greylist: {delay: 1h}\n")
        memory.greylisted(lab.send("127.0.2.30", STRANGER, rcpts=["grey@example.test"]))
        redis.kill(signal.SIGSTOP)
        begin = time.monotonic()
        with Client(lab.g.smtp, source="127.0.5.1") as c:
            must(c.greeting.code == "220", "a banner", c.greeting)
        memory.accepted(lab.send("127.0.5.1", STRANGER))
        memory.greylisted(lab.send("127.0.2.30", STRANGER, rcpts=["grey@example.test"]))
        must(time.monotonic() - begin < BOUND_S, "no stall", time.monotonic() - begin)
        load = memory.Load(lab)
        away(lab)
        wait_for(lambda: load.sent > 20, 30, "mail while it hangs")
        seen = lab.g.metrics()
        must(seen['glacis_shared_memory_failures_total{why="timeout"}'] > 0, "time-outs counted", seen)
        redis.kill(signal.SIGCONT)
        back(lab)
        load.stop()
        must(not load.refused and not load.lost, "every message taken", (load.refused[:3], load.lost))
        must(load.longest < BOUND_S, "no session waited", load.longest)
        said(lab, "shared_memory_away")
    with_redis(w, check, "200ms")


@shows("started without Redis: local memory serves; it joins when Redis comes")
def late(w):
    redis = Redis(w.dir)
    redis.kill()
    lab = Lab(w, "", memory.GREY, more=redis.settings() + "greylist: {delay: 1h}\n", name="a")
    try:
        wait_for(lambda: lab.g.events("snapshot"), 20, "the database read")
        memory.accepted(lab.send("127.0.2.30", STRANGER, rcpts=["carol@example.test"]))
        memory.greylisted(lab.send("127.0.2.30", STRANGER))
        said(lab, "shared_memory_away")
        redis.start()
        back(lab)
        memory.greylisted(lab.send("127.0.2.30", STRANGER))
    finally:
        if redis.process.poll() is None:
            redis.kill()


if __name__ == "__main__":
    run(beside=2)
