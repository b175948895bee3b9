/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_priv.h - shared by the loaders of rules: groups.c, cond_load.c, actions_load.c, rules_load.c,
 * rules_warn.c.
 *
 * Loaders report an error and go on, so that all errors of a file appear at once.
 */
#ifndef POLICY_RULES_RULES_PRIV_H
#define POLICY_RULES_RULES_PRIV_H

#include "config/values.h"
#include "policy/rules/compiled.h"

struct rules_load {
    struct rules *r;
    struct arena *arena;
    struct config_errors *errs;
    const struct config *conf;
    const struct config_node *preset_root; /* NULL: not parsed yet */
    bool preset;           /* nodes are from the embedded preset; its positions mean nothing to the reader */
    enum rule_block block; /* being loaded; BLOCK_COUNT: a test, which may use facts of both */
    const char *name;      /* of the rule being loaded, for messages */
};

/* A text cleaned and shortened for a message. */
struct quoted {
    char text[260];
};
const char *rules_quote(struct quoted *q, struct slice s);

/* Reports at the position of the node's value; `at` may be NULL. */
void rules_error(struct rules_load *l, const struct config_node *at, const char *fmt, ...) PRINTF(3, 4);
void rules_warning(struct rules_load *l, const struct config_node *at, const char *fmt, ...) PRINTF(3, 4);
void rules_key_error(struct rules_load *l, const struct config_node *at, const char *fmt, ...) PRINTF(3, 4);

/* Zeroed; never NULL (the arena holds more than any file can fill, or the process ends). */
void *rules_memory(struct rules_load *l, size_t size);
struct slice rules_text(struct rules_load *l, struct slice s); /* a copy with a NUL */

#define RULE_KEYS "name|when|then|reply|mode|enforce_share"

/* [a-z0-9-], at most 64 octets. */
bool rules_is_name(struct slice s);

/* Reports keys of the mapping that are not in "a|b|c"; false if there are any. */
bool rules_check_keys(struct rules_load *l, const struct config_node *node, const char *keys);
/* The same; messages begin with "WHAT NAME", such as "rule x". */
bool rules_check_keys_of(struct rules_load *l, const char *what, const struct config_node *node,
                         const char *keys);

/* Does a rule of this name exist in any block, or is it `default`?  If not, prepares `near` for nearest_words(). */
bool rules_has_rule(const struct rules *r, struct slice name, struct nearest *near) MUST_USE;

/* Is this a header field with a standard meaning to servers and clients? (actions_load.c) */
bool rules_field_is_standard(struct slice name);

/* ---- groups.c ---- */

void groups_load(struct rules_load *l);  /* reads them, files included */
void groups_build(struct rules_load *l); /* makes their sets, after all uses are known */
struct group *groups_use(struct rules_load *l, const struct config_node *at, struct slice name);

/* ---- cond_load.c ---- */

/* NULL for an empty mapping. */
struct cond *cond_load(struct rules_load *l, const struct config_node *node);

/* The end of an unknown-fact message: the nearest name, or all names, or where they are listed. */
const char *rules_nearest_fact(struct slice name, struct nearest *near);
/* The same for a list of reputation.lists. */
const char *rules_nearest_list(const struct rules *r, struct slice name, struct nearest *near);

/* Puts "one of A, B, C": the words of the fact.  Returns the end of the message: the nearest word, or nothing. */
const char *rules_expected_word(enum fact_id fact, struct slice found, struct buf *all, struct nearest *near);

/* The fact of this name; or RULE_NO_FACT, after an error at the key. */
unsigned cond_load_fact(struct rules_load *l, const struct config_node *at, struct slice name);

/* ---- actions_load.c ---- */

#define RULE_ACTIONS "accept|bypass|reject|defer|drop|greylist|divert|tarpit|score|tag" /* words of `then` */

void actions_load(struct rules_load *l, struct rule *rule);

/* ---- rules_warn.c ---- */

void rules_warn(struct rules_load *l);

#endif
