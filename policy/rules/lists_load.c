/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lists_load.c - prepares the configured lists for queries: slots, bounds, which of them rules wait for
 * (reputation.h).
 *
 * config/reputation.c defines the entries of the file.
 */
#include "policy/rules/lists_load.h"

/* Finds the lowest and highest weight of a hit. */
static void find_bounds(struct reputation_list *list)
{
    for (size_t i = 0; i < list->answer_count; i++) {
        int64_t w = list->answers[i].weight;

        list->weight_min = w < list->weight_min ? w : list->weight_min;
        list->weight_max = w > list->weight_max ? w : list->weight_max;
    }
}

static void take_list(struct reputation_list *list, const struct config_list *conf)
{
    *list = (struct reputation_list){
        .name = slice_str(conf->name),
        .zone = conf->zone,
        .shown = conf->shown,
        .subjects = conf->subjects,
        .answers = conf->answers.range,
        .errors = conf->errors.range,
        .voids = conf->voids.range,
        .answer_count = conf->answers.count,
        .error_count = conf->errors.count,
        .void_count = conf->voids.count,
        .ipv4 = conf->ipv4,
        .ipv6 = conf->ipv6,
        .mode = conf->mode,
        .ask = conf->mode == LIST_MODE_MONITOR ? LIST_ASK_BACKGROUND : conf->ask,
        .timeout_ms = conf->timeout_ms,
        .reason = conf->reason == LIST_REASON_TXT,
        .zero_day = conf->zero_day,
        .probe = conf->probe == LIST_PROBE_RFC5782,
        .line = conf->line,
        .column = conf->column,
    };
    find_bounds(list);
}

static void give_slots(struct reputation *rep)
{
    for (size_t i = 0; i < rep->count; i++) {
        struct reputation_list *list = &rep->list[i];

        list->slot = rep->slot_count;
        for (unsigned s = 0; s < SUBJECT_COUNT; s++) { /* even if off: the operator may override that */
            if ((list->subjects & (1u << s)) != 0) {
                rep->slot_count++;
            }
        }
    }
}

void lists_load(struct policy *p, struct config_errors *errs)
{
    struct rules_load l = { .r = &p->rules, .arena = &p->arena, .errs = errs, .conf = p->conf };
    const struct config_reputation *conf = &p->conf->reputation;
    struct reputation *rep = &p->reputation;

    *rep = (struct reputation){ .threshold = conf->threshold, .count = conf->list_count };
    rep->list = rules_memory(&l, (rep->count + 1) * sizeof(*rep->list));
    for (size_t i = 0; i < rep->count; i++) {
        take_list(&rep->list[i], &conf->list[i]);
    }
    give_slots(rep);
}

size_t policy_probe_zones(const struct policy *p, struct slice *zones, struct slice *names, size_t max)
{
    const struct reputation *rep = &p->reputation;
    size_t n = 0;

    for (size_t i = 0; i < rep->count && n < max; i++) {
        const struct reputation_list *list = &rep->list[i];

        if (list->probe && list->mode != LIST_MODE_OFF && (list->subjects & (1u << SUBJECT_CLIENT)) != 0) {
            zones[n] = list->zone;
            names[n++] = list->name;
        }
    }
    return n;
}
