#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install.sh ROOT BUILD - cmake --install brings every manual page and document, and no link between them is dead.
set -eu
[ $# -eq 2 ] || { echo "usage: install.sh ROOT BUILD"; exit 64; }
cd "$1"
to=$(mktemp -d)
trap 'rm -rf "$to"' EXIT
cmake --install "$2" --prefix "$to/usr" >/dev/null
# shellcheck disable=SC2046  # folders are words
python3 - "$to/usr" $(find $(cat test/lint/folders) -name '*.[1-8]') <<'PY'
import glob
import os
import re
import sys

usr, pages = sys.argv[1], sys.argv[2:]
bad = []
installed = {os.path.basename(p) for p in glob.glob(usr + "/share/man/man?/*")}
if installed != {os.path.basename(p) for p in pages}:
    bad.append("manual pages: the tree has %s, installed are %s" % (sorted(pages), sorted(installed)))
for page in pages:
    with open(page, encoding="utf-8") as f:
        for name, chapter in re.findall(r"^\.Xr (glacis\S*) (\d)", f.read(), flags=re.M):
            if "%s.%s" % (name, chapter) not in installed:
                bad.append("%s: .Xr %s %s: there is no such page" % (page, name, chapter))


def anchors(path):
    """As the usual renderers make them of headings."""
    with open(path, encoding="utf-8") as f:
        for heading in re.findall(r"^#+ (.*)", re.sub(r"```.*?```", "", f.read(), flags=re.S), flags=re.M):
            yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


doc = usr + "/share/doc/glacis"
texts = glob.glob(doc + "/**/*.md", recursive=True)
missing = [p for p in glob.glob("docs/**/*", recursive=True) if os.path.isfile(p) and not os.path.isfile(os.path.join(doc, p))]
bad += ["%s is not installed" % p for p in missing]
links = 0
for text in texts:
    with open(text, encoding="utf-8") as f:
        content = f.read()
    for link in re.findall(r"\]\(([^)\s]+)\)", content):
        if re.match(r"[a-z]+:", link):
            continue
        links += 1
        path, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(text), path)) if path else text
        if not os.path.exists(target):
            bad.append("%s: dead link %s" % (os.path.relpath(text, doc), link))
        elif anchor and anchor not in anchors(target):
            bad.append("%s: %s: no heading of that name" % (os.path.relpath(text, doc), link))
if links < 20:
    bad.append("only %d links were found in %s" % (links, doc))
sys.exit("\n".join(bad) or 0)
PY
