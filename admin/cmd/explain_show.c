/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain_show.c - prints the result of `glacis explain`: facts with sources, rules, verdict, tags; as text or JSON.
 */
#include "admin/cmd/explain.h"

#define OUTPUT_MAX ((size_t)4 << 20)
#define TEXT_MAX 65536

/* ---- facts with their sources ---- */

static bool is_known(const struct fact_value *v)
{
    return v->state == FACT_KNOWN || v->state == FACT_SOFT;
}

static void put_time(struct buf *out, uint64_t us)
{
    buf_putf(out, "%" PRIu64 ".%" PRIu64 " ms", us / 1000, us % 1000 / 100);
}

static void put_facts_text(const struct explain *x, struct buf *out)
{
    const struct facts *f = judge_facts(x->judge);
    struct judge_list_info list;

    buf_put_str(out, "facts\n");
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        char from_mem[100], value_mem[2000];
        struct buf from, value;
        uint64_t us;

        buf_init_fixed(&from, from_mem, sizeof(from_mem));
        buf_init_fixed(&value, value_mem, sizeof(value_mem));
        if (!judge_fact_source(x->judge, (enum fact_id)i, &from, &us)) {
            continue;
        }
        fact_put(&value, (enum fact_id)i, &f->v[i]);
        buf_putf(out, "  %-24s ", fact_table[i].name);
        if (!is_known(&f->v[i])) {
            buf_put_str(out, f->v[i].state == FACT_PENDING ? "(no answer yet)" : "unknown");
        } else if (value.len == 0) {
            buf_put_str(out, "(empty)");
        } else {
            buf_put_quoted(out, buf_slice(&value), 400);
        }
        buf_putf(out, "   <- %s", from_mem);
        if (us > 0) {
            buf_put_str(out, ", ");
            put_time(out, us);
        }
        buf_put_char(out, '\n');
    }
    for (size_t i = 0; judge_list(x->judge, i, &list); i++) {
        buf_putf(out, "  reputation." SLICE_FMT " %s   <- " SLICE_FMT ", ", SLICE_ARG(list.name),
                 !list.known   ? "unknown"
                 : list.listed ? "true"
                               : "false",
                 SLICE_ARG(list.zone));
        if (list.asked) {
            buf_putf(out, "%s, ", list.from);
            put_time(out, list.us);
        } else {
            buf_put_str(out, "not asked");
        }
        buf_put_char(out, '\n');
    }
}

static void put_facts_json(const struct explain *x, struct buf *out)
{
    const struct facts *f = judge_facts(x->judge);
    struct judge_list_info list;

    buf_put_str(out, "\"facts\":{");
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        buf_putf(out, "%s\"%s\":", i > 0 ? "," : "", fact_table[i].name);
        fact_put_json(out, (enum fact_id)i, &f->v[i]);
    }
    for (size_t i = 0; judge_list(x->judge, i, &list); i++) {
        buf_putf(out, ",\"reputation." SLICE_FMT "\":%s", SLICE_ARG(list.name),
                 !list.known   ? "null"
                 : list.listed ? "true"
                               : "false");
    }
    buf_put_char(out, '}');
}

static void put_source(struct buf *out, const char *name, const char *from, uint64_t us)
{
    buf_putf(out, "%s\"%s\":{\"from\":", out->ptr[out->len - 1] == '{' ? "" : ",", name);
    buf_put_json(out, slice_str(from), 200);
    buf_putf(out, ",\"us\":%" PRIu64 "}", us);
}

static void put_sources_json(const struct explain *x, struct buf *out)
{
    struct judge_list_info list;

    buf_put_str(out, "\"sources\":{");
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        char mem[100];
        struct buf from;
        uint64_t us;

        buf_init_fixed(&from, mem, sizeof(mem));
        if (judge_fact_source(x->judge, (enum fact_id)i, &from, &us)) {
            put_source(out, fact_table[i].name, mem, us);
        }
    }
    for (size_t i = 0; judge_list(x->judge, i, &list); i++) {
        char mem[100];
        struct buf name;

        buf_init_fixed(&name, mem, sizeof(mem));
        buf_putf(&name, "reputation." SLICE_FMT, SLICE_ARG(list.name));
        if (list.asked) {
            put_source(out, mem, list.from, list.us);
        }
    }
    buf_put_char(out, '}');
}

/* ---- rules ---- */

static const char *const outcomes[] = {
    [RULE_NOT_ASKED] = "not-asked", [RULE_MATCHED] = "matched",     [RULE_NOT] = "not",
    [RULE_UNKNOWN] = "unknown",     [RULE_MONITORED] = "monitored",
};

static void put_rules(const struct explain *x, struct buf *out)
{
    buf_put_str(out, x->rq->json ? "\"rules\":[" : "\nrules\n");
    for (size_t i = 0; i < judge_rule_count(x->judge); i++) {
        const char *name = judge_rule_name(x->judge, i);
        const char *outcome = outcomes[judge_rule_outcome(x->judge, i)];
        struct buf why;

        buf_init(&why, TEXT_MAX);
        judge_rule_why(x->judge, i, &why);
        if (x->rq->json) {
            buf_putf(out, "%s{\"name\":\"%s\",\"outcome\":\"%s\",\"why\":", i > 0 ? "," : "", name, outcome);
            buf_put_json(out, buf_slice(&why), 4000);
            buf_put_char(out, '}');
        } else {
            buf_putf(out, "  %-24s %-9s  ", name, outcome);
            buf_put_slice(out,
                          judge_rule_outcome(x->judge, i) == RULE_NOT_ASKED ? SLICE("") : buf_slice(&why));
            buf_put_char(out, '\n');
        }
        buf_fini(&why);
    }
    buf_put_str(out, x->rq->json ? "]" : "");
}

/* ---- verdict and tags ---- */

static void put_verdict_json(const struct explain *x, struct buf *out)
{
    buf_putf(out, "\"verdict\":{\"action\":\"%s\",\"rule\":\"%s\",\"code\":%u,\"text\":",
             verdict_action_text(x->action), x->rule, x->code != 0 ? x->code : 250);
    buf_put_json(out, buf_slice(&x->reply), 8000);
    buf_putf(out, ",\"at\":\"%s\",\"mode\":\"%s\",\"tarpit_ms\":%" PRIu64 "}", explain_stage_names[x->stage],
             x->monitored ? "monitor" : "enforce", x->tarpit_ms);
}

/* Puts which memory the facts come from. */
static void put_memory(const struct explain *x, struct buf *out)
{
    const struct explain_memory *m = &x->memory;

    if (x->rq->json) {
        buf_putf(out, "\"memory\":{\"asked\":%s,\"why\":", m->asked ? "true" : "false");
        buf_put_json(out, slice_str(m->why), sizeof(m->why));
        buf_put_char(out, '}');
    } else if (m->asked) {
        buf_put_str(out, "\nmemory\n  of the running glacis\n");
    } else {
        buf_putf(out, "\nmemory\n  not asked (%s): every client is new\n", m->why);
    }
}

static void put_verdict_text(const struct explain *x, struct buf *out)
{
    struct slice rest = buf_slice(&x->reply);

    buf_putf(out, "\nverdict\n  %s by %s", verdict_action_text(x->action), x->rule);
    if (x->stage != EXPLAIN_RCPT && x->stage != EXPLAIN_MESSAGE) {
        buf_putf(out, ", at %s%s", x->stage == EXPLAIN_BANNER ? "the " : "", explain_stage_names[x->stage]);
    }
    buf_put_str(out, x->monitored ? " (mode: monitor: still delivered)\n" : "\n");
    if (x->tarpit_ms > 0) {
        buf_putf(out, "  held back for %" PRIu64 " ms\n", x->tarpit_ms);
    }
    if (x->code == 0) {
        buf_put_str(out, "  the upstream's own answer\n");
    }
    while (!slice_empty(rest)) {
        struct slice line = slice_cut(&rest, '\n');

        buf_putf(out, "  %u%c" SLICE_FMT "\n", x->code, slice_empty(rest) ? ' ' : '-', SLICE_ARG(line));
    }
}

/* The next field, unfolded; false at the end. */
static bool next_tag(struct slice *rest, struct buf *name, struct buf *value)
{
    struct slice line;

    buf_reset(name);
    buf_reset(value);
    if (slice_empty(*rest)) {
        return false;
    }
    line = slice_cut(rest, '\n');
    buf_put_slice(name, slice_cut(&line, ':'));
    while (true) {
        line.len -= line.len > 0 && line.ptr[line.len - 1] == '\r';
        buf_put_slice(value, line);
        if (slice_empty(*rest) || (rest->ptr[0] != ' ' && rest->ptr[0] != '\t')) {
            return true;
        }
        line = slice_cut(rest, '\n');
    }
}

static void put_tags(const struct explain *x, struct buf *out)
{
    struct slice rest = buf_slice(&x->tags);
    struct buf name, value;
    bool first = true;

    buf_init(&name, TEXT_MAX);
    buf_init(&value, TEXT_MAX);
    buf_put_str(out, x->rq->json ? "\"tags\":{" : "\ntags, if it is delivered\n");
    while (next_tag(&rest, &name, &value)) {
        struct slice text = slice_trim(buf_slice(&value));

        if (x->rq->json) {
            buf_put_str(out, first ? "" : ",");
            buf_put_json(out, buf_slice(&name), 200);
            buf_put_char(out, ':');
            buf_put_json(out, text, 8000);
        } else {
            buf_putf(out, "  %s: " SLICE_FMT "\n", name.ptr, SLICE_ARG(text));
        }
        first = false;
    }
    buf_put_str(out, x->rq->json ? "}" : "");
    buf_fini(&name);
    buf_fini(&value);
}

void explain_print(const struct explain *x)
{
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    if (x->rq->json) {
        buf_put_char(&out, '{');
        put_facts_json(x, &out);
        buf_put_char(&out, ',');
        put_sources_json(x, &out);
        buf_put_char(&out, ',');
        put_memory(x, &out);
        buf_put_char(&out, ',');
        explain_message_print(x, &out);
        put_rules(x, &out);
        buf_put_char(&out, ',');
        put_verdict_json(x, &out);
        buf_put_char(&out, ',');
        put_tags(x, &out);
        buf_putf(&out, ",\"session\":\"%s\"}\n", x->id);
    } else {
        put_facts_text(x, &out);
        put_memory(x, &out);
        explain_message_print(x, &out);
        put_rules(x, &out);
        put_verdict_text(x, &out);
        put_tags(x, &out);
    }
    (void)fwrite(out.ptr, 1, out.len, stdout);
    buf_fini(&out);
}
