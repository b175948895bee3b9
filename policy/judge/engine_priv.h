/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - struct judge: one session's facts, the checks that are out, the question that waits for them.
 *
 *     judge.c           public functions: what the session tells, lifetimes
 *     engine.c          what rules need; the loop evaluate -> needs -> ask -> evaluate
 *     source.h          the checks that make the facts: a table; source_NAME.c one check each
 *     judge_pack.c      a silent session's judge, packed
 *     judge_headers.c   what is written: header fields, log keys, explain
 *     judge_witness.c   what the guard of the lists learns
 *
 * Ownership   the judge owns the states of its sources; texts of facts lie in the arena of the fact's scope and
 *             go with it.
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
    const char *origin;            /* explain: of what the memory says; else NULL */
    unsigned connections;          /* explain: client.connections */
    struct guard_run *guard;       /* NULL: no list, or no state */
    bool *lists_wanted;            /* reputation.count: is the list worth asking at all? */
    bool *used;                    /* FACT_COUNT + lists: some rule has a term on it that can match */
    bool message_lists;            /* a rule about the message asks the lists */
    bool any_list;                 /* some list is wanted that the file does not have off */
    bool zero_day_lists;           /* some enforcing list has zero_day */
    uint8_t source_of[FACT_SLOTS]; /* enum source_id */
    bool ahead[SOURCE_COUNT];      /* see struct source */
    struct source_hooks hooks;
    size_t state_at[SOURCE_COUNT], states_size;
    struct slab judge_slab; /* a judge, its lists, the states of its sources */
    struct slab run_slab;   /* of reputation_run_new */
};

struct question { /* that is out */
    judge_cb cb;  /* NULL: none is */
    void *arg;
    enum rule_block block;
    enum fact_stage stage;
    struct timer budget;
    struct timer patience; /* runs while only rules without a final action wait, for lists */
    bool expired;          /* the budget is over: what is not known now is unknown */
};

struct judge_tag {
    struct judge_tag *next;
    const char *name;
    struct slice value;
};

struct judge_txn { /* what the accepted recipients brought */
    bool open, any;
    bool hurry;  /* rules without a final action have waited for lists long enough */
    bool single; /* a tag names the one recipient that was taken */
    bool bypass;
    enum verdict_action action; /* of the first recipient */
    const char *rule;
    int64_t score; /* the highest */
    struct judge_tag *tags, **tags_end;
    size_t tag_count;
    struct buf rules;     /* names of matched rules for their marks, joined by ',' */
    struct buf monitored; /* of those that were only recorded */
    uint64_t tarpit_left_ms;
    bool tarpit_done[BLOCK_COUNT];
};

struct judge {
    struct policy_worker *pw;
    struct addr ip;
    struct addr local; /* of judge_client */
    bool exempt, rdns_given;
    struct facts facts;
    struct fact_value *lists; /* reputation.NAME, as the rules see them; behind the judge */
    char *states;             /* of the sources; behind the lists */
    bool derive_again;        /* a source was started: others may follow from it */
    uint32_t overruled;       /* another number whenever facts were forgotten, or settled by the engine */
    struct arena arena[SCOPE_COUNT];
    struct origin origin[SOURCE_COUNT];
    struct reputation_run *run; /* NULL: no list is worth asking, or the client is exempt */

    /* of the HELO */
    struct slice helo_raw; /* as it came */
    /* of the transaction */
    struct slice sender; /* as it came */
    bool sender_null;
    struct slice section; /* header section of the message, while the message block is asked; borrowed */
    bool has_section;
    struct eval_bounds score_bounds; /* of reputation.score */
    /* of the message, once its header section is complete */
    bool head_told;
    bool head_utf8;       /* it came with SMTPUTF8 */
    struct slice head;    /* the section, while judge_head() runs */
    struct slice author;  /* domain of the only author, in A-labels; empty: none, or several */
    struct slice list_id; /* List-Id, in A-labels; empty: none that is a name, or no rule asks */

    /* of the recipient: KNOWN: flag: it waits; number: seconds until it would pass (source_greylist.c) */
    struct fact_value triplet;

    struct question question;
    struct deferred run_later; /* evaluates */
    struct deferred bypassed;  /* answers judge_message at once */
    unsigned violations;       /* as the session last said */
    bool paced;                /* a question was not asked: the client's network has caused too many */
    struct rule_trace *trace[BLOCK_COUNT];
    struct eval_result result; /* of the last evaluation */
    struct buf text;           /* of the reply */
    struct verdict verdict;
    struct judge_txn txn;
};

/* ---- engine.c ---- */

/* Starts what makes the fact, unless that was done.  `final`: for a rule with a final action. */
void engine_ask(struct judge *j, unsigned fact, bool final);
/* Asks all facts that some rule uses and that this stage can know first. */
void engine_ask_early(struct judge *j, enum fact_stage stage);
/* Something is new: the question that waits is looked at again, from the loop. */
void engine_changed(struct judge *j);
void engine_start(struct judge *j, enum rule_block block, enum fact_stage stage);
void engine_cancel(struct judge *j); /* the question; checks go on */
void engine_init(struct judge *j);
void judge_bypass_init(struct judge *j); /* judge.c */
/* A judge that knows what it was told about its client, and has asked nothing.  judge.c */
struct judge *judge_make(struct policy_worker *pw, const struct judge_client *client) MUST_USE;
void judge_paced(void *judge); /* what the resolver calls; judge.c */
struct text_facts;
struct text_facts engine_texts(const struct judge *j);
struct eval_input engine_input(const struct judge *j, enum fact_stage stage);

/* ---- sources ---- */

/* XCLIENT gave the client's name, or said that it has none. */
void source_rdns_given(struct judge *j, struct slice name);
/* The message is there: sets the facts of its header section if a rule or a text names one. */
void source_message_texts(struct judge *j);
/* NULL: not asked, or not known. */
const struct spf_verdict *source_spf_verdict(const struct judge *j, enum spf_identity identity);
/* May this message be verified: dkim.verify, and its client is not exempt, its recipients not bypassed? */
bool source_authenticates(const struct judge *j);
/* The body of the message, and its end. */
void source_dkim_body(struct judge *j, struct slice chunk);
void source_dkim_end(struct judge *j);
/* NULL: it has no signature, or was not looked at; *verified says which. */
const struct dkim *source_dkim_results(const struct judge *j, bool *verified);
/* An evaluation of this message with another name in the place of the author; cb gets the judge.  `want`: enum dmarc_want. */
struct dmarc_check *source_dmarc_start(struct judge *j, struct slice author, unsigned want,
                                       dmarc_check_cb cb) MUST_USE;
/* Gives it what SPF and DKIM authenticated; both are settled. */
void source_dmarc_feed(const struct judge *j, struct dmarc_check *c);
const struct dmarc_outcome *source_dmarc_outcome(const struct judge *j); /* NULL: not evaluated */
/* MEMORY_SEEN of the client, once client.first_seen is settled. */
const struct memory_record *source_client_seen(const struct judge *j);
/* The session's transaction ends: tells the guard.  Needs a run and a guard.  judge_witness.c */
void judge_bear_witness(const struct judge *j, bool established);

/* ---- helpers ---- */

/* The source of a fact, or of what else the rules can need. */
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
/* A name joins the list (marks, the log) unless it is there. */
void judge_add_name(struct buf *names, const char *name);
void facts_set_word(struct judge *j, enum fact_id id, const char *word);

/* rules_count.c: places of the records of all rules and of the default, to be freed; counts the answer that is given. */
int *rules_count_places(const struct policy *p, const struct state *st) MUST_USE;
void rules_count(const struct judge *j);

#endif
