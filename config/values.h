/* SPDX-License-Identifier: Apache-2.0 */
/*
 * values.h - parses and formats values: durations, sizes, percentages, rates, endpoints.
 *
 * Pure.  Each parser takes the whole text.  Each formatter writes text that its parser reads back to the same
 * value.  None of them takes `off`; the caller knows whether it is allowed.  policy/ may include this.
 */
#ifndef CONFIG_VALUES_H
#define CONFIG_VALUES_H

#include "config/config.h"

/* "500ms", "9m30s": numbers with ms, s, m, h or d, larger units first.  A unit is required. */
bool value_parse_duration(struct slice text, uint64_t *ms) MUST_USE;
void value_put_duration(struct buf *out, uint64_t ms);

/* Octets alone, or with KiB MiB GiB TiB (1024) or kB MB GB TB (1000). */
bool value_parse_size(struct slice text, uint64_t *octets) MUST_USE;
void value_put_size(struct buf *out, uint64_t octets);

/* "80%": 0..100. */
bool value_parse_percent(struct slice text, unsigned *percent) MUST_USE;

/* "2", "-0.5", "2.125": thousandths. */
bool value_parse_decimal(struct slice text, int64_t *thousandths) MUST_USE;
void value_put_decimal(struct buf *out, int64_t thousandths);

/* "60/1m": a count of at least 1 in a duration of at least 1 s. */
bool value_parse_rate(struct slice text, struct config_rate *rate) MUST_USE;
void value_put_rate(struct buf *out, const struct config_rate *rate);

/* "host.name:25": a name, not an address, and a port 1..65535. */
bool value_parse_name_port(struct slice text, struct slice *host, uint16_t *port) MUST_USE;

/* The position of `text` in "a|b|c". */
bool value_parse_choice(struct slice text, const char *choices, unsigned *index) MUST_USE;
struct slice value_choice_text(const char *choices, unsigned index);

/* The expected forms, for messages. */
#define VALUE_DURATION_HELP "a duration such as 500ms, 5s, 10m, 2h or 7d"
#define VALUE_SIZE_HELP "a size such as 64KiB, 50MiB or a number of octets"
#define VALUE_RATE_HELP "a rate such as 60/1m"

/*
 * The number of single edits (insert, delete, replace, swap of neighbours) between two short texts, for "did you mean".
 * Ignores ASCII case.  A text over 63 octets is similar to no other.
 */
unsigned value_distance(struct slice a, struct slice b);

/* Is `a` probably a misspelling of `b`? */
bool value_similar(struct slice a, struct slice b, unsigned *distance);

/*
 * Suggestions for an unknown name.  Offer each existing name; nearest_words() then returns the end of the sentence:
 * "; did you mean `mail`?", "; there are a, b and c", or nothing.
 */
#define NEAREST_NAMES 8 /* it lists no more than this */
struct nearest {
    struct slice wanted;
    struct slice best; /* empty: none is similar */
    unsigned distance;
    unsigned count;
    struct slice name[NEAREST_NAMES];
    char words[300];
};
void nearest_init(struct nearest *n, struct slice wanted);
void nearest_offer(struct nearest *n, struct slice name); /* borrowed until nearest_words() */
const char *nearest_words(struct nearest *n);
/* The same for "a|b|c", but never lists the names, because the sentence already has. */
const char *nearest_choice(struct nearest *n, struct slice wanted, const char *choices);
/* Writes "a|b|c" as "a, b or c". */
void value_put_choices(struct buf *out, const char *choices);

#endif
