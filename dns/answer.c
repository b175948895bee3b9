/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.c - struct dns_answer: creation, reference count, names of its codes.
 *
 * Owns    nothing; dropping the last reference frees the block.
 * Errors  none: sizes come from the parser, which caps them (wire.h), or from our own code.
 */
#include "dns/answer.h"

/* Copies text and a NUL to *at, and moves *at behind them. */
static struct slice place(char **at, struct slice text)
{
    struct slice copy = slice_of(*at, text.len);

    if (text.len > 0) {
        memcpy(*at, text.ptr, text.len);
    }
    (*at)[text.len] = '\0';
    *at += text.len + 1;
    return copy;
}

struct dns_answer *answer_new(const struct wire_answer *w)
{
    size_t size = sizeof(struct dns_answer) + w->count * sizeof(struct dns_record);
    struct dns_answer *ans;
    char *at;

    for (size_t i = 0; i < w->count; i++) {
        size += w->records[i].data.len + 1;
    }
    size += w->canonical.len + 1;

    ans = xcalloc(1, size);
    ans->refs = 1;
    ans->status = (uint8_t)w->status;
    ans->why = (uint8_t)w->why;
    ans->ad = w->ad;
    ans->rcode = w->rcode;
    ans->dropped = w->dropped;
    ans->ttl_s = w->ttl_s;
    ans->size = size;
    ans->count = w->count;
    ans->records = (struct dns_record *)(void *)(ans + 1);
    at = (char *)(ans->records + w->count);
    for (size_t i = 0; i < w->count; i++) {
        ans->records[i] = w->records[i];
        ans->records[i].data = place(&at, w->records[i].data);
    }
    ans->canonical = place(&at, w->canonical);
    return ans;
}

struct dns_answer *dns_answer_ref(struct dns_answer *ans)
{
    ans->refs += 1;
    return ans;
}

void dns_answer_unref(struct dns_answer *ans)
{
    if (ans == NULL) {
        return;
    }
    BUG_ON(ans->refs == 0);
    ans->refs -= 1;
    if (ans->refs == 0) {
        free(ans);
    }
}

struct dns_answer *dns_answer_empty(enum dns_status status, enum dns_why why)
{
    struct wire_answer w = { .status = status, .why = why };

    BUG_ON(status == DNS_OK);
    return answer_new(&w);
}

struct dns_answer *dns_answer_make(const struct dns_record *records, size_t count)
{
    struct wire_answer w = { .status = DNS_OK, .count = count };
    struct dns_answer *ans;

    BUG_ON(count == 0);
    w.records = xcalloc(count, sizeof(*w.records));
    memcpy(w.records, records, count * sizeof(*w.records));
    ans = answer_new(&w);
    free(w.records);
    return ans;
}

struct addr dns_record_addr(const struct dns_record *rec)
{
    struct addr a = { .family = ADDR_NONE };

    if (rec->data.len == 4) {
        a.family = ADDR_V4;
    } else if (rec->data.len == 16) {
        a.family = ADDR_V6;
    } else {
        return a;
    }
    memcpy(a.ip, rec->data.ptr, rec->data.len);
    return a;
}

const char *dns_status_text(enum dns_status status)
{
    static const char *const texts[DNS_STATUS_COUNT] = { "ok", "nodata", "nxdomain", "tempfail" };

    return status < DNS_STATUS_COUNT ? texts[status] : "?";
}

const char *dns_why_text(enum dns_why why)
{
    static const char *const texts[DNS_WHY_COUNT] = {
        "", "illegal", "timeout", "servfail", "refused", "garbage", "network", "overload", "pace",
    };

    return why < DNS_WHY_COUNT ? texts[why] : "?";
}
