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
    const char *control; /* --control: the path of that one; NULL: as below */
    struct buf folder;   /* where the sockets lie */
};

/* Reads the options; -1 to go on, else the exit status. */
int control_options(struct control_request *req, int argc, char **argv);
void control_options_fini(struct control_request *req);

enum control_result { CONTROL_ANSWERED = 0, CONTROL_NOT_THERE, CONTROL_FORBIDDEN, CONTROL_SILENT };

/*
 * Asks one line of the socket of this name (CONTROL_NAME, QUERY_NAME).  What comes from a process without privileges
 * is printed by one that may have them: octets that would steer a terminal are replaced.
 */
enum control_result control_try(const struct control_request *req, const char *name, const char *line,
                                unsigned timeout_s, struct buf *answer) MUST_USE;
/* Says on standard error why there is no answer. */
void control_explain(const struct control_request *req, const char *name, enum control_result result);

/* Both: 0 with the whole answer, or an exit status after having said why. */
int control_request(const struct control_request *req, const char *name, const char *line, unsigned timeout_s,
                    struct buf *answer);

#endif
