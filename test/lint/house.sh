#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# house.sh ROOT - each house rule that a comment cites, as in (L7), is in docs/internals/house-rules.md, and each row is cited.
set -eu
cd "${1:?usage: house.sh ROOT}"
page=docs/internals/house-rules.md
known=$(sed -nE 's/^\| ([A-Z][0-9]+) \|.*/\1/p' $page | sort)
# "(L7)", "(S2, S3)", "(L6: why)", "/* L6: why": no other form is a citation.  C1 controls are octets.
# shellcheck disable=SC2046  # folders are words
cited=$(grep -rhoE '(\(|/\* )[A-Z][0-9]{1,2}(, [A-Z][0-9]{1,2})*[):]' --include='*.[ch]' --include=banned.sh --include=.clang-tidy \
    $(cat test/lint/folders) test/lint/banned.sh .clang-tidy | grep -oE '[A-Z][0-9]+' | sort -u)
if [ -z "$known" ] || [ -z "$cited" ]; then
    echo "no rules, or no citations, were found; has their form changed?"
    exit 1
fi
bad=0
for id in $cited; do
    echo "$known" | grep -qx "$id" || { echo "$page: $id is cited and has no row"; bad=1; }
done
for id in $known; do
    echo "$cited" | grep -qx "$id" || { echo "$page: $id is cited nowhere: delete its row"; bad=1; }
done
[ -z "$(echo "$known" | uniq -d)" ] || { echo "$page: two rows for $(echo "$known" | uniq -d)"; bad=1; }
exit $bad
