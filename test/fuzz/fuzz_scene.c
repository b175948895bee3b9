/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_scene.c - a session with everything around it hostile: client, upstream, DNS, and the order of events.
 *
 * Input      octet 0: AUTOMATIC (an upstream that behaves), TRUSTED (XCLIENT is offered), TALL (few keywords);
 *            then text, one event a line, by its first letter:
 *
 *     C text     the client sends it and CRLF            c text    without CRLF
 *     U text     the upstream sends it and CRLF          u text    without CRLF
 *     D type delay name value     a record, from now on: T A 6 M P and a digit (0: at once)
 *     T digit    time passes: 10 ms, 100 ms, 1 s, 10 s, 60 s
 *     E, R       the client ends its half; resets         F         the upstream ends its half
 *
 * Holds      A message is acknowledged to the client no more often than an upstream acknowledged one, each to
 *            its own final dot.  To the client go only lines that are replies, to the upstream only CRLF lines.
 *            When all is closed nothing is left: no session, no question, no timer.
 */
#include "test/sim/fake_dns.h"
#include "test/sim/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AUTOMATIC = 1, TRUSTED = 2, TALL = 4 };
enum { EVENTS_MAX = 160, RECORDS_MAX = 60, OUTSTANDING_MAX = 64, CONNECTS_MAX = WORLD_UPSTREAMS - 4 };
enum awaited { AWAITS_OTHER = 0, AWAITS_DATA, AWAITS_FINAL };

static const char conf[] =
    "server: {hostname: mx.test, listen: [\"127.0.0.1:2525\"], greet_delay: 0ms, private_clients: judge}\n"
    "upstreams: {up: {servers: [\"127.0.0.9:25\"]}}\n"
    "domains: {example.test: up}\n"
    "limits: {ban: off, duplicate_guard: off, message_size: 1MiB}\n"
    "headers: {add: {X-Client: \"{client.ip} {client.rdns} {helo.name} {sender.address}\"}}\n"
    "policy: {contact: \"https://why.test/\"}\n"
    "reputation: {guard: {probe_interval: off, sample: 0%, canaries: []}, lists: [{name: bl, zone: bl.test, "
    "probe: off, reason: txt}, {name: dbl, zone: dbl.test, probe: off, looks_up: [helo, sender]}]}\n";

struct upstream { /* what it was sent and has not answered */
    enum awaited queue[OUTSTANDING_MAX];
    size_t count;
    bool in_data;
};

struct record {
    enum dns_type type;
    struct slice name; /* in the input */
    bool failing;
};

struct scene {
    struct world wd;
    struct upstream up[WORLD_UPSTREAMS];
    struct record record[RECORDS_MAX];
    size_t records, acknowledged;
};

static struct cidr anywhere = { .base = { .family = ADDR_V4 } };
static struct config_listener listener = { .text = { "sim", 3 }, .tls = TLS_MODE_STARTTLS };

static void meet_client(struct scene *s, bool trusted)
{
    struct session_client c = { .peer = { .family = ADDR_V4, .ip = { 192, 0, 2, 9 }, .port = 40000 },
                                .local = { .family = ADDR_V4, .ip = { 198, 51, 100, 25 }, .port = 25 } };
    int fd;

    listener.xclient = trusted;
    listener.trusted = &anywhere;
    listener.trusted_count = 1;
    s->wd.client = sim_client(&fd);
    session_accept(&s->wd.w, &listener, fd, &c);
}

static void note_line(struct scene *s, struct slice line)
{
    struct upstream *u = &s->up[s->wd.current - s->wd.up];

    if (u->in_data && !slice_eq(line, SLICE("."))) {
        return;
    }
    if (u->count < OUTSTANDING_MAX) {
        u->queue[u->count++] = u->in_data                      ? AWAITS_FINAL
                               : slice_eq(line, SLICE("DATA")) ? AWAITS_DATA
                                                               : AWAITS_OTHER;
    }
    u->in_data = false;
}

static void step(struct scene *s)
{
    struct buf line;

    s->wd.connect = s->wd.up_count < CONNECTS_MAX ? CONNECT_ACCEPT : CONNECT_REFUSE;
    world_step(&s->wd);
    buf_init(&line, 1u << 21);
    while (!s->wd.automatic && world_upstream_line(&s->wd, &line)) {
        note_line(s, buf_slice(&line));
        s->wd.in_data[s->wd.current - s->wd.up] = s->up[s->wd.current - s->wd.up].in_data;
    }
    buf_fini(&line);
}

/* One line of a reply, as a careless reader counts them. */
static void note_reply(struct scene *s, size_t i, struct slice line)
{
    struct upstream *u = &s->up[i];
    enum awaited first = u->queue[0];

    if (u->count == 0 || (line.len > 3 && line.ptr[3] == '-')) {
        return;
    }
    s->acknowledged += first == AWAITS_FINAL && line.len > 0 && line.ptr[0] == '2';
    u->in_data = first == AWAITS_DATA && line.len > 0 && line.ptr[0] == '3';
    s->wd.in_data[i] = u->in_data;
    u->count--;
    memmove(u->queue, u->queue + 1, u->count * sizeof(u->queue[0]));
}

static void upstream_says(struct scene *s, struct slice text, bool whole)
{
    size_t i;

    if (s->wd.automatic || s->wd.up_count == 0) {
        return;
    }
    i = s->wd.current != NULL ? (size_t)(s->wd.current - s->wd.up) : s->wd.up_count - 1;
    if (whole) {
        note_reply(s, i, text);
    }
    sim_send(s->wd.up[i].conn, text);
    if (whole) {
        sim_send(s->wd.up[i].conn, SLICE("\r\n"));
    }
}

/* What wire.c lets through. */
static bool value_fits(enum dns_type type, struct slice value)
{
    struct addr a;
    size_t space = slice_find(value, ' ');
    uint64_t n;

    if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA) {
        return addr_parse_ip(value, &a) && a.family == (type == DNS_TYPE_A ? ADDR_V4 : ADDR_V6);
    }
    if (type == DNS_TYPE_MX) {
        return space < value.len && slice_to_u64(slice_take(value, space), 65535, &n) &&
               (slice_eq(slice_skip(value, space + 1), SLICE(".")) ||
                hostname_valid(slice_skip(value, space + 1)));
    }
    return type == DNS_TYPE_PTR ? hostname_valid(value) : value.len < 4000;
}

static bool is_failure(struct slice v)
{
    return slice_eq(v, SLICE("NXDOMAIN")) || slice_eq(v, SLICE("NODATA")) || slice_eq(v, SLICE("SERVFAIL")) ||
           slice_eq(v, SLICE("GARBAGE")) || slice_eq(v, SLICE("TIMEOUT"));
}

/* A question has records or fails: rows of both kinds are no answer. */
static bool contradicts(const struct scene *s, enum dns_type type, const char *name, bool failing)
{
    for (size_t i = 0; i < s->records; i++) {
        const struct record *r = &s->record[i];

        if (r->type == type && slice_eq_nocase(r->name, slice_str(name)) && (failing || r->failing)) {
            return true;
        }
    }
    return false;
}

/* "T3a.test v=spf1 -all" */
static void add_record(struct scene *s, struct slice text)
{
    static const enum dns_type types[] = { DNS_TYPE_TXT, DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_MX,
                                           DNS_TYPE_PTR };
    size_t kind = text.len > 2 ? slice_find(SLICE("TA6MP"), text.ptr[0]) : 5, space;
    char *name, *value;
    bool failing;

    if (kind >= ARRAY_LEN(types) || !ascii_is_digit(text.ptr[1]) || s->records == RECORDS_MAX ||
        memchr(text.ptr, '\0', text.len) != NULL) {
        return;
    }
    space = slice_find(slice_skip(text, 2), ' ');
    name = slice_dup(slice_take(slice_skip(text, 2), space));
    value = slice_dup(slice_skip(text, space + 3));
    failing = is_failure(slice_str(value));
    if ((failing || value_fits(types[kind], slice_str(value))) &&
        !contradicts(s, types[kind], name, failing)) {
        fake_dns_add(s->wd.w.resolver, name, types[kind], value, (uint64_t)(text.ptr[1] - '0') * 700);
        s->record[s->records] =
            (struct record){ types[kind], slice_take(slice_skip(text, 2), space), failing };
        s->records++;
    }
    free(name);
    free(value);
}

static void pass(struct scene *s, struct slice text)
{
    static const uint64_t ms[] = { 10, 100, 1000, 10000, 60000 };

    world_pass(&s->wd, ms[text.len > 0 ? (unsigned char)text.ptr[0] % ARRAY_LEN(ms) : 0]);
}

static void play(struct scene *s, char event, struct slice text)
{
    switch (event) {
    case 'C':
    case 'c':
        sim_send(s->wd.client, text);
        if (event == 'C') {
            sim_send(s->wd.client, SLICE("\r\n"));
        }
        break;
    case 'U':
    case 'u':
        upstream_says(s, text, event == 'U');
        break;
    case 'D':
        add_record(s, text);
        break;
    case 'T':
        pass(s, text);
        break;
    case 'E':
        sim_eof(s->wd.client);
        break;
    case 'R':
        sim_reset(s->wd.client);
        break;
    case 'F':
        if (s->wd.up_count > 0) {
            sim_eof(s->wd.up[s->wd.up_count - 1].conn);
        }
        break;
    default:
        break;
    }
    step(s);
}

/* What the client was told: replies and nothing else; how often a message was taken after a 354. */
static size_t check_client(const struct scene *s)
{
    struct slice rest = buf_slice(&s->wd.client->all);
    bool after_354 = false;
    size_t taken = 0;

    while (rest.len > 0) {
        size_t lf = slice_find(rest, '\n');
        struct slice line = slice_cut(&rest, '\n');

        if (lf == line.len + rest.len) {
            break; /* cut by the end of the session */
        }
        BUG_ON(line.len < 5 || line.len > 512 || line.ptr[line.len - 1] != '\r');
        BUG_ON(!ascii_is_digit(line.ptr[0]) || (line.ptr[3] != ' ' && line.ptr[3] != '-'));
        for (size_t i = 0; i + 1 < line.len; i++) {
            BUG_ON(!ascii_is_print(line.ptr[i]) && (unsigned char)line.ptr[i] < 0x80);
        }
        if (line.ptr[3] == ' ') {
            taken += after_354 && line.ptr[0] == '2' && !slice_starts(line, SLICE("221"));
            after_354 = slice_starts(line, SLICE("354"));
        }
    }
    return taken;
}

static void check_upstreams(struct scene *s)
{
    for (size_t i = 0; i < s->wd.up_count; i++) {
        struct slice all = buf_slice(&s->wd.up[i].conn->all);

        s->acknowledged += s->wd.ends[i];
        for (size_t k = 0; k < all.len; k++) {
            BUG_ON(all.ptr[k] == '\n' && (k == 0 || all.ptr[k - 1] != '\r'));
            BUG_ON(all.ptr[k] == '\0');
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *loaded; /* immutable; one for all inputs */
    struct scene *s;
    struct slice rest;

    if (size < 2) {
        return 0;
    }
    s = xcalloc(1, sizeof(*s));
    loaded = loaded != NULL ? loaded : world_conf(slice_str(conf));
    world_start(&s->wd, loaded);
    s->wd.automatic = data[0] & AUTOMATIC;
    if (data[0] & TALL) {
        world_keywords(&s->wd, SLICE("8BITMIME"));
    }
    rest = slice_of(data + 1, size - 1);
    for (size_t n = 0; rest.len > 0 && n < EVENTS_MAX; n++) {
        struct slice line = slice_cut(&rest, '\n');

        if (s->wd.client == NULL && !slice_starts(line, SLICE("D"))) {
            meet_client(s, data[0] & TRUSTED);
            step(s);
        }
        if (line.len > 0) {
            play(s, line.ptr[0], slice_skip(line, 1));
        }
    }
    if (s->wd.client != NULL) {
        sim_eof(s->wd.client);
        world_pass(&s->wd, 2000);
        check_upstreams(s);
        BUG_ON(check_client(s) > s->acknowledged);
    }
    world_stop(&s->wd);
    free(s);
    return 0;
}
