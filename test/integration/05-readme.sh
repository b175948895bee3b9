#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 05-readme.sh - the README tells the truth: its commands run, its configuration is good, the files that it names exist,
# its packages are those of test/packages.txt and of the Dockerfile.
. "$(dirname "$0")/lib.sh"
readme=$ROOT/README.md

[ "$(wc -l <"$readme")" -lt 200 ] || fail "README.md has fewer than 200 lines"
ok "fewer than 200 lines"

# ---- files that it names ----
missing=""
# shellcheck disable=SC2016
for file in $(grep -oE '`[a-z./0-9-]+/[A-Za-z./0-9_-]+`' "$readme" | tr -d '`' | sort -u); do
    case $file in
    /*) ;;
    *) [ -e "$ROOT/$file" ] || missing="$missing $file" ;;
    esac
done
[ -z "$missing" ] || fail "it names files that are not there:$missing"
ok "the files that it names are there"

# ---- packages ----
sed -n 's/^build //p' "$ROOT/test/packages.txt" | sort >"$work/wanted"
for where in README.md Dockerfile; do
    # the words of the first command that installs
    awk '/apt-get install/ { on = 1 } on { print } on && !/[\\]$/ { exit }' "$ROOT/$where" | grep -oE '[^ ]+' |
        grep -E '^(gcc|cmake|make|pkg-config|lib.*-dev)$' | sort -u >"$work/said"
    diff "$work/wanted" "$work/said" >"$work/diff.log" || fail "$where installs the packages of test/packages.txt: $(cat "$work/diff.log")"
done
# shellcheck disable=SC2013
for package in $(sed -n 's/^need([A-Z0-9_]* [^ ]* \([^ )]*\)).*/\1/p' "$ROOT/CMakeLists.txt"); do
    grep -q "^[a-z]* $package\$" "$ROOT/test/packages.txt" || fail "test/packages.txt has $package"
done
ok "its packages are those of test/packages.txt, the Dockerfile and CMakeLists.txt"

# ---- the configuration ----
# shellcheck disable=SC2016
sed -n '/^```yaml$/,/^```$/p' "$readme" | grep -v '^```' >"$work/smallest.yaml"
[ -s "$work/smallest.yaml" ] || fail "there is a smallest configuration"
"$GLACIS" check -c "$work/smallest.yaml" >"$work/check.log" 2>&1 || fail "it is good"
ok "the smallest configuration is good"

# ---- the commands, in a copy of the tree ----
mkdir "$work/tree"
(cd "$ROOT" && test/files.sh . | tar -c -T - -f - 2>/dev/null) |
    tar -x -C "$work/tree" -f - || fail "the tree is copied"
# shellcheck disable=SC2016
awk -v dir="$work" '
    /^<!-- not run/ { skip = 1 }
    /^```sh$/ { if (!skip) { n++; file = dir "/block" n ".sh"; print "set -eu" > file } inside = 1; next }
    /^```$/ { if (inside) { skip = 0 } inside = 0; next }
    inside && !skip { print > file }
' "$readme"
blocks=$(find "$work" -maxdepth 1 -name 'block*.sh' | wc -l)
[ "$blocks" -ge 2 ] || fail "there are commands to run"
if [ "$(id -u)" -ne 0 ]; then
    sed -i 's/^apt-get/: apt-get/' "$work"/block*.sh
fi
GLACIS_DEMO_LISTEN=127.0.0.1:$(free_port)
GLACIS_DEMO_ADMIN=127.0.0.1:$(free_port)
export GLACIS_DEMO_LISTEN GLACIS_DEMO_ADMIN
for block in "$work"/block*.sh; do
    (cd "$work/tree" && sh "$block" >"$block.log" 2>&1 </dev/null) ||
        fail "these commands run: $(grep -v '^set' "$block" | head -n 2)"
    ok "these commands run: $(grep -v '^set' "$block" | head -n 1)"
done
grep -q '550 5.7.1' "$work"/block1.sh.log || fail "./quickstart shows a relay attempt refused"
grep -q 'The first message through glacis' "$work"/block1.sh.log || fail "./quickstart shows a message"
ok "./quickstart shows a message that crosses and a relay attempt refused"
