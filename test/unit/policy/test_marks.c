/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_marks.c - the marks of X-Glacis-Tests and X-Glacis-Monitor, which rules of other filters search for as text.
 */
#include "test/unit/policy/judge_world.h"

/* An interface: a name in use somewhere is not changed under the same version of the format. */
static const char *const all[] = {
    "SPF_PASS",
    "SPF_FAIL",
    "SPF_SOFTFAIL",
    "SPF_NEUTRAL",
    "SPF_NONE",
    "SPF_TEMPERROR",
    "SPF_PERMERROR",
    "SPF_WEAK",
    "SPF_HELO_PASS",
    "SPF_HELO_FAIL",
    "SPF_HELO_SOFTFAIL",
    "SPF_HELO_NEUTRAL",
    "SPF_HELO_NONE",
    "SPF_HELO_TEMPERROR",
    "SPF_HELO_PERMERROR",
    "IPREV_PASS",
    "IPREV_FAIL",
    "IPREV_NONE",
    "IPREV_TEMPERROR",
    "IPREV_PERMERROR",
    "CLIENT_DYNAMIC",
    "CLIENT_PRIVATE",
    "CLIENT_KNOWN_GOOD",
    "PROTOCOL_PREGREET",
    "HELO_FQDN",
    "HELO_BARE",
    "HELO_LITERAL",
    "HELO_INVALID",
    "HELO_RESOLVES_PASS",
    "HELO_RESOLVES_FAIL",
    "HELO_RESOLVES_NONE",
    "HELO_RESOLVES_TEMPERROR",
    "HELO_MATCHES",
    "HELO_FORGED",
    "HELO_IMPERSONATES",
    "SENDER_RESOLVES_PASS",
    "SENDER_RESOLVES_FAIL",
    "SENDER_RESOLVES_NULL_MX",
    "SENDER_RESOLVES_TEMPERROR",
    "SENDER_RESOLVES_NONE",
    "DKIM_PASS",
    "DKIM_FAIL",
    "DKIM_NONE",
    "DKIM_POLICY",
    "DKIM_NEUTRAL",
    "DKIM_TEMPERROR",
    "DKIM_PERMERROR",
    "DKIM_L_TAG",
    "DMARC_PASS",
    "DMARC_FAIL_NONE",
    "DMARC_FAIL_QUARANTINE",
    "DMARC_FAIL_REJECT",
    "DMARC_NONE",
    "DMARC_TEMPERROR",
    "DMARC_PERMERROR",
    "FROM_OURS_FORGED",
    "REPUTATION_LISTED",
    "REPUTATION_INCOMPLETE",
    "ZERO_DAY_FRESH_DOMAIN",
    "ZERO_DAY_FRESH_CLIENT",
    "ZERO_DAY_BURST",
    "ZERO_DAY_LISTED",
};

static void the_whole_table(void **state)
{
    struct buf names, want;

    (void)state;
    buf_init(&names, 8192);
    buf_init(&want, 8192);
    judge_put_mark_names(&names);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        buf_put_str(&want, all[i]);
        buf_put_char(&want, '\n');
    }
    assert_string_equal(names.ptr, want.ptr);
    buf_fini(&names);
    buf_fini(&want);
}

/* Searched for with or without regard to case: names of lists and rules are [a-z0-9-] behind LIST_ and RULE_. */
static void no_mark_is_a_part_of_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        for (size_t k = 0; k < ARRAY_LEN(all); k++) {
            if (i != k && strstr(all[k], all[i]) != NULL) {
                fail_msg("%s is a part of %s", all[i], all[k]);
            }
        }
        assert_non_null(strchr(all[i], '_'));
        assert_null(strstr("LIST_", all[i]));
        assert_null(strstr("RULE_", all[i]));
        assert_int_not_equal(strncmp(all[i], "LIST_", 5), 0);
        assert_int_not_equal(strncmp(all[i], "RULE_", 5), 0);
    }
}

static struct buf fields; /* unfolded */

static void get_fields(struct world *w)
{
    struct buf out;

    buf_init(&out, 10000);
    buf_reset(&fields);
    judge_recipient_taken(w->j);
    judge_headers(w->j, &out);
    for (size_t i = 0; i < out.len; i++) {
        if (i + 2 < out.len && memcmp(out.ptr + i, "\r\n ", 3) == 0) {
            i++;
            continue;
        }
        buf_put_char(&fields, out.ptr[i]);
    }
    buf_fini(&out);
}

/* The value of a field, "" if it is not there. */
static const char *field(const char *name)
{
    static char mem[4096];
    char *at = strstr(fields.ptr, name);

    mem[0] = '\0';
    if (at != NULL) {
        put_copy(mem, sizeof(mem),
                 slice_of(at + strlen(name), (size_t)(strchr(at, '\r') - at) - strlen(name)));
    }
    return mem;
}

#define LISTS                                                                                                \
    "reputation: {lists: [{name: zen, zone: zen.test}, {name: zen2, zone: zen2.test},"                       \
    " {name: sorbs, zone: sorbs.test, mode: monitor}]}\n"                                                    \
    "policy: {before: [{name: own, mode: monitor, then: {score: 5}}, {name: acts, then: {score: 1}}]}\n"

static void play_listed(struct world *w, const char *yaml)
{
    world_init(w, yaml);
    fake_dns_add(w->dns, "9.113.0.203.zen2.test", DNS_TYPE_A, "127.0.0.2", 0);
    fake_dns_add(w->dns, "9.113.0.203.sorbs.test", DNS_TYPE_A, "127.0.0.2", 0);
    fake_dns_add(w->dns, "pass.test", DNS_TYPE_TXT, "v=spf1 ip4:203.0.113.9 -all", 0);
    fake_dns_add(w->dns, "pass.test", DNS_TYPE_A, "203.0.113.9", 0);
    world_play(w, "203.0.113.9", "pass.test", "x@pass.test");
    get_fields(w);
}

static void every_mark_stands_between_a_blank_and_a_comma(void **state)
{
    const char *at;
    size_t marks = 0;
    struct world w;

    (void)state;
    play_listed(&w, LISTS);
    at = field("X-Glacis-Tests:");
    assert_non_null(strstr(at, " LIST_zen2,"));
    assert_null(strstr(at, " LIST_zen,"));
    for (; *at != '\0'; marks++) {
        assert_int_equal(*at, ' ');
        at = strchr(at, ',');
        assert_non_null(at); /* the last one too */
        at++;
    }
    assert_in_range(marks, 6, 20);
    world_fini(&w);
}

static void what_only_watches_has_a_field_of_its_own(void **state)
{
    struct world w;

    (void)state;
    play_listed(&w, LISTS);
    assert_string_equal(field("X-Glacis-Monitor:"), " LIST_sorbs, RULE_own,");
    assert_null(strstr(field("X-Glacis-Tests:"), "sorbs"));
    assert_null(strstr(field("X-Glacis-Tests:"), "RULE_own"));
    assert_non_null(strstr(field("X-Glacis-Tests:"), " LIST_zen2, RULE_acts, RULE_vouched-but-listed,"));
    assert_null(strstr(fields.ptr, "(monitor)"));
    world_fini(&w);
}

static void a_monitoring_file_names_lists_and_rules_there(void **state)
{
    struct world w;

    (void)state;
    play_listed(&w, "mode: monitor\n" LISTS);
    assert_string_equal(field("X-Glacis-Monitor:"),
                        " LIST_zen2, LIST_sorbs, RULE_acts, RULE_vouched-but-listed, RULE_own,");
    assert_null(strstr(field("X-Glacis-Tests:"), "LIST_"));
    assert_null(strstr(field("X-Glacis-Tests:"), "RULE_"));
    assert_non_null(strstr(field("X-Glacis-Tests:"), " SPF_PASS,"));
    world_fini(&w);
}

static void nothing_watches_no_field(void **state)
{
    struct world w;

    (void)state;
    play_listed(&w, "");
    assert_null(strstr(fields.ptr, "X-Glacis-Monitor"));
    world_fini(&w);
}

static void a_literal_of_another_client_is_forged(void **state)
{
    static const struct {
        const char *helo;
        bool forged;
    } rows[] = { { "[203.0.113.9]", false },
                 { "[203.0.113.10]", true },
                 { "[IPv6:2001:db8::1]", true },
                 { "pc", false },
                 { "a.test", false } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;

        world_init(&w, "");
        world_play(&w, "203.0.113.9", rows[i].helo, "");
        get_fields(&w);
        assert_int_equal(strstr(field("X-Glacis-Tests:"), " HELO_FORGED,") != NULL, rows[i].forged);
        assert_string_equal(w.rule, "default");
        world_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "B2: the whole table of marks", .test_func = the_whole_table },
        { .name = "B2: no mark is a part of another, or can be a part of a name",
          .test_func = no_mark_is_a_part_of_another },
        { .name = "B2: every mark stands between a blank and a comma",
          .test_func = every_mark_stands_between_a_blank_and_a_comma },
        { .name = "B2: what only watches has a field of its own",
          .test_func = what_only_watches_has_a_field_of_its_own },
        { .name = "B2: a file in monitor names lists and rules there",
          .test_func = a_monitoring_file_names_lists_and_rules_there },
        { .name = "B2: no field where nothing watches", .test_func = nothing_watches_no_field },
        { .name = "B8: an address literal of another client is HELO_FORGED",
          .test_func = a_literal_of_another_client_is_forged },
    };
    int failed;

    buf_init(&fields, 20000);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_fini(&fields);
    return failed;
}
