/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_keys.c - the table of keys against itself, the shipped reference, the example and the manual page.
 */
#include "helper.h"

#include "config/keys.h"
#include "config/tree.h"

static void read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "r");
    char block[4096];
    size_t n;

    if (f == NULL) {
        fail_msg("%s cannot be read (tests run in the folder of the source)", path);
    }
    buf_init(out, 1u << 20);
    while ((n = fread(block, 1, sizeof(block), f)) > 0) {
        buf_put(out, block, n);
    }
    fclose(f);
}

/* The keys below it that are meant by `off` allow it. */
static void check_switch(const struct key *k)
{
    struct slice rest = slice_str(k->type == KEY_SWITCH && k->choices != NULL ? k->choices : "");

    while (!slice_empty(rest)) {
        struct slice name = slice_cut(&rest, '|');
        char below[100];
        const struct key *one;

        (void)snprintf(below, sizeof(below), "%s." SLICE_FMT, k->path, SLICE_ARG(name));
        one = key_find(slice_str(below));
        if (one == NULL || ((one->flags & (KEY_OFF_ZERO | KEY_OFF_MAX)) == 0 && one->type != KEY_CANARIES)) {
            fail_msg("%s cannot be off", below);
        }
    }
}

static void rows_are_sound(void **state)
{
    size_t count;
    const struct key *k = key_table(&count);

    (void)state;
    assert_true(count > 100);
    for (size_t i = 0; i < count; i++) {
        bool number = k[i].type >= KEY_DURATION && k[i].type <= KEY_FACTOR;
        bool choice = k[i].type == KEY_CHOICE || k[i].type == KEY_CHOICE_BOOL;

        if (key_find(slice_str(k[i].path)) != &k[i]) {
            fail_msg("%s is there twice", k[i].path);
        }
        if ((number && k[i].max == 0) || (choice && k[i].choices == NULL) || k[i].help[0] == '\0' ||
            ((k[i].flags & KEY_REQUIRED) != 0 && k[i].def != NULL)) {
            fail_msg("%s: limits, choices, help or default do not fit", k[i].path);
        }
        check_switch(&k[i]);
    }
}

static void scopes_and_sections_are_told_from_the_path(void **state)
{
    (void)state;
    assert_true(slice_eq(key_scope("limits.hops"), SLICE("")));
    assert_true(slice_eq(key_scope("upstreams.*.timeouts.connect"), SLICE("upstreams.*")));
    assert_true(slice_eq(key_scope("server.listen[].tls"), SLICE("server.listen[]")));
    assert_true(key_is_section(SLICE("limits")));
    assert_true(key_is_section(SLICE("limits.stress")));
    assert_false(key_is_section(SLICE("limit")));
    assert_false(key_is_section(SLICE("limits.hops")));
}

/* The node of a row: `*` and `[]` stand for any child. */
static const struct config_node *find_row(const struct config_node *n, struct slice path)
{
    const struct config_node *child, *found = NULL;
    struct slice name;

    if (slice_empty(path)) {
        return n;
    }
    if (n->kind == NODE_SEQUENCE) {
        CONFIG_NODE_EACH(n, child)
        {
            found = found != NULL || child->kind != NODE_MAPPING ? found : find_row(child, path);
        }
        return found;
    }
    name = slice_cut(&path, '.');
    name = slice_take(name, slice_find(name, '['));
    if (n->kind != NODE_MAPPING) {
        return NULL;
    }
    CONFIG_NODE_EACH(n, child)
    {
        if (found == NULL && (slice_eq(name, SLICE("*")) || slice_eq(name, child->key))) {
            found = find_row(child, path);
        }
    }
    return found;
}

/* A list as one text with commas. */
static void put_value(const struct config_node *n, struct buf *out)
{
    const struct config_node *child;

    if (n->kind == NODE_SCALAR) {
        buf_put_slice(out, n->raw);
        return;
    }
    CONFIG_NODE_EACH(n, child)
    {
        buf_put_str(out, child != n->first ? ", " : "");
        if (child->kind == NODE_MAPPING) {
            put_value(child->first, out); /* the long form of a listener begins with its address */
        } else {
            put_value(child, out);
        }
    }
}

/* With the lines of examples ("#+"), and of keys that are not in this version ("#~"), as if they were none. */
static void uncomment(const struct buf *text, bool later, struct buf *out)
{
    struct slice rest = buf_slice(text);

    buf_init(out, 1u << 20);
    while (!slice_empty(rest)) {
        struct slice line = slice_cut(&rest, '\n');

        bool taken = slice_starts(line, SLICE("#+")) || (later && slice_starts(line, SLICE("#~")));

        buf_put_slice(out, taken ? slice_skip(line, 2) : line);
        buf_put_char(out, '\n');
    }
}

static void check_default(const struct key *k, const struct config_node *n)
{
    struct buf value;

    if (k->def == NULL) {
        return; /* a tree of policy/ has no default as one text */
    }
    buf_init(&value, 10000);
    put_value(n, &value);
    if (strcmp(value.len > 0 ? value.ptr : "", k->def) != 0) {
        fail_msg("%s: the reference shows `%s`, the table has `%s`", k->path, value.ptr, k->def);
    }
    buf_fini(&value);
}

static void the_reference_shows_every_key_with_its_default(void **state)
{
    struct buf text, shown, full;
    struct arena arena;
    struct config_errors errs = { .count = 0 };
    const struct config_node *plain, *now, *all;
    size_t count;
    const struct key *k = key_table(&count);

    (void)state;
    read_file("config/glacis.reference.yaml", &text);
    uncomment(&text, false, &shown);
    uncomment(&text, true, &full);
    arena_init(&arena, 8u << 20);
    plain = config_tree_parse(buf_slice(&text), &arena, &errs);
    now = config_tree_parse(buf_slice(&shown), &arena, &errs);
    all = config_tree_parse(buf_slice(&full), &arena, &errs);
    assert_int_equal(errs.count, 0);
    for (size_t i = 0; i < count; i++) {
        const struct config_node *n = find_row(all, slice_str(k[i].path));
        const struct config_node *given = find_row(plain, slice_str(k[i].path));

        if (n == NULL) {
            fail_msg("%s is not in the reference", k[i].path);
        } else if ((find_row(now, slice_str(k[i].path)) == NULL) != key_refused(&k[i])) {
            fail_msg("%s: is it in this version?", k[i].path);
        } else {
            check_default(&k[i], given != NULL ? given : n);
        }
    }
    arena_fini(&arena);
    buf_fini(&shown);
    buf_fini(&text);
    buf_fini(&full);
}

/* Keys below it are the user's own words, or those of a language. */
static bool ends_keys(const struct key *k)
{
    return k != NULL &&
           (k->type == KEY_TREE || k->type == KEY_LATER || k->type == KEY_FIELDS || k->type == KEY_ANSWERS);
}

/* Each key of a mapping at `path` is a row or a section of the table, and so are those below. */
static void check_known(const struct config_node *n, const char *path)
{
    const struct config_node *child;

    CONFIG_NODE_EACH(n, child)
    {
        char mem[200];
        struct buf below;
        bool named = strcmp(path, "upstreams") == 0 || strcmp(path, "domains") == 0;

        buf_init_fixed(&below, mem, sizeof(mem));
        buf_putf(&below, "%s%s" SLICE_FMT, path, path[0] != '\0' ? "." : "",
                 SLICE_ARG(named ? SLICE("*") : child->key));
        if (n->kind == NODE_SEQUENCE) {
            buf_reset(&below);
            buf_putf(&below, "%s[]", path);
        } else if (!named && key_find(buf_slice(&below)) == NULL && !key_is_section(buf_slice(&below))) {
            fail_msg("%s is not in the table", mem);
        }
        if (!ends_keys(key_find(buf_slice(&below))) && child->kind != NODE_SCALAR) {
            check_known(child, mem);
        }
    }
}

static void the_table_has_every_key_of_the_reference(void **state)
{
    struct buf text, full;
    struct arena arena;
    struct config_errors errs = { .count = 0 };

    (void)state;
    read_file("config/glacis.reference.yaml", &text);
    uncomment(&text, true, &full);
    arena_init(&arena, 8u << 20);
    check_known(config_tree_parse(buf_slice(&full), &arena, &errs), "");
    assert_int_equal(errs.count, 0);
    arena_fini(&arena);
    buf_fini(&text);
    buf_fini(&full);
}

static void shipped_files_load_in_silence(void **state)
{
    static const char *const files[] = { "config/glacis.reference.yaml", "glacis.example.yaml" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf text;

        read_file(files[i], &text);
        config_free(load_good(text.ptr));
        buf_fini(&text);
    }
}

/* What the page says about a key: from its .It to the next. */
static struct slice entry_of(struct slice page, const char *path)
{
    char mem[200];
    struct buf head;
    char *at, *end;

    buf_init_fixed(&head, mem, sizeof(mem));
    buf_putf(&head, "\n.It Ic %s\n", path);
    at = memmem(page.ptr, page.len, mem, head.len);
    if (at == NULL) {
        return SLICE_NONE;
    }
    page = slice_skip(page, (size_t)(at - page.ptr) + head.len);
    end = memmem(page.ptr, page.len, "\n.", 2);
    return end != NULL ? slice_take(page, (size_t)(end - page.ptr)) : page;
}

/* Do the words follow each other in the text, whatever the line ends are? */
static bool says(struct slice text, const char *words)
{
    struct buf joined;
    bool found;

    buf_init(&joined, 1u << 16);
    for (size_t i = 0; i < text.len; i++) {
        buf_put_char(&joined, text.ptr[i] == '\n' ? ' ' : text.ptr[i]);
    }
    found = joined.len > 0 && strstr(joined.ptr, words) != NULL;
    buf_fini(&joined);
    return found;
}

static void the_manual_page_has_every_key_and_no_other(void **state)
{
    struct buf page, words;
    size_t count, items = 0;
    const struct key *k = key_table(&count);
    struct slice rest;

    (void)state;
    read_file("config/glacis.yaml.5", &page);
    buf_init(&words, 1000);
    for (size_t i = 0; i < count; i++) {
        struct slice entry = entry_of(buf_slice(&page), k[i].path);

        if (slice_empty(entry)) {
            fail_msg("%s is not in glacis.yaml.5", k[i].path);
        }
        if (says(entry, "Not in this version. ") != key_refused(&k[i])) {
            fail_msg("%s: is it in this version?", k[i].path);
        }
        buf_reset(&words);
        buf_putf(&words, "default %s.", k[i].def != NULL && k[i].def[0] != '\0' ? k[i].def : "empty");
        if (k[i].def != NULL && k[i].type != KEY_VERSION && !says(entry, words.ptr)) {
            fail_msg("%s: the page does not say `%s`", k[i].path, words.ptr);
        }
    }
    for (rest = buf_slice(&page); !slice_empty(rest);) {
        items += slice_starts(slice_cut(&rest, '\n'), SLICE(".It Ic ")) ? 1 : 0;
    }
    assert_int_equal(items, count);
    buf_fini(&words);
    buf_fini(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(scopes_and_sections_are_told_from_the_path),
        cmocka_unit_test(the_reference_shows_every_key_with_its_default),
        cmocka_unit_test(the_table_has_every_key_of_the_reference),
        cmocka_unit_test(shipped_files_load_in_silence),
        cmocka_unit_test(the_manual_page_has_every_key_and_no_other),
    };

    setenv("GLACIS_HOSTNAME", "mx.test.example", 1);
    setenv("DQS_KEY", "key", 1); /* in an example of the reference */
    unsetenv("GLACIS_ADMIN_TOKEN");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
