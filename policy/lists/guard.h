/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.h - is a reputation list still to be believed?
 *
 * Pure: works on the list's record of the shared memory (struct memory_list), settings, and a time; says what
 * happened, and never logs, asks or waits itself.  A record is taken (memory_list_take) around each call.
 *
 *     believed --evidence--> demoted (asked and shown like a monitoring list) --time and proof--> believed
 *
 * Witnesses  Established identities with an SPF pass in the very transaction: the domain says that this client sends
 *            for it, and its mail was good for a week.  A name or a network alone bears no witness: a
 *            spammer can rent either, and would use it to switch a list off.
 * Networks   Clients count by network (/24, /48), so that one client with many addresses is one.
 *
 * Evidence that demotes
 *     known good   so many distinct witnesses (owner of the domain, and network) listed within an hour, and
 *                  that share of those asked about.  Allow-lists: not used.
 *     universal    yes to nearly every client, and nothing shows that it still tells them apart: not those
 *                  who are established, not the canaries, not those with an SPF pass, not the clients that
 *                  no other list accuses.  A botnet wave that a good list knows fails one of these.
 *                  Allow-lists: of those that others are sure are bad, half are vouched for.
 *     probe        127.0.0.1 is listed, which must not be (RFC 5782 5).
 *     canary       most of the addresses that must not be listed are, or as many as known good demands: they are
 *                  the most frequent witnesses, so this is the same evidence without waiting for them to come.
 *
 * Alarms     (nothing changes) a surge against its own baseline, silence where hits were usual, a test entry
 *            that was there once and is not.
 * Breaker    so many failures (time-outs, SERVFAIL, error answers) that they are half of the newest questions: not
 *            asked but for one trial a while (guard_breaker.c).
 * No effect  no answer of it could list a client: logged loudly, nothing changes (guard_effect.c).
 * Return     30 minutes after the newest evidence, twice as long each time (up to a day; a good week starts
 *            anew), and not without proof: whom it listed wrongly is asked about again and is not listed, or
 *            a sample of the traffic is clean.  What demotes counts against a demoted list at half the
 *            measure.
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
    GUARD_USELESS = 128, /* it has no effect; again after a day */
    GUARD_USEFUL = 256,
};

struct guard_list { /* what matters of the list's settings */
    bool allows;    /* no answer of it counts against anyone */
    bool probe;     /* it has the test entries of RFC 5782, and they are asked for */
    bool off;       /* its mode, now: it is not asked */
};

/* GUARD_VOID: the answer is about the question; it tells nothing about the list. */
enum guard_outcome { GUARD_NO = 0, GUARD_YES, GUARD_ERROR, GUARD_TIMEOUT, GUARD_VOID };

/* An answer, or its absence, at once. */
struct guard_news {
    enum guard_outcome outcome;
    bool answered; /* there was an address: `answer` */
    uint8_t answer[4];
    bool trial;       /* the question that tried an open breaker */
    uint64_t took_us; /* 0: not of the network */
    struct addr from; /* the client; ADDR_NONE: a probe */
};
unsigned guard_answer(struct memory_list *l, const struct config_guard *s, const struct guard_news *n,
                      int64_t now_s);

/* Later, when it is known who it was about. */
struct guard_witness {
    bool listed;
    bool spf_pass;
    bool bad;                /* others are sure: listed by another enforcing list, or SPF fail */
    bool unique;             /* listed by this one alone of those that answered */
    bool overlap;            /* listed by another one too */
    bool established;        /* by SPF: known_good_is_established() of the domain that passed just now */
    uint64_t owner, network; /* hashes: of the domain's owner, standing_key_network_hash() */
    struct addr ip;
    struct slice who; /* "example.com 192.0.2.0/24", for people */
};
unsigned guard_witness(struct memory_list *l, const struct config_guard *s, const struct guard_list *list,
                       const struct guard_witness *w, int64_t now_s);

/* RFC 5782 5: the test entry that must be listed, the one that must not.  GUARD_ERROR, _TIMEOUT: says
 * nothing. */
unsigned guard_probed(struct memory_list *l, const struct guard_list *list, enum guard_outcome listed,
                      enum guard_outcome control, int64_t now_s);

/* All questions of a probe are over: an answer of one that had one, or GUARD_ERROR, GUARD_TIMEOUT. */
unsigned guard_probe_over(struct memory_list *l, const struct guard_news *n);

/* Addresses or domains that must not be listed were asked about. */
struct guard_canaries {
    unsigned asked, listed; /* of those that were answered */
    unsigned enough;        /* fewer than this say nothing */
    bool wronged;           /* they are those whom it listed wrongly */
    struct slice who;       /* one of those listed, for people */
};
unsigned guard_canaries(struct memory_list *l, const struct config_guard *s, const struct guard_list *list,
                        const struct guard_canaries *c, int64_t now_s);

/* From time to time: return, end of an override, hourly baseline, silence. */
unsigned guard_tick(struct memory_list *l, const struct config_guard *s, const struct guard_list *list,
                    int64_t now_s);

/* May it be asked?  While the breaker is open one caller in a while gets GUARD_ASK_TRIAL. */
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
    EFFECT_SILENT,   /* no answer comes */
    EFFECT_ERRORS,   /* every answer is an error */
    EFFECT_REFUSED,  /* 127.255.255.254: the list does not answer our resolver */
    EFFECT_OVER,     /* 127.255.255.255, or what the list says when a limit is reached */
    EFFECT_NO_ZONE,  /* it says that no question is one it could answer */
    EFFECT_NO_ENTRY, /* its test entry is not there and never was */
    EFFECT_COUNT,
};
const char *guard_effect_text(enum guard_effect e);
/* The percentile of the latency, as the upper end of its class, in microseconds. */
uint64_t guard_latency_us(const struct memory_list *l, unsigned percent);
/* When it returns if it behaves; 0: it is not demoted, or only by hand. */
int64_t guard_returns_at(const struct memory_list *l, const struct config_guard *s);
/* What it still has to show before it returns; NULL: nothing but time. */
const char *guard_wants(const struct memory_list *l, const struct config_guard *s,
                        const struct guard_list *list);

#endif
