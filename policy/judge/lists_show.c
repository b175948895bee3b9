/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lists_show.c - the recorder's side of `glacis lists`: shows the state of each list, as text or JSON, and applies the
 * operator's overrides (policy.h).  The recorder serves no mail.  It reads and changes shared records, and waits at
 * most BUSY_TRIES milliseconds for one that a worker holds.
 */
#include <time.h>

#include "config/values.h"
#include "policy/lists/guard.h"
#include "policy/rules/compiled.h"

#define RECENT_MIN 60
#define BUSY_TRIES 50
#define EXIT_OK "ok\n"

struct view { /* of one list: a copy of its record, and what follows */
    const struct reputation_list *list;
    struct memory_list *l;
    struct guard_share recent;
    enum list_mode mode;
    unsigned good_listed, good_asked;
    int64_t now_s, returns_s;
    const char *wants; /* NULL: only time */
};

static const char *const mode_words[] = {
    [LIST_MODE_ENFORCE] = "enforce", [LIST_MODE_MONITOR] = "monitor", [LIST_MODE_OFF] = "off"
};
static const char *const override_words[] = { "auto", "enforce", "monitor", "off" };

static struct guard_list about(const struct reputation_list *list, enum list_mode mode)
{
    return (struct guard_list){ .allows = list->weight_max <= 0,
                                .probe = list->probe,
                                .off = mode == LIST_MODE_OFF };
}

/* A worker holds it for microseconds, but the kernel may suspend it meanwhile. */
static struct memory_list *take(struct memory *m, struct slice name)
{
    const struct timespec moment = { 0, 1000000 };
    struct memory_list *l = memory_list_take(m, name);

    for (unsigned i = 0; l == NULL && i < BUSY_TRIES; i++) {
        (void)nanosleep(&moment, NULL);
        l = memory_list_take(m, name);
    }
    return l;
}

static bool view_make(struct view *v, const struct policy *p, struct memory *m, size_t i)
{
    const struct config_guard *g = &p->remembered.guard;
    struct guard_list list;
    struct memory_list *l;

    *v = (struct view){ .list = &p->reputation.list[i], .now_s = wall_now_s(), .l = xmalloc(sizeof(*v->l)) };
    l = take(m, v->list->name);
    if (l == NULL) {
        free(v->l);
        return false;
    }
    memory_list_copy(v->l, l);
    memory_list_give(m, l);
    v->mode = guard_mode(v->l, v->list->mode, v->now_s);
    v->recent = guard_recent(v->l, RECENT_MIN, v->now_s);
    v->good_asked = guard_good_asked(v->l, g, v->now_s);
    v->good_listed = guard_good_listed(v->l, g, v->now_s);
    v->returns_s = guard_returns_at(v->l, g);
    list = about(v->list, v->mode);
    v->wants = v->returns_s != 0 ? guard_wants(v->l, g, &list) : NULL;
    return true;
}

/* ---- as text ---- */

static void put_age(struct buf *out, int64_t seconds)
{
    seconds = seconds > 0 ? seconds : 0;
    if (seconds < 120) {
        buf_putf(out, "%" PRId64 " s", seconds);
    } else if (seconds < 7200) {
        buf_putf(out, "%" PRId64 " min", seconds / 60);
    } else {
        buf_putf(out, "%" PRId64 " h", seconds / 3600);
    }
}

static unsigned per_mille(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (unsigned)(part * 1000 / whole);
}

static void put_demotion(struct buf *out, const struct view *v)
{
    const struct memory_list *l = v->l;

    buf_put_str(out, "  DEMOTED to monitor for ");
    put_age(out, v->now_s - (int64_t)l->demoted_s);
    buf_putf(out, " (time %" PRIu32 "): %s", l->demotions, guard_reason_text((enum guard_reason)l->reason));
    if (l->why[0] != '\0') {
        buf_put_str(out, " (");
        buf_put_quoted(out, slice_str(l->why), sizeof(l->why));
        buf_put_char(out, ')');
    }
    if (v->returns_s == 0) {
        buf_put_str(out, "\n  returns by `glacis lists set NAME auto` (recover: manual)\n");
        return;
    }
    buf_put_str(out, v->returns_s > v->now_s ? "\n  returns in " : "\n  returns");
    if (v->returns_s > v->now_s) {
        put_age(out, v->returns_s - v->now_s);
    }
    buf_putf(out, "%s%s\n", v->wants != NULL ? " if it shows until then: " : " if it behaves",
             v->wants != NULL ? v->wants : "");
}

static bool has_no_effect(const struct view *v)
{
    return v->l->useless_s != 0 && v->mode != LIST_MODE_OFF;
}

static void put_last_error(struct buf *out, const struct memory_list *l)
{
    struct addr a = { .family = ADDR_V4 };

    memcpy(a.ip, l->last_error, sizeof(l->last_error));
    if (a.ip[0] != 0) {
        addr_put_ip(out, &a);
    }
}

/* "every answer is an error (10.1.1.1)" */
static void put_why_useless(struct buf *out, const struct memory_list *l)
{
    buf_put_str(out, guard_effect_text((enum guard_effect)l->useless));
    if (l->last_error[0] != 0) {
        buf_put_str(out, " (");
        put_last_error(out, l);
        buf_put_char(out, ')');
    }
}

static void put_standing(struct buf *out, const struct view *v)
{
    const struct memory_list *l = v->l;

    if (l->override != OVERRIDE_AUTO &&
        (l->override_until_s == 0 || v->now_s < (int64_t)l->override_until_s)) {
        buf_putf(out, "  set to %s by the operator", override_words[l->override % 4]);
        if (l->override_until_s != 0) {
            buf_put_str(out, " for another ");
            put_age(out, (int64_t)l->override_until_s - v->now_s);
        }
        buf_put_char(out, '\n');
    }
    if (l->demoted_s != 0) {
        put_demotion(out, v);
    }
    if (l->broken_since_s != 0) {
        buf_put_str(out, "  NO ANSWERS for ");
        put_age(out, v->now_s - (int64_t)l->broken_since_s);
        buf_put_str(out, ": skipped, tried once in a while\n");
    }
    if (has_no_effect(v)) {
        buf_put_str(out, "  NO EFFECT for ");
        put_age(out, v->now_s - (int64_t)l->useless_s);
        buf_put_str(out, ": ");
        put_why_useless(out, l);
        buf_put_char(out, '\n');
    }
    if (l->surge_s != 0 && v->now_s - (int64_t)l->surge_s < 3600) {
        buf_put_str(out, "  far more hits than usual within the last hour\n");
    }
    if (l->silent_s != 0 && v->now_s - (int64_t)l->silent_s < 3600) {
        buf_put_str(out, "  no hits, or no test entry, where there were some\n");
    }
}

static void put_evidence(struct buf *out, const struct view *v)
{
    for (size_t i = 0; i < MEMORY_EVIDENCE; i++) {
        const struct memory_evidence *e = &v->l->evidence[(v->l->evidence_next + i) % MEMORY_EVIDENCE];

        if (e->at_s != 0 && v->now_s - (int64_t)e->at_s < 86400) {
            buf_put_str(out, e->ip.family != ADDR_NONE ? "  listed in good standing: " : "  listed: ");
            buf_put_quoted(out, slice_of(e->text, strnlen(e->text, sizeof(e->text))), sizeof(e->text));
            buf_put_str(out, ", ");
            put_age(out, v->now_s - (int64_t)e->at_s);
            buf_put_str(out, " ago\n");
        }
    }
}

static void put_numbers(struct buf *out, const struct view *v)
{
    const struct memory_list *l = v->l;
    unsigned now = per_mille(v->recent.yes, v->recent.answers);

    buf_putf(out, "  last hour: %" PRIu32 " answers, %u.%u %% hits (usual: ", v->recent.answers, now / 10,
             now % 10);
    if (l->baseline_weight > 0) {
        buf_putf(out, "%" PRIu32 ".%" PRIu32 " %%", l->baseline_ppm / 10000, l->baseline_ppm / 1000 % 10);
    } else {
        buf_put_str(out, "not known yet");
    }
    buf_putf(out, "), %" PRIu32 " time-outs, %" PRIu32 " errors\n", v->recent.timeouts, v->recent.errors);
    if (guard_latency_us(l, 50) > 0) {
        buf_putf(out, "  latency: half below %" PRIu64 " ms, 99 %% below %" PRIu64 " ms\n",
                 guard_latency_us(l, 50) / 1000, guard_latency_us(l, 99) / 1000);
    }
    buf_putf(out,
             "  in all: %" PRIu64 " answers, %" PRIu64 " hits, of these %" PRIu64 " it alone and %" PRIu64
             " with another list\n",
             l->total_answers, l->total_yes, l->total_unique, l->total_overlap);
    buf_putf(out,
             "  correspondents in good standing: %u asked about, %u listed within the window, %" PRIu64
             " in all\n",
             v->good_asked, v->good_listed, l->total_good_yes);
}

static void put_probe(struct buf *out, const struct view *v)
{
    static const char *const words[] = { "not known", "listed", "not listed" };
    const struct memory_list *l = v->l;

    if (!v->list->probe) {
        buf_put_str(out, "  probe: the list has no test entries (probe: off)\n");
    } else if (l->probed_s == 0) {
        buf_put_str(out, "  probe: no answer yet\n");
    } else {
        buf_put_str(out, "  probe ");
        put_age(out, v->now_s - (int64_t)l->probed_s);
        buf_putf(out, " ago: test entry %s, control %s\n", words[l->probe_listed % 3],
                 words[l->probe_control % 3]);
    }
    if (l->canary_s != 0) {
        buf_put_str(out, "  canaries ");
        put_age(out, v->now_s - (int64_t)l->canary_s);
        buf_putf(out, " ago: %u of %u listed\n", l->canary_listed, l->canary_asked);
    }
}

static void put_text(struct buf *out, const struct view *v)
{
    buf_put_slice(out, v->list->name);
    buf_putf(out, "  %s", mode_words[v->mode]);
    if (v->mode != v->list->mode) {
        buf_putf(out, " (the file says %s)", mode_words[v->list->mode]);
    }
    buf_put_char(out, '\n');
    put_standing(out, v);
    put_numbers(out, v);
    put_probe(out, v);
    put_evidence(out, v);
}

/* ---- as JSON ---- */

static void put_pair(struct buf *out, const char *key, int64_t n)
{
    buf_putf(out, ",\"%s\":%" PRId64, key, n);
}

static void put_json_evidence(struct buf *out, const struct memory_list *l)
{
    const char *before = "";

    buf_put_str(out, ",\"evidence\":[");
    for (size_t i = 0; i < MEMORY_EVIDENCE; i++) {
        const struct memory_evidence *e = &l->evidence[i];

        if (e->at_s != 0) {
            buf_putf(out, "%s{\"at\":%" PRIu32 ",\"who\":", before, e->at_s);
            buf_put_json(out, slice_of(e->text, strnlen(e->text, sizeof(e->text))), sizeof(e->text));
            buf_put_char(out, '}');
            before = ",";
        }
    }
    buf_put_char(out, ']');
}

static void put_json_effect(struct buf *out, const struct view *v)
{
    bool none = has_no_effect(v);

    put_pair(out, "no_effect_since", none ? v->l->useless_s : 0);
    buf_putf(out, ",\"no_effect\":\"%s\",\"last_error\":\"",
             none ? guard_effect_text((enum guard_effect)v->l->useless) : "");
    put_last_error(out, v->l);
    buf_put_char(out, '"');
}

static void put_json(struct buf *out, const struct view *v)
{
    const struct memory_list *l = v->l;

    buf_put_str(out, "{\"name\":");
    buf_put_json(out, v->list->name, 64);
    buf_putf(out, ",\"mode\":\"%s\",\"configured\":\"%s\",\"override\":\"%s\",\"reason\":\"%s\"",
             mode_words[v->mode], mode_words[v->list->mode], override_words[l->override % 4],
             guard_reason_text((enum guard_reason)l->reason));
    buf_put_str(out, ",\"numbers\":");
    buf_put_json(out, slice_of(l->why, strnlen(l->why, sizeof(l->why))), sizeof(l->why));
    buf_put_str(out, ",\"returns_if\":");
    buf_put_json(out, slice_str(v->wants != NULL ? v->wants : ""), 120);
    put_pair(out, "override_until", l->override_until_s);
    put_pair(out, "demoted_at", l->demoted_s);
    put_pair(out, "demotions", l->demotions);
    put_pair(out, "returns_at", v->returns_s);
    put_pair(out, "broken_since", l->broken_since_s);
    put_pair(out, "surge_at", l->surge_s);
    put_pair(out, "silent_at", l->silent_s);
    put_pair(out, "answers_1h", v->recent.answers);
    put_pair(out, "hits_1h", v->recent.yes);
    put_pair(out, "timeouts_1h", v->recent.timeouts);
    put_pair(out, "errors_1h", v->recent.errors);
    put_pair(out, "hits_usual_ppm", l->baseline_ppm);
    put_pair(out, "latency_p50_us", (int64_t)guard_latency_us(l, 50));
    put_pair(out, "latency_p99_us", (int64_t)guard_latency_us(l, 99));
    put_pair(out, "answers", (int64_t)l->total_answers);
    put_pair(out, "hits", (int64_t)l->total_yes);
    put_pair(out, "hits_unique", (int64_t)l->total_unique);
    put_pair(out, "hits_overlap", (int64_t)l->total_overlap);
    put_pair(out, "known_good_hits", (int64_t)l->total_good_yes);
    put_pair(out, "known_good_asked_now", v->good_asked);
    put_pair(out, "known_good_listed_now", v->good_listed);
    put_pair(out, "probed_at", l->probed_s);
    put_pair(out, "canaries_at", l->canary_s);
    put_pair(out, "canaries_asked", l->canary_asked);
    put_pair(out, "canaries_listed", l->canary_listed);
    put_pair(out, "timeouts", (int64_t)l->total_timeouts);
    put_pair(out, "errors", (int64_t)l->total_errors);
    put_json_effect(out, v);
    buf_putf(out, ",\"probe_test\":\"%s\",\"probe_control\":\"%s\"",
             l->probe_listed == 1   ? "listed"
             : l->probe_listed == 2 ? "not_listed"
                                    : "",
             l->probe_control == 1   ? "listed"
             : l->probe_control == 2 ? "not_listed"
                                     : "");
    put_json_evidence(out, l);
    buf_put_char(out, '}');
}

/* ---- the commands ---- */

static void put_busy(struct buf *out, const struct reputation_list *list, bool json)
{
    if (json) {
        buf_put_str(out, "{\"name\":");
        buf_put_json(out, list->name, MEMORY_LIST_NAME);
        buf_put_str(out, ",\"busy\":true}");
    } else {
        buf_put_slice(out, list->name);
        buf_put_str(out, "  is busy: ask again\n");
    }
}

static void show_all(const struct policy *p, struct memory *m, bool json, struct buf *out)
{
    const char *between = "";

    buf_put_str(out, json ? "[" : "");
    for (size_t i = 0; i < p->reputation.count; i++) {
        struct view v;

        buf_put_str(out, between);
        between = json ? "," : "\n";
        if (!view_make(&v, p, m, i)) {
            put_busy(out, &p->reputation.list[i], json);
            continue;
        }
        if (json) {
            put_json(out, &v);
        } else {
            put_text(out, &v);
        }
        free(v.l);
    }
    buf_put_str(out, json ? "]\n" : p->reputation.count == 0 ? "There are no reputation lists.\n" : "");
}

static const struct reputation_list *find_list(const struct policy *p, struct slice name)
{
    for (size_t i = 0; i < p->reputation.count; i++) {
        if (slice_eq(p->reputation.list[i].name, name)) {
            return &p->reputation.list[i];
        }
    }
    return NULL;
}

static void put_no_list(const struct policy *p, struct slice name, struct buf *out)
{
    struct nearest near;

    nearest_init(&near, name);
    for (size_t i = 0; i < p->reputation.count; i++) {
        nearest_offer(&near, p->reputation.list[i].name);
    }
    buf_put_str(out, "error\nThere is no list `");
    buf_put_quoted(out, slice_take(name, 64), 64);
    buf_putf(out, "`%s\n", nearest_words(&near));
}

static void say_set(const struct reputation_list *list, enum memory_override o, uint64_t for_s, uid_t uid)
{
    struct log_line line;

    if (log_begin(&line, LOG_LEVEL_WARN, "list_set")) {
        log_str(&line, "list", list->name);
        log_text(&line, "mode", override_words[o]);
        log_num(&line, "for_s", (int64_t)for_s);
        log_num(&line, "uid", (int64_t)uid);
        log_end(&line);
    }
}

/* NAME MODE [SECONDS] */
static void set_list(const struct policy *p, struct memory *m, struct slice args, uid_t uid, struct buf *out)
{
    struct slice name = slice_token(&args);
    const struct reputation_list *list = find_list(p, name);
    struct slice word = slice_token(&args), rest = slice_token(&args);
    struct memory_list *l;
    unsigned o = 0;
    uint64_t for_s = 0;
    int64_t now_s = wall_now_s();

    while (o < ARRAY_LEN(override_words) && !slice_eq(word, slice_str(override_words[o]))) {
        o++;
    }
    if (list == NULL) {
        put_no_list(p, name, out);
        return;
    }
    if (o == ARRAY_LEN(override_words) ||
        (rest.len > 0 && (!slice_to_u64(rest, 365u * 86400u, &for_s) || for_s == 0))) {
        buf_put_str(out, "error\nExpected: lists set NAME enforce|monitor|off|auto [SECONDS]\n");
        return;
    }
    l = take(m, list->name);
    if (l == NULL) {
        buf_put_str(out, "error\nThe list's record is busy; try again.\n");
        return;
    }
    guard_override(l, (enum memory_override)o, for_s > 0 ? (uint32_t)(now_s + (int64_t)for_s) : 0,
                   (uint64_t)now_s * 1000);
    memory_list_give(m, l);
    say_set(list, (enum memory_override)o, for_s, uid);
    buf_put_slice(out, list->name);
    if (o == OVERRIDE_AUTO) {
        buf_putf(out, " follows the file (%s) and the guard from now on\n", mode_words[list->mode]);
        return;
    }
    buf_putf(out, " is set to %s", override_words[o]);
    if (for_s > 0) {
        buf_put_str(out, " for ");
        put_age(out, (int64_t)for_s);
    }
    buf_putf(out, "; the file says %s\n", mode_words[list->mode]);
}

/* Makes every probe due: a worker starts them within a second. */
static void test_all(const struct policy *p, struct memory *m, struct buf *out)
{
    for (size_t i = 0; i < p->reputation.count; i++) {
        struct memory_list *l = take(m, p->reputation.list[i].name);

        if (l != NULL) {
            l->probe_at_s = 0;
            memory_list_give(m, l);
        }
    }
    buf_put_str(out, p->remembered.guard.probe_interval_s > 0
                         ? EXIT_OK
                         : "error\nreputation.guard.probe_interval is off\n");
}

void policy_lists_command(const struct policy *p, struct state *st, struct slice args, uid_t uid,
                          struct buf *out)
{
    struct memory *m = memory_new(st, NULL, NULL);
    struct slice word = slice_token(&args);

    if (slice_empty(word) || slice_eq(word, SLICE("json"))) {
        show_all(p, m, !slice_empty(word), out);
    } else if (slice_eq(word, SLICE("set"))) {
        set_list(p, m, args, uid, out);
    } else if (slice_eq(word, SLICE("test"))) {
        test_all(p, m, out);
    } else {
        buf_put_str(out, "error\nThe commands are: lists, lists json, lists test, lists set\n");
    }
    memory_free(&m);
}

void policy_list_modes(const struct policy *p, struct state *st, struct buf *out)
{
    struct memory *m = memory_new(st, NULL, NULL);

    for (size_t i = 0; i < p->reputation.count; i++) {
        struct view v;

        if (view_make(&v, p, m, i)) {
            buf_putf(out, "list " SLICE_FMT " %s\n", SLICE_ARG(v.list->name), mode_words[v.mode]);
            free(v.l);
        }
    }
    memory_free(&m);
}

static int64_t value_enforced(const struct view *v)
{
    return v->mode == LIST_MODE_ENFORCE;
}

static int64_t value_demoted(const struct view *v)
{
    return v->l->demoted_s != 0;
}

static int64_t value_broken(const struct view *v)
{
    return v->l->broken_since_s != 0;
}

static int64_t value_no_effect(const struct view *v)
{
    return has_no_effect(v);
}

static int64_t value_errors(const struct view *v)
{
    return (int64_t)v->l->total_errors;
}

static int64_t value_timeouts(const struct view *v)
{
    return (int64_t)v->l->total_timeouts;
}

static int64_t value_answers(const struct view *v)
{
    return (int64_t)v->l->total_answers;
}

static int64_t value_hits(const struct view *v)
{
    return (int64_t)v->l->total_yes;
}

static int64_t value_latency(const struct view *v)
{
    return v->l->latency_us;
}

static int64_t value_good(const struct view *v)
{
    return (int64_t)v->l->total_good_yes;
}

static const struct {
    const char *name, *help;
    enum metric_kind kind;
    int64_t (*value)(const struct view *v);
} numbers[] = {
    { "glacis_list_enforced", "1 while the list counts: neither demoted nor set to something else",
      METRIC_GAUGE, value_enforced },
    { "glacis_list_demoted", "1 while the guard does not believe the list", METRIC_GAUGE, value_demoted },
    { "glacis_list_broken", "1 while the list is skipped since it does not answer", METRIC_GAUGE,
      value_broken },
    { "glacis_list_no_effect",
      "1 while no answer of the list could list a client: errors, silence, a wrong zone", METRIC_GAUGE,
      value_no_effect },
    { "glacis_list_answers_total", "Answers of the list", METRIC_COUNTER, value_answers },
    { "glacis_list_errors_total", "Questions answered by an error, or by a failure of its servers",
      METRIC_COUNTER, value_errors },
    { "glacis_list_timeouts_total", "Questions that were not answered in time", METRIC_COUNTER,
      value_timeouts },
    { "glacis_list_hits_total", "Of these: listed", METRIC_COUNTER, value_hits },
    { "glacis_list_known_good_hits_total", "Of these: clients in long good standing", METRIC_COUNTER,
      value_good },
    { "glacis_list_latency_seconds", "Smoothed time to an answer", METRIC_SECONDS, value_latency },
};

void policy_lists_metrics(const struct policy *p, struct state *st, struct buf *out)
{
    struct memory *m = memory_new(st, NULL, NULL);

    for (size_t n = 0; n < ARRAY_LEN(numbers) && p->reputation.count > 0; n++) {
        buf_putf(out, "# HELP %s %s\n# TYPE %s %s\n", numbers[n].name, numbers[n].help, numbers[n].name,
                 numbers[n].kind == METRIC_COUNTER ? "counter" : "gauge");
        for (size_t i = 0; i < p->reputation.count; i++) {
            struct view v;

            if (view_make(&v, p, m, i)) {
                buf_putf(out, "%s{list=\"" SLICE_FMT "\"} ", numbers[n].name, SLICE_ARG(v.list->name));
                metrics_put_value(out, numbers[n].kind, (uint64_t)numbers[n].value(&v));
                buf_put_char(out, '\n');
                free(v.l);
            }
        }
    }
    memory_free(&m);
}

size_t policy_lists_degraded(const struct policy *p, struct state *st, struct buf *out)
{
    struct memory *m = memory_new(st, NULL, NULL);
    size_t count = 0;

    for (size_t i = 0; i < p->reputation.count; i++) {
        struct view v;
        bool demoted, broken;

        if (!view_make(&v, p, m, i)) {
            continue;
        }
        broken = v.l->broken_since_s != 0 && v.mode != LIST_MODE_OFF;
        demoted = v.l->demoted_s != 0 && v.list->mode == LIST_MODE_ENFORCE;
        if (has_no_effect(&v)) {
            buf_putf(out, "list " SLICE_FMT " has no effect: ", SLICE_ARG(v.list->name));
            put_why_useless(out, v.l);
            buf_put_char(out, '\n');
        } else if (demoted) {
            buf_putf(out, "list " SLICE_FMT " is demoted: it %s\n", SLICE_ARG(v.list->name),
                     guard_reason_text((enum guard_reason)v.l->reason));
        } else if (broken) {
            buf_putf(out, "list " SLICE_FMT " does not answer and is skipped\n", SLICE_ARG(v.list->name));
        }
        count += has_no_effect(&v) || demoted || broken;
        free(v.l);
    }
    memory_free(&m);
    return count;
}
