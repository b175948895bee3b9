/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reputation_answer.c - which subjects a list can look up, and what one answer of it means (reputation.h).  Pure.
 */
#include "policy/checks/check.h"
#include "policy/lists/reputation.h"

/* ---- queries ---- */

bool reputation_is_host(struct slice name)
{
    struct addr literal;

    return helo_kind(name, &literal) == HELO_FQDN;
}

/* The last labels that fit into `room` octets, at most LIST_LABELS_MAX. */
static struct slice last_labels(struct slice name, size_t room)
{
    struct slice front = name, kept = SLICE_NONE;

    for (unsigned n = 0; n < LIST_LABELS_MAX && !slice_empty(front); n++) {
        size_t dot = slice_rfind(front, '.'), start = dot < front.len ? dot + 1 : 0;

        if (name.len - start > room) {
            break;
        }
        kept = slice_skip(name, start);
        front = slice_take(front, start > 0 ? start - 1 : 0);
    }
    return kept;
}

bool reputation_put_host(struct buf *out, struct slice name, struct slice zone)
{
    struct slice asked =
        zone.len + 1 < DNS_NAME_MAX ? last_labels(name, DNS_NAME_MAX - zone.len - 1) : SLICE_NONE;

    return reputation_is_host(asked) && dns_put_domain_list_name(out, asked, zone);
}

/* ---- answers ---- */

static bool in_range(const struct list_range *r, const uint8_t ip[4])
{
    for (unsigned i = 0; i < 4; i++) {
        if (ip[i] < r->low[i] || ip[i] > r->high[i]) {
            return false;
        }
    }
    return true;
}

static bool in_any(const struct list_range *r, size_t count, const uint8_t ip[4])
{
    for (size_t i = 0; i < count; i++) {
        if (in_range(&r[i], ip)) {
            return true;
        }
    }
    return false;
}

/* What the address means before the list's answers are compared: LIST_RESULT_NO if it may be one of them. */
static enum list_result kind_of(const struct reputation_list *list, const struct addr *a)
{
    const uint8_t *ip = a->ip;

    if (a->family != ADDR_V4 || ip[0] != 127) {
        return LIST_RESULT_ERROR;
    }
    if (in_any(list->voids, list->void_count, ip)) {
        return LIST_RESULT_VOID;
    }
    if ((ip[1] == 255 && ip[2] == 255) || in_any(list->errors, list->error_count, ip)) {
        return LIST_RESULT_ERROR;
    }
    return LIST_RESULT_NO;
}

/* Judges this address alone. */
static struct list_finding judge_one(const struct reputation_list *list, const struct addr *a)
{
    struct list_finding f = { .result = kind_of(list, a), .answered = a->family == ADDR_V4 };
    const uint8_t *ip = a->ip;

    memcpy(f.answer, ip, sizeof(f.answer));
    for (size_t i = 0; f.result <= LIST_RESULT_HIT && i < list->answer_count; i++) {
        if (in_range(&list->answers[i], ip) &&
            (f.result == LIST_RESULT_NO || list->answers[i].weight > f.weight)) {
            f.result = LIST_RESULT_HIT;
            f.weight = list->answers[i].weight;
        }
    }
    return f;
}

/* One odd address makes the whole answer odd; else the heaviest hit counts. */
static bool outweighs(const struct list_finding *f, const struct list_finding *best)
{
    return f->result != best->result ? f->result > best->result
                                     : f->result == LIST_RESULT_HIT && f->weight > best->weight;
}

struct list_finding reputation_judge(const struct reputation_list *list, const struct dns_answer *ans)
{
    struct list_finding best = { .result = LIST_RESULT_NO };

    if (ans->status == DNS_TEMPFAIL) {
        return (struct list_finding){ .result = LIST_RESULT_ERROR,
                                      .ours = ans->why == DNS_WHY_OVERLOAD || ans->why == DNS_WHY_PACE };
    }
    for (size_t i = 0; ans->status == DNS_OK && i < ans->count; i++) {
        struct addr a = dns_record_addr(&ans->records[i]);
        struct list_finding f = judge_one(list, &a);

        if (!best.answered || outweighs(&f, &best)) {
            best = f;
        }
    }
    return best;
}
