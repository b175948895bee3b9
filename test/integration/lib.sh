# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# lib.sh - what the integration tests share; sourced by them, from any directory.
#
# A test gets a private directory ($work), which is removed at its end with every process that it started;
# on failure the logs are printed first.  Ports are 0 and read from files that the programs write; waiting
# is wait_for, never sleep.  Exit 77 skips, with a reason.
#
#   $GLACIS  the program; default build/glacis.      $ROOT  the repository.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=test/environment.sh
. "$ROOT/test/environment.sh"
case ${GLACIS:=$ROOT/build/glacis} in
/*) ;;
*) GLACIS=$PWD/$GLACIS ;;
esac
HERE=$ROOT/test/integration
PYTHON=/usr/bin/python3
export GLACIS PYTHON HERE
PATH=$PATH:/usr/sbin:/sbin
export PYTHONDONTWRITEBYTECODE=1

work=$(mktemp -d "${TMPDIR:-/tmp}/glacis-it.XXXXXX")
chmod 755 "$work"
pids=""     # processes that this test started, newest first
passed=0
at_end=""   # functions that cleanup calls

# say TEXT...
say() {
    printf '%s\n' "$*"
}

skip() {
    say "skipped: $*"
    exit 77
}

fail() {
    say "failed: $*"
    exit 1
}

# ok TEXT: one thing was shown.
ok() {
    passed=$((passed + 1))
    say "ok $passed - $*"
}

need() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null 2>&1 || skip "$tool is not installed"
    done
}

need_root() {
    [ "$(id -u)" = 0 ] || skip "needs root"
}

# end PID: SIGTERM, then SIGKILL after 10 s.
end() {
    kill "$1" 2>/dev/null || return 0
    n=0
    while kill -0 "$1" 2>/dev/null && [ $n -lt 200 ]; do
        wait_a_moment
        n=$((n + 1))
    done
    kill -9 "$1" 2>/dev/null || :
    wait "$1" 2>/dev/null || :
}

wait_a_moment() {
    "$PYTHON" -S -c 'import time; time.sleep(0.05)'
}

cleanup() {
    status=$?
    trap - EXIT
    if [ $status -ne 0 ] && [ $status -ne 77 ]; then
        for log in "$work"/*.log; do
            [ -s "$log" ] || continue
            say "---- $(basename "$log") (its end)"
            tail -n 40 "$log" | cut -c 1-600
        done
    fi
    for pid in $pids; do
        end "$pid"
    done
    for hook in $at_end; do
        $hook || :
    done
    if grep -lE 'AddressSanitizer|LeakSanitizer|runtime error:' "$work"/*.log >/dev/null 2>&1; then
        say "failed: a sanitizer report"
        grep -hE -A 25 'AddressSanitizer|LeakSanitizer|runtime error:' "$work"/*.log | head -n 80
        status=1
    fi
    if grep -lE '"event":"sandbox_denied"|"signal":31[,}]' "$work"/*.log >/dev/null 2>&1; then
        say "failed: the sandbox was tripped"
        grep -hE '"event":"sandbox_denied"|"signal":31[,}]' "$work"/*.log | head -n 5
        status=1
    fi
    [ $status -ne 0 ] || say "$passed passed, 0 failed"
    rm -rf "$work"
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    limit=$(($(date +%s) + $1))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt $limit ] || return 1
        wait_a_moment
    done
}

# started PID: it is ended at the end of the test.
started() {
    pids="$1 $pids"
}

# port_of FILE NAME: the port in a ready file (`name address:port` lines).
port_of() {
    sed -n "s/^$2 .*:\([0-9][0-9]*\)\$/\1/p" "$1" | head -n 1
}

# free_port: a port that nobody listens on now, for programs that cannot report theirs.
free_port() {
    "$PYTHON" "$HERE/ports.py"
}

listens() {
    "$PYTHON" -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1).close()' "$1" 2>/dev/null
}

# write_config FILE [YAML LINES on standard input are added]: a working minimum in front of port $sink_port.
write_config() {
    mkdir -p "$work/state"
    {
        cat <<YAML
server:
  hostname: mx.glacis.test
  listen: ["127.0.0.1:0"]
  user: root
  state_dir: $work/state
  greet_delay: 0ms
  workers: ${workers:-2}
upstreams:
  inner:
    servers: ["127.0.0.1:$sink_port"]
    tls: off
domains:
  example.test: inner
admin: {listen: "127.0.0.1:0"}
dns: {self_test: off}
policy: {preset: none, rules: []}
YAML
        cat
    } >"$1"
}

# start_glacis CONFIG [NAME]: sets glacis_pid, smtp_port, admin_port; its log is $work/NAME.log.
start_glacis() {
    name=${2:-glacis}
    [ -x "$GLACIS" ] || skip "no program at $GLACIS"
    rm -f "$work/$name.ready"
    # shellcheck disable=SC2086
    ${launcher:-} "$GLACIS" run -c "$1" --ready-file "$work/$name.ready" >>"$work/$name.log" 2>&1 </dev/null &
    glacis_pid=$!
    started $glacis_pid
    wait_for 30 glacis_is_ready "$name" || fail "glacis did not get ready"
    kill -0 $glacis_pid 2>/dev/null || fail "glacis ended at its start"
    smtp_port=$(grep -v '^admin ' "$work/$name.ready" | sed -n 's/.*:\([0-9]*\)$/\1/p' | head -n 1)
    admin_port=$(port_of "$work/$name.ready" admin)
    export smtp_port admin_port
}

glacis_is_ready() {
    [ -s "$work/$1.ready" ] || ! kill -0 "$glacis_pid" 2>/dev/null
}

# start_sink [ARGUMENTS of sink.py]: our verifying sink; sets sink_port, sink_dir, sink_pid.
start_sink() {
    sink_dir=$(mktemp -d "$work/sink.XXXXXX")
    "$HERE/sink.py" --dir "$sink_dir" --ready-file "$sink_dir/ready" "$@" >"$sink_dir.log" 2>&1 &
    sink_pid=$!
    started $sink_pid
    wait_for 10 test -s "$sink_dir/ready" || fail "the sink did not start"
    sink_port=$(port_of "$sink_dir/ready" smtp)
}

# start_smtp_sink [OPTIONS]: Postfix smtp-sink, one file a message in $sink_dir; sets sink_port, sink_pid.
start_smtp_sink() {
    need smtp-sink
    sink_dir=$(mktemp -d "$work/sink.XXXXXX")
    sink_port=$(free_port)
    if [ "$(id -u)" = 0 ]; then
        set -- -u root "$@"
    fi
    (cd "$sink_dir" && exec smtp-sink -d "%M." "$@" "127.0.0.1:$sink_port" 1000) >"$sink_dir.log" 2>&1 &
    sink_pid=$!
    started $sink_pid
    wait_for 10 listens "$sink_port" || fail "smtp-sink did not start"
}

# messages: how many messages the sink has stored.
messages() {
    find "$sink_dir" -type f ! -name ready ! -name '*.eml' ! -name '*.tmp' | wc -l
}

# at_least N: the sink has stored that many.
at_least() {
    [ "$(messages)" -ge "$1" ]
}

# metric NAME: its value; 0 if it is not there.
metric() {
    "$PYTHON" - "$admin_port" "$1" <<'PY'
import sys, urllib.request
text = urllib.request.urlopen("http://127.0.0.1:%s/metrics" % sys.argv[1], timeout=10).read().decode()
print(next((l.rsplit(" ", 1)[1] for l in text.splitlines() if l.rsplit(" ", 1)[0] == sys.argv[2]), "0"))
PY
}

# http PATH: the status code of the admin listener.
http() {
    "$PYTHON" - "$admin_port" "$1" <<'PY'
import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen("http://127.0.0.1:%s%s" % tuple(sys.argv[1:3]), timeout=10).status)
except urllib.error.HTTPError as e:
    print(e.code)
except OSError:
    print(0)
PY
}
