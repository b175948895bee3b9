/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key_find.c - lookups in the table of keys (keys.h).
 *
 * Pure.  The table has a few hundred rows, and only a load uses it, so each lookup walks all of it.
 */
#include "config/keys.h"

#include <limits.h>

#include "config/values.h"

#define NAMES_SHOWN 6

const struct key *key_find(struct slice path)
{
    size_t count;
    const struct key *table = key_table(&count);

    for (size_t i = 0; i < count; i++) {
        if (slice_eq(slice_str(table[i].path), path)) {
            return &table[i];
        }
    }
    return NULL;
}

/* Is the row below the path (not the path itself)? */
static bool is_below(const struct key *k, struct slice path)
{
    struct slice full = slice_str(k->path);

    return slice_empty(path) ||
           (full.len > path.len && slice_starts(full, path) && full.ptr[path.len] == '.');
}

bool key_is_section(struct slice path)
{
    size_t count;
    const struct key *table = key_table(&count);

    for (size_t i = 0; i < count; i++) {
        if (is_below(&table[i], path)) {
            return true;
        }
    }
    return false;
}

bool key_refused(const struct key *k)
{
    return k->type == KEY_LATER;
}

bool key_as_written(const struct key *k)
{
    return k->type == KEY_TREE || k->type == KEY_URL || k->type == KEY_CANARIES || k->type == KEY_LISTS;
}

struct slice key_scope(const char *path)
{
    struct slice full = slice_str(path);
    size_t end = 0;

    for (size_t i = 0; i + 1 < full.len; i++) {
        if (full.ptr[i + 1] == '.' && (full.ptr[i] == '*' || full.ptr[i] == ']')) {
            end = i + 1;
        }
    }
    return slice_take(full, end);
}

struct slice key_name_in(const struct key *k, struct slice path)
{
    struct slice rest = slice_skip(slice_str(k->path), slice_empty(path) ? 0 : path.len + 1);
    struct slice name = slice_take(rest, slice_find(rest, '.'));

    return is_below(k, path) ? slice_take(name, slice_find(name, '[')) : SLICE_NONE;
}

bool key_has_secret(struct slice path)
{
    size_t count;
    const struct key *table = key_table(&count);

    for (size_t i = 0; i < count; i++) {
        if ((table[i].type == KEY_SECRET || table[i].type == KEY_URL) && is_below(&table[i], path)) {
            return true;
        }
    }
    return false;
}

void key_put_names(struct slice path, struct buf *out)
{
    size_t count;
    const struct key *table = key_table(&count);
    struct slice name[NAMES_SHOWN + 1];
    size_t n = 0;

    for (size_t i = 0; i < count && n <= NAMES_SHOWN; i++) {
        struct slice one = key_name_in(&table[i], path);

        if (!slice_empty(one) && !key_refused(&table[i]) && (n == 0 || !slice_eq(name[n - 1], one))) {
            name[n++] = one; /* rows of a section are adjacent */
        }
    }
    for (size_t i = 0; i < n && n <= NAMES_SHOWN; i++) {
        buf_put_str(out, i == 0 ? "" : i + 1 < n ? ", " : " and ");
        buf_put_slice(out, name[i]);
    }
}

const char *key_nearest(struct slice path, struct slice name, struct buf *out)
{
    size_t count;
    const struct key *table = key_table(&count);
    unsigned best = UINT_MAX;
    struct slice found = SLICE_NONE;

    for (size_t i = 0; i < count; i++) {
        struct slice near = key_name_in(&table[i], path);
        unsigned distance;

        if (value_similar(name, near, &distance) && distance < best && !key_refused(&table[i])) {
            best = distance;
            found = near;
        }
    }
    for (size_t i = 0; i < count && slice_empty(found); i++) {
        struct slice full = slice_str(table[i].path);
        size_t dot = slice_rfind(full, '.');

        if (slice_eq(slice_skip(full, dot == full.len ? 0 : dot + 1), name) &&
            slice_find(full, '*') == full.len && !key_refused(&table[i])) {
            found = full;
        }
    }
    buf_put_slice(out, found);
    return slice_empty(found) ? NULL : out->ptr;
}
