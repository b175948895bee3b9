/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain_judge.c - the session of `glacis explain`, from the banner to RCPT, and its message.
 *
 * Each command is a line like a client's.  It goes through the proxy's own reader, parser, relay control and replies
 * (smtp/line.h, smtp_parse.h, recipient.h, verdict_reply.h), and the rules run at the same points as in the proxy.  So
 * a refusal here is the proxy's refusal, at the same command and with the same text.  Upstream facts are assumed:
 * it takes SMTPUTF8 if the file lets us offer it, and its reply to RCPT is unknown.
 *
 * A recipient that relay control refuses still goes to the rules: their verdict helps to read the facts.
 */
#include <ifaddrs.h>

#include "admin/cmd/explain.h"
#include "core/utf8.h"
#include "policy/verdict_reply.h"
#include "smtp/line.h"
#include "smtp/recipient.h"

#define ARENA_MAX 65536
#define POLL_MS 5
#define SETTLE_MS 30000 /* after the verdict: for lookups that no rule waits for */
#define HELO_MAX 255    /* the limit of session_cmds.c */

const char *const explain_stage_names[] = { [EXPLAIN_BANNER] = "banner",
                                            [EXPLAIN_EHLO] = "EHLO",
                                            [EXPLAIN_MAIL] = "MAIL",
                                            [EXPLAIN_RCPT] = "RCPT",
                                            [EXPLAIN_MESSAGE] = "DATA" };

/* ---- refusals ---- */

/* Keeps the lines of a reply as the proxy writes them, without codes. */
static void keep_reply(struct explain *x, const struct reply *r)
{
    char id[ULID_LEN + 8];
    struct buf suffix, written;
    struct slice rest;

    buf_init_fixed(&suffix, id, sizeof(id));
    reply_put_suffix(&suffix, x->id);
    buf_init(&written, 1u << 18);
    reply_write(&written, r, true, false, r->code >= 400 ? buf_slice(&suffix) : SLICE_NONE);
    buf_reset(&x->reply);
    x->code = r->code;
    for (rest = buf_slice(&written); !slice_empty(rest);) {
        struct slice line = slice_cut(&rest, '\n');

        line.len -= line.len > 0 && line.ptr[line.len - 1] == '\r';
        buf_put_str(&x->reply, x->reply.len > 0 ? "\n" : "");
        buf_put_slice(&x->reply, slice_skip(line, 4));
    }
    buf_fini(&written);
}

/* Records a refusal by the protocol or by relay control, not by a rule. */
static void refuse(struct explain *x, enum explain_stage stage, enum reply_id id, const char *by)
{
    const struct reply *r = &reply_table[id];

    x->stage = stage;
    x->action = r->code >= 500 ? VERDICT_REJECT : VERDICT_DEFER;
    x->rule = by;
    x->tarpit_ms = 0;
    x->monitored = false;
    keep_reply(x, r);
}

/* ---- the rules ---- */

/* The pending verdict; its caller has set the stage. */
static void on_verdict(void *arg, const struct verdict *v)
{
    struct explain *x = arg;
    struct reply r = x->stage == EXPLAIN_BANNER ? verdict_reply_at_banner(v) : verdict_reply(v);

    x->action = v->action;
    x->rule = v->rule;
    x->code = 0;
    x->tarpit_ms = v->tarpit_ms;
    x->monitored = v->monitored;
    x->refused = verdict_refuses(v);
    if (v->code != 0) {
        keep_reply(x, &r);
    }
    loop_stop(x->loop);
}

/* For policy.reject_at: earliest.  True: the session ends here. */
static bool refused_early(struct explain *x, enum explain_stage stage)
{
    if (!judge_wants_early(x->judge)) {
        return false;
    }
    x->stage = stage;
    judge_early(x->judge, stage == EXPLAIN_BANNER ? STAGE_CONNECT : STAGE_MAIL, on_verdict, x);
    loop_run(x->loop);
    return x->refused;
}

/* Ends the loop once the lookups that no rule needs have ended, because they are printed too. */
static void on_poll(void *arg)
{
    struct explain *x = arg;

    if (judge_settled(x->judge) || loop_now(x->loop) >= x->until_ms) {
        loop_stop(x->loop);
    } else {
        timer_start(&x->poll, POLL_MS);
    }
}

static void settle(struct explain *x)
{
    x->until_ms = loop_now(x->loop) + SETTLE_MS;
    timer_init(&x->poll, x->loop, on_poll, x);
    timer_start(&x->poll, 0);
    loop_run(x->loop);
}

/* ---- commands ---- */

/*
 * Makes one client line from "VERB " and the rest; its argument is then in `line`.  Returns REPLY_OK, or the proxy's
 * reply to such a line.
 */
static enum reply_id read_command(struct buf *line, struct slice *arg)
{
    bool skipping = false;
    struct slice taken;
    size_t used;

    buf_put_str(line, "\r\n");
    switch (line_next(buf_slice(line), &skipping, &taken, &used)) {
    case LINE_READY:
        (void)smtp_verb(taken, arg);
        return REPLY_OK;
    case LINE_BARE_LF:
        return REPLY_BARE_LF;
    case LINE_BAD_OCTET:
        return REPLY_NUL;
    case LINE_TOO_LONG:
    case LINE_MORE:
        break;
    }
    return REPLY_LINE_TOO_LONG;
}

/* Puts "<a@b.example>", for an address with or without brackets. */
static void put_path(struct buf *line, const char *address)
{
    bool has = address[0] == '<';

    buf_put_str(line, has ? "" : "<");
    buf_put_str(line, address);
    buf_put_str(line, has ? "" : ">");
}

static bool say_ehlo(struct explain *x)
{
    struct buf line;
    struct slice arg, name;
    enum reply_id id;
    bool junk;

    buf_init(&line, 1u << 20);
    buf_putf(&line, "EHLO %s", x->rq->helo);
    id = read_command(&line, &arg);
    name = id == REPLY_OK ? smtp_parse_helo(arg, &junk) : SLICE_NONE;
    if (id == REPLY_OK && slice_empty(name)) {
        id = REPLY_SYNTAX;
    }
    if (id != REPLY_OK) {
        refuse(x, EXPLAIN_EHLO, id, "syntax");
    } else {
        judge_helo(x->judge, slice_take(name, HELO_MAX));
    }
    buf_fini(&line);
    return id == REPLY_OK;
}

static struct smtp_offer offer_of(const struct explain *x)
{
    return (struct smtp_offer){
        .esmtp = true, .size = true, .eightbitmime = true, .smtputf8 = x->conf->smtp.smtputf8
    };
}

static bool needs_utf8(const struct explain *x)
{
    return utf8_has_8bit(slice_str(x->rq->from)) || utf8_has_8bit(slice_str(x->rq->rcpt));
}

static bool say_mail(struct explain *x)
{
    struct smtp_offer offer = offer_of(x);
    struct buf line;
    struct slice arg;
    enum reply_id id;

    if (x->conf->tls.required && !x->rq->tls) {
        refuse(x, EXPLAIN_MAIL, REPLY_TLS_REQUIRED, "tls.mode");
        return false;
    }
    buf_init(&line, 1u << 20);
    buf_put_str(&line, "MAIL FROM:");
    put_path(&line, x->rq->from);
    buf_put_str(&line, needs_utf8(x) && offer.smtputf8 ? " SMTPUTF8" : "");
    id = read_command(&line, &arg);
    id = id == REPLY_OK ? reply_of_parse(smtp_parse_mail(arg, &offer, &x->arena, &x->env)) : id;
    buf_fini(&line);
    if (id != REPLY_OK) {
        refuse(x, EXPLAIN_MAIL, id, "syntax");
        return false;
    }
    judge_mail(x->judge, &(struct judge_sender){ x->env.sender, x->env.sender_local, x->env.sender_domain,
                                                 x->env.sender_null });
    return !refused_early(x, EXPLAIN_MAIL);
}

/* REPLY_OK: run the rules; *routed is the result of relay control. */
static enum reply_id read_rcpt(struct explain *x, enum reply_id *routed)
{
    struct smtp_offer offer = offer_of(x);
    struct buf line;
    struct slice arg;
    enum reply_id id;

    buf_init(&line, 1u << 20);
    buf_put_str(&line, "RCPT TO:");
    put_path(&line, x->rq->rcpt);
    id = read_command(&line, &arg);
    if (id == REPLY_OK) {
        id = reply_of_parse(smtp_parse_rcpt(arg, &offer, x->env.smtputf8, &x->arena, &x->rcpt));
    }
    buf_fini(&line);
    *routed = REPLY_RCPT_OK;
    if (id == REPLY_OK && x->rq->path != NULL) { /* without a file the domains are unknown */
        *routed = recipient_admit(x->conf, &x->arena, &x->rcpt);
    }
    return id;
}

static void say_rcpt(struct explain *x)
{
    enum reply_id routed, id = read_rcpt(x, &routed);
    const struct recipient *rcpt = &x->rcpt;
    struct judge_recipient r = { rcpt->address, rcpt->local, rcpt->domain, rcpt->address, 0 };

    if (id != REPLY_OK) {
        refuse(x, EXPLAIN_RCPT, id, "syntax");
        return;
    }
    x->stage = EXPLAIN_RCPT;
    judge_violations(x->judge, 0);
    judge_rcpt(x->judge, &r, on_verdict, x);
    loop_run(x->loop);
    judge_recipient_taken(x->judge);
    if (x->rq->message != NULL && !x->refused) {
        explain_message_say(x, on_verdict);
    }
    if (routed != REPLY_RCPT_OK) {
        refuse(x, EXPLAIN_RCPT, routed, "relay control");
    }
    judge_headers(x->judge, &x->tags);
    judge_added_headers(x->judge, &x->tags);
}

/* ---- the connection ---- */

static bool listens_anywhere(const struct config *c)
{
    static const uint8_t any[16];

    for (size_t i = 0; i < c->server.listen_count; i++) {
        if (memcmp(c->server.listen[i].address.ip, any, sizeof(any)) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_on_this_machine(const struct addr *ip)
{
    struct ifaddrs *all = NULL;
    bool found = false;

    if (getifaddrs(&all) != 0) {
        return false;
    }
    for (const struct ifaddrs *i = all; i != NULL && !found; i = i->ifa_next) {
        struct addr here = { .family = ADDR_NONE };

        here = i->ifa_addr != NULL ? addr_from_sockaddr(i->ifa_addr) : here;
        found = here.family != ADDR_NONE && addr_same_ip(&here, ip);
    }
    freeifaddrs(all);
    return found;
}

/*
 * The address that the client connected to.  It matters only if the client's HELO names it: if the file has us listen
 * on all addresses, assume the address of this machine that HELO names.
 */
static struct addr local_address(const struct explain *x)
{
    struct addr ip, none = { .family = ADDR_NONE };
    struct slice text = slice_trim(slice_str(x->rq->helo));

    if (text.len < 2 || text.ptr[0] != '[' || text.ptr[text.len - 1] != ']' || !listens_anywhere(x->conf)) {
        return none;
    }
    text = slice_skip(slice_take(text, text.len - 1), 1);
    if (slice_starts_nocase(text, SLICE("IPv6:"))) {
        text = slice_skip(text, 5);
    }
    return addr_parse_ip(text, &ip) && is_on_this_machine(&ip) ? ip : none;
}

void explain_judge(struct explain *x)
{
    const struct explain_request *rq = x->rq;
    struct judge_client client = {
        .ip = rq->client,
        .local = local_address(x),
        .is_private = addr_is_private(&rq->client),
        .rdns = rq->rdns != NULL ? slice_str(rq->rdns) : SLICE_NONE,
        .session_id = x->id,
    };

    client.exempt = client.is_private && x->conf->server.private_clients == PRIVATE_EXEMPT;
    arena_init(&x->arena, ARENA_MAX);
    x->judge = judge_new(x->pw, &client);
    if (!refused_early(x, EXPLAIN_BANNER)) {
        if (rq->tls) {
            judge_tls(x->judge, SLICE("TLS1.3"), SLICE("TLS_AES_128_GCM_SHA256"), SLICE(""));
        }
        if (say_ehlo(x) && say_mail(x)) {
            say_rcpt(x);
        }
    }
    settle(x);
}
