/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - the state of one evaluation: its domains, the answers so far, and the questions that are open.
 *
 * dmarc_settle() evaluates everything anew from the answers so far.  Wherever it needs an answer that is not there,
 * dmarc_look() notes the question, and the outcome stays undecided.  So there is no state to keep consistent but the
 * answers, and their order cannot matter.
 *
 * Owner   struct dmarc has all memory of an evaluation.  Names of answers are slices of its domains: the author's never
 *         moves, and no other domain is walked before dmarc_end_domains, after which none moves.
 * Next    state.c keeps it; evaluate.c settles it.
 */
#ifndef POLICY_DMARC_STATE_H
#define POLICY_DMARC_STATE_H

#include "policy/dmarc/walk.h"

#define DMARC_PREFIX "_dmarc."
#define DMARC_DOMAINS_MAX (2 + DMARC_DKIM_MAX)                 /* author, SPF, DKIM */
#define DMARC_ANSWERS_MAX (DMARC_DOMAINS_MAX * DMARC_WALK_MAX) /* names with TXT questions */
#define DMARC_EXISTS_ID DMARC_ANSWERS_MAX /* the question whether the author's domain exists */

enum dmarc_place {
    DMARC_PLACE_AUTHOR = 0,
    DMARC_PLACE_SPF,
    DMARC_PLACE_DKIM, /* the first of them */
};

/* A domain of the message.  Empty name: the place is free. */
struct dmarc_domain {
    char text[DMARC_NAME_MAX + 1];
    struct slice name;
    size_t shared; /* labels in common with the author's domain */
    bool unknown;  /* SPF or DKIM had a temperror */
};

enum dmarc_ask_state {
    DMARC_ASK_NEEDED = 0, /* dmarc_settle() needs the answer */
    DMARC_ASK_SENT,       /* dmarc_next gave the question to the caller */
    DMARC_ASK_ANSWERED,
};

struct dmarc_stored {
    struct slice name; /* without the prefix */
    enum dmarc_ask_state state;
    enum dmarc_level_state found; /* DMARC_LEVEL_PENDING until answered */
    bool nxdomain;
    struct dmarc_record record;
};

struct dmarc {
    struct dmarc_settings settings;
    size_t answer_count;
    bool exists_noted; /* the question of existence was needed at least once */
    enum dmarc_ask_state exists_state;
    enum dmarc_truth exists;
    bool authenticated; /* SPF or DKIM authenticated a domain, whichever it is */
    bool ended;         /* dmarc_end_domains */
    bool expired;       /* dmarc_abandon */
    bool stale;         /* something changed since dmarc_settle() */
    bool done;
    struct dmarc_outcome outcome;
    /* dmarc_new() zeroes what is above: most of an evaluation is never used */
    struct dmarc_domain domains[DMARC_DOMAINS_MAX];
    struct dmarc_stored answers[DMARC_ANSWERS_MAX]; /* answer_count of them */
    char query[sizeof(DMARC_PREFIX) + DMARC_NAME_MAX];
};

static inline struct slice dmarc_author(const struct dmarc *d)
{
    return d->domains[DMARC_PLACE_AUTHOR].name;
}

/* ---- state.c ---- */

/* The answer for a name; notes the question if it is new. */
const struct dmarc_stored *dmarc_look(struct dmarc *d, struct slice name);

/* Does the author's domain exist?  Notes the question if no answer so far tells.  *pending: it is open. */
enum dmarc_truth dmarc_look_exists(struct dmarc *d, bool *pending);

/* ---- evaluate.c ---- */

/* Brings d->done and d->outcome up to date. */
void dmarc_settle(struct dmarc *d);

#endif
