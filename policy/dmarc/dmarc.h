/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dmarc.h - the DMARC evaluator (RFC 9989): does an authenticated domain belong to the author, and what does the
 * author's domain ask for if none does?
 *
 * Effect     Pure: no I/O, no DNS, no clock, no log.  The caller asks the DNS and feeds the answers:
 *
 *                dmarc_new
 *                dmarc_next ...          the questions that are open now; ask them in parallel or one by one
 *                dmarc_answer ...        one for each question, in any order
 *                dmarc_add ...           each domain that SPF or DKIM authenticated, as soon as it is known
 *                dmarc_end_domains       no more of them
 *                dmarc_done              until then: dmarc_next again after each answer
 *                dmarc_outcome
 *                dmarc_free              allowed at any time
 *
 *            Call dmarc_next again after each of the other calls, because each can open new questions.
 * Questions  Only those that the outcome needs.  The author's own name comes first: with a record there, and an
 *            authenticated domain equal to the author's (or strict alignment), it is the only question.  Otherwise all
 *            other names of the author's tree walk come at once, then all names of the other walks, and the question of
 *            existence.  Walks share their answers.  So an evaluation needs at most three rounds of queries.
 * Limits     8 names a walk (RFC 9989 4.10); 12 walks: the author, SPF, and the DMARC_DKIM_MAX signing domains that
 *            are closest to the author; DMARC_RECORDS_MAX records at a name; DMARC_RECORD_MAX octets a record.  One
 *            allocation of fixed size (about 9 KiB) for each evaluation; a peer cannot make it grow.
 * Work       Each call walks over at most 97 names, each looked up among 97.
 * Owner      The caller owns the evaluation.  It copies domains and records; slices in an outcome live until
 *            dmarc_free, the name of a question until the next dmarc_next.
 * Errors     Input from a peer leads to an outcome, never to an error code.
 * Names      Domains are lower-case A-labels.  Upper case and one final dot are tolerated, because both mean the same
 *            name.  A name that is not hostname_valid() is no author (permerror), and never aligned.
 * RFC        9989; 7489 for the public suffix mode.
 * Next       state.h has the state; record.h reads a record, walk.h walks the tree, evaluate.c joins them.
 */
#ifndef POLICY_DMARC_DMARC_H
#define POLICY_DMARC_DMARC_H

#include "policy/dmarc/record.h"

#define DMARC_NAME_MAX 253    /* octets of a name without its final dot (RFC 1035 2.3.4) */
#define DMARC_DKIM_MAX 10     /* signing domains that are considered */
#define DMARC_RECORDS_MAX 32  /* TXT records at one name; with more, none of them counts */
#define DMARC_RECORD_MAX 4096 /* octets of a record; a longer one does not count */

/* RFC 9989 9.2 */
enum dmarc_result {
    DMARC_NONE = 0,  /* no record applies to the author's domain */
    DMARC_PASS,      /* SPF or DKIM authenticated an aligned domain */
    DMARC_FAIL,      /* a record applies, and no aligned domain is authenticated */
    DMARC_TEMPERROR, /* a lookup failed whose answer decides; a retry may succeed */
    DMARC_PERMERROR, /* there is no single valid author domain */
    DMARC_RESULT_COUNT,
};

const char *dmarc_result_text(enum dmarc_result result); /* "none", "pass", ... */

/* Why a message has its result.  The table in results.c maps each reason to one result. */
enum dmarc_reason {
    DMARC_UNDECIDED = 0,     /* dmarc_done() is still false */
    DMARC_ALIGNED,           /* pass */
    DMARC_UNALIGNED,         /* fail: SPF or DKIM authenticated only other domains */
    DMARC_UNAUTHENTICATED,   /* fail: neither of them authenticated a domain */
    DMARC_NO_RECORD,         /* none */
    DMARC_NO_POLICY,         /* none: the record has no valid policy, and no address for reports */
    DMARC_RECORD_UNKNOWN,    /* temperror: the lookup of the policy record failed */
    DMARC_ALIGNMENT_UNKNOWN, /* temperror: a lookup failed that decides on alignment */
    DMARC_IDENTITY_UNKNOWN,  /* temperror: SPF or DKIM had a temperror, and its domain is or may be aligned */
    DMARC_EXISTENCE_UNKNOWN, /* temperror: fail by sp= or np=, and it is unknown whether the author's domain exists */
    DMARC_NO_AUTHOR,         /* permerror */
    DMARC_REASON_COUNT,
};

/* A phrase for people: ASCII without quotation marks, at most 80 octets. */
const char *dmarc_reason_text(enum dmarc_reason reason);
enum dmarc_result dmarc_reason_result(enum dmarc_reason reason);

enum dmarc_by {
    DMARC_BY_SPF = 0,
    DMARC_BY_DKIM,
};

/* What the outcome must hold beyond the result, because a rule or a reader needs it; each may cost more questions. */
enum dmarc_want {
    DMARC_WANT_ORG = 1,     /* the organisational domain */
    DMARC_WANT_RELAXED = 2, /* `relaxed` and `by` for all domains, although the result is certain without */
};

/*
 * The organisational domain by a public suffix list (`dmarc.org_domain: psl`): returns the number of labels of the
 * organisational domain of `domain` (lower-case A-labels), or 0 if it is a public suffix itself.  It must answer at
 * once, and answer the same for the life of the evaluation.
 */
typedef size_t (*dmarc_org_fn)(void *arg, struct slice domain);

struct dmarc_settings {
    struct slice author; /* the domain of the only author; empty if the message has none or several */
    unsigned want;       /* enum dmarc_want, ORed */
    dmarc_org_fn
        org; /* NULL: tree walks; else RFC 7489: the record of the author or of its organisational domain,
                            psd= and PSDs do not count */
    void *org_arg;
};

struct dmarc;

struct dmarc *dmarc_new(const struct dmarc_settings *settings) MUST_USE; /* copies; never NULL */
void dmarc_free(struct dmarc *d);                                        /* NULL is allowed */

/* ---- authenticated domains ---- */

/*
 * Adds a domain that passed: of SPF the MAIL FROM domain (for the null sender the HELO domain, RFC 7208 2.4; a pass of
 * the HELO identity otherwise does not count), of DKIM d= of each passing signature.  A second SPF domain replaces the
 * first.  Domains without a common label with the author's are dropped, and so are the DKIM domains beyond
 * DMARC_DKIM_MAX that share the fewest labels with it.  Ignored after dmarc_end_domains.
 */
void dmarc_add(struct dmarc *d, enum dmarc_by by, struct slice domain);

/* The same for an SPF check or a signature with a temperror: if the domain is aligned, it might have been a pass. */
void dmarc_add_unknown(struct dmarc *d, enum dmarc_by by, struct slice domain);

void dmarc_end_domains(struct dmarc *d);

/* ---- questions ---- */

enum dmarc_question {
    DMARC_ASK_TXT = 0, /* the TXT records at the name */
    DMARC_ASK_EXISTS, /* does the name exist?  Any type will do: only NXDOMAIN says no (RFC 9989 3.2.13, RFC 8020) */
};

struct dmarc_query {
    size_t id; /* for dmarc_answer */
    enum dmarc_question question;
    struct slice name; /* no final dot; passes hostname_valid() */
};

/* Takes the next question, each once.  False: none is open at the moment. */
bool dmarc_next(struct dmarc *d, struct dmarc_query *out) MUST_USE;

enum dmarc_answer_status {
    DMARC_ANSWER_OK = 0,   /* records: each the strings of one TXT record, joined without a separator */
    DMARC_ANSWER_NODATA,   /* the name exists, without a record of this type */
    DMARC_ANSWER_NXDOMAIN, /* the name does not exist */
    DMARC_ANSWER_TEMPFAIL, /* timeout, SERVFAIL, or anything else that leaves the question open */
};

struct dmarc_answer {
    enum dmarc_answer_status status;
    const struct slice *records; /* with DMARC_ANSWER_OK to DMARC_ASK_TXT only */
    size_t count;
};

/* Answers the question with this id; copies what it needs.  Ignores an unknown id and a second answer. */
void dmarc_answer(struct dmarc *d, size_t id, const struct dmarc_answer *answer);

/* The budget is used up: ends the domains and answers every question, open or to come, with DMARC_ANSWER_TEMPFAIL. */
void dmarc_abandon(struct dmarc *d);

/* ---- the outcome ---- */

/* True once no open question can change the outcome.  Questions that are still under way may be cancelled. */
bool dmarc_done(struct dmarc *d) MUST_USE;

enum dmarc_truth {
    DMARC_NO = 0,
    DMARC_YES,
    DMARC_UNKNOWN,
};

struct dmarc_outcome {
    enum dmarc_result result;
    enum dmarc_reason reason;
    enum dmarc_policy
        policy;        /* for the author's domain, after sp, np and t; DMARC_POLICY_NONE without a record */
    bool policy_known; /* false: no record, or unknown.  If only the existence is unknown, `policy` is the
                                   milder one of sp and np. */
    const char *tag;   /* the tag the policy comes from: "p", "sp", "np"; "" if none.  Not "np" if that comes
                                   to the same as sp or p: the existence is not looked up then. */
    struct slice domain;        /* the organisational domain; empty if unknown or not wanted */
    struct slice policy_domain; /* where the record is; empty without a record */
    struct dmarc_record record; /* that record, for explain; zeros without a record */
    bool spf, dkim; /* dmarc.by: which of them authenticated an aligned domain.  If one is equal to the
                                   author's and DMARC_WANT_RELAXED is not set, only equal domains count here. */
    enum dmarc_truth
        relaxed; /* with DMARC_WANT_RELAXED: is an authenticated domain aligned by the relaxed rule?
                                   Also without a record, and under strict alignment. */
};

/* Complete once dmarc_done(); before, the result is DMARC_NONE and the reason DMARC_UNDECIDED. */
const struct dmarc_outcome *dmarc_outcome(struct dmarc *d);

/* ---- sender.dmarc ---- */

/* The words of the fact `sender.dmarc`. */
enum dmarc_published {
    DMARC_PUBLISHED_NONE = 0, /* p=none, no record, or no such domain */
    DMARC_PUBLISHED_QUARANTINE,
    DMARC_PUBLISHED_REJECT,
    DMARC_PUBLISHED_TEMPERROR,
    DMARC_PUBLISHED_COUNT,
};

/*
 * The published policy of the author's domain, by the same walk.  For the fact sender.dmarc: dmarc_new with the MAIL
 * FROM domain as author, dmarc_end_domains at once, then the loop of questions.  Complete once dmarc_done().
 */
enum dmarc_published dmarc_published(struct dmarc *d);
const char *
dmarc_published_text(enum dmarc_published published); /* "none", "quarantine", "reject", "temperror" */

#endif
