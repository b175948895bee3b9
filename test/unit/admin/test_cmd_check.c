/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cmd_check.c - glacis check: exit codes and what goes to which stream.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>

#include "admin/admin.h"

/* What every file without lists is told. */
#define NO_TLS(file)                                                                                         \
    file ": note: without the section tls STARTTLS is not offered, and all mail comes in clear\n"
#define NOTE(file) file ": note: no reputation list is asked: reputation.lists is empty\n" NO_TLS(file)
/* A user and a folder that every machine has. */
#define SERVER "server: {user: root, state_dir: /tmp"
#define GOOD SERVER "}\nupstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: u}\n"

struct ran { /* a command and what it wrote */
    int code;
    struct buf out, err;
    char dir[40];
    char file[60]; /* the configuration */
};

static void read_back(FILE *f, struct buf *into)
{
    char block[4096];
    size_t n;

    buf_init(into, 1u << 20);
    buf_put_str(into, "");
    rewind(f);
    while ((n = fread(block, 1, sizeof(block), f)) > 0) {
        buf_put(into, block, n);
    }
}

/* Rules that watch depend on the day and the machine (25-message-rules.py shows them). */
static void drop_watched(struct buf *b)
{
    struct buf kept;
    struct slice rest = buf_slice(b);

    buf_init(&kept, 1u << 20);
    while (!slice_empty(rest)) {
        struct slice line = slice_cut(&rest, '\n');

        if (memmem(line.ptr, line.len, "only watches", 12) == NULL &&
            memmem(line.ptr, line.len, "watch anew", 10) == NULL) {
            buf_put_slice(&kept, line);
            buf_put_char(&kept, '\n');
        }
    }
    buf_fini(b);
    *b = kept;
}

/* Runs with standard output and error in files. */
static void run_captured(struct ran *r, int argc, char **argv)
{
    FILE *out = tmpfile(), *err = tmpfile();
    int saved_out = dup(STDOUT_FILENO), saved_err = dup(STDERR_FILENO);

    assert_non_null(out);
    assert_non_null(err);
    fflush(stdout);
    fflush(stderr);
    dup2(fileno(out), STDOUT_FILENO);
    dup2(fileno(err), STDERR_FILENO);
    r->code = cmd_check(argc, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(saved_out, STDOUT_FILENO);
    dup2(saved_err, STDERR_FILENO);
    close(saved_out);
    close(saved_err);
    read_back(out, &r->out);
    read_back(err, &r->err);
    fclose(out);
    fclose(err);
    drop_watched(&r->out);
    drop_watched(&r->err);
}

static void ran_init(struct ran *r, const char *text)
{
    struct buf b;
    FILE *f;

    memcpy(r->dir, "/tmp/glacis-check-XXXXXX", 25);
    assert_non_null(mkdtemp(r->dir));
    buf_init_fixed(&b, r->file, sizeof(r->file));
    buf_putf(&b, "%s/f.yaml", r->dir);
    f = fopen(r->file, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void ran_fini(struct ran *r)
{
    buf_fini(&r->out);
    buf_fini(&r->err);
    unlink(r->file);
    rmdir(r->dir);
}

static const char *text_of(const struct buf *b)
{
    return b->len > 0 ? b->ptr : "";
}

/* FILE in `want` stands for the path of the file. */
static void expect_text(const struct ran *r, const struct buf *got, const char *want)
{
    struct buf full;
    struct slice rest = slice_str(want);

    buf_init(&full, 1u << 20);
    buf_put_str(&full, "");
    while (!slice_empty(rest)) {
        if (slice_starts(rest, SLICE("FILE"))) {
            buf_put_str(&full, r->file);
            rest = slice_skip(rest, 4);
        } else {
            buf_put_char(&full, rest.ptr[0]);
            rest = slice_skip(rest, 1);
        }
    }
    assert_string_equal(text_of(got), text_of(&full));
    buf_fini(&full);
}

static void exit_codes_and_streams_are_as_promised(void **state)
{
    static const struct {
        const char *label;
        const char *text;
        int code;
        const char *out, *err;
    } rows[] = {
        { "good", GOOD, 0, "FILE: ok\n" NOTE("FILE"), "" },
        { "with a list", GOOD "reputation: {lists: [{name: a, zone: a.example, probe: off}]}\n", 0,
          "FILE: ok\n" NO_TLS("FILE"), "" },
        { "errors", "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: v}\nmode: x\n", 78,
          "",
          "FILE:2:22: error: domains.a.example: there is no upstream `v`; there is u\n"
          "FILE:3:7: error: mode: expected enforce or monitor, found `x`\n" },
        { "a warning", SERVER "}\nupstreams: {u: {servers: [\"127.0.0.1:25\"]}}\ndomains: {a.example: u}\n",
          0, "FILE: ok, 1 warning\n" NOTE("FILE"),
          "FILE:2:1: warning: upstreams.u.servers: 127.0.0.1:25 is this proxy itself: mail would go round in "
          "a circle\n" },
        { "two warnings",
          SERVER ", private_clients: judge}\nupstreams: {u: {servers: [\"127.0.0.1:25\"]}}\ndomains: "
                 "{a.example: u}\n",
          0, "FILE: ok, 2 warnings\n" NOTE("FILE"),
          "FILE:2:1: warning: upstreams.u.servers: 127.0.0.1:25 is this proxy itself: mail would go round in "
          "a circle\n"
          "FILE: warning: server.private_clients is judge: behind a NAT every client shares one address, and "
          "one bad client "
          "may ban them all\n" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ran r;

        ran_init(&r, rows[i].text);
        run_captured(&r, 3, (char *[]){ (char[]){ "check" }, (char[]){ "-c" }, r.file, NULL });
        if (r.code != rows[i].code) {
            print_error("%s: exit code %d\n%s", rows[i].label, r.code, text_of(&r.err));
        }
        assert_int_equal(r.code, rows[i].code);
        expect_text(&r, &r.out, rows[i].out);
        expect_text(&r, &r.err, rows[i].err);
        ran_fini(&r);
    }
}

/* B7: the user, folders, names. */
static void what_this_machine_lacks_is_said(void **state)
{
    static const struct {
        const char *server, *log, *out, *err;
        bool as_root;
    } rows[] = {
        { "user: nobody-here, state_dir: /tmp", "", "FILE: ok, 1 warning\n" NOTE("FILE"),
          "FILE:1:16: warning: server.user: there is no user \"nobody-here\" on this machine, so glacis will "
          "not start "
          "as root; make it with `useradd --system --no-create-home --shell /usr/sbin/nologin nobody-here`, "
          "or name "
          "another one\n",
          true },
        { "user: root, state_dir: /nonexistent/a/b", "",
          "FILE: ok\n" NOTE(
              "FILE") "FILE: note: server.state_dir: /nonexistent/a/b does not exist; a start makes it\n",
          "", true },
        { "user: root, state_dir: /etc/passwd/x", "", "FILE: ok, 1 warning\n" NOTE("FILE"),
          "FILE:1:33: warning: server.state_dir: /etc/passwd is no folder\n", false },
        { "user: root, state_dir: /tmp, spool_dir: /nonexistent/spool", "",
          "FILE: ok\n" NOTE(
              "FILE") "FILE: note: server.spool_dir: /nonexistent/spool does not exist; a start makes it\n",
          "", true },
        { "user: root, state_dir: /tmp", "log: {to: \"file:/nonexistent/glacis.log\"}\n",
          "FILE: ok, 1 warning\n" NOTE("FILE"),
          "FILE:4:11: warning: log.to: the folder /nonexistent does not exist, so stderr gets the lines\n",
          false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[500];
        struct ran r;

        if (rows[i].as_root && geteuid() != 0) {
            continue;
        }
        (void)snprintf(
            text, sizeof(text),
            "server: {%s}\nupstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: u}\n%s",
            rows[i].server, rows[i].log);
        ran_init(&r, text);
        run_captured(&r, 3, (char *[]){ (char[]){ "check" }, (char[]){ "-c" }, r.file, NULL });
        assert_int_equal(r.code, 0);
        expect_text(&r, &r.out, rows[i].out);
        expect_text(&r, &r.err, rows[i].err);
        ran_fini(&r);
    }
}

static void print_writes_a_file_that_loads(void **state)
{
    struct ran r;
    struct config_errors errs = { .count = 0 };
    struct config *c;

    (void)state;
    ran_init(&r, GOOD);
    run_captured(&r, 4,
                 (char *[]){ (char[]){ "check" }, (char[]){ "--print" }, (char[]){ "-c" }, r.file, NULL });
    assert_int_equal(r.code, 0);
    expect_text(&r, &r.err, "FILE: ok\n" NOTE("FILE"));
    c = config_load_text("printed", buf_slice(&r.out), &errs);
    assert_non_null(c);
    config_free(c);
    ran_fini(&r);
}

/* Standard output of check --print; released by the caller. */
static void print_of(struct ran *r, const char *text)
{
    ran_init(r, text);
    run_captured(r, 4,
                 (char *[]){ (char[]){ "check" }, (char[]){ "--print" }, (char[]){ "-c" }, r->file, NULL });
    assert_int_equal(r->code, 0);
}

static void print_has_what_is_remembered_and_guarded_too(void **state)
{
    static const struct {
        const char *file, *want[4];
    } rows[] = {
        { GOOD,
          { "reputation:\n  threshold: 1\n  lists: []\n  guard:\n",
            "  breaker:\n      failures: 20\n      retry: 30s\n",
            "\nknown_good:\n  messages: 3\n  days: 2\n  within: 36d\n",
            "\ngreylist:\n  delay: 5m\n  retry_within: 2d\n  remember: 36d\n  network:\n    ipv4: 24\n    "
            "ipv6: 64\n" } },
        { GOOD "zero_day: off\nknown_good: {messages: 7}\nreputation: {guard: {breaker: off}}\n",
          { "zero_day:\n  fresh_domain: off\n  fresh_client: off\n  burst:\n    networks: off\n",
            "known_good:\n  messages: 7\n  days: 2\n", "      failures: off\n",
            "    probe_interval: 5m\n" } },
        { GOOD "state: {backend: redis, redis: {url: \"redis://:secret@127.0.0.1:6379/1\"}}\n",
          { "    url: \"redis://***@127.0.0.1:6379/1\"\n", "redis", "redis", "redis" } },
        { GOOD "state: {backend: redis, redis: {url: \"redis://glacis:secret@127.0.0.1:6379/1\"}}\n",
          { "    url: \"redis://***@127.0.0.1:6379/1\"\n", "redis", "redis", "redis" } },
        { GOOD
          "state: {backend: redis, redis: {url: \"redis://glacis:secret@127.0.0.1/${GLACIS_TEST_DB}\"}}\n",
          { "    url: \"redis://***@127.0.0.1/${GLACIS_TEST_DB}\"\n", "redis", "redis", "redis" } },
        { GOOD "state: {backend: redis, redis: {url: \"redis://glacis:${GLACIS_TEST_WORD}@127.0.0.1\"}}\n",
          { "    url: \"redis://glacis:${GLACIS_TEST_WORD}@127.0.0.1\"\n", "redis", "redis", "redis" } },
        { GOOD "reputation: {lists: [{name: a, zone: zen.secretsecretsecret.dq.example, probe: off}]}\n",
          { "      zone: \"zen.***.dq.example\"\n", "name: a", "probe: off", "lists:" } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ran r, again;

        print_of(&r, rows[i].file);
        for (size_t k = 0; k < ARRAY_LEN(rows[i].want); k++) {
            if (strstr(text_of(&r.out), rows[i].want[k]) == NULL) {
                fail_msg("%zu: not in the print: %s\n%s", i, rows[i].want[k], text_of(&r.out));
            }
        }
        assert_null(strstr(text_of(&r.out), "secret"));
        if (strstr(text_of(&r.out), "***") == NULL) {
            print_of(&again, text_of(&r.out));
            assert_string_equal(text_of(&again.out), text_of(&r.out));
            ran_fini(&again);
        }
        ran_fini(&r);
    }
}

static void unreadable_files_and_wrong_usage_have_codes_of_their_own(void **state)
{
    struct ran r;

    (void)state;
    ran_init(&r, GOOD);
    unlink(r.file);
    run_captured(&r, 3, (char *[]){ (char[]){ "check" }, (char[]){ "-c" }, r.file, NULL });
    assert_int_equal(r.code, 66);
    expect_text(&r, &r.err, "FILE: error: cannot be read: No such file or directory\n");
    ran_fini(&r);
    ran_init(&r, GOOD);
    run_captured(&r, 2, (char *[]){ (char[]){ "check" }, (char[]){ "--nonsense" }, NULL });
    assert_int_equal(r.code, 64);
    ran_fini(&r);
    ran_init(&r, GOOD);
    run_captured(&r, 2, (char *[]){ (char[]){ "check" }, r.file, NULL });
    assert_int_equal(r.code, 64);
    ran_fini(&r);
    ran_init(&r, GOOD);
    run_captured(&r, 2, (char *[]){ (char[]){ "check" }, (char[]){ "--help" }, NULL });
    assert_int_equal(r.code, 0);
    assert_true(slice_starts(buf_slice(&r.out), SLICE("usage: glacis check ")));
    ran_fini(&r);
}

static void without_a_file_the_environment_is_checked(void **state)
{
    struct ran r;

    (void)state;
    ran_init(&r, GOOD);
    run_captured(&r, 1, (char *[]){ (char[]){ "check" }, NULL });
    assert_int_equal(r.code, 78);
    ran_fini(&r);
    setenv("GLACIS_UPSTREAM", "10.1.1.10:25", 1);
    setenv("GLACIS_DOMAINS", "example.com, .example.com", 1);
    ran_init(&r, GOOD);
    run_captured(&r, 1, (char *[]){ (char[]){ "check" }, NULL });
    assert_int_equal(r.code, 0);
    assert_true(slice_starts(buf_slice(&r.out), SLICE("built-in: ok"))); /* this machine may lack the user */
    ran_fini(&r);
    unsetenv("GLACIS_UPSTREAM");
    unsetenv("GLACIS_DOMAINS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes_and_streams_are_as_promised),
        { "B7: what this machine lacks is said", what_this_machine_lacks_is_said, NULL, NULL, NULL },
        cmocka_unit_test(print_writes_a_file_that_loads),
        cmocka_unit_test(print_has_what_is_remembered_and_guarded_too), /* C7: and no secret */
        cmocka_unit_test(unreadable_files_and_wrong_usage_have_codes_of_their_own),
        cmocka_unit_test(without_a_file_the_environment_is_checked),
    };

    setenv("GLACIS_HOSTNAME", "mx.test.example", 1);
    setenv("GLACIS_TEST_DB", "2", 1);
    setenv("GLACIS_TEST_WORD", "secret", 1);
    unsetenv("GLACIS_ADMIN_TOKEN");
    unsetenv("GLACIS_UPSTREAM");
    unsetenv("GLACIS_DOMAINS");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
