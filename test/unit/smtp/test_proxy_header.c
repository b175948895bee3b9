/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_proxy_header.c - PROXY headers: every form that is one, and that nothing else is.
 *
 * Each good header is also fed as every beginning of itself (never an end too early, never refused) and with
 * octets behind it (they are not taken).  The caps: PXY-13.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/proxy_header.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4_BLOCK "\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x19"
#define V6_ONE " \1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0"

struct row {
    const char *label;
    struct slice in;
    const char *source, *destination; /* endpoints; NULL: not announced */
};

static const struct row good[] = {
    { "v1 TCP4", SLICE_INIT("PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n"), "192.0.2.1:56324",
      "198.51.100.2:25" },
    { "v1 TCP6", SLICE_INIT("PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n"), "[2001:db8::1]:65535",
      "[2001:db8::2]:0" },
    { "v1 TCP6 with a mapped address is IPv4",
      SLICE_INIT("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n"), "192.0.2.1:1", "192.0.2.2:2" },
    { "v1 UNKNOWN", SLICE_INIT("PROXY UNKNOWN\r\n"), NULL, NULL },
    { "v1 UNKNOWN with anything", SLICE_INIT("PROXY UNKNOWN ffff::1 what ever\r\n"), NULL, NULL },
    { "v1 of 107 octets",
      SLICE_INIT(
          "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
          "65535 65535\r\n"),
      NULL, NULL },
    { "v2 TCP4", SLICE_INIT(SIG "\x21\x11\0\x0c" V4_BLOCK), "192.0.2.1:56324", "198.51.100.2:25" },
    { "v2 TCP6", SLICE_INIT(SIG "\x21\x21\0\x24" V6_ONE "\1" V6_ONE "\2\xdc\4\0\x19"), "[2001:db8::1]:56324",
      "[2001:db8::2]:25" },
    { "v2 with TLVs", SLICE_INIT(SIG "\x21\x11\0\x16" V4_BLOCK "\x04\0\3abc\xea\0\1x"), "192.0.2.1:56324",
      "198.51.100.2:25" },
    { "v2 with an empty TLV", SLICE_INIT(SIG "\x21\x11\0\x0f" V4_BLOCK "\x04\0\0"), "192.0.2.1:56324",
      "198.51.100.2:25" },
    { "PXY-15: v2 with TLS information", SLICE_INIT(SIG "\x21\x11\0\x14" V4_BLOCK "\x20\0\5\7\0\0\0\0"),
      "192.0.2.1:56324", "198.51.100.2:25" },
    { "v2 LOCAL", SLICE_INIT(SIG "\x20\0\0\0"), NULL, NULL },
    { "v2 LOCAL with a block and any family", SLICE_INIT(SIG "\x20\x77\0\5abcde"), NULL, NULL },
    { "v2 PROXY of an unspecified family", SLICE_INIT(SIG "\x21\0\0\3abc"), NULL, NULL },
};

static const struct row bad[] = {
    { "a client's command", SLICE_INIT("EHLO a\r\n"), NULL, NULL },
    { "a blank first", SLICE_INIT(" PROXY UNKNOWN\r\n"), NULL, NULL },
    { "lower case", SLICE_INIT("proxy UNKNOWN\r\n"), NULL, NULL },
    { "v1 with LF only", SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"), NULL, NULL },
    { "v1 with CR in it", SLICE_INIT("PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n"), NULL, NULL },
    { "v1 with two CR", SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n"), NULL, NULL },
    { "v1 with two blanks", SLICE_INIT("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"), NULL, NULL },
    { "v1 with a tab", SLICE_INIT("PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n"), NULL, NULL },
    { "v1 with a blank at the end", SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"), NULL, NULL },
    { "v1 with a field too many", SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"), NULL, NULL },
    { "v1 with a field too few", SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"), NULL, NULL },
    { "v1 with nothing", SLICE_INIT("PROXY \r\n"), NULL, NULL },
    { "v1 of an unknown protocol", SLICE_INIT("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"), NULL, NULL },
    { "v1 UDP", SLICE_INIT("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"), NULL, NULL },
    { "v1 UNKNOWN with something at it", SLICE_INIT("PROXY UNKNOWNx\r\n"), NULL, NULL },
    { "v1 TCP4 with an IPv6 address", SLICE_INIT("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), NULL, NULL },
    { "v1 TCP6 with an IPv4 address", SLICE_INIT("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"), NULL, NULL },
    { "v1 with families mixed", SLICE_INIT("PROXY TCP6 2001:db8::1 192.0.2.2 1 2\r\n"), NULL, NULL },
    { "v1 port above 65535", SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"), NULL, NULL },
    { "v1 port with a leading zero", SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 025 2\r\n"), NULL, NULL },
    { "v1 port with a sign", SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n"), NULL, NULL },
    { "v1 port with letters", SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1a 2\r\n"), NULL, NULL },
    { "v1 address with a leading zero", SLICE_INIT("PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n"), NULL, NULL },
    { "v1 address with brackets", SLICE_INIT("PROXY TCP6 [2001:db8::1] [2001:db8::2] 1 2\r\n"), NULL, NULL },
    { "v1 address with a zone", SLICE_INIT("PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n"), NULL, NULL },
    { "v1 address out of range", SLICE_INIT("PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n"), NULL, NULL },
    { "v1 with a NUL", SLICE_INIT("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"), NULL, NULL },
    { "v1 of 108 octets",
      SLICE_INIT(
          "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
          "65535 655355\r\n"),
      NULL, NULL },
    { "v2 of version 1", SLICE_INIT(SIG "\x11\x11\0\x0c" V4_BLOCK), NULL, NULL },
    { "v2 of version 3", SLICE_INIT(SIG "\x31\x11\0\x0c" V4_BLOCK), NULL, NULL },
    { "v2 with an unknown command", SLICE_INIT(SIG "\x22\x11\0\x0c" V4_BLOCK), NULL, NULL },
    { "v2 UDP", SLICE_INIT(SIG "\x21\x12\0\x0c" V4_BLOCK), NULL, NULL },
    { "v2 of a unix socket", SLICE_INIT(SIG "\x21\x31\0\x0c" V4_BLOCK), NULL, NULL },
    { "v2 with a block too short", SLICE_INIT(SIG "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0"), NULL,
      NULL },
    { "v2 with TCP6 in the room of TCP4", SLICE_INIT(SIG "\x21\x21\0\x0c" V4_BLOCK), NULL, NULL },
    { "v2 with a TLV that is longer than the block", SLICE_INIT(SIG "\x21\x11\0\x10" V4_BLOCK "\x04\0\2x"),
      NULL, NULL },
    { "v2 with half a TLV", SLICE_INIT(SIG "\x21\x11\0\x0e" V4_BLOCK "\x04\0"), NULL, NULL },
    { "v2 of 2049 octets", SLICE_INIT(SIG "\x20\0\x08\x01"), NULL, NULL },
    { "v2 of 65535 octets", SLICE_INIT(SIG "\x21\x11\xff\xff"), NULL, NULL },
};

static void check_endpoint(const char *label, const struct addr *a, const char *want)
{
    char mem[ADDR_TEXT_MAX];
    struct buf text;

    buf_init_fixed(&text, mem, sizeof(mem));
    addr_put_endpoint(&text, a);
    if (!slice_eq(buf_slice(&text), slice_str(want))) {
        fail_msg("%s: %s, want %s", label, mem, want);
    }
}

static void headers_are_taken_whole_and_only_they(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct proxy_header h;
        char mem[256];
        size_t used;
        struct slice in = good[i].in;

        for (size_t n = 0; n < in.len; n++) {
            if (proxy_header_parse(slice_take(in, n), &h, &used) != PROXY_MORE) {
                fail_msg("%s: ended at octet %zu", good[i].label, n);
            }
        }
        memcpy(mem, in.ptr, in.len);
        memcpy(mem + in.len, "PROXY EHLO", 10);
        if (proxy_header_parse(slice_of(mem, in.len + 10), &h, &used) != PROXY_DONE || used != in.len ||
            h.announced != (good[i].source != NULL)) {
            fail_msg("%s: used %zu of %zu", good[i].label, used, in.len);
        }
        if (h.announced) {
            check_endpoint(good[i].label, &h.source, good[i].source);
            check_endpoint(good[i].label, &h.destination, good[i].destination);
        }
    }
}

static void what_is_no_header_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct proxy_header h;
        size_t used;

        if (proxy_header_parse(bad[i].in, &h, &used) != PROXY_BAD) {
            fail_msg("%s", bad[i].label);
        }
    }
}

static void an_octet_that_cannot_belong_to_one_ends_it_at_once(void **state)
{
    static const struct slice rows[] = {
        SLICE_INIT("E"),        SLICE_INIT("PROXX"),        SLICE_INIT("\r\n\r\n\1"),
        SLICE_INIT(SIG "\x22"), SLICE_INIT(SIG "\x21\x13"), SLICE_INIT("\x16")
    };
    struct proxy_header h;
    size_t used;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(proxy_header_parse(rows[i], &h, &used), PROXY_BAD);
    }
}

static void the_caps_hold(void **state)
{
    char mem[PROXY_HEADER_MAX] = SIG "\x20\0\x08\0";
    struct proxy_header h;
    size_t used;

    (void)state;
    assert_int_equal(proxy_header_parse(slice_of(mem, sizeof(mem) - 1), &h, &used), PROXY_MORE);
    assert_int_equal(proxy_header_parse(slice_of(mem, sizeof(mem)), &h, &used), PROXY_DONE);
    assert_int_equal(used, PROXY_HEADER_MAX);
    memset(mem, 'x', sizeof(mem));
    memcpy(mem, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_header_parse(slice_of(mem, PROXY_V1_MAX - 1), &h, &used), PROXY_MORE);
    assert_int_equal(proxy_header_parse(slice_of(mem, PROXY_V1_MAX), &h, &used), PROXY_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_taken_whole_and_only_they),
        cmocka_unit_test(what_is_no_header_is_refused),
        cmocka_unit_test(an_octet_that_cannot_belong_to_one_ends_it_at_once),
        cmocka_unit_test(the_caps_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
