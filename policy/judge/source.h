/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - sources: the checks that produce facts, in one table.  The engine knows only the table.
 *
 *     source_NAME.c   a check as a source: starts it, takes its answer, sets its facts, calls engine_changed()
 *     source.c        runs the table: start, derive, give up, forget, pack
 *     engine.c        decides which fact is needed, and when
 *
 *     IDLE --start--> PENDING --callback or derive--> KNOWN, UNKNOWN      PENDING --budget over, give_up--> UNKNOWN
 *
 * A new fact  docs/internals/new-fact.md has the recipe: a row in facts.h, a file source_NAME.c, a row below.
 * Hooks       run inside the engine.  They must never call a judge_cb or free the judge.
 * State       each source has state_size octets in the judge, zeroed when the judge is made.
 */
#ifndef POLICY_JUDGE_SOURCE_H
#define POLICY_JUDGE_SOURCE_H

#include "policy/checks/check.h"
#include "policy/facts.h"

struct judge;
struct policy_worker;

/*
 *  X(ID, name): the variable source_NAME.  List a source below those that it needs: facts are derived from the top
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
    SOURCE_NONE = 0, /* the session itself sets the fact */
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
    const uint8_t *facts; /* enum fact_id, FACT_END after the last */
    const uint8_t
        *needs; /* enum source_id, SOURCE_NONE after the last; NULL: none.  They are started with it. */
    size_t state_size;
    enum fact_scope scope; /* the shortest-lived part of its state */
    bool ahead;            /* started at the stage of its facts as soon as a fact in use needs it */
    bool remembered;       /* its answers come from the memory, not from the DNS */
    bool derived;          /* derive() alone sets its facts, PENDING and SOFT included; it is always called */
    bool derives_unasked;  /* derive() is also called while its facts are not PENDING */
    bool awaited;          /* an accepted message waits for its first fact, even if no rule needs it */
    enum source_id credit; /* explain: the source that did the lookup; NONE: this one */

    /* Runs once for each worker, after the uses of facts are known. */
    void (*prepare)(struct policy_worker *pw);
    /* Its facts were IDLE.  True: an answer will come; the engine makes them PENDING and starts `needs`. */
    bool (*start)(struct judge *j, void *state);
    /* A rule with a final action needs a fact that is not settled (may be SOFT).  True: more lookups were started. */
    bool (*ask_final)(struct judge *j);
    /* Its facts are PENDING and those it needs are not: settles the facts that can be settled now. */
    void (*derive)(struct judge *j, void *state);
    /* The budget is used up: drop the check and leave no fact PENDING.  NULL: the facts become unknown. */
    void (*give_up)(struct judge *j, void *state);
    /* The session or another source set this fact.  Sources call it with sources_tell(). */
    void (*on_fact)(struct judge *j, void *state, enum fact_id fact);
    /* `scope` and all shorter ones end: cancel, clear that part of the state.  The engine forgets the facts. */
    void (*drop)(struct judge *j, void *state, enum fact_scope scope);
    /* Not NULL: its fact is only for replies, and looked up when a refusal names it.  Is it worth waiting for? */
    bool (*in_reply)(const struct judge *j);
    /* Explain: origin of the answer and duration (us); false: not looked up.  NULL: struct judge.origin. */
    bool (*origin_of)(const struct judge *j, struct buf *from, uint64_t *us);
    /* Is a lookup pending? */
    bool (*busy)(const struct judge *j, const void *state);
    /*
     * Packs and restores the part of its state that judge_pack() keeps (judge_pack.c).  The engine keeps the facts, and
     * unpacks them before the states.  NULL: no state outlasts a transaction.
     */
    void (*pack)(const struct judge *j, const void *state, struct buf *out);
    void (*unpack)(struct judge *j, void *state, struct slice *in);
    /* True: looks its facts up again instead of keeping them, because they depend on data too large to keep. */
    bool (*ask_again)(const struct judge *j, const void *state);
};

struct source_hooks { /* which sources have one; SOURCE_NONE after the last */
    uint8_t derive[SOURCE_COUNT], on_fact[SOURCE_COUNT], drop[SOURCE_COUNT];
};

extern const struct source *const source_table[SOURCE_COUNT]; /* NULL: SOURCE_NONE */
#define X(id, name) extern const struct source source_##name;
SOURCE_LIST(X)
#undef X

/* ---- for the engine ---- */

/* Call it once for each worker, with rules loaded and memory open: places of states, facts needed ahead. */
void sources_prepare(struct policy_worker *pw);

void sources_derive(struct judge *j);
void sources_drop(struct judge *j, enum fact_scope scope);
bool sources_busy(const struct judge *j, bool remembered); /* remembered: include those that use the memory */
bool source_asks_again(const struct judge *j, enum fact_id fact); /* see struct source.ask_again */
void sources_pack(const struct judge *j, struct buf *out);
void sources_unpack(struct judge *j, struct slice *in);
/* Starts the sources that are needed ahead and available at this stage. */
void sources_start_ahead(struct judge *j, enum fact_stage stage);
void source_give_up(struct judge *j, enum source_id id);
void source_start(struct judge *j, enum source_id id); /* without deriving */

/* ---- for sources and for input from the session ---- */

/* Starts the source of a fact if that is IDLE.  For hooks: the engine derives afterwards. */
void source_need(struct judge *j, enum fact_id fact);
/* Call it after setting a fact: calls on_fact of every source. */
void sources_tell(struct judge *j, enum fact_id fact);
/* For unpack: the next octets of *in. */
void source_take(struct slice *in, void *out, size_t len);
void source_set_unknown(struct judge *j, const struct source *s);

/* Charges DNS queries to the client's network, unless the client is exempt. */
struct dns_asker source_asker(struct judge *j);
/* The client, by address or verified name, is in allow_clients; unknown counts as no. */
bool source_client_allowed(const struct judge *j);
/* Is there a memory, and may it be used for this client? */
bool source_remembers(const struct judge *j);
/* The text of a KNOWN fact, else empty; is the fact this word? */
struct slice source_text(const struct judge *j, enum fact_id id);
bool source_is_word(const struct judge *j, enum fact_id id, const char *word);

#endif
