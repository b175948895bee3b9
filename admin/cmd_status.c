/*
 * cmd_status.c - glacis status: what the running one is doing, for people or as JSON.
 */
#include <stdio.h>

#include "admin/admin.h"
#include "admin/cmd_control.h"

#define STATUS_S 10

static const char usage[] =
    "usage: glacis status [--json] [-c FILE | --control PATH]\n"
    "\n"
    "  --json             one JSON object\n"
    "  -c, --config FILE  the file of the running glacis: its server.state_dir holds the control socket\n"
    "  --control PATH     the control socket itself\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit status: 0, or 69 if nobody answers.\n";

int cmd_status(int argc, char **argv)
{
    struct control_request req = { .name = "status", .usage = usage, .takes_json = true };
    struct buf answer;
    int status = control_options(&req, argc, argv);

    if (status >= 0)
        return status;
    buf_init(&answer, CONTROL_ANSWER_MAX);
    status = control_request(&req, req.json ? "status" : "status text", STATUS_S, &answer);
    if (status == 0)
        fwrite(answer.ptr, 1, answer.len, stdout);
    buf_fini(&answer);
    control_options_fini(&req);
    return status;
}
