/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_message_head.c - any octets as a header section, made canonical by line.c first (smtp/message_head.h).
 *
 * Reading ends, every list has its limit, each domain in a list is a name in lower case, and nothing that stands in
 * the body changes what is read.
 */
#include "smtp/field.h"
#include "smtp/line.h"
#include "smtp/message_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_put(void *arg, const void *data, size_t len)
{
    buf_put(arg, data, len);
    return true;
}

static unsigned check_names(struct slice names)
{
    unsigned n = 0;

    while (!slice_empty(names)) {
        struct slice name = slice_cut(&names, ',');

        BUG_ON(!hostname_valid(name));
        for (size_t i = 0; i < name.len; i++) {
            BUG_ON(name.ptr[i] != ascii_lower(name.ptr[i]));
        }
        n++;
    }
    return n;
}

static void check(const struct message_head *h)
{
    bool one = h->fields[HEAD_FROM] == 1 && h->authors == 1 && !h->unreadable;

    BUG_ON(h->authors > HEAD_AUTHORS_MAX || h->domain_count > h->authors);
    BUG_ON(h->name_domain_count > HEAD_NAME_DOMAINS_MAX || h->id.len > HEAD_ID_MAX);
    BUG_ON(!buf_ok(&h->domains) || check_names(buf_slice(&h->domains)) != h->domain_count);
    BUG_ON(!buf_ok(&h->name_domains) || check_names(buf_slice(&h->name_domains)) != h->name_domain_count);
    BUG_ON((h->domain.len > 0) != one || (h->local.len > 0) != one);
}

static bool same(const struct message_head *a, const struct message_head *b)
{
    return memcmp(a->fields, b->fields, sizeof(a->fields)) == 0 && a->received == b->received &&
           a->authors == b->authors && a->list == b->list && a->bulk == b->bulk && a->dated == b->dated &&
           slice_eq(buf_slice(&a->domains), buf_slice(&b->domains)) &&
           slice_eq(buf_slice(&a->name_domains), buf_slice(&b->name_domains)) &&
           slice_eq(buf_slice(&a->id), buf_slice(&b->id));
}

/* A section that had an end stays the same, whatever comes behind it. */
static void check_body(struct buf *text, const struct message_head *h)
{
    struct slice rest = buf_slice(text);
    struct header_field f;
    struct message_head again;

    header_skip_mbox(&rest);
    while (header_next(&rest, &f)) {
    }
    if (rest.len > 0) {
        buf_put_str(text, "\r\nFrom: <evil@body.test>\r\nDate: 1 Dec 2025 10:00 Z\r\n\r\n");
        message_head_read(&again, buf_slice(text));
        BUG_ON(!same(h, &again));
        message_head_fini(&again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct body_reader r;
    struct message_head h;
    struct buf in;
    size_t used;
    bool ended;

    if (size > 1 << 15) {
        return 0;
    }
    buf_init(&in, 3 * size + 200);
    body_reader_init(&r, BODY_BDAT, true);
    body_reader_feed(&r, slice_of(data, size), on_put, &in, &used, &ended);
    body_reader_finish(&r, on_put, &in);
    message_head_read(&h, buf_slice(&in));
    check(&h);
    check_body(&in, &h);
    message_head_fini(&h);
    buf_fini(&in);
    return 0;
}
