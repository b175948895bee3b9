/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.c - admission by client address and by number.
 *
 * A client on a private address that came through no trusted proxy is exempt by default: a NAT in front of us
 * gives all clients one address, and limits on it would refuse them all.  Such a client is counted, and logged
 * once a minute.
 *
 * A client in allow_clients or in good standing is exempt from rates and bans, not from the number of connections.
 * Near limits.connections, the network of any other client gets no more than its share: see network_share.h.
 */
#include "proxy/session/limits.h"

#include "core/stream.h"
#include "policy/policy.h"
#include "state/clients.h"
#include "state/slots.h"

#define RESERVED_DESCRIPTORS 128
#define NAME_ADDRESSES 4 /* addresses of an upstream server configured by name, before its lookup */
#define FLOOD_PERCENT 110
#define FLOOD_LEAST 64    /* at least so many connections above the limit */
#define NETWORK_SHARE 8   /* divisor of limits.connections, under stress */
#define NETWORK_CLIENTS 4 /* clients of one network that may all reach their own limit */

static bool is_exempt(struct worker *w, const struct addr *client)
{
    struct log_line l;
    uint32_t before;

    if (w->conf->server.private_clients != PRIVATE_EXEMPT || !addr_is_private(client)) {
        return false;
    }
    count(M_PRIVATE_CLIENTS);
    if (log_allowed(&w->private_log, loop_now(w->loop), 60, &before) &&
        log_begin(&l, LOG_LEVEL_WARN, "private_client")) {
        log_ip(&l, "client", client);
        log_num(&l, "suppressed", before);
        log_text(&l, "msg",
                 "A client on a private address is not judged by address; if it is a NAT or a load "
                 "balancer, use the PROXY protocol so that the real clients are seen");
        log_end(&l);
    }
    return true;
}

bool limits_favours(const struct worker *w, const struct addr *client, bool exempt)
{
    return w->judges != NULL && (policy_client_allowed(w->judges, client) ||
                                 (!exempt && policy_client_known_good(w->judges, client)));
}

static void log_monitored(struct worker *w, const struct addr *client, enum admit result)
{
    struct log_line l;
    uint32_t before;

    count(M_BANS_MONITORED);
    if (!log_allowed(&w->monitor_log, loop_now(w->loop), 1, &before) ||
        !log_begin(&l, LOG_LEVEL_INFO, "refusal_monitored")) {
        return;
    }
    log_ip(&l, "client", client);
    log_text(&l, "limit", result == ADMIT_BANNED ? "banned" : "rate");
    log_num(&l, "suppressed", before);
    log_end(&l);
}

struct limits_admission limits_admit_trusted(const struct worker *w, const struct addr *peer)
{
    bool exempt = w->conf->server.private_clients == PRIVATE_EXEMPT && addr_is_private(peer);

    return (struct limits_admission){ ADMIT_OK, false, exempt };
}

bool limits_short(const struct worker *w, enum metric used, uint64_t limit)
{
    unsigned percent = w->conf->limits.stress_at_percent;
    uint64_t most = limit / 100 * percent + limit % 100 * percent / 100;

    return percent > 0 && limit != CONFIG_OFF && state_gauge_sum(w->state, used) >= most;
}

/* Limit for one network near the connection limit: an eighth, but enough for a few clients at their own limits. */
static size_t network_share(const struct worker *w)
{
    const struct config_limits *lim = &w->conf->limits;
    uint64_t most = lim->connections / NETWORK_SHARE;

    if (most / NETWORK_CLIENTS < lim->connections_per_client) {
        most = lim->connections_per_client * NETWORK_CLIENTS;
    }
    return (size_t)(most / w->conf->server.workers + 1);
}

/*
 * Counts the client in its network too; the network of a favoured client is never too large.  Counts the sessions anew
 * instead of reading w->stress: a flood can use up the limit between two ticks.
 */
static void enter_network(struct worker *w, const struct addr *client, struct limits_admission *a)
{
    const struct config_limits *lim = &w->conf->limits;
    bool crowded =
        lim->connections_per_client != CONFIG_OFF && limits_short(w, M_SESSIONS_NOW, lim->connections);
    bool good = crowded && limits_favours(w, client, false);

    if (!a->counted ||
        network_share_enter(&w->networks, client, crowded && !good ? network_share(w) : SIZE_MAX)) {
        return;
    }
    state_client_leave(w->state, client);
    a->counted = false;
    a->result = ADMIT_PER_NETWORK;
}

void limits_leave(struct worker *w, const struct addr *client)
{
    state_client_leave(w->state, client);
    network_share_leave(&w->networks, client);
}

/* Applies the client's own entry, in the mode of the file. */
static void enter_client(struct worker *w, const struct addr *client, struct limits_admission *a)
{
    const struct config_limits *lim = &w->conf->limits;
    struct config_limits loose;

    a->result = state_client_enter(w->state, client, lim, loop_now(w->loop), &a->counted);
    if (a->result != ADMIT_BANNED && a->result != ADMIT_RATE) {
        return;
    }
    if (w->conf->mode == MODE_MONITOR) {
        log_monitored(w, client, a->result);
    } else if (!limits_favours(w, client, false)) {
        return;
    }
    loose = *lim;
    loose.ban_points = 0;
    loose.connection_rate.count = 0;
    a->result = state_client_enter(w->state, client, &loose, loop_now(w->loop), &a->counted);
}

struct limits_admission limits_admit(struct worker *w, const struct addr *client, bool announced)
{
    struct limits_admission a = { ADMIT_OK, false, !announced && is_exempt(w, client) };

    if (a.exempt) {
        return a;
    }
    enter_client(w, client, &a);
    enter_network(w, client, &a);
    return a;
}

enum limits_total limits_total(const struct worker *w)
{
    uint64_t limit = w->conf->limits.connections;
    uint64_t sessions = state_gauge_sum(w->state, M_SESSIONS_NOW);
    /* 421 sent but unread, or no PROXY header yet: these use descriptors too */
    uint64_t closing = stream_lingering() + w->proxy_wait_count;

    if (w->session_count + closing >= w->session_max) {
        return closing > w->session_max / 4 ? LIMITS_FLOOD : LIMITS_FULL;
    }
    if (limit == CONFIG_OFF || sessions < limit) {
        return LIMITS_ROOM;
    }
    /* Each worker sees only its own lingering connections and assumes the same for the others. */
    if (sessions + closing * w->conf->server.workers >=
        limit + limit / 100 * (FLOOD_PERCENT - 100) + FLOOD_LEAST) {
        return LIMITS_FLOOD;
    }
    return LIMITS_FULL;
}

static size_t addresses_of(const struct config_upstream *u)
{
    size_t n = 0;

    for (size_t i = 0; i < u->server_count; i++) {
        n += u->server[i].is_name ? NAME_ADDRESSES : 1;
    }
    return n;
}

size_t limits_session_max(const struct config *conf, size_t descriptors)
{
    size_t upstream = 0, left;

    for (size_t i = 0; i < conf->upstream_count; i++) {
        upstream += addresses_of(&conf->upstreams[i]) * conf->upstreams[i].connections;
    }
    upstream = min_size(upstream, descriptors / 4) + RESERVED_DESCRIPTORS;
    left = descriptors > upstream ? descriptors - upstream : 0;
    return max_size(left / 4 * 3, 16); /* the last quarter is for spool files */
}
