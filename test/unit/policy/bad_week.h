/*
 * bad_week.h - a world of mail on a virtual clock, for the tests of the list guard: real tables, real
 * standing, the real guard, and lists that are right or wrong as a test wants it.
 *
 * Traffic    eight in a hundred connections come from the ten largest providers, from many networks each,
 *            nearly half of their mail without an SPF pass; a third from correspondents of all sizes; the
 *            rest is spam from everywhere, that each list knows to some share.
 * Judgement  the preset's: an SPF pass is accepted; else a hit of an enforcing list delays whoever is not in
 *            good standing.
 * Probes     as guard_run.c makes them: test entries, the most frequent correspondents, and for a demoted
 *            list those whom it listed wrongly.
 */
#ifndef TEST_POLICY_BAD_WEEK_H
#define TEST_POLICY_BAD_WEEK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/table.h"
#include "policy/guard_canary.h"
#include "policy/standing.h"
#include "state/tables.h"
#include "test/unit/policy/guard_settings.h"

#define MINUTE 60
#define HOUR 3600
#define DAY 86400
#define START ((int64_t)20000 * DAY)
#define WARM_UP (8 * DAY)
#define BUSY 6   /* a connection every six seconds: 14,400 a day */
#define QUIET 60 /* 1,440 a day */
#define LISTS 3
#define PROVIDERS 10
#define CORRESPONDENTS 600

enum group { PROVIDER = 0, CORRESPONDENT, STRANGER, SPAMMER, ATTACKER, GROUPS };

static const struct known_good_settings good_settings = { .messages = 3, .days = 2, .within_s = 36 * DAY };

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
    bool alone;      /* there is only list 0 */
    bool probes_off; /* and no canaries */
    bool test_entry_gone;
    unsigned step_s; /* between connections */
    struct canaries canaries;
    unsigned wave_percent; /* of a botnet */
    bool wave_is_new;      /* no other list knows it */
    unsigned attacker_percent;
    bool attacker_is_listed;
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
        c->ip = ip4(w->wave_is_new ? 101 : 100, (unsigned)roll(w, 256), (unsigned)roll(w, 256),
                    (unsigned)roll(w, 256));
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

    if (c->ip.ip[0] == 127) { /* the entries of the probe */
        return c->ip.ip[3] == 2;
    }
    if (c->ip.ip[0] == 101) { /* a wave that this list alone knows */
        return list == 0;
    }
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
    if (c->group == ATTACKER && !w->attacker_is_listed) {
        return GUARD_NO;
    }
    return knows(list, c) ? GUARD_YES : GUARD_NO;
}

/* One in twenty of all. */
static enum guard_outcome knows_a_little(struct world *w, size_t list, const struct caller *c)
{
    (void)w;
    (void)list;
    return c->group == SPAMMER && c->ip.ip[3] < 22 ? GUARD_YES : GUARD_NO;
}

/* All of a wave, and nobody else who is good. */
static enum guard_outcome knows_all_spam(struct world *w, size_t list, const struct caller *c)
{
    (void)w;
    (void)list;
    return c->group == SPAMMER || c->group == ATTACKER ? GUARD_YES : GUARD_NO;
}

static enum guard_outcome lists_the_providers(struct world *w, size_t list, const struct caller *c)
{
    return c->group == PROVIDER ? GUARD_YES : tells_the_truth(w, list, c);
}

static enum guard_outcome says_yes_to_95_percent(struct world *w, size_t list, const struct caller *c)
{
    (void)list;
    return c->ip.ip[0] != 127 && percent(w, 95) ? GUARD_YES : GUARD_NO; /* no probe tells */
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

static struct guard_list about_list(const struct world *w, size_t i)
{
    return (struct guard_list){ .allows = w->allow[i], .probe = !w->probes_off };
}

static void bear_witness(struct world *w, const struct caller *c, const enum guard_outcome outcome[LISTS],
                         const struct known *k)
{
    struct guard_witness wit = {
        .spf_pass = c->spf_pass,
        .established = k->established,
        .network = identity_network_hash(&c->ip),
        .ip = c->ip,
    };
    char who[120];
    int len = snprintf(who, sizeof(who), "%s %u.%u.%u.0/24", c->owner[0] != '\0' ? c->owner : c->domain,
                       c->ip.ip[0], c->ip.ip[1], c->ip.ip[2]);

    wit.who = slice_of(who, (size_t)len);
    wit.owner = c->owner[0] != '\0' ? hash_of(c->owner) : c->spf_pass ? hash_of(c->domain) : wit.network;
    if (wit.established) {
        canaries_note(&w->canaries, &c->ip, wit.owner, w->now);
    }
    for (size_t i = 0; i < LISTS; i++) {
        struct guard_list about = about_list(w, i);

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

static enum guard_outcome ask_list(struct world *w, size_t i, const struct caller *c)
{
    return i == 0 ? w->answer(w, i, c) : tells_the_truth(w, i, c);
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
        if ((i > 0 && w->alone) || (w->guarded && !guard_may_ask(w->list[i], w->now))) {
            continue;
        }
        outcome[i] = ask_list(w, i, &c);
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

static struct caller caller_at(const struct addr *ip)
{
    unsigned net = ip->ip[0];

    return (struct caller){ .ip = *ip,
                            .group = net < 20    ? STRANGER
                                     : net < 30  ? PROVIDER
                                     : net == 45 ? ATTACKER
                                     : net == 60 ? CORRESPONDENT
                                     : net == 80 ? STRANGER
                                                 : SPAMMER };
}

static void probe(struct world *w, size_t i)
{
    static const struct caller test_entry = { .group = SPAMMER, .ip = { .ip = { 127, 0, 0, 2 } } };
    static const struct caller control = { .group = STRANGER, .ip = { .ip = { 127, 0, 0, 1 } } };
    const struct guard_list about = about_list(w, i);
    struct guard_canaries c = { .enough = 3, .who = SLICE("a canary") };
    enum guard_outcome listed = ask_list(w, i, &test_entry), no = ask_list(w, i, &control);
    struct addr ip[4];
    size_t n = canaries_pick(&w->canaries, ip, 4), evidence = 0;

    if (listed == GUARD_NO && !(i == 0 && w->test_entry_gone)) {
        listed = GUARD_YES; /* lists keep it, whatever else they forget */
    }
    note_what(w, i, guard_probed(w->list[i], &about, listed, no, w->now));
    for (size_t k = 0; w->list[i]->demoted_s != 0 && k < MEMORY_EVIDENCE && evidence < 4; k++) {
        if (w->list[i]->evidence[k].ip.family != ADDR_NONE) {
            ip[evidence++] = w->list[i]->evidence[k].ip;
        }
    }
    c.enough = evidence > 0 ? 1 : 3;
    c.wronged = evidence > 0;
    n = evidence > 0 ? evidence : n;
    for (size_t k = 0; k < n; k++) {
        struct caller who = caller_at(&ip[k]);
        enum guard_outcome answer = ask_list(w, i, &who);

        c.asked += answer <= GUARD_YES;
        c.listed += answer == GUARD_YES;
    }
    note_what(w, i, guard_canaries(w->list[i], &about, &c, w->now));
}

static void tick(struct world *w)
{
    for (size_t i = 0; i < (w->alone ? 1 : LISTS); i++) {
        const struct guard_list about = about_list(w, i);

        note_what(w, i, guard_tick(w->list[i], &settings, &about, w->now));
        if (w->now % (int64_t)settings.probe_interval_s == 0 && !w->probes_off) {
            probe(w, i);
        }
    }
}

static void run(struct world *w, int64_t seconds)
{
    int64_t end = w->now + seconds;

    for (; w->now < end; w->now += w->step_s) {
        if (w->now % MINUTE == 0) {
            tick(w);
        }
        connect_one(w);
    }
}

static struct world *new_world(bool guarded)
{
    static const char *const names[LISTS] = { "first", "second", "third" };
    struct world *w = xcalloc(1, sizeof(*w));

    w->t = tables_new(8);
    w->now = START;
    w->random = 12345;
    w->step_s = BUSY;
    w->answer = tells_the_truth;
    w->guarded = guarded;
    for (size_t i = 0; i < LISTS; i++) {
        w->list[i] = tables_list_take(w->t, slice_str(names[i]));
        assert_non_null(w->list[i]);
    }
    return w;
}

/* A good week, in which no list was found wrong. */
static void warm_up(struct world *w, int64_t seconds)
{
    run(w, seconds);
    for (size_t i = 0; i < LISTS; i++) {
        assert_int_equal(w->happened[i] & (GUARD_DEMOTED | GUARD_BROKEN | GUARD_SURGE | GUARD_SILENT), 0);
        w->happened[i] = 0;
    }
    memset(w->connections, 0, sizeof(w->connections));
    memset(w->delayed, 0, sizeof(w->delayed));
    memset(w->delayed_bare, 0, sizeof(w->delayed_bare));
    w->passed_spam = 0;
}

static void end_world(struct world *w)
{
    for (size_t i = 0; i < LISTS; i++) {
        tables_list_give(w->t, w->list[i]);
    }
    tables_free(w->t);
    free(w);
}

#endif
