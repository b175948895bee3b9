/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_address.c - the one spelling of a local part.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/rules/address.h"

static void quotes_go_where_they_are_not_needed(void **state)
{
    static const struct {
        const char *said, *want;
    } rows[] = {
        { "x", "x" },
        { "\"x\"", "x" },
        { "\"\\x\"", "x" },
        { "\"a.b\"", "a.b" },
        { "\"a.\\b+c\"", "a.b+c" },
        { "\"J\xc3\xb6rg\"", "J\xc3\xb6rg" },
        { "\"a b\"", "\"a b\"" },
        { "\"\\a\\ b\"", "\"a b\"" },
        { "\"a\\\"b\"", "\"a\\\"b\"" },
        { "\"a\\\\b\"", "\"a\\\\b\"" },
        { "\"a@b\"", "\"a@b\"" },
        { "\".a\"", "\".a\"" },
        { "\"a..b\"", "\"a..b\"" },
        { "\"\"", "\"\"" },
        { "a..b", "a..b" }, /* the parser takes it: it stays what it is */
        { "\"", "\"" },
        { "", "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char mem[100];
        struct buf b;

        buf_init_fixed(&b, mem, sizeof(mem));
        address_put_local(&b, slice_str(rows[i].said));
        assert_string_equal(mem, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "B8: quotes go where they are not needed",
          .test_func = quotes_go_where_they_are_not_needed },
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
