/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_status.c - glacis status: health and activity, as text, as JSON and as exit status for monitoring systems.
 *
 * The command asks the recorder.  If the recorder does not answer, it asks the supervisor for the process table.
 */
#include <stdio.h>
#include <sysexits.h>

#include "admin/admin.h"
#include "admin/cmd/cmd_control.h"

#define QUERY_S 5
#define CONTROL_S 5
#define NOT_SERVING 2

static const char usage[] =
    "usage: glacis status [--json] [-c FILE | --control PATH]\n"
    "\n"
    "  --json             one JSON object\n"
    "  -c, --config FILE  the file of the running glacis: its server.state_dir holds the sockets\n"
    "  --control PATH     the control socket itself; `query` lies beside it\n"
    "  -h, --help         this text\n"
    "\n"
    "The first line says whether all is well, or names every problem.\n"
    "Exit status: 0 all is well, 1 degraded, 2 not serving; 69 unknown, 64, 66.\n";

/* Removes the line "exit N" from the answer, prints the rest and returns N. */
static int show(struct slice answer)
{
    struct slice first = slice_cut(&answer, '\n'), word = slice_token(&first);
    uint64_t status = EX_UNAVAILABLE;

    if (slice_eq(word, SLICE("exit")) && slice_to_u64(slice_token(&first), NOT_SERVING, &status)) {
        fwrite(answer.ptr, 1, answer.len, stdout);
        return (int)status;
    }
    fprintf(stderr, "glacis status: " SLICE_FMT, SLICE_ARG(answer));
    return EX_UNAVAILABLE;
}

static int ask_supervisor(const struct control_request *req, struct buf *answer)
{
    enum control_result result;

    buf_reset(answer);
    result = control_try(req, CONTROL_NAME, req->json ? "processes json" : "processes", CONTROL_S, answer);
    if (result == CONTROL_ANSWERED) {
        return show(buf_slice(answer));
    }
    control_explain(req, CONTROL_NAME, result);
    if (result != CONTROL_NOT_THERE) {
        return EX_UNAVAILABLE;
    }
    if (req->json) {
        puts("{\"status\":\"not_serving\",\"problems\":[{\"what\":\"not_running\",\"status\":\"not_serving\","
             "\"text\":\"no glacis listens on its sockets\"}]}");
    }
    return NOT_SERVING;
}

int cmd_status(int argc, char **argv)
{
    struct control_request req = { .name = "status", .usage = usage, .takes_json = true };
    struct buf answer;
    int status = control_options(&req, argc, argv);

    if (status >= 0) {
        return status;
    }
    buf_init(&answer, CONTROL_ANSWER_MAX);
    if (control_try(&req, QUERY_NAME, req.json ? "status json" : "status", QUERY_S, &answer) ==
        CONTROL_ANSWERED) {
        status = show(buf_slice(&answer));
    } else {
        status = ask_supervisor(&req, &answer);
    }
    buf_fini(&answer);
    control_options_fini(&req);
    return status;
}
