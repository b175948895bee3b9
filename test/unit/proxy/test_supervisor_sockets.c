/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: every queue has a worker, addresses stay while they are named, errors are sentences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proxy/process/supervisor_priv.h"

static struct config *config_of(const char *const *addresses, unsigned workers)
{
    struct config *c = xcalloc(1, sizeof(*c));

    c->server.workers = workers;
    c->server.listen_given = true;
    for (size_t i = 0; addresses[i] != NULL; i++) {
        assert_true(addr_parse_endpoint(slice_str(addresses[i]), &c->server.listen[i].address));
        c->server.listen_count++;
    }
    return c;
}

static bool bind_it(struct sockets *s, const struct config *c, const char *want_in_error)
{
    struct buf why;
    bool ok;

    buf_init(&why, 4096);
    ok = sockets_bind(s, c, &why);
    if (want_in_error != NULL && !ok && strstr(why.ptr, want_in_error) == NULL) {
        fail_msg("%s", why.ptr);
    }
    buf_fini(&why);
    return ok;
}

static const char *const two_any[] = { "127.0.0.1:0", "127.0.0.1:0", NULL };

static void port_0_is_resolved_once_and_named_twice_means_two(void **st)
{
    struct sockets *s = xcalloc(1, sizeof(*s));
    struct config *c = config_of(two_any, 3);
    const struct bound *a, *b;

    (void)st;
    assert_true(bind_it(s, c, NULL));
    a = sockets_find(s, c, 0);
    b = sockets_find(s, c, 1);
    assert_int_equal(a->count, 3);
    assert_int_not_equal(a->real.port, 0);
    assert_int_not_equal(a->real.port, b->real.port);
    sockets_close_all(s);
    free(c);
    free(s);
}

static const struct {
    unsigned first, now; /* workers at first bind, and after a reload */
} splits[] = { { 1, 1 }, { 2, 2 }, { 4, 2 }, { 4, 3 }, { 4, 1 }, { 2, 4 }, { 1, 16 }, { 3, 5 }, { 16, 7 } };

static void every_socket_has_a_worker_and_every_worker_a_socket(void **st)
{
    struct worker_socket *out = xcalloc(WORKER_SOCKETS, sizeof(*out));

    (void)st;
    for (size_t i = 0; i < ARRAY_LEN(splits); i++) {
        struct sockets *s = xcalloc(1, sizeof(*s));
        struct config *c = config_of(two_any, splits[i].first);
        unsigned owners[2][CONFIG_MAX_WORKERS] = { { 0 } };

        assert_true(bind_it(s, c, NULL));
        c->server.workers = splits[i].now;
        assert_true(bind_it(s, c, NULL)); /* a reload changes nothing about what is bound */
        for (unsigned w = 0; w < splits[i].now; w++) {
            size_t n = sockets_of_worker(s, c, w, out);

            assert_true(n >= 2);
            for (size_t k = 0; k < n; k++) {
                const struct bound *b = sockets_find(s, c, (size_t)(out[k].conf - c->server.listen));

                for (size_t f = 0; f < b->count; f++) {
                    owners[out[k].conf - c->server.listen][f] += b->fd[f] == out[k].fd;
                }
            }
        }
        for (size_t l = 0; l < 2; l++) {
            assert_int_equal(sockets_find(s, c, l)->count, splits[i].first);
            for (unsigned f = 0; f < splits[i].first; f++) {
                assert_true(splits[i].now > splits[i].first ? owners[l][f] >= 1 : owners[l][f] == 1);
            }
        }
        sockets_close_all(s);
        free(c);
        free(s);
    }
    free(out);
}

static void what_a_new_file_does_not_name_is_closed_when_nobody_else_does(void **st)
{
    static const char *const first[] = { "127.0.0.1:0", "[::1]:0", NULL }, *const second[] = { "[::1]:0",
                                                                                               NULL };
    struct sockets *s = xcalloc(1, sizeof(*s));
    struct config *a = config_of(first, 2), *b = config_of(second, 2);
    uint16_t port;

    (void)st;
    assert_true(bind_it(s, a, NULL));
    port = sockets_find(s, a, 1)->real.port;
    assert_true(bind_it(s, b, NULL));
    assert_int_equal(s->count, 2);
    sockets_keep(s, (const struct config *const[]){ a, NULL, b }, 3);
    assert_int_equal(s->count, 2);
    sockets_keep(s, (const struct config *const[]){ NULL, b }, 2);
    assert_int_equal(s->count, 1);
    assert_int_equal(sockets_find(s, b, 0)->real.port, port);
    sockets_close_all(s);
    free(a);
    free(b);
    free(s);
}

static void a_failed_bind_changes_nothing_and_says_why(void **st)
{
    static const char *const first[] = { "127.0.0.1:0", NULL };
    static const char *const foreign[] = { "127.0.0.1:0", "127.0.0.1:0", "192.0.2.77:2525", NULL };
    struct sockets *s = xcalloc(1, sizeof(*s));
    struct config *a = config_of(first, 2), *b = config_of(foreign, 2);

    (void)st;
    assert_true(bind_it(s, a, NULL));
    assert_false(bind_it(s, b, "Cannot listen on 192.0.2.77:2525: "));
    assert_int_equal(s->count, 1);
    sockets_close_all(s);
    free(a);
    free(b);
    free(s);
}

static void the_default_pair_skips_a_family_that_is_missing(void **st)
{
    static const char *const pair[] = { "127.0.0.1:0", "[2001:db8::77]:0", NULL };
    static const char *const none[] = { "192.0.2.77:2525", "[2001:db8::77]:2525", NULL };
    struct sockets *s = xcalloc(1, sizeof(*s));
    struct config *c = config_of(pair, 2), *d = config_of(none, 2);

    (void)st;
    c->server.listen_given = false;
    d->server.listen_given = false;
    assert_true(bind_it(s, c, NULL));
    assert_non_null(sockets_find(s, c, 0));
    assert_null(sockets_find(s, c, 1));
    assert_false(bind_it(s, d, "Cannot listen on 192.0.2.77:2525: "));
    sockets_close_all(s);
    free(c);
    free(d);
    free(s);
}

static void a_busy_port_is_told(void **st)
{
    static const char *const any[] = { "127.0.0.1:0", NULL };
    struct sockets *s = xcalloc(1, sizeof(*s));
    struct config *c = config_of(any, 1);
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    int other = socket(AF_INET, SOCK_STREAM, 0);

    (void)st;
    len = addr_to_sockaddr(&c->server.listen[0].address, &sa);
    assert_int_equal(bind(other, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(other, 1), 0);
    len = sizeof(sa);
    assert_int_equal(getsockname(other, (struct sockaddr *)&sa, &len), 0);
    c->server.listen[0].address = addr_from_sockaddr((struct sockaddr *)&sa);
    assert_false(bind_it(s, c, "another program listens there"));
    assert_int_equal(s->count, 0);
    close(other);
    assert_true(bind_it(s, c, NULL));
    sockets_close_all(s);
    free(c);
    free(s);
}

/* Two programs of ours, as far as the kernel knows. */
static void another_glacis_on_the_address_is_refused(void **st)
{
    static const char *const any[] = { "127.0.0.1:0", NULL };
    struct sockets *first = xcalloc(1, sizeof(*first)), *second = xcalloc(1, sizeof(*second));
    struct config *c = config_of(any, 3);

    (void)st;
    assert_true(bind_it(first, c, NULL));
    c->server.listen[0].address = sockets_find(first, c, 0)->real;
    assert_false(bind_it(second, c, "start with --beside"));
    assert_int_equal(second->count, 0);
    second->beside = true;
    assert_true(bind_it(second, c, NULL));
    assert_int_equal(sockets_find(second, c, 0)->count, 3);
    sockets_close_all(first);
    sockets_close_all(second);
    second->beside = false;
    assert_true(bind_it(second, c, NULL)); /* connections of before do not count */
    sockets_close_all(second);
    free(c);
    free(first);
    free(second);
}

static void all_addresses_and_one_of_them_are_no_conflict_of_ours(void **st)
{
    static const char *const any[] = { "127.0.0.1:0", NULL };
    struct sockets *s = xcalloc(1, sizeof(*s));
    struct config *c = config_of(any, 2);

    (void)st;
    assert_true(bind_it(s, c, NULL));
    c->server.listen[0].address = sockets_find(s, c, 0)->real;
    sockets_close_all(s);
    c->server.listen[1].address = c->server.listen[0].address;
    memset(c->server.listen[1].address.ip, 0, sizeof(c->server.listen[1].address.ip));
    c->server.listen_count = 2;
    assert_true(bind_it(s, c, NULL));
    assert_int_equal(s->count, 2);
    sockets_close_all(s);
    free(c);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(port_0_is_resolved_once_and_named_twice_means_two),
        cmocka_unit_test(every_socket_has_a_worker_and_every_worker_a_socket),
        cmocka_unit_test(what_a_new_file_does_not_name_is_closed_when_nobody_else_does),
        cmocka_unit_test(a_failed_bind_changes_nothing_and_says_why),
        cmocka_unit_test(the_default_pair_skips_a_family_that_is_missing),
        cmocka_unit_test(a_busy_port_is_told),
        { "A19: another glacis on the address is refused, unless --beside",
          another_glacis_on_the_address_is_refused, NULL, NULL, NULL },
        cmocka_unit_test(all_addresses_and_one_of_them_are_no_conflict_of_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
