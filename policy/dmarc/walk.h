/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.h - the DNS tree walk (RFC 9989 4.10): its names, the organisational domain, and whether two domains share it.
 *
 * Pure; allocates nothing.  A domain here is a name in lower-case A-labels without a final dot.  An organisational
 * domain is always the domain itself or one of its parents, so a number of labels describes it.
 */
#ifndef POLICY_DMARC_WALK_H
#define POLICY_DMARC_WALK_H

#include "policy/dmarc/dmarc.h"

#define DMARC_WALK_MAX 8

size_t dmarc_labels(struct slice domain);
struct slice dmarc_suffix(struct slice domain,
                          size_t labels); /* its last `labels` labels; all of it if it has fewer */
size_t dmarc_shared_labels(struct slice a, struct slice b); /* equal labels at their ends */

/* The names that a walk asks, the longest first, without "_dmarc"; slices of `domain`. */
size_t dmarc_walk_names(struct slice domain, struct slice names[DMARC_WALK_MAX]);

enum dmarc_level_state {
    DMARC_LEVEL_PENDING = 0,
    DMARC_LEVEL_NONE,
    DMARC_LEVEL_RECORD,
    DMARC_LEVEL_ERROR,
};

struct dmarc_level {
    enum dmarc_level_state state;
    enum dmarc_psd psd; /* of the record */
    size_t labels;      /* of the name; never 0 */
};

struct dmarc_walk {
    bool pending; /* an answer is missing that can matter; nothing below is set */
    size_t org;   /* labels of the organisational domain, if no name in error has a record */
    size_t stop;  /* index of the record with psd=y or psd=n that ended the walk; `count` if none did */
    size_t error; /* labels of the longest name in error before the end; 0: none */
    unsigned
        possible; /* bit N: the organisational domain may have N labels; bit 0: the start, of more than 8 labels */
};

/* Evaluates the answers to dmarc_walk_names; levels[0] is the start. */
struct dmarc_walk dmarc_walk_read(const struct dmarc_level *levels, size_t count);

/* Is the organisational domain certain?  A failed lookup may leave it so. */
bool dmarc_walk_certain(const struct dmarc_walk *walk);

/*
 * Do two different domains have the same organisational domain?  `shared` is dmarc_shared_labels() of both.  Neither
 * walk may be pending.  A failed lookup leaves this unknown only if its answer can change the result: for
 * "example.org" with a record, and "mail.example.org", the answer of "_dmarc.org" does not matter.
 */
enum dmarc_truth dmarc_walk_same(const struct dmarc_walk *a, const struct dmarc_walk *b, size_t shared);

/* May a domain that shares `shared` labels with the start of this walk have the same organisational domain? */
bool dmarc_walk_may_share(const struct dmarc_walk *walk, size_t shared);

#endif
