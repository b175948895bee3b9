/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query.h - the socket `query`: one line in, an answer out, closed.
 *
 * The supervisor makes the socket with mode 0600, so only root and the user who started glacis can connect.  The
 * recorder answers, so that no privileged process reads memory that workers can write.  It checks the user of each
 * client by SO_PEERCRED and names that user in the log line of every change.
 *
 * The commands are the table in commands.c.
 *
 * Limits  QUERY_CLIENTS at a time, QUERY_MS for each, a line of QUERY_LINE octets, an answer of QUERY_ANSWER_MAX.
 */
#ifndef ADMIN_RECORDER_QUERY_H
#define ADMIN_RECORDER_QUERY_H

#include "admin/recorder/recent.h"
#include "config/config.h"
#include "state/state.h"

#define QUERY_CLIENTS 16
#define QUERY_MS 10000
#define QUERY_LINE 2048
#define QUERY_ANSWER_MAX (1024u * 1024u)

/* Data for the commands.  recorder.c owns it; it outlives the socket. */
struct recorder_view {
    struct state *st;
    const struct config *conf;
    struct recent recent; /* counters of the last hour */
};

struct query_request {
    struct slice args; /* the rest after the command's name, trimmed */
    uid_t uid;         /* of the client */
    struct buf *out;   /* the answer; "error\n" at its start means that the command failed */
};

/* Runs the command that the line names.  Suggests the nearest name for an unknown one.  commands.c */
void query_run(const struct recorder_view *v, uid_t uid, struct slice line, struct buf *out);

struct query;

/*
 * listen_fd is the listening socket, -1 if there is none yet.  Replacements for it arrive on handover_fd (SCM_RIGHTS;
 * -1: never).  Takes both descriptors.  Borrows wake_fd, which also makes query_fd() readable.  NULL with errno.
 */
struct query *query_new(int listen_fd, int handover_fd, int wake_fd, uid_t owner,
                        const struct recorder_view *view) MUST_USE;
void query_free(struct query **q); /* *q may be NULL */

/* Readable when query_turn() has something to do. */
int query_fd(const struct query *q);

/* Accepts, reads and answers without blocking. */
void query_turn(struct query *q, uint64_t now_ms);

/* Stops accepting and answers the connected clients, for at most this long. */
void query_finish(struct query *q, unsigned ms);

#endif
