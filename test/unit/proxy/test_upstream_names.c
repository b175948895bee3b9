/*
 * test_upstream_names.c - a server that is configured by name gets its address from our resolver.
 */
#include "dns/dns.h"
#include "proxy/upstream_names.h"
#include "test/unit/dns/server.h"
#include "test/unit/proxy/relay_world.h"

struct named {
    struct world w;
    struct test_server dns;
    struct resolver *resolver;
    struct upstream_names *names;
};

static void named_start(struct named *n, const char *host, const char *text)
{
    struct config_upstream_server *server;
    struct dns_settings settings = dns_settings_default();

    world_init(&n->w, 1);
    server = &world_up(&n->w)->server[0];
    server->is_name = true;
    server->host = host;
    server->address = (struct addr){ .port = 2525 };
    snprintf(n->w.text[0], sizeof(n->w.text[0]), "%s", text);
    world_go(&n->w);
    server_start(&n->dns, n->w.loop);
    settings.servers = &n->dns.addr;
    settings.server_count = 1;
    n->resolver = resolver_new(n->w.loop, &settings);
    n->names = upstream_names_new(n->w.ups, n->resolver);
}

static void named_end(struct named *n)
{
    upstream_names_free(&n->names);
    upstream_names_free(&n->names);
    resolver_free(n->resolver);
    server_stop(&n->dns);
    world_fini(&n->w);
}

static void a_name_gets_its_address_and_keeps_its_port(void **state)
{
    static struct named n;
    const struct addr *a;
    struct addr want;

    (void)state;
    named_start(&n, "a.test", "a.test:2525");
    a = &n.w.ups->pool[0].server[0].address;
    assert_int_equal(a->family, ADDR_NONE);
    run_ms(&n.w, 150);
    assert_true(addr_parse_ip(SLICE("192.0.2.1"), &want));
    assert_true(addr_same_ip(a, &want));
    assert_int_equal(a->port, 2525);
    named_end(&n);
}

static void a_name_that_is_not_found_is_an_unreachable_server(void **state)
{
    static struct named n;

    (void)state;
    named_start(&n, "nx.test", "nx.test:2525");
    run_ms(&n.w, 150);
    assert_int_equal(n.w.ups->pool[0].server[0].address.family, ADDR_NONE);
    assert_int_equal(deliver_one(&n.w, "192.0.2.9"), 451);
    named_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_gets_its_address_and_keeps_its_port),
        cmocka_unit_test(a_name_that_is_not_found_is_an_unreachable_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
