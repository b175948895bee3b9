/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.c - see address.h.
 */
#include "policy/rules/address.h"

#include "smtp/lexical.h"

bool address_is_dot_string(struct slice s)
{
    char before = '.';

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.' ? before == '.' : !lex_is_atext(s.ptr[i])) {
            return false;
        }
        before = s.ptr[i];
    }
    return before != '.';
}

/* Puts the text between the quotes without backslashes; with `escape` it keeps the required ones. */
static void put_content(struct buf *out, struct slice inner, bool escape)
{
    for (size_t i = 0; i < inner.len; i++) {
        i += inner.ptr[i] == '\\' && i + 1 < inner.len;
        if (escape && (inner.ptr[i] == '"' || inner.ptr[i] == '\\')) {
            buf_put_char(out, '\\');
        }
        buf_put_char(out, inner.ptr[i]);
    }
}

void address_put_local(struct buf *out, struct slice local)
{
    size_t start = out->len;
    struct slice inner;

    if (local.len < 2 || local.ptr[0] != '"' || local.ptr[local.len - 1] != '"') {
        buf_put_slice(out, local);
        return;
    }
    inner = slice_of(local.ptr + 1, local.len - 2);
    put_content(out, inner, false);
    if (!buf_ok(out) || address_is_dot_string(slice_skip(buf_slice(out), start))) {
        return;
    }
    buf_truncate(out, start);
    buf_put_char(out, '"');
    put_content(out, inner, true);
    buf_put_char(out, '"');
}
