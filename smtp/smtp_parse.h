/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_parse.h - command lines: verbs, paths, parameters (RFC 5321 4.1, 3461, 1870, 6152, 6531, 3030).
 *
 * Pure: slices in, structs of slices out; memory only from the given arena; no log, no clock.  Results are
 * canonical.  The proxy makes commands to the upstream from them and never copies the client's text.
 */
#ifndef SMTP_SMTP_PARSE_H
#define SMTP_SMTP_PARSE_H

#include "core/addr.h"
#include "core/arena.h"
#include "smtp/envelope.h"

/* Returns the verb (case unchanged) and sets *arg to the rest of the line, without blanks around it. */
struct slice smtp_verb(struct slice line, struct slice *arg);

enum parse_status {
    PARSE_OK = 0,
    PARSE_SYNTAX,        /* 501 5.5.4: does not match the command's syntax */
    PARSE_BAD_SENDER,    /* 501 5.1.7 */
    PARSE_BAD_RECIPIENT, /* 501 5.1.3 */
    PARSE_SOURCE_ROUTE,  /* never returned: a stripped route (RFC 5321 appendix C) is PARSE_OK and
                          * recipient.routed */
    PARSE_UTF8_NEEDED,   /* 553 5.6.7: octets above 127 without the SMTPUTF8 parameter */
    PARSE_BAD_UTF8,      /* 501 5.6.7 / 5.1.3: not UTF-8, or a domain that IDNA refuses */
    PARSE_BAD_PARAM,     /* 501 5.5.4: bad value, or given twice */
    PARSE_UNKNOWN_PARAM, /* 555 5.5.4 */
    PARSE_NO_MEMORY,     /* 452 4.3.1: the arena is full */
};

/* The extensions that we offered to this session.  Parameters of others are unknown (ADR-07). */
struct smtp_offer {
    bool esmtp; /* EHLO, not HELO */
    bool size, eightbitmime, smtputf8, dsn;
    bool dsn_success;  /* pass on NOTIFY=SUCCESS */
    uint64_t size_max; /* 0: no limit */
};

/* The first word of the argument of EHLO or HELO, or empty.  Sets *junk if more follows. */
struct slice smtp_parse_helo(struct slice arg, bool *junk);

/*
 * "FROM:<path> params".  Fills env->sender*, size, body, smtputf8, ret, envid, auth (ignored).  The
 * caller checks the SIZE limit.  Drops odd notification parameters rather than refuse them (smtp_params.c).
 */
enum parse_status smtp_parse_mail(struct slice arg, const struct smtp_offer *offer, struct arena *a,
                                  struct envelope *env) MUST_USE;

/*
 * "TO:<path> params".  Fills one recipient.  `utf8` is env->smtputf8.  <postmaster> alone gives
 * local "postmaster" and an empty domain.
 */
enum parse_status smtp_parse_rcpt(struct slice arg, const struct smtp_offer *offer, bool utf8,
                                  struct arena *a, struct recipient *out) MUST_USE;

/* Parses "n" or "n LAST", in any case.  False: the count is unknown, so the caller must close (BDT-13). */
bool smtp_parse_bdat(struct slice arg, uint64_t *count, bool *last) MUST_USE;

/* Checks xtext (RFC 3461 4), and encodes it, for XCLIENT and the like. */
bool xtext_valid(struct slice s);
void xtext_put(struct buf *b, struct slice s);

/* Could the local part make another server relay?  True for '%', '!' or '|' anywhere, a leading '/', an '@' inside
 * quotes (RLY-02, -03, -06). */
bool local_part_routes(struct slice local);

/*
 * Does the local part disguise another address?  True for IMCEASMTP-, which Exchange unpacks and sends on, and for wide
 * forms of '@' and the like, which a server may fold.  False for IMCEAEX-, an X.500 name of Exchange's own users.
 */
bool local_part_encapsulates(struct slice local);

/* Is this a first word that no mail client sends (GRT-09): GET, POST, PUT, HEAD, OPTIONS, CONNECT, ...? */
bool smtp_forbidden_verb(struct slice verb);

#endif
