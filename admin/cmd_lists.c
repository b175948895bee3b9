/*
 * cmd_lists.c - glacis lists: how the reputation lists behave, and the operator's word about them.
 *
 * The recorder of the running glacis answers over the socket `query`.  A mode set by hand survives restarts; it
 * ends with `auto` or after the time of --for.
 */
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/cmd_control.h"

#define LISTS_S 10
#define PROBE_WAIT_S 4 /* a tick, and the time-out of the DNS */
#define WORDS_MAX 3

static const char usage[] =
    "usage: glacis lists [--json] [--test] [-c FILE | --control PATH]\n"
    "       glacis lists set NAME enforce|monitor|off|auto [--for TIME] [-c FILE | --control PATH]\n"
    "\n"
    "  --json             a JSON array\n"
    "  --test             asks every list's test entries and canaries now, and shows what came of it\n"
    "  --for TIME         30m, 12h, 2d: after that the file and the guard decide again; without it until\n"
    "                     `auto` is set\n"
    "  -c, --config FILE  the file of the running glacis: its server.state_dir holds the sockets\n"
    "  --control PATH     the control socket itself; `query` lies beside it\n"
    "  -h, --help         this text\n"
    "\n"
    "What is set by hand wins over the file and over a demotion; auto believes the list again, in the mode "
    "of\n"
    "the file, and lets the guard decide from then on.\n"
    "Exit status: 0, 65 if it was refused, or 69 if nobody answers.\n";

struct lists_options {
    bool json, test, wrong;
    uint64_t for_s; /* 0: for ever */
    char *word[WORDS_MAX];
    size_t words;
    char *rest[8]; /* for control_options() */
    int rest_count;
};

/* "12h", "30m", "2d", "90s" */
static bool parse_time(const char *text, uint64_t *seconds)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    struct slice s = slice_str(text);
    uint64_t n;

    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (s.len > 1 && s.ptr[s.len - 1] == units[i].unit &&
            slice_to_u64(slice_take(s, s.len - 1), 100000, &n) && n > 0) {
            *seconds = n * units[i].seconds;
            return true;
        }
    }
    return false;
}

/* Takes our own options and words; what control_options() knows is passed on. */
static void take_options(struct lists_options *o, int argc, char **argv)
{
    o->rest[o->rest_count++] = argv[0];
    for (int i = 1; i < argc; i++) {
        bool takes_value = strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0 ||
                           strcmp(argv[i], "--control") == 0;

        if (strcmp(argv[i], "--test") == 0) {
            o->test = true;
        } else if (strcmp(argv[i], "--for") == 0 && i + 1 < argc) {
            o->wrong = !parse_time(argv[++i], &o->for_s) || o->wrong;
        } else if (argv[i][0] == '-') {
            int words = takes_value && i + 1 < argc ? 2 : 1;

            for (int k = 0; k < words && o->rest_count < 7; k++) {
                o->rest[o->rest_count++] = argv[i + k];
            }
            i += words - 1;
        } else if (o->words < WORDS_MAX) {
            o->word[o->words++] = argv[i];
        } else {
            o->wrong = true;
        }
    }
    o->wrong = o->wrong || (o->words > 0 && (o->words != WORDS_MAX || strcmp(o->word[0], "set") != 0)) ||
               (o->for_s > 0 && o->words == 0);
}

static int ask(const struct control_request *req, const char *line, bool show)
{
    struct buf answer;
    int status;

    buf_init(&answer, CONTROL_ANSWER_MAX);
    status = control_request(req, QUERY_NAME, line, LISTS_S, &answer);
    if (status == 0 && slice_starts(buf_slice(&answer), SLICE("error\n"))) {
        fprintf(stderr, "glacis lists: %s", answer.ptr + 6);
        status = EX_DATAERR;
    } else if (status == 0 && show) {
        fwrite(answer.ptr, 1, answer.len, stdout);
    }
    buf_fini(&answer);
    return status;
}

static int set(const struct control_request *req, const struct lists_options *o)
{
    struct buf line;
    int status;

    buf_init(&line, 400);
    buf_putf(&line, "lists set %s %s", o->word[1], o->word[2]);
    if (o->for_s > 0) {
        buf_putf(&line, " %" PRIu64, o->for_s);
    }
    status = buf_ok(&line) ? ask(req, line.ptr, true) : EX_USAGE;
    buf_fini(&line);
    return status;
}

int cmd_lists(int argc, char **argv)
{
    struct control_request req = { .name = "lists", .usage = usage, .takes_json = true };
    struct lists_options o = { .json = false };
    int status;

    take_options(&o, argc, argv);
    if (o.wrong) {
        fputs(usage, stderr);
        return EX_USAGE;
    }
    status = control_options(&req, o.rest_count, o.rest);
    if (status >= 0) {
        return status;
    }
    if (o.words > 0) {
        status = set(&req, &o);
    } else {
        status = o.test ? ask(&req, "lists test", false) : 0;
        if (o.test && status == 0) {
            (void)sleep(PROBE_WAIT_S);
        }
        status = status == 0 ? ask(&req, req.json ? "lists json" : "lists", true) : status;
    }
    control_options_fini(&req);
    return status;
}
