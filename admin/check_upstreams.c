/*
 * check_upstreams.c - glacis check --online: do the servers behind do what the proxy needs of them?
 *
 * Each server is asked once what a session would ask: banner, EHLO, STARTTLS as `tls` says and EHLO again, MAIL,
 * and RCPT for an address that nobody has, in a domain that is routed there.  Nothing is sent.  One by name is
 * looked up with the resolver of the file, A before AAAA, as the running proxy does it.  Where TLS fails and is
 * not demanded, the questions go on in clear, on a connection of their own.
 *
 * The loop runs until what is waited for has come, or can come no more: the command line may wait.
 *
 * Limits  One server after another, PATIENCE_MS for each step and VISIT_MS for all behind the look-up, which has
 *         deadlines of its own.  A reply longer than REPLY_MAX is none.
 */
#include "admin/check_upstreams.h"

#include <errno.h>
#include <stdio.h>

#include "core/crypto.h"
#include "core/stream.h"
#include "tls/tls.h"

#define PATIENCE_MS 10000u
#define VISIT_MS 30000u
#define REPLY_MAX 16384
#define SAID_MAX 300

enum finding { FOUND_OK = 0, FOUND_WARN, FOUND_BROKEN };

struct visit {
    const struct config *conf;
    const struct config_upstream *u;
    const struct config_upstream_server *server;
    struct addr address; /* of the server, with port */
    struct loop *loop;
    struct stream *stream;
    struct timer patience;
    uint64_t until_ms;         /* for all questions */
    struct dns_answer *answer; /* to the last look-up */
    bool ready;                /* connected; the handshake is done */
    bool over;                 /* nothing more comes of this connection */
    int err;                   /* and why, where the system says so */
    struct buf reply;          /* to the last command, all its lines */
    struct buf said;           /* the sentence for people */
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

/* Is the last line of a reply there: "250 ..." and not "250-..."? */
static bool is_answered(const struct visit *v)
{
    struct slice reply = buf_slice(&v->reply);

    while (slice_find(reply, '\n') < reply.len) {
        struct slice line = slice_cut(&reply, '\n');

        if (line.len < 4 || line.ptr[3] != '-')
            return true;
    }
    return false;
}

/* One step: true if it is done. */
static bool wait_until(struct visit *v, bool (*done)(const struct visit *v))
{
    timer_start_at(&v->patience, min_u64(loop_now(v->loop) + PATIENCE_MS, v->until_ms));
    while (!v->over && !done(v))
        loop_run(v->loop);
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

/* Its code; 0: there was none, or it is no reply. */
static unsigned read_reply(struct visit *v)
{
    uint64_t code = 0;

    if (!wait_until(v, is_answered))
        return 0;
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

/* The same with the first line of the reply behind it. */
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
        if (slice_eq_nocase(slice_take(line, slice_find(line, ' ')), word))
            return true;
    }
    return false;
}

/* ---- where is it ---- */

static void on_address(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct visit *v = arg;

    (void)had;
    v->answer = dns_answer_ref(ans);
    loop_stop(v->loop);
}

static bool take_address(struct visit *v)
{
    for (size_t i = 0; i < v->answer->count; i++) {
        struct addr a = dns_record_addr(&v->answer->records[i]);

        if (a.family != ADDR_NONE) {
            a.port = v->server->address.port;
            v->address = a;
            return true;
        }
    }
    return false;
}

static bool look_up(struct visit *v, struct resolver *r)
{
    static const enum dns_type types[] = { DNS_TYPE_A, DNS_TYPE_AAAA };
    bool found = false, exists = false;
    const char *failed = NULL;
    char mem[ADDR_TEXT_MAX];
    struct buf text;

    for (size_t i = 0; i < ARRAY_LEN(types) && !found; i++) {
        struct dns_req *req = dns_query(r, slice_str(v->server->host), types[i], on_address, v);

        (void)req; /* answered when the loop has stopped: the resolver has deadlines */
        loop_run(v->loop);
        found = take_address(v);
        exists = exists || v->answer->status != DNS_NXDOMAIN;
        if (v->answer->status == DNS_TEMPFAIL)
            failed = dns_why_text((enum dns_why)v->answer->why);
        dns_answer_unref(v->answer);
    }
    if (found) {
        buf_init_fixed(&text, mem, sizeof(mem));
        addr_put_ip(&text, &v->address);
        say(v, FOUND_OK, "is ");
        buf_put_slice(&v->said, buf_slice(&text));
    } else if (failed != NULL) {
        say(v, FOUND_BROKEN, "its address cannot be looked up: ");
        buf_put_str(&v->said, failed);
    } else {
        say(v, FOUND_BROKEN, exists ? "its name has no address" : "its name does not exist in the DNS");
    }
    return found;
}

/* ---- the questions ---- */

/* A domain that is routed to the upstream, if it is checked there. */
static const struct config_domain *domain_of(const struct visit *v)
{
    for (size_t i = 0; i < v->conf->domain_count; i++) {
        const struct config_domain *d = &v->conf->domains[i];

        if ((d->upstream == v->u || d->upstream == NULL) && d->validate == VALIDATE_LIVE)
            return d;
    }
    return NULL;
}

static void ask_unknown(struct visit *v)
{
    const struct config_domain *d = domain_of(v);
    struct buf address;
    unsigned code;

    if (d == NULL)
        return;
    buf_init(&address, 600);
    buf_putf(&address, "<glacis-check-%016" PRIx64 "@%s%s>", random_u64(),
             d->subdomains ? "glacis-check." : "", d->name);
    code = ask(v, "RCPT TO:", buf_slice(&address));
    buf_fini(&address);
    if (code >= 500)
        say_reply(v, FOUND_OK, "refuses unknown recipients");
    else if (code >= 400 || code == 0)
        say_reply(v, FOUND_WARN,
                  "does not say whether a recipient is unknown: senders will try again for days");
    else
        say_reply(v, FOUND_WARN,
                  "takes unknown recipients, and will bounce or drop their mail: let it refuse them "
                  "at RCPT, or name a file in `validate`");
}

static void ask_envelope(struct visit *v)
{
    unsigned code = ask(v, "MAIL FROM:", SLICE("<>"));

    if (code == 0 || code >= 500)
        say_reply(v, FOUND_BROKEN, "refuses mail of ours at MAIL");
    else if (code >= 400)
        say_reply(v, FOUND_WARN, "limits or delays us at MAIL");
    else
        ask_unknown(v);
}

/* A header of the PROXY protocol that announces nobody (LOCAL), where one is expected. */
static void send_identity(struct visit *v)
{
    static const char v2[16] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

    if (v->u->identity == IDENTITY_PROXY_V1)
        stream_write(v->stream, SLICE("PROXY UNKNOWN\r\n"));
    else if (v->u->identity == IDENTITY_PROXY_V2)
        stream_write(v->stream, slice_of(v2, sizeof(v2)));
}

static bool say_hello(struct visit *v)
{
    if (ask(v, "EHLO ", slice_str(v->conf->server.hostname)) == 250)
        return true;
    say_reply(v, FOUND_BROKEN, "refuses our EHLO");
    return false;
}

/* As far as the reply to EHLO. */
static bool meet(struct visit *v)
{
    unsigned code;

    if (!open_connection(v)) {
        say(v, FOUND_BROKEN, "cannot be reached: ");
        buf_put_str(&v->said, strerror(v->err));
        return false;
    }
    send_identity(v);
    code = read_reply(v);
    if (code != 220) {
        say_reply(v, code >= 400 && code < 500 ? FOUND_WARN : FOUND_BROKEN,
                  code == 421 ? "limits us at connect" : "does not greet us");
        return false;
    }
    return say_hello(v);
}

/* ---- TLS ---- */

static bool shake_hands(struct visit *v)
{
    v->ready = false;
    tls_connect(v->u->tls_client, v->stream, v->server->host);
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

/* After its 220; false: the connection is of no use any more. */
static bool begin_tls(struct visit *v, bool demanded)
{
    struct slice reply = buf_slice(&v->reply);

    if (slice_find(reply, '\n') + 1 != reply.len) {
        say(v, FOUND_BROKEN, "something follows its 220 to STARTTLS in clear");
        return false;
    }
    if (!shake_hands(v)) {
        say_not_encrypted(v, demanded);
        return false;
    }
    say_encrypted(v);
    return say_hello(v);
}

/* STARTTLS as a session would do it; false: no mail goes there. */
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
    if (ask(v, "STARTTLS", SLICE_NONE) == 220) {
        if (begin_tls(v, demanded))
            return true;
    } else {
        say_reply(v, demanded ? FOUND_BROKEN : FOUND_WARN,
                  demanded ? "refuses STARTTLS, which `tls` requires"
                           : "refuses STARTTLS, so mail goes there in clear");
        if (!demanded && !v->over)
            return true;
    }
    if (demanded || v->found == FOUND_BROKEN)
        return false;
    hang_up(v);
    return meet(v);
}

bool check_upstream(const struct config *c, const struct config_upstream *u, size_t server, struct loop *loop,
                    struct resolver *r)
{
    static const char *const grades[] = {
        [FOUND_OK] = "ok", [FOUND_WARN] = "warn", [FOUND_BROKEN] = "broken"
    };
    struct visit v = { .conf = c, .u = u, .server = &u->server[server], .loop = loop };

    v.address = v.server->address;
    buf_init(&v.reply, REPLY_MAX);
    buf_init(&v.said, 4096);
    timer_init(&v.patience, loop, on_late, &v);
    if (!v.server->is_name || look_up(&v, r)) {
        v.until_ms = loop_now(loop) + VISIT_MS;
        if (meet(&v)) {
            if (encrypt(&v))
                ask_envelope(&v);
            (void)ask(&v, "QUIT", SLICE_NONE);
        }
    }
    stream_close(&v.stream);
    printf("upstream %s, %s: %s: " SLICE_FMT "\n", u->name, v.server->text, grades[v.found],
           SLICE_ARG(buf_slice(&v.said)));
    buf_fini(&v.reply);
    buf_fini(&v.said);
    return v.found != FOUND_BROKEN;
}
