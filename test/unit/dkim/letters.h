/* SPDX-License-Identifier: Apache-2.0 */
/*
 * letters.h - messages for the tests of DKIM: taken apart, signed, and judged.
 *
 * The signer is a second implementation on purpose: it holds the whole message and rewrites copies of it, line by line,
 * as RFC 6376 3.4 describes it, where policy/dkim streams.  What both agree on is unlikely to be wrong in one.
 *
 * A key is made when a test first asks for it.  Texts that functions here return are kept until letter_forget().
 */
#ifndef TEST_UNIT_DKIM_LETTERS_H
#define TEST_UNIT_DKIM_LETTERS_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "core/crypto.h"
#include "policy/dkim/dkim.h"

enum {
    LETTER_MAX = 16 << 20, /* octets of a message */
    LETTER_FIELDS_MAX = 4096,
    LETTER_ZONE_MAX = 128,
};

/* ---- memory ---- */

struct letter_kept {
    struct letter_kept *next;
    char *text;
};

static struct letter_kept *letter_texts;

/* Takes the text of a buffer; the caller does not free it. */
static inline struct slice letter_keep(const struct buf *b)
{
    struct letter_kept *kept = xmalloc(sizeof(*kept));

    BUG_ON(!buf_ok(b) || b->fixed);
    kept->text = b->ptr;
    kept->next = letter_texts;
    letter_texts = kept;
    return buf_slice(b);
}

static inline void letter_forget(void)
{
    while (letter_texts != NULL) {
        struct letter_kept *kept = letter_texts;

        letter_texts = kept->next;
        free(kept->text);
        free(kept);
    }
}

/* ---- a message in parts ---- */

/* Where the first CRLF is, or s.len. */
static inline size_t letter_line_end(struct slice s)
{
    const char *at = s.len ? memmem(s.ptr, s.len, "\r\n", 2) : NULL;

    return at ? (size_t)(at - s.ptr) : s.len;
}

/* Takes the next field off, with its folds and its CRLF; false at the empty line, which is taken too, or at the end. */
static inline bool letter_next_field(struct slice *rest, struct slice *field)
{
    size_t end = 0;

    if (slice_starts(*rest, SLICE("\r\n"))) {
        *rest = slice_skip(*rest, 2);
        return false;
    }
    do {
        end += letter_line_end(slice_skip(*rest, end));
        end += min_size(2, rest->len - end);
    } while (end < rest->len && (rest->ptr[end] == ' ' || rest->ptr[end] == '\t'));
    *field = slice_take(*rest, end);
    *rest = slice_skip(*rest, end);
    return field->len > 0;
}

/* Has it a name without white space in it, and a colon? */
static inline bool letter_is_field(struct slice f)
{
    size_t colon = slice_find(f, ':');
    struct slice name = slice_trim(slice_take(f, colon));

    if (colon == f.len || f.ptr[0] == ' ' || f.ptr[0] == '\t') {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == ' ' || name.ptr[i] == '\t' || name.ptr[i] == '\r' || name.ptr[i] == '\n') {
            return false;
        }
    }
    return true;
}

/* ---- the forms of RFC 6376 3.4, the slow way ---- */

static inline bool letter_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* One line or unfolded value: runs of white space become one SP, none at the end. */
static inline void letter_relax_line(struct slice line, struct buf *out)
{
    size_t start = out->len;

    for (size_t i = 0; i < line.len; i++) {
        if (!letter_blank(line.ptr[i])) {
            buf_put_char(out, line.ptr[i]);
        } else if (i == 0 || !letter_blank(line.ptr[i - 1])) {
            buf_put_char(out, ' ');
        }
    }
    if (out->len > start && out->ptr[out->len - 1] == ' ') {
        buf_truncate(out, out->len - 1);
    }
}

static inline void letter_canon_body(struct slice body, enum dkim_canon canon, struct buf *out)
{
    while (!slice_empty(body)) {
        size_t end = letter_line_end(body);
        struct slice line = slice_take(body, end);

        if (canon == DKIM_RELAXED) {
            letter_relax_line(line, out);
        } else {
            buf_put_slice(out, line);
        }
        buf_put_str(out, "\r\n"); /* also behind a last line without one */
        body = slice_skip(body, end + 2);
    }
    while (out->len >= 4 && memcmp(out->ptr + out->len - 4, "\r\n\r\n", 4) == 0) {
        buf_truncate(out, out->len - 2);
    }
    if (out->len == 2 && memcmp(out->ptr, "\r\n", 2) == 0) {
        buf_truncate(out, 0);
    }
    if (out->len == 0 && canon == DKIM_SIMPLE) {
        buf_put_str(out, "\r\n");
    }
}

/* One field without its final CRLF. */
static inline void letter_canon_field(struct slice field, enum dkim_canon canon, struct buf *out)
{
    size_t colon = slice_find(field, ':');
    struct slice name = slice_trim(slice_take(field, colon));
    struct slice value = slice_skip(field, colon + 1);
    struct buf unfolded, relaxed;

    if (canon == DKIM_SIMPLE) {
        buf_put_slice(out, field);
        return;
    }
    buf_init(&unfolded, LETTER_MAX);
    buf_init(&relaxed, LETTER_MAX);
    while (!slice_empty(value)) {
        size_t end = letter_line_end(value);

        buf_put_slice(&unfolded, slice_take(value, end));
        value = slice_skip(value, end + 2);
    }
    for (size_t i = 0; i < name.len; i++) {
        buf_put_char(out, ascii_lower(name.ptr[i]));
    }
    buf_put_char(out, ':');
    letter_relax_line(buf_slice(&unfolded), &relaxed);
    buf_put_slice(out, slice_trim(buf_slice(&relaxed)));
    buf_fini(&unfolded);
    buf_fini(&relaxed);
}

/* ---- keys ---- */

enum letter_key {
    LETTER_RSA_2048 = 0,
    LETTER_RSA_1024,
    LETTER_RSA_768,
    LETTER_RSA_4096,
    LETTER_ED25519,
    LETTER_RSA_OTHER, /* another one of 2,048 bits */
    LETTER_KEY_COUNT,
};

static inline void letter_base64(struct buf *out, const void *data, size_t len)
{
    unsigned char *text = xmalloc(len * 2 + 8);
    int n = EVP_EncodeBlock(text, data, (int)len);

    buf_put(out, text, (size_t)n);
    free(text);
}

static inline EVP_PKEY *letter_key(enum letter_key which)
{
    static const unsigned bits[LETTER_KEY_COUNT] = { 2048, 1024, 768, 4096, 0, 2048 };
    static EVP_PKEY *keys[LETTER_KEY_COUNT];

    if (keys[which] == NULL) {
        keys[which] = bits[which] ? EVP_RSA_gen(bits[which]) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        BUG_ON(keys[which] == NULL);
    }
    return keys[which];
}

/* The key's p=, in base64. */
static inline void letter_put_p(struct buf *out, enum letter_key which)
{
    unsigned char raw[32], *der = NULL;
    size_t len = sizeof(raw);

    if (which == LETTER_ED25519) {
        BUG_ON(EVP_PKEY_get_raw_public_key(letter_key(which), raw, &len) != 1);
        letter_base64(out, raw, len);
        return;
    }
    len = (size_t)i2d_PUBKEY(letter_key(which), &der);
    letter_base64(out, der, len);
    OPENSSL_free(der);
}

/* A key record with `tags` in front of its p=; kept. */
static inline struct slice letter_record(const char *tags, enum letter_key which)
{
    struct buf b;

    buf_init(&b, 8192);
    buf_put_str(&b, tags);
    buf_put_str(&b, "p=");
    letter_put_p(&b, which);
    return letter_keep(&b);
}

/* ---- signing ---- */

struct letter_signature {
    enum letter_key key;
    enum dkim_canon header, body;
    const char *a;      /* NULL: what the key is for, with sha256 */
    const char *c;      /* NULL: of header and body */
    const char *d, *s;  /* NULL: example.org, mail */
    const char *h;      /* NULL: from:to:subject:date:message-id */
    const char *bh;     /* NULL: the right one */
    const char *tags;   /* more tags, each with its semicolon: "l=5; "; NULL: none */
    const char *before; /* what stands before b=; NULL: CRLF and a tab */
    const char *behind; /* what stands behind the value of b=; NULL: nothing */
    uint64_t length;    /* how much of the body is hashed; 0: all (then l= is not written: use tags) */
    bool nothing;       /* hash none of it */
    bool sign_hash;     /* Ed25519 signs the header itself instead of its hash: wrong */
};

static inline void letter_hash(struct buf *data, uint8_t out[32])
{
    BUG_ON(!buf_ok(data));
    sha256_of(data->ptr == NULL ? "" : data->ptr, data->len, out);
}

static inline void letter_body_hash(struct slice body, const struct letter_signature *how, struct buf *out)
{
    uint8_t hash[32];
    struct buf canon;

    buf_init(&canon, LETTER_MAX);
    letter_canon_body(body, how->body, &canon);
    if (how->nothing || (how->length > 0 && how->length < canon.len)) {
        buf_truncate(&canon, how->nothing ? 0 : (size_t)how->length);
    }
    letter_hash(&canon, hash);
    letter_base64(out, hash, sizeof(hash));
    buf_fini(&canon);
}

/* Without the CRLF that ends it. */
static inline struct slice letter_unended(struct slice field)
{
    bool ends = field.len >= 2 && memcmp(field.ptr + field.len - 2, "\r\n", 2) == 0;

    return slice_take(field, field.len - (ends ? 2 : 0));
}

/* The fields that h names, from the bottom up, each once, in canonical form. */
static inline void letter_put_signed(struct slice message, const char *h, enum dkim_canon canon,
                                     struct buf *out)
{
    static struct slice fields[LETTER_FIELDS_MAX];
    static bool used[LETTER_FIELDS_MAX];
    struct slice names = slice_str(h), field;
    size_t count = 0;

    while (count < LETTER_FIELDS_MAX && letter_next_field(&message, &field)) {
        used[count] = !letter_is_field(field);
        fields[count++] = field;
    }
    while (!slice_empty(names)) {
        struct slice name = slice_trim(slice_cut(&names, ':'));

        for (size_t i = count; i-- > 0;) {
            struct slice own = slice_trim(slice_take(fields[i], slice_find(fields[i], ':')));

            if (!used[i] && slice_eq_nocase(own, name)) {
                used[i] = true;
                letter_canon_field(letter_unended(fields[i]), canon, out);
                buf_put_str(out, "\r\n");
                break;
            }
        }
    }
}

static inline void letter_sign_octets(const struct letter_signature *how, struct buf *data, struct buf *out)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    uint8_t hash[32];

    if (how->key == LETTER_ED25519) {
        letter_hash(data, hash);
        BUG_ON(EVP_DigestSignInit(md, NULL, NULL, NULL, letter_key(how->key)) != 1);
        BUG_ON(EVP_DigestSign(md, sig, &len, how->sign_hash ? (unsigned char *)data->ptr : hash,
                              how->sign_hash ? data->len : 32) != 1);
    } else {
        BUG_ON(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, letter_key(how->key)) != 1);
        BUG_ON(EVP_DigestSign(md, sig, &len, (unsigned char *)data->ptr, data->len) != 1);
    }
    EVP_MD_CTX_free(md);
    letter_base64(out, sig, len);
}

/* The message with a DKIM-Signature field on top; kept. */
static inline struct slice letter_sign(struct slice message, struct letter_signature how)
{
    struct slice body = message, field;
    struct buf own, data;

    while (letter_next_field(&body, &field)) {
    }
    how.h = how.h ? how.h : "from:to:subject:date:message-id";
    buf_init(&own, LETTER_MAX);
    buf_init(&data, LETTER_MAX);
    buf_putf(&own, "DKIM-Signature: v=1; a=%s; ",
             how.a                       ? how.a
             : how.key == LETTER_ED25519 ? "ed25519-sha256"
                                         : "rsa-sha256");
    if (how.c) {
        buf_putf(&own, "c=%s; ", how.c);
    } else {
        buf_putf(&own, "c=%s/%s; ", dkim_canon_text(how.header), dkim_canon_text(how.body));
    }
    buf_putf(&own, "d=%s; s=%s;\r\n\t%sh=%s; bh=", how.d ? how.d : "example.org", how.s ? how.s : "mail",
             how.tags ? how.tags : "", how.h);
    if (how.bh) {
        buf_put_str(&own, how.bh);
    } else {
        letter_body_hash(body, &how, &own);
    }
    buf_putf(&own, ";%sb=", how.before ? how.before : "\r\n\t");
    letter_put_signed(message, how.h, how.header, &data);
    {
        struct buf unsigned_field;

        buf_init(&unsigned_field,
                 LETTER_MAX); /* what follows b= is signed too, unless white space ends the field */
        buf_put_slice(&unsigned_field, buf_slice(&own));
        if (how.behind && slice_find(slice_str(how.behind), ';') < strlen(how.behind)) {
            buf_put_str(&unsigned_field, strchr(how.behind, ';'));
        }
        letter_canon_field(buf_slice(&unsigned_field), how.header, &data);
        buf_fini(&unsigned_field);
    }
    letter_sign_octets(&how, &data, &own);
    buf_putf(&own, "%s\r\n", how.behind ? how.behind : "");
    buf_put_slice(&own, message);
    buf_fini(&data);
    return letter_keep(&own);
}

/* ---- judging ---- */

struct letter_zone {
    struct {
        struct slice name;
        struct dkim_answer answer;
    } entry[LETTER_ZONE_MAX];
    size_t count;
};

static inline void letter_zone_put(struct letter_zone *z, struct slice name, struct slice text)
{
    BUG_ON(z->count == LETTER_ZONE_MAX);
    z->entry[z->count].name = name;
    z->entry[z->count++].answer = (struct dkim_answer){ DKIM_ANSWER_OK, text };
}

static inline struct dkim_answer letter_zone_answer(const struct letter_zone *z, struct slice name)
{
    for (size_t i = 0; z != NULL && i < z->count; i++) {
        if (slice_eq_nocase(z->entry[i].name, name)) {
            return z->entry[i].answer;
        }
    }
    return (struct dkim_answer){ .status = DKIM_ANSWER_NONE };
}

enum letter_order {
    LETTER_KEYS_FIRST = 0, /* answers and steps before the body */
    LETTER_KEYS_LAST,      /* after its end, in reverse order */
    LETTER_KEYS_BETWEEN,   /* one answer and one step between two chunks */
    LETTER_ORDER_COUNT,
};

struct letter_how {
    const struct letter_zone *zone;
    size_t chunk; /* octets; 0: all at once */
    enum letter_order order;
    struct dkim_settings settings; /* max_signatures 0: the default */
    const char *author;            /* NULL: example.org */
};

static inline void letter_answer(struct dkim *d, const struct letter_how *how, size_t index)
{
    const struct dkim_want *wants;
    struct dkim_answer answer;

    BUG_ON(index >= dkim_wants(d, &wants));
    answer = letter_zone_answer(how->zone, wants[index].name);
    dkim_answer(d, index, &answer);
}

static inline void letter_step(struct dkim *d)
{
    enum dkim_progress now = dkim_step(d);

    BUG_ON(now > DKIM_WAITING);
}

static inline void letter_finish(struct dkim *d)
{
    while (dkim_step(d) == DKIM_BUSY) {
    }
}

/* Runs a message through a verifier, to its end; dkim_free is the caller's. */
static inline struct dkim *letter_judge(struct slice message, const struct letter_how *how)
{
    struct dkim_settings settings = how->settings;
    const struct dkim_want *wants;
    struct slice field;
    struct dkim *d;
    size_t keys, next = 0;

    settings.max_signatures = settings.max_signatures ? settings.max_signatures : DKIM_SIGNATURES_MAX;
    d = dkim_new(&settings);
    while (letter_next_field(&message, &field)) {
        dkim_put_field(d, field);
    }
    dkim_end_header(d, slice_str(how->author ? how->author : "example.org"));
    keys = dkim_wants(d, &wants);
    for (size_t i = 0; i < keys && how->order == LETTER_KEYS_FIRST; i++) {
        letter_answer(d, how, i);
    }
    if (how->order == LETTER_KEYS_FIRST) {
        letter_finish(d);
    }
    while (!slice_empty(message)) {
        struct slice chunk = slice_take(message, how->chunk ? how->chunk : message.len);
        char *copy = slice_dup(chunk); /* the sanitizer sees its end */

        dkim_put_body(d, slice_of(copy, chunk.len));
        free(copy);
        message = slice_skip(message, chunk.len);
        if (how->order == LETTER_KEYS_BETWEEN && next < keys) {
            letter_answer(d, how, next++);
            letter_step(d);
        }
    }
    dkim_end_body(d);
    for (size_t i = keys; i-- > 0;) { /* a second answer does not matter */
        letter_answer(d, how, i);
    }
    letter_finish(d);
    BUG_ON(dkim_step(d) != DKIM_DONE);
    BUG_ON(ERR_peek_error() != 0); /* TLS reads the same queue */
    return d;
}

#endif
