#!/bin/sh
# shell.sh ROOT - shellcheck over every script of ours.
set -eu
cd "${1:?usage: shell.sh ROOT}"
command -v shellcheck >/dev/null || { echo "shellcheck is not installed"; exit 77; }
# test/bench/peers: fragments that compare.py sources, each in an environment of its making
git ls-files -- '*.sh' ':!test/bench/peers' quickstart test/run | xargs -r shellcheck -x
