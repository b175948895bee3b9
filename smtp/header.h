/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.h - rewrites the header section at the relay: strips fields, adds ours on top.
 *
 * Pure.  The reader of smtp/field.h finds the fields; the section ends at the first line that is neither field
 * nor continuation (HDR-10).  Fields that stay keep their octets.  Added lines form one block above the message, our
 * own Received first (HDR-17).  The body is never changed (HDR-03).
 */
#ifndef SMTP_HEADER_H
#define SMTP_HEADER_H

#include "smtp/envelope.h"
#include "smtp/field.h"

struct header_rules { /* from the configuration, borrowed */
    const struct config_headers *conf;
    const char *hostname;
    bool (*adds)(const void *arg,
                 struct slice name); /* may one of our own fields have this name?  NULL: none */
    const void *adds_arg;
};

/*
 * Must the relay strip the field?  True for X-Glacis-*, names of headers.strip, names that a rule's `tag` or
 * headers.add writes (HDR-07: a reader must be able to trust those), and Authentication-Results that a reader could
 * take for ours (HDR-01, authserv.h).
 */
bool header_stripped(const struct header_field *f, const struct header_rules *rules);

/*
 * Rewrites the section at the front of `head` into *out: `added` first, then the fields that stay.  If the section ends
 * at a line that is not a field, adds an empty line.  So no body octet becomes a header and no continuation joins
 * ours (HDR-08, -10, -12).  Drops a first line "From " or ">From " (HDR-11).  Returns how many octets of `head` *out
 * replaces; the caller sends the rest unchanged.
 */
size_t header_rewrite(struct slice head, struct slice added, const struct header_rules *rules,
                      struct buf *out);

/* Counts our own Received fields in the section ("by <hostname> with ... id"), RCV-07. */
unsigned header_own_hops(struct slice head, struct slice hostname);

struct received {      /* RFC 5321 4.4, RFC 3848, RFC 6531, RFC 8314 7.4 */
    struct slice helo; /* sanitised here (RCV-04) */
    struct slice rdns; /* verified name or empty */
    struct addr client;
    struct slice hostname;
    struct slice id;          /* session id and message number */
    struct slice single_rcpt; /* the only recipient; empty: write no `for` */
    bool esmtp, tls, utf8;
    struct slice tls_clause; /* "TLS1.3 ..." text for the comment / tls clause, or empty */
    int64_t date_s;          /* wall clock */
};
void header_put_received(struct buf *out, const struct received *r);

/* An RFC 5322 date in UTC: "Sat, 21 Nov 2026 21:35:00 +0000". */
void header_put_date(struct buf *out, int64_t date_s);

#endif
