# SPDX-License-Identifier: Apache-2.0
"""measure.py - one workload against one running target: a row (a dict) for raw.jsonl.

Every row has target, workload, rep, other and steal (shares of the machine that others took meanwhile) and disturbed.
CPU is in seconds of the group `peer`; latencies are smtpload's [p50, p90, p99, most] in microseconds.
"""
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter

from rig import HERE, Share, cpu_us, enter, kernel_kib, pids, pss_kib, settled, udp_in
from workloads import LISTED, WORKLOADS

DESCRIPTORS = 19000     # sessions that one generator can hold


class Settings:
    """What the command line says about measuring."""

    def __init__(self, seconds=1.5, warm=1.0, quiet=2.0, disturbed=0.10, count=1000):
        self.seconds, self.warm, self.quiet, self.disturbed, self.count = seconds, warm, quiet, disturbed, count


def generator(arguments, stdin=subprocess.DEVNULL):
    return subprocess.Popen([os.path.join(HERE, "smtpload")] + [str(a) for a in arguments], preexec_fn=enter("gen"), stdin=stdin,
                            stdout=subprocess.PIPE, text=True)


def outcome(process):
    """smtpload's line of JSON."""
    return json.loads(process.communicate()[0].strip().split("\n")[-1])


def warm_up(rig, target, settings):
    """Messages that nobody counts, so that memory, caches and pools are as later."""
    if settings.warm <= 0:
        return
    options, port = target.tls_options(target.tls == "implicit")
    outcome(generator(["-c", target.parallel, "-k", 1, "-d", settings.warm * target.longer_warm, "-t", 30, "-b",
                       rig.addresses.fresh(), "-I", "warm"] + options + ["127.0.0.1:%d" % port]))


def measure(rig, target, name, settings):
    """The row, or None if this target does not do that."""
    work = WORKLOADS[name]
    if not target.can(work, name):
        return None
    share = Share()
    row = {"idle": held_sessions, "calls": system_calls}.get(work.kind, traffic)(rig, target, name, settings)
    row["other"], row["steal"] = share.other()
    row.update(target=target.name, workload=name, disturbed=row["other"] > settings.disturbed)
    return row


# ---- traffic ----

def how_long(work, target, settings):
    """Arguments that say when smtpload ends."""
    seconds = settings.seconds * (4 if work.kind == "rate" else 1) * target.longer
    if work.kind == "verify":
        return ["-n", settings.count, "-t", 60, "-o", os.path.join(target.run, "acked")]
    return ["-t", seconds + 20] + ([] if work.kind == "flood" else ["-d", seconds])


def traffic(rig, target, name, settings):
    work = WORKLOADS[name]
    options, port = target.tls_options(work.tls)
    arguments = ["-c", work.parallel or target.parallel, "-b", rig.addresses.fresh(name in LISTED), "-I",
                 "%s%s%d" % (target.name, name, rig.addresses.plain)] + list(work.args) + options
    arguments += ["-D", rig.dkim_key] if work.signed else []
    arguments += how_long(work, target, settings) + ["127.0.0.1:%d" % port]
    sink, questions, start = rig.sink_counts(), udp_in(), {g: cpu_us(g) for g in ("peer", "gen", "sink", "dns")}
    row = outcome(generator(arguments))
    used = {g: [(b - a) / 1e6 for a, b in zip(start[g], cpu_us(g))] for g in start}
    questions = udp_in() - questions
    time.sleep(0.2)
    after = rig.sink_counts()
    units = {"hs": row["sessions_ok"], "refused": row["reject"] + row["tempfail"],
             "flood": row["reject"] + row["tempfail"]}.get(work.kind, row["msgs"])
    cpu, user, system = used["peer"]
    row.update(units=units, per_s=units / row["secs"], cpu=cpu, cpu_user=user, cpu_sys=system, gen_cpu=used["gen"][0],
               sink_cpu=used["sink"][0], dns_cpu=used["dns"][0], cpu_ms=cpu / units * 1e3 if units else None,
               questions=questions / 2 / units if units else None)
    row.update({("sink" if k == "msgs" else k): after[k] - sink[k] for k in ("msgs", "bad", "tagged", "dkim")})
    if work.signed and "dkim" in target.checks.split() and row["dkim"] < row["sink"]:
        raise ValueError("%d of %d messages came without dkim=pass" % (row["sink"] - row["dkim"], row["sink"]))
    if work.kind == "verify":
        row.update(compare_ids(os.path.join(target.run, "acked"), rig.ids))
    return row


def compare_ids(acked, stored):
    """Acknowledged messages that the sink does not have, and those that it has more than once."""
    with open(acked, encoding="ascii") as f:
        ids = f.read().split()
    with open(stored, encoding="ascii") as f:
        seen = Counter(f.read().split())
    return {"lost": sum(1 for i in ids if i not in seen), "dup": sum(seen[i] - 1 for i in ids if seen[i] > 1)}


# ---- idle sessions ----

def held_sessions(rig, target, name, _):
    """Memory before and while sessions are held; the generator says when all are up and lets go at the end of its input."""
    work = WORKLOADS[name]
    options, port = target.tls_options(work.tls)
    want = min(work.held, target.idle_max, DESCRIPTORS)
    settled("peer")
    before, kernel, cpu = pss_kib("peer"), kernel_kib(), cpu_us("peer")[0]
    process = generator(list(work.args) + options + ["-i", want, "-c", 100, "-b", rig.addresses.fresh(), "-H", 120, "-t", 70,
                                                     "127.0.0.1:%d" % port], subprocess.PIPE)
    up = re.match(r"IDLE (\d+) of (\d+) in ([\d.]+)", process.stdout.readline())
    settled("peer")
    held = int(up.group(1)) if up else 0
    set_up = cpu_us("peer")[0] - cpu
    row = {"units": held, "asked": want, "base_kib": before, "processes": len(pids("peer")),
           "upstream": rig.sink_counts()["open"] - 1,
           "kib": (pss_kib("peer") - before) / held if held else None,
           "kernel_kib": (kernel_kib() - kernel) / held if held else None, "cpu_ms": set_up / held / 1e3 if held else None}
    process.stdin.close()
    process.stdin = None
    row["first_err"] = outcome(process)["first_err"]
    settled("peer")
    return row


# ---- system calls ----

def system_calls(rig, target, name, _):
    """strace counts for all processes of the target while a fixed number of messages passes."""
    work = WORKLOADS[name]
    options, port = target.tls_options(target.tls == "implicit")
    log = os.path.join(target.run, "strace")
    settled("peer")
    attach = [x for p in pids("peer") for x in ("-p", str(p))]
    if not attach:
        return {"units": 0, "calls": None, "kinds": {}}
    with subprocess.Popen(["strace", "-f", "-c", "-o", log] + attach, stderr=subprocess.DEVNULL) as tracer:
        time.sleep(1)
        row = outcome(generator(list(work.args) + options + ["-c", work.parallel, "-t", 120, "-b",
                                                            rig.addresses.fresh(name in LISTED), "-I", "st",
                                                            "127.0.0.1:%d" % port]))
        time.sleep(0.3)
        tracer.send_signal(signal.SIGINT)
    with open(log, encoding="latin-1") as f:
        kinds = Counter({k: int(n) for n, k in re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) (?:[\d ]*) (\w+)$", f.read(), re.M)
                         if k != "total"})
    units = (row["reject"] + row["tempfail"] if name in LISTED else row["msgs"]) or 1
    row.update(units=units, calls=sum(kinds.values()) / units,
               kinds={k: round(n / units, 1) for k, n in kinds.most_common() if n / units >= 0.2})
    return row
