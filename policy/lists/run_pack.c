/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_pack.c - packs and restores a run without pending queries (reputation.h, judge_pack.c).
 *
 *     counts and states | names of the subjects | the reason | modes, list by list
 *     | the slots, each with its finding if it has one
 *
 * The octets never leave the process: it reads only what it wrote itself, for the same policy.  It keeps the modes of
 * the run, because the guard may have changed them since, and the slots depend on them.
 */
#include "policy/lists/reputation_run.h"

struct folded {
    uint8_t kinds, reason_state, reason_len;
    bool sampling, known[SUBJECT_COUNT];
    uint16_t reason_slot, name_len[SUBJECT_COUNT];
};

_Static_assert(REPUTATION_REASON_MAX <= UINT8_MAX && CONFIG_MAX_LISTS * SUBJECT_COUNT < UINT16_MAX,
               "struct folded");

/* The part that the log and the score still need. */
static bool has_finding(const struct slot *s)
{
    return s->state == LIST_STATE_LISTED || s->state == LIST_STATE_FAILED;
}

static void fold_slots(const struct reputation_run *run, struct buf *out)
{
    for (size_t i = 0; i < run->setup.rep->count; i++) {
        buf_put_char(out, (char)run->force[i].mode);
        buf_put_char(out, (char)run->force[i].ask);
    }
    for (size_t i = 0; i < run->count; i++) {
        const struct slot *s = &run->slot[i];

        buf_put_char(out, (char)s->state);
        buf_put_char(out, s->sampled);
        buf_put_char(out, (char)s->failure);
        buf_put(out, &s->found, has_finding(s) ? sizeof(s->found) : 0);
    }
}

void run_pack(const struct reputation_run *run, struct buf *out)
{
    struct folded f = { .kinds = (uint8_t)run->kinds,
                        .reason_state = (uint8_t)run->reason_state,
                        .reason_len = (uint8_t)run->reason_len,
                        .sampling = run->sampling };

    for (unsigned i = 0; i < SUBJECT_COUNT; i++) {
        f.known[i] = run->subject[i].known;
        f.name_len[i] = (uint16_t)slice_str(run->subject[i].name).len;
    }
    if (run->reason_slot != NULL) {
        f.reason_slot = (uint16_t)(run->reason_slot - run->slot + 1);
    }
    buf_put(out, &f, sizeof(f));
    for (unsigned i = 0; i < SUBJECT_COUNT; i++) {
        buf_put_slice(out, slice_str(run->subject[i].name));
    }
    buf_put(out, run->reason, run->reason_len);
    fold_slots(run, out);
}

static void take(struct slice *in, void *out, size_t len)
{
    BUG_ON(in->len < len);
    memcpy(out, in->ptr, len);
    *in = slice_skip(*in, len);
}

static uint8_t take_octet(struct slice *in)
{
    uint8_t octet;

    take(in, &octet, sizeof(octet));
    return octet;
}

static void unfold_slots(struct reputation_run *run, struct slice *in)
{
    for (size_t i = 0; i < run->setup.rep->count; i++) {
        run->force[i].mode = (enum list_mode)take_octet(in);
        run->force[i].ask = (enum list_ask)take_octet(in);
    }
    run_make_slots(run);
    for (size_t i = 0; i < run->count; i++) {
        struct slot *s = &run->slot[i];

        s->state = (enum list_state)take_octet(in);
        s->sampled = take_octet(in) != 0;
        s->failure = (enum slot_failure)take_octet(in);
        take(in, &s->found, has_finding(s) ? sizeof(s->found) : 0);
    }
}

struct reputation_run *run_unpack(const struct reputation_setup *setup, void (*on_change)(void *arg),
                                  void *arg, const struct addr *client, struct slice *in)
{
    struct reputation_run *run = run_make(setup, on_change, arg);
    struct folded f;

    run_set_client(run, client);
    take(in, &f, sizeof(f));
    run->kinds = f.kinds;
    run->sampling = f.sampling;
    for (unsigned i = 0; i < SUBJECT_COUNT; i++) {
        run->subject[i].known = f.known[i];
        run->subject[i].name = f.name_len[i] > 0 ? slice_dup(slice_take(*in, f.name_len[i])) : NULL;
        *in = slice_skip(*in, f.name_len[i]);
    }
    run->reason_state = (enum reason_state)f.reason_state;
    run->reason_len = f.reason_len;
    take(in, run->reason, f.reason_len);
    unfold_slots(run, in);
    run->reason_slot = f.reason_slot > 0 ? &run->slot[f.reason_slot - 1] : NULL;
    return run;
}
