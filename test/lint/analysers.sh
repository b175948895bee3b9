#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# analysers.sh ROOT BUILD - cppcheck, gcc -fanalyzer and clang's analyser (that of scan-build) over the program.
#
# A finding is fixed, or named with its reason in analysers.except (TOOL FILE CHECK REASON); an exception that no
# finding needs any more is an error too.  Five minutes of CPU: by hand, or with -DGLACIS_TIDY=ON (label slow).
# Usage: test/lint/analysers.sh ROOT BUILD [TOOL...]       BUILD is not read; TOOL: cppcheck gcc clang
set -eu
cd "${1:?usage: analysers.sh ROOT BUILD [TOOL...]}"
shift
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- cppcheck gcc clang
dir=$(mktemp -d "${TMPDIR:-/tmp}/glacis-analysers.XXXXXX")
trap 'rm -rf "$dir"' EXIT
folders=$(cat test/lint/folders)
# shellcheck disable=SC2086 # one word a folder
find $folders -name '*.c' | sort >"$dir/files"
libraries="libevent libcares openssl yaml-0.1 libidn2 libpcre2-8 sqlite3 hiredis libseccomp"
# shellcheck disable=SC2086 # one word a library
flags="-std=c11 -D_GNU_SOURCE -I. $(pkg-config --cflags $libraries)"
: >"$dir/found"
: >"$dir/raw"

# each COMMAND...: over the files, two at a time; what it says goes to raw
each() {
    xargs -n 1 -P 2 "$@" '-DGLACIS_VERSION="x"' <"$dir/files" >>"$dir/raw" 2>&1 || true
}

# "file:line:column: warning: text [check]" as "TOOL FILE CHECK: the line"
take() {
    sed -nE "s#^(\./)?([^ :]+):([0-9]+):[0-9]+: warning: (.*) \[([^][]+)\]\$#$1 \2 \5 \3 \4#p" "$dir/raw" | sort -u >>"$dir/found"
}

ran=""
for tool in "$@"; do
    command -v "$tool" >/dev/null || {
        echo "$tool is not installed"
        continue
    }
    ran="$ran $tool"
    : >"$dir/raw"
    # shellcheck disable=SC2086 # folders and flags are words
    case $tool in
    cppcheck)
        cppcheck --quiet --std=c11 --library=posix --enable=warning,performance,portability -D_GNU_SOURCE \
            '-DGLACIS_VERSION="x"' -I. --suppress=missingIncludeSystem \
            --template='{file}:{line}:{column}: warning: {message} [{id}]' $folders >"$dir/raw" 2>&1
        ;;
    gcc) each gcc $flags -O1 -fanalyzer -fdiagnostics-plain-output -c -o /dev/null ;;
    clang) each clang $flags --analyze --analyzer-output text -Xanalyzer -analyzer-checker=nullability,optin.portability ;;
    *)
        echo "unknown: $tool"
        exit 64
        ;;
    esac
    take "$tool"
done
[ -n "$ran" ] || exit 77

grep -v '^#' test/lint/analysers.except >"$dir/except"
awk -v ran="$ran " '
    FNR == NR { known[$1 " " $2 " " $3] = 1; next }
    { key = $1 " " $2 " " $3; seen[key] = 1 }
    !(key in known) { print; bad = 1 }
    END {
        for (key in known) {
            split(key, part, " ")
            if (!(key in seen) && index(ran, " " part[1] " ")) { print "no longer needed in analysers.except: " key; bad = 1 }
        }
        exit bad
    }' "$dir/except" "$dir/found" || exit 1
echo "analysers:$ran: $(wc -l <"$dir/found") findings, each with its reason in test/lint/analysers.except"
