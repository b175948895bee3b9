/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query.c - the reading side: days from the newest, segments from the newest, rows from the newest.
 *
 * One condition that has a lookup chooses the rows of a segment, the rarest kind first; then each row is compared with
 * all conditions, because hashes may collide and bits of a hash were left out.  A query without such a condition scans.
 *
 * The handle keeps days open for the next query (most of a lookup's time would be their opening), and opens one again
 * when it was written or replaced.  No statement stays open between two rows: a reader keeps no WAL from being folded.
 * The writer's own handle reads today's file through the writer's connection.
 */
#include "history/store_priv.h"

enum { WANTED_MAX = 2 };

struct history_cursor {
    struct history *h;
    struct history_query q;
    uint64_t wanted[WANTED_MAX];
    size_t wanted_count; /* 0: scan */
    int64_t *days;
    size_t days_left;
    struct day *day; /* owned, unless it is the writer's */
    bool borrowed;   /* it is the writer's */
    uint64_t opened; /* h->today_opened then */
    int64_t day_no;
    struct segment segment;
    bool has_segment, listed; /* listed: hits are the rows, else all rows from `left` down */
    struct segment_hits hits;
    size_t at;     /* next of the hits */
    uint32_t left; /* rows not yet scanned */
    size_t given;
    struct buf row;
    struct row_reader rr;
    struct arena arena;
    struct slice sender_hashed, author_hashed, recipient_hashed, message_id_hashed;
};

/* ---- what to look up ---- */

static void want(struct history_cursor *c, uint64_t hash)
{
    c->wanted[c->wanted_count++] = hash;
}

static void want_address(struct history_cursor *c, enum lookup_kind kind, struct slice full,
                         struct slice hashed)
{
    want(c, lookup_hash(&c->h->key, kind, full));
    if (!slice_eq(full, hashed)) {
        want(c, lookup_hash(&c->h->key, kind, hashed));
    }
}

static void want_client(struct history_cursor *c, const struct cidr *net)
{
    unsigned network_bits = net->base.family == ADDR_V4 ? 24 : 48;
    struct addr network = reduce_network(&net->base);

    if (net->bits >= network_bits) { /* a wider one has many networks: scanned */
        want(c, lookup_hash_ip(&c->h->key, LOOKUP_NETWORK, &network));
    }
}

static void choose_lookup(struct history_cursor *c)
{
    const struct history_query *q = &c->q;

    if (q->id.len > 0) {
        struct slice ending = slice_of(q->id.text + q->id.len - RECORD_ID_ENDING_MIN, RECORD_ID_ENDING_MIN);

        want(c, lookup_hash(&c->h->key, LOOKUP_ENDING, ending));
    } else if (!slice_empty(q->message_id)) {
        want_address(c, LOOKUP_MESSAGE_ID, q->message_id, c->message_id_hashed);
    } else if (!slice_empty(q->sender)) {
        want_address(c, LOOKUP_SENDER, q->sender, c->sender_hashed);
    } else if (!slice_empty(q->author)) {
        want_address(c, LOOKUP_AUTHOR, q->author, c->author_hashed);
    } else if (!slice_empty(q->recipient)) {
        want_address(c, LOOKUP_RECIPIENT, q->recipient, c->recipient_hashed);
    } else if (q->client.base.family != ADDR_NONE &&
               q->client.bits == (q->client.base.family == ADDR_V4 ? 32 : 128)) {
        struct addr network = reduce_network(&q->client.base);

        want(c, lookup_hash_ip(&c->h->key, LOOKUP_CLIENT, &q->client.base));
        want(c, lookup_hash_ip(&c->h->key, LOOKUP_CLIENT, &network)); /* folds, and clients that were cut */
    } else if (!slice_empty(q->domain)) {
        want(c, lookup_hash(&c->h->key, LOOKUP_DOMAIN, q->domain));
    } else if (q->client.base.family != ADDR_NONE) {
        want_client(c, &q->client);
    }
}

/* ---- comparing ---- */

static bool is_address(struct slice have, struct slice full, struct slice hashed)
{
    return slice_eq_nocase(have, full) || slice_eq_nocase(have, hashed);
}

static bool id_matches(const struct record *r, const struct record_ending *e)
{
    struct slice list = record_field(r, FIELD_LAST_IDS);

    if (r->kind != RECORD_EARLY) {
        return record_id_matches(&r->id, e);
    }
    for (struct slice word = slice_token(&list); !slice_empty(word); word = slice_token(&list)) {
        struct record_id id;

        if (record_id_parse(slice_cut(&word, '='), &id) && record_id_matches(&id, e)) {
            return true;
        }
    }
    return false;
}

/* A client that was cut to its network matches every address of the network. */
static bool client_matches(const struct record *r, const struct cidr *net)
{
    struct addr network = reduce_network(&net->base);
    bool was_cut = addr_same_ip(&network, &r->client);

    return net->base.family == r->client.family &&
           (cidr_contains(net, &r->client) ||
            (was_cut && net->bits >= (network.family == ADDR_V4 ? 24 : 48)));
}

static bool has_domain(const struct record *r, struct slice domain)
{
    static const enum field_id fields[] = { FIELD_SENDER, FIELD_AUTHOR, FIELD_RECIPIENT, FIELD_ORIGINAL };

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (slice_eq_nocase(lookup_domain(record_field(r, fields[i])), domain)) {
            return true;
        }
    }
    return false;
}

static bool has_recipient(const struct history_cursor *c, const struct record *r)
{
    return is_address(record_field(r, FIELD_RECIPIENT), c->q.recipient, c->recipient_hashed) ||
           is_address(record_field(r, FIELD_ORIGINAL), c->q.recipient, c->recipient_hashed);
}

/* The conditions that one record answers: the first of its row. */
static bool head_matches(const struct history_cursor *c, const struct record *r)
{
    const struct history_query *q = &c->q;

    return r->time_ms >= q->since_ms && (q->until_ms == 0 || r->time_ms < q->until_ms) &&
           (q->id.len == 0 || id_matches(r, &q->id)) &&
           (q->client.base.family == ADDR_NONE || client_matches(r, &q->client)) &&
           (slice_empty(q->sender) ||
            is_address(record_field(r, FIELD_SENDER), q->sender, c->sender_hashed)) &&
           (slice_empty(q->author) ||
            is_address(record_field(r, FIELD_AUTHOR), q->author, c->author_hashed)) &&
           (slice_empty(q->message_id) ||
            is_address(record_field(r, FIELD_MESSAGE_ID), q->message_id, c->message_id_hashed));
}

/* On a match, *out is the row's first record and c->rr stands behind it. */
static bool row_matches(struct history_cursor *c, struct record *out)
{
    bool recipient = slice_empty(c->q.recipient), domain = slice_empty(c->q.domain);
    struct row_reader behind;

    row_read(&c->rr, buf_slice(&c->row), &c->day->words);
    if (!row_next(&c->rr, out) || !head_matches(c, out)) {
        return false;
    }
    behind = c->rr;
    recipient = recipient || has_recipient(c, out);
    domain = domain || has_domain(out, c->q.domain);
    if (recipient && domain) {
        return true;
    }
    while (!(recipient && domain)) {
        struct record r;

        if (!row_next(&c->rr, &r)) {
            return false;
        }
        recipient = recipient || has_recipient(c, &r);
        domain = domain || has_domain(&r, c->q.domain);
    }
    c->rr = behind;
    return true;
}

/* ---- walking ---- */

static void leave_day(struct history_cursor *c)
{
    if (c->day != NULL && !c->borrowed) {
        c->day->users--;
    }
    c->day = NULL;
    c->borrowed = false;
    c->has_segment = false;
}

/* An open day of the handle that is fit for use; or NULL, and a place for a new one in *free_place (NULL: none). */
static struct day *find_cached(struct history *h, int64_t no, struct day ***free_place)
{
    *free_place = NULL;
    for (size_t i = 0; i < STORE_CACHED; i++) {
        struct day *d = h->cached[i];

        if (d != NULL && d->no == no) {
            if (d->users > 0 || (!day_is_gone(d, h->dir) && !day_has_changed(d))) {
                return d;
            }
            day_close(&h->cached[i]);
        }
        if (h->cached[i] == NULL) {
            *free_place = &h->cached[i];
        }
    }
    return NULL;
}

static struct day *open_cached(struct history *h, int64_t no)
{
    struct day **place, *d = find_cached(h, no, &place);
    int err;

    for (size_t i = 0; d == NULL && place == NULL && i < STORE_CACHED; i++) {
        if (h->cached[i]->users == 0) {
            place = &h->cached[i];
            day_close(place);
        }
    }
    if (d == NULL && place != NULL) {
        d = *place = day_open(h->dir, no, SQL_READ, &err);
    }
    if (d != NULL) {
        d->users++;
    }
    return d;
}

/* The writer may have gone on to another day, or closed this one, since the last call. */
static bool day_is_there(struct history_cursor *c)
{
    if (c->day != NULL && c->borrowed && (c->h->today == NULL || c->h->today_opened != c->opened)) {
        c->day = open_cached(c->h, c->day_no);
        c->borrowed = false;
        c->rr.words =
            c->day != NULL ? &c->day->words : NULL; /* the same numbers: committed rows use committed words */
    }
    return c->day != NULL;
}

static bool enter_day(struct history_cursor *c)
{
    leave_day(c);
    while (c->days_left > 0 && c->day == NULL) {
        c->day_no = c->days[--c->days_left];
        if ((c->q.until_ms != 0 && c->day_no > c->q.until_ms / DAY_MS + 2) ||
            (c->day_no + 3) * DAY_MS <
                c->q.since_ms) { /* a record may be written a day or two after its time */
            continue;
        }
        c->borrowed = c->h->today != NULL && c->h->today->no == c->day_no;
        c->opened = c->h->today_opened;
        c->day = c->borrowed ? c->h->today : open_cached(c->h, c->day_no);
    }
    return c->day != NULL;
}

static void enter_segment(struct history_cursor *c, const struct segment *s)
{
    const struct segment_wanted w = { c->wanted, c->wanted_count };
    bool is_open = s == &c->day->open;

    c->segment = *s;
    c->has_segment = true;
    c->listed = c->wanted_count > 0;
    c->at = 0;
    c->left = s->rows;
    if (!c->listed) {
        return;
    }
    if (is_open) {
        segment_find_open(s, &w, &c->hits);
    } else if (segment_find_sealed(s, c->day->look, &w, &c->hits) != SQLITE_OK) {
        c->listed = false; /* damaged lookups: the rows may be well */
    }
}

static bool in_span(const struct history_cursor *c, const struct segment *s)
{
    return s->to_ms >= c->q.since_ms && (c->q.until_ms == 0 || s->from_ms < c->q.until_ms);
}

/* The next older segment of this day. */
static bool next_segment(struct history_cursor *c)
{
    struct segment s;
    int64_t before = c->has_segment ? c->segment.no : INT64_MAX;

    if (!c->has_segment) {
        before = c->day->open.no;
        if (c->day->open.rows > 0) {
            enter_segment(c, &c->day->open);
            return true;
        }
    }
    while (day_segment_before(c->day, before, &s) == SQLITE_OK) {
        if (in_span(c, &s)) {
            enter_segment(c, &s);
            return true;
        }
        before = s.no;
    }
    return false;
}

/* The next row of the segment is in c->row. */
static bool next_row(struct history_cursor *c)
{
    for (;;) {
        int64_t seq;

        if (c->listed ? c->at == c->hits.len : c->left == 0) {
            return false;
        }
        seq = c->segment.first + (c->listed ? c->hits.rows[c->at++] : --c->left);
        if (day_fetch(c->day, seq, &c->row) == SQLITE_OK) {
            return true;
        }
    }
}

bool history_next(struct history_cursor *c, struct record *out)
{
    if (c->q.limit != 0 && c->given == c->q.limit) {
        return false;
    }
    for (;;) {
        if (!day_is_there(c) && !enter_day(c)) {
            return false;
        }
        while (c->has_segment && next_row(c)) {
            if (row_matches(c, out)) {
                c->given++;
                return true;
            }
        }
        if (!next_segment(c) && !enter_day(c)) {
            return false;
        }
    }
}

bool history_recipient(struct history_cursor *c, struct record *out)
{
    return day_is_there(c) && row_next(&c->rr, out);
}

struct history_cursor *history_find(struct history *h, const struct history_query *q)
{
    struct history_cursor *c = xcalloc(1, sizeof(*c));
    struct slice key = h->settings.hash_key;

    c->h = h;
    c->q = *q;
    buf_init(&c->row, ROW_MAX);
    arena_init(&c->arena, 16384);
    row_read(&c->rr, SLICE_NONE, NULL);
    c->sender_hashed = reduce_address(q->sender, HISTORY_ADDRESSES_HASH, key, &c->arena);
    c->author_hashed = reduce_address(q->author, HISTORY_ADDRESSES_HASH, key, &c->arena);
    c->recipient_hashed = reduce_address(q->recipient, HISTORY_ADDRESSES_HASH, key, &c->arena);
    c->message_id_hashed = reduce_address(q->message_id, HISTORY_ADDRESSES_HASH, key, &c->arena);
    choose_lookup(c);
    c->days_left = day_list(h->dir, &c->days);
    return c;
}

void history_cursor_free(struct history_cursor **cp)
{
    struct history_cursor *c = *cp;

    if (c == NULL) {
        return;
    }
    *cp = NULL;
    leave_day(c);
    segment_hits_fini(&c->hits);
    buf_fini(&c->row);
    arena_fini(&c->arena);
    free(c->days);
    free(c);
}

void history_span(struct history *h, int64_t since_ms, int64_t until_ms, struct history_span *out)
{
    const int64_t quarter_ms = DAY_MS / 96;
    int64_t *days, to = until_ms == 0 ? INT64_MAX : (until_ms - 1) / quarter_ms;
    size_t n = day_list(h->dir, &days);

    memset(out, 0, sizeof(*out));
    out->days = n;
    out->first_ms = n > 0 ? days[0] * DAY_MS : 0;
    for (size_t i = 0; i < n; i++) {
        int err;
        struct day *d = day_open(h->dir, days[i], SQL_READ, &err);

        if (d != NULL) {
            err = day_losses(d, since_ms / quarter_ms, to, &out->lost);
            day_close(&d);
        }
        out->unreadable += err != SQLITE_OK;
    }
    free(days);
}
