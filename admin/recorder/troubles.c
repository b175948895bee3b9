/* SPDX-License-Identifier: Apache-2.0 */
/*
 * troubles.c - the conditions of `glacis status`, one function each (troubles.h).
 *
 * A condition uses the present state or the counters of the last hour, and keeps no state.  "Not serving" means that
 * glacis cannot take mail: no worker accepts, or every upstream server is down.
 */
#include "admin/recorder/troubles.h"

#include "admin/certificates.h"
#include "admin/recorder/health.h"
#include "admin/recorder/server_status.h"
#include "core/loop.h"
#include "dns/dns.h"
#include "policy/policy.h"
#include "state/facts.h"
#include "state/slots.h"

#define SUPERVISOR_SLOT 0
#define SUPERVISOR_FRESH_MS 10000

static uint64_t now_ms(void)
{
    return loop_now_us() / 1000;
}

PRINTF(4, 5)
static void add(struct troubles *t, enum severity severity, const char *what, const char *fmt, ...)
{
    struct trouble *one;
    struct buf text;
    va_list ap;

    t->worst = severity > t->worst ? severity : t->worst;
    if (t->count == TROUBLES_MAX) {
        t->left_out++;
        return;
    }
    one = &t->list[t->count++];
    one->severity = severity;
    one->what = what;
    buf_init(&text, 4096);
    va_start(ap, fmt);
    buf_vputf(&text, fmt, ap);
    va_end(ap);
    if (text.len >= sizeof(one->text)) {
        buf_truncate(&text, sizeof(one->text) - 4);
        buf_put_str(&text, "...");
    }
    memcpy(one->text, text.ptr, text.len + 1);
    buf_fini(&text);
}

/* ---- processes ---- */

static void look_at_supervisor(const struct recorder_view *v, struct troubles *t)
{
    struct state_slot_info info;
    struct state_facts f;

    if (!state_facts_get(v->st, &f) || f.phase == STATE_STARTING) {
        add(t, STATUS_NOT_SERVING, "starting", "it is still starting");
    } else if (f.phase == STATE_STOPPING) {
        add(t, STATUS_NOT_SERVING, "stopping", "it is stopping: sessions are drained");
    }
    if (state_slot_info(v->st, SUPERVISOR_SLOT, &info) && now_ms() > info.heartbeat_ms &&
        now_ms() - info.heartbeat_ms > SUPERVISOR_FRESH_MS) {
        add(t, STATUS_DEGRADED, "supervisor",
            "the supervisor is gone or hangs: dead processes are not replaced");
    }
    if (f.deaths > 0) {
        add(t, STATUS_DEGRADED, "process_died", "%u process%s died within the last hour", f.deaths,
            f.deaths == 1 ? "" : "es");
    }
}

static void look_at_workers(const struct recorder_view *v, struct troubles *t)
{
    struct workers_seen seen = health_workers(v->st, now_ms());
    size_t wanted = v->conf->server.workers, there = seen.fresh + seen.stale + seen.starting;

    if (seen.stale > 0) {
        add(t, STATUS_DEGRADED, "worker_hangs", "%u worker%s not beat", seen.stale,
            seen.stale == 1 ? " does" : "s do");
    }
    if (there < wanted) {
        add(t, STATUS_DEGRADED, "workers", "%zu of %zu workers run", there, wanted);
    }
    if (seen.accepting == 0 && t->worst != STATUS_NOT_SERVING) {
        add(t, STATUS_NOT_SERVING, "not_accepting", "no worker accepts connections");
    }
}

/* ---- servers, lists, resolver, Redis ---- */

struct servers_look_at {
    const struct recorder_view *v;
    struct troubles *t;
    bool any;                      /* some upstream has a server that is up */
    bool up[CONFIG_MAX_UPSTREAMS]; /* in the order of the configuration */
};

static void note_up(void *arg, const struct server_seen *s)
{
    struct servers_look_at *l = arg;

    l->up[s->u - l->v->conf->upstreams] |= s->up;
    l->any = l->any || s->up;
}

/* Does not name the servers of an upstream that is down one by one. */
static void add_server(void *arg, const struct server_seen *s)
{
    struct servers_look_at *l = arg;
    char mem[ADDR_TEXT_MAX + 8];
    struct buf address;

    if (s->up || !l->up[s->u - l->v->conf->upstreams]) {
        return;
    }
    buf_init_fixed(&address, mem, sizeof(mem));
    if (s->address.family == ADDR_NONE) {
        add(l->t, STATUS_DEGRADED, "server_down", "server %s of %s has no address", s->server->text,
            s->u->name);
        return;
    }
    if (s->server->is_name) {
        buf_put_str(&address, " (");
        addr_put_ip(&address, &s->address);
        buf_put_char(&address, ')');
    }
    add(l->t, STATUS_DEGRADED, "server_down", "server %s" SLICE_FMT " of %s is down", s->server->text,
        SLICE_ARG(buf_slice(&address)), s->u->name);
}

static void look_at_servers(const struct recorder_view *v, struct troubles *t)
{
    struct servers_look_at l = { .v = v, .t = t };

    servers_each(v->conf, v->st, note_up, &l);
    servers_each(v->conf, v->st, add_server, &l);
    for (size_t i = 0; i < v->conf->upstream_count; i++) {
        if (!l.up[i]) {
            add(t, l.any ? STATUS_DEGRADED : STATUS_NOT_SERVING, "upstream_down",
                "every server of %s is down", v->conf->upstreams[i].name);
        }
    }
}

static void look_at_lists(const struct recorder_view *v, struct troubles *t)
{
    struct buf text;
    struct slice rest, line;

    if (v->conf->policy == NULL) {
        return;
    }
    buf_init(&text, 65536);
    (void)policy_lists_degraded(v->conf->policy, v->st, &text);
    rest = buf_slice(&text);
    while (!slice_empty(rest)) {
        line = slice_cut(&rest, '\n');
        add(t, STATUS_DEGRADED, "list", SLICE_FMT, SLICE_ARG(line));
    }
    buf_fini(&text);
}

static void look_at_resolver(const struct recorder_view *v, struct troubles *t)
{
    uint64_t grade = state_gauge_sum(v->st, M_RESOLVER_GRADE);

    if (grade == DNS_GRADE_BROKEN) {
        add(t, STATUS_DEGRADED, "resolver", "the resolver is broken: SPF or lists cannot be trusted");
    } else if (grade >= DNS_GRADE_UNKNOWN) {
        add(t, STATUS_DEGRADED, "resolver", "the resolver did not answer its self-test");
    }
    if (state_gauge_sum(v->st, M_DNS_SERVERS_DOWN) > 0) {
        add(t, STATUS_DEGRADED, "dns_server_down", "a DNS server does not answer");
    }
}

static void look_at_shared_memory(const struct recorder_view *v, struct troubles *t)
{
    unsigned workers = health_workers(v->st, now_ms()).fresh;

    if (v->conf->state.backend == BACKEND_REDIS && state_gauge_sum(v->st, M_SHARED_UP) < workers) {
        add(t, STATUS_DEGRADED, "redis", "Redis does not answer; only local memory is used");
    }
}

/* ---- files ---- */

static void refused(struct troubles *t, const char *what, const char *name, const struct state_refusal *r)
{
    if (r->since_s != 0) {
        add(t, STATUS_DEGRADED, what, "%s refused: %s", name, r->first);
    }
}

static void look_at_files(const struct recorder_view *v, struct troubles *t)
{
    struct state_facts f;

    if (!state_facts_get(v->st, &f)) {
        return;
    }
    refused(t, "config_refused", "the configuration file is", &f.config_refused);
    refused(t, "groups_refused", "a group file is", &f.groups_refused);
    refused(t, "certificates_refused", "changed certificates are", &f.certificates_refused);
}

static void look_at_material(const struct recorder_view *v, struct troubles *t)
{
    uint64_t missing = state_gauge_sum(v->st, M_MATERIAL_MISSING);

    if (missing > 0) {
        add(t, STATUS_DEGRADED, "material_missing",
            "%" PRIu64 " file%s that the configuration names cannot be used", missing,
            missing == 1 ? "" : "s");
    }
}

static void look_at_certificates(const struct recorder_view *v, struct troubles *t)
{
    struct buf text;

    buf_init(&text, 1024);
    for (size_t n = 0; certificates_trouble(v->conf, n, &text); n++) {
        if (text.len > 0) {
            add(t, STATUS_DEGRADED, "certificate", SLICE_FMT, SLICE_ARG(buf_slice(&text)));
        }
        buf_reset(&text);
    }
    buf_fini(&text);
}

/* ---- counters ---- */

static const struct {
    enum recent_what what;
    const char *name, *text;
} counts[] = {
    { RECENT_LOG_DROPPED, "records_dropped", "log lines were dropped" },
    { RECENT_REFUSES_US, "upstream_refuses_us", "times a server behind refused glacis itself" },
    { RECENT_SANDBOX_DENIED, "sandbox_denied", "system calls were refused by the sandbox" },
    { RECENT_SNAPSHOT_ERRORS, "snapshot", "times what is remembered could not be written" },
};

static void look_at_counts(const struct recorder_view *v, struct troubles *t)
{
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        uint64_t n = recent_count(&v->recent, counts[i].what);

        if (n > 0) {
            add(t, STATUS_DEGRADED, counts[i].name, "%" PRIu64 " %s within the last hour", n, counts[i].text);
        }
    }
}

static void (*const conditions[])(const struct recorder_view *v, struct troubles *t) = {
    look_at_supervisor,   look_at_workers,  look_at_servers,       look_at_files, look_at_material,
    look_at_certificates, look_at_resolver, look_at_shared_memory, look_at_lists, look_at_counts,
};

void troubles_find(const struct recorder_view *v, struct troubles *t)
{
    memset(t, 0, sizeof(*t));
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
        conditions[i](v, t);
    }
}
