/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_names.c - names as text: legality, normal form, reverse and list names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns/names.h"

#define L10 "abcdefghij"
#define L63 L10 L10 L10 L10 L10 L10 "abc"
#define L61 L10 L10 L10 L10 L10 L10 "a"

struct legal_row {
    const char *label;
    struct slice name;
    bool want;
    struct slice want_normal;
};

static const struct legal_row legal_rows[] = {
    { "plain", SLICE_INIT("Example.ORG"), true, SLICE_INIT("example.org") },
    { "final dot", SLICE_INIT("example.org."), true, SLICE_INIT("example.org") },
    { "one label", SLICE_INIT("localhost"), true, SLICE_INIT("localhost") },
    { "any octet", SLICE_INIT("a\0b\\c \xff.X"), true, SLICE_INIT("a\0b\\c \xff.x") },
    { "empty", SLICE_INIT(""), false, SLICE_INIT("") },
    { "root", SLICE_INIT("."), false, SLICE_INIT("") },
    { "two dots", SLICE_INIT("a..b"), false, SLICE_INIT("") },
    { "leading dot", SLICE_INIT(".a"), false, SLICE_INIT("") },
    { "two final dots", SLICE_INIT("a.."), false, SLICE_INIT("") },
    { "label of 63", SLICE_INIT(L63 ".org"), true, SLICE_INIT(L63 ".org") },
    { "label of 64", SLICE_INIT(L63 "x.org"), false, SLICE_INIT("") },
    { "253 octets", SLICE_INIT(L63 "." L63 "." L63 "." L61), true, SLICE_INIT(L63 "." L63 "." L63 "." L61) },
    { "253 and a dot", SLICE_INIT(L63 "." L63 "." L63 "." L61 "."), true,
      SLICE_INIT(L63 "." L63 "." L63 "." L61) },
    { "254 octets", SLICE_INIT(L63 "." L63 "." L63 "." L61 "x"), false, SLICE_INIT("") },
};

static void names_are_legal_or_not(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(legal_rows); i++) {
        const struct legal_row *row = &legal_rows[i];
        struct buf b;

        buf_init(&b, 300);
        if (dns_name_legal(row->name) != row->want || dns_put_name(&b, row->name) != row->want ||
            !slice_eq(buf_slice(&b), row->want_normal)) {
            fail_msg("%s", row->label);
        }
        buf_fini(&b);
    }
}

struct address_row {
    const char *address;
    const char *zone;
    const char *want_reverse;
    const char *want_list; /* NULL: not legal */
};

static const struct address_row address_rows[] = {
    { "192.0.2.1", "List.Example.", "1.2.0.192.in-addr.arpa", "1.2.0.192.list.example" },
    { "127.0.0.2", "bl", "2.0.0.127.in-addr.arpa", "2.0.0.127.bl" },
    { "2001:db8::1", "bl.test", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test" },
    { "192.0.2.1", "", "1.2.0.192.in-addr.arpa", NULL },
    { "192.0.2.1", "a..b", "1.2.0.192.in-addr.arpa", NULL },
    { "2001:db8::1", L63 "." L63 "." L63, NULL, NULL },
};

static void addresses_make_reverse_and_list_names(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(address_rows); i++) {
        const struct address_row *row = &address_rows[i];
        struct addr a;
        struct buf b;

        assert_true(addr_parse_ip(slice_str(row->address), &a));
        buf_init(&b, 600);
        dns_put_reverse(&b, &a);
        if (row->want_reverse != NULL && !slice_eq(buf_slice(&b), slice_str(row->want_reverse))) {
            fail_msg("reverse of %s", row->address);
        }
        buf_reset(&b);
        if (dns_put_list_name(&b, &a, slice_str(row->zone)) != (row->want_list != NULL)) {
            fail_msg("%s in %s", row->address, row->zone);
        }
        if (row->want_list != NULL && !slice_eq(buf_slice(&b), slice_str(row->want_list))) {
            fail_msg("%s in %s", row->address, row->zone);
        }
        buf_fini(&b);
    }
}

static void an_address_that_is_not_set_makes_no_name(void **state UNUSED)
{
    struct addr none = { .family = ADDR_NONE };
    struct buf b;

    buf_init(&b, 600);
    dns_put_reverse(&b, &none);
    assert_int_equal(b.len, 0);
    assert_false(dns_put_list_name(&b, &none, SLICE("bl.test")));
    buf_fini(&b);
}

static void domains_make_list_names_within_the_limit(void **state UNUSED)
{
    struct buf b;

    buf_init(&b, 600);
    buf_put_str(&b, "before ");
    assert_true(dns_put_domain_list_name(&b, SLICE("Spam.Example."), SLICE("DBL.test")));
    assert_true(slice_eq(buf_slice(&b), SLICE("before spam.example.dbl.test")));
    assert_false(dns_put_domain_list_name(&b, SLICE(L63 "." L63 "." L63 "." L61), SLICE("dbl.test")));
    assert_false(dns_put_domain_list_name(&b, SLICE("a..b"), SLICE("dbl.test")));
    buf_fini(&b);
}

static void a_buf_that_is_too_small_is_noticed(void **state UNUSED)
{
    struct addr a;
    struct buf b;

    assert_true(addr_parse_ip(SLICE("192.0.2.1"), &a));
    buf_init(&b, 5);
    assert_false(dns_put_list_name(&b, &a, SLICE("bl.test")));
    assert_false(dns_put_name(&b, SLICE("example.org")));
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_legal_or_not),
        cmocka_unit_test(addresses_make_reverse_and_list_names),
        cmocka_unit_test(an_address_that_is_not_set_makes_no_name),
        cmocka_unit_test(domains_make_list_names_within_the_limit),
        cmocka_unit_test(a_buf_that_is_too_small_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
