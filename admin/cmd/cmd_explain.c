/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_explain.c - glacis explain: what would happen to this envelope, and why.
 *
 * It judges as the proxy does (explain_judge.c), with real DNS lookups and the memory of the running glacis
 * (explain_ask.c).  It stores nothing and contacts no upstream.  It also skips lookups that no rule needs.
 *
 * Owns       a configuration, its policy, a loop, a resolver, a separate memory and one judge, for one envelope.
 * Next       explain.h
 */
#include <errno.h>
#include <getopt.h>
#include <sysexits.h>

#include "admin/admin.h"
#include "admin/cmd/explain.h"
#include "state/memory.h"

#define OUTPUT_MAX ((size_t)4 << 20)
#define TEXT_MAX 65536
#define PATH_BYTES 4096
#define ASK_S 2 /* timeout of one request to the running glacis */

static const char usage[] =
    "usage: glacis explain --ip ADDRESS --helo NAME --from ADDRESS --rcpt ADDRESS\n"
    "                      [--rdns NAME] [--tls] [--message FILE] [-c FILE] [--offline] [--json]\n"
    "  --ip ADDRESS       the client\n"
    "  --helo NAME        what it says in EHLO\n"
    "  --from ADDRESS     MAIL FROM; \"\" or \"<>\" is the null sender\n"
    "  --rcpt ADDRESS     RCPT TO\n"
    "  --rdns NAME        its verified name; the DNS is not asked then\n"
    "  --tls              the session has TLS\n"
    "      --message FILE the message (- is standard input): its signatures, DMARC and the message rules\n"
    "  -c, --config FILE  the configuration (- is standard input); without it the preset spf-first alone\n"
    "      --offline      do not ask the running glacis for its lists, standing and greylist:\n"
    "                     every client is new then\n"
    "      --json         one JSON object\n"
    "\n"
    "Exit status: 0 whatever the verdict, 69 if no DNS server answered anything, 78 for a bad file.\n";

/* Without a file: the preset, for a domain that does not exist. */
static const char built_in[] = "server: {hostname: glacis.invalid}\n"
                               "upstreams: {none: {servers: [\"192.0.2.1:25\"]}}\n"
                               "domains: {glacis.invalid: none}\n";

/* ---- the command line ---- */

static int complain(const char *what, const char *word)
{
    fprintf(stderr, "glacis explain: %s\"%s\"\n%s", what, word, usage);
    return EX_USAGE;
}

/* "--helo, --from and --rcpt are missing". */
static int complain_missing(const struct explain_request *rq)
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

static int check_arguments(struct explain_request *rq)
{
    if (rq->ip == NULL || rq->helo == NULL || rq->from == NULL || rq->rcpt == NULL) {
        return complain_missing(rq);
    }
    if (!addr_parse_ip(slice_str(rq->ip), &rq->client)) {
        return complain("--ip: expected an address such as 192.0.2.1 or 2001:db8::1, found ", rq->ip);
    }
    return EX_OK;
}

/* EX_OK to go on, otherwise the exit code; -1 after printing the help. */
static int parse_arguments(int argc, char **argv, struct explain_request *rq)
{
    static const struct option options[] = {
        { "ip", required_argument, NULL, 'i' },      { "helo", required_argument, NULL, 'e' },
        { "from", required_argument, NULL, 'f' },    { "rcpt", required_argument, NULL, 'r' },
        { "rdns", required_argument, NULL, 'n' },    { "tls", no_argument, NULL, 't' },
        { "offline", no_argument, NULL, 'o' },       { "config", required_argument, NULL, 'c' },
        { "message", required_argument, NULL, 'm' }, { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },          { NULL, 0, NULL, 0 },
    };
    int opt;

    optind = 1;
    while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        const char **texts[] = { ['i'] = &rq->ip,   ['e'] = &rq->helo, ['f'] = &rq->from,   ['r'] = &rq->rcpt,
                                 ['n'] = &rq->rdns, ['c'] = &rq->path, ['m'] = &rq->message };

        if (opt == 't') {
            rq->tls = true;
        } else if (opt == 'o') {
            rq->offline = true;
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

/* ---- beginning and end ---- */

static struct resolver *make_resolver(struct loop *loop, const struct config_dns *c)
{
    struct dns_settings s = dns_settings_of(c);

    s.cache_entries = 10000;
    return resolver_new(loop, &s);
}

/* Were there lookups, and did no server answer any of them? */
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

/* EX_OK, or the exit code after printing the errors. */
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

/* ---- the running glacis ---- */

static bool ask_running(void *arg, const char *line, struct buf *answer)
{
    return control_ask(arg, line, ASK_S, answer);
}

/* Opens the memory to judge with; NULL with errno. */
static struct memory *open_memory(struct explain *x)
{
    struct explain_memory *m = &x->memory;
    struct memory_source source = { .peek = NULL };
    struct buf path, why;

    m->connections = 1;
    m->ask = ask_running;
    buf_init(&path, PATH_BYTES);
    buf_init_fixed(&why, m->why, sizeof(m->why));
    if (x->rq->path == NULL || x->rq->offline) {
        buf_put_str(&why, x->rq->offline ? "--offline" : "no file was named");
    } else {
        buf_putf(&path, "%s/" QUERY_NAME, x->conf->server.state_dir);
        m->ask_arg = path.ptr;
        explain_memory_open(m, x->policy, &x->rq->client);
    }
    if (m->asked) {
        source = (struct memory_source){ explain_peek, m, m->history_s };
        x->socket_path = xstrdup(path.ptr);
        m->ask_arg = x->socket_path;
    }
    buf_fini(&path);
    return memory_new_apart(x->loop, &source);
}

static bool open_worker(struct explain *x)
{
    struct policy_apart apart = { .memory = open_memory(x) };

    apart.connections = x->memory.connections;
    apart.origin = x->memory.asked ? "the running glacis" : "an empty memory";
    if (apart.memory == NULL) {
        fprintf(stderr, "glacis explain: the memory cannot be made: %s\n", strerror(errno));
        return false;
    }
    x->pw = policy_worker_new_apart(x->policy, x->loop, x->resolver, &apart);
    return true;
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
    arena_fini(&x->arena);
    free(x->socket_path);
    buf_fini(&x->reply);
    buf_fini(&x->tags);
    buf_fini(&x->message);
}

int cmd_explain(int argc, char **argv)
{
    struct explain_request rq = { .ip = NULL };
    struct explain x = { .rq = &rq };
    int code = parse_arguments(argc, argv, &rq);

    if (code != EX_OK) {
        return code < 0 ? EX_OK : code;
    }
    buf_init(&x.reply, TEXT_MAX);
    buf_init(&x.tags, TEXT_MAX);
    code = load(&x);
    if (code == EX_OK && rq.message != NULL && !explain_message_read(&x)) {
        code = EX_NOINPUT;
    }
    if (code == EX_OK) {
        log_set_level(LOG_LEVEL_ERROR); /* lookup failures appear with the facts */
        ulid_make(x.id);
        x.loop = loop_new();
        x.resolver = make_resolver(x.loop, &x.conf->dns);
        code = open_worker(&x) ? EX_OK : EX_OSERR;
    }
    if (code == EX_OK) {
        explain_judge(&x);
        explain_print(&x);
        code = dns_is_dead(x.resolver) ? EX_UNAVAILABLE : EX_OK;
    }
    explain_fini(&x);
    return code;
}
