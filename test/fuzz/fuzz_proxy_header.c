/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_proxy_header.c - who the client is: PROXY headers and XCLIENT arguments.
 *
 * A header's verdict must not depend on how it was cut: once it is bad or complete, every longer input says
 * the same, and no shorter one says that it is complete.  What is announced has a family.
 */
#include "core/buf.h"
#include "smtp/proxy_header.h"
#include "smtp/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_header(struct slice in)
{
    struct proxy_header h, whole;
    size_t used = 0, all = 0;
    enum proxy_status verdict = proxy_header_parse(in, &whole, &all);

    for (size_t n = 0; n <= in.len && n <= PROXY_HEADER_MAX; n++) {
        enum proxy_status s = proxy_header_parse(slice_take(in, n), &h, &used);

        BUG_ON(s == PROXY_DONE && (verdict != PROXY_DONE || used != all || n < used));
        BUG_ON(s == PROXY_BAD && verdict != PROXY_BAD);
    }
    if (verdict == PROXY_MORE) {
        BUG_ON(in.len >= PROXY_HEADER_MAX);
    }
    if (verdict == PROXY_DONE) {
        BUG_ON(all > in.len || all > PROXY_HEADER_MAX);
        BUG_ON(whole.announced &&
               (whole.source.family == ADDR_NONE || whole.destination.family == ADDR_NONE));
    }
}

static void check_xclient(struct slice in)
{
    struct xclient x;

    if (xclient_parse(in, &x)) {
        BUG_ON(strlen(x.name) > XCLIENT_NAME_MAX || strlen(x.helo) > XCLIENT_NAME_MAX);
        for (const char *p = x.helo; *p != '\0'; p++) {
            BUG_ON((unsigned char)*p < ' ' || *p == 0x7f);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_header(slice_of(data, size));
    check_xclient(slice_of(data, size));
    return 0;
}
