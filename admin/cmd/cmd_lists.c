/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_lists.c - glacis lists: shows how the reputation lists behave, and sets their modes.
 *
 * The recorder of the running glacis answers over the socket `query`.  A mode set by hand survives restarts; it
 * ends with `auto` or after the time of --for.
 */
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/cmd/cmd_control.h"
#include "config/values.h"

#define LISTS_S 10
#define PROBE_WAIT_S 4 /* a tick, and the DNS timeout */
#define WORDS_MAX 3
#define MODES "enforce|monitor|off|auto"
#define FOR_MAX_S (365u * 86400u) /* the limit of policy_lists_command() */

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
    bool json, test, help;
    const char *time; /* of --for; NULL: not given */
    uint64_t for_s;   /* 0: forever */
    char *word[WORDS_MAX + 1];
    size_t words;
    char *rest[8]; /* for control_options() */
    int rest_count;
};

/* Takes this command's own options and words; passes the options of control_options() on. */
static void take_options(struct lists_options *o, int argc, char **argv)
{
    o->rest[o->rest_count++] = argv[0];
    for (int i = 1; i < argc; i++) {
        bool takes_value = strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0 ||
                           strcmp(argv[i], "--control") == 0;

        if (strcmp(argv[i], "--test") == 0) {
            o->test = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            o->help = true;
        } else if (strcmp(argv[i], "--for") == 0) {
            o->time = i + 1 < argc ? argv[++i] : "";
        } else if (argv[i][0] == '-') {
            int words = takes_value && i + 1 < argc ? 2 : 1;

            for (int k = 0; k < words && o->rest_count < 7; k++) {
                o->rest[o->rest_count++] = argv[i + k];
            }
            i += words - 1;
        } else if (o->words <= WORDS_MAX) {
            o->word[o->words++] = argv[i];
        }
    }
}

static int complain(const char *fmt, ...) PRINTF(1, 2);
static int complain(const char *fmt, ...)
{
    va_list ap;

    fputs("glacis lists: ", stderr);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputs("\nglacis lists --help explains the command.\n", stderr);
    return EX_USAGE;
}

/* EX_OK, or EX_USAGE after printing the first error in this command's words and options. */
static int check_options(struct lists_options *o)
{
    struct nearest near;
    const char *hint;
    uint64_t ms;
    unsigned mode;

    if (o->words > 0 && strcmp(o->word[0], "set") != 0) {
        return complain("unexpected argument \"%s\"%s", o->word[0],
                        nearest_choice(&near, slice_str(o->word[0]), "set"));
    }
    if (o->words > WORDS_MAX) {
        return complain("unexpected argument \"%s\"", o->word[WORDS_MAX]);
    }
    if (o->words > 0 && o->words < WORDS_MAX) {
        return complain("set needs the name of a list and a mode: enforce, monitor, off or auto");
    }
    if (o->words == WORDS_MAX && !value_parse_choice(slice_str(o->word[2]), MODES, &mode)) {
        hint = nearest_choice(&near, slice_str(o->word[2]), MODES);
        return complain("unknown mode \"%s\"%s", o->word[2],
                        hint[0] != '\0' ? hint : "; expected enforce, monitor, off or auto");
    }
    if (o->time != NULL && o->words == 0) {
        return complain("--for belongs to set NAME MODE");
    }
    if (o->time != NULL) {
        if (!value_parse_duration(slice_str(o->time), &ms) || ms < 1000 || ms / 1000 > FOR_MAX_S) {
            return complain("--for: expected a duration such as 30m, 12h or 2d, at most 365d; found \"%s\"",
                            o->time);
        }
        o->for_s = ms / 1000;
    }
    return EX_OK;
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
    if (o.help) {
        fputs(usage, stdout);
        return EX_OK;
    }
    if (check_options(&o) != EX_OK) {
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
