/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic.h - invented mail for the tests and the benchmark of history/: messages that are drawn from a seed, with the
 * facts that a worker would write.
 */
#ifndef TEST_HISTORY_TRAFFIC_H
#define TEST_HISTORY_TRAFFIC_H

#include "history/record.h"

enum { TRAFFIC_RCPTS = 4 };

struct traffic {
    uint64_t state;                     /* of the generator */
    unsigned people, domains, networks; /* how many different ones */
};

struct message {
    uint64_t seed;
    int64_t time_ms;
    struct record_id id;
    struct addr client;
    unsigned sender, author, domain, rcpts, rcpt[TRAFFIC_RCPTS];
    bool refused;
};

static inline uint64_t traffic_random(struct traffic *t) /* splitmix64 */
{
    uint64_t z = (t->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline unsigned traffic_below(struct traffic *t, unsigned limit)
{
    return (unsigned)(traffic_random(t) % limit);
}

static inline void traffic_id(struct traffic *t, int64_t time_ms, struct record_id *out)
{
    uint64_t a = traffic_random(t), b = traffic_random(t);

    for (size_t i = 0; i < 6; i++) {
        out->ulid[i] = (uint8_t)((uint64_t)time_ms >> (40 - 8 * i));
    }
    memcpy(out->ulid + 6, &a, 8);
    memcpy(out->ulid + 14, &b, 2);
    out->txn = 1 + (uint32_t)(b >> 32) % 3;
}

static inline void traffic_message(struct traffic *t, int64_t time_ms, struct message *m)
{
    unsigned network = traffic_below(t, t->networks);

    memset(m, 0, sizeof(*m));
    m->seed = traffic_random(t);
    m->time_ms = time_ms;
    traffic_id(t, time_ms - 400, &m->id);
    m->client.family = network % 8 == 7 ? ADDR_V6 : ADDR_V4;
    m->client.ip[0] = m->client.family == ADDR_V6 ? 0x20 : 20;
    m->client.ip[1] = (uint8_t)(network >> 8);
    m->client.ip[2] = (uint8_t)network;
    m->client.ip[m->client.family == ADDR_V6 ? 15 : 3] = (uint8_t)(1 + traffic_below(t, 3));
    m->sender = traffic_below(t, t->people);
    m->author = traffic_below(t, 10) == 0 ? traffic_below(t, t->people) : m->sender;
    m->domain = traffic_below(t, t->domains);
    m->rcpts = traffic_below(t, 6) == 0 ? 2 + traffic_below(t, TRAFFIC_RCPTS - 1) : 1;
    for (unsigned i = 0; i < m->rcpts; i++) {
        m->rcpt[i] = traffic_below(t, t->people);
    }
    m->refused = traffic_below(t, 3) == 0;
}

/* ---- texts; each has room for 96 octets ---- */

static inline struct slice traffic_sender(const struct message *m, char out[96])
{
    struct buf b;

    buf_init_fixed(&b, out, 96);
    buf_putf(&b, "Sender.%u@dom%u.example", m->sender, m->domain);
    return buf_slice(&b);
}

static inline struct slice traffic_author(const struct message *m, char out[96])
{
    struct buf b;

    buf_init_fixed(&b, out, 96);
    buf_putf(&b, "Sender.%u@dom%u.example", m->author, m->domain);
    return buf_slice(&b);
}

static inline struct slice traffic_rcpt(const struct message *m, unsigned i, char out[96])
{
    struct buf b;

    buf_init_fixed(&b, out, 96);
    buf_putf(&b, "first.last%u@ours%u.example", m->rcpt[i], m->rcpt[i] % 3);
    return buf_slice(&b);
}

static inline struct slice traffic_message_id(const struct message *m, char out[96])
{
    struct buf b;

    buf_init_fixed(&b, out, 96);
    buf_putf(&b, "%016" PRIx64 ".%08x@dom%u.example", m->seed, (unsigned)m->seed * 7u, m->domain);
    return buf_slice(&b);
}

/* ---- records ---- */

struct traffic_from {
    uint64_t start, number;
};

static inline void traffic_item(struct record_writer *w, enum item_what what, const char *name,
                                const char *word)
{
    struct item item = { .what = (uint8_t)what, .name = slice_str(name), .text = slice_str(word) };

    item.type = word != NULL ? ITEM_WORD : ITEM_NONE;
    record_put_item(w, &item);
}

/* About what a session with all checks knows: 30 facts, three lists, a group, two rules. */
static inline void traffic_facts(struct record_writer *w, const struct message *m)
{
    static const char *const flags[] = { "client.private",        "client.dynamic",
                                         "client.known_good",     "protocol.pregreet",
                                         "reputation.listed",     "reputation.incomplete",
                                         "helo.matches",          "helo.impersonates",
                                         "sender.null",           "spf.weak",
                                         "zero_day.suspect",      "zero_day.fresh_domain",
                                         "zero_day.fresh_client", "zero_day.burst" };
    static const char *const words[] = { "client.iprev", "helo.kind", "helo.resolves", "sender.resolves",
                                         "spf",          "spf.helo",  "dkim",          "dmarc",
                                         "dmarc.policy" };
    static const char *const values[] = { "pass", "fail", "softfail", "none", "fqdn" };
    static const char *const numbers[] = {
        "client.first_seen", "client.connections", "client.rate", "protocol.violations",
        "reputation.score",  "recipient.count",    "score"
    };
    static const char *const lists[] = { "zen", "spamcop", "sorbs" };

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        struct item item = { .name = slice_str(flags[i]),
                             .type = (m->seed >> i & 7) == 0 ? ITEM_TRUE : ITEM_FALSE };

        record_put_item(w, &item);
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        traffic_item(w, ITEM_FACT, words[i], values[(m->seed >> (2 * i)) % ARRAY_LEN(values)]);
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        struct item item = { .name = slice_str(numbers[i]), .type = ITEM_NUMBER };

        item.number = (int64_t)(m->seed >> i & 15) * 1000;
        record_put_item(w, &item);
    }
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct item item = { .what = ITEM_LIST, .name = slice_str(lists[i]), .type = ITEM_NONE };

        item.state = (m->seed >> (40 + i) & 31) == 0 ? ITEM_TIMEOUT : ITEM_KNOWN;
        record_put_item(w, &item);
    }
    traffic_item(w, ITEM_GROUP, "allow_clients", "no");
    traffic_item(w, ITEM_RULE, "helo-impersonates", NULL);
    traffic_item(w, ITEM_RULE, m->refused ? "reputation" : "spf-pass", NULL);
}

static inline struct slice traffic_write_message(struct record_writer *w, const struct message *m,
                                                 struct traffic_from from)
{
    struct record head = { .kind = RECORD_MESSAGE,
                           .start = from.start,
                           .number = from.number,
                           .time_ms = m->time_ms,
                           .id = m->id,
                           .client = m->client };
    char mem[96];
    struct buf name;

    record_begin(w, &head);
    record_put_text(w, FIELD_HOST, SLICE("mx1"));
    buf_init_fixed(&name, mem, sizeof(mem));
    buf_putf(&name, "out%u.dom%u.example", (unsigned)(m->seed % 4), m->domain);
    record_put_text(w, FIELD_RDNS, buf_slice(&name));
    record_put_text(w, FIELD_HELO, buf_slice(&name));
    record_put_text(w, FIELD_SENDER, traffic_sender(m, mem));
    record_put_text(w, FIELD_TLS, SLICE("TLSv1.3"));
    record_put_number(w, FIELD_SIZE, (int64_t)(m->seed % 100000));
    record_put_text(w, FIELD_MESSAGE_ID, traffic_message_id(m, mem));
    record_put_text(w, FIELD_AUTHOR, traffic_author(m, mem));
    record_put_text(w, FIELD_OUTCOME, m->refused ? SLICE("refused") : SLICE("accepted"));
    record_put_number(w, FIELD_CODE, m->refused ? 550 : 250);
    record_put_text(w, FIELD_ENHANCED, m->refused ? SLICE("5.7.1") : SLICE("2.0.0"));
    record_put_text(w, FIELD_REPLY, m->refused ? SLICE("is listed by zen") : SLICE("queued as 4bQ9xK2z7w"));
    record_put_text(w, FIELD_BY, m->refused ? SLICE("glacis") : SLICE("upstream"));
    record_put_text(w, FIELD_RULE, m->refused ? SLICE("reputation") : SLICE("default"));
    record_put_number(w, FIELD_SCORE, (int64_t)(m->seed % 50) * 100);
    record_put_text(w, FIELD_UPSTREAM, SLICE("mail.corp"));
    record_put_text(w, FIELD_SERVER, SLICE("10.1.1.10:25"));
    record_put_text(w, FIELD_QUEUE_ID, m->refused ? SLICE_NONE : SLICE("4bQ9xK2z7w"));
    record_put_number(w, FIELD_DURATION_MS, (int64_t)(m->seed % 3000));
    record_put_number(w, FIELD_UPSTREAM_MS, (int64_t)(m->seed % 300));
    record_put_text(w, FIELD_POLICY, SLICE("4f2a91c05d7e8b36"));
    traffic_facts(w, m);
    return record_end(w);
}

static inline struct slice traffic_write_recipient(struct record_writer *w, const struct message *m,
                                                   unsigned i, struct traffic_from from)
{
    struct record head = { .kind = RECORD_RECIPIENT,
                           .start = from.start,
                           .number = from.number,
                           .time_ms = m->time_ms,
                           .id = m->id };
    char mem[96];

    record_begin(w, &head);
    record_put_text(w, FIELD_RECIPIENT, traffic_rcpt(m, i, mem));
    record_put_text(w, FIELD_VERDICT, m->refused ? SLICE("reject") : SLICE("accept"));
    record_put_text(w, FIELD_RULE, m->refused ? SLICE("reputation") : SLICE("default"));
    record_put_number(w, FIELD_CODE, m->refused ? 550 : 250);
    return record_end(w);
}

static inline struct slice traffic_write_early(struct record_writer *w, const struct message *m,
                                               const char *reason, struct traffic_from from)
{
    struct record head = { .kind = RECORD_EARLY,
                           .start = from.start,
                           .number = from.number,
                           .time_ms = m->time_ms,
                           .id = m->id,
                           .client = m->client };

    record_begin(w, &head);
    record_put_text(w, FIELD_REASON, slice_str(reason));
    record_put_number(w, FIELD_CODE, 421);
    return record_end(w);
}

#endif
