#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# metrics.sh ROOT - B12: every metric of core/metrics.h is counted somewhere, and every name is as `promtool check metrics`
# and the Prometheus naming rules want it: base units written out, _total for counters and for nothing else.
set -eu
cd "${1:?usage: metrics.sh ROOT}"
folders=$(cat test/lint/folders)
bad=0

say() {
    echo "$1"
    bad=1
}

listed=$(sed -nE 's/^ *X\(([A-Z0-9_]+), (COUNTER|GAUGE|SECONDS).*/\1/p' core/metrics.h)
[ -n "$listed" ] || say "core/metrics.h: no row of a metric was found"
for name in $listed; do
    # shellcheck disable=SC2086  # one word a folder
    grep -rqw "M_$name" --include='*.c' $folders || say "core/metrics.h: $name is never counted"
done

# Counters of the list, then all names wherever they stand: in the list, in # TYPE lines, in tables of other files.
counters=$(sed -nE 's/^ *X\([A-Z0-9_]+, COUNTER, "([^"]+)".*/\1/p' core/metrics.h)
gauges=$(sed -nE 's/^ *X\([A-Z0-9_]+, (GAUGE|SECONDS), "([^"]+)".*/\2/p' core/metrics.h)
# shellcheck disable=SC2086
names=$(grep -rhoE '"(# (HELP|TYPE) )?glacis_[A-Za-z0-9_]+' --include='*.[ch]' $folders | sed 's/.*glacis_/glacis_/' | sort -u)
for name in $counters; do
    case $name in *_total) ;; *) say "$name: a counter ends in _total" ;; esac
done
for name in $gauges; do
    case $name in *_total) say "$name: only a counter ends in _total" ;; esac
done
for name in $names; do
    case $name in
    *[A-Z]*) say "$name: small letters only" ;;
    *_bucket | *_count | *_sum | *_counter | *_gauge | *_histogram) say "$name: this ending has another meaning" ;;
    esac
    for word in $(echo "$name" | tr _ ' '); do
        case $word in
        milliseconds | microseconds | nanoseconds | minutes | hours | days | weeks | kilobytes | megabytes | gigabytes | bits)
            say "$name: the base units are seconds and bytes" ;;
        s | ms | us | ns | sec | h | hr | d | b | kb | mb | gb | tb | kib | mib | gib | tib)
            say "$name: \`$word\` reads as an abbreviated unit" ;;
        esac
    done
done

# The first row of a name carries the help.
said=$(awk 'match($0, /"glacis_[a-z0-9_]+"/) {
    name = substr($0, RSTART + 1, RLENGTH - 2)
    if (name != last && $0 ~ /, ""\) *\\?$/) print "core/metrics.h: " name ": no help text"
    last = name }' core/metrics.h)
[ -z "$said" ] || say "$said"
exit $bad
