/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unknown_rcpt.h - a cache of recipients that an upstream does not know.
 *
 * It keeps only a refusal for an unknown mailbox (550 5.1.1 or 5.1.10: relay_map.c), by upstream and address, with its
 * text.  One cache a worker, bounded by UNKNOWN_MAX, UNKNOWN_ADDRESS_MAX and UNKNOWN_TEXT_MAX; drops the oldest first.
 */
#ifndef PROXY_UPSTREAM_UNKNOWN_RCPT_H
#define PROXY_UPSTREAM_UNKNOWN_RCPT_H

#include "smtp/smtp_reply.h"

#define UNKNOWN_MAX 20000       /* addresses */
#define UNKNOWN_ADDRESS_MAX 400 /* octets of an address: a longer one is not cached */
#define UNKNOWN_TEXT_MAX 1024   /* octets of a reply's text: a longer one is not cached */

struct unknown_rcpt;

struct unknown_rcpt *unknown_rcpt_new(size_t max) MUST_USE;
void unknown_rcpt_free(struct unknown_rcpt **u); /* NULL is allowed */

/* Copies, unless address or text is too long.  A cached address gets the new reply and time. */
void unknown_rcpt_remember(struct unknown_rcpt *u, unsigned upstream, struct slice address,
                           const struct reply *reply, uint64_t until_ms);

/* Borrowed until the next call; NULL: not cached. */
const struct reply *unknown_rcpt_find(struct unknown_rcpt *u, unsigned upstream, struct slice address,
                                      uint64_t now_ms);

#endif
