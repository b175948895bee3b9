/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cmd_explain.c - glacis explain: its exit codes, and what it prints.
 *
 * No name server: a private client is asked nothing about, and a closed port answers nobody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <getopt.h>

#include "admin/admin.h"

#define FILE_HEAD                                                                                            \
    "upstreams: {u: {servers: [\"192.0.2.9:25\"]}}\ndomains: {example.com: u}\n"                             \
    "dns: {servers: [\"127.0.0.1:1\"], timeout: 100ms, attempts: 1}\n"

static char config_path[] = "/tmp/glacis-explain-XXXXXX";

static void write_config(const char *yaml)
{
    FILE *f = fopen(config_path, "w");

    assert_non_null(f);
    fputs("server: {hostname: mx1.example.com, state_dir: /nonexistent", f);
    fputs(strncmp(yaml, "judge\n", 6) == 0 ? ", private_clients: judge}\n" : "}\n", f);
    yaml += strncmp(yaml, "judge\n", 6) == 0 ? 6 : 0;
    fputs(FILE_HEAD, f);
    fputs(yaml, f);
    fclose(f);
}

/* Runs the command; what it wrote to standard output is in *out. */
static int run(char **argv, struct buf *out)
{
    FILE *to = tmpfile();
    int saved = dup(STDOUT_FILENO), argc = 0, code;
    char block[4096];
    size_t n;

    assert_non_null(to);
    fflush(stdout);
    assert_true(dup2(fileno(to), STDOUT_FILENO) >= 0);
    while (argv[argc] != NULL) {
        argc++;
    }
    optind = 1;
    code = cmd_explain(argc, argv);
    fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    rewind(to);
    buf_reset(out);
    while ((n = fread(block, 1, sizeof(block), to)) > 0) {
        buf_put(out, block, n);
    }
    fclose(to);
    return code;
}

#define RUN(out, ...) run((char *[]){ name, __VA_ARGS__, NULL }, (out))
#define ENVELOPE(ip) arg_ip, ip, arg_helo, helo, arg_from, from, arg_rcpt, rcpt

static char name[] = "explain", arg_ip[] = "--ip", arg_helo[] = "--helo", arg_from[] = "--from",
            arg_rcpt[] = "--rcpt", arg_c[] = "-c", arg_json[] = "--json", helo[] = "pc", from[] = "<>",
            rcpt[] = "bob@example.com", private_ip[] = "10.0.0.1", public_ip[] = "198.51.100.1",
            bad_ip[] = "10.0.0", missing[] = "/nonexistent.yaml", arg_odd[] = "--odd",
            sender[] = "x@example.org";

static void exit_codes_say_whose_fault_it_is(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1u << 20);
    write_config("");
    assert_int_equal(RUN(&out, ENVELOPE(private_ip), arg_c, config_path), 0);
    assert_int_equal(RUN(&out, ENVELOPE(public_ip), arg_c, config_path), 69); /* its name */
    assert_int_equal(RUN(&out, ENVELOPE(public_ip), arg_from, sender, arg_c, config_path), 69);
    assert_int_equal(RUN(&out, ENVELOPE(bad_ip), arg_c, config_path), 64);
    assert_int_equal(RUN(&out, arg_ip, private_ip), 64);
    assert_int_equal(RUN(&out, ENVELOPE(private_ip), arg_odd), 64);
    assert_int_equal(RUN(&out, ENVELOPE(private_ip), arg_c, missing), 66);
    write_config("policy: {before: [{name: x, when: {nonsense: 1}, then: accept}]}\n");
    assert_int_equal(RUN(&out, ENVELOPE(private_ip), arg_c, config_path), 78);
    buf_fini(&out);
}

static void people_read_facts_rules_and_the_reply(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1u << 20);
    write_config("policy: {before: [{name: no, when: {helo.kind: bare}, then: [{tag: {X-T: "
                 "\"{helo.name}\"}}, reject], "
                 "reply: \"550 5.7.1 Not {helo.name}\"}]}\n");
    assert_int_equal(RUN(&out, ENVELOPE(private_ip), arg_c, config_path), 0);
    assert_non_null(strstr(out.ptr, "  client.ip                10.0.0.1   <- given\n"));
    assert_non_null(strstr(out.ptr, "  no                       matched    helo.kind is bare\n"));
    assert_non_null(strstr(out.ptr, "  reject by no\n  550 5.7.1 Not pc ["));
    assert_non_null(strstr(out.ptr, "  X-T: pc\n"));
    buf_fini(&out);
}

static void what_the_rules_are_not_asked_about(void **state)
{
    static char foreign[] = "bob@elsewhere.invalid", nobody[] = "bob", postmaster[] = "Postmaster";
    struct buf out;

    (void)state;
    buf_init(&out, 1u << 20);
    write_config("mode: monitor\n");
    assert_int_equal(RUN(&out, ENVELOPE(private_ip), arg_rcpt, foreign, arg_c, config_path), 0);
    assert_non_null(
        strstr(out.ptr, "  reject by relay control\n  550 5.7.1 We do not relay mail for this domain ["));
    buf_reset(&out);
    assert_int_equal(RUN(&out, ENVELOPE(private_ip), arg_rcpt, nobody, arg_c, config_path), 0);
    assert_non_null(strstr(out.ptr, "  reject by syntax\n  501 5.1.3 Bad recipient address syntax ["));
    buf_reset(&out);
    assert_int_equal(RUN(&out, ENVELOPE(private_ip), arg_rcpt, postmaster, arg_c, config_path), 0);
    assert_non_null(strstr(out.ptr, "  accept by postmaster"));
    assert_non_null(strstr(out.ptr, "  recipient.address        Postmaster@example.com   <- given\n"));
    buf_reset(&out);
    assert_int_equal(RUN(&out, ENVELOPE(private_ip), arg_rcpt, foreign), 0); /* no file: no domains */
    assert_non_null(strstr(out.ptr, "  accept by default"));
    buf_fini(&out);
}

/* What the proxy says, wherever it says it first; `add` is put behind the options. */
static void it_says_what_the_proxy_says(void **state)
{
#define GREYLIST "policy: {preset: none, before: [{name: g, when: {client.private: true}, then: greylist}]}\n"
#define EARLY                                                                                                \
    "policy: {preset: none, reject_at: earliest, before: [{name: e, when: {client.private: true}, then: "    \
    "reject, reply: "                                                                                        \
    "\"550 5.7.1 Go away\"}]}\n"
    static const struct {
        const char *label, *yaml, *add[2], *want;
    } rows[] = {
        { "percent",
          "",
          { "--rcpt", "a%b@example.com" },
          "  reject by relay control\n  550 5.7.1 Local parts that route mail are not accepted [" },
        { "a quoted @",
          "",
          { "--rcpt", "\"a@b\"@example.com" },
          "  reject by relay control\n  550 5.7.1 Local parts that route mail are not accepted [" },
        { "a literal",
          "",
          { "--rcpt", "bob@[192.0.2.1]" },
          "  reject by relay control\n  550 5.7.1 We do not relay mail for this domain [" },
        { "a sender without a domain",
          "",
          { "--from", "alice" },
          "  reject by syntax, at MAIL\n  501 5.1.7 Bad sender address syntax [" },
        { "a sender with two @",
          "",
          { "--from", "a@b@c.example" },
          "  reject by syntax, at MAIL\n  501 5.1.7 Bad sender address syntax [" },
        { "a control character",
          "",
          { "--from", "a\x01@b.example" },
          "  reject by syntax, at MAIL\n  501 5.5.4 Syntax error in parameters or arguments [" },
        { "no HELO",
          "",
          { "--helo", "" },
          "  reject by syntax, at EHLO\n  501 5.5.4 Syntax error in parameters or arguments [" },
        { "a final dot",
          "",
          { "--from", "X@Example.ORG." },
          "  sender.address           X@example.org   <- given\n" },
        { "brackets",
          "",
          { "--rcpt", "<bob@example.com>" },
          "  recipient.address        bob@example.com   <- given\n" },
        { "HELO with an address of ours",
          "judge\n",
          { "--helo", "[127.0.0.1]" },
          "  helo.impersonates        true" },
        { "TLS", "", { "--tls", NULL }, "  tls.version              TLS1.3   <- given\n" },
        { "a private client is not greylisted", GREYLIST, { "--offline", NULL }, "  accept by default\n" },
        { "greylist", "judge\n" GREYLIST, { "--offline", NULL }, "  defer by g\n  451 4.7.1 " },
        { "at the banner",
          EARLY,
          { "--offline", NULL },
          "  reject by e, at the banner\n  554 5.7.1 Go away [" },
        { "in monitor mode",
          "mode: monitor\n" EARLY,
          { "--offline", NULL },
          "  reject by e (mode: monitor: still delivered)\n  550 5.7.1 Go away [" },
    };
    struct buf out;

    (void)state;
    buf_init(&out, 1u << 20);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char option[2][100] = { "", "" };
        int code;

        write_config(rows[i].yaml);
        for (size_t k = 0; k < 2 && rows[i].add[k] != NULL; k++) {
            (void)snprintf(option[k], sizeof(option[k]), "%s", rows[i].add[k]);
        }
        buf_reset(&out);
        /* 69 where a name was asked: no server answers here */
        code = RUN(&out, ENVELOPE(private_ip), arg_c, config_path, option[0],
                   rows[i].add[1] != NULL ? option[1] : NULL);
        assert_true(code == 0 || code == 69);
        if (strstr(out.ptr, rows[i].want) == NULL) {
            fail_msg("%s: want %s\n%s", rows[i].label, rows[i].want, out.ptr);
        }
    }
    buf_fini(&out);
}

static void json_has_the_agreed_keys(void **state)
{
    static const char *const wanted[] = {
        "{\"facts\":{",
        "\"client.ip\":\"10.0.0.1\"",
        "\"client.private\":true",
        "\"helo.kind\":\"bare\"",
        "\"spf\":\"none\"",
        "\"zero_day.suspect\":null",
        "\"sources\":{\"client.ip\":{\"from\":\"given\",\"us\":0}",
        "\"rules\":[{\"name\":\"allowed-client\",\"outcome\":\"not\",",
        "\"verdict\":{\"action\":\"accept\",\"rule\":\"default\",\"code\":250,\"text\":\"\"",
        "\"tags\":{",
        "\"X-Glacis-Verdict\":\"accept; rule=default; mode=enforce\"",
    };
    struct buf out;

    (void)state;
    buf_init(&out, 1u << 20);
    write_config("");
    assert_int_equal(RUN(&out, ENVELOPE(private_ip), arg_c, config_path, arg_json), 0);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        if (strstr(out.ptr, wanted[i]) == NULL) {
            fail_msg("%s is not in %s", wanted[i], out.ptr);
        }
    }
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes_say_whose_fault_it_is),
        cmocka_unit_test(people_read_facts_rules_and_the_reply),
        cmocka_unit_test(what_the_rules_are_not_asked_about),
        { "B1: it says what the proxy says", it_says_what_the_proxy_says, NULL, NULL, NULL },
        cmocka_unit_test(json_has_the_agreed_keys),
    };
    int fd = mkstemp(config_path), failed;

    if (fd < 0) {
        return 1;
    }
    close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(config_path);
    return failed;
}
