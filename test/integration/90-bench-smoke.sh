#!/bin/sh
# 90-bench-smoke.sh - the bench works, and what it counts is true: BENCH_MESSAGES (default 200) messages of 64 KiB go through
# glacis; every one that was acknowledged is in the sink once, its sum and its added header are right.
# No times are judged.  Skipped where network namespaces or control groups may not be made.
. "$(dirname "$0")/lib.sh"
need_root
need ip nsenter unshare rbldnsd gcc make openssl
count=${BENCH_MESSAGES:-200}
unshare -nm true 2>/dev/null || skip "network namespaces are not permitted"
groups=/sys/fs/cgroup/unified
[ -d $groups ] || groups=/sys/fs/cgroup
mkdir -p $groups/smtpbench/peer 2>/dev/null || skip "control groups are not permitted"
[ -f $groups/smtpbench/peer/cpu.stat ] || skip "control groups have no cpu.stat"

"$ROOT/test/bench/compare.sh" -r 1 -W 0 -Q 0 -n "$count" -w verify -o "$work/results" glacis-bare glacis \
    >"$work/table" 2>"$work/errors" || {
    grep -q "another run is going on" "$work/errors" && skip "another bench is running"
    cat "$work/errors"
    fail "the bench did not run"
}
"$PYTHON" - "$work/results/raw.jsonl" "$count" <<'PY'
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1], encoding="ascii")]
count = int(sys.argv[2])
assert [r["target"] for r in rows] == ["glacis-bare", "glacis"], rows
for r in rows:
    seen = {k: r[k] for k in ("msgs", "sink", "lost", "dup", "bad", "tagged", "reject", "tempfail", "ioerr")}
    want = {"msgs": count, "sink": count, "lost": 0, "dup": 0, "bad": 0, "tagged": count, "reject": 0, "tempfail": 0, "ioerr": 0}
    assert seen == want, (r["target"], seen, want)
    print("ok %s: %d messages, none lost, doubled or changed" % (r["target"], count))
PY
passed=$((passed + 2))
