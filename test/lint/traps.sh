#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# traps.sh ROOT - each test that the table of traps in docs/testing.md names exists and is run.
set -eu
cd "${1:?usage: traps.sh ROOT}"
# The last column, a word a line, without the backticks of those that have them.
names=$(sed -n '/^### Traps$/,/^## /p' docs/testing.md | sed -n 's/^| .* | \(.*\) |$/\1/p' | tr -s ' ,' '\n' | tr -d '\140' | grep '^[a-z0-9]*_[a-z0-9_]*$')
count=0
bad=0
for name in $names; do
    count=$((count + 1))
    grep -rqE "cmocka_unit_test[a-z_]*\(${name}[,)]" test/unit || {
        echo "docs/testing.md: there is no test $name"
        bad=1
    }
done
[ "$count" -ge 40 ] || {
    echo "docs/testing.md: the table of traps was not found ($count tests)"
    bad=1
}
exit $bad
