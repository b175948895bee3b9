/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_record.c - records survive both forms, are cut with a mark, and hostile octets never pass for more than they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "history/reduce.h"
#include "history/row.h"
#include "test/unit/history/traffic.h"

static const struct traffic_from from = { 77, 5 };

static struct traffic traffic = { .state = 42, .people = 9, .domains = 5, .networks = 40 };

static bool same_item(const struct item *a, const struct item *b)
{
    return a->what == b->what && a->state == b->state && a->type == b->type && a->number == b->number &&
           slice_eq(a->name, b->name) && slice_eq(a->text, b->text);
}

static void assert_same(const struct record *a, const struct record *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->cut, b->cut);
    assert_int_equal(a->time_ms, b->time_ms);
    assert_true(record_id_same(&a->id, &b->id));
    assert_memory_equal(&a->client, &b->client, sizeof(a->client));
    assert_int_equal(a->has, b->has);
    for (unsigned f = 1; f < FIELD_COUNT; f++) {
        assert_int_equal(a->num[f], b->num[f]);
        assert_true(slice_eq(a->text[f], b->text[f]));
    }
    assert_int_equal(a->item_count, b->item_count);
    for (size_t i = 0; i < a->item_count; i++) {
        assert_true(same_item(&a->items[i], &b->items[i]));
    }
}

static void test_both_forms(void **state)
{
    struct words words;

    (void)state;
    words_init(&words);
    for (unsigned i = 0; i < 300; i++) {
        struct message m;
        struct record_writer wire, packed;
        struct record a, b;
        struct slice s;

        traffic_message(&traffic, 1790000000000 + i, &m);
        s = traffic_write_message(&wire, &m, from);
        assert_true(record_decode(s, NULL, NULL, &a));
        assert_int_equal(a.start, 77);
        assert_int_equal(a.number, 5);
        s = record_write(&packed, &a, &words, NULL);
        assert_true(s.len < wire.b.len / 2);
        assert_false(record_decode(s, NULL, NULL, &b)); /* the packed form is not a worker's to send */
        assert_true(record_decode(s, &words, NULL, &b));
        assert_same(&a, &b);
        assert_true(
            slice_eq(record_field(&b, FIELD_OUTCOME), m.refused ? SLICE("refused") : SLICE("accepted")));
        assert_non_null(record_item(&b, ITEM_RULE, SLICE("helo-impersonates")));
        assert_null(record_item(&b, ITEM_FACT, SLICE("helo-impersonates")));
    }
    words_fini(&words);
}

static void test_states_of_facts(void **state)
{
    static const struct item items[] = {
        { ITEM_FACT, ITEM_KNOWN, ITEM_TRUE, SLICE_INIT("spf.weak"), { NULL, 0 }, 0 },
        { ITEM_FACT, ITEM_TIMEOUT, ITEM_NONE, SLICE_INIT("dmarc"), { NULL, 0 }, 0 },
        { ITEM_LIST, ITEM_BREAKER, ITEM_NONE, SLICE_INIT("zen"), { NULL, 0 }, 0 },
        { ITEM_LIST, ITEM_KNOWN, ITEM_WORD, SLICE_INIT("spamcop"), SLICE_INIT("127.0.0.2"), 0 },
        { ITEM_GROUP, ITEM_KNOWN, ITEM_FALSE, SLICE_INIT("allow_clients"), { NULL, 0 }, 0 },
        { ITEM_FACT, ITEM_KNOWN, ITEM_NUMBER, SLICE_INIT("score"), { NULL, 0 }, -2500 },
        { ITEM_FACT, ITEM_BUDGET, ITEM_TEXT, SLICE_INIT("spf.explanation"), SLICE_INIT("so \xff far"), 0 },
        { ITEM_FACT, ITEM_NOT_ASKED, ITEM_NONE, SLICE_INIT("dkim"), { NULL, 0 }, 0 },
    };
    struct record head = { .kind = RECORD_RECIPIENT, .number = 1 }, r;
    struct record_writer w;

    (void)state;
    record_begin(&w, &head);
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        record_put_item(&w, &items[i]);
    }
    assert_true(record_decode(record_end(&w), NULL, NULL, &r));
    assert_int_equal(r.item_count, ARRAY_LEN(items) - 1); /* not asked is not written */
    for (size_t i = 0; i < r.item_count; i++) {
        assert_true(same_item(&r.items[i], &items[i]));
    }
}

static void test_cut(void **state)
{
    char text[2000];
    struct record head = { .kind = RECORD_MESSAGE, .number = 1 }, r;
    struct record_writer w;
    struct slice s;

    (void)state;
    memset(text, 'x', sizeof(text));
    record_begin(&w, &head);
    for (unsigned f = 1; f < FIELD_COUNT; f++) {
        record_put_text(&w, (enum field_id)f, slice_of(text, sizeof(text)));
    }
    s = record_end(&w);
    assert_true(s.len <= RECORD_MAX);
    assert_true(record_decode(s, NULL, NULL, &r));
    assert_true(r.cut);
    assert_int_equal(record_field(&r, FIELD_HOST).len, RECORD_TEXT_MAX);
    record_begin(&w, &head);
    for (unsigned i = 0; i < 1000; i++) {
        traffic_item(&w, ITEM_FACT, "a.fact.with.a.name", "a value");
    }
    s = record_end(&w);
    assert_true(s.len <= RECORD_MAX);
    assert_true(record_decode(s, NULL, NULL, &r));
    assert_true(r.cut);
    assert_true(r.item_count > 100);
}

/* A field of a later version is skipped in each of its shapes. */
static void test_later_version(void **state)
{
    struct record head = { .kind = RECORD_MESSAGE, .number = 1 }, r;
    struct record_writer w;

    (void)state;
    record_begin(&w, &head);
    record_put_varint(&w.b, 90u << 2 | 0);
    record_put_varint(&w.b, 12345);
    record_put_varint(&w.b, 91u << 2 | 1);
    record_put_varint(&w.b, 3u << 1);
    buf_put_str(&w.b, "new");
    record_put_varint(&w.b, 92u << 2 | 2);
    record_put_varint(&w.b, 4);
    buf_put_str(&w.b, "four");
    record_put_text(&w, FIELD_OUTCOME, SLICE("accepted"));
    assert_true(record_decode(record_end(&w), NULL, NULL, &r));
    assert_true(slice_eq(record_field(&r, FIELD_OUTCOME), SLICE("accepted")));
}

static void test_hostile(void **state)
{
    struct message m;
    struct record_writer w;
    struct record r;
    struct slice s;

    (void)state;
    traffic_message(&traffic, 1790000000000, &m);
    s = traffic_write_message(&w, &m, from);
    for (size_t len = 0; len < s.len; len++) { /* no cut crashes; the sanitizers watch the copies */
        char *copy = xmalloc(len + 1);

        memcpy(copy, s.ptr, len);
        assert_true(!record_decode(slice_of(copy, len), NULL, NULL, &r) || r.item_count <= RECORD_ITEMS_MAX);
        free(copy);
    }
    for (unsigned i = 0; i < 20000; i++) {
        char copy[RECORD_MAX];

        memcpy(copy, s.ptr, s.len);
        for (unsigned k = 0; k < 3; k++) {
            copy[traffic_below(&traffic, (unsigned)s.len)] = (char)traffic_random(&traffic);
        }
        if (record_decode(slice_of(copy, s.len), NULL, NULL, &r)) {
            assert_true(r.item_count <= RECORD_ITEMS_MAX && r.kind < RECORD_KIND_COUNT);
        }
    }
}

static void test_ids(void **state)
{
    struct record_id id, again;
    struct record_ending e;
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    for (unsigned i = 0; i < 200; i++) {
        traffic_id(&traffic, 1790000000000, &id);
        buf_reset(&b);
        record_id_put(&b, &id);
        assert_true(record_id_parse(buf_slice(&b), &again));
        assert_true(record_id_same(&id, &again));
        assert_int_equal(record_id_time_ms(&id), 1790000000000);
        assert_true(record_id_parse_ending(slice_skip(buf_slice(&b), 20), &e));
        assert_true(record_id_matches(&id, &e));
    }
    buf_fini(&b);
    assert_true(record_id_parse(SLICE("01kbcz6h3v8wqh5toc4e7kq2m9.1"), &id)); /* the o is a zero */
    assert_true(record_id_parse(SLICE("0lKBCZ6H3V8WQH5T0C4E7KQ2M9.1"), &again));
    assert_true(record_id_same(&id, &again));
    assert_true(record_id_parse_ending(SLICE("7kq2m9"), &e));
    assert_true(record_id_matches(&id, &e));
    assert_true(record_id_parse_ending(SLICE("7kq2m9.2"), &e));
    assert_false(record_id_matches(&id, &e));
    assert_false(record_id_parse_ending(SLICE("kq2m9"), &e));
    assert_false(record_id_parse_ending(SLICE("7kq2mu"), &e)); /* no U in the alphabet */
    assert_false(record_id_parse_ending(SLICE("7kq2m9.x"), &e));
    assert_false(record_id_parse(SLICE("81KBCZ6H3V8WQH5T0C4E7KQ2M9"), &id)); /* 129 bits */
}

static void test_reduce(void **state)
{
    static const struct item address = { ITEM_FACT,          ITEM_KNOWN,
                                         ITEM_ADDRESS,       SLICE_INIT("message.from_local"),
                                         SLICE_INIT("anna"), 0 };
    struct record head = { .kind = RECORD_MESSAGE, .number = 1, .client = { ADDR_V4, 0, { 192, 0, 2, 7 } } },
                  r, again;
    struct record_writer w;
    struct arena arena;
    struct slice key = SLICE("key"), hashed;

    (void)state;
    arena_init(&arena, 4096);
    record_begin(&w, &head);
    record_put_text(&w, FIELD_SENDER, SLICE("Anna@bigpond.example"));
    record_put_text(&w, FIELD_REPLY, SLICE("anna@bigpond.example is unknown"));
    record_put_text(&w, FIELD_OUTCOME, SLICE("refused"));
    record_put_item(&w, &address);
    assert_true(record_decode(record_end(&w), NULL, NULL, &r));
    again = r;
    reduce_record(&r, HISTORY_ADDRESSES_HASH, key, &arena);
    hashed = reduce_address(SLICE("anna@bigpond.example"), HISTORY_ADDRESSES_HASH, key, &arena);
    assert_true(slice_eq_nocase(record_field(&r, FIELD_SENDER), hashed));
    assert_true(slice_ends_nocase(hashed, SLICE("@bigpond.example")));
    assert_false(record_has(&r, FIELD_REPLY));
    assert_true(record_has(&r, FIELD_OUTCOME));
    assert_int_equal(r.items[0].text.ptr[0], '~');
    assert_int_equal(r.client.ip[3], 0);
    reduce_record(&r, HISTORY_ADDRESSES_HASH, key, &arena); /* once more changes nothing */
    assert_true(slice_eq_nocase(record_field(&r, FIELD_SENDER), hashed));
    reduce_record(&again, HISTORY_ADDRESSES_DOMAIN, key, &arena);
    assert_true(slice_eq(record_field(&again, FIELD_SENDER), SLICE("@bigpond.example")));
    arena_fini(&arena);
}

static void test_words_are_capped(void **state)
{
    struct words words;
    struct slice text;
    char mem[16];

    (void)state;
    words_init(&words);
    for (unsigned i = 0; i < WORDS_MAX + 50; i++) {
        struct buf b;

        buf_init_fixed(&b, mem, sizeof(mem));
        buf_putf(&b, "word-%u", i);
        assert_int_equal(words_number(&words, buf_slice(&b)), i < WORDS_MAX ? (int)i : -1);
    }
    assert_true(words_at(&words, 7, &text));
    assert_true(slice_eq(text, SLICE("word-7")));
    assert_false(words_at(&words, WORDS_MAX, &text));
    words_truncate(&words, 7);
    assert_int_equal(words_number(&words, SLICE("another")), 7);
    words_fini(&words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_forms), cmocka_unit_test(test_states_of_facts),
        cmocka_unit_test(test_cut),        cmocka_unit_test(test_later_version),
        cmocka_unit_test(test_hostile),    cmocka_unit_test(test_ids),
        cmocka_unit_test(test_reduce),     cmocka_unit_test(test_words_are_capped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
