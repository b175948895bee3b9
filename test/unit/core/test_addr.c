/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_addr.c - addresses and networks: strict reading, exact writing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>

#include "core/addr.h"

static const char *text_of(struct buf *b, void (*put)(struct buf *, const struct addr *),
                           const struct addr *a)
{
    buf_reset(b);
    put(b, a);
    return b->ptr;
}

static void addresses_are_read_strictly(void **state)
{
    static const struct {
        struct slice text;
        const char *want; /* NULL: refused */
    } rows[] = {
        { SLICE_INIT("192.0.2.1"), "192.0.2.1" },
        { SLICE_INIT("0.0.0.0"), "0.0.0.0" },
        { SLICE_INIT("2001:DB8:0:0:0:0:0:1"), "2001:db8::1" },
        { SLICE_INIT("::"), "::" },
        { SLICE_INIT("::ffff:192.0.2.1"), "192.0.2.1" },
        { SLICE_INIT("192.0.2"), NULL },
        { SLICE_INIT("192.0.2.01"), NULL },
        { SLICE_INIT("192.0.2.256"), NULL },
        { SLICE_INIT("192.0.2.1 "), NULL },
        { SLICE_INIT("192.0.2.1\0"), NULL },
        { SLICE_INIT("0x7f.1"), NULL },
        { SLICE_INIT("fe80::1%eth0"), NULL },
        { SLICE_INIT("[::1]"), NULL },
        { SLICE_INIT("::1::"), NULL },
        { SLICE_INIT(""), NULL },
        { SLICE_INIT("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"), NULL },
    };
    char mem[ADDR_TEXT_MAX];
    struct buf b;

    (void)state;
    buf_init_fixed(&b, mem, sizeof(mem));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a;
        bool ok = addr_parse_ip(rows[i].text, &a);

        if (ok != (rows[i].want != NULL) ||
            (ok && !slice_eq(slice_str(text_of(&b, addr_put_ip, &a)), slice_str(rows[i].want)))) {
            fail_msg("row %zu: %.*s", i, SLICE_ARG(rows[i].text));
        }
        if (!ok) {
            assert_int_equal(a.family, ADDR_NONE);
        }
    }
}

static void endpoints_have_ports_and_brackets(void **state)
{
    static const struct {
        struct slice text;
        bool want;
    } rows[] = {
        { SLICE_INIT("192.0.2.1:25"), true },
        { SLICE_INIT("[2001:db8::1]:25"), true },
        { SLICE_INIT("[192.0.2.1]:25"), false },
        { SLICE_INIT("2001:db8::1:25"), false },
        { SLICE_INIT("192.0.2.1"), false },
        { SLICE_INIT("192.0.2.1:"), false },
        { SLICE_INIT("192.0.2.1:65536"), false },
        { SLICE_INIT("[]:25"), false },
        { SLICE_INIT(":25"), false },
        { SLICE_INIT("[::1]25"), false },
    };
    struct addr a;
    char mem[ADDR_TEXT_MAX];
    struct buf b;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (addr_parse_endpoint(rows[i].text, &a) != rows[i].want) {
            fail_msg("row %zu: %.*s", i, SLICE_ARG(rows[i].text));
        }
    }
    buf_init_fixed(&b, mem, sizeof(mem));
    assert_true(addr_parse_endpoint(SLICE("[2001:db8::1]:2525"), &a));
    assert_string_equal(text_of(&b, addr_put_endpoint, &a), "[2001:db8::1]:2525");
    assert_string_equal(text_of(&b, addr_put_literal, &a), "[IPv6:2001:db8::1]");
    assert_true(addr_parse_endpoint(SLICE("192.0.2.1:25"), &a));
    assert_string_equal(text_of(&b, addr_put_endpoint, &a), "192.0.2.1:25");
    assert_string_equal(text_of(&b, addr_put_literal, &a), "[192.0.2.1]");
}

static void networks_contain_what_they_should(void **state)
{
    static const struct {
        struct slice net;
        struct slice ip;
        int want; /* 1 in, 0 out, -1: the network is refused */
    } rows[] = {
        { SLICE_INIT("192.0.2.0/24"), SLICE_INIT("192.0.2.255"), 1 },
        { SLICE_INIT("192.0.2.0/24"), SLICE_INIT("192.0.3.0"), 0 },
        { SLICE_INIT("192.0.2.128/25"), SLICE_INIT("192.0.2.127"), 0 },
        { SLICE_INIT("192.0.2.128/25"), SLICE_INIT("192.0.2.129"), 1 },
        { SLICE_INIT("192.0.2.1"), SLICE_INIT("192.0.2.1"), 1 },
        { SLICE_INIT("192.0.2.1"), SLICE_INIT("192.0.2.2"), 0 },
        { SLICE_INIT("0.0.0.0/0"), SLICE_INIT("203.0.113.9"), 1 },
        { SLICE_INIT("0.0.0.0/0"), SLICE_INIT("::1"), 0 },
        { SLICE_INIT("::/0"), SLICE_INIT("192.0.2.1"), 0 },
        { SLICE_INIT("2001:db8::/33"), SLICE_INIT("2001:db8:7fff::1"), 1 },
        { SLICE_INIT("2001:db8::/33"), SLICE_INIT("2001:db8:8000::1"), 0 },
        { SLICE_INIT("::ffff:192.0.2.0/120"), SLICE_INIT("192.0.2.7"), 1 },
        { SLICE_INIT("::ffff:192.0.2.0/120"), SLICE_INIT("::ffff:192.0.3.7"), 0 },
        { SLICE_INIT("192.0.2.1/24"), SLICE_INIT("::"), -1 },
        { SLICE_INIT("192.0.2.0/33"), SLICE_INIT("::"), -1 },
        { SLICE_INIT("192.0.2.0/"), SLICE_INIT("::"), -1 },
        { SLICE_INIT("192.0.2.0/24/8"), SLICE_INIT("::"), -1 },
        { SLICE_INIT("2001:db8::/129"), SLICE_INIT("::"), -1 },
        { SLICE_INIT("/24"), SLICE_INIT("::"), -1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cidr net;
        struct addr a;
        int got = -1;

        assert_true(addr_parse_ip(rows[i].ip, &a));
        if (cidr_parse(rows[i].net, &net)) {
            got = cidr_contains(&net, &a);
        }
        if (got != rows[i].want) {
            fail_msg("%.*s %.*s: %d", SLICE_ARG(rows[i].net), SLICE_ARG(rows[i].ip), got);
        }
    }
}

static void private_addresses_are_known(void **state)
{
    static const struct {
        struct slice ip;
        bool want;
    } rows[] = {
        { SLICE_INIT("10.1.2.3"), true },
        { SLICE_INIT("172.16.0.1"), true },
        { SLICE_INIT("172.32.0.1"), false },
        { SLICE_INIT("192.168.9.9"), true },
        { SLICE_INIT("127.0.0.1"), true },
        { SLICE_INIT("169.254.1.1"), true },
        { SLICE_INIT("100.127.255.255"), true },
        { SLICE_INIT("100.128.0.0"), false },
        { SLICE_INIT("::1"), true },
        { SLICE_INIT("fe80::1"), true },
        { SLICE_INIT("febf::1"), true },
        { SLICE_INIT("fec0::1"), false },
        { SLICE_INIT("fd00::1"), true },
        { SLICE_INIT("2001:db8::1"), false },
        { SLICE_INIT("192.0.2.1"), false },
        { SLICE_INIT("::ffff:10.0.0.1"), true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a;

        assert_true(addr_parse_ip(rows[i].ip, &a));
        if (addr_is_private(&a) != rows[i].want) {
            fail_msg("%.*s", SLICE_ARG(rows[i].ip));
        }
    }
}

static void socket_addresses_go_there_and_back(void **state)
{
    static const struct slice texts[] = { SLICE_INIT("192.0.2.1:25"), SLICE_INIT("[2001:db8::1]:65535") };
    struct sockaddr_storage sa;
    struct sockaddr_in6 mapped = { .sin6_family = AF_INET6 };
    struct addr a, b;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_true(addr_parse_endpoint(texts[i], &a));
        assert_true(addr_to_sockaddr(&a, &sa) > 0);
        b = addr_from_sockaddr((struct sockaddr *)&sa);
        assert_true(addr_same_ip(&a, &b));
        assert_int_equal(a.port, b.port);
    }
    mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
    mapped.sin6_addr.s6_addr[12] = 10;
    memcpy(&sa, &mapped, sizeof(mapped));
    a = addr_from_sockaddr((struct sockaddr *)&sa);
    assert_int_equal(a.family, ADDR_V4);
    assert_int_equal(a.ip[0], 10);
    sa.ss_family = AF_UNIX;
    a = addr_from_sockaddr((struct sockaddr *)&sa);
    assert_int_equal(a.family, ADDR_NONE);
    assert_int_equal(addr_to_sockaddr(&a, &sa), 0);
}

static void a_client_is_an_address_or_a_64(void **state)
{
    struct addr a, c, want;

    (void)state;
    assert_true(addr_parse_endpoint(SLICE("[2001:db8:1:2:3:4:5:6]:99"), &a));
    assert_true(addr_parse_ip(SLICE("2001:db8:1:2::"), &want));
    c = addr_client(&a);
    assert_true(addr_same_ip(&c, &want));
    assert_int_equal(c.port, 0);
    assert_true(addr_parse_ip(SLICE("192.0.2.77"), &a));
    c = addr_client(&a);
    assert_true(addr_same_ip(&c, &a));
    c = addr_network(&a, 25, 0);
    assert_true(addr_parse_ip(SLICE("192.0.2.0"), &want));
    assert_true(addr_same_ip(&c, &want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_strictly),
        cmocka_unit_test(endpoints_have_ports_and_brackets),
        cmocka_unit_test(networks_contain_what_they_should),
        cmocka_unit_test(private_addresses_are_known),
        cmocka_unit_test(socket_addresses_go_there_and_back),
        cmocka_unit_test(a_client_is_an_address_or_a_64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
