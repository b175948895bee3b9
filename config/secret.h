/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.h - finds and masks the secrets in values of the file: passwords in URLs, query keys in zones of lists.
 *
 * Pure.  All code that shows such a value (check --print, errors, the log, explain) uses these functions.
 * policy/ may include this.
 */
#ifndef CONFIG_SECRET_H
#define CONFIG_SECRET_H

#include "core/buf.h"

#define SECRET_MASK "***"

/*
 * The user and password of a text that is one URL: all between `//` and the last `@`.  For http and https only the
 * authority counts (RFC 3986 3.2), since an `@` after it does not end a password.  Empty if the URL has none.
 */
struct slice secret_of_url(struct slice text);

/* Puts the text with SECRET_MASK in place of secret_of_url(). */
void secret_put_url(struct buf *out, struct slice text);

/* The same for a sentence: quoted, at most `max` octets (buf_put_quoted). */
void secret_put_quoted(struct buf *out, struct slice text, size_t max);

/* Does the text have a mask in place of the secret, because it was copied from a printed configuration? */
bool secret_is_masked(struct slice text);

/*
 * Puts a zone with SECRET_MASK in place of each label of 16 or more octets.  Leaves the last `tail` octets, which are
 * public, and ${NAME}, which is not a label.
 */
void secret_put_zone(struct buf *out, struct slice zone, size_t tail);

/* Octets of the last two labels, which are the public part of an unknown zone. */
size_t secret_zone_tail(struct slice zone);

/* Does the text contain a label of `zone` that its masked form `shown` hides?  Ignores case. */
bool secret_repeated(struct slice zone, struct slice shown, struct slice text);

#endif
