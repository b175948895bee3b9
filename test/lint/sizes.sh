#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sizes.sh ROOT - files under 700 lines, functions under 60 (90 with a comment `flat:` in them), tests aside.
set -eu
cd "${1:?usage: sizes.sh ROOT}"
# shellcheck disable=SC2046  # folders are words
find $(cat test/lint/folders) -name '*.[ch]' | sort | xargs awk '
    FNR == 1 { if (name && lines >= 700) bad_file(); name = FILENAME; start = 0 }
    { lines = FNR }
    /^\{/ { start = FNR; flat = 0 }
    /\/\* flat:/ { flat = 1 }
    /^\}$/ && start {
        size = FNR - start - 1
        if (size >= (flat ? 91 : 60)) { print FILENAME ":" start ": a function of " size " lines"; bad = 1 }
        start = 0
    }
    function bad_file() { print name ": " lines " lines"; bad = 1 }
    END { if (lines >= 700) bad_file(); exit bad }'
