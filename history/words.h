/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.h - the dictionary of one day's file: names of facts and rules, and values that are one of a few words.
 *
 * A word gets the next number when it is first packed, and keeps it for the life of the file.  Numbers are given
 * in memory first; the store writes the new ones in the transaction of the rows that use them, or takes them back
 * (words_truncate).  A dictionary that is full gives no more numbers: words are then written out.
 */
#ifndef HISTORY_WORDS_H
#define HISTORY_WORDS_H

#include "core/table.h"

#define WORDS_MAX 8192   /* a worker may invent words: they cost at most this many */
#define WORDS_LEN_MAX 64 /* octets of one */

struct word;

struct words {
    struct table table;
    struct word **list;
    size_t len, cap;
};

void words_init(struct words *w);
void words_fini(struct words *w);

/* The number of a word, which is added if it is new and fits; -1: write it out. */
int words_number(struct words *w, struct slice text);

/* The same for one that may have many values: it is added to the first half of the dictionary only. */
int words_number_if_room(struct words *w, struct slice text);

/* False: there is no such number. */
bool words_at(const struct words *w, uint64_t number, struct slice *out) MUST_USE;

/* Takes back the numbers from `len` on. */
void words_truncate(struct words *w, size_t len);

#endif
