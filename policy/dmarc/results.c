/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results.c - the words of results, and reasons for people.
 *
 * RFC     9989 9.2
 */
#include "policy/dmarc/dmarc.h"

const char *dmarc_result_text(enum dmarc_result result)
{
    static const char *const words[DMARC_RESULT_COUNT] = {
        [DMARC_NONE] = "none",           [DMARC_PASS] = "pass",           [DMARC_FAIL] = "fail",
        [DMARC_TEMPERROR] = "temperror", [DMARC_PERMERROR] = "permerror",
    };

    return words[result];
}

static const struct {
    enum dmarc_result result;
    const char *text;
} reasons[DMARC_REASON_COUNT] = {
    [DMARC_UNDECIDED] = { DMARC_NONE, "not decided yet" },
    [DMARC_ALIGNED] = { DMARC_PASS, "an authenticated domain is aligned with the author" },
    [DMARC_UNALIGNED] = { DMARC_FAIL, "no authenticated domain is aligned with the author" },
    [DMARC_UNAUTHENTICATED] = { DMARC_FAIL, "neither SPF nor DKIM passed" },
    [DMARC_NO_RECORD] = { DMARC_NONE, "the author's domain has no DMARC record" },
    [DMARC_NO_POLICY] = { DMARC_NONE, "the DMARC record has no valid policy" },
    [DMARC_RECORD_UNKNOWN] = { DMARC_TEMPERROR, "the lookup of the DMARC record failed" },
    [DMARC_ALIGNMENT_UNKNOWN] = { DMARC_TEMPERROR, "a lookup for the alignment of a domain failed" },
    [DMARC_IDENTITY_UNKNOWN] = { DMARC_TEMPERROR, "SPF or DKIM of an aligned domain had a temporary error" },
    [DMARC_EXISTENCE_UNKNOWN] = { DMARC_TEMPERROR, "it is unknown whether the author's domain exists" },
    [DMARC_NO_AUTHOR] = { DMARC_PERMERROR, "the message has no single valid author domain" },
};

const char *dmarc_reason_text(enum dmarc_reason reason)
{
    return reasons[reason].text;
}

enum dmarc_result dmarc_reason_result(enum dmarc_reason reason)
{
    return reasons[reason].result;
}

const char *dmarc_published_text(enum dmarc_published published)
{
    static const char *const words[DMARC_PUBLISHED_COUNT] = {
        [DMARC_PUBLISHED_NONE] = "none",
        [DMARC_PUBLISHED_QUARANTINE] = "quarantine",
        [DMARC_PUBLISHED_REJECT] = "reject",
        [DMARC_PUBLISHED_TEMPERROR] = "temperror",
    };

    return words[published];
}
