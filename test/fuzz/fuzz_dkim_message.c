/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_dkim_message.c - any message in any chunks, and any message that was signed before.
 *
 * The input:  octet 0  what is done (below)
 *             octet 1  the canonicalisations and the order of keys and body
 *             octet 2  how many of the following octets are lengths of chunks, used in turn (0: 256 octets)
 *             then the lengths, then the message
 *
 * Done:   bit 0  the message is signed by letters.h, a second implementation, with a key made here, and must verify
 *         bit 1  of a signed one, an octet of its body is changed: it must not
 *         bit 2  an l= is written, as long as octet 1 says
 *         bit 3  internationalised
 *
 * Always: what one chunk gives, all chunkings give; the verdicts are sound; each result for Authentication-Results is
 * one printable line.
 */
#include <stdint.h>

#include "test/unit/dkim/letters.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    DO_SIGN = 1,
    DO_CHANGE = 2,
    DO_LENGTH = 4,
    DO_UTF8 = 8,
    NOW_S = 1700000000,
};

static struct letter_zone zone;

static struct slice take_octets(struct slice *rest, size_t n)
{
    struct slice taken = slice_take(*rest, n);

    *rest = slice_skip(*rest, n);
    return taken;
}

static uint8_t take_octet(struct slice *rest)
{
    struct slice taken = take_octets(rest, 1);

    return slice_empty(taken) ? 0 : (uint8_t)taken.ptr[0];
}

static void feed(struct dkim *d, struct slice body, struct slice lengths)
{
    for (size_t i = 0; !slice_empty(body); i++) {
        uint8_t length = slice_empty(lengths) ? 0 : (uint8_t)lengths.ptr[i % lengths.len];
        struct slice chunk = slice_take(body, length ? length : 256);
        char *copy = slice_dup(chunk);

        dkim_put_body(d, slice_of(copy, chunk.len));
        free(copy);
        body = slice_skip(body, chunk.len);
    }
    dkim_end_body(d);
}

static void answer_all(struct dkim *d)
{
    const struct dkim_want *wants;
    size_t count = dkim_wants(d, &wants);

    BUG_ON(count > DKIM_SIGNATURES_MAX);
    for (size_t i = 0; i < count; i++) {
        struct dkim_answer answer = letter_zone_answer(&zone, wants[i].name);

        BUG_ON(!hostname_valid(wants[i].name));
        dkim_answer(d, i, &answer);
    }
    letter_finish(d);
}

static struct dkim *judge(struct slice message, struct slice lengths, bool keys_first, bool utf8)
{
    struct dkim_settings settings = { .now_s = NOW_S, .max_signatures = DKIM_SIGNATURES_MAX, .utf8 = utf8 };
    struct dkim *d = dkim_new(&settings);
    struct slice field;

    while (letter_next_field(&message, &field)) {
        dkim_put_field(d, field);
    }
    dkim_end_header(d, SLICE("example.org"));
    if (keys_first) {
        answer_all(d);
    }
    feed(d, message, lengths);
    answer_all(d);
    BUG_ON(dkim_step(d) != DKIM_DONE);
    BUG_ON(ERR_peek_error() != 0);
    return d;
}

static void must_be_line(const struct dkim_verdict *v)
{
    struct buf text;

    buf_init(&text, 4096);
    dkim_put_resinfo(&text, v);
    BUG_ON(!buf_ok(&text) || text.len > 900 || slice_plain(buf_slice(&text)) != text.len);
    BUG_ON(slice_find(buf_slice(&text), ';') != text.len || slice_find(buf_slice(&text), '(') != text.len);
    buf_fini(&text);
}

static void must_agree(const struct dkim *a, const struct dkim *b)
{
    BUG_ON(dkim_count(a) != dkim_count(b));
    for (size_t i = 0; i < dkim_count(a); i++) {
        const struct dkim_verdict *va = dkim_verdict_at(a, i), *vb = dkim_verdict_at(b, i);

        BUG_ON(va->reason != vb->reason || va->position != vb->position);
        BUG_ON(va->result != dkim_reason_result(va->reason) || va->result == DKIM_NONE);
        BUG_ON(va->result == DKIM_PASS && (!va->examined || slice_empty(va->domain)));
        must_be_line(va);
    }
}

/* A message with fields of ours in front, signed. */
static struct slice sign(struct slice rest, uint8_t what, uint8_t how, size_t *body)
{
    struct letter_signature sig = {
        .key = LETTER_ED25519,
        .s = "ed",
        .h = "from:subject:x:x:a:to",
        .header = how & 1 ? DKIM_RELAXED : DKIM_SIMPLE,
        .body = how & 2 ? DKIM_RELAXED : DKIM_SIMPLE,
        .length = what & DO_LENGTH ? how : 0,
        .nothing = (what & DO_LENGTH) != 0 && how == 0,
    };
    char tags[32];
    struct slice message, after, field;
    struct buf text, b;

    buf_init_fixed(&b, tags, sizeof(tags));
    buf_putf(&b, "l=%u; ", how);
    sig.tags = what & DO_LENGTH ? tags : NULL;
    buf_init(&text, LETTER_MAX);
    buf_put_str(&text, "From: a@example.org\r\nX:");
    buf_put_slice(&text, rest);
    message = letter_sign(buf_slice(&text), sig);
    buf_fini(&text);
    after = message;
    while (letter_next_field(&after, &field)) {
    }
    *body = message.len - after.len;
    return message;
}

/* Signed, it passes, unless l= says otherwise; changed where it matters, it does not. */
static void must_verify(const struct dkim *d, uint8_t what)
{
    enum dkim_reason reason;

    BUG_ON(dkim_count(d) == 0);
    for (size_t i = 0; dkim_verdict_at(d, i)->position != 0; i++) {
        BUG_ON(i + 1 == dkim_count(d));
    }
    reason = dkim_verdict_at(d, 0)->reason;
    if (dkim_verdict_at(d, 0)->position != 0 || reason == DKIM_TOO_LARGE) {
        return;
    }
    if (what & DO_CHANGE) {
        BUG_ON(reason == DKIM_VERIFIED && (what & DO_LENGTH) == 0);
    } else if (what & DO_LENGTH) {
        BUG_ON(reason != DKIM_VERIFIED && reason != DKIM_BODY_LONGER && reason != DKIM_BODY_SHORTER);
    } else {
        BUG_ON(reason != DKIM_VERIFIED);
    }
}

static void put_record(struct slice name, struct slice text)
{
    letter_zone_put(&zone, name, slice_of(slice_dup(text), text.len)); /* outlives letter_forget() */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), lengths, message;
    uint8_t what = take_octet(&rest), how = take_octet(&rest);
    size_t body = 0;
    struct dkim *a, *b;
    bool changed = false;
    char *copy;

    lengths = take_octets(&rest, take_octet(&rest));
    if (zone.count == 0) {
        put_record(SLICE("ed._domainkey.example.org"), letter_record("k=ed25519; ", LETTER_ED25519));
        put_record(SLICE("rsa._domainkey.example.org"), letter_record("", LETTER_RSA_1024));
        put_record(SLICE("bad._domainkey.example.org"), SLICE("v=DKIM1; p=AAAA"));
    }
    message = what & DO_SIGN ? sign(rest, what, how, &body) : rest;
    copy = slice_dup(message);
    if ((what & (DO_SIGN | DO_CHANGE)) == (DO_SIGN | DO_CHANGE) && message.len > body) {
        char *at = copy + body + (how * 7u) % (message.len - body);

        changed = *at != ' ' && *at != '\t' && *at != '\r' && *at != '\n'; /* white space may not matter */
        *at = changed ? (char)(*at ^ 0x40) : *at;
        changed = changed && *at != ' ' && *at != '\t' && *at != '\r' && *at != '\n';
    }
    letter_forget();
    message.ptr = copy;
    a = judge(message, SLICE_NONE, true, (what & DO_UTF8) != 0);
    b = judge(message, lengths, (how & 4) == 0, (what & DO_UTF8) != 0);
    must_agree(a, b);
    if ((what & DO_SIGN) && ((what & DO_CHANGE) == 0 || changed)) {
        must_verify(a, what);
    }
    dkim_free(a);
    dkim_free(b);
    free(copy);
    return 0;
}
