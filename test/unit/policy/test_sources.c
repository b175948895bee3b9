/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sources.c - the table of sources holds what the engine relies on.
 */
#include "test/unit/policy/judge_world.h"

#include "policy/judge/engine_priv.h"

static void each_fact_has_one_source(void **state)
{
    bool taken[FACT_SLOTS] = { false };

    (void)state;
    for (unsigned id = SOURCE_NONE + 1; id < SOURCE_COUNT; id++) {
        assert_int_not_equal(source_table[id]->facts[0], FACT_END);
        for (const uint8_t *f = source_table[id]->facts; *f != FACT_END; f++) {
            assert_true(*f < FACT_SLOTS);
            assert_false(taken[*f]);
            taken[*f] = true;
        }
    }
    assert_true(taken[FACT_ANY_LIST] && taken[FACT_TRIPLET]);
}

/* So deriving once from the top down is enough, and nobody is dropped before those that look at it. */
static void a_source_stands_below_those_that_it_needs(void **state)
{
    (void)state;
    for (unsigned id = SOURCE_NONE + 1; id < SOURCE_COUNT; id++) {
        const uint8_t *needs = source_table[id]->needs;

        for (; needs != NULL && *needs != SOURCE_NONE; needs++) {
            assert_true(*needs < id);
        }
        assert_true(source_table[id]->credit < id);
    }
}

static void hooks_come_together(void **state)
{
    (void)state;
    for (unsigned id = SOURCE_NONE + 1; id < SOURCE_COUNT; id++) {
        const struct source *s = source_table[id];

        assert_non_null(s->start);
        assert_true((s->pack != NULL) == (s->unpack != NULL));
        assert_true(s->busy == NULL ||
                    (s->drop != NULL && s->give_up != NULL)); /* what is out can be ended */
        assert_true(s->needs == NULL || s->derive != NULL);
        assert_true(!s->ahead || s->facts[0] < FACT_COUNT); /* its stage says when */
    }
}

/* The worker's table leads from a fact to the source that has it. */
static void a_fact_leads_to_its_source(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "");
    assert_int_equal(source_of(w.pw, FACT_ID_CLIENT_IP), SOURCE_NONE);
    assert_int_equal(source_of(w.pw, FACT_ID_TLS_CLIENT_SUBJECT), SOURCE_NONE);
    assert_int_equal(source_of(w.pw, FACT_ID_CLIENT_IPREV), SOURCE_RDNS);
    assert_int_equal(source_of(w.pw, FACT_COUNT), SOURCE_LISTS);
    assert_int_equal(source_of(w.pw, RULE_NEEDS_TRIPLET), SOURCE_GREYLIST);
    world_fini(&w);
}

/* Standing is kept by the verified name, so a rule that wants standing has the name asked at connect. */
static void what_is_needed_later_is_asked_ahead(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "policy: {rules: [{name: good, when: {client.known_good: true}, then: accept}]}\n");
    assert_false(w.pw->ahead[SOURCE_RDNS]); /* without a memory nothing has standing */
    world_fini(&w);
    world_init(&w, "policy: {rules: [{name: odd, when: {client.rdns: odd.test}, then: reject}]}\n");
    world_connect(&w, "203.0.113.9");
    assert_int_equal(fake_dns_asked(w.dns, "9.113.0.203.in-addr.arpa", DNS_TYPE_PTR), 1);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fact_has_one_source),
        cmocka_unit_test(a_source_stands_below_those_that_it_needs),
        cmocka_unit_test(hooks_come_together),
        cmocka_unit_test(a_fact_leads_to_its_source),
        cmocka_unit_test(what_is_needed_later_is_asked_ahead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
