# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# packages.sh - installs what is missing of test/packages.txt; sourced by quickstart and test/run.
#
# Debian and its relatives only; elsewhere it says what would be needed and goes on.

# need_packages ROOT KIND...: installs the missing packages of these kinds, as root or by sudo.
need_packages() {
    packages_file=$1/test/packages.txt
    shift
    missing=""
    command -v dpkg-query >/dev/null 2>&1 || {
        echo "This is no Debian; needed are the packages of $packages_file ($*)." >&2
        return 0
    }
    for kind in "$@"; do
        # shellcheck disable=SC2013
        for package in $(sed -n "s/^$kind //p" "$packages_file"); do
            dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
        done
    done
    [ -n "$missing" ] || return 0
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || {
            echo "Missing packages:$missing. Become root, or install sudo." >&2
            return 1
        }
        as_root="sudo"
    fi
    echo "Installing:$missing"
    # Postfix is wanted for its tools alone: it gets no configuration and is not started.
    case $missing in
    *postfix*)
        echo "postfix postfix/main_mailer_type select No configuration" | $as_root debconf-set-selections || :
        ;;
    esac
    # The servers among them are started by the tests, on ports of their own: not by the package.
    policy=/usr/sbin/policy-rc.d
    made=false
    status=0
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
        $as_root chmod 755 $policy
        made=true
    fi
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null || status=$?
    ! $made || $as_root rm -f $policy
    return $status
}
