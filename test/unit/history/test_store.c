/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store.c - the store against a model: workers that lose records, recorders that die at any moment, clocks that jump.
 *
 * The model keeps what each worker's ring holds and what was taken from it.  Afterwards every message is stored once or
 * counted as lost, and each lookup finds what a look through all messages finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "history/lookup.h"
#include "history/segment.h"
#include "test/unit/history/folder.h"
#include "test/unit/history/traffic.h"

enum { MESSAGES = 3000, WORKERS = 3, RING = 64, STEP_MS = 90000 };
#define BEGIN_MS ((int64_t)1790000000000)
#define DAY_MS_TEST ((int64_t)86400000)

struct ringed { /* one record in a ring */
    uint64_t number;
    unsigned message, rcpt; /* rcpt 0: the message itself */
};

struct worker {
    uint64_t start, number; /* the last one spent */
    struct ringed ring[RING];
    size_t len;
};

struct model {
    struct traffic t;
    struct message m[MESSAGES];
    uint8_t has[MESSAGES]; /* bits of stored records: 0 the message, 1.. its recipients */
    unsigned made;
    struct worker workers[WORKERS];
    uint64_t lost, next_start;
    int64_t now_ms;
    struct history *h;
    struct history_settings settings;
};

static void spend(struct model *w, struct worker *k, unsigned message, unsigned rcpt)
{
    k->number++;
    if (k->len == RING || traffic_below(&w->t, 40) == 0) {
        w->lost++;
        return;
    }
    k->ring[k->len++] = (struct ringed){ k->number, message, rcpt };
}

static void make_message(struct model *w)
{
    struct worker *k = &w->workers[traffic_below(&w->t, WORKERS)];
    struct message *m = &w->m[w->made];

    w->now_ms += STEP_MS;
    traffic_message(&w->t, w->now_ms, m);
    for (unsigned i = 0; i <= m->rcpts; i++) {
        spend(w, k, w->made, i);
    }
    w->made++;
}

static void add_records(struct model *w, unsigned slot, size_t n)
{
    const struct worker *k = &w->workers[slot];
    const struct history_source source = { slot, k->start };

    for (size_t i = 0; i < n; i++) {
        const struct ringed *r = &k->ring[i];
        const struct message *m = &w->m[r->message];
        const struct traffic_from from = { k->start, r->number };
        struct record_writer out;

        assert_true(history_add(w->h, &source,
                                r->rcpt == 0 ? traffic_write_message(&out, m, from)
                                             : traffic_write_recipient(&out, m, r->rcpt - 1, from)));
    }
}

static void move_tail(struct model *w, unsigned slot, size_t n)
{
    struct worker *k = &w->workers[slot];

    for (size_t i = 0; i < n; i++) {
        w->has[k->ring[i].message] |= (uint8_t)(1u << k->ring[i].rcpt);
    }
    memmove(k->ring, k->ring + n, (k->len - n) * sizeof(k->ring[0]));
    k->len -= n;
}

static void reopen(struct model *w)
{
    history_close(&w->h);
    w->h = history_open_write(&w->settings);
}

/* Some of what the rings hold; the recorder may die before the commit, or before it moves the tails. */
static void record(struct model *w)
{
    size_t n[WORKERS];
    unsigned fate = traffic_below(&w->t, 20);

    for (unsigned i = 0; i < WORKERS; i++) {
        n[i] = w->workers[i].len == 0 ? 0 : traffic_below(&w->t, (unsigned)w->workers[i].len + 1);
        add_records(w, i, n[i]);
    }
    if (fate == 0) {
        reopen(w);
        return;
    }
    assert_true(history_commit(w->h, w->now_ms));
    if (fate == 1) {
        reopen(w);
        return;
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        move_tail(w, i, n[i]);
    }
}

/* A worker dies: what is in its ring can be read, what it had not written cannot. */
static void end_worker(struct model *w, unsigned slot)
{
    struct worker *k = &w->workers[slot];
    const struct history_source source = { slot, k->start };
    unsigned unwritten = traffic_below(&w->t, 3);

    add_records(w, slot, k->len);
    k->number += unwritten;
    w->lost += unwritten;
    assert_true(history_end(w->h, &source, k->number));
    assert_true(history_commit(w->h, w->now_ms));
    move_tail(w, slot, k->len);
    k->start = ++w->next_start;
    k->number = 0;
}

static void drain(struct model *w)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        add_records(w, i, w->workers[i].len);
    }
    assert_true(history_commit(w->h, w->now_ms));
    for (unsigned i = 0; i < WORKERS; i++) {
        move_tail(w, i, w->workers[i].len);
    }
}

static void run(struct model *w)
{
    w->now_ms = BEGIN_MS;
    for (unsigned i = 0; i < WORKERS; i++) {
        w->workers[i].start = ++w->next_start;
    }
    w->h = history_open_write(&w->settings);
    while (w->made < MESSAGES) {
        make_message(w);
        if (traffic_below(&w->t, 500) ==
            0) { /* the clock jumps back, when the rings are empty: else times are corrected */
            drain(w);
            w->now_ms -= DAY_MS_TEST;
        }
        if (traffic_below(&w->t, 8) == 0) {
            record(w);
        }
        if (traffic_below(&w->t, 300) == 0) {
            end_worker(w, traffic_below(&w->t, WORKERS));
        }
        while (traffic_below(&w->t, 50) == 0 && history_tidy(w->h, w->now_ms)) {
            ;
        }
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        end_worker(w, i);
    }
}

/* ---- what a query must find ---- */

static bool same_text(struct slice a, struct slice b)
{
    return slice_eq_nocase(a, b);
}

static bool rcpt_stored(const struct model *w, unsigned i, struct slice rcpt)
{
    char mem[96];

    for (unsigned k = 0; k < w->m[i].rcpts; k++) {
        if ((w->has[i] >> (k + 1) & 1) != 0 && same_text(traffic_rcpt(&w->m[i], k, mem), rcpt)) {
            return true;
        }
    }
    return false;
}

/* Rows whose message is stored; a recipient without its message has a row of its own and is counted elsewhere. */
static bool model_matches(const struct model *w, unsigned i, const struct history_query *q)
{
    const struct message *m = &w->m[i];
    char mem[96];
    struct record_id id = m->id;

    return (w->has[i] & 1) != 0 && m->time_ms >= q->since_ms &&
           (q->until_ms == 0 || m->time_ms < q->until_ms) &&
           (q->id.len == 0 || record_id_matches(&id, &q->id)) &&
           (q->client.base.family == ADDR_NONE || cidr_contains(&q->client, &m->client)) &&
           (slice_empty(q->sender) || same_text(traffic_sender(m, mem), q->sender)) &&
           (slice_empty(q->author) || same_text(traffic_author(m, mem), q->author)) &&
           (slice_empty(q->message_id) || same_text(traffic_message_id(m, mem), q->message_id)) &&
           (slice_empty(q->domain) || same_text(lookup_domain(traffic_sender(m, mem)), q->domain));
}

/* A message and its recipients may be in several batches, so rows are joined by id. */
static void check(struct model *w, const struct history_query *q)
{
    static uint8_t found[MESSAGES], seen_rcpt[MESSAGES];
    struct history_cursor *c = history_find(w->h, q);
    struct record r;

    memset(found, 0, sizeof(found));
    memset(seen_rcpt, 0, sizeof(seen_rcpt));
    while (history_next(c, &r)) {
        unsigned i = 0;
        bool first = true;

        while (i < MESSAGES && !record_id_same(&w->m[i].id, &r.id)) {
            i++;
        }
        assert_true(i < MESSAGES);
        do {
            if (r.kind == RECORD_MESSAGE) {
                assert_int_equal(found[i], 0); /* once */
                assert_int_equal(r.time_ms, w->m[i].time_ms);
                found[i] = 1;
            } else {
                assert_true(rcpt_stored(w, i, record_field(&r, FIELD_RECIPIENT)));
                seen_rcpt[i]++;
            }
            assert_true(first || r.kind == RECORD_RECIPIENT);
            first = false;
        } while (history_recipient(c, &r));
    }
    history_cursor_free(&c);
    for (unsigned i = 0; i < MESSAGES; i++) {
        bool recipient = slice_empty(q->recipient) || (found[i] != 0 && rcpt_stored(w, i, q->recipient));

        if (slice_empty(q->recipient)) {
            assert_int_equal(found[i], model_matches(w, i, q));
        } else {
            assert_true(!found[i] || (recipient && model_matches(w, i, q)));
            assert_true(seen_rcpt[i] > 0 || !rcpt_stored(w, i, q->recipient) || q->until_ms != 0);
        }
    }
}

static void draw_query(struct model *w, unsigned kind, char mem[96], struct history_query *q)
{
    const struct message *m = &w->m[traffic_below(&w->t, MESSAGES)];
    struct buf b;

    memset(q, 0, sizeof(*q));
    buf_init_fixed(&b, mem, 96);
    record_id_put(&b, &m->id);
    switch (kind) {
    case 0:
        assert_true(record_id_parse_ending(buf_slice(&b), &q->id));
        break;
    case 1:
        assert_true(record_id_parse_ending(slice_skip(buf_slice(&b), 20), &q->id));
        break;
    case 2:
        q->client = (struct cidr){ m->client, m->client.family == ADDR_V4 ? 32 : 128 };
        break;
    case 3:
        q->client = (struct cidr){ addr_network(&m->client, 24, 48), m->client.family == ADDR_V4 ? 24 : 48 };
        break;
    case 4:
        q->sender = traffic_sender(m, mem);
        break;
    case 5:
        q->author = traffic_author(m, mem);
        break;
    case 6:
        q->recipient = traffic_rcpt(m, 0, mem);
        break;
    case 7:
        q->domain = lookup_domain(traffic_sender(m, mem));
        break;
    case 8:
        q->message_id = traffic_message_id(m, mem);
        break;
    case 9: /* no lookup: a scan of a span */
        q->since_ms = m->time_ms;
        q->until_ms = m->time_ms + 3 * 3600000;
        break;
    default: /* a network that is wider than the lookups' */
        q->client = (struct cidr){ addr_network(&m->client, 16, 32), m->client.family == ADDR_V4 ? 16 : 32 };
        break;
    }
}

static void check_all(struct model *w)
{
    for (unsigned i = 0; i < 110; i++) {
        struct history_query q;
        char mem[96];

        draw_query(w, i % 11, mem, &q);
        check(w, &q);
        if (i % 3 == 0 && q.since_ms == 0) {
            q.until_ms = w->now_ms - 5 * (int64_t)3600000;
            check(w, &q);
        }
    }
}

static void check_losses(struct model *w)
{
    struct history_span span;

    history_span(w->h, 0, 0, &span);
    assert_int_equal(span.lost, w->lost);
    assert_int_equal(span.unreadable, 0);
    assert_true(span.days >= 2);
}

static struct model *model_new(uint64_t seed)
{
    struct model *w = xcalloc(1, sizeof(*w));

    folder_make();
    w->t = (struct traffic){ .state = seed, .people = 40, .domains = 12, .networks = 60 };
    w->settings = folder_settings();
    return w;
}

static void model_free(struct model *w)
{
    history_close(&w->h);
    folder_remove();
    free(w);
}

static void test_against_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct model *w = model_new(seed);

        run(w);
        check_losses(w);
        check_all(w); /* by the writer's own handle */
        history_close(&w->h);
        w->h = history_open_read(&w->settings);
        check_losses(w);
        check_all(w);
        model_free(w);
    }
}

/* A reader that looks while the writer goes on finds everything that was committed before it looked. */
static void test_reader_beside_writer(void **state)
{
    struct model *w = model_new(9);
    struct history *reader = history_open_read(&w->settings);
    const struct history_source source = { 0, 1 };

    (void)state;
    w->h = history_open_write(&w->settings);
    w->now_ms = BEGIN_MS;
    for (unsigned i = 0; i < 400; i++) {
        struct record_writer out;
        struct history_query q = { .limit = 0 };
        struct history_cursor *c;
        struct record r;
        char mem[96];

        w->now_ms += 20 * STEP_MS;
        traffic_message(&w->t, w->now_ms, &w->m[i]);
        assert_true(history_add(w->h, &source,
                                traffic_write_message(&out, &w->m[i], (struct traffic_from){ 1, i + 1 })));
        assert_true(history_commit(w->h, w->now_ms));
        while (i % 40 == 0 && history_tidy(w->h, w->now_ms)) {
            ;
        }
        q.message_id = traffic_message_id(&w->m[i / 2], mem);
        c = history_find(reader, &q);
        assert_true(history_next(c, &r));
        assert_true(record_id_same(&r.id, &w->m[i / 2].id));
        assert_false(history_next(c, &r));
        history_cursor_free(&c);
    }
    history_close(&reader);
    model_free(w);
}

/* A query on the writer's handle goes on while the writer goes to the next day, and back. */
static void test_query_over_midnight(void **state)
{
    struct model *w = model_new(11);
    const struct history_source source = { 0, 1 };
    struct history_cursor *c = NULL;
    struct record r;
    unsigned found = 0;

    (void)state;
    w->h = history_open_write(&w->settings);
    w->now_ms = BEGIN_MS;
    for (unsigned i = 0; i < 90; i++) {
        struct record_writer out;

        traffic_message(&w->t, w->now_ms, &w->m[i]);
        for (unsigned k = 0; k <= w->m[i].rcpts; k++) {
            const struct traffic_from from = { 1, ++w->workers[0].number };

            assert_true(history_add(w->h, &source,
                                    k == 0 ? traffic_write_message(&out, &w->m[i], from)
                                           : traffic_write_recipient(&out, &w->m[i], k - 1, from)));
        }
        assert_true(history_commit(w->h, w->now_ms));
        if (i == 39) {
            c = history_find(w->h, &(struct history_query){ .limit = 0 });
        }
        if (i >= 39 && history_next(c, &r)) {
            unsigned recipients = 0;

            found++;
            w->now_ms += i % 10 == 0 ? DAY_MS_TEST : i % 10 == 5 ? -DAY_MS_TEST : 0;
            assert_true(history_commit(w->h, w->now_ms));
            while (history_recipient(c, &r)) {
                recipients += r.kind == RECORD_RECIPIENT;
            }
            assert_true(recipients >= 1);
        }
    }
    assert_true(found >= 40); /* what was there when it began */
    history_cursor_free(&c);
    model_free(w);
}

/* ---- folding ---- */

static void add_many(struct model *w, unsigned n, const char *reason)
{
    const struct history_source source = { 0, 1 };
    struct traffic one = { .state = 7, .people = 1, .domains = 1, .networks = 1 };

    for (unsigned i = 0; i < n; i++) {
        struct worker *k = &w->workers[0];
        const struct traffic_from from = { 1, ++k->number };
        struct record_writer out;
        struct message m;

        traffic_message(&one, w->now_ms, &m);
        traffic_id(&w->t, w->now_ms, &m.id);
        w->m[0] = m; /* the last one */
        assert_true(history_add(w->h, &source,
                                reason != NULL ? traffic_write_early(&out, &m, reason, from)
                                               : traffic_write_message(&out, &m, from)));
    }
    assert_true(history_commit(w->h, w->now_ms));
}

struct sums {
    unsigned rows, early_rows;
    int64_t folded;
};

static struct sums add_up(struct model *w, const struct history_query *q)
{
    struct history_cursor *c = history_find(w->h, q);
    struct sums s = { 0, 0, 0 };
    struct record r;

    while (history_next(c, &r)) {
        s.rows++;
        s.early_rows += r.kind == RECORD_EARLY;
        s.folded += record_has(&r, FIELD_FOLDED) ? r.num[FIELD_FOLDED] : 0;
    }
    history_cursor_free(&c);
    return s;
}

static void test_early_records_are_folded(void **state)
{
    struct model *w = model_new(3);
    const struct history_query all = { .limit = 0 };
    struct history_query by_id = { .limit = 0 };
    struct sums s;
    struct buf b;
    char mem[96];

    (void)state;
    w->h = history_open_write(&w->settings);
    w->now_ms = BEGIN_MS;
    for (unsigned i = 0; i < 5; i++) {
        add_many(w, 20, "ban");
    }
    add_many(w, 7, "pregreet");
    s = add_up(w, &all);
    assert_int_equal(s.rows, 2);
    assert_int_equal(s.folded, 107);
    buf_init_fixed(&b, mem, sizeof(mem));
    record_id_put(&b, &w->m[0].id);
    assert_true(record_id_parse_ending(buf_slice(&b), &by_id.id));
    assert_int_equal(add_up(w, &by_id).rows, 1); /* one of the last four ids */
    reopen(w);                                   /* another row for the rest of the minute */
    add_many(w, 3, "ban");
    s = add_up(w, &all);
    assert_int_equal(s.rows, 3);
    assert_int_equal(s.folded, 110);
    w->now_ms += 60000;
    add_many(w, 1, "ban");
    assert_int_equal(add_up(w, &all).folded, 111);
    model_free(w);
}

static void test_one_network_cannot_fill_the_history(void **state)
{
    struct model *w = model_new(4);
    const struct history_query all = { .limit = 0 };
    struct sums s;

    (void)state;
    w->h = history_open_write(&w->settings);
    w->now_ms = BEGIN_MS;
    add_many(w, 500, NULL);
    add_many(w, 500, NULL);
    s = add_up(w, &all);
    assert_int_equal(s.rows - s.early_rows, 60);
    assert_int_equal(s.folded, 940);
    model_free(w);
}

/* ---- segments ---- */

static void test_full_segments(void **state)
{
    enum { N = SEGMENT_ROWS + 5000 };
    struct model *w = model_new(5);
    const struct history_source source = { 0, 1 };
    struct message picked[3];

    (void)state;
    w->t.networks = 60000;
    w->h = history_open_write(&w->settings);
    for (unsigned i = 0; i < N; i++) {
        struct record_writer out;
        struct record head = { .kind = RECORD_MESSAGE, .start = 1, .number = i + 1, .time_ms = BEGIN_MS };
        struct message m;
        char mem[96];

        traffic_message(&w->t, BEGIN_MS, &m);
        head.id = m.id;
        head.client = m.client;
        record_begin(&out, &head);
        record_put_text(&out, FIELD_MESSAGE_ID, traffic_message_id(&m, mem));
        assert_true(history_add(w->h, &source, record_end(&out)));
        if (i % 20000 == 7) {
            picked[i / 20000] = m;
        }
        if (i % 5000 == 4999) {
            assert_true(history_commit(w->h, BEGIN_MS + i));
        }
    }
    for (unsigned i = 0; i < 6; i++) {
        struct history_query q = { .limit = 0 };
        char mem[96];

        q.message_id = traffic_message_id(&picked[i % 3], mem);
        assert_int_equal(add_up(w, &q).rows, i < 3 ? 1 : 1);
        if (i == 2) {
            reopen(w);
        }
    }
    model_free(w);
}

/* ---- privacy ---- */

static void test_full_addresses_end(void **state)
{
    struct model *w = model_new(6);
    struct history_query q = { .limit = 0 };
    struct record r;
    struct history_cursor *c;
    char mem[96];

    (void)state;
    w->settings.full_addresses_s = 2 * 86400;
    w->settings.keep_s = 300 * 86400;
    run(w);
    history_close(&w->h);
    w->h = history_open_write(&w->settings);
    while (history_tidy(w->h, w->now_ms + 10 * DAY_MS_TEST)) {
        ;
    }
    q.sender = traffic_sender(&w->m[0], mem);
    assert_true(add_up(w, &q).rows >= 1); /* a known address is still found */
    c = history_find(w->h, &(struct history_query){ .limit = 0 });
    while (history_next(c, &r)) {
        if (r.kind == RECORD_MESSAGE) {
            assert_int_equal(record_field(&r, FIELD_SENDER).ptr[0], '~');
            assert_false(record_has(&r, FIELD_REPLY));
        }
    }
    history_cursor_free(&c);
    model_free(w);
}

static void test_reduced_when_written(void **state)
{
    for (unsigned how = HISTORY_ADDRESSES_DOMAIN; how <= HISTORY_ADDRESSES_HASH; how++) {
        struct model *w = model_new(6 + how);
        struct history_query q = { .limit = 0 }, by_client = { .limit = 0 };
        char mem[96];

        (void)state;
        w->settings.addresses = (enum history_addresses)how;
        w->h = history_open_write(&w->settings);
        w->now_ms = BEGIN_MS;
        add_many(w, 1, NULL);
        q.sender = traffic_sender(&w->m[0], mem);
        assert_int_equal(add_up(w, &q).rows, how == HISTORY_ADDRESSES_HASH);
        by_client.client = (struct cidr){ w->m[0].client, 32 };
        assert_int_equal(add_up(w, &by_client).rows, 1);
        model_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_reader_beside_writer),
        cmocka_unit_test(test_query_over_midnight),
        cmocka_unit_test(test_early_records_are_folded),
        cmocka_unit_test(test_one_network_cannot_fill_the_history),
        cmocka_unit_test(test_full_segments),
        cmocka_unit_test(test_full_addresses_end),
        cmocka_unit_test(test_reduced_when_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
