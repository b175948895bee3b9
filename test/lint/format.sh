#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# format.sh ROOT - layout is .clang-format's business (headers have tables aligned by hand and are left alone).
set -eu
cd "${1:?usage: format.sh ROOT}"
command -v clang-format >/dev/null || { echo "clang-format is not installed"; exit 77; }
# shellcheck disable=SC2046  # folders are words
find $(cat test/lint/folders) test -name '*.c' | sort | xargs clang-format --dry-run -Werror
