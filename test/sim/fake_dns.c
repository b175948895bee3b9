/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_dns.c - dns_query_for() and friends answered from a table (fake_dns.h).
 */
#include "test/sim/fake_dns.h"

#define ROWS_MAX 1000
#define ASKED_MAX 20000
#define RECORDS_MAX 64

struct row {
    char *name, *value;
    enum dns_type type;
    uint64_t delay_ms;
};

struct asked {
    char *name;
    enum dns_type type;
    struct dns_asker who;
};

struct resolver {
    struct loop *loop;
    struct row row[ROWS_MAX];
    size_t row_count;
    struct asked asked[ASKED_MAX];
    size_t asked_count;
    size_t out;
};

struct dns_req {
    struct resolver *r;
    struct deferred now;
    struct timer later;
    char *name;
    enum dns_type type;
    dns_cb cb;
    void *arg;
};

struct resolver *resolver_new(struct loop *l, const struct dns_settings *settings)
{
    struct resolver *r = xcalloc(1, sizeof(*r));

    (void)settings;
    r->loop = l;
    return r;
}

void fake_dns_clear(struct resolver *r)
{
    for (size_t i = 0; i < r->row_count; i++) {
        free(r->row[i].name);
        free(r->row[i].value);
    }
    for (size_t i = 0; i < r->asked_count; i++) {
        free(r->asked[i].name);
    }
    r->row_count = r->asked_count = 0;
}

void resolver_free(struct resolver *r)
{
    if (r != NULL) {
        BUG_ON(r->out != 0); /* a leak: somebody forgot to cancel */
        fake_dns_clear(r);
        free(r);
    }
}

void resolver_stats(const struct resolver *r, struct dns_stats *out)
{
    *out = (struct dns_stats){ .questions = r->asked_count, .requests = r->out };
}

void fake_dns_add(struct resolver *r, const char *name, enum dns_type type, const char *value,
                  uint64_t delay_ms)
{
    BUG_ON(r->row_count == ROWS_MAX);
    r->row[r->row_count++] = (struct row){ xstrdup(name), xstrdup(value), type, delay_ms };
}

static const struct row *find(const struct resolver *r, const char *name, enum dns_type type)
{
    for (size_t i = 0; i < r->row_count; i++) {
        if (r->row[i].type == type && slice_eq_nocase(slice_str(r->row[i].name), slice_str(name))) {
            return &r->row[i];
        }
    }
    return NULL;
}

static struct dns_answer *failure(const char *value)
{
    static const struct {
        const char *value;
        enum dns_status status;
        enum dns_why why;
    } kinds[] = {
        { "NODATA", DNS_NODATA, DNS_WHY_NONE },         { "NXDOMAIN", DNS_NXDOMAIN, DNS_WHY_NONE },
        { "SERVFAIL", DNS_TEMPFAIL, DNS_WHY_SERVFAIL }, { "GARBAGE", DNS_TEMPFAIL, DNS_WHY_GARBAGE },
        { "OVERLOAD", DNS_TEMPFAIL, DNS_WHY_OVERLOAD }, { "PACE", DNS_TEMPFAIL, DNS_WHY_PACE },
    };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].value, value) == 0) {
            return dns_answer_empty(kinds[i].status, kinds[i].why);
        }
    }
    return NULL;
}

static void fill(struct dns_record *rec, const struct row *row, struct addr *a)
{
    struct slice value = slice_str(row->value), first = slice_take(value, slice_find(value, ' '));
    uint64_t preference;

    *rec = (struct dns_record){ .ttl_s = 60, .data = value };
    if (row->type == DNS_TYPE_A || row->type == DNS_TYPE_AAAA) {
        BUG_ON(!addr_parse_ip(value, a));
        rec->data = slice_of(a->ip, a->family == ADDR_V4 ? 4 : 16);
    } else if (row->type == DNS_TYPE_MX && slice_to_u64(first, 65535, &preference)) {
        rec->preference = (uint16_t)preference;
        rec->data = slice_skip(value, first.len + 1);
        rec->data = slice_eq(rec->data, SLICE(".")) ? SLICE("") : rec->data;
    }
}

static struct dns_answer *answer(const struct dns_req *q)
{
    struct dns_record rec[RECORDS_MAX];
    struct addr a[RECORDS_MAX];
    const struct row *first = find(q->r, q->name, q->type);
    struct dns_answer *ans = first != NULL ? failure(first->value) : NULL;
    bool exists = false;
    size_t n = 0;

    for (size_t i = 0; i < q->r->row_count && n < RECORDS_MAX && ans == NULL; i++) {
        const struct row *row = &q->r->row[i];

        if (slice_eq_nocase(slice_str(row->name), slice_str(q->name))) {
            exists = true;
            if (row->type == q->type) {
                fill(&rec[n], row, &a[n]);
                n++;
            }
        }
    }
    if (ans == NULL && n > 0) {
        ans = dns_answer_make(rec, n);
    }
    return ans != NULL ? ans : dns_answer_empty(exists ? DNS_NODATA : DNS_NXDOMAIN, DNS_WHY_NONE);
}

static void release(struct dns_req *q)
{
    deferred_cancel(&q->now);
    timer_stop(&q->later);
    q->r->out--;
    free(q->name);
    free(q);
}

static void on_time(void *arg)
{
    struct dns_req *q = arg;
    struct dns_answer *ans = answer(q);
    struct dns_had had = { .cached = false };
    dns_cb cb = q->cb;
    void *cb_arg = q->arg;

    release(q);
    cb(ans, &had, cb_arg);
    dns_answer_unref(ans);
}

struct dns_req *dns_query_for(const struct dns_asker *who, struct slice name, enum dns_type type, dns_cb cb,
                              void *arg)
{
    struct dns_req *q = xcalloc(1, sizeof(*q));
    struct resolver *r = who->resolver;
    const struct row *row;

    *q = (struct dns_req){ .r = r, .name = slice_dup(name), .type = type, .cb = cb, .arg = arg };
    deferred_init(&q->now, on_time, q);
    timer_init(&q->later, r->loop, on_time, q);
    r->out++;
    BUG_ON(r->asked_count == ASKED_MAX);
    r->asked[r->asked_count++] = (struct asked){ slice_dup(name), type, *who };
    row = find(r, q->name, type);
    if (row != NULL && strcmp(row->value, "TIMEOUT") == 0) {
        return q;
    }
    if (row != NULL && strcmp(row->value, "PACE") == 0 && who->paced != NULL) {
        who->paced(who->arg);
    }
    if (row != NULL && row->delay_ms > 0) {
        timer_start(&q->later, row->delay_ms);
    } else {
        loop_defer(r->loop, &q->now);
    }
    return q;
}

struct dns_req *dns_query(struct resolver *r, struct slice name, enum dns_type type, dns_cb cb, void *arg)
{
    struct dns_asker nobody = { .resolver = r };

    return dns_query_for(&nobody, name, type, cb, arg);
}

const struct dns_asker *fake_dns_asker(const struct resolver *r, const char *name, enum dns_type type)
{
    for (size_t i = r->asked_count; i > 0; i--) {
        if (strcmp(r->asked[i - 1].name, name) == 0 && r->asked[i - 1].type == type) {
            return &r->asked[i - 1].who;
        }
    }
    return NULL;
}

void dns_cancel(struct dns_req **req)
{
    if (*req != NULL) {
        release(*req);
        *req = NULL;
    }
}

size_t fake_dns_asked(const struct resolver *r, const char *name, enum dns_type type)
{
    size_t n = 0;

    for (size_t i = 0; i < r->asked_count; i++) {
        n += r->asked[i].type == type && slice_eq_nocase(slice_str(r->asked[i].name), slice_str(name));
    }
    return n;
}

size_t fake_dns_asked_below(const struct resolver *r, const char *zone)
{
    size_t n = 0;

    for (size_t i = 0; i < r->asked_count; i++) {
        n += slice_ends_nocase(slice_str(r->asked[i].name), slice_str(zone));
    }
    return n;
}

size_t fake_dns_total(const struct resolver *r)
{
    return r->asked_count;
}

size_t fake_dns_out(const struct resolver *r)
{
    return r->out;
}
