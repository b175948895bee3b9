/* SPDX-License-Identifier: Apache-2.0 */
/*
 * match.h - matches a value against a set: addresses in networks, names below domains, numbers in ranges.
 *
 * A set (rules.h) is filled, sealed once, and read-only from then on.  Addresses are sorted and searched by prefix
 * length; names, mail addresses and texts are hashed.  So a group of a million entries costs no more than one of
 * ten.
 */
#ifndef POLICY_RULES_MATCH_H
#define POLICY_RULES_MATCH_H

#include "policy/rules/rules.h"

#define SET_FOR_EVER INT32_MAX

/* Three truth values, and "not looked up yet". */
enum truth {
    TRUTH_FALSE = 0,
    TRUTH_TRUE,
    TRUTH_UNKNOWN,
    TRUTH_OPEN,
};

void set_init(struct set *s);
void set_fini(struct set *s);

/*
 * Add to an unsealed set; until_day is the last day the entry counts.  Texts are borrowed for the life of the
 * set.  False: no memory left in the arena.
 */
bool set_add_net(struct set *s, const struct cidr *net, int32_t until_day) MUST_USE;
bool set_add_name(struct set *s, struct arena *a, struct slice name, int32_t until_day) MUST_USE;
bool set_add_address(struct set *s, struct arena *a, struct slice address, int32_t until_day) MUST_USE;
bool set_add_text(struct set *s, struct arena *a, struct slice text, int32_t until_day) MUST_USE;
void set_add_range(struct set *s, int64_t low, int64_t high);
void set_add_regex(struct set *s, struct regex *re); /* takes ownership */
void set_seal(struct set *s);

/* Can it never match a value of this type? */
bool set_is_empty(const struct set *s, enum fact_type type);

/* The same for a group; an unread one may match anything. */
static inline bool group_is_empty(const struct group *g, enum fact_type type)
{
    return !g->unread && set_is_empty(&g->set, type);
}

bool set_has_ip(const struct set *s, const struct addr *ip, int32_t today);
bool set_has_name(const struct set *s, struct slice name, int32_t today);         /* any case */
bool set_has_address(const struct set *s, struct slice address, int32_t today);   /* any case */
bool set_has_range(const struct set *s, int64_t low, int64_t high, bool *partly); /* all of low..high */

/* The value must be KNOWN.  TRUTH_UNKNOWN only if a regular expression gave up. */
enum truth set_match(const struct set *s, enum fact_type type, const struct fact_value *v, int32_t today);

/* ---- parsing of entries, for the loaders ---- */

/* Converts a name in a rule or group, ".example.com" or "example.com", to lower-case A-labels.  False: not a name.  A
 * last label of only digits is a malformed address (RFC 1123 2.1). */
bool entry_parse_name(struct slice text, struct buf *out) MUST_USE;

/* "user@example.com", "@example.com", "@.example.com"; lower case.  Refuses `*`, which would match only itself. */
bool entry_parse_address(struct slice text, struct buf *out) MUST_USE;

/* Suggests a correction for an invalid entry: puts "; ..." or nothing. */
void entry_put_hint(struct slice text, struct buf *out);

/* "5", ">= 5", "< 2.5", "3..7" in thousandths; the same with durations in ms. */
bool entry_parse_range(struct slice text, bool duration, struct set_range *out) MUST_USE;

#endif
