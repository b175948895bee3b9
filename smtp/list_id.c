/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list_id.c - the id in the last angle brackets of List-Id (list_id.h).
 *
 * The phrase before the id is free text and may have brackets in quotes or comments, so the id is in the last pair.
 * Without brackets the whole value is the id, because some senders omit them.
 */
#include "smtp/list_id.h"

#include "core/idna.h"
#include "smtp/field.h"

static struct slice trim(struct slice s)
{
    while (s.len > 0 && (unsigned char)s.ptr[0] <= ' ') {
        s = slice_skip(s, 1);
    }
    while (s.len > 0 && (unsigned char)s.ptr[s.len - 1] <= ' ') {
        s.len--;
    }
    return s;
}

bool list_id_read(struct slice head, struct buf *out)
{
    struct header_field f;
    struct slice value;
    size_t open;

    if (!header_only(head, SLICE("List-Id"), &f)) {
        return false;
    }
    value = trim(f.value);
    open = slice_rfind(value, '<');
    if (open < value.len) {
        value = slice_skip(value, open + 1);
        value = trim(slice_take(value, slice_find(value, '>')));
    }
    return !slice_empty(value) && value.len <= IDNA_NAME_MAX && idna_to_ascii(value, out);
}
