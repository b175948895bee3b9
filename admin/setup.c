/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setup.c - completes a configuration with all material made from it, the same way for `check` and the supervisor.
 *
 * Workers inherit the result by fork: they read no certificate, key, trust anchor or group file themselves.
 * The new snapshot shares kept material (config_errors.kept) with the snapshot in force.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "admin/admin.h"
#include "core/loop.h"
#include "policy/policy.h"
#include "tls/tls.h"

#define RULES_SEEN_MAX (256u * 1024u)
#define PATH_BYTES 4096

static void free_material(void *obj)
{
    tls_material_free(obj);
}

static void read_certificates(struct config *c, struct config_errors *errs)
{
    if (!c->tls.enabled) {
        return;
    }
    c->tls_material = config_keeps(errs, MATERIAL_TLS) ? tls_material_ref(errs->previous->tls_material)
                                                       : tls_material_load(c, errs);
    config_attach(c, c->tls_material, free_material);
}

static void free_clients(void *obj)
{
    struct config *c = obj;

    for (size_t i = 0; i < c->upstream_count; i++) {
        tls_client_free(c->upstreams[i].tls_client);
    }
}

/* The client of the upstream with the same name. */
static struct tls_client *keep_client(const struct config *previous, const struct config_upstream *up)
{
    for (size_t i = 0; i < previous->upstream_count; i++) {
        if (slice_eq(slice_str(previous->upstreams[i].name), slice_str(up->name))) {
            return tls_client_ref(previous->upstreams[i].tls_client);
        }
    }
    return NULL;
}

/* Makes one for each upstream; reports a tls_ca that cannot be read. */
static void make_clients(struct config *c, struct config_errors *errs)
{
    for (size_t i = 0; i < c->upstream_count; i++) {
        struct config_upstream *up = &c->upstreams[i];

        if (up->tls != UP_TLS_OFF && config_keeps(errs, MATERIAL_ANCHORS)) {
            up->tls_client = keep_client(errs->previous, up);
        }
        if (up->tls != UP_TLS_OFF && up->tls_client == NULL) {
            up->tls_client = tls_client_new(up, errs);
        }
    }
    config_attach(c, c, free_clients);
}

static void free_policy(void *obj)
{
    policy_free(obj);
}

static bool read_plain(int fd, struct buf *out)
{
    char mem[4096];
    struct stat st;
    ssize_t n = 0;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    while (buf_ok(out) && (n = read(fd, mem, sizeof(mem))) > 0) {
        buf_put(out, mem, (size_t)n);
    }
    return n == 0 && buf_ok(out);
}

/* The folder may belong to an unprivileged user, so the open follows no link and does not block. */
static void watch_rules(struct policy *p, const char *state_dir)
{
    struct buf path, text;
    bool there = false;
    int fd;

    buf_init(&path, PATH_BYTES);
    buf_init(&text, RULES_SEEN_MAX);
    buf_putf(&path, "%s/" RULES_SEEN_FILE, state_dir);
    fd = buf_ok(&path) ? open(path.ptr, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd >= 0) {
        there = read_plain(fd, &text);
        close(fd);
    }
    policy_watch(p, !there ? SLICE_NONE : text.len > 0 ? buf_slice(&text) : SLICE(""), wall_now_s());
    buf_fini(&path);
    buf_fini(&text);
}

static void compile_policy(struct config *c, struct config_errors *errs)
{
    struct policy *p = policy_compile(c, errs);

    if (p != NULL) {
        watch_rules(p, c->server.state_dir);
        c->policy = p;
        config_attach(c, p, free_policy);
    }
}

bool setup_complete(struct config *c, struct config_errors *errs)
{
    read_certificates(c, errs);
    make_clients(c, errs);
    compile_policy(c, errs);
    for (int kind = 0; kind < MATERIAL_COUNT; kind++) {
        bool kept = config_keeps(errs, (enum config_material)kind);

        c->missing[kind] = kept ? errs->previous->missing[kind] : errs->missing[kind];
    }
    return errs->fatal == 0;
}
