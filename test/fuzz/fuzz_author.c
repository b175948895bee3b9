/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_author.c - From fields: any octets as a header section, made canonical by line.c first.
 *
 * Whatever is there, reading ends; each address is an address; nothing that stands in front of the section or
 * in the body changes who the author is; and an address written plainly behind what was read is found, unless
 * something before it has no end.
 */
#include "smtp/author.h"
#include "smtp/field.h"
#include "smtp/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_put(void *arg, const void *data, size_t len)
{
    buf_put(arg, data, len);
    return true;
}

static void check(const struct author *a)
{
    BUG_ON(!a->readable && (a->local.len > 0 || a->domain.len > 0));
    if (!a->readable) {
        return;
    }
    BUG_ON(a->local.len == 0 || a->domain.len == 0 || a->local.len > 1000 || a->domain.len > 1000);
    for (size_t i = 0; i < a->domain.len; i++) {
        char c = a->domain.ptr[i];

        BUG_ON((unsigned char)c <= ' ' ||
               (a->domain.ptr[0] != '[' && slice_find(SLICE("<>@,;:\"()"), c) < 9));
    }
}

/* How many authors, and the digest of what they are. */
static size_t read_all(struct slice head, uint64_t *digest, unsigned *fields)
{
    struct author_reader r;
    struct author a;
    size_t n = 0;

    *digest = 5381;
    author_begin(&r, head);
    while (author_next(&r, &a)) {
        check(&a);
        for (size_t i = 0; i < a.domain.len; i++) {
            *digest = *digest * 33 + (unsigned char)a.domain.ptr[i];
        }
        n++;
        BUG_ON(n > head.len); /* each takes an octet at least */
    }
    *fields = r.fields;
    author_end(&r);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct body_reader r;
    struct buf in;
    uint64_t digest, again;
    unsigned fields, fields_again;
    struct header_field f;
    struct slice rest;
    size_t used, n;
    bool ended;

    if (size > 1 << 15) {
        return 0;
    }
    buf_init(&in, 3 * size + 200);
    body_reader_init(&r, BODY_BDAT, true);
    body_reader_feed(&r, slice_of(data, size), on_put, &in, &used, &ended);
    body_reader_finish(&r, on_put, &in);
    n = read_all(buf_slice(&in), &digest, &fields);
    rest = buf_slice(&in);
    header_skip_mbox(&rest);
    while (header_next(&rest, &f)) {
    }
    used = in.len - rest.len;
    buf_put_str(
        &in, "\r\nFrom: <evil@body.test>\r\n\r\n"); /* behind the section, which may have ended long before */
    BUG_ON(rest.len > 0 && (read_all(buf_slice(&in), &again, &fields_again) != n || again != digest ||
                            fields_again != fields));
    buf_truncate(&in, used);
    buf_put_str(&in, "From: a@plain.test\r\n");
    BUG_ON(read_all(buf_slice(&in), &again, &fields_again) != n + 1 || fields_again != fields + 1);
    buf_fini(&in);
    return 0;
}
