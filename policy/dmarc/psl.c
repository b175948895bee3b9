/* SPDX-License-Identifier: Apache-2.0 */
/*
 * psl.c - public suffixes by libpsl.  Built with GLACIS_HAVE_LIBPSL only.
 *
 * The library gets names that are hostname_valid() and lower-case, as it demands.  It owns the list.
 *
 * RFC     7489 3.2
 */
#include "policy/dmarc/psl.h"

#include <libpsl.h>

#include "policy/dmarc/walk.h"

struct dmarc_psl {
    psl_ctx_t *context;
};

struct dmarc_psl *dmarc_psl_load(const char *path)
{
    psl_ctx_t *context = path != NULL ? psl_load_file(path) : psl_latest(NULL);
    struct dmarc_psl *list;

    if (context == NULL) {
        return NULL;
    }
    if (psl_suffix_count(context) == 0) { /* a file without a rule; negative: unknown */
        psl_free(context);
        return NULL;
    }
    list = xmalloc(sizeof(*list));
    list->context = context;
    return list;
}

void dmarc_psl_free(struct dmarc_psl *list)
{
    if (list != NULL) {
        psl_free(list->context);
        free(list);
    }
}

size_t dmarc_psl_org(void *arg, struct slice domain)
{
    const struct dmarc_psl *list = arg;
    char name[DMARC_NAME_MAX + 1];
    const char *org;

    if (domain.len > DMARC_NAME_MAX) {
        return 0;
    }
    memcpy(name, domain.ptr, domain.len);
    name[domain.len] = '\0';
    org = psl_registrable_domain(list->context, name);
    return org != NULL ? dmarc_labels(slice_str(org)) : 0;
}
