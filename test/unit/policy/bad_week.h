/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bad_week.h - a world of mail on a virtual clock, for the tests of the list guard: real tables, real
 * standing, the real guard, and lists that are right or wrong as a test wants it.
 *
 * Traffic    eight in a hundred connections come from the ten largest providers, from many networks each,
 *            nearly half of their mail without an SPF pass, the rest half under domains of their own and half of
 *            their customers; a third from correspondents of all sizes; the rest is spam from everywhere, that
 *            each list knows to some share.
 * Hosted     six relays, each of an ISP of its own, in good standing since the first day; and other machines of
 *            these ISPs, beside the relays and elsewhere, that send spam.  None passes SPF.
 * Judgement  the preset's: an SPF pass is accepted; else a hit of an enforcing list delays whoever is not in
 *            good standing.  Standing and witnesses as engine_memory.c has them.
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
#include "policy/lists/guard_canary.h"
#include "policy/standing/standing.h"
#include "state/memory.h"
#include "state/tables_priv.h"
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
#define CUSTOMERS 600
#define RELAYS 6
#define SEED 12345
#define OWNERS (PROVIDERS + CORRESPONDENTS)

enum group { PROVIDER = 0, CORRESPONDENT, STRANGER, SPAMMER, ATTACKER, RELAY, HOSTED, GROUPS };

static const struct config_known_good good_settings = { .messages = 3, .days = 2, .within_s = 36 * DAY };

struct caller {
    enum group group;
    struct addr ip;
    char name[40]; /* the verified name; "": none of its own */
    char domain[40];
    unsigned number; /* of the owner within its group */
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
    unsigned relay_percent, hosted_percent;
    bool hosted_is_listed; /* by the first two lists, relays and all */
    bool wronged[OWNERS];  /* delayed before the first list was demoted: providers, then correspondents */
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

/* Some write more. */
static unsigned skewed(struct world *w, unsigned count)
{
    return (unsigned)(roll(w, count) * roll(w, count) / count);
}

static void make_provider(struct world *w, struct caller *c)
{
    unsigned n = (unsigned)roll(w, PROVIDERS);

    c->group = PROVIDER;
    c->number = n;
    c->ip = ip4(20 + n, 1, (unsigned)roll(w, 64), (unsigned)roll(w, 8));
    if (percent(w, 25)) { /* a new network of a cloud, its names not set up yet */
        c->ip = ip4(20 + n, 2 + (unsigned)roll(w, 250), (unsigned)roll(w, 256), (unsigned)roll(w, 256));
    } else {
        set_text(c->name, "mail.provider", n);
    }
    if (percent(w, 50)) {
        set_text(c->domain, "provider", n);
    } else {
        set_text(c->domain, "customer", skewed(w, CUSTOMERS));
    }
    c->spf_pass = percent(w, 55);
}

/* Domains of his own, over a few rented networks. */
static void make_attacker(struct world *w, struct caller *c)
{
    unsigned n = (unsigned)roll(w, 40);

    c->group = ATTACKER;
    c->ip = ip4(45, 1, n % 8, (unsigned)roll(w, 256));
    set_text(c->domain, "cheap", n);
    c->spf_pass = true;
}

static void make_hosted(struct world *w, struct caller *c, bool relay)
{
    unsigned n = (unsigned)roll(w, RELAYS);

    c->group = relay ? RELAY : HOSTED;
    c->ip = relay ? ip4(46, n, 1, 1) : ip4(46, n, (unsigned)roll(w, 4), 2 + (unsigned)roll(w, 250));
    set_text(c->name, relay ? "relay.isp" : "vps.isp", n);
    set_text(c->domain, "anybody", (unsigned)roll(w, 1000));
}

static void make_ordinary(struct world *w, struct caller *c)
{
    unsigned kind = (unsigned)roll(w, 920);

    if (kind < 300) {
        c->group = CORRESPONDENT;
        c->number = skewed(w, CORRESPONDENTS);
        c->ip = ip4(60, c->number / 256, c->number % 256, 25);
        if (c->number % 5 != 0) {
            set_text(c->name, "mail.firm", c->number);
        }
        set_text(c->domain, "firm", c->number);
        c->spf_pass = c->number % 10 < 6;
    } else if (kind < 330) {
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

static void make_client(struct world *w, struct caller *c)
{
    memset(c, 0, sizeof(*c));
    if (percent(w, w->wave_percent)) {
        c->group = SPAMMER;
        c->ip = ip4(w->wave_is_new ? 101 : 100, (unsigned)roll(w, 256), (unsigned)roll(w, 256),
                    (unsigned)roll(w, 256));
    } else if (percent(w, w->attacker_percent)) {
        make_attacker(w, c);
    } else if (percent(w, w->relay_percent)) {
        make_hosted(w, c, true);
    } else if (percent(w, w->hosted_percent)) {
        make_hosted(w, c, false);
    } else if (percent(w, 8)) {
        make_provider(w, c);
    } else {
        make_ordinary(w, c);
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
    if (c->group == RELAY || c->group == HOSTED) {
        return w->hosted_is_listed && list < 2 ? GUARD_YES : GUARD_NO;
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

/* Identities first, *identities of them; then what only shortens the greeting delay. */
static size_t keys_of(const struct caller *c, struct memory_key key[3], size_t *identities)
{
    size_t n = 0;

    if (c->spf_pass) {
        key[n++] = memory_key(MEMORY_DOMAIN, slice_str(c->domain));
    }
    if (c->name[0] != '\0') {
        key[n++] = standing_key_host(&c->ip, slice_str(c->name));
    }
    *identities = n;
    key[n++] = standing_key_network(&c->ip);
    return n;
}

static uint64_t hash_of(struct slice s)
{
    static const uint64_t key[2] = { 3, 4 };

    return siphash(key, s.ptr, s.len);
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
        .network = standing_key_network_hash(&c->ip),
        .ip = c->ip,
    };
    char who[120];
    int len =
        snprintf(who, sizeof(who), "%s %u.%u.%u.0/24", c->domain, c->ip.ip[0], c->ip.ip[1], c->ip.ip[2]);

    wit.who = slice_of(who, (size_t)len);
    wit.owner = hash_of(standing_key_owner(slice_str(c->domain)));
    if (wit.established) {
        canary_note(&w->canaries, &c->ip,
                    hash_of(standing_key_owner(slice_str(c->name[0] != '\0' ? c->name : c->domain))), w->now);
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

static void note_answer(struct world *w, size_t i, const struct caller *c, enum guard_outcome outcome,
                        bool trial)
{
    struct guard_news n = { .outcome = outcome, .trial = trial, .took_us = 20000, .from = c->ip };

    if (outcome == GUARD_ERROR) {
        n.answered = true;
        memcpy(n.answer, "\x7f\xff\xff\xfe", sizeof(n.answer));
    }
    note_what(w, i, guard_answer(w->list[i], &settings, &n, w->now));
}

struct found {
    enum guard_outcome outcome[LISTS];
    bool listed, listed_bare, vouched;
};

static void ask_lists(struct world *w, const struct caller *c, struct found *f)
{
    for (size_t i = 0; i < LISTS; i++) {
        enum list_mode mode =
            w->guarded ? guard_mode(w->list[i], LIST_MODE_ENFORCE, w->now) : LIST_MODE_ENFORCE;
        enum guard_ask may = w->guarded ? guard_may_ask(w->list[i], w->now) : GUARD_ASK;
        enum guard_outcome outcome;

        f->outcome[i] = GUARD_ERROR;
        if ((i > 0 && w->alone) || may == GUARD_ASK_NOT) {
            continue;
        }
        f->outcome[i] = outcome = ask_list(w, i, c);
        w->waits += outcome == GUARD_TIMEOUT && mode == LIST_MODE_ENFORCE && may == GUARD_ASK;
        note_answer(w, i, c, outcome, may == GUARD_ASK_TRIAL);
        if (outcome == GUARD_YES && w->allow[i]) {
            f->vouched = f->vouched || mode == LIST_MODE_ENFORCE;
        } else if (outcome == GUARD_YES) {
            f->listed = f->listed || mode == LIST_MODE_ENFORCE;
            f->listed_bare = true;
        }
    }
}

static void count_delay(struct world *w, const struct caller *c)
{
    w->delayed[c->group]++;
    if (w->list[0]->demoted_s == 0 && w->demotions == 0 && c->group <= CORRESPONDENT) {
        w->wronged[c->group == PROVIDER ? c->number : PROVIDERS + c->number] = true;
    }
}

static void connect_one(struct world *w)
{
    struct found f = { .listed = false };
    struct known k = { false, false };
    struct memory_key key[3];
    size_t keys, identities;
    struct caller c;

    make_client(w, &c);
    w->connections[c.group]++;
    keys = keys_of(&c, key, &identities);
    for (size_t i = 0; i < identities; i++) {
        struct known one = ask_standing(w, &key[i]);

        k.good = k.good || one.good;
        k.established = k.established || (one.established && i == 0 && c.spf_pass);
    }
    ask_lists(w, &c, &f);
    bear_witness(w, &c, f.outcome, &k);
    w->delayed_bare[c.group] += !c.spf_pass && f.listed_bare;
    if (!c.spf_pass && !k.good && f.listed && !f.vouched) {
        count_delay(w, &c);
        return;
    }
    w->passed_spam += c.group == SPAMMER && f.vouched;
    for (size_t i = 0; i < keys; i++) {
        bool spam =
            (c.group == SPAMMER || c.group == HOSTED) && percent(w, 80); /* the second filter stops most */

        tables_note(w->t, spam ? MEMORY_REFUSED : MEMORY_ACCEPTED, &key[i], 36 * DAY, w->now);
    }
}

static struct caller caller_at(const struct addr *ip)
{
    unsigned net = ip->ip[0];

    return (struct caller){ .ip = *ip,
                            .group = net < 20    ? STRANGER
                                     : net < 30  ? PROVIDER
                                     : net == 45 ? ATTACKER
                                     : net == 46 ? HOSTED
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
    struct addr ip[16];
    size_t n = canary_pick(&w->canaries, ip, 16), evidence = 0;

    if (listed == GUARD_NO && !(i == 0 && w->test_entry_gone)) {
        listed = GUARD_YES; /* lists keep it, whatever else they forget */
    }
    note_what(w, i, guard_probed(w->list[i], &about, listed, no, w->now));
    for (size_t k = 0; w->list[i]->demoted_s != 0 && k < MEMORY_EVIDENCE; k++) {
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
    note_what(w, i, guard_canaries(w->list[i], &settings, &about, &c, w->now));
    note_what(w, i,
              guard_probe_over(w->list[i],
                               &(struct guard_news){ .outcome = listed <= GUARD_YES ? GUARD_NO : listed }));
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
    w->random = SEED;
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
    memset(w->wronged, 0, sizeof(w->wronged));
    memset(w->connections, 0, sizeof(w->connections));
    memset(w->delayed, 0, sizeof(w->delayed));
    memset(w->delayed_bare, 0, sizeof(w->delayed_bare));
    w->passed_spam = 0;
}

/* Long-standing correspondents, each counted once, that were delayed before the list was demoted. */
static UNUSED unsigned count_wronged(const struct world *w)
{
    unsigned n = 0;

    for (size_t i = 0; i < OWNERS; i++) {
        n += w->wronged[i];
    }
    return n;
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
