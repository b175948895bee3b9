#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sources.sh ROOT - the engine names no check: it reaches sources only through their table (policy/judge/source.h).
set -eu
cd "${1:?usage: sources.sh ROOT}"
names=$(sed -nE 's/^    X\([A-Z_]+, ([a-z_]+)\).*/\1/p' policy/judge/source.h | paste -sd '|')
[ -n "$names" ] || { echo "policy/judge/source.h: no row of a source was found"; exit 1; }
for file in engine source judge_pack; do
    [ -f "policy/judge/$file.c" ] || { echo "policy/judge/$file.c: not there"; exit 1; }
done
bad=$(grep -nE "SOURCE_[A-Z_]+|source_($names)\\b" policy/judge/engine.c policy/judge/source.c policy/judge/judge_pack.c |
    grep -vE 'SOURCE_(NONE|COUNT|LIST)\b|SOURCE_##id' || true)
[ -z "$bad" ] || { echo "$bad"; exit 1; }
