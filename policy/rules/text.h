/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - texts of rules with facts in them: replies to clients, values of tags.
 *
 * What a peer can put into a fact is made harmless here, once: a reply is printable ASCII, at most
 * REPLY_FACT_MAX octets of each fact, in lines of at most REPLY_LINE_WIDTH; a tag is one line.
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
    uint32_t greylist_wait_s;       /* until this triplet would pass; 0: it does not wait */
    unsigned code;                  /* of the reply; 0: a tag */
};

/* Is it a name for templates?  *fact is it, or RULE_NO_FACT for server.hostname, policy.contact,
 * greylist.wait and reply.retry. */
bool text_name_known(const struct rules *r, struct slice name, unsigned *fact);

/* How many of these four there are; the manual names each. */
size_t text_other_names(void);

/* The end of the sentence that it is none: which one was meant, or nothing. */
const char *text_nearest_name(struct slice name, struct nearest *near);

/* The text alone, without codes; lines are joined by '\n'. */
void text_reply(const struct text_facts *t, struct slice text, struct buf *out);

/* One line without control characters, cut at TAG_VALUE_MAX; what is not ASCII stays: field_put() encodes it. */
void text_tag(const struct text_facts *t, struct slice text, struct buf *out);

#endif
