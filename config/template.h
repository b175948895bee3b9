/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - "text {fact} text{? optional {fact}}" in replies, tags, added headers and the banner.
 *
 * Pure.  `{{` is a brace.  An empty value renders as `-`.  An optional part runs from `{?` to its `}` and is left out
 * if one of its values is empty.  Optional parts do not nest.  The load checks all names (template_valid), so
 * rendering meets no unknown one.  The caller must sanitise the result: replies reduce it to printable ASCII, headers
 * fold and encode it.
 */
#ifndef CONFIG_TEMPLATE_H
#define CONFIG_TEMPLATE_H

#include "core/buf.h"

/* Puts the value of one name.  False: no such name. */
typedef bool (*template_lookup)(void *arg, struct slice name, struct buf *out);

/*
 * Are all names known and all braces closed?  False: *bad is the first fault, a part of `text`.
 * The callback may record the names that it gets.
 */
typedef bool (*template_known)(void *arg, struct slice name);
bool template_valid(struct slice text, template_known known, void *arg, struct slice *bad) MUST_USE;

void template_render(struct slice text, template_lookup lookup, void *arg, struct buf *out);

#endif
