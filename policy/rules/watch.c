/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - refusing rules of the preset that are new on this machine only watch at first
 * (policy.watch_new_rules).
 *
 * The record, a file in state_dir, has a line for each such rule that this machine has ever had:
 *
 *     dmarc-reject 5f0e6a1d2c3b4a59 1764576000
 *
 * That is name, hash of `when` and `then`, and Unix time of its first start.  A new text in a reply makes no new rule.
 * Commands read the record.  Only the supervisor writes it, before it starts the workers, which inherit the result.
 * So all processes, and a reload, agree about the end of each watch.
 *
 *     snapshot.c reads the file -> policy_watch -> rule.watch_until_s -> rule_is_monitored (verdict.c)
 *                                       `-> policy_watch_put -> supervisor_files.c writes it
 *
 * No record  a first start, or an update from a version without records.  Envelope rules count as known: the operator
 *            installed glacis for them, or had them already.  Message rules watch: their exemptions depend on
 *            standing that correspondents have yet to earn here.
 * Operators  a rule with `then` or `mode` overridden in the file follows the file at once.
 * Trust      the file may belong to an unprivileged user.  Lines in any other format are skipped, and at most
 *            RECORD_MAX lines are kept.  A user who can write the file can end or prolong a watch.
 */
#include "policy/rules/compiled.h"
#include "policy/rules/rules_priv.h"

#include "core/crypto.h"

#define RECORD_MAX 500 /* lines */
#define HASH_DIGITS 16

static const uint64_t hash_key[2] = { 0x676c616369732d77ull, 0x617463682d727573ull };

struct seen_rule {
    struct slice name;
    uint64_t hash;
    int64_t since_s; /* 0: known before the first record */
};

struct rule_watch {
    struct seen_rule seen[RECORD_MAX];
    size_t count;
    bool changed; /* the file on disk is out of date */
};

/* ---- rules ---- */

static bool is_refusing(const struct config_node *action)
{
    static const char *const refusing[] = { "reject", "defer", "drop", "greylist" };

    for (size_t i = 0; i < ARRAY_LEN(refusing) && action->kind == NODE_SCALAR; i++) {
        if (slice_eq(action->text, slice_str(refusing[i]))) {
            return true;
        }
    }
    return false;
}

/* Uses the preset's action, whatever `override` has. */
static bool can_refuse(const struct rule *rule)
{
    const struct config_node *then = config_node_get(rule->node, "then"), *child;
    bool found = then != NULL && is_refusing(then);

    if (!rule->preset || then == NULL || then->kind != NODE_SEQUENCE) {
        return rule->preset && found;
    }
    CONFIG_NODE_EACH(then, child)
    {
        found = found || is_refusing(child);
    }
    return found;
}

static uint64_t hash_of(const struct rule *rule)
{
    const struct config_node *when = config_node_get(rule->node, "when");
    struct buf text;
    uint64_t hash;

    buf_init(&text, 65536);
    if (when != NULL) {
        config_node_put(&text, when, 0);
    }
    config_node_put(&text, config_node_get(rule->node, "then"), 0);
    hash = siphash(hash_key, text.ptr, text.len);
    buf_fini(&text);
    return hash;
}

/* ---- the record ---- */

static struct seen_rule *find(struct rule_watch *w, struct slice name, uint64_t hash)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->seen[i].hash == hash && slice_eq(w->seen[i].name, name)) {
            return &w->seen[i];
        }
    }
    return NULL;
}

static void add(struct rule_watch *w, struct seen_rule r)
{
    if (w->count < RECORD_MAX) {
        w->seen[w->count++] = r;
    }
}

static bool parse_hash(struct slice s, uint64_t *hash)
{
    static const char digits[] = "0123456789abcdef";

    *hash = 0;
    for (size_t i = 0; i < s.len; i++) {
        size_t digit = slice_find(SLICE("0123456789abcdef"), s.ptr[i]);

        if (digit == sizeof(digits) - 1) {
            return false;
        }
        *hash = *hash << 4 | digit;
    }
    return s.len == HASH_DIGITS;
}

/* A time in the future comes from a wrong clock, and would make the watch endless. */
static void take_line(struct policy *p, struct slice line, int64_t now_s)
{
    struct slice name = slice_token(&line), hash = slice_token(&line), since = slice_token(&line);
    struct seen_rule r;
    uint64_t seconds;

    if (!rules_is_name(name) || !parse_hash(hash, &r.hash) || !slice_to_u64(since, INT64_MAX, &seconds) ||
        !slice_empty(line) || find(p->watch, name, r.hash) != NULL) {
        return;
    }
    r.name = arena_slice(&p->arena, name);
    r.since_s = (int64_t)seconds;
    if (r.since_s > now_s) {
        r.since_s = now_s;
        p->watch->changed = true;
    }
    add(p->watch, r);
}

static void note_rule(struct policy *p, struct rule *rule, int64_t first_s, int64_t now_s)
{
    uint64_t hash = hash_of(rule), watch_s = p->conf->policy_section.watch_new_rules_s;
    struct seen_rule *seen = find(p->watch, slice_str(rule->name), hash);
    int64_t since_s = seen != NULL ? seen->since_s : first_s;

    if (seen == NULL) {
        p->watch->changed = true;
        rule->watch_starts = first_s == now_s;
        add(p->watch, (struct seen_rule){ slice_str(rule->name), hash, first_s });
    }
    if (rule->then_preset && !rule->mode_given && watch_s > 0) {
        rule->watch_until_s = since_s + (int64_t)watch_s;
    }
}

void policy_watch(struct policy *p, struct slice record, int64_t now_s)
{
    bool first = record.ptr == NULL;

    p->watch = arena_alloc(&p->arena, sizeof(*p->watch));
    if (p->watch == NULL) {
        return;
    }
    *p->watch = (struct rule_watch){ .count = 0 };
    while (!slice_empty(record)) {
        take_line(p, slice_cut(&record, '\n'), now_s);
    }
    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        struct block *block = &p->rules.block[b];

        for (size_t i = 0; i < block->count; i++) {
            if (can_refuse(&block->rule[i])) {
                note_rule(p, &block->rule[i], first && b == BLOCK_ENVELOPE ? 0 : now_s, now_s);
            }
        }
    }
}

void policy_watch_put(const struct policy *p, struct buf *out)
{
    for (size_t i = 0; p->watch != NULL && p->watch->changed && i < p->watch->count; i++) {
        const struct seen_rule *r = &p->watch->seen[i];

        buf_putf(out, SLICE_FMT " %016" PRIx64 " %" PRId64 "\n", SLICE_ARG(r->name), r->hash, r->since_s);
    }
}

/* ---- for people ---- */

bool policy_watched(const struct policy *p, size_t i, int64_t now_s, struct policy_watched *out)
{
    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        const struct block *block = &p->rules.block[b];

        for (size_t k = 0; k < block->count; k++) {
            const struct rule *rule = &block->rule[k];

            if (rule->watch_until_s > now_s && i-- == 0) {
                *out = (struct policy_watched){ rule->name, rule->watch_until_s, rule->watch_starts };
                return true;
            }
        }
    }
    return false;
}
