/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_header.c - header sections: after a rewrite no forged field is left for any reader.
 *
 * The input is made canonical by line.c first.  What is rewritten is read again: nothing that would be
 * stripped is left, our block is on top, the rest of the message follows untouched.
 */
#include "core/utf8.h"
#include "smtp/field.h"
#include "smtp/header.h"
#include "smtp/lexical.h"
#include "smtp/line.h"

/* What the reader of the message must have noticed while it passed (UTF-02). */
static bool has_8bit_field(struct slice head)
{
    struct header_field f;

    while (header_next(&head, &f)) {
        if (utf8_has_8bit(f.whole)) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_put(void *arg, const void *data, size_t len)
{
    buf_put(arg, data, len);
    return true;
}

static const struct config_headers conf = {
    .authserv_id = "mx.test",
    .strip = { "X-Spam-*", "X-Exact" },
    .strip_count = 2,
};
static const struct header_rules rules = { &conf, "host.test", NULL, NULL };

static bool is_host_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_' || c == '.';
}

/* A careless reader's id: octets of host names up to the first ';', all of them or the first that stand together. */
static void put_careless_id(struct buf *out, struct slice value, bool all)
{
    buf_reset(out);
    for (size_t i = 0; i < value.len && value.ptr[i] != ';'; i++) {
        if (is_host_char(value.ptr[i])) {
            buf_put_char(out, value.ptr[i]);
        } else if (out->len > 0 && !all) {
            break;
        }
    }
    while (out->len > 0 && out->ptr[out->len - 1] == '.') {
        buf_truncate(out, out->len - 1);
    }
}

/* What stays is foreign for careless readers too; those that see comments and names of IDNA as text are beyond
 * help. */
static void check_foreign(struct slice value)
{
    struct buf decoded, id;

    buf_init(&decoded, value.len);
    buf_init(&id, value.len);
    lex_put_decoded(&decoded, value);
    for (unsigned i = 0; i < 4 && slice_find(buf_slice(&decoded), '(') == decoded.len && value.len < 2000;
         i++) {
        put_careless_id(&id, i & 1 ? buf_slice(&decoded) : value, i & 2);
        BUG_ON(!utf8_has_8bit(buf_slice(&decoded)) && slice_eq_nocase(buf_slice(&id), SLICE("mx.test")));
    }
    buf_fini(&decoded);
    buf_fini(&id);
}

/* Any line before the first empty one that a careless reader takes for a forged result of ours. */
static void check_nothing_forged(struct slice s, size_t skip)
{
    struct header_field f;

    for (s = slice_skip(s, skip); header_next(&s, &f);) {
        BUG_ON(header_stripped(&f, &rules));
        if (header_name_is(f.name, SLICE("Authentication-Results"))) {
            check_foreign(f.value);
        }
    }
    BUG_ON(s.len > 0 && !slice_starts(s, SLICE("\r\n")));
}

static void check_value(struct slice value)
{
    struct received r = { .helo = value,
                          .rdns = value,
                          .hostname = SLICE("mx.test"),
                          .id = SLICE("1"),
                          .single_rcpt = value,
                          .tls_clause = value,
                          .tls = true,
                          .utf8 = value.len % 2 };
    struct buf out;
    struct slice rest;
    struct header_field f;

    buf_init(&out, 1 << 22);
    r.client.family = ADDR_V4;
    header_put_received(&out, &r);
    field_put(&out, SLICE("X-Value"), value, false);
    field_put(&out, SLICE("X-Value"), value, true);
    BUG_ON(!buf_ok(&out));
    rest = buf_slice(&out);
    for (int i = 0; i < 3; i++) {
        BUG_ON(!header_next(&rest, &f));
    }
    BUG_ON(rest.len != 0); /* three fields, and not one more */
    for (rest = buf_slice(&out); rest.len > 0;) {
        struct slice line = slice_cut(&rest, '\n');

        BUG_ON(line.len > 999 || slice_find(line, '\0') < line.len || slice_find(line, '\r') != line.len - 1);
    }
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice added = SLICE("Received: us\r\n");
    struct body_reader r;
    struct buf in, out;
    size_t used, n;
    bool ended;

    if (size > 1 << 16) {
        return 0;
    }
    buf_init(&in, 3 * size + 16);
    buf_init(&out, 4 * size + 64);
    body_reader_init(&r, BODY_BDAT, true);
    body_reader_feed(&r, slice_of(data, size), on_put, &in, &used, &ended);
    body_reader_finish(&r, on_put, &in);
    n = header_rewrite(buf_slice(&in), added, &rules, &out);
    BUG_ON(n > in.len || !buf_ok(&out) || !slice_starts(buf_slice(&out), added));
    BUG_ON(out.len > n + added.len + 2);
    buf_put_slice(&out, slice_skip(buf_slice(&in), n));
    check_nothing_forged(buf_slice(&out), added.len);
    (void)header_own_hops(buf_slice(&in), SLICE("mx.test"));
    BUG_ON(has_8bit_field(buf_slice(&in)) && !r.head.eight_bit);
    check_value(slice_of(data, min_size(size, 5000)));
    buf_fini(&in);
    buf_fini(&out);
    return 0;
}
