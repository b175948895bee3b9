/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_canon.c - the streaming canonical forms against the slow ones of letters.h, over bodies made of what matters:
 * white space, CR, LF, and runs that end at the borders of chunks, of eight octets and of blocks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/dkim/canon.h"
#include "test/unit/dkim/letters.h"

struct gathered {
    struct buf text;
    size_t fork; /* octets at the last fork */
};

static void on_put(void *arg, const void *data, size_t len)
{
    struct gathered *g = arg;

    assert_int_not_equal(len, 0);
    buf_put(&g->text, data, len);
}

static void on_fork(void *arg)
{
    struct gathered *g = arg;

    g->fork = g->text.len;
}

/* The small generator of random numbers that a failing test can be repeated with. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Chunks of `chunk` octets; 0: of random lengths. */
static void stream(struct slice body, enum dkim_canon canon, size_t chunk, struct gathered *out)
{
    static struct dkim_sink sink;
    struct dkim_canon_body form;
    uint32_t seed = (uint32_t)body.len;

    buf_init(&out->text, LETTER_MAX);
    dkim_sink_init(&sink, on_put, out);
    dkim_canon_body_init(&form, canon, &sink, on_fork);
    while (!slice_empty(body)) {
        struct slice part = slice_take(body, chunk ? chunk : next_random(&seed) % 40);
        char *copy = slice_dup(part);

        dkim_canon_body_put(&form, slice_of(copy, part.len));
        free(copy);
        body = slice_skip(body, part.len);
    }
    dkim_canon_body_end(&form);
    if (form.forked) {
        buf_truncate(&out->text, out->fork);
    }
}

static void compare(struct slice body, size_t chunk)
{
    for (enum dkim_canon c = DKIM_SIMPLE; c < DKIM_CANON_COUNT; c++) {
        struct gathered fast;
        struct buf slow;

        buf_init(&slow, LETTER_MAX);
        letter_canon_body(body, c, &slow);
        stream(body, c, chunk, &fast);
        if (!slice_eq(buf_slice(&fast.text), buf_slice(&slow))) {
            printf("%s, chunks of %zu: ", dkim_canon_text(c), chunk);
            for (size_t i = 0; i < body.len; i++) {
                printf("%02x", (unsigned char)body.ptr[i]);
            }
            printf("\n");
        }
        assert_true(slice_eq(buf_slice(&fast.text), buf_slice(&slow)));
        buf_fini(&fast.text);
        buf_fini(&slow);
    }
}

static void all_short_bodies_in_all_chunks(void **state)
{
    static const char octets[] = "\r\n \tx";
    char text[7];

    (void)state;
    for (size_t len = 0; len <= 6; len++) {
        size_t count = 1;

        for (size_t i = 0; i < len; i++) {
            count *= 5;
        }
        for (size_t n = 0; n < count; n++) {
            size_t rest = n;

            for (size_t i = 0; i < len; i++, rest /= 5) {
                text[i] = octets[rest % 5];
            }
            for (size_t chunk = 1; chunk <= 3; chunk++) {
                compare(slice_of(text, len), chunk);
            }
            compare(slice_of(text, len), 64);
        }
    }
}

static void random_bodies_in_random_chunks(void **state)
{
    static const char *const pieces[] = { "\r\n", "\r\n", "\r", "\n",       " ",        "  ",
                                          "\t",   "word", "a",  "\0",       "\x80\xff", "0123456789abcdef",
                                          ". ",   "\x1f", "!",  "\r\n\r\n", " \r\n",    "\x0b" };
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        uint32_t spread = 2 + next_random(&seed) % (ARRAY_LEN(pieces) - 1);
        size_t len = next_random(&seed) % (round % 100 == 0 ? 12000 : 300);
        struct buf body;

        buf_init(&body, LETTER_MAX);
        while (body.len < len) {
            const char *piece = pieces[next_random(&seed) % spread];

            buf_put(&body, piece, piece[0] == '\0' ? 1 : strlen(piece));
        }
        compare(buf_slice(&body), 0);
        compare(buf_slice(&body), 1 + next_random(&seed) % 30);
        compare(buf_slice(&body), 20000);
        buf_fini(&body);
    }
}

/* One change at each place around the borders of words of eight octets and of a block. */
static void one_change_at_every_place(void **state)
{
    static const char *const changes[] = { "  ",       " \r\n", "\t",  "\t\t\r\n", " ",
                                           "\r\n\r\n", " \r",   " \n", " \x01" };
    char text[8400];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        for (size_t at = 0; at < 24; at++) {
            memset(text, 'x', sizeof(text));
            memcpy(text + at, changes[i], strlen(changes[i]));
            compare(slice_of(text, 30), 64);
            memset(text, 'x', sizeof(text));
            memcpy(text + DKIM_BLOCK - 12 + at, changes[i], strlen(changes[i]));
            compare(slice_of(text, sizeof(text)), sizeof(text));
        }
    }
}

static void a_long_run_of_line_ends_is_written_ahead_and_taken_back(void **state)
{
    static const size_t lengths[] = { 4094, 4095, 4096, 4097, 4098, 9000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        for (int kind = 0; kind < 8; kind++) {
            struct buf body;

            buf_init(&body, LETTER_MAX);
            buf_put_str(&body, kind & 1 ? "a" : "");
            for (size_t n = 0; n < lengths[i]; n++) {
                buf_put_str(&body, "\r\n");
            }
            buf_put_str(&body, kind & 2 ? "b\r\n\r\n" : kind & 4 ? " \r" : "");
            compare(buf_slice(&body), 4096);
            compare(buf_slice(&body), 3);
            buf_fini(&body);
        }
    }
}

static void fields_as_rfc_6376_3_4_shows_them(void **state)
{
    static const struct {
        const char *field, *relaxed;
    } rows[] = {
        { "A: X", "a:X" },
        { "B : Y\t\r\n\tZ  ", "b:Y Z" },
        { "Subject: AbC", "subject:AbC" },
        { "X-Empty:", "x-empty:" },
        { "X-Empty: \r\n ", "x-empty:" },
        { "X:\r\n a\r\n\tb", "x:a b" },
        { "X: a\rb\nc \r d", "x:a\rb\nc \r d" },
        { "X: a:b : c", "x:a:b : c" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice field = slice_str(rows[i].field);
        struct gathered g;
        struct dkim_sink sink;
        struct buf slow;

        buf_init(&g.text, LETTER_MAX);
        buf_init(&slow, LETTER_MAX);
        dkim_sink_init(&sink, on_put, &g);
        dkim_canon_field(&sink, DKIM_RELAXED, field, slice_find(field, ':'), SLICE_NONE);
        dkim_sink_flush(&sink);
        assert_string_equal(g.text.ptr, rows[i].relaxed);
        letter_canon_field(field, DKIM_RELAXED, &slow);
        assert_string_equal(slow.ptr, rows[i].relaxed);
        buf_reset(&g.text);
        dkim_canon_field(&sink, DKIM_SIMPLE, field, slice_find(field, ':'), SLICE_NONE);
        dkim_sink_flush(&sink);
        assert_string_equal(g.text.ptr, rows[i].field);
        buf_fini(&g.text);
        buf_fini(&slow);
    }
}

/* b= is cut out wherever its white space is. */
static void the_hole_leaves_no_trace(void **state)
{
    static const struct {
        const char *before, *hole, *behind, *relaxed;
    } rows[] = {
        { "S: a=1; b=", " x\r\n y ", "; c=2", "s:a=1; b=; c=2" },
        { "S: b=", "x", "", "s:b=" },
        { "S: a=1; b =", "x ", "", "s:a=1; b =" },
        { "S:b= ", "x", " ;d", "s:b= ;d" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct dkim_sink sink;
        struct gathered g;
        struct buf text;
        size_t before = strlen(rows[i].before);

        buf_init(&g.text, LETTER_MAX);
        buf_init(&text, LETTER_MAX);
        buf_putf(&text, "%s%s%s", rows[i].before, rows[i].hole, rows[i].behind);
        dkim_sink_init(&sink, on_put, &g);
        dkim_canon_field(&sink, DKIM_RELAXED, buf_slice(&text), 1,
                         slice_of(text.ptr + before, strlen(rows[i].hole)));
        dkim_sink_flush(&sink);
        assert_string_equal(g.text.ptr, rows[i].relaxed);
        buf_fini(&g.text);
        buf_fini(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_short_bodies_in_all_chunks),
        cmocka_unit_test(random_bodies_in_random_chunks),
        cmocka_unit_test(one_change_at_every_place),
        cmocka_unit_test(a_long_run_of_line_ends_is_written_ahead_and_taken_back),
        cmocka_unit_test(fields_as_rfc_6376_3_4_shows_them),
        cmocka_unit_test(the_hole_leaves_no_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
