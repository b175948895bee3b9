/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c - makes struct policy from a configuration, and frees it (policy.h, compiled.h).
 */
#include <sys/stat.h>

#include "config/values.h"
#include "policy/dmarc/psl.h"
#include "policy/judge/engine_priv.h"
#include "policy/rules/lists_load.h"
#include "smtp/field.h"

#define GROUP_PREFIX "group:"

bool policy_set_list_mode(struct policy *p, struct slice name, struct slice mode)
{
    unsigned index;

    for (size_t i = 0; i < p->reputation.count; i++) {
        struct reputation_list *list = &p->reputation.list[i];

        if (!slice_eq(list->name, name) || !value_parse_choice(mode, "enforce|monitor|off", &index)) {
            continue;
        }
        if (index == LIST_MODE_MONITOR) {
            list->ask = LIST_ASK_BACKGROUND;
        } else if (index == LIST_MODE_ENFORCE && list->mode == LIST_MODE_MONITOR) {
            list->ask = LIST_ASK_EARLY; /* as reputation.c does for an override */
        }
        list->mode = (enum list_mode)index;
        return true;
    }
    return false;
}

size_t policy_list_count(const struct policy *p)
{
    return p->rules.list_count;
}

static struct group *named_group(const struct policy *p, struct slice name)
{
    return rules_group(&p->rules, slice_skip(name, slice_starts(name, SLICE(GROUP_PREFIX)) ? 6 : 0));
}

bool policy_group_has_ip(const struct policy *p, struct slice name, const struct addr *ip)
{
    const struct group *g = named_group(p, name);

    return g != NULL && group_has_ip(g, ip, wall_now_s());
}

bool policy_client_allowed(const struct policy_worker *pw, const struct addr *ip)
{
    return policy_group_has_ip(pw->policy, SLICE("allow_clients"), ip);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * UINT64_C(0x100000001b3);
}

/* Checks that tls.not_offered_to names a group of the file. */
static void check_named_group(const struct policy *p, struct config_errors *errs)
{
    struct slice name = slice_str(p->conf->tls.not_offered_to);

    if (!slice_empty(name) && named_group(p, name) == NULL) {
        rules_group_missing(p, errs, "tls.not_offered_to", slice_skip(name, sizeof(GROUP_PREFIX) - 1));
    }
}

static bool has_tag_name(const struct policy *p, struct slice name)
{
    for (size_t i = 0; i < p->tag_name_count; i++) {
        if (header_name_is(name, slice_str(p->tag_names[i]))) {
            return true;
        }
    }
    return false;
}

static size_t count_tags(const struct block *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->count; i++) {
        for (const struct rule_tag *t = b->rule[i].tags; t != NULL; t = t->next) {
            n++;
        }
    }
    return n;
}

static void add_tag_name(struct policy *p, const char *name)
{
    if (!has_tag_name(p, slice_str(name))) {
        p->tag_names[p->tag_name_count++] = name;
    }
}

/* Skips standard names in headers.add: others may write such fields, too. */
static void collect_tag_names(struct policy *p)
{
    const struct config_headers *h = &p->conf->headers;
    const struct block *b = p->rules.block;
    size_t most = count_tags(&b[BLOCK_ENVELOPE]) + count_tags(&b[BLOCK_MESSAGE]) + h->add_count;

    p->tag_names = arena_alloc(&p->arena, sizeof(*p->tag_names) * max_size(most, 1));
    for (const struct block *end = b + BLOCK_COUNT; b < end; b++) {
        for (size_t i = 0; i < b->count; i++) {
            for (const struct rule_tag *t = b->rule[i].tags; t != NULL; t = t->next) {
                add_tag_name(p, t->name);
            }
        }
    }
    for (size_t i = 0; i < h->add_count; i++) {
        if (!rules_field_is_standard(slice_str(h->add[i].name))) {
            add_tag_name(p, h->add[i].name);
        }
    }
}

bool policy_adds_field(const struct policy_worker *pw, struct slice name)
{
    return has_tag_name(pw->policy, name);
}

static bool has_unread_group(const struct policy *p)
{
    for (size_t i = 0; i < p->rules.group_count; i++) {
        if (p->rules.group[i].unread) {
            return true;
        }
    }
    return false;
}

/* dmarc.org_domain: psl: reads the list here, once, because reading a file may block. */
static void load_suffixes(struct policy *p, struct config_errors *errs)
{
    if (p->conf->dmarc.org_domain != CONFIG_ORG_PSL) {
        return;
    }
#ifdef GLACIS_HAVE_LIBPSL
    p->psl = dmarc_psl_load(NULL);
    if (p->psl == NULL) {
        config_errors_add(
            errs, false, 0, 0,
            "dmarc.org_domain: psl: no list of public suffixes was found. On Debian: apt-get install "
            "publicsuffix");
    }
#else
    config_errors_add(errs, false, 0, 0, "dmarc.org_domain: psl is not in this build: libpsl was not found");
#endif
}

static void free_suffixes(struct policy *p)
{
#ifdef GLACIS_HAVE_LIBPSL
    dmarc_psl_free(p->psl);
#endif
    p->psl = NULL;
}

struct policy *policy_compile(const struct config *conf, struct config_errors *errs)
{
    struct policy *p = xcalloc(1, sizeof(*p));
    size_t fatal = errs->fatal;
    bool ok;

    p->conf = conf;
    arena_init(&p->arena, POLICY_ARENA_MAX);
    lists_load(p, errs);
    ok = standing_load(p, errs);
    if (rules_load(p, errs) && ok) {
        if (!has_unread_group(p)) { /* else the tests could fail for that reason */
            rules_run_tests(p, errs);
        }
        collect_tag_names(p);
    }
    check_named_group(p, errs);
    load_suffixes(p, errs);
    p->files_read =
        config_keeps(errs, MATERIAL_GROUPS) ? policy_files_read(errs->previous->policy) : policy_files_now(p);
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
        free_suffixes(p);
        arena_fini(&p->arena);
        free(p);
    }
}

const char *policy_group_file(const struct policy *p, size_t i)
{
    return i < p->rules.file_count ? p->rules.files[i].path : NULL;
}

uint64_t policy_files_now(const struct policy *p)
{
    uint64_t h = 0;
    const char *path;

    for (size_t i = 0; (path = policy_group_file(p, i)) != NULL; i++) {
        struct stat st = { 0 };

        h = mix(h, UINT64_C(0xcbf29ce484222325));
        if (stat(path, &st) == 0) {
            h = mix(mix(h, (uint64_t)st.st_dev), (uint64_t)st.st_ino);
            h = mix(mix(h, (uint64_t)st.st_size), (uint64_t)st.st_mtim.tv_sec);
            h = mix(h, (uint64_t)st.st_mtim.tv_nsec);
        }
    }
    return h;
}

uint64_t policy_files_read(const struct policy *p)
{
    return p->files_read;
}
