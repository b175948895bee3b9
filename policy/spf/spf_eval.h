/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf_eval.h - shared by the parts of the SPF evaluation.  Private to policy/spf*.
 *
 *     struct spf       one evaluation: input, the table of facts, the verdict; lives over all steps
 *     struct spf_fact  one name and type: wanted, then known and pinned
 *     struct spf_run   one run of an engine over the table; made anew by each step
 *
 * spf_eval.c walks records for all engines; they differ only in how they match one directive.  If a run ends with
 * run->missing set, its result is discarded and the wanted names are looked up.
 */
#ifndef POLICY_SPF_SPF_EVAL_H
#define POLICY_SPF_SPF_EVAL_H

#include "core/arena.h"
#include "policy/spf/spf_macro.h"
#include "policy/spf/spf_record.h"

/* What a TXT answer holds (RFC 7208 4.5). */
enum spf_selection {
    SPF_SELECT_UNSEEN = 0, /* not examined yet */
    SPF_SELECT_NONE,
    SPF_SELECT_ONE,
    SPF_SELECT_SEVERAL,
};

struct spf_fact {
    struct spf_want want;
    uint32_t hash; /* of the name, to compare fewer */
    bool known;    /* fed; if not, it is wanted */
    enum spf_status status;
    size_t count;                    /* of records; of addresses 0 or 1 */
    struct spf_record_data *records; /* the part that is kept, in the arena: spf_facts.c, spf_keep_answer() */
    enum spf_selection selection;    /* TXT */
    struct slice record;             /* SPF_SELECT_ONE */
    struct spf_summary summary;      /* of it */
    uint64_t *tried;                 /* a bit for each term: an engine's note, see spf_libspf2.c */
};

struct spf {
    struct arena arena; /* everything below that is a slice or an array */
    struct spf_input in;
    struct spf_macro_values values; /* all but domain and validated */
    struct slice domain;            /* normal form; empty: not a domain that could have a record */
    struct slice reverse;           /* the client's name below in-addr.arpa or ip6.arpa */
    struct spf_fact *facts[SPF_QUERIES_MAX];
    size_t fact_count;
    struct spf_want wants[SPF_WANTS_MAX];
    size_t want_count;
    unsigned steps;
    bool done;
    struct spf_verdict verdict;
};

/* A name in normal form: lower case, no final dot, NUL-terminated. */
struct spf_name {
    size_t len; /* 0: not a name that could exist */
    char text[SPF_NAME_MAX + 1];
};

/* Result of matching one directive. */
enum spf_match {
    SPF_MATCH_NO = 0,
    SPF_MATCH_YES,
    SPF_MATCH_TEMP,    /* temperror */
    SPF_MATCH_PERM,    /* permerror */
    SPF_MATCH_MISSING, /* run->missing is set */
};

/* One record under evaluation. */
struct spf_frame {
    struct slice domain;
    bool authorised; /* a pass here is a pass of the whole evaluation */
    bool top;        /* not inside of an include */
    size_t index;    /* of the term being matched */
    uint64_t *tried; /* of this record's fact; NULL: no room for notes */
};

struct spf_run;

/* Matches one directive (not a modifier): this is where the engines differ. */
typedef enum spf_match (*spf_match_fn)(struct spf_run *run, const struct spf_term *t,
                                       const struct spf_frame *fr);

struct spf_run {
    struct spf *e;
    spf_match_fn match;
    void *library; /* libspf2: its server; NULL otherwise */
    unsigned terms;
    unsigned voids;
    size_t budget;           /* octets that macros may still process */
    bool missing;            /* an answer is not known yet */
    const char *problem;     /* of a temperror, permerror or none: a literal; NULL: nothing known */
    double sum;              /* addresses in `+` networks of the client's family (spf.h, weak) */
    bool matched;            /* a mechanism decided; the next three say which */
    struct slice mechanism;  /* of the domain's own record, or of the redirect's */
    struct slice decided_by; /* the innermost mechanism that decided */
    enum spf_kind decided_kind;
    double decided_size;     /* addresses in its network */
    struct slice exp;        /* of the record that is in force at top level; empty: none */
    struct slice exp_domain; /* its domain */
};

/* ---- spf_facts.c: names and answers ---- */

/*
 * The answer to (type, name).  NULL: not there yet; the name is now wanted and run->missing is set.  The answer for
 * an empty name is NXDOMAIN.
 */
const struct spf_fact *spf_lookup(struct spf_run *run, enum spf_type type, struct slice name);

/* Count against the limits of RFC 7208 4.6.4; false: over the limit, and run->problem is set. */
bool spf_count_term(struct spf_run *run) MUST_USE;
bool spf_count_void(struct spf_run *run, const struct spf_fact *fact) MUST_USE; /* only if it is void */

/*
 * Keeps only the usable part of an answer.  TXT: the SPF record, checked, if there is exactly one.  EXP: the text if
 * there is exactly one.  A, AAAA: the nearest address to the client's.  MX, PTR: the names, sorted, so that the random
 * order of answers has no effect.  False: the arena is full.
 */
bool spf_keep_answer(struct spf *e, struct spf_fact *f, const struct spf_answer *answer) MUST_USE;

/* Lower-cases the name and drops octets beyond 253 on its left; len 0 if no such name can exist. */
void spf_name_set(struct spf_name *out, struct slice text);

static inline struct slice spf_name_slice(const struct spf_name *n)
{
    return slice_of(n->text, n->len);
}

/*
 * The target-name of a term (RFC 7208 4.8): spec expanded, or the domain itself if there is no spec.  False:
 * run->missing is set, or the budget is used up (run->problem is set).
 */
bool spf_target(struct spf_run *run, struct slice spec, struct slice domain, struct spf_name *out) MUST_USE;

/*
 * Opens the SPF record of a domain.  SPF_PASS means that *out holds it.  Any other result ends the check of this
 * domain; SPF_NONE may also mean that run->missing was set.
 */
enum spf_result spf_open(struct spf_run *run, struct slice domain, bool authorised,
                         const struct spf_fact **out) MUST_USE;

/* A or AAAA, by the client's family. */
enum spf_type spf_client_type(const struct spf *e);
/* Is an address of the answer in the client's network of this prefix length? */
bool spf_fact_matches(const struct spf *e, const struct spf_fact *fact, unsigned bits);
bool spf_name_within(struct slice name, struct slice domain); /* equal or below; both in normal form */
bool spf_bits_match(const uint8_t *a, const uint8_t *b, unsigned bits);

/* Hosts of an mx, or names of the client, with their addresses. */
struct spf_hosts {
    size_t count;                               /* processed so far */
    const struct spf_fact *fact[SPF_HOSTS_MAX]; /* their addresses; NULL: not looked up */
};

/*
 * Looks up the hosts of an mx, two at a time.  YES: a host has an address in the client's network of that prefix
 * length; NO: none has; PERM: too many void lookups; TEMP: no match, and some lookups failed.
 */
enum spf_match spf_ask_hosts(struct spf_run *run, const struct spf_fact *mx, unsigned bits,
                             struct spf_hosts *out) MUST_USE;

/* The same for names of the client, in `within` or (empty) all, until two have no address; false: missing. */
bool spf_ask_names(struct spf_run *run, const struct spf_fact *names, struct slice within,
                   struct spf_hosts *out) MUST_USE;

/*
 * The validated names of the client (RFC 7208 5.5).  `within`: tries only names in this domain; empty: all.  Sets
 * *out to the best one for `domain` (itself, below it, any), or empty if there is none.
 * False: missing.
 */
bool spf_validated(struct spf_run *run, struct slice domain, struct slice within, struct slice *out) MUST_USE;

/* Writes the explanation of a fail to verdict.explanation; false: missing. */
bool spf_explain(struct spf_run *run) MUST_USE;

/* ---- spf_eval.c: records, and the native engine ---- */

/* check_host() of RFC 7208 4 over the table, matching with run->match. */
enum spf_result spf_check_host(struct spf_run *run, struct spf_frame frame);

/* Expands the target of a term that queries DNS, and counts it against the ten; SPF_MATCH_YES: go on. */
enum spf_match spf_take_target(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr,
                               struct spf_name *out) MUST_USE;

/* The prefix length for the client's family. */
unsigned spf_term_bits(const struct spf *e, const struct spf_term *t);

enum spf_match spf_match_native(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr);

/* ---- spf_libspf2.c: only if spf_engine_built() ---- */

enum spf_match spf_match_libspf2(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr);
void spf_libspf2_end(struct spf_run *run); /* after the run */

#endif
