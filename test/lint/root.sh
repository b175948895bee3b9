#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# root.sh ROOT - no unknown file lies at the root of the tree: test/lint/root.allow names what belongs there.
set -eu
cd "${1:?usage: root.sh ROOT}"
files=$(test/files.sh .)
[ -n "$files" ] || { echo "no files were found"; exit 1; }
bad=$(echo "$files" | sed 's|/.*||' | sort -u | grep -vxF -f test/lint/root.allow || true)
[ -z "$bad" ] && exit 0
echo "$bad" | sed 's/$/: unknown at the root: remove it, or name it in test\/lint\/root.allow/'
exit 1
