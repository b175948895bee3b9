/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_material.c - material that the file only names: certificates, group files, lists of recipients,
 * trust anchors.
 *
 * While glacis serves, a change of one kind loads that kind alone (material_load).  A broken file of another kind
 * keeps its old contents and delays no other.  supervisor_certificates.c and supervisor_groups.c watch theirs.
 *
 * A start goes on without unusable material (glacis(8), MATERIAL).  Every CHECK_MS this file tries it again, and
 * makes a new generation as soon as less is missing.  Until then it logs an error every SAID_AGAIN_MS.
 */
#include "proxy/process/supervisor_priv.h"

#define CHECK_MS 30000
#define SAID_AGAIN_MS (60 * 60 * 1000)

/* Keeps hashes of addresses the same: the text may lack the key that files_prepare() took from the state directory. */
static void keep_hash_key(struct config *conf, const struct config *old)
{
    char *copy;

    if (conf->state.hash_key[0] != '\0') {
        return;
    }
    copy = xstrdup(old->state.hash_key);
    config_attach(conf, copy, free);
    conf->state.hash_key = copy;
}

struct config *material_load(struct supervisor *sup, const struct config *old, unsigned kinds,
                             struct config_errors *errs)
{
    const char *path = sup->options.config_path;
    struct config *conf;

    errs->previous = old;
    errs->kept = MATERIAL_ALL & ~kinds;
    conf = supervisor_complete(config_load_text(path != NULL ? path : "environment", old->text, errs), errs);
    if (conf != NULL) {
        keep_hash_key(conf, old);
    }
    return conf;
}

static size_t total(const unsigned missing[MATERIAL_COUNT])
{
    size_t n = 0;

    for (int kind = 0; kind < MATERIAL_COUNT; kind++) {
        n += missing[kind];
    }
    return n;
}

void material_say(struct supervisor *sup, const struct config *conf)
{
    size_t n = total(conf->missing);

    if (n == 0) {
        return;
    }
    sup->material.said_ms = sup->now_ms;
    log_msg(
        LOG_LEVEL_ERROR, "material_missing",
        "%zu errors in files that the configuration names (the lines with event config say which): glacis "
        "serves without them, see MATERIAL in glacis(8)",
        n);
}

/* Tries again to load the kinds that lack something. */
static void try_again(struct supervisor *sup, const struct config *old)
{
    struct config_errors errs = { .count = 0 };
    struct config *conf;
    bool better = false;

    for (unsigned kind = 0; kind < MATERIAL_COUNT; kind++) {
        errs.lenient |= old->missing[kind] > 0 ? MATERIAL_BIT(kind) : 0;
    }
    conf = material_load(sup, old, errs.lenient, &errs);
    for (int kind = 0; conf != NULL && kind < MATERIAL_COUNT; kind++) {
        better = better || conf->missing[kind] < old->missing[kind];
    }
    if (better) {
        log_msg(LOG_LEVEL_INFO, "material_mended",
                "A file that could not be used is good now: a new generation takes it");
        supervisor_reloaded(sup, conf, NULL);
    } else {
        config_free(conf);
    }
    if (!better && sup->now_ms >= sup->material.said_ms + SAID_AGAIN_MS) {
        supervisor_log_errors(&errs, sup->options.config_path);
        material_say(sup, old);
    }
    config_errors_fini(&errs);
}

void material_tick(struct supervisor *sup)
{
    const struct generation *g = generation_in(sup, GENERATION_CURRENT);

    if (g == NULL || sup->stopping) {
        return;
    }
    gauge_set(M_MATERIAL_MISSING, total(g->conf->missing));
    if (sup->now_ms < sup->material.next_ms) {
        return;
    }
    if (sup->pending != NULL || generation_in(sup, GENERATION_STARTING) != NULL) {
        return; /* a pending reload loads it itself */
    }
    sup->material.next_ms = sup->now_ms + CHECK_MS;
    if (total(g->conf->missing) > 0) {
        try_again(sup, g->conf);
    }
}
