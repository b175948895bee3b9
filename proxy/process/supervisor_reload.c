/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_reload.c - makes a new file the next generation, or changes nothing and reports why.
 *
 * It loads and checks the file and binds new addresses first; only then does it start workers.  While an older
 * generation starts, or two drain, the newest good file waits.  A later file replaces it.
 */
#include <errno.h>

#include "core/slice.h"
#include "proxy/process/supervisor_priv.h"

#define TEXT_MAX (64u * 1024u * 1024u)
#define ANSWER_MAX (64u * 1024u)
#define ERROR_MAX 8192u
#define RECHECK_MS 60000

/* The first load may read a pipe (-c <(command), -c -), which a reload cannot read again. */
static struct config *load(const char *path, bool first, struct config_errors *errs, struct buf *text)
{
    bool given = path != NULL && strcmp(path, "-") == 0;

    if (path == NULL) {
        return config_load_default(errs);
    }
    if (!given && files_read(path, !first, text)) {
        return config_load_text(path, buf_slice(text), errs);
    }
    if (!first && (given || errno == EINVAL)) {
        config_errors_add(errs, false, 0, 0, "not a plain file: a reload cannot read it");
        return NULL;
    }
    return config_load(path, errs); /* reports what is wrong with the path */
}

struct config *supervisor_complete(struct config *conf, struct config_errors *errs)
{
    if (conf != NULL && !setup_complete(conf, errs)) {
        config_free(conf);
        return NULL;
    }
    return conf;
}

struct config *supervisor_load(struct supervisor *sup, struct config_errors *errs, struct buf *text)
{
    return supervisor_complete(load(sup->options.config_path, sup->last_number == 0, errs, text), errs);
}

void supervisor_log_errors(const struct config_errors *errs, const char *path)
{
    for (size_t i = 0; i < errs->count; i++) {
        const struct config_error *e = &errs->list[i];
        struct log_line l;

        if (!log_begin(&l, e->warning ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "config")) {
            continue;
        }
        log_text(&l, "file", path != NULL ? path : "environment");
        log_num(&l, "line", e->line);
        log_num(&l, "column", e->column);
        log_str(&l, "msg", slice_str(e->text));
        log_end(&l);
    }
}

void supervisor_note_taken(struct supervisor *sup)
{
    refusal_clear(&sup->refused);
    refusal_clear(&sup->groups.refusal); /* loading has read all files that the configuration names */
    refusal_clear(&sup->certificates.refusal);
    sup->last_good = false;
    gauge_set(M_CONFIG_REFUSED_NOW, 0);
}

bool supervisor_first_error(const struct supervisor *sup, const struct config_errors *errs, struct buf *line)
{
    const char *path = sup->options.config_path != NULL ? sup->options.config_path : "environment";

    for (size_t i = 0; errs != NULL && i < errs->count; i++) {
        struct config_errors one = { .list = &errs->list[i], .count = 1 };

        if (errs->list[i].warning) {
            continue;
        }
        config_errors_print(&one, path, line);
        buf_truncate(line, slice_find(buf_slice(line), '\n'));
        return true;
    }
    return false;
}

void supervisor_note_refused(struct supervisor *sup, const struct config_errors *errs, struct slice sentence)
{
    struct buf text;

    buf_init(&text, ERROR_MAX);
    if (supervisor_first_error(sup, errs, &text)) {
        refusal_set(&sup->refused, errs->fatal, buf_slice(&text));
    } else {
        refusal_set(&sup->refused, 1, sentence);
    }
    gauge_set(M_CONFIG_REFUSED_NOW, 1);
    buf_fini(&text);
}

static bool is_in_force(const char *path, const struct config *conf)
{
    struct buf text;
    bool same;

    if (path == NULL) {
        return true;
    }
    buf_init(&text, TEXT_MAX);
    same = files_read(path, true, &text) && slice_eq(buf_slice(&text), conf->text);
    buf_fini(&text);
    return same;
}

void supervisor_recheck(struct supervisor *sup)
{
    const struct generation *g = generation_in(sup, GENERATION_CURRENT);
    const char *path = sup->options.config_path;
    struct config_errors errs = { 0 };
    struct config *conf;

    if (sup->refused.since_s == 0 || sup->last_good || sup->stopping || g == NULL ||
        sup->now_ms < sup->recheck_ms) {
        return;
    }
    sup->recheck_ms = sup->now_ms + RECHECK_MS;
    if (!is_in_force(path, g->conf)) {
        return;
    }
    conf = supervisor_complete(config_load_text(path != NULL ? path : "environment", g->conf->text, &errs),
                               &errs);
    if (conf != NULL) {
        log_msg(LOG_LEVEL_INFO, "config_mended",
                "The files that the configuration names are good again; the refusal is over");
        supervisor_note_taken(sup);
        config_free(conf);
    }
    config_errors_fini(&errs);
}

static void answer(struct supervisor *sup, struct control_client *client, struct slice text)
{
    if (client != NULL) {
        control_answer(sup, client, text);
    }
}

/* Loads the file, finds its user, binds its addresses; NULL after reporting every error. */
static struct config *load_and_bind(struct supervisor *sup, struct buf *said)
{
    struct config_errors errs = { 0 };
    struct config *conf;
    struct buf text, why;

    buf_init(&text, TEXT_MAX);
    buf_init(&why, ANSWER_MAX);
    conf = supervisor_load(sup, &errs, &text);
    supervisor_log_errors(&errs, sup->options.config_path);
    if (conf == NULL) {
        config_errors_print(&errs, sup->options.config_path, said);
        supervisor_note_refused(sup, &errs, SLICE_NONE);
    } else if (!files_prepare(conf, &why) || !sockets_bind(&sup->sockets, conf, &why)) {
        log_msg(LOG_LEVEL_ERROR, "config", SLICE_FMT, SLICE_ARG(buf_slice(&why)));
        buf_put_slice(said, buf_slice(&why));
        buf_put_char(said, '\n');
        supervisor_note_refused(sup, NULL, buf_slice(&why));
        config_free(conf);
        conf = NULL;
    } else {
        supervisor_note_taken(sup);
        files_keep_good(conf, buf_slice(&text));
    }
    config_errors_fini(&errs);
    buf_fini(&why);
    buf_fini(&text);
    return conf;
}

static bool may_start(const struct supervisor *sup)
{
    return generation_in(sup, GENERATION_STARTING) == NULL && generations_draining(sup) < DRAINING_MAX;
}

void supervisor_reloaded(struct supervisor *sup, struct config *conf, struct control_client *client)
{
    struct buf said;

    conf->generation = ++sup->last_number;
    if (may_start(sup) && generation_start(sup, conf)) {
        if (client != NULL) {
            client->waits_for = conf->generation;
        }
        return;
    }
    if (sup->pending != NULL) {
        config_free(sup->pending);
    }
    sup->pending = conf;
    log_msg(LOG_LEVEL_INFO, "reload_waits", "Generation %u starts when an older one has drained",
            conf->generation);
    buf_init(&said, ANSWER_MAX);
    buf_putf(&said, "ok generation %u starts when an older one has drained\n", conf->generation);
    answer(sup, client, buf_slice(&said));
    buf_fini(&said);
}

void supervisor_reload(struct supervisor *sup, struct control_client *client)
{
    struct config *conf;
    struct buf said;

    if (sup->stopping) {
        answer(sup, client, SLICE("error\nglacis is stopping\n"));
        return;
    }
    notify_reloading(sup);
    buf_init(&said, ANSWER_MAX);
    buf_put_str(&said, "error\n");
    conf = load_and_bind(sup, &said);
    if (conf == NULL) {
        count(M_RELOADS_FAILED);
        log_msg(LOG_LEVEL_ERROR, "reload_refused",
                "The new configuration is refused; the old one stays in force");
        answer(sup, client, buf_slice(&said));
        notify_send(sup, "READY=1\nSTATUS=The new configuration is refused; the old one stays in force");
    } else {
        supervisor_reloaded(sup, conf, client);
    }
    buf_fini(&said);
}

void supervisor_reload_pending(struct supervisor *sup)
{
    struct config *conf = sup->pending;

    if (conf == NULL || sup->stopping || !may_start(sup)) {
        return;
    }
    sup->pending = NULL;
    if (!generation_start(sup, conf)) {
        sup->pending = conf;
    }
}

static void log_listeners(const struct supervisor *sup, const struct config *conf)
{
    for (size_t i = 0; i < conf->server.listen_count; i++) {
        const struct bound *at = sockets_find(&sup->sockets, conf, i);
        struct log_line l;
        char mem[ADDR_TEXT_MAX];
        struct buf text;

        if (at == NULL || !log_begin(&l, LOG_LEVEL_INFO, "listening")) {
            continue;
        }
        buf_init_fixed(&text, mem, sizeof(mem));
        addr_put_endpoint(&text, &at->real);
        log_str(&l, "address", buf_slice(&text));
        log_num(&l, "sockets", (int64_t)at->count);
        log_end(&l);
    }
}

static void note(struct buf *said, const char *text)
{
    log_msg(LOG_LEVEL_WARN, "restart_needed", "%s", text);
    buf_putf(said, "%s\n", text);
}

/* Notes settings that the supervisor applied at its start and cannot change now. */
static void note_what_stays(const struct supervisor *sup, const struct config *conf, struct buf *said)
{
    if (conf->server.sandbox != sup->sandbox) {
        note(said, sup->sandbox
                       ? "server.sandbox: the supervisor keeps its filter of system calls until a restart"
                       : "server.sandbox: the supervisor has no filter of system calls until a restart");
    }
    if (supervisor_clients(conf) > sup->clients) {
        note(said,
             "limits.connections: the table of clients keeps its size until a restart; with very many at "
             "once, rates, bans and connections_per_client do not see all of them");
    }
}

void supervisor_generation_up(struct supervisor *sup, struct generation *g)
{
    bool first = !sup->ready;
    struct buf said;

    sup->ready = true;
    facts_publish(sup); /* status then says "serving" as soon as the ready file exists */
    if (!files_write_ready(sup, g->conf)) {
        log_msg(LOG_LEVEL_ERROR, "ready_file", "%s cannot be written: %s", sup->options.ready_file,
                strerror(errno));
    }
    notify_serving(sup, g);
    if (first) {
        log_listeners(sup, g->conf);
    } else {
        count(M_RELOADS);
        unix_sockets_follow(sup, g->conf);
    }
    log_msg(LOG_LEVEL_INFO, first ? "ready" : "reloaded", "Generation %u serves with %zu workers", g->number,
            g->workers);
    buf_init(&said, ANSWER_MAX);
    buf_putf(&said, "ok generation %u\n", g->number);
    note_what_stays(sup, g->conf, &said);
    control_generation(sup, g->number, buf_slice(&said));
    buf_fini(&said);
}

void supervisor_generation_failed(struct supervisor *sup, struct generation *g)
{
    log_msg(LOG_LEVEL_ERROR, "generation_failed", "The workers of generation %u do not come up (%u ended)",
            g->number, g->failures);
    supervisor_note_refused(sup, NULL, SLICE("its workers do not come up: the log says why"));
    control_generation(sup, g->number,
                       SLICE("error\nThe new workers do not come up; the old ones serve on\n"));
    if (generation_in(sup, GENERATION_CURRENT) != NULL) {
        count(M_RELOADS_FAILED);
        notify_send(sup, "READY=1\nSTATUS=The new workers do not come up; the old ones serve on");
        return;
    }
    sup->exit_status = EXIT_SOFTWARE;
    sup->stopping = true;
}
