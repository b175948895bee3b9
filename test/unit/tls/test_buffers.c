/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_buffers.c - the region of record buffers, asked through OpenSSL's own functions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tls/tls_priv.h"

#include <openssl/crypto.h>

#define RECORD ((size_t)17000)
#define ALL 2048U
#define KEPT 32U

static void *mem[ALL + 50];

static void take(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mem[i] = OPENSSL_malloc(RECORD);
        assert_non_null(mem[i]);
    }
}

static void give(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        OPENSSL_free(mem[i]);
    }
}

static void only_what_is_as_large_as_a_record_is_a_piece(void **state)
{
    static const struct {
        size_t size, pieces;
    } c[] = { { 1, 0 }, { 6800, 0 }, { 16383, 0 }, { 16384, 1 }, { 17000, 1 }, { 20480, 1 }, { 20481, 0 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        void *at = OPENSSL_malloc(c[i].size);

        assert_non_null(at);
        memset(at, 1, c[i].size);
        assert_int_equal(tls_buffers_in_use(), c[i].pieces);
        OPENSSL_free(at);
        assert_int_equal(tls_buffers_in_use(), 0);
    }
    assert_null(OPENSSL_malloc(0));
    OPENSSL_free(NULL);
}

static void the_piece_freed_last_is_the_next(void **state)
{
    (void)state;
    take(3);
    void *last = mem[1];

    OPENSSL_free(mem[0]);
    OPENSSL_free(mem[1]);
    mem[0] = OPENSSL_malloc(RECORD);
    assert_ptr_equal(mem[0], last);
    OPENSSL_free(mem[0]);
    OPENSSL_free(mem[2]);
    assert_int_equal(tls_buffers_in_use(), 0);
}

static void a_piece_may_grow_out_of_the_region_and_keeps_its_octets(void **state)
{
    char *at = OPENSSL_malloc(RECORD);

    (void)state;
    memset(at, 'x', RECORD);
    at = OPENSSL_realloc(at, RECORD + 100);
    assert_int_equal(tls_buffers_in_use(), 1);
    at = OPENSSL_realloc(at, 100000);
    assert_int_equal(tls_buffers_in_use(), 0);
    for (size_t i = 0; i < RECORD; i++) {
        assert_int_equal(at[i], 'x');
    }
    at = OPENSSL_realloc(at, 10);
    assert_int_equal(at[9], 'x');
    OPENSSL_free(at);
    at = OPENSSL_malloc(RECORD);
    assert_null(OPENSSL_realloc(at, 0));
    at = OPENSSL_realloc(NULL, 10);
    assert_non_null(at);
    assert_null(OPENSSL_realloc(at, 0));
    assert_int_equal(tls_buffers_in_use(), 0);
}

static void more_than_there_are_pieces_is_from_malloc(void **state)
{
    (void)state;
    take(ARRAY_LEN(mem));
    assert_int_equal(tls_buffers_in_use(), ALL);
    for (size_t i = 0; i < ARRAY_LEN(mem); i++) {
        memcpy(mem[i], &i, sizeof(i));
    }
    for (size_t i = 0; i < ARRAY_LEN(mem); i++) {
        assert_memory_equal(mem[i], &i, sizeof(i));
    }
    give(ARRAY_LEN(mem));
    assert_int_equal(tls_buffers_in_use(), 0);
}

/* A page that was given back is zero when it is touched again. */
static void many_free_pieces_give_their_memory_back(void **state)
{
    size_t kept = 0;

    (void)state;
    take(ALL);
    for (size_t i = 0; i < ALL; i++) {
        memset(mem[i], 'x', RECORD);
    }
    give(ALL);
    take(ALL);
    for (size_t i = 0; i < ALL; i++) {
        kept += *(const char *)mem[i] == 'x' ? 1 : 0;
    }
    assert_int_equal(kept, KEPT);
    give(ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_as_large_as_a_record_is_a_piece),
        cmocka_unit_test(the_piece_freed_last_is_the_next),
        cmocka_unit_test(a_piece_may_grow_out_of_the_region_and_keeps_its_octets),
        cmocka_unit_test(more_than_there_are_pieces_is_from_malloc),
        cmocka_unit_test(many_free_pieces_give_their_memory_back),
    };

    tls_use_buffers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
