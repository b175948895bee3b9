/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_body.c - any body in, exactly one end of data out.
 *
 * First octet: mode and policy; second: seed of the cuts.  The rest is fed in random pieces, which must give what the
 * whole gives; then it is dot-stuffed and ended as RFC 5321 4.5.2 says, and one strict and several lenient
 * receivers look for ends of data: each must see exactly one, at the very end.
 */
#include "core/buf.h"
#include "smtp/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    struct buf out;
    struct body_reader r;
    bool ended;
    size_t used;
};

static bool on_put(void *arg, const void *data, size_t len)
{
    buf_put(arg, data, len);
    return true;
}

static void run(struct result *res, struct slice in, const struct body_reader *fresh, uint32_t seed)
{
    *res = (struct result){ .r = *fresh };
    buf_init(&res->out, 3 * in.len + 16);
    while (in.len > 0 && !res->ended) {
        size_t n = in.len, used;
        char *exact;

        if (seed != 0) {
            seed = seed * 1664525u + 1013904223u;
            n = min_size(in.len, 1 + (seed >> 24) * (seed >> 16 & 3));
        }
        exact = xmalloc(n);
        memcpy(exact, in.ptr, n);
        body_reader_feed(&res->r, slice_of(exact, n), on_put, &res->out, &used, &res->ended);
        free(exact);
        BUG_ON(used != n && !res->ended);
        res->used += used;
        in = slice_skip(in, n);
    }
    if (fresh->mode == BODY_BDAT) {
        body_reader_finish(&res->r, on_put, &res->out);
    }
}

static void stuff(struct slice content, struct buf *wire)
{
    bool bol = true;

    for (size_t i = 0; i < content.len; i++) {
        if (bol && content.ptr[i] == '.') {
            buf_put_char(wire, '.');
        }
        bol = content.ptr[i] == '\n';
        buf_put_char(wire, content.ptr[i]);
    }
    buf_put_str(wire, bol ? ".\r\n" : "\r\n.\r\n");
}

/* How a receiver reads: what it drops and what it takes for a line end. */
struct receiver {
    bool drops_nul, lf_ends, cr_ends, collapses_cr, blanks_at_end;
};

static bool ends_line(const struct receiver *who, struct slice s, size_t *len)
{
    size_t crs = 0;

    while (crs < s.len && s.ptr[crs] == '\r' && (crs == 0 || who->collapses_cr)) {
        crs++;
    }
    if (crs < s.len && s.ptr[crs] == '\n' && (crs > 0 || who->lf_ends)) {
        *len = crs + 1;
        return true;
    }
    *len = crs;
    return crs > 0 && who->cr_ends;
}

/* Ends of data that this receiver sees, and where the first one is. */
static size_t ends_seen(const struct receiver *who, struct slice wire, size_t *first)
{
    size_t seen = 0, line = 0; /* octets of the line so far */
    bool dot = true;           /* all of them are one dot */

    for (size_t i = 0, len; i < wire.len; i += len) {
        char c = wire.ptr[i];

        if (ends_line(who, slice_skip(wire, i), &len)) {
            if (dot && line == 1) {
                *first = seen++ == 0 ? i + len : *first;
            }
            line = 0;
            dot = true;
            continue;
        }
        len = 1;
        if ((c == '\0' && who->drops_nul) || (who->blanks_at_end && line == 1 && dot && c == ' ')) {
            continue;
        }
        dot = dot && line == 0 && c == '.';
        line++;
    }
    return seen;
}

static void check_one_end(struct slice content)
{
    struct buf wire;

    buf_init(&wire, 2 * content.len + 16);
    stuff(content, &wire);
    BUG_ON(!buf_ok(&wire));
    for (unsigned bits = 0; bits < 32; bits++) {
        struct receiver who = { bits & 1, bits & 2, bits & 4, bits & 8, bits & 16 };
        size_t first = 0;

        /* a line of NUL and one dot is content; who drops NUL before looking for dots is beyond help: DAT-32
         * refuses such messages by their count */
        if (who.drops_nul && slice_find(content, '\0') < content.len) {
            continue;
        }
        BUG_ON(ends_seen(&who, buf_slice(&wire), &first) != 1 || first != wire.len);
    }
    buf_fini(&wire);
}

static void check_only_crlf(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        BUG_ON(s.ptr[i] == '\n' && (i == 0 || s.ptr[i - 1] != '\r'));
        BUG_ON(s.ptr[i] == '\r' && (i + 1 == s.len || s.ptr[i + 1] != '\n'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct body_reader fresh;
    struct result whole, cut;
    struct slice in;

    if (size < 2 || size > 1 << 16) {
        return 0;
    }
    body_reader_init(&fresh, data[0] & 1 ? BODY_BDAT : BODY_DATA, (data[0] & 2) == 0);
    in = slice_of(data + 2, size - 2);
    run(&whole, in, &fresh, 0);
    run(&cut, in, &fresh, 1u + data[1]);
    BUG_ON(!slice_eq(buf_slice(&whole.out), buf_slice(&cut.out)));
    BUG_ON(whole.ended != cut.ended || whole.used != cut.used);
    BUG_ON(whole.r.lenient_end != cut.r.lenient_end ||
           (whole.r.lenient_end && !body_reader_refused(&whole.r)));
    BUG_ON(whole.r.n.octets != cut.r.n.octets);
    BUG_ON(whole.r.n.bare_cr != cut.r.n.bare_cr || whole.r.n.bare_lf != cut.r.n.bare_lf);
    BUG_ON(whole.r.n.nul != cut.r.n.nul || whole.r.n.smuggling != cut.r.n.smuggling);
    BUG_ON(whole.r.n.eight_bit != cut.r.n.eight_bit);
    BUG_ON(whole.r.head.octets != cut.r.head.octets || whole.r.head.received != cut.r.head.received);
    BUG_ON(whole.r.n.octets != whole.out.len || !buf_ok(&whole.out));
    check_only_crlf(buf_slice(&whole.out));
    check_one_end(buf_slice(&whole.out));
    buf_fini(&whole.out);
    buf_fini(&cut.out);
    return 0;
}
