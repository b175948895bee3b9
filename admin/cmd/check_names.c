/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_names.c - glacis check --online: are our DNS records as other mail servers expect?
 *
 * The name in our greeting has addresses, their reverse names lead back to it, and it is an MX of the domains.
 * Nothing here is an error: behind a NAT or a balancer the names may rightly differ.
 *
 * Limits  ADDRESSES_MAX addresses, DOMAINS_MAX domains, MX_SHOWN names of each.
 */
#include "admin/cmd/check_names.h"

#include <stdio.h>

#include "dns/names.h"

#define ADDRESSES_MAX 4
#define DOMAINS_MAX 20
#define MX_SHOWN 8

struct asker {
    struct loop *loop;
    struct resolver *resolver;
    struct dns_answer *answer;
};

static void on_answer(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct asker *a = arg;

    (void)had;
    a->answer = dns_answer_ref(ans);
    loop_stop(a->loop);
}

/* Returns the result of a lookup; the caller frees it. */
static struct dns_answer *ask(struct asker *a, struct slice name, enum dns_type type)
{
    struct dns_req *req = dns_query(a->resolver, name, type, on_answer, a);

    (void)req; /* done when the loop has run: the resolver has deadlines */
    loop_run(a->loop);
    return a->answer;
}

static bool has_name(const struct dns_answer *ans, struct slice name)
{
    for (size_t i = 0; i < ans->count; i++) {
        if (slice_eq_nocase(ans->records[i].data, name)) {
            return true;
        }
    }
    return false;
}

static void check_reverse(struct asker *a, const struct addr *ip, struct slice ours)
{
    char text_mem[ADDR_TEXT_MAX], reverse_mem[100];
    struct buf text, reverse;
    struct dns_answer *ans;

    buf_init_fixed(&text, text_mem, sizeof(text_mem));
    buf_init_fixed(&reverse, reverse_mem, sizeof(reverse_mem));
    addr_put_ip(&text, ip);
    dns_put_reverse(&reverse, ip);
    ans = ask(a, buf_slice(&reverse), DNS_TYPE_PTR);
    if (has_name(ans, ours)) {
        printf("name %s: ok: the reverse name of %s leads back\n", ours.ptr, text_mem);
    } else if (ans->status == DNS_TEMPFAIL) {
        printf("name %s: unknown: no answer for the reverse name of %s\n", ours.ptr, text_mem);
    } else if (ans->count == 0) {
        printf("name %s: warn: %s has no reverse name: many servers distrust such a machine\n", ours.ptr,
               text_mem);
    } else {
        printf("name %s: warn: the reverse name of %s is another one: " SLICE_FMT "\n", ours.ptr, text_mem,
               SLICE_ARG(ans->records[0].data));
    }
    dns_answer_unref(ans);
}

static void check_hostname(struct asker *a, struct slice ours)
{
    static const enum dns_type types[] = { DNS_TYPE_A, DNS_TYPE_AAAA };
    size_t seen = 0, unknown = 0;

    for (size_t t = 0; t < ARRAY_LEN(types); t++) {
        struct dns_answer *ans = ask(a, ours, types[t]);

        unknown += ans->status == DNS_TEMPFAIL;
        for (size_t i = 0; i < ans->count && seen < ADDRESSES_MAX; i++, seen++) {
            struct addr ip = dns_record_addr(&ans->records[i]);

            check_reverse(a, &ip, ours);
        }
        dns_answer_unref(ans);
    }
    if (seen == 0) {
        printf("name %s: %s\n", ours.ptr,
               unknown > 0 ? "unknown: no answer for its addresses" : "warn: it has no address in the DNS");
    }
}

static void check_domain(struct asker *a, const char *domain, struct slice ours)
{
    struct dns_answer *ans = ask(a, slice_str(domain), DNS_TYPE_MX);

    if (has_name(ans, ours)) {
        printf("domain %s: ok: " SLICE_FMT " is an MX of it\n", domain, SLICE_ARG(ours));
    } else if (ans->status == DNS_TEMPFAIL) {
        printf("domain %s: unknown: no answer for its MX\n", domain);
    } else if (ans->count == 0) {
        printf("domain %s: warn: it has no MX\n", domain);
    } else {
        printf("domain %s: warn: " SLICE_FMT " is no MX of it; these are:", domain, SLICE_ARG(ours));
        for (size_t i = 0; i < ans->count && i < MX_SHOWN; i++) {
            printf(" " SLICE_FMT, SLICE_ARG(ans->records[i].data));
        }
        putchar('\n');
    }
    dns_answer_unref(ans);
}

void check_names(const struct config *c, struct loop *loop, struct resolver *r)
{
    struct asker a = { .loop = loop, .resolver = r };
    struct slice ours = slice_str(c->server.hostname);
    size_t asked = 0;

    check_hostname(&a, ours);
    for (size_t i = 0; i < c->domain_count && asked < DOMAINS_MAX; i++) {
        if (!c->domains[i].subdomains) {
            check_domain(&a, c->domains[i].name, ours);
            asked++;
        }
    }
}
