/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.c - strips and rewrites the header section.
 *
 * smtp/field.c reads the fields.  The section ends at the first line that is neither field nor continuation.
 * header_rewrite() puts an empty line there, so that all readers agree about its end (HDR-10).
 *
 * Pure; owns nothing.  RFC: 5322 2.2, 3.6.7; 8601 5.
 */
#include "smtp/header.h"

#include "smtp/authserv.h"

/* ---- fields to strip ---- */

/* Could a reader believe that we wrote this Authentication-Results field?  True also for a field without an id. */
static bool claims_our_id(struct slice value, const struct header_rules *rules)
{
    const struct config_headers *conf = rules->conf;
    struct authserv a;

    if (!authserv_read(&a, value) || authserv_may_be(&a, slice_str(conf->authserv_id)) ||
        authserv_may_be(&a, slice_str(rules->hostname))) {
        return true;
    }
    for (size_t i = 0; i < conf->strip_authserv_count; i++) {
        if (authserv_may_be(&a, slice_str(conf->strip_authserv_ids[i]))) {
            return true;
        }
    }
    return false;
}

/* The pattern is a name, or the beginning of one and '*'. */
static bool name_matches(struct slice name, struct slice pattern)
{
    if (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*') {
        pattern.len--;
        return header_name_starts(name, pattern);
    }
    return header_name_is(name, pattern);
}

bool header_stripped(const struct header_field *f, const struct header_rules *rules)
{
    if (name_matches(f->name, SLICE("X-Glacis-*"))) {
        return true;
    }
    for (size_t i = 0; i < rules->conf->strip_count; i++) {
        if (name_matches(f->name, slice_str(rules->conf->strip[i]))) {
            return true;
        }
    }
    if (rules->conf->received_spf && header_name_is(f->name, SLICE("Received-SPF"))) {
        return true; /* downstream must see only ours */
    }
    if (rules->adds != NULL && rules->adds(rules->adds_arg, f->name)) {
        return true;
    }
    return header_name_is(f->name, SLICE("Authentication-Results")) && claims_our_id(f->value, rules);
}

/* ---- the section ---- */

size_t header_rewrite(struct slice head, struct slice added, const struct header_rules *rules,
                      struct buf *out)
{
    struct slice rest = head;
    struct header_field f;

    buf_put_slice(out, added);
    header_skip_mbox(&rest);
    while (header_next(&rest, &f)) {
        if (!header_stripped(&f, rules)) {
            buf_put_slice(out, f.whole);
        }
    }
    if (rest.len > 0 && !slice_starts(rest, SLICE("\r\n"))) {
        buf_put_str(out, "\r\n"); /* for every reader the body begins here */
    }
    return head.len - rest.len;
}

/* The next word between blanks, folds and semicolons. */
static struct slice next_word(struct slice *s)
{
    struct slice word;
    size_t n = 0;

    while (s->len > 0 && slice_find(SLICE(" \t\r\n;"), s->ptr[0]) < 5) {
        *s = slice_skip(*s, 1);
    }
    while (n < s->len && slice_find(SLICE(" \t\r\n;"), s->ptr[n]) == 5) {
        n++;
    }
    word = slice_take(*s, n);
    *s = slice_skip(*s, n);
    return word;
}

/* Has the value "by <hostname>" and a later "id"? */
static bool is_own_hop(struct slice value, struct slice hostname)
{
    bool by = false, ours = false;
    struct slice word;

    while ((word = next_word(&value)).len > 0) {
        if (ours && slice_eq_nocase(word, SLICE("id"))) {
            return true;
        }
        ours |= by && slice_eq_nocase(word, hostname);
        by = slice_eq_nocase(word, SLICE("by"));
    }
    return false;
}

unsigned header_own_hops(struct slice head, struct slice hostname)
{
    struct header_field f;
    unsigned hops = 0;

    header_skip_mbox(&head);
    while (header_next(&head, &f)) {
        hops += header_name_is(f.name, SLICE("Received")) && is_own_hop(f.value, hostname);
    }
    return hops;
}
