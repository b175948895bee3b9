/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wire.c - DNS messages: the query, good answers, hostile ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns/answer.h"
#include "test/unit/dns/packet.h"

enum { OK_FLAGS = 0x8180, AD_FLAGS = 0x81a0, TC_FLAGS = 0x8380, NX_FLAGS = 0x8183 };

static struct packet pk; /* the message under construction */

/* An exact heap copy, so that the sanitizer sees a read past the end; independent of the arena. */
static struct dns_answer *parse_cut(const char *name, unsigned type, size_t len, bool *has_opt)
{
    struct wire_question q = { .id = 7, .type = (uint16_t)type };
    struct wire_answer w;
    struct arena mem;
    struct dns_answer *ans;
    uint8_t *exact = xmalloc(len + (len == 0));

    memcpy(exact, pk.octets, len);
    assert_true(wire_name_set(&q.name, slice_str(name)));
    arena_init(&mem, WIRE_ARENA_MAX);
    wire_parse(slice_of(exact, len), &q, &mem, &w);
    free(exact);
    if (has_opt != NULL) {
        *has_opt = w.has_opt;
    }
    ans = answer_new(&w);
    arena_fini(&mem);
    return ans;
}

static struct dns_answer *parse(const char *name, unsigned type)
{
    return parse_cut(name, type, pk.len, NULL);
}

/* ---- the query ---- */

static void the_query_carries_any_octets_and_ends_with_opt(void **state UNUSED)
{
    static const uint8_t want[] = {
        0x12, 0x34, 0x01, 0x20, 0,    1,   0, 0,   0,   0,   0, 1, /* header: RD, AD */
        5,    'a',  0,    '\\', 0xff, 'x', 3, 'o', 'r', 'g', 0,    /* name */
        0,    16,   0,    1,                                       /* TXT, IN */
        0,    0,    41,   4,    0xd0, 0,   0, 0,   0,   0,   0     /* OPT, 1232 */
    };
    struct wire_question q = { .id = 0x1234, .type = DNS_TYPE_TXT };
    uint8_t out[WIRE_QUERY_MAX];

    assert_true(wire_name_set(&q.name, SLICE("A\0\\\xffX.ORG")));
    assert_int_equal(wire_put_query(out, &q), sizeof(want));
    assert_memory_equal(out, want, sizeof(want));
}

static void the_longest_name_fits(void **state UNUSED)
{
    struct wire_question q = { .type = 1 };
    uint8_t out[WIRE_QUERY_MAX];
    char name[254];

    memset(name, 'a', sizeof(name));
    name[63] = name[127] = name[191] = '.';
    assert_true(wire_name_set(&q.name, slice_of(name, 253)));
    assert_int_equal(q.name.len, 255);
    assert_int_equal(wire_put_query(out, &q), WIRE_QUERY_MAX);
    assert_false(wire_name_set(&q.name, slice_of(name, 254)));
}

/* ---- good answers ---- */

static void addresses_are_decoded(void **state UNUSED)
{
    struct dns_answer *ans;
    bool has_opt;

    pk_begin(&pk, 7, AD_FLAGS, "Host.Example", 1);
    pk_a(&pk, "@", 300, 0xc0000201);
    pk_a(&pk, "HOST.example", 60, 0xc0000202);
    pk_opt(&pk, 0);
    ans = parse_cut("host.EXAMPLE", 1, pk.len, &has_opt);
    assert_int_equal(ans->status, DNS_OK);
    assert_int_equal(ans->count, 2);
    assert_int_equal(ans->ttl_s, 60);
    assert_true(ans->ad);
    assert_true(has_opt);
    assert_int_equal(dns_record_addr(&ans->records[1]).ip[3], 2);
    assert_true(slice_empty(ans->canonical));
    dns_answer_unref(ans);
}

static void ipv6_is_decoded(void **state UNUSED)
{
    static const uint8_t ip[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };
    struct dns_answer *ans;
    size_t at;

    pk_begin(&pk, 7, OK_FLAGS, "h.test", 28);
    at = pk_rr(&pk, PK_ANSWER, "@", 28, 5);
    pk_raw(&pk, ip, 16);
    pk_rr_end(&pk, at);
    ans = parse("h.test", 28);
    assert_int_equal(ans->count, 1);
    assert_memory_equal(dns_record_addr(&ans->records[0]).ip, ip, 16);
    dns_answer_unref(ans);
}

static void the_cname_chain_is_followed_in_any_order(void **state UNUSED)
{
    struct dns_answer *ans;

    pk_begin(&pk, 7, OK_FLAGS, "a.test", 1);
    pk_a(&pk, "C.test", 100, 0xc0000201);
    pk_named(&pk, "b.test", 5, 20, "c.TEST");
    pk_named(&pk, "@", 5, 50, "b.test");
    pk_a(&pk, "evil.test", 1, 0x06060606);
    ans = parse("a.test", 1);
    assert_int_equal(ans->count, 1);
    assert_int_equal(ans->ttl_s, 20);
    assert_string_equal(ans->canonical.ptr, "c.test");
    dns_answer_unref(ans);
}

/* A chain of n aliases that ends in an address. */
static void build_chain(int n)
{
    char from[32] = "@", to[32];

    pk_begin(&pk, 7, OK_FLAGS, "a0.test", 1);
    for (int i = 1; i <= n; i++) {
        snprintf(to, sizeof(to), "a%d.test", i);
        pk_named(&pk, from, 5, 50, to);
        memcpy(from, to, sizeof(from));
    }
    pk_a(&pk, from, 50, 0xc0000201);
}

static void a_chain_of_ten_is_followed_and_no_longer(void **state UNUSED)
{
    struct dns_answer *ans;

    build_chain(10);
    ans = parse("a0.test", 1);
    assert_int_equal(ans->status, DNS_OK);
    dns_answer_unref(ans);
    build_chain(11);
    ans = parse("a0.test", 1);
    assert_int_equal(ans->status, DNS_TEMPFAIL);
    assert_int_equal(ans->why, DNS_WHY_GARBAGE);
    dns_answer_unref(ans);
}

static void txt_strings_are_joined(void **state UNUSED)
{
    struct dns_answer *ans;
    size_t at;

    pk_begin(&pk, 7, OK_FLAGS, "t.test", 16);
    at = pk_rr(&pk, PK_ANSWER, "@", 16, 9);
    pk_u8(&pk, 7);
    pk_raw(&pk, "v=spf1 ", 7);
    pk_u8(&pk, 0);
    pk_u8(&pk, 4);
    pk_raw(&pk, "-al\0", 4);
    pk_rr_end(&pk, at);
    at = pk_rr(&pk, PK_ANSWER, "@", 16, 9);
    pk_u8(&pk, 0);
    pk_rr_end(&pk, at);
    ans = parse("t.test", 16);
    assert_int_equal(ans->count, 2);
    assert_true(slice_eq(ans->records[0].data, SLICE("v=spf1 -al\0")));
    assert_int_equal(ans->records[1].data.len, 0);
    dns_answer_unref(ans);
}

static void txt_without_strings_is_an_empty_record(void **state UNUSED)
{
    struct dns_answer *ans;
    size_t at;

    pk_begin(&pk, 7, OK_FLAGS, "t.test", 16);
    at = pk_rr(&pk, PK_ANSWER, "@", 16, 9);
    pk_rr_end(&pk, at);
    ans = parse("t.test", 16);
    assert_int_equal(ans->status, DNS_OK);
    assert_int_equal(ans->count, 1);
    assert_int_equal(ans->records[0].data.len, 0);
    dns_answer_unref(ans);

    at = pk_rr(&pk, PK_ANSWER, "@", 16, 9); /* beside a good one */
    pk_u8(&pk, 11);
    pk_raw(&pk, "v=spf1 -all", 11);
    pk_rr_end(&pk, at);
    ans = parse("t.test", 16);
    assert_int_equal(ans->count, 2);
    assert_true(slice_eq(ans->records[1].data, SLICE("v=spf1 -all")));
    dns_answer_unref(ans);
}

static void odd_host_names_are_dropped_and_the_null_mx_kept(void **state UNUSED)
{
    struct dns_answer *ans;

    pk_begin(&pk, 7, OK_FLAGS, "m.test", 15);
    pk_named(&pk, "@", 15, 9, "MX_1.example");
    pk_named(&pk, "@", 15, 9, "m(x) .example");
    pk_named(&pk, "@", 15, 9, "");
    ans = parse("m.test", 15);
    assert_int_equal(ans->count, 2);
    assert_int_equal(ans->dropped, 1);
    assert_int_equal(ans->records[0].preference, 10);
    assert_string_equal(ans->records[0].data.ptr, "mx_1.example");
    assert_int_equal(ans->records[1].data.len, 0);
    dns_answer_unref(ans);

    pk_begin(&pk, 7, OK_FLAGS, "1.2.0.192.in-addr.arpa", 12);
    pk_named(&pk, "@", 12, 9, "\x01\x02.example");
    ans = parse("1.2.0.192.in-addr.arpa", 12);
    assert_int_equal(ans->status, DNS_NODATA);
    assert_int_equal(ans->dropped, 1);
    dns_answer_unref(ans);
}

/* RFC 1035 3.1: a label may hold a dot; such a name is no other name. */
static void a_dot_inside_a_label_is_not_a_separator(void **state UNUSED)
{
    struct dns_answer *ans;
    size_t at;

    pk_begin(&pk, 7, OK_FLAGS, "p.test", 12);
    at = pk_rr(&pk, PK_ANSWER, "@", 12, 9);
    pk_raw(&pk,
           "\x08"
           "mx.trust\x04"
           "test",
           15);
    pk_rr_end(&pk, at);
    ans = parse("p.test", 12);
    assert_int_equal(ans->count, 0);
    dns_answer_unref(ans);
    /* an owner like that is not ours either */
    pk_begin(&pk, 7, OK_FLAGS, "a.b", 1);
    pk_add_u16(&pk, PK_ANSWER);
    pk_raw(&pk,
           "\x03"
           "a.b\0\0\1\0\1\0\0\0\5\0\4\1\2\3\4",
           19);
    ans = parse("a.b", 1);
    assert_int_equal(ans->status, DNS_TEMPFAIL);
    dns_answer_unref(ans);
}

static void soa_ns_and_cname_can_be_asked_for(void **state UNUSED)
{
    struct dns_answer *ans;

    pk_begin(&pk, 7, OK_FLAGS, "z.test", 6);
    pk_soa(&pk, "@", 500, 60);
    pk_set_u16(&pk, PK_ANSWER, 1);
    pk_set_u16(&pk, PK_AUTHORITY, 0);
    ans = parse("z.test", 6);
    assert_string_equal(ans->records[0].data.ptr, "ns.test");
    dns_answer_unref(ans);
    pk_begin(&pk, 7, OK_FLAGS, "z.test", 2);
    pk_named(&pk, "@", 2, 9, "ns1.z.test");
    ans = parse("z.test", 2);
    assert_string_equal(ans->records[0].data.ptr, "ns1.z.test");
    dns_answer_unref(ans);
    pk_begin(&pk, 7, OK_FLAGS, "z.test", 5);
    pk_named(&pk, "@", 5, 9, "other.test");
    ans = parse("z.test", 5);
    assert_string_equal(ans->records[0].data.ptr, "other.test");
    dns_answer_unref(ans);
}

/* ---- negative answers ---- */

struct negative_row {
    const char *label;
    unsigned flags;
    const char *soa_owner; /* NULL: none */
    uint32_t soa_ttl, minimum;
    enum dns_status want;
    uint32_t want_ttl;
};

static const struct negative_row negative_rows[] = {
    { "no such name, minimum counts", NX_FLAGS, "test", 900, 30, DNS_NXDOMAIN, 30 },
    { "no such name, SOA TTL counts", NX_FLAGS, "test", 20, 30, DNS_NXDOMAIN, 20 },
    { "no data", OK_FLAGS, "sub.test", 900, 30, DNS_NODATA, 30 },
    { "root zone", NX_FLAGS, "", 900, 30, DNS_NXDOMAIN, 30 },
    { "SOA of the name itself", OK_FLAGS, "n.sub.test", 900, 30, DNS_NODATA, 30 },
    { "SOA of a stranger", NX_FLAGS, "example", 900, 30, DNS_NXDOMAIN, 0 },
    { "SOA of something below", NX_FLAGS, "x.n.sub.test", 900, 30, DNS_NXDOMAIN, 0 },
    { "suffix but no ancestor", NX_FLAGS, "ub.test", 900, 30, DNS_NXDOMAIN, 0 },
    { "TTL with the highest bit", NX_FLAGS, "test", 0x80000001, 30, DNS_NXDOMAIN, 0 },
    { "no SOA", NX_FLAGS, NULL, 0, 0, DNS_NXDOMAIN, 0 },
};

static void negative_answers_last_as_long_as_their_soa_says(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(negative_rows); i++) {
        const struct negative_row *row = &negative_rows[i];
        struct dns_answer *ans;

        pk_begin(&pk, 7, row->flags, "n.sub.test", 1);
        if (row->soa_owner != NULL) {
            pk_soa(&pk, row->soa_owner, row->soa_ttl, row->minimum);
        }
        pk_opt(&pk, 0);
        ans = parse("n.sub.test", 1);
        if (ans->status != row->want || ans->ttl_s != row->want_ttl) {
            fail_msg("%s: %s, %u", row->label, dns_status_text(ans->status), ans->ttl_s);
        }
        dns_answer_unref(ans);
    }
}

static void nxdomain_behind_an_alias_is_nxdomain(void **state UNUSED)
{
    struct dns_answer *ans;

    pk_begin(&pk, 7, NX_FLAGS, "a.test", 1);
    pk_named(&pk, "@", 5, 10, "gone.example");
    pk_soa(&pk, "example", 900, 30);
    ans = parse("a.test", 1);
    assert_int_equal(ans->status, DNS_NXDOMAIN);
    assert_int_equal(ans->ttl_s, 10);
    assert_string_equal(ans->canonical.ptr, "gone.example");
    dns_answer_unref(ans);
}

struct nothing_row {
    const char *label;
    bool stranger, alias, ns, soa;
    enum dns_status want;
    enum dns_why why;
};

/* RFC 2308 2.2: what says that there is nothing, and what says nothing. */
static const struct nothing_row nothing_rows[] = {
    { "an empty answer", false, false, false, false, DNS_NODATA, DNS_WHY_NONE },
    { "with SOA and name servers", false, false, true, true, DNS_NODATA, DNS_WHY_NONE },
    { "a referral", false, false, true, false, DNS_TEMPFAIL, DNS_WHY_REFUSED },
    { "a referral behind an alias", false, true, true, false, DNS_TEMPFAIL, DNS_WHY_REFUSED },
    { "an alias that leads nowhere", false, true, false, false, DNS_NODATA, DNS_WHY_NONE },
    { "a stranger's record alone", true, false, false, false, DNS_TEMPFAIL, DNS_WHY_GARBAGE },
    { "a stranger's record and a SOA", true, false, false, true, DNS_NODATA, DNS_WHY_NONE },
};

static void only_who_says_so_says_that_there_is_nothing(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(nothing_rows); i++) {
        const struct nothing_row *row = &nothing_rows[i];
        struct dns_answer *ans;
        size_t at;

        pk_begin(&pk, 7, OK_FLAGS, "n.sub.test", 1);
        if (row->alias) {
            pk_named(&pk, "@", 5, 60, "m.sub.test");
        }
        if (row->stranger) {
            pk_a(&pk, "poisoned.test", 60, 1);
        }
        if (row->ns) {
            at = pk_rr(&pk, PK_AUTHORITY, "sub.test", 2, 60);
            pk_name(&pk, "ns.sub.test");
            pk_rr_end(&pk, at);
        }
        if (row->soa) {
            pk_soa(&pk, "sub.test", 900, 30);
        }
        ans = parse("n.sub.test", 1);
        if (ans->status != row->want || ans->why != row->why) {
            fail_msg("%s: %s %s", row->label, dns_status_text(ans->status), dns_why_text(ans->why));
        }
        dns_answer_unref(ans);
    }
}

/* ---- failures ---- */

struct rcode_row {
    unsigned rcode, high;
    bool question;
    enum dns_why want;
};

static const struct rcode_row rcode_rows[] = {
    { 2, 0, true, DNS_WHY_SERVFAIL }, { 2, 0, false, DNS_WHY_SERVFAIL }, { 5, 0, true, DNS_WHY_REFUSED },
    { 4, 0, true, DNS_WHY_REFUSED },  { 1, 0, true, DNS_WHY_GARBAGE },   { 1, 0, false, DNS_WHY_GARBAGE },
    { 0, 1, true, DNS_WHY_GARBAGE }, /* BADVERS */
    { 3, 0, false, DNS_WHY_GARBAGE }, { 0, 0, false, DNS_WHY_GARBAGE },
};

static void failures_keep_their_reason(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rcode_rows); i++) {
        const struct rcode_row *row = &rcode_rows[i];
        struct dns_answer *ans;

        pk_begin(&pk, 7, 0x8180 | row->rcode, "a.test", 1);
        if (!row->question) {
            pk.len = 12;
            pk_set_u16(&pk, 4, 0);
        }
        pk_opt(&pk, row->high);
        ans = parse("a.test", 1);
        if (ans->status != DNS_TEMPFAIL || ans->why != row->want) {
            fail_msg("row %zu: %s", i, dns_why_text(ans->why));
        }
        assert_int_equal(ans->rcode, row->question ? row->rcode | row->high << 4 : row->rcode);
        dns_answer_unref(ans);
    }
}

/* ---- hostile messages ---- */

struct hostile_row {
    const char *label;
    unsigned type;
    struct slice rr; /* behind the question of "a.test", as the only record */
};

#define OWNER "\xc0\x0c"
#define HEAD(type) OWNER "\0" type "\0\1\0\0\0\x09"

static const struct hostile_row hostile_rows[] = {
    { "owner points to itself", 1, SLICE_INIT("\xc0\x18\0\1\0\1\0\0\0\x09\0\4\1\2\3\4") },
    { "owner points forward", 1, SLICE_INIT("\xc0\x30\0\1\0\1\0\0\0\x09\0\4\1\2\3\4") },
    { "owner points past the end", 1, SLICE_INIT("\xff\xff\0\1\0\1\0\0\0\x09\0\4\1\2\3\4") },
    { "owner is half a pointer", 1, SLICE_INIT("\xc0") },
    { "owner has a label type of old", 1,
      SLICE_INIT("\x41"
                 "a\0\0\1\0\1\0\0\0\x09\0\4\1\2\3\4") },
    { "owner runs off the end", 1,
      SLICE_INIT("\x3f"
                 "abc") },
    { "owner is cut", 1, SLICE_INIT("\1a") },
    { "no type", 1, SLICE_INIT(OWNER) },
    { "data longer than the message", 1, SLICE_INIT(HEAD("\1") "\0\5\1\2\3\4") },
    { "data length of 65535", 1, SLICE_INIT(HEAD("\1") "\xff\xff\1\2\3\4") },
    { "A of three octets", 1, SLICE_INIT(HEAD("\1") "\0\3\1\2\3") },
    { "A of five octets", 1, SLICE_INIT(HEAD("\1") "\0\5\1\2\3\4\5") },
    { "A of none", 1, SLICE_INIT(HEAD("\1") "\0\0") },
    { "AAAA of four octets", 28, SLICE_INIT(HEAD("\x1c") "\0\4\1\2\3\4") },
    { "TXT string longer than its data", 16, SLICE_INIT(HEAD("\x10") "\0\4\4abc") },
    { "TXT string longer than the message", 16,
      SLICE_INIT(HEAD("\x10") "\0\4\xff"
                              "abc") },
    { "MX of one octet", 15, SLICE_INIT(HEAD("\x0f") "\0\1\0") },
    { "MX without a name", 15, SLICE_INIT(HEAD("\x0f") "\0\2\0\1") },
    { "MX name ends before its data", 15, SLICE_INIT(HEAD("\x0f") "\0\6\0\1\1b\0\0") },
    { "MX name ends behind its data", 15, SLICE_INIT(HEAD("\x0f") "\0\4\0\1\1b\0") },
    { "PTR points to itself", 12, SLICE_INIT(HEAD("\x0c") "\0\2\xc0\x24") },
    { "PTR points to a pointer behind it", 12, SLICE_INIT(HEAD("\x0c") "\0\4\xc0\x26\xc0\x0c") },
    { "CNAME to itself", 1, SLICE_INIT(HEAD("\5") "\0\2\xc0\x0c") },
    { "CNAME is cut", 1, SLICE_INIT(HEAD("\5") "\0\1\1") },
};

static void hostile_records_are_garbage(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(hostile_rows); i++) {
        const struct hostile_row *row = &hostile_rows[i];
        struct dns_answer *ans;

        pk_begin(&pk, 7, OK_FLAGS, "a.test", row->type);
        pk_set_u16(&pk, PK_ANSWER, 1);
        pk_raw(&pk, row->rr.ptr, row->rr.len);
        ans = parse("a.test", row->type);
        if (ans->status != DNS_TEMPFAIL || ans->why != DNS_WHY_GARBAGE || ans->count != 0) {
            fail_msg("%s: %s", row->label, dns_status_text(ans->status));
        }
        dns_answer_unref(ans);
    }
}

struct head_row {
    const char *label;
    unsigned id, flags, questions, answers;
    const char *name;
    unsigned type;
};

static const struct head_row head_rows[] = {
    { "another id", 8, OK_FLAGS, 1, 0, "a.test", 1 },
    { "a query", 7, 0x0100, 1, 0, "a.test", 1 },
    { "another operation", 7, 0x8980, 1, 0, "a.test", 1 },
    { "truncated", 7, TC_FLAGS, 1, 0, "a.test", 1 },
    { "two questions", 7, OK_FLAGS, 2, 0, "a.test", 1 },
    { "another name", 7, OK_FLAGS, 1, 0, "b.test", 1 },
    { "another type", 7, OK_FLAGS, 1, 0, "a.test", 28 },
    { "more answers than there is room for", 7, OK_FLAGS, 1, 65535, "a.test", 1 },
    { "one answer announced, none there", 7, OK_FLAGS, 1, 1, "a.test", 1 },
};

static void heads_that_do_not_fit_are_garbage(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(head_rows); i++) {
        const struct head_row *row = &head_rows[i];
        struct dns_answer *ans;

        pk_begin(&pk, row->id, row->flags, row->name, row->type);
        pk_set_u16(&pk, 4, row->questions);
        pk_set_u16(&pk, PK_ANSWER, row->answers);
        ans = parse("a.test", 1);
        if (ans->status != DNS_TEMPFAIL || ans->why != DNS_WHY_GARBAGE) {
            fail_msg("%s: %s", row->label, dns_status_text(ans->status));
        }
        dns_answer_unref(ans);
    }
}

static void every_cut_of_a_good_message_is_refused_or_read(void **state UNUSED)
{
    pk_begin(&pk, 7, OK_FLAGS, "m.test", 15);
    pk_named(&pk, "@", 5, 5, "n.test");
    pk_named(&pk, "n.test", 15, 9, "mx.example");
    pk_soa(&pk, "test", 5, 5);
    pk_opt(&pk, 0);
    for (size_t len = 0; len < pk.len; len++) {
        struct dns_answer *ans = parse_cut("m.test", 15, len, NULL);

        assert_int_equal(ans->status, DNS_TEMPFAIL);
        dns_answer_unref(ans);
    }
}

static void caps_hold(void **state UNUSED)
{
    struct dns_answer *ans;
    char owner[32];

    pk_begin(&pk, 7, OK_FLAGS, "a.test", 1);
    for (unsigned i = 0; i < WIRE_RRS_MAX; i++) {
        pk_a(&pk, "@", 9, i);
    }
    ans = parse("a.test", 1);
    assert_int_equal(ans->count, WIRE_RECORDS_MAX);
    assert_int_equal(ans->dropped, WIRE_RRS_MAX - WIRE_RECORDS_MAX);
    dns_answer_unref(ans);
    pk_a(&pk, "@", 9, 1);
    ans = parse("a.test", 1);
    assert_int_equal(ans->why, DNS_WHY_GARBAGE);
    dns_answer_unref(ans);

    /* so many different owners that the arena is full: an end, not a crash */
    pk_begin(&pk, 7, OK_FLAGS, "a.test", 1);
    for (unsigned i = 0; i < WIRE_RRS_MAX; i++) {
        snprintf(owner, sizeof(owner), "o%u", i);
        pk_a(&pk, owner, 9, i);
    }
    ans = parse("a.test", 1);
    assert_int_equal(ans->why, DNS_WHY_GARBAGE);
    dns_answer_unref(ans);
}

static void a_name_of_256_octets_is_garbage(void **state UNUSED)
{
    for (unsigned last = 61; last <= 62; last++) {
        struct dns_answer *ans;
        size_t at;

        pk_begin(&pk, 7, OK_FLAGS, "a.test", 12);
        at = pk_rr(&pk, PK_ANSWER, "@", 12, 9);
        for (unsigned l = 0; l < 4; l++) {
            unsigned n = l == 3 ? last : 63;

            pk_u8(&pk, n);
            for (unsigned i = 0; i < n; i++) {
                pk_u8(&pk, 'a');
            }
        }
        pk_u8(&pk, 0);
        pk_rr_end(&pk, at);
        ans = parse("a.test", 12);
        assert_int_equal(ans->status, last == 61 ? DNS_OK : DNS_TEMPFAIL);
        dns_answer_unref(ans);
    }
}

static void other_classes_types_and_owners_are_ignored(void **state UNUSED)
{
    struct dns_answer *ans;
    size_t at;

    pk_begin(&pk, 7, OK_FLAGS, "a.test", 1);
    pk_a(&pk, "b.test", 9, 1);
    at = pk_rr(&pk, PK_ANSWER, "@", 46, 9); /* RRSIG */
    pk_raw(&pk, "signature", 9);
    pk_rr_end(&pk, at);
    pk_a(&pk, "@", 9, 2);
    pk.octets[pk.len - 11] = 3; /* class CH: type 2, class 2, ttl 4, length 2, data 4 */
    pk_soa(&pk, "test", 900, 30);
    ans = parse("a.test", 1);
    assert_int_equal(ans->status, DNS_NODATA);
    assert_int_equal(ans->dropped, 0);
    dns_answer_unref(ans);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_query_carries_any_octets_and_ends_with_opt),
        cmocka_unit_test(the_longest_name_fits),
        cmocka_unit_test(addresses_are_decoded),
        cmocka_unit_test(ipv6_is_decoded),
        cmocka_unit_test(the_cname_chain_is_followed_in_any_order),
        cmocka_unit_test(a_chain_of_ten_is_followed_and_no_longer),
        cmocka_unit_test(txt_strings_are_joined),
        { "B10: a TXT record without strings is an empty record", txt_without_strings_is_an_empty_record,
          NULL, NULL, NULL },
        cmocka_unit_test(odd_host_names_are_dropped_and_the_null_mx_kept),
        cmocka_unit_test(a_dot_inside_a_label_is_not_a_separator),
        cmocka_unit_test(soa_ns_and_cname_can_be_asked_for),
        cmocka_unit_test(negative_answers_last_as_long_as_their_soa_says),
        cmocka_unit_test(nxdomain_behind_an_alias_is_nxdomain),
        cmocka_unit_test(only_who_says_so_says_that_there_is_nothing),
        cmocka_unit_test(failures_keep_their_reason),
        cmocka_unit_test(hostile_records_are_garbage),
        cmocka_unit_test(heads_that_do_not_fit_are_garbage),
        cmocka_unit_test(every_cut_of_a_good_message_is_refused_or_read),
        cmocka_unit_test(caps_hold),
        cmocka_unit_test(a_name_of_256_octets_is_garbage),
        cmocka_unit_test(other_classes_types_and_owners_are_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
