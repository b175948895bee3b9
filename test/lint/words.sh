#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# words.sh ROOT - glacis-metrics(7) has each metric with its kind and labels, each log event and each log key, and no other.
set -eu
cd "${1:?usage: words.sh ROOT}"
exec python3 - <<'PY'
import glob
import re
import sys

PAGE = "core/glacis-metrics.7"
bad = []
folders = open("test/lint/folders", encoding="utf-8").read().split()
sources = {p: re.sub(r"/\*.*?\*/", "", open(p, encoding="utf-8").read(), flags=re.S)
           for f in folders for p in glob.glob(f + "/**/*.c", recursive=True)}
page = open(PAGE, encoding="utf-8").read()


def section(name):
    found = re.search(r"^\.Sh %s\n(.*?)(?=^\.Sh )" % name, page, flags=re.S | re.M)
    return found[1] if found else sys.exit("%s: no section %s" % (PAGE, name))


def items(name):
    return [w for line in re.findall(r"^\.It (.*)", section(name), flags=re.M) for w in line.split(" , ")]


def compare(what, code, words):
    if len(code) < 10:
        bad.append("the sources show only %d %s: has their form changed?" % (len(code), what))
    bad.extend("%s: the %s `%s` is missing" % (PAGE, what, w) for w in sorted(set(code) - set(words)))
    bad.extend("%s: the code has no %s `%s`" % (PAGE, what, w) for w in sorted(set(words) - set(code)))
    bad.extend("%s: the %s `%s` is there twice" % (PAGE, what, w) for w in sorted({w for w in words if words.count(w) > 1}))


# ---- metrics: the list in core/metrics.h, and the names that other files print ----

metrics = {}    # name -> (kind, {"label=value"})
header = open("core/metrics.h", encoding="utf-8").read()
for kind, name, label in re.findall(r'X\(\w+, (COUNTER|GAUGE|SECONDS), "(\w+)",\s+"((?:[^"\\]|\\.)*)"', header):
    known = metrics.setdefault(name, ("Counter" if kind == "COUNTER" else "Gauge", set()))
    if label:
        known[1].add(re.sub(r'[\\"]', "", label))
others = {n for text in sources.values() for n in re.findall(r'(?:"|# TYPE )(glacis_[a-z0-9_]+)', text)} - set(metrics)
told = {}
for name, body in re.findall(r"^\.It Ic (glacis_\w+)\n(.*?)(?=^\.It |^\.El)", section("METRICS"), flags=re.S | re.M):
    labels = set()
    for label, values in re.findall(r"^\.Ql (\w+) :\n([a-z0-9_.]+?(?:, [a-z0-9_.]+?)*)\.$", body, flags=re.M):
        labels |= {"%s=%s" % (label, v) for v in values.split(", ")}
    told[name] = (body.split()[0].rstrip("."), labels)
compare("metric", list(metrics) + list(others), re.findall(r"^\.It Ic (glacis_\w+)$", section("METRICS"), flags=re.M))
for name, (kind, labels) in metrics.items():
    if name in told and (told[name][0] != kind or told[name][1] != labels):
        bad.append("%s: %s is a %s with %s; the page says %s with %s"
                   % (PAGE, name, kind, sorted(labels), told[name][0], sorted(told[name][1])))

# ---- events: the names in every statement that begins a line of the log ----

LEVELS = {"error", "warn", "info", "debug", "trace"}
events = set()
for path, text in sources.items():
    for statement in re.split(r"[;{}]", text):
        if path != "core/log.c" and re.search(r"\bLOG_LEVEL_|\blog_begin\(|\blog_msg\(", statement):
            events |= set(re.findall(r'"([a-z]+(?:_[a-z]+)*)"', statement)) - LEVELS
compare("log event", list(events), items("LOG EVENTS"))

# ---- keys: the argument of the functions that write one; log.c writes those of every line ----

PLACE = {"log_str": 1, "log_text": 1, "log_num": 1, "log_bool": 1, "log_ip": 1, "log_list_begin": 1, "log_names": 1,
         "log_word": 2, "put_address": 2}
keys = {"time", "level", "process", "worker", "event", "msg"}
for path, text in sources.items():
    for function, arguments in re.findall(r"\b(%s)\(([^;]*?)\);" % "|".join(PLACE), text):
        words = arguments.split(",")
        keys |= set(re.findall(r'"([a-z_]+)"', words[PLACE[function]] if len(words) > PLACE[function] else ""))
compare("log key", list(keys), items("LOG KEYS"))
sys.exit("\n".join(bad) or 0)
PY
