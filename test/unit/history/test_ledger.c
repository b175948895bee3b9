/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ledger.c - main.db: policies in force, counters by quarters and hours, the audit; a damaged file begins anew.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "history/ledger.h"
#include "test/unit/history/folder.h"

#define BEGIN_MS ((int64_t)1790000000000 / 3600000 * 3600000)

struct seen {
    unsigned rows;
    int64_t value, until;
    char name[64];
};

static void on_row(const struct ledger_row *row, void *arg)
{
    struct seen *s = arg;
    struct buf b;

    s->rows++;
    s->value += row->value;
    s->until = row->until_ms;
    buf_init_fixed(&b, s->name, sizeof(s->name));
    buf_put_slice(&b, row->name);
}

static struct seen counters(struct ledger *l, int64_t since_ms, int64_t until_ms)
{
    const struct ledger_span span = { since_ms, until_ms };
    struct seen s = { 0 };

    assert_true(ledger_each_counter(l, &span, on_row, &s));
    return s;
}

static void test_counters(void **state)
{
    struct ledger *l;

    (void)state;
    folder_make();
    l = ledger_open(folder);
    for (unsigned quarter = 0; quarter < 8; quarter++) {
        for (unsigned i = 0; i < 3; i++) {
            ledger_count(l, BEGIN_MS + quarter * LEDGER_QUARTER_MS + i, SLICE("accepted"), 10);
        }
        assert_true(ledger_flush(l, BEGIN_MS + quarter * LEDGER_QUARTER_MS));
    }
    assert_int_equal(counters(l, 0, INT64_MAX).value, 240);
    assert_int_equal(counters(l, BEGIN_MS, BEGIN_MS + LEDGER_QUARTER_MS).value, 30);
    for (unsigned i = 0; i < 3;
         i++) { /* nine days later they are hours; to fold them again changes nothing */
        assert_true(ledger_flush(l, BEGIN_MS + 9 * (int64_t)86400000));
        assert_int_equal(counters(l, 0, INT64_MAX).value, 240);
        assert_int_equal(counters(l, BEGIN_MS, BEGIN_MS + LEDGER_QUARTER_MS).value, 120);
    }
    ledger_close(&l);
    folder_remove();
}

static void test_policies(void **state)
{
    struct seen s = { 0 };
    struct ledger *l;

    (void)state;
    folder_make();
    l = ledger_open(folder);
    assert_true(ledger_policy(l, 1000, SLICE("4f2a91"), SLICE("policy: one")));
    assert_true(ledger_policy(l, 2000, SLICE("4f2a91"), SLICE("policy: one")));
    assert_true(ledger_policy(l, 3000, SLICE("9bc07e"), SLICE("policy: two")));
    ledger_close(&l);
    l = ledger_open(folder);
    assert_true(ledger_policy(l, 4000, SLICE("4f2a91"), SLICE("policy: one"))); /* back again: another row */
    assert_true(ledger_each_policy(l, on_row, &s));
    assert_int_equal(s.rows, 3);
    assert_int_equal(s.until, 0);
    assert_string_equal(s.name, "4f2a91");
    ledger_close(&l);
    folder_remove();
}

static void test_audit_and_damage(void **state)
{
    const struct ledger_span all = { 0, INT64_MAX };
    struct seen s = { 0 };
    struct ledger *l;
    struct buf path;
    int fd;

    (void)state;
    folder_make();
    l = ledger_open(folder);
    assert_true(ledger_audit(l, 5000, SLICE("jane"), SLICE("lists set sorbs monitor")));
    assert_true(ledger_each_audit(l, &all, on_row, &s));
    assert_int_equal(s.rows, 1);
    assert_string_equal(s.name, "jane");
    ledger_close(&l);
    buf_init(&path, 200);
    buf_putf(&path, "%s/main.db", folder);
    fd = open(path.ptr, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "junk junk junk junk junk", 24, 0), 24);
    close(fd);
    l = ledger_open(folder);
    ledger_count(l, BEGIN_MS, SLICE("accepted"), 7);
    assert_true(ledger_flush(l, BEGIN_MS));
    assert_int_equal(counters(l, 0, INT64_MAX).value, 7);
    assert_int_equal(folder_count("main.db.broken"), 1);
    ledger_close(&l);
    assert_int_equal(unlink(path.ptr),
                     0); /* a folder in its place: nothing is written, nothing is forgotten */
    assert_int_equal(mkdir(path.ptr, 0700), 0);
    l = ledger_open(folder);
    ledger_count(l, BEGIN_MS, SLICE("accepted"), 9);
    assert_false(ledger_flush(l, BEGIN_MS));
    assert_int_equal(rmdir(path.ptr), 0);
    assert_true(ledger_flush(l, BEGIN_MS));
    assert_int_equal(counters(l, 0, INT64_MAX).value, 9);
    ledger_close(&l);
    buf_fini(&path);
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_audit_and_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
