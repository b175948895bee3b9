/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_text.c - the small formats: addresses, resolv.conf, comments and encoded words, templates, lists of
 * recipients and groups, the control client's look at a file, names, what goes into the log.
 *
 * First octet: which of them; the rest is the text.
 */
#include <sys/mman.h>

#include "admin/admin.h"
#include "config/template.h"
#include "core/addr.h"
#include "core/idna.h"
#include "core/utf8.h"
#include "dns/servers.h"
#include "policy/judge/engine_priv.h"
#include "policy/rules/compiled.h"
#include "smtp/field.h"
#include "smtp/lexical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_PATH_MAX = 64, TEXT_MAX = 65536 };

static void try_addresses(struct slice s)
{
    struct addr a, b;
    struct cidr c;
    char mem[128];
    struct buf out;

    buf_init_fixed(&out, mem, sizeof(mem));
    if (addr_parse_ip(s, &a)) {
        addr_put_ip(&out, &a);
        BUG_ON(!buf_ok(&out) || !addr_parse_ip(buf_slice(&out), &b) || !addr_same_ip(&a, &b));
    }
    buf_init_fixed(&out, mem, sizeof(mem));
    if (addr_parse_endpoint(s, &a)) {
        addr_put_endpoint(&out, &a);
        BUG_ON(!buf_ok(&out) || !addr_parse_endpoint(buf_slice(&out), &b) || !addr_same_ip(&a, &b));
    }
    if (cidr_parse(s, &c)) {
        BUG_ON(!cidr_contains(&c, &c.base));
    }
}

static void try_resolv_conf(struct slice s)
{
    struct addr out[3] = { 0 };
    size_t n = servers_parse_resolv_conf(s, out, ARRAY_LEN(out));

    BUG_ON(n > ARRAY_LEN(out));
    for (size_t i = 0; i < n; i++) {
        BUG_ON(out[i].family == ADDR_NONE);
    }
}

/* Comments, quoted strings and encoded words: decoding makes nothing longer. */
static void try_lexical(struct slice s)
{
    struct slice rest = s, comment = SLICE_NONE;
    struct buf out;

    buf_init(&out, s.len);
    lex_put_decoded(&out, s);
    BUG_ON(!buf_ok(&out));
    buf_reset(&out);
    if (lex_skip_cfws(&rest, &comment) && rest.len > 0 && rest.ptr[0] == '"' && lex_quoted(&rest, &out)) {
        BUG_ON(!buf_ok(&out) || out.len + comment.len + rest.len > s.len);
    }
    buf_fini(&out);
}

static bool is_known(void *arg UNUSED, struct slice name)
{
    return slice_eq(name, SLICE("a"));
}

static bool put_value(void *arg UNUSED, struct slice name, struct buf *out)
{
    buf_put_str(out, slice_eq(name, SLICE("a")) ? "VALUE" : "");
    return is_known(NULL, name);
}

static void try_template(struct slice s)
{
    struct slice bad = SLICE_NONE;
    struct buf out;

    buf_init(&out, 8 * s.len + 64);
    if (template_valid(s, is_known, NULL, &bad)) {
        BUG_ON(!slice_empty(bad));
        template_render(s, put_value, NULL, &out);
        BUG_ON(!buf_ok(&out));
    }
    buf_fini(&out);
}

/* A file in memory: its path is written to `path`. */
static int make_file(struct slice s, char path[FILE_PATH_MAX])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct buf b;

    BUG_ON(fd < 0 || (s.len > 0 && write(fd, s.ptr, s.len) != (ssize_t)s.len));
    buf_init_fixed(&b, path, FILE_PATH_MAX);
    buf_putf(&b, "/proc/self/fd/%d", fd);
    return fd;
}

static void try_state_dir(struct slice s)
{
    char path[FILE_PATH_MAX];
    int fd = make_file(s, path);
    struct buf out;

    buf_init(&out, 4096);
    if (control_state_dir(path, &out)) {
        BUG_ON(out.len == 0);
    }
    buf_fini(&out);
    close(fd);
}

/* The text is a list of recipients and a group's file; what is an address in it is known afterwards. */
static void try_files(struct slice s)
{
    char path[FILE_PATH_MAX];
    int fd = make_file(s, path);
    struct config_errors errs = { .count = 0 };
    struct config *c;
    struct buf text;

    buf_init(&text, 2048);
    buf_putf(
        &text,
        "server: {hostname: mx.test}\n"
        "upstreams: {up: {servers: [\"127.0.0.9:25\"]}}\n"
        "domains: {example.test: {upstream: up, validate: \"file:%s\"}}\n"
        "groups: {g: [\"file:%s\"]}\n"
        "policy: {preset: none, rules: [{name: r, when: {all: [\"client.ip in group:g\"]}, then: accept}]}\n",
        path, path);
    c = config_load_text("fuzz", buf_slice(&text), &errs);
    if (c != NULL) {
        struct policy *p = policy_compile(c, &errs);

        (void)config_recipient_known(&c->domains[0], slice_take(s, slice_find(s, '@')),
                                     SLICE("example.test"));
        policy_free(p);
    } else {
        BUG_ON(errs.fatal == 0);
    }
    config_free(c);
    config_errors_fini(&errs);
    buf_fini(&text);
    close(fd);
}

static void try_names(struct slice s)
{
    char mem[1024];
    struct buf out;

    buf_init_fixed(&out, mem, sizeof(mem));
    if (idna_to_ascii(s, &out)) {
        BUG_ON(utf8_has_8bit(buf_slice(&out)));
    }
    if (hostname_valid(s)) {
        BUG_ON(s.len > 253 || utf8_has_8bit(s));
    }
}

/* Nothing of a peer ends a line of the log or of JSON. */
static void try_quoting(struct slice s)
{
    struct buf out;

    buf_init(&out, 12 * s.len + 64); /* \\xNN and \\u00NN */
    buf_put_quoted(&out, s, 128);
    buf_put_json(&out, s, 4096);
    BUG_ON(!buf_ok(&out));
    for (size_t i = 0; i < out.len; i++) {
        BUG_ON((unsigned char)out.ptr[i] < ' ' || out.ptr[i] == 0x7f);
    }
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(struct slice s) = {
        try_addresses, try_resolv_conf, try_lexical, try_template,
        try_state_dir, try_files,       try_names,   try_quoting,
    };

    if (size >= 1 && size < TEXT_MAX) {
        tries[data[0] % ARRAY_LEN(tries)](slice_of(data + 1, size - 1));
    }
    return 0;
}
