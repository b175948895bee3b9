#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""requirements.py [--write] - keeps docs/internals/requirements.md true: each requirement id beside the tests that name it.

The page owns the ids and their words.  This script owns the last column: it searches the tests for each id and compares, or
with --write fills the column.  A row whose id no test names gives a reason there instead: `none: ...`.

A test names an id as `DAT-11`; behind one of these, `-12`, `and -12` and `to -15` mean ids of the same group.
"""
import os
import re
import subprocess
import sys

PAGE = "docs/internals/requirements.md"
ROW = re.compile(r"^\| ([A-Z]{3}-\d\d) \| (.*?) \| (.*?) \|$")
NAMED = re.compile(r"\b([A-Z]{3})-(\d\d)((?:(?:, |,? and |,? to(?:[ \n*#]+[A-Z]{3}| ))-\d\d)*)(?!\d)")
NO_IDS = {"UTF-16", "UTF-32"}


def test_files():
    listed = subprocess.run(["test/files.sh", "."], capture_output=True, text=True, check=True).stdout.split("\n")
    for path in listed:
        path = path.removeprefix("./")
        if re.search(r"^test/(unit|sim|integration|fuzz)/.*\.(c|h|py|sh|smtp)$", path):
            yield path


def ids_of(text):
    """Each id that the text names, `DAT-11 to -13` spread out."""
    for group, first, more in NAMED.findall(text):
        numbers = [int(first)]
        for word, number in re.findall(r"(,|and|to)[ \n*#]+(?:[A-Z]{3})?-(\d\d)", more):
            start = numbers[-1] + 1 if word == "to" else int(number)
            numbers += range(start, int(number) + 1)
        for number in numbers:
            yield "%s-%02d" % (group, number)


def tests_by_id(groups):
    found = {}
    for path in test_files():
        with open(path, encoding="utf-8", errors="replace") as f:
            for name in ids_of(f.read()):
                if name[:3] in groups and name not in NO_IDS:
                    found.setdefault(name, set()).add(path.removeprefix("test/"))
    return found


def cell(paths):
    return ", ".join("`%s`" % p for p in sorted(paths))


def main():
    with open(PAGE, encoding="utf-8") as f:
        lines = f.read().split("\n")
    rows = [m for m in map(ROW.match, lines) if m]
    known = [m[1] for m in rows]
    if len(rows) < 300:
        sys.exit("%s: only %d rows were found; has their form changed?" % (PAGE, len(rows)))
    found = tests_by_id({k[:3] for k in known})
    bad = ["%s: %s has two rows" % (PAGE, k) for k in sorted({k for k in known if known.count(k) > 1})]
    bad += ["%s is in no row of %s: test/%s" % (k, PAGE, sorted(found[k])[0]) for k in sorted(found) if k not in known]
    for n, line in enumerate(lines):
        m = ROW.match(line)
        if not m:
            continue
        name, words, last = m.groups()
        want = cell(found[name]) if name in found else last
        if name in found and want != last:
            lines[n] = "| %s | %s | %s |" % (name, words, want)
            if "--write" not in sys.argv:
                bad.append("%s:%d: the tests of %s have changed: run test/requirements.py --write" % (PAGE, n + 1, name))
        elif name not in found and not re.fullmatch(r"none: .{10,}", last):
            bad.append("%s:%d: no test names %s: name it in the test that shows it, or give a reason as `none: ...`"
                       % (PAGE, n + 1, name))
    if "--write" in sys.argv:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write("\n".join(lines))
    if bad:
        sys.exit("\n".join(bad))


if __name__ == "__main__":
    main()
