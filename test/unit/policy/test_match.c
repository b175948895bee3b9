/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_match.c - one value against one set, and what entries are read as.
 */
#include "rules_fixture.h"

static void add(struct set *s, struct arena *a, const char *net)
{
    struct cidr c;

    (void)a;
    assert_true(cidr_parse(slice_str(net), &c));
    assert_true(set_add_net(s, &c, SET_FOR_EVER));
}

static bool has(const struct set *s, const char *ip)
{
    struct addr a;

    assert_true(addr_parse_ip(slice_str(ip), &a));
    return set_has_ip(s, &a, 20000);
}

static void addresses_are_found_in_networks_of_all_lengths(void **state)
{
    struct set s;
    static const char *const nets[] = { "10.0.0.0/8",      "192.0.2.1",       "192.0.2.128/25",
                                        "198.51.100.0/30", "2001:db8::/32",   "2001:db9::1",
                                        "fe80::/10",       "10.0.0.0/8",      "2001:dba:0:8::/61",
                                        "192.0.2.64/26",   "203.0.113.254/31" };
    static const char *const in[] = { "10.255.0.1",  "192.0.2.1",     "192.0.2.200",  "198.51.100.3",
                                      "2001:db8::9", "2001:db9::1",   "fe80::1",      "2001:dba:0:f::1",
                                      "192.0.2.65",  "203.0.113.255", "203.0.113.254" };
    static const char *const out[] = { "11.0.0.0",      "192.0.2.2",   "192.0.2.63", "198.51.100.4",
                                       "2001:db7::",    "2001:db9::2", "fec0::1",    "2001:dba:0:10::1",
                                       "203.0.113.253", "::1" };

    (void)state;
    set_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
        add(&s, NULL, nets[i]);
    }
    set_seal(&s);
    assert_int_equal(s.net_count, ARRAY_LEN(nets) - 1);
    for (size_t i = 0; i < ARRAY_LEN(in); i++) {
        assert_true(has(&s, in[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(out); i++) {
        assert_false(has(&s, out[i]));
    }
    set_fini(&s);
}

static void the_whole_of_one_family_is_not_the_other(void **state)
{
    struct set v4, v6;

    (void)state;
    set_init(&v4);
    set_init(&v6);
    add(&v4, NULL, "0.0.0.0/0");
    add(&v6, NULL, "::/0");
    set_seal(&v4);
    set_seal(&v6);
    assert_true(has(&v4, "192.0.2.1"));
    assert_false(has(&v4, "2001:db8::1"));
    assert_true(has(&v6, "2001:db8::1"));
    assert_false(has(&v6, "192.0.2.1"));
    set_fini(&v4);
    set_fini(&v6);
}

static void many_random_networks_agree_with_a_plain_search(void **state)
{
    struct set s;
    struct cidr nets[400];
    static const uint64_t key[2] = { 3, 4 };

    (void)state;
    set_init(&s);
    for (uint32_t i = 0; i < ARRAY_LEN(nets); i++) {
        uint64_t r = siphash(key, &i, sizeof(i));
        struct addr a = { .family = ADDR_V4,
                          .ip = { (uint8_t)(r & 7), (uint8_t)(r >> 8), (uint8_t)(r >> 16),
                                  (uint8_t)(r >> 24) } };

        nets[i].bits = (uint8_t)(8 + (r >> 32) % 25);
        nets[i].base = addr_network(&a, nets[i].bits, 64);
        assert_true(set_add_net(&s, &nets[i], SET_FOR_EVER));
    }
    set_seal(&s);
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t r = siphash(key, &i, sizeof(i)) * 31;
        struct addr a = { .family = ADDR_V4,
                          .ip = { (uint8_t)(r & 15), (uint8_t)(r >> 8), (uint8_t)(r >> 16),
                                  (uint8_t)(r >> 24) } };
        bool want = false;

        for (size_t n = 0; n < ARRAY_LEN(nets); n++) {
            want = want || cidr_contains(&nets[n], &a);
        }
        assert_int_equal(set_has_ip(&s, &a, 1), want);
    }
    set_fini(&s);
}

static void names_match_exactly_or_below_a_dot(void **state)
{
    struct set s;
    struct arena a;

    (void)state;
    arena_init(&a, 1u << 20);
    set_init(&s);
    assert_true(set_add_name(&s, &a, SLICE("exact.example"), SET_FOR_EVER));
    assert_true(set_add_name(&s, &a, SLICE(".below.example"), SET_FOR_EVER));
    assert_true(set_add_name(&s, &a, SLICE(".org"), SET_FOR_EVER));
    set_seal(&s);
    assert_true(set_has_name(&s, SLICE("exact.example"), 1));
    assert_true(set_has_name(&s, SLICE("EXACT.Example"), 1));
    assert_false(set_has_name(&s, SLICE("a.exact.example"), 1));
    assert_true(set_has_name(&s, SLICE("a.below.example"), 1));
    assert_true(set_has_name(&s, SLICE("a.b.c.below.example"), 1));
    assert_false(set_has_name(&s, SLICE("below.example"), 1));
    assert_false(set_has_name(&s, SLICE(".below.example"), 1)); /* no name, though it looks like the entry */
    assert_false(set_has_name(&s, SLICE("xbelow.example"), 1));
    assert_true(set_has_name(&s, SLICE("a.org"), 1));
    assert_false(set_has_name(&s, SLICE(""), 1));
    assert_false(set_has_name(&s, SLICE("..."), 1));
    assert_true(set_add_name(&s, &a, SLICE(""), SET_FOR_EVER));
    assert_true(set_has_name(&s, SLICE(""), 1));
    set_fini(&s);
    arena_fini(&a);
}

static void mail_addresses_match_in_any_case(void **state)
{
    char mem[2040];
    struct set s;
    struct arena a;

    (void)state;
    arena_init(&a, 1u << 20);
    set_init(&s);
    assert_true(set_add_address(&s, &a, SLICE("user@a.example"), SET_FOR_EVER));
    assert_true(set_add_address(&s, &a, SLICE("@b.example"), SET_FOR_EVER));
    assert_true(set_add_address(&s, &a, SLICE("@.c.example"), SET_FOR_EVER));
    set_seal(&s);
    assert_true(set_has_address(&s, SLICE("User@A.Example"), 1));
    assert_false(set_has_address(&s, SLICE("other@a.example"), 1));
    assert_true(set_has_address(&s, SLICE("x@B.example"), 1));
    assert_true(set_has_address(&s, SLICE("\"a@b\"@b.example"), 1));
    assert_false(set_has_address(&s, SLICE("x@y.b.example"), 1));
    assert_false(set_has_address(&s, SLICE("@b.example"), 1)); /* no address, though it is the entry */
    assert_true(set_has_address(&s, SLICE("x@y.c.example"), 1));
    assert_false(set_has_address(&s, SLICE("x@c.example"), 1));
    /* A12: a local part as long as a command line has room for hides no domain */
    memset(mem, 'x', sizeof(mem));
    memcpy(mem + sizeof(mem) - 10, "@b.example", 10);
    assert_true(set_has_address(&s, slice_of(mem, sizeof(mem)), 1));
    assert_false(set_has_address(&s, SLICE(""), 1));
    assert_false(set_has_address(&s, SLICE("postmaster"), 1));
    assert_true(set_add_address(&s, &a, SLICE(""), SET_FOR_EVER));
    assert_true(set_has_address(&s, SLICE(""), 1)); /* the null sender, and nothing else */
    assert_false(set_has_address(&s, SLICE("postmaster"), 1));
    assert_false(set_has_address(&s, SLICE("@b.example"), 1));
    set_fini(&s);
    arena_fini(&a);
}

static void ranges_are_read(void **state)
{
    static const struct {
        const char *text;
        bool duration, ok;
        int64_t low, high;
    } rows[] = {
        { "5", false, true, 5000, 5000 },
        { "-2.5", false, true, -2500, -2500 },
        { "0.125", false, true, 125, 125 },
        { ">= 5", false, true, 5000, INT64_MAX },
        { ">5", false, true, 5001, INT64_MAX },
        { "< 2.5", false, true, INT64_MIN, 2499 },
        { "<=2.5", false, true, INT64_MIN, 2500 },
        { "= 3", false, true, 3000, 3000 },
        { "1..3", false, true, 1000, 3000 },
        { "1.5 .. 3", false, true, 1500, 3000 },
        { "3..1", false, false, 0, 0 },
        { "==3", false, false, 0, 0 },
        { "=> 3", false, false, 0, 0 },
        { "<> 3", false, false, 0, 0 },
        { "", false, false, 0, 0 },
        { ">=", false, false, 0, 0 },
        { "1.2345", false, false, 0, 0 },
        { "1.", false, false, 0, 0 },
        { "99999999999999999999", false, false, 0, 0 },
        { "< 24h", true, true, INT64_MIN, 86399999 },
        { "1h..2h", true, true, 3600000, 7200000 },
        { "5", true, false, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct set_range r;
        bool ok = entry_parse_range(slice_str(rows[i].text), rows[i].duration, &r);

        if (ok != rows[i].ok || (ok && (r.low != rows[i].low || r.high != rows[i].high))) {
            fail_msg("%s: %d %" PRId64 "..%" PRId64, rows[i].text, ok, r.low, r.high);
        }
    }
}

static void expressions_are_bounded(void **state)
{
    char mem[200], text[4001];
    struct buf why;
    struct set s;
    struct fact_value v = { .state = FACT_KNOWN };

    (void)state;
    buf_init_fixed(&why, mem, sizeof(mem));
    set_init(&s);
    set_add_regex(&s, regex_new(SLICE("^(a+)+$"), false, &why));
    set_seal(&s);
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '!';
    v.u.text = text;
    v.len = sizeof(text);
    assert_int_equal(set_match(&s, FACT_TEXT, &v, 1), TRUTH_UNKNOWN); /* it gave up: not known, not false */
    v.len = 10;
    assert_int_equal(set_match(&s, FACT_TEXT, &v, 1), TRUTH_TRUE);
    v.u.text = "b";
    v.len = 1;
    assert_int_equal(set_match(&s, FACT_TEXT, &v, 1), TRUTH_FALSE);
    assert_null(regex_new(SLICE("("), false, &why));
    assert_null(regex_new(SLICE("(*UTF)x"), false, &why));
    set_fini(&s);
}

static void facts_are_shown(void **state)
{
    static const struct {
        const char *fact, *text, *json;
    } rows[] = {
        { "spf=softfail", "softfail", "\"softfail\"" },
        { "sender.null=true", "true", "true" },
        { "score=2.5", "2.5", "2.5" },
        { "score=-0.05", "-0.05", "-0.05" },
        { "recipient.count=12", "12", "12" },
        { "client.first_seen=90m", "1h30m", "\"1h30m\"" },
        { "client.ip=2001:db8::1", "2001:db8::1", "\"2001:db8::1\"" },
        { "reputation.lists=zen,dbl", "zen, dbl", "[\"zen\",\"dbl\"]" },
        { "reputation.lists=", "", "[]" },
        { "helo.name=a\"b", "a\"b", "\"a\\\"b\"" },
        { "spf=?", "", "null" },
        { "spf=-", "", "null" },
    };
    struct fixture f;

    (void)state;
    fixture_load(&f, "{}");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice rest = slice_str(rows[i].fact), name = slice_cut(&rest, '=');
        enum fact_id id = fact_by_name(name);
        char text[100], json[100];
        struct buf a, b;

        buf_init_fixed(&a, text, sizeof(text));
        buf_init_fixed(&b, json, sizeof(json));
        fixture_facts(&f, rows[i].fact);
        fact_put(&a, id, &f.facts.v[id]);
        fact_put_json(&b, id, &f.facts.v[id]);
        assert_string_equal(text, rows[i].text);
        assert_string_equal(json, rows[i].json);
    }
    fixture_free(&f);
}

static void scopes_are_forgotten_with_the_shorter_ones(void **state)
{
    struct facts f = { .v = { { .state = FACT_IDLE } } };

    (void)state;
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        f.v[i].state = FACT_KNOWN;
    }
    facts_forget(&f, SCOPE_TXN);
    assert_int_equal(f.v[FACT_ID_CLIENT_IP].state, FACT_KNOWN);
    assert_int_equal(f.v[FACT_ID_HELO_NAME].state, FACT_KNOWN);
    assert_int_equal(f.v[FACT_ID_SPF].state, FACT_IDLE);
    assert_int_equal(f.v[FACT_ID_RECIPIENT_LOCAL].state, FACT_IDLE);
    fact_set_unknown(&f, FACT_ID_SPF);
    assert_int_equal(f.v[FACT_ID_SPF].state, FACT_KNOWN); /* a word of its own says so */
    assert_string_equal(fact_word(FACT_ID_SPF, f.v[FACT_ID_SPF].word).ptr, "temperror permerror");
    fact_set_unknown(&f, FACT_ID_HELO_KIND);
    assert_int_equal(f.v[FACT_ID_HELO_KIND].state, FACT_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_found_in_networks_of_all_lengths),
        cmocka_unit_test(the_whole_of_one_family_is_not_the_other),
        cmocka_unit_test(many_random_networks_agree_with_a_plain_search),
        cmocka_unit_test(names_match_exactly_or_below_a_dot),
        cmocka_unit_test(mail_addresses_match_in_any_case),
        cmocka_unit_test(ranges_are_read),
        cmocka_unit_test(expressions_are_bounded),
        cmocka_unit_test(facts_are_shown),
        cmocka_unit_test(scopes_are_forgotten_with_the_shorter_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
