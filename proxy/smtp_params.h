/*
 * smtp_params.h - ESMTP parameters of MAIL and RCPT.  Private to smtp_parse.c and smtp_params.c.
 */
#ifndef PROXY_SMTP_PARAMS_H
#define PROXY_SMTP_PARAMS_H

#include "proxy/smtp_parse.h"

#define ENVID_MAX 100 /* RFC 3461 4.4 */
#define ORCPT_MAX 500 /* RFC 3461 4.2 */

struct mail_params { /* slices of the command line */
    bool size_given, smtputf8;
    uint64_t size;
    enum body_type body;
    enum dsn_ret ret;
    struct slice envid;
};

/* `rest`: what follows the path.  PARSE_OK, _BAD_PARAM, _UNKNOWN_PARAM or _UTF8_NEEDED. */
enum parse_status params_mail(struct slice rest, const struct smtp_offer *offer,
                              struct mail_params *out) MUST_USE;

struct rcpt_params {
    struct slice notify, orcpt; /* of the command line, notify in any case */
};
enum parse_status params_rcpt(struct slice rest, const struct smtp_offer *offer, bool utf8,
                              struct rcpt_params *out) MUST_USE;

#endif
