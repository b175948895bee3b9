/*
 * snapshot.c - a configuration with all that is made from it; what `check` judges is what the supervisor
 * runs.
 *
 * Workers inherit the result by fork: they read no certificate, key, trust anchor or group file of their own.
 */
#include "admin/admin.h"
#include "policy/policy.h"
#include "tls/tls.h"

static void free_material(void *obj)
{
    tls_material_free(obj);
}

static void read_certificates(struct config *c, struct config_errors *errs)
{
    struct tls_material *m;

    if (!c->tls.enabled) {
        return;
    }
    m = tls_material_load(c, errs);
    if (m != NULL) {
        c->tls_material = m;
        config_attach(c, m, free_material);
    }
}

static void free_clients(void *obj)
{
    struct config *c = obj;

    for (size_t i = 0; i < c->upstream_count; i++) {
        tls_client_free(c->upstreams[i].tls_client);
    }
}

/* One an upstream: also finds a tls_ca that cannot be read. */
static void make_clients(struct config *c, struct config_errors *errs)
{
    for (size_t i = 0; i < c->upstream_count; i++) {
        struct config_upstream *up = &c->upstreams[i];

        up->tls_client = up->tls != UP_TLS_OFF ? tls_client_new(up, errs) : NULL;
    }
    config_attach(c, c, free_clients);
}

static void free_policy(void *obj)
{
    policy_free(obj);
}

static void compile_policy(struct config *c, struct config_errors *errs)
{
    struct policy *p = policy_compile(c, errs);

    if (p != NULL) {
        c->policy = p;
        config_attach(c, p, free_policy);
    }
}

bool snapshot_complete(struct config *c, struct config_errors *errs)
{
    read_certificates(c, errs);
    make_clients(c, errs);
    compile_policy(c, errs);
    return errs->fatal == 0;
}
