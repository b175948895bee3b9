/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.h - what must not be shown of a value of the file: passwords in URLs, query keys in zones of lists.
 *
 * Pure.  All code that shows such a value (check --print, errors, the log, explain) uses these functions.
 * policy/ may include this.
 */
#ifndef CONFIG_SECRET_H
#define CONFIG_SECRET_H

#include "core/buf.h"

#define SECRET_MASK "***"

/*
 * The user and password of a URL that stands alone: all between `//` and the last `@`.  For http and https only within
 * the authority (RFC 3986 3.2), since an `@` behind it is no end of a password.  Empty if there is none.
 */
struct slice secret_of_url(struct slice text);

/* The value with SECRET_MASK for what secret_of_url() finds. */
void secret_put_url(struct buf *out, struct slice text);

/* The same in a sentence: quoted, `max` octets at most (buf_put_quoted). */
void secret_put_quoted(struct buf *out, struct slice text, size_t max);

/* A mask where the secret should be: the text came from a printed configuration. */
bool secret_is_masked(struct slice text);

/*
 * A zone with SECRET_MASK for each label of 16 or more octets, wherever it stands, but for the last `tail` octets, which
 * are public.  ${NAME} is no label: it is kept as it is written.
 */
void secret_put_zone(struct buf *out, struct slice zone, size_t tail);

/* Octets of the last two labels: what is public of an unknown zone. */
size_t secret_zone_tail(struct slice zone);

/* Does the text repeat a label of `zone` that `shown`, made from it, does not show?  Case makes no difference. */
bool secret_repeated(struct slice zone, struct slice shown, struct slice text);

#endif
