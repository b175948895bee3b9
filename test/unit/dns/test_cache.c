/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cache.c - the cache: bounds, order of eviction, lifetimes, references.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>

#include "core/metrics.h"
#include "dns/cache.h"

static struct dns_answer *answer(uint64_t expires_ms)
{
    struct dns_answer *ans = dns_answer_empty(DNS_NXDOMAIN, DNS_WHY_NONE);

    ans->expires_ms = expires_ms;
    return ans;
}

static struct dns_answer *get(struct cache *c, const char *name, uint64_t now_ms)
{
    struct table_key key = table_key(&c->table, slice_str(name));

    return cache_get(c, &key, now_ms);
}

/* Leaves the cache with the only reference. */
static void put(struct cache *c, struct slice key, uint64_t expires_ms, uint64_t now_ms)
{
    struct dns_answer *ans = answer(expires_ms);
    struct table_key k = table_key(&c->table, key);

    cache_put(c, &k, ans, now_ms);
    dns_answer_unref(ans);
}

static struct slice numbered(char mem[16], unsigned n)
{
    return slice_of(mem, (size_t)snprintf(mem, 16, "key%u", n));
}

static void what_was_put_is_found_until_it_expires(void **state UNUSED)
{
    struct cache c;

    cache_init(&c, 10, 100000);
    put(&c, SLICE("a"), 1000, 0);
    assert_non_null(get(&c, "a", 999));
    assert_null(get(&c, "b", 999));
    assert_null(get(&c, "a", 1000));
    assert_int_equal(cache_len(&c), 0);
    assert_int_equal(c.bytes, 0);
    cache_fini(&c);
}

static void the_least_recently_used_goes_first(void **state UNUSED)
{
    struct cache c;

    cache_init(&c, 2, 100000);
    put(&c, SLICE("a"), 1000, 0);
    put(&c, SLICE("b"), 1000, 0);
    assert_non_null(get(&c, "a", 1));
    put(&c, SLICE("c"), 1000, 0);
    assert_non_null(get(&c, "a", 1));
    assert_null(get(&c, "b", 1));
    assert_non_null(get(&c, "c", 1));
    assert_int_equal(c.evicted, 1);
    cache_fini(&c);
}

static void octets_are_bounded(void **state UNUSED)
{
    struct cache c;
    char mem[16];
    size_t one;

    cache_init(&c, 1000, 100000);
    put(&c, SLICE("key0"), 1000, 0);
    one = c.bytes;
    cache_fini(&c);

    cache_init(&c, 1000, one * 3 + one / 2);
    for (unsigned i = 0; i < 10; i++) {
        put(&c, numbered(mem, i), 1000, 0);
        assert_true(c.bytes <= c.max_bytes);
    }
    assert_int_equal(cache_len(&c), 3);
    cache_fini(&c);

    cache_init(&c, 1000, one - 1);
    put(&c, SLICE("key0"), 1000, 0);
    assert_int_equal(cache_len(&c), 0);
    cache_fini(&c);
}

static void a_second_answer_replaces_the_first(void **state UNUSED)
{
    struct cache c;
    size_t one;

    cache_init(&c, 10, 100000);
    put(&c, SLICE("a"), 1000, 0);
    one = c.bytes;
    put(&c, SLICE("a"), 2000, 0);
    assert_int_equal(cache_len(&c), 1);
    assert_int_equal(c.bytes, one);
    assert_int_equal(get(&c, "a", 0)->expires_ms, 2000);
    cache_fini(&c);
}

static void a_reference_outlives_the_entry(void **state UNUSED)
{
    struct cache c;
    struct dns_answer *ans;

    cache_init(&c, 1, 100000);
    put(&c, SLICE("a"), 1000, 0);
    ans = dns_answer_ref(get(&c, "a", 0));
    put(&c, SLICE("b"), 1000, 0);
    cache_fini(&c);
    assert_int_equal(ans->status, DNS_NXDOMAIN);
    assert_int_equal(ans->refs, 1);
    dns_answer_unref(ans);
}

static void without_entries_nothing_is_kept(void **state UNUSED)
{
    struct cache c;

    cache_init(&c, 0, 100000);
    put(&c, SLICE("a"), 1000, 0);
    assert_null(get(&c, "a", 0));
    cache_fini(&c);
}

struct ttl_row {
    const char *label;
    enum dns_status status;
    enum dns_why why;
    uint32_t ttl_s;
    uint32_t want;
};

static const struct ttl_row ttl_rows[] = {
    { "positive inside the clamp", DNS_OK, DNS_WHY_NONE, 77, 77 },
    { "positive too short", DNS_OK, DNS_WHY_NONE, 0, 2 },
    { "positive too long", DNS_OK, DNS_WHY_NONE, 86400, 3600 },
    { "negative by its SOA", DNS_NXDOMAIN, DNS_WHY_NONE, 30, 30 },
    { "negative too long", DNS_NODATA, DNS_WHY_NONE, 86400, 300 },
    { "negative without SOA", DNS_NXDOMAIN, DNS_WHY_NONE, 0, 2 },
    { "failure", DNS_TEMPFAIL, DNS_WHY_SERVFAIL, 0, 5 },
    { "timeout", DNS_TEMPFAIL, DNS_WHY_TIMEOUT, 0, 5 },
    { "overload says nothing about the name", DNS_TEMPFAIL, DNS_WHY_OVERLOAD, 0, 0 },
    { "illegal names cost nothing to find out", DNS_NXDOMAIN, DNS_WHY_ILLEGAL, 0, 0 },
};

static void lifetimes_are_clamped(void **state UNUSED)
{
    struct dns_settings s = dns_settings_default();

    s.min_ttl_s = 2;
    for (size_t i = 0; i < ARRAY_LEN(ttl_rows); i++) {
        const struct ttl_row *row = &ttl_rows[i];
        struct dns_answer ans = { .status = (uint8_t)row->status, .why = (uint8_t)row->why };

        ans.ttl_s = row->ttl_s;
        if (cache_ttl_s(&s, &ans) != row->want) {
            fail_msg("%s: %u", row->label, cache_ttl_s(&s, &ans));
        }
    }
}

static void made_answers_hold_their_records(void **state UNUSED)
{
    struct dns_record rec[2] = { { .ttl_s = 5, .data = SLICE_INIT("\x7f\0\0\x02") },
                                 { .ttl_s = 6, .data = SLICE_INIT("mx.example") } };
    struct dns_answer *ans = dns_answer_make(rec, 2);
    struct addr a = dns_record_addr(&ans->records[0]);

    assert_int_equal(ans->count, 2);
    assert_int_equal(a.family, ADDR_V4);
    assert_int_equal(a.ip[3], 2);
    assert_string_equal(ans->records[1].data.ptr, "mx.example");
    assert_int_equal(dns_record_addr(&ans->records[1]).family, ADDR_NONE);
    dns_answer_unref(ans);
    assert_string_equal(dns_status_text(DNS_TEMPFAIL), "tempfail");
    assert_string_equal(dns_why_text(DNS_WHY_OVERLOAD), "overload");
}

static size_t heap_now(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

/* Answers of all sizes: what is counted is what the heap holds, and limits.memory sees it. */
static void memory_is_counted_as_the_heap_has_it(void **state UNUSED)
{
    uint64_t held = metric_get(M_MEMORY_HELD);
    size_t before = heap_now(), heap;
    char name[16], text[4000];
    struct cache c;

    memset(text, 'x', sizeof(text));
    if (before == 0) {
        skip(); /* a sanitizer has the heap */
    }
    cache_init(&c, 100000, 4 << 20);
    for (unsigned i = 0; i < 20000; i++) {
        struct dns_record r = { .data = slice_of(text, i * 7 % (i % 10 == 0 ? 4000 : 100)) };
        struct dns_answer *ans = dns_answer_make(&r, 1);
        struct table_key k = table_key(&c.table, numbered(name, i));

        ans->expires_ms = 1000;
        cache_put(&c, &k, ans, 0);
        dns_answer_unref(ans);
        assert_true(c.bytes <= 4 << 20);
    }
    heap = heap_now() - before;
    assert_true(c.evicted > 0);
    assert_in_range(heap, c.bytes * 95 / 100, c.bytes * 102 / 100);
    assert_int_equal(metric_get(M_MEMORY_HELD) - held, c.bytes);
    assert_int_equal(metric_get(M_DNS_CACHE_BYTES), c.bytes);
    cache_fini(&c);
    assert_int_equal(metric_get(M_MEMORY_HELD), held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found_until_it_expires),
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(octets_are_bounded),
        cmocka_unit_test(a_second_answer_replaces_the_first),
        cmocka_unit_test(a_reference_outlives_the_entry),
        cmocka_unit_test(without_entries_nothing_is_kept),
        cmocka_unit_test(lifetimes_are_clamped),
        cmocka_unit_test(made_answers_hold_their_records),
        { "C3: memory is counted as the heap has it", memory_is_counted_as_the_heap_has_it, NULL, NULL,
          NULL },
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
