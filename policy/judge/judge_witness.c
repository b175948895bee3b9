/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_witness.c - reports a session to the guard of the lists: who was listed, and by which identity
 * (lists/guard_run.h).
 */
#include "core/table.h"
#include "policy/judge/engine_priv.h"

static uint64_t hash_of(struct slice s)
{
    static const uint64_t fixed[2] = { 0x676c61636973ULL, 0x6f776e6572ULL };

    return siphash(fixed, s.ptr, s.len);
}

static bool is_hit(const struct judge *j, size_t list)
{
    int64_t weight;

    return reputation_list_state(j->run, list, &weight) == LIST_STATE_LISTED;
}

/* Does another list that counts against clients have it, too? */
static bool listed_elsewhere(const struct judge *j, size_t list)
{
    const struct reputation *rep = &j->pw->policy->reputation;

    for (size_t i = 0; i < rep->count; i++) {
        if (i != list && rep->list[i].weight_max > 0 &&
            guard_run_mode(j->pw->guard, i) == LIST_MODE_ENFORCE && is_hit(j, i)) {
            return true;
        }
    }
    return false;
}

void judge_bear_witness(const struct judge *j, bool established)
{
    const struct reputation *rep = &j->pw->policy->reputation;
    bool pass = source_is_word(j, FACT_ID_SPF, "pass");
    struct slice owner = pass ? standing_key_owner(source_text(j, FACT_ID_SPF_DOMAIN)) : SLICE_NONE;
    struct slice name = source_text(j, FACT_ID_CLIENT_RDNS);
    struct addr net = addr_network(&j->ip, 24, 48);
    struct guard_witness w = { .spf_pass = pass,
                               .established = established,
                               .owner = hash_of(owner),
                               .ip = j->ip,
                               .network = standing_key_network_hash(&j->ip) };
    char mem[DNS_NAME_MAX + ADDR_TEXT_MAX + 2];
    struct buf who;

    if (w.established) { /* many customers of a provider are one correspondent */
        guard_run_canary(j->pw->guard, &j->ip,
                         slice_empty(name) ? w.owner : hash_of(standing_key_owner(name)));
    }
    buf_init_fixed(&who, mem, sizeof(mem));
    addr_put_ip(&who, &net);
    buf_put_char(&who, ' ');
    buf_put_slice(&who, owner);
    w.who = buf_slice(&who);
    for (size_t i = 0; i < rep->count; i++) {
        int64_t weight;
        enum list_state state = reputation_list_state_raw(j->run, i, &weight);

        if (state != LIST_STATE_LISTED && state != LIST_STATE_NOT_LISTED) {
            continue;
        }
        w.listed = state == LIST_STATE_LISTED;
        w.overlap = listed_elsewhere(j, i);
        w.unique = !w.overlap;
        w.bad = w.overlap || source_is_word(j, FACT_ID_SPF, "fail");
        guard_run_witness(j->pw->guard, i, &w);
    }
}
