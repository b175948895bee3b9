/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_log.c - the records of a session: connect, refused (before RCPT), rcpt (refused ones), txn, close;
 * at the level debug also each command and reply.
 *
 * The keys and their order are part of the interface (glacis-metrics(7)); `txn` explains one message completely.
 * Addresses obey log.addresses: full, the domain alone (empty without a domain), or a keyed hash, always the same for
 * one address (state.hash_key).  Unless it is full, words with an address in a reply's text are masked.
 */
#include "policy/policy.h"
#include "proxy/session/session_priv.h"
#include "smtp/field.h"

#define RCPTS_LOGGED 20 /* of one message; the count is always logged */
#define HASH_DIGITS 16
#define REPLY_TEXT_LOGGED 200 /* octets */

/* Formats an address as log.addresses demands. */
static struct slice shown(const struct session *s, struct slice address, struct buf *b)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[SHA256_LEN];
    struct slice key = slice_str(s->worker->conf->state.hash_key);
    size_t at = slice_rfind(address, '@');

    switch (s->worker->conf->log.addresses) {
    case LOG_ADDRESSES_FULL:
        return address;
    case LOG_ADDRESSES_DOMAIN:
        return slice_skip(address, at);
    case LOG_ADDRESSES_HASH:
        break;
    }
    if (slice_empty(address)) {
        return address;
    }
    for (size_t i = 0; i < address.len && i < 512; i++) {
        buf_put_char(b, ascii_lower(address.ptr[i]));
    }
    hmac_sha256(key, buf_slice(b), hash);
    buf_reset(b);
    for (size_t i = 0; i < HASH_DIGITS / 2; i++) {
        buf_put_char(b, digits[hash[i] >> 4]);
        buf_put_char(b, digits[hash[i] & 15]);
    }
    return buf_slice(b);
}

static void put_address(const struct session *s, struct log_line *l, const char *key, struct slice address)
{
    char mem[520];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    log_str(l, key, shown(s, address, &b));
}

/* Many replies quote their address.  If addresses are hidden, such a word is replaced. */
static void put_reply_text(const struct session *s, struct log_line *l, struct slice text)
{
    char mem[REPLY_TEXT_LOGGED + 1];
    struct buf b;

    if (s->worker->conf->log.addresses == LOG_ADDRESSES_FULL) {
        log_str(l, "text", slice_take(text, REPLY_TEXT_LOGGED));
        return;
    }
    buf_init_fixed(&b, mem, sizeof(mem));
    for (struct slice word = slice_token(&text); !slice_empty(word); word = slice_token(&text)) {
        buf_put_str(&b, b.len > 0 ? " " : "");
        buf_put_slice(&b, slice_find(word, '@') == word.len ? word : SLICE("(address)"));
    }
    log_str(l, "text", buf_slice(&b));
}

static void put_reply(const struct session *s, struct log_line *l, const struct reply *r)
{
    log_num(l, "code", r->code);
    log_str(l, "enhanced", r->enhanced);
    put_reply_text(s, l, r->text);
}

/* The peer that named the client: a balancer or an XCLIENT peer. */
static void put_via(const struct session *s, struct log_line *l)
{
    if (s->via.family != ADDR_NONE) {
        log_ip(l, "via", &s->via);
    }
}

/* The configuration generation that judged it. */
static void put_generation(const struct session *s, struct log_line *l)
{
    log_num(l, "generation", s->worker->conf->generation);
    log_text(l, "mode", s->worker->conf->mode == MODE_MONITOR ? "monitor" : "enforce");
}

/* The client, its verified name ("" if it has none or the lookup has not finished), its HELO. */
static void put_client(struct session *s, struct log_line *l)
{
    log_ip(l, "client", &s->peer);
    put_via(s, l);
    log_str(l, "rdns", judge_rdns(session_judge(s)));
    log_str(l, "helo", slice_str(s->helo));
}

/* Removes blanks and folds at both ends. */
static struct slice unfolded(struct slice value)
{
    while (value.len > 0 && (unsigned char)value.ptr[0] <= ' ') {
        value = slice_skip(value, 1);
    }
    while (value.len > 0 && (unsigned char)value.ptr[value.len - 1] <= ' ') {
        value.len--;
    }
    return value;
}

/* The only Message-ID of the section; empty if there is none, or several. */
static struct slice find_message_id(struct slice head)
{
    struct header_field f;
    struct slice id = header_only(head, SLICE("Message-ID"), &f) ? unfolded(f.value) : SLICE_NONE;

    return slice_find(id, '\n') == id.len ? id : SLICE_NONE;
}

/* Author domain and Message-ID; left out if the header section is missing or ambiguous. */
static void put_identity(struct session *s, struct log_line *l)
{
    bool hides = s->worker->conf->log.addresses == LOG_ADDRESSES_HASH;
    struct slice head = s->txn->section, id = find_message_id(head);
    char mem[520], hash_mem[520];
    struct buf domain, hash;
    struct slice from;

    buf_init_fixed(&domain, mem, sizeof(mem));
    if (!judge_author_domain(session_judge(s), &from) && policy_author_domain(head, &domain)) {
        from = buf_slice(&domain);
    }
    if (!slice_empty(from)) {
        buf_init_fixed(&hash, hash_mem, sizeof(hash_mem));
        log_str(l, "from_domain", hides ? shown(s, from, &hash) : from);
    }
    if (!slice_empty(id)) {
        buf_init_fixed(&hash, hash_mem, sizeof(hash_mem));
        log_str(l, "message_id", hides ? shown(s, id, &hash) : id);
    }
}

void session_log_connect(struct session *s)
{
    struct log_line l;

    if (!log_begin(&l, LOG_LEVEL_INFO, "connect")) {
        return;
    }
    log_text(&l, "session", s->id);
    log_ip(&l, "client", &s->peer);
    log_num(&l, "port", s->peer.port);
    put_via(s, &l);
    log_str(&l, "listener", s->listener->text);
    if (s->exempt) {
        log_bool(&l, "private", true);
    }
    log_end(&l);
}

void session_log_rcpt(struct session *s, const struct recipient *rcpt, struct slice said,
                      const struct reply *r, const char *by)
{
    struct log_line l;

    if (!log_begin(&l, LOG_LEVEL_INFO, "rcpt")) {
        return;
    }
    log_text(&l, "session", s->id);
    put_generation(s, &l);
    put_client(s, &l);
    put_address(s, &l, "from", s->txn->env.sender);
    put_address(s, &l, "to", rcpt != NULL && !slice_empty(rcpt->address) ? rcpt->address : said);
    put_reply(s, &l, r);
    log_text(&l, "by", by);
    if (rcpt != NULL && rcpt->judged) {
        judge_log(session_judge(s), &l);
    } else {
        judge_log_facts(session_judge(s), &l);
    }
    log_end(&l);
}

void session_log_refused(struct session *s, const struct reply *r)
{
    struct log_line l;

    if (!log_begin(&l, LOG_LEVEL_INFO, "refused")) {
        return;
    }
    log_text(&l, "session", s->id);
    put_generation(s, &l);
    put_client(s, &l);
    if (s->txn != NULL) {
        put_address(s, &l, "from", s->txn->env.sender);
    }
    put_reply(s, &l, r);
    log_text(&l, "by", "glacis");
    judge_log(session_judge(s), &l);
    log_end(&l);
}

static void put_recipients(const struct session *s, struct log_line *l)
{
    const struct envelope *env = &s->txn->env;
    char mem[520];
    struct buf b;

    log_list_begin(l, "to");
    for (size_t i = 0; i < env->rcpt_count && i < RCPTS_LOGGED; i++) {
        buf_init_fixed(&b, mem, sizeof(mem));
        log_item(l, shown(s, env->rcpt[i]->address, &b));
    }
    log_list_end(l);
    log_num(l, "recipients", (int64_t)env->rcpt_count);
    log_num(l, "refused", s->txn->refused);
}

static void put_server(const struct txn *t, struct log_line *l)
{
    struct addr address = t->relay != NULL ? relay_address(t->relay) : (struct addr){ .family = ADDR_NONE };

    log_text(l, "upstream", t->upstream != NULL ? t->upstream->name : "");
    log_str(l, "server", t->relay != NULL ? relay_server(t->relay) : SLICE_NONE);
    if (address.family != ADDR_NONE) {
        log_ip(l, "server_address", &address);
    }
    log_num(l, "attempts", t->relay != NULL ? relay_attempts(t->relay) : 0);
    if (t->relay != NULL && relay_tls(t->relay)[0] != '\0') {
        log_text(l, "upstream_tls", relay_tls(t->relay));
    }
}

static const char *const outcome_name[TXN_OUTCOME_COUNT] = {
    [TXN_ACCEPTED] = "accepted", [TXN_REJECTED] = "rejected",   [TXN_DEFERRED] = "deferred",
    [TXN_UNKNOWN] = "unknown",   [TXN_DUPLICATE] = "duplicate", [TXN_ABORTED] = "aborted",
};

void session_log_txn(struct session *s, const struct reply *r, enum txn_outcome outcome, bool from_upstream)
{
    const struct txn *t = s->txn;
    uint64_t now = loop_now(s->worker->loop);
    bool taken = outcome == TXN_ACCEPTED || outcome == TXN_DUPLICATE;
    struct log_line l;

    /* for an unknown outcome: an operator may have to look for the message at the server */
    if (!log_begin(&l, outcome == TXN_UNKNOWN ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "txn")) {
        return;
    }
    log_class_of(&l, taken ? LOG_CLASS_ACCEPTED : LOG_CLASS_NORMAL);
    log_text(&l, "session", s->id);
    log_num(&l, "message", t->number);
    put_generation(s, &l);
    put_client(s, &l);
    put_address(s, &l, "from", t->env.sender);
    put_recipients(s, &l);
    put_identity(s, &l);
    log_num(&l, "size", t->spool != NULL ? (int64_t)spool_size(t->spool) : 0);
    log_text(&l, "outcome", outcome_name[outcome]);
    if (r != NULL) {
        put_reply(s, &l, r);
        log_text(&l, "by", from_upstream ? "upstream" : "glacis");
    }
    put_server(t, &l);
    judge_log_txn(session_judge(s), &l);
    log_bool(&l, "tls", s->tls);
    if (s->tls) {
        log_text(&l, "tls_version", s->tls_version);
        log_text(&l, "tls_cipher", s->tls_cipher);
    }
    log_num(&l, "ms", (int64_t)(now - t->started));
    log_num(&l, "relay_ms", t->data_ms != 0 ? (int64_t)(now - t->data_ms) : 0);
    if (s->stream == NULL) {
        log_bool(&l, "client_gone", true);
    }
    log_end(&l);
}

static const char *const phase_name[PHASE_COUNT] = {
    [PHASE_BANNER] = "banner",     [PHASE_HELO] = "helo", [PHASE_TLS] = "tls",     [PHASE_READY] = "ready",
    [PHASE_ENVELOPE] = "envelope", [PHASE_DATA] = "data", [PHASE_RELAY] = "relay", [PHASE_CLOSED] = "closed",
};

/* At trace, adds the argument, unless it holds a secret or addresses are hidden. */
void session_log_command(struct session *s, struct slice verb, struct slice arg, bool secret)
{
    struct log_line l;

    if (!log_begin(&l, LOG_LEVEL_DEBUG, "command")) {
        return;
    }
    log_text(&l, "session", s->id);
    log_text(&l, "phase", phase_name[s->phase]);
    log_str(&l, "verb", verb);
    if (!secret && log_shows(LOG_LEVEL_TRACE) && s->worker->conf->log.addresses == LOG_ADDRESSES_FULL) {
        log_str(&l, "argument", arg);
    }
    log_end(&l);
}

void session_log_reply(struct session *s, const struct reply *r)
{
    struct log_line l;

    if (!log_begin(&l, LOG_LEVEL_DEBUG, "reply")) {
        return;
    }
    log_text(&l, "session", s->id);
    log_text(&l, "phase", phase_name[s->phase]);
    log_num(&l, "code", r->code);
    log_str(&l, "enhanced", r->enhanced);
    if (log_shows(LOG_LEVEL_TRACE)) {
        put_reply_text(s, &l, r->text);
    }
    log_end(&l);
}

static const char *const reason_name[REASON_COUNT] = {
    [REASON_QUIT] = "quit",     [REASON_LOST] = "lost",     [REASON_TIMEOUT] = "timeout",
    [REASON_ABUSE] = "abuse",   [REASON_ERRORS] = "errors", [REASON_LIMIT] = "limit",
    [REASON_POLICY] = "policy", [REASON_TLS] = "tls",       [REASON_SHUTDOWN] = "shutdown",
};

void session_log_close(struct session *s, enum close_reason reason)
{
    struct log_line l;

    if (!log_begin(&l, LOG_LEVEL_INFO, "close")) {
        return;
    }
    log_text(&l, "session", s->id);
    log_ip(&l, "client", &s->peer);
    log_text(&l, "reason", reason_name[reason]);
    log_num(&l, "messages", s->ended);
    log_num(&l, "accepted", s->accepted);
    log_num(&l, "errors", s->errors);
    log_num(&l, "violations", s->violations);
    log_num(&l, "ms", (int64_t)(loop_now(s->worker->loop) - s->started));
    log_end(&l);
}
