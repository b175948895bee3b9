/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.c - finding and masking secrets in URLs and zones (secret.h).
 */
#include "config/secret.h"

#define KEY_LABEL_MIN 16 /* query keys of list services have 26 and more octets, labels of words fewer */

struct slice secret_of_url(struct slice text)
{
    struct slice rest, scheme = slice_take(text, slice_find(text, ':'));
    size_t at, end;

    rest = slice_skip(text, scheme.len);
    if (!slice_starts(rest, SLICE("://")) || slice_find(text, ' ') < text.len) {
        return SLICE_NONE;
    }
    rest = slice_skip(rest, 3);
    if (slice_eq_nocase(scheme, SLICE("http")) || slice_eq_nocase(scheme, SLICE("https"))) {
        end = slice_find(rest, '/');
        end = min_size(end, min_size(slice_find(rest, '?'), slice_find(rest, '#')));
        rest = slice_take(rest, end);
    }
    at = slice_rfind(rest, '@');
    return at < rest.len ? slice_take(rest, at) : SLICE_NONE;
}

void secret_put_url(struct buf *out, struct slice text)
{
    struct slice secret = secret_of_url(text);
    size_t before = slice_empty(secret) ? text.len : (size_t)(secret.ptr - text.ptr);

    buf_put_slice(out, slice_take(text, before));
    buf_put_str(out, slice_empty(secret) ? "" : SECRET_MASK);
    buf_put_slice(out, slice_skip(text, before + secret.len));
}

void secret_put_quoted(struct buf *out, struct slice text, size_t max)
{
    struct buf shown;

    buf_init(&shown, text.len + sizeof(SECRET_MASK));
    secret_put_url(&shown, text);
    buf_put_quoted(out, buf_slice(&shown), max);
    buf_fini(&shown);
}

bool secret_is_masked(struct slice text)
{
    return text.len > 0 && memmem(text.ptr, text.len, SECRET_MASK, sizeof(SECRET_MASK) - 1) != NULL;
}

/* Takes a label off *rest, and a dot after it.  Dots within ${...} do not end a label. */
static struct slice take_label(struct slice *rest, bool *dot)
{
    struct slice all = *rest;
    size_t n = 0;

    while (n < all.len && all.ptr[n] != '.') {
        struct slice here = slice_skip(all, n);

        n += slice_starts(here, SLICE("${")) ? min_size(slice_find(here, '}') + 1, here.len) : 1;
    }
    *dot = n < all.len;
    *rest = slice_skip(all, n + (*dot ? 1 : 0));
    return slice_take(all, n);
}

/* Octets of the default in "${NAME:-default}". */
static size_t default_len(struct slice variable)
{
    size_t colon = slice_find(variable, ':');

    return variable.len > colon + sizeof(":-}") - 1 ? variable.len - colon - (sizeof(":-}") - 1) : 0;
}

/* Octets of a label that the file contains: without ${NAME}, but with its default. */
static size_t literal_len(struct slice label)
{
    size_t n = 0;

    while (!slice_empty(label)) {
        size_t skip = slice_starts(label, SLICE("${")) ? min_size(slice_find(label, '}') + 1, label.len) : 0;

        n += skip == 0 ? 1 : default_len(slice_take(label, skip));
        label = slice_skip(label, skip > 0 ? skip : 1);
    }
    return n;
}

void secret_put_zone(struct buf *out, struct slice zone, size_t tail)
{
    size_t end = zone.len - min_size(tail, zone.len);
    struct slice front = slice_take(zone, end);
    bool dot = false;

    while (!slice_empty(front)) {
        struct slice label = take_label(&front, &dot);

        buf_put_slice(out, literal_len(label) >= KEY_LABEL_MIN ? SLICE(SECRET_MASK) : label);
        buf_put_str(out, dot ? "." : "");
    }
    buf_put_slice(out, slice_skip(zone, end));
}

size_t secret_zone_tail(struct slice zone)
{
    size_t dots = 0;

    for (size_t i = zone.len; i > 0; i--) {
        if (zone.ptr[i - 1] == '}') {
            return zone.len - i; /* the value of ${NAME} is unknown here */
        }
        dots += zone.ptr[i - 1] == '.';
        if (dots == 2) {
            return zone.len - i;
        }
    }
    return zone.len;
}

static bool contains_nocase(struct slice text, struct slice word)
{
    for (size_t i = 0; word.len > 0 && i + word.len <= text.len; i++) {
        if (slice_starts_nocase(slice_skip(text, i), word)) {
            return true;
        }
    }
    return false;
}

static bool has_label(struct slice zone, struct slice label)
{
    while (!slice_empty(zone)) {
        if (slice_eq_nocase(slice_cut(&zone, '.'), label)) {
            return true;
        }
    }
    return false;
}

bool secret_repeated(struct slice zone, struct slice shown, struct slice text)
{
    bool first = true;

    while (!slice_empty(zone)) {
        struct slice label = slice_cut(&zone, '.');

        if ((first || label.len >= KEY_LABEL_MIN) && !has_label(shown, label) &&
            contains_nocase(text, label)) {
            return true;
        }
        first = false;
    }
    return false;
}
