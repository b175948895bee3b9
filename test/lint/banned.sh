#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# banned.sh ROOT - names that must not be called (S2, S3, L8), non-ASCII sources, long lines, unfinished marks.
set -eu
cd "${1:?usage: banned.sh ROOT}"
# shellcheck disable=SC2046  # folders are words
set -- $(cat test/lint/folders)
for folder in "$@" test; do
    [ -d "$folder" ] || { echo "$folder: not there"; exit 1; }
done
bad=0
code=$(mktemp)
trap 'rm -f "$code"' EXIT

# Every line of code as FILE:LINE:TEXT, without comments and strings.
find "$@" -name '*.[ch]' | sort | while read -r file; do
    awk -v f="$file" '
        { line = $0; gsub(/\\./, "", line); gsub(/"[^"]*"/, "\"\"", line) }
        in_comment { if (match(line, /\*\//)) { line = substr(line, RSTART + 2); in_comment = 0 } else next }
        { while (match(line, /\/\*[^*]*(\*+[^*\/][^*]*)*\*+\//)) line = substr(line, 1, RSTART - 1) substr(line, RSTART + RLENGTH)
          if (match(line, /\/\*/)) { line = substr(line, 1, RSTART - 1); in_comment = 1 }
          print f ":" NR ":" line }' "$file"
done >"$code"

# ban WHY PATTERN [FILES-WHERE-IT-MAY-BE, an extended regular expression]
ban() {
    if grep -E "$2" "$code" | grep -vE "^(${3:-none}):"; then
        echo "banned: $1"
        bad=1
    fi
}
call='[^A-Za-z0-9_.>]'
ban "unbounded or ambiguous text calls" "$call(strlcpy|strlcat|alloca|strdup|strndup|asprintf|vasprintf)\("
ban "calls that base.h forbids" "$call(strcpy|strcat|strncpy|strncat|stpcpy|sprintf|vsprintf|gets|strtok|strtok_r|atoi|atol|strtol|strtoul|strtoull|sscanf|gmtime|localtime|ctime|asctime)\(" core/base.h
ban "snprintf outside buf.c and log.c" "$call(v?snprintf)\(" 'core/(buf|log)\.c'
ban "locale: <ctype.h>" '#include <ctype\.h>'
ban "libevent outside the loop" "${call}(event|evtimer)_(new|add|del|assign|free)\(" 'core/loop\.c'
ban "blocking name look-ups" "$call(getaddrinfo|gethostbyname|getnameinfo)\("
ban "malloc where no NULL is expected (xmalloc aborts; these files fail softly)" "$call(malloc|calloc|realloc)\(" 'core/(base|arena|buf|slab|heap_trim)\.c|tls/buffers\.c|proxy/spool\.c|.*_libspf2\.c|.*/sqlite\.c'
ban "processes through a shell" "$call(system|popen)\("
ban "typedef of a struct or enum" '(^|[[:space:]])typedef (struct|enum)'

if grep -rnP '[^\x00-\x7F]' --include='*.[ch]' "$@" test; then
    echo "sources are ASCII"
    bad=1
fi
# The bracket expressions keep the words themselves out of this file.
if grep -rnE '(^|[^A-Za-z])(TOD[O]|FIXM[E]|XX[X]|HAC[K])([^A-Za-z]|$)|^[[:space:]]*#[[:space:]]*if 0' --include='*.[ch]' "$@" test; then
    echo "nothing is left for later"
    bad=1
fi
exit $bad
