#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# format.sh ROOT - .clang-format decides the layout of sources and headers.
set -eu
cd "${1:?usage: format.sh ROOT}"
command -v clang-format >/dev/null || { echo "clang-format is not installed"; exit 77; }
# shellcheck disable=SC2046  # folders are words
find $(cat test/lint/folders) test -name '*.[ch]' | sort | xargs clang-format --dry-run -Werror
