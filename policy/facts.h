/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts.h - the facts about a client, its transaction and its message: one table, one array.
 *
 * Every fact has a name, a type, the first stage that can know it, and a scope that ends its life (policy-language in
 * the manual).  A session has one EHLO, one transaction and one recipient at a time, so one array holds all values.
 * facts_forget() drops a whole scope, so a second message inherits nothing.
 *
 * States     IDLE      no lookup was started
 *            PENDING   a lookup is running; it ends with an answer or its deadline
 *            UNKNOWN   could not be determined (for flags, numbers, text, names; words have `temperror`)
 *            KNOWN     the value holds
 *            SOFT      the value holds for rules without a final action; for others the fact counts as IDLE (late
 *                      lists are queried only for these)
 *            A PENDING text may already hold a partial value, for replies and tags sent before the lookup ends.
 */
#ifndef POLICY_FACTS_H
#define POLICY_FACTS_H

#include "core/addr.h"
#include "core/arena.h"
#include "core/buf.h"

enum fact_type {
    FACT_FLAG = 0,
    FACT_WORD,    /* one of the fact's words */
    FACT_WORDS,   /* a set of texts, joined by ',' */
    FACT_NAME,    /* host or domain name, lower case */
    FACT_ADDRESS, /* mail address */
    FACT_IP,
    FACT_NUMBER,   /* thousandths: 2500 is 2.5 (scores); counts are whole thousands */
    FACT_DURATION, /* ms */
    FACT_TEXT,
};

enum fact_scope { /* forgetting one also forgets those below it */
                  SCOPE_SESSION = 0,
                  SCOPE_HELO, /* each EHLO, STARTTLS */
                  SCOPE_TXN,
                  SCOPE_RECIPIENT,
};

enum fact_stage { STAGE_CONNECT = 0, STAGE_HELO, STAGE_MAIL, STAGE_RCPT, STAGE_MESSAGE };

/* Traits of a fact, for the evaluator. */
enum {
    FROM_DNS = 1, /* depends on a DNS answer, so an outage can hide it */
    OF_LISTS = 2, /* a rule without a final action waits for it only for a moment (verdict.h, hurry) */
    FACT_TEMPERROR_SHIFT = 4,
};
/* The index of `temperror` among the words. */
#define TEMPERROR_AT(index) (((index) + 1) << FACT_TEMPERROR_SHIFT)

/* Of the header section (source_message.c). */
#define HEAD_FIELD_WORDS "from date message-id sender reply-to to cc subject mime-version content-type"
#define MESSAGE_HEAD_FACTS(X)                                                                                \
    X(MESSAGE_FROM_COUNT, "message.from_count", FACT_NUMBER, STAGE_MESSAGE, SCOPE_TXN, 0, "")                \
    X(MESSAGE_FROM_DOMAINS, "message.from_domains", FACT_WORDS, STAGE_MESSAGE, SCOPE_TXN, 0, "")             \
    X(MESSAGE_AUTHOR_DOMAINS, "message.author_domains", FACT_NUMBER, STAGE_MESSAGE, SCOPE_TXN, 0, "")        \
    X(MESSAGE_FROM_DOMAIN, "message.from_domain", FACT_NAME, STAGE_MESSAGE, SCOPE_TXN, 0, "")                \
    X(MESSAGE_FROM_LOCAL, "message.from_local", FACT_TEXT, STAGE_MESSAGE, SCOPE_TXN, 0, "")                  \
    X(MESSAGE_FROM_OURS, "message.from_ours", FACT_FLAG, STAGE_MESSAGE, SCOPE_TXN, 0, "")                    \
    X(MESSAGE_NAME_ADDRESS, "message.name_address", FACT_NAME, STAGE_MESSAGE, SCOPE_TXN, 0, "")              \
    X(MESSAGE_NAME_OURS, "message.name_ours", FACT_FLAG, STAGE_MESSAGE, SCOPE_TXN, 0, "")                    \
    X(MESSAGE_IS_LIST, "message.is_list", FACT_FLAG, STAGE_MESSAGE, SCOPE_TXN, 0, "")                        \
    X(MESSAGE_MISSING, "message.missing", FACT_WORDS, STAGE_MESSAGE, SCOPE_TXN, 0, HEAD_FIELD_WORDS)         \
    X(MESSAGE_DUPLICATE, "message.duplicate", FACT_WORDS, STAGE_MESSAGE, SCOPE_TXN, 0, HEAD_FIELD_WORDS)     \
    X(MESSAGE_DATE_SKEW, "message.date_skew", FACT_DURATION, STAGE_MESSAGE, SCOPE_TXN, 0, "")                \
    X(MESSAGE_ID, "message.id", FACT_TEXT, STAGE_MESSAGE, SCOPE_TXN, 0, "")                                  \
    X(MESSAGE_BULK, "message.bulk", FACT_FLAG, STAGE_MESSAGE, SCOPE_TXN, 0, "")                              \
    X(MESSAGE_RECEIVED, "message.received", FACT_NUMBER, STAGE_MESSAGE, SCOPE_TXN, 0, "")

/* Of DKIM and DMARC. */
#define MESSAGE_AUTH_FACTS(X)                                                                                \
    X(SENDER_DMARC, "sender.dmarc", FACT_WORD, STAGE_MAIL, SCOPE_TXN, FROM_DNS | TEMPERROR_AT(3),            \
      "none quarantine reject temperror")                                                                    \
    X(DKIM, "dkim", FACT_WORD, STAGE_MESSAGE, SCOPE_TXN, FROM_DNS | TEMPERROR_AT(5),                         \
      "pass fail none policy neutral temperror permerror")                                                   \
    X(DKIM_DOMAINS, "dkim.domains", FACT_WORDS, STAGE_MESSAGE, SCOPE_TXN, FROM_DNS, "")                      \
    X(DMARC, "dmarc", FACT_WORD, STAGE_MESSAGE, SCOPE_TXN, FROM_DNS | TEMPERROR_AT(3),                       \
      "pass fail none temperror permerror")                                                                  \
    X(DMARC_POLICY, "dmarc.policy", FACT_WORD, STAGE_MESSAGE, SCOPE_TXN, FROM_DNS, "none quarantine reject") \
    X(DMARC_DOMAIN, "dmarc.domain", FACT_NAME, STAGE_MESSAGE, SCOPE_TXN, FROM_DNS, "")                       \
    X(DMARC_BY, "dmarc.by", FACT_WORDS, STAGE_MESSAGE, SCOPE_TXN, FROM_DNS, "spf dkim")                      \
    X(MESSAGE_FROM_ALIGNED, "message.from_aligned", FACT_FLAG, STAGE_MESSAGE, SCOPE_TXN, FROM_DNS, "")       \
    X(MESSAGE_SIGNED_BY_AUTHOR, "message.signed_by_author", FACT_WORD, STAGE_MESSAGE, SCOPE_TXN, FROM_DNS,   \
      "pass broken none")                                                                                    \
    X(MESSAGE_VIA_LIST, "message.via_list", FACT_FLAG, STAGE_MESSAGE, SCOPE_TXN, FROM_DNS, "")

/*  X(ID, "name", type, stage, scope, traits, "words separated by blanks" or "": for FACT_WORDS, all possible values) */
#define FACT_LIST(X)                                                                                         \
    X(CLIENT_IP, "client.ip", FACT_IP, STAGE_CONNECT, SCOPE_SESSION, 0, "")                                  \
    X(CLIENT_PRIVATE, "client.private", FACT_FLAG, STAGE_CONNECT, SCOPE_SESSION, 0, "")                      \
    X(CLIENT_RDNS, "client.rdns", FACT_NAME, STAGE_CONNECT, SCOPE_SESSION, FROM_DNS, "")                     \
    X(CLIENT_IPREV, "client.iprev", FACT_WORD, STAGE_CONNECT, SCOPE_SESSION, FROM_DNS | TEMPERROR_AT(3),     \
      "pass fail none temperror permerror")                                                                  \
    X(CLIENT_DYNAMIC, "client.dynamic", FACT_FLAG, STAGE_CONNECT, SCOPE_SESSION, FROM_DNS, "")               \
    X(CLIENT_KNOWN_GOOD, "client.known_good", FACT_FLAG, STAGE_MAIL, SCOPE_TXN, 0, "")                       \
    X(CLIENT_FIRST_SEEN, "client.first_seen", FACT_DURATION, STAGE_CONNECT, SCOPE_SESSION, 0, "")            \
    X(CLIENT_CONNECTIONS, "client.connections", FACT_NUMBER, STAGE_CONNECT, SCOPE_SESSION, 0, "")            \
    X(CLIENT_RATE, "client.rate", FACT_NUMBER, STAGE_CONNECT, SCOPE_SESSION, 0, "")                          \
    X(PROTOCOL_PREGREET, "protocol.pregreet", FACT_FLAG, STAGE_CONNECT, SCOPE_SESSION, 0, "")                \
    X(PROTOCOL_VIOLATIONS, "protocol.violations", FACT_NUMBER, STAGE_CONNECT, SCOPE_RECIPIENT, 0, "")        \
    X(REPUTATION_LISTED, "reputation.listed", FACT_FLAG, STAGE_CONNECT, SCOPE_TXN, FROM_DNS | OF_LISTS, "")  \
    X(REPUTATION_SCORE, "reputation.score", FACT_NUMBER, STAGE_CONNECT, SCOPE_TXN, FROM_DNS | OF_LISTS, "")  \
    X(REPUTATION_LISTS, "reputation.lists", FACT_WORDS, STAGE_CONNECT, SCOPE_TXN, FROM_DNS | OF_LISTS, "")   \
    X(REPUTATION_MONITORED, "reputation.monitored", FACT_WORDS, STAGE_CONNECT, SCOPE_TXN, FROM_DNS, "")      \
    X(REPUTATION_INCOMPLETE, "reputation.incomplete", FACT_FLAG, STAGE_CONNECT, SCOPE_TXN,                   \
      FROM_DNS | OF_LISTS, "")                                                                               \
    X(REPUTATION_REASON, "reputation.reason", FACT_TEXT, STAGE_CONNECT, SCOPE_TXN, FROM_DNS | OF_LISTS, "")  \
    X(REPUTATION_SUBJECT, "reputation.subject", FACT_TEXT, STAGE_CONNECT, SCOPE_TXN, FROM_DNS | OF_LISTS,    \
      "")                                                                                                    \
    X(HELO_NAME, "helo.name", FACT_NAME, STAGE_HELO, SCOPE_HELO, 0, "")                                      \
    X(HELO_KIND, "helo.kind", FACT_WORD, STAGE_HELO, SCOPE_HELO, 0, "fqdn bare literal invalid")             \
    X(HELO_RESOLVES, "helo.resolves", FACT_WORD, STAGE_HELO, SCOPE_HELO, FROM_DNS | TEMPERROR_AT(3),         \
      "pass fail none temperror")                                                                            \
    X(HELO_MATCHES, "helo.matches", FACT_FLAG, STAGE_HELO, SCOPE_HELO, FROM_DNS, "")                         \
    X(HELO_IMPERSONATES, "helo.impersonates", FACT_FLAG, STAGE_HELO, SCOPE_HELO, FROM_DNS, "")               \
    X(TLS_VERSION, "tls.version", FACT_TEXT, STAGE_HELO, SCOPE_SESSION, 0, "")                               \
    X(TLS_CIPHER, "tls.cipher", FACT_TEXT, STAGE_HELO, SCOPE_SESSION, 0, "")                                 \
    X(TLS_CLIENT_SUBJECT, "tls.client_subject", FACT_TEXT, STAGE_HELO, SCOPE_SESSION, 0, "")                 \
    X(SENDER_ADDRESS, "sender.address", FACT_ADDRESS, STAGE_MAIL, SCOPE_TXN, 0, "")                          \
    X(SENDER_LOCAL, "sender.local", FACT_TEXT, STAGE_MAIL, SCOPE_TXN, 0, "")                                 \
    X(SENDER_DOMAIN, "sender.domain", FACT_NAME, STAGE_MAIL, SCOPE_TXN, 0, "")                               \
    X(SENDER_NULL, "sender.null", FACT_FLAG, STAGE_MAIL, SCOPE_TXN, 0, "")                                   \
    X(SENDER_RESOLVES, "sender.resolves", FACT_WORD, STAGE_MAIL, SCOPE_TXN, FROM_DNS | TEMPERROR_AT(3),      \
      "pass fail null_mx temperror none")                                                                    \
    X(SPF, "spf", FACT_WORD, STAGE_MAIL, SCOPE_TXN, FROM_DNS | TEMPERROR_AT(5),                              \
      "pass fail softfail neutral none temperror permerror")                                                 \
    X(SPF_HELO, "spf.helo", FACT_WORD, STAGE_MAIL, SCOPE_HELO, FROM_DNS | TEMPERROR_AT(5),                   \
      "pass fail softfail neutral none temperror permerror")                                                 \
    X(SPF_WEAK, "spf.weak", FACT_FLAG, STAGE_MAIL, SCOPE_TXN, FROM_DNS, "")                                  \
    X(SPF_DOMAIN, "spf.domain", FACT_NAME, STAGE_MAIL, SCOPE_TXN, FROM_DNS, "")                              \
    X(SPF_MECHANISM, "spf.mechanism", FACT_TEXT, STAGE_MAIL, SCOPE_TXN, FROM_DNS, "")                        \
    X(SPF_EXPLANATION, "spf.explanation", FACT_TEXT, STAGE_MAIL, SCOPE_TXN, FROM_DNS, "")                    \
    X(ZERO_DAY_SUSPECT, "zero_day.suspect", FACT_FLAG, STAGE_MAIL, SCOPE_TXN, OF_LISTS, "")                  \
    X(ZERO_DAY_FRESH_DOMAIN, "zero_day.fresh_domain", FACT_FLAG, STAGE_MAIL, SCOPE_TXN, 0, "")               \
    X(ZERO_DAY_FRESH_CLIENT, "zero_day.fresh_client", FACT_FLAG, STAGE_MAIL, SCOPE_TXN, 0, "")               \
    X(ZERO_DAY_BURST, "zero_day.burst", FACT_FLAG, STAGE_MAIL, SCOPE_TXN, 0, "")                             \
    X(ZERO_DAY_LISTED, "zero_day.listed", FACT_FLAG, STAGE_MAIL, SCOPE_TXN, OF_LISTS, "")                    \
    X(ZERO_DAY_REASONS, "zero_day.reasons", FACT_WORDS, STAGE_MAIL, SCOPE_TXN, OF_LISTS,                     \
      "fresh_domain fresh_client burst listed")                                                              \
    X(RECIPIENT_ADDRESS, "recipient.address", FACT_ADDRESS, STAGE_RCPT, SCOPE_RECIPIENT, 0, "")              \
    X(RECIPIENT_LOCAL, "recipient.local", FACT_TEXT, STAGE_RCPT, SCOPE_RECIPIENT, 0, "")                     \
    X(RECIPIENT_DOMAIN, "recipient.domain", FACT_NAME, STAGE_RCPT, SCOPE_RECIPIENT, 0, "")                   \
    X(RECIPIENT_ORIGINAL, "recipient.original", FACT_ADDRESS, STAGE_RCPT, SCOPE_RECIPIENT, 0, "")            \
    X(RECIPIENT_WILDCARD, "recipient.wildcard", FACT_TEXT, STAGE_RCPT, SCOPE_RECIPIENT, 0, "")               \
    X(RECIPIENT_COUNT, "recipient.count", FACT_NUMBER, STAGE_RCPT, SCOPE_RECIPIENT, 0, "")                   \
    X(SCORE, "score", FACT_NUMBER, STAGE_RCPT, SCOPE_RECIPIENT, 0, "")                                       \
    X(MESSAGE_SIZE, "message.size", FACT_NUMBER, STAGE_MESSAGE, SCOPE_TXN, 0, "")                            \
    MESSAGE_HEAD_FACTS(X)                                                                                    \
    MESSAGE_AUTH_FACTS(X)                                                                                    \
    X(SESSION_ID, "session.id", FACT_TEXT, STAGE_CONNECT, SCOPE_SESSION, 0, "")

enum fact_id {
#define X(id, name, type, stage, scope, traits, words) FACT_ID_##id,
    FACT_LIST(X)
#undef X
        FACT_COUNT,
};

/* `reputation.NAME` of one list is not in the table: reputation.h gives its value by list index.  The rules number it
 * FACT_COUNT + index. */

struct fact_info {
    const char *name;
    enum fact_type type;
    enum fact_stage stage;
    enum fact_scope scope;
    uint8_t traits;
    const char *words;
};
extern const struct fact_info fact_table[FACT_COUNT];

enum fact_state { FACT_IDLE = 0, FACT_PENDING, FACT_UNKNOWN, FACT_KNOWN, FACT_SOFT };

struct fact_value {
    uint8_t state; /* enum fact_state */
    uint8_t word;  /* FACT_WORD: index in the fact's words */
    bool flag;
    bool doubt;   /* KNOWN, but a failed lookup might have changed it: no permanent refusal */
    uint32_t len; /* of text */
    union {
        const char *text; /* NAME, ADDRESS, TEXT, WORDS: owned by its setter, for the scope's life */
        uint64_t number;  /* NUMBER in thousandths (two's complement), DURATION in ms */
        const struct addr *ip;
    } u;
};

_Static_assert(sizeof(struct fact_value) <= 16, "the array is part of every session");

struct facts {
    struct fact_value v[FACT_COUNT];
};

/* FACT_COUNT if there is no such fact. */
enum fact_id fact_by_name(struct slice name);

/* Index of the word among the fact's words, or -1; and back. */
int fact_word_index(enum fact_id id, struct slice word);
struct slice fact_word(enum fact_id id, unsigned index);

#define FACT_NO_WORD UINT8_MAX

/* Index of the word `temperror`, or FACT_NO_WORD.  Runs for each term of each rule, so it compares no strings. */
unsigned fact_temperror(enum fact_id id);

/* Forgets the facts of this scope and of all shorter-lived ones. */
void facts_forget(struct facts *f, enum fact_scope scope);

void fact_set_flag(struct facts *f, enum fact_id id, bool value);
void fact_set_word(struct facts *f, enum fact_id id, unsigned index);
void fact_set_number(struct facts *f, enum fact_id id, int64_t thousandths);
void fact_set_duration(struct facts *f, enum fact_id id, uint64_t ms);
void fact_set_text(struct facts *f, enum fact_id id, struct slice text); /* borrowed for the scope's life */
void fact_set_ip(struct facts *f, enum fact_id id, const struct addr *ip);
void fact_set_unknown(struct facts *f, enum fact_id id);
void fact_set_pending(struct facts *f, enum fact_id id);

static inline struct slice fact_text(const struct fact_value *v)
{
    return slice_of(v->u.text, v->len);
}

/* The value for people and templates: "pass", "2.5", "192.0.2.1", "5m"; nothing if unknown. */
void fact_put(struct buf *out, enum fact_id id, const struct fact_value *v);

/* The value as JSON: true, "pass", 2.5, ["a","b"], null for anything not KNOWN. */
void fact_put_json(struct buf *out, enum fact_id id, const struct fact_value *v);

#endif
