/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_upstream_names.c - servers that are configured by name: every address is one, and changes are followed.
 *
 * The DNS is test/sim/fake_dns.c; the addresses are fake servers on one port of 127.0.0.1, .2, .3 and ::1.
 */
#include "admin/recorder/server_status.h"
#include "proxy/upstream/upstream.h"
#include "proxy/upstream/upstream_names.h"
#include "state/servers.h"
#include "state/shared_priv.h"
#include "test/sim/fake_dns.h"
#include "test/unit/proxy/relay_world.h"

#define TTL_MS 61000 /* of the fake DNS, and a little */

static const char *const ips[] = { "127.0.0.1", "127.0.0.2", "127.0.0.3", "::1" };

struct named {
    struct world w;
    struct resolver *dns;
    struct upstream_names *names;
    struct fake v6; /* [::1] on the port of the others, if this machine has it */
    bool has_v6;
};

/* One server by the name mail.test; three fakes listen.  Nothing is asked yet. */
/* So long that there are many turns: each settles for a moment only. */
static void pass_ms(struct world *w, uint64_t ms)
{
    jump_settle_ms = 1;
    run_ms(w, ms);
    jump_settle_ms = 20;
}

static void named_init(struct named *n)
{
    struct config_upstream_server *server;
    struct addr at;

    memset(n, 0, sizeof(*n));
    world_init(&n->w, 1);
    for (size_t i = 1; i < WORLD_SERVERS; i++) {
        assert_true(addr_parse_ip(slice_str(ips[i]), &at));
        at.port = n->w.fake[0].addr.port;
        assert_true(fake_init_at(&n->w.fake[i], n->w.loop, &at));
    }
    n->w.fakes = WORLD_SERVERS;
    assert_true(addr_parse_ip(SLICE("::1"), &at));
    at.port = n->w.fake[0].addr.port;
    n->has_v6 = fake_init_at(&n->v6, n->w.loop, &at);
    server = &world_up(&n->w)->server[0];
    server->is_name = true;
    server->host = "mail.test";
    server->text = "mail.test:25";
    server->address = (struct addr){ .port = n->w.fake[0].addr.port };
    world_up(&n->w)->health.interval_ms = 3600000; /* probed once, when it is new */
    n->w.probes = true;
    n->dns = resolver_new(n->w.loop, NULL);
}

/* A second server of the upstream, by another name. */
static void named_second(struct named *n, const char *host, const char *text)
{
    struct config_upstream *up = world_up(&n->w);

    up->server[1] = up->server[0];
    up->server[1].host = host;
    up->server[1].text = text;
    up->server_count = 2;
}

static void a(struct named *n, const char *address)
{
    fake_dns_add(n->dns, "mail.test", DNS_TYPE_A, address, 0);
}

static void named_go(struct named *n)
{
    world_go(&n->w);
    n->names = upstream_names_new(n->w.ups, n->dns);
}

static void named_end(struct named *n)
{
    upstream_names_free(&n->names);
    upstream_names_free(&n->names);
    resolver_free(n->dns);
    world_fini(&n->w);
    fake_fini(&n->v6);
}

static struct pool *pool_of(struct named *n)
{
    return &n->w.ups->pool[0];
}

/* The addresses in the order in which they are tried, by their number in ips: "0 2 ". */
static const char *order(struct named *n)
{
    static char text[200];
    struct buf b;

    buf_init_fixed(&b, text, sizeof(text));
    for (size_t i = 0; i < pool_of(n)->server_count; i++) {
        for (size_t k = 0; k < ARRAY_LEN(ips); k++) {
            struct addr ip;

            assert_true(addr_parse_ip(slice_str(ips[k]), &ip));
            if (addr_same_ip(&ip, &pool_of(n)->order[i]->address)) {
                buf_putf(&b, "%zu ", k);
            }
        }
    }
    return buf_ok(&b) && b.len > 0 ? text : "";
}

static size_t records_in_use(struct named *n)
{
    size_t count = 0;

    for (size_t i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
        struct state_server_info info;

        count += state_server_info(n->w.state, world_area(&n->w), i, &info);
    }
    return count;
}

/* ---- A2 ---- */

static void a2_every_address_of_a_name_is_a_server(void **state)
{
    static struct named n;

    (void)state;
    named_init(&n);
    fake_deaf(&n.w.fake[0]);
    a(&n, ips[1]);
    a(&n, ips[0]); /* dead */
    named_go(&n);
    run_ms(&n.w, 50);
    assert_string_equal(order(&n), "0 1 ");
    assert_int_equal(pool_of(&n)->order[0]->address.port, n.w.fake[0].addr.port);
    assert_int_equal(deliver_one(&n.w, "192.0.2.9"), 250);
    assert_int_equal(n.w.fake[1].messages, 1);
    named_end(&n);
}

static void a2_a_living_ipv6_address_serves_beside_a_dead_ipv4_one(void **state)
{
    static struct named n;

    (void)state;
    named_init(&n);
    fake_deaf(&n.w.fake[0]);
    a(&n, ips[0]);
    fake_dns_add(n.dns, "mail.test", DNS_TYPE_AAAA, "::1", 0);
    named_go(&n);
    run_ms(&n.w, 50);
    if (!n.has_v6) {
        print_message("no ::1 here\n");
    } else {
        assert_string_equal(order(&n), "0 3 ");
        assert_int_equal(deliver_one(&n.w, "192.0.2.9"), 250);
        assert_int_equal(n.v6.messages, 1);
    }
    named_end(&n);
}

static void a2_the_order_is_the_same_however_the_dns_turns_it(void **state)
{
    static struct named n;
    static const size_t turns[][3] = { { 2, 0, 1 }, { 1, 2, 0 }, { 0, 1, 2 } };

    (void)state;
    named_init(&n);
    for (size_t t = 0; t < ARRAY_LEN(turns); t++) {
        fake_dns_clear(n.dns);
        for (size_t i = 0; i < 3; i++) {
            a(&n, ips[turns[t][i]]);
        }
        if (t == 0) {
            named_go(&n);
        }
        pass_ms(&n.w, TTL_MS);
        assert_string_equal(order(&n), "0 1 2 ");
        assert_int_equal(deliver_one(&n.w, "192.0.2.9"), 250);
    }
    assert_int_equal(n.w.fake[0].messages, 3); /* failover: always the first */
    named_end(&n);
}

static void a2_changes_of_the_answer_are_followed_and_old_addresses_drain(void **state)
{
    static struct named n;
    struct mail m;
    unsigned quits;

    (void)state;
    named_init(&n);
    world_up(&n.w)->hold_ms = CONFIG_OFF;
    world_up(&n.w)->idle_timeout_ms = CONFIG_OFF;
    world_up(&n.w)->max_age_ms = CONFIG_OFF;
    world_up(&n.w)->timeouts.command_ms = world_up(&n.w)->timeouts.final_reply_ms = 200000;
    a(&n, ips[0]);
    named_go(&n);
    pass_ms(&n.w, 2000);                                   /* both first probes */
    assert_int_equal(deliver_one(&n.w, "192.0.2.8"), 250); /* one that stays idle */
    mail_init(&m, &n.w, "192.0.2.9");
    assert_int_equal(rcpt(&m, "a@corp.test"), 250);
    assert_int_equal(n.w.fake[0].open, 1);
    assert_int_equal(deliver_one(&n.w, "192.0.2.8"), 250);
    assert_int_equal(n.w.fake[0].open, 2);
    quits = n.w.fake[0].quits;
    fake_dns_clear(n.dns);
    a(&n, ips[1]);
    pass_ms(&n.w, TTL_MS);
    assert_string_equal(order(&n), "1 ");
    assert_int_equal(n.w.fake[0].open, 1); /* the idle one said QUIT */
    assert_int_equal(n.w.fake[0].quits, quits + 1);
    assert_int_equal(records_in_use(&n), 2); /* a ticket of the old one is held */
    assert_int_equal(deliver_one(&n.w, "192.0.2.8"), 250);
    assert_int_equal(n.w.fake[1].messages, 1);
    assert_int_equal(message(&m, BODY), 250); /* nothing is cut short */
    assert_int_equal(n.w.fake[0].messages, 3);
    mail_fini(&m);
    run_ms(&n.w, 50);
    assert_int_equal(n.w.fake[0].open, 0);
    assert_int_equal(records_in_use(&n), 1);
    fake_dns_clear(n.dns);
    a(&n, ips[0]);
    pass_ms(&n.w, TTL_MS);
    assert_int_equal(deliver_one(&n.w, "192.0.2.8"), 250); /* back again */
    assert_int_equal(n.w.fake[0].messages, 4);
    named_end(&n);
}

static void a2_an_address_that_comes_back_while_it_drains_goes_on(void **state)
{
    static struct named n;
    struct mail m;

    (void)state;
    named_init(&n);
    world_up(&n.w)->hold_ms = CONFIG_OFF;
    world_up(&n.w)->timeouts.command_ms = 900000;
    a(&n, ips[0]);
    named_go(&n);
    run_ms(&n.w, 50);
    mail_init(&m, &n.w, "192.0.2.9");
    assert_int_equal(rcpt(&m, "a@corp.test"), 250);
    fake_dns_clear(n.dns);
    a(&n, ips[1]);
    pass_ms(&n.w, TTL_MS);
    assert_int_equal(records_in_use(&n), 2);
    fake_dns_clear(n.dns);
    a(&n, ips[0]);
    a(&n, ips[1]);
    pass_ms(&n.w, TTL_MS);
    assert_string_equal(order(&n), "0 1 ");
    assert_int_equal(message(&m, BODY), 250);
    mail_fini(&m);
    run_ms(&n.w, 50);
    assert_int_equal(n.w.fake[0].open, 1); /* kept for the next */
    named_end(&n);
}

static const struct {
    const char *label, *a, *aaaa, *want;
} lost_rows[] = {
    { "SERVFAIL", "SERVFAIL", "SERVFAIL", "0 1 " },
    { "the name is gone", "NXDOMAIN", "NXDOMAIN", "0 1 " },
    { "no data for both", "NODATA", "NODATA", "0 1 " },
    { "no data, and the other type cannot be told", "NODATA", "SERVFAIL", "0 1 " },
    { "one address, and the other type cannot be told", "127.0.0.2", "SERVFAIL", "1 " },
};

static void a2_what_is_known_stays_until_something_better_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lost_rows); i++) {
        static struct named n;

        named_init(&n);
        a(&n, ips[0]);
        a(&n, ips[1]);
        fake_dns_add(n.dns, "mail.test", DNS_TYPE_AAAA, "NODATA", 0);
        named_go(&n);
        run_ms(&n.w, 50);
        fake_dns_clear(n.dns);
        a(&n, lost_rows[i].a);
        fake_dns_add(n.dns, "mail.test", DNS_TYPE_AAAA, lost_rows[i].aaaa, 0);
        pass_ms(&n.w, TTL_MS);
        if (strcmp(order(&n), lost_rows[i].want) != 0) {
            fail_msg("%s: %s", lost_rows[i].label, order(&n));
        }
        assert_int_equal(deliver_one(&n.w, "192.0.2.9"), 250);
        named_end(&n);
    }
}

static void a2_connections_and_health_are_of_each_address(void **state)
{
    static struct named n;
    struct mail m[2];
    struct servers_seen seen;

    (void)state;
    named_init(&n);
    world_up(&n.w)->connections = 1;
    world_up(&n.w)->hold_ms = CONFIG_OFF;
    world_up(&n.w)->balance = BALANCE_ROUND_ROBIN;
    world_up(&n.w)->health.interval_ms = 30000;
    a(&n, ips[0]);
    a(&n, ips[1]);
    named_go(&n);
    run_ms(&n.w, 50);
    for (size_t i = 0; i < 2; i++) {
        mail_init(&m[i], &n.w, i ? "192.0.2.8" : "192.0.2.9");
        assert_int_equal(rcpt(&m[i], "a@corp.test"), 250);
    }
    assert_int_equal(n.w.fake[0].open, 1);
    assert_int_equal(n.w.fake[1].open, 1);
    mail_fini(&m[0]);
    mail_fini(&m[1]);
    run_ms(&n.w, 50);
    seen = servers_look(n.w.conf, n.w.state);
    assert_int_equal(seen.up, 2);
    fake_deaf(&n.w.fake[0]);
    fake_close_all(&n.w.fake[0]);
    pass_ms(&n.w, 120000); /* some probes */
    seen = servers_look(n.w.conf, n.w.state);
    assert_int_equal(seen.up, 1);
    assert_int_equal(seen.down, 1);
    assert_int_equal(deliver_one(&n.w, "192.0.2.9"), 250);
    assert_int_equal(n.w.fake[1].messages, 1);
    named_end(&n);
}

static void a2_one_address_under_two_names_is_one_server(void **state)
{
    static struct named n;
    struct servers_seen seen;
    struct buf text;

    (void)state;
    named_init(&n);
    named_second(&n, "other.test", "other.test:25");
    a(&n, ips[0]);
    fake_dns_add(n.dns, "other.test", DNS_TYPE_A, ips[0], 0);
    fake_dns_add(n.dns, "other.test", DNS_TYPE_A, ips[1], 0);
    named_go(&n);
    run_ms(&n.w, 50);
    assert_string_equal(order(&n), "0 1 ");
    assert_string_equal(pool_of(&n)->order[0]->conf->host, "mail.test");
    assert_string_equal(pool_of(&n)->order[1]->conf->host, "other.test");
    assert_int_equal(records_in_use(&n), 2);
    seen = servers_look(n.w.conf, n.w.state);
    assert_int_equal(seen.up, 3); /* each name is shown with each of its addresses */
    buf_init(&text, 65536);
    servers_put_metrics(n.w.conf, n.w.state, &text);
    assert_non_null(
        strstr(text.ptr, "_up{upstream=\"corp\",server=\"mail.test:25\",address=\"127.0.0.1\"} 1\n"));
    assert_non_null(
        strstr(text.ptr, "_up{upstream=\"corp\",server=\"other.test:25\",address=\"127.0.0.1\"} 1\n"));
    assert_non_null(
        strstr(text.ptr, "_up{upstream=\"corp\",server=\"other.test:25\",address=\"127.0.0.2\"} 1\n"));
    fake_dns_clear(n.dns); /* the first name moves away: the address is the second's now */
    a(&n, ips[2]);
    fake_dns_add(n.dns, "other.test", DNS_TYPE_A, ips[0], 0);
    pass_ms(&n.w, TTL_MS);
    assert_string_equal(order(&n), "2 0 ");
    assert_string_equal(pool_of(&n)->order[1]->conf->host, "other.test");
    buf_fini(&text);
    named_end(&n);
}

/* The server counts the connections of both together. */
static void a2_two_upstreams_share_the_connections_of_one_address(void **state)
{
    static struct named n;
    struct config_upstream *up;
    struct mail m[2];

    (void)state;
    named_init(&n);
    up = world_up(&n.w);
    up->connections = 2;
    up->hold_ms = CONFIG_OFF;
    n.w.conf->upstreams[1] = *up;
    up[1].name = "second";
    up[1].index = 1;
    up[1].server[0].is_name = false;
    up[1].server[0].text = "127.0.0.1:25";
    up[1].server[0].address = n.w.fake[0].addr;
    n.w.conf->upstream_count = 2;
    a(&n, ips[0]);
    named_go(&n);
    run_ms(&n.w, 50);
    mail_init(&m[0], &n.w, "192.0.2.1");
    assert_int_equal(rcpt(&m[0], "a@corp.test"), 250);
    mail_init(&m[1], &n.w, "192.0.2.2");
    relay_free(&m[1].relay);
    m[1].relay = relay_new(n.w.ups, &up[1], &m[1].env);
    assert_int_equal(rcpt(&m[1], "a@corp.test"), 250);
    assert_int_equal(n.w.fake[0].open, 2);
    assert_true(pool_tickets_gone(n.w.ups->pool[0].order[0]));
    assert_true(pool_tickets_gone(n.w.ups->pool[1].order[0]));
    assert_int_equal(pool_take_ticket(n.w.ups->pool[0].order[0]), -1);
    assert_int_equal(pool_take_ticket(n.w.ups->pool[1].order[0]), -1);
    mail_fini(&m[1]);
    run_ms(&n.w, 50);
    assert_int_equal(n.w.fake[0].open, 2);                         /* idle in the second's pool */
    assert_true(pool_take_ticket(n.w.ups->pool[0].order[0]) >= 0); /* and given up for the first */
    state_ticket_return(n.w.state, n.w.ups->pool[0].order[0]->index, 1);
    mail_fini(&m[0]);
    run_ms(&n.w, 50);
    named_end(&n);
}

static void a2_more_addresses_than_there_is_room_for_are_left_out(void **state)
{
    static struct named n;
    char text[ADDR_TEXT_MAX];
    struct buf log;

    (void)state;
    named_init(&n);
    named_second(&n, "b.test", "b.test:25");
    world_up(&n.w)->server[2] = world_up(&n.w)->server[1];
    world_up(&n.w)->server[2].host = "c.test";
    world_up(&n.w)->server[2].text = "c.test:25";
    world_up(&n.w)->server_count = 3;
    world_up(&n.w)->health.interval_ms = CONFIG_OFF;
    for (unsigned i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "127.0.1.%u", 40 - i);
        a(&n, text);
        snprintf(text, sizeof(text), "127.0.2.%u", 40 - i);
        fake_dns_add(n.dns, "b.test", DNS_TYPE_A, text, 0);
        snprintf(text, sizeof(text), "127.0.3.%u", 40 - i);
        fake_dns_add(n.dns, "c.test", DNS_TYPE_A, text, 0);
    }
    buf_init(&log, 65536);
    log_set_sink(quiet, &log);
    named_go(&n);
    run_ms(&n.w, 50);
    assert_int_equal(pool_of(&n)->server_count, STATE_UPSTREAM_SERVERS);
    assert_int_equal(pool_of(&n)->order[0]->address.ip[3], 21); /* the smallest sixteen of a name */
    assert_int_equal(pool_of(&n)->order[15]->address.ip[3], 36);
    assert_int_equal(pool_of(&n)->order[16]->address.ip[2], 2);
    assert_non_null(strstr(log.ptr, "the name has too many addresses"));
    assert_non_null(strstr(log.ptr, "more than 32 addresses"));
    log_set_sink(quiet, NULL);
    buf_fini(&log);
    named_end(&n);
}

static void a2_the_first_mail_waits_for_the_first_answer(void **state)
{
    static struct named n;

    (void)state;
    named_init(&n);
    fake_dns_add(n.dns, "mail.test", DNS_TYPE_A, ips[0], 700);
    named_go(&n);
    assert_int_equal(deliver_one(&n.w, "192.0.2.9"), 250);
    named_end(&n);
}

static void a2_a_name_that_is_not_found_is_an_unreachable_server(void **state)
{
    static struct named n;
    struct servers_seen seen;
    struct buf text;

    (void)state;
    named_init(&n);
    named_go(&n);
    assert_int_equal(deliver_one(&n.w, "192.0.2.9"), 451);
    seen = servers_look(n.w.conf, n.w.state);
    assert_int_equal(seen.up, 0);
    assert_int_equal(seen.down, 1);
    buf_init(&text, 65536);
    servers_put_text(n.w.conf, n.w.state, &text);
    assert_string_equal(text.ptr, "server      corp: mail.test:25 DOWN: its name has no address\n");
    buf_reset(&text);
    servers_put_json(n.w.conf, n.w.state, &text);
    assert_string_equal(text.ptr,
                        "[{\"upstream\":\"corp\",\"server\":\"mail.test:25\",\"up\":false,\"connections\":0,"
                        "\"limit\":20}]");
    a(&n, ips[0]);
    pass_ms(&n.w, 6000); /* asked again soon */
    assert_int_equal(deliver_one(&n.w, "192.0.2.9"), 250);
    buf_fini(&text);
    named_end(&n);
}

/* A host without IPv6 would have a server that is down for ever. */
static void a2_an_address_without_a_route_is_left_out_beside_one_with(void **state)
{
    static struct named n;
    struct buf log;

    (void)state;
    named_init(&n);
    buf_init(&log, 65536);
    log_set_sink(quiet, &log);
    a(&n, ips[0]);
    a(&n, "255.255.255.255"); /* the kernel refuses it, as it does where there is no route */
    named_go(&n);
    run_ms(&n.w, 50);
    assert_string_equal(order(&n), "0 ");
    assert_int_equal(pool_of(&n)->server_count, 1);
    assert_non_null(strstr(log.ptr, "there is no route to it"));
    fake_dns_clear(n.dns);
    a(&n, "255.255.255.255");
    pass_ms(&n.w, TTL_MS);
    assert_int_equal(pool_of(&n)->server_count, 1); /* alone it stays, so that what is wrong is seen */
    assert_int_equal(pool_of(&n)->order[0]->address.ip[0], 255);
    log_set_sink(quiet, NULL);
    buf_fini(&log);
    named_end(&n);
}

/* A compromised worker can overwrite the records; the others must not crash. */
static void a2_a_worker_survives_any_content_of_the_shared_records(void **state)
{
    static const int octets[] = { 0x00, 0xff, 0x7f, 0x01, 0x80 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(octets); i++) {
        static struct named n;

        named_init(&n);
        world_up(&n.w)->queue_wait_ms = 100;
        world_up(&n.w)->rate.count = 5;
        world_up(&n.w)->rate.per_ms = 1000;
        a(&n, ips[0]);
        named_go(&n);
        run_ms(&n.w, 50);
        assert_int_equal(deliver_one(&n.w, "192.0.2.9"), 250);
        memset(&n.w.state->sh->upstream[world_area(&n.w)], octets[i], sizeof(n.w.state->sh->upstream[0]));
        (void)deliver_one(&n.w, "192.0.2.9");
        a(&n, ips[1]);
        a(&n, ips[2]);
        pass_ms(&n.w, TTL_MS);
        (void)deliver_one(&n.w, "192.0.2.9");
        (void)servers_look(n.w.conf, n.w.state);
        fake_dns_clear(n.dns);
        a(&n, ips[2]);
        pass_ms(&n.w, TTL_MS);
        (void)deliver_one(&n.w, "192.0.2.9");
        memset(&n.w.state->sh->upstream[world_area(&n.w)], 0, sizeof(n.w.state->sh->upstream[0]));
        named_end(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a2_every_address_of_a_name_is_a_server),
        cmocka_unit_test(a2_a_living_ipv6_address_serves_beside_a_dead_ipv4_one),
        cmocka_unit_test(a2_the_order_is_the_same_however_the_dns_turns_it),
        cmocka_unit_test(a2_changes_of_the_answer_are_followed_and_old_addresses_drain),
        cmocka_unit_test(a2_an_address_that_comes_back_while_it_drains_goes_on),
        cmocka_unit_test(a2_what_is_known_stays_until_something_better_is),
        cmocka_unit_test(a2_connections_and_health_are_of_each_address),
        cmocka_unit_test(a2_one_address_under_two_names_is_one_server),
        cmocka_unit_test(a2_two_upstreams_share_the_connections_of_one_address),
        cmocka_unit_test(a2_more_addresses_than_there_is_room_for_are_left_out),
        cmocka_unit_test(a2_the_first_mail_waits_for_the_first_answer),
        cmocka_unit_test(a2_a_name_that_is_not_found_is_an_unreachable_server),
        cmocka_unit_test(a2_an_address_without_a_route_is_left_out_beside_one_with),
        cmocka_unit_test(a2_a_worker_survives_any_content_of_the_shared_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
