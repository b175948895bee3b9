/* SPDX-License-Identifier: Apache-2.0 */
/* Standing, greylisting and suspicion of the first day: settings and records in, decisions out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "policy/standing/standing.h"
#include "state/memory.h"
#include "state/tables_priv.h"

#define DAY 86400
#define HOUR 3600
#define NOW ((int64_t)20000 * DAY + 4000)

static const struct config_known_good good = { .messages = 3, .days = 2, .within_s = 36 * DAY };
static const struct config_known_good nobody = { .messages = 0, .days = 2, .within_s = 36 * DAY };
static const struct config_greylist grey = {
    .delay_s = 300, .retry_within_s = 2 * DAY, .remember_s = 36 * DAY, .v4_bits = 24, .v6_bits = 64
};
static const struct config_zero_day fresh = { .fresh_domain_s = DAY,
                                              .fresh_client_s = DAY,
                                              .burst_networks = 10,
                                              .burst_within_s = 600,
                                              .learn_for_s = 7 * DAY };

static struct addr ip(const char *text)
{
    struct addr a;

    assert_true(addr_parse_ip(slice_str(text), &a));
    return a;
}

static void good_standing_needs_messages_on_different_days(void **st)
{
    static const struct {
        const char *label;
        uint16_t day[3], count[3]; /* days before today */
        bool want;
    } rows[] = {
        { "nothing", { 0, 0, 0 }, { 0, 0, 0 }, false },
        { "many on one day", { 1, 0, 0 }, { 50, 0, 0 }, false },
        { "two on two days", { 1, 2, 0 }, { 1, 1, 0 }, false },
        { "three on two days", { 1, 2, 0 }, { 2, 1, 0 }, true },
        { "one of them too long ago", { 1, 40, 0 }, { 2, 9, 0 }, false },
        { "the last day that counts", { 1, 36, 0 }, { 2, 1, 0 }, true },
    };

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct memory_record r = { .known = true, .found = true, .standing.since_s = 1 };

        for (size_t k = 0; k < 3 && rows[i].count[k] > 0; k++) {
            r.standing.day[k] = (uint16_t)(NOW / DAY - rows[i].day[k]);
            r.standing.count[k] = rows[i].count[k];
        }
        if (known_good_is(&good, &r, NOW) != rows[i].want) {
            fail_msg("%s", rows[i].label);
        }
        assert_false(known_good_is(&nobody, &r, NOW));
        r.known = false;
        assert_false(known_good_is(&good, &r, NOW));
    }
}

static void established_takes_a_week_or_half_of_a_young_history(void **st)
{
    struct memory_record r = { .known = true, .found = true };

    (void)st;
    r.standing.day[0] = (uint16_t)(NOW / DAY);
    r.standing.day[1] = (uint16_t)(NOW / DAY - 1);
    r.standing.count[0] = r.standing.count[1] = 9;
    r.standing.since_s = (uint32_t)(NOW - 3 * DAY);
    assert_false(known_good_is_established(&good, &r, NOW - 100 * DAY, NOW));
    assert_true(known_good_is_established(&good, &r, NOW - 5 * DAY, NOW));
    r.standing.since_s = (uint32_t)(NOW - 7 * DAY);
    assert_true(known_good_is_established(&good, &r, NOW - 100 * DAY, NOW));
}

static void the_owner_of_a_name(void **st)
{
    static const char *const rows[][2] = {
        { "mail-sor-f41.google.com", "google.com" },
        { "google.com", "google.com" },
        { "localhost", "localhost" },
        { "a.b.example.co.uk", "example.co.uk" },
        { "mx.example.de", "example.de" },
        { "x.com.au", "x.com.au" },
        { "mx1.web.de", "mx1.web.de" }, /* one too specific: it only learns slower */
        { "", "" },
    };

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice owner = standing_key_owner(slice_str(rows[i][0]));

        assert_int_equal(owner.len, strlen(rows[i][1]));
        assert_memory_equal(owner.ptr, rows[i][1], owner.len);
    }
}

static bool same(struct memory_key a, struct memory_key b)
{
    return memcmp(a.octets, b.octets, sizeof(a.octets)) == 0;
}

/* Neither the network nor the owner of a name makes two clients one. */
static void an_identity_is_one_address_with_its_name(void **st)
{
    static const struct {
        const char *ip, *name;
        bool same;
    } rows[] = {
        { "192.0.2.1", "mail.hoster.test", true },  { "192.0.2.1", "MAIL.hoster.test", true },
        { "192.0.2.2", "mail.hoster.test", false }, { "192.0.2.1", "mail2.hoster.test", false },
        { "192.0.2.1", "hoster.test", false },      { "192.0.2.1", "", false },
    };
    struct addr a = ip("192.0.2.1"), six = ip("2001:db8::1"), neighbour = ip("2001:db8::2"),
                far = ip("2001:db8:0:1::1");
    struct memory_key want = standing_key_host(&a, SLICE("mail.hoster.test"));

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr b = ip(rows[i].ip);

        assert_int_equal(same(want, standing_key_host(&b, slice_str(rows[i].name))), rows[i].same);
    }
    assert_true(
        same(standing_key_host(&six, SLICE("m.test")), standing_key_host(&neighbour, SLICE("m.test"))));
    assert_false(same(standing_key_host(&six, SLICE("m.test")), standing_key_host(&far, SLICE("m.test"))));
    assert_false(same(standing_key_address(&a), standing_key_network(&a)));
    a = ip("192.0.2.0"); /* the address that is written like its network */
    assert_false(same(standing_key_address(&a), standing_key_network(&a)));
    assert_int_equal(standing_key_network_hash(&six), standing_key_network_hash(&far)); /* of one /48 */
}

/* One attempt; true: it passes. */
static bool attempt(struct tables *t, const char *spf_domain, const char *from_ip, const char *rcpt,
                    int64_t now)
{
    struct addr a = ip(from_ip);
    struct greylist_who who = { slice_str(spf_domain), &a, SLICE("someone@corp.example"), slice_str(rcpt) };
    struct memory_question q = { .what = MEMORY_GREYLIST,
                                 .key = greylist_key(&grey, &who),
                                 .keep_s = grey.retry_within_s };
    struct memory_record r;
    bool learn;
    uint32_t wait;
    enum grey decision;

    tables_ask(t, &q, now, &r);
    decision = greylist_decide(&grey, &r, now, &learn, &wait);
    if (learn) {
        tables_note(t, MEMORY_PASSED, &q.key, grey.remember_s, now);
    }
    assert_int_equal(decision == GREY_WAITS, wait > 0);
    return decision == GREY_PASSES;
}

static void pools_that_retry_from_other_addresses_pass_at_the_second_try(void **st)
{
    static const struct {
        const char *domain, *first, *second;
    } pools[] = {
        { "gmail.example", "209.85.128.41", "209.85.222.180" },
        { "outlook.example", "40.107.20.52", "104.47.66.41" },
        { "v6.example", "2a00:1450:4864:20::52c", "2607:f8b0:4864:20::1033" },
    };
    struct tables *t = tables_new(64);

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(pools); i++) {
        assert_false(attempt(t, pools[i].domain, pools[i].first, "a@b.example", NOW));
        assert_false(attempt(t, pools[i].domain, pools[i].second, "a@b.example", NOW + 200));
        assert_true(attempt(t, pools[i].domain, pools[i].second, "a@b.example", NOW + 320));
        assert_true(attempt(t, pools[i].domain, pools[i].first, "a@b.example", NOW + 20 * DAY));
        assert_false(attempt(t, pools[i].domain, pools[i].first, "other@b.example", NOW + 320));
    }
    tables_free(t);
}

/* Both ends of the longest triplet count: a bounce address may take all of its octets. */
static void the_longest_triplet_is_told_apart_by_its_recipient(void **st)
{
    static char domain[254], sender[321];
    struct addr a = ip("192.0.2.1");
    struct memory_key key[2];

    (void)st;
    memset(domain, 'd', sizeof(domain) - 1);
    memset(sender, 's', sizeof(sender) - 1);
    for (unsigned i = 0; i < 2; i++) {
        struct greylist_who who = { slice_str(domain), &a, slice_str(sender),
                                    slice_str(i == 0 ? "a@b" : "c@b") };

        key[i] = greylist_key(&grey, &who);
    }
    assert_memory_not_equal(&key[0], &key[1], sizeof(key[0]));
}

static void without_a_pass_the_network_is_the_key(void **st)
{
    struct tables *t = tables_new(64);

    (void)st;
    assert_false(attempt(t, "", "192.0.2.1", "a@b.example", NOW));
    assert_true(attempt(t, "", "192.0.2.77", "a@b.example", NOW + 400)); /* the same /24 */
    assert_false(attempt(t, "", "198.51.100.1", "a@b.example", NOW + 400));
    assert_false(attempt(t, "", "198.51.100.1", "a@b.example", NOW + 400 + 2 * DAY)); /* too late */
    assert_true(attempt(t, "", "198.51.100.1", "a@b.example", NOW + 900 + 2 * DAY));
    tables_free(t);
}

static void memory_that_cannot_be_had_lets_it_pass(void **st)
{
    struct memory_record r = { .known = false };
    bool learn;
    uint32_t wait;

    (void)st;
    assert_int_equal(greylist_decide(&grey, &r, NOW, &learn, &wait), GREY_PASSES);
    assert_false(learn);
}

static void nobody_is_fresh_before_the_history_is_old_enough(void **st)
{
    struct memory_record r = { .known = true, .since_s = NOW - HOUR };
    struct zero_day_seen seen = { .domain = &r, .client = &r, .history_s = NOW - 6 * DAY };
    struct zero_day z = zero_day_decide(&fresh, &seen, NOW);

    (void)st;
    assert_false(z.fresh_domain || z.fresh_client || z.burst);
    seen.history_s = 0; /* not known yet */
    z = zero_day_decide(&fresh, &seen, NOW);
    assert_false(z.fresh_domain || z.fresh_client);
    seen.history_s = NOW - 7 * DAY;
    z = zero_day_decide(&fresh, &seen, NOW);
    assert_true(z.fresh_domain && z.fresh_client);
    r.since_s = NOW - DAY;
    z = zero_day_decide(&fresh, &seen, NOW);
    assert_false(z.fresh_domain || z.fresh_client);
    r = (struct memory_record){ .known = false };
    z = zero_day_decide(&fresh, &seen, NOW);
    assert_false(z.fresh_domain || z.fresh_client);
}

/* Mail from `networks` different networks within the window; does the last one look like a burst? */
static bool burst_of(struct tables *t, const struct burst_ask *about, unsigned networks)
{
    struct zero_day z = { .burst = false };

    for (unsigned i = 0; i < networks; i++) {
        struct addr a = { .family = ADDR_V4, .ip = { 100, 64, (uint8_t)i, 1 } };
        struct memory_question q[3];
        struct memory_record r[3];
        struct zero_day_seen seen = { .history_s = 1 };
        unsigned which[3];
        size_t n = zero_day_burst_questions(&fresh, about, &a, q, which);

        for (size_t k = 0; k < n; k++) {
            tables_ask(t, &q[k], NOW + i, &r[k]);
            seen.burst[which[k]] = &r[k];
        }
        z = zero_day_decide(&fresh, &seen, NOW + i);
    }
    return z.burst;
}

static void a_burst_is_told_from_big_senders(void **st)
{
    static const struct {
        const char *label;
        struct burst_ask ask;
        unsigned networks;
        bool want;
    } rows[] = {
        { "botnet, one forged domain",
          { .domain = SLICE_INIT("forged1.example"), .helo = SLICE_INIT("x1") },
          12,
          true },
        { "not enough networks",
          { .domain = SLICE_INIT("forged2.example"), .helo = SLICE_INIT("x2") },
          9,
          false },
        { "botnet, one HELO", { .domain = SLICE_INIT(""), .helo = SLICE_INIT("ylmf-pc") }, 12, true },
        { "newsletter provider: SPF pass",
          { .spf_pass = true,
            .domain = SLICE_INIT("news.example"),
            .helo = SLICE_INIT("out.news.example"),
            .sender = SLICE_INIT("bounce@news.example") },
          16,
          false },
        { "large mailbox provider, no SPF pass, its own names",
          { .helo = SLICE_INIT("nam12.obe.outbound.big.example"),
            .rdns = SLICE_INIT("mail-nam12.outbound.big.example") },
          16,
          false },
        { "forwarder in good standing",
          { .known_good = true, .domain = SLICE_INIT("shop.example"), .helo = SLICE_INIT("fwd.example") },
          16,
          false },
        { "a botnet under names of its own, no pass",
          { .domain = SLICE_INIT("evil.example"),
            .helo = SLICE_INIT("a.evil.example"),
            .rdns = SLICE_INIT("b.evil.example") },
          12,
          true },
    };
    struct tables *t = tables_new(64);

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (burst_of(t, &rows[i].ask, rows[i].networks) != rows[i].want) {
            fail_msg("%s", rows[i].label);
        }
    }
    tables_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_standing_needs_messages_on_different_days),
        cmocka_unit_test(established_takes_a_week_or_half_of_a_young_history),
        cmocka_unit_test(the_owner_of_a_name),
        { .name = "A3: an identity is one address with its name",
          .test_func = an_identity_is_one_address_with_its_name },
        cmocka_unit_test(pools_that_retry_from_other_addresses_pass_at_the_second_try),
        cmocka_unit_test(the_longest_triplet_is_told_apart_by_its_recipient),
        cmocka_unit_test(without_a_pass_the_network_is_the_key),
        cmocka_unit_test(memory_that_cannot_be_had_lets_it_pass),
        cmocka_unit_test(nobody_is_fresh_before_the_history_is_old_enough),
        cmocka_unit_test(a_burst_is_told_from_big_senders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
