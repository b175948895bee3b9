#!/bin/sh
# shell.sh ROOT - shellcheck over every script of ours.
set -eu
cd "${1:?usage: shell.sh ROOT}"
command -v shellcheck >/dev/null || { echo "shellcheck is not installed"; exit 77; }
git ls-files -- '*.sh' | xargs -r shellcheck
