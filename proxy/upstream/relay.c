/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.c - one transaction at one upstream: sends and repeats commands, and makes the client's replies.
 *
 *   relay_rcpt ----> lease (envelope) -> MAIL + RCPT ---> answer -+-> RCPT on the same connection ...
 *                                                                 +-> `hold` is over: given back
 *   relay_message -> still held, and exactly env->rcpt accepted on it: DATA
 *                    else: the whole envelope again, on it or on a new lease (body): DATA, or 451
 *
 * A connection that dies while no reply is pending counts as released.  If a leased connection was dead
 * already, a new one replaces it, once; the session does not notice.
 *
 * Replies come from the loop: one that is known at once waits in `pending` for a deferred call.
 *
 * Owns: the lease, copies of replies.  Memory lasts until the end of the turn in which it is freed.
 */
#include "proxy/upstream/relay.h"

#include "proxy/upstream/relay_map.h"
#include "proxy/upstream/unknown_rcpt.h"
#include "proxy/upstream/upstream.h"
#include "state/servers.h"

#define SIZE_ALLOWANCE 4096U /* octets added to a message whose size is only declared */
#define TURN_RCPTS 20U       /* recipients in one turn while others wait for the connection */
#define HOLD_CROWDED_MS 10U  /* wait for the client while others wait for the connection */
#define NO_END UINT64_MAX    /* `hold: off` */

enum relay_op {
    OP_NONE = 0,
    OP_RCPT,
    OP_MESSAGE,
};

/* A copy of a reply that outlives the upstream's own. */
struct kept_answer {
    struct relay_answer answer; /* its reply points into: */
    struct reply *copy;         /* NULL: holds no reply */
};

struct relay {
    struct upstreams *ups;
    struct pool *pool;
    const struct config_upstream *to;
    const struct envelope *env;
    struct lease lease;
    struct timer hold;
    uint64_t silent_since_ms, hold_until_ms;
    struct timer late; /* OP_MESSAGE: the client's timeout has passed */

    enum relay_op op;
    bool starting; /* inside relay_rcpt or relay_message: replies must wait */
    relay_cb cb;
    void *arg;
    struct deferred later;
    struct kept_answer pending;    /* the waiting reply */
    const struct recipient *asked; /* OP_RCPT */
    struct relay_message msg;      /* OP_MESSAGE */

    const struct recipient **open; /* accepted in the held connection's open transaction */
    size_t open_count, open_cap;
    unsigned turn;                   /* recipients sent on this lease, refused ones included */
    struct kept_answer mail_refusal; /* the reply to each later RCPT */
    bool asked_live;                 /* at least one recipient was checked at RCPT */
    bool strict;                     /* another upstream accepted them: relay_strict() */
    bool replaced;                   /* already replaced a dead connection: not again */

    size_t refused; /* recipients of the repeated envelope */
    struct kept_answer first_refusal;
    bool mixed;    /* some refusals are permanent, others temporary */
    bool about_us; /* at least one refusal was about us */

    struct slice server;
    struct addr server_address; /* family NONE: the label names it */
    char tls[UP_TLS_TEXT];
    unsigned attempts;
    struct grave grave;
};

/* ---- answers ---- */

static void drop_kept(struct kept_answer *k)
{
    reply_free(&k->copy);
}

static void keep(struct kept_answer *k, const struct relay_answer *a)
{
    struct reply *copy = reply_copy(&a->reply);

    drop_kept(k);
    k->answer = *a;
    k->copy = copy;
    k->answer.reply = *copy;
}

static void deliver(struct relay *r, const struct relay_answer *a)
{
    relay_cb cb = r->cb;

    timer_stop(&r->late);
    r->op = OP_NONE;
    r->cb = NULL;
    cb(r->arg, a);
}

static void on_later(void *arg)
{
    struct relay *r = arg;
    struct kept_answer k = r->pending;

    r->pending.copy = NULL;
    deliver(r, &k.answer);
    drop_kept(&k);
}

/* Others wait for the connection: gives the client a short time from its last reply on. */
static void on_wanted(void *arg)
{
    struct relay *r = arg;

    timer_start_at(&r->hold, min_u64(r->silent_since_ms + HOLD_CROWDED_MS, r->hold_until_ms));
}

/* Waits for the client until `hold` is over, or only briefly while others wait. */
static void wait_for_client(struct relay *r)
{
    if (pool_waited_for(&r->lease)) {
        on_wanted(r);
        return;
    }
    if (r->hold_until_ms != NO_END) {
        timer_start_at(&r->hold, r->hold_until_ms);
    }
    pool_hold(&r->lease, on_wanted);
}

static void end_wait(struct relay *r)
{
    timer_stop(&r->hold);
    pool_unhold(&r->lease);
}

static void answer(struct relay *r, const struct relay_answer *a)
{
    if (r->lease.held) {
        r->silent_since_ms = loop_now(r->ups->loop);
        r->hold_until_ms = r->to->hold_ms == CONFIG_OFF ? NO_END : r->silent_since_ms + r->to->hold_ms;
        wait_for_client(r);
    }
    if (r->starting) {
        keep(&r->pending, a);
        loop_defer(r->ups->loop, &r->later);
    } else {
        deliver(r, a);
    }
}

/* One of our own replies. */
static void answer_with(struct relay *r, enum reply_id id)
{
    struct relay_answer a = map_ours(&reply_table[id]);

    answer(r, &a);
}

/* ---- the connection ---- */

static void give_back(struct relay *r)
{
    end_wait(r);
    r->open_count = 0;
    r->turn = 0;
    pool_release(&r->lease);
}

static void on_hold(void *arg)
{
    struct relay *r = arg;

    if (loop_now(r->ups->loop) < r->hold_until_ms && !pool_waited_for(&r->lease)) {
        wait_for_client(r);
        return;
    }
    count(M_UP_HELD_BACK);
    give_back(r);
}

/*
 * Queue, connect, envelope and a slow server have used up the client's timeout, so sending the dot would only create a
 * duplicate.  After the dot, its own deadline applies.
 */
static void on_late(void *arg)
{
    struct relay *r = arg;

    if (r->op == OP_MESSAGE && r->pending.copy == NULL && !relay_committed(r)) {
        count(M_UP_TIMEOUTS);
        give_back(r);
        answer_with(r, REPLY_UP_TIMEOUT);
    }
}

static void take_lease(struct relay *r, bool fresh)
{
    struct lease_wish wish = { r->op == OP_MESSAGE ? LEASE_BODY : LEASE_ENVELOPE, r->env, fresh };

    pool_lease(r->pool, &r->lease, &wish);
}

static void note_refusal_of_us(struct relay *r, enum up_state state, const struct reply *reply)
{
    struct upstream_failure f = { UP_WHY_REFUSES_US, state, 0, reply };

    pool_refuses_us(r->lease.u->server, &f);
}

static void remember(struct relay *r, const struct recipient *rcpt, const struct up_answer *a)
{
    uint64_t ttl = r->to->remember_unknown_ms;

    if (ttl != CONFIG_OFF && a->no_such_user) {
        unknown_rcpt_remember(r->ups->unknown, r->to->index, rcpt->address, a->reply,
                              loop_now(r->ups->loop) + ttl);
    }
}

static void add_open(struct relay *r, const struct recipient *rcpt)
{
    if (r->open_count == r->open_cap) {
        r->open_cap = r->open_cap ? r->open_cap * 2 : 4;
        r->open = xrealloc(r->open, r->open_cap * sizeof(const struct recipient *));
    }
    r->open[r->open_count++] = rcpt;
}

/* Does the open transaction have exactly the recipients that were accepted towards the client? */
static bool open_is_complete(const struct relay *r)
{
    if (r->open_count != r->env->rcpt_count) {
        return false;
    }
    for (size_t i = 0; i < r->open_count; i++) {
        if (!slice_eq(r->open[i]->address, r->env->rcpt[i]->address)) {
            return false;
        }
    }
    return true;
}

/* Client and relay declared BODY=7BIT, but the content has other octets.  They are passed unchanged (DAT-36). */
static bool says_7bit_wrongly(const struct relay *r)
{
    return r->env->body == BODY_7BIT && r->msg.eight_bit && r->lease.u->ext.eightbitmime;
}

/* ---- RCPT ---- */

/* If another server takes such addresses, the client may retry; by then our offer is correct. */
static enum reply_id no_utf8(const struct relay *r)
{
    return upstreams_any_utf8(r->ups) ? REPLY_UTF8_ELSEWHERE : REPLY_NEEDS_UTF8;
}

static void ask_rcpt(struct relay *r)
{
    struct upstream *u = r->lease.u;
    struct up_envelope op = { .rcpt = &r->asked, .count = 1 };

    r->turn++;
    if ((r->asked->utf8 || r->env->sender_utf8) && !u->ext.smtputf8) {
        if (r->env->sender_utf8) {
            give_back(r); /* unusable for this envelope */
        }
        answer_with(r, no_utf8(r));
        return;
    }
    if (u->state != UP_STATE_OPEN) {
        r->open_count = 0;
        op.env = r->env;
        op.size = r->env->size_given ? r->env->size + SIZE_ALLOWANCE : 0;
        op.body = r->env->body;
        op.utf8 = r->env->smtputf8;
    }
    upstream_envelope(u, &op);
}

static void take_rcpt_answer(struct relay *r, const struct up_answer *a)
{
    struct relay_answer told = map_answer(a);

    if (a->result == MAP_ACCEPTED) {
        add_open(r, r->asked);
    } else if (a->result == MAP_REFUSES_US) {
        note_refusal_of_us(r, UP_STATE_RCPT, a->reply);
    } else {
        remember(r, r->asked, a);
    }
    answer(r, &told);
}

/* ---- the message ---- */

static bool any_rcpt_utf8(const struct envelope *env)
{
    for (size_t i = 0; i < env->rcpt_count; i++) {
        if (env->rcpt[i]->utf8) {
            return true;
        }
    }
    return false;
}

/* Can this server take it?  If not, replies to the client. */
static bool refuse_content(struct relay *r)
{
    const struct state_keywords *ext = &r->lease.u->ext;
    struct relay_answer no;

    if (!ext->smtputf8 && (r->env->sender_utf8 || any_rcpt_utf8(r->env))) {
        no = map_ours(&reply_table[no_utf8(r)]);
        no.reply.code = no.outcome == RELAY_REJECTED ? 554 : 451; /* no parameter to reply to here */
    } else if (!ext->smtputf8 && r->msg.utf8_headers && r->env->smtputf8) {
        no = map_ours(&reply_table[REPLY_NEEDS_UTF8_HEADERS]);
    } else {
        if (r->msg.eight_bit && !ext->eightbitmime) {
            count(M_UP_EIGHT_BIT); /* passed unchanged, as Postfix does (CAP-02) */
        }
        return false;
    }
    give_back(r);
    answer(r, &no);
    return true;
}

static uint64_t message_size(const struct relay *r)
{
    uint64_t spooled = spool_size(r->msg.spool);

    return r->msg.head.len + (spooled > r->msg.skip ? spooled - r->msg.skip : 0);
}

/* Sends the whole envelope again. */
static void repeat_envelope(struct relay *r)
{
    struct up_envelope op = {
        .env = r->env,
        .rcpt = (const struct recipient *const *)r->env->rcpt,
        .count = r->env->rcpt_count,
        .size = message_size(r),
        .body = r->msg.eight_bit ? BODY_8BITMIME : r->env->body,
        .utf8 = r->env->smtputf8,
    };

    if (refuse_content(r)) {
        return;
    }
    r->open_count = 0;
    r->refused = 0;
    r->mixed = r->about_us = false;
    drop_kept(&r->first_refusal);
    upstream_envelope(r->lease.u, &op);
}

static void take_repeated_refusal(struct relay *r, size_t i, const struct up_answer *a)
{
    struct relay_answer told = map_answer(a);

    if (a->result == MAP_REFUSES_US) {
        note_refusal_of_us(r, UP_STATE_RCPT, a->reply);
        r->about_us = true;
    }
    remember(r, r->env->rcpt[i], a);
    r->refused++;
    if (r->first_refusal.copy == NULL) {
        keep(&r->first_refusal, &told);
    }
    r->mixed = r->mixed || r->first_refusal.answer.outcome != told.outcome;
}

/*
 * All recipients have replies.  The client already has a 250 for a recipient that is refused now.  So the refusal
 * cannot be permanent, and the message never goes to a subset.  Exception: none was checked at RCPT, and all are
 * refused alike.
 */
static void end_repeat(struct relay *r)
{
    struct kept_answer first = r->first_refusal;
    bool agreed = !r->asked_live && r->refused == r->env->rcpt_count && !r->mixed;

    if (r->refused == 0) {
        upstream_data(r->lease.u, &r->msg);
        return;
    }
    r->first_refusal.copy = NULL;
    give_back(r);
    if (r->about_us) {
        answer_with(r, REPLY_UP_REFUSES_US);
    } else if (agreed) {
        answer(r, &first.answer);
    } else {
        answer_with(r, REPLY_UP_CHANGED);
    }
    drop_kept(&first);
}

static void begin_message(struct relay *r)
{
    struct upstream *u = r->lease.u;

    end_wait(r);
    if (!r->lease.held) {
        take_lease(r, false);
    } else if (!pool_promote(&r->lease)) { /* over the rate: do not hold a connection meanwhile */
        give_back(r);
        take_lease(r, false);
    } else if (u->state != UP_STATE_OPEN || !open_is_complete(r) || says_7bit_wrongly(r)) {
        repeat_envelope(r);
    } else if (!refuse_content(r)) {
        upstream_data(u, &r->msg);
    }
}

/* ---- what the pool and the connection say ---- */

static void note_server(struct relay *r, const struct pool_server *s)
{
    r->server = slice_str(s->conf->text);
    r->server_address = s->conf->is_name ? s->address : (struct addr){ .family = ADDR_NONE };
}

static void on_lease(void *arg, enum lease_status status)
{
    static const enum reply_id why[] = {
        [LEASE_UNREACHABLE] = REPLY_UP_UNREACHABLE,
        [LEASE_REFUSES_US] = REPLY_UP_REFUSES_US,
        [LEASE_NO_TLS] = REPLY_UP_TLS,
        [LEASE_UNTRUSTED] = REPLY_UP_TLS_VERIFY,
        [LEASE_BUSY] = REPLY_UP_BUSY,
    };
    struct relay *r = arg;

    if (status != LEASE_OK) {
        answer_with(r, why[status]);
        return;
    }
    r->attempts++;
    note_server(r, r->lease.u->server);
    memcpy(r->tls, r->lease.u->tls, sizeof(r->tls));
    if (r->op == OP_MESSAGE) {
        repeat_envelope(r);
    } else {
        ask_rcpt(r);
    }
}

static void on_rcpt(void *arg, size_t i, const struct up_answer *a)
{
    struct relay *r = arg;

    if (r->op == OP_RCPT) {
        take_rcpt_answer(r, a);
        return;
    }
    if (a->result != MAP_ACCEPTED) {
        take_repeated_refusal(r, i, a);
    }
    if (i + 1 == r->env->rcpt_count) {
        end_repeat(r);
    }
}

static void on_mail_refused(void *arg, const struct up_answer *a)
{
    struct relay *r = arg;
    struct relay_answer told = map_answer(a);

    if (a->result == MAP_REFUSES_US) {
        note_refusal_of_us(r, UP_STATE_MAIL, a->reply);
    }
    keep(&r->mail_refusal, &told);
    give_back(r);
    if (r->strict) {
        answer_with(r, REPLY_UP_CHANGED);
        return;
    }
    answer(r, &r->mail_refusal.answer);
}

static void on_final(void *arg, const struct up_answer *a)
{
    struct relay *r = arg;
    struct relay_answer told = map_answer(a);

    give_back(r);
    answer(r, &told);
}

static void log_unknown(const struct relay *r, const struct upstream_failure *f)
{
    struct log_line l;

    count(M_UP_LOST_FINAL);
    if (log_begin(&l, LOG_LEVEL_WARN, "outcome_unknown")) {
        log_text(&l, "session", r->env->session_id ? r->env->session_id : "");
        log_text(&l, "upstream", r->to->name);
        log_str(&l, "server", r->server);
        if (r->server_address.family != ADDR_NONE) {
            log_ip(&l, "address", &r->server_address);
        }
        log_text(&l, "why",
                 f->why == UP_WHY_TIMEOUT     ? "timeout"
                 : f->why == UP_WHY_MALFORMED ? "malformed"
                                              : "lost");
        log_end(&l);
    }
}

/* The lease has already ended. */
static void on_failed(void *arg, const struct upstream_failure *f)
{
    struct relay *r = arg;
    struct relay_answer told;

    end_wait(r);
    r->open_count = 0;
    r->turn = 0;
    if (r->op == OP_NONE || r->pending.copy != NULL) {
        return; /* no reply was pending: the next command uses another connection */
    }
    if (f->why == UP_WHY_STALE && !r->replaced) {
        r->replaced = true;
        take_lease(r, true);
        return;
    }
    told = map_failure(f);
    if (told.outcome == RELAY_UNKNOWN) {
        log_unknown(r, f);
    }
    answer(r, &told);
}

static const struct upstream_events events = {
    .on_rcpt = on_rcpt,
    .on_mail_refused = on_mail_refused,
    .on_final = on_final,
    .on_failed = on_failed,
};

/* ---- the public face ---- */

struct relay *relay_new(struct upstreams *ups, const struct config_upstream *to, const struct envelope *env)
{
    struct relay *r = xcalloc(1, sizeof(*r));

    r->ups = ups;
    r->pool = &ups->pool[to->index];
    r->to = to;
    r->env = env;
    lease_init(&r->lease, ups, on_lease, &events, r);
    timer_init(&r->hold, ups->loop, on_hold, r);
    timer_init(&r->late, ups->loop, on_late, r);
    deferred_init(&r->later, on_later, r);
    return r;
}

void relay_strict(struct relay *r)
{
    r->strict = true;
    r->asked_live = true;
}

static void begin(struct relay *r, enum relay_op op, relay_cb cb, void *arg)
{
    BUG_ON(r->op != OP_NONE);
    r->op = op;
    r->cb = cb;
    r->arg = arg;
}

/* Ends the turn of an envelope with many recipients, so that others do not wait for all of them. */
static void end_turn(struct relay *r)
{
    if (r->lease.held && r->turn >= TURN_RCPTS && pool_waited_for(&r->lease)) {
        count(M_UP_HELD_BACK);
        give_back(r);
    }
}

static void begin_rcpt(struct relay *r, enum config_validate validate)
{
    uint64_t now = loop_now(r->ups->loop);
    const struct reply *known = NULL;

    end_wait(r);
    if (r->to->remember_unknown_ms != CONFIG_OFF) {
        known = unknown_rcpt_find(r->ups->unknown, r->to->index, r->asked->address, now);
    }
    if (known != NULL) {
        struct up_answer said = map_reply(UP_STATE_RCPT, known);
        struct relay_answer a = map_answer(&said);

        a.remembered = true;
        answer(r, &a);
    } else if (validate != VALIDATE_LIVE) {
        answer_with(r, REPLY_RCPT_OK);
    } else if (r->mail_refusal.copy != NULL) {
        answer(r, &r->mail_refusal.answer);
    } else {
        r->asked_live = true;
        end_turn(r);
        if (r->lease.held) {
            ask_rcpt(r);
        } else {
            take_lease(r, false);
        }
    }
}

void relay_rcpt(struct relay *r, const struct recipient *rcpt, enum config_validate validate, relay_cb cb,
                void *arg)
{
    begin(r, OP_RCPT, cb, arg);
    r->asked = rcpt;
    r->starting = true;
    begin_rcpt(r, validate);
    r->starting = false;
}

void relay_message(struct relay *r, const struct relay_message *msg, relay_cb cb, void *arg)
{
    begin(r, OP_MESSAGE, cb, arg);
    r->msg = *msg;
    if (r->to->timeouts.final_reply_ms != CONFIG_OFF) {
        timer_start(&r->late, r->to->timeouts.final_reply_ms);
    }
    r->starting = true;
    begin_message(r);
    r->starting = false;
}

bool relay_committed(const struct relay *r)
{
    return r->op == OP_MESSAGE && r->lease.held && r->lease.u->state == UP_STATE_FINAL;
}

struct slice relay_server(const struct relay *r)
{
    return r->server;
}

struct addr relay_address(const struct relay *r)
{
    return r->server_address;
}

unsigned relay_attempts(const struct relay *r)
{
    return r->attempts;
}

const char *relay_tls(const struct relay *r)
{
    return r->tls;
}

static void free_relay(void *obj)
{
    struct relay *r = obj;

    drop_kept(&r->pending);
    drop_kept(&r->mail_refusal);
    drop_kept(&r->first_refusal);
    free(r->open);
    free(r);
}

void relay_free(struct relay **r)
{
    struct relay *it = *r;

    if (it == NULL) {
        return;
    }
    *r = NULL;
    deferred_cancel(&it->later);
    timer_stop(&it->late);
    give_back(it);
    loop_bury(it->ups->loop, &it->grave, free_relay, it);
}
