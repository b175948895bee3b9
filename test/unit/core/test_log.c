/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log.c - log lines and metrics: whole lines whatever is in them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/metrics.h"

static char got[LOG_LINE_MAX + 1];
static unsigned lines;
static enum log_class got_class;

static void catch_line(enum log_level level, enum log_class cls, struct slice line, void *arg)
{
    (void)level;
    (void)arg;
    assert_true(line.len < sizeof(got));
    memcpy(got, line.ptr, line.len);
    got[line.len] = '\0';
    got_class = cls;
    lines++;
}

static int setup(void **state)
{
    (void)state;
    log_set_sink(catch_line, NULL);
    log_set_format(LOG_FORMAT_JSON);
    log_set_level(LOG_LEVEL_INFO);
    log_set_process("", 0);
    return 0;
}

/* Braces, brackets and quotes close; no raw control characters: enough of JSON for one flat line. */
static bool is_whole_json(const char *text)
{
    char stack[8];
    size_t depth = 0;
    bool in_text = false;

    for (; *text && *text != '\n'; text++) {
        if (in_text && *text == '\\') {
            text++;
        } else if (*text == '"') {
            in_text = !in_text;
        } else if (!in_text && (*text == '{' || *text == '[')) {
            stack[depth++] = *text == '{' ? '}' : ']';
        } else if (!in_text && (*text == '}' || *text == ']') && (depth == 0 || stack[--depth] != *text)) {
            return false;
        }
    }
    return depth == 0 && !in_text && text[0] == '\n' && text[1] == '\0';
}

static void a_line_has_its_keys_in_order(void **state)
{
    struct log_line l;
    struct addr a;

    (void)state;
    assert_true(addr_parse_ip(SLICE("2001:db8::1"), &a));
    log_set_process("worker", 3);
    assert_true(log_begin(&l, LOG_LEVEL_WARN, "upstream_down"));
    log_class_of(&l, LOG_CLASS_ACCEPTED);
    log_text(&l, "server", "mx \"1\"");
    log_num(&l, "failures", -3);
    log_bool(&l, "down", true);
    log_ip(&l, "ip", &a);
    log_list_begin(&l, "tags");
    log_item(&l, SLICE("a"));
    log_item(&l, SLICE("b\r\nc"));
    log_list_end(&l);
    log_end(&l);
    assert_true(got[0] == '{' && slice_starts(slice_str(got + 9), SLICE("20")));
    assert_int_equal(strlen("{\"time\":\"2026-11-21T21:00:00.123Z\","), 35);
    assert_string_equal(got + 34,
                        ",\"level\":\"warn\",\"process\":\"worker\",\"worker\":3,\"event\":\"upstream_down\","
                        "\"server\":\"mx \\\"1\\\"\",\"failures\":-3,\"down\":true,\"ip\":\"2001:db8::1\","
                        "\"tags\":[\"a\",\"b\\r\\nc\"]}\n");
    assert_int_equal(got_class, LOG_CLASS_ACCEPTED);
}

static void text_is_for_people(void **state)
{
    struct log_line l;

    (void)state;
    log_set_format(LOG_FORMAT_TEXT);
    log_set_process("supervisor", 0);
    assert_true(log_begin(&l, LOG_LEVEL_INFO, "start"));
    log_text(&l, "a", "word");
    log_text(&l, "b", "two words");
    log_text(&l, "c", "");
    log_text(&l, "d", "x\ny");
    log_list_begin(&l, "e");
    log_item(&l, SLICE("1"));
    log_item(&l, SLICE("2 3"));
    log_list_end(&l);
    log_end(&l);
    assert_string_equal(got + 24,
                        " info start process=supervisor a=word b=\"two words\" c=\"\" d=\"x\\x0ay\" "
                        "e=1,\"2 3\"\n");
}

static void levels_are_kept_back(void **state)
{
    struct log_line l;

    (void)state;
    lines = 0;
    assert_false(log_begin(&l, LOG_LEVEL_DEBUG, "x"));
    log_msg(LOG_LEVEL_TRACE, "x", "%d", 1);
    assert_int_equal(lines, 0);
    log_msg(LOG_LEVEL_ERROR, "x", "%d", 1);
    assert_int_equal(lines, 1);
}

/* Every length of filling meets the end of the line somewhere else. */
static void a_full_line_is_still_whole(void **state)
{
    static const enum log_format formats[] = { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };
    char junk[700];

    (void)state;
    memset(junk, '\x01', sizeof(junk));
    for (size_t i = 0; i < 2 * 700; i++) {
        struct log_line l;
        bool json = formats[i % 2] == LOG_FORMAT_JSON;

        log_set_format(formats[i % 2]);
        assert_true(log_begin(&l, LOG_LEVEL_INFO, "full"));
        log_str(&l, "pad", slice_of(junk, i / 2));
        log_list_begin(&l, "list");
        for (int k = 0; k < 700; k++) {
            log_item(&l, slice_of(junk, i % 9));
            log_item(&l, SLICE("word"));
        }
        log_list_end(&l);
        log_num(&l, "n", 1);
        log_text(&l, "last", "value");
        log_end(&l);
        assert_true(strlen(got) < LOG_LINE_MAX);
        assert_non_null(strstr(got, json ? ",\"cut\":true}\n" : " cut=true\n"));
        assert_true(!json || is_whole_json(got));
    }
}

static void one_value_is_capped(void **state)
{
    char junk[5000];
    struct log_line l;

    (void)state;
    memset(junk, 'a', sizeof(junk));
    assert_true(log_begin(&l, LOG_LEVEL_INFO, "e"));
    log_str(&l, "v", slice_of(junk, sizeof(junk)));
    log_text(&l, "w", "still here");
    log_end(&l);
    assert_true(is_whole_json(got));
    assert_non_null(strstr(got, "aaa...\",\"w\":\"still here\"}"));
    assert_true(strlen(got) < LOG_VALUE_MAX + 150);
}

static void repeats_are_counted(void **state)
{
    struct log_limit lim = { 0 };
    uint32_t n;

    (void)state;
    assert_true(log_allowed(&lim, 1000, 10, &n));
    assert_int_equal(n, 0);
    assert_false(log_allowed(&lim, 5000, 10, &n));
    assert_false(log_allowed(&lim, 10999, 10, &n));
    assert_true(log_allowed(&lim, 11000, 10, &n));
    assert_int_equal(n, 2);
}

static void metrics_are_rendered_once_a_name(void **state)
{
    static _Atomic uint64_t mine[METRIC_COUNT];
    uint64_t values[METRIC_COUNT];
    struct buf b;

    (void)state;
    count(M_SESSIONS);
    metrics_use(mine);
    count_n(M_SESSIONS, 5);
    gauge_add(M_SESSIONS_NOW, 2);
    gauge_add(M_SESSIONS_NOW, -3);
    gauge_set(M_GENERATION, 7);
    gauge_set(M_LONGEST_TURN_US, 2000345);
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        values[i] = metric_get((enum metric)i);
    }
    buf_init(&b, 100000);
    metrics_render(&b, values);
    assert_true(buf_ok(&b));
    assert_non_null(strstr(b.ptr, "# HELP glacis_sessions_total Sessions accepted\n"
                                  "# TYPE glacis_sessions_total counter\nglacis_sessions_total 5\n"));
    assert_non_null(strstr(b.ptr, "\nglacis_sessions -1\n"));
    assert_non_null(strstr(b.ptr, "# TYPE glacis_longest_turn_seconds gauge\n"
                                  "glacis_longest_turn_seconds 2.000345\n"));
    assert_non_null(strstr(b.ptr, "\nglacis_closes_total{reason=\"lost\"} 0\n"));
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        char type[100];
        char *first;

        (void)snprintf(type, sizeof(type), "# TYPE %s ", metric_table[i].name);
        first = strstr(b.ptr, type);
        assert_non_null(first);
        assert_null(strstr(first + 1, type));
    }
    metrics_use(NULL);
    assert_int_equal(metric_get(M_SESSIONS), 1);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_has_its_keys_in_order, setup),
        cmocka_unit_test_setup(text_is_for_people, setup),
        cmocka_unit_test_setup(levels_are_kept_back, setup),
        cmocka_unit_test_setup(a_full_line_is_still_whole, setup),
        cmocka_unit_test_setup(one_value_is_capped, setup),
        cmocka_unit_test_setup(repeats_are_counted, setup),
        cmocka_unit_test_setup(metrics_are_rendered_once_a_name, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
