/*
 * cmd_explain.c - glacis explain: what would happen to this envelope, and why.
 *
 * The same judgement as in the proxy, over the real DNS; nothing is learned, no upstream is asked.  What
 * --helo and --from hold is not checked: whatever a client may send, explain may be asked.  Facts that no rule
 * needs are not asked here either.  A recipient whose domain is not in the file is refused whatever the rules
 * say: their answers are shown, and relay control's is the verdict.
 *
 * Owns       a configuration, its policy, a loop, a resolver and one judge, for one question.
 */
#include <getopt.h>
#include <sysexits.h>

#include "admin/admin.h"
#include "core/crypto.h"
#include "core/idna.h"
#include "dns/dns.h"
#include "policy/policy.h"

#define OUTPUT_MAX ((size_t)4 << 20)
#define TEXT_MAX 65536
#define POLL_MS 5
#define SETTLE_MS 30000 /* after the verdict: for what nobody waits for */

static const char usage[] =
    "usage: glacis explain --ip ADDRESS --helo NAME --from ADDRESS --rcpt ADDRESS\n"
    "                      [--rdns NAME] [--tls] [-c FILE] [--json]\n"
    "  --ip ADDRESS       the client\n"
    "  --helo NAME        what it says in EHLO\n"
    "  --from ADDRESS     MAIL FROM; \"\" or \"<>\" is the null sender\n"
    "  --rcpt ADDRESS     RCPT TO\n"
    "  --rdns NAME        its verified name, which is then not asked for\n"
    "  --tls              the session has TLS\n"
    "  -c, --config FILE  the configuration (- is standard input); without it the preset spf-first alone\n"
    "      --json         one JSON object\n"
    "\n"
    "Exit status: 0 whatever the verdict, 69 if no DNS server answered anything, 78 for a bad file.\n";

/* Without a file: the preset, for a domain that nobody has. */
static const char built_in[] = "server: {hostname: glacis.invalid}\n"
                               "upstreams: {none: {servers: [\"192.0.2.1:25\"]}}\n"
                               "domains: {glacis.invalid: none}\n";

struct request {
    const char *ip, *helo, *from, *rcpt, *rdns, *path;
    bool tls, json;
    struct addr client;
};

struct explain {
    const struct request *rq;
    struct config *conf;
    struct policy *policy;
    struct loop *loop;
    struct resolver *resolver;
    struct policy_worker *pw;
    struct judge *judge;
    char id[ULID_LEN + 1];
    struct timer poll;
    uint64_t until_ms;

    /* the verdict; its texts are copies */
    enum verdict_action action;
    const char *rule;
    unsigned code;
    struct buf reply; /* behind the code: lines joined by '\n' */
    struct buf tags;  /* header fields */
    uint64_t tarpit_ms;
    bool monitored;
};

/* ---- the command line ---- */

static int complain(const char *what, const char *word)
{
    fprintf(stderr, "glacis explain: %s\"%s\"\n%s", what, word, usage);
    return EX_USAGE;
}

/* "--helo, --from and --rcpt are missing". */
static int complain_missing(const struct request *rq)
{
    const struct {
        const char *name, *value;
    } needed[] = {
        { "--ip", rq->ip }, { "--helo", rq->helo }, { "--from", rq->from }, { "--rcpt", rq->rcpt }
    };
    const char *missing[ARRAY_LEN(needed)];
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        if (needed[i].value == NULL) {
            missing[n++] = needed[i].name;
        }
    }
    fputs("glacis explain: ", stderr);
    for (size_t i = 0; i < n; i++) {
        fprintf(stderr, "%s%s", i == 0 ? "" : i + 1 == n ? " and " : ", ", missing[i]);
    }
    fprintf(stderr, " %s missing\n%s", n == 1 ? "is" : "are", usage);
    return EX_USAGE;
}

static int check_arguments(struct request *rq)
{
    if (rq->ip == NULL || rq->helo == NULL || rq->from == NULL || rq->rcpt == NULL) {
        return complain_missing(rq);
    }
    if (!addr_parse_ip(slice_str(rq->ip), &rq->client)) {
        return complain("--ip: expected an address such as 192.0.2.1 or 2001:db8::1, found ", rq->ip);
    }
    return EX_OK;
}

/* EX_OK to go on, otherwise the exit code; -1 when the help was asked for. */
static int parse_arguments(int argc, char **argv, struct request *rq)
{
    static const struct option options[] = {
        { "ip", required_argument, NULL, 'i' },     { "helo", required_argument, NULL, 'e' },
        { "from", required_argument, NULL, 'f' },   { "rcpt", required_argument, NULL, 'r' },
        { "rdns", required_argument, NULL, 'n' },   { "tls", no_argument, NULL, 't' },
        { "config", required_argument, NULL, 'c' }, { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    int opt;

    optind = 1;
    while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        const char **texts[] = { ['i'] = &rq->ip,   ['e'] = &rq->helo, ['f'] = &rq->from,
                                 ['r'] = &rq->rcpt, ['n'] = &rq->rdns, ['c'] = &rq->path };

        if (opt == 't') {
            rq->tls = true;
        } else if (opt == 'j') {
            rq->json = true;
        } else if (opt == 'h') {
            fputs(usage, stdout);
            return -1;
        } else if (opt > 0 && (size_t)opt < ARRAY_LEN(texts) && texts[opt] != NULL) {
            *texts[opt] = optarg;
        } else {
            fputs(usage, stderr);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        return complain("unexpected argument ", argv[optind]);
    }
    return check_arguments(rq);
}

/* ---- the judgement ---- */

static void on_verdict(void *arg, const struct verdict *v)
{
    struct explain *x = arg;

    x->action = v->action;
    x->rule = v->rule;
    x->code = v->code;
    x->tarpit_ms = v->tarpit_ms;
    x->monitored = v->monitored;
    if (v->code != 0) {
        struct slice rest = v->text;

        while (!slice_empty(rest)) {
            struct slice line = slice_cut(&rest, '\n');

            buf_put_str(&x->reply, x->reply.len > 0 ? "\n" : "");
            buf_put_slice(&x->reply, v->enhanced);
            buf_put_char(&x->reply, ' ');
            buf_put_slice(&x->reply, line);
        }
        buf_putf(&x->reply, " [%s]", x->id);
    }
    judge_recipient_taken(x->judge);
    x->until_ms = loop_now(x->loop) + SETTLE_MS;
    timer_start(&x->poll, 0);
}

/* What was asked and not waited for is shown too, so it is let come in. */
static void on_poll(void *arg)
{
    struct explain *x = arg;

    if (judge_settled(x->judge) || loop_now(x->loop) >= x->until_ms) {
        loop_stop(x->loop);
    } else {
        timer_start(&x->poll, POLL_MS);
    }
}

/* An address in parts; the domain in A-labels where it is one. */
struct address {
    struct slice whole, local, domain;
    char mem[IDNA_NAME_MAX + 1];
    char whole_mem[IDNA_NAME_MAX + 20]; /* of a completed <postmaster> */
};

static void split(const char *text, struct address *a)
{
    struct slice s = slice_str(text), domain;
    struct buf ascii;
    size_t at;

    if (s.len >= 2 && s.ptr[0] == '<' && s.ptr[s.len - 1] == '>') {
        s = slice_of(s.ptr + 1, s.len - 2);
    }
    at = slice_rfind(s, '@');
    domain = slice_skip(s, at + 1);
    buf_init_fixed(&ascii, a->mem, sizeof(a->mem));
    a->whole = s;
    a->local = slice_take(s, at);
    a->domain = idna_to_ascii(domain, &ascii) ? buf_slice(&ascii) : domain;
}

/* The recipient; <postmaster> without a domain is that of the first domain (RFC 5321 4.5.1). */
static void split_recipient(const struct explain *x, struct address *a)
{
    const struct config_domain *home = config_postmaster_home(x->conf);
    struct buf whole;

    split(x->rq->rcpt, a);
    if (slice_empty(a->domain) && slice_eq_nocase(a->local, SLICE("postmaster")) && home != NULL) {
        buf_init_fixed(&whole, a->whole_mem, sizeof(a->whole_mem));
        buf_put_slice(&whole, a->local);
        buf_put_char(&whole, '@');
        buf_put_str(&whole, home->name);
        split(a->whole_mem, a);
    }
}

/* Relay control's answer, as the proxy gives it (proxy/recipient.c); NULL: the rules decide. */
static const char *refusal(const struct explain *x, const struct address *rcpt)
{
    const struct config_domain *home;
    char mem[IDNA_NAME_MAX + 1];
    struct buf domain;

    if (x->rq->path == NULL) {
        return NULL; /* without a file nothing is known of domains */
    }
    if (slice_empty(rcpt->domain) || slice_empty(rcpt->local)) {
        return "501 5.1.3 Bad recipient address syntax";
    }
    buf_init_fixed(&domain, mem, sizeof(mem));
    for (size_t i = 0; i < rcpt->domain.len; i++) {
        buf_put_char(&domain, ascii_lower(rcpt->domain.ptr[i]));
    }
    home = buf_ok(&domain) ? config_route(x->conf, buf_slice(&domain)) : NULL;
    if (home == NULL) {
        return "550 5.7.1 We do not relay mail for this domain";
    }
    if (home->validate != VALIDATE_FILE || slice_eq_nocase(rcpt->local, SLICE("postmaster")) ||
        config_recipient_known(home, rcpt->local, buf_slice(&domain))) {
        return NULL;
    }
    return "550 5.1.1 No such user here";
}

/* Instead of what the rules said. */
static void set_refusal(struct explain *x, const char *reply)
{
    x->action = VERDICT_REJECT;
    x->rule = "relay control";
    x->code = strncmp(reply, "501", 3) == 0 ? 501 : 550;
    x->tarpit_ms = 0;
    x->monitored = false;
    buf_reset(&x->reply);
    buf_putf(&x->reply, "%s [%s]", reply + 4, x->id);
}

static void ask(struct explain *x)
{
    const struct request *rq = x->rq;
    struct judge_client client = {
        .ip = rq->client,
        .is_private = addr_is_private(&rq->client),
        .rdns = rq->rdns != NULL ? slice_str(rq->rdns) : SLICE_NONE,
        .session_id = x->id,
    };
    struct address from, rcpt;
    struct judge_sender sender;
    struct judge_recipient recipient;

    client.exempt = client.is_private && x->conf->server.private_clients == PRIVATE_EXEMPT;
    split(rq->from, &from);
    split_recipient(x, &rcpt);
    sender = (struct judge_sender){ from.whole, from.local, from.domain, slice_empty(from.whole) };
    recipient = (struct judge_recipient){ rcpt.whole, rcpt.local, rcpt.domain, rcpt.whole, 0 };
    x->judge = judge_new(x->pw, &client);
    judge_violations(x->judge, 0);
    if (rq->tls) {
        judge_tls(x->judge, SLICE("TLSv1.3"), SLICE("TLS_AES_256_GCM_SHA384"), SLICE(""));
    }
    judge_helo(x->judge, slice_str(rq->helo));
    judge_mail(x->judge, &sender);
    judge_rcpt(x->judge, &recipient, on_verdict, x);
    timer_init(&x->poll, x->loop, on_poll, x);
    loop_run(x->loop);
    if (refusal(x, &rcpt) != NULL) {
        set_refusal(x, refusal(x, &rcpt));
    }
    judge_headers(x->judge, &x->tags);
    judge_added_headers(x->judge, &x->tags);
}

/* ---- facts with their sources ---- */

static bool is_known(const struct fact_value *v)
{
    return v->state == FACT_KNOWN || v->state == FACT_SOFT;
}

static void put_time(struct buf *out, uint64_t us)
{
    buf_putf(out, "%" PRIu64 ".%" PRIu64 " ms", us / 1000, us % 1000 / 100);
}

static void put_facts_text(const struct explain *x, struct buf *out)
{
    const struct facts *f = judge_facts(x->judge);
    struct judge_list_info list;

    buf_put_str(out, "facts\n");
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        char from_mem[100], value_mem[2000];
        struct buf from, value;
        uint64_t us;

        buf_init_fixed(&from, from_mem, sizeof(from_mem));
        buf_init_fixed(&value, value_mem, sizeof(value_mem));
        if (!judge_fact_source(x->judge, (enum fact_id)i, &from, &us)) {
            continue;
        }
        fact_put(&value, (enum fact_id)i, &f->v[i]);
        buf_putf(out, "  %-24s ", fact_table[i].name);
        if (!is_known(&f->v[i])) {
            buf_put_str(out, f->v[i].state == FACT_PENDING ? "(no answer yet)" : "unknown");
        } else if (value.len == 0) {
            buf_put_str(out, "(empty)");
        } else {
            buf_put_quoted(out, buf_slice(&value), 400);
        }
        buf_putf(out, "   <- %s", from_mem);
        if (us > 0) {
            buf_put_str(out, ", ");
            put_time(out, us);
        }
        buf_put_char(out, '\n');
    }
    for (size_t i = 0; judge_list(x->judge, i, &list); i++) {
        buf_putf(out, "  reputation." SLICE_FMT " %s   <- " SLICE_FMT ", ", SLICE_ARG(list.name),
                 !list.known   ? "unknown"
                 : list.listed ? "true"
                               : "false",
                 SLICE_ARG(list.zone));
        if (list.asked) {
            buf_putf(out, "%s, ", list.from);
            put_time(out, list.us);
        } else {
            buf_put_str(out, "not asked");
        }
        buf_put_char(out, '\n');
    }
}

static void put_facts_json(const struct explain *x, struct buf *out)
{
    const struct facts *f = judge_facts(x->judge);
    struct judge_list_info list;

    buf_put_str(out, "\"facts\":{");
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        buf_putf(out, "%s\"%s\":", i > 0 ? "," : "", fact_table[i].name);
        fact_put_json(out, (enum fact_id)i, &f->v[i]);
    }
    for (size_t i = 0; judge_list(x->judge, i, &list); i++) {
        buf_putf(out, ",\"reputation." SLICE_FMT "\":%s", SLICE_ARG(list.name),
                 !list.known   ? "null"
                 : list.listed ? "true"
                               : "false");
    }
    buf_put_char(out, '}');
}

static void put_source(struct buf *out, const char *name, const char *from, uint64_t us)
{
    buf_putf(out, "%s\"%s\":{\"from\":", out->ptr[out->len - 1] == '{' ? "" : ",", name);
    buf_put_json(out, slice_str(from), 200);
    buf_putf(out, ",\"us\":%" PRIu64 "}", us);
}

static void put_sources_json(const struct explain *x, struct buf *out)
{
    struct judge_list_info list;

    buf_put_str(out, "\"sources\":{");
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        char mem[100];
        struct buf from;
        uint64_t us;

        buf_init_fixed(&from, mem, sizeof(mem));
        if (judge_fact_source(x->judge, (enum fact_id)i, &from, &us)) {
            put_source(out, fact_table[i].name, mem, us);
        }
    }
    for (size_t i = 0; judge_list(x->judge, i, &list); i++) {
        char mem[100];
        struct buf name;

        buf_init_fixed(&name, mem, sizeof(mem));
        buf_putf(&name, "reputation." SLICE_FMT, SLICE_ARG(list.name));
        if (list.asked) {
            put_source(out, mem, list.from, list.us);
        }
    }
    buf_put_char(out, '}');
}

/* ---- rules ---- */

static const char *const outcomes[] = {
    [RULE_NOT_ASKED] = "not-asked", [RULE_MATCHED] = "matched",     [RULE_NOT] = "not",
    [RULE_UNKNOWN] = "unknown",     [RULE_MONITORED] = "monitored",
};

static void put_rules(const struct explain *x, struct buf *out)
{
    buf_put_str(out, x->rq->json ? "\"rules\":[" : "\nrules\n");
    for (size_t i = 0; i < judge_rule_count(x->judge); i++) {
        const char *name = judge_rule_name(x->judge, i);
        const char *outcome = outcomes[judge_rule_outcome(x->judge, i)];
        struct buf why;

        buf_init(&why, TEXT_MAX);
        judge_rule_why(x->judge, i, &why);
        if (x->rq->json) {
            buf_putf(out, "%s{\"name\":\"%s\",\"outcome\":\"%s\",\"why\":", i > 0 ? "," : "", name, outcome);
            buf_put_json(out, buf_slice(&why), 4000);
            buf_put_char(out, '}');
        } else {
            buf_putf(out, "  %-24s %-9s  ", name, outcome);
            buf_put_slice(out,
                          judge_rule_outcome(x->judge, i) == RULE_NOT_ASKED ? SLICE("") : buf_slice(&why));
            buf_put_char(out, '\n');
        }
        buf_fini(&why);
    }
    buf_put_str(out, x->rq->json ? "]" : "");
}

/* ---- verdict and tags ---- */

static void put_verdict_json(const struct explain *x, struct buf *out)
{
    buf_putf(out, "\"verdict\":{\"action\":\"%s\",\"rule\":\"%s\",\"code\":%u,\"text\":",
             verdict_action_text(x->action), x->rule, x->code != 0 ? x->code : 250);
    buf_put_json(out, buf_slice(&x->reply), 8000);
    buf_putf(out, ",\"mode\":\"%s\",\"tarpit_ms\":%" PRIu64 "}", x->monitored ? "monitor" : "enforce",
             x->tarpit_ms);
}

static void put_verdict_text(const struct explain *x, struct buf *out)
{
    struct slice rest = buf_slice(&x->reply);

    buf_putf(out, "\nverdict\n  %s by %s%s\n", verdict_action_text(x->action), x->rule,
             x->monitored ? " (mode: monitor: delivered all the same)" : "");
    if (x->tarpit_ms > 0) {
        buf_putf(out, "  held back for %" PRIu64 " ms\n", x->tarpit_ms);
    }
    if (x->code == 0) {
        buf_put_str(out, "  the upstream's own answer\n");
    }
    while (!slice_empty(rest)) {
        struct slice line = slice_cut(&rest, '\n');

        buf_putf(out, "  %u%c" SLICE_FMT "\n", x->code, slice_empty(rest) ? ' ' : '-', SLICE_ARG(line));
    }
}

/* The next field, unfolded; false at the end. */
static bool next_tag(struct slice *rest, struct buf *name, struct buf *value)
{
    struct slice line;

    buf_reset(name);
    buf_reset(value);
    if (slice_empty(*rest)) {
        return false;
    }
    line = slice_cut(rest, '\n');
    buf_put_slice(name, slice_cut(&line, ':'));
    while (true) {
        line.len -= line.len > 0 && line.ptr[line.len - 1] == '\r';
        buf_put_slice(value, line);
        if (slice_empty(*rest) || (rest->ptr[0] != ' ' && rest->ptr[0] != '\t')) {
            return true;
        }
        line = slice_cut(rest, '\n');
    }
}

static void put_tags(const struct explain *x, struct buf *out)
{
    struct slice rest = buf_slice(&x->tags);
    struct buf name, value;
    bool first = true;

    buf_init(&name, TEXT_MAX);
    buf_init(&value, TEXT_MAX);
    buf_put_str(out, x->rq->json ? "\"tags\":{" : "\ntags, if it is delivered\n");
    while (next_tag(&rest, &name, &value)) {
        struct slice text = slice_trim(buf_slice(&value));

        if (x->rq->json) {
            buf_put_str(out, first ? "" : ",");
            buf_put_json(out, buf_slice(&name), 200);
            buf_put_char(out, ':');
            buf_put_json(out, text, 8000);
        } else {
            buf_putf(out, "  %s: " SLICE_FMT "\n", name.ptr, SLICE_ARG(text));
        }
        first = false;
    }
    buf_put_str(out, x->rq->json ? "}" : "");
    buf_fini(&name);
    buf_fini(&value);
}

static void print_all(const struct explain *x)
{
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    if (x->rq->json) {
        buf_put_char(&out, '{');
        put_facts_json(x, &out);
        buf_put_char(&out, ',');
        put_sources_json(x, &out);
        buf_put_char(&out, ',');
        put_rules(x, &out);
        buf_put_char(&out, ',');
        put_verdict_json(x, &out);
        buf_put_char(&out, ',');
        put_tags(x, &out);
        buf_putf(&out, ",\"session\":\"%s\"}\n", x->id);
    } else {
        put_facts_text(x, &out);
        put_rules(x, &out);
        put_verdict_text(x, &out);
        put_tags(x, &out);
    }
    (void)fwrite(out.ptr, 1, out.len, stdout);
    buf_fini(&out);
}

/* ---- beginning and end ---- */

static struct resolver *make_resolver(struct loop *loop, const struct config_dns *c)
{
    struct dns_settings s = dns_settings_of(c);

    s.cache_entries = 10000;
    return resolver_new(loop, &s);
}

/* Was something asked, and did no server say anything at all? */
static bool dns_is_dead(const struct resolver *r)
{
    struct dns_stats stats;
    uint64_t answered = 0;

    resolver_stats(r, &stats);
    for (size_t i = 0; i < stats.server_count; i++) {
        answered += stats.servers[i].answered;
    }
    return stats.sent > 0 && answered == 0;
}

/* EX_OK, or the exit code after saying what is wrong. */
static int load(struct explain *x)
{
    const char *path = x->rq->path;
    struct config_errors errs = { .count = 0 };
    struct buf said;
    int code = EX_OK;

    x->conf =
        path != NULL ? config_load(path, &errs) : config_load_text("built-in", slice_str(built_in), &errs);
    if (x->conf != NULL) {
        x->policy = policy_compile(x->conf, &errs);
    }
    if (x->policy == NULL) {
        buf_init(&said, OUTPUT_MAX);
        config_errors_print(&errs, path != NULL ? path : "built-in", &said);
        fputs(said.len > 0 ? said.ptr : "", stderr);
        buf_fini(&said);
        code = errs.unreadable ? EX_NOINPUT : EX_CONFIG;
    }
    config_errors_fini(&errs);
    return code;
}

static void explain_fini(struct explain *x)
{
    judge_free(&x->judge);
    policy_worker_free(&x->pw);
    resolver_free(x->resolver);
    if (x->loop != NULL) {
        loop_free(x->loop);
    }
    policy_free(x->policy);
    config_free(x->conf);
    buf_fini(&x->reply);
    buf_fini(&x->tags);
}

int cmd_explain(int argc, char **argv)
{
    struct request rq = { .ip = NULL };
    struct explain x = { .rq = &rq };
    int code = parse_arguments(argc, argv, &rq);

    if (code != EX_OK) {
        return code < 0 ? EX_OK : code;
    }
    buf_init(&x.reply, TEXT_MAX);
    buf_init(&x.tags, TEXT_MAX);
    code = load(&x);
    if (code == EX_OK) {
        log_set_level(LOG_LEVEL_ERROR); /* what the DNS does is shown with the facts */
        ulid_make(x.id);
        x.loop = loop_new();
        x.resolver = make_resolver(x.loop, &x.conf->dns);
        x.pw = policy_worker_new(x.policy, x.loop, x.resolver, NULL);
        ask(&x);
        print_all(&x);
        code = dns_is_dead(x.resolver) ? EX_UNAVAILABLE : EX_OK;
    }
    explain_fini(&x);
    return code;
}
