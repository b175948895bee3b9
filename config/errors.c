/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errors.c - collects the errors of a file in any order, and prints them in file order.
 *
 * Limits: keeps ERRORS_MAX errors, plus one that reports the overflow.
 */
#include "config/config.h"

#define ERRORS_MAX 200
#define ERROR_TEXT_MAX 2000

void config_errors_fini(struct config_errors *errs)
{
    for (size_t i = 0; i < errs->count; i++) {
        free(errs->list[i].text);
    }
    free(errs->list);
    *errs = (struct config_errors){ .count = 0 };
}

/* The index for a new error: after all errors at the same or an earlier place.  Errors without a place are last. */
static size_t place_of(const struct config_errors *errs, int line, int column)
{
    size_t i = errs->count;

    while (i > 0 && line != 0) {
        const struct config_error *e = &errs->list[i - 1];

        if (e->line != 0 && (e->line < line || (e->line == line && e->column <= column))) {
            break;
        }
        i--;
    }
    return i;
}

static void insert(struct config_errors *errs, struct config_error e)
{
    size_t i = place_of(errs, e.line, e.column);

    errs->list = xrealloc(errs->list, (errs->count + 1) * sizeof(*errs->list));
    memmove(&errs->list[i + 1], &errs->list[i], (errs->count - i) * sizeof(*errs->list));
    errs->list[i] = e;
    errs->count++;
}

PRINTF(3, 0)
static void add(struct config_errors *errs, struct config_error e, const char *fmt, va_list ap)
{
    struct buf text;

    if (errs->count > ERRORS_MAX) {
        return;
    }
    if (errs->count == ERRORS_MAX) {
        insert(errs, (struct config_error){ .text = xstrdup("too many errors; the others are not shown") });
        return;
    }
    buf_init(&text, ERROR_TEXT_MAX);
    buf_vputf(&text, fmt, ap);
    e.text = slice_dup(buf_slice(&text));
    buf_fini(&text);
    insert(errs, e);
}

void config_errors_add(struct config_errors *errs, bool warning, int line, int column, const char *fmt, ...)
{
    struct config_error e = { .warning = warning, .line = line, .column = column };
    va_list ap;

    errs->fatal += warning ? 0 : 1;
    va_start(ap, fmt);
    add(errs, e, fmt, ap);
    va_end(ap);
}

void config_errors_material(struct config_errors *errs, enum config_material kind, int line, int column,
                            const char *fmt, ...)
{
    struct config_error e = { .line = line, .column = column };
    va_list ap;

    errs->missing[kind]++;
    errs->fatal += (errs->lenient & MATERIAL_BIT(kind)) != 0 || config_keeps(errs, kind) ? 0 : 1;
    va_start(ap, fmt);
    add(errs, e, fmt, ap);
    va_end(ap);
}

void config_errors_print(const struct config_errors *errs, const char *path, struct buf *out)
{
    for (size_t i = 0; i < errs->count; i++) {
        const struct config_error *e = &errs->list[i];

        buf_put_str(out, path);
        if (e->line != 0) {
            buf_putf(out, ":%d:%d", e->line, e->column);
        }
        buf_putf(out, ": %s: %s\n", e->warning ? "warning" : "error", e->text);
    }
}
