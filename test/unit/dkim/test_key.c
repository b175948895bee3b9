/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_key.c - RSA keys in DER, byte by byte, and the limits on their numbers.  Records as texts: test_verify.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/dkim/crypto.h"
#include "test/unit/dkim/letters.h"

static struct arena arena;

static int fresh_arena(void **state)
{
    (void)state;
    arena_fini(&arena);
    arena_init(&arena, 1u << 20);
    return 0;
}

static void put_element(struct buf *out, int type, struct slice content)
{
    buf_put_char(out, (char)type);
    if (content.len >= 0x100) {
        buf_put_char(out, (char)0x82);
        buf_put_char(out, (char)(content.len >> 8));
    } else if (content.len >= 0x80) {
        buf_put_char(out, (char)0x81);
    }
    buf_put_char(out, (char)content.len);
    buf_put_slice(out, content);
}

/* An RSAPublicKey: a modulus of `bits` bits, odd, and the exponent as given. */
static struct slice rsa_key(unsigned bits, struct slice exponent)
{
    static struct buf inner, out;
    char modulus[1100];
    size_t len = (bits + 7) / 8;
    bool sign = bits % 8 == 0; /* a zero octet keeps it positive */

    memset(modulus, 0x55, sizeof(modulus));
    modulus[0] = 0;
    modulus[sign] = (char)(1u << ((bits + 7) % 8));
    buf_fini(&inner);
    buf_init(&inner, 4096);
    buf_fini(&out);
    buf_init(&out, 4096);
    put_element(&inner, 0x02, slice_of(modulus, len + sign));
    put_element(&inner, 0x02, exponent);
    put_element(&out, 0x30, buf_slice(&inner));
    return buf_slice(&out);
}

static enum dkim_reason read_der(struct slice der, struct dkim_key *key)
{
    enum dkim_reason reason;
    struct buf record;

    buf_init(&record, 16384);
    buf_put_str(&record, "p=");
    letter_base64(&record, der.ptr, der.len);
    reason = dkim_key_read(buf_slice(&record), &arena, key);
    buf_fini(&record);
    return reason == DKIM_VERIFIED ? key->data : reason;
}

static void sizes_and_exponents_are_judged_before_any_arithmetic(void **state)
{
    static const struct {
        unsigned bits;
        struct slice exponent;
        enum dkim_reason want;
    } rows[] = {
        { 1024, SLICE_INIT("\x01\x00\x01"), DKIM_VERIFIED },
        { 1023, SLICE_INIT("\x01\x00\x01"), DKIM_KEY_SHORT },
        { 1025, SLICE_INIT("\x03"), DKIM_VERIFIED },
        { 512, SLICE_INIT("\x03"), DKIM_KEY_SHORT },
        { 16, SLICE_INIT("\x03"), DKIM_KEY_SHORT },
        { 4096, SLICE_INIT("\x00\xff\xff\xff\xff"), DKIM_VERIFIED },
        { 4097, SLICE_INIT("\x03"), DKIM_KEY_LONG },
        { 8192, SLICE_INIT("\x03"), DKIM_KEY_LONG },
        { 2048, SLICE_INIT("\x01"), DKIM_KEY_EXPONENT },
        { 2048, SLICE_INIT("\x02"), DKIM_KEY_EXPONENT },
        { 2048, SLICE_INIT("\x01\x00\x00"), DKIM_KEY_EXPONENT },
        { 2048, SLICE_INIT("\x01\x00\x00\x00\x01"), DKIM_KEY_EXPONENT }, /* 2^32 + 1 */
        { 2048, SLICE_INIT("\x00\x80\x00\x00\x01"), DKIM_VERIFIED },
        { 2048, SLICE_INIT("\x00"), DKIM_KEY_DATA },
        { 2048, SLICE_INIT("\x00\x03"), DKIM_KEY_DATA }, /* not minimal */
        { 2048, SLICE_INIT("\x80\x01"), DKIM_KEY_DATA }, /* negative */
        { 2048, SLICE_INIT(""), DKIM_KEY_DATA },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct dkim_key key;
        enum dkim_reason got;

        (void)fresh_arena(state);
        got = read_der(rsa_key(rows[i].bits, rows[i].exponent), &key);
        if (got != rows[i].want) {
            fail_msg("%u bits, row %zu: %s", rows[i].bits, i, dkim_reason_text(got));
        }
        if (got != DKIM_KEY_DATA) {
            assert_int_equal(key.bits, rows[i].bits);
        }
    }
}

static void trap_a_key_with_a_long_exponent_costs_nothing(void **state)
{
    char exponent[257];
    struct dkim_key key;

    (void)state;
    memset(exponent, 0x7f, sizeof(exponent));
    assert_int_equal(read_der(rsa_key(3072, slice_of(exponent, sizeof(exponent))), &key), DKIM_KEY_EXPONENT);
}

static void an_even_modulus_is_no_key(void **state)
{
    struct slice der = rsa_key(2048, SLICE("\x03"));
    char copy[4096];
    struct dkim_key key;

    (void)state;
    memcpy(copy, der.ptr, der.len);
    copy[der.len - 4] = 0x54; /* last octet of the modulus; three follow */
    assert_int_equal(read_der(slice_of(copy, der.len), &key), DKIM_KEY_DATA);
}

static void both_forms_of_a_real_key_give_the_same_numbers(void **state)
{
    static const enum letter_key keys[] = { LETTER_RSA_1024, LETTER_RSA_2048, LETTER_RSA_4096 };

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        unsigned char *spki = NULL, *pkcs1 = NULL;
        int spki_len = i2d_PUBKEY(letter_key(keys[i]), &spki);
        int pkcs1_len = i2d_PublicKey(letter_key(keys[i]), &pkcs1);
        struct dkim_key a, b;

        (void)fresh_arena(state);
        assert_int_equal(read_der(slice_of(spki, (size_t)spki_len), &a), DKIM_VERIFIED);
        assert_int_equal(read_der(slice_of(pkcs1, (size_t)pkcs1_len), &b), DKIM_VERIFIED);
        assert_true(slice_eq(a.modulus, b.modulus) && slice_eq(a.exponent, b.exponent));
        assert_int_equal(a.bits, EVP_PKEY_get_bits(letter_key(keys[i])));
        OPENSSL_free(spki);
        OPENSSL_free(pkcs1);
    }
}

/* Each octet changed, each length cut, one octet more: an answer, and never a key that OpenSSL cannot make. */
static void every_damage_to_a_key_is_survived(void **state)
{
    unsigned char *der = NULL, copy[1024];
    size_t len = (size_t)i2d_PUBKEY(letter_key(LETTER_RSA_1024), &der);
    static const uint8_t hash[DKIM_HASH_LEN];
    struct dkim_key key;

    for (size_t i = 0; i < len; i++) {
        for (unsigned flip = 1; flip < 256; flip <<= 1) {
            (void)fresh_arena(state);
            memcpy(copy, der, len);
            copy[i] ^= (unsigned char)flip;
            if (read_der(slice_of(copy, len), &key) == DKIM_VERIFIED) {
                assert_int_equal(dkim_crypto_verify(&key, hash, slice_of(copy, 128)), DKIM_CRYPTO_BAD);
            }
        }
        (void)fresh_arena(state);
        assert_int_not_equal(read_der(slice_of(der, i), &key), DKIM_VERIFIED);
    }
    memcpy(copy, der, len);
    copy[len] = 0;
    assert_int_equal(read_der(slice_of(copy, len + 1), &key), DKIM_KEY_DATA); /* nothing may be left over */
    OPENSSL_free(der);
}

static void keys_and_records_have_a_longest(void **state)
{
    struct dkim_key key;
    struct buf record;

    (void)state;
    buf_init(&record, 65536);
    buf_put_str(&record, "p=");
    for (int i = 0; i < 4096; i++) {
        buf_put_char(&record, 'A');
    }
    assert_int_equal(dkim_key_read(buf_slice(&record), &arena, &key), DKIM_VERIFIED);
    assert_int_equal(key.data, DKIM_KEY_DATA); /* decoded, and no DER */
    buf_put_str(&record, "AAAA");
    assert_int_equal(dkim_key_read(buf_slice(&record), &arena, &key), DKIM_VERIFIED);
    assert_int_equal(key.data, DKIM_KEY_DATA);
    buf_reset(&record);
    for (size_t size = DKIM_RECORD_MAX; size <= DKIM_RECORD_MAX + 1; size++) {
        buf_reset(&record);
        buf_put_str(&record, "p=;n=");
        while (record.len < size) {
            buf_put_char(&record, 'n');
        }
        assert_int_equal(dkim_key_read(buf_slice(&record), &arena, &key),
                         size == DKIM_RECORD_MAX ? DKIM_KEY_REVOKED : DKIM_KEY_SYNTAX);
    }
    buf_fini(&record);
}

static void ed25519_keys_have_32_octets(void **state)
{
    static const struct {
        const char *record;
        enum dkim_reason want;
    } rows[] = {
        { "k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", DKIM_VERIFIED },
        { "k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", DKIM_KEY_DATA },
        { "k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", DKIM_KEY_DATA },
    };
    static const uint8_t hash[DKIM_HASH_LEN];
    static const char signature[64];
    struct dkim_key key;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(dkim_key_read(slice_str(rows[i].record), &arena, &key), DKIM_VERIFIED);
        assert_int_equal(key.data, rows[i].want);
    }
    /* a point of small order and a signature of zeros: whatever OpenSSL says, it says so without an error left over */
    assert_int_equal(dkim_key_read(slice_str(rows[0].record), &arena, &key), DKIM_VERIFIED);
    assert_int_not_equal(dkim_crypto_verify(&key, hash, slice_of(signature, 64)), DKIM_CRYPTO_UNABLE);
    assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sizes_and_exponents_are_judged_before_any_arithmetic, fresh_arena),
        cmocka_unit_test_setup(trap_a_key_with_a_long_exponent_costs_nothing, fresh_arena),
        cmocka_unit_test_setup(an_even_modulus_is_no_key, fresh_arena),
        cmocka_unit_test_setup(both_forms_of_a_real_key_give_the_same_numbers, fresh_arena),
        cmocka_unit_test_setup(every_damage_to_a_key_is_survived, fresh_arena),
        cmocka_unit_test_setup(keys_and_records_have_a_longest, fresh_arena),
        cmocka_unit_test_setup(ed25519_keys_have_32_octets, fresh_arena),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    arena_fini(&arena);
    return failed;
}
