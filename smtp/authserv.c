/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authserv.c - the authserv-id of an Authentication-Results field, as strict and careless readers see it (authserv.h).
 *
 * Three readings, each of the raw value and of the value with its encoded words decoded:
 *
 *   strict    comments and blanks skipped, then a token or a quoted string (RFC 8601 2.2)
 *   front     odd octets skipped, then our id, then an octet that cannot continue a host name
 *   reduced   all before the first ';', without comments, blanks, quotes and odd octets, and without a version
 *
 * Octets above 127 are odd, unless they form an IDNA name.  Then the names are compared as IDNA, so that a foreign name
 * with an umlaut does not match our name without it.
 */
#include "smtp/authserv.h"

#include "core/idna.h"
#include "core/utf8.h"
#include "smtp/lexical.h"

static bool is_host_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_' || c == '.';
}

static struct slice without_dots(struct slice s)
{
    while (s.len > 0 && s.ptr[0] == '.') {
        s = slice_skip(s, 1);
    }
    while (s.len > 0 && s.ptr[s.len - 1] == '.') {
        s.len--;
    }
    return s;
}

/* ---- strict ---- */

static void read_strict(struct authserv_reading *r, struct slice value)
{
    struct buf id;
    size_t n = 0;

    buf_init_fixed(&id, r->strict_mem, sizeof(r->strict_mem));
    if (!lex_skip_cfws(&value, NULL)) {
        return;
    }
    if (value.len > 0 && value.ptr[0] == '"') {
        r->strict = lex_quoted(&value, &id) ? slice_trim(buf_slice(&id)) : SLICE_NONE;
        return;
    }
    while (n < value.len && (unsigned char)value.ptr[n] > ' ' &&
           slice_find(SLICE(";(\"\x7f"), value.ptr[n]) == 4) {
        n++;
    }
    r->strict = slice_take(value, n);
}

/* ---- front ---- */

static void read_front(struct authserv_reading *r, struct slice value)
{
    while (lex_skip_cfws(&value, NULL) && value.len > 0 && value.ptr[0] != ';' &&
           (value.ptr[0] == '.' || !is_host_char(value.ptr[0]))) {
        value = slice_skip(value, 1);
    }
    r->front = value;
}

/* Some readers ignore a final dot. */
static bool begins_with(struct slice s, struct slice id)
{
    if (!slice_starts_nocase(s, id)) {
        return false;
    }
    s = slice_skip(s, id.len);
    while (s.len > 0 && s.ptr[0] == '.') {
        s = slice_skip(s, 1);
    }
    return s.len == 0 || !is_host_char(s.ptr[0]);
}

/* ---- reduced ---- */

struct reducing {
    struct buf plain; /* octets of host names only */
    struct buf high;  /* and those above 127 */
    size_t gap;       /* octets of `plain` before the last inner blank */
    size_t high_gap;
};

static void reduce(struct reducing *r, struct slice value)
{
    bool open = false; /* a comment has no end: its parenthesis is an odd octet */
    bool blank = false;

    while (value.len > 0 && value.ptr[0] != ';' && buf_ok(&r->high)) {
        char c = value.ptr[0];
        struct slice rest = value;

        open = open || !lex_skip_cfws(&rest, NULL);
        if (rest.len < value.len) {
            blank = true;
            value = rest;
            continue;
        }
        if (is_host_char(c)) {
            r->gap = blank ? r->plain.len : r->gap;
            r->high_gap = blank ? r->high.len : r->high_gap;
            blank = false;
            buf_put_char(&r->plain, c);
        }
        if (is_host_char(c) || (unsigned char)c > 0x7f) {
            buf_put_char(&r->high, c);
        }
        value = slice_skip(value, 1);
    }
}

/* Removes digits after a blank, which are a version. */
static struct slice without_version(const struct buf *b, size_t gap)
{
    struct slice s = buf_slice(b);

    for (size_t i = gap; i < s.len; i++) {
        if (!ascii_is_digit(s.ptr[i])) {
            return s;
        }
    }
    return gap > 0 ? slice_take(s, gap) : s;
}

static void read_reduced(struct authserv_reading *r, struct slice value)
{
    char high[4 * AUTHSERV_ID_MAX], name[IDNA_NAME_MAX + 1];
    struct reducing k = { .gap = 0 };
    struct slice seen;
    struct buf idn;

    buf_init_fixed(&k.plain, r->reduced_mem, sizeof(r->reduced_mem));
    buf_init_fixed(&k.high, high, sizeof(high));
    buf_init_fixed(&idn, name, sizeof(name));
    reduce(&k, value);
    seen = without_version(&k.high, k.high_gap);
    if (utf8_has_8bit(seen) && idna_to_ascii(without_dots(seen), &idn)) {
        buf_reset(&k.plain);
        buf_put_slice(&k.plain, buf_slice(&idn));
        k.gap = 0;
    }
    if (buf_ok(&k.plain)) {
        r->reduced = without_dots(without_version(&k.plain, k.gap));
    }
}

/* ---- all readings ---- */

static void read_value(struct authserv_reading *r, struct slice value)
{
    r->strict = r->front = r->reduced = SLICE_NONE;
    read_strict(r, value);
    read_front(r, value);
    read_reduced(r, value);
}

bool authserv_read(struct authserv *a, struct slice value)
{
    struct buf decoded;

    read_value(&a->as_is, value);
    a->has_decoded = slice_find(value, '?') < value.len;
    if (a->has_decoded) { /* truncation is harmless: the id is at the front */
        buf_init_fixed(&decoded, a->decoded_mem, sizeof(a->decoded_mem));
        lex_put_decoded(&decoded, slice_take(value, sizeof(a->decoded_mem) - 1));
        read_value(&a->decoded, buf_slice(&decoded));
    }
    return a->as_is.strict.len > 0;
}

static bool may_be(const struct authserv_reading *r, struct slice id)
{
    return slice_eq_nocase(without_dots(r->strict), id) || begins_with(r->front, id) ||
           slice_eq_nocase(r->reduced, id);
}

bool authserv_may_be(const struct authserv *a, struct slice id)
{
    id = without_dots(id);
    return id.len > 0 && (may_be(&a->as_is, id) || (a->has_decoded && may_be(&a->decoded, id)));
}
