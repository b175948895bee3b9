/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_crypto.c - random numbers, SHA-256, session ids.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/crypto.h"

static void hashes_match_known_ones(void **state)
{
    static const uint8_t abc[SHA256_LEN] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                             0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                             0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
    uint8_t out[SHA256_LEN];
    struct sha256 *h;

    (void)state;
    sha256_of("abc", 3, out);
    assert_memory_equal(out, abc, SHA256_LEN);
    h = sha256_new();
    sha256_update(h, "a", 1);
    sha256_update(h, "bc", 2);
    sha256_final(h, out);
    assert_memory_equal(out, abc, SHA256_LEN);
    sha256_free(sha256_new());
    sha256_free(NULL);
}

/* RFC 4231, test cases 1, 2 and 6. */
static void keyed_hashes_match_known_ones(void **state)
{
    static const char one[20] = { 11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
                                  11, 11, 11, 11, 11, 11, 11, 11, 11, 11 };
    char six[131];
    const struct {
        struct slice key, text;
        const char *begins;
    } rows[] = {
        { slice_of(one, sizeof(one)), SLICE("Hi There"), "\xb0\x34\x4c\x61\xd8\xdb\x38\x53" },
        { SLICE("Jefe"), SLICE("what do ya want for nothing?"), "\x5b\xdc\xc1\x46\xbf\x60\x75\x4e" },
        { slice_of(six, sizeof(six)), SLICE("Test Using Larger Than Block-Size Key - Hash Key First"),
          "\x60\xe4\x31\x59\x1e\xe0\xb6\x7f" },
        { SLICE(""), SLICE(""), "\xb6\x13\x67\x9a\x08\x14\xd9\xec" },
    };

    (void)state;
    memset(six, 0xaa, sizeof(six));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t out[SHA256_LEN];

        hmac_sha256(rows[i].key, rows[i].text, out);
        assert_memory_equal(out, rows[i].begins, 8);
    }
}

static void random_octets_differ_and_small_ranges_are_covered(void **state)
{
    uint8_t a[3000], b[3000];
    unsigned seen[7] = { 0 };

    (void)state;
    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    crypto_after_fork();
    for (int i = 0; i < 7000; i++) {
        seen[random_below(7)]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
        assert_in_range(seen[i], 700, 1300);
    }
    assert_int_equal(random_below(1), 0);
}

static void ids_are_text_in_the_order_of_time(void **state)
{
    char a[ULID_LEN + 1], b[ULID_LEN + 1];

    (void)state;
    ulid_make(a);
    for (int i = 0; i < 5; i++) {
        usleep(2000);
        ulid_make(b);
        assert_int_equal(strlen(b), ULID_LEN);
        assert_int_equal(strspn(b, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), ULID_LEN);
        assert_true(memcmp(a, b, 10) < 0);
        memcpy(a, b, sizeof(a));
    }
}

static void secrets_are_compared(void **state)
{
    (void)state;
    assert_true(secret_eq(SLICE("token"), SLICE("token")));
    assert_false(secret_eq(SLICE("token"), SLICE("tokem")));
    assert_false(secret_eq(SLICE("token"), SLICE("toke")));
    assert_true(secret_eq(SLICE_NONE, SLICE_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_match_known_ones),
        { "B11: keyed hashes match known ones", keyed_hashes_match_known_ones, NULL, NULL, NULL },
        cmocka_unit_test(random_octets_differ_and_small_ranges_are_covered),
        cmocka_unit_test(ids_are_text_in_the_order_of_time),
        cmocka_unit_test(secrets_are_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
