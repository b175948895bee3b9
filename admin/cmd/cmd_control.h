/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_control.h - shared code of the subcommands that query the running glacis; private to them.
 */
#ifndef ADMIN_CMD_CMD_CONTROL_H
#define ADMIN_CMD_CMD_CONTROL_H

#include "core/buf.h"

#define CONTROL_ANSWER_MAX (1024u * 1024u)

struct control_request {
    const char *name, *usage;
    bool takes_json;
    bool json;
    const char *control; /* path of the control socket from --control; NULL: it is in `folder` */
    struct buf folder;   /* folder of the sockets */
};

/* Reads the options; -1 to go on, else the exit status. */
int control_options(struct control_request *req, int argc, char **argv);
void control_options_fini(struct control_request *req);

enum control_result { CONTROL_ANSWERED = 0, CONTROL_NOT_THERE, CONTROL_FORBIDDEN, CONTROL_SILENT };

/*
 * Sends one line to the socket of this name (CONTROL_NAME, QUERY_NAME) and reads the answer.  Replaces control octets
 * in it, because it may come from an unprivileged process and go to root's terminal.
 */
enum control_result control_try(const struct control_request *req, const char *name, const char *line,
                                unsigned timeout_s, struct buf *answer) MUST_USE;
/* Prints on standard error why there is no answer. */
void control_explain(const struct control_request *req, const char *name, enum control_result result);

/* Does both.  Returns 0 with the whole answer, or an exit status after printing why. */
int control_request(const struct control_request *req, const char *name, const char *line, unsigned timeout_s,
                    struct buf *answer);

#endif
