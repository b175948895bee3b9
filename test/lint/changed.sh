#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# changed.sh ROOT BUILD - clang-tidy over the sources that changed: in the work tree, and in the commits since $GLACIS_BASE
# (default: the last commit).  tidy.sh looks at all of them, in minutes.
set -eu
cd "${1:?usage: changed.sh ROOT BUILD}"
command -v clang-tidy >/dev/null || { echo "clang-tidy is not installed"; exit 77; }
[ -f "${2:?usage: changed.sh ROOT BUILD}/compile_commands.json" ] || { echo "no compile_commands.json"; exit 77; }
git rev-parse -q --verify HEAD >/dev/null 2>&1 || { echo "not a git work tree"; exit 77; }
base=${GLACIS_BASE:-$(git rev-parse -q --verify HEAD~1 || git rev-parse HEAD)}
# shellcheck disable=SC2046  # folders are words
files=$(git diff --name-only --diff-filter=d "$base" -- $(cat test/lint/folders) | grep '\.c$' || true)
[ -n "$files" ] || { echo "no source changed since $base"; exit 0; }
# A mass change (a rename, a layout) is for tidy.sh: of it, the first 20 are looked at.
[ "$(echo "$files" | wc -l)" -le 20 ] || echo "more than 20 sources changed since $base: run test/lint/tidy.sh"
echo "$files" | head -n 20 | xargs -n 2 -P 2 clang-tidy --quiet --warnings-as-errors='*' -p "$2"
