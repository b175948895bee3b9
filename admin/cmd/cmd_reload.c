/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_reload.c - glacis reload: tells the running glacis to reload its file, and waits for the answer.
 */
#include <stdio.h>
#include <sysexits.h>

#include "admin/admin.h"
#include "admin/cmd/cmd_control.h"

#define RELOAD_S 70

static const char usage[] =
    "usage: glacis reload [-c FILE | --control PATH]\n"
    "\n"
    "Asks the running glacis to take its configuration again: it is checked, and new workers serve with\n"
    "it while the old ones finish their sessions.  With errors nothing changes, and they are printed.\n"
    "\n"
    "  -c, --config FILE  the file of the running glacis: its server.state_dir holds the control socket\n"
    "  --control PATH     the control socket itself\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit status: 0 in force (or queued behind a drain), 69 nobody answers, 78 refused.\n";

int cmd_reload(int argc, char **argv)
{
    struct control_request req = { .name = "reload", .usage = usage };
    struct buf answer;
    struct slice text;
    int status = control_options(&req, argc, argv);

    if (status >= 0) {
        return status;
    }
    buf_init(&answer, CONTROL_ANSWER_MAX);
    status = control_request(&req, CONTROL_NAME, "reload", RELOAD_S, &answer);
    text = buf_slice(&answer);
    if (status == 0 && slice_starts(text, SLICE("ok"))) {
        fwrite(text.ptr, 1, text.len, stdout);
    } else if (status == 0) {
        (void)slice_cut(&text, '\n'); /* "error" */
        fwrite(text.ptr, 1, text.len, stderr);
        fputs("glacis reload: refused; the configuration in force stays\n", stderr);
        status = EX_CONFIG;
    }
    buf_fini(&answer);
    control_options_fini(&req);
    return status;
}
