/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zero_day.c - detects the first hours of a wave: never seen before, or suddenly from many networks.
 *
 * Fresh    proves nothing before the history is learn_for old: until then every client is new.
 * Burst    one sender domain, HELO or sender from many networks.  Not checked if the name is tied to its networks:
 *          by an SPF pass, for the HELO also by a verified name of the same owner, or by good standing.
 *          So a newsletter or a large provider that sends from many networks under its own name is no
 *          suspect, and a spammer who forges a domain cannot make its real mail suspect.
 */
#include "policy/standing/standing.h"

static bool is_fresh(const struct memory_record *r, uint32_t fresh_s, int64_t now_s)
{
    return fresh_s > 0 && r != NULL && r->known && now_s - r->since_s < (int64_t)fresh_s;
}

struct zero_day zero_day_decide(const struct config_zero_day *s, const struct zero_day_seen *seen,
                                int64_t now_s)
{
    bool learned = seen->history_s > 0 && now_s - seen->history_s >= (int64_t)s->learn_for_s;
    struct zero_day z = { false, false, false };

    z.fresh_domain = learned && is_fresh(seen->domain, s->fresh_domain_s, now_s);
    z.fresh_client = learned && is_fresh(seen->client, s->fresh_client_s, now_s);
    for (size_t i = 0; i < 3; i++) {
        const struct memory_record *r = seen->burst[i];

        z.burst =
            z.burst || (s->burst_networks > 0 && r != NULL && r->known && r->count >= s->burst_networks);
    }
    return z;
}

size_t zero_day_burst_questions(const struct config_zero_day *s, const struct burst_ask *ask,
                                const struct addr *ip, struct memory_question q[3], unsigned which[3])
{
    bool same_owner = !slice_empty(ask->rdns) &&
                      slice_eq_nocase(standing_key_owner(ask->rdns), standing_key_owner(ask->helo));
    const struct {
        enum memory_kind kind;
        struct slice text;
        bool tied;
    } row[3] = {
        { MEMORY_SENDER, ask->domain, ask->spf_pass },
        { MEMORY_HELO, ask->helo, ask->spf_pass || ask->helo_spf_pass || same_owner },
        { MEMORY_ADDRESS, ask->sender, ask->spf_pass },
    };
    size_t n = 0;

    if (s->burst_networks == 0 || ask->known_good) {
        return 0;
    }
    for (unsigned i = 0; i < 3; i++) {
        if (slice_empty(row[i].text) || row[i].tied) {
            continue;
        }
        q[n] = (struct memory_question){
            .what = MEMORY_BURST,
            .key = memory_key(row[i].kind, row[i].text),
            .member = standing_key_network_hash(ip),
            .keep_s = s->burst_within_s,
        };
        which[n++] = i;
    }
    return n;
}
