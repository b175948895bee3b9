/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.c - see template.h.
 */
#include "config/template.h"

enum piece_kind { PIECE_TEXT = 0, PIECE_NAME, PIECE_OPTIONAL, PIECE_BROKEN };

/* Octets up to the brace that ends an optional part; text.len: no such brace, or another part begins before it. */
static size_t optional_end(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        struct slice rest = slice_skip(text, i);

        if (rest.ptr[0] == '}') {
            return i;
        }
        if (slice_starts(rest, SLICE("{?"))) {
            break;
        }
        if (slice_starts(rest, SLICE("{{"))) {
            i++;
        } else if (rest.ptr[0] == '{') {
            i += slice_find(rest, '}');
        }
    }
    return text.len;
}

/* Takes the part of *text from `skip` to the brace at `end`; *text then begins after the brace. */
static enum piece_kind take_braced(struct slice *text, size_t skip, size_t end, struct slice *piece)
{
    struct slice whole = *text;

    if (end >= whole.len - skip) {
        *piece = whole;
        *text = SLICE_NONE;
        return PIECE_BROKEN;
    }
    *piece = slice_take(slice_skip(whole, skip), end);
    *text = slice_skip(whole, skip + end + 1);
    return skip == 2 ? PIECE_OPTIONAL : PIECE_NAME;
}

/* Takes the next piece of *text, which must not be empty: literal text, a name, or the content of an optional part. */
static enum piece_kind next_piece(struct slice *text, struct slice *piece)
{
    size_t brace = slice_find(*text, '{');

    if (brace > 0) {
        *piece = slice_take(*text, brace);
        *text = slice_skip(*text, brace);
        return PIECE_TEXT;
    }
    if (slice_starts(*text, SLICE("{{"))) {
        *piece = slice_take(*text, 1);
        *text = slice_skip(*text, 2);
        return PIECE_TEXT;
    }
    if (slice_starts(*text, SLICE("{?"))) {
        return take_braced(text, 2, optional_end(slice_skip(*text, 2)), piece);
    }
    return take_braced(text, 1, slice_find(slice_skip(*text, 1), '}'), piece);
}

bool template_valid(struct slice text, template_known known, void *arg, struct slice *bad)
{
    while (!slice_empty(text)) {
        struct slice piece;
        enum piece_kind kind = next_piece(&text, &piece);

        if (kind == PIECE_OPTIONAL) {
            if (!template_valid(piece, known, arg, bad)) { /* one level: parts do not nest */
                return false;
            }
        } else if (kind == PIECE_BROKEN || (kind == PIECE_NAME && !known(arg, piece))) {
            *bad = piece;
            return false;
        }
    }
    return true;
}

/* False if a value was empty. */
static bool render(struct slice text, template_lookup lookup, void *arg, struct buf *out)
{
    bool full = true;

    while (!slice_empty(text)) {
        struct slice piece;
        enum piece_kind kind = next_piece(&text, &piece);
        size_t before = out->len;

        if (kind == PIECE_OPTIONAL) {
            if (!render(piece, lookup, arg, out)) {
                buf_truncate(out, before);
            }
        } else if (kind != PIECE_NAME) {
            buf_put_slice(out, piece);
        } else if (!lookup(arg, piece, out) || out->len == before) {
            full = full && out->failed; /* no room left is not empty */
            buf_put_char(out, '-');
        }
    }
    return full;
}

void template_render(struct slice text, template_lookup lookup, void *arg, struct buf *out)
{
    (void)render(text, lookup, arg, out);
}
