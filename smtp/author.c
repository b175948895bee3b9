/* SPDX-License-Identifier: Apache-2.0 */
/*
 * author.c - the addresses of From fields (author.h).
 *
 * The parser reads a mailbox from the left, word by word.  The next '@' or '<' decides what the words were:
 *
 *     Joe Q. Doe <joe@a.test>      words, then '<': a display name, then the address
 *     joe . doe @ a.test           words with dots between, then '@': a local part, then a domain
 *     joe@a.test <doe@b.test>      an address, then '<': it was a display name
 *     joe@a.test doe@b.test        an address, then words and '@': a comma is missing, there are two authors
 *     Doe, Joe <joe@a.test>        words and no address: not an author
 *
 * A mailbox ends at a comma, or at a semicolon, which also ends a group.  After unreadable text the parser resumes
 * after the next one.
 *
 * Limits  AUTHOR_PART_MAX octets for local part and domain; truncates a longer display name.
 */
#include "smtp/author.h"

#include "core/idna.h"
#include "smtp/field.h"
#include "smtp/lexical.h"

enum {
    SHOWN_MAX = 4096,
};

/* ---- words ---- */

enum token_kind {
    TOKEN_END = 0,
    TOKEN_WORD,    /* atom, or other text in its place */
    TOKEN_QUOTED,  /* quoted string */
    TOKEN_LITERAL, /* [...] */
    TOKEN_MARK,    /* one of <>:;@,. */
    TOKEN_BAD,     /* a comment, quoted string or literal without an end: the rest is unreadable */
};

struct token {
    enum token_kind kind;
    char mark;
    bool blank;       /* blanks or comments precede it */
    bool glued;       /* comments precede it without blanks around them: some readers see one word */
    struct slice raw; /* as written */
};

static bool is_mark(char c)
{
    return c == '<' || c == '>' || c == ':' || c == ';' || c == '@' || c == ',' || c == '.';
}

static bool ends_word(char c)
{
    return is_mark(c) || (unsigned char)c <= ' ' || c == '(' || c == '"' || c == '[';
}

static size_t literal_len(struct slice s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] == ']') {
            return i + 1;
        }
        i += s.ptr[i] == '\\';
    }
    return 0;
}

static size_t word_len(struct slice s)
{
    size_t n = 1; /* takes a control too: no address has one */

    while (n < s.len && !ends_word(s.ptr[n])) {
        n++;
    }
    return n;
}

/* Takes the next token; *comment as lex_skip_cfws. */
static struct token next_token(struct slice *s, struct slice *comment)
{
    struct token t = { .kind = TOKEN_BAD };
    const char *from = s->ptr;
    struct slice rest;
    size_t n;

    if (!lex_skip_cfws(s, comment)) {
        *s = SLICE_NONE;
        return t;
    }
    t.blank = s->ptr != from;
    t.glued = t.blank && from[0] == '(' && s->ptr[-1] == ')';
    rest = *s;
    if (rest.len == 0) {
        t.kind = TOKEN_END;
        return t;
    }
    if (rest.ptr[0] == '"') {
        t.kind = lex_quoted(&rest, NULL) ? TOKEN_QUOTED : TOKEN_BAD;
        n = t.kind == TOKEN_QUOTED ? s->len - rest.len : s->len;
    } else if (rest.ptr[0] == '[') {
        n = literal_len(rest);
        t.kind = n > 0 ? TOKEN_LITERAL : TOKEN_BAD;
        n = n > 0 ? n : rest.len;
    } else if (is_mark(rest.ptr[0])) {
        t.kind = TOKEN_MARK;
        t.mark = rest.ptr[0];
        n = 1;
    } else {
        t.kind = TOKEN_WORD;
        n = word_len(rest);
    }
    t.raw = slice_take(*s, n);
    *s = slice_skip(*s, n);
    return t;
}

static bool is_marked(const struct token *t, char mark)
{
    return t->kind == TOKEN_MARK && t->mark == mark;
}

static struct token peek(struct slice s)
{
    return next_token(&s, NULL);
}

static void put_text(struct buf *out, const struct token *t)
{
    struct slice s = t->raw;

    if (t->kind != TOKEN_QUOTED || !lex_quoted(&s, out)) {
        buf_put_slice(out, s);
    }
}

/* ---- addresses ---- */

static bool is_atom(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!lex_is_atext(s.ptr[i])) {
            return false;
        }
    }
    return true;
}

/* False for an encoded word: some readers decode it and then see another address (RFC 2047 5). */
static bool fits_local(const struct token *t)
{
    if (t->kind == TOKEN_QUOTED) {
        for (size_t i = 0; i < t->raw.len; i++) {
            unsigned char c = (unsigned char)t->raw.ptr[i];

            if ((c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 0x7f) {
                return false;
            }
        }
        return true;
    }
    return t->kind == TOKEN_WORD && is_atom(t->raw) && !slice_starts(t->raw, SLICE("=?")) &&
           !slice_ends_nocase(t->raw, SLICE("?="));
}

static bool fits_domain(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '_' && (unsigned char)c < 0x80) {
            return false;
        }
    }
    return true;
}

static void put_literal(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] > ' ') {
            buf_put_char(out, s.ptr[i]);
        }
    }
}

/* May the next token follow a domain, for every reader? */
static bool ends_domain(struct slice s)
{
    struct token next = peek(s);

    if (next.kind == TOKEN_MARK) {
        return next.mark != '@' && next.mark != '.';
    }
    return next.kind == TOKEN_END || (next.blank && !next.glued);
}

/* Takes a domain after '@': atoms joined by dots, perhaps with a final dot; or a literal. */
static bool take_domain(struct slice *s, struct buf *out)
{
    struct token t = next_token(s, NULL), next;

    if (t.kind == TOKEN_LITERAL) {
        put_literal(out, t.raw);
    } else if (t.kind == TOKEN_WORD && fits_domain(t.raw)) {
        buf_put_slice(out, t.raw);
        while (next = peek(*s), is_marked(&next, '.')) {
            (void)next_token(s, NULL);
            next = peek(*s);
            if (next.kind != TOKEN_WORD) {
                break;
            }
            t = next_token(s, NULL);
            if (!fits_domain(t.raw)) {
                return false;
            }
            buf_put_char(out, '.');
            buf_put_slice(out, t.raw);
        }
    } else {
        return false;
    }
    return buf_ok(out) && ends_domain(*s);
}

/* Skips a route "@a,@b:" before an address; routes are obsolete (RFC 5322 4.4). */
static bool skip_route(struct slice *s)
{
    struct token t = peek(*s);

    if (!is_marked(&t, '@') && !is_marked(&t, ',')) {
        return true;
    }
    while (t = next_token(s, NULL), !is_marked(&t, ':')) {
        if (t.kind != TOKEN_WORD && t.kind != TOKEN_LITERAL && !is_marked(&t, '@') && !is_marked(&t, ',') &&
            !is_marked(&t, '.')) {
            return false;
        }
    }
    return true;
}

/* Takes the address after '<', up to its '>' or the end of the field. */
static bool take_angle(struct slice *s, struct buf *local, struct buf *domain)
{
    bool dotted = true; /* a word may follow */
    struct token t;

    buf_reset(local);
    buf_reset(domain);
    if (!skip_route(s)) {
        return false;
    }
    while (t = next_token(s, NULL), !is_marked(&t, '@')) {
        bool dot = is_marked(&t, '.');

        if (!dot && (!dotted || !fits_local(&t))) {
            return false;
        }
        put_text(local, &t);
        dotted = dot;
    }
    if (local->len == 0 || !buf_ok(local) || !take_domain(s, domain)) {
        return false;
    }
    t = next_token(s, NULL);
    return is_marked(&t, '>') || t.kind == TOKEN_END;
}

/* ---- mailboxes ---- */

struct mailbox {
    struct author_reader *r;
    struct slice words;   /* the field from the words that may be a local part; empty: no words */
    struct slice comment; /* the first */
    bool fits;            /* the words may be a local part */
    bool dotted;          /* the last was a dot: the next word belongs to them */
    bool found;           /* an address */
    bool odd;             /* unreadable, unless it turns out to be a display name */
    bool angled;          /* it was in <> */
    bool bad;             /* unreadable up to the next comma */
};

static void put_name(struct mailbox *m, const struct token *t)
{
    if (!m->angled) {
        buf_put_str(&m->r->name, t->blank && m->r->name.len > 0 ? " " : "");
        put_text(&m->r->name, t);
    }
}

/* Takes a word or a dot.  Later tokens decide whether it belongs to a display name or a local part. */
static void on_word(struct mailbox *m, const struct token *t, struct slice at)
{
    bool dot = is_marked(t, '.');

    put_name(m, t);
    if (slice_empty(m->words) || (!dot && !m->dotted)) {
        m->words = at;
        m->fits = true;
        if (!m->found) {
            buf_reset(&m->r->local);
        }
    }
    m->fits = m->fits && (dot || fits_local(t));
    m->dotted = dot;
    if (!m->found) {
        put_text(&m->r->local, t);
    }
}

/* Takes '@' outside of <>.  True: the mailbox ends. */
static bool on_at(struct mailbox *m, const struct token *t)
{
    struct author_reader *r = m->r;
    struct slice behind = r->body;

    if (m->found && !slice_empty(m->words)) { /* the next author, without a comma */
        r->body = m->words;
        return true;
    }
    put_name(m, t);
    m->odd =
        m->found || r->local.len == 0 || !m->fits || !buf_ok(&r->local) || !take_domain(&r->body, &r->domain);
    if (m->odd) {
        r->body = behind;
    } else {
        buf_put_slice(&r->name, buf_slice(&r->domain));
    }
    m->found = true;
    m->words = SLICE_NONE;
    m->dotted = false;
    return false;
}

/* Takes '<'.  True: the mailbox ends. */
static bool on_angle(struct mailbox *m, struct slice at)
{
    struct author_reader *r = m->r;

    if (m->angled) { /* the next author */
        r->body = at;
        return true;
    }
    m->found = m->angled = true;
    m->odd = false;
    m->words = SLICE_NONE;
    m->dotted = false;
    m->bad = !take_angle(&r->body, &r->local, &r->domain);
    return m->bad;
}

/* Takes the ':' of "Name:", which begins a group.  Its members are authors like others. */
static bool on_colon(struct mailbox *m)
{
    m->bad = m->found;
    buf_reset(&m->r->name);
    m->words = SLICE_NONE;
    m->dotted = false;
    return m->bad;
}

/* Takes one token.  True: the mailbox ends. */
static bool on_token(struct mailbox *m, const struct token *t, struct slice at)
{
    switch (t->kind) {
    case TOKEN_END:
        return true;
    case TOKEN_BAD:
        m->bad = true;
        return true;
    case TOKEN_WORD:
    case TOKEN_QUOTED:
    case TOKEN_LITERAL:
        on_word(m, t, at);
        return false;
    case TOKEN_MARK:
        break;
    }
    switch (t->mark) {
    case '.':
        on_word(m, t, at);
        return false;
    case '@':
        return on_at(m, t);
    case '<':
        return on_angle(m, at);
    case ':':
        return on_colon(m);
    case '>':
        return false;
    default: /* , ; */
        return true;
    }
}

/* Skips to after the next comma or semicolon. */
static void resync(struct slice *s)
{
    struct token t;

    do {
        t = next_token(s, NULL);
    } while (t.kind != TOKEN_END && t.kind != TOKEN_BAD && !is_marked(&t, ',') && !is_marked(&t, ';'));
}

/* Takes one mailbox.  True: it has an address, or unreadable text in its place. */
static bool take_mailbox(struct author_reader *r, struct author *out)
{
    struct mailbox m = { .r = r };
    struct slice at;
    struct token t;

    buf_reset(&r->name);
    buf_reset(&r->local);
    buf_reset(&r->domain);
    do {
        at = r->body;
        t = next_token(&r->body, &m.comment);
    } while (!on_token(&m, &t, at));
    if (m.bad && t.kind != TOKEN_BAD) {
        resync(&r->body);
    }
    *out = (struct author){ .readable = !m.bad && !m.odd,
                            .name = slice_trim(r->name.len > 0 ? buf_slice(&r->name) : m.comment) };
    if (out->readable) {
        out->local = buf_slice(&r->local);
        out->domain = buf_slice(&r->domain);
    }
    if (m.found && !m.angled) {
        out->name = slice_trim(m.comment); /* the words were the address itself */
    }
    return m.found || m.bad;
}

/* ---- fields ---- */

static bool next_from(struct author_reader *r)
{
    struct header_field f;

    while (header_next(&r->head, &f)) {
        if (header_name_is(f.name, SLICE("From"))) {
            r->fields++;
            r->body = f.value;
            return true;
        }
    }
    r->head = SLICE_NONE;
    return false;
}

void author_begin(struct author_reader *r, struct slice head)
{
    author_begin_field(r, SLICE_NONE);
    r->head = head;
    header_skip_mbox(&r->head);
}

void author_begin_field(struct author_reader *r, struct slice value)
{
    *r = (struct author_reader){ .body = value };
    buf_init(&r->name, SHOWN_MAX);
    buf_init(&r->local, AUTHOR_PART_MAX);
    buf_init(&r->domain, AUTHOR_PART_MAX);
}

bool author_next(struct author_reader *r, struct author *out)
{
    for (;;) {
        while (slice_empty(r->body)) {
            if (!next_from(r)) {
                *out = (struct author){ 0 };
                return false;
            }
        }
        if (take_mailbox(r, out)) {
            return true;
        }
    }
}

void author_end(struct author_reader *r)
{
    buf_fini(&r->name);
    buf_fini(&r->local);
    buf_fini(&r->domain);
}

bool author_only(struct slice head, struct buf *local, struct buf *domain)
{
    struct author_reader r;
    struct author a;
    bool only = false;

    author_begin(&r, head);
    if (author_next(&r, &a) && a.readable && idna_to_ascii(a.domain, domain)) {
        buf_put_slice(local, a.local);
        only = !author_next(&r, &a) && r.fields == 1;
    }
    author_end(&r);
    return only && buf_ok(local) && buf_ok(domain);
}
