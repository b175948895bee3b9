/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - renders texts of rules that contain facts: replies to clients, values of tags.
 *
 * This is the one place that sanitises peer input in facts.  A reply is printable ASCII, at most REPLY_FACT_MAX octets
 * of each fact, in lines of at most REPLY_LINE_WIDTH; a tag is one line.
 */
#ifndef POLICY_RULES_TEXT_H
#define POLICY_RULES_TEXT_H

#include "policy/rules/rules.h"

#define REPLY_FACT_MAX 200
#define REPLY_LINE_WIDTH 450 /* with code, enhanced code and session id a line stays below 500 */
#define REPLY_TEXT_MAX 4000
#define TAG_VALUE_MAX 900

struct nearest;

struct text_facts {
    const struct rules *rules;
    const struct facts *facts;
    const struct fact_value *lists; /* reputation.NAME; NULL: none known */
    uint32_t greylist_wait_s;       /* until this triplet would pass; 0: not greylisted */
    unsigned code;                  /* of the reply; 0: a tag */
};

/* Is it a name for templates?  *fact is its fact, or RULE_NO_FACT for server.hostname, policy.contact,
 * greylist.wait and reply.retry. */
bool text_name_known(const struct rules *r, struct slice name, unsigned *fact);

/* The number of these four names; the manual lists each. */
size_t text_other_names(void);

/* The end of an unknown-name message: the nearest name, or nothing. */
const char *text_nearest_name(struct slice name, struct nearest *near);

/* Renders the text without codes; '\n' joins the lines. */
void text_reply(const struct text_facts *t, struct slice text, struct buf *out);

/* One line without control characters, cut at TAG_VALUE_MAX.  Keeps non-ASCII text: field_put() encodes it. */
void text_tag(const struct text_facts *t, struct slice text, struct buf *out);

#endif
