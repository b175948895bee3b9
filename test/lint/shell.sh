#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shell.sh ROOT - shellcheck over every script of ours.
set -eu
cd "${1:?usage: shell.sh ROOT}"
command -v shellcheck >/dev/null || { echo "shellcheck is not installed"; exit 77; }
# New files too, before they are added; test/bench/peers holds fragments that compare.py sources.
scripts=$(test/files.sh . | grep -E '\.sh$|^quickstart$|^test/run$' | grep -v '^test/bench/peers/')
[ -n "$scripts" ] || { echo "no scripts were found"; exit 1; }
echo "$scripts" | xargs shellcheck -x
