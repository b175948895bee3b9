/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list_share.c - packs and sums the evidence about a list that proxies exchange (memory.h).
 *
 * A proxy sends only its own counts and sums those of the others; it forwards none.  It skips counts from proxies
 * that have another standing of the list.  Otherwise evidence from before a demotion or a return that some have not
 * seen yet would demote the list again.
 *
 * Format  struct packed as in memory.  A reader skips another size or mark (another version or machine), so mixed
 *         versions share standing but not evidence.
 */
#include "state/memory.h"

#define MARK 0x676c7332u /* "gls2": witnesses have an SPF pass */

struct packed {
    uint32_t mark, size;
    uint64_t changed_ms;
    int64_t at_s;
    struct memory_minute minute[MEMORY_LIST_MINUTES];
    struct memory_good good[2];
};

_Static_assert(sizeof(struct packed) <= MEMORY_LIST_PACKED, "the buffers of the callers");

void memory_list_forget(struct memory_list *l)
{
    memset(l->good, 0, sizeof(l->good));
    for (size_t i = 0; i < MEMORY_LIST_MINUTES; i++) {
        struct memory_minute *m = &l->minute[i];

        m->clients = m->clients_yes = m->vouched = m->vouched_yes = m->bad = m->bad_yes = 0;
    }
    memory_list_others_begin(l);
}

void memory_list_changed(struct memory_list *l, uint64_t now_ms)
{
    l->changed_ms = now_ms > l->changed_ms ? now_ms : l->changed_ms + 1;
}

size_t memory_list_pack(const struct memory_list *l, int64_t now_s, char out[MEMORY_LIST_PACKED])
{
    struct packed p;

    memset(&p, 0, sizeof(p));
    p.mark = MARK;
    p.size = sizeof(p);
    p.changed_ms = l->changed_ms;
    p.at_s = now_s;
    memcpy(p.minute, l->minute, sizeof(p.minute));
    memcpy(p.good, l->good, sizeof(p.good));
    memcpy(out, &p, sizeof(p));
    return sizeof(p);
}

void memory_list_others_begin(struct memory_list *l)
{
    memset(l->other_minute, 0, sizeof(l->other_minute));
    memset(l->other_good, 0, sizeof(l->other_good));
}

void memory_minute_add_clients(struct memory_minute *to, const struct memory_minute *m)
{
    to->clients += m->clients;
    to->clients_yes += m->clients_yes;
    to->vouched += m->vouched;
    to->vouched_yes += m->vouched_yes;
    to->bad += m->bad;
    to->bad_yes += m->bad_yes;
}

/* Adds one minute, and replaces an older minute in its place. */
static void add_minute(struct memory_minute *to, const struct memory_minute *m)
{
    if (m->minute > to->minute) {
        *to = (struct memory_minute){ .minute = m->minute };
    }
    if (m->minute != to->minute) {
        return;
    }
    memory_minute_add_clients(to, m);
}

static void add_good(struct memory_good *to, const struct memory_good *g)
{
    if (g->epoch > to->epoch) {
        *to = (struct memory_good){ .epoch = g->epoch };
    }
    if (g->epoch != to->epoch) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(to->asked); i++) {
        to->asked[i] |= g->asked[i];
    }
    for (size_t i = 0; i < ARRAY_LEN(to->domains); i++) {
        to->domains[i] |= g->domains[i];
        to->networks[i] |= g->networks[i];
    }
}

bool memory_list_others_add(struct memory_list *l, struct slice packed, int64_t now_s)
{
    struct packed p;

    if (packed.len != sizeof(p)) {
        return false;
    }
    memcpy(&p, packed.ptr, sizeof(p));
    if (p.mark != MARK || p.size != sizeof(p) || p.at_s < now_s - MEMORY_LIST_PACKED_S) {
        return false;
    }
    if (p.changed_ms != l->changed_ms) {
        return true;
    }
    for (size_t i = 0; i < MEMORY_LIST_MINUTES; i++) {
        if (p.minute[i].minute % MEMORY_LIST_MINUTES == i) {
            add_minute(&l->other_minute[i], &p.minute[i]);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        if (p.good[i].epoch % 2 == i) {
            add_good(&l->other_good[i], &p.good[i]);
        }
    }
    return true;
}
