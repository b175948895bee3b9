#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hour.py BUILD [--cpu 3600] [--slice 300] [--jobs 2] [--state DIR] [TARGET ...] - an hour of CPU for each fuzz target.

BUILD is a fuzz build (README, docs/testing.md).  Every target gets slices of CPU time in turn, the one that has had the
least first, until each has its hour; what was spent and found is kept in DIR (default: BUILD/hour), so the hours may be
given on many evenings: the next call goes on where the last one ended.  CPU seconds are counted, not the clock's.

    hour.py BUILD                 goes on until all have had their hour, or until Ctrl-C
    hour.py BUILD --table         prints the table of docs/testing.md
    hour.py BUILD --merge         takes into test/fuzz/corpus what reaches something new; run it before a commit

A finding stops its target, leaves crash-* in DIR/TARGET.findings, and makes the exit code 1.
"""
import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, "corpus")
DICTIONARIES = {"spf": "spf", "dmarc": "dmarc", "yaml": "config", "policy": "config", "text": "config",
                "body": "smtp", "header": "smtp", "reply": "smtp", "scene": "smtp", "session": "smtp",
                "smtp_command": "smtp", "proxy_header": "smtp"}
LENGTH = 4096          # octets of an input at most
MEMORY_MB = 2048       # libFuzzer calls more a finding


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("target", nargs="*")
    parser.add_argument("--cpu", type=float, default=3600, help="CPU seconds each target is to have in all")
    parser.add_argument("--slice", type=float, default=300, help="CPU seconds of one turn")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--state")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--merge", action="store_true")
    given = parser.parse_intermixed_args()
    given.build = os.path.abspath(given.build)
    given.state = os.path.abspath(given.state or os.path.join(given.build, "hour"))
    given.target = given.target or sorted(os.listdir(CORPUS))
    return given


class Target:
    """What is known of one target: DIR/NAME.json, its new inputs in DIR/NAME, its findings in DIR/NAME.findings."""

    def __init__(self, name, given):
        self.name, self.build, self.state = name, given.build, given.state
        self.inputs = os.path.join(given.state, name)
        self.findings = self.inputs + ".findings"
        for folder in (self.inputs, self.findings):
            os.makedirs(folder, exist_ok=True)
        self.figures = {"cpu": 0.0, "runs": 0, "first": 0, "edges": 0}
        if os.path.exists(self.inputs + ".json"):
            with open(self.inputs + ".json", encoding="ascii") as file:
                self.figures.update(json.load(file))
        self.child = self.log = None

    def start(self, cpu):
        """One turn: it ends by SIGINT when its CPU time is spent (libFuzzer ends by the clock only)."""
        command = [os.path.join(self.build, "fuzz_" + self.name), f"-max_len={LENGTH}", f"-rss_limit_mb={MEMORY_MB}",
                   "-timeout=120", "-print_final_stats=1", f"-artifact_prefix={self.findings}/"]
        if self.name in DICTIONARIES:
            command.append("-dict=" + os.path.join(HERE, DICTIONARIES[self.name] + ".dict"))
        with open(self.inputs + ".log", "wb") as log:
            self.child = subprocess.Popen(command + [self.inputs, os.path.join(CORPUS, self.name)], stdout=log, stderr=log,
                                          preexec_fn=lambda: (os.nice(19), os.setpgrp()), cwd=os.path.join(HERE, "..", ".."))
        self.spent_until = self.figures["cpu"] + cpu
        self.spent = 0.0

    def looked_at(self):
        """Counts the CPU time of the running turn.  True once the turn is over."""
        pid, status, used = os.wait4(self.child.pid, os.WNOHANG)
        if pid:
            self.child.returncode = os.waitstatus_to_exitcode(status)
            self.ended(used.ru_utime + used.ru_stime)
            return True
        with open(f"/proc/{self.child.pid}/stat", encoding="ascii") as file:
            ticks = file.read().rpartition(")")[2].split()[11:13]
        self.spent = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        if self.figures["cpu"] + self.spent >= self.spent_until:
            os.kill(self.child.pid, signal.SIGINT)
        return False

    def ended(self, cpu):
        with open(self.inputs + ".log", encoding="latin-1") as file:
            log = file.read()
        covered = [int(number) for number in re.findall(r"cov: (\d+)", log)]
        runs = re.findall(r"^#(\d+)", log, re.M)
        self.figures["cpu"] += cpu
        self.figures["runs"] += max(map(int, runs), default=0)
        if covered:
            self.figures["first"] = self.figures["first"] or covered[0]
            self.figures["edges"] = covered[-1]
        with open(self.inputs + ".json", "w", encoding="ascii") as file:
            json.dump(self.figures, file)
        self.child = None
        print(f"{time.strftime('%H:%M:%S')} {self.name}: {self.figures['cpu'] / 60:.1f} minutes, {self.figures['runs']} runs, "
              f"{self.figures['edges']} edges{', A FINDING: ' + self.findings if self.found() else ''}", flush=True)

    def found(self):
        return bool(os.listdir(self.findings))

    def merge(self):
        """The corpus gets what reaches an edge that it does not reach; the inputs found stay in DIR."""
        before = len(os.listdir(os.path.join(CORPUS, self.name)))
        done = subprocess.run([os.path.join(self.build, "fuzz_" + self.name), "-merge=1", "-use_counters=0",
                               f"-max_len={LENGTH}", os.path.join(CORPUS, self.name), self.inputs],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        print(f"{self.name}: {before} inputs, {len(os.listdir(os.path.join(CORPUS, self.name)))} now", flush=True)
        return done.returncode == 0

    def row(self):
        f = self.figures
        inputs = len(os.listdir(os.path.join(CORPUS, self.name)))
        return (f"| `{self.name}` | {f['cpu'] / 60:.1f} | {f['runs']:,} | {f['first']} | {f['edges']} | {inputs} "
                f"| {len(os.listdir(self.findings))} |")


def hours(targets, given):
    """Turns for all, the least served first, at most --jobs at once."""
    running, stop = [], []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.append(True))
    while True:
        waiting = [] if stop else sorted((t for t in targets if t not in running and not t.found()
                                          and t.figures["cpu"] < given.cpu), key=lambda t: t.figures["cpu"])
        for target in waiting[:given.jobs - len(running)]:
            target.start(min(given.slice, given.cpu - target.figures["cpu"]))
            running.append(target)
        if not running:
            return
        time.sleep(0.5)
        for target in running:
            if stop and target.child:
                os.kill(target.child.pid, signal.SIGINT)
        running = [target for target in running if not target.looked_at()]


def main():
    given = arguments()
    os.makedirs(given.state, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    targets = [Target(name, given) for name in given.target]
    if given.table:
        print("| target | CPU minutes | runs | edges at start | at the end | inputs | open findings |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        print("\n".join(target.row() for target in targets))
        return 0
    if given.merge:
        return 0 if all([target.merge() for target in targets]) else 1
    hours(targets, given)
    return 1 if any(target.found() for target in targets) else 0


if __name__ == "__main__":
    sys.exit(main())
