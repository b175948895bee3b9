#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# coverage.sh - which lines the tests run: a build with gcc --coverage, then unit tests, transcripts and fuzz corpora in it;
# prints lines covered by folder and the twenty files with most lines left, and fails below 85 % where that is promised.
#
# Usage: test/coverage.sh [--no-run] [BUILD]
#   --no-run   counts what was run in BUILD before: tests can be run there by hand, one after the other
#   BUILD      default build-coverage
# Not counted: test/integration.  Its processes give up the right to open files (seccomp) before they end, so they
# cannot write their counters: what only they run (supervisor, sandbox, recorder, main) shows as not covered here.
# Takes a quarter of an hour on two cores.  Needs gcc, gcovr and python3.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
run=true
[ "${1:-}" != --no-run ] || {
    run=false
    shift
}
build=$(realpath -m "${1:-$root/build-coverage}")
command -v gcovr >/dev/null || { echo "gcovr is not installed"; exit 77; }
cd "$root"
if $run; then
    mkdir -p "$build"
    cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=coverage -DCMAKE_C_COMPILER=gcc >"$build/coverage.log" 2>&1 || {
        cat "$build/coverage.log"
        exit 1
    }
    nice cmake --build "$build" -j 2 >"$build/coverage.log" 2>&1 || {
        tail -n 40 "$build/coverage.log"
        exit 1
    }
    find "$build" -name '*.gcda' -delete
    (cd "$build" && nice ctest -j 2 -L 'unit|sim|fuzz' 2>&1 | sed -n '/tests passed/,$p')
fi
set -- "$build"/CMakeFiles/g_*.dir
nice gcovr --root "$root" --exclude 'test/.*' --gcov-ignore-parse-errors --json-summary "$build/coverage.json" "$@" >/dev/null
python3 - "$build/coverage.json" <<'PY'
"""Tables of a gcovr summary; exit status 1 if a promise of 85 % is not kept."""
import json
import sys

PROMISED = 85.0
FOLDERS = ("core", "config", "smtp", "tls", "dns", "state", "policy", "admin", "proxy")
KEPT = ("core", "config", "smtp", "dns", "policy")

files = {f["filename"]: (f["line_covered"], f["line_total"])
         for f in json.load(open(sys.argv[1], encoding="utf-8"))["files"] if f["line_total"]}


def row(name, names, promised):
    covered = sum(files[n][0] for n in names)
    total = sum(files[n][1] for n in names)
    percent = 100.0 * covered / max(total, 1)
    bad = promised and percent < PROMISED
    print(f"| {name:<22} | {total:6} | {percent:5.1f} |{' below 85' if bad else ''}")
    return not bad


print(f"| {'folder':<22} | {'lines':>6} | {'%':>5} |\n| {'-' * 22} | {'-' * 6} | {'-' * 5} |")
good = True
for folder in FOLDERS:
    good &= row(folder, [n for n in files if n.startswith(folder + "/")], folder in KEPT)
good &= row("all", list(files), False)
print("\nMost lines left:")
for name in sorted(files, key=lambda n: files[n][0] - files[n][1])[:20]:
    covered, total = files[name]
    print(f"{total - covered:5} of {total:4}  {name}")
sys.exit(0 if good else 1)
PY
