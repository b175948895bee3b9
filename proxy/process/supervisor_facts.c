/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_facts.c - publishes facts that only the supervisor knows, for the recorder to show (struct state_facts).
 *
 * The supervisor publishes on every change.  The recorder cannot ask, because the supervisor takes no requests from
 * unprivileged processes.
 */
#include "proxy/process/supervisor_priv.h"
#include "state/facts.h"

#define HOUR_MS (60 * 60 * 1000)

enum state_phase facts_phase(const struct supervisor *sup)
{
    return sup->stopping ? STATE_STOPPING : sup->ready ? STATE_SERVING : STATE_STARTING;
}

void facts_note_death(struct supervisor *sup)
{
    sup->death_ms[sup->deaths++ % DEATHS_KEPT] = sup->now_ms;
}

static uint32_t recent_deaths(const struct supervisor *sup)
{
    uint32_t n = 0;

    for (size_t i = 0; i < DEATHS_KEPT && i < sup->deaths; i++) {
        n += sup->now_ms - sup->death_ms[i] < HOUR_MS;
    }
    return n;
}

void refusal_set(struct state_refusal *r, size_t errors, struct slice first)
{
    struct buf text;
    int64_t since_s = r->since_s;

    memset(r, 0, sizeof(*r));
    r->since_s = since_s != 0 ? since_s : wall_now_s();
    r->errors = (uint32_t)min_size(errors, UINT32_MAX);
    buf_init_fixed(&text, r->first, sizeof(r->first));
    buf_put_slice(&text, slice_take(first, sizeof(r->first) - 1));
}

void refusal_clear(struct state_refusal *r)
{
    memset(r, 0, sizeof(*r));
}

static void put_listener(struct state_facts *f, const char *name, const struct bound *at)
{
    struct state_listener *l;
    struct buf text;

    if (at == NULL || f->listeners == STATE_LISTENERS) {
        return;
    }
    l = &f->listener[f->listeners++];
    l->at = at->real;
    l->sockets = (uint32_t)at->count;
    buf_init_fixed(&text, l->name, sizeof(l->name));
    buf_put_str(&text, name);
}

static void put_generation(const struct supervisor *sup, struct state_facts *f)
{
    const struct generation *g = generation_in(sup, GENERATION_CURRENT);
    const struct config *conf;

    if (g == NULL) {
        g = generation_in(sup, GENERATION_STARTING);
    }
    if (g == NULL) {
        return;
    }
    conf = g->conf;
    f->loaded_s = conf->loaded_at_s;
    for (size_t i = 0; i < conf->server.listen_count; i++) {
        put_listener(f, conf->server.listen[i].tls == TLS_MODE_IMPLICIT ? "smtps" : "smtp",
                     sockets_find(&sup->sockets, conf, i));
    }
    put_listener(f, "admin", sockets_find_admin(&sup->sockets, conf));
}

void facts_publish(struct supervisor *sup)
{
    struct state_facts f;
    struct buf text;

    if (sup->state == NULL) {
        return;
    }
    memset(&f, 0, sizeof(f)); /* clears padding too, for the comparison below */
    f.started_s = sup->started_s;
    f.phase = facts_phase(sup);
    f.draining = generations_draining(sup);
    f.deaths = recent_deaths(sup);
    f.last_good = sup->last_good;
    f.config_refused = sup->refused;
    f.groups_refused = sup->groups.refusal;
    f.certificates_refused = sup->certificates.refusal;
    buf_init_fixed(&text, f.config, sizeof(f.config));
    buf_put_str(&text, sup->options.config_path != NULL ? sup->options.config_path : "");
    put_generation(sup, &f);
    if (memcmp(&f, &sup->facts, sizeof(f)) == 0) {
        return;
    }
    sup->facts = f;
    state_facts_set(sup->state, &f);
}
