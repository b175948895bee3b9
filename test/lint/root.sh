#!/bin/sh
# root.sh ROOT - no unknown file lies at the root of the tree: test/lint/root.allow names what belongs there.
#
# With git: every file that is tracked, or would be by `git add`.  Without git (an unpacked archive): every file but
# builds and what fuzzers leave.
set -eu
cd "${1:?usage: root.sh ROOT}"
if [ -e .git ] && command -v git >/dev/null; then
    found=$(git -c safe.directory='*' ls-files --cached --others --exclude-standard | sed 's|/.*||' | sort -u)
else
    found=$(find . -mindepth 1 -maxdepth 1 ! -name 'build*' ! -name 'crash-*' ! -name 'oom-*' ! -name 'leak-*' \
        ! -name 'timeout-*' ! -name 'slow-unit-*' | sed 's|^\./||' | sort)
fi
bad=$(echo "$found" | grep -vxF -f test/lint/root.allow || true)
[ -z "$bad" ] && exit 0
echo "$bad" | sed 's/$/: unknown at the root: remove it, or name it in test\/lint\/root.allow/'
exit 1
