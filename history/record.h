/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - one decision record: what a worker writes into its ring, and what the store keeps of it.
 *
 * A worker writes a message record for each transaction whose MAIL was answered 250, then, directly behind it,
 * one record for each recipient; an early record for a client or transaction that was refused before that.
 * A record has fields (one value each: who, when, what became of it) and items (facts, answers of lists and
 * groups, rules that matched), all of them optional.
 *
 * Outlives    Fields have numbers that are never reused; items carry their names.  A reader skips a field that
 * versions    it does not know.  Values that are one of a few words are stored as words, never as enums.
 * Two forms   wire: words and names are written out, because a ring may lose any record.  packed (in a row of the
 *             store): they are numbers in a dictionary (words.h), and source and number are left out.
 * Hostile     A worker is unprivileged, so the recorder decodes its records as hostile input: every length is
 *             checked, items have a cap, and nothing is trusted but the slot whose ring the record was in.
 * Caps        RECORD_MAX octets a record, RECORD_TEXT_MAX a text, RECORD_ITEMS_MAX items.  What does not fit is
 *             left out and RECORD_CUT is set: in a cut record a missing fact may have been known.
 * Facts       A fact that is not there was not asked.  A fact that equals a field (sender.address, client.ip,
 *             helo.name) is not written again.  Facts that age are written as they were.
 *
 * Next: words.h (the dictionary), reduce.h (privacy), history.h (the store).
 */
#ifndef HISTORY_RECORD_H
#define HISTORY_RECORD_H

#include "core/addr.h"
#include "core/buf.h"
#include "core/reader.h"
#include "history/record_id.h"

#define RECORD_MAX 3900
#define RECORD_TEXT_MAX 512
#define RECORD_ITEMS_MAX 250

enum record_kind {
    RECORD_MESSAGE = 0,
    RECORD_RECIPIENT,
    RECORD_EARLY, /* stored folded: `count` of them in `minute`, from the network `client` */
    RECORD_KIND_COUNT,
};

enum field_class {
    FIELD_CLASS_NUMBER = 0,
    FIELD_CLASS_WORD,    /* one of a few: goes through the dictionary */
    FIELD_CLASS_NAME,    /* a host name or an id of a server: kept as it is */
    FIELD_CLASS_TEXT,    /* may quote an address: dropped when addresses are reduced */
    FIELD_CLASS_ADDRESS, /* its local part is hashed when addresses are reduced */
};

/* X(ID, number in the encoding, "name", class): a number is never changed and never used again; at most 31. */
#define FIELD_LIST(X)                                                                                        \
    X(HOST, 1, "host", FIELD_CLASS_WORD)                                                                     \
    X(RDNS, 2, "rdns", FIELD_CLASS_NAME)                                                                     \
    X(HELO, 3, "helo", FIELD_CLASS_NAME)                                                                     \
    X(SENDER, 4, "sender", FIELD_CLASS_ADDRESS)                                                              \
    X(TLS, 5, "tls", FIELD_CLASS_WORD)                                                                       \
    X(SIZE, 6, "size", FIELD_CLASS_NUMBER)                                                                   \
    X(MESSAGE_ID, 7, "message_id", FIELD_CLASS_ADDRESS)                                                      \
    X(AUTHOR, 8, "author", FIELD_CLASS_ADDRESS)                                                              \
    X(OUTCOME, 9, "outcome", FIELD_CLASS_WORD)                                                               \
    X(CODE, 10, "code", FIELD_CLASS_NUMBER)                                                                  \
    X(ENHANCED, 11, "enhanced", FIELD_CLASS_WORD)                                                            \
    X(REPLY, 12, "reply", FIELD_CLASS_TEXT)                                                                  \
    X(BY, 13, "by", FIELD_CLASS_WORD)                                                                        \
    X(RULE, 14, "rule", FIELD_CLASS_WORD)                                                                    \
    X(SCORE, 15, "score", FIELD_CLASS_NUMBER)                                                                \
    X(UPSTREAM, 16, "upstream", FIELD_CLASS_WORD)                                                            \
    X(SERVER, 17, "server", FIELD_CLASS_WORD)                                                                \
    X(QUEUE_ID, 18, "queue_id", FIELD_CLASS_NAME)                                                            \
    X(DURATION_MS, 19, "duration_ms", FIELD_CLASS_NUMBER)                                                    \
    X(UPSTREAM_MS, 20, "upstream_ms", FIELD_CLASS_NUMBER)                                                    \
    X(POLICY, 21, "policy", FIELD_CLASS_WORD)                                                                \
    X(RECIPIENT, 22, "recipient", FIELD_CLASS_ADDRESS)                                                       \
    X(ORIGINAL, 23, "original", FIELD_CLASS_ADDRESS)                                                         \
    X(ORCPT, 24, "orcpt", FIELD_CLASS_ADDRESS)                                                               \
    X(VERDICT, 25, "verdict", FIELD_CLASS_WORD)                                                              \
    X(TAGS, 26, "tags", FIELD_CLASS_TEXT)                                                                    \
    X(REASON, 27, "reason", FIELD_CLASS_WORD)                                                                \
    X(FOLDED, 28, "count", FIELD_CLASS_NUMBER)                                                               \
    X(LAST_IDS, 29, "last_ids", FIELD_CLASS_NAME) /* early: up to four `ULID.n=code`, newest first */        \
    X(SAMPLED, 30, "sampled", FIELD_CLASS_NUMBER)

enum field_id {
#define X(id, number, name, class) FIELD_##id = (number),
    FIELD_LIST(X)
#undef X
        FIELD_COUNT = 31, /* one more than the highest; 0 is no field */
};

struct field_info {
    const char *name; /* NULL: no field has this number */
    enum field_class cls;
};
extern const struct field_info field_table[FIELD_COUNT];

enum item_what { ITEM_FACT = 0, ITEM_LIST, ITEM_GROUP, ITEM_RULE };

enum item_state {
    ITEM_KNOWN = 0,
    ITEM_TIMEOUT, /* these four: asked, and unknown because of it */
    ITEM_TEMPERROR,
    ITEM_BREAKER,
    ITEM_BUDGET,
    ITEM_NOT_ASKED, /* never written: an absent item reads as this */
    ITEM_STATE_COUNT,
};

enum item_type {
    ITEM_NONE = 0, /* no value: unknown, or a rule that matched */
    ITEM_FALSE,
    ITEM_TRUE,
    ITEM_NUMBER,
    ITEM_WORD,
    ITEM_NAME,
    ITEM_TEXT,    /* these two are reduced as fields of the same class are */
    ITEM_ADDRESS, /* an address, or a local part alone */
};

struct item {
    uint8_t what, state, type; /* enums of these names */
    struct slice name;
    struct slice text; /* ITEM_WORD ... ITEM_ADDRESS */
    int64_t number;    /* ITEM_NUMBER: thousandths or ms, as the fact's own type says */
};

struct record {
    uint8_t kind;           /* enum record_kind */
    bool cut;               /* something did not fit */
    uint64_t start, number; /* wire: the process's start and its own count of records, from 1 */
    int64_t time_ms;        /* wall clock */
    struct record_id id;
    struct addr client; /* ADDR_NONE: not set */
    uint32_t has;       /* bits of enum field_id */
    struct slice text[FIELD_COUNT];
    int64_t num[FIELD_COUNT];
    size_t item_count;
    struct item items[RECORD_ITEMS_MAX];
};

static inline bool record_has(const struct record *r, enum field_id f)
{
    return (r->has >> f & 1u) != 0;
}

/* The text of a field; empty if it has none.  Borrowed from what was decoded. */
static inline struct slice record_field(const struct record *r, enum field_id f)
{
    return record_has(r, f) ? r->text[f] : SLICE_NONE;
}

/* NULL: not asked (or, in a cut record, left out). */
const struct item *record_item(const struct record *r, enum item_what what, struct slice name);

/* ---- writing ---- */

struct words;

struct record_writer {
    struct buf b;
    struct words *words; /* NULL: the wire form */
    bool cut, in_items;
    unsigned items;
    char mem[RECORD_MAX + 1];
};

/*
 * Begins a record; `head` gives kind, source, number, time, id and client, nothing else of it is read.  Then come
 * fields, then items, then record_end().  A worker calls these; the store uses record_write().
 */
void record_begin(struct record_writer *w, const struct record *head);
void record_put_number(struct record_writer *w, enum field_id f, int64_t value);
void record_put_text(struct record_writer *w, enum field_id f,
                     struct slice text); /* an empty text is not written */
void record_put_item(struct record_writer *w, const struct item *item);

/* The encoded record, borrowed from the writer: at most RECORD_MAX octets. */
struct slice record_end(struct record_writer *w);

/* A decoded record in one call; with `words`, in the packed form.  `of` (packed form): the id of the first record of the
 * row, which is not repeated; or NULL. */
struct slice record_write(struct record_writer *w, const struct record *r, struct words *words,
                          const struct record_id *of);

/* ---- reading ---- */

/*
 * Decodes one record; texts in *out are borrowed from `data` and `words`.  words: NULL for the wire form.  of: as in
 * record_write().  False: it is not a record; nothing of *out may be used then.
 */
bool record_decode(struct slice data, const struct words *words, const struct record_id *of,
                   struct record *out) MUST_USE;

/* Numbers of seven bits an octet, lowest first: how rows keep lengths, too. */
void record_put_varint(struct buf *out, uint64_t value);
uint64_t record_take_varint(struct reader *r);

#endif
