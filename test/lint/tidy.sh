#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tidy.sh ROOT BUILD - clang-tidy with .clang-tidy over the program; BUILD holds compile_commands.json.
set -eu
cd "${1:?usage: tidy.sh ROOT BUILD}"
command -v clang-tidy >/dev/null || { echo "clang-tidy is not installed"; exit 77; }
[ -f "${2:?usage: tidy.sh ROOT BUILD}/compile_commands.json" ] || { echo "no compile_commands.json"; exit 77; }
# shellcheck disable=SC2046  # folders are words
find $(cat test/lint/folders) -name '*.c' | sort |
    xargs -n 4 -P 2 clang-tidy --quiet --warnings-as-errors='*' -p "$2"
