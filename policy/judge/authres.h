/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authres.h - writes Authentication-Results (RFC 8601) and Received-SPF (RFC 7208 9.1).
 *
 * Pure text.  Checks peer input (HELO, MAIL FROM, names) against its grammar and leaves it out if it is invalid, so
 * it cannot end a value, a line or a comment.  Never writes explanations of domains or texts of libraries.
 * smtp/header.h removes forged fields.
 */
#ifndef POLICY_JUDGE_AUTHRES_H
#define POLICY_JUDGE_AUTHRES_H

#include "policy/dkim/dkim.h"
#include "policy/dmarc/dmarc.h"
#include "policy/spf/spf.h"

struct authres {
    struct slice authserv_id;
    struct addr client;
    struct slice sender;                /* MAIL FROM without <>; empty: the null sender */
    struct slice helo;                  /* as received */
    const struct spf_verdict *spf;      /* of MAIL FROM, or of HELO for the null sender; NULL: not checked */
    const struct spf_verdict *spf_helo; /* NULL: not checked */
    struct slice iprev;      /* pass fail temperror permerror, or none ("fail" there); empty: not checked */
    struct slice rdns;       /* the verified name; empty: none */
    bool verified;           /* the message was checked for signatures */
    const struct dkim *dkim; /* NULL: it has no signature */
    const struct dmarc_outcome *dmarc; /* NULL: not evaluated */
    struct slice author; /* the domain that DMARC is about, in A-labels; empty: none, or several */
};

/*
 * The whole field with its CRLF, one result a line.  Leaves out a result that cannot name its HELO or sender.
 * Without any result it writes "none" (RFC 8601 2.2):
 *
 *     Authentication-Results: mx.example.com;
 *      spf=pass smtp.mailfrom=joe@example.org;
 *      dkim=pass header.d=example.org header.s=mail header.a=rsa-sha256 header.b=dzdVyOfA;
 *      dmarc=pass header.from=example.org policy.dmarc=reject;
 *      iprev=pass policy.iprev=192.0.2.1 (mail.example.org)
 */
void authres_put(struct buf *out, const struct authres *a);

/* Received-SPF for `spf`, or else for `spf_helo`; nothing if both are NULL. */
void authres_put_received_spf(struct buf *out, const struct authres *a);

#endif
