/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_spool.c - content comes back whatever its size and cuts; budgets are kept and given back.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/metrics.h"
#include "proxy/spool.h"

#define KIB 1024u
#define MIB (1024u * 1024u)

struct box {
    struct config conf;
    char dir[64];
};

static int set_up(void **state)
{
    struct box *b = xcalloc(1, sizeof(*b));

    memcpy(b->dir, "/tmp/spool-test-XXXXXX", 23);
    assert_non_null(mkdtemp(b->dir));
    b->conf.server.spool_dir = b->dir;
    b->conf.limits.memory = 64 * MIB;
    b->conf.limits.spool = 256 * MIB;
    b->conf.limits.spool_memory = 256 * KIB;
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct box *b = *state;

    assert_int_equal(metric_get(M_MEMORY_USED), 0);
    assert_int_equal(metric_get(M_SPOOL_USED), 0);
    assert_int_equal(rmdir(b->dir), 0); /* nothing is left there */
    free(b);
    return 0;
}

static char octet_at(uint64_t i)
{
    return (char)(i * 2654435761u >> 13);
}

static enum spool_status fill(struct spool *sp, uint64_t size, size_t piece)
{
    enum spool_status status = SPOOL_OK;
    char *mem = xmalloc(piece);

    for (uint64_t at = spool_size(sp); at < size && status == SPOOL_OK; at += piece) {
        size_t n = (size_t)min_u64(piece, size - at);

        for (size_t i = 0; i < n; i++) {
            mem[i] = octet_at(at + i);
        }
        status = spool_put(sp, mem, n);
    }
    free(mem);
    return status;
}

static void check(struct spool *sp, uint64_t from, size_t max)
{
    enum spool_status status;
    uint64_t at = from;

    for (;;) {
        struct slice s = spool_read(sp, at, max, &status);

        assert_int_equal(status, SPOOL_OK);
        assert_true(s.len <= max);
        if (s.len == 0) {
            break;
        }
        for (size_t i = 0; i < s.len; i++) {
            if (s.ptr[i] != octet_at(at + i)) {
                fail_msg("octet %llu differs", (unsigned long long)(at + i));
            }
        }
        at += s.len;
    }
    assert_int_equal(at, spool_size(sp));
}

static void content_comes_back_at_every_size_and_cut(void **state)
{
    static const uint64_t sizes[] = {
        0,      1,      4095,       4096,           4097, 65536,   262143,
        262144, 262145, 262144 * 2, 262144 * 2 + 1, MIB,  MIB + 1, 3 * MIB + 7
    };
    static const size_t pieces[] = { 1, 997, 65536, 1048576 };
    struct box *b = *state;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (size_t k = sizes[i] > MIB; k < ARRAY_LEN(pieces); k++) {
            struct spool *sp = spool_new(NULL, &b->conf);

            assert_int_equal(fill(sp, sizes[i], pieces[k]), SPOOL_OK);
            assert_int_equal(spool_size(sp), sizes[i]);
            assert_int_equal(spool_head(sp).len, min_u64(sizes[i], 256 * KIB));
            check(sp, 0, 65536);
            check(sp, sizes[i] / 2, 1000000);
            check(sp, sizes[i] > 10 ? sizes[i] - 10 : 0, 3);
            spool_free(&sp);
            assert_null(sp);
        }
    }
}

static void reading_backwards_and_appending_after_a_read_work(void **state)
{
    struct box *b = *state;
    struct spool *sp = spool_new(NULL, &b->conf);
    enum spool_status status;

    assert_int_equal(fill(sp, 2 * MIB, 5000), SPOOL_OK);
    for (uint64_t at = 2 * MIB; at > 100000; at -= 99991) {
        struct slice s = spool_read(sp, at - 1, 1, &status);

        assert_int_equal(s.len, 1);
        assert_true(s.ptr[0] == octet_at(at - 1));
    }
    assert_int_equal(fill(sp, 3 * MIB + 5, 5000), SPOOL_OK);
    check(sp, 0, 70000);
    spool_free(&sp);
}

static void memory_grows_in_steps_and_is_charged(void **state)
{
    struct box *b = *state;
    struct spool *sp = spool_new(NULL, &b->conf);

    assert_int_equal(metric_get(M_MEMORY_USED), 0);
    assert_int_equal(fill(sp, 1, 1), SPOOL_OK);
    assert_int_equal(metric_get(M_MEMORY_USED), 4 * KIB);
    assert_int_equal(fill(sp, 4097, 4096), SPOOL_OK);
    assert_int_equal(metric_get(M_MEMORY_USED), 16 * KIB);
    assert_int_equal(fill(sp, 17000, 4096), SPOOL_OK);
    assert_int_equal(metric_get(M_MEMORY_USED), 64 * KIB);
    assert_int_equal(fill(sp, 256 * KIB, 4096), SPOOL_OK);
    assert_int_equal(metric_get(M_MEMORY_USED), 256 * KIB);
    assert_int_equal(metric_get(M_SPOOL_USED), 0);
    assert_int_equal(fill(sp, 256 * KIB + 1, 4096), SPOOL_OK);
    assert_int_equal(metric_get(M_MEMORY_USED), 512 * KIB);
    assert_int_equal(fill(sp, MIB, 4096), SPOOL_OK);
    assert_int_equal(metric_get(M_MEMORY_USED), MIB);
    assert_int_equal(metric_get(M_SPOOL_USED), 0);
    assert_int_equal(fill(sp, 2 * MIB, 4096), SPOOL_OK);
    assert_int_equal(metric_get(M_MEMORY_USED), MIB + 256 * KIB);
    assert_true(metric_get(M_SPOOL_USED) >= 512 * KIB);
    spool_free(&sp);
}

static void memory_over_the_limit_fails_softly_and_stays_failed(void **state)
{
    struct box *b = *state;
    struct spool *one = spool_new(NULL, &b->conf);
    struct spool *two = spool_new(NULL, &b->conf);
    uint64_t hits = metric_get(M_LIMIT_MEMORY);

    b->conf.limits.memory = 70 * KIB;
    assert_int_equal(fill(one, 40000, 4096), SPOOL_OK);
    assert_true(spool_room(NULL, &b->conf, 0));
    assert_false(spool_room(NULL, &b->conf, 100000));
    assert_int_equal(fill(two, 40000, 4096), SPOOL_NO_MEMORY);
    assert_int_equal(spool_put(two, "x", 1), SPOOL_NO_MEMORY);
    assert_int_equal(metric_get(M_LIMIT_MEMORY) - hits, 2); /* the room, and once for the message */
    assert_true(spool_size(two) < 40000);
    spool_free(&one);
    spool_free(&two);
    b->conf.limits.memory = 3 * KIB;
    assert_false(spool_room(NULL, &b->conf, 0));
    b->conf.limits.memory = CONFIG_OFF;
    assert_true(spool_room(NULL, &b->conf, UINT64_C(1) << 40) == false); /* limits.spool */
    b->conf.limits.spool = CONFIG_OFF;
    assert_true(spool_room(NULL, &b->conf, UINT64_C(1) << 40));
}

static void files_over_the_limit_fail_softly(void **state)
{
    struct box *b = *state;
    struct spool *sp = spool_new(NULL, &b->conf);
    uint64_t hits = metric_get(M_LIMIT_SPOOL);

    b->conf.limits.spool = MIB;
    assert_int_equal(fill(sp, 3 * MIB, 65536), SPOOL_NO_SPACE);
    assert_int_equal(metric_get(M_LIMIT_SPOOL) - hits, 1);
    assert_true(metric_get(M_SPOOL_USED) <= MIB);
    spool_free(&sp);
}

static unsigned open_files(const char *dir)
{
    unsigned n = 0;

    for (int fd = 3; fd < 100; fd++) {
        char link[32], target[200];
        ssize_t len;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        len = readlink(link, target, sizeof(target));
        n += len > 0 && slice_starts(slice_of(target, (size_t)len), slice_str(dir));
    }
    return n;
}

/* A quarter of limits.memory in use is not plenty: the file, and nothing of it is left behind. */
static void without_plenty_of_memory_there_is_a_file(void **state)
{
    struct box *b = *state;
    struct spool *one = spool_new(NULL, &b->conf);
    struct spool *two = spool_new(NULL, &b->conf);

    b->conf.limits.memory = 3 * MIB; /* less than 768 KiB is plenty */
    assert_int_equal(fill(one, MIB, 65536), SPOOL_OK);
    assert_int_equal(metric_get(M_MEMORY_USED), MIB); /* head, two pieces, the block of the file */
    assert_int_equal(open_files(b->dir), 1);
    assert_int_equal(fill(two, 300 * KIB, 65536), SPOOL_OK);
    assert_int_equal(metric_get(M_MEMORY_USED), MIB + 512 * KIB); /* head, block */
    assert_int_equal(open_files(b->dir), 2);
    check(one, 0, 65536);
    check(two, 0, 65536);
    spool_free(&one);
    assert_int_equal(fill(two, MIB, 65536), SPOOL_OK); /* what has a file stays there */
    assert_int_equal(metric_get(M_MEMORY_USED), 512 * KIB);
    check(two, 0, 65536);
    spool_free(&two);
    assert_int_equal(open_files(b->dir), 0);
}

static void a_limit_that_was_set_is_exact(void **state)
{
    struct box *b = *state;
    struct spool *sp = spool_new(NULL, &b->conf);

    b->conf.limits.spool_memory = 16 * KIB;
    b->conf.limits.spool_memory_exact = true;
    b->conf.limits.memory = CONFIG_OFF;
    assert_int_equal(fill(sp, 16 * KIB, 5000), SPOOL_OK);
    assert_int_equal(open_files(b->dir), 0);
    assert_int_equal(metric_get(M_MEMORY_USED), 16 * KIB);
    assert_int_equal(fill(sp, 20000, 5000), SPOOL_OK);
    assert_int_equal(open_files(b->dir), 1);
    check(sp, 0, 65536);
    spool_free(&sp);
}

static void a_missing_folder_is_an_io_error(void **state)
{
    struct box *b = *state;
    struct spool *sp = spool_new(NULL, &b->conf);
    uint64_t hits = metric_get(M_SPOOL_ERRORS);
    enum spool_status status;

    b->conf.server.spool_dir = "/nonexistent/spool";
    assert_int_equal(fill(sp, 2 * MIB, 65536), SPOOL_IO);
    assert_int_equal(metric_get(M_SPOOL_ERRORS) - hits, 1);
    assert_int_equal(spool_read(sp, 0, 10, &status).len, 0);
    assert_int_equal(status, SPOOL_IO);
    spool_free(&sp);
    spool_free(&sp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(content_comes_back_at_every_size_and_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reading_backwards_and_appending_after_a_read_work, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_grows_in_steps_and_is_charged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_over_the_limit_fails_softly_and_stays_failed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(files_over_the_limit_fail_softly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_plenty_of_memory_there_is_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_limit_that_was_set_is_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_folder_is_an_io_error, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
