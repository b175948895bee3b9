#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# prefixes.sh ROOT - from the name of a function one finds its file.
#
# A function that a header declares begins with the header's name, its room's name, or the name of a .c file of that room;
# of supervisor_files.c `files` is enough.
# prefixes.allow names other prefixes, for one header each.
set -eu
cd "${1:?usage: prefixes.sh ROOT}"
# shellcheck disable=SC2046  # folders are words
exec python3 - $(find $(cat test/lint/folders) policy -name '*.h' | sort -u) <<'PY'
import os
import re
import sys


def declared(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"^#(?:[^\n]*\\\n)*[^\n]*\n", "", text, flags=re.M)
    for m in re.finditer(r"^(?!static|typedef|\s|\})[\w \*]+?[ \*](\w+)\((?!\*)", text, flags=re.M):
        yield m.group(1)


def begins_with(name, words):
    return any(name == w or name.startswith((w + "_", w + "s_")) for w in words)


allowed = {}
owner = {}
bad = 0
for line in open("test/lint/prefixes.allow", encoding="utf-8"):
    header, _, words = line.split("#")[0].partition(":")
    for word in words.split():
        allowed.setdefault(header.strip(), {})[word] = False
        if owner.setdefault(word, header) != header:
            print(f"prefixes.allow: {word} belongs to {owner[word]} and to {header}")
            bad = 1

seen = 0
for path in sys.argv[1:]:
    folder, base = os.path.split(path)
    words = {re.sub(r"_priv$", "", base[:-2]), os.path.basename(folder)}
    words |= {f[:-2] for f in os.listdir(folder) if f.endswith(".c")}
    words |= {w.split("_", 1)[1] for w in words if "_" in w}
    words |= {w[:-1] for w in words if w.endswith("s")}
    extra = allowed.get(path, {})
    for name in declared(open(path, encoding="utf-8").read()):
        seen += 1
        if begins_with(name, words):
            continue
        hits = [w for w in extra if begins_with(name, [w])]
        for w in hits:
            extra[w] = True
        if not hits:
            print(f"{path}: {name}() begins with no name of a file: rename it, or add a prefix to prefixes.allow")
            bad = 1
for header, words in allowed.items():
    for word, used in words.items():
        if not used:
            print(f"prefixes.allow: no function in {header} begins with {word}")
            bad = 1
if seen < 100:
    print(f"prefixes.sh: only {seen} functions found")
    bad = 1
sys.exit(bad)
PY
