/*
 * upstream_names.c - one small state a name: asking for A, asking for AAAA, sleeping.
 *
 * Owns its requests and timers.  Limits: at least 10 s and at most 5 minutes between two questions, 5 s after
 * a failure.
 */
#include "proxy/upstream_names.h"

#include "dns/dns.h"

#define AGAIN_LEAST_S 10U
#define AGAIN_MOST_S 300U
#define RETRY_MS 5000U
#define LOG_INTERVAL_S 300U

struct name {
    struct upstream_names *all;
    const struct config_upstream_server *server;
    struct dns_req *req;
    enum dns_type type; /* of req */
    struct timer again;
    struct log_limit log;
};

struct upstream_names {
    struct upstreams *ups;
    struct resolver *resolver;
    struct name *name;
    size_t count;
};

static void log_failure(struct name *n, const struct dns_answer *ans)
{
    struct log_line l;
    uint32_t suppressed;

    if (log_allowed(&n->log, loop_now(n->all->ups->loop), LOG_INTERVAL_S, &suppressed) &&
        log_begin(&l, LOG_LEVEL_WARN, "upstream_name")) {
        log_text(&l, "server", n->server->text);
        log_text(&l, "status", dns_status_text((enum dns_status)ans->status));
        log_text(&l, "why", dns_why_text((enum dns_why)ans->why));
        log_end(&l);
    }
}

static void ask(struct name *n, enum dns_type type);

static void on_answer(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct name *n = arg;

    (void)had;
    n->req = NULL;
    for (size_t i = 0; i < ans->count; i++) {
        struct addr a = dns_record_addr(&ans->records[i]);

        if (a.family != ADDR_NONE) {
            upstreams_resolved(n->all->ups, n->server->text, &a);
            timer_start(&n->again, 1000 * min_u64(max_size(ans->ttl_s, AGAIN_LEAST_S), AGAIN_MOST_S));
            return;
        }
    }
    if (n->type == DNS_TYPE_A) {
        ask(n, DNS_TYPE_AAAA);
        return;
    }
    log_failure(n, ans);
    timer_start(&n->again, RETRY_MS);
}

static void ask(struct name *n, enum dns_type type)
{
    n->type = type;
    n->req = dns_query(n->all->resolver, slice_str(n->server->host), type, on_answer, n);
}

static void on_again(void *arg)
{
    ask(arg, DNS_TYPE_A);
}

static size_t count_names(const struct config *conf)
{
    size_t n = 0;

    for (size_t i = 0; i < conf->upstream_count; i++) {
        for (size_t k = 0; k < conf->upstreams[i].server_count; k++) {
            n += conf->upstreams[i].server[k].is_name ? 1 : 0;
        }
    }
    return n;
}

static void begin(struct upstream_names *all, const struct config_upstream_server *server)
{
    struct name *n = &all->name[all->count++];

    n->all = all;
    n->server = server;
    timer_init(&n->again, all->ups->loop, on_again, n);
    ask(n, DNS_TYPE_A);
}

struct upstream_names *upstream_names_new(struct upstreams *ups, struct resolver *resolver)
{
    struct upstream_names *all = xcalloc(1, sizeof(*all));
    const struct config *conf = ups->conf;

    all->ups = ups;
    all->resolver = resolver;
    all->name = xcalloc(max_size(count_names(conf), 1), sizeof(*all->name));
    for (size_t i = 0; i < conf->upstream_count; i++) {
        for (size_t k = 0; k < conf->upstreams[i].server_count; k++) {
            if (conf->upstreams[i].server[k].is_name) {
                begin(all, &conf->upstreams[i].server[k]);
            }
        }
    }
    return all;
}

void upstream_names_free(struct upstream_names **n)
{
    struct upstream_names *all = *n;

    if (all == NULL) {
        return;
    }
    for (size_t i = 0; i < all->count; i++) {
        dns_cancel(&all->name[i].req);
        timer_stop(&all->name[i].again);
    }
    free(all->name);
    free(all);
    *n = NULL;
}
