/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_reply.c - upstream replies: cuts change nothing, and what is written to a client is well-formed.
 *
 * First octet: size of the pieces.  Every reply found is written both ways and read again.
 */
#include "core/buf.h"
#include "smtp/smtp_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_written(const struct reply *r, bool enhanced, bool utf8)
{
    struct reply_parser p;
    struct reply again;
    struct buf out;
    struct slice rest;
    size_t used, lines = 0;

    buf_init(&out, 1 << 20);
    reply_write(&out, r, enhanced, utf8, SLICE(" [01ARZ3NDEKTSV4RRFFQ69G5FAV]"));
    BUG_ON(!buf_ok(&out));
    for (rest = buf_slice(&out); rest.len > 0; lines++) {
        struct slice line = slice_cut(&rest, '\n');

        BUG_ON(line.len + 1 > REPLY_LINE_MAX || line.len < 5 || line.ptr[line.len - 1] != '\r');
        for (size_t i = 0; i + 1 < line.len; i++) {
            BUG_ON(!ascii_is_print(line.ptr[i]) && !(utf8 && (unsigned char)line.ptr[i] > 0x7f));
        }
    }
    BUG_ON(lines > REPLY_UPSTREAM_LINES);
    reply_parser_init(&p);
    if (out.len < REPLY_UPSTREAM_BYTES) {
        BUG_ON(reply_parser_feed(&p, buf_slice(&out), &used, &again) != REPLY_DONE || used != out.len);
        BUG_ON(again.code != r->code);
    }
    reply_parser_fini(&p);
    buf_fini(&out);
}

/* All replies in `in`, taken with pieces of `step` octets, as one text. */
static void collect(struct slice in, size_t step, struct buf *out, bool write)
{
    struct reply_parser p;
    struct reply r;
    enum reply_status status = REPLY_MORE;

    reply_parser_init(&p);
    while (in.len > 0 && status != REPLY_BAD) {
        size_t n = min_size(step, in.len), used;
        char *exact = xmalloc(n);

        memcpy(exact, in.ptr, n);
        status = reply_parser_feed(&p, slice_of(exact, n), &used, &r);
        free(exact);
        BUG_ON(used > n || (status == REPLY_MORE && used != n));
        in = slice_skip(in, used);
        if (status == REPLY_DONE) {
            BUG_ON(r.code < 200 || r.code > 599);
            buf_putf(out, "%u/" SLICE_FMT "/", r.code, SLICE_ARG(r.enhanced));
            buf_put_slice(out, r.text);
            if (write) {
                check_written(&r, true, false);
                check_written(&r, false, true);
            }
        }
    }
    buf_put_char(out, status == REPLY_BAD ? '!' : '.');
    reply_parser_fini(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, cut;

    if (size < 1) {
        return 0;
    }
    buf_init(&whole, 1 << 22);
    buf_init(&cut, 1 << 22);
    collect(slice_of(data + 1, size - 1), size, &whole, true);
    collect(slice_of(data + 1, size - 1), 1u + data[0] % 32, &cut, false);
    BUG_ON(!slice_eq(buf_slice(&whole), buf_slice(&cut)));
    buf_fini(&whole);
    buf_fini(&cut);
    return 0;
}
