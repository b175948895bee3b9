#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""20-protocol.py - conformance: every requirement by its id, black box, against scripted upstreams.

Usage: 20-protocol.py [PATTERN...]   only cases whose id or setup matches one of the regular expressions
Prints each failure with what was expected and seen, and `N passed, N failed, N skipped`.
"""
import os
import re
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from cases import harness
from cases import (bdat, commands, content, greeting, headers, limits, local,  # noqa: F401  (they register)
                   relay_control, replies, upstream)
from cases.setups import SETUPS
from checks import calls_refused

LOCK = threading.Lock()


def run_setup(setup, cases, directory, results):
    """All cases of one setup."""
    started = time.monotonic()
    if not setup.possible():
        results.extend((c[0], "skipped") for c in cases)
        return
    try:
        setup.start(directory)
    except Exception as e:  # pylint: disable=broad-except
        with LOCK:
            print("setup %s did not start: %s" % (setup.name, e), flush=True)
            if not isinstance(e, (RuntimeError, harness.Lost)):
                traceback.print_exc()
            results.extend((c[0], "failed") for c in cases)
        setup.stop()
        return
    for ident, what, _, function in cases:
        outcome, text = harness.run_case(setup, ident, what, function)
        with LOCK:
            results.append((ident, outcome))
            if outcome != "passed" or os.environ.get("VERBOSE"):
                print("%s %s [%s] %s\n    %s" % (outcome, ident, setup.name, what, text.replace("\n", "\n    ")),
                      flush=True)
    refused = calls_refused(setup.glacis)
    status = setup.stop()
    log = setup.glacis.log_text()
    with LOCK:
        if refused or "sandbox_denied" in log:
            print("failed: the sandbox refused %d system calls in setup %s" % (refused, setup.name))
            results.append(("sandbox", "failed"))
        if status != 0:
            print("failed: glacis of setup %s ended with %s:\n%s" % (setup.name, status, log[-3000:]))
            results.append(("exit", "failed"))
        if "ERROR: AddressSanitizer" in log or "runtime error:" in log or "LeakSanitizer" in log:
            print("failed: sanitizer report in setup %s:\n%s" % (setup.name, log[-6000:]))
            results.append(("sanitizer", "failed"))
        if os.environ.get("VERBOSE"):
            print("setup %s: %d cases in %.1f s" % (setup.name, len(cases), time.monotonic() - started))


def main():
    patterns = sys.argv[1:]
    chosen = [c for c in harness.CASES
              if not patterns or any(re.search(p, c[0]) or p == c[2] for p in patterns)]
    unknown = {c[2] for c in chosen} - {s.name for s in SETUPS}
    if unknown:
        sys.exit("cases name unknown setups: %s" % unknown)
    program = os.environ.get("GLACIS", "build/glacis")
    if not os.path.exists(program):
        print("skipped: no program at %s" % program)
        sys.exit(77)
    os.environ["GLACIS"] = os.path.abspath(program)
    results = []
    with tempfile.TemporaryDirectory(prefix="glacis-20-") as directory, \
         ThreadPoolExecutor(int(os.environ.get("SETUPS_AT_ONCE", "6"))) as pool:
        jobs = [pool.submit(run_setup, s, [c for c in chosen if c[2] == s.name], directory, results)
                for s in SETUPS if any(c[2] == s.name for c in chosen)]
        for job in jobs:
            job.result()
    count = {o: sum(1 for r in results if r[1] == o) for o in ("passed", "failed", "skipped")}
    ids = {r[0] for r in results}
    print("%d requirements by id" % len(ids))
    failed = sorted({r[0] for r in results if r[1] == "failed"})
    if failed:
        print("failed: %s" % " ".join(failed))
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % count)
    sys.exit(1 if count["failed"] else 0)


if __name__ == "__main__":
    main()
