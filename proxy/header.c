/*
 * header.c - the header section stripped and put together anew.
 *
 * core/field.c reads the fields.  The section ends at the first line that is neither field nor continuation;
 * header_rewrite puts an empty line there, so that everybody agrees about where it ended (HDR-10).  line.c
 * follows the same rules while the message comes in.
 *
 * Pure; owns nothing.  RFC: 5322 2.2, 3.2.2, 3.6.7; 8601 2.2, 5.
 */
#include "proxy/header.h"

#include "core/utf8.h"
#include "policy/policy.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* ---- what is to be taken out ---- */

/* A comment in front, nested ones included; 0: it has no end (RFC 5322 3.2.2). */
static size_t comment_len(struct slice s)
{
    size_t depth = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\') {
            i++;
        } else if (s.ptr[i] == '(') {
            depth++;
        } else if (s.ptr[i] == ')' && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

/* Blanks, folds and comments in front are skipped; false: a comment has no end. */
static bool skip_cfws(struct slice *s)
{
    while (s->len > 0) {
        size_t n = 1;

        if (s->ptr[0] == '(') {
            n = comment_len(*s);
        } else if (!is_blank(s->ptr[0]) && s->ptr[0] != '\r' && s->ptr[0] != '\n') {
            return true;
        }
        if (n == 0) {
            return false;
        }
        *s = slice_skip(*s, n);
    }
    return true;
}

/* The content of a quoted string in front, without its quotes and folds; false: it has no end. */
static bool put_quoted_string(struct buf *out, struct slice s)
{
    for (size_t i = 1; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '"') {
            return true;
        }
        if (c == '\\' && i + 1 < s.len) {
            c = s.ptr[++i];
        }
        if (c != '\r' && c != '\n') {
            buf_put_char(out, c);
        }
    }
    return false;
}

/* authserv-id of RFC 8601 2.2: a token or a quoted string.  False: there is none to be read. */
static bool put_authserv_id(struct buf *out, struct slice value)
{
    size_t n = 0;

    if (!skip_cfws(&value) || value.len == 0) {
        return false;
    }
    if (value.ptr[0] == '"') {
        return put_quoted_string(out, value) && out->len > 0;
    }
    while (n < value.len && (unsigned char)value.ptr[n] > ' ' &&
           slice_find(SLICE(";(\"\x7f"), value.ptr[n]) == 4) {
        n++;
    }
    buf_put(out, value.ptr, n);
    return n > 0;
}

/* A final dot would make the same name to somebody. */
static bool same_id(struct slice id, const char *ours)
{
    struct slice want = slice_str(ours);

    id = slice_trim(id);
    if (id.len > 0 && id.ptr[id.len - 1] == '.') {
        id.len--;
    }
    return want.len > 0 && slice_eq_nocase(id, want);
}

/* Says the field that we wrote it?  One whose id cannot be read is nobody's and goes too. */
static bool claims_our_id(struct slice value, const struct header_rules *rules)
{
    const struct config_headers *conf = rules->conf;
    char mem[512]; /* a longer id is not ours: ours are host names */
    struct buf b;
    struct slice id;

    buf_init_fixed(&b, mem, sizeof(mem));
    if (!put_authserv_id(&b, value)) {
        return true;
    }
    if (!buf_ok(&b)) {
        return false;
    }
    id = buf_slice(&b);
    if (same_id(id, conf->authserv_id) || same_id(id, rules->hostname)) {
        return true;
    }
    for (size_t i = 0; i < conf->strip_authserv_count; i++) {
        if (same_id(id, conf->strip_authserv_ids[i])) {
            return true;
        }
    }
    return false;
}

/* A name, or its beginning followed by '*'. */
static bool name_matches(struct slice name, struct slice pattern)
{
    if (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*') {
        pattern.len--;
        return slice_starts_nocase(name, pattern);
    }
    return slice_eq_nocase(name, pattern);
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
    if (rules->conf->received_spf && slice_eq_nocase(f->name, SLICE("Received-SPF"))) {
        return true; /* ours is the one that counts behind us */
    }
    if (rules->judges != NULL && policy_adds_field(rules->judges, f->name)) {
        return true;
    }
    return slice_eq_nocase(f->name, SLICE("Authentication-Results")) && claims_our_id(f->value, rules);
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
        buf_put_str(out, "\r\n"); /* what follows is body, for everybody */
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

/* "by <hostname>", and "id" somewhere behind it. */
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
        hops += slice_eq_nocase(f.name, SLICE("Received")) && is_own_hop(f.value, hostname);
    }
    return hops;
}
