/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_yaml_words.c - what people write that is not YAML, each with its sentence, word for word.
 */
#include "helper.h"

#include "config/tree.h"

static void said_of(struct slice text, struct buf *said)
{
    struct config_errors errs = { .count = 0 };
    struct arena arena;

    arena_init(&arena, 1u << 20);
    buf_init(said, 1u << 20);
    if (config_tree_parse(text, &arena, &errs) == NULL) {
        assert_true(errs.fatal > 0);
    }
    config_errors_print(&errs, "f", said);
    buf_put_str(said, "");
    config_errors_fini(&errs);
    arena_fini(&arena);
}

static void typical_mistakes_have_words_for_people(void **state)
{
    static const struct {
        const char *label;
        struct slice text;
        const char *said;
    } rows[] = {
        { "an address in brackets", SLICE_INIT("server:\n  listen: [::]:25\n"),
          "f:2:12: error: not YAML: an address in brackets needs quotes, such as \"[::]:25\"\n" },
        { "an address in brackets, in a list", SLICE_INIT("server:\n  listen:\n    - [::]:25\n"),
          "f:3:8: error: not YAML: an address in brackets needs quotes, such as \"[::]:25\"\n" },
        { "an address in brackets, in brackets", SLICE_INIT("server:\n  listen: [0.0.0.0:25, [::]:25]\n"),
          "f:2:24: error: an address in brackets needs quotes, such as \"[::]:25\"\n" },
        { "brackets in brackets", SLICE_INIT("u: {servers: [[2001:db8::1]:25]}\n"),
          "f:1:15: error: an address in brackets needs quotes, such as \"[::]:25\"\n" },
        { "indented below a value", SLICE_INIT("server:\n  hostname: mx.example.com\n    workers: 2\n"),
          "f:3:12: error: not YAML: line 2 has a value already, so nothing can be indented below it; the "
          "keys of a mapping begin in the same column\n" },
        { "indented between", SLICE_INIT("server:\n  hostname: mx.example.com\n workers: 2\n"),
          "f:3:2: error: not YAML: the indentation of this line matches no line above that it could belong "
          "to (within what begins in line 1)\n" },
        { "indented less than its mapping", SLICE_INIT("log:\n    level: info\n  format: json\n"),
          "f:3:3: error: not YAML: the indentation of this line matches no line above that it could belong "
          "to (within what begins in line 1)\n" },
        { "no blank behind a colon", SLICE_INIT("server:\n  hostname:mx.example.com\n  workers: 2\n"),
          "f:3:10: error: not YAML: a blank is missing behind the colon in line 2\n" },
        { "a colon in a value", SLICE_INIT("policy:\n  contact: see: https://x\n"),
          "f:2:15: error: not YAML: a value with `: ` in it needs quotes\n" },
        { "a regular expression in double quotes", SLICE_INIT("a: {helo.name: \"/^\\d+$/\"}\n"),
          "f:1:19: error: not YAML: in double quotes a backslash begins an escape, and this is none; write a "
          "regular expression in single quotes, such as '/^mail\\d+/'\n" },
        { "another escape", SLICE_INIT("a: {helo.name: \"/\\bmail/\"}\n"),
          "f:1:16: error: control characters are not allowed in values; in double quotes a backslash begins "
          "an "
          "escape, in single quotes it is a backslash\n" },
        { "begins with @", SLICE_INIT("groups:\n  allow_senders:\n    - @example.com\n"),
          "f:3:7: error: not YAML: a value that begins with @ needs quotes\n" },
        { "begins with *", SLICE_INIT("groups:\n  allow_senders:\n    - *.example.com\n"),
          "f:3:8: error: not YAML: a value that begins with * needs quotes\n" },
        { "begins with %", SLICE_INIT("policy:\n  contact: %x\n"),
          "f:2:12: error: not YAML: a value that begins with % needs quotes\n" },
        { "open quotes", SLICE_INIT("log: {level: \"info}\n"),
          "f:2:1: error: not YAML: the quotes that begin in line 1 are never closed\n" },
        { "open brace", SLICE_INIT("log: {level: info\nmode: enforce\n"),
          "f:2:5: error: not YAML: a comma is missing, or the mapping that begins in line 1 is not closed by "
          "}\n" },
        { "open bracket", SLICE_INIT("a: [1, 2\nb: 3\n"),
          "f:2:2: error: not YAML: a comma is missing, or the list that begins in line 1 is not closed by "
          "]\n" },
        { "closed by the other", SLICE_INIT("a: [1, 2}\n"),
          "f:1:9: error: not YAML: a comma is missing, or the list that begins in line 1 is not closed by "
          "]\n" },
        { "no key", SLICE_INIT("log\nmode: enforce\n"),
          "f:2:5: error: not YAML: line 1 is no key with a value: `key: value`, with a blank behind the "
          "colon\n" },
        { "a list and no dash", SLICE_INIT("groups:\n  allow_clients:\n  - 192.0.2.1\n  192.0.2.2\n"),
          "f:5:1: error: not YAML: line 4 is no key with a value: `key: value`, with a blank behind the "
          "colon\n" },
        { "text behind quotes", SLICE_INIT("policy:\n  contact: \"a\" b\n"),
          "f:2:16: error: not YAML: something follows a value that is complete; a value with quotes in it "
          "needs quotes around all of it\n" },
        { "quotes in quotes", SLICE_INIT("policy:\n  contact: 'it's'\n"),
          "f:2:16: error: not YAML: something follows a value that is complete; a value with quotes in it "
          "needs quotes around all of it\n" },
        { "a tab", SLICE_INIT("log:\n\tlevel: info\n"),
          "f:2:1: error: not YAML: a tab cannot indent; use blanks\n" },
        { "Latin-1", SLICE_INIT("a: 1\n# M\xfcnchen\n"),
          "f:2:4: error: not UTF-8 text: the octet 0xfc stands here; save the file as UTF-8\n" },
        { "UTF-16",
          SLICE_INIT("\xff\xfe"
                     "a\x00:\x00"),
          "f:1:1: error: the file is in UTF-16; save it as UTF-8\n" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf said;

        said_of(rows[i].text, &said);
        if (strcmp(said.len > 0 ? said.ptr : "", rows[i].said) != 0) {
            fail_msg("%s\n--- want\n%s--- got\n%s", rows[i].label, rows[i].said, said.ptr);
        }
        buf_fini(&said);
    }
}

/* libyaml reads in blocks: the place of an octet far behind is counted, not taken from it. */
static void a_wrong_octet_is_found_where_it_is(void **state)
{
    struct buf text, said;

    (void)state;
    buf_init(&text, 1u << 20);
    for (unsigned i = 0; i < 3000; i++) {
        buf_put_str(&text, "# another line, and another one\n");
    }
    buf_put_str(&text, "a: \"M\xc3\xbcnchen, M\xfcnchen\"\n");
    said_of(buf_slice(&text), &said);
    assert_string_equal(
        said.ptr, "f:3001:15: error: not UTF-8 text: the octet 0xfc stands here; save the file as UTF-8\n");
    buf_fini(&said);
    buf_fini(&text);
}

static void a_byte_order_mark_means_nothing(void **state)
{
    struct buf said;

    (void)state;
    said_of(SLICE("\xef\xbb\xbf"
                  "a: 1\n"),
            &said);
    assert_int_equal(said.len, 0);
    buf_fini(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "B7: typical mistakes have words for people", typical_mistakes_have_words_for_people, NULL, NULL,
          NULL },
        { "B7: a wrong octet is found where it is", a_wrong_octet_is_found_where_it_is, NULL, NULL, NULL },
        { "B7: a byte order mark means nothing", a_byte_order_mark_means_nothing, NULL, NULL, NULL },
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
