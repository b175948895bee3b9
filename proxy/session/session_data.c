/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_data.c - DATA and BDAT into the spool, and the final reply to the message, from any source.
 *
 * finish() writes each final reply to a message: for our limits, the duplicate guard, the rules (on_decision) and
 * the upstream (on_final_answer).
 *
 * Before a refusal, content is always read to its real end, so that the client stays in step (DAT-33, SIZ-04).
 * Then either one of our replies ends the message, or the relay gets it and we pass on the upstream's final reply.
 * RFC 5321 4.1.1.4, RFC 3030 (BDAT), RFC 1047.
 *
 * DATA content refused for a bare CR or LF may have no real end: a client that ends its lines with LF never sends
 * CRLF.CRLF.  We discard it until any dot alone on a line, REFUSED_SILENCE_MS of silence, the client's end of
 * file, or twice the size limit.  Then we send 550 5.6.11 and close without reading another command (DAT-26).
 *
 * BDAT: the decision to take or discard a chunk precedes its octets, which are always consumed.  A chunk of
 * unknown length closes the connection (BDT-13).
 */
#include "policy/policy.h"
#include "proxy/session/session_priv.h"
#include "smtp/header.h"
#include "state/duplicates.h"

#define PACE_OCTETS 16384 /* octets in each limits.stress.command_timeout, while room for messages is short */
#define OWN_HOPS_MAX 5    /* as many of our own Received lines mean a loop (RCV-07) */

#define REFUSED_SILENCE_MS 5000 /* ends content that is already refused (DAT-26) */

static void find_section(struct txn *t);

/* Passes the message to the judge as it was received, from the end of the header section on. */
static void tell_judge(struct txn *t, struct slice data)
{
    const struct header_section *head = &t->body.head;
    uint64_t at = spool_size(t->spool) - data.len;
    struct judge *j = session_judge(t->session);

    if (!head->ended || t->bypass || head->octets > t->session->worker->conf->limits.headers) {
        return;
    }
    if (!t->head_told) {
        t->head_told = true;
        find_section(t);
        judge_head(j, slice_take(t->section, (size_t)head->octets), t->env.smtputf8);
        t->section = SLICE_NONE; /* the spool moves its memory as it grows: found again at the end */
    }
    if (head->octets > at) {
        data = slice_skip(data, (size_t)min_u64(head->octets - at, data.len));
    }
    judge_body(j, data);
}

static bool put_content(void *arg, const void *data, size_t len)
{
    struct txn *t = arg;

    if (t->too_big || t->spool_status != SPOOL_OK) {
        return false;
    }
    if (spool_size(t->spool) + len > t->size_max) {
        t->too_big = true;
        return false;
    }
    t->spool_status = spool_put(t->spool, data, len);
    if (t->spool_status == SPOOL_OK) {
        tell_judge(t, slice_of(data, len));
    }
    return t->spool_status == SPOOL_OK;
}

/* The duplicate guard's key: client network, envelope, content as received (reference:
 * limits.duplicate_guard). */
static void hash_envelope(struct txn *t)
{
    struct addr net = addr_network(&t->env.client, 24, 64);

    t->hash = sha256_new();
    sha256_update(t->hash, net.ip, sizeof(net.ip));
    sha256_update(t->hash, t->env.sender.ptr, t->env.sender.len);
    for (size_t i = 0; i < t->env.rcpt_count; i++) {
        sha256_update(t->hash, "\n", 1);
        sha256_update(t->hash, t->env.rcpt[i]->address.ptr, t->env.rcpt[i]->address.len);
    }
    sha256_update(t->hash, "\n\n", 2);
}

/* Is DATA already refused, and read only to find its end? */
static bool drops_content(const struct txn *t)
{
    return t->content == CONTENT_DATA && body_reader_refused(&t->body);
}

/*
 * A message holds memory, and perhaps a file, until it is complete.  While there is room, slow clients are harmless.
 * When limits.memory or limits.spool is nearly used up, a client below a modest pace is disconnected.  Otherwise a few
 * hundred stalled clients would block all other mail until limits.data_deadline.
 */
uint64_t session_content_due(const struct session *s)
{
    const struct config_limits *lim = &s->worker->conf->limits;
    uint64_t due = min_u64(session_later(s->data_last, lim->data_timeout_ms),
                           session_later(s->data_since, lim->data_deadline_ms));

    if (s->worker->spool_stress) {
        due = min_u64(due, session_later(s->paced_since, lim->stress_command_timeout_ms));
    }
    if (drops_content(s->txn)) {
        due = min_u64(due, s->data_last + REFUSED_SILENCE_MS);
    }
    return due;
}

static void begin_pace(struct session *s)
{
    s->paced_since = loop_now(s->worker->loop);
    s->paced = 0;
}

static void keep_pace(struct session *s, size_t octets)
{
    s->paced += (unsigned)min_size(octets, PACE_OCTETS);
    if (s->paced >= PACE_OCTETS) {
        begin_pace(s);
    }
}

static void begin_content(struct session *s, enum body_mode mode)
{
    struct txn *t = s->txn;
    const struct config_limits *lim = &s->worker->conf->limits;
    enum config_newline policy = mode == BODY_DATA ? lim->bare_newline : lim->bare_newline_bdat;

    t->spool = spool_new(s->worker->state, s->worker->conf);
    t->size_max = min_u64(lim->message_size, t->upstream->size);
    body_reader_init(&t->body, mode, policy == NEWLINE_NORMALIZE);
    if (lim->duplicate_guard_ms != CONFIG_OFF) {
        hash_envelope(t);
    }
    s->data_since = s->data_last = loop_now(s->worker->loop);
    begin_pace(s);
}

/* ---- the end ---- */

/* Does the content contain a dot that a lenient reader takes for the end of data, with more after it?  A script that
 * ends its lines with LF ends its message that way too, but then waits for the reply. */
static bool looks_smuggled(const struct session *s)
{
    const struct body_reader *r = &s->txn->body;
    struct slice behind = stream_input(s->stream);

    while (behind.len > 0 && (behind.ptr[0] == '\r' || behind.ptr[0] == '\n')) {
        behind = slice_skip(behind, 1);
    }
    return r->n.smuggling > (r->lenient_end && behind.len == 0 ? 1 : 0);
}

/* Counts bare newlines without points if they are the only fault: honest scripts send them and are refused. */
static void count_newlines(struct session *s)
{
    const struct body_counts *n = &s->txn->body.n;

    if (s->txn->body.mode == BODY_BDAT) { /* framed by length: cannot smuggle; honest servers send it */
        return;
    }
    if (looks_smuggled(s)) {
        session_abuse(s, ABUSE_SMUGGLING);
    } else if (n->bare_lf > 0) {
        session_abuse(s, ABUSE_BARE_LF);
    } else if (n->bare_cr > 0) {
        session_abuse(s, ABUSE_BARE_CR);
    }
}

/* Does one of our checks refuse the complete message?  REPLY_OK: no. */
static enum reply_id judge_content(struct session *s)
{
    const struct config_limits *lim = &s->worker->conf->limits;
    struct txn *t = s->txn;

    if (body_reader_refused(&t->body)) { /* first: refused content may have a false end */
        return REPLY_BARE_NEWLINE;
    }
    if (t->too_big) {
        count(M_LIMIT_SIZE);
        return REPLY_TOO_BIG;
    }
    if (t->spool_status != SPOOL_OK) {
        return REPLY_NO_MEMORY;
    }
    if (t->body.n.nul > 0) {
        count(M_ABUSE_NUL);
        return REPLY_NUL_IN_MESSAGE;
    }
    if (t->body.head.octets > lim->headers) {
        count(M_LIMIT_HEADERS);
        return REPLY_HEADERS_TOO_BIG;
    }
    if (t->body.head.received > lim->hops) { /* the limit itself is allowed */
        count(M_ABUSE_LOOP);
        return REPLY_LOOP;
    }
    return REPLY_OK;
}

/* Finds the header section as one slice, plus at least one octet after it: header_rewrite must see that no empty
 * line follows.  The spool keeps it in memory unless limits.spool_memory is smaller. */
static void find_section(struct txn *t)
{
    struct slice head = spool_head(t->spool);
    struct buf *copy = &t->section_copy;
    enum spool_status status = SPOOL_OK;
    uint64_t want = min_u64(t->body.head.octets + 1, spool_size(t->spool));

    t->section = head;
    if (head.len >= want) {
        return;
    }
    while (copy->len < want && status == SPOOL_OK) {
        struct slice part = spool_read(t->spool, copy->len, want - copy->len, &status);

        if (slice_empty(part)) {
            break;
        }
        buf_put_slice(copy, part);
        status = status == SPOOL_OK && !buf_ok(copy) ? SPOOL_NO_MEMORY : status;
    }
    if (status != SPOOL_OK) {
        t->spool_status = status;
    }
    t->section = buf_slice(copy);
}

/* Most mail has too few Received fields in all, so this skips reading its section. */
static bool has_looped(const struct txn *t, struct slice hostname)
{
    return t->body.head.received >= OWN_HOPS_MAX && header_own_hops(t->section, hostname) >= OWN_HOPS_MAX;
}

static enum reply_id judge_section(struct session *s)
{
    const struct txn *t = s->txn;

    if (t->spool_status != SPOOL_OK) {
        return REPLY_NO_MEMORY;
    }
    if (has_looped(t, slice_str(s->worker->conf->server.hostname))) {
        count(M_ABUSE_LOOP);
        return REPLY_LOOP;
    }
    return REPLY_OK;
}

static void finish(struct session *s, const struct reply *r, bool ours, enum txn_outcome outcome)
{
    bool close_after = s->txn->close_after;
    bool taken = outcome == TXN_ACCEPTED || outcome == TXN_DUPLICATE;

    s->ended++;
    s->accepted += taken ? 1 : 0;
    session_log_txn(s, r, outcome, !ours);
    session_reply(s, r, ours);
    session_reset(s);
    s->idle_commands = s->asked_rcpt = 0;
    if (taken) {
        s->refused_rcpt = 0;
    }
    if (close_after && s->stream != NULL) {
        session_finish(s, REASON_POLICY);
    }
}

/* Ends the message with one of our replies or a rule's. */
static void refuse_with(struct session *s, const struct reply *r)
{
    bool for_good = reply_is(r, 5);

    count(for_good ? M_MESSAGES_REJECTED : M_MESSAGES_DEFERRED);
    finish(s, r, true, for_good ? TXN_REJECTED : TXN_DEFERRED);
}

/* Ends the message with one of our own refusals. */
static void refuse_message(struct session *s, enum reply_id id)
{
    refuse_with(s, &reply_table[id]);
    if (id == REPLY_BARE_NEWLINE && s->stream != NULL) { /* limits.bare_newline: 550 5.6.11, close */
        session_finish(s, REASON_ABUSE);
    }
}

static enum txn_outcome count_outcome(struct session *s, enum relay_outcome outcome)
{
    switch (outcome) {
    case RELAY_ACCEPTED:
        count(M_MESSAGES_ACCEPTED);
        count_n(M_MESSAGE_BYTES, spool_size(s->txn->spool));
        judge_outcome(session_judge(s), true);
        return TXN_ACCEPTED;
    case RELAY_UNKNOWN:
        count(M_MESSAGES_UNKNOWN);
        return TXN_UNKNOWN;
    case RELAY_REJECTED:
        judge_outcome(session_judge(s), false);
        count(M_MESSAGES_REJECTED);
        return TXN_REJECTED;
    case RELAY_DEFERRED:
        break;
    }
    count(M_MESSAGES_DEFERRED);
    return TXN_DEFERRED;
}

/* Remembers a 250 that its client may never read, until the client shows that it did (RFC 1047). */
static void note_unconfirmed(struct session *s)
{
    if (!s->txn->digest_set) {
        return;
    }
    if (s->unconfirmed == NULL) {
        s->unconfirmed = xmalloc(SHA256_LEN);
    }
    memcpy(s->unconfirmed, s->txn->digest, SHA256_LEN);
    s->unconfirmed_set = true;
    if (s->stream == NULL) {
        session_unconfirmed(s);
    }
}

void session_unconfirmed(struct session *s)
{
    const struct config_limits *lim = &s->worker->conf->limits;

    if (s->unconfirmed_set && lim->duplicate_guard_ms != CONFIG_OFF) {
        state_dup_remember(s->worker->state, s->unconfirmed, SLICE("Ok, already delivered"),
                           loop_now(s->worker->loop) + lim->duplicate_guard_ms);
    }
    s->unconfirmed_set = false;
}

static void on_final_answer(void *arg, const struct relay_answer *a)
{
    struct session *s = session_of(arg);
    enum txn_outcome outcome = count_outcome(s, a->outcome);

    s->waits &= ~(unsigned)WAIT_UPSTREAM;
    if (outcome == TXN_ACCEPTED) {
        note_unconfirmed(s);
        count_n(M_LATE_ACCEPTED, s->stream == NULL ? 1 : 0);
    }
    finish(s, &a->reply, !a->from_upstream, outcome);
    if (s->phase == PHASE_CLOSED) {
        return;
    }
    if (s->stream == NULL) {
        session_close(s, REASON_LOST);
        return;
    }
    session_pump(s);
}

static bool answered_before(struct session *s)
{
    struct txn *t = s->txn;
    char mem[STATE_DUP_REPLY_MAX];
    struct buf text;
    struct reply r = { 250, SLICE("2.0.0"), SLICE_NONE };

    if (t->hash == NULL) {
        return false;
    }
    sha256_final(t->hash, t->digest);
    t->hash = NULL;
    t->digest_set = true;
    buf_init_fixed(&text, mem, sizeof(mem));
    if (!state_dup_find(s->worker->state, t->digest, loop_now(s->worker->loop), &text)) {
        return false;
    }
    count(M_DUPLICATES_ANSWERED);
    r.text = buf_slice(&text);
    finish(s, &r, true, TXN_DUPLICATE);
    return true;
}

/* The relay of the transaction.  For a diverted message: a new one to the other upstream, still unused. */
static struct relay *relay_of(struct session *s)
{
    struct txn *t = s->txn;

    if (t->divert != NULL) {
        relay_free(&t->relay);
        t->upstream = t->divert;
        t->relay = relay_new(s->worker->upstreams, t->divert, &t->env);
        relay_strict(t->relay);
    }
    return t->relay;
}

static bool policy_adds(const void *arg, struct slice name)
{
    const struct policy_worker *judges = arg;

    return judges != NULL && policy_adds_field(judges, name);
}

/* Passes the message to the relay.  False: refused for lack of memory. */
static bool send_message(struct session *s)
{
    struct txn *t = s->txn;
    const struct config *conf = s->worker->conf;
    struct header_rules rules = { &conf->headers, conf->server.hostname, policy_adds, s->worker->judges };
    struct relay_message msg;
    struct buf added;
    bool whole;

    judge_message_taken(session_judge(s));
    buf_init(&added, SIZE_MAX / 2); /* its parts are limited: tags, recipients, headers.add */
    session_tags(s, &added);
    msg = (struct relay_message){
        .skip = header_rewrite(t->section, buf_slice(&added), &rules, &t->head),
        .spool = t->spool,
        .eight_bit = t->body.n.eight_bit,
        .utf8_headers = t->body.head.eight_bit,
    };
    msg.head = buf_slice(&t->head);
    whole = buf_ok(&added) && buf_ok(&t->head);
    buf_fini(&added);
    if (!whole) { /* never send a header section truncated by lack of memory */
        refuse_with(s, &reply_table[REPLY_NO_MEMORY]);
        return false;
    }
    s->waits |= WAIT_UPSTREAM;
    relay_message(relay_of(s), &msg, on_final_answer, s);
    return true;
}

/* The rules have decided about the message. */
static void on_decision(struct session *s, const struct decision *d)
{
    struct txn *t = s->txn;

    if (d->kind == DECISION_GO_ON) {
        t->divert = d->divert != NULL ? d->divert : t->divert;
        if (!send_message(s) && s->phase != PHASE_CLOSED) {
            session_pump(s);
        }
        return;
    }
    if (reply_is(&d->reply, 5)) {
        judge_outcome(session_judge(s), false);
    }
    t->close_after = t->close_after || d->kind == DECISION_DROP;
    refuse_with(s, &d->reply);
    if (s->phase != PHASE_CLOSED) {
        session_pump(s);
    }
}

/* The content is complete: judge it, then relay or refuse it. */
static void message_complete(struct session *s)
{
    struct txn *t = s->txn;
    enum reply_id id;

    t->content = CONTENT_COMPLETE;
    t->data_ms = loop_now(s->worker->loop);
    stream_set_input_max(s->stream, COMMANDS_MAX);
    count_newlines(s);
    id = judge_content(s);
    if (id == REPLY_OK) {
        find_section(t);
        id = judge_section(s);
    }
    if (id != REPLY_OK) {
        refuse_message(s, id);
    } else if (!answered_before(s)) {
        session_enter(s, PHASE_RELAY);
        if (t->bypass) {
            (void)send_message(s);
        } else {
            session_policy_message(s, on_decision);
        }
    }
}

bool session_relay_goes_on(struct session *s)
{
    return s->txn != NULL && s->txn->relay != NULL && relay_committed(s->txn->relay);
}

/* ---- DATA ---- */

enum cmd_result cmd_data(struct session *s, struct slice arg)
{
    struct txn *t = s->txn;
    bool stuffed = !slice_empty(stream_input(s->stream));

    if (stuffed) { /* content before 354: never run as commands (PIP-02) */
        session_abuse(s, ABUSE_PIPELINING);
        return session_end(s, REPLY_PIPELINED_DATA, REASON_ABUSE);
    }
    s->suspicious = 1; /* in case it is refused and content follows */
    if (!slice_empty(arg)) {
        return session_say(s, REPLY_SYNTAX);
    }
    if (t == NULL || t->env.rcpt_count == 0) {
        return session_say(s, s->phase == PHASE_HELO ? REPLY_SAY_HELLO : REPLY_NO_RECIPIENTS);
    }
    if (t->content != CONTENT_NONE) {
        return session_say(s, REPLY_OUT_OF_ORDER); /* DATA after BDAT (BDT-11) */
    }
    s->suspicious = 0;
    begin_content(s, BODY_DATA);
    t->content = CONTENT_DATA;
    session_enter(s, PHASE_DATA);
    return session_say(s, REPLY_START_DATA);
}

static bool take_data(struct session *s, struct slice in)
{
    struct txn *t = s->txn;
    size_t used = 0;
    bool ended = false;

    body_reader_feed(&t->body, in, put_content, t, &used, &ended);
    if (t->hash != NULL) {
        sha256_update(t->hash, in.ptr, used);
    }
    stream_consume(s->stream, used);
    ended = ended || (drops_content(t) && t->body.n.taken / 2 > t->size_max);
    if (ended) {
        message_complete(s);
    }
    return ended;
}

void session_content_late(struct session *s)
{
    if (drops_content(s->txn)) {
        message_complete(s);
    } else {
        session_end(s, REPLY_DATA_TIMEOUT, REASON_TIMEOUT);
    }
}

/* ---- BDAT ---- */

bool session_eat(struct session *s)
{
    size_t n = (size_t)min_u64(stream_input(s->stream).len, s->eat_left);

    stream_consume(s->stream, n);
    s->eat_left -= n;
    if (n > 0) {
        s->idle_since = loop_now(s->worker->loop);
    }
    if (s->eat_left > 0) {
        return false;
    }
    s->eating = false;
    s->suspicious = 1;
    session_say(s, s->eat_reply);
    return s->phase != PHASE_CLOSED;
}

static enum cmd_result drop_chunk(struct session *s, uint64_t size, enum reply_id id)
{
    uint64_t most = s->worker->conf->limits.message_size;

    if (most != CONFIG_OFF && size / 2 > most) {
        session_abuse(s, ABUSE_BDAT);
        return session_end(s, id, REASON_ABUSE); /* the refused content is too long to read to its end */
    }
    if (s->txn != NULL) {
        s->txn->content = CONTENT_FAILED;
    }
    s->eating = true;
    s->eat_left = size;
    s->eat_reply = id;
    session_eat(s);
    return s->phase == PHASE_CLOSED ? CMD_CLOSED : CMD_REPLIED;
}

static void chunk_done(struct session *s)
{
    struct txn *t = s->txn;
    char mem[64];
    struct buf text;
    struct reply r = { 250, SLICE("2.0.0"), SLICE_NONE };

    s->suspicious = 2; /* octets beyond a chunk's declared size are content (BDT-23) */
    if (t->bdat_last) {
        body_reader_finish(&t->body, put_content, t);
        message_complete(s);
        return;
    }
    session_enter(s, PHASE_ENVELOPE);
    if (t->too_big || t->spool_status != SPOOL_OK) {
        t->content = CONTENT_FAILED;
        session_say(s, t->too_big ? REPLY_TOO_BIG : REPLY_NO_MEMORY);
        return;
    }
    t->content = CONTENT_BETWEEN;
    buf_init_fixed(&text, mem, sizeof(mem));
    buf_put_u64(&text, t->bdat_size);
    buf_put_str(&text, " octets received");
    r.text = buf_slice(&text);
    session_reply(s, &r, true);
}

enum cmd_result cmd_bdat(struct session *s, struct slice arg)
{
    struct txn *t = s->txn;
    uint64_t size;
    bool last;

    if (!s->worker->conf->smtp.chunking) {
        return session_end(s, REPLY_NOT_IMPLEMENTED, REASON_ABUSE);
    }
    if (!smtp_parse_bdat(arg, &size, &last)) {
        session_abuse(s, ABUSE_BDAT);
        return session_end(s, REPLY_BDAT_COUNT, REASON_ABUSE);
    }
    if (t == NULL || t->env.rcpt_count == 0) {
        return drop_chunk(s, size, s->phase == PHASE_HELO ? REPLY_SAY_HELLO : REPLY_NO_RECIPIENTS);
    }
    if (t->content == CONTENT_FAILED) {
        return drop_chunk(s, size, REPLY_BDAT_REFUSED);
    }
    if (size == 0 && !last && session_idles(s)) {
        return CMD_CLOSED;
    }
    if (t->content == CONTENT_NONE) {
        begin_content(s, BODY_BDAT);
    }
    if (t->too_big || size > t->size_max - spool_size(t->spool)) {
        count(M_LIMIT_SIZE);
        return drop_chunk(s, size, REPLY_TOO_BIG);
    }
    t->content = CONTENT_CHUNK;
    t->bdat_left = t->bdat_size = size;
    t->bdat_last = last;
    s->data_last = loop_now(s->worker->loop);
    begin_pace(s);
    session_enter(s, PHASE_DATA);
    session_take_content(s);
    return s->phase == PHASE_CLOSED ? CMD_CLOSED : s->waits != 0 ? CMD_WAITING : CMD_REPLIED;
}

static bool take_chunk(struct session *s, struct slice in)
{
    struct txn *t = s->txn;
    size_t used = 0;
    bool ended = false;

    in = slice_take(in, (size_t)min_u64(in.len, t->bdat_left));
    body_reader_feed(&t->body, in, put_content, t, &used, &ended);
    if (t->hash != NULL) {
        sha256_update(t->hash, in.ptr, in.len);
    }
    stream_consume(s->stream, in.len);
    t->bdat_left -= in.len;
    if (t->bdat_left > 0) {
        return false;
    }
    chunk_done(s);
    return true;
}

bool session_take_content(struct session *s)
{
    struct slice in = stream_input(s->stream);
    bool done;

    if (slice_empty(in) && (s->txn->content == CONTENT_DATA || s->txn->bdat_left > 0)) {
        if (s->eof && drops_content(s->txn)) {
            message_complete(s);
        }
        return false;
    }
    s->data_last = loop_now(s->worker->loop);
    keep_pace(s, in.len);
    done = s->txn->content == CONTENT_DATA ? take_data(s, in) : take_chunk(s, in);
    return done && s->phase != PHASE_CLOSED;
}
