/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selftest.c - is this resolver fit for lists and SPF?
 *
 * The test asks each server separately, bypassing cache and health, all questions at once:
 *
 *     known name    NS over UDP, and over TCP      reachable?
 *                   the same with EDNS             does it support EDNS, refuse it, or not answer?
 *     absent name   A, a random label in front     does it answer for a nonexistent name?
 *     each list     A of its entry for 127.0.0.2   is 127/8 filtered on the way? does the list refuse us?
 *
 * Every question is one struct probe.  One pure function per check judges the answer and writes the sentence.  Only the
 * EDNS check uses EDNS, because the others do not need it.  So a server without EDNS support fails only that check.
 *
 * Owns    two connections to each server, and the findings; all are freed with the test.
 * RFC     5782 5 (test entries), 2308, 6891
 * Limits  DNS_SERVERS_MAX servers, DNS_SELFTEST_LISTS_MAX lists; one deadline over all
 */
#include "core/crypto.h"
#include "dns/resolver.h"

#define DEFAULT_DEADLINE_MS 10000
#define RANDOM_LABEL_LEN 16
#define SHOWN_MAX 60 /* octets of a name in a sentence */

struct probe {
    struct dns_selftest *t;
    struct dns_finding *finding;
    struct exchange *via;
    struct wire_question q;
    bool done;
};

struct dns_selftest {
    struct loop *loop;
    dns_selftest_cb cb;
    void *arg;
    struct deferred deliver;
    struct timer deadline;
    struct exchange *udp[DNS_SERVERS_MAX];
    struct exchange *tcp[DNS_SERVERS_MAX];
    size_t server_count;
    size_t outstanding; /* probes without an answer */
    size_t probe_count;
    struct probe *probes;
    size_t finding_count;
    struct dns_finding *findings;
    size_t list_count;
    char *list_names[DNS_SELFTEST_LISTS_MAX];
};

/* ---- sentences ---- */

static void begin_text(struct buf *b, struct dns_finding *f, enum dns_grade grade)
{
    f->grade = grade;
    buf_init_fixed(b, f->text, sizeof(f->text));
    buf_put_str(b, "resolver ");
    addr_put_endpoint(b, &f->server);
    buf_put_char(b, ' ');
}

static void say(struct dns_finding *f, enum dns_grade grade, const char *text)
{
    struct buf b;

    begin_text(&b, f, grade);
    buf_put_str(&b, text);
}

/* "resolver 192.0.2.1:53 <before> <subject> <after>" */
static void say_about(struct dns_finding *f, enum dns_grade grade, const char *parts[2], struct slice subject)
{
    struct buf b;

    begin_text(&b, f, grade);
    buf_put_str(&b, parts[0]);
    buf_put_quoted(&b, subject, SHOWN_MAX);
    buf_put_str(&b, parts[1]);
}

static void put_first_address(struct buf *b, const struct wire_answer *w)
{
    struct addr a = dns_record_addr(&w->records[0]);

    addr_put_ip(b, &a);
}

/* ---- judging the answers ---- */

static const char *failure_text(enum dns_why why)
{
    switch (why) {
    case DNS_WHY_TIMEOUT:
        return "did not answer in time";
    case DNS_WHY_NETWORK:
        return "cannot be reached: nothing could be sent, or the connection was refused";
    case DNS_WHY_REFUSED:
        return "refuses our questions: it is not meant for this host, or is no recursive resolver";
    case DNS_WHY_SERVFAIL:
        return "answers SERVFAIL: it cannot resolve a name that is known to exist";
    case DNS_WHY_GARBAGE:
        return "gives answers that cannot be read";
    case DNS_WHY_NONE:
    case DNS_WHY_ILLEGAL:
    case DNS_WHY_OVERLOAD:
    case DNS_WHY_PACE:
    case DNS_WHY_COUNT:
        break;
    }
    return "gave no usable answer";
}

static void judge_known(struct dns_finding *f, const struct wire_answer *w)
{
    bool tcp = f->check == DNS_CHECK_TCP;
    struct buf b;

    if (w->status == DNS_OK) {
        say(f, DNS_GRADE_OK, tcp ? "answers over TCP" : "answers over UDP");
    } else if (w->status == DNS_TEMPFAIL) {
        begin_text(&b, f, DNS_GRADE_BROKEN);
        buf_put_str(&b, tcp ? "over TCP " : "over UDP ");
        buf_put_str(&b, failure_text(w->why));
        if (tcp) {
            buf_put_str(&b, "; long SPF and DKIM records will fail");
        }
    } else {
        say(f, DNS_GRADE_WARN, "answers, but a name that should exist has no name servers");
    }
}

#define DEARER "every answer above 512 octets costs a TCP connection"

/* `refused`: the answer belongs to the question without EDNS. */
static void judge_edns(struct dns_finding *f, const struct wire_answer *w, bool refused)
{
    if (w->status == DNS_TEMPFAIL && !w->has_opt) {
        say(f, DNS_GRADE_UNKNOWN, "gave no answer that shows whether it speaks EDNS");
    } else if (w->has_opt) {
        say(f, DNS_GRADE_OK, "speaks EDNS: large answers fit UDP");
    } else if (refused) {
        say(f, DNS_GRADE_WARN,
            "refuses questions with EDNS (FORMERR or NOTIMP): it is asked without, and " DEARER);
    } else {
        say(f, DNS_GRADE_WARN, "does not speak EDNS: " DEARER);
    }
}

static void judge_absent(struct dns_finding *f, const struct wire_answer *w)
{
    struct buf b;

    if (w->status == DNS_NXDOMAIN) {
        say(f, DNS_GRADE_OK, "says NXDOMAIN for a name that does not exist");
    } else if (w->status == DNS_OK) {
        begin_text(&b, f, DNS_GRADE_BROKEN);
        buf_put_str(&b, "answers ");
        put_first_address(&b, w);
        buf_put_str(&b,
                    " for a name that does not exist: NXDOMAIN is rewritten, every list would seem to list "
                    "everyone");
    } else if (w->status == DNS_NODATA) {
        say(f, DNS_GRADE_WARN,
            "says that a random name exists, without an address: NXDOMAIN may be rewritten");
    } else {
        say(f, DNS_GRADE_UNKNOWN, "gave no usable answer for a name that does not exist");
    }
}

/* 127.255.255.0/24: several lists return it as an error code. */
static void judge_list_error(struct dns_finding *f, uint8_t code, struct slice list)
{
    const char *parts[2] = { "is refused by list ", ": this error answer has no meaning known here" };

    if (code == 254) {
        parts[1] = " as a public or open resolver (127.255.255.254): ask through a resolver of your own";
    } else if (code == 252) {
        parts[1] = ": the zone is mistyped (127.255.255.252)";
    } else if (code == 255) {
        parts[1] = " for too many questions (127.255.255.255)";
    }
    say_about(f, DNS_GRADE_BROKEN, parts, list);
}

static void judge_list_records(struct dns_finding *f, const struct wire_answer *w, struct slice list)
{
    static const char *ok[2] = { "passes on the test entry of list ", "" };
    struct buf b;

    for (size_t i = 0; i < w->count; i++) {
        const uint8_t *ip = (const uint8_t *)w->records[i].data.ptr;

        if (ip[0] == 127 && ip[1] == 255 && ip[2] == 255) {
            judge_list_error(f, ip[3], list);
            return;
        }
        if (ip[0] != 127) {
            begin_text(&b, f, DNS_GRADE_BROKEN);
            buf_put_str(&b, "answers ");
            put_first_address(&b, w);
            buf_put_str(&b, ", which is outside 127/8, for list ");
            buf_put_quoted(&b, list, SHOWN_MAX);
            buf_put_str(&b, ": rewritten, or the list is gone");
            return;
        }
    }
    say_about(f, DNS_GRADE_OK, ok, list);
}

static void judge_list(struct dns_finding *f, const struct wire_answer *w, struct slice list)
{
    static const char *nodata[2] = { "has no answer for the test entry of list ",
                                     ": answers in 127/8 are filtered on the way (rebinding protection)" };
    static const char *absent[2] = { "finds no test entry in list ",
                                     ": the zone is wrong or dead, or its answers are filtered on the way" };
    static const char *failed[2] = { "could not ask list ", "" };

    switch (w->status) {
    case DNS_OK:
        judge_list_records(f, w, list);
        break;
    case DNS_NODATA:
        say_about(f, DNS_GRADE_BROKEN, nodata, list);
        break;
    case DNS_NXDOMAIN:
        say_about(f, DNS_GRADE_BROKEN, absent, list);
        break;
    case DNS_TEMPFAIL:
    case DNS_STATUS_COUNT:
        say_about(f, DNS_GRADE_UNKNOWN, failed, list);
        break;
    }
}

static void judge(struct probe *p, const struct wire_answer *w)
{
    struct dns_finding *f = p->finding;

    switch (f->check) {
    case DNS_CHECK_UDP:
    case DNS_CHECK_TCP:
        judge_known(f, w);
        break;
    case DNS_CHECK_EDNS:
        judge_edns(f, w, exchange_is_plain(p->via));
        break;
    case DNS_CHECK_NXDOMAIN:
        judge_absent(f, w);
        break;
    case DNS_CHECK_LIST:
        judge_list(f, w, slice_str(p->t->list_names[f->list]));
        break;
    case DNS_CHECK_COUNT:
        break;
    }
}

/* Finds servers that answer, but not with EDNS: known only after both probes have ended. */
static void judge_silence(struct dns_selftest *t)
{
    for (size_t i = 0; i + 2 < t->finding_count; i++) {
        const struct dns_finding *udp = &t->findings[i];
        struct dns_finding *edns = &t->findings[i + 2];

        if (udp->check == DNS_CHECK_UDP && udp->grade == DNS_GRADE_OK && edns->grade == DNS_GRADE_UNKNOWN) {
            say(edns, DNS_GRADE_WARN,
                "does not answer questions with EDNS, or something on the way drops them: it is asked "
                "without, and " DEARER);
        }
    }
}

/* ---- running ---- */

static void test_free(struct dns_selftest *t)
{
    timer_stop(&t->deadline);
    deferred_cancel(&t->deliver);
    for (size_t i = 0; i < t->server_count; i++) {
        exchange_free(t->udp[i]);
        exchange_free(t->tcp[i]);
    }
    for (size_t i = 0; i < t->list_count; i++) {
        free(t->list_names[i]);
    }
    free(t->probes);
    free(t->findings);
    free(t);
}

/* Grades from the least to the most alarming. */
static unsigned alarm_of(enum dns_grade grade)
{
    static const unsigned order[DNS_GRADE_COUNT] = {
        [DNS_GRADE_OK] = 0, [DNS_GRADE_WARN] = 1, [DNS_GRADE_UNKNOWN] = 2, [DNS_GRADE_BROKEN] = 3
    };

    return order[grade];
}

static void on_deliver(void *arg)
{
    struct dns_selftest *t = arg;
    struct dns_selftest_result res = { .count = t->finding_count, .findings = t->findings };
    dns_selftest_cb cb = t->cb;
    void *cb_arg = t->arg;

    judge_silence(t);
    for (size_t i = 0; i < t->finding_count; i++) {
        if (alarm_of(t->findings[i].grade) > alarm_of(res.worst)) {
            res.worst = t->findings[i].grade;
        }
    }
    /* frees the test before the callback; only the findings must outlive it */
    t->findings = NULL;
    test_free(t);
    cb(&res, cb_arg);
    free((void *)(uintptr_t)res.findings);
}

static void on_probe(enum exchange_status status, struct slice packet, void *arg)
{
    struct probe *p = arg;
    struct dns_selftest *t = p->t;
    struct wire_answer w = { .status = DNS_TEMPFAIL, .why = DNS_WHY_TIMEOUT };
    struct arena mem;

    arena_init(&mem, WIRE_ARENA_MAX);
    if (status == EXCHANGE_ANSWER) {
        wire_parse(packet, &p->q, &mem, &w);
    } else if (status == EXCHANGE_NETWORK) {
        w.why = DNS_WHY_NETWORK;
    }
    judge(p, &w);
    arena_fini(&mem);
    p->done = true;
    t->outstanding -= 1;
    if (t->outstanding == 0) {
        loop_defer(t->loop, &t->deliver);
    }
}

static void on_deadline(void *arg)
{
    struct dns_selftest *t = arg;
    struct wire_answer late = { .status = DNS_TEMPFAIL, .why = DNS_WHY_TIMEOUT };

    for (size_t i = 0; i < t->probe_count; i++) {
        if (!t->probes[i].done) {
            judge(&t->probes[i], &late);
        }
    }
    loop_defer(t->loop, &t->deliver);
}

static struct dns_finding *add_finding(struct dns_selftest *t, enum dns_check check,
                                       const struct addr *server)
{
    struct dns_finding *f = &t->findings[t->finding_count++];

    f->check = check;
    f->grade = DNS_GRADE_UNKNOWN;
    f->server = *server;
    return f;
}

static struct probe *add_probe(struct dns_selftest *t, struct dns_finding *f, uint16_t type,
                               struct slice name)
{
    struct probe *p = &t->probes[t->probe_count++];

    p->t = t;
    p->finding = f;
    p->q.type = type;
    if (!wire_name_set(&p->q.name, name)) {
        p->done = true;
        say(f, DNS_GRADE_UNKNOWN, "was not asked: the name for this check is not legal");
    } else {
        t->outstanding += 1;
    }
    return p;
}

static void put_random_label(struct buf *b)
{
    for (int i = 0; i < RANDOM_LABEL_LEN; i++) {
        buf_put_char(b, (char)('a' + random_below(26)));
    }
}

static void add_absent(struct dns_selftest *t, const struct dns_selftest_settings *s,
                       const struct addr *server)
{
    char mem[DNS_NAME_MAX + 2];
    struct buf name;

    buf_init_fixed(&name, mem, sizeof(mem));
    put_random_label(&name);
    if (!slice_empty(s->absent)) {
        buf_put_char(&name, '.');
        buf_put_slice(&name, s->absent);
    }
    if (!buf_ok(&name)) {
        buf_truncate(&name, 0);
    }
    add_probe(t, add_finding(t, DNS_CHECK_NXDOMAIN, server), DNS_TYPE_A, buf_slice(&name));
}

static void add_list(struct dns_selftest *t, size_t list, struct slice zone, const struct addr *server)
{
    static const struct addr entry = { .family = ADDR_V4, .ip = { 127, 0, 0, 2 } };
    struct dns_finding *f = add_finding(t, DNS_CHECK_LIST, server);
    char mem[DNS_NAME_MAX + 2];
    struct buf name;

    f->list = list;
    buf_init_fixed(&name, mem, sizeof(mem));
    if (!dns_put_list_name(&name, &entry, zone)) {
        buf_truncate(&name, 0);
    }
    add_probe(t, f, DNS_TYPE_A, buf_slice(&name));
}

static void add_server(struct dns_selftest *t, const struct dns_selftest_settings *s,
                       const struct addr *server)
{
    add_probe(t, add_finding(t, DNS_CHECK_UDP, server), DNS_TYPE_NS, s->known);
    add_probe(t, add_finding(t, DNS_CHECK_TCP, server), DNS_TYPE_NS, s->known);
    add_probe(t, add_finding(t, DNS_CHECK_EDNS, server), DNS_TYPE_NS, s->known);
    add_absent(t, s, server);
    for (size_t i = 0; i < t->list_count; i++) {
        add_list(t, i, s->lists[i], server);
    }
}

/* Probes are in groups, one group per server, in the order of add_server(). */
static void send_all(struct dns_selftest *t)
{
    size_t per_server = 4 + t->list_count;

    for (size_t i = 0; i < t->probe_count; i++) {
        struct probe *p = &t->probes[i];
        size_t server = i / per_server;

        p->via = p->finding->check == DNS_CHECK_TCP ? t->tcp[server] : t->udp[server];
        p->q.plain = p->finding->check != DNS_CHECK_EDNS;
        if (!p->done) {
            exchange_send(p->via, &p->q, on_probe, p);
        }
    }
    if (t->outstanding == 0) {
        loop_defer(t->loop, &t->deliver);
    }
}

struct dns_selftest *dns_selftest_start(const struct resolver *r,
                                        const struct dns_selftest_settings *settings, dns_selftest_cb cb,
                                        void *arg)
{
    struct dns_selftest *t = xcalloc(1, sizeof(*t));
    struct exchange_settings xs = { .timeout_ms = r->settings.timeout_ms };
    size_t per_server;

    t->loop = r->loop;
    t->cb = cb;
    t->arg = arg;
    t->server_count = r->servers.count;
    t->list_count = min_size(settings->list_count, DNS_SELFTEST_LISTS_MAX);
    deferred_init(&t->deliver, on_deliver, t);
    timer_init(&t->deadline, t->loop, on_deadline, t);
    for (size_t i = 0; i < t->list_count; i++) {
        t->list_names[i] = slice_dup(settings->list_names ? settings->list_names[i] : settings->lists[i]);
    }

    per_server = 4 + t->list_count;
    t->probes = xcalloc(t->server_count * per_server, sizeof(*t->probes));
    t->findings = xcalloc(t->server_count * per_server, sizeof(*t->findings));
    for (size_t i = 0; i < t->server_count; i++) {
        xs.server = r->servers.list[i].addr;
        xs.forgers = settings_forgers(&xs.server);
        xs.tcp = false;
        t->udp[i] = exchange_new(t->loop, &xs);
        xs.tcp = true;
        t->tcp[i] = exchange_new(t->loop, &xs);
        add_server(t, settings, &xs.server);
    }
    send_all(t);
    timer_start(&t->deadline, settings->deadline_ms ? settings->deadline_ms : DEFAULT_DEADLINE_MS);
    return t;
}

void dns_selftest_cancel(struct dns_selftest **test)
{
    struct dns_selftest *t = *test;

    *test = NULL;
    if (t != NULL) {
        test_free(t);
    }
}

const char *dns_check_text(enum dns_check check)
{
    static const char *const texts[DNS_CHECK_COUNT] = { "udp", "tcp", "edns", "nxdomain", "list" };

    return check < DNS_CHECK_COUNT ? texts[check] : "?";
}

const char *dns_grade_text(enum dns_grade grade)
{
    static const char *const texts[DNS_GRADE_COUNT] = { "ok", "warn", "broken", "unknown" };

    return grade < DNS_GRADE_COUNT ? texts[grade] : "?";
}
