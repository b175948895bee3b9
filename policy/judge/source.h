/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - sources: the checks that produce facts, in one table.  The engine knows only the table.
 *
 *     source_NAME.c   a check as a source: starts it, takes its answer, writes its facts, says engine_changed()
 *     source.c        runs the table: start, derive, give up, forget, pack
 *     engine.c        decides which fact is needed, and when
 *
 *     IDLE --start--> PENDING --callback or derive--> KNOWN, UNKNOWN      PENDING --budget over, give_up--> UNKNOWN
 *
 * A new fact  docs/internals/new-fact.md has the recipe: a row in facts.h, a file source_NAME.c, a row below.
 * Hooks       run inside the engine.  They never answer a question and never free the judge.
 * State       each source has state_size octets in the judge, zeroed when the judge is made.
 */
#ifndef POLICY_JUDGE_SOURCE_H
#define POLICY_JUDGE_SOURCE_H

#include "policy/checks/check.h"
#include "policy/facts.h"

struct judge;
struct policy_worker;

/*
 *  X(ID, name): the variable source_NAME.  A source stands below those that it needs: facts are derived from the top
 *  down, and dropped from the bottom up.
 */
#define SOURCE_LIST(X)                                                                                       \
    X(RDNS, rdns)                                                                                            \
    X(LISTS, lists)                                                                                          \
    X(REASON, reason)                                                                                        \
    X(SPF_HELO, spf_helo)                                                                                    \
    X(SPF, spf)                                                                                              \
    X(SENDER, sender)                                                                                        \
    X(HELO, helo)                                                                                            \
    X(MATCHES, matches)                                                                                      \
    X(IMPERSONATES, impersonates)                                                                            \
    X(CONNECTIONS, connections)                                                                              \
    X(CLIENT, client)                                                                                        \
    X(STANDING, standing)                                                                                    \
    X(FRESH, fresh)                                                                                          \
    X(ZERO_DAY, zero_day)                                                                                    \
    X(MESSAGE, message)                                                                                      \
    X(GREYLIST, greylist)                                                                                    \
    X(SENDER_DMARC, sender_dmarc)                                                                            \
    X(DKIM, dkim)                                                                                            \
    X(DMARC, dmarc)                                                                                          \
    X(VIA_LIST, via_list)

enum source_id {
    SOURCE_NONE = 0, /* the session gives the fact itself */
#define X(id, name) SOURCE_##id,
    SOURCE_LIST(X)
#undef X
        SOURCE_COUNT,
};

enum {
    FACT_END = FACT_COUNT, /* ends a list of facts */
    FACT_ANY_LIST,         /* reputation.NAME of every list */
    FACT_TRIPLET,          /* no fact, but needed like one: struct judge.triplet */
    FACT_SLOTS,
};

struct source {
    const uint8_t *facts; /* enum fact_id, FACT_END behind the last */
    const uint8_t
        *needs; /* enum source_id, SOURCE_NONE behind the last; NULL: none.  They are started with it. */
    size_t state_size;
    enum fact_scope scope; /* the shortest-lived part of its state */
    bool ahead;            /* started at the stage of its facts as soon as a fact in use needs it */
    bool remembered;       /* the answers come from the memory, not from the DNS */
    bool derived;          /* derive() alone sets its facts, PENDING and SOFT included; it is always called */
    bool derives_unasked;  /* derive() is also called while its facts are not PENDING */
    bool awaited;          /* a message that is taken waits for its first fact, whether a rule asks or not */
    enum source_id credit; /* explain: the source that had the answers; NONE: this one */

    /* Once a worker, when it is known what the rules use. */
    void (*prepare)(struct policy_worker *pw);
    /* The facts were IDLE.  True: the answer will come; the engine makes them PENDING and starts `needs`. */
    bool (*start)(struct judge *j, void *state);
    /* A rule with a final action needs a fact that is not settled; it may be SOFT.  True: more was asked. */
    bool (*ask_final)(struct judge *j);
    /* Its facts are PENDING and those it needs are not: settles the facts that can be settled now. */
    void (*derive)(struct judge *j, void *state);
    /* The budget is over: drop the check; no fact stays PENDING.  NULL: the facts become unknown. */
    void (*give_up)(struct judge *j, void *state);
    /* The session gave this fact a value, or another source did.  Sources call it with sources_tell(). */
    void (*on_fact)(struct judge *j, void *state, enum fact_id fact);
    /* `scope` and all shorter ones end: cancel, clear that part of the state.  Facts are forgotten by the engine. */
    void (*drop)(struct judge *j, void *state, enum fact_scope scope);
    /* Not NULL: its fact is only for replies: it is asked when a refusal names it.  Is it worth waiting for? */
    bool (*in_reply)(const struct judge *j);
    /* Explain: who gave the answer, and how long it took (us); false: not asked.  NULL: struct judge.origin. */
    bool (*origin_of)(const struct judge *j, struct buf *from, uint64_t *us);
    /* Is an answer out? */
    bool (*busy)(const struct judge *j, const void *state);
    /*
     * What judge_pack() keeps of its state, and back (judge_pack.c).  The engine keeps the facts, and unpacks them
     * before the states.  NULL: nothing of the state lasts beyond a transaction.
     */
    void (*pack)(const struct judge *j, const void *state, struct buf *out);
    void (*unpack)(struct judge *j, void *state, struct slice *in);
    /* True: its facts are not kept but asked again, because they rest on something too large to keep. */
    bool (*ask_again)(const struct judge *j, const void *state);
};

struct source_hooks { /* which sources have one; SOURCE_NONE behind the last */
    uint8_t derive[SOURCE_COUNT], on_fact[SOURCE_COUNT], drop[SOURCE_COUNT];
};

extern const struct source *const source_table[SOURCE_COUNT]; /* NULL: SOURCE_NONE */
#define X(id, name) extern const struct source source_##name;
SOURCE_LIST(X)
#undef X

/* ---- for the engine ---- */

/* Once a worker, when its rules were read and its memory is open: places of states, what is needed ahead. */
void sources_prepare(struct policy_worker *pw);

void sources_derive(struct judge *j);
void sources_drop(struct judge *j, enum fact_scope scope);
bool sources_busy(const struct judge *j, bool remembered); /* remembered: those that ask the memory, too */
bool source_asks_again(const struct judge *j, enum fact_id fact); /* see struct source.ask_again */
void sources_pack(const struct judge *j, struct buf *out);
void sources_unpack(struct judge *j, struct slice *in);
/* Starts what is needed ahead and can be known at this stage. */
void sources_start_ahead(struct judge *j, enum fact_stage stage);
void source_give_up(struct judge *j, enum source_id id);
void source_start(struct judge *j, enum source_id id); /* without deriving */

/* ---- for sources and for what the session tells ---- */

/* Starts the source of a fact if that is IDLE.  For hooks: the engine derives afterwards. */
void source_need(struct judge *j, enum fact_id fact);
/* A fact was set: calls on_fact of every source. */
void sources_tell(struct judge *j, enum fact_id fact);
/* For unpack: the next octets of *in. */
void source_take(struct slice *in, void *out, size_t len);
void source_set_unknown(struct judge *j, const struct source *s);

/* Charges DNS questions to the client's network, unless the client is exempt. */
struct dns_asker source_asker(struct judge *j);
/* The client, by address or verified name, is in allow_clients; unknown counts as no. */
bool source_client_allowed(const struct judge *j);
/* Is there a memory, and may it be asked about this client? */
bool source_remembers(const struct judge *j);
/* The text of a fact that is KNOWN, else nothing; is the fact this word? */
struct slice source_text(const struct judge *j, enum fact_id id);
bool source_is_word(const struct judge *j, enum fact_id id, const char *word);

#endif
