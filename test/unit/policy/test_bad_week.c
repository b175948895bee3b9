/*
 * The bad week on a virtual clock: real tables, real standing, the real guard; lists that lie in every way we
 * know of, and two attackers who want a good list demoted.  Prints who was delayed.
 *
 * Traffic    eight in a hundred connections come from the ten largest providers, from many networks each,
 * nearly half of their mail without an SPF pass; a third from correspondents of all sizes; the rest is spam
 *            from everywhere, that each list knows to some share.
 * Judgement  the preset's: an SPF pass is accepted; else a hit of an enforcing list delays whoever is not in
 * good standing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/table.h"
#include "policy/guard.h"
#include "policy/standing.h"
#include "state/tables.h"

#define MINUTE 60
#define HOUR 3600
#define DAY 86400
#define START ((int64_t)20000 * DAY)
#define WARM_UP (8 * DAY)
#define STEP_S 6 /* a connection every six seconds: 14,400 a day */
#define LISTS 3
#define PROVIDERS 10
#define CORRESPONDENTS 600

enum group { PROVIDER = 0, CORRESPONDENT, STRANGER, SPAMMER, ATTACKER, GROUPS };

static const struct known_good_settings good_settings = { .messages = 3, .days = 2, .within_s = 36 * DAY };
static const struct guard_settings settings = {
    .good_clients = 5,
    .good_share_percent = 2,
    .good_within_s = HOUR,
    .probe_interval_s = 300,
    .positive_percent = 90,
    .min_asked = 50,
    .surge = 5,
    .breaker_failures = 20,
    .breaker_retry_s = 30,
    .recover_auto = true,
};

struct caller {
    enum group group;
    struct addr ip;
    char owner[40]; /* of the verified name; "": none */
    char domain[40];
    bool spf_pass, spf_fail;
};

struct world;
typedef enum guard_outcome (*answer_fn)(struct world *w, size_t list, const struct caller *c);

struct world {
    struct tables *t;
    int64_t now;
    uint64_t random;
    struct memory_list *list[LISTS];
    bool allow[LISTS];
    answer_fn answer; /* of list 0; the others tell the truth */
    bool guarded;
    bool control_listed, probe_listed; /* what probes of list 0 find */
    unsigned wave_percent;             /* of a botnet */
    unsigned attacker_percent;
    uint64_t connections[GROUPS], delayed[GROUPS], delayed_bare[GROUPS];
    uint64_t waits; /* time-outs that a connection had to wait for */
    uint64_t passed_spam;
    unsigned happened[LISTS];
    int64_t demoted_at, restored_at, silent_at, surge_at;
    unsigned demotions;
};

static uint64_t roll(struct world *w, uint64_t below)
{
    w->random = w->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (w->random >> 33) % below;
}

static bool percent(struct world *w, unsigned n)
{
    return roll(w, 100) < n;
}

static struct addr ip4(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return (struct addr){ .family = ADDR_V4, .ip = { (uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d } };
}

/* "firm" and 7 make "firm7.example". */
static void set_text(char *out, const char *name, unsigned n)
{
    (void)snprintf(out, 40, "%s%u.example", name, n);
}

static void make_client(struct world *w, struct caller *c)
{
    unsigned kind = (unsigned)roll(w, 1000), n;

    memset(c, 0, sizeof(*c));
    if (percent(w, w->wave_percent)) {
        c->group = SPAMMER;
        c->ip = ip4(100, (unsigned)roll(w, 256), (unsigned)roll(w, 256), (unsigned)roll(w, 256));
    } else if (percent(w, w->attacker_percent)) { /* domains of his own, over a few rented networks */
        n = (unsigned)roll(w, 40);
        c->group = ATTACKER;
        c->ip = ip4(45, 1, n % 8, (unsigned)roll(w, 256));
        set_text(c->domain, "cheap", n);
        c->spf_pass = true;
    } else if (kind < 80) {
        n = (unsigned)roll(w, PROVIDERS);
        c->group = PROVIDER;
        c->ip = ip4(20 + n, 1, (unsigned)roll(w, 64), (unsigned)roll(w, 256));
        if (percent(w, 25)) { /* a new network of a cloud, its names not set up yet */
            c->ip = ip4(20 + n, 2 + (unsigned)roll(w, 250), (unsigned)roll(w, 256), (unsigned)roll(w, 256));
        } else {
            set_text(c->owner, "provider", n);
        }
        set_text(c->domain, "customer", (unsigned)roll(w, 3000));
        c->spf_pass = percent(w, 55);
    } else if (kind < 380) {
        n = (unsigned)(roll(w, CORRESPONDENTS) * roll(w, CORRESPONDENTS) /
                       CORRESPONDENTS); /* some write more */
        c->group = CORRESPONDENT;
        c->ip = ip4(60, n / 256, n % 256, 25);
        if (n % 5 != 0) {
            set_text(c->owner, "firm", n);
        }
        set_text(c->domain, "firm", n);
        c->spf_pass = n % 10 < 6;
    } else if (kind < 410) {
        c->group = STRANGER;
        c->ip = ip4(80, (unsigned)roll(w, 256), (unsigned)roll(w, 256), 25);
        set_text(c->domain, "new", (unsigned)roll(w, 1000000));
        c->spf_pass = percent(w, 50);
    } else {
        c->group = SPAMMER;
        c->ip = ip4(100, (unsigned)roll(w, 256), (unsigned)roll(w, 256), (unsigned)roll(w, 256));
        set_text(c->domain, "forged", (unsigned)roll(w, 2000));
        c->spf_fail = percent(w, 30);
        c->spf_pass = !c->spf_fail && percent(w, 10);
    }
}

/* A list that is right: it knows the address or it does not, whenever it is asked. */
static bool knows(size_t list, const struct caller *c)
{
    static const uint64_t key[2] = { 1, 2 };
    static const unsigned share[LISTS] = { 85, 70, 55 };
    uint64_t h = siphash(key, c->ip.ip, 4) + list * 977;

    if (c->group == SPAMMER || c->group == ATTACKER) {
        return h % 100 < share[list];
    }
    return h % 1000 < 2; /* and now and then a good one with an infected machine */
}

static enum guard_outcome tells_the_truth(struct world *w, size_t list, const struct caller *c)
{
    if (w->allow[list]) {
        return c->group == CORRESPONDENT || c->group == PROVIDER ? GUARD_YES : GUARD_NO;
    }
    return knows(list, c) ? GUARD_YES : GUARD_NO;
}

static enum guard_outcome lists_the_providers(struct world *w, size_t list, const struct caller *c)
{
    return c->group == PROVIDER ? GUARD_YES : tells_the_truth(w, list, c);
}

static enum guard_outcome says_yes_to_95_percent(struct world *w, size_t list, const struct caller *c)
{
    (void)list;
    (void)c;
    return percent(w, 95) ? GUARD_YES : GUARD_NO;
}

static enum guard_outcome says_yes(struct world *w, size_t list, const struct caller *c)
{
    (void)w;
    (void)list;
    (void)c;
    return GUARD_YES;
}

static enum guard_outcome says_nothing(struct world *w, size_t list, const struct caller *c)
{
    (void)w;
    (void)list;
    (void)c;
    return GUARD_TIMEOUT;
}

static enum guard_outcome refuses_us(struct world *w, size_t list, const struct caller *c)
{
    (void)w;
    (void)list;
    (void)c;
    return GUARD_ERROR; /* 127.255.255.254 */
}

static enum guard_outcome says_no(struct world *w, size_t list, const struct caller *c)
{
    (void)w;
    (void)list;
    (void)c;
    return GUARD_NO;
}

static void note_what(struct world *w, size_t list, unsigned what)
{
    w->happened[list] |= what;
    if (list != 0) {
        return;
    }
    if ((what & GUARD_DEMOTED) != 0) {
        w->demotions++;
        w->demoted_at = w->demoted_at == 0 ? w->now : w->demoted_at;
    }
    if ((what & GUARD_RESTORED) != 0) {
        w->restored_at = w->now;
    }
    if ((what & GUARD_SILENT) != 0 && w->silent_at == 0) {
        w->silent_at = w->now;
    }
    if ((what & GUARD_SURGE) != 0 && w->surge_at == 0) {
        w->surge_at = w->now;
    }
}

struct known {
    bool good, established;
};

static struct known ask_standing(struct world *w, const struct memory_key *key)
{
    struct memory_question q = { .what = MEMORY_STANDING, .key = *key };
    struct memory_record r;

    tables_ask(w->t, &q, w->now, &r);
    return (struct known){ known_good_is(&good_settings, &r, w->now),
                           known_good_is_established(&good_settings, &r, START, w->now) };
}

static size_t keys_of(const struct caller *c, struct memory_key key[3])
{
    size_t n = 0;

    if (c->spf_pass) {
        key[n++] = memory_key(MEMORY_DOMAIN, slice_str(c->domain));
    }
    if (c->owner[0] != '\0') {
        key[n++] = memory_key(MEMORY_NAME, slice_str(c->owner));
    }
    key[n++] = identity_network(&c->ip);
    return n;
}

static uint64_t hash_of(const char *text)
{
    static const uint64_t key[2] = { 3, 4 };

    return siphash(key, text, strlen(text));
}

static void bear_witness(struct world *w, const struct caller *c, const enum guard_outcome outcome[LISTS],
                         const struct known *k)
{
    struct guard_witness wit = {
        .spf_pass = c->spf_pass,
        .established = k->established,
        .network = identity_network_hash(&c->ip),
    };
    char who[120];
    int len = snprintf(who, sizeof(who), "%s %u.%u.%u.0/24", c->owner[0] != '\0' ? c->owner : c->domain,
                       c->ip.ip[0], c->ip.ip[1], c->ip.ip[2]);

    wit.who = slice_of(who, (size_t)len);
    wit.owner = c->owner[0] != '\0' ? hash_of(c->owner) : c->spf_pass ? hash_of(c->domain) : wit.network;
    for (size_t i = 0; i < LISTS; i++) {
        struct guard_list about = { .allows = w->allow[i], .probe = true };

        if (outcome[i] > GUARD_YES) {
            continue;
        }
        wit.listed = outcome[i] == GUARD_YES;
        wit.bad = c->spf_fail;
        for (size_t o = 0; o < LISTS; o++) {
            wit.bad = wit.bad || (o != i && !w->allow[o] && outcome[o] == GUARD_YES);
        }
        note_what(w, i, guard_witness(w->list[i], &settings, &about, &wit, w->now));
    }
}

static void connect_one(struct world *w)
{
    struct caller c;
    struct memory_key key[3];
    enum guard_outcome outcome[LISTS];
    struct known k = { false, false };
    bool listed = false, listed_bare = false, vouched = false;
    size_t keys;

    make_client(w, &c);
    w->connections[c.group]++;
    keys = keys_of(&c, key);
    for (size_t i = 0; i < keys; i++) {
        struct known one = ask_standing(w, &key[i]);

        k.good = k.good || one.good;
        k.established = k.established || one.established;
    }
    for (size_t i = 0; i < LISTS; i++) {
        enum list_mode mode = w->guarded ? guard_mode(w->list[i], LIST_ENFORCE, w->now) : LIST_ENFORCE;

        outcome[i] = GUARD_ERROR;
        if (w->guarded && !guard_may_ask(w->list[i], w->now)) {
            continue;
        }
        outcome[i] = i == 0 ? w->answer(w, i, &c) : tells_the_truth(w, i, &c);
        w->waits += outcome[i] == GUARD_TIMEOUT && mode == LIST_ENFORCE;
        note_what(w, i, guard_answer(w->list[i], &settings, outcome[i], 20000, w->now));
        if (outcome[i] == GUARD_YES && w->allow[i]) {
            vouched = vouched || mode == LIST_ENFORCE;
        } else if (outcome[i] == GUARD_YES) {
            listed = listed || mode == LIST_ENFORCE;
            listed_bare = true;
        }
    }
    bear_witness(w, &c, outcome, &k);
    w->delayed_bare[c.group] += !c.spf_pass && listed_bare;
    if (!c.spf_pass && !k.good && listed && !vouched) {
        w->delayed[c.group]++;
    } else {
        w->passed_spam += c.group == SPAMMER && vouched;
        for (size_t i = 0; i < keys; i++) {
            bool spam = c.group == SPAMMER && percent(w, 80); /* the second filter stops most of it */

            tables_note(w->t, spam ? MEMORY_REFUSED : MEMORY_ACCEPTED, &key[i], 36 * DAY, w->now);
        }
    }
}

static void tick(struct world *w)
{
    for (size_t i = 0; i < LISTS; i++) {
        struct guard_list about = { .allows = w->allow[i], .probe = true };

        note_what(w, i, guard_tick(w->list[i], &settings, w->now));
        if (w->now % (int64_t)settings.probe_interval_s == 0 && i == 0 && w->answer != says_nothing &&
            w->answer != refuses_us) {
            note_what(w, 0,
                      guard_probed(w->list[0], &about, w->probe_listed ? GUARD_YES : GUARD_NO,
                                   w->control_listed ? GUARD_YES : GUARD_NO, w->now));
        }
    }
}

static void run(struct world *w, int64_t seconds)
{
    int64_t end = w->now + seconds;

    for (; w->now < end; w->now += STEP_S) {
        if (w->now % MINUTE == 0) {
            tick(w);
        }
        connect_one(w);
    }
}

static struct world *warmed_up(bool guarded, bool allow_list)
{
    static const char *const names[LISTS] = { "first", "second", "third" };
    struct world *w = xcalloc(1, sizeof(*w));

    w->t = tables_new(8);
    w->now = START;
    w->random = 12345;
    w->answer = tells_the_truth;
    w->guarded = guarded;
    w->probe_listed = true;
    w->allow[0] = allow_list;
    for (size_t i = 0; i < LISTS; i++) {
        w->list[i] = tables_list_take(w->t, slice_str(names[i]));
        assert_non_null(w->list[i]);
    }
    run(w, WARM_UP);
    for (size_t i = 0; i < LISTS; i++) { /* nobody lied so far: nothing was demoted */
        assert_int_equal(w->happened[i] & (GUARD_DEMOTED | GUARD_BROKEN | GUARD_SURGE | GUARD_SILENT), 0);
        w->happened[i] = 0;
    }
    memset(w->connections, 0, sizeof(w->connections));
    memset(w->delayed, 0, sizeof(w->delayed));
    memset(w->delayed_bare, 0, sizeof(w->delayed_bare));
    w->passed_spam = 0;
    return w;
}

static void end_world(struct world *w)
{
    for (size_t i = 0; i < LISTS; i++) {
        tables_list_give(w->t, w->list[i]);
    }
    tables_free(w->t);
    free(w);
}

static void one_list_names_the_ten_largest_providers(void **st)
{
    static const char *const groups[] = { "ten largest providers", "correspondents", "strangers", "spam" };
    struct world *w[2];
    int64_t began = START + WARM_UP;

    (void)st;
    for (int g = 0; g < 2; g++) {
        w[g] = warmed_up(g == 1, false);
        w[g]->answer = lists_the_providers;
        run(w[g], 12 * HOUR);
        w[g]->answer = tells_the_truth;
        run(w[g], 12 * HOUR);
    }
    print_message("connections delayed in a day of which the first list lies for 12 hours\n");
    print_message("%-24s %12s %12s %12s %12s\n", "", "connections", "list alone", "standing", "and guard");
    for (int i = PROVIDER; i <= SPAMMER; i++) {
        print_message("%-24s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 "\n", groups[i],
                      w[1]->connections[i], w[0]->delayed_bare[i], w[0]->delayed[i], w[1]->delayed[i]);
    }
    print_message("demoted after %" PRId64 " min (%s), restored %" PRId64
                  " min after the list was right again; "
                  "%u demotion(s)\n",
                  (w[1]->demoted_at - began) / MINUTE, guard_reason_text(GUARD_KNOWN_GOOD),
                  (w[1]->restored_at - began - 12 * HOUR) / MINUTE, w[1]->demotions);
    assert_true(w[1]->demoted_at > 0 && w[1]->demoted_at - began < 30 * MINUTE);
    assert_true(w[1]->restored_at > began + 12 * HOUR && w[1]->list[0]->demoted_s == 0);
    assert_int_equal(w[1]->happened[1] & GUARD_DEMOTED, 0);
    assert_int_equal(w[1]->happened[2] & GUARD_DEMOTED, 0);
    assert_true(w[1]->delayed[PROVIDER] * 5 < w[0]->delayed_bare[PROVIDER]);
    assert_true(w[1]->delayed[PROVIDER] <= w[0]->delayed[PROVIDER]);
    assert_true(w[1]->delayed[SPAMMER] * 2 > w[0]->delayed[SPAMMER]); /* the other two still work */
    end_world(w[0]);
    end_world(w[1]);
}

struct scenario {
    const char *label;
    answer_fn answer;
    bool allow, control_listed, probe_gone;
    unsigned wave, attacker;
    unsigned want, want_not; /* GUARD_ bits of the first list */
};

static void every_other_way_to_fail(void **st)
{
    static const struct scenario rows[] = {
        { "from 5 % to 95 %", says_yes_to_95_percent, .want = GUARD_DEMOTED },
        { "domain expired, answers everything", says_yes, .control_listed = true, .want = GUARD_DEMOTED },
        { "the same, probes do not tell", says_yes, .want = GUARD_DEMOTED },
        { "times out", says_nothing, .want = GUARD_BROKEN, .want_not = GUARD_DEMOTED },
        { "127.255.255.254 (refuses us)", refuses_us, .want = GUARD_BROKEN, .want_not = GUARD_DEMOTED },
        { "lists nothing any more", says_no, .want = GUARD_SILENT, .want_not = GUARD_DEMOTED },
        { "the same, test entry gone", says_no, .probe_gone = true, .want = GUARD_SILENT,
          .want_not = GUARD_DEMOTED },
        { "allow-list vouches for everyone", says_yes, .allow = true, .want = GUARD_DEMOTED },
        { "attacker with SPF domains, rightly listed", tells_the_truth, .attacker = 10,
          .want_not = GUARD_DEMOTED },
        { "botnet wave, 95 % of connections", tells_the_truth, .wave = 95, .want_not = GUARD_DEMOTED },
        { "nothing is wrong", tells_the_truth,
          .want_not = GUARD_DEMOTED | GUARD_BROKEN | GUARD_SILENT | GUARD_SURGE },
    };

    (void)st;
    print_message("%-44s %-10s %-24s %s\n", "first list", "after", "what", "reason");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct scenario *s = &rows[i];
        struct world *w = warmed_up(true, s->allow);
        int64_t began = w->now;
        unsigned what;

        if (s->attacker > 0) { /* three days of good behaviour first, and not listed yet */
            w->attacker_percent = s->attacker;
            w->answer = says_no;
            run(w, 3 * DAY);
            memset(w->happened, 0, sizeof(w->happened));
            w->silent_at = 0;
            began = w->now;
        }
        w->answer = s->answer;
        w->control_listed = s->control_listed;
        w->probe_listed = !s->probe_gone;
        w->wave_percent = s->wave;
        run(w, 6 * HOUR);
        what = w->happened[0];
        print_message(
            "%-44s %4" PRId64 " min   %s%s%s%s%s %s\n", s->label,
            w->demoted_at > 0  ? (w->demoted_at - began) / MINUTE
            : w->silent_at > 0 ? (w->silent_at - began) / MINUTE
                               : 0,
            (what & GUARD_DEMOTED) != 0 ? "demoted " : "", (what & GUARD_BROKEN) != 0 ? "skipped " : "",
            (what & GUARD_SURGE) != 0 ? "surge-alarm " : "", (what & GUARD_SILENT) != 0 ? "silent " : "",
            what == 0 ? "-" : "", guard_reason_text((enum guard_reason)w->list[0]->reason));
        if ((what & s->want) != s->want || (what & s->want_not) != 0) {
            fail_msg("%s: %x", s->label, what);
        }
        if (s->answer == says_nothing) {
            print_message("    %" PRIu64 " of %d connections waited for it\n", w->waits, 6 * HOUR / STEP_S);
            assert_true(w->waits < 150);
            w->answer = tells_the_truth;
            run(w, 30 * MINUTE);
            assert_true((w->happened[0] & GUARD_MENDED) != 0);
        }
        for (size_t k = 1; k < LISTS; k++) {
            assert_int_equal(w->happened[k] & (GUARD_DEMOTED | GUARD_BROKEN), 0);
        }
        end_world(w);
    }
}

static void it_returns_later_each_time(void **st)
{
    struct world *w = warmed_up(true, false);
    int64_t last = 0;

    (void)st;
    for (unsigned i = 0; i < 3; i++) {
        int64_t took;

        w->answer = lists_the_providers;
        while (w->list[0]->demoted_s == 0) {
            run(w, MINUTE);
        }
        w->answer = tells_the_truth;
        took = w->now;
        while (w->list[0]->demoted_s != 0) {
            run(w, MINUTE);
        }
        took = w->now - took;
        print_message("demotion %u: back after %" PRId64 " min of good behaviour\n", i + 1, took / MINUTE);
        assert_true(took > last + last / 2);
        last = took;
    }
    end_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_list_names_the_ten_largest_providers),
        cmocka_unit_test(every_other_way_to_fail),
        cmocka_unit_test(it_returns_later_each_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
