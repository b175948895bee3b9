#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 80-image.sh - the Dockerfile builds, and what it builds carries mail: no engine is needed.
# A minimal trixie is made by debootstrap and committed as localhost/debian:trixie-slim; buildah builds the
# Dockerfile in a chroot; the root file system is then run by chroot with nothing but GLACIS_DOMAINS and GLACIS_UPSTREAM,
# read-only but for the volume.
# What can be kept is kept in $GLACIS_TEST_CACHE (default /var/cache/glacis-test): the second run is quick.
. "$(dirname "$0")/lib.sh"
need_root
need debootstrap buildah unshare setpriv swaks
cache=${GLACIS_TEST_CACHE:-/var/cache/glacis-test}
mkdir -p "$cache" || skip "$cache cannot be written"
[ "$(df -Pk "$cache" | awk 'NR == 2 { print $4 }')" -gt 4000000 ] || skip "less than 4 GB free in $cache"
exec 9>"$cache/lock"
flock 9

b() {
    buildah --storage-driver vfs --root "$cache/store" --runroot "$work/run" "$@"
}

containers=""
at_end="$at_end drop_containers"
drop_containers() {
    for c in $containers; do
        b rm "$c" >/dev/null 2>&1 || :
    done
    b rmi --prune >/dev/null 2>&1 || :
}

# Each change of the sources leaves a layer behind, and vfs keeps whole copies: begin anew when it is much.
if [ -d "$cache/store" ] && [ "$(du -sm "$cache/store" | cut -f 1)" -gt 6000 ]; then
    rm -rf "$cache/store"
fi

# ---- the base image ----
if ! b inspect --type image localhost/debian:trixie-slim >/dev/null 2>&1; then
    if [ ! -s "$cache/trixie.tar" ]; then
        debootstrap --variant=minbase trixie "$work/trixie" >"$work/debootstrap.log" 2>&1 ||
            skip "debootstrap cannot work here: $(tail -n 1 "$work/debootstrap.log")"
        rm -rf "$work"/trixie/var/cache/apt/archives/*.deb "$work"/trixie/var/lib/apt/lists/*
        tar -C "$work/trixie" -cf "$cache/trixie.tar.new" . && mv "$cache/trixie.tar.new" "$cache/trixie.tar"
        rm -rf "$work/trixie"
    fi
    base=$(b from scratch 2>"$work/buildah.log") || skip "buildah cannot work here: $(tail -n 1 "$work/buildah.log")"
    containers="$base"
    b add "$base" "$cache/trixie.tar" / >"$work/buildah.log" 2>&1 || fail "the base image: $(tail -n 3 "$work/buildah.log")"
    b config --cmd /bin/bash "$base"
    b commit "$base" localhost/debian:trixie-slim >>"$work/buildah.log" 2>&1 || fail "the base image is committed"
fi
ok "a base image: debian trixie, minbase"

# ---- the Dockerfile, from the files of this tree that git knows or would add ----
mkdir "$work/src"
(cd "$ROOT" && test/files.sh . | tar -c -T - -f - 2>/dev/null) |
    tar -x -C "$work/src" -f - || fail "the sources are copied"
sed -E 's#^FROM debian:trixie-slim#FROM localhost/debian:trixie-slim#' "$work/src/Dockerfile" >"$work/Dockerfile"
b bud --isolation chroot --layers --format docker -t localhost/glacis:test -f "$work/Dockerfile" "$work/src" >"$work/bud.log" 2>&1 ||
    fail "the image is built"
ok "the Dockerfile builds"

b inspect --type image --format '{{.Docker.Config.User}} {{.Docker.Config.StopSignal}} {{.Docker.Config.Volumes}} {{.Docker.Config.ExposedPorts}} {{.Docker.Config.Healthcheck}}' \
    localhost/glacis:test >"$work/config.out"
for want in 10025:10025 SIGTERM /var/lib/glacis 25/tcp 8025/tcp healthz; do
    grep -q "$want" "$work/config.out" || fail "the image says $want: $(cat "$work/config.out")"
done
ok "user 10025, SIGTERM, one volume, ports 25 and 8025, a health check"

container=$(b from localhost/glacis:test)
containers="$container $containers"
image=$(b mount "$container")
if [ -e "$image/usr/bin/cmake" ] || [ -e "$image/src" ]; then
    fail "no build tools in the final image"
fi
say "# $(du -sm "$image" | cut -f 1) MiB in all, $(du -sm "$image/usr/local" | cut -f 1) MiB of ours"

# ---- run it: its own mount and network namespace, so that port 25 and 8025 are free; read-only root ----
cat >"$work/inside.sh" <<'IN'
set -eu
image=$1
work=$2
mount --bind "$image" "$image"
mount --bind "$work/state" "$image/var/lib/glacis"
mount -t proc proc "$image/proc"
mount -t tmpfs tmpfs "$image/dev"
for d in null urandom random; do
    : >"$image/dev/$d"
    mount --bind "/dev/$d" "$image/dev/$d"
done
mount -o remount,ro,bind "$image"
ip link set lo up
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
cd "$work"
"$PYTHON" "$HERE/sink.py" --listen 127.0.0.1:2526 --dir "$work/mail" --ready-file "$work/sink.ready" &
sink=$!
as_glacis() { # takes the place of the shell that calls it
    exec chroot "$image" /usr/bin/setpriv --reuid 10025 --regid 10025 --clear-groups --no-new-privs --bounding-set=-all "$@"
}
GLACIS_DOMAINS=example.test GLACIS_UPSTREAM=127.0.0.1:2526 as_glacis \
    /usr/local/bin/glacis run --ready-file /var/lib/glacis/ready &
proxy=$!
n=0
until [ -s "$work/state/ready" ]; do
    n=$((n + 1))
    [ $n -lt 100 ] && kill -0 $proxy || { echo "glacis did not get ready"; exit 1; }
    "$PYTHON" -S -c 'import time; time.sleep(0.1)'
done
swaks --server 127.0.0.1:25 --helo client.example.net --from alice@example.net --to bob@example.test --body "from the image"
if swaks --server 127.0.0.1:25 --helo client.example.net --from alice@example.net --to x@example.org --quit-after RCPT; then
    echo "it relays"
    exit 1
fi
(as_glacis /bin/bash -c "exec 3<>/dev/tcp/127.0.0.1/8025 && printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3 && IFS= read -r status <&3 && [[ \$status == *' 200 '* ]]")
echo "healthy"
kill $proxy
wait $proxy
echo "ended with $?"
kill $sink
IN
mkdir "$work/state" "$work/mail"
chown 10025:10025 "$work/state"
chmod 755 "$work/mail"
need ip
unshare --mount --net --pid --fork --kill-child sh "$work/inside.sh" "$image" "$work" >"$work/inside.log" 2>&1 </dev/null ||
    fail "the image carries mail"
b umount "$container" >/dev/null
grep -q "^healthy" "$work/inside.log" || fail "its health check is good"
grep -q "^ended with 0" "$work/inside.log" || fail "SIGTERM ends it with 0"
grep -q "from the image" "$work"/mail/*.eml || fail "the message arrived"
grep -q "550 5.7.1" "$work/inside.log" || fail "the relay attempt is refused"
ok "with GLACIS_DOMAINS and GLACIS_UPSTREAM alone, read-only, as uid 10025, on port 25: mail crosses, health 200, clean end"
