/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.c - see world.h.
 */
#include "test/sim/world.h"

#include "admin/admin.h"
#include "core/timers.h"
#include "core/utf8.h"
#include "policy/policy.h"
#include "proxy/upstream/pool.h"
#include "state/servers.h"
#include "state/slots.h"
#include "test/sim/fake_dns.h"

#define STEPS_MAX 10000

static struct state *shared; /* one mapping for all worlds of the process */

static struct config_listener listener = { .text = { "sim", 3 }, .tls = TLS_MODE_STARTTLS };

void worker_session_gone(struct worker *w UNUSED)
{
}

void world_keywords(struct world *wd, struct slice words)
{
    struct slice word = slice_token(&words);

    buf_reset(&wd->ehlo);
    buf_put_str(&wd->ehlo, "250-up.test\r\n");
    while (!slice_empty(word)) {
        buf_put_str(&wd->ehlo, "250-");
        buf_put_slice(&wd->ehlo, word);
        if (slice_eq(word, SLICE("SIZE"))) { /* "SIZE n" is one keyword line */
            buf_put_char(&wd->ehlo, ' ');
            buf_put_slice(&wd->ehlo, slice_token(&words));
        }
        buf_put_str(&wd->ehlo, "\r\n");
        word = slice_token(&words);
    }
    buf_put_str(&wd->ehlo, "250 HELP\r\n");
}

static void teach_keywords(struct world *wd)
{
    struct state_keywords k = { .known = true,
                                .pipelining = true,
                                .eightbitmime = true,
                                .smtputf8 = true,
                                .dsn = true,
                                .size_offered = true,
                                .enhanced = true,
                                .at_ms = 1 };

    for (size_t i = 0; i < wd->w.upstreams->pool_count; i++) {
        const struct pool *p = &wd->w.upstreams->pool[i];

        for (size_t j = 0; j < p->server_count; j++) {
            state_keywords_set(shared, p->order[j]->index, &k);
        }
    }
}

struct config *world_conf(struct slice text)
{
    struct config_errors errs = { 0 };
    struct config *conf = config_load_text("sim", text, &errs);
    struct buf said;

    if (conf == NULL || !setup_complete(conf, &errs)) {
        buf_init(&said, 65536);
        config_errors_print(&errs, "sim", &said);
        fprintf(stderr, "%.*s", (int)said.len, said.ptr);
        exit(2);
    }
    config_errors_fini(&errs);
    return conf;
}

/* One object and nothing behind it; strings closed, no octet that a terminal or a reader would take otherwise. */
static bool is_whole_json(struct slice text)
{
    bool in_string = false;
    int depth = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if ((unsigned char)c < ' ' || c == 0x7f || (depth == 0 && (i > 0 || c != '{'))) {
            return false;
        }
        if (c == '"') {
            in_string = !in_string;
        } else if (in_string) {
            i += c == '\\';
        } else {
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        }
    }
    return text.len > 0 && depth == 0 && !in_string && utf8_valid(text);
}

/* Every line of every session is built and looked at: whatever peers sent, it is one line and whole (LOG-05). */
static void check_line(enum log_level level, enum log_class cls UNUSED, struct slice line, void *arg UNUSED)
{
    bool ended = line.len > 0 && line.len <= LOG_LINE_MAX && line.ptr[line.len - 1] == '\n';
    bool good = ended && is_whole_json(slice_take(line, line.len - 1));

    if (level == LOG_LEVEL_ERROR || !good) {
        (void)fwrite(line.ptr, 1, line.len, stderr);
    }
    BUG_ON(!good);
}

void world_start(struct world *wd, struct config *conf)
{
    memset(wd, 0, sizeof(*wd));
    wd->conf = conf;
    log_set_level(LOG_LEVEL_TRACE);
    log_set_sink(check_line, NULL);
    shared = state_new(1024);
    BUG_ON(shared == NULL);
    state_slot_enter(shared, state_slot_take(shared, ROLE_WORKER, 1, 0));
    upstreams_register(shared, wd->conf);
    wd->w.conf = wd->conf;
    wd->w.loop = loop_new();
    wd->w.state = shared;
    list_init(&wd->w.sessions);
    network_share_init(&wd->w.networks);
    session_slab_init(&wd->w.session_slab, 16);
    wd->w.upstreams = upstreams_new(wd->w.loop, shared, wd->conf);
    teach_keywords(wd);
    wd->w.resolver = resolver_new(wd->w.loop, &(struct dns_settings){ .attempts = 1 });
    wd->w.judges = policy_worker_new(wd->conf->policy, wd->w.loop, wd->w.resolver, shared);
    buf_init(&wd->ehlo, 4096);
    world_keywords(wd, SLICE("PIPELINING SIZE 0 8BITMIME SMTPUTF8 DSN ENHANCEDSTATUSCODES"));
}

void world_client(struct world *wd, const char *ip)
{
    struct addr peer, local;
    int fd;

    BUG_ON(!addr_parse_ip(slice_str(ip), &peer) || !addr_parse_ip(SLICE("198.51.100.25"), &local));
    peer.port = 40000;
    local.port = 25;
    wd->client = sim_client(&fd);
    session_accept(&wd->w, &listener, fd, &(struct session_client){ .peer = peer, .local = local });
    world_step(wd);
}

static void say(struct sim_conn *c, const char *text)
{
    sim_send(c, slice_str(text));
}

/* The automatic side of an upstream's line; false: it is the script's. */
static bool answer(struct world *wd, size_t i, struct slice line)
{
    struct sim_conn *c = wd->up[i].conn;

    if (slice_starts(line, SLICE("EHLO ")) && !wd->in_data[i]) {
        sim_send(c, buf_slice(&wd->ehlo));
        return true;
    }
    if (slice_eq(line, SLICE("QUIT")) && !wd->in_data[i]) {
        say(c, "221 2.0.0 bye\r\n");
        sim_eof(c);
        wd->up[i].done = true;
        return true;
    }
    if (!wd->automatic) {
        return false;
    }
    if (wd->in_data[i]) {
        if (slice_eq(line, SLICE("."))) {
            wd->in_data[i] = false;
            wd->ends[i]++;
            say(c, "250 2.0.0 taken\r\n");
        }
    } else if (slice_eq(line, SLICE("DATA"))) {
        wd->in_data[i] = true;
        say(c, "354 go\r\n");
    } else {
        wd->stray += !slice_starts(line, SLICE("MAIL FROM:<")) && !slice_starts(line, SLICE("RCPT TO:<")) &&
                     !slice_eq(line, SLICE("RSET"));
        say(c, "250 2.1.0 ok\r\n");
    }
    return true;
}

/* The first complete line of a connection, or empty ptr. */
static bool peek_line(struct sim_conn *c, struct slice *line)
{
    struct slice all = buf_slice(&c->out);
    size_t lf = slice_find(all, '\n');

    if (lf == all.len) {
        return false;
    }
    *line = slice_take(all, lf > 0 && all.ptr[lf - 1] == '\r' ? lf - 1 : lf);
    return true;
}

static void drop_line(struct sim_conn *c)
{
    buf_drop(&c->out, slice_find(buf_slice(&c->out), '\n') + 1);
}

static bool meet(struct world *wd)
{
    struct sim_conn *c = sim_next_connect();

    if (c == NULL) {
        return false;
    }
    if (wd->connect == CONNECT_REFUSE) {
        sim_refuse(c);
        return true;
    }
    BUG_ON(wd->up_count == WORLD_UPSTREAMS);
    wd->up[wd->up_count++] = (struct world_upstream){ .conn = c };
    sim_accept(c);
    if (wd->connect == CONNECT_ACCEPT) {
        say(c, "220 up.test ESMTP ready\r\n");
    } else if (wd->connect == CONNECT_BUSY) {
        say(c, "421 4.3.2 up.test busy\r\n");
        sim_eof(c);
    }
    return true;
}

void world_step(struct world *wd)
{
    bool busy = true;

    for (unsigned n = 0; busy; n++) {
        BUG_ON(n > STEPS_MAX);
        sim_settle(wd->w.loop);
        busy = meet(wd);
        for (size_t i = 0; i < wd->up_count; i++) {
            struct slice line;

            while (peek_line(wd->up[i].conn, &line) && answer(wd, i, line)) {
                drop_line(wd->up[i].conn);
                busy = true;
            }
        }
    }
}

void world_pass(struct world *wd, uint64_t ms)
{
    uint64_t until = loop_now(wd->w.loop) + ms, due;

    world_step(wd);
    while (loop_now(wd->w.loop) < until) { /* from timer to timer: automatic answers come in time */
        due = min_u64(timers_next(loop_timers(wd->w.loop)), until);
        sim_advance(wd->w.loop, due - loop_now(wd->w.loop));
        world_step(wd);
    }
}

bool world_upstream_line(struct world *wd, struct buf *line)
{
    struct slice s;

    world_step(wd);
    for (size_t i = 0; i < wd->up_count; i++) {
        if (peek_line(wd->up[i].conn, &s)) {
            buf_reset(line);
            buf_put_slice(line, s);
            drop_line(wd->up[i].conn);
            wd->current = &wd->up[i];
            return true;
        }
    }
    return false;
}

void world_stop(struct world *wd)
{
    struct list_node *n, *tmp;

    wd->automatic = true;
    LIST_EACH(&wd->w.sessions, n, tmp)
    {
        session_close(container_of(n, struct session, link), REASON_SHUTDOWN);
    }
    world_step(wd);
    BUG_ON(wd->w.session_count != 0);
    upstreams_free(&wd->w.upstreams);
    policy_worker_free(&wd->w.judges);
    resolver_free(wd->w.resolver);
    sim_settle(wd->w.loop);
    slab_fini(&wd->w.session_slab);
    network_share_fini(&wd->w.networks);
    loop_free(wd->w.loop);
    buf_fini(&wd->ehlo);
    sim_clear();
    state_free(shared);
    shared = NULL;
    metrics_use(NULL);
}
