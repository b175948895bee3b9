/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authres.h - what was found out, as Authentication-Results (RFC 8601) and Received-SPF (RFC 7208 9.1).
 *
 * Pure text.  What came from outside (HELO, MAIL FROM, names) is checked against its grammar and left out if
 * it does not pass; it cannot end a value, a line or a comment.  Explanations of domains and texts of
 * libraries are never written.  Removing forged fields is smtp/header.h's business.
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
    struct slice helo;                  /* as it came */
    const struct spf_verdict *spf;      /* of MAIL FROM, or of HELO for the null sender; NULL: not asked */
    const struct spf_verdict *spf_helo; /* NULL: not asked */
    struct slice iprev;      /* pass fail temperror permerror, or none ("fail" there); empty: not asked */
    struct slice rdns;       /* the verified name; empty: none */
    bool verified;           /* the message was looked at for signatures */
    const struct dkim *dkim; /* NULL: it has none */
    const struct dmarc_outcome *dmarc; /* NULL: not evaluated */
    struct slice author; /* the domain that DMARC is about, in A-labels; empty: none, or several */
};

/*
 * The whole field with its CRLF, one result a line; a result that cannot name its HELO or sender is left out.
 * Without any result it says "none" (RFC 8601 2.2):
 *
 *     Authentication-Results: mx.example.com;
 *      spf=pass smtp.mailfrom=joe@example.org;
 *      dkim=pass header.d=example.org header.s=mail header.a=rsa-sha256 header.b=dzdVyOfA;
 *      dmarc=pass header.from=example.org policy.dmarc=reject;
 *      iprev=pass policy.iprev=192.0.2.1 (mail.example.org)
 */
void authres_put(struct buf *out, const struct authres *a);

/* Received-SPF for one verdict: that of `spf`, or if there is none of `spf_helo`; nothing without either. */
void authres_put_received_spf(struct buf *out, const struct authres *a);

#endif
