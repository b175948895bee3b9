/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_verify.c - whole messages through the verifier: what must verify, and every trap that other verifiers fell into.
 *
 * Each message is judged in chunks of 1, 2, 3, 7 and 4,096 octets and at once, with keys before, after and between the
 * body; the verdicts must be the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/dkim/header.h"
#include "test/unit/dkim/letters.h"

static const char header[] = "From: Joe <joe@example.org>\r\n"
                             "To: Suzie Q\r\n"
                             "\t<suzie@example.net>\r\n"
                             "Subject:   Is dinner   ready?  \r\n"
                             "Date: Fri, 11 Jul 2003 21:00:37 -0700\r\n"
                             "Message-ID: <20030712040037.46341@example.org>\r\n";

static const char body[] = "Hi.\r\n\r\nWe lost the game.  Are you \t hungry yet? \r\n\r\nJoe.\r\n";

static struct letter_zone zone;

static struct slice joined(struct slice a, struct slice b)
{
    struct buf out;

    buf_init(&out, LETTER_MAX);
    buf_put_slice(&out, a);
    buf_put_slice(&out, b);
    return letter_keep(&out);
}

static struct slice letter(const char *more_fields, struct slice text)
{
    struct slice top = joined(slice_str(more_fields), slice_str(header));

    return joined(joined(top, SLICE("\r\n")), text);
}

static struct slice plain(void)
{
    return letter("", slice_str(body));
}

static int make_zone(void **state)
{
    (void)state;
    letter_zone_put(&zone, SLICE("mail._domainkey.example.org"),
                    letter_record("v=DKIM1; k=rsa; ", LETTER_RSA_2048));
    letter_zone_put(&zone, SLICE("ed._domainkey.example.org"),
                    letter_record("v=DKIM1; k=ed25519; ", LETTER_ED25519));
    letter_zone_put(&zone, SLICE("r1024._domainkey.example.org"),
                    letter_record("v=DKIM1; ", LETTER_RSA_1024));
    letter_zone_put(&zone, SLICE("r768._domainkey.example.org"), letter_record("v=DKIM1; ", LETTER_RSA_768));
    letter_zone_put(&zone, SLICE("strict._domainkey.example.org"),
                    letter_record("v=DKIM1; t=s; ", LETTER_RSA_2048));
    letter_zone_put(&zone, SLICE("test._domainkey.example.org"),
                    letter_record("v=DKIM1; t=y; ", LETTER_RSA_2048));
    letter_zone_put(&zone, SLICE("other._domainkey.example.org"),
                    letter_record("v=DKIM1; ", LETTER_RSA_OTHER));
    letter_zone_put(&zone, SLICE("mail._domainkey.xn--bcher-kva.example"),
                    letter_record("v=DKIM1; ", LETTER_RSA_2048));
    letter_zone_put(&zone, SLICE("mail._domainkey.junk.example"),
                    letter_record("v=DKIM1; ", LETTER_RSA_OTHER));
    letter_zone_put(&zone, SLICE("mail._domainkey.sub.example.org"),
                    letter_record("v=DKIM1; ", LETTER_RSA_2048));
    return 0;
}

/* Judges in every way; all must give this reason to the first verdict.  The last verifier is the caller's. */
static struct dkim *judge(struct slice message, struct letter_how how, enum dkim_reason want)
{
    static const size_t chunks[] = { 1, 2, 3, 7, 4096, 0 };
    struct dkim *d = NULL;

    how.zone = how.zone ? how.zone : &zone;
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        for (enum letter_order o = LETTER_KEYS_FIRST; o < LETTER_ORDER_COUNT; o++) {
            how.chunk = chunks[i];
            how.order = o;
            dkim_free(d);
            d = letter_judge(message, &how);
            assert_int_not_equal(dkim_count(d), 0);
            assert_string_equal(dkim_reason_text(dkim_verdict_at(d, 0)->reason), dkim_reason_text(want));
            assert_int_equal(dkim_verdict_at(d, 0)->result, dkim_reason_result(want));
        }
    }
    return d;
}

static void expect(struct slice message, enum dkim_reason want)
{
    dkim_free(judge(message, (struct letter_how){ 0 }, want));
}

/* Signs the plain letter and expects this. */
static void expect_signed(struct letter_signature how, enum dkim_reason want)
{
    expect(letter_sign(plain(), how), want);
}

/* The message with the first `from` in it replaced. */
static struct slice replaced(struct slice message, const char *from, const char *to)
{
    const char *at = memmem(message.ptr, message.len, from, strlen(from));
    size_t before;

    assert_non_null(at);
    before = (size_t)(at - message.ptr);
    return joined(joined(slice_take(message, before), slice_str(to)),
                  slice_skip(message, before + strlen(from)));
}

/* ---- what verifies ---- */

static void every_algorithm_and_canonicalisation_verifies(void **state)
{
    static const struct {
        enum letter_key key;
        const char *selector;
    } keys[] = { { LETTER_RSA_2048, "mail" }, { LETTER_RSA_1024, "r1024" }, { LETTER_ED25519, "ed" } };

    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
        for (unsigned c = 0; c < 4; c++) {
            expect_signed((struct letter_signature){ .key = keys[k].key,
                                                     .s = keys[k].selector,
                                                     .header = c & 1 ? DKIM_RELAXED : DKIM_SIMPLE,
                                                     .body = c & 2 ? DKIM_RELAXED : DKIM_SIMPLE },
                          DKIM_VERIFIED);
        }
    }
}

static void the_verdict_says_what_was_verified(void **state)
{
    struct slice message =
        letter_sign(plain(), (struct letter_signature){
                                 .key = LETTER_RSA_2048,
                                 .s = "MAIL",
                                 .d = "Example.ORG",
                                 .header = DKIM_RELAXED,
                                 .tags = "i=joe=2Bx@Sub.example.org; t=1000; x=3000; z=From:who|To:whom; " });
    struct dkim *d = judge(message, (struct letter_how){ .settings.now_s = 2000 }, DKIM_VERIFIED);
    const struct dkim_verdict *v = dkim_verdict_at(d, 0);

    (void)state;
    assert_true(slice_eq(v->domain, SLICE("example.org")));
    assert_true(slice_eq(v->selector, SLICE("mail")));
    assert_true(slice_eq(v->identity, SLICE("joe+x@sub.example.org")));
    assert_int_equal(v->algorithm, DKIM_RSA_SHA256);
    assert_int_equal(v->header_canon, DKIM_RELAXED);
    assert_int_equal(v->body_canon, DKIM_SIMPLE);
    assert_int_equal(v->signed_s, 1000);
    assert_int_equal(v->expires_s, 3000);
    assert_int_equal(v->key_bits, 2048);
    assert_int_equal(v->position, 0);
    assert_int_equal(strlen(v->signature), 8);
    assert_true(v->examined);
    assert_false(v->testing);
    dkim_free(d);
}

static void a_message_without_a_signature_wants_nothing(void **state)
{
    struct letter_how how = { .zone = &zone };
    struct dkim *d = letter_judge(plain(), &how);

    (void)state;
    assert_int_equal(dkim_count(d), 0);
    assert_null(dkim_best(d, NULL, NULL));
    assert_false(dkim_needs_body(d));
    dkim_free(d);
}

static void a_changed_body_or_header_fails(void **state)
{
    struct slice message = letter_sign(plain(), (struct letter_signature){ .body = DKIM_RELAXED });

    (void)state;
    expect(replaced(message, "lost", "won "), DKIM_BODY_CHANGED);
    expect(replaced(message, "Suzie", "Susie"), DKIM_HEADER_CHANGED);
    expect(replaced(message, "s=mail", "s=other"), DKIM_HEADER_CHANGED);
    expect(replaced(message, "c=simple/relaxed", "c=relaxed/relaxed"), DKIM_HEADER_CHANGED);
}

static void relaxed_forms_survive_what_they_are_for(void **state)
{
    struct slice message =
        letter_sign(plain(), (struct letter_signature){ .header = DKIM_RELAXED, .body = DKIM_RELAXED });

    (void)state;
    message =
        replaced(message, "Subject:   Is dinner   ready?  \r\n", "SUBJECT \t:Is\r\n dinner \t ready?\r\n");
    message = replaced(message, "game.  Are", "game. \t Are");
    message = replaced(message, "Joe.\r\n", "Joe. \t\r\n \r\n\r\n\t\r\n");
    expect(message, DKIM_VERIFIED);
}

static void simple_forms_do_not(void **state)
{
    struct slice message = letter_sign(plain(), (struct letter_signature){ .header = DKIM_SIMPLE });

    (void)state;
    expect(replaced(message, "Subject:   Is", "Subject:  Is"), DKIM_HEADER_CHANGED);
    expect(replaced(message, "game.  Are", "game. Are"), DKIM_BODY_CHANGED);
    expect(replaced(message, "Joe.\r\n", "Joe.\r\n\r\n\r\n"),
           DKIM_VERIFIED); /* lines at the end do not count */
}

/* ---- traps: hashes and signatures ---- */

static void trap_a_body_hash_of_31_32_or_65_octets_is_compared_by_length_first(void **state)
{
    static const char digits[] =
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    static const struct {
        size_t digits; /* of base64, with padding */
        const char *padding;
        enum dkim_reason want;
    } rows[] = {
        { 42, "==", DKIM_BAD_BODY_HASH }, /* 31 octets */
        { 43, "=", DKIM_BODY_CHANGED },   /* 32, another hash */
        { 44, "", DKIM_BAD_BODY_HASH },   /* 33 */
        { 87, "=", DKIM_BAD_BODY_HASH },  /* 65 */
        { 0, "", DKIM_BAD_BODY_HASH },
    };

    (void)state;
    for (int ed = 0; ed < 2; ed++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            struct slice bh = joined(slice_of(digits, rows[i].digits), slice_str(rows[i].padding));

            expect_signed((struct letter_signature){ .bh = bh.len ? bh.ptr : "",
                                                     .key = ed ? LETTER_ED25519 : LETTER_RSA_2048,
                                                     .s = ed ? "ed" : "mail" },
                          rows[i].want);
        }
    }
}

static void trap_ed25519_signs_the_hash_of_the_header_and_not_the_header(void **state)
{
    (void)state;
    expect_signed((struct letter_signature){ .key = LETTER_ED25519, .s = "ed" }, DKIM_VERIFIED);
    expect_signed((struct letter_signature){ .key = LETTER_ED25519, .s = "ed", .sign_hash = true },
                  DKIM_HEADER_CHANGED);
}

static void trap_a_signature_of_the_wrong_length_does_not_verify(void **state)
{
    struct slice ed = letter_sign(plain(), (struct letter_signature){ .key = LETTER_ED25519, .s = "ed" });
    struct slice rsa =
        letter_sign(plain(), (struct letter_signature){ .key = LETTER_RSA_1024, .s = "r1024" });
    size_t b = (size_t)((const char *)memmem(ed.ptr, ed.len, "\tb=", 3) - ed.ptr);

    (void)state;
    expect(joined(joined(slice_take(ed, b + 3), SLICE("AAAA")), slice_skip(ed, b + 3)), DKIM_BAD_SIGNATURE);
    b = (size_t)((const char *)memmem(rsa.ptr, rsa.len, "\tb=", 3) - rsa.ptr);
    expect(joined(joined(slice_take(rsa, b + 3), SLICE("AAAA")), slice_skip(rsa, b + 3)),
           DKIM_HEADER_CHANGED);
    expect(replaced(rsa, "s=r1024", "s=mail"), DKIM_HEADER_CHANGED); /* 128 octets, and a key of 256 */
}

static void trap_the_value_of_b_is_left_out_with_the_white_space_around_it(void **state)
{
    static const char *const before[] = { " ", "", "\r\n ", " n=b=x; " };
    static const char *const behind[] = {
        NULL, " ", "\r\n\t", ";", " ; t=5", "\r\n ;\r\n\tn=b=; q=dns/txt;"
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(before); i++) {
        for (size_t k = 0; k < ARRAY_LEN(behind); k++) {
            for (enum dkim_canon c = DKIM_SIMPLE; c < DKIM_CANON_COUNT; c++) {
                if (i == 3 && k == 5) {
                    continue; /* n= would stand twice */
                }
                expect_signed(
                    (struct letter_signature){ .header = c, .before = before[i], .behind = behind[k] },
                    DKIM_VERIFIED);
            }
        }
    }
}

static void trap_b_that_is_folded_anywhere_verifies(void **state)
{
    struct slice message =
        letter_sign(plain(), (struct letter_signature){ .key = LETTER_ED25519, .s = "ed" });
    size_t at = (size_t)((const char *)memmem(message.ptr, message.len, "\tb=", 3) - message.ptr) + 3;

    (void)state;
    for (size_t i = 0; i < 88; i += 9) {
        expect(joined(joined(slice_take(message, at + i), SLICE(" \r\n\t ")), slice_skip(message, at + i)),
               DKIM_VERIFIED);
    }
}

/* ---- traps: the body ---- */

static void trap_the_body_does_not_take_the_canonicalisation_of_the_header(void **state)
{
    (void)state;
    /* "c=relaxed" alone: the body's is simple (RFC 6376 3.5) */
    expect_signed((struct letter_signature){ .c = "relaxed", .header = DKIM_RELAXED, .body = DKIM_SIMPLE },
                  DKIM_VERIFIED);
    expect_signed((struct letter_signature){ .c = "relaxed", .header = DKIM_RELAXED, .body = DKIM_RELAXED },
                  DKIM_BODY_CHANGED);
    expect_signed((struct letter_signature){ .c = "simple", .header = DKIM_SIMPLE, .body = DKIM_SIMPLE },
                  DKIM_VERIFIED);
    expect_signed(
        (struct letter_signature){ .c = "relaxed/simple", .header = DKIM_RELAXED, .body = DKIM_RELAXED },
        DKIM_BODY_CHANGED);
}

static void trap_bodies_of_blank_lines_blanks_or_without_a_last_line_end_verify_in_any_chunks(void **state)
{
    static const char *const bodies[] = {
        "",
        "\r\n",
        "\r\n\r\n\r\n",
        " ",
        " \t ",
        "  \r\n",
        "  \t \r\n \r\n",
        "no line end",
        "blanks at the end  ",
        "blanks \t\r\nand lines\r\n \r\n\t\r\n",
        "\r\n\r\nblank lines first",
        "\r",
        "\n",
        "a\rb\nc\r\rd\n\ne",
        "bare CR at the end\r",
        "bare LF at the end\n",
        " \r \r\n \r",
        "a \r\r\n\r\n",
        "\r\n \r\n\n \r\n",
        "tab\tand  blanks   between\t\twords \t x\r\n",
        "dots\r\n.\r\n..\r\n...x\r\n",
        "0123456 0123456  0123456\t01234567 \r\n\r\n\r\n0123456 \t\r\n \r\nx\r\n",
    };
    static const char zeros[] = "NUL \0\0 and 8-bit \xc3\xa4 \xff\xfe \0 \r\n\0";

    (void)state;
    for (enum dkim_canon c = DKIM_SIMPLE; c < DKIM_CANON_COUNT; c++) {
        struct letter_signature how = { .key = LETTER_ED25519, .s = "ed", .header = DKIM_RELAXED, .body = c };

        for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
            expect(letter_sign(letter("", slice_str(bodies[i])), how), DKIM_VERIFIED);
        }
        expect(letter_sign(letter("", slice_of(zeros, sizeof(zeros) - 1)), how), DKIM_VERIFIED);
    }
}

static void trap_a_message_that_ends_with_its_header_section_has_an_empty_body(void **state)
{
    (void)state;
    for (enum dkim_canon c = DKIM_SIMPLE; c < DKIM_CANON_COUNT; c++) {
        expect(letter_sign(slice_str(header), (struct letter_signature){ .header = c, .body = c }),
               DKIM_VERIFIED);
    }
}

/* DKIM takes for a field what the header firewall and the author's reader take for one, and nothing else. */
static void a_line_that_is_no_field_is_not_stored(void **state)
{
    struct dkim_header h;
    const struct dkim_field *f;

    (void)state;
    dkim_header_init(&h, DKIM_HEADER_MAX);
    assert_null(dkim_header_put(&h, SLICE("Hello all: x\r\n")));
    assert_null(dkim_header_put(&h, SLICE("From x Mon Jan 1 10:00\r\n")));
    assert_null(dkim_header_put(&h, SLICE("Na\r\n me: x\r\n"))); /* HDR-20 */
    assert_null(dkim_header_put(&h, SLICE(" A: x\r\n")));
    f = dkim_header_put(&h, SLICE("Subject \t: x\r\n y\r\n"));
    assert_non_null(f);
    assert_true(slice_eq(dkim_field_name(f), SLICE("Subject")));
    assert_true(slice_eq(dkim_field_value(f), SLICE(" x\r\n y")));
    assert_int_equal(f->name_len, 9); /* up to the colon */
    dkim_header_fini(&h);
}

static void trap_thousands_of_blank_lines_count_only_if_something_follows(void **state)
{
    static const size_t lines[] = { 4095, 4096, 4097, 4098, 20000 };
    struct letter_how how = { .zone = &zone };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines) * 8; i++) {
        size_t n = lines[i / 8];
        struct letter_signature sign = { .key = LETTER_ED25519,
                                         .s = "ed",
                                         .header = DKIM_RELAXED,
                                         .body = i & 1 ? DKIM_RELAXED : DKIM_SIMPLE };
        struct buf text;

        buf_init(&text, LETTER_MAX);
        buf_put_str(&text, i & 2 ? "text" : "");
        for (size_t k = 0; k < n; k++) {
            buf_put_str(&text, i & 1 && k % 3 == 0 ? " \r\n" : "\r\n");
        }
        buf_put_str(&text, i & 4 ? "more\r\n" : "");
        for (how.chunk = 0; how.chunk < 8192; how.chunk += 4095) {
            struct dkim *d = letter_judge(letter_sign(letter("", buf_slice(&text)), sign), &how);

            assert_int_equal(dkim_verdict_at(d, 0)->reason, DKIM_VERIFIED);
            dkim_free(d);
        }
        buf_fini(&text);
    }
}

static void trap_l_that_is_0_exact_short_or_longer_than_the_body(void **state)
{
    static const struct {
        const char *tags;
        uint64_t length;
        bool nothing;
        enum dkim_reason want;
    } rows[] = {
        { "l=0; ", 0, true, DKIM_BODY_LONGER },
        { "l=5; ", 5, false, DKIM_BODY_LONGER },
        { "l=0005; ", 5, false, DKIM_BODY_LONGER },
        { "l=53; ", 53, false, DKIM_BODY_LONGER }, /* all but the last LF */
        { "l=54; ", 0, false, DKIM_VERIFIED },
        { "l=55; ", 0, false, DKIM_BODY_SHORTER },
        { "l=18446744073709551615; ", 0, false, DKIM_BODY_SHORTER },
        { "l=18446744073709551616; ", 0, false, DKIM_BODY_SHORTER },
        { "l=9999999999999999999999999999999999999999999999999999999999999999999999999999; ", 0, false,
          DKIM_BODY_SHORTER },
        { "l=6; ", 5, false, DKIM_BODY_CHANGED },
        { "l=; ", 0, false, DKIM_BAD_LENGTH },
        { "l=-1; ", 0, false, DKIM_BAD_LENGTH },
        { "l=5x; ", 5, false, DKIM_BAD_LENGTH },
        { "l=99999999999999999999999999999999999999999999999999999999999999999999999999999; ", 0, false,
          DKIM_BAD_LENGTH },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        expect_signed((struct letter_signature){ .tags = rows[i].tags,
                                                 .length = rows[i].length,
                                                 .nothing = rows[i].nothing,
                                                 .body = DKIM_RELAXED },
                      rows[i].want);
    }
}

static void trap_l_0_of_an_empty_body_is_all_of_it(void **state)
{
    struct letter_signature how = { .tags = "l=0; ", .nothing = true, .body = DKIM_RELAXED };

    (void)state;
    expect(letter_sign(letter("", SLICE("")), how), DKIM_VERIFIED);
    expect(letter_sign(letter("", SLICE(" \r\n\r\n")), how), DKIM_VERIFIED);
    how.body = DKIM_SIMPLE; /* which has one CRLF */
    expect(letter_sign(letter("", SLICE("")), how), DKIM_BODY_LONGER);
}

static void trap_text_behind_l_is_not_a_pass_but_blank_lines_do_not_count(void **state)
{
    struct slice message =
        letter_sign(plain(), (struct letter_signature){ .tags = "l=54; ", .body = DKIM_RELAXED });

    (void)state;
    expect(joined(message, SLICE("\r\n \r\n")), DKIM_VERIFIED);
    expect(joined(message, SLICE("buy this\r\n")), DKIM_BODY_LONGER);
    expect(replaced(joined(message, SLICE("buy this\r\n")), "lost", "won "), DKIM_BODY_CHANGED);
}

static void every_l_of_many_signatures_is_read_off_one_hash(void **state)
{
    static const char *const tags[] = {
        "l=0; ", "l=1; ", "l=30; ", "l=54; ", "", "l=30; ", "l=53; ", "l=2; "
    };
    static const uint64_t length[] = { 0, 1, 30, 54, 0, 30, 53, 2 };
    struct slice message = plain();
    struct dkim *d;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
        message = letter_sign(
            message, (struct letter_signature){
                         .tags = tags[i], .length = length[i], .nothing = i == 0, .body = DKIM_RELAXED });
    }
    d = judge(message, (struct letter_how){ 0 }, DKIM_BODY_LONGER);
    for (size_t i = 0; i < ARRAY_LEN(tags); i++) { /* the last one signed stands on top */
        bool all = length[ARRAY_LEN(tags) - 1 - i] == 54 || tags[ARRAY_LEN(tags) - 1 - i][0] == '\0';

        assert_int_equal(dkim_verdict_at(d, i)->reason, all ? DKIM_VERIFIED : DKIM_BODY_LONGER);
    }
    dkim_free(d);
}

/* ---- traps: the header section ---- */

static void trap_h_without_from_is_an_error(void **state)
{
    (void)state;
    expect_signed((struct letter_signature){ .h = "to:subject:date" }, DKIM_FROM_UNSIGNED);
    expect_signed((struct letter_signature){ .h = "to:FROM" }, DKIM_VERIFIED);
    expect_signed((struct letter_signature){ .h = "x-from:fro:from2" }, DKIM_FROM_UNSIGNED);
}

static void trap_h_may_name_absent_fields_and_one_that_is_added_later_breaks_it(void **state)
{
    struct slice message =
        letter_sign(plain(), (struct letter_signature){ .h = "x-none:from:cc:from:to:subject:to" });

    (void)state;
    expect(message, DKIM_VERIFIED);
    expect(joined(SLICE("Cc: all@example.net\r\n"), message), DKIM_HEADER_CHANGED);
    expect(joined(SLICE("From: boss@example.org\r\n"), message), DKIM_HEADER_CHANGED);
    expect(joined(SLICE("X-Other: 1\r\n"), message), DKIM_VERIFIED);
}

static void trap_of_equal_fields_the_lowest_is_signed_first(void **state)
{
    struct slice two = letter("Subject: upper\r\n", slice_str(body));
    struct slice once = letter_sign(two, (struct letter_signature){ .h = "from:subject" });
    struct slice twice = letter_sign(two, (struct letter_signature){ .h = "from:subject:subject" });

    (void)state;
    expect(once, DKIM_VERIFIED);
    expect(replaced(once, "upper", "other"), DKIM_VERIFIED); /* the upper one is not signed */
    expect(replaced(once, "dinner", "lunch "), DKIM_HEADER_CHANGED);
    expect(twice, DKIM_VERIFIED);
    expect(replaced(twice, "upper", "other"), DKIM_HEADER_CHANGED);
}

static void trap_a_second_from_on_top_is_not_the_signed_one(void **state)
{
    struct slice message = letter_sign(plain(), (struct letter_signature){ .h = "from:to" });
    struct slice forged = joined(SLICE("From: boss@example.org\r\n"), message);
    struct dkim *d = judge(forged, (struct letter_how){ .author = "" }, DKIM_VERIFIED);

    (void)
        state; /* the caller names no author, so nothing is preferred; and dkim_best finds nothing aligned */
    assert_int_equal(dkim_best(d, NULL, NULL)->result, DKIM_PASS);
    dkim_free(d);
}

static void trap_a_signature_may_sign_an_older_one_but_not_itself(void **state)
{
    struct slice message =
        letter_sign(plain(), (struct letter_signature){ .key = LETTER_ED25519, .s = "ed" });
    struct slice both =
        letter_sign(message, (struct letter_signature){ .h = "from:dkim-signature:dkim-signature" });
    struct dkim *d = judge(both, (struct letter_how){ 0 }, DKIM_VERIFIED);

    (void)state;
    assert_int_equal(dkim_count(d), 2);
    assert_int_equal(dkim_verdict_at(d, 1)->reason, DKIM_VERIFIED);
    dkim_free(d);
    expect(replaced(both, "ed25519-sha256", "ed25519-sha257"), DKIM_HEADER_CHANGED);
}

static void trap_white_space_before_the_colon_is_part_of_simple_form_only(void **state)
{
    struct slice message = replaced(plain(), "Date:", "Date \t:");

    (void)state;
    expect(letter_sign(message, (struct letter_signature){ .header = DKIM_SIMPLE }), DKIM_VERIFIED);
    message = letter_sign(message, (struct letter_signature){ .header = DKIM_RELAXED });
    expect(message, DKIM_VERIFIED);
    expect(replaced(message, "Date \t:", "DATE:"), DKIM_VERIFIED);
}

static void trap_empty_and_8bit_fields_verify(void **state)
{
    static const char *const more[] = { "X-A:\r\n", "X-A: \t\r\n", "X-A:\r\n \r\n",
                                        "X-A: caf\xc3\xa9 \xff\r\n", "x-a:a\r\n\t\r\n b\r\n" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        for (enum dkim_canon c = DKIM_SIMPLE; c < DKIM_CANON_COUNT; c++) {
            expect(letter_sign(letter(more[i], slice_str(body)),
                               (struct letter_signature){ .h = "from:x-a", .header = c }),
                   DKIM_VERIFIED);
        }
    }
}

/* ---- traps: many signatures ---- */

static struct slice with_junk(struct slice message, size_t count, const char *d, const char *s)
{
    struct buf out;

    buf_init(&out, LETTER_MAX);
    for (size_t i = 0; i < count; i++) {
        buf_putf(&out,
                 "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=%s; s=%s%zu; h=from;\r\n"
                 " bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA%03zu\r\n",
                 d, s, i, i);
    }
    buf_put_slice(&out, message);
    return letter_keep(&out);
}

static void trap_a_good_signature_of_the_author_behind_49_others_passes(void **state)
{
    struct slice message =
        letter_sign(plain(), (struct letter_signature){ .key = LETTER_ED25519, .s = "ed" });
    const struct dkim_want *wants;
    struct dkim *d =
        judge(with_junk(message, 49, "junk.example", "s"), (struct letter_how){ 0 }, DKIM_VERIFIED);

    (void)state;
    assert_int_equal(dkim_count(d), 50);
    assert_int_equal(dkim_wants(d, &wants), DKIM_SIGNATURES_MAX);
    assert_true(slice_eq(wants[0].name, SLICE("ed._domainkey.example.org")));
    assert_int_equal(dkim_verdict_at(d, 0)->position, 49);
    for (size_t i = 1; i < 50; i++) { /* the others from the top; beyond the tenth no key is looked up */
        assert_int_equal(dkim_verdict_at(d, i)->position, i - 1);
        assert_int_equal(dkim_verdict_at(d, i)->result, i < 10 ? DKIM_PERMERROR : DKIM_NEUTRAL);
    }
    assert_int_equal(dkim_best(d, NULL, NULL)->result, DKIM_PASS);
    dkim_free(d);
}

static void trap_of_60_signatures_50_are_read_and_the_rest_is_counted(void **state)
{
    struct letter_how how = { .zone = &zone };
    struct dkim *d = letter_judge(with_junk(plain(), 60, "junk.example", "s"), &how);

    (void)state;
    assert_int_equal(dkim_count(d), DKIM_FIELDS_MAX);
    assert_int_equal(dkim_skipped(d), 10);
    dkim_free(d);
}

static void trap_broken_signatures_use_up_no_lookup(void **state)
{
    struct slice message = letter_sign(plain(), (struct letter_signature){ .d = "sub.example.org" });
    struct buf out;
    struct dkim *d;

    (void)state;
    buf_init(&out, LETTER_MAX);
    for (int i = 0; i < 30; i++) {
        buf_put_str(&out, i % 2 ? "DKIM-Signature: v=1; a=rsa-sha1; d=example.org; s=x; h=from; "
                                  "bh=2jmj7l5rSw0yVb/vlWAYkK/YBwk=; b=AAAA\r\n"
                                : "DKIM-Signature: v=1; d=example.org; s=x\r\n");
    }
    buf_put_slice(&out, message);
    d = judge(buf_slice(&out), (struct letter_how){ .author = "other.example" }, DKIM_VERIFIED);
    assert_int_equal(dkim_count(d), 31);
    dkim_free(d);
    buf_fini(&out);
}

static void related_domains_come_first_in_the_order_of_the_message(void **state)
{
    struct slice message = plain();
    struct letter_how how = { .zone = &zone, .author = "mail.example.org", .settings.max_signatures = 3 };
    static const char *const domains[] = { "a.mail.example.org", "xmail.example.org", "example.org",
                                           "ple.org", "other.example" };
    const struct dkim_want *wants;
    struct dkim *d;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(domains); i++) {
        message = letter_sign(message, (struct letter_signature){ .d = domains[i] });
    }
    d = letter_judge(message, &how);
    assert_int_equal(dkim_wants(d, &wants), 3);
    assert_true(slice_eq(wants[0].name, SLICE("mail._domainkey.example.org")));
    assert_true(slice_eq(wants[1].name, SLICE("mail._domainkey.a.mail.example.org")));
    assert_true(
        slice_eq(wants[2].name, SLICE("mail._domainkey.other.example"))); /* the top one of the rest */
    dkim_free(d);
}

static void one_key_of_several_signatures_is_asked_for_once(void **state)
{
    struct slice message = plain();
    const struct dkim_want *wants;
    struct dkim *d;

    (void)state;
    for (int i = 0; i < 4; i++) {
        message = letter_sign(message, (struct letter_signature){ .s = i % 2 ? "mail" : "MAIL",
                                                                  .body = (enum dkim_canon)(i / 2) });
    }
    d = judge(message, (struct letter_how){ 0 }, DKIM_VERIFIED);
    assert_int_equal(dkim_wants(d, &wants), 1);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(dkim_verdict_at(d, i)->reason, DKIM_VERIFIED);
    }
    dkim_free(d);
}

/* ---- traps: keys, names, policy ---- */

static void keys_that_cannot_be_used(void **state)
{
    static const struct {
        const char *tags; /* before p= */
        enum letter_key key;
        enum dkim_reason want;
    } rows[] = {
        { "", LETTER_RSA_2048, DKIM_VERIFIED },
        { " v=DKIM1 ;\tk=rsa ; n=notes  with blanks; x=unknown ; t=y:z; ", LETTER_RSA_2048, DKIM_VERIFIED },
        { "k=rsa; v=DKIM1; ", LETTER_RSA_2048, DKIM_KEY_VERSION }, /* v= is not first */
        { "v=DKIM2; ", LETTER_RSA_2048, DKIM_KEY_VERSION },
        { "v=dkim1; ", LETTER_RSA_2048, DKIM_KEY_VERSION },
        { "k=rsa; k=rsa; ", LETTER_RSA_2048, DKIM_KEY_SYNTAX },
        { "k; ", LETTER_RSA_2048, DKIM_KEY_SYNTAX },
        { "k=ed25519; ", LETTER_RSA_2048, DKIM_KEY_TYPE },
        { "k=dsa; ", LETTER_RSA_2048, DKIM_KEY_TYPE },
        { "h=sha1; ", LETTER_RSA_2048, DKIM_KEY_HASH },
        { "h=sha1 : sha256; ", LETTER_RSA_2048, DKIM_VERIFIED },
        { "h=; ", LETTER_RSA_2048, DKIM_KEY_HASH },
        { "s=tlsrpt; ", LETTER_RSA_2048, DKIM_KEY_SERVICE },
        { "s=tlsrpt: email; ", LETTER_RSA_2048, DKIM_VERIFIED },
        { "s=*; ", LETTER_RSA_2048, DKIM_VERIFIED },
        { "p=; x", LETTER_RSA_2048, DKIM_KEY_REVOKED },
        { "p= ; x", LETTER_RSA_2048, DKIM_KEY_REVOKED },
        { "p=AAAA; x", LETTER_RSA_2048, DKIM_KEY_DATA },
        { "p=?; x", LETTER_RSA_2048, DKIM_KEY_DATA },
        { "x", LETTER_RSA_2048, DKIM_KEY_SYNTAX }, /* xp=: no p= */
        { "", LETTER_RSA_768, DKIM_KEY_SHORT },
        { "", LETTER_RSA_OTHER, DKIM_HEADER_CHANGED },
    };
    struct slice message = letter_sign(plain(), (struct letter_signature){ .body = DKIM_RELAXED });

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct letter_zone own = { .count = 0 };

        letter_zone_put(&own, SLICE("mail._domainkey.example.org"), letter_record(rows[i].tags, rows[i].key));
        dkim_free(judge(message, (struct letter_how){ .zone = &own }, rows[i].want));
    }
}

static void answers_that_are_no_record(void **state)
{
    static const struct {
        enum dkim_answer_status status;
        enum dkim_reason want;
    } rows[] = {
        { DKIM_ANSWER_NONE, DKIM_KEY_NONE },
        { DKIM_ANSWER_SEVERAL, DKIM_KEY_SEVERAL },
        { DKIM_ANSWER_TEMPFAIL, DKIM_KEY_UNKNOWN },
        { DKIM_ANSWER_OK, DKIM_KEY_SYNTAX }, /* an empty text */
    };
    struct slice message = letter_sign(plain(), (struct letter_signature){ .body = DKIM_RELAXED });

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct letter_zone own = { .count = 0 };

        letter_zone_put(&own, SLICE("mail._domainkey.example.org"), SLICE_NONE);
        own.entry[0].answer.status = rows[i].status;
        dkim_free(judge(message, (struct letter_how){ .zone = &own }, rows[i].want));
    }
}

static void trap_an_ed25519_signature_needs_an_ed25519_record(void **state)
{
    struct slice message =
        letter_sign(plain(), (struct letter_signature){ .key = LETTER_ED25519, .s = "ed" });
    struct letter_zone own = { .count = 0 };

    (void)state;
    letter_zone_put(&own, SLICE("ed._domainkey.example.org"),
                    letter_record("v=DKIM1; ", LETTER_ED25519)); /* k=rsa */
    dkim_free(judge(message, (struct letter_how){ .zone = &own }, DKIM_KEY_TYPE));
    own.entry[0].answer.text = letter_record("v=DKIM1; ", LETTER_RSA_768);
    dkim_free(judge(message, (struct letter_how){ .zone = &own }, DKIM_KEY_TYPE));
}

static void trap_sha1_and_short_keys_are_policy_and_never_pass(void **state)
{
    (void)state;
    expect_signed((struct letter_signature){ .a = "rsa-sha1", .bh = "2jmj7l5rSw0yVb/vlWAYkK/YBwk=" },
                  DKIM_SHA1);
    expect_signed((struct letter_signature){ .a = "rsa-sha1" }, DKIM_BAD_BODY_HASH); /* 32 octets */
    expect_signed((struct letter_signature){ .key = LETTER_RSA_768, .s = "r768" }, DKIM_KEY_SHORT);
    assert_int_equal(dkim_reason_result(DKIM_SHA1), DKIM_POLICY);
    assert_int_equal(dkim_reason_result(DKIM_KEY_SHORT), DKIM_POLICY);
    assert_int_equal(dkim_reason_result(DKIM_BODY_LONGER), DKIM_POLICY);
}

static void trap_t_s_forbids_an_identity_below_the_domain(void **state)
{
    (void)state;
    expect_signed((struct letter_signature){ .s = "strict" }, DKIM_VERIFIED);
    expect_signed((struct letter_signature){ .s = "strict", .tags = "i=joe@EXAMPLE.org; " }, DKIM_VERIFIED);
    expect_signed((struct letter_signature){ .s = "strict", .tags = "i=joe@sub.example.org; " },
                  DKIM_KEY_IDENTITY);
    expect_signed((struct letter_signature){ .s = "mail", .tags = "i=joe@sub.example.org; " }, DKIM_VERIFIED);
}

static void trap_test_keys_count_like_others(void **state)
{
    struct slice message = letter_sign(plain(), (struct letter_signature){ .s = "test" });
    struct dkim *d = judge(message, (struct letter_how){ 0 }, DKIM_VERIFIED);

    (void)state;
    assert_true(dkim_verdict_at(d, 0)->testing);
    dkim_free(d);
    expect(replaced(message, "lost", "won "), DKIM_BODY_CHANGED);
}

static void trap_a_u_label_is_an_error_and_an_a_label_is_not(void **state)
{
    struct slice a = letter_sign(plain(), (struct letter_signature){ .d = "xn--bcher-kva.example" });
    struct slice u = letter_sign(plain(), (struct letter_signature){ .d = "b\xc3\xbc"
                                                                          "cher.example" });
    struct dkim *d;

    (void)state;
    expect(a, DKIM_VERIFIED);
    expect(u, DKIM_BAD_DOMAIN);
    /* unless the message is internationalised (RFC 8616 5): then it is looked up and reported in A-labels */
    d = judge(u, (struct letter_how){ .settings.utf8 = true }, DKIM_VERIFIED);
    assert_true(slice_eq(dkim_verdict_at(d, 0)->domain, SLICE("xn--bcher-kva.example")));
    dkim_free(d);
    dkim_free(judge(a, (struct letter_how){ .settings.utf8 = true }, DKIM_VERIFIED));
}

static void expiry_is_judged_by_the_time_that_is_given(void **state)
{
    struct slice message = letter_sign(plain(), (struct letter_signature){ .tags = "t=1000; x=2000; " });
    struct slice backward = letter_sign(plain(), (struct letter_signature){ .tags = "t=1000; x=1000; " });

    (void)state;
    dkim_free(judge(message, (struct letter_how){ .settings.now_s = 2000 }, DKIM_VERIFIED));
    dkim_free(judge(message, (struct letter_how){ .settings.now_s = 2001 }, DKIM_EXPIRED));
    dkim_free(
        judge(message, (struct letter_how){ .settings.now_s = 1 }, DKIM_VERIFIED)); /* from the future */
    dkim_free(judge(backward, (struct letter_how){ .settings.now_s = 1 }, DKIM_EXPIRES_BEFORE));
    assert_int_equal(dkim_reason_result(DKIM_EXPIRED), DKIM_FAIL);
    assert_int_equal(dkim_reason_result(DKIM_EXPIRES_BEFORE), DKIM_PERMERROR);
}

/* ---- limits ---- */

static void fields_of_more_than_64_kib_are_not_verified(void **state)
{
    static const size_t sizes[] = { 63 << 10, 64 << 10, 65 << 10 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct letter_how how = { .zone = &zone };
        struct buf big;
        struct dkim *d;

        buf_init(&big, LETTER_MAX);
        buf_put_str(&big, "X-Big: ");
        for (size_t n = 0; n < sizes[i]; n += 64) {
            buf_put_str(&big, "\r\n 1234567890123456789012345678901234567890123456789012345678901");
        }
        buf_put_str(&big, "\r\n");
        d = letter_judge(
            letter_sign(letter(big.ptr, slice_str(body)), (struct letter_signature){ .h = "from:x-big" }),
            &how);
        assert_int_equal(dkim_verdict_at(d, 0)->reason, i == 0 ? DKIM_VERIFIED : DKIM_TOO_LARGE);
        dkim_free(d);
        /* not signed, it does not matter */
        d = letter_judge(
            letter_sign(letter(big.ptr, slice_str(body)), (struct letter_signature){ .h = "from" }), &how);
        assert_int_equal(dkim_verdict_at(d, 0)->reason, DKIM_VERIFIED);
        dkim_free(d);
        buf_fini(&big);
    }
}

static void a_header_section_that_does_not_fit_is_an_error_of_every_signature(void **state)
{
    struct slice message = letter_sign(plain(), (struct letter_signature){ .h = "from" }), field;
    struct dkim_settings settings = { .max_signatures = 10 };
    struct dkim *d = dkim_new(&settings);

    (void)state;
    while (letter_next_field(&message, &field)) {
        dkim_put_field(d, field);
    }
    for (int i = 0; i < 40000; i++) {
        dkim_put_field(d, SLICE("a:b\r\n"));
    }
    dkim_end_header(d, SLICE("example.org"));
    assert_int_equal(dkim_step(d), DKIM_DONE);
    assert_int_equal(dkim_verdict_at(d, 0)->reason, DKIM_TOO_LARGE);
    dkim_free(d);
}

static void the_index_of_many_fields_is_made_in_steps(void **state)
{
    struct slice message = letter_sign(plain(), (struct letter_signature){ .h = "from" }), field;
    struct dkim_settings settings = { .max_signatures = 10 };
    struct letter_how how = { .zone = &zone };
    struct dkim *d = dkim_new(&settings);
    int steps = 0;

    (void)state;
    while (letter_next_field(&message, &field)) {
        dkim_put_field(d, field);
    }
    for (int i = 0; i < 5000; i++) {
        dkim_put_field(d, SLICE("a:b\r\n"));
    }
    dkim_end_header(d, SLICE("example.org"));
    assert_int_equal(dkim_step(d), DKIM_WAITING);
    letter_answer(d, &how, 0);
    for (; dkim_step(d) == DKIM_BUSY; steps++) {
    }
    assert_in_range(steps, 8, 10); /* 5,000 fields, 512 a step */
    dkim_put_body(d, message);
    dkim_end_body(d);
    assert_int_equal(dkim_verdict_at(d, 0)->reason, DKIM_VERIFIED);
    dkim_free(d);
}

static void a_thousand_names_are_read_and_one_more_is_an_error(void **state)
{
    (void)state;
    for (size_t count = 1000; count <= 1001; count++) {
        struct buf h;

        buf_init(&h, LETTER_MAX);
        buf_put_str(&h, "from");
        for (size_t i = 1; i < count; i++) {
            buf_put_str(&h, i % 2 ? ":to" : ":x");
        }
        expect_signed((struct letter_signature){ .h = h.ptr },
                      count == 1000 ? DKIM_VERIFIED : DKIM_BAD_NAMES);
        buf_fini(&h);
    }
}

/* ---- life ---- */

static void what_is_undecided_when_time_is_over_is_a_temperror(void **state)
{
    struct slice message =
        with_junk(letter_sign(plain(), (struct letter_signature){ .s = "mail" }), 2, "a.example", "s");
    struct dkim_settings settings = { .max_signatures = 10 };
    struct letter_how how = { .zone = &zone };
    struct slice field;
    struct dkim *d = dkim_new(&settings);

    (void)state;
    while (letter_next_field(&message, &field)) {
        dkim_put_field(d, field);
    }
    dkim_end_header(d, SLICE("example.org"));
    assert_true(dkim_needs_body(d));
    assert_int_equal(dkim_verdict_at(d, 0)->reason, DKIM_UNDECIDED);
    assert_int_equal(dkim_verdict_at(d, 0)->result, DKIM_NONE);
    dkim_put_body(d, message);
    dkim_end_body(d);
    assert_int_equal(dkim_step(d), DKIM_WAITING);
    letter_answer(d, &how, 1); /* NXDOMAIN */
    dkim_abandon(d);
    assert_int_equal(dkim_step(d), DKIM_DONE);
    assert_int_equal(dkim_verdict_at(d, 0)->result, DKIM_TEMPERROR);
    assert_int_equal(dkim_verdict_at(d, 1)->reason, DKIM_KEY_NONE);
    assert_int_equal(dkim_verdict_at(d, 2)->reason, DKIM_TIME_OVER);
    letter_answer(d, &how, 0); /* too late, and nothing changes */
    assert_int_equal(dkim_verdict_at(d, 0)->result, DKIM_TEMPERROR);
    dkim_free(d);
}

static void a_body_that_no_signature_waits_for_is_not_needed(void **state)
{
    struct slice message = letter_sign(plain(), (struct letter_signature){ .s = "other" }), field;
    struct dkim_settings settings = { .max_signatures = 10 };
    struct letter_how how = { .zone = &zone };
    struct dkim *d = dkim_new(&settings);

    (void)state;
    while (letter_next_field(&message, &field)) {
        dkim_put_field(d, field);
    }
    dkim_end_header(d, SLICE_NONE);
    assert_true(dkim_needs_body(d));
    letter_answer(d, &how, 0);
    assert_int_equal(dkim_step(d), DKIM_DONE);
    assert_false(dkim_needs_body(d));
    dkim_free(d);
}

static void a_verifier_may_be_freed_at_any_moment(void **state)
{
    struct slice whole = letter_sign(plain(), (struct letter_signature){ .s = "mail" });

    (void)state;
    for (int moment = 0; moment < 6; moment++) {
        struct dkim_settings settings = { .max_signatures = 10 };
        struct letter_how how = { .zone = &zone };
        struct slice message = whole, field;
        struct dkim *d = dkim_new(&settings);

        while (moment > 0 && letter_next_field(&message, &field)) {
            dkim_put_field(d, field);
        }
        if (moment > 1) {
            dkim_end_header(d, SLICE_NONE);
        }
        if (moment > 2) {
            dkim_put_body(d, slice_take(message, 10));
        }
        if (moment > 3) {
            letter_answer(d, &how, 0);
        }
        if (moment > 4) {
            letter_step(d);
        }
        dkim_free(d);
    }
    dkim_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_and_canonicalisation_verifies),
        cmocka_unit_test(the_verdict_says_what_was_verified),
        cmocka_unit_test(a_message_without_a_signature_wants_nothing),
        cmocka_unit_test(a_changed_body_or_header_fails),
        cmocka_unit_test(relaxed_forms_survive_what_they_are_for),
        cmocka_unit_test(simple_forms_do_not),
        cmocka_unit_test(trap_a_body_hash_of_31_32_or_65_octets_is_compared_by_length_first),
        cmocka_unit_test(trap_ed25519_signs_the_hash_of_the_header_and_not_the_header),
        cmocka_unit_test(trap_a_signature_of_the_wrong_length_does_not_verify),
        cmocka_unit_test(trap_the_value_of_b_is_left_out_with_the_white_space_around_it),
        cmocka_unit_test(trap_b_that_is_folded_anywhere_verifies),
        cmocka_unit_test(trap_the_body_does_not_take_the_canonicalisation_of_the_header),
        cmocka_unit_test(trap_bodies_of_blank_lines_blanks_or_without_a_last_line_end_verify_in_any_chunks),
        cmocka_unit_test(trap_a_message_that_ends_with_its_header_section_has_an_empty_body),
        cmocka_unit_test(trap_thousands_of_blank_lines_count_only_if_something_follows),
        cmocka_unit_test(trap_l_that_is_0_exact_short_or_longer_than_the_body),
        cmocka_unit_test(trap_l_0_of_an_empty_body_is_all_of_it),
        cmocka_unit_test(trap_text_behind_l_is_not_a_pass_but_blank_lines_do_not_count),
        cmocka_unit_test(every_l_of_many_signatures_is_read_off_one_hash),
        cmocka_unit_test(trap_h_without_from_is_an_error),
        cmocka_unit_test(trap_h_may_name_absent_fields_and_one_that_is_added_later_breaks_it),
        cmocka_unit_test(trap_of_equal_fields_the_lowest_is_signed_first),
        cmocka_unit_test(trap_a_second_from_on_top_is_not_the_signed_one),
        cmocka_unit_test(trap_a_signature_may_sign_an_older_one_but_not_itself),
        cmocka_unit_test(trap_white_space_before_the_colon_is_part_of_simple_form_only),
        cmocka_unit_test(trap_empty_and_8bit_fields_verify),
        cmocka_unit_test(trap_a_good_signature_of_the_author_behind_49_others_passes),
        cmocka_unit_test(trap_of_60_signatures_50_are_read_and_the_rest_is_counted),
        cmocka_unit_test(trap_broken_signatures_use_up_no_lookup),
        cmocka_unit_test(related_domains_come_first_in_the_order_of_the_message),
        cmocka_unit_test(one_key_of_several_signatures_is_asked_for_once),
        cmocka_unit_test(keys_that_cannot_be_used),
        cmocka_unit_test(answers_that_are_no_record),
        cmocka_unit_test(trap_an_ed25519_signature_needs_an_ed25519_record),
        cmocka_unit_test(trap_sha1_and_short_keys_are_policy_and_never_pass),
        cmocka_unit_test(trap_t_s_forbids_an_identity_below_the_domain),
        cmocka_unit_test(trap_test_keys_count_like_others),
        cmocka_unit_test(trap_a_u_label_is_an_error_and_an_a_label_is_not),
        cmocka_unit_test(expiry_is_judged_by_the_time_that_is_given),
        cmocka_unit_test(fields_of_more_than_64_kib_are_not_verified),
        cmocka_unit_test(a_line_that_is_no_field_is_not_stored),
        cmocka_unit_test(a_header_section_that_does_not_fit_is_an_error_of_every_signature),
        cmocka_unit_test(the_index_of_many_fields_is_made_in_steps),
        cmocka_unit_test(a_thousand_names_are_read_and_one_more_is_an_error),
        cmocka_unit_test(what_is_undecided_when_time_is_over_is_a_temperror),
        cmocka_unit_test(a_body_that_no_signature_waits_for_is_not_needed),
        cmocka_unit_test(a_verifier_may_be_freed_at_any_moment),
    };

    int failed = cmocka_run_group_tests(tests, make_zone, NULL);

    letter_forget();
    return failed;
}
