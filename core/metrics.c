/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c - the table behind metrics.h and its Prometheus text.
 *
 * Owns the private array that a process uses until it gets its slot of the shared memory.
 */
#include "core/metrics.h"

const struct metric_info metric_table[METRIC_COUNT] = {
#define X(name, kind, prom, label, help) { prom, label, help, METRIC_##kind },
    METRICS_LIST(X)
#undef X
};

static _Atomic uint64_t private_array[METRIC_COUNT];

_Atomic uint64_t *metrics_array = private_array;

void metrics_use(_Atomic uint64_t *array)
{
    metrics_array = array ? array : private_array;
}

void metrics_put_value(struct buf *out, enum metric_kind kind, uint64_t value)
{
    switch (kind) {
    case METRIC_GAUGE: /* gauges change while they are summed, so a sum may briefly be negative */
        buf_put_i64(out, (int64_t)value);
        break;
    case METRIC_SECONDS:
        buf_put_u64(out, value / 1000000);
        buf_put_char(out, '.');
        buf_put_digits(out, value % 1000000, 6);
        break;
    case METRIC_COUNTER:
        buf_put_u64(out, value);
        break;
    }
}

static void put_sample(struct buf *out, const struct metric_info *m, uint64_t value)
{
    buf_put_str(out, m->name);
    if (m->label[0]) {
        buf_put_char(out, '{');
        buf_put_str(out, m->label);
        buf_put_char(out, '}');
    }
    buf_put_char(out, ' ');
    metrics_put_value(out, m->kind, value);
    buf_put_char(out, '\n');
}

void metrics_render(struct buf *out, const uint64_t values[METRIC_COUNT])
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const struct metric_info *m = &metric_table[i];

        if (i == 0 || !slice_eq(slice_str(m[-1].name), slice_str(m->name))) {
            buf_putf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                     m->kind == METRIC_COUNTER ? "counter" : "gauge");
        }
        put_sample(out, m, values[i]);
    }
}
