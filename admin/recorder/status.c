/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.c - the command `status` of the socket `query`: health and activity, as text or JSON.
 *
 * The first line of the answer is "exit N", the exit status of `glacis status` (troubles.h).  The command prints the
 * rest.  The first printed line names every problem.
 */
#include "admin/admin.h"
#include "admin/certificates.h"
#include "admin/recorder/commands.h"
#include "admin/recorder/server_status.h"
#include "admin/recorder/troubles.h"
#include "core/loop.h"
#include "dns/dns.h"
#include "state/facts.h"
#include "state/slots.h"

#define ERROR_SHOWN 1000u
#define FIRST_LINE_MAX 8 /* problems in the first line */

static const char *const phases[] = {
    [STATE_STARTING] = "starting", [STATE_SERVING] = "serving", [STATE_STOPPING] = "stopping"
};
static const char *const words[] = {
    [STATUS_WELL] = "well", [STATUS_DEGRADED] = "degraded", [STATUS_NOT_SERVING] = "not_serving"
};

struct status {
    const struct recorder_view *v;
    struct state_facts facts;
    struct troubles troubles;
    pid_t supervisor, recorder;
    uint64_t now_ms;
    bool json;
    struct buf *out;
};

/* ---- problems ---- */

static void put_key(struct status *s, const char *name)
{
    buf_putf(s->out, ",\"%s\":", name);
}

/* Between two elements of a list or an object. */
static void put_comma(struct status *s)
{
    if (s->out->len > 0 && strchr("[{", s->out->ptr[s->out->len - 1]) == NULL) {
        buf_put_char(s->out, ',');
    }
}

static void put_troubles_json(struct status *s)
{
    const struct troubles *t = &s->troubles;

    buf_putf(s->out, ",\"status\":\"%s\",\"problems\":[", words[t->worst]);
    for (size_t i = 0; i < t->count; i++) {
        put_comma(s);
        buf_putf(s->out, "{\"what\":\"%s\",\"status\":\"%s\",\"text\":", t->list[i].what,
                 words[t->list[i].severity]);
        buf_put_json(s->out, slice_str(t->list[i].text), TROUBLE_TEXT);
        buf_put_char(s->out, '}');
    }
    buf_putf(s->out, "],\"problems_left_out\":%zu", t->left_out);
}

static void put_first_line(struct status *s)
{
    static const char *const said[] = { [STATUS_WELL] = "serving: all is well",
                                        [STATUS_DEGRADED] = "serving, DEGRADED",
                                        [STATUS_NOT_SERVING] = "NOT SERVING" };
    const struct troubles *t = &s->troubles;
    size_t more = t->left_out + (t->count > FIRST_LINE_MAX ? t->count - FIRST_LINE_MAX : 0);

    buf_putf(s->out, "glacis %s, pid %ld, %s", GLACIS_VERSION, (long)s->supervisor, said[t->worst]);
    for (size_t i = 0; i < t->count && i < FIRST_LINE_MAX; i++) {
        buf_putf(s->out, "%s%s", i == 0 ? ": " : "; ", t->list[i].text);
    }
    if (more > 0) {
        buf_putf(s->out, "; and %zu more (--json has them)", more);
    }
    buf_put_char(s->out, '\n');
}

/* ---- the configuration ---- */

static void put_refused_json(struct status *s, const char *name, const struct state_refusal *r)
{
    if (r->since_s == 0) {
        return;
    }
    put_key(s, name);
    buf_putf(s->out, "{\"since\":%" PRId64 ",\"errors\":%" PRIu32 ",\"last_good\":%s,\"first\":", r->since_s,
             r->errors, s->facts.last_good ? "true" : "false");
    buf_put_json(s->out, slice_str(r->first), ERROR_SHOWN);
    buf_put_char(s->out, '}');
}

static void put_refused_text(struct status *s, const char *file, const char *instead,
                             const struct state_refusal *r)
{
    char stamp[40] = "";
    struct tm tm;
    time_t since = (time_t)r->since_s;

    if (since == 0) {
        return;
    }
    if (gmtime_r(&since, &tm) != NULL) {
        (void)strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S UTC", &tm);
    }
    buf_putf(s->out,
             "REFUSED     %s as it is now, since %s (%" PRId64 " s), by %" PRIu32
             " error%s; %s\n            ",
             file, stamp, wall_now_s() - r->since_s, r->errors, r->errors == 1 ? "" : "s", instead);
    buf_put_slice(s->out, slice_take(slice_str(r->first), ERROR_SHOWN));
    buf_put_char(s->out, '\n');
}

static void put_config(struct status *s)
{
    const struct state_facts *f = &s->facts;
    const char *mode = s->v->conf->mode == MODE_MONITOR ? "monitor" : "enforce";

    if (s->json) {
        buf_putf(s->out,
                 ",\"generation\":%u,\"loaded_at\":%" PRId64 ",\"config\":", state_generation(s->v->st),
                 f->loaded_s);
        buf_put_json(s->out, slice_str(f->config), sizeof(f->config));
        buf_putf(s->out, ",\"mode\":\"%s\"", mode);
        put_refused_json(s, "config_refused", &f->config_refused);
        put_refused_json(s, "groups_refused", &f->groups_refused);
        put_refused_json(s, "certificates_refused", &f->certificates_refused);
        return;
    }
    buf_putf(s->out, "config      %s, generation %u, mode %s, in force for %" PRId64 " s\n",
             f->config[0] != '\0' ? f->config : "from the environment", state_generation(s->v->st), mode,
             wall_now_s() - f->loaded_s);
    put_refused_text(s, "that file",
                     f->last_good ? "the last good one (last-good.yaml) is in force instead"
                                  : "what was in force before stays",
                     &f->config_refused);
    put_refused_text(s, "a group file", "what was read before stays", &f->groups_refused);
    put_refused_text(s, "a certificate", "the old ones serve on", &f->certificates_refused);
}

static void put_listeners(struct status *s)
{
    if (s->json) {
        buf_put_str(s->out, ",\"listeners\":[");
    }
    for (size_t i = 0; i < s->facts.listeners; i++) {
        const struct state_listener *l = &s->facts.listener[i];

        if (s->json) {
            put_comma(s);
            buf_putf(s->out, "{\"name\":\"%s\",\"address\":\"", l->name);
            addr_put_endpoint(s->out, &l->at);
            buf_putf(s->out, "\",\"sockets\":%" PRIu32 "}", l->sockets);
        } else if (strcmp(l->name, "admin") != 0) {
            buf_put_str(s->out, "listens on  ");
            addr_put_endpoint(s->out, &l->at);
            buf_put_char(s->out, '\n');
        }
    }
    if (s->json) {
        buf_put_char(s->out, ']');
    }
}

/* ---- processes ---- */

static void put_worker(struct status *s, int slot, const struct state_slot_info *info)
{
    uint64_t sessions = state_slot_metric(s->v->st, slot, M_SESSIONS_NOW);
    bool drains = info->draining || info->generation != state_generation(s->v->st);

    if (!s->json) {
        buf_putf(s->out, "worker      %u of generation %u, pid %ld, %" PRIu64 " sessions%s\n", info->index,
                 info->generation, (long)info->pid, sessions, drains ? ", draining" : "");
        return;
    }
    put_comma(s);
    buf_putf(s->out, "{\"pid\":%ld,\"generation\":%u,\"index\":%u,\"sessions\":%" PRIu64, (long)info->pid,
             info->generation, info->index, sessions);
    if (info->heartbeat_ms != 0) {
        buf_putf(s->out, ",\"heartbeat_age_ms\":%" PRIu64,
                 s->now_ms > info->heartbeat_ms ? s->now_ms - info->heartbeat_ms : 0);
    }
    buf_putf(s->out, ",\"draining\":%s}", drains ? "true" : "false");
}

static void put_processes(struct status *s)
{
    struct state_slot_info info;

    if (s->json) {
        buf_putf(s->out, ",\"draining_generations\":%" PRIu32 ",\"workers\":[", s->facts.draining);
    }
    for (int i = 0; i < STATE_SLOTS; i++) {
        if (state_slot_info(s->v->st, i, &info) && info.role == ROLE_WORKER) {
            put_worker(s, i, &info);
        }
    }
    if (s->json) {
        buf_putf(s->out, "],\"recorder\":%ld", (long)s->recorder);
    } else {
        buf_putf(s->out, "recorder    pid %ld\n", (long)s->recorder);
    }
}

/* ---- servers, certificates, gauges ---- */

static void put_servers(struct status *s)
{
    if (!s->json) {
        servers_put_text(s->v->conf, s->v->st, s->out);
        return;
    }
    put_key(s, "servers");
    servers_put_json(s->v->conf, s->v->st, s->out);
}

/* Names as in the metrics, with their labels: "glacis_upstream_connections{state=\"idle\"}". */
static void put_gauges(struct status *s)
{
    uint64_t values[METRIC_COUNT];

    state_metrics_sum(s->v->st, values);
    buf_put_str(s->out, ",\"gauges\":{");
    for (size_t m = 0; m < METRIC_COUNT; m++) {
        char mem[256];
        struct buf name;

        if (metric_table[m].kind == METRIC_COUNTER) {
            continue;
        }
        buf_init_fixed(&name, mem, sizeof(mem));
        buf_put_str(&name, metric_table[m].name);
        if (metric_table[m].label[0] != '\0') {
            buf_putf(&name, "{%s}", metric_table[m].label);
        }
        put_comma(s);
        buf_put_json(s->out, buf_slice(&name), sizeof(mem));
        buf_put_char(s->out, ':');
        metrics_put_value(s->out, metric_table[m].kind, values[m]);
    }
    buf_put_char(s->out, '}');
}

static void put_watched(struct status *s)
{
    struct buf lines;
    struct slice rest;

    buf_init(&lines, ERROR_SHOWN * 16);
    watched_put_text(s->v->conf, s->v->st, &lines);
    rest = buf_slice(&lines);
    while (!slice_empty(rest)) {
        struct slice line = slice_cut(&rest, '\n');

        buf_putf(s->out, "watches     " SLICE_FMT "\n", SLICE_ARG(line));
    }
    buf_fini(&lines);
}

static void put_rest(struct status *s)
{
    if (!s->json) {
        put_watched(s);
        certificates_put_text(s->v->conf, s->out);
        buf_putf(s->out, "sessions    %" PRIu64 "\n", state_gauge_sum(s->v->st, M_SESSIONS_NOW));
        return;
    }
    buf_putf(s->out, ",\"resolver\":\"%s\"",
             dns_grade_text(
                 (enum dns_grade)min_u64(state_gauge_sum(s->v->st, M_RESOLVER_GRADE), DNS_GRADE_COUNT)));
    buf_putf(s->out, ",\"records_dropped_1h\":%" PRIu64, recent_count(&s->v->recent, RECENT_LOG_DROPPED));
    certificates_put_json(s->v->conf, s->out);
    watched_put_json(s->v->conf, s->v->st, s->out);
    put_gauges(s);
}

/* ---- the command ---- */

static void look(struct status *s)
{
    struct state_slot_info info;

    (void)!state_facts_get(s->v->st, &s->facts);
    troubles_find(s->v, &s->troubles);
    s->now_ms = loop_now_us() / 1000;
    for (int i = 0; i < STATE_SLOTS; i++) {
        if (!state_slot_info(s->v->st, i, &info)) {
            continue;
        }
        s->supervisor = info.role == ROLE_SUPERVISOR ? info.pid : s->supervisor;
        s->recorder = info.role == ROLE_RECORDER ? info.pid : s->recorder;
    }
}

void query_status(const struct recorder_view *v, const struct query_request *r)
{
    struct status s = { .v = v, .json = slice_eq(r->args, SLICE("json")), .out = r->out };

    if (!s.json && !slice_empty(r->args)) {
        buf_put_str(r->out, "error\nExpected: status, or status json\n");
        return;
    }
    look(&s);
    buf_putf(s.out, "exit %d\n", (int)s.troubles.worst);
    if (s.json) {
        buf_putf(s.out, "{\"pid\":%ld,\"version\":\"%s\",\"started\":%" PRId64 ",\"state\":\"%s\"",
                 (long)s.supervisor, GLACIS_VERSION, s.facts.started_s,
                 phases[s.facts.phase % ARRAY_LEN(phases)]);
        put_troubles_json(&s);
    } else {
        put_first_line(&s);
    }
    put_config(&s);
    put_listeners(&s);
    put_processes(&s);
    put_servers(&s);
    put_rest(&s);
    buf_put_str(s.out, s.json ? "}\n" : "");
}
