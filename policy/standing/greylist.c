/* SPDX-License-Identifier: Apache-2.0 */
/*
 * greylist.c - a sender that retries passes: triplets keyed by the SPF-pass domain or the network.
 *
 * Large senders retry from other addresses of the same SPF domain, so these pass at the second try from any
 * address.  Without an SPF pass the retry must come from the same network.
 */
#include "policy/standing/standing.h"

enum grey greylist_decide(const struct config_greylist *s, const struct memory_record *r, int64_t now_s,
                          bool *learn, uint32_t *wait_s)
{
    int64_t waited = r->found && now_s > r->since_s ? now_s - r->since_s : 0;

    *learn = false;
    *wait_s = 0;
    if (!r->known) {
        return GREY_PASSES;
    }
    if (r->passed || waited >= (int64_t)s->delay_s) {
        *learn = true;
        return GREY_PASSES;
    }
    *wait_s = (uint32_t)((int64_t)s->delay_s - waited);
    return GREY_WAITS;
}

struct memory_key greylist_key(const struct config_greylist *s, const struct greylist_who *who)
{
    char mem[1024];
    struct addr net = addr_network(who->ip, s->v4_bits, s->v6_bits);
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    if (slice_empty(who->spf_domain)) {
        addr_put_ip(&b, &net);
    } else {
        buf_put_slice(&b, slice_take(who->spf_domain, 253));
    }
    buf_put_char(&b, '\n');
    buf_put_slice(&b, slice_take(who->sender, 320));
    buf_put_char(&b, '\n');
    buf_put_slice(&b, slice_take(who->recipient, 320));
    return memory_key(MEMORY_TRIPLET, buf_slice(&b));
}
