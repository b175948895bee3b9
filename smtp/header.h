/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.h - the header section at the relay: what is stripped, what is added on top.
 *
 * Pure.  Fields are found by the reader of smtp/field.h (they end at the first line that is neither field
 * nor continuation, HDR-10); what stays keeps its octets.  Added lines are one block above the message, our own
 * Received on top (HDR-17); the body is never touched (HDR-03).
 */
#ifndef SMTP_HEADER_H
#define SMTP_HEADER_H

#include "smtp/envelope.h"
#include "smtp/field.h"

struct header_rules { /* what the configuration says, borrowed */
    const struct config_headers *conf;
    const char *hostname;
    bool (*adds)(const void *arg,
                 struct slice name); /* may one of our own fields have this name?  NULL: none */
    const void *adds_arg;
};

/*
 * Is it to be taken out: X-Glacis-*, a name of headers.strip, a name that a rule's `tag` or headers.add
 * writes (HDR-07: a reader must be able to believe it), or Authentication-Results that a reader could take for
 * ours (HDR-01, authserv.h)?
 */
bool header_stripped(const struct header_field *f, const struct header_rules *rules);

/*
 * Rewrites the section `head` (which may be longer than the section: only fields are looked at) into *out:
 * `added` first, then the fields that stay, then, if the section ends at a line that is no field, an empty
 * line, so that no body octet becomes a header and no continuation joins ours (HDR-08, -10, -12).  A first
 * line "From " or ">From " is dropped (HDR-11).  Returns how many octets of `head` are replaced by *out; what
 * follows is sent as it is.
 */
size_t header_rewrite(struct slice head, struct slice added, const struct header_rules *rules,
                      struct buf *out);

/* How many of our own Received fields it has already seen ("by <hostname> with ... id"), RCV-07. */
unsigned header_own_hops(struct slice head, struct slice hostname);

struct received {      /* RFC 5321 4.4, RFC 3848, RFC 6531, RFC 8314 7.4 */
    struct slice helo; /* sanitised here (RCV-04) */
    struct slice rdns; /* verified name or empty */
    struct addr client;
    struct slice hostname;
    struct slice id;          /* session id and message number */
    struct slice single_rcpt; /* the only recipient, or empty: then no `for` */
    bool esmtp, tls, utf8;
    struct slice tls_clause; /* "TLS1.3 ..." text for the comment / tls clause, or empty */
    int64_t date_s;          /* wall clock */
};
void header_put_received(struct buf *out, const struct received *r);

/* An RFC 5322 date in UTC: "Sat, 21 Nov 2026 21:35:00 +0000". */
void header_put_date(struct buf *out, int64_t date_s);

#endif
