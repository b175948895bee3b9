/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_config.c - good files: what they set, where mail goes, what is warned about.
 */
#include "config/load_priv.h"
#include "helper.h"

#define UP "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: u}\n"

#define LABEL "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void the_smallest_file_has_all_defaults(void **state)
{
    struct config *c = load_good(UP);

    (void)state;
    assert_int_equal(c->mode, MODE_ENFORCE);
    assert_string_equal(c->server.hostname, "mx.test.example");
    assert_string_equal(c->server.banner, "mx.test.example ESMTP");
    assert_string_equal(c->server.spool_dir, "/var/lib/glacis/spool");
    assert_int_equal(c->server.listen_count, 2);
    assert_false(c->server.listen_given);
    assert_in_range(c->server.workers, 1, 8);
    assert_int_equal(c->server.greet_delay_ms, 2000);
    assert_true(c->server.sandbox);
    assert_false(c->tls.enabled);
    assert_int_equal(c->tls.pair_count, 0);
    assert_int_equal(c->upstream_count, 1);
    assert_int_equal(c->upstreams[0].connections, 20);
    assert_int_equal(c->upstreams[0].size, CONFIG_OFF);
    assert_int_equal(c->upstreams[0].timeouts.final_reply_ms, 570000);
    assert_int_equal(c->upstreams[0].rate.count, 0);
    assert_int_equal(c->limits.message_size, 50u << 20);
    assert_int_equal(c->limits.duplicate_guard_ms, CONFIG_OFF);
    assert_int_equal(c->limits.ban_points, 20);
    assert_int_equal(c->limits.bare_newline, NEWLINE_REJECT);
    assert_int_equal(c->limits.bare_newline_bdat, NEWLINE_NORMALIZE);
    assert_int_equal(c->headers.strip_count, 3);
    assert_string_equal(c->headers.authserv_id, "mx.test.example");
    assert_true(c->admin.enabled);
    assert_int_equal(c->admin.listen.port, 8025);
    assert_string_equal(c->admin.token, "");
    assert_int_equal(c->log.level, LOG_LEVEL_INFO);
    config_free(c);
}

static void given_keys_are_set(void **state)
{
    struct config *c = load_good(
        "version: 1\nmode: monitor\n"
        "server:\n"
        "  hostname: MX9.Test.Example\n"
        "  listen: [\"127.0.0.1:0\", {address: \"[::1]:2525\", tls: \"off\"}]\n"
        "  workers: 3\n  user: mail\n  state_dir: /tmp/s\n  spool_dir: /tmp/x\n"
        "  banner: \"{server.hostname} says {{hello\"\n"
        "  private_clients: judge\n  greet_delay: off\n  sandbox: false\n" UP
        "limits: {connections: off, recipients: off, stress: off, ban: off, message_rate: 300/1h,\n"
        "         duplicate_guard: 24h, bare_newline: normalize, command_deadline: off, data_deadline: off,\n"
        "         session_timeout: off, memory: off, spool: off}\n"
        "dns: {servers: [\"192.0.2.53\", \"[2001:db8::53]:5353\"], self_test: off, cache: {entries: 500}}\n"
        "headers: {strip: [X-A, \"X-B-*\"], add: {X-C: \"{client.ip} {{\"}, strip_authserv_ids: mx2.test}\n"
        "admin: {listen: off}\n"
        "log: {format: text, to: \"file:/var/log/g\", level: debug, addresses: hash}\n");

    (void)state;
    assert_int_equal(c->mode, MODE_MONITOR);
    assert_string_equal(c->server.hostname, "mx9.test.example");
    assert_int_equal(c->server.listen_count, 2);
    assert_true(c->server.listen_given);
    assert_int_equal(c->server.listen[0].tls, TLS_MODE_STARTTLS);
    assert_int_equal(c->server.listen[1].tls, TLS_MODE_OFF);
    assert_int_equal(c->server.listen[1].address.port, 2525);
    assert_int_equal(c->server.listen[1].line, 5);
    assert_int_equal(c->server.workers, 3);
    assert_string_equal(c->server.spool_dir, "/tmp/x");
    assert_string_equal(c->server.banner, "mx9.test.example says {hello");
    assert_int_equal(c->server.private_clients, PRIVATE_JUDGE);
    assert_int_equal(c->server.greet_delay_ms, 0);
    assert_int_equal(c->limits.connections, CONFIG_OFF);
    assert_int_equal(c->limits.command_deadline_ms, CONFIG_OFF);
    assert_int_equal(c->limits.data_deadline_ms, CONFIG_OFF);
    assert_int_equal(c->limits.session_timeout_ms, CONFIG_OFF);
    assert_int_equal(c->limits.memory, CONFIG_OFF);
    assert_int_equal(c->limits.spool, CONFIG_OFF);
    assert_int_equal(c->limits.recipients, (unsigned)-1);
    assert_int_equal(c->limits.stress_at_percent, 0);
    assert_int_equal(c->limits.ban_points, 0);
    assert_int_equal(c->limits.message_rate.count, 300);
    assert_int_equal(c->limits.message_rate.per_ms, 3600000);
    assert_int_equal(c->limits.duplicate_guard_ms, 86400000);
    assert_int_equal(c->dns.server_count, 2);
    assert_int_equal(c->dns.servers[0].port, 53);
    assert_int_equal(c->dns.servers[1].port, 5353);
    assert_int_equal(c->dns.self_test_ms, CONFIG_OFF);
    assert_int_equal(c->dns.cache_entries, 500);
    assert_int_equal(c->headers.strip_count, 2);
    assert_string_equal(c->headers.strip[1], "X-B-*");
    assert_int_equal(c->headers.add_count, 1);
    assert_string_equal(c->headers.add[0].value, "{client.ip} {{");
    assert_string_equal(c->headers.strip_authserv_ids[0], "mx2.test");
    assert_false(c->admin.enabled);
    assert_int_equal(c->log.to, LOG_TO_FILE);
    assert_string_equal(c->log.file, "/var/log/g");
    assert_int_equal(c->log.format, LOG_FORMAT_TEXT);
    assert_int_equal(c->log.addresses, LOG_ADDRESSES_HASH);
    config_free(c);
}

static void kinds_set_other_defaults_and_given_keys_win(void **state)
{
    struct config *c = load_good(
        "upstreams:\n"
        "  e: {kind: exchange, servers: \"192.0.2.1:25\"}\n"
        "  f: {servers: \"192.0.2.2:25\", size: off, connections: 3, kind: exchange}\n"
        "  g: {kind: groupwise, servers: \"192.0.2.3:25\"}\n"
        "  h: {servers: \"192.0.2.4:25, [2001:db8::4]:26\", health: off, max_messages: off}\n"
        "  p: {kind: postfix, servers: \"192.0.2.5:25\", ehlo: client}\n"
        "  x: {kind: exim, servers: \"192.0.2.6:25\"}\n"
        "  r: {kind: rspamd, servers: \"192.0.2.7:25\"}\n"
        "domains: {a.example: e, b.example: f, c.example: g, d.example: h, e.example: p, f.example: x, "
        "g.example: r}\n");

    (void)state;
    assert_int_equal(c->upstreams[0].connections, 18);
    assert_int_equal(c->upstreams[0].size, 36u << 20);
    assert_int_equal(c->upstreams[1].connections, 3);
    assert_int_equal(c->upstreams[1].keep_idle, 3);
    assert_int_equal(c->upstreams[1].size, CONFIG_OFF);
    assert_int_equal(c->upstreams[2].connections, 8);
    assert_int_equal(c->upstreams[2].rate.count, 2);
    assert_int_equal(c->upstreams[2].rate.per_ms, 1000);
    assert_int_equal(c->upstreams[3].health.interval_ms, CONFIG_OFF);
    assert_int_equal(c->upstreams[3].max_messages, (unsigned)-1);
    assert_int_equal(c->upstreams[3].server_count, 2);
    assert_string_equal(c->upstreams[3].server[1].text, "[2001:db8::4]:26");
    assert_string_equal(c->upstreams[3].server[1].host, "2001:db8::4");
    assert_int_equal(c->upstreams[3].server[1].address.port, 26);
    assert_int_equal(c->upstreams[3].index, 3);
    assert_int_equal(c->upstreams[3].ehlo, EHLO_AUTO);
    assert_int_equal(c->upstreams[0].max_messages, 0);       /* auto */
    assert_int_equal(c->upstreams[4].idle_timeout_ms, 9000); /* B9 */
    assert_int_equal(c->upstreams[4].ehlo, EHLO_CLIENT);
    assert_int_equal(c->upstreams[5].max_messages, 10); /* A7 */
    assert_int_equal(c->upstreams[6].identity, IDENTITY_XCLIENT);
    config_free(c);
}

static void mail_is_routed_by_the_longest_name(void **state)
{
    static const struct {
        const char *domain;
        const char *name; /* NULL: not ours */
    } rows[] = {
        { "example.com", "example.com" },
        { "sub.example.com", "sub.example.com" },
        { "x.example.com", "example.com" },
        { "a.b.c.example.com", "example.com" },
        { "x.deep.example.com", "deep.example.com" },
        { "deep.example.com", "example.com" },
        { "only.example", NULL },
        { "x.only.example", "only.example" },
        { "xn--mnchen-3ya.example", "xn--mnchen-3ya.example" },
        { "notexample.com", NULL },
        { "com", NULL },
        { "", NULL },
        { ".", NULL },
        { ".example.com", NULL },
        { "example.com.evil.test", NULL },
        { "x..only.example", "only.example" },
    };
    struct config *c = load_good("upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\n"
                                 "domains:\n  Example.COM: u\n  .example.com: u\n  sub.example.com: u\n"
                                 "  .deep.example.com: {validate: none}\n  .only.example: u\n"
                                 "  m\xc3\xbcnchen.example: u\n");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct config_domain *d = config_route(c, slice_str(rows[i].domain));

        if (rows[i].name == NULL ? d != NULL : d == NULL || strcmp(d->name, rows[i].name) != 0) {
            fail_msg("%s went to %s", rows[i].domain, d != NULL ? d->name : "nobody");
        }
    }
    assert_false(config_route(c, SLICE("example.com"))->subdomains);
    assert_true(config_route(c, SLICE("x.example.com"))->subdomains);
    assert_int_equal(config_route(c, SLICE("x.deep.example.com"))->validate, VALIDATE_NONE);
    assert_string_equal(config_postmaster_home(c)->name, "example.com");
    config_free(c);
}

static void domains_may_be_one_text_when_there_is_one_upstream(void **state)
{
    struct config *c = load_good(
        "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: \" a.example, .a.example ,b.example\"\n");

    (void)state;
    assert_int_equal(c->domain_count, 3);
    assert_ptr_equal(config_route(c, SLICE("b.example"))->upstream, &c->upstreams[0]);
    assert_true(config_route(c, SLICE("x.a.example"))->subdomains);
    config_free(c);
    c = load_good("upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: [a.example, .a.example]\n");
    assert_int_equal(c->domain_count, 2);
    config_free(c);
}

static void many_domains_load_and_too_many_do_not(void **state)
{
    struct buf text, said;
    struct config *c;

    (void)state;
    buf_init(&text, 4u << 20);
    buf_put_str(&text, "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains:\n");
    for (unsigned i = 0; i < CONFIG_MAX_DOMAINS; i++) {
        buf_putf(&text, "  d%u.example: u\n", i);
    }
    c = load_good(text.ptr);
    assert_int_equal(c->domain_count, CONFIG_MAX_DOMAINS);
    assert_string_equal(config_route(c, SLICE("d9999.example"))->name, "d9999.example");
    config_free(c);
    buf_put_str(&text, "  one.more.example: u\n");
    assert_null(load_quiet(text.ptr, &said));
    assert_string_equal(said_text(&said), "f:3:3: error: domains: at most 10000\n");
    buf_fini(&said);
    buf_fini(&text);
}

static void what_cannot_work_together_is_said(void **state)
{
    static const struct {
        const char *label;
        const char *text;
        const char *said;
        bool loads;
    } rows[] = {
        { "banner without the name", UP "server: {banner: \"ESMTP here\"}\n",
          "f:3:18: warning: server.banner: does not begin with {server.hostname}, as RFC 5321 4.3.1 wants "
          "it\n",
          true },
        { "banner too long",
          UP "server: {hostname: \"" LABEL "." LABEL "." LABEL
             ".example\", banner: \"{server.hostname} {server.hostname} {server.hostname}\"}\n",
          "f:3:213: error: server.banner: longer than 500 octets with the host name in it\n", false },
        { "listeners twice", UP "server: {listen: [\"0.0.0.0:25\", \"0.0.0.0:25\"]}\n",
          "f:3:1: error: server.listen: 0.0.0.0:25 is given twice\n", false },
        { "port 0 twice is fine", UP "server: {listen: [\"127.0.0.1:0\", \"127.0.0.1:0\"]}\n", "", true },
        { "admin on a listener",
          UP "server: {listen: [\"127.0.0.1:25\"]}\nadmin: {listen: \"127.0.0.1:25\"}\n",
          "f:4:17: error: admin.listen: the address is in server.listen too\n", false },
        { "admin beyond loopback", UP "admin: {listen: \"0.0.0.0:8025\"}\n",
          "f:3:17: error: admin.listen: anything but a loopback address needs admin.token\n", false },
        { "admin beyond loopback with a token", UP "admin: {listen: \"0.0.0.0:8025\", token: t0ken}\n", "",
          true },
        { "admin on IPv6 loopback", UP "admin: {listen: \"[::1]:8025\"}\n", "", true },
        { "upstream is us", "upstreams: {u: {servers: [\"127.0.0.1:25\"]}}\ndomains: {a.example: u}\n",
          "f:1:1: warning: upstreams.u.servers: 127.0.0.1:25 is this proxy itself: mail would go round in a "
          "circle\n",
          true },
        { "slow final reply",
          "upstreams:\n  u: {servers: \"192.0.2.1:25\", timeouts: {final_reply: 10m, command: 5m}}\ndomains: "
          "{a.example: u}\n",
          "f:2:42: warning: upstreams.u.timeouts: final_reply is not below the 10 minutes that clients wait "
          "(RFC 5321 "
          "4.5.3.2.6): mail may arrive twice\n"
          "f:2:42: warning: upstreams.u.timeouts: command is not below the 5 minutes that clients wait (RFC "
          "5321 "
          "4.5.3.2.3)\n",
          true },
        { "hold and ages",
          "upstreams:\n  u:\n    servers: \"192.0.2.1:25\"\n    hold: 50s\n    max_age: 10s\ndomains: "
          "{a.example: u}\n",
          "f:4:11: warning: upstreams.u.hold: not below idle_timeout: the server may close a connection that "
          "is held\n"
          "f:5:14: warning: upstreams.u.max_age: not above idle_timeout, which then never ends a "
          "connection\n",
          true },
        { "idle beyond connections",
          "upstreams:\n  u:\n    servers: \"192.0.2.1:25\"\n    connections: 2\n    keep_idle: 3\ndomains: "
          "{a.example: u}\n",
          "f:5:16: error: upstreams.u.keep_idle: more than `connections`\n", false },
        { "unused upstream",
          "upstreams:\n  u: {servers: \"192.0.2.1:25\"}\n  v: {servers: \"192.0.2.2:25\"}\ndomains: "
          "{a.example: u}\n",
          "f:3:3: warning: upstreams.v: no domain uses it, and no rule diverts to it\n", true },
        { "only diverted to",
          "upstreams:\n  u: {servers: \"192.0.2.1:25\"}\n  v: {servers: \"192.0.2.2:25\"}\ndomains: "
          "{a.example: u}\npolicy: {after: [{name: r, then: {divert: v}}]}\n",
          "", true },
        { "limits",
          UP
          "limits:\n  spool_memory: 1GiB\n  message_size: 5GiB\n  data_timeout: 1h\n  command_timeout: 1h\n"
          "  session_timeout: 10m\n  stress: {command_timeout: 1h}\n  connections: 10\n  "
          "connections_per_client: 50\n",
          "f:4:17: error: limits.spool_memory: more than limits.memory\n"
          "f:5:17: warning: limits.message_size: more than limits.spool: such a message never fits\n"
          "f:6:17: warning: limits.data_timeout: more than limits.data_deadline, which comes first\n"
          "f:7:20: warning: limits.command_timeout: more than limits.session_timeout, which comes first\n"
          "f:11:27: warning: limits.connections_per_client: more than limits.connections, which comes "
          "first\n",
          false },
        { "messages that everybody takes",
          "upstreams:\n  u: {servers: \"192.0.2.1:25\", size: 10KiB}\ndomains: {a.example: u}\n"
          "limits: {message_size: 1KiB, headers: 1KiB, hops: 1, data_deadline: 3m, session_timeout: 1h}\n",
          "f:2:38: warning: upstreams.u.size: less than the 64KiB that everybody has to take (RFC 5321 "
          "4.5.3.1.7)\n"
          "f:4:24: warning: limits.message_size: less than the 64KiB that everybody has to take (RFC 5321 "
          "4.5.3.1.7)\n",
          true },
        { "stress", UP "limits: {command_timeout: 5s}\n",
          "f:3:9: warning: limits.stress.command_timeout: more than limits.command_timeout\n", true },
        { "ttl", UP "dns:\n  cache: {min_ttl: 1h, max_ttl: 1m}\n",
          "f:4:20: error: dns.cache.min_ttl: more than dns.cache.max_ttl\n", false },
    };
    bool ok = true;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ok = said_exactly(rows[i].label, rows[i].text, rows[i].said, rows[i].loads) && ok;
    }
    assert_true(ok);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

struct temp { /* a folder and a file in it */
    char dir[40];
    char file[60];
};

static void temp_init(struct temp *t)
{
    struct buf b;

    memcpy(t->dir, "/tmp/glacis-config-XXXXXX", 26);
    assert_non_null(mkdtemp(t->dir));
    buf_init_fixed(&b, t->file, sizeof(t->file));
    buf_putf(&b, "%s/file", t->dir);
}

static void temp_fini(struct temp *t)
{
    unlink(t->file);
    rmdir(t->dir);
}

static struct config *load_with_recipients(const struct temp *t, struct buf *said)
{
    struct buf text;
    struct config *c;

    buf_init(&text, 4000);
    buf_putf(&text,
             "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains:\n  a.example: {validate: \"file:%s\"}\n"
             "  b.example: {validate: \"file:%s\"}\n",
             t->file, t->file);
    c = load_quiet(text.ptr, said);
    buf_fini(&text);
    return c;
}

static void recipients_come_from_files(void **state)
{
    static const struct {
        const char *local, *domain;
        bool known;
    } rows[] = {
        { "alice", "a.example", true },
        { "ALICE", "a.example", true },
        { "Bob", "a.example", true },
        { "bob", "a.example", true },
        { "carol", "a.example", true },
        { "nobody", "a.example", false },
        { "anyone", "b.example", true },
        { "x y", "b.example", true },
        { "tag#1", "a.example", true },
        { "", "a.example", false },
        { "alice@a.example", "", false },
        { "anyone", "c.example", false },
        /* C12: quotes that mean nothing */
        { "\"bob\"", "a.example", true },
        { "\"B\\ob\"", "a.example", true },
        { "\"nobody\"", "a.example", false },
        { "dora", "a.example", true },
        { "\"eve x\"", "a.example", true },
        { "\"bob", "a.example", false },
        { "\"", "a.example", false },
        { "\"anyone\"", "b.example", true },
    };
    struct temp t;
    struct buf said;
    struct config *c;
    const struct config_domain *d;
    char long_local[2000];

    (void)state;
    temp_init(&t);
    write_file(
        t.file,
        "# people\nalice@a.example\n  BOB@A.Example  # the builder\r\ncarol@a.example\nalice@a.example\n\n"
        "tag#1@a.example\n\"dora\"@a.example\n\"Eve X\"@a.example\n@b.example");
    c = load_with_recipients(&t, &said);
    assert_non_null(c);
    d = config_route(c, SLICE("a.example"));
    assert_int_equal(d->validate, VALIDATE_FILE);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (config_recipient_known(d, slice_str(rows[i].local), slice_str(rows[i].domain)) != rows[i].known) {
            fail_msg("%s@%s", rows[i].local, rows[i].domain);
        }
    }
    memset(long_local, 'a', sizeof(long_local));
    /* A12: as long as a command line has room for */
    assert_true(config_recipient_known(d, slice_of(long_local, sizeof(long_local)), SLICE("b.example")));
    assert_false(config_recipient_known(d, slice_of(long_local, sizeof(long_local)), SLICE("a.example")));
    assert_false(config_recipient_known(&(struct config_domain){ .name = "" }, SLICE("a"), SLICE("b")));
    config_free(c);
    buf_fini(&said);
    temp_fini(&t);
}

static void expect_not_regular(void)
{
    assert_true(said_exactly(
        "device",
        "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: {validate: "
        "\"file:/dev/null\"}}\n",
        "f:2:1: error: domains.a.example.validate: /dev/null: cannot be read: not a plain file\n", false));
}

static void bad_lines_of_a_recipients_file_are_named(void **state)
{
    struct temp t;
    struct buf said, want;

    (void)state;
    temp_init(&t);
    buf_init(&want, 10000);
    write_file(t.file, "alice\nbob@\nc d@a.example\nok@a.example\n");
    assert_null(load_with_recipients(&t, &said));
    for (int i = 0; i < 2; i++) {
        static const char *const found[] = { "alice", "bob@", "c d@a.example" };

        for (int j = 0; j < 3; j++) {
            buf_putf(&want,
                     "f:%d:1: error: domains.%c.example.validate: %s:%d: expected an address or @domain, "
                     "found `%s`\n",
                     3 + i, 'a' + i, t.file, j + 1, found[j]);
        }
    }
    assert_string_equal(said_text(&said), want.ptr);
    buf_fini(&said);
    buf_fini(&want);
    unlink(t.file);
    assert_null(load_with_recipients(&t, &said));
    assert_non_null(strstr(said.ptr, ": cannot be read: No such file or directory\n"));
    buf_fini(&said);
    expect_not_regular();
    temp_fini(&t);
}

static void files_are_loaded_or_said_to_be_unreadable(void **state)
{
    struct temp t;
    struct config_errors errs = { .count = 0 };
    struct config *c;

    (void)state;
    temp_init(&t);
    write_file(t.file, UP);
    c = config_load(t.file, &errs);
    assert_non_null(c);
    assert_string_equal(c->path, t.file);
    assert_false(errs.unreadable);
    config_free(c);
    unlink(t.file);
    assert_null(config_load(t.file, &errs));
    assert_true(errs.unreadable);
    assert_int_equal(errs.count, 1);
    assert_string_equal(errs.list[0].text, "cannot be read: No such file or directory");
    config_errors_fini(&errs);
    assert_null(config_load(t.dir, &errs));
    assert_true(errs.unreadable);
    config_errors_fini(&errs);
    assert_null(config_load("/dev/zero", &errs));
    assert_string_equal(errs.list[0].text, "the file is larger than 4 MiB");
    config_errors_fini(&errs);
    temp_fini(&t);
}

static void without_a_file_the_environment_is_enough(void **state)
{
    struct config_errors errs = { .count = 0 };
    struct config *c;

    (void)state;
    unsetenv("GLACIS_UPSTREAM");
    unsetenv("GLACIS_DOMAINS");
    assert_null(config_load_default(&errs));
    assert_string_equal(
        errs.list[0].text,
        "there is no configuration file: name one with -c, or set GLACIS_UPSTREAM (such as 10.1.1.10:25) and "
        "GLACIS_DOMAINS (such as example.com,example.org)");
    config_errors_fini(&errs);
    setenv("GLACIS_UPSTREAM", "10.1.1.10:25", 1);
    setenv("GLACIS_DOMAINS", "example.com,example.org", 1);
    c = config_load_default(&errs);
    assert_non_null(c);
    assert_int_equal(errs.count, 0);
    assert_int_equal(c->domain_count, 2);
    assert_string_equal(c->upstreams[0].server[0].text, "10.1.1.10:25");
    assert_string_equal(c->server.hostname, "mx.test.example");
    config_free(c);
    setenv("GLACIS_UPSTREAM", "nonsense", 1);
    assert_null(config_load_default(&errs));
    assert_int_equal(errs.fatal, 1);
    config_errors_fini(&errs);
    unsetenv("GLACIS_UPSTREAM");
    unsetenv("GLACIS_DOMAINS");
}

static void the_host_name_is_found_or_made_up_with_a_warning(void **state)
{
    struct config_errors errs = { .count = 0 };
    struct config *c;

    (void)state;
    setenv("GLACIS_HOSTNAME", "short", 1);
    assert_null(config_load_text("f", slice_str(UP), &errs));
    assert_string_equal(
        errs.list[0].text,
        "GLACIS_HOSTNAME: expected a host name with a dot, such as mx1.example.com, found `short`");
    config_errors_fini(&errs);
    unsetenv("GLACIS_HOSTNAME");
    c = config_load_text("f", slice_str(UP), &errs);
    assert_non_null(c);
    assert_non_null(strchr(c->server.hostname, '.'));
    if (errs.count > 0) { /* a machine without a full name */
        assert_true(errs.list[0].warning);
        assert_true(slice_ends_nocase(slice_str(c->server.hostname), SLICE(".localdomain")));
    }
    config_free(c);
    config_errors_fini(&errs);
    setenv("GLACIS_HOSTNAME", "mx.test.example", 1);
}

struct hosts_row {
    const char *label, *hosts, *want;
};

static void the_hosts_file_tells_the_full_name(void **state)
{
    static const struct hosts_row rows[] = {
        { "as Debian writes it", "127.0.0.1\tlocalhost\n127.0.1.1\tmx.example.net\tmx\n", "mx.example.net" },
        { "the full name comes last", "192.0.2.1 mx mail mx.example.net\n", "mx.example.net" },
        { "the first of two full names", "192.0.2.1 a.example.net mx b.example.net\n", "a.example.net" },
        { "the first line that has one", "::1 mx\n192.0.2.1 mx.example.net mx\n192.0.2.2 x.example.net mx\n",
          "mx.example.net" },
        { "letters of any case", "192.0.2.1 mx.example.net MX\n", "mx.example.net" },
        { "CR LF, and no newline at the end", "# ours\r\n192.0.2.1 mx.example.net mx", "mx.example.net" },
        { "others only", "192.0.2.1 mxx.example.net mxx\n192.0.2.2 other.example.net\n", "" },
        { "an address is no name", "mx 192.0.2.1 mx.example.net\n", "" },
        { "behind a comment", "192.0.2.1 mx # mx.example.net\n#192.0.2.1 mx.example.net mx\n", "" },
        { "localhost", "127.0.0.1 localhost.localdomain mx\n", "" },
        { "what is no host name", "192.0.2.1 mx!.example.net -a.example.net mx 192.0.2.3\n", "" },
        { "nothing", "", "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice got = machine_name_in_hosts(slice_str(rows[i].hosts), SLICE("mx"));

        if (!slice_eq(got, slice_str(rows[i].want))) {
            fail_msg("%s: got \"" SLICE_FMT "\"", rows[i].label, SLICE_ARG(got));
        }
    }
}

static void whole_features_and_times_without_an_end_are_off(void **state)
{
    struct config *c = load_good("server: {drain_timeout: off}\n"
                                 "upstreams: {u: {servers: [\"10.0.0.1:25\"], idle_timeout: off}}\n"
                                 "domains: {a.test: u}\ntls: off\nadmin: off\n");

    (void)state;
    assert_true(c->server.drain_timeout_ms == CONFIG_OFF);
    assert_true(c->upstreams[0].idle_timeout_ms == CONFIG_OFF);
    assert_false(c->tls.enabled);
    assert_int_equal(c->tls.pair_count, 0);
    assert_false(c->admin.enabled);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_file_has_all_defaults),
        cmocka_unit_test(given_keys_are_set),
        cmocka_unit_test(kinds_set_other_defaults_and_given_keys_win),
        cmocka_unit_test(mail_is_routed_by_the_longest_name),
        cmocka_unit_test(domains_may_be_one_text_when_there_is_one_upstream),
        cmocka_unit_test(many_domains_load_and_too_many_do_not),
        cmocka_unit_test(what_cannot_work_together_is_said),
        { "C12: recipients come from files, quoted or not", recipients_come_from_files, NULL, NULL, NULL },
        cmocka_unit_test(bad_lines_of_a_recipients_file_are_named),
        cmocka_unit_test(files_are_loaded_or_said_to_be_unreadable),
        cmocka_unit_test(without_a_file_the_environment_is_enough),
        cmocka_unit_test(the_host_name_is_found_or_made_up_with_a_warning),
        cmocka_unit_test(the_hosts_file_tells_the_full_name),
        cmocka_unit_test(whole_features_and_times_without_an_end_are_off),
    };

    setenv("GLACIS_HOSTNAME", "mx.test.example", 1);
    unsetenv("GLACIS_ADMIN_TOKEN");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
