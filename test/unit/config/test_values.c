/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_values.c - durations, sizes, rates and the likeness of words.
 */
#include "helper.h"

#include "config/values.h"

static void durations_are_read_and_written_back(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t ms;
        const char *back; /* NULL: the same */
    } rows[] = {
        { "500ms", true, 500, NULL },
        { "5s", true, 5000, NULL },
        { "10m", true, 600000, NULL },
        { "2h", true, 7200000, NULL },
        { "7d", true, 604800000, NULL },
        { "9m30s", true, 570000, NULL },
        { "60s", true, 60000, "1m" },
        { "0s", true, 0, NULL },
        { "1500ms", true, 1500, "1s500ms" },
        { "24h", true, 86400000, "1d" },
        { "4294967295d", true, 4294967295ull * 86400000ull, NULL },
        { "5", false, 0, NULL },
        { "", false, 0, NULL },
        { "s", false, 0, NULL },
        { "5 s", false, 0, NULL },
        { "5S", false, 0, NULL },
        { "-5s", false, 0, NULL },
        { "1.5s", false, 0, NULL },
        { "30s9m", false, 0, NULL },
        { "1s1s", false, 0, NULL },
        { "5sec", false, 0, NULL },
        { "4294967296s", false, 0, NULL },
        { "off", false, 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t ms;
        bool ok = value_parse_duration(slice_str(rows[i].text), &ms);
        struct buf b;

        if (ok != rows[i].ok || ms != rows[i].ms) {
            fail_msg("%s: %d %" PRIu64, rows[i].text, ok, ms);
        }
        buf_init(&b, 100);
        value_put_duration(&b, ms);
        if (ok) {
            assert_string_equal(b.ptr, rows[i].back != NULL ? rows[i].back : rows[i].text);
        }
        buf_fini(&b);
    }
}

static void sizes_are_read_and_written_back(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t octets;
        const char *back;
    } rows[] = {
        { "64KiB", true, 65536, NULL },
        { "50MiB", true, 52428800, NULL },
        { "4GiB", true, 4294967296ull, NULL },
        { "2TiB", true, 2ull << 40, NULL },
        { "1kB", true, 1000, "1000" },
        { "36MB", true, 36000000, "36000000" },
        { "1GB", true, 1000000000, "1000000000" },
        { "1024", true, 1024, "1KiB" },
        { "0", true, 0, NULL },
        { "1000", true, 1000, NULL },
        { "5M", false, 0, NULL },
        { "5mb", false, 0, NULL },
        { "KiB", false, 0, NULL },
        { "", false, 0, NULL },
        { "1.5MiB", false, 0, NULL },
        { "-1", false, 0, NULL },
        { "18446744073709551615", false, 0, NULL },
        { "99999999TiB", false, 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t octets;
        bool ok = value_parse_size(slice_str(rows[i].text), &octets);
        struct buf b;

        if (ok != rows[i].ok || (ok && octets != rows[i].octets)) {
            fail_msg("%s: %d %" PRIu64, rows[i].text, ok, octets);
        }
        buf_init(&b, 100);
        if (ok) {
            value_put_size(&b, octets);
            assert_string_equal(b.ptr, rows[i].back != NULL ? rows[i].back : rows[i].text);
        }
        buf_fini(&b);
    }
}

static void percentages_and_rates_are_read(void **state)
{
    unsigned percent;
    struct config_rate rate;

    (void)state;
    assert_true(value_parse_percent(SLICE("80%"), &percent));
    assert_int_equal(percent, 80);
    assert_false(value_parse_percent(SLICE("80"), &percent));
    assert_false(value_parse_percent(SLICE("101%"), &percent));
    assert_false(value_parse_percent(SLICE("%"), &percent));
    assert_true(value_parse_rate(SLICE("60/1m"), &rate));
    assert_int_equal(rate.count, 60);
    assert_int_equal(rate.per_ms, 60000);
    assert_false(value_parse_rate(SLICE("0/1m"), &rate));
    assert_false(value_parse_rate(SLICE("60/m"), &rate));
    assert_false(value_parse_rate(SLICE("60"), &rate));
    assert_false(value_parse_rate(SLICE("60/100ms"), &rate));
    assert_false(value_parse_rate(SLICE("/1m"), &rate));
}

static void names_with_ports_are_told_from_addresses(void **state)
{
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        { "mail.corp:25", true },     { "localhost:2525", true }, { "10.1.1.300:25", false },
        { "10.1.1.10", false },       { "mail.corp", false },     { "mail.corp:0", false },
        { "mail.corp:65536", false }, { ":25", false },           { "ma il.corp:25", false },
        { "::1:25", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice host;
        uint16_t port;

        if (value_parse_name_port(slice_str(rows[i].text), &host, &port) != rows[i].ok) {
            fail_msg("%s", rows[i].text);
        }
    }
}

static void distance_counts_single_edits(void **state)
{
    char long_text[80];

    (void)state;
    memset(long_text, 'a', sizeof(long_text));
    assert_int_equal(value_distance(SLICE("listen"), SLICE("listen")), 0);
    assert_int_equal(value_distance(SLICE("lisen"), SLICE("listen")), 1);
    assert_int_equal(value_distance(SLICE("lsiten"), SLICE("listen")), 1);
    assert_int_equal(value_distance(SLICE("LISTEN"), SLICE("listen")), 0);
    assert_int_equal(value_distance(SLICE(""), SLICE("abc")), 3);
    assert_int_equal(value_distance(SLICE("abc"), SLICE("")), 3);
    assert_int_equal(value_distance(slice_of(long_text, 80), SLICE("abc")), (unsigned)-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read_and_written_back),
        cmocka_unit_test(sizes_are_read_and_written_back),
        cmocka_unit_test(percentages_and_rates_are_read),
        cmocka_unit_test(names_with_ports_are_told_from_addresses),
        cmocka_unit_test(distance_counts_single_edits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
