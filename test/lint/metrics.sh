#!/bin/sh
# metrics.sh ROOT - every metric of core/metrics.h is counted somewhere: one that never moves is a lie.
set -eu
cd "${1:?usage: metrics.sh ROOT}"
bad=0
for name in $(sed -nE 's/^ *X\(([A-Z0-9_]+), (COUNTER|GAUGE|HISTOGRAM).*/\1/p' core/metrics.h); do
    if ! grep -rqw "M_$name" --include='*.c' core config tls dns state policy proxy admin; then
        echo "core/metrics.h: $name is never counted"
        bad=1
    fi
done
exit "$bad"
