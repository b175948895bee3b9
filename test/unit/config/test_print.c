/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_print.c - what is printed loads again to the same, and secrets stay secret.
 */
#include "helper.h"

#define UP "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: u}\n"

/* Everything that a snapshot says, field by field, in one text: print.c must not be its own witness. */
static void put_fields(const struct config *c, struct buf *b)
{
    const struct config_limits *m = &c->limits;

    buf_putf(b, "%d %s %s %s %s %s %d ", (int)c->mode, c->server.hostname, c->server.user,
             c->server.state_dir, c->server.spool_dir, c->server.banner, c->server.listen_given);
    for (size_t i = 0; i < c->server.listen_count; i++) {
        addr_put_endpoint(b, &c->server.listen[i].address);
        buf_putf(b, " %d %d %d %zu ", c->server.listen[i].proxy_protocol, c->server.listen[i].xclient,
                 (int)c->server.listen[i].tls, c->server.listen[i].trusted_count);
    }
    buf_putf(b, "%u %d %" PRIu64 " %" PRIu64 " %d\n", c->server.workers, (int)c->server.private_clients,
             c->server.greet_delay_ms, c->server.drain_timeout_ms, c->server.sandbox);
    for (size_t i = 0; i < c->upstream_count; i++) {
        const struct config_upstream *u = &c->upstreams[i];

        buf_putf(b, "%s %d %d %d %s %s %d %u %" PRIu64 " %" PRIu64 " %u ", u->name, (int)u->kind,
                 (int)u->balance, (int)u->tls, u->tls_ca, u->tls_name, (int)u->identity, u->connections,
                 u->size, u->remember_unknown_ms, u->keep_idle);
        buf_putf(b, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %d ", u->hold_ms, u->queue_wait_ms,
                 u->idle_timeout_ms, u->max_age_ms, u->max_messages, (int)u->ehlo);
        buf_putf(b, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " ", u->timeouts.connect_ms,
                 u->timeouts.greeting_ms, u->timeouts.command_ms, u->timeouts.final_reply_ms);
        buf_putf(b, "%" PRIu64 " %u %u %u %" PRIu64, u->health.interval_ms, u->health.fall, u->health.rise,
                 u->rate.count, u->rate.per_ms);
        for (size_t j = 0; j < u->server_count; j++) {
            buf_putf(b, " %s %s", u->server[j].text, u->server[j].host);
        }
        buf_put_char(b, '\n');
    }
    for (size_t i = 0; i < c->domain_count; i++) {
        buf_putf(b, "%s %d %s %d %s\n", c->domains[i].name, c->domains[i].subdomains,
                 c->domains[i].upstream->name, (int)c->domains[i].validate, c->domains[i].validate_file);
    }
    buf_putf(b, "%" PRIu64 " %" PRIu64 " %u/%" PRIu64 " %u/%" PRIu64 " %" PRIu64 " %u %u %u %u ",
             m->connections, m->connections_per_client, m->connection_rate.count, m->connection_rate.per_ms,
             m->message_rate.count, m->message_rate.per_ms, m->message_size, m->recipients,
             m->messages_per_session, m->errors, m->refused_recipients);
    buf_putf(b, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %" PRIu64 " ",
             m->command_timeout_ms, m->command_deadline_ms, m->data_timeout_ms, m->data_deadline_ms,
             m->session_timeout_ms, m->stress_at_percent, m->stress_command_timeout_ms);
    buf_putf(b,
             "%" PRIu64 " %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %" PRIu64 " %" PRIu64 " %d %d %" PRIu64
             "\n",
             m->headers, m->hops, m->memory, m->spool_memory, m->spool, m->ban_points, m->ban_within_ms,
             m->ban_for_ms, (int)m->bare_newline, (int)m->bare_newline_bdat, m->duplicate_guard_ms);
    buf_putf(b, "%d %d %d %d %s %d %d ", c->smtp.chunking, c->smtp.smtputf8, c->headers.received,
             c->headers.authentication_results, c->headers.authserv_id, c->headers.received_spf,
             c->headers.verdict);
    for (size_t i = 0; i < c->headers.strip_count; i++) {
        buf_putf(b, "%s ", c->headers.strip[i]);
    }
    for (size_t i = 0; i < c->headers.strip_authserv_count; i++) {
        buf_putf(b, "%s ", c->headers.strip_authserv_ids[i]);
    }
    for (size_t i = 0; i < c->headers.add_count; i++) {
        buf_putf(b, "%s=%s ", c->headers.add[i].name, c->headers.add[i].value);
    }
    for (size_t i = 0; i < c->dns.server_count; i++) {
        addr_put_endpoint(b, &c->dns.servers[i]);
    }
    buf_putf(b, "\n%" PRIu64 " %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %" PRIu64 "\n",
             c->dns.timeout_ms, c->dns.attempts, c->dns.cache_entries, c->dns.cache_min_ttl_ms,
             c->dns.cache_max_ttl_ms, c->dns.cache_negative_ttl_ms, c->dns.cache_failure_ttl_ms,
             c->dns.in_flight, c->dns.self_test_ms);
    buf_putf(b, "%d %d %d %s %d %d ", (int)c->log.format, (int)c->log.to, (int)c->log.level, c->log.file,
             (int)c->log.addresses, c->admin.enabled);
    addr_put_endpoint(b, &c->admin.listen);
}

static void what_is_printed_loads_to_an_equal_snapshot(void **state)
{
    static const char *const files[] = {
        UP,
        "server:\n  hostname: MX9.Test.Example\n"
        "  listen: [\"127.0.0.1:0\", {address: \"[::1]:2525\", tls: \"off\"}]\n"
        "  workers: 3\n  user: mail\n  state_dir: \"/tmp/a b\"\n  banner: \"{server.hostname} ${GLACIS_ODD} "
        "{{x\"\n"
        "  private_clients: judge\n  greet_delay: off\n  sandbox: false\nmode: monitor\n" UP
        "limits: {connections: off, recipients: off, stress: off, ban: off, message_rate: 300/1h,\n"
        "         duplicate_guard: 24h, bare_newline: normalize, message_size: 36000000, data_timeout: "
        "1500ms}\n"
        "dns: {servers: [\"192.0.2.53\", \"[2001:db8::53]:5353\"], self_test: off, cache: {entries: 500, "
        "min_ttl: 0s}}\n"
        "headers: {strip: [X-A, \"X-B-*\"], add: {X-C: \"{client.ip} {{ \\\" \\\\ ${GLACIS_ODD}\"}, "
        "strip_authserv_ids: mx2}\n"
        "admin: {listen: off}\nsmtp: {chunking: false, smtputf8: false}\n"
        "log: {format: text, to: \"file:/var/log/g x\", level: debug, addresses: hash}\n",
        "upstreams:\n  e: {kind: exchange, servers: \"192.0.2.1:25\"}\n"
        "  f: {servers: \"192.0.2.2:25\", size: off, connections: 3, kind: exchange}\n"
        "  g: {kind: groupwise, servers: \"192.0.2.3:25\", health: off, remember_unknown: off, keep_idle: "
        "off, max_age: off}\n"
        "  h: {servers: \"192.0.2.4:25, [2001:db8::4]:26\", rate: off, max_messages: off, balance: "
        "round_robin, tls: off, ehlo: ours}\n"
        "domains: {a.example: e, .a.example: f, c.example: {upstream: g, validate: none}, d.example: h, 1e3: "
        "h}\n",
    };

    (void)state;
    setenv("GLACIS_ODD", "$${{x} y", 1);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct config *a = load_good(files[i]), *b;
        struct buf printed, again, fields_a, fields_b;

        buf_init(&printed, 1u << 20);
        buf_init(&again, 1u << 20);
        buf_init(&fields_a, 1u << 20);
        buf_init(&fields_b, 1u << 20);
        config_print(a, NULL, &printed);
        b = load_good(printed.ptr);
        config_print(b, NULL, &again);
        put_fields(a, &fields_a);
        put_fields(b, &fields_b);
        assert_string_equal(printed.ptr, again.ptr);
        assert_string_equal(fields_a.ptr, fields_b.ptr);
        buf_fini(&printed);
        buf_fini(&again);
        buf_fini(&fields_a);
        buf_fini(&fields_b);
        config_free(a);
        config_free(b);
    }
}

static void a_token_is_masked_and_the_mask_does_not_load(void **state)
{
    struct config *c = load_good(UP "admin: {token: s3cret-t0ken}\n");
    struct buf printed, said;

    (void)state;
    buf_init(&printed, 1u << 20);
    config_print(c, NULL, &printed);
    assert_non_null(strstr(printed.ptr, "  token: \"***\"\n"));
    assert_null(strstr(printed.ptr, "s3cret"));
    assert_null(load_quiet(printed.ptr, &said));
    assert_non_null(strstr(said.ptr, "admin.token: expected the secret itself, not the mask"));
    assert_null(strstr(said.ptr, "s3cret"));
    buf_fini(&said);
    buf_fini(&printed);
    config_free(c);
}

static void the_token_may_come_from_the_environment(void **state)
{
    struct config *c;

    (void)state;
    setenv("GLACIS_ADMIN_TOKEN", "from-the-environment", 1);
    c = load_good(UP "admin: {listen: \"0.0.0.0:8025\"}\n");
    assert_string_equal(c->admin.token, "from-the-environment");
    config_free(c);
    unsetenv("GLACIS_ADMIN_TOKEN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_loads_to_an_equal_snapshot),
        cmocka_unit_test(a_token_is_masked_and_the_mask_does_not_load),
        cmocka_unit_test(the_token_may_come_from_the_environment),
    };

    setenv("GLACIS_HOSTNAME", "mx.test.example", 1);
    unsetenv("GLACIS_ADMIN_TOKEN");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
