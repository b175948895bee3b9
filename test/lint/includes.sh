#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# includes.sh ROOT - which room may include what (B1), how large it may be, and where each library is spoken to (B4).
set -eu
root=${1:?usage: includes.sh ROOT}
cd "$root"
bad=0

say() {
    echo "$1"
    bad=1
}

# allowed ROOM: an extended regular expression of the headers of ours that its files may include.  A row names rooms
# below its own alone, so that no arrow points up and none goes in a circle.
allowed() {
    case $1 in
    core) echo 'core/.*' ;;
    config) echo 'core/.*|config/.*' ;;
    smtp) echo 'core/.*|config/config\.h|smtp/.*' ;;
    tls) echo 'core/.*|config/config\.h|tls/.*' ;;
    dns) echo 'core/.*|config/config\.h|dns/.*' ;;
    state) echo 'core/.*|config/config\.h|state/.*' ;;
    history) echo 'core/.*|config/config\.h|history/.*' ;;
    policy) echo 'core/.*|config/(config|values)\.h|smtp/.*|dns/dns\.h|state/(memory|state)\.h|policy/[a-z_]*\.h' ;;
    policy/spf) echo 'core/.*|dns/dns\.h|policy/spf/.*' ;;
    policy/dkim) echo 'core/.*|smtp/field\.h|policy/dkim/.*' ;;
    policy/dmarc) echo 'core/.*|policy/dmarc/.*' ;;
    policy/checks) echo 'core/.*|dns/dns\.h|policy/[a-z_]*\.h|policy/(spf|dkim|dmarc|checks)/.*|smtp/field\.h' ;;
    policy/standing) echo 'core/.*|config/config\.h|state/memory\.h|policy/standing/.*' ;;
    policy/lists) echo 'core/.*|config/(config|secret)\.h|dns/dns\.h|state/memory\.h|policy/(checks|standing|lists)/.*' ;;
    policy/rules) echo 'core/.*|config/(config|secret|template|textfile|tree|values)\.h|smtp/lexical\.h|policy/[a-z_]*\.h|policy/(checks|standing|lists|rules)/.*' ;;
    policy/judge) echo 'core/.*|config/(config|values)\.h|smtp/(author|field|list_id|message_head)\.h|state/(clients|rule_counts)\.h|policy/[a-z_]*\.h|policy/(spf|dkim|dmarc|checks|standing|lists|rules|judge)/.*' ;;
    admin) echo 'core/.*|config/config\.h|tls/tls\.h|state/[a-z_]*\.h|policy/policy\.h|admin/[a-z_]*\.h' ;;
    admin/recorder) echo 'core/.*|config/(config|values)\.h|dns/dns\.h|state/[a-z_]*\.h|policy/policy\.h|admin/[a-z_]*\.h|admin/recorder/.*' ;;
    admin/cmd) echo 'core/.*|config/(config|tree|values)\.h|smtp/.*|tls/tls\.h|state/[a-z_]*\.h|dns/(dns|names)\.h|policy/(policy|verdict_reply)\.h|admin/[a-z_]*\.h|admin/recorder/explain\.h|admin/cmd/.*' ;;
    proxy) echo 'core/.*|config/(config|values)\.h|tls/tls\.h|state/[a-z_]*\.h|admin/admin\.h|proxy/[a-z_]*\.h|proxy/process/supervisor\.h' ;;
    proxy/upstream) echo 'core/.*|config/config\.h|smtp/.*|tls/tls\.h|dns/dns\.h|state/[a-z_]*\.h|proxy/[a-z_]*\.h|proxy/upstream/.*' ;;
    proxy/session) echo 'core/.*|config/config\.h|smtp/.*|tls/tls\.h|state/[a-z_]*\.h|policy/(policy|verdict_reply)\.h|proxy/[a-z_]*\.h|proxy/upstream/relay\.h|proxy/session/.*' ;;
    proxy/process) echo 'core/.*|config/config\.h|tls/tls\.h|dns/dns\.h|state/[a-z_]*\.h|policy/policy\.h|admin/admin\.h|proxy/[a-z_]*\.h|proxy/(upstream|session|process)/.*' ;;
    esac
}

# test/lint/includes.allow: exceptions, one a line: FILE HEADER  # why
allow=$(mktemp)
trap 'rm -f "$allow"' EXIT
sed -e 's/[[:space:]]*#.*//' -e '/^[[:space:]]*$/d' test/lint/includes.allow >"$allow" 2>/dev/null || true

# shellcheck disable=SC2044,SC2046  # folders are words
for room in $(find $(cat test/lint/folders) -type d); do
    set -- "$room"/*.[ch]
    [ -e "$1" ] || continue
    want=$(allowed "$room")
    [ -n "$want" ] || say "test/lint/includes.sh: no row for $room"
    # a private header is its room's own
    private=$(grep -HoE '^#include "[^"]+_priv\.h"' "$@" | sed 's/:#include "/ /; s/"$//' |
        grep -vE " $room/[a-z_]+\.h\$" | grep -vxF -f "$allow" || true)
    [ -z "$private" ] || say "$(echo "$private" | sed 's/ /: may not include the private /')"
    hits=$(grep -HoE '^#include "[^"]+"' "$@" | sed 's/:#include "/ /; s/"$//' |
        grep -vE " ($want)\$" | grep -vxF -f "$allow" || true)
    [ -z "$hits" ] || say "$(echo "$hits" | sed 's/ /: may not include /')"
    files=$(find "$room" -maxdepth 1 -name '*.c' | wc -l)
    [ "$files" -le 25 ] || say "$room: $files .c files; a room with more than 25 has outgrown its walls"
done

# library PATTERN-OF-HEADERS FILES-THAT-MAY...
library() {
    pattern=$1
    shift
    # shellcheck disable=SC2013,SC2046  # names are words
    for file in $(grep -rlE "^#include <($pattern)" --include='*.c' --include='*.h' $(cat test/lint/folders)); do
        for may in "$@"; do
            # shellcheck disable=SC2254  # a pattern is meant
            case $file in $may) continue 2 ;; esac
        done
        say "$file: may not speak to $pattern"
    done
}
library 'event2?/|event\.h|evhttp' core/loop.c core/loop.h
library 'ares' dns/cares.c
library 'spf2/' policy/spf/spf_libspf2.c
library 'libpsl' policy/dmarc/psl.c
library 'yaml' config/yaml.c
library 'sqlite3' state/sqlite.c 'history/*'
library 'hiredis' state/redis.c state/redis_lists.c state/redis_priv.h
library 'pcre2' core/regex.c
library 'seccomp' proxy/process/seccomp.c
library 'openssl/' core/crypto.c policy/dkim/crypto.c 'tls/*'
exit $bad
