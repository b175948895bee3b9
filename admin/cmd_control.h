/*
 * cmd_control.h - what the subcommands that speak to the running glacis have in common; private to them.
 */
#ifndef ADMIN_CMD_CONTROL_H
#define ADMIN_CMD_CONTROL_H

#include "core/buf.h"

#define CONTROL_ANSWER_MAX (1024u * 1024u)

struct control_request {
    const char *name, *usage;
    bool takes_json;
    bool json;
    struct buf path; /* of the control socket */
};

/* Reads the options; -1 to go on, else the exit status. */
int control_options(struct control_request *req, int argc, char **argv);
void control_options_fini(struct control_request *req);

/* 0 with the whole answer, or an exit status after having said why. */
int control_request(const struct control_request *req, const char *line, unsigned timeout_s,
                    struct buf *answer);

#endif
