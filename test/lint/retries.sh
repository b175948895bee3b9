#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# retries.sh ROOT - B14: test/run runs failed integration tests once more, names them, and runs no other test again.
#
# A ctest of our own on PATH plays what the real one prints.
set -eu
cd "${1:?usage: retries.sh ROOT}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/bin"

# tool NAME: a program on PATH with the text of standard input.
tool() {
    cat >"$dir/bin/$1"
    chmod +x "$dir/bin/$1"
}
tool cmake <<'EOF'
#!/bin/sh
mkdir -p "$TEST_BUILD/release"
EOF
tool ctest <<'EOF'
#!/bin/sh
# The first call fails with $FAIL, the second one with $FAIL_AGAIN.
echo "$*" >>"$TEST_BUILD/calls"
names=$FAIL
case $* in *--rerun-failed*) names=${FAIL_AGAIN:-} ;; esac
echo "50% tests passed, 1 tests failed out of 2"
[ -n "$names" ] || exit 0
printf '\nThe following tests FAILED:\n'
for name in $names; do printf '\t  7 - %s (Failed)\n' "$name"; done
printf '\nErrors while running CTest\n'
exit 8
EOF

# expect STATUS CALLS FAIL [FAIL_AGAIN]: test/run exits with STATUS after CALLS of ctest.
expect() {
    status=0
    rm -rf "$dir/build"
    mkdir "$dir/build"
    FAIL=$3 FAIL_AGAIN=${4:-} TEST_BUILD=$dir/build PATH=$dir/bin:$PATH test/run --no-install --fast >"$dir/out" 2>&1 || status=$?
    calls=$(wc -l <"$dir/build/calls")
    [ "$status $calls" = "$1 $2" ] && return
    echo "failed: [$3], then [${4:-}]: expected exit $1 after $2 calls of ctest, seen exit $status after $calls"
    cat "$dir/out"
    exit 1
}
expect 0 1 ""
expect 1 1 unit/core/test_a
expect 1 1 "sim/a lint/b fuzz/c"
expect 0 2 integration/10-a
grep -A 1 '^release, run once more:$' "$dir/out" | grep -q '^7 - integration/10-a (Failed)$' ||
    { echo "the summary does not name the test that was run once more"; exit 1; }
expect 1 2 integration/10-a integration/10-a
expect 1 2 "unit/core/test_a integration/10-a"
if grep -q -e --repeat "$dir/build/calls"; then
    echo "ctest --repeat runs every kind of test again"
    exit 1
fi
