/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_params.h - ESMTP parameters of MAIL and RCPT.  Private to smtp_parse.c and smtp_params.c.
 */
#ifndef SMTP_SMTP_PARAMS_H
#define SMTP_SMTP_PARAMS_H

#include "smtp/smtp_parse.h"

#define ENVID_MAX 100 /* RFC 3461 4.4 */
#define ORCPT_MAX 500 /* RFC 3461 4.2 */
#define NOTIFY_MAX 21 /* SUCCESS,FAILURE,DELAY */

struct mail_params {
    bool size_given, smtputf8;
    uint64_t size;
    enum body_type body;
    enum dsn_ret ret;
    struct buf envid; /* canonical xtext; empty: not given, or not fit to pass on */
    char envid_mem[ENVID_MAX + 1];
};

/* `rest`: the text after the path.  Returns PARSE_OK, _BAD_PARAM, _UNKNOWN_PARAM or _UTF8_NEEDED. */
enum parse_status params_mail(struct slice rest, const struct smtp_offer *offer,
                              struct mail_params *out) MUST_USE;

struct rcpt_params {
    struct buf notify, orcpt; /* canonical; empty as above */
    char notify_mem[NOTIFY_MAX + 1], orcpt_mem[ORCPT_MAX + 1];
};
enum parse_status params_rcpt(struct slice rest, const struct smtp_offer *offer, bool utf8,
                              struct rcpt_params *out) MUST_USE;

#endif
