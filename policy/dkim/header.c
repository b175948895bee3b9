/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.c - fields by name, without regard to case.
 *
 * The table hashes with a random key (core/table.h), so a peer cannot choose names that collide.
 */
#include "policy/dkim/header.h"

#include "smtp/field.h"

#define KEY_MAX 1000 /* octets of a name; no line is longer (RFC 5322 2.1.1) */

/* All fields of one name. */
struct name {
    struct table_entry entry;
    struct dkim_field *lowest;
    const struct dkim_field
        *cursor; /* next field to pick, valid if round is the header's; else start at `lowest` */
    unsigned round;
};

void dkim_header_init(struct dkim_header *h, size_t max_bytes)
{
    *h = (struct dkim_header){ .next = NULL };
    arena_init_counted(&h->arena, max_bytes);
    table_init(&h->names);
}

void dkim_header_fini(struct dkim_header *h)
{
    table_fini(&h->names);
    arena_fini(&h->arena);
    h->bottom = h->next = NULL;
}

const struct dkim_field *dkim_header_put(struct dkim_header *h, struct slice field)
{
    struct header_line line = { .keeps_name = false };
    size_t behind_colon = header_line_put(&line, field);
    struct dkim_field *f;
    char *text;

    if (line.kind != HEADER_LINE_FIELD) {
        return NULL;
    }
    if (field.len >= 2 && field.ptr[field.len - 2] == '\r' && field.ptr[field.len - 1] == '\n') {
        field.len -= 2;
    }
    f = field.len < h->arena.max ? arena_alloc(&h->arena, sizeof(*f) + field.len) : NULL;
    if (f == NULL) {
        h->full = true;
        return NULL;
    }
    text = (char *)(f + 1);
    memcpy(text, field.ptr, field.len);
    f->text = slice_of(text, field.len);
    f->name_len = behind_colon - 1;
    if (h->bottom == NULL) {
        h->next = f;
    } else {
        h->bottom->below = f;
    }
    h->bottom = f;
    return f;
}

struct slice dkim_field_name(const struct dkim_field *f)
{
    return slice_trim(slice_take(f->text, f->name_len));
}

struct slice dkim_field_value(const struct dkim_field *f)
{
    return slice_skip(f->text, f->name_len + 1);
}

/* Writes the name to `mem` in lower case; returns the empty slice if it is too long. */
static struct slice lower(struct slice name, char mem[KEY_MAX])
{
    if (name.len > KEY_MAX) {
        return SLICE_NONE;
    }
    for (size_t i = 0; i < name.len; i++) {
        mem[i] = ascii_lower(name.ptr[i]);
    }
    return slice_of(mem, name.len);
}

static bool index_field(struct dkim_header *h, struct dkim_field *f)
{
    char mem[KEY_MAX];
    struct table_key key = table_key(&h->names, lower(dkim_field_name(f), mem));
    struct table_entry *e = table_find_key(&h->names, &key);
    struct name *n;

    if (e == NULL) {
        n = arena_alloc(&h->arena, sizeof(*n) + key.text.len);
        if (n == NULL) {
            return false;
        }
        memcpy(n + 1, key.text.ptr == NULL ? "" : key.text.ptr, key.text.len);
        key.text.ptr = (const char *)(n + 1);
        table_insert_key(&h->names, &n->entry, &key);
    } else {
        n = container_of(e, struct name, entry);
    }
    f->above = n->lowest;
    n->lowest = f;
    return true;
}

bool dkim_header_index(struct dkim_header *h)
{
    for (size_t i = 0; i < DKIM_INDEX_STEP && h->next != NULL; i++) {
        h->full = !index_field(h, h->next) || h->full;
        h->next = h->next->below;
    }
    return h->next == NULL;
}

void dkim_header_select(struct dkim_header *h)
{
    h->round++;
}

const struct dkim_field *dkim_header_pick(struct dkim_header *h, struct slice name)
{
    char mem[KEY_MAX];
    struct table_entry *e = table_find(&h->names, lower(name, mem));
    const struct dkim_field *picked;
    struct name *n;

    if (e == NULL || name.len > KEY_MAX) {
        return NULL;
    }
    n = container_of(e, struct name, entry);
    picked = n->round == h->round ? n->cursor : n->lowest;
    n->round = h->round;
    n->cursor = picked == NULL ? NULL : picked->above;
    return picked;
}
