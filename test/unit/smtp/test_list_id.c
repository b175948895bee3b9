/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_list_id.c - the name of a mailing list in List-Id.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/list_id.h"

static void the_id_is_read_from_its_brackets(void **state)
{
    static const char *const rows[][2] = {
        { "List-Id: Dev <dev.lists.example.org>\r\n", "dev.lists.example.org" },
        { "list-id: <Dev.Lists.Example.ORG>\r\n", "dev.lists.example.org" },
        { "List-Id: \"a <b.test> c\"\r\n <dev.example.org>\r\n", "dev.example.org" },
        { "List-Id: dev.example.org\r\n", "dev.example.org" },
        { "List-Id: \r\n\t< dev.example.org >\r\n", "dev.example.org" },
        { "List-Id: <b\xc3\xbc"
          "cher.example>\r\n",
          "xn--bcher-kva.example" },
        { "List-Id: <dev.example.org>\r\nList-Id: <x.test>\r\n", NULL },
        { "List-Id: <a b.example.org>\r\n", NULL },
        { "List-Id: <>\r\n", NULL },
        { "List-Id:\r\n", NULL },
        { "List-Id: <a.test;x=y>\r\n", NULL },
        { "List-Ids: <dev.example.org>\r\n", NULL },
        { "", NULL },
        { "Subject: x\r\n\r\nList-Id: <dev.example.org>\r\n", NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;
        bool found;

        buf_init(&out, 1000);
        found = list_id_read(slice_str(rows[i][0]), &out);
        if (found != (rows[i][1] != NULL) || (found && !slice_eq(buf_slice(&out), slice_str(rows[i][1])))) {
            fail_msg("%s: %d " SLICE_FMT, rows[i][0], found, SLICE_ARG(buf_slice(&out)));
        }
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_id_is_read_from_its_brackets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
