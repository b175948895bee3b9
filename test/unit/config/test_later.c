/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_later.c - single setters, called below the walk over the table (load.h): one key, one value, no file.
 */
#include "helper.h"

#include "config/load_priv.h"

struct fixture {
    struct config c;
    struct config_private_data own;
    struct config_errors errs;
    struct load l;
    const struct config_node *root;
};

static struct fixture *fixture_new(const char *text)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    arena_init(&f->own.arena, 16u << 20);
    f->c.own = &f->own;
    f->l = (struct load){ .c = &f->c, .errs = &f->errs, .arena = &f->own.arena };
    f->root = config_tree_parse(slice_str(text), &f->own.arena, &f->errs);
    assert_non_null(f->root);
    f->c.root = f->root;
    return f;
}

static void fixture_free(struct fixture *f)
{
    config_errors_fini(&f->errs);
    arena_fini(&f->own.arena);
    free(f);
}

/* Sets the key from the text; the text that it is printed as, or what was expected with a "!" before. */
static void check_scalar(const char *path, const char *text, const char *want)
{
    struct fixture *f = fixture_new("{}");
    struct config_upstream u = { .index = 0 };
    struct config_listener listener = { .line = 1 };
    struct slice scope = key_scope(path);
    struct config_node node = { .text = slice_str(text), .line = 1 };
    void *base = slice_eq(scope, SLICE("")) ? (void *)&f->c : (void *)&listener;
    struct buf out, why;

    base = slice_eq(scope, SLICE("upstreams.*")) ? (void *)&u : base;
    buf_init(&out, 1000);
    buf_init(&why, 1000);
    struct value v = { key_find(slice_str(path)), path, &node, base };
    assert_non_null(v.key);
    if (load_set_scalar(&f->l, &v, node.text, &why)) {
        load_put_scalar(v.key, base, &out);
    } else {
        buf_putf(&out, "!%s", why.ptr);
    }
    if (strcmp(out.ptr, want) != 0) {
        fail_msg("%s: %s: want %s, got %s", path, text, want, out.ptr);
    }
    buf_fini(&out);
    buf_fini(&why);
    fixture_free(f);
}

static void single_values_are_set_and_printed(void **state)
{
    static const char *const rows[][3] = {
        { "tls.mode", "required", "required" },
        { "tls.mode", "opportunistic", "opportunistic" },
        { "tls.mode", "off", "!opportunistic or required" },
        { "tls.min_version", "1.3", "\"1.3\"" },
        { "tls.min_version", "1.0", "\"1.0\"" },
        { "tls.min_version", "2", "!1.0, 1.1, 1.2 or 1.3" },
        { "tls.ciphers", "default", "default" },
        { "tls.ciphers", "strong", "strong" },
        { "tls.client_ca", "/etc/ca.pem", "/etc/ca.pem" },
        { "tls.client_ca", "", "\"\"" },
        { "tls.client_ca", "ca.pem", "!an absolute path" },
        { "tls.ciphers", "HIGH:!aNULL", "\"HIGH:!aNULL\"" },
        { "tls.certificate", "/etc/c.pem", "/etc/c.pem" },
        { "tls.certificate", "", "!an absolute path" },
        { "tls.not_offered_to", "group:old", "\"group:old\"" },
        { "tls.not_offered_to", "", "\"\"" },
        { "tls.not_offered_to", "old", "!group:NAME" },
        { "tls.handshake_timeout", "15s", "15s" },
        { "server.listen[].tls", "implicit", "implicit" },
        { "server.listen[].proxy_protocol", "true", "true" },
        { "server.listen[].xclient", "false", "false" },
        { "upstreams.*.tls", "verify", "verify" },
        { "upstreams.*.tls_ca", "/etc/ca.pem", "/etc/ca.pem" },
        { "upstreams.*.tls_ca", "system", "system" },
        { "upstreams.*.tls_ca", "ca.pem", "!an absolute path, or system" },
        { "upstreams.*.tls_ca", "", "!system or an absolute path" },
        { "upstreams.*.identity", "proxy_v2", "proxy_v2" },
        { "state.backend", "redis", "redis" },
        { "headers.received_spf", "true", "true" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_scalar(rows[i][0], rows[i][1], rows[i][2]);
    }
}

static void trusted_networks_are_set_and_printed(void **state)
{
    struct fixture *f = fixture_new("t: [10.0.0.0/8, \"2001:db8::/32\", 192.0.2.1, 10.0.0.1/8, x]\n");
    struct config_listener listener = { .line = 1 };
    struct value v = { key_find(SLICE("server.listen[].trusted")), "trusted", f->root->first, &listener };
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    load_set_list(&f->l, &v);
    load_put_list(v.key, &listener, &out);
    assert_string_equal(out.ptr, "[\"10.0.0.0/8\", \"2001:db8::/32\", \"192.0.2.1/32\"]");
    buf_reset(&out);
    config_errors_print(&f->errs, "f", &out);
    assert_string_equal(out.ptr, "f:1:45: error: trusted: expected a network such as 10.0.0.0/8 (without "
                                 "host bits) or an address, found `10.0.0.1/8`\n"
                                 "f:1:57: error: trusted: expected a network such as 10.0.0.0/8 (without "
                                 "host bits) or an address, found `x`\n");
    buf_fini(&out);
    fixture_free(f);
}

static void a_list_of_key_pairs_must_be_one(void **state)
{
    static const char *const rows[][2] = {
        { "t: \"\"\n", "" },
        { "t: []\n", "" },
        { "t: x\n",
          "f:1:4: error: more: expected a list of mappings with certificate and private_key, found `x`\n" },
        { "t: [x]\n",
          "f:1:5: error: more: expected a mapping with certificate and private_key, found `x`\n" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture *f = fixture_new(rows[i][0]);
        struct value v = { key_find(SLICE("tls.more")), "more", f->root->first, &f->c };
        struct buf out;

        buf_init(&out, 1000);
        load_set_keypairs(&f->l, &v);
        buf_put_str(&out, "");
        config_errors_print(&f->errs, "f", &out);
        assert_string_equal(out.len > 0 ? out.ptr : "", rows[i][1]);
        assert_int_equal(f->c.tls.pair_count, 1);
        buf_fini(&out);
        fixture_free(f);
    }
}

static void listeners_with_identities_need_trusted_networks(void **state)
{
    struct fixture *f = fixture_new("{}");
    struct buf out;

    (void)state;
    f->c.server.listen_count = 2;
    f->c.server.listen[0] =
        (struct config_listener){ .text = SLICE("[::]:25"), .proxy_protocol = true, .line = 3 };
    f->c.server.listen[1] =
        (struct config_listener){ .text = SLICE("[::]:26"), .tls = TLS_MODE_IMPLICIT, .line = 4 };
    f->c.dns.cache_max_ttl_ms = 1;
    f->c.limits.message_size = f->c.limits.spool = CONFIG_OFF;
    buf_init(&out, 1000);
    validate(&f->l);
    config_errors_print(&f->errs, "f", &out);
    assert_string_equal(
        out.ptr,
        "f:3:1: error: server.listen: [::]:25 needs `trusted`: the networks that may use proxy_protocol\n"
        "f:4:1: error: server.listen: [::]:26 with implicit TLS needs the section tls\n");
    buf_fini(&out);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_values_are_set_and_printed),
        cmocka_unit_test(trusted_networks_are_set_and_printed),
        cmocka_unit_test(a_list_of_key_pairs_must_be_one),
        cmocka_unit_test(listeners_with_identities_need_trusted_networks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
