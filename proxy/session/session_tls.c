/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_tls.c - TLS of a client: STARTTLS and implicit, from the command to the discarded EHLO.
 *
 *     STARTTLS --> nothing behind it? --> 220 --> flushed --> handshake --> HELO
 *                  reading is paused from here on            accept, implicit: here, then BANNER
 *
 * Nothing survives the switch (CVE-2011-0411).  Octets already read after STARTTLS, a whole command or half of
 * one, end the session.  Unread octets stay in the kernel; the handshake then fails because they are no
 * ClientHello.  The stream also refuses a handshake while its buffers hold anything.
 *
 * Where TLS is opportunistic, a client with two handshakes that found no common parameters is not offered STARTTLS
 * for an hour (state/handshakes.c).  It would otherwise retry for days, and its mail would wait.
 *
 * RFC        3207, 8314 3.3, 8446.
 * Limits     tls.handshake_timeout from the command, or from accept.  HANDSHAKES_MAX at once in a worker, and
 *            HANDSHAKES_CLIENT of one client (an IPv6 /64), because a stalled handshake holds more memory
 *            than any other idle session.  Above that: 454, or a close if TLS is implicit.  A session has
 *            one handshake, so limits.connection_rate also limits a client's handshakes.
 */
#include "policy/policy.h"
#include "proxy/session/session_priv.h"
#include "state/handshakes.h"
#include "tls/tls.h"

#define HANDSHAKES_MAX 1024
#define HANDSHAKES_CLIENT 20

static bool has_room(const struct session *s)
{
    struct worker *w = s->worker;
    struct list_node *n;
    struct addr mine = addr_client(&s->peer);
    unsigned same = 0;

    if (w->handshake_count >= HANDSHAKES_MAX) {
        return false;
    }
    for (n = w->handshakes.next; !s->exempt && n != &w->handshakes; n = n->next) {
        struct addr other = addr_client(&container_of(n, struct session, tls_link)->peer);

        same += addr_same_ip(&mine, &other);
    }
    return same < HANDSHAKES_CLIENT;
}

/* Takes one of the handshake places. */
static void begin(struct session *s)
{
    list_push_back(&s->worker->handshakes, &s->tls_link);
    s->worker->handshake_count++;
    gauge_add(M_TLS_HANDSHAKES_NOW, 1);
    s->waits |= WAIT_TLS;
    session_enter(s, PHASE_TLS);
}

static void end(struct session *s)
{
    list_remove(&s->tls_link);
    s->worker->handshake_count--;
    gauge_add(M_TLS_HANDSHAKES_NOW, -1);
    s->waits &= ~(unsigned)WAIT_TLS;
}

/* May its failures end the offer?  Not where mail needs TLS, not for a NAT, and not for a proxy that names clients. */
static bool is_counted(const struct session *s)
{
    return !s->worker->conf->tls.required && s->listener->tls == TLS_MODE_STARTTLS && !s->exempt &&
           !s->trusted;
}

static bool is_withheld(const struct session *s)
{
    return is_counted(s) && state_handshakes_fail(s->worker->state, &s->peer, loop_now(s->worker->loop));
}

bool session_tls_offered(const struct session *s)
{
    const struct config *c = s->worker->conf;
    struct slice not_for = slice_str(c->tls.not_offered_to);

    return s->worker->tls != NULL && s->listener->tls == TLS_MODE_STARTTLS && !s->tls &&
           (slice_empty(not_for) || !policy_group_has_ip(c->policy, not_for, &s->peer)) && !is_withheld(s);
}

enum cmd_result cmd_starttls(struct session *s, struct slice arg UNUSED)
{
    if (s->tls) {
        return session_say(s, REPLY_TLS_ACTIVE);
    }
    if (!session_tls_offered(s)) {
        return session_say(s, REPLY_NOT_IMPLEMENTED);
    }
    if (s->txn != NULL) {
        return session_say(s, REPLY_OUT_OF_ORDER);
    }
    if (!slice_empty(stream_input(s->stream))) {
        session_abuse(s, ABUSE_STARTTLS);
        return session_end(s, REPLY_TLS_INJECTION, REASON_ABUSE);
    }
    if (!has_room(s)) {
        count(M_TLS_BUSY);
        return session_say(s, REPLY_TLS_UNAVAILABLE);
    }
    stream_pause(s->stream);
    session_reply(s, &reply_table[REPLY_START_TLS], true);
    begin(s);
    return CMD_WAITING;
}

void session_tls_flushed(struct session *s)
{
    if (stream_transport_state(s->stream) == NULL && stream_queued(s->stream) == 0) {
        tls_accept(s->worker->tls, s->stream);
    }
}

void session_tls_implicit(struct session *s)
{
    if (s->worker->tls == NULL || !has_room(s)) {
        count(M_TLS_BUSY);
        session_close(s, REASON_TLS);
        return;
    }
    begin(s);
    tls_accept(s->worker->tls, s->stream);
}

static void count_success(const struct tls_info *info)
{
    if (strcmp(info->version, "TLS1.3") == 0) {
        count(M_TLS_1_3);
    } else if (strcmp(info->version, "TLS1.2") == 0) {
        count(M_TLS_1_2);
    } else {
        count(M_TLS_OLD);
    }
    if (info->resumed) {
        count(M_TLS_RESUMED);
    }
}

void session_tls_facts(struct session *s)
{
    struct tls_info info;

    if (s->tls && tls_info(s->stream, &info)) {
        judge_tls(session_judge(s), slice_str(info.version), slice_str(info.cipher), slice_str(info.subject));
    }
}

void session_tls_open(struct session *s)
{
    struct tls_info info;

    end(s);
    s->tls = tls_info(s->stream, &info);
    BUG_ON(!s->tls);
    s->tls_version = info.version;
    s->tls_cipher = info.cipher;
    count_success(&info);
    if (is_counted(s)) {
        state_handshake_worked(s->worker->state, &s->peer);
    }
    session_forget(s);
    session_tls_facts(s);
    s->idle_since = loop_now(s->worker->loop);
    if (s->listener->tls == TLS_MODE_IMPLICIT) {
        session_enter(s, PHASE_BANNER); /* the rest of greet_delay, then the banner */
        return;
    }
    stream_resume(s->stream);
    session_enter(s, PHASE_HELO);
    session_pump(s);
}

/* No common version, cipher or group: after the second time we no longer offer the client STARTTLS. */
static void note_mismatch(struct session *s)
{
    struct log_line l;

    count(M_TLS_MISMATCH);
    if (!is_counted(s) || !state_handshake_failed(s->worker->state, &s->peer, loop_now(s->worker->loop))) {
        return;
    }
    count(M_TLS_WITHHELD);
    if (log_begin(&l, LOG_LEVEL_WARN, "tls_withheld")) {
        log_text(&l, "session", s->id);
        log_ip(&l, "client", &s->peer);
        log_text(&l, "error", tls_error(s->stream));
        log_end(&l);
    }
}

static void log_failure(const struct session *s, const char *error)
{
    struct log_line l;

    if (!log_begin(&l, LOG_LEVEL_INFO, "tls_failed")) {
        return;
    }
    log_text(&l, "session", s->id);
    log_ip(&l, "client", &s->peer);
    log_text(&l, "error", error);
    log_end(&l);
}

void session_tls_failed(struct session *s, enum close_reason reason)
{
    uint64_t now = loop_now(s->worker->loop);

    end(s);
    if (reason == REASON_SHUTDOWN) {
        return;
    }
    if (now >= s->idle_since + s->worker->conf->tls.handshake_timeout_ms) {
        count(M_TLS_TIMEOUTS);
        log_failure(s, "no handshake in time");
        return;
    }
    log_failure(s, tls_error(s->stream));
    if (tls_mismatch(s->stream)) {
        note_mismatch(s);
    } else {
        count(M_TLS_FAILED);
    }
}
