/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver_watch.c - see resolver_watch.h; the test itself is dns/selftest.c.
 */
#include "proxy/process/resolver_watch.h"

#include "dns/dns.h"
#include "policy/policy.h"

#define FIRST_MS 1000 /* after start, so that the first mail comes first */

struct resolver_watch {
    struct worker *worker;
    struct dns_selftest *running; /* NULL: none */
    struct timer again;
};

static void log_finding(const struct dns_finding *f)
{
    enum log_level level = f->grade == DNS_GRADE_OK       ? LOG_LEVEL_DEBUG
                           : f->grade == DNS_GRADE_BROKEN ? LOG_LEVEL_ERROR
                                                          : LOG_LEVEL_WARN;
    struct log_line l;
    char mem[ADDR_TEXT_MAX];
    struct buf server;

    if (!log_begin(&l, level, "resolver_test")) {
        return;
    }
    buf_init_fixed(&server, mem, sizeof(mem));
    addr_put_endpoint(&server, &f->server);
    log_str(&l, "server", buf_slice(&server));
    log_text(&l, "check", dns_check_text(f->check));
    log_text(&l, "grade", dns_grade_text(f->grade));
    log_text(&l, "msg", f->text);
    log_end(&l);
}

static void on_result(const struct dns_selftest_result *res, void *arg)
{
    struct resolver_watch *t = arg;

    t->running = NULL;
    for (size_t i = 0; i < res->count; i++) {
        log_finding(&res->findings[i]);
    }
    gauge_set(M_RESOLVER_GRADE, (uint64_t)res->worst);
    log_msg(res->worst == DNS_GRADE_OK ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "resolver_tested",
            "The resolver is %s", dns_grade_text(res->worst));
    timer_start(&t->again, t->worker->conf->dns.self_test_ms);
}

static void on_time(void *arg)
{
    struct resolver_watch *t = arg;
    struct slice zones[DNS_SELFTEST_LISTS_MAX], names[DNS_SELFTEST_LISTS_MAX];
    struct dns_selftest_settings settings = {
        .known = SLICE("org"),      /* the test looks up its NS */
        .absent = SLICE("invalid"), /* never exists (RFC 6761 6.4) */
        .lists = zones,
        .list_names = names,
    };

    settings.list_count = policy_probe_zones(t->worker->conf->policy, zones, names, ARRAY_LEN(zones));
    t->running = dns_selftest_start(t->worker->resolver, &settings, on_result, t);
}

struct resolver_watch *resolver_watch_new(struct worker *w)
{
    struct resolver_watch *t;

    if (w->index != 0 || w->conf->dns.self_test_ms == CONFIG_OFF || w->conf->policy == NULL) {
        return NULL;
    }
    t = xcalloc(1, sizeof(*t));
    t->worker = w;
    timer_init(&t->again, w->loop, on_time, t);
    timer_start(&t->again, FIRST_MS);
    return t;
}

void resolver_watch_free(struct resolver_watch **tp)
{
    struct resolver_watch *t = *tp;

    if (t == NULL) {
        return;
    }
    *tp = NULL;
    dns_selftest_cancel(&t->running);
    timer_stop(&t->again);
    free(t);
}
