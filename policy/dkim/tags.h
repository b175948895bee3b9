/*
 * tags.h - tag lists, the syntax of signatures and key records (RFC 6376 3.2), and the forms their values have.
 *
 * Pure.  Slices point into the text that was given.
 */
#ifndef POLICY_DKIM_TAGS_H
#define POLICY_DKIM_TAGS_H

#include "core/arena.h"

#define DKIM_TAGS_MAX 64 /* in one list; RFC 6376 defines 14 */

struct dkim_tag {
    struct slice value; /* without the white space around it; empty is a value too */
    struct slice raw;   /* all between `=` and the semicolon */
    bool present;
};

/*
 * Reads a list into tags[i] for each names[i].  False: it is not a tag list, a name stands twice (known or not), or
 * there are more than DKIM_TAGS_MAX.  *first is the name of the first tag.
 */
bool dkim_tags_read(struct slice list, const char *const *names, struct dkim_tag *tags, size_t count,
                    struct slice *first) MUST_USE;

/* Without folding white space (SP, TAB, CR, LF) at both ends. */
struct slice dkim_tags_trim(struct slice s);

/* The next item of a list with colons, trimmed; false at its end.  Start with *done false. */
bool dkim_tags_item(struct slice *rest, bool *done, struct slice *item) MUST_USE;

/* True if one item of a list with colons is `word`. */
bool dkim_tags_list_has(struct slice list, struct slice word);

/*
 * Base64 with folding white space anywhere (RFC 6376 2.10); padding may be missing, wrong padding may not be there.
 * The octets are in the arena.  False: not base64, more than max octets, or the arena is full.
 */
bool dkim_tags_base64(struct slice text, size_t max, struct arena *arena, struct slice *out) MUST_USE;

#endif
