/*
 * policy.c - struct policy: its making from a configuration, and its end (policy.h, policy_priv.h).
 */
#include "policy/lists_load.h"

struct policy *policy_compile(const struct config *conf, struct config_errors *errs)
{
    struct policy *p = xcalloc(1, sizeof(*p));
    size_t fatal = errs->fatal;
    bool ok;

    p->conf = conf;
    arena_init(&p->arena, POLICY_ARENA_MAX);
    ok = lists_load(p, errs);
    ok = standing_load(p, errs) && ok;
    if (rules_load(p, errs) && ok) {
        rules_run_tests(p, errs);
    }
    if (errs->fatal != fatal) {
        policy_free(p);
        return NULL;
    }
    return p;
}

void policy_free(struct policy *p)
{
    if (p != NULL) {
        rules_free(p);
        arena_fini(&p->arena);
        free(p);
    }
}

const char *policy_group_file(const struct policy *p, size_t i)
{
    return i < p->rules.file_count ? p->rules.files[i] : NULL;
}
