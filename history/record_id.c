/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_id.c - Crockford's base 32: 26 digits hold the 128 bits of a ULID, the first digit is at most 7.
 */
#include "history/record_id.h"

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* The value of a digit, or -1. */
static int digit_value(char c)
{
    const char *at;

    c = ascii_lower(c);
    if (c == 'o') {
        return 0;
    }
    if (c == 'i' || c == 'l') {
        return 1;
    }
    if (c >= 'a' && c <= 'z') {
        c = (char)(c - ('a' - 'A'));
    }
    at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

/* ".n" behind the session id; nothing is 0. */
static bool parse_txn(struct slice text, uint32_t *out)
{
    uint64_t n = 0;

    if (!slice_empty(text) && (text.ptr[0] != '.' || !slice_to_u64(slice_skip(text, 1), UINT32_MAX, &n))) {
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

bool record_id_parse_ending(struct slice text, struct record_ending *out)
{
    size_t len = slice_find(text, '.');

    memset(out, 0, sizeof(*out));
    if (len < RECORD_ID_ENDING_MIN || len > RECORD_ULID_TEXT) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        int v = digit_value(text.ptr[i]);

        if (v < 0) {
            return false;
        }
        out->text[i] = digits[v];
    }
    out->len = len;
    return parse_txn(slice_skip(text, len), &out->txn);
}

bool record_id_parse(struct slice text, struct record_id *out)
{
    struct record_ending e;
    uint32_t bits = 0, held = 0; /* the last `held` bits of `bits` are not written yet */
    size_t n = 0;

    memset(out, 0, sizeof(*out));
    if (!record_id_parse_ending(text, &e) || e.len != RECORD_ULID_TEXT || e.text[0] > '7') {
        return false;
    }
    for (size_t i = 0; i < e.len; i++) {
        bits = bits << 5 | (uint32_t)digit_value(e.text[i]);
        held += i == 0 ? 3 : 5;
        if (held >= 8) {
            held -= 8;
            out->ulid[n++] = (uint8_t)(bits >> held);
        }
    }
    out->txn = e.txn;
    return true;
}

void record_id_ulid_text(const struct record_id *id, char out[RECORD_ULID_TEXT])
{
    uint32_t bits = 0, held = 2; /* 26 digits have 130 bits: two zeros are in front */
    size_t n = 0;

    for (size_t i = 0; i < RECORD_ULID_LEN; i++) {
        bits = bits << 8 | id->ulid[i];
        held += 8;
        while (held >= 5) {
            held -= 5;
            out[n++] = digits[bits >> held & 31];
        }
    }
}

void record_id_put(struct buf *out, const struct record_id *id)
{
    char text[RECORD_ULID_TEXT];

    record_id_ulid_text(id, text);
    buf_put(out, text, sizeof(text));
    if (id->txn != 0) {
        buf_put_char(out, '.');
        buf_put_u64(out, id->txn);
    }
}

bool record_id_matches(const struct record_id *id, const struct record_ending *e)
{
    char text[RECORD_ULID_TEXT];

    record_id_ulid_text(id, text);
    return memcmp(text + RECORD_ULID_TEXT - e->len, e->text, e->len) == 0 &&
           (e->txn == 0 || e->txn == id->txn);
}

bool record_id_same(const struct record_id *a, const struct record_id *b)
{
    return a->txn == b->txn && memcmp(a->ulid, b->ulid, RECORD_ULID_LEN) == 0;
}

int64_t record_id_time_ms(const struct record_id *id)
{
    uint64_t ms = 0;

    for (size_t i = 0; i < 6; i++) {
        ms = ms << 8 | id->ulid[i];
    }
    return (int64_t)ms;
}
