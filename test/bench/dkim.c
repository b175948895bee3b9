/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dkim.c - bench_dkim: what verifying costs, in CPU time; by hand (it is not a test: figures need a quiet machine).
 *
 *     body      1 MiB through each canonical form, beside SHA-256 alone over the same octets, in blocks of 16 KiB
 *     message   4 KiB with one signature, beside the same message without one
 *     section   64 KiB of short fields through the reader of message facts, which is one call
 *     hostile   50 signatures, 64 KiB of header section, 1,000 names in h=: all of it, and the longest call
 *
 * Each figure is the best of many runs: what the machine does beside it can only add.
 */
#include "smtp/message_head.h"
#include "test/unit/dkim/letters.h"

enum {
    MIB = 1 << 20,
    BLOCK = 16 << 10, /* a read of the proxy */
    ROUNDS = 40,
};

static double cpu_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* ---- bodies ---- */

static void put_base64(struct buf *b)
{
    for (size_t i = 0; b->len < MIB; i++) {
        buf_put_char(b, (char)('A' + i * 7 % 26));
        buf_put_str(b, i % 76 == 75 ? "\r\n" : "");
    }
}

static void put_prose(struct buf *b)
{
    uint32_t seed = 1;

    while (b->len < MIB) {
        for (size_t line = 0; line < 70;) {
            seed = seed * 1664525 + 1013904223;
            for (size_t n = 1 + seed % 9; n > 0; n--, line++) {
                buf_put_char(b, (char)('a' + (seed >> n) % 26));
            }
            buf_put_char(b, line++ % 97 == 96 ? '.' : ' ');
        }
        b->ptr[b->len - 1] = 'z';
        buf_put_str(b, "\r\n");
    }
}

static void put_markup(struct buf *b)
{
    uint32_t seed = 1;

    while (b->len < MIB) {
        seed = seed * 1664525 + 1013904223;
        for (size_t n = (seed >> 8) % 16; n > 0; n--) {
            buf_put_char(b, ' ');
        }
        for (size_t n = 10 + (seed >> 16) % 40; n > 0; n--) {
            buf_put_char(b, (seed >> (n % 20)) % 8 ? 'x' : ' ');
        }
        buf_put_str(b, "\r\n");
    }
}

static void put_worst(struct buf *b)
{
    while (b->len < MIB) {
        buf_put_str(b, "a\t");
    }
}

static double hash_alone(struct slice body)
{
    double best = 1e12;

    for (int i = 0; i < ROUNDS; i++) {
        struct sha256 *h = sha256_new();
        struct slice rest = body;
        double start = cpu_us();
        uint8_t hash[32];

        while (!slice_empty(rest)) {
            struct slice block = slice_take(rest, BLOCK);

            sha256_update(h, block.ptr, block.len);
            rest = slice_skip(rest, block.len);
        }
        sha256_final(h, hash);
        start = cpu_us() - start;
        best = start < best ? start : best;
    }
    return best;
}

/* The body through a verifier with one signature of this canonicalisation. */
static double verify_body(struct slice body, const char *canon)
{
    double best = 1e12;
    struct buf field;

    buf_init(&field, 4096);
    buf_putf(&field,
             "DKIM-Signature: v=1; a=rsa-sha256; c=%s; d=example.org; s=a; h=from; "
             "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n",
             canon);
    for (int i = 0; i < ROUNDS; i++) {
        struct dkim_settings settings = { .max_signatures = DKIM_SIGNATURES_MAX };
        struct dkim *d = dkim_new(&settings);
        struct slice rest = body;
        double start;

        dkim_put_field(d, buf_slice(&field));
        dkim_end_header(d, SLICE_NONE);
        start = cpu_us();
        while (!slice_empty(rest)) {
            struct slice block = slice_take(rest, BLOCK);

            dkim_put_body(d, block);
            rest = slice_skip(rest, block.len);
        }
        dkim_end_body(d);
        start = cpu_us() - start;
        best = start < best ? start : best;
        dkim_free(d);
    }
    buf_fini(&field);
    return best;
}

static void bench_bodies(void)
{
    static const struct {
        const char *name;
        void (*put)(struct buf *b);
    } bodies[] = {
        { "base64", put_base64 }, { "prose", put_prose }, { "markup", put_markup }, { "worst", put_worst }
    };

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        double alone, simple, relaxed;
        struct buf b;

        buf_init(&b, 2 * MIB);
        bodies[i].put(&b);
        alone = hash_alone(buf_slice(&b));
        simple = verify_body(buf_slice(&b), "simple/simple");
        relaxed = verify_body(buf_slice(&b), "simple/relaxed");
        printf("body     %-8s SHA-256 %.0f us, simple %.0f us (%.2f), relaxed %.0f us (%.2f)\n",
               bodies[i].name, alone, simple, simple / alone, relaxed, relaxed / alone);
        buf_fini(&b);
    }
}

/* ---- a message ---- */

static double judge_message(struct slice message, const struct letter_zone *zone)
{
    struct letter_how how = { .zone = zone, .chunk = 0, .order = LETTER_KEYS_LAST };
    double best = 1e12;

    for (int i = 0; i < ROUNDS * 10; i++) {
        double start = cpu_us();

        dkim_free(letter_judge(message, &how));
        start = cpu_us() - start;
        best = start < best ? start : best;
    }
    return best;
}

static struct slice plain_message(void)
{
    struct buf b;

    buf_init(&b, 64 << 10);
    for (int i = 0; i < 4; i++) {
        buf_put_str(
            &b, "Received: from a.example.net (a.example.net [192.0.2.1])\r\n\tby b.example.org (MTA) with "
                "ESMTPS id 12345;\r\n\tMon, 1 Jan 2024 00:00:00 +0000\r\n");
    }
    buf_put_str(&b, "From: Joe <joe@example.org>\r\nTo: Suzie Q <suzie@example.net>\r\nSubject: Is dinner "
                    "ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700\r\nMessage-ID: <1@example.org>\r\n\r\n");
    while (b.len < 4096) {
        buf_put_str(&b, "We lost the game. Are you hungry yet? It would be nice to see you all.\r\n");
    }
    return buf_slice(&b);
}

static void bench_message(void)
{
    static const struct {
        const char *name, *selector;
        enum letter_key key;
    } keys[] = {
        { "RSA-1024", "r1024", LETTER_RSA_1024 },
        { "RSA-2048", "r2048", LETTER_RSA_2048 },
        { "RSA-4096", "r4096", LETTER_RSA_4096 },
        { "Ed25519", "ed", LETTER_ED25519 },
    };
    static struct letter_zone zone;
    struct slice plain = plain_message();
    double without = judge_message(plain, &zone);

    letter_zone_put(&zone, SLICE("r1024._domainkey.example.org"), letter_record("", LETTER_RSA_1024));
    letter_zone_put(&zone, SLICE("r2048._domainkey.example.org"), letter_record("", LETTER_RSA_2048));
    letter_zone_put(&zone, SLICE("r4096._domainkey.example.org"), letter_record("", LETTER_RSA_4096));
    letter_zone_put(&zone, SLICE("ed._domainkey.example.org"), letter_record("k=ed25519; ", LETTER_ED25519));
    printf("message  4 KiB without a signature: %.1f us\n", without);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct slice message = letter_sign(plain, (struct letter_signature){ .key = keys[i].key,
                                                                             .s = keys[i].selector,
                                                                             .header = DKIM_RELAXED,
                                                                             .body = DKIM_RELAXED });

        printf("message  4 KiB, %-8s  %.1f us more\n", keys[i].name, judge_message(message, &zone) - without);
    }
}

/* ---- a hostile section ---- */

static void bench_section(const char *name, const char *field)
{
    double best = 1e12;
    struct buf b;

    buf_init(&b, 65 << 10);
    while (b.len < 64 << 10) {
        buf_put_str(&b, field);
    }
    for (int i = 0; i < ROUNDS; i++) {
        struct message_head h;
        double start = cpu_us();

        message_head_read(&h, buf_slice(&b));
        start = cpu_us() - start;
        best = start < best ? start : best;
        message_head_fini(&h);
    }
    printf("section  %-22s %.3f ms\n", name, best / 1e3);
    buf_fini(&b);
}

/* ---- a hostile message ---- */

struct clock {
    double all, longest;
    const char *where;
};

static void count(struct clock *c, double start, const char *where)
{
    double took = cpu_us() - start;

    c->all += took;
    if (took > c->longest) {
        c->longest = took;
        c->where = where;
    }
}

/* One line for each signature, as the fields of a section of 64 KiB allow. */
static struct slice hostile_message(const char *filler, bool many_names)
{
    struct buf names, b;

    buf_init(&names, 64 << 10);
    buf_init(&b, 1 << 20);
    buf_put_str(&names, "from");
    for (int i = 1; i < 1000 && many_names; i++) {
        buf_put_str(&names, i % 2 ? ":a" : ":b");
    }
    for (int i = 0; i < 50; i++) {
        bool long_one = i < 10 && many_names; /* the ten that are examined */

        buf_putf(&b,
                 "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/%s; d=example.org; s=s%d; l=%d; h=%s; "
                 "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=",
                 i % 2 ? "relaxed" : "simple", i % 10, i * 100, long_one ? names.ptr : "from:a:b:a:b");
        for (int n = 0; n < 170; n++) {
            buf_put_str(&b, "BBBB");
        }
        buf_put_str(&b, "BBA=\r\n"); /* 512 octets */
    }
    buf_put_str(&b, "From: a@example.org\r\n");
    while (b.len < (size_t)(many_names ? 64 : 120) << 10) {
        buf_put_str(&b, filler);
    }
    buf_fini(&names);
    return buf_slice(&b);
}

/* A key that is as dear as the limits allow: 4,096 bits, the exponent 2^32 - 1. */
static struct slice dear_record(void)
{
    static const unsigned char front[] = { 0x30, 0x82, 0x02, 0x0c, 0x02, 0x82, 0x02, 0x01, 0x00 };
    static const unsigned char back[] = { 0x02, 0x05, 0x00, 0xff, 0xff, 0xff, 0xff };
    unsigned char der[sizeof(front) + 512 + sizeof(back)];
    struct buf b;

    memcpy(der, front, sizeof(front));
    memset(der + sizeof(front), 0xa5, 512);
    memcpy(der + sizeof(front) + 512, back, sizeof(back));
    buf_init(&b, 4096);
    buf_put_str(&b, "p=");
    letter_base64(&b, der, sizeof(der));
    return buf_slice(&b);
}

static struct clock run_hostile(struct slice message, struct slice body, struct slice record)
{
    struct dkim_settings settings = { .max_signatures = DKIM_SIGNATURES_MAX };
    struct clock c = { 0 };
    struct dkim_answer answer = { DKIM_ANSWER_OK, record };
    const struct dkim_want *wants;
    double start = cpu_us();
    struct dkim *d = dkim_new(&settings);
    enum dkim_progress now = DKIM_BUSY;
    struct slice field;
    size_t keys;

    while (letter_next_field(&message, &field)) { /* in one call, as policy/checks/dkim_check.c does */
        dkim_put_field(d, field);
    }
    dkim_end_header(d, SLICE("example.org"));
    count(&c, start, "header section");
    keys = dkim_wants(d, &wants);
    for (size_t i = 0; i < keys; i++) {
        start = cpu_us();
        dkim_answer(d, i, &answer);
        count(&c, start, "answer");
    }
    while (!slice_empty(body)) {
        start = cpu_us();
        dkim_put_body(d, slice_take(body, BLOCK));
        count(&c, start, "put_body");
        body = slice_skip(body, BLOCK);
    }
    while (now == DKIM_BUSY) {
        start = cpu_us();
        now = dkim_step(d);
        count(&c, start, "step");
    }
    start = cpu_us();
    dkim_end_body(d);
    count(&c, start, "end_body");
    start = cpu_us();
    dkim_free(d);
    count(&c, start, "free");
    return c;
}

static void bench_hostile(const char *name, struct slice message)
{
    char body[BLOCK];
    struct clock best = { 1e12, 1e12, "" };
    struct slice record = dear_record();

    memset(body, 'x', sizeof(body));
    for (int i = 0; i < ROUNDS; i++) {
        struct clock c = run_hostile(message, slice_of(body, sizeof(body)), record);

        best.all = c.all < best.all ? c.all : best.all;
        if (c.longest < best.longest) {
            best.longest = c.longest;
            best.where = c.where;
        }
    }
    printf("hostile  %-22s %zu KiB of header: %.2f ms in all, the longest call %.3f ms (%s)\n", name,
           message.len >> 10, best.all / 1e3, best.longest / 1e3, best.where);
}

int main(void)
{
    bench_bodies();
    bench_message();
    bench_section("a:", "a:\r\n");
    bench_section("to:", "to:\r\n");
    bench_section("From:", "From:\r\n");
    bench_section("\\x80:", "\x80:\r\n");
    bench_section("rrrrrrrr:", "rrrrrrrr:\r\n");
    bench_hostile("1,000 names", hostile_message("A: x\r\n", true));
    bench_hostile("1,000 names, long", hostile_message("A: x  y z                              \r\n", true));
    bench_hostile("short fields", hostile_message("A:\r\n", false));
    bench_hostile("distinct names", hostile_message("A: 1\r\nB: 2\r\nC:3\r\nD:4\r\n", false));
    return 0;
}
