#!/bin/sh
# manpages.sh ROOT - the manual pages are well-formed.
set -eu
cd "${1:?usage: manpages.sh ROOT}"
command -v mandoc >/dev/null || { echo "mandoc is not installed"; exit 77; }
pages=$(find proxy/glacis.8 config/glacis.yaml.5 2>/dev/null || true)
[ -n "$pages" ] || { echo "there are no manual pages"; exit 77; }
# shellcheck disable=SC2086  # one word a page
mandoc -Tlint -Wwarning $pages
