/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_spf.c - any zone, any sender: one verdict, whatever the order of answers and the engine.
 *
 * The input is text: client address, sender, HELO, then one record a line: a letter for the type (T A 6 M P C
 * X), a letter for the name ("a" is a.test; "!" the client's reverse name), then the data.
 *
 *     192.0.2.1
 *     joe@a.test
 *     helo.b.test
 *     Tav=spf1 mx -all exp=%{d}.c.test
 *     Mab.test
 *     Ab192.0.2.1
 */
#include <stdint.h>

#include "policy/judge/authres.h"
#include "test/unit/policy/spf_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS_MAX = 256 };

struct scene {
    struct zone zone;
    uint8_t ip[RECORDS_MAX][16];
    char names[RECORDS_MAX][128];
    struct addr client;
};

/* What cannot be read as an address is the client's own. */
static struct addr read_addr(struct slice text, struct addr otherwise)
{
    struct addr a = { .family = ADDR_V4 };
    char mem[64];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    buf_put_slice(&b, text);
    if (inet_pton(AF_INET, mem, a.ip) == 1) {
        return a;
    }
    a.family = ADDR_V6;
    return inet_pton(AF_INET6, mem, a.ip) == 1 ? a : otherwise;
}

static struct slice name_of(struct scene *s, char letter)
{
    size_t i = s->zone.count;
    struct buf b;

    buf_init_fixed(&b, s->names[i], sizeof(s->names[i]));
    if (letter != '!') {
        buf_put_char(&b, letter);
        buf_put_str(&b, ".test");
    } else if (s->client.family == ADDR_V4) {
        const uint8_t *ip = s->client.ip;

        buf_putf(&b, "%u.%u.%u.%u.in-addr.arpa", ip[3], ip[2], ip[1], ip[0]);
    } else {
        for (size_t k = 16; k-- > 0;) {
            buf_putf(&b, "%x.%x.", s->client.ip[k] & 15U, (unsigned)s->client.ip[k] >> 4);
        }
        buf_put_str(&b, "ip6.arpa");
    }
    return buf_slice(&b);
}

static void read_record(struct scene *s, struct slice line)
{
    static const struct {
        char letter;
        int type;
    } types[] = {
        { 'T', SPF_TYPE_TXT }, { 'A', SPF_TYPE_A }, { '6', SPF_TYPE_AAAA }, { 'M', SPF_TYPE_MX },
        { 'P', SPF_TYPE_PTR }, { 'C', ZONE_CNAME }, { 'X', ZONE_TIMEOUT },
    };
    struct zone_entry e = { .type = -1 };
    struct addr a;

    if (line.len < 2 || s->zone.count == RECORDS_MAX) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        e.type = line.ptr[0] == types[i].letter ? types[i].type : e.type;
    }
    if (e.type < 0) {
        return;
    }
    e.name = name_of(s, line.ptr[1]);
    e.data = slice_skip(line, 2);
    if (e.type == SPF_TYPE_A || e.type == SPF_TYPE_AAAA) {
        a = read_addr(e.data, s->client);
        memcpy(s->ip[s->zone.count], a.ip, 16);
        e.data = slice_of(s->ip[s->zone.count], e.type == SPF_TYPE_A ? 4 : 16);
    }
    zone_put(&s->zone, e);
}

static void must_be_text(const char *text)
{
    for (; *text != '\0'; text++) {
        BUG_ON(!ascii_is_print(*text));
    }
}

static void must_be_sound(const struct spf_verdict *v)
{
    BUG_ON(v->result >= SPF_RESULT_COUNT);
    BUG_ON(v->lookups > SPF_QUERIES_MAX);
    BUG_ON(v->weak && v->result != SPF_NEUTRAL);
    BUG_ON(v->explanation[0] != '\0' && v->result != SPF_FAIL);
    must_be_text(v->domain);
    must_be_text(v->mechanism);
    must_be_text(v->decided_by);
    must_be_text(v->explanation);
    must_be_text(v->problem);
}

static void must_agree(const struct spf_verdict *a, const struct spf_verdict *b)
{
    BUG_ON(a->result != b->result);
    BUG_ON(a->weak != b->weak);
    BUG_ON(a->terms != b->terms);
    BUG_ON(a->lookups != b->lookups);
    BUG_ON(a->steps != b->steps);
    BUG_ON(strcmp(a->domain, b->domain) != 0);
    BUG_ON(strcmp(a->mechanism, b->mechanism) != 0);
    BUG_ON(strcmp(a->decided_by, b->decided_by) != 0);
    BUG_ON(strcmp(a->explanation, b->explanation) != 0);
}

/* Header fields: lines of at most 998 octets, folded, printable, ended by CRLF. */
static void must_be_fields(struct slice text)
{
    while (!slice_empty(text)) {
        struct slice line = slice_cut(&text, '\n');

        BUG_ON(line.len > 999 || line.len < 2 || line.ptr[line.len - 1] != '\r');
        for (size_t i = 0; i + 1 < line.len; i++) {
            BUG_ON(!ascii_is_print(line.ptr[i]));
        }
        BUG_ON(!slice_empty(text) && text.ptr[0] != ' ' && !slice_starts(text, SLICE("Received-SPF: ")));
    }
}

static void write_fields(const struct spf_input *in, const struct spf_verdict *v)
{
    struct authres a = {
        .authserv_id = SLICE("mx.test"),
        .client = in->client,
        .sender = in->sender,
        .helo = in->helo,
        .spf = v,
        .iprev = SLICE("pass"),
        .rdns = in->helo,
    };
    struct buf b;

    buf_init(&b, 64 * 1024);
    authres_put(&b, &a);
    authres_put_received_spf(&b, &a);
    BUG_ON(!buf_ok(&b));
    must_be_fields(buf_slice(&b));
    buf_fini(&b);
}

static void play(const struct scene *s, struct spf_input *in, uint32_t seed)
{
    struct spf *fast = zone_play(&s->zone, in);
    struct spf *slow = zone_play_slowly(&s->zone, in, seed);

    must_be_sound(spf_verdict(fast));
    write_fields(in, spf_verdict(fast));
    must_agree(spf_verdict(fast), spf_verdict(slow));
    if (spf_engine_built(SPF_ENGINE_LIBSPF2)) {
        struct spf *other;

        in->engine = SPF_ENGINE_LIBSPF2;
        other = zone_play(&s->zone, in);
        must_agree(spf_verdict(fast), spf_verdict(other));
        spf_free(other);
    }
    spf_free(fast);
    spf_free(slow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scene s; /* 260 KiB that need not be cleared each time */
    struct slice rest = slice_of(data, size);
    struct slice client = slice_cut(&rest, '\n');
    struct spf_input in = {
        .receiver = SLICE("mx.test"),
        .now_s = 1700000000,
        .weak_v4_bits = 8,
        .weak_v6_bits = 16,
        .explain = true,
    };

    s.zone.count = 0;
    s.client = read_addr(client, (struct addr){ .family = ADDR_V4, .ip = { 192, 0, 2, 1 } });
    in.client = s.client;
    in.sender = slice_cut(&rest, '\n');
    in.helo = slice_cut(&rest, '\n');
    in.identity = size % 8 == 0 ? SPF_HELO : SPF_MAILFROM;
    while (!slice_empty(rest)) {
        read_record(&s, slice_cut(&rest, '\n'));
    }
    play(&s, &in, (uint32_t)size | 1);
    return 0;
}
