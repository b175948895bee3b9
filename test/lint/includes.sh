#!/bin/sh
# includes.sh ROOT - which folder may include what (B1), and where each library is spoken to (B4).
set -eu
root=${1:?usage: includes.sh ROOT}
cd "$root"
bad=0

say() {
    echo "$1"
    bad=1
}

# allowed FOLDER: an extended regular expression of the headers of ours that its files may include
allowed() {
    case $1 in
    core) echo 'core/.*' ;;
    config) echo 'core/.*|config/.*' ;;
    tls) echo 'core/.*|config/config\.h|tls/.*' ;;
    dns) echo 'core/.*|config/config\.h|dns/.*' ;;
    state) echo 'core/.*|config/config\.h|state/.*' ;;
    policy/dkim) echo 'core/.*|policy/dkim/.*' ;; # a room of its own: pure
    policy) echo 'core/.*|config/(config|secret|textfile|tree|values)\.h|dns/dns\.h|state/(state|memory)\.h|policy/.*' ;;
    admin) echo 'core/.*|config/config\.h|state/state\.h|policy/policy\.h|dns/dns\.h|admin/.*' ;;
    proxy) echo 'core/.*|config/config\.h|tls/tls\.h|dns/dns\.h|state/state\.h|policy/policy\.h|admin/(admin|recorder|http)\.h|proxy/.*' ;;
    esac
}

# test/lint/includes.allow: exceptions, one a line: FILE HEADER  # why
allow=$(mktemp)
trap 'rm -f "$allow"' EXIT
sed -e 's/[[:space:]]*#.*//' -e '/^[[:space:]]*$/d' test/lint/includes.allow >"$allow" 2>/dev/null || true

for folder in core config tls dns state policy policy/dkim admin proxy; do
    want=$(allowed "$folder")
    hits=$(grep -rHoE '^#include "[^"]+"' --include='*.c' --include='*.h' "$folder" | sed 's/:#include "/ /; s/"$//' |
        grep -vE " ($want)\$" | grep -vxF -f "$allow" || true)
    [ -z "$hits" ] || say "$(echo "$hits" | sed 's/ /: may not include /')"
done

# library PATTERN-OF-HEADERS FILES-THAT-MAY...
library() {
    pattern=$1
    shift
    # shellcheck disable=SC2013  # a file name is one word
    for file in $(grep -rlE "^#include <($pattern)" --include='*.c' --include='*.h' core config tls dns state policy admin proxy); do
        for may in "$@"; do
            # shellcheck disable=SC2254  # a pattern is meant
            case $file in $may) continue 2 ;; esac
        done
        say "$file: may not speak to $pattern"
    done
}
library 'event2?/|event\.h|evhttp' core/loop.c core/loop.h
library 'ares' dns/cares.c
library 'spf2/' policy/spf_libspf2.c
library 'yaml' config/yaml.c
library 'sqlite3' state/sqlite.c
library 'hiredis' state/redis.c state/redis_lists.c state/redis_priv.h
library 'pcre2' core/regex.c
library 'seccomp' proxy/seccomp.c
library 'openssl/' core/crypto.c policy/dkim/crypto.c 'tls/*'
exit $bad
