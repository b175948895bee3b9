/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_map.c - the table of protocol 1.10 and RPL-15.
 *
 * The code separates a refusal of us from a refusal of the mail, at MAIL and RCPT only.  A misconfigured connector
 * must not bounce all mail, and after DATA every reply is about the message.  521 (to MAIL) and 556 mean that a host
 * or domain never takes mail (RFC 7504).  For a configured upstream that is about us too (ADR-10).  5.5.1 means our
 * own protocol error only with 503, or to MAIL: at RCPT many servers send it with a 550 about the recipient.
 */
#include "proxy/upstream/relay_map.h"

static bool is_about_us(enum up_state state, const struct reply *r)
{
    static const struct slice codes[] = {
        SLICE_INIT("5.7.54"),
        SLICE_INIT("5.7.57"),
        SLICE_INIT("5.7.60"),
    };

    if (!reply_is(r, 5) || (state != UP_STATE_MAIL && state != UP_STATE_RCPT)) {
        return false;
    }
    if (state == UP_STATE_MAIL && (r->code == 521 || slice_eq(r->enhanced, SLICE("5.5.1")))) {
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
    return state == UP_STATE_DATA ? r->code == 354
                                  : reply_accepts(r); /* content never goes out as commands (UPF-32) */
}

/* Only unambiguous codes, because unknown_rcpt.c caches such recipients. */
static bool says_no_such_user(const struct reply *r)
{
    return r->code == 550 &&
           (slice_eq(r->enhanced, SLICE("5.1.1")) || slice_eq(r->enhanced, SLICE("5.1.10")));
}

static enum map_result result_of(enum up_state state, const struct reply *r)
{
    if (r->code == 421) {
        return MAP_GOES_AWAY;
    }
    if (is_about_us(state, r)) {
        return MAP_REFUSES_US;
    }
    if (reply_is(r, 4)) {
        return MAP_DEFERRED;
    }
    if (reply_is(r, 5)) {
        return MAP_REJECTED;
    }
    return is_acceptance(state, r) ? MAP_ACCEPTED : MAP_NONSENSE;
}

struct up_answer map_reply(enum up_state state, const struct reply *reply)
{
    return (struct up_answer){
        .result = result_of(state, reply),
        .no_such_user = state == UP_STATE_RCPT && says_no_such_user(reply),
        .reply = reply,
    };
}

static struct reply busy_with_text(const struct reply *in)
{
    struct reply out = reply_table[REPLY_UP_BUSY];

    if (!slice_empty(in->text)) {
        out.text = in->text;
    }
    return out;
}

struct relay_answer map_answer(const struct up_answer *answer)
{
    struct relay_answer a = { .outcome = RELAY_DEFERRED, .from_upstream = true, .reply = *answer->reply };

    switch (answer->result) {
    case MAP_ACCEPTED:
        a.outcome = RELAY_ACCEPTED;
        break;
    case MAP_DEFERRED:
        break;
    case MAP_REJECTED:
        a.outcome = RELAY_REJECTED;
        break;
    case MAP_REFUSES_US: /* the log has the server's text; this one is ours */
        a.from_upstream = false;
        a.reply = reply_table[REPLY_UP_REFUSES_US];
        break;
    case MAP_GOES_AWAY:
        a.reply = busy_with_text(answer->reply);
        break;
    case MAP_NONSENSE:
        a.reply = reply_table[REPLY_UP_PROTOCOL];
        break;
    }
    return a;
}

struct relay_answer map_ours(const struct reply *reply)
{
    return (struct relay_answer){
        .outcome = reply_is(reply, 2)   ? RELAY_ACCEPTED
                   : reply_is(reply, 5) ? RELAY_REJECTED
                                        : RELAY_DEFERRED,
        .reply = *reply,
    };
}

static enum reply_id reply_for(const struct upstream_failure *f)
{
    switch (f->why) {
    case UP_WHY_LOST:
    case UP_WHY_STALE:
        return f->state == UP_STATE_FINAL ? REPLY_UP_UNKNOWN : REPLY_UP_LOST;
    case UP_WHY_TIMEOUT:
        return f->state == UP_STATE_FINAL ? REPLY_UP_UNKNOWN : REPLY_UP_TIMEOUT;
    case UP_WHY_MALFORMED:
        return REPLY_UP_PROTOCOL;
    case UP_WHY_GOES_AWAY:
        return REPLY_UP_BUSY;
    case UP_WHY_REFUSAL:
        return REPLY_UP_UNREACHABLE;
    case UP_WHY_REFUSES_US:
        return REPLY_UP_REFUSES_US;
    case UP_WHY_NO_TLS:
    case UP_WHY_TLS_FAILED:
        return REPLY_UP_TLS;
    case UP_WHY_UNTRUSTED:
        return REPLY_UP_TLS_VERIFY;
    case UP_WHY_EARLY:
        return REPLY_UP_LOST;
    case UP_WHY_SPOOL:
        return REPLY_NO_MEMORY;
    case UP_WHY_COUNT:
        break;
    }
    return REPLY_UP_LOST;
}

/* The dot is out, and its reply is lost or unreadable: the upstream may have the message. */
static bool loses_outcome(const struct upstream_failure *f)
{
    return f->state == UP_STATE_FINAL &&
           (f->why == UP_WHY_LOST || f->why == UP_WHY_TIMEOUT || f->why == UP_WHY_MALFORMED);
}

struct relay_answer map_failure(const struct upstream_failure *f)
{
    struct relay_answer a = map_ours(&reply_table[reply_for(f)]);

    if (f->reply != NULL && (f->why == UP_WHY_GOES_AWAY || f->why == UP_WHY_EARLY)) {
        struct up_answer said = map_reply(UP_STATE_FINAL, f->reply); /* 4xx and 5xx unchanged, 421 as busy */

        a = map_answer(&said);
    }
    if (loses_outcome(f)) {
        a.outcome = RELAY_UNKNOWN;
    }
    return a;
}
