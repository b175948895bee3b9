/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.h - is a reputation list still trustworthy?
 *
 * Pure: works on the list's record in shared memory (struct memory_list), settings, and a time.  It returns what
 * happened, and never logs, queries or waits itself.  Take the record (memory_list_take) around each call.
 *
 *     believed --evidence--> demoted (queried and shown like a monitoring list) --time and proof--> believed
 *
 * Witnesses  Established identities with an SPF pass in the same transaction: the domain says that this client sends
 *            for it, and its mail was good for a week.  A name or a network alone is no witness: a spammer can rent
 *            either and use it to switch a list off.
 * Networks   Clients count by network (/24, /48), so that a client with many addresses counts once.
 *
 * Evidence that demotes
 *     known good   the list has at least a set number of distinct witnesses (domain owner and network) within an
 *                  hour, and a set share of those looked up.  Not used for allow-lists.
 *     universal    the list has nearly every client, and none of these groups shows that it still discriminates:
 *                  established identities, canaries, clients with an SPF pass, clients that no other list has.
 *                  A good list that knows a botnet wave still spares one of these groups.
 *                  Allow-lists: they vouch for half of the clients that others are sure are bad.
 *     probe        127.0.0.1 is listed, which a working list must not do (RFC 5782 5).
 *     canary       the list has most of the canaries, or as many as known good demands.  Canaries are the most
 *                  frequent witnesses, so this is the same evidence without waiting for their mail.
 *
 * Alarms     (change nothing) a surge above the list's own baseline; silence where hits were usual; a test entry
 *            that has disappeared.
 * Breaker    opens when half of the newest queries failed (timeouts, SERVFAIL, error answers).  While it is open the
 *            list gets one trial query from time to time (guard_breaker.c).
 * No effect  no answer of the list could list a client: a loud log line, no other change (guard_effect.c).
 * Return     30 minutes after the newest evidence, twice as long each time (at most a day; a good week resets
 *            this).  It also needs proof: the addresses that it listed wrongly are no longer listed, or a sample of
 *            the traffic is clean.  A demoted list is judged by half the demotion thresholds.
 */
#ifndef POLICY_LISTS_GUARD_H
#define POLICY_LISTS_GUARD_H

#include "config/config.h"
#include "core/log.h"
#include "core/metrics.h"
#include "policy/lists/reputation.h"
#include "state/memory.h"

enum guard_reason { GUARD_BELIEVED = 0, GUARD_KNOWN_GOOD, GUARD_UNIVERSAL, GUARD_PROBE, GUARD_CANARY };

/* What happened: bits. */
enum {
    GUARD_DEMOTED = 1,
    GUARD_RESTORED = 2,
    GUARD_BROKEN = 4,
    GUARD_MENDED = 8,
    GUARD_SURGE = 16,
    GUARD_SILENT = 32,
    GUARD_OVERRIDE_ENDED = 64,
    GUARD_USELESS = 128, /* it has no effect; repeated after a day */
    GUARD_USEFUL = 256,
};

struct guard_list { /* the settings of the list that matter here */
    bool allows;    /* none of its answers counts against a client */
    bool probe;     /* it has the test entries of RFC 5782, and we query them */
    bool off;       /* its mode is off now: no queries */
};

/* GUARD_VOID: the answer concerns the query itself and says nothing about the list. */
enum guard_outcome { GUARD_NO = 0, GUARD_YES, GUARD_ERROR, GUARD_TIMEOUT, GUARD_VOID };

/* An answer or a failed query; pass it on at once. */
struct guard_news {
    enum guard_outcome outcome;
    bool answered; /* the answer held an address: `answer` */
    uint8_t answer[4];
    bool trial;       /* the trial query of an open breaker */
    uint64_t took_us; /* 0: not from the network */
    struct addr from; /* the client; ADDR_NONE: a probe */
};
unsigned guard_answer(struct memory_list *l, const struct config_guard *s, const struct guard_news *n,
                      int64_t now_s);

/* Passed on later, once the identity behind the client is known. */
struct guard_witness {
    bool listed;
    bool spf_pass;
    bool bad;                /* listed by another enforcing list too, or SPF fail */
    bool unique;             /* no other list that answered has it */
    bool overlap;            /* another list has it too */
    bool established;        /* by SPF: known_good_is_established() of the domain that just passed */
    uint64_t owner, network; /* hashes: of the domain's owner, standing_key_network_hash() */
    struct addr ip;
    struct slice who; /* "example.com 192.0.2.0/24", for people */
};
unsigned guard_witness(struct memory_list *l, const struct config_guard *s, const struct guard_list *list,
                       const struct guard_witness *w, int64_t now_s);

/* RFC 5782 5: the test entry that must be listed, and the one that must not.  GUARD_ERROR, _TIMEOUT: no
 * evidence. */
unsigned guard_probed(struct memory_list *l, const struct guard_list *list, enum guard_outcome listed,
                      enum guard_outcome control, int64_t now_s);

/* All queries of a probe are done.  Pass an answered one if there is any, else GUARD_ERROR or GUARD_TIMEOUT. */
unsigned guard_probe_over(struct memory_list *l, const struct guard_news *n);

/* The result of looking up addresses or domains that must not be listed. */
struct guard_canaries {
    unsigned asked, listed; /* of those that were answered */
    unsigned enough;        /* fewer answers than this are no evidence */
    bool wronged;           /* these are the ones that the list had wrongly */
    struct slice who;       /* one of those listed, for people */
};
unsigned guard_canaries(struct memory_list *l, const struct config_guard *s, const struct guard_list *list,
                        const struct guard_canaries *c, int64_t now_s);

/* Call it periodically: handles return, the end of an override, the hourly baseline, silence. */
unsigned guard_tick(struct memory_list *l, const struct config_guard *s, const struct guard_list *list,
                    int64_t now_s);

/* May the list be queried?  While the breaker is open, one caller from time to time gets GUARD_ASK_TRIAL. */
enum guard_ask { GUARD_ASK = 0, GUARD_ASK_NOT, GUARD_ASK_TRIAL };
enum guard_ask guard_may_ask(struct memory_list *l, int64_t now_s);

/* The mode in force. */
enum list_mode guard_mode(const struct memory_list *l, enum list_mode configured, int64_t now_s);

/* until_s 0: for ever.  now_ms: wall clock. */
void guard_override(struct memory_list *l, enum memory_override o, uint32_t until_s, uint64_t now_ms);

/* ---- for people and metrics ---- */

struct guard_share {
    uint32_t answers, yes, errors, timeouts;
};
struct guard_share guard_recent(const struct memory_list *l, unsigned minutes, int64_t now_s);
unsigned guard_good_asked(const struct memory_list *l, const struct config_guard *s, int64_t now_s);
unsigned guard_good_listed(const struct memory_list *l, const struct config_guard *s, int64_t now_s);
const char *guard_reason_text(enum guard_reason r);

/* Why a list has no effect (memory_list.useless). */
enum guard_effect {
    EFFECT_SOME = 0,
    EFFECT_SILENT,   /* no answers */
    EFFECT_ERRORS,   /* every answer is an error */
    EFFECT_REFUSED,  /* 127.255.255.254: the list does not answer our resolver */
    EFFECT_OVER,     /* 127.255.255.255, or the list's own code for its query limit */
    EFFECT_NO_ZONE,  /* it answers that every query is invalid for it */
    EFFECT_NO_ENTRY, /* it never had its test entry */
    EFFECT_COUNT,
};
const char *guard_effect_text(enum guard_effect e);
/* The percentile of the latency, as the upper end of its class, in microseconds. */
uint64_t guard_latency_us(const struct memory_list *l, unsigned percent);
/* The earliest time of its return; 0: it is not demoted, or only by override. */
int64_t guard_returns_at(const struct memory_list *l, const struct config_guard *s);
/* The proof that is still missing before it returns; NULL: only time. */
const char *guard_wants(const struct memory_list *l, const struct config_guard *s,
                        const struct guard_list *list);

#endif
