/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tags.c - reads tag lists, colon-separated lists, and base64.
 *
 * Octets above 127 pass here.  Whoever uses a tag checks its value; the value of an unused tag does not matter.
 *
 * RFC     6376 2.8 (FWS), 2.10 (base64), 3.2 (tag lists)
 */
#include "policy/dkim/tags.h"

static bool is_fws(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice dkim_tags_trim(struct slice s)
{
    while (s.len > 0 && is_fws(s.ptr[0])) {
        s = slice_skip(s, 1);
    }
    while (s.len > 0 && is_fws(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

/* ALPHA *ALNUMPUNC */
static bool is_tag_name(struct slice s)
{
    if (slice_empty(s) || !ascii_is_alpha(s.ptr[0])) {
        return false;
    }
    for (size_t i = 1; i < s.len; i++) {
        if (!ascii_is_alpha(s.ptr[i]) && !ascii_is_digit(s.ptr[i]) && s.ptr[i] != '_') {
            return false;
        }
    }
    return true;
}

static bool has_controls(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if ((c < ' ' && !is_fws((char)c)) || c == 0x7f) {
            return true;
        }
    }
    return false;
}

/* "name=value" between two semicolons. */
static bool read_tag(struct slice spec, struct slice *name, struct dkim_tag *tag)
{
    size_t equals = slice_find(spec, '=');

    *name = dkim_tags_trim(slice_take(spec, equals));
    tag->raw = slice_skip(spec, equals + 1);
    tag->value = dkim_tags_trim(tag->raw);
    tag->present = true;
    return equals < spec.len && is_tag_name(*name) && !has_controls(tag->value);
}

bool dkim_tags_read(struct slice list, const char *const *names, struct dkim_tag *tags, size_t count,
                    struct slice *first)
{
    struct slice seen[DKIM_TAGS_MAX];
    size_t len = 0;

    memset(tags, 0, count * sizeof(*tags));
    *first = SLICE_NONE;
    while (!slice_empty(dkim_tags_trim(list))) { /* the last tag may have a semicolon too */
        struct dkim_tag tag;
        struct slice name;

        if (len == DKIM_TAGS_MAX || !read_tag(slice_cut(&list, ';'), &name, &tag)) {
            return false;
        }
        for (size_t i = 0; i < len; i++) {
            if (slice_eq(seen[i], name)) {
                return false;
            }
        }
        for (size_t i = 0; i < count; i++) {
            if (slice_eq(name, slice_str(names[i]))) {
                tags[i] = tag;
            }
        }
        *first = len == 0 ? name : *first;
        seen[len++] = name;
    }
    return len > 0;
}

bool dkim_tags_item(struct slice *rest, bool *done, struct slice *item)
{
    if (*done) {
        return false;
    }
    *done = slice_find(*rest, ':') == rest->len; /* no colon left: this is the last item */
    *item = dkim_tags_trim(slice_cut(rest, ':'));
    return true;
}

bool dkim_tags_list_has(struct slice list, struct slice word)
{
    struct slice item;
    bool done = false;

    while (dkim_tags_item(&list, &done, &item)) {
        if (slice_eq(item, word)) {
            return true;
        }
    }
    return false;
}

/* The value of a base64 digit plus one, 0 for other characters.  Digits of keys and signatures are random, so a
 * processor cannot predict comparisons with ranges. */
/* clang-format off */
static const uint8_t digit_of[256] = {
    ['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
    ['+'] = 63,
    ['/'] = 64,
};
/* clang-format on */

static unsigned base64_digit(char c)
{
    return digit_of[(unsigned char)c];
}

/* Counts the digits; returns false on foreign characters, a lone digit, or misplaced padding. */
static bool count_base64(struct slice text, size_t *digits)
{
    size_t padding = 0;

    *digits = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (base64_digit(text.ptr[i]) > 0) {
            if (padding > 0) {
                return false;
            }
            (*digits)++;
        } else if (text.ptr[i] == '=') {
            padding++;
        } else if (!is_fws(text.ptr[i])) {
            return false;
        }
    }
    return *digits % 4 != 1 && (padding == 0 || (padding <= 2 && (*digits + padding) % 4 == 0));
}

bool dkim_tags_base64(struct slice text, size_t max, struct arena *arena, struct slice *out)
{
    size_t digits, len = 0;
    uint32_t bits = 0;
    unsigned held = 0;
    char *to;

    *out = SLICE_NONE;
    if (!count_base64(text, &digits) || digits / 4 * 3 + digits % 4 * 3 / 4 > max) {
        return false;
    }
    to = arena_alloc(arena, digits / 4 * 3 + 3);
    if (to == NULL) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = base64_digit(text.ptr[i]);

        if (digit == 0) { /* a blank or padding */
            continue;
        }
        bits = bits << 6 | (digit - 1);
        held += 6;
        if (held >= 8) {
            held -= 8;
            to[len++] = (char)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    *out = slice_of(to, len);
    return true;
}
