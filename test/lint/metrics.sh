#!/bin/sh
# metrics.sh ROOT - every metric of core/metrics.h is counted somewhere: one that never moves is a lie.
set -eu
cd "${1:?usage: metrics.sh ROOT}"
bad=$(sed -nE 's/^ *X\(([A-Z0-9_]+), (COUNTER|GAUGE|HISTOGRAM).*/\1/p' core/metrics.h | while read -r name; do
    grep -rqw "M_$name" --include='*.c' core config tls dns state policy proxy admin ||
        echo "core/metrics.h: $name is never counted"
done)
[ -z "$bad" ] || { echo "$bad"; exit 1; }
