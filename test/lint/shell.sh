#!/bin/sh
# shell.sh ROOT - shellcheck over every script of ours.
set -eu
cd "${1:?usage: shell.sh ROOT}"
command -v shellcheck >/dev/null || { echo "shellcheck is not installed"; exit 77; }
# New files too, before they are added; test/bench/peers holds fragments that compare.py sources.
git ls-files --cached --others --exclude-standard -- '*.sh' ':!test/bench/peers' quickstart test/run | xargs -r shellcheck -x
