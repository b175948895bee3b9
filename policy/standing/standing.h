/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standing.h - what follows from what is remembered: good standing, greylisting, suspicion of the first day.
 *
 * Pure: settings, records of state/memory.h and a time in, a decision out; tested on a virtual clock.  The
 * engine asks the memory and applies what is decided here.  A record that could not be had proves nothing:
 * not in good standing, not fresh, no burst, and a triplet passes.
 */
#ifndef POLICY_STANDING_STANDING_H
#define POLICY_STANDING_STANDING_H

#include "config/config.h"
#include "core/arena.h"
#include "core/metrics.h"
#include "state/memory.h"

#define STANDING_SEEN_KEEP_S (60u * 86400u) /* first_seen is forgotten this long after the last time */

/* ---- known_good.c ---- */

bool known_good_is(const struct config_known_good *s, const struct memory_record *r, int64_t now_s);

/*
 * Enough to bear witness against a list, if it is the record of a domain: in good standing, and for a week already (or
 * half of the history, if that is younger), so that a fresh set of domains cannot be raised to it in two days.
 */
bool known_good_is_established(const struct config_known_good *s, const struct memory_record *r,
                               int64_t history_s, int64_t now_s);

/*
 * Identities, to which standing belongs: the domain of an SPF pass (MEMORY_DOMAIN), and the very address (IPv6: /64)
 * with its verified name.  The caller leaves out generic names: each next customer of the address has them too.
 */
struct memory_key standing_key_host(const struct addr *ip, struct slice name);

/*
 * No identities, and good for less.  The address alone has what its name earned: it is known at connect, where rates
 * and shares of connections are decided.  The network (/24, /64) only shortens the greeting delay.
 */
struct memory_key standing_key_address(const struct addr *ip);
struct memory_key standing_key_network(const struct addr *ip);

/* Tells networks apart (/24, /48) where many of them are evidence; not 0. */
uint32_t standing_key_network_hash(const struct addr *ip);

/*
 * The part of a domain or host name that stands for its owner: the last two labels, three where the second-last is a
 * short or generic one (co.uk, com.au).  Good enough to count owners; standing never belongs to one.
 */
struct slice standing_key_owner(struct slice host);

/* ---- greylist.c ---- */

enum grey { GREY_PASSES = 0, GREY_WAITS };

/* *learn: note MEMORY_PASSED; *wait_s: until it would pass. */
enum grey greylist_decide(const struct config_greylist *s, const struct memory_record *r, int64_t now_s,
                          bool *learn, uint32_t *wait_s);

/*
 * The triplet: who (SPF-pass domain, else the network), sender ("<>" for the null one), recipient as
 * rewritten.
 */
struct greylist_who {
    struct slice spf_domain; /* empty without a pass */
    const struct addr *ip;
    struct slice sender; /* empty: null */
    struct slice recipient;
};
struct memory_key greylist_key(const struct config_greylist *s, const struct greylist_who *who);

/* ---- zero_day.c ---- */

struct zero_day_seen {
    const struct memory_record *domain, *client; /* MEMORY_SEEN; NULL: not asked */
    const struct memory_record *burst[3];        /* MEMORY_BURST of domain, HELO, sender; NULL: not asked */
    int64_t history_s;                           /* memory_history_since() */
};

struct zero_day {
    bool fresh_domain, fresh_client, burst;
};

struct zero_day zero_day_decide(const struct config_zero_day *s, const struct zero_day_seen *seen,
                                int64_t now_s);

/* Which of the three may look like a burst at all? */
struct burst_ask {
    bool spf_pass; /* of MAIL FROM */
    bool helo_spf_pass;
    bool known_good;
    struct slice domain, helo, sender, rdns; /* empty: there is none */
};

/* Fills up to three questions in the order domain, HELO, sender; `which` says which; returns how many. */
size_t zero_day_burst_questions(const struct config_zero_day *s, const struct burst_ask *ask,
                                const struct addr *ip, struct memory_question q[3], unsigned which[3]);

#endif
