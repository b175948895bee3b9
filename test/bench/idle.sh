#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# idle.sh - how much memory an idle connection costs: holds COUNT (default 20000) connections that have said EHLO, from several
# addresses of 127.0.0.0/8, and prints KiB of PSS for each, for workers alone and for all processes.
#
# Usage: test/bench/idle.sh [COUNT]      GLACIS=build/glacis
# Each process needs about COUNT descriptors (two workers: half as many each); see ulimit -n.
. "$(dirname "$0")/../integration/lib.sh"
count=${1:-20000}
workers=${WORKERS:-2}
# shellcheck disable=SC3045
limit=$(ulimit -n)
need_fds=$((count + 200))
if [ "$limit" != unlimited ] && [ "$limit" -lt $need_fds ]; then
    # shellcheck disable=SC3045
    ulimit -n $need_fds 2>/dev/null || say "# only $limit descriptors for each process: the clients are divided"
fi

start_sink --name inner.sink.test
write_config "$work/glacis.yaml" <<YAML
limits: {connections: 100000, connections_per_client: off, command_timeout: 30m, stress: {at: 100%, command_timeout: 10m}}
log: {level: warn}
YAML
start_glacis "$work/glacis.yaml"
"$PYTHON" "$HERE/../bench/idle.py" "$smtp_port" "$glacis_pid" "$count"
passed=1
