/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_yaml.c - the subset of YAML, the environment in scalars, and what is refused, verbatim.
 */
#include "helper.h"

#include "config/tree.h"

/* Parses and shows the tree in one line: {a:1,b:[x,y]}. */
static void show(const struct config_node *n, struct buf *out)
{
    const struct config_node *child;

    if (n->kind == NODE_SCALAR) {
        buf_put_slice(out, n->text);
        return;
    }
    buf_put_char(out, n->kind == NODE_MAPPING ? '{' : '[');
    CONFIG_NODE_EACH(n, child)
    {
        buf_put_str(out, child != n->first ? "," : "");
        if (n->kind == NODE_MAPPING) {
            buf_put_slice(out, child->key);
            buf_put_char(out, ':');
        }
        show(child, out);
    }
    buf_put_char(out, n->kind == NODE_MAPPING ? '}' : ']');
}

struct row {
    const char *label;
    const char *text;
    const char *tree; /* NULL: none */
    const char *said;
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct config_errors errs = { .count = 0 };
        struct arena arena;
        struct buf out;
        const struct config_node *root;

        arena_init(&arena, 1u << 20);
        buf_init(&out, 1u << 20);
        root = config_tree_parse(slice_str(rows[i].text), &arena, &errs);
        if (root != NULL) {
            show(root, &out);
        }
        buf_put_char(&out, '\n');
        config_errors_print(&errs, "f", &out);
        struct buf want;
        buf_init(&want, 1u << 20);
        buf_putf(&want, "%s\n%s", rows[i].tree != NULL ? rows[i].tree : "", rows[i].said);
        if ((root != NULL) != (rows[i].tree != NULL) || strcmp(out.ptr, want.ptr) != 0) {
            fail_msg("%s\n--- want\n%s--- got\n%s", rows[i].label, want.ptr, out.ptr);
        }
        buf_fini(&want);
        buf_fini(&out);
        config_errors_fini(&errs);
        arena_fini(&arena);
    }
}

static void trees_are_built_in_the_order_of_the_file(void **state)
{
    static const struct row rows[] = {
        { "block and flow", "b: 1\na: [x, 'y', {c: d}]\n", "{b:1,a:[x,y,{c:d}]}", "" },
        { "empty file", "", "{}", "" },
        { "only comments", "# nothing\n", "{}", "" },
        { "explicit document", "---\na: 1\n...\n", "{a:1}", "" },
        { "nothing behind a key", "a:\nb: 2\n", "{a:,b:2}", "" },
        { "a lone scalar", "hello\n", "hello", "" },
        { "block scalar", "a: |\n  one\n  two\n", "{a:one\ntwo\n}", "" },
        { "utf-8", "a: M\xc3\xbcnchen\n", "{a:M\xc3\xbcnchen}", "" },
    };

    (void)state;
    check_rows(rows, ARRAY_LEN(rows));
}

static void what_is_no_plain_yaml_is_refused_with_its_place(void **state)
{
    static const struct row rows[] = {
        { "duplicate key", "a: 1\nb: 2\na: 3\n", "{a:1,b:2}",
          "f:3:1: error: duplicate key `a`; it was given in line 1\n" },
        { "duplicate in a nested mapping", "m:\n  x: {y: 1}\n  x: {z: 2}\n", "{m:{x:{y:1}}}",
          "f:3:3: error: duplicate key `x`; it was given in line 2\n" },
        { "alias", "a: &x 1\nb: *x\n", NULL,
          "f:1:4: error: anchors and aliases (& and *) are not used here; write the value out\n"
          "f:2:4: error: anchors and aliases (& and *) are not used here; write the value out\n" },
        { "tag", "a: !!str 1\n", "{a:1}",
          "f:1:4: error: tags (!) are not used here; write the value alone\n" },
        { "second document", "a: 1\n---\nb: 2\n", NULL,
          "f:2:1: error: a second document (`---`) begins here; only one is read\n" },
        { "key that is a list", "? [a, b]\n: 1\n", NULL,
          "f:1:3: error: a key must be a plain word, not a list or a mapping\n" },
        { "tab as indentation", "a:\n\tb: 1\n", NULL,
          "f:2:1: error: not YAML: a tab cannot indent; use blanks\n" },
        { "control character", "a: \"x\\0y\"\n", "{a:?}",
          "f:1:4: error: control characters are not allowed in values; in double quotes a backslash begins "
          "an "
          "escape, in single quotes it is a backslash\n" },
    };

    (void)state;
    check_rows(rows, ARRAY_LEN(rows));
}

static void the_environment_is_put_in(void **state)
{
    static const struct row rows[] = {
        { "set", "a: x${GLACIS_TEST}y\n", "{a:xvaluey}", "" },
        { "in quotes and keys", "\"${GLACIS_TEST}\": '${GLACIS_TEST}'\n", "{value:value}", "" },
        { "set wins over the default", "a: ${GLACIS_TEST:-d}\n", "{a:value}", "" },
        { "default", "a: ${GLACIS_UNSET:-d e}\n", "{a:d e}", "" },
        { "empty default", "a: ${GLACIS_UNSET:-}\n", "{a:}", "" },
        { "set but empty takes the default", "a: ${GLACIS_EMPTY:-d}\n", "{a:d}", "" },
        { "set but empty", "a: ${GLACIS_EMPTY}\n", "{a:}", "" },
        { "not read twice", "a: ${GLACIS_NESTED}\n", "{a:${GLACIS_TEST}}", "" },
        { "escaped", "a: $${GLACIS_TEST}\n", "{a:${GLACIS_TEST}}", "" },
        { "other dollars stay", "a: $1 $ $$ x$\n", "{a:$1 $ $$ x$}", "" },
        { "not set", "a: ${GLACIS_UNSET}\nb: 1\n", "{a:${GLACIS_UNSET},b:1}",
          "f:1:4: error: the environment variable GLACIS_UNSET is not set (write ${GLACIS_UNSET:-default} if "
          "it may be "
          "missing)\n" },
        { "bad name", "a: \"${1}\"\n", "{a:${1}}",
          "f:1:4: error: `${` must be followed by NAME} or NAME:-default} (write `$${` for the characters "
          "themselves)\n" },
        { "not closed", "a: \"${GLACIS_TEST\"\n", "{a:${GLACIS_TEST}",
          "f:1:4: error: `${` must be followed by NAME} or NAME:-default} (write `$${` for the characters "
          "themselves)\n" },
        { "wrong default", "a: ${GLACIS_TEST-x}\n", "{a:${GLACIS_TEST-x}}",
          "f:1:4: error: `${` must be followed by NAME} or NAME:-default} (write `$${` for the characters "
          "themselves)\n" },
        { "control characters in it", "a: ${GLACIS_CONTROL}\n", "{a:${GLACIS_CONTROL}}",
          "f:1:4: error: the environment variable holds control characters\n" },
    };

    (void)state;
    setenv("GLACIS_TEST", "value", 1);
    setenv("GLACIS_EMPTY", "", 1);
    setenv("GLACIS_NESTED", "${GLACIS_TEST}", 1);
    setenv("GLACIS_CONTROL", "a\001b", 1);
    unsetenv("GLACIS_UNSET");
    check_rows(rows, ARRAY_LEN(rows));
}

static void put_times(struct buf *b, const char *text, size_t n)
{
    while (n-- > 0) {
        buf_put_str(b, text);
    }
}

/* Parses what was built; the one sentence that comes of it. */
static void expect_refused(struct buf *b, size_t arena_max, const char *sentence)
{
    struct config_errors errs = { .count = 0 };
    struct arena arena;

    arena_init(&arena, arena_max);
    assert_null(config_tree_parse(buf_slice(b), &arena, &errs));
    assert_int_equal(errs.count, 1);
    assert_string_equal(errs.list[0].text, sentence);
    config_errors_fini(&errs);
    arena_fini(&arena);
    buf_fini(b);
    buf_init(b, 8u << 20);
}

static void the_caps_hold(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 8u << 20);
    put_times(&b, "[", 33);
    expect_refused(&b, 64u << 20, "nested too deeply");
    put_times(&b, "- 1\n", CONFIG_TREE_MAX_NODES);
    expect_refused(&b, 256u << 20, "the file is too large: too many values");
    put_times(&b, "# comment\n", 420000);
    expect_refused(&b, 64u << 20, "the file is larger than 4 MiB");
    put_times(&b, "- 1234567890\n", 1000);
    expect_refused(&b, 65536, "the file is too large: too many values");
    buf_fini(&b);
}

static void a_value_from_the_environment_is_bounded(void **state)
{
    struct config_errors errs = { .count = 0 };
    struct arena arena;
    struct buf big;

    (void)state;
    buf_init(&big, 1u << 20);
    put_times(&big, "x", CONFIG_TREE_MAX_SCALAR / 2 + 1);
    setenv("GLACIS_BIG", big.ptr, 1);
    arena_init(&arena, 1u << 20);
    assert_non_null(
        config_tree_parse(SLICE("a: ${GLACIS_BIG}\nb: ${GLACIS_BIG}${GLACIS_BIG}\n"), &arena, &errs));
    assert_int_equal(errs.count, 1);
    assert_int_equal(errs.list[0].line, 2);
    assert_string_equal(errs.list[0].text, "longer than 65536 octets after ${NAME} was replaced");
    config_errors_fini(&errs);
    arena_fini(&arena);
    buf_fini(&big);
    unsetenv("GLACIS_BIG");
}

static void nodes_are_found_by_path_with_their_places(void **state)
{
    struct config_errors errs = { .count = 0 };
    struct arena arena;
    const struct config_node *root, *n;

    (void)state;
    arena_init(&arena, 1u << 20);
    root = config_tree_parse(SLICE("a:\n  b:\n    c: \"off\"\n  l: [1, 2]\n"), &arena, &errs);
    n = config_node_find(root, "a.b.c");
    assert_true(config_node_is(n, "off"));
    assert_int_equal(n->line, 3);
    assert_int_equal(n->column, 8);
    assert_int_equal(n->key_column, 5);
    assert_null(config_node_find(root, "a.x.c"));
    assert_null(config_node_find(root, "a.b.c.d"));
    assert_null(config_node_get(NULL, "a"));
    assert_int_equal(config_node_find(root, "a.l")->count, 2);
    assert_string_equal(config_node_kind_name(config_node_find(root, "a.l")), "a list");
    arena_fini(&arena);
}

static void scalars_are_written_so_that_they_read_back(void **state)
{
    static const char *const rows[] = { "plain",
                                        "",
                                        "a b",
                                        "10.1.1.10:25",
                                        "\"quoted\" and \\",
                                        "${X} $${Y} $",
                                        "line\nline\ttab",
                                        "-",
                                        "*",
                                        "true",
                                        "#x",
                                        "a: b",
                                        "{client.ip}",
                                        "~",
                                        "@x" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config_errors errs = { .count = 0 };
        struct arena arena;
        struct buf b;
        const struct config_node *root;

        arena_init(&arena, 1u << 20);
        buf_init(&b, 1000);
        buf_put_str(&b, "k: ");
        config_node_put_scalar(&b, slice_str(rows[i]));
        root = config_tree_parse(buf_slice(&b), &arena, &errs);
        if (root == NULL || !config_node_is(config_node_get(root, "k"), rows[i])) {
            fail_msg("`%s` was written as `%s`", rows[i], b.ptr);
        }
        buf_fini(&b);
        arena_fini(&arena);
        config_errors_fini(&errs);
    }
}

static void trees_are_written_so_that_they_read_back(void **state)
{
    static const char *const rows[] = {
        "r:\n  - a: [1, {b: c}, [], {}]\n    d: \"x: \\\"y\\\"\"\n  - - e\n    - f\n"
        "  - \"${GLACIS_TEST}.zen\\n\"\n  - {zone: \"${GLACIS_TEST}.zen\"}\n",
        "x: y\n\"- z\": {k: [a, b]}\n",
    };

    (void)state;
    setenv("GLACIS_TEST", "value", 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config_errors errs = { .count = 0 };
        struct arena arena;
        struct buf yaml, a, b;
        const struct config_node *root, *again;

        arena_init(&arena, 1u << 20);
        buf_init(&yaml, 10000);
        buf_init(&a, 10000);
        buf_init(&b, 10000);
        root = config_tree_parse(slice_str(rows[i]), &arena, &errs);
        assert_non_null(root);
        buf_put_str(&yaml, "top:");
        config_node_put(&yaml, root, 0);
        again = config_tree_parse(buf_slice(&yaml), &arena, &errs);
        assert_int_equal(errs.count, 0);
        show(root, &a);
        show(config_node_get(again, "top"), &b);
        assert_string_equal(a.ptr, b.ptr);
        assert_null(strstr(yaml.ptr, "value"));
        buf_fini(&yaml);
        buf_fini(&a);
        buf_fini(&b);
        arena_fini(&arena);
    }
}

static void a_query_key_in_a_zone_is_masked(void **state)
{
    struct config_errors errs = { .count = 0 };
    struct arena arena;
    struct buf yaml;
    const struct config_node *root;

    (void)state;
    arena_init(&arena, 1u << 20);
    buf_init(&yaml, 10000);
    root = config_tree_parse(
        SLICE("zone: abcdefghij0123456789abcdef.zen.dq.example\nother: abcdefghij0123456789abcdef.x\n"),
        &arena, &errs);
    config_node_put(&yaml, root, 0);
    assert_string_equal(yaml.ptr,
                        "\n  zone: \"***.zen.dq.example\"\n  other: abcdefghij0123456789abcdef.x\n");
    buf_fini(&yaml);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_are_built_in_the_order_of_the_file),
        cmocka_unit_test(what_is_no_plain_yaml_is_refused_with_its_place),
        cmocka_unit_test(the_environment_is_put_in),
        cmocka_unit_test(the_caps_hold),
        cmocka_unit_test(a_value_from_the_environment_is_bounded),
        cmocka_unit_test(nodes_are_found_by_path_with_their_places),
        cmocka_unit_test(scalars_are_written_so_that_they_read_back),
        cmocka_unit_test(trees_are_written_so_that_they_read_back),
        cmocka_unit_test(a_query_key_in_a_zone_is_masked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
