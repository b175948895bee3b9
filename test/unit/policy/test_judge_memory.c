/* A judgement with a memory: standing, suspicion, greylisting, and a list that is caught lying, in virtual
 * time. */
#include "test/unit/policy/judge_world.h"

#include "policy/engine.h"
#include "state/tables.h"

#define DAY_MS ((uint64_t)86400000)

static struct state *shared;

static void init(struct world *w, const char *yaml)
{
    world_init(w, yaml);
    policy_worker_free(&w->pw);
    shared = state_new(0);
    shared->tables->h->history_s = wall_now_s() - 30 * 86400;
    w->pw = policy_worker_new(w->policy, w->loop, w->dns, shared);
}

static void fini(struct world *w)
{
    world_fini(w);
    state_free(shared);
}

static void play(struct world *w, const char *ip, const char *from)
{
    world_play(w, ip, "mail.partner.example", from);
}

static void end(struct world *w, bool accepted)
{
    if (accepted) {
        judge_recipient_taken(w->j);
    }
    judge_outcome(w->j, accepted);
    judge_free(&w->j);
}

static void a_triplet_waits_and_then_passes(void **state)
{
    struct world w;

    (void)state;
    init(
        &w,
        "policy: {rules: [{name: g, when: {spf: [none, pass]}, then: greylist}, {name: a, then: accept}]}\n");
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_string_equal(w.rule, "g");
    assert_int_equal(w.action, VERDICT_DEFER);
    assert_int_equal(w.code, 451);
    end(&w, false);
    sim_advance(w.loop, 60000);
    play(&w, "198.51.100.99", "alice@partner.example"); /* the same network, too early */
    assert_string_equal(w.rule, "g");
    end(&w, false);
    sim_advance(w.loop, 300000);
    play(&w, "198.51.100.99", "alice@partner.example");
    assert_string_equal(w.rule, "a");
    end(&w, true);
    play(&w, "203.0.113.99", "alice@partner.example");
    assert_string_equal(w.rule, "g");
    fini(&w);
}

static void while_the_memory_is_being_read_nobody_waits(void **state)
{
    struct world w;

    (void)state;
    init(&w, "policy: {rules: [{name: g, then: greylist, reply: \"451 4.7.1 come in {greylist.wait}\"}]}\n");
    shared->tables->h->history_s = 0;
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_int_equal(w.action, VERDICT_ACCEPT);
    end(&w, true);
    shared->tables->h->history_s = wall_now_s();
    play(&w, "203.0.113.7", "alice@partner.example");
    assert_int_equal(w.action, VERDICT_DEFER);
    assert_string_equal(w.text, "come in 5m");
    end(&w, false);
    fini(&w);
}

static void good_standing_is_earned_and_lost(void **state)
{
    struct world w;

    (void)state;
    init(&w, "policy: {rules: [{name: good, when: {client.known_good: true}, then: accept},"
             " {name: bad, then: defer}]}\n");
    for (int day = 0; day < 2; day++) {
        for (int i = 0; i < 2; i++) {
            play(&w, "198.51.100.7", "alice@partner.example");
            assert_string_equal(w.rule, day == 1 && i == 1 ? "good" : "bad"); /* three on two days */
            end(&w, true);
        }
        sim_advance(w.loop, DAY_MS);
    }
    play(&w, "198.51.100.77", "someone@else.example"); /* by its network */
    assert_string_equal(w.rule, "good");
    assert_true(policy_client_known_good(w.pw, &w.j->ip));
    assert_true(judge_known_good(w.j));
    judge_outcome(w.j, false); /* the second filter refused it for good */
    judge_free(&w.j);
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_string_equal(w.rule, "bad");
    fini(&w);
}

static void who_is_new_is_suspect_for_a_day(void **state)
{
    struct world w;

    (void)state;
    init(
        &w,
        "policy: {rules: [{name: new, when: {zero_day.fresh_domain: true, zero_day.suspect: true}, then: "
        "accept},"
        " {name: client, when: {client.first_seen: \">= 1h\"}, then: accept}, {name: rest, then: defer}]}\n");
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_string_equal(w.rule, "new");
    sim_advance(w.loop, DAY_MS + 1000);
    play(&w, "198.51.100.7", "alice@partner.example");
    assert_string_equal(w.rule, "client");
    play(&w, "203.0.113.1", "alice@partner.example");
    assert_string_equal(w.rule, "rest");
    fini(&w);
}

static void a_burst_from_everywhere_is_seen(void **state)
{
    struct world w;
    char ip[32];

    (void)state;
    init(&w, "policy: {rules: [{name: burst, when: {zero_day.burst: true}, then: defer}, {name: a, then: "
             "accept}]}\n");
    for (int i = 0; i < 10; i++) {
        (void)snprintf(ip, sizeof(ip), "198.51.%d.7", i);
        play(&w, ip, "alice@forged.example");
        assert_string_equal(w.rule, i < 9 ? "a" : "burst");
    }
    fini(&w);
}

#define LIST "reputation: {lists: [{name: liar, zone: liar.test}], guard: {probe_interval: off}}\n"
#define LISTED                                                                                               \
    "policy: {rules: [{name: known, when: {client.known_good: true, reputation.listed: true}, then: "        \
    "accept},"                                                                                               \
    " {name: listed, when: {reputation.listed: true}, then: defer}, {name: a, then: accept}]}\n"

static void list_everything(struct world *w, int net)
{
    char name[64];

    for (int host = 1; host < 3; host++) {
        (void)snprintf(name, sizeof(name), "%d.%d.51.198.liar.test", host, net);
        fake_dns_add(w->dns, name, DNS_TYPE_A, "127.0.0.2", 0);
    }
}

/* Six networks with a history; then the list names them all. */
static void a_list_that_names_good_correspondents_is_demoted(void **state)
{
    struct memory_list *l;
    struct world w;
    char ip[32];

    (void)state;
    init(&w, LIST LISTED);
    for (int day = 0; day < 9; day++) {
        for (int net = 0; net < 6; net++) {
            (void)snprintf(ip, sizeof(ip), "198.51.%d.1", net);
            play(&w, ip, "alice@partner.example");
            assert_string_equal(w.rule, "a");
            end(&w, true);
        }
        sim_advance(w.loop, DAY_MS);
    }
    for (int net = 0; net < 200; net++) {
        list_everything(&w, net);
    }
    sim_advance(w.loop, 2 * 3600000);
    play(&w, "198.51.100.2", "x@stranger.example");
    assert_string_equal(w.rule, "listed");
    for (int net = 0; net < 6; net++) {
        (void)snprintf(ip, sizeof(ip), "198.51.%d.2", net);
        play(&w, ip, "alice@partner.example");
        assert_string_equal(w.rule, net < 5 || w.rule[0] == 'k' ? "known" : "a");
        end(&w, true);
    }
    l = memory_list_take(w.pw->memory, SLICE("liar"));
    assert_int_equal(l->reason, GUARD_KNOWN_GOOD);
    assert_true(l->demoted_s != 0);
    memory_list_give(w.pw->memory, l);
    play(&w, "198.51.101.2", "x@stranger.example"); /* and nobody is delayed by it any more */
    assert_string_equal(w.rule, "a");
    fini(&w);
}

static void set_by_hand(struct world *w, enum memory_override word, uint32_t seconds)
{
    struct memory_list *l = memory_list_take(w->pw->memory, SLICE("liar"));

    assert_non_null(l);
    guard_override(l, word, seconds > 0 ? (uint32_t)wall_now_s() + seconds : 0,
                   (uint64_t)wall_now_s() * 1000);
    memory_list_give(w->pw->memory, l);
    sim_advance(w->loop, 2000);
}

/* The file has it off; the operator's word wins, for its time. */
static void a_list_that_is_off_can_be_set_by_hand(void **state)
{
    static const char *const yaml = "reputation: {lists: [{name: liar, zone: liar.test, mode: off}],"
                                    " guard: {probe_interval: off}}\n" LISTED;
    struct world w;

    (void)state;
    init(&w, yaml);
    list_everything(&w, 100);
    play(&w, "198.51.100.2", "x@stranger.example");
    assert_string_equal(w.rule, "a");
    assert_null(w.j->run); /* costs nothing */
    set_by_hand(&w, OVERRIDE_ENFORCE, 3600);
    play(&w, "198.51.100.2", "x@stranger.example");
    assert_string_equal(w.rule, "listed");
    set_by_hand(&w, OVERRIDE_MONITOR, 3600);
    play(&w, "198.51.100.2", "x@stranger.example");
    assert_string_equal(w.rule, "a");
    assert_non_null(w.j->run);
    sim_advance(w.loop, 3600000);
    play(&w, "198.51.100.2", "x@stranger.example");
    assert_null(w.j->run);
    fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_triplet_waits_and_then_passes),
        cmocka_unit_test(while_the_memory_is_being_read_nobody_waits),
        cmocka_unit_test(good_standing_is_earned_and_lost),
        cmocka_unit_test(who_is_new_is_suspect_for_a_day),
        cmocka_unit_test(a_burst_from_everywhere_is_seen),
        cmocka_unit_test(a_list_that_names_good_correspondents_is_demoted),
        cmocka_unit_test(a_list_that_is_off_can_be_set_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
