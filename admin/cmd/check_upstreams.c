/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_upstreams.c - glacis check --online: do the upstream servers meet the proxy's needs?
 *
 * Runs the commands of a session once at each address of each server: banner, EHLO, STARTTLS as `tls` says and EHLO
 * again, MAIL, and RCPT for an address that does not exist, in a domain that is routed there.  Sends no mail.  It looks
 * up a name with the resolver of the file, A and AAAA, like the running proxy.  If TLS fails and is not required, the
 * test continues in clear, on a new connection.
 *
 * The loop runs until the result has arrived or is impossible: the command line may block.
 *
 * Limits  One address after another, at most ADDRESSES_MAX of a name; PATIENCE_MS for each step and VISIT_MS for all
 *         steps after the lookup, which has its own deadlines.  A reply longer than REPLY_MAX is invalid.
 */
#include "admin/cmd/check_upstreams.h"

#include <errno.h>
#include <stdio.h>

#include "core/crypto.h"
#include "core/stream.h"
#include "smtp/proxy_put.h"
#include "tls/tls.h"

#define PATIENCE_MS 10000u
#define VISIT_MS 30000u
#define REPLY_MAX 16384
#define SAID_MAX 300
#define ADDRESSES_MAX 16
#define EXIM_MESSAGES 10  /* the default of smtp_accept_queue_per_connection */
#define POSTFIX_CLIENT 50 /* the default of smtpd_client_connection_count_limit */

enum finding { FOUND_OK = 0, FOUND_WARN, FOUND_BROKEN };

struct visit {
    const struct config *conf;
    const struct config_upstream *u;
    const struct config_upstream_server *server;
    struct addr address; /* the address under test, with port */
    bool alone;          /* the server has no other address */
    bool offers_identity;
    struct loop *loop;
    struct stream *stream;
    struct timer patience;
    uint64_t until_ms;         /* deadline for all steps */
    struct dns_answer *answer; /* of the last lookup */
    bool ready;                /* connected; the handshake is done */
    bool over;                 /* the connection has ended */
    int err;                   /* its errno, or 0 */
    struct buf reply;          /* to the last command, all its lines */
    struct buf said;           /* the sentence to print */
    enum finding found;
};

/* ---- waiting ---- */

static void end_wait(struct visit *v, bool over, int err)
{
    if (over && !v->over) {
        v->over = true;
        v->err = err;
    }
    loop_stop(v->loop);
}

static void on_input(void *arg)
{
    struct visit *v = arg;
    struct slice in = stream_input(v->stream);

    buf_put_slice(&v->reply, in);
    stream_consume(v->stream, in.len);
    end_wait(v, !buf_ok(&v->reply), 0);
}

static void on_eof(void *arg)
{
    end_wait(arg, true, 0);
}

static void on_error(void *arg, int err)
{
    end_wait(arg, true, err);
}

static void on_open(void *arg)
{
    struct visit *v = arg;

    v->ready = true;
    loop_stop(v->loop);
}

static void on_late(void *arg)
{
    end_wait(arg, true, ETIMEDOUT);
}

static const struct stream_events events = {
    .on_input = on_input, .on_eof = on_eof, .on_error = on_error, .on_open = on_open
};

static bool is_ready(const struct visit *v)
{
    return v->ready;
}

/* Has the last line of a reply arrived: "250 ..." and not "250-..."? */
static bool is_answered(const struct visit *v)
{
    struct slice reply = buf_slice(&v->reply);

    while (slice_find(reply, '\n') < reply.len) {
        struct slice line = slice_cut(&reply, '\n');

        if (line.len < 4 || line.ptr[3] != '-') {
            return true;
        }
    }
    return false;
}

/* Runs one step; true if it is done. */
static bool wait_until(struct visit *v, bool (*done)(const struct visit *v))
{
    timer_start_at(&v->patience, min_u64(loop_now(v->loop) + PATIENCE_MS, v->until_ms));
    while (!v->over && !done(v)) {
        loop_run(v->loop);
    }
    timer_stop(&v->patience);
    return done(v);
}

/* ---- the wire ---- */

static void hang_up(struct visit *v)
{
    stream_close(&v->stream);
    v->ready = v->over = false;
    v->err = 0;
    buf_reset(&v->reply);
}

static bool open_connection(struct visit *v)
{
    v->stream = stream_connect(v->loop, &v->address, &events, v);
    if (v->stream == NULL) {
        v->err = errno;
        return false;
    }
    return wait_until(v, is_ready);
}

/* Returns the reply's code; 0: no reply, or an invalid one. */
static unsigned read_reply(struct visit *v)
{
    uint64_t code = 0;

    if (!wait_until(v, is_answered)) {
        return 0;
    }
    return slice_to_u64(slice_take(buf_slice(&v->reply), 3), 599, &code) && code >= 200 ? (unsigned)code : 0;
}

static unsigned ask(struct visit *v, const char *verb, struct slice argument)
{
    struct buf line;
    unsigned code = 0;

    buf_reset(&v->reply);
    buf_init(&line, 2000);
    buf_putf(&line, "%s" SLICE_FMT "\r\n", verb, SLICE_ARG(argument));
    if (buf_ok(&line) && !v->over) {
        stream_write(v->stream, buf_slice(&line));
        code = read_reply(v);
    }
    buf_fini(&line);
    return code;
}

/* ---- what is said ---- */

static void say(struct visit *v, enum finding found, const char *sentence)
{
    v->found = found > v->found ? found : v->found;
    buf_put_str(&v->said, v->said.len > 0 ? "; " : "");
    buf_put_str(&v->said, sentence);
}

/* Same as say(), with the first line of the reply added. */
static void say_reply(struct visit *v, enum finding found, const char *sentence)
{
    struct slice line = buf_slice(&v->reply);

    say(v, found, sentence);
    line = slice_take(line, slice_find(line, '\r'));
    line = slice_take(line, slice_find(line, '\n'));
    buf_put_str(&v->said, line.len > 0 ? " (" : v->err == ETIMEDOUT ? " (no reply in time" : " (no reply");
    buf_put_quoted(&v->said, line, SAID_MAX);
    buf_put_char(&v->said, ')');
}

static bool has_keyword(struct slice reply, struct slice word)
{
    while (reply.len > 4) {
        struct slice line = slice_skip(slice_cut(&reply, '\n'), 4);

        line = slice_trim(slice_take(line, slice_find(line, '\r')));
        if (slice_eq_nocase(slice_take(line, slice_find(line, ' ')), word)) {
            return true;
        }
    }
    return false;
}

/* ---- where is it ---- */

struct addresses {
    struct addr list[ADDRESSES_MAX];
    size_t count;
    bool exists;        /* the name does */
    const char *failed; /* a lookup, and why it failed */
};

static void on_address(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct visit *v = arg;

    (void)had;
    v->answer = dns_answer_ref(ans);
    loop_stop(v->loop);
}

static void take_addresses(const struct visit *v, struct addresses *out)
{
    for (size_t i = 0; i < v->answer->count && out->count < ADDRESSES_MAX; i++) {
        struct addr a = dns_record_addr(&v->answer->records[i]);

        a.port = v->server->address.port;
        if (a.family != ADDR_NONE) {
            out->list[out->count++] = a;
        }
    }
}

static void look_up(struct visit *v, struct resolver *r, struct addresses *out)
{
    static const enum dns_type types[] = { DNS_TYPE_A, DNS_TYPE_AAAA };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct dns_req *req = dns_query(r, slice_str(v->server->host), types[i], on_address, v);

        (void)req; /* done when the loop has stopped: the resolver has deadlines */
        loop_run(v->loop);
        take_addresses(v, out);
        out->exists = out->exists || v->answer->status != DNS_NXDOMAIN;
        if (v->answer->status == DNS_TEMPFAIL) {
            out->failed = dns_why_text((enum dns_why)v->answer->why);
        }
        dns_answer_unref(v->answer);
    }
}

/* Reports a lookup that failed or found no address. */
static void say_addresses(struct visit *v, const struct addresses *a)
{
    if (a->failed != NULL) {
        say(v, a->count > 0 ? FOUND_WARN : FOUND_BROKEN,
            a->count > 0 ? "not all of its addresses can be looked up: "
                         : "its address cannot be looked up: ");
        buf_put_str(&v->said, a->failed);
    } else if (a->count == 0) {
        say(v, FOUND_BROKEN, a->exists ? "its name has no address" : "its name does not exist in the DNS");
    }
}

/* ---- the questions ---- */

/* A domain that is routed to the upstream, if it is checked there. */
static const struct config_domain *domain_of(const struct visit *v)
{
    for (size_t i = 0; i < v->conf->domain_count; i++) {
        const struct config_domain *d = &v->conf->domains[i];

        if ((d->upstream == v->u || d->upstream == NULL) && d->validate == VALIDATE_LIVE) {
            return d;
        }
    }
    return NULL;
}

static void ask_unknown(struct visit *v)
{
    const struct config_domain *d = domain_of(v);
    struct buf address;
    unsigned code;

    if (d == NULL) {
        return;
    }
    buf_init(&address, 600);
    buf_putf(&address, "<glacis-check-%016" PRIx64 "@%s%s>", random_u64(),
             d->subdomains ? "glacis-check." : "", d->name);
    code = ask(v, "RCPT TO:", buf_slice(&address));
    buf_fini(&address);
    if (code >= 500) {
        say_reply(v, FOUND_OK, "refuses unknown recipients");
    } else if (code >= 400 || code == 0) {
        say_reply(v, FOUND_WARN,
                  "does not say whether a recipient is unknown: senders will try again for days");
    } else {
        say_reply(v, FOUND_WARN,
                  "takes unknown recipients, and will bounce or drop their mail: let it refuse them "
                  "at RCPT, or name a file in `validate`");
    }
}

static void ask_envelope(struct visit *v)
{
    unsigned code = ask(v, "MAIL FROM:", SLICE("<>"));

    if (code == 0 || code >= 500) {
        say_reply(v, FOUND_BROKEN, "refuses mail of ours at MAIL");
    } else if (code >= 400) {
        say_reply(v, FOUND_WARN, "limits or delays us at MAIL");
    } else {
        ask_unknown(v);
    }
}

static bool has_proxy_identity(const struct visit *v)
{
    return v->u->identity == IDENTITY_PROXY_V1 || v->u->identity == IDENTITY_PROXY_V2;
}

/* Sends the header of the PROXY protocol if `identity` wants one; we announce our own address. */
static void send_identity(struct visit *v)
{
    struct addr ours = addr_of_socket(stream_fd(v->stream));
    struct buf header;

    if (!has_proxy_identity(v) || ours.family == ADDR_NONE) {
        return;
    }
    buf_init(&header, 512);
    proxy_put(&header, v->u->identity == IDENTITY_PROXY_V2 ? 2 : 1, &ours, &v->address);
    stream_write(v->stream, buf_slice(&header));
    buf_fini(&header);
}

static struct slice identity_word(const struct visit *v)
{
    return v->u->identity == IDENTITY_XCLIENT    ? SLICE("XCLIENT")
           : v->u->identity == IDENTITY_XFORWARD ? SLICE("XFORWARD")
                                                 : SLICE_NONE;
}

static bool say_hello(struct visit *v)
{
    if (ask(v, "EHLO ", slice_str(v->conf->server.hostname)) / 10 == 25) {
        v->offers_identity = has_keyword(buf_slice(&v->reply), identity_word(v)); /* the last EHLO counts */
        return true;
    }
    say_reply(v, FOUND_BROKEN,
              has_proxy_identity(v)
                  ? "takes the header of the PROXY protocol for a command: it expects none, see `identity`"
                  : "refuses our EHLO");
    return false;
}

/* Compares the software that the banner names with our keys. */
static void say_software(struct visit *v)
{
    if (slice_has_word(buf_slice(&v->reply), SLICE("Exim"))) {
        if (v->u->max_messages == 0) {
            say(v, FOUND_OK,
                "is Exim: it gets 10 messages a connection, because it leaves more to its queue runner "
                "(smtp_accept_queue_per_connection)");
        } else if (v->u->max_messages > EXIM_MESSAGES) {
            say(v, FOUND_WARN,
                "is Exim, which leaves what comes behind the tenth message of a connection to its queue "
                "runner (smtp_accept_queue_per_connection): let `max_messages` be auto");
        }
    }
    if (slice_has_word(buf_slice(&v->reply), SLICE("Postfix")) && v->u->connections > POSTFIX_CLIENT) {
        say(v, FOUND_WARN,
            "is Postfix, which takes 50 connections from one address (smtpd_client_connection_count_limit): "
            "`connections` is more");
    }
}

/* Reports a missing or refusing banner with the likely cause. */
static void say_no_banner(struct visit *v, unsigned code)
{
    const char *why = "does not greet us";

    if (has_proxy_identity(v)) {
        why = "does not greet us behind the header of the PROXY protocol: does it expect one, and from this "
              "address?";
    } else if (code == 421) {
        why = "limits us at connect, or expects the header of the PROXY protocol (`identity`)";
    } else if (code == 521) {
        why = "takes no mail at all";
    } else if (code == 0) {
        why =
            "does not greet us; if it expects the header of the PROXY protocol, `identity` must be proxy_v1 "
            "or proxy_v2";
    }
    say_reply(v, code >= 400 && code < 500 && !has_proxy_identity(v) ? FOUND_WARN : FOUND_BROKEN, why);
}

/* Runs the steps up to the reply to EHLO. */
static bool meet(struct visit *v)
{
    unsigned code;

    if (!open_connection(v)) {
        bool no_route = v->err == ENETUNREACH || v->err == EADDRNOTAVAIL || v->err == EAFNOSUPPORT;

        if (no_route && !v->alone) {
            say(v, FOUND_WARN, "there is no route to it from here, so it is not used");
        } else {
            say(v, FOUND_BROKEN, "cannot be reached: ");
            buf_put_str(&v->said, strerror(v->err));
        }
        return false;
    }
    send_identity(v);
    code = read_reply(v);
    if (code / 100 != 2) {
        say_no_banner(v, code);
        return false;
    }
    if (v->said.len == 0) {
        say_software(v);
    }
    return say_hello(v);
}

static void check_identity(struct visit *v)
{
    struct slice word = identity_word(v);

    if (slice_empty(word) || v->offers_identity) {
        return;
    }
    say(v, FOUND_WARN, "does not offer ");
    buf_put_slice(&v->said, word);
    buf_put_str(&v->said, ", so it takes us for the client: does it trust this address?");
}

/* ---- TLS ---- */

static bool shake_hands(struct visit *v)
{
    v->ready = false;
    tls_connect(v->u->tls_client, v->stream, v->server->host, NULL);
    return wait_until(v, is_ready);
}

static void say_encrypted(struct visit *v)
{
    struct tls_info info;

    if (tls_info(v->stream, &info)) {
        say(v, FOUND_OK, "speaks ");
        buf_put_str(&v->said, info.version);
        buf_put_str(&v->said, info.verified ? " with a certificate that is good" : "");
    }
}

static void say_not_encrypted(struct visit *v, bool demanded)
{
    bool untrusted = tls_untrusted(v->stream);

    say(v, demanded ? FOUND_BROKEN : FOUND_WARN,
        untrusted  ? "its certificate is not good for `tls_ca` and `tls_name`: "
        : demanded ? "TLS fails, which `tls` requires: "
                   : "TLS fails, so mail goes there in clear: ");
    buf_put_str(&v->said, v->err == ETIMEDOUT ? "no answer in time" : tls_error(v->stream));
}

/* Runs the handshake after the 220 of STARTTLS.  False: the connection is unusable. */
static bool begin_tls(struct visit *v, bool demanded)
{
    struct slice reply = buf_slice(&v->reply);

    if (slice_find(reply, '\n') + 1 != reply.len) {
        say(v, demanded ? FOUND_BROKEN : FOUND_WARN,
            demanded ? "something follows its 220 to STARTTLS in clear"
                     : "something follows its 220 to STARTTLS, so mail goes there in clear");
        return false;
    }
    if (!shake_hands(v)) {
        say_not_encrypted(v, demanded);
        return false;
    }
    say_encrypted(v);
    return say_hello(v);
}

/* Runs STARTTLS as a session would.  False: mail cannot go there. */
static bool encrypt(struct visit *v)
{
    bool offered = has_keyword(buf_slice(&v->reply), SLICE("STARTTLS"));
    bool demanded = v->u->tls == UP_TLS_REQUIRED || v->u->tls == UP_TLS_VERIFY;

    if (!offered && demanded) {
        say(v, FOUND_BROKEN, "does not offer STARTTLS, which `tls` requires");
        return false;
    }
    if (!offered || v->u->tls == UP_TLS_OFF || v->u->tls_client == NULL) {
        say(v, FOUND_OK, offered ? "offers STARTTLS" : "has no STARTTLS");
        return true;
    }
    if (ask(v, "STARTTLS", SLICE_NONE) / 100 == 2) {
        if (begin_tls(v, demanded)) {
            return true;
        }
    } else {
        say_reply(v, demanded ? FOUND_BROKEN : FOUND_WARN,
                  demanded ? "refuses STARTTLS, which `tls` requires"
                           : "refuses STARTTLS, so mail goes there in clear");
        if (!demanded && !v->over) {
            return true;
        }
    }
    if (demanded || v->found == FOUND_BROKEN) {
        return false;
    }
    hang_up(v);
    return meet(v);
}

static bool print_finding(struct visit *v)
{
    static const char *const grades[] = {
        [FOUND_OK] = "ok", [FOUND_WARN] = "warn", [FOUND_BROKEN] = "broken"
    };
    char mem[ADDR_TEXT_MAX + 4] = "";
    struct buf address;

    buf_init_fixed(&address, mem, sizeof(mem));
    if (v->server->is_name && v->address.family != ADDR_NONE) {
        buf_put_str(&address, " (");
        addr_put_ip(&address, &v->address);
        buf_put_char(&address, ')');
    }
    printf("upstream %s, %s%s: %s: " SLICE_FMT "\n", v->u->name, v->server->text, mem, grades[v->found],
           SLICE_ARG(buf_slice(&v->said)));
    buf_reset(&v->said);
    return v->found != FOUND_BROKEN;
}

static bool visit_address(struct visit *v, const struct addr *address)
{
    v->address = *address;
    v->found = FOUND_OK;
    v->until_ms = loop_now(v->loop) + VISIT_MS;
    if (meet(v)) {
        if (encrypt(v)) {
            check_identity(v);
            ask_envelope(v);
        }
        (void)ask(v, "QUIT", SLICE_NONE);
    }
    hang_up(v);
    return print_finding(v);
}

bool check_upstream(const struct config *c, const struct config_upstream *u, size_t server, struct loop *loop,
                    struct resolver *r)
{
    struct visit v = { .conf = c, .u = u, .server = &u->server[server], .loop = loop };
    struct addresses found = { .list = { v.server->address }, .count = 1 };
    bool ok = true;

    buf_init(&v.reply, REPLY_MAX);
    buf_init(&v.said, 4096);
    timer_init(&v.patience, loop, on_late, &v);
    if (v.server->is_name) {
        found = (struct addresses){ .count = 0 };
        look_up(&v, r, &found);
        say_addresses(&v, &found);
        ok = v.said.len == 0 || print_finding(&v);
    }
    v.alone = found.count == 1;
    for (size_t i = 0; i < found.count; i++) {
        ok = visit_address(&v, &found.list[i]) && ok;
    }
    buf_fini(&v.reply);
    buf_fini(&v.said);
    return ok;
}
