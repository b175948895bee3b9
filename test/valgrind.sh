#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# valgrind.sh - the integration tests under valgrind: no invalid access, no use of what was never written, no lost memory.
# Takes about ten minutes; not part of test/run.  Usage: test/valgrind.sh [TEST...]     GLACIS=build/glacis
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
real=$(realpath "${GLACIS:-$root/build/glacis}")
dir=$(mktemp -d "${TMPDIR:-/tmp}/glacis-vg.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cat >"$dir/glacis" <<SH
#!/bin/sh
exec valgrind -q --vgdb=no --trace-children=yes --leak-check=full --show-leak-kinds=definite \\
    --log-file="$dir/%p.log" "$real" "\$@"
SH
chmod 755 "$dir" "$dir/glacis"
export GLACIS="$dir/glacis" SETUPS_AT_ONCE=3 GLACIS_TEST_TIMEOUT=60
export NO_LOSS_SECONDS="${NO_LOSS_SECONDS:-8}"
export NO_LOSS_CLIENTS="${NO_LOSS_CLIENTS:-3}" NO_LOSS_LEAST=1
export LIMITS_IDLE="${LIMITS_IDLE:-100}" LIMITS_KIB=64
[ $# -gt 0 ] || set -- 10-real-mail.sh 20-protocol.py 30-no-loss.py 40-processes.py 50-bad-config.py 60-limits.py 70-log.py
failed=0
for test in "$@"; do
    echo "==== $test"
    "$root/test/integration/$test" >"$dir/out" 2>&1 || {
        tail -n 40 "$dir/out"
        failed=1
    }
    tail -n 1 "$dir/out"
done
reports=$(cat "$dir"/*.log)
if [ -n "$reports" ]; then
    printf '%s\n' "$reports" | head -n 200
    failed=1
fi
echo "valgrind: $(find "$dir" -name '*.log' | wc -l) processes, $(find "$dir" -name '*.log' -size +0 | wc -l) with reports"
exit $failed
