/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_text.c - templates over facts: replies that are always printable ASCII of bounded length, and tags.
 */
#include "rules_fixture.h"

#include "config/template.h"

/* code 0: a tag */
static const char *render(struct fixture *f, const char *text, unsigned code)
{
    static char mem[6000];
    struct text_facts t = { .rules = &f->p->rules, .facts = &f->facts, .lists = f->lists, .code = code };
    struct buf out;

    buf_init_fixed(&out, mem, sizeof(mem));
    (code == 0 ? text_tag : text_reply)(&t, slice_str(text), &out);
    assert_true(buf_ok(&out));
    return mem;
}

static void names_become_values(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "plain", "plain" },
        { "{spf} by {spf.domain}", "none by peer.example" },
        { "{{spf}", "{spf}" },
        { "a}b", "a}b" },
        { "{reputation.lists}", "zen, dbl" },
        { "{reputation.zen} {reputation.dbl}", "true -" },
        { "{spf.explanation}", "-" },
        { "{zero_day.suspect}", "-" },
        { "{server.hostname} {policy.contact}", "mx.test.example https://mail.example/why" },
        { "{score}", "2.5" },
        { "a{? b {spf}}", "a b none" },
        { "a{? b {spf.explanation}}", "a" },
        { "a{? b {spf} {spf.explanation} {{}.", "a." },
        { "a{? b {spf} {{}.", "a b none {." },
        { "{?{spf.explanation}: }{spf}{?, {spf.domain}}", "none, peer.example" },
        { "a{?; {reply.retry}}.", "a; your server will try again by itself." },
        { "one\ntwo", "one\ntwo" },
        { "  one \n\n two\n", "one\ntwo" },
    };
    struct fixture f;

    (void)state;
    fixture_load(&f, "reputation: {lists: [{name: zen, zone: zen.example}, {name: dbl, zone: dbl.example}]}\n"
                     "policy: {contact: \"https://mail.example/why\"}\n");
    assert_non_null(f.p);
    fixture_ordinary(&f);
    fixture_facts(&f, "reputation.lists=zen,dbl; reputation.zen=true; reputation.dbl=?; score=2.5");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(render(&f, rows[i].text, 451), rows[i].want);
    }
    fixture_free(&f);
}

static void a_strangers_text_is_made_harmless(void **state)
{
    struct fixture f;
    char wild[3000], want[REPLY_FACT_MAX + 1];

    (void)state;
    fixture_load(&f, "{}");
    fixture_ordinary(&f);
    fact_set_text(&f.facts, FACT_ID_SPF_EXPLANATION,
                  SLICE("see\r\n250 Ok\t\x01\x02 \xc3\xa4\xff {spf} \x7f."));
    assert_string_equal(render(&f, "[{spf.explanation}]", 451), "[see 250 Ok ? ? {spf} ?.]");
    assert_string_equal(render(&f, "[{spf.explanation}]", 0),
                        "[see 250 Ok ? \xc3\xa4\xff {spf} ?.]"); /* field_put() does the rest */
    memset(wild, 'x', sizeof(wild));
    memset(want, 'x', sizeof(want));
    want[REPLY_FACT_MAX] = '\0';
    fact_set_text(&f.facts, FACT_ID_SPF_EXPLANATION, slice_of(wild, sizeof(wild)));
    assert_string_equal(render(&f, "{spf.explanation}", 451), want);
    assert_int_equal(strlen(render(&f, "{spf.explanation}{spf.explanation}", 0)), TAG_VALUE_MAX);
    fixture_free(&f);
}

static void a_long_reply_has_several_lines(void **state)
{
    struct fixture f;
    char text[3000];
    struct slice rest;
    struct buf b;
    size_t lines = 0;

    (void)state;
    fixture_load(&f, "{}");
    fixture_ordinary(&f);
    buf_init_fixed(&b, text, sizeof(text));
    for (unsigned i = 0; i < 290; i++) {
        buf_put_str(&b, "word ");
    }
    rest = slice_str(render(&f, text, 451));
    while (!slice_empty(rest)) {
        struct slice line = slice_cut(&rest, '\n');

        assert_in_range(line.len, 1, REPLY_LINE_WIDTH);
        assert_false(line.ptr[0] == ' ' || line.ptr[line.len - 1] == ' ');
        lines++;
    }
    assert_in_range(lines, 4, 6);
    memset(text, 'x', sizeof(text) - 1); /* nothing to break at */
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(slice_find(slice_str(render(&f, text, 451)), '\n'), REPLY_LINE_WIDTH);
    fixture_free(&f);
}

#define CONTACT "policy: {contact: \"https://mail.example/why\""
#define LISTED "reputation.listed=true; reputation.lists=zen; "

static void the_presets_refusals_explain_themselves(void **state)
{
    static const struct {
        const char *yaml, *facts, *want;
        unsigned code;
    } rows[] = {
        { CONTACT "}", "spf=fail; spf.explanation=See http://peer.example/why",
          "192.0.2.1 may not send mail for peer.example: the SPF record of the domain says so. The domain "
          "explains: See http://peer.example/why",
          550 },
        { CONTACT "}", "spf=fail",
          "192.0.2.1 may not send mail for peer.example: the SPF record of the domain says so.", 550 },
        { CONTACT "}",
          LISTED "reputation.subject=192.0.2.1; reputation.reason=Bad host, see http://zen.example",
          "192.0.2.1 is listed by zen: Bad host, see http://zen.example. The domain peer.example has no SPF "
          "record, so nobody vouches for this server. Way out: publish an SPF record that names 192.0.2.1, "
          "or "
          "have the listing removed; your server will try again by itself. Contact: https://mail.example/why",
          451 },
        { CONTACT "}", LISTED "reputation.subject=peer.example; spf=softfail",
          "peer.example is listed by zen. The SPF record of peer.example does not name this server "
          "(softfail). "
          "Way out: add 192.0.2.1 to the record, send through a server that it names, or have the listing "
          "removed; your server will try again by itself. Contact: https://mail.example/why",
          451 },
        { CONTACT ", override: {reputation: {then: reject}}}",
          LISTED "reputation.subject=192.0.2.1; spf=neutral",
          "192.0.2.1 is listed by zen. The SPF record of peer.example leaves open whether this server may "
          "send "
          "(neutral). Way out: let the record name 192.0.2.1, or have the listing removed. Contact: "
          "https://mail.example/why",
          550 },
        { "{}", LISTED "reputation.subject=192.0.2.1; spf=temperror; sender.domain=",
          "192.0.2.1 is listed by zen. The SPF record of the sender could not be looked up (temperror). Way "
          "out: have the listing removed; your server will try again by itself.",
          451 },
        { "{}", LISTED "reputation.subject=192.0.2.1; spf.domain=",
          "192.0.2.1 is listed by zen. Way out: publish an SPF record that names 192.0.2.1, or have the "
          "listing "
          "removed; your server will try again by itself.",
          451 },
        { "groups: {block_clients: [192.0.2.1]}", "", "You are blocked by the administrator of this server.",
          550 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        char text[3000];
        struct buf b;

        fixture_load(&f, rows[i].yaml);
        assert_non_null(f.p);
        fixture_ordinary(&f);
        fixture_facts(&f, rows[i].facts);
        fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
        assert_int_equal(f.result.reply.code, rows[i].code);
        buf_init_fixed(&b, text, sizeof(text));
        buf_put_slice(&b, f.result.reply.text);
        assert_string_equal(render(&f, text, f.result.reply.code), rows[i].want);
        fixture_free(&f);
    }
}

/* A refusal for good that rests on an outage is temporary, and says so. */
static void a_softened_refusal_promises_a_retry(void **state)
{
    struct fixture f;

    (void)state;
    fixture_load(&f, "policy: {override: {reputation: {then: reject}}}");
    fixture_ordinary(&f);
    fixture_facts(&f, LISTED "reputation.subject=192.0.2.1; spf=none");
    f.facts.v[FACT_ID_REPUTATION_LISTED].doubt = true;
    fixture_ask(&f, BLOCK_ENVELOPE, STAGE_RCPT);
    assert_int_equal(f.result.reply.code, 451);
    assert_true(slice_eq(f.result.reply.enhanced, SLICE("4.7.1")));
    assert_non_null(strstr(render(&f, "x{?; {reply.retry}}", f.result.reply.code), "try again by itself"));
    assert_string_equal(render(&f, "x{?; {reply.retry}}", 550), "x");
    fixture_free(&f);
}

static bool known(void *arg, struct slice name)
{
    (void)arg;
    return slice_eq(name, SLICE("a"));
}

static void unknown_names_and_open_braces_are_found(void **state)
{
    struct slice bad = SLICE_NONE;

    (void)state;
    assert_true(template_valid(SLICE("x {a} {{b} y"), known, NULL, &bad));
    assert_false(template_valid(SLICE("x {b}"), known, NULL, &bad));
    assert_true(slice_eq(bad, SLICE("b")));
    assert_false(template_valid(SLICE("x {a"), known, NULL, &bad));
    assert_false(template_valid(SLICE("{}"), known, NULL, &bad));
    assert_true(template_valid(SLICE("x{? {a} {{ y}z"), known, NULL, &bad));
    assert_false(template_valid(SLICE("x{? {b}}"), known, NULL, &bad));
    assert_true(slice_eq(bad, SLICE("b")));
    assert_false(template_valid(SLICE("x{? {a}"), known, NULL, &bad));
    assert_false(template_valid(SLICE("x{? {a} {? {a}}}"), known, NULL, &bad)); /* they do not nest */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_become_values),
        cmocka_unit_test(a_strangers_text_is_made_harmless),
        cmocka_unit_test(a_long_reply_has_several_lines),
        { .name = "B4: the preset's refusals explain themselves, and leave out what is empty",
          .test_func = the_presets_refusals_explain_themselves },
        { .name = "B4: a softened refusal promises a retry",
          .test_func = a_softened_refusal_promises_a_retry },
        cmocka_unit_test(unknown_names_and_open_braces_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
