/*
 * template.c - see template.h.
 */
#include "policy/template.h"

/* Takes the next piece of *text: literal text, or a name in braces (*is_name). */
static bool next_piece(struct slice *text, struct slice *piece, bool *is_name, bool *broken)
{
    size_t brace;

    *is_name = *broken = false;
    if (slice_empty(*text)) {
        return false;
    }
    brace = slice_find(*text, '{');
    if (brace > 0) {
        *piece = slice_take(*text, brace);
        *text = slice_skip(*text, brace);
        return true;
    }
    if (text->len > 1 && text->ptr[1] == '{') {
        *piece = slice_take(*text, 1);
        *text = slice_skip(*text, 2);
        return true;
    }
    brace = slice_find(*text, '}');
    *broken = brace == text->len;
    *is_name = true;
    *piece = *broken ? *text : slice_take(slice_skip(*text, 1), brace - 1);
    *text = slice_skip(*text, *broken ? text->len : brace + 1);
    return true;
}

bool template_valid(struct slice text, template_known known, void *arg, struct slice *bad)
{
    struct slice piece;
    bool is_name, broken;

    while (next_piece(&text, &piece, &is_name, &broken)) {
        if (broken || (is_name && !known(arg, piece))) {
            *bad = piece;
            return false;
        }
    }
    return true;
}

void template_render(struct slice text, template_lookup lookup, void *arg, struct buf *out)
{
    struct slice piece;
    bool is_name, broken;

    while (next_piece(&text, &piece, &is_name, &broken)) {
        size_t before = out->len;

        if (!is_name || broken) {
            buf_put_slice(out, piece);
        } else if (!lookup(arg, piece, out) || out->len == before) {
            buf_put_char(out, '-');
        }
    }
}
