/*
 * relay_map.c - the table of protocol 1.10 and RPL-15 as two functions.
 *
 * A refusal of us is told from a refusal of the mail by its code, at MAIL and RCPT only: a wrong connector
 * must not bounce the world's mail, and after DATA every word is about the message.  521 (to MAIL) and 556 say
 * that a host or a domain never takes mail (RFC 7504): of one that we are told to deliver to, that is about us
 * too (ADR-10).  5.5.1 is a protocol error of ours only with 503, or to MAIL: at RCPT many servers put it behind
 * a 550 that is about the recipient.
 */
#include "proxy/upstream/relay_map.h"

static bool is_about_us(enum up_state state, const struct reply *r)
{
    static const struct slice codes[] = {
        SLICE_INIT("5.7.54"),
        SLICE_INIT("5.7.57"),
        SLICE_INIT("5.7.60"),
    };

    if (!reply_is(r, 5) || (state != UP_MAIL && state != UP_RCPT)) {
        return false;
    }
    if (state == UP_MAIL && (r->code == 521 || slice_eq(r->enhanced, SLICE("5.5.1")))) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (slice_eq(r->enhanced, codes[i])) {
            return true;
        }
    }
    return r->code == 530 || r->code == 503 || r->code == 556;
}

static bool is_acceptance(enum up_state state, const struct reply *r)
{
    return state == UP_DATA ? r->code == 354
                            : reply_accepts(r); /* content never goes out as commands (UPF-32) */
}

static void busy_with_text(const struct reply *in, struct reply *out)
{
    *out = reply_table[REPLY_UP_BUSY];
    if (!slice_empty(in->text)) {
        out->text = in->text;
    }
}

enum map_result map_reply(enum up_state state, const struct reply *in, struct reply *out)
{
    *out = *in;
    if (in->code == 421) {
        busy_with_text(in, out);
        return MAP_GOES_AWAY;
    }
    if (is_about_us(state, in)) {
        *out = reply_table[REPLY_UP_REFUSES_US];
        return MAP_REFUSES_US;
    }
    if (reply_is(in, 4) || reply_is(in, 5)) {
        return MAP_REFUSED;
    }
    if (is_acceptance(state, in)) {
        return MAP_ACCEPTED;
    }
    *out = reply_table[REPLY_UP_PROTOCOL];
    return MAP_NONSENSE;
}

static enum reply_id reply_for(const struct upstream_failure *f)
{
    switch (f->why) {
    case UP_LOST:
    case UP_STALE:
        return f->state == UP_FINAL ? REPLY_UP_UNKNOWN : REPLY_UP_LOST;
    case UP_TIMEOUT:
        return f->state == UP_FINAL ? REPLY_UP_UNKNOWN : REPLY_UP_TIMEOUT;
    case UP_MALFORMED:
        return REPLY_UP_PROTOCOL;
    case UP_GOES_AWAY:
        return REPLY_UP_BUSY;
    case UP_REFUSAL:
        return REPLY_UP_UNREACHABLE;
    case UP_REFUSES_US:
        return REPLY_UP_REFUSES_US;
    case UP_NO_TLS:
    case UP_TLS_FAILED:
        return REPLY_UP_TLS;
    case UP_UNTRUSTED:
        return REPLY_UP_TLS_VERIFY;
    case UP_EARLY:
        return REPLY_UP_LOST;
    case UP_SPOOL:
        return REPLY_NO_MEMORY;
    case UP_WHY_COUNT:
        break;
    }
    return REPLY_UP_LOST;
}

void map_failure(const struct upstream_failure *f, struct reply *out)
{
    *out = reply_table[reply_for(f)];
    if (f->reply && (f->why == UP_GOES_AWAY || f->why == UP_EARLY)) {
        (void)map_reply(UP_FINAL, f->reply, out); /* 4xx and 5xx as they are, 421 as busy */
    }
}
