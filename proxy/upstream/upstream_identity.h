/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_identity.h - who the client is, in words that a server behind understands.
 *
 *   XCLIENT    replaces the client for all that the server decides; holds for the connection until the
 *              next one
 *   XFORWARD   only for the server's log; holds for one transaction
 *   PROXY      the first octets of a connection, which then serves one client only: smtp/proxy_put.h
 *
 * Pure.  Values of XCLIENT and XFORWARD are xtext (RFC 3461 4), "[UNAVAILABLE]" where nothing is known, and
 * an IPv6 address has "IPV6:" in front.  LOGIN is never said: nobody logs in here.  A command has at most 512
 * octets, so there may be two.
 */
#ifndef PROXY_UPSTREAM_UPSTREAM_IDENTITY_H
#define PROXY_UPSTREAM_UPSTREAM_IDENTITY_H

#include "core/buf.h"
#include "smtp/envelope.h"

#define IDENTITY_COMMAND_MAX 512 /* CRLF included */
#define IDENTITY_MAX 2048        /* all commands for one client */

/* Attributes that an EHLO reply lists and that we can say, as bits; 0: not offered, or none that is known. */
struct identity_offer {
    unsigned xclient, xforward;
};
void identity_learn(struct slice ehlo_text, struct identity_offer *out);

/* All commands with all attributes of `offered`, CRLF behind each; nothing for 0. */
void identity_put_xclient(struct buf *out, const struct envelope *env, unsigned offered);
void identity_put_xforward(struct buf *out, const struct envelope *env, unsigned offered);

/* The client's own EHLO or HELO name, if a server can be expected to take it. */
bool identity_helo_usable(struct slice helo);

#endif
