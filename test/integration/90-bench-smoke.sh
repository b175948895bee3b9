#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 90-bench-smoke.sh - the bench works, and what it counts is true: BENCH_MESSAGES (default 100) messages of 64 KiB go through
# each target that is installed; every one that was acknowledged is in the sink once, its sum and its added header are right.
# 600 listed clients at once: glacis lets none through. Tables and JSON are made. No times are judged.
# Skipped where network namespaces or control groups may not be made.
. "$(dirname "$0")/lib.sh"
need_root
need ip nsenter unshare nsd gcc make openssl
count=${BENCH_MESSAGES:-100}
unshare -nm true 2>/dev/null || skip "network namespaces are not permitted"
groups=/sys/fs/cgroup/unified
[ -d $groups ] || groups=/sys/fs/cgroup
mkdir -p $groups/smtpbench/peer 2>/dev/null || skip "control groups are not permitted"
[ -f $groups/smtpbench/peer/cpu.stat ] || skip "control groups have no cpu.stat"

# bench NAME ARGUMENTS...: results in $work/NAME
bench() {
    results=$work/$1
    shift
    "$ROOT/test/bench/compare.sh" -r 1 -W 0 -Q 0 -n "$count" -o "$results" "$@" >>"$work/table" 2>"$work/errors.log" || {
        grep -q "another run is going on" "$work/errors.log" && skip "another bench is running"
        fail "the bench did not run"
    }
}

bench verify -w verify direct haproxy nginx postfix-bare postfix-rbl postscreen glacis-bare glacis-rdns glacis
bench flood -w flood600 glacis
"$PYTHON" - "$work" "$count" <<'PY'
import json
import sys

work, count = sys.argv[1], int(sys.argv[2])
with open(work + "/verify/raw.jsonl", encoding="ascii") as f:
    rows = [json.loads(line) for line in f]
with open(work + "/verify/report.json", encoding="ascii") as f:
    report = json.load(f)
present = {r["target"] for r in rows}
assert {"direct", "glacis-bare", "glacis-rdns", "glacis"} <= present, present
assert len(present) + len(report["machine"]["absent"]) == 9, (present, report["machine"]["absent"])
for r in rows:
    ours = r["target"].startswith("glacis")
    want = {"msgs": count, "sink": count, "lost": 0, "dup": 0, "bad": 0, "reject": 0, "tempfail": 0, "ioerr": 0}
    want.update({"tagged": count} if ours else {})
    seen = {k: r[k] for k in want}
    assert seen == want, (r["target"], seen, want, r["first_err"])
    assert report["figures"][r["target"]]["verify"]["msgs"] == count, report
    print("# %s: %d messages, none lost, doubled or changed" % (r["target"], count))
for name, why in report["machine"]["absent"].items():
    print("# left out: %s, %s" % (name, why))
with open(work + "/flood/raw.jsonl", encoding="ascii") as f:
    flood = json.loads(f.readline())
seen = {k: flood[k] for k in ("units", "msgs", "sink", "ioerr")}
assert seen == {"units": 600, "msgs": 0, "sink": 0, "ioerr": 0}, seen
PY
# What was disturbed is left out where something undisturbed exists, and is marked where not; a report can be made again.
"$PYTHON" - "$ROOT/test/bench" "$work/verify/raw.jsonl" >"$work/again" <<'PY'
import sys

sys.path.insert(0, sys.argv[1])
import report

row = {"target": "haproxy", "workload": "msg4k", "disturbed": False, "cpu_ms": 1.0}
rows = [row, dict(row, disturbed=True, cpu_ms=9.0), dict(row, target="x", cpu_ms=2.0), dict(row, target="y", disturbed=True)]
results = report.Results(rows, {})
assert results.median("haproxy", "msg4k", "cpu_ms") == 1.0 and results.mark("haproxy", "msg4k") == ""
assert results.ratio("x", "msg4k") == 2.0 and results.mark("y", "msg4k") == "~"
print(report.markdown(report.Results(report.load(sys.argv[2:]), {})))
PY
grep -q "repetitions; meanwhile others took" "$work/again" || fail "a report is made again from its rows"
cp "$ROOT/docs/performance.md" "$work/document"
"$PYTHON" "$ROOT/test/bench/compare.py" --from "$work/verify/raw.jsonl" "$work/flood/raw.jsonl" --into "$work/document"
grep -q "^| glacis | 1 | 600 | 0 | 0 |" "$work/document" || fail "the tables are put into docs/performance.md"
for file in "$ROOT/docs/performance.md" "$work/document"; do
    sed '/<!-- bench: begin -->/,/<!-- bench: end -->/d' "$file" >"$work/rest.$(basename "$file")"
done
cmp -s "$work/rest.performance.md" "$work/rest.document" || fail "the rest of the document is left as it is"
ok "messages through all targets that are installed: none lost, doubled or changed"
ok "600 listed clients at once: all refused"
grep -q "^| glacis | 1 | 600 | 0 | 0 |" "$work/table" || fail "the table of the flood is printed"
ok "the tables are printed"
