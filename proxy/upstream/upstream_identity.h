/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_identity.h - tells an upstream server who the client is.
 *
 *   XCLIENT    replaces the client in all of the server's decisions; holds for the connection until the
 *              next one
 *   XFORWARD   only for the server's log; holds for one transaction
 *   PROXY      the first octets of a connection, which then serves one client only: smtp/proxy_put.h
 *
 * Pure.  Values of XCLIENT and XFORWARD are xtext (RFC 3461 4), "[UNAVAILABLE]" if unknown, and an IPv6 address
 * starts with "IPV6:".  LOGIN is never sent, because no client authenticates here.  A command has at most 512
 * octets, so there may be two.
 */
#ifndef PROXY_UPSTREAM_UPSTREAM_IDENTITY_H
#define PROXY_UPSTREAM_UPSTREAM_IDENTITY_H

#include "core/buf.h"
#include "smtp/envelope.h"

#define IDENTITY_COMMAND_MAX 512 /* CRLF included */
#define IDENTITY_MAX 2048        /* all commands for one client */

/* Attributes that an EHLO reply lists and we can send, as bits; 0: not offered, or only unknown ones. */
struct identity_offer {
    unsigned xclient, xforward;
};
void identity_learn(struct slice ehlo_text, struct identity_offer *out);

/* Puts all commands with all attributes of `offered`, each with CRLF; nothing for 0. */
void identity_put_xclient(struct buf *out, const struct envelope *env, unsigned offered);
void identity_put_xforward(struct buf *out, const struct envelope *env, unsigned offered);

/* May we expect a server to accept the client's own EHLO or HELO name? */
bool identity_helo_usable(struct slice helo);

#endif
