#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# manpages.sh ROOT - the manual pages are well-formed, and name every command and kind of abuse; words.sh has metrics and the log.
set -eu
cd "${1:?usage: manpages.sh ROOT}"

# The man page has each word of standard input; $2 says what they are.
has_words() {
    words=$(cat)
    [ -n "$words" ] || { echo "$1: $2: the sources show none; has their form changed?"; exit 1; }
    bad=$(echo "$words" | while read -r word; do
        grep -qE "(^|[^a-z_-])$word([^a-z_-]|$)" "$1" || echo "$1: $2 \`$word' is missing"
    done)
    [ -z "$bad" ] || { echo "$bad"; exit 1; }
}

grep -oE '\{ "[a-z]+", cmd_[a-z]+ \}' proxy/main.c | sed -E 's/.*"([a-z]+)".*/.Cm \1/' | grep -v help |
    has_words proxy/glacis.8 "the command"
sed -nE 's/^ *\[ABUSE_[A-Z_]+\] = \{ M_[A-Z_]+, [0-9]+, "([a-z_]+)" \},/\1/p' proxy/session/session.c |
    has_words config/glacis.yaml.5 "the abuse"

command -v mandoc >/dev/null || { echo "mandoc is not installed"; exit 77; }
# shellcheck disable=SC2046  # folders are words
pages=$(find $(cat test/lint/folders) -name '*.[1-8]')
[ -n "$pages" ] || { echo "there are no manual pages"; exit 77; }
# shellcheck disable=SC2086  # one word a page
mandoc -Tlint -Wwarning $pages
