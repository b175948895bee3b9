#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# files.sh ROOT - the files of this tree, one a line: those that git knows or would add, whoever owns the tree; where git
# cannot be asked (an unpacked archive), all but builds and what fuzzers leave.
set -eu
cd "${1:?usage: files.sh ROOT}"
if [ -e .git ] && git -c safe.directory='*' -c core.quotePath=off ls-files --cached --others --exclude-standard 2>/dev/null; then
    exit 0
fi
find . -mindepth 1 \( -path './build*' -o -path ./.git -o -name __pycache__ \) -prune -o -type f ! -path './crash-*' \
    ! -path './oom-*' ! -path './leak-*' ! -path './timeout-*' ! -path './slow-unit-*' -print | sed 's|^\./||' | sort
