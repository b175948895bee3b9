#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""25-message-rules.py - the rules of the preset about a message, live: what is tagged, what watches, what is refused.

Each message comes over SMTP from a client without a right to any name.
"""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from lab import Lab

DATED = b"Date: Mon, 1 Dec 2025 10:00:00 +0000\r\n"
TWO = DATED + b"From: Joe <joe@a.invalid>\r\nFrom: boss@b.invalid\r\n\r\nbody\r\n"
SENDER = "a@none.test"


def glacis(g, *words):
    done = subprocess.run([g.program, *words, "-c", g.path], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def reload(lab, old, new):
    """The file with another line."""
    with open(lab.g.path, encoding="utf-8") as file:
        text = file.read()
    must(old in text, "%r in the file" % old, text)
    lab.g.write(text.replace(old, new))
    said = glacis(lab.g, "reload")
    must("ok generation" in said, "reloaded", said)


def seen(lab):
    with open(os.path.join(lab.g.dir, "state", "rules-seen"), encoding="ascii") as file:
        return file.read()


@shows("a forged own domain is scored and tagged, and delivered")
def forged_domain(w):
    lab = Lab(w)
    t = lab.send("127.0.2.30", SENDER, content=DATED + b"From: The boss <boss@example.test>\r\n\r\nbody\r\n")
    must(t.code == "250" and t.field("X-Glacis-Score") == "5.0" and t.field("X-Glacis-Forged") == "own domain", "score 5", t)
    must("RULE_own-domain-forged" in t.tests, "marked", t)
    must("FROM_OURS_FORGED" in t.tests, "and a mark", t)


@shows("an unclear author and odd fields are scored and tagged, and delivered")
def tagged(w):
    lab = Lab(w)
    for head, score, forged, rules in (
            (DATED + b"From: Joe <joe@elsewhere.invalid>\r\n", "0.0", None, []),
            (DATED + b"From: =?utf-8?Q?boss=40example=2Etest?= <x@elsewhere.invalid>\r\n", "3.0", "author unclear",
             ["from-unclear"]),
            (b"From: joe@elsewhere.invalid\r\n", "1.0", None, ["headers-odd"]),
            (b"Subject: x\r\n", "4.0", "author unclear", ["from-unclear", "headers-odd"])):
        t = lab.send("127.0.2.30", SENDER, content=head + b"\r\nbody\r\n")
        must(t.code == "250" and t.field("X-Glacis-Score") == score and t.field("X-Glacis-Forged") == forged,
             "score %s, %s" % (score, forged), t)
        must([m for m in t.tests if m.startswith("RULE_")] == ["RULE_" + r for r in rules], rules, t)
    t = lab.send("127.0.2.30", SENDER, content=DATED + b"X-Glacis-Forged: x\r\nFrom: joe@elsewhere.invalid\r\n\r\nbody\r\n")
    must("x-glacis-forged" not in t.header.lower(), "one from outside is taken out", t)


@shows("a rule that is new on this machine watches, over a restart and a reload; watch_new_rules: 0 has it refuse")
def watches(w):
    lab = Lab(w)
    t = lab.send("127.0.2.30", SENDER, content=TWO)
    must(t.code == "250" and "RULE_from-several" in t.watched and "RULE_from-several" not in t.tests, "watched", t)
    record = seen(lab)
    must(re.search(r"^from-several [0-9a-f]{16} \d{10,}$", record, re.M), "its first start", record)
    must(re.search(r"^spf-fail [0-9a-f]{16} 0$", record, re.M), "what 0.1 had is known", record)
    said = glacis(lab.g, "status")
    must(re.search(r"(?m)^watches +rule from-several only watches until 20\d\d-\d\d-\d\d \d\d:\d\d UTC; since the start it "
                   r"would have acted on 1$", said), "status", said)
    rows = json.loads(glacis(lab.g, "status", "--json"))["watched_rules"]
    must([(r["rule"], r["would_have_acted"]) for r in rows] == [("from-several", 1), ("dmarc-reject", 0)], "in JSON", rows)
    must("note: rule from-several only watches until " in glacis(lab.g, "check"), "check says so")

    lab.g.stop()
    lab.g.start()
    must(seen(lab) == record, "a restart keeps the dates", seen(lab))
    t = lab.send("127.0.2.30", SENDER, content=TWO)
    must(t.code == "250" and "RULE_from-several" in t.watched, "still watched", t)

    reload(lab, "policy:\n", "policy:\n  watch_new_rules: 0\n")
    t = lab.send("127.0.2.30", SENDER, content=TWO)
    must((t.code, t.enhanced) == ("550", "5.6.0") and "2 From fields of different domains" in t.text, "550 5.6.0", t)
    must("only watches" not in glacis(lab.g, "check"), "check says nothing")

    # the end of the week, as the record has it
    reload(lab, "  watch_new_rules: 0\n", "")
    must(lab.send("127.0.2.30", SENDER, content=TWO).code == "250", "watches again")
    past = re.sub(r"(?m)^(from-several \w+) \d+$", r"\1 1000000000", record)
    with open(os.path.join(lab.g.dir, "state", "rules-seen"), "w", encoding="ascii") as file:
        file.write(past)
    reload(lab, "policy:\n", "policy: # another text\n")
    must(lab.send("127.0.2.30", SENDER, content=TWO).code == "550", "the week is over")


@shows("a mode in override ends the watch of that rule; unless narrows it")
def overridden(w):
    lab = Lab(w, policy="override: {from-several: {mode: enforce, unless: {sender.local: trusted}}}")
    must(lab.send("127.0.2.30", SENDER, content=TWO).code == "550", "refused")
    must(lab.send("127.0.2.30", "trusted@none.test", content=TWO).code == "250", "not this one")


if __name__ == "__main__":
    run()
