/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_policy_page.c - glacis-policy(5) against the code: the page has every fact with its type, stage, lifetime and
 * words, every action, standing group, preset rule, key and template name, and no other.
 *
 * A name of the page is an item `.It Ic NAME`, in the section that lists its kind.
 */
#include "rules_fixture.h"

#include "config/keys.h"
#include "policy/rules/rules_priv.h"

static char page[256 * 1024];

static int read_page(void **state)
{
    FILE *f = fopen("policy/glacis-policy.5", "r");

    (void)state;
    assert_non_null(f);
    page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
    return fclose(f);
}

/* From the line `.Sh NAME` or `.Ss NAME` to the next line that begins like it. */
static struct slice section(const char *heading)
{
    struct slice text = slice_str(page);
    char mem[100];
    struct buf line;
    size_t at, end;

    buf_init_fixed(&line, mem, sizeof(mem));
    buf_putf(&line, "\n%s\n", heading);
    at = (size_t)((const char *)memmem(text.ptr, text.len, mem, line.len) - text.ptr);
    assert_true(at < text.len);
    text = slice_skip(text, at + line.len);
    for (end = 0; end < text.len && !slice_starts(slice_skip(text, end), slice_of(mem, 4)) &&
                  !slice_starts(slice_skip(text, end), SLICE("\n.Sh"));) {
        end++;
    }
    return slice_take(text, end);
}

/* The item of this name: its text up to the next item, with blanks for line ends; empty: there is none. */
static struct slice item_text(struct slice text, const char *name, struct buf *out)
{
    bool within = false;
    char mem[100];
    struct buf wanted;

    buf_init_fixed(&wanted, mem, sizeof(mem));
    buf_putf(&wanted, ".It Ic %s", name);
    buf_reset(out);
    while (!slice_empty(text)) {
        struct slice line = slice_cut(&text, '\n');

        if (slice_starts(line, SLICE(".It ")) || slice_starts(line, SLICE(".El"))) {
            within = slice_eq(line, buf_slice(&wanted));
        } else if (within) {
            buf_put_slice(out, line);
            buf_put_char(out, ' ');
        }
    }
    return buf_slice(out);
}

/* The names of all items of a section, each behind a newline and before one. */
static void put_items(struct slice text, struct buf *out)
{
    buf_put_char(out, '\n');
    while (!slice_empty(text)) {
        struct slice line = slice_cut(&text, '\n');

        if (slice_starts(line, SLICE(".It Ic ")) && slice_find(line, ' ') < line.len &&
            memmem(line.ptr, line.len, " Ns ", 4) == NULL) {
            buf_put_slice(out, slice_skip(line, 7));
            buf_put_char(out, '\n');
        }
    }
}

static void put_name(struct buf *out, const char *name)
{
    buf_put_str(out, name);
    buf_put_char(out, '\n');
}

/* The lines of `a` that are not in `b`; each is reported. */
static size_t report_lines(struct slice a, struct slice b, const char *what)
{
    size_t missing = 0;

    while (!slice_empty(a)) {
        struct slice line = slice_cut(&a, '\n'), rest = b;
        bool found = slice_empty(line);

        while (!slice_empty(rest) && !found) {
            found = slice_eq(slice_cut(&rest, '\n'), line);
        }
        if (!found) {
            print_error("glacis-policy(5): `%.*s` %s\n", (int)line.len, line.ptr, what);
            missing++;
        }
    }
    return missing;
}

/* `code` has a name on each line; freed. */
static void assert_section_has(const char *heading, struct buf *code)
{
    struct buf listed;
    size_t wrong;

    buf_init(&listed, 65536);
    put_items(section(heading), &listed);
    wrong = report_lines(buf_slice(code), buf_slice(&listed), "is missing") +
            report_lines(buf_slice(&listed), buf_slice(code), "does not exist");
    assert_int_equal(wrong, 0);
    buf_fini(&listed);
    buf_fini(code);
}

/* "A word; known at MAIL; kept for the transaction; from the DNS. One of: pass, fail." */
static void put_fact_line(struct buf *out, const struct fact_info *fact)
{
    static const char *const types[] = {
        [FACT_FLAG] = "A flag",     [FACT_WORD] = "A word",         [FACT_WORDS] = "Words",
        [FACT_NAME] = "A name",     [FACT_ADDRESS] = "An address",  [FACT_IP] = "An IP address",
        [FACT_NUMBER] = "A number", [FACT_DURATION] = "A duration", [FACT_TEXT] = "A text",
    };
    static const char *const stages[] = {
        [STAGE_CONNECT] = "connect", [STAGE_HELO] = "HELO",           [STAGE_MAIL] = "MAIL",
        [STAGE_RCPT] = "RCPT",       [STAGE_MESSAGE] = "the message",
    };
    static const char *const scopes[] = {
        [SCOPE_SESSION] = "for the session",
        [SCOPE_HELO] = "until the next EHLO",
        [SCOPE_TXN] = "for the transaction",
        [SCOPE_RECIPIENT] = "for the recipient",
    };
    struct slice words = slice_str(fact->words);

    buf_putf(out, "%s; known at %s; kept %s%s.", types[fact->type], stages[fact->stage], scopes[fact->scope],
             (fact->traits & FROM_DNS) != 0 ? "; from the DNS" : "");
    if (slice_empty(words)) {
        return;
    }
    buf_put_str(out, fact->type == FACT_WORD ? " One of: " : " Any of: ");
    while (!slice_empty(words)) {
        buf_put_slice(out, slice_token(&words));
        buf_put_str(out, slice_empty(words) ? "." : ", ");
    }
}

static void the_page_has_every_fact_and_no_other(void **state)
{
    struct buf names, wanted, text;
    size_t wrong = 0;

    (void)state;
    buf_init(&names, 65536);
    buf_init(&wanted, 4096);
    buf_init(&text, 4096);
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        put_name(&names, fact_table[i].name);
        buf_reset(&wanted);
        put_fact_line(&wanted, &fact_table[i]);
        if (!slice_starts(item_text(section(".Sh FACTS"), fact_table[i].name, &text), buf_slice(&wanted))) {
            print_error("glacis-policy(5): %s: the text does not begin with: %.*s\n", fact_table[i].name,
                        (int)wanted.len, wanted.ptr);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    assert_section_has(".Sh FACTS", &names);
    buf_fini(&wanted);
    buf_fini(&text);
}

/* "a|b|c" as lines. */
static void put_choices(struct buf *out, const char *choices)
{
    for (struct slice rest = slice_str(choices); !slice_empty(rest);) {
        buf_put_slice(out, slice_cut(&rest, '|'));
        buf_put_char(out, '\n');
    }
}

static void the_page_has_every_action_and_no_other(void **state)
{
    struct buf names;

    (void)state;
    buf_init(&names, 4096);
    put_choices(&names, RULE_ACTIONS);
    assert_section_has(".Sh ACTIONS", &names);
}

static void the_page_has_every_key_of_a_rule_and_no_other(void **state)
{
    struct buf names;

    (void)state;
    buf_init(&names, 4096);
    put_choices(&names, RULE_KEYS);
    assert_section_has(".Ss A rule", &names);
}

static void the_page_has_every_standing_group_and_no_other(void **state)
{
    struct fixture f;
    struct buf names;

    (void)state;
    fixture_load(&f, "{}");
    buf_init(&names, 4096);
    for (size_t i = 0; i < f.p->rules.group_count; i++) {
        assert_true(f.p->rules.group[i].standing);
        buf_put_slice(&names, f.p->rules.group[i].name);
        buf_put_char(&names, '\n');
    }
    assert_section_has(".Sh GROUPS", &names);
    fixture_free(&f);
}

/* In their order, and in their block. */
static void the_page_has_every_rule_of_the_preset_and_no_other(void **state)
{
    static const char *const headings[] = { ".Ss Envelope rules", ".Ss Message rules" };
    struct fixture f;
    struct buf names, listed;

    (void)state;
    fixture_load(&f, "{}");
    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        buf_init(&names, 4096);
        buf_init(&listed, 4096);
        buf_put_char(&names, '\n');
        for (size_t i = 0; i < f.p->rules.block[b].count; i++) {
            put_name(&names, f.p->rules.block[b].rule[i].name);
        }
        put_items(section(headings[b]), &listed);
        buf_put_char(&names, '\0');
        buf_put_char(&listed, '\0');
        assert_string_equal(listed.ptr, names.ptr);
        buf_fini(&names);
        buf_fini(&listed);
    }
    fixture_free(&f);
}

static void the_page_has_every_template_name(void **state)
{
    struct fixture f;
    struct slice text = section(".Sh REPLIES AND TEMPLATES");
    size_t found = 0;

    (void)state;
    fixture_load(&f, "{}");
    while (!slice_empty(text)) {
        struct slice line = slice_cut(&text, '\n');
        unsigned fact;

        if (slice_starts(line, SLICE(".It Ql {")) && slice_find(line, '.') < line.len &&
            slice_find(slice_skip(line, 8), '.') < line.len - 8) {
            struct slice name = slice_take(slice_skip(line, 8), line.len - 9);

            assert_true(text_name_known(&f.p->rules, name, &fact));
            assert_int_equal(fact, RULE_NO_FACT);
            found++;
        }
    }
    assert_int_equal(found, text_other_names());
    fixture_free(&f);
}

/* Do names of facts begin with the part of the word before its first dot? */
static bool looks_like_a_fact(struct slice word)
{
    size_t dot = slice_find(word, '.');

    for (unsigned i = 0; i < FACT_COUNT && dot + 1 < word.len; i++) {
        if (slice_starts(slice_str(fact_table[i].name), slice_take(word, dot + 1))) {
            return true;
        }
    }
    return false;
}

static bool is_key(struct slice word)
{
    size_t count;
    const struct key *k = key_table(&count);

    for (size_t i = 0; i < count; i++) {
        if (slice_eq(slice_str(k[i].path), word)) {
            return true;
        }
    }
    return false;
}

/* The next run of the characters of which names of facts and keys consist, without dots at its end. */
static struct slice next_word(struct slice *text)
{
    static const struct slice chars = SLICE_INIT("abcdefghijklmnopqrstuvwxyz0123456789_.-");
    size_t from = 0, len = 0;
    struct slice word;

    while (from < text->len && slice_find(chars, text->ptr[from]) == chars.len) {
        from++;
    }
    while (from + len < text->len && slice_find(chars, text->ptr[from + len]) < chars.len) {
        len++;
    }
    word = slice_take(slice_skip(*text, from), len);
    *text = slice_skip(*text, from + len);
    while (word.len > 0 && word.ptr[word.len - 1] == '.') {
        word.len--;
    }
    return word;
}

/* The examples are left to 52-policy-page.py. */
static void the_prose_names_only_facts_and_keys_that_exist(void **state)
{
    struct slice text = slice_str(page);
    bool literal = false;
    size_t wrong = 0;

    (void)state;
    while (!slice_empty(text)) {
        struct slice line = slice_cut(&text, '\n');

        literal = slice_starts(line, SLICE(".Bd")) || (literal && !slice_starts(line, SLICE(".Ed")));
        while (!slice_empty(line) && !literal) {
            struct slice word = next_word(&line);

            if (looks_like_a_fact(word) && fact_by_name(word) == FACT_COUNT && !is_key(word)) {
                print_error("glacis-policy(5): `%.*s` is neither a fact nor a key\n", (int)word.len,
                            word.ptr);
                wrong++;
            }
        }
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_has_every_fact_and_no_other),
        cmocka_unit_test(the_page_has_every_action_and_no_other),
        cmocka_unit_test(the_page_has_every_key_of_a_rule_and_no_other),
        cmocka_unit_test(the_page_has_every_standing_group_and_no_other),
        cmocka_unit_test(the_page_has_every_rule_of_the_preset_and_no_other),
        cmocka_unit_test(the_page_has_every_template_name),
        cmocka_unit_test(the_prose_names_only_facts_and_keys_that_exist),
    };

    return cmocka_run_group_tests(tests, read_page, NULL);
}
