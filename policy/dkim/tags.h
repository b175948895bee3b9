/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tags.h - tag lists (RFC 6376 3.2), the syntax that signatures and key records share, and base64 values.
 *
 * Pure.  Results are slices of the given text, except for decoded base64, which is in the arena.
 */
#ifndef POLICY_DKIM_TAGS_H
#define POLICY_DKIM_TAGS_H

#include "core/arena.h"

#define DKIM_TAGS_MAX 64 /* in one list; RFC 6376 defines 14 */

struct dkim_tag {
    struct slice value; /* trimmed; may be empty although the tag is present */
    struct slice raw;   /* everything between `=` and the semicolon */
    bool present;
};

/*
 * Reads a list and fills tags[i] for each names[i]; *first is the name of the first tag.  Returns false if the text is
 * not a tag list, if a name (known or not) occurs twice, or if it has more than DKIM_TAGS_MAX tags.
 */
bool dkim_tags_read(struct slice list, const char *const *names, struct dkim_tag *tags, size_t count,
                    struct slice *first) MUST_USE;

/* Removes folding white space (SP, TAB, CR, LF) at both ends. */
struct slice dkim_tags_trim(struct slice s);

/* Takes the next item of a colon-separated list, trimmed; returns false at its end.  Start with *done = false. */
bool dkim_tags_item(struct slice *rest, bool *done, struct slice *item) MUST_USE;

/* Does a colon-separated list contain `word`?  Case matters (RFC 6376 3.2). */
bool dkim_tags_list_has(struct slice list, struct slice word);

/*
 * Decodes base64 into the arena.  Folding white space may stand anywhere (RFC 6376 2.10); padding may be absent but not
 * wrong.  Returns false if the text is not base64, gives more than max octets, or if the arena is full.
 */
bool dkim_tags_base64(struct slice text, size_t max, struct arena *arena, struct slice *out) MUST_USE;

#endif
