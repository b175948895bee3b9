# SPDX-License-Identifier: Apache-2.0
"""report.py - rows of measure.py as the tables of docs/performance.md (markdown) and as JSON.

Each figure is the median of the undisturbed repetitions; where all were disturbed, of all, and it is marked with ~.
A ratio to HAProxy divides such medians of one run; what uses TLS is divided by haproxy-tls.
"""
import json
import os
import statistics
import textwrap

from workloads import PARALLEL, WORKLOADS

LATENCIES = (("banner", "banner"), ("RCPT", "rcpt"), ("final reply", "dot"))
P50, P99 = 0, 2
BEGIN, END = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"     # in docs/performance.md


def load(paths):
    rows = []
    for path in paths:
        with open(path, encoding="ascii") as f:
            rows += [json.loads(line) for line in f]
    return rows


def one_line(row):
    """For the person who watches."""
    head = "%-14s %-12s" % (row["target"], row["workload"])
    tail = " other %.0f%%%s" % (row["other"] * 100, " DISTURBED" if row["disturbed"] else "")
    if "kib" in row:
        return head + "held %d of %d, %s KiB each %s" % (row["units"], row["asked"], number(row["kib"], "%.2f"), row["first_err"]) + tail
    if "calls" in row:
        return head + "%s calls" % number(row["calls"], "%.1f") + tail
    errors = sum(row[k] for k in ("ioerr", "proto_err"))
    return head + "%7.0f/s, %s ms CPU, refused %d, later %d, errors %d %s" % (
        row["per_s"], number(row["cpu_ms"], "%.3f"), row["reject"], row["tempfail"], errors, row["first_err"]) + tail


def number(value, form):
    return "-" if value is None else form % value


class Results:
    """Rows, and questions about them."""

    def __init__(self, rows, facts):
        self.rows, self.facts = rows, facts
        self.targets = list(dict.fromkeys(r["target"] for r in rows))

    def of(self, target, work):
        """(rows to use, True if all of them were disturbed)"""
        rows = [r for r in self.rows if r["target"] == target and r["workload"] == work]
        calm = [r for r in rows if not r["disturbed"]]
        return calm or rows, bool(rows) and not calm

    def median(self, target, work, key, index=None):
        values = [r.get(key) for r in self.of(target, work)[0]]
        values = [v if index is None else v[index] for v in values if v is not None]
        return statistics.median(values) if values else None

    def mark(self, target, work):
        return "~" if self.of(target, work)[1] else ""

    def ratio(self, target, work, key="cpu_ms"):
        """To HAProxy in this run."""
        ours = self.median(target, work, key)
        base = self.median("haproxy-tls" if WORKLOADS[work].tls else "haproxy", work, key)
        return ours / base if ours is not None and base else None

    def having(self, works):
        """Targets with at least one of these workloads."""
        return [t for t in self.targets if any(self.of(t, w)[0] for w in works)]

    def ran(self, works):
        return [w for w in works if any(self.of(t, w)[0] for t in self.targets)]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def quiet(res):
    """How much others took, and how many repetitions that spoiled."""
    others = sorted(r["other"] for r in res.rows) or [0.0]
    bad = sum(r["disturbed"] for r in res.rows)
    facts = res.facts
    text = "%s, %s cores, Linux %s, %s. " % tuple(facts[k] for k in ("cpu", "cores", "kernel", "date")) if "cpu" in facts else ""
    text += ("%d repetitions; meanwhile others took %.1f %% of the machine (median; most %.0f %%), the host %.1f %%. %d were "
             "disturbed (above the limit) and are left out where an undisturbed one exists; `~`: there was none." % (
                 len(res.rows), statistics.median(others) * 100, others[-1] * 100,
                 statistics.mean([r["steal"] for r in res.rows] or [0.0]) * 100, bad))
    text = textwrap.fill(text, 138)
    for name, why in facts.get("absent", {}).items():
        text += "\nNot in it: %s (%s)." % (name, why)
    return text


def cpu_table(res):
    works = res.ran([n for n, w in WORKLOADS.items() if w.kind == "msg" and n not in PARALLEL])
    rows = []
    for t in res.having(works):
        if t != "direct":
            rows.append([t] + ["-" if res.median(t, w, "cpu_ms") is None else "%s%.3f (%s)" % (
                res.mark(t, w), res.median(t, w, "cpu_ms"), number(res.ratio(t, w), "%.2f")) for w in works])
    return "CPU of all processes for one message, ms (multiple of HAProxy's in the same run)", table(["target"] + works, rows), rows


def speed_table(res):
    works = res.ran([n for n, w in WORKLOADS.items() if w.kind in ("msg", "hs") and n not in PARALLEL])
    rows = [[t] + [res.mark(t, w) + number(res.median(t, w, "per_s"), "%.0f") for w in works] for t in res.having(works)]
    return "Messages (or sessions) a second at saturation, one core for the generator", table(["target"] + works, rows), rows


def refused_table(res):
    base = res.median("postfix-rbl", "refused", "cpu_ms")
    rows = []
    for t in res.having(["refused"]):
        cpu = res.median(t, "refused", "cpu_ms")
        rows.append([t, res.mark(t, "refused") + number(cpu, "%.3f"), number(base / cpu if base and cpu else None, "%.1f"),
                     number(res.median(t, "refused", "per_s"), "%.0f"), number(res.median(t, "refused", "questions"), "%.1f"),
                     number(sum(r["msgs"] for r in res.of(t, "refused")[0]), "%d")])
    return "Refused sessions: the client is on four lists", table(
        ["target", "CPU ms", "times less than postfix-rbl", "refused/s", "questions", "let through"], rows), rows


def flood_table(res):
    rows = []
    for t in res.having(["flood600"]):
        runs = [r for r in res.rows if r["target"] == t and r["workload"] == "flood600"]
        rows.append([t, str(len(runs))] + [str(sum(r[k] for r in runs)) for k in ("units", "msgs", "ioerr")])
    return "600 listed clients at once", table(["target", "runs", "refused", "let through", "broken off"], rows), rows


def latency_table(res):
    rows = []
    for work in ("rate50", "rate200"):
        for t in res.having([work]):
            cells = [t, WORKLOADS[work].text.split(", ")[-1]]
            for _, key in LATENCIES:
                p50, p99 = res.median(t, work, key, P50), res.median(t, work, key, P99)
                base = res.median("direct", work, key, P99)
                more = (p99 - base) / 1e3 if base is not None and p99 is not None else None
                cells.append("-" if p50 is None else "%s%.2f / %.2f (%s)" % (res.mark(t, work), p50 / 1e3, p99 / 1e3,
                                                                           number(more, "%+.2f")))
            rows.append(cells)
    return "Latency in ms, p50 / p99 (p99 more than without a proxy)", table(["target", "rate"] + [n for n, _ in LATENCIES], rows), rows


def idle_table(res):
    rows = []
    for work in [n for n, w in WORKLOADS.items() if w.kind == "idle"]:
        for t in res.having([work]):
            rows.append([t, "TLS" if WORKLOADS[work].tls else "plain", "%d of %d" % (res.median(t, work, "units"), res.median(t, work, "asked")),
                         number(res.median(t, work, "kib"), "%.2f"), number(res.median(t, work, "kernel_kib"), "%.1f"),
                         number(res.median(t, work, "upstream"), "%d"), number(res.median(t, work, "processes"), "%d")])
    return "An idle session after EHLO, KiB", table(
        ["target", "kind", "held", "PSS each", "kernel, both ends", "upstream connections", "processes"], rows), rows


def handshake_table(res):
    rows = [[t, res.mark(t, "tlshs") + number(res.median(t, "tlshs", "per_s"), "%.0f"),
             "%s (%s)" % (number(res.median(t, "tlshs", "cpu_ms"), "%.3f"), number(res.ratio(t, "tlshs"), "%.2f"))]
            for t in res.having(["tlshs"])]
    return "TLS handshakes", table(["target", "a second", "CPU ms each (of HAProxy's)"], rows), rows


def calls_table(res):
    rows = []
    for work in ("calls4k", "calls1m", "callsrefused"):
        for t in res.having([work]):
            kinds = res.of(t, work)[0][-1].get("kinds", {})
            rows.append([t, WORKLOADS[work].text.split("for ")[-1], number(res.median(t, work, "calls"), "%.1f"),
                         ", ".join("%s %s" % (n, k) for k, n in list(kinds.items())[:8])])
    return "System calls of all processes, each", table(["target", "of", "calls", "most of them"], rows), rows


def growth_table(res):
    works = res.ran(PARALLEL)
    rows = [[t] + ["%s%s (%s)" % (res.mark(t, w), number(res.median(t, w, "cpu_ms"), "%.3f"), number(res.ratio(t, w), "%.2f"))
                   for w in works] for t in res.having(works)]
    return "CPU ms of a 4 KiB message by sessions in parallel", table(["target"] + [w[3:] for w in works], rows), rows


def faults_table(res):
    """What must be empty: messages lost or changed, sessions that broke."""
    rows = []
    for r in res.rows:
        if "sink" not in r:
            continue
        kind = WORKLOADS[r["workload"]].kind
        wrong = {"changed": r["bad"], "not at the sink": max(0, r["msgs"] - r["sink"]), "broken": r["ioerr"] + r["proto_err"]}
        if kind not in ("refused", "flood"):
            wrong["refused"] = r["reject"] + r["tempfail"]
        wrong.update({k: r[k] for k in ("lost", "dup") if k in r})
        said = ", ".join("%s %d" % item for item in wrong.items() if item[1])
        if said:
            rows.append([r["target"], r["workload"], said, r["first_err"]])
    return "What went wrong (nothing, if empty)", table(["target", "workload", "how often", "the first"], rows), rows


TABLES = {"cpu": cpu_table, "speed": speed_table, "refused": refused_table, "flood": flood_table, "latency": latency_table,
          "idle": idle_table, "handshakes": handshake_table, "calls": calls_table, "growth": growth_table, "faults": faults_table}


def markdown(res):
    parts = [quiet(res)]
    for make in TABLES.values():
        title, text, rows = make(res)
        if rows:
            parts.append("## %s\n\n%s" % (title, text))
    return "\n\n".join(parts) + "\n"


def into(path, text):
    """Puts the text between the marks of a document."""
    with open(path, encoding="utf-8") as f:
        before, rest = f.read().split(BEGIN)
    after = rest.split(END)[1]
    with open(path, "w", encoding="utf-8") as f:
        f.write(before + BEGIN + "\n" + text + "\n" + END + after)


def figures(res):
    """{target: {workload: {key: median}}} with ratios, for programs."""
    keys = ("units", "per_s", "cpu_ms", "questions", "kib", "kernel_kib", "calls", "msgs")
    out = {}
    for t in res.targets:
        for w in dict.fromkeys(r["workload"] for r in res.rows if r["target"] == t):
            found = {k: res.median(t, w, k) for k in keys}
            found.update({"p50_us_" + k: res.median(t, w, k, P50) for _, k in LATENCIES})
            found.update({"p99_us_" + k: res.median(t, w, k, P99) for _, k in LATENCIES})
            rows, disturbed = res.of(t, w)
            found.update(ratio=res.ratio(t, w), repetitions=len(rows), disturbed=disturbed)
            out.setdefault(t, {})[w] = {k: v for k, v in found.items() if v is not None}
    return out


def write(res, directory):
    with open(os.path.join(directory, "report.md"), "w", encoding="ascii") as f:
        f.write(markdown(res))
    with open(os.path.join(directory, "report.json"), "w", encoding="ascii") as f:
        json.dump({"machine": res.facts, "figures": figures(res)}, f, indent=1)
