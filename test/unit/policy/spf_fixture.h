/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf_fixture.h - a small DNS for the tests of SPF: a list of records, and two ways of answering.
 *
 * A run is played twice by the tests: all wanted names answered at once, and one at a time in a seeded random
 * order, with answers repeated and answers nobody asked for in between.  Both must end in the same verdict.
 */
#ifndef TEST_UNIT_POLICY_SPF_FIXTURE_H
#define TEST_UNIT_POLICY_SPF_FIXTURE_H

#include <arpa/inet.h>

#include "policy/spf/spf.h"

enum {
    ZONE_MAX = 4096,
    ZONE_ANSWER_MAX = 512,
};

struct zone_entry {
    struct slice name; /* any case */
    int type;          /* enum spf_type, or one of the following */
    struct slice data; /* as struct spf_record_data */
    uint16_t preference;
};

enum {
    ZONE_CNAME = 100,
    ZONE_TIMEOUT, /* every type that the name does not have times out */
};

struct zone {
    struct zone_entry entry[ZONE_MAX];
    size_t count;
};

static inline void zone_put(struct zone *z, struct zone_entry e)
{
    BUG_ON(z->count == ZONE_MAX);
    z->entry[z->count++] = e;
}

static inline struct slice zone_trim(struct slice name)
{
    return name.len > 0 && name.ptr[name.len - 1] == '.' ? slice_take(name, name.len - 1) : name;
}

static inline struct addr zone_addr(const char *text)
{
    struct addr a = { .family = ADDR_V4 };

    if (inet_pton(AF_INET, text, a.ip) != 1) {
        a.family = ADDR_V6;
        BUG_ON(inet_pton(AF_INET6, text, a.ip) != 1);
    }
    return a;
}

/* Adds a record from text: type A AAAA MX PTR TXT CNAME TIMEOUT.  `addr_mem` keeps addresses: one a zone
 * entry. */
static inline void zone_put_text(struct zone *z, uint8_t (*addr_mem)[16], const char *const row[3])
{
    static const char *const types[] = { "A", "AAAA", "MX", "PTR", "TXT" };
    struct zone_entry e = { .name = slice_str(row[0]), .type = ZONE_TIMEOUT, .data = slice_str(row[2]) };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        e.type = strcmp(row[1], types[i]) == 0 ? (int)i : e.type;
    }
    if (e.type == SPF_TYPE_A || e.type == SPF_TYPE_AAAA) {
        struct addr a = zone_addr(row[2]);

        memcpy(addr_mem[z->count], a.ip, 16);
        e.data = slice_of(addr_mem[z->count], e.type == SPF_TYPE_A ? 4 : 16);
    }
    e.type = strcmp(row[1], "CNAME") == 0 ? ZONE_CNAME : e.type;
    zone_put(z, e);
}

/* Answers one name; `mem` is what the records lie in.  One CNAME is followed. */
static inline struct spf_answer zone_answer(const struct zone *z, const struct spf_want *want,
                                            struct spf_record_data mem[ZONE_ANSWER_MAX])
{
    struct spf_answer a = { .status = SPF_ANSWER_NXDOMAIN, .records = mem };
    struct slice name = want->name;
    int type = want->type == SPF_TYPE_EXP ? SPF_TYPE_TXT : (int)want->type;
    bool timeout = slice_starts_nocase(name, SLICE("error."));

    for (int turn = 0; turn < 2 && a.count == 0; turn++) {
        struct slice target = SLICE_NONE;

        for (size_t i = 0; i < z->count; i++) {
            const struct zone_entry *e = &z->entry[i];

            if (!slice_eq_nocase(zone_trim(e->name), name)) {
                continue;
            }
            a.status = a.status == SPF_ANSWER_NXDOMAIN ? SPF_ANSWER_NODATA : a.status;
            timeout = timeout || e->type == ZONE_TIMEOUT;
            if (e->type == ZONE_CNAME) {
                target = zone_trim(e->data);
            }
            if (e->type == type && a.count < ZONE_ANSWER_MAX) {
                mem[a.count].data = e->data;
                mem[a.count++].preference = e->preference;
                a.status = SPF_ANSWER_OK;
            }
        }
        if (slice_empty(target)) {
            break;
        }
        name = target;
    }
    if (a.count == 0 && timeout) {
        a.status = SPF_ANSWER_TEMPFAIL;
    }
    return a;
}

static inline void zone_feed(const struct zone *z, struct spf *e, const struct spf_want *want)
{
    struct spf_record_data mem[ZONE_ANSWER_MAX];
    struct spf_answer a = zone_answer(z, want, mem);

    spf_feed(e, want, &a);
}

static inline uint32_t zone_random(uint32_t *seed) /* xorshift */
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* All at once.  The caller frees. */
static inline struct spf *zone_play(const struct zone *z, const struct spf_input *in)
{
    struct spf *e = spf_new(in);
    const struct spf_want *wants;
    size_t n;

    while ((n = spf_step(e, &wants)) > 0) {
        for (size_t i = 0; i < n; i++) {
            zone_feed(z, e, &wants[i]);
        }
    }
    return e;
}

/* One at a time, in an order that the seed decides. */
static inline struct spf *zone_play_slowly(const struct zone *z, const struct spf_input *in, uint32_t seed)
{
    static const struct spf_want stray = { SPF_TYPE_TXT, SLICE_INIT("stray.example") };
    struct spf *e = spf_new(in);
    const struct spf_want *wants;
    size_t n;

    while ((n = spf_step(e, &wants)) > 0) {
        size_t pick = zone_random(&seed) % n;

        zone_feed(z, e, &stray);
        zone_feed(z, e, &wants[pick]);
        zone_feed(z, e, &wants[pick]);
    }
    return e;
}

#endif
