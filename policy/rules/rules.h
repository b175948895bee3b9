/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.h - the compiled rule language: groups, conditions, actions, blocks.  Private to policy/.
 *
 * rules_load() makes it once from the tree of the file and of the embedded preset.  After that it is read-only, for
 * verdict.c (evaluation), match.c (matching), policy_print.c and the engine.  The arena of struct policy holds
 * everything except hash tables and regular expressions, which rules_free() releases.
 */
#ifndef POLICY_RULES_RULES_H
#define POLICY_RULES_RULES_H

#include <limits.h>

#include "config/tree.h"
#include "core/regex.h"
#include "core/table.h"
#include "policy/facts.h"

#define RULES_MAX 1000 /* of a block */
#define GROUP_ENTRIES_MAX 1000000
#define TARPIT_MAX_MS 30000
#define RULE_NO_FACT UINT_MAX

/* ---- sets: the values of one term, or a group (match.c) ---- */

struct set_net { /* sorted by family, then prefix length, then base */
    struct cidr net;
    int32_t until_day; /* last day on which it counts, since 1970; INT32_MAX: no end */
};

struct set_text { /* a name, an address or any text, in a hash table */
    struct table_entry entry;
    int32_t until_day;
};

struct set_range { /* numbers in thousandths, durations in ms; both ends included */
    int64_t low, high;
};

struct set {
    struct set_net *nets;
    size_t net_count;
    uint64_t lengths[3];    /* bit n: there is a net of n bits; IPv4 is counted as its mapped IPv6 (96 + n) */
    struct table names;     /* "example.com", ".example.com", lower case */
    struct table addresses; /* "user@example.com", "@example.com", lower case; "" */
    struct table texts;     /* any text, exact match */
    struct set_range *ranges;
    size_t range_count;
    struct regex **regexes;
    size_t regex_count;
    uint32_t words;        /* bit n: the fact's word n */
    uint8_t flags;         /* bit 0: false, bit 1: true */
    struct set *next_made; /* rules.sets */
};

struct group_entry { /* as written in the file */
    struct slice text;
    int32_t until_day;
    int line, column; /* in the configuration: of `file:PATH` for an entry of a file */
    const char *file; /* NULL: inline */
    size_t file_line;
};

struct group {
    struct slice name;
    struct set set; /* entries in the form that the uses need */
    struct group_entry *entry;
    size_t count, cap;
    bool ended;    /* an entry has passed its last day */
    bool standing; /* one of the five that the preset uses: may be empty */
    unsigned uses; /* bit n: a term of enum fact_type n names it */
    bool named;    /* by a rule of the file or another section, not only by the preset */
    bool broken;   /* an error was reported; report no more */
    bool unread;   /* a file was unreadable, at least in part: values outside the set are unknown */
    int line, column;
};

struct rules_file { /* a file of groups, watched for changes */
    const char *path;
    struct buf text; /* as read: a later load may reuse it */
    bool read;       /* false: unreadable */
};

/* ---- conditions ---- */

enum cond_kind { COND_ALL = 0, COND_ANY, COND_NOT, COND_TERM };

struct cond {
    enum cond_kind kind;
    struct cond *child; /* first one; COND_NOT has one */
    struct cond *next;  /* sibling */
    unsigned fact;      /* COND_TERM: see compiled.h */
    struct set *set;    /* COND_TERM: values written here */
    struct group **groups;
    size_t group_count;
    struct slice wanted; /* COND_TERM: the values as a phrase: "fail or softfail" */
    int line, column;
};

/* ---- actions ---- */

enum action {
    ACTION_NONE = 0, /* no action that ends the block */
    ACTION_ACCEPT,
    ACTION_BYPASS,
    ACTION_REJECT,
    ACTION_DEFER,
    ACTION_DROP,
    ACTION_DIVERT,
    ACTION_GREYLIST, /* ends the block only while the triplet waits */
};

struct rule_reply {
    unsigned code;         /* 450 */
    struct slice enhanced; /* "4.1.8" */
    struct slice text;     /* template */
    struct slice soft;     /* "4.1.8": the enhanced code if the refusal becomes temporary */
};

struct reply_choice {           /* one text, or one for each word of a fact */
    enum fact_id by;            /* FACT_COUNT: only `any` */
    struct rule_reply any;      /* words without a text of their own */
    struct rule_reply *word[8]; /* by index of the word; NULL: `any` */
};

struct rule_tag {
    const char *name;
    struct slice text; /* template */
    struct rule_tag *next;
};

struct rule {
    const char *name;
    size_t index;      /* in its block */
    struct cond *when; /* NULL: always */
    enum action final;
    struct reply_choice reply; /* refusing actions */
    const struct config_upstream *divert;
    bool scores;
    int64_t score; /* thousandths */
    uint64_t tarpit_ms;
    struct rule_tag *tags;
    bool names_recipient; /* a tag has {recipient.*} */
    bool monitor;
    unsigned share;        /* percent that is enforced */
    bool preset;           /* from the embedded file: positions refer to that */
    bool mode_given;       /* `override` has a mode for it */
    bool watch_starts;     /* watch.c: new on this machine */
    int64_t watch_until_s; /* watch.c: only monitored until then; 0: not watched */
    int line, column;
    /* for printing: the nodes in force after `override` */
    const struct config_node *node, *then_node, *reply_node, *unless_node;
    bool then_preset, reply_preset; /* these two are from the preset */
};

enum rule_block { BLOCK_ENVELOPE = 0, BLOCK_MESSAGE, BLOCK_COUNT };

struct block {
    struct rule *rule;
    size_t count;
};

enum fact_use {
    USE_RULE = 1,  /* some enforced or monitored rule has a term on it */
    USE_FINAL = 2, /* one of them has a final action and is enforced */
    USE_TEXT = 4,  /* a reply or tag names it */
};

struct policy;

struct rules {
    struct block block[BLOCK_COUNT];
    struct group *group;
    size_t group_count;
    struct slice *lists; /* names of reputation.lists, in the order of the file */
    size_t list_count;
    uint8_t *use;         /* enum fact_use, FACT_COUNT + list_count of them: facts that something uses */
    enum action fallback; /* `default`: accept, reject or defer */
    enum config_reject_at reject_at;
    uint64_t budget_mail_ms, budget_message_ms;
    struct slice contact;
    const char *hostname;     /* of config, for templates */
    bool preset;              /* spf-first is in it */
    struct set *sets;         /* all sets, for rules_free */
    struct rules_file *files; /* each path once */
    size_t file_count;
};

/* The reply of a refusing action that has no reply of its own. */
struct rule_reply text_default(enum action a);

/* Does a rule of the block have a condition on reputation.*?  (rules_warn.c) */
bool rules_ask_lists(const struct block *b);

/* The group of this name, or NULL. */
struct group *rules_group(const struct rules *r, struct slice name);

/* Is this address in the group (for settings such as tls.not_offered_to)? */
bool group_has_ip(const struct group *g, const struct addr *ip, int64_t now_s);
/* The same for a host name. */
bool group_has_name(const struct group *g, struct slice name, int64_t now_s);

/*
 * Fills p->rules from the sections groups and policy.  Errors and warnings go to errs; false if there was an
 * error.  rules_free() may follow in any case.
 */
bool rules_load(struct policy *p, struct config_errors *errs) MUST_USE;
void rules_free(struct policy *p);

/* Runs policy.tests (trial.c); reports a failed one as an error at its position. */
void rules_run_tests(struct policy *p, struct config_errors *errs);

#endif
