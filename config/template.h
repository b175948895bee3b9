/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - "text {fact} text{? optional {fact}}" in replies, tags, added headers and the banner.
 *
 * `{{` is a brace; an empty value renders as `-`.  An optional part, from `{?` to its `}`, is left out as a whole if
 * a value in it is empty; optional parts do not nest.  Names are checked at load (template_valid), so rendering
 * cannot meet an unknown one.  Pure; what a value may contain is the business of whoever writes the result
 * (replies reduce to printable ASCII, headers fold and encode).
 */
#ifndef CONFIG_TEMPLATE_H
#define CONFIG_TEMPLATE_H

#include "core/buf.h"

/* Puts the value of one name; false if there is no such name. */
typedef bool (*template_lookup)(void *arg, struct slice name, struct buf *out);

/*
 * Are all names known and all braces closed?  False at the first that is not; *bad is it (a part of text).
 * The callback may note what it is asked.
 */
typedef bool (*template_known)(void *arg, struct slice name);
bool template_valid(struct slice text, template_known known, void *arg, struct slice *bad) MUST_USE;

void template_render(struct slice text, template_lookup lookup, void *arg, struct buf *out);

#endif
