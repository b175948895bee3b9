/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_priv.h - struct judge: the facts of one session, its pending lookups, the evaluation that waits for them.
 *
 *     judge.c           public functions: input from the session, lifetimes
 *     engine.c          the facts that rules need; the loop evaluate -> needs -> look up -> evaluate
 *     source.h          the table of checks that produce the facts; source_NAME.c one check each
 *     judge_pack.c      packs the judge of an idle session
 *     judge_headers.c   output: header fields, log keys, explain
 *     judge_witness.c   evidence for the guard of the lists
 *
 * Ownership   the judge owns the states of its sources.  Texts of facts are in the arena of the fact's scope and are
 *             freed with it.
 */
#ifndef POLICY_JUDGE_ENGINE_PRIV_H
#define POLICY_JUDGE_ENGINE_PRIV_H

#include "core/slab.h"
#include "policy/checks/check.h"
#include "policy/checks/dkim_check.h"
#include "policy/checks/dmarc_check.h"
#include "policy/judge/source.h"
#include "policy/lists/guard_run.h"
#include "policy/rules/compiled.h"
#include "policy/rules/verdict.h"
#include "policy/spf/spf_check.h"

#define SCOPE_COUNT (SCOPE_RECIPIENT + 1)
#define JUDGE_ARENA_MAX ((size_t)256 * 1024)
#define JUDGE_TAGS_MAX 100 /* of a transaction */
#define JUDGE_TESTS_MAX 2000

struct policy_worker {
    const struct policy *policy;
    struct loop *loop;
    struct resolver *resolver;
    struct state *state;           /* NULL: explain */
    int *rule_count;               /* records of the rules, see rules_count.c; NULL: no state */
    struct memory *memory;         /* NULL: no state */
    const char *origin;            /* explain: origin of the memory's facts; else NULL */
    unsigned connections;          /* explain: client.connections */
    struct guard_run *guard;       /* NULL: no list, or no state */
    bool *lists_wanted;            /* reputation.count of them: does any rule need the list? */
    bool *used;                    /* FACT_COUNT + lists: some rule has a term on it that can match */
    bool message_lists;            /* a rule about the message uses the lists */
    bool any_list;                 /* a needed list exists that the file does not have off */
    bool zero_day_lists;           /* an enforcing list has zero_day */
    uint8_t source_of[FACT_SLOTS]; /* enum source_id */
    bool ahead[SOURCE_COUNT];      /* see struct source */
    struct source_hooks hooks;
    size_t state_at[SOURCE_COUNT], states_size;
    struct slab judge_slab; /* a judge, its lists, the states of its sources */
    struct slab run_slab;   /* of reputation_run_new */
};

struct question { /* the pending evaluation */
    judge_cb cb;  /* NULL: none */
    void *arg;
    enum rule_block block;
    enum fact_stage stage;
    struct timer budget;
    struct timer patience; /* runs while only rules without a final action wait for lists */
    bool expired;          /* the budget is used up: missing facts are unknown */
};

struct judge_tag {
    struct judge_tag *next;
    const char *name;
    struct slice value;
};

struct judge_txn { /* collected from the accepted recipients */
    bool open, any;
    bool hurry;  /* rules without a final action have waited for lists long enough */
    bool single; /* a tag names the one recipient that was accepted */
    bool bypass;
    enum verdict_action action; /* of the first recipient */
    const char *rule;
    int64_t score; /* the highest */
    struct judge_tag *tags, **tags_end;
    size_t tag_count;
    struct buf rules;     /* names of matched rules for their marks, joined by ',' */
    struct buf monitored; /* of matched rules that were only recorded */
    uint64_t tarpit_left_ms;
    bool tarpit_done[BLOCK_COUNT];
};

struct judge {
    struct policy_worker *pw;
    struct addr ip;
    struct addr local; /* of judge_client */
    bool exempt, rdns_given;
    struct facts facts;
    struct fact_value *lists; /* reputation.NAME, as the rules see them; placed after the judge */
    char *states;             /* of the sources; placed after the lists */
    bool derive_again;        /* a source was started: others may depend on it */
    uint32_t overruled;       /* changes whenever the engine forgets or settles facts */
    struct arena arena[SCOPE_COUNT];
    struct origin origin[SOURCE_COUNT];
    struct reputation_run *run; /* NULL: no list is needed, or the client is exempt */

    /* of the HELO */
    struct slice helo_raw; /* as received */
    /* of the transaction */
    struct slice sender; /* as received */
    bool sender_null;
    struct slice section; /* header section of the message, while the message block is evaluated; borrowed */
    bool has_section;
    struct eval_bounds score_bounds; /* of reputation.score */
    /* of the message, once its header section is complete */
    bool head_told;
    bool head_utf8;       /* the transaction has SMTPUTF8 */
    struct slice head;    /* the section, while judge_head() runs */
    struct slice author;  /* domain of the only author, in A-labels; empty: none, or several */
    struct slice list_id; /* List-Id, in A-labels; empty: not a name, or no rule uses it */

    /* of the recipient: KNOWN: flag: greylisted; number: seconds until it would pass (source_greylist.c) */
    struct fact_value triplet;

    struct question question;
    struct deferred run_later; /* evaluates */
    struct deferred bypassed;  /* answers judge_message at once */
    unsigned violations;       /* the latest count from the session */
    bool paced;                /* a query was refused: the client's network has caused too many */
    struct rule_trace *trace[BLOCK_COUNT];
    struct eval_result result; /* of the last evaluation */
    struct buf text;           /* of the reply */
    struct verdict verdict;
    struct judge_txn txn;
};

/* ---- engine.c ---- */

/* Starts the lookup of the fact, unless it has started.  `final`: for a rule with a final action. */
void engine_ask(struct judge *j, unsigned fact, bool final);
/* Starts the lookups of all facts that some rule uses and that become available at this stage. */
void engine_ask_early(struct judge *j, enum fact_stage stage);
/* A fact has changed: schedules another run of the pending evaluation, from the loop. */
void engine_changed(struct judge *j);
void engine_start(struct judge *j, enum rule_block block, enum fact_stage stage);
void engine_cancel(struct judge *j); /* cancels the pending evaluation; checks go on */
void engine_init(struct judge *j);
void judge_bypass_init(struct judge *j); /* judge.c */
/* A judge with the facts of its client and no lookup started.  judge.c */
struct judge *judge_make(struct policy_worker *pw, const struct judge_client *client) MUST_USE;
void judge_paced(void *judge); /* callback for the resolver; judge.c */
struct text_facts;
struct text_facts engine_texts(const struct judge *j);
struct eval_input engine_input(const struct judge *j, enum fact_stage stage);

/* ---- sources ---- */

/* XCLIENT gave the client's name, or declared that it has none. */
void source_rdns_given(struct judge *j, struct slice name);
/* Call it when the message is complete: sets its header facts if a rule or a text names one. */
void source_message_texts(struct judge *j);
/* NULL: not looked up, or pending. */
const struct spf_verdict *source_spf_verdict(const struct judge *j, enum spf_identity identity);
/* May this message be verified: dkim.verify is on, its client not exempt, its recipients not bypassed? */
bool source_authenticates(const struct judge *j);
/* The body of the message, and its end. */
void source_dkim_body(struct judge *j, struct slice chunk);
void source_dkim_end(struct judge *j);
/* NULL: it has no signature, or was not checked; *verified tells the two apart. */
const struct dkim *source_dkim_results(const struct judge *j, bool *verified);
/* Evaluates DMARC for this message with another author domain; cb gets the judge.  `want`: enum dmarc_want. */
struct dmarc_check *source_dmarc_start(struct judge *j, struct slice author, unsigned want,
                                       dmarc_check_cb cb) MUST_USE;
/* Passes it the domains that SPF and DKIM authenticated; both must be settled. */
void source_dmarc_feed(const struct judge *j, struct dmarc_check *c);
const struct dmarc_outcome *source_dmarc_outcome(const struct judge *j); /* NULL: not evaluated */
/* MEMORY_SEEN of the client, once client.first_seen is settled. */
const struct memory_record *source_client_seen(const struct judge *j);
/* Reports the ended transaction to the guard.  Needs a run and a guard.  judge_witness.c */
void judge_bear_witness(const struct judge *j, bool established);

/* ---- helpers ---- */

/* The source of a fact, or of anything else that rules can need. */
static inline enum source_id source_of(const struct policy_worker *pw, unsigned fact)
{
    return (enum source_id)pw->source_of[fact < FACT_COUNT            ? fact
                                         : fact == RULE_NEEDS_TRIPLET ? FACT_TRIPLET
                                                                      : FACT_ANY_LIST];
}

static inline void *source_state(const struct judge *j, enum source_id id)
{
    return j->states + j->pw->state_at[id];
}

static inline enum fact_state judge_state(const struct judge *j, enum fact_id id)
{
    return (enum fact_state)j->facts.v[id].state;
}

/* A copy in lower case, for the life of the scope. */
struct slice facts_lower(struct judge *j, enum fact_scope scope, struct slice s);
struct slice facts_copy(struct judge *j, enum fact_scope scope, struct slice s);
/* Adds a name to the list (marks, the log) unless it is there. */
void judge_add_name(struct buf *names, const char *name);
void facts_set_word(struct judge *j, enum fact_id id, const char *word);

/* rules_count.c: positions of the records of all rules and the default; the caller frees them.  Counts a verdict. */
int *rules_count_places(const struct policy *p, const struct state *st) MUST_USE;
void rules_count(const struct judge *j);

#endif
