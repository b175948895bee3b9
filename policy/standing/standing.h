/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standing.h - decisions from remembered history: good standing, greylisting, zero-day suspicion.
 *
 * Pure: takes settings, records of state/memory.h and a time, and returns a decision; tested on a virtual clock.  The
 * engine does the lookups in memory and applies the decisions.  A record whose lookup failed proves nothing: no good
 * standing, not fresh, no burst, and a triplet passes.
 */
#ifndef POLICY_STANDING_STANDING_H
#define POLICY_STANDING_STANDING_H

#include "config/config.h"
#include "core/arena.h"
#include "core/metrics.h"
#include "state/memory.h"

#define STANDING_SEEN_KEEP_S (60u * 86400u) /* first_seen is forgotten this long after the last visit */

/* ---- known_good.c ---- */

bool known_good_is(const struct config_known_good *s, const struct memory_record *r, int64_t now_s);

/*
 * Is a domain's record good enough for a witness against a list?  It must be in good standing, and for a week already
 * (or half of the history, if that is younger), so that a spammer cannot build up a fresh set of domains in two days.
 */
bool known_good_is_established(const struct config_known_good *s, const struct memory_record *r,
                               int64_t history_s, int64_t now_s);

/*
 * The identities that can earn standing: the domain of an SPF pass (MEMORY_DOMAIN), and the exact address (IPv6: /64)
 * with its verified name.  The caller leaves out generic names: the next customer with that address has the same name.
 */
struct memory_key standing_key_host(const struct addr *ip, struct slice name);

/*
 * These are no identities, and give fewer benefits.  The address alone inherits what its name earned: it is known at
 * connect, when rates and shares of connections are decided.  The network (/24, /64) only shortens the greeting delay.
 */
struct memory_key standing_key_address(const struct addr *ip);
struct memory_key standing_key_network(const struct addr *ip);

/* A hash of the network (/24, /48), for evidence that counts distinct networks; not 0. */
uint32_t standing_key_network_hash(const struct addr *ip);

/*
 * The part of a domain or host name that stands for its owner: the last two labels, or three if the second-last is
 * short or generic (co.uk, com.au).  Accurate enough to count owners; standing never belongs to it.
 */
struct slice standing_key_owner(struct slice host);

/* ---- greylist.c ---- */

enum grey { GREY_PASSES = 0, GREY_WAITS };

/* *learn: note MEMORY_PASSED; *wait_s: seconds until it would pass. */
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
    const struct memory_record *domain, *client; /* MEMORY_SEEN; NULL: not looked up */
    const struct memory_record *burst[3];        /* MEMORY_BURST of domain, HELO, sender; NULL: no lookup */
    int64_t history_s;                           /* memory_history_since() */
};

struct zero_day {
    bool fresh_domain, fresh_client, burst;
};

struct zero_day zero_day_decide(const struct config_zero_day *s, const struct zero_day_seen *seen,
                                int64_t now_s);

/* The inputs that decide which of the three names can count as a burst. */
struct burst_ask {
    bool spf_pass; /* of MAIL FROM */
    bool helo_spf_pass;
    bool known_good;
    struct slice domain, helo, sender, rdns; /* empty: there is none */
};

/* Fills up to three lookups in the order domain, HELO, sender; `which` identifies each; returns their number. */
size_t zero_day_burst_questions(const struct config_zero_day *s, const struct burst_ask *ask,
                                const struct addr *ip, struct memory_question q[3], unsigned which[3]);

#endif
