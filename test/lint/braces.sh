#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# braces.sh ROOT - every body of if, else, for and while stands in braces, macros aside.  Reads code that
# clang-format has laid out.
set -eu
cd "${1:?usage: braces.sh ROOT}"
# shellcheck disable=SC2046,SC2016  # folders are words; the program is awk's
find $(cat test/lint/folders) test -name '*.[ch]' | sort | xargs awk '
    FNR == 1 { open = 0 }
    { line = $0; gsub(/"(\\.|[^"\\])*"|\047(\\.|[^\047\\])*\047|\/\*.*\*\/|\/\/.*|\\$/, "", line); sub(/[ \t]+$/, "", line) }
    { was = macro; macro = ($0 ~ /\\$/) }
    !was && !macro && !open && line ~ /^[ \t]*(\} )?(else )?(if|for|while|switch) \(/ || !was && !macro && !open && line ~ /^[ \t]*(\} )?else( \{)?$/ { open = 1; depth = 0; at = FNR }
    open {
        depth += gsub(/\(/, "(", line) - gsub(/\)/, ")", line)
        if (depth == 0) {
            open = 0; seen++
            if (line !~ /\{$/ && line !~ /;$/) { print FILENAME ":" at ": a body without braces"; bad = 1 }
        }
    }
    END { if (!seen) { print "braces.sh: no statement found"; exit 1 } exit bad }'
