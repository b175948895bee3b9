#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""30-no-loss.py - no acknowledged message is lost, none is delivered twice without a reason.

Several clients send at once while, every second, a worker is killed, a reload comes and connections are
cut at random on both sides; the upstream is restarted every three seconds.  Clients behave like a mail
server: what was not acknowledged is sent again.  Then it is counted:

    lost          acknowledged to the client, not at the upstream: must be 0
    unexplained   more often at the upstream than acknowledged attempts plus attempts whose outcome the
                  client could not know (connection lost behind the dot) or that glacis called unknown
                  (451 4.4.2): must be 0
    duplicates    the explained ones: a lost reply (RFC 1047)

NO_LOSS_SECONDS (default 15) is how long; NO_LOSS_CLIENTS (default 8) how many.
"""
import collections
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from traffic import Attempt, Ledger, make

SECONDS = float(os.environ.get("NO_LOSS_SECONDS", "15"))
CLIENTS = int(os.environ.get("NO_LOSS_CLIENTS", "8"))
LEAST = float(os.environ.get("NO_LOSS_LEAST", SECONDS * 2))  # messages: fewer are no load (under valgrind: 1)


def attempt(address, content, ident, rng, ledger):
    """One try; true when it was acknowledged."""
    bdat, cut = rng.random() < 0.3, rng.random()
    options = {"bdat": bdat}
    if cut < 0.04:                       # cut inside the message
        options["cut_at"] = rng.random()
    elif cut < 0.07:                     # cut behind the dot: the client will never know
        options["cut_behind"] = "reset" if rng.random() < 0.5 else "close"
    return Attempt(address, ident, content, ledger, **options).good


def sender(number, glacis, ledger, until):
    rng = random.Random(number)
    count = 0
    while time.monotonic() < until:
        ident = "c%d-m%d" % (number, count)
        content = make(ident, rng)
        count += 1
        give_up = time.monotonic() + 40
        while not attempt(glacis.smtp, content, ident, rng, ledger):
            if time.monotonic() > give_up:
                break
            time.sleep(0.02 + 0.1 * rng.random())


def trouble(glacis, sink, until, done):
    """Every second a kill, a reload and cuts; every third a restart of the upstream."""
    rng = random.Random(1)
    while time.monotonic() < until:
        time.sleep(0.5)
        workers = glacis.children("glacis-worker")
        if workers:
            try:
                os.kill(rng.choice(workers), signal.SIGKILL)
                done["workers killed"] += 1
            except ProcessLookupError:
                pass
        time.sleep(0.25)
        glacis.signal(signal.SIGHUP)
        done["reloads asked"] += 1
        sink.cut(0.3, rng)
        done["times upstream connections were reset"] += 1
        time.sleep(0.25)
        if done["reloads asked"] % 3 == 0:
            sink.pause()
            time.sleep(0.3)
            sink.resume()
            done["upstream restarts"] += 1


@shows("%d clients for %.0f s: workers killed, reloads, upstream restarts, cuts: every acknowledged message is there once"
       % (CLIENTS, SECONDS))
def nothing_is_lost(w):
    sink = w.sink(keep=False)
    ledger = Ledger()
    sink.on_message = ledger.take
    glacis = w.glacis(w.config(sink, """
limits: {connections_per_client: off}
log: {level: warn}
"""))
    done = collections.Counter()
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=sender, args=(i, glacis, ledger, until)) for i in range(CLIENTS)]
    threads.append(threading.Thread(target=trouble, args=(glacis, sink, until, done)))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    must(glacis.process.poll() is None, "glacis alive")
    glacis.stop()
    time.sleep(0.2)
    lost, unexplained = ledger.lost(), ledger.unexplained()
    print("    %d messages acknowledged, %d taken by the upstream, %d of them duplicates after a lost reply; lost %d, "
          "unexplained %d, damaged %d" % (len(ledger.acknowledged), sum(ledger.taken.values()), ledger.duplicates(), len(lost),
                                          len(unexplained), len(ledger.damaged)))
    print("    %s" % ", ".join("%s: %d" % x for x in sorted(done.items())))
    print("    final replies: %s" % ", ".join("%s: %d" % x for x in sorted(ledger.by_reply.items())))
    must(not lost, "no acknowledged message lost", lost[:5])
    must(not unexplained, "no unexplained duplicate (id, taken, acknowledged, unknown)", unexplained[:5])
    must(not ledger.damaged, "every message whole", ledger.damaged[:5])
    must(len(ledger.acknowledged) >= LEAST, "a real load", len(ledger.acknowledged))
    must(done["workers killed"] >= SECONDS / 2 - 2, "workers killed all the time", done)


if __name__ == "__main__":
    run()
