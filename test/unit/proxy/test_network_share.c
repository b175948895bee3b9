/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_network_share.c - connections by network: /24 and /48, and nothing is left of those that are gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/network_share.h"

static struct addr ip(const char *text)
{
    struct addr a;

    assert_true(addr_parse_ip(slice_str(text), &a));
    return a;
}

static bool enter(struct network_share *n, const char *text, size_t most)
{
    struct addr a = ip(text);

    return network_share_enter(n, &a, most);
}

static void leave(struct network_share *n, const char *text)
{
    struct addr a = ip(text);

    network_share_leave(n, &a);
}

static void a_network_beyond_its_share_gets_no_more(void **state UNUSED)
{
    struct network_share n;

    network_share_init(&n);
    assert_true(enter(&n, "192.0.2.1", 2));
    assert_true(enter(&n, "192.0.2.200", 2));
    assert_false(enter(&n, "192.0.2.3", 2));
    assert_true(enter(&n, "192.0.3.3", 2));
    assert_true(enter(&n, "192.0.2.3", SIZE_MAX)); /* there is room again in the house */
    leave(&n, "192.0.2.9");
    leave(&n, "192.0.2.9");
    assert_true(enter(&n, "192.0.2.4", 2));
    leave(&n, "192.0.2.1");
    leave(&n, "192.0.2.1");
    leave(&n, "192.0.3.3");
    assert_int_equal(n.table.len, 0);
    network_share_fini(&n);
}

static void ipv6_is_counted_by_48(void **state UNUSED)
{
    struct network_share n;

    network_share_init(&n);
    assert_true(enter(&n, "2001:db8:1:1::1", 2));
    assert_true(enter(&n, "2001:db8:1:ffff::1", 2));
    assert_false(enter(&n, "2001:db8:1:2::1", 2));
    assert_true(enter(&n, "2001:db8:2:2::1", 2));
    assert_true(enter(&n, "32.1.13.184", 1)); /* the same octets, another family */
    network_share_fini(&n);                   /* with some in it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_beyond_its_share_gets_no_more),
        cmocka_unit_test(ipv6_is_counted_by_48),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
