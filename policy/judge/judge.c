/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c - the interface of the judge to the session: takes its input, and forgets it in time (policy.h).
 *
 * Sets facts given by the session at once; the engine looks up all others.  Each stage first forgets everything it
 * replaces and cancels pending checks, so that no result of an earlier EHLO or message can
 * arrive late.
 */
#include "core/idna.h"
#include "policy/judge/engine_priv.h"
#include "policy/rules/address.h"
#include "policy/rules/text.h"
#include "smtp/author.h"
#include "smtp/list_id.h"

#define TARPIT_TRANSACTION_MS 30000

void judge_paced(void *arg)
{
    struct judge *j = arg;

    j->paced = true;
}

struct judge *judge_make(struct policy_worker *pw, const struct judge_client *client)
{
    struct judge *j = slab_alloc(&pw->judge_slab);
    struct slice id = slice_str(client->session_id);

    j->pw = pw;
    j->ip = client->ip;
    j->local = client->local;
    j->exempt = client->exempt;
    j->lists = (struct fact_value *)(void *)(j + 1);
    j->states = (char *)(j->lists + pw->policy->reputation.count);
    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        arena_init_counted(&j->arena[i], JUDGE_ARENA_MAX);
    }
    buf_init(&j->text, REPLY_TEXT_MAX);
    buf_init(&j->txn.rules, JUDGE_TESTS_MAX);
    buf_init(&j->txn.monitored, JUDGE_TESTS_MAX);
    j->txn.tags_end = &j->txn.tags;
    engine_init(j);
    fact_set_ip(&j->facts, FACT_ID_CLIENT_IP, &j->ip);
    fact_set_flag(&j->facts, FACT_ID_PROTOCOL_PREGREET, false);
    fact_set_text(&j->facts, FACT_ID_TLS_VERSION, SLICE_NONE);
    fact_set_text(&j->facts, FACT_ID_TLS_CIPHER, SLICE_NONE);
    fact_set_text(&j->facts, FACT_ID_TLS_CLIENT_SUBJECT, SLICE_NONE);
    fact_set_flag(&j->facts, FACT_ID_CLIENT_PRIVATE, client->is_private);
    fact_set_text(&j->facts, FACT_ID_SESSION_ID, facts_copy(j, SCOPE_SESSION, id));
    j->rdns_given = client->rdns.ptr != NULL;
    return j;
}

struct judge *judge_new(struct policy_worker *pw, const struct judge_client *client)
{
    struct judge *j = judge_make(pw, client);

    sources_tell(j, FACT_ID_CLIENT_IP);
    if (j->rdns_given) {
        source_rdns_given(j, client->rdns);
    }
    engine_ask_early(j, STAGE_CONNECT);
    return j;
}

/* Ends the scope and all shorter ones, and cancels their checks. */
static void forget(struct judge *j, enum fact_scope scope)
{
    sources_drop(j, scope);
    if (scope <= SCOPE_HELO) {
        j->helo_raw = SLICE_NONE;
    }
    if (scope <= SCOPE_TXN) {
        j->sender = j->author = j->list_id = j->section = SLICE_NONE;
        j->sender_null = j->head_told = j->has_section = false;
    }
    facts_forget(&j->facts, scope);
    j->overruled++;
    for (size_t s = scope; s < SCOPE_COUNT; s++) {
        arena_fini(&j->arena[s]);
    }
}

static void close_txn(struct judge *j)
{
    struct judge_txn *t = &j->txn;
    struct buf rules = t->rules, monitored = t->monitored;

    buf_reset(&rules);
    buf_reset(&monitored);
    *t = (struct judge_txn){ .rules = rules, .monitored = monitored };
    t->tags_end = &t->tags;
}

void judge_free(struct judge **judge)
{
    struct judge *j = *judge;

    if (j == NULL) {
        return;
    }
    *judge = NULL;
    engine_cancel(j);
    forget(j, SCOPE_SESSION);
    buf_fini(&j->text);
    buf_fini(&j->txn.rules);
    buf_fini(&j->txn.monitored);
    for (size_t b = 0; b < BLOCK_COUNT; b++) {
        free(j->trace[b]);
    }
    slab_release(&j->pw->judge_slab, j);
}

void judge_pregreet(struct judge *j)
{
    fact_set_flag(&j->facts, FACT_ID_PROTOCOL_PREGREET, true);
}

void judge_violations(struct judge *j, unsigned violations)
{
    fact_set_number(&j->facts, FACT_ID_PROTOCOL_VIOLATIONS, (int64_t)violations * 1000);
    j->violations = violations;
}

void judge_tls(struct judge *j, struct slice version, struct slice cipher, struct slice subject)
{
    struct facts *f = &j->facts;

    engine_cancel(j);
    forget(j, SCOPE_HELO); /* values sent in clear are void (RFC 3207 4.2) */
    close_txn(j);
    fact_set_text(f, FACT_ID_TLS_VERSION, facts_copy(j, SCOPE_SESSION, version));
    fact_set_text(f, FACT_ID_TLS_CIPHER, facts_copy(j, SCOPE_SESSION, cipher));
    fact_set_text(f, FACT_ID_TLS_CLIENT_SUBJECT, facts_copy(j, SCOPE_SESSION, slice_take(subject, 1000)));
}

/* The form for lookups and comparisons: lower-case A-labels, without the final dot that some clients send. */
static struct slice take_helo(struct judge *j, struct slice said)
{
    char mem[DNS_NAME_MAX + 1];
    struct buf ascii;

    if (said.len > 1 && said.ptr[said.len - 1] == '.') {
        said = slice_take(said, said.len - 1);
    }
    buf_init_fixed(&ascii, mem, sizeof(mem));
    j->helo_raw = facts_copy(j, SCOPE_HELO, slice_take(said, 1000));
    return facts_lower(j, SCOPE_HELO, idna_to_ascii(said, &ascii) ? buf_slice(&ascii) : j->helo_raw);
}

void judge_helo(struct judge *j, struct slice said)
{
    static const char *const kinds[] = { "fqdn", "bare", "literal", "invalid" }; /* enum helo_kind */
    struct facts *f = &j->facts;
    struct addr literal;
    struct slice name;

    engine_cancel(j);
    forget(j, SCOPE_HELO);
    close_txn(j);
    name = take_helo(j, said);
    fact_set_text(f, FACT_ID_HELO_NAME, name);
    facts_set_word(j, FACT_ID_HELO_KIND, kinds[helo_kind(name, &literal)]);
    sources_tell(j, FACT_ID_HELO_NAME);
    engine_ask_early(j, STAGE_HELO);
}

/* "local@domain" with a canonical local part; *local and *domain are parts of it. */
static struct slice canonical(struct judge *j, enum fact_scope scope, struct slice *local,
                              struct slice domain)
{
    struct slice whole = SLICE_NONE;
    struct buf b;

    buf_init(&b, 2048);
    address_put_local(&b, *local);
    local->len = b.len;
    buf_put_str(&b, slice_empty(domain) ? "" : "@");
    buf_put_slice(&b, domain);
    if (buf_ok(&b)) {
        whole = facts_copy(j, scope, buf_slice(&b));
    }
    *local = slice_take(whole, local->len);
    buf_fini(&b);
    return whole;
}

void judge_mail(struct judge *j, const struct judge_sender *s)
{
    struct slice local = s->local, domain;
    struct facts *f = &j->facts;

    judge_reset(j);
    j->txn.open = true;
    j->txn.tarpit_left_ms = TARPIT_TRANSACTION_MS;
    j->sender = s->null ? SLICE_NONE : canonical(j, SCOPE_TXN, &local, s->domain);
    j->sender_null = s->null;
    domain = s->null ? SLICE_NONE : facts_lower(j, SCOPE_TXN, s->domain);
    fact_set_text(f, FACT_ID_SENDER_ADDRESS, j->sender);
    fact_set_text(f, FACT_ID_SENDER_LOCAL, s->null ? SLICE_NONE : local);
    fact_set_text(f, FACT_ID_SENDER_DOMAIN, domain);
    fact_set_flag(f, FACT_ID_SENDER_NULL, s->null);
    sources_tell(j, FACT_ID_SENDER_DOMAIN);
    engine_ask_early(j, STAGE_MAIL);
}

void judge_reset(struct judge *j)
{
    engine_cancel(j);
    forget(j, SCOPE_TXN);
    close_txn(j);
}

static void set_recipient(struct judge *j, const struct judge_recipient *r)
{
    struct slice local = r->local, address = canonical(j, SCOPE_RECIPIENT, &local, r->domain);
    struct facts *f = &j->facts;

    fact_set_text(f, FACT_ID_RECIPIENT_ADDRESS, address);
    fact_set_text(f, FACT_ID_RECIPIENT_LOCAL, local);
    fact_set_text(f, FACT_ID_RECIPIENT_DOMAIN, facts_lower(j, SCOPE_RECIPIENT, r->domain));
    fact_set_text(f, FACT_ID_RECIPIENT_ORIGINAL, facts_copy(j, SCOPE_RECIPIENT, r->original));
    fact_set_text(f, FACT_ID_RECIPIENT_WILDCARD, SLICE_NONE);
    fact_set_number(f, FACT_ID_RECIPIENT_COUNT, (int64_t)r->count * 1000);
}

static void begin_question(struct judge *j, judge_cb cb, void *arg)
{
    engine_cancel(j);
    fact_set_number(&j->facts, FACT_ID_PROTOCOL_VIOLATIONS, (int64_t)j->violations * 1000);
    j->question.cb = cb;
    j->question.arg = arg;
}

void judge_rcpt(struct judge *j, const struct judge_recipient *r, judge_cb cb, void *arg)
{
    engine_cancel(j);
    forget(j, SCOPE_RECIPIENT);
    begin_question(j, cb, arg);
    set_recipient(j, r);
    engine_start(j, BLOCK_ENVELOPE, STAGE_RCPT);
}

bool judge_wants_early(const struct judge *j)
{
    return j->pw->policy->rules.reject_at == REJECT_AT_EARLIEST;
}

void judge_early(struct judge *j, enum fact_stage stage, judge_cb cb, void *arg)
{
    begin_question(j, cb, arg);
    engine_start(j, BLOCK_ENVELOPE, stage < STAGE_RCPT ? stage : STAGE_MAIL);
}

bool policy_author_domain(struct slice head, struct buf *domain)
{
    struct buf local;
    bool found;

    buf_init(&local, AUTHOR_PART_MAX);
    found = author_only(head, &local, domain);
    buf_fini(&local);
    return found;
}

bool judge_author_domain(const struct judge *j, struct slice *domain)
{
    *domain = source_text(j, FACT_ID_MESSAGE_FROM_DOMAIN);
    return judge_state(j, FACT_ID_MESSAGE_FROM_DOMAIN) == FACT_KNOWN;
}

/* ---- the message, streamed ---- */

/* Reads the author that DKIM prefers and DMARC protects, and the list that the message names. */
static void read_names(struct judge *j, struct slice section)
{
    char mem[IDNA_NAME_MAX + 1];
    struct buf name;

    source_need(j, FACT_ID_MESSAGE_FROM_COUNT); /* sets j->author too */
    if (!j->pw->used[FACT_ID_MESSAGE_VIA_LIST]) {
        return;
    }
    buf_init_fixed(&name, mem, sizeof(mem));
    j->list_id = list_id_read(section, &name) ? facts_copy(j, SCOPE_TXN, buf_slice(&name)) : SLICE_NONE;
}

void judge_head(struct judge *j, struct slice section, bool utf8)
{
    if (j->head_told || !source_authenticates(j)) {
        return;
    }
    j->head_told = true;
    j->head = section;
    read_names(j, section);
    j->head_utf8 = utf8;
    source_need(j, FACT_ID_DKIM);
    source_need(j, FACT_ID_DMARC);
    if (j->pw->used[FACT_ID_MESSAGE_VIA_LIST]) {
        source_need(j, FACT_ID_MESSAGE_VIA_LIST);
    }
    j->head = SLICE_NONE;
    sources_derive(j);
}

void judge_body(struct judge *j, struct slice chunk)
{
    source_dkim_body(j, chunk);
}

/* No evaluation of the message block: the answer is ready, but comes from the loop like any other. */
static void on_bypass(void *arg)
{
    struct judge *j = arg;
    judge_cb cb = j->question.cb;
    void *cb_arg = j->question.arg;

    j->verdict = (struct verdict){ .action = VERDICT_BYPASS, .rule = j->txn.rule };
    engine_cancel(j);
    if (cb != NULL) {
        cb(cb_arg, &j->verdict);
    }
}

void judge_message(struct judge *j, const struct judge_content *c, judge_cb cb, void *arg)
{
    engine_cancel(j);
    forget(j, SCOPE_RECIPIENT);
    begin_question(j, cb, arg);
    if (j->txn.bypass) {
        loop_defer(j->pw->loop, &j->bypassed);
        return;
    }
    fact_set_number(&j->facts, FACT_ID_MESSAGE_SIZE, (int64_t)min_u64(c->size, INT64_MAX / 1000) * 1000);
    j->section = c->head;
    j->has_section = true;
    source_message_texts(j);
    judge_head(j, c->head, c->utf8); /* does nothing if it was called before */
    source_dkim_end(j);
    engine_start(j, BLOCK_MESSAGE, STAGE_MESSAGE);
}

/* ---- from the recipients to the transaction ---- */

void judge_add_name(struct buf *names, const char *name)
{
    struct slice rest = buf_slice(names), want = slice_str(name);

    while (!slice_empty(rest)) {
        if (slice_eq(slice_cut(&rest, ','), want)) {
            return;
        }
    }
    if (names->len + want.len + 1 < JUDGE_TESTS_MAX) {
        buf_put_str(names, names->len > 0 ? "," : "");
        buf_put_slice(names, want);
    }
}

static bool has_tag(const struct judge_txn *t, const char *name, struct slice value)
{
    for (const struct judge_tag *tag = t->tags; tag != NULL; tag = tag->next) {
        if (strcmp(tag->name, name) == 0 && slice_eq(tag->value, value)) {
            return true;
        }
    }
    return false;
}

static void add_tag(struct judge *j, const struct rule_tag *rt)
{
    struct judge_txn *t = &j->txn;
    struct text_facts texts = engine_texts(j);
    struct judge_tag *tag;
    struct buf value;

    buf_init(&value, TAG_VALUE_MAX);
    text_tag(&texts, rt->text, &value);
    tag = t->tag_count < JUDGE_TAGS_MAX && !has_tag(t, rt->name, buf_slice(&value))
              ? arena_alloc(&j->arena[SCOPE_TXN], sizeof(*tag))
              : NULL;
    if (tag != NULL) {
        tag->name = rt->name;
        tag->value = facts_copy(j, SCOPE_TXN, buf_slice(&value));
        *t->tags_end = tag;
        t->tags_end = &tag->next;
        t->tag_count++;
    }
    buf_fini(&value);
}

/* Takes tags and names of the matching rules of an evaluated block. */
static void take_rules(struct judge *j, enum rule_block b)
{
    const struct block *block = &j->pw->policy->rules.block[b];

    for (size_t i = 0; j->trace[b] != NULL && i < block->count; i++) {
        const struct rule *rule = &block->rule[i];

        if (j->trace[b][i].outcome == RULE_MONITORED) {
            judge_add_name(&j->txn.monitored, rule->name);
        } else if (j->trace[b][i].outcome == RULE_MATCHED) {
            if (rule->final == ACTION_NONE) { /* the final one is in the verdict */
                judge_add_name(&j->txn.rules, rule->name);
            }
            for (const struct rule_tag *tag = rule->tags; tag != NULL; tag = tag->next) {
                add_tag(j, tag);
            }
        }
    }
}

/* Does a rule that matched in the last evaluation have such a tag? */
static bool names_recipient(const struct judge *j)
{
    const struct block *block = &j->pw->policy->rules.block[BLOCK_ENVELOPE];

    for (size_t i = 0; j->trace[BLOCK_ENVELOPE] != NULL && i < block->count; i++) {
        if (j->trace[BLOCK_ENVELOPE][i].outcome == RULE_MATCHED && block->rule[i].names_recipient) {
            return true;
        }
    }
    return false;
}

void judge_recipient_taken(struct judge *j)
{
    struct judge_txn *t = &j->txn;

    if (!t->any) {
        t->any = true;
        t->action = j->verdict.action;
        t->rule = j->verdict.rule;
        t->bypass = j->verdict.action == VERDICT_BYPASS && !j->verdict.monitored;
        t->score = j->result.score;
    }
    t->score = j->result.score > t->score ? j->result.score : t->score;
    t->single = t->single || names_recipient(j);
    take_rules(j, BLOCK_ENVELOPE);
}

void judge_message_taken(struct judge *j)
{
    if (j->trace[BLOCK_MESSAGE] != NULL && !j->txn.bypass) {
        j->txn.score = j->result.score;
        take_rules(j, BLOCK_MESSAGE);
        if (j->verdict.action > VERDICT_BYPASS) { /* diverted; or refused if the mode were enforce */
            j->txn.action = j->verdict.action;
            j->txn.rule = j->verdict.rule;
        }
    }
}

bool judge_single_recipient(const struct judge *j)
{
    return j->txn.single || names_recipient(j);
}

bool judge_bypasses(const struct judge *j)
{
    return j->verdict.action == VERDICT_BYPASS && !j->verdict.monitored;
}

struct slice judge_rdns(const struct judge *j)
{
    const struct fact_value *v = &j->facts.v[FACT_ID_CLIENT_RDNS];

    return v->state == FACT_KNOWN ? fact_text(v) : SLICE_NONE;
}

void judge_bypass_init(struct judge *j)
{
    deferred_init(&j->bypassed, on_bypass, j);
}
