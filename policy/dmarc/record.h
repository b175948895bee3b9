/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - one DMARC policy record (RFC 9989 4.7, 4.8).
 *
 * Pure; allocates nothing.  Text from a peer: each octet is read a bounded number of times.
 */
#ifndef POLICY_DMARC_RECORD_H
#define POLICY_DMARC_RECORD_H

#include "core/slice.h"

enum dmarc_policy {
    DMARC_POLICY_NONE = 0,
    DMARC_POLICY_QUARANTINE,
    DMARC_POLICY_REJECT,
    DMARC_POLICY_COUNT,
};

const char *dmarc_policy_text(enum dmarc_policy policy); /* "none", "quarantine", "reject" */

enum dmarc_psd {
    DMARC_PSD_UNKNOWN = 0, /* psd=u, or no valid psd= */
    DMARC_PSD_YES,
    DMARC_PSD_NO,
};

struct dmarc_record {
    enum dmarc_policy p, sp, np; /* sp and np: defaults applied (np, then sp, then p) */
    bool has_sp, has_np;         /* the record itself has them */
    bool no_policy;   /* no valid p, or an invalid sp or np; and no valid rua: DMARC does not apply */
    bool substituted; /* likewise, but with a valid rua: p, sp and np are all "none" (RFC 9989 4.10.1) */
    bool testing;     /* t=y */
    bool has_rua;     /* at least one valid URI */
    bool strict_spf, strict_dkim;
    enum dmarc_psd psd;
};

/*
 * Reads a record.  False: it does not start with `v=DMARC1`, so it is no DMARC record.  Errors behind the version never
 * make a record invalid (RFC 9989 4.8): such a tag is ignored, and of a tag that stands twice the first counts.
 */
bool dmarc_record_read(struct slice text, struct dmarc_record *out) MUST_USE;

#endif
