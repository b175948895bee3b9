/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - the recorder's answers to `glacis explain` (explain_ask.c has both lines and answers).
 *
 * It only reads: it stores no first time, counts nothing and delays no triplet.
 */
#include "admin/recorder/explain.h"

#include "admin/recorder/commands.h"
#include "policy/policy.h"
#include "state/clients.h"
#include "state/memory.h"

const char *const explain_memory_words[] = { [MEMORY_SEEN] = "seen",
                                             [MEMORY_STANDING] = "standing",
                                             [MEMORY_GREYLIST] = "greylist",
                                             [MEMORY_BURST] = "burst",
                                             [MEMORY_RATE] = "rate" };

/* The hexadecimal digits of a key. */
static bool take_key(struct slice text, struct memory_key *key)
{
    if (text.len != 2 * sizeof(key->octets)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);
        unsigned digit = ascii_is_digit(c) ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;

        if (digit > 15) {
            return false;
        }
        key->octets[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : key->octets[i / 2] | digit);
    }
    return true;
}

static bool take_question(struct slice args, struct memory_question *q)
{
    struct slice what = slice_token(&args), key = slice_token(&args), member = slice_token(&args);
    uint64_t m, keep;
    unsigned i = 0;

    while (i <= MEMORY_RATE && !slice_eq(what, slice_str(explain_memory_words[i]))) {
        i++;
    }
    if (i > MEMORY_RATE || !take_key(key, &q->key) || !slice_to_u64(member, UINT32_MAX, &m) ||
        !slice_to_u64(slice_token(&args), UINT32_MAX, &keep)) {
        return false;
    }
    q->what = (enum memory_what)i;
    q->member = (uint32_t)m;
    q->keep_s = (uint32_t)keep;
    return true;
}

static void put_record(const struct memory_record *r, struct buf *out)
{
    buf_putf(out, "record %d %d %" PRId64 " %u %" PRIu32, r->found, r->passed, r->since_s, r->count,
             r->standing.since_s);
    for (size_t i = 0; i < MEMORY_DAYS; i++) {
        if (r->standing.day[i] != 0) {
            buf_putf(out, " %u:%u", r->standing.day[i], r->standing.count[i]);
        }
    }
    buf_put_char(out, '\n');
}

static void answer_memory(struct state *st, struct slice args, struct buf *out)
{
    struct memory_question q;
    struct memory_record r;
    struct memory *m;

    if (!take_question(args, &q)) {
        buf_put_str(out, "error\nExpected: explain memory WHAT KEY MEMBER KEEP\n");
        return;
    }
    m = memory_new(st, NULL, NULL);
    memory_peek(m, &q, wall_now_s(), &r);
    if (r.known) {
        put_record(&r, out);
    } else {
        buf_put_str(out, "busy\n");
    }
    memory_free(&m);
}

static void answer_client(const struct config *conf, struct state *st, struct slice args, struct buf *out)
{
    struct memory *m;
    struct addr ip, client;

    if (!addr_parse_ip(slice_token(&args), &ip)) {
        buf_put_str(out, "error\nExpected: explain client ADDRESS\n");
        return;
    }
    client = addr_client(&ip);
    m = memory_new(st, NULL, NULL);
    buf_putf(out, "history %" PRId64 "\n", memory_history_since(m));
    buf_putf(out, "connections %u\n", state_client_connections(st, &client) + 1);
    memory_free(&m);
    if (conf->policy != NULL) {
        policy_list_modes(conf->policy, st, out);
    }
}

void explain_answer(const struct config *conf, struct state *st, struct slice args, struct buf *out)
{
    struct slice word = slice_token(&args);

    if (slice_eq(word, SLICE("memory"))) {
        answer_memory(st, args, out);
    } else if (slice_eq(word, SLICE("client"))) {
        answer_client(conf, st, args, out);
    } else {
        buf_put_str(out, "error\nExpected: explain client or explain memory\n");
    }
}

void query_explain(const struct recorder_view *v, const struct query_request *r)
{
    explain_answer(v->conf, v->st, r->args, r->out);
}
