/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_reply.h - a table of our own replies, a parser for the upstream's, and one writer for both.
 *
 * RFC 5321 4.2, RFC 2034 / 3463 (enhanced codes).
 */
#ifndef SMTP_SMTP_REPLY_H
#define SMTP_SMTP_REPLY_H

#include "core/buf.h"
#include "smtp/smtp_parse.h"

#define REPLY_LINE_MAX 512       /* of a line to a client, CRLF included */
#define REPLY_UPSTREAM_LINE 4096 /* of a line from an upstream */
#define REPLY_UPSTREAM_LINES 200
#define REPLY_UPSTREAM_BYTES 65536

struct reply {
    unsigned code;         /* 200..599 */
    struct slice enhanced; /* "5.1.1", or empty */
    struct slice text;     /* lines joined by '\n', without codes; may be empty */
};

/* A heap copy that outlives its source.  reply_free() frees it and clears the pointer. */
struct reply *reply_copy(const struct reply *r) MUST_USE;
void reply_free(struct reply **r);

static inline bool reply_is(const struct reply *r, unsigned digit)
{
    return r->code / 100 == digit;
}

/* Is it 25x?  220 and 221 answer other commands, so here they would mean that replies are out of step. */
static inline bool reply_accepts(const struct reply *r)
{
    return r->code / 10 == 25;
}

/*
 * Writes "code[-| ]enhanced text CRLF" for each line of the text: only printable ASCII (and UTF-8 if `utf8`), lines cut
 * at 512 octets, at most 200 lines.  Replaces an enhanced code of another class than the reply's by x.0.0 (RPL-03,
 * RPL-04).  with_enhanced false writes none: greeting, EHLO and 354 have none, HELO sessions do.  suffix: " [ULID]" to
 * append to the last line, or empty.
 */
void reply_write(struct buf *out, const struct reply *r, bool with_enhanced, bool utf8, struct slice suffix);

/* ---- our own replies, with all their texts ---- */

/*  X(NAME, code, "enhanced", "text") */
#define REPLY_LIST(X)                                                                                        \
    X(OK, 250, "2.0.0", "Ok")                                                                                \
    X(SENDER_OK, 250, "2.1.0", "Sender ok")                                                                  \
    X(RCPT_OK, 250, "2.1.5", "Recipient ok")                                                                 \
    X(BYE, 221, "2.0.0", "Bye")                                                                              \
    X(START_DATA, 354, "", "End data with <CR><LF>.<CR><LF>")                                                \
    X(START_TLS, 220, "2.0.0", "Ready to start TLS")                                                         \
    X(VRFY, 252, "2.0.0", "Send some mail, and the recipient will be checked")                               \
    X(HELP, 214, "2.0.0", "See RFC 5321")                                                                    \
    X(SHUTDOWN, 421, "4.3.2", "Service is restarting, please try again")                                     \
    X(IDLE, 421, "4.4.2", "Timeout, closing the connection")                                                 \
    X(TOO_MANY_CONNECTIONS, 421, "4.3.2", "Too many connections, please try again later")                    \
    X(CLIENT_CONNECTIONS, 421, "4.7.0", "Too many connections from your address")                            \
    X(CLIENT_RATE, 421, "4.7.0", "Too many connections in a short time from your address")                   \
    X(BANNED, 421, "4.7.0", "Your address is blocked for a while after protocol abuse")                      \
    X(TOO_MANY_ERRORS, 421, "4.7.0", "Too many errors, closing the connection")                              \
    X(TOO_MANY_IDLE_COMMANDS, 421, "4.7.0", "Too many commands without a message")                           \
    X(TOO_MANY_REFUSED, 421, "4.7.0", "Too many refused recipients")                                         \
    X(TOO_MANY_MESSAGES, 421, "4.7.0", "Enough messages in one session, please connect again")               \
    X(SESSION_TIME, 421, "4.4.2", "The session has lasted too long, please connect again")                   \
    X(UNKNOWN_COMMAND, 500, "5.5.2", "Command not recognized")                                               \
    X(LINE_TOO_LONG, 500, "5.5.2", "Line too long")                                                          \
    X(BARE_LF, 521, "5.5.2", "Lines must end with CR LF; a bare LF was received")                            \
    X(NUL, 501, "5.5.2", "NUL or control character in a command")                                            \
    X(NOT_IMPLEMENTED, 502, "5.5.1", "Command not implemented")                                              \
    X(NOT_SMTP, 521, "5.5.1", "This is a mail server")                                                       \
    X(SYNTAX, 501, "5.5.4", "Syntax error in parameters or arguments")                                       \
    X(BAD_SENDER, 501, "5.1.7", "Bad sender address syntax")                                                 \
    X(BAD_RECIPIENT, 501, "5.1.3", "Bad recipient address syntax")                                           \
    X(UTF8_NEEDED, 553, "5.6.7", "Address is not ASCII; SMTPUTF8 is needed")                                 \
    X(BAD_UTF8, 553, "5.6.7", "Address is not valid UTF-8 or its domain is not valid")                       \
    X(UNKNOWN_PARAM, 555, "5.5.4", "Unsupported parameter")                                                  \
    X(SAY_HELLO, 503, "5.5.1", "Send EHLO or HELO first")                                                    \
    X(MAIL_FIRST, 503, "5.5.1", "MAIL is needed first")                                                      \
    X(NESTED_MAIL, 503, "5.5.1", "A transaction is already open")                                            \
    X(NO_RECIPIENTS, 503, "5.5.1", "No valid recipients")                                                    \
    X(OUT_OF_ORDER, 503, "5.5.1", "Bad sequence of commands")                                                \
    X(PIPELINED_DATA, 554, "5.5.0", "Message sent before the reply to DATA")                                 \
    X(PIPELINING, 503, "5.5.1", "This command must be the last of a group")                                  \
    X(RELAY_DENIED, 550, "5.7.1", "We do not relay mail for this domain")                                    \
    X(ROUTED_LOCAL, 550, "5.7.1", "Local parts that route mail are not accepted")                            \
    X(UNKNOWN_USER, 550, "5.1.1", "No such user here")                                                       \
    X(SECOND_ROUTE, 452, "4.5.3", "One destination per message, please send this recipient separately")      \
    X(TOO_MANY_RECIPIENTS, 452, "4.5.3", "Too many recipients, please send the rest separately")             \
    X(MESSAGE_RATE, 451, "4.7.1", "Too many messages from your address, please try again later")             \
    X(TOO_BIG, 552, "5.3.4", "Message is larger than the limit")                                             \
    X(NO_MEMORY, 452, "4.3.1", "Insufficient system resources, please try again later")                      \
    X(HEADERS_TOO_BIG, 552, "5.3.4", "Message header section is too large")                                  \
    X(BARE_NEWLINE, 550, "5.6.11", "Message contains bare CR or LF")                                         \
    X(NUL_IN_MESSAGE, 554, "5.6.0", "Message contains NUL characters")                                       \
    X(LOOP, 554, "5.4.6", "Routing loop: too many Received lines")                                           \
    X(NEEDS_UTF8, 555, "5.6.7", "The destination cannot take internationalized addresses")                   \
    X(UTF8_ELSEWHERE, 452, "4.3.3",                                                                          \
      "This destination has no SMTPUTF8, please send this recipient separately")                             \
    X(NEEDS_UTF8_HEADERS, 554, "5.6.9", "The destination cannot take internationalized headers")             \
    X(BDAT_COUNT, 501, "5.5.4", "BDAT without a valid size, closing the connection")                         \
    X(BDAT_REFUSED, 503, "5.5.1", "BDAT is not possible now")                                                \
    X(DATA_TIMEOUT, 421, "4.4.2", "Timeout while receiving the message")                                     \
    X(UP_UNREACHABLE, 451, "4.4.1", "Upstream not reachable, please try again later")                        \
    X(UP_LOST, 451, "4.4.2", "Connection to the upstream was lost, please try again later")                  \
    X(UP_TIMEOUT, 451, "4.4.2", "Upstream did not answer in time, please try again later")                   \
    X(UP_UNKNOWN, 451, "4.4.2", "Upstream did not confirm the message, please try again later")              \
    X(UP_PROTOCOL, 451, "4.3.0", "Upstream gave no valid reply, please try again later")                     \
    X(UP_BUSY, 451, "4.3.2", "Upstream is busy, please try again later")                                     \
    X(UP_REFUSES_US, 451, "4.3.5", "The mail system here is misconfigured, please try again later")          \
    X(UP_CHANGED, 451, "4.3.0", "The destination changed its answer, please try again later")                \
    X(UP_TLS, 451, "4.7.0", "No secure connection to the upstream, please try again later")                  \
    X(UP_TLS_VERIFY, 451, "4.7.5", "The upstream's certificate is not valid, please try again later")        \
    X(TLS_REQUIRED, 530, "5.7.0", "Must issue a STARTTLS command first")                                     \
    X(TLS_UNAVAILABLE, 454, "4.7.0", "TLS is not available now")                                             \
    X(TLS_INJECTION, 501, "5.5.1", "Nothing may follow STARTTLS before its reply")                           \
    X(TLS_ACTIVE, 503, "5.5.1", "TLS is already active")                                                     \
    X(XCLIENT_DENIED, 550, "5.7.0", "XCLIENT is not for you")

enum reply_id {
#define X(name, code, enhanced, text) REPLY_##name,
    REPLY_LIST(X)
#undef X
        REPLY_COUNT,
};

extern const struct reply reply_table[REPLY_COUNT];

/* Our reply to a parse error; REPLY_OK for PARSE_OK. */
enum reply_id reply_of_parse(enum parse_status status);

/* Puts the session's id, which ends our refusals: " [ULID]". */
void reply_put_suffix(struct buf *out, const char *session_id);

/* ---- the upstream's replies ---- */

struct reply_parser {
    struct buf text; /* lines collected so far, joined by '\n' */
    unsigned code;   /* of the first line; 0 before it */
    unsigned lines;
    size_t bytes;
    char enhanced[12];
    bool bad;          /* malformed: reported at the last line or a limit */
    bool over;         /* a reply was returned: the next feed begins another */
    size_t line_start; /* in text: start of the incomplete line */
};

enum reply_status {
    REPLY_MORE = 0, /* needs more octets */
    REPLY_DONE,     /* *out is filled; its slices live until the next feed or reset */
    REPLY_BAD,      /* not a reply (RPL-05, -09, -10): close the connection */
};

void reply_parser_init(struct reply_parser *p);
void reply_parser_fini(struct reply_parser *p);
void reply_parser_reset(struct reply_parser *p);

/* Takes octets; *used is the number that belong to this reply, up to the end of its last line.  REPLY_MORE: took all
 * octets and keeps an incomplete line, so do not feed them again. */
enum reply_status reply_parser_feed(struct reply_parser *p, struct slice in, size_t *used,
                                    struct reply *out) MUST_USE;

#endif
