/* SPDX-License-Identifier: Apache-2.0 */
/*
 * player.c - plays transcripts (cases/NAME.smtp) against the real session in the sim.
 *
 *   conf TEXT          a line of the configuration (before anything else; a default follows if none is given)
 *   ehlo WORDS         keywords of the upstream
 *   connect WORD       accept | refuse | mute | busy: what happens to upstream connections from here on
 *   client IP          a client connects (192.0.2.9 does so by itself at the first C line)
 *   C> TEXT            the client sends the line and CRLF; \r \n \0 \\ \xNN are understood
 *   C> TEXT\c          ... without the CRLF
 *   C< PATTERN         glacis says this line ('*' stands for anything)
 *   C none             nothing waits for the client
 *   C- / C!            the client ends its half / resets
 *   C<eof              glacis has closed, and said nothing more
 *   U> PATTERN         the upstream gets this line
 *   U...               the upstream gets any lines, up to the one that the next U> names
 *   U< TEXT            the upstream says this
 *   U- / U!            the upstream closes / resets
 *   U none             nothing waits at any upstream connection
 *   dns TYPE NAME VALUE [after 3s]   the DNS says so from here on (fake_dns.h); all else is NXDOMAIN
 *   asked N NAME       so many questions were there at and below that name
 *   time +3s           time passes (ms, s, m)
 *   uncut              this transcript is not cut: its messages reach the upstream only after a while
 *   drain              the worker is told to stop
 *   reload             ... because a newer generation serves
 *   expire             the drain timeout is over
 *
 * Each transcript is played whole, then octet by octet (the answers must be the same), then cut after every
 * octet the client sends, by an end of file and by a reset, against an automatic upstream: nothing may leak,
 * crash or stay, and no cut message may end at the upstream (DAT-38): after so many octets exactly those have
 * ended that had ended there when nothing was cut and each octet came alone.  What comes before the cut is
 * sent a C> line at a time, the line that is cut octet by octet: so the time grows with the lines before a
 * cut.  In a sanitizer build, which is ten times as slow, a long transcript is cut after every STRIDE octets only; the
 * release build cuts it after each.
 */
#include "test/sim/world.h"

#include <errno.h>

#include "proxy/upstream/pool.h"
#include "test/sim/fake_dns.h"

#define LINES_MAX 2000
#define CUTS_MAX 20000 /* octets of the client; a longer transcript is not cut */
#define LONG 1000      /* octets of the client */
#ifdef __SANITIZE_ADDRESS__
#define STRIDE 7
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STRIDE 7
#endif
#endif
#ifndef STRIDE
#define STRIDE 1
#endif

enum how { WHOLE, BY_OCTET, UNCUT, CUT_EOF, CUT_RESET };

struct script {
    const char *path;
    char *text;
    struct slice line[LINES_MAX];
    size_t count;
    bool uncut;
    struct config *conf;   /* one for all plays: it does not change */
    size_t ends[CUTS_MAX]; /* of messages at the upstream when so many octets were sent, nothing cut */
};

struct play {
    struct world wd;
    struct script *sc;
    enum how how;
    size_t cut;  /* octets until the cut */
    size_t sent; /* by the client so far */
    bool over;   /* the cut has happened */
    size_t at;   /* line of the script */
    bool skip;   /* U...: lines may come before the next that is expected */
};

static const char default_conf[] =
    "server: {hostname: mx.test, listen: [\"127.0.0.1:2525\"], greet_delay: 0ms, "
    "private_clients: judge}\n"
    "upstreams: {up: {servers: [\"127.0.0.9:25\"]}}\n"
    "domains: {example.test: up}\n"
    "policy: {preset: none, rules: []}\n"
    "smtp: {dsn: true}\n"
    "limits: {ban: off}\n";

static struct script load(const char *path)
{
    struct script sc = { .path = path };
    FILE *f = fopen(path, "rb");
    struct slice all;
    size_t len;

    BUG_ON(f == NULL);
    sc.text = xcalloc(1, 1 << 20);
    len = fread(sc.text, 1, (1 << 20) - 1, f);
    fclose(f);
    all = slice_of(sc.text, len);
    while (!slice_empty(all)) {
        BUG_ON(sc.count == LINES_MAX);
        sc.line[sc.count] = slice_cut(&all, '\n');
        sc.uncut = sc.uncut || slice_eq(sc.line[sc.count], SLICE("uncut"));
        sc.count++;
    }
    return sc;
}

static bool glob(struct slice pattern, struct slice text)
{
    size_t star = slice_find(pattern, '*');

    if (star == pattern.len) {
        return slice_eq(pattern, text);
    }
    if (!slice_starts(text, slice_take(pattern, star))) {
        return false;
    }
    pattern = slice_skip(pattern, star + 1);
    for (size_t i = star; i <= text.len; i++) {
        if (glob(pattern, slice_skip(text, i))) {
            return true;
        }
    }
    return false;
}

NORETURN static void fail(const struct play *p, const char *what, struct slice seen)
{
    fprintf(stderr, "%s:%zu: %s: %.*s\n  script: %.*s\n", p->sc->path, p->at + 1, what, (int)seen.len,
            seen.ptr, (int)p->sc->line[p->at].len, p->sc->line[p->at].ptr);
    exit(1);
}

static int hex(char c)
{
    return ascii_is_digit(c) ? c - '0' : ascii_lower(c) - 'a' + 10;
}

/* The text of a C> or U< line as octets. */
static void unescape(struct slice t, struct buf *out)
{
    bool crlf = true;

    for (size_t i = 0; i < t.len; i++) {
        char c = t.ptr[i];

        if (c != '\\' || i + 1 == t.len) {
            buf_put_char(out, c);
            continue;
        }
        c = t.ptr[++i];
        if (c == 'x' && i + 2 < t.len) {
            buf_put_char(out, (char)(hex(t.ptr[i + 1]) * 16 + hex(t.ptr[i + 2])));
            i += 2;
        } else if (c == 'c') {
            crlf = false;
        } else {
            buf_put_char(out, c == 'r' ? '\r' : c == 'n' ? '\n' : c == '0' ? '\0' : c);
        }
    }
    if (crlf) {
        buf_put_str(out, "\r\n");
    }
}

static size_t count_ends(const struct world *wd)
{
    size_t ends = 0;

    for (size_t i = 0; i < wd->up_count; i++) {
        ends += wd->ends[i];
    }
    return ends;
}

static void cut_now(struct play *p)
{
    p->over = true;
    if (p->how == CUT_EOF) {
        sim_eof(p->wd.client);
    } else {
        sim_reset(p->wd.client);
    }
    world_step(&p->wd);
}

static bool cutting(const struct play *p)
{
    return p->how == CUT_EOF || p->how == CUT_RESET;
}

static void client_sends(struct play *p, struct slice text)
{
    struct buf b;
    bool at_once;

    buf_init(&b, 1 << 20);
    unescape(text, &b);
    at_once = p->how == WHOLE || (cutting(p) && p->sent + b.len < p->cut);
    if (at_once) {
        sim_send(p->wd.client, buf_slice(&b));
        world_step(&p->wd);
        p->sent += b.len;
    }
    for (size_t i = 0; !at_once && i < b.len && !p->over; i++) {
        sim_send(p->wd.client, slice_of(b.ptr + i, 1));
        world_step(&p->wd);
        p->sent++;
        if (p->how == UNCUT && p->sent < CUTS_MAX) {
            p->sc->ends[p->sent] = count_ends(&p->wd);
        }
        if (p->sent == p->cut && cutting(p)) {
            cut_now(p);
        }
    }
    buf_fini(&b);
}

static bool client_line(struct play *p, struct slice *line)
{
    struct slice out = buf_slice(&p->wd.client->out);
    size_t lf;

    world_step(&p->wd);
    out = buf_slice(&p->wd.client->out);
    lf = slice_find(out, '\n');
    if (lf == out.len) {
        return false;
    }
    *line = slice_take(out, lf > 0 ? lf - 1 : 0);
    if (lf == 0 || out.ptr[lf - 1] != '\r') {
        fail(p, "glacis ended a line without CRLF", slice_take(out, lf));
    }
    return true;
}

static void expect_client(struct play *p, struct slice pattern)
{
    struct slice line;

    if (!client_line(p, &line)) {
        fail(p, "the client got nothing", SLICE_NONE);
    }
    if (!glob(pattern, line)) {
        fail(p, "the client got", line);
    }
    buf_drop(&p->wd.client->out, line.len + 2);
}

static void expect_upstream(struct play *p, struct slice pattern)
{
    struct buf line;

    buf_init(&line, 1 << 20);
    if (!world_upstream_line(&p->wd, &line)) {
        fail(p, "the upstream got nothing", SLICE_NONE);
    }
    while (p->skip && !glob(pattern, buf_slice(&line)) && world_upstream_line(&p->wd, &line)) {
    }
    p->skip = false;
    if (!glob(pattern, buf_slice(&line))) {
        fail(p, "the upstream got", buf_slice(&line));
    }
    buf_fini(&line);
}

static void upstream_says(struct play *p, struct slice text)
{
    struct buf b;

    if (p->wd.current == NULL && p->wd.up_count > 0) {
        p->wd.current = &p->wd.up[p->wd.up_count - 1];
    }
    if (p->wd.current == NULL) {
        fail(p, "no upstream connection", SLICE_NONE);
    }
    buf_init(&b, 1 << 20);
    unescape(text, &b);
    sim_send(p->wd.current->conn, buf_slice(&b));
    buf_fini(&b);
    world_step(&p->wd);
}

static uint64_t milliseconds(struct play *p, struct slice text)
{
    struct slice digits = slice_trim(text);
    uint64_t n = 0, unit = 1000;

    digits = slice_skip(digits, slice_starts(digits, SLICE("+")) ? 1 : 0);
    if (slice_ends_nocase(digits, SLICE("ms"))) {
        unit = 1;
        digits.len -= 2;
    } else {
        unit = slice_ends_nocase(digits, SLICE("m")) ? 60000 : 1000;
        digits.len -= 1;
    }
    if (!slice_to_u64(digits, 1000000, &n)) {
        fail(p, "not a time", text);
    }
    return n * unit;
}

static void pass_time(struct play *p, struct slice text)
{
    world_pass(&p->wd, milliseconds(p, text));
}

/* "TYPE NAME VALUE [after TIME]" */
static void add_dns(struct play *p, struct slice rest)
{
    static const struct {
        const char *name;
        enum dns_type type;
    } types[] = { { "A", DNS_TYPE_A },
                  { "AAAA", DNS_TYPE_AAAA },
                  { "MX", DNS_TYPE_MX },
                  { "PTR", DNS_TYPE_PTR },
                  { "TXT", DNS_TYPE_TXT } };
    struct slice type = slice_token(&rest), name = slice_token(&rest), value = slice_trim(rest);
    size_t space = slice_rfind(value, ' ');
    uint64_t delay = 0;

    if (space < value.len && slice_ends_nocase(slice_take(value, space), SLICE(" after"))) {
        delay = milliseconds(p, slice_skip(value, space));
        value = slice_trim(slice_take(value, space - 6));
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_eq(type, slice_str(types[i].name))) {
            char *n = slice_dup(name), *v = slice_dup(value);

            fake_dns_add(p->wd.w.resolver, n, types[i].type, v, delay);
            free(n);
            free(v);
            return;
        }
    }
    fail(p, "not a type of records", type);
}

static void expect_asked(struct play *p, struct slice rest)
{
    struct slice count = slice_token(&rest), name = slice_trim(rest);
    char *zone = slice_dup(name);
    uint64_t want = 0;
    bool number = slice_to_u64(count, 1000000, &want);
    size_t seen = fake_dns_asked_below(p->wd.w.resolver, zone);

    free(zone);
    if (!number || (!p->over && !p->wd.automatic && seen != want)) {
        fail(p, "another number of questions", name);
    }
}

static void set_connect(struct play *p, struct slice word)
{
    static const char *const names[] = { "accept", "refuse", "mute", "busy" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq(word, slice_str(names[i]))) {
            p->wd.connect = (enum world_connect)i;
            return;
        }
    }
    fail(p, "not a way to connect", word);
}

static void need_client(struct play *p)
{
    if (p->wd.client == NULL) {
        world_client(&p->wd, "192.0.2.9");
    }
}

static void client_step(struct play *p, struct slice word, struct slice rest)
{
    struct slice line;

    need_client(p);
    if (slice_eq(word, SLICE("C>"))) {
        client_sends(p, rest);
    } else if (p->over || p->wd.automatic) {
        world_step(&p->wd); /* a cut transcript's answers are not compared */
    } else if (slice_eq(word, SLICE("C<"))) {
        expect_client(p, rest);
    } else if (slice_eq(rest, SLICE("none")) && slice_eq(word, SLICE("C"))) {
        if (client_line(p, &line)) {
            fail(p, "glacis said", line);
        }
    } else if (slice_eq(word, SLICE("C<eof"))) {
        if (client_line(p, &line)) {
            fail(p, "glacis said more", line);
        }
        if (!p->wd.client->shut) {
            fail(p, "glacis has not closed", SLICE_NONE);
        }
    } else if (slice_eq(word, SLICE("C-"))) {
        sim_eof(p->wd.client);
        world_step(&p->wd);
    } else if (slice_eq(word, SLICE("C!"))) {
        sim_reset(p->wd.client);
        world_step(&p->wd);
    } else {
        fail(p, "what is this", word);
    }
}

static void upstream_step(struct play *p, struct slice word, struct slice rest)
{
    struct buf line;

    if (p->wd.automatic) {
        world_step(&p->wd);
    } else if (slice_eq(word, SLICE("U..."))) {
        p->skip = true;
    } else if (slice_eq(word, SLICE("U>"))) {
        expect_upstream(p, rest);
    } else if (slice_eq(word, SLICE("U<"))) {
        upstream_says(p, rest);
    } else if (slice_eq(word, SLICE("U-")) || slice_eq(word, SLICE("U!"))) {
        if (p->wd.current == NULL) {
            fail(p, "no upstream connection", SLICE_NONE);
        }
        if (word.ptr[1] == '-') {
            sim_eof(p->wd.current->conn);
        } else {
            sim_reset(p->wd.current->conn);
        }
        world_step(&p->wd);
    } else if (slice_eq(rest, SLICE("none"))) {
        buf_init(&line, 1 << 20);
        if (world_upstream_line(&p->wd, &line)) {
            fail(p, "the upstream got", buf_slice(&line));
        }
        buf_fini(&line);
    } else {
        fail(p, "what is this", word);
    }
}

static void each_session(struct world *wd, void (*f)(struct session *s))
{
    session_each(&wd->w, f);
    world_step(wd);
}

static void close_session(struct session *s)
{
    session_close(s, REASON_SHUTDOWN);
}

static void step(struct play *p)
{
    struct slice line = p->sc->line[p->at], rest = line;
    size_t gap = slice_find(line, ' ');
    struct slice word = slice_take(line, gap);

    rest = slice_skip(line, gap == line.len ? gap : gap + 1);
    while (slice_starts(rest, SLICE("  "))) { /* "C<   220": aligned by three blanks at most */
        rest = slice_skip(rest, 1);
    }
    if (slice_starts(rest, SLICE(" "))) {
        rest = slice_skip(rest, 1);
    }
    if (slice_empty(line) || line.ptr[0] == '#' || slice_eq(word, SLICE("conf")) ||
        slice_eq(word, SLICE("uncut"))) {
        return;
    }
    if (line.ptr[0] == 'C') {
        client_step(p, word, rest);
    } else if (line.ptr[0] == 'U') {
        upstream_step(p, word, rest);
    } else if (slice_eq(word, SLICE("ehlo"))) {
        world_keywords(&p->wd, rest);
    } else if (slice_eq(word, SLICE("connect"))) {
        set_connect(p, rest);
    } else if (slice_eq(word, SLICE("client"))) {
        char ip[64] = "";

        memcpy(ip, rest.ptr, min_size(rest.len, sizeof(ip) - 1));
        world_client(&p->wd, ip);
    } else if (slice_eq(word, SLICE("dns"))) {
        add_dns(p, rest);
    } else if (slice_eq(word, SLICE("asked"))) {
        expect_asked(p, rest);
    } else if (slice_eq(word, SLICE("time"))) {
        pass_time(p, rest);
    } else if (slice_eq(word, SLICE("drain")) || slice_eq(word, SLICE("reload"))) {
        p->wd.w.replaced = slice_eq(word, SLICE("reload"));
        upstreams_drain(p->wd.w.upstreams);
        each_session(&p->wd, session_drain);
    } else if (slice_eq(word, SLICE("expire"))) {
        each_session(&p->wd, session_expire);
    } else {
        fail(p, "what is this", word);
    }
}

static struct config *conf_of(const struct script *sc)
{
    struct config *conf;
    struct buf text;

    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < sc->count; i++) {
        if (slice_starts(sc->line[i], SLICE("conf "))) {
            buf_put_slice(&text, slice_skip(sc->line[i], 5));
            buf_put_char(&text, '\n');
        }
    }
    if (text.len == 0) {
        buf_put_str(&text, default_conf);
    }
    conf = world_conf(buf_slice(&text));
    buf_fini(&text);
    return conf;
}

/* Message content that the client has not finished must never be ended at the upstream. */
static void check_cut(const struct play *p)
{
    if (p->wd.stray > 0) {
        fail(p, "the upstream got a line that is no command", SLICE_NONE);
    }
    if (p->over && count_ends(&p->wd) != p->sc->ends[p->cut]) {
        fail(p, "the cut changed what messages ended at the upstream", SLICE_NONE);
    }
}

/* What a session took from the budgets is back when it is gone. */
static void check_budgets(struct play *p)
{
    static const enum metric gauges[] = { M_SESSIONS_NOW, M_MEMORY_USED, M_SPOOL_USED, M_UP_WAITING,
                                          M_UP_LEASED };

    each_session(&p->wd, close_session);
    world_pass(&p->wd, 1000);
    if (fake_dns_out(p->wd.w.resolver) != 0) {
        fail(p, "a question outlived all sessions", SLICE_NONE);
    }
    for (size_t i = 0; p->wd.automatic && i < ARRAY_LEN(gauges); i++) {
        if (metric_get(gauges[i]) != 0) {
            fail(p, "a gauge is not back at zero", slice_str(metric_table[gauges[i]].name));
        }
    }
}

/* Returns the octets that the client sent. */
static size_t play(struct script *sc, enum how how, size_t cut)
{
    struct play p = { .sc = sc, .how = how, .cut = cut };
    size_t sent;

    world_start(&p.wd, sc->conf);
    p.wd.automatic = how == UNCUT || cutting(&p);
    for (p.at = 0; p.at < sc->count && !p.over; p.at++) {
        step(&p);
    }
    p.at = p.at > 0 ? p.at - 1 : 0;
    if (p.wd.automatic) {
        world_pass(&p.wd, 20 * 60 * 1000);
        check_cut(&p);
        if (p.over && p.wd.w.session_count != 0) {
            fail(&p, "a session outlived its client", SLICE_NONE);
        }
    }
    sent = p.sent;
    check_budgets(&p);
    world_stop(&p.wd);
    return sent;
}

int main(int argc, char **argv)
{
    size_t plays = 0;

    for (int i = 1; i < argc; i++) {
        struct script sc = load(argv[i]);
        size_t total, step;

        sc.conf = conf_of(&sc);
        total = play(&sc, WHOLE, 0);
        play(&sc, BY_OCTET, 0);
        play(&sc, UNCUT, 0);
        plays += 3;
        step = total > LONG ? STRIDE : 1;
        for (size_t cut = 1; cut <= total && total < CUTS_MAX && !sc.uncut; cut += step) {
            play(&sc, CUT_EOF, cut);
            play(&sc, CUT_RESET, cut);
            plays += 2;
        }
        config_free(sc.conf);
        free(sc.text);
    }
    printf("%d transcripts, %zu plays\n", argc - 1, plays);
    return argc > 1 ? 0 : 1;
}
