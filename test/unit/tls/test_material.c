/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_material.c - certificates and keys as the supervisor reads them: what is refused, what is warned of,
 * and when contents have changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/loop.h"
#include "test/unit/tls/pairs.h"
#include "tls/tls.h"

#define DAY 86400L

static const struct pair_spec good = { "good", "DNS:mx.example", true, -DAY, 90 * DAY };

static struct config *config_of(const struct pair_paths *p)
{
    struct config *c = xcalloc(1, sizeof(*c));

    c->tls.enabled = true;
    c->tls.pair[0] = (struct config_keypair){ p->certificate, p->key, 7 };
    c->tls.pair_count = 1;
    c->tls.min_version = 0x0303;
    c->tls.ciphers = "";
    return c;
}

/* Loads and compares what was said; `want` NULL: nothing, and it loads. */
static struct tls_material *load(const struct pair_paths *p, const char *ciphers, const char *want,
                                 bool loads)
{
    struct config *c = config_of(p);
    struct config_errors errs = { 0 };
    struct tls_material *m;
    const char *said;

    c->tls.ciphers = ciphers;
    m = tls_material_load(c, &errs);
    said = errs.count > 0 ? errs.list[0].text : NULL;
    if ((m != NULL) != loads || (want == NULL) != (said == NULL) ||
        (want != NULL && strstr(said, want) == NULL)) {
        fail_msg("want `%s`, got `%s` (%s)", want != NULL ? want : "", said != NULL ? said : "",
                 m != NULL ? "loaded" : "refused");
    }
    config_errors_fini(&errs);
    free(c);
    return m;
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_good_pair_loads_and_tells_its_end(void **state)
{
    struct pair_paths p;
    struct tls_material *m;
    struct tls_expiry e[2];

    (void)state;
    pair_make(&good, &p);
    m = load(&p, "", NULL, true);
    assert_int_equal(tls_material_expiry(m, e, 2), 1);
    assert_true(e[0].not_after_s > wall_now_s() + 89 * DAY && e[0].not_after_s <= wall_now_s() + 90 * DAY);
    assert_int_equal(tls_material_expiry(m, e, 0), 0);
    tls_material_free(m);
    pair_remove("good");
}

static void dates_are_looked_at(void **state)
{
    static const struct {
        struct pair_spec spec;
        const char *want;
        bool loads;
    } rows[] = {
        { { "old", "DNS:a", true, -90 * DAY, -60 }, "has expired; it is still served", true },
        { { "soon", "DNS:a", true, -90 * DAY, 3 * DAY + 60 }, "expires in 3 days", true },
        { { "early", "DNS:a", true, DAY, 90 * DAY }, "is not valid yet", true },
        { { "later", "DNS:a", true, -DAY, 15 * DAY }, NULL, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair_paths p;

        pair_make(&rows[i].spec, &p);
        tls_material_free(load(&p, "", rows[i].want, rows[i].loads));
        pair_remove(rows[i].spec.name);
    }
}

static void what_is_no_pair_is_refused(void **state)
{
    const struct pair_spec other = { "other", "DNS:b", true, -DAY, 90 * DAY };
    struct pair_paths p, q, mixed, none;

    (void)state;
    pair_make(&good, &p);
    pair_make(&other, &q);
    mixed = p;
    memcpy(mixed.key, q.key, sizeof(mixed.key));
    assert_null(load(&mixed, "", "does not belong to the certificate", false));
    pair_paths(&none, "none");
    assert_null(load(&none, "", "cannot be read", false));
    write_text(q.certificate, "hello\n");
    assert_null(load(&q, "", "holds no PEM certificate", false));
    write_text(p.key, "");
    assert_null(load(&p, "", "cannot be read", false));
    write_text(p.key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    assert_null(load(&p, "", "without a password", false));
    pair_remove("good");
    pair_remove("other");
}

static void a_key_with_a_password_is_refused_without_asking(void **state)
{
    struct pair_paths p;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *f;

    (void)state;
    pair_make(&good, &p);
    f = fopen(p.key, "w");
    PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL);
    fclose(f);
    EVP_PKEY_free(key);
    assert_null(load(&p, "", "without a password", false));
    pair_remove("good");
}

static void ciphers_that_openssl_refuses_are_said_at_load(void **state)
{
    struct pair_paths p;

    (void)state;
    pair_make(&good, &p);
    assert_null(load(&p, "NONSENSE", "tls.ciphers: OpenSSL refuses the list", false));
    tls_material_free(load(&p, "ECDHE+AESGCM", NULL, true));
    pair_remove("good");
}

/* At a start there is nothing older that could serve on. */
static void what_cannot_be_used_is_left_out_at_a_start(void **state)
{
    struct config_errors errs = { .lenient = MATERIAL_ALL };
    struct pair_paths p, none;
    struct config *c;
    struct tls_material *m;
    struct tls_expiry e[2];

    (void)state;
    pair_make(&good, &p);
    pair_paths(&none, "none");
    c = config_of(&none);
    assert_null(tls_material_load(c, &errs));
    assert_int_equal(errs.fatal, 0);
    assert_int_equal(errs.missing[MATERIAL_TLS], 2);
    c->tls.pair[1] = (struct config_keypair){ p.certificate, p.key, 8 };
    c->tls.pair_count = 2;
    c->tls.client_ca = none.certificate;
    m = tls_material_load(c, &errs);
    assert_non_null(m);
    assert_int_equal(errs.fatal, 0);
    assert_int_equal(errs.missing[MATERIAL_TLS], 5);
    assert_int_equal(tls_material_expiry(m, e, 2), 1);
    assert_string_equal(e[0].path, p.certificate);
    tls_material_free(m);
    c->tls.ciphers = "NONSENSE"; /* the file's own mistake */
    assert_null(tls_material_load(c, &errs));
    assert_int_equal(errs.fatal, 1);
    config_errors_fini(&errs);
    free(c);
    pair_remove("good");
}

/* One pair that cannot be taken keeps what serves now, and does not hold up the other. */
static void each_pair_stands_for_itself(void **state)
{
    const struct pair_spec more = { "more", "DNS:more", true, -DAY, 90 * DAY };
    struct config_errors errs = { .lenient = MATERIAL_BIT(MATERIAL_TLS) };
    struct pair_paths p, q;
    struct tls_material *m;
    struct config *c, *next;

    (void)state;
    pair_make(&good, &p);
    pair_make(&more, &q);
    c = config_of(&p);
    c->tls.pair[1] = (struct config_keypair){ q.certificate, q.key, 8 };
    c->tls.pair_count = 2;
    c->tls_material = tls_material_load(c, &errs);
    next = config_of(&p);
    next->tls = c->tls;
    errs.previous = c;
    write_text(p.certificate, "half of one");
    m = tls_material_load(next, &errs);
    assert_int_equal(errs.missing[MATERIAL_TLS], 1);
    assert_true(tls_material_same(m, c->tls_material));
    assert_true(tls_material_changed(m)); /* it will be tried again */
    tls_material_free(m);
    pair_make(&more, &q); /* the other one is renewed */
    m = tls_material_load(next, &errs);
    assert_non_null(m);
    assert_false(tls_material_same(m, c->tls_material));
    tls_material_free(m);
    assert_false(tls_material_same(NULL, c->tls_material));
    tls_material_free(tls_material_ref(c->tls_material));
    tls_material_free(c->tls_material);
    assert_null(tls_material_ref(NULL));
    config_errors_fini(&errs);
    free(next);
    free(c);
    pair_remove("good");
    pair_remove("more");
}

static void a_file_of_authorities_is_read_and_watched(void **state)
{
    const struct pair_spec ca = { "ca", "DNS:ca", true, -DAY, 90 * DAY };
    struct config_errors errs = { 0 };
    struct pair_paths p, q;
    struct config *c;
    struct tls_material *m;

    (void)state;
    pair_make(&good, &p);
    pair_make(&ca, &q);
    c = config_of(&p);
    c->tls.client_ca = q.certificate;
    c->tls.client_ca_line = 9;
    m = tls_material_load(c, &errs);
    assert_non_null(m);
    assert_int_equal(errs.count, 0);
    assert_false(tls_material_changed(m));
    write_text(q.certificate, "no certificate\n");
    assert_true(tls_material_changed(m));
    tls_material_free(m);
    assert_null(tls_material_load(c, &errs));
    assert_int_equal(errs.list[0].line, 9);
    assert_non_null(strstr(errs.list[0].text, "holds no PEM certificate"));
    config_errors_fini(&errs);
    free(c);
    pair_remove("good");
    pair_remove("ca");
}

static void a_change_is_one_of_contents(void **state)
{
    const struct pair_spec next = { "next", "DNS:mx.example", true, -DAY, 90 * DAY };
    struct pair_paths p, q, link;
    struct tls_material *m;

    (void)state;
    pair_make(&good, &p);
    pair_make(&next, &q);
    pair_paths(&link, "link");
    assert_int_equal(symlink(p.certificate, link.certificate), 0);
    assert_int_equal(symlink(p.key, link.key), 0);
    m = load(&link, "", NULL, true);
    assert_false(tls_material_changed(m));
    assert_int_equal(utimensat(AT_FDCWD, p.certificate, NULL, 0), 0); /* touched only */
    assert_false(tls_material_changed(m));
    pair_remove("link");
    assert_true(tls_material_changed(m)); /* gone */
    assert_int_equal(symlink(q.certificate, link.certificate), 0);
    assert_int_equal(symlink(q.key, link.key), 0);
    assert_true(tls_material_changed(m)); /* turned around */
    tls_material_free(m);
    tls_material_free(NULL);
    pair_remove("link");
    pair_remove("good");
    pair_remove("next");
}

static int setup(void **state)
{
    (void)state;
    pairs_setup();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pairs_teardown();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_pair_loads_and_tells_its_end),
        { "A9: one that has expired is a warning", dates_are_looked_at, NULL, NULL, NULL },
        cmocka_unit_test(what_is_no_pair_is_refused),
        cmocka_unit_test(a_key_with_a_password_is_refused_without_asking),
        cmocka_unit_test(ciphers_that_openssl_refuses_are_said_at_load),
        { "A9: at a start what cannot be used is left out", what_cannot_be_used_is_left_out_at_a_start, NULL,
          NULL, NULL },
        { "A9: each pair stands for itself", each_pair_stands_for_itself, NULL, NULL, NULL },
        { "B6: tls.client_ca is read and watched", a_file_of_authorities_is_read_and_watched, NULL, NULL,
          NULL },
        cmocka_unit_test(a_change_is_one_of_contents),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
