/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope.h - the envelope of a transaction: sender, recipients, parameters, client.
 *
 * Plain data in the transaction's arena.  smtp_parse.c makes it, recipient.c judges it, upstream.c sends it.
 * Addresses are canonical: the domain is in lower-case A-labels (UTF-04) unless SMTPUTF8 keeps a non-ASCII
 * local part; the local part is as received, with its quotes.
 */
#ifndef SMTP_ENVELOPE_H
#define SMTP_ENVELOPE_H

#include "config/config.h"
#include "core/addr.h"
#include "core/slice.h"

enum body_type { BODY_NOT_GIVEN = 0, BODY_7BIT, BODY_8BITMIME };
enum dsn_ret { RET_NOT_GIVEN = 0, RET_FULL, RET_HDRS };

struct recipient {
    struct slice local;               /* as received, with its quotes */
    struct slice domain;              /* lower-case A-labels, or an address literal; empty for <postmaster> */
    struct slice address;             /* local@domain, for the upstream and logs */
    struct slice notify;              /* NOTIFY= value, canonical upper case; empty if not given */
    struct slice orcpt;               /* ORCPT= value, still xtext; empty if not given */
    bool utf8;                        /* the local part is not ASCII */
    bool routed;                      /* a source route was stripped */
    bool judged;                      /* the rules ran for it */
    const struct config_domain *home; /* set by recipient.c: its entry of `domains` */
};

struct envelope {
    struct slice sender; /* local@domain; empty for the null sender */
    struct slice sender_local, sender_domain;
    bool sender_null;
    bool sender_utf8; /* the local part is not ASCII */
    bool size_given;
    uint64_t size; /* SIZE= */
    enum body_type body;
    bool smtputf8; /* the parameter was given */
    enum dsn_ret ret;
    struct slice envid; /* still xtext; empty if not given */

    struct recipient **rcpt; /* accepted ones, in order */
    size_t rcpt_count;

    /* the client: for XCLIENT, XFORWARD, PROXY and the fair queue */
    struct addr client; /* with port */
    struct addr local;  /* our own end */
    struct slice rdns;  /* verified name or empty */
    struct slice helo;  /* the client's EHLO or HELO name, sanitised (RCV-04) */
    bool esmtp;
    bool client_exempt;     /* private client: no shares by address */
    bool client_good;       /* known to be in good standing: first in the queue */
    const char *session_id; /* ULID */
};

#endif
