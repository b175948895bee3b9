#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# architecture.sh ROOT - docs/internals/architecture.md has each folder and each .c file in a group, and names no other.
set -eu
cd "${1:?usage: architecture.sh ROOT}"
exec python3 - <<'PY'
import fnmatch
import glob
import os
import re
import sys

PAGE = "docs/internals/architecture.md"
text = open(PAGE, encoding="utf-8").read()
bad = []
groups = {}     # folder -> patterns
for folder, body in re.findall(r"^### `(\S+)/`\n(.*?)(?=^### |\Z)", text, flags=re.S | re.M):
    cells = re.findall(r"^\| ((?:`[a-z0-9_*]+` ?)+) \|", body, flags=re.M)
    groups[folder] = [w for cell in cells for w in re.findall(r"`([^`]+)`", cell)]
files = {}
for folder in open("test/lint/folders", encoding="utf-8").read().split():
    for path in glob.glob(folder + "/**/*.c", recursive=True):
        files.setdefault(os.path.dirname(path), []).append(os.path.basename(path)[:-2])
for folder in sorted(set(files) | set(groups)):
    names, patterns = files.get(folder, []), groups.get(folder, [])
    if folder in files and "| `%s/` |" % folder not in text:
        bad.append("%s: %s/ is not in the table of rooms" % (PAGE, folder))
    bad += ["%s: %s/%s.c is in no group" % (PAGE, folder, n) for n in sorted(names) if not any(fnmatch.fnmatch(n, p) for p in patterns)]
    bad += ["%s: %s/: no file is `%s`" % (PAGE, folder, p) for p in patterns if not fnmatch.filter(names, p)]
sys.exit("\n".join(bad) or 0)
PY
