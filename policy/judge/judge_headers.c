/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_headers.c - the output of a judgement: header fields, log keys, explain.
 *
 * Marks       the names in X-Glacis-Tests are an interface: marks[] below, then LIST_ and RULE_ with the names of
 *             the file.  A comma follows each, even the last, so a search for "LIST_zen," finds no other list.
 *             Filters may strip the blank before the first mark, so no search may need it.  Every built-in mark has
 *             a `_` in it, which no list or rule can have.
 * Monitor     monitored lists and rules, and all of a file with mode: monitor, appear only in X-Glacis-Monitor: no
 *             search of X-Glacis-Tests finds them.
 * Never       an explanation of a domain, or a text of a list.
 * RFC         8601, 7208 9.1 (authres.c)
 */
#include "policy/judge/authres.h"
#include "policy/judge/engine_priv.h"
#include "policy/rules/text.h"
#include "smtp/field.h"

#define LEVEL_MAX 20
#define VALUE_MAX 8192

static bool is_forged_literal(const struct judge *j)
{
    const struct fact_value *kind = &j->facts.v[FACT_ID_HELO_KIND],
                            *matches = &j->facts.v[FACT_ID_HELO_MATCHES];

    return kind->state == FACT_KNOWN && kind->word == HELO_LITERAL && matches->state == FACT_KNOWN &&
           !matches->flag;
}

/* Was text added after the octets that a signature covers (l=)? */
static bool has_short_signature(const struct judge *j)
{
    bool verified;
    const struct dkim *d = source_dkim_results(j, &verified);

    for (size_t i = 0; d != NULL && i < dkim_count(d); i++) {
        if (dkim_verdict_at(d, i)->reason == DKIM_BODY_LONGER) {
            return true;
        }
    }
    return false;
}

/* Is the author in one of `domains` although neither SPF nor DKIM passed for that domain? */
static bool is_forged_author(const struct judge *j)
{
    const struct fact_value *ours = &j->facts.v[FACT_ID_MESSAGE_FROM_OURS],
                            *aligned = &j->facts.v[FACT_ID_MESSAGE_FROM_ALIGNED];

    return ours->state == FACT_KNOWN && ours->flag && aligned->state == FACT_KNOWN && !aligned->flag;
}

/* Word: prefix and word in upper case.  Flag: the prefix, if it is true.  Row with `holds`: the prefix. */
static const struct {
    enum fact_id fact;
    const char *name;
    bool (*holds)(const struct judge *j);
} marks[] = {
    { FACT_ID_SPF, "SPF_", NULL },
    { FACT_ID_SPF_WEAK, "SPF_WEAK", NULL },
    { FACT_ID_SPF_HELO, "SPF_HELO_", NULL },
    { FACT_ID_CLIENT_IPREV, "IPREV_", NULL },
    { FACT_ID_CLIENT_DYNAMIC, "CLIENT_DYNAMIC", NULL },
    { FACT_ID_CLIENT_PRIVATE, "CLIENT_PRIVATE", NULL },
    { FACT_ID_CLIENT_KNOWN_GOOD, "CLIENT_KNOWN_GOOD", NULL },
    { FACT_ID_PROTOCOL_PREGREET, "PROTOCOL_PREGREET", NULL },
    { FACT_ID_HELO_KIND, "HELO_", NULL },
    { FACT_ID_HELO_RESOLVES, "HELO_RESOLVES_", NULL },
    { FACT_ID_HELO_MATCHES, "HELO_MATCHES", NULL },
    { FACT_ID_HELO_MATCHES, "HELO_FORGED", is_forged_literal },
    { FACT_ID_HELO_IMPERSONATES, "HELO_IMPERSONATES", NULL },
    { FACT_ID_SENDER_RESOLVES, "SENDER_RESOLVES_", NULL },
    { FACT_ID_DKIM, "DKIM_", NULL },
    { FACT_ID_DKIM_DOMAINS, "DKIM_L_TAG", has_short_signature },
    { FACT_ID_DMARC, "DMARC_", NULL },
    { FACT_ID_MESSAGE_FROM_OURS, "FROM_OURS_FORGED", is_forged_author },
    { FACT_ID_REPUTATION_LISTED, "REPUTATION_LISTED", NULL },
    { FACT_ID_REPUTATION_INCOMPLETE, "REPUTATION_INCOMPLETE", NULL },
    { FACT_ID_ZERO_DAY_FRESH_DOMAIN, "ZERO_DAY_FRESH_DOMAIN", NULL },
    { FACT_ID_ZERO_DAY_FRESH_CLIENT, "ZERO_DAY_FRESH_CLIENT", NULL },
    { FACT_ID_ZERO_DAY_BURST, "ZERO_DAY_BURST", NULL },
    { FACT_ID_ZERO_DAY_LISTED, "ZERO_DAY_LISTED", NULL },
};

static const char *const actions[] = {
    [VERDICT_ACCEPT] = "accept", [VERDICT_BYPASS] = "bypass", [VERDICT_REJECT] = "reject",
    [VERDICT_DEFER] = "defer",   [VERDICT_DROP] = "drop",     [VERDICT_DIVERT] = "divert",
};

const char *verdict_action_text(enum verdict_action action)
{
    return actions[action];
}

/* ---- X-Glacis-Tests, X-Glacis-Monitor ---- */

static void put_mark(struct buf *out, const char *prefix, struct slice name)
{
    buf_put_str(out, out->len > 0 ? " " : "");
    buf_put_str(out, prefix);
    buf_put_slice(out, name);
    buf_put_char(out, ',');
}

/* Puts each name of "a,b". */
static void put_names(struct buf *out, const char *prefix, struct slice names)
{
    while (!slice_empty(names)) {
        put_mark(out, prefix, slice_cut(&names, ','));
    }
}

/* Spelling of a word in a mark: "fqdn" is FQDN, "null_mx" NULL_MX. */
static void put_upper(struct buf *out, struct slice word)
{
    for (size_t i = 0; i < word.len; i++) {
        buf_put_char(out, ascii_is_alpha(word.ptr[i]) ? (char)(word.ptr[i] - ('a' - 'A')) : word.ptr[i]);
    }
}

/* DMARC_FAIL_REJECT: this fail also names the word of another fact. */
static bool is_split(size_t row, struct slice word)
{
    return marks[row].fact == FACT_ID_DMARC && slice_eq(word, SLICE("fail"));
}

/* Puts the mark of a word, or all its marks if another fact's word is added. */
static void put_mark_name(struct buf *out, size_t row, struct slice word)
{
    struct slice more = is_split(row, word) ? slice_str(fact_table[FACT_ID_DMARC_POLICY].words) : SLICE_NONE;

    do {
        buf_put_str(out, marks[row].name);
        put_upper(out, word);
        if (is_split(row, word)) {
            buf_put_char(out, '_');
            put_upper(out, slice_token(&more));
        }
        buf_put_char(out, '\n');
    } while (!slice_empty(more));
}

void judge_put_mark_names(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        struct slice words = marks[i].holds != NULL ? SLICE_NONE : slice_str(fact_table[marks[i].fact].words);

        if (slice_empty(words)) {
            buf_put_str(out, marks[i].name);
            buf_put_char(out, '\n');
        }
        while (!slice_empty(words)) {
            put_mark_name(out, i, slice_token(&words));
        }
    }
}

static void put_fact_marks(const struct judge *j, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        const struct fact_value *v = &j->facts.v[marks[i].fact];
        bool flag = marks[i].holds != NULL || fact_table[marks[i].fact].type == FACT_FLAG;
        char upper[32];
        struct buf word;

        if (v->state != FACT_KNOWN && v->state != FACT_SOFT) {
            continue;
        }
        buf_init_fixed(&word, upper, sizeof(upper));
        if (!flag) {
            put_upper(&word, fact_word(marks[i].fact, v->word));
        }
        if (!flag && is_split(i, fact_word(marks[i].fact, v->word))) {
            buf_put_char(&word, '_');
            put_upper(&word, fact_word(FACT_ID_DMARC_POLICY, j->facts.v[FACT_ID_DMARC_POLICY].word));
        }
        if (marks[i].holds != NULL ? marks[i].holds(j) : !flag || v->flag) {
            put_mark(out, marks[i].name, buf_slice(&word));
        }
    }
}

/* Lists with a hit so far, including answers too late for the rules. */
static void put_list_marks(const struct judge *j, bool monitored, struct buf *out)
{
    char mem[VALUE_MAX + 1];
    struct buf names;

    if (j->run != NULL) {
        buf_init_fixed(&names, mem, sizeof(mem));
        reputation_put_lists(j->run, monitored, &names);
        put_names(out, "LIST_", buf_slice(&names));
    }
}

static void put_mark_fields(const struct judge *j, struct buf *out)
{
    bool watching = j->pw->policy->conf->mode == MODE_MONITOR;
    char tests_mem[VALUE_MAX + 1], monitor_mem[VALUE_MAX + 1];
    struct buf tests, monitor, *acting = watching ? &monitor : &tests;

    buf_init_fixed(&tests, tests_mem, sizeof(tests_mem));
    buf_init_fixed(&monitor, monitor_mem, sizeof(monitor_mem));
    put_fact_marks(j, &tests);
    put_list_marks(j, false, acting);
    put_list_marks(j, true, &monitor);
    put_names(acting, "RULE_", buf_slice(&j->txn.rules));
    put_names(&monitor, "RULE_", buf_slice(&j->txn.monitored));
    if (tests.len > 0) {
        field_put(out, SLICE("X-Glacis-Tests"), buf_slice(&tests), false);
    }
    if (monitor.len > 0) {
        field_put(out, SLICE("X-Glacis-Monitor"), buf_slice(&monitor), false);
    }
}

/* ---- the fields ---- */

/* "2.0", "0.5", "-1.25": at least one digit after the point. */
static void put_score(struct buf *out, int64_t score)
{
    uint64_t size = score < 0 ? 0 - (uint64_t)score : (uint64_t)score;
    unsigned rest = (unsigned)(size % 1000);
    unsigned digits = 3;

    while (digits > 1 && rest % 10 == 0) {
        rest /= 10;
        digits--;
    }
    buf_put_str(out, score < 0 ? "-" : "");
    buf_put_u64(out, size / 1000);
    buf_put_char(out, '.');
    buf_put_digits(out, rest, digits);
}

static void put_verdict_fields(const struct judge *j, struct buf *out)
{
    const struct judge_txn *t = &j->txn;
    bool monitor = j->pw->policy->conf->mode == MODE_MONITOR;
    char mem[VALUE_MAX + 1];
    struct buf value;

    buf_init_fixed(&value, mem, sizeof(mem));
    buf_put_str(&value, actions[t->action]);
    buf_put_str(&value, "; rule=");
    buf_put_str(&value, t->rule != NULL ? t->rule : "default");
    buf_put_str(&value, monitor ? "; mode=monitor" : "; mode=enforce");
    field_put(out, SLICE("X-Glacis-Verdict"), buf_slice(&value), false);
    buf_reset(&value);
    put_score(&value, t->score);
    field_put(out, SLICE("X-Glacis-Score"), buf_slice(&value), false);
    if (t->score >= 1000) {
        buf_reset(&value);
        for (int64_t i = 1000; i <= t->score && value.len < LEVEL_MAX; i += 1000) {
            buf_put_char(&value, '*');
        }
        field_put(out, SLICE("X-Glacis-Level"), buf_slice(&value), false);
    }
    put_mark_fields(j, out);
}

/* Fields of rules.  Without `all` only those not named X-Glacis-*: the administrator chose their names. */
static void put_tags(const struct judge *j, bool all, struct buf *out)
{
    for (const struct judge_tag *tag = j->txn.tags; tag != NULL; tag = tag->next) {
        struct slice name = slice_str(tag->name);

        if (all || !slice_starts_nocase(name, SLICE("X-Glacis-"))) {
            field_put(out, name, tag->value, false);
        }
    }
}

/* The SPF verdict of the sender.  A check that exceeded the budget has none, and is a temperror. */
static const struct spf_verdict *spf_of(const struct judge *j)
{
    static const struct spf_verdict late[SPF_IDENTITY_COUNT] = {
        [SPF_MAILFROM] = { .result = SPF_TEMPERROR,
                           .identity = SPF_MAILFROM,
                           .problem = "no answer in time" },
        [SPF_HELO] = { .result = SPF_TEMPERROR, .identity = SPF_HELO, .problem = "no answer in time" },
    };
    const struct fact_value *v = &j->facts.v[FACT_ID_SPF];
    const struct spf_verdict *verdict = source_spf_verdict(j, SPF_MAILFROM);

    if (verdict != NULL || v->state != FACT_KNOWN || v->word != fact_temperror(FACT_ID_SPF)) {
        return verdict;
    }
    return &late[slice_empty(j->sender) ? SPF_HELO : SPF_MAILFROM];
}

/* Only results that some rule uses, not those looked up for other reasons. */
static struct authres results_of(const struct judge *j)
{
    const struct config *c = j->pw->policy->conf;
    const struct fact_value *iprev = &j->facts.v[FACT_ID_CLIENT_IPREV];
    struct authres a = {
        .authserv_id =
            slice_str(c->headers.authserv_id[0] != '\0' ? c->headers.authserv_id : c->server.hostname),
        .client = j->ip,
        .sender = j->sender,
        .helo = j->helo_raw,
        .spf = spf_of(j),
        .spf_helo = source_spf_verdict(j, SPF_HELO),
        .rdns = judge_rdns(j),
    };

    a.client.port = 0;
    a.dkim = source_dkim_results(j, &a.verified);
    a.dmarc = source_dmarc_outcome(j);
    a.author = j->author;
    if (iprev->state == FACT_KNOWN && !(j->exempt && !j->rdns_given)) {
        a.iprev = fact_word(FACT_ID_CLIENT_IPREV, iprev->word);
    }
    return a;
}

void judge_headers(const struct judge *j, struct buf *out)
{
    const struct config_headers *h = &j->pw->policy->conf->headers;
    struct authres results = results_of(j);

    if (h->authentication_results) { /* directly below Received (RFC 8601 4) */
        authres_put(out, &results);
    }
    if (h->received_spf) {
        authres_put_received_spf(out, &results);
    }
    if (h->verdict) {
        put_verdict_fields(j, out);
    }
    put_tags(j, h->verdict, out);
}

void judge_added_headers(const struct judge *j, struct buf *out)
{
    const struct config_headers *h = &j->pw->policy->conf->headers;
    struct text_facts texts = engine_texts(j);
    struct buf value;

    buf_init(&value, TAG_VALUE_MAX);
    for (size_t i = 0; i < h->add_count; i++) {
        buf_reset(&value);
        text_tag(&texts, slice_str(h->add[i].value), &value);
        field_put(out, slice_str(h->add[i].name), buf_slice(&value), false);
    }
    buf_fini(&value);
}

/* ---- the log ---- */

static void log_word(const struct judge *j, struct log_line *l, const char *key, enum fact_id id)
{
    const struct fact_value *v = &j->facts.v[id];

    if (v->state == FACT_KNOWN) {
        log_str(l, key, fact_word(id, v->word));
    }
}

static void log_items(struct log_line *l, struct slice names)
{
    while (!slice_empty(names)) {
        log_item(l, slice_cut(&names, ','));
    }
}

static void log_names(struct log_line *l, const char *key, struct slice names)
{
    if (!slice_empty(names)) {
        log_list_begin(l, key);
        log_items(l, names);
        log_list_end(l);
    }
}

/* Rules that were only recorded: `taken` from the accepted recipients, and those of the last evaluation if it was of
 * this block. */
static void log_monitored(const struct judge *j, struct log_line *l, struct slice taken, enum rule_block b)
{
    const struct block *block = &j->pw->policy->rules.block[b];
    char mem[JUDGE_TESTS_MAX];
    struct buf names;

    buf_init_fixed(&names, mem, sizeof(mem));
    buf_put_slice(&names, taken);
    for (size_t i = 0; j->question.block == b && j->trace[b] != NULL && i < block->count; i++) {
        if (j->trace[b][i].outcome == RULE_MONITORED) {
            judge_add_name(&names, block->rule[i].name);
        }
    }
    log_names(l, "monitored", buf_slice(&names));
}

static void log_verdict(struct log_line *l, enum verdict_action action, const char *rule, int64_t score)
{
    char mem[40];
    struct buf text;

    if (rule != NULL) {
        buf_init_fixed(&text, mem, sizeof(mem));
        put_score(&text, score);
        log_text(l, "verdict", actions[action]);
        log_text(l, "rule", rule);
        log_str(l, "score", buf_slice(&text));
    }
}

void judge_log_facts(const struct judge *j, struct log_line *l)
{
    char mem[VALUE_MAX + 1];
    struct buf names;

    log_word(j, l, "spf", FACT_ID_SPF);
    log_word(j, l, "iprev", FACT_ID_CLIENT_IPREV);
    if (j->run == NULL) {
        return;
    }
    buf_init_fixed(&names, mem, sizeof(mem));
    reputation_put_lists(j->run, false, &names);
    log_names(l, "lists", buf_slice(&names));
    buf_reset(&names);
    reputation_put_lists(j->run, true, &names);
    log_names(l, "lists_monitored", buf_slice(&names));
    buf_reset(&names);
    reputation_put_answers(j->run, &names);
    log_names(l, "list_answers", buf_slice(&names));
}

void judge_log(const struct judge *j, struct log_line *l)
{
    log_verdict(l, j->verdict.action, j->verdict.rule, j->result.score);
    judge_log_facts(j, l);
    log_monitored(j, l, SLICE_NONE, j->question.block);
}

void judge_log_txn(const struct judge *j, struct log_line *l)
{
    const struct judge_txn *t = &j->txn;
    bool asked = j->question.block == BLOCK_MESSAGE;

    if (asked && j->verdict.action > VERDICT_BYPASS) {
        log_verdict(l, j->verdict.action, j->verdict.rule, j->result.score);
    } else { /* the rule that accepted its recipients */
        log_verdict(l, t->action, t->rule, asked ? j->result.score : t->score);
    }
    judge_log_facts(j, l);
    log_word(j, l, "dkim", FACT_ID_DKIM);
    log_names(l, "dkim_domains", source_text(j, FACT_ID_DKIM_DOMAINS));
    log_word(j, l, "dmarc", FACT_ID_DMARC);
    log_word(j, l, "dmarc_policy", FACT_ID_DMARC_POLICY);
    log_monitored(j, l, buf_slice(&t->monitored), BLOCK_MESSAGE);
}

/* ---- explain ---- */

bool judge_settled(const struct judge *j)
{
    return !sources_busy(j, false);
}

/* Numbers both blocks in a row: the envelope's rules first. */
static const struct rule *rule_at(const struct judge *j, size_t i, enum rule_block *b)
{
    const struct block *blocks = j->pw->policy->rules.block;

    *b = i < blocks[BLOCK_ENVELOPE].count ? BLOCK_ENVELOPE : BLOCK_MESSAGE;
    return &blocks[*b].rule[*b == BLOCK_ENVELOPE ? i : i - blocks[BLOCK_ENVELOPE].count];
}

size_t judge_rule_count(const struct judge *j)
{
    const struct block *blocks = j->pw->policy->rules.block;

    return blocks[BLOCK_ENVELOPE].count + blocks[BLOCK_MESSAGE].count;
}

const char *judge_rule_name(const struct judge *j, size_t i)
{
    enum rule_block b;

    return rule_at(j, i, &b)->name;
}

enum rule_outcome judge_rule_outcome(const struct judge *j, size_t i)
{
    enum rule_block b;
    const struct rule *rule = rule_at(j, i, &b);

    return j->trace[b] != NULL ? (enum rule_outcome)j->trace[b][rule->index].outcome : RULE_NOT_ASKED;
}

void judge_rule_why(const struct judge *j, size_t i, struct buf *out)
{
    enum rule_block b;
    const struct rule *rule = rule_at(j, i, &b);
    struct eval_input in = engine_input(j, b == BLOCK_MESSAGE ? STAGE_MESSAGE : STAGE_RCPT);

    if (j->trace[b] == NULL) {
        buf_put_str(out, "not asked");
    } else {
        rule_trace_why(&j->pw->policy->rules, &j->trace[b][rule->index], &in, out);
    }
}

const struct facts *judge_facts(const struct judge *j)
{
    return &j->facts;
}

bool judge_fact_source(const struct judge *j, enum fact_id fact, struct buf *from, uint64_t *us)
{
    enum source_id id = source_of(j->pw, fact);
    const struct source *s = source_table[id];
    bool remembered = id != SOURCE_NONE && s->remembered;

    *us = 0;
    if (j->facts.v[fact].state == FACT_IDLE) {
        return false;
    }
    if (id != SOURCE_NONE && s->credit != SOURCE_NONE) {
        id = s->credit;
    }
    if (id != SOURCE_NONE && source_table[id]->origin_of != NULL) {
        return source_table[id]->origin_of(j, from, us);
    }
    if (remembered && j->pw->origin != NULL) {
        buf_put_str(from, j->exempt ? "nothing is remembered of private clients" : j->pw->origin);
    } else if (j->origin[id].asked) {
        origin_put(&j->origin[id], from);
        *us = j->origin[id].us;
    } else {
        buf_put_str(from, "given");
    }
    return true;
}

bool judge_list(const struct judge *j, size_t i, struct judge_list_info *out)
{
    const struct reputation *rep = &j->pw->policy->reputation;

    if (i >= rep->count) {
        return false;
    }
    *out = (struct judge_list_info){
        .name = rep->list[i].name,
        .zone = rep->list[i].shown,
        .known = j->lists[i].state == FACT_KNOWN,
        .listed = j->lists[i].flag,
    };
    if (j->run != NULL) {
        struct buf from;

        buf_init_fixed(&from, out->from, sizeof(out->from));
        out->asked = reputation_list_source(j->run, i, &from, &out->us);
    }
    return true;
}
