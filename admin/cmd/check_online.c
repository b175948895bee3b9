/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_online.c - glacis check --online: is the resolver fit for lists and SPF (DESIGN 6)?
 *
 * Runs the self-test that the first worker runs hourly (dns/selftest.c), and prints each finding as a sentence.
 * Then it checks our own names (check_names.c) and the upstream servers (check_upstreams.c).
 */
#include "admin/admin.h"
#include "admin/cmd/check_names.h"
#include "admin/cmd/check_upstreams.h"
#include "core/loop.h"
#include "dns/dns.h"
#include "policy/policy.h"

struct online {
    struct loop *loop;
    struct dns_selftest *test;
    bool ok;
};

static void on_result(const struct dns_selftest_result *res, void *arg)
{
    struct online *o = arg;
    char mem[ADDR_TEXT_MAX];
    struct buf server;

    o->test = NULL;
    for (size_t i = 0; i < res->count; i++) {
        const struct dns_finding *f = &res->findings[i];

        buf_init_fixed(&server, mem, sizeof(mem));
        addr_put_endpoint(&server, &f->server);
        printf("resolver %s: %s: %s: %s\n", mem, dns_check_text(f->check), dns_grade_text(f->grade), f->text);
    }
    printf("resolver: %s\n", dns_grade_text(res->worst));
    o->ok = res->worst == DNS_GRADE_OK || res->worst == DNS_GRADE_WARN;
    loop_stop(o->loop);
}

bool check_online(const struct config *c)
{
    struct slice zones[DNS_SELFTEST_LISTS_MAX], names[DNS_SELFTEST_LISTS_MAX];
    struct dns_settings dns = dns_settings_of(&c->dns);
    struct dns_selftest_settings set = {
        .known = SLICE("org"),      /* the test looks up its NS */
        .absent = SLICE("invalid"), /* never exists (RFC 6761 6.4) */
        .lists = zones,
        .list_names = names,
        .list_count = policy_probe_zones(c->policy, zones, names, ARRAY_LEN(zones)),
    };
    struct online o = { .loop = loop_new() };
    struct resolver *r = resolver_new(o.loop, &dns);

    log_set_level(LOG_LEVEL_ERROR); /* the text below reports DNS results */
    o.test = dns_selftest_start(r, &set, on_result, &o);
    loop_run(o.loop); /* ends with the result, which has its own deadline */
    check_names(c, o.loop, r);
    for (size_t i = 0; i < c->upstream_count; i++) {
        for (size_t k = 0; k < c->upstreams[i].server_count; k++) {
            o.ok = check_upstream(c, &c->upstreams[i], k, o.loop, r) && o.ok;
        }
    }
    resolver_free(r);
    loop_free(o.loop);
    return o.ok;
}
