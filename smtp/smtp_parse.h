/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_parse.h - command lines: verbs, paths, parameters (RFC 5321 4.1, 3461, 1870, 6152, 6531, 3030).
 *
 * Pure: slices in, structs of slices out; memory only from the given arena; no log, no clock.  What is
 * returned is canonical: commands to the upstream are made from it and never copied from the client.
 */
#ifndef SMTP_SMTP_PARSE_H
#define SMTP_SMTP_PARSE_H

#include "core/addr.h"
#include "core/arena.h"
#include "smtp/envelope.h"

/* The verb (letters as they came) and what follows it, blanks around removed. */
struct slice smtp_verb(struct slice line, struct slice *arg);

enum parse_status {
    PARSE_OK = 0,
    PARSE_SYNTAX,        /* 501 5.5.4: not the shape of this command */
    PARSE_BAD_SENDER,    /* 501 5.1.7 */
    PARSE_BAD_RECIPIENT, /* 501 5.1.3 */
    PARSE_SOURCE_ROUTE,  /* not given: a stripped route (RFC 5321 appendix C) is PARSE_OK and recipient.routed
                          */
    PARSE_UTF8_NEEDED,   /* 553 5.6.7: octets above 127 without the SMTPUTF8 parameter */
    PARSE_BAD_UTF8,      /* 501 5.6.7 / 5.1.3: not UTF-8, or a domain that IDNA refuses */
    PARSE_BAD_PARAM,     /* 501 5.5.4: bad value, or given twice */
    PARSE_UNKNOWN_PARAM, /* 555 5.5.4 */
    PARSE_NO_MEMORY,     /* 452 4.3.1: the arena is full */
};

/* Which extensions this session was offered: parameters of others are unknown (ADR-07). */
struct smtp_offer {
    bool esmtp; /* EHLO, not HELO */
    bool size, eightbitmime, smtputf8, dsn;
    bool dsn_success;  /* NOTIFY=SUCCESS is passed on */
    uint64_t size_max; /* 0: no limit */
};

/* The argument of EHLO or HELO: first word; empty if there is none. `junk` is set if more follows. */
struct slice smtp_parse_helo(struct slice arg, bool *junk);

/*
 * "FROM:<path> params".  Fills env->sender*, size, body, smtputf8, ret, envid, auth (ignored).  The
 * SIZE limit is not judged here.  Notification parameters are dropped rather than refused (smtp_params.c).
 */
enum parse_status smtp_parse_mail(struct slice arg, const struct smtp_offer *offer, struct arena *a,
                                  struct envelope *env) MUST_USE;

/*
 * "TO:<path> params".  Fills one recipient.  `utf8` is env->smtputf8.  <postmaster> alone gives
 * local "postmaster" and an empty domain.
 */
enum parse_status smtp_parse_rcpt(struct slice arg, const struct smtp_offer *offer, bool utf8,
                                  struct arena *a, struct recipient *out) MUST_USE;

/* "n" or "n LAST" in any case.  False: the count is not known, so the connection must close (BDT-13). */
bool smtp_parse_bdat(struct slice arg, uint64_t *count, bool *last) MUST_USE;

/* Is it xtext (RFC 3461 4)?  And its encoding, for XCLIENT and the like. */
bool xtext_valid(struct slice s);
void xtext_put(struct buf *b, struct slice s);

/* Local parts that could make another server relay: '%', '!', '|' anywhere, '/' in front, an '@' inside
 * quotes (RLY-02, -03, -06). */
bool local_part_routes(struct slice local);

/*
 * Local parts that hold another address in disguise: IMCEASMTP-, which Exchange unpacks and sends on, and wide forms
 * of '@' and the like, which a server may fold.  IMCEAEX- is an X.500 name of Exchange's own users and passes.
 */
bool local_part_encapsulates(struct slice local);

/* First words that no mail client says (GRT-09): GET, POST, PUT, HEAD, OPTIONS, CONNECT, ... */
bool smtp_forbidden_verb(struct slice verb);

#endif
