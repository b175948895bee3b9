#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# headers.sh ROOT - glacis-headers(5) has each header field that glacis writes, and no other; no rule's tag can write one of ours.
set -eu
cd "${1:?usage: headers.sh ROOT}"
page=policy/glacis-headers.5
bad=0
# What the code writes: field_put(out, SLICE("NAME"), ...), and "NAME: " at the beginning of a text; then the preset's tags.
ours=$(grep -rhoE 'field_put\([a-z]+, SLICE\("[A-Za-z-]+"' --include='*.c' policy proxy | sed -E 's/.*"(.*)"/\1/' | sort -u)
written=$({ echo "$ours"; grep -rhoE 'put_str\(out, "[A-Z][A-Za-z-]+: ' --include='*.c' policy/judge/authres.c smtp/received.c |
    sed -E 's/.*"([A-Za-z-]+): /\1/'; sed 's/#.*//' policy/*.yaml |
    grep -oE 'X-[A-Za-z-]+: ' | tr -d ': '; } | sort -u)
listed=$(sed -n '/^\.Sh FIELDS$/,/^\.El$/s/^\.It Ic //p' $page | sort)
[ "$(echo "$written" | wc -l)" -ge 10 ] || { echo "only these fields were found: $written"; bad=1; }
for name in $written; do
    echo "$listed" | grep -qx "$name" || { echo "$page: the field $name is missing"; bad=1; }
done
for name in $listed; do
    echo "$written" | grep -qx "$name" || { echo "$page: nothing writes the field $name"; bad=1; }
done
reserved=$(sed -nE 's/^ *"(X-Glacis-[A-Za-z-]+)",$/\1/p' policy/rules/actions_load.c | sort)
[ "$reserved" = "$ours" ] || { echo "policy/rules/actions_load.c: the reserved names and the fields that are written differ:"
    printf 'reserved: %s\nwritten: %s\n' "$(echo "$reserved" | tr '\n' ' ')" "$(echo "$ours" | tr '\n' ' ')"; bad=1; }
exit $bad
