#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# try.sh BUILD [ROOT] - the installed units under a real systemd, in a container of its own (systemd-nspawn).
# By hand, not part of test/run: it takes a Debian system of 400 MB, made once in ROOT by debootstrap.  Needs root and
#   apt-get install debootstrap systemd-container
# What is tried stands in inside.py; nothing leaves the container: its network has a loopback only.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "${1:?usage: try.sh BUILD [ROOT]}")
root=$(realpath -m "${2:-$build/systemd-root}")
for tool in systemd-nspawn debootstrap cmake; do
    command -v "$tool" >/dev/null || { echo "$tool is not installed"; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "only root can make a container"; exit 77; }

if [ ! -e "$root/made" ]; then
    echo "making $root"
    rm -rf "$root"
    debootstrap --variant=minbase --include="systemd,systemd-sysv,python3,openssl,libevent-core-2.1-7,\
libc-ares2,libsqlite3-0,libhiredis0.14,libspf2-2,libidn2-0,libpcre2-8-0,libyaml-0-2,libssl3,libseccomp2" \
        bookworm "$root" >"$build/debootstrap.log" || { tail "$build/debootstrap.log"; exit 77; }
    touch "$root/made"
fi
# As an administrator would, with the files of packaging/.
rm -rf "$root/etc/glacis" "$root/var/lib/glacis" "$root/var/log/glacis"
DESTDIR="$root" cmake --install "$build" --prefix /usr >/dev/null
cp "$here/inside.py" "$root/root/inside.py"
rm -f "$root/root/result"
cat >"$root/etc/systemd/system/inside.service" <<UNIT
[Unit]
After=systemd-sysusers.service systemd-tmpfiles-setup.service
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /root/inside.py
StandardOutput=file:/root/result
StandardError=file:/root/result
ExecStopPost=/usr/bin/systemctl --no-block poweroff
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../inside.service "$root/etc/systemd/system/multi-user.target.wants/inside.service"
timeout 300 systemd-nspawn --quiet --register=no --keep-unit --private-network -D "$root" -b </dev/null >"$build/systemd.log" 2>&1 || true
cat "$root/root/result"
grep -q '^all is well$' "$root/root/result"
