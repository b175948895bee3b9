/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain_ask.c - reads the memory of the running glacis, for `glacis explain` (explain.h).
 *
 *     explain client 192.0.2.1            history 1789000000        when its memory begins
 *                                         connections 1             of the client, including this one
 *                                         list zen enforce          each list with its current mode
 *     explain memory seen KEY 0 86400     record 1 0 1789000000 0 0       found passed since count standing-since
 *                                                                         and then day:count of standing
 *
 * The answer is only a memory record: the verdict is made here.  An unreadable answer counts as none.
 */
#include <errno.h>

#include "admin/cmd/explain.h"
#include "state/memory.h"

#define ANSWER_MAX (1u << 20)

static bool take_number(struct slice *line, uint64_t max, uint64_t *n)
{
    struct slice word = slice_token(line);

    return slice_to_u64(word, max, n);
}

/* ---- the client and the lists ---- */

static bool take_line(struct explain_memory *m, struct policy *p, struct slice line)
{
    struct slice word = slice_token(&line), name;
    uint64_t n;

    if (slice_eq(word, SLICE("history")) && take_number(&line, INT64_MAX, &n)) {
        m->history_s = (int64_t)n;
        return true;
    }
    if (slice_eq(word, SLICE("connections")) && take_number(&line, UINT32_MAX, &n)) {
        m->connections = (unsigned)n;
        return true;
    }
    if (slice_eq(word, SLICE("list"))) {
        name = slice_token(&line);
        (void)policy_set_list_mode(p, name, slice_token(&line)); /* ignores a list that this file lacks */
        return true;
    }
    return false;
}

void explain_memory_open(struct explain_memory *m, struct policy *p, const struct addr *client)
{
    char mem[ADDR_TEXT_MAX + 40];
    struct buf line, answer, why;
    struct slice rest;

    buf_init_fixed(&line, mem, sizeof(mem));
    buf_put_str(&line, "explain client ");
    addr_put_ip(&line, client);
    buf_init(&answer, ANSWER_MAX);
    buf_init_fixed(&why, m->why, sizeof(m->why));
    m->asked = m->ask(m->ask_arg, mem, &answer) && answer.len > 0;
    if (!m->asked) {
        buf_put_str(&why, errno == ENOENT || errno == ECONNREFUSED
                              ? "no glacis is running with this file's state_dir"
                              : strerror(errno));
    }
    rest = buf_slice(&answer);
    while (m->asked && !slice_empty(rest)) {
        m->asked = take_line(m, p, slice_cut(&rest, '\n'));
        buf_put_str(&why, m->asked ? "" : "the running glacis is of another version");
    }
    buf_fini(&answer);
}

/* ---- the memory ---- */

static bool take_standing(struct slice line, struct memory_standing *s)
{
    for (size_t i = 0; i < MEMORY_DAYS; i++) {
        struct slice count = slice_token(&line), day = slice_cut(&count, ':');
        uint64_t d, n;

        if (slice_empty(day)) {
            return true;
        }
        if (!slice_to_u64(day, UINT16_MAX, &d) || !slice_to_u64(count, UINT16_MAX, &n)) {
            return false;
        }
        s->day[i] = (uint16_t)d;
        s->count[i] = (uint16_t)n;
    }
    return true;
}

static bool take_record(struct slice line, struct memory_record *out)
{
    uint64_t found, passed, since, count, standing;

    if (!slice_eq(slice_token(&line), SLICE("record")) || !take_number(&line, 1, &found) ||
        !take_number(&line, 1, &passed) || !take_number(&line, INT64_MAX, &since) ||
        !take_number(&line, UINT32_MAX, &count) || !take_number(&line, UINT32_MAX, &standing)) {
        return false;
    }
    *out = (struct memory_record){ .known = true,
                                   .found = found != 0,
                                   .passed = passed != 0,
                                   .since_s = (int64_t)since,
                                   .count = (unsigned)count,
                                   .standing = { .since_s = (uint32_t)standing } };
    return take_standing(line, &out->standing);
}

bool explain_peek(void *arg, const struct memory_question *q, struct memory_record *out)
{
    static const char digits[] = "0123456789abcdef";
    struct explain_memory *m = arg;
    char mem[160];
    struct buf line, answer;
    struct slice rest;
    bool ok;

    buf_init_fixed(&line, mem, sizeof(mem));
    buf_putf(&line, "explain memory %s ", explain_memory_words[q->what]);
    for (size_t i = 0; i < sizeof(q->key.octets); i++) {
        buf_put_char(&line, digits[q->key.octets[i] >> 4]);
        buf_put_char(&line, digits[q->key.octets[i] & 15]);
    }
    buf_putf(&line, " %" PRIu32 " %" PRIu32, q->member, q->keep_s);
    buf_init(&answer, ANSWER_MAX);
    ok = m->ask(m->ask_arg, mem, &answer);
    rest = buf_slice(&answer);
    ok = ok && take_record(slice_cut(&rest, '\n'), out);
    buf_fini(&answer);
    return ok;
}
